//! Signals as descriptors: blocked for good, read where the loop waits.

use crate::signal::Set;
use crate::sys::raw;
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The length of the kernel's `struct signalfd_siginfo` (signalfd(2)).
const INFO: usize = 128;

/// Signals that arrive as data.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
}

impl Signals {
    /// Blocks every signal (so that none interrupts anything, SIGPIPE included) and reads these.
    pub fn take(signals: Set) -> Result<Signals, Errno> {
        raw::set_mask(Set(u64::MAX))?;
        Ok(Signals { descriptor: raw::signal_descriptor(signals)? })
    }

    /// The next one that is pending, with the pid of its sender (0: the kernel).
    pub fn next(&self) -> Option<(u8, u32)> {
        let mut info = [0; INFO];
        if nix::unistd::read(&self.descriptor, &mut info) != Ok(INFO) {
            return None;
        }
        let word = |at: usize| Some(u32::from_le_bytes(*info.get(at..)?.first_chunk()?));
        // Fields of signalfd_siginfo: ssi_signo, ssi_errno, ssi_code, ssi_pid.
        Some((u8::try_from(word(0)?).ok()?, word(12)?))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
