//! A plan is read back as it was made, and with one service more or one less all else in it stays as it was.

use super::*;
use crate::model::definition::tests::{spec, strings};
use crate::model::spec::{HealthPolicy, Job, Origin, Policy, Program};
use crate::protocol::sources::Found;
use crate::signal;

/// A service of this file that depends on these, and does not start with the container.
fn service(name: &str, file: &str, dependencies: &[usize]) -> ServiceSpec {
    let started = |service: &usize| edge(*service, Condition::Started, false);
    ServiceSpec {
        origin: Origin { file: PathBuf::from(file), line: 1 },
        dependencies: dependencies.iter().map(started).collect(),
        autostart: false,
        ready: None,
        ..spec(name)
    }
}

const fn edge(service: usize, condition: Condition, restart: bool) -> Dependency {
    Dependency { service, condition, restart }
}

fn source(path: &str, hash: u64) -> Source {
    Source { path: PathBuf::from(path), found: Found::File(hash) }
}

fn config(services: Vec<ServiceSpec>, sources: &[Source]) -> Config {
    Config {
        services,
        shutdown_timeout: Span::seconds(30),
        signals: SignalMap::default(),
        exit: ExitRule::default(),
        control_group: None,
        sources: sources.to_vec(),
    }
}

fn plan_of(config: &Config) -> Vec<u8> {
    encode(config, Definitions::default(), &Terms::default())
}

fn adding(files: &[&str]) -> Terms<'static> {
    Terms { added: files.iter().map(PathBuf::from).collect(), ..Terms::default() }
}

fn name(text: &str) -> ServiceName {
    ServiceName::parse(text).unwrap()
}

fn members(plan: &[u8]) -> Vec<Option<Member>> {
    Definitions(plan).outline().unwrap().services
}

/// What the whole of a plan says of paths: those that were added, and those that were read, each with its content.
fn files(plan: &[u8]) -> (Vec<PathBuf>, Vec<Source>) {
    (Definitions(plan).terms().added, Definitions(plan).sources())
}

fn paths(texts: &[&str]) -> Vec<PathBuf> {
    texts.iter().map(PathBuf::from).collect()
}

#[test]
fn the_terms_and_the_sources_of_a_plan_are_read_back_as_they_were_given() {
    let directory = Source { path: PathBuf::from("/etc/zei/zei.d"), found: Found::Directory };
    let absent = Source { path: PathBuf::from("/etc/zei/zei.yaml"), found: Found::Absent };
    let sources = [absent, directory, source("/etc/zei/zei.d/my web.yaml", 7)];
    let with_a_line_of_two = [&sources[..], &[source("/etc/a\nb.yaml", 1)]].concat();
    let environment = strings(&["A=0", "EMPTY=", "TWO=a=b\nc"]);
    let terms = Terms {
        environment: environment.iter().map(AsRef::as_ref).collect(),
        nofile: Some((1024, 4096)),
        config: paths(&["/etc/zei/zei.yaml", "/srv/zei.d"]),
        added: paths(&["/tmp/job.yaml", "/tmp/other job.yaml"]),
        invoker: Some(Identity { uid: 1000, gid: 50, groups: vec![50, 44] }),
    };
    let plan = encode(&config(vec![service("web", "/z", &[])], &with_a_line_of_two), Definitions::default(), &terms);
    let read = Definitions(&plan).terms();
    assert_eq!((&read.environment, read.nofile), (&terms.environment, terms.nofile));
    assert_eq!((&read.config, &read.added, &read.invoker), (&terms.config, &terms.added, &terms.invoker));
    assert_eq!(Definitions(&plan).sources(), sources);
    let plan = plan_of(&config(vec![service("web", "/z", &[])], &[]));
    let none = Definitions(&plan).terms();
    assert_eq!((none.environment, none.nofile, none.config, none.added), (vec![], None, vec![], vec![]));
    assert_eq!(Definitions(&plan).sources(), []);
}

#[test]
fn what_holds_for_the_whole_is_read_back_as_it_was_given() {
    let mut signals = SignalMap::default();
    let uses = [SignalUse::Shutdown, SignalUse::Forward, SignalUse::Reload, SignalUse::Ignore];
    signals.0.iter_mut().zip(uses.iter().cycle()).for_each(|(slot, meaning)| *slot = *meaning);
    for (when, code, stop_code) in
        [(When::All, None, None), (When::Any, Some(0), None), (When::Service(1), None, Some(3))]
    {
        let exit = ExitRule { when, code, stop_code };
        let services = vec![service("db", "/z", &[]), service("web", "/z", &[0]), service("cmd", "", &[0])];
        let whole = Config { signals: signals.clone(), shutdown_timeout: Span(77), exit, ..config(services, &[]) };
        let outline = Definitions(&plan_of(&whole)).outline().unwrap();
        assert_eq!((outline.signals, outline.shutdown_timeout, outline.exit), (signals.clone(), Span(77), exit));
        assert_eq!(outline.command, Some(2));
    }
    for control_group in [None, Some(0), Some(4242)] {
        let whole = Config { control_group, ..config(vec![service("db", "/z", &[])], &[]) };
        assert_eq!(Definitions(&plan_of(&whole)).outline().unwrap().control_group, control_group);
    }
    let without_command = plan_of(&config(vec![service("db", "/z", &[])], &[]));
    assert_eq!(Definitions(&without_command).outline().unwrap().command, None);
    assert!(Definitions(&[]).outline().is_none());
}

#[test]
fn each_service_is_read_back_with_all_that_the_tree_has_to_know_of_it() {
    let second = Span::seconds(1);
    let health = HealthPolicy {
        interval: second,
        timeout: second,
        retries: 3,
        start_period: second,
        start_interval: second,
        on_unhealthy: OnUnhealthy::Shutdown,
    };
    let plain = service("db", "/z", &[]);
    let ends = ServiceSpec {
        identity: None,
        on_exit: OnEnd::Shutdown,
        policy: Policy { health: Some(health), stop_signal: signal::INT, ..Policy::default() },
        ..service("web", "/z", &[])
    };
    let fails = ServiceSpec {
        on_failure: OnEnd::Shutdown,
        policy: Policy { health: Some(HealthPolicy { on_unhealthy: OnUnhealthy::Restart, ..health }), ..plain.policy },
        forward_signals: Set::of(&[signal::HUP, signal::USR1]),
        dependencies: vec![
            edge(0, Condition::Healthy, true),
            edge(1, Condition::Started, false),
            edge(2, Condition::Completed, true),
        ],
        autostart: true,
        ..service("api", "/z", &[])
    };
    let job = service("migrate", "/z", &[0]);
    let plan = plan_of(&config(vec![plain, ends, job, fails, service("idle", "/z", &[3])], &[]));
    // What starts with the container takes along what it depends on.
    let node = Node { wanted: true, ..Node::default() };
    let member = |name: ServiceName, node: Node| Member {
        name,
        node,
        forward_signals: Set::EMPTY,
        stop_signal: signal::TERM,
        voice: None,
        uid: Some(33),
        autostart: false,
    };
    let expected = [
        member(name("db"), node.clone()),
        Member {
            uid: None,
            stop_signal: signal::INT,
            ..member(
                name("web"),
                Node { on_exit: OnEnd::Shutdown, on_unhealthy: OnUnhealthy::Shutdown, ..node.clone() },
            )
        },
        member(name("migrate"), Node { dependencies: vec![0], ..node.clone() }),
        Member {
            forward_signals: Set::of(&[signal::HUP, signal::USR1]),
            autostart: true,
            ..member(
                name("api"),
                Node {
                    dependencies: vec![0, 1, 2],
                    healthy: vec![0],
                    follows: vec![0, 2],
                    on_failure: OnEnd::Shutdown,
                    ..node.clone()
                },
            )
        },
        member(name("idle"), Node { dependencies: vec![3], wanted: false, ..node }),
    ];
    assert_eq!(members(&plan), expected.map(Some));
    let needs = "db service_healthy restart\nweb service_started\nmigrate service_completed_successfully restart\n";
    let files = [0, 2, 3, 4, 5].map(|index| Definitions(&plan).needs_file(index));
    assert_eq!(files, ["", "db service_started\n", needs, "api service_started\n", ""]);
}

#[test]
fn who_tells_that_it_is_ready_or_alive_has_a_voice_for_it() {
    let asked = || Some(ReadyTest::Job(Job { program: Program::Own, arguments: strings(&["true"]) }));
    for (ready, watched, unwatched) in [
        (None, Some(Voice::Socket), None),
        (asked(), Some(Voice::Socket), None),
        (Some(ReadyTest::NotifySystemd), Some(Voice::Socket), Some(Voice::Socket)),
        (Some(ReadyTest::NotifyFd(3)), Some(Voice::Pipe), Some(Voice::Pipe)),
        (Some(ReadyTest::Log("up".into())), Some(Voice::Pipe), Some(Voice::Pipe)),
    ] {
        for (watchdog, voice) in [(None, unwatched), (Some(Span(9)), watched)] {
            let policy = Policy { watchdog, ..Policy::default() };
            let one = ServiceSpec { ready: ready.clone(), policy, ..service("web", "/z", &[]) };
            let plan = plan_of(&config(vec![service("db", "/z", &[]), one], &[]));
            let voices = members(&plan).into_iter().map(|member| member.unwrap().voice).collect::<Vec<_>>();
            assert_eq!(voices, [None, voice], "{ready:?} {watchdog:?}");
            assert_eq!([0, 1, 2].map(|index| Definitions(&plan).voice(index)), [None, voice, None]);
        }
    }
}

#[test]
fn one_service_more_is_a_dependency_of_the_command_if_the_configuration_says_so_and_all_else_stays() {
    let cmd = |umask, dependencies| ServiceSpec { umask, dependencies, ..service("cmd", "", &[]) };
    let followed = |index| edge(index, Condition::Started, true);
    let first = plan_of(&config(vec![service("db", "/z", &[]), cmd(Some(0), vec![followed(0)])], &[]));
    let healthy = edge(1, Condition::Healthy, false);
    let services = vec![
        ServiceSpec { umask: Some(7), ..service("db", "/z", &[]) },
        service("web", "/z", &[0]),
        service("other", "/z", &[]),
        cmd(Some(7), vec![followed(0), healthy, followed(2)]),
    ];
    let second = config(services, &[]);
    let plan = extend(&second, Definitions(&first), &[name("web")], &Terms::default()).unwrap();
    let read = |plan: &[u8], index| {
        let definition = Definitions(plan).service(index).unwrap();
        let node = members(plan)[index].clone().unwrap().node;
        (definition.name.to_string(), definition.umask, node.dependencies, Definitions(plan).needs_file(index))
    };
    let of = |name: &str, umask, dependencies: &[usize], needs: &str| {
        (name.to_owned(), Some(umask), dependencies.to_vec(), needs.to_owned())
    };
    assert_eq!(Definitions(&plan).count(), 3);
    assert_eq!(read(&plan, 0), of("db", 0o27, &[], ""));
    assert_eq!(read(&plan, 1), of("cmd", 0, &[0, 2], "db service_started restart\nweb service_healthy\n"));
    assert_eq!(read(&plan, 2), of("web", 0o27, &[0], "db service_started\n"));
    // What is there already becomes what the configuration makes of it, and nobody depends on it twice.
    let again = extend(&second, Definitions(&plan), &[name("db"), name("web")], &Terms::default()).unwrap();
    assert_eq!(read(&again, 0), of("db", 7, &[], ""));
    assert_eq!([1, 2].map(|index| read(&again, index)), [1, 2].map(|index| read(&plan, index)));
}

#[test]
fn a_service_whose_dependency_is_in_no_plan_is_refused_unless_that_comes_with_it() {
    let first = plan_of(&config(vec![service("db", "/z", &[])], &[]));
    let services = vec![service("db", "/z", &[]), service("cache", "/z", &[0]), service("web", "/z", &[0, 1])];
    let second = config(services, &[]);
    let with = |chosen: &[ServiceName]| extend(&second, Definitions(&first), chosen, &Terms::default());
    assert_eq!(with(&[name("web")]), Err(vec![name("cache")]));
    let plan = with(&[name("web"), name("cache")]).unwrap();
    let names = (0..3).map(|index| Definitions(&plan).name(index).unwrap().to_string()).collect::<Vec<_>>();
    assert_eq!(names, ["db", "cache", "web"]);
}

#[test]
fn a_file_counts_as_read_again_only_when_all_that_it_defines_was_taken() {
    let services = || {
        vec![
            service("a", "/one.yaml", &[]),
            service("b", "/both.yaml", &[]),
            service("c", "/both.yaml", &[]),
            service("new", "/new.yaml", &[]),
            service("later", "/later.yaml", &[]),
        ]
    };
    let known = ["/top.yaml", "/one.yaml", "/both.yaml"];
    let read = |hash| known.map(|path| source(path, hash));
    let first = config(services()[..3].to_vec(), &read(1));
    let first = encode(&first, Definitions::default(), &adding(&["/former.yaml"]));
    let all = [&read(2)[..], &[source("/new.yaml", 2), source("/later.yaml", 2)]].concat();
    let second = config(services(), &all);
    let terms = adding(&["/former.yaml", "/new.yaml"]);
    for (chosen, hashes, new) in [
        (vec!["a"], [1, 2, 1], None),
        (vec!["b"], [1, 1, 1], None),
        (vec!["b", "c"], [1, 1, 2], None),
        (vec!["new"], [1, 1, 1], Some(2)),
        (vec!["new", "b", "c"], [1, 1, 2], Some(2)),
    ] {
        let names: Vec<ServiceName> = chosen.iter().map(|text| name(text)).collect();
        let plan = extend(&second, Definitions(&first), &names, &terms).unwrap();
        let expected = known.iter().zip(hashes).map(|(path, hash)| source(path, hash));
        let expected: Vec<Source> = expected.chain(new.map(|hash| source("/new.yaml", hash))).collect();
        assert_eq!(files(&plan), (terms.added.clone(), expected), "{chosen:?}");
    }
}

#[test]
fn what_is_forgotten_leaves_a_hole_and_nobody_depends_on_it_any_more() {
    let services: Vec<ServiceSpec> = (0..11).map(|number| service(&format!("s{number}"), "/z", &[])).collect();
    let cmd = service("cmd", "", &[0, 1, 10]);
    let plan = plan_of(&config(services.into_iter().chain([cmd]).collect(), &[]));
    let left = forget(Definitions(&plan), 1);
    let (before, after) = (members(&plan), members(&left));
    assert_eq!((Definitions(&left).count(), &after[1]), (12, &None));
    assert!(Definitions(&left).service(1).is_none());
    for index in (0..11).filter(|index| *index != 1) {
        assert_eq!((&before[index], index), (&after[index], index));
        let (old, new) = (Definitions(&plan), Definitions(&left));
        assert_eq!(old.service_section(index).unwrap().0, new.service_section(index).unwrap().0);
    }
    let cmd = after[11].clone().unwrap();
    assert_eq!((cmd.name, cmd.node.dependencies), (ServiceName::CMD, vec![0, 10]));
    assert_eq!(Definitions(&left).needs_file(11), "s0 service_started\ns10 service_started\n");
}

#[test]
fn a_file_that_was_added_is_read_no_more_when_the_last_of_its_services_is_forgotten() {
    let services = vec![
        service("a", "/zei.yaml", &[]),
        service("b", "/both.yaml", &[]),
        service("c", "/both.yaml", &[]),
        service("d", "/one.yaml", &[]),
    ];
    let read = ["/zei.yaml", "/both.yaml", "/one.yaml"].map(|path| source(path, 5));
    let [zei, both, one] = read.clone();
    let plan = encode(&config(services, &read), Definitions::default(), &adding(&["/both.yaml", "/one.yaml"]));
    let without = |plan: &[u8], index| forget(Definitions(plan), index);
    // What was not added stays, whoever is left of it: it is read again at the next start.
    assert_eq!(files(&without(&plan, 0)), files(&plan));
    assert_eq!(files(&without(&plan, 3)), (paths(&["/both.yaml"]), vec![zei.clone(), both]));
    let left = without(&plan, 1);
    assert_eq!(files(&left), files(&plan));
    assert_eq!(files(&without(&left, 2)), (paths(&["/one.yaml"]), vec![zei, one]));
    // A hole has no file.
    assert_eq!(without(&left, 1), left);
}

#[test]
fn lines_are_labelled_where_two_services_write_but_never_the_commands() {
    use crate::model::spec::{Output, is_labelled};
    let writer = |name| ServiceSpec { stdout: Output::Inherit, log: None, ..service(name, "/z", &[]) };
    let hushed = |name| ServiceSpec { stdout: Output::Null, ..writer(name) };
    for (services, labelled) in [
        (vec![writer("a"), hushed("b")], [false, false]),
        (vec![writer("a"), writer("b")], [true, true]),
        (vec![writer("a"), writer("cmd")], [true, false]),
        (vec![hushed("a"), hushed("b")], [false, false]),
    ] {
        let config = config(services, &[]);
        let plan = plan_of(&config);
        assert_eq!([0, 1].map(|index| Definitions(&plan).is_labelled(index)), labelled, "{config:?}");
        assert_eq!(is_labelled(&config.services), labelled[0]);
    }
}
