//! The life of the tree: what ends it here, with which code in `codes`, its order in `order`, its supervisors in
//! `supervisors`, restarts that follow from others in `restarts`, how it becomes another tree in `change`.

mod change;
mod codes;
mod order;
mod restarts;
mod supervisors;

use super::*;
use crate::exit::{self, Exit};
use crate::model::service::{Ending, Phase, Process, Reason};
use crate::model::spec::{Policy, When};
use crate::protocol::status::Health;
use crate::signal;

const NOW: Time = Time(50_000);
const BUDGET: Span = Span::seconds(30);

/// Wanted services, each with what it depends on, all of whose supervisors run.
fn tree_of(dependencies: &[&[usize]]) -> Tree {
    let nodes = dependencies.iter().map(|list| node(list)).collect();
    booted(nodes, None)
}

fn node(dependencies: &[usize]) -> Node {
    Node { dependencies: dependencies.to_vec(), wanted: true, ..Node::default() }
}

fn booted(nodes: Vec<Node>, command: Option<usize>) -> Tree {
    ruled(nodes, command, ExitRule::default())
}

fn ruled(nodes: Vec<Node>, command: Option<usize>, exit: ExitRule) -> Tree {
    let count = nodes.len();
    let mut tree = Tree::new(nodes, command, SignalMap::default(), exit, BUDGET);
    assert_eq!(tree.step(Event::Timer, NOW), (0..count).map(Effect::Start).collect::<Vec<_>>());
    tree
}

fn service(phase: Phase, ending: Option<Exit>, since: u64) -> Service {
    let process = matches!(phase, Phase::Running).then_some(Process { pid: 9, start: 1 });
    Service {
        phase,
        process,
        ending: ending.map(Ending::Exited),
        ..Service::new(true, Time(since), &Policy::default())
    }
}

fn running() -> Service {
    service(Phase::Running, None, 1)
}

fn failed(code: u8, since: u64) -> Service {
    service(Phase::Failed(Reason::Ended), Some(Exit::Code(code)), since)
}

fn completed() -> Service {
    service(Phase::Completed, Some(Exit::Code(0)), 1)
}

fn failed_by(root: u16) -> Service {
    service(Phase::Failed(Reason::Dependency(root)), None, 1)
}

/// Lets every supervisor leave in order and everything be gone; the code.
fn finish(tree: &mut Tree, count: usize) -> u8 {
    verdict(tree, count).code
}

fn verdict(tree: &mut Tree, count: usize) -> Verdict {
    assert!(tree.is_stopping());
    for index in 0..count {
        tree.step(Event::SupervisorEnded { index, clean: true }, NOW);
    }
    match tree.step(Event::Empty, NOW).as_slice() {
        [Effect::End(verdict)] => verdict.clone(),
        other => panic!("{other:?} is no end"),
    }
}

fn end(tree: &mut Tree) -> u8 {
    finish(tree, 0)
}

fn change(tree: &mut Tree, changes: &[(usize, Service)]) -> Vec<Effect> {
    changes.iter().flat_map(|(index, service)| tree.step(Event::Changed(*index, *service), NOW)).collect()
}

#[test]
fn it_ends_by_itself_exactly_when_everything_has_ended_for_good() {
    let held = [
        service(Phase::Waiting, None, 1),
        service(Phase::Preparing, None, 1),
        service(Phase::Spawning, None, 1),
        service(Phase::Starting { deadline: NOW }, None, 1),
        service(Phase::Planning, None, 1),
        service(Phase::Planned { slot: 1 }, None, 1),
        running(),
        service(Phase::RestartPending { at: NOW }, None, 1),
        service(Phase::Scheduled { at: NOW }, None, 1),
        service(Phase::Stopped, Some(Exit::Code(0)), 1),
    ];
    for last in held {
        let mut tree = tree_of(&[&[], &[], &[]]);
        change(&mut tree, &[(0, completed()), (1, failed(1, 1)), (2, last)]);
        assert!(!tree.is_stopping(), "{last:?}");
        change(&mut tree, &[(2, completed())]);
        assert!(tree.is_stopping());
    }
    // One of which nothing is known yet, or that was never started, holds it up as well.
    let mut tree = tree_of(&[&[], &[]]);
    change(&mut tree, &[(0, completed())]);
    assert!(!tree.is_stopping());
    change(&mut tree, &[(1, service(Phase::Stopped, None, 1))]);
    assert!(!tree.is_stopping());
}

#[test]
fn what_failed_by_a_dependency_that_has_come_back_holds_it_up() {
    let mut tree = tree_of(&[&[], &[0], &[1]]);
    change(&mut tree, &[(0, running()), (1, failed_by(0)), (2, failed_by(1))]);
    change(&mut tree, &[(0, completed())]);
    assert!(!tree.is_stopping(), "1 and 2 are about to start");
    change(&mut tree, &[(1, completed()), (2, completed())]);
    assert_eq!(finish(&mut tree, 3), 0);
}

#[test]
fn what_failed_by_nobody_known_to_have_failed_has_not_ended() {
    for (first, second) in [(failed_by(1), failed_by(0)), (failed_by(0), completed()), (failed_by(9), completed())] {
        let mut tree = tree_of(&[&[], &[]]);
        change(&mut tree, &[(0, first), (1, second)]);
        assert!(!tree.is_stopping(), "{first:?} {second:?}");
    }
}

#[test]
fn ready_is_said_once_when_all_that_starts_has_come_up() {
    let idle = Node { wanted: false, ..node(&[]) };
    let mut tree = booted(vec![node(&[]), node(&[0]), idle], None);
    let waiting = service(Phase::Waiting, None, 1);
    assert_eq!(change(&mut tree, &[(0, waiting), (0, running()), (1, waiting)]), []);
    assert!(tree.is_booting());
    assert_eq!(change(&mut tree, &[(1, failed(1, 1))]), [Effect::Ready]);
    assert!(!tree.is_booting());
    assert_eq!(change(&mut tree, &[(0, waiting), (0, running()), (1, running())]), []);
}

#[test]
fn what_is_being_stopped_has_come_up_only_if_nothing_follows() {
    use crate::model::service::{Stage, Then};
    for (then, is_up) in
        [(Then::Decide, false), (Then::Start, false), (Then::Again, false), (Then::Down, true), (Then::Leave, true)]
    {
        let mut tree = tree_of(&[&[]]);
        assert!(tree.is_wanted(0) && !tree.is_wanted(1));
        let phase = Phase::Stopping { stage: Stage::Rest, deadline: NOW, then };
        let effects = change(&mut tree, &[(0, service(phase, None, 1))]);
        assert_eq!(effects == [Effect::Ready], is_up, "{then:?}");
    }
    let tree = booted(vec![Node { wanted: false, ..node(&[]) }], None);
    assert!(!tree.is_wanted(0));
}

#[test]
fn who_needs_the_health_of_what_has_completed_has_ended_and_who_needs_its_success_has_not() {
    for (healthy, code) in [(vec![0], Some(exit::NO_CODE)), (vec![], None)] {
        let dependent = Node { healthy, ..node(&[0]) };
        let rule = ExitRule { when: When::Service(1), ..ExitRule::default() };
        let mut tree = ruled(vec![node(&[]), dependent, node(&[])], None, rule);
        change(&mut tree, &[(0, completed()), (1, failed_by(0)), (2, running())]);
        assert_eq!(tree.is_stopping().then(|| finish(&mut tree, 3)), code);
    }
}

#[test]
fn a_tree_that_comes_up_by_ending_was_up() {
    let mut tree = tree_of(&[&[], &[]]);
    let order = Shutdown { deadline: NOW.plus(BUDGET), signal: None };
    let expected = [Effect::Ready, Effect::Order(order), Effect::Dismiss(0), Effect::Dismiss(1)];
    assert_eq!(change(&mut tree, &[(0, completed()), (1, completed())]), expected);
}

#[test]
fn a_signal_for_a_reload_asks_for_one_until_the_shutdown() {
    let mut signals = SignalMap::default();
    signals.0[usize::from(signal::HUP)] = SignalUse::Reload;
    let hup = Event::Signal(signal::HUP);
    for command in [None, Some(0)] {
        let mut tree = Tree::new(vec![node(&[])], command, signals.clone(), ExitRule::default(), BUDGET);
        tree.step(Event::Timer, NOW);
        assert_eq!(tree.step(hup, NOW), [Effect::Reload]);
        change(&mut tree, &[(0, running())]);
        assert_eq!(tree.step(hup, NOW), [Effect::Reload]);
        assert!(!tree.is_stopping());
        tree.step(Event::Shutdown, NOW);
        assert_eq!(tree.step(hup, NOW), []);
        tree.step(Event::SupervisorEnded { index: 0, clean: true }, NOW);
        assert_eq!(tree.step(hup, NOW), []);
    }
}

#[test]
fn signals_are_forwarded_to_the_command_or_to_all_until_what_is_left_is_killed() {
    for (command, effect) in [(None, Effect::Forward(signal::HUP)), (Some(0), Effect::ForwardToCommand(signal::HUP))] {
        let mut tree = booted(vec![node(&[])], command);
        let hup = Event::Signal(signal::HUP);
        assert_eq!(tree.step(hup, NOW), std::slice::from_ref(&effect));
        assert_eq!(tree.step(Event::Signal(signal::WINCH), NOW), []);
        tree.step(Event::Shutdown, NOW);
        assert_eq!(tree.step(hup, NOW), [effect]);
        tree.step(Event::SupervisorEnded { index: 0, clean: true }, NOW);
        assert_eq!(tree.step(hup, NOW), []);
    }
}
