//! One of the container's streams, to which zei-log writes.
//!
//! Owns: what waits for it, whose line is in the middle, and how long others wait for its end. Must never: block, or hold
//! more than one stream's line open.
//!
//! What is to be written stands in the state first. To a pipe whole lines are written by calls that happen wholly or not at
//! all, so that a kill tears none: its successor writes again what is not known to be written, once at most. Where a call
//! may stop in the middle (a longer line, a full pipe, a socket), that is noted before: then a successor breaks the line
//! and writes it anew.

use super::memory::{Change, Memory};
use crate::model::pump::WINDOW;
use crate::model::pump::layout::{self, OutletNumber};
use crate::model::time::{Span, Time};
use crate::sys::nowait::{self, Writer};
use crate::sys::{raw, say};
use memchr::memrchr;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::unistd::isatty;
use std::os::fd::RawFd;

/// So long others wait for the end of a line; then it is broken.
pub const HOLD: Span = Span(100);
/// After this time it is tried again where a file system has no room.
const NO_ROOM: Span = Span(1000);
/// After this time it is tried again where the system can't tell when.
const UNTOLD: Span = Span(10);

/// Whether a stream may pass something on.
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
    /// Its place in the state.
    pub index: usize,
    descriptor: RawFd,
    writer: Writer<'static>,
    is_terminal: bool,
    /// The open line's end is known to come.
    ends: bool,
    /// A line may have been torn by a kill: it is to be broken first.
    is_torn: bool,
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
    /// Over standard output (1) or error (2), as an earlier zei-log has left it.
    ///
    /// # Errors
    /// Of fstat(2).
    pub fn over(index: usize, descriptor: RawFd, memory: &mut Memory) -> Result<Outlet, Errno> {
        let stream = raw::standard(descriptor);
        let is_torn = memory.of_outlet(index, OutletNumber::Unsure) != 0;
        if is_torn {
            // The line that may be torn is written anew, as far as its begin is still there.
            let written = memory.written(index);
            let begin = memrchr(b'\n', written).map_or(0, |end| end + 1);
            memory.commit(&[(layout::outlet(index, OutletNumber::Written), begin)]);
        }
        Ok(Outlet {
            index,
            descriptor,
            writer: Writer::new(stream)?,
            is_terminal: isatty(stream).unwrap_or(false),
            ends: false,
            is_torn,
            held_up: None,
            blocked: false,
            retry: None,
            registered: false,
            lost: false,
        })
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// When it is to be tried again without having been told.
    pub fn retry(&self) -> Option<Time> {
        self.retry
    }

    /// It may take something again. Whoever waits for a line's end waits anew.
    pub fn unblock(&mut self) {
        (self.blocked, self.retry, self.held_up) = (false, None, None);
    }

    /// The slot of the stream whose line is in the middle.
    fn open(&self, memory: &Memory) -> Option<usize> {
        memory.of_outlet(self.index, OutletNumber::Open).checked_sub(1)
    }

    /// Whether this stream's line is in the middle.
    pub fn is_held_by(&self, slot: usize, memory: &Memory) -> bool {
        self.open(memory) == Some(slot)
    }

    /// Asks for a stream that wants to pass something on. Another's line in the middle is waited for, then broken.
    pub fn claim(&mut self, slot: usize, hold: Span, now: Time, memory: &mut Memory) -> Claim {
        if self.open(memory).is_none_or(|open| open == slot) {
            return Claim::Free;
        }
        let until = self.held_up.get_or_insert(now).plus(hold);
        match () {
            () if self.ends => Claim::Wait(None),
            () if now < until => Claim::Wait(Some(until)),
            () if self.break_line(&[], now, memory) => Claim::Free,
            () => Claim::Wait(None),
        }
    }

    /// Ends the line in the middle, while something else changes. `false`: there is no room for that now.
    pub fn break_line(&mut self, beside: &[Change], now: Time, memory: &mut Memory) -> bool {
        if memory.room(self.index).is_empty() {
            self.flush(now, memory);
        }
        let Some(place) = memory.room(self.index).first_mut() else { return false };
        *place = b'\n';
        let changes = [&self.grow(1, None, false, memory)[..], beside].concat();
        memory.commit(&changes);
        true
    }

    /// What changes when so many bytes that stand where there was room are to be written. `open`: the slot of the stream
    /// whose line is in the middle then; `ends`: that line's end is known to come.
    pub fn grow(&mut self, length: usize, open: Option<usize>, ends: bool, memory: &Memory) -> [Change; 2] {
        self.ends = ends && open.is_some();
        if open.is_none() {
            self.held_up = None;
        }
        let waits = memory.of_outlet(self.index, OutletNumber::Length);
        [
            (layout::outlet(self.index, OutletNumber::Length), waits + length),
            (layout::outlet(self.index, OutletNumber::Open), open.map_or(0, |slot| slot + 1)),
        ]
    }

    /// Writes what waits, as far as it is taken now.
    pub fn flush(&mut self, now: Time, memory: &mut Memory) {
        while !self.blocked && !memory.waiting(self.index).is_empty() {
            if self.is_torn {
                if self.write(b"\n", now).is_none() {
                    return;
                }
                self.is_torn = false;
                memory.commit(&[(layout::outlet(self.index, OutletNumber::Unsure), 0)]);
            }
            let waiting = memory.waiting(self.index);
            let is_begin = memory.written(self.index).last().is_none_or(|last| *last == b'\n');
            let (length, is_whole) = self.next(waiting);
            let is_unsure = !(is_whole && is_begin);
            if is_unsure {
                memory.commit(&[(layout::outlet(self.index, OutletNumber::Unsure), 1)]);
            }
            let bytes = memory.waiting(self.index);
            let written = self.write(bytes.get(..length).unwrap_or(bytes), now);
            self.advance(written.unwrap_or(0), memory);
            if is_unsure {
                memory.commit(&[(layout::outlet(self.index, OutletNumber::Unsure), 0)]);
            }
        }
    }

    /// So many bytes more are written.
    fn advance(&mut self, length: usize, memory: &mut Memory) {
        let at = |number| layout::outlet(self.index, number);
        let written = memory.of_outlet(self.index, OutletNumber::Written) + length;
        if written < memory.of_outlet(self.index, OutletNumber::Length) {
            return memory.commit(&[(at(OutletNumber::Written), written)]);
        }
        memory.commit(&[(at(OutletNumber::Written), 0), (at(OutletNumber::Length), 0)]);
    }

    /// How much of what waits is written by one call, and whether those are whole lines that get out wholly or not at all.
    fn next(&self, waiting: &[u8]) -> (usize, bool) {
        let most = waiting.len().min(WINDOW);
        if !self.writer.is_pipe() {
            return (most, false);
        }
        let limit = if most <= nowait::ATOMIC { most } else { self.free().min(most) };
        let near = waiting.get(..limit).unwrap_or(waiting);
        match memrchr(b'\n', near) {
            Some(end) => (end + 1, true),
            None => (limit, false),
        }
    }

    /// So many bytes the pipe takes at once: all that it can hold where it is empty, as this is by far its busiest writer.
    fn free(&self) -> usize {
        let stream = raw::standard(self.descriptor);
        if raw::readable(stream) != Ok(0) {
            return nowait::ATOMIC;
        }
        let size = fcntl(stream, FcntlArg::F_GETPIPE_SZ).unwrap_or(0);
        usize::try_from(size).unwrap_or(0).max(nowait::ATOMIC)
    }

    /// Writes what it takes now; `None`: nothing. What can't be written at all is lost, which is said once.
    fn write(&mut self, bytes: &[u8], now: Time) -> Option<usize> {
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

    /// Whether nothing waits for it.
    pub fn is_empty(&self, memory: &Memory) -> bool {
        memory.waiting(self.index).is_empty()
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
