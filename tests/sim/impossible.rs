//! The pairs of phase and event that no schedule can lead to, each with the reason. They are asserted not to happen.

use crate::reached::{EventName, PhaseName, StageName, TreeEventName};

/// Why this event can't come in this phase; `None`: it can.
pub fn why(phase: PhaseName, event: EventName) -> Option<&'static str> {
    use EventName as E;
    use PhaseName as P;
    let is_at_rest = matches!(
        phase,
        P::Waiting
            | P::RestartPending
            | P::Scheduled
            | P::Planning
            | P::Planned
            | P::Stopped
            | P::Completed
            | P::FailedEnded
            | P::FailedGaveUp
            | P::FailedDependency
    );
    let spawns = matches!(event, E::Spawned | E::NotSpawned);
    match (phase, event) {
        (P::Spawning, _) => (!spawns).then_some("a process is made in one go"),
        (_, E::Spawned | E::NotSpawned) => Some("no process was ordered"),
        (P::Waiting, E::DependenciesPending) => Some("that is no news"),
        (P::Waiting | P::FailedDependency, E::DependenciesMet | E::DependenciesPending | E::DependencyFailed) => None,
        (_, E::DependenciesMet | E::DependenciesPending | E::DependencyFailed) => Some("nobody looks"),
        (P::Starting | P::Running | P::Drain | P::Main | P::Kill | P::FailedStray, E::Exited) => None,
        (_, E::Exited) => Some("there is no main process"),
        (P::Main, E::Asked) => None,
        (_, E::Asked) => Some("no stop signal was sent"),
        (P::Starting | P::Running | P::Drain | P::Main | P::Rest | P::Kill, E::TakenOver) => None,
        (P::Post, E::TakenOver) => Some("what a hook has left is killed before that"),
        (_, E::TakenOver) => Some("there is nothing to go on with"),
        (P::Planning, E::JobBegan | E::JobNotBegan | E::JobEnded | E::Slot) | (P::Kill, E::Slot) => None,
        (P::Preparing | P::Starting | P::Running | P::Post, E::JobBegan | E::JobNotBegan) => None,
        (_, E::JobBegan | E::JobNotBegan) => Some("no job was ordered"),
        (_, E::Slot) => Some("nobody plans"),
        (P::Planned, E::SlotCame) => None,
        (_, E::SlotCame) => Some("the alarm is not set"),
        (P::FailedStray, E::JobEnded) => Some("its jobs were killed, and ended, before it was given up"),
        (P::Starting | P::Running | P::Drain | P::Main, E::Empty) => Some("there is a main process"),
        (P::Preparing, E::Empty) => Some("its hook runs"),
        (_, E::JobEnded) if is_at_rest => Some("nobody waits for that job any more"),
        // A successor that is told of an orphan's end looks at what is left, whatever it does by then.
        (P::Planning, E::Reaped) => None,
        (_, E::Reaped) if is_at_rest => Some("nothing can be left but what has planned, and that is alone"),
        (_, E::MainIs) if is_at_rest || matches!(phase, P::Preparing | P::Post) => Some("nothing of it lives"),
        (P::FailedGaveUp | P::FailedStray, E::ClockSet) => Some("the alarm was taken down long before"),
        (P::Scheduled, E::ClockSet) => Some("an interval takes no notice of it"),
        (P::Waiting | P::Planned | P::Stopped | P::Completed, E::Timer)
        | (P::FailedEnded | P::FailedGaveUp | P::FailedDependency | P::FailedStray, E::Timer) => {
            Some("it has no deadline")
        }
        _ => None,
    }
}

/// Why this event can't come in this stage of the tree; `None`: it can.
pub fn why_not_in_tree(stage: StageName, event: TreeEventName) -> Option<&'static str> {
    use StageName as S;
    use TreeEventName as E;
    match (stage, event) {
        (S::Stopping | S::Emptying, E::NotRestarted) => Some("no restart is ordered any more"),
        _ => None,
    }
}
