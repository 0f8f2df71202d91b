//! Event FIFOs: how whoever waits learns that files have changed, without polling and without inotify.
//!
//! Owns: the FIFO `event` beside a `status`. Must never: say what has changed (files are the truth,
//! a ring is a hint), touch the heap, or block in [`ring`].
//!
//! Whoever waits opens the FIFO for reading, then reads the files, then polls. Whoever has changed a
//! file opens it for writing and closes it: that is POLLHUP for all readers (fifo(7); a descriptor
//! that has seen a writer come and go stays at POLLHUP, so it is opened anew after each ring).
//! With nobody waiting the open fails with ENXIO and costs nothing more.

use crate::model::time::Span;
use crate::sys::elevation;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{Gid, Uid, fchown, geteuid, mkfifoat};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How often a waiter looks that can have no FIFO (a directory it may not write to).
pub const FALLBACK: Span = Span(50);

/// Wakes all waiters of the FIFO at `path`, relative to `dir`. Never blocks and never fails: what can't
/// be rung has nobody waiting, or somebody who looks by a timer.
pub fn ring(dir: impl AsFd, path: &(impl nix::NixPath + ?Sized)) {
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    // Closed at once: the close is the ring.
    drop(openat(dir, path, flags, Mode::empty()));
}

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// Something may have changed.
    Rung,
    /// The other descriptor that was watched has an event.
    Other,
    /// The time is up.
    TimedOut,
}

/// One end of an event FIFO that hears the next ring.
#[derive(Debug)]
pub struct Waiter {
    /// `None` where there can be no FIFO.
    fifo: Option<OwnedFd>,
}

impl Waiter {
    /// Hears every ring from now on: read the files after this, not before. The FIFO at `path`,
    /// relative to `dir`, is made if it is missing (0600, of the owner of `dir`). Where it can't be
    /// made or opened there is no error, but [`Waiter::fd`] is `None` and [`Waiter::wait`] returns
    /// after [`FALLBACK`].
    pub fn open(dir: impl AsFd, path: &(impl nix::NixPath + ?Sized)) -> Waiter {
        Waiter { fifo: open_or_make(dir.as_fd(), path).ok() }
    }

    /// To be called after each ring, before the files are read again. The new end is opened before
    /// the old one is closed, so that no ring finds nobody.
    pub fn renew(&mut self, dir: impl AsFd, path: &(impl nix::NixPath + ?Sized)) {
        let renewed = Waiter::open(dir, path);
        *self = renewed;
    }

    /// For a poll(2) of the caller's own: it has POLLHUP once rung. `None`: look every [`FALLBACK`].
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fifo.as_ref().map(AsFd::as_fd)
    }

    /// Waits for a ring, for POLLERR or POLLHUP on `other`, or for the time to pass (`None`: without end).
    /// An interrupting signal counts as a ring.
    pub fn wait(&self, other: Option<BorrowedFd<'_>>, timeout: Option<Span>) -> Woken {
        let limit = if self.fifo.is_some() { timeout } else { Some(timeout.unwrap_or(FALLBACK).min(FALLBACK)) };
        let poll_timeout = limit.map_or(PollTimeout::NONE, |span| {
            PollTimeout::try_from(i32::try_from(span.0).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
        });
        // A descriptor that isn't there is stood in for by the other one: poll(2) takes the same one twice.
        let Some(first) = self.fd().or(other) else {
            let _no_descriptor = poll(&mut [], poll_timeout);
            return if limit == timeout { Woken::TimedOut } else { Woken::Rung };
        };
        let mut fds = [PollFd::new(first, PollFlags::empty()), PollFd::new(other.unwrap_or(first), PollFlags::empty())];
        let woken = poll(&mut fds, poll_timeout);
        let has_event = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| fd.any().unwrap_or(true));
        match woken {
            Ok(0) if limit == timeout => Woken::TimedOut,
            Ok(0) | Err(_) => Woken::Rung,
            Ok(_) if other.is_some() && has_event(fds.last()) => Woken::Other,
            Ok(_) => Woken::Rung,
        }
    }
}

/// Makes the FIFO for those who may not: where zei has root in reserve, its directories are root's, and those who wait
/// mostly the user's.
pub fn provide(dir: impl AsFd, path: &(impl nix::NixPath + ?Sized)) {
    if elevation::rest().is_some() {
        let _by_a_timer_then = open_or_make(dir.as_fd(), path);
    }
}

fn open_or_make(dir: BorrowedFd<'_>, path: &(impl nix::NixPath + ?Sized)) -> nix::Result<OwnedFd> {
    match open_fifo(dir, path) {
        Err(Errno::ENOENT) => elevation::as_root(|| make(dir, path)),
        other => other,
    }
}

fn open_fifo(dir: BorrowedFd<'_>, path: &(impl nix::NixPath + ?Sized)) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let fifo = openat(dir, path, flags, Mode::empty())?;
    let kind = SFlag::from_bits_truncate(fstat(&fifo)?.st_mode & SFlag::S_IFMT.bits());
    if kind == SFlag::S_IFIFO { Ok(fifo) } else { Err(Errno::EINVAL) }
}

fn make(dir: BorrowedFd<'_>, path: &(impl nix::NixPath + ?Sized)) -> nix::Result<OwnedFd> {
    match mkfifoat(dir, path, Mode::S_IRUSR | Mode::S_IWUSR) {
        // Another waiter was faster.
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let fifo = open_fifo(dir, path)?;
    // Made by root in a directory of the user who runs zei-init, it must be open to that user's rings.
    if geteuid().is_root() {
        let owner = fstat(dir)?;
        let user = elevation::rest().unwrap_or(owner.st_uid);
        fchown(&fifo, Some(Uid::from_raw(user)), Some(Gid::from_raw(owner.st_gid)))?;
    }
    Ok(fifo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::sync::mpsc;
    use std::thread;

    const LONG: Option<Span> = Some(Span::seconds(60));
    const NOW: Option<Span> = Some(Span(0));

    fn directory() -> (tempfile::TempDir, File) {
        let place = tempfile::tempdir().unwrap();
        let dir = File::open(place.path()).unwrap();
        (place, dir)
    }

    #[test]
    fn the_fifo_is_made_private_by_whoever_waits_first() {
        let (place, dir) = directory();
        ring(&dir, c"event");
        assert!(!place.path().join("event").exists());
        let waiter = Waiter::open(&dir, c"event");
        let made = fs::metadata(place.path().join("event")).unwrap();
        assert!(made.file_type().is_fifo() && waiter.fd().is_some());
        assert_eq!(made.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_ring_wakes_every_waiter_and_a_renewed_one_hears_the_next_only() {
        let (_place, dir) = directory();
        let (mut one, two) = (Waiter::open(&dir, c"event"), Waiter::open(&dir, c"event"));
        assert_eq!(one.wait(None, NOW), Woken::TimedOut);
        ring(&dir, c"event");
        assert_eq!((one.wait(None, LONG), two.wait(None, LONG)), (Woken::Rung, Woken::Rung));
        one.renew(&dir, c"event");
        assert_eq!(one.wait(None, NOW), Woken::TimedOut);
        ring(&dir, c"event");
        assert_eq!(one.wait(None, LONG), Woken::Rung);
    }

    #[test]
    fn no_change_between_reading_and_waiting_is_missed() {
        let (place, dir) = directory();
        fs::write(place.path().join("value"), "0").unwrap();
        let (seen, see) = mpsc::channel();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut waiter = Waiter::open(&dir, c"event");
                loop {
                    let value = fs::read_to_string(place.path().join("value")).unwrap();
                    seen.send(value.clone()).unwrap();
                    if value == "500" {
                        return;
                    }
                    assert_eq!(waiter.wait(None, LONG), Woken::Rung);
                    waiter.renew(&dir, c"event");
                }
            });
            for value in 1..=500 {
                // Whatever the reader is at just now, it must come to see this value.
                fs::write(place.path().join("value.new"), value.to_string()).unwrap();
                fs::rename(place.path().join("value.new"), place.path().join("value")).unwrap();
                ring(&dir, c"event");
                while see.recv().unwrap() != value.to_string() {}
            }
            reader.join().unwrap();
        });
    }

    #[test]
    fn a_path_below_the_directory_is_rung_from_there() {
        let (place, dir) = directory();
        fs::create_dir(place.path().join("db")).unwrap();
        let waiter = Waiter::open(&dir, "db/event");
        ring(File::open(place.path().join("db")).unwrap(), c"event");
        assert_eq!(waiter.wait(None, LONG), Woken::Rung);
    }

    #[test]
    fn the_other_descriptor_is_told_from_a_ring() {
        let (_place, dir) = directory();
        let waiter = Waiter::open(&dir, c"event");
        let (read, write) = nix::unistd::pipe().unwrap();
        assert_eq!(waiter.wait(Some(write.as_fd()), NOW), Woken::TimedOut);
        drop(read);
        assert_eq!(waiter.wait(Some(write.as_fd()), LONG), Woken::Other);
    }

    #[test]
    fn what_is_no_fifo_is_not_waited_on_but_looked_after_by_a_timer() {
        let (place, dir) = directory();
        fs::write(place.path().join("file"), "").unwrap();
        symlink("elsewhere", place.path().join("link")).unwrap();
        for path in ["file", "link", "no/such/directory"] {
            let waiter = Waiter::open(&dir, path);
            assert!(waiter.fd().is_none(), "{path}");
            assert_eq!(waiter.wait(None, LONG), Woken::Rung, "{path}");
            assert_eq!(waiter.wait(None, Some(Span(1))), Woken::TimedOut, "{path}");
            ring(&dir, path);
        }
        assert!(!place.path().join("elsewhere").exists());
    }
}
