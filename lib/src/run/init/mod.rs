//! zei-init with a configuration: the tree.
//!
//! Owns: the way from the command line to a running tree, and the messages about what is wrong on it.
//! Must never: start anything before all of the configuration is known to be good.

mod apply;
mod compile;
pub mod doctor;
mod post_mortem;
pub mod pump;
mod rundir;
mod shared;
mod terminal;
mod tree;
mod trusted;
mod waiting;

use crate::exit;
use crate::model::definition::Definitions;
use crate::model::definition::plan::{self, Outline, Terms};
use crate::model::doctor as findings;
use crate::model::inherited;
use crate::model::init::Tree;
use crate::model::spec::{Config, Identity, ReadyTest};
use crate::name::ServiceName;
use crate::paths;
use crate::run::report::report;
use crate::sys::raw::Arguments;
use crate::sys::{cgroup, credentials, elevation, ledger, raw, spawn};
use compile::Given;
use nix::errno::Errno;
use pump::LogPump;
use rundir::Refusal;
use shared::Programs;
use std::ffi::{CString, OsString};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
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

/// The first thing that is done: standard streams are there, and it is known who this process is, and may be. Where its
/// file offers root to somebody else who starts it as PID 1, it is at rest from here on (see `sys::elevation`), and who that
/// is is returned. Whoever starts it otherwise gets nothing from it.
///
/// # Errors
/// The exit code, having said why.
pub fn begin() -> Result<Option<Identity>, u8> {
    raw::fill_standard_streams();
    let begun = if elevation::is_offered() {
        // Neither what it reads nor whom it starts is to do what its starter wants.
        for number in [1, 2] {
            // What root's services write to is what its starter may write to.
            if let Err(errno) = elevation::refuse_unwritable(number) {
                return Err(cannot_be(errno));
            }
        }
        raw::hide_variables(|name, value| inherited::is_dropped(name, value) || inherited::is_zeis(name));
        elevation::accept().map(Some)
    } else {
        credentials::give_up_setuid().map(|()| None)
    };
    begun.map_err(cannot_be)
}

/// What the starter says by a variable; `None` where zei-init is to be more than that, and it is about zei-init itself.
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|_| !(elevation::is_offered() && inherited::is_zeis(name.as_bytes())))
}

/// There is only the command: that is the starter's own business, with all that it has said.
fn settle_for_the_command() -> Result<(), u8> {
    raw::show_variables();
    elevation::give_up().map_err(cannot_be)
}

fn cannot_be(errno: Errno) -> u8 {
    report(PROGRAM, format!("cannot become the user who started it: {}", errno.desc()));
    exit::SYSTEM
}

/// Runs the tree until its end and returns the container's exit code. `None`: there is no
/// configuration at all, and nothing was done.
pub fn run(options: &Options, invoker: Option<&Identity>) -> Option<u8> {
    let given = Given { config: options.config.clone(), added: Vec::new(), command: options.command.clone() };
    let config = match compile::load(&given, invoker, std::process::id()) {
        Ok(Some(config)) => config,
        Ok(None) => return settle_for_the_command().err(),
        Err((code, messages)) => {
            messages.iter().for_each(|message| report(PROGRAM, message));
            return Some(code);
        }
    };
    Some(match assemble(&config, given, invoker) {
        Ok(mut running) => running.live(),
        Err((code, message)) => {
            report(PROGRAM, message);
            code
        }
    })
}

/// What zei-init does where it has started itself: to read the configuration again, or in an upgrade. `None`: it was
/// started by others.
pub fn started_by_itself(arguments: Arguments) -> Option<u8> {
    compile::child(arguments).or_else(|| apply::resume(arguments))
}

type Failure<T> = (u8, T);

fn assemble(config: &Config, given: Given, invoker: Option<&Identity>) -> Result<tree::Running, Failure<String>> {
    let refused = |(what, errno): (&str, Errno)| (exit::SYSTEM, format!("cannot {what}: {}", errno.desc()));
    let programs = Programs::find().map_err(|message| (exit::SYSTEM, message))?;
    // Whatever else was inherited is for nobody.
    spawn::close_on_exec_from(3);
    let pumped = config.services.iter().filter(|service| matches!(service.ready, Some(ReadyTest::Log(_)))).count();
    let nofile = tree::raise_descriptor_limit(config.services.len(), pumped);
    ledger::reserve().map_err(|errno| refused(("set descriptors aside", errno)))?;
    let environment = compile::environment();
    let environment = environment.iter().map(CString::as_c_str).collect();
    let terms = Terms { environment, nofile, config: given.config, added: given.added, invoker: invoker.cloned() };
    let plan = plan::encode(config, Definitions::default(), &terms);
    let outline = Definitions(&plan).outline().ok_or_else(|| refused(("read its own plan", Errno::EINVAL)))?;
    let names: Vec<ServiceName> = outline.services.iter().flatten().map(|service| service.name).collect();
    let services: Vec<(ServiceName, String)> =
        (0..).zip(&names).map(|(index, name)| (*name, Definitions(&plan).needs_file(index))).collect();
    let (run_dir, made) = match rundir::make(&services, outline.control_group) {
        Ok((run_dir, made)) => (Some(run_dir), made),
        Err(Refusal::Taken(path)) => return Err((exit::CONFIG, taken(&path))),
        Err(Refusal::Foreign(path)) => return Err((exit::CONFIG, foreign(&path))),
        Err(Refusal::Group(gid, errno)) => return Err((exit::SYSTEM, rundir::cannot_give(gid, errno))),
        Err(Refusal::Nowhere(tried)) => {
            report(PROGRAM, nowhere(&tried, invoker));
            (None, Vec::new())
        }
    };
    let copy = |descriptor: Option<&OwnedFd>| {
        let copy = descriptor.map(OwnedFd::try_clone).transpose();
        copy.map_err(|error| (exit::SYSTEM, format!("cannot duplicate a descriptor: {error}")))
    };
    let services = copy(run_dir.as_ref().map(|run_dir| &run_dir.services))?;
    let journal = copy(run_dir.as_ref().and_then(|run_dir| run_dir.journal.as_ref()))?;
    // std seeds each with random bytes of the kernel's.
    let token = RandomState::new().build_hasher().finish();
    // Only where it is the container's: on a machine these are other programs' business.
    let groups = if std::process::id() == 1 { cgroup::make(token) } else { None };
    let shared = shared::share(&plan, services, journal, groups).map_err(refused)?;
    let mut controls: Vec<Option<OwnedFd>> = names.iter().zip(made).map(|(name, made)| control(*name, made)).collect();
    controls.resize_with(names.len(), || None);
    terminal::hand_over(config);
    terminal::open_to_services(&outline);
    let tree = plant(&outline);
    let services = copy(run_dir.as_ref().map(|run_dir| &run_dir.services))?;
    let pump = pump(Definitions(&plan), services, token)?;
    shared.ledger.set_token(pump.token()).map_err(|errno| refused(("write to the run records", errno)))?;
    tree::Running::begin(&outline, tree, programs, shared, run_dir, controls, pump).map_err(refused)
}

/// The log pump of a plan; `services` is the directory of all services' directories, `token` is random.
fn pump(plan: Definitions<'_>, services: Option<OwnedFd>, token: u64) -> Result<LogPump, Failure<String>> {
    let program = spawn::beside(pump::ZEI_LOG);
    let program = program.map_err(|errno| (exit::SYSTEM, format!("cannot read /proc/self/exe: {}", errno.desc())))?;
    let mut pump = LogPump::new(program, [raw::standard(1), raw::standard(2)], services, token);
    for index in 0..plan.count() {
        pump.follow(index, plan);
    }
    Ok(pump)
}

/// The tree of a plan without holes.
fn plant(outline: &Outline) -> Tree {
    let nodes = outline.services.iter().flatten().map(|service| service.node.clone()).collect();
    Tree::new(nodes, outline.command, outline.signals.clone(), outline.exit, outline.shutdown_timeout)
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

fn nowhere(tried: &[(PathBuf, &str)], invoker: Option<&Identity>) -> String {
    if let Some(finding) = findings::no_control(invoker.map(|invoker| invoker.uid), &credentials::granted()) {
        return finding.text();
    }
    let places: Vec<String> = tried.iter().map(|(path, why)| format!("{} ({why})", path.display())).collect();
    format!(
        "no run directory, so services run without control; mount a tmpfs on one of these or name a directory in {}: {}",
        paths::RUN_VARIABLE,
        places.join(", ")
    )
}
