//! The journal of a tree (see `protocol::journal`): one file, to which zei-init and every supervisor append.
//!
//! Owns: what is a change, and how much is kept. Must never: be waited for or needed. Where there is no journal, or no
//! room in it, everything goes on.
//!
//! One file for all, and not one for each service: to append to it costs a service's start 1 µs, where a file of its
//! own costs 12 µs, 8 more for its removal at the next start, and a page of memory (tmpfs; half as much again or more
//! on a disk). The kernel keeps the order of the appends, so nothing has to be merged, and whoever follows a thousand
//! services has one FIFO to listen at.

use crate::paths;
use crate::protocol::journal::{Entry, KEEP, RECORD};
use crate::sys::event;
use crate::text::{self, Text};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate, openat};
use nix::sys::stat::{Mode, fstat};
use nix::sys::uio::pread;
use std::os::fd::{AsFd, OwnedFd};

/// Each writer looks at the file's length once in so many of its own records: with N writers N times as many may be
/// there on top of what is kept.
const LOOK: u32 = 8;
/// Holes begin and end at multiples of this, which hold whole records.
const PAGE: u64 = 4096;
/// So many records are read at once, and their bytes.
const BATCH: u64 = 16;
const BATCH_BYTES: usize = BATCH as usize * RECORD;

/// Makes the journal in zei-init's directory, where there is none yet.
pub fn make(directory: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, paths::EVENTS, flags, Mode::from_bits_truncate(0o644))
}

/// What one service, or zei-init, tells in it.
#[derive(Debug)]
pub struct Journal {
    file: Option<OwnedFd>,
    /// What its last record says, which the next one must differ from.
    last: Option<Last>,
    /// So many of its own could not be written.
    lost: u32,
    count: u32,
    /// Something was written and not rung.
    news: bool,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    state: Text<16>,
    digest: u64,
}

impl Last {
    fn of(entry: &Entry) -> Last {
        Last { state: entry.state, digest: entry.digest() }
    }
}

impl Journal {
    /// Over the file that [`make`] has made; `None`: nothing is written.
    pub fn over(file: Option<OwnedFd>) -> Journal {
        Journal { file, last: None, lost: 0, count: 0, news: false }
    }

    /// Goes on where a predecessor was killed. `entry` is what that has recorded: it is told now, if the journal does
    /// not say it yet.
    #[inline(never)]
    pub fn resume(&mut self, entry: Entry) {
        let Some(file) = &self.file else { return };
        let mut end = length(file) / RECORD as u64;
        let mut bytes = [0; BATCH_BYTES];
        while end > 0 && self.last.is_none() {
            let start = end.saturating_sub(BATCH);
            let read = pread(file, &mut bytes, offset(start)).unwrap_or(0);
            let read = bytes.get(..read.min(offset_in(end - start))).unwrap_or_default();
            let own = |record: &[u8]| Entry::decode(record).filter(|found| found.service == entry.service);
            self.last = read.rchunks_exact(RECORD).find_map(own).as_ref().map(Last::of);
            if self.last.is_none() && read.first().is_none_or(|byte| *byte == 0) {
                // In front of a hole there is nothing but holes: it was told so long ago that it is forgotten.
                self.last = Some(Last::of(&entry));
            }
            end = start;
        }
        self.note(entry);
    }

    /// Tells what is now, if that differs from what was told last.
    #[inline(never)]
    pub fn note(&mut self, mut entry: Entry) {
        let Some(file) = &self.file else { return };
        let next = Last::of(&entry);
        if self.last.is_some_and(|last| last.digest == next.digest) {
            return;
        }
        entry.previous = self.last.map_or(Text::new(), |last| last.state);
        entry.lost = self.lost;
        match nix::unistd::write(file, &entry.encode()) {
            Ok(RECORD) => self.lost = 0,
            Ok(_) | Err(_) => self.lost = self.lost.saturating_add(1),
        }
        self.last = Some(next);
        self.news = true;
        self.count = self.count.wrapping_add(1);
        if self.count.is_multiple_of(LOOK) {
            forget_what_is_old(file);
        }
    }

    /// Whether there is a file to write to.
    pub const fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Whether there is something that [`Journal::ring`] has not told.
    pub const fn has_news(&self) -> bool {
        self.news
    }

    /// Somebody else rings for what was noted.
    pub const fn is_heard(&mut self) {
        self.news = false;
    }

    /// Wakes whoever follows. `services` is the directory of all services' directories, which lies beside zei-init's.
    pub fn ring(&mut self, services: Option<&OwnedFd>) {
        if let Some(services) = services.filter(|_| self.news) {
            let path: Text<32> = text::format(format_args!("../{}/{}", paths::INIT, paths::EVENT));
            event::ring(services, path.as_str());
        }
        self.news = false;
    }
}

/// What is older than anyone may rely on becomes a hole. Where the file system can make none, the file grows.
fn forget_what_is_old(file: &OwnedFd) {
    let old = length(file).saturating_sub(KEEP * RECORD as u64) / PAGE * PAGE;
    if let Ok(old) = i64::try_from(old)
        && old > 0
    {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let _it_grows = fallocate(file, flags, 0, old);
    }
}

fn length(file: &OwnedFd) -> u64 {
    fstat(file).map_or(0, |stat| stat.st_size.unsigned_abs())
}

fn offset(number: u64) -> i64 {
    i64::try_from(number.saturating_mul(RECORD as u64)).unwrap_or(i64::MAX)
}

fn offset_in(records: u64) -> usize {
    usize::try_from(records).unwrap_or(0).saturating_mul(RECORD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::event::{Waiter, Woken};
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::thread;

    fn made() -> (tempfile::TempDir, Journal) {
        let place = tempfile::tempdir().unwrap();
        let journal = again(&place);
        (place, journal)
    }

    /// As another process has it.
    fn again(place: &tempfile::TempDir) -> Journal {
        let directory = File::open(place.path()).unwrap();
        let file = make(&directory)
            .or_else(|_| openat(&directory, paths::EVENTS, OFlag::O_RDWR | OFlag::O_APPEND, Mode::empty()));
        Journal::over(Some(file.unwrap()))
    }

    fn entry(service: &str, run: u32) -> Entry {
        let state = if run.is_multiple_of(2) { "running" } else { "waiting" };
        Entry { service: Text::from(service), state: Text::from(state), run, ..Entry::default() }
    }

    fn records(place: &Path) -> Vec<Entry> {
        let bytes = fs::read(place.join(paths::EVENTS)).unwrap();
        bytes.chunks(RECORD).filter_map(Entry::decode).collect()
    }

    #[test]
    fn a_change_is_told_once_with_the_state_before_it() {
        let (place, mut journal) = made();
        for run in [1, 1, 2, 2, 4] {
            journal.note(Entry { at: 7, ..entry("web", run) });
        }
        let told: Vec<_> = records(place.path())
            .iter()
            .map(|entry| (entry.run, entry.state.to_string(), entry.previous.to_string()))
            .collect();
        let expected = [(1, "waiting", ""), (2, "running", "waiting"), (4, "running", "running")];
        assert_eq!(told, expected.map(|(run, state, previous)| (run, state.to_string(), previous.to_string())));
    }

    #[test]
    fn a_successor_goes_on_where_its_predecessor_was_killed() {
        let (place, mut journal) = made();
        journal.note(entry("web", 1));
        journal.note(entry("web", 2));
        let mut other = again(&place);
        for run in 1..100 {
            other.note(entry("db", run));
        }
        let mut successor = again(&place);
        successor.resume(entry("web", 2));
        successor.note(entry("web", 3));
        let of_web: Vec<_> =
            records(place.path()).into_iter().filter(|entry| entry.service.as_str() == "web").collect();
        let told: Vec<_> = of_web.iter().map(|entry| (entry.run, entry.previous.as_str())).collect();
        assert_eq!(told, [(1, ""), (2, "waiting"), (3, "running")]);
        // What was recorded and not told is told first.
        let mut untold = again(&place);
        untold.resume(entry("db", 100));
        let last = records(place.path()).pop().unwrap();
        assert_eq!((last.run, last.previous.as_str()), (100, "waiting"));
        let mut new = again(&place);
        new.resume(entry("log", 1));
        assert_eq!(records(place.path()).pop().unwrap().service.as_str(), "log");
    }

    #[test]
    fn what_many_append_at_once_stands_whole_and_in_each_ones_order() {
        let (place, _journal) = made();
        thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                let mut journal = again(&place);
                scope.spawn(move || (1..=200).for_each(|run| journal.note(entry(name, run))));
            }
        });
        let all = records(place.path());
        assert_eq!(all.len(), 800);
        for name in ["a", "b", "c", "d"] {
            let runs: Vec<_> =
                all.iter().filter(|entry| entry.service.as_str() == name).map(|entry| entry.run).collect();
            assert_eq!(runs, (1..=200).collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn what_is_old_takes_no_room_and_the_last_ones_stay() {
        let (place, mut journal) = made();
        let total = 3 * u32::try_from(KEEP).unwrap();
        (1..=total).for_each(|run| journal.note(entry("web", run)));
        let metadata = fs::metadata(place.path().join(paths::EVENTS)).unwrap();
        assert_eq!(metadata.len(), u64::from(total) * RECORD as u64);
        assert!(metadata.blocks() * 512 <= (KEEP + u64::from(LOOK)) * RECORD as u64 + 2 * PAGE, "{metadata:?}");
        let kept = records(place.path());
        assert!(kept.len() as u64 >= KEEP);
        assert!(kept.windows(2).all(|pair| pair[0].run + 1 == pair[1].run) && kept.last().unwrap().run == total);
        // Of a service that is not among them it was told once, and it is not told again.
        let mut successor = again(&place);
        successor.resume(entry("quiet", 2));
        successor.note(entry("quiet", 3));
        let told: Vec<_> =
            records(place.path()).into_iter().filter(|entry| entry.service.as_str() == "quiet").collect();
        assert_eq!((told.len(), told[0].run, told[0].previous.as_str()), (1, 3, "running"));
    }

    #[test]
    fn what_could_not_be_written_is_counted_in_the_next_one() {
        let (place, mut journal) = made();
        let file = journal.file.take();
        // Every write to it is refused, as where there is no room.
        journal.file = Some(File::open("/dev/null").unwrap().into());
        journal.note(entry("web", 1));
        journal.note(entry("web", 2));
        journal.file = file;
        journal.note(entry("web", 3));
        let told = records(place.path());
        assert_eq!((told.len(), told[0].lost, told[0].previous.as_str()), (1, 2, "running"));
    }

    #[test]
    fn whoever_follows_is_woken_once_for_all_that_was_noted() {
        let place = tempfile::tempdir().unwrap();
        for directory in [paths::INIT, paths::SERVICES] {
            fs::create_dir(place.path().join(directory)).unwrap();
        }
        let init = File::open(place.path().join(paths::INIT)).unwrap();
        let services: OwnedFd = File::open(place.path().join(paths::SERVICES)).unwrap().into();
        let mut journal = Journal::over(Some(make(&init).unwrap()));
        let waiter = Waiter::open(&init, paths::EVENT);
        journal.ring(Some(&services));
        assert_eq!(waiter.wait(None, Some(crate::model::time::Span(0))), Woken::TimedOut);
        journal.note(entry("web", 1));
        assert!(journal.has_news());
        journal.ring(Some(&services));
        assert_eq!(waiter.wait(None, None), Woken::Rung);
        assert!(!journal.has_news());
    }
}
