//! From the keys of a definition to those of a configuration, for people.
//!
//! Owns: that table, and which keys of two plans differ. Must never: judge what a difference means.

use super::{Definitions, Section};
use std::collections::BTreeMap;

/// Keys of sections, and the key of the configuration that each comes from; a key that is not in it has the same name.
const KEYS: &[(&str, &str)] = &[
    ("argument", "command"),
    ("uid", "user"),
    ("gid", "user"),
    ("group", "user"),
    ("own_environment", "environment"),
    ("env", "environment"),
    ("dependency", "depends_on"),
    ("edge", "depends_on"),
    ("ready_by", "ready"),
    ("told", "ready"),
    ("asked", "ready"),
    ("voice", "ready"),
    ("pattern", "ready"),
    ("ready_timeout", "ready"),
    ("watchdog", "ready"),
    ("health", "healthcheck"),
    ("health_policy", "healthcheck"),
    ("on_unhealthy", "healthcheck"),
    ("pre_start_hook", "pre_start"),
    ("post_stop_hook", "post_stop"),
    ("reload_hook", "reload"),
    ("reload_signal", "reload"),
    ("scheduled", "schedule"),
    ("backoff", "restart_backoff"),
    ("exit_when", "exit"),
    ("exit_code", "exit"),
    ("stop_code", "exit"),
];

/// What says nothing about the tree: where something was read.
const ORIGINS: [&str; 4] = ["origin", "config", "added", "source"];

/// The keys of the configuration in which two plans differ, those of a service or those of the whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Differences {
    /// Keys that its supervisor goes by.
    pub service: Vec<String>,
    /// Keys that only zei-init goes by.
    pub init: Vec<String>,
}

impl Definitions<'_> {
    /// In which keys the definition of service `index` differs from that in `new`.
    pub fn differences(self, new: Definitions<'_>, index: usize) -> Differences {
        let mut service = differing(self.service_section(index), new.service_section(index));
        let environment = String::from("environment");
        let has_own = new.service_section(index).is_some_and(|section| section.one("own_environment").is_some());
        if !has_own && !service.contains(&environment) && !differing(self.section(0), new.section(0)).is_empty() {
            service.push(environment);
        }
        let mut init = differing(self.node_section(index), new.node_section(index));
        init.retain(|key| !service.contains(key));
        Differences { service, init }
    }

    /// In which keys of the top level the whole differs from `new`.
    pub fn differences_of_whole(self, new: Definitions<'_>) -> Vec<String> {
        differing(self.whole(), new.whole())
    }
}

/// In the order of the configuration's names.
fn differing(old: Option<Section<'_>>, new: Option<Section<'_>>) -> Vec<String> {
    let (old, new) = (old.unwrap_or(Section(b"")), new.unwrap_or(Section(b"")));
    if old.0 == new.0 {
        return Vec::new();
    }
    let (old, new) = (entries(old), entries(new));
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    let mut differing: Vec<String> = keys
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| String::from_utf8_lossy(key).into_owned())
        .filter(|key| !ORIGINS.contains(&key.as_str()))
        .map(|key| KEYS.iter().find(|(own, _)| *own == key).map_or(key, |(_, name)| (*name).to_owned()))
        .collect();
    differing.sort_unstable();
    differing.dedup();
    differing
}

/// The values of each key, in their order.
fn entries(section: Section<'_>) -> BTreeMap<&[u8], Vec<&[u8]>> {
    let mut entries: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for entry in section.0.split_inclusive(|byte| *byte == 0) {
        let mut halves = entry.splitn(2, |byte| *byte == b'=');
        let key = halves.next().unwrap_or_default();
        entries.entry(key).or_default().push(halves.next().unwrap_or_default());
    }
    entries
}
