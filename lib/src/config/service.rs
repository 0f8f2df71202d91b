//! One service: its keys, read and resolved, but for its dependencies.
//!
//! Owns: the default of every key, and which keys exclude each other. Must never: look at another service.

use crate::config::graph::{self, Wanted};
use crate::config::keys::Id;
use crate::config::layers::{Entry, Section};
use crate::config::node::{Node, Value};
use crate::config::problem::{Fault, Faults, Report};
use crate::config::{Context, environment, health, hooks, identity, privileges, ready, restart, values};
use crate::model::spec::{Input, Log, OnEnd, Origin, Output, Policy, ServiceSpec, StopScope};
use crate::name::ServiceName;
use crate::signal;
use std::ffi::CString;

/// A service whose dependencies are still names.
pub struct Draft<'a> {
    pub spec: ServiceSpec,
    pub wanted: Vec<Wanted>,
    pub section: &'a Section,
}

/// What reading one service needs: its keys, the world, and where problems go.
pub struct Scope<'a> {
    pub section: &'a Section,
    pub context: &'a Context<'a>,
    pub report: &'a Report,
    /// It is the command that zei-init was given.
    pub is_cmd: bool,
}

impl Scope<'_> {
    /// The value of a key; `None` where it isn't given, or wrong, which is then reported.
    pub fn read<T, E: Into<Faults>>(&self, id: Id, read: impl FnOnce(&Node) -> Result<T, E>) -> Option<T> {
        let entry = self.section.entry(id)?;
        read(entry.nodes.last()?).map_err(|faults| faults.into().into_iter().for_each(|f| self.fault(entry, f))).ok()
    }

    /// Reports something wrong with a key.
    pub fn fault(&self, entry: &Entry, fault: Fault) {
        let (service, key) = self.section.label(entry);
        self.report.fault(entry.at, service, Some(&key), fault);
    }

    /// Reports something that may be wrong with a key.
    pub fn doubt(&self, entry: &Entry, fault: Fault) {
        self.section.doubt(entry, fault, self.report);
    }

    /// Reports something wrong with a key that may be missing: then the service as a whole is to blame.
    pub fn fault_of(&self, id: Id, fault: Fault) {
        match self.section.entry(id) {
            Some(entry) => self.fault(entry, fault),
            None => self.report.fault(self.section.at, Some(&self.section.name), None, fault),
        }
    }
}

/// Reads a service. What is wrong is reported and stands as its default in the draft.
pub fn read<'a>(section: &'a Section, context: &Context, report: &Report) -> Draft<'a> {
    let scope = Scope { section, context, report, is_cmd: false };
    let command = command(&scope);
    draft(&scope, section, ServiceName::parse(&section.name).unwrap_or(ServiceName::CMD), command)
}

/// Reads the keys of the command. Nothing happens to them where there is no command, but they are checked.
pub fn read_cmd<'a>(section: &'a Section, context: &Context, report: &Report) -> Draft<'a> {
    let scope = Scope { section, context, report, is_cmd: true };
    let words = context.command.unwrap_or_default().iter();
    // An argument of a process holds no NUL byte.
    let command = words.filter_map(|word| CString::new(word.as_encoded_bytes()).ok()).collect();
    draft(&scope, section, ServiceName::CMD, command)
}

fn draft<'a>(scope: &Scope, section: &'a Section, name: ServiceName, command: Vec<CString>) -> Draft<'a> {
    let (identity, of_user) = identity::read(scope);
    let working_dir = scope.read(Id::WorkingDir, values::c_text).or_else(|| section.zinit.then(|| c"/".into()));
    let (stdout, stderr, log) = outputs(scope, working_dir.as_ref());
    let (policy, schedule) = restart::read(scope);
    let ready = ready::read(scope, policy.oneshot, ready::is_shown(&stdout, &stderr));
    let (health, health_policy) = health::read(scope, policy.oneshot).unzip();
    let hooks = hooks::read(scope);
    let (pre_start, pre_start_policy) = hooks.pre_start.unzip();
    let (post_stop, post_stop_policy) = hooks.post_stop.unzip();
    let policy = Policy {
        ready: ready.ready,
        ready_timeout: ready.timeout,
        watchdog: ready.watchdog,
        health: health_policy,
        pre_start: pre_start_policy,
        post_stop: post_stop_policy,
        reload: hooks.reload_policy,
        drain: hooks.drain,
        ..stop_policy(scope, policy)
    };
    let boolean = |id| scope.read(id, values::boolean);
    let on_end = |id| scope.read(id, |node| values::word(node, ENDS)).unwrap_or_default();
    let spec = ServiceSpec {
        name,
        origin: Origin { file: scope.report.path(section.at.file).to_owned(), line: 0 },
        command,
        identity,
        environment: environment::read(scope, of_user),
        clear_environment: boolean(Id::ClearEnvironment).unwrap_or(false),
        working_dir,
        stdin: stdin(scope),
        stdout,
        stderr,
        log,
        json_logs: boolean(Id::JsonLogs).unwrap_or(false),
        umask: scope.read(Id::Umask, values::umask),
        privileges: privileges::read(scope),
        policy,
        ready: ready.test,
        health,
        pre_start,
        post_stop,
        reload: hooks.reload,
        schedule,
        dependencies: Vec::new(),
        forward_signals: scope
            .read(Id::ForwardSignals, values::signals)
            .unwrap_or_else(|| forwarded(scope, policy.oneshot)),
        on_exit: if scope.is_cmd { OnEnd::Shutdown } else { on_end(Id::OnExit) },
        on_failure: if scope.is_cmd { OnEnd::Shutdown } else { on_end(Id::OnFailure) },
        autostart: boolean(Id::Autostart).unwrap_or(true),
    };
    let wanted = scope.read(Id::DependsOn, graph::wanted).unwrap_or_default();
    Draft { spec, wanted, section }
}

const ENDS: &[(&str, OnEnd)] = &[("none", OnEnd::None), ("shutdown", OnEnd::Shutdown)];

fn command(scope: &Scope) -> Vec<CString> {
    let command = scope.read(Id::Command, values::command);
    let shell = scope.read(Id::Shell, values::shell);
    match (scope.section.entry(Id::Command), scope.section.entry(Id::Shell)) {
        (Some(entry), Some(_)) => {
            let text = format!("{} and shell can't both be given; keep one of them", entry.word);
            scope.fault_of(Id::Shell, Fault::new(text));
        }
        (None, None) if !scope.section.broken => {
            scope.fault_of(Id::Command, Fault::new("has neither command nor shell"))
        }
        _ => {}
    }
    command.or(shell).unwrap_or_default()
}

/// Which forwarded signals it gets if it doesn't say so. Where there is a command, they are all for it.
fn forwarded(scope: &Scope, oneshot: bool) -> signal::Set {
    match (scope.is_cmd, scope.context.command) {
        (true, _) => graph::forwardable().fold(signal::Set::EMPTY, signal::Set::with),
        (false, Some(_)) => signal::Set::EMPTY,
        (false, None) if oneshot => signal::Set::EMPTY,
        (false, None) => signal::Set::of(&[signal::HUP, signal::USR1, signal::USR2]),
    }
}

/// The policy of the stop, added to that of the restart.
fn stop_policy(scope: &Scope, policy: Policy) -> Policy {
    let default = match scope.section.zinit {
        true => StopScope::Group,
        false => policy.stop_scope,
    };
    Policy {
        stop_signal: scope.read(Id::StopSignal, stop_signal).unwrap_or(policy.stop_signal),
        stop_grace_period: scope.read(Id::StopGracePeriod, values::span),
        stop_scope: scope.read(Id::StopScope, |node| values::word(node, SCOPES)).unwrap_or(default),
        ..policy
    }
}

const SCOPES: &[(&str, StopScope)] =
    &[("tree", StopScope::Tree), ("process", StopScope::Process), ("group", StopScope::Group)];

/// Any signal but STOP, at which no process ever ends.
fn stop_signal(node: &Node) -> Result<u8, Fault> {
    match values::signal(node)? {
        signal::STOP => Err(Fault::new(format!(
            "{} only halts a process, which then never ends; write TERM or another signal that it ends at",
            values::text(node)?
        ))),
        signal => Ok(signal),
    }
}

fn stdin(scope: &Scope) -> Input {
    let read = |node: &Node| match &node.value {
        Value::Null => Ok(Input::Null),
        _ => match values::word(node, &[("null", Input::Null), ("open", Input::Open), ("inherit", Input::Inherit)])? {
            Input::Inherit if !scope.is_cmd => Err(Fault::new(
                "only the command (cmd) can have the container's own standard input; write null, or open for a pipe \
                 that never ends",
            )),
            input => Ok(input),
        },
    };
    scope.read(Id::Stdin, read).unwrap_or(if scope.is_cmd { Input::Inherit } else { Input::Null })
}

/// `log` gives both streams their default, `stdout` and `stderr` go before it.
fn outputs(scope: &Scope, working_dir: Option<&CString>) -> (Output, Output, Option<Log>) {
    let (log, how) = match scope.read(Id::Log, log) {
        Some(Some(how)) => (Output::Inherit, Some(how)),
        Some(None) => (Output::Null, None),
        None => (Output::Inherit, None),
    };
    let stdout = scope.read(Id::Stdout, |node| output(node, working_dir, false)).unwrap_or_else(|| log.clone());
    let stderr = scope.read(Id::Stderr, |node| output(node, working_dir, true)).unwrap_or(log);
    (stdout, stderr, how)
}

/// `None`: it goes nowhere.
fn log(node: &Node) -> Result<Option<Log>, Fault> {
    let later = |what: &str| {
        Fault::new(format!("{what} is not supported by this version of zei; write prefix, inherit or null"))
    };
    match &node.value {
        Value::Null => Ok(None),
        Value::Map(_) => Err(later("a map")),
        Value::Text(text) if text == "json" => Err(later("\"json\"")),
        _ => {
            let (prefix, inherit, ring) = (Some(Log::Prefix), Some(Log::Inherit), Some(Log::Ring));
            let words = [
                ("prefix", prefix),
                ("inherit", inherit),
                ("stdout", inherit),
                ("ring", ring),
                ("null", None),
                ("none", None),
            ];
            values::word(node, &words)
        }
    }
}

fn output(node: &Node, working_dir: Option<&CString>, is_stderr: bool) -> Result<Output, Fault> {
    if matches!(node.value, Value::Null) {
        return Ok(Output::Null);
    }
    match values::text(node)? {
        "null" | "/dev/null" => Ok(Output::Null),
        "inherit" => Ok(Output::Inherit),
        "/dev/stdout" => Ok(Output::Stdout),
        "/dev/stderr" => Ok(Output::Stderr),
        "stdout" if is_stderr => Ok(Output::Join),
        "stdout" | "stderr" | "none" | "-" => {
            Err(Fault::new("write a path, /dev/stdout, /dev/stderr, null or inherit"))
        }
        path if path.starts_with('/') => values::c_string(path).map(Output::Path),
        path => {
            let mut whole = working_dir.map_or(Vec::new(), |dir| [dir.to_bytes(), b"/"].concat());
            whole.extend_from_slice(path.as_bytes());
            values::c_string(whole).map(Output::Path)
        }
    }
}
