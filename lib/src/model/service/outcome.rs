//! How a command came out, seen in the service's own state.
//!
//! Owns: when a wait ends, and with what. Must never: leave a wait open on a phase that nothing moves.

use super::{Beside, Kind, Phase, Reason, Service, Then};

/// What a command asked for, so far as its outcome is seen in the service's own state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goal {
    /// It runs.
    Up,
    /// It runs in a process started after the command.
    Fresh,
    /// It does not run.
    Down,
    /// Its reload command has ended.
    Reloaded,
}

/// How a command came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As asked for.
    True,
    /// The start was followed by an end, or never happened: [`Service::ending`] and the phase say why.
    Ended,
    /// A later command wants the opposite.
    Overtaken,
    /// The tree shuts down.
    Leaving,
    /// Something of it can't be killed.
    Stuck,
    /// Its reload command has failed.
    NotReloaded,
    /// It does not run, so there is nothing to reload.
    NotRunning,
}

/// Whether a goal has been reached; `None`: not decided yet. `run` is the number of starts before the command, or of
/// reloads for [`Goal::Reloaded`].
pub fn outcome(goal: Goal, run: u32, service: &Service) -> Option<Outcome> {
    match (goal, service.phase) {
        (_, Phase::Failed(Reason::Stray)) => Some(Outcome::Stuck),
        (Goal::Reloaded, _) => reloaded(run, service),
        (Goal::Up, Phase::Running) => Some(Outcome::True),
        (Goal::Fresh, Phase::Running) => (service.run > run).then_some(Outcome::True),
        (Goal::Up | Goal::Fresh, Phase::Waiting | Phase::Preparing | Phase::Spawning | Phase::Starting { .. }) => None,
        (Goal::Up | Goal::Fresh, Phase::Stopping { then: Then::Start, .. }) => None,
        (Goal::Up | Goal::Fresh, Phase::Stopped) if service.shutdown.is_some() => Some(Outcome::Leaving),
        (Goal::Up | Goal::Fresh, Phase::Stopping { then: Then::Down, .. } | Phase::Stopped) => Some(Outcome::Overtaken),
        (Goal::Up | Goal::Fresh, Phase::Stopping { then: Then::Decide | Then::Again, .. }) => Some(Outcome::Ended),
        (Goal::Up | Goal::Fresh, Phase::Stopping { then: Then::Leave, .. }) => Some(Outcome::Leaving),
        (
            Goal::Up | Goal::Fresh,
            Phase::RestartPending { .. }
            | Phase::Scheduled { .. }
            | Phase::Planning
            | Phase::Planned { .. }
            | Phase::Completed
            | Phase::Failed(_),
        ) => Some(Outcome::Ended),
        (Goal::Down, Phase::Stopped | Phase::Completed | Phase::Failed(_)) => Some(Outcome::True),
        (Goal::Down, Phase::Stopping { then: Then::Down | Then::Leave, .. }) => None,
        (
            Goal::Down,
            Phase::Stopping { then: Then::Start | Then::Decide | Then::Again, .. }
            | Phase::Waiting
            | Phase::Preparing
            | Phase::Spawning
            | Phase::Starting { .. }
            | Phase::Running
            | Phase::RestartPending { .. }
            | Phase::Scheduled { .. }
            | Phase::Planning
            | Phase::Planned { .. },
        ) => Some(Outcome::Overtaken),
    }
}

fn reloaded(reloads: u32, service: &Service) -> Option<Outcome> {
    if service.reloads > reloads {
        return Some(if service.reloaded { Outcome::True } else { Outcome::NotReloaded });
    }
    match service.phase {
        Phase::Starting { .. } | Phase::Running => None,
        Phase::Stopping { then: Then::Leave, .. } => Some(Outcome::Leaving),
        Phase::Waiting
        | Phase::Preparing
        | Phase::Spawning
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => Some(Outcome::NotRunning),
    }
}

/// What [`outcome`] wants to know of the service as it stood when the command was accepted.
pub const fn count_before(goal: Goal, service: &Service) -> u32 {
    match goal {
        Goal::Up | Goal::Fresh | Goal::Down => service.run,
        // One that runs now has begun before.
        Goal::Reloaded => {
            service.reloads + if matches!(service.beside, Beside::Job { kind: Kind::Reload, .. }) { 1 } else { 0 }
        }
    }
}

/// Whether a run has begun and is not being ended: what a restart would do.
pub const fn is_under_way(service: &Service) -> bool {
    match service.phase {
        Phase::Preparing | Phase::Spawning | Phase::Starting { .. } | Phase::Running => true,
        Phase::Waiting
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => false,
    }
}

/// Whether a restart accepted now joins a start that is under way already.
pub const fn joins_a_start(service: &Service) -> bool {
    matches!(service.phase, Phase::Waiting | Phase::Stopping { then: Then::Start, .. })
}
