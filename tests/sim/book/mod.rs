//! The simulator's own book: what happened to each service, who lives, who was sent what when; and what the contract
//! says must follow from that. Each rule is stated here once more, in other words than the model's.
//!
//! Owns: the judgement. Must never: take the model's word for a fact; what the model says of itself is compared.
//!
//! A page is brought up to date with what a supervisor has put on record: what one knew that was killed before it
//! recorded that, nobody knows.

mod acts;
mod claims;
mod facts;
mod follow;
mod jobs;
mod order;
mod quiet;
mod tree;
mod verdict;

pub use tree::TreeBook;

use crate::processes::Pid;
use zei::exit::Exit;
use zei::model::service::{Kind, Shutdown};
use zei::model::spec::{Condition, Policy, Timer};
use zei::model::time::{Span, Time};

/// What is judged: nothing, or what is wrong.
pub type Verdict = Result<(), (&'static str, String)>;

/// A broken rule. The text is made only then.
macro_rules! rule {
    ($holds:expr, $what:literal, $($text:tt)*) => {
        if !$holds {
            return Err(($what, format!($($text)*)));
        }
    };
}
use rule;

/// Documented margins: what survives KILL is given up after this.
const KILL_GRACE: Span = Span::seconds(10);
/// A hook without a time-out of its own.
const HOOK_TIMEOUT: Span = Span::seconds(10);
/// A start that found no room is tried again no sooner than after this.
const SCARCITY: Span = Span::seconds(1);

/// What a service is to do when nothing of it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// A run goes on.
    Run,
    /// To start as soon as its dependencies allow.
    Now,
    /// To start again then, as the policy says.
    Restart(Time),
    /// To start again then, as its interval says.
    Interval(Time),
    /// To start at the next slot of its schedule.
    Slots,
    /// Nothing: it is not wanted.
    Down,
    /// Nothing: it has done its work.
    Completed,
    /// Nothing: it has failed for good.
    Failed,
    /// Nothing: its restarts are used up.
    GaveUp,
    /// Nothing: something of it can't be killed.
    Stray,
}

/// What is to follow the end of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    Policy,
    /// A restart as by the policy, whatever that says of ends: it was unhealthy.
    Again,
    Start,
    Down,
    Leave,
}

/// Why there is no process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    Scarce,
    Broken,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    NotYet,
    Runs,
    Well,
    Badly,
}

/// A run, from the moment in which its dependencies hold until nothing of it is left and its hooks have ended.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub pre: Hook,
    /// The code of a hook that failed.
    pub hook_code: Option<u8>,
    pub refused: Option<Refused>,
    pub spawned: Option<Time>,
    pub main: Option<Pid>,
    pub ready: Option<Time>,
    /// When it must be ready.
    pub ready_by: Time,
    /// It says that it is about to end.
    pub leaving: bool,
    pub watchdog: Span,
    pub watch_by: Time,
    pub stop: Option<Stop>,
    pub ended: Option<(Time, Exit)>,
    /// The end that was put on record before it was made known.
    pub seen: Option<Exit>,
    /// It counts as failed whatever its code.
    pub fault: bool,
    /// It has said that another process is its main one, which may be another's child.
    pub alien: bool,
    /// Something was made to end it, or what it left, and when that becomes a kill.
    pub kill_by: Time,
    pub killed: Option<Time>,
    /// When a supervisor that was about to kill, and was killed itself, would have given it up.
    pub stray_at: Time,
    pub post: Hook,
    /// A supervisor was killed during it.
    pub interrupted: bool,
    pub after: After,
    /// When all of it must be over.
    pub over_by: Time,
}

/// The end of a main process that somebody or something wants.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// When it is asked.
    pub due: Time,
    pub signal: u8,
    pub asked: Option<Time>,
    /// A supervisor that was killed has put on record what it was about to do.
    pub recorded: bool,
    /// Its supervisor was killed in the instant in which it was asked.
    pub again: bool,
}

/// A job.
#[derive(Clone, Copy, Debug)]
pub struct JobSheet {
    pub kind: Kind,
    pub pid: Option<Pid>,
    pub deadline: Time,
    pub killed: bool,
    pub began: Time,
}

/// Whether something holds, and until when it did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    holds: bool,
    until: Time,
}

/// The health by the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sick {
    Untested,
    Starting,
    Healthy,
    Unhealthy,
}

/// One service's page.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// It is wanted.
    pub up: bool,
    /// And shall run only once.
    pub once: bool,
    pub told: Option<Shutdown>,
    pub next: Next,
    /// Since when it waits for its dependencies, or is what it is.
    pub since: Time,
    /// The one of them that has failed.
    pub dependency_failed: Option<usize>,
    pub run: Run,
    pub runs: u32,
    pub job: Option<JobSheet>,
    pub restarts: u32,
    pub streak: u32,
    pub succeeded: bool,
    held: [Held; 3],
    /// It was up, or had nothing to come up for, at some moment.
    pub came_up: bool,
    /// The code that the last end stands for.
    pub code: Option<u8>,
    ends: Vec<verdict::End>,
    // Health.
    pub health: Sick,
    pub failures: u32,
    /// When the next probe, of whatever kind, is due.
    pub probe_at: Time,
    /// Since when no job runs.
    pub idle_since: Time,
    /// When a reload was asked for that has not begun.
    pub reload_due: Option<Time>,
    /// When the last reload that went well had begun.
    pub reloaded: Option<Time>,
    // The schedule.
    /// Until when all slots were made good, by the wall clock.
    pub taken: u64,
    pub slot: u64,
    pub plan_at: Time,
    /// What has planned is being killed, as nobody wants the plan any more.
    pub leaves_plan: bool,
    /// The wall clock when the plan was begun.
    pub wall: u64,
    /// Since when the present supervisor looks.
    pub seen_since: Time,
    /// How the processes of the present run ended.
    deaths: Vec<(Pid, Exit)>,
    /// The main process that was killed for want of memory.
    pub short_of_memory: Option<Pid>,
}

impl Run {
    fn new(policy: &Policy) -> Run {
        Run {
            pre: Hook::NotYet,
            hook_code: None,
            refused: None,
            spawned: None,
            main: None,
            ready: None,
            ready_by: Time::NEVER,
            leaving: false,
            watchdog: policy.watchdog.unwrap_or(Span(0)),
            watch_by: Time::NEVER,
            stop: None,
            ended: None,
            seen: None,
            fault: false,
            alien: false,
            kill_by: Time::NEVER,
            killed: None,
            stray_at: Time::NEVER,
            post: Hook::NotYet,
            interrupted: false,
            after: After::Policy,
            over_by: Time::NEVER,
        }
    }

    /// The program runs, and nobody wants its end.
    pub fn is_up(&self) -> bool {
        self.main.is_some() && self.stop.is_none()
    }

    /// Nothing follows but its end.
    fn is_ending(&self) -> bool {
        self.stop.is_some() || self.ended.is_some() || self.refused.is_some() || self.pre == Hook::Badly
    }
}

impl Sheet {
    pub fn new(wanted: bool, policy: &Policy, now: Time) -> Sheet {
        let mut sheet = Sheet {
            up: wanted,
            once: false,
            told: None,
            next: Next::Down,
            since: now,
            dependency_failed: None,
            run: Run::new(policy),
            runs: 0,
            job: None,
            restarts: 0,
            streak: 0,
            succeeded: false,
            held: [Held::default(); 3],
            came_up: false,
            code: None,
            ends: Vec::new(),
            health: Sick::Untested,
            failures: 0,
            probe_at: Time::NEVER,
            idle_since: now,
            reload_due: None,
            reloaded: None,
            taken: 0,
            slot: 0,
            plan_at: Time::NEVER,
            leaves_plan: false,
            wall: 0,
            seen_since: now,
            deaths: Vec::new(),
            short_of_memory: None,
        };
        if wanted {
            sheet.rest(if is_scheduled(policy) { Next::Slots } else { Next::Now }, now);
        }
        sheet
    }

    /// Nothing of it runs; this is what it is to do.
    fn rest(&mut self, next: Next, now: Time) {
        self.leaves_plan |= self.job.is_some_and(|job| job.kind == Kind::Plan) && next != Next::Slots;
        self.next = next;
        self.since = now;
        self.dependency_failed = None;
        self.slot = 0;
        self.plan_at = if next == Next::Slots { now } else { Time::NEVER };
    }

    /// The present run, while there is one.
    pub fn open(&self) -> Option<&Run> {
        (self.next == Next::Run).then_some(&self.run)
    }

    /// The pid of its main process, as far as was known.
    pub fn main(&self) -> Option<Pid> {
        self.open().and_then(|run| run.main)
    }

    /// Its supervisor ended. `told`: it has put on record that the stop signal was sent.
    pub fn interrupt(&mut self, clean: bool, told: bool) {
        if !clean {
            self.run.interrupted = true;
            if let Some(stop) = self.run.stop.as_mut().filter(|stop| stop.asked.is_some() && !told) {
                stop.again = true;
            }
        }
    }

    /// A process of it ends, whoever learns that.
    pub fn died(&mut self, pid: Pid, exit: Exit) {
        self.deaths.push((pid, exit));
    }

    fn budget(&self) -> Time {
        self.told.map_or(Time::NEVER, |told| told.deadline)
    }

    /// When a stop that begins now becomes a kill: after the grace, or 10 s; in a shutdown the budget ends it, and is
    /// all that ends it where no grace is configured.
    fn kill_at(&self, now: Time, policy: &Policy) -> Time {
        let at = match (self.told, policy.stop_grace_period) {
            (Some(told), None) => told.deadline,
            (_, grace) => now.plus(grace.unwrap_or(Span::seconds(10))).min(self.budget()),
        };
        at.max(now)
    }
}

pub fn is_scheduled(policy: &Policy) -> bool {
    matches!(policy.timer, Some(Timer::Schedule { .. }))
}

const fn place(condition: Condition) -> usize {
    match condition {
        Condition::Started => 0,
        Condition::Healthy => 1,
        Condition::Completed => 2,
    }
}
