//! What schedules have led to, so that none of it goes untested unnoticed.
//!
//! Owns: the counts, and how they are printed. Must never: decide what is impossible (that is `impossible`).

use crate::impossible;
use crate::point::Point;
use std::fmt::Write as _;
use zei::model::init::Event as TreeEvent;
use zei::model::service::{Event, Phase, Reason, Stage};

macro_rules! names {
    ($(#[$doc:meta])* $type:ident: $($name:ident,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum $type { $($name),* }

        impl $type {
            pub const ALL: &'static [$type] = &[$($type::$name),*];
        }
    };
}

names! {
    /// A phase, whatever its deadlines.
    PhaseName:
    Waiting, Preparing, Spawning, Starting, Running, Drain, Main, Rest, Kill, Post, RestartPending, Scheduled, Planning,
    Planned, Stopped, Completed, FailedEnded, FailedGaveUp, FailedDependency, FailedStray,
}

names! {
    /// An event, whatever it carries.
    EventName:
    DependenciesMet, DependenciesPending, DependencyFailed, Spawned, NotSpawned, Exited, Reaped, Empty, JobBegan, JobNotBegan, JobEnded, Slot,
    SlotCame, ClockSet, Ready, Notice, Alive, Ailing, WatchdogSet, Extend, MainIs, Timer, Start, Once, Stop, Restart,
    Reload, Shutdown, Asked, TakenOver,
}

names! {
    /// A stage of the tree.
    StageName:
    Booting, Up, Stopping, Emptying,
}

names! {
    /// An event of the tree.
    TreeEventName:
    Changed, SupervisorEnded, NotStarted, NotRestarted, Signal, Shutdown, Timer, Reaped, Empty,
}

names! {
    /// Whatever else is to happen now and then.
    Fact:
    Fork, Hop, LeftBehind, TakenOver, Adopted, EndedMeanwhile, NotMadeMeanwhile, EndTold, EndUntold, AskedAgain, RingLost, ReportLost, AllRead, Scarce, Broken, SupervisorRefused, Answered,
    DoneAgain, Passed, Enough, AtRest, StrayGone, AlienEnded, ClockSetWhilePlanning, Asked, Killed, Drained, Extended,
    Followed, NotRestarted, ReadyTooLate, Hungry, Unhealthy, HungJob, Restarted, GaveUp, Reset, SlotRun, SlotMissed, CaughtUp, PostStop,
    CodeTold, EndByItself, EndByRequest, EndByOne, Reminder, Overdue,
}

impl PhaseName {
    pub const fn of(phase: Phase) -> PhaseName {
        match phase {
            Phase::Waiting => PhaseName::Waiting,
            Phase::Preparing => PhaseName::Preparing,
            Phase::Spawning => PhaseName::Spawning,
            Phase::Starting { .. } => PhaseName::Starting,
            Phase::Running => PhaseName::Running,
            Phase::Stopping { stage: Stage::Drain, .. } => PhaseName::Drain,
            Phase::Stopping { stage: Stage::Main, .. } => PhaseName::Main,
            Phase::Stopping { stage: Stage::Rest, .. } => PhaseName::Rest,
            Phase::Stopping { stage: Stage::Kill, .. } => PhaseName::Kill,
            Phase::Stopping { stage: Stage::Post, .. } => PhaseName::Post,
            Phase::RestartPending { .. } => PhaseName::RestartPending,
            Phase::Scheduled { .. } => PhaseName::Scheduled,
            Phase::Planning => PhaseName::Planning,
            Phase::Planned { .. } => PhaseName::Planned,
            Phase::Stopped => PhaseName::Stopped,
            Phase::Completed => PhaseName::Completed,
            Phase::Failed(Reason::Ended) => PhaseName::FailedEnded,
            Phase::Failed(Reason::GaveUp) => PhaseName::FailedGaveUp,
            Phase::Failed(Reason::Dependency(_)) => PhaseName::FailedDependency,
            Phase::Failed(Reason::Stray) => PhaseName::FailedStray,
        }
    }
}

impl EventName {
    pub const fn of(event: &Event) -> EventName {
        match event {
            Event::DependenciesMet => EventName::DependenciesMet,
            Event::DependenciesPending => EventName::DependenciesPending,
            Event::DependencyFailed(_) => EventName::DependencyFailed,
            Event::Spawned(_) => EventName::Spawned,
            Event::NotSpawned(_) => EventName::NotSpawned,
            Event::Exited { .. } => EventName::Exited,
            Event::Reaped => EventName::Reaped,
            Event::Empty => EventName::Empty,
            Event::JobBegan(_) => EventName::JobBegan,
            Event::JobNotBegan(_) => EventName::JobNotBegan,
            Event::JobEnded(_) => EventName::JobEnded,
            Event::Slot(_) => EventName::Slot,
            Event::SlotCame(_) => EventName::SlotCame,
            Event::ClockSet(_) => EventName::ClockSet,
            Event::Ready => EventName::Ready,
            Event::Notice(_) => EventName::Notice,
            Event::Alive => EventName::Alive,
            Event::Ailing => EventName::Ailing,
            Event::WatchdogSet(_) => EventName::WatchdogSet,
            Event::Extend(_) => EventName::Extend,
            Event::MainIs(_) => EventName::MainIs,
            Event::Timer => EventName::Timer,
            Event::Start => EventName::Start,
            Event::Once => EventName::Once,
            Event::Stop => EventName::Stop,
            Event::Restart => EventName::Restart,
            Event::Reload => EventName::Reload,
            Event::Shutdown(_) => EventName::Shutdown,
            Event::Asked => EventName::Asked,
            Event::TakenOver => EventName::TakenOver,
        }
    }
}

impl TreeEventName {
    const fn of(event: &TreeEvent) -> TreeEventName {
        match event {
            TreeEvent::Changed(..) => TreeEventName::Changed,
            TreeEvent::SupervisorEnded { .. } => TreeEventName::SupervisorEnded,
            TreeEvent::NotStarted(_) => TreeEventName::NotStarted,
            TreeEvent::NotRestarted(_) => TreeEventName::NotRestarted,
            TreeEvent::Signal(_) => TreeEventName::Signal,
            TreeEvent::Shutdown => TreeEventName::Shutdown,
            TreeEvent::Timer => TreeEventName::Timer,
            TreeEvent::Reaped => TreeEventName::Reaped,
            TreeEvent::Empty => TreeEventName::Empty,
        }
    }
}

const PHASES: usize = PhaseName::ALL.len();
const EVENTS: usize = EventName::ALL.len();
const STAGES: usize = StageName::ALL.len();
const TREE_EVENTS: usize = TreeEventName::ALL.len();

/// How often each was reached.
#[derive(Clone)]
pub struct Reached {
    pairs: [[u64; EVENTS]; PHASES],
    tree_pairs: [[u64; TREE_EVENTS]; STAGES],
    points: [u64; Point::ALL.len()],
    facts: [u64; Fact::ALL.len()],
}

impl Reached {
    pub fn new() -> Reached {
        Reached {
            pairs: [[0; EVENTS]; PHASES],
            tree_pairs: [[0; TREE_EVENTS]; STAGES],
            points: [0; Point::ALL.len()],
            facts: [0; Fact::ALL.len()],
        }
    }

    pub fn pair(&mut self, phase: Phase, event: &Event) {
        self.pairs[PhaseName::of(phase) as usize][EventName::of(event) as usize] += 1;
    }

    pub fn tree_pair(&mut self, stage: StageName, event: &TreeEvent) {
        self.tree_pairs[stage as usize][TreeEventName::of(event) as usize] += 1;
    }

    pub fn point(&mut self, point: Point) {
        self.points[point as usize] += 1;
    }

    pub fn fact(&mut self, fact: Fact) {
        self.facts[fact as usize] += 1;
    }

    pub fn add(&mut self, more: &Reached) {
        let add = |to: &mut [u64], more: &[u64]| to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
        self.pairs.iter_mut().zip(&more.pairs).for_each(|(to, more)| add(to, more));
        self.tree_pairs.iter_mut().zip(&more.tree_pairs).for_each(|(to, more)| add(to, more));
        add(&mut self.points, &more.points);
        add(&mut self.facts, &more.facts);
    }

    /// All that is counted: its name, how often, and why that can't be.
    fn all(&self) -> impl Iterator<Item = (String, u64, Option<&'static str>)> {
        let pairs = PhaseName::ALL.iter().zip(&self.pairs).flat_map(|(phase, row)| {
            EventName::ALL
                .iter()
                .zip(row)
                .map(move |(event, count)| (format!("({phase:?}, {event:?})"), *count, impossible::why(*phase, *event)))
        });
        let tree_pairs = StageName::ALL.iter().zip(&self.tree_pairs).flat_map(|(stage, row)| {
            TreeEventName::ALL.iter().zip(row).map(move |(event, count)| {
                (format!("(tree {stage:?}, {event:?})"), *count, impossible::why_not_in_tree(*stage, *event))
            })
        });
        let points = Point::ALL.iter().zip(&self.points);
        let points = points.map(|(point, count)| (format!("killed {}", point.text()), *count, None));
        let facts = Fact::ALL.iter().zip(&self.facts).map(|(fact, count)| (format!("{fact:?}"), *count, None));
        pairs.chain(tree_pairs).chain(points).chain(facts)
    }

    /// What was never reached though it can be, and what was though it can't.
    pub fn gaps(&self) -> (Vec<String>, Vec<String>) {
        let missing = self.all().filter(|(_, count, why)| *count == 0 && why.is_none());
        let absurd = self.all().filter(|(_, count, _)| *count > 0);
        (
            missing.map(|(name, ..)| name).collect(),
            absurd.filter_map(|(name, count, why)| Some(format!("{name}: {count}, though {}", why?))).collect(),
        )
    }

    /// Whether what has this name was reached.
    pub fn has(&self, what: &str) -> bool {
        self.all().any(|(name, count, _)| name == what && count > 0)
    }

    /// The tables, as they are printed.
    pub fn print(&self) -> String {
        let mut text = String::from("how often each event came in each phase; `.`: it can't\n");
        table(&mut text, PhaseName::ALL, EventName::ALL, |phase, event| {
            let count = self.pairs[phase as usize][event as usize];
            (count, impossible::why(phase, event).is_some())
        });
        text.push_str("\nhow often each event came in each stage of the tree\n");
        table(&mut text, StageName::ALL, TreeEventName::ALL, |stage, event| {
            let count = self.tree_pairs[stage as usize][event as usize];
            (count, impossible::why_not_in_tree(stage, event).is_some())
        });
        text.push_str("\nhow often a supervisor was killed\n");
        for (point, count) in Point::ALL.iter().zip(&self.points) {
            let _ = writeln!(text, "{count:>11}  {}", point.text());
        }
        text.push_str("\nwhat else happened\n");
        for (fact, count) in Fact::ALL.iter().zip(&self.facts) {
            let _ = writeln!(text, "{count:>11}  {fact:?}");
        }
        text
    }
}

/// A line for each event, a column for each phase.
fn table<P: Copy + std::fmt::Debug, E: Copy + std::fmt::Debug>(
    text: &mut String,
    columns: &[P],
    lines: &[E],
    count: impl Fn(P, E) -> (u64, bool),
) {
    let _ = write!(text, "{:<17}", "");
    for column in columns {
        let name = format!("{column:?}");
        let _ = write!(text, " {:>9}", name.get(..9).unwrap_or(&name));
    }
    for line in lines {
        let _ = write!(text, "\n{:<17}", format!("{line:?}"));
        for column in columns {
            let cell = match count(*column, *line) {
                (0, true) => ".".to_owned(),
                (count, _) => count.to_string(),
            };
            let _ = write!(text, " {cell:>9}");
        }
    }
    text.push('\n');
}
