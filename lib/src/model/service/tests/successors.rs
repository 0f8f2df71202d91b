//! What a successor takes over, field by field, and where it goes on.

use super::*;

const ENDED: Exit = Exit::Code(3);

/// With a probe that died with its supervisor.
fn left(phase: Phase) -> Service {
    Service { beside: job(Kind::Health), probe_at: SOON, reload_due: true, watchdog_at: SOON, ..at(phase) }
}

fn job(kind: Kind) -> Beside {
    Beside::Job { kind, process: Some(MAIN), deadline: SOON, killed: false }
}

/// Without it.
fn cleared(phase: Phase) -> Service {
    let goes_on = matches!(phase, Phase::Starting { .. } | Phase::Running | Phase::Planning);
    let beside = if goes_on { Beside::Due(SOON) } else { Beside::Nothing };
    Service { beside, probe_at: Time::NEVER, reload_due: false, ..left(phase) }
}

fn is_begun(phase: Phase) -> bool {
    matches!(phase, Phase::Starting { .. } | Phase::Running | Phase::Stopping { .. })
}

#[test]
fn a_service_that_runs_goes_on_as_it_is() {
    for phase in every_phase() {
        let same = cleared(phase);
        let expected = match phase {
            Phase::Preparing => (Service { phase: Phase::Waiting, since: SOON, ..same }, [None, None]),
            Phase::Spawning => (same, [Some(Event::Spawned(MAIN)), None]),
            _ if is_begun(phase) => (same, [Some(Event::TakenOver), None]),
            _ => (same, [None, None]),
        };
        assert_eq!(take_over(left(phase), Main::Runs(MAIN), false, SOON, &Policy::default()), expected, "{phase:?}");
    }
}

#[test]
fn an_end_meanwhile_is_told_with_what_it_has_left() {
    for (phase, left_over) in every_phase().into_iter().flat_map(|phase| [(phase, false), (phase, true)]) {
        let event = Some(Event::Exited { exit: ENDED, alone: !left_over, oom: false });
        let events = match phase {
            Phase::Spawning => [Some(Event::Spawned(MAIN)), event],
            Phase::Failed(Reason::Stray) => [event, None],
            _ if is_begun(phase) => [event, None],
            Phase::Preparing => continue,
            _ => [None, None],
        };
        let taken = take_over(left(phase), Main::Ended(MAIN, ENDED), left_over, SOON, &Policy::default());
        assert_eq!(taken, (cleared(phase), events), "{phase:?}");
    }
}

#[test]
fn an_end_that_was_recorded_is_the_end_and_only_what_was_left_remains_to_be_seen() {
    for (phase, left_over) in every_phase().into_iter().flat_map(|phase| [(phase, false), (phase, true)]) {
        let ending = Some(Ending::Exited(ENDED));
        let gone = |service| Service { process: None, ending, ..service };
        let events = match phase {
            Phase::Starting { .. } | Phase::Running | Phase::Stopping { stage: Stage::Drain | Stage::Main, .. } => {
                [Some(Event::Exited { exit: ENDED, alone: !left_over, oom: false }), None]
            }
            Phase::Stopping { .. } if left_over => [Some(Event::TakenOver), None],
            Phase::Stopping { .. } => [Some(Event::Empty), None],
            Phase::Failed(Reason::Stray) => [(!left_over).then_some(Event::Empty), None],
            Phase::Preparing | Phase::Spawning => continue,
            _ => [None, None],
        };
        let taken = take_over(gone(left(phase)), Main::None, left_over, SOON, &Policy::default());
        assert_eq!(taken, (gone(cleared(phase)), events), "{phase:?}");
    }
    // What never became the program has no end to go by.
    let unseen = Service { process: None, ending: Some(Ending::NotStarted(BROKEN)), ..left(STARTING) };
    let (_, [event, _]) = take_over(unseen, Main::None, false, SOON, &Policy::default());
    assert_eq!(event, Some(exit(Exit::Signal(signal::KILL), true)));
}

#[test]
fn a_start_that_came_to_nothing_begins_once_more_when_nothing_of_it_is_left() {
    let none = Service { process: None, post_due: true, ..left(Phase::Spawning) };
    for (phase, main) in [(Phase::Spawning, Main::None), (Phase::Preparing, Main::None)] {
        let service = Service { phase, ..none };
        let same = Service { post_due: false, beside: Beside::Nothing, since: SOON, ..cleared(phase) };
        // A run that nobody has seen anything of is not counted.
        let unseen = u32::from(phase == Phase::Spawning);
        let same = Service { process: None, run: same.run - unseen, ..same };
        let expected = (Service { phase: Phase::Waiting, ..same }, [None, None]);
        assert_eq!(take_over(service, main, false, SOON, &Policy::default()), expected, "{phase:?}");
        let killing = Phase::Stopping { stage: Stage::Kill, deadline: SOON.plus(Span::seconds(10)), then: Then::Start };
        let expected = (Service { phase: killing, ..same }, [Some(Event::TakenOver), None]);
        assert_eq!(take_over(service, main, true, SOON, &Policy::default()), expected, "{phase:?}");
    }
    let hook = Some(HookPolicy { timeout: None });
    let hooked = take_over(none, Main::None, false, SOON, &Policy { pre_start: hook, ..Policy::default() }).0;
    assert_eq!(hooked.run, none.run, "its hook had begun");
    let (service, events) = take_over(none, Main::NotMade(BROKEN), false, SOON, &Policy::default());
    assert_eq!((service.phase, events), (Phase::Spawning, [Some(Event::NotSpawned(BROKEN)), None]));
}

#[test]
fn what_a_killed_job_would_have_found_out_is_looked_for_again() {
    let beside = |phase, beside, probe_at| {
        let service = Service { beside, probe_at, ..at(phase) };
        take_over(service, Main::Runs(MAIN), false, SOON, &Policy::default()).0.beside
    };
    let later = SOON.plus(Span(1));
    for phase in [STARTING, Phase::Running, Phase::Planning] {
        for kind in [Kind::Ready, Kind::Health, Kind::Plan] {
            assert_eq!(beside(phase, job(kind), Time::NEVER), Beside::Due(SOON), "{phase:?} {kind:?}");
        }
        assert_eq!(beside(phase, job(Kind::Reload), Time::NEVER), Beside::Nothing);
        assert_eq!(beside(phase, job(Kind::Reload), later), Beside::Due(later));
        assert_eq!(beside(phase, Beside::Due(later), Time::NEVER), Beside::Due(later));
    }
    for kind in [Kind::Ready, Kind::Health, Kind::Reload, Kind::Plan, Kind::PostStop] {
        assert_eq!(beside(stopping(Stage::Main, Then::Down), job(kind), later), Beside::Nothing, "{kind:?}");
    }
}

#[test]
fn a_post_stop_that_its_supervisor_was_killed_in_is_begun_again() {
    let hook = Policy { post_stop: Some(HookPolicy { timeout: None }), ..Policy::default() };
    let interrupted = |beside| Service { process: None, beside, ..at(stopping(Stage::Post, Then::Down)) };
    let (found, events) = take_over(interrupted(job(Kind::PostStop)), Main::None, false, SOON, &Policy::default());
    assert_eq!(events, [Some(Event::Empty), None]);
    let (again, action) = step(found, Event::Empty, SOON, &hook);
    assert_eq!(action, Some(Action::Begin(Kind::PostStop)));
    assert!(matches!(again.phase, Phase::Stopping { stage: Stage::Post, then: Then::Down, .. }) && !again.post_due);
    // What it has left goes first.
    assert_eq!(
        take_over(interrupted(job(Kind::PostStop)), Main::None, true, SOON, &Policy::default()).1,
        [Some(Event::TakenOver), None]
    );
    // Its time was up, or it has ended.
    let Beside::Job { kind, process, deadline, .. } = job(Kind::PostStop) else { panic!("a job") };
    for beside in [Beside::Job { kind, process, deadline, killed: true }, Beside::Nothing] {
        let (found, _) = take_over(interrupted(beside), Main::None, false, SOON, &Policy::default());
        assert_eq!(step(found, Event::Empty, SOON, &hook).0.phase, Phase::Stopped, "{beside:?}");
    }
}

#[test]
fn a_stop_goes_on_and_its_signal_is_not_sent_twice() {
    let group = Policy { stop_scope: StopScope::Group, ..Policy::default() };
    let next = |service, policy: &Policy| step(service, Event::TakenOver, SOON, policy);
    let main = at(stopping(Stage::Main, Then::Down));
    for (policy, scope) in [(Policy::default(), false), (group, true)] {
        let asks = |signal| Some(Action::Ask { signal, group: scope });
        assert_eq!(next(main, &policy), (main, asks(signal::TERM)));
        let sick = Service { fault: Some(Fault::Watchdog), ..main };
        assert_eq!(next(sick, &policy), (sick, asks(signal::ABRT)));
        let shutdown = Some(Shutdown { deadline: SOON, signal: Some(signal::INT) });
        let told = Service { shutdown, ..main };
        assert_eq!(next(told, &policy), (told, asks(signal::INT)));
    }
    let (asked, action) = step(main, Event::Asked, SOON, &Policy::default());
    assert_eq!((asked, action), (Service { asked: true, ..main }, None));
    assert_eq!(next(asked, &Policy::default()), (asked, None));
    // Its end is known, and not yet taken.
    let gone = Service { process: None, ..main };
    assert_eq!(next(gone, &Policy::default()), (gone, None));
    for phase in every_phase() {
        let action = match phase {
            Phase::Stopping { stage: Stage::Main, .. } => continue,
            Phase::Stopping { stage: Stage::Rest, .. } => Some(Action::AskRest),
            Phase::Stopping { stage: Stage::Kill | Stage::Post, .. } => Some(Action::Kill),
            _ => None,
        };
        assert_eq!(next(at(phase), &Policy::default()), (at(phase), action), "{phase:?}");
        assert_eq!(step(at(phase), Event::Asked, SOON, &Policy::default()), (at(phase), None), "{phase:?}");
    }
    // The next stop asks again.
    let (again, action) = step(Service { asked: true, ..at(Phase::Running) }, Event::Stop, SOON, &Policy::default());
    assert!(!again.asked && matches!(action, Some(Action::Ask { .. })));
}

#[test]
fn a_child_in_the_record_is_what_a_spawn_has_left_and_nothing_else_has() {
    for phase in every_phase() {
        let none = Service { process: None, ..at(phase) };
        let child = (phase == Phase::Spawning).then_some(Process { pid: 9, start: 0 });
        assert_eq!(left_behind(&none, 9), child, "{phase:?}");
        assert_eq!(left_behind(&none, 0), None, "{phase:?}");
        assert_eq!(left_behind(&Service { process: Some(MAIN), ..none }, 9), Some(MAIN), "{phase:?}");
    }
}
