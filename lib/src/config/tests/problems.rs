//! One row per kind of problem: the file and exactly what is said about it.

use super::*;
use proptest::prelude::*;

/// Keys added on line 4 to a service `a`, and what is said; `N|` in front names another line.
const SERVICE: &[(&str, &str)] = &[
    // Words.
    ("comand: y", r#"comand: unknown key (did you mean "command"?)"#),
    ("enviroment: {}", r#"enviroment: unknown key (did you mean "environment"?)"#),
    ("xyzzy: 1", "xyzzy: unknown key"),
    ("version: 1", "version: can't stand here; it is a key of the top level"),
    ("retries: 5", "retries: can't stand here; it is a key inside healthcheck"),
    ("timeout: 5s", "timeout: can't stand here; it is a key inside ready, healthcheck, pre_start, post_stop, reload"),
    ("listen: 5", "listen: is not supported by this version of zei; take it away"),
    ("exec: y", "exec: is the same key as command; keep one of them. The other is at z.yaml:3"),
    ("command: y", r#"command: "command" is given twice; the other is at z.yaml:3"#),
    ("shell: echo", "shell: command and shell can't both be given; keep one of them"),
    ("environment: {A: 1, B: 2, A: 3}", r#"environment: "A" is given twice; the other is at z.yaml:4"#),
    ("override: both", r#"override: "both" is none of merge, replace"#),
    ("<<: x", "<< takes a map or a list of maps (an alias, as in <<: *name)"),
    // Users.
    ("user: wwww", r#"user: no user "wwww" here (did you mean "www"?)"#),
    ("user: www:dbb", r#"user: no group "dbb" here (did you mean "db"?)"#),
    ("group: [www]", "group: must be a text, not a list"),
    ("groups: [www, nobody]", r#"groups: no group "nobody" here"#),
    ("user: www:www\n    group: db", "5|group: the group stands behind the colon in user already; keep one of them"),
    ("user:", "user: must be a text, not nothing"),
    ("forward_signals: [HUP, KILL]", "forward_signals: KILL can't be caught, so zei-init never gets it to forward"),
    // Restart.
    (
        "restart: allways",
        r#"restart: "allways" is none of always, on-failure, never, no, unless-stopped (did you mean "always"?)"#,
    ),
    ("restart: true", "restart: true is no restart policy; write always, on-failure or never"),
    ("restart: on-failure:x", r#"restart: "on-failure:x": after on-failure: comes a number of restarts"#),
    (
        "restart: always\n    oneshot: true",
        "restart: a oneshot is done when it exits 0, so it can't restart always; to run it again and again, say how \
         long to wait in between, as in \"interval: 30s\"",
    ),
    (
        "restart: on-failure:3\n    max_restarts: 4",
        "5|max_restarts: 4 contradicts \"restart: on-failure:3\"; keep one of them",
    ),
    ("max_restarts: -1", r#"max_restarts: "-1" is no whole number from 0 to 4294967295"#),
    ("max_restarts: 1.5", r#"max_restarts: "1.5" is no whole number from 0 to 4294967295"#),
    ("interval: 5s", "interval: is for a oneshot; add \"oneshot: true\" or take it away"),
    ("oneshot: maybe", r#"oneshot: "maybe" is neither true nor false"#),
    ("autostart: []", "autostart: must be true or false, not a list"),
    // Durations.
    ("restart_delay: -1s", r#"restart_delay: "-1s" is negative; a duration can't be"#),
    (
        "restart_delay: soon",
        r#"restart_delay: "soon" is no duration; write 500ms, 5s, 2m, 1h or 1h30m, or a number of seconds"#,
    ),
    (
        "reset_after: 99999999999999999999h",
        r#"reset_after: "99999999999999999999h" is longer than any duration can be"#,
    ),
    ("stop_grace_period: {}", "stop_grace_period: must be a text, not a map"),
    // Signals.
    (
        "stop_signal: TERMM",
        r#"stop_signal: "TERMM" is no signal; write TERM, SIGTERM, 15 or RTMIN+3 (did you mean "TERM"?)"#,
    ),
    (
        "stop_signal: SIGSTOP",
        "stop_signal: SIGSTOP only halts a process, which then never ends; write TERM or another signal that it ends at",
    ),
    (
        "signal: {stop: 19}",
        "signal.stop: 19 only halts a process, which then never ends; write TERM or another signal that it ends at",
    ),
    ("signal: TERM", "signal: must be a map with the one key stop"),
    (
        "signal.stop: INT\n    signal: {stop: INT}",
        "5|signal: is the same key as signal.stop; keep one of them. The other is at z.yaml:4",
    ),
    ("signal.stop: 99", r#"signal.stop: "99" is no signal; write TERM, SIGTERM, 15 or RTMIN+3"#),
    ("signal: {stop: 99}", r#"signal.stop: "99" is no signal; write TERM, SIGTERM, 15 or RTMIN+3"#),
    (
        "forward_signals: [HUP,\n      NOPE]",
        r#"5|forward_signals: "NOPE" is no signal; write TERM, SIGTERM, 15 or RTMIN+3"#,
    ),
    ("stop_scope: trees", r#"stop_scope: "trees" is none of tree, process, group (did you mean "tree"?)"#),
    ("on_exit: restart", r#"on_exit: "restart" is none of none, shutdown"#),
    // The environment and expansion.
    ("environment: A=1", "environment: must be a map or a list of K=V, not a text"),
    ("environment: {A: [1]}", "environment: A: must be a text, not a list"),
    ("environment:\n      - A=1\n      - =2", r#"6|environment: "" is no name of a variable"#),
    ("environment:\n      A B: 2", r#"5|environment: "A B" is no name of a variable"#),
    ("environment: {A: \"x\\0y\"}", "environment: holds a NUL byte, which no program can be given"),
    ("user: ${WHO:?say who}", "user: WHO must be set in the environment: say who"),
    ("user: ${WHO:?}", "user: WHO must be set in the environment"),
    ("user: ${FOO", "user: \"${FOO\" has no closing }; write $${ for a literal ${"),
    (
        "user: ${F-O}",
        "user: \"${F-O}\" can't be read; write ${NAME}, ${NAME:-default} or ${NAME:?message}, and $${ for a literal ${",
    ),
    (
        "user: ${F:-${FOO}}",
        "user: \"${F:-${FOO}\" can't be read; write ${NAME}, ${NAME:-default} or ${NAME:?message}, and $${ for a literal ${",
    ),
    ("env_file: /nowhere/x", "env_file: can't read /nowhere/x: No such file or directory (os error 2)"),
    // Streams.
    (
        "stdin: inherit",
        "stdin: only the command (cmd) can have the container's own standard input; write null, or open for a pipe \
         that never ends",
    ),
    ("stdout: stdout", "stdout: write a path, /dev/stdout, /dev/stderr, null or inherit"),
    ("log: json", "log: \"json\" is not supported by this version of zei; write prefix, inherit or null"),
    ("log: {ring: 1}", "log: a map is not supported by this version of zei; write prefix, inherit or null"),
    ("log: nul", r#"log: "nul" is none of prefix, inherit, stdout, ring, null, none (did you mean "null"?)"#),
    ("umask: 0999", r#"umask: "0999" is no mask; write octal digits up to 0777, as in 0022"#),
    ("umask: 1000", r#"umask: "1000" is no mask; write octal digits up to 0777, as in 0022"#),
    ("working_dir: ''", "working_dir: is empty"),
    // Dependencies.
    ("depends_on: [a]", "depends_on: a service can't depend on itself"),
    ("depends_on: [b]", r#"depends_on: there is no service "b""#),
    ("depends_on: [x, x]", r#"depends_on: "x" is named twice"#),
    (
        "depends_on: [cmd]",
        "depends_on: nothing can depend on the command (cmd); it starts when the services are there, and its end ends the container",
    ),
    // Several at once, in the order of their lines.
    (
        "umask: x\n    user: nobody\n    oneshot: 7",
        "umask: \"x\" is no mask; write octal digits up to 0777, as in 0022\n5|user: no user \"nobody\" here\n6|oneshot: \"7\" is neither true nor false",
    ),
];

#[test]
fn every_bad_value_of_a_service_is_named_with_file_line_service_and_key() {
    let rows = SERVICE.iter().map(|(keys, expected)| {
        let expected = expected.split('\n').map(|line| match line.split_once('|') {
            Some((number, rest)) => format!("z.yaml:{number}: service \"a\": {rest}"),
            None => format!("z.yaml:4: service \"a\": {line}"),
        });
        (with(keys), expected.collect())
    });
    compare(rows);
}

/// Whole files, and all lines that are said.
const FILE: &[(&str, &str)] = &[
    ("", "z.yaml: there is no service and no command, so there is nothing to run"),
    ("# nothing\n", "z.yaml: there is no service and no command, so there is nothing to run"),
    ("services: {}", "z.yaml: there is no service and no command, so there is nothing to run"),
    ("- a\n- b\n", "z.yaml: must hold a map of keys, not a list"),
    (
        "a: [1\nb: 2\n",
        "z.yaml:2: is no valid YAML: did not find expected ',' or ']' at line 2 column 2, while parsing a flow sequence at line 1 column 4",
    ),
    (
        "a: !tag x\n",
        "z.yaml:1: is no valid YAML: a: invalid type: enum, expected a value without a tag at line 1 column 4",
    ),
    ("a: 1\n---\nb: 2\n", "z.yaml: is no valid YAML: a file holds one YAML document, this one holds more"),
    ("service:\n  a: {command: x}\n", "z.yaml:1: service: unknown key (did you mean \"services\"?)"),
    ("user: www\nservices: {a: {command: x}}", "z.yaml:1: user: can't stand here; it is a key of a service"),
    ("command: y\nservices: {a: {command: x}}", "z.yaml:1: command: can't stand here; it is a key of a service"),
    ("services: [a]", "z.yaml:1: services: must be a map of services by name, not a list"),
    ("services:\n  a: x\n", "z.yaml:2: service \"a\": must be a map of keys, not a text"),
    ("services:\n  a: {}\n", "z.yaml:2: service \"a\": has neither command nor shell"),
    (
        "services:\n  a: {command: x}\n  a: {command: y}\n",
        "z.yaml:3: service \"a\": \"a\" is given twice; the other is at z.yaml:2",
    ),
    (
        "services:\n  a/b: {command: x}\n",
        "z.yaml:2: service \"a/b\": '/' can't stand in a service name; use letters, digits, and _ . @ -",
    ),
    (
        "services:\n  all: {command: x}\n",
        "z.yaml:2: service \"all\": this name is reserved, as are cmd, all, any, init; take another",
    ),
    (
        "services:\n  cmd: {command: x}\n",
        "z.yaml:2: service \"cmd\": this name is reserved for the command; its keys stand in cmd at the top level",
    ),
    (
        "version: 2\nservices: {a: {command: x}}",
        "z.yaml:1: version: \"2\" is no version that this zei knows; write \"1.0\"",
    ),
    (
        "shutdown_timeout: never\nservices: {a: {command: x}}",
        "z.yaml:1: shutdown_timeout: \"never\" is no duration; write 500ms, 5s, 2m, 1h or 1h30m, or a number of seconds",
    ),
    (
        "services: {a: {command: x}}\ncontrol_group: wwww",
        "z.yaml:2: control_group: no group \"wwww\" here (did you mean \"www\"?)",
    ),
    ("control_group: [www]\nservices: {a: {command: x}}", "z.yaml:1: control_group: must be a text, not a list"),
    (
        "services:\n  a: {command: x, control_group: www}",
        "z.yaml:2: service \"a\": control_group: can't stand here; it is a key of the top level",
    ),
    ("defaults: [1]\nservices: {a: {command: x}}", "z.yaml:1: defaults: must be a map of keys, not a list"),
    (
        "defaults:\n  command: y\nservices: {a: {command: x}}",
        "z.yaml:2: defaults: command: can't stand here; it is a key of a service",
    ),
    (
        "defaults:\n  env: {}\n  environment: {}\nservices: {a: {command: x}}",
        "z.yaml:3: defaults: environment: is the same key as env; keep one of them. The other is at z.yaml:2",
    ),
    (
        "defaults:\n  umask: 9\nservices: {a: {command: x}, b: {command: x}}",
        "z.yaml:2: defaults: umask: \"9\" is no mask; write octal digits up to 0777, as in 0022",
    ),
    (
        "cmd:\n  oneshot: true\nservices: {a: {command: x}}",
        "z.yaml:2: cmd: oneshot: can't stand here; it is a key of a service",
    ),
    (
        "cmd: {restart: always}\nservices: {a: {command: x}}",
        "z.yaml:1: cmd: restart: the end of the command (cmd) ends the container, so it is not started again; take this \
         away, or make it a service",
    ),
    (
        "cmd: {override: both}\nservices: {a: {command: x}}",
        "z.yaml:1: cmd: override: \"both\" is none of merge, replace",
    ),
    (
        "cmd:\n  umask: 9\nservices: {a: {command: x}}",
        "z.yaml:2: cmd: umask: \"9\" is no mask; write octal digits up to 0777, as in 0022",
    ),
    ("cmd:\n  depends_on: [b]\nservices: {a: {command: x}}", "z.yaml:2: cmd: depends_on: there is no service \"b\""),
    ("signals: TERM\nservices: {a: {command: x}}", "z.yaml:1: signals: must be a map of signals, not a text"),
    (
        "signals:\n  HUP: forward\n  KILL: ignore\n  1: forward\n  SIGHUP: ignore\n  INT: stop\n  XYZZY: ignore\nservices: {a: {command: x}}",
        "\
z.yaml:3: signals: KILL can't be used: zei-init needs it itself or can't catch it
z.yaml:4: signals: 1 is the same signal as one before
z.yaml:5: signals: SIGHUP is the same signal as one before
z.yaml:6: signals: \"stop\" is none of shutdown, reload, forward, ignore
z.yaml:7: signals: \"XYZZY\" is no signal; write TERM, SIGTERM, 15 or RTMIN+3",
    ),
    // Commands.
    ("services:\n  a:\n    command: []", "z.yaml:3: service \"a\": command: names no program"),
    ("services:\n  a:\n    command: ''", "z.yaml:3: service \"a\": command: is empty"),
    ("services:\n  a:\n    command: '  '", "z.yaml:3: service \"a\": command: names no program"),
    ("services:\n  a:\n    command: ['', x]", "z.yaml:3: service \"a\": command: names no program"),
    (
        "services:\n  a:\n    command: echo 'x",
        "z.yaml:3: service \"a\": command: has a quote that is never closed; to run a script, write it as shell",
    ),
    (
        "services:\n  a:\n    command: [x, \"a\\0b\"]",
        "z.yaml:3: service \"a\": command: holds a NUL byte, which no program can be given",
    ),
    (
        "services:\n  a:\n    command:\n    - x\n    - [y]\n    - z: 1\n",
        "\
z.yaml:5: service \"a\": command: an argument must be a text, not a list
z.yaml:6: service \"a\": command: an argument must be a text, not a map",
    ),
    ("services:\n  a:\n    shell: ' '", "z.yaml:3: service \"a\": shell: is empty"),
    // The graph.
    (
        "services:\n  a: {command: x, depends_on: [weB]}\n  web: {command: x}\n",
        "z.yaml:2: service \"a\": depends_on: there is no service \"weB\" (did you mean \"web\"?)",
    ),
    (
        "services:\n  a: {command: x, after: [c]}\n  b: {command: x, after: [a]}\n  c:\n    command: x\n    after: [b]\n",
        "z.yaml:2: service \"a\": after: the services wait for each other in a circle: a -> c -> b -> a",
    ),
    (
        "services:\n  a: {command: x, after: [b]}\n  b: {command: x, after: [a]}\n  c: {command: x, after: [d]}\n  d: {command: x, after: [c]}\n",
        "\
z.yaml:2: service \"a\": after: the services wait for each other in a circle: a -> b -> a
z.yaml:4: service \"c\": after: the services wait for each other in a circle: c -> d -> c",
    ),
];

#[test]
fn every_bad_file_is_described_exactly() {
    compare(FILE.iter().map(|(text, lines)| ((*text).to_owned(), lines.split('\n').map(str::to_owned).collect())));
}

pub fn compare(rows: impl Iterator<Item = (String, Vec<String>)>) {
    let mut wrong = Vec::new();
    for (text, expected) in rows {
        let found = World::new().problems(&[("z.yaml", &text)]);
        if found != expected {
            wrong.push(format!("{text}\n  found    {found:#?}\n  expected {expected:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn two_files_that_define_the_same_are_both_named() {
    let rows: &[(&str, &str, &[&str])] = &[
        (
            "services:\n  a: {command: x}",
            "services:\n\n  a: {command: x}",
            &[
                "b.yaml:3: service \"a\": is defined twice; say \"override: merge\" or \"override: replace\" here if that is \
               meant. The other is at a.yaml:2",
            ],
        ),
        (
            "shutdown_timeout: 1s\nservices: {a: {command: x}}",
            "shutdown_timeout: 2s",
            &[
                "b.yaml:1: shutdown_timeout: has another value in another file; keep one, or say \"override: merge\" at the \
               top of this file. The other is at a.yaml:1",
            ],
        ),
        (
            "defaults: {umask: 0022}\nservices: {a: {command: x}}",
            "defaults: {umask: 0027}",
            &[
                "b.yaml:1: defaults: is defined twice; say \"override: merge\" or \"override: replace\" here if that is \
               meant. The other is at a.yaml:1",
            ],
        ),
        (
            "command: x",
            "services:\n  a: {command: x}",
            &[
                "b.yaml:2: service \"a\": is defined twice; say \"override: merge\" or \"override: replace\" here if that is \
               meant. The other is at a.yaml",
            ],
        ),
        (
            "version: 1\ndefaults: {umask: 0022}\nservices: {a: {command: x}}",
            "defaults: {umask: 0022}\nversion: '1'",
            &[],
        ),
    ];
    for (first, second, expected) in rows {
        assert_eq!(World::new().problems(&[("a.yaml", first), ("b.yaml", second)]), *expected, "{second}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_the_reader_panic_and_every_failure_says_something(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40),
        noise in "\\PC{0,6}",
    ) {
        let text = pieces.concat().replace('~', &noise);
        for world in [World::new(), World::with_command(&["x"])] {
            if let Err(problems) = world.read(&[("z.yaml", &text), ("y.yaml", "services: {y: {command: x}}")]) {
                prop_assert!(!problems.is_empty());
                let lines = text.lines().count();
                prop_assert!(problems.iter().all(|problem| problem.line <= lines + 1 && !problem.text.is_empty()));
            }
        }
    }
}

#[test]
fn a_document_made_to_exhaust_the_reader_is_refused() {
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for level in 1..40 {
        bomb += &format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1);
    }
    for (text, reason) in [(bomb, "repetition limit exceeded"), ("[".repeat(10_000), "recursion limit exceeded")] {
        let problems = World::new().problems(&[("z.yaml", &text)]);
        assert!(problems.len() == 1 && problems[0].contains(reason), "{problems:?}");
    }
}

proptest! {
    #[test]
    fn a_duration_is_read_as_it_is_printed_and_a_bare_number_is_seconds(millis in any::<u64>(), seconds in 0u64..1 << 53) {
        for millis in [millis, millis % 100_000, 0, u64::MAX] {
            let text = Span(millis).to_string();
            prop_assert_eq!(read_delay(&text), Span(millis));
            let text = format!("{}.{:03}", millis / 1000, millis % 1000);
            prop_assert_eq!(read_delay(&text), Span(millis));
        }
        prop_assert_eq!(read_delay(&seconds.to_string()), Span::seconds(seconds));
    }

    #[test]
    fn any_value_of_a_variable_comes_through_expansion_once_and_unchanged(value in "[^\0]{0,20}", around in "[^$\0]{0,5}") {
        let environment = [("V".into(), OsString::from(&value))];
        let expanded = expand::text(&format!("{around}${{V}}{around}$${{V}}${{N:-d}}"), &environment);
        prop_assert_eq!(expanded, Ok(format!("{around}{value}{around}${{V}}d")));
    }
}

fn read_delay(text: &str) -> Span {
    service(&with(&format!("restart_delay: {text}"))).policy.restart_delay
}

const PIECES: &[&str] = &[
    "ready: ",
    "healthcheck: ",
    "test: ",
    "notify: ",
    "fd: ",
    "restart_backoff: ",
    "factor: ",
    "pre_start: ",
    "reload: ",
    "exit: ",
    "when: ",
    "schedule: ",
    "condition: service_healthy",
    "oneshot: true",
    "services:",
    "defaults:",
    "cmd:",
    "\n",
    "\n  ",
    "\n    ",
    "\n      - ",
    "a:",
    " ",
    "b:",
    "command: x",
    "exec: 'y",
    "shell: ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\"",
    "'",
    "&n ",
    "*n",
    "<<: ",
    "!t ",
    "? ",
    "|\n",
    ">-\n",
    "# ~\n",
    "~",
    "${",
    "}",
    "$",
    "-1",
    "0022",
    "1e99",
    ".inf",
    "true",
    "null",
    "user: ",
    "depends_on: ",
    "environment: ",
    "restart: ",
    "interval: ",
    "signals: ",
    "\t",
    "---",
    "%",
    "override: merge",
    "\u{0}",
    "\u{feff}",
    "version: 1",
];
