//! What ends the container, and with which code.
//!
//! Owns: the exit contract: whose end is the end of all, and the precedence of the codes. Must never: decide how
//! the tree shuts down, or word what it found.

use super::Tree;
use super::member::Turn;
use crate::exit::{self, Exit};
use crate::model::service::{Ending, Phase, Reason, Service};
use crate::model::spec::{OnEnd, OnUnhealthy, When};
use crate::model::time::Time;
use crate::protocol::status::Health;
use crate::signal;

/// How the container ends, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The container's exit code.
    pub code: u8,
    /// What began the end.
    pub cause: Cause,
    /// When that was.
    pub at: Time,
    /// Who it was, each with its state at that time: first the service whose end was the end of all, then the
    /// dependency that it failed by, and so on; the last one is the culprit. Empty where nobody is.
    pub chain: Vec<(usize, Service)>,
}

/// What begins the end of the container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Somebody asked for it.
    Asked,
    /// The end of a service, by `on_exit`, `on_failure` or `exit.when`.
    Service,
    /// A service was unhealthy, by its `on_unhealthy`.
    Unhealthy,
    /// The command ended, or can't start.
    Command,
    /// All services have ended by themselves.
    All,
}

impl Verdict {
    /// Somebody asked for it; the code is not known before the end.
    pub(super) const fn asked(at: Time) -> Verdict {
        Verdict { code: exit::OK, cause: Cause::Asked, at, chain: Vec::new() }
    }

    /// Whether the container ends by failure.
    pub fn is_failure(&self) -> bool {
        self.code != exit::OK && self.cause != Cause::Asked
    }

    /// Whose failure it was in the first place.
    pub fn culprit(&self) -> Option<&(usize, Service)> {
        self.chain.last()
    }
}

impl Tree {
    /// Whether this service's change is the end of all.
    pub(super) fn judge(&self, index: usize, now: Time) -> Option<Verdict> {
        let service = self.members.get(index)?.service?;
        // A failure is told once the one it follows from is known, so it may complete another's.
        let others = if matches!(service.phase, Phase::Failed(_)) { 0..self.members.len() } else { 0..0 };
        let (index, cause) =
            core::iter::once(index).chain(others).find_map(|index| Some((index, self.ends_all(index)?)))?;
        Some(self.verdict_on(cause, self.chain(index), now))
    }

    /// Whether all have ended by themselves.
    pub(super) fn judge_all(&self, now: Time) -> Option<Verdict> {
        let is_there = |index: &usize| self.members.get(*index).is_some_and(|member| member.turn != Turn::Vacant);
        let all = (0..self.members.len()).filter(is_there).all(|index| self.has_ended(index));
        let chain = || self.first_failure().map(|index| self.chain(index)).unwrap_or_default();
        all.then(|| self.verdict_on(Cause::All, chain(), now))
    }

    fn verdict_on(&self, cause: Cause, chain: Vec<(usize, Service)>, at: Time) -> Verdict {
        let own = match chain.as_slice() {
            [] => exit::OK,
            // It failed by one that ended well, and so ran as little as that failed.
            [_, .., (_, Service { phase: Phase::Completed, .. })] => exit::NO_CODE,
            [.., (_, service)] => code_of(service),
        };
        let code = match cause {
            Cause::Service | Cause::All => self.exit.code.unwrap_or(own),
            // Its end is still to come, and would say nothing of this.
            Cause::Unhealthy => self.exit.code.unwrap_or(exit::NO_CODE),
            Cause::Command | Cause::Asked => own,
        };
        Verdict { code, cause, at, chain }
    }

    /// Whether what it does is the end of all.
    fn ends_all(&self, index: usize) -> Option<Cause> {
        // What is on its way out by a change of the tree ends nothing.
        let member = self.members.get(index).filter(|member| member.turn == Turn::None)?;
        let service = member.service?;
        if service.health == Health::Unhealthy && member.node.on_unhealthy == OnUnhealthy::Shutdown {
            return Some(Cause::Unhealthy);
        }
        if !self.has_ended(index) {
            return None;
        }
        let is_command = self.command == Some(index);
        let failed = matches!(service.phase, Phase::Failed(_));
        let by_itself = member.node.on_exit == OnEnd::Shutdown || (failed && member.node.on_failure == OnEnd::Shutdown);
        let by_rule = match self.exit.when {
            When::All => false,
            When::Any => true,
            When::Service(one) => one == index,
        };
        match (by_rule || (by_itself && !is_command), is_command) {
            (true, _) => Some(Cause::Service),
            (false, true) => Some(Cause::Command),
            (false, false) => None,
        }
    }

    /// Ended for good. What was stopped by request or never started holds the container up, and so does
    /// what failed by a dependency that is no longer failed: it is about to start.
    fn has_ended(&self, index: usize) -> bool {
        match self.members.get(index).and_then(|member| member.service).map(|service| service.phase) {
            Some(Phase::Completed) => true,
            Some(Phase::Failed(_)) => {
                let chain = self.chain(index);
                match chain.as_slice() {
                    [.., (_, Service { phase: Phase::Failed(reason), .. })] => !matches!(reason, Reason::Dependency(_)),
                    [.., (by, _), (root, Service { phase: Phase::Completed, .. })] => {
                        self.members.get(*by).is_some_and(|member| member.node.healthy.contains(root))
                    }
                    _ => false,
                }
            }
            Some(_) | None => false,
        }
    }

    /// From this service along the dependencies that it failed by to whoever failed first.
    fn chain(&self, index: usize) -> Vec<(usize, Service)> {
        let mut chain = Vec::new();
        let mut next = Some(index);
        // There is no cycle, but a bound costs nothing.
        for _ in 0..self.members.len() {
            let Some(index) = next else { break };
            let Some(service) = self.members.get(index).and_then(|member| member.service) else { break };
            chain.push((index, service));
            next = match service.phase {
                Phase::Failed(Reason::Dependency(root)) => Some(usize::from(root)),
                _ => None,
            };
        }
        chain
    }

    /// Services that failed only by a dependency don't count.
    fn first_failure(&self) -> Option<usize> {
        let failed = |service: &Service| match service.phase {
            Phase::Failed(Reason::Dependency(_)) => None,
            Phase::Failed(_) => Some(service.since),
            _ => None,
        };
        let all = self.members.iter().enumerate();
        all.filter_map(|(index, member)| Some((failed(&member.service?)?, index))).min().map(|(_, index)| index)
    }

    /// The code of an end that somebody asked for, once all is gone.
    fn code_if_asked(&self) -> u8 {
        let of_command = || {
            let service = self.members.get(self.command?)?.service?;
            match service.process {
                // Nobody was left to see it: it was killed with all the rest.
                Some(_) => Some(Exit::Signal(signal::KILL).code()),
                None => service.ending.map(Ending::code),
            }
        };
        self.exit.stop_code.or_else(of_command).unwrap_or(exit::OK)
    }

    /// The verdict at the end.
    pub(super) fn final_verdict(&self) -> Verdict {
        let verdict = self.verdict.clone();
        match verdict.cause {
            Cause::Asked => Verdict { code: self.code_if_asked(), ..verdict },
            Cause::Service | Cause::Unhealthy | Cause::Command | Cause::All => verdict,
        }
    }
}

/// The code that a service's end stands for.
fn code_of(service: &Service) -> u8 {
    match service.phase {
        // It gave up, or failed otherwise, after an end that is none.
        Phase::Failed(_) if service.ended_well() => exit::NO_CODE,
        _ => service.code().unwrap_or(exit::NO_CODE),
    }
}
