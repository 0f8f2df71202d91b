//! The maps that are values of keys, such as `healthcheck: {…}`.
//!
//! Owns: which words each of them knows, and how its members are read so that every mistake is told with the path to
//! it (`healthcheck.retires`). Must never: know what a member means.

use crate::config::keys::Id;
use crate::config::node::{Member, Node, Value};
use crate::config::problem::{Fault, Faults};
use crate::near::nearest;

/// A map of fixed words.
#[derive(Debug)]
pub struct Map {
    /// The keys that it is the value of.
    pub owners: &'static [Id],
    /// Where in the value it is: the words on the way to it, `*` for a name; empty for the value itself.
    pub path: &'static [&'static str],
    /// Its words.
    pub words: &'static [Word],
}

/// A word of a map.
#[derive(Debug)]
pub struct Word {
    /// The word itself.
    pub name: &'static str,
    /// What it means, in a line.
    pub doc: &'static str,
}

const fn word(name: &'static str, doc: &'static str) -> Word {
    Word { name, doc }
}

/// All maps, in the order of the manual.
pub const MAPS: &[&Map] = &[
    &DEPENDENCY,
    &READY,
    &NOTIFY,
    &HEALTHCHECK,
    &HEALTHCHECK_TEST,
    &RESTART_BACKOFF,
    &HOOK,
    &ULIMIT,
    &EXIT,
    &EXIT_WHEN,
];

pub(super) const DEPENDENCY: Map = Map {
    owners: &[Id::DependsOn],
    path: &["*"],
    words: &[
        word("condition", "service_started, service_healthy or service_completed_successfully"),
        word("restart", "true: a restart of that service by hand restarts this one, too; false"),
        word("required", "false: there need not be such a service; true"),
    ],
};

pub(super) const READY: Map = Map {
    owners: &[Id::Ready],
    path: &[],
    words: &[
        word("notify", "it says so: systemd, or {fd: N}"),
        word("exec", "a command that is run until it exits 0"),
        word("tcp", "HOST:PORT or PORT that can be connected to"),
        word("http", "a URL that answers with a status from 200 to 399"),
        word("unix", "a Unix socket that can be connected to: an absolute path, or @name"),
        word("log", "a regular expression that a line of its output matches"),
        word("timeout", "it fails if it is not ready so long after its start; no limit"),
        word("interval", "the pause between two tries of exec, tcp, http and unix; 250ms"),
        word("watchdog", "with notify: systemd: it must say at least this often that it lives"),
    ],
};

pub(super) const NOTIFY: Map = Map {
    owners: &[Id::Ready],
    path: &["notify"],
    words: &[word("fd", "the descriptor to which it writes a newline, 3 to 1023")],
};

pub(super) const HEALTHCHECK: Map = Map {
    owners: &[Id::Healthcheck],
    path: &[],
    words: &[
        word("test", "a shell text, [CMD, …], [CMD-SHELL, text], [NONE], a command as a list, or a map"),
        word("interval", "the pause between two checks; 30s"),
        word("timeout", "a check that takes longer has failed; 30s"),
        word("retries", "unhealthy after so many failed checks in a row; 3"),
        word("start_period", "so long failed checks don't count, until one succeeds; 0s"),
        word("start_interval", "the pause between two checks in that time; 5s"),
        word("on_unhealthy", "what becomes of an unhealthy service: none, restart or shutdown; none"),
        word("disable", "true: no health check, whatever else is said; false"),
    ],
};

pub(super) const HEALTHCHECK_TEST: Map = Map {
    owners: &[Id::Healthcheck],
    path: &["test"],
    words: &[
        word("exec", "a command that exits 0"),
        word("tcp", "HOST:PORT or PORT that can be connected to"),
        word("http", "a URL that answers with a status from 200 to 399"),
        word("unix", "a Unix socket that can be connected to: an absolute path, or @name"),
    ],
};

pub(super) const RESTART_BACKOFF: Map = Map {
    owners: &[Id::RestartBackoff],
    path: &[],
    words: &[
        word("factor", "how many times as long the next delay is; 2"),
        word("max", "the longest delay; 1m, or restart_delay where that is longer"),
        word("jitter", "by how much of itself chance makes a delay longer or shorter: 0 to 1, or 20%; 0"),
    ],
};

pub(super) const HOOK: Map = Map {
    owners: &[Id::PreStart, Id::PostStop, Id::Reload],
    path: &[],
    words: &[
        word("command", "a list, executed as written, or a string, split by shell quoting rules"),
        word("shell", "a text for /bin/sh -c, instead of command"),
        word("timeout", "then it is killed, and has failed; 10s, for pre_start no limit"),
    ],
};

pub(super) const ULIMIT: Map = Map {
    owners: &[Id::Ulimits],
    path: &["*"],
    words: &[
        word("soft", "what holds, until the process raises it: a number, or unlimited"),
        word("hard", "how far it can: a number, or unlimited"),
    ],
};

pub(super) const EXIT: Map = Map {
    owners: &[Id::Exit],
    path: &[],
    words: &[
        word("when", "whose end for good ends the container: all, any or {service: NAME}; all"),
        word("code", "the exit code instead of that of the service that ended the container"),
        word("stop_code", "the exit code where the end was asked for"),
    ],
};

pub(super) const EXIT_WHEN: Map = Map {
    owners: &[Id::Exit],
    path: &["when"],
    words: &[word("service", "the service whose end for good ends the container")],
};

/// The members of such a map while they are read.
pub struct Fields<'n> {
    map: &'static Map,
    members: &'n [Member],
    faults: Faults,
}

impl<'n> Fields<'n> {
    /// Takes a value for such a map; unknown words are noted.
    pub fn of(node: &'n Node, map: &'static Map) -> Result<Fields<'n>, Fault> {
        let Value::Map(members) = &node.value else {
            let text = format!("must be a map of {}, not {}", listed(map), node.kind());
            return Err(Fault::new(text));
        };
        let known = || map.words.iter().map(|word| word.name);
        let unknown = members.iter().filter(|member| known().all(|name| name != member.key));
        let fault =
            |member: &Member| Fault::new("unknown key").near(nearest(&member.key, known())).of(&member.key, member.at);
        Ok(Fields { map, members, faults: unknown.map(fault).collect() })
    }

    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<&'n Member> {
        debug_assert!(self.map.words.iter().any(|word| word.name == name), "{name} is no word of {:?}", self.map);
        self.members.iter().find(|member| member.key == name)
    }

    /// The value of a member; `None` where it isn't given, or wrong, which is then noted.
    pub fn read<T, E: Into<Faults>>(&mut self, name: &str, read: impl FnOnce(&Node) -> Result<T, E>) -> Option<T> {
        let member = self.member(name)?;
        match read(&member.node) {
            Ok(value) => Some(value),
            Err(faults) => {
                self.faults.extend(faults.into().into_iter().map(|fault| fault.of(&member.key, member.at)));
                None
            }
        }
    }

    /// Notes something wrong with a member; where it isn't given, with the whole.
    pub fn fault(&mut self, name: &str, fault: Fault) {
        let fault = match self.member(name) {
            Some(member) => fault.of(&member.key, member.at),
            None => fault,
        };
        self.faults.push(fault);
    }

    /// That one of these that is given; noted, where it is none or more.
    pub fn one_of(&mut self, names: &[&'static str]) -> Option<&'static str> {
        let given: Vec<&str> = names.iter().copied().filter(|name| self.member(name).is_some()).collect();
        match given.as_slice() {
            [] => {
                // What was meant is told already.
                let meant = |fault: &Fault| fault.near.as_deref().is_some_and(|near| names.contains(&near));
                if !self.faults.iter().any(meant) {
                    let these = if names.len() == 1 { "the key" } else { "one of" };
                    self.faults.push(Fault::new(format!("needs {these} {}", names.join(", "))));
                }
                None
            }
            [only] => Some(only),
            [first, second, ..] => {
                let text = format!("{first} and {second} can't both be given; keep one of them");
                self.fault(second, Fault::new(text));
                Some(first)
            }
        }
    }

    /// Whether nothing was noted.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// What was read, unless something was noted.
    pub fn done<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(self.faults),
        }
    }
}

fn listed(map: &Map) -> String {
    map.words.iter().map(|word| word.name).collect::<Vec<_>>().join(", ")
}
