//! What supervisors do while they are killed.

use crate::{Scenario, Service, kill_everywhere, orphan};
use zei::exit::Exit;
use zei::protocol::status::{State, Status};
use zei::signal::USR1;
use zei_tests::process::kill;
use zei_tests::tree::Tree;

const PLAIN: Scenario = Scenario {
    name: "start",
    words: "child",
    keys: "restart: always, restart_delay: 0",
    boots: true,
    successor: false,
    begun: runs,
    act: |_, _| {},
    reached: |_, status| runs(status),
    starts: 1,
    endless: false,
};

fn runs(status: &Status) -> bool {
    status.state == State::Running && status.ready
}

fn names(services: &[Service]) -> String {
    services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(" ")
}

/// What is asked for by zei-ctl must come true.
fn asks(tree: &Tree, verb: &str, services: &[Service]) {
    tree.ask(&format!("{verb} {} --timeout 50", names(services)));
}

#[test]
fn at_the_start_of_a_service() {
    kill_everywhere(&PLAIN);
}

#[test]
fn at_the_start_of_a_service_that_says_that_it_is_ready() {
    kill_everywhere(&Scenario { name: "ready fd", words: "fd", keys: "ready: {notify: {fd: 3}}", ..PLAIN });
    kill_everywhere(&Scenario { name: "ready systemd", words: "notify", keys: "ready: {notify: systemd}", ..PLAIN });
}

#[test]
fn at_the_start_of_a_service_that_is_probed() {
    kill_everywhere(&Scenario { name: "ready exec", keys: "ready: {exec: ['true']}", ..PLAIN });
}

#[test]
fn at_a_start_between_hooks() {
    let keys = "pre_start: 'true', post_stop: 'true'";
    kill_everywhere(&Scenario { name: "hooks", keys, ..PLAIN });
}

const LATER: Scenario = Scenario { boots: false, ..PLAIN };

#[test]
fn at_a_restart() {
    let act = |tree: &Tree, services: &[Service]| asks(tree, "restart", services);
    let reached = |service: &Service, status: &Status| runs(status) && status.pid != service.before.pid;
    kill_everywhere(&Scenario { name: "restart", act, reached, starts: 2, ..LATER });
}

#[test]
fn at_a_line_that_nobody_sends_again() {
    let reached = |service: &Service, status: &Status| runs(status) && status.pid != service.before.pid;
    let act = |tree: &Tree, services: &[Service]| services.iter().for_each(|s| tree.echo(&s.name, "- restart"));
    kill_everywhere(&Scenario { name: "line", act, reached, starts: 2, ..LATER });
    // In one write, so they are taken together: each is done, in its turn.
    let act = |tree: &Tree, services: &[Service]| services.iter().for_each(|s| tree.echo(&s.name, "- stop\n- start"));
    kill_everywhere(&Scenario { name: "lines", act, reached, starts: 2, ..LATER });
}

#[test]
fn at_a_stop() {
    let act = |tree: &Tree, services: &[Service]| asks(tree, "stop", services);
    let reached = |_: &Service, status: &Status| status.state == State::Stopped;
    kill_everywhere(&Scenario { name: "stop", act, reached, ..LATER });
    let keys = "stop_grace_period: 300ms";
    kill_everywhere(&Scenario { name: "stop and kill", words: "child ignore", keys, act, reached, ..LATER });
}

#[test]
fn at_a_crash_with_a_backoff() {
    kill_everywhere(&Scenario {
        name: "crash",
        keys: "restart: on-failure, restart_delay: 50ms, restart_backoff: {factor: 2, max: 1s}",
        act: |_, services| services.iter().for_each(|service| kill(service.before.pid.unwrap(), USR1)),
        reached: |_, status| {
            runs(status) && status.run >= 2 && (status.restarts, status.exit) == (1, Some(Exit::Code(9)))
        },
        starts: 2,
        ..LATER
    });
}

#[test]
fn at_a_tick_of_a_timer() {
    let timed = Scenario {
        name: "interval",
        words: "job",
        keys: "oneshot: true, interval: 200ms",
        begun: |status| status.run > 0 && status.state == State::Scheduled,
        reached: |service, status| status.run > service.before.run + 1 && status.state == State::Scheduled,
        endless: true,
        ..LATER
    };
    kill_everywhere(&timed);
    kill_everywhere(&Scenario { name: "schedule", keys: "oneshot: true, schedule: '* * * * * *'", ..timed });
}

#[test]
fn while_it_takes_a_running_service_over() {
    kill_everywhere(&Scenario {
        name: "adoption",
        successor: true,
        act: |_, services| services.iter().for_each(orphan),
        reached: |service, status| {
            runs(status) && status.pid == service.before.pid && status.supervisor != service.before.supervisor
        },
        ..LATER
    });
}

#[test]
fn while_it_takes_a_stop_over() {
    kill_everywhere(&Scenario {
        name: "adoption in a stop",
        successor: true,
        words: "child ignore",
        keys: "stop_grace_period: 1s",
        act: |tree, services| {
            services.iter().for_each(|service| tree.echo(&service.name, "- stop"));
            let stops = |service: &Service| tree.until_state(&service.name, State::Stopping);
            services.iter().map(stops).for_each(|status| kill(status.supervisor, zei::signal::KILL));
        },
        reached: |service, status| status.state == State::Stopped && status.supervisor != service.before.supervisor,
        ..LATER
    });
}
