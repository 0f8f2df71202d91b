//! The life of one service: `step(service, event, now, policy) -> (service, actions)`.
//!
//! Owns: every decision about starting, restarting, stopping and giving up. Must never: act, read a
//! clock, or store a timer beside the phase it belongs to ([`Service::deadline`] derives it).
//! No `match` on phase and event here has a catch-all arm: a new event must be thought about in
//! every phase.

use crate::exit::Exit;
use crate::model::spec::{Policy, Restart, StopScope};
use crate::model::time::{Span, Time};
use crate::protocol::status::State;
use crate::signal;

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

/// One step of a service's life. `None`: nothing is to be done beyond recording the new state.
pub fn step(mut service: Service, event: Event, now: Time, policy: &Policy) -> (Service, Option<Action>) {
    let action = match event {
        Event::DependenciesMet => dependencies_met(&mut service, now),
        Event::DependencyFailed(index) => dependency_failed(&mut service, index, now),
        Event::Spawned(process) => spawned(&mut service, process, now),
        Event::NotSpawned(failure) => not_spawned(&mut service, failure, now, policy),
        Event::Exited { exit, alone } => exited(&mut service, exit, alone, now, policy),
        Event::Reaped => reaped(&service),
        Event::Empty => empty(&mut service, now, policy),
        Event::Timer => timer(&mut service, now),
        Event::Start => start(&mut service, now),
        Event::Stop => stop(&mut service, now, policy),
        Event::Restart => restart(&mut service, now, policy),
        Event::Shutdown(shutdown) => shut_down(&mut service, shutdown, now, policy),
    };
    (service, action)
}

fn dependencies_met(service: &mut Service, now: Time) -> Option<Action> {
    match service.phase {
        Phase::Waiting | Phase::Failed(Reason::Dependency(_)) => {
            service.enter(Phase::Starting, now);
            service.began = now;
            service.run = service.run.saturating_add(1);
            Some(Action::Spawn)
        }
        // Nobody was waiting for them.
        Phase::Starting
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Stray) => None,
    }
}

fn dependency_failed(service: &mut Service, index: u16, now: Time) -> Option<Action> {
    match service.phase {
        Phase::Waiting | Phase::Failed(Reason::Dependency(_)) => {
            let phase = Phase::Failed(Reason::Dependency(index));
            if service.phase != phase {
                service.enter(phase, now);
            }
        }
        Phase::Starting
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Stray) => {}
    }
    None
}

fn spawned(service: &mut Service, process: Process, now: Time) -> Option<Action> {
    match service.phase {
        Phase::Starting => {
            service.process = Some(process);
            service.enter(Phase::Running, now);
        }
        // A spawn is answered before anything else happens.
        Phase::Waiting
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => {}
    }
    None
}

fn not_spawned(service: &mut Service, failure: Failure, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Starting => {
            service.ending = Some(Ending::NotStarted(failure));
            decide(service, now, policy)
        }
        Phase::Waiting
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => None,
    }
}

fn exited(service: &mut Service, exit: Exit, alone: bool, now: Time, policy: &Policy) -> Option<Action> {
    service.process = None;
    service.ending = Some(Ending::Exited(exit));
    match service.phase {
        Phase::Starting | Phase::Running => {
            leave_nothing(service, now.plus(policy.grace()), Then::Decide, alone, now, policy)
        }
        Phase::Stopping { stage: Stage::Main, deadline, then } => {
            leave_nothing(service, deadline, then, alone, now, policy)
        }
        Phase::Stopping { stage: Stage::Rest | Stage::Kill, then, .. } => {
            if alone {
                ended(service, then, now, policy)
            } else {
                reaped(service)
            }
        }
        // Without a main process none can end.
        Phase::Waiting
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => None,
    }
}

/// The main process has ended: nothing of the service may stay behind before anything follows.
fn leave_nothing(
    service: &mut Service,
    deadline: Time,
    then: Then,
    alone: bool,
    now: Time,
    policy: &Policy,
) -> Option<Action> {
    if alone {
        return ended(service, then, now, policy);
    }
    match policy.stop_scope {
        StopScope::Tree => {
            service.enter(Phase::Stopping { stage: Stage::Rest, deadline, then }, now);
            Some(Action::AskRest)
        }
        StopScope::Process | StopScope::Group => {
            service.enter(Phase::Stopping { stage: Stage::Kill, deadline: now.plus(KILL_GRACE), then }, now);
            Some(Action::Kill)
        }
    }
}

fn reaped(service: &Service) -> Option<Action> {
    match service.phase {
        // A killed parent may have left children that the sweep before did not see.
        Phase::Stopping { stage: Stage::Kill, .. } => Some(Action::Kill),
        Phase::Stopping { stage: Stage::Main | Stage::Rest, .. }
        | Phase::Waiting
        | Phase::Starting
        | Phase::Running
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => None,
    }
}

fn empty(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Stopping { then, .. } if service.process.is_none() => ended(service, then, now, policy),
        Phase::Failed(Reason::Stray) if !service.want => {
            service.enter(Phase::Stopped, now);
            None
        }
        Phase::Stopping { .. }
        | Phase::Waiting
        | Phase::Starting
        | Phase::Running
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => None,
    }
}

/// Nothing of it is left.
fn ended(service: &mut Service, then: Then, now: Time, policy: &Policy) -> Option<Action> {
    service.process = None;
    match then {
        Then::Decide => decide(service, now, policy),
        Then::Down => {
            service.enter(Phase::Stopped, now);
            None
        }
        Then::Start => {
            service.enter(Phase::Waiting, now);
            None
        }
        Then::Leave => {
            service.enter(Phase::Stopped, now);
            Some(Action::Leave)
        }
    }
}

/// Nobody asked for this end: what does the policy say?
fn decide(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    let well = service.ending.is_some_and(Ending::is_success);
    service.succeeded |= well;
    if now.since(service.began) >= policy.reset_after {
        service.streak = 0;
    }
    let again = match policy.restart {
        Restart::Never => false,
        Restart::OnFailure => !well,
        Restart::Always => true,
    };
    let phase = match policy.interval {
        Some(interval) => Phase::Scheduled { at: now.plus(interval) },
        None if !again && well => Phase::Completed,
        None if !again => Phase::Failed(Reason::Ended),
        None if policy.max_restarts > 0 && service.streak >= policy.max_restarts => Phase::Failed(Reason::GaveUp),
        None => {
            service.streak = service.streak.saturating_add(1);
            service.restarts = service.restarts.saturating_add(1);
            match policy.restart_delay {
                Span(0) => Phase::Waiting,
                delay => Phase::RestartPending { at: now.plus(delay) },
            }
        }
    };
    service.enter(phase, now);
    None
}

fn timer(service: &mut Service, now: Time) -> Option<Action> {
    if service.deadline().is_none_or(|deadline| now < deadline) {
        return None;
    }
    match service.phase {
        Phase::RestartPending { .. } | Phase::Scheduled { .. } => {
            service.enter(Phase::Waiting, now);
            None
        }
        Phase::Stopping { stage: Stage::Main | Stage::Rest, then, .. } => {
            service.enter(Phase::Stopping { stage: Stage::Kill, deadline: now.plus(KILL_GRACE), then }, now);
            Some(Action::Kill)
        }
        Phase::Stopping { stage: Stage::Kill, then, .. } => {
            service.enter(Phase::Failed(Reason::Stray), now);
            (then == Then::Leave).then_some(Action::Leave)
        }
        // They have no deadline.
        Phase::Waiting | Phase::Starting | Phase::Running | Phase::Stopped | Phase::Completed | Phase::Failed(_) => {
            None
        }
    }
}

/// A start by hand forgets what the policy has counted.
fn reset(service: &mut Service) {
    service.want = true;
    service.streak = 0;
    service.restarts = 0;
}

fn start(service: &mut Service, now: Time) -> Option<Action> {
    match service.phase {
        Phase::Starting | Phase::Running | Phase::Waiting => service.want = true,
        Phase::Stopping { stage, deadline, then: Then::Down | Then::Decide } => {
            reset(service);
            service.phase = Phase::Stopping { stage, deadline, then: Then::Start };
        }
        Phase::Stopping { then: Then::Start | Then::Leave, .. } => {}
        Phase::Failed(Reason::Stray) => {}
        Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => {
            reset(service);
            service.enter(Phase::Waiting, now);
        }
    }
    None
}

fn stop(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Stopping { then: Then::Leave, .. } => None,
        Phase::Stopping { stage, deadline, then: Then::Down | Then::Start | Then::Decide } => {
            service.want = false;
            service.phase = Phase::Stopping { stage, deadline, then: Then::Down };
            None
        }
        Phase::Starting | Phase::Running => {
            service.want = false;
            ask(service, Then::Down, now.plus(policy.grace()), policy.stop_signal, now, policy)
        }
        Phase::Failed(Reason::Stray) => {
            service.want = false;
            None
        }
        Phase::Waiting
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => {
            service.want = false;
            if service.phase != Phase::Stopped {
                service.enter(Phase::Stopped, now);
            }
            None
        }
    }
}

fn restart(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Starting | Phase::Running => {
            reset(service);
            ask(service, Then::Start, now.plus(policy.grace()), policy.stop_signal, now, policy)
        }
        // No process that could be replaced: a restart is a start, and joins one under way.
        Phase::Waiting
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => start(service, now),
    }
}

fn shut_down(service: &mut Service, shutdown: Shutdown, now: Time, policy: &Policy) -> Option<Action> {
    let deadline = match policy.stop_grace_period {
        Some(grace) => now.plus(grace).min(shutdown.deadline),
        None => shutdown.deadline,
    };
    service.want = false;
    match service.phase {
        Phase::Starting | Phase::Running => {
            let signal = shutdown.signal.unwrap_or(policy.stop_signal);
            ask(service, Then::Leave, deadline, signal, now, policy)
        }
        // Asked already, and only once: what changes is how long it has and what follows.
        Phase::Stopping { stage, deadline: own, .. } => {
            service.phase = Phase::Stopping { stage, deadline: own.min(shutdown.deadline), then: Then::Leave };
            None
        }
        Phase::Waiting
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => Some(Action::Leave),
    }
}

/// The stop signal, once.
fn ask(service: &mut Service, then: Then, deadline: Time, signal: u8, now: Time, policy: &Policy) -> Option<Action> {
    service.enter(Phase::Stopping { stage: Stage::Main, deadline, then }, now);
    if signal == signal::KILL {
        // There is nothing to wait for, and what is left behind goes with it.
        service.phase = Phase::Stopping { stage: Stage::Kill, deadline: now.plus(KILL_GRACE), then };
        return Some(Action::Kill);
    }
    Some(Action::Ask { signal, group: policy.stop_scope == StopScope::Group })
}

/// What a command asked for, so far as its outcome is seen in the service's own state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goal {
    /// It runs.
    Up,
    /// It runs in a process started after the command.
    Fresh,
    /// It does not run.
    Down,
}

/// How a command came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As asked for.
    True,
    /// The start was followed by an end, or never happened: [`Service::ending`] and the phase say why.
    Ended,
    /// A later command wants the opposite.
    Overtaken,
    /// The tree shuts down.
    Leaving,
    /// Something of it can't be killed.
    Stuck,
}

/// Whether a goal has been reached; `None`: not decided yet. `run` is the number of starts before the command.
pub fn outcome(goal: Goal, run: u32, service: &Service) -> Option<Outcome> {
    let fresh = service.run > run || goal == Goal::Up;
    match (goal, service.phase) {
        (_, Phase::Failed(Reason::Stray)) => Some(Outcome::Stuck),
        (Goal::Up | Goal::Fresh, Phase::Running) => fresh.then_some(Outcome::True),
        (Goal::Up | Goal::Fresh, Phase::Waiting | Phase::Starting) => None,
        (Goal::Up | Goal::Fresh, Phase::Stopping { then: Then::Start, .. }) => None,
        (Goal::Up | Goal::Fresh, Phase::Stopping { then: Then::Down, .. } | Phase::Stopped) => Some(Outcome::Overtaken),
        (Goal::Up | Goal::Fresh, Phase::Stopping { then: Then::Decide, .. }) => Some(Outcome::Ended),
        (Goal::Up | Goal::Fresh, Phase::Stopping { then: Then::Leave, .. }) => Some(Outcome::Leaving),
        (
            Goal::Up | Goal::Fresh,
            Phase::RestartPending { .. } | Phase::Scheduled { .. } | Phase::Completed | Phase::Failed(_),
        ) => Some(Outcome::Ended),
        (Goal::Down, Phase::Stopped | Phase::Completed | Phase::Failed(_)) => Some(Outcome::True),
        (Goal::Down, Phase::Stopping { then: Then::Down | Then::Leave, .. }) => None,
        (
            Goal::Down,
            Phase::Stopping { then: Then::Start | Then::Decide, .. }
            | Phase::Waiting
            | Phase::Starting
            | Phase::Running
            | Phase::RestartPending { .. }
            | Phase::Scheduled { .. },
        ) => Some(Outcome::Overtaken),
    }
}

/// Whether a restart accepted now joins a start that is under way already.
pub const fn joins_a_start(service: &Service) -> bool {
    matches!(service.phase, Phase::Waiting | Phase::Stopping { then: Then::Start, .. })
}
