//! What has happened: the format of the journal `init/events`, version 1.
//!
//! Owns: the bytes. Must never: open a file.
//!
//! One file for the whole tree. zei-init makes it, and whoever has changed something appends one record of [`RECORD`]
//! bytes by one write(2) with O_APPEND: a supervisor for each change of what its `status` says, zei-init for its own
//! (as service `init`). The records therefore stand in the order in which they happened, and the number of a record,
//! counted from 1, is its place in the file: it is never given twice, and no number is left out.
//!
//! A record is text: fields `KEY=VALUE`, separated by tabs, filled up with blanks, ended by a newline.
//!
//! ```text
//! at=4298516          when, in milliseconds of CLOCK_MONOTONIC
//! wall=1795357206810  the same in milliseconds since 1970
//! service=web
//! state=failed        of services as in `status`; of `init`: booting running stopping
//! previous=running    the state in the record before this one of the same service; missing in its first
//! pid=4711            the main process, missing where there is none
//! run=3               how many processes were started so far, missing for 0; so are the next two
//! restarts=2          restarts by policy since the last start by hand
//! lost=1              so many records of this service were not written just before this one: there was no room
//! ready=1             missing where it is not
//! health=healthy      missing where there is no check
//! exit=3              the exit code of the last process that ended
//! signal=KILL         or the name of the signal that ended it
//! reason=exit:3       as in `status`, missing where there is none
//! text=               what the service says of itself, missing where that is nothing, cut to what fits
//! ```
//!
//! Only the last [`KEEP`] records stay for sure. What is older becomes a hole in the file (fallocate(2),
//! FALLOC_FL_PUNCH_HOLE), so it takes no room, and reads as NULs. A reader that meets a hole where its next record was
//! has been too slow. A reader passes over keys that it does not know.
//!
//! # Version log
//!
//! 1: the first.

use super::status::{Health, Status};
use crate::exit::Exit;
use crate::signal;
use crate::text::{self, Text};
use core::fmt::{Display, Write};

/// The length of one record; a memory page holds a whole number of them.
pub const RECORD: usize = 256;
/// So many of the last records are always kept.
pub const KEEP: u64 = 2048;
/// The name under which zei-init's own changes stand; no service can have it.
pub const INIT: &str = "init";

/// One record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// When, in milliseconds of CLOCK_MONOTONIC.
    pub at: u64,
    /// The same in milliseconds since 1970.
    pub wall: u64,
    /// Whose change it is.
    pub service: Text<64>,
    /// The word for what it is doing now.
    pub state: Text<16>,
    /// And before; empty in its first record.
    pub previous: Text<16>,
    /// The main process.
    pub pid: Option<u32>,
    /// How many processes were started so far.
    pub run: u32,
    /// Restarts by policy since the last start by hand.
    pub restarts: u32,
    /// So many records before this one are missing.
    pub lost: u32,
    /// It is ready for work.
    pub ready: bool,
    /// What its health check says.
    pub health: Health,
    /// How the last process ended.
    pub exit: Option<Exit>,
    /// Why it is where it is.
    pub reason: Text<128>,
    /// What it says of itself.
    pub text: Text<96>,
}

impl Entry {
    /// What this status says; nothing before it, and nothing lost.
    pub fn of(status: &Status, at: u64, wall: u64) -> Entry {
        Entry {
            at,
            wall,
            service: Text::from(status.name.as_str()),
            state: Text::from(status.state.word()),
            previous: Text::new(),
            pid: status.pid,
            run: status.run,
            restarts: status.restarts,
            lost: 0,
            ready: status.ready,
            health: status.health,
            exit: status.exit,
            reason: status.reason,
            text: status.text,
        }
    }

    /// A number that differs if anything does that is a change, which times are not.
    pub fn digest(&self) -> u64 {
        let (how, number) = match self.exit {
            None => (0, 0),
            Some(Exit::Code(code)) => (1, code),
            Some(Exit::Signal(signal)) => (2, signal),
        };
        let flags = [how, number, u8::from(self.ready), self.health as u8];
        let numbers = [self.pid.unwrap_or(0), self.run, self.restarts];
        let texts = [self.state.as_bytes(), self.reason.as_bytes(), self.text.as_bytes()];
        let parts = [&flags[..]].into_iter().chain(texts);
        // FNV-1a, each part ended by a byte that stands in no text.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut take = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        parts.for_each(|part| part.iter().copied().chain([0xff]).for_each(&mut take));
        numbers.iter().flat_map(|number| number.to_le_bytes()).for_each(take);
        hash
    }

    /// The record's bytes.
    pub fn encode(&self) -> [u8; RECORD] {
        let mut line = Line(text::format(format_args!("at={}", self.at)));
        line.put("wall", true, self.wall);
        line.put("service", true, self.service);
        line.put("state", true, self.state);
        line.put("previous", !self.previous.as_str().is_empty(), self.previous);
        line.put("pid", self.pid.is_some(), self.pid.unwrap_or(0));
        line.put("run", self.run > 0, self.run);
        line.put("restarts", self.restarts > 0, self.restarts);
        line.put("lost", self.lost > 0, self.lost);
        line.put("ready", self.ready, 1);
        line.put("health", self.health != Health::None, self.health.word());
        match self.exit {
            None => {}
            Some(Exit::Code(code)) => line.put("exit", true, code),
            Some(Exit::Signal(number)) => line.put("signal", true, signal::Name(number)),
        }
        line.put("reason", !self.reason.as_str().is_empty(), OneLine(&self.reason));
        line.put("text", !self.text.as_str().is_empty(), OneLine(&self.text));
        let mut record = [b' '; RECORD];
        let text = line.0.as_bytes();
        if let Some(place) = record.get_mut(..text.len()) {
            place.copy_from_slice(text);
        }
        if let Some(last) = record.last_mut() {
            *last = b'\n';
        }
        record
    }

    /// Reads a record; `None` if it is none (a hole, torn, or of another version).
    pub fn decode(record: &[u8]) -> Option<Entry> {
        let line = core::str::from_utf8(record).ok()?.strip_suffix('\n')?.trim_end_matches(' ');
        let mut entry = Entry::default();
        let mut known = 0;
        for (key, value) in line.split('\t').filter_map(|field| field.split_once('=')) {
            match key {
                "at" => entry.at = value.parse().ok()?,
                "wall" => entry.wall = value.parse().ok()?,
                "service" => entry.service = Text::from(value),
                "state" => entry.state = Text::from(value),
                "previous" => entry.previous = Text::from(value),
                "pid" => entry.pid = Some(value.parse().ok()?),
                "run" => entry.run = value.parse().ok()?,
                "restarts" => entry.restarts = value.parse().ok()?,
                "lost" => entry.lost = value.parse().ok()?,
                "ready" => entry.ready = value == "1",
                "health" => entry.health = Health::parse(value)?,
                "exit" => entry.exit = Some(Exit::Code(value.parse().ok()?)),
                "signal" => entry.exit = Some(Exit::Signal(signal::parse(value)?)),
                "reason" => entry.reason = Text::from(value),
                "text" => entry.text = Text::from(value),
                _ => continue,
            }
            known += u32::from(matches!(key, "at" | "wall" | "service" | "state"));
        }
        (known == 4).then_some(entry)
    }
}

/// What is written so far; a field that does not fit is cut, and nothing comes behind it.
struct Line(Text<{ RECORD - 1 }>);

impl Line {
    fn put(&mut self, key: &str, wanted: bool, value: impl Display) {
        if wanted {
            let _never_fails = write!(self.0, "\t{key}={value}");
        }
    }
}

/// A text in which nothing ends a field or a record.
struct OneLine<'a>(&'a str);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Entry {
        Entry {
            at: 4_298_516,
            wall: 1_795_357_206_810,
            service: Text::from("web"),
            state: Text::from("restart_pending"),
            previous: Text::from("running"),
            pid: None,
            run: 3,
            restarts: 2,
            lost: 0,
            ready: false,
            health: Health::None,
            exit: Some(Exit::Code(3)),
            reason: Text::from("exit:3"),
            text: Text::new(),
        }
    }

    #[test]
    fn a_record_is_one_line_of_fixed_length_that_cat_can_show() {
        let line = "at=4298516\twall=1795357206810\tservice=web\tstate=restart_pending\tprevious=running\trun=3\t\
            restarts=2\texit=3\treason=exit:3";
        assert_eq!(example().encode(), format!("{line:<255}\n").as_bytes());
        let line = "at=4298516\twall=1795357206810\tservice=web\tstate=running\tpid=7\tlost=1\tready=1\t\
            health=healthy\tsignal=RTMIN+3\ttext=all is well";
        let entry = Entry {
            state: Text::from("running"),
            pid: Some(7),
            lost: 1,
            ready: true,
            health: Health::Healthy,
            exit: Some(Exit::Signal(37)),
            text: Text::from("all is well"),
            at: 4_298_516,
            wall: 1_795_357_206_810,
            service: Text::from("web"),
            ..Entry::default()
        };
        assert_eq!(entry.encode(), format!("{line:<255}\n").as_bytes());
    }

    #[test]
    fn what_does_not_fit_is_cut_and_all_that_stands_before_is_read() {
        let entry = Entry {
            service: Text::from("n".repeat(64).as_str()),
            reason: Text::from("r".repeat(128).as_str()),
            pid: Some(u32::MAX),
            ..example()
        };
        let read = Entry::decode(&entry.encode()).unwrap();
        assert!(read.reason.starts_with("rrrrrrrr"), "{read:?}");
        assert_eq!(Entry { reason: entry.reason, ..read }, entry);
    }

    #[test]
    fn nothing_in_a_text_ends_its_field() {
        let entry = Entry { reason: Text::from("a\tpid=1\nb"), ..example() };
        let read = Entry::decode(&entry.encode()).unwrap();
        assert_eq!((read.reason.as_str(), read.pid), ("a pid=1 b", None));
    }

    #[test]
    fn a_hole_and_a_record_that_is_being_written_are_none_and_unknown_keys_are_passed_over() {
        assert_eq!(Entry::decode(&[0; RECORD]), None);
        let whole = example().encode();
        for cut in 0..RECORD {
            let mut torn = [0; RECORD];
            torn[..cut].copy_from_slice(&whole[..cut]);
            assert_eq!(Entry::decode(&torn), None, "{cut}");
        }
        let later = String::from_utf8(whole.to_vec()).unwrap().replace("\trun=3", "\tcpu=7\trun=3");
        assert_eq!(Entry::decode(later.as_bytes()), Some(example()));
    }

    #[test]
    fn a_digest_differs_exactly_where_something_has_changed() {
        let base = example();
        let same = Entry { at: 1, wall: 1, previous: Text::new(), lost: 9, ..base.clone() };
        assert_eq!(same.digest(), base.digest());
        let others = [
            Entry { state: Text::from("running"), ..base.clone() },
            Entry { reason: Text::from("exit:4"), ..base.clone() },
            Entry { text: Text::from("exit:3"), reason: Text::new(), ..base.clone() },
            Entry { pid: Some(1), ..base.clone() },
            Entry { run: 4, ..base.clone() },
            Entry { restarts: 3, ..base.clone() },
            Entry { ready: true, ..base.clone() },
            Entry { health: Health::Healthy, ..base.clone() },
            Entry { exit: Some(Exit::Signal(3)), ..base.clone() },
            Entry { exit: None, ..base.clone() },
        ];
        let mut digests: Vec<u64> = others.iter().chain([&base]).map(Entry::digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), others.len() + 1);
    }

    proptest! {
        #[test]
        fn an_entry_is_read_back_from_its_own_record(
            at: u32, wall: u32, service in "[a-z0-9_.@-]{1,30}", state in "[a-z_]{1,16}", previous in "[a-z_]{0,16}",
            pid: Option<u32>, numbers: (u16, u16, u16), ready: bool, health in 0usize..4, exit in 0u16..320,
            reason in "([a-z:]{0,20} ?[a-z]{1,9}){0,1}", text in "([a-z=]{0,20} ?[a-z]{1,9}){0,1}"
        ) {
            let exit = match exit {
                0..=255 => Some(Exit::Code(exit as u8)), 256 => None, n => Some(Exit::Signal((n - 256) as u8))
            };
            let entry = Entry {
                at: at.into(), wall: wall.into(), service: Text::from(service.as_str()),
                state: Text::from(state.as_str()), previous: Text::from(previous.as_str()), pid, run: numbers.0.into(),
                restarts: numbers.1.into(), lost: numbers.2.into(), ready, health: Health::ALL[health], exit,
                reason: Text::from(reason.as_str()), text: Text::from(text.as_str()),
            };
            let record = entry.encode();
            prop_assert_eq!(record[RECORD - 1], b'\n');
            let read = Entry::decode(&record).unwrap();
            // What the service says comes last, and is cut to what fits; a blank there looks like the filling.
            let is_full = record[RECORD - 3..] != *b"  \n";
            prop_assert!(read.text == entry.text || (is_full && text.starts_with(read.text.as_str())));
            prop_assert_eq!(Entry { text: entry.text, ..read }, entry);
        }

        #[test]
        fn any_bytes_are_a_record_or_none(bytes: Vec<u8>) {
            let _ = Entry::decode(&bytes);
        }
    }
}
