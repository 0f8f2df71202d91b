//! What happens, as `zei-ctl events` tells it: all of it, once, in order.

use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use zei::exit::Exit;
use zei::paths;
use zei::signal;
use zei_tests::lines::Lines;
use zei_tests::tree::Tree;
use zei_tests::{process, program};

/// What may follow each state. That a process is being made is told only where it takes time, or where the supervisor
/// was killed just then.
const LEGAL: &[(&str, &[&str])] = &[
    ("waiting", &["starting", "running", "restart_pending", "stopped", "failed"]),
    ("starting", &["running", "stopping", "waiting", "restart_pending", "scheduled", "completed", "failed"]),
    ("running", &["running", "stopping", "waiting", "restart_pending", "scheduled", "completed", "failed"]),
    ("stopping", &["stopping", "stopped", "waiting", "restart_pending", "scheduled", "completed", "failed"]),
    ("restart_pending", &["waiting", "stopped"]),
    ("scheduled", &["waiting", "stopped"]),
    ("stopped", &["waiting"]),
    ("completed", &["waiting", "stopped"]),
    ("failed", &["waiting", "starting", "running", "stopped"]),
];

/// A `zei-ctl events` that runs beside the test.
struct Follower {
    child: Child,
    lines: Lines,
}

impl Follower {
    fn of(tree: &Tree, words: &[&str]) -> Follower {
        let run = tree.file("init", "").parent().unwrap().to_path_buf();
        let mut command = Command::new(program("zei-ctl"));
        command.arg("--run").arg(run).arg("events").args(words).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = Lines::from(child.stdout.take().unwrap().into());
        Follower { child, lines }
    }

    /// All that has come until `last` says that this is enough.
    fn until(&self, what: &str, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen: Vec<Value> = Vec::new();
        self.lines.listen(what, |lines| {
            seen.extend(lines[seen.len()..].iter().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            seen.iter().any(&last).then(|| seen.clone())
        })
    }

    fn end(&mut self) -> i32 {
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// That no number is left out, each change begins where the one before of the same service ended, and is one that may
/// be.
fn check(events: &[Value]) {
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for (seq, event) in (events[0]["seq"].as_u64().unwrap()..).zip(events) {
        assert_eq!(event["seq"].as_u64(), Some(seq), "{event}");
        let (service, state) = (event["service"].as_str().unwrap(), event["state"].as_str().unwrap());
        let previous = last.insert(service, state);
        if event["seq"] != 1 && previous.is_some() {
            assert_eq!(event["previous"].as_str(), previous, "{event}");
        }
        if let Some(previous) = previous.filter(|_| service != "init") {
            let (_, legal) = LEGAL.iter().find(|(state, _)| *state == previous).unwrap();
            assert!(legal.contains(&state), "{event}");
        }
    }
}

fn of<'a>(events: &'a [Value], service: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["service"] == service).collect()
}

#[test]
fn a_follower_sees_every_state_of_a_thousand_rapid_restarts() {
    let tree = Tree::start(
        "services:\n  web: {command: ['true'], restart: always, restart_delay: 0}\n  hold: {command: [sleep, infinity]}\n",
    );
    let follower = Follower::of(&tree, &["--since", "1h"]);
    let events = follower.until("the thousandth run", |event| event["run"].as_u64() > Some(1000));
    check(&events);
    assert_eq!(events[0]["seq"], 1);
    // Each run is one that starts, runs under a pid of its own, and is waited for again.
    let web = of(&events, "web");
    for run in 1..=1000_u64 {
        let states: Vec<&str> =
            web.iter().filter(|event| event["run"] == run).map(|event| event["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["running", "waiting"], "run {run}");
    }
}

#[test]
fn a_killed_supervisor_leaves_no_gap() {
    // Half of them are killed while they are at rest, half while they restart without a pause.
    let names: Vec<String> = (0..10).flat_map(|number| [format!("calm{number}"), format!("busy{number}")]).collect();
    let yaml: String = names
        .iter()
        .map(|name| {
            let command = if name.starts_with("calm") { "[sleep, infinity]" } else { "['true']" };
            format!("  {name}: {{command: {command}, restart: always, restart_delay: 50ms}}\n")
        })
        .collect();
    let tree = Tree::start(&format!("services:\n{yaml}"));
    let follower = Follower::of(&tree, &["--since", "1h"]);
    for name in &names {
        let before = tree.until(name, "once started", |status| status.run > 0).supervisor;
        process::kill(before, signal::KILL);
        let taken = tree.until(name, "taken over", |status| status.supervisor != before);
        if name.starts_with("calm") {
            // It goes on; its end under the successor is an event like any other.
            process::kill(taken.pid.unwrap(), signal::USR1);
        }
        let after = tree.until(name, "started again", |status| status.supervisor != before && status.run > 1);
        if name.starts_with("calm") {
            assert_eq!(after.exit, Some(Exit::Signal(signal::USR1)));
        }
    }
    let events = follower.until("the end", |event| event["service"] == "calm9" && event["run"] == 2);
    check(&events);
    for name in names.iter().filter(|name| name.starts_with("calm")) {
        let states: Vec<&str> =
            of(&events, name).iter().take(4).map(|event| event["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["running", "restart_pending", "waiting", "running"], "{name}");
    }
}

#[test]
fn a_follower_ends_well_with_zei_whose_own_changes_it_has_seen() {
    let mut tree = Tree::start("services:\n  web: {command: [sleep, infinity]}\n");
    tree.pid("web");
    let mut follower = Follower::of(&tree, &["init", "--since", "1h"]);
    follower.until("running", |event| event["state"] == "running");
    assert_eq!(tree.stop().0, 0);
    let last = follower.until("the end", |event| event["exit"] == 0);
    assert_eq!(follower.end(), 0);
    let states: Vec<&str> = last.iter().map(|event| event["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["booting", "running", "stopping", "stopping"]);
}

#[test]
fn what_has_happened_is_shown_at_once_and_whoever_follows_sees_only_what_comes() {
    let tree = Tree::start("services:\n  web: {command: [sleep, infinity]}\n  db: {command: [sleep, infinity]}\n");
    tree.pid("web");
    tree.pid("db");
    let past = |words: &str| -> Vec<Value> {
        let text = tree.ask(&format!("events --no-follow {words}"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(of(&past("web"), "web").len(), past("web").len());
    let all = past("");
    check(&all);
    assert_eq!(tree.ctl("events none").code, i32::from(zei::exit::NO_SUCH_SERVICE));
    let follower = Follower::of(&tree, &[]);
    // It follows once it has made the FIFO that it waits at.
    let fifo = tree.file("init", paths::EVENT);
    let wanted = |_: &zei::protocol::status::Status| {
        let _answered_or_not = tree.ctl("signal web:CONT");
        fifo.exists()
    };
    tree.until("web", "followed", wanted);
    tree.ask("restart web");
    let seen = follower.until("the restart", |event| event["state"] == "running");
    check(&seen);
    assert!(seen[0]["seq"].as_u64() > all.last().unwrap()["seq"].as_u64(), "{seen:?}");
    assert_eq!(seen[0]["reason"], "asked:TERM");
}

#[test]
fn whoever_stops_reading_ends_the_follower() {
    let tree = Tree::start("services:\n  web: {command: [sleep, infinity]}\n");
    tree.pid("web");
    let mut follower = Follower::of(&tree, &["--since", "1h"]);
    follower.until("running", |event| event["state"] == "running");
    let Follower { lines, .. } = &mut follower;
    *lines = Lines::from(std::fs::File::open("/dev/null").unwrap().into());
    assert_eq!(follower.end(), 0);
}
