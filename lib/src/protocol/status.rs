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
//! ready=1             1 in running, unless the service has taken it back
//! health=none         none (no check is configured) starting healthy unhealthy
//! next=…              when the next run by policy or timer is due
//! deadline=…          when a stop becomes a kill
//! run=1               how many processes were started so far
//! text=               what the service says of itself (STATUS of sd_notify), one line
//! end=42              the same number as seq
//! ```
//!
//! In stopping the reason says how far that has come: `drain`, `asked:TERM` (the main process has got that signal),
//! `rest` (what it left behind was asked to end), `killed`, `post-stop`. A fault of the service's own stands before it,
//! as it does before an end that it has led to: `unhealthy:asked`, `unhealthy:signal:TERM`. Faults are `pre-start`,
//! `not-ready`, `unhealthy`, `watchdog`, `oom`.
//!
//! The file is written in place by one pwrite(2). A reader that finds `seq` and `end` different, or
//! no `end`, has met a write half-way and reads again; what follows `end` is not part of it.
//!
//! # Version log
//!
//! 1: the first. `text` was added later; a reader takes a file without it, and passes over keys that it does not know.

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

/// What a service's health check says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Health {
    /// There is none.
    #[default]
    None,
    /// It has not passed yet, and may take its time.
    Starting,
    /// It passed.
    Healthy,
    /// It failed as often as it may.
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

    /// The one of this word.
    pub fn parse(word: &str) -> Option<Health> {
        Health::ALL.into_iter().find(|health| health.word() == word)
    }

    /// Whether nothing is wrong with it: healthy, or not checked at all.
    pub const fn is_good(self) -> bool {
        matches!(self, Health::None | Health::Healthy)
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
    /// Why it is failed or waiting, or how far its stop has come; empty where there is nothing to say.
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
    /// Its process runs and is ready for work.
    pub ready: bool,
    /// What its health check says.
    pub health: Health,
    /// What it says of itself, one line.
    pub text: Text<96>,
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
             restarts={restarts}\nexit={code}\nsignal={signal}\nready={ready}\nhealth={health}\nnext={next}\n\
             deadline={deadline}\nrun={run}\ntext={text}\nend={seq}\n",
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
            ready = u8::from(self.ready),
            health = self.health.word(),
            next = Maybe(self.next),
            deadline = Maybe(self.deadline),
            run = self.run,
            text = self.text,
        ))
    }

    /// Reads a file's content; `None` for a write met half-way, another version, or no status at all.
    pub fn decode(bytes: &[u8]) -> Option<Status> {
        let (seq, mut keys) = body(bytes)?;
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
            ready: false,
            health: Health::None,
            text: Text::new(),
        };
        match keys.text("signal")? {
            "" => {}
            name => status.exit = Some(Exit::Signal(signal::parse(name)?)),
        }
        status.ready = keys.text("ready")? == "1";
        status.health = Health::parse(keys.text("health")?)?;
        status.next = keys.optional("next")?;
        status.deadline = keys.optional("deadline")?;
        status.run = keys.number("run")?;
        status.text = Text::from(keys.text("text").unwrap_or_default());
        Some(status)
    }
}

/// What stands between `version` and `end`, and the number of the write; `None` for one met half-way or another
/// version.
fn body(bytes: &[u8]) -> Option<(u64, Keys<'_>)> {
    let length = bytes.windows(5).position(|window| window == b"\nend=")? + 5;
    let (body, tail) = bytes.split_at_checked(length)?;
    let end = tail.split(|byte| *byte == b'\n').next().filter(|end| end.len() < tail.len())?;
    let mut keys = Keys(core::str::from_utf8(body).ok()?);
    if keys.text("version")? != "1" {
        return None;
    }
    let seq = keys.number("seq")?;
    (core::str::from_utf8(end).ok()?.parse() == Ok(seq)).then_some((seq, keys))
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
/// `version seq state pid boot services since end`.
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
    /// When the state began, in milliseconds of CLOCK_MONOTONIC.
    pub since: u64,
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

    fn parse(word: &str) -> Option<InitState> {
        [InitState::Booting, InitState::Running, InitState::Stopping].into_iter().find(|state| state.word() == word)
    }
}

impl InitStatus {
    /// The file's content.
    pub fn encode(&self) -> Text<MAX> {
        let InitStatus { seq, state, pid, boot, services, since } = self;
        let state = state.word();
        text::format(format_args!(
            "version=1\nseq={seq}\nstate={state}\npid={pid}\nboot={boot:016x}\nservices={services}\nsince={since}\n\
             end={seq}\n"
        ))
    }

    /// Reads a file's content; `None` for a write met half-way, another version, or no such status at all.
    pub fn decode(bytes: &[u8]) -> Option<InitStatus> {
        let (seq, mut keys) = body(bytes)?;
        Some(InitStatus {
            seq,
            state: InitState::parse(keys.text("state")?)?,
            pid: keys.number("pid")?,
            boot: u64::from_str_radix(keys.text("boot")?, 16).ok()?,
            services: keys.number("services")?,
            since: keys.number("since")?,
        })
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
            ready: false,
            health: Health::Starting,
            text: Text::from("two of three"),
        }
    }

    #[test]
    fn the_file_looks_as_documented() {
        let golden = "version=1\nseq=42\nname=web\nstate=restart_pending\nreason=exit:3\nsince=1000\n\
            since_wall=1700000000000\npid=\nstart=\nsupervisor=12\nwant=up\nrestarts=2\nexit=3\nsignal=\n\
            ready=0\nhealth=starting\nnext=2000\ndeadline=\nrun=3\ntext=two of three\nend=42\n";
        assert_eq!(example().encode().as_str(), golden);
        let init = InitStatus { seq: 3, state: InitState::Stopping, pid: 1, boot: 0xabc, services: 7, since: 99 };
        let golden = "version=1\nseq=3\nstate=stopping\npid=1\nboot=0000000000000abc\nservices=7\nsince=99\nend=3\n";
        assert_eq!(init.encode().as_str(), golden);
        assert_eq!(InitStatus::decode(golden.as_bytes()), Some(init));
    }

    #[test]
    fn a_file_without_text_and_one_with_keys_of_a_later_version_are_read() {
        let without = example().encode().as_str().replace("text=two of three\n", "");
        assert_eq!(Status::decode(without.as_bytes()), Some(Status { text: Text::new(), ..example() }));
        let with = example().encode().as_str().replace("run=3\n", "cpu=1\nrun=3\nmemory=2\n");
        assert_eq!(Status::decode(with.as_bytes()), Some(example()));
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
            next: Option<u64>, restarts: u32, want: bool, reason in "[a-z:0-9]{0,128}", since: u64,
            ready: bool, health in 0usize..4, says in "[ -~]{0,96}"
        ) {
            let exit = match exit { 0..=255 => Some(Exit::Code(exit as u8)), 256 => None, n => Some(Exit::Signal((n - 256) as u8)) };
            let status = Status { seq, state: State::ALL[state], pid, start, exit, next, restarts, want, ready,
                health: Health::ALL[health], text: Text::from(says.as_str()), deadline: next,
                reason: Text::from(reason.as_str()), since, name: ServiceName::parse(&"n".repeat(64)).unwrap(), ..example() };
            let text = status.encode();
            prop_assert!(!text.is_cut());
            prop_assert_eq!(Status::decode(text.as_bytes()), Some(status));
        }

        #[test]
        fn any_bytes_are_a_status_or_none(bytes: Vec<u8>) {
            let _ = (Status::decode(&bytes), InitStatus::decode(&bytes));
        }
    }
}
