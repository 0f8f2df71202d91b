//! A tree that goes on in another process: what of it can't be read elsewhere.
//!
//! Must never: hold what stands in the plan or in the run records.

use super::follow::Order;
use super::member::{Member, Supervisor, Turn};
use super::{Node, Stage, Terms, Tree, Verdict};
use crate::model::time::Time;

/// A service in a tree that neither changes nor ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat {
    /// Whether its supervisor runs.
    pub alive: bool,
    /// Since when it does, or when it is to be replaced.
    pub at: Time,
    /// How often it was replaced in a row.
    pub tries: u32,
    /// How many of its restarts by hand are known.
    pub by_hand: u32,
    /// A restart that was ordered: of which run, and when it is told again.
    pub order: Option<(u32, Time)>,
}

impl Seat {
    fn of(member: &Member) -> Option<Seat> {
        let (alive, at, tries) = match (&member.turn, member.supervisor) {
            (Turn::Vacant, _) => return None,
            (_, Supervisor::Alive(at)) => (true, at, 0),
            (_, Supervisor::Replaced(at, tries)) => (true, at, tries),
            (_, Supervisor::Dead(at, tries)) => (false, at, tries),
            (_, Supervisor::Gone) => (false, Time(0), 0),
        };
        let order = member.order.map(|order| (order.run, order.again_at));
        Some(Seat { alive, at, tries, by_hand: member.by_hand, order })
    }

    fn member(&self, node: Node) -> Member {
        let supervisor = match (self.alive, self.tries) {
            (true, 0) => Supervisor::Alive(self.at),
            (true, tries) => Supervisor::Replaced(self.at, tries),
            (false, tries) => Supervisor::Dead(self.at, tries),
        };
        let order = self.order.map(|(run, again_at)| Order { run, again_at });
        Member { by_hand: self.by_hand, order, ..Member::new(node, supervisor, Turn::None) }
    }
}

impl Tree {
    /// Its services by their indices, `None` where there is none; or nothing at all while it changes or ends.
    pub fn seats(&self) -> Option<Vec<Option<Seat>>> {
        let stays = !self.changing && matches!(self.stage, Stage::Booting | Stage::Running);
        stays.then(|| self.members.iter().map(Seat::of).collect())
    }

    /// Goes on with a tree of these nodes and seats. Each service's record is to be told as [`super::Event::Changed`]
    /// at once.
    pub fn resume(nodes: Vec<Option<Node>>, terms: Terms, booting: bool, seats: &[Option<Seat>]) -> Tree {
        let member = |(node, seat): (Option<Node>, &Option<Seat>)| match (node, seat) {
            (Some(node), Some(seat)) => seat.member(node),
            _ => Member::vacant(),
        };
        let members = nodes.into_iter().zip(seats).map(member).collect();
        let Terms { command, signals, budget, exit } = terms;
        let stage = if booting { Stage::Booting } else { Stage::Running };
        let verdict = Verdict::asked(Time(0));
        let mut tree = Tree { members, command, signals, exit, budget, stage, verdict, changing: false };
        tree.connect();
        tree
    }
}
