//! zei-init: what `run::init` does around the tree.
//!
//! Owns: the runner's part. Must never: judge (that is `book`).

use crate::plan::{Needs, Plan, Spawning};
use crate::processes::{INIT, Pid, Process};
use crate::reached::Fact;
use crate::supervisor::Supervisor;
use crate::world::{Happening, World};
use zei::model::init::{Effect, Event as TreeEvent, Node, Tree};
use zei::model::order;
use zei::model::service::{self, Phase, Reason, Service};
use zei::model::spec::{Condition, OnUnhealthy, SignalMap, SignalUse};

/// How many reports fit into the pipe where it is short, and how many are read at once.
const SHORT: usize = 3;
const AT_ONCE: usize = 2;

/// The tree of a plan: what starts with the container is all that says so, and all that those need.
pub fn nodes(plan: &Plan) -> Vec<Node> {
    let graph: Vec<Vec<usize>> =
        plan.services.iter().map(|service| service.needs.iter().map(|needs: &Needs| needs.on).collect()).collect();
    let roots: Vec<usize> = (0..graph.len()).filter(|index| plan.services[*index].autostart).collect();
    let wanted = order::closure(&graph, &roots);
    let node = |((service, dependencies), wanted): ((&crate::plan::Planned, &Vec<usize>), bool)| Node {
        dependencies: dependencies.clone(),
        healthy: service
            .needs
            .iter()
            .filter(|needs| needs.condition == Condition::Healthy)
            .map(|needs| needs.on)
            .collect(),
        follows: service.needs.iter().filter(|needs| needs.restart).map(|needs| needs.on).collect(),
        on_unhealthy: service.policy.health.map_or(OnUnhealthy::None, |health| health.on_unhealthy),
        on_exit: service.on_exit,
        on_failure: service.on_failure,
        wanted,
    };
    plan.services.iter().zip(&graph).zip(wanted).map(node).collect()
}

pub fn tree(plan: &Plan, nodes: Vec<Node>) -> Tree {
    Tree::new(nodes, plan.command, SignalMap::default(), plan.exit, plan.budget)
}

impl World<'_> {
    /// A signal for zei-init.
    pub fn signal(&mut self, number: u8) {
        if SignalMap::default().get(number) == SignalUse::Shutdown {
            self.ask_to_end(TreeEvent::Signal(number));
        } else {
            self.tell(TreeEvent::Signal(number));
        }
    }

    /// A supervisor writes its index into the pipe, if there is room.
    pub fn report(&mut self, index: usize) {
        if self.plan.losses && self.pipe.len() >= SHORT {
            self.reached.fact(Fact::ReportLost);
            return;
        }
        self.pipe.push(index);
        let latency = self.latency(index, if self.plan.losses { 20 } else { 4 });
        self.push(latency, Happening::Reports);
    }

    /// zei-init reads the pipe: a full buffer may mean that reports are missing.
    pub fn take_reports(&mut self) {
        if self.pipe.is_empty() {
            return;
        }
        let count = if self.plan.losses { AT_ONCE.min(self.pipe.len()) } else { self.pipe.len() };
        let mut indices: Vec<usize> = self.pipe.drain(..count).collect();
        if self.plan.losses && count == AT_ONCE {
            self.reached.fact(Fact::AllRead);
            indices.extend(0..self.places.len());
        }
        if !self.pipe.is_empty() {
            self.push(0, Happening::Reports);
        }
        for index in indices {
            self.changed(index);
            self.tell_dependents(index);
        }
    }

    fn changed(&mut self, index: usize) {
        // Those that follow it first: what a restart of it means for them depends on how they stand now.
        for index in self.tree.followers(index).chain([index]).collect::<Vec<_>>() {
            if let Some((service, _)) = self.places[index].record {
                self.tell(TreeEvent::Changed(index, service));
            }
        }
    }

    /// A supervisor that waits is told to look around.
    fn tell_dependents(&mut self, index: usize) {
        for other in 0..self.places.len() {
            let needs = self.plan.services[other].needs.iter().any(|needs| needs.on == index);
            let awaits = self.places[other].record.is_some_and(|(service, _)| service.awaits_dependencies());
            if needs && awaits && self.places[other].supervisor.is_some() {
                let latency = self.latency(other, 3);
                self.push(latency, Happening::Look(other, self.places[other].generation));
            }
        }
    }

    /// zei-init sees a supervisor's end.
    pub fn supervisor_died(&mut self, index: usize, clean: bool) {
        self.unburied -= 1;
        self.changed(index);
        self.book.supervisor_died(self.now, index, clean);
        self.tell(TreeEvent::SupervisorEnded { index, clean });
        if !self.has_children() {
            self.tell(TreeEvent::Empty);
        }
    }

    /// zei-init takes the end of one that a killed supervisor has left: on record first, then it tells the successor.
    pub fn orphan_ended(&mut self, index: usize, pid: Pid) {
        let place = &mut self.places[index];
        let Some(at) = place.unreaped.iter().position(|(other, _)| *other == pid) else { return };
        let (_, exit) = place.unreaped.remove(at);
        if let Some((service, child)) = place.record {
            let is_main = service::left_behind(&service, child).is_some_and(|main| main.pid == pid);
            if is_main {
                place.end = Some((service.run, pid, exit));
            }
            let awaited = is_main || matches!(service.phase, Phase::Stopping { .. } | Phase::Failed(Reason::Stray));
            if awaited && place.supervisor.is_some() {
                place.untold += 1;
                let generation = place.generation;
                let latency = self.latency(index, 3);
                self.push(latency, Happening::Told(index, generation));
            }
        }
        self.tell(if self.has_children() { TreeEvent::Reaped } else { TreeEvent::Empty });
    }

    fn has_children(&self) -> bool {
        let is_child = |process: &Process| process.lives() && process.parent == INIT;
        self.unburied > 0
            || self.places.iter().any(|place| {
                place.supervisor.is_some() || !place.unreaped.is_empty() || place.processes.iter().any(is_child)
            })
    }

    /// zei-init takes an event and does what follows.
    pub fn tell(&mut self, event: TreeEvent) {
        let mut events = vec![event];
        let mut next = 0;
        while next < events.len() && self.ended.is_none() && self.violation.is_none() {
            let event = events[next];
            next += 1;
            self.reached.tree_pair(self.book.stage(self.tree.is_booting()), &event);
            for effect in self.tree.step(event, self.now) {
                match event {
                    TreeEvent::Changed(index, Service { phase, .. }) => {
                        self.trace(format_args!("zei-init: {index} is {phase:?} -> {effect:?}"));
                    }
                    event => self.trace(format_args!("zei-init: {event:?} -> {effect:?}")),
                }
                if self.ended.is_some() {
                    return self.wrong("effect after the end", format!("{effect:?}"));
                }
                events.extend(self.effect(effect));
            }
        }
    }

    fn effect(&mut self, effect: Effect) -> Option<TreeEvent> {
        self.judge_effect(&effect);
        match effect {
            Effect::Start(index) => return self.start(index),
            // By its control FIFO, so that the line outlives a supervisor.
            Effect::Restart { index, .. } if self.plan.losses && self.places[index].random.one_in(8) => {
                self.reached.fact(Fact::NotRestarted);
                return Some(TreeEvent::NotRestarted(index));
            }
            Effect::Restart { index, run } => self.push(1, Happening::RestartRun(index, run)),
            Effect::Reload => {}
            Effect::Order(shutdown) => self.order = Some(shutdown),
            Effect::Dismiss(index) => {
                let latency = self.latency(index, 3);
                self.push(latency, Happening::Term(index, self.places[index].generation));
            }
            Effect::KillAll => return self.kill_all(),
            Effect::End(verdict) => self.ended = Some(verdict.code),
            Effect::Forward(number) => (0..self.places.len()).for_each(|index| self.forward(index, number)),
            Effect::ForwardToCommand(number) => {
                if let Some(index) = self.plan.command {
                    self.forward(index, number);
                }
            }
            Effect::Ready | Effect::Waiting(..) | Effect::Overdue(_) | Effect::Hurried(_) => {}
            Effect::Retire(..) | Effect::Renew(..) | Effect::Remove(_) | Effect::Applied => {}
        }
        None
    }

    fn start(&mut self, index: usize) -> Option<TreeEvent> {
        if self.places[index].supervisor.is_some() {
            self.wrong("two supervisors", format!("{index} has one already"));
            return None;
        }
        let refused = if self.plan.crowded { 2 } else { 10 };
        if self.may_be_refused(index) && self.places[index].random.one_in(refused) {
            self.reached.fact(Fact::SupervisorRefused);
            return Some(TreeEvent::NotStarted(index));
        }
        let place = &mut self.places[index];
        place.supervisor = Some(Supervisor::new());
        place.generation += 1;
        let generation = place.generation;
        let latency = self.latency(index, 4);
        self.push(latency, Happening::Begin(index, generation));
        None
    }

    /// There is not always room for its supervisor.
    pub fn may_be_refused(&self, index: usize) -> bool {
        self.plan.crowded || self.plan.services[index].runs.iter().any(|run| run.spawning == Spawning::Scarce)
    }

    /// A supervisor's end.
    pub fn bury(&mut self, index: usize, clean: bool) {
        self.places[index].supervisor = None;
        self.orphan(index);
        self.unburied += 1;
        let told = self.places[index].record.is_some_and(|(service, _)| service.asked);
        self.places[index].sheet.interrupt(clean, told);
        let latency = self.latency(index, 3);
        self.push(latency, Happening::Died(index, clean));
    }

    /// Everything is killed; what goes on in the kernel stays for a while.
    fn kill_all(&mut self) -> Option<TreeEvent> {
        self.book.killed_all(&self.places);
        for index in 0..self.places.len() {
            if self.places[index].supervisor.is_some() {
                self.bury(index, false);
            }
            for pid in self.places[index].processes.iter().map(|process| process.pid).collect::<Vec<_>>() {
                self.kill_process(index, pid);
            }
        }
        (!self.has_children()).then_some(TreeEvent::Empty)
    }

    /// Only to a process that is the program already, and never to a later one of the same pid.
    fn forward(&mut self, index: usize, number: u8) {
        let Some((service, _)) = self.places[index].record else { return };
        let runs = matches!(service.phase, Phase::Starting { .. } | Phase::Running);
        if let Some(main) = service.process.filter(|_| runs) {
            self.deliver(index, main.pid, number);
        }
    }

    /// A signal that a command or zei-init passes on: one in four dies of it.
    pub fn deliver(&mut self, index: usize, pid: u32, number: u8) {
        self.reached.fact(Fact::Passed);
        if number == zei::signal::KILL {
            self.kill_process(index, pid);
        } else if self.latency(index, 4) == 0 && self.process(index, pid).is_some() {
            self.push(0, Happening::Exit(index, pid, zei::exit::Exit::Signal(number)));
        }
    }
}
