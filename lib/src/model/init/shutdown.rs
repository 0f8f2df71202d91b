//! The shutdown: its begin, its order, its patience, its end.
//!
//! Owns: who is told to leave when, and how long that is waited for. Must never: decide the exit code.

use super::member::{Member, Supervisor};
use super::{Effect, Stage, Tree, Verdict};
use crate::model::service::Shutdown;
use crate::model::time::{Span, Time};
use crate::signal;

/// From this long after its begin on a shutdown says whom it waits for.
const PATIENCE: Span = Span::seconds(5);
/// And then this often.
const REMINDER: Span = Span::seconds(1);
/// So long after the budget's end supervisors may still be killing; then they are killed too.
const MARGIN: Span = Span::seconds(2);
/// What was killed has so long to be gone; a process that hangs in the kernel can't be waited for.
const LAST: Span = Span::seconds(5);

/// When supervisors are no longer waited for.
pub(super) const fn overdue_at(deadline: Time) -> Time {
    deadline.plus(MARGIN)
}

impl Tree {
    pub(super) fn begin_shutdown(
        &mut self,
        verdict: Verdict,
        signal: Option<u8>,
        now: Time,
        effects: &mut Vec<Effect>,
    ) {
        match self.stage {
            Stage::Booting | Stage::Running => {}
            Stage::Stopping { .. } | Stage::Emptying { .. } | Stage::Ended => return,
        }
        self.verdict = verdict;
        let deadline = now.plus(self.budget);
        self.stage =
            Stage::Stopping { since: now, deadline, remind_at: now.plus(PATIENCE), asked: u32::from(signal.is_some()) };
        effects.push(Effect::Order(Shutdown { deadline, signal }));
        for member in &mut self.members {
            // Not started yet, or dead with nothing known to run: there is nothing to stop.
            if let Supervisor::Dead(_, tries) = member.supervisor {
                // Somebody has to stop it, and now: there is no time to be cautious.
                let due = Supervisor::Dead(now, tries);
                member.supervisor = if member.service.is_none() { Supervisor::Gone } else { due };
            }
        }
        self.dismiss(now, effects);
    }

    /// Every supervisor leaves as soon as all that depends on its service has left.
    pub(super) fn dismiss(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let gone: Vec<bool> = self.members.iter().map(|member| member.supervisor == Supervisor::Gone).collect();
        let is_gone = |index: &usize| gone.get(*index) != Some(&false);
        let retiring: Vec<bool> = self.members.iter().map(Member::is_retiring).collect();
        let is_retiring = |index: &usize| retiring.get(*index).copied().unwrap_or(false);
        for (index, member) in self.members.iter_mut().enumerate() {
            // Who depended on what is on its way out, and has begun anew since, does not hold it up any more.
            let is_free = |other: &usize| is_gone(other) || (is_retiring(&index) && !is_retiring(other));
            if !member.dismissed && member.holders().iter().all(is_free) && !is_gone(&index) {
                member.dismissed = true;
                effects.push(Effect::Dismiss(index));
            }
        }
        if gone.iter().all(|gone| *gone) && matches!(self.stage, Stage::Stopping { .. }) {
            self.empty_out(now, effects);
        }
    }

    fn empty_out(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.stage = Stage::Emptying { deadline: now.plus(LAST) };
        effects.push(Effect::KillAll);
    }

    /// What a killed parent has left behind is a child now, and was not killed with the others.
    pub(super) fn reaped(&self, effects: &mut Vec<Effect>) {
        if let Stage::Emptying { .. } = self.stage {
            effects.push(Effect::KillAll);
        }
    }

    pub(super) fn empty(&mut self, effects: &mut Vec<Effect>) {
        let Stage::Emptying { .. } = self.stage else { return };
        self.stage = Stage::Ended;
        effects.push(Effect::End(self.final_verdict()));
    }

    /// Who is left, those first that were told to leave.
    fn waiting(&self) -> Vec<usize> {
        let left = |told: bool| {
            let members = self.members.iter().enumerate();
            let left =
                members.filter(move |(_, member)| member.dismissed == told && member.supervisor != Supervisor::Gone);
            left.map(|(index, _)| index)
        };
        left(true).chain(left(false)).collect()
    }

    /// In a shutdown: the dependents that a service still waits for before it is told to end.
    pub fn held_by(&self, index: usize) -> impl Iterator<Item = usize> {
        let is_left =
            |index: &usize| self.members.get(*index).is_some_and(|member| member.supervisor != Supervisor::Gone);
        self.dependents(index).iter().copied().filter(is_left)
    }

    /// Somebody asks for what has begun already: a second time tells why it takes so long, a third time ends it.
    pub(super) fn asked_again(&mut self, number: u8, now: Time, effects: &mut Vec<Effect>) {
        let Stage::Stopping { since, deadline, asked, .. } = self.stage else { return };
        if asked >= 2 || (asked >= 1 && number == signal::INT) {
            effects.push(Effect::Hurried(self.waiting()));
            return self.empty_out(now, effects);
        }
        effects.push(Effect::Waiting(self.waiting(), now.since(since)));
        let remind_at = now.plus(REMINDER).max(since.plus(PATIENCE));
        self.stage = Stage::Stopping { since, deadline, remind_at, asked: asked + 1 };
    }

    /// Says whom it waits for, or waits no more.
    pub(super) fn remind(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Stage::Stopping { since, deadline, remind_at, asked } = self.stage else { return };
        if now >= overdue_at(deadline) {
            effects.push(Effect::Overdue(self.waiting()));
            self.empty_out(now, effects);
        } else if now >= remind_at {
            effects.push(Effect::Waiting(self.waiting(), now.since(since)));
            self.stage = Stage::Stopping { since, deadline, remind_at: now.plus(REMINDER), asked };
        }
    }
}
