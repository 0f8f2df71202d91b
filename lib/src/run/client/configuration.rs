//! The configuration, as a client needs it: loaded, or checked.
//!
//! Owns: `check` and the one call of `config`. Must never: be needed while zei runs.

use super::{Output, json};
use crate::exit;
use crate::model::spec::{Config, ServiceSpec};
use crate::model::time::Span;
use serde::Serialize;
use std::path::PathBuf;

/// Loads the configuration at `paths`, or at the default places if there are none. `None`: there is no
/// configuration. A problem is a line, or a few.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Option<Config>, Vec<String>> {
    let _ = paths;
    Err(vec!["not yet".to_string()])
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
pub(crate) fn check(paths: &[PathBuf], grace: Span, as_json: bool) -> Output {
    let loaded = load(paths).and_then(|config| config.ok_or(vec!["there is no configuration".to_string()]));
    let mut report = Report { ok: loaded.is_ok(), services: 0, problems: Vec::new(), warnings: Vec::new() };
    match loaded {
        Ok(config) => {
            report.services = config.services.len();
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
            "a stop may take {worst}, but the container is killed after {grace}: lower shutdown_timeout or \
             stop_grace_period, or give it more (docker stop --time, terminationGracePeriodSeconds) \
             and say so with --grace"
        )
    })
}

/// The longest that a shutdown can take: the longest chain of graces, dependents before what they depend on,
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
    let own = service.policy.stop_grace_period.unwrap_or(Span(u64::MAX));
    let sum = Span(own.0.saturating_add(below.unwrap_or_default().0));
    if let Some(slot) = longest.get_mut(index) {
        *slot = Some(sum);
    }
    sum
}
