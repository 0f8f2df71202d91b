//! What the service says of itself: by sd_notify(3), or by a newline on a descriptor.
//!
//! Owns: from a datagram to events. Must never: believe a stranger, or believe what an earlier run has said.

use super::Supervisor;
use crate::model::definition::{Definition, ReadyBy};
use crate::model::service::{Event, Notice as Word};
use crate::model::time::Span;
use crate::protocol::notify::{self, Doing, Notice, Watchdog};
use crate::sys::notify::Socket;
use crate::sys::pipe::Readiness;
use crate::sys::process;
use crate::text::{self, Text};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// So many datagrams are read before anything else gets its turn.
const AT_ONCE: usize = 32;

/// Through what a service speaks.
#[derive(Debug)]
pub enum Voice {
    /// It does not.
    None,
    /// Through the socket that NOTIFY_SOCKET names.
    Socket(Box<Ear>),
    /// Through a pipe: its own descriptor of this number, or zei-log's.
    Pipe(Readiness, Option<RawFd>),
}

/// The socket, and what was last said about the service for people.
#[derive(Debug)]
pub struct Ear {
    socket: Socket,
    status: Text<{ notify::STATUS }>,
}

/// Whether the supervisor of such a service is passed a socket or a pipe.
pub fn is_passed(definition: &Definition<'_>) -> bool {
    definition.policy.watchdog.is_some() || matches!(definition.ready, ReadyBy::Systemd | ReadyBy::Fd(_) | ReadyBy::Log)
}

impl Voice {
    /// Over what zei-init has passed.
    pub fn over(passed: Option<OwnedFd>, definition: &Definition<'_>) -> Voice {
        match (passed, definition.ready) {
            (None, _) => Voice::None,
            (Some(pipe), ReadyBy::Fd(number)) => Voice::Pipe(Readiness::over(pipe), RawFd::try_from(number).ok()),
            (Some(pipe), ReadyBy::Log) => Voice::Pipe(Readiness::over(pipe), None),
            (Some(socket), ReadyBy::Systemd | ReadyBy::Running | ReadyBy::Job) => {
                Voice::Socket(Box::new(Ear { socket: Socket::over(socket), status: Text::new() }))
            }
        }
    }

    /// What to poll for POLLIN.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Voice::None => None,
            Voice::Socket(ear) => Some(ear.socket.as_fd()),
            Voice::Pipe(pipe, _) => Some(pipe.as_fd()),
        }
    }

    /// A run begins: what an earlier one has said is nothing any more.
    pub fn forget(&mut self) {
        match self {
            Voice::None => {}
            Voice::Socket(ear) => {
                ear.socket.drain();
                ear.status = Text::new();
            }
            Voice::Pipe(pipe, _) => pipe.drain(),
        }
    }

    /// The descriptor that the service gets, and its number.
    pub fn writer(&self) -> Result<Option<(OwnedFd, RawFd)>, Errno> {
        match self {
            Voice::Pipe(pipe, Some(number)) => pipe.writer().map(|writer| Some((writer, *number))),
            Voice::Pipe(_, None) | Voice::Socket(_) | Voice::None => Ok(None),
        }
    }

    /// `NOTIFY_SOCKET=…`
    pub fn variable(&self) -> Option<CString> {
        let Voice::Socket(ear) = self else { return None };
        let variable: Text<128> = text::format(format_args!("NOTIFY_SOCKET={}", ear.socket.address()?));
        CString::new(variable.as_bytes()).ok()
    }

    /// What the service has last said of itself for people.
    pub fn status(&self) -> Text<{ notify::STATUS }> {
        match self {
            Voice::Socket(ear) => ear.status,
            Voice::Pipe(..) | Voice::None => Text::new(),
        }
    }
}

impl Supervisor<'_> {
    /// Takes what was said.
    #[inline(never)]
    pub(super) fn hear(&mut self) {
        match &self.voice {
            Voice::None => {}
            Voice::Pipe(pipe, _) => {
                if pipe.take() {
                    self.feed(Event::Ready);
                }
            }
            Voice::Socket(_) => {
                for _datagram in 0..AT_ONCE {
                    match self.receive() {
                        Ok(Some(notice)) => self.heed(&notice),
                        Ok(None) => {}
                        Err(_) => return,
                    }
                }
            }
        }
    }

    /// `Ok(None)`: of somebody whose word does not count. `Err`: nothing more was said.
    fn receive(&self) -> Result<Option<Notice>, Errno> {
        let Voice::Socket(ear) = &self.voice else { return Err(Errno::EAGAIN) };
        let mut buffer = [0; notify::LONGEST];
        match ear.socket.receive(&mut buffer) {
            Ok((length, sender)) => {
                let uid = self.definition.ids.map_or_else(|| nix::unistd::geteuid().as_raw(), |(uid, _)| uid);
                let counts = sender.counts_for(uid);
                Ok(counts.then(|| notify::parse(buffer.get(..length).unwrap_or_default())))
            }
            Err(Errno::ENOBUFS) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// In the order of systemd: who speaks for it first, that it lives last.
    fn heed(&mut self, notice: &Notice) {
        if let Some(pid) = notice.main {
            self.switch_main(pid);
        }
        if let (Some(status), Voice::Socket(ear)) = (notice.status, &mut self.voice)
            && ear.status != status
            && self.service.process.is_some()
        {
            ear.status = status;
            self.publish();
        }
        if let Some(time) = notice.extend {
            self.feed(Event::Extend(to_span(time)));
        }
        if let Some(time) = notice.watchdog_time {
            self.feed(Event::WatchdogSet(to_span(time)));
        }
        match notice.doing {
            None => {}
            Some(Doing::Ready) => self.feed(Event::Ready),
            Some(Doing::Reloading) => self.feed(Event::Notice(Word::Reloading)),
            Some(Doing::Stopping) => self.feed(Event::Notice(Word::Stopping)),
        }
        match notice.watchdog {
            None => {}
            Some(Watchdog::Alive) => self.feed(Event::Alive),
            Some(Watchdog::Trigger) => self.feed(Event::Ailing),
        }
    }

    /// Only to a descendant, which is held from then on, as another may be its parent.
    fn switch_main(&mut self, pid: u32) {
        if self.service.process.is_none_or(|main| main.pid == pid) {
            return;
        }
        let Some(held) = process::hold(pid) else { return };
        self.feed(Event::MainIs(held.process));
        if self.service.process == Some(held.process) {
            self.main = Some(held);
        }
    }
}

/// From microseconds; a part of a millisecond is one.
const fn to_span(microseconds: u64) -> Span {
    Span(microseconds.div_ceil(1000))
}
