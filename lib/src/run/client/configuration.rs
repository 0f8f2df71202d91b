//! The configuration, as a client needs it: loaded, or checked.
//!
//! Owns: `check` and the one call of `config`. Must never: be needed while zei runs.

use super::{Output, json};
use crate::config::{self, Context, Loaded, Problem, Source};
use crate::exit;
use crate::model::service::HOOK_TIMEOUT;
use crate::model::spec::{Config, Policy, ServiceSpec};
use crate::model::time::Span;
use crate::paths;
use crate::sys::{credentials, spawn};
use serde::Serialize;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// Loads the configuration at `given`, else where `ZEI_CONFIG` says, else at the default places, and resolves it
/// as a zei-init would that this user starts. `None`: there is no configuration. A problem is a line.
pub(crate) fn load(given: &[PathBuf]) -> Result<Option<Config>, Vec<String>> {
    Ok(load_with_warnings(given)?.map(|loaded| loaded.config))
}

fn load_with_warnings(given: &[PathBuf]) -> Result<Option<Loaded>, Vec<String>> {
    let users = credentials::read_users().map_err(|error| vec![error.to_string()])?;
    let own = credentials::current()
        .map_err(|errno| vec![format!("can't read the own credentials: {} (getgroups)", errno.desc())])?;
    let environment: Vec<(OsString, OsString)> = env::vars_os().collect();
    let elevated = own.uid != 0 && is_setuid_root("zei-init");
    let context = Context {
        users: &users,
        environment: &environment,
        may_switch_user: own.uid == 0 || elevated,
        granted: if elevated { credentials::granted_by_file() } else { credentials::granted() },
        elevated,
        unelevated: None,
        own,
        command: None,
    };
    config::load_with_warnings(&source(given, env::var_os(paths::CONFIG_VARIABLE)), &context)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// Whether a program beside this one offers root to whoever starts it.
fn is_setuid_root(program: &str) -> bool {
    let path = spawn::beside(program).map(|path| PathBuf::from(OsStr::from_bytes(path.to_bytes())));
    let found = path.ok().and_then(|path| std::fs::metadata(path).ok());
    found.is_some_and(|file| file.uid() == 0 && file.mode() & 0o4000 != 0)
}

fn source(given: &[PathBuf], variable: Option<OsString>) -> Source {
    let named: Vec<PathBuf> =
        variable.iter().flat_map(env::split_paths).filter(|path| !path.as_os_str().is_empty()).collect();
    match (given.is_empty(), named.is_empty()) {
        (false, _) => Source::Paths(given.to_vec()),
        (true, false) => Source::Paths(named),
        (true, true) => Source::Default,
    }
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    services: usize,
    problems: Vec<String>,
    warnings: Vec<String>,
}

/// `zei-ctl check`: every problem at once. `grace` is how long the container has between its stop
/// signal and its kill.
pub(crate) fn check(given: &[PathBuf], grace: Span, as_json: bool) -> Output {
    let loaded = load_with_warnings(given).and_then(|loaded| {
        loaded.ok_or_else(|| {
            vec![format!("there is no configuration: neither {} nor {}", paths::CONFIG_FILE, paths::CONFIG_DIR)]
        })
    });
    let mut report = Report { ok: loaded.is_ok(), services: 0, problems: Vec::new(), warnings: Vec::new() };
    match loaded {
        Ok(Loaded { config, warnings }) => {
            report.services = config.services.len();
            report.warnings.extend(warnings.iter().map(Problem::to_string));
            report.warnings.extend(too_slow(&config, grace));
        }
        Err(problems) => report.problems = problems,
    }
    let warnings = report.warnings.iter().map(|warning| format!("warning: {warning}"));
    let err = report.problems.iter().cloned().chain(warnings).collect();
    let out = match (as_json, report.ok) {
        (true, _) => json(&report),
        (false, true) => format!("ok: {} service{}\n", report.services, if report.services == 1 { "" } else { "s" }),
        (false, false) => String::new(),
    };
    Output { out, err, code: if report.ok { exit::OK } else { exit::CONFIG } }
}

/// Says so if a stop of the container may take longer than it is given.
fn too_slow(config: &Config, grace: Span) -> Option<String> {
    let worst = worst_stop(config);
    (worst > grace).then(|| {
        format!(
            "a stop may take {worst}, but the container is killed after {grace}: lower shutdown_timeout, or \
             stop_grace_period, drain or the timeout of post_stop, or give it more (docker stop --time, terminationGracePeriodSeconds) \
             and say so with --grace"
        )
    })
}

/// The longest that a shutdown can take: the longest chain of stops, dependents before what they depend on,
/// within the whole budget. A service without a grace of its own may use up all of it.
fn worst_stop(config: &Config) -> Span {
    let services = &config.services;
    let mut longest: Vec<Option<Span>> = vec![None; services.len()];
    let all = (0..services.len()).map(|index| chain(services, index, &mut longest, services.len()));
    all.max().unwrap_or_default().min(config.shutdown_timeout)
}

/// How long it can take until this service and then all that it depends on have stopped. There are no
/// cycles in a loaded configuration; `depth` holds even if there were.
fn chain(services: &[ServiceSpec], index: usize, longest: &mut Vec<Option<Span>>, depth: usize) -> Span {
    if let Some(Some(known)) = longest.get(index) {
        return *known;
    }
    let (Some(service), Some(depth)) = (services.get(index), depth.checked_sub(1)) else { return Span(0) };
    let below = service.dependencies.iter().map(|edge| chain(services, edge.service, longest, depth)).max();
    let sum = Span(stop(&service.policy).0.saturating_add(below.unwrap_or_default().0));
    if let Some(slot) = longest.get_mut(index) {
        *slot = Some(sum);
    }
    sum
}

/// The longest that one stop can take by itself.
fn stop(policy: &Policy) -> Span {
    let grace = policy.stop_grace_period.unwrap_or(Span(u64::MAX));
    let hook = policy.post_stop.map_or(Span(0), |hook| hook.timeout.unwrap_or(HOOK_TIMEOUT));
    Span(policy.drain.0.saturating_add(grace.0).saturating_add(hook.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn check_of(text: &str, grace: Span, as_json: bool) -> Output {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("zei.yaml");
        fs::write(&file, text).unwrap();
        check(&[file], grace, as_json)
    }

    #[test]
    fn a_good_configuration_is_ok_and_its_services_are_counted() {
        let output = check_of("services: {a: {command: [x]}, b: {command: [x]}}", Span::seconds(30), false);
        assert_eq!((output.out.as_str(), output.err.len(), output.code), ("ok: 2 services\n", 0, exit::OK));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let output = check_of("services: {a: {command: [x], restart: alwyas}, b: {comand: [x]}}", Span(0), false);
        assert_eq!((output.out.as_str(), output.code), ("", exit::CONFIG));
        let all = output.err.join("\n");
        assert!(all.contains("alwyas") && all.contains("comand") && all.contains("zei.yaml:1: "), "{all}");
        let output = check_of("services: {a: {comand: [x]}}", Span(0), true);
        assert!(output.out.starts_with(r#"{"ok":false,"services":0,"problems":[""#), "{}", output.out);
    }

    #[test]
    fn a_stop_that_may_take_longer_than_it_is_given_is_warned_of() {
        let chain = "services:
  db: {command: [x], stop_grace_period: 3s}
  web: {command: [x], stop_grace_period: 4s, depends_on: [db]}
  job: {command: [x], stop_grace_period: 6s}
";
        assert_eq!(check_of(chain, Span::seconds(7), false).err.len(), 0);
        let warned = check_of(chain, Span::seconds(6), false);
        assert_eq!((warned.err.len(), warned.code), (1, exit::OK));
        assert!(warned.err[0].contains("a stop may take 7s, but the container is killed after 6s"));
        let no_grace = "shutdown_timeout: 20s\nservices: {a: {command: [x]}}";
        assert!(check_of(no_grace, Span::seconds(10), false).err[0].contains("may take 20s"));
    }

    #[test]
    fn a_stop_takes_its_drain_and_its_hook_too() {
        let longest = |keys: &str| {
            let text = format!("services: {{a: {{command: [x], stop_grace_period: 1s, {keys}}}}}");
            let output = check_of(&text, Span(0), false);
            output.err[0].split("may take ").nth(1).unwrap().split(',').next().unwrap().to_owned()
        };
        assert_eq!(longest("umask: 0"), "1s");
        assert_eq!(longest("drain: 2s"), "3s");
        assert_eq!(longest("post_stop: x"), "11s");
        assert_eq!(longest("drain: 2s, post_stop: {command: x, timeout: 3s}"), "6s");
        assert_eq!(longest("drain: 29s, post_stop: x"), "30s");
    }

    #[test]
    fn what_is_doubtful_is_warned_of() {
        let text = "services: {a: {command: [x], stop_grace_period: 1s, drain: 1m}}";
        let output = check_of(text, Span::seconds(60), false);
        assert_eq!((output.err.len(), output.code), (1, exit::OK));
        assert!(output.err[0].starts_with("warning: ") && output.err[0].contains("drain: 1m uses up"), "{output:?}");
        let json = check_of(text, Span::seconds(60), true).out;
        assert!(json.contains(r#""ok":true"#) && json.contains("drain: 1m uses up"), "{json}");
    }

    #[test]
    fn what_is_named_stands_before_the_variable_and_that_before_the_default() {
        let (given, variable) = (vec![PathBuf::from("x")], Some(OsString::from("a:b")));
        assert_eq!(source(&given, variable.clone()), Source::Paths(given));
        assert_eq!(source(&[], variable), Source::Paths(vec![PathBuf::from("a"), PathBuf::from("b")]));
        assert_eq!(source(&[], Some(OsString::new())), Source::Default);
        assert_eq!(source(&[], None), Source::Default);
    }
}
