//! How runs end, and what the policy makes of it.
//!
//! Owns: the way from a main process's end to nothing left, `post_stop`, and the decision. Must never: let
//! anything follow while something of the run is left.

use super::{
    Action, Beside, Ending, Failure, Fault, HOOK_TIMEOUT, Kind, Phase, Reason, SCARCITY, Service, SpawnStage, Stage,
    Then, beside, command,
};
use crate::exit::Exit;
use crate::model::backoff;
use crate::model::spec::{Policy, Restart, StopScope, Timer};
use crate::model::time::{Span, Time};
use crate::protocol::status::Health;
use crate::signal;

pub(super) fn exited(
    service: &mut Service,
    exit: Exit,
    alone: bool,
    oom: bool,
    now: Time,
    policy: &Policy,
) -> Option<Action> {
    service.process = None;
    service.ending = Some(Ending::Exited(exit));
    service.watchdog_at = Time::NEVER;
    // What never was up has not been up for long, and what outlived it does not count.
    if service.up != Time::NEVER && now.since(service.up) >= policy.reset_after {
        service.streak = 0;
    }
    match service.phase {
        Phase::Spawning | Phase::Starting { .. } | Phase::Running => {
            if oom && exit == Exit::Signal(signal::KILL) {
                service.fault = Some(Fault::OutOfMemory);
            } else if service.phase != Phase::Running && policy.ready.is_some() {
                service.fault = Some(Fault::NotReady);
            }
            leave_nothing(service, now.plus(policy.grace()), Then::Decide, alone, now, policy)
        }
        Phase::Stopping { stage: Stage::Drain, then, .. } => {
            leave_nothing(service, command::kill_at(service, now, policy), then, alone, now, policy)
        }
        Phase::Stopping { stage: Stage::Main, deadline, then } => {
            leave_nothing(service, deadline, then, alone, now, policy)
        }
        Phase::Stopping { stage: Stage::Rest | Stage::Kill | Stage::Post, then, .. } => {
            if alone {
                finish(service, then, now, policy)
            } else {
                reaped(service)
            }
        }
        Phase::Failed(Reason::Stray) => {
            if alone {
                no_stray(service, now);
            }
            None
        }
        // Without a main process none can end.
        Phase::Waiting
        | Phase::Preparing
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => None,
    }
}

/// What survived the kill is gone after all: the service can be started again.
fn no_stray(service: &mut Service, now: Time) {
    service.beside = Beside::Nothing;
    if service.want {
        // The end for good was then, not now.
        service.phase = Phase::Failed(Reason::Ended);
    } else {
        service.enter(Phase::Stopped, now);
    }
}

/// The main process has ended: nothing of the service may stay behind before anything follows.
fn leave_nothing(
    service: &mut Service,
    deadline: Time,
    then: Then,
    alone: bool,
    now: Time,
    policy: &Policy,
) -> Option<Action> {
    if alone {
        return finish(service, then, now, policy);
    }
    beside::quieten(service);
    match policy.stop_scope {
        StopScope::Tree => {
            service.enter(Phase::Stopping { stage: Stage::Rest, deadline, then }, now);
            Some(Action::AskRest)
        }
        StopScope::Process | StopScope::Group => command::kill(service, then, now),
    }
}

pub(super) fn reaped(service: &Service) -> Option<Action> {
    match service.phase {
        // A killed parent may have left children that the sweep before did not see.
        Phase::Stopping { stage: Stage::Kill, .. } => Some(Action::Kill),
        // Or made others in the moment that it was asked in: they are asked, too.
        Phase::Stopping { stage: Stage::Rest, .. } => Some(Action::AskRest),
        Phase::Stopping { stage: Stage::Drain | Stage::Main | Stage::Post, .. }
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

pub(super) fn empty(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Stopping { then, .. } if service.process.is_none() => finish(service, then, now, policy),
        Phase::Failed(Reason::Stray) => {
            service.process = None;
            no_stray(service, now);
            None
        }
        Phase::Stopping { .. }
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
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => None,
    }
}

/// Nothing of it is left: `post_stop`, once for each run, then what follows.
pub(super) fn finish(service: &mut Service, then: Then, now: Time, policy: &Policy) -> Option<Action> {
    service.process = None;
    beside::forget_reload(service);
    service.beside = Beside::Nothing;
    service.probe_at = Time::NEVER;
    service.health = Health::None;
    match policy.post_stop.filter(|_| service.post_due) {
        Some(hook) => {
            service.post_due = false;
            let budget = service.shutdown.map_or(Time::NEVER, |shutdown| shutdown.deadline);
            let deadline = now.plus(hook.timeout.unwrap_or(HOOK_TIMEOUT)).min(budget);
            service.enter(Phase::Stopping { stage: Stage::Post, deadline, then }, now);
            // The stage has the deadline.
            beside::order(service, Kind::PostStop, Time::NEVER)
        }
        None => follow(service, then, now, policy),
    }
}

pub(super) fn follow(service: &mut Service, then: Then, now: Time, policy: &Policy) -> Option<Action> {
    match then {
        Then::Decide => decide(service, now, policy),
        // Once is once, sick or not.
        Then::Again if service.once => decide(service, now, policy),
        Then::Again => again(service, now, policy),
        Then::Down => service.enter(Phase::Stopped, now),
        Then::Start => service.enter(Phase::Waiting, now),
        Then::Leave => {
            service.enter(Phase::Stopped, now);
            return Some(Action::Leave);
        }
    }
    None
}

/// Nobody asked for this end: what does the policy say?
fn decide(service: &mut Service, now: Time, policy: &Policy) {
    if let Some(Ending::NotStarted(Failure { stage: SpawnStage::Process, .. })) = service.ending {
        // No room for a process (fork(2), EAGAIN, ENOMEM) is not the service's failure.
        return service.enter(Phase::RestartPending { at: now.plus(policy.restart_delay.max(SCARCITY)) }, now);
    }
    let well = service.ended_well();
    service.succeeded |= well;
    let starts_again = match policy.restart {
        _ if service.once => false,
        Restart::Never => false,
        Restart::OnFailure => !well,
        Restart::Always => true,
    };
    match policy.timer.filter(|_| !service.once) {
        Some(Timer::Interval(interval)) => service.enter(Phase::Scheduled { at: now.plus(interval) }, now),
        Some(Timer::Schedule { .. }) => beside::plan(service, now),
        None if !starts_again && well => service.enter(Phase::Completed, now),
        None if !starts_again => service.enter(Phase::Failed(Reason::Ended), now),
        None => again(service, now, policy),
    }
}

/// A restart by policy, unless they are used up.
fn again(service: &mut Service, now: Time, policy: &Policy) {
    if policy.max_restarts > 0 && service.streak >= policy.max_restarts {
        return service.enter(Phase::Failed(Reason::GaveUp), now);
    }
    let delay = backoff::delay(policy, service.streak, now.0 ^ u64::from(service.run).rotate_left(32));
    service.streak = service.streak.saturating_add(1);
    service.restarts = service.restarts.saturating_add(1);
    let phase = match (delay, service.ending, service.fault) {
        (Span(0), Some(Ending::Exited(_)), None) => Phase::Waiting,
        // A start that fails at once is tried again only after a look at signals and commands.
        (delay, _, _) => Phase::RestartPending { at: now.plus(delay) },
    };
    service.enter(phase, now);
}
