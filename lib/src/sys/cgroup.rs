//! Control groups of services, where zei may make some (cgroup v2; cgroups(7)): all of a group dies by one write.
//!
//! Owns: one group below zei's own for each service, and one for those. Must never: touch another's group, or move a process
//! that is not being made: what is looked for by its descent and its marks is found without them.

use crate::sys::elevation::as_root;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, unlinkat, write};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// Where cgroup v2 is mounted; beside v1, below it.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Makes the group for those of the services, `zei.TOKEN`, in this process's own. `None`: there is no cgroup v2 here, it
/// can't be written to (as in a container by default), or this process is in the machine's own root group. `token`: a random
/// number of this start; two trees may share a group.
pub fn make(token: u64) -> Option<OwnedFd> {
    as_root(|| make_in(&writable()?, token))
}

fn make_in(own: &OwnedFd, token: u64) -> Option<OwnedFd> {
    let name = format!("zei.{token:016x}");
    mkdirat(own, name.as_str(), Mode::from_bits_truncate(0o755)).ok()?;
    openat(own, name.as_str(), DIRECTORY, Mode::empty()).ok()
}

/// Whether one can be made.
pub fn can_make() -> bool {
    as_root(|| writable().is_some_and(|own| faccessat(&own, ".", AccessFlags::W_OK, AtFlags::AT_EACCESS).is_ok()))
}

/// This process's own group.
fn writable() -> Option<OwnedFd> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own_group(&groups)?;
    let is_v2 = |path: &PathBuf| statfs(path).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC);
    let own = MOUNTS.iter().map(|mount| Path::new(mount).join(own)).find(is_v2)?;
    // The root has none.
    let own = open(&own, DIRECTORY, Mode::empty()).ok()?;
    faccessat(&own, "cgroup.kill", AccessFlags::W_OK, AtFlags::AT_EACCESS).ok()?;
    Some(own)
}

/// By the text of /proc/self/cgroup; relative to a mount. `None`: it is outside of what can be seen from here.
fn own_group(groups: &str) -> Option<&Path> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    (!path.split('/').any(|part| part == "..")).then(|| Path::new(path))
}

/// Removes it, if those of the services are gone.
pub fn remove(groups: &OwnedFd) {
    if let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{}", groups.as_raw_fd())) {
        let _somebody_is_in_it = as_root(|| std::fs::remove_dir(path));
    }
}

/// The group of a service.
#[derive(Debug)]
pub struct Group {
    groups: OwnedFd,
    name: CString,
}

impl Group {
    /// The one of this name among `groups`.
    pub fn new(groups: OwnedFd, name: &str) -> Option<Group> {
        Some(Group { groups, name: CString::new(name).ok()? })
    }

    /// Makes it if it is not there. Whoever writes `0` to what is returned is in it.
    pub fn entrance(&self) -> Option<OwnedFd> {
        let mode = Mode::from_bits_truncate(0o755);
        let _there_or_not = as_root(|| mkdirat(&self.groups, self.name.as_c_str(), mode));
        self.open("cgroup.procs", OFlag::O_WRONLY).ok()
    }

    /// Kills all that is in it, with what that makes meanwhile. Returns how many there were.
    pub fn kill(&self) -> usize {
        let there = self.open("cgroup.procs", OFlag::O_RDONLY).map(std::fs::File::from);
        let there = there.and_then(|file| std::io::read_to_string(file).map_err(|_| Errno::EIO)).unwrap_or_default();
        let killed = self.open("cgroup.kill", OFlag::O_WRONLY).and_then(|file| write(&file, b"1"));
        let _found_by_other_means = killed;
        there.lines().count()
    }

    /// Removes it, if it is empty.
    pub fn remove(&self) {
        let remove = || unlinkat(&self.groups, self.name.as_c_str(), UnlinkatFlags::RemoveDir);
        let _not_empty_or_not_there = as_root(remove);
    }

    fn open(&self, file: &str, access: OFlag) -> Result<OwnedFd, Errno> {
        let own = openat(&self.groups, self.name.as_c_str(), DIRECTORY, Mode::empty())?;
        as_root(|| openat(own.as_fd(), file, access | OFlag::O_CLOEXEC, Mode::empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_that_of_v2_below_the_mount() {
        let text = "12:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n0::/system.slice/x.scope\n";
        assert_eq!(own_group(text), Some(Path::new("system.slice/x.scope")));
        assert_eq!(own_group("0::/\n"), Some(Path::new("")));
        assert_eq!(own_group("0::/../x\n"), None);
        assert_eq!(own_group("9:pids:/x\n"), None);
    }
}
