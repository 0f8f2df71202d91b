//! Why things are as they are, who depends on whom, and what that means for a stop.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use zei::protocol::status::State;
use zei::{exit, paths, signal};
use zei_tests::process;
use zei_tests::tree::{Plan, Tree};

const CHAIN: &str = "services:
  disk: {shell: 'exit 3', oneshot: true, restart: on-failure, restart_delay: 1h}
  log: {command: [sleep, infinity]}
  db: {command: [sleep, infinity], depends_on: [disk, log]}
  web: {command: [sleep, infinity], depends_on: {db: {condition: service_started}}}
";

#[test]
fn why_leads_from_a_service_to_the_one_that_it_all_hangs_on() {
    let tree = Tree::start(CHAIN);
    tree.until_state("disk", State::RestartPending);
    tree.pid("log");
    for name in ["db", "web"] {
        tree.until_state(name, State::Waiting);
    }
    let said = tree.ask("why web");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "web is waiting for db (service_started)");
    assert_eq!(lines[1], "  db is waiting for disk (service_completed_successfully)");
    assert!(lines[2].starts_with("    disk is restart_pending: it ended by exit code 3; starts again in "), "{said}");
    assert_eq!(lines.len(), 3);
    // The same where nobody has asked for a certain one; what is well is not among it.
    assert_eq!(tree.ask("why").lines().take(2).collect::<Vec<_>>(), lines[..2]);
    let read: Value = serde_json::from_str(&tree.ask("why web --json")).unwrap();
    assert_eq!(read["stopping_ms"], Value::Null);
    let disk = &read["services"][0]["causes"][0]["causes"][0];
    assert_eq!((&disk["service"], &disk["reason"]), (&"disk".into(), &"exit:3".into()));
    assert_eq!(tree.ctl("why nobody").code, i32::from(exit::NO_SUCH_SERVICE));
    // As zei-log has it.
    let text = "version=1 seq=1 run=1 from=0 bytes=14\nno space left\nend=1\n";
    fs::write(tree.file("disk", paths::LAST), text).unwrap();
    assert!(tree.ask("why web").ends_with("\n      | no space left\n"));
}

#[test]
fn why_says_that_all_is_well_and_what_a_failure_is_the_consequence_of() {
    let tree = Tree::start(
        "services:\n  db: {command: [/no/such/program], autostart: false}\n  \
         web: {command: [sleep, infinity], depends_on: [db], autostart: false}\n  hold: {command: [sleep, infinity]}\n",
    );
    tree.pid("hold");
    for name in ["db", "web"] {
        tree.until_state(name, State::Stopped);
    }
    assert_eq!(tree.ask("why"), "all 3 services are as they should be\n");
    assert_eq!(tree.ask("why db"), "db is stopped: nobody has started it yet\n");
    assert_eq!(tree.ctl("start web").code, i32::from(exit::NOT_TRUE));
    tree.until_state("web", State::Failed);
    let said = tree.ask("why web");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].ends_with(": it needs db, which failed"), "{said}");
    assert!(lines[1].starts_with("  db is failed since "), "{said}");
    assert!(lines[1].contains(": it could not be started: cannot execute the program: No such file"), "{said}");
}

#[test]
fn why_tells_a_shutdown_that_hangs_by_whom_it_waits_for() {
    let mut tree = Tree::start(
        "services:\n  db: {command: [sleep, infinity]}\n  \
         web: {shell: 'trap \"\" TERM; echo up >$J; while :; do sleep 1000 & wait; done', depends_on: [db], stop_scope: process}\n",
    );
    tree.journal.expect("up");
    let web = tree.pid("web");
    tree.pid("db");
    tree.signal(signal::TERM);
    tree.until_state("web", State::Stopping);
    let said = tree.ask("why");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("zei shuts down since ") && lines[0].ends_with(": waiting for web"), "{said}");
    assert_eq!(lines[1], "db is not asked to end before web has");
    assert!(lines[2].starts_with("  web is stopping: TERM sent ") && lines[2].contains(" ago, killed in "), "{said}");
    let read: Value = serde_json::from_str(&tree.ask("why db --json")).unwrap();
    assert!(read["stopping_ms"].is_u64(), "{read}");
    assert_eq!(read["services"][0]["causes"][0]["service"], "web");
    process::kill(web, signal::KILL);
    assert_eq!(tree.end().0, 0);
}

#[test]
fn needs_stand_beside_each_service_that_has_any_and_the_tree_is_drawn_from_them() {
    let tree = Tree::start(CHAIN);
    tree.until_state("disk", State::RestartPending);
    tree.pid("log");
    let needs = tree.file("db", paths::NEEDS);
    assert_eq!(fs::read_to_string(&needs).unwrap(), "disk service_completed_successfully\nlog service_started\n");
    assert_eq!(fs::metadata(&needs).unwrap().permissions().mode() & 0o777, 0o644);
    assert!(!tree.file("log", paths::NEEDS).exists());
    let expected = "\
web  waiting
`-- db  waiting  [not yet service_started]
    |-- disk  restart_pending  [not yet service_completed_successfully]
    `-- log  running
";
    assert_eq!(tree.ask("tree"), expected);
    assert_eq!(tree.ask("tree log"), "log  running\n");
    let read: Value = serde_json::from_str(&tree.ask("tree --json")).unwrap();
    let of = |name: &str| read.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap();
    assert_eq!(of("log")["needed_by"], serde_json::json!(["db"]));
    assert_eq!(of("db")["needs"][1]["holds"], true);
}

#[test]
fn without_a_zei_the_tree_is_that_of_the_configuration() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("zei.yaml");
    fs::write(&config, CHAIN).unwrap();
    let tree = Tree::start("services:\n  hold: {command: [sleep, infinity]}\n");
    let said = tree.ctl(&format!("tree -c {} --run {}/none", config.display(), place.path().display()));
    assert_eq!(said.out, "web  -\n`-- db  -\n    |-- disk  -\n    `-- log  -\n");
    assert!(said.code == 0 && said.err.contains("this is what the configuration defines"), "{said:?}");
}

const DEPENDENTS: &str = "services:
  db: {shell: 'trap \"echo db >$J; exit\" TERM; echo up >$J; while :; do sleep 1000 & wait; done'}
  setup: {shell: 'exit 0', oneshot: true, depends_on: [db]}
  web: {shell: 'trap \"echo web >$J; exit\" TERM; echo up >$J; while :; do sleep 1000 & wait; done', depends_on: [db]}
  proxy: {shell: 'trap \"echo proxy >$J; exit\" TERM; echo up >$J; while :; do sleep 1000 & wait; done', depends_on: [web, setup]}
  log: {shell: 'echo up >$J; exec sleep infinity'}
";

#[test]
fn a_stop_with_dependents_ends_those_first_and_nobody_else() {
    let tree = Tree::start(DEPENDENTS);
    tree.journal.listen("four services", |lines| (lines.len() == 4).then_some(()));
    for name in ["db", "web", "proxy", "log"] {
        tree.pid(name);
    }
    let said = tree.ask("stop db --with-dependents --timeout 60");
    assert_eq!(said, "proxy: stop done\nweb: stop done\ndb: stop done\n");
    assert_eq!(tree.journal.all()[4..], ["proxy", "web", "db"]);
    let state = |name: &str| tree.status(name).unwrap().state;
    assert_eq!((state("log"), state("setup"), state("proxy")), (State::Running, State::Completed, State::Stopped));
}

#[test]
fn the_command_is_no_dependent_that_is_stopped_unnamed() {
    let plan = Plan::new("services:\n  db: {command: [sleep, infinity]}\n").arguments(&["--", "sleep", "infinity"]);
    let tree = plan.start();
    tree.pid("cmd");
    let said = tree.ctl("stop db --with-dependents");
    assert_eq!((said.code, said.out.as_str()), (0, "db: stop done\n"));
    assert!(said.err.contains("cmd depends on it, too, and goes on"), "{said:?}");
    assert_eq!(tree.status("cmd").unwrap().state, State::Running);
}

#[test]
fn a_wait_for_several_ends_with_the_first_that_fails_and_takes_patterns() {
    let plan = Plan::new(
        "services:\n  slow: {command: [sleep, infinity], oneshot: true}\n  \
         bad: {shell: 'read line <$D/gate; exit 1', oneshot: true}\n",
    );
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    tree.pid("slow");
    assert_eq!(tree.ask("wait slow* --for running --timeout 60"), "slow: running\n");
    std::thread::scope(|scope| {
        let wait = scope.spawn(|| tree.ctl("wait slow bad --for done --timeout 60"));
        fs::write(tree.directory().join("gate"), "go\n").unwrap();
        let said = wait.join().unwrap();
        assert_eq!(said.code, i32::from(exit::NOT_TRUE));
        assert_eq!(said.err, "zei-ctl: bad: failed (exit:1), it will not be done by itself\n");
    });
}
