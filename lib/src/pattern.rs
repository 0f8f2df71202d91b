//! Regular expressions that lines of output are held against (`ready: {log: REGEX}`).
//!
//! Owns: what of the regex crate is used, and its errors in one line. Must never: see a line of more than
//! [`LONGEST`] bytes.
//!
//! The syntax is that of the regex crate without its Unicode mode: a pattern is about bytes, and `\w`, `\d` and `(?i)`
//! know ASCII. The tables of Unicode would cost every zei-init 130 kB of private memory, as they hold addresses. Every
//! pattern takes time linear in the line's length.

use regex::Error;
use regex::bytes::{Regex, RegexBuilder};

/// Of a longer line only so many bytes are looked at.
pub const LONGEST: usize = 64 * 1024;

/// A pattern.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn new(text: &str) -> Result<Pattern, String> {
        if text.contains('\0') {
            return Err("it holds a NUL byte; write \\x00".into());
        }
        RegexBuilder::new(text).unicode(false).build().map(Pattern).map_err(|error| explain(text, &error))
    }

    /// Whether a line, given without its newline, matches. A carriage return at its end is not part of it.
    pub fn matches(&self, line: &[u8]) -> bool {
        let line = line.get(..LONGEST).unwrap_or(line);
        self.0.is_match(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn explain(text: &str, error: &Error) -> String {
    if let Error::CompiledTooBig(limit) = error {
        return format!("it takes more than {limit} bytes of memory; use smaller counts in {{}}");
    }
    // A drawing of several lines: the pattern, `^` below what is wrong, and the reason at its end.
    let drawing = error.to_string();
    let reason = drawing.rsplit_once("error: ").map_or(drawing.as_str(), |(_, reason)| reason);
    let reason = reason.trim().replace('\n', " ");
    let marks = |line: &&str| line.contains('^') && line.chars().all(|c| c == ' ' || c == '^');
    // Four blanks stand before a pattern of one line.
    match drawing.lines().find(marks).and_then(|line| line.find('^')?.checked_sub(3)) {
        Some(place) if !text.contains('\n') => format!("at character {place}: {reason}"),
        _ => reason,
    }
}

/// Whether this is a pattern; if not, why.
///
/// # Errors
/// As [`Pattern::new`].
pub fn check(text: &str) -> Result<(), String> {
    Pattern::new(text).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_matches_wherever_the_pattern_is_in_it_and_whatever_bytes_are_around_it() {
        let pattern = Pattern::new("ready to accept connections$").unwrap();
        for line in ["1:M * ready to accept connections", "ready to accept connections\r"] {
            assert!(pattern.matches(line.as_bytes()), "{line}");
        }
        assert!(pattern.matches(b"\xff\0 ready to accept connections"));
        assert!(!pattern.matches(b"ready to accept connections soon"));
        assert!(Pattern::new("^.é. (?i:listening)").unwrap().matches("[é] LISTENING".as_bytes()));
    }

    #[test]
    fn what_is_no_pattern_is_explained_in_one_line() {
        let reason = |text| check(text).unwrap_err();
        assert_eq!(reason("a(b"), "at character 2: unclosed group");
        assert_eq!(
            reason("(?=x)"),
            "at character 1: look-around, including look-ahead and look-behind, is not supported"
        );
        assert_eq!(reason("x\0"), "it holds a NUL byte; write \\x00");
        assert!(
            reason("((a{1000}){1000}){10}").starts_with("it takes more than "),
            "{}",
            reason("((a{1000}){1000}){10}")
        );
        for text in ["*", "[", "\\p{Nothing}", "a\n(b"] {
            assert!(!reason(text).contains('\n'), "{}", reason(text));
        }
    }

    #[test]
    fn of_a_line_that_is_too_long_the_begin_is_looked_at() {
        let line = [vec![b'x'; LONGEST], b"end".to_vec()].concat();
        assert!(!Pattern::new("end").unwrap().matches(&line));
        assert!(Pattern::new("^x{9}").unwrap().matches(&line));
    }
}
