//! A killed supervisor's successor takes the running service over.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};
use zei::exit::Exit;
use zei::protocol::status::{State, Status};
use zei::signal;
use zei_tests::process::{children, descendants, is_alive, kill, name};
use zei_tests::tree::{Plan, Tree};
use zei_tests::{eventually, skipped};

const LISTENER: &str = env!("CARGO_BIN_EXE_listener");
/// Long enough for what must not happen, far less than any time-out of what must.
const SOON: Duration = Duration::from_secs(10);

/// Kills a service's supervisor as it stands in the status, and waits until another one has told of it.
fn orphan(tree: &Tree, service: &str, before: &Status) -> Status {
    kill(before.supervisor, signal::KILL);
    tree.until(service, "taken over", |status| status.supervisor != before.supervisor)
}

fn listening(yaml: &str) -> Tree {
    Plan::new(yaml).install("listener", LISTENER).start()
}

/// A service with a child, and with a grandchild that has double-forked into a session of its own; `traps`: what each of
/// them does first.
fn forking(traps: &str) -> (Tree, Status, Vec<u32>) {
    let tree = Tree::start(&format!(
        "services:\n  web: {{restart: always, restart_delay: 0, stop_grace_period: 1s, \
         shell: \"{traps} sleep 4001 & (setsid sleep 4002 &); echo up >$J; while :; do sleep 4000; done\"}}\n"
    ));
    tree.journal.expect("up");
    let status = tree.until_state("web", State::Running);
    let all = || descendants(status.supervisor);
    eventually("all there", || all().iter().filter(|pid| name(**pid).as_deref() == Some("sleep")).count() == 3);
    let all = all();
    (tree, status, all)
}

/// Nothing of any service is left anywhere below zei-init.
fn is_bare(tree: &Tree) {
    eventually("all gone", || {
        let left = tree.descendants().into_iter().filter(|pid| is_alive(*pid));
        left.filter_map(name).all(|name| name == "zei-supervise")
    });
}

#[test]
fn a_service_whose_supervisor_is_killed_again_and_again_goes_on_in_the_same_process() {
    let (tree, first, all) = forking("");
    let mut before = first.clone();
    for _ in 0..5 {
        let after = orphan(&tree, "web", &before);
        assert_eq!((after.state, after.pid, after.start), (State::Running, first.pid, first.start));
        assert_eq!((after.since, after.run, after.restarts), (first.since, 1, 0));
        before = after;
    }
    assert!(all.iter().all(|pid| is_alive(*pid)), "{all:?}");
    assert_eq!(tree.journal.all(), ["up"]);
}

#[test]
fn how_an_adopted_service_ends_is_learnt_whatever_its_code_or_signal() {
    for (ends, exit) in [("exit 7", Exit::Code(7)), ("exit 0", Exit::Code(0)), ("kill -USR2 $$", Exit::Signal(12))] {
        let plan = Plan::new(&format!(
            "services:\n  web: {{shell: 'read line <@D/gate; {ends}'}}\n  \
             hold: {{command: [sleep, infinity]}}\n"
        ));
        nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let tree = plan.start();
        let before = tree.until_state("web", State::Running);
        orphan(&tree, "web", &before);
        fs::write(tree.directory().join("gate"), "go\n").unwrap();
        let state = if exit == Exit::Code(0) { State::Completed } else { State::Failed };
        assert_eq!(tree.until_state("web", state).exit, Some(exit));
    }
}

#[test]
fn how_an_adopted_service_ends_is_learnt_while_zei_init_has_no_descriptor_left() {
    let plan =
        Plan::new("services:\n  web: {shell: 'read line <@D/gate; exit 7'}\n  hold: {command: [sleep, infinity]}\n");
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    let before = tree.until_state("web", State::Running);
    orphan(&tree, "web", &before);
    let limit = |soft: &str| {
        let words = ["--pid", &tree.init.to_string(), &format!("--nofile={soft}:")];
        Command::new("prlimit").args(words).status().is_ok_and(|status| status.success())
    };
    if !(limit("3") || skipped("prlimit(1)")) {
        return;
    }
    fs::write(tree.directory().join("gate"), "go\n").unwrap();
    assert_eq!(tree.until_state("web", State::Failed).exit, Some(Exit::Code(7)));
    assert!(limit("1024"));
}

#[test]
fn an_end_while_there_is_no_supervisor_is_followed_by_what_the_policy_says() {
    let tree = listening(
        "services:\n  web: {command: ['@D/listener', '@J', web, USR1, '9'], restart: always, restart_delay: 0}\n",
    );
    tree.journal.expect("web up");
    for round in 1..=20 {
        let status = tree.until("web", "up", |status| status.state == State::Running && status.run == round);
        let main = status.pid.unwrap();
        tree.journal.listen("up", |lines| {
            (lines.iter().filter(|line| *line == "web up").count() == round as usize).then_some(())
        });
        // In either order, so that the end falls before, into, and behind the change of supervisors.
        if round % 2 == 0 {
            kill(main, signal::USR1);
            kill(status.supervisor, signal::KILL);
        } else {
            kill(status.supervisor, signal::KILL);
            kill(main, signal::USR1);
        }
        let after = tree.until("web", "up again", |status| status.state == State::Running && status.run == round + 1);
        assert_eq!((after.restarts, after.exit), (round, Some(Exit::Code(9))));
        assert!(!is_alive(main));
    }
}

#[test]
fn a_stop_of_an_adopted_service_leaves_nothing_of_it_wherever_that_hides() {
    let (tree, before, all) = forking("");
    orphan(&tree, "web", &before);
    let began = Instant::now();
    tree.ask("stop web");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(!all.iter().any(|pid| is_alive(*pid)), "{all:?}");
    is_bare(&tree);
    assert_eq!(tree.status("web").unwrap().state, State::Stopped);
}

#[test]
fn what_ignores_its_stop_signal_is_killed_in_an_adopted_service_too() {
    let (tree, before, all) = forking("trap '' TERM;");
    orphan(&tree, "web", &before);
    tree.ask("stop web --timeout 20");
    assert!(!all.iter().any(|pid| is_alive(*pid)), "{all:?}");
    is_bare(&tree);
}

#[test]
fn an_adopted_service_gets_its_stop_signal_once_and_in_its_place_in_the_order() {
    let mut tree = listening(
        "services:\n  db: {command: ['@D/listener', '@J', db]}\n  \
         web: {command: ['@D/listener', '@J', web], depends_on: [db]}\n",
    );
    tree.journal.expect("web up");
    for service in ["db", "web"] {
        let before = tree.until_state(service, State::Running);
        orphan(&tree, service, &before);
    }
    assert_eq!(tree.stop().0, 0);
    assert_eq!(tree.journal.all(), ["db up", "web up", "web TERM", "db TERM"]);
}

#[test]
fn what_the_main_process_waits_for_goes_on_while_an_adopted_service_is_stopped() {
    // The child answers once the stop has begun, and only that ends the main process.
    let child = "while read word <$D/gate; do echo $word >$J; done";
    let plan = Plan::new(&format!(
        "services:\n  web: {{stop_grace_period: 1h, stop_scope: process, \
         shell: 'trap \"echo asked >$J\" TERM; ({child}) & echo up >$J; wait; read end <$D/end'}}\n"
    ));
    for name in ["gate", "end"] {
        nix::unistd::mkfifo(&plan.directory().join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let tree = plan.start();
    tree.journal.expect("up");
    let before = tree.until_state("web", State::Running);
    orphan(&tree, "web", &before);
    tree.ask("stop web --no-wait");
    tree.journal.expect("asked");
    let write = |name: &str| {
        let both_ways = fs::File::options().read(true).write(true).open(tree.directory().join(name)).unwrap();
        (&both_ways).write_all(b"answer\n").unwrap();
        both_ways
    };
    let _open = write("gate");
    tree.journal.expect("answer");
    let _open = write("end");
    tree.until_state("web", State::Stopped);
}

#[test]
fn a_stop_under_way_goes_on_under_a_successor_and_ends_at_its_deadline() {
    // It takes TERM and goes on.
    let tree = listening("services:\n  web: {command: ['@D/listener', '@J', web, USR1], stop_grace_period: 3s}\n");
    tree.journal.expect("web up");
    let began = Instant::now();
    tree.echo("web", "- stop");
    tree.journal.expect("web TERM");
    let before = tree.until_state("web", State::Stopping);
    let after = orphan(&tree, "web", &before);
    assert_eq!((after.state, after.pid, after.deadline), (State::Stopping, before.pid, before.deadline));
    let end = tree.until_state("web", State::Stopped);
    assert_eq!(end.exit, Some(Exit::Signal(signal::KILL)));
    assert!(began.elapsed() >= Duration::from_secs(3) && began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(tree.journal.all(), ["web up", "web TERM"]);
}

#[test]
fn strays_that_are_waited_for_under_a_successor_are_noticed_when_they_end() {
    // The main process ends at TERM, its child ignores that.
    let tree = Tree::start(
        "services:\n  web: {stop_grace_period: 30s, \
         shell: \"(trap '' TERM; echo $(sh -c 'echo $PPID') >$J; exec sleep 4001) & exec sleep 4000\"}\n",
    );
    let stray = tree.journal.listen("its child", |lines| lines.first()?.parse::<u32>().ok());
    let before = tree.until_state("web", State::Running);
    tree.echo("web", "- stop");
    let rest = tree.until("web", "rest", |status| status.reason.as_str() == "rest");
    let after = orphan(&tree, "web", &rest);
    assert_eq!((after.state, after.reason.as_str(), after.pid), (State::Stopping, "rest", None));
    assert!(is_alive(stray) && before.supervisor == rest.supervisor);
    let began = Instant::now();
    kill(stray, signal::KILL);
    tree.until_state("web", State::Stopped);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    is_bare(&tree);
}

#[test]
fn a_hook_whose_supervisor_is_killed_is_ended_and_begun_again_and_the_service_starts_once() {
    let plan = Plan::new(
        "services:\n  web: {shell: 'echo web >$J; exec sleep infinity', \
         pre_start: 'sh -c \"echo hook >@J; read line <@D/gate\"'}\n",
    );
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    tree.journal.expect("hook");
    let before = tree.until("web", "preparing", |status| status.reason.as_str() == "pre-start");
    let hook = descendants(before.supervisor);
    kill(before.supervisor, signal::KILL);
    tree.journal.listen("once more", |lines| (lines.len() == 2).then_some(()));
    assert!(!hook.is_empty() && !hook.iter().any(|pid| is_alive(*pid)), "{hook:?}");
    fs::write(tree.directory().join("gate"), "go\n").unwrap();
    tree.until_state("web", State::Running);
    assert_eq!(tree.journal.listen("web", |lines| (lines.len() >= 3).then(|| lines.to_vec())), ["hook", "hook", "web"]);
}

#[test]
fn readiness_that_is_told_to_a_successor_counts() {
    let plan = Plan::new(
        "services:\n  web: {ready: {notify: {fd: 3}}, shell: 'read line <@D/gate; echo >&3; exec sleep infinity'}\n",
    );
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    let before = tree.until_state("web", State::Starting);
    let after = orphan(&tree, "web", &before);
    assert_eq!((after.state, after.pid), (State::Starting, before.pid));
    fs::write(tree.directory().join("gate"), "go\n").unwrap();
    assert_eq!(tree.until_state("web", State::Running).pid, before.pid);
}

#[test]
fn a_restart_and_a_signal_reach_an_adopted_service_and_the_next_run_is_an_ordinary_one() {
    let tree = listening("services:\n  web: {command: ['@D/listener', '@J', web], stop_scope: group}\n");
    tree.journal.expect("web up");
    let before = tree.until_state("web", State::Running);
    let adopted = orphan(&tree, "web", &before);
    tree.ask("signal web:HUP --timeout 10");
    tree.journal.expect("web HUP");
    tree.ask("restart web --timeout 10");
    let fresh = tree.until_state("web", State::Running);
    assert_eq!((fresh.run, fresh.restarts, fresh.supervisor), (2, 0, adopted.supervisor));
    assert_eq!(children(fresh.supervisor), [fresh.pid.unwrap()]);
    assert_eq!(
        tree.journal.listen("up", |lines| (lines.len() == 4).then(|| lines.to_vec())),
        ["web up", "web HUP", "web TERM", "web up"]
    );
}

#[test]
fn who_wears_the_mark_of_an_adopted_service_under_another_supervisor_does_not_keep_it_from_ending() {
    let tree = Tree::start(
        "services:\n  web: {command: [sleep, '4009'], stop_grace_period: 1s}\n  \
         other: {shell: 'sleep 4010 & echo up >$J; wait'}\n",
    );
    tree.journal.expect("up");
    let before = tree.until_state("web", State::Running);
    let web = before.pid.unwrap();
    let limits = fs::read_to_string(format!("/proc/{web}/limits")).unwrap();
    let mark = limits.lines().find_map(|line| line.strip_prefix("Max file locks")?.split_whitespace().next());
    let liars = descendants(tree.status("other").unwrap().supervisor);
    for liar in &liars {
        let words = ["--pid", &liar.to_string(), &format!("--locks={}:", mark.unwrap())];
        if !(Command::new("prlimit").args(words).status().is_ok_and(|status| status.success()) || skipped("prlimit(1)"))
        {
            return;
        }
    }
    orphan(&tree, "web", &before);
    tree.ask("stop web --timeout 10s");
    let after = tree.until("web", "ended", |status| ![State::Running, State::Stopping].contains(&status.state));
    assert_eq!((after.state, after.reason.as_str()), (State::Stopped, ""));
    assert!(!is_alive(web) && liars.len() == 2 && liars.iter().all(|liar| is_alive(*liar)), "{liars:?}");
}
