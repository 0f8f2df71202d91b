//! What a supervisor makes of the state that a killed predecessor left.
//!
//! Owns: the pure part of taking over. Must never: act, or look for processes itself.

use super::step::step;
use super::{Ending, Event, Phase, Process, Reason, Service, Stage};
use crate::exit::Exit;
use crate::model::spec::Policy;
use crate::model::time::Time;
use crate::signal;

/// The process that may still run. `child` is the pid that a new process wrote into the record, 0 for none.
pub const fn left_behind(service: &Service, child: u32) -> Option<Process> {
    match (service.process, service.phase) {
        (Some(process), _) => Some(process),
        (None, Phase::Starting) if child != 0 => Some(Process { pid: child, start: 0 }),
        (None, _) => None,
    }
}

/// The state to go on with, once `left`, of [`left_behind`], was killed. `gone`: it has ended by now. What
/// the predecessor was told to do is not undone; a supervisor that was leaving is told so again.
pub fn take_over(service: Service, left: Option<Process>, gone: bool, now: Time, policy: &Policy) -> Service {
    if left.is_some() && !gone {
        // Nothing may start beside it.
        return Service { phase: Phase::Failed(Reason::Stray), process: left, since: now, ..service };
    }
    let killed = Event::Exited { exit: Exit::Signal(signal::KILL), alone: true };
    let (service, event) = match (service.phase, left, service.ending) {
        // It was killed before there was a process.
        (Phase::Starting, None, _) => return Service { phase: Phase::Waiting, since: now, ..service },
        (Phase::Starting, Some(_), _) => (Service { phase: Phase::Running, process: left, ..service }, killed),
        // It had seen the end, and recorded how, but not what follows.
        (Phase::Running | Phase::Stopping { stage: Stage::Main, .. }, None, Some(Ending::Exited(exit))) => {
            (service, Event::Exited { exit, alone: true })
        }
        (Phase::Running | Phase::Stopping { stage: Stage::Main, .. }, None, _) => (service, killed),
        (Phase::Running | Phase::Stopping { .. } | Phase::Failed(Reason::Stray), Some(_), _) => (service, killed),
        // The rest of it is no longer this supervisor's.
        (Phase::Stopping { stage: Stage::Rest | Stage::Kill, .. }, None, _) => (service, Event::Empty),
        (
            Phase::Waiting
            | Phase::RestartPending { .. }
            | Phase::Scheduled { .. }
            | Phase::Stopped
            | Phase::Completed
            | Phase::Failed(_),
            _,
            _,
        ) => return service,
    };
    step(service, event, now, policy).0
}
