//! A directory under the run directory, of a service or of zei-init: lock, status file, event FIFO, acks.
//!
//! Must never: be needed. Where it is gone or full, the service lives on.

use crate::paths;
use crate::protocol::status::{MAX, Status};
use crate::sys::elevation::{self, as_root};
use crate::sys::event;
use crate::text::{self, Text};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, ftruncate, getegid, unlinkat};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An open directory.
#[derive(Debug)]
pub struct Place {
    directory: OwnedFd,
    _lock: Option<Flock<OwnedFd>>,
    status: Option<OwnedFd>,
    length: usize,
    behind: bool,
}

impl Place {
    /// Opens the directory `name` in `parent`, which zei-init has made.
    pub fn open(parent: BorrowedFd<'_>, name: &str) -> Option<Place> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = openat(parent, name, flags, Mode::empty()).ok()?;
        let status = open_status(&directory);
        Some(Place { directory, _lock: None, status, length: usize::MAX, behind: false })
    }

    /// Locks it, so that a later zei-init sees that something lives on here; a child inherits that until exec. Whoever may
    /// read the directory can lock it, too, so this is waited for only where `waits`.
    pub fn lock(&mut self, waits: bool) {
        let how = if waits { FlockArg::LockExclusive } else { FlockArg::LockExclusiveNonblock };
        let own = openat(&self.directory, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
        self._lock = own.ok().and_then(|own| Flock::lock(own, how).ok());
    }

    /// The control FIFO, as it lies there now.
    pub fn control(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&self.directory, paths::CONTROL, flags, Mode::empty())
    }

    /// Whether this file still has this name.
    pub fn has(&self, name: &str, file: &OwnedFd) -> bool {
        has(&self.directory, name, file)
    }

    /// Whatever others have written into the status is behind its end after the next one.
    pub fn distrust(&mut self) {
        self.length = usize::MAX;
        if self.status.as_ref().is_some_and(|file| !self.has(paths::STATUS, file)) {
            self.status = None;
        }
    }

    /// The status that a predecessor has left.
    pub fn status(&self) -> Option<Status> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(&self.directory, paths::STATUS, flags, Mode::empty()).ok()?;
        let mut bytes = [0; MAX];
        let length = pread(&file, &mut bytes, 0).ok()?;
        Status::decode(bytes.get(..length)?)
    }

    /// Whether the directory was removed.
    pub fn is_gone(&self) -> bool {
        is_removed(&self.directory)
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
        event::ring(&self.directory, paths::EVENT);
    }

    /// Opens a file in it for reading and writing, making it if `create`.
    pub fn open_file(&self, name: &str, create: bool) -> Result<OwnedFd, Errno> {
        if create {
            return open_regular(&self.directory, name, OFlag::O_RDWR, 0o644);
        }
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = as_root(|| openat(&self.directory, name, flags, Mode::empty()))?;
        if is_regular(&file) { Ok(file) } else { Err(Errno::EINVAL) }
    }

    /// The same for whoever has started a zei-init with root in reserve, and may ask it.
    pub fn write_for_starter(&self, name: &str, group: Option<u32>, content: &[u8]) -> Result<(), Errno> {
        self.write_private(name, group, content)?;
        match elevation::rest() {
            Some(user) => as_root(|| {
                fchownat(&self.directory, name, Some(Uid::from_raw(user)), None, AtFlags::AT_SYMLINK_NOFOLLOW)
            }),
            None => Ok(()),
        }
    }

    /// Writes a whole file that only this user and this group may read, in the place of one of the same name.
    pub fn write_private(&self, name: &str, group: Option<u32>, content: &[u8]) -> Result<(), Errno> {
        let file = open_regular(&self.directory, name, OFlag::O_WRONLY | OFlag::O_TRUNC, 0o600)?;
        give(&file, group, 0o600, 0o640)?;
        crate::sys::memfd::write_all(&file, content)
    }

    /// Puts one file in the place of another.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        let rename = || as_root(|| renameat(&self.directory, from, &self.directory, to));
        rename().or_else(|_| make_way(&self.directory, to).and_then(|()| rename()))
    }
}

/// Opens something of this user's to a group, or closes it to all others: their modes are `open` and `closed`.
pub fn give(file: impl AsFd, group: Option<u32>, closed: u32, open: u32) -> Result<(), Errno> {
    as_root(|| give_owned(file, group, closed, open))
}

fn give_owned(file: impl AsFd, group: Option<u32>, closed: u32, open: u32) -> Result<(), Errno> {
    if group.is_none() && fstat(&file)?.st_mode & 0o077 == 0 {
        return Ok(());
    }
    // Between the two it is neither the old group's nor the new one's.
    fchmod(&file, Mode::from_bits_truncate(closed))?;
    fchown(&file, None, Some(group.map_or_else(getegid, Gid::from_raw)))?;
    if group.is_some() { fchmod(&file, Mode::from_bits_truncate(open)) } else { Ok(()) }
}

fn open_status(directory: &OwnedFd) -> Option<OwnedFd> {
    open_regular(directory, paths::STATUS, OFlag::O_WRONLY, 0o644).ok()
}

/// Opens a file of zei's own, or makes it. Whatever else has its name, a directory, a FIFO, a symbolic link, makes way.
fn open_regular(directory: &OwnedFd, name: &str, access: OFlag, mode: u32) -> Result<OwnedFd, Errno> {
    as_root(|| make_regular(directory, name, access, mode))
}

fn make_regular(directory: &OwnedFd, name: &str, access: OFlag, mode: u32) -> Result<OwnedFd, Errno> {
    // Where there is a FIFO, nobody waits for its other end.
    let flags = access | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mode = Mode::from_bits_truncate(mode);
    match openat(directory, name, flags, mode) {
        Ok(file) if is_regular(&file) => Ok(file),
        Ok(_) | Err(Errno::ENXIO | Errno::ELOOP | Errno::EISDIR) => {
            make_way(directory, name)?;
            openat(directory, name, flags | OFlag::O_EXCL, mode)
        }
        Err(errno) => Err(errno),
    }
}

/// Whether it is a plain file, which a read never waits for.
pub fn is_regular(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG)
}

/// Whether it is this file that has this name.
pub fn has(directory: &OwnedFd, name: &str, file: &OwnedFd) -> bool {
    let key = |stat: FileStat| (stat.st_dev, stat.st_ino);
    fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(key) == fstat(file).map(key)
}

/// Removes what has this name, if there is such; a directory with something in it gets another name.
pub fn make_way(directory: &OwnedFd, name: &str) -> Result<(), Errno> {
    as_root(|| move_away(directory, name))
}

fn move_away(directory: &OwnedFd, name: &str) -> Result<(), Errno> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => unlinkat(directory, name, UnlinkatFlags::RemoveDir).or_else(|_| {
            let other: Text<96> = text::format(format_args!("{name}.removed"));
            renameat(directory, name, directory, other.as_str())
        }),
        Err(errno) => Err(errno),
    }
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
