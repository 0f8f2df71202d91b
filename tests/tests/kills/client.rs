//! A client that is killed at any of its system calls leaves nothing behind, and the tree goes on.

use crate::{SINGLE, every_point, points};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use zei::protocol::status::State;
use zei_tests::eventually;
use zei_tests::process::is_alive;
use zei_tests::tracer::{Tracer, kill_at};
use zei_tests::tree::{Plan, Tree};

/// What is asked for, and what may have come of it where the client was killed.
const VERBS: &[(&str, &[State])] = &[
    ("restart web", &[State::Running]),
    ("stop web", &[State::Running, State::Stopped]),
    ("start web", &[State::Running, State::Stopped]),
    ("status web", &[State::Running]),
    ("list", &[State::Running]),
    ("wait web --for running", &[State::Running]),
    ("apply", &[State::Running]),
];

/// All paths below a directory. Reports of an apply are kept, and their numbers used again.
fn paths(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(paths(&path));
        } else if !path.file_name().unwrap().to_string_lossy().starts_with("report.") {
            found.insert(path.to_string_lossy().into_owned());
        }
    }
    found
}

fn begin(tree: &Tree, verb: &str) {
    tree.ask(if verb.starts_with("start") { "stop web" } else { "start web" });
}

/// Kills the client at each of its points; how many there are.
fn kill_everywhere(verb: &str, allowed: &[State]) -> u64 {
    let plan = Plan::new(
        "defaults: {log: inherit}\nservices:\n  web: {command: ['@D/single', '@J', web, '@D/web.lock', child]}\n  \
         other: {command: ['@D/single', '@J', other, '@D/other.lock']}\n",
    );
    let plan = plan.install("single", SINGLE).wrapper(&Tracer::WORDS);
    let tracer = Tracer::new(plan.directory(), BTreeMap::new());
    let mut tree = plan.start();
    let other = tree.pid("other");
    tree.journal.expect("other up");
    begin(&tree, verb);
    let whole = kill_at(&tree.client(verb), tree.directory(), 0);
    assert_eq!((whole.code, whole.call.as_str()), (0, ""), "{verb}: {whole:?}");
    let directory = tree.file("init", "").parent().unwrap().to_path_buf();
    begin(&tree, verb);
    let before = paths(&directory);
    let (mut killed, tried) = (0, points(whole.calls));
    for at in &tried {
        let ended = kill_at(&tree.client(verb), tree.directory(), *at);
        assert!(ended.code == 0 || (ended.code == -9 && !ended.call.is_empty()), "{verb} at {at}: {ended:?}");
        killed += usize::from(ended.code == -9);
        // What was accepted is done, whoever hears of it; what comes next comes behind it.
        let settled = |state: State| !matches!(state, State::Starting | State::Stopping | State::Waiting);
        let status = tree.until("web", "settled", |status| settled(status.state));
        assert!(allowed.contains(&status.state), "{verb} at {at}: {ended:?} {status:?}");
        begin(&tree, verb);
        // What was asked for may still be under way, with files of its own.
        eventually(&format!("{verb} at {at} has left nothing: {ended:?}"), || paths(&directory) == before);
        assert_eq!(tree.status("other").unwrap().pid, Some(other), "{verb} at {at}: {ended:?}");
        assert!(is_alive(other));
    }
    println!("zei-ctl {verb}: {} points, {} tried, {killed} killed", whole.calls, tried.len());
    assert!(!tree.journal.all().iter().any(|line| line.contains("double")), "{tree:?}");
    assert_eq!(tree.stop().0, 0, "{tree:?}");
    tracer.join();
    whole.calls
}

#[test]
fn a_client_that_is_killed_leaves_nothing_behind() {
    let count: u64 = VERBS.iter().map(|(verb, allowed)| kill_everywhere(verb, allowed)).sum();
    println!("zei-ctl: {count} points in all, {}", if every_point() { "each tried" } else { "a sample tried" });
}
