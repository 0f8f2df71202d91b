//! What a supervisor makes of the state that a killed predecessor left.
//!
//! Owns: the pure part of taking over. Must never: act, or look for processes itself.

use super::{Beside, Ending, Event, Phase, Process, Reason, Service, Stage};
use crate::exit::Exit;
use crate::model::spec::Policy;
use crate::model::time::Time;
use crate::signal;

/// The process that may still run. `child` is the pid that a new process wrote into the record, 0 for none.
pub const fn left_behind(service: &Service, child: u32) -> Option<Process> {
    match (service.process, service.phase) {
        (Some(process), _) => Some(process),
        (None, Phase::Spawning) if child != 0 => Some(Process { pid: child, start: 0 }),
        (None, _) => None,
    }
}

/// Whether anything of a service may run, however its supervisor ended. Whoever is at rest has been seen to leave nothing.
pub const fn may_have_left(service: &Service) -> bool {
    match service.phase {
        Phase::Preparing
        | Phase::Spawning
        | Phase::Starting { .. }
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::Planning
        | Phase::Failed(Reason::Stray) => true,
        Phase::Waiting
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => {
            !matches!(service.beside, Beside::Nothing)
        }
    }
}

/// The state in which a service begins anew with another definition, once its supervisor has stopped it and left. What
/// others count by goes on.
pub fn renewed(old: &Service, want: bool, now: Time, policy: &Policy) -> Service {
    if old.phase == Phase::Failed(Reason::Stray) {
        // Nothing may start beside what could not be killed.
        return Service { want, shutdown: None, ..*old };
    }
    let Service { run, by_hand, reloads, .. } = *old;
    Service { run, by_hand, reloads, ..Service::new(want, now, policy) }
}

/// The state to go on with, and what happens first, once `left`, of [`left_behind`], and all jobs were killed.
/// `gone`: it has ended by now. What the predecessor was told to do is not undone.
pub fn take_over(service: Service, left: Option<Process>, gone: bool, now: Time) -> (Service, Option<Event>) {
    let service = Service { process: None, beside: Beside::Nothing, watchdog_at: Time::NEVER, ..service };
    if left.is_some() && !gone {
        // Nothing may start beside it.
        return (Service { phase: Phase::Failed(Reason::Stray), process: left, since: now, ..service }, None);
    }
    let killed = Event::Exited { exit: Exit::Signal(signal::KILL), alone: true, oom: false };
    match (service.phase, left, service.ending) {
        // It was killed before there was a process, or only the one of its hook.
        (Phase::Spawning, None, _) | (Phase::Preparing, _, _) => {
            (Service { phase: Phase::Waiting, since: now, ..service }, None)
        }
        (Phase::Spawning, Some(_), _) => {
            (Service { phase: Phase::Starting { deadline: Time::NEVER }, ..service }, Some(killed))
        }
        // It had seen the end, and recorded how, but not what follows.
        (
            Phase::Starting { .. } | Phase::Running | Phase::Stopping { stage: Stage::Drain | Stage::Main, .. },
            None,
            Some(Ending::Exited(exit)),
        ) => (service, Some(Event::Exited { exit, alone: true, oom: false })),
        (Phase::Starting { .. } | Phase::Running | Phase::Stopping { stage: Stage::Drain | Stage::Main, .. }, _, _)
        | (Phase::Stopping { .. } | Phase::Failed(Reason::Stray), Some(_), _) => (service, Some(killed)),
        // The rest of it is no longer this supervisor's; a hook that was begun is not begun again.
        (Phase::Stopping { stage: Stage::Rest | Stage::Kill | Stage::Post, .. }, None, _) => {
            (service, Some(Event::Empty))
        }
        (Phase::Planning, _, _) => (Service { beside: Beside::Due(now), ..service }, None),
        (
            Phase::Waiting
            | Phase::RestartPending { .. }
            | Phase::Scheduled { .. }
            | Phase::Planned { .. }
            | Phase::Stopped
            | Phase::Completed
            | Phase::Failed(_),
            _,
            _,
        ) => (service, None),
    }
}
