//! The kept output of a service: the files that `zei-ctl log` shows.
//!
//! Owns: appending to them, and when a new one begins. Must never: be needed for the output to go on, or take more room than
//! it was given.
//!
//! A zei-log that is killed may have written what its successor takes for not written: such lines stand there twice. What it
//! was writing is cut off.

use crate::model::pump::Side;
use crate::name::ServiceName;
use crate::paths;
use crate::protocol::log::{self, Stream};
use crate::sys::elevation::as_root;
use memchr::{memchr, memrchr};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstat};
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{Uid, fchown, ftruncate};
use std::os::fd::{BorrowedFd, OwnedFd};

/// So large is each of the two files, at most.
const SIZE: usize = 64 * 1024;
/// A longer line is kept in pieces.
pub const PIECE: usize = 32 * 1024;

/// The files of one service.
#[derive(Debug)]
pub struct Ring {
    directory: OwnedFd,
    file: OwnedFd,
    length: usize,
    /// Whom they are for, if not this user.
    rest: Option<u32>,
    /// Records that are not written yet.
    records: Vec<u8>,
    /// The error that was told of.
    failed: Option<Errno>,
}

impl Ring {
    /// Goes on where an earlier zei-log has left off. `services` is the directory of all services' directories.
    ///
    /// # Errors
    /// Of openat(2).
    pub fn open(services: BorrowedFd<'_>, name: ServiceName, rest: Option<u32>) -> Result<Ring, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = openat(services, name.as_str(), flags, Mode::empty())?;
        let file = create(&directory, rest)?;
        let length = fstat(&file).map_or(0, |stat| usize::try_from(stat.st_size).unwrap_or(SIZE));
        let mut ring = Ring { directory, file, length, rest, records: Vec::new(), failed: None };
        ring.cut();
        Ok(ring)
    }

    /// Leaves out a record that was not written to its end.
    fn cut(&mut self) {
        let mut tail = vec![0; self.length.min(PIECE + log::HEAD)];
        let from = self.length - tail.len();
        let read = pread(&self.file, &mut tail, i64::try_from(from).unwrap_or(0)).unwrap_or(0);
        let whole = tail.get(..read).unwrap_or_default();
        if whole.last().is_some_and(|last| *last != b'\n') {
            self.length = from + memrchr(b'\n', whole).map_or(0, |end| end + 1);
            let _as_it_is = ftruncate(&self.file, i64::try_from(self.length).unwrap_or(0));
        }
    }

    /// Keeps text; where it does not end with a newline and the line `goes_on`, that is a piece of a longer one. `at`:
    /// milliseconds since 1970.
    pub fn keep(&mut self, text: &[u8], goes_on: bool, side: Side, run: Option<u64>, at: u64) {
        let (stream, piece) = match side {
            Side::Out => (Stream::Out, Stream::OutPiece),
            Side::Err => (Stream::Err, Stream::ErrPiece),
        };
        let (whole, part) = (log::head(at, run, stream), log::head(at, run, piece));
        let mut rest = text;
        while !rest.is_empty() {
            let near = rest.get(..PIECE).unwrap_or(rest);
            let end = memchr(b'\n', near);
            let (line, behind) = rest.split_at(end.unwrap_or(near.len()));
            let is_whole = end.is_some() || (behind.is_empty() && !goes_on);
            let head = if is_whole { &whole } else { &part };
            if self.records.len() + head.as_bytes().len() + line.len() + 1 > SIZE {
                self.write();
            }
            self.records.extend_from_slice(head.as_bytes());
            self.records.extend_from_slice(line);
            self.records.push(b'\n');
            rest = if end.is_some() { behind.get(1..).unwrap_or_default() } else { behind };
        }
    }

    /// Writes what was kept. `Some`: it can't be done, which was not told of yet.
    pub fn write(&mut self) -> Option<Errno> {
        if self.records.is_empty() {
            return None;
        }
        let written = self.append();
        self.records.clear();
        match written {
            Ok(()) => {
                self.failed = None;
                None
            }
            // The service is gone.
            Err(Errno::ENOENT) => None,
            Err(errno) => {
                // A record that is there in part is none.
                let _as_it_is = ftruncate(&self.file, i64::try_from(self.length).unwrap_or(0));
                (self.failed.replace(errno) != Some(errno)).then_some(errno)
            }
        }
    }

    fn append(&mut self) -> Result<(), Errno> {
        if self.length > 0 && self.length + self.records.len() > SIZE {
            as_root(|| renameat(&self.directory, paths::LOG, &self.directory, paths::OLD_LOG))?;
            self.file = create(&self.directory, self.rest)?;
            self.length = 0;
        }
        let mut rest = &self.records[..];
        let mut at = self.length;
        while !rest.is_empty() {
            let written = pwrite(&self.file, rest, i64::try_from(at).unwrap_or(0))?;
            at += written;
            rest = rest.get(written..).unwrap_or_default();
        }
        self.length = at;
        Ok(())
    }
}

fn create(directory: &OwnedFd, rest: Option<u32>) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    as_root(|| {
        let file = openat(directory, paths::LOG, flags, Mode::from_bits_truncate(0o600))?;
        if rest.is_some() {
            fchown(&file, rest.map(Uid::from_raw), None)?;
        }
        Ok(file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;
    use tempfile::TempDir;

    fn place() -> (TempDir, File) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("web")).unwrap();
        let services = File::open(directory.path()).unwrap();
        (directory, services)
    }

    fn open(services: &File) -> Ring {
        Ring::open(services.as_fd(), ServiceName::parse("web").unwrap(), None).unwrap()
    }

    #[test]
    fn lines_are_records_and_what_was_not_written_to_its_end_is_cut_off() {
        let (directory, services) = place();
        let path = directory.path().join("web/log");
        let mut ring = open(&services);
        ring.keep(b"one\n\ntwo\r\n", true, Side::Out, Some(3), 0);
        ring.keep(b"part", true, Side::Err, None, 1);
        ring.keep(b"whole", false, Side::Err, None, 1);
        assert_eq!(ring.write(), None);
        let expected = "1970-01-01T00:00:00.000Z 3 out one\n1970-01-01T00:00:00.000Z 3 out \n\
                        1970-01-01T00:00:00.000Z 3 out two\r\n1970-01-01T00:00:00.001Z - err+ part\n\
                        1970-01-01T00:00:00.001Z - err whole\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        fs::write(&path, format!("{expected}1970-01-01T00:00:00.002Z 3 o")).unwrap();
        let mut ring = open(&services);
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        ring.keep(b"next\n", true, Side::Out, Some(3), 3);
        assert_eq!(ring.write(), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{expected}1970-01-01T00:00:00.003Z 3 out next\n"));
    }

    #[test]
    fn where_there_is_no_room_that_is_told_once() {
        let (directory, services) = place();
        let mut ring = open(&services);
        ring.file = File::options().write(true).open("/dev/full").unwrap().into();
        for expected in [Some(Errno::ENOSPC), None] {
            ring.keep(b"one\n", true, Side::Out, None, 0);
            assert_eq!(ring.write(), expected);
        }
        drop(directory);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_last_lines_are_kept_in_order_and_never_more_than_there_is_room_for(
            lengths in prop::collection::vec(0..60_000usize, 1..30),
        ) {
            let (directory, services) = place();
            let mut ring = open(&services);
            let mut all = Vec::new();
            for (number, length) in lengths.into_iter().enumerate() {
                let line = format!("{number} {}\n", "x".repeat(length));
                ring.keep(line.as_bytes(), true, Side::Out, Some(1), 0);
                ring.write();
                all.extend_from_slice(line.as_bytes());
            }
            let read = |name| fs::read(directory.path().join("web").join(name)).unwrap_or_default();
            let (old, new) = (read("log.old"), read("log"));
            prop_assert!(old.len() <= SIZE && new.len() <= SIZE);
            let mut kept = Vec::new();
            for record in [old, new].concat().split_inclusive(|byte| *byte == b'\n') {
                let record = log::parse(record.strip_suffix(b"\n").unwrap()).unwrap();
                kept.extend_from_slice(record.text);
                if !record.stream.goes_on() {
                    kept.push(b'\n');
                }
            }
            prop_assert!(all.ends_with(&kept));
            prop_assert!(all.len() == kept.len() || kept.len() > SIZE / 4);
        }
    }
}
