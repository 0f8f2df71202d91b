//! Services that say that they live, and what happens when they no longer do.

use zei::exit::Exit;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::tree::{Plan, Tree};

const TELLER: &str = env!("CARGO_BIN_EXE_teller");

fn tree(watchdog: &str, script: &str) -> Tree {
    let yaml = format!(
        "services:\n  web:\n    ready: {{notify: systemd, watchdog: {watchdog}}}\n    shell: '{script}'\n  \
         hold: {{command: [sleep, infinity]}}\n"
    );
    Plan::new(&yaml).install("teller", TELLER).start()
}

#[test]
fn a_service_that_falls_silent_is_ended_by_abrt_and_has_failed() {
    let tree = tree("300ms", "echo usec=$WATCHDOG_USEC >$J; $D/teller READY=1; exec sleep infinity");
    let status = tree.until_state("web", State::Failed);
    assert_eq!(tree.journal.all(), ["usec=300000"]);
    assert_eq!((status.reason.as_str(), status.exit), ("watchdog:signal:ABRT", Some(Exit::Signal(signal::ABRT))));
    tree.err.expect("zei-supervise web: no sign of life within 300ms");
}

#[test]
fn a_service_that_says_often_enough_that_it_lives_goes_on_and_its_status_is_not_written_for_that() {
    let tree = tree(
        "2s",
        "$D/teller READY=1; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 0.2; \
         $D/teller WATCHDOG=1; done; echo still here >$J; exec sleep infinity",
    );
    let before = tree.until_state("web", State::Running);
    tree.journal.expect("still here");
    let after = tree.status("web").unwrap();
    assert_eq!((after.pid, after.seq, after.state), (before.pid, before.seq, State::Running));
}

#[test]
fn a_cry_for_help_is_the_end_at_once() {
    let tree = tree("1h", "$D/teller READY=1; $D/teller WATCHDOG=trigger; exec sleep infinity");
    assert_eq!(tree.until_state("web", State::Failed).reason.as_str(), "watchdog:signal:ABRT");
    tree.err.expect("zei-supervise web: says that it does not work any more");
}

#[test]
fn a_service_may_change_how_often_it_speaks() {
    let tree = tree("1h", "$D/teller READY=1; $D/teller WATCHDOG_USEC=200000; exec sleep infinity");
    assert_eq!(tree.until_state("web", State::Failed).reason.as_str(), "watchdog:signal:ABRT");
}
