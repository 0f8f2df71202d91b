//! Services that are restarted along with what they depend on.

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use zei::protocol::status::State;
use zei::{paths, signal};
use zei_tests::process;
use zei_tests::tree::Tree;

/// `app` is restarted along with `db`, `edge` with `app`; `web` only depends on `db`.
const FAMILY: &str = "\
defaults: {restart: always, restart_delay: 0}
services:
  db: {shell: 'echo db >$J; exec sleep infinity'}
  web: {shell: 'echo web >$J; exec sleep infinity', depends_on: [db]}
  app:
    shell: 'echo app >$J; exec sleep infinity'
    depends_on: {db: {condition: service_started, restart: true}}
  edge:
    shell: 'echo edge >$J; exec sleep infinity'
    depends_on: {app: {condition: service_started, restart: true}}
";

fn family() -> Tree {
    let tree = Tree::start(FAMILY);
    tree.journal.listen("all four", |lines| (lines.len() == 4).then_some(()));
    tree.until_init("running");
    tree
}

fn runs(tree: &Tree) -> [u32; 4] {
    ["db", "web", "app", "edge"].map(|name| tree.status(name).unwrap().run)
}

fn until_run(tree: &Tree, service: &str, run: u32) {
    tree.until(service, "up again", |status| status.state == State::Running && status.run >= run);
}

/// What was in its control FIFO before is done.
fn has_read_all(tree: &Tree, service: &str) {
    tree.ask(&format!("signal {service}:WINCH"));
}

/// The reading end of a control FIFO; nothing is read from it.
fn ear(tree: &Tree, service: &str) -> OwnedFd {
    open(&tree.file(service, paths::CONTROL), OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()).unwrap()
}

fn holds_a_line(ear: &OwnedFd) {
    let patience = PollTimeout::try_from(zei_tests::PATIENCE).unwrap();
    assert_eq!(poll(&mut [PollFd::new(ear.as_fd(), PollFlags::POLLIN)], patience), Ok(1));
}

#[test]
fn a_restart_by_hand_goes_on_to_those_that_asked_for_it_and_they_wait_for_what_they_depend_on() {
    let tree = family();
    tree.ask("restart db");
    until_run(&tree, "edge", 2);
    assert_eq!(runs(&tree), [2, 1, 2, 2]);
    let since = ["db", "app", "edge"].map(|name| tree.status(name).unwrap().since);
    assert!(since.is_sorted(), "{since:?}");
}

#[test]
fn a_restart_of_what_is_stopped_goes_on_to_those_that_run_as_well() {
    let tree = family();
    tree.ask("stop db");
    tree.ask("restart db");
    until_run(&tree, "edge", 2);
    assert_eq!(runs(&tree), [2, 1, 2, 2]);
}

#[test]
fn a_restart_by_policy_and_a_start_go_on_to_nobody() {
    let tree = family();
    process::kill(tree.pid("db"), signal::KILL);
    until_run(&tree, "db", 2);
    tree.ask("stop db");
    tree.ask("start db");
    // Restarted after all that, those that follow it show that zei-init has seen all that.
    assert_eq!(runs(&tree), [3, 1, 1, 1]);
    tree.ask("restart app");
    until_run(&tree, "edge", 2);
    assert_eq!(runs(&tree), [3, 1, 2, 2]);
}

#[test]
fn what_was_stopped_by_hand_stays_stopped() {
    let tree = family();
    tree.ask("stop app");
    tree.ask("restart db");
    // Another one that was told later is there, so it would be too.
    tree.ask("restart web");
    has_read_all(&tree, "db");
    assert_eq!((tree.status("app").unwrap().state, runs(&tree)), (State::Stopped, [2, 2, 1, 1]));
}

#[test]
fn a_line_that_a_killed_supervisor_did_not_read_restarts_nothing_twice() {
    let tree = family();
    let ear = ear(&tree, "app");
    let supervisor = tree.status("app").unwrap().supervisor;
    process::kill(supervisor, signal::STOP);
    tree.ask("restart db");
    holds_a_line(&ear);
    process::kill(supervisor, signal::KILL);
    until_run(&tree, "app", 2);
    has_read_all(&tree, "app");
    assert_eq!(runs(&tree)[2], 2);
    tree.until("app", "up for good", |status| status.state == State::Running && status.run == 2);
}

#[test]
fn a_full_control_fifo_only_delays_it() {
    let tree = family();
    let supervisor = tree.status("app").unwrap().supervisor;
    process::kill(supervisor, signal::STOP);
    let mut fifo = File::options().write(true).open(tree.file("app", paths::CONTROL)).unwrap();
    fifo.write_all(&[b'\n'; 4096]).unwrap();
    tree.ask("restart db");
    // Were there room for it, it would stand there by now.
    tree.ask("restart db");
    process::kill(supervisor, signal::CONT);
    until_run(&tree, "edge", 2);
    assert_eq!(runs(&tree), [3, 1, 2, 2]);
}
