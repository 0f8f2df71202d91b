//! `zei-init doctor`: as a program, whatever it is started in.

use nix::errno::Errno;
use nix::libc;
use serde_json::Value;
use std::fs;
use std::process::{Command, Output, Stdio};
use zei::exit;
use zei_tests::tree::Tree;
use zei_tests::{program, seccomp};

fn doctor(words: &[&str]) -> Output {
    Command::new(program("zei-init")).arg("doctor").args(words).stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_json_form_has_what_the_lines_have() {
    let (lines, json) = (text(&doctor(&[])), doctor(&["--json"]));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), lines.lines().count());
    for (finding, line) in findings.iter().zip(lines.lines()) {
        let word = |key: &str| finding[key].as_str().unwrap_or_default();
        // The streams are the same, the numbers of processes are not.
        let begin = format!("{:8}  {:17}  ", word("state"), word("key"));
        assert!(line.starts_with(&begin), "{line}");
        assert!(["pid", "processes"].contains(&word("key")) || line.contains(word("sentence")), "{line}");
        assert_eq!(finding["remedy"].is_string(), line.contains("; to change that: "), "{line}");
    }
}

#[test]
fn it_says_where_a_live_zei_init_has_its_run_directory_and_leaves_that_alone() {
    let tree = Tree::start("services:\n  hold: {command: [sleep, '4001']}\n");
    let (pid, run) = (tree.pid("hold"), tree.directory().join("run"));
    let names = || {
        let entries = fs::read_dir(run.join("init")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let output = Command::new(program("zei-init")).arg("doctor").env("ZEI_RUN", &run).output().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(exit::OK)));
    let line = format!("services can be controlled: a zei-init runs with {}\n", run.display());
    assert!(text(&output).contains(&line), "{}", text(&output));
    assert_eq!((names(), tree.pid("hold")), (before, pid));
}

#[test]
fn a_place_for_the_run_directory_is_named_and_not_made() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    let output = Command::new(program("zei-init")).arg("doctor").env("ZEI_RUN", &run).output().unwrap();
    assert!(text(&output).contains(&format!("services can be controlled: {}\n", run.display())));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn where_no_service_could_run_it_exits_with_111() {
    let Some(words) = seccomp::words(&[libc::SYS_memfd_create], Errno::ENOSYS) else { return };
    let output = Command::new(&words[0]).args(&words[1..]).arg(program("zei-init")).arg("doctor").output().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(exit::SYSTEM)));
    assert!(text(&output).contains("missing   memfd_create       memfd_create is answered ENOSYS: no service can run"));
}

#[test]
fn it_is_a_verb_as_the_first_word_and_else_a_command() {
    let run = |words: &[&str]| Command::new(program("zei-init")).args(words).output().unwrap().status.code();
    assert_eq!(run(&["doctor"]), Some(i32::from(exit::OK)));
    assert_eq!(run(&["--", "doctor"]), Some(i32::from(exit::NOT_FOUND)));
    assert_eq!(run(&["-v", "doctor"]), Some(i32::from(exit::NOT_FOUND)));
    assert_eq!(run(&["doctor", "now"]), Some(i32::from(exit::CONFIG)));
}

#[test]
fn a_closed_standard_error_is_said_on_standard_output() {
    let script = format!("exec '{}' doctor 2>&-", program("zei-init").display());
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(text(&output).contains("degraded  stderr             standard error is closed"), "{}", text(&output));
}
