//! zei-init with a configuration: the tree.
//!
//! Owns: the way from the command line to a running tree, and the messages about what is wrong on it.
//! Must never: start anything before all of the configuration is known to be good.

mod post_mortem;
mod rundir;
mod shared;
mod terminal;
mod tree;
mod waiting;

use crate::config::{self, Context, Problem, Source};
use crate::exit;
use crate::model::init::{Node, Tree};
use crate::model::spec::{Condition, Config, Dependency, ServiceSpec};
use crate::name::ServiceName;
use crate::paths;
use crate::protocol::needs::{self, Need};
use crate::run::report::report;
use crate::sys::{credentials, ledger, raw};
use nix::errno::Errno;
use nix::unistd::geteuid;
use rundir::Refusal;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The name that stands before every message.
pub const PROGRAM: &str = "zei-init";

/// What zei-init was asked to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-c PATH`, or what `ZEI_CONFIG` lists; empty: the default places.
    pub config: Vec<PathBuf>,
    /// The command; empty: none.
    pub command: Vec<OsString>,
}

/// Runs the tree until its end and returns the container's exit code. `None`: there is no
/// configuration at all, and nothing was done.
pub fn run(options: &Options) -> Option<u8> {
    raw::fill_standard_streams();
    if let Err(errno) = credentials::give_up_setuid() {
        report(PROGRAM, format!("cannot become the user who started it: {}", errno.desc()));
        return Some(exit::SYSTEM);
    }
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let config = match load(options, &environment) {
        Ok(config) => config?,
        Err((code, messages)) => {
            messages.iter().for_each(|message| report(PROGRAM, message));
            return Some(code);
        }
    };
    Some(match assemble(&config, &environment) {
        Ok(mut running) => running.live(),
        Err((code, message)) => {
            report(PROGRAM, message);
            code
        }
    })
}

type Failure<T> = (u8, T);

fn load(options: &Options, environment: &[(OsString, OsString)]) -> Result<Option<Config>, Failure<Vec<String>>> {
    let system = |message: String| (exit::SYSTEM, vec![message]);
    let own =
        credentials::current().map_err(|errno| system(format!("cannot read its own credentials: {}", errno.desc())))?;
    let users = credentials::read_users().map_err(|error| system(error.to_string()))?;
    let source = match &options.config {
        paths if paths.is_empty() => Source::Default,
        paths => Source::Paths(paths.clone()),
    };
    let context = Context {
        users: &users,
        environment,
        own,
        may_switch_user: geteuid().is_root(),
        command: (!options.command.is_empty()).then_some(&options.command),
    };
    config::load(&source, &context)
        .map_err(|problems| (exit::CONFIG, problems.iter().map(Problem::to_string).collect()))
}

fn assemble(config: &Config, environment: &[(OsString, OsString)]) -> Result<tree::Running, Failure<String>> {
    let refused = |(what, errno): (&str, Errno)| (exit::SYSTEM, format!("cannot {what}: {}", errno.desc()));
    let supervisor = shared::supervisor().map_err(|message| (exit::SYSTEM, message))?;
    // Whatever else was inherited is for nobody.
    let _older_kernels_leave_it_open = raw::close_on_exec_from(3);
    let nofile = tree::raise_descriptor_limit(config.services.len());
    ledger::reserve().map_err(|errno| refused(("set descriptors aside", errno)))?;
    let names: Vec<ServiceName> = config.services.iter().map(|service| service.name).collect();
    let services: Vec<(ServiceName, String)> =
        config.services.iter().map(|service| (service.name, needs(service, &names))).collect();
    let (run_dir, made) = match rundir::make(&services) {
        Ok((run_dir, made)) => (Some(run_dir), made),
        Err(Refusal::Taken(path)) => return Err((exit::CONFIG, taken(&path))),
        Err(Refusal::Foreign(path)) => return Err((exit::CONFIG, foreign(&path))),
        Err(Refusal::Nowhere(tried)) => {
            report(PROGRAM, nowhere(&tried));
            (None, Vec::new())
        }
    };
    let copy = |descriptor: Option<&OwnedFd>| {
        let copy = descriptor.map(OwnedFd::try_clone).transpose();
        copy.map_err(|error| (exit::SYSTEM, format!("cannot duplicate a descriptor: {error}")))
    };
    let services = copy(run_dir.as_ref().map(|run_dir| &run_dir.services))?;
    let journal = copy(run_dir.as_ref().and_then(|run_dir| run_dir.journal.as_ref()))?;
    let shared = shared::share(config, environment, services, journal, nofile).map_err(refused)?;
    let mut controls: Vec<Option<OwnedFd>> = names.iter().zip(made).map(|(name, made)| control(*name, made)).collect();
    controls.resize_with(names.len(), || None);
    let command = config.services.iter().position(|service| service.name == ServiceName::CMD);
    let nodes = nodes(&config.services);
    let tree = Tree::new(nodes, command, config.signals.clone(), config.exit, config.shutdown_timeout);
    tree::Running::begin(config, tree, supervisor, shared, run_dir, controls).map_err(refused)
}

/// What stands in its file of that name, for clients.
fn needs(service: &ServiceSpec, names: &[ServiceName]) -> String {
    needs::encode(service.dependencies.iter().filter_map(|dependency| {
        let name = *names.get(dependency.service)?;
        Some(Need { name, condition: dependency.condition.word(), restart: dependency.restart })
    }))
}

/// A service without a control FIFO lives, but can't be controlled.
fn control(name: ServiceName, made: Result<OwnedFd, Errno>) -> Option<OwnedFd> {
    made.map_err(|errno| {
        report(PROGRAM, format!("cannot make the directory of {name}: {}; it can't be controlled", errno.desc()));
    })
    .ok()
}

fn taken(path: &std::path::Path) -> String {
    let variable = paths::RUN_VARIABLE;
    format!("{} is in use by another zei-init; name another directory in {variable}", path.display())
}

fn foreign(path: &std::path::Path) -> String {
    let variable = paths::RUN_VARIABLE;
    format!("{} ({variable}) holds what is not zei's; name a directory that is empty or does not exist", path.display())
}

fn nowhere(tried: &[(PathBuf, &str)]) -> String {
    let places: Vec<String> = tried.iter().map(|(path, why)| format!("{} ({why})", path.display())).collect();
    format!(
        "no run directory, so services run without control; mount a tmpfs on one of these or name a directory in {}: {}",
        paths::RUN_VARIABLE,
        places.join(", ")
    )
}

/// What starts with the container: all that says so, and all that those need.
fn nodes(services: &[ServiceSpec]) -> Vec<Node> {
    let edges = |service: &ServiceSpec, chosen: fn(&Dependency) -> bool| {
        service.dependencies.iter().filter(|edge| chosen(edge)).map(|edge| edge.service).collect()
    };
    let mut nodes: Vec<Node> = services
        .iter()
        .map(|service| Node {
            dependencies: edges(service, |_| true),
            healthy: edges(service, |edge| edge.condition == Condition::Healthy),
            follows: edges(service, |edge| edge.restart),
            on_exit: service.on_exit,
            on_failure: service.on_failure,
            on_unhealthy: service.policy.health.map(|health| health.on_unhealthy).unwrap_or_default(),
            wanted: service.autostart,
        })
        .collect();
    let mut rest: Vec<usize> =
        (0..nodes.len()).filter(|index| nodes.get(*index).is_some_and(|node| node.wanted)).collect();
    while let Some(index) = rest.pop() {
        for needed in nodes.get(index).map(|node| node.dependencies.clone()).unwrap_or_default() {
            if let Some(node) = nodes.get_mut(needed)
                && !node.wanted
            {
                node.wanted = true;
                rest.push(needed);
            }
        }
    }
    nodes
}
