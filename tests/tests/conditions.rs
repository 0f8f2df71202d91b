//! The conditions of `depends_on`, with three dependents on one oneshot each, and what can never come true.

use std::fs;
use std::process::Command;
use zei::protocol::status::State;
use zei_tests::program;
use zei_tests::tree::Tree;

const STARTED: [&str; 3] = ["s1", "s2", "s3"];
const COMPLETED: [&str; 3] = ["c1", "c2", "c3"];
const IMPLIED: [&str; 3] = ["i1", "i2", "i3"];

/// A oneshot that ends with the code that is written into its gate, and three dependents for each condition.
fn tree() -> Tree {
    let mut yaml = String::from(
        "services:\n  hold: {shell: 'exec sleep infinity'}\n  prepare: {shell: 'mkfifo $D/gate; echo began >$J; read \
         code <$D/gate; exit $code', oneshot: true}\n",
    );
    for (names, needs) in [
        (STARTED, "{prepare: {condition: service_started}}"),
        (COMPLETED, "{prepare: {condition: service_completed_successfully}}"),
        (IMPLIED, "[prepare]"),
    ] {
        for name in names {
            yaml += &format!("  {name}: {{command: [sleep, infinity], depends_on: {needs}}}\n");
        }
    }
    let tree = Tree::start(&yaml);
    tree.journal.expect("began");
    tree
}

#[test]
fn three_dependents_of_each_condition_start_at_the_moment_that_it_names() {
    let tree = tree();
    for name in STARTED {
        tree.until_state(name, State::Running);
    }
    assert_eq!(tree.status("prepare").unwrap().state, State::Running);
    for name in COMPLETED.iter().chain(&IMPLIED) {
        assert_eq!(tree.until_state(name, State::Waiting).run, 0, "{name}");
    }
    fs::write(tree.directory().join("gate"), "0\n").unwrap();
    let ended = tree.until_state("prepare", State::Completed);
    for name in COMPLETED.iter().chain(&IMPLIED) {
        let status = tree.until_state(name, State::Running);
        assert!(status.since >= ended.since, "{name}");
    }
    // Whoever has started is not touched by the end.
    STARTED.iter().for_each(|name| assert_eq!(tree.status(name).unwrap().run, 1));
}

#[test]
fn a_oneshot_that_fails_fails_the_three_that_need_its_success_and_no_other() {
    let tree = tree();
    for name in STARTED {
        tree.until_state(name, State::Running);
    }
    fs::write(tree.directory().join("gate"), "3\n").unwrap();
    for name in COMPLETED.iter().chain(&IMPLIED) {
        let status = tree.until_state(name, State::Failed);
        assert_eq!((status.reason.as_str(), status.run), ("dependency:prepare", 0), "{name}");
    }
    STARTED.iter().for_each(|name| assert_eq!(tree.status(name).unwrap().state, State::Running));
}

#[test]
fn a_cycle_an_impossible_condition_and_a_typo_are_refused_by_a_check_with_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("zei.yaml");
    for (yaml, expected) in [
        (
            "services:\n  a: {command: x, depends_on: [b]}\n  b: {command: x, depends_on: [c]}\n  c: {command: x, depends_on: [a]}\n",
            ":2: service \"a\": depends_on: the services wait for each other in a circle: a -> b -> c -> a",
        ),
        (
            "services:\n  a: {command: x, depends_on: {b: {condition: service_healthy}}}\n  b: {command: x, oneshot: true}\n",
            ":2: service \"a\": depends_on: b: service_healthy can never come true",
        ),
        (
            "services:\n  a: {command: x, depends_on: {b: {condition: service_complete_successfully}}}\n  b: {command: x, oneshot: true}\n",
            "did you mean \"service_completed_successfully\"?",
        ),
        (
            "services:\n  a: {command: x, depend_on: [b]}\n  b: {command: x}\n",
            ":2: service \"a\": depend_on: unknown key (did you mean \"depends_on\"?)",
        ),
        ("services:\n  a: {command: x, depends_on: [bb]}\n  b: {command: x}\n", ":2: service \"a\": depends_on"),
    ] {
        fs::write(&file, yaml).unwrap();
        let check = Command::new(program("zei-ctl")).args(["check", "-c", file.to_str().unwrap()]).output().unwrap();
        let text = String::from_utf8(check.stderr).unwrap();
        assert_eq!(check.status.code(), Some(100), "{yaml}{text}");
        assert!(
            text.contains(&format!(
                "{}{expected}",
                if expected.starts_with(':') { file.to_str().unwrap() } else { "" }
            )),
            "{yaml}{text}"
        );
    }
}
