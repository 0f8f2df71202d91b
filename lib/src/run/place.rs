//! A directory under the run directory, of a service or of zei-init: lock, status file, event FIFO, acks.
//!
//! Must never: be needed. Where it is gone or full, the service lives on.

use crate::paths;
use crate::sys::event;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use nix::sys::uio::pwrite;
use nix::unistd::ftruncate;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An open directory. A service's lock says that a supervisor of it lives; a child
/// inherits it until exec, so a successor waits for a start that is under way.
#[derive(Debug)]
pub struct Place {
    directory: Flock<OwnedFd>,
    status: Option<OwnedFd>,
    length: usize,
    behind: bool,
}

impl Place {
    /// Opens and locks the directory `name` in `parent`, which zei-init has made; waits for a predecessor.
    pub fn open(parent: BorrowedFd<'_>, name: &str) -> Option<Place> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = openat(parent, name, flags, Mode::empty()).ok()?;
        let directory = Flock::lock(directory, FlockArg::LockExclusive).ok()?;
        let status = open_status(&directory);
        Some(Place { directory, status, length: usize::MAX, behind: false })
    }

    /// The control FIFO, as it lies there now.
    pub fn control(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&*self.directory, paths::CONTROL, flags, Mode::empty())
    }

    /// Whatever others have written into the status is behind its end after the next one.
    pub fn distrust(&mut self) {
        self.length = usize::MAX;
    }

    /// Whether the directory was removed.
    pub fn is_gone(&self) -> bool {
        is_removed(&*self.directory)
    }

    /// Replaces the status, also where the file was removed. Where there was no room for it, or no descriptor, there may
    /// be by now.
    pub fn write(&mut self, status: &[u8]) {
        if self.status.as_ref().is_none_or(is_removed) {
            (self.status, self.length) = (open_status(&self.directory), usize::MAX);
        }
        let length = status.len();
        self.behind = self.status.as_ref().is_none_or(|file| pwrite(file, status, 0) != Ok(length));
        if let Some(file) = self.status.as_ref().filter(|_| !self.behind) {
            if length < self.length {
                let _what_is_behind_the_end_is_not_read = ftruncate(file, i64::try_from(length).unwrap_or(0));
            }
            self.length = length;
        }
    }

    /// Whether the last status could not be written: that is to be made good.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Wakes whoever waits for a change.
    pub fn ring(&self) {
        event::ring(&*self.directory, paths::EVENT);
    }

    /// Opens a file in it for reading and writing, making it if `create`.
    pub fn open_file(&self, name: &str, create: bool) -> Result<OwnedFd, Errno> {
        let more = if create { OFlag::O_CREAT } else { OFlag::empty() };
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | more;
        openat(&*self.directory, name, flags, Mode::from_bits_truncate(0o644))
    }

    /// Writes a whole file that only this user may read, in the place of one of the same name.
    pub fn write_private(&self, name: &str, content: &[u8]) -> Result<(), Errno> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&*self.directory, name, flags, Mode::from_bits_truncate(0o600))?;
        crate::sys::memfd::write_all(&file, content)
    }

    /// Puts one file in the place of another.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        nix::fcntl::renameat(&*self.directory, from, &*self.directory, to)
    }
}

fn open_status(directory: &OwnedFd) -> Option<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, paths::STATUS, flags, Mode::from_bits_truncate(0o644)).ok()
}

/// Nothing has its name any more.
fn is_removed(file: impl AsFd) -> bool {
    fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
