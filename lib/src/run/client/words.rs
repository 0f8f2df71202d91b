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
        State::Starting => starting(status, &ago, now),
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
    match status.health {
        Health::None | Health::Healthy => {}
        Health::Starting => text += ", its health check has not passed yet",
        Health::Unhealthy => {
            let words = status.reason.strip_prefix("unhealthy:").filter(|words| !words.is_empty());
            let words = words.map(|words| format!(" ({words})")).unwrap_or_default();
            text += &format!(", but unhealthy: its health check fails{words}");
        }
    }
    let before = status.exit.map(|exit| format!(": the process before ended by {exit}")).unwrap_or_default();
    if status.restarts > 0 {
        text +=
            &format!("; restarted by its policy, {} times since it was last started by hand{before}", status.restarts);
    } else if status.run > 1 {
        text += &format!("; started {} times{before}", status.run);
    }
    text
}

fn starting(status: &Status, ago: &str, now: Time) -> String {
    match (status.pid, status.deadline) {
        (Some(pid), None) => format!("is starting since {ago}: its process (pid {pid}) runs and is not ready yet"),
        (Some(pid), deadline) => format!(
            "is starting since {ago}: its process (pid {pid}) runs and is not ready yet, which is a failure{}",
            until(deadline, now)
        ),
        (None, _) if status.reason.as_str() == "pre-start" => format!("is starting since {ago}: its pre_start runs"),
        (None, _) => format!("is starting since {ago}: its process is being made"),
    }
}

fn stopping(status: &Status, ago: &str, now: Time) -> String {
    let (fault, stage) = split_fault(&status.reason);
    let fault = match fault {
        Some("unhealthy") => " as it is unhealthy",
        Some("watchdog") => " as it no longer told its watchdog that it lives",
        Some("not-ready") => " as it was not ready in time",
        Some("pre-start") => " as its pre_start failed",
        Some(_) | None => "",
    };
    let killed = match status.deadline {
        Some(deadline) if Time(deadline) > now => format!(", killed{}", until(Some(deadline), now)),
        Some(_) | None => String::new(),
    };
    let how = match stage {
        "drain" => format!("not ready any more since {ago}, asked to end{}", until(status.deadline, now)),
        "killed" => format!("killed {ago} ago, but something of it is still there"),
        "rest" => format!("what its process left behind was asked to end {ago} ago{killed}"),
        "post-stop" => format!("its process has ended, and its post_stop runs since {ago}{killed}"),
        other => match other.strip_prefix("asked:") {
            Some(signal) => format!("{signal} sent {ago} ago{killed}"),
            None => format!("asked to end {ago} ago{killed}"),
        },
    };
    format!("is stopping{fault}: {how}")
}

/// The fault that stands before a reason, and what follows it.
fn split_fault(reason: &str) -> (Option<&str>, &str) {
    match reason.split_once(':') {
        Some((fault @ ("pre-start" | "not-ready" | "unhealthy" | "watchdog" | "oom"), rest)) => (Some(fault), rest),
        _ => (None, reason),
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
    let (fault, rest) = split_fault(reason);
    let end = match rest.split_once(':') {
        Some(("exit", code)) => format!("ended by exit code {code}"),
        Some(("signal", name)) => format!("ended by signal {name}"),
        Some(("spawn", why)) => format!("could not be started: {why}"),
        _ if rest.is_empty() => "ended".to_string(),
        // A word that this version does not know says more than none.
        _ => format!("ended: {rest}"),
    };
    match fault {
        Some("pre-start") => format!("could not be started: its pre_start {end}"),
        Some("not-ready") => format!("{end} before it was ready"),
        Some("unhealthy") => format!("was unhealthy and {end}"),
        Some("watchdog") => format!("no longer told its watchdog that it lives and {end}"),
        Some("oom") => format!("{end} as memory was short"),
        Some(_) | None => end,
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
            (State::Failed, "oom:signal:KILL", "is failed since 7s: it ended by signal KILL as memory was short"),
            (
                State::Failed,
                "gave-up:not-ready:exit:1",
                "is failed since 7s: it was restarted as often as max_restarts allows; the last time it ended by exit code 1 before it was ready",
            ),
            (
                State::Failed,
                "pre-start:exit:1",
                "is failed since 7s: it could not be started: its pre_start ended by exit code 1",
            ),
            (State::Failed, "unhealthy:signal:TERM", "is failed since 7s: it was unhealthy and ended by signal TERM"),
            (State::Failed, "fate", "is failed since 7s: it ended: fate"),
            (State::Starting, "pre-start", "is starting since 7s: its pre_start runs"),
            (State::Stopping, "drain", "is stopping: not ready any more since 7s, asked to end"),
            (State::Stopping, "unhealthy:asked", "is stopping as it is unhealthy: asked to end 7s ago"),
            (
                State::Stopping,
                "watchdog:killed",
                "is stopping as it no longer told its watchdog that it lives: killed 7s ago, but something of it is still there",
            ),
            (State::Stopping, "post-stop", "is stopping: its process has ended, and its post_stop runs since 7s"),
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
        let starting = |status: &mut Status| (status.state, status.deadline) = (State::Starting, Some(10_000));
        assert_eq!(
            said(starting),
            "is starting since 7s: its process (pid 4711) runs and is not ready yet, which is a failure in 2s"
        );
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
            status.reason = Text::from("unhealthy:timed out");
        };
        assert_eq!(
            said(ill),
            "is running since 7s (pid 4711), but unhealthy: its health check fails (timed out); it says: no disk"
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
