//! What a service is told and says of itself: reloads, being ready, notices, the watchdog, more time.

use super::*;

const ABRT: Action = Action::Ask { signal: signal::ABRT, group: false };
const SPEAKING: [Phase; 2] = [STARTING, Phase::Running];

fn silent() -> impl Iterator<Item = Phase> {
    every_phase().into_iter().filter(|phase| !SPEAKING.contains(phase))
}

fn told(service: Service, event: Event) -> (Service, Option<Action>) {
    step(service, event, NOW, &full())
}

const RELOAD: Option<Action> = Some(Action::Begin(Kind::Reload));
const RELOADING: Beside = ordered(Kind::Reload, Time(1_004_000));

#[test]
fn a_reload_begins_at_once_and_pushes_aside_what_is_due() {
    for phase in SPEAKING {
        let idle = at(phase);
        assert_eq!(told(idle, Event::Reload), (Service { beside: RELOADING, ..idle }, RELOAD));
        let due = Service { beside: Beside::Due(SOON), ..idle };
        assert_eq!(told(due, Event::Reload), (Service { beside: RELOADING, probe_at: SOON, ..due }, RELOAD));
        // Without a time-out of its own it has ten seconds.
        let policy = Policy { reload: Some(HookPolicy { timeout: None }), ..full() };
        let expected = Service { beside: ordered(Kind::Reload, Time(1_010_000)), ..idle };
        assert_eq!(step(idle, Event::Reload, NOW, &policy), (expected, RELOAD));
        // A signal does it.
        assert_eq!(step(due, Event::Reload, NOW, &Policy { reload: None, ..full() }), (due, None));
    }
    for phase in silent() {
        assert_eq!(told(at(phase), Event::Reload), (at(phase), None), "{phase:?}");
    }
}

#[test]
fn a_reload_waits_for_the_job_that_runs_and_the_next_probe_for_the_reload() {
    let well = Event::JobEnded(Exit::Code(0));
    let badly = Event::JobEnded(Exit::Code(1));
    for (phase, kind) in [
        (STARTING, Kind::Ready),
        (Phase::Running, Kind::Health),
        (STARTING, Kind::Reload),
        (Phase::Running, Kind::Reload),
    ] {
        let busy = Service { beside: job(kind), ..at(phase) };
        let due = Service { reload_due: true, ..busy };
        assert_eq!(told(busy, Event::Reload), (due, None));
        assert_eq!(told(due, Event::Reload), (due, None));
    }
    let due = |phase, kind| Service { beside: job(kind), reload_due: true, ..at(phase) };
    let reloading = Service { beside: RELOADING, ..at(STARTING) };
    let expected = Service { probe_at: Time(1_002_000), ..reloading };
    assert_eq!(told(due(STARTING, Kind::Ready), badly), (expected, RELOAD));
    let running = Service { phase: Phase::Running, health: Health::Starting, ..reloading };
    let expected = Service { probe_at: Time(1_005_000), ..running };
    assert_eq!(told(due(STARTING, Kind::Ready), well), (expected, RELOAD));
    let expected = Service { probe_at: Time(1_030_000), health: Health::Healthy, ..running };
    assert_eq!(told(due(Phase::Running, Kind::Health), well), (expected, RELOAD));
    // One that came while another ran.
    for (phase, probe_at) in [(STARTING, SOON), (Phase::Running, SOON), (Phase::Running, Time::NEVER)] {
        let twice = Service { probe_at, ..due(phase, Kind::Reload) };
        let expected = Service { beside: RELOADING, reload_due: false, reloads: 1, reloaded: true, ..twice };
        assert_eq!(told(twice, well), (expected, RELOAD));
    }
    // Nothing begins beside what does not run any more.
    for phase in silent().filter(|phase| !matches!(phase, Phase::Planning | Phase::Preparing)) {
        let late = due(phase, Kind::Health);
        assert_eq!(told(late, well), (Service { beside: Beside::Nothing, ..late }, None), "{phase:?}");
    }
}

#[test]
fn the_probe_that_a_reload_pushed_aside_is_due_again_after_it() {
    for (event, well) in [
        (Event::JobEnded(Exit::Code(0)), true),
        (Event::JobEnded(Exit::Code(1)), false),
        (Event::JobNotBegan(SCARCE), false),
        (Event::JobNotBegan(BROKEN), false),
    ] {
        for phase in SPEAKING {
            for (probe_at, beside) in [(SOON, Beside::Due(SOON)), (Time::NEVER, Beside::Nothing)] {
                let service = Service { beside: job(Kind::Reload), probe_at, reloads: 4, ..at(phase) };
                let after = Service { beside, probe_at: Time::NEVER, reloads: 5, reloaded: well, ..service };
                assert_eq!(told(service, event), (after, None), "{event:?}");
            }
        }
    }
    let most = Service { beside: job(Kind::Reload), reloads: u32::MAX, ..at(Phase::Running) };
    assert_eq!(told(most, Event::JobEnded(Exit::Code(0))).0.reloads, u32::MAX);
    // In a phase without probes what was pushed aside stays there.
    let stopping = Service { beside: job(Kind::Reload), probe_at: SOON, ..at(stopping(Stage::Main, Then::Down)) };
    assert_eq!(told(stopping, Event::JobEnded(Exit::Code(0))).0.beside, Beside::Nothing);
}

#[test]
fn a_reload_that_is_due_fails_where_the_service_ends_first() {
    let drained = Policy { drain: Span(1), ..full() };
    let restart = Some(HealthPolicy { on_unhealthy: OnUnhealthy::Restart, retries: 1, ..HEALTH });
    let failing = Policy { health: restart, ..full() };
    for (event, policy) in [
        (Event::Stop, full()),
        (Event::Stop, drained),
        (Event::Restart, full()),
        (Event::Ailing, full()),
        (exit(Exit::Code(0), true), full()),
        (exit(Exit::Code(0), false), full()),
        (Event::JobEnded(Exit::Code(1)), failing),
    ] {
        let beside = job(Kind::Health);
        let service = Service { beside, reload_due: true, reloads: 4, reloaded: true, ..at(Phase::Running) };
        let (ended, action) = step(service, event, NOW, &policy);
        assert_eq!((ended.reload_due, ended.reloads, ended.reloaded), (false, 5, false), "{event:?}");
        assert_ne!(action, RELOAD);
        // What was not asked for has not failed.
        let (ended, _) = step(Service { reload_due: false, ..service }, event, NOW, &policy);
        assert_eq!((ended.reload_due, ended.reloads, ended.reloaded), (false, 4, true), "{event:?}");
    }
}

#[test]
fn whoever_waits_for_a_reload_is_told_of_the_next_end_or_that_none_can_come() {
    for phase in every_phase().into_iter().filter(|phase| *phase != Phase::Failed(Reason::Stray)) {
        let open = match phase {
            Phase::Starting { .. } | Phase::Running => None,
            Phase::Stopping { then: Then::Leave, .. } => Some(Outcome::Leaving),
            _ => Some(Outcome::NotRunning),
        };
        for (reloads, reloaded, expected) in [
            (3, true, open),
            (4, true, open),
            (4, false, open),
            (5, true, Some(Outcome::True)),
            (5, false, Some(Outcome::NotReloaded)),
            (6, true, Some(Outcome::True)),
        ] {
            let service = Service { reloads, reloaded, ..at(phase) };
            assert_eq!(outcome(Goal::Reloaded, 4, &service), expected, "{phase:?} {reloads}");
        }
    }
    let stray = Service { reloads: 5, reloaded: true, ..at(Phase::Failed(Reason::Stray)) };
    assert_eq!(outcome(Goal::Reloaded, 4, &stray), Some(Outcome::Stuck));
}

#[test]
fn a_reload_that_runs_has_begun_before_the_command_and_does_not_count_for_it() {
    let service = |beside| Service { beside, run: 3, reloads: 4, ..at(Phase::Running) };
    for beside in [Beside::Nothing, Beside::Due(SOON), job(Kind::Health), job(Kind::Reload)] {
        for goal in [Goal::Up, Goal::Fresh, Goal::Down] {
            assert_eq!(count_before(goal, &service(beside)), 3);
        }
        let expected = if beside == job(Kind::Reload) { 5 } else { 4 };
        assert_eq!(count_before(Goal::Reloaded, &service(beside)), expected, "{beside:?}");
    }
}

#[test]
fn being_ready_counts_where_it_is_waited_for_and_ends_a_reload_where_it_runs() {
    let policy = Policy { ready: Some(Ready::Told), ..full() };
    for phase in every_phase() {
        let service = Service { notice: Notice::Reloading, up: Time::NEVER, since: Time(1), ..at(phase) };
        let quiet = Service { notice: Notice::None, ..service };
        let expected = match phase {
            Phase::Starting { .. } => Service {
                phase: Phase::Running,
                since: NOW,
                up: NOW,
                health: Health::Starting,
                beside: Beside::Due(SOON),
                ..quiet
            },
            Phase::Running => quiet,
            _ => service,
        };
        assert_eq!(step(service, Event::Ready, NOW, &policy), (expected, None), "{phase:?}");
    }
    let starting = Service { notice: Notice::Reloading, ..at(STARTING) };
    for ready in [None, full().ready] {
        assert_eq!(step(starting, Event::Ready, NOW, &Policy { ready, ..full() }), (starting, None));
    }
    // While a reload runs the first check waits for that.
    let reloading = Service { beside: job(Kind::Reload), ..at(STARTING) };
    let ready = step(reloading, Event::Ready, NOW, &policy).0;
    assert_eq!((ready.phase, ready.beside, ready.probe_at), (Phase::Running, job(Kind::Reload), SOON));
}

#[test]
fn a_notice_is_taken_from_what_runs() {
    for notice in [Notice::None, Notice::Reloading, Notice::Stopping] {
        for phase in every_phase() {
            let service = Service { notice: Notice::Reloading, ..at(phase) };
            let expected = if SPEAKING.contains(&phase) { Service { notice, ..service } } else { service };
            assert_eq!(told(service, Event::Notice(notice)), (expected, None), "{phase:?}");
        }
    }
}

#[test]
fn what_says_that_it_is_about_to_end_is_not_ready() {
    for phase in every_phase() {
        for (notice, ready) in [(Notice::None, true), (Notice::Reloading, true), (Notice::Stopping, false)] {
            let is_ready = Service { notice, ..at(phase) }.is_ready();
            assert_eq!(is_ready, phase == Phase::Running && ready, "{phase:?} {notice:?}");
        }
    }
}

#[test]
fn the_watchdog_runs_from_when_it_is_ready_if_it_has_one() {
    let met =
        |watchdog| step(at(Phase::Waiting), Event::DependenciesMet, NOW, &Policy { watchdog, ..full() }).0.watchdog;
    assert_eq!([met(None), met(Some(Span(9)))], [Span(0), Span(9)]);
    for (watchdog, expected) in [(0, Time::NEVER), (1, Time(1_000_001)), (5000, SOON)] {
        let service = Service { watchdog: Span(watchdog), ..at(Phase::Spawning) };
        let up = step(service, Event::Spawned(MAIN), NOW, &Policy::default()).0;
        assert_eq!((up.phase, up.watchdog_at), (Phase::Running, expected));
    }
}

#[test]
fn each_sign_of_life_puts_the_watchdog_off() {
    let service = Service { watchdog: Span(4000), watchdog_at: Time(1_000_001), ..at(Phase::Running) };
    assert_eq!(told(service, Event::Alive), (Service { watchdog_at: Time(1_004_000), ..service }, None));
    let without = Service { watchdog_at: Time::NEVER, ..service };
    assert_eq!(told(without, Event::Alive), (without, None));
}

#[test]
fn what_does_not_say_in_time_that_it_lives_is_aborted_and_has_failed() {
    let beside = job(Kind::Health);
    for phase in [Phase::Starting { deadline: Time::NEVER }, Phase::Running] {
        let service = Service { watchdog_at: SOON, beside, probe_at: SOON, ..at(phase) };
        assert_eq!(step(service, Event::Timer, Time(SOON.0 - 1), &full()), (service, None));
        let fallen = |now: Time| Service {
            phase: Phase::Stopping { stage: Stage::Main, deadline: Time(now.0 + 10_000), then: Then::Decide },
            since: now,
            fault: Some(Fault::Watchdog),
            watchdog_at: Time::NEVER,
            probe_at: Time::NEVER,
            beside: Beside::Job { kind: Kind::Health, process: Some(HOOK), deadline: Time::NEVER, killed: true },
            ..service
        };
        assert_eq!(step(service, Event::Timer, SOON, &full()), (fallen(SOON), Some(ABRT)));
        // Or says itself that it does not work.
        assert_eq!(told(service, Event::Ailing), (fallen(NOW), Some(ABRT)));
    }
    for phase in silent() {
        assert_eq!(told(at(phase), Event::Ailing), (at(phase), None), "{phase:?}");
    }
}

#[test]
fn a_service_sets_its_own_watchdog_and_that_runs_once_it_is_ready() {
    for (span, at_running) in [(0, Time::NEVER), (1, Time(1_000_001)), (5000, SOON)] {
        for phase in every_phase() {
            let service = Service { watchdog: Span(7), watchdog_at: Time(77), ..at(phase) };
            let set = |watchdog_at| Service { watchdog: Span(span), watchdog_at, ..service };
            let expected = match phase {
                Phase::Starting { .. } => set(Time::NEVER),
                Phase::Running => set(at_running),
                _ => service,
            };
            assert_eq!(told(service, Event::WatchdogSet(Span(span))), (expected, None), "{phase:?} {span}");
        }
    }
}

#[test]
fn more_time_is_given_from_now_on_to_become_ready_or_to_end_and_never_less() {
    for (span, deadline) in [(0, SOON), (4999, SOON), (5000, SOON), (5001, Time(1_005_001))] {
        for phase in every_phase() {
            let expected = match phase {
                Phase::Starting { .. } => Phase::Starting { deadline },
                Phase::Stopping { stage: stage @ (Stage::Main | Stage::Rest), then, .. } => {
                    Phase::Stopping { stage, deadline, then }
                }
                other => other,
            };
            let service = Service { phase: expected, ..at(phase) };
            assert_eq!(told(at(phase), Event::Extend(Span(span))), (service, None), "{phase:?} {span}");
        }
    }
    let ever = at(Phase::Starting { deadline: Time::NEVER });
    assert_eq!(told(ever, Event::Extend(Span(1))), (ever, None));
    // The budget of a shutdown is not its own.
    for stage in [Stage::Main, Stage::Rest] {
        let shutdown = Some(Shutdown { deadline: Time(1_005_500), signal: None });
        for (span, deadline) in [(5400, Time(1_005_400)), (5500, Time(1_005_500)), (5501, Time(1_005_500))] {
            let service = Service { shutdown, ..at(stopping(stage, Then::Leave)) };
            let phase = Phase::Stopping { stage, deadline, then: Then::Leave };
            assert_eq!(told(service, Event::Extend(Span(span))), (Service { phase, ..service }, None));
        }
    }
}

#[test]
fn the_main_process_is_the_one_that_it_says_while_it_runs() {
    for phase in every_phase() {
        let service = at(phase);
        let process = if SPEAKING.contains(&phase) { Some(HOOK) } else { service.process };
        assert_eq!(told(service, Event::MainIs(HOOK)), (Service { process, ..service }, None), "{phase:?}");
    }
}

#[test]
fn what_is_not_ready_in_its_time_is_ended_and_has_failed() {
    let policy = Policy { ready_timeout: Some(Span(5000)), ready: Some(Ready::Told), ..Policy::default() };
    let starting = step(at(Phase::Spawning), Event::Spawned(MAIN), NOW, &policy).0;
    assert_eq!((starting.phase, starting.process, starting.beside), (STARTING, Some(MAIN), Beside::Nothing));
    assert_eq!(step(starting, Event::Timer, Time(SOON.0 - 1), &policy), (starting, None));
    let (ended, action) = step(starting, Event::Timer, SOON, &policy);
    let phase = Phase::Stopping { stage: Stage::Main, deadline: Time(1_015_000), then: Then::Decide };
    assert_eq!((ended.phase, ended.fault), (phase, Some(Fault::NotReady)));
    assert_eq!(action, Some(Action::Ask { signal: signal::TERM, group: false }));
}
