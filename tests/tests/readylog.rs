//! Services that are ready once a line of their output says so, and what is made of their last lines.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use zei::exit;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::process::{self, children, name};
use zei_tests::tree::{Plan, Tree, is_root};
use zei_tests::{PATIENCE, program};

/// With the program that it takes.
fn plan(yaml: &str) -> Plan {
    let _it_lies_beside_zei_init = program("zei-log");
    Plan::new(yaml)
}

/// The pid of zei-log.
fn pump(tree: &Tree) -> Option<u32> {
    children(tree.init).into_iter().find(|pid| name(*pid).as_deref() == Some("zei-log"))
}

/// Writes a line for a service that reads its FIFO `go`.
fn go(tree: &Tree, line: &str) {
    fs::write(tree.directory().join("go"), format!("{line}\n")).unwrap();
}

/// A service that writes what it reads from its FIFO, which it holds open for both directions: it meets no end between
/// two writers.
const ECHO: &str =
    "mkfifo $D/go; exec 3<>$D/go; while read x <&3; do case $x in err*) echo $x >&2;; *) echo $x;; esac; done";

fn echo(pattern: &str) -> String {
    format!(
        "defaults: {{log: inherit}}\nservices:\n  web:\n    ready: {{log: '{pattern}'}}\n    restart: always\n    restart_delay: 0\n    \
         shell: 'rm -f $D/go; {ECHO}'\n  app: {{command: [sleep, infinity], depends_on: [web]}}\n"
    )
}

/// Waits until the service has its FIFO, then writes.
fn go_first(tree: &Tree, line: &str) {
    let until = Instant::now() + PATIENCE;
    while !tree.directory().join("go").exists() {
        assert!(Instant::now() < until, "the service has not begun: {tree:?}");
        std::thread::yield_now();
    }
    go(tree, line);
}

#[test]
fn a_service_is_ready_once_a_line_matches_and_its_output_is_the_containers() {
    let mut tree = plan(&echo("^listening on [0-9]+$")).start();
    go_first(&tree, "not listening on 1");
    tree.out.expect("not listening on 1");
    assert_eq!(tree.status("web").unwrap().state, State::Starting);
    assert_eq!(tree.until_state("app", State::Waiting).run, 0);
    go(&tree, "listening on 2");
    assert!(tree.until_state("web", State::Running).ready);
    tree.until_state("app", State::Running);
    go(&tree, "err on standard error");
    tree.err.expect("err on standard error");
    assert_eq!(tree.stop().0, 0);
    assert_eq!(tree.out.all(), ["not listening on 1", "listening on 2"]);
}

#[test]
fn each_run_has_to_say_it_again_on_whatever_stream() {
    let tree = plan(&echo("ready")).start();
    go_first(&tree, "ready 1");
    let first = tree.until_state("web", State::Running);
    fs::remove_file(tree.directory().join("go")).unwrap();
    process::kill(first.pid.unwrap(), signal::KILL);
    let second = tree.until("web", "starting anew", |status| status.run == 2 && status.pid.is_some());
    assert_eq!((second.state, second.ready), (State::Starting, false));
    go_first(&tree, "err ready 2");
    assert!(tree.until("web", "ready again", |status| status.state == State::Running).ready);
}

#[test]
fn neither_a_killed_zei_log_nor_a_killed_supervisor_changes_that() {
    let tree = plan(&echo("ready")).start();
    go_first(&tree, "begun");
    tree.out.expect("begun");
    let (old, supervisor) = (pump(&tree).unwrap(), tree.status("web").unwrap().supervisor);
    process::kill(old, signal::KILL);
    tree.err.expect("zei-init: zei-log ended by signal KILL; replacing it");
    process::kill(supervisor, signal::KILL);
    let second = tree.until("web", "taken over", |status| status.supervisor != supervisor);
    assert_eq!((second.state, second.ready, second.run), (State::Starting, false, 1));
    go(&tree, "ready");
    let status = tree.until_state("web", State::Running);
    assert_eq!((status.ready, status.run), (true, 1), "{tree:?}\n{:?}", tree.err.all());
    assert_ne!(pump(&tree), Some(old));
    tree.out.expect("ready");
}

#[test]
fn what_is_not_ready_in_time_shows_its_last_lines_everywhere() {
    let yaml = "services:\n  web:\n    ready: {log: ready, timeout: 300ms}\n    on_failure: shutdown\n    \
                shell: 'for i in 1 2 3 4 5 6 7; do echo line $i; done; echo \"no such table\" >&2; exec sleep infinity'\n";
    let mut tree = plan(yaml).start();
    assert_ne!(tree.end().0, 0);
    let said = tree.err.whole();
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("zei-supervise web: ")).collect();
    assert_eq!(lines[0], "zei-supervise web: not ready within 300ms");
    assert_eq!(lines.len(), 7, "{said}");
    assert!(lines[1..6].contains(&"zei-supervise web: its output: no such table"), "{said}");
    assert!(lines[1..6].contains(&"zei-supervise web: its output: line 7"), "{said}");
    let (_, post_mortem) = said.split_once("zei-init: the last lines of web:\n").unwrap();
    assert!(post_mortem.contains("  line 1\n") && post_mortem.contains("  no such table"), "{said}");
}

#[test]
fn why_shows_the_last_lines_of_what_all_hangs_on() {
    let tree = plan(&echo("ready")).start();
    go_first(&tree, "cannot reach the database");
    // They are kept right after they were delivered.
    let until = Instant::now() + PATIENCE;
    loop {
        let said = tree.ask("why app");
        if said.ends_with("| cannot reach the database\n") {
            break;
        }
        assert!(Instant::now() < until, "{said}");
    }
}

#[test]
fn what_is_written_last_of_all_is_delivered_before_zei_init_ends() {
    let yaml = "services:\n  web:\n    ready: {log: '^1999$'}\n    \
                shell: 'i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done; printf end'\n";
    let mut tree = plan(yaml).start();
    // Whether its end or its last line is seen first is chance, so its code says nothing.
    tree.end();
    let expected: String = (0..2000).map(|number| format!("{number}\n")).collect();
    // The last line has no newline, so it is none to those who listen for lines.
    assert_eq!(tree.out.whole() + "\n", expected);
}

/// Waits until a FIFO takes nothing more.
fn until_full(fifo: &Path) {
    let end = File::options().read(true).write(true).open(fifo).unwrap();
    let until = Instant::now() + PATIENCE;
    while poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO) != Ok(0) {
        assert!(Instant::now() < until, "{} does not fill up", fifo.display());
        std::thread::yield_now();
    }
}

#[test]
fn a_stream_that_nobody_takes_does_not_hold_up_the_end() {
    let mut tree = plan(
        "services:\n  web: {ready: {log: ready}, shell: 'echo ready; exec yes'}\n  hold: {command: [sleep, infinity]}\n",
    )
    .wrapper(&["sh", "-c", "mkfifo deaf; exec \"$@\" <>deaf >deaf", "sh"])
    .start();
    // Though not even the first line has got out.
    assert!(tree.until_state("web", State::Running).ready);
    until_full(&tree.directory().join("deaf"));
    let (code, time) = tree.stop();
    assert_eq!(code, 0);
    assert!(time < Duration::from_secs(20), "{time:?}");
    tree.err.expect("zei-init: the container's output is not taken; some of the last lines are lost");
}

#[test]
fn a_service_under_another_user_can_open_its_streams_anew_and_read_them_it_cannot() {
    if !is_root() {
        return;
    }
    let tree = plan(
        "services:\n  web:\n    user: '4711:4712'\n    ready: {log: '^from anew$'}\n    \
         shell: 'echo from anew >/dev/stdout; echo err anew >/dev/stderr; (exec 3</dev/stdout) 2>/dev/null || \
         echo cannot be read; exec sleep infinity'\n",
    )
    .start();
    tree.until_state("web", State::Running);
    tree.err.expect("err anew");
    tree.out.expect("cannot be read");
}

#[test]
fn services_that_come_go_and_change_while_the_tree_runs_are_pumped_as_they_should() {
    let service = |name: &str, pattern: &str, line: &str| {
        format!("  {name}: {{ready: {{log: '{pattern}'}}, shell: 'echo {name} {line}; exec sleep infinity'}}\n")
    };
    let hold = "services:\n  hold: {command: [sleep, infinity]}\n";
    let tree = plan(hold).start();
    tree.pid("hold");
    assert_eq!(pump(&tree), None);
    let apply = |services: &[String]| {
        fs::write(tree.directory().join("zei.yaml"), format!("{hold}{}", services.concat())).unwrap();
        tree.ask("apply");
    };
    apply(&[service("one", "up", "up")]);
    tree.until_state("one", State::Running);
    tree.out.expect("one up");
    apply(&[service("one", "up", "up"), service("two", "up", "up")]);
    tree.until_state("two", State::Running);
    assert_eq!(tree.status("one").unwrap().run, 1);
    // Another pattern is another service.
    apply(&[service("one", "never", "up"), service("two", "up", "up")]);
    tree.until("one", "starting", |status| status.state == State::Starting && status.pid.is_some());
    apply(&[service("one", "again", "again"), service("two", "up", "up")]);
    tree.until_state("one", State::Running);
    tree.out.expect("one again");
    apply(&[service("two", "up", "up")]);
    assert!(!tree.file("one", "").exists());
    assert!(!tree.err.all().iter().any(|line| line.contains("zei-log ended")), "{tree:?}");
}

#[test]
fn without_zei_log_such_a_configuration_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for own in ["zei-init", "zei-supervise"] {
        fs::copy(program(own), directory.path().join(own)).unwrap();
    }
    let yaml = directory.path().join("zei.yaml");
    fs::write(&yaml, "services:\n  web:\n    command: [x]\n    ready: {log: up}\n").unwrap();
    let output = Command::new(directory.path().join("zei-init")).arg("-c").arg(&yaml).output().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(exit::CONFIG)));
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "web: ready: log needs zei-log, which is not there: it must lie beside zei-init\n";
    assert!(said.ends_with(expected) && said.starts_with("zei-init: "), "{said}");
}
