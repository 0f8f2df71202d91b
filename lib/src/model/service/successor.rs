//! What a supervisor makes of the state that a killed predecessor left.
//!
//! Owns: the pure part of taking over. Must never: act, or look for processes itself.

use super::{Beside, Ending, Event, Failure, KILL_GRACE, Kind, Phase, Process, Reason, Service, Stage, Then};
use crate::exit::Exit;
use crate::model::spec::Policy;
use crate::model::time::Time;
use crate::signal;

/// The main process that a predecessor had made. `child`: the pid that a new process wrote into the record, 0 for none.
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
/// others count by goes on, and so does what was commanded last; `starts`: it is wanted in any case.
pub fn renewed(old: &Service, starts: bool, now: Time, policy: &Policy) -> Service {
    let want = old.want || starts;
    if old.phase == Phase::Failed(Reason::Stray) {
        // Nothing may start beside what could not be killed.
        return Service { want, shutdown: None, ..*old };
    }
    let Service { run, by_hand, reloads, .. } = *old;
    Service { run, by_hand, reloads, ..Service::new(want, now, policy) }
}

/// What has become of the main process of a predecessor, of [`left_behind`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Main {
    /// There was none, or its end is in the record.
    None,
    /// It runs, or its end is not known yet.
    Runs(Process),
    /// It has ended since.
    Ended(Process, Exit),
    /// It never became the program.
    NotMade(Failure),
}

/// The state to go on with, and what happens first, one after the other. The jobs of the predecessor were killed, the
/// service itself goes on. `left`: something of it other than the main process is there, and [`Event::Empty`] is due once
/// that is gone.
pub fn take_over(
    service: Service,
    main: Main,
    left: bool,
    now: Time,
    policy: &Policy,
) -> (Service, [Option<Event>; 2]) {
    let ended = |exit| Event::Exited { exit, alone: !left, oom: false };
    // What that was killed in is begun again, unless its time was up.
    let post_due =
        service.post_due || matches!(service.beside, Beside::Job { kind: Kind::PostStop, killed: false, .. });
    let beside = without_job(&service, now);
    let service = Service { beside, post_due, reload_due: false, probe_at: Time::NEVER, ..service };
    match (service.phase, main) {
        // The hook was killed; the process was not made yet.
        (Phase::Preparing, _) => begin_again(service, left, now),
        (Phase::Spawning, Main::None) => {
            // Nobody has seen anything of that run; one whose hook has begun was seen, and commands count by it.
            let unseen = u32::from(policy.pre_start.is_none());
            begin_again(Service { run: service.run.saturating_sub(unseen), ..service }, left, now)
        }
        (Phase::Spawning, Main::Runs(process)) => (service, [Some(Event::Spawned(process)), None]),
        (Phase::Spawning, Main::Ended(process, exit)) => (service, [Some(Event::Spawned(process)), Some(ended(exit))]),
        (Phase::Spawning, Main::NotMade(failure)) => (service, [Some(Event::NotSpawned(failure)), None]),
        (
            Phase::Starting { .. } | Phase::Running | Phase::Stopping { .. } | Phase::Failed(Reason::Stray),
            Main::Ended(_, exit),
        ) => (service, [Some(ended(exit)), None]),
        (Phase::Starting { .. } | Phase::Running | Phase::Stopping { .. }, Main::Runs(_)) => {
            (service, [Some(Event::TakenOver), None])
        }
        // How it ended is in the record, which names no main process any more.
        (
            Phase::Starting { .. } | Phase::Running | Phase::Stopping { stage: Stage::Drain | Stage::Main, .. },
            Main::None | Main::NotMade(_),
        ) => {
            let exit = match service.ending {
                Some(Ending::Exited(exit)) => exit,
                Some(Ending::NotStarted(_)) | None => Exit::Signal(signal::KILL),
            };
            (service, [Some(ended(exit)), None])
        }
        (Phase::Stopping { stage: Stage::Rest | Stage::Kill | Stage::Post, .. }, Main::None | Main::NotMade(_)) => {
            (service, [Some(if left { Event::TakenOver } else { Event::Empty }), None])
        }
        (Phase::Failed(Reason::Stray), Main::None | Main::NotMade(_)) => {
            (service, [(!left).then_some(Event::Empty), None])
        }
        (Phase::Failed(Reason::Stray), Main::Runs(_))
        | (
            Phase::Waiting
            | Phase::RestartPending { .. }
            | Phase::Scheduled { .. }
            | Phase::Planning
            | Phase::Planned { .. }
            | Phase::Stopped
            | Phase::Completed
            | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)),
            _,
        ) => (service, [None, None]),
    }
}

/// The predecessor's job is gone: what it would have found out is looked for again.
const fn without_job(service: &Service, now: Time) -> Beside {
    let goes_on = matches!(service.phase, Phase::Starting { .. } | Phase::Running | Phase::Planning);
    match service.beside {
        Beside::Job { kind: Kind::Ready | Kind::Health | Kind::Plan, .. } if goes_on => Beside::Due(now),
        Beside::Job { kind: Kind::Reload, .. } if goes_on && service.probe_at.0 != Time::NEVER.0 => {
            Beside::Due(service.probe_at)
        }
        Beside::Job { .. } => Beside::Nothing,
        Beside::Nothing | Beside::Due(_) => service.beside,
    }
}

/// A start that had come to nothing begins once more, when nothing of it is left.
fn begin_again(service: Service, left: bool, now: Time) -> (Service, [Option<Event>; 2]) {
    let (phase, first) = if left {
        let deadline = now.plus(KILL_GRACE);
        (Phase::Stopping { stage: Stage::Kill, deadline, then: Then::Start }, Some(Event::TakenOver))
    } else {
        (Phase::Waiting, None)
    };
    (Service { phase, since: now, post_due: false, ..service }, [first, None])
}
