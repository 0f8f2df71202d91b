//! Somebody else's text, as a terminal may get it.
//!
//! Owns: what passes. Must never: be used where no terminal is: there each byte is as it was written.

use crate::text::is_harmless;

/// The longest sequence of colours that passes.
const SGR: usize = 32;

/// Appends bytes of somebody else's as a terminal may get them: controls other than tabs are made visible, except for
/// colours and the like (SGR), which end with the line.
pub fn make_visible(text: &[u8], out: &mut Vec<u8>) {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let mut is_coloured = false;
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(first) = rest.chars().next() {
            let colours = colours(rest);
            is_coloured |= colours > 0;
            let (shown, after) = rest.split_at_checked(colours.max(first.len_utf8())).unwrap_or((rest, ""));
            if colours > 0 || first == '\t' || is_harmless(first) {
                out.extend_from_slice(shown.as_bytes());
            } else if first.is_ascii() {
                // As everybody knows them: ^[ ^G ^?
                out.extend_from_slice(&[b'^', (first as u8) ^ 0x40]);
            } else {
                out.extend_from_slice(format!("<U+{:04X}>", u32::from(first)).as_bytes());
            }
            rest = after;
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    if is_coloured {
        out.extend_from_slice(b"\x1b[0m");
    }
}

/// The length of the sequence of Select Graphic Rendition (ECMA-48, 8.3.117) that a text begins with; 0: none.
fn colours(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else { return 0 };
    let is_parameter = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
    let length = parameters.bytes().take(SGR).take_while(is_parameter).count();
    if parameters.as_bytes().get(length) == Some(&b'm') { length + 3 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_terminal_gets_colours_that_end_with_the_line_and_nothing_else_that_acts() {
        for (text, expected) in [
            ("tab\there, \u{e9}", "tab\there, \u{e9}"),
            ("\x1b[31mred", "\x1b[31mred\x1b[0m"),
            ("\x1b[m\x1b[1;38:5:9mx\x1b[0m", "\x1b[m\x1b[1;38:5:9mx\x1b[0m\x1b[0m"),
            ("\x1b[2J\x1b]0;title\x07", "^[[2J^[]0;title^G"),
            ("\x1b[31", "^[[31"),
            ("\x1b[?25lm", "^[[?25lm"),
            ("50%\r100%\r", "50%^M100%"),
            ("\0\x7f\u{9b}2J\u{202e}", "^@^?<U+009B>2J<U+202E>"),
        ] {
            let mut out = Vec::new();
            make_visible(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_colours_and_tabs_acts_on_a_terminal(
            text in prop::collection::vec(prop_oneof![Just(0x1b), Just(b'['), Just(b'm'), Just(0x9b), any::<u8>()], 0..40)
        ) {
            let mut out = Vec::new();
            make_visible(&text, &mut out);
            let mut rest = String::from_utf8(out).unwrap();
            while let Some(at) = rest.find('\x1b') {
                let length = colours(rest.split_at(at).1);
                prop_assert!(length > 0, "{:?}", rest);
                rest.replace_range(at..at + length, "");
            }
            prop_assert!(rest.chars().all(|c| c == '\t' || is_harmless(c)), "{:?}", rest);
        }
    }
}
