//! Definitions are read back as they were given, whatever they say.

use super::plan::Terms;
use super::*;
use crate::model::spec::{
    Backoff, Config, Dependency, ExitRule, HealthPolicy, HookPolicy, Identity, OnEnd, OnUnhealthy, Origin, Ready,
    Restart, SignalMap, StopScope, Timer,
};
use crate::model::time::Span;
use proptest::prelude::*;

/// The plan of these services alone.
fn encode(services: &[ServiceSpec], environment: &[CString], nofile: Option<(u64, u64)>) -> Vec<u8> {
    let config = Config {
        services: services.to_vec(),
        shutdown_timeout: Span::seconds(30),
        signals: SignalMap::default(),
        exit: ExitRule::default(),
        control_group: None,
        sources: Vec::new(),
    };
    let environment = environment.iter().map(CString::as_c_str).collect();
    plan::encode(&config, Definitions::default(), &Terms { environment, nofile, ..Terms::default() })
}

pub(crate) fn strings(texts: &[&str]) -> Vec<CString> {
    texts.iter().map(|text| CString::new(*text).unwrap()).collect()
}

fn job(program: Program, arguments: &[&str]) -> Job {
    Job { program, arguments: strings(arguments) }
}

pub(crate) fn spec(name: &str) -> ServiceSpec {
    ServiceSpec {
        name: ServiceName::parse(name).unwrap(),
        origin: Origin::default(),
        command: strings(&["sh", "-c", "", "a=b\nc"]),
        identity: Some(Identity { uid: 33, gid: 34, groups: vec![34, 4] }),
        environment: strings(&["A=1", "B=x=y", "A=2"]),
        clear_environment: false,
        working_dir: Some(c"/srv".into()),
        stdin: Input::Open,
        stdout: Output::Path(c"/var/log/x".into()),
        stderr: Output::Join,
        log: Some(Log::Prefix),
        json_logs: false,
        umask: Some(0o27),
        privileges: Privileges {
            nice: "-5?".parse().ok(),
            oom_score_adj: "-999".parse().ok(),
            ulimits: ["nofile 7 8", "core 0 18446744073709551615?"].map(|text| text.parse().unwrap()).to_vec(),
            no_new_privileges: true,
            capabilities: "401".parse().ok(),
        },
        policy: Policy {
            restart: Restart::OnFailure,
            timer: Some(Timer::Interval(Span(5))),
            stop_scope: StopScope::Group,
            ..Policy::default()
        },
        ready: Some(ReadyTest::Job(job(Program::Probe, &["zei-probe", "tcp", ""]))),
        health: Some(job(Program::Own, &["curl", "-f"])),
        pre_start: Some(job(Program::Own, &["true"])),
        post_stop: None,
        reload: Reload::Signal(10),
        schedule: Some("*/5 * * * *".into()),
        dependencies: vec![Dependency { service: 0, condition: Condition::Completed, restart: false }],
        forward_signals: crate::signal::Set::EMPTY,
        on_exit: OnEnd::None,
        on_failure: OnEnd::None,
        autostart: true,
    }
}

#[test]
fn a_definition_is_read_back_as_it_was_given() {
    let services = [spec("first"), spec("second")];
    let bytes = encode(&services, &strings(&["A=0", "HOME=/", "EMPTY="]), Some((7, 8)));
    let read = Definitions(&bytes).service(1).unwrap();
    assert_eq!(read.name.as_str(), "second");
    assert_eq!(read.policy, services[1].policy);
    assert_eq!(read.privileges(), services[1].privileges);
    assert_eq!((read.privileges().ulimits.len(), read.privileges().capabilities.is_some()), (2, true));
    assert_eq!(
        read.arguments().collect::<Vec<_>>(),
        services[1].command.iter().map(|c| c.as_c_str()).collect::<Vec<_>>()
    );
    assert_eq!((read.ids, read.nofile()), (Some((33, 34)), Some((7, 8))));
    assert_eq!(read.groups().collect::<Vec<_>>(), [34, 4]);
    assert_eq!((read.umask, read.working_dir, read.stdin), (Some(0o27), Some(c"/srv"), Input::Open));
    assert_eq!((read.stdout, read.stderr), (Target::Path(c"/var/log/x"), Target::Join));
    let name = ServiceName::parse("first").unwrap();
    assert_eq!(read.needs().collect::<Vec<_>>(), [Needs { index: 0, name, condition: Condition::Completed }]);
    assert!(Definitions(&bytes).service(2).is_none());
}

#[test]
fn jobs_are_read_back_with_their_programs() {
    let services = [spec("first")];
    let bytes = encode(&services, &strings(&[]), None);
    let read = Definitions(&bytes).service(0).unwrap();
    let arguments = |kind| read.job(kind).map(|(program, words)| (program, words.collect::<Vec<_>>()));
    assert_eq!(arguments(Kind::Ready), Some((Program::Probe, vec![c"zei-probe", c"tcp", c""])));
    assert_eq!(arguments(Kind::Health), Some((Program::Own, vec![c"curl", c"-f"])));
    assert_eq!(arguments(Kind::PreStart), Some((Program::Own, vec![c"true"])));
    assert_eq!((arguments(Kind::PostStop), arguments(Kind::Reload), arguments(Kind::Plan)), (None, None, None));
    assert_eq!((read.ready, read.reload_signal()), (ReadyBy::Job, Some(10)));
    assert_eq!(read.schedule(), Some(c"*/5 * * * *"));
    for (test, by) in [
        (None, ReadyBy::Running),
        (Some(ReadyTest::NotifySystemd), ReadyBy::Systemd),
        (Some(ReadyTest::NotifyFd(17)), ReadyBy::Fd(17)),
        (Some(ReadyTest::Log("x".into())), ReadyBy::Log),
    ] {
        let bytes = encode(&[ServiceSpec { ready: test, ..spec("first") }], &strings(&[]), None);
        assert_eq!(Definitions(&bytes).service(0).unwrap().ready, by);
    }
}

#[test]
fn streams_conditions_and_the_pattern_are_read_back_as_they_were_given() {
    let read = |spec: ServiceSpec, test: &dyn Fn(Definition<'_>)| {
        let bytes = encode(&[self::spec("first"), spec], &strings(&[]), None);
        test(Definitions(&bytes).service(1).unwrap());
    };
    for stdin in [Input::Null, Input::Open, Input::Inherit] {
        read(ServiceSpec { stdin, ..spec("web") }, &|web| assert_eq!(web.stdin, stdin));
    }
    for (output, target) in [
        (Output::Inherit, Target::Inherit),
        (Output::Stdout, Target::Stdout),
        (Output::Stderr, Target::Stderr),
        (Output::Null, Target::Null),
        (Output::Join, Target::Join),
        (Output::Path(c"/null".into()), Target::Path(c"/null")),
    ] {
        let one = ServiceSpec { stdout: output.clone(), ..spec("web") };
        read(one, &|web| assert_eq!((web.stdout, web.stderr), (target, Target::Join)));
        let one = ServiceSpec { stderr: output, ..spec("web") };
        read(one, &|web| assert_eq!((web.stdout, web.stderr), (Target::Path(c"/var/log/x"), target)));
    }
    for condition in [Condition::Started, Condition::Healthy, Condition::Completed] {
        let dependencies = vec![Dependency { service: 0, condition, restart: true }];
        let needs = Needs { index: 0, name: ServiceName::parse("first").unwrap(), condition };
        let one = ServiceSpec { dependencies, ..spec("web") };
        read(one, &|web| assert_eq!(web.needs().collect::<Vec<_>>(), [needs]));
    }
    let one = ServiceSpec { ready: Some(ReadyTest::Log("^up=[0-9]+$".into())), ..spec("web") };
    read(one, &|web| assert_eq!(web.pattern(), Some(c"^up=[0-9]+$")));
    read(spec("web"), &|web| assert_eq!(web.pattern(), None));
}

#[test]
fn what_is_off_in_a_policy_has_no_key() {
    let keys = |policy: &Policy| {
        let mut keys = Vec::new();
        policy::encode(policy, |key, _| keys.push(key));
        keys
    };
    let always = ["restart", "max_restarts", "reset_after", "restart_delay", "oneshot", "stop_signal", "stop_scope"];
    assert_eq!(keys(&Policy::default()), always);
    assert_eq!(keys(&Policy { drain: Span(1), ..Policy::default() }), [&always[..], &["drain"]].concat());
}

#[test]
fn another_environment_of_the_container_concerns_those_alone_that_have_none_of_their_own() {
    let own = spec("web");
    let common = || ServiceSpec { environment: Vec::new(), ..spec("web") };
    let cleared = || ServiceSpec { clear_environment: true, ..spec("web") };
    let other = ServiceSpec { umask: None, ..common() };
    let (one, two): (&[&str], &[&str]) = (&["A=0", "HOME=/"], &["A=0", "HOME=/srv"]);
    for (old, new, from, to, keys) in [
        (common(), common(), one, one, vec![]),
        (common(), common(), one, two, vec!["environment"]),
        (common(), other.clone(), one, one, vec!["umask"]),
        (common(), other, one, two, vec!["umask", "environment"]),
        (cleared(), cleared(), one, two, vec![]),
        (common(), cleared(), one, two, vec!["environment"]),
        (cleared(), common(), one, two, vec!["environment"]),
        // It has the whole of what it starts with.
        (own.clone(), own, one, two, vec!["environment"]),
    ] {
        let (old, new) = (encode(&[old], &strings(from), None), encode(&[new], &strings(to), None));
        let differences = Definitions(&old).differences(Definitions(&new), 0);
        assert_eq!((differences.service, differences.init), (keys.into_iter().map(str::to_owned).collect(), vec![]));
    }
}

fn any_hook() -> impl Strategy<Value = Option<HookPolicy>> {
    proptest::option::of(proptest::option::of(any::<u64>().prop_map(Span)))
        .prop_map(|hook| hook.map(|timeout| HookPolicy { timeout }))
}

prop_compose! {
    fn any_policy()(
        restart in proptest::sample::select(vec![Restart::Never, Restart::OnFailure, Restart::Always]),
        stop_scope in proptest::sample::select(vec![StopScope::Tree, StopScope::Process, StopScope::Group]),
        backoff in proptest::option::of((any::<u32>(), any::<u64>(), any::<u32>())),
        timer in proptest::option::of(prop_oneof![
            any::<u64>().prop_map(|span| Timer::Interval(Span(span))),
            any::<bool>().prop_map(|catch_up| Timer::Schedule { catch_up })
        ]),
        ready in proptest::option::of(prop_oneof![
            Just(Ready::Told),
            (any::<u64>(), any::<u64>())
                .prop_map(|(interval, timeout)| Ready::Asked { interval: Span(interval), timeout: Span(timeout) })
        ]),
        health in proptest::option::of((any::<[u64; 4]>(), any::<u32>(), proptest::sample::select(vec![
            OnUnhealthy::None, OnUnhealthy::Restart
        ]))),
        hooks in (any_hook(), any_hook(), any_hook()),
        spans in any::<[u64; 3]>(),
        maybe in proptest::array::uniform3(proptest::option::of(any::<u64>().prop_map(Span))),
        max_restarts: u32, oneshot: bool, stop_signal in 1u8..=64,
    ) -> Policy {
        Policy {
            restart, stop_scope, timer, ready, max_restarts, oneshot, stop_signal,
            backoff: backoff.map(|(factor, max, jitter)| Backoff { factor, max: Span(max), jitter }),
            health: health.map(|(spans, retries, on_unhealthy)| HealthPolicy {
                interval: Span(spans[0]), timeout: Span(spans[1]), start_period: Span(spans[2]),
                start_interval: Span(spans[3]), retries, on_unhealthy,
            }),
            pre_start: hooks.0, post_stop: hooks.1, reload: hooks.2,
            reset_after: Span(spans[0]), restart_delay: Span(spans[1]), drain: Span(spans[2]),
            ready_timeout: maybe[0], watchdog: maybe[1], stop_grace_period: maybe[2],
        }
    }
}

proptest! {
    #[test]
    fn any_policy_is_read_back_as_it_was_given(policy in any_policy()) {
        let bytes = encode(&[ServiceSpec { policy, ..spec("web") }], &strings(&[]), None);
        prop_assert_eq!(Definitions(&bytes).service(0).unwrap().policy, policy);
    }
}

#[test]
fn a_later_variable_replaces_an_earlier_one_and_clear_environment_starts_from_nothing() {
    let base = strings(&["A=0", "HOME=/", "EMPTY="]);
    let bytes = encode(&[spec("web")], &base, None);
    let read = Definitions(&bytes).service(0).unwrap();
    assert_eq!(read.environment().collect::<Vec<_>>(), [c"HOME=/", c"EMPTY=", c"B=x=y", c"A=2"]);
    let bytes = encode(&[ServiceSpec { clear_environment: true, ..spec("web") }], &base, None);
    let read = Definitions(&bytes).service(0).unwrap();
    assert_eq!(read.environment().collect::<Vec<_>>(), [c"B=x=y", c"A=2"]);
}

#[test]
fn the_sections_lie_behind_their_index_without_a_gap_and_none_is_another_ones() {
    let bytes = encode(&[spec("a"), spec("b")], &strings(&["X=1"]), None);
    let plan = Definitions(&bytes);
    // The shared one, two services, their two nodes, the whole.
    let sections: Vec<&[u8]> = (0..6).map(|index| plan.section(index).unwrap().0).collect();
    assert!(plan.section(6).is_none() && sections.iter().all(|section| section.last() == Some(&0)));
    assert_eq!(sections.concat(), bytes[4 * 7..]);
    let own = [0, 1, 2].map(|index| plan.service_section(index).map(|section| section.0));
    let nodes = [0, 1, 2].map(|index| plan.node_section(index).map(|section| section.0));
    assert_eq!((plan.count(), own), (2, [Some(sections[1]), Some(sections[2]), None]));
    assert_eq!((nodes, plan.whole().unwrap().0), ([Some(sections[3]), Some(sections[4]), None], sections[5]));
    assert_eq!([0, 1].map(|index| plan.name(index).unwrap().to_string()), ["a", "b"]);
}

#[test]
fn damaged_bytes_are_no_definition() {
    let bytes = encode(&[spec("web")], &strings(&["A=0"]), None);
    for length in 0..bytes.len() {
        let _ = Definitions(&bytes[..length]).service(0).map(|read| read.environment().count());
    }
    assert!(Definitions(&[]).service(0).is_none());
    assert!(Definitions(&[255; 64]).service(0).is_none());
}
