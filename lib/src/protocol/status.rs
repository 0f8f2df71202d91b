//! The status file: the format of `status`, version 1.
//!
//! Owns: the bytes. Must never: open a file.
//!
//! Lines `KEY=VALUE` in this order; a key without a value is `KEY=`. Times are milliseconds of
//! CLOCK_MONOTONIC, except `since_wall`, which is milliseconds since 1970.
//!
//! ```text
//! version=1
//! seq=42              counts the writes; the same number stands at the end
//! name=web
//! state=running       waiting starting running stopping restart_pending scheduled stopped completed failed
//! reason=             why it is failed or waiting: exit:3, signal:KILL, gave-up:exit:3, dependency:db, spawn:…
//! since=…             when the state began
//! since_wall=…        the same by the wall clock
//! pid=…               the main process, empty where there is none
//! start=…             its start time in clock ticks since boot (proc(5), field 22)
//! supervisor=…        the pid of its zei-supervise
//! want=up             up or down
//! restarts=0          restarts by policy since the last start by hand
//! exit=…              the exit code of the last process that ended
//! signal=…            or the name of the signal that ended it
//! ready=1             1 in running
//! health=none         none starting healthy unhealthy
//! next=…              when the next run by policy or timer is due
//! deadline=…          when a stop becomes a kill
//! run=1               how many processes were started so far
//! end=42              the same number as seq
//! ```
//!
//! The file is written in place by one pwrite(2). A reader that finds `seq` and `end` different, or
//! no `end`, has met a write half-way and reads again; what follows `end` is not part of it.
//!
//! # Version log
//!
//! 1: the first.

use crate::exit::Exit;
use crate::name::ServiceName;
use crate::signal;
use crate::text::{self, Text};

/// No status is longer than this.
pub const MAX: usize = 1024;

/// What a service is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum State {
    /// Wanted; a dependency isn't there yet.
    Waiting,
    /// Its process is being started, or runs and isn't ready yet.
    Starting,
    /// Its process runs.
    Running,
    /// It was asked to end, or what it left behind is.
    Stopping,
    /// It ended, and the policy starts it again at `next`.
    RestartPending,
    /// A timed oneshot between runs.
    Scheduled,
    /// Not wanted.
    Stopped,
    /// It ended well and is not started again.
    Completed,
    /// It ended badly for good, or can't start.
    Failed,
}

impl State {
    /// All states.
    pub const ALL: [State; 9] = [
        State::Waiting,
        State::Starting,
        State::Running,
        State::Stopping,
        State::RestartPending,
        State::Scheduled,
        State::Stopped,
        State::Completed,
        State::Failed,
    ];

    /// Its word in the file.
    pub const fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Starting => "starting",
            State::Running => "running",
            State::Stopping => "stopping",
            State::RestartPending => "restart_pending",
            State::Scheduled => "scheduled",
            State::Stopped => "stopped",
            State::Completed => "completed",
            State::Failed => "failed",
        }
    }

    fn parse(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// What the checks of a service's health say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// It has none, or does not run.
    None,
    /// None has succeeded yet, and not enough have failed.
    Starting,
    /// The last that counted succeeded.
    Healthy,
    /// Too many in a row have failed.
    Unhealthy,
}

impl Health {
    /// All of them.
    pub const ALL: [Health; 4] = [Health::None, Health::Starting, Health::Healthy, Health::Unhealthy];

    /// Its word in the file.
    pub const fn word(self) -> &'static str {
        match self {
            Health::None => "none",
            Health::Starting => "starting",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
        }
    }
}

/// A service's status, as its supervisor tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Counts the writes of this file.
    pub seq: u64,
    /// The service.
    pub name: ServiceName,
    /// What it is doing.
    pub state: State,
    /// Why it is failed or waiting; empty where there is nothing to say.
    pub reason: Text<128>,
    /// When the state began.
    pub since: u64,
    /// The same by the wall clock.
    pub since_wall: u64,
    /// The main process.
    pub pid: Option<u32>,
    /// Its start time in clock ticks since boot.
    pub start: Option<u64>,
    /// The pid of its zei-supervise.
    pub supervisor: u32,
    /// Whether it is wanted.
    pub want: bool,
    /// Restarts by policy since the last start by hand.
    pub restarts: u32,
    /// How the last process ended.
    pub exit: Option<Exit>,
    /// When the next run is due.
    pub next: Option<u64>,
    /// When a stop becomes a kill.
    pub deadline: Option<u64>,
    /// How many processes were started so far.
    pub run: u32,
}

/// Prints a number or nothing.
struct Maybe<T>(Option<T>);

impl<T: core::fmt::Display> core::fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |value| value.fmt(f))
    }
}

impl Status {
    /// The file's content.
    pub fn encode(&self) -> Text<MAX> {
        let (code, signal) = match self.exit {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(number)) => (None, Some(signal::Name(number))),
            None => (None, None),
        };
        text::format(format_args!(
            "version=1\nseq={seq}\nname={name}\nstate={state}\nreason={reason}\nsince={since}\n\
             since_wall={wall}\npid={pid}\nstart={start}\nsupervisor={supervisor}\nwant={want}\n\
             restarts={restarts}\nexit={code}\nsignal={signal}\nready={ready}\nhealth=none\nnext={next}\n\
             deadline={deadline}\nrun={run}\nend={seq}\n",
            seq = self.seq,
            name = self.name,
            state = self.state.word(),
            reason = self.reason,
            since = self.since,
            wall = self.since_wall,
            pid = Maybe(self.pid),
            start = Maybe(self.start),
            supervisor = self.supervisor,
            want = if self.want { "up" } else { "down" },
            restarts = self.restarts,
            code = Maybe(code),
            signal = Maybe(signal),
            ready = u8::from(self.state == State::Running),
            next = Maybe(self.next),
            deadline = Maybe(self.deadline),
            run = self.run,
        ))
    }

    /// Reads a file's content; `None` for a write met half-way, another version, or no status at all.
    pub fn decode(bytes: &[u8]) -> Option<Status> {
        let length = bytes.windows(5).position(|window| window == b"\nend=")? + 5;
        let (body, tail) = bytes.split_at_checked(length)?;
        let end = tail.split(|byte| *byte == b'\n').next().filter(|end| end.len() < tail.len())?;
        let mut keys = Keys(core::str::from_utf8(body).ok()?);
        if keys.text("version")? != "1" {
            return None;
        }
        let seq = keys.number("seq")?;
        if core::str::from_utf8(end).ok()?.parse() != Ok(seq) {
            return None;
        }
        let mut status = Status {
            seq,
            name: ServiceName::parse(keys.text("name")?).ok()?,
            state: State::parse(keys.text("state")?)?,
            reason: Text::from(keys.text("reason")?),
            since: keys.number("since")?,
            since_wall: keys.number("since_wall")?,
            pid: keys.optional("pid")?,
            start: keys.optional("start")?,
            supervisor: keys.number("supervisor")?,
            want: keys.text("want")? == "up",
            restarts: keys.number("restarts")?,
            exit: keys.optional("exit")?.map(Exit::Code),
            next: None,
            deadline: None,
            run: 0,
        };
        match keys.text("signal")? {
            "" => {}
            name => status.exit = Some(Exit::Signal(signal::parse(name)?)),
        }
        status.next = keys.optional("next")?;
        status.deadline = keys.optional("deadline")?;
        status.run = keys.number("run")?;
        Some(status)
    }
}

/// The rest of a file of `KEY=VALUE` lines, read in the documented order; a key that this version does not know
/// is passed over.
struct Keys<'a>(&'a str);

impl<'a> Keys<'a> {
    fn text(&mut self, key: &str) -> Option<&'a str> {
        loop {
            let (line, rest) = self.0.split_once('\n').unwrap_or((self.0, ""));
            if line.is_empty() {
                return None;
            }
            self.0 = rest;
            if let Some(value) = line.strip_prefix(key).and_then(|rest| rest.strip_prefix('=')) {
                return Some(value);
            }
        }
    }

    fn number<T: core::str::FromStr>(&mut self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    /// `Some(None)` where the value is empty.
    fn optional<T: core::str::FromStr>(&mut self, key: &str) -> Option<Option<T>> {
        match self.text(key)? {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        }
    }
}

/// What zei-init itself is doing, in its own status file: the same form, with these keys only:
/// `version seq state pid boot services end`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitStatus {
    /// Counts the writes.
    pub seq: u64,
    /// `booting`, `running` or `stopping`.
    pub state: InitState,
    /// zei-init's pid.
    pub pid: u32,
    /// A random number of this start of zei-init.
    pub boot: u64,
    /// How many services are defined.
    pub services: u32,
}

/// What zei-init is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InitState {
    /// Services that start with the container are not all up yet.
    Booting,
    /// They were all up once.
    Running,
    /// The shutdown has begun.
    Stopping,
}

impl InitState {
    /// Its word in the file.
    pub const fn word(self) -> &'static str {
        match self {
            InitState::Booting => "booting",
            InitState::Running => "running",
            InitState::Stopping => "stopping",
        }
    }
}

impl InitStatus {
    /// The file's content.
    pub fn encode(&self) -> Text<MAX> {
        let InitStatus { seq, state, pid, boot, services } = self;
        let state = state.word();
        text::format(format_args!(
            "version=1\nseq={seq}\nstate={state}\npid={pid}\nboot={boot:016x}\nservices={services}\nend={seq}\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Status {
        Status {
            seq: 42,
            name: ServiceName::parse("web").unwrap(),
            state: State::RestartPending,
            reason: Text::from("exit:3"),
            since: 1000,
            since_wall: 1_700_000_000_000,
            pid: None,
            start: None,
            supervisor: 12,
            want: true,
            restarts: 2,
            exit: Some(Exit::Code(3)),
            next: Some(2000),
            deadline: None,
            run: 3,
        }
    }

    #[test]
    fn the_file_looks_as_documented() {
        let golden = "version=1\nseq=42\nname=web\nstate=restart_pending\nreason=exit:3\nsince=1000\n\
            since_wall=1700000000000\npid=\nstart=\nsupervisor=12\nwant=up\nrestarts=2\nexit=3\nsignal=\n\
            ready=0\nhealth=none\nnext=2000\ndeadline=\nrun=3\nend=42\n";
        assert_eq!(example().encode().as_str(), golden);
    }

    #[test]
    fn a_write_met_half_way_is_no_status_and_a_stale_tail_is_not_read() {
        let old = Status { reason: Text::from("a much longer reason than before"), ..example() }.encode();
        let new = Status { seq: 43, ..example() }.encode();
        for cut in 0..new.as_bytes().len() {
            let mut mixed = new.as_bytes()[..cut].to_vec();
            mixed.extend_from_slice(&old.as_bytes()[cut..]);
            if let Some(read) = Status::decode(&mixed) {
                assert_eq!(read.encode(), old, "cut at {cut}");
            }
        }
        let mut stale = new.as_bytes().to_vec();
        stale.extend_from_slice(&old.as_bytes()[stale.len()..]);
        assert_eq!(Status::decode(&stale).unwrap().seq, 43);
    }

    proptest! {
        #[test]
        fn a_status_is_read_back_from_its_own_bytes(
            seq: u64, state in 0usize..9, pid: Option<u32>, start: Option<u64>, exit in 0u16..320,
            next: Option<u64>, restarts: u32, want: bool, reason in "[a-z:0-9]{0,128}", since: u64
        ) {
            let exit = match exit { 0..=255 => Some(Exit::Code(exit as u8)), 256 => None, n => Some(Exit::Signal((n - 256) as u8)) };
            let status = Status { seq, state: State::ALL[state], pid, start, exit, next, restarts, want,
                reason: Text::from(reason.as_str()), since, name: ServiceName::parse(&"n".repeat(64)).unwrap(), ..example() };
            let text = status.encode();
            prop_assert!(!text.is_cut());
            prop_assert_eq!(Status::decode(text.as_bytes()), Some(status));
        }

        #[test]
        fn any_bytes_are_a_status_or_none(bytes: Vec<u8>) {
            let _ = Status::decode(&bytes);
        }
    }
}
