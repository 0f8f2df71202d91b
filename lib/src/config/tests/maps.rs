//! The maps that are values of keys: every word shown by a row, and every mistake in them.

use super::life::{EXITS, ROWS};
use super::problems::compare;
use super::*;
use crate::config::node::{self, Value};
use proptest::prelude::*;

/// Whether one of these texts has a value at this path.
fn shown<'t>(texts: impl IntoIterator<Item = &'t String>, path: &[&str]) -> bool {
    texts.into_iter().any(|text| {
        let document = node::parse(0, text).unwrap();
        path.iter()
            .try_fold(&document, |node, name| match &node.value {
                Value::Map(members) => {
                    members.iter().find(|member| [member.key.as_str(), "*"].contains(name)).map(|member| &member.node)
                }
                _ => None,
            })
            .is_some()
    })
}

#[test]
fn every_word_of_every_map_is_read_and_shown_by_a_row() {
    let rows: Vec<String> = ROWS
        .iter()
        .chain(effects::ROWS)
        .map(|(keys, _)| keys.lines().map(|l| format!("{}\n", l.trim())).collect())
        .collect();
    let exits: Vec<String> = EXITS.iter().map(|(value, _)| format!("exit: {value}")).collect();
    let dependency = ["depends_on: {db: {condition: service_started, restart: true, required: false}}".to_owned()];
    for map in MAPS {
        for word in map.words {
            assert!(!word.doc.is_empty());
            let is_shown = map.owners.iter().any(|owner| {
                let key = KEYS.iter().find(|key| key.id == *owner).unwrap();
                let middle = map.path.iter().copied();
                let path: Vec<&str> = [key.name].into_iter().chain(middle).chain([word.name]).collect();
                shown(rows.iter().chain(&exits).chain(&dependency), &path)
            });
            assert!(is_shown, "{:?} {:?} {} has no row", map.owners, map.path, word.name);
        }
    }
}

/// Keys of the service `a`, beginning on line 4, and what is said; `N|` in front names another line.
const SERVICE: &[(&str, &str)] = &[
    // Words.
    ("ready: {tpc: 1}", r#"ready.tpc: unknown key (did you mean "tcp"?)"#),
    ("ready: {tcp: 1, intervall: 1s}", r#"ready.intervall: unknown key (did you mean "interval"?)"#),
    ("ready: {notify: {df: 3}}", r#"ready.notify.df: unknown key (did you mean "fd"?)"#),
    (
        "healthcheck:\n      test: x\n      retires: 5",
        r#"6|healthcheck.retires: unknown key (did you mean "retries"?)"#,
    ),
    ("healthcheck: {test: {htpp: 1}}", r#"healthcheck.test.htpp: unknown key (did you mean "http"?)"#),
    ("restart_backoff: {jiter: 1}", r#"restart_backoff.jiter: unknown key (did you mean "jitter"?)"#),
    ("pre_start: {comand: x}", r#"pre_start.comand: unknown key (did you mean "command"?)"#),
    ("post_stop: {shell: x, timout: 1s}", r#"post_stop.timout: unknown key (did you mean "timeout"?)"#),
    ("ulimits: {nofile: {sofd: 1, hard: 2}}", r#"ulimits.nofile.sofd: unknown key (did you mean "soft"?)"#),
    ("ulimits: {nofiles: 1}", r#"ulimits.nofiles: is no limit (did you mean "nofile"?)"#),
    ("ulimits: {nofile: {soft: 1}}", "ulimits.nofile: needs both soft and hard"),
    ("ulimits: {nofile: {soft: 2, hard: 1}}", "ulimits.nofile: has a soft limit above its hard one"),
    ("ulimits: {nofile: 1k}", r#"ulimits.nofile: "1k" is neither a whole number nor unlimited"#),
    (
        "ulimits: {locks: 1}",
        "ulimits.locks: has no effect in Linux, and zei knows a service's processes by it; take it away",
    ),
    ("ulimits: [nofile]", "ulimits: must be a map such as {nofile: 65536}, not a list"),
    ("nice: 20", r#"nice: "20" is no whole number from -20 to 19"#),
    ("oom_score_adj: -1001", r#"oom_score_adj: "-1001" is no whole number from -1000 to 1000"#),
    (
        "capabilities: [NET_BIND_SERVIC]",
        r#"capabilities: "NET_BIND_SERVIC" is no capability (did you mean "NET_BIND_SERVICE"?)"#,
    ),
    ("reload: {shel: x}", r#"reload.shel: unknown key (did you mean "shell"?)"#),
    ("ready: {tcp: 1, tcp: 2}", r#"ready: "tcp" is given twice; the other is at z.yaml:4"#),
    // Readiness.
    (
        "ready: systemd",
        "ready: must be a map of notify, exec, tcp, http, unix, log, timeout, interval, watchdog, not a text",
    ),
    ("ready: {timeout: 3s}", "ready: needs one of notify, log, exec, tcp, http, unix"),
    ("ready: {exec: x, log: y}", "ready.exec: log and exec can't both be given; keep one of them"),
    ("ready: {tcp: 1, timeout: 0}", "ready.timeout: must be longer than 0"),
    ("ready: {tcp: 1, interval: 0s}", "ready.interval: must be longer than 0"),
    ("ready: {log: x, interval: 1s}", "ready.interval: is the pause between two tries, and log tries nothing"),
    (
        "ready: {tcp: 1, watchdog: 5s}",
        r#"ready.watchdog: needs "notify: systemd", by which the service says that it lives"#,
    ),
    (
        "ready: {notify: {fd: 3}, watchdog: 5s}",
        r#"ready.watchdog: needs "notify: systemd", by which the service says that it lives"#,
    ),
    ("ready: {notify: systemd, watchdog: 0}", "ready.watchdog: must be longer than 0"),
    (
        "ready: {notify: sytemd, watchdog: 1s}",
        r#"ready.notify: must be systemd or {fd: N}, not sytemd (did you mean "systemd"?)"#,
    ),
    ("ready: {notify: [3]}", "ready.notify: must be systemd or {fd: N}, not a list"),
    ("ready: {notify: {}}", "ready.notify: needs the key fd"),
    (
        "ready: {notify: {fd: 2}}",
        r#"ready.notify.fd: "2" is no descriptor from 3 to 1023; 0, 1 and 2 are its standard streams"#,
    ),
    (
        "ready: {notify: {fd: 1024}}",
        r#"ready.notify.fd: "1024" is no descriptor from 3 to 1023; 0, 1 and 2 are its standard streams"#,
    ),
    ("ready: {exec: []}", "ready.exec: names no program"),
    ("ready: {exec: \"a 'b\"}", "ready.exec: has a quote that is never closed; to run a script, write it as shell"),
    ("ready: {tcp: 0}", r#"ready.tcp: "0" is no port: a number from 1 to 65535"#),
    ("ready: {tcp: \"db:65536\"}", r#"ready.tcp: "65536" is no port: a number from 1 to 65535"#),
    ("ready: {tcp: \"-x:1\"}", r#"ready.tcp: "-x:1" can't begin with a dash"#),
    ("ready: {tcp: \"${NONE}\"}", "ready.tcp: is empty"),
    ("ready: {tcp: \"${FOO\"}", "ready.tcp: \"${FOO\" has no closing }; write $${ for a literal ${"),
    ("ready: {unix: x.sock}", r#"ready.unix: "x.sock" is neither an absolute path nor @name, an abstract socket"#),
    ("ready: {log: \"a(b\"}", r#"ready.log: "a(b" is no regular expression: at character 2: unclosed group"#),
    (
        "ready: {log: '\\pL'}",
        "ready.log: \"\\\\pL\" is no regular expression: at character 1: Unicode not allowed here",
    ),
    (
        "ready: {log: '(a{1000}){1000}'}",
        "ready.log: \"(a{1000}){1000}\" is no regular expression: it takes more than 10485760 bytes of memory; use smaller \
         counts in {}",
    ),
    ("ready: {log: \"a\\0\"}", r#"ready.log: "a\0" is no regular expression: it holds a NUL byte; write \x00"#),
    (
        "ready: {log: x}\n    log: null",
        "ready.log: no line can ever be seen, because both stdout and stderr go to a file or to null; let one of them go \
         to the container's own",
    ),
    (
        "ready: {log: x}\n    stdout: /x\n    stderr: stdout",
        "ready.log: no line can ever be seen, because both stdout and stderr go to a file or to null; let one of them go \
         to the container's own",
    ),
    ("ready: {tcp: 1}\n    test: x", "5|test: ready and test can't both be given; keep one of them"),
    (
        "oneshot: true\n    ready: {tcp: 1}",
        "5|ready: a oneshot is never ready, it is done when it exits 0; take this away: what depends on it waits for that",
    ),
    (
        "oneshot: true\n    test: x",
        "5|test: a oneshot is never ready, it is done when it exits 0; take this away: what depends on it waits for that",
    ),
    ("test: {exec: x}", "test: must be a text, not a map"),
    // Health.
    (
        "healthcheck: curl x",
        "healthcheck: must be a map of test, interval, timeout, retries, start_period, start_interval, on_unhealthy, \
         disable, not a text",
    ),
    ("healthcheck: {}", "healthcheck: needs the key test"),
    (
        "healthcheck: {test: x, retries: 0}",
        "healthcheck.retries: must be at least 1: unhealthy after so many failed checks in a row",
    ),
    ("healthcheck: {test: x, interval: 0}", "healthcheck.interval: must be longer than 0"),
    ("healthcheck: {test: x, timeout: 0}", "healthcheck.timeout: must be longer than 0"),
    (
        "healthcheck: {test: x, start_period: 1s, start_interval: 0}",
        "healthcheck.start_interval: must be longer than 0",
    ),
    (
        "healthcheck: {test: x, on_unhealthy: restrat}",
        r#"healthcheck.on_unhealthy: "restrat" is none of none, restart, shutdown (did you mean "restart"?)"#,
    ),
    ("healthcheck: {test: []}", r#"healthcheck.test: names no program; to check nothing write ["NONE"]"#),
    ("healthcheck: {test: [CMD]}", "healthcheck.test: names no program"),
    ("healthcheck: {test: [CMD-SHELL, a, b]}", "healthcheck.test: behind CMD-SHELL stands one text, for /bin/sh -c"),
    ("healthcheck: {test: [NONE, a]}", "healthcheck.test: behind NONE nothing can stand"),
    (
        "healthcheck: {test: [CMD_SHELL, a]}",
        r#"healthcheck.test: "CMD_SHELL" is none of CMD, CMD-SHELL, NONE (did you mean "CMD-SHELL"?)"#,
    ),
    (
        "healthcheck: {test: NONE}",
        r#"healthcheck.test: a string is a shell text; to check nothing write ["NONE"] or "disable: true""#,
    ),
    ("healthcheck: {test: {}}", "healthcheck.test: needs one of exec, tcp, http, unix"),
    (
        "healthcheck: {test: {tcp: x}}",
        r#"healthcheck.test.tcp: "x" names no port: write HOST:PORT, or PORT for this machine"#,
    ),
    (
        "healthcheck: {test: {http: \"https://x\"}}",
        r#"healthcheck.test.http: "https://x": https is not spoken here: ask the service by http on a port of its own, or use a command for it"#,
    ),
    (
        "healthcheck: {disable: true, retries: 0}",
        "healthcheck.retries: must be at least 1: unhealthy after so many failed checks in a row",
    ),
    (
        "oneshot: true\n    healthcheck: {test: x}",
        "5|healthcheck: a oneshot is done when it exits, so its health is never asked; take this away",
    ),
    // Restarts and timers.
    ("restart_backoff: 2", "restart_backoff: must be a map of factor, max, jitter, not a number"),
    (
        "restart_backoff: {factor: 0.5}",
        r#"restart_backoff.factor: "0.5" is no number from 1 to 1000, such as 2 or 1.5"#,
    ),
    (
        "restart_backoff: {factor: 1001}",
        r#"restart_backoff.factor: "1001" is no number from 1 to 1000, such as 2 or 1.5"#,
    ),
    ("restart_backoff: {jitter: 20}", r#"restart_backoff.jitter: "20" is no share from 0 to 1, such as 0.2 or 20%"#),
    (
        "restart_backoff: {jitter: 101%}",
        r#"restart_backoff.jitter: "101%" is no share from 0 to 1, such as 0.2 or 20%"#,
    ),
    ("restart_backoff: {jitter: -1}", r#"restart_backoff.jitter: "-1" is no share from 0 to 1, such as 0.2 or 20%"#),
    (
        "restart_backoff: {max: 500ms}",
        "restart_backoff.max: 500ms is shorter than restart_delay, 1s, from which the delay grows",
    ),
    ("schedule: \"@daily\"", "schedule: is for a oneshot; add \"oneshot: true\" or take it away"),
    (
        "oneshot: true\n    schedule: \"@every 5m\"",
        "5|schedule: @every is no time of day: use `interval: 5m`, which counts from the end of a run",
    ),
    (
        "oneshot: true\n    interval: 5s\n    schedule: \"@daily\"",
        "6|schedule: interval and schedule can't both be given; keep one of them",
    ),
    ("oneshot: true\n    catch_up: true", "5|catch_up: is for a schedule; add one or take it away"),
    // Hooks.
    ("pre_start: []", "pre_start: names no program"),
    ("pre_start: {command: a, shell: b}", "pre_start.shell: command and shell can't both be given; keep one of them"),
    ("post_stop: {timeout: 1s}", "post_stop: needs one of command, shell"),
    ("post_stop: {command: a, timeout: 0}", "post_stop.timeout: must be longer than 0"),
    (
        "reload: HUPP",
        r#"reload: "HUPP" is no signal; a command of one word stands in a list: [HUPP] (did you mean "HUP"?)"#,
    ),
    ("reload: KILL", "reload: at KILL no process reloads anything; write HUP, USR1 or a command"),
    ("drain: never", r#"drain: "never" is no duration; write 500ms, 5s, 2m, 1h or 1h30m, or a number of seconds"#),
    // Dependencies.
    (
        "depends_on: {b: {condition: service_start}}",
        r#"depends_on.b.condition: "service_start" is none of service_started, service_healthy, service_completed_successfully (did you mean "service_started"?)"#,
    ),
    ("depends_on: {b: {}}", "depends_on.b: must be a map with the key condition, as in {condition: service_started}"),
    ("depends_on: {b: x}", "depends_on.b: must be a map with the key condition, as in {condition: service_started}"),
    (
        "depends_on:\n      b: {condtion: service_healthy}",
        r#"5|depends_on.b.condtion: unknown key (did you mean "condition"?)"#,
    ),
    (
        "depends_on: {b: {condition: service_healthy, restart: 3}}",
        r#"depends_on.b.restart: "3" is neither true nor false"#,
    ),
    // Several at once.
    (
        "ready: {tcp: 0, timeout: 0}\n    healthcheck: {tset: x, retries: 0}",
        "ready.timeout: must be longer than 0\nready.tcp: \"0\" is no port: a number from 1 to 65535\n\
         5|healthcheck.tset: unknown key (did you mean \"test\"?)\n\
         5|healthcheck.retries: must be at least 1: unhealthy after so many failed checks in a row",
    ),
];

#[test]
fn every_mistake_in_a_map_is_named_with_the_path_to_it() {
    compare(SERVICE.iter().map(|(keys, expected)| {
        let expected = expected.split('\n').map(|line| match line.split_once('|') {
            Some((number, rest)) if number.len() == 1 => format!("z.yaml:{number}: service \"a\": {rest}"),
            _ => format!("z.yaml:4: service \"a\": {line}"),
        });
        (with(keys), expected.collect())
    }));
}

/// Whole files, and what is said.
const FILE: &[(&str, &str)] = &[
    (
        "services:\n  a: {command: x, depends_on: {b: {condition: service_completed_successfully}}}\n  b: {command: x, restart: always}\n",
        "z.yaml:2: service \"a\": depends_on: b: service_completed_successfully can never come true, because it restarts always",
    ),
    (
        "services:\n  a: {command: x, depends_on: [b]}\n  b: {command: x, oneshot: true, on_exit: shutdown}\n",
        "z.yaml:2: service \"a\": depends_on: b: service_completed_successfully can never come true, because its end stops the container (on_exit: shutdown)",
    ),
    (
        "exit: {when: any}\nservices:\n  a: {command: x, depends_on: [b]}\n  b: {command: x, oneshot: true}\n",
        "z.yaml:3: service \"a\": depends_on: b: service_completed_successfully can never come true, because its end stops the container (exit.when)",
    ),
    (
        "exit: {when: {service: b}}\nservices:\n  a: {command: x, depends_on: [b, c]}\n  b: {command: x, oneshot: true}\n  c: {command: x, oneshot: true}\n",
        "z.yaml:3: service \"a\": depends_on: b: service_completed_successfully can never come true, because its end stops the container (exit.when)",
    ),
    (
        "services:\n  a:\n    command: x\n    depends_on:\n      b: {condition: service_healthy}\n  b: {command: x, oneshot: true}\n",
        "z.yaml:5: service \"a\": depends_on: b: service_healthy can never come true, because it is a oneshot, which is done when it exits; write service_completed_successfully",
    ),
    (
        "services:\n  a: {command: x, depends_on: {b: {condition: service_healthy}}}\n  b: {command: x, depends_on: {a: {condition: service_started}}}\n",
        "z.yaml:2: service \"a\": depends_on: the services wait for each other in a circle: a -> b -> a",
    ),
    (
        "defaults:\n  healthcheck: {test: x, retires: 2}\nservices: {a: {command: x}, b: {command: x}}",
        "z.yaml:2: defaults: healthcheck.retires: unknown key (did you mean \"retries\"?)",
    ),
    (
        "cmd:\n  ready:\n    tcp: 0\nservices: {a: {command: x}}",
        "z.yaml:3: cmd: ready.tcp: \"0\" is no port: a number from 1 to 65535",
    ),
    ("cmd: {test: x}\nservices: {a: {command: x}}", "z.yaml:1: cmd: test: can't stand here; it is a key of a service"),
    // The end of the container.
    ("exit: any\nservices: {a: {command: x}}", "z.yaml:1: exit: must be a map of when, code, stop_code, not a text"),
    ("exit: {wehn: any}\nservices: {a: {command: x}}", "z.yaml:1: exit.wehn: unknown key (did you mean \"when\"?)"),
    (
        "exit: {when: each}\nservices: {a: {command: x}}",
        "z.yaml:1: exit.when: \"each\" is none of all, any; write one of them, or {service: NAME}",
    ),
    (
        "exit:\n  when: {service: wbe}\nservices: {web: {command: x}}",
        "z.yaml:2: exit.when.service: there is no service \"wbe\" (did you mean \"web\"?)",
    ),
    (
        "exit: {when: {service: cmd}}\nservices: {web: {command: x}}",
        "z.yaml:1: exit.when.service: the end of the command (cmd) ends the container in any case; take this away",
    ),
    (
        "exit: {when: {service: web}}\nservices: {web: {command: x, restart: always}}",
        "z.yaml:1: exit.when.service: web never ends for good, because it restarts always; give it max_restarts, or another restart policy",
    ),
    (
        "exit: {when: {service: web}}\nservices: {web: {command: x, oneshot: true, interval: 1s}}",
        "z.yaml:1: exit.when.service: web never ends for good, because it runs again and again",
    ),
    (
        "exit: {when: {}, code: 256, stop_code: -1}\nservices: {a: {command: x}}",
        "\
z.yaml:1: exit.when: needs the key service
z.yaml:1: exit.code: \"256\" is no exit code from 0 to 255
z.yaml:1: exit.stop_code: \"-1\" is no exit code from 0 to 255",
    ),
    ("retries: 3\nservices: {a: {command: x}}", "z.yaml:1: retries: unknown key"),
    ("when: any\nservices: {a: {command: x}}", "z.yaml:1: when: can't stand here; it is a key inside exit"),
];

#[test]
fn conditions_that_can_never_come_true_and_mistakes_of_the_top_level_are_refused() {
    compare(FILE.iter().map(|(text, lines)| ((*text).to_owned(), lines.split('\n').map(str::to_owned).collect())));
}

/// Any value of a map: a scalar, a list or a map of words that some map knows.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(SCALARS).prop_map(str::to_owned);
    let words: Vec<&str> = MAPS.iter().flat_map(|map| map.words).map(|word| word.name).chain(["tpyo", "b"]).collect();
    scalar.prop_recursive(3, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((prop::sample::select(words.clone()), inner), 0..5).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

const SCALARS: &[&str] = &[
    "1",
    "0",
    "-1",
    "3",
    "5432",
    "1e9",
    "0.5",
    "20%",
    "true",
    "null",
    "''",
    "x",
    "systemd",
    "any",
    "HUP",
    "CMD",
    "CMD-SHELL",
    "NONE",
    "'/x'",
    "'@x'",
    "'http://x:1/'",
    "'a b'",
    "'a(b'",
    "'${FOO}'",
    "'${'",
    "5s",
    "'\\u{1f600}'",
    "\"\\0\"",
    "service_healthy",
    "restart",
    "'@daily'",
    "'* * * * *'",
    "99999999999999999999",
];

const OWNERS: &[&str] = &[
    "ready",
    "test",
    "healthcheck",
    "restart_backoff",
    "pre_start",
    "post_stop",
    "reload",
    "drain",
    "schedule",
    "catch_up",
    "depends_on",
    "oneshot",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_value_of_a_map_makes_the_reader_panic_and_what_is_accepted_can_be_acted_on(
        keys in prop::collection::btree_map(prop::sample::select(OWNERS), value(), 0..4),
        exit in value(),
    ) {
        let keys: String = keys.iter().map(|(key, value)| format!("    {key}: {value}\n")).collect();
        let text = format!("services:\n  a:\n    command: x\n{keys}  b: {{command: x}}\nexit: {exit}\n");
        match World::new().read(&[("z.yaml", &text)]) {
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                prop_assert!(problems.iter().all(|problem| problem.line > 0 && !problem.text.is_empty()), "{problems:?}");
            }
            Ok(config) => {
                let a = &config.services[0];
                prop_assert_eq!(a.ready.is_some(), a.policy.ready.is_some());
                prop_assert_eq!(a.health.is_some(), a.policy.health.is_some());
                prop_assert_eq!(a.pre_start.is_some(), a.policy.pre_start.is_some());
                prop_assert_eq!(a.post_stop.is_some(), a.policy.post_stop.is_some());
                prop_assert!(a.policy.health.is_none_or(|health| health.retries > 0 && health.interval > Span(0)));
            }
        }
    }
}
