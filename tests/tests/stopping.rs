//! How a service and a whole tree end when that is asked for.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};
use zei::exit::Exit;
use zei::protocol::status::State;
use zei::signal;
use zei::sys::raw;
use zei_tests::eventually;
use zei_tests::process::{children, descendants, is_alive, kill, name};
use zei_tests::tree::{Plan, Tree};

const LISTENER: &str = env!("CARGO_BIN_EXE_listener");
const DEAF: &str = "trap '' TERM; echo up >$J; exec sleep infinity";

/// The processes below a service's supervisor.
fn processes(tree: &Tree, service: &str) -> Vec<u32> {
    descendants(tree.until_state(service, State::Running).supervisor)
}

#[test]
fn who_ignores_the_stop_signal_is_killed_at_its_deadline_and_not_before() {
    let tree = Tree::start(&format!("services:\n  web: {{shell: \"{DEAF}\", stop_grace_period: 400ms}}\n"));
    tree.journal.expect("up");
    let began = Instant::now();
    tree.ask("stop web");
    let took = began.elapsed();
    let status = tree.until_state("web", State::Stopped);
    assert_eq!((status.exit, status.want), (Some(Exit::Signal(signal::KILL)), false));
    assert!(took >= Duration::from_millis(400) && took < Duration::from_millis(2000), "{took:?}");
}

#[test]
fn a_shutdown_has_one_budget_for_all() {
    let mut tree = Tree::start(&format!(
        "shutdown_timeout: 500ms\nservices:\n  a: {{shell: \"{DEAF}\"}}\n  b: {{shell: \"{DEAF}\", depends_on: [a]}}\n  \
         c: {{shell: \"{DEAF}\", depends_on: [b], stop_grace_period: 1h}}\n"
    ));
    tree.journal.listen("three services", |lines| (lines.len() == 3).then_some(()));
    let (code, took) = tree.stop();
    assert_eq!(code, 0);
    assert!(took >= Duration::from_millis(500) && took < Duration::from_millis(2500), "{took:?}");
}

#[test]
fn the_configured_stop_signal_is_sent_and_no_other() {
    let tree = Plan::new("services:\n  web: {command: ['@D/listener', '@J', web, USR1, '5'], stop_signal: USR1}\n")
        .install("listener", LISTENER)
        .start();
    tree.journal.expect("web up");
    tree.ask("stop web");
    assert_eq!(tree.until_state("web", State::Stopped).exit, Some(Exit::Code(5)));
    assert_eq!(tree.journal.all(), ["web up", "web USR1"]);
}

/// A service with a child in its own process group, and a grandchild that has double-forked into a session of its
/// own. Each says which signals it gets.
fn family(scope: &str) -> Tree {
    let plan = Plan::new(&format!(
        "services:\n  web: {{command: ['@D/main'], stop_signal: USR1, stop_scope: {scope}, stop_grace_period: 30s}}\n"
    ));
    let listen = |who: &str| format!("@D/listener @J {who} TERM,USR1");
    let (main, member, stray) = (listen("main"), listen("member"), listen("stray"));
    let tree = plan
        .install("listener", LISTENER)
        .file("main", &format!("#!/bin/sh\n{member} &\n(setsid {stray} &)\nexec {main}\n"), 0o755)
        .start();
    for who in ["main up", "member up", "stray up"] {
        tree.journal.expect(who);
    }
    tree
}

#[test]
fn scope_tree_asks_the_main_process_then_what_it_left_behind_wherever_that_hides() {
    let tree = family("tree");
    let before = processes(&tree, "web");
    tree.ask("stop web");
    assert!(before.len() >= 3 && !before.iter().any(|pid| is_alive(*pid)), "{before:?}");
    let mut lines = tree.journal.listen("three ends", |lines| (lines.len() == 6).then(|| lines[3..].to_vec()));
    assert_eq!(lines[0], "main USR1");
    lines.sort();
    assert_eq!(lines, ["main USR1", "member TERM", "stray TERM"]);
}

#[test]
fn scope_process_asks_the_main_process_and_kills_the_rest_at_once() {
    let tree = family("process");
    let before = processes(&tree, "web");
    tree.ask("stop web");
    assert!(before.len() >= 3 && !before.iter().any(|pid| is_alive(*pid)), "{before:?}");
    assert_eq!(tree.journal.all()[3..], ["main USR1"]);
}

#[test]
fn scope_group_asks_the_process_group_and_kills_who_has_left_it() {
    let tree = family("group");
    let before = processes(&tree, "web");
    tree.ask("stop web");
    assert!(before.len() >= 3 && !before.iter().any(|pid| is_alive(*pid)), "{before:?}");
    let lines = tree.journal.all();
    assert!(
        lines[3..].contains(&"main USR1".to_owned()) && !lines.iter().any(|line| line == "stray TERM"),
        "{lines:?}"
    );
    // The member is asked, but may be killed in its answer once the main process has ended.
    assert!(!lines.iter().any(|line| line == "member TERM"), "{lines:?}");
}

#[test]
fn strays_that_ignore_everything_are_killed_when_the_rest_of_the_grace_is_over() {
    let tree =
        Plan::new("services:\n  web: {shell: '(setsid @D/stray &); exec sleep infinity', stop_grace_period: 300ms}\n")
            .file("stray", "#!/bin/sh\ntrap '' TERM HUP INT\necho stray $$ >$J\nexec sleep infinity\n", 0o755)
            .start();
    let line = tree.journal.expect("stray");
    let stray: u32 = line.strip_prefix("stray ").unwrap().parse().unwrap();
    tree.ask("stop web");
    assert!(!is_alive(stray));
    assert_eq!(tree.status("web").unwrap().state, State::Stopped);
}

#[test]
fn what_a_service_leaves_behind_when_it_ends_by_itself_is_gone_before_it_starts_again() {
    let plan = Plan::new(
        "services:\n  web: {shell: '(setsid @D/stray &); read line <@D/gate', restart: always, restart_delay: 0}\n",
    )
    .file("stray", "#!/bin/sh\necho stray $$ >$J\nexec sleep infinity\n", 0o755);
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    let line = tree.journal.expect("stray");
    let stray: u32 = line.strip_prefix("stray ").unwrap().parse().unwrap();
    std::fs::write(tree.directory().join("gate"), "go\n").unwrap();
    tree.until("web", "up again", |status| status.run == 2 && status.state == State::Running);
    assert!(!is_alive(stray));
}

#[test]
fn a_second_term_says_who_is_waited_for_and_a_third_one_kills_at_once() {
    let mut tree = Tree::start(&format!("shutdown_timeout: 1h\nservices:\n  web: {{shell: \"{DEAF}\"}}\n"));
    tree.journal.expect("up");
    let web = tree.pid("web");
    tree.signal(signal::TERM);
    tree.until_state("web", State::Stopping);
    tree.signal(signal::TERM);
    let said = tree.err.expect("waiting for");
    let (begin, end) = ("zei-init: stopping for 0s, waiting for web (TERM sent 0s ago, killed in ", ")");
    assert!(said.starts_with(begin) && said.ends_with(end), "{said}");
    assert!(tree.lives());
    let (code, took) = tree.stop();
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(!is_alive(web));
    tree.err.expect("zei-init: asked once more; killing web");
    // Whoever is killed with it is not told of as if it came back.
    assert!(tree.err.all().iter().all(|line| !line.contains("replacing")), "{:?}", tree.err.all());
}

#[test]
fn who_is_waited_for_is_said_with_how_far_its_stop_has_come_and_for_whom_it_waits_itself() {
    let tree = Tree::start(&format!(
        "shutdown_timeout: 1h\nservices:\n  db: {{command: [sleep, infinity]}}\n  \
         web: {{shell: \"trap '' HUP; echo up >$J; exec sleep infinity\", depends_on: [db], stop_signal: HUP}}\n  \
         app: {{shell: \"{DEAF}\", depends_on: [db], stop_grace_period: 30m}}\n"
    ));
    tree.journal.listen("both", |lines| (lines.len() == 2).then_some(()));
    tree.signal(signal::TERM);
    // It says so by itself, too.
    let said = tree.err.expect("stopping for 5s, waiting for ");
    let told: Vec<&str> = said.split(" waiting for ").nth(1).unwrap().split("), ").collect();
    let [web, app, db] = told.as_slice() else { panic!("{said}") };
    assert!(web.starts_with("web (HUP sent ") && web.contains("s ago, killed in 59m"), "{said}");
    assert!(app.starts_with("app (TERM sent ") && app.contains("s ago, killed in 29m"), "{said}");
    assert_eq!(*db, "db (waits for web, app)");
}

#[test]
fn of_a_hundred_that_stop_at_once_the_last_is_followed_by_zei_init_at_once() {
    const COUNT: usize = 100;
    let services: String = (0..COUNT).map(|number| format!("  s{number}: {{command: [sleep, infinity]}}\n")).collect();
    let mut tree = Tree::start(&format!("services:\n{services}"));
    tree.until_init("running");
    let pids: Vec<u32> = (0..COUNT).map(|number| tree.pid(&format!("s{number}"))).collect();
    let watched: Vec<_> = pids.iter().map(|pid| raw::pidfd_open(*pid).unwrap()).collect();
    let last = std::thread::spawn(move || {
        for process in &watched {
            let ended = poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], PollTimeout::MAX);
            assert_eq!(ended, Ok(1));
        }
        Instant::now()
    });
    assert_eq!(tree.stop().0, 0);
    let gone = Instant::now();
    let took = gone.saturating_duration_since(last.join().unwrap());
    // It takes some milliseconds on a machine that has nothing else to do; `tests/bench` tells how many.
    assert!(took < Duration::from_secs(1), "{took:?} after the last");
}

#[test]
fn a_term_during_boot_ends_what_has_started_and_starts_nothing_more() {
    let mut tree = Tree::start(
        "services:\n  prepare: {shell: 'echo prepare >$J; exec sleep infinity', oneshot: true}\n  \
         web: {shell: 'echo web >$J', depends_on: [prepare]}\n",
    );
    tree.journal.expect("prepare");
    let (code, _) = tree.stop();
    assert_eq!((code, tree.journal.all()), (0, vec!["prepare".to_owned()]));
}

#[test]
fn dependents_stop_before_what_they_depend_on() {
    let mut tree = Plan::new(
        "services:\n  db: {command: ['@D/listener', '@J', db]}\n  \
         web: {command: ['@D/listener', '@J', web], depends_on: [db]}\n  \
         edge: {command: ['@D/listener', '@J', edge], depends_on: [web]}\n",
    )
    .install("listener", LISTENER)
    .start();
    tree.journal.listen("three services", |lines| (lines.len() == 3).then_some(()));
    let (code, _) = tree.stop();
    assert_eq!(code, 0);
    let lines = tree.journal.listen("three ends", |lines| (lines.len() == 6).then(|| lines[3..].to_vec()));
    assert_eq!(lines, ["edge TERM", "web TERM", "db TERM"]);
}

#[test]
fn a_stopped_service_stays_stopped_whatever_its_policy_and_its_dependents_keep_running() {
    let tree = Tree::start(
        "services:\n  db: {command: [sleep, infinity], restart: always, restart_delay: 0}\n  \
         web: {command: [sleep, infinity], depends_on: [db]}\n",
    );
    let web = tree.pid("web");
    tree.ask("stop db");
    let db = tree.until_state("db", State::Stopped);
    assert_eq!((db.run, db.restarts), (1, 0));
    assert_eq!(tree.status("web").unwrap().pid, Some(web));
    tree.ask("start db");
    assert_eq!(tree.until_state("db", State::Running).run, 2);
}

/// A service of 32 processes each of which does nothing but make another and end; `trap` is what all of them do first.
fn hopping(trap: &str, grace: &str) -> Tree {
    let tree = Tree::start(&format!(
        "services:\n  web: {{stop_grace_period: {grace}, shell: \"{trap} hop() {{ hop & }}; i=0; \
         while [ $i -lt 32 ]; do hop & i=$((i+1)); done; echo up >$J; while :; do sleep 4000; done\"}}\n"
    ));
    tree.journal.expect("up");
    tree
}

#[test]
fn what_makes_another_process_all_the_time_is_gone_after_a_stop() {
    // What ends by its stop signal does not wait for the end of the grace period.
    for (trap, grace) in [("", "1h"), ("trap '' TERM;", "300ms")] {
        let tree = hopping(trap, grace);
        tree.ask("stop web --timeout 30");
        let left: Vec<u32> = tree.descendants().into_iter().filter(|pid| is_alive(*pid)).collect();
        let left: Vec<String> = left.into_iter().filter_map(name).collect();
        assert_eq!(left, ["zei-supervise"], "{trap}");
        assert_eq!(tree.status("web").unwrap().state, State::Stopped);
    }
}

#[test]
fn a_crowd_that_ends_at_once_is_seen_to_be_gone_however_many_they_are() {
    // Whatever number a supervisor reaps before it looks at anything else, some of these are a multiple of it.
    for count in [20, 50, 64, 100] {
        let stray = "#!/bin/sh\ntrap '' TERM HUP INT\necho stray $$ >$J\nexec sleep infinity\n";
        let tree = Plan::new(&format!(
            "services:\n  web: {{stop_grace_period: 1h, shell: \"trap 'exit 0' TERM; \
             for i in $(seq {count}); do (setsid @D/stray &); done; while :; do sleep 4000 & wait; done\"}}\n"
        ))
        .file("stray", stray, 0o755)
        .start();
        let lines = tree.journal.listen("all strays", |lines| (lines.len() == count).then(|| lines.to_vec()));
        tree.echo("web", "- stop");
        let supervisor = tree.until("web", "its rest", |status| status.pid.is_none()).supervisor;
        let pids: Vec<u32> = lines.iter().map(|line| line.strip_prefix("stray ").unwrap().parse().unwrap()).collect();
        eventually("nothing else", || children(supervisor).len() == count);
        // It does nothing from here on, as it sleeps.
        kill(supervisor, signal::STOP);
        for pid in pids {
            let held = raw::pidfd_open(pid).unwrap();
            kill(pid, signal::KILL);
            assert_eq!(poll(&mut [PollFd::new(held.as_fd(), PollFlags::POLLIN)], PollTimeout::MAX), Ok(1));
        }
        kill(supervisor, signal::CONT);
        tree.until_state("web", State::Stopped);
    }
}
