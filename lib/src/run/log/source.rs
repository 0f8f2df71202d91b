//! A log pipe, as zei-log reads it: looked at first, taken out later.
//!
//! Owns: that nothing leaves the pipe before it is delivered, so that a zei-log that is killed loses nothing.
//! Must never: wait.

use crate::sys::logpipe;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, tee};
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
    /// So many bytes fit into it.
    capacity: usize,
    window: Vec<u8>,
    scratch: Vec<u8>,
}

impl Glass {
    /// Makes one.
    ///
    /// # Errors
    /// Of pipe(2).
    pub fn new() -> Result<Glass, Errno> {
        let (near, far) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let capacity = capacity(near.as_fd());
        Ok(Glass { near, far, capacity, window: vec![0; WINDOW], scratch: vec![0; WINDOW] })
    }

    /// Looks at what a pipe holds.
    ///
    /// # Errors
    /// Of tee(2) and read(2).
    pub fn look(&mut self, source: &Source) -> Result<Found, Errno> {
        let length = match tee(&source.pipe, &self.far, WINDOW, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(0) => return Ok(Found::End),
            Ok(length) => length,
            Err(Errno::EAGAIN) => return Ok(Found::Nothing),
            Err(errno) => return Err(errno),
        };
        let mut filled = 0;
        while filled < length {
            match read(&self.near, self.window.get_mut(filled..).unwrap_or_default())? {
                0 => break,
                more => filled += more,
            }
        }
        Ok(Found::Bytes(filled))
    }

    /// What was found last.
    pub fn window(&self, length: usize) -> &[u8] {
        self.window.get(..length).unwrap_or(&self.window)
    }

    /// Takes bytes out of a pipe that were looked at.
    pub fn consume(&mut self, source: &Source, length: usize) {
        let mut left = length;
        while left > 0 {
            // Fewer are there only where somebody else took some, who must be root.
            match read(&source.pipe, self.scratch.get_mut(..left.min(WINDOW)).unwrap_or_default()) {
                Ok(taken) if taken > 0 => left -= taken,
                Ok(_) | Err(_) => return,
            }
        }
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

    /// Whether the pipe may be too full to hold much more than `length` bytes, which are those that it holds. Its
    /// pages may be half empty, as a write of less than PIPE_BUF is never divided.
    pub fn is_crowded(&self, length: usize, glass: &Glass) -> bool {
        const PAGE: usize = 4096;
        // A pipe has one page at least, so most lines ask nothing.
        length >= PAGE / 2 && length >= capacity(self.pipe.as_fd()).min(glass.capacity).min(WINDOW) / 2
    }

    /// Whether nobody can write any more until something is taken out.
    pub fn is_full(&self) -> bool {
        logpipe::is_full(self.pipe.as_fd()).unwrap_or(false)
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn capacity(pipe: BorrowedFd<'_>) -> usize {
    fcntl(pipe, FcntlArg::F_GETPIPE_SZ).ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::write;

    #[test]
    fn what_is_looked_at_stays_in_the_pipe_until_it_is_taken_out() {
        let pipe = logpipe::make().unwrap();
        let (source, mut glass) = (Source::over(pipe.as_fd()).unwrap(), Glass::new().unwrap());
        assert_eq!(glass.look(&source), Ok(Found::Nothing));
        write(&pipe, b"one two").unwrap();
        for _look in 0..2 {
            assert_eq!(glass.look(&source), Ok(Found::Bytes(7)));
            assert_eq!(glass.window(7), b"one two");
        }
        glass.consume(&source, 4);
        write(&pipe, b"!").unwrap();
        assert_eq!(glass.look(&source), Ok(Found::Bytes(4)));
        assert_eq!(glass.window(4), b"two!");
        drop(pipe);
        // More than there is: it waits for nothing.
        glass.consume(&source, 100);
        assert_eq!(glass.look(&source), Ok(Found::End));
    }

    #[test]
    fn a_pipe_is_crowded_before_it_can_be_full() {
        for piece in [1, 100, 2049, 4095, 4096] {
            let pipe = logpipe::make().unwrap();
            let (source, mut glass) = (Source::over(pipe.as_fd()).unwrap(), Glass::new().unwrap());
            let writer = logpipe::writer(pipe.as_fd()).unwrap();
            while !source.is_full() {
                write(&writer, &vec![b'x'; piece]).unwrap();
            }
            let Ok(Found::Bytes(length)) = glass.look(&source) else { panic!("bytes are there") };
            assert!(source.is_crowded(length, &glass), "{piece}: {length}");
            assert!(!source.is_crowded(2000, &glass));
        }
    }
}
