//! Signals, each by the first way that is open here: through what holds the process, by its pid, as its own user.
//!
//! Owns: these ways. Must never: choose whom a signal is for.

use crate::model::service::{Failure, SpawnStage};
use crate::sys::elevation::as_root;
use crate::sys::process;
use crate::sys::raw::{self, Descriptors};
use nix::errno::Errno;
use nix::unistd::geteuid;
use std::os::fd::BorrowedFd;

/// To a process, or, a negative number, to a process group.
///
/// # Errors
/// Of kill(2).
pub fn to(target: i32, signal: u8) -> Result<(), Errno> {
    as_root(|| match raw::kill(target, signal) {
        Err(Errno::EPERM) => as_its_user(target, signal),
        result => result,
    })
}

/// To the process that this pidfd holds, whose pid this is.
///
/// # Errors
/// Of pidfd_send_signal(2) or kill(2).
pub fn to_held(pid: u32, held: BorrowedFd<'_>, signal: u8) -> Result<(), Errno> {
    match as_root(|| raw::pidfd_send(held, signal)) {
        // Refused by a seccomp filter or for want of CAP_KILL. As long as it has not ended, its pid is no other's.
        Err(Errno::ENOSYS | Errno::EPERM) if !process::has_ended(held) => {
            to(i32::try_from(pid).map_err(|_| Errno::ESRCH)?, signal)
        }
        result => result,
    }
}

struct Errand {
    uid: u32,
    target: i32,
    signal: u8,
}

/// Root without CAP_KILL may not signal another user's processes; that user may. So a child becomes that user and does it.
fn as_its_user(target: i32, signal: u8) -> Result<(), Errno> {
    let owner = process::real_user(target.unsigned_abs());
    let Some(uid) = owner.filter(|uid| *uid != 0 && geteuid().is_root()) else { return Err(Errno::EPERM) };
    // There is no program to become: it ends by what it says, be it that all went well.
    let run = |errand: &Errand| {
        let sent = raw::setresuid(errand.uid).and_then(|()| raw::kill(errand.target, errand.signal));
        Failure { stage: SpawnStage::User, errno: sent.map_or_else(|errno| errno as i32, |()| 0) }
    };
    match raw::vfork(&Errand { uid, target, signal }, run, Descriptors::Shared) {
        Err(Failure { errno: 0, .. }) => Ok(()),
        Err(Failure { stage: SpawnStage::User, errno }) => Err(Errno::from_raw(errno)),
        _ => Err(Errno::EPERM),
    }
}
