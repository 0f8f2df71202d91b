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

/// The state to go on with, and what happens first, once `left`, of [`left_behind`], and all else of the service was
/// killed. `gone`: nothing of it is left by now; where something is, that is `left`, if it is known, and [`Event::Empty`]
/// is due once it is gone after all. What the predecessor was told to do is not undone.
pub fn take_over(service: Service, left: Option<Process>, gone: bool, now: Time) -> (Service, Option<Event>) {
    let end_was_seen = service.process.is_none();
    let service = Service {
        process: None,
        beside: Beside::Nothing,
        probe_at: Time::NEVER,
        reload_due: false,
        watchdog_at: Time::NEVER,
        ..service
    };
    if !gone {
        // Nothing may start beside it.
        let killed = Some(Ending::Exited(Exit::Signal(signal::KILL)));
        let ending = if end_was_seen { service.ending } else { killed };
        return (Service { phase: Phase::Failed(Reason::Stray), process: left, ending, since: now, ..service }, None);
    }
    let killed = Event::Exited { exit: Exit::Signal(signal::KILL), alone: true, oom: false };
    // How it ended is known where that was recorded, and the record names no main process any more.
    let ended = match service.ending {
        Some(Ending::Exited(exit)) if end_was_seen => Event::Exited { exit, alone: true, oom: false },
        _ => killed,
    };
    match (service.phase, left) {
        // It was killed before there was a process, or only the one of its hook.
        (Phase::Spawning, None) | (Phase::Preparing, _) => {
            (Service { phase: Phase::Waiting, since: now, ..service }, None)
        }
        (Phase::Spawning, Some(_)) => {
            (Service { phase: Phase::Starting { deadline: Time::NEVER }, ..service }, Some(killed))
        }
        (Phase::Starting { .. } | Phase::Running | Phase::Stopping { stage: Stage::Drain | Stage::Main, .. }, _) => {
            (service, Some(ended))
        }
        // A hook that was begun is not begun again.
        (Phase::Stopping { stage: Stage::Rest | Stage::Kill | Stage::Post, .. } | Phase::Failed(Reason::Stray), _) => {
            (service, Some(if end_was_seen { Event::Empty } else { killed }))
        }
        (Phase::Planning, _) => (Service { beside: Beside::Due(now), ..service }, None),
        (
            Phase::Waiting
            | Phase::RestartPending { .. }
            | Phase::Scheduled { .. }
            | Phase::Planned { .. }
            | Phase::Stopped
            | Phase::Completed
            | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)),
            _,
        ) => (service, None),
    }
}
