//! Commands through FIFOs, and supervisors that are killed.

use std::fs;
use zei::paths;
use zei::protocol::control::{Ack, Progress, RECORD, Token, Verb};
use zei::protocol::status::State;
use zei::signal;
use zei::text::Text;
use zei_tests::process::{self, is_alive};
use zei_tests::tree::Tree;

/// Writes `NAME start PID` into the journal, and waits.
fn service(name: &str) -> String {
    format!("  {name}: {{shell: 'echo {name} start $$ >$J; exec sleep infinity', restart: always, restart_delay: 0}}\n")
}

/// All answers of a service.
fn acks(tree: &Tree, service: &str) -> Vec<Ack> {
    let bytes = fs::read(tree.file(service, paths::ACKS)).unwrap_or_default();
    bytes.chunks_exact(RECORD).map(|record| Ack::decode(record).unwrap()).collect()
}

/// The answer to a token, once its outcome stands.
fn answer(tree: &Tree, service: &str, token: &str) -> Ack {
    let mut found = None;
    tree.until(service, token, |_| {
        found = acks(tree, service)
            .into_iter()
            .find(|ack| ack.token.as_str() == token && !matches!(ack.progress, Progress::Accepted { .. }));
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn a_term_to_a_supervisor_from_a_stranger_changes_nothing() {
    let tree = Tree::start(&format!("services:\n{}", service("web")));
    let before = tree.until_state("web", State::Running);
    process::kill(before.supervisor, signal::TERM);
    // Whatever TERM does, it has done before the next command is carried out.
    tree.ask("signal web:CONT");
    let after = tree.status("web").unwrap();
    assert_eq!((after.supervisor, after.pid, after.state), (before.supervisor, before.pid, State::Running));
}

#[test]
fn a_signal_that_may_have_been_sent_when_its_supervisor_was_killed_is_not_sent_by_another() {
    let tree = Tree::start(
        "services:\n  web: {shell: 'trap \"echo web hup >$J\" HUP; echo web up >$J; while :; do sleep 1 & wait; done'}\n",
    );
    tree.journal.expect("web up");
    let before = tree.until_state("web", State::Running);
    tree.echo("web", "firstone signal CONT");
    answer(&tree, "web", "firstone");
    // As it stands between its record and its answer.
    let ack = |token: &str, progress| Ack { token: Token::from(token), progress, at: 0, text: Text::new() };
    let verb = Verb::Signal(signal::HUP);
    let accepted = ack("thisonly", Progress::Accepted { verb, run: before.run, merged: false });
    let mut file = fs::File::options().append(true).open(tree.file("web", paths::ACKS)).unwrap();
    std::io::Write::write_all(&mut file, &accepted.encode()).unwrap();
    tree.echo("web", "thisonly signal HUP");
    process::kill(before.supervisor, signal::KILL);
    let told = answer(&tree, "web", "thisonly");
    assert_eq!(told.progress, Progress::Failed(zei::exit::SYSTEM), "{told:?}");
    // A signal that is known to have come is the first.
    tree.echo("web", "lastonea signal HUP");
    assert_eq!(answer(&tree, "web", "lastonea").progress, Progress::Done);
    tree.journal.expect("web hup");
    tree.ask("stop web");
    assert_eq!(tree.journal.count("web hup"), 1);
}

#[test]
fn a_killed_supervisor_is_replaced_at_once_and_there_are_never_two_instances() {
    let tree = Tree::start(&format!("defaults: {{log: inherit}}\nservices:\n{}{}", service("web"), service("other")));
    let other = tree.until_state("other", State::Running);
    for _round in 0..2 {
        let before = tree.until_state("web", State::Running);
        process::kill(before.supervisor, signal::KILL);
        let after = tree.until("web", "under a new supervisor", |status| {
            status.supervisor != before.supervisor && status.state == State::Running
        });
        assert!(after.pid == before.pid || !is_alive(before.pid.unwrap()), "two instances: {before:?} {after:?}");
        let alive = process::descendants(tree.init).into_iter().filter(|pid| is_alive(*pid)).count();
        assert_eq!(alive, 4, "two supervisors, two services");
    }
    assert_eq!(tree.status("other").unwrap(), other);
    tree.ask("stop web");
    tree.ask("start web");
}

#[test]
fn a_command_sent_while_there_is_no_supervisor_is_carried_out_by_the_next() {
    let tree = Tree::start(&format!("services:\n{}", service("web")));
    let before = tree.until_state("web", State::Running);
    process::kill(before.supervisor, signal::STOP);
    tree.echo("web", "abcdefgh stop");
    process::kill(before.supervisor, signal::KILL);
    assert_eq!(answer(&tree, "web", "abcdefgh").progress, Progress::Done);
    assert_eq!(tree.until_state("web", State::Stopped).pid, None);
    assert!(!is_alive(before.pid.unwrap()));
}

#[test]
fn lines_that_are_no_commands_change_nothing_and_the_next_good_one_is_done() {
    let tree = Tree::start(&format!("services:\n{}", service("web")));
    let before = tree.until_state("web", State::Running);
    let long = "x".repeat(2000);
    for line in
        ["", "restart", "- fly", "- stop now", "tokentok fly", "- signal NOSUCH", "short stop", &long, "- shutdown"]
    {
        tree.echo("web", line);
    }
    let mut fifo = fs::File::options().write(true).open(tree.file("web", paths::CONTROL)).unwrap();
    std::io::Write::write_all(&mut fifo, &[0, 255, 254, b'\n', b'-', b' ', b's', b't', b'o', b'p', 0, b'\n']).unwrap();
    // An overlong line that ends in a command is still one line.
    std::io::Write::write_all(&mut fifo, format!("{} - stop\n", "y".repeat(3000)).as_bytes()).unwrap();
    tree.echo("web", "goodtokn signal CONT");
    assert_eq!(answer(&tree, "web", "goodtokn").progress, Progress::Done);
    assert_eq!(answer(&tree, "web", "tokentok").progress, Progress::Failed(zei::exit::CONFIG));
    let after = tree.status("web").unwrap();
    assert_eq!((after.pid, after.state, after.supervisor), (before.pid, State::Running, before.supervisor));
    assert!(tree.err.expect("control: line dropped").contains("zei-supervise web"));
}

#[test]
fn the_same_token_is_acted_on_once_even_by_a_later_supervisor() {
    let tree = Tree::start(&format!("services:\n{}", service("web")));
    let first = tree.until_state("web", State::Running);
    tree.echo("web", "oncetokn restart");
    let done = answer(&tree, "web", "oncetokn");
    let second = tree.until("web", "restarted", |status| status.run == 2 && status.state == State::Running);
    assert_eq!((done.progress, done.text.as_str()), (Progress::Done, format!("pid={}", second.pid.unwrap()).as_str()));
    assert_ne!(first.pid, second.pid);
    tree.echo("web", "oncetokn restart");
    tree.echo("web", "oncetokn stop");
    tree.echo("web", "nexttokn signal CONT");
    answer(&tree, "web", "nexttokn");
    assert_eq!(tree.status("web").unwrap().pid, second.pid);
    process::kill(second.supervisor, signal::KILL);
    let third = tree.until("web", "under a new supervisor", |status| {
        status.supervisor != second.supervisor && status.state == State::Running
    });
    tree.echo("web", "oncetokn restart");
    tree.echo("web", "lasttokn signal CONT");
    answer(&tree, "web", "lasttokn");
    assert_eq!(tree.status("web").unwrap().pid, third.pid);
    assert_eq!(acks(&tree, "web").iter().filter(|ack| ack.token.as_str() == "oncetokn").count(), 1);
}

#[test]
fn a_start_of_what_can_not_start_and_a_signal_to_what_has_no_process_say_so() {
    let tree = Tree::start(&format!(
        "services:\n{}  broken: {{command: [/no/such/program], autostart: false}}\n",
        service("web")
    ));
    tree.echo("broken", "brokentk start");
    let ack = answer(&tree, "broken", "brokentk");
    assert_eq!(ack.progress, Progress::Failed(zei::exit::NOT_TRUE));
    assert!(ack.text.as_str().contains("No such file or directory"), "{ack:?}");
    tree.echo("broken", "signaltk signal HUP");
    assert_eq!(answer(&tree, "broken", "signaltk").progress, Progress::Failed(zei::exit::NOT_TRUE));
    let said = tree.ctl("start broken");
    assert_eq!(said.code, i32::from(zei::exit::NOT_TRUE), "{said:?}");
}

#[test]
fn an_event_fifo_left_by_a_waiter_that_was_killed_hinders_nobody() {
    let tree = Tree::start(&format!("services:\n{}", service("web")));
    tree.pid("web");
    nix::unistd::mkfifo(&tree.file("init", paths::EVENT), nix::sys::stat::Mode::S_IRWXU).ok();
    tree.ask("stop web");
    tree.ask("wait web --for stopped --timeout 10");
    tree.ask("start web");
    tree.ask("wait web --for running --timeout 10");
}
