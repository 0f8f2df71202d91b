//! The files of a configuration laid upon each other.
//!
//! Owns: what a file is (a fragment or one bare service), merge keys and duplicates, `override`,
//! `defaults`. Must never: read a value other than `override`.
//!
//! With `override: merge` a key replaces the earlier one as a whole, but `environment` is merged by
//! variable, as Compose does with several files; `command` and `shell` replace each other.

use crate::config::expand::{self, Environment};
use crate::config::keys::{self, Id, Key, Places};
use crate::config::node::{self, At, Member, Node, Value};
use crate::config::problem::{Fault, Report};
use crate::config::values;
use crate::name::{RESERVED, ServiceName};
use std::collections::HashMap;

/// A key with what it was given.
#[derive(Clone)]
pub struct Entry {
    pub key: &'static Key,
    /// The key as it was written.
    pub word: String,
    /// The place of the key.
    pub at: At,
    /// Its value; several where layers add up, the later ones winning.
    pub nodes: Vec<Node>,
    /// It comes from `defaults`.
    pub is_default: bool,
}

/// The keys of one service, of `cmd` or of `defaults`.
pub struct Section {
    pub name: String,
    /// The place of the name.
    pub at: At,
    pub entries: Vec<Entry>,
    /// zinit's defaults hold: a bare file with `exec`.
    pub zinit: bool,
    /// What it runs is named by something that was refused already.
    pub broken: bool,
    overrides: Option<Override>,
    /// As it was written, where two may say the same.
    written: Option<Node>,
}

impl Section {
    /// One that says nothing and stands nowhere.
    pub fn empty(name: &str) -> Section {
        let at = At { file: usize::MAX, id: 0 };
        Section {
            name: name.to_owned(),
            at,
            entries: Vec::new(),
            zinit: false,
            broken: false,
            overrides: None,
            written: None,
        }
    }

    /// The entry of a key.
    pub fn entry(&self, id: Id) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.id == id)
    }

    /// How messages call a key of it: the service, and the key.
    pub fn label(&self, entry: &Entry) -> (Option<&str>, String) {
        let word = &entry.word;
        match (self.name == "cmd", entry.is_default) {
            (true, _) => (None, format!("cmd: {word}")),
            // Once for all services that it is meant for.
            (false, true) => (None, format!("defaults: {word}")),
            (false, false) => (Some(&self.name), word.clone()),
        }
    }

    /// Reports something that may be wrong with a key of it.
    pub fn doubt(&self, entry: &Entry, fault: Fault, report: &Report) {
        let (service, key) = self.label(entry);
        report.doubt(entry.at, service, Some(&key), fault);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Override {
    Merge,
    Replace,
}

const OVERRIDES: &[(&str, Override)] = &[("merge", Override::Merge), ("replace", Override::Replace)];

/// All files, one upon the other.
#[derive(Default)]
pub struct Layers {
    /// In the order of their first definition.
    pub services: Vec<Section>,
    pub defaults: Option<Section>,
    pub cmd: Option<Section>,
    /// The other keys of the top level.
    pub top: Vec<Entry>,
    index: HashMap<String, usize>,
}

/// Reads every file of the report.
pub fn read(environment: &Environment, report: &Report) -> Layers {
    let mut layers = Layers::default();
    for (number, file) in report.files().iter().enumerate() {
        match node::parse(number, &file.text) {
            Err(error) => report.file_fault(number, error.line, format!("is no valid YAML: {}", error.text)),
            Ok(node) => Reader { layers: &mut layers, environment, report, overrides: None }.file(number, node),
        }
    }
    if let Some(defaults) = &layers.defaults {
        layers.services.iter_mut().for_each(|service| apply_defaults(service, defaults));
    }
    layers
}

struct Reader<'a> {
    layers: &'a mut Layers,
    environment: &'a Environment,
    report: &'a Report,
    /// What the file as a whole says.
    overrides: Option<Override>,
}

impl Reader<'_> {
    fn file(&mut self, number: usize, mut node: Node) {
        let at = At { file: number, id: 0 };
        let bare = is_bare(&node);
        let stem = self.report.path(number).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let stem = stem.unwrap_or_default();
        tidy(&mut node, &mut if bare { vec!["services".into(), stem.clone()] } else { Vec::new() }, self.report);
        if bare {
            let zinit = matches!(&node.value, Value::Map(members) if members.iter().any(|member| member.key == "exec"));
            if self.name_is_good(&stem, at) {
                let section = Section { zinit, ..self.section(&stem, at, node, Places::SERVICE) };
                self.service(section);
            }
            return;
        }
        match node.value {
            Value::Map(members) => self.fragment(members),
            Value::Null => {}
            _ => self.report.file_fault(number, 0, format!("must hold a map of keys, not {}", node.kind())),
        }
    }

    fn fragment(&mut self, members: Vec<Member>) {
        // First, because it says how all the others are to be taken.
        for member in members.iter().filter(|member| member.key == "override") {
            self.overrides = self.overriding(None, &member.key, member.at, &member.node);
        }
        for Member { at, key: word, mut node } in members {
            // As in Compose: a place for anchors.
            if word.starts_with("x-") {
                continue;
            }
            let key = match keys::find(&word, Places::TOP) {
                Ok(key) => key,
                Err(fault) => {
                    self.report.fault(at, None, Some(&word), fault);
                    continue;
                }
            };
            match key.id {
                Id::Override => {}
                Id::Services => self.services(at, &word, node),
                Id::Cmd => {
                    let section = self.section(&word, at, node, Places::CMD);
                    let earlier = self.layers.cmd.take();
                    self.layers.cmd = self.shared(earlier, section);
                }
                Id::Defaults => {
                    let section = self.section(&word, at, node, Places::DEFAULTS);
                    let earlier = self.layers.defaults.take();
                    self.layers.defaults = self.shared(earlier, section);
                }
                _ => match expand::expand(&mut node, self.environment, key.expansion()) {
                    Err(faults) => faults.into_iter().for_each(|fault| self.report.fault(at, None, Some(&word), fault)),
                    Ok(()) => self.top(Entry { key, word, at, nodes: vec![node], is_default: false }),
                },
            }
        }
    }

    fn services(&mut self, at: At, word: &str, node: Node) {
        match node.value {
            Value::Map(members) => {
                for member in members {
                    if self.name_is_good(&member.key, member.at) {
                        let section = self.section(&member.key, member.at, member.node, Places::SERVICE);
                        self.service(section);
                    }
                }
            }
            Value::Null => {}
            _ => {
                let text = format!("must be a map of services by name, not {}", node.kind());
                self.report.fault(at, None, Some(word), Fault::new(text));
            }
        }
    }

    fn name_is_good(&self, name: &str, at: At) -> bool {
        let fault = match ServiceName::parse(name) {
            Err(error) => error.to_string(),
            Ok(_) if name == "cmd" => {
                "this name is reserved for the command; its keys stand in cmd at the top level".to_owned()
            }
            Ok(_) if RESERVED.contains(&name) => {
                format!("this name is reserved, as are {}; take another", RESERVED.join(", "))
            }
            Ok(_) => return true,
        };
        self.report.fault(at, Some(name), None, Fault::new(fault));
        false
    }

    fn service(&mut self, section: Section) {
        let Some(index) = self.layers.index.get(&section.name).copied() else {
            self.layers.index.insert(section.name.clone(), self.layers.services.len());
            self.layers.services.push(section);
            return;
        };
        let Some(earlier) = self.layers.services.get_mut(index) else { return };
        match section.overrides.or(self.overrides) {
            Some(Override::Replace) => *earlier = section,
            Some(Override::Merge) => merge(earlier, section.entries),
            None => self.report.fault(section.at, Some(&section.name), None, twice(earlier.at)),
        }
    }

    /// `cmd` and `defaults` may stand in two files if they say the same.
    fn shared(&self, earlier: Option<Section>, section: Section) -> Option<Section> {
        let Some(mut earlier) = earlier else { return Some(section) };
        match section.overrides.or(self.overrides) {
            Some(Override::Replace) => return Some(section),
            Some(Override::Merge) => merge(&mut earlier, section.entries),
            None => match (&earlier.written, &section.written) {
                (Some(a), Some(b)) if a.same(b) => {}
                _ => self.report.fault(section.at, None, Some(&section.name), twice(earlier.at)),
            },
        }
        Some(earlier)
    }

    fn top(&mut self, entry: Entry) {
        let Some(earlier) = self.layers.top.iter_mut().find(|earlier| earlier.key.id == entry.key.id) else {
            self.layers.top.push(entry);
            return;
        };
        let same = matches!((earlier.nodes.as_slice(), entry.nodes.as_slice()), ([a], [b]) if a.same(b));
        if self.overrides.is_some() {
            *earlier = entry;
        } else if !same {
            let text = "has another value in another file; keep one, or say \"override: merge\" at the top of this \
                        file. The other is at";
            self.report.fault(entry.at, None, Some(&entry.word), Fault::new(text).other(earlier.at));
        }
    }

    /// The keys of a service, of `cmd` or of `defaults`, each known and given once.
    fn section(&self, name: &str, at: At, node: Node, place: Places) -> Section {
        let written = (place != Places::SERVICE).then(|| node.clone());
        let mut section = Section {
            name: name.to_owned(),
            at,
            entries: Vec::new(),
            zinit: false,
            broken: false,
            overrides: None,
            written,
        };
        let service = (place == Places::SERVICE).then_some(name);
        let members = match node.value {
            Value::Map(members) => members,
            Value::Null if place != Places::SERVICE => return section,
            _ => {
                let text = format!("must be a map of keys, not {}", node.kind());
                let key = if service.is_none() { Some(name) } else { None };
                self.report.fault(at, service, key, Fault::new(text));
                return Section { broken: true, ..section };
            }
        };
        for member in members {
            let at = member.at;
            match keys::find(&member.key, place) {
                Err(fault) => {
                    section.broken |= matches!(fault.near.as_deref(), Some("command" | "exec" | "shell"));
                    self.report.fault(at, service, Some(&label(service, name, &member.key)), fault);
                }
                Ok(key) if key.id == Id::Override => {
                    let label = label(service, name, &member.key);
                    section.overrides = self.overriding(service, &label, at, &member.node);
                }
                Ok(key) => self.entry(&mut section, service, key, member),
            }
        }
        section
    }

    fn entry(&self, section: &mut Section, service: Option<&str>, key: &'static Key, member: Member) {
        let Member { at, key: mut word, mut node } = member;
        let fault =
            |word: &str, fault| self.report.fault(at, service, Some(&label(service, &section.name, word)), fault);
        if let Some(other) = section.entry(key.id) {
            let text = format!("is the same key as {}; keep one of them. The other is at", other.word);
            return fault(&word, Fault::new(text).other(other.at));
        }
        // zinit's `signal: {stop: TERM}`.
        if word == "signal" {
            match node.value {
                Value::Map(members) if matches!(members.as_slice(), [only] if only.key == "stop") => {
                    let Some(only) = members.into_iter().next() else { return };
                    (word, node) = ("signal.stop".into(), only.node);
                }
                _ => return fault(&word, Fault::new("must be a map with the one key stop")),
            }
        }
        if let Err(faults) = expand::expand(&mut node, self.environment, key.expansion()) {
            return faults.into_iter().for_each(|one| fault(&word, one));
        }
        section.entries.push(Entry { key, word, at, nodes: vec![node], is_default: false });
    }

    fn overriding(&self, service: Option<&str>, word: &str, at: At, node: &Node) -> Option<Override> {
        values::word(node, OVERRIDES).map_err(|fault| self.report.fault(at, service, Some(word), fault)).ok()
    }
}

/// How messages call a key: one of `cmd` or `defaults` belongs to no service, so it says where it stands.
fn label(service: Option<&str>, section: &str, word: &str) -> String {
    if service.is_some() { word.to_owned() } else { format!("{section}: {word}") }
}

fn twice(earlier: At) -> Fault {
    let text =
        "is defined twice; say \"override: merge\" or \"override: replace\" here if that is meant. The other is at";
    Fault::new(text).other(earlier)
}

/// A file that has `command`, `exec` or `shell` and no `services` is one service.
fn is_bare(node: &Node) -> bool {
    let Value::Map(members) = &node.value else { return false };
    let has = |word: &str| members.iter().any(|member| member.key == word);
    !has("services") && (has("command") || has("exec") || has("shell"))
}

fn merge(earlier: &mut Section, later: Vec<Entry>) {
    let is_command = |id| matches!(id, Id::Command | Id::Shell);
    for entry in later {
        match earlier.entries.iter_mut().find(|old| old.key.id == entry.key.id) {
            Some(old) if old.key.id == Id::Environment => old.nodes.extend(entry.nodes),
            _ => {
                let replaced = |id| id == entry.key.id || (is_command(id) && is_command(entry.key.id));
                earlier.entries.retain(|old| !replaced(old.key.id));
                earlier.entries.push(entry);
            }
        }
    }
}

fn apply_defaults(service: &mut Section, defaults: &Section) {
    // A user of one's own brings its own groups, not those meant for another user.
    let own_user = service.entry(Id::User).is_some();
    for entry in &defaults.entries {
        match service.entries.iter_mut().find(|own| own.key.id == entry.key.id) {
            Some(own) if own.key.id == Id::Environment => {
                own.nodes.splice(0..0, entry.nodes.iter().cloned());
            }
            Some(_) => {}
            None if own_user && matches!(entry.key.id, Id::Group | Id::Groups) => {}
            None => service.entries.push(Entry { is_default: true, ..entry.clone() }),
        }
    }
}

/// Reports keys given twice, then takes in merge keys (`<<`): what a map says itself wins, then the
/// earlier of several merged ones.
fn tidy(node: &mut Node, trail: &mut Vec<String>, report: &Report) {
    let fault = |at, trail: &[String], fault| match trail {
        [services, service, rest @ ..] if services == "services" => {
            report.fault(at, Some(service), rest.first().map(String::as_str), fault);
        }
        _ => report.fault(at, None, trail.first().map(String::as_str), fault),
    };
    match &mut node.value {
        Value::List(nodes) => nodes.iter_mut().for_each(|node| tidy(node, trail, report)),
        Value::Map(members) => {
            let mut kept: Vec<Member> = Vec::with_capacity(members.len());
            let mut merged = Vec::new();
            let mut seen: HashMap<String, At> = HashMap::with_capacity(members.len());
            for mut member in members.drain(..) {
                trail.push(member.key.clone());
                if let Some(first) = seen.insert(member.key.clone(), member.at) {
                    let text = format!("{:?} is given twice; the other is at", member.key);
                    fault(member.at, trail, Fault::new(text).other(first));
                } else {
                    tidy(&mut member.node, trail, report);
                    if member.key == "<<" { merged.push(member) } else { kept.push(member) }
                }
                trail.pop();
            }
            for Member { at, node, .. } in merged {
                for source in match node.value {
                    Value::List(nodes) => nodes,
                    _ => vec![node],
                } {
                    match source.value {
                        Value::Map(more) => {
                            let new: Vec<_> =
                                more.into_iter().filter(|m| kept.iter().all(|k| k.key != m.key)).collect();
                            kept.extend(new);
                        }
                        _ => {
                            fault(at, trail, Fault::new("<< takes a map or a list of maps (an alias, as in <<: *name)"))
                        }
                    }
                }
            }
            *members = kept;
        }
        Value::Null | Value::Bool(..) | Value::Number(_) | Value::Text(_) => {}
    }
}
