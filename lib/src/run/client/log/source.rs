//! The kept output of one service, read from its files.
//!
//! Owns: which file comes after which, over rotations. Must never: hold more than a bounded part of a file, or leave
//! anything out without a count.

use super::super::Failure;
use super::super::place::{Place, Target, errno};
use super::lines::{Joiner, Line};
use crate::exit;
use crate::name::ServiceName;
use crate::paths;
use crate::protocol::log::{self, Record};
use nix::errno::Errno;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// So much is read at a time.
const CHUNK: usize = 16 * 1024;
/// So often the two names are looked at until they belong together; each further look needs a rotation in between.
const LOOKS: usize = 1000;

/// What tells one file from every other that is open.
type Id = (u64, u64);

/// A service's output, from the oldest line that is kept.
pub(super) struct Source<'a> {
    place: &'a Place,
    pub(super) name: ServiceName,
    current: Option<Reading>,
    /// What comes behind it.
    next: VecDeque<Reading>,
    joiner: Joiner,
    ready: VecDeque<Line>,
    /// Only what was there when it was opened.
    bounded: bool,
    /// What has begun is not waited for.
    ending: bool,
    missed: bool,
}

impl<'a> Source<'a> {
    /// At the oldest line. `follow`: it goes on with what comes; else it ends with what is there now.
    pub(super) fn open(place: &'a Place, name: ServiceName, follow: bool) -> Result<Source<'a>, Failure> {
        let mut source = Source {
            place,
            name,
            current: None,
            next: VecDeque::new(),
            joiner: Joiner::default(),
            ready: VecDeque::new(),
            bounded: !follow,
            ending: !follow,
            missed: false,
        };
        let (old, log) = source.look()?;
        source.next.extend(old.into_iter().chain(log));
        Ok(source)
    }

    /// Whether there is, or was, any file.
    pub(super) fn is_kept(&self) -> bool {
        self.current.is_some() || !self.next.is_empty()
    }

    /// The next line; `None`: there is none now.
    pub(super) fn next(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            if self.feed()? || self.advance()? {
                continue;
            }
            if self.ending {
                self.ready.extend(self.joiner.rest());
            }
            if self.ready.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Goes on to the last `count` of the lines that are there now and wanted.
    pub(super) fn skip_to_last(&mut self, count: usize, wanted: impl Fn(&Line) -> bool) -> Result<(), Failure> {
        let bounded = std::mem::replace(&mut self.bounded, true);
        let mut last = VecDeque::new();
        while let Some(line) = self.next()? {
            if wanted(&line) {
                last.push_back(line);
            }
            if last.len() > count {
                last.pop_front();
            }
        }
        (self.ready, self.bounded) = (last, bounded);
        Ok(())
    }

    /// Nothing more is written: what has begun will not be completed.
    pub(super) fn end(&mut self) {
        self.ending = true;
    }

    /// Nothing more can be read.
    pub(super) fn close(&mut self) {
        (self.current, self.bounded, self.ending) = (None, true, true);
        self.next.clear();
    }

    /// Whether something may be missing before the next line.
    pub(super) fn take_missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }

    /// Reads on in the current file; `false`: that is at its end.
    fn feed(&mut self) -> Result<bool, Failure> {
        let Some(reading) = &mut self.current else { return Ok(false) };
        let end = if self.bounded { reading.end } else { u64::MAX };
        let (joiner, ready) = (&mut self.joiner, &mut self.ready);
        let fed = reading.feed(end, &mut |record| joiner.take(&record, ready));
        fed.map_err(|error| self.refused(paths::LOG, errno(&error)))
    }

    /// Goes on to the file behind the current one; `false`: there is none yet.
    fn advance(&mut self) -> Result<bool, Failure> {
        if let Some(next) = self.next.pop_front() {
            self.current = Some(next);
            return Ok(true);
        }
        if self.bounded {
            return Ok(false);
        }
        let own = self.current.as_ref().map(|reading| reading.id);
        let newest = self.open_file(paths::LOG)?.map(|reading| reading.id);
        if newest.is_none() || newest == own {
            return Ok(self.current.as_mut().is_some_and(Reading::was_emptied));
        }
        // Only now nothing is appended to the current one any more; until now something may have been.
        if self.feed()? {
            return Ok(true);
        }
        let (old, log) = self.look()?;
        let old_id = old.as_ref().map(|old| old.id);
        if old_id == own {
            self.next.extend(log);
        } else {
            // Where there is no old one, the service was removed and added anew.
            self.missed |= own.is_some() && old.is_some();
            self.next.extend(old.into_iter().chain(log));
        }
        Ok(!self.next.is_empty())
    }

    /// The files of both names as they were at one instant, the older first.
    fn look(&self) -> Result<(Option<Reading>, Option<Reading>), Failure> {
        for _ in 0..LOOKS {
            let log = self.open_file(paths::LOG)?;
            let old = self.open_file(paths::OLD_LOG)?;
            let again = self.open_file(paths::LOG)?;
            if again.map(|again| again.id) == log.as_ref().map(|log| log.id) {
                return Ok((old, log));
            }
        }
        Err(self.refused(paths::LOG, Errno::EBUSY))
    }

    fn open_file(&self, file: &str) -> Result<Option<Reading>, Failure> {
        let path = Target::Service(self.name).file(file);
        let opened = match self.place.open_log(&path) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(self.refused(file, errno)),
        };
        let metadata = opened.metadata().map_err(|error| self.refused(file, errno(&error)))?;
        if !metadata.is_file() {
            let message =
                format!("{} is no regular file; zei makes it anew once it is removed", self.place.full(&path));
            return Err(Failure::new(exit::SYSTEM, message));
        }
        let (id, end) = ((metadata.dev(), metadata.ino()), metadata.len());
        Ok(Some(Reading { file: opened, id, offset: 0, end, begun: Vec::new(), too_long: false }))
    }

    fn refused(&self, file: &str, errno: Errno) -> Failure {
        let path = Target::Service(self.name).file(file);
        match errno {
            Errno::EACCES => {
                let path = self.place.full(&path);
                let message = format!("no permission to read {path}: kept output is for root and the file's owner");
                Failure::new(exit::SYSTEM, message)
            }
            errno => self.place.refused("read", &path, errno),
        }
    }
}

/// A file that is read. It stays open when it has lost its name.
struct Reading {
    file: File,
    id: Id,
    offset: u64,
    /// Where its end was when it was opened.
    end: u64,
    /// A record whose end has not been read.
    begun: Vec<u8>,
    /// It is longer than any can be, and passed over.
    too_long: bool,
}

impl Reading {
    /// Gives away the records that are whole; `false`: nothing more has been written before `end`.
    fn feed(&mut self, end: u64, take: &mut impl FnMut(Record<'_>)) -> io::Result<bool> {
        let mut chunk = [0; CHUNK];
        let wanted = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(CHUNK).min(CHUNK);
        let length = self.file.read_at(chunk.get_mut(..wanted).unwrap_or_default(), self.offset)?;
        self.offset += length as u64;
        for part in chunk.get(..length).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(line) if self.begun.is_empty() && !self.too_long => {
                    log::parse(line).into_iter().for_each(&mut *take)
                }
                Some(end) => {
                    let line = [&std::mem::take(&mut self.begun), end].concat();
                    if !std::mem::take(&mut self.too_long) {
                        log::parse(&line).into_iter().for_each(&mut *take);
                    }
                }
                None => self.begun.extend_from_slice(part),
            }
        }
        if self.begun.len() > log::LONGEST {
            (self.too_long, self.begun) = (true, Vec::new());
        }
        Ok(length > 0)
    }

    /// Whether somebody has emptied the file by hand; then it is read from its begin.
    fn was_emptied(&mut self) -> bool {
        let is_shorter = self.file.metadata().is_ok_and(|metadata| metadata.len() < self.offset);
        if is_shorter {
            (self.offset, self.begun, self.too_long) = (0, Vec::new(), false);
        }
        is_shorter
    }
}

#[cfg(test)]
mod tests;
