//! Jobs beside the main process: what begins them, what kills them, and what comes of how they end.

use super::*;
use crate::model::spec::Timer;

const KINDS: [Kind; 6] = [Kind::PreStart, Kind::PostStop, Kind::Ready, Kind::Health, Kind::Reload, Kind::Plan];

const WELL: Event = Event::JobEnded(Exit::Code(0));
const BADLY: Event = Event::JobEnded(Exit::Code(1));

/// How a job may come out, and whether it was killed before.
const OUTCOMES: [(Event, bool); 6] = [
    (WELL, false),
    (BADLY, false),
    (WELL, true),
    (Event::JobEnded(Exit::Signal(signal::KILL)), true),
    (Event::JobNotBegan(SCARCE), false),
    (Event::JobNotBegan(BROKEN), false),
];

const fn job_of(kind: Kind, killed: bool) -> Beside {
    Beside::Job { kind, process: Some(HOOK), deadline: SOON, killed }
}

const fn after(time: Time, milliseconds: u64) -> Time {
    Time(time.0 + milliseconds)
}

const fn before(time: Time, milliseconds: u64) -> Time {
    Time(time.0 - milliseconds)
}

#[test]
fn a_probe_is_what_only_finds_out_and_a_hook_is_none() {
    for (kind, is_probe) in [
        (Kind::PreStart, false),
        (Kind::PostStop, false),
        (Kind::Ready, true),
        (Kind::Health, true),
        (Kind::Reload, false),
        (Kind::Plan, true),
    ] {
        assert_eq!(kind.is_probe(), is_probe, "{kind:?}");
    }
}

#[test]
fn the_first_of_all_that_is_due_is_the_deadline() {
    let starting = |own, beside, watchdog_at| {
        Service { beside, watchdog_at, ..at(Phase::Starting { deadline: own }) }.deadline().map(|time| time.0)
    };
    let job = |deadline, killed| Beside::Job { kind: Kind::Ready, process: None, deadline, killed };
    assert_eq!(starting(Time(3), Beside::Due(Time(4)), Time(5)), Some(3));
    assert_eq!(starting(Time(6), Beside::Due(Time(4)), Time(5)), Some(4));
    assert_eq!(starting(Time(6), Beside::Due(Time(7)), Time(5)), Some(5));
    assert_eq!(starting(Time(6), job(Time(4), false), Time(5)), Some(4));
    assert_eq!(starting(Time(6), job(Time(4), true), Time(5)), Some(5));
    assert_eq!(starting(Time::NEVER, job(Time(4), true), Time::NEVER), None);
    assert_eq!(starting(Time::NEVER, Beside::Nothing, Time::NEVER), None);
}

#[test]
fn what_is_due_is_begun_in_the_phases_that_have_it_and_forgotten_in_all_others() {
    for phase in every_phase() {
        let service = Service { beside: Beside::Due(NOW), ..at(phase) };
        let begun = match phase {
            Phase::Starting { .. } => Some((Kind::Ready, Time(1_001_000))),
            Phase::Running => Some((Kind::Health, Time(1_003_000))),
            Phase::Planning => Some((Kind::Plan, Time(1_010_000))),
            _ => None,
        };
        let beside = begun.map_or(Beside::Nothing, |(kind, deadline)| ordered(kind, deadline));
        let action = begun.map(|(kind, _)| Action::Begin(kind));
        let (next, done) = step(service, Event::Timer, NOW, &full());
        assert_eq!((next, done), (Service { beside, ..service }, action), "{phase:?}");
        assert_eq!(step(service, Event::Timer, before(NOW, 1), &full()), (service, None), "{phase:?}");
    }
}

#[test]
fn what_is_due_is_forgotten_where_the_policy_has_no_such_job() {
    for (phase, ready) in [(STARTING, None), (STARTING, Some(Ready::Told)), (Phase::Running, None)] {
        let policy = Policy { ready, ..Policy::default() };
        let service = Service { beside: Beside::Due(NOW), ..at(phase) };
        let expected = Service { beside: Beside::Nothing, ..service };
        assert_eq!(step(service, Event::Timer, NOW, &policy), (expected, None), "{phase:?} {ready:?}");
    }
}

#[test]
fn a_job_that_began_has_a_process_and_the_deadline_that_it_had() {
    for kind in KINDS {
        for killed in [false, true] {
            let beside = Beside::Job { kind, process: None, deadline: SOON, killed };
            let service = Service { beside, ..at(Phase::Running) };
            let expected = Service { beside: job_of(kind, killed), ..service };
            assert_eq!(step(service, Event::JobBegan(HOOK), NOW, &full()), (expected, None), "{kind:?}");
        }
    }
}

#[test]
fn a_job_is_killed_once_when_its_time_is_up() {
    for kind in KINDS {
        for phase in [Phase::Preparing, Phase::Starting { deadline: Time::NEVER }, Phase::Running, Phase::Planning] {
            let service = Service { beside: job_of(kind, false), ..at(phase) };
            assert_eq!(step(service, Event::Timer, before(SOON, 1), &full()), (service, None));
            let killed = Service { beside: job_of(kind, true), ..service };
            assert_eq!(step(service, Event::Timer, SOON, &full()), (killed, Some(Action::KillJob)), "{kind:?}");
            assert_eq!(step(killed, Event::Timer, SOON, &full()), (killed, None));
            assert_eq!(killed.deadline(), None);
        }
    }
}

#[test]
fn without_a_job_none_can_begin_or_end() {
    let began = [Event::JobBegan(HOOK), Event::Slot(9)];
    for phase in every_phase() {
        for beside in [Beside::Nothing, Beside::Due(SOON)] {
            let service = Service { beside, reload_due: true, ..at(phase) };
            for event in OUTCOMES.map(|(event, _)| event).into_iter().chain(began) {
                assert_eq!(step(service, event, NOW, &full()), (service, None), "{phase:?} {event:?}");
            }
        }
    }
}

#[test]
fn nobody_wants_to_know_how_a_job_came_out_in_a_phase_that_it_was_not_begun_in() {
    for phase in every_phase() {
        for kind in KINDS {
            let is_wanted = match kind {
                Kind::PreStart => phase == Phase::Preparing,
                Kind::PostStop => matches!(phase, Phase::Stopping { stage: Stage::Post, .. }),
                Kind::Ready => phase == STARTING,
                Kind::Health => phase == Phase::Running,
                Kind::Plan => phase == Phase::Planning,
                // Those who wait for it want to know in any phase.
                Kind::Reload => false,
            };
            for (event, killed) in OUTCOMES.into_iter().filter(|_| !is_wanted) {
                let service = Service { beside: job_of(kind, killed), reloads: 4, reloaded: true, ..at(phase) };
                let forgotten = Service { beside: Beside::Nothing, ..service };
                let expected = match kind {
                    Kind::Reload => Service { reloads: 5, reloaded: event == WELL && !killed, ..forgotten },
                    _ => forgotten,
                };
                let result = step(service, event, NOW, &full());
                assert_eq!(result, (expected, None), "{phase:?} {kind:?} {event:?} {killed}");
            }
        }
    }
}

#[test]
fn a_service_that_is_asked_is_ready_once_a_try_succeeds_and_asked_again_until_then() {
    for (event, killed) in OUTCOMES {
        let service = Service { beside: job_of(Kind::Ready, killed), up: Time::NEVER, failures: 2, ..at(STARTING) };
        let result = step(service, event, NOW, &full());
        let expected = if event == WELL && !killed {
            Service {
                phase: Phase::Running,
                up: NOW,
                failures: 0,
                health: Health::Starting,
                beside: Beside::Due(Time(1_005_000)),
                ..service
            }
        } else {
            Service { beside: Beside::Due(Time(1_002_000)), ..service }
        };
        assert_eq!(result, (expected, None), "{event:?} {killed}");
    }
    // Without a command there is none to run again.
    let service = Service { beside: job_of(Kind::Ready, false), ..at(STARTING) };
    let expected = Service { beside: Beside::Nothing, ..service };
    assert_eq!(step(service, BADLY, NOW, &Policy { ready: Some(Ready::Told), ..full() }), (expected, None));
}

#[test]
fn what_has_come_up_is_checked_first_after_the_pause_of_its_start_period() {
    for (start_period, first) in [(0, 1_030_000), (1, 1_005_000), (60_000, 1_005_000)] {
        let health = HealthPolicy { start_period: Span(start_period), ..HEALTH };
        let policy = Policy { health: Some(health), ..Policy::default() };
        let up = step(at(Phase::Spawning), Event::Spawned(MAIN), NOW, &policy).0;
        assert_eq!((up.phase, up.health, up.beside), (Phase::Running, Health::Starting, Beside::Due(Time(first))));
    }
    let up = step(at(Phase::Spawning), Event::Spawned(MAIN), NOW, &Policy::default()).0;
    assert_eq!((up.phase, up.health, up.beside), (Phase::Running, Health::None, Beside::Nothing));
    let asked = step(at(Phase::Spawning), Event::Spawned(MAIN), NOW, &full()).0;
    assert_eq!((asked.phase, asked.beside), (Phase::Starting { deadline: Time::NEVER }, Beside::Due(NOW)));
}

/// A running service whose check runs.
fn checked(health: Health, failures: u32) -> Service {
    Service { beside: job_of(Kind::Health, false), health, failures, ..at(Phase::Running) }
}

#[test]
fn a_check_that_succeeds_makes_healthy_and_forgets_the_failures() {
    for health in [Health::Starting, Health::Healthy, Health::Unhealthy] {
        let service = checked(health, 2);
        let beside = Beside::Due(Time(1_030_000));
        let expected = Service { health: Health::Healthy, failures: 0, beside, ..service };
        assert_eq!(step(service, WELL, NOW, &full()), (expected, None), "{health:?}");
    }
}

#[test]
fn a_check_that_fails_counts_from_the_end_of_the_start_period_on_or_from_the_first_success() {
    let end = after(NOW, 60_000);
    for (health, now, failures, pause) in [
        (Health::Starting, NOW, 1, 5_000),
        (Health::Starting, before(end, 1), 1, 5_000),
        (Health::Starting, end, 2, 30_000),
        (Health::Starting, after(end, 1), 2, 30_000),
        (Health::Healthy, before(end, 1), 2, 30_000),
        (Health::Unhealthy, before(end, 1), 2, 30_000),
    ] {
        let service = checked(health, 1);
        let expected = Service { failures, beside: Beside::Due(after(now, pause)), ..service };
        assert_eq!(step(service, BADLY, now, &full()), (expected, None), "{health:?} {now:?}");
    }
}

#[test]
fn every_way_of_not_succeeding_fails_the_check_but_one_that_found_no_room() {
    for (event, killed) in OUTCOMES.into_iter().filter(|outcome| *outcome != (WELL, false)) {
        let service = Service { beside: job_of(Kind::Health, killed), ..checked(Health::Healthy, 0) };
        let failures = u32::from(event != Event::JobNotBegan(SCARCE));
        let expected = Service { failures, beside: Beside::Due(Time(1_030_000)), ..service };
        assert_eq!(step(service, event, NOW, &full()), (expected, None), "{event:?} {killed}");
    }
    let starting = checked(Health::Starting, 0);
    let expected = Service { beside: Beside::Due(Time(1_005_000)), ..starting };
    assert_eq!(step(starting, Event::JobNotBegan(SCARCE), NOW, &full()), (expected, None));
}

#[test]
fn a_check_that_the_policy_does_not_know_any_more_says_nothing() {
    for (event, killed) in OUTCOMES {
        let service = Service { beside: job_of(Kind::Health, killed), ..checked(Health::Healthy, 9) };
        let expected = Service { beside: Beside::Nothing, ..service };
        assert_eq!(step(service, event, NOW, &Policy { health: None, ..full() }), (expected, None), "{event:?}");
    }
}

#[test]
fn as_many_failed_checks_in_a_row_as_there_are_retries_make_unhealthy() {
    for on_unhealthy in [OnUnhealthy::None, OnUnhealthy::Shutdown, OnUnhealthy::Restart] {
        let policy = Policy { health: Some(HealthPolicy { on_unhealthy, ..HEALTH }), ..full() };
        for (before, failed, health, healthy_before) in [
            (0, 1, Health::Healthy, Health::Healthy),
            (1, 2, Health::Healthy, Health::Healthy),
            (2, 3, Health::Unhealthy, Health::Healthy),
            (3, 4, Health::Unhealthy, Health::Healthy),
            // It was told so before: nothing follows a second time.
            (3, 4, Health::Unhealthy, Health::Unhealthy),
            (u32::MAX, u32::MAX, Health::Unhealthy, Health::Unhealthy),
        ] {
            let service = checked(healthy_before, before);
            let counted = Service { failures: failed, health, beside: Beside::Due(Time(1_030_000)), ..service };
            let falls = on_unhealthy == OnUnhealthy::Restart && health != healthy_before;
            let expected = if falls {
                let phase = Phase::Stopping { stage: Stage::Main, deadline: Time(1_010_000), then: Then::Again };
                let fallen = Service { phase, fault: Some(Fault::Unhealthy), beside: Beside::Nothing, ..counted };
                (fallen, Some(Action::Ask { signal: signal::TERM, group: false }))
            } else {
                (counted, None)
            };
            assert_eq!(step(service, BADLY, NOW, &policy), expected, "{on_unhealthy:?} {before}");
        }
    }
}

fn scheduled(catch_up: bool) -> Policy {
    Policy { oneshot: true, timer: Some(Timer::Schedule { catch_up }), ..Policy::default() }
}

#[test]
fn a_schedule_plans_at_once_after_a_start_and_after_each_end() {
    let new = Service::new(true, NOW, &scheduled(false));
    assert_eq!((new.phase, new.beside), (Phase::Planning, Beside::Due(NOW)));
    let unwanted = Service::new(false, NOW, &scheduled(false));
    assert_eq!((unwanted.phase, unwanted.beside), (Phase::Stopped, Beside::Nothing));
    for code in [0, 1] {
        let (ended, action) = step(at(Phase::Running), exit(Exit::Code(code), true), SOON, &scheduled(false));
        assert_eq!((ended.phase, ended.since, ended.beside), (Phase::Planning, SOON, Beside::Due(SOON)));
        assert_eq!(action, None);
        // A run that was asked for once is followed by no slot.
        let once = Service { once: true, ..at(Phase::Running) };
        let phase = if code == 0 { Phase::Completed } else { Phase::Failed(Reason::Ended) };
        assert_eq!(step(once, exit(Exit::Code(code), true), SOON, &scheduled(false)).0.phase, phase);
    }
}

#[test]
fn a_plan_that_failed_is_tried_again_a_minute_later() {
    for (event, killed) in OUTCOMES {
        let service = Service { beside: job_of(Kind::Plan, killed), ..at(Phase::Planning) };
        let expected = Service { beside: Beside::Due(Time(1_060_000)), ..service };
        assert_eq!(step(service, event, NOW, &scheduled(false)), (expected, None), "{event:?} {killed}");
    }
}

#[test]
fn a_slot_is_taken_from_a_plan_and_only_while_it_is_planned() {
    for phase in every_phase() {
        let service = Service { beside: job_of(Kind::Plan, false), ..at(phase) };
        let planned = Service { beside: Beside::Nothing, ..service };
        let expected = match phase {
            Phase::Planning => Service { phase: Phase::Planned { slot: 9 }, since: SOON, ..planned },
            _ => planned,
        };
        assert_eq!(step(service, Event::Slot(9), SOON, &scheduled(false)), (expected, None), "{phase:?}");
        for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Plan) {
            let other = Service { beside: job_of(kind, false), ..service };
            assert_eq!(step(other, Event::Slot(9), SOON, &scheduled(false)), (other, None), "{phase:?} {kind:?}");
        }
    }
}

/// A slot by the wall clock, and what is a minute in it.
const SLOT: u64 = 1_700_000_000_000;

#[test]
fn a_slot_runs_when_it_has_come_and_not_more_than_a_minute_later_unless_it_catches_up() {
    let runs = |wall| (Phase::Waiting, wall, Beside::Nothing);
    let waits = (Phase::Planned { slot: SLOT }, 5, Beside::Nothing);
    let plans = (Phase::Planning, 5, Beside::Due(SOON));
    for (wall, plainly, catching_up) in [
        (SLOT - 1, waits, waits),
        (SLOT, runs(SLOT), runs(SLOT)),
        (SLOT + 1, runs(SLOT + 1), runs(SLOT + 1)),
        (SLOT + 60_000, runs(SLOT + 60_000), runs(SLOT + 60_000)),
        (SLOT + 60_001, plans, runs(SLOT + 60_001)),
        (SLOT + 86_400_000, plans, runs(SLOT + 86_400_000)),
    ] {
        for (policy, expected) in [(scheduled(false), plainly), (scheduled(true), catching_up)] {
            let service = Service { slot: 5, ..at(Phase::Planned { slot: SLOT }) };
            let (came, action) = step(service, Event::SlotCame(wall), SOON, &policy);
            assert_eq!(((came.phase, came.slot, came.beside), action), (expected, None), "{wall} {policy:?}");
            let since = if expected == waits { NOW } else { SOON };
            assert_eq!(came.since, since, "{wall}");
            // A clock that was set runs what it has leapt over, and plans anew what it has not.
            let (set, action) = step(service, Event::ClockSet(wall), SOON, &policy);
            let expected = if expected == waits { plans } else { expected };
            assert_eq!(((set.phase, set.slot, set.beside), action), (expected, None), "{wall} {policy:?}");
        }
    }
}

#[test]
fn no_slot_comes_and_no_clock_matters_where_none_is_planned() {
    for phase in every_phase().into_iter().filter(|phase| !matches!(phase, Phase::Planned { .. })) {
        for event in [Event::SlotCame(SLOT), Event::ClockSet(SLOT)] {
            assert_eq!(step(at(phase), event, SOON, &scheduled(true)), (at(phase), None), "{phase:?}");
        }
    }
}

#[test]
fn the_next_slot_is_looked_for_behind_the_last_one_unless_the_clock_was_set_far_back() {
    let hours = 3 * 60 * 60 * 1000;
    for (slot, wall, plainly, catching_up) in [
        // It never ran by it: nothing was missed.
        (0, SLOT, SLOT, SLOT),
        (SLOT, SLOT, SLOT, SLOT),
        (SLOT, SLOT + 1, SLOT + 1, SLOT),
        (SLOT, SLOT + hours, SLOT + hours, SLOT),
        (SLOT, SLOT - 1, SLOT, SLOT),
        (SLOT, SLOT - hours + 1, SLOT, SLOT),
        (SLOT, SLOT - hours, SLOT - hours, SLOT - hours),
        (SLOT, SLOT - hours - 1, SLOT - hours - 1, SLOT - hours - 1),
    ] {
        let service = Service { slot, ..at(Phase::Planning) };
        assert_eq!(plan_after(&service, &scheduled(false), wall), plainly, "{slot} {wall}");
        assert_eq!(plan_after(&service, &scheduled(true), wall), catching_up, "{slot} {wall}");
    }
}

#[test]
fn what_is_planned_can_be_left_at_once_where_no_plan_runs() {
    let shutdown = Event::Shutdown(Shutdown { deadline: SOON, signal: None });
    for (event, phase, action) in [
        (Event::Start, Phase::Waiting, None),
        (Event::Once, Phase::Waiting, None),
        (Event::Stop, Phase::Stopped, None),
        (shutdown, Phase::Stopped, Some(Action::Leave)),
    ] {
        for beside in [Beside::Due(SOON), Beside::Nothing] {
            let (left, done) = step(Service { beside, ..at(Phase::Planning) }, event, SOON, &scheduled(false));
            assert_eq!(
                (left.phase, left.beside, left.since, done),
                (phase, Beside::Nothing, SOON, action),
                "{event:?}"
            );
        }
    }
    for (event, then) in [(Event::Start, Then::Start), (Event::Stop, Then::Down), (shutdown, Then::Leave)] {
        let planning = Service { beside: job_of(Kind::Plan, false), ..at(Phase::Planning) };
        let (left, done) = step(planning, event, SOON, &scheduled(false));
        let phase = Phase::Stopping { stage: Stage::Kill, deadline: Time(1_015_000), then };
        assert_eq!((left.phase, left.beside, done), (phase, job_of(Kind::Plan, true), Some(Action::Kill)));
    }
}
