//! Root in reserve: what a setuid zei-init, and its programs, are at rest, and when they are root.
//!
//! Owns: the change between the two. At rest the real and the saved user is root and the effective one the user who has
//! started zei-init: no capability is in effect, and that user can neither signal, trace nor read the process, as the real
//! user is another (kill(2), ptrace(2)). Must never: raise anything in a process that was not begun so, or let another
//! program begin with root in reserve.
//!
//! The effective user goes from root to another: all effective capabilities are cleared; back: those permitted are in
//! effect again (capabilities(7), "Effect of user ID changes on capabilities").

use crate::model::spec::Identity;
use crate::sys::{credentials, raw};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollTimeout, poll};
use nix::sys::prctl::set_dumpable;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, getegid, geteuid, getgid, getgroups, getuid, setresgid};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// No user (setresuid(2) takes it for "leave it").
const NOBODY: u32 = u32::MAX;

/// The effective user at rest; [`NOBODY`]: there is nothing in reserve. A process has one set of credentials.
static REST: AtomicU32 = AtomicU32::new(NOBODY);

/// Whether the program's file offers root to whoever has started it, and may: as PID 1 it is the container's own init,
/// started by what the image says, and not a program among others in it. Without the rights to become others it would be
/// worth less than to be who started it.
pub fn is_offered() -> bool {
    let may_switch = || {
        let granted = credentials::granted();
        granted.set_uid && granted.set_gid
    };
    geteuid().is_root() && !getuid().is_root() && std::process::id() == 1 && may_switch()
}

/// Takes the offer: from now on this process is at rest. Returns who has started it.
///
/// # Errors
/// Of setresuid(2), setresgid(2), getgroups(2), prctl(2): then it must not go on.
pub fn accept() -> Result<Identity, Errno> {
    let (user, group) = (getuid(), getgid());
    let groups = getgroups()?.into_iter().map(Gid::as_raw).collect();
    if getegid() != group {
        setresgid(group, group, group)?;
    }
    rest_as(user.as_raw())?;
    Ok(Identity { uid: user.as_raw(), gid: group.as_raw(), groups })
}

/// Puts /dev/null in the place of a standard stream that its starter may not write to: who opens it anew by /dev/stdout, as
/// root, might.
///
/// # Errors
/// Of open(2) and dup2(2).
pub fn refuse_unwritable(number: RawFd) -> Result<(), Errno> {
    let flags = OFlag::from_bits_truncate(fcntl(raw::standard(number), FcntlArg::F_GETFL)?);
    if [OFlag::O_WRONLY, OFlag::O_RDWR].contains(&(flags & OFlag::O_ACCMODE)) {
        return Ok(());
    }
    let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    raw::duplicate(null.as_raw_fd(), number)
}

/// Is at rest as this user from now on: in a process that is root in all three ways, or was offered to be.
///
/// # Errors
/// Of setresuid(2) and prctl(2).
pub fn rest_as(user: u32) -> Result<(), Errno> {
    raw::set_users(0, user, 0)?;
    set_dumpable(false)?;
    REST.store(user, Ordering::Relaxed);
    Ok(())
}

/// Who this process is at rest; `None`: it has nothing in reserve.
pub fn rest() -> Option<u32> {
    Some(REST.load(Ordering::Relaxed)).filter(|user| *user != NOBODY)
}

/// Whether it can be root: it is, or is at rest.
pub fn can_be_root() -> bool {
    rest().is_some() || geteuid().is_root()
}

/// Whom what zei makes belongs to: root where it can be, else this user.
pub fn owner() -> u32 {
    if can_be_root() { 0 } else { geteuid().as_raw() }
}

/// Does this as root, and goes back to rest. Where there is nothing in reserve, it is just done.
pub fn as_root<T>(act: impl FnOnce() -> T) -> T {
    let Some(user) = rest().filter(|_| !geteuid().is_root()) else { return act() };
    // A real and saved root may always do both.
    let _raised = raw::set_users(NOBODY, 0, NOBODY);
    let done = act();
    // Without memory for that (prepare_creds in Linux) there will be some; nothing goes on as root.
    while raw::set_users(NOBODY, user, NOBODY).is_err() {
        let _a_millisecond = poll(&mut [], PollTimeout::from(1u8));
    }
    done
}

/// In a new process, before it becomes a program: root in all three ways, with nothing in reserve.
///
/// # Errors
/// Of setresuid(2).
pub fn begin_new_process() -> Result<(), Errno> {
    if rest().is_some() { raw::set_users(0, 0, 0) } else { Ok(()) }
}

/// Becomes the user at rest for good.
///
/// # Errors
/// Of setresuid(2), or EPERM where root could come back: the process must end.
pub fn give_up() -> Result<(), Errno> {
    let Some(user) = rest() else { return Ok(()) };
    raw::set_users(user, user, user)?;
    REST.store(NOBODY, Ordering::Relaxed);
    if raw::set_users(NOBODY, 0, NOBODY).is_ok() || geteuid() != Uid::from_raw(user) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_nothing_in_reserve_is_what_it_is() {
        let before = geteuid();
        assert!(!is_offered());
        assert_eq!(rest(), None);
        assert_eq!(as_root(geteuid), before);
        assert_eq!((begin_new_process(), give_up()), (Ok(()), Ok(())));
        assert_eq!((geteuid(), can_be_root()), (before, before.is_root()));
        assert_eq!(owner(), before.as_raw());
    }
}
