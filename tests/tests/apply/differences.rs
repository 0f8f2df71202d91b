//! Only what differs is changed, in order, all of it or nothing.

use super::*;
use std::io::Write as _;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::process::is_alive;
use zei_tests::tree::Plan;

#[test]
fn only_what_has_changed_is_replaced() {
    let tree = Tree::start(&services(&[service("db", ""), service("web", ", depends_on: [db]"), service("old", "")]));
    let before = ["db", "web", "old"].map(|name| tree.until_state(name, State::Running));
    write(
        &tree,
        &services(&[service("db", ", environment: {A: b}"), service("web", ", depends_on: [db]"), service("new", "")]),
    );
    assert_eq!(tree.ask("apply"), "~ db: environment\n- old\n+ new\n= 1 unchanged\n");
    assert_eq!(variable(&tree, "db", "A").as_deref(), Some("b"));
    assert_ne!(tree.pid("db"), before[0].pid.unwrap());
    assert_ne!(tree.status("db").unwrap().supervisor, before[0].supervisor);
    let web = tree.status("web").unwrap();
    assert_eq!((web.pid, web.supervisor, web.run), (before[1].pid, before[1].supervisor, 1));
    assert!(!is_alive(before[0].pid.unwrap()) && !is_alive(before[2].pid.unwrap()));
    tree.pid("new");
    assert_eq!(listed(&tree), ["db", "new", "web"]);
    assert_eq!(tree.ask("apply"), "nothing differs\n= 3 unchanged\n");
    assert_eq!(tree.status("web").unwrap(), web);
}

#[test]
fn dependents_stop_first_and_start_last() {
    let tree = |value| {
        services(&[
            telling("db", &format!(", environment: {{V: {value}}}")),
            telling("app", &format!(", depends_on: [db], environment: {{V: {value}}}")),
            telling("web", &format!(", depends_on: [app], environment: {{V: {value}}}")),
        ])
    };
    let yaml = tree("1");
    let running = Tree::start(&yaml);
    running.journal.expect("web start");
    write(&running, &tree("2"));
    running.ask("apply");
    running.ask("wait web db app");
    let lines = running.journal.listen("all of it", |lines| (lines.len() >= 9).then(|| lines.to_vec()));
    let second = ["web stop", "app stop", "db stop", "db start", "app start", "web start"];
    assert_eq!(lines[3..], second, "{lines:?}");
}

#[test]
fn a_broken_configuration_changes_nothing_and_every_problem_is_told() {
    let tree = Tree::start(&services(&[service("db", ""), service("web", "")]));
    let before = ["db", "web"].map(|name| tree.until_state(name, State::Running));
    write(
        &tree,
        &services(&[service("db", ", restart: alwyas"), service("web", ", environment: {A: b}, depends_on: [no]")]),
    );
    for words in ["apply", "apply --dry-run", "add web"] {
        let said = tree.ctl(words);
        assert_eq!((said.code, said.out.as_str()), (100, ""), "{said:?}");
        assert!(said.err.contains("alwyas") && said.err.contains("there is no service \"no\""), "{said:?}");
        assert!(said.err.ends_with("failed: nothing was changed\n"), "{said:?}");
    }
    write(&tree, "services: [");
    assert_eq!(tree.ctl("apply").code, 100);
    fs::remove_file(tree.directory().join("zei.yaml")).unwrap();
    assert_eq!(tree.ctl("apply").code, 100);
    assert_eq!(["db", "web"].map(|name| tree.status(name).unwrap()), before);
    write(&tree, &services(&[service("db", ""), service("web", "")]));
    assert_eq!(tree.ask("apply"), "nothing differs\n= 2 unchanged\n");
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let tree = Tree::start(&services(&[service("db", ""), service("web", "")]));
    let before = tree.until_state("db", State::Running);
    tree.pid("web");
    write(&tree, &services(&[service("db", ", stop_signal: INT"), service("new", "")]));
    assert_eq!(tree.ask("apply --dry-run"), "~ db: stop_signal\n- web\n+ new\n= 0 unchanged\n");
    let json: serde_json::Value = serde_json::from_str(&tree.ask("apply --dry-run --json")).unwrap();
    assert_eq!((&json["outcome"], &json["unchanged"]), (&"done".into(), &0.into()));
    assert_eq!(
        json["changes"][0],
        serde_json::json!({"service": "db", "change": "changed", "keys": ["stop_signal"], "with": null})
    );
    assert_eq!(listed(&tree), ["db", "web"]);
    assert_eq!(tree.status("db").unwrap(), before);
}

#[test]
fn a_key_that_concerns_only_zei_init_replaces_no_process() {
    let tree = Tree::start(&services(&[service("db", ""), service("web", "")]));
    let before = ["db", "web"].map(|name| tree.until_state(name, State::Running));
    let yaml = services(&[service("db", ", on_failure: shutdown"), service("web", ", forward_signals: []")]);
    write(&tree, &format!("shutdown_timeout: 7s\nexit: {{code: 9}}\n{yaml}"));
    let said = tree.ask("apply");
    for line in ["~ zei-init: exit, shutdown_timeout (", "~ db: on_failure (", "~ web: forward_signals ("] {
        assert!(said.contains(&format!("{line}nothing is restarted)\n")), "{said}");
    }
    assert_eq!(["db", "web"].map(|name| tree.status(name).unwrap()), before);
    // And it holds.
    let mut tree = tree;
    tree.ask("kill db:KILL");
    assert_eq!(tree.end().0, 9);
}

#[test]
fn what_says_so_is_restarted_along_and_what_depends_otherwise_is_not() {
    let along = ", depends_on: {db: {condition: service_healthy, restart: true}}";
    let yaml =
        |keys: &str| services(&[telling("db", keys), telling("api", along), service("web", ", depends_on: [db]")]);
    let tree = Tree::start(&yaml(""));
    tree.journal.expect("api start");
    let web = tree.until_state("web", State::Running);
    write(&tree, &yaml(", environment: {A: b}"));
    assert_eq!(tree.ask("apply"), "~ db: environment\n~ api: restarted with db\n= 1 unchanged\n");
    tree.ask("wait api");
    let lines = tree.journal.listen("all of it", |lines| (lines.len() >= 6).then(|| lines.to_vec()));
    assert_eq!(lines[2..], ["api stop", "db stop", "db start", "api start"]);
    assert_eq!(tree.status("web").unwrap(), web);
    // What was stopped by hand is not.
    tree.ask("stop api");
    write(&tree, &yaml(""));
    assert_eq!(tree.ask("apply"), "~ db: environment\n= 2 unchanged\n");
    assert_eq!(tree.status("api").unwrap().state, State::Stopped);
}

#[test]
fn what_was_stopped_by_hand_stays_stopped_and_what_now_starts_with_the_container_starts() {
    let tree = Tree::start(&services(&[
        service("stopped", ""),
        service("never", ", autostart: false"),
        service("needed", ", autostart: false"),
        service("one", ", autostart: false"),
    ]));
    tree.pid("stopped");
    tree.ask("stop stopped");
    write(
        &tree,
        &services(&[
            service("stopped", ", environment: {A: b}"),
            service("never", ", autostart: false, environment: {A: b}"),
            service("needed", ", autostart: false"),
            service("one", ""),
            service("new", ", depends_on: [needed]"),
        ]),
    );
    let said = tree.ask("apply");
    for line in ["~ needed: starts with the container now", "~ one: starts with the container now", "+ new"] {
        assert!(said.contains(line), "{said}");
    }
    tree.ask("wait new needed one");
    for name in ["stopped", "never"] {
        let status = tree.status(name).unwrap();
        assert_eq!((status.state, status.want), (State::Stopped, false), "{name}");
    }
    tree.ask("start stopped");
    assert_eq!(variable(&tree, "stopped", "A").as_deref(), Some("b"));
}

#[test]
fn a_changed_oneshot_runs_again_and_an_unchanged_one_does_not() {
    let yaml = |word: &str| {
        format!(
            "services:\n  migrate: {{shell: 'echo migrate {word} >$J', oneshot: true}}\n  \
             seed: {{shell: 'echo seed >$J', oneshot: true}}\n  \
             web: {{command: [sleep, infinity], depends_on: [migrate, seed]}}\n"
        )
    };
    let tree = Tree::start(&yaml("first"));
    let web = tree.until_state("web", State::Running);
    write(&tree, &yaml("second"));
    assert_eq!(tree.ask("apply"), "~ migrate: command\n= 2 unchanged\n");
    tree.ask("wait migrate --for done");
    tree.journal.expect("migrate second");
    assert_eq!((tree.journal.count("seed"), tree.status("web").unwrap()), (1, web));
}

#[test]
fn hup_can_be_mapped_to_it() {
    let yaml =
        |keys: &str| format!("signals: {{HUP: reload}}\n{}", services(&[service("db", ""), service("web", keys)]));
    let tree = Tree::start(&yaml(""));
    let db = tree.until_state("db", State::Running);
    let web = tree.until_state("web", State::Running);
    write(&tree, "services: {web: {comand: [x]}}");
    tree.signal(signal::HUP);
    tree.err.expect("zei-init: apply: ");
    tree.err.expect("zei-init: nothing was changed");
    write(&tree, &yaml(", environment: {A: b}"));
    tree.signal(signal::HUP);
    tree.until("web", "replaced", |status| status.state == State::Running && status.pid != web.pid);
    tree.err.expect("zei-init: apply: ~ web: environment");
    assert_eq!(tree.status("db").unwrap(), db);
}

#[test]
fn beside_a_command_the_services_change_and_the_command_does_not() {
    let script = "trap 'echo cmd stop >$J; exit 3' TERM; echo cmd start >$J; while :; do read x <$D/never; done";
    let plan = Plan::new(&services(&[telling("db", "")])).arguments(&["--", "sh", "-c", script]);
    nix::unistd::mkfifo(&plan.directory().join("never"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut tree = plan.start();
    tree.journal.expect("cmd start");
    let cmd = tree.until_state("cmd", State::Running);
    write(&tree, &format!("cmd: {{environment: {{A: b}}}}\n{}", services(&[telling("db", ""), telling("new", "")])));
    assert_eq!(tree.ask("apply"), "~ cmd: environment (when the container is started again)\n+ new\n= 1 unchanged\n");
    tree.journal.expect("new start");
    assert_eq!(tree.status("cmd").unwrap(), cmd);
    let said = tree.ctl("forget cmd");
    assert!(said.code == 1 && said.err.contains("the command can't be forgotten"), "{said:?}");
    // What was added stops after the command, as everything does; and the code is the command's.
    assert_eq!(tree.stop().0, 3);
    let lines = tree.journal.all();
    let at = |line: &str| lines.iter().position(|known| known == line);
    assert!(at("cmd stop").unwrap() < at("new stop").unwrap(), "{lines:?}");
}

#[test]
fn a_command_that_still_waits_waits_for_what_is_new_too() {
    let yaml = |list: &[String]| services(list);
    let gate = "  gate: {shell: 'read x <$D/gate', oneshot: true}\n".to_owned();
    let plan =
        Plan::new(&yaml(std::slice::from_ref(&gate))).arguments(&["--", "sh", "-c", "echo cmd start >$J; sleep 1000"]);
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    tree.until_state("cmd", State::Waiting);
    let new = "  new: {shell: 'echo new done >$J', oneshot: true, depends_on: [gate]}\n".to_owned();
    write(&tree, &yaml(&[gate, new]));
    let said = tree.ask("apply");
    assert!(said.contains("~ cmd: depends_on\n") && said.contains("+ new\n"), "{said}");
    // Open for both directions nobody waits for the other end.
    let mut gate = fs::File::options().read(true).write(true).open(tree.directory().join("gate")).unwrap();
    gate.write_all(b"x\n").unwrap();
    tree.journal.expect("cmd start");
    assert_eq!(tree.journal.all(), ["new done", "cmd start"]);
}
