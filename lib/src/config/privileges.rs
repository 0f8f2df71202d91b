//! What a service's processes may do and use.
//!
//! Owns: `nice`, `oom_score_adj`, `ulimits`, `no_new_privileges`, `capabilities`. Must never: know what this container may do:
//! that is seen where it is done.

use crate::config::keys::Id;
use crate::config::maps::{Fields, ULIMIT};
use crate::config::node::{Member, Node, Value};
use crate::config::problem::{Fault, Faults};
use crate::config::service::Scope;
use crate::config::values;
use crate::model::privileges::{Capabilities, Limit, Privileges, Ulimit, Wish};
use crate::near::nearest;

/// Reads these keys.
pub fn read(scope: &Scope) -> Privileges {
    Privileges {
        nice: scope.read(Id::Nice, |node| between(node, -20, 19)),
        oom_score_adj: scope.read(Id::OomScoreAdj, |node| between(node, -1000, 1000)),
        ulimits: scope.read(Id::Ulimits, ulimits).unwrap_or_default(),
        no_new_privileges: scope.read(Id::NoNewPrivileges, values::boolean).unwrap_or(false),
        capabilities: scope.read(Id::Capabilities, capabilities),
    }
}

/// A whole number in these bounds, with a `?` behind it where it need not be.
fn between(node: &Node, least: i32, most: i32) -> Result<Wish<i32>, Fault> {
    let text = values::text(node)?;
    let wish: Option<Wish<i32>> = text.parse().ok();
    wish.filter(|wish| (least..=most).contains(&wish.value))
        .ok_or_else(|| Fault::new(format!("{text:?} is no whole number from {least} to {most}")))
}

/// As in Compose: for each name a number for both limits, or a map of soft and hard; as in Docker: `soft:hard`.
fn ulimits(node: &Node) -> Result<Vec<Wish<Ulimit>>, Faults> {
    let Value::Map(members) = &node.value else {
        return Err(Fault::new(format!("must be a map such as {{nofile: 65536}}, not {}", node.kind())).into());
    };
    let mut limits = Vec::new();
    let mut faults = Faults::new();
    for member in members {
        match ulimit(member) {
            Ok(limit) => limits.push(limit),
            Err(more) => faults.extend(more.into_iter().map(|fault| fault.of(&member.key, member.at))),
        }
    }
    if faults.is_empty() { Ok(limits) } else { Err(faults) }
}

fn ulimit(member: &Member) -> Result<Wish<Ulimit>, Faults> {
    let Some(kind) = Limit::named(&member.key) else {
        if member.key == "locks" {
            let text = "has no effect in Linux, and zei knows a service's processes by it; take it away";
            return Err(Fault::new(text).into());
        }
        let names = Limit::ALL.iter().map(|kind| kind.name());
        return Err(Fault::new("is no limit").near(nearest(&member.key, names)).into());
    };
    let (soft, hard) = match &member.node.value {
        Value::Map(_) => {
            let mut fields = Fields::of(&member.node, &ULIMIT)?;
            let (soft, hard) = (fields.read("soft", bound), fields.read("hard", bound));
            if fields.is_clean() && (soft.is_none() || hard.is_none()) {
                return Err(Fault::new("needs both soft and hard").into());
            }
            fields.done(soft.zip(hard))?
        }
        _ => {
            let text = values::text(&member.node)?;
            match text.split_once(':') {
                Some((soft, hard)) => (bound_of(soft)?, bound_of(hard)?),
                None => (bound_of(text)?, bound_of(text)?),
            }
        }
    };
    if soft.value > hard.value {
        return Err(Fault::new("has a soft limit above its hard one").into());
    }
    let value = Ulimit { kind, soft: soft.value, hard: hard.value };
    Ok(Wish { value, lenient: soft.lenient || hard.lenient })
}

fn bound(node: &Node) -> Result<Wish<u64>, Fault> {
    bound_of(values::text(node)?)
}

fn bound_of(text: &str) -> Result<Wish<u64>, Fault> {
    let bare = text.strip_suffix('?').unwrap_or(text);
    if matches!(bare, "unlimited" | "-1") {
        return Ok(Wish { value: Ulimit::UNLIMITED, lenient: bare != text });
    }
    let digits = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
    let wish = if digits { text.parse().ok() } else { None };
    wish.ok_or_else(|| Fault::new(format!("{text:?} is neither a whole number nor unlimited")))
}

/// A list of names; a `?` behind one stands for all: what can't be kept of them need not be.
fn capabilities(node: &Node) -> Result<Wish<Capabilities>, Faults> {
    let mut wish = Wish { value: Capabilities::default(), lenient: false };
    let mut faults = Faults::new();
    for item in values::items(node) {
        match values::text(item) {
            Ok(text) => {
                let name = text.strip_suffix('?').unwrap_or(text);
                wish.lenient |= name != text;
                match Capabilities::named(name) {
                    Some(more) => wish.value = wish.value.with(more),
                    None => {
                        let near = nearest(&name.to_ascii_uppercase(), Capabilities::NAMES);
                        faults.push(Fault::new(format!("{name:?} is no capability")).near(near).at(item.at));
                    }
                }
            }
            Err(fault) => faults.push(fault.at(item.at)),
        }
    }
    if faults.is_empty() { Ok(wish) } else { Err(faults) }
}
