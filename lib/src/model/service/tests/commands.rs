//! Commands and the shutdown, in every phase.

use super::*;

fn do_step(phase: Phase, event: Event) -> (Service, Option<Action>) {
    step(at(phase), event, NOW, &Policy::default())
}

const ASK: Action = Action::Ask { signal: signal::TERM, group: false };

/// What `ask` leads to, with the grace of a stop by hand.
const fn asked(then: Then) -> Phase {
    Phase::Stopping { stage: Stage::Main, deadline: NOW.plus(Span::seconds(10)), then }
}

const fn ended(stage: Stage, then: Then) -> Phase {
    Phase::Stopping { stage, deadline: NOW.plus(Span::seconds(10)), then }
}

#[test]
fn a_stop_in_every_phase_ends_it_or_lets_its_end_stand() {
    for phase in every_phase() {
        let (service, action) = do_step(phase, Event::Stop);
        let (expected, wanted) = match phase {
            Phase::Preparing => (ended(Stage::Rest, Then::Down), Some(Action::AskRest)),
            // There is nobody to ask yet: a spawn is answered first.
            Phase::Spawning => (asked(Then::Down), None),
            Phase::Starting { .. } | Phase::Running => (asked(Then::Down), Some(ASK)),
            Phase::Planning => (ended(Stage::Kill, Then::Down), Some(Action::Kill)),
            Phase::Stopping { then: Then::Leave, .. } | Phase::Failed(Reason::Stray) => (phase, None),
            Phase::Stopping { stage, .. } => (stopping(stage, Then::Down), None),
            _ => (Phase::Stopped, None),
        };
        assert_eq!((service.phase, action, service.want), (expected, wanted, false), "{phase:?}");
        assert_eq!(step(service, Event::Stop, NOW, &Policy::default()), (service, None), "a second time");
    }
}

#[test]
fn a_start_in_every_phase_leads_to_a_process_or_leaves_one_alone() {
    for phase in every_phase() {
        let (service, action) = do_step(phase, Event::Start);
        let expected = match phase {
            phase if BUSY.contains(&phase) => phase,
            Phase::Failed(Reason::Stray) => phase,
            Phase::Planning => ended(Stage::Kill, Then::Start),
            Phase::Stopping { then: Then::Leave, .. } => phase,
            Phase::Stopping { stage, .. } => stopping(stage, Then::Start),
            _ => Phase::Waiting,
        };
        let wanted = (phase == Phase::Planning).then_some(Action::Kill);
        assert_eq!((service.phase, action), (expected, wanted), "{phase:?}");
        assert_eq!(service.want, !matches!(phase, Phase::Stopping { then: Then::Leave, .. }), "{phase:?}");
    }
}

#[test]
fn a_start_by_hand_forgets_what_the_policy_has_counted() {
    for phase in resting().into_iter().filter(|phase| *phase != Phase::Failed(Reason::Stray)) {
        let service = do_step(phase, Event::Start).0;
        assert_eq!((service.streak, service.restarts), (0, 0), "{phase:?}");
    }
    let service = do_step(Phase::Running, Event::Restart).0;
    assert_eq!((service.streak, service.restarts), (0, 0));
    let service = do_step(Phase::Running, Event::Start).0;
    assert_eq!((service.streak, service.restarts), (2, 2), "nothing was started");
}

#[test]
fn a_restart_in_every_phase_replaces_the_process_or_is_a_start() {
    for phase in every_phase() {
        let (service, action) = do_step(phase, Event::Restart);
        if BUSY.contains(&phase) {
            let (expected, wanted) = match phase {
                Phase::Preparing => (ended(Stage::Rest, Then::Start), Some(Action::AskRest)),
                Phase::Spawning => (asked(Then::Start), None),
                _ => (asked(Then::Start), Some(ASK)),
            };
            assert_eq!((service.phase, action, service.want, service.by_hand), (expected, wanted, true, 1));
        } else {
            let joins = matches!(phase, Phase::Waiting | Phase::Stopping { .. } | Phase::Failed(Reason::Stray));
            let (started, wanted) = do_step(phase, Event::Start);
            let counted = Service { by_hand: u32::from(!joins), ..started };
            assert_eq!((service, action), (counted, wanted), "{phase:?}");
        }
    }
}

#[test]
fn a_shutdown_in_every_phase_leaves_at_once_or_once_nothing_is_left() {
    let budget = Time(NOW.0 + 2000);
    let by = |stage, deadline| Phase::Stopping { stage, deadline, then: Then::Leave };
    for phase in every_phase() {
        let shutdown = Event::Shutdown(Shutdown { deadline: budget, signal: None });
        let (service, action) = do_step(phase, shutdown);
        let (expected, order) = match phase {
            Phase::Preparing => (by(Stage::Rest, budget), Some(Action::AskRest)),
            Phase::Spawning => (by(Stage::Main, budget), None),
            Phase::Starting { .. } | Phase::Running => (by(Stage::Main, budget), Some(ASK)),
            Phase::Planning => (by(Stage::Kill, NOW.plus(KILL_GRACE)), Some(Action::Kill)),
            // What was killed has as long to be gone as ever.
            Phase::Stopping { stage: Stage::Kill, .. } => (by(Stage::Kill, SOON), None),
            // Asked already: only the time and what follows change.
            Phase::Stopping { stage, .. } => (Phase::Stopping { stage, deadline: budget, then: Then::Leave }, None),
            Phase::Completed | Phase::Failed(_) => (phase, Some(Action::Leave)),
            _ => (Phase::Stopped, Some(Action::Leave)),
        };
        // Whoever goes on with it knows what was commanded last.
        let wanted = at(phase).want;
        assert_eq!((service.phase, action, service.want), (expected, order, wanted), "{phase:?}");
    }
}

#[test]
fn at_a_shutdown_a_service_has_its_own_grace_within_the_budget_or_all_of_it() {
    for (own, budget, expected) in
        [(None, 30, 30), (Some(5), 30, 5), (Some(60), 30, 30), (None, 3, 3), (Some(0), 30, 0)]
    {
        let policy = Policy { stop_grace_period: own.map(Span::seconds), ..Policy::default() };
        let shutdown = Shutdown { deadline: NOW.plus(Span::seconds(budget)), signal: None };
        let (service, _) = step(at(Phase::Running), Event::Shutdown(shutdown), NOW, &policy);
        assert_eq!(service.deadline(), Some(NOW.plus(Span::seconds(expected))));
        // A stop under way keeps its own deadline where that is sooner.
        let (service, _) = step(at(stopping(Stage::Main, Then::Down)), Event::Shutdown(shutdown), NOW, &policy);
        assert_eq!(service.deadline(), Some(SOON.min(shutdown.deadline)));
    }
}

#[test]
fn the_command_is_asked_with_the_signal_that_began_the_shutdown() {
    let shutdown = Shutdown { deadline: SOON, signal: Some(signal::INT) };
    let (_, action) = do_step(Phase::Running, Event::Shutdown(shutdown));
    assert_eq!(action, Some(Action::Ask { signal: signal::INT, group: false }));
}

#[test]
fn the_stop_signal_goes_to_whom_the_scope_says_once_a_stop() {
    for (scope, group) in [(StopScope::Tree, false), (StopScope::Process, false), (StopScope::Group, true)] {
        let policy = Policy { stop_scope: scope, stop_signal: signal::QUIT, ..Policy::default() };
        let (mut service, action) = step(at(Phase::Running), Event::Stop, NOW, &policy);
        assert_eq!(action, Some(Action::Ask { signal: signal::QUIT, group }));
        let shutdown = Event::Shutdown(Shutdown { deadline: SOON, signal: Some(signal::TERM) });
        for event in [Event::Stop, Event::Start, Event::Restart, Event::Stop, shutdown, shutdown, Event::Restart] {
            let (next, action) = step(service, event, NOW, &policy);
            assert_eq!(action, None, "{event:?}");
            service = next;
        }
    }
}

#[test]
fn a_stop_signal_of_kill_is_the_kill_itself() {
    let policy = Policy { stop_signal: signal::KILL, ..Policy::default() };
    let shutdown = Event::Shutdown(Shutdown { deadline: SOON, signal: None });
    for (event, then) in [(Event::Stop, Then::Down), (Event::Restart, Then::Start), (shutdown, Then::Leave)] {
        let (service, action) = step(at(Phase::Running), event, NOW, &policy);
        assert_eq!(action, Some(Action::Kill));
        assert_eq!(service.phase, Phase::Stopping { stage: Stage::Kill, deadline: NOW.plus(KILL_GRACE), then });
    }
}

#[test]
fn the_outcome_of_every_goal_stands_or_is_open_in_every_phase() {
    use Outcome::{Ended, Leaving, Overtaken, Stuck, True};
    for phase in every_phase() {
        let up = match phase {
            Phase::Running => Some(True),
            Phase::Waiting | Phase::Preparing | Phase::Spawning | Phase::Starting { .. } => None,
            Phase::Failed(Reason::Stray) => Some(Stuck),
            Phase::Stopping { then: Then::Start, .. } => None,
            Phase::Stopping { then: Then::Down, .. } | Phase::Stopped => Some(Overtaken),
            Phase::Stopping { then: Then::Leave, .. } => Some(Leaving),
            _ => Some(Ended),
        };
        let down = match phase {
            Phase::Failed(Reason::Stray) => Some(Stuck),
            Phase::Stopped | Phase::Completed | Phase::Failed(_) => Some(True),
            Phase::Stopping { then: Then::Down | Then::Leave, .. } => None,
            _ => Some(Overtaken),
        };
        let service = at(phase);
        assert_eq!(outcome(Goal::Up, service.run, &service), up, "{phase:?}");
        assert_eq!(outcome(Goal::Fresh, service.run - 1, &service), up, "{phase:?}");
        // The process that is there is older than the command.
        let old = if phase == Phase::Running { None } else { up };
        assert_eq!(outcome(Goal::Fresh, service.run, &service), old, "{phase:?}");
        assert_eq!(outcome(Goal::Down, service.run, &service), down, "{phase:?}");
        let joins = matches!(phase, Phase::Waiting | Phase::Stopping { then: Then::Start, .. });
        assert_eq!(joins_a_start(&service), joins, "{phase:?}");
    }
}
