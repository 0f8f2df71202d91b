//! A log pipe, as zei-log reads it: looked at first, taken out later.
//!
//! Owns: that nothing leaves the pipe before it is delivered, so that a zei-log that is killed loses nothing.
//! Must never: wait.

use crate::model::pump::KEPT;
use crate::sys::logpipe;
use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice, tee};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// So many bytes of a pipe are looked at at once: what a pipe holds, unless somebody made it larger.
pub const WINDOW: usize = 64 * 1024;

/// What a look into a pipe has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// So many bytes stand in the window.
    Bytes(usize),
    /// There are none now.
    Nothing,
    /// There will never be any: nobody holds the pipe for writing.
    End,
}

/// What all pipes are looked at through: a pipe of its own, into which the kernel hangs the same pages (tee(2)).
#[derive(Debug)]
pub struct Glass {
    near: OwnedFd,
    far: OwnedFd,
    window: Vec<u8>,
}

impl Glass {
    /// Makes one.
    ///
    /// # Errors
    /// Of pipe(2).
    pub fn new() -> Result<Glass, Errno> {
        let (near, far) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Glass { near, far, window: vec![0; KEPT + WINDOW] })
    }

    /// Looks at what a pipe holds. It stands in the window behind `kept`, which is copied there.
    ///
    /// # Errors
    /// Of tee(2) and read(2).
    pub fn look(&mut self, kept: &[u8], source: &Source) -> Result<Found, Errno> {
        if let Some(begin) = self.window.get_mut(..kept.len()) {
            begin.copy_from_slice(kept);
        }
        let length = match tee(&source.pipe, &self.far, WINDOW, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(0) => return Ok(Found::End),
            Ok(length) => length,
            Err(Errno::EAGAIN) => return Ok(Found::Nothing),
            Err(errno) => return Err(errno),
        };
        let mut filled = 0;
        while filled < length {
            match read(&self.near, self.window.get_mut(kept.len() + filled..).unwrap_or_default())? {
                0 => break,
                more => filled += more,
            }
        }
        Ok(Found::Bytes(filled))
    }

    /// The first bytes of the window.
    pub fn window(&self, length: usize) -> &[u8] {
        self.window.get(..length).unwrap_or(&self.window)
    }
}

/// Where what is taken out of log pipes ends up.
#[derive(Debug)]
pub struct Sink {
    scratch: Vec<u8>,
    /// A pipe that outlives this process: what is in it was moved out of a log pipe.
    hand: OwnedFd,
    hand_source: Source,
}

impl Sink {
    /// Over the hand, as zei-init has it.
    ///
    /// # Errors
    /// Of open(2).
    pub fn over(hand: OwnedFd) -> Result<Sink, Errno> {
        let hand_source = Source::over(hand.as_fd())?;
        Ok(Sink { scratch: vec![0; WINDOW], hand, hand_source })
    }

    /// What is in the hand.
    pub fn hand(&self) -> &Source {
        &self.hand_source
    }

    /// Takes bytes out of a pipe that were looked at.
    pub fn take(&mut self, source: &Source, length: usize) {
        let mut left = length;
        while left > 0 {
            // Fewer are there only where somebody else took some, who must be root.
            match read(&source.pipe, self.scratch.get_mut(..left.min(WINDOW)).unwrap_or_default()) {
                Ok(taken) if taken > 0 => left -= taken,
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Moves them into the hand, which is empty: a kill leaves each byte in one of the two.
    pub fn shift(&mut self, source: &Source, length: usize) {
        let mut left = length;
        while left > 0 {
            match splice(&source.pipe, None, &self.hand, None, left, SpliceFFlags::SPLICE_F_NONBLOCK) {
                Ok(moved) if moved > 0 => left -= moved,
                // A hand that is too small, as of a user who has too many pipes.
                Ok(_) | Err(_) => return self.take(source, left),
            }
        }
    }

    /// Lets go of what is in the hand.
    pub fn open_hand(&mut self) {
        while matches!(read(&self.hand_source.pipe, &mut self.scratch), Ok(length) if length > 0) {}
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
    use nix::unistd::write;

    #[test]
    fn what_is_looked_at_stays_in_the_pipe_until_it_is_taken_out() {
        let pipe = logpipe::make().unwrap();
        let source = Source::over(pipe.as_fd()).unwrap();
        let (mut glass, mut sink) = (Glass::new().unwrap(), Sink::over(logpipe::make().unwrap()).unwrap());
        assert_eq!(glass.look(b"", &source), Ok(Found::Nothing));
        write(&pipe, b"one two").unwrap();
        for _look in 0..2 {
            assert_eq!(glass.look(b"zero ", &source), Ok(Found::Bytes(7)));
            assert_eq!(glass.window(12), b"zero one two");
        }
        sink.take(&source, 4);
        write(&pipe, b"!").unwrap();
        assert_eq!(glass.look(b"", &source), Ok(Found::Bytes(4)));
        assert_eq!(glass.window(4), b"two!");
        write(&pipe, b" three").unwrap();
        sink.shift(&source, 4);
        assert_eq!(glass.look(b"", sink.hand()), Ok(Found::Bytes(4)));
        assert_eq!(glass.window(4), b"two!");
        sink.open_hand();
        assert_eq!(glass.look(b"", sink.hand()), Ok(Found::Nothing));
        assert_eq!(glass.look(b"", &source), Ok(Found::Bytes(6)));
        // More than there is: it waits for nothing.
        sink.take(&source, 100);
        drop(pipe);
        assert_eq!(glass.look(b"kept", &source), Ok(Found::End));
        assert_eq!(glass.window(4), b"kept");
    }
}
