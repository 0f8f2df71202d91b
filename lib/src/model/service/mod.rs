//! The life of one service: `step(service, event, now, policy) -> (service, actions)`.
//!
//! Owns: every decision about starting, restarting, stopping and giving up. Must never: act, read a
//! clock, or store a timer beside the phase it belongs to ([`Service::deadline`] derives it).

mod condition;
mod outcome;
mod step;
mod successor;
#[cfg(test)]
mod tests;

pub use condition::{Standing, judge};
pub use outcome::{Goal, Outcome, joins_a_start, outcome};
pub use step::step;
pub use successor::{left_behind, take_over};

use crate::exit::Exit;
use crate::model::time::{Span, Time};
use crate::protocol::status::State;

/// Where there is no room for another process, a start is tried again no sooner than after this.
const SCARCITY: Span = Span::seconds(1);

/// After a kill, survivors are waited for so long before the service is given up as `stray`.
const KILL_GRACE: Span = Span::seconds(10);

/// A service as it stands. Plain data: it is also what the run record holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Service {
    /// What it is doing.
    pub phase: Phase,
    /// When the phase began.
    pub since: Time,
    /// Whether it is wanted.
    pub want: bool,
    /// The main process, from its start until its end has been taken.
    pub process: Option<Process>,
    /// How the last run ended.
    pub ending: Option<Ending>,
    /// When the present or last run began.
    pub began: Time,
    /// Restarts by policy in a row: what `max_restarts` counts.
    pub streak: u32,
    /// Restarts by policy since the last start by hand.
    pub restarts: u32,
    /// How many processes were started so far.
    pub run: u32,
    /// A run of it has ended well.
    pub succeeded: bool,
}

/// A process, told apart from a later one with the same pid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its start time in clock ticks since boot (proc(5), field 22); 0 where it could not be read.
    pub start: u64,
}

/// What a service is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Wanted; starts as soon as its dependencies allow.
    Waiting,
    /// A process was ordered.
    Starting,
    /// The main process runs.
    Running,
    /// The main process or what it left behind is being ended.
    Stopping {
        /// How far that has come.
        stage: Stage,
        /// When the next stage begins.
        deadline: Time,
        /// What follows.
        then: Then,
    },
    /// The policy starts it again then.
    RestartPending {
        /// When.
        at: Time,
    },
    /// The timer starts it again then.
    Scheduled {
        /// When.
        at: Time,
    },
    /// Not wanted.
    Stopped,
    /// Ended well, not started again.
    Completed,
    /// Ended badly for good, or can't start.
    Failed(Reason),
}

/// How far a stop has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The stop signal was sent to the main process.
    Main,
    /// The main process ended; its descendants were asked to.
    Rest,
    /// What was left was killed.
    Kill,
}

/// What follows once nothing is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// The policy decides: nobody asked for this end.
    Decide,
    /// It stays down.
    Down,
    /// It starts again at once.
    Start,
    /// The supervisor leaves: the tree shuts down.
    Leave,
}

/// Why a service is failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Its last run ended badly; see [`Service::ending`].
    Ended,
    /// The policy's restarts are used up.
    GaveUp,
    /// The dependency with this index (of zei-init's list) failed for good.
    Dependency(u16),
    /// Something of it survived SIGKILL.
    Stray,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The main process ended.
    Exited(Exit),
    /// It never became the program.
    NotStarted(Failure),
}

/// Where a start failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What was being done.
    pub stage: SpawnStage,
    /// The error number of errno(3).
    pub errno: i32,
}

macro_rules! stages {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// What a new process does between its creation and its program.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum SpawnStage { $(#[doc = $text] $name = $number),* }

        impl SpawnStage {
            /// All of them.
            pub const ALL: &'static [SpawnStage] = &[$(SpawnStage::$name),*];

            /// As it stands behind "cannot" in a message.
            pub const fn text(self) -> &'static str {
                match self { $(SpawnStage::$name => $text),* }
            }
        }
    };
}

stages! {
    Process = 1, "make a process";
    Record = 2, "record the process";
    Session = 3, "begin a session";
    Terminal = 4, "take the terminal";
    Stdin = 5, "open standard input";
    Stdout = 6, "open standard output";
    Stderr = 7, "open standard error";
    Signals = 8, "reset the signals";
    Directory = 9, "change to the working directory";
    Groups = 10, "set the supplementary groups";
    Group = 11, "switch to the group";
    User = 12, "switch to the user";
    Limits = 14, "set a resource limit";
    Descriptor = 15, "pass the readiness descriptor";
    Execute = 13, "execute the program";
}

impl SpawnStage {
    /// The stage with this number.
    pub fn from_number(number: u8) -> Option<SpawnStage> {
        SpawnStage::ALL.iter().copied().find(|stage| *stage as u8 == number)
    }
}

/// ENOENT and ENOTDIR of errno(3): the program, or a part of its path, is not there.
const NOT_THERE: [i32; 2] = [2, 20];

impl Ending {
    /// Whether this is how a run should end.
    pub fn is_success(self) -> bool {
        matches!(self, Ending::Exited(exit) if exit.is_success())
    }

    /// The code a shell would show: 127 and 126 for a program that is not there or can't be
    /// executed, 111 where the system refused something on the way to it.
    pub fn code(self) -> u8 {
        match self {
            Ending::Exited(exit) => exit.code(),
            Ending::NotStarted(Failure { stage: SpawnStage::Execute, errno }) if NOT_THERE.contains(&errno) => {
                crate::exit::NOT_FOUND
            }
            Ending::NotStarted(Failure { stage: SpawnStage::Execute, .. }) => crate::exit::NOT_EXECUTABLE,
            Ending::NotStarted(_) => crate::exit::SYSTEM,
        }
    }
}

/// What can happen to a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// All its dependencies hold.
    DependenciesMet,
    /// This one can't hold any more.
    DependencyFailed(u16),
    /// The ordered process is the program now.
    Spawned(Process),
    /// It never became one.
    NotSpawned(Failure),
    /// The main process ended. `alone`: it left nothing behind.
    Exited {
        /// How.
        exit: Exit,
        /// No descendant is left.
        alone: bool,
    },
    /// A descendant other than the main process ended, others are left.
    Reaped,
    /// No descendant is left.
    Empty,
    /// [`Service::deadline`] has come.
    Timer,
    /// It shall run.
    Start,
    /// It shall not run.
    Stop,
    /// It shall run in a new process.
    Restart,
    /// The tree shuts down; what is left then is killed.
    Shutdown(Shutdown),
}

/// The terms of a shutdown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shutdown {
    /// When the budget of the whole tree ends.
    pub deadline: Time,
    /// The signal that began it, for the command; `None`: the policy's own.
    pub signal: Option<u8>,
}

/// What the runner has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Make a process; answered by `Spawned` or `NotSpawned`.
    Spawn,
    /// Send this to the main process, or to its whole group; then CONT, so that a stopped one takes it.
    Ask {
        /// The signal.
        signal: u8,
        /// Not only the main process.
        group: bool,
    },
    /// Send TERM and CONT to every descendant.
    AskRest,
    /// Send KILL to the main process and every descendant.
    Kill,
    /// The supervisor's work is done.
    Leave,
}

impl Service {
    /// A service that was never started.
    pub const fn new(want: bool, now: Time) -> Service {
        Service {
            phase: if want { Phase::Waiting } else { Phase::Stopped },
            since: now,
            want,
            process: None,
            ending: None,
            began: now,
            streak: 0,
            restarts: 0,
            run: 0,
            succeeded: false,
        }
    }

    /// When [`Event::Timer`] is due.
    pub const fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Stopping { deadline, .. } => Some(deadline),
            Phase::RestartPending { at } | Phase::Scheduled { at } => Some(at),
            Phase::Waiting
            | Phase::Starting
            | Phase::Running
            | Phase::Stopped
            | Phase::Completed
            | Phase::Failed(_) => None,
        }
    }

    /// Whether the runner has to watch its dependencies.
    pub const fn awaits_dependencies(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Failed(Reason::Dependency(_)))
    }

    /// The word for its phase.
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Waiting => State::Waiting,
            Phase::Starting => State::Starting,
            Phase::Running => State::Running,
            Phase::Stopping { .. } => State::Stopping,
            Phase::RestartPending { .. } => State::RestartPending,
            Phase::Scheduled { .. } => State::Scheduled,
            Phase::Stopped => State::Stopped,
            Phase::Completed => State::Completed,
            Phase::Failed(_) => State::Failed,
        }
    }

    fn enter(&mut self, phase: Phase, now: Time) {
        self.phase = phase;
        self.since = now;
    }
}
