//! What a configuration says once it is checked and resolved: plain data.
//!
//! Owns: the types between `config`, which fills them, and `run`, which acts on them.
//! Must never: read YAML, resolve a user, or act.

use crate::model::time::Span;
use crate::name::ServiceName;
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
    /// Its lines are JSON.
    pub json_logs: bool,
    /// File mode creation mask; `None`: zei-init's.
    pub umask: Option<u32>,
    /// All that its life depends on.
    pub policy: Policy,
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

/// One edge of the dependency graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dependency {
    /// The service it needs, as an index into [`Config::services`].
    pub service: usize,
    /// What must hold there.
    pub condition: Condition,
}

/// What a dependency must have come to (Compose's words).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// `service_started`: starting or running.
    Started,
    /// `service_completed_successfully`: completed, or scheduled after a first success.
    Completed,
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
    /// Runs once and is done when it exits 0.
    pub oneshot: bool,
    /// For a oneshot: run again this long after it ended.
    pub interval: Option<Span>,
    /// How it is asked to end.
    pub stop_signal: u8,
    /// How long it has for that; `None`: 10 s, or at a shutdown what is left of the budget.
    pub stop_grace_period: Option<Span>,
    /// Who is asked.
    pub stop_scope: StopScope,
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
            oneshot: false,
            interval: None,
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
