//! Signals as descriptors: blocked for good, read where the loop waits.

use crate::signal::Set;
use crate::sys::raw;
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The length of the kernel's `struct signalfd_siginfo` (signalfd(2)).
const INFO: usize = 128;

/// A signal that has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrived {
    /// Its number.
    pub number: u8,
    /// The pid of its sender, or of the child that it tells of; 0: the kernel, or somebody in another PID namespace.
    pub sender: u32,
    /// Somebody has sent it, by kill(2) or the like; where more than one came, the first.
    pub is_sent: bool,
}

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

    /// The next one that is pending.
    pub fn next(&self) -> Option<Arrived> {
        let mut info = [0; INFO];
        if nix::unistd::read(&self.descriptor, &mut info) != Ok(INFO) {
            return None;
        }
        let word = |at: usize| Some(u32::from_le_bytes(*info.get(at..)?.first_chunk()?));
        // Fields of signalfd_siginfo: ssi_signo, ssi_errno, ssi_code, ssi_pid. What the kernel tells has a code above 0.
        let is_sent = word(8)? as i32 <= libc::SI_USER;
        Some(Arrived { number: u8::try_from(word(0)?).ok()?, sender: word(12)?, is_sent })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
