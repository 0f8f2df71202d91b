//! The world around the tree: virtual time, processes, what is under way, and zei-init.

use crate::plan::{Plan, Random};
use crate::processes::{KILLED, Main};
use crate::supervisor::{Supervisor, Wait};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use zei::exit::{self, Exit};
use zei::model::init::{Effect, Event as TreeEvent, Tree};
use zei::model::service::{self, Event, Goal, Phase, Reason, Service, Shutdown, Standing};
use zei::model::spec::{ExitRule, SignalMap};
use zei::model::time::{Span, Time};
use zei::signal;

/// After so many events the tree is asked to end.
const ENOUGH: u64 = 150;
/// Where so many lead to no end, none will.
const TOO_MANY: u64 = 20_000;

/// What schedules have led to, so that none of it goes untested unnoticed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reached {
    Rest,
    EndByItself,
    EndByRequest,
    EndByOneService,
    CodeTold,
    Overdue,
    Taken,
    Stray,
    Refusal,
    CommandAnswered,
    FailedByDependency,
    Reminder,
}

impl Reached {
    pub const COUNT: usize = Reached::Reminder as usize + 1;
}

/// Something that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happening {
    /// zei-init reads that something changed here.
    Report(usize),
    /// A dependency has rung.
    Ring(usize),
    /// A supervisor begins, if it is still that one.
    Begin(usize, u64),
    /// A supervisor gets zei-init's TERM.
    Term(usize, u64),
    /// zei-init sees a supervisor's end.
    Died(usize, bool),
    /// The main process with this pid ends.
    Exit(usize, u32, Exit),
    /// This descendant ends.
    Orphan(usize, u32),
    /// A command's line is read.
    Command(usize, Goal, Event),
    /// zei-init gets a signal.
    Signal(u8),
    /// zei-init gets the command.
    Shutdown,
    /// A supervisor is killed after so many more points.
    Doom(usize, u64),
    /// zei-init has no child left.
    Empty,
}

/// Everything that there is of one service.
pub struct Place {
    pub supervisor: Option<Supervisor>,
    generation: u64,
    pub main: Option<Main>,
    /// What a supervisor has to end; what a killed one leaves is zei-init's.
    pub descendants: Vec<u32>,
    pub waits: Vec<Wait>,
}

pub struct World {
    pub plan: Plan,
    pub random: Random,
    pub now: Time,
    pub places: Vec<Place>,
    /// The records, each with the pid that a new process wrote.
    pub ledger: Vec<Option<(Service, u32)>>,
    pub order: Option<Shutdown>,
    pub ended: Option<u8>,
    tree: Tree,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    count: u64,
    pub pid: u32,
    events: u64,
    ready: u32,
    stopping: Option<Time>,
    asked: bool,
    /// The command was alive when all was killed.
    command_killed: bool,
    told: bool,
    pub reached: [u64; Reached::COUNT],
    pub exits: Vec<(Time, usize, Exit)>,
}

impl World {
    pub fn new(seed: u64, told: bool) -> World {
        let mut random = Random(seed);
        let plan = Plan::draw(&mut random);
        let count = plan.services.len();
        let nodes = plan.services.iter().map(|service| service.node.clone()).collect();
        let place =
            || Place { supervisor: None, generation: 0, main: None, descendants: Vec::new(), waits: Vec::new() };
        World {
            tree: Tree::new(nodes, plan.command, SignalMap::default(), ExitRule::default(), plan.budget),
            places: (0..count).map(|_| place()).collect(),
            ledger: vec![None; count],
            plan,
            random,
            now: Time(1000),
            order: None,
            ended: None,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            count: 0,
            pid: 100,
            events: 0,
            ready: 0,
            stopping: None,
            asked: false,
            command_killed: false,
            told,
            reached: [0; Reached::COUNT],
            exits: Vec::new(),
        }
    }

    /// Runs the schedule to its end.
    pub fn live(&mut self) {
        self.intervene();
        self.tell(TreeEvent::Timer);
        while self.ended.is_none() {
            self.events += 1;
            assert!(self.events < TOO_MANY, "no end in sight");
            if self.events == ENOUGH {
                self.push(0, Happening::Signal(signal::TERM));
            }
            let due = self.queue.peek().map(|Reverse((time, _))| *time);
            match (due, self.timer()) {
                (None, None) => self.rest(),
                (Some(due), timer)
                    if timer.is_none_or(|(at, _)| due < at || (due == at && self.count.is_multiple_of(2))) =>
                {
                    let Some(Reverse((time, number))) = self.queue.pop() else { return };
                    self.now = self.now.max(time);
                    if let Some(happening) = self.happenings.remove(&number) {
                        self.happen(happening);
                    }
                }
                (_, Some((at, who))) => {
                    self.now = self.now.max(at);
                    match who {
                        None => self.tell(TreeEvent::Timer),
                        Some(index) => {
                            self.feed(index, Event::Timer);
                            self.look(index);
                        }
                    }
                }
                (Some(_), None) => {}
            }
        }
        self.check_end();
    }

    /// What comes from outside, at any time.
    fn intervene(&mut self) {
        let count = self.places.len() as u64;
        let interventions = if self.plan.simple { 0 } else { self.random.below(12) };
        for _ in 0..interventions {
            let index = self.random.below(count) as usize;
            let happening = match self.random.below(if self.plan.kills { 6 } else { 4 }) {
                0 => Happening::Command(index, Goal::Up, Event::Start),
                1 => Happening::Command(index, Goal::Down, Event::Stop),
                2 => Happening::Command(index, Goal::Fresh, Event::Restart),
                3 => Happening::Signal(signal::USR1),
                _ => Happening::Doom(index, self.random.below(6)),
            };
            let at = self.some_time();
            self.push(at, happening);
        }
        for _ in 0..self.random.pick(&[0, 1, 1, 3]) {
            let at = self.some_time();
            let happening = if self.random.one_in(4) { Happening::Shutdown } else { Happening::Signal(signal::TERM) };
            self.push(at, happening);
        }
    }

    fn some_time(&mut self) -> u64 {
        let until = self.random.pick(&[10, 100, 2000, 20_000]);
        self.random.below(until)
    }

    pub fn reach(&mut self, what: Reached) {
        self.reached[what as usize] += 1;
    }

    pub fn push(&mut self, latency: u64, happening: Happening) {
        self.count += 1;
        self.queue.push(Reverse((self.now.plus(Span(latency)), self.count)));
        self.happenings.insert(self.count, happening);
    }

    /// The next deadline, and whose it is; `None`: zei-init's.
    fn timer(&self) -> Option<(Time, Option<usize>)> {
        let own = self.tree.deadline().map(|at| (at, None));
        let services = (0..self.places.len()).filter_map(|index| Some((self.service(index)?.deadline()?, Some(index))));
        own.into_iter().chain(services).min()
    }

    fn happen(&mut self, happening: Happening) {
        self.trace(format_args!("{happening:?}"));
        match happening {
            Happening::Report(index) => self.report(index),
            Happening::Ring(index) => self.look(index),
            Happening::Begin(index, generation) => {
                if self.is_same(index, generation) {
                    self.begin(index);
                }
            }
            Happening::Term(index, generation) => {
                if self.is_same(index, generation) && self.service(index).is_some() {
                    self.take_order(index);
                }
            }
            Happening::Died(index, clean) => {
                self.report(index);
                self.tell(TreeEvent::SupervisorEnded { index, clean });
            }
            Happening::Exit(index, pid, exit) => self.exit(index, pid, exit),
            Happening::Orphan(index, id) => self.orphan(index, id),
            Happening::Command(index, goal, event) if !self.tree.is_stopping() => {
                self.command(index, goal, event);
                self.look(index);
            }
            Happening::Command(..) => {}
            Happening::Signal(number) => {
                self.asked |= number == signal::TERM && !self.tree.is_stopping();
                self.tell(TreeEvent::Signal(number));
            }
            Happening::Shutdown => {
                self.asked |= !self.tree.is_stopping();
                self.tell(TreeEvent::Shutdown);
            }
            Happening::Doom(index, points) => match &mut self.places[index].supervisor {
                Some(own) if points > 0 => own.doom = Some(points),
                Some(_) => self.bury(index, false),
                None => {}
            },
            Happening::Empty => self.tell(TreeEvent::Empty),
        }
    }

    /// Tells what happens where one schedule runs alone.
    pub fn trace(&self, what: std::fmt::Arguments<'_>) {
        if self.told {
            println!("{:>8} {what}", self.now.0);
        }
    }

    fn is_same(&self, index: usize, generation: u64) -> bool {
        self.places[index].supervisor.is_some() && self.places[index].generation == generation
    }

    fn report(&mut self, index: usize) {
        if let Some((service, _)) = self.ledger[index] {
            self.tell(TreeEvent::Changed(index, service));
        }
    }

    /// zei-init takes an event and does what follows.
    fn tell(&mut self, event: TreeEvent) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.tree.step(event, self.now) {
                self.trace(format_args!("{effect:?}, for {event:?}"));
                assert_eq!(self.ended, None, "{effect:?} after the end");
                match effect {
                    Effect::Start(index) => {
                        if self.plan.refusals && self.random.one_in(10) {
                            self.reach(Reached::Refusal);
                            events.push(TreeEvent::NotStarted(index));
                        } else {
                            self.start(index);
                        }
                    }
                    Effect::Order(shutdown) => self.order = Some(shutdown),
                    Effect::Dismiss(index) => {
                        let latency = self.random.below(3);
                        self.push(latency, Happening::Term(index, self.places[index].generation));
                    }
                    Effect::KillAll => self.kill_all(),
                    Effect::Ready => self.ready += 1,
                    Effect::End(verdict) => self.ended = Some(verdict.code),
                    Effect::Forward(_) | Effect::ForwardToCommand(_) | Effect::Reload => {}
                    // No dependency of a plan asks for it.
                    Effect::Restart { .. } => panic!("nobody follows"),
                    Effect::Retire(..) | Effect::Renew(..) | Effect::Remove(_) | Effect::Applied => {
                        panic!("nobody changes the tree")
                    }
                    Effect::Waiting(..) => self.reach(Reached::Reminder),
                    Effect::Overdue(_) => self.reach(Reached::Overdue),
                }
            }
            if self.tree.is_stopping() {
                self.stopping.get_or_insert(self.now);
            }
        }
    }

    fn start(&mut self, index: usize) {
        let place = &mut self.places[index];
        assert!(place.supervisor.is_none(), "two supervisors of {index}");
        place.supervisor = Some(Supervisor::new());
        place.generation += 1;
        let generation = place.generation;
        let latency = self.random.below(4);
        self.push(latency, Happening::Begin(index, generation));
    }

    /// A supervisor's end.
    pub fn bury(&mut self, index: usize, clean: bool) {
        let place = &mut self.places[index];
        place.supervisor = None;
        if !clean {
            place.descendants.clear();
        }
        let latency = self.random.below(3);
        self.push(latency, Happening::Died(index, clean));
    }

    fn kill_all(&mut self) {
        let mut left = false;
        if let Some(command) = self.plan.command {
            self.command_killed |= self.places[command].main.is_some();
        }
        for index in 0..self.places.len() {
            if self.places[index].supervisor.is_some() {
                self.bury(index, false);
            }
            let place = &mut self.places[index];
            place.descendants.clear();
            left |= place.main.as_ref().is_some_and(|main| main.stuck);
            place.main.take_if(|main| !main.stuck);
        }
        if !left {
            self.push(5, Happening::Empty);
        }
    }

    /// Nothing is under way: whoever waits has a reason to. Then the tree is asked to end.
    fn rest(&mut self) {
        assert!(!self.tree.is_stopping(), "the shutdown hangs");
        for index in 0..self.places.len() {
            let Some(service) = self.service(index) else { panic!("{index} has no supervisor") };
            let standing = |(other, condition): &(usize, _)| {
                let record = self.ledger[*other].as_ref().map(|(service, _)| service);
                service::judge(*condition, record)
            };
            let standings: Vec<Standing> = self.plan.services[index].needs.iter().map(standing).collect();
            let missing = standings.iter().any(|standing| *standing != Standing::Holds);
            let never = standings.contains(&Standing::Never);
            let legitimate = match service.phase {
                Phase::Running => self.places[index].main.is_some(),
                Phase::Waiting => missing && !never,
                Phase::Failed(Reason::Dependency(_)) => missing,
                Phase::Stopped | Phase::Completed | Phase::Failed(_) => true,
                _ => false,
            };
            assert!(legitimate, "{index} is at rest as {service:?}, its dependencies {standings:?}");
            let waits = &self.places[index].waits;
            assert!(waits.is_empty() || service.phase == Phase::Waiting, "{waits:?} on {service:?}");
        }
        let has_ended = |index| {
            let phase = self.service(index).map(|service: Service| service.phase);
            matches!(phase, Some(Phase::Completed | Phase::Failed(_)))
        };
        assert!(!(0..self.places.len()).all(has_ended), "everything has ended for good, and nobody noticed");
        self.reach(Reached::Rest);
        self.push(0, Happening::Signal(signal::TERM));
    }

    fn check_end(&mut self) {
        let (Some(code), Some(since)) = (self.ended, self.stopping) else { panic!("an end without a shutdown") };
        assert!(self.ready <= 1);
        let margin = if self.plan.stuck { Span(7020) } else { Span(2020) };
        let took = self.now.since(since);
        assert!(took.0 <= self.plan.budget.0 + margin.0, "the shutdown took {took:?} of {:?}", self.plan.budget);
        for (index, place) in self.places.iter().enumerate() {
            assert!(place.supervisor.is_none(), "the supervisor of {index} is left");
            assert!(place.main.as_ref().is_none_or(|main| main.stuck), "{index} is left");
        }
        let all_ended = |(service, _): &(Service, u32)| matches!(service.phase, Phase::Completed | Phase::Failed(_));
        self.reach(match self.asked {
            true => Reached::EndByRequest,
            false if self.ledger.iter().flatten().all(all_ended) => Reached::EndByItself,
            false => Reached::EndByOneService,
        });
        if self.plan.simple {
            self.reach(Reached::CodeTold);
            let expected = self.expected_codes();
            assert!(expected.contains(&code), "the code is {code}, not one of {expected:?}: {:?}", self.exits);
        }
    }

    /// The code that the contract promises, told from nothing but the ends that were seen. More than one where the
    /// command never ran because of several failures.
    fn expected_codes(&self) -> Vec<u8> {
        let code_of = |index| self.exits.iter().find(|(_, other, _)| *other == index).map(|(_, _, exit)| exit.code());
        let mut failures: Vec<(Time, usize, Exit)> =
            self.exits.iter().copied().filter(|(_, _, exit)| !exit.is_success()).collect();
        failures.sort_by_key(|(time, index, _)| (*time, *index));
        match self.plan.command {
            Some(_) if self.asked && self.command_killed => vec![KILLED.code()],
            Some(command) if self.asked => vec![code_of(command).unwrap_or(exit::OK)],
            None if self.asked => vec![exit::OK],
            Some(command) => match code_of(command) {
                Some(code) => vec![code],
                None => failures.iter().map(|(_, _, exit)| exit.code()).collect(),
            },
            None => vec![failures.first().map_or(exit::OK, |(_, _, exit)| exit.code())],
        }
    }
}
