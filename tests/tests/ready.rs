//! How services become ready, and who waits for that.

use nix::sys::stat::Mode;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use zei::exit::Exit;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::process::{self, is_alive};
use zei_tests::tree::{Plan, Tree, is_root};

const TELLER: &str = env!("CARGO_BIN_EXE_teller");

/// With a FIFO `go` that services may wait for by `read x <$D/go`, and the program `teller`.
fn plan(yaml: &str) -> Plan {
    let plan = Plan::new(yaml).install("teller", TELLER);
    let go = plan.directory().join("go");
    nix::unistd::mkfifo(&go, Mode::empty()).unwrap();
    fs::set_permissions(&go, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    plan
}

/// Lets one service go on that waits for it; waits until it does.
fn go(tree: &Tree) {
    File::options().write(true).open(tree.directory().join("go")).unwrap().write_all(b"go\n").unwrap();
}

/// A line of the journal that begins with this word, and what stands behind it.
fn told(tree: &Tree, word: &str) -> String {
    let line = tree.journal.expect(word);
    line.strip_prefix(word).unwrap().trim().to_owned()
}

fn tell(address: &str, text: &str) {
    let address = SocketAddr::from_abstract_name(address.strip_prefix('@').unwrap()).unwrap();
    UnixDatagram::unbound().unwrap().send_to_addr(text.as_bytes(), &address).unwrap();
}

#[test]
fn a_service_that_says_so_by_sd_notify_is_ready_then_and_its_dependents_wait_for_that() {
    let tree = plan(
        "services:\n  web:\n    ready: {notify: systemd}\n    shell: 'echo up >$J; read x <$D/go; \
         $D/teller READY=1 \"STATUS=all is well\"; exec sleep infinity'\n  \
         app: {command: [sleep, infinity], depends_on: [web]}\n",
    );
    let tree = tree.start();
    tree.journal.expect("up");
    let status = tree.until_state("web", State::Starting);
    assert_eq!((status.ready, status.pid.is_some()), (false, true));
    assert_eq!(tree.until_state("app", State::Waiting).run, 0);
    go(&tree);
    let status = tree.until_state("web", State::Running);
    assert_eq!((status.ready, status.text.as_str()), (true, "all is well"));
    tree.until_state("app", State::Running);
    assert_eq!(tree.status("web").unwrap().run, 1);
}

#[test]
fn what_others_say_of_a_service_does_not_count_and_what_its_user_and_root_say_does() {
    if !is_root() {
        return;
    }
    let tree = plan(
        "services:\n  web: {user: 4242, group: 4242, ready: {notify: systemd}, \
         shell: 'echo socket $NOTIFY_SOCKET >$J; exec sleep infinity'}\n  \
         other: {user: 4343, group: 4343, shell: 'read x <$D/go; \
         NOTIFY_SOCKET=$x $D/teller READY=1 STATUS=lies; echo lied >$J; exec sleep infinity'}\n  \
         same: {user: 4242, group: 4343, shell: 'read x <$D/go; NOTIFY_SOCKET=$x $D/teller READY=1; exec sleep infinity'}\n",
    )
    .start();
    let address = told(&tree, "socket");
    let say_address = || {
        let mut go = File::options().write(true).open(tree.directory().join("go")).unwrap();
        go.write_all(format!("{address}\n").as_bytes()).unwrap();
    };
    // Whoever of the two reads it first; the other one comes next.
    tree.ask("stop same");
    say_address();
    tree.journal.expect("lied");
    // The order of datagrams is kept, so this one comes behind the lie.
    tell(&address, "STATUS=truth");
    let status = tree.until("web", "told the truth", |status| !status.text.is_empty());
    assert_eq!((status.text.as_str(), status.state), ("truth", State::Starting));
    tree.ask("start same");
    say_address();
    tree.until_state("web", State::Running);
}

#[test]
fn a_newline_on_the_descriptor_of_its_choice_makes_a_service_ready() {
    for number in [3, 9, 11, 200] {
        let tree = plan(&format!(
            "services:\n  web: {{ready: {{notify: {{fd: {number}}}}}, command: [bash, -c, 'echo up >$J; \
             printf half >&{number}; read x <$D/go; echo >&{number}; exec sleep infinity']}}\n"
        ));
        let tree = tree.start();
        tree.journal.expect("up");
        assert!(!tree.until_state("web", State::Starting).ready);
        go(&tree);
        let pid = tree.pid("web");
        let target = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
        assert!(target.to_str().unwrap().starts_with("pipe:"), "{number}: {target:?}");
        let flags = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap();
        assert!(flags.contains("flags:\t01\n") || flags.contains("flags:\t0100001\n"), "write-only, blocking: {flags}");
    }
}

#[test]
fn what_an_earlier_run_has_said_is_nothing_to_the_next_one() {
    for (ready, say) in [("systemd", "$D/teller READY=1 STATUS=first"), ("{fd: 3}", "echo >&3")] {
        let tree = plan(&format!(
            "services:\n  web: {{ready: {{notify: {ready}}}, restart: always, restart_delay: 0, \
             shell: 'echo up >$J; if mkdir $D/first; then {say}; {say}; exec sleep infinity; fi; \
             read x <$D/go; {say}; exec sleep infinity'}}\n"
        ));
        let tree = tree.start();
        let first = tree.pid("web");
        // Its last words come too late for it.
        let supervisor = tree.status("web").unwrap().supervisor;
        process::kill(supervisor, signal::STOP);
        process::kill(first, signal::KILL);
        if ready == "systemd" {
            // Still in the socket when the next run begins.
            let environment = fs::read(format!("/proc/{first}/environ")).unwrap_or_default();
            let text = String::from_utf8_lossy(&environment).into_owned();
            if let Some(address) = text.split('\0').find_map(|line| line.strip_prefix("NOTIFY_SOCKET=")) {
                tell(address, "READY=1");
            }
        }
        process::kill(supervisor, signal::CONT);
        tree.journal.listen("a second run", |lines| (lines.len() == 2).then_some(()));
        let status = tree.until("web", "in its second run", |status| status.run == 2 && status.pid.is_some());
        assert_eq!((status.state, status.text.as_str()), (State::Starting, ""), "{ready}");
        go(&tree);
        assert_ne!(tree.pid("web"), first);
    }
}

#[test]
fn a_service_can_tell_whatever_supervisor_it_has() {
    for (ready, say) in [("systemd", "$D/teller READY=1 STATUS=up"), ("{fd: 3}", "echo >&3")] {
        let tree = plan(&format!(
            "services:\n  web: {{ready: {{notify: {ready}}}, restart: always, restart_delay: 0, \
             shell: '{say}; exec sleep infinity'}}\n  other: {{command: [sleep, infinity]}}\n"
        ));
        let tree = tree.start();
        for _supervisor in 0..2 {
            let before = tree.until_state("web", State::Running);
            process::kill(before.supervisor, signal::KILL);
            tree.until("web", "ready again", |status| status.supervisor != before.supervisor && status.ready);
        }
        // One that was started after it has got nothing of it.
        let other = tree.until_state("other", State::Running).supervisor;
        process::kill(other, signal::KILL);
        let after = tree.until("other", "replaced", |status| status.supervisor != other);
        let target = fs::read_link(format!("/proc/{}/fd/9", after.supervisor)).unwrap_or_default();
        let target = target.to_str().unwrap();
        assert!(!target.starts_with("socket:") && !target.starts_with("pipe:"), "{target}");
    }
}

#[test]
fn a_command_is_tried_until_it_succeeds_and_its_last_words_are_told_where_it_never_does() {
    let tree = plan(
        "services:\n  web: {command: [sleep, infinity], ready: {exec: [test, -e, '@D/flag'], interval: 20ms}}\n  \
         app: {command: [sleep, infinity], depends_on: [web]}\n  \
         never: {command: [sleep, infinity], \
         ready: {exec: [sh, -c, 'echo no luck >&2; exit 3'], interval: 20ms, timeout: 400ms}}\n",
    )
    .start();
    let status = tree.until_state("never", State::Failed);
    assert_eq!((status.reason.as_str(), status.exit), ("not-ready:signal:TERM", Some(Exit::Signal(signal::TERM))));
    tree.err.expect("zei-supervise never: not ready within 400ms (no luck)");
    assert_eq!(tree.status("web").unwrap().state, State::Starting);
    assert_eq!(tree.status("app").unwrap().state, State::Waiting);
    fs::write(tree.directory().join("flag"), "").unwrap();
    tree.until_state("web", State::Running);
    tree.until_state("app", State::Running);
}

#[test]
fn a_service_that_ends_before_it_is_ready_has_failed_whatever_its_code() {
    let tree = plan(
        "services:\n  zero: {shell: 'exit 0', ready: {notify: systemd}}\n  \
         one: {shell: 'exit 1', ready: {exec: ['false']}}\n  hold: {command: [sleep, infinity]}\n",
    )
    .start();
    for (name, reason) in [("zero", "not-ready:exit:0"), ("one", "not-ready:exit:1")] {
        assert_eq!(tree.until_state(name, State::Failed).reason.as_str(), reason);
    }
}

#[test]
fn another_process_can_be_made_the_main_one_and_the_first_may_end() {
    let tree = plan(
        "services:\n  web: {ready: {notify: systemd}, stop_signal: USR1, \
         shell: 'sleep infinity & $D/teller MAINPID=$! READY=1; echo child $! >$J; exit 0'}\n",
    )
    .start();
    let child: u32 = told(&tree, "child").parse().unwrap();
    assert_eq!(tree.pid("web"), child);
    // Once its parent is gone, it is the supervisor's own child.
    let supervisor = tree.status("web").unwrap().supervisor;
    while zei::sys::process::parent(child) != Some(supervisor) {
        assert!(is_alive(child));
        std::thread::yield_now();
    }
    // What becomes of it is what becomes of the service.
    tree.ask("stop web");
    let status = tree.status("web").unwrap();
    assert_eq!((status.state, status.exit), (State::Stopped, Some(Exit::Signal(signal::USR1))));
    assert!(!is_alive(child));
}

#[test]
fn the_end_of_a_main_process_that_is_anothers_child_is_noticed() {
    let tree = plan(
        "services:\n  web: {ready: {notify: systemd}, shell: 'trap \"echo asked >$J; exit 0\" TERM; \
         sleep infinity & $D/teller MAINPID=$! READY=1; echo child $! >$J; wait $!; echo parent >$J; wait; \
         while :; do sleep 1000; done'}\n  hold: {command: [sleep, infinity]}\n",
    )
    .start();
    let child: u32 = told(&tree, "child").parse().unwrap();
    assert_eq!(tree.pid("web"), child);
    tree.ask("signal web:USR1");
    // Its parent, which alone knows how it ended, is asked to end as all that is left.
    let status = tree.until_state("web", State::Completed);
    assert_eq!((status.pid, status.exit), (None, Some(Exit::Code(0))));
    assert!(!is_alive(child));
}

#[test]
fn a_process_that_is_not_the_services_own_does_not_become_its_main_one() {
    let tree = plan(
        "services:\n  web: {ready: {notify: systemd}, shell: 'echo socket $NOTIFY_SOCKET >$J; exec sleep infinity'}\n",
    )
    .start();
    let address = told(&tree, "socket");
    let own = tree.until_state("web", State::Starting).pid;
    for stranger in [1, std::process::id(), tree.init, tree.status("web").unwrap().supervisor, 4_000_000] {
        tell(&address, &format!("MAINPID={stranger}"));
    }
    tell(&address, "READY=1");
    assert_eq!(tree.until_state("web", State::Running).pid, own);
}

#[test]
fn a_service_may_ask_for_more_time_and_may_say_that_it_is_not_ready_any_more() {
    let tree = plan(
        "services:\n  web: {ready: {notify: systemd, timeout: 60s}, \
         shell: 'echo socket $NOTIFY_SOCKET >$J; exec sleep infinity'}\n",
    )
    .start();
    let address = told(&tree, "socket");
    let before = tree.until_state("web", State::Starting).deadline.unwrap();
    tell(&address, "EXTEND_TIMEOUT_USEC=600000000");
    tree.until("web", "given time", |status| status.deadline.is_some_and(|deadline| deadline > before + 400_000));
    tell(&address, "READY=1");
    assert!(tree.until_state("web", State::Running).ready);
    tell(&address, "STOPPING=1\nSTATUS=over");
    let status = tree.until("web", "ending", |status| !status.ready && status.text.as_str() == "over");
    assert_eq!(status.state, State::Running);
}

#[test]
fn a_service_without_a_readiness_test_has_no_descriptor_and_no_variable_for_it() {
    let tree = plan("services:\n  web: {shell: 'echo socket=$NOTIFY_SOCKET= >$J; exec sleep infinity'}\n").start();
    assert_eq!(tree.journal.expect("socket"), "socket==");
    let status = tree.until_state("web", State::Running);
    let supervisor = fs::read_dir(format!("/proc/{}/fd", status.supervisor)).unwrap();
    let sockets = supervisor.filter(|entry| {
        let target = fs::read_link(entry.as_ref().unwrap().path()).unwrap_or_default();
        target.to_str().is_some_and(|target| target.starts_with("socket:"))
    });
    assert_eq!(sockets.count(), 0);
}
