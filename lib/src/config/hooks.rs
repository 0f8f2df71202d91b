//! Commands around a service's life, and its last moments before a stop.
//!
//! Owns: `pre_start`, `post_stop`, `reload`, `drain`. Must never: run a command.

use crate::config::keys::Id;
use crate::config::maps::{Fields, HOOK};
use crate::config::node::{Node, Value};
use crate::config::probe;
use crate::config::problem::{Fault, Faults};
use crate::config::service::Scope;
use crate::config::values;
use crate::model::spec::{HookPolicy, Job, Reload};
use crate::model::time::Span;
use crate::signal;

/// A command and its time-out.
pub type Hook = (Job, HookPolicy);

/// What these keys say.
pub struct Hooks {
    pub pre_start: Option<Hook>,
    pub post_stop: Option<Hook>,
    pub reload: Reload,
    /// Where it is a command.
    pub reload_policy: Option<HookPolicy>,
    pub drain: Span,
}

/// Reads all of them.
pub fn read(scope: &Scope) -> Hooks {
    let (reload, reload_policy) = match scope.read(Id::Reload, reload) {
        Some(Ok((job, policy))) => (Reload::Job(job), Some(policy)),
        Some(Err(number)) => (Reload::Signal(number), None),
        None => (Reload::default(), None),
    };
    Hooks {
        pre_start: scope.read(Id::PreStart, hook),
        post_stop: scope.read(Id::PostStop, hook),
        reload,
        reload_policy,
        drain: scope.read(Id::Drain, values::span).unwrap_or_default(),
    }
}

/// A command as `command` has it, or a map.
fn hook(node: &Node) -> Result<Hook, Faults> {
    if !matches!(node.value, Value::Map(_)) {
        return Ok((probe::command(node)?, HookPolicy::default()));
    }
    let mut fields = Fields::of(node, &HOOK)?;
    let job = match fields.one_of(&["command", "shell"]) {
        Some("command") => fields.read("command", probe::command),
        Some(_) => fields.read("shell", probe::shell),
        None => None,
    };
    let timeout = fields.read("timeout", values::some_time);
    fields.done(job.map(|job| (job, HookPolicy { timeout })))
}

/// A word is a signal; what has an argument or a path in it, is a list or a map, is a command.
fn reload(node: &Node) -> Result<Result<Hook, u8>, Faults> {
    match node.text() {
        Some(text) if !text.contains(|c: char| c.is_whitespace() || c == '/') => match values::signal(node) {
            Ok(signal::KILL | signal::STOP) => {
                Err(Fault::new(format!("at {text} no process reloads anything; write HUP, USR1 or a command")).into())
            }
            Ok(number) => Ok(Err(number)),
            Err(Fault { near, .. }) => {
                let text = format!("{text:?} is no signal; a command of one word stands in a list: [{text}]");
                Err(Fault::new(text).near(near).into())
            }
        },
        _ => hook(node).map(Ok),
    }
}
