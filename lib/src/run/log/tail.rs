//! The last lines of a service, as zei-log keeps them.
//!
//! Owns: how the text of two streams becomes one. Must never: grow beyond what the file takes.

use crate::model::pump::Side;
use crate::protocol::last::{Last, MAX, TEXT};

/// The end of what a service has written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tail {
    seq: u64,
    run: Option<u64>,
    from: usize,
    text: Vec<u8>,
    /// The stream that is in the middle of the last line.
    open: Option<Side>,
}

impl Tail {
    /// What an earlier zei-log has kept, without a last line that has no end: it is still in the pipe.
    pub fn resume(last: &Last<'_>) -> Tail {
        let end = last.text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let text = last.text.get(..end).unwrap_or_default().to_vec();
        Tail { seq: last.seq, run: last.run, from: last.from.min(end), text, open: None }
    }

    /// A run begins. The second stream's mark of it changes nothing.
    pub fn begin(&mut self, run: u64) {
        if self.run.is_none_or(|known| run > known) {
            self.end_line();
            (self.run, self.from) = (Some(run), self.text.len());
        }
    }

    /// A stream has written.
    pub fn append(&mut self, side: Side, text: &[u8]) {
        let Some(last) = text.last() else { return };
        if self.open.is_some_and(|open| open != side) {
            self.end_line();
        }
        self.open = (*last != b'\n').then_some(side);
        self.push(text);
    }

    fn end_line(&mut self) {
        if self.open.take().is_some() {
            self.push(b"\n");
        }
    }

    fn push(&mut self, text: &[u8]) {
        let text = text.get(text.len().saturating_sub(TEXT)..).unwrap_or(text);
        let cut = (self.text.len() + text.len()).saturating_sub(TEXT);
        self.text.drain(..cut.min(self.text.len()));
        self.from = self.from.saturating_sub(cut);
        self.text.extend_from_slice(text);
    }

    /// The file's bytes, one write later.
    pub fn encode(&mut self, buffer: &mut [u8; MAX]) -> usize {
        self.seq += 1;
        Last { seq: self.seq, run: self.run, from: self.from, text: &self.text }.encode(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(tail: &Tail) -> (&str, &str) {
        let text = std::str::from_utf8(&tail.text).unwrap();
        text.split_at(tail.from)
    }

    #[test]
    fn two_streams_do_not_tear_each_others_lines_and_a_run_begins_once_on_a_new_one() {
        let mut tail = Tail::default();
        tail.append(Side::Out, b"a");
        tail.append(Side::Out, b"b\n");
        tail.append(Side::Err, b"c");
        tail.append(Side::Out, b"d\n");
        tail.append(Side::Err, b"");
        tail.append(Side::Err, b"e");
        tail.begin(1);
        assert_eq!(text(&tail), ("ab\nc\nd\ne\n", ""));
        tail.append(Side::Out, b"f\n");
        tail.begin(1);
        assert_eq!(text(&tail), ("ab\nc\nd\ne\n", "f\n"));
        tail.begin(2);
        assert_eq!(text(&tail), ("ab\nc\nd\ne\nf\n", ""));
    }

    #[test]
    fn a_successor_goes_on_after_the_last_whole_line() {
        let mut tail = Tail::default();
        tail.begin(7);
        tail.append(Side::Out, b"whole\npart");
        let mut file = [0; MAX];
        let length = tail.encode(&mut file);
        let mut next = Tail::resume(&Last::decode(&file[..length]).unwrap());
        assert_eq!(text(&next), ("", "whole\n"));
        let length = next.encode(&mut file);
        let last = Last::decode(&file[..length]).unwrap();
        assert_eq!((last.seq, last.run), (2, Some(7)));
    }

    proptest! {
        #[test]
        fn the_end_is_kept_and_never_more_than_fits(
            pieces in prop::collection::vec((any::<u8>(), 0..3 * TEXT / 2, any::<bool>()), 0..12),
        ) {
            let (mut tail, mut all, mut begin) = (Tail::default(), Vec::new(), 0);
            for (number, (byte, length, begins)) in (1..).zip(pieces) {
                let byte = if byte == b'\n' { b'x' } else { byte };
                let piece = [vec![byte; length], b"\n".to_vec()].concat();
                tail.append(Side::Out, &piece);
                all.extend(piece);
                if begins {
                    tail.begin(number);
                    begin = all.len();
                }
            }
            let cut = all.len().saturating_sub(TEXT);
            prop_assert_eq!(&tail.text, &all[cut..]);
            prop_assert_eq!(tail.from, begin.saturating_sub(cut));
        }
    }
}
