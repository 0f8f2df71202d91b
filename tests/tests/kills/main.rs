//! A supervisor that is killed at any of its system calls: nothing is lost, nothing runs twice.
//!
//! Each scenario is run once to count the calls, and then with a kill at the entry of each of them, many points in one
//! tree, each with a service of its own. A sample of the points, unless `ZEI_EVERY_POINT` is set.

mod client;
mod init;
mod scenarios;

use std::collections::BTreeMap;
use zei::protocol::status::{State, Status};
use zei_tests::process::{children, is_alive, kill, name, state};
use zei_tests::tracer::{Aim, Tracer};
use zei_tests::tree::{Plan, Tree};
use zei_tests::{eventually, program};

const SINGLE: &str = env!("CARGO_BIN_EXE_single");
/// So many points share a tree.
const TOGETHER: usize = 12;
/// So many points of a scenario are a sample.
const SAMPLE: u64 = 6;

/// What a supervisor does while it is killed.
struct Scenario {
    name: &'static str,
    /// What the service does beside living: words of `single`.
    words: &'static str,
    /// Its keys.
    keys: &'static str,
    /// It is killed from the begin of the tree on.
    boots: bool,
    /// Not it, but its successors are killed.
    successor: bool,
    /// It has begun, and may be killed from now on.
    begun: fn(&Status) -> bool,
    /// What is done then to all of them.
    act: fn(&Tree, &[Service]),
    /// Whether it has come to what was asked for; what stood before comes first.
    reached: fn(&Service, &Status) -> bool,
    /// How many processes it has been by then.
    starts: u32,
    /// Its calls go on by themselves, so they are not waited for to end.
    endless: bool,
}

/// A service of a tree, as it stood before something was done.
struct Service {
    name: String,
    before: Status,
}

/// Whether all points are wanted.
fn every_point() -> bool {
    std::env::var_os("ZEI_EVERY_POINT").is_some_and(|value| !value.is_empty() && value != "0")
}

/// Those of `count` points that are tried.
fn points(count: u64) -> Vec<u64> {
    let step = if every_point() { 1 } else { count.div_ceil(SAMPLE).max(1) };
    // It begins where the count says, so that a program that changes has others tried.
    (1 + count % step..=count).step_by(usize::try_from(step).unwrap()).collect()
}

/// Runs a scenario with a kill at each of its points; how many there are.
fn kill_everywhere(scenario: &Scenario) -> u64 {
    let counted = round(scenario, &[u64::MAX, u64::MAX]);
    // It looks at what there is in /proc, so how many calls that takes depends on what else there is just then.
    let calls = counted.iter().map(|aim| aim.calls);
    let count = if every_point() { calls.max() } else { calls.min() }.unwrap();
    assert!(count > 5, "{}: {counted:?}", scenario.name);
    let (mut killed, tried) = (0, points(count));
    for some in tried.chunks(TOGETHER) {
        killed += round(scenario, some).iter().filter(|aim| aim.killed.is_some()).count();
    }
    println!("{}: {count} points, {} tried, {killed} killed", scenario.name, tried.len());
    assert!(killed * 2 >= tried.len(), "{}: {killed} of {}", scenario.name, tried.len());
    count
}

/// One tree with a service for each of these points.
fn round(scenario: &Scenario, points: &[u64]) -> Vec<Aim> {
    let names: Vec<String> = points.iter().enumerate().map(|(index, _)| format!("s{index}")).collect();
    let service = |name: &String| {
        let words: String = scenario.words.split_ascii_whitespace().map(|word| format!(", {word}")).collect();
        format!("  {name}: {{command: ['@D/single', '@J', {name}, '@D/{name}.lock'{words}], {}}}\n", scenario.keys)
    };
    let yaml = format!("defaults: {{log: inherit}}\nservices:\n{}", names.iter().map(service).collect::<String>());
    // It is looked for beside the supervisor.
    let _cron = program("zei-cron");
    let plan = Plan::new(&yaml).install("single", SINGLE).wrapper(&Tracer::WORDS);
    let aims = names.iter().cloned().zip(points.iter().map(|at| Aim { at: *at, ..Aim::default() }));
    let aims: BTreeMap<String, Aim> = aims.collect();
    let tracer = Tracer::new(plan.directory(), if scenario.boots { aims.clone() } else { BTreeMap::new() });
    let mut tree = plan.start();
    let begin = |name: &String| {
        let before = tree.until(name, "begun", scenario.begun);
        is_up(&tree, name, 1);
        Service { name: name.clone(), before }
    };
    let services: Vec<Service> = names.iter().map(begin).collect();
    if !scenario.boots {
        for Service { name, before } in &services {
            let spared = scenario.successor.then_some(before.supervisor);
            tracer.set(name, Aim { spared, ..aims[name].clone() });
        }
    }
    (scenario.act)(&tree, &services);
    let told: Vec<Aim> = services.iter().map(|service| settle(scenario, &tree, &tracer, service)).collect();
    services.iter().zip(&told).for_each(|(service, aim)| check(scenario, &tree, service, aim));
    is_stopped(scenario, &tree, &services, &told);
    assert_eq!(tree.stop().0, 0, "{tree:?}");
    tracer.join();
    told
}

/// Waits until a service is where it should be, and its supervisor, whichever that is, has nothing left to do.
fn settle(scenario: &Scenario, tree: &Tree, tracer: &Tracer, service: &Service) -> Aim {
    let name = &service.name;
    loop {
        let before = tracer.get(name);
        let what = format!("{} (killed at {:?})", scenario.name, before.call);
        let status = tree.until(name, &what, |status| {
            (scenario.reached)(service, status) && Some(status.supervisor) != tracer.get(name).killed
        });
        if scenario.endless {
            if tracer.get(name).killed.is_some() || tracer.get(name).at == u64::MAX {
                return tracer.disarm(name);
            }
            // It goes on by itself until it comes to that call.
            let run = status.run;
            tree.until(name, "in another run", |status| status.run > run || tracer.get(name).killed.is_some());
            continue;
        }
        let waits = |pid: u32| state(pid).as_deref() == Some("S");
        let changes = || tracer.get(name).calls != before.calls || tracer.get(name).killed != before.killed;
        eventually("at rest", || waits(status.supervisor) || changes() || !is_alive(status.supervisor));
        if changes() || !is_alive(status.supervisor) {
            continue;
        }
        let aim = tracer.disarm(name);
        if aim.killed == before.killed && aim.calls == before.calls {
            return aim;
        }
        tracer.set(name, Aim { at: before.at, ..aim });
    }
}

/// The pids behind a word in the lines of a service.
fn told(tree: &Tree, service: &str, word: &str) -> Vec<u32> {
    let begin = format!("{service} {word} ");
    tree.journal.all().iter().filter_map(|line| line.strip_prefix(&begin)?.parse().ok()).collect()
}

/// Waits until so many runs have said that they are up: a program may need some time from its exec to that.
fn is_up(tree: &Tree, service: &str, runs: u32) -> Vec<u32> {
    let begin = format!("{service} up ");
    let all = |lines: &[String]| lines.iter().filter(|line| line.starts_with(&begin)).count();
    let enough = |lines: &[String]| (all(lines) >= usize::try_from(runs).unwrap()).then_some(());
    tree.journal.listen(&format!("run {runs} of {service}"), enough);
    told(tree, service, "up")
}

fn check(scenario: &Scenario, tree: &Tree, service: &Service, aim: &Aim) {
    let Service { name, before } = service;
    let status = tree.status(name).unwrap();
    let place = format!("{} {name}, killed at call {} ({}): {before:?} {status:?}", scenario.name, aim.calls, aim.call);
    assert_eq!(told(tree, name, "double"), [] as [u32; 0], "{place} {tree:?}");
    if scenario.endless {
        return;
    }
    let up = is_up(tree, name, scenario.starts);
    assert_eq!(up.len(), usize::try_from(scenario.starts).unwrap(), "{place} {tree:?}");
    // One that was cut short when its hook had begun is counted, and another one takes its place.
    let seen = u32::from(aim.killed.is_some() && scenario.keys.contains("pre_start"));
    assert!((scenario.starts..=scenario.starts + seen).contains(&status.run), "{place} {tree:?}");
    if status.state == State::Running {
        assert_eq!(status.pid, up.last().copied(), "{place}");
        assert!(is_alive(status.pid.unwrap()), "{place}");
    }
}

/// All services are stopped, and nothing of them is left, but their supervisors.
fn is_stopped(scenario: &Scenario, tree: &Tree, services: &[Service], aims: &[Aim]) {
    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    tree.ask(&format!("stop {} --timeout 50", names.join(" ")));
    for (name, aim) in names.iter().zip(aims) {
        let place = format!("{name}, killed at call {} ({}): {tree:?}", aim.calls, aim.call);
        let status = tree.status(name).unwrap();
        assert_eq!((status.state, status.pid), (State::Stopped, None), "{place}");
        let (up, left) = (told(tree, name, "up"), told(tree, name, "child"));
        // The last run of a job may have been ended before it said so.
        let (runs, fewer) = (usize::try_from(status.run).unwrap(), usize::from(scenario.endless) + 1);
        assert!(up.len() <= runs && up.len() + fewer >= runs, "{up:?} {status:?} {place}");
        let alive: Vec<u32> = up.into_iter().chain(left).filter(|pid| is_alive(*pid)).collect();
        assert!(alive.is_empty(), "{alive:?} {place}");
    }
    // No zombie either, and no supervisor too many.
    eventually("but one supervisor for each", || {
        let names: Vec<Option<String>> = tree.descendants().into_iter().map(name).collect();
        names.len() == services.len() && names.iter().all(|name| name.as_deref() == Some("zei-supervise"))
    });
    assert_eq!(children(tree.init).len(), services.len());
}

/// Kills the main process's supervisor from outside, so that another one takes over.
fn orphan(service: &Service) {
    kill(service.before.supervisor, zei::signal::KILL);
}
