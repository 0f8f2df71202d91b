//! From the configuration to a plan: at the start by zei-init itself, later by a child of its own.
//!
//! Owns: what is read, and as whom. Must never: run in PID 1 once services run: a disk may hang, and a configuration may
//! be anything.
//!
//! The child is zei-init's own program again, with [`COMPILE`] as its first argument. It has the same user, directory
//! and environment; standard input is the plan that holds, standard output takes the new one, or what is wrong, a line
//! each. Its exit code says which: 0, 100 for the configuration, 111 for the system. So what is defined never comes
//! through the control FIFO, only where it stands, and all else that decides stands in the plan.

use super::pump::ZEI_LOG;
use super::{Failure, shared, trusted};
use super::{PROGRAM, report};
use crate::config::{self, Context, Problem, Source};
use crate::exit;
use crate::model::definition::Definitions;
use crate::model::definition::plan::{self, Terms};
use crate::model::doctor;
use crate::model::spec::{self, Config, Identity, Log, ReadyTest, ServiceSpec};
use crate::name::ServiceName;
use crate::paths;
use crate::sys::raw::{self, Arguments};
use crate::sys::{credentials, elevation, memfd, spawn, surroundings};
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf, absolute};

/// The first argument of the child; nobody else has a use for it. Behind it stand a verb and its argument.
pub const COMPILE: &str = "--compile-plan";
/// Everything, as the configuration has it.
pub const APPLY: &str = "apply";
/// Everything stays but the services of this name or file.
pub const ADD: &str = "add";

/// All that a plan is made from, beside the files.
#[derive(Debug)]
pub struct Given {
    /// `-c PATH`, or what `ZEI_CONFIG` lists; empty: the default places.
    pub config: Vec<PathBuf>,
    /// Files that were added later.
    pub added: Vec<PathBuf>,
    /// The command; empty: none.
    pub command: Vec<OsString>,
}

/// Reads it; `None`: there is none at all.
/// `invoker`: who has started a zei-init that has root in reserve. `init`: its pid.
pub fn load(given: &Given, invoker: Option<&Identity>, init: u32) -> Result<Option<Config>, Failure<Vec<String>>> {
    let system = |message: String| (exit::SYSTEM, vec![message]);
    if invoker.is_some() {
        trusted::before(given)?;
    }
    let own = match invoker {
        Some(invoker) => Ok(invoker.clone()),
        None => credentials::current(),
    };
    let own = own.map_err(|errno| system(format!("cannot read its own credentials: {}", errno.desc())))?;
    let users = credentials::read_users().map_err(|error| system(error.to_string()))?;
    let source = match given.config.as_slice() {
        [] => Source::Default,
        paths => Source::Paths(paths.to_vec()),
    };
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let who = if invoker.is_none() { surroundings::who(init).ok() } else { None };
    let unelevated = who.and_then(|who| doctor::unelevated(&who, &credentials::granted_by_file()));
    let context = Context {
        users: &users,
        environment: &environment,
        own,
        may_switch_user: elevation::can_be_root(),
        elevated: invoker.is_some(),
        granted: credentials::granted(),
        unelevated,
        command: (!given.command.is_empty()).then_some(&given.command),
    };
    let loaded = elevation::as_root(|| config::load_all(&source, &given.added, &context));
    let loaded = loaded.map_err(|problems| (exit::CONFIG, problems.iter().map(Problem::to_string).collect()))?;
    let mut config = loaded.map(|loaded| make_absolute(loaded.config));
    if let (Some(config), Some(invoker)) = (&mut config, invoker) {
        trusted::after(config)?;
        trusted::keep_apart(config, invoker);
    }
    match config.as_ref().map(lacks_program) {
        Some(problems) if !problems.is_empty() => Err((exit::CONFIG, problems)),
        _ => Ok(config),
    }
}

/// Where zei-log is not there: what the configuration wants of it. What was not asked for is done without, which is said.
fn lacks_program(config: &Config) -> Vec<String> {
    let wish = |service: &ServiceSpec| match (&service.ready, service.log) {
        (Some(ReadyTest::Log(_)), _) => Some("ready: log"),
        (_, Some(Log::Prefix)) => Some("log: prefix"),
        (_, Some(Log::Ring)) => Some("log: ring"),
        _ => None,
    };
    let says_nothing = |service: &ServiceSpec| service.log.is_none() && service.name != ServiceName::CMD;
    let is_labelled = spec::is_labelled(&config.services) && config.services.iter().any(says_nothing);
    let is_there = || spawn::beside(ZEI_LOG).is_ok_and(|path| Path::new(OsStr::from_bytes(path.to_bytes())).exists());
    if (!is_labelled && config.services.iter().all(|service| wish(service).is_none())) || is_there() {
        return Vec::new();
    }
    let problem = |(service, wish): (&ServiceSpec, &str)| {
        let (origin, name) = (&service.origin, service.name);
        format!(
            "{}:{}: {name}: {wish} needs {ZEI_LOG}, which is not there: it must lie beside zei-init",
            origin.file.display(),
            origin.line
        )
    };
    let problems: Vec<String> =
        config.services.iter().filter_map(|service| Some((service, wish(service)?))).map(problem).collect();
    if problems.is_empty() {
        report(
            PROGRAM,
            format!("there is no {ZEI_LOG} beside zei-init: lines don't bear their service's name (log: inherit)"),
        );
    }
    problems
}

/// Paths are compared, and told to others, who may stand elsewhere.
fn make_absolute(mut config: Config) -> Config {
    // Asked for once, not for each service.
    let here = std::env::current_dir().unwrap_or_default();
    let origins = config.services.iter_mut().map(|service| &mut service.origin.file);
    for path in origins.chain(config.sources.iter_mut().map(|source| &mut source.path)) {
        if let Ok(whole) = absolute(here.join(&*path)) {
            *path = whole;
        }
    }
    config
}

/// What services see of the container's environment.
pub fn environment() -> Vec<CString> {
    shared::inheritable(&std::env::vars_os().collect::<Vec<_>>())
}

/// The child's whole work; `None`: this process is none.
pub fn child(arguments: Arguments) -> Option<u8> {
    if arguments.get(1) != Some(COMPILE) {
        return None;
    }
    // The program may be setuid, and comes back so with exec: whoever is not root stays what it was.
    if credentials::give_up_setuid().is_err() {
        return Some(exit::SYSTEM);
    }
    let argument = arguments.bytes(3).map(|text| OsStr::from_bytes(text.to_bytes()));
    let (code, output) = match compile(arguments.get(2).unwrap_or_default(), argument.unwrap_or_default()) {
        Ok(plan) => (exit::OK, plan),
        Err((code, messages)) => (code, messages.join("\n").into_bytes()),
    };
    Some(memfd::write_all(raw::standard(1), &output).map_or(exit::SYSTEM, |()| code))
}

fn compile(verb: &str, argument: &OsStr) -> Result<Vec<u8>, Failure<Vec<String>>> {
    let held = memfd::read_all(raw::standard(0))
        .map_err(|errno| (exit::SYSTEM, vec![format!("cannot read the plan that holds: {}", errno.desc())]))?;
    let old = Definitions(&held);
    let mut terms = old.terms();
    let invoker = terms.invoker.clone();
    if let Some(invoker) = &invoker {
        let rested = elevation::rest_as(invoker.uid);
        rested.map_err(|errno| (exit::SYSTEM, vec![format!("cannot be at rest: {}", errno.desc())]))?;
    }
    let load_some = |given: &Given| load_some(given, invoker.as_ref());
    let command = (0..old.count()).find(|index| old.name(*index) == Some(ServiceName::CMD));
    let words = command
        .and_then(|index| old.service(index))
        .map(|command| command.arguments().map(|word| OsStr::from_bytes(word.to_bytes()).to_os_string()).collect());
    let mut given =
        Given { config: terms.config.clone(), added: terms.added.clone(), command: words.unwrap_or_default() };
    match verb {
        ADD if argument.as_bytes().starts_with(b"/") => {
            let file = Path::new(argument);
            let known = load_some(&given)?.sources.iter().any(|source| source.path == file);
            if !known {
                given.added.push(file.to_path_buf());
            }
            let config = load_some(&given)?;
            let own = config.services.iter().filter(|service| service.origin.file == file);
            let chosen: Vec<ServiceName> = own.map(|service| service.name).collect();
            if chosen.is_empty() {
                let text = "defines no service of its own; what changes others belongs into the configuration";
                return Err((exit::CONFIG, vec![format!("{}: {text}", file.display())]));
            }
            terms.added = given.added;
            extend(&config, old, &chosen, &terms)
        }
        ADD => {
            let config = load_some(&given)?;
            let name = argument.to_string_lossy();
            let Some(service) = config.services.iter().find(|service| service.name.as_str() == name) else {
                let known = config.services.iter().map(|service| service.name.as_str());
                let near = crate::near::nearest(&name, known).map(|near| format!(" (did you mean {near:?}?)"));
                let near = near.unwrap_or_default();
                return Err((
                    exit::NO_SUCH_SERVICE,
                    vec![format!("the configuration defines no service {name:?}{near}")],
                ));
            };
            extend(&config, old, &[service.name], &terms)
        }
        _ => Ok(plan::encode(&load_some(&given)?, old, &terms)),
    }
}

fn load_some(given: &Given, invoker: Option<&Identity>) -> Result<Config, Failure<Vec<String>>> {
    load(given, invoker, parent_id())?.ok_or_else(|| {
        let places = format!("neither {} nor a file in {}", paths::CONFIG_FILE, paths::CONFIG_DIR);
        (exit::CONFIG, vec![format!("there is no configuration any more: {places}")])
    })
}

fn extend(
    config: &Config,
    old: Definitions<'_>,
    chosen: &[ServiceName],
    terms: &Terms<'_>,
) -> Result<Vec<u8>, Failure<Vec<String>>> {
    plan::extend(config, old, chosen, terms).map_err(|missing| {
        let names: Vec<&str> = missing.iter().map(ServiceName::as_str).collect();
        let text = format!("it depends on {}, which is not there: add that first, or apply", names.join(", "));
        (exit::CONFIG, vec![text])
    })
}
