//! What outlives a zei-log: a memfd that zei-init holds.
//!
//! Owns: its bytes. Must never: matter to what is delivered but for the shape of a line that a kill has cut in two.
//!
//! Slots of [`STATE_SLOT`] bytes, two little-endian 64-bit numbers each, 0 meaning none. Slot 0: for each of the
//! container's streams, the log pipe that is in the middle of a line there (its number among all, plus one, times two,
//! plus one where what stands there is taken out of the pipe already). Slot 1 + N, of log pipe N: the run that it is
//! in and the last run that was told to be ready, plus one each.

use super::outlet::Open;
use crate::model::pump::STATE_SLOT;
use nix::errno::Errno;
use nix::sys::uio::{pread, pwrite};
use std::os::fd::OwnedFd;

/// The memfd.
#[derive(Debug)]
pub struct State {
    file: OwnedFd,
}

impl State {
    /// Over its descriptor.
    pub fn over(file: OwnedFd) -> State {
        State { file }
    }

    fn get(&self, at: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        let offset = i64::try_from(at * 8).ok()?;
        let whole = pread(&self.file, &mut bytes, offset) == Ok(bytes.len());
        u64::from_le_bytes(bytes).checked_sub(1).filter(|_| whole)
    }

    fn set(&self, at: usize, value: Option<u64>) -> Result<(), Errno> {
        let bytes = value.map_or(0, |value| value.saturating_add(1)).to_le_bytes();
        pwrite(&self.file, &bytes, i64::try_from(at * 8).unwrap_or(i64::MAX)).map(drop)
    }

    /// Which log pipe is in the middle of a line.
    pub fn open(&self, outlet: usize) -> Option<Open> {
        let value = self.get(outlet)?;
        Some(Open { stream: usize::try_from(value / 2).ok()?, taken: value % 2 == 1 })
    }

    /// Keeps that. Where that fails (it can't: the memory is there) a kill may tear a line.
    pub fn set_open(&self, outlet: usize, open: Option<Open>) {
        let number = |open: Open| u64::try_from(open.stream * 2 + usize::from(open.taken)).unwrap_or(0);
        let _only_a_kill_would_show_it = self.set(outlet, open.map(number));
    }

    /// The run that a log pipe is in.
    pub fn run(&self, stream: usize) -> Option<u64> {
        self.get((1 + stream) * STATE_SLOT / 8)
    }

    /// Keeps that.
    pub fn set_run(&self, stream: usize, run: u64) {
        let _only_a_kill_would_show_it = self.set((1 + stream) * STATE_SLOT / 8, Some(run));
    }

    /// The last run that a line of this log pipe has made ready.
    pub fn told(&self, stream: usize) -> Option<u64> {
        self.get((1 + stream) * STATE_SLOT / 8 + 1)
    }

    /// Keeps that.
    pub fn set_told(&self, stream: usize, run: u64) {
        let _only_a_kill_would_show_it = self.set((1 + stream) * STATE_SLOT / 8 + 1, Some(run));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_nothing_is_kept_at_first() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 * 16).unwrap();
        let state = State::over(file.into());
        for at in 0..2 {
            assert_eq!((state.open(at), state.run(at), state.told(at)), (None, None, None));
        }
        let open = Open { stream: 0, taken: false };
        state.set_open(1, Some(open));
        state.set_run(0, 0);
        state.set_run(2, 9);
        state.set_told(2, 8);
        assert_eq!((state.open(0), state.open(1)), (None, Some(open)));
        assert_eq!((state.run(0), state.run(1), state.run(2), state.told(2)), (Some(0), None, Some(9), Some(8)));
        state.set_open(1, Some(Open { stream: 7, taken: true }));
        assert_eq!(state.open(1), Some(Open { stream: 7, taken: true }));
        state.set_open(1, None);
        assert_eq!(state.open(1), None);
    }
}
