//! What the policy makes of every end.

use super::*;
use crate::model::spec::{Restart, Timer};

const POLICIES: [Restart; 3] = [Restart::Never, Restart::OnFailure, Restart::Always];

fn every_exit() -> impl Iterator<Item = Exit> {
    (0..=255).map(Exit::Code).chain((1..=64).map(Exit::Signal))
}

#[test]
fn every_exit_under_every_policy_is_followed_by_what_the_policy_says() {
    for restart in POLICIES {
        for interval in [None, Some(Span::seconds(30))] {
            let policy = Policy {
                restart,
                oneshot: interval.is_some(),
                timer: interval.map(Timer::Interval),
                ..Policy::default()
            };
            for ended in every_exit() {
                let well = ended == Exit::Code(0);
                let again = match restart {
                    Restart::Never => false,
                    Restart::OnFailure => !well,
                    Restart::Always => true,
                };
                let expected = match interval {
                    Some(interval) => Phase::Scheduled { at: NOW.plus(interval) },
                    None if again => Phase::RestartPending { at: NOW.plus(Span::seconds(1)) },
                    None if well => Phase::Completed,
                    None => Phase::Failed(Reason::Ended),
                };
                let (service, action) = step(at(Phase::Running), exit(ended, true), NOW, &policy);
                assert_eq!((service.phase, action), (expected, None), "{restart:?} {interval:?} {ended}");
                assert_eq!(service.succeeded, well);
                assert_eq!(service.ending.map(Ending::code), Some(ended.code()));
                assert_eq!(service.restarts, if again && interval.is_none() { 3 } else { 2 });
            }
        }
    }
}

#[test]
fn a_timed_oneshot_that_succeeded_once_keeps_that() {
    let policy = Policy { oneshot: true, timer: Some(Timer::Interval(Span(5))), ..Policy::default() };
    let once = Service { succeeded: true, ..at(Phase::Running) };
    assert!(step(once, exit(Exit::Code(1), true), NOW, &policy).0.succeeded);
}

/// Fails `count` times, each run up for `up`; the phases that followed.
fn failures(policy: &Policy, event: impl Fn(u32) -> Event, up: Span, count: u32) -> Vec<Phase> {
    let mut service = Service::new(true, NOW, policy);
    let mut now = NOW;
    let mut phases = Vec::new();
    for round in 0..count {
        let (starting, action) = step(service, Event::DependenciesMet, now, policy);
        assert_eq!(action, Some(Action::Spawn));
        let event = event(round);
        let running = match event {
            Event::NotSpawned(_) => starting,
            _ => step(starting, Event::Spawned(MAIN), now, policy).0,
        };
        now = now.plus(up);
        service = step(running, event, now, policy).0;
        phases.push(service.phase);
        match service.deadline() {
            Some(deadline) => {
                now = deadline;
                service = step(service, Event::Timer, now, policy).0;
            }
            None if service.phase == Phase::Waiting => {}
            None => break,
        }
    }
    phases
}

const FAILURE: Failure = Failure { stage: SpawnStage::Execute, errno: 2 };

#[test]
fn the_first_failed_start_follows_the_same_policy_as_the_tenth() {
    for restart in POLICIES {
        let policy = Policy { restart, ..Policy::default() };
        let phases = failures(&policy, |_| Event::NotSpawned(FAILURE), Span(0), 10);
        if restart == Restart::Never {
            assert_eq!(phases, [Phase::Failed(Reason::Ended)]);
        } else {
            assert_eq!(phases.len(), 10);
            assert!(phases.iter().all(|phase| matches!(phase, Phase::RestartPending { .. })), "{phases:?}");
        }
    }
    let interval = Policy { oneshot: true, timer: Some(Timer::Interval(Span(9))), ..Policy::default() };
    let phases = failures(&interval, |_| Event::NotSpawned(FAILURE), Span(0), 10);
    assert!(phases.len() == 10 && phases.iter().all(|phase| matches!(phase, Phase::Scheduled { .. })));
}

#[test]
fn max_restarts_counts_restarts_and_not_starts_whatever_failed() {
    for event in [Event::NotSpawned(FAILURE), exit(Exit::Code(1), true), exit(Exit::Signal(11), true)] {
        for max_restarts in 1..=5 {
            let policy = Policy { restart: Restart::OnFailure, max_restarts, ..Policy::default() };
            let phases = failures(&policy, |_| event, Span(1), 20);
            assert_eq!(phases.len(), max_restarts as usize + 1);
            assert_eq!(phases.last(), Some(&Phase::Failed(Reason::GaveUp)));
        }
    }
    let policy = Policy { restart: Restart::Always, ..Policy::default() };
    assert_eq!(failures(&policy, |_| exit(Exit::Code(0), true), Span(1), 200).len(), 200);
}

#[test]
fn having_been_up_for_reset_after_makes_the_count_start_again() {
    let policy = Policy { restart: Restart::Always, max_restarts: 2, ..Policy::default() };
    let crash = |_| exit(Exit::Code(1), true);
    assert_eq!(failures(&policy, crash, Span(59_999), 20).len(), 3);
    assert_eq!(failures(&policy, crash, Span(60_000), 20).len(), 20);
    // A start that failed has not been up, however short that time is.
    let at_once = Policy { reset_after: Span(0), ..policy };
    assert_eq!(failures(&at_once, |_| Event::NotSpawned(FAILURE), Span(0), 20).len(), 3);
}

#[test]
fn what_outlived_the_main_process_does_not_count_as_having_been_up() {
    let policy = Policy { restart: Restart::Always, max_restarts: 2, ..Policy::default() };
    let running = Service { began: NOW, ..at(Phase::Running) };
    let (rest, _) = step(running, exit(Exit::Code(1), false), Time(NOW.0 + 55_000), &policy);
    let (given_up, _) = step(rest, Event::Empty, Time(NOW.0 + 61_000), &policy);
    assert_eq!(given_up.phase, Phase::Failed(Reason::GaveUp));
}

#[test]
fn without_a_delay_an_end_starts_at_once_but_a_failed_start_comes_round_by_the_timer() {
    let policy = Policy { restart: Restart::Always, restart_delay: Span(0), ..Policy::default() };
    assert_eq!(step(at(Phase::Running), exit(Exit::Code(1), true), NOW, &policy).0.phase, Phase::Waiting);
    let failed = step(at(Phase::Spawning), Event::NotSpawned(FAILURE), NOW, &policy).0;
    assert_eq!(failed.phase, Phase::RestartPending { at: NOW });
    assert_eq!(step(failed, Event::Timer, NOW, &policy).0.phase, Phase::Waiting);
}

#[test]
fn a_failed_start_has_the_code_a_shell_would_show() {
    for (stage, errno, code) in [
        (SpawnStage::Execute, 2, 127),
        (SpawnStage::Execute, 20, 127),
        (SpawnStage::Execute, 13, 126),
        (SpawnStage::Execute, 8, 126),
        (SpawnStage::Directory, 2, 111),
        (SpawnStage::Process, 11, 111),
    ] {
        assert_eq!(Ending::NotStarted(Failure { stage, errno }).code(), code);
    }
}
