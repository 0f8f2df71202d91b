//! The life of one service: tables of single steps here, random lives in `lives`.

mod commands;
mod ends;
mod hooks;
mod jobs;
mod lives;
mod restarts;
mod successors;
mod talk;

use super::*;
use crate::model::spec::{HealthPolicy, HookPolicy, OnUnhealthy, Policy, Ready, Restart, StopScope};
use crate::signal;

const NOW: Time = Time(1_000_000);
const SOON: Time = Time(1_005_000);
const MAIN: Process = Process { pid: 7, start: 70 };
const HOOK: Process = Process { pid: 8, start: 80 };

/// A service in this phase, with a main process where one belongs to it.
fn at(phase: Phase) -> Service {
    let has_process = matches!(
        phase,
        Phase::Starting { .. } | Phase::Running | Phase::Stopping { stage: Stage::Drain | Stage::Main, .. }
    );
    let process = has_process.then_some(MAIN);
    let want = !matches!(phase, Phase::Stopped | Phase::Stopping { then: Then::Down | Then::Leave, .. });
    let beside = match phase {
        Phase::Preparing => job(Kind::PreStart),
        Phase::Stopping { stage: Stage::Post, .. } => job(Kind::PostStop),
        Phase::Planning => job(Kind::Plan),
        _ => Beside::Nothing,
    };
    let ending = Some(well());
    let new = Service::new(true, NOW, &Policy::default());
    Service { phase, want, process, beside, ending, up: NOW, run: 3, streak: 2, restarts: 2, ..new }
}

const fn job(kind: Kind) -> Beside {
    Beside::Job { kind, process: Some(HOOK), deadline: Time::NEVER, killed: false }
}

fn well() -> Ending {
    Ending::Exited(Exit::Code(0))
}

const fn stopping(stage: Stage, then: Then) -> Phase {
    Phase::Stopping { stage, deadline: SOON, then }
}

/// Every phase without a process.
fn resting() -> Vec<Phase> {
    vec![
        Phase::Waiting,
        Phase::RestartPending { at: SOON },
        Phase::Scheduled { at: SOON },
        Phase::Planned { slot: 77 },
        Phase::Stopped,
        Phase::Completed,
        Phase::Failed(Reason::Ended),
        Phase::Failed(Reason::GaveUp),
        Phase::Failed(Reason::Dependency(4)),
        Phase::Failed(Reason::Stray),
    ]
}

const THENS: [Then; 5] = [Then::Decide, Then::Down, Then::Start, Then::Again, Then::Leave];
const STAGES: [Stage; 5] = [Stage::Drain, Stage::Main, Stage::Rest, Stage::Kill, Stage::Post];
const STARTING: Phase = Phase::Starting { deadline: SOON };

/// Every phase that a stop has something to end in.
const BUSY: [Phase; 4] = [Phase::Preparing, Phase::Spawning, STARTING, Phase::Running];

fn every_phase() -> Vec<Phase> {
    let stops = STAGES.iter().flat_map(|stage| THENS.iter().map(|then| stopping(*stage, *then)));
    resting().into_iter().chain(BUSY).chain([Phase::Planning]).chain(stops).collect()
}

fn exit(exit: Exit, alone: bool) -> Event {
    Event::Exited { exit, alone, oom: false }
}

/// No room for a process.
const SCARCE: Failure = Failure { stage: SpawnStage::Process, errno: 11 };
/// No such program.
const BROKEN: Failure = Failure { stage: SpawnStage::Execute, errno: 2 };

const HEALTH: HealthPolicy = HealthPolicy {
    interval: Span::seconds(30),
    timeout: Span::seconds(3),
    retries: 3,
    start_period: Span::seconds(60),
    start_interval: Span::seconds(5),
    on_unhealthy: OnUnhealthy::None,
};

/// With a job of every kind.
fn full() -> Policy {
    let hook = |seconds| Some(HookPolicy { timeout: Some(Span::seconds(seconds)) });
    Policy {
        ready: Some(Ready::Asked { interval: Span::seconds(2), timeout: Span::seconds(1) }),
        health: Some(HEALTH),
        reload: hook(4),
        pre_start: hook(6),
        post_stop: hook(7),
        ..Policy::default()
    }
}

/// The job as it was ordered.
const fn ordered(kind: Kind, deadline: Time) -> Beside {
    Beside::Job { kind, process: None, deadline, killed: false }
}

#[test]
fn a_deadline_exists_exactly_in_the_phases_that_time_ends() {
    for phase in every_phase() {
        let timed = matches!(
            phase,
            Phase::Starting { .. } | Phase::Stopping { .. } | Phase::RestartPending { .. } | Phase::Scheduled { .. }
        );
        assert_eq!(at(phase).deadline(), timed.then_some(SOON), "{phase:?}");
    }
}

#[test]
fn a_timer_before_its_deadline_changes_nothing() {
    for phase in every_phase() {
        assert_eq!(step(at(phase), Event::Timer, Time(SOON.0 - 1), &Policy::default()), (at(phase), None));
    }
}

#[test]
fn each_deadline_of_a_stop_kills_once_and_the_last_one_gives_up() {
    for then in THENS {
        for stage in [Stage::Main, Stage::Rest, Stage::Post] {
            let (killing, action) = step(at(stopping(stage, then)), Event::Timer, SOON, &Policy::default());
            assert_eq!(action, Some(Action::Kill));
            assert_eq!(killing.phase, Phase::Stopping { stage: Stage::Kill, deadline: SOON.plus(KILL_GRACE), then });
            assert_eq!(step(killing, Event::Timer, SOON, &Policy::default()), (killing, None));
            let (stray, action) = step(killing, Event::Timer, SOON.plus(KILL_GRACE), &Policy::default());
            assert_eq!(stray.phase, Phase::Failed(Reason::Stray));
            assert_eq!(action, (then == Then::Leave).then_some(Action::Leave));
        }
    }
}

#[test]
fn what_survived_the_kill_can_be_started_once_it_is_gone_after_all() {
    for want in [true, false] {
        for (process, event) in [(Some(MAIN), exit(Exit::Signal(signal::KILL), true)), (None, Event::Empty)] {
            let stray = Service { want, process, ..at(Phase::Failed(Reason::Stray)) };
            assert_eq!(step(stray, Event::Start, NOW, &Policy::default()).0.phase, stray.phase);
            let (gone, action) = step(stray, event, SOON, &Policy::default());
            assert_eq!(gone.phase, if want { Phase::Failed(Reason::Ended) } else { Phase::Stopped });
            assert_eq!((gone.process, action), (None, None));
            assert_eq!(step(gone, Event::Start, NOW, &Policy::default()).0.phase, Phase::Waiting);
        }
        let stray = Service { want, process: Some(MAIN), ..at(Phase::Failed(Reason::Stray)) };
        let main_only = step(stray, exit(Exit::Code(1), false), SOON, &Policy::default()).0;
        assert_eq!(main_only.phase, Phase::Failed(Reason::Stray));
    }
}

#[test]
fn what_a_main_process_leaves_behind_is_ended_as_the_scope_says() {
    let next = |scope, phase| {
        let policy = Policy { stop_scope: scope, ..Policy::default() };
        let (service, action) = step(at(phase), exit(Exit::Code(0), false), NOW, &policy);
        assert_eq!(service.process, None);
        (service.phase, action.unwrap())
    };
    let killed = |then| Phase::Stopping { stage: Stage::Kill, deadline: NOW.plus(KILL_GRACE), then };
    let grace = NOW.plus(Span::seconds(10));
    let own = Phase::Stopping { stage: Stage::Rest, deadline: grace, then: Then::Decide };
    assert_eq!(next(StopScope::Tree, Phase::Running), (own, Action::AskRest));
    for scope in [StopScope::Process, StopScope::Group] {
        assert_eq!(next(scope, Phase::Running), (killed(Then::Decide), Action::Kill));
    }
    for then in THENS {
        // The rest of the grace, not a new one.
        let rest = stopping(Stage::Rest, then);
        assert_eq!(next(StopScope::Tree, stopping(Stage::Main, then)), (rest, Action::AskRest));
        for scope in [StopScope::Process, StopScope::Group] {
            assert_eq!(next(scope, stopping(Stage::Main, then)), (killed(then), Action::Kill));
        }
    }
}

#[test]
fn every_death_of_a_descendant_asks_or_kills_those_that_it_left_until_nothing_is_left() {
    for then in THENS {
        let killing = at(stopping(Stage::Kill, then));
        assert_eq!(step(killing, Event::Reaped, NOW, &Policy::default()), (killing, Some(Action::Kill)));
        let (last, _) = step(killing, Event::Empty, NOW, &Policy::default());
        assert!(!matches!(last.phase, Phase::Stopping { .. }));
        for (stage, action) in
            [(Stage::Drain, None), (Stage::Main, None), (Stage::Rest, Some(Action::AskRest)), (Stage::Post, None)]
        {
            let asked = at(stopping(stage, then));
            assert_eq!(step(asked, Event::Reaped, NOW, &Policy::default()), (asked, action));
        }
    }
}

#[test]
fn no_room_for_a_process_is_tried_again_and_not_held_against_the_service() {
    let scarce = Event::NotSpawned(Failure { stage: SpawnStage::Process, errno: 11 });
    for restart in [Restart::Never, Restart::OnFailure, Restart::Always] {
        let policy = Policy { restart, max_restarts: 1, restart_delay: Span(0), ..Policy::default() };
        let before = at(Phase::Spawning);
        let (after, action) = step(before, scarce, NOW, &policy);
        assert_eq!((after.phase, action), (Phase::RestartPending { at: NOW.plus(Span::seconds(1)) }, None));
        assert_eq!((after.streak, after.restarts), (before.streak, before.restarts));
    }
}

#[test]
fn what_follows_a_stop_begins_only_once_nothing_is_left() {
    for (then, phase, action) in [
        (Then::Decide, Phase::Completed, None),
        (Then::Down, Phase::Stopped, None),
        (Then::Start, Phase::Waiting, None),
        (Then::Again, Phase::RestartPending { at: NOW.plus(Span::seconds(1)) }, None),
        (Then::Leave, Phase::Stopped, Some(Action::Leave)),
    ] {
        let main = at(stopping(Stage::Main, then));
        let (rest, _) = step(main, exit(Exit::Code(0), false), NOW, &Policy::default());
        assert_eq!(rest.phase, stopping(Stage::Rest, then));
        let alone = step(main, exit(Exit::Code(0), true), NOW, &Policy::default());
        let empty = step(rest, Event::Empty, NOW, &Policy::default());
        for (service, done) in [alone, empty] {
            assert_eq!((service.phase, done), (phase, action));
        }
    }
}

#[test]
fn dependencies_start_or_fail_only_what_waits_for_them() {
    for phase in every_phase() {
        let waits = matches!(phase, Phase::Waiting | Phase::Failed(Reason::Dependency(_)));
        assert_eq!(at(phase).awaits_dependencies(), waits, "{phase:?}");
        let (met, action) = step(at(phase), Event::DependenciesMet, SOON, &Policy::default());
        let (failed, nothing) = step(at(phase), Event::DependencyFailed(9), SOON, &Policy::default());
        assert_eq!(nothing, None);
        let (pending, nothing) = step(at(phase), Event::DependenciesPending, SOON, &Policy::default());
        let revived = matches!(phase, Phase::Failed(Reason::Dependency(_)));
        assert_eq!((pending.phase, nothing), (if revived { Phase::Waiting } else { phase }, None));
        assert_eq!(pending.since, if revived { SOON } else { at(phase).since });
        if waits {
            assert_eq!((met.phase, met.run, met.began, action), (Phase::Spawning, 4, SOON, Some(Action::Spawn)));
            assert_eq!(failed.phase, Phase::Failed(Reason::Dependency(9)));
        } else {
            assert_eq!((met, action, failed), (at(phase), None, at(phase)));
        }
    }
}

#[test]
fn a_condition_holds_as_the_contract_says_in_every_phase() {
    use crate::model::spec::Condition::{Completed, Healthy, Started};
    let at_most = |phase| match phase {
        Phase::Completed | Phase::Failed(_) => Standing::Never,
        _ => Standing::NotYet,
    };
    for phase in every_phase() {
        for succeeded in [false, true] {
            let service = Service { succeeded, ..at(phase) };
            let (started, completed) = match phase {
                Phase::Starting { .. } | Phase::Running => (Standing::Holds, Standing::NotYet),
                Phase::Planning | Phase::Planned { .. } if succeeded => (Standing::Holds, Standing::Holds),
                Phase::Planning | Phase::Planned { .. } => (Standing::Holds, Standing::NotYet),
                Phase::Completed => (Standing::Holds, Standing::Holds),
                Phase::Scheduled { .. } if succeeded => (Standing::Holds, Standing::Holds),
                Phase::Scheduled { .. } => (Standing::Holds, Standing::NotYet),
                Phase::Failed(_) => (Standing::Never, Standing::Never),
                _ => (Standing::NotYet, Standing::NotYet),
            };
            assert_eq!(judge(Started, Some(&service)), started, "{phase:?}");
            assert_eq!(judge(Completed, Some(&service)), completed, "{phase:?}");
            for health in Health::ALL {
                let fit = phase == Phase::Running && matches!(health, Health::None | Health::Healthy);
                let healthy = if fit { Standing::Holds } else { at_most(phase) };
                assert_eq!(judge(Healthy, Some(&Service { health, ..service })), healthy, "{phase:?} {health:?}");
            }
        }
    }
    assert_eq!(judge(Started, None), Standing::NotYet);
    // One whose first slot has not come was never started; one that says that it is about to end is not healthy.
    for phase in [Phase::Planning, Phase::Planned { slot: 1 }] {
        assert_eq!(judge(Started, Some(&Service { run: 0, ..at(phase) })), Standing::NotYet);
    }
    let leaving = Service { notice: Notice::Stopping, ..at(Phase::Running) };
    assert_eq!(judge(Healthy, Some(&leaving)), Standing::NotYet);
}

#[test]
fn a_service_begins_anew_with_what_others_count_by_and_nothing_else() {
    let policy = Policy { restart: Restart::Always, ..Policy::default() };
    let shutdown = Some(Shutdown { deadline: SOON, signal: None });
    let old = Service {
        phase: Phase::Stopped,
        process: None,
        want: false,
        shutdown,
        run: 7,
        by_hand: 3,
        reloads: 2,
        streak: 5,
        restarts: 5,
        succeeded: true,
        ..at(Phase::Running)
    };
    for (want, starts) in [(false, false), (true, false), (false, true), (true, true)] {
        let expected = Service { run: 7, by_hand: 3, reloads: 2, ..Service::new(want || starts, SOON, &policy) };
        assert_eq!(renewed(&Service { want, ..old }, starts, SOON, &policy), expected);
        let phase = if want || starts { Phase::Waiting } else { Phase::Stopped };
        assert_eq!((expected.phase, expected.shutdown, expected.streak), (phase, None, 0));
        assert!(!may_have_left(&expected));
    }
    // Nothing begins beside what could not be killed.
    let stray = Service { phase: Phase::Failed(Reason::Stray), process: Some(MAIN), ..old };
    let again = renewed(&stray, true, SOON, &policy);
    assert_eq!(again, Service { want: true, shutdown: None, ..stray });
    assert!(may_have_left(&again));
}

#[test]
fn what_was_at_rest_has_left_nothing_and_all_else_may_have() {
    for phase in resting().into_iter().filter(|phase| *phase != Phase::Failed(Reason::Stray)) {
        assert!(!may_have_left(&Service { beside: Beside::Nothing, ..at(phase) }), "{phase:?}");
        assert!(may_have_left(&Service { beside: Beside::Due(SOON), ..at(phase) }), "{phase:?}");
    }
    let busy = [Phase::Preparing, Phase::Spawning, STARTING, Phase::Running, Phase::Planning];
    let stops = STAGES.map(|stage| stopping(stage, Then::Down));
    for phase in busy.into_iter().chain(stops).chain([Phase::Failed(Reason::Stray)]) {
        assert!(may_have_left(&Service { beside: Beside::Nothing, ..at(phase) }), "{phase:?}");
    }
}
