//! Pipes that are more than a way from here to there.
//!
//! Owns: a pipe that never ends, the readiness pipe, and the tail of what a job writes. Must never: wait, or set
//! O_NONBLOCK on a description that a service gets.

use crate::text::{self, Text};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, open, tee};
use nix::sys::stat::Mode;
use nix::unistd::{pipe2, read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// So many reads are done at once, of what somebody may write without end.
const AT_ONCE: usize = 64;

/// So much of what is told is looked at at once.
const LOOK: usize = 4096;

/// One descriptor for both directions of a new pipe, which so holds itself open: it never ends, whoever dies.
pub fn endless(flags: OFlag) -> Result<OwnedFd, Errno> {
    let (reader, _writer) = pipe2(OFlag::O_CLOEXEC)?;
    open_again(reader.as_fd(), OFlag::O_RDWR | flags)
}

/// Another description of the same pipe, with flags of its own; closed on exec (needs /proc).
///
/// # Errors
/// Of open(2).
pub fn open_again(pipe: BorrowedFd<'_>, flags: OFlag) -> Result<OwnedFd, Errno> {
    let path = text::format::<32>(format_args!("/proc/self/fd/{}", pipe.as_raw_fd()));
    open(path.as_str(), flags | OFlag::O_CLOEXEC, Mode::empty())
}

/// The pipe of `ready: {notify: {fd: N}}`, into which a service writes a newline when it is ready. zei-init makes it
/// with [`Readiness::make`] and holds it, so that what is written outlives a supervisor.
#[derive(Debug)]
pub struct Readiness(OwnedFd);

impl Readiness {
    /// The descriptor to hold and to hand to supervisors.
    pub fn make() -> Result<OwnedFd, Errno> {
        endless(OFlag::O_NONBLOCK)
    }

    /// Over what [`Readiness::make`] has made.
    pub fn over(descriptor: OwnedFd) -> Readiness {
        Readiness(descriptor)
    }

    /// What a service gets: for writing only, and blocking, as it expects.
    pub fn writer(&self) -> Result<OwnedFd, Errno> {
        open_again(self.0.as_fd(), OFlag::O_WRONLY)
    }

    /// What was written, as far as [`LOOK`] goes: how much that is, and whether it holds what is looked for. It stays where
    /// it is, until [`Readiness::take`]: who is killed before it has recorded what it has seen leaves it to its successor.
    #[inline(never)]
    pub fn look(&self, holds: impl Fn(&[u8]) -> bool) -> (usize, bool) {
        let mut buffer = [0; LOOK];
        match self.peek(&mut buffer) {
            Ok(length) => (length, holds(buffer.get(..length).unwrap_or_default())),
            // There is nothing, or no descriptor is left to look through: then it is taken at once.
            Err(_) => match read(&self.0, &mut buffer) {
                Ok(length) => (0, holds(buffer.get(..length).unwrap_or_default())),
                Err(_) => (0, false),
            },
        }
    }

    fn peek(&self, buffer: &mut [u8; LOOK]) -> Result<usize, Errno> {
        let (near, far) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        tee(&self.0, &far, LOOK, SpliceFFlags::SPLICE_F_NONBLOCK)?;
        read(&near, buffer)
    }

    /// Takes so much of what was written.
    #[inline(never)]
    pub fn take(&self, length: usize) {
        let mut buffer = [0; LOOK];
        let _as_seen = buffer.get_mut(..length).filter(|some| !some.is_empty()).map(|some| read(&self.0, some));
    }

    /// Throws away what an earlier run has written: all that fits into a pipe.
    pub fn drain(&self) {
        let mut buffer = [0; 4096];
        for _read in 0..AT_ONCE {
            if !matches!(read(&self.0, &mut buffer), Ok(length) if length > 0) {
                return;
            }
        }
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The end of what a job has written.
#[derive(Debug)]
pub struct Tail {
    pipe: OwnedFd,
    last: [u8; Tail::SIZE],
    length: usize,
}

impl Tail {
    /// So many bytes are kept.
    pub const SIZE: usize = 256;

    /// A tail, and the end of the pipe that the job gets for its output.
    pub fn new() -> Result<(Tail, OwnedFd), Errno> {
        let (pipe, writer) = pipe2(OFlag::O_CLOEXEC)?;
        // Its two ends are two descriptions: the job's own end blocks, as it expects.
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((Tail { pipe, last: [0; Tail::SIZE], length: 0 }, writer))
    }

    /// Takes what was written. `false`: that was all, nobody has the other end any more.
    #[inline(never)]
    pub fn take(&mut self) -> bool {
        let mut buffer = [0; 4096];
        for _read in 0..AT_ONCE {
            match read(&self.pipe, &mut buffer) {
                Ok(0) => return false,
                Ok(length) => self.keep(buffer.get(..length).unwrap_or_default()),
                Err(_) => return true,
            }
        }
        true
    }

    fn keep(&mut self, bytes: &[u8]) {
        let new = bytes.get(bytes.len().saturating_sub(Tail::SIZE)..).unwrap_or_default();
        let stay = self.length.min(Tail::SIZE - new.len());
        self.last.copy_within(self.length - stay..self.length, 0);
        self.length = stay + new.len();
        if let Some(room) = self.last.get_mut(stay..self.length) {
            room.copy_from_slice(new);
        }
    }

    /// What was written last, as one line of at most `N` bytes for people: its begin is cut off. The newline at its
    /// end is left out.
    pub fn text<const N: usize>(&self) -> Text<N> {
        let whole = self.last.get(..self.length).unwrap_or_default().trim_ascii();
        let mut bytes = whole.get(whole.len().saturating_sub(N)..).unwrap_or_default();
        // A character that was cut in two at the begin is none.
        while (self.length == Tail::SIZE || bytes.len() < whole.len())
            && bytes.first().is_some_and(|byte| byte & 0xc0 == 0x80)
        {
            bytes = bytes.get(1..).unwrap_or_default();
        }
        text::for_people(bytes)
    }
}

impl AsFd for Tail {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::write;

    fn flags(file: &impl AsFd) -> OFlag {
        OFlag::from_bits_truncate(fcntl(file, FcntlArg::F_GETFL).unwrap())
    }

    fn newline(bytes: &[u8]) -> bool {
        bytes.contains(&b'\n')
    }

    #[test]
    fn what_is_looked_at_stays_until_just_that_is_taken() {
        let pipe = Readiness::over(Readiness::make().unwrap());
        let writer = pipe.writer().unwrap();
        assert_eq!(pipe.look(newline), (0, false));
        write(&writer, b"not yet").unwrap();
        assert_eq!((pipe.look(newline), pipe.look(newline)), ((7, false), (7, false)));
        write(&writer, b" but now\n").unwrap();
        pipe.take(7);
        assert_eq!((pipe.look(newline), pipe.look(newline)), ((9, true), (9, true)));
        pipe.take(9);
        pipe.take(0);
        assert_eq!(pipe.look(newline), (0, false));
    }

    #[test]
    fn much_is_looked_at_piece_by_piece() {
        let pipe = Readiness::over(Readiness::make().unwrap());
        write(&pipe.0, &[b'x'; 2 * LOOK]).unwrap();
        write(&pipe.0, b"\n").unwrap();
        for seen in [(LOOK, false), (LOOK, false), (1, true), (0, false)] {
            assert_eq!(pipe.look(newline), seen);
            pipe.take(seen.0);
        }
    }

    #[test]
    fn what_a_service_gets_is_for_writing_and_blocks_and_its_end_is_not_the_pipes() {
        let pipe = Readiness::over(Readiness::make().unwrap());
        let writer = pipe.writer().unwrap();
        assert_eq!(flags(&writer) & (OFlag::O_ACCMODE | OFlag::O_NONBLOCK), OFlag::O_WRONLY);
        assert!(flags(&pipe).contains(OFlag::O_NONBLOCK));
        write(&writer, b"late\n").unwrap();
        drop(writer);
        // Also after its writer has ended, and for another supervisor.
        assert_eq!(pipe.look(newline), (5, true));
        pipe.take(5);
        assert_eq!(read(&pipe.0, &mut [0; 8]), Err(Errno::EAGAIN));
    }

    #[test]
    fn nothing_of_an_earlier_run_is_left_after_a_drain() {
        let pipe = Readiness::over(Readiness::make().unwrap());
        // As full as it gets.
        while write(&pipe.0, &[b'\n'; 4096]).is_ok() {}
        pipe.drain();
        assert_eq!(pipe.look(newline), (0, false));
        assert_eq!(read(&pipe.0, &mut [0; 8]), Err(Errno::EAGAIN));
    }

    #[test]
    fn the_last_bytes_are_kept_in_whatever_pieces_they_come() {
        let text: String = (0..400).map(|number| format!("{number} ")).collect();
        for piece in [1, 7, 255, 256, 257, 1000] {
            let (mut tail, writer) = Tail::new().unwrap();
            for piece in text.as_bytes().chunks(piece) {
                write(&writer, piece).unwrap();
                assert!(tail.take());
            }
            let end = text.get(text.len() - Tail::SIZE..).unwrap();
            assert_eq!(tail.text::<{ Tail::SIZE }>().as_str(), end.trim(), "{piece}");
            drop(writer);
            assert!(!tail.take());
        }
    }

    #[test]
    fn a_short_text_is_whole_and_a_long_one_begins_with_a_whole_character() {
        let (mut tail, writer) = Tail::new().unwrap();
        assert_eq!(tail.text::<9>().as_str(), "");
        write(&writer, b"HTTP 503\n").unwrap();
        assert!(tail.take());
        assert_eq!(tail.text::<9>().as_str(), "HTTP 503");
        assert_eq!(tail.text::<3>().as_str(), "503");
        write(&writer, format!("{}x\n", "\u{20ac}".repeat(200)).as_bytes()).unwrap();
        assert!(tail.take());
        for shown in [tail.text::<{ Tail::SIZE }>().as_str(), tail.text::<9>().as_str(), tail.text::<6>().as_str()] {
            assert!(shown.starts_with('\u{20ac}') && shown.ends_with("\u{20ac}x"), "{shown}");
        }
    }

    #[test]
    fn a_job_is_not_waited_for_and_its_own_end_blocks() {
        let (mut tail, writer) = Tail::new().unwrap();
        assert!(tail.take());
        assert!(!flags(&writer).contains(OFlag::O_NONBLOCK));
    }
}
