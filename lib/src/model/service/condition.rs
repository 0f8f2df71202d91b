//! Whether a dependency's condition holds.
//!
//! Owns: what a service's record says to those that wait for it. Must never: know how it is read.

use super::{Phase, Service};
use crate::model::spec::Condition;

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
pub const fn judge(condition: Condition, service: Option<&Service>) -> Standing {
    let Some(service) = service else { return Standing::NotYet };
    let (started, completed) = match service.phase {
        Phase::Running => (true, false),
        Phase::Completed => (true, true),
        // Its last run may have been too short for anybody to see.
        Phase::Scheduled { .. } => (true, service.succeeded),
        Phase::Failed(_) => return Standing::Never,
        Phase::Waiting | Phase::Starting | Phase::Stopping { .. } | Phase::RestartPending { .. } | Phase::Stopped => {
            (false, false)
        }
    };
    let holds = match condition {
        Condition::Started => started,
        Condition::Completed => completed,
    };
    if holds { Standing::Holds } else { Standing::NotYet }
}
