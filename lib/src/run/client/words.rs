//! What a status means, in plain sentences.
//!
//! Owns: the words of `why`. Must never: read a file or a clock.

use super::view::length;
use crate::model::time::{Span, Time};
use crate::protocol::status::{Health, State, Status};
use crate::text::Text;

/// What a service is doing and why, without its name and without a full stop: "is running since 3m (pid 17)".
/// `leaving`: zei shuts down.
pub(crate) fn sentence(status: Option<&Status>, now: Time, leaving: bool) -> String {
    let Some(status) = status else { return "has no status yet: its supervisor has not told anything".to_string() };
    let ago = length(now.since(Time(status.since)));
    let text = match status.state {
        State::Waiting => "is waiting, and nothing it needs is missing: it is about to start".to_string(),
        State::Starting => match status.pid {
            Some(pid) => format!("is starting since {ago}: its process (pid {pid}) runs and is not ready yet"),
            None => format!("is starting since {ago}: its process is being made"),
        },
        State::Running => running(status, &ago),
        State::Stopping => stopping(status, &ago, now),
        State::RestartPending => {
            let restarts = status.restarts;
            format!(
                "is restart_pending: it {}; starts again{} (restart {restarts})",
                reason(&status.reason),
                until(status.next, now)
            )
        }
        State::Scheduled => match status.exit {
            Some(exit) => format!("is scheduled: it last ended by {exit}; runs again{}", until(status.next, now)),
            None => format!("is scheduled: it runs{}", until(status.next, now)),
        },
        State::Stopped if leaving => "is stopped: zei shuts down".to_string(),
        State::Stopped if status.run == 0 => "is stopped: nobody has started it yet".to_string(),
        State::Stopped => format!("is stopped since {ago}, by request"),
        State::Completed => format!("is completed since {ago}: it ended well and is not started again"),
        State::Failed => format!("is failed since {ago}: it {}", reason(&status.reason)),
    };
    let says = if status.text.as_str().is_empty() { String::new() } else { format!("; it says: {}", status.text) };
    text + &says
}

fn running(status: &Status, ago: &str) -> String {
    let mut text = format!("is running since {ago}");
    if let Some(pid) = status.pid {
        text += &format!(" (pid {pid})");
    }
    if !status.ready {
        text += ", not ready";
    }
    text += match status.health {
        Health::None | Health::Healthy => "",
        Health::Starting => ", its health check has not passed yet",
        Health::Unhealthy => ", but unhealthy: its health check fails",
    };
    let before = status.exit.map(|exit| format!(": the process before ended by {exit}")).unwrap_or_default();
    if status.restarts > 0 {
        text +=
            &format!("; restarted by its policy, {} times since it was last started by hand{before}", status.restarts);
    } else if status.run > 1 {
        text += &format!("; started {} times{before}", status.run);
    }
    text
}

fn stopping(status: &Status, ago: &str, now: Time) -> String {
    let killed = match status.deadline {
        Some(deadline) if Time(deadline) > now => format!(", killed{}", until(Some(deadline), now)),
        Some(_) | None => String::new(),
    };
    match status.reason.as_str() {
        "killed" => format!("is stopping: killed {ago} ago, but something of it is still there"),
        "rest" => format!("is stopping: what its process left behind was asked to end {ago} ago{killed}"),
        other => match other.strip_prefix("asked:") {
            Some(signal) => format!("is stopping: {signal} sent {ago} ago{killed}"),
            None => format!("is stopping: asked to end {ago} ago{killed}"),
        },
    }
}

fn until(at: Option<u64>, now: Time) -> String {
    match at.map(|at| Time(at).since(now)) {
        Some(Span(0)) => " now".to_string(),
        Some(span) => format!(" in {}", length(span)),
        None => String::new(),
    }
}

/// A reason of the status file, as it stands behind "it".
fn reason(reason: &Text<128>) -> String {
    let reason = reason.as_str();
    let (kind, rest) = reason.split_once(':').unwrap_or((reason, ""));
    match kind {
        "gave-up" => format!("was restarted as often as max_restarts allows; the last time it {}", ended(rest)),
        "dependency" => format!("needs {rest}, which failed"),
        "stray" => "left a process that can't be killed".to_string(),
        _ => ended(reason),
    }
}

fn ended(reason: &str) -> String {
    match reason.split_once(':') {
        Some(("exit", code)) => format!("ended by exit code {code}"),
        Some(("signal", name)) => format!("ended by signal {name}"),
        Some(("spawn", why)) => format!("could not be started: {why}"),
        _ if reason.is_empty() => "ended".to_string(),
        // A word that this version does not know says more than none.
        _ => format!("ended: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;
    use crate::exit::Exit;
    use crate::signal;

    // The fake status began its state at 1000.
    const NOW: Time = Time(8000);

    fn said(change: impl Fn(&mut Status)) -> String {
        let mut status = fake::status("web");
        change(&mut status);
        sentence(Some(&status), NOW, false)
    }

    #[test]
    fn each_state_is_said_with_its_reason() {
        for (state, reason, expected) in [
            (State::Waiting, "", "is waiting, and nothing it needs is missing: it is about to start"),
            (State::Starting, "", "is starting since 7s: its process is being made"),
            (State::Stopping, "asked:TERM", "is stopping: TERM sent 7s ago"),
            (State::Stopping, "asked", "is stopping: asked to end 7s ago"),
            (State::Stopping, "killed", "is stopping: killed 7s ago, but something of it is still there"),
            (State::Stopped, "", "is stopped since 7s, by request"),
            (State::Completed, "", "is completed since 7s: it ended well and is not started again"),
            (State::Failed, "exit:3", "is failed since 7s: it ended by exit code 3"),
            (State::Failed, "signal:KILL", "is failed since 7s: it ended by signal KILL"),
            (State::Failed, "dependency:db", "is failed since 7s: it needs db, which failed"),
            (State::Failed, "stray", "is failed since 7s: it left a process that can't be killed"),
            (
                State::Failed,
                "spawn:cannot execute the program: Permission denied",
                "is failed since 7s: it could not be started: cannot execute the program: Permission denied",
            ),
            (
                State::Failed,
                "gave-up:exit:3",
                "is failed since 7s: it was restarted as often as max_restarts allows; the last time it ended by exit code 3",
            ),
            (State::Failed, "oom", "is failed since 7s: it ended: oom"),
        ] {
            assert_eq!(said(state_of(state, reason)), expected);
        }
        assert_eq!(sentence(None, NOW, false), "has no status yet: its supervisor has not told anything");
    }

    fn state_of(state: State, reason: &'static str) -> impl Fn(&mut Status) {
        move |status| (status.state, status.reason, status.pid) = (state, Text::from(reason), None)
    }

    #[test]
    fn what_comes_next_is_said_with_its_time() {
        let pending = |status: &mut Status| {
            state_of(State::RestartPending, "exit:1")(status);
            (status.restarts, status.next) = (3, Some(12_000));
        };
        assert_eq!(said(pending), "is restart_pending: it ended by exit code 1; starts again in 4s (restart 3)");
        let stopping = |status: &mut Status| {
            state_of(State::Stopping, "asked:TERM")(status);
            status.deadline = Some(11_000);
        };
        assert_eq!(said(stopping), "is stopping: TERM sent 7s ago, killed in 3s");
        let scheduled = |status: &mut Status| {
            state_of(State::Scheduled, "")(status);
            (status.exit, status.next) = (Some(Exit::Code(0)), Some(8000));
        };
        assert_eq!(said(scheduled), "is scheduled: it last ended by exit code 0; runs again now");
    }

    #[test]
    fn what_runs_is_said_with_what_it_was_before() {
        assert_eq!(said(|_| {}), "is running since 7s (pid 4711)");
        let restarted = |status: &mut Status| {
            (status.restarts, status.run, status.exit) = (2, 4, Some(Exit::Signal(signal::KILL)));
        };
        assert_eq!(
            said(restarted),
            "is running since 7s (pid 4711); restarted by its policy, 2 times since it was last started by hand: \
             the process before ended by signal KILL"
        );
        let by_hand = |status: &mut Status| (status.run, status.exit) = (2, Some(Exit::Signal(signal::TERM)));
        assert_eq!(
            said(by_hand),
            "is running since 7s (pid 4711); started 2 times: the process before ended by signal TERM"
        );
        let ill = |status: &mut Status| {
            (status.health, status.text) = (Health::Unhealthy, Text::from("no disk"));
        };
        assert_eq!(
            said(ill),
            "is running since 7s (pid 4711), but unhealthy: its health check fails; it says: no disk"
        );
    }

    #[test]
    fn a_stop_is_by_request_by_the_end_of_all_or_was_never_a_start() {
        let stopped = Status { state: State::Stopped, ..fake::status("web") };
        assert_eq!(sentence(Some(&stopped), NOW, true), "is stopped: zei shuts down");
        let never = Status { run: 0, ..stopped };
        assert_eq!(sentence(Some(&never), NOW, false), "is stopped: nobody has started it yet");
    }
}
