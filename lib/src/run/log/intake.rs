//! Log pipes, as zei-log empties them.
//!
//! Owns: that what leaves a pipe is in the intake, so that a zei-log that is killed loses nothing. Must never: wait.
//!
//! The intake is a file in memory that zei-init holds. splice(2) moves bytes from a pipe into it, and where the file
//! stands then (lseek(2)) tells how many have come: no kill comes between the two.

use crate::model::pump::WINDOW;
use crate::sys::logpipe;
use crate::sys::raw::Shared;
use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Whence, lseek, read, write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What has come out of a pipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// So many bytes.
    Bytes(usize),
    /// There are none now.
    Nothing,
    /// There will never be any: nobody holds the pipe for writing.
    End,
}

/// What was taken out of one pipe last.
#[derive(Debug)]
pub struct Intake {
    file: OwnedFd,
    shared: Shared,
}

impl Intake {
    /// Over its descriptor, as zei-init has it.
    ///
    /// # Errors
    /// Of mmap(2).
    pub fn over(file: OwnedFd) -> Result<Intake, Errno> {
        let shared = Shared::map(file.as_fd(), WINDOW)?;
        Ok(Intake { file, shared })
    }

    /// How many bytes are in it.
    pub fn length(&self) -> usize {
        lseek(&self.file, 0, Whence::SeekCur).map_or(0, |at| usize::try_from(at).unwrap_or(0))
    }

    /// Nothing is in it any more.
    pub fn empty(&self) {
        let _it_is_a_file = lseek(&self.file, 0, Whence::SeekSet);
    }

    /// Its bytes from `done` on.
    pub fn bytes(&self, done: usize, length: usize) -> &[u8] {
        self.shared.bytes(done..length)
    }

    /// Takes out of a pipe what it holds. Nothing is in the intake.
    ///
    /// # Errors
    /// Of splice(2), read(2) and write(2).
    pub fn take(&self, source: &Source) -> Result<Found, Errno> {
        let taken = match splice(&source.pipe, None, &self.file, None, WINDOW, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => self.copy(source),
            taken => taken,
        };
        match taken {
            Ok(0) => Ok(Found::End),
            Ok(length) => Ok(Found::Bytes(length)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Found::Nothing),
            Err(errno) => Err(errno),
        }
    }

    /// The same where there is no splice(2), as in some sandboxes; a kill in the middle loses what was read.
    #[cold]
    fn copy(&self, source: &Source) -> Result<usize, Errno> {
        let mut buffer = vec![0; WINDOW];
        let length = read(&source.pipe, &mut buffer)?;
        write(&self.file, buffer.get(..length).unwrap_or_default())
    }
}

/// One log pipe.
#[derive(Debug)]
pub struct Source {
    /// Only for reading, and never waits.
    pipe: OwnedFd,
}

impl Source {
    /// Reads the pipe behind this descriptor by a description of its own.
    ///
    /// # Errors
    /// Of open(2).
    pub fn over(pipe: BorrowedFd<'_>) -> Result<Source, Errno> {
        Ok(Source { pipe: logpipe::reader(pipe)? })
    }

    /// Whether nobody can write to it any more.
    pub fn is_hung_up(&self) -> bool {
        let mut polled = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
        let _at_once = poll(&mut polled, PollTimeout::ZERO);
        polled.iter().any(|polled| polled.revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)))
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memfd;
    use nix::unistd::ftruncate;

    fn intake() -> (OwnedFd, Intake) {
        let file = memfd::empty("test").unwrap();
        ftruncate(&file, i64::try_from(WINDOW).unwrap()).unwrap();
        (file.try_clone().unwrap(), Intake::over(file).unwrap())
    }

    #[test]
    fn what_is_taken_is_known_to_a_successor_until_it_is_emptied() {
        let (kept, intake) = intake();
        let pipe = logpipe::make().unwrap();
        let source = Source::over(pipe.as_fd()).unwrap();
        assert_eq!(intake.take(&source), Ok(Found::Nothing));
        write(&pipe, b"one ").unwrap();
        write(&pipe, b"two").unwrap();
        assert_eq!(intake.take(&source), Ok(Found::Bytes(7)));
        drop(intake);
        let next = Intake::over(kept).unwrap();
        assert_eq!((next.length(), next.bytes(0, 7), next.bytes(4, 7)), (7, &b"one two"[..], &b"two"[..]));
        next.empty();
        assert_eq!(next.length(), 0);
        write(&pipe, b"three").unwrap();
        assert_eq!(next.take(&source), Ok(Found::Bytes(5)));
        assert_eq!(next.bytes(0, 5), b"three");
        next.empty();
        drop(pipe);
        assert_eq!(next.take(&source), Ok(Found::End));
    }

    #[test]
    fn a_copy_is_as_good() {
        let (_kept, intake) = intake();
        let pipe = logpipe::make().unwrap();
        let source = Source::over(pipe.as_fd()).unwrap();
        assert_eq!(intake.copy(&source), Err(Errno::EAGAIN));
        write(&pipe, b"one").unwrap();
        assert_eq!(intake.copy(&source), Ok(3));
        assert_eq!((intake.length(), intake.bytes(0, 3)), (3, &b"one"[..]));
    }
}
