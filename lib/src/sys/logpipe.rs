//! Log pipes: the way of a service's output to zei-log.
//!
//! Owns: how a log pipe is made, opened and marked. Must never: wait, or set O_NONBLOCK on a description that a
//! service gets.
//!
//! zei-init makes the pipe and holds it for life by one descriptor for both directions, so that it outlives every
//! supervisor and every zei-log, and no writer ever meets a broken pipe. Everyone who has it may write to it, nobody
//! but zei's own user may read it: so a service under any user, also one that it changes to by itself, can open
//! /dev/stdout anew, and nobody takes away what zei-log is about to deliver.

use crate::protocol::boundary;
use crate::sys::nowait::Writer;
use crate::sys::pipe::{endless, open_again};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, fchmod};
use std::os::fd::{BorrowedFd, OwnedFd};

/// No pipe is made larger than this for a mark: what everyone may have (proc(5), pipe-max-size).
const LARGEST: i32 = 1024 * 1024;

/// Makes a log pipe; closed on exec. Needs /proc.
///
/// # Errors
/// Of pipe(2) and open(2).
pub fn make() -> Result<OwnedFd, Errno> {
    let pipe = endless(OFlag::empty())?;
    fchmod(&pipe, Mode::from_bits_truncate(0o622))?;
    Ok(pipe)
}

/// What a service gets as its stream: for writing only, blocking, and a description of its own, so that a flag
/// that one run sets does not meet the next.
///
/// # Errors
/// Of open(2).
pub fn writer(pipe: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    open_again(pipe, OFlag::O_WRONLY)
}

/// What zei-log reads: never blocks, and ends once nobody holds the pipe for writing any more.
///
/// # Errors
/// Of open(2).
pub fn reader(pipe: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    open_again(pipe, OFlag::O_RDONLY | OFlag::O_NONBLOCK)
}

/// Marks that `run` begins. To be called by the supervisor for each log pipe of its service right before it makes
/// the process. A pipe that is full, because nobody takes the container's output, is made larger for the mark.
///
/// # Errors
/// EAGAIN where it is full and can't be larger: the run can't be told from the one before, so `ready: log` will not see
/// it. And what write(2) says.
#[inline(never)]
pub fn mark(pipe: BorrowedFd<'_>, token: u64, run: u64) -> Result<(), Errno> {
    let mark = boundary::encode(token, run);
    let mut writer = Writer::new(pipe)?;
    match writer.write(mark.as_bytes()) {
        Err(Errno::EAGAIN) => {
            let larger = fcntl(pipe, FcntlArg::F_GETPIPE_SZ)?.saturating_mul(2);
            if larger > LARGEST || fcntl(pipe, FcntlArg::F_SETPIPE_SZ(larger)).is_err() {
                return Err(Errno::EAGAIN);
            }
            writer.write(mark.as_bytes()).map(drop)
        }
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{read, write};
    use std::os::fd::AsFd;

    fn flags(file: impl AsFd) -> OFlag {
        OFlag::from_bits_truncate(fcntl(file, FcntlArg::F_GETFL).unwrap())
    }

    #[test]
    fn the_pipe_holds_itself_open_and_ends_for_a_reader_once_nobody_holds_it() {
        let pipe = make().unwrap();
        let (reader, writer) = (reader(pipe.as_fd()).unwrap(), writer(pipe.as_fd()).unwrap());
        assert!(flags(&reader).contains(OFlag::O_NONBLOCK));
        assert!(!flags(&writer).contains(OFlag::O_NONBLOCK));
        assert_eq!(flags(&writer) & OFlag::O_ACCMODE, OFlag::O_WRONLY);
        write(&writer, b"a").unwrap();
        drop(writer);
        assert_eq!(read(&reader, &mut [0; 9]), Ok(1));
        assert_eq!(read(&reader, &mut [0; 9]), Err(Errno::EAGAIN));
        drop(pipe);
        assert_eq!(read(&reader, &mut [0; 9]), Ok(0));
    }

    #[test]
    fn everyone_may_write_and_nobody_else_may_read() {
        let mode = nix::sys::stat::fstat(make().unwrap()).unwrap().st_mode & 0o777;
        assert_eq!(mode, 0o622);
    }

    #[test]
    fn a_mark_gets_into_a_full_pipe_and_waits_for_nobody() {
        let pipe = make().unwrap();
        let mut filler = Writer::new(pipe.as_fd()).unwrap();
        while filler.write(&[b'x'; 4096]).is_ok() {}
        assert_eq!(mark(pipe.as_fd(), 1, 2), Ok(()));
        let mut all = vec![0; 70_000];
        let length = read(&pipe, &mut all).unwrap();
        assert!(all[..length].ends_with(boundary::encode(1, 2).as_bytes()));
    }

    #[test]
    fn a_pipe_that_cannot_grow_refuses_the_mark() {
        let pipe = make().unwrap();
        let mut filler = Writer::new(pipe.as_fd()).unwrap();
        let refused = (0..20).find_map(|_| {
            while filler.write(&[b'x'; 4096]).is_ok() {}
            mark(pipe.as_fd(), 1, 2).err()
        });
        assert_eq!(refused, Some(Errno::EAGAIN));
        assert!(fcntl(&pipe, FcntlArg::F_GETPIPE_SZ).unwrap() <= LARGEST);
    }
}
