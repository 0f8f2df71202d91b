//! Signals, each by the first way that is open here: through what holds the process, by its pid, as its own user.
//!
//! Owns: these ways. Must never: choose whom a signal is for, or wait for anybody: not for a process that its target
//! could stop.

use crate::sys::elevation::{self, as_root};
use crate::sys::process;
use crate::sys::raw;
use nix::errno::Errno;
use std::os::fd::BorrowedFd;

/// To a process, or, a negative number, to a process group.
///
/// # Errors
/// Of kill(2).
pub fn to(target: i32, signal: u8) -> Result<(), Errno> {
    as_root(|| by_any_right(target.unsigned_abs(), || raw::kill(target, signal)))
}

/// To the process that this pidfd holds, whose pid this is.
///
/// # Errors
/// Of pidfd_send_signal(2) or kill(2).
pub fn to_held(pid: u32, held: BorrowedFd<'_>, signal: u8) -> Result<(), Errno> {
    match as_root(|| by_any_right(pid, || raw::pidfd_send(held, signal))) {
        // Refused by a seccomp filter. As long as it has not ended, its pid is no other's.
        Err(Errno::ENOSYS | Errno::EPERM) if !process::has_ended(held) => {
            to(i32::try_from(pid).map_err(|_| Errno::ESRCH)?, signal)
        }
        result => result,
    }
}

/// Root without CAP_KILL may not signal another user's processes; that user may. No process is made for that: one that is
/// somebody else's could be stopped by him, and there may be no room for one among those that are to be killed.
fn by_any_right(pid: u32, send: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    match send() {
        Err(Errno::EPERM) => match process::real_user(pid).filter(|user| *user != 0) {
            Some(user) => elevation::as_user(user, send)?,
            None => Err(Errno::EPERM),
        },
        result => result,
    }
}
