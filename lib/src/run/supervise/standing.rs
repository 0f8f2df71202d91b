//! What zei-init has to know about a service.
//!
//! Must never: change where nothing has that zei-init, or a dependent, would act on.

use crate::model::service::Service;
use crate::protocol::status::{Health, State};

/// What zei-init has to know about a service; it is told when this changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    place: Rank,
    health: Health,
    ready: bool,
    by_hand: u32,
}

/// Where it stands, as far as others act on that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rank {
    /// On its way up.
    Coming,
    /// There is a process.
    Up,
    /// Between two runs by a timer.
    Timed,
    /// Over for good.
    Ended,
    /// Not wanted.
    Held,
}

impl Standing {
    /// Of a service that nothing is known of.
    pub const NONE: Standing = Standing { place: Rank::Coming, health: Health::None, ready: false, by_hand: 0 };

    /// As it stands.
    pub fn of(service: &Service) -> Standing {
        let place = match service.state() {
            State::Waiting | State::Starting | State::RestartPending => Rank::Coming,
            State::Running | State::Stopping => Rank::Up,
            State::Scheduled => Rank::Timed,
            State::Completed | State::Failed => Rank::Ended,
            State::Stopped => Rank::Held,
        };
        Standing { place, health: service.health, ready: service.is_ready(), by_hand: service.by_hand }
    }
}
