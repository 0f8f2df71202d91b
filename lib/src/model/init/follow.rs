//! Restarts that follow from a dependency's (`restart: true` in `depends_on`).
//!
//! Owns: who is restarted along with whom, and that no such restart is lost or done twice. Must never: restart what
//! does not run: that waits for its dependencies anyway.

use super::member::Turn;
use super::{Effect, Tree};
use crate::model::service::{Phase, Reason, Service, is_under_way};
use crate::model::time::{Span, Time};

/// It is told again so long after the first time, and so long after each other time.
const SOON: Span = Span::seconds(1);
const LATER: Span = Span::seconds(10);

/// A restart that was ordered. It is told again, as the supervisor may have died with it or have had no room for it,
/// until the run is seen to be over. As it is about that run, being told twice does no harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// The run that it ends.
    pub run: u32,
    /// When it is told again.
    pub again_at: Time,
}

impl Tree {
    /// The services that are restarted along with this one.
    pub fn followers(&self, index: usize) -> impl Iterator<Item = usize> {
        let follows =
            move |other: &usize| self.members.get(*other).is_some_and(|member| member.node.follows.contains(&index));
        self.dependents(index).iter().copied().filter(follows)
    }

    /// What this service's change means for restarts: that one of it has begun, or that of others is due.
    pub(super) fn follow(&mut self, index: usize, service: &Service, now: Time, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(index) else { return };
        member.order.take_if(|order| order.run != service.run || !is_under_way(service));
        let by_hand = core::mem::replace(&mut member.by_hand, service.by_hand);
        if service.by_hand <= by_hand {
            return;
        }
        let followers: Vec<usize> = self.followers(index).collect();
        for follower in followers {
            // What begins anew does so anyway.
            let Some(member) = self.members.get_mut(follower).filter(|member| member.turn == Turn::None) else {
                continue;
            };
            let Some(own) = member.service.filter(|own| is_under_way(own) && !began_after(own, service)) else {
                continue;
            };
            if member.order.is_none() {
                member.order = Some(Order { run: own.run, again_at: now.plus(SOON) });
                effects.push(Effect::Restart { index: follower, run: own.run });
            }
        }
    }

    /// Tells again what was not followed yet.
    pub(super) fn tell_again(&mut self, now: Time, effects: &mut Vec<Effect>) {
        for (index, member) in self.members.iter_mut().enumerate() {
            if let Some(order) = member.order.as_mut().filter(|order| order.again_at <= now) {
                order.again_at = now.plus(LATER);
                effects.push(Effect::Restart { index, run: order.run });
            }
        }
    }

    /// It can't be told at all.
    pub(super) fn forget_restart(&mut self, index: usize) {
        if let Some(member) = self.members.get_mut(index) {
            member.order = None;
        }
    }
}

/// The restart of the other is seen so late that this run began only after it.
fn began_after(service: &Service, other: &Service) -> bool {
    match other.phase {
        // It has not begun again.
        Phase::Stopping { .. }
        | Phase::Waiting
        | Phase::Stopped
        | Phase::Failed(Reason::Dependency(_) | Reason::Stray) => false,
        Phase::Preparing
        | Phase::Spawning
        | Phase::Starting { .. }
        | Phase::Running
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp) => service.began >= other.began,
    }
}
