//! Holding the lines of a stream against a pattern.
//!
//! Owns: a line that comes in pieces, and which run it is of. Must never: keep more than a line's first
//! [`pattern::LONGEST`] bytes.

use crate::pattern::{self, Pattern};
use memchr::memchr;

/// The line that a stream is in the middle of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lines {
    /// The run that the stream is in; `None`: no mark has come yet.
    pub run: Option<u64>,
    /// The line's begin.
    kept: Vec<u8>,
    /// The line is longer than what is looked at, and that did not match.
    passed: bool,
}

impl Lines {
    /// A run begins: what came before it counts no more.
    pub fn begin(&mut self, run: u64) {
        *self = Lines { run: Some(run), ..Lines::default() };
    }

    /// Takes the next text of the stream; whether a line of it matches. After a match the rest is not looked at.
    pub fn find(&mut self, mut text: &[u8], pattern: &Pattern) -> bool {
        while let Some(end) = memchr(b'\n', text) {
            let (line, rest) = (text.get(..end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default());
            text = rest;
            let passed = core::mem::take(&mut self.passed);
            let matches = if self.kept.is_empty() {
                !passed && pattern.matches(line)
            } else {
                self.keep(line);
                let kept = core::mem::take(&mut self.kept);
                pattern.matches(&kept)
            };
            if matches {
                return true;
            }
        }
        if !self.passed {
            self.keep(text);
            if self.kept.len() == pattern::LONGEST {
                let kept = core::mem::take(&mut self.kept);
                self.passed = true;
                return pattern.matches(&kept);
            }
        }
        false
    }

    fn keep(&mut self, text: &[u8]) {
        let room = pattern::LONGEST.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(text.get(..room).unwrap_or(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_whole_line_matches_and_only_of_its_own_run() {
        let pattern = Pattern::new("^ready$").unwrap();
        let mut lines = Lines::default();
        assert!(!lines.find(b"not ready\nready", &pattern));
        assert!(lines.find(b"\n", &pattern));
        assert!(!lines.find(b"rea", &pattern));
        lines.begin(2);
        assert!(!lines.find(b"dy\n", &pattern));
        assert!(lines.find(b"ready\nready\n", &pattern));
        assert_eq!(lines.run, Some(2));
    }

    #[test]
    fn of_a_line_without_end_no_more_than_the_most_is_kept_and_the_next_one_is_looked_at() {
        let (begin, end) = (Pattern::new("^begin").unwrap(), Pattern::new("end").unwrap());
        for (pattern, matches) in [(&begin, true), (&end, false)] {
            let mut lines = Lines::default();
            let mut found = lines.find(b"begin", pattern);
            for _piece in 0..40 {
                found |= lines.find(&[b'x'; 10_000], pattern);
                assert!(lines.kept.capacity() <= 2 * pattern::LONGEST);
            }
            assert_eq!(found, matches);
            assert!(!lines.find(b"end\n", pattern));
            assert_eq!(lines.find(b"end\n", pattern), !matches);
        }
    }

    proptest! {
        #[test]
        fn a_line_is_found_however_the_text_is_cut(
            text in "[ab\r\n]{0,60}", cuts in prop::collection::vec(0..10usize, 0..30),
        ) {
            let pattern = Pattern::new("^ab+$").unwrap();
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let expected = whole.filter(|line| pattern.matches(line.trim_end_matches('\n').as_bytes())).count();
            let (mut lines, mut rest, mut found) = (Lines::default(), text.as_bytes(), 0);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                rest = tail;
                // As after a match the rest is not looked at, one line at a time is handed over.
                for line in piece.split_inclusive(|byte| *byte == b'\n') {
                    found += usize::from(lines.find(line, &pattern));
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
