//! Many clients, many services.
//!
//! `ZEI_ROUNDS` sets how many rounds of a hundred clients there are, `ZEI_SERVICES` how large the large tree is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::process::Command;
use std::sync::Barrier;
use zei::paths;
use zei::protocol::control::{Ack, Progress, RECORD};
use zei::protocol::status::State;
use zei_tests::tree::{Plan, Tree};

const CLIENTS: usize = 100;
const WEB: &str = "services:\n  web: {shell: 'echo $$ >$J; exec sleep infinity', restart: always, restart_delay: 0}\n";

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What stood in the file of answers at some moment.
#[derive(Clone, Copy)]
struct Mark(u64, u64);

fn mark(tree: &Tree) -> Mark {
    fs::metadata(tree.file("web", paths::ACKS)).map_or(Mark(0, 0), |file| Mark(file.ino(), file.len()))
}

/// The outcomes behind the mark, by their tokens; each stands there once.
fn outcomes(tree: &Tree, since: Mark) -> BTreeMap<String, Ack> {
    let Ok(file) = File::open(tree.file("web", paths::ACKS)) else { return BTreeMap::new() };
    let metadata = file.metadata().unwrap();
    let start = if metadata.ino() == since.0 { since.1 } else { 0 };
    let mut bytes = vec![0; usize::try_from(metadata.len().saturating_sub(start)).unwrap()];
    file.read_exact_at(&mut bytes, start).unwrap();
    let mut found = BTreeMap::new();
    // One that is just being replaced is read at the next ring.
    for ack in bytes.chunks_exact(RECORD).filter_map(Ack::decode) {
        if !matches!(ack.progress, Progress::Accepted { .. }) {
            let twice = found.insert(ack.token.to_string(), ack);
            assert!(twice.is_none(), "{twice:?}");
        }
    }
    found
}

/// Waits until all of these tokens have an outcome, and returns the pids in them.
fn pids(tree: &Tree, since: Mark, tokens: &[String]) -> Vec<u32> {
    let mut found = BTreeMap::new();
    tree.until("web", "finished with all commands", |_| {
        found = outcomes(tree, since);
        tokens.iter().all(|token| found.contains_key(token))
    });
    let pid = |token: &String| {
        let ack = &found[token];
        assert_eq!(ack.progress, Progress::Done, "{ack:?}");
        pid_in(ack.text.as_str())
    };
    tokens.iter().map(pid).collect()
}

/// `pid=N` or `pid=N merged`.
fn pid_in(text: &str) -> u32 {
    let mut words = text.split(' ');
    let pid = words.next().and_then(|word| word.strip_prefix("pid=")?.parse().ok());
    assert!(matches!(words.next(), None | Some("merged")), "{text}");
    pid.unwrap_or_else(|| panic!("no pid: {text}"))
}

/// The first process and those in the answers are all that were ever started.
fn the_answers_name_every_start(tree: &Tree, first: u32, answered: &BTreeSet<u32>) {
    let last = tree.until_state("web", State::Running);
    assert_eq!(last.run as usize, answered.len() + 1, "so many were started, so many are named");
    assert!(answered.contains(&last.pid.unwrap()));
    let newest = last.pid.unwrap().to_string();
    tree.journal.expect(&newest);
    // A process may be replaced before it has written its line, but none writes that is not named.
    let written: BTreeSet<u32> = tree.journal.all().iter().map(|line| line.parse().unwrap()).collect();
    let named: BTreeSet<u32> = answered.iter().copied().chain([first]).collect();
    assert!(written.is_subset(&named), "{:?}", written.difference(&named));
    assert_eq!(written.len(), tree.journal.all().len(), "each wrote once");
}

#[test]
fn of_a_hundred_clients_at_once_each_gets_the_pid_that_its_restart_led_to_and_nothing_else_starts() {
    let rounds = number("ZEI_ROUNDS", 50);
    let tree = Tree::start(WEB);
    let first = tree.pid("web");
    let mut answered = BTreeSet::new();
    let barrier = Barrier::new(CLIENTS + 1);
    let token = |round: usize, client: usize| format!("r{round:05}c{client:03}");
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (tree, barrier) = (&tree, &barrier);
            scope.spawn(move || {
                let mut fifo = File::options().write(true).open(tree.file("web", paths::CONTROL)).unwrap();
                for round in 0..rounds {
                    barrier.wait();
                    fifo.write_all(format!("{} restart\n", token(round, client)).as_bytes()).unwrap();
                }
            });
        }
        for round in 0..rounds {
            let since = mark(&tree);
            barrier.wait();
            let tokens: Vec<String> = (0..CLIENTS).map(|client| token(round, client)).collect();
            let pids: BTreeSet<u32> = pids(&tree, since, &tokens).into_iter().collect();
            assert!(pids.is_disjoint(&answered) && !pids.contains(&first), "round {round}: a new process each time");
            answered.extend(pids);
        }
    });
    the_answers_name_every_start(&tree, first, &answered);
}

#[test]
fn a_hundred_zei_ctl_at_once_are_all_answered_with_a_process_that_was_started() {
    let rounds = number("ZEI_ROUNDS", 50).div_ceil(25);
    let tree = Tree::start(WEB);
    let first = tree.pid("web");
    let program = zei_tests::program("zei-ctl");
    let mut answered = BTreeSet::new();
    for _round in 0..rounds {
        let client = || {
            let mut command = Command::new(&program);
            command.args(["restart", "web", "--json"]).env(paths::RUN_VARIABLE, tree.directory().join("run"));
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| client()).collect();
        for client in clients {
            let output = client.wait_with_output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{said}");
            let at = said.find("pid=").unwrap_or_else(|| panic!("no pid: {said}"));
            answered.insert(pid_in(said[at..].split('"').next().unwrap()));
        }
    }
    the_answers_name_every_start(&tree, first, &answered);
}

#[test]
fn a_hundred_shells_that_echo_lines_with_tokens_are_all_answered() {
    let tree = Tree::start(WEB);
    let first = tree.pid("web");
    let mut answered = BTreeSet::new();
    for round in 0..number("ZEI_ROUNDS", 50).div_ceil(10) {
        let since = mark(&tree);
        let script = format!("for n in $(seq 100 199); do (echo \"round{round:04}n$n restart\" >control) & done; wait");
        let shell = Command::new("sh").args(["-c", &script]).current_dir(tree.file("web", "")).status().unwrap();
        assert!(shell.success());
        let tokens: Vec<String> = (100..200).map(|client| format!("round{round:04}n{client}")).collect();
        answered.extend(pids(&tree, since, &tokens));
    }
    the_answers_name_every_start(&tree, first, &answered);
}

#[test]
fn a_hundred_lines_without_tokens_lead_to_at_least_one_new_process_and_at_most_a_hundred() {
    let tree = Tree::start(WEB);
    let first = tree.pid("web");
    let script = "for n in $(seq 100); do (echo '- restart' >control) & done; wait";
    assert!(Command::new("sh").args(["-c", script]).current_dir(tree.file("web", "")).status().unwrap().success());
    // What stands behind them in the FIFO is done after them.
    let since = mark(&tree);
    tree.echo("web", "thelastone restart");
    let last = pids(&tree, since, &["thelastone".to_owned()])[0];
    let status = tree.until_state("web", State::Running);
    assert!(status.run >= 2 && status.run <= 102 && status.pid == Some(last) && last != first, "{status:?}");
}

#[test]
fn a_thousand_services_with_a_chain_of_twenty_start_are_listed_and_stop_and_keep_their_own_limits() {
    const CHAIN: usize = 20;
    let services = number("ZEI_SERVICES", 1000).max(CHAIN + 1);
    let mut yaml = String::from("services:\n");
    for number in 0..services {
        yaml += &match number {
            0 => "  s0: {command: [sleep, infinity]}\n".to_owned(),
            number if number < CHAIN => {
                format!("  s{number}: {{command: [sleep, infinity], depends_on: [s{}]}}\n", number - 1)
            }
            CHAIN => format!("  s{CHAIN}: {{shell: 'ulimit -S -n >$J; exec sleep infinity'}}\n"),
            number => format!("  s{number}: {{command: [sleep, infinity]}}\n"),
        };
    }
    let mut tree = Plan::new(&yaml).wrapper(&["sh", "-c", "ulimit -S -n 256; exec \"$@\"", "sh"]).start();
    tree.until_init("running");
    let list = tree.ask("list");
    assert_eq!(list.lines().count(), services + 1);
    assert!(list.lines().skip(1).all(|line| line.contains(" running ")), "{list}");
    let since: Vec<u64> = (0..CHAIN).map(|number| tree.status(&format!("s{number}")).unwrap().since).collect();
    assert!(since.is_sorted(), "{since:?}");
    assert_eq!(tree.journal.expect("256"), "256");
    tree.ask("stop s5");
    assert_eq!(tree.status("s5").unwrap().state, State::Stopped);
    let below = tree.descendants();
    assert_eq!(tree.stop().0, 0);
    assert!(!below.iter().any(|pid| zei_tests::process::is_alive(*pid)));
}
