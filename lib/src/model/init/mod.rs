//! The life of the tree: `Tree::step(event, now) -> effects`.
//!
//! Owns: every decision of zei-init: which supervisor runs, when the shutdown begins, in which order,
//! what the container's exit code is. Must never: act, read a clock, or know a pid.

mod member;
#[cfg(test)]
mod tests;

use crate::exit::{self, Exit};
use crate::model::service::{Ending, Phase, Reason, Service, Shutdown};
use crate::model::spec::{OnEnd, SignalMap, SignalUse};
use crate::model::time::{Span, Time};
use crate::signal;
use member::{Member, Supervisor};
pub use member::{STEADY, delay};

/// From this long after its begin on a shutdown says whom it waits for.
const PATIENCE: Span = Span::seconds(5);
/// And then this often.
const REMINDER: Span = Span::seconds(1);
/// So long after the budget's end supervisors may still be killing; then they are killed too.
const MARGIN: Span = Span::seconds(2);
/// What was killed has so long to be gone; a process that hangs in the kernel can't be waited for.
const LAST: Span = Span::seconds(5);

/// In a shutdown a supervisor is replaced at once so many times.
const HURRIED: u32 = 10;

/// What the tree has to know about a service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Indices of what it depends on.
    pub dependencies: Vec<usize>,
    /// What its end for good does.
    pub on_exit: OnEnd,
    /// What its failure for good does.
    pub on_failure: OnEnd,
    /// It starts with the container, by itself or because something needs it.
    pub wanted: bool,
}

/// Why the tree shuts down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    /// Somebody asked for it.
    Asked,
    /// This code stands already.
    Code(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Not all that starts with the container is up yet.
    Booting,
    Running,
    Stopping {
        cause: Cause,
        since: Time,
        deadline: Time,
        remind_at: Time,
        asked: u32,
    },
    /// No supervisor is left, or none is waited for: what is left is killed.
    Emptying {
        cause: Cause,
        deadline: Time,
    },
    Ended,
}

/// What can happen to the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A service's record says this now.
    Changed(usize, Service),
    /// A supervisor ended. `clean`: it left in order.
    SupervisorEnded {
        /// Whose.
        index: usize,
        /// With exit code 0.
        clean: bool,
    },
    /// A supervisor could not be started.
    NotStarted(usize),
    /// A signal for zei-init.
    Signal(u8),
    /// A shutdown was asked for by command.
    Shutdown,
    /// [`Tree::deadline`] has come.
    Timer,
    /// A process that was nobody's supervisor has ended, and others are left.
    Reaped,
    /// zei-init has no child left.
    Empty,
}

/// What zei-init has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Start the supervisor of this service.
    Start(usize),
    /// Write this order, for all supervisors to read.
    Order(Shutdown),
    /// Tell this supervisor to look at the order.
    Dismiss(usize),
    /// Pass this signal to the main process of each service that wants it.
    Forward(u8),
    /// Pass this signal to the command.
    ForwardToCommand(u8),
    /// Kill every descendant.
    KillAll,
    /// All that starts with the container is up.
    Ready,
    /// Say that the shutdown waits for these; so long it has gone on.
    Waiting(Vec<usize>, Span),
    /// Say that these were killed because the time was up.
    Overdue(Vec<usize>),
    /// Leave with this code.
    End(u8),
}

/// The tree.
#[derive(Clone, Debug)]
pub struct Tree {
    members: Vec<Member>,
    command: Option<usize>,
    signals: SignalMap,
    budget: Span,
    stage: Stage,
}

impl Tree {
    /// A tree whose supervisors are all to be started now.
    pub fn new(nodes: Vec<Node>, command: Option<usize>, signals: SignalMap, budget: Span) -> Tree {
        let mut members: Vec<Member> = nodes
            .into_iter()
            .map(|node| Member {
                node,
                dependents: Vec::new(),
                supervisor: Supervisor::Dead(Time(0), 0),
                service: None,
                dismissed: false,
            })
            .collect();
        for index in 0..members.len() {
            let dependencies = members.get(index).map(|member| member.node.dependencies.clone()).unwrap_or_default();
            for dependency in dependencies {
                if let Some(member) = members.get_mut(dependency) {
                    member.dependents.push(index);
                }
            }
        }
        Tree { members, command, signals, budget, stage: Stage::Booting }
    }

    /// Whether the shutdown has begun.
    pub const fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Stopping { .. } | Stage::Emptying { .. } | Stage::Ended)
    }

    /// Whether all that starts with the container was up once.
    pub const fn is_booting(&self) -> bool {
        matches!(self.stage, Stage::Booting)
    }

    /// The services that depend on this one.
    pub fn dependents(&self, index: usize) -> &[usize] {
        self.members.get(index).map_or(&[], |member| &member.dependents)
    }

    /// Whether a service starts with the container.
    pub fn is_wanted(&self, index: usize) -> bool {
        self.members.get(index).is_some_and(|member| member.node.wanted)
    }

    /// When [`Event::Timer`] is due.
    pub fn deadline(&self) -> Option<Time> {
        let replacement = self.members.iter().filter_map(|member| match member.supervisor {
            Supervisor::Dead(at, _) => Some(at),
            Supervisor::Alive(_) | Supervisor::Replaced(..) | Supervisor::Gone => None,
        });
        match self.stage {
            Stage::Booting | Stage::Running => replacement.min(),
            Stage::Stopping { deadline, remind_at, .. } => replacement.chain([remind_at, deadline.plus(MARGIN)]).min(),
            Stage::Emptying { deadline, .. } => Some(deadline),
            Stage::Ended => None,
        }
    }

    /// One step of the tree's life.
    pub fn step(&mut self, event: Event, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Changed(index, service) => self.changed(index, service, now, &mut effects),
            Event::SupervisorEnded { index, clean } => self.supervisor_ended(index, clean, now, &mut effects),
            Event::NotStarted(index) => {
                if let Some(member) = self.members.get_mut(index) {
                    let tries = match member.supervisor {
                        Supervisor::Replaced(_, tries) | Supervisor::Dead(_, tries) => tries,
                        Supervisor::Alive(_) | Supervisor::Gone => 0,
                    };
                    member.supervisor = Supervisor::Dead(now.plus(delay(tries.max(1))), tries.saturating_add(1));
                }
            }
            Event::Signal(number) => self.signal(number, now, &mut effects),
            Event::Shutdown => self.begin_shutdown(Cause::Asked, None, now, &mut effects),
            Event::Timer => self.timer(now, &mut effects),
            Event::Reaped => self.reaped(&mut effects),
            Event::Empty => self.empty(&mut effects),
        }
        effects
    }

    fn changed(&mut self, index: usize, service: Service, now: Time, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(index) else { return };
        member.service = Some(service);
        match self.stage {
            Stage::Booting | Stage::Running => {}
            Stage::Stopping { .. } | Stage::Emptying { .. } | Stage::Ended => return,
        }
        // A failure is told once the one it follows from is known, so it may complete another's.
        let failed = matches!(service.phase, Phase::Failed(_));
        let others = if failed { 0..self.members.len() } else { 0..0 };
        if let Some(index) = core::iter::once(index).chain(others).find(|index| self.ends_all(*index)) {
            return self.begin_shutdown(Cause::Code(self.code(index)), None, now, effects);
        }
        if self.stage == Stage::Booting && self.members.iter().all(Member::has_come_up) {
            self.stage = Stage::Running;
            effects.push(Effect::Ready);
        }
        if (0..self.members.len()).all(|index| self.has_ended(index)) {
            self.begin_shutdown(Cause::Code(self.code_of_all()), None, now, effects);
        }
    }

    /// Whether its end is the end of all.
    fn ends_all(&self, index: usize) -> bool {
        let Some(Member { node, service: Some(service), .. }) = self.members.get(index) else { return false };
        match service.phase {
            Phase::Completed => node.on_exit == OnEnd::Shutdown,
            Phase::Failed(_) => {
                (node.on_exit == OnEnd::Shutdown || node.on_failure == OnEnd::Shutdown) && self.has_ended(index)
            }
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
            | Phase::Stopped => false,
        }
    }

    /// Ended for good. What was stopped by request or never started holds the container up, and so does
    /// what failed by a dependency that is no longer failed: it is about to start.
    fn has_ended(&self, index: usize) -> bool {
        let mut index = index;
        // There is no cycle, but a bound costs nothing.
        for step in 0..=self.members.len() {
            match self.members.get(index).and_then(|member| member.service).map(|service| service.phase) {
                Some(Phase::Failed(Reason::Dependency(root))) => index = usize::from(root),
                Some(Phase::Failed(_)) => return true,
                Some(Phase::Completed) => return step == 0,
                Some(_) | None => return false,
            }
        }
        false
    }

    /// The code that a service's end stands for.
    fn code(&self, index: usize) -> u8 {
        let mut index = index;
        // Along the dependencies to whoever failed first; there is no cycle, but a bound costs nothing.
        for _step in 0..=self.members.len() {
            let Some(service) = self.members.get(index).and_then(|member| member.service) else { break };
            match service.phase {
                Phase::Failed(Reason::Dependency(root)) => index = usize::from(root),
                Phase::Failed(_) if service.ended_well() => return exit::NO_CODE,
                _ => return service.code().unwrap_or(exit::NO_CODE),
            }
        }
        exit::NO_CODE
    }

    /// By itself: 0 if none failed, else the code of the first failure in time.
    fn code_of_all(&self) -> u8 {
        let failed = |service: &Service| match service.phase {
            Phase::Failed(Reason::Dependency(_)) => None,
            Phase::Failed(_) => Some(service.since),
            _ => None,
        };
        let first = self
            .members
            .iter()
            .enumerate()
            .filter_map(|(index, member)| Some((failed(&member.service?)?, index)))
            .min();
        first.map_or(exit::OK, |(_, index)| self.code(index))
    }

    fn supervisor_ended(&mut self, index: usize, clean: bool, now: Time, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(index) else { return };
        let tries = match member.supervisor {
            Supervisor::Replaced(since, tries) if now.since(since) < STEADY => tries,
            Supervisor::Alive(_) | Supervisor::Replaced(..) | Supervisor::Dead(..) | Supervisor::Gone => 0,
        };
        match self.stage {
            Stage::Booting | Stage::Running => self.replace(index, tries, now, effects),
            // It has not stopped its service: its successor will.
            Stage::Stopping { .. } if !clean => self.replace(index, tries, now, effects),
            Stage::Stopping { .. } => {
                member.supervisor = Supervisor::Gone;
                self.dismiss(now, effects);
            }
            Stage::Emptying { .. } | Stage::Ended => {
                member.supervisor = Supervisor::Gone;
                self.reaped(effects);
            }
        }
    }

    /// What a killed parent has left behind is a child now, and was not killed with the others.
    fn reaped(&self, effects: &mut Vec<Effect>) {
        if let Stage::Emptying { .. } = self.stage {
            effects.push(Effect::KillAll);
        }
    }

    fn replace(&mut self, index: usize, tries: u32, now: Time, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(index) else { return };
        let hurry = matches!(self.stage, Stage::Stopping { .. }) && tries < HURRIED;
        if tries == 0 || hurry {
            member.supervisor = Supervisor::Replaced(now, tries.saturating_add(1));
            effects.push(Effect::Start(index));
        } else {
            member.supervisor = Supervisor::Dead(now.plus(delay(tries)), tries);
        }
    }

    fn signal(&mut self, number: u8, now: Time, effects: &mut Vec<Effect>) {
        match (self.stage, self.signals.get(number)) {
            (Stage::Stopping { cause, since, deadline, asked, .. }, SignalUse::Shutdown) => {
                let waiting = self.waiting();
                if asked >= 2 || (asked >= 1 && number == signal::INT) {
                    self.empty_out(cause, now, effects);
                } else {
                    effects.push(Effect::Waiting(waiting, now.since(since)));
                    let remind_at = now.plus(REMINDER).max(since.plus(PATIENCE));
                    self.stage = Stage::Stopping { cause, since, deadline, remind_at, asked: asked + 1 };
                }
            }
            (Stage::Booting | Stage::Running, SignalUse::Shutdown) => {
                self.begin_shutdown(Cause::Asked, Some(number), now, effects);
            }
            (Stage::Booting | Stage::Running | Stage::Stopping { .. }, SignalUse::Forward) => {
                effects.push(if self.command.is_some() {
                    Effect::ForwardToCommand(number)
                } else {
                    Effect::Forward(number)
                });
            }
            (_, SignalUse::Ignore | SignalUse::Reload) | (Stage::Emptying { .. } | Stage::Ended, _) => {}
        }
    }

    fn begin_shutdown(&mut self, cause: Cause, signal: Option<u8>, now: Time, effects: &mut Vec<Effect>) {
        match self.stage {
            Stage::Booting | Stage::Running => {}
            Stage::Stopping { .. } | Stage::Emptying { .. } | Stage::Ended => return,
        }
        let deadline = now.plus(self.budget);
        self.stage = Stage::Stopping {
            cause,
            since: now,
            deadline,
            remind_at: now.plus(PATIENCE),
            asked: u32::from(signal.is_some()),
        };
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
    fn dismiss(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let gone: Vec<bool> = self.members.iter().map(|member| member.supervisor == Supervisor::Gone).collect();
        let is_gone = |index: &usize| gone.get(*index).copied().unwrap_or(true);
        for (index, member) in self.members.iter_mut().enumerate() {
            if !member.dismissed && member.dependents.iter().all(is_gone) && !is_gone(&index) {
                member.dismissed = true;
                effects.push(Effect::Dismiss(index));
            }
        }
        if gone.iter().all(|gone| *gone)
            && let Stage::Stopping { cause, .. } = self.stage
        {
            self.empty_out(cause, now, effects);
        }
    }

    fn empty_out(&mut self, cause: Cause, now: Time, effects: &mut Vec<Effect>) {
        self.stage = Stage::Emptying { cause, deadline: now.plus(LAST) };
        effects.push(Effect::KillAll);
    }

    fn waiting(&self) -> Vec<usize> {
        let waiting = |(index, member): (usize, &Member)| (member.supervisor != Supervisor::Gone).then_some(index);
        let asked = |(_, member): &(usize, &Member)| member.dismissed;
        self.members.iter().enumerate().filter(asked).filter_map(waiting).collect()
    }

    fn timer(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let replaces = matches!(self.stage, Stage::Booting | Stage::Running | Stage::Stopping { .. });
        for (index, member) in self.members.iter_mut().enumerate() {
            if let Supervisor::Dead(at, tries) = member.supervisor
                && at <= now
                && replaces
            {
                member.supervisor = if tries == 0 {
                    Supervisor::Alive(now)
                } else {
                    Supervisor::Replaced(now, tries.saturating_add(1))
                };
                effects.push(Effect::Start(index));
            }
        }
        if let Stage::Emptying { deadline, .. } = self.stage
            && now >= deadline
        {
            return self.empty(effects);
        }
        let Stage::Stopping { cause, since, deadline, remind_at, asked } = self.stage else { return };
        if now >= deadline.plus(MARGIN) {
            effects.push(Effect::Overdue(self.waiting()));
            self.empty_out(cause, now, effects);
        } else if now >= remind_at {
            effects.push(Effect::Waiting(self.waiting(), now.since(since)));
            self.stage = Stage::Stopping { cause, since, deadline, remind_at: now.plus(REMINDER), asked };
        }
    }

    fn empty(&mut self, effects: &mut Vec<Effect>) {
        let Stage::Emptying { cause, .. } = self.stage else { return };
        self.stage = Stage::Ended;
        let of_command = || {
            let service = self.members.get(self.command?)?.service?;
            match service.process {
                // Nobody was left to see it: it was killed with all the rest.
                Some(_) => Some(Exit::Signal(signal::KILL).code()),
                None => service.ending.map(Ending::code),
            }
        };
        effects.push(Effect::End(match cause {
            Cause::Code(code) => code,
            Cause::Asked => of_command().unwrap_or(exit::OK),
        }));
    }
}
