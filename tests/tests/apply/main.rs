//! The tree is changed while it runs: what is changed in `differences`, one service alone in `single`, kills, hangs and
//! shutdowns in the middle in `trouble`.

mod differences;
mod single;
mod trouble;

use std::fs;
use std::time::Instant;
use zei_tests::PATIENCE;
use zei_tests::tree::Tree;

/// A service that runs, with further keys.
pub fn service(name: &str, keys: &str) -> String {
    format!("  {name}: {{command: [sleep, infinity]{keys}}}\n")
}

/// One that writes `NAME start` and `NAME stop` into the journal, and is ready once it has.
pub fn telling(name: &str, keys: &str) -> String {
    let up = format!("echo {name} start >$J; echo >&3");
    let script = format!("trap \"echo {name} stop >$J; exit 0\" TERM; {up}; while :; do read x; done");
    format!("  {name}: {{shell: '{script}', ready: {{notify: {{fd: 3}}}}, stdin: open, stop_scope: process{keys}}}\n")
}

pub fn services(list: &[String]) -> String {
    format!("defaults: {{log: inherit}}\nservices:\n{}", list.concat())
}

/// Replaces the configuration.
pub fn write(tree: &Tree, yaml: &str) {
    fs::write(tree.directory().join("zei.yaml"), yaml).unwrap();
}

/// The value of a variable in the environment of a service's process.
pub fn variable(tree: &Tree, service: &str, name: &str) -> Option<String> {
    let path = format!("/proc/{}/environ", tree.pid(service));
    let deadline = Instant::now() + PATIENCE;
    let mut environment = String::new();
    // The kernel shows none while a program is being loaded.
    while environment.is_empty() && Instant::now() < deadline {
        environment = fs::read_to_string(&path).unwrap();
    }
    environment.split('\0').find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// The services that have a directory, in order.
pub fn listed(tree: &Tree) -> Vec<String> {
    let entries = fs::read_dir(tree.file("", "")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
