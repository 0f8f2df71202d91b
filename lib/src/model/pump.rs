//! The table of zei-log: what zei-init tells it about the streams that it is to pump.
//!
//! Owns: the bytes of the table and of the state that outlives a zei-log. Must never: be read by anything but zei-log
//! of the same build.
//!
//! The table lies in a sealed memfd whose number is zei-log's only argument. It names other descriptors by the
//! numbers that they have in zei-log:
//!
//! ```text
//! token=HEX\0 state=FD\0 hand=FD\0 [services=FD\0] and for each service: name=NAME\0 [pattern=REGEX\0] [notify=FD\0]
//! and for each of its log pipes: stdout=SLOT FD\0 or stderr=SLOT FD\0, by the container's stream that it goes to
//! ```

use crate::model::init::{STEADY, delay};
use crate::model::time::Time;
use crate::name::ServiceName;

/// A stream of the container.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Side {
    const fn key(self) -> &'static str {
        match self {
            Side::Out => "stdout",
            Side::Err => "stderr",
        }
    }
}

/// What zei-log pumps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// What stands in the marks of runs (see `protocol::boundary`): random for each start of zei-init.
    pub token: u64,
    /// The state of the pump: a memfd of [`state_size`] bytes, all zero at first.
    pub state: i32,
    /// An empty pipe, for reading and writing, through which goes what is taken out of a log pipe and kept in the
    /// state: whether it was taken out can be seen by what is in it.
    pub hand: i32,
    /// The directory of all services' directories; `None` where zei runs without one.
    pub services: Option<i32>,
    /// The user that zei-init is at rest, where it has root in reserve (see `sys::elevation`).
    pub rest: Option<u32>,
    /// The services.
    pub pumped: Vec<Pumped>,
}

/// A service whose output is pumped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pumped {
    /// Its name.
    pub name: ServiceName,
    /// The line that makes it ready.
    pub pattern: Option<String>,
    /// The pipe through which zei-log tells that it is.
    pub notify: Option<i32>,
    /// Its log pipes: two at most, one for each of the container's streams.
    pub pipes: Vec<LogPipe>,
}

/// A log pipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogPipe {
    /// Its place in the state: no other that there is has the same.
    pub slot: usize,
    /// The container's stream that it goes to.
    pub side: Side,
    /// The descriptor.
    pub pipe: i32,
}

impl LogPipe {
    fn decode(side: Side, value: &str) -> Option<LogPipe> {
        let (slot, pipe) = value.split_once(' ')?;
        Some(LogPipe { slot: slot.parse().ok()?, side, pipe: pipe.parse().ok()? })
    }
}

/// So much of a line that has no end yet is kept outside of its log pipe.
pub const KEPT: usize = 4096;
/// Of the state: what concerns the container's streams.
pub const STATE_HEAD: usize = 16;
/// Of the state: what concerns one log pipe; behind numbers there is room for what is kept.
pub const STATE_SLOT: usize = STATE_NUMBERS + KEPT;
/// So much of a slot are the numbers; zero, they say that nothing is known.
pub const STATE_NUMBERS: usize = 32;

/// How large a state is that has so many slots.
pub const fn state_size(slots: usize) -> usize {
    STATE_HEAD + slots * STATE_SLOT
}

/// The head of a state, once a log pipe is gone: the line that it is in the middle of has ended, wherever that was.
pub fn forget_open(head: [u8; STATE_HEAD], slot: usize) -> [u8; STATE_HEAD] {
    /// No log pipe has this slot; what it has begun is to be ended.
    const NOBODY: u64 = 1 << 32;
    let mut forgotten = head;
    for word in forgotten.as_chunks_mut().0 {
        let open = u64::from_le_bytes(*word).checked_sub(1).map(|open| open / 2);
        if open.is_some() && open == u64::try_from(slot).ok() {
            *word = (NOBODY * 2 + 1).to_le_bytes();
        }
    }
    forgotten
}

impl Table {
    /// The bytes of the table.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |key: &str, value: &dyn core::fmt::Display| bytes.extend(format!("{key}={value}\0").into_bytes());
        put("token", &format_args!("{:x}", self.token));
        put("state", &self.state);
        put("hand", &self.hand);
        if let Some(services) = &self.services {
            put("services", services);
        }
        if let Some(rest) = &self.rest {
            put("rest", rest);
        }
        for pumped in &self.pumped {
            put("name", &pumped.name);
            if let Some(pattern) = &pumped.pattern {
                put("pattern", pattern);
            }
            if let Some(notify) = &pumped.notify {
                put("notify", notify);
            }
            for LogPipe { slot, side, pipe } in &pumped.pipes {
                put(side.key(), &format_args!("{slot} {pipe}"));
            }
        }
        bytes
    }

    /// Reads the table; `None` where it is none.
    pub fn decode(bytes: &[u8]) -> Option<Table> {
        let mut table = Table { token: 0, state: -1, hand: -1, services: None, rest: None, pumped: Vec::new() };
        for entry in bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0) {
            let (key, value) = core::str::from_utf8(entry).ok()?.split_once('=')?;
            match (key, table.pumped.last_mut()) {
                ("token", _) => table.token = u64::from_str_radix(value, 16).ok()?,
                ("state", _) => table.state = value.parse().ok()?,
                ("hand", _) => table.hand = value.parse().ok()?,
                ("services", _) => table.services = Some(value.parse().ok()?),
                ("rest", _) => table.rest = Some(value.parse().ok()?),
                ("name", _) => table.pumped.push(Pumped {
                    name: ServiceName::parse(value).ok()?,
                    pattern: None,
                    notify: None,
                    pipes: Vec::new(),
                }),
                ("pattern", Some(pumped)) => pumped.pattern = Some(value.to_owned()),
                ("notify", Some(pumped)) => pumped.notify = Some(value.parse().ok()?),
                ("stdout", Some(pumped)) => pumped.pipes.push(LogPipe::decode(Side::Out, value)?),
                ("stderr", Some(pumped)) => pumped.pipes.push(LogPipe::decode(Side::Err, value)?),
                _ => return None,
            }
        }
        (table.state >= 0 && table.hand >= 0).then_some(table)
    }

    /// All descriptors that it names, each once.
    pub fn descriptors(&self) -> Vec<i32> {
        let of = |pumped: &Pumped| pumped.pipes.iter().map(|pipe| pipe.pipe).chain(pumped.notify).collect::<Vec<_>>();
        let mut all: Vec<i32> =
            self.pumped.iter().flat_map(of).chain(self.services).chain([self.state, self.hand]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Whether zei-log runs, and when the next one is started: at once, after a second, then every ten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// It runs since then; so many before it have died soon.
    Alive(Time, u32),
    /// It is to be started then.
    Due(Time, u32),
}

impl Life {
    /// It has been started.
    pub fn started(&mut self, now: Time) {
        let (Life::Alive(_, tries) | Life::Due(_, tries)) = *self;
        *self = Life::Alive(now, tries);
    }

    /// It has died, or could not be started.
    pub fn ended(&mut self, now: Time) {
        let tries = match *self {
            Life::Alive(since, _) if now.since(since) >= STEADY => 0,
            Life::Alive(_, tries) | Life::Due(_, tries) => tries,
        };
        *self = Life::Due(now.plus(delay(tries)), tries.saturating_add(1));
    }

    /// When it is to be started.
    pub fn deadline(&self) -> Option<Time> {
        match *self {
            Life::Alive(..) => None,
            Life::Due(at, _) => Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_back_as_it_was_given() {
        let pipe = |slot, side, pipe| LogPipe { slot, side, pipe };
        let pumped = |name, pattern: Option<&str>, notify, pipes| Pumped {
            name: ServiceName::parse(name).unwrap(),
            pattern: pattern.map(str::to_owned),
            notify,
            pipes,
        };
        let table = Table {
            token: u64::MAX,
            state: 20,
            hand: 21,
            services: Some(7),
            rest: Some(1000),
            pumped: vec![
                pumped("web", Some("a = b\n$"), Some(30), vec![pipe(0, Side::Out, 31), pipe(1, Side::Err, 32)]),
                pumped("worker", None, None, vec![pipe(7, Side::Err, 33)]),
                pumped("quiet", Some(""), Some(30), vec![]),
            ],
        };
        assert_eq!(Table::decode(&table.encode()), Some(table.clone()));
        assert_eq!(table.descriptors(), [7, 20, 21, 30, 31, 32, 33]);
        let least = Table { token: 0, state: 3, hand: 4, services: None, rest: None, pumped: vec![] };
        assert_eq!(Table::decode(&least.encode()), Some(least));
    }

    #[test]
    fn a_dead_one_is_replaced_at_once_then_after_a_second_each_time_until_one_has_lived_long() {
        let mut life = Life::Due(Time(5), 0);
        assert_eq!(life.deadline(), Some(Time(5)));
        for (now, next) in [(10, 10), (20, 1020), (30, 1030), (40, 1040), (20_000, 20_000), (20_001, 21_001)] {
            life.started(Time(now - 1));
            if now == 20_000 {
                life = Life::Alive(Time(10_000), 4);
            }
            assert_eq!(life.deadline(), None);
            life.ended(Time(now));
            assert_eq!(life.deadline(), Some(Time(next)), "{now}");
        }
        // Nor can it be started again and again.
        life.ended(Time(30_000));
        assert_eq!(life.deadline(), Some(Time(31_000)));
    }

    #[test]
    fn a_log_pipe_that_is_gone_holds_no_line_open() {
        let head =
            |words: [u64; 2]| -> [u8; STATE_HEAD] { words.map(u64::to_le_bytes).as_flattened().try_into().unwrap() };
        let nobody = (1 << 33) + 1;
        for (slot, words, forgotten) in [
            (0, [0, 0], [0, 0]),
            (0, [1, 2], [nobody, nobody]),
            (3, [7, 9], [nobody, 9]),
            (3, [8, 5], [nobody, 5]),
            (4, [7, 8], [7, 8]),
        ] {
            assert_eq!(forget_open(head(words), slot), head(forgotten), "{slot} {words:?}");
        }
    }

    #[test]
    fn a_state_has_its_head_and_then_room_for_each_log_pipe() {
        assert_eq!((STATE_SLOT, state_size(0), state_size(1), state_size(3)), (4128, 16, 4144, 12_400));
    }

    #[test]
    fn what_is_no_table_is_none() {
        for bytes in [
            &b""[..],
            b"state=3\0",
            b"hand=3\0",
            b"state=3\0hand=4",
            b"state=3\0hand=4\0notify=4\0",
            b"state=3\0hand=4\0other=4\0",
            b"state=x\0hand=4\0",
        ] {
            assert_eq!(Table::decode(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
