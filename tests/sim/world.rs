//! The world around the tree: virtual time, what is under way, and the loop that takes one thing after the other.
//!
//! Owns: time, chance, the queue. Must never: judge (that is `book`).

use crate::book::{Sheet, TreeBook};
use crate::plan::{Intervention, Plan, Said, Verb};
use crate::point::Point;
use crate::processes::{Pid, Process};
use crate::random::Random;
use crate::reached::{Fact, Reached};
use crate::supervisor::Supervisor;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use zei::exit::Exit;
use zei::model::init::{Event as TreeEvent, Tree};
use zei::model::service::{Event, Failure, Goal, Phase, Reason, Service, Shutdown};
use zei::model::time::{Span, Time};
use zei::signal;

/// Where so many events lead to no end, none will.
const TOO_MANY: u64 = 2_000_000;

/// The wall clock at the beginning.
const WALL: u64 = 1_700_000_000_000;

/// Something that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happening {
    /// zei-init reads the pipe of the reports.
    Reports,
    /// A dependency has rung.
    Ring(usize, u32),
    /// A supervisor begins.
    Begin(usize, u32),
    /// The jobs of its predecessor could not be killed in time.
    Recovered(usize, u32),
    /// A supervisor gets a TERM: its turn in the shutdown has come.
    Term(usize, u32),
    /// A supervisor is told to look around.
    Look(usize, u32),
    /// zei-init sees a supervisor's end.
    Died(usize, bool),
    /// zei-init sees the end of an orphan.
    Orphan(usize, Pid),
    /// It tells the supervisor.
    Told(usize, u32),
    /// A process makes the one of its script with this number.
    Fork(usize, Pid, u32, usize),
    /// A process ends.
    Exit(usize, Pid, Exit),
    /// A supervisor gets a CHLD.
    Chld(usize, u32),
    /// The main process, which is not its child, has ended.
    Held(usize, u32, Pid),
    /// A service says something in this run.
    Said(usize, u32, Said),
    /// Its supervisor reads that.
    Hear(usize, u32, Said),
    /// A supervisor reads a line of its control FIFO.
    Line(usize, Verb),
    /// It reads zei-init's line: restart if this run is not over.
    RestartRun(usize, u32),
    /// The alarm by the wall clock, if it was not set anew since.
    Alarm(usize, u32, u64),
    /// A supervisor sees that the wall clock was set.
    ClockSet(usize, u32),
    /// What comes from outside: the index in the plan.
    Outside(usize),
    /// The tree has lived for long enough.
    Enough,
}

struct Entry(Time, u64, Happening);

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.1 == other.1
    }
}

impl Eq for Entry {}

/// A command whose outcome is open; it outlives supervisors.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    pub goal: Goal,
    pub event: Event,
    /// What [`zei::model::service::outcome`] wants to know.
    pub before: u32,
    /// Its number among all commands of this service, and when it was accepted.
    pub number: u32,
    pub at: Time,
}

/// Everything that there is of one service.
pub struct Place {
    pub supervisor: Option<Supervisor>,
    /// How many supervisors it has had.
    pub generation: u32,
    /// Where the next supervisor, or this one, is killed, and how often it passes there before.
    pub doom: Option<(Point, u8)>,
    /// The run record, with the pid that a new process wrote.
    pub record: Option<(Service, Pid)>,
    /// Why a new process did not become the program, as it wrote there.
    pub failure: Option<Failure>,
    /// How often it was written.
    pub seq: u64,
    /// All that lives or was not reaped yet by its supervisor.
    pub processes: Vec<Process>,
    /// Those that have ended as zei-init's children, which has not taken that yet.
    pub unreaped: Vec<(Pid, Exit)>,
    /// How an orphaned main process ended, as zei-init has put on record: its run, its pid.
    pub end: Option<(u32, Pid, Exit)>,
    /// How often its supervisor is yet to be told of such ends.
    pub untold: u32,
    /// How many main processes and jobs were made.
    pub made: usize,
    pub jobs: usize,
    pub waits: Vec<Wait>,
    pub commands: u32,
    /// What it is judged by.
    pub sheet: Sheet,
    pub random: Random,
}

/// What a schedule has shown to be wrong.
#[derive(Clone, Debug)]
pub struct Violation {
    pub what: &'static str,
    pub text: String,
}

pub struct World<'a> {
    pub plan: &'a Plan,
    pub now: Time,
    /// What the wall clock is ahead of the other.
    wall: u64,
    /// How often it was set.
    pub clock_sets: u32,
    pub tree: Tree,
    pub order: Option<Shutdown>,
    pub places: Vec<Place>,
    pub book: TreeBook,
    /// How many supervisors have ended without zei-init having noticed.
    pub unburied: usize,
    /// The indices that lie in the pipe of the reports.
    pub pipe: Vec<usize>,
    queue: BinaryHeap<Reverse<Entry>>,
    count: u64,
    pub pid: Pid,
    pub events: u64,
    pub ended: Option<u8>,
    pub violation: Option<Violation>,
    pub told: bool,
    pub reached: &'a mut Reached,
}

impl<'a> World<'a> {
    pub fn new(plan: &'a Plan, told: bool, reached: &'a mut Reached) -> World<'a> {
        let nodes = crate::init::nodes(plan);
        let wanted: Vec<bool> = nodes.iter().map(|node| node.wanted).collect();
        let now = Time(1000);
        let place = |(service, wanted): (&crate::plan::Planned, bool)| Place {
            supervisor: None,
            generation: 0,
            doom: None,
            record: None,
            failure: None,
            seq: 0,
            processes: Vec::new(),
            unreaped: Vec::new(),
            end: None,
            untold: 0,
            made: 0,
            jobs: 0,
            waits: Vec::new(),
            commands: 0,
            sheet: Sheet::new(wanted, &service.policy, now),
            random: Random::of(plan.seed, service.id),
        };
        World {
            tree: crate::init::tree(plan, nodes),
            places: plan.services.iter().zip(wanted).map(place).collect(),
            plan,
            now,
            wall: WALL,
            clock_sets: 0,
            order: None,
            book: TreeBook::new(plan.services.len()),
            unburied: 0,
            pipe: Vec::new(),
            queue: BinaryHeap::new(),
            count: 0,
            pid: 100,
            events: 0,
            ended: None,
            violation: None,
            told,
            reached,
        }
    }

    /// Runs the schedule to its end, or until it has shown that something is wrong.
    pub fn live(&mut self) {
        for (number, (at, _)) in self.plan.interventions.iter().enumerate() {
            self.push(*at, Happening::Outside(number));
        }
        self.tell(TreeEvent::Timer);
        while self.ended.is_none() && self.violation.is_none() {
            self.events += 1;
            if self.events == self.plan.enough {
                self.push(0, Happening::Enough);
            }
            if self.events > TOO_MANY {
                return self.wrong("no end", format!("after {TOO_MANY} events there is no end in sight"));
            }
            self.advance();
        }
        if self.violation.is_none() {
            self.judge_end();
        }
    }

    /// The next thing that is due.
    fn advance(&mut self) {
        let timer = self.timer();
        let due = self.queue.peek().map(|Reverse(Entry(at, number, _))| (*at, *number));
        match (due, timer) {
            (None, None) => self.rest(),
            (Some((due, number)), timer)
                if timer.is_none_or(|(at, _)| due < at || (due == at && number.is_multiple_of(2))) =>
            {
                let Some(Reverse(Entry(at, _, happening))) = self.queue.pop() else { return };
                self.now = self.now.max(at);
                self.happen(happening);
            }
            (_, Some((at, who))) => {
                self.now = self.now.max(at);
                match who {
                    None => self.tell(TreeEvent::Timer),
                    Some(index) => {
                        self.feed(index, Event::Timer);
                        self.look(index);
                        self.judge_quiet(index);
                    }
                }
            }
            (Some(_), None) => {}
        }
    }

    pub fn push(&mut self, latency: u64, happening: Happening) {
        self.count += 1;
        self.queue.push(Reverse(Entry(self.now.plus(Span(latency)), self.count, happening)));
    }

    /// Less than `bound` milliseconds, by the chance of this service.
    pub fn latency(&mut self, index: usize, bound: u64) -> u64 {
        if self.plan.calm { 1 } else { self.places[index].random.below(bound) }
    }

    /// The next deadline, and whose it is; `None`: zei-init's.
    fn timer(&self) -> Option<(Time, Option<usize>)> {
        let mut first = self.tree.deadline().map(|at| (at, None));
        for (index, place) in self.places.iter().enumerate() {
            let own = place.supervisor.as_ref().filter(|own| own.begun);
            if let Some(at) = own.and_then(|own| own.service.deadline())
                && first.is_none_or(|(first, _)| at < first)
            {
                first = Some((at, Some(index)));
            }
        }
        first
    }

    /// Milliseconds since 1970.
    pub fn wall(&self) -> u64 {
        self.wall.wrapping_add(self.now.0)
    }

    fn happen(&mut self, happening: Happening) {
        self.trace(format_args!("{happening:?}"));
        match happening {
            Happening::Reports => self.take_reports(),
            Happening::Begin(index, generation) if self.is_same(index, generation) => self.begin(index),
            Happening::Recovered(index, generation) if self.is_same(index, generation) => {
                if !self.has_begun(index) {
                    self.go_on(index);
                }
            }
            Happening::Told(index, generation) => {
                self.places[index].untold -= 1;
                if self.is_same(index, generation) {
                    self.take_ends(index);
                }
            }
            Happening::Ring(index, generation) | Happening::Look(index, generation)
                if self.is_same(index, generation) =>
            {
                if self.has_begun(index) {
                    self.look(index);
                    self.judge_quiet(index);
                }
            }
            Happening::Term(index, generation) if self.is_same(index, generation) => {
                if !self.has_begun(index) {
                    // It stays pending.
                    return self.push(5, happening);
                }
                self.take_order(index);
                self.look(index);
                self.judge_quiet(index);
            }
            Happening::Chld(index, generation) if self.is_same(index, generation) => self.take_ends(index),
            Happening::Held(index, generation, pid) if self.is_same(index, generation) => self.take_held(index, pid),
            Happening::Alarm(index, generation, stamp) if self.is_same(index, generation) => self.ring(index, stamp),
            Happening::ClockSet(index, generation) if self.is_same(index, generation) => {
                // What takes more than a moment has taken the alarm down.
                let phase = self.service(index).map(|service| service.phase);
                if let Some(Phase::Failed(Reason::GaveUp | Reason::Stray)) = phase {
                    return;
                }
                self.feed(index, Event::ClockSet(self.wall()));
                self.look(index);
                self.judge_quiet(index);
            }
            Happening::Begin(..)
            | Happening::Recovered(..)
            | Happening::Ring(..)
            | Happening::Look(..)
            | Happening::Term(..)
            | Happening::Chld(..)
            | Happening::Held(..)
            | Happening::Alarm(..)
            | Happening::ClockSet(..) => {}
            Happening::Died(index, clean) => self.supervisor_died(index, clean),
            Happening::Orphan(index, pid) => self.orphan_ended(index, pid),
            Happening::Fork(index, pid, made, number) => self.fork(index, pid, made, number),
            Happening::Exit(index, pid, exit) => self.exit(index, pid, exit),
            Happening::Said(index, made, said) => self.say(index, made, said),
            Happening::Hear(index, made, said) => self.hear(index, made, said),
            Happening::Line(index, verb) => self.take_line(index, verb),
            Happening::RestartRun(index, run) => self.take_restart(index, run),
            Happening::Outside(number) => self.intervene(self.plan.interventions[number].1),
            Happening::Enough => {
                self.reached.fact(Fact::Enough);
                self.signal(signal::TERM);
            }
        }
    }

    fn intervene(&mut self, what: Intervention) {
        match what {
            Intervention::Command(index, verb) => self.push(0, Happening::Line(index, verb)),
            Intervention::Signal(number) => self.signal(number),
            Intervention::Shutdown => self.ask_to_end(TreeEvent::Shutdown),
            Intervention::Kill(index, Point::Idle, _) => {
                if self.has_begun(index) {
                    self.reached.point(Point::Idle);
                    self.bury(index, false);
                }
            }
            Intervention::KillAll => {
                for index in 0..self.places.len() {
                    if self.has_begun(index) {
                        self.reached.point(Point::Idle);
                        self.bury(index, false);
                    }
                }
            }
            Intervention::Kill(index, point, times) => self.places[index].doom = Some((point, times)),
            Intervention::Hit(index, number) => self.hit(index, number),
            Intervention::Pass(index, number) => self.pass(index, number),
            Intervention::Poke(index) => {
                // Once there is an order, that is as good as zei-init's own.
                if self.order.is_none() && self.has_begun(index) {
                    self.look(index);
                    self.judge_quiet(index);
                }
            }
            Intervention::Step(by) => {
                self.wall = self.wall.wrapping_add_signed(by);
                self.clock_sets += 1;
                for index in 0..self.places.len() {
                    // Only who waits by that clock is woken.
                    if self.is_armed(index) {
                        // Late now and then: by then it waits for something else.
                        let late = self.latency(index, 2) == 0;
                        let latency = self.latency(index, if late { 4000 } else { 3 });
                        self.push(latency, Happening::ClockSet(index, self.places[index].generation));
                    }
                }
            }
            Intervention::Suspend(length) => {
                self.wall = self.wall.wrapping_add(length);
                (0..self.places.len()).for_each(|index| self.wind(index));
            }
        }
    }

    /// Tells what happens where one schedule runs alone.
    pub fn trace(&self, what: std::fmt::Arguments<'_>) {
        if self.told {
            println!("{:>8} {what}", self.now.0);
        }
    }

    /// A promise is broken.
    pub fn wrong(&mut self, what: &'static str, text: String) {
        self.trace(format_args!("WRONG, {what}: {text}"));
        self.violation.get_or_insert(Violation { what, text });
    }

    pub fn is_same(&self, index: usize, generation: u32) -> bool {
        let place = &self.places[index];
        place.supervisor.is_some() && place.generation == generation
    }

    pub fn has_begun(&self, index: usize) -> bool {
        self.places[index].supervisor.as_ref().is_some_and(|own| own.begun)
    }
}
