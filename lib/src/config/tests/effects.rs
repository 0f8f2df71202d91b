//! What each key does.

use super::*;
use crate::model::privileges::{Capabilities, Limit, Ulimit, Wish};
use crate::model::spec::*;
use crate::signal;
use std::ffi::CString;

/// What a row changes in the service `a`, which runs `x` and says nothing else.
pub type Change = fn(&mut ServiceSpec);

pub fn c(texts: &[&str]) -> Vec<CString> {
    texts.iter().map(|text| CString::new(*text).unwrap()).collect()
}

fn ids(uid: u32, gid: u32, groups: &[u32]) -> Option<Identity> {
    Some(Identity { uid, gid, groups: groups.to_vec() })
}

/// The variables that follow www.
const WWW: &[&str] = &["HOME=/home/www", "USER=www", "LOGNAME=www", "SHELL=/bin/ash"];

/// Every key of a service but `command`, `shell` and `depends_on`, which have tests of their own.
pub(super) const ROWS: &[(&str, Change)] = &[
    ("user: www", |s| (s.identity, s.environment) = (ids(80, 80, &[80, 81]), c(WWW))),
    ("user: 80", |s| (s.identity, s.environment) = (ids(80, 80, &[80, 81]), c(WWW))),
    ("user: \"www:db\"", |s| (s.identity, s.environment) = (ids(80, 70, &[80, 81]), c(WWW))),
    ("user: \"www:\"", |s| (s.identity, s.environment) = (ids(80, 80, &[80, 81]), c(WWW))),
    ("user: 1234:5678", |s| {
        s.identity = ids(1234, 5678, &[1234, 1235]);
        s.environment = c(&["HOME=/", "USER=1234", "LOGNAME=1234", "SHELL=/bin/sh"]);
    }),
    ("user: root", |s| s.identity = ids(0, 0, &[0, 1])),
    ("group: www", |s| s.identity = ids(0, 80, &[])),
    ("user: \":www\"", |s| s.identity = ids(0, 80, &[])),
    ("groups: [db, 9]", |s| s.identity = ids(0, 0, &[70, 9])),
    ("groups: []", |s| s.identity = ids(0, 0, &[])),
    ("restart: always", |s| s.policy.restart = Restart::Always),
    ("restart: unless-stopped", |s| s.policy.restart = Restart::Always),
    ("restart: on-failure", |s| s.policy.restart = Restart::OnFailure),
    ("restart: on-failure:4", |s| (s.policy.restart, s.policy.max_restarts) = (Restart::OnFailure, 4)),
    ("restart: never", |_| {}),
    ("restart: no", |_| {}),
    ("restart: off", |_| {}),
    ("restart: \"no\"", |_| {}),
    ("restart: false", |_| {}),
    ("max_restarts: 5", |s| s.policy.max_restarts = 5),
    ("reset_after: 2m", |s| s.policy.reset_after = Span::seconds(120)),
    ("restart_delay: 500ms", |s| s.policy.restart_delay = Span(500)),
    ("restart_delay: 0", |s| s.policy.restart_delay = Span(0)),
    ("restart_delay: 3", |s| s.policy.restart_delay = Span(3000)),
    ("restart_delay: 0.5", |s| s.policy.restart_delay = Span(500)),
    ("restart_delay: .25", |s| s.policy.restart_delay = Span(250)),
    ("restart_delay: 1.0001", |s| s.policy.restart_delay = Span(1001)),
    ("restart_delay: 10us", |s| s.policy.restart_delay = Span(1)),
    ("restart_delay: 1h 30m", |s| s.policy.restart_delay = Span::seconds(5400)),
    ("restart_delay: 99999999999999999999", |s| s.policy.restart_delay = Span(u64::MAX)),
    ("restart_delay: ${SECONDS}", |s| s.policy.restart_delay = Span::seconds(7)),
    ("oneshot: true", |s| (s.policy.oneshot, s.forward_signals) = (true, signal::Set::EMPTY)),
    ("oneshot: yes\n    interval: 30s", |s| {
        (s.policy.oneshot, s.forward_signals) = (true, signal::Set::EMPTY);
        s.policy.timer = Some(Timer::Interval(Span::seconds(30)));
    }),
    ("environment: {A: 1.10, B: true, C: 0x1F, D: \"\", FOO: , NONE: , E: \"a=b $c\"}", |s| {
        s.environment = c(&["A=1.10", "B=true", "C=0x1F", "D=", "FOO=foo", "E=a=b $c"]);
    }),
    ("environment: [A=1, FOO, NONE, B=]", |s| s.environment = c(&["A=1", "FOO=foo", "B="])),
    ("env: {A: \"${FOO}${NONE}${EMPTY:-e}$${FOO}$x$\"}", |s| s.environment = c(&["A=fooe${FOO}$x$"])),
    ("clear_environment: true", |s| s.clear_environment = true),
    ("working_dir: /srv/${FOO}", |s| s.working_dir = Some(c"/srv/foo".into())),
    ("dir: sub", |s| s.working_dir = Some(c"sub".into())),
    ("stdin: null", |_| {}),
    ("stdin: open", |s| s.stdin = Input::Open),
    ("stdout: null", |s| s.stdout = Output::Null),
    ("stdout: \"null\"", |s| s.stdout = Output::Null),
    ("stdout: inherit", |_| {}),
    ("stdout: /dev/stderr", |s| s.stdout = Output::Stderr),
    ("stdout: /dev/stdout", |s| s.stdout = Output::Stdout),
    ("stdout: /var/log/a", |s| s.stdout = Output::Path(c"/var/log/a".into())),
    ("stdout: log/a", |s| s.stdout = Output::Path(c"log/a".into())),
    ("stdout: log/a\n    working_dir: /srv", |s| {
        (s.stdout, s.working_dir) = (Output::Path(c"/srv/log/a".into()), Some(c"/srv".into()));
    }),
    ("stderr: stdout", |s| s.stderr = Output::Join),
    ("stderr: /dev/stdout", |s| s.stderr = Output::Stdout),
    ("json_logs: true", |s| s.json_logs = true),
    ("log: inherit", |s| s.log = Some(Log::Inherit)),
    ("log: stdout", |s| s.log = Some(Log::Inherit)),
    ("log: ring", |s| s.log = Some(Log::Ring)),
    ("log: prefix", |s| s.log = Some(Log::Prefix)),
    ("log: prefix\n    stdout: null", |s| (s.log, s.stdout) = (Some(Log::Prefix), Output::Null)),
    ("log: null", |s| (s.stdout, s.stderr) = (Output::Null, Output::Null)),
    ("log: none", |s| (s.stdout, s.stderr) = (Output::Null, Output::Null)),
    ("log: \"null\"\n    stderr: inherit", |s| s.stdout = Output::Null),
    ("stop_signal: SIGQUIT", |s| s.policy.stop_signal = signal::QUIT),
    ("stop_signal: 2", |s| s.policy.stop_signal = signal::INT),
    ("signal: {stop: RTMIN+3}", |s| s.policy.stop_signal = 37),
    ("signal.stop: INT", |s| s.policy.stop_signal = signal::INT),
    ("stop_grace_period: 1m", |s| s.policy.stop_grace_period = Some(Span::seconds(60))),
    ("shutdown_timeout: 7", |s| s.policy.stop_grace_period = Some(Span::seconds(7))),
    ("stop_scope: process", |s| s.policy.stop_scope = StopScope::Process),
    ("stop_scope: group", |s| s.policy.stop_scope = StopScope::Group),
    ("forward_signals: []", |s| s.forward_signals = signal::Set::EMPTY),
    ("forward_signals: [WINCH, hup]", |s| s.forward_signals = signal::Set::of(&[signal::WINCH, signal::HUP])),
    ("on_exit: shutdown", |s| s.on_exit = OnEnd::Shutdown),
    ("on_failure: shutdown", |s| s.on_failure = OnEnd::Shutdown),
    ("autostart: false", |s| s.autostart = false),
    ("umask: 0027", |s| s.umask = Some(0o27)),
    ("umask: 27", |s| s.umask = Some(0o27)),
    ("umask: \"0o27\"", |s| s.umask = Some(0o27)),
    ("umask: 0", |s| s.umask = Some(0)),
    ("nice: -5", |s| s.privileges.nice = must(-5)),
    ("nice: \"19?\"", |s| s.privileges.nice = may(19)),
    ("oom_score_adj: 1000", |s| s.privileges.oom_score_adj = must(1000)),
    ("oom_score_adj: -1000?", |s| s.privileges.oom_score_adj = may(-1000)),
    ("ulimits: {nofile: 1024, core: 0}", |s| {
        s.privileges.ulimits = vec![limit(Limit::Nofile, 1024, 1024, false), limit(Limit::Core, 0, 0, false)];
    }),
    ("ulimits: {nofile: {soft: 1024, hard: 2048?}}", |s| {
        s.privileges.ulimits = vec![limit(Limit::Nofile, 1024, 2048, true)];
    }),
    ("ulimits: {memlock: -1, stack: \"8388608:unlimited\", nproc: unlimited?}", |s| {
        const NONE: u64 = Ulimit::UNLIMITED;
        s.privileges.ulimits = vec![
            limit(Limit::Memlock, NONE, NONE, false),
            limit(Limit::Stack, 8_388_608, NONE, false),
            limit(Limit::Nproc, NONE, NONE, true),
        ];
    }),
    ("no_new_privileges: true", |s| s.privileges.no_new_privileges = true),
    ("no_new_privileges: false", |_| {}),
    ("capabilities: [NET_BIND_SERVICE, cap_chown]", |s| s.privileges.capabilities = must(Capabilities(1 << 10 | 1))),
    ("capabilities: cap_net_bind_service?", |s| s.privileges.capabilities = may(Capabilities(1 << 10))),
    ("capabilities: []", |s| s.privileges.capabilities = must(Capabilities(0))),
];

fn must<T>(value: T) -> Option<Wish<T>> {
    Some(Wish { value, lenient: false })
}

fn may<T>(value: T) -> Option<Wish<T>> {
    Some(Wish { value, lenient: true })
}

fn limit(kind: Limit, soft: u64, hard: u64, lenient: bool) -> Wish<Ulimit> {
    Wish { value: Ulimit { kind, soft, hard }, lenient }
}

#[test]
fn every_key_has_exactly_its_effect() {
    for (keys, change) in ROWS.iter().chain(life::ROWS) {
        let mut expected = service(&with("override: merge"));
        change(&mut expected);
        assert_eq!(service(&with(keys)), expected, "{keys}");
    }
}

#[test]
fn every_key_of_the_table_is_read_and_shown_by_a_row() {
    let elsewhere = [
        "version",
        "services",
        "defaults",
        "cmd",
        "signals",
        "exit",
        "control_group",
        "override",
        "command",
        "shell",
        "depends_on",
        "env_file",
    ];
    for key in KEYS.iter().filter(|key| key.id != Id::Later && !elsewhere.contains(&key.name)) {
        let shown = |word: &str| {
            ROWS.iter()
                .chain(life::ROWS)
                .any(|(keys, _)| keys.lines().any(|line| line.trim().split(':').next() == word.split('.').next()))
        };
        assert!(key.words().any(shown), "{} has no row", key.name);
        assert!(!key.doc.is_empty());
    }
}

#[test]
fn no_word_means_two_keys_in_one_place_and_what_comes_later_is_refused_by_name() {
    for place in [Places::TOP, Places::SERVICE, Places::DEFAULTS, Places::CMD] {
        let words = || KEYS.iter().filter(|key| key.places.contain(place)).flat_map(Key::words);
        for word in words() {
            assert_eq!(words().filter(|other| *other == word).count(), 1, "{word}");
        }
    }
    for key in KEYS.iter().filter(|key| key.id == Id::Later && key.places.contain(Places::SERVICE)) {
        let found = World::new().problems(&[("z.yaml", &with(&format!("{}: 1", key.name)))]);
        let expected = "is not supported by this version of zei; take it away";
        assert_eq!(found, [format!("z.yaml:4: service \"a\": {}: {expected}", key.name)]);
    }
}

#[test]
fn a_command_is_a_list_as_written_or_a_string_split_by_shell_quoting() {
    let rows: &[(&str, &[&str])] = &[
        ("command: [echo, 5, true, 1.10, '', ~x]", &["echo", "5", "true", "1.10", "", "~x"]),
        ("command: [echo, '${FOO} $HOME *']", &["echo", "${FOO} $HOME *"]),
        (r#"command: echo "a b" 'c d' e\ f ${FOO} *"#, &["echo", "a b", "c d", "e f", "${FOO}", "*"]),
        ("exec: ./run --x", &["./run", "--x"]),
        ("shell: 'echo ${FOO:-1} > x; exit 3'", &["/bin/sh", "-c", "echo ${FOO:-1} > x; exit 3"]),
    ];
    for (key, expected) in rows {
        let spec = service(&format!("services:\n  a:\n    {key}\n"));
        assert_eq!(spec.command, c(expected), "{key}");
    }
}

#[test]
fn the_top_level_sets_budget_and_signals() {
    let config = World::new().config("version: 1.0\nservices: {a: {command: x}}");
    assert_eq!((config.shutdown_timeout, config.signals), (Span::seconds(30), SignalMap::default()));
    assert_eq!(config.control_group, None);
    let config = World::new().config(
        "services: {a: {command: x}}\nshutdown_timeout: ${SECONDS}\nsignals: {HUP: shutdown, TERM: ignore, 28: forward, USR1: reload}",
    );
    assert_eq!(config.shutdown_timeout, Span::seconds(7));
    for (value, expected) in [("www", 80), ("4242", 4242), ("${SECONDS}", 7)] {
        let config = World::new().config(&format!("services: {{a: {{command: x}}}}\ncontrol_group: {value}"));
        assert_eq!(config.control_group, Some(expected));
    }
    let numbers = [signal::HUP, signal::TERM, signal::WINCH, signal::INT, signal::USR1];
    let uses = numbers.map(|signal| config.signals.get(signal));
    use SignalUse::{Forward, Ignore, Reload, Shutdown};
    assert_eq!(uses, [Shutdown, Ignore, Forward, Shutdown, Reload]);
}

#[test]
fn defaults_hold_for_every_service_but_the_command_and_give_way_to_its_own_keys() {
    let text = "
defaults:
  restart: always
  umask: 0027
  user: www
  group: 9
  max_restarts: 3
  environment: {A: default, B: default}
services:
  a: {command: x, environment: [A=own], user: db, restart: 'on-failure:5'}
  b: {command: x, oneshot: true}
";
    let config = World::with_command(&["sh"]).config(text);
    let [a, b, cmd] = &config.services[..] else { panic!() };
    assert_eq!((a.policy.restart, a.policy.max_restarts, a.umask), (Restart::OnFailure, 5, Some(0o27)));
    assert_eq!(a.identity, ids(70, 70, &[70, 71]));
    assert_eq!(a.environment[4..], c(&["A=default", "B=default", "A=own"]));
    assert_eq!((b.policy.restart, &b.identity), (Restart::Never, &ids(80, 9, &[80, 81])));
    assert_eq!((cmd.umask, &cmd.identity), (None, &None));
}

#[test]
fn the_command_comes_last_after_every_autostart_service_and_owns_terminal_and_signals() {
    let text = "
cmd: {umask: 0077, environment: {A: 1}}
services:
  a: {command: x}
  off: {command: x, autostart: false}
  once: {command: x, oneshot: true}
  hup: {command: x, forward_signals: [HUP]}
";
    let config = World::with_command(&["sh", "-c", "a b"]).config(text);
    let cmd = config.services.last().unwrap();
    assert_eq!((cmd.name.as_str(), &cmd.command), ("cmd", &c(&["sh", "-c", "a b"])));
    let edges: Vec<_> = cmd.dependencies.iter().map(|edge| (edge.service, edge.condition)).collect();
    assert_eq!(edges, [(0, Condition::Started), (2, Condition::Completed), (3, Condition::Started)]);
    assert_eq!((cmd.stdin, cmd.umask, &cmd.environment), (Input::Inherit, Some(0o77), &c(&["A=1"])));
    assert_eq!((cmd.on_exit, cmd.policy), (OnEnd::Shutdown, Policy::default()));
    assert_eq!(config.signals.get(signal::TERM), SignalUse::Shutdown);
    assert_eq!(config.signals.get(signal::INT), SignalUse::Forward);
    assert_eq!(config.signals.get(signal::CHLD), SignalUse::Ignore);
    assert!(cmd.forward_signals.contains(signal::WINCH) && !cmd.forward_signals.contains(signal::KILL));
    let forwarded: Vec<_> = config.services.iter().map(|service| service.forward_signals).collect();
    assert_eq!(forwarded[0], signal::Set::EMPTY);
    assert_eq!(forwarded[3], signal::Set::of(&[signal::HUP]));
    let config = World::with_command(&["sh"]).config("cmd: {depends_on: []}\nservices: {a: {command: x}}");
    assert_eq!(config.services[1].dependencies, []);
    let config = World::with_command(&["sh"]).config("version: 1");
    assert_eq!(config.services.len(), 1);
}

#[test]
fn anchors_and_merge_keys_work_and_the_own_key_wins() {
    let text = "
x-common: &common {umask: 0027, restart: always}
x-more: &more {umask: 0077, environment: {A: 1}}
services:
  a: {command: x, <<: *common, restart: never}
  b: {<<: [*common, *more], command: x}
  c: {environment: &list [A=1], command: *list}
";
    let config = World::new().config(text);
    let [a, b, d] = &config.services[..] else { panic!() };
    assert_eq!((a.umask, a.policy.restart), (Some(0o27), Restart::Never));
    assert_eq!((b.umask, b.policy.restart, &b.environment), (Some(0o27), Restart::Always, &c(&["A=1"])));
    assert_eq!(d.command, c(&["A=1"]));
}

#[test]
fn without_another_user_the_own_one_may_still_be_named() {
    let world = World { own: 80, may_switch_user: false, ..World::new() };
    let config = world.config(&with("user: www"));
    assert_eq!((&config.services[0].identity, config.services[0].environment.len()), (&None, 0));
}

#[test]
fn where_zei_init_has_root_in_reserve_each_service_says_whose_it_is() {
    let world = World { own: 80, elevated: true, ..World::with_command(&["sh"]) };
    let text = "services:\n  a: {command: x}\n  b: {command: x, group: db}\n  c: {command: x, user: db}\n  d: {command: x, user: www}\n";
    let config = world.config(text);
    let ids = |service: &ServiceSpec| service.identity.as_ref().map(|identity| (identity.uid, identity.gid));
    let all: Vec<_> = config.services.iter().map(ids).collect();
    // The command is the starter's, what names nobody is root's.
    assert_eq!(all, [Some((0, 0)), Some((0, 70)), Some((70, 70)), Some((80, 80)), Some((80, 80))]);
    let homes = |service: &ServiceSpec| service.environment.first().map(|home| home.to_string_lossy().into_owned());
    let homes: Vec<_> = config.services.iter().map(homes).collect();
    assert_eq!(homes[0].as_deref(), Some("HOME=/home/root"));
    assert_eq!((homes[2].as_deref(), &homes[3..]), (Some("HOME=/home/db"), &[None, None][..]));
}
