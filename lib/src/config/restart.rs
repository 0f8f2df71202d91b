//! When a service runs again.
//!
//! Owns: the restart policy, its delay and how that grows, oneshots and their timers. Must never: look at a clock.

use crate::config::keys::Id;
use crate::config::maps::{Fields, RESTART_BACKOFF};
use crate::config::node::{Node, Value};
use crate::config::problem::{Fault, Faults};
use crate::config::service::Scope;
use crate::config::values;
use crate::model::spec::{Backoff, Policy, Restart, Timer};
use crate::model::time::Span;
use crate::schedule;

/// Reads all of that into a policy that says nothing else yet, and the cron expression.
pub fn read(scope: &Scope) -> (Policy, Option<String>) {
    let default = Policy::default();
    let oneshot = scope.read(Id::Oneshot, values::boolean).unwrap_or(false);
    let (timer, schedule) = timer(scope, oneshot);
    let (restart, limit) = policy(scope, oneshot);
    let restart_delay = scope.read(Id::RestartDelay, values::span).unwrap_or(default.restart_delay);
    let policy = Policy {
        restart,
        max_restarts: max_restarts(scope, limit),
        reset_after: scope.read(Id::ResetAfter, values::span).unwrap_or(default.reset_after),
        restart_delay,
        backoff: scope.read(Id::RestartBackoff, |node| backoff(node, restart_delay)),
        oneshot,
        timer,
        ..default
    };
    (policy, schedule)
}

fn policy(scope: &Scope, oneshot: bool) -> (Restart, Option<u32>) {
    let (restart, limit) = scope.read(Id::Restart, restart).unwrap_or(match (scope.section.zinit, oneshot) {
        (true, false) => (Restart::Always, None),
        _ => (Restart::Never, None),
    });
    match scope.section.entry(Id::Restart) {
        Some(entry) if scope.is_cmd && restart != Restart::Never => {
            if !entry.is_default {
                let text = "the end of the command (cmd) ends the container, so it is not started again; take this \
                            away, or make it a service";
                scope.fault(entry, Fault::new(text));
            }
            (Restart::Never, None)
        }
        Some(entry) if oneshot && restart == Restart::Always => {
            // `defaults` means it for those that can.
            if !entry.is_default {
                let text = "a oneshot is done when it exits 0, so it can't restart always; to run it again and again, \
                            say how long to wait in between, as in \"interval: 30s\"";
                scope.fault(entry, Fault::new(text));
            }
            (Restart::Never, limit)
        }
        _ => (restart, limit),
    }
}

/// `max_restarts`, or the N of `on-failure:N`; the service's own word goes before one of `defaults`.
fn max_restarts(scope: &Scope, limit: Option<u32>) -> u32 {
    let count = scope.read(Id::MaxRestarts, values::count);
    let is_default = |id| scope.section.entry(id).is_some_and(|entry| entry.is_default);
    match (count, limit) {
        (Some(count), Some(limit)) if count != limit => match (is_default(Id::MaxRestarts), is_default(Id::Restart)) {
            (true, false) => limit,
            (false, true) => count,
            _ => {
                let text = format!("{count} contradicts \"restart: on-failure:{limit}\"; keep one of them");
                scope.fault_of(Id::MaxRestarts, Fault::new(text));
                count
            }
        },
        (count, limit) => count.or(limit).unwrap_or(0),
    }
}

/// The policy, and the N of `on-failure:N`.
fn restart(node: &Node) -> Result<(Restart, Option<u32>), Fault> {
    if let Value::Bool(value, _) = node.value {
        return match value {
            false => Ok((Restart::Never, None)),
            true => Err(Fault::new("true is no restart policy; write always, on-failure or never")),
        };
    }
    let text = values::text(node)?;
    if let Some(limit) = text.strip_prefix("on-failure:") {
        return match values::number(limit) {
            Some(limit) => Ok((Restart::OnFailure, Some(limit))),
            None => Err(Fault::new(format!("{text:?}: after on-failure: comes a number of restarts"))),
        };
    }
    let words = [
        ("always", Restart::Always),
        ("on-failure", Restart::OnFailure),
        ("never", Restart::Never),
        ("no", Restart::Never),
        ("unless-stopped", Restart::Always),
    ];
    // What YAML 1.1 takes for the boolean `no`.
    let text = if matches!(text, "off" | "No" | "NO" | "Off" | "OFF") { "no" } else { text };
    let plain = Node { at: node.at, value: Value::Text(text.to_owned()) };
    Ok((values::word(&plain, &words)?, None))
}

/// As Docker does it: twice as long each time, a minute at the most.
const FACTOR: u32 = 2000;
const LONGEST: Span = Span::seconds(60);

fn backoff(node: &Node, delay: Span) -> Result<Backoff, Faults> {
    let mut fields = Fields::of(node, &RESTART_BACKOFF)?;
    let factor = fields.read("factor", factor).unwrap_or(FACTOR);
    let jitter = fields.read("jitter", jitter).unwrap_or(0);
    let max = fields.read("max", |node| match values::span(node)? {
        max if max < delay => {
            Err(Fault::new(format!("{max} is shorter than restart_delay, {delay}, from which the delay grows")))
        }
        max => Ok(max),
    });
    fields.done(Some(Backoff { factor, max: max.unwrap_or(LONGEST.max(delay)), jitter }))
}

/// The greatest factor, which no delay stands twice.
const GREATEST: u32 = 1_000_000;

fn factor(node: &Node) -> Result<u32, Fault> {
    let text = values::text(node)?;
    let thousandths = values::thousandths(text).and_then(|number| u32::try_from(number).ok());
    thousandths
        .filter(|number| (1000..=GREATEST).contains(number))
        .ok_or_else(|| Fault::new(format!("{text:?} is no number from 1 to 1000, such as 2 or 1.5")))
}

fn jitter(node: &Node) -> Result<u32, Fault> {
    let text = values::text(node)?;
    let thousandths = match text.strip_suffix('%') {
        Some(percent) => values::thousandths(percent.trim_end()).map(|number| number.div_ceil(100)),
        None => values::thousandths(text),
    };
    thousandths
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number <= 1000)
        .ok_or_else(|| Fault::new(format!("{text:?} is no share from 0 to 1, such as 0.2 or 20%")))
}

/// What makes a oneshot run again, and the cron expression, where it is that.
fn timer(scope: &Scope, oneshot: bool) -> (Option<Timer>, Option<String>) {
    let interval = scope.read(Id::Interval, values::span);
    let catch_up = scope.read(Id::CatchUp, values::boolean).unwrap_or(false);
    let expression = scope.read(Id::Schedule, |node| {
        let text = values::c_text(node)?;
        let text = text.to_string_lossy();
        schedule::check(&text).map(|()| text.into_owned()).map_err(Fault::new)
    });
    let [interval_entry, schedule_entry, catch_up_entry] =
        [Id::Interval, Id::Schedule, Id::CatchUp].map(|id| scope.section.entry(id));
    for entry in [interval_entry, schedule_entry].into_iter().flatten().filter(|_| !oneshot) {
        scope.fault(entry, Fault::new("is for a oneshot; add \"oneshot: true\" or take it away"));
    }
    if let (Some(_), Some(entry)) = (interval_entry, schedule_entry) {
        scope.fault(entry, Fault::new("interval and schedule can't both be given; keep one of them"));
    }
    if let (Some(entry), None) = (catch_up_entry, schedule_entry) {
        scope.fault(entry, Fault::new("is for a schedule; add one or take it away"));
    }
    match (interval, expression) {
        (Some(interval), _) => (Some(Timer::Interval(interval)), None),
        (None, Some(expression)) => (Some(Timer::Schedule { catch_up }), Some(expression)),
        (None, None) => (None, None),
    }
}
