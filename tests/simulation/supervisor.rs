//! One supervisor, as `run::supervise` drives its service, with a point to be killed at before and after all
//! that it records or does.

use crate::world::{Happening, Reached, World};
use zei::exit::Exit;
use zei::model::service::{
    self, Action, Event, Failure, Goal, Outcome, Phase, Process, Reason, Service, SpawnStage, Stage, Standing, Then,
};
use zei::model::spec::Policy;
use zei::model::time::Time;

/// A supervisor that runs.
pub struct Supervisor {
    pub service: Service,
    /// It has begun: its arguments are read, its predecessor's work is taken over.
    pub begun: bool,
    pub leaving: bool,
    /// What zei-init was last told.
    standing: u8,
    /// Is killed after so many more points.
    pub doom: Option<u64>,
}

/// A command whose outcome is open; it outlives supervisors.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    pub goal: Goal,
    pub event: Event,
    pub run: u32,
}

impl Supervisor {
    pub fn new() -> Supervisor {
        let service = Service::new(false, Time(0), &Policy::default());
        Supervisor { service, begun: false, leaving: false, standing: 0, doom: None }
    }
}

/// The four standings that zei-init is told of.
const fn standing(service: &Service) -> u8 {
    match service.phase {
        Phase::Waiting | Phase::Preparing | Phase::Spawning | Phase::Starting { .. } | Phase::RestartPending { .. } => {
            0
        }
        Phase::Running | Phase::Stopping { .. } | Phase::Scheduled { .. } | Phase::Planning | Phase::Planned { .. } => {
            1
        }
        Phase::Completed | Phase::Failed(_) => 2,
        Phase::Stopped => 3,
    }
}

impl World {
    /// It has begun: what the predecessor left, what was accepted, what is ordered.
    pub fn begin(&mut self, index: usize) {
        let policy = self.plan.services[index].policy;
        let (service, event) = match self.ledger[index] {
            None => (Service::new(self.plan.services[index].node.wanted, self.now, &policy), None),
            Some((service, child)) => {
                self.reach(Reached::Taken);
                let left = service::left_behind(&service, child);
                let main = self.places[index].main.as_ref().map(|main| (main.pid, main.stuck));
                if let Some((pid, _)) = main {
                    assert_eq!(left.map(|left| left.pid), Some(pid), "an unknown process runs beside {service:?}");
                }
                let gone = !main.is_some_and(|(_, stuck)| stuck);
                if gone {
                    self.places[index].main = None;
                }
                service::take_over(service, left, gone, self.now)
            }
        };
        let Some(supervisor) = &mut self.places[index].supervisor else { return };
        supervisor.service = service;
        supervisor.begun = true;
        self.record(index);
        self.publish(index);
        self.take_order(index);
        if let Some(event) = event {
            self.feed(index, event);
        }
        for wait in self.places[index].waits.clone() {
            if self.service(index).is_some_and(|service| service.run == wait.run) {
                self.feed(index, wait.event);
            }
        }
        self.settle(index);
        self.look(index);
    }

    pub fn take_order(&mut self, index: usize) {
        if let Some(shutdown) = self.order {
            self.feed(index, Event::Shutdown(shutdown));
        }
    }

    pub fn service(&self, index: usize) -> Option<Service> {
        self.places[index].supervisor.as_ref().filter(|supervisor| supervisor.begun).map(|own| own.service)
    }

    /// Somebody says so with a command; its outcome is waited for.
    pub fn command(&mut self, index: usize, goal: Goal, event: Event) {
        let Some(service) = self.service(index) else {
            // The line stays in the FIFO until somebody reads it.
            return self.push(5, Happening::Command(index, goal, event));
        };
        if goal != Goal::Down {
            for (other, _) in self.plan.services[index].needs.clone() {
                if self.ledger[other].is_some_and(|(service, _)| service.phase == Phase::Stopped) {
                    let latency = self.random.below(5);
                    self.push(latency, Happening::Command(other, Goal::Up, Event::Start));
                }
            }
        }
        self.places[index].waits.push(Wait { goal, event, run: service.run });
        if !self.is_killed(index) {
            self.feed(index, event);
            self.settle(index);
        }
    }

    /// An event and all that follows from it.
    pub fn feed(&mut self, index: usize, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next {
            let policy = self.plan.services[index].policy;
            let Some(supervisor) = self.places[index].supervisor.as_mut().filter(|own| own.begun && !own.leaving)
            else {
                return;
            };
            let before = supervisor.service;
            let (service, action) = service::step(before, event, self.now, &policy);
            supervisor.service = service;
            self.trace(format_args!("{index}: {event:?} {:?} -> {:?}, {action:?}", before.phase, service.phase));
            if service != before {
                self.record(index);
                if self.is_killed(index) {
                    return;
                }
            }
            next = action.and_then(|action| self.perform(index, action, event));
            if self.is_killed(index) {
                return;
            }
            let free = self.service(index).is_some_and(|service| service.phase == Phase::Waiting);
            if next.is_none() && free && self.plan.services[index].needs.is_empty() {
                next = Some(Event::DependenciesMet);
            }
        }
        self.publish(index);
        self.settle(index);
        if self.places[index].supervisor.as_ref().is_some_and(|own| own.leaving) {
            self.leave(index);
        }
    }

    fn record(&mut self, index: usize) {
        if let Some(service) = self.service(index) {
            self.ledger[index] = Some((service, 0));
        }
    }

    fn publish(&mut self, index: usize) {
        let Some(own) = &mut self.places[index].supervisor else { return };
        let now = standing(&own.service);
        if core::mem::replace(&mut own.standing, now) != now {
            let latency = self.random.below(4);
            self.push(latency, Happening::Report(index));
        }
        for other in 0..self.places.len() {
            if self.plan.services[other].needs.iter().any(|(need, _)| *need == index) {
                let latency = self.random.below(4);
                self.push(latency, Happening::Ring(other));
            }
        }
    }

    /// Looks at the dependencies until there is nothing to be learned.
    pub fn look(&mut self, index: usize) {
        for _ in 0..10_000 {
            let Some(service) = self.service(index).filter(Service::awaits_dependencies) else { return };
            let needs = &self.plan.services[index].needs;
            let judge = |(other, condition): &(usize, _)| {
                let record = self.ledger[*other].as_ref().map(|(service, _)| service);
                (service::judge(*condition, record), *other)
            };
            let standings: Vec<(Standing, usize)> = needs.iter().map(judge).collect();
            let event = match standings.iter().find(|(standing, _)| *standing == Standing::Never) {
                Some((_, other)) => Event::DependencyFailed(*other as u16),
                None if standings.iter().all(|(standing, _)| *standing == Standing::Holds) => Event::DependenciesMet,
                None => return,
            };
            if let (Event::DependencyFailed(other), Phase::Failed(Reason::Dependency(known))) = (event, service.phase)
                && other == known
            {
                return;
            }
            self.feed(index, event);
        }
        panic!("{index} is busy for ever");
    }

    fn perform(&mut self, index: usize, action: Action, event: Event) -> Option<Event> {
        let service = self.service(index)?;
        match action {
            Action::Spawn => {
                let place = &self.places[index];
                assert!(place.main.is_none(), "a second instance of {index} after {event:?}");
                assert!(place.descendants.is_empty(), "{index} starts beside what it left");
                assert!(self.ended.is_none());
                if self.plan.refusals && self.random.one_in(3) {
                    self.reach(Reached::Refusal);
                    return Some(Event::NotSpawned(Failure { stage: SpawnStage::Process, errno: 11 }));
                }
                let pid = self.spawn(index);
                self.ledger[index] = self.ledger[index].map(|(service, _)| (service, pid));
                Some(Event::Spawned(Process { pid, start: 0 }))
            }
            Action::Ask { .. } => {
                if matches!(service.phase, Phase::Stopping { then: Then::Leave, .. }) {
                    let dependents = |other: &usize| self.plan.services[*other].node.dependencies.contains(&index);
                    // Whoever survives a kill is not waited for.
                    let runs = |other: &usize| self.places[*other].main.as_ref().is_some_and(|main| !main.stuck);
                    let early = (0..self.places.len()).filter(dependents).find(runs);
                    assert_eq!(early, None, "{index} is stopped before what depends on it");
                }
                self.ask(index);
                None
            }
            Action::AskRest => {
                self.ask_rest(index);
                None
            }
            Action::Begin(_) | Action::KillJob => panic!("{index} has no jobs"),
            Action::Kill => {
                assert!(matches!(service.phase, Phase::Stopping { stage: Stage::Kill, .. }));
                self.kill(index);
                None
            }
            Action::Leave => {
                let place = &mut self.places[index];
                let stray = service.phase == Phase::Failed(Reason::Stray);
                assert!(stray || (place.main.is_none() && place.descendants.is_empty()), "{index} leaves too soon");
                if let Some(own) = &mut place.supervisor {
                    own.leaving = true;
                }
                None
            }
        }
    }

    /// Answers every command whose outcome stands.
    fn settle(&mut self, index: usize) {
        let Some(service) = self.service(index) else { return };
        match service.phase {
            Phase::Failed(Reason::Stray) => self.reach(Reached::Stray),
            Phase::Failed(Reason::Dependency(_)) => self.reach(Reached::FailedByDependency),
            _ => {}
        }
        let open = self.places[index].waits.len();
        self.places[index].waits.retain(|wait| {
            let outcome = service::outcome(wait.goal, wait.run, &service);
            if outcome == Some(Outcome::True) {
                assert_eq!(service.phase == Phase::Running, wait.goal != Goal::Down, "{wait:?} {service:?}");
                assert!(wait.goal != Goal::Fresh || service.run > wait.run);
            }
            outcome.is_none()
        });
        if self.places[index].waits.len() < open {
            self.reach(Reached::CommandAnswered);
        }
    }

    fn leave(&mut self, index: usize) {
        self.places[index].waits.clear();
        self.bury(index, true);
    }

    /// The main process ended: recorded, reaped, told.
    pub fn exited(&mut self, index: usize, exit: Exit) {
        let Some(service) = self.service(index) else { return };
        let ending = Some(service::Ending::Exited(exit));
        self.ledger[index] = Some((Service { process: None, ending, ..service }, 0));
        if self.is_killed(index) {
            return;
        }
        let alone = self.places[index].descendants.is_empty();
        self.feed(index, Event::Exited { exit, alone, oom: false });
        self.look(index);
    }

    /// A point to be killed at.
    fn is_killed(&mut self, index: usize) -> bool {
        let Some(own) = &mut self.places[index].supervisor else { return true };
        match &mut own.doom {
            None => false,
            Some(0) => {
                self.bury(index, false);
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }
}
