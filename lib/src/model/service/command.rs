//! What commands, a shutdown, and the service's own faults do: starts and stops.
//!
//! Owns: which deadline a stop has, and that each stop asks once. Must never: decide what follows an end.

use super::{Action, Beside, Fault, KILL_GRACE, Phase, Reason, Service, Shutdown, Stage, Then, beside};
use crate::model::spec::{Policy, StopScope};
use crate::model::time::{Span, Time};
use crate::signal;

/// A start by hand forgets what the policy has counted.
fn reset(service: &mut Service, once: bool) {
    service.want = true;
    service.streak = 0;
    service.restarts = 0;
    service.once = once;
}

pub(super) fn start(service: &mut Service, once: bool, now: Time) -> Option<Action> {
    match service.phase {
        Phase::Preparing | Phase::Spawning | Phase::Starting { .. } | Phase::Running => {
            service.want = true;
            service.once = once;
        }
        Phase::Waiting => reset(service, once),
        Phase::Stopping { stage, deadline, then: Then::Down | Then::Decide | Then::Again } => {
            reset(service, once);
            service.phase = Phase::Stopping { stage, deadline, then: Then::Start };
        }
        Phase::Stopping { then: Then::Start, .. } => service.once = once,
        Phase::Stopping { then: Then::Leave, .. } | Phase::Failed(Reason::Stray) => {}
        Phase::Planning => {
            reset(service, once);
            return leave_planning(service, Then::Start, Phase::Waiting, now);
        }
        Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => {
            reset(service, once);
            service.enter(Phase::Waiting, now);
        }
    }
    None
}

/// What works out the next slot is of no use any more: nothing follows before it is gone.
fn leave_planning(service: &mut Service, then: Then, phase: Phase, now: Time) -> Option<Action> {
    match service.beside {
        Beside::Job { .. } => kill(service, then, now),
        Beside::Nothing | Beside::Due(_) => {
            service.beside = Beside::Nothing;
            service.enter(phase, now);
            (then == Then::Leave).then_some(Action::Leave)
        }
    }
}

pub(super) fn stop(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    service.want = false;
    match service.phase {
        Phase::Stopping { then: Then::Leave, .. } => None,
        Phase::Stopping { stage, deadline, .. } => {
            service.phase = Phase::Stopping { stage, deadline, then: Then::Down };
            None
        }
        Phase::Preparing | Phase::Spawning | Phase::Starting { .. } | Phase::Running => {
            begin_stop(service, Then::Down, now, policy)
        }
        Phase::Planning => leave_planning(service, Then::Down, Phase::Stopped, now),
        Phase::Stopped | Phase::Failed(Reason::Stray) => None,
        Phase::Waiting
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planned { .. }
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => {
            service.enter(Phase::Stopped, now);
            None
        }
    }
}

pub(super) fn restart(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Preparing | Phase::Spawning | Phase::Starting { .. } | Phase::Running => {
            reset(service, false);
            service.by_hand = service.by_hand.saturating_add(1);
            begin_stop(service, Then::Start, now, policy)
        }
        // No process that could be replaced: a restart is a start, and one for those that follow restarts.
        Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => {
            service.by_hand = service.by_hand.saturating_add(1);
            start(service, false, now)
        }
        // It joins what is under way.
        Phase::Waiting | Phase::Stopping { .. } | Phase::Failed(Reason::Stray) => start(service, false, now),
    }
}

pub(super) fn shut_down(service: &mut Service, shutdown: Shutdown, now: Time, policy: &Policy) -> Option<Action> {
    // What it is wanted for stays: where only this supervisor leaves, its successor begins with that.
    service.shutdown = Some(shutdown);
    match service.phase {
        Phase::Preparing | Phase::Spawning | Phase::Starting { .. } | Phase::Running => {
            begin_stop(service, Then::Leave, now, policy)
        }
        // What was killed has as long for that as ever: zei-init waits a little beyond the budget.
        Phase::Stopping { stage: Stage::Kill, deadline, .. } => {
            service.phase = Phase::Stopping { stage: Stage::Kill, deadline, then: Then::Leave };
            None
        }
        // Asked already, and only once: what changes is how long it has and what follows.
        Phase::Stopping { stage, deadline, .. } => {
            service.phase = Phase::Stopping { stage, deadline: deadline.min(shutdown.deadline), then: Then::Leave };
            None
        }
        Phase::Planning => leave_planning(service, Then::Leave, Phase::Stopped, now),
        // Nothing may start any more.
        Phase::Waiting | Phase::RestartPending { .. } | Phase::Scheduled { .. } | Phase::Planned { .. } => {
            service.enter(Phase::Stopped, now);
            Some(Action::Leave)
        }
        Phase::Stopped | Phase::Completed | Phase::Failed(_) => Some(Action::Leave),
    }
}

/// When a stop that begins now becomes a kill.
pub(super) fn kill_at(service: &Service, now: Time, policy: &Policy) -> Time {
    match (service.shutdown, policy.stop_grace_period) {
        (None, _) => now.plus(policy.grace()),
        (Some(shutdown), Some(grace)) => now.plus(grace).min(shutdown.deadline),
        (Some(shutdown), None) => shutdown.deadline,
    }
}

/// Everything that is left of it is killed, a job as well.
pub(super) fn kill(service: &mut Service, then: Then, now: Time) -> Option<Action> {
    if let Beside::Job { kind, process, deadline, .. } = service.beside {
        service.beside = Beside::Job { kind, process, deadline, killed: true };
    }
    service.enter(Phase::Stopping { stage: Stage::Kill, deadline: now.plus(KILL_GRACE), then }, now);
    Some(Action::Kill)
}

/// The signal that asks it to end.
pub(super) fn stop_signal(service: &Service, policy: &Policy) -> u8 {
    service.shutdown.and_then(|shutdown| shutdown.signal).unwrap_or(policy.stop_signal)
}

/// A stop that was asked for: what is ready is drained first; what is not even made yet has only its hook to end.
fn begin_stop(service: &mut Service, then: Then, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Preparing => {
            let deadline = kill_at(service, now, policy);
            service.enter(Phase::Stopping { stage: Stage::Rest, deadline, then }, now);
            Some(Action::AskRest)
        }
        Phase::Running if policy.drain > Span(0) => {
            let budget = service.shutdown.map_or(Time::NEVER, |shutdown| shutdown.deadline);
            let deadline = now.plus(policy.drain).min(budget);
            service.watchdog_at = Time::NEVER;
            service.enter(Phase::Stopping { stage: Stage::Drain, deadline, then }, now);
            beside::quieten(service).then_some(Action::KillJob)
        }
        Phase::Waiting
        | Phase::Spawning
        | Phase::Starting { .. }
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => {
            let signal = stop_signal(service, policy);
            ask(service, then, signal, now, policy)
        }
    }
}

/// A stop that nobody asked for: what it is or does not do makes it fail.
pub(super) fn fall(
    service: &mut Service,
    fault: Fault,
    signal: u8,
    then: Then,
    now: Time,
    policy: &Policy,
) -> Option<Action> {
    service.fault = Some(fault);
    ask(service, then, signal, now, policy)
}

/// The stop signal, once.
pub(super) fn ask(service: &mut Service, then: Then, signal: u8, now: Time, policy: &Policy) -> Option<Action> {
    let deadline = kill_at(service, now, policy);
    service.watchdog_at = Time::NEVER;
    beside::quieten(service);
    if signal == signal::KILL {
        // There is nothing to wait for, and what is left behind goes with it.
        return kill(service, then, now);
    }
    service.asked = false;
    service.enter(Phase::Stopping { stage: Stage::Main, deadline, then }, now);
    // Its end may be known already, and not yet taken.
    service.process.map(|_| Action::Ask { signal, group: policy.stop_scope == StopScope::Group })
}

/// The stop signal was sent.
pub(super) fn asked(service: &mut Service) -> Option<Action> {
    if let Phase::Stopping { stage: Stage::Main, .. } = service.phase {
        service.asked = true;
    }
    None
}

/// A stop that a killed supervisor had begun goes on. Only what it surely has done is not done again.
pub(super) fn taken_over(service: &Service, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Stopping { stage: Stage::Main, .. } if !service.asked && service.process.is_some() => {
            let watchdog = service.fault == Some(Fault::Watchdog);
            let signal = if watchdog { signal::ABRT } else { stop_signal(service, policy) };
            Some(Action::Ask { signal, group: policy.stop_scope == StopScope::Group })
        }
        Phase::Stopping { stage: Stage::Rest, .. } => Some(Action::AskRest),
        // Of its hook nothing may be left, either.
        Phase::Stopping { stage: Stage::Kill | Stage::Post, .. } => Some(Action::Kill),
        Phase::Stopping { stage: Stage::Drain | Stage::Main, .. }
        | Phase::Waiting
        | Phase::Preparing
        | Phase::Spawning
        | Phase::Starting { .. }
        | Phase::Running
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => None,
    }
}
