//! Hooks and draining: what runs before a start and after an end, and what a stop makes of a job.

use super::*;

const WELL: Event = Event::JobEnded(Exit::Code(0));
const BEGIN_POST: Option<Action> = Some(Action::Begin(Kind::PostStop));
const ASK: Action = Action::Ask { signal: signal::TERM, group: false };

const fn hook(timeout: Option<u64>) -> Option<HookPolicy> {
    let timeout = match timeout {
        Some(milliseconds) => Some(Span(milliseconds)),
        None => None,
    };
    Some(HookPolicy { timeout })
}

fn before_each(timeout: Option<u64>) -> Policy {
    Policy { pre_start: hook(timeout), ..Policy::default() }
}

fn after_each(timeout: Option<u64>) -> Policy {
    Policy { post_stop: hook(timeout), ..Policy::default() }
}

const fn post(deadline: u64, then: Then) -> Phase {
    Phase::Stopping { stage: Stage::Post, deadline: Time(deadline), then }
}

const fn rest(deadline: u64, then: Then) -> Phase {
    Phase::Stopping { stage: Stage::Rest, deadline: Time(deadline), then }
}

#[test]
fn a_run_begins_with_its_hook_and_with_nothing_of_the_run_before() {
    let old = Service {
        fault: Some(Fault::Watchdog),
        notice: Notice::Stopping,
        post_due: true,
        watchdog: Span(7),
        ..at(Phase::Waiting)
    };
    let new = Service {
        since: SOON,
        began: SOON,
        up: Time::NEVER,
        run: 4,
        fault: None,
        notice: Notice::None,
        post_due: false,
        watchdog: Span(0),
        ..old
    };
    // As long as it takes, or as long as it is given.
    for (timeout, deadline) in [(None, Time::NEVER), (Some(6000), Time(1_011_000)), (Some(0), SOON)] {
        let expected = Service { phase: Phase::Preparing, beside: ordered(Kind::PreStart, deadline), ..new };
        let result = step(old, Event::DependenciesMet, SOON, &before_each(timeout));
        assert_eq!(result, (expected, Some(Action::Begin(Kind::PreStart))));
    }
    let spawning = Service { phase: Phase::Spawning, ..new };
    let result = step(old, Event::DependenciesMet, SOON, &Policy::default());
    assert_eq!(result, (spawning, Some(Action::Spawn)));
    let result = step(old, Event::DependenciesMet, SOON, &after_each(None));
    assert_eq!(result, (Service { post_due: true, ..spawning }, Some(Action::Spawn)));
}

#[test]
fn what_its_hook_has_prepared_is_started_and_what_the_hook_has_left_otherwise_is_ended() {
    let service = Service { since: Time(1), ..at(Phase::Preparing) };
    let spawning = Service { phase: Phase::Spawning, since: NOW, beside: Beside::Nothing, ..service };
    assert_eq!(step(service, WELL, NOW, &full()), (spawning, Some(Action::Spawn)));
    for ended in [Exit::Code(0), Exit::Code(1), Exit::Code(255), Exit::Signal(signal::KILL)] {
        for killed in [false, true].into_iter().filter(|killed| *killed || !ended.is_success()) {
            let beside = Beside::Job { kind: Kind::PreStart, process: Some(HOOK), deadline: NOW, killed };
            let expected = Service {
                phase: rest(1_010_000, Then::Decide),
                ending: Some(Ending::Exited(ended)),
                fault: Some(Fault::PreStart),
                ..spawning
            };
            let result = step(Service { beside, ..service }, Event::JobEnded(ended), NOW, &full());
            assert_eq!(result, (expected, Some(Action::AskRest)), "{ended}");
        }
    }
}

#[test]
fn a_hook_that_can_not_begin_fails_the_run_unless_there_was_no_room_for_it() {
    let service = Service { post_due: true, ..at(Phase::Preparing) };
    let (broken, action) = step(service, Event::JobNotBegan(BROKEN), NOW, &full());
    assert_eq!((broken.ending, broken.fault), (Some(Ending::NotStarted(BROKEN)), Some(Fault::PreStart)));
    assert_eq!((broken.phase, broken.post_due, action), (post(1_007_000, Then::Decide), false, BEGIN_POST));
    let (scarce, action) = step(service, Event::JobNotBegan(SCARCE), NOW, &full());
    assert_eq!((scarce.ending, scarce.fault), (Some(Ending::NotStarted(SCARCE)), None));
    assert_eq!(
        (scarce.phase, scarce.beside, action),
        (Phase::RestartPending { at: Time(1_001_000) }, Beside::Nothing, None)
    );
    assert_eq!((scarce.streak, scarce.post_due), (2, false));
    // A fault of a run before is none of this one.
    let faulty = Service { fault: Some(Fault::Watchdog), ..service };
    assert_eq!(step(faulty, Event::JobNotBegan(SCARCE), NOW, &full()).0.fault, None);
}

#[test]
fn no_room_is_looked_for_again_after_a_second_or_a_longer_delay() {
    for (delay, at_last) in [(0, 1_001_000), (999, 1_001_000), (1000, 1_001_000), (1001, 1_001_001)] {
        let policy = Policy { restart_delay: Span(delay), ..Policy::default() };
        let service = step(at(Phase::Spawning), Event::NotSpawned(SCARCE), NOW, &policy).0;
        assert_eq!(service.phase, Phase::RestartPending { at: Time(at_last) });
    }
}

#[test]
fn what_a_hook_has_left_goes_before_anything_follows_a_failed_start() {
    let due = Service { post_due: true, ..at(Phase::Spawning) };
    for failure in [SCARCE, BROKEN] {
        let expected =
            Service { phase: rest(1_010_000, Then::Decide), ending: Some(Ending::NotStarted(failure)), ..due };
        let (failed, action) = step(due, Event::NotSpawned(failure), NOW, &full());
        assert_eq!((failed, action), (expected, Some(Action::AskRest)));
        let (cleared, action) = step(failed, Event::Empty, NOW, &full());
        assert_eq!((cleared.phase, action), (post(1_007_000, Then::Decide), BEGIN_POST));
    }
    // Without a hook there is nothing to clear away.
    let (failed, action) = step(due, Event::NotSpawned(BROKEN), NOW, &after_each(Some(7000)));
    assert_eq!((failed.phase, failed.post_due, action), (post(1_007_000, Then::Decide), false, BEGIN_POST));
    let (failed, action) = step(due, Event::NotSpawned(SCARCE), NOW, &after_each(Some(7000)));
    assert_eq!((failed.phase, failed.post_due, action), (Phase::RestartPending { at: Time(1_001_000) }, false, None));
}

#[test]
fn a_stop_lets_the_hook_end_by_itself_and_nothing_follows_that() {
    for (event, then) in [(Event::Stop, Then::Down), (Event::Restart, Then::Start)] {
        let (stopped, action) = step(at(Phase::Preparing), event, NOW, &full());
        assert_eq!((stopped.phase, action), (rest(1_010_000, then), Some(Action::AskRest)));
        assert_eq!(stopped.beside, job(Kind::PreStart));
        let (ended, action) = step(stopped, WELL, NOW, &full());
        assert_eq!((ended, action), (Service { beside: Beside::Nothing, ..stopped }, None));
    }
}

#[test]
fn after_a_run_its_hook_runs_once_in_its_time_and_within_the_budget() {
    let budget = |deadline| Some(Shutdown { deadline: Time(deadline), signal: None });
    for (timeout, shutdown, deadline) in [
        (None, None, 1_010_000),
        (Some(7000), None, 1_007_000),
        (Some(7000), budget(1_006_999), 1_006_999),
        (Some(7000), budget(1_007_001), 1_007_000),
    ] {
        for then in THENS {
            let policy = after_each(timeout);
            let main = Service { post_due: true, shutdown, ..at(stopping(Stage::Main, then)) };
            let (ended, action) = step(main, exit(Exit::Code(0), true), NOW, &policy);
            let expected = Service {
                phase: post(deadline, then),
                process: None,
                post_due: false,
                beside: ordered(Kind::PostStop, Time::NEVER),
                ..main
            };
            assert_eq!((ended, action), (expected, BEGIN_POST), "{then:?}");
            // Its end alone is not that nothing is left.
            let quiet = Service { beside: Beside::Nothing, ..ended };
            for how in [WELL, Event::JobEnded(Exit::Code(1)), Event::JobEnded(Exit::Signal(signal::KILL))] {
                assert_eq!(step(ended, how, NOW, &policy), (quiet, None));
            }
            let (followed, action) = step(quiet, Event::Empty, NOW, &policy);
            assert!(!matches!(followed.phase, Phase::Stopping { .. }), "{then:?}");
            assert_eq!(action, (then == Then::Leave).then_some(Action::Leave));
            // One that can't begin leaves nothing.
            for failure in [SCARCE, BROKEN] {
                assert_eq!(step(ended, Event::JobNotBegan(failure), NOW, &policy), (followed, action));
            }
        }
    }
}

#[test]
fn a_run_without_anything_due_after_it_is_followed_at_once() {
    let service = at(stopping(Stage::Main, Then::Down));
    let down = Service { phase: Phase::Stopped, since: NOW, process: None, ..service };
    for (post_due, policy) in [(false, after_each(None)), (true, Policy::default())] {
        let result = step(Service { post_due, ..service }, exit(Exit::Code(0), true), NOW, &policy);
        assert_eq!(result, (Service { post_due, ..down }, None));
    }
}

#[test]
fn the_hook_after_a_run_is_killed_with_all_it_has_made_when_its_time_is_up() {
    let service = Service { phase: post(1_005_000, Then::Down), ..at(stopping(Stage::Post, Then::Down)) };
    assert_eq!(step(service, Event::Timer, Time(1_004_999), &full()), (service, None));
    let (killed, action) = step(service, Event::Timer, SOON, &full());
    let beside = Beside::Job { kind: Kind::PostStop, process: Some(HOOK), deadline: Time::NEVER, killed: true };
    assert_eq!((killed.beside, action), (beside, Some(Action::Kill)));
    let phase = Phase::Stopping { stage: Stage::Kill, deadline: Time(1_015_000), then: Then::Down };
    assert_eq!(killed.phase, phase);
}

/// What runs beside a running service, and whether it is a probe.
const BESIDE: [(Kind, bool); 3] = [(Kind::Health, true), (Kind::Ready, true), (Kind::Reload, false)];

fn drained() -> Policy {
    Policy { drain: Span(3000), stop_grace_period: Some(Span(8000)), ..full() }
}

fn busy(kind: Kind, killed: bool) -> Service {
    let beside = Beside::Job { kind, process: Some(HOOK), deadline: SOON, killed };
    Service { beside, probe_at: SOON, watchdog_at: SOON, since: Time(1), ..at(Phase::Running) }
}

#[test]
fn what_is_ready_is_drained_first_and_a_probe_beside_it_is_killed() {
    let draining = |service| Service {
        phase: Phase::Stopping { stage: Stage::Drain, deadline: Time(1_003_000), then: Then::Down },
        since: NOW,
        want: false,
        probe_at: Time::NEVER,
        watchdog_at: Time::NEVER,
        ..service
    };
    for (kind, is_probe) in BESIDE {
        for killed in [false, true] {
            let Service { beside, .. } = busy(kind, killed || is_probe);
            let expected = Service { beside, ..draining(busy(kind, killed)) };
            let action = (is_probe && !killed).then_some(Action::KillJob);
            assert_eq!(step(busy(kind, killed), Event::Stop, NOW, &drained()), (expected, action), "{kind:?} {killed}");
        }
    }
    for beside in [Beside::Nothing, Beside::Due(SOON)] {
        let idle = Service { beside, ..busy(Kind::Health, false) };
        let expected = Service { beside: Beside::Nothing, ..draining(idle) };
        assert_eq!(step(idle, Event::Stop, NOW, &drained()), (expected, None));
    }
    // What is not ready has nothing to drain.
    let (starting, action) = step(at(STARTING), Event::Stop, NOW, &drained());
    let phase = Phase::Stopping { stage: Stage::Main, deadline: Time(1_008_000), then: Then::Down };
    assert_eq!((starting.phase, action), (phase, Some(ASK)));
}

#[test]
fn a_stop_kills_a_probe_with_what_it_asks_and_lets_a_reload_run() {
    let policy = Policy { drain: Span(0), ..drained() };
    for (kind, is_probe) in BESIDE {
        for killed in [false, true] {
            let (stopped, action) = step(busy(kind, killed), Event::Stop, NOW, &policy);
            assert_eq!(stopped.beside, busy(kind, killed || is_probe).beside, "{kind:?} {killed}");
            assert_eq!((stopped.probe_at, stopped.watchdog_at, action), (Time::NEVER, Time::NEVER, Some(ASK)));
        }
        // A kill is for all that is left.
        let (killed, action) =
            step(busy(kind, false), Event::Stop, NOW, &Policy { stop_signal: signal::KILL, ..policy });
        assert_eq!((killed.beside, action), (busy(kind, true).beside, Some(Action::Kill)), "{kind:?}");
        // And what a main process has left behind is asked with no probe beside it.
        let (ended, action) = step(busy(kind, false), exit(Exit::Code(0), false), NOW, &policy);
        assert_eq!((ended.beside, action), (busy(kind, is_probe).beside, Some(Action::AskRest)), "{kind:?}");
        assert_eq!((ended.probe_at, ended.watchdog_at), (Time::NEVER, Time::NEVER));
        // Nothing is left of either where it was alone.
        let (ended, _) = step(busy(kind, false), exit(Exit::Code(0), true), NOW, &Policy::default());
        assert_eq!((ended.beside, ended.probe_at), (Beside::Nothing, Time::NEVER));
    }
}

#[test]
fn a_drain_takes_its_time_within_the_budget_and_then_it_is_asked_to_end() {
    let shutdown = |deadline| Event::Shutdown(Shutdown { deadline: Time(deadline), signal: Some(signal::INT) });
    let int = Action::Ask { signal: signal::INT, group: false };
    for (event, then, drained_at, killed_at, ask) in [
        (Event::Stop, Then::Down, 1_003_000, 1_011_000, ASK),
        (Event::Restart, Then::Start, 1_003_000, 1_011_000, ASK),
        (shutdown(1_030_000), Then::Leave, 1_003_000, 1_011_000, int),
        (shutdown(1_004_000), Then::Leave, 1_003_000, 1_004_000, int),
        (shutdown(1_002_000), Then::Leave, 1_002_000, 1_002_000, int),
    ] {
        let (draining, action) = step(at(Phase::Running), event, NOW, &drained());
        let phase = Phase::Stopping { stage: Stage::Drain, deadline: Time(drained_at), then };
        assert_eq!((draining.phase, draining.process, action), (phase, Some(MAIN), None));
        assert_eq!(step(draining, Event::Timer, Time(drained_at - 1), &drained()), (draining, None));
        let (asked, action) = step(draining, Event::Timer, Time(drained_at), &drained());
        let phase = Phase::Stopping { stage: Stage::Main, deadline: Time(killed_at), then };
        assert_eq!((asked.phase, asked.since, action), (phase, Time(drained_at), Some(ask)));
    }
    // The least drain is one.
    let policy = Policy { drain: Span(1), ..drained() };
    let phase = Phase::Stopping { stage: Stage::Drain, deadline: Time(1_000_001), then: Then::Down };
    assert_eq!(step(at(Phase::Running), Event::Stop, NOW, &policy).0.phase, phase);
}

#[test]
fn what_ends_while_it_is_drained_leaves_the_others_the_whole_grace() {
    for (deadline, killed_at) in [(None, 1_008_000), (Some(1_030_000), 1_008_000), (Some(1_006_000), 1_006_000)] {
        let shutdown = deadline.map(|deadline| Shutdown { deadline: Time(deadline), signal: None });
        let draining = Service { shutdown, ..at(stopping(Stage::Drain, Then::Down)) };
        let (ended, action) = step(draining, exit(Exit::Code(0), false), NOW, &drained());
        assert_eq!((ended.phase, ended.process, action), (rest(killed_at, Then::Down), None, Some(Action::AskRest)));
        let (alone, action) = step(draining, exit(Exit::Code(0), true), NOW, &drained());
        assert_eq!((alone.phase, alone.process, action), (Phase::Stopped, None, None));
    }
}
