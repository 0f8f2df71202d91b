//! Every exit code and every deadly signal under every restart policy, with real processes, against a literal table.

use zei::exit::Exit;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::tree::Tree;

/// Policy, kind of end; then: state, what stands before the end in the reason, and how many starts there are with
/// `max_restarts: 2`. From the contract, by hand.
const TABLE: [(&str, Kind, State, &str, u32); 9] = [
    ("never", Kind::Zero, State::Completed, "", 1),
    ("never", Kind::Code, State::Failed, "exit:", 1),
    ("never", Kind::Signal, State::Failed, "signal:", 1),
    ("on-failure", Kind::Zero, State::Completed, "", 1),
    ("on-failure", Kind::Code, State::Failed, "gave-up:exit:", 3),
    ("on-failure", Kind::Signal, State::Failed, "gave-up:signal:", 3),
    ("always", Kind::Zero, State::Failed, "gave-up:exit:", 3),
    ("always", Kind::Code, State::Failed, "gave-up:exit:", 3),
    ("always", Kind::Signal, State::Failed, "gave-up:signal:", 3),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Exit code 0.
    Zero,
    /// Exit codes 1 to 255.
    Code,
    /// Signals that end a process that does nothing about them (signal(7)).
    Signal,
}

impl Kind {
    fn ends(self) -> Vec<u8> {
        // Those that are ignored or stop a process where nothing is done about them.
        let harmless = [signal::CHLD, signal::CONT, signal::STOP, signal::TSTP, signal::TTIN, signal::TTOU, 23, 28];
        match self {
            Kind::Zero => vec![0],
            Kind::Code => (1..=255).collect(),
            Kind::Signal => (1..=signal::RTMAX).filter(|number| !harmless.contains(number)).collect(),
        }
    }
}

#[test]
fn every_exit_code_and_every_deadly_signal_is_followed_by_what_the_table_says() {
    for (restart, kind, state, before, starts) in TABLE {
        let ends = kind.ends();
        let mut yaml = String::from("services:\n  hold: {command: [sleep, infinity]}\n");
        for end in &ends {
            let how = if kind == Kind::Signal { "ulimit -c 0; kill -" } else { "exit " };
            let end = end.to_string();
            let sign = if kind == Kind::Signal { " $$" } else { "" };
            yaml += &format!(
                "  s{end}: {{shell: '{how}{end}{sign}', restart: {restart}, max_restarts: 2, restart_delay: 0}}\n"
            );
        }
        let tree = Tree::start(&yaml);
        for end in ends {
            let name = format!("s{end}");
            let status =
                tree.until(&name, "at its end", |status| matches!(status.state, State::Completed | State::Failed));
            let (exit, word) = match kind {
                Kind::Signal => (Exit::Signal(end), signal::Name(end).to_string()),
                Kind::Zero | Kind::Code => (Exit::Code(end), end.to_string()),
            };
            let reason = if before.is_empty() { String::new() } else { format!("{before}{word}") };
            let seen = (status.state, status.reason.as_str(), status.run, status.restarts, status.exit);
            assert_eq!(seen, (state, reason.as_str(), starts, starts - 1, Some(exit)), "{restart}: {kind:?} {end}");
        }
    }
}
