//! One step of a service's life.
//!
//! Owns: what each event does in each phase. Must never: have a catch-all arm in a `match` on phase
//! and event: a new event must be thought about in every phase.

use super::{
    Action, Ending, Event, Failure, KILL_GRACE, Phase, Process, Reason, SCARCITY, Service, Shutdown, SpawnStage, Stage,
    Then,
};
use crate::exit::Exit;
use crate::model::spec::{Policy, Restart, StopScope};
use crate::model::time::{Span, Time};
use crate::signal;

/// One step of a service's life. `None`: nothing is to be done beyond recording the new state.
pub fn step(mut service: Service, event: Event, now: Time, policy: &Policy) -> (Service, Option<Action>) {
    let action = match event {
        Event::DependenciesMet => dependencies_met(&mut service, now),
        Event::DependencyFailed(index) => dependency_failed(&mut service, index, now),
        Event::Spawned(process) => spawned(&mut service, process, now),
        Event::NotSpawned(failure) => not_spawned(&mut service, failure, now, policy),
        Event::Exited { exit, alone } => exited(&mut service, exit, alone, now, policy),
        Event::Reaped => reaped(&service),
        Event::Empty => empty(&mut service, now, policy),
        Event::Timer => timer(&mut service, now),
        Event::Start => start(&mut service, now),
        Event::Stop => stop(&mut service, now, policy),
        Event::Restart => restart(&mut service, now, policy),
        Event::Shutdown(shutdown) => shut_down(&mut service, shutdown, now, policy),
    };
    (service, action)
}

fn dependencies_met(service: &mut Service, now: Time) -> Option<Action> {
    match service.phase {
        Phase::Waiting | Phase::Failed(Reason::Dependency(_)) => {
            service.enter(Phase::Starting, now);
            service.began = now;
            service.run = service.run.saturating_add(1);
            Some(Action::Spawn)
        }
        // Nobody was waiting for them.
        Phase::Starting
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Stray) => None,
    }
}

fn dependency_failed(service: &mut Service, index: u16, now: Time) -> Option<Action> {
    match service.phase {
        Phase::Waiting | Phase::Failed(Reason::Dependency(_)) => {
            let phase = Phase::Failed(Reason::Dependency(index));
            if service.phase != phase {
                service.enter(phase, now);
            }
        }
        Phase::Starting
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Stray) => {}
    }
    None
}

fn spawned(service: &mut Service, process: Process, now: Time) -> Option<Action> {
    match service.phase {
        Phase::Starting => {
            service.process = Some(process);
            service.enter(Phase::Running, now);
        }
        // A spawn is answered before anything else happens.
        Phase::Waiting
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => {}
    }
    None
}

fn not_spawned(service: &mut Service, failure: Failure, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Starting => {
            service.ending = Some(Ending::NotStarted(failure));
            if failure.stage == SpawnStage::Process {
                // No room for a process (fork(2), EAGAIN, ENOMEM) is not the service's failure.
                service.enter(Phase::RestartPending { at: now.plus(policy.restart_delay.max(SCARCITY)) }, now);
                return None;
            }
            decide(service, now, policy)
        }
        Phase::Waiting
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => None,
    }
}

fn exited(service: &mut Service, exit: Exit, alone: bool, now: Time, policy: &Policy) -> Option<Action> {
    service.process = None;
    service.ending = Some(Ending::Exited(exit));
    // A process that never was one has not been up, and what outlived it does not count.
    if now.since(service.began) >= policy.reset_after {
        service.streak = 0;
    }
    match service.phase {
        Phase::Starting | Phase::Running => {
            leave_nothing(service, now.plus(policy.grace()), Then::Decide, alone, now, policy)
        }
        Phase::Stopping { stage: Stage::Main, deadline, then } => {
            leave_nothing(service, deadline, then, alone, now, policy)
        }
        Phase::Stopping { stage: Stage::Rest | Stage::Kill, then, .. } => {
            if alone {
                ended(service, then, now, policy)
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
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => None,
    }
}

/// What survived the kill is gone after all: the service can be started again.
fn no_stray(service: &mut Service, now: Time) {
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
        return ended(service, then, now, policy);
    }
    match policy.stop_scope {
        StopScope::Tree => {
            service.enter(Phase::Stopping { stage: Stage::Rest, deadline, then }, now);
            Some(Action::AskRest)
        }
        StopScope::Process | StopScope::Group => {
            service.enter(Phase::Stopping { stage: Stage::Kill, deadline: now.plus(KILL_GRACE), then }, now);
            Some(Action::Kill)
        }
    }
}

fn reaped(service: &Service) -> Option<Action> {
    match service.phase {
        // A killed parent may have left children that the sweep before did not see.
        Phase::Stopping { stage: Stage::Kill, .. } => Some(Action::Kill),
        // Or made others in the moment that it was asked in: they are asked, too.
        Phase::Stopping { stage: Stage::Rest, .. } => Some(Action::AskRest),
        Phase::Stopping { stage: Stage::Main, .. }
        | Phase::Waiting
        | Phase::Starting
        | Phase::Running
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => None,
    }
}

fn empty(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Stopping { then, .. } if service.process.is_none() => ended(service, then, now, policy),
        Phase::Failed(Reason::Stray) => {
            service.process = None;
            no_stray(service, now);
            None
        }
        Phase::Stopping { .. }
        | Phase::Waiting
        | Phase::Starting
        | Phase::Running
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => None,
    }
}

/// Nothing of it is left.
fn ended(service: &mut Service, then: Then, now: Time, policy: &Policy) -> Option<Action> {
    service.process = None;
    match then {
        Then::Decide => decide(service, now, policy),
        Then::Down => {
            service.enter(Phase::Stopped, now);
            None
        }
        Then::Start => {
            service.enter(Phase::Waiting, now);
            None
        }
        Then::Leave => {
            service.enter(Phase::Stopped, now);
            Some(Action::Leave)
        }
    }
}

/// Nobody asked for this end: what does the policy say?
fn decide(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    let well = service.ending.is_some_and(Ending::is_success);
    service.succeeded |= well;
    let again = match policy.restart {
        Restart::Never => false,
        Restart::OnFailure => !well,
        Restart::Always => true,
    };
    let phase = match policy.interval {
        Some(interval) => Phase::Scheduled { at: now.plus(interval) },
        None if !again && well => Phase::Completed,
        None if !again => Phase::Failed(Reason::Ended),
        None if policy.max_restarts > 0 && service.streak >= policy.max_restarts => Phase::Failed(Reason::GaveUp),
        None => {
            service.streak = service.streak.saturating_add(1);
            service.restarts = service.restarts.saturating_add(1);
            match (policy.restart_delay, service.ending) {
                (Span(0), Some(Ending::Exited(_))) => Phase::Waiting,
                // A start that fails at once is tried again only after a look at signals and commands.
                (delay, _) => Phase::RestartPending { at: now.plus(delay) },
            }
        }
    };
    service.enter(phase, now);
    None
}

fn timer(service: &mut Service, now: Time) -> Option<Action> {
    if service.deadline().is_none_or(|deadline| now < deadline) {
        return None;
    }
    match service.phase {
        Phase::RestartPending { .. } | Phase::Scheduled { .. } => {
            service.enter(Phase::Waiting, now);
            None
        }
        Phase::Stopping { stage: Stage::Main | Stage::Rest, then, .. } => {
            service.enter(Phase::Stopping { stage: Stage::Kill, deadline: now.plus(KILL_GRACE), then }, now);
            Some(Action::Kill)
        }
        Phase::Stopping { stage: Stage::Kill, then, .. } => {
            service.enter(Phase::Failed(Reason::Stray), now);
            (then == Then::Leave).then_some(Action::Leave)
        }
        // They have no deadline.
        Phase::Waiting | Phase::Starting | Phase::Running | Phase::Stopped | Phase::Completed | Phase::Failed(_) => {
            None
        }
    }
}

/// A start by hand forgets what the policy has counted.
fn reset(service: &mut Service) {
    service.want = true;
    service.streak = 0;
    service.restarts = 0;
}

fn start(service: &mut Service, now: Time) -> Option<Action> {
    match service.phase {
        Phase::Starting | Phase::Running => service.want = true,
        Phase::Waiting => reset(service),
        Phase::Stopping { stage, deadline, then: Then::Down | Then::Decide } => {
            reset(service);
            service.phase = Phase::Stopping { stage, deadline, then: Then::Start };
        }
        Phase::Stopping { then: Then::Start | Then::Leave, .. } => {}
        Phase::Failed(Reason::Stray) => {}
        Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => {
            reset(service);
            service.enter(Phase::Waiting, now);
        }
    }
    None
}

fn stop(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Stopping { then: Then::Leave, .. } => None,
        Phase::Stopping { stage, deadline, then: Then::Down | Then::Start | Then::Decide } => {
            service.want = false;
            service.phase = Phase::Stopping { stage, deadline, then: Then::Down };
            None
        }
        Phase::Starting | Phase::Running => {
            service.want = false;
            ask(service, Then::Down, now.plus(policy.grace()), policy.stop_signal, now, policy)
        }
        Phase::Failed(Reason::Stray) => {
            service.want = false;
            None
        }
        Phase::Waiting
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => {
            service.want = false;
            if service.phase != Phase::Stopped {
                service.enter(Phase::Stopped, now);
            }
            None
        }
    }
}

fn restart(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Starting | Phase::Running => {
            reset(service);
            ask(service, Then::Start, now.plus(policy.grace()), policy.stop_signal, now, policy)
        }
        // No process that could be replaced: a restart is a start, and joins one under way.
        Phase::Waiting
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => start(service, now),
    }
}

fn shut_down(service: &mut Service, shutdown: Shutdown, now: Time, policy: &Policy) -> Option<Action> {
    let deadline = match policy.stop_grace_period {
        Some(grace) => now.plus(grace).min(shutdown.deadline),
        None => shutdown.deadline,
    };
    service.want = false;
    match service.phase {
        Phase::Starting | Phase::Running => {
            let signal = shutdown.signal.unwrap_or(policy.stop_signal);
            ask(service, Then::Leave, deadline, signal, now, policy)
        }
        // Asked already, and only once: what changes is how long it has and what follows.
        Phase::Stopping { stage, deadline: own, .. } => {
            service.phase = Phase::Stopping { stage, deadline: own.min(shutdown.deadline), then: Then::Leave };
            None
        }
        // Nothing may start any more.
        Phase::Waiting | Phase::RestartPending { .. } | Phase::Scheduled { .. } => {
            service.enter(Phase::Stopped, now);
            Some(Action::Leave)
        }
        Phase::Stopped | Phase::Completed | Phase::Failed(_) => Some(Action::Leave),
    }
}

/// The stop signal, once.
fn ask(service: &mut Service, then: Then, deadline: Time, signal: u8, now: Time, policy: &Policy) -> Option<Action> {
    service.enter(Phase::Stopping { stage: Stage::Main, deadline, then }, now);
    if signal == signal::KILL {
        // There is nothing to wait for, and what is left behind goes with it.
        service.phase = Phase::Stopping { stage: Stage::Kill, deadline: now.plus(KILL_GRACE), then };
        return Some(Action::Kill);
    }
    Some(Action::Ask { signal, group: policy.stop_scope == StopScope::Group })
}
