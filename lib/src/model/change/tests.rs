//! What differs between two configurations, and that nothing does once the one has become the other.

use super::*;
use crate::model::definition::plan::{self, Terms};
use crate::model::definition::tests::{spec, strings};
use crate::model::service::Process;
use crate::model::spec::{
    Condition, Config, Dependency, ExitRule, HealthPolicy, Input, OnEnd, OnUnhealthy, Output, Policy, ReadyTest,
    Reload, ServiceSpec, SignalMap, SignalUse, When,
};
use crate::model::time::{Span, Time};
use crate::signal;
use proptest::prelude::*;
use std::path::PathBuf;

fn config(services: Vec<ServiceSpec>) -> Config {
    let (signals, exit) = (SignalMap::default(), ExitRule::default());
    Config { services, shutdown_timeout: Span::seconds(30), signals, exit, control_group: None, sources: Vec::new() }
}

/// A service that depends on nothing.
fn alone(name: &str) -> ServiceSpec {
    ServiceSpec { dependencies: Vec::new(), ..spec(name) }
}

fn needs(service: usize, restart: bool) -> Dependency {
    Dependency { service, condition: Condition::Started, restart }
}

fn plan_of(config: &Config, old: &[u8]) -> Vec<u8> {
    plan::encode(config, Definitions(old), &Terms::default())
}

fn is(phase: Phase, want: bool) -> Service {
    let process = matches!(phase, Phase::Running).then_some(Process { pid: 9, start: 1 });
    Service { phase, process, ..Service::new(want, Time(1), &Policy::default()) }
}

fn compare(old: &[u8], new: &[u8], now: impl Fn(usize) -> Option<Service>) -> Change {
    let (old, new) = (Definitions(old), Definitions(new));
    let (from, to) = (old.outline().unwrap(), new.outline().unwrap());
    between(Side { definitions: old, outline: &from }, Side { definitions: new, outline: &to }, now)
}

/// From one configuration to another, all of whose services run: fates, and what people read.
fn from_to(old: &Config, new: &Config) -> (Vec<Fate>, Vec<String>) {
    let old = plan_of(old, &[]);
    let change = compare(&old, &plan_of(new, &old), |_| Some(is(Phase::Running, true)));
    (change.fates, change.lines.iter().map(ToString::to_string).collect())
}

/// As it was at the end of the old one; or wanted in any case.
const RENEW: Fate = Fate::Renew { starts: false };
const START: Fate = Fate::Renew { starts: true };

#[test]
fn each_key_is_called_as_the_configuration_calls_it_and_replaces_a_process_only_if_that_goes_by_it() {
    let job = || spec("x").pre_start;
    let health = |on_unhealthy| {
        let spans = Span::seconds(1);
        let (interval, timeout, start_period, start_interval) = (spans, spans, spans, spans);
        Some(HealthPolicy { interval, timeout, retries: 3, start_period, start_interval, on_unhealthy })
    };
    type Edit = Box<dyn Fn(&mut ServiceSpec)>;
    let service: [(&str, Edit); 22] = [
        ("command", Box::new(|one| one.command = strings(&["true"]))),
        ("user", Box::new(|one| one.identity = None)),
        ("environment", Box::new(|one| one.environment.clear())),
        ("environment", Box::new(|one| one.environment.push(c"C=3".into()))),
        ("working_dir", Box::new(|one| one.working_dir = None)),
        ("stdin", Box::new(|one| one.stdin = Input::Null)),
        ("stdout", Box::new(|one| one.stdout = Output::Null)),
        ("stderr", Box::new(|one| one.stderr = Output::Null)),
        ("umask", Box::new(|one| one.umask = None)),
        ("ready", Box::new(|one| one.ready = None)),
        ("ready", Box::new(|one| one.ready = Some(ReadyTest::NotifySystemd))),
        ("healthcheck", Box::new(|one| one.health = None)),
        ("healthcheck", Box::new(move |one| one.policy.health = health(OnUnhealthy::Restart))),
        ("pre_start", Box::new(|one| one.pre_start = None)),
        ("post_stop", Box::new(move |one| one.post_stop = job())),
        ("reload", Box::new(|one| one.reload = Reload::Signal(12))),
        ("schedule", Box::new(|one| one.schedule = None)),
        ("depends_on", Box::new(|one| one.dependencies = vec![needs(0, false)])),
        ("restart", Box::new(|one| one.policy.restart = Policy::default().restart)),
        ("max_restarts", Box::new(|one| one.policy.max_restarts = 77)),
        ("stop_signal", Box::new(|one| one.policy.stop_signal = signal::INT)),
        ("drain", Box::new(|one| one.policy.drain = Span(5))),
    ];
    let init: [(&str, Edit); 4] = [
        ("forward_signals", Box::new(|one| one.forward_signals = signal::Set::of(&[signal::USR1]))),
        ("on_exit", Box::new(|one| one.on_exit = OnEnd::Shutdown)),
        ("on_failure", Box::new(|one| one.on_failure = OnEnd::Shutdown)),
        ("autostart", Box::new(|one| one.autostart = false)),
    ];
    let run = |edit: &Edit| {
        let old = config(vec![alone("db"), alone("web")]);
        let mut new = old.clone();
        edit(&mut new.services[1]);
        from_to(&old, &new)
    };
    for (key, edit) in &service {
        let expected = vec![format!("~ web: {key}"), "= 1 unchanged".to_owned()];
        assert_eq!(run(edit), (vec![Fate::Keep, RENEW], expected), "{key}");
    }
    for (key, edit) in &init {
        let expected = vec![format!("~ web: {key} (nothing is restarted)"), "= 1 unchanged".to_owned()];
        assert_eq!(run(edit), (vec![Fate::Keep, Fate::Keep], expected), "{key}");
    }
    // Whether it is the container that ends when a service is unhealthy is for zei-init alone.
    let with = |on_unhealthy| {
        let mut one = alone("web");
        one.policy.health = health(on_unhealthy);
        config(vec![one])
    };
    let (fates, lines) = from_to(&with(OnUnhealthy::None), &with(OnUnhealthy::Shutdown));
    assert_eq!((fates, lines[0].as_str()), (vec![Fate::Keep], "~ web: healthcheck (nothing is restarted)"));
    // Where a service is defined says nothing.
    let mut moved = alone("web");
    moved.origin.file = PathBuf::from("/elsewhere");
    assert_eq!(from_to(&config(vec![alone("web")]), &config(vec![moved])).1, ["= 1 unchanged"]);
}

#[test]
fn the_keys_of_the_top_level_replace_nothing() {
    let old = config(vec![alone("db"), alone("web")]);
    let mut new = old.clone();
    new.shutdown_timeout = Span(1);
    new.exit = ExitRule { when: When::Service(1), code: Some(3), stop_code: None };
    new.signals.0[1] = SignalUse::Reload;
    let (fates, lines) = from_to(&old, &new);
    assert_eq!(fates, [Fate::Keep; 2]);
    assert_eq!(lines, ["~ zei-init: exit, shutdown_timeout, signals (nothing is restarted)", "= 2 unchanged"]);
}

#[test]
fn what_is_new_takes_the_place_of_what_is_gone_only_the_next_time() {
    let names = |plan: &[u8]| {
        let name = |index| Definitions(plan).name(index).map(|name| name.to_string());
        (0..Definitions(plan).count()).map(name).collect::<Vec<_>>()
    };
    let name = |text: &str| Some(text.to_owned());
    let first = plan_of(&config(vec![alone("a"), alone("b"), alone("c")]), &[]);
    let second = plan_of(&config(vec![alone("x"), alone("c"), alone("a")]), &first);
    assert_eq!(names(&second), [name("a"), None, name("c"), name("x")]);
    let change = compare(&first, &second, |_| None);
    assert_eq!(change.fates, [Fate::Keep, Fate::Remove, Fate::Keep, Fate::Add]);
    let third = plan_of(&config(vec![alone("c"), alone("a"), alone("x"), alone("y")]), &second);
    assert_eq!(names(&third), [name("a"), name("y"), name("c"), name("x")]);
    assert_eq!(compare(&second, &third, |_| None).fates, [Fate::Keep, Fate::Add, Fate::Keep, Fate::Keep]);
}

#[test]
fn how_a_service_stands_decides_whether_it_is_wanted_again() {
    let changed = ServiceSpec { umask: None, ..alone("web") };
    let idle = ServiceSpec { autostart: false, ..alone("web") };
    let idle_changed = ServiceSpec { umask: None, ..idle.clone() };
    let (up, down) = (Some(is(Phase::Running, true)), Some(is(Phase::Stopped, false)));
    for (old, new, now, expected) in [
        (alone("web"), changed.clone(), up, RENEW),
        (alone("web"), changed.clone(), down, RENEW),
        (alone("web"), changed.clone(), None, RENEW),
        (idle.clone(), idle_changed.clone(), None, RENEW),
        (idle.clone(), idle_changed.clone(), up, RENEW),
        (idle.clone(), alone("web"), down, START),
        (idle.clone(), alone("web"), up, Fate::Keep),
        (idle.clone(), changed, down, START),
        (alone("web"), idle, up, Fate::Keep),
        (alone("web"), idle_changed, down, RENEW),
        (alone("web"), alone("web"), down, Fate::Keep),
    ] {
        let first = plan_of(&config(vec![old.clone()]), &[]);
        let second = plan_of(&config(vec![new.clone()]), &first);
        assert_eq!(compare(&first, &second, |_| now).fates, [expected], "{old:?} {new:?} {now:?}");
    }
}

#[test]
fn only_what_runs_is_restarted_along_and_only_with_what_comes_up_again() {
    let web = |restart| ServiceSpec { dependencies: vec![needs(0, restart)], ..alone("web") };
    let api = ServiceSpec { dependencies: vec![needs(1, true)], ..alone("api") };
    let old = config(vec![alone("db"), web(true), api.clone()]);
    let mut new = old.clone();
    new.services[0].umask = None;
    let (first, second) = (plan_of(&old, &[]), plan_of(&new, &plan_of(&old, &[])));
    let with = |states: [Service; 3]| compare(&first, &second, |index| Some(states[index])).fates;
    let (up, down) = (is(Phase::Running, true), is(Phase::Stopped, false));
    assert_eq!(with([up, up, up]), [RENEW, RENEW, RENEW]);
    let all = compare(&first, &second, |_| Some(up));
    let lines: Vec<String> = all.lines.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["~ db: umask", "~ web: restarted with db", "~ api: restarted with web", "= 0 unchanged"]);
    assert!(!all.is_empty() && compare(&second, &second, |_| Some(up)).is_empty());
    assert_eq!(with([up, down, up]), [RENEW, Fate::Keep, Fate::Keep]);
    assert_eq!(with([up, is(Phase::Completed, true), up]), [RENEW, Fate::Keep, Fate::Keep]);
    assert_eq!(with([down, up, up]), [RENEW, Fate::Keep, Fate::Keep]);
    let old = config(vec![alone("db"), web(false), api]);
    let mut new = old.clone();
    new.services[0].umask = None;
    assert_eq!(from_to(&old, &new).0, [RENEW, Fate::Keep, Fate::Keep]);
}

#[test]
fn the_command_is_never_replaced_once_it_has_begun() {
    let cmd = |dependencies: Vec<Dependency>, umask| ServiceSpec { dependencies, umask, ..alone("cmd") };
    let first = plan_of(&config(vec![alone("db"), cmd(vec![needs(0, false)], None)]), &[]);
    let more = |umask| config(vec![alone("db"), alone("new"), cmd(vec![needs(0, false), needs(1, false)], umask)]);
    let lines = |second: &[u8], now| -> Vec<String> {
        compare(&first, second, |index| (index == 1).then_some(now)).lines.iter().map(ToString::to_string).collect()
    };
    let same = plan_of(&more(None), &first);
    let other = plan_of(&more(Some(0)), &first);
    let (running, waiting) = (is(Phase::Running, true), is(Phase::Waiting, true));
    assert_eq!(compare(&first, &same, |_| Some(running)).fates, [Fate::Keep, Fate::Keep, Fate::Add]);
    assert_eq!(lines(&same, running), ["+ new", "= 2 unchanged"]);
    let followed = plan_of(&config(vec![alone("db"), cmd(vec![needs(0, true)], None)]), &first);
    assert_eq!(lines(&followed, running), ["= 2 unchanged"]);
    assert_eq!(lines(&other, running)[0], "~ cmd: umask (when the container is started again)");
    assert_eq!(compare(&first, &other, |_| Some(running)).fates[1], Fate::Keep);
    assert_eq!(compare(&first, &same, |_| Some(waiting)).fates[1], RENEW);
}

fn any_config() -> impl Strategy<Value = Config> {
    let service = ("[a-f]", 0..3u32, any::<bool>(), any::<u8>(), any::<bool>());
    proptest::collection::vec(service, 1..6).prop_map(|parts| {
        let mut services: Vec<ServiceSpec> = Vec::new();
        for (name, umask, autostart, bits, restart) in parts {
            if services.iter().all(|known| known.name.as_str() != name) {
                let edges = (0..services.len()).filter(|index| bits & (1 << index) != 0);
                let dependencies = edges.map(|index| needs(index, restart)).collect();
                services.push(ServiceSpec { umask: Some(umask), autostart, dependencies, ..spec(&name) });
            }
        }
        config(services)
    })
}

proptest! {
    #[test]
    fn any_configuration_becomes_any_other_and_then_nothing_differs(
        first in any_config(), second in any_config(), third in any_config(), wants in any::<[bool; 8]>(),
    ) {
        let mut held = plan_of(&first, &[]);
        let now = |index: usize| {
            Some(if wants[index % 8] { is(Phase::Running, true) } else { is(Phase::Stopped, false) })
        };
        for config in [&first, &second, &third, &first] {
            let next = plan_of(config, &held);
            let (old, new) = (Definitions(&held), Definitions(&next));
            let change = compare(&held, &next, now);
            prop_assert_eq!(change.fates.len(), new.count());
            for (index, fate) in change.fates.iter().enumerate() {
                let (before, after) = (old.name(index), new.name(index));
                match fate {
                    Fate::None => prop_assert_eq!((before, after), (None, None)),
                    Fate::Add => prop_assert!(before.is_none() && after.is_some()),
                    Fate::Remove => prop_assert!(before.is_some() && after.is_none()),
                    // What stays has the same index, and what is left alone the same definition.
                    Fate::Renew { .. } => prop_assert!(before.is_some() && before == after),
                    Fate::Keep => {
                        prop_assert!(before.is_some() && before == after);
                        prop_assert!(old.differences(new, index).service.is_empty());
                    }
                }
            }
            let names = (0..new.count()).filter_map(|index| new.name(index)).collect::<std::collections::BTreeSet<_>>();
            prop_assert_eq!(names, config.services.iter().map(|service| service.name).collect());
            for (spec, index) in config.services.iter().filter_map(|spec| {
                Some((spec, (0..new.count()).find(|index| new.name(*index) == Some(spec.name))?))
            }) {
                let needs: Vec<_> = new.service(index).unwrap().needs().map(|needs| (new.name(needs.index.into()), needs.name)).collect();
                let expected: Vec<_> = spec.dependencies.iter().map(|edge| config.services[edge.service].name).collect();
                prop_assert_eq!(needs, expected.into_iter().map(|name| (Some(name), name)).collect::<Vec<_>>());
            }
            let again = compare(&next, &plan_of(config, &next), now);
            prop_assert!(again.is_empty(), "{:?}", again.lines);
            held = next;
        }
    }

    #[test]
    fn one_service_after_the_other_leads_to_the_same_as_all_at_once(first in any_config(), second in any_config()) {
        let held = plan_of(&first, &[]);
        let mut step = held.clone();
        // Dependencies stand before what depends on them.
        for service in &second.services {
            step = plan::extend(&second, Definitions(&step), &[service.name], &Terms::default()).unwrap();
        }
        for service in first.services.iter().rev() {
            let index = (0..).find(|index| Definitions(&step).name(*index) == Some(service.name));
            if second.services.iter().all(|other| other.name != service.name) {
                step = plan::forget(Definitions(&step), index.unwrap());
            }
        }
        let all = plan_of(&second, &step);
        let change = compare(&step, &all, |_| Some(is(Phase::Running, true)));
        prop_assert!(change.is_empty(), "{:?}", change.lines);
    }
}
