//! Waiting: the loop that all waits share, and `zei-ctl wait`.
//!
//! Owns: when to look again. Must never: wait for ever on a zei that is gone.

use super::place::{Place, Target};
use super::{Failure, Output, json};
use crate::exit;
use crate::model::time::{Span, Time};
use crate::name::ServiceName;
use crate::paths;
use crate::protocol::status::{State, Status};
use crate::sys::clock::now;
use crate::sys::event::{Waiter, Woken};
use serde::Serialize;
use std::os::fd::{AsFd, OwnedFd};

/// At the latest after so long a waiter looks again, rung or not: a ring is a hint.
const RECHECK: Span = Span::seconds(1);
/// And after so long where zei-init is just ending.
const ENDING: Span = Span(10);

/// How a wait ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen<T> {
    /// What was looked for.
    Found(T),
    /// The time is up.
    TimedOut,
    /// zei-init is gone, and will change nothing any more.
    Gone,
}

/// Looks at a target's files after every change until `look` finds what it looks for. `look` is told whether to
/// look thoroughly, which is once a second: what it finds out in another way may have escaped it.
pub(crate) fn watch<T>(
    place: &Place,
    target: &Target,
    deadline: Option<Time>,
    sentinel: Option<&OwnedFd>,
    mut look: impl FnMut(bool) -> Result<Option<T>, Failure>,
) -> Result<Seen<T>, Failure> {
    let event = target.file(paths::EVENT);
    let mut waiter = Waiter::open(place.dir(), event.as_str());
    let (mut sentinel, mut period) = (sentinel.map(AsFd::as_fd), RECHECK);
    let mut checked = now();
    let mut thorough = false;
    loop {
        if let Some(found) = look(thorough)? {
            return Ok(Seen::Found(found));
        }
        let left = deadline.map_or(period, |deadline| deadline.since(now()).min(period));
        if left == Span(0) {
            return Ok(Seen::TimedOut);
        }
        let woken = waiter.wait(sentinel, Some(left));
        thorough = now().since(checked) >= period;
        if woken == Woken::Other || thorough {
            if !place.alive() {
                return Ok(look(true)?.map_or(Seen::Gone, Seen::Found));
            }
            checked = now();
        }
        if woken == Woken::Other {
            // It is being taken apart: its FIFO is closed, its lock not yet.
            (sentinel, period) = (None, ENDING);
        }
        waiter.renew(place.dir(), event.as_str());
    }
}

/// The deadline of a time-out that begins now.
pub(crate) fn deadline(timeout: Option<Span>) -> Option<Time> {
    timeout.map(|timeout| now().plus(timeout))
}

/// What `zei-ctl wait` waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Running; a oneshot that completed counts too.
    Ready,
    /// Its process runs.
    Running,
    /// It has no process and will have none by itself: stopped, completed or failed.
    Stopped,
    /// It completed, or the last run of a timed oneshot ended well.
    Done,
}

impl Until {
    /// Its word on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Until::Ready => "ready",
            Until::Running => "running",
            Until::Stopped => "stopped",
            Until::Done => "done",
        }
    }

    /// Whether it holds; `None`: not yet. A failure for good ends every wait, the end of a oneshot that for
    /// `running`, since neither changes by itself. `stopped` may: somebody may start it.
    fn judge(self, status: &Status) -> Option<bool> {
        let succeeded = status.exit.is_some_and(exit::Exit::is_success);
        match (self, status.state) {
            (Until::Ready | Until::Running, State::Running)
            | (Until::Ready, State::Completed)
            | (Until::Stopped, State::Stopped | State::Completed | State::Failed)
            | (Until::Done, State::Completed) => Some(true),
            (Until::Done, State::Scheduled) if succeeded => Some(true),
            (Until::Ready | Until::Running | Until::Done, State::Failed) | (Until::Running, State::Completed) => {
                Some(false)
            }
            (
                _,
                State::Waiting
                | State::Starting
                | State::Running
                | State::Stopping
                | State::RestartPending
                | State::Scheduled
                | State::Stopped,
            ) => None,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    service: &'a str,
    until: &'a str,
    came_true: bool,
    state: Option<&'a str>,
    reason: Option<String>,
}

/// Waits for each service in turn, all within one time-out; stops at the first for which it did not come true.
pub(crate) fn for_all(
    place: &Place,
    services: &[ServiceName],
    until: Until,
    timeout: Option<Span>,
    as_json: bool,
) -> Result<Output, Failure> {
    let (deadline, sentinel) = (deadline(timeout), place.sentinel());
    let (mut output, mut lines) = (Output::default(), Vec::new());
    for name in services {
        let mut last = None;
        let seen = watch(place, &Target::Service(*name), deadline, sentinel.as_ref(), |_| {
            last = place.status(name)?;
            Ok(last.as_ref().and_then(|status| until.judge(status)))
        })?;
        let state = last.as_ref().map(|status| status.state.word());
        let reason = last.map(|status| status.reason.to_string()).filter(|reason| !reason.is_empty());
        let came_true = seen == Seen::Found(true);
        let why = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        lines.push(Line { service: name.as_str(), until: until.word(), came_true, state, reason });
        let state = state.unwrap_or("without a status");
        match seen {
            Seen::Found(true) => output.out += &format!("{name}: {state}\n"),
            Seen::Found(false) => output.fail(Failure::new(
                exit::NOT_TRUE,
                format!("{name}: {state}{why}, it will not be {} by itself", until.word()),
            )),
            Seen::TimedOut => output.fail(Failure::new(
                exit::NOT_TRUE,
                format!("{name}: still {state}{why}, not {} in time", until.word()),
            )),
            Seen::Gone => output.fail(Failure::new(exit::NO_ZEI, format!("{name}: zei ended while waiting"))),
        }
        if !came_true {
            break;
        }
    }
    if as_json {
        output.out = json(&lines);
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    #[test]
    fn each_state_decides_each_wait_or_leaves_it_open() {
        use State::*;
        let judge = |until: Until, state| until.judge(&Status { state, ..fake::status("web") });
        for (until, yes, no) in [
            (Until::Ready, &[Running, Completed][..], &[Failed][..]),
            (Until::Running, &[Running], &[Completed, Failed]),
            (Until::Stopped, &[Stopped, Completed, Failed], &[]),
            (Until::Done, &[Completed], &[Failed]),
        ] {
            for state in State::ALL {
                let expected = if yes.contains(&state) { Some(true) } else { no.contains(&state).then_some(false) };
                assert_eq!(judge(until, state), expected, "{until:?} {state:?}");
            }
        }
        let scheduled = |exit| Until::Done.judge(&Status { state: Scheduled, exit, ..fake::status("web") });
        assert_eq!(scheduled(Some(exit::Exit::Code(0))), Some(true));
        assert_eq!(scheduled(Some(exit::Exit::Code(1))), None);
    }
}
