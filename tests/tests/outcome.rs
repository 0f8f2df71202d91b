//! What the container's exit code says.

use zei::exit;
use zei_tests::program;
use zei_tests::tree::{Plan, Tree};

const LISTENER: &str = env!("CARGO_BIN_EXE_listener");
const HOLD: &str = "  hold: {command: [sleep, infinity]}\n";

fn code(plan: Plan) -> i32 {
    let mut tree = plan.spawn();
    tree.end().0
}

#[test]
fn a_tree_that_ends_by_itself_gives_0_or_the_first_failure_in_time() {
    for (services, expected) in [
        ("  a: {shell: 'exit 0'}\n  b: {shell: 'exit 0', oneshot: true}\n", 0),
        ("  a: {shell: 'exit 0'}\n  b: {shell: 'exit 7'}\n", 7),
        // The second begins only once the first has failed.
        ("  first: {shell: 'exit 8', on_failure: none}\n  second: {shell: 'until @D/failed; do :; done; exit 9'}\n", 8),
        ("  a: {shell: 'kill -KILL $$'}\n", 137),
        ("  a: {shell: 'kill -TERM $$'}\n", 143),
        ("  a: {command: [/no/such/program]}\n", i32::from(exit::NOT_FOUND)),
        ("  a: {command: ['@D/plain']}\n", i32::from(exit::NOT_EXECUTABLE)),
        ("  a: {command: ['true'], working_dir: /no/such/place}\n", i32::from(exit::SYSTEM)),
        ("  a: {command: ['true'], restart: always, max_restarts: 1, restart_delay: 0}\n", i32::from(exit::NO_CODE)),
        // Failed by a dependency only: not counted.
        ("  a: {shell: 'exit 5', oneshot: true}\n  b: {command: ['true'], depends_on: [a]}\n", 5),
        ("  a: {shell: 'exit 5', restart: on-failure, max_restarts: 2, restart_delay: 0}\n", 5),
    ] {
        let plan = Plan::new(&format!("services:\n{services}")).file("plain", "text\n", 0o644).file(
            "failed",
            "#!/bin/sh\nexec grep -qx state=failed @D/run/services/first/status\n",
            0o755,
        );
        assert_eq!(code(plan), expected, "{services}");
    }
}

#[test]
fn every_exit_code_and_every_deadly_signal_of_a_command_becomes_the_containers() {
    let mut failed = Vec::new();
    for wanted in [0, 1, 2, 99, 100, 111, 125, 126, 127, 128, 137, 200, 255] {
        let command = format!("exit {wanted}");
        let got = code(Plan::new("services: {}\ncmd: {depends_on: []}\n").arguments(&["--", "sh", "-c", &command]));
        failed.extend((got != wanted).then(|| format!("{command}: {got}")));
    }
    for number in ["HUP", "INT", "QUIT", "KILL", "USR1", "SEGV", "PIPE", "ALRM", "TERM", "ABRT"] {
        let wanted = 128 + i32::from(zei::signal::parse(number).unwrap());
        let command = format!("ulimit -c 0; kill -{number} $$");
        let got = code(Plan::new("services: {}\ncmd: {depends_on: []}\n").arguments(&["--", "sh", "-c", &command]));
        failed.extend((got != wanted).then(|| format!("{command}: {got}")));
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_command_beside_services_ends_the_container_with_its_code() {
    let plan = Plan::new(&format!("services:\n{HOLD}")).arguments(&["--", "sh", "-c", "exit 42"]);
    assert_eq!(code(plan), 42);
    let plan = Plan::new(&format!("services:\n{HOLD}")).arguments(&["--", "/no/such/program"]);
    assert_eq!(code(plan), 127);
    let plan = Plan::new(&format!("services:\n{HOLD}")).arguments(&["--", "@D/plain"]).file("plain", "text\n", 0o644);
    assert_eq!(code(plan), 126);
}

#[test]
fn a_command_never_starts_where_a_service_failed_for_good_before_and_that_code_ends_the_container() {
    let plan = Plan::new(&format!("services:\n{HOLD}  prepare: {{shell: 'exit 6', oneshot: true}}\n"));
    let mut tree = plan.arguments(&["--", "sh", "-c", "echo command >$J"]).spawn();
    assert_eq!(tree.end().0, 6);
    assert_eq!(tree.journal.all(), Vec::<String>::new());
}

#[test]
fn a_command_gets_the_very_signal_that_begins_the_shutdown_and_decides_the_code() {
    let plan = Plan::new(&format!("services:\n{HOLD}")).install("listener", LISTENER);
    let plan = plan.arguments(&["--", "@D/listener", "@J", "cmd", "INT,TERM", "17"]);
    let mut tree = plan.start();
    tree.journal.expect("cmd up");
    tree.pid("cmd");
    tree.signal(zei::signal::INT);
    assert_eq!(tree.end().0, 17);
    assert_eq!(tree.journal.all(), ["cmd up", "cmd INT"]);
}

#[test]
fn an_end_that_was_asked_for_is_0_whatever_the_services_say() {
    let plan = Plan::new(&format!("services:\n{HOLD}  rude: {{command: ['@D/listener', '@J', rude, TERM, '3']}}\n"));
    let mut tree = plan.install("listener", LISTENER).start();
    tree.journal.expect("up");
    assert_eq!(tree.stop().0, 0);
    let mut tree = Tree::start(&format!("services:\n{HOLD}"));
    tree.pid("hold");
    tree.ask("shutdown");
    assert_eq!(tree.end().0, 0);
}

#[test]
fn one_line_lets_a_services_end_or_failure_end_the_container_with_its_code() {
    for (keys, expected) in [
        ("shell: 'exit 0', on_exit: shutdown", 0),
        ("shell: 'exit 4', on_exit: shutdown", 4),
        ("shell: 'exit 5', on_failure: shutdown", 5),
        ("shell: 'exit 6', restart: on-failure, max_restarts: 2, restart_delay: 0, on_failure: shutdown", 6),
        ("shell: 'kill -KILL $$', on_failure: shutdown", 137),
        ("command: [/no/such/program], on_failure: shutdown", 127),
    ] {
        assert_eq!(code(Plan::new(&format!("services:\n{HOLD}  web: {{{keys}}}\n"))), expected, "{keys}");
    }
    let mut tree = Tree::start(&format!("services:\n{HOLD}  web: {{shell: 'exit 0', on_failure: shutdown}}\n"));
    tree.until_state("web", zei::protocol::status::State::Completed);
    tree.until_init("running");
    assert!(tree.lives());
}

#[test]
fn a_stopped_service_and_one_that_never_started_hold_the_container_up() {
    let mut tree =
        Tree::start("services:\n  a: {command: [sleep, infinity]}\n  b: {command: ['true'], autostart: false}\n");
    tree.ask("stop a");
    tree.until_state("a", zei::protocol::status::State::Stopped);
    assert!(tree.lives());
    assert_eq!(tree.stop().0, 0);
}

#[test]
fn every_problem_of_a_broken_configuration_is_reported_and_nothing_is_started() {
    let plan = Plan::new(
        "services:\n  good: {shell: 'echo started >$J'}\n  bad: {command: ['true'], restart: alwyas}\n  \
         worse: {comand: ['true']}\n  lost: {command: ['true'], depends_on: [goood]}\n",
    );
    let mut tree = plan.spawn();
    assert_eq!(tree.end().0, i32::from(exit::CONFIG));
    let said = tree.err.listen("three problems", |lines| (lines.len() >= 3).then(|| lines.join("\n")));
    for part in ["alwyas", "\"always\"", "comand", "\"command\"", "goood", "\"good\"", "zei.yaml:3", "zei.yaml:5"] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    assert_eq!(tree.journal.all(), Vec::<String>::new());
    assert_eq!(tree.err.all().len(), 3, "{said}");
    assert!(!tree.directory().join("run").exists());
}

#[test]
fn without_its_supervisor_program_zei_init_says_where_it_should_be_and_exits_111() {
    let plan = Plan::new(&format!("services:\n{HOLD}"));
    zei_tests::copy_program(program("zei-init"), plan.directory().join("zei-init"));
    let own = plan.directory().join("zei-init").to_str().unwrap().to_owned();
    // The wrapper takes the place of the program that would be started.
    let plan = plan.wrapper(&["sh", "-c", &format!("shift; exec {own} \"$@\""), "sh"]);
    let mut tree = plan.spawn();
    assert_eq!(tree.end().0, i32::from(exit::SYSTEM));
    tree.err.expect("zei-supervise must lie beside zei-init");
}
