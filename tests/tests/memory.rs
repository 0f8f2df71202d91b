//! A service that the kernel kills because memory is short.

use std::fs;
use std::path::{Path, PathBuf};
use zei::protocol::status::State;
use zei::signal;
use zei_tests::process;
use zei_tests::skipped;
use zei_tests::tree::Plan;

/// A control group of the test's own below the one that this process is in, with 64 MB; removed with it.
struct Group(PathBuf);

impl Group {
    fn make() -> Option<Group> {
        let counter = zei::sys::oom::counter()?;
        let parent = Path::new(counter.to_str().ok()?).parent()?.to_path_buf();
        let group = parent.join(format!("zei-test-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let group = Group(group);
        let (limits, value) = (["memory.max", "memory.limit_in_bytes"], "67108864");
        let limited = limits.iter().any(|file| fs::write(group.0.join(file), value).is_ok());
        for file in ["memory.swap.max", "memory.memsw.limit_in_bytes"] {
            let _where_there_is_swap = fs::write(group.0.join(file), if file.contains("max") { "0" } else { value });
        }
        limited.then_some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Whatever was in it is dead, but may not be gone yet.
        let deadline = std::time::Instant::now() + zei_tests::PATIENCE;
        while fs::remove_dir(&self.0).is_err() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_death_for_want_of_memory_is_told_from_a_kill_by_hand() {
    let Some(group) = Group::make() else {
        skipped("to be allowed a memory control group");
        return;
    };
    let plan = Plan::new(
        "services:\n  greedy: {shell: 'read x <$D/go; x=zei; while :; do x=$x$x; done'}\n  \
         modest: {command: [sleep, infinity]}\n  hold: {command: [sleep, infinity]}\n",
    );
    nix::unistd::mkfifo(&plan.directory().join("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let join = format!("echo $$ >{}/cgroup.procs; exec \"$@\"", group.0.display());
    let tree = plan.wrapper(&["sh", "-c", &join, "sh"]).start();
    process::kill(tree.pid("modest"), signal::KILL);
    assert_eq!(tree.until_state("modest", State::Failed).reason.as_str(), "signal:KILL");
    fs::write(tree.directory().join("go"), "go\n").unwrap();
    assert_eq!(tree.until_state("greedy", State::Failed).reason.as_str(), "oom:signal:KILL");
    tree.err.expect("zei-supervise greedy: failed (oom:signal:KILL)");
    drop(tree);
}
