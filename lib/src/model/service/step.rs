//! One step of a service's life.
//!
//! Owns: what each event does in each phase; beginnings and deadlines are here, ends in `end`, jobs and what a
//! service says of itself in `beside`, commands in `command`. Must never: have a catch-all arm in a `match` on
//! phase and event: a new event must be thought about in every phase.

use super::{
    Action, Beside, Ending, Event, Failure, Fault, Kind, Notice, Phase, Process, Reason, Service, SpawnStage, Stage,
    Then, beside, command, end,
};
use crate::model::spec::{Policy, Ready};
use crate::model::time::{Span, Time};
use crate::protocol::status::Health;
use crate::signal;

/// One step of a service's life. `None`: nothing is to be done beyond recording the new state.
pub fn step(mut service: Service, event: Event, now: Time, policy: &Policy) -> (Service, Option<Action>) {
    let own = &mut service;
    let action = match event {
        Event::DependenciesMet => dependencies_met(own, now, policy),
        Event::DependenciesPending => dependencies_pending(own, now),
        Event::DependencyFailed(index) => dependency_failed(own, index, now),
        Event::Spawned(process) => spawned(own, process, now, policy),
        Event::NotSpawned(failure) => not_spawned(own, failure, now, policy),
        Event::Exited { exit, alone, oom } => end::exited(own, exit, alone, oom, now, policy),
        Event::Reaped => end::reaped(own),
        Event::Empty => end::empty(own, now, policy),
        Event::JobBegan(process) => beside::began(own, process),
        Event::JobNotBegan(failure) => beside::not_began(own, failure, now, policy),
        Event::JobEnded(exit) => beside::ended(own, exit, now, policy),
        Event::Slot(slot) => beside::slot(own, slot, now),
        Event::SlotCame(wall) => beside::slot_came(own, wall, now, policy),
        Event::ClockSet(wall) => beside::clock_set(own, wall, now, policy),
        Event::Ready => beside::ready(own, now, policy),
        Event::Notice(notice) => beside::notice(own, notice),
        Event::Alive => beside::alive(own, now),
        Event::Ailing => beside::ailing(own, now, policy),
        Event::WatchdogSet(span) => beside::watchdog_set(own, span, now),
        Event::Extend(span) => extend(own, span, now),
        Event::MainIs(process) => main_is(own, process),
        Event::Timer => timer(own, now, policy),
        Event::Start => command::start(own, false, now),
        Event::Once => command::start(own, true, now),
        Event::Stop => command::stop(own, now, policy),
        Event::Restart => command::restart(own, now, policy),
        Event::Reload => beside::reload(own, now, policy),
        Event::Shutdown(shutdown) => command::shut_down(own, shutdown, now, policy),
        Event::Asked => command::asked(own),
        Event::TakenOver => command::taken_over(own, policy),
    };
    (service, action)
}

fn dependencies_met(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Waiting | Phase::Failed(Reason::Dependency(_)) => {
            service.began = now;
            service.up = Time::NEVER;
            service.run = service.run.saturating_add(1);
            service.fault = None;
            service.notice = Notice::None;
            service.post_due = policy.post_stop.is_some();
            service.watchdog = policy.watchdog.unwrap_or(Span(0));
            match policy.pre_start {
                Some(hook) => {
                    service.enter(Phase::Preparing, now);
                    let deadline = hook.timeout.map_or(Time::NEVER, |timeout| now.plus(timeout));
                    beside::order(service, Kind::PreStart, deadline)
                }
                None => spawn(service, now),
            }
        }
        // Nobody was waiting for them.
        Phase::Preparing
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
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Stray) => None,
    }
}

pub(super) fn spawn(service: &mut Service, now: Time) -> Option<Action> {
    service.enter(Phase::Spawning, now);
    Some(Action::Spawn)
}

fn dependency_failed(service: &mut Service, index: u16, now: Time) -> Option<Action> {
    match service.phase {
        Phase::Waiting | Phase::Failed(Reason::Dependency(_)) => {
            let phase = Phase::Failed(Reason::Dependency(index));
            if service.phase != phase {
                service.enter(phase, now);
            }
        }
        Phase::Preparing
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
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Stray) => {}
    }
    None
}

fn dependencies_pending(service: &mut Service, now: Time) -> Option<Action> {
    if let Phase::Failed(Reason::Dependency(_)) = service.phase {
        service.enter(Phase::Waiting, now);
    }
    None
}

fn spawned(service: &mut Service, process: Process, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Spawning => {
            service.process = Some(process);
            let deadline = policy.ready_timeout.map_or(Time::NEVER, |timeout| now.plus(timeout));
            match policy.ready {
                None => come_up(service, now, policy),
                Some(Ready::Told) => service.enter(Phase::Starting { deadline }, now),
                Some(Ready::Asked { .. }) => {
                    service.enter(Phase::Starting { deadline }, now);
                    service.beside = Beside::Due(now);
                }
            }
        }
        // A spawn is answered before anything else happens.
        Phase::Waiting
        | Phase::Preparing
        | Phase::Starting { .. }
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => {}
    }
    None
}

/// It runs, and is ready.
pub(super) fn come_up(service: &mut Service, now: Time, policy: &Policy) {
    service.enter(Phase::Running, now);
    service.up = now;
    service.failures = 0;
    service.probe_at = Time::NEVER;
    if service.watchdog > Span(0) {
        service.watchdog_at = now.plus(service.watchdog);
    }
    if let Some(health) = policy.health {
        service.health = Health::Starting;
        beside::probe_at(service, now.plus(beside::pause(service, &health, now)));
    }
}

fn not_spawned(service: &mut Service, failure: Failure, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Spawning => {
            service.ending = Some(Ending::NotStarted(failure));
            if policy.pre_start.is_some() {
                // What that has left goes first; that nothing is left is told next.
                let deadline = now.plus(policy.grace());
                service.enter(Phase::Stopping { stage: Stage::Rest, deadline, then: Then::Decide }, now);
                return Some(Action::AskRest);
            }
            fail_to_start(service, failure, now, policy)
        }
        Phase::Waiting
        | Phase::Preparing
        | Phase::Starting { .. }
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => None,
    }
}

/// Nothing of the run was ever made, and the policy decides.
pub(super) fn fail_to_start(service: &mut Service, failure: Failure, now: Time, policy: &Policy) -> Option<Action> {
    service.ending = Some(Ending::NotStarted(failure));
    // Where there was no room for a process there is none for `post_stop`, nor anything to clear away.
    service.post_due &= failure.stage != SpawnStage::Process;
    end::finish(service, Then::Decide, now, policy)
}

fn extend(service: &mut Service, span: Span, now: Time) -> Option<Action> {
    let later = |deadline: Time| deadline.max(now.plus(span));
    match service.phase {
        Phase::Starting { deadline } => service.phase = Phase::Starting { deadline: later(deadline) },
        Phase::Stopping { stage: stage @ (Stage::Main | Stage::Rest), deadline, then } => {
            // The budget of all is not for one to extend.
            let deadline = service.shutdown.map_or(Time::NEVER, |shutdown| shutdown.deadline).min(later(deadline));
            service.phase = Phase::Stopping { stage, deadline, then };
        }
        Phase::Stopping { stage: Stage::Drain | Stage::Kill | Stage::Post, .. }
        | Phase::Waiting
        | Phase::Preparing
        | Phase::Spawning
        | Phase::Running
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => {}
    }
    None
}

fn main_is(service: &mut Service, process: Process) -> Option<Action> {
    match service.phase {
        Phase::Starting { .. } | Phase::Running => service.process = Some(process),
        // It is being ended, main process or not.
        Phase::Stopping { .. } => {}
        // It has no process.
        Phase::Waiting
        | Phase::Preparing
        | Phase::Spawning
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => {}
    }
    None
}

/// The first that is due; the runner comes back as long as something is.
fn timer(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Starting { deadline } if deadline <= now => {
            return command::fall(service, Fault::NotReady, policy.stop_signal, Then::Decide, now, policy);
        }
        Phase::RestartPending { at } | Phase::Scheduled { at } if at <= now => {
            service.enter(Phase::Waiting, now);
            return None;
        }
        Phase::Stopping { stage, deadline, then } if deadline <= now => {
            return stop_on(service, stage, then, now, policy);
        }
        Phase::Starting { .. } | Phase::RestartPending { .. } | Phase::Scheduled { .. } | Phase::Stopping { .. } => {}
        // They have no deadline of their own.
        Phase::Waiting
        | Phase::Preparing
        | Phase::Spawning
        | Phase::Running
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => {}
    }
    if service.watchdog_at <= now {
        return command::fall(service, Fault::Watchdog, signal::ABRT, Then::Decide, now, policy);
    }
    match service.beside {
        Beside::Due(at) if at <= now => beside::due(service, now, policy),
        Beside::Job { kind, process, deadline, killed: false } if deadline <= now => {
            service.beside = Beside::Job { kind, process, deadline, killed: true };
            Some(Action::KillJob)
        }
        Beside::Nothing | Beside::Due(_) | Beside::Job { .. } => None,
    }
}

/// The next stage of a stop.
fn stop_on(service: &mut Service, stage: Stage, then: Then, now: Time, policy: &Policy) -> Option<Action> {
    match stage {
        Stage::Drain => {
            let signal = command::stop_signal(service, policy);
            command::ask(service, then, signal, now, policy)
        }
        Stage::Main | Stage::Rest | Stage::Post => command::kill(service, then, now),
        Stage::Kill => {
            service.enter(Phase::Failed(Reason::Stray), now);
            (then == Then::Leave).then_some(Action::Leave)
        }
    }
}
