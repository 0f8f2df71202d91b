//! Whether a dependency's condition holds.
//!
//! Owns: what a service's record says to those that wait for it. Must never: know how it is read.

use super::{Phase, Service};
use crate::model::spec::Condition;
use crate::protocol::status::Health;

/// What a record says about a condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It holds.
    Holds,
    /// It may come to hold.
    NotYet,
    /// The service failed for good: it holds only once somebody starts that again.
    Never,
}

/// What this service is to those that wait for the condition; `None`: nothing is recorded about it.
///
/// `service_started` holds as soon as the program runs, and not while its process is still being made, as that may
/// fail. It holds, too, for what ended well after a start: nobody shall wait for ever because he looked a moment late.
/// What ended well will not be healthy any more before somebody starts it again.
pub fn judge(condition: Condition, service: Option<&Service>) -> Standing {
    let Some(service) = service else { return Standing::NotYet };
    let holds = match (condition, service.phase) {
        (_, Phase::Failed(_)) => return Standing::Never,
        (Condition::Started, Phase::Starting { .. } | Phase::Running | Phase::Completed) => true,
        // Its last run may have been too short for anybody to see.
        (Condition::Started, Phase::Scheduled { .. }) => true,
        (Condition::Started, Phase::Planning | Phase::Planned { .. }) => service.run > 0,
        (Condition::Healthy, Phase::Running) => {
            service.is_ready() && matches!(service.health, Health::None | Health::Healthy)
        }
        (Condition::Healthy, Phase::Completed) => return Standing::Never,
        (Condition::Completed, Phase::Completed) => true,
        (Condition::Completed, Phase::Scheduled { .. } | Phase::Planning | Phase::Planned { .. }) => service.succeeded,
        (
            Condition::Started | Condition::Healthy | Condition::Completed,
            Phase::Waiting
            | Phase::Preparing
            | Phase::Spawning
            | Phase::Starting { .. }
            | Phase::Running
            | Phase::Stopping { .. }
            | Phase::RestartPending { .. }
            | Phase::Scheduled { .. }
            | Phase::Planning
            | Phase::Planned { .. }
            | Phase::Stopped,
        ) => false,
    };
    if holds { Standing::Holds } else { Standing::NotYet }
}
