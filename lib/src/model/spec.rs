//! What a configuration says once it is checked and resolved: plain data.
//!
//! Owns: the types between `config`, which fills them, and `run`, which acts on them.
//! Must never: read YAML, resolve a user, or act.

use crate::model::privileges::Privileges;
use crate::model::time::Span;
use crate::name::ServiceName;
use crate::protocol::needs;
use crate::protocol::sources::Source;
use crate::signal;
use std::ffi::CString;
use std::path::PathBuf;

/// A whole configuration: every reference resolved, every value checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// In the order of their definition; `cmd`, where a command was given, comes last.
    pub services: Vec<ServiceSpec>,
    /// The budget of a whole shutdown.
    pub shutdown_timeout: Span,
    /// What zei-init does with a signal that it gets.
    pub signals: SignalMap,
    /// When the container ends, and with which code.
    pub exit: ExitRule,
    /// The group that may control all of them, beside root and zei-init's own user.
    pub control_group: Option<u32>,
    /// What all of that was read from.
    pub sources: Vec<Source>,
}

/// When the container ends by itself, and what replaces the code it ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExitRule {
    /// Whose end is the end of all.
    pub when: When,
    /// The code instead of that of the service that ended the container, or of the first failure where all have ended
    /// by themselves. The command's own code stays.
    pub code: Option<u8>,
    /// The code where the end was asked for.
    pub stop_code: Option<u8>,
}

/// Whose end for good ends the container, beside what `on_exit` and `on_failure` say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum When {
    /// That of the last one.
    #[default]
    All,
    /// That of the first one.
    Any,
    /// That of this one, an index into [`Config::services`].
    Service(usize),
}

/// What zei-init does with signal N, by N.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignalMap(pub [SignalUse; signal::RTMAX as usize + 1]);

/// What zei-init does with one signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignalUse {
    /// Begin the orderly shutdown.
    Shutdown,
    /// Pass it to the main process of each service that wants it.
    Forward,
    /// Read the configuration again and apply what has changed.
    Reload,
    /// Nothing.
    Ignore,
}

impl Default for SignalMap {
    /// TERM, INT, QUIT, PWR and RTMIN+3 shut down; HUP, USR1, USR2 are forwarded; the rest is ignored.
    fn default() -> SignalMap {
        use signal::{HUP, INT, PWR, QUIT, RTMIN, TERM, USR1, USR2};
        let mut map = [SignalUse::Ignore; signal::RTMAX as usize + 1];
        for (number, slot) in (0u8..).zip(map.iter_mut()) {
            if [TERM, INT, QUIT, PWR, RTMIN + 3].contains(&number) {
                *slot = SignalUse::Shutdown;
            } else if [HUP, USR1, USR2].contains(&number) {
                *slot = SignalUse::Forward;
            }
        }
        SignalMap(map)
    }
}

impl SignalMap {
    /// What becomes of this signal.
    pub fn get(&self, signal: u8) -> SignalUse {
        self.0.get(usize::from(signal)).copied().unwrap_or(SignalUse::Ignore)
    }
}

/// One service, ready to be compiled into a definition.
#[derive(Clone, PartialEq, Debug)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// Where it is defined, for messages.
    pub origin: Origin,
    /// The argument vector, never empty; `shell` has become `/bin/sh -c TEXT`.
    pub command: Vec<CString>,
    /// Whom it runs as; `None`: as whoever zei-init runs as, with nothing changed.
    pub identity: Option<Identity>,
    /// `KEY=VALUE`, in the order they apply: HOME USER LOGNAME SHELL of another user, then
    /// `env_file`, then `environment`. A later one replaces an earlier one and the container's own.
    pub environment: Vec<CString>,
    /// Start from nothing instead of from the container's environment.
    pub clear_environment: bool,
    /// Where it runs; `None`: where zei-init was started.
    pub working_dir: Option<CString>,
    /// Its standard input.
    pub stdin: Input,
    /// Its standard output.
    pub stdout: Output,
    /// Its standard error.
    pub stderr: Output,
    /// What becomes of what goes to the container's streams; `None`: as [`is_labelled`] says.
    pub log: Option<Log>,
    /// Its lines are JSON.
    pub json_logs: bool,
    /// File mode creation mask; `None`: zei-init's.
    pub umask: Option<u32>,
    /// What its processes may do and use.
    pub privileges: Privileges,
    /// All that its life depends on.
    pub policy: Policy,
    /// How it is known that it is ready; `None`: as soon as it runs.
    pub ready: Option<ReadyTest>,
    /// How it is known that it is healthy.
    pub health: Option<Job>,
    /// Runs before each start.
    pub pre_start: Option<Job>,
    /// Runs after each end.
    pub post_stop: Option<Job>,
    /// How it is told to reload.
    pub reload: Reload,
    /// For a oneshot: when it runs, a cron expression that has been checked; its zone is that of TZ in the service's
    /// environment, or UTC.
    pub schedule: Option<String>,
    /// What must hold before it starts.
    pub dependencies: Vec<Dependency>,
    /// Which of the signals that zei-init forwards it gets.
    pub forward_signals: signal::Set,
    /// What its end for good, whatever the outcome, does to the container.
    pub on_exit: OnEnd,
    /// What its failure for good does to the container.
    pub on_failure: OnEnd,
    /// Started with the container.
    pub autostart: bool,
}

/// A place in a configuration file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// The file as it was named.
    pub file: PathBuf,
    /// The line, counted from 1; 0 where there is none.
    pub line: usize,
}

/// Credentials of a process, already numeric.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Real, effective and saved user id.
    pub uid: u32,
    /// Real, effective and saved group id.
    pub gid: u32,
    /// All supplementary groups, as setgroups(2) takes them.
    pub groups: Vec<u32>,
}

/// Where standard input comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// `/dev/null`.
    Null,
    /// A pipe that nobody writes to and that never ends.
    Open,
    /// The container's own; only for `cmd`.
    Inherit,
}

/// Where an output stream goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// The container's own stream of the same number.
    Inherit,
    /// The container's standard output, whatever stream this is.
    Stdout,
    /// The container's standard error.
    Stderr,
    /// `/dev/null`.
    Null,
    /// The same as the service's own standard output (for stderr only).
    Join,
    /// A file: opened with the service's credentials, appended to, made with mode 0640.
    Path(CString),
}

impl ServiceSpec {
    /// Whether anything of it goes to the container's streams.
    fn writes(&self) -> bool {
        let is_containers = |output: &Output| matches!(output, Output::Inherit | Output::Stdout | Output::Stderr);
        is_containers(&self.stdout) || is_containers(&self.stderr)
    }
}

/// Whether lines bear their service's name unless something else is said (see `Definitions::is_labelled`).
pub fn is_labelled(services: &[ServiceSpec]) -> bool {
    services.iter().filter(|service| service.writes()).count() > 1
}

/// What becomes of the lines that go to the container's streams.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Log {
    /// The container's streams are the service's own.
    Inherit,
    /// Each line bears the service's name.
    Prefix,
    /// They don't go there: they are only kept, for `zei-ctl log`.
    Ring,
}

/// How a service is known to be ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadyTest {
    /// It says so: sd_notify(3), to the socket that NOTIFY_SOCKET names.
    NotifySystemd,
    /// It writes a newline to this descriptor, as s6 has it.
    NotifyFd(u32),
    /// A line of its output, without the newline, matches this regular expression.
    Log(String),
    /// This runs until it succeeds.
    Job(Job),
}

/// A command beside the main process, run with the service's own identity, environment and directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// Which program; the arguments begin with its name in any case.
    pub program: Program,
    /// The argument vector, never empty.
    pub arguments: Vec<CString>,
}

/// Where a job's program is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// As the first argument says, as with `command`.
    Own,
    /// `zei-probe`, beside zei-supervise.
    Probe,
}

/// How a service is told to reload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reload {
    /// By this signal to the main process.
    Signal(u8),
    /// By this command.
    Job(Job),
}

impl Default for Reload {
    fn default() -> Reload {
        Reload::Signal(signal::HUP)
    }
}

/// One edge of the dependency graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dependency {
    /// The service it needs, as an index into [`Config::services`].
    pub service: usize,
    /// What must hold there.
    pub condition: Condition,
    /// A restart of that service by hand restarts this one, too.
    pub restart: bool,
}

/// What a dependency must have come to (Compose's words).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// `service_started`: starting or running.
    Started,
    /// `service_healthy`: running, and not less than healthy where that is tested.
    Healthy,
    /// `service_completed_successfully`: completed, or scheduled after a first success.
    Completed,
}

impl Condition {
    /// Compose's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Condition::Started => needs::STARTED,
            Condition::Healthy => needs::HEALTHY,
            Condition::Completed => needs::COMPLETED,
        }
    }
}

/// What the end of a service means for the container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnEnd {
    /// Nothing.
    #[default]
    None,
    /// The orderly shutdown, with the service's code.
    Shutdown,
}

/// All that the life of one service depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// When its end is followed by a new start.
    pub restart: Restart,
    /// Give up after this many restarts by policy in a row; 0 = never.
    pub max_restarts: u32,
    /// Having been up this long makes the count start again.
    pub reset_after: Span,
    /// The pause before a restart by policy.
    pub restart_delay: Span,
    /// How that pause grows.
    pub backoff: Option<Backoff>,
    /// Runs once and is done when it exits 0.
    pub oneshot: bool,
    /// For a oneshot: run again this long after it ended, or by the clock.
    pub timer: Option<Timer>,
    /// How it becomes ready; `None`: by running.
    pub ready: Option<Ready>,
    /// In how long it must become ready; `None`: as long as it takes.
    pub ready_timeout: Option<Span>,
    /// It must say so at least this often that it lives (WATCHDOG=1 of sd_notify(3)).
    pub watchdog: Option<Span>,
    /// How its health is tested.
    pub health: Option<HealthPolicy>,
    /// Something runs before each start.
    pub pre_start: Option<HookPolicy>,
    /// Something runs after each end.
    pub post_stop: Option<HookPolicy>,
    /// Something runs to make it reload; `None`: a signal does.
    pub reload: Option<HookPolicy>,
    /// At a stop: how long it is not ready any more before it is asked to end.
    pub drain: Span,
    /// How it is asked to end.
    pub stop_signal: u8,
    /// How long it has for that; `None`: 10 s, or at a shutdown what is left of the budget.
    pub stop_grace_period: Option<Span>,
    /// Who is asked.
    pub stop_scope: StopScope,
}

/// How the pause before a restart grows: with each restart in a row it is `factor` times as long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// In thousandths; at least 1000.
    pub factor: u32,
    /// It grows no longer than this.
    pub max: Span,
    /// By how much of itself, at the most, it is made longer or shorter by chance: thousandths, at most 1000.
    pub jitter: u32,
}

/// What makes a oneshot run again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// This long after it ended.
    Interval(Span),
    /// The schedule; `catch_up`: a slot that was missed is made good, once.
    Schedule {
        /// A missed slot is made good.
        catch_up: bool,
    },
}

/// How a service becomes ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// It is told so.
    Told,
    /// A command is run until it succeeds.
    Asked {
        /// The pause between two tries.
        interval: Span,
        /// How long one try may take.
        timeout: Span,
    },
}

/// Compose's `healthcheck`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthPolicy {
    /// The pause between two checks.
    pub interval: Span,
    /// How long one check may take.
    pub timeout: Span,
    /// Unhealthy after so many failed ones in a row; at least 1.
    pub retries: u32,
    /// So long after it came up failed checks don't count, until one has succeeded.
    pub start_period: Span,
    /// The pause between two checks in that time.
    pub start_interval: Span,
    /// What becomes of an unhealthy service.
    pub on_unhealthy: OnUnhealthy,
}

/// What becomes of an unhealthy service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnUnhealthy {
    /// Nothing; it is shown.
    #[default]
    None,
    /// It is started again, as by its policy: with delay, backoff and count.
    Restart,
    /// The container stops.
    Shutdown,
}

/// What the life of a service has to know of a hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HookPolicy {
    /// How long it may take; `None`: `pre_start` as long as it takes, the others 10 s.
    pub timeout: Option<Span>,
}

/// The restart policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// An end is an end.
    Never,
    /// After an exit code other than 0 and after any death by a signal.
    OnFailure,
    /// After every end.
    Always,
}

/// Who gets the stop signal, and what happens to the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopScope {
    /// The main process; once it ended, its descendants get TERM and the rest of the grace.
    Tree,
    /// The main process; once it ended, its descendants are killed at once.
    Process,
    /// The main process's whole group; then as `Process`.
    Group,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            restart: Restart::Never,
            max_restarts: 0,
            reset_after: Span::seconds(60),
            restart_delay: Span::seconds(1),
            backoff: None,
            oneshot: false,
            timer: None,
            ready: None,
            ready_timeout: None,
            watchdog: None,
            health: None,
            pre_start: None,
            post_stop: None,
            reload: None,
            drain: Span(0),
            stop_signal: signal::TERM,
            stop_grace_period: None,
            stop_scope: StopScope::Tree,
        }
    }
}

impl Policy {
    /// How long a stop that was asked for waits before it kills.
    pub fn grace(&self) -> Span {
        self.stop_grace_period.unwrap_or(Span::seconds(10))
    }
}
