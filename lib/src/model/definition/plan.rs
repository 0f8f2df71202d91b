//! The plan of a tree: the definitions, and what zei-init itself has to know of each service and of the whole.
//!
//! Owns: which service has which index, and plans made from a configuration, from a plan and one service more, or one
//! less. Must never: change the index of a service that stays.
//!
//! A service that is gone leaves a hole, two empty sections, which the next new one takes. So a plan is complete: the
//! next one is made from it, the configuration, and nothing else.

#[cfg(test)]
mod tests;

use super::{Definitions, Section, put, to_u32};
use crate::model::init::Node;
use crate::model::order;
use crate::model::spec::{
    Condition, Config, Dependency, ExitRule, Identity, OnEnd, OnUnhealthy, ReadyTest, ServiceSpec, SignalMap,
    SignalUse, When,
};
use crate::model::time::Span;
use crate::name::ServiceName;
use crate::protocol::needs::{self, Need};
use crate::protocol::sources::{self, Source};
use crate::signal::Set;
use core::ffi::CStr;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// What a plan says beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Terms<'a> {
    /// What services start from: the container's environment.
    pub environment: Vec<&'a CStr>,
    /// The limit of descriptors that services get; `None`: zei-init's own.
    pub nofile: Option<(u64, u64)>,
    /// The files and directories that zei-init was told to read; empty: the default ones.
    pub config: Vec<PathBuf>,
    /// Files that were added to them since.
    pub added: Vec<PathBuf>,
    /// Who has started a zei-init that has root in reserve (see `sys::elevation`).
    pub invoker: Option<Identity>,
}

/// The plan of a whole configuration. Whoever has an index in `old` keeps it.
pub fn encode(config: &Config, old: Definitions<'_>, terms: &Terms<'_>) -> Vec<u8> {
    let places = places(&config.services, old, |_| true);
    let mut sections = Sections { common: encode_common(terms), ..Sections::default() };
    sections.grow(old.count().max(places.iter().map(|place| place + 1).max().unwrap_or(0)));
    for (spec, place) in config.services.iter().zip(&places) {
        sections.set(*place, spec, &config.services, &places, &terms.environment);
    }
    sections.whole = encode_whole(config, &places, terms);
    sections.bytes()
}

/// `old` with these services as the configuration has them, and nothing else of it.
///
/// # Errors
/// Those of their dependencies that are in neither.
pub fn extend(
    config: &Config,
    old: Definitions<'_>,
    chosen: &[ServiceName],
    terms: &Terms<'_>,
) -> Result<Vec<u8>, Vec<ServiceName>> {
    let places = places(&config.services, old, |name| chosen.contains(&name));
    let is_chosen = |spec: &&ServiceSpec| chosen.contains(&spec.name);
    let edges = config.services.iter().filter(is_chosen).flat_map(|spec| &spec.dependencies);
    let is_missing = |index: &usize| places.get(*index).is_none_or(|place| *place == NOWHERE);
    let missing: Vec<usize> = edges.map(|edge| edge.service).filter(is_missing).collect();
    if !missing.is_empty() {
        return Err(missing.into_iter().filter_map(|index| Some(config.services.get(index)?.name)).collect());
    }
    let mut sections = Sections::of(old);
    sections.grow(places.iter().filter(|place| **place != NOWHERE).map(|place| place + 1).max().unwrap_or(0));
    for (spec, place) in config.services.iter().zip(&places).filter(|(spec, _)| is_chosen(spec)) {
        sections.set(*place, spec, &config.services, &places, &terms.environment);
    }
    // The command depends on all that starts with the container, so it stops before them.
    if let Some((spec, place)) = config.services.iter().zip(&places).find(|(spec, _)| spec.name == ServiceName::CMD) {
        sections.depend(*place, spec, config, &places, chosen);
    }
    sections.whole = without(&sections.whole, |entry| entry.starts_with(b"added=") || entry.starts_with(b"source="));
    put_sources(&mut sections.whole, &terms.added, &merge_sources(config, old, chosen));
    Ok(sections.bytes())
}

/// What was read for `old`, but the files of which all services were chosen as they are now.
fn merge_sources(config: &Config, old: Definitions<'_>, chosen: &[ServiceName]) -> Vec<Source> {
    let is_taken = |source: &Source| {
        let mut own = config.services.iter().filter(|spec| spec.origin.file == source.path).peekable();
        own.peek().is_some() && own.all(|spec| chosen.contains(&spec.name))
    };
    let taken: Vec<&Source> = config.sources.iter().filter(|source| is_taken(source)).collect();
    let mut sources = old.sources();
    for source in taken {
        match sources.iter_mut().find(|known| known.path == source.path) {
            Some(known) => known.found = source.found,
            None => sources.push(source.clone()),
        }
    }
    sources
}

/// `old` without this service. A file that was added for it alone is no longer read.
pub fn forget(old: Definitions<'_>, index: usize) -> Vec<u8> {
    let mut sections = Sections::of(old);
    let origin = |index: usize| old.node_section(index).and_then(|node| node.one("origin"));
    let own = origin(index);
    let is_alone = !(0..old.count()).any(|other| other != index && own.is_some() && origin(other) == own);
    for list in [&mut sections.services, &mut sections.nodes] {
        if let Some(section) = list.get_mut(index) {
            section.clear();
        }
    }
    // Only the command may have depended on it, and that has started already.
    let edges = [format!("edge={index} "), format!("dependency={index} ")];
    let is_edge = |entry: &[u8]| edges.iter().any(|edge| entry.starts_with(edge.as_bytes()));
    for section in sections.services.iter_mut().chain(&mut sections.nodes) {
        *section = without(section, is_edge);
    }
    if let Some(own) = own.map(CStr::to_bytes)
        && is_alone
        && old.terms().added.iter().any(|path| path.as_os_str().as_bytes() == own)
    {
        sections.whole = without(&sections.whole, |entry| {
            let path = entry.strip_prefix(b"added=").or_else(|| entry.strip_prefix(b"source=")?.get(17..));
            path == Some(own)
        });
    }
    sections.bytes()
}

/// A section without the entries that `drop` picks, each given without its NUL.
fn without(section: &[u8], drop: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let entries = section.split_inclusive(|byte| *byte == 0);
    entries.filter(|entry| !drop(entry.strip_suffix(b"\0").unwrap_or(entry))).collect::<Vec<_>>().concat()
}

/// The place of a service that is in no plan.
const NOWHERE: usize = usize::MAX;

/// Where each service stands: where it stood before, or if it may be new, in the first hole, or behind all others.
fn places(services: &[ServiceSpec], old: Definitions<'_>, may_be_new: impl Fn(ServiceName) -> bool) -> Vec<usize> {
    let known: HashMap<ServiceName, usize> =
        (0..old.count()).filter_map(|index| Some((old.name(index)?, index))).collect();
    let mut free = (0..).filter(|index| old.name(*index).is_none());
    let mut place = |spec: &ServiceSpec| {
        let new = || if may_be_new(spec.name) { free.next() } else { None };
        known.get(&spec.name).copied().or_else(new).unwrap_or(NOWHERE)
    };
    services.iter().map(&mut place).collect()
}

/// The sections of a plan, to be put together.
#[derive(Default)]
struct Sections {
    common: Vec<u8>,
    services: Vec<Vec<u8>>,
    nodes: Vec<Vec<u8>>,
    whole: Vec<u8>,
}

impl Sections {
    fn of(old: Definitions<'_>) -> Sections {
        let all = |first: usize| {
            let bytes = |index| old.section(first + index).map(|section| section.0.to_vec()).unwrap_or_default();
            (0..old.count()).map(bytes).collect::<Vec<Vec<u8>>>()
        };
        let one = |index| old.section(index).map(|section| section.0.to_vec()).unwrap_or_default();
        Sections { common: one(0), services: all(1), nodes: all(1 + old.count()), whole: one(1 + 2 * old.count()) }
    }

    fn grow(&mut self, count: usize) {
        self.services.resize(count.max(self.services.len()), Vec::new());
        self.nodes.resize(self.services.len(), Vec::new());
    }

    fn set(&mut self, index: usize, spec: &ServiceSpec, all: &[ServiceSpec], places: &[usize], environment: &[&CStr]) {
        if let (Some(service), Some(node)) = (self.services.get_mut(index), self.nodes.get_mut(index)) {
            *service = super::encode_service(spec, all, places, environment);
            *node = encode_node(spec, places);
        }
    }

    /// Adds what the command needs of those that were chosen.
    fn depend(&mut self, index: usize, spec: &ServiceSpec, config: &Config, places: &[usize], chosen: &[ServiceName]) {
        let (Some(service), Some(node)) = (self.services.get_mut(index), self.nodes.get_mut(index)) else { return };
        for edge in &spec.dependencies {
            let (Some(other), Some(place)) = (config.services.get(edge.service), places.get(edge.service)) else {
                continue;
            };
            let known = format!("edge={place} ");
            let is_known = node.split(|byte| *byte == 0).any(|entry| entry.starts_with(known.as_bytes()));
            if chosen.contains(&other.name) && !is_known {
                super::put_dependency(service, edge, *place, other.name);
                put_edge(node, edge, *place);
            }
        }
    }

    fn bytes(self) -> Vec<u8> {
        let Sections { common, services, nodes, whole } = self;
        let all = || [&common].into_iter().chain(&services).chain(&nodes).chain([&whole]);
        let count = all().count();
        let mut end = 4 * (count + 1);
        let mut bytes = to_u32(count);
        for section in all() {
            end += section.len();
            bytes.extend(to_u32(end));
        }
        all().for_each(|section| bytes.extend_from_slice(section));
        bytes
    }
}

fn encode_common(terms: &Terms<'_>) -> Vec<u8> {
    let mut common = Vec::new();
    if let Some((soft, hard)) = terms.nofile {
        put(&mut common, "nofile", format!("{soft} {hard}").as_bytes());
    }
    if let Some(Identity { uid, gid, groups }) = &terms.invoker {
        let groups: String = groups.iter().map(|group| format!(" {group}")).collect();
        put(&mut common, "invoker", format!("{uid} {gid}{groups}").as_bytes());
    }
    for variable in &terms.environment {
        put(&mut common, "env", variable.to_bytes());
    }
    common
}

/// What only zei-init needs of a service: a change of it replaces no process.
fn encode_node(spec: &ServiceSpec, places: &[usize]) -> Vec<u8> {
    let mut node = Vec::new();
    let mut set = |key: &str, value: &str| put(&mut node, key, value.as_bytes());
    set("forward_signals", &spec.forward_signals.0.to_string());
    if spec.on_exit == OnEnd::Shutdown {
        set("on_exit", "1");
    }
    if spec.on_failure == OnEnd::Shutdown {
        set("on_failure", "1");
    }
    if spec.autostart {
        set("autostart", "1");
    }
    set("stop_signal", &spec.policy.stop_signal.to_string());
    if spec.policy.health.is_some_and(|health| health.on_unhealthy == OnUnhealthy::Shutdown) {
        set("on_unhealthy", "1");
    }
    match voice_of(spec) {
        None => {}
        Some(Voice::Pipe) => set("voice", "pipe"),
        Some(Voice::Socket) => set("voice", "socket"),
    }
    if let Some(identity) = &spec.identity {
        set("uid", &identity.uid.to_string());
    }
    for dependency in &spec.dependencies {
        if let Some(place) = places.get(dependency.service) {
            put_edge(&mut node, dependency, *place);
        }
    }
    put(&mut node, "origin", spec.origin.file.as_os_str().as_bytes());
    node
}

/// Through what a service tells that it is ready: zei-init makes it, and it outlives supervisors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Voice {
    /// A pipe, into which it or zei-log writes a newline.
    Pipe,
    /// The socket of sd_notify(3).
    Socket,
}

fn voice_of(spec: &ServiceSpec) -> Option<Voice> {
    match &spec.ready {
        Some(ReadyTest::NotifyFd(_) | ReadyTest::Log(_)) => Some(Voice::Pipe),
        Some(ReadyTest::NotifySystemd) => Some(Voice::Socket),
        Some(ReadyTest::Job(_)) | None => spec.policy.watchdog.map(|_| Voice::Socket),
    }
}

fn put_edge(node: &mut Vec<u8>, edge: &Dependency, place: usize) {
    put(node, "edge", format!("{place} {}", u8::from(edge.restart)).as_bytes());
}

fn encode_whole(config: &Config, places: &[usize], terms: &Terms<'_>) -> Vec<u8> {
    let mut whole = Vec::new();
    let mut set = |key: &str, value: &str| put(&mut whole, key, value.as_bytes());
    set("shutdown_timeout", &config.shutdown_timeout.0.to_string());
    let letter = |meaning: &SignalUse| match meaning {
        SignalUse::Shutdown => 's',
        SignalUse::Forward => 'f',
        SignalUse::Reload => 'r',
        SignalUse::Ignore => 'i',
    };
    set("signals", &config.signals.0.iter().map(letter).collect::<String>());
    let ExitRule { when, code, stop_code } = config.exit;
    match when {
        When::All => {}
        When::Any => set("exit_when", "any"),
        When::Service(index) => set("exit_when", &places.get(index).copied().unwrap_or(usize::MAX).to_string()),
    }
    for (key, code) in [("exit_code", code), ("stop_code", stop_code)] {
        if let Some(code) = code {
            set(key, &code.to_string());
        }
    }
    if let Some(gid) = config.control_group {
        set("control_group", &gid.to_string());
    }
    for path in &terms.config {
        put(&mut whole, "config", path.as_os_str().as_bytes());
    }
    put_sources(&mut whole, &terms.added, &config.sources);
    whole
}

fn put_sources(whole: &mut Vec<u8>, added: &[PathBuf], sources: &[Source]) {
    for path in added {
        put(whole, "added", path.as_os_str().as_bytes());
    }
    for source in sources {
        // A path that holds a newline has no line.
        if let Some(line) = sources::encode(core::slice::from_ref(source)).strip_suffix(b"\n") {
            put(whole, "source", line);
        }
    }
}

/// What zei-init has to know of a plan.
#[derive(Clone, Debug)]
pub struct Outline {
    /// By index; `None`: there is no such service.
    pub services: Vec<Option<Member>>,
    /// Where the command stands.
    pub command: Option<usize>,
    /// What is done with a signal.
    pub signals: SignalMap,
    /// The budget of a shutdown.
    pub shutdown_timeout: Span,
    /// When the container ends, and with which code.
    pub exit: ExitRule,
    /// The group that may control its services.
    pub control_group: Option<u32>,
}

/// What zei-init has to know of one service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name.
    pub name: ServiceName,
    /// What the tree has to know.
    pub node: Node,
    /// Which of the signals that are forwarded it gets.
    pub forward_signals: Set,
    /// The signal that asks it to end.
    pub stop_signal: u8,
    /// Through what it tells that it is ready.
    pub voice: Option<Voice>,
    /// Whom it runs as; `None`: as zei-init.
    pub uid: Option<u32>,
    /// It says itself that it starts with the container.
    pub autostart: bool,
}

impl<'a> Definitions<'a> {
    pub(super) fn node_section(self, index: usize) -> Option<Section<'a>> {
        if index < self.count() { self.section(1 + self.count() + index) } else { None }
    }

    pub(super) fn whole(self) -> Option<Section<'a>> {
        self.section(1 + 2 * self.count())
    }

    /// What zei-init has to know; `None` where the bytes are no plan.
    pub fn outline(self) -> Option<Outline> {
        let mut services = (0..self.count()).map(|index| self.member(index)).collect::<Option<Vec<_>>>()?;
        let is_root = |member: &Option<Member>| member.as_ref().is_some_and(|member| member.autostart);
        let roots: Vec<usize> = (0..services.len()).filter(|index| services.get(*index).is_some_and(is_root)).collect();
        let needs =
            |member: &Option<Member>| member.as_ref().map_or(Vec::new(), |member| member.node.dependencies.clone());
        let graph: Vec<Vec<usize>> = services.iter().map(needs).collect();
        // What starts with the container: all that says so, and all that those need.
        for (member, wanted) in services.iter_mut().zip(order::closure(&graph, &roots)) {
            if let Some(member) = member {
                member.node.wanted = wanted;
            }
        }
        let command =
            services.iter().position(|member| member.as_ref().is_some_and(|member| member.name == ServiceName::CMD));
        let whole = self.whole()?;
        Some(Outline {
            services,
            command,
            signals: decode_signals(whole.text("signals")?)?,
            shutdown_timeout: Span(whole.number("shutdown_timeout")?),
            exit: ExitRule {
                when: match whole.text("exit_when") {
                    None => When::All,
                    Some("any") => When::Any,
                    Some(index) => When::Service(index.parse().ok()?),
                },
                code: whole.number("exit_code"),
                stop_code: whole.number("stop_code"),
            },
            control_group: whole.number("control_group"),
        })
    }

    /// The outer `None`: no plan; the inner one: no such service.
    fn member(self, index: usize) -> Option<Option<Member>> {
        let own = self.node_section(index)?;
        let Some(name) = self.name(index) else { return Some(None) };
        let edges = own.all("edge").filter_map(|edge| edge.to_str().ok()?.split_once(' '));
        let edges: Vec<(usize, bool)> =
            edges.filter_map(|(to, restart)| Some((to.parse().ok()?, restart == "1"))).collect();
        let on_end = |key| if own.one(key).is_some() { OnEnd::Shutdown } else { OnEnd::None };
        Some(Some(Member {
            name,
            node: Node {
                dependencies: edges.iter().map(|(to, _)| *to).collect(),
                on_exit: on_end("on_exit"),
                on_failure: on_end("on_failure"),
                healthy: self.service_section(index).map_or(Vec::new(), |section| {
                    let healthy = section.needs().filter(|needs| needs.condition == Condition::Healthy);
                    healthy.map(|needs| usize::from(needs.index)).collect()
                }),
                follows: edges.iter().filter(|(_, restart)| *restart).map(|(to, _)| *to).collect(),
                on_unhealthy: match own.one("on_unhealthy") {
                    Some(_) => OnUnhealthy::Shutdown,
                    None => OnUnhealthy::None,
                },
                wanted: false,
            },
            stop_signal: own.number("stop_signal")?,
            forward_signals: Set(own.number("forward_signals")?),
            voice: own.text("voice").map(|word| if word == "pipe" { Voice::Pipe } else { Voice::Socket }),
            uid: own.number("uid"),
            autostart: own.one("autostart").is_some(),
        }))
    }

    /// What service `index` depends on, as its file `needs` says it.
    pub fn needs_file(self, index: usize) -> String {
        let Some(section) = self.service_section(index) else { return String::new() };
        let follows = self.member(index).flatten().map(|member| member.node.follows).unwrap_or_default();
        needs::encode(section.needs().map(|needs| Need {
            name: needs.name,
            condition: needs.condition.word(),
            restart: follows.contains(&usize::from(needs.index)),
        }))
    }

    /// Through what service `index` tells that it is ready.
    pub fn voice(self, index: usize) -> Option<Voice> {
        self.member(index)??.voice
    }

    fn paths(self, key: &'static str) -> Vec<PathBuf> {
        let path = |value: &CStr| PathBuf::from(OsStr::from_bytes(value.to_bytes()));
        self.whole().map_or(Vec::new(), |whole| whole.all(key).map(path).collect())
    }

    /// The terms that it was made with.
    pub fn terms(self) -> Terms<'a> {
        let common = self.section(0);
        Terms {
            environment: common.map_or(Vec::new(), |common| common.all("env").collect()),
            nofile: common.and_then(|common| common.numbers("nofile")).map(|[soft, hard]| (soft, hard)),
            config: self.paths("config"),
            added: self.paths("added"),
            invoker: self.invoker(),
        }
    }

    /// What the configuration was read from.
    pub fn sources(self) -> Vec<Source> {
        let lines = self.whole().into_iter().flat_map(|whole| whole.all("source"));
        lines.filter_map(|line| sources::decode_line(line.to_bytes())).collect()
    }
}

fn decode_signals(letters: &str) -> Option<SignalMap> {
    let mut map = SignalMap::default();
    if letters.len() != map.0.len() {
        return None;
    }
    for (slot, letter) in map.0.iter_mut().zip(letters.chars()) {
        *slot = match letter {
            's' => SignalUse::Shutdown,
            'f' => SignalUse::Forward,
            'r' => SignalUse::Reload,
            _ => SignalUse::Ignore,
        };
    }
    Some(map)
}
