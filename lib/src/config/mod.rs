//! The configuration: YAML files -> [`Config`], or every problem in them at once.
//!
//! Owns: what the files may say and what it means. It is the only place that names serde_yaml. Must
//! never: act, read the process's environment or the user database ([`Context`] brings them), or let
//! half a configuration through.
//!
//! ```text
//! files      which files, in which order
//! node       YAML -> a tree that knows its lines
//! layers     fragments, bare services, override, defaults -> one Section per service
//!   keys       the table of keys      expand   ${NAME}
//! service    a Section -> a ServiceSpec
//!   values, identity, environment, restart, ready, health, hooks
//!   maps       the tables of the keys inside maps      probe          tests of readiness and health
//! graph      dependencies and signals      exit       when the container ends
//! problem    what is wrong, and where
//! ```

mod environment;
mod exit;
mod expand;
mod files;
mod graph;
mod health;
mod hooks;
mod identity;
mod keys;
mod layers;
mod maps;
mod node;
mod privileges;
mod probe;
mod problem;
mod ready;
mod restart;
mod service;
mod values;

#[cfg(test)]
mod tests;

use crate::config::layers::{Entry, Layers, Section};
use crate::config::node::Node;
use crate::config::problem::{Fault, Faults, Report};
use crate::config::service::Draft;
use crate::model::doctor::Finding;
use crate::model::spec::{Config, Identity, ServiceSpec};
use crate::model::switching::Granted;
use crate::model::time::Span;
use std::ffi::OsString;
use std::path::PathBuf;

pub use identity::{LookupError, Users};
pub use keys::{Id, KEYS, Key, Places};
pub use maps::{MAPS, Map, Word};
pub use problem::Problem;

/// All that a configuration takes from outside.
pub struct Context<'a> {
    /// The users and groups of the container.
    pub users: &'a dyn Users,
    /// The container's environment.
    pub environment: &'a [(OsString, OsString)],
    /// Whom zei-init runs as.
    pub own: Identity,
    /// Whether it can run a service as somebody else.
    pub may_switch_user: bool,
    /// It is root only where it must be: a service that names no user is root's, the command that user's.
    pub elevated: bool,
    /// What it may do for that, where it can.
    pub granted: Granted,
    /// What the doctor says to it where its file is setuid root, and that has no effect.
    pub unelevated: Option<Finding>,
    /// zei-init's own command, which becomes the service `cmd`.
    pub command: Option<&'a [OsString]>,
}

/// Where the configuration is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// `/etc/zei/zei.yaml`, then `/etc/zei/zei.d/*.yaml`; either may be missing.
    Default,
    /// These files and directories and nothing else; each must be there.
    Paths(Vec<PathBuf>),
}

/// A configuration that can be acted on.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What is most likely not meant so, in the order of files and lines.
    pub warnings: Vec<Problem>,
}

/// Reads the configuration. `None`: the source is the default one, and nothing is there at all.
///
/// # Errors
/// Everything that is wrong with it, in the order of files and lines; never an empty list.
pub fn load(source: &Source, context: &Context) -> Result<Option<Config>, Vec<Problem>> {
    Ok(load_with_warnings(source, context)?.map(|loaded| loaded.config))
}

/// The same with what may be wrong, too.
///
/// # Errors
/// As [`load`].
pub fn load_with_warnings(source: &Source, context: &Context) -> Result<Option<Loaded>, Vec<Problem>> {
    load_all(source, &[], context)
}

/// The same, with further files behind those of the source. Such a file is taken only if it belongs to root or to the
/// user that zei-init runs as, and nobody else may write to it.
///
/// # Errors
/// As [`load`].
pub fn load_all(source: &Source, added: &[PathBuf], context: &Context) -> Result<Option<Loaded>, Vec<Problem>> {
    let mut report = Report::default();
    let found = files::read(source, &mut report);
    added.iter().for_each(|path| files::added(path, if context.elevated { 0 } else { context.own.uid }, &mut report));
    if !found && added.is_empty() {
        return Ok(None);
    }
    let config = check(context, &report)?;
    Ok(Some(Loaded { config, warnings: report.warnings() }))
}

/// The budget of a shutdown that sets none.
const SHUTDOWN_TIMEOUT: Span = Span::seconds(30);

/// Turns the files of the report into a configuration.
fn check(context: &Context, report: &Report) -> Result<Config, Vec<Problem>> {
    let layers = layers::read(context.environment, report);
    let cmd = layers.cmd.as_ref();
    let no_keys = Section::empty("cmd");
    let mut drafts: Vec<Draft> = layers.services.iter().map(|one| service::read(one, context, report)).collect();
    let with_command = context.command.is_some_and(|words| !words.is_empty());
    if drafts.is_empty() && !with_command && report.is_clean() {
        report.file_fault(0, 0, "there is no service and no command, so there is nothing to run".into());
    }
    drafts.push(service::read_cmd(cmd.unwrap_or(&no_keys), context, report));
    let last = drafts.len() - 1;
    graph::resolve(&mut drafts, Some(last), report);
    if !with_command {
        drafts.pop();
    }
    let top = Top { layers: &layers, report };
    let mut signals = graph::default_signals(with_command);
    top.read(Id::Version, version);
    top.read(Id::Signals, |node| graph::signals(node, &mut signals));
    let shutdown_timeout = top.read(Id::ShutdownTimeout, values::span).unwrap_or(SHUTDOWN_TIMEOUT);
    let specs: Vec<&ServiceSpec> = drafts.iter().map(|draft| &draft.spec).collect();
    let exit = top.read(Id::Exit, |node| exit::read(node, &specs)).unwrap_or_default();
    let control_group = top.read(Id::ControlGroup, |node| identity::control_group(node, context));
    graph::ends_of_all(&drafts, &exit, report);
    drafts.iter().for_each(|draft| too_long_a_drain(draft, shutdown_timeout, report));
    if !report.is_clean() {
        return Err(report.problems());
    }
    let services = drafts.into_iter().map(|draft| draft.spec).collect();
    Ok(Config { services, shutdown_timeout, signals, exit, control_group, sources: report.sources() })
}

/// Doubts a drain that leaves a service no time in a shutdown.
fn too_long_a_drain(draft: &Draft, budget: Span, report: &Report) {
    if let Some(entry) = draft.section.entry(Id::Drain)
        && draft.spec.policy.drain >= budget
        && draft.spec.policy.drain > Span(0)
    {
        let text = format!(
            "{} uses up the shutdown_timeout of {budget}: at a shutdown the service is killed without having been \
             asked to end; lower one or raise the other",
            draft.spec.policy.drain
        );
        draft.section.doubt(entry, Fault::new(text), report);
    }
}

/// The keys of the top level that are no section.
struct Top<'a> {
    layers: &'a Layers,
    report: &'a Report,
}

impl Top<'_> {
    fn read<T, E: Into<Faults>>(&self, id: Id, read: impl FnOnce(&Node) -> Result<T, E>) -> Option<T> {
        let Entry { word, at, nodes, .. } = self.layers.top.iter().find(|entry| entry.key.id == id)?;
        let report = |fault| self.report.fault(*at, None, Some(word), fault);
        read(nodes.last()?).map_err(|faults| faults.into().into_iter().for_each(report)).ok()
    }
}

fn version(node: &Node) -> Result<(), Fault> {
    match values::text(node)? {
        "1" | "1.0" => Ok(()),
        other => Err(Fault::new(format!("{other:?} is no version that this zei knows; write \"1.0\""))),
    }
}
