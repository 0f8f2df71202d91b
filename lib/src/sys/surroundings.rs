//! What this process finds around itself, for `zei-init doctor`.
//!
//! Owns: the looking. Must never: change or leave anything, or decide what it means.

use crate::model::doctor::{Answer, Call, File, Parent, Proc, Stream, Who};
use crate::model::privileges::Capabilities;
use crate::sys::{credentials, privileges, raw};
use nix::errno::Errno;
use nix::libc::{S_ISUID, makedev};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{SFlag, fstat, stat};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{getgid, getppid, getresuid, isatty};
use std::fs;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

/// Whom this process runs as, and by which file. `init`: the pid of zei-init, whose child this may be.
pub fn who(init: u32) -> Result<Who, Errno> {
    let ids = getresuid()?;
    let path = fs::read_link("/proc/self/exe").unwrap_or_else(|_| PathBuf::from("zei-init"));
    let is_setuid_root = stat(&path).is_ok_and(|stat| stat.st_uid == 0 && stat.st_mode & S_ISUID != 0);
    let is_nosuid = statvfs(&path).is_ok_and(|found| found.flags().contains(FsFlags::ST_NOSUID));
    let name = credentials::read_users().ok().and_then(|users| users.user(&ids.real.to_string()).ok()?.name);
    Ok(Who {
        uid: ids.real.as_raw(),
        effective: ids.effective.as_raw(),
        saved: ids.saved.as_raw(),
        gid: getgid().as_raw(),
        name,
        no_new_privs: prctl::get_no_new_privs().unwrap_or(false),
        is_first: init == 1,
        file: File { path: path.display().to_string(), is_setuid_root, is_nosuid },
    })
}

/// Whether /etc/passwd can be read.
pub fn passwd() -> Result<(), &'static str> {
    let error =
        |error: std::io::Error| error.raw_os_error().map_or("unreadable", |errno| Errno::from_raw(errno).desc());
    fs::File::open(crate::model::users::PASSWD).map(drop).map_err(error)
}

/// Who started this process.
pub fn parent() -> Parent {
    match getppid().as_raw() {
        0 => Parent::Outside,
        pid => {
            let name = fs::read_to_string(format!("/proc/{pid}/comm"));
            Parent::Named(name.map_or_else(|_| format!("process {pid}"), |name| name.trim_end().to_owned()))
        }
    }
}

/// What the system says to a call.
pub fn answer(call: Call) -> Answer {
    match raw::attempt(call) {
        Err(Errno::ENOSYS) => Answer::NoSys,
        Err(Errno::EPERM) => Answer::NoPerm,
        Ok(()) | Err(_) => Answer::Works,
    }
}

/// What can be seen in /proc.
pub fn proc() -> Proc {
    if fs::read_link("/proc/self/exe").is_err() {
        return Proc::Absent;
    }
    let sees_all = Capabilities::number("SYS_PTRACE").is_some_and(|number| privileges::own_capabilities().has(number));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // The options of the file system are the last word of its line.
    let hides = |line: &str| {
        line.split(' ').nth(4) == Some("/proc")
            && line.rsplit(' ').next().is_some_and(|options| {
                let hidden = options.split(',').find_map(|option| option.strip_prefix("hidepid="));
                hidden.is_some_and(|how| !["0", "off"].contains(&how))
            })
    };
    let is_root = nix::unistd::geteuid().is_root();
    if is_root && !sees_all && mounts.lines().any(hides) { Proc::Hidden } else { Proc::Readable }
}

/// Whether /dev/null is there.
pub fn has_null() -> bool {
    stat("/dev/null").is_ok_and(|stat| stat.st_rdev == makedev(1, 3) && is(stat.st_mode, SFlag::S_IFCHR))
}

fn is(mode: u32, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) == kind
}

/// What a standard stream is.
pub fn stream(number: RawFd) -> Stream {
    let stream = raw::standard(number);
    let Ok(found) = fstat(stream) else { return Stream::Closed };
    match SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFIFO => Stream::Pipe,
        SFlag::S_IFREG => Stream::File,
        SFlag::S_IFSOCK => Stream::Socket,
        SFlag::S_IFCHR if isatty(stream) == Ok(true) => Stream::Terminal,
        SFlag::S_IFCHR if found.st_rdev == makedev(1, 3) => Stream::Null,
        _ => Stream::Other,
    }
}

/// Soft and hard limit of descriptors.
pub fn descriptors() -> (u64, u64) {
    getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((u64::MAX, u64::MAX))
}

/// The limit of processes of this process's control group, and how many there are; `None`: there is none, or it can't be
/// read.
pub fn processes() -> Option<(u64, u64)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_number, kinds, path) = (parts.next()?, parts.next()?, parts.next()?);
        let mount = match kinds {
            "" => "/sys/fs/cgroup",
            kinds if kinds.split(',').any(|kind| kind == "pids") => "/sys/fs/cgroup/pids",
            _ => return None,
        };
        // A container's own is often mounted where the whole hierarchy is elsewhere.
        [Path::new(mount).join(path.trim_start_matches('/')), PathBuf::from(mount)]
            .iter()
            .find_map(|place| limit(place))
    };
    groups.lines().find_map(own)
}

fn limit(group: &Path) -> Option<(u64, u64)> {
    let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok();
    Some((number("pids.max")?, number("pids.current")?))
}
