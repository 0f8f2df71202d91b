//! The last lines of a service: the format of `last`, version 1.
//!
//! Owns: the bytes. Must never: open a file.
//!
//! ```text
//! version=1 seq=42 run=3 from=120 bytes=512
//! …                   `bytes` bytes: what the service has written last, standard output and error in the order in
//!                     which zei-log met them, as they are; the first line may be cut off at its begin
//! end=42              at the begin of a line
//! ```
//!
//! `seq` counts the writes. `run` is the run that wrote last (`-`: none is known), `from` where its output begins in
//! the text: what stands before is of the runs before it.
//!
//! The file is written in place by one pwrite(2) and is never longer than [`MAX`]. A reader that finds no
//! `end` behind the text, or another number there than `seq`, has met a write half-way and reads again; what follows
//! `end` is not part of it.
//!
//! # Version log
//!
//! 1: the first.

use crate::text::{self, Text};

/// The file is never longer: one page.
pub const MAX: usize = 4096;
/// The longest first line.
const HEADER: usize = 120;
/// The text is never longer.
pub const TEXT: usize = MAX - HEADER - 32;

/// The last lines, as they stand in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Last<'a> {
    /// Counts the writes of this file.
    pub seq: u64,
    /// The run that wrote last.
    pub run: Option<u64>,
    /// Where its output begins.
    pub from: usize,
    /// The end of what the service has written, at most [`TEXT`] bytes.
    pub text: &'a [u8],
}

impl<'a> Last<'a> {
    /// Writes the file's bytes into `buffer` and returns how many there are. Of a text that is too long the begin
    /// is left out.
    pub fn encode(&self, buffer: &mut [u8; MAX]) -> usize {
        let cut = self.text.len().saturating_sub(TEXT);
        let text = self.text.get(cut..).unwrap_or_default();
        let from = self.from.saturating_sub(cut);
        let run: Text<20> = self.run.map_or_else(|| Text::from("-"), |run| text::format(format_args!("{run}")));
        let header: Text<HEADER> =
            text::format(format_args!("version=1 seq={} run={run} from={from} bytes={}\n", self.seq, text.len()));
        let break_ = if text.last().is_none_or(|byte| *byte == b'\n') { "" } else { "\n" };
        let footer: Text<32> = text::format(format_args!("{break_}end={}\n", self.seq));
        let bytes = header.as_bytes().iter().chain(text).chain(footer.as_bytes());
        buffer.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count()
    }

    /// Reads the file's bytes; `None` for a write met half-way, or another version.
    pub fn decode(file: &'a [u8]) -> Option<Last<'a>> {
        let header_end = file.iter().take(HEADER).position(|byte| *byte == b'\n')?;
        let mut words = core::str::from_utf8(file.get(..header_end)?).ok()?.split(' ');
        let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
        (value("version")? == "1").then_some(())?;
        let seq = value("seq")?;
        let run = value("run")?;
        let from = value("from")?.parse().ok()?;
        let length: usize = value("bytes")?.parse().ok()?;
        let rest = file.get(header_end + 1..)?;
        let (text, footer) = rest.split_at_checked(length)?;
        let footer = match text.last() {
            None | Some(b'\n') => footer,
            Some(_) => footer.strip_prefix(b"\n")?,
        };
        footer.strip_prefix(b"end=")?.strip_prefix(seq.as_bytes())?.first().filter(|byte| **byte == b'\n')?;
        let run = if run == "-" { None } else { Some(run.parse().ok()?) };
        (from <= length).then_some(Last { seq: seq.parse().ok()?, run, from, text })
    }

    /// What tells most about how the service stands: what the last run has written, or where that is nothing, what
    /// those before it have.
    pub fn recent(&self) -> &'a [u8] {
        let own = self.of_run();
        if own.is_empty() { self.text } else { own }
    }

    /// What the last run has written.
    pub fn of_run(&self) -> &'a [u8] {
        self.text.get(self.from..).unwrap_or_default()
    }
}

/// The last `most` lines of a text, without their newlines.
pub fn lines(text: &[u8], most: usize) -> impl Iterator<Item = &[u8]> {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let begins = |at: usize| at == 0 || body.get(at - 1) == Some(&b'\n');
    let start = (0..=body.len()).rev().filter(|at| begins(*at)).take(most).last().unwrap_or(body.len());
    let shown = if text.is_empty() || most == 0 { None } else { body.get(start..) };
    shown.into_iter().flat_map(|shown| shown.split(|byte| *byte == b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(last: Last<'_>) -> Vec<u8> {
        let mut buffer = [0; MAX];
        let length = last.encode(&mut buffer);
        buffer[..length].to_vec()
    }

    #[test]
    fn the_file_looks_as_documented() {
        let last = Last { seq: 42, run: Some(3), from: 4, text: b"old\nnew\npart" };
        let text = "version=1 seq=42 run=3 from=4 bytes=12\nold\nnew\npart\nend=42\n";
        assert_eq!(String::from_utf8(encoded(last)).unwrap(), text);
        assert_eq!((last.of_run(), last.recent()), (&b"new\npart"[..], &b"new\npart"[..]));
        assert_eq!(Last { from: 12, ..last }.recent(), last.text);
        let none = Last { seq: 1, run: None, from: 0, text: b"" };
        assert_eq!(encoded(none), b"version=1 seq=1 run=- from=0 bytes=0\nend=1\n");
    }

    #[test]
    fn the_longest_fits_and_of_a_longer_text_the_begin_is_missing() {
        let text = vec![b'x'; TEXT + 10];
        let file = encoded(Last { seq: u64::MAX, run: Some(u64::MAX), from: TEXT + 10, text: &text });
        assert!(file.len() <= MAX && file.ends_with(format!("\nend={}\n", u64::MAX).as_bytes()));
        let read = Last::decode(&file).unwrap();
        assert_eq!((read.text.len(), read.from), (TEXT, TEXT));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_what_follows_it_is_not_part_of_it(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(0), any::<u8>()], 0..200),
            seq in any::<u64>(), run in any::<Option<u64>>(), part in 0.0..1.0, rest in any::<Vec<u8>>(),
        ) {
            let from = (text.len() as f64 * part) as usize;
            let last = Last { seq, run, from, text: &text };
            let file = [encoded(last), rest].concat();
            prop_assert_eq!(Last::decode(&file), Some(last));
        }

        #[test]
        fn a_write_met_half_way_is_not_taken_for_a_whole_one(
            old in "([a-z]{0,9}\n){0,9}", new in "([a-z]{0,9}\n){0,9}", seq in 0..1000u64, at in 0usize..200,
        ) {
            let old = encoded(Last { seq, run: Some(1), from: 0, text: old.as_bytes() });
            let new = encoded(Last { seq: seq + 1, run: Some(1), from: 0, text: new.as_bytes() });
            let mut torn = old.clone();
            torn.resize(old.len().max(new.len()), 0);
            let at = at.min(new.len());
            torn[..at].copy_from_slice(&new[..at]);
            match Last::decode(&torn) {
                None => {}
                Some(read) if read.seq == seq => prop_assert_eq!(&torn[..old.len()], &old[..]),
                Some(_) => prop_assert_eq!(&torn[..new.len()], &new[..]),
            }
        }
    }

    #[test]
    fn the_last_lines_are_the_last_whether_the_text_ends_with_a_newline_or_not() {
        let last = |text: &'static str, most| -> Vec<&str> {
            lines(text.as_bytes(), most).map(|line| std::str::from_utf8(line).unwrap()).collect()
        };
        for text in ["a\nb\nc\n", "a\nb\nc"] {
            assert_eq!(last(text, 2), ["b", "c"]);
            assert_eq!(last(text, 3), ["a", "b", "c"]);
            assert_eq!(last(text, 9), ["a", "b", "c"]);
            assert!(last(text, 0).is_empty());
        }
        assert_eq!(last("\n\n", 5), ["", ""]);
        assert_eq!(last("\n", 5), [""]);
        assert!(last("", 5).is_empty());
    }
}
