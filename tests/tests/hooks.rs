//! Commands around a service's life: before its start, after its end, and at a reload; and single runs.

use std::fs;
use zei::exit::Exit;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::process::{self, descendants, is_alive, name};
use zei_tests::tree::{Plan, Tree, is_root};

const LISTENER: &str = env!("CARGO_BIN_EXE_listener");

fn lines(tree: &Tree, count: usize) -> Vec<String> {
    tree.journal.listen("so many lines", |lines| (lines.len() >= count).then(|| lines.to_vec()))
}

/// The answer to a command with this token, once its outcome stands.
fn answer(tree: &Tree, service: &str, token: &str, line: &str) -> String {
    tree.echo(service, &format!("{token} {line}"));
    let mut found = String::new();
    tree.until(service, "answering", |_| {
        let acks = fs::read_to_string(tree.file(service, "acks")).unwrap_or_default();
        let line = acks.lines().find(|line| line.starts_with(token) && !line.contains(" accepted "));
        found = line.unwrap_or_default().trim_end().to_owned();
        !found.is_empty()
    });
    // Without the time.
    found.split(' ').filter(|word| !word.starts_with("at=")).collect::<Vec<_>>().join(" ")
}

#[test]
fn hooks_run_before_each_start_and_after_each_end_which_they_are_told() {
    let tree = Tree::start(
        "services:\n  web:\n    shell: 'echo run >$J; mkdir $D/one && exit 3; mkdir $D/two && kill -9 $$; \
         exec sleep infinity'\n    restart: on-failure\n    restart_delay: 0\n    \
         pre_start: {shell: 'echo pre $ZEI_SERVICE >$J'}\n    \
         post_stop: {shell: 'echo post code=$ZEI_EXIT_CODE signal=$ZEI_EXIT_SIGNAL >$J'}\n",
    );
    lines(&tree, 8);
    tree.pid("web");
    tree.ask("stop web");
    let expected = [
        "pre web",
        "run",
        "post code=3 signal=",
        "pre web",
        "run",
        "post code= signal=KILL",
        "pre web",
        "run",
        "post code= signal=TERM",
    ];
    assert_eq!(tree.journal.all(), expected);
    assert_eq!(tree.status("web").unwrap().state, State::Stopped);
}

#[test]
fn hooks_are_made_as_the_service_is() {
    if !is_root() {
        return;
    }
    let hook = "{shell: 'echo $0 $(id -u):$(id -g) $(pwd) $(umask) $OWN >$J'}";
    let tree = Tree::start(&format!(
        "services:\n  web: {{command: ['true'], oneshot: true, user: '4242:4343', working_dir: /usr, umask: '027', \
         environment: {{OWN: yes}}, pre_start: {hook}, post_stop: {hook}}}\n"
    ));
    assert_eq!(lines(&tree, 2), ["/bin/sh 4242:4343 /usr 0027 yes"; 2]);
}

#[test]
fn a_pre_start_that_fails_is_a_failed_start_and_the_service_never_runs() {
    let tree = Tree::start(
        "services:\n  coded: {shell: 'echo run >$J', pre_start: {shell: 'exit 7'}}\n  \
         killed: {shell: 'echo run >$J', pre_start: {shell: 'kill -9 $$'}}\n  \
         absent: {shell: 'echo run >$J', pre_start: [/no/such/program]}\n  \
         slow: {shell: 'echo run >$J', pre_start: {shell: 'sleep 1001 & exec sleep 1002', timeout: 200ms}}\n  \
         again: {shell: 'exec sleep infinity', restart: on-failure, restart_delay: 20ms, \
         pre_start: {shell: 'mkdir $D/again && exit 1; exit 0'}}\n  \
         app: {command: ['true'], depends_on: [coded]}\n",
    );
    for (service, reason) in [
        ("coded", "pre-start:exit:7"),
        ("killed", "pre-start:signal:KILL"),
        ("absent", "pre-start:spawn:cannot execute the program: No such file or directory"),
        ("slow", "pre-start:signal:KILL"),
        ("app", "dependency:coded"),
    ] {
        assert_eq!(tree.until_state(service, State::Failed).reason.as_str(), reason, "{service}");
    }
    tree.err.expect("zei-supervise absent: pre_start: cannot execute the program: No such file or directory");
    tree.pid("again");
    assert_eq!(tree.status("again").unwrap().restarts, 1);
    assert!(tree.journal.all().is_empty());
    let left = tree.descendants().into_iter().filter_map(name).filter(|name| name == "sleep");
    assert_eq!(left.count(), 1);
}

#[test]
fn what_a_hook_leaves_behind_is_gone_before_the_service_starts() {
    let tree = Tree::start(
        "services:\n  web: {command: [tail, -f, /dev/null], \
         pre_start: {shell: '(setsid sleep 1001 &); sleep 1002 & exit 0'}}\n",
    );
    let supervisor = tree.until_state("web", State::Running).supervisor;
    let deadline = std::time::Instant::now() + zei_tests::PATIENCE;
    while descendants(supervisor).into_iter().filter(|pid| is_alive(*pid)).count() > 1 {
        assert!(std::time::Instant::now() < deadline, "{:?}", descendants(supervisor));
        std::thread::yield_now();
    }
}

#[test]
fn a_stop_during_a_hook_ends_the_hook_and_a_post_stop_that_hangs_is_killed() {
    let tree = Tree::start(
        "services:\n  pre: {command: [sleep, infinity], pre_start: {shell: 'echo pre >$J; exec sleep infinity'}}\n  \
         post: {command: [sleep, infinity], post_stop: {shell: 'sleep 1001 & exec sleep 1002', timeout: 200ms}}\n",
    );
    tree.journal.expect("pre");
    tree.until_state("pre", State::Starting);
    tree.ask("stop pre");
    assert_eq!(tree.status("pre").unwrap().state, State::Stopped);
    tree.pid("post");
    tree.ask("stop post");
    assert_eq!(tree.status("post").unwrap().state, State::Stopped);
    let left = tree.descendants().into_iter().filter_map(name).filter(|name| name == "sleep");
    assert_eq!(left.count(), 0);
}

#[test]
fn a_reload_is_a_signal_or_a_command_and_its_outcome_is_answered() {
    let tree = Plan::new(
        "services:\n  plain: {command: ['@D/listener', '@J', plain]}\n  \
         other: {command: ['@D/listener', '@J', other], reload: USR2}\n  \
         well: {command: ['@D/listener', '@J', well], reload: {shell: 'kill -USR1 $MAINPID'}}\n  \
         badly: {command: ['@D/listener', '@J', badly], reload: {shell: 'echo broken >$J; exit 3'}}\n  \
         off: {command: ['@D/listener', '@J', off], autostart: false, reload: {shell: 'exit 0'}}\n",
    )
    .install("listener", LISTENER)
    .start();
    lines(&tree, 4);
    let pid = tree.pid("plain");
    assert_eq!(answer(&tree, "plain", "token001", "reload"), format!("token001 done 0 pid={pid}"));
    tree.journal.expect("plain HUP");
    tree.echo("other", "- reload");
    tree.journal.expect("other USR2");
    let pid = tree.pid("well");
    assert_eq!(answer(&tree, "well", "token002", "reload"), format!("token002 done 0 pid={pid}"));
    tree.journal.expect("well USR1");
    let failed = "token003 failed 1 its reload command failed: exit code 3";
    assert_eq!(answer(&tree, "badly", "token003", "reload"), failed);
    assert_eq!(tree.status("badly").unwrap().run, 1);
    assert_eq!(answer(&tree, "off", "token004", "reload"), "token004 failed 1 it does not run");
}

#[test]
fn a_single_run_is_followed_by_none_and_wants_its_dependencies() {
    let tree = Tree::start(
        "services:\n  web: {shell: 'echo run >$J; read x <$D/go; exit 3', restart: always, restart_delay: 0, \
         autostart: false, depends_on: [db]}\n  db: {command: [sleep, infinity], autostart: false}\n  \
         hold: {command: [sleep, infinity]}\n",
    );
    nix::unistd::mkfifo(&tree.directory().join("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(answer(&tree, "web", "token001", "once").starts_with("token001 done 0 pid="));
    tree.pid("db");
    fs::write(tree.directory().join("go"), "go\n").unwrap();
    let status = tree.until_state("web", State::Failed);
    assert_eq!((status.exit, status.restarts, status.run), (Some(Exit::Code(3)), 0, 1));
    assert_eq!(tree.journal.all(), ["run"]);
}

#[test]
fn a_drained_service_is_not_ready_first_and_is_asked_to_end_after_that() {
    let tree = Plan::new("services:\n  web: {command: ['@D/listener', '@J', web], drain: 400ms}\n")
        .install("listener", LISTENER)
        .start();
    tree.journal.expect("web up");
    tree.until_state("web", State::Running);
    tree.echo("web", "- stop");
    let status = tree.until_state("web", State::Stopping);
    assert!(!status.ready && status.pid.is_some());
    assert_eq!(tree.journal.all(), ["web up"]);
    tree.until_state("web", State::Stopped);
    assert_eq!(tree.journal.all(), ["web up", "web TERM"]);
    assert!(tree.status("web").unwrap().since >= status.since + 400);
}

#[test]
fn a_hook_of_a_killed_supervisor_is_not_taken_for_the_service() {
    let tree = Tree::start(
        "services:\n  web: {command: [sleep, infinity], \
         pre_start: {shell: 'mkdir $D/first || exit 0; echo pre $$ >$J; exec sleep 1001'}}\n",
    );
    let hook: u32 = tree.journal.expect("pre").rsplit(' ').next().unwrap().parse().unwrap();
    let before = tree.until_state("web", State::Starting).supervisor;
    process::kill(before, signal::KILL);
    let status = tree.until("web", "up", |status| status.supervisor != before && status.state == State::Running);
    assert!(!is_alive(hook) && status.pid != Some(hook), "{status:?}");
}
