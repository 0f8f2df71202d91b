//! The policy as lines of a definition.
//!
//! Owns: their keys. Must never: leave a field out ([`encode`] names them one by one).

use super::Section;
use crate::model::spec::{Backoff, HealthPolicy, HookPolicy, OnUnhealthy, Policy, Ready, Restart, StopScope, Timer};
use crate::model::time::Span;

/// Calls `set` with each key and value; what is off has none.
pub(super) fn encode(policy: &Policy, mut set: impl FnMut(&'static str, &str)) {
    let Policy {
        restart,
        max_restarts,
        reset_after,
        restart_delay,
        backoff,
        oneshot,
        timer,
        ready,
        ready_timeout,
        watchdog,
        health,
        pre_start,
        post_stop,
        reload,
        drain,
        stop_signal,
        stop_grace_period,
        stop_scope,
    } = *policy;
    let restart = match restart {
        Restart::Never => "never",
        Restart::OnFailure => "on-failure",
        Restart::Always => "always",
    };
    let scope = match stop_scope {
        StopScope::Tree => "tree",
        StopScope::Process => "process",
        StopScope::Group => "group",
    };
    set("restart", restart);
    set("max_restarts", &max_restarts.to_string());
    set("reset_after", &reset_after.0.to_string());
    set("restart_delay", &restart_delay.0.to_string());
    set("oneshot", if oneshot { "1" } else { "0" });
    set("stop_signal", &stop_signal.to_string());
    set("stop_scope", scope);
    if let Some(Backoff { factor, max, jitter }) = backoff {
        set("backoff", &format!("{factor} {} {jitter}", max.0));
    }
    match timer {
        None => {}
        Some(Timer::Interval(span)) => set("interval", &span.0.to_string()),
        Some(Timer::Schedule { catch_up }) => set("scheduled", if catch_up { "1" } else { "0" }),
    }
    match ready {
        None => {}
        Some(Ready::Told) => set("told", "1"),
        Some(Ready::Asked { interval, timeout }) => set("asked", &format!("{} {}", interval.0, timeout.0)),
    }
    if let Some(HealthPolicy { interval, timeout, retries, start_period, start_interval, on_unhealthy }) = health {
        let then = match on_unhealthy {
            // A shutdown is for zei-init to begin.
            OnUnhealthy::None | OnUnhealthy::Shutdown => 0,
            OnUnhealthy::Restart => 1,
        };
        let (interval, timeout, period, start) = (interval.0, timeout.0, start_period.0, start_interval.0);
        set("health_policy", &format!("{interval} {timeout} {retries} {period} {start} {then}"));
    }
    let hooks = [("pre_start_hook", pre_start), ("post_stop_hook", post_stop), ("reload_hook", reload)];
    for (key, hook) in hooks.into_iter().filter_map(|(key, hook)| Some((key, hook?))) {
        set(key, &hook.timeout.map_or(String::new(), |timeout| timeout.0.to_string()));
    }
    let spans = [("ready_timeout", ready_timeout), ("watchdog", watchdog), ("stop_grace_period", stop_grace_period)];
    for (key, span) in spans.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        set(key, &span.0.to_string());
    }
    if drain > Span(0) {
        set("drain", &drain.0.to_string());
    }
}

/// Reads them; `None` where one that is always there is missing, or one is damaged.
pub(super) fn decode(own: Section<'_>) -> Option<Policy> {
    let span = |key| own.number(key).map(Span);
    let hook = |key| own.text(key).map(|text| HookPolicy { timeout: text.parse().ok().map(Span) });
    Some(Policy {
        restart: match own.text("restart")? {
            "always" => Restart::Always,
            "on-failure" => Restart::OnFailure,
            _ => Restart::Never,
        },
        max_restarts: own.number("max_restarts")?,
        reset_after: span("reset_after")?,
        restart_delay: span("restart_delay")?,
        backoff: own.numbers("backoff").map(|[factor, max, jitter]| Backoff {
            factor: to_u32(factor),
            max: Span(max),
            jitter: to_u32(jitter),
        }),
        oneshot: own.text("oneshot")? == "1",
        timer: match (span("interval"), own.text("scheduled")) {
            (Some(span), _) => Some(Timer::Interval(span)),
            (None, Some(catch_up)) => Some(Timer::Schedule { catch_up: catch_up == "1" }),
            (None, None) => None,
        },
        ready: match (own.text("told"), own.numbers("asked")) {
            (Some(_), _) => Some(Ready::Told),
            (None, Some([interval, timeout])) => {
                Some(Ready::Asked { interval: Span(interval), timeout: Span(timeout) })
            }
            (None, None) => None,
        },
        ready_timeout: span("ready_timeout"),
        watchdog: span("watchdog"),
        health: own.numbers("health_policy").map(|[interval, timeout, retries, period, start, then]| HealthPolicy {
            interval: Span(interval),
            timeout: Span(timeout),
            retries: to_u32(retries),
            start_period: Span(period),
            start_interval: Span(start),
            on_unhealthy: match then {
                1 => OnUnhealthy::Restart,
                _ => OnUnhealthy::None,
            },
        }),
        pre_start: hook("pre_start_hook"),
        post_stop: hook("post_stop_hook"),
        reload: hook("reload_hook"),
        drain: span("drain").unwrap_or(Span(0)),
        stop_signal: own.number("stop_signal")?,
        stop_grace_period: span("stop_grace_period"),
        stop_scope: match own.text("stop_scope")? {
            "process" => StopScope::Process,
            "group" => StopScope::Group,
            _ => StopScope::Tree,
        },
    })
}

fn to_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
