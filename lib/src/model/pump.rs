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
//! and for each of its log pipes: stdout=FD\0 or stderr=FD\0, by the container's stream that it goes to
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
    /// The state of the pump: a memfd of [`Table::state_size`] bytes, all zero at first.
    pub state: i32,
    /// An empty pipe, for reading and writing, through which goes what is taken out of a log pipe and kept in the
    /// state: whether it was taken out can be seen by what is in it.
    pub hand: i32,
    /// The directory of all services' directories; `None` where zei runs without one.
    pub services: Option<i32>,
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
    pub streams: Vec<(Side, i32)>,
}

/// So much of a line that has no end yet is kept outside of its log pipe.
pub const KEPT: usize = 4096;
/// Of the state: what concerns the container's streams.
pub const STATE_HEAD: usize = 16;
/// Of the state: what concerns one log pipe; behind numbers there is room for what is kept.
pub const STATE_SLOT: usize = 32 + KEPT;

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
        for pumped in &self.pumped {
            put("name", &pumped.name);
            if let Some(pattern) = &pumped.pattern {
                put("pattern", pattern);
            }
            if let Some(notify) = &pumped.notify {
                put("notify", notify);
            }
            for (side, pipe) in &pumped.streams {
                put(side.key(), pipe);
            }
        }
        bytes
    }

    /// Reads the table; `None` where it is none.
    pub fn decode(bytes: &[u8]) -> Option<Table> {
        let mut table = Table { token: 0, state: -1, hand: -1, services: None, pumped: Vec::new() };
        for entry in bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0) {
            let (key, value) = core::str::from_utf8(entry).ok()?.split_once('=')?;
            match (key, table.pumped.last_mut()) {
                ("token", _) => table.token = u64::from_str_radix(value, 16).ok()?,
                ("state", _) => table.state = value.parse().ok()?,
                ("hand", _) => table.hand = value.parse().ok()?,
                ("services", _) => table.services = Some(value.parse().ok()?),
                ("name", _) => table.pumped.push(Pumped {
                    name: ServiceName::parse(value).ok()?,
                    pattern: None,
                    notify: None,
                    streams: Vec::new(),
                }),
                ("pattern", Some(pumped)) => pumped.pattern = Some(value.to_owned()),
                ("notify", Some(pumped)) => pumped.notify = Some(value.parse().ok()?),
                ("stdout", Some(pumped)) => pumped.streams.push((Side::Out, value.parse().ok()?)),
                ("stderr", Some(pumped)) => pumped.streams.push((Side::Err, value.parse().ok()?)),
                _ => return None,
            }
        }
        (table.state >= 0 && table.hand >= 0).then_some(table)
    }

    /// All descriptors that it names, each once.
    pub fn descriptors(&self) -> Vec<i32> {
        let of =
            |pumped: &Pumped| pumped.streams.iter().map(|(_, pipe)| *pipe).chain(pumped.notify).collect::<Vec<_>>();
        let mut all: Vec<i32> =
            self.pumped.iter().flat_map(of).chain(self.services).chain([self.state, self.hand]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// How many log pipes there are.
    pub fn streams(&self) -> usize {
        self.pumped.iter().map(|pumped| pumped.streams.len()).sum()
    }

    /// How large the state is, in bytes.
    pub fn state_size(&self) -> usize {
        STATE_HEAD + self.streams() * STATE_SLOT
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
        let pumped = |name, pattern: Option<&str>, notify, streams| Pumped {
            name: ServiceName::parse(name).unwrap(),
            pattern: pattern.map(str::to_owned),
            notify,
            streams,
        };
        let table = Table {
            token: u64::MAX,
            state: 20,
            hand: 21,
            services: Some(7),
            pumped: vec![
                pumped("web", Some("a = b\n$"), Some(30), vec![(Side::Out, 31), (Side::Err, 32)]),
                pumped("worker", None, None, vec![(Side::Err, 33)]),
                pumped("quiet", Some(""), Some(30), vec![]),
            ],
        };
        assert_eq!(Table::decode(&table.encode()), Some(table.clone()));
        assert_eq!(table.descriptors(), [7, 20, 21, 30, 31, 32, 33]);
        assert_eq!((table.streams(), table.state_size()), (3, STATE_HEAD + 3 * STATE_SLOT));
        let least = Table { token: 0, state: 3, hand: 4, services: None, pumped: vec![] };
        assert_eq!(Table::decode(&least.encode()), Some(least));
    }

    #[test]
    fn a_dead_one_is_replaced_at_once_then_after_a_second_then_every_ten_until_one_has_lived_long() {
        let mut life = Life::Due(Time(5), 0);
        assert_eq!(life.deadline(), Some(Time(5)));
        for (now, next) in [(10, 10), (20, 1020), (30, 10_030), (40, 10_040), (20_000, 20_000), (20_001, 21_001)] {
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
        assert_eq!(life.deadline(), Some(Time(40_000)));
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
