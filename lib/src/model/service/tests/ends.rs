//! What an end counts as, what it stands for, and who is told of it.

use super::*;
use crate::model::backoff;
use crate::model::spec::Backoff;

#[test]
fn every_fault_has_its_word() {
    for (fault, word) in [
        (Fault::PreStart, "pre-start"),
        (Fault::NotReady, "not-ready"),
        (Fault::Unhealthy, "unhealthy"),
        (Fault::Watchdog, "watchdog"),
        (Fault::OutOfMemory, "oom"),
    ] {
        assert_eq!(fault.word(), word);
    }
}

#[test]
fn a_good_end_of_a_run_that_failed_stands_for_no_code() {
    let exited = |code| Some(Ending::Exited(Exit::Code(code)));
    let killed = Some(Ending::Exited(Exit::Signal(9)));
    let missing = Some(Ending::NotStarted(BROKEN));
    for (ending, plainly, faulty) in [
        (None, None, None),
        (exited(0), Some(0), None),
        (exited(3), Some(3), Some(3)),
        (killed, Some(137), Some(137)),
        (missing, Some(127), Some(127)),
    ] {
        let service = Service { ending, ..at(Phase::Failed(Reason::Ended)) };
        assert_eq!((service.code(), service.ended_well()), (plainly, plainly == Some(0)), "{ending:?}");
        let failed = Service { fault: Some(Fault::Unhealthy), ..service };
        assert_eq!((failed.code(), failed.ended_well()), (faulty, false), "{ending:?}");
    }
}

#[test]
fn an_end_before_it_was_ready_is_a_failure_and_so_is_a_kill_for_want_of_memory() {
    let kill = Exit::Signal(signal::KILL);
    let unready = Some(Fault::NotReady);
    let memory = Some(Fault::OutOfMemory);
    for (phase, exit, oom, without_test, with_test) in [
        (Phase::Spawning, Exit::Code(0), false, None, unready),
        (STARTING, Exit::Code(0), false, None, unready),
        (STARTING, kill, false, None, unready),
        (STARTING, kill, true, memory, memory),
        (Phase::Running, Exit::Code(0), false, None, None),
        (Phase::Running, kill, false, None, None),
        (Phase::Running, kill, true, memory, memory),
        // It was another's process that the kernel chose.
        (Phase::Running, Exit::Code(0), true, None, None),
        (Phase::Running, Exit::Signal(signal::TERM), true, None, None),
        // It was to end anyhow.
        (stopping(Stage::Main, Then::Down), kill, true, None, None),
    ] {
        for (ready, fault) in [(None, without_test), (Some(Ready::Told), with_test), (full().ready, with_test)] {
            let policy = Policy { ready, ..Policy::default() };
            let ended = step(at(phase), Event::Exited { exit, alone: true, oom }, NOW, &policy).0;
            assert_eq!((ended.fault, ended.ending), (fault, Some(Ending::Exited(exit))), "{phase:?} {exit} {oom}");
        }
    }
}

#[test]
fn nothing_follows_an_end_that_has_not_been_taken() {
    for stage in [Stage::Drain, Stage::Main, Stage::Kill] {
        for then in THENS {
            let service = Service { process: Some(MAIN), ..at(stopping(stage, then)) };
            assert_eq!(step(service, Event::Empty, NOW, &full()), (service, None), "{stage:?} {then:?}");
        }
    }
    for phase in every_phase() {
        let is_taken = matches!(
            phase,
            Phase::Stopping { stage: Stage::Rest | Stage::Kill | Stage::Post, .. } | Phase::Failed(Reason::Stray)
        );
        let (next, action) = step(at(phase), Event::Empty, NOW, &full());
        assert_eq!((next, action) == (at(phase), None), !is_taken, "{phase:?}");
    }
}

#[test]
fn a_run_that_was_asked_for_once_is_followed_by_none() {
    let policy = Policy { restart: Restart::Always, ..Policy::default() };
    for (code, phase) in [(0, Phase::Completed), (1, Phase::Failed(Reason::Ended))] {
        for then in [Then::Decide, Then::Again] {
            let ending = Some(Ending::Exited(Exit::Code(code)));
            let service = Service { ending, once: true, ..at(stopping(Stage::Rest, then)) };
            let (ended, action) = step(service, Event::Empty, NOW, &policy);
            assert_eq!((ended.phase, ended.restarts, action), (phase, 2, None), "{code} {then:?}");
            let again = step(Service { once: false, ..service }, Event::Empty, NOW, &policy).0;
            assert_eq!((again.phase, again.restarts), (Phase::RestartPending { at: Time(1_001_000) }, 3));
        }
    }
    let once = |service| step(service, Event::Once, NOW, &policy).0.once;
    for phase in every_phase() {
        let stays = matches!(phase, Phase::Stopping { then: Then::Leave, .. } | Phase::Failed(Reason::Stray));
        assert_eq!(once(at(phase)), !stays, "{phase:?}");
        let was_once = Service { once: true, ..at(phase) };
        assert_eq!(step(was_once, Event::Start, NOW, &policy).0.once, stays, "{phase:?}");
    }
}

#[test]
fn an_unhealthy_end_starts_again_whatever_the_policy_says_until_restarts_are_used_up() {
    let fallen = Service { fault: Some(Fault::Unhealthy), ..at(stopping(Stage::Rest, Then::Again)) };
    for (max_restarts, phase) in [
        (0, Phase::RestartPending { at: Time(1_001_000) }),
        (1, Phase::Failed(Reason::GaveUp)),
        (2, Phase::Failed(Reason::GaveUp)),
        (3, Phase::RestartPending { at: Time(1_001_000) }),
    ] {
        let policy = Policy { restart: Restart::Never, max_restarts, ..Policy::default() };
        assert_eq!(step(fallen, Event::Empty, NOW, &policy).0.phase, phase, "{max_restarts}");
    }
    // A fault comes round by the timer, even without a delay.
    let policy = Policy { restart_delay: Span(0), ..Policy::default() };
    assert_eq!(step(fallen, Event::Empty, NOW, &policy).0.phase, Phase::RestartPending { at: NOW });
    let well = Service { fault: None, ..fallen };
    assert_eq!(step(well, Event::Empty, NOW, &policy).0.phase, Phase::Waiting);
}

#[test]
fn chance_makes_another_pause_of_each_run_and_of_each_time() {
    let jitter = Some(Backoff { factor: 1000, max: Span::seconds(1000), jitter: 1000 });
    let policy =
        Policy { restart: Restart::Always, restart_delay: Span::seconds(100), backoff: jitter, ..Policy::default() };
    for (now, run, seed) in [
        (5, 0, 5),
        (5, 1, 0x1_0000_0005),
        // After more than 49 days.
        (0x5_0000_0007, 1, 0x4_0000_0007),
        (0x5_0000_0007, 4, 0x1_0000_0007),
    ] {
        let service = Service { run, up: Time(now), ..at(Phase::Running) };
        let ended = step(service, exit(Exit::Code(1), true), Time(now), &policy).0;
        let at = Time(now).plus(backoff::delay(&policy, 2, seed));
        assert_eq!(ended.phase, Phase::RestartPending { at });
    }
}

#[test]
fn others_are_told_what_they_may_wait_for_and_not_what_ceases() {
    let is_news = |before: &Service, after: &Service| Told::of(after).is_news_after(&Told::of(before));
    for phase in every_phase() {
        assert!(!is_news(&at(phase), &at(phase)), "{phase:?}");
        let by_hand = Service { by_hand: 1, ..at(phase) };
        assert!(is_news(&at(phase), &by_hand), "{phase:?}");
        let unhealthy = Service { health: Health::Unhealthy, ..at(phase) };
        assert!(is_news(&at(phase), &unhealthy) && is_news(&unhealthy, &at(phase)), "{phase:?}");
        // One that has failed anew has failed at another time, or in another run.
        let failed = matches!(phase, Phase::Failed(_));
        assert_eq!(is_news(&at(phase), &Service { since: SOON, ..at(phase) }), failed, "{phase:?}");
        assert_eq!(is_news(&at(phase), &Service { run: 4, ..at(phase) }), failed, "{phase:?}");
    }
    let healthy = Service { health: Health::Healthy, ..at(Phase::Running) };
    let checked = Service { health: Health::Starting, ..healthy };
    let leaving = Service { notice: Notice::Stopping, ..healthy };
    let stopping = at(stopping(Stage::Main, Then::Down));
    let failed = |reason| at(Phase::Failed(reason));
    for (before, after, forth, back) in [
        (at(Phase::Stopped), at(Phase::Waiting), true, true),
        (failed(Reason::Ended), failed(Reason::GaveUp), true, true),
        (failed(Reason::Dependency(1)), failed(Reason::Dependency(2)), true, true),
        (checked, healthy, true, false),
        (leaving, healthy, true, false),
        (stopping, healthy, true, false),
        (at(Phase::Waiting), at(STARTING), true, false),
        (at(Phase::Waiting), at(Phase::RestartPending { at: SOON }), false, false),
        (at(Phase::Preparing), at(Phase::Spawning), false, false),
    ] {
        let both = (is_news(&before, &after), is_news(&after, &before));
        assert_eq!(both, (forth, back), "{:?} {:?}", before.phase, after.phase);
    }
}

#[test]
fn a_start_that_a_shutdown_has_stopped_is_told_so() {
    let shutdown = Some(Shutdown { deadline: SOON, signal: None });
    for goal in [Goal::Up, Goal::Fresh] {
        let stopped = at(Phase::Stopped);
        assert_eq!(outcome(goal, 3, &stopped), Some(Outcome::Overtaken));
        assert_eq!(outcome(goal, 3, &Service { shutdown, ..stopped }), Some(Outcome::Leaving));
    }
    let stopped = Service { shutdown, ..at(Phase::Stopped) };
    assert_eq!(outcome(Goal::Down, 3, &stopped), Some(Outcome::True));
}

#[test]
fn a_run_is_under_way_from_its_hook_until_it_is_ended() {
    for phase in every_phase() {
        assert_eq!(is_under_way(&at(phase)), BUSY.contains(&phase), "{phase:?}");
    }
}
