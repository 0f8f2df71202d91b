//! Control groups of services, where there are such.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};
use zei::protocol::status::State;
use zei::sys::raw;
use zei_tests::skipped;
use zei_tests::tree::{Plan, Tree, can_be_pid_1, is_root};

/// Makes a group of this test's own below the machine's root, and goes on in it.
const INTO_A_GROUP: &str = "mount -t cgroup2 none /sys/fs/cgroup && mkdir /sys/fs/cgroup/${D##*/} \
                            && echo 0 >/sys/fs/cgroup/${D##*/}/cgroup.procs && exec \"$@\"";

/// A command that sees the groups of the machine.
fn among_groups(script: &str) -> bool {
    let script = format!("mount -t cgroup2 none /sys/fs/cgroup && cd /sys/fs/cgroup && {script}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// zei's group below that, as the tree sees it.
fn groups(tree: &Tree) -> io::Result<Option<PathBuf>> {
    let own = tree.directory().file_name().unwrap();
    let own = Path::new("/proc").join(tree.init.to_string()).join("root/sys/fs/cgroup").join(own);
    let all: Result<Vec<_>, _> = fs::read_dir(own)?.collect();
    Ok(all?
        .into_iter()
        .map(|entry| entry.path())
        .find(|path| path.file_name().unwrap().as_encoded_bytes().starts_with(b"zei.")))
}

/// This test's own group, which goes with it.
struct Own(String);

impl Drop for Own {
    fn drop(&mut self) {
        among_groups(&format!("test ! -d {0} || find {0} -depth -type d -exec rmdir {{}} +", self.0));
    }
}

#[test]
fn what_is_in_a_services_group_dies_with_it_and_no_group_is_left_behind() {
    let can_be = can_be_pid_1() && is_root();
    if !can_be || !(among_groups("test -w cgroup.procs") || skipped("cgroup v2")) {
        return;
    }
    let services = "services:\n  web: {shell: \"trap '' TERM; echo up >$J; exec sleep infinity\", stop_grace_period: 300ms}\n  \
                    other: {command: [sleep, infinity]}\n";
    let plan = Plan::new(services).pid_1().wrapper(&["sh", "-c", INTO_A_GROUP, "sh"]);
    let own = Own(plan.directory().file_name().unwrap().to_str().unwrap().to_owned());
    let mut tree = plan.start();
    tree.journal.expect("up");
    tree.until_state("other", State::Running);
    let of_zei = groups(&tree).unwrap().expect("a group");
    let members = |service: &str| fs::read_to_string(of_zei.join(service).join("cgroup.procs")).unwrap();
    assert_eq!((members("web").lines().count(), members("other").lines().count()), (1, 1));

    // What came there by other means is nobody's descendant.
    let mut guest = Command::new("sleep").arg("infinity").spawn().unwrap();
    fs::write(of_zei.join("web/cgroup.procs"), guest.id().to_string()).unwrap();
    let held = raw::pidfd_open(guest.id()).unwrap();
    tree.ask("stop web");
    let ended = poll(&mut [PollFd::new(held.as_fd(), PollFlags::POLLIN)], PollTimeout::from(20_000_u16));
    guest.kill().unwrap();
    assert_eq!(ended, Ok(1));
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&guest.wait().unwrap()), Some(9));
    assert_eq!((members("web").as_str(), members("other").lines().count()), ("", 1));
    let said = tree.err.expect("zei-supervise web: did not end");
    assert_eq!(said, "zei-supervise web: did not end in time; killed 2 of its processes");

    tree.ask("start web");
    assert_eq!(members("web").lines().count(), 1);
    // New programs know them, too.
    tree.ask("upgrade");
    tree.ask("restart web");
    tree.ask("restart other");
    assert_eq!((members("web").lines().count(), members("other").lines().count()), (1, 1));
    assert_eq!(tree.stop().0, 0);
    assert!(among_groups(&format!("rmdir {}", own.0)), "something is left in it");
}
