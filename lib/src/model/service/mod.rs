//! The life of one service: `step(service, event, now, policy) -> (service, actions)`.
//!
//! Owns: every decision about starting, restarting, stopping and giving up. Must never: act, read a
//! clock, or store a timer beside the phase it belongs to ([`Service::deadline`] derives it).

mod beside;
mod command;
mod condition;
mod end;
mod ending;
mod outcome;
mod step;
mod successor;
#[cfg(test)]
mod tests;

pub use beside::plan_after;
pub use condition::{Standing, Told, judge};
pub use ending::{Ending, Failure, SpawnStage};
pub use outcome::{Goal, Outcome, count_before, is_under_way, joins_a_start, outcome};
pub use step::step;
pub use successor::{Main, left_behind, may_have_left, renewed, take_over};

use crate::exit::Exit;
use crate::model::spec::{Policy, Timer};
use crate::model::time::{Span, Time};
use crate::protocol::status::{Health, State};

/// Where there is no room for another process, a start is tried again no sooner than after this.
const SCARCITY: Span = Span::seconds(1);

/// After a kill, survivors are waited for so long before the service is given up as `stray`.
const KILL_GRACE: Span = Span::seconds(10);

/// A hook or a reload without a time-out of its own has so long.
pub const HOOK_TIMEOUT: Span = Span::seconds(10);

/// What works out the next slot of a schedule has so long, and so long later it is tried again where it failed.
const PLAN_TIMEOUT: Span = Span::seconds(10);
const PLAN_AGAIN: Span = Span::seconds(60);

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
    /// What goes on beside the main process.
    pub beside: Beside,
    /// How the last run ended.
    pub ending: Option<Ending>,
    /// What makes that end, or the one that was begun, a failure whatever its code.
    pub fault: Option<Fault>,
    /// When the present or last run began.
    pub began: Time,
    /// When it became ready in that run; [`Time::NEVER`]: it did not.
    pub up: Time,
    /// Restarts by policy in a row: what `max_restarts` counts.
    pub streak: u32,
    /// Restarts by policy since the last start by hand.
    pub restarts: u32,
    /// How many runs were begun so far.
    pub run: u32,
    /// How often it was restarted by hand while it ran: what those ask about that restart along with it.
    pub by_hand: u32,
    /// How many reloads by a command have ended.
    pub reloads: u32,
    /// The last of them ended well.
    pub reloaded: bool,
    /// A reload by a command is to be begun, once nothing else goes on beside the main process.
    pub reload_due: bool,
    /// A run of it has ended well.
    pub succeeded: bool,
    /// This run is followed by none, whatever the policy says.
    pub once: bool,
    /// `post_stop` is due at the end of this run.
    pub post_due: bool,
    /// Its main process got the stop signal.
    pub asked: bool,
    /// When the probe is due that a reload has pushed aside; [`Time::NEVER`]: none was.
    pub probe_at: Time,
    /// Its health.
    pub health: Health,
    /// Failed checks in a row that count.
    pub failures: u32,
    /// What it last said of itself.
    pub notice: Notice,
    /// When it must have said next that it lives; [`Time::NEVER`]: it need not.
    pub watchdog_at: Time,
    /// How often it must say so, in milliseconds; 0: it need not.
    pub watchdog: Span,
    /// Until when all slots of its schedule were made good by a run: milliseconds since 1970; 0: it never ran by it.
    pub slot: u64,
    /// The shutdown that has reached it.
    pub shutdown: Option<Shutdown>,
}

/// What goes on beside the main process: one job at the most, so none piles up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beside {
    /// Nothing, and nothing is planned.
    Nothing,
    /// The next check, or the next try to plan, is due then.
    Due(Time),
    /// This job was ordered or runs.
    Job {
        /// What it is for.
        kind: Kind,
        /// Its process, once that is there.
        process: Option<Process>,
        /// When it is killed.
        deadline: Time,
        /// It was killed, or is about to be.
        killed: bool,
    },
}

/// What a job is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `pre_start`.
    PreStart,
    /// `post_stop`.
    PostStop,
    /// A try of `ready`.
    Ready,
    /// A check of `healthcheck`.
    Health,
    /// `reload`.
    Reload,
    /// The next slot of `schedule` is worked out.
    Plan,
}

impl Kind {
    /// Whether it is killed as soon as the service is to end. A hook may end by itself, as the service may.
    pub const fn is_probe(self) -> bool {
        matches!(self, Kind::Ready | Kind::Health | Kind::Plan)
    }
}

/// Why a run counts as failed whatever the exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// `pre_start` failed; [`Service::ending`] is the hook's.
    PreStart,
    /// It ended, or its time was up, before it was ready.
    NotReady,
    /// It was unhealthy.
    Unhealthy,
    /// It no longer said that it lives.
    Watchdog,
    /// The kernel killed it because memory was short.
    OutOfMemory,
}

impl Fault {
    /// Its word in a reason.
    pub const fn word(self) -> &'static str {
        match self {
            Fault::PreStart => "pre-start",
            Fault::NotReady => "not-ready",
            Fault::Unhealthy => "unhealthy",
            Fault::Watchdog => "watchdog",
            Fault::OutOfMemory => "oom",
        }
    }
}

/// What a service says of itself by sd_notify(3), beside being ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Nothing.
    None,
    /// RELOADING=1, until READY=1.
    Reloading,
    /// STOPPING=1: it is about to end, and not ready any more.
    Stopping,
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
    /// `pre_start` runs.
    Preparing,
    /// A process was ordered.
    Spawning,
    /// The main process runs and is not ready.
    Starting {
        /// When that is a failure.
        deadline: Time,
    },
    /// The main process runs and is ready, so far as that is tested.
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
    /// The next slot of its schedule is not known yet.
    Planning,
    /// The schedule starts it at this slot.
    Planned {
        /// Milliseconds since 1970, by the wall clock.
        slot: u64,
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
    /// It is not ready any more, and not yet asked to end.
    Drain,
    /// The stop signal was sent to the main process.
    Main,
    /// The main process ended; its descendants were asked to.
    Rest,
    /// What was left was killed.
    Kill,
    /// Nothing was left; `post_stop` runs.
    Post,
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
    /// It starts again as by the policy, whatever that says of ends.
    Again,
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

/// What can happen to a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// All its dependencies hold.
    DependenciesMet,
    /// This one can't hold any more.
    DependencyFailed(u16),
    /// Each may still come to hold, and not all do.
    DependenciesPending,
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
        /// The kernel killed it because memory was short.
        oom: bool,
    },
    /// A descendant other than the main process ended, others are left.
    Reaped,
    /// No descendant is left.
    Empty,
    /// The ordered job runs.
    JobBegan(Process),
    /// It never became the program.
    JobNotBegan(Failure),
    /// The job ended. What else ended with it is told by `Reaped` or `Empty` after this.
    JobEnded(Exit),
    /// A [`Kind::Plan`] job ended well with this, the first slot after what [`plan_after`] said when it was begun, in
    /// milliseconds since 1970. Comes instead of `JobEnded`.
    Slot(u64),
    /// The slot has come; the wall clock stands at this.
    SlotCame(u64),
    /// The wall clock was set to this.
    ClockSet(u64),
    /// It says that it is ready, or so says its output.
    Ready,
    /// It says this of itself.
    Notice(Notice),
    /// It says that it lives.
    Alive,
    /// It says that it does not work any more (WATCHDOG=trigger).
    Ailing,
    /// It says how often it will say that it lives; 0: not any more.
    WatchdogSet(Span),
    /// It asks for this much more time, from now on, to become ready or to end.
    Extend(Span),
    /// It says that this process, a descendant, is its main one.
    MainIs(Process),
    /// [`Service::deadline`] has come.
    Timer,
    /// It shall run.
    Start,
    /// It shall run once, whatever its policy.
    Once,
    /// It shall not run.
    Stop,
    /// It shall run in a new process.
    Restart,
    /// Its reload command shall run.
    Reload,
    /// The tree shuts down; what is left then is killed.
    Shutdown(Shutdown),
    /// The main process was sent what [`Action::Ask`] said.
    Asked,
    /// Another supervisor goes on with it, while something of it is there: what its predecessor may not have come to do
    /// is due.
    TakenOver,
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
    /// Make a process for this; answered by `JobBegan` or `JobNotBegan`.
    Begin(Kind),
    /// Kill the job beside the main process, and all that it has made.
    KillJob,
    /// Send this to the main process, or to its whole group; then CONT, so that a stopped one takes it. A probe
    /// beside it ([`Kind::is_probe`]) is killed first.
    Ask {
        /// The signal.
        signal: u8,
        /// Not only the main process.
        group: bool,
    },
    /// Send TERM and CONT to every descendant; a probe is killed first.
    AskRest,
    /// Send KILL to the main process and every descendant.
    Kill,
    /// The supervisor's work is done.
    Leave,
}

impl Service {
    /// A service that was never started.
    pub const fn new(want: bool, now: Time, policy: &Policy) -> Service {
        let scheduled = matches!(policy.timer, Some(Timer::Schedule { .. }));
        Service {
            phase: match (want, scheduled) {
                (false, _) => Phase::Stopped,
                (true, true) => Phase::Planning,
                (true, false) => Phase::Waiting,
            },
            since: now,
            want,
            process: None,
            beside: if want && scheduled { Beside::Due(now) } else { Beside::Nothing },
            ending: None,
            fault: None,
            began: now,
            up: Time::NEVER,
            streak: 0,
            restarts: 0,
            run: 0,
            by_hand: 0,
            reloads: 0,
            reloaded: false,
            reload_due: false,
            succeeded: false,
            once: false,
            post_due: false,
            asked: false,
            probe_at: Time::NEVER,
            health: Health::None,
            failures: 0,
            notice: Notice::None,
            watchdog_at: Time::NEVER,
            watchdog: Span(0),
            slot: 0,
            shutdown: None,
        }
    }

    /// When [`Event::Timer`] is due. A slot of a schedule is none: the wall clock tells it.
    pub fn deadline(&self) -> Option<Time> {
        let phase = match self.phase {
            Phase::Starting { deadline } | Phase::Stopping { deadline, .. } => deadline,
            Phase::RestartPending { at } | Phase::Scheduled { at } => at,
            Phase::Waiting
            | Phase::Preparing
            | Phase::Spawning
            | Phase::Running
            | Phase::Planning
            | Phase::Planned { .. }
            | Phase::Stopped
            | Phase::Completed
            | Phase::Failed(_) => Time::NEVER,
        };
        let beside = match self.beside {
            Beside::Due(at) => at,
            Beside::Job { deadline, killed: false, .. } => deadline,
            Beside::Job { killed: true, .. } | Beside::Nothing => Time::NEVER,
        };
        let first = phase.min(beside).min(self.watchdog_at);
        (first != Time::NEVER).then_some(first)
    }

    /// Whether it is ready: what `ready` in the status says.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Running && self.notice != Notice::Stopping
    }

    /// Whether its last run ended well.
    pub fn ended_well(&self) -> bool {
        self.fault.is_none() && self.ending.is_some_and(Ending::is_success)
    }

    /// The code that its last end stands for; `None`: it ended well enough, and failed all the same.
    pub fn code(&self) -> Option<u8> {
        self.ending.filter(|ending| self.fault.is_none() || !ending.is_success()).map(Ending::code)
    }

    /// Whether the runner has to watch its dependencies.
    pub const fn awaits_dependencies(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Failed(Reason::Dependency(_)))
    }

    /// The word for its phase.
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Waiting => State::Waiting,
            Phase::Preparing | Phase::Spawning | Phase::Starting { .. } => State::Starting,
            Phase::Running => State::Running,
            Phase::Stopping { .. } => State::Stopping,
            Phase::RestartPending { .. } => State::RestartPending,
            Phase::Scheduled { .. } | Phase::Planning | Phase::Planned { .. } => State::Scheduled,
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
