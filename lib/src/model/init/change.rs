//! The tree becomes another one while it runs.
//!
//! Owns: the order of a change: dependents stop first, what is new starts when nothing that it depends on is on its way
//! out. Must never: touch a service whose fate is to stay.
//!
//! From [`Tree::apply`] on the tree is the new one. What of the old one is still there leaves, whatever happens: there is
//! no way back, and a supervisor that is killed meanwhile is replaced and goes on leaving.

use super::member::{Member, Retirement, Supervisor, Turn};
use super::{Effect, Node, Stage, Tree};
use crate::model::change::Fate;
use crate::model::spec::{ExitRule, SignalMap};
use crate::model::time::{Span, Time};

/// What holds for the tree as a whole.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The command's index.
    pub command: Option<usize>,
    /// What is done with a signal.
    pub signals: SignalMap,
    /// The budget of a shutdown.
    pub budget: Span,
    /// What ends the container, and with which code.
    pub exit: ExitRule,
}

impl Tree {
    /// Whether a change is under way.
    pub const fn is_changing(&self) -> bool {
        self.changing
    }

    /// Whether a service is on its way out, by its former definition.
    pub fn is_retiring(&self, index: usize) -> bool {
        self.members.get(index).is_some_and(Member::is_retiring)
    }

    /// Whether there is a service of this index.
    pub fn is_there(&self, index: usize) -> bool {
        self.members.get(index).is_some_and(|member| member.turn != Turn::Vacant)
    }

    /// How many services there are.
    pub fn count(&self) -> usize {
        self.members.iter().filter(|member| member.turn != Turn::Vacant).count()
    }

    /// Who depends on whom, from what everyone depends on.
    pub(super) fn connect(&mut self) {
        self.members.iter_mut().for_each(|member| member.dependents.clear());
        for index in 0..self.members.len() {
            let dependencies = self.members.get(index).map(|member| member.node.dependencies.clone());
            for dependency in dependencies.unwrap_or_default() {
                if let Some(member) = self.members.get_mut(dependency) {
                    member.dependents.push(index);
                }
            }
        }
    }

    /// Becomes the tree of these nodes; `fates`: what becomes of each index. Ends in [`Effect::Applied`], now or later.
    /// Nothing happens in a shutdown, or while a change is under way.
    pub fn apply(&mut self, nodes: Vec<Option<Node>>, fates: &[Fate], terms: Terms, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.changing || !matches!(self.stage, Stage::Booting | Stage::Running) {
            return effects;
        }
        let leaves = |index: &usize| matches!(fates.get(*index), Some(Fate::Renew { .. } | Fate::Remove));
        let count = nodes.len().max(self.members.len());
        self.members.resize_with(count, Member::vacant);
        let nodes = nodes.into_iter().chain(core::iter::repeat_with(|| None));
        for ((member, node), fate) in self.members.iter_mut().zip(nodes).zip(fates) {
            let dependents = member.dependents.iter().copied().filter(leaves).collect();
            let retire = |then| Turn::Retiring { then, dependents, told: false };
            match fate {
                Fate::None => *member = Member::vacant(),
                Fate::Keep => {}
                Fate::Renew { starts } => member.turn = retire(Retirement::Renew { starts: *starts }),
                Fate::Remove => member.turn = retire(Retirement::Remove),
                Fate::Add => *member = Member::new(Node::default(), Supervisor::Gone, Turn::Due),
            }
            member.node = node.unwrap_or_default();
            if member.is_retiring() {
                member.order = None;
            }
        }
        self.connect();
        let Terms { command, signals, budget, exit } = terms;
        (self.command, self.signals, self.budget, self.exit) = (command, signals, budget, exit);
        self.changing = true;
        self.advance(now, &mut effects);
        effects
    }

    /// A supervisor that was told to has left.
    pub(super) fn retired(&mut self, index: usize, now: Time, effects: &mut Vec<Effect>) {
        self.gone(index, effects);
        self.advance(now, effects);
    }

    fn gone(&mut self, index: usize, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(index) else { return };
        let Turn::Retiring { then, .. } = member.turn else { return };
        match then {
            Retirement::Renew { starts } => {
                (member.supervisor, member.service, member.turn) = (Supervisor::Gone, None, Turn::Due);
                effects.push(Effect::Renew(index, starts));
            }
            Retirement::Remove => {
                *member = Member::vacant();
                effects.push(Effect::Remove(index));
            }
        }
    }

    /// Whoever can leave is told to, whoever can begin is started; and the end of the change.
    fn advance(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while self.dismiss_retiring(now, effects) {}
        self.start_due(now, effects);
        if self.changing && self.members.iter().all(|member| matches!(member.turn, Turn::None | Turn::Vacant)) {
            self.changing = false;
            effects.push(Effect::Applied);
            self.settle(now, effects);
        }
    }

    /// `true`: one was gone at once, so others may be free to go now.
    fn dismiss_retiring(&mut self, now: Time, effects: &mut Vec<Effect>) -> bool {
        let retiring: Vec<bool> = self.members.iter().map(Member::is_retiring).collect();
        let is_there = |index: &usize| retiring.get(*index).copied().unwrap_or(false);
        let mut nothing_to_stop = Vec::new();
        for (index, member) in self.members.iter_mut().enumerate() {
            let Turn::Retiring { then, dependents, told } = &mut member.turn else { continue };
            if *told || dependents.iter().any(is_there) {
                continue;
            }
            *told = true;
            let known = member.service.is_some();
            match member.supervisor {
                Supervisor::Alive(_) | Supervisor::Replaced(..) => effects.push(Effect::Retire(index, *then)),
                Supervisor::Dead(_, tries) if known => {
                    // Somebody has to stop what may run.
                    member.supervisor = Supervisor::Replaced(now, tries);
                    effects.extend([Effect::Retire(index, *then), Effect::Start(index)]);
                }
                Supervisor::Dead(..) | Supervisor::Gone => nothing_to_stop.push(index),
            }
        }
        nothing_to_stop.iter().for_each(|index| self.gone(*index, effects));
        !nothing_to_stop.is_empty()
    }

    /// What would start beside a dependency that is about to go would start too soon.
    fn start_due(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let retiring: Vec<bool> = self.members.iter().map(Member::is_retiring).collect();
        let is_there = |index: &usize| retiring.get(*index).copied().unwrap_or(false);
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.turn == Turn::Due && !member.node.dependencies.iter().any(is_there) {
                member.turn = Turn::None;
                member.supervisor = Supervisor::Alive(now);
                effects.push(Effect::Start(index));
            }
        }
    }
}
