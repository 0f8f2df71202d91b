//! What services need of each other, and which signals go where.
//!
//! Owns: `depends_on`, the implied condition, cycles, `signals`. Must never: read another key.

use crate::config::keys::Id;
use crate::config::maps::{DEPENDENCY, Fields};
use crate::config::node::{At, Member, Node, Value};
use crate::config::problem::{Fault, Faults, Report};
use crate::config::service::Draft;
use crate::config::values;
use crate::model::order;
use crate::model::spec::{Condition, Dependency, ExitRule, OnEnd, Restart, ServiceSpec, SignalMap, SignalUse, When};
use crate::near::nearest;
use crate::signal;
use std::collections::HashMap;

/// A dependency as it was written.
#[derive(Debug)]
pub struct Wanted {
    name: String,
    /// `None`: it follows from what the other service is.
    condition: Option<Condition>,
    /// A restart of the other one restarts this one.
    restart: bool,
    /// There must be such a service.
    required: bool,
    at: At,
}

/// Reads `depends_on`: a list of names, or Compose's map `name: {condition: …}`.
pub fn wanted(node: &Node) -> Result<Vec<Wanted>, Faults> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut faults = Faults::new();
    match &node.value {
        Value::Map(members) => {
            for member in members {
                match long(member) {
                    Ok(one) => wanted.push(one),
                    Err(more) => faults.extend(more.into_iter().map(|fault| fault.of(&member.key, member.at))),
                }
            }
        }
        _ => {
            for item in values::items(node) {
                match values::text(item) {
                    Ok(name) if wanted.iter().any(|known| known.name == name) => {
                        faults.push(Fault::new(format!("{name:?} is named twice")).at(item.at));
                    }
                    Ok(name) => {
                        let name = name.to_owned();
                        wanted.push(Wanted { name, condition: None, restart: false, required: true, at: item.at });
                    }
                    Err(fault) => faults.push(fault.at(item.at)),
                }
            }
        }
    }
    if faults.is_empty() { Ok(wanted) } else { Err(faults) }
}

const CONDITIONS: &[(&str, Condition)] = &[
    ("service_started", Condition::Started),
    ("service_healthy", Condition::Healthy),
    ("service_completed_successfully", Condition::Completed),
];

fn long(member: &Member) -> Result<Wanted, Faults> {
    let form = || Fault::new("must be a map with the key condition, as in {condition: service_started}");
    let mut fields = Fields::of(&member.node, &DEPENDENCY).map_err(|_| form())?;
    let condition = fields.read("condition", |node| values::word(node, CONDITIONS));
    let restart = fields.read("restart", values::boolean).unwrap_or(false);
    let required = fields.read("required", values::boolean).unwrap_or(true);
    if fields.is_clean() && condition.is_none() {
        return Err(form().into());
    }
    fields.done(Some(Wanted { name: member.key.clone(), condition, restart, required, at: member.at }))
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
            Err(Missing::Optional(fault)) => {
                if let Some(entry) = draft.section.entry(Id::DependsOn) {
                    draft.section.doubt(entry, fault.at(wanted.at), report);
                }
            }
            Err(Missing::Needed(fault)) => depends_on_fault(draft, fault.at(wanted.at), report),
        }
    }
    edges
}

/// Why there is no edge.
enum Missing {
    /// There need not be one.
    Optional(Fault),
    Needed(Fault),
}

impl From<Fault> for Missing {
    fn from(fault: Fault) -> Missing {
        Missing::Needed(fault)
    }
}

fn find(
    wanted: &Wanted,
    drafts: &[Draft],
    own: usize,
    cmd: Option<usize>,
    index: &HashMap<String, usize>,
) -> Result<Dependency, Missing> {
    let name = &wanted.name;
    if name == "cmd" {
        return Err(Missing::Needed(Fault::new(
            "nothing can depend on the command (cmd); it starts when the services are there, and its end ends the \
             container",
        )));
    }
    let found = index.get(name).and_then(|service| Some((*service, drafts.get(*service)?)));
    let Some((service, other)) = found else {
        let names = drafts.iter().enumerate().filter(|(other, _)| Some(*other) != cmd && *other != own);
        let near = nearest(name, names.map(|(_, draft)| draft.spec.name.as_str()));
        let fault = Fault::new(format!("there is no service {name:?}")).near(near);
        return Err(if wanted.required { Missing::Needed(fault) } else { Missing::Optional(fault) });
    };
    if service == own {
        return Err(Missing::Needed(Fault::new("a service can't depend on itself")));
    }
    let condition = wanted.condition.unwrap_or(implied(&other.spec));
    possible(condition, &other.spec)?;
    Ok(Dependency { service, condition, restart: wanted.restart })
}

/// Whether that can ever come true of the other service.
fn possible(condition: Condition, other: &ServiceSpec) -> Result<(), Fault> {
    let reason = match condition {
        Condition::Completed if other.policy.restart == Restart::Always => "it restarts always",
        // Whoever waits for its end would start in a container that ends.
        Condition::Completed if other.on_exit == OnEnd::Shutdown => "its end stops the container (on_exit: shutdown)",
        Condition::Healthy if other.policy.oneshot => {
            "it is a oneshot, which is done when it exits; write service_completed_successfully"
        }
        Condition::Started | Condition::Healthy | Condition::Completed => return Ok(()),
    };
    Err(impossible(condition, other, reason))
}

fn impossible(condition: Condition, other: &ServiceSpec, reason: &str) -> Fault {
    let word = CONDITIONS.iter().find(|(_, known)| *known == condition).map_or("", |(word, _)| word);
    Fault::new(format!("{}: {word} can never come true, because {reason}", other.name.as_str()))
}

/// Reports who waits for the end of a service at whose end the container ends. The command is left out where it says
/// nothing of its own: a configuration need not be written for one.
pub fn ends_of_all(drafts: &[Draft], exit: &ExitRule, report: &Report) {
    for draft in drafts.iter().filter(|draft| draft.section.entry(Id::DependsOn).is_some()) {
        let completed = draft.spec.dependencies.iter().filter(|edge| edge.condition == Condition::Completed);
        for (index, other) in completed.filter_map(|edge| Some((edge.service, &drafts.get(edge.service)?.spec))) {
            let ends_all = match exit.when {
                When::All => false,
                When::Any => true,
                When::Service(one) => one == index,
            };
            // One that is run again and again does not end.
            if ends_all && other.policy.timer.is_none() {
                let reason = "its end stops the container (exit.when)";
                depends_on_fault(draft, impossible(Condition::Completed, other, reason), report);
            }
        }
    }
}

/// The condition of the list form: completed for a oneshot without timer, healthy where readiness or health is
/// tested, started otherwise.
fn implied(other: &ServiceSpec) -> Condition {
    if other.policy.oneshot {
        if other.policy.timer.is_none() { Condition::Completed } else { Condition::Started }
    } else if other.ready.is_some() || other.health.is_some() {
        Condition::Healthy
    } else {
        Condition::Started
    }
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
    let section = draft.section;
    match section.entry(Id::DependsOn) {
        Some(entry) => {
            let (service, key) = section.label(entry);
            report.fault(entry.at, service, Some(&key), fault);
        }
        // The command, which depends on all where it says nothing.
        None => report.fault(section.at, None, Some("cmd: depends_on"), fault),
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

const USES: &[(&str, SignalUse)] = &[
    ("shutdown", SignalUse::Shutdown),
    ("reload", SignalUse::Reload),
    ("forward", SignalUse::Forward),
    ("ignore", SignalUse::Ignore),
];

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
            values::word(&member.node, USES).map(|meaning| (signal, meaning))
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
