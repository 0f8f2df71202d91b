//! The file of answers (see `protocol::control`): appended to, changed in place, shortened by replacement.

use crate::paths;
use crate::protocol::control::{Ack, KEEP, KEEP_MS, Progress, RECORD, Token};
use crate::run::place::Place;
use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::sys::uio::{pread, pwrite};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::os::fd::OwnedFd;

/// So many records are there at least before the file is shortened.
const SHORTEN: u64 = 1024;

/// The open file; it is made by the first command.
#[derive(Debug, Default)]
pub struct Acks {
    file: Option<OwnedFd>,
    /// Hashes of the tokens in it: one that is not among them is new, whatever the file's length.
    hashes: HashSet<u64>,
    count: u64,
    shorten_at: u64,
}

impl Acks {
    /// The file as a predecessor left it.
    pub fn open(place: Option<&Place>) -> Acks {
        let file = place.and_then(|place| place.open_file(paths::ACKS, false).ok());
        let length = file.as_ref().and_then(|file| fstat(file).ok()).map_or(0, |stat| stat.st_size.unsigned_abs());
        let count = length / RECORD as u64;
        let mut acks = Acks { file, hashes: HashSet::new(), count, shorten_at: SHORTEN.max(count) };
        acks.rehash();
        acks
    }

    fn rehash(&mut self) {
        let mut hashes = HashSet::new();
        self.scan(|_, record| {
            hashes.insert(hash(record.split(|byte| *byte == b' ').next().unwrap_or_default()));
            true
        });
        self.hashes = hashes;
    }

    /// Calls `each` with every record and its number, oldest first, until it says `false`.
    #[inline(never)]
    pub fn scan(&self, mut each: impl FnMut(u64, &[u8]) -> bool) {
        let Some(file) = &self.file else { return };
        let mut chunk = [0; 32 * RECORD];
        let mut number = 0;
        while let Ok(length) = pread(file, &mut chunk, offset(number)) {
            let records = chunk.get(..length).unwrap_or_default().chunks_exact(RECORD);
            if length < RECORD {
                return;
            }
            for record in records {
                if !each(number, record) {
                    return;
                }
                number += 1;
            }
        }
    }

    /// Whether a command with this token was accepted before.
    pub fn knows(&self, token: &Token) -> bool {
        if !self.hashes.contains(&hash(token.as_bytes())) {
            return false;
        }
        let mut known = false;
        self.scan(|_, record| {
            known = record.strip_prefix(token.as_bytes()).is_some_and(|rest| rest.starts_with(b" "));
            !known
        });
        known
    }

    /// Appends a record and returns its number.
    pub fn append(&mut self, place: &Place, ack: &Ack) -> Result<u64, Errno> {
        if self.file.is_none() {
            self.file = Some(place.open_file(paths::ACKS, true)?);
        }
        self.come_back(place)?;
        let Some(file) = &self.file else { return Err(Errno::ENOENT) };
        let written = pwrite(file, &ack.encode(), offset(self.count));
        if written? < RECORD {
            return Err(Errno::ENOSPC);
        }
        self.hashes.insert(hash(ack.token.as_bytes()));
        self.count += 1;
        Ok(self.count - 1)
    }

    /// Replaces a record in place.
    pub fn replace(&mut self, place: Option<&Place>, number: u64, ack: &Ack) {
        if let Some(file) = &self.file {
            let _room_is_there = pwrite(file, &ack.encode(), offset(number));
        }
        let _next_time_perhaps = place.map(|place| self.come_back(place));
    }

    /// Where somebody has removed the file, it is put back with all that was in it.
    fn come_back(&mut self, place: &Place) -> Result<(), Errno> {
        let is_missing = self.file.as_ref().is_some_and(|file| !place.has(paths::ACKS, file));
        if is_missing { self.rewrite(place, 0) } else { Ok(()) }
    }

    /// Drops what is older than anyone may rely on, but nothing from `first_open` on. Returns how many
    /// records were dropped.
    pub fn shorten(&mut self, place: &Place, now: u64, first_open: Option<u64>) -> u64 {
        if self.count < self.shorten_at {
            return 0;
        }
        let last = first_open.unwrap_or(self.count).min(self.count.saturating_sub(KEEP as u64));
        let mut drop = last;
        self.scan(|number, record| {
            let young = Ack::decode(record).is_some_and(|ack| ack.at.saturating_add(KEEP_MS) > now);
            if young && number < last {
                drop = number;
            }
            number < last && !young
        });
        if drop < self.count / 2 {
            self.shorten_at = self.count * 2;
            return 0;
        }
        match self.rewrite(place, drop) {
            Ok(()) => drop,
            Err(_) => {
                self.shorten_at = self.count * 2;
                0
            }
        }
    }

    fn rewrite(&mut self, place: &Place, drop: u64) -> Result<(), Errno> {
        let file = place.open_file(paths::NEW_ACKS, true)?;
        nix::unistd::ftruncate(&file, 0)?;
        let mut kept = 0;
        let mut result = Ok(());
        self.scan(|number, record| {
            if number >= drop {
                result = pwrite(&file, record, offset(kept)).map(|_| ());
                kept += 1;
            }
            result.is_ok()
        });
        result?;
        place.rename(paths::NEW_ACKS, paths::ACKS)?;
        (self.file, self.count) = (Some(file), kept);
        self.shorten_at = SHORTEN.max(kept * 2);
        self.rehash();
        Ok(())
    }

    /// The commands that a predecessor accepted and did not finish.
    pub fn unfinished(&self) -> Vec<(u64, Ack)> {
        let mut found = Vec::new();
        self.scan(|number, record| {
            if let Some(ack @ Ack { progress: Progress::Accepted { .. }, .. }) = Ack::decode(record) {
                found.push((number, ack));
            }
            true
        });
        found
    }
}

fn hash(token: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(token);
    hasher.finish()
}

fn offset(number: u64) -> i64 {
    i64::try_from(number.saturating_mul(RECORD as u64)).unwrap_or(i64::MAX)
}
