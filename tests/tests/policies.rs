//! When a service starts, starts again, and stays down.

use std::fs;
use zei::exit::Exit;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::process;
use zei_tests::tree::Tree;

const FOREVER: &str = "exec sleep infinity";

#[test]
fn each_restart_policy_starts_again_exactly_after_the_ends_that_it_names() {
    let ends = [("well", "exit 0"), ("badly", "exit 3"), ("killed", "kill -KILL $$")];
    let mut yaml = format!("services:\n  hold: {{shell: '{FOREVER}'}}\n");
    for restart in ["never", "on-failure", "always"] {
        for (how, shell) in ends {
            let name = format!("{restart}-{how}");
            yaml += &format!(
                "  {name}: {{shell: 'echo {name} >$J; {shell}', restart: {restart}, max_restarts: 2, restart_delay: 0}}\n"
            );
        }
    }
    let tree = Tree::start(&yaml);
    for (name, state, reason, starts) in [
        ("never-well", State::Completed, "", 1),
        ("never-badly", State::Failed, "exit:3", 1),
        ("never-killed", State::Failed, "signal:KILL", 1),
        ("on-failure-well", State::Completed, "", 1),
        ("on-failure-badly", State::Failed, "gave-up:exit:3", 3),
        ("on-failure-killed", State::Failed, "gave-up:signal:KILL", 3),
        ("always-well", State::Failed, "gave-up:exit:0", 3),
        ("always-badly", State::Failed, "gave-up:exit:3", 3),
        ("always-killed", State::Failed, "gave-up:signal:KILL", 3),
    ] {
        let status = tree.until(name, "at its end", |status| matches!(status.state, State::Completed | State::Failed));
        tree.journal
            .listen(name, |lines| (lines.iter().filter(|line| *line == name).count() >= starts as usize).then_some(()));
        let seen = (status.state, status.reason.as_str(), status.run, tree.journal.count(name));
        assert_eq!(seen, (state, reason, starts, starts as usize), "{name}");
        assert_eq!(status.restarts, starts - 1, "{name}");
    }
}

#[test]
fn a_killed_service_has_a_new_pid_and_one_more_restart_and_nobody_else_has() {
    let tree = Tree::start(&format!(
        "services:\n  web: {{shell: '{FOREVER}', restart: always, restart_delay: 0}}\n  other: {{shell: '{FOREVER}'}}\n"
    ));
    let (first, other) = (tree.pid("web"), tree.pid("other"));
    process::kill(first, signal::KILL);
    let status = tree.until("web", "up again", |status| status.run == 2 && status.state == State::Running);
    assert_ne!(status.pid, Some(first));
    assert_eq!((status.restarts, status.exit), (1, Some(Exit::Signal(signal::KILL))));
    assert_eq!(tree.status("other").and_then(|status| status.pid), Some(other));
}

#[test]
fn a_restart_waits_for_its_delay_and_a_start_by_hand_does_not_and_resets_the_count() {
    let tree = Tree::start(
        "services:\n  web: {shell: 'test $(wc -l <@D/starts 2>/dev/null || echo 0) = 1 && exec sleep infinity; \
         echo x >>@D/starts; exit 4', restart: on-failure, restart_delay: 1h}\n",
    );
    let pending = tree.until_state("web", State::RestartPending);
    assert_eq!((pending.reason.as_str(), pending.next), ("exit:4", Some(pending.since + 3_600_000)));
    assert_eq!((pending.restarts, pending.pid), (1, None));
    tree.ask("start web");
    let running = tree.until_state("web", State::Running);
    assert_eq!((running.restarts, running.run), (0, 2));
}

#[test]
fn three_dependents_start_once_their_oneshot_has_ended_well() {
    let dependent = |name: &str| format!("  {name}: {{shell: 'echo {name} >$J; {FOREVER}', depends_on: [prepare]}}\n");
    let tree = Tree::start(&format!(
        "services:\n  prepare: {{shell: 'read line <@D/gate && echo prepared >$J', oneshot: true}}\n  hold: {{shell: '{FOREVER}'}}\n{}{}{}",
        dependent("a"),
        dependent("b"),
        dependent("c")
    ));
    // Its gate is missing yet.
    tree.until_state("prepare", State::Failed);
    nix::unistd::mkfifo(&tree.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(tree.until_state(name, State::Failed).reason.as_str(), "dependency:prepare");
    }
    assert_eq!(tree.ctl("start prepare --no-wait").code, 0);
    tree.until_state("prepare", State::Running);
    assert!(["a", "b", "c"].iter().all(|name| tree.status(name).unwrap().pid.is_none()));
    fs::write(tree.directory().join("gate"), "go\n").unwrap();
    for name in ["a", "b", "c"] {
        tree.until_state(name, State::Running);
    }
    let lines = tree.journal.listen("three dependents", |lines| (lines.len() == 4).then(|| lines.to_vec()));
    assert_eq!(lines[0], "prepared", "{lines:?}");
}

#[test]
fn a_job_with_an_interval_runs_again_after_each_end_whatever_its_code_and_never_twice_at_once() {
    let tree = Tree::start(
        "services:\n  good: {shell: 'echo good start >$J; echo good end >$J', oneshot: true, interval: 5ms}\n  \
         bad: {shell: 'echo bad start >$J; echo bad end >$J; exit 9', oneshot: true, interval: 5ms}\n",
    );
    for name in ["good", "bad"] {
        let lines = tree.journal.listen("six lines", |lines| {
            let own: Vec<String> = lines.iter().filter(|line| line.starts_with(name)).cloned().collect();
            (own.len() >= 6).then_some(own)
        });
        for (line, expected) in lines.iter().zip(["start", "end"].into_iter().cycle()) {
            assert_eq!(*line, format!("{name} {expected}"), "{lines:?}");
        }
    }
    tree.until("bad", "scheduled", |status| status.state == State::Scheduled && status.exit == Some(Exit::Code(9)));
}

#[test]
fn a_timed_job_waits_from_its_end_and_runs_at_once_when_started_by_hand() {
    let tree = Tree::start("services:\n  job: {command: ['true'], oneshot: true, interval: 1h}\n");
    let waits = tree.until_state("job", State::Scheduled);
    assert_eq!((waits.next, waits.run), (Some(waits.since + 3_600_000), 1));
    tree.ctl("start job");
    tree.until("job", "scheduled again", |status| status.state == State::Scheduled && status.run == 2);
}

#[test]
fn what_needs_a_failed_service_is_failed_and_starts_by_itself_when_that_comes_good() {
    let tree = Tree::start(&format!(
        "services:\n  db: {{command: ['@D/good'], stdin: open}}\n  \
         web: {{shell: '{FOREVER}', depends_on: [db]}}\n  edge: {{shell: '{FOREVER}', depends_on: [web]}}\n  \
         hold: {{shell: '{FOREVER}'}}\n"
    ));
    let db = tree.until_state("db", State::Failed);
    assert!(db.reason.as_str().starts_with("spawn:cannot execute the program: "), "{db:?}");
    assert_eq!(tree.until_state("web", State::Failed).reason.as_str(), "dependency:db");
    assert_eq!(tree.until_state("edge", State::Failed).reason.as_str(), "dependency:web");
    std::os::unix::fs::symlink("/bin/cat", tree.directory().join("good")).unwrap();
    tree.ask("start db");
    let web = tree.until_state("web", State::Running);
    let edge = tree.until_state("edge", State::Running);
    assert_eq!((web.run, edge.run), (1, 1));
}

#[test]
fn what_does_not_start_with_the_container_is_started_where_something_needs_it() {
    let tree = Tree::start(&format!(
        "services:\n  db: {{shell: '{FOREVER}', autostart: false}}\n  web: {{shell: '{FOREVER}', depends_on: [db]}}\n  \
         lone: {{shell: '{FOREVER}', autostart: false}}\n  needed: {{shell: '{FOREVER}', autostart: false}}\n  \
         late: {{shell: '{FOREVER}', autostart: false, depends_on: [needed]}}\n"
    ));
    tree.pid("web");
    tree.pid("db");
    for name in ["lone", "needed", "late"] {
        let status = tree.until_state(name, State::Stopped);
        assert_eq!((status.run, status.want), (0, false), "{name}");
    }
    tree.ask("start late");
    tree.pid("needed");
    assert_eq!(tree.status("lone").unwrap().state, State::Stopped);
}
