//! A service as the tree sees it, and the state of its supervisor.

use super::Node;
use super::follow::Order;
use crate::model::service::{Phase, Service, Then};
use crate::model::time::{Span, Time};

/// A supervisor that dies again sooner than this is replaced less eagerly.
pub const STEADY: Span = Span::seconds(10);

/// Where a supervisor stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Supervisor {
    /// It runs, since then.
    Alive(Time),
    /// It died and is to be replaced then; how often it has died in a row.
    Dead(Time, u32),
    /// It was replaced that often in a row, and runs since then.
    Replaced(Time, u32),
    /// It has left in order.
    Gone,
}

/// What a change of the tree does to a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Nothing.
    None,
    /// Its supervisor is to stop it and leave.
    Retiring {
        /// What follows.
        then: Retirement,
        /// Those that depended on it and leave, too: they go first.
        dependents: Vec<usize>,
        /// It was told so.
        told: bool,
    },
    /// Its supervisor is to be started once nothing that it depends on is retiring.
    Due,
    /// There is no such service.
    Vacant,
}

/// What follows when a supervisor has left because the tree has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retirement {
    /// Another supervisor, with another definition.
    Renew {
        /// Wanted in any case; else as it was when its supervisor left.
        starts: bool,
    },
    /// Nothing: the service is gone.
    Remove,
}

/// A service of the tree.
#[derive(Clone, Debug)]
pub struct Member {
    /// What the configuration says of it.
    pub node: Node,
    /// Indices of what depends on it.
    pub dependents: Vec<usize>,
    /// Its supervisor.
    pub supervisor: Supervisor,
    /// As it was last seen in its record.
    pub service: Option<Service>,
    /// How many of its restarts by hand are known.
    pub by_hand: u32,
    /// A restart of it that follows from another's, and is not known to have begun.
    pub order: Option<Order>,
    /// Its supervisor was told to leave.
    pub dismissed: bool,
    /// What a change of the tree does to it.
    pub turn: Turn,
}

impl Member {
    /// One whose supervisor is in this state.
    pub const fn new(node: Node, supervisor: Supervisor, turn: Turn) -> Member {
        Member {
            node,
            dependents: Vec::new(),
            supervisor,
            service: None,
            by_hand: 0,
            order: None,
            dismissed: false,
            turn,
        }
    }

    /// One that is not there.
    pub fn vacant() -> Member {
        Member::new(Node::default(), Supervisor::Gone, Turn::Vacant)
    }

    /// It is on its way out.
    pub fn is_retiring(&self) -> bool {
        matches!(self.turn, Turn::Retiring { .. })
    }

    /// Its supervisor leaves because the tree has changed, as soon as it can.
    pub fn is_leaving(&self) -> bool {
        matches!(self.turn, Turn::Retiring { told: true, .. })
    }

    /// Those that must have left before it is told to leave.
    pub fn holders(&self) -> &[usize] {
        match &self.turn {
            Turn::Retiring { dependents, .. } => dependents,
            Turn::None | Turn::Due | Turn::Vacant => &self.dependents,
        }
    }

    /// Whether it is up, or nobody waits for that.
    pub fn has_come_up(&self) -> bool {
        let coming = |service: Service| match service.phase {
            Phase::Waiting
            | Phase::Preparing
            | Phase::Spawning
            | Phase::Starting { .. }
            | Phase::RestartPending { .. } => true,
            // What comes after that tells.
            Phase::Stopping { then, .. } => !matches!(then, Then::Down | Then::Leave),
            Phase::Running
            | Phase::Scheduled { .. }
            | Phase::Planning
            | Phase::Planned { .. }
            | Phase::Stopped
            | Phase::Completed
            | Phase::Failed(_) => false,
        };
        !self.node.wanted || self.service.is_some_and(|service| !coming(service))
    }
}

/// At once, then after a second each time.
pub const fn delay(tries: u32) -> Span {
    match tries {
        0 => Span(0),
        _ => Span::seconds(1),
    }
}
