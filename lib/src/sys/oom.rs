//! Deaths for want of memory: how often the kernel has killed a process of the own control group for that.
//!
//! Owns: finding the counter, and reading it. Must never: be asked at a start: the count at zei-init's own start and
//! the one after a death by SIGKILL say enough, and that one reading costs 20 µs.

use core::ffi::CStr;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// The file that counts the kills of this process's control group: `memory.events` (cgroup v2) or
/// `memory.oom_control` (v1, Linux 4.13). `None` where there is none or it can't be read.
pub fn counter() -> Option<CString> {
    use std::os::unix::ffi::OsStringExt as _;
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let files = candidates(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
    let mut named = files.into_iter().filter_map(|file| CString::new(file.into_os_string().into_vec()).ok());
    named.find(|file| kills(file).is_some())
}

/// How many processes were killed so far, as the file says.
#[inline(never)]
pub fn kills(file: &CStr) -> Option<u64> {
    let file = open(file, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let mut buffer = [0; 512];
    let length = nix::unistd::read(&file, &mut buffer).ok()?;
    let text = core::str::from_utf8(buffer.get(..length)?).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// Where the file may be, by what `/proc/self/cgroup` (cgroups(7)) and `/proc/self/mountinfo` (proc(5)) say: for each
/// mount of a hierarchy with a memory controller, the own group's directory below it, and the mount itself, which is
/// that directory wherever the container sees nothing but its own.
fn candidates(groups: &str, mounts: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut right = right.split(' ');
        let (kind, options) = (right.next().unwrap_or_default(), right.nth(1).unwrap_or_default());
        let (file, controller) = match kind {
            "cgroup2" => ("memory.events", ""),
            "cgroup" if options.split(',').any(|option| option == "memory") => ("memory.oom_control", "memory"),
            _ => continue,
        };
        // ID PARENT MAJOR:MINOR ROOT MOUNT-POINT ...
        let mut left = left.split(' ').skip(3);
        let (Some(root), Some(mount)) = (left.next(), left.next()) else { continue };
        let own = groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == controller).then_some(path)
        });
        if let Some(below) = own.and_then(|own| Path::new(own).strip_prefix(root).ok()) {
            found.push(Path::new(mount).join(below).join(file));
        }
        found.push(Path::new(mount).join(file));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(groups: &str, mounts: &str) -> Vec<String> {
        candidates(groups, mounts).into_iter().map(|path| path.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_counter_is_found_in_both_versions_with_and_without_a_namespace() {
        let unified = "31 23 0:28 / /sys/fs/cgroup ro,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate\n";
        assert_eq!(found("0::/\n", unified), vec!["/sys/fs/cgroup/memory.events"; 2]);
        assert_eq!(
            found("0::/user.slice/zei\n", unified),
            ["/sys/fs/cgroup/user.slice/zei/memory.events", "/sys/fs/cgroup/memory.events"]
        );
        // Docker without a namespace: the host's path, of which the mount shows the end.
        let old = "32 31 0:29 /docker/ab /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n\
            35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro master:13 - cgroup cgroup rw,memory\n";
        let groups = "4:memory:/docker/ab\n1:cpu,cpuacct:/docker/ab\n0::/\n";
        assert_eq!(found(groups, old), vec!["/sys/fs/cgroup/memory/memory.oom_control"; 2]);
        let (host, groups) = (old.replace("/docker/ab /", "/ /"), groups.replace("/ab", "/ab/inner"));
        assert_eq!(
            found(&groups, &host),
            ["/sys/fs/cgroup/memory/docker/ab/inner/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control"]
        );
        for (groups, mounts) in [("", ""), ("x", "y - cgroup2"), ("4:memory:/a", "1 2 3 - cgroup c rw,memory")] {
            assert!(found(groups, mounts).is_empty());
        }
    }

    #[test]
    fn the_count_is_read_from_the_files_of_both_versions() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("counter");
        let file = CString::new(path.to_str().unwrap()).unwrap();
        for (text, count) in [
            ("low 0\nhigh 0\nmax 12\noom 4\noom_kill 3\noom_group_kill 1\n", Some(3)),
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", Some(7)),
            ("oom_kill_disable 0\nunder_oom 0\n", None),
            ("oom_kill x\n", None),
            ("", None),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(kills(&file), count, "{text}");
        }
        assert_eq!(kills(c"/no/such/file"), None);
    }
}
