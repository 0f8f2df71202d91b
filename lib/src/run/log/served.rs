//! A service whose output is pumped: its last lines, and the line that makes it ready.
//!
//! Must never: be needed for the output to go on.

use super::lines::Lines;
use super::ring::Ring;
use super::tail::Tail;
use crate::model::pump::{Pumped, Side};
use crate::name::ServiceName;
use crate::pattern::Pattern;
use crate::protocol::boundary;
use crate::protocol::last::MAX;
use crate::run::last;
use crate::sys::nowait::Writer;
use crate::sys::{clock, say};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::uio::pwrite;
use nix::unistd::{Uid, fchown, ftruncate};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The service.
#[derive(Debug)]
pub struct Served {
    name: ServiceName,
    pattern: Option<Pattern>,
    notify: Option<OwnedFd>,
    /// The last run that was told to be ready.
    told: Option<u64>,
    tail: Tail,
    file: Option<OwnedFd>,
    /// How long the file is.
    length: usize,
    /// The file is older than the tail.
    is_stale: bool,
    ring: Option<Ring>,
}

impl Served {
    /// Goes on where an earlier zei-log has left off. `told` is what the state says.
    pub fn new(
        pumped: &Pumped,
        notify: Option<OwnedFd>,
        services: Option<BorrowedFd<'_>>,
        told: Option<u64>,
        rest: Option<u32>,
    ) -> Served {
        let name = pumped.name;
        let pattern = pumped.pattern.as_deref().and_then(|text| match Pattern::new(text) {
            Ok(pattern) => Some(pattern),
            Err(reason) => {
                say_of(name, format_args!("cannot use the pattern {text:?} (ready: log): {reason}"));
                None
            }
        });
        let mut buffer = [0; MAX];
        let kept = services.and_then(|services| last::read(services, name, &mut buffer));
        let tail = kept.map(|kept| Tail::resume(&kept)).unwrap_or_default();
        let file = services.and_then(|services| match open(services, name, rest) {
            Ok(file) => Some(file),
            Err(errno) => {
                say_of(name, format_args!("cannot keep its last lines: {}", errno.desc()));
                None
            }
        });
        let ring = services.and_then(|services| match Ring::open(services, name, rest) {
            Ok(ring) => Some(ring),
            Err(errno) => {
                say_of(name, format_args!("cannot keep its output for zei-ctl log: {}", errno.desc()));
                None
            }
        });
        Served { name, pattern, notify, told, tail, file, length: MAX, is_stale: true, ring }
    }

    /// A stream of it has written. `Some`: that makes this run ready, which was told.
    pub fn text(&mut self, side: Side, text: &[u8], lines: &mut Lines) -> Option<u64> {
        if text.is_empty() {
            return None;
        }
        self.tail.append(side, text);
        self.is_stale = true;
        let (Some(pattern), Some(run)) = (&self.pattern, lines.run) else { return None };
        if self.told.is_some_and(|told| told >= run) || !lines.find(text, pattern) {
            return None;
        }
        self.tell(run);
        self.told = Some(run);
        Some(run)
    }

    /// A stream of it has written lines, or a piece of one that `goes_on`; to be followed by [`Served::write`].
    pub fn lines(&mut self, side: Side, text: &[u8], goes_on: bool, run: Option<u64>) {
        if let Some(ring) = self.ring.as_mut().filter(|_| !text.is_empty()) {
            ring.keep(text, goes_on, side, run, clock::wall());
        }
    }

    /// Keeps the lines where they outlive this process.
    pub fn write(&mut self) {
        if let Some(errno) = self.ring.as_mut().and_then(Ring::write) {
            self.say(format_args!("cannot keep its output for zei-ctl log: {}", errno.desc()));
        }
    }

    /// A run begins in one of its streams.
    pub fn begin(&mut self, run: u64) {
        self.tail.begin(run);
        self.is_stale = true;
    }

    fn tell(&self, run: u64) {
        let Some(notify) = &self.notify else { return };
        let told = Writer::new(notify.as_fd()).and_then(|mut pipe| pipe.write(boundary::answer(run).as_bytes()));
        match told {
            // A full pipe: the supervisor has enough to read.
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(errno) => say_of(self.name, format_args!("cannot tell that it is ready: {}", errno.desc())),
        }
    }

    /// Says something about it on standard error.
    pub fn say(&self, text: core::fmt::Arguments<'_>) {
        say_of(self.name, text);
    }

    /// Brings the file up to date.
    pub fn keep(&mut self) {
        if !core::mem::take(&mut self.is_stale) {
            return;
        }
        let mut buffer = [0; MAX];
        let length = self.tail.encode(&mut buffer);
        let Some(file) = &self.file else { return };
        // A full file system: the next write may fit.
        if pwrite(file, buffer.get(..length).unwrap_or_default(), 0) == Ok(length) {
            if length < self.length {
                let _what_is_behind_the_end_is_not_read = ftruncate(file, i64::try_from(length).unwrap_or(0));
            }
            self.length = length;
        }
    }
}

/// `rest`: whom it is for, if not this user.
fn open(services: BorrowedFd<'_>, name: ServiceName, rest: Option<u32>) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(services, last::path(name).as_str(), flags, Mode::from_bits_truncate(0o600))?;
    if rest.is_some() {
        fchown(&file, rest.map(Uid::from_raw), None)?;
    }
    Ok(file)
}

fn say_of(name: ServiceName, text: core::fmt::Arguments<'_>) {
    say::say(format_args!("{} {name}", super::PROGRAM), text);
}
