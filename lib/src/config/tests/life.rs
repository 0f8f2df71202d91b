//! What the keys of readiness, health, hooks, timers and dependencies do.

use super::effects::{Change, c};
use super::*;
use crate::model::spec::*;
use crate::signal;

fn own(words: &[&str]) -> Job {
    Job { program: Program::Own, arguments: c(words) }
}

fn probe(kind: &str, text: &str) -> Job {
    patient_probe(kind, text, "5s")
}

fn patient_probe(kind: &str, text: &str, timeout: &str) -> Job {
    Job { program: Program::Probe, arguments: c(&["zei-probe", kind, text, "--timeout", timeout]) }
}

fn sh(text: &str) -> Job {
    own(&["/bin/sh", "-c", text])
}

/// A test that is run until it succeeds, with nothing else said.
fn asked(s: &mut ServiceSpec, job: Job, timeout: Span) {
    s.ready = Some(ReadyTest::Job(job));
    s.policy.ready = Some(Ready::Asked { interval: Span(250), timeout });
}

fn told(s: &mut ServiceSpec, test: ReadyTest) {
    (s.ready, s.policy.ready) = (Some(test), Some(Ready::Told));
}

fn healthy(s: &mut ServiceSpec, job: Job, change: fn(&mut HealthPolicy)) {
    let mut policy = HealthPolicy {
        interval: Span::seconds(30),
        timeout: Span::seconds(30),
        retries: 3,
        start_period: Span(0),
        start_interval: Span::seconds(5),
        on_unhealthy: OnUnhealthy::None,
    };
    change(&mut policy);
    (s.health, s.policy.health) = (Some(job), Some(policy));
}

fn backoff(s: &mut ServiceSpec, factor: u32, max: u64, jitter: u32) {
    s.policy.backoff = Some(Backoff { factor, max: Span::seconds(max), jitter });
}

fn timed(s: &mut ServiceSpec, expression: &str, catch_up: bool) {
    (s.policy.oneshot, s.forward_signals) = (true, signal::Set::EMPTY);
    (s.policy.timer, s.schedule) = (Some(Timer::Schedule { catch_up }), Some(expression.into()));
}

fn hook(timeout: Option<u64>) -> Option<HookPolicy> {
    Some(HookPolicy { timeout: timeout.map(Span::seconds) })
}

const QUESTION: Span = Span::seconds(5);
const COMMAND: Span = Span::seconds(30);

/// Keys added to the service `a`, and what they change.
pub const ROWS: &[(&str, Change)] = &[
    // Readiness.
    ("ready: {notify: systemd}", |s| told(s, ReadyTest::NotifySystemd)),
    ("ready: {notify: systemd, watchdog: 10s, timeout: 1m}", |s| {
        told(s, ReadyTest::NotifySystemd);
        (s.policy.ready_timeout, s.policy.watchdog) = (Some(Span::seconds(60)), Some(Span::seconds(10)));
    }),
    ("ready: {notify: {fd: 3}}", |s| told(s, ReadyTest::NotifyFd(3))),
    ("ready: {notify: {fd: 1023}}", |s| told(s, ReadyTest::NotifyFd(1023))),
    ("ready: {log: \"^ready (to|for) .*\\\\d$\"}", |s| told(s, ReadyTest::Log("^ready (to|for) .*\\d$".into()))),
    ("ready: {log: x}\n    stdout: null", |s| {
        told(s, ReadyTest::Log("x".into()));
        s.stdout = Output::Null;
    }),
    ("ready: {exec: [pg_isready, -h, \"${FOO}\"]}", |s| asked(s, own(&["pg_isready", "-h", "${FOO}"]), COMMAND)),
    ("ready: {exec: redis-cli 'a b'}", |s| asked(s, own(&["redis-cli", "a b"]), COMMAND)),
    ("ready: {tcp: 5432}", |s| asked(s, probe("tcp", "5432"), QUESTION)),
    ("ready: {tcp: \"[::1]:5432\"}", |s| asked(s, probe("tcp", "[::1]:5432"), QUESTION)),
    ("ready: {tcp: \"localhost:${SECONDS}\"}", |s| asked(s, probe("tcp", "localhost:7"), QUESTION)),
    ("ready: {http: \"http://127.0.0.1:80/x?y\"}", |s| asked(s, probe("http", "http://127.0.0.1:80/x?y"), QUESTION)),
    ("ready: {unix: /run/x.sock}", |s| asked(s, probe("unix", "/run/x.sock"), QUESTION)),
    ("ready: {unix: \"@x\"}", |s| asked(s, probe("unix", "@x"), QUESTION)),
    ("ready: {tcp: 80, interval: 2s, timeout: \"${SECONDS}\"}", |s| {
        asked(s, probe("tcp", "80"), QUESTION);
        s.policy.ready = Some(Ready::Asked { interval: Span::seconds(2), timeout: QUESTION });
        s.policy.ready_timeout = Some(Span::seconds(7));
    }),
    ("test: nc -z \"a ${FOO}\"", |s| asked(s, own(&["nc", "-z", "a ${FOO}"]), Span(u64::MAX))),
    ("test: [nc, -z]", |s| asked(s, own(&["nc", "-z"]), Span(u64::MAX))),
    // Health.
    ("healthcheck: {test: \"curl -f $${X} ${FOO} || exit 1\"}", |s| {
        healthy(s, sh("curl -f $${X} ${FOO} || exit 1"), |_| {})
    }),
    ("healthcheck: {test: [CMD-SHELL, \"a | b\"]}", |s| healthy(s, sh("a | b"), |_| {})),
    ("healthcheck: {test: [CMD, curl, \"${FOO}\"]}", |s| healthy(s, own(&["curl", "${FOO}"]), |_| {})),
    ("healthcheck: {test: [curl, x]}", |s| healthy(s, own(&["curl", "x"]), |_| {})),
    ("healthcheck: {test: [cmp, x]}", |s| healthy(s, own(&["cmp", "x"]), |_| {})),
    ("healthcheck: {test: true}", |s| healthy(s, sh("true"), |_| {})),
    ("healthcheck: {test: {exec: \"curl ${FOO}\"}}", |s| healthy(s, own(&["curl", "${FOO}"]), |_| {})),
    ("healthcheck: {test: {tcp: 80}}", |s| healthy(s, patient_probe("tcp", "80", "30s"), |_| {})),
    ("healthcheck: {test: {http: \":80/${FOO}\"}}", |s| healthy(s, patient_probe("http", ":80/foo", "30s"), |_| {})),
    ("healthcheck: {test: {unix: \"@x\"}}", |s| healthy(s, patient_probe("unix", "@x", "30s"), |_| {})),
    ("healthcheck: {test: {tcp: 80}, timeout: 1m30s}", |s| {
        healthy(s, patient_probe("tcp", "80", "1m30s"), |h| h.timeout = Span::seconds(90))
    }),
    ("healthcheck: {test: x, interval: 7s}", |s| healthy(s, sh("x"), |h| h.interval = Span::seconds(7))),
    ("healthcheck: {test: x, timeout: 7s}", |s| healthy(s, sh("x"), |h| h.timeout = Span::seconds(7))),
    ("healthcheck: {test: x, retries: 1}", |s| healthy(s, sh("x"), |h| h.retries = 1)),
    ("healthcheck: {test: x, start_period: 7s}", |s| healthy(s, sh("x"), |h| h.start_period = Span::seconds(7))),
    ("healthcheck: {test: x, start_interval: 7s}", |s| healthy(s, sh("x"), |h| h.start_interval = Span::seconds(7))),
    ("healthcheck: {test: x, on_unhealthy: none}", |s| healthy(s, sh("x"), |_| {})),
    ("healthcheck: {test: x, on_unhealthy: restart}", |s| {
        healthy(s, sh("x"), |h| h.on_unhealthy = OnUnhealthy::Restart)
    }),
    ("healthcheck: {test: x, on_unhealthy: shutdown}", |s| {
        healthy(s, sh("x"), |h| h.on_unhealthy = OnUnhealthy::Shutdown)
    }),
    ("healthcheck: {test: [NONE]}", |_| {}),
    ("healthcheck: {disable: true}", |_| {}),
    ("healthcheck: {disable: true, test: x}", |_| {}),
    ("healthcheck: {disable: true}\n    oneshot: true", |s| {
        (s.policy.oneshot, s.forward_signals) = (true, signal::Set::EMPTY);
    }),
    ("healthcheck: {test: x, start_period: 0}", |s| healthy(s, sh("x"), |_| {})),
    ("healthcheck: {disable: false, test: x}", |s| healthy(s, sh("x"), |_| {})),
    // Restarts and timers.
    ("restart_backoff: {}", |s| backoff(s, 2000, 60, 0)),
    ("restart_backoff: {factor: 1.5}", |s| backoff(s, 1500, 60, 0)),
    ("restart_backoff: {factor: 1}", |s| backoff(s, 1000, 60, 0)),
    ("restart_backoff: {max: 5m}", |s| backoff(s, 2000, 300, 0)),
    ("restart_backoff: {max: 1s}", |s| backoff(s, 2000, 1, 0)),
    ("restart_backoff: {jitter: 0.25}", |s| backoff(s, 2000, 60, 250)),
    ("restart_backoff: {jitter: 20%}", |s| backoff(s, 2000, 60, 200)),
    ("restart_backoff: {jitter: 1}", |s| backoff(s, 2000, 60, 1000)),
    ("restart_delay: 2m\n    restart_backoff: {}", |s| {
        backoff(s, 2000, 120, 0);
        s.policy.restart_delay = Span::seconds(120);
    }),
    ("oneshot: true\n    schedule: \"30 2 * * *\"", |s| timed(s, "30 2 * * *", false)),
    ("oneshot: true\n    schedule: \"@daily\"\n    catch_up: true", |s| timed(s, "@daily", true)),
    // Hooks.
    ("pre_start: a 'b c' ${FOO}", |s| {
        (s.pre_start, s.policy.pre_start) = (Some(own(&["a", "b c", "${FOO}"])), hook(None));
    }),
    ("pre_start: [a, b]", |s| (s.pre_start, s.policy.pre_start) = (Some(own(&["a", "b"])), hook(None))),
    ("pre_start: {command: [a], timeout: \"${SECONDS}\"}", |s| {
        (s.pre_start, s.policy.pre_start) = (Some(own(&["a"])), hook(Some(7)));
    }),
    ("post_stop: {shell: \"a | ${FOO}\"}", |s| {
        (s.post_stop, s.policy.post_stop) = (Some(sh("a | ${FOO}")), hook(None));
    }),
    ("post_stop: {shell: a, timeout: 1m}", |s| {
        (s.post_stop, s.policy.post_stop) = (Some(sh("a")), hook(Some(60)));
    }),
    ("reload: USR1", |s| s.reload = Reload::Signal(signal::USR1)),
    ("reload: sighup", |_| {}),
    ("reload: 12", |s| s.reload = Reload::Signal(signal::USR2)),
    ("reload: nginx -s reload", |s| {
        (s.reload, s.policy.reload) = (Reload::Job(own(&["nginx", "-s", "reload"])), hook(None));
    }),
    ("reload: /bin/reload", |s| (s.reload, s.policy.reload) = (Reload::Job(own(&["/bin/reload"])), hook(None))),
    ("reload: [USR1]", |s| (s.reload, s.policy.reload) = (Reload::Job(own(&["USR1"])), hook(None))),
    ("reload: {command: a b, timeout: 3s}", |s| {
        (s.reload, s.policy.reload) = (Reload::Job(own(&["a", "b"])), hook(Some(3)));
    }),
    ("drain: 5s", |s| s.policy.drain = Span::seconds(5)),
    ("drain: 0", |_| {}),
];

/// Depends on `db` as the rows of [`Case`] say.
struct Case {
    depends_on: &'static str,
    db: &'static str,
    condition: Condition,
    restart: bool,
}

const fn case(depends_on: &'static str, db: &'static str, condition: Condition) -> Case {
    Case { depends_on, db, condition, restart: false }
}

/// What `a` depends on, what `db` is, and what comes of it.
const DEPENDENCIES: &[Case] = &[
    case("[db]", "", Condition::Started),
    case("db", "", Condition::Started),
    case("[db]", "oneshot: true", Condition::Completed),
    case("[db]", "oneshot: true, interval: 5s", Condition::Started),
    case("[db]", "oneshot: true, schedule: '@daily'", Condition::Started),
    case("[db]", "ready: {tcp: 1}", Condition::Healthy),
    case("[db]", "ready: {notify: systemd}", Condition::Healthy),
    case("[db]", "test: x", Condition::Healthy),
    case("[db]", "healthcheck: {test: x}", Condition::Healthy),
    case("[db]", "healthcheck: {disable: true}", Condition::Started),
    case("{db: {condition: service_started}}", "ready: {tcp: 1}", Condition::Started),
    case("{db: {condition: service_healthy}}", "ready: {tcp: 1}", Condition::Healthy),
    // Where nothing is tested, what runs is healthy.
    case("{db: {condition: service_healthy}}", "", Condition::Healthy),
    case("{db: {condition: service_started}}", "oneshot: true", Condition::Started),
    case("{db: {condition: service_completed_successfully}}", "", Condition::Completed),
    case("{db: {condition: service_completed_successfully}}", "oneshot: true, interval: 5s", Condition::Completed),
    Case { restart: true, ..case("{db: {condition: service_started, restart: true}}", "", Condition::Started) },
    case("{db: {condition: service_started, restart: false}}", "", Condition::Started),
    case("{db: {condition: service_started, required: false}}", "", Condition::Started),
];

#[test]
fn the_condition_follows_from_the_other_service_unless_it_is_given() {
    for Case { depends_on, db, condition, restart } in DEPENDENCIES {
        let text = format!("services:\n  a: {{command: x, depends_on: {depends_on}}}\n  db: {{command: x, {db}}}\n");
        let expected = [Dependency { service: 1, condition: *condition, restart: *restart }];
        assert_eq!(World::new().config(&text).services[0].dependencies, expected, "{text}");
    }
}

#[test]
fn the_command_waits_by_the_same_conditions_and_may_have_tests_itself() {
    let text = "
cmd: {ready: {tcp: 1}, healthcheck: {test: x}, pre_start: y, drain: 1s, reload: USR1}
services:
  db: {command: x, ready: {tcp: 1}}
  web: {command: x, healthcheck: {test: x}}
  once: {command: x, oneshot: true}
";
    let config = World::with_command(&["sh"]).config(text);
    let cmd = config.services.last().unwrap();
    let conditions: Vec<_> = cmd.dependencies.iter().map(|edge| edge.condition).collect();
    assert_eq!(conditions, [Condition::Healthy, Condition::Healthy, Condition::Completed]);
    assert!(cmd.ready.is_some() && cmd.health.is_some() && cmd.pre_start.is_some());
    assert_eq!((cmd.policy.drain, &cmd.reload), (Span::seconds(1), &Reload::Signal(signal::USR1)));
}

/// The key `exit`, and what it says; `b` is the second service.
pub const EXITS: &[(&str, ExitRule)] = &[
    ("{}", ExitRule { when: When::All, code: None, stop_code: None }),
    ("{when: all}", ExitRule { when: When::All, code: None, stop_code: None }),
    ("{when: any, code: 3}", ExitRule { when: When::Any, code: Some(3), stop_code: None }),
    ("{when: {service: b}}", ExitRule { when: When::Service(1), code: None, stop_code: None }),
    ("{stop_code: 0}", ExitRule { when: When::All, code: None, stop_code: Some(0) }),
    ("{stop_code: 255, code: \"${SECONDS}\"}", ExitRule { when: When::All, code: Some(7), stop_code: Some(255) }),
];

#[test]
fn exit_says_when_the_container_ends_and_with_which_code() {
    let services = "services:\n  a: {command: x}\n  b: {command: x}\n";
    assert_eq!(World::new().config(services).exit, ExitRule::default());
    for (exit, expected) in EXITS {
        assert_eq!(World::new().config(&format!("{services}exit: {exit}")).exit, *expected, "{exit}");
    }
    let near_cmd = World::with_command(&["sh"]).problems(&[("z.yaml", "exit: {when: {service: cmt}}")]);
    assert_eq!(near_cmd, ["z.yaml:1: exit.when.service: there is no service \"cmt\""]);
    // By a dependency that fails they end for good all the same.
    for keys in ["restart: always", "oneshot: true, interval: 1s"] {
        let text = format!("{services}  c: {{command: x, depends_on: [a], {keys}}}\nexit: {{when: {{service: c}}}}\n");
        assert_eq!(World::new().config(&text).exit.when, When::Service(2));
    }
    // A command finds itself beside services that were not written for one, and timed ones never end.
    let any = "exit: {when: any}\nservices:\n  a: {command: x, depends_on: {t: {condition: service_completed_successfully}}}\n  \
               b: {command: x, oneshot: true}\n  t: {command: x, oneshot: true, interval: 1s}\n";
    assert_eq!(World::with_command(&["sh"]).config(any).services.len(), 4);
}

#[test]
fn what_defaults_say_of_readiness_and_health_is_not_for_oneshots_and_gives_way_to_the_own_word() {
    let text = "
defaults:
  ready: {tcp: 1}
  healthcheck: {test: x}
  restart_backoff: {}
  drain: 1s
services:
  a: {command: x, test: t, healthcheck: {disable: true}}
  b: {command: x, oneshot: true}
  c: {command: x}
";
    let config = World::new().config(text);
    let [a, b, d] = &config.services[..] else { panic!() };
    assert_eq!((&a.ready, &a.health), (&Some(ReadyTest::Job(own(&["t"]))), &None));
    assert_eq!((&b.ready, &b.health, b.policy.ready, b.policy.health), (&None, &None, None, None));
    assert!(d.ready.is_some() && d.health.is_some() && d.policy.backoff.is_some());
    assert_eq!(d.policy.drain, Span::seconds(1));
}

#[test]
fn a_test_of_zinits_is_not_for_oneshots_as_zinit_has_it() {
    let world = World::new();
    let config = world.read(&[("/d/w.yaml", "exec: x\noneshot: true\ntest: y")]).unwrap();
    assert_eq!((&config.services[0].ready, config.services[0].policy.ready), (&None, None));
    let config = world.read(&[("/d/w.yaml", "exec: x\ntest: y")]).unwrap();
    assert_eq!(config.services[0].ready, Some(ReadyTest::Job(own(&["y"]))));
}

/// Keys of the service `a`, beginning on line 4, and what is said although nothing is wrong.
const DOUBTS: &[(&str, &str)] = &[
    (
        "drain: 30s",
        "4: service \"a\": drain: 30s uses up the shutdown_timeout of 30s: at a shutdown the service is killed without \
         having been asked to end; lower one or raise the other",
    ),
    (
        "healthcheck:\n      test: x\n      start_interval: 1s",
        "6: service \"a\": healthcheck.start_interval: has no effect without start_period",
    ),
    (
        "healthcheck: {test: [CMD-SHELL, \"echo $$HOME\"]}",
        "4: service \"a\": healthcheck.test: $$ is taken as it stands, as nothing is expanded in a test; in a file for \
         Compose it means one $",
    ),
    (
        "depends_on:\n      aa: {condition: service_started, required: false}",
        "5: service \"a\": depends_on: there is no service \"aa\"",
    ),
];

#[test]
fn what_is_most_likely_not_meant_is_told_and_accepted() {
    for (keys, expected) in DOUBTS {
        assert_eq!(World::new().warnings(&with(keys)), [format!("z.yaml:{expected}")], "{keys}");
    }
    assert_eq!(World::new().warnings(&with("drain: 29s")), [""; 0]);
    assert_eq!(World::new().warnings(&format!("{}shutdown_timeout: 0\n", with("drain: 0"))), [""; 0]);
    assert_eq!(service(&with(DOUBTS[3].0)).dependencies, []);
    // Where a problem is, that is enough.
    assert_eq!(World::new().problems(&[("z.yaml", &with("drain: 30s\n    umask: 9"))]).len(), 1);
    let bare = World::new();
    let mut report = Report::default();
    report.file(Path::new("w.yaml"), "exec: x\noneshot: true\ntest: y\n".into());
    check(&bare.context(), &report).unwrap();
    assert_eq!(
        report.warnings().iter().map(Problem::to_string).collect::<Vec<_>>(),
        ["w.yaml:3: service \"w\": test: is not run, because a oneshot is ready for others once it exits 0"]
    );
}
