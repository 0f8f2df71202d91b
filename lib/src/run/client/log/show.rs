//! How a line of kept output is shown.
//!
//! Owns: the forms, and what a terminal must not be told. Must never: read or write a file.

use super::lines::Line;
use crate::protocol::instant;
use crate::protocol::log::Stream;
use crate::text::is_harmless;
use serde::Serialize;

/// The longest sequence of colours that passes.
const SGR: usize = 32;

/// The form in which lines are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Form {
    /// As JSON; then nothing of the rest matters.
    pub(super) json: bool,
    /// The time before each.
    pub(super) timestamps: bool,
    /// The service's name before each, filled up to this width.
    pub(super) names: Option<usize>,
    /// A terminal shows them.
    pub(super) terminal: bool,
}

#[derive(Serialize)]
struct Object<'a> {
    time: &'a str,
    service: &'a str,
    run: Option<u64>,
    stream: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

impl Form {
    /// Appends a line.
    pub(super) fn write(&self, out: &mut Vec<u8>, service: &str, line: &Line) {
        let time = instant::encode(line.at);
        if self.json {
            let object = Object {
                time: std::str::from_utf8(&time).unwrap_or_default(),
                service,
                run: line.run,
                stream: line.stream.word(),
                message: &String::from_utf8_lossy(&line.text),
                partial: line.partial,
            };
            out.extend_from_slice(super::super::json(&object).as_bytes());
            return;
        }
        if self.timestamps {
            out.extend_from_slice(&time);
            out.push(b' ');
        }
        if let Some(width) = self.names {
            out.extend_from_slice(format!("{service:width$} | ").as_bytes());
        }
        if line.stream == Stream::Zei {
            out.extend_from_slice(b"zei: ");
        }
        if self.terminal {
            make_visible(&line.text, out);
        } else {
            out.extend_from_slice(&line.text);
        }
        out.push(b'\n');
    }
}

/// Appends bytes of somebody else's as a terminal may get them: controls other than tabs are made visible, except for
/// colours and the like (SGR), which end with the line.
fn make_visible(text: &[u8], out: &mut Vec<u8>) {
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

    fn line(stream: Stream, text: &[u8]) -> Line {
        Line { at: 1_796_068_294_123, run: Some(3), stream, text: text.into(), partial: false }
    }

    fn shown(form: Form, line: &Line) -> Vec<u8> {
        let mut out = Vec::new();
        form.write(&mut out, "web", line);
        out
    }

    #[test]
    fn each_form_is_as_documented() {
        let plain = Form::default();
        let line = line(Stream::Out, b"a\x1b[2J\xff\r");
        assert_eq!(shown(plain, &line), b"a\x1b[2J\xff\r\n");
        assert_eq!(shown(Form { names: Some(5), ..plain }, &line), b"web   | a\x1b[2J\xff\r\n");
        let all = Form { timestamps: true, names: Some(3), terminal: true, ..plain };
        assert_eq!(shown(all, &line), "2026-11-30T19:51:34.123Z web | a^[[2J\u{fffd}\n".as_bytes());
        let note = Line { stream: Stream::Zei, run: None, text: b"12 lines dropped".to_vec(), ..line.clone() };
        assert_eq!(shown(plain, &note), b"zei: 12 lines dropped\n");
        let json = Form { json: true, ..all };
        let expected =
            r#"{"time":"2026-11-30T19:51:34.123Z","service":"web","run":3,"stream":"out","message":"a\u001b[2J�\r"}"#;
        assert_eq!(String::from_utf8(shown(json, &line)).unwrap(), format!("{expected}\n"));
        let expected = r#"{"time":"2026-11-30T19:51:34.123Z","service":"web","run":null,"stream":"zei","message":"12 lines dropped","partial":true}"#;
        assert_eq!(String::from_utf8(shown(json, &Line { partial: true, ..note })).unwrap(), format!("{expected}\n"));
    }

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
