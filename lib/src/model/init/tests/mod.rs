//! The life of the tree: what ends it and with which code here, its order in `order`, its supervisors in
//! `supervisors`.

mod order;
mod supervisors;

use super::*;
use crate::model::service::Process;
use crate::model::spec::Policy;

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
    let count = nodes.len();
    let mut tree = Tree::new(nodes, command, SignalMap::default(), BUDGET);
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
    assert!(tree.is_stopping());
    for index in 0..count {
        tree.step(Event::SupervisorEnded { index, clean: true }, NOW);
    }
    end(tree)
}

fn end(tree: &mut Tree) -> u8 {
    match tree.step(Event::Empty, NOW).as_slice() {
        [Effect::End(code)] => *code,
        other => panic!("{other:?} is no end"),
    }
}

fn change(tree: &mut Tree, changes: &[(usize, Service)]) -> Vec<Effect> {
    changes.iter().flat_map(|(index, service)| tree.step(Event::Changed(*index, *service), NOW)).collect()
}

#[test]
fn the_code_of_an_end_by_itself_is_that_of_the_first_failure_in_time() {
    for (services, code) in [
        (vec![completed(), completed()], 0),
        (vec![failed(3, 20), failed(4, 10)], 4),
        (vec![failed(3, 10), failed(4, 20)], 3),
        (vec![completed(), failed(7, 9)], 7),
        (vec![service(Phase::Failed(Reason::Ended), Some(Exit::Signal(9)), 1), completed()], 137),
        (vec![service(Phase::Failed(Reason::GaveUp), Some(Exit::Code(0)), 1), completed()], 125),
        (vec![service(Phase::Failed(Reason::Stray), None, 1), completed()], 125),
        // Failed earlier, but only by what it depends on.
        (vec![failed(6, 10), failed_by(0)], 6),
    ] {
        let mut tree = tree_of(&[&[], &[]]);
        let changes: Vec<(usize, Service)> = services.iter().copied().enumerate().collect();
        change(&mut tree, &changes);
        assert_eq!(finish(&mut tree, 2), code, "{services:?}");
    }
}

#[test]
fn the_service_whose_end_is_the_end_of_all_gives_its_code() {
    let ends = |on_exit, on_failure| Node { on_exit, on_failure, ..node(&[]) };
    for (own, end, code) in [
        (ends(OnEnd::Shutdown, OnEnd::None), completed(), Some(0)),
        (ends(OnEnd::Shutdown, OnEnd::None), failed(9, 1), Some(9)),
        (ends(OnEnd::None, OnEnd::Shutdown), failed(9, 1), Some(9)),
        (ends(OnEnd::None, OnEnd::Shutdown), completed(), None),
        (ends(OnEnd::None, OnEnd::None), failed(9, 1), None),
        (ends(OnEnd::Shutdown, OnEnd::Shutdown), service(Phase::Stopped, Some(Exit::Code(1)), 1), None),
        (ends(OnEnd::Shutdown, OnEnd::Shutdown), service(Phase::RestartPending { at: NOW }, None, 1), None),
    ] {
        let mut tree = booted(vec![own, node(&[])], None);
        change(&mut tree, &[(1, running()), (0, end)]);
        assert_eq!(tree.is_stopping(), code.is_some());
        if let Some(code) = code {
            // What comes later changes nothing.
            tree.step(Event::Signal(signal::TERM), NOW);
            change(&mut tree, &[(1, failed(77, 2))]);
            assert_eq!(finish(&mut tree, 2), code);
        }
    }
}

#[test]
fn a_shutdown_that_was_asked_for_gives_the_commands_code_or_0() {
    for (command, code) in [
        (None, 0),
        (Some(service(Phase::Stopped, Some(Exit::Code(5)), 1)), 5),
        (Some(service(Phase::Stopped, Some(Exit::Signal(15)), 1)), 143),
        (Some(service(Phase::Stopped, None, 1)), 0),
        // It ran to the last, and was killed with the rest.
        (Some(Service { ending: Some(Ending::Exited(Exit::Code(0))), ..running() }), 137),
    ] {
        for asked in [Event::Shutdown, Event::Signal(signal::TERM)] {
            let mut tree = booted(vec![node(&[]), node(&[0])], command.map(|_| 1));
            change(&mut tree, &[(0, running()), (1, running())]);
            tree.step(asked, NOW);
            change(&mut tree, &[(0, failed(3, 1)), (1, command.unwrap_or_else(running))]);
            assert_eq!(finish(&mut tree, 2), code);
        }
    }
}

#[test]
fn a_command_that_never_started_gives_the_code_of_what_it_waited_for() {
    let command = Node { on_exit: OnEnd::Shutdown, ..node(&[1]) };
    let changes = [(0, failed(42, 1)), (1, failed_by(0)), (2, failed_by(1))];
    // Reports may come in any order.
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut tree = booted(vec![node(&[]), node(&[0]), command.clone()], Some(2));
        for (step, number) in order.iter().enumerate() {
            change(&mut tree, &[changes[*number]]);
            assert_eq!(tree.is_stopping(), step == 2, "{order:?}");
        }
        assert_eq!(finish(&mut tree, 3), 42, "{order:?}");
    }
}

#[test]
fn a_failure_to_start_has_its_own_code() {
    use crate::model::service::{Failure, SpawnStage};
    for (stage, errno, code) in [(SpawnStage::Execute, 2, 127), (SpawnStage::Execute, 13, 126)] {
        let mut tree = booted(vec![Node { on_exit: OnEnd::Shutdown, ..node(&[]) }], Some(0));
        let ending = Some(Ending::NotStarted(Failure { stage, errno }));
        change(&mut tree, &[(0, Service { ending, ..service(Phase::Failed(Reason::Ended), None, 1) })]);
        assert_eq!(finish(&mut tree, 1), code);
    }
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
