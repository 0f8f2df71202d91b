//! The life of the tree: `Tree::step(event, now) -> effects`.
//!
//! Owns: every decision of zei-init: which supervisor runs and what ends the container here, in which order all
//! ends in `shutdown`, with which code in `verdict`, who is restarted along with whom in `follow`; `seat` is what goes
//! over to another program. Must never: act,
//! read a clock, or know a pid.

mod change;
mod follow;
mod member;
mod seat;
mod shutdown;
#[cfg(test)]
mod tests;
mod verdict;

pub use verdict::{Cause, Verdict};

use crate::model::service::{Service, Shutdown};
use crate::model::spec::{ExitRule, OnEnd, OnUnhealthy, SignalMap, SignalUse};
use crate::model::time::{Span, Time};
use member::{Member, Supervisor, Turn};

pub use change::Terms;
pub use member::{Retirement, STEADY, delay};
pub use seat::Seat;

/// In a shutdown a supervisor is replaced at once so many times.
const HURRIED: u32 = 10;

/// What the tree has to know about a service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Indices of what it depends on.
    pub dependencies: Vec<usize>,
    /// Those of them that must be healthy: one that has ended well will not be any more.
    pub healthy: Vec<usize>,
    /// Those of them whose restart by hand restarts it, too.
    pub follows: Vec<usize>,
    /// What its end for good does.
    pub on_exit: OnEnd,
    /// What its failure for good does.
    pub on_failure: OnEnd,
    /// What its being unhealthy does.
    pub on_unhealthy: OnUnhealthy,
    /// It starts with the container, by itself or because something needs it.
    pub wanted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Not all that starts with the container is up yet.
    Booting,
    Running,
    Stopping {
        since: Time,
        deadline: Time,
        remind_at: Time,
        asked: u32,
    },
    /// No supervisor is left, or none is waited for: what is left is killed.
    Emptying {
        deadline: Time,
    },
    Ended,
}

/// What can happen to the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A service's record says this now. Those that follow it ([`Tree::followers`]) have been looked at just before.
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
    /// A service can't be told to restart, now or ever.
    NotRestarted(usize),
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
    /// Tell this service's supervisor to restart it if this run is not over. It is told again until it is, so what
    /// can't be told now is not lost.
    Restart {
        /// Which.
        index: usize,
        /// Its number of starts.
        run: u32,
    },
    /// Write this order, for all supervisors to read.
    Order(Shutdown),
    /// Tell this supervisor to look at the order.
    Dismiss(usize),
    /// Pass this signal to the main process of each service that wants it.
    Forward(u8),
    /// Pass this signal to the command.
    ForwardToCommand(u8),
    /// Read the configuration again and apply what has changed.
    Reload,
    /// Kill every descendant.
    KillAll,
    /// All that starts with the container is up.
    Ready,
    /// Say that the shutdown waits for these, those first that were told to end; so long it has gone on.
    Waiting(Vec<usize>, Span),
    /// Say that these were killed because the time was up.
    Overdue(Vec<usize>),
    /// Say that these were killed because somebody asked once more.
    Hurried(Vec<usize>),
    /// Order the supervisor of this service to stop it and leave, whatever follows.
    Retire(usize, Retirement),
    /// Its supervisor has left: record that it begins anew; `true`: wanted in any case, else as it was.
    Renew(usize, bool),
    /// Its supervisor has left: nothing of the service stays.
    Remove(usize),
    /// Everything is as the last plan has it.
    Applied,
    /// Leave as it says.
    End(Verdict),
}

/// The tree.
#[derive(Clone, Debug)]
pub struct Tree {
    members: Vec<Member>,
    command: Option<usize>,
    signals: SignalMap,
    exit: ExitRule,
    budget: Span,
    stage: Stage,
    /// As it stands so far; final at the end.
    verdict: Verdict,
    /// A change is under way.
    changing: bool,
}

impl Tree {
    /// A tree whose supervisors are all to be started now.
    pub fn new(nodes: Vec<Node>, command: Option<usize>, signals: SignalMap, exit: ExitRule, budget: Span) -> Tree {
        let member = |node| Member::new(node, Supervisor::Dead(Time(0), 0), Turn::None);
        let members = nodes.into_iter().map(member).collect();
        let (stage, verdict) = (Stage::Booting, Verdict::asked(Time(0)));
        let mut tree = Tree { members, command, signals, exit, budget, stage, verdict, changing: false };
        tree.connect();
        tree
    }

    /// Whether the shutdown has begun.
    pub const fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Stopping { .. } | Stage::Emptying { .. } | Stage::Ended)
    }

    /// The service whose main process this was when it was last seen.
    pub fn main_of(&self, pid: u32) -> Option<usize> {
        let main = |member: &Member| member.service.and_then(|service| service.process);
        self.members.iter().position(|member| main(member).is_some_and(|main| main.pid == pid))
    }

    /// Whether a supervisor that dies is replaced.
    pub const fn is_replacing(&self) -> bool {
        !matches!(self.stage, Stage::Emptying { .. } | Stage::Ended)
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
        let replacements = self.members.iter().filter_map(|member| match member.supervisor {
            Supervisor::Dead(at, _) => Some(at),
            Supervisor::Alive(_) | Supervisor::Replaced(..) | Supervisor::Gone => None,
        });
        let restarts = self.members.iter().filter_map(|member| member.order.map(|order| order.again_at));
        match self.stage {
            Stage::Booting | Stage::Running => replacements.chain(restarts).min(),
            Stage::Stopping { deadline, remind_at, .. } => {
                replacements.chain([remind_at, shutdown::overdue_at(deadline)]).min()
            }
            Stage::Emptying { deadline } => Some(deadline),
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
                        Supervisor::Replaced(_, tries) | Supervisor::Dead(_, tries) => tries.max(1),
                        Supervisor::Alive(_) | Supervisor::Gone => 1,
                    };
                    member.supervisor = Supervisor::Dead(now.plus(delay(tries)), tries);
                }
            }
            Event::NotRestarted(index) => self.forget_restart(index),
            Event::Signal(number) => self.signal(number, now, &mut effects),
            Event::Shutdown => self.begin_shutdown(Verdict::asked(now), None, now, &mut effects),
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
        if let Some(verdict) = self.judge(index, now) {
            return self.begin_shutdown(verdict, None, now, effects);
        }
        if !self.settle(now, effects) {
            self.follow(index, &service, now, effects);
        }
    }

    /// Whether all are up, and whether all are done; `true`: they are, so all ends.
    fn settle(&mut self, now: Time, effects: &mut Vec<Effect>) -> bool {
        // What is about to begin anew has neither come up nor ended.
        if self.changing {
            return false;
        }
        if self.stage == Stage::Booting && self.members.iter().all(Member::has_come_up) {
            self.stage = Stage::Running;
            effects.push(Effect::Ready);
        }
        let verdict = self.judge_all(now);
        let all_have_ended = verdict.is_some();
        if let Some(verdict) = verdict {
            self.begin_shutdown(verdict, None, now, effects);
        }
        all_have_ended
    }

    fn supervisor_ended(&mut self, index: usize, clean: bool, now: Time, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(index) else { return };
        let tries = match member.supervisor {
            Supervisor::Replaced(since, tries) if now.since(since) < STEADY => tries,
            Supervisor::Alive(_) | Supervisor::Replaced(..) | Supervisor::Dead(..) | Supervisor::Gone => 0,
        };
        match self.stage {
            Stage::Booting | Stage::Running if clean && member.is_leaving() => self.retired(index, now, effects),
            Stage::Booting | Stage::Running => self.replace(index, tries, now, effects),
            // It has not stopped its service: its successor will.
            Stage::Stopping { .. } if !clean => self.replace(index, tries, now, effects),
            Stage::Stopping { .. } => {
                member.supervisor = Supervisor::Gone;
                self.dismiss(now, effects);
            }
            Stage::Emptying { .. } | Stage::Ended => self.reaped(effects),
        }
    }

    fn replace(&mut self, index: usize, tries: u32, now: Time, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(index) else { return };
        let hurry = (matches!(self.stage, Stage::Stopping { .. }) || member.is_leaving()) && tries < HURRIED;
        if tries == 0 || hurry {
            member.supervisor = Supervisor::Replaced(now, tries.saturating_add(1));
            effects.push(Effect::Start(index));
            if member.dismissed {
                // Its turn has come; it can't know.
                effects.push(Effect::Dismiss(index));
            }
        } else {
            member.supervisor = Supervisor::Dead(now.plus(delay(tries)), tries);
        }
        if let Some(order) = &mut member.order {
            // Whoever has died may have read it.
            order.again_at = now;
        }
    }

    fn signal(&mut self, number: u8, now: Time, effects: &mut Vec<Effect>) {
        match (self.stage, self.signals.get(number)) {
            (Stage::Stopping { .. }, SignalUse::Shutdown) => self.asked_again(number, now, effects),
            (Stage::Booting | Stage::Running, SignalUse::Shutdown) => {
                self.begin_shutdown(Verdict::asked(now), Some(number), now, effects);
            }
            (Stage::Booting | Stage::Running | Stage::Stopping { .. }, SignalUse::Forward) => {
                effects.push(if self.command.is_some() {
                    Effect::ForwardToCommand(number)
                } else {
                    Effect::Forward(number)
                });
            }
            (Stage::Booting | Stage::Running, SignalUse::Reload) => effects.push(Effect::Reload),
            // A shutdown takes everything away: there is nothing to apply a configuration to.
            (Stage::Stopping { .. }, SignalUse::Reload)
            | (_, SignalUse::Ignore)
            | (Stage::Emptying { .. } | Stage::Ended, _) => {}
        }
    }

    fn timer(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if matches!(self.stage, Stage::Booting | Stage::Running | Stage::Stopping { .. }) {
            for (index, member) in self.members.iter_mut().enumerate() {
                if let Supervisor::Dead(at, tries) = member.supervisor
                    && at <= now
                {
                    member.supervisor = if tries == 0 {
                        Supervisor::Alive(now)
                    } else {
                        Supervisor::Replaced(now, tries.saturating_add(1))
                    };
                    effects.push(Effect::Start(index));
                    if member.dismissed {
                        effects.push(Effect::Dismiss(index));
                    }
                }
            }
        }
        match self.stage {
            Stage::Booting | Stage::Running => self.tell_again(now, effects),
            Stage::Stopping { .. } => self.remind(now, effects),
            Stage::Emptying { deadline } if now >= deadline => self.empty(effects),
            Stage::Emptying { .. } | Stage::Ended => {}
        }
    }
}
