//! Checks of services' health: what they say, and that nothing of them is left.

use std::fs::{self, File};
use std::time::{Duration, Instant};
use zei::protocol::status::{Health, State};
use zei::signal;
use zei_tests::eventually;
use zei_tests::process::{self, descendants, is_alive, name};
use zei_tests::tree::{Plan, Tree, is_root};

fn until_health(tree: &Tree, health: Health) -> zei::protocol::status::Status {
    tree.until("web", health.word(), |status| status.health == health)
}

/// How many processes of this name are below a service's supervisor.
fn count(tree: &Tree, program: &str) -> usize {
    let supervisor = tree.status("web").unwrap().supervisor;
    descendants(supervisor).into_iter().filter(|pid| name(*pid).as_deref() == Some(program)).count()
}

#[test]
fn health_follows_the_check_and_dependents_wait_for_the_first_success() {
    let tree = Tree::start(
        "services:\n  web:\n    command: [sleep, infinity]\n    healthcheck: {test: [CMD-SHELL, \
         'test -e $D/flag || { echo no flag >&2; exit 1; }'], interval: 20ms, retries: 2}\n  \
         app: {command: [sleep, infinity], depends_on: {web: {condition: service_healthy}}}\n",
    );
    let status = until_health(&tree, Health::Unhealthy);
    assert_eq!((status.state, status.reason.as_str()), (State::Running, "unhealthy:no flag"));
    tree.err.expect("zei-supervise web: unhealthy (no flag)");
    assert_eq!(tree.status("app").unwrap().state, State::Waiting);
    let flag = tree.directory().join("flag");
    File::create(&flag).unwrap();
    let status = until_health(&tree, Health::Healthy);
    assert_eq!((status.state, status.reason.as_str(), status.ready), (State::Running, "", true));
    tree.err.expect("zei-supervise web: healthy again");
    let app = tree.pid("app");
    fs::remove_file(&flag).unwrap();
    until_health(&tree, Health::Unhealthy);
    // Whoever has started stays.
    assert_eq!(tree.status("app").unwrap().pid, Some(app));
    assert_eq!((tree.status("web").unwrap().restarts, tree.status("web").unwrap().run), (0, 1));
}

#[test]
fn in_the_start_period_failures_do_not_count_and_a_success_ends_it() {
    let tree = Tree::start(
        "services:\n  web:\n    command: [sleep, infinity]\n    healthcheck: {test: 'echo check >$J; test -e $D/flag', \
         interval: 20ms, retries: 1, start_period: 1h, start_interval: 20ms}\n",
    );
    tree.journal.listen("ten checks", |lines| (lines.len() >= 10).then_some(()));
    assert_eq!(tree.status("web").unwrap().health, Health::Starting);
    let flag = tree.directory().join("flag");
    File::create(&flag).unwrap();
    until_health(&tree, Health::Healthy);
    fs::remove_file(&flag).unwrap();
    until_health(&tree, Health::Unhealthy);
}

#[test]
fn an_unhealthy_service_is_restarted_where_that_is_wanted() {
    let tree = Tree::start(
        "services:\n  web:\n    command: [sleep, infinity]\n    restart_delay: 0\n    healthcheck: {test: \
         'test -e $D/flag', interval: 20ms, retries: 2, on_unhealthy: restart}\n",
    );
    let first = tree.pid("web");
    tree.err.expect("ended (unhealthy:signal:TERM); starting again");
    File::create(tree.directory().join("flag")).unwrap();
    let status = tree.until("web", "healthy again", |status| status.health == Health::Healthy && status.run > 1);
    assert!(status.pid != Some(first) && status.restarts >= 1, "{status:?}");
}

/// A check that never ends, with a child and a grandchild in a session of its own.
const HUNG: &str = "sleep 1001 & (setsid sleep 1002 &); echo check $$ >$J; wait";

#[test]
fn a_check_that_hangs_is_killed_with_all_that_it_has_made_and_the_service_stays() {
    let tree = Tree::start(&format!(
        "services:\n  web:\n    command: [tail, -f, /dev/null]\n    healthcheck: {{test: '{HUNG}', interval: 20ms, \
         timeout: 300ms, retries: 2}}\n"
    ));
    let status = until_health(&tree, Health::Unhealthy);
    assert_eq!(status.reason.as_str(), "unhealthy:timed out");
    let checks = tree.journal.listen("three checks", |lines| (lines.len() >= 3).then(|| lines.to_vec()));
    // None is begun before the one before it is gone.
    for check in checks.iter().take(2) {
        let pid = check.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(!is_alive(pid), "{checks:?}");
    }
    assert!(count(&tree, "sleep") <= 2 && count(&tree, "tail") == 1);
    assert_eq!(tree.status("web").unwrap().pid, status.pid);
}

#[test]
fn a_stop_does_not_wait_for_a_check_and_leaves_nothing_of_it() {
    let tree = Tree::start(&format!(
        "services:\n  web:\n    command: [tail, -f, /dev/null]\n    stop_grace_period: 60s\n    \
         healthcheck: {{test: '{HUNG}', interval: 20ms, timeout: 1h}}\n"
    ));
    tree.journal.expect("check");
    let before = descendants(tree.status("web").unwrap().supervisor);
    let began = Instant::now();
    tree.ask("stop web");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(before.len() >= 4 && !before.iter().any(|pid| is_alive(*pid)), "{before:?}");
    assert_eq!(tree.status("web").unwrap().health, Health::None);
}

#[test]
fn a_check_is_over_before_its_service_takes_its_time_to_end() {
    let tree = Tree::start(&format!(
        "services:\n  web:\n    shell: 'trap \"echo asked >$J; read x <$D/go; exit 0\" TERM; sleep infinity & wait'\n    \
         stop_grace_period: 1h\n    healthcheck: {{test: '{HUNG}', interval: 20ms, timeout: 1h}}\n"
    ));
    nix::unistd::mkfifo(&tree.directory().join("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let check = tree.journal.expect("check").rsplit(' ').next().unwrap().parse().unwrap();
    tree.echo("web", "- stop");
    tree.journal.expect("asked");
    eventually("over", || !is_alive(check));
    fs::write(tree.directory().join("go"), "go\n").unwrap();
    tree.until_state("web", State::Stopped);
}

#[test]
fn of_a_check_nothing_is_left_when_its_supervisor_was_killed() {
    let tree = Tree::start(&format!(
        "services:\n  web:\n    command: [tail, -f, /dev/null]\n    restart: always\n    restart_delay: 0\n    \
         healthcheck: {{test: '{HUNG}', interval: 20ms, timeout: 1h}}\n"
    ));
    tree.journal.expect("check");
    let status = tree.status("web").unwrap();
    let before = descendants(status.supervisor);
    process::kill(status.supervisor, signal::KILL);
    let after = tree.until("web", "taken over", |now| now.supervisor != status.supervisor);
    assert_eq!((after.state, after.pid), (State::Running, status.pid));
    let left: Vec<u32> = before.iter().copied().filter(|pid| is_alive(*pid)).collect();
    assert_eq!((before.len() >= 4, left), (true, vec![status.pid.unwrap()]), "{before:?}");
    // The next one is made at once.
    tree.journal.listen("another check", |lines| (lines.len() >= 2).then_some(()));
}

#[test]
fn what_a_check_leaves_behind_goes_with_it() {
    let tree = Tree::start(
        "services:\n  web:\n    command: [tail, -f, /dev/null]\n    healthcheck: {test: \
         '(setsid sleep 1003 &); sleep 1004 & echo check >$J; exit 0', interval: 20ms}\n",
    );
    until_health(&tree, Health::Healthy);
    tree.journal.listen("five checks", |lines| (lines.len() >= 5).then_some(()));
    // No more than the last one can have.
    eventually("few", || count(&tree, "sleep") <= 2);
    tree.ask("stop web");
    assert_eq!(count(&tree, "sleep"), 0);
}

#[test]
fn a_check_is_made_as_the_service_is_and_much_output_is_no_harm() {
    if !is_root() {
        return;
    }
    let tree = Plan::new(
        "services:\n  web:\n    command: [sleep, infinity]\n    user: '4242:4343'\n    working_dir: /usr\n    \
         umask: '027'\n    environment: {OWN: yes}\n    healthcheck: {interval: 20ms, retries: 1, test: \
         'echo $(id -u):$(id -g) $(pwd) $(umask) $OWN $ZEI_SERVICE $MAINPID >$J; yes | head -c 300000; \
         echo the end; exit 1'}\n",
    )
    .start();
    let status = until_health(&tree, Health::Unhealthy);
    let line = tree.journal.expect("4242");
    assert_eq!(line, format!("4242:4343 /usr 0027 yes web {}", status.pid.unwrap()));
    assert!(status.reason.starts_with("unhealthy:") && status.reason.contains("y y y"), "{status:?}");
    tree.err.expect("the end)");
}

#[test]
fn a_check_that_cannot_be_made_is_a_failed_one_and_is_told_once() {
    let tree = Tree::start(
        "services:\n  web: {command: [sleep, infinity], healthcheck: {test: [CMD, /no/such/check], interval: 20ms, \
         retries: 3}}\n",
    );
    let status = until_health(&tree, Health::Unhealthy);
    assert_eq!(status.reason.as_str(), "unhealthy:cannot execute the program: No such file or directory");
    let told = tree.err.all();
    let told: Vec<&String> = told.iter().filter(|line| line.contains("healthcheck: cannot")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}
