//! What services need of each other, and which signals go where.
//!
//! Owns: `depends_on`, the implied condition, cycles, `signals`. Must never: read another key.

use crate::config::keys::Id;
use crate::config::layers::Section;
use crate::config::node::{At, Node, Value};
use crate::config::problem::{Fault, Faults, Report};
use crate::config::service::Draft;
use crate::config::values;
use crate::model::order;
use crate::model::spec::{Condition, Dependency, Restart, ServiceSpec, SignalMap, SignalUse};
use crate::near::nearest;
use crate::signal;
use std::collections::HashMap;

/// A dependency as it was written.
#[derive(Debug)]
pub struct Wanted {
    name: String,
    /// `None`: it follows from what the other service is.
    condition: Option<Condition>,
    at: At,
}

/// Reads `depends_on`: a list of names, or Compose's map `name: {condition: …}`.
pub fn wanted(node: &Node) -> Result<Vec<Wanted>, Faults> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut faults = Faults::new();
    let mut add = |name: &str, condition: Result<Option<Condition>, Fault>, at| match condition {
        Ok(_) if wanted.iter().any(|known| known.name == name) => {
            faults.push(Fault::new(format!("{name:?} is named twice")).at(at));
        }
        Ok(condition) => wanted.push(Wanted { name: name.to_owned(), condition, at }),
        Err(fault) => faults.push(fault.at(at)),
    };
    match &node.value {
        Value::Map(members) => {
            for member in members {
                let prefixed = |fault: Fault| Fault { text: format!("{}: {}", member.key, fault.text), ..fault };
                add(&member.key, condition(&member.node).map(Some).map_err(prefixed), member.at);
            }
        }
        _ => {
            for item in values::items(node) {
                match values::text(item) {
                    Ok(name) => add(name, Ok(None), item.at),
                    Err(fault) => add("", Err(fault), item.at),
                }
            }
        }
    }
    if faults.is_empty() { Ok(wanted) } else { Err(faults) }
}

fn condition(node: &Node) -> Result<Condition, Fault> {
    let form = || Fault::new("must be a map with the key condition, as in {condition: service_started}");
    let Value::Map(members) = &node.value else { return Err(form()) };
    let mut found = None;
    for member in members {
        match member.key.as_str() {
            "condition" if member.node.text() == Some("service_healthy") => {
                return Err(Fault::new("service_healthy is not supported by this version of zei"));
            }
            "condition" => {
                let words =
                    [("service_started", Condition::Started), ("service_completed_successfully", Condition::Completed)];
                found = Some(values::word(&member.node, &words)?);
            }
            "restart" => match values::boolean(&member.node)? {
                false => {}
                true => return Err(Fault::new("\"restart: true\" is not supported by this version of zei")),
            },
            other => return Err(Fault::new(format!("unknown key {other:?}"))),
        }
    }
    found.ok_or_else(form)
}

/// Turns names into edges: first those of every service, then those of the command (`cmd`, which
/// stands last), and looks for what can never come true.
pub fn resolve(drafts: &mut [Draft], cmd: Option<usize>, report: &Report) {
    let index: HashMap<String, usize> =
        drafts.iter().enumerate().map(|(index, draft)| (draft.spec.name.as_str().to_owned(), index)).collect();
    let edges: Vec<Vec<Dependency>> = (0..drafts.len()).map(|own| edges(drafts, own, cmd, &index, report)).collect();
    let graph: Vec<Vec<usize>> = edges.iter().map(|list| list.iter().map(|edge| edge.service).collect()).collect();
    for (draft, edges) in drafts.iter_mut().zip(edges) {
        draft.spec.dependencies = edges;
    }
    cycles(drafts, graph, report);
}

fn edges(
    drafts: &[Draft],
    own: usize,
    cmd: Option<usize>,
    index: &HashMap<String, usize>,
    report: &Report,
) -> Vec<Dependency> {
    let Some(draft) = drafts.get(own) else { return Vec::new() };
    let edge =
        |(service, other): (usize, &Draft)| Dependency { service, condition: implied(&other.spec), restart: false };
    if Some(own) == cmd && draft.section.entry(Id::DependsOn).is_none() {
        let others = drafts.iter().enumerate().filter(|(other, draft)| *other != own && draft.spec.autostart);
        return others.map(edge).collect();
    }
    let mut edges = Vec::new();
    for wanted in &draft.wanted {
        match find(wanted, drafts, own, cmd, index) {
            Ok(edge) => edges.push(edge),
            Err(fault) => depends_on_fault(draft, fault.at(wanted.at), report),
        }
    }
    edges
}

fn find(
    wanted: &Wanted,
    drafts: &[Draft],
    own: usize,
    cmd: Option<usize>,
    index: &HashMap<String, usize>,
) -> Result<Dependency, Fault> {
    let name = &wanted.name;
    if name == "cmd" {
        return Err(Fault::new(
            "nothing can depend on the command (cmd); it starts when the services are there, and its end ends the \
             container",
        ));
    }
    let found = index.get(name).and_then(|service| Some((*service, drafts.get(*service)?)));
    let Some((service, other)) = found else {
        let names = drafts.iter().enumerate().filter(|(other, _)| Some(*other) != cmd && *other != own);
        let near = nearest(name, names.map(|(_, draft)| draft.spec.name.as_str()));
        return Err(Fault::new(format!("there is no service {name:?}")).near(near));
    };
    if service == own {
        return Err(Fault::new("a service can't depend on itself"));
    }
    let condition = wanted.condition.unwrap_or(implied(&other.spec));
    if condition == Condition::Completed && other.spec.policy.restart == Restart::Always {
        return Err(Fault::new(format!(
            "{name}: service_completed_successfully can never come true, because it restarts always"
        )));
    }
    Ok(Dependency { service, condition, restart: false })
}

/// The condition of the list form: completed for a oneshot without timer, started otherwise.
fn implied(other: &ServiceSpec) -> Condition {
    if other.policy.oneshot && other.policy.timer.is_none() { Condition::Completed } else { Condition::Started }
}

/// Names every cycle whole, one problem each.
fn cycles(drafts: &[Draft], mut graph: Vec<Vec<usize>>, report: &Report) {
    while let Some(cycle) = order::find_cycle(&graph) {
        let members = cycle.iter().chain(cycle.first()).filter_map(|index| drafts.get(*index));
        let names: Vec<&str> = members.map(|draft| draft.spec.name.as_str()).collect();
        let Some((first, draft)) = cycle.first().and_then(|first| Some((*first, drafts.get(*first)?))) else { return };
        let text = format!("the services wait for each other in a circle: {}", names.join(" -> "));
        depends_on_fault(draft, Fault::new(text), report);
        // One edge less, and what is left is looked at again.
        let second = cycle.get(1).copied().unwrap_or(first);
        if let Some(targets) = graph.get_mut(first) {
            targets.retain(|target| *target != second);
        }
    }
}

fn depends_on_fault(draft: &Draft, fault: Fault, report: &Report) {
    let Section { name, at, .. } = draft.section;
    let entry = draft.section.entry(Id::DependsOn);
    let (at, key) = entry.map_or((*at, "depends_on"), |entry| (entry.at, &entry.word));
    if name == "cmd" {
        report.fault(at, None, Some(&format!("cmd: {key}")), fault);
    } else {
        report.fault(at, Some(name), Some(key), fault);
    }
}

/// The signals that can be passed on: all but those that a program can't catch, or that tell it of its
/// own faults (the same ones as tini leaves alone).
pub fn forwardable() -> impl Iterator<Item = u8> {
    use signal::{ABRT, BUS, CHLD, FPE, ILL, KILL, SEGV, STOP, SYS, TRAP, TTIN, TTOU};
    let own = [KILL, STOP, CHLD, SEGV, BUS, FPE, ILL, ABRT, TRAP, SYS, TTIN, TTOU];
    (1..=signal::RTMAX).filter(move |signal| !own.contains(signal))
}

/// What zei-init does with signals before `signals` says otherwise. With a command, TERM begins the
/// shutdown and all others go to the command.
pub fn default_signals(with_command: bool) -> SignalMap {
    let mut map = SignalMap::default();
    if with_command {
        for signal in forwardable() {
            set(&mut map, signal, if signal == signal::TERM { SignalUse::Shutdown } else { SignalUse::Forward });
        }
    }
    map
}

/// Reads `signals`: a map from a signal to what is done with it.
pub fn signals(node: &Node, map: &mut SignalMap) -> Result<(), Faults> {
    let Value::Map(members) = &node.value else {
        return Err(Fault::new(format!("must be a map of signals, not {}", node.kind())).into());
    };
    let mut faults = Faults::new();
    let mut seen = signal::Set::EMPTY;
    for member in members {
        let read = values::signal_named(&member.key).and_then(|signal| {
            if !forwardable().any(|known| known == signal) {
                return Err(Fault::new(format!(
                    "{} can't be used: zei-init needs it itself or can't catch it",
                    member.key
                )));
            }
            if seen.contains(signal) {
                return Err(Fault::new(format!("{} is the same signal as one before", member.key)));
            }
            seen = seen.with(signal);
            if member.node.text() == Some("reload") {
                return Err(Fault::new("reload is not supported by this version of zei"));
            }
            let words =
                [("shutdown", SignalUse::Shutdown), ("forward", SignalUse::Forward), ("ignore", SignalUse::Ignore)];
            values::word(&member.node, &words).map(|meaning| (signal, meaning))
        });
        match read {
            Ok((signal, meaning)) => set(map, signal, meaning),
            Err(fault) => faults.push(fault.at(member.at)),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn set(map: &mut SignalMap, signal: u8, meaning: SignalUse) {
    if let Some(slot) = map.0.get_mut(usize::from(signal)) {
        *slot = meaning;
    }
}
