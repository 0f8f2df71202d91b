//! One of the container's streams, to which zei-log writes.
//!
//! Owns: whose line is in the middle, and how long others wait for its end. Must never: block, or hold more than one
//! stream's line open.

use super::state::State;
use crate::model::time::{Span, Time};
use crate::sys::nowait::{self, Writer};
use crate::sys::{raw, say};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use std::os::fd::RawFd;

/// So long others wait for the end of a line; then it is broken.
pub const HOLD: Span = Span(100);
/// After this time it is tried again where a file system has no room.
const NO_ROOM: Span = Span(1000);
/// After this time it is tried again where the system can't tell when.
const UNTOLD: Span = Span(10);

/// A line that has no end yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Open {
    /// Whose.
    pub stream: usize,
    /// The state tells what stands there of it; if not, it is being written.
    pub is_sure: bool,
}

/// Whether a stream may write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// It may.
    Free,
    /// Not now; `Some`: when to ask again, whatever happens.
    Wait(Option<Time>),
}

/// The container's stream.
#[derive(Debug)]
pub struct Outlet {
    index: usize,
    descriptor: RawFd,
    writer: Writer<'static>,
    open: Option<Open>,
    /// The open line's end is known to come.
    ends: bool,
    /// Nobody knows how the open line ended: the zei-log that began it was killed.
    torn: bool,
    /// Since when others wait for the open line's end.
    held_up: Option<Time>,
    /// It takes nothing now.
    blocked: bool,
    /// When it is tried again without having been told.
    retry: Option<Time>,
    registered: bool,
    /// What is written to it is lost, and that was said.
    lost: bool,
}

impl Outlet {
    /// Over standard output (1) or error (2).
    ///
    /// # Errors
    /// Of fstat(2).
    pub fn over(index: usize, descriptor: RawFd, state: &State) -> Result<Outlet, Errno> {
        let open = state.open(index);
        Ok(Outlet {
            index,
            descriptor,
            writer: Writer::new(raw::standard(descriptor))?,
            open,
            ends: false,
            torn: open.is_some_and(|open| !open.is_sure),
            held_up: None,
            blocked: false,
            retry: None,
            registered: false,
            lost: false,
        })
    }

    /// So many bytes get out in one piece.
    pub fn atomic(&self) -> usize {
        if self.writer.is_pipe() { nowait::ATOMIC } else { super::source::WINDOW }
    }

    /// Whether what this stream has begun was cut off by a kill, so that it is to be written again.
    pub fn is_torn(&self, stream: usize) -> bool {
        self.torn && self.open.is_some_and(|open| open.stream == stream)
    }

    /// Whether it takes nothing now.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// When it is to be tried again without having been told.
    pub fn retry(&self) -> Option<Time> {
        self.retry
    }

    /// It may take something again. Whoever waits for a line's end waits anew.
    pub fn unblock(&mut self) {
        (self.blocked, self.retry, self.held_up) = (false, None, None);
    }

    /// Whether this stream's line is in the middle.
    pub fn is_held_by(&self, stream: usize) -> bool {
        self.open.is_some_and(|open| open.stream == stream) && !self.torn
    }

    /// Asks for a stream that wants to write. Another's line in the middle is waited for, then broken.
    pub fn claim(&mut self, stream: usize, hold: Span, now: Time, state: &State) -> Claim {
        if self.blocked {
            return Claim::Wait(None);
        }
        if self.open.is_none() || self.is_held_by(stream) {
            return Claim::Free;
        }
        let until = self.held_up.get_or_insert(now).plus(hold);
        match (self.torn, self.ends) {
            (false, true) => Claim::Wait(None),
            (false, false) if now < until => Claim::Wait(Some(until)),
            _ => match self.write(b"\n", now) {
                Some(_) => {
                    self.set_open(None, state, false);
                    Claim::Free
                }
                None => Claim::Wait(None),
            },
        }
    }

    /// Keeps whose line is in the middle; before it is written, so that a successor knows. `ends`: its end is there,
    /// but does not get out with the rest.
    pub fn set_open(&mut self, open: Option<Open>, state: &State, ends: bool) {
        if open != self.open || self.torn {
            state.set_open(self.index, open);
            (self.open, self.torn) = (open, false);
        }
        self.ends = ends;
        if open.is_none() {
            self.held_up = None;
        }
    }

    /// Writes what it takes now; `None`: nothing. What can't be written at all is lost, which is said once.
    pub fn write(&mut self, bytes: &[u8], now: Time) -> Option<usize> {
        match self.writer.write(bytes) {
            Ok(length) => {
                self.lost = false;
                Some(length)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {
                self.blocked = true;
                None
            }
            Err(Errno::ENOSPC | Errno::EDQUOT) => {
                (self.blocked, self.retry) = (true, Some(now.plus(NO_ROOM)));
                None
            }
            Err(errno) => {
                if !self.lost {
                    self.lost = true;
                    let name = if self.descriptor == 1 { "output" } else { "error" };
                    let why = errno.desc();
                    let text = format_args!("cannot write to the container's standard {name}: {why}; lines are lost");
                    say::say(format_args!("{}", super::PROGRAM), text);
                }
                Some(bytes.len())
            }
        }
    }

    /// Asks to be told, once, when it takes something again.
    pub fn watch(&mut self, epoll: &Epoll, data: u64, now: Time) {
        if !self.blocked || self.retry.is_some() {
            return;
        }
        let stream = raw::standard(self.descriptor);
        let mut event = EpollEvent::new(EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT, data);
        let asked = if self.registered { epoll.modify(stream, &mut event) } else { epoll.add(stream, event) };
        match asked {
            Ok(()) => self.registered = true,
            Err(_) => self.retry = Some(now.plus(UNTOLD)),
        }
    }
}
