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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_at_a_characters_edge_and_stays_cut() {
        let text: Text<4> = format(format_args!("ab\u{e9}\u{e9}{}", "c"));
        assert_eq!(text.as_str(), "ab\u{e9}");
        assert!(text.is_cut());
        let text: Text<4> = format(format_args!("abc\u{e9}{}", "d"));
        assert_eq!(text.as_str(), "abc");
    }
}
