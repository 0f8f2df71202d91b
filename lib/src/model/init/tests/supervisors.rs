//! Supervisors that die, and their successors.

use super::*;

fn dies(tree: &mut Tree, index: usize, now: Time) -> Vec<Effect> {
    tree.step(Event::SupervisorEnded { index, clean: false }, now)
}

fn at(seconds: u64) -> Time {
    NOW.plus(Span::seconds(seconds))
}

/// It is started neither before `now` nor later.
fn is_started_at(tree: &mut Tree, now: Time) {
    assert_eq!(tree.deadline(), Some(now));
    assert_eq!(tree.step(Event::Timer, Time(now.0 - 1)), []);
    assert_eq!(tree.step(Event::Timer, now), [Effect::Start(0)]);
    assert_eq!(tree.deadline(), None);
}

#[test]
fn a_dead_supervisor_is_replaced_at_once_then_after_a_second_each_time() {
    let mut tree = tree_of(&[&[]]);
    assert_eq!(dies(&mut tree, 0, at(0)), [Effect::Start(0)]);
    assert_eq!(dies(&mut tree, 0, at(0)), []);
    is_started_at(&mut tree, at(1));
    for round in 0..3 {
        assert_eq!(dies(&mut tree, 0, at(1 + round)), []);
        is_started_at(&mut tree, at(2 + round));
    }
    // It stood for ten seconds: the next death is a first one again.
    assert_eq!(dies(&mut tree, 0, at(14)), [Effect::Start(0)]);
}

#[test]
fn a_main_process_is_known_by_its_pid_as_it_was_last_seen() {
    let mut tree = tree_of(&[&[], &[]]);
    let process = Some(Process { pid: 77, start: 1 });
    change(&mut tree, &[(0, running()), (1, Service { process, ..running() })]);
    assert_eq!((tree.main_of(77), tree.main_of(78)), (Some(1), None));
    change(&mut tree, &[(1, Service { process: None, ..running() })]);
    assert_eq!(tree.main_of(77), None);
}

#[test]
fn one_that_left_unasked_is_replaced_like_one_that_died() {
    let mut tree = tree_of(&[&[]]);
    assert_eq!(tree.step(Event::SupervisorEnded { index: 0, clean: true }, NOW), [Effect::Start(0)]);
}

#[test]
fn one_that_could_not_be_started_is_tried_again_every_second() {
    let mut tree = tree_of(&[&[]]);
    tree.step(Event::NotStarted(0), at(0));
    is_started_at(&mut tree, at(1));
    for round in 0..3 {
        tree.step(Event::NotStarted(0), at(1 + round));
        is_started_at(&mut tree, at(2 + round));
    }
}

#[test]
fn one_that_dies_in_a_shutdown_is_replaced_and_only_its_successor_lets_the_next_go() {
    let mut tree = tree_of(&[&[], &[0]]);
    change(&mut tree, &[(0, running()), (1, running())]);
    tree.step(Event::Shutdown, NOW);
    // Its turn has come already, which it can't know.
    assert_eq!(dies(&mut tree, 1, NOW), [Effect::Start(1), Effect::Dismiss(1)]);
    // The other's has not.
    assert_eq!(dies(&mut tree, 0, NOW), [Effect::Start(0)]);
    assert_eq!(tree.step(Event::SupervisorEnded { index: 1, clean: true }, NOW), [Effect::Dismiss(0)]);
}

#[test]
fn one_that_was_to_be_replaced_later_is_at_once_in_a_shutdown_if_its_service_may_run() {
    let mut tree = tree_of(&[&[]]);
    change(&mut tree, &[(0, running())]);
    dies(&mut tree, 0, NOW);
    dies(&mut tree, 0, NOW);
    tree.step(Event::Shutdown, NOW);
    assert_eq!(tree.deadline(), Some(NOW));
    assert_eq!(tree.step(Event::Timer, NOW), [Effect::Start(0), Effect::Dismiss(0)]);
    // And again and again: there is a service to stop.
    assert_eq!(dies(&mut tree, 0, NOW), [Effect::Start(0), Effect::Dismiss(0)]);
}

#[test]
fn in_a_shutdown_ten_are_replaced_at_once_and_then_one_every_second() {
    let mut tree = tree_of(&[&[]]);
    change(&mut tree, &[(0, running())]);
    tree.step(Event::Shutdown, NOW);
    for _ in 0..10 {
        assert_eq!(dies(&mut tree, 0, NOW), [Effect::Start(0), Effect::Dismiss(0)]);
    }
    assert_eq!(dies(&mut tree, 0, NOW), []);
    assert_eq!(tree.step(Event::Timer, Time(at(1).0 - 1)), []);
    assert_eq!(tree.step(Event::Timer, at(1)), [Effect::Start(0), Effect::Dismiss(0)]);
}

#[test]
fn nobody_is_replaced_once_what_is_left_is_killed() {
    let mut tree = tree_of(&[&[], &[]]);
    assert!(tree.is_booting() && tree.is_replacing());
    change(&mut tree, &[(0, running()), (1, running())]);
    assert!(!tree.is_booting() && tree.is_replacing());
    dies(&mut tree, 0, NOW);
    dies(&mut tree, 0, NOW);
    for _ in 0..3 {
        assert!(tree.is_replacing());
        tree.step(Event::Signal(signal::TERM), NOW);
    }
    assert!(!tree.is_replacing());
    // What either has left behind is killed with the rest.
    assert_eq!(dies(&mut tree, 1, NOW), [Effect::KillAll]);
    assert_eq!(tree.step(Event::Reaped, NOW), [Effect::KillAll]);
    assert_eq!(tree.step(Event::Timer, at(1)), []);
    assert_eq!(tree.step(Event::Timer, at(5)), [Effect::End(Verdict::asked(NOW))]);
    assert_eq!(tree.step(Event::Timer, at(60)), []);
    assert!(!tree.is_replacing());
}
