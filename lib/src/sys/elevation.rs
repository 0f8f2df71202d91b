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
use nix::sys::prctl::{self, set_dumpable};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, getegid, geteuid, getgid, getgroups, getpid, getppid, getresuid, getuid, setresgid};
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
    // Nothing goes on as root.
    be_again(user);
    done
}

/// Does this by the rights of another user, as a process whose effective user that is, and is root again. It may send
/// signals and nothing else: what it opened would be that user's. EPERM in a process that is not root now, or is not in
/// reserve: the real and the saved user are what others may signal a process by (kill(2)), so meanwhile none may, and
/// nobody may trace it, who would have to be all three.
///
/// # Errors
/// Of setresuid(2).
pub fn as_user<T>(user: u32, act: impl FnOnce() -> T) -> Result<T, Errno> {
    let own = getresuid()?;
    if ![own.real, own.effective, own.saved].iter().all(|id| id.is_root()) {
        return Err(Errno::EPERM);
    }
    let (told, parent) = (prctl::get_pdeathsig()?, getppid());
    raw::set_users(NOBODY, user, NOBODY)?;
    let done = act();
    be_again(0);
    // A change of the effective user forgets whom the end of the parent is told (PR_SET_PDEATHSIG(2const)). It makes the
    // process not dumpable, too, as each start of a service under another user does: /proc/self is root's then.
    if let Some(signal) = told {
        prctl::set_pdeathsig(signal)?;
        if getppid() != parent {
            raw::kill(getpid().as_raw(), signal as u8)?;
        }
    }
    Ok(done)
}

/// Gets the effective user back that this process had. One that is really root, or is it in reserve, may always do so;
/// without memory for it (prepare_creds in Linux) there will be some.
fn be_again(user: u32) {
    while raw::set_users(NOBODY, user, NOBODY).is_err() || geteuid() != Uid::from_raw(user) {
        let _a_millisecond = poll(&mut [], PollTimeout::from(1u8));
    }
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
        let other = as_user(4711, || getresuid().map(|ids| [ids.real, ids.effective, ids.saved].map(Uid::as_raw)));
        assert_eq!(other, if before.is_root() { Ok(Ok([0, 4711, 0])) } else { Err(Errno::EPERM) });
        assert_eq!(geteuid(), before);
    }
}
