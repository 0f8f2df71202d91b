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
    /// Running, ready, and healthy where that is checked; a oneshot that completed counts too.
    Ready,
    /// It is in running: its process runs and has once been ready.
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
            (Until::Ready, State::Running) => (status.ready && status.health.is_good()).then_some(true),
            (Until::Running, State::Running)
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

/// A service that is waited for.
struct Waited {
    name: ServiceName,
    last: Option<Status>,
    came_true: Option<bool>,
    /// It was dropped from the tree.
    removed: bool,
}

/// Waits for all services at once; ends with the first for which it will not come true.
pub(crate) fn for_all(
    place: &Place,
    services: &[ServiceName],
    until: Until,
    timeout: Option<Span>,
    as_json: bool,
) -> Result<Output, Failure> {
    let sentinel = place.sentinel();
    let mut all: Vec<Waited> =
        services.iter().map(|name| Waited { name: *name, last: None, came_true: None, removed: false }).collect();
    // One has an ear of its own; whoever listens for more listens where every change of any is rung.
    let target = match services {
        [one] => Target::Service(*one),
        _ => Target::Init,
    };
    let seen = watch(place, &target, deadline(timeout), sentinel.as_ref(), |_| {
        for waited in all.iter_mut().filter(|waited| waited.came_true.is_none()) {
            waited.last = place.status(&waited.name)?;
            waited.removed = waited.last.is_none() && place.has_lost(&Target::Service(waited.name));
            waited.came_true = match &waited.last {
                None => waited.removed.then_some(until == Until::Stopped),
                Some(status) => until.judge(status),
            };
        }
        let failed = all.iter().any(|waited| waited.came_true == Some(false));
        Ok((failed || all.iter().all(|waited| waited.came_true.is_some())).then_some(()))
    })?;
    Ok(tell(&all, until, &seen, as_json))
}

fn tell(all: &[Waited], until: Until, seen: &Seen<()>, as_json: bool) -> Output {
    let (mut output, mut lines) = (Output::default(), Vec::new());
    for Waited { name, last, came_true, removed } in all {
        let state = last.as_ref().map(|status| status.state.word()).or(removed.then_some("removed"));
        let reason = last.as_ref().map(|status| status.reason.to_string()).filter(|reason| !reason.is_empty());
        let why = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let line =
            Line { service: name.as_str(), until: until.word(), came_true: *came_true == Some(true), state, reason };
        lines.push(line);
        let state = state.unwrap_or("without a status");
        match (came_true, seen) {
            (Some(true), _) => output.out += &format!("{name}: {state}\n"),
            (Some(false), _) => output.fail(Failure::new(
                exit::NOT_TRUE,
                format!("{name}: {state}{why}, it will not be {} by itself", until.word()),
            )),
            (None, Seen::TimedOut) => output.fail(Failure::new(
                exit::NOT_TRUE,
                format!("{name}: still {state}{why}, not {} in time", until.word()),
            )),
            (None, Seen::Gone) => {
                output.fail(Failure::new(exit::NO_ZEI, format!("{name}: zei ended while waiting")));
            }
            // Another one has ended the wait.
            (None, Seen::Found(())) => {}
        }
    }
    if as_json {
        output.out = json(&lines);
    }
    output
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;
    use crate::protocol::status::Health;

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
        let running = |ready, health| Until::Ready.judge(&Status { ready, health, ..fake::status("web") });
        assert_eq!(running(true, Health::None), Some(true));
        assert_eq!(running(true, Health::Healthy), Some(true));
        assert_eq!(running(true, Health::Starting), None);
        assert_eq!(running(true, Health::Unhealthy), None);
        assert_eq!(running(false, Health::Healthy), None);
        let scheduled = |exit| Until::Done.judge(&Status { state: Scheduled, exit, ..fake::status("web") });
        assert_eq!(scheduled(Some(exit::Exit::Code(0))), Some(true));
        assert_eq!(scheduled(Some(exit::Exit::Code(1))), None);
    }
}
