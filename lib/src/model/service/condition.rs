//! Whether a dependency's condition holds.
//!
//! Owns: what a service's record says to those that wait for it. Must never: know how it is read.

use super::{Phase, Reason, Service};
use crate::model::spec::Condition;
use crate::model::time::Time;
use crate::protocol::status::{Health, State};

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

/// What others go by: zei-init, and those that wait for it. They are told when it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    state: State,
    /// One that has failed anew has failed at another time, or in another run.
    failed: Option<(Reason, Time, u32)>,
    standings: [Standing; 3],
    by_hand: u32,
    unhealthy: bool,
}

impl Told {
    /// As the service stands.
    pub fn of(service: &Service) -> Told {
        Told {
            state: match service.state() {
                State::Starting | State::RestartPending => State::Waiting,
                State::Stopping => State::Running,
                other => other,
            },
            failed: match service.phase {
                Phase::Failed(reason) => Some((reason, service.since, service.run)),
                _ => None,
            },
            standings: [Condition::Started, Condition::Healthy, Condition::Completed]
                .map(|condition| judge(condition, Some(service))),
            by_hand: service.by_hand,
            unhealthy: service.health == Health::Unhealthy,
        }
    }

    /// Whether anybody wants to know: of what ceases to hold nobody does, as it is looked at again before a start.
    pub fn is_news_after(&self, before: &Told) -> bool {
        let news = |(new, old): (&Standing, &Standing)| new != old && *new != Standing::NotYet;
        self.state != before.state
            || self.failed != before.failed
            || self.by_hand != before.by_hand
            || self.unhealthy != before.unhealthy
            || self.standings.iter().zip(&before.standings).any(news)
    }
}
