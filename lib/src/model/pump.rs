//! The table of zei-log: what zei-init tells it about the streams that it is to pump.
//!
//! Owns: the bytes of the table and of the state that outlives a zei-log. Must never: be read by anything but zei-log
//! of the same build.
//!
//! The table lies in a sealed memfd whose number is zei-log's only argument. It names other descriptors by the
//! numbers that they have in zei-log:
//!
//! ```text
//! token=HEX\0 state=FD\0 intake=FD\0 [services=FD\0] [rest=UID\0] [colour=1\0]
//! and for each service: name=NAME\0 format=WORD\0 [pattern=REGEX\0] [notify=FD\0]
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

/// How lines look in the container's streams.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// As they are.
    Raw,
    /// With the service's name before each.
    Prefix,
    /// They don't go there: they are only kept.
    Hidden,
}

impl Format {
    const fn word(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Prefix => "prefix",
            Format::Hidden => "hidden",
        }
    }

    fn of(word: &str) -> Option<Format> {
        [Format::Raw, Format::Prefix, Format::Hidden].into_iter().find(|format| format.word() == word)
    }
}

/// What zei-log pumps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// What stands in the marks of runs (see `protocol::boundary`): random for each start of zei-init.
    pub token: u64,
    /// The state of the pump: a memfd (see [`layout`]).
    pub state: i32,
    /// The intake, a memfd of [`WINDOW`] bytes, into which log pipes are emptied: where it stands (lseek(2)) tells how much
    /// has come.
    pub intake: i32,
    /// The directory of all services' directories; `None` where zei runs without one.
    pub services: Option<i32>,
    /// The user that zei-init is at rest, where it has root in reserve (see `sys::elevation`).
    pub rest: Option<u32>,
    /// Names may have colours on a terminal.
    pub colour: bool,
    /// The services.
    pub pumped: Vec<Pumped>,
}

/// A service whose output is pumped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pumped {
    /// Its name.
    pub name: ServiceName,
    /// How its lines look.
    pub format: Format,
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

/// So much of a line that has no end yet is known again after a kill though it is passed on.
pub const KEPT: usize = 4096;
/// So many bytes are taken out of a log pipe at once, at most.
pub const WINDOW: usize = 64 * 1024;
/// So many bytes can wait for one of the container's streams.
pub const ROOM: usize = 4 * WINDOW;

/// Where things lie in the state, a file in memory that outlives a zei-log. All is zero at first: nothing is known. Its
/// numbers have 64 bits, little-endian.
///
/// ```text
///      0  how many changes are being made, and then which: where, and what (see `run::log::memory`)
///    256  the log pipe whose bytes are in the intake, by its slot, plus one; or 0
///    264  so many of them are passed on or held
///    272  of the container's standard output, then of its standard error:
///         how much waits for it, how much of that is written, the slot of the stream whose line is in the middle plus one,
///         and whether what is written next may have been already
///   4096  what waits for standard output, then for standard error
///         then slots, one for each log pipe: the run that it is in plus one, the last run that was told to be ready plus
///         one, where what is held begins and ends, how much of it is passed on; from 4096 on what is held
/// ```
pub mod layout {
    use super::{ROOM, WINDOW};

    /// How many changes are being made.
    pub const CHANGES: usize = 0;
    /// At most so many at once.
    pub const MOST_CHANGES: usize = 15;
    /// Whose bytes are in the intake.
    pub const INTAKE_SLOT: usize = 256;
    /// How many of them are done with.
    pub const INTAKE_DONE: usize = 264;
    const OUTLET: usize = 272;
    const OUTLET_SIZE: usize = 64;
    const PAGE: usize = 4096;
    const HELD: usize = 3 * WINDOW;
    /// Of the state: what is there without any log pipe.
    pub const HEAD: usize = PAGE + 2 * ROOM;
    /// So much of the head may have to be changed when a log pipe is gone.
    pub const HEAD_NUMBERS: usize = OUTLET + 2 * OUTLET_SIZE;
    /// Of the state: what concerns one log pipe.
    pub const SLOT: usize = PAGE + HELD;
    /// So much of a slot are the numbers.
    pub const SLOT_NUMBERS: usize = 64;

    /// A number of one of the container's streams.
    pub const fn outlet(index: usize, number: OutletNumber) -> usize {
        OUTLET + index * OUTLET_SIZE + number as usize * 8
    }

    /// What is known of one of the container's streams.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum OutletNumber {
        /// How much waits for it.
        Length,
        /// How much of that is written.
        Written,
        /// The slot of the stream whose line is in the middle at its end, plus one.
        Open,
        /// 1: what is written next may have been already, wholly or in part.
        Unsure,
    }

    /// Where what waits for one of the container's streams begins; it has room for [`ROOM`] bytes.
    pub const fn waiting(index: usize) -> usize {
        PAGE + index * ROOM
    }

    /// Where a slot begins; also how large a state is that has so many.
    pub const fn slot(index: usize) -> usize {
        HEAD + index * SLOT
    }

    /// A number of a slot.
    pub const fn of_slot(index: usize, number: SlotNumber) -> usize {
        slot(index) + number as usize * 8
    }

    /// What is known of a log pipe.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum SlotNumber {
        /// The run that it is in, plus one.
        Run,
        /// The last run that was told to be ready, plus one.
        Told,
        /// Where what is held begins.
        Begin,
        /// Where it ends.
        End,
        /// So much of it is passed on: the begin of a line.
        Shown,
    }

    /// Where what is held can begin; there is room for three times [`WINDOW`].
    pub const fn held(index: usize) -> usize {
        slot(index) + PAGE
    }

    /// The numbers of a head, once the log pipe of a slot is gone: the line that it is in the middle of has ended, wherever
    /// that was, and what was taken out of it last is of nobody.
    pub fn forget(head: [u8; HEAD_NUMBERS], slot: usize) -> [u8; HEAD_NUMBERS] {
        /// No log pipe has this slot; what it has begun is to be ended.
        const NOBODY: u64 = 1 << 32;
        let mut forgotten = head;
        let known = u64::try_from(slot).map_or(u64::MAX, |slot| slot.saturating_add(1));
        for (at, word) in forgotten.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let is_open = (0..2).any(|index| at * 8 == outlet(index, OutletNumber::Open));
            if u64::from_le_bytes(*word) == known && (is_open || at * 8 == INTAKE_SLOT) {
                *word = (NOBODY + 1).to_le_bytes();
            }
        }
        forgotten
    }
}

impl Table {
    /// The bytes of the table.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |key: &str, value: &dyn core::fmt::Display| bytes.extend(format!("{key}={value}\0").into_bytes());
        put("token", &format_args!("{:x}", self.token));
        put("state", &self.state);
        put("intake", &self.intake);
        if let Some(services) = &self.services {
            put("services", services);
        }
        if let Some(rest) = &self.rest {
            put("rest", rest);
        }
        if self.colour {
            put("colour", &1);
        }
        for pumped in &self.pumped {
            put("name", &pumped.name);
            put("format", &pumped.format.word());
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
        let mut table =
            Table { token: 0, state: -1, intake: -1, services: None, rest: None, colour: false, pumped: Vec::new() };
        for entry in bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0) {
            let (key, value) = core::str::from_utf8(entry).ok()?.split_once('=')?;
            match (key, table.pumped.last_mut()) {
                ("token", _) => table.token = u64::from_str_radix(value, 16).ok()?,
                ("state", _) => table.state = value.parse().ok()?,
                ("intake", _) => table.intake = value.parse().ok()?,
                ("services", _) => table.services = Some(value.parse().ok()?),
                ("rest", _) => table.rest = Some(value.parse().ok()?),
                ("colour", _) => table.colour = true,
                ("name", _) => table.pumped.push(Pumped {
                    name: ServiceName::parse(value).ok()?,
                    format: Format::Raw,
                    pattern: None,
                    notify: None,
                    pipes: Vec::new(),
                }),
                ("format", Some(pumped)) => pumped.format = Format::of(value)?,
                ("pattern", Some(pumped)) => pumped.pattern = Some(value.to_owned()),
                ("notify", Some(pumped)) => pumped.notify = Some(value.parse().ok()?),
                ("stdout", Some(pumped)) => pumped.pipes.push(LogPipe::decode(Side::Out, value)?),
                ("stderr", Some(pumped)) => pumped.pipes.push(LogPipe::decode(Side::Err, value)?),
                _ => return None,
            }
        }
        (table.state >= 0 && table.intake >= 0).then_some(table)
    }

    /// So wide are names, as they stand before lines.
    pub fn width(&self) -> usize {
        let labelled = self.pumped.iter().filter(|pumped| pumped.format == Format::Prefix && !pumped.pipes.is_empty());
        labelled.map(|pumped| pumped.name.as_str().len()).max().unwrap_or(0)
    }

    /// All descriptors that it names, each once.
    pub fn descriptors(&self) -> Vec<i32> {
        let of = |pumped: &Pumped| pumped.pipes.iter().map(|pipe| pipe.pipe).chain(pumped.notify).collect::<Vec<_>>();
        let mut all: Vec<i32> =
            self.pumped.iter().flat_map(of).chain(self.services).chain([self.state, self.intake]).collect();
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
        let pumped = |name, pattern: Option<&str>, notify: Option<i32>, pipes| Pumped {
            name: ServiceName::parse(name).unwrap(),
            format: if notify.is_some() { Format::Prefix } else { Format::Raw },
            pattern: pattern.map(str::to_owned),
            notify,
            pipes,
        };
        let table = Table {
            token: u64::MAX,
            state: 20,
            intake: 21,
            services: Some(7),
            rest: Some(1000),
            colour: true,
            pumped: vec![
                pumped("web", Some("a = b\n$"), Some(30), vec![pipe(0, Side::Out, 31), pipe(1, Side::Err, 32)]),
                pumped("worker", None, None, vec![pipe(7, Side::Err, 33)]),
                Pumped { format: Format::Hidden, ..pumped("a-long-name", None, None, vec![pipe(8, Side::Out, 34)]) },
                pumped("quiet", Some(""), Some(30), vec![]),
            ],
        };
        assert_eq!(Table::decode(&table.encode()), Some(table.clone()));
        // One that has no log pipe stands before no line.
        assert_eq!(table.width(), 3);
        assert_eq!(table.descriptors(), [7, 20, 21, 30, 31, 32, 33, 34]);
        let least = Table { token: 0, state: 3, intake: 4, services: None, rest: None, colour: false, pumped: vec![] };
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
    fn a_log_pipe_that_is_gone_holds_no_line_open_and_its_bytes_are_nobodys() {
        use layout::{HEAD_NUMBERS, INTAKE_SLOT, OutletNumber, outlet};
        const NOBODY: u64 = (1 << 32) + 1;
        let places = [INTAKE_SLOT, outlet(0, OutletNumber::Open), outlet(1, OutletNumber::Open)];
        let head = |words: [u64; 3]| {
            // What stands elsewhere may look the same.
            let mut head = [0; HEAD_NUMBERS];
            head.as_chunks_mut().0.iter_mut().for_each(|word| *word = 4u64.to_le_bytes());
            for (at, word) in places.into_iter().zip(words) {
                head[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
            head
        };
        for (slot, words, forgotten) in [
            (0, [0, 0, 0], [0, 0, 0]),
            (0, [1, 1, 2], [NOBODY, NOBODY, 2]),
            (3, [3, 4, 4], [3, NOBODY, NOBODY]),
            (3, [4, 5, 0], [NOBODY, 5, 0]),
            (7, [4, 5, 0], [4, 5, 0]),
        ] {
            assert!(layout::forget(head(words), slot) == head(forgotten), "{slot} {words:?}");
        }
    }

    #[test]
    fn nothing_in_the_state_overlaps() {
        use layout::{
            HEAD, MOST_CHANGES, OutletNumber, SLOT_NUMBERS, SlotNumber, held, of_slot, outlet, slot, waiting,
        };
        const { assert!(layout::CHANGES + 8 + MOST_CHANGES * 16 <= layout::INTAKE_SLOT) };
        assert!(layout::INTAKE_DONE + 8 <= outlet(0, OutletNumber::Length));
        assert!(outlet(0, OutletNumber::Unsure) + 8 <= outlet(1, OutletNumber::Length));
        assert!(outlet(1, OutletNumber::Unsure) + 8 <= waiting(0));
        assert_eq!((waiting(1) - waiting(0), HEAD - waiting(1)), (ROOM, ROOM));
        assert_eq!(slot(0), HEAD);
        assert!(of_slot(1, SlotNumber::Shown) + 8 <= slot(1) + SLOT_NUMBERS && slot(1) + SLOT_NUMBERS <= held(1));
        assert_eq!(slot(2) - held(1), 3 * WINDOW);
    }

    #[test]
    fn what_is_no_table_is_none() {
        for bytes in [
            &b""[..],
            b"state=3\0",
            b"intake=3\0",
            b"state=3\0intake=4",
            b"state=3\0intake=4\0notify=4\0",
            b"state=3\0intake=4\0other=4\0",
            b"state=x\0intake=4\0",
        ] {
            assert_eq!(Table::decode(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
