//! A string of fixed capacity, so that messages and records need no heap.
//!
//! Owns: truncation at a character's edge. Must never: allocate or panic.

use core::fmt;

/// At most `N` bytes of text; what does not fit is cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
    full: bool,
}

impl<const N: usize> Text<N> {
    /// No text yet.
    pub const fn new() -> Text<N> {
        Text { bytes: [0; N], length: 0, full: false }
    }

    /// What is in it.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The same as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// True once something did not fit.
    pub fn is_cut(&self) -> bool {
        self.full
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Text::new()
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = if self.full { 0 } else { N - self.length };
        let mut take = text.len().min(room);
        while !text.is_char_boundary(take) {
            take -= 1;
        }
        self.full |= take < text.len();
        let target = self.bytes.get_mut(self.length..self.length + take);
        if let (Some(target), Some(source)) = (target, text.as_bytes().get(..take)) {
            target.copy_from_slice(source);
            self.length += take;
        }
        Ok(())
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> core::ops::Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> From<&str> for Text<N> {
    fn from(text: &str) -> Self {
        format(format_args!("{text}"))
    }
}

/// Formats into a fresh text.
pub fn format<const N: usize>(arguments: fmt::Arguments<'_>) -> Text<N> {
    let mut text = Text::new();
    let _never_fails = fmt::Write::write_fmt(&mut text, arguments);
    text
}

/// Bytes of somebody else's as they may stand in a file of lines and on a terminal: no control characters, nothing
/// that turns the direction of writing, and U+FFFD for what is no UTF-8.
pub fn for_people<const N: usize>(bytes: &[u8]) -> Text<N> {
    let mut text = Text::new();
    let mut put = |c| {
        let _cut_at_its_end = fmt::Write::write_char(&mut text, c);
    };
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| put(if is_harmless(c) { c } else { ' ' }));
        if !chunk.invalid().is_empty() {
            put(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

/// Whether a character is only itself.
pub fn is_harmless(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_wrote_is_one_harmless_line_cut_at_a_characters_edge() {
        let shown = |bytes: &[u8]| for_people::<32>(bytes).as_str().to_owned();
        assert_eq!(shown(b"a\tb\x1b[31mc\rd\x7fe\n"), "a b [31mc d e ");
        assert_eq!(shown("x\u{202e}y\u{85}z\u{2028}".as_bytes()), "x y z ");
        assert_eq!(shown(b"\xff\xfeok\xc3"), "\u{fffd}\u{fffd}ok\u{fffd}");
        let long = "\u{e9}".repeat(32);
        assert_eq!(shown(long.as_bytes()), "\u{e9}".repeat(16));
        assert_eq!(shown(format!("x{long}").as_bytes()), format!("x{}", "\u{e9}".repeat(15)));
    }

    #[test]
    fn what_does_not_fit_is_cut_at_a_characters_edge_and_stays_cut() {
        let text: Text<4> = format(format_args!("ab\u{e9}\u{e9}{}", "c"));
        assert_eq!(text.as_str(), "ab\u{e9}");
        assert!(text.is_cut());
        let text: Text<4> = format(format_args!("abc\u{e9}{}", "d"));
        assert_eq!(text.as_str(), "abc");
    }
}
