//! What is said of a service that a shutdown waits for.
//!
//! Owns: the words. Must never: decide whom the shutdown waits for.

use crate::model::service::{Fault, Phase, Service, Stage};
use crate::model::time::{Span, Time};
use crate::signal;

/// How far its stop has come: what it got, and what comes next. `stop_signal` is that of its configuration.
pub fn state(service: Option<&Service>, stop_signal: u8, now: Time) -> String {
    let Some(service) = service else { return "its supervisor has not begun yet".to_owned() };
    let Phase::Stopping { stage, deadline, .. } = service.phase else { return settled(service) };
    let ago = seconds(now.since(service.since), 0);
    // Not before the time has come, so never in 0 s while it has not.
    let left = seconds(deadline.since(now), 999);
    let stop_signal = signal::Name(match (service.fault, service.shutdown.and_then(|shutdown| shutdown.signal)) {
        (Some(Fault::Watchdog), _) => signal::ABRT,
        (_, Some(begun_by)) => begun_by,
        (_, None) => stop_signal,
    });
    match stage {
        Stage::Drain => format!("drained for {ago} so far, {stop_signal} in {left}"),
        Stage::Main => format!("{stop_signal} sent {ago} ago, killed in {left}"),
        Stage::Rest => format!("has ended, TERM sent to the rest of it {ago} ago, killed in {left}"),
        Stage::Kill => format!("killed {ago} ago and not gone, given up in {left}"),
        Stage::Post => format!("post_stop runs for {ago}, killed in {left}"),
    }
}

/// One whose stop is not under way.
fn settled(service: &Service) -> String {
    match service.phase {
        Phase::Stopped | Phase::Completed | Phase::Failed(_) => "its supervisor is about to leave".to_owned(),
        Phase::Waiting
        | Phase::Preparing
        | Phase::Spawning
        | Phase::Starting { .. }
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. } => "its supervisor has not begun to stop it".to_owned(),
    }
}

/// In whole seconds.
fn seconds(span: Span, up: u64) -> Span {
    Span::seconds(span.0.saturating_add(up) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::service::{Reason, Shutdown, Then};
    use crate::model::spec::Policy;

    const NOW: Time = Time(20_500);

    fn stopping(stage: Stage) -> Service {
        let phase = Phase::Stopping { stage, deadline: Time(23_000), then: Then::Leave };
        Service { phase, since: Time(13_100), ..Service::new(false, Time(0), &Policy::default()) }
    }

    #[test]
    fn each_stage_says_what_was_done_and_what_comes_next() {
        for (stage, said) in [
            (Stage::Drain, "drained for 7s so far, USR1 in 3s"),
            (Stage::Main, "USR1 sent 7s ago, killed in 3s"),
            (Stage::Rest, "has ended, TERM sent to the rest of it 7s ago, killed in 3s"),
            (Stage::Kill, "killed 7s ago and not gone, given up in 3s"),
            (Stage::Post, "post_stop runs for 7s, killed in 3s"),
        ] {
            assert_eq!(state(Some(&stopping(stage)), signal::USR1, NOW), said);
        }
    }

    #[test]
    fn times_are_whole_seconds_and_none_is_promised_early() {
        let service = stopping(Stage::Main);
        for (now, said) in [
            (13_100, "TERM sent 0s ago, killed in 10s"),
            (22_000, "TERM sent 8s ago, killed in 1s"),
            (22_001, "TERM sent 8s ago, killed in 1s"),
            (22_999, "TERM sent 9s ago, killed in 1s"),
            (23_000, "TERM sent 9s ago, killed in 0s"),
            (24_500, "TERM sent 11s ago, killed in 0s"),
        ] {
            assert_eq!(state(Some(&service), signal::TERM, Time(now)), said);
        }
    }

    #[test]
    fn the_signal_is_the_one_that_was_sent() {
        let own = stopping(Stage::Main);
        let shutdown = |signal| Some(Shutdown { deadline: NOW, signal });
        let watchdog = Some(Fault::Watchdog);
        for (service, signal) in [
            (Service { shutdown: shutdown(None), ..own }, "HUP"),
            (Service { shutdown: shutdown(Some(signal::INT)), ..own }, "INT"),
            (Service { shutdown: shutdown(Some(signal::INT)), fault: watchdog, ..own }, "ABRT"),
            (Service { fault: Some(Fault::NotReady), ..own }, "HUP"),
        ] {
            assert_eq!(state(Some(&service), signal::HUP, NOW), format!("{signal} sent 7s ago, killed in 3s"));
        }
    }

    #[test]
    fn what_is_not_being_stopped_waits_for_its_supervisor() {
        let (begin, leave) = ("its supervisor has not begun to stop it", "its supervisor is about to leave");
        for (phase, said) in [
            (Phase::Waiting, begin),
            (Phase::Preparing, begin),
            (Phase::Spawning, begin),
            (Phase::Starting { deadline: NOW }, begin),
            (Phase::Running, begin),
            (Phase::RestartPending { at: NOW }, begin),
            (Phase::Scheduled { at: NOW }, begin),
            (Phase::Planning, begin),
            (Phase::Planned { slot: 1 }, begin),
            (Phase::Stopped, leave),
            (Phase::Completed, leave),
            (Phase::Failed(Reason::Ended), leave),
        ] {
            assert_eq!(state(Some(&Service { phase, ..stopping(Stage::Main) }), signal::TERM, NOW), said);
        }
        assert_eq!(state(None, signal::TERM, NOW), "its supervisor has not begun yet");
    }
}
