//! Finding an answer in `acks`.
//!
//! Owns: how much of the file is read for that. Must never: wait.
//!
//! A busy service's file holds thousands of records and a hundred clients may look at it at every
//! ring, so a client notes the file's length before it sends: its answer can only stand behind that,
//! unless the file was replaced by a shorter one (a new inode).

use super::Failure;
use super::place::{Place, errno};
use crate::protocol::control::{Ack, RECORD, Token};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

/// So many records are read at a time.
const BATCH: usize = 32;
/// So many reads of a record that is being written; one write takes less than a microsecond.
const TORN_READS: usize = 1000;

/// The file as it was at some moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Mark {
    inode: u64,
    length: u64,
}

impl Mark {
    /// Whether the file was replaced by a shorter one between this mark and a later one.
    pub(crate) fn is_outdated(self, later: Mark) -> bool {
        self.inode != 0 && self.inode != later.inode
    }
}

/// How the file is now.
pub(crate) fn mark(place: &Place, path: &str) -> Result<Mark, Failure> {
    let Some(file) = place.read(path)? else { return Ok(Mark::default()) };
    let metadata = file.metadata().map_err(|error| place.refused("examine", path, errno(&error)))?;
    Ok(Mark { inode: metadata.ino(), length: metadata.len() })
}

/// The answer to `token`, if there is one yet. What stood in the file at `since` is passed over; `None` looks at
/// all (an inode number may have been used again).
pub(crate) fn find(place: &Place, path: &str, token: &Token, since: Option<Mark>) -> Result<Option<Ack>, Failure> {
    let Some(file) = place.read(path)? else { return Ok(None) };
    search(&file, token, since).map_err(|error| place.refused("read", path, errno(&error)))
}

fn search(file: &File, token: &Token, since: Option<Mark>) -> std::io::Result<Option<Ack>> {
    let metadata = file.metadata()?;
    let record = RECORD as u64;
    let first = since.filter(|mark| mark.inode == metadata.ino()).map_or(0, |mark| mark.length / record);
    let mut end = metadata.len() / record;
    let mut bytes = [0; BATCH * RECORD];
    while end > first {
        let start = end.saturating_sub(BATCH as u64).max(first);
        // At most BATCH records, so it fits.
        let batch = bytes.get_mut(..(end - start) as usize * RECORD).unwrap_or_default();
        match file.read_exact_at(batch, start * record) {
            // Made shorter meanwhile, which a supervisor does not do: look again when rung.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let is_it = |bytes: &[u8]| bytes.strip_prefix(token.as_bytes()).is_some_and(|rest| rest.starts_with(b" "));
        if let Some(nth) = batch.chunks_exact(RECORD).rposition(is_it) {
            return settled(file, (start + nth as u64) * record);
        }
        end = start;
    }
    Ok(None)
}

/// The record at `offset`. It may just be replaced and be read half old, so it is taken once it reads the
/// same twice, which it soon does: it changes once in its life.
fn settled(file: &File, offset: u64) -> std::io::Result<Option<Ack>> {
    let mut last = None;
    for _ in 0..TORN_READS {
        let mut bytes = [0; RECORD];
        file.read_exact_at(&mut bytes, offset)?;
        let ack = Ack::decode(&bytes);
        if ack.is_some() && ack == last {
            return Ok(ack);
        }
        last = ack;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::control::Progress;
    use crate::text::{Text, format};
    use std::io::Write;

    fn ack(number: u64) -> Ack {
        Ack { token: format(format_args!("token{number:05}")), progress: Progress::Done, at: number, text: Text::new() }
    }

    #[test]
    fn an_answer_is_found_wherever_it_stands_but_not_before_the_mark() {
        let mut file = tempfile::tempfile().unwrap();
        for number in 0..100 {
            file.write_all(&ack(number).encode()).unwrap();
        }
        // A record being written is none.
        file.write_all(b"token00100 done").unwrap();
        let mark = Mark { inode: file.metadata().unwrap().ino(), length: 60 * RECORD as u64 };
        for number in 0..101 {
            let expected = (number < 100).then(|| ack(number));
            assert_eq!(search(&file, &ack(number).token, None).unwrap(), expected, "{number}");
            let expected = expected.filter(|_| number >= 60);
            assert_eq!(search(&file, &ack(number).token, Some(mark)).unwrap(), expected, "{number}");
        }
        let replaced = Mark { inode: mark.inode + 1, ..mark };
        assert_eq!(search(&file, &ack(3).token, Some(replaced)).unwrap(), Some(ack(3)));
    }
}
