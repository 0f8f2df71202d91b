//! Regular expressions that lines of output are held against.
//!
//! Owns: what is wrong with one, in one line. Must never: hold one against a line.
//!
//! The syntax is that of the regex crate without its Unicode mode: a pattern is about bytes, and `\w`, `\d` and `(?i)`
//! know ASCII. The tables of Unicode would cost every zei-init 130 kB of private memory, as they hold addresses.

use regex::Error;
use regex::bytes::RegexBuilder;

/// Whether a text is a regular expression; if not, why.
pub fn check(text: &str) -> Result<(), String> {
    if text.contains('\0') {
        return Err("it holds a NUL byte; write \\x00".into());
    }
    RegexBuilder::new(text).unicode(false).build().map(drop).map_err(|error| match error {
        Error::CompiledTooBig(limit) => {
            format!("it takes more than {limit} bytes of memory; use smaller counts in {{}}")
        }
        // A drawing of several lines: the pattern, `^` below what is wrong, and the reason at its end.
        other => {
            let drawing = other.to_string();
            let reason = drawing.rsplit_once("error: ").map_or(drawing.as_str(), |(_, reason)| reason);
            let reason = reason.trim().replace('\n', " ");
            let marks = |line: &&str| line.contains('^') && line.chars().all(|c| c == ' ' || c == '^');
            // Four blanks stand before a pattern of one line.
            match drawing.lines().find(marks).and_then(|line| line.find('^')?.checked_sub(3)) {
                Some(place) if !text.contains('\n') => format!("at character {place}: {reason}"),
                _ => reason,
            }
        }
    })
}
