//! Who this process is, and how it becomes somebody else for good.
//!
//! Owns: reading the user files, and the one order in which credentials are given up: groups, group,
//! user, each checked afterwards. Must never: look a name up, or go on with half of a change.

use crate::model::privileges::Capabilities;
use crate::model::spec::Identity;
use crate::model::switching::{Granted, Ids};
use crate::model::users::{GROUP, PASSWD, Users};
use crate::sys::raw;
use core::fmt;
use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid};
use std::io;

/// A user file that is there but can't be read.
#[derive(Debug)]
pub struct ReadError {
    /// The file.
    pub path: &'static str,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't read {}: {}: make it readable for everyone, as it usually is", self.path, self.error)
    }
}

/// Reads /etc/passwd and /etc/group. A file that doesn't exist is no error (see [`Users`]); bytes that are
/// no UTF-8 become U+FFFD, which is in no name.
///
/// # Errors
/// Where a file is there but can't be read.
pub fn read_users() -> Result<Users, ReadError> {
    Ok(Users::new(read(PASSWD)?, read(GROUP)?))
}

fn read(path: &'static str) -> Result<Option<String>, ReadError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(ReadError { path, error }),
    }
}

/// The system call at which [`switch`] failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// getgroups(2), getresuid(2) or getresgid(2).
    Read,
    /// setgroups(2).
    Groups,
    /// setresgid(2).
    Group,
    /// setresuid(2).
    User,
    /// Everything was granted, but what the process then was is not what was asked for.
    Verify,
}

/// A change of credentials that the system refused. The process may hold half of it: it must end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Where.
    pub stage: Stage,
    /// What the system said; 0 for [`Stage::Verify`].
    pub errno: Errno,
    /// What was to be.
    pub wanted: Identity,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { uid, gid, groups } = &self.wanted;
        let (call, capability) = match self.stage {
            Stage::Read => return write!(f, "can't read the own credentials: {}", self.errno.desc()),
            Stage::Verify => {
                return write!(
                    f,
                    "cannot switch to user {uid}, group {gid}: the system granted it but did not do it, \
                     or would let user 0 come back: check the securebits and security modules of this container"
                );
            }
            Stage::Groups => {
                f.write_str("cannot set the supplementary groups ")?;
                for (index, group) in groups.iter().enumerate() {
                    write!(f, "{}{group}", if index == 0 { "" } else { "," })?;
                }
                ("setgroups", "CAP_SETGID")
            }
            Stage::Group => {
                write!(f, "cannot switch to group {gid}")?;
                ("setresgid", "CAP_SETGID")
            }
            Stage::User => {
                write!(f, "cannot switch to user {uid}")?;
                ("setresuid", "CAP_SETUID")
            }
        };
        write!(f, ": {} ({call}): ", self.errno.desc())?;
        match self.errno {
            Errno::EPERM => write!(f, "run it as root, or with {capability}"),
            Errno::EINVAL => f.write_str("use ids that this user namespace maps (/proc/self/uid_map, gid_map)"),
            Errno::EAGAIN => f.write_str("raise the user's limit of processes (RLIMIT_NPROC)"),
            _ => f.write_str("check what limits this container (seccomp, security modules)"),
        }
    }
}

/// Who this process is: its real ids and its supplementary groups.
///
/// # Errors
/// Where the system refuses to tell (getgroups(2)).
pub fn current() -> Result<Identity, Errno> {
    let groups = unistd::getgroups()?.into_iter().map(Gid::as_raw).collect();
    Ok(Identity { uid: unistd::getuid().as_raw(), gid: unistd::getgid().as_raw(), groups })
}

/// What root may do here to run services as others. What can't be read is taken as granted: the start of a service tells.
pub fn granted() -> Granted {
    granted_of(raw::permitted_capabilities().map_or(Capabilities(u64::MAX), Capabilities))
}

/// The same for a program whose file makes it root, whoever starts it.
pub fn granted_by_file() -> Granted {
    granted_of(Capabilities(u64::MAX))
}

fn granted_of(own: Capabilities) -> Granted {
    // A program that root executes gets no others than these.
    let has = |name: &str| {
        Capabilities::number(name).is_none_or(|number| own.has(number) && raw::is_bounding(number) != Ok(false))
    };
    let ids = |map: &str| std::fs::read_to_string(map).map_or_else(|_| Ids::default(), |text| Ids::of_map(&text));
    Granted {
        set_uid: has("SETUID"),
        set_gid: has("SETGID"),
        kill: has("KILL"),
        chown: has("CHOWN"),
        set_groups: std::fs::read_to_string("/proc/self/setgroups").map_or(true, |text| text.trim() != "deny"),
        uids: ids("/proc/self/uid_map"),
        gids: ids("/proc/self/gid_map"),
    }
}

/// True where the program file, not its caller, gave this process its rights: it is setuid or setgid.
pub fn is_setuid() -> bool {
    unistd::getuid() != unistd::geteuid() || unistd::getgid() != unistd::getegid()
}

/// Becomes `wanted` for good: supplementary groups, then the group ids, then the user ids, real, effective
/// and saved alike, and checks that it is so. What is so already needs no privilege: setgroups(2) is left
/// out where it would change nothing; setresgid(2) and setresuid(2) then are granted to everyone.
///
/// # Errors
/// Where any step is refused, or has no effect, or, having been root, user 0 could be taken back. The
/// process then holds an unknown part of the old and the new credentials and must end without running
/// anything.
pub fn switch(wanted: &Identity) -> Result<(), Refused> {
    let refused = |stage| move |errno| Refused { stage, errno, wanted: wanted.clone() };
    let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
    let before = unistd::getresuid().map_err(refused(Stage::Read))?;
    let was_root = [before.real, before.effective, before.saved].iter().any(|uid| uid.is_root());

    set_groups(wanted).map_err(refused(Stage::Groups))?;
    unistd::setresgid(gid, gid, gid).map_err(refused(Stage::Group))?;
    unistd::setresuid(uid, uid, uid).map_err(refused(Stage::User))?;

    let users = unistd::getresuid().map_err(refused(Stage::Read))?;
    let groups = unistd::getresgid().map_err(refused(Stage::Read))?;
    let done = [users.real, users.effective, users.saved] == [uid; 3]
        && [groups.real, groups.effective, groups.saved] == [gid; 3]
        && same_rights(&current().map_err(refused(Stage::Read))?.groups, wanted);
    // With SECBIT_NO_SETUID_FIXUP a former root keeps CAP_SETUID. Nothing is asked of a process that was
    // not root: a capability of its own was given to it on purpose.
    if !done || (was_root && !uid.is_root() && can_be_root()) {
        return Err(refused(Stage::Verify)(Errno::from_raw(0)));
    }
    Ok(())
}

/// Sets the supplementary groups, unless they are so. Where that takes a privilege that is missing, a list
/// that only differs by the group id itself will do: it gives the same rights.
fn set_groups(wanted: &Identity) -> Result<(), Errno> {
    let held = current()?.groups;
    if members(&held, None) == members(&wanted.groups, None) {
        return Ok(());
    }
    let groups: Vec<Gid> = wanted.groups.iter().copied().map(Gid::from_raw).collect();
    match unistd::setgroups(&groups) {
        Err(Errno::EPERM) if same_rights(&held, wanted) => Ok(()),
        result => result,
    }
}

/// Whether these groups, the group id counted in, are those that are wanted.
fn same_rights(held: &[u32], wanted: &Identity) -> bool {
    members(held, Some(wanted.gid)) == members(&wanted.groups, Some(wanted.gid))
}

/// Sorted, each once.
fn members(groups: &[u32], gid: Option<u32>) -> Vec<u32> {
    let mut members: Vec<u32> = groups.iter().copied().chain(gid).collect();
    members.sort_unstable();
    members.dedup();
    members
}

/// Whether a former root can become root again. If so, it is root now.
fn can_be_root() -> bool {
    let unchanged = Uid::from_raw(u32::MAX);
    unistd::setresuid(unchanged, Uid::from_raw(0), unchanged).is_ok()
}

/// Becomes, for good, the user who started the program, where its file is setuid or setgid: whoever may start
/// it chooses the configuration and the command, and must not get another's rights by that.
pub fn give_up_setuid() -> Result<(), Errno> {
    let (user, group) = (unistd::getuid(), unistd::getgid());
    if unistd::getegid() != group {
        unistd::setresgid(group, group, group)?;
    }
    if unistd::geteuid() != user {
        unistd::setresuid(user, user, user)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stage: Stage, errno: Errno) -> String {
        Refused { stage, errno, wanted: Identity { uid: 1000, gid: 50, groups: vec![50, 44] } }.to_string()
    }

    #[test]
    fn becoming_who_one_is_needs_nothing_and_changes_nothing() {
        let before = current().unwrap();
        assert_eq!(switch(&before), Ok(()));
        assert_eq!(current(), Ok(before));
        assert!(!is_setuid());
    }

    #[test]
    fn a_refusal_says_what_where_and_what_to_do() {
        assert_eq!(
            refused(Stage::User, Errno::EPERM),
            "cannot switch to user 1000: Operation not permitted (setresuid): run it as root, or with CAP_SETUID"
        );
        assert_eq!(
            refused(Stage::Groups, Errno::EPERM),
            "cannot set the supplementary groups 50,44: Operation not permitted (setgroups): \
             run it as root, or with CAP_SETGID"
        );
        assert!(refused(Stage::Group, Errno::EINVAL).starts_with("cannot switch to group 50: Invalid argument"));
        assert!(refused(Stage::Verify, Errno::from_raw(0)).contains("securebits"));
    }

    #[test]
    fn order_repetition_and_the_group_id_itself_make_no_difference_to_rights() {
        let wanted = Identity { uid: 0, gid: 2, groups: vec![2, 1, 3] };
        for held in [&[1, 2, 3][..], &[3, 1], &[3, 3, 1]] {
            assert!(same_rights(held, &wanted), "{held:?}");
        }
        for held in [&[][..], &[1, 2], &[1, 2, 3, 4]] {
            assert!(!same_rights(held, &wanted), "{held:?}");
        }
    }

    #[test]
    fn a_file_that_is_missing_is_told_apart_from_one_that_cannot_be_read() {
        assert!(read("/nonexistent/passwd").unwrap().is_none());
        assert!(read("/proc/self/status/passwd").unwrap().is_none());
        let error = read("/proc/self").unwrap_err();
        assert!(error.to_string().starts_with("can't read /proc/self: Is a directory"), "{error}");
    }
}
