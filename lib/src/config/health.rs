//! How a service is known to be healthy.
//!
//! Owns: `healthcheck`, in Compose's words and with its defaults. Must never: run a check.

use crate::config::keys::Id;
use crate::config::maps::{Fields, HEALTHCHECK, HEALTHCHECK_TEST};
use crate::config::node::{Node, Value};
use crate::config::probe;
use crate::config::problem::{Fault, Faults};
use crate::config::service::Scope;
use crate::config::values;
use crate::model::spec::{HealthPolicy, Job, OnUnhealthy};
use crate::model::time::Span;
use crate::near::nearest;

/// Reads the key; `None`: nothing is checked.
pub fn read(scope: &Scope, oneshot: bool) -> Option<(Job, HealthPolicy)> {
    let entry = scope.section.entry(Id::Healthcheck)?;
    let health = scope.read(Id::Healthcheck, healthcheck);
    if oneshot {
        if !entry.is_default && !matches!(health, Some(None)) {
            let text = "a oneshot is done when it exits, so its health is never asked; take this away";
            scope.fault(entry, Fault::new(text));
        }
        return None;
    }
    doubts(scope);
    health.flatten()
}

const ENDS: &[(&str, OnUnhealthy)] =
    &[("none", OnUnhealthy::None), ("restart", OnUnhealthy::Restart), ("shutdown", OnUnhealthy::Shutdown)];

fn healthcheck(node: &Node) -> Result<Option<(Job, HealthPolicy)>, Faults> {
    let mut fields = Fields::of(node, &HEALTHCHECK)?;
    let disabled = fields.read("disable", values::boolean).unwrap_or(false);
    if !disabled {
        fields.one_of(&["test"]);
    }
    let mut span = |name, default| fields.read(name, values::some_time).unwrap_or(default);
    let timeout = span("timeout", Span::seconds(30));
    let policy = HealthPolicy {
        interval: span("interval", Span::seconds(30)),
        timeout,
        start_interval: span("start_interval", Span::seconds(5)),
        retries: fields.read("retries", retries).unwrap_or(3),
        start_period: fields.read("start_period", values::span).unwrap_or_default(),
        on_unhealthy: fields.read("on_unhealthy", |node| values::word(node, ENDS)).unwrap_or_default(),
    };
    let job = fields.read("test", |node| test(node, timeout)).flatten().filter(|_| !disabled);
    fields.done(Some(job.map(|job| (job, policy))))
}

fn retries(node: &Node) -> Result<u32, Fault> {
    match values::count(node)? {
        0 => Err(Fault::new("must be at least 1: unhealthy after so many failed checks in a row")),
        count => Ok(count),
    }
}

/// `None`: explicitly none.
fn test(node: &Node, timeout: Span) -> Result<Option<Job>, Faults> {
    match &node.value {
        Value::List(items) => list(node, items),
        Value::Map(_) => {
            let mut fields = Fields::of(node, &HEALTHCHECK_TEST)?;
            let job = fields.one_of(&probe::WORDS).and_then(|word| probe::job(&mut fields, word, timeout));
            fields.done(job.map(Some))
        }
        Value::Text(text) if text == "NONE" => {
            Err(Fault::new("a string is a shell text; to check nothing write [\"NONE\"] or \"disable: true\"").into())
        }
        _ => Ok(Some(probe::shell(node)?)),
    }
}

const CMD: &str = "CMD";
const CMD_SHELL: &str = "CMD-SHELL";
const NONE: &str = "NONE";

fn list(node: &Node, items: &[Node]) -> Result<Option<Job>, Faults> {
    let Some((first, rest)) = items.split_first() else {
        return Err(Fault::new("names no program; to check nothing write [\"NONE\"]").into());
    };
    let rest_as_list = || Node { at: node.at, value: Value::List(rest.to_vec()) };
    match (first.text().unwrap_or_default(), rest) {
        (NONE, []) => Ok(None),
        (NONE, _) => Err(Fault::new("behind NONE nothing can stand").into()),
        (CMD, _) => probe::command(&rest_as_list()).map(Some),
        (CMD_SHELL, [text]) => Ok(Some(probe::shell(text)?)),
        (CMD_SHELL, _) => Err(Fault::new("behind CMD-SHELL stands one text, for /bin/sh -c").into()),
        (word, _) => match nearest(word, [CMD, CMD_SHELL, NONE]) {
            // A program whose name looks like that is not spelled in capitals.
            Some(near) if word.chars().all(|c| c.is_ascii_uppercase() || !c.is_alphanumeric()) => {
                Err(Fault::new(format!("{word:?} is none of CMD, CMD-SHELL, NONE")).near(Some(near)).into())
            }
            _ => probe::command(node).map(Some),
        },
    }
}

/// What is right, and most likely not what is meant.
fn doubts(scope: &Scope) {
    let Some(entry) = scope.section.entry(Id::Healthcheck) else { return };
    let Some(Node { value: Value::Map(members), .. }) = entry.nodes.last() else { return };
    let member = |name: &str| members.iter().find(|member| member.key == name);
    if let (Some(interval), None) = (member("start_interval"), member("start_period")) {
        let text = "has no effect without start_period";
        scope.doubt(entry, Fault::new(text).of(&interval.key, interval.at));
    }
    if let Some(test) = member("test")
        && values::items(&test.node).iter().any(|item| item.text().is_some_and(|text| text.contains("$$")))
    {
        let text = "$$ is taken as it stands, as nothing is expanded in a test; in a file for Compose it means one $";
        scope.doubt(entry, Fault::new(text).of(&test.key, test.at));
    }
}
