//! `events`: what has happened and what happens, one JSON object a line.
//!
//! Owns: reading the journal, and saying what was missed. Must never: leave anything out silently.

use super::place::{Place, Target, errno};
use super::wait::{Seen, watch};
use super::{Failure, Output, json, names, put};
use crate::exit::{self, Exit};
use crate::model::time::{Span, Time};
use crate::paths;
use crate::protocol::instant;
use crate::protocol::journal::{Entry, INIT, RECORD};
use crate::signal;
use crate::sys::clock;
use crate::text::Text;
use nix::unistd::{Whence, lseek};
use serde::Serialize;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::UNIX_EPOCH;

/// So many records are read at a time.
const BATCH: usize = 64;

/// From when on events are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    /// This long ago.
    Ago(Span),
    /// That point in time, in milliseconds since 1970.
    At(u64),
}

/// Reads what [`Since`] says: a length of time or a time as RFC 3339 has it.
pub fn since(text: &str) -> Result<Since, String> {
    if let Ok(span) = super::duration(text) {
        return Ok(Since::Ago(span));
    }
    let time = humantime::parse_rfc3339_weak(text).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let time = time.and_then(|time| u64::try_from(time.as_millis()).ok());
    time.map(Since::At).ok_or_else(|| "write 10m or 2026-11-22T14:20:02Z".to_string())
}

/// Which events are shown.
#[derive(Debug)]
struct Filter {
    /// Empty: everyone's.
    services: Vec<Text<64>>,
    /// From this time of CLOCK_MONOTONIC on.
    from: Time,
    /// And from this time of the wall clock on.
    wall: u64,
}

/// `zei-ctl events`. Writes as it goes, so that little is left for the output.
pub(crate) fn events(place: &Place, words: &[String], start: Option<Since>, follow: bool) -> Result<Output, Failure> {
    let filter = Filter::new(place, words, start)?;
    let Some(mut journal) = Reader::open(place)? else {
        let message = "zei keeps no journal: there was no room for it in the run directory when it was started";
        return Err(Failure::new(exit::NOT_TRUE, message));
    };
    if follow && start.is_none() {
        journal.skip(place)?;
    }
    if !follow {
        journal.drain(place, &filter, &mut put)?;
        return Ok(Output::default());
    }
    let sentinel = place.sentinel();
    let seen = watch(place, &Target::Init, None, sentinel.as_ref(), |_| {
        // Another zei-init has its own.
        let is_over = journal.is_removed();
        Ok((!journal.drain(place, &filter, &mut put)? || is_over).then_some(()))
    })?;
    match seen {
        // Whoever read it has gone, or zei has: both are how it should end.
        Seen::Found(()) | Seen::Gone | Seen::TimedOut => Ok(Output::default()),
    }
}

impl Filter {
    fn new(place: &Place, words: &[String], start: Option<Since>) -> Result<Filter, Failure> {
        let (own, others): (Vec<String>, Vec<String>) = words.iter().cloned().partition(|word| word == INIT);
        let chosen = names::select(&place.services(), &others, names::Scope::Everything)?;
        let services = chosen.iter().map(|name| Text::from(name.as_str()));
        let services = services.chain(own.first().map(|word| Text::from(word.as_str()))).collect();
        let (from, wall) = match start {
            None => (Time(0), 0),
            Some(Since::Ago(span)) => (Time(clock::now().0.saturating_sub(span.0)), 0),
            Some(Since::At(wall)) => (Time(0), wall),
        };
        Ok(Filter { services, from, wall })
    }

    fn admits(&self, entry: &Entry) -> bool {
        let named = self.services.is_empty() || self.services.contains(&entry.service);
        named && Time(entry.at) >= self.from && entry.wall >= self.wall
    }
}

/// The journal, read from some record on.
struct Reader {
    file: File,
    /// How many records stand before the next one.
    next: u64,
}

impl Reader {
    /// At its oldest record.
    fn open(place: &Place) -> Result<Option<Reader>, Failure> {
        let path = Target::Init.file(paths::EVENTS);
        let Some(file) = place.read(&path)? else { return Ok(None) };
        let next = first_at(&file, 0);
        Ok(Some(Reader { file, next }))
    }

    /// Behind its newest record.
    fn skip(&mut self, place: &Place) -> Result<(), Failure> {
        let length = self.file.metadata().map_err(|error| refused(place, &error))?.len();
        self.next = length / RECORD as u64;
        Ok(())
    }

    /// Whether nothing will be appended any more, as another zei-init has cleared the directory.
    fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// Gives all that has come since to `out`, line by line; `false`: nobody wants it any more.
    fn drain(
        &mut self,
        place: &Place,
        filter: &Filter,
        out: &mut dyn FnMut(&str) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        let mut bytes = [0; BATCH * RECORD];
        loop {
            let length = self.read(&mut bytes).map_err(|error| refused(place, &error))?;
            let records = bytes.get(..length).unwrap_or_default().chunks_exact(RECORD);
            let count = records.len();
            let mut lines = String::new();
            for record in records {
                // A hole: what stood here was taken away before it was read.
                if record.first() == Some(&0) {
                    let found = first_at(&self.file, self.next).max(self.next + 1);
                    lines += &missed(found - self.next, None);
                    self.next = found;
                    break;
                }
                self.next += 1;
                match Entry::decode(record) {
                    Some(entry) if filter.admits(&entry) => lines += &line(&entry, self.next),
                    Some(_) => {}
                    None => lines += &missed(1, None),
                }
            }
            // Also where there is nothing to write: whether anybody still reads shows here only.
            if !out(&lines)? {
                return Ok(false);
            }
            if count == 0 {
                return Ok(true);
            }
        }
    }

    /// Whole records from the next one on; 0: there is none yet.
    fn read(&self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let length = self.file.read_at(bytes, self.next.saturating_mul(RECORD as u64))?;
        Ok(length / RECORD * RECORD)
    }
}

fn refused(place: &Place, error: &std::io::Error) -> Failure {
    place.refused("read", &Target::Init.file(paths::EVENTS), errno(error))
}

/// The first record from this one on that is no hole. Where the file system knows no holes, all are taken for
/// records.
fn first_at(file: &File, number: u64) -> u64 {
    let offset = i64::try_from(number.saturating_mul(RECORD as u64)).unwrap_or(i64::MAX);
    match lseek(file, offset, Whence::SeekData) {
        Ok(offset) => offset.unsigned_abs().div_ceil(RECORD as u64),
        // Behind the last one.
        Err(nix::errno::Errno::ENXIO) => file.metadata().map_or(number, |metadata| metadata.len() / RECORD as u64),
        Err(_) => number,
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    service: &'a str,
    state: &'a str,
    previous: Option<&'a str>,
    reason: &'a str,
    pid: Option<u32>,
    run: u32,
    restarts: u32,
    ready: bool,
    health: &'a str,
    /// The exit code of the last process that ended by itself.
    exit: Option<u8>,
    /// Or the name of the signal that ended it.
    signal: Option<String>,
    text: &'a str,
    /// The number of the event; no number is left out.
    seq: u64,
}

fn line(entry: &Entry, seq: u64) -> String {
    let lost = if entry.lost > 0 { missed(entry.lost.into(), Some(&entry.service)) } else { String::new() };
    let (exit, signal) = match entry.exit {
        Some(Exit::Code(code)) => (Some(code), None),
        Some(Exit::Signal(number)) => (None, Some(signal::Name(number).to_string())),
        None => (None, None),
    };
    lost + &json(&Line {
        time: wall(entry.wall),
        service: &entry.service,
        state: &entry.state,
        previous: Some(entry.previous.as_str()).filter(|previous| !previous.is_empty()),
        reason: &entry.reason,
        pid: entry.pid,
        run: entry.run,
        restarts: entry.restarts,
        ready: entry.ready,
        health: entry.health.word(),
        exit,
        signal,
        text: &entry.text,
        seq,
    })
}

/// A point in time as RFC 3339 has it, in UTC, to the millisecond.
fn wall(milliseconds: u64) -> String {
    match milliseconds {
        0..=instant::LAST => String::from_utf8_lossy(&instant::encode(milliseconds)).into_owned(),
        _ => "?".to_string(),
    }
}

#[derive(Serialize)]
struct Missed<'a> {
    /// So many events can't be shown any more.
    missed: u64,
    /// Whose they were, where that is known.
    service: Option<&'a str>,
}

fn missed(count: u64, service: Option<&str>) -> String {
    json(&Missed { missed: count, service })
}

#[cfg(test)]
mod tests {
    use super::super::fake::Zei;
    use super::*;
    use nix::fcntl::{FallocateFlags, fallocate};
    use proptest::prelude::*;
    use serde_json::Value;
    use std::fs::OpenOptions;
    use std::time::Duration;

    fn entry(service: &str, run: u32) -> Entry {
        let at = 1000 + u64::from(run);
        let state = Text::from("running");
        Entry { at, wall: 1_700_000_000_000 + at, service: Text::from(service), state, run, ..Entry::default() }
    }

    fn all() -> Filter {
        Filter { services: Vec::new(), from: Time(0), wall: 0 }
    }

    fn drained(reader: &mut Reader, place: &Place, filter: &Filter) -> Vec<Value> {
        let mut text = String::new();
        let mut out = |lines: &str| {
            text += lines;
            Ok(true)
        };
        assert!(reader.drain(place, filter, &mut out).unwrap());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn runs(lines: &[Value]) -> Vec<u64> {
        lines.iter().map(|line| line["run"].as_u64().unwrap()).collect()
    }

    #[test]
    fn each_event_is_shown_once_in_order_whenever_one_looks() {
        let zei = Zei::new();
        let (web, db) = (zei.service("web"), zei.service("db"));
        (1..=100).for_each(|run| web.note(&entry("web", run)));
        let place = zei.place();
        let mut reader = Reader::open(&place).unwrap().unwrap();
        let first = drained(&mut reader, &place, &all());
        assert_eq!(runs(&first), (1..=100).collect::<Vec<_>>());
        assert_eq!(
            first.iter().map(|line| line["seq"].as_u64().unwrap()).collect::<Vec<_>>(),
            (1..=100).collect::<Vec<_>>()
        );
        assert!(drained(&mut reader, &place, &all()).is_empty());
        db.note(&entry("db", 1));
        web.note(&entry("web", 101));
        assert_eq!(runs(&drained(&mut reader, &place, &all())), [1, 101]);
    }

    #[test]
    fn a_line_has_all_keys_in_the_form_of_the_other_verbs() {
        let entry = Entry {
            previous: Text::from("running"),
            state: Text::from("failed"),
            exit: Some(Exit::Signal(9)),
            reason: Text::from("signal:KILL"),
            pid: Some(7),
            ..entry("web", 3)
        };
        let expected = r#"{"time":"2023-11-14T22:13:21.003Z","service":"web","state":"failed","previous":"running","reason":"signal:KILL","pid":7,"run":3,"restarts":0,"ready":false,"health":"none","exit":null,"signal":"KILL","text":"","seq":12}"#;
        assert_eq!(line(&entry, 12), format!("{expected}\n"));
        let lost = line(&Entry { lost: 2, ..entry }, 12);
        assert_eq!(lost.lines().next(), Some(r#"{"missed":2,"service":"web"}"#));
    }

    #[test]
    fn services_and_times_that_nobody_asked_for_are_left_out() {
        let zei = Zei::new();
        let web = zei.service("web");
        zei.service("db");
        for (service, run) in [("web", 1), ("db", 2), (INIT, 3), ("web", 4)] {
            web.note(&entry(service, run));
        }
        let place = zei.place();
        let shown = |words: &[&str], since| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            let filter = Filter::new(&place, &words, since).unwrap();
            runs(&drained(&mut Reader::open(&place).unwrap().unwrap(), &place, &filter))
        };
        assert_eq!(shown(&[], None), [1, 2, 3, 4]);
        assert_eq!(shown(&["web"], None), [1, 4]);
        assert_eq!(shown(&["d*", "init"], None), [2, 3]);
        assert_eq!(shown(&[], Some(Since::At(1_700_000_001_003))), [3, 4]);
        assert_eq!(shown(&[], Some(Since::Ago(Span(0)))), [0; 0]);
        assert_eq!(Filter::new(&place, &["none".to_string()], None).unwrap_err().code, exit::NO_SUCH_SERVICE);
    }

    #[test]
    fn what_came_too_fast_is_counted_where_it_is_missing() {
        let zei = Zei::new();
        let web = zei.service("web");
        (1..=200).for_each(|run| web.note(&entry("web", run)));
        let place = zei.place();
        let mut reader = Reader::open(&place).unwrap().unwrap();
        let file = OpenOptions::new().write(true).open(zei.path().join(paths::INIT).join(paths::EVENTS)).unwrap();
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        // Ten pages of sixteen.
        fallocate(&file, flags, 0, 10 * 4096).unwrap();
        let lines = drained(&mut reader, &place, &all());
        assert_eq!(lines[0]["missed"], 160);
        assert_eq!(runs(&lines[1..]), (161..=200).collect::<Vec<_>>());
        // Whoever comes only now has missed nothing.
        let late = drained(&mut Reader::open(&place).unwrap().unwrap(), &place, &all());
        assert_eq!((late.len(), late[0]["seq"].as_u64()), (40, Some(161)));
    }

    #[test]
    fn a_journal_that_is_all_hole_is_waited_on_at_its_end() {
        let zei = Zei::new();
        let web = zei.service("web");
        (1..=16).for_each(|run| web.note(&entry("web", run)));
        let file = OpenOptions::new().write(true).open(zei.path().join(paths::INIT).join(paths::EVENTS)).unwrap();
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(&file, flags, 0, 4096).unwrap();
        let place = zei.place();
        let mut reader = Reader::open(&place).unwrap().unwrap();
        assert!(drained(&mut reader, &place, &all()).is_empty());
        web.note(&entry("web", 17));
        assert_eq!(runs(&drained(&mut reader, &place, &all())), [17]);
    }

    proptest! {
        #[test]
        fn a_time_is_written_as_another_writes_it(milliseconds in 0..=instant::LAST) {
            let time = UNIX_EPOCH + Duration::from_millis(milliseconds);
            prop_assert_eq!(wall(milliseconds), humantime::format_rfc3339_millis(time).to_string());
            prop_assert_eq!(wall(instant::LAST + 1 + milliseconds), "?");
        }
    }

    #[test]
    fn a_point_in_time_is_a_length_or_a_date() {
        assert_eq!(since("10m"), Ok(Since::Ago(Span::seconds(600))));
        assert_eq!(since("5"), Ok(Since::Ago(Span::seconds(5))));
        assert_eq!(since("2023-11-14T22:13:20Z"), Ok(Since::At(1_700_000_000_000)));
        assert_eq!(since("2023-11-14 22:13:20.5"), Ok(Since::At(1_700_000_000_500)));
        assert!(since("yesterday").unwrap_err().contains("write 10m"));
    }
}
