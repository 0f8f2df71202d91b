//! Whatever happens in the middle of a change, the tree is the old one or the new one, and nothing is left behind.

use super::*;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;
use zei::paths;
use zei::protocol::control::{Ack, Progress, RECORD};
use zei::protocol::status::State;
use zei::signal;
use zei_tests::process::{self, is_alive};
use zei_tests::tree::Plan;

/// All answers of a service.
fn acks(tree: &Tree, service: &str) -> Vec<Ack> {
    let bytes = fs::read(tree.file(service, paths::ACKS)).unwrap_or_default();
    bytes.chunks_exact(RECORD).filter_map(Ack::decode).collect()
}

/// Lets this much time pass, a moment that is nobody's in particular.
fn spin(microseconds: u64) {
    let until = Instant::now() + Duration::from_micros(microseconds);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

/// Three services, one upon the other, with a value in each.
fn chain(value: u32) -> String {
    let keys = |needs: &str| format!(", restart: always, restart_delay: 0, environment: {{V: {value}}}{needs}");
    services(&[
        service("db", &keys("")),
        service("app", &keys(", depends_on: [db]")),
        service("web", &keys(", depends_on: [app]")),
    ])
}

fn values(tree: &Tree) -> [Option<String>; 3] {
    ["db", "app", "web"].map(|name| variable(tree, name, "V"))
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn files(directory: &Path) -> usize {
    let count = |path: &Path| if path.is_dir() { files(path) } else { 1 };
    fs::read_dir(directory).unwrap().map(|entry| count(&entry.unwrap().path())).sum()
}

#[test]
fn changes_are_made_one_after_the_other_and_each_is_answered() {
    let yaml = |value: u32| services(&[service("db", &format!(", environment: {{V: {value}}}")), service("web", "")]);
    let tree = Tree::start(&yaml(0));
    tree.pid("db");
    write(&tree, &yaml(1));
    let said: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..5).map(|_| scope.spawn(|| tree.ctl("apply"))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(said.iter().all(|said| said.code == 0), "{said:?}");
    let changed = said.iter().filter(|said| said.out == "~ db: environment\n= 1 unchanged\n").count();
    let nothing = said.iter().filter(|said| said.out == "nothing differs\n= 2 unchanged\n").count();
    assert_eq!((changed, nothing), (1, 4), "{said:?}");
    assert_eq!((variable(&tree, "db", "V").as_deref(), tree.status("db").unwrap().run), (Some("1"), 2));
}

#[test]
fn in_a_shutdown_nothing_is_changed_any_more() {
    let stubborn = ", stop_grace_period: 60s, shell: 'trap \"echo asked >$J\" TERM; echo up >$J; while :; do read x; done', stdin: open";
    let yaml = |keys: &str| format!("services:\n  web: {{stop_scope: process{stubborn}{keys}}}\n");
    let tree = Tree::start(&yaml(""));
    tree.journal.expect("up");
    tree.signal(signal::TERM);
    tree.journal.expect("asked");
    write(&tree, &yaml(", environment: {A: b}"));
    let said = tree.ctl("apply");
    assert!(said.code == 1 && said.err.contains("the container shuts down"), "{said:?}");
}

#[test]
fn a_shutdown_in_the_middle_of_a_change_ends_all_that_is_there() {
    let stubborn = "shell: 'trap \"echo asked >$J\" TERM; echo up >$J; while :; do read x; done', stdin: open, stop_scope: process";
    let yaml = |keys: &str| {
        format!(
            "shutdown_timeout: 1s\nservices:\n  web: {{{stubborn}, stop_grace_period: 60s{keys}}}\n{}",
            service("db", keys)
        )
    };
    let mut tree = Tree::start(&yaml(""));
    tree.journal.expect("up");
    tree.pid("db");
    write(&tree, &yaml(", environment: {A: b}"));
    tree.ask("apply --no-wait");
    tree.journal.expect("asked");
    let (code, took) = tree.stop();
    assert!(code == 0 && took.as_secs() < 30, "{code} {took:?}");
    assert_eq!(tree.descendants(), [0u32; 0]);
}

#[test]
fn what_is_asked_of_a_service_while_it_is_replaced_is_done_by_its_successor() {
    let slow = "shell: 'trap \"echo asked >$J; read x <$D/gate; exit\" TERM; echo up >$J; while :; do read x; done', stdin: open";
    let yaml = |keys: &str| format!("services:\n  web: {{{slow}, stop_scope: process{keys}}}\n{}", service("db", ""));
    let plan = Plan::new(&yaml(""));
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    tree.journal.expect("up");
    let before = tree.until_state("web", State::Running);
    write(&tree, &yaml(", environment: {A: b}"));
    // Open for both directions nobody waits for the other end.
    let mut gate = fs::File::options().read(true).write(true).open(tree.directory().join("gate")).unwrap();
    std::thread::scope(|scope| {
        let applied = scope.spawn(|| tree.ask("apply"));
        tree.journal.expect("asked");
        tree.echo("web", "stoptokn stop");
        tree.until_state("web", State::Stopping);
        assert!(acks(&tree, "web").is_empty(), "it is left to the successor");
        // One line for the old one, and one for the new one, should it ask.
        gate.write_all(b"x\nx\n").unwrap();
        assert_eq!(applied.join().unwrap(), "~ web: environment\n= 1 unchanged\n");
    });
    tree.until("web", "answered", |_| {
        acks(&tree, "web").iter().any(|ack| ack.token.as_str() == "stoptokn" && ack.progress == Progress::Done)
    });
    let after = tree.status("web").unwrap();
    assert_eq!((after.state, after.want), (State::Stopped, false));
    assert_ne!(after.supervisor, before.supervisor);
}

#[test]
fn what_was_done_before_its_turn_has_come_holds_for_its_successor() {
    let slow = "shell: 'trap \"echo asked >$J; read x <$D/gate; exit\" TERM; echo up >$J; while :; do read x; done', stdin: open";
    let yaml = |keys: &str| {
        let own = |name: &str| service(name, &format!(", stop_signal: KILL{keys}"));
        let front = format!("  front: {{{slow}, stop_scope: process, depends_on: [up, down]{keys}}}\n");
        format!("services:\n{}{}{front}", own("up"), own("down"))
    };
    let plan = Plan::new(&yaml(""));
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    tree.journal.expect("up");
    tree.until_state("front", State::Running);
    tree.ask("stop up");
    let before = ["up", "down"].map(|name| tree.until(name, "there", |_| true).supervisor);
    write(&tree, &yaml(", environment: {A: b}"));
    let mut gate = fs::File::options().read(true).write(true).open(tree.directory().join("gate")).unwrap();
    std::thread::scope(|scope| {
        let applied = scope.spawn(|| tree.ask("apply"));
        tree.journal.expect("asked");
        // What depends on them is still there, so each does what it is told, and says so.
        tree.ask("start up");
        tree.ask("stop down");
        let now = ["up", "down"].map(|name| tree.status(name).unwrap().supervisor);
        assert_eq!(now, before, "it is not their turn");
        // One line for the old one, and one for the new one, should it ask.
        gate.write_all(b"x\nx\n").unwrap();
        applied.join().unwrap();
    });
    let up = tree.until("up", "another one's", |status| status.supervisor != before[0] && status.pid.is_some());
    let down = tree.until("down", "another one's", |status| status.supervisor != before[1]);
    assert!(up.want && up.state == State::Running, "{up:?}");
    assert!(!down.want && down.state == State::Stopped, "{down:?}");
}

#[test]
fn whoever_waits_for_a_service_that_is_removed_is_told() {
    let tree = Tree::start(&services(&[service("db", ""), service("web", ", autostart: false")]));
    tree.pid("db");
    tree.until_state("web", State::Stopped);
    let (ready, stopped) = std::thread::scope(|scope| {
        let ready = scope.spawn(|| tree.ctl("wait web --for ready"));
        let stopped = scope.spawn(|| tree.ctl("wait db web --for stopped"));
        write(&tree, &services(&[service("other", "")]));
        tree.ask("apply");
        (ready.join().unwrap(), stopped.join().unwrap())
    });
    assert!(ready.code != 0, "{ready:?}");
    assert!(ready.err.contains("web"), "{ready:?}");
    assert!([0, 4].contains(&stopped.code), "{stopped:?}");
    assert_eq!(tree.ctl("status web").code, 4);
}

#[test]
fn a_configuration_that_hangs_hinders_nobody_and_is_given_up() {
    let tree = Tree::start(&services(&[service("db", "")]));
    let before = tree.pid("db");
    let path = tree.directory().join("zei.yaml");
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Somebody has it open for writing, and writes nothing.
    let silent = fs::File::options().read(true).write(true).open(&path).unwrap();
    let said = std::thread::scope(|scope| {
        let applied = scope.spawn(|| tree.ctl("apply"));
        tree.ask("restart db");
        tree.ask("list");
        applied.join().unwrap()
    });
    assert!(said.code == 111 && said.err.contains("took more than 10s"), "{said:?}");
    assert_ne!(tree.pid("db"), before);
    // Nobody is not waited for at all.
    drop(silent);
    let said = tree.ctl("apply");
    assert!(said.code == 100 && said.err.contains("it is a FIFO that nobody writes to"), "{said:?}");
    fs::remove_file(&path).unwrap();
    write(&tree, &services(&[service("db", "")]));
    assert_eq!(tree.ask("apply"), "nothing differs\n= 1 unchanged\n");
}

#[test]
fn whenever_the_client_is_killed_the_tree_is_in_the_old_or_the_new_form() {
    let tree = Tree::start(&chain(0));
    tree.ask("wait db app web");
    let mut old = 0;
    let mut taken = 0;
    for round in 1..=20 {
        write(&tree, &chain(round));
        let mut client = tree.client("apply").spawn().unwrap();
        spin(u64::from(round) * 400);
        client.kill().unwrap();
        client.wait().unwrap();
        // Whatever it has asked for is done before this is answered.
        let differs = tree.ask("apply --dry-run") != "nothing differs\n= 3 unchanged\n";
        let expected = if differs { old } else { round };
        taken += u32::from(!differs);
        tree.ask("wait db app web");
        assert_eq!(values(&tree), [0, 1, 2].map(|_| Some(expected.to_string())), "round {round}");
        old = expected;
    }
    assert!(taken > 0, "no client came so far as to ask");
}

#[test]
fn whichever_supervisors_are_killed_meanwhile_the_tree_becomes_the_new_one() {
    let tree = Tree::start(&chain(0));
    tree.ask("wait db app web");
    for round in 1..=20 {
        write(&tree, &chain(round));
        let supervisors = ["db", "app", "web"].map(|name| tree.status(name).unwrap().supervisor);
        let said = std::thread::scope(|scope| {
            let applied = scope.spawn(|| tree.ctl("apply"));
            spin(u64::from(round) * 700);
            for (index, pid) in supervisors.into_iter().enumerate() {
                if (round >> index) & 1 == 1 {
                    process::kill(pid, signal::KILL);
                }
            }
            applied.join().unwrap()
        });
        assert_eq!((said.code, said.out.lines().count()), (0, 4), "{said:?}");
        tree.ask("wait db app web");
        assert_eq!(values(&tree), [0, 1, 2].map(|_| Some(round.to_string())), "round {round}");
        assert_eq!(tree.descendants().into_iter().filter(|pid| is_alive(*pid)).count(), 6, "round {round}");
    }
}

#[test]
fn fifty_changes_back_and_forth_leave_nothing_behind() {
    let one = services(&[service("db", ""), service("web", ", depends_on: [db]")]);
    // With a readiness pipe, which zei-init holds.
    let db = "  db: {ready: {notify: {fd: 3}}, shell: 'echo >&3; exec sleep infinity'}\n".to_owned();
    let other = services(&[db, service("new", "")]);
    let tree = Tree::start(&one);
    tree.ask("wait db web");
    let turn = |yaml: &str, names: &str| {
        write(&tree, yaml);
        tree.ask("apply");
        tree.ask(&format!("wait {names}"));
    };
    // The first ones make what is made once: the reports, and room for a third service.
    for _ in 0..10 {
        turn(&other, "db new");
        turn(&one, "db web");
    }
    let run = tree.file("init", "").parent().unwrap().to_path_buf();
    let before = (descriptors(tree.init), files(&run));
    for _ in 0..15 {
        turn(&other, "db new");
        turn(&one, "db web");
    }
    assert_eq!((descriptors(tree.init), files(&run)), before);
    assert_eq!(listed(&tree), ["db", "web"]);
    assert_eq!(tree.descendants().len(), 4, "two supervisors, two services");
}
