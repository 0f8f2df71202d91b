//! Run boundaries: how a supervisor marks in a service's output where a run begins.
//!
//! Owns: the bytes of the mark and of the answer to a match. Must never: write them.
//!
//! Right before each start zei-supervise writes into the service's log pipes, by one write(2) of less than PIPE_BUF
//! bytes, so that it stands in one piece:
//!
//! ```text
//! NUL "zei-run " TOKEN " " RUN "\n"
//! ```
//!
//! TOKEN is 16 hexadecimal digits, random for each start of zei-init, so that no program says this by chance; RUN is the
//! number of the start, as in the status file. zei-log takes the mark out of the output, ends a line that the run
//! before has left unfinished, and looks anew for the line that makes the service ready.
//!
//! When it has found that line zei-log writes `RUN "\n"` into the service's notify pipe: a newline, as from a program
//! that does it by itself (`notify: {fd: N}`), and before it the run that is ready. A supervisor that has begun
//! another run since sees by the number that this is not meant.

use crate::text::{self, Text};

/// What a mark begins with.
const BEGIN: &[u8] = b"\0zei-run ";
/// Length of the token.
const TOKEN: usize = 16;
/// The most digits of a run.
const DIGITS: usize = 20;
/// No mark is longer.
pub const MAX: usize = BEGIN.len() + TOKEN + 1 + DIGITS + 1;

/// The mark of `run`.
pub fn encode(token: u64, run: u64) -> Text<MAX> {
    text::format(format_args!("\0zei-run {token:016x} {run}\n"))
}

/// What bytes of a service's output are, read as a mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// No mark.
    Other,
    /// The begin of one, perhaps: there are too few bytes to tell.
    Unfinished,
    /// A mark of `length` bytes, with which run `run` begins.
    Mark {
        /// In bytes.
        length: usize,
        /// The run.
        run: u64,
    },
}

/// Finds the marks of one token.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    begin: Text<MAX>,
}

impl Marks {
    /// Those of this token.
    pub fn of(token: u64) -> Marks {
        Marks { begin: text::format(format_args!("\0zei-run {token:016x} ")) }
    }

    /// Reads a mark at the begin of these bytes.
    pub fn read(&self, bytes: &[u8]) -> Read {
        let begin = self.begin.as_bytes();
        let Some(number) = bytes.strip_prefix(begin) else {
            return if begin.starts_with(bytes) { Read::Unfinished } else { Read::Other };
        };
        let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match number.get(digits) {
            None if digits <= DIGITS => Read::Unfinished,
            Some(b'\n') => number
                .get(..digits)
                .and_then(|digits| core::str::from_utf8(digits).ok()?.parse().ok())
                .map_or(Read::Other, |run| Read::Mark { length: begin.len() + digits + 1, run }),
            _ => Read::Other,
        }
    }
}

/// What zei-log writes into the notify pipe.
pub fn answer(run: u64) -> Text<{ DIGITS + 1 }> {
    text::format(format_args!("{run}\n"))
}

/// Whether what came through a notify pipe tells that `run` is ready: one of its lines is this number.
pub fn answers(bytes: &[u8], run: u64) -> bool {
    let answer = answer(run);
    bytes.split_inclusive(|byte| *byte == b'\n').any(|line| line == answer.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_whole_and_every_begin_of_it_is_unfinished() {
        for (token, run) in [(0, 0), (0x1234, 1), (u64::MAX, u64::MAX)] {
            let (mark, marks) = (encode(token, run), Marks::of(token));
            assert!(!mark.is_cut());
            let length = mark.as_bytes().len();
            for end in 1..length {
                assert_eq!(marks.read(&mark.as_bytes()[..end]), Read::Unfinished, "{end} of {mark:?}");
            }
            assert_eq!(marks.read(&[mark.as_bytes(), b"5\n"].concat()), Read::Mark { length, run });
        }
    }

    #[test]
    fn what_differs_in_one_byte_is_no_mark() {
        let (mark, marks) = (encode(7, 12), Marks::of(7));
        for at in 0..mark.as_bytes().len() {
            let mut other = mark.as_bytes().to_vec();
            other[at] ^= 0x40;
            assert_eq!(marks.read(&other), Read::Other, "{at}");
        }
        assert_eq!(Marks::of(8).read(mark.as_bytes()), Read::Other);
        assert_eq!(marks.read(b"\0zei-run 0000000000000007 \n"), Read::Other);
        assert_eq!(marks.read(b"\0zei-run 0000000000000007 123456789012345678901"), Read::Other);
    }

    #[test]
    fn an_answer_is_for_its_run_only() {
        assert_eq!(answer(u64::MAX).as_bytes().len(), 21);
        assert!(answers(b"3\n4\n", 4));
        assert!(!answers(b"3\n14\n4", 4));
        assert!(!answers(b"\n", 4));
    }
}
