//! Services that run by a schedule, and readiness and health by zei-probe.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use zei::protocol::status::{Health, State};
use zei_tests::program;
use zei_tests::tree::{Plan, Tree};

/// Beside zei-supervise lies what it needs for these keys.
fn tree(yaml: &str) -> Tree {
    let _both = [program("zei-cron"), program("zei-probe")];
    Plan::new(yaml).start()
}

#[test]
fn a_scheduled_service_runs_at_each_slot_and_never_twice_at_once() {
    let tree = tree(
        "services:\n  job:\n    shell: 'mkdir $D/running || echo overlap >$J; echo run $(date +%s.%N) >$J; sleep 0.3; \
         rmdir $D/running'\n    oneshot: true\n    schedule: '* * * * * *'\n",
    );
    let status = tree.until("job", "scheduled", |status| status.state == State::Scheduled && status.next.is_some());
    assert_eq!((status.run, status.pid), (0, None));
    let lines = tree.journal.listen("three runs", |lines| (lines.len() >= 3).then(|| lines.to_vec()));
    let times: Vec<f64> = lines.iter().map(|line| line.strip_prefix("run ").unwrap().parse().unwrap()).collect();
    for pair in times.windows(2) {
        // Each begins in a second of its own, not long after it has begun itself.
        assert!(pair[1].floor() > pair[0].floor(), "{lines:?}");
    }
    assert!(tree.until_state("job", State::Scheduled).restarts == 0);
}

#[test]
fn a_slot_far_away_is_waited_for_and_a_start_by_hand_does_not_wait() {
    let tree = tree(
        "services:\n  job: {shell: 'echo run >$J', oneshot: true, schedule: '0 0 1 1 *', \
         environment: {TZ: Europe/Berlin}}\n  hold: {command: [sleep, infinity]}\n",
    );
    let before = tree.until("job", "scheduled", |status| status.next.is_some());
    tree.ask("start job");
    tree.journal.expect("run");
    let after = tree.until("job", "scheduled again", |status| status.next.is_some() && status.run == 1);
    // The wall clock is read in milliseconds, twice.
    assert!(after.next.unwrap().abs_diff(before.next.unwrap()) < 1000, "{before:?} {after:?}");
    tree.ask("stop job");
    assert_eq!(tree.status("job").unwrap().state, State::Stopped);
}

#[test]
fn a_supervisor_that_replaces_a_killed_one_waits_for_the_same_slot() {
    let tree = tree(
        "services:\n  job: {shell: 'echo run >$J', oneshot: true, schedule: '0 0 1 1 *'}\n  \
         hold: {command: [sleep, infinity]}\n",
    );
    let before = tree.until("job", "scheduled", |status| status.next.is_some());
    zei_tests::process::kill(before.supervisor, zei::signal::KILL);
    let after =
        tree.until("job", "scheduled", |status| status.next.is_some() && status.supervisor != before.supervisor);
    assert!(after.next.unwrap().abs_diff(before.next.unwrap()) < 1000 && after.run == 0, "{before:?} {after:?}");
    assert!(tree.journal.all().is_empty());
}

#[test]
fn a_waiting_schedule_has_no_process_and_one_alarm() {
    let tree = tree("services:\n  job: {command: ['true'], oneshot: true, schedule: '0 0 1 1 *'}\n");
    let status = tree.until("job", "scheduled", |status| status.next.is_some());
    assert!(zei_tests::process::children(status.supervisor).is_empty());
    let entries = fs::read_dir(format!("/proc/{}/fd", status.supervisor)).unwrap();
    let targets = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let alarms = targets.filter(|target| target.to_str().is_some_and(|target| target.contains("timerfd")));
    assert_eq!(alarms.count(), 1);
}

#[test]
fn readiness_and_health_can_be_asked_of_a_socket() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let free = listener.local_addr().unwrap().port();
    drop(listener);
    let tree = tree(&format!(
        "services:\n  web:\n    command: [sleep, infinity]\n    ready: {{tcp: '127.0.0.1:{free}', interval: 20ms}}\n    \
         healthcheck: {{test: {{http: '127.0.0.1:{free}/health'}}, interval: 20ms, retries: 1}}\n"
    ));
    tree.until_state("web", State::Starting);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free)).unwrap();
    let server = std::thread::spawn(move || {
        // The first asks by tcp alone, the next one by http, and is told that all is well; then nobody is there.
        let mut connections = listener.incoming().map(Result::unwrap);
        drop(connections.next());
        let mut health = connections.next().unwrap();
        assert!(health.read(&mut [0; 4096]).unwrap() > 0);
        health.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    tree.until_state("web", State::Running);
    tree.until("web", "healthy", |status| status.health == Health::Healthy);
    server.join().unwrap();
    let status = tree.until("web", "unhealthy", |status| status.health == Health::Unhealthy);
    assert!(status.reason.starts_with("unhealthy:zei-probe"), "{status:?}");
}
