//! A tree that has nothing to do does nothing.

use nix::poll::{PollFd, PollFlags, poll};
use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use zei::protocol::status::State;
use zei_tests::process::{children, name, switches};
use zei_tests::program;
use zei_tests::tree::Tree;

/// How often each of zei's processes was switched away from.
fn all_switches(tree: &Tree) -> BTreeMap<u32, u64> {
    let supervisors = children(tree.init).into_iter().filter(|pid| name(*pid).as_deref() == Some("zei-supervise"));
    supervisors.chain([tree.init]).map(|pid| (pid, switches(pid).unwrap())).collect()
}

/// Lets time pass: nobody ever writes to this pipe.
fn watch_for(milliseconds: u16) {
    let (quiet, _writer) = std::io::pipe().unwrap();
    let seen = poll(&mut [PollFd::new(quiet.as_fd(), PollFlags::POLLIN)], milliseconds);
    assert_eq!(seen, Ok(0));
}

#[test]
fn an_idle_tree_in_which_services_run_wait_and_rest_has_no_context_switch_at_all() {
    let mut yaml = String::from(
        "services:\n  done: {command: ['true'], oneshot: true}\n  failed: {command: ['false']}\n  \
         later: {command: ['true'], oneshot: true, interval: 1h}\n  off: {command: ['true'], autostart: false}\n  \
         pending: {command: ['false'], restart: on-failure, restart_delay: 1h}\n  \
         endless: {command: [sleep, infinity], oneshot: true}\n  waits: {command: ['true'], depends_on: [endless]}\n  \
         stranded: {command: ['true'], depends_on: [missing]}\n  missing: {command: [/no/such/program]}\n  \
         told: {ready: {notify: {fd: 3}}, shell: 'echo >&3; exec sleep infinity'}\n  \
         mute: {ready: {notify: systemd}, command: [sleep, infinity]}\n  \
         planned: {command: ['true'], oneshot: true, schedule: '0 0 1 1 *'}\n",
    );
    for number in 0..11 {
        yaml += &format!("  s{number}: {{command: [sleep, infinity]}}\n");
    }
    let _helper = program("zei-cron");
    let tree = Tree::start(&yaml);
    for (service, state) in [
        ("told", State::Running),
        ("mute", State::Starting),
        ("done", State::Completed),
        ("failed", State::Failed),
        ("later", State::Scheduled),
        ("off", State::Stopped),
        ("pending", State::RestartPending),
        ("endless", State::Running),
        ("waits", State::Waiting),
        ("stranded", State::Failed),
    ] {
        tree.until_state(service, state);
    }
    tree.until("planned", "planned", |status| status.next.is_some());
    for number in 0..11 {
        tree.pid(&format!("s{number}"));
    }
    // The last of them may still be on its way from telling to waiting.
    let mut before = all_switches(&tree);
    for _look in 0..100 {
        watch_for(100);
        let now = all_switches(&tree);
        if now == before {
            break;
        }
        before = now;
    }
    assert_eq!(before.len(), 24, "zei-init and 23 supervisors");
    watch_for(4000);
    assert_eq!(all_switches(&tree), before);
}
