//! From records to lines, and from several services' lines to one order.
//!
//! Owns: the joining of pieces, bounded, and the merging by time. Must never: change the order of one service's lines.

use crate::protocol::log::{Record, Stream};
use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

/// Pieces are joined up to so many bytes; of a longer line each part is shown as a line.
pub(super) const LONGEST: usize = 1 << 20;

/// A line to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// When its end came, in milliseconds since 1970.
    pub(super) at: u64,
    pub(super) run: Option<u64>,
    /// `Out`, `Err` or `Zei`.
    pub(super) stream: Stream,
    pub(super) text: Vec<u8>,
    /// The line goes on, or its end never came.
    pub(super) partial: bool,
}

/// The begun lines of a service.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    out: Option<Line>,
    err: Option<Line>,
}

impl Joiner {
    /// Takes the next record; what is ready is appended.
    pub(super) fn take(&mut self, record: &Record<'_>, ready: &mut VecDeque<Line>) {
        let Record { at, run, stream, text } = *record;
        let begun = match stream {
            Stream::Out | Stream::OutPiece => &mut self.out,
            Stream::Err | Stream::ErrPiece => &mut self.err,
            Stream::Zei => &mut None,
        };
        // The end of another run's line will not come any more.
        let has_ended = |line: &mut Line| line.run != run || line.text.len() + text.len() > LONGEST;
        ready.extend(begun.take_if(has_ended));
        let empty = Line { at, run, stream: stream.whole(), text: Vec::new(), partial: true };
        let mut line = begun.take().unwrap_or(empty);
        line.at = at;
        line.text.extend_from_slice(text);
        if stream.goes_on() {
            *begun = Some(line);
        } else {
            line.partial = false;
            ready.push_back(line);
        }
    }

    /// What has begun, where its end is not waited for.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = Line> + use<> {
        let mut rest = [self.out.take(), self.err.take()];
        rest.sort_by_key(|line| line.as_ref().map(|line| line.at));
        rest.into_iter().flatten()
    }
}

/// The next line of each of several services, the earliest first. Each has at most one here, so what one wrote stays
/// in its order even if the clock was put back.
#[derive(Debug, Default)]
pub(super) struct Merge {
    heads: BinaryHeap<Head>,
    held: BTreeSet<usize>,
}

#[derive(Debug)]
struct Head {
    service: usize,
    line: Line,
}

impl Merge {
    /// Whether a service's next line is here.
    pub(super) fn has(&self, service: usize) -> bool {
        self.held.contains(&service)
    }

    /// Takes the next line of a service that has none here.
    pub(super) fn push(&mut self, service: usize, line: Line) {
        self.held.insert(service);
        self.heads.push(Head { service, line });
    }

    /// The earliest line and whose it is.
    pub(super) fn pop(&mut self) -> Option<(usize, Line)> {
        let Head { service, line } = self.heads.pop()?;
        self.held.remove(&service);
        Some((service, line))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }
}

impl Head {
    const fn key(&self) -> (u64, usize) {
        (self.line.at, self.service)
    }
}

// The greatest comes first out of a heap.
impl Ord for Head {
    fn cmp(&self, other: &Head) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(at: u64, text: &str) -> Line {
        Line { at, run: Some(1), stream: Stream::Out, text: text.into(), partial: false }
    }

    fn joined(records: &[(u64, Option<u64>, Stream, &[u8])]) -> (Vec<Line>, Vec<Line>) {
        let (mut joiner, mut ready) = (Joiner::default(), VecDeque::new());
        for (at, run, stream, text) in records {
            joiner.take(&Record { at: *at, run: *run, stream: *stream, text }, &mut ready);
        }
        (ready.into(), joiner.rest().collect())
    }

    #[test]
    fn pieces_become_a_line_with_the_time_of_its_end_whatever_comes_between() {
        let run = Some(1);
        let (ready, rest) = joined(&[
            (1, run, Stream::OutPiece, b"a"),
            (2, run, Stream::ErrPiece, b"x"),
            (3, run, Stream::Zei, b"note"),
            (4, run, Stream::Out, b"b"),
            (5, run, Stream::OutPiece, b"c"),
        ]);
        let note = Line { stream: Stream::Zei, ..line(3, "note") };
        assert_eq!(ready, [note, line(4, "ab")]);
        let begun = Line { partial: true, ..line(2, "x") };
        assert_eq!(rest, [Line { stream: Stream::Err, ..begun.clone() }, Line { at: 5, text: b"c".into(), ..begun }]);
    }

    #[test]
    fn the_line_of_a_run_that_ended_is_not_joined_with_the_next_ones() {
        let (ready, rest) = joined(&[(1, Some(1), Stream::OutPiece, b"old"), (2, Some(2), Stream::Out, b"new")]);
        let old = Line { partial: true, ..line(1, "old") };
        assert_eq!((ready, rest), (vec![old, Line { run: Some(2), ..line(2, "new") }], vec![]));
    }

    #[test]
    fn a_line_that_is_too_long_comes_in_parts() {
        let piece = vec![b'x'; LONGEST / 2];
        let mut records = vec![(1, None, Stream::OutPiece, &piece[..]); 5];
        records.push((2, None, Stream::Out, b"end"));
        let (ready, rest) = joined(&records);
        assert_eq!(ready.iter().map(|line| line.text.len()).collect::<Vec<_>>(), [LONGEST, LONGEST, LONGEST / 2 + 3]);
        assert_eq!(ready.iter().map(|line| line.partial).collect::<Vec<_>>(), [true, true, false]);
        assert!(rest.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled_by_joining(
            records in prop::collection::vec((0usize..5, 0u64..2, "[a-z]{0,4}"), 0..40)
        ) {
            let records: Vec<_> = records.iter().map(|(stream, run, text)| {
                (0, Some(*run), Stream::ALL[*stream], text.as_bytes())
            }).collect();
            let (ready, rest) = joined(&records);
            for stream in [Stream::Out, Stream::Err, Stream::Zei] {
                let written: Vec<u8> = records.iter().filter(|record| record.2.whole() == stream).flat_map(|record| record.3).copied().collect();
                let shown: Vec<u8> = ready.iter().chain(&rest).filter(|line| line.stream == stream).flat_map(|line| line.text.clone()).collect();
                prop_assert_eq!(written, shown);
            }
            let whole = records.iter().filter(|record| !record.2.goes_on()).count();
            prop_assert_eq!(ready.iter().filter(|line| !line.partial).count(), whole);
        }

        #[test]
        fn each_keeps_its_order_and_those_in_order_of_time_come_in_order_of_time(
            mut services in prop::collection::vec(prop::collection::vec(0u64..50, 0..20), 0..5), sorted: bool,
        ) {
            if sorted {
                services.iter_mut().for_each(|times| times.sort_unstable());
            }
            let mut queues: Vec<VecDeque<u64>> = services.iter().map(|times| times.iter().copied().collect()).collect();
            let (mut merge, mut shown) = (Merge::default(), Vec::new());
            for (index, queue) in queues.iter_mut().enumerate() {
                queue.pop_front().into_iter().for_each(|at| merge.push(index, line(at, "")));
            }
            while let Some((index, line)) = merge.pop() {
                prop_assert!(!merge.has(index));
                shown.push((index, line.at));
                queues[index].pop_front().into_iter().for_each(|at| merge.push(index, self::line(at, "")));
            }
            prop_assert!(merge.is_empty());
            for (index, times) in services.iter().enumerate() {
                let own: Vec<u64> = shown.iter().filter(|(of, _)| *of == index).map(|(_, at)| *at).collect();
                prop_assert_eq!(&own, times);
            }
            prop_assert!(!sorted || shown.is_sorted_by_key(|(_, at)| *at));
        }
    }
}
