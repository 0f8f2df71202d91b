//! Writing to what others share, without waiting.
//!
//! Owns: which way a stream of each kind is written to. Must never: block, or set a flag on a descriptor that
//! services share (O_NONBLOCK belongs to the open file description, open(2)).

use crate::sys::raw;
use crate::text;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::write;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// What a write(2) of up to so many bytes to a pipe is not mixed with others' (PIPE_BUF, pipe(7)).
pub const ATOMIC: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Pipe,
    Socket,
    File,
    /// Terminals and other devices; pipes, on a kernel or in a sandbox without pwritev2(2).
    Other,
}

/// A stream to write to.
#[derive(Debug)]
pub struct Writer<'a> {
    stream: BorrowedFd<'a>,
    is_pipe: bool,
    kind: Kind,
    /// A description of this process's own, which may be non-blocking.
    own: Option<OwnedFd>,
}

impl<'a> Writer<'a> {
    /// Looks what kind of stream it is.
    ///
    /// # Errors
    /// Of fstat(2).
    pub fn new(stream: BorrowedFd<'a>) -> Result<Writer<'a>, Errno> {
        let kind = match SFlag::from_bits_truncate(fstat(stream)?.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFIFO => Kind::Pipe,
            SFlag::S_IFSOCK => Kind::Socket,
            SFlag::S_IFREG => Kind::File,
            _ => Kind::Other,
        };
        Ok(Writer { stream, is_pipe: kind == Kind::Pipe, kind, own: None })
    }

    /// Whether it is a pipe, to which a write of up to [`ATOMIC`] bytes happens as a whole or not at all.
    pub fn is_pipe(&self) -> bool {
        self.is_pipe
    }

    /// Writes what the stream takes now, and returns how much that was.
    ///
    /// # Errors
    /// EAGAIN where it takes nothing now, EPIPE where nobody will ever read it, and all others of write(2).
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        match self.kind {
            Kind::Pipe => match raw::write_nowait(self.stream, bytes) {
                Err(Errno::ENOSYS | Errno::EPERM | Errno::EOPNOTSUPP | Errno::EINVAL) => {
                    self.kind = Kind::Other;
                    self.write(bytes)
                }
                result => result,
            },
            Kind::Socket => send(self.stream.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
            Kind::File => write(self.stream, bytes),
            Kind::Other => self.write_reopened(bytes),
        }
    }

    /// Where a description of one's own is refused (a terminal of another user), by a plain write, if the stream
    /// takes one now.
    fn write_reopened(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        if self.own.is_none() {
            let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            let path = text::format::<32>(format_args!("/proc/self/fd/{}", self.stream.as_raw_fd()));
            self.own = open(path.as_str(), flags, Mode::empty()).ok();
        }
        if let Some(own) = &self.own {
            return write(own, bytes);
        }
        let mut polled = [PollFd::new(self.stream, PollFlags::POLLOUT)];
        match poll(&mut polled, PollTimeout::ZERO)? {
            0 => Err(Errno::EAGAIN),
            _ => write(self.stream, bytes.get(..ATOMIC).unwrap_or(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, fcntl};
    use std::io::Read as _;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    /// Writes until nothing fits, and returns how much did.
    fn fill(writer: &mut Writer<'_>) -> usize {
        let mut filled = 0;
        loop {
            match writer.write(&[b'x'; ATOMIC]) {
                Ok(length) => filled += length,
                Err(errno) => {
                    assert_eq!(errno, Errno::EAGAIN);
                    return filled;
                }
            }
        }
    }

    fn is_blocking(stream: impl AsFd) -> bool {
        !OFlag::from_bits_truncate(fcntl(stream, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
    }

    #[test]
    fn a_full_pipe_or_socket_takes_nothing_and_stays_blocking_for_others() {
        let (mut reader, pipe) = std::io::pipe().unwrap();
        let mut writer = Writer::new(pipe.as_fd()).unwrap();
        assert!(writer.is_pipe());
        assert_eq!(fill(&mut writer), 65536);
        writer.kind = Kind::Other;
        assert_eq!(writer.write(b"y"), Err(Errno::EAGAIN));
        reader.read_exact(&mut [0; 65536]).unwrap();
        assert_eq!(writer.write(b"y"), Ok(1));
        assert!(is_blocking(&pipe));

        let (near, _far) = UnixStream::pair().unwrap();
        let mut writer = Writer::new(near.as_fd()).unwrap();
        assert!(!writer.is_pipe() && fill(&mut writer) > 0 && is_blocking(&near));
    }

    #[test]
    fn a_file_and_a_device_take_everything() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Writer::new(file.as_fd()).unwrap().write(&[0; 100_000]), Ok(100_000));
        let null = std::fs::File::options().write(true).open("/dev/null").unwrap();
        assert_eq!(Writer::new(null.as_fd()).unwrap().write(&[0; 100_000]), Ok(100_000));
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_an_error() {
        let (reader, pipe) = std::io::pipe().unwrap();
        drop(reader);
        // Rust's test runner has made this process ignore SIGPIPE.
        assert_eq!(Writer::new(pipe.as_fd()).unwrap().write(b"x"), Err(Errno::EPIPE));
    }
}
