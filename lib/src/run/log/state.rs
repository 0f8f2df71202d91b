//! What outlives a zei-log: a memfd that zei-init holds.
//!
//! Owns: its bytes. Must never: be written where lines come whole, as most do.
//!
//! Little-endian numbers. At its begin, for each of the container's streams, 64 bits: the log pipe that is in the
//! middle of a line there (its slot, times two, plus one where what stands there is known to be taken into account
//! below, plus one), or 0. Then slots of `STATE_SLOT` bytes (see `model::pump`), one for each log pipe:
//!
//! ```text
//!  0  64 bits  the run that it is in, plus one, or 0
//!  8  64 bits  the last run that was told to be ready, plus one, or 0
//! 16  32 bits  L: how much is kept of a line that has no end yet
//! 20  32 bits  how much of that is written
//! 24  32 bits  how much is being moved from the log pipe into the hand: it is part of what is kept, or done with
//! 32           L bytes that are kept
//! ```

use super::begun::Begun;
use super::outlet::Open;
use crate::model::pump::{KEPT, STATE_NUMBERS, state_size};
use nix::errno::Errno;
use nix::sys::uio::{pread, pwrite};
use std::os::fd::OwnedFd;

const RUN: usize = 0;
const TOLD: usize = 8;
const LINE: usize = 16;
const PENDING: usize = 24;
const BYTES: usize = STATE_NUMBERS;

/// The memfd.
#[derive(Debug)]
pub struct State {
    file: OwnedFd,
}

/// A log pipe as an earlier zei-log has left it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Left {
    /// The line that it was in the middle of.
    pub line: Vec<u8>,
    /// So much of it is written.
    pub out: usize,
    /// So many bytes were being moved from the pipe into the hand.
    pub pending: usize,
}

/// Where a log pipe's slot begins.
const fn slot(stream: usize) -> usize {
    state_size(stream)
}

impl State {
    /// Over its descriptor.
    pub fn over(file: OwnedFd) -> State {
        State { file }
    }

    fn read(&self, at: usize, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        (pread(&self.file, &mut bytes, i64::try_from(at).ok()?) == Ok(length)).then_some(bytes)
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        let offset = i64::try_from(at).unwrap_or(i64::MAX);
        // The memory is there; and if not, only a kill would show it.
        let _written: Result<usize, Errno> = pwrite(&self.file, bytes, offset);
    }

    /// A number that may be missing.
    fn number(&self, at: usize) -> Option<u64> {
        let bytes = self.read(at, 8)?;
        u64::from_le_bytes(*bytes.first_chunk()?).checked_sub(1)
    }

    fn set_number(&self, at: usize, value: Option<u64>) {
        self.write(at, &value.map_or(0, |value| value.saturating_add(1)).to_le_bytes());
    }

    /// Which log pipe is in the middle of a line.
    pub fn open(&self, outlet: usize) -> Option<Open> {
        let value = self.number(outlet * 8)?;
        Some(Open { stream: usize::try_from(value / 2).ok()?, is_sure: value % 2 == 1 })
    }

    /// Keeps that.
    pub fn set_open(&self, outlet: usize, open: Option<Open>) {
        let number = |open: Open| u64::try_from(open.stream * 2 + usize::from(open.is_sure)).unwrap_or(0);
        self.set_number(outlet * 8, open.map(number));
    }

    /// The run that a log pipe is in.
    pub fn run(&self, stream: usize) -> Option<u64> {
        self.number(slot(stream) + RUN)
    }

    /// Keeps that.
    pub fn set_run(&self, stream: usize, run: u64) {
        self.set_number(slot(stream) + RUN, Some(run));
    }

    /// The last run that a line of this log pipe has made ready.
    pub fn told(&self, stream: usize) -> Option<u64> {
        self.number(slot(stream) + TOLD)
    }

    /// Keeps that.
    pub fn set_told(&self, stream: usize, run: u64) {
        self.set_number(slot(stream) + TOLD, Some(run));
    }

    /// What an earlier zei-log has left of a log pipe.
    pub fn left(&self, stream: usize) -> Left {
        let read = || -> Option<Left> {
            let numbers = self.read(slot(stream) + LINE, 12)?;
            let mut numbers =
                numbers.chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap_or([0; 4])));
            let mut number = || usize::try_from(numbers.next()?).ok();
            let (length, out, pending) = (number()?, number()?, number()?);
            let begin = slot(stream) + BYTES;
            Some(Left { line: self.read(begin, length.min(KEPT))?, out, pending })
        };
        read().unwrap_or_default()
    }

    /// Keeps the line's begin as it is once `pending` bytes have been moved from the log pipe into the hand: to
    /// be called before, and [`State::settle`] after that.
    pub fn keep(&self, stream: usize, begun: &Begun, pending: usize) {
        let numbers = [begun.bytes().len(), begun.written().len(), pending, 0];
        let numbers = numbers.map(|number| u32::try_from(number).unwrap_or(0).to_le_bytes());
        let record = [numbers.as_flattened(), begun.bytes()].concat();
        self.write(slot(stream) + LINE, &record);
    }

    /// What was pending is in the hand.
    pub fn settle(&self, stream: usize) {
        self.write(slot(stream) + PENDING, &[0; 4]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let file = tempfile::tempfile().unwrap();
        file.set_len(u64::try_from(slot(3)).unwrap()).unwrap();
        State::over(file.into())
    }

    #[test]
    fn what_is_kept_is_read_back_and_nothing_is_kept_at_first() {
        let state = state();
        for at in 0..2 {
            assert_eq!((state.open(at), state.run(at), state.told(at)), (None, None, None));
            assert_eq!(state.left(at), Left::default());
        }
        let open = Open { stream: 0, is_sure: false };
        state.set_open(1, Some(open));
        state.set_run(0, 0);
        state.set_run(2, 9);
        state.set_told(2, 8);
        assert_eq!((state.open(0), state.open(1)), (None, Some(open)));
        assert_eq!((state.run(0), state.run(1), state.run(2), state.told(2)), (Some(0), None, Some(9), Some(8)));
        state.set_open(1, Some(Open { stream: 7, is_sure: true }));
        assert_eq!(state.open(1), Some(Open { stream: 7, is_sure: true }));
        state.set_open(1, None);
        assert_eq!(state.open(1), None);
    }

    #[test]
    fn the_longest_line_has_room() {
        let state = state();
        let mut begun = Begun::default();
        begun.keep(&[b'a'; KEPT]);
        begun.deliver(&[b'a'; 5]);
        state.keep(1, &begun, 3 * KEPT);
        state.set_run(2, 3);
        let left = state.left(1);
        assert_eq!((left.line, left.out), (vec![b'a'; KEPT], 5));
        assert_eq!(left.pending, 3 * KEPT);
        state.settle(1);
        assert_eq!((state.left(1).pending, state.left(1).line.len()), (0, KEPT));
        assert_eq!((state.run(1), state.run(2), state.left(2)), (None, Some(3), Left::default()));
    }
}
