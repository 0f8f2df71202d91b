//! Restarts that follow from a dependency's.

use super::*;
use crate::model::service::{Stage as StopStage, Then};

/// 1 and 2 depend on 0, 3 on 1; 1 and 3 are restarted along.
fn family() -> Tree {
    let follows = |list: &[usize]| Node { follows: list.to_vec(), ..node(list) };
    let mut tree = booted(vec![node(&[]), follows(&[0]), node(&[0]), follows(&[1])], None);
    change(&mut tree, &[(0, up(1, 100)), (1, up(1, 200)), (2, up(1, 200)), (3, up(1, 300))]);
    tree
}

/// It runs, for the so manieth time, since then.
fn up(run: u32, began: u64) -> Service {
    Service { run, began: Time(began), since: Time(began), ..running() }
}

const STOPPING: Phase = Phase::Stopping { stage: StopStage::Main, deadline: Time(900), then: Then::Start };

/// As `up`, but restarted by hand so often, and stopping for that.
fn restarted(by_hand: u32) -> Service {
    Service { phase: STOPPING, since: Time(400), by_hand, ..up(by_hand, 100) }
}

fn at(seconds: u64) -> Time {
    NOW.plus(Span::seconds(seconds))
}

fn order(index: usize, run: u32) -> Effect {
    Effect::Restart { index, run }
}

#[test]
fn a_restart_by_hand_restarts_the_dependents_that_want_it_and_those_restart_theirs() {
    let mut tree = family();
    assert_eq!(change(&mut tree, &[(0, restarted(1))]), [order(1, 1)]);
    // Nothing new: it was told.
    assert_eq!(change(&mut tree, &[(0, restarted(1)), (0, up(2, 500))]), []);
    let stopping = Service { phase: STOPPING, by_hand: 1, ..up(1, 200) };
    assert_eq!(change(&mut tree, &[(1, stopping)]), [order(3, 1)]);
    assert_eq!(change(&mut tree, &[(3, Service { phase: STOPPING, by_hand: 1, ..up(1, 300) })]), []);
    // Once more.
    change(&mut tree, &[(1, Service { by_hand: 1, ..up(2, 600) }), (3, Service { by_hand: 1, ..up(2, 700) })]);
    assert_eq!(change(&mut tree, &[(0, restarted(2))]), [order(1, 2)]);
}

#[test]
fn an_end_that_nobody_asked_for_restarts_nobody_else() {
    let mut tree = family();
    let pending = Service { phase: Phase::RestartPending { at: NOW }, ..up(1, 100) };
    assert_eq!(change(&mut tree, &[(0, pending), (0, up(2, 500)), (0, completed())]), []);
    // Of a count that fell there is nothing to tell, either.
    change(&mut tree, &[(1, Service { phase: Phase::Stopped, ..up(1, 200) }), (0, restarted(5))]);
    change(&mut tree, &[(1, up(2, 600))]);
    assert_eq!(change(&mut tree, &[(0, Service { phase: STOPPING, by_hand: 4, ..up(3, 100) })]), []);
}

#[test]
fn only_what_runs_or_is_about_to_is_restarted_along() {
    for (phase, restarts) in [
        (Phase::Preparing, true),
        (Phase::Spawning, true),
        (Phase::Starting { deadline: NOW }, true),
        (Phase::Running, true),
        (Phase::Waiting, false),
        (STOPPING, false),
        (Phase::RestartPending { at: NOW }, false),
        (Phase::Scheduled { at: NOW }, false),
        (Phase::Planning, false),
        (Phase::Planned { slot: 1 }, false),
        (Phase::Stopped, false),
        (Phase::Completed, false),
        (Phase::Failed(Reason::Ended), false),
        (Phase::Failed(Reason::Dependency(0)), false),
    ] {
        let mut tree = family();
        change(&mut tree, &[(1, Service { phase, ..up(1, 200) })]);
        let told = change(&mut tree, &[(0, restarted(1))]);
        assert_eq!(told, if restarts { vec![order(1, 1)] } else { vec![] }, "{phase:?}");
        assert_eq!(tree.deadline(), restarts.then(|| at(1)));
    }
    // Nor what nothing is known of.
    let mut tree = booted(vec![node(&[]), Node { follows: vec![0], ..node(&[0]) }], None);
    assert_eq!(change(&mut tree, &[(0, restarted(1))]), []);
}

#[test]
fn a_run_that_began_only_after_the_restart_is_left_alone() {
    let late = [(499, true), (500, false), (501, false)];
    for (phase, has_begun_again) in [
        (Phase::Stopped, false),
        (STOPPING, false),
        (Phase::Waiting, false),
        (Phase::Failed(Reason::Dependency(9)), false),
        (Phase::Failed(Reason::Stray), false),
        (Phase::Preparing, true),
        (Phase::Spawning, true),
        (Phase::Starting { deadline: NOW }, true),
        (Phase::Running, true),
        (Phase::RestartPending { at: NOW }, true),
        (Phase::Scheduled { at: NOW }, true),
        (Phase::Planning, true),
        (Phase::Planned { slot: 1 }, true),
        (Phase::Completed, true),
        (Phase::Failed(Reason::Ended), true),
        (Phase::Failed(Reason::GaveUp), true),
    ] {
        for (began, restarts) in late {
            let mut tree = family();
            change(&mut tree, &[(1, up(2, began))]);
            let told = change(&mut tree, &[(0, Service { phase, by_hand: 1, ..up(2, 500) })]);
            let expected = if restarts || !has_begun_again { vec![order(1, 2)] } else { vec![] };
            assert_eq!(told, expected, "{phase:?}, the other began at {began}");
        }
    }
}

#[test]
fn it_is_told_again_until_the_run_is_seen_to_be_over() {
    let mut tree = family();
    change(&mut tree, &[(0, restarted(1))]);
    for second in [1, 11, 21] {
        assert_eq!(tree.deadline(), Some(at(second)));
        assert_eq!(tree.step(Event::Timer, Time(at(second).0 - 1)), []);
        assert_eq!(tree.step(Event::Timer, at(second)), [order(1, 1)]);
    }
    // Some change, but no other run.
    change(&mut tree, &[(1, Service { health: Health::Healthy, ..up(1, 200) })]);
    assert_eq!(tree.deadline(), Some(at(31)));
    for over in [up(2, 600), Service { phase: STOPPING, ..up(1, 200) }, Service { phase: Phase::Stopped, ..up(1, 200) }]
    {
        let mut tree = tree.clone();
        change(&mut tree, &[(1, over)]);
        assert_eq!(tree.deadline(), None);
        assert_eq!(tree.step(Event::Timer, at(60)), []);
    }
}

#[test]
fn restarts_that_come_together_are_one() {
    let mut tree = family();
    assert_eq!(change(&mut tree, &[(0, restarted(1)), (0, restarted(2)), (0, restarted(4))]), [order(1, 1)]);
    assert_eq!(tree.deadline(), Some(at(1)));
}

#[test]
fn the_successor_of_a_killed_supervisor_is_told_at_once() {
    let mut tree = family();
    change(&mut tree, &[(0, restarted(1))]);
    let later = NOW.plus(Span(300));
    assert_eq!(tree.step(Event::SupervisorEnded { index: 1, clean: false }, later), [Effect::Start(1)]);
    assert_eq!(tree.deadline(), Some(later));
    assert_eq!(tree.step(Event::Timer, later), [order(1, 1)]);
    // Another's death does not matter.
    tree.step(Event::SupervisorEnded { index: 2, clean: false }, later);
    assert_eq!(tree.deadline(), Some(later.plus(Span::seconds(10))));
}

#[test]
fn whatever_is_due_first_is_what_the_tree_wakes_up_for() {
    let mut tree = family();
    change(&mut tree, &[(0, restarted(1))]);
    // Another supervisor is to be replaced, later than this is to be told again and then sooner.
    tree.step(Event::NotStarted(2), NOW.plus(Span(500)));
    assert_eq!(tree.deadline(), Some(at(1)));
    assert_eq!(tree.step(Event::Timer, at(1)), [order(1, 1)]);
    assert_eq!(tree.deadline(), Some(NOW.plus(Span(1500))));
}

#[test]
fn what_cannot_be_told_at_all_is_not_told_again() {
    let mut tree = family();
    change(&mut tree, &[(0, restarted(1))]);
    tree.step(Event::NotRestarted(2), NOW);
    assert_eq!(tree.deadline(), Some(at(1)));
    tree.step(Event::NotRestarted(1), NOW);
    assert_eq!(tree.deadline(), None);
    assert_eq!(tree.step(Event::Timer, at(1)), []);
}

#[test]
fn a_shutdown_restarts_nobody() {
    let mut tree = family();
    change(&mut tree, &[(0, restarted(1))]);
    tree.step(Event::Shutdown, NOW);
    assert_eq!(tree.deadline(), Some(at(5)));
    assert_eq!(tree.step(Event::Timer, at(2)), []);
    assert_eq!(change(&mut tree, &[(0, restarted(2))]), []);
}

#[test]
fn the_followers_are_those_dependents_that_say_so() {
    let tree = family();
    let followers = |index| tree.followers(index).collect::<Vec<_>>();
    assert_eq!((followers(0), followers(1), followers(2), followers(9)), (vec![1], vec![3], vec![], vec![]));
}
