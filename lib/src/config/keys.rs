//! Every key of a configuration.
//!
//! Owns: the one table, from which the parser's known words, its suggestions and the documentation
//! come. Must never: read a value.

use crate::config::expand::Expansion;
use crate::config::maps::MAPS;
use crate::config::problem::Fault;
use crate::near::nearest;

/// A place where a key may stand; several are added up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Places(u8);

impl Places {
    /// The top level of a file.
    pub const TOP: Places = Places(1);
    /// A service.
    pub const SERVICE: Places = Places(2);
    /// `defaults`, whose keys hold for every service but the command.
    pub const DEFAULTS: Places = Places(4);
    /// `cmd`, the keys of the command.
    pub const CMD: Places = Places(8);
    /// A service, alone or for all, and the command.
    const ALL: Places = Places(2 | 4 | 8);
    /// A service, alone or for all.
    const BOTH: Places = Places(2 | 4);

    /// Whether all of `other` is in it.
    pub const fn contain(self, other: Places) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// What the parser knows it by.
    pub id: Id,
    /// The word itself.
    pub name: &'static str,
    /// Other words for the same key.
    pub aliases: &'static [&'static str],
    /// Where it may stand.
    pub places: Places,
    /// What it means, in a line.
    pub doc: &'static str,
}

/// A key, for the parser.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "KEYS documents each of them")]
pub enum Id {
    // The top level.
    Version,
    Services,
    Defaults,
    Cmd,
    Signals,
    ShutdownTimeout,
    Exit,
    ControlGroup,
    // Anywhere.
    Override,
    // A service.
    Command,
    Shell,
    User,
    Group,
    Groups,
    Restart,
    MaxRestarts,
    ResetAfter,
    RestartDelay,
    RestartBackoff,
    Oneshot,
    Interval,
    Schedule,
    CatchUp,
    DependsOn,
    Environment,
    EnvFile,
    ClearEnvironment,
    WorkingDir,
    Stdin,
    Stdout,
    Stderr,
    JsonLogs,
    Log,
    Ready,
    Test,
    Healthcheck,
    PreStart,
    PostStop,
    StopSignal,
    StopGracePeriod,
    StopScope,
    Drain,
    Reload,
    ForwardSignals,
    OnExit,
    OnFailure,
    Autostart,
    Umask,
    Nice,
    OomScoreAdj,
    Ulimits,
    NoNewPrivileges,
    Capabilities,
    /// Known by name only: this version cannot do it yet.
    Later,
}

const fn key(id: Id, name: &'static str, aliases: &'static [&'static str], places: Places, doc: &'static str) -> Key {
    Key { id, name, aliases, places, doc }
}

const TOP: Places = Places::TOP;
const ALL: Places = Places::ALL;
const BOTH: Places = Places::BOTH;
const SERVICE: Places = Places::SERVICE;
const SERVICE_CMD: Places = Places(2 | 8);
const EVERYWHERE: Places = Places(1 | 2 | 4 | 8);

/// All keys, those of a service in the order of the manual.
pub const KEYS: &[Key] = &[
    key(Id::Version, "version", &[], TOP, "the version of the format: \"1.0\""),
    key(Id::Services, "services", &[], TOP, "the services by name"),
    key(Id::Defaults, "defaults", &[], TOP, "keys for every service but the command"),
    key(Id::Cmd, "cmd", &[], TOP, "keys for the command that zei-init was given"),
    key(Id::Signals, "signals", &[], TOP, "what zei-init does with a signal: shutdown, reload, forward, ignore"),
    key(Id::ShutdownTimeout, "shutdown_timeout", &[], TOP, "the budget of a whole shutdown; 30s"),
    key(Id::Exit, "exit", &[], TOP, "when the container ends, and with which code"),
    key(Id::ControlGroup, "control_group", &[], TOP, "the group that may control services, a name or a number"),
    key(
        Id::Override,
        "override",
        &[],
        EVERYWHERE,
        "merge or replace: what earlier files say of the same is overridden",
    ),
    key(
        Id::Command,
        "command",
        &["exec"],
        SERVICE,
        "a list, executed as written, or a string, split by shell quoting rules",
    ),
    key(Id::Shell, "shell", &[], SERVICE, "a text for /bin/sh -c, instead of command"),
    key(Id::User, "user", &[], ALL, "a name or number, or \"name:group\""),
    key(Id::Group, "group", &[], ALL, "a name or number; the user's own"),
    key(Id::Groups, "groups", &[], ALL, "supplementary groups; the user's own"),
    key(Id::Restart, "restart", &[], ALL, "always, on-failure, never; also no, on-failure:N, unless-stopped"),
    key(Id::MaxRestarts, "max_restarts", &[], ALL, "give up after this many restarts; 0 = no limit"),
    key(Id::ResetAfter, "reset_after", &[], ALL, "having been up this long resets the count of restarts; 60s"),
    key(Id::RestartDelay, "restart_delay", &[], ALL, "the pause before a restart; 1s"),
    key(Id::RestartBackoff, "restart_backoff", &[], ALL, "how that pause grows"),
    key(Id::Oneshot, "oneshot", &[], BOTH, "run once; done when it exits 0"),
    key(Id::Interval, "interval", &[], SERVICE, "for a oneshot: run again this long after it ended"),
    key(Id::Schedule, "schedule", &[], SERVICE, "for a oneshot: run by the clock; a cron expression"),
    key(Id::CatchUp, "catch_up", &[], SERVICE, "true: make a missed slot of the schedule good, once"),
    key(Id::DependsOn, "depends_on", &["after"], SERVICE_CMD, "what must be there before it starts"),
    key(Id::Environment, "environment", &["env"], ALL, "variables: a map or a list of K=V"),
    key(Id::EnvFile, "env_file", &[], ALL, "files of K=V lines: a path or a list"),
    key(
        Id::ClearEnvironment,
        "clear_environment",
        &[],
        ALL,
        "start from nothing instead of the container's environment",
    ),
    key(Id::WorkingDir, "working_dir", &["dir"], ALL, "where it runs; where zei-init was started"),
    key(Id::Stdin, "stdin", &[], ALL, "null, open (never ends), inherit (only cmd)"),
    key(Id::Stdout, "stdout", &[], ALL, "a path, /dev/stdout, /dev/stderr, null, inherit"),
    key(Id::Stderr, "stderr", &[], ALL, "a path, /dev/stdout, /dev/stderr, null, inherit, or stdout to join them"),
    key(Id::JsonLogs, "json_logs", &[], ALL, "its lines are JSON"),
    key(
        Id::Log,
        "log",
        &[],
        ALL,
        "prefix, inherit, ring, null; prefix where two services write to the container's streams",
    ),
    key(Id::Ready, "ready", &[], ALL, "how it is known that it is ready; as soon as it runs"),
    key(Id::Test, "test", &[], SERVICE, "a command that is run until it exits 0; then it is ready"),
    key(Id::Healthcheck, "healthcheck", &[], ALL, "how it is known that it is healthy"),
    key(Id::PreStart, "pre_start", &[], ALL, "a command before each start"),
    key(Id::PostStop, "post_stop", &[], ALL, "a command after each end"),
    key(Id::StopSignal, "stop_signal", &["signal.stop"], ALL, "the signal that asks it to end; SIGTERM"),
    key(Id::StopGracePeriod, "stop_grace_period", &["shutdown_timeout"], ALL, "how long it has for that; 10s"),
    key(Id::StopScope, "stop_scope", &[], ALL, "tree, process or group: who is asked to end"),
    key(Id::Drain, "drain", &[], ALL, "at a stop: not ready any more so long before the stop signal; 0"),
    key(Id::Reload, "reload", &[], ALL, "how it is told to reload: a signal or a command; HUP"),
    key(Id::ForwardSignals, "forward_signals", &[], ALL, "which of the signals that zei-init forwards it gets"),
    key(Id::OnExit, "on_exit", &[], BOTH, "shutdown: when it ended for good, the container stops with its code"),
    key(Id::OnFailure, "on_failure", &[], BOTH, "shutdown: when it failed for good, the container stops with its code"),
    key(Id::Autostart, "autostart", &[], BOTH, "false: defined, not started unless something needs it"),
    key(Id::Umask, "umask", &[], ALL, "file mode creation mask, octal"),
    key(Id::Nice, "nice", &[], ALL, "its share of the processors: -20 (most) to 19 (least)"),
    key(
        Id::OomScoreAdj,
        "oom_score_adj",
        &[],
        ALL,
        "how soon it is killed when memory is short: -1000 (never) to 1000",
    ),
    key(Id::Ulimits, "ulimits", &[], ALL, "resource limits: each a number, soft:hard, or a map"),
    key(Id::NoNewPrivileges, "no_new_privileges", &[], ALL, "no setuid program gives it rights; false"),
    key(Id::Capabilities, "capabilities", &[], ALL, "the only capabilities it has or can get, whoever it runs as"),
    key(Id::Later, "listen", &[], ALL, "sockets that are held for it"),
];

impl Key {
    /// All words for it, the key's own name first.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Whether a YAML key of this word means it: `signal` stands for `signal.stop`, which may be written as one key, too.
    fn is(&self, word: &str) -> bool {
        self.words().any(|known| known == word || known.split_once('.').is_some_and(|(outer, _)| outer == word))
    }

    /// Where in its value `${NAME}` is expanded. What only holds further keys is left alone; those are expanded one
    /// by one.
    pub fn expansion(&self) -> Expansion {
        match self.id {
            Id::Command | Id::Shell | Id::Services | Id::Defaults | Id::Cmd => Expansion::Nowhere,
            Id::Ready | Id::Test | Id::Healthcheck | Id::PreStart | Id::PostStop | Id::Reload => {
                Expansion::AroundCommands
            }
            _ => Expansion::Everywhere,
        }
    }
}

/// The key of this word in this place, or why it can't stand there and what was probably meant.
pub fn find(word: &str, place: Places) -> Result<&'static Key, Fault> {
    let here = |key: &&Key| key.places.contain(place);
    match KEYS.iter().filter(here).find(|key| key.is(word)) {
        Some(key) if key.id == Id::Later => Err(Fault::new("is not supported by this version of zei; take it away")),
        Some(key) => Ok(key),
        None => Err(match KEYS.iter().find(|key| key.is(word)) {
            Some(key) => Fault::new(format!("can't stand here; it is a key of {}", owner(key.places))),
            None => {
                let words = KEYS.iter().filter(here).filter(|key| key.id != Id::Later).flat_map(Key::words);
                match inside(word, place) {
                    Some(key) => Fault::new(format!("can't stand here; it is a key inside {key}")),
                    None => Fault::new("unknown key").near(nearest(word, words)),
                }
            }
        }),
    }
}

/// The keys of this place in whose maps this is a word.
fn inside(word: &str, place: Places) -> Option<String> {
    let maps = MAPS.iter().filter(|map| map.path.is_empty() && map.words.iter().any(|known| known.name == word));
    let owners: Vec<Id> = maps.flat_map(|map| map.owners.iter().copied()).collect();
    let keys = KEYS.iter().filter(|key| owners.contains(&key.id) && key.places.contain(place));
    let names: Vec<&str> = keys.map(|key| key.name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn owner(places: Places) -> &'static str {
    if places.contain(Places::SERVICE) { "a service" } else { "the top level" }
}
