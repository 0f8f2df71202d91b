//! What the service says of itself: by sd_notify(3), by a newline on a descriptor, or by a line of its output.
//!
//! Owns: from a datagram to events. Must never: believe a stranger, or believe what an earlier run has said.

use super::Supervisor;
use crate::model::definition::{Definition, ReadyBy};
use crate::model::service::{Event, Notice as Word};
use crate::model::time::Span;
use crate::protocol::boundary;
use crate::protocol::last;
use crate::protocol::notify::{self, Doing, Notice, Watchdog};
use crate::run;
use crate::sys::notify::Socket;
use crate::sys::pipe::Readiness;
use crate::sys::{ledger, process, raw};
use crate::text::{self, Text};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// So many datagrams are read before anything else gets its turn.
const AT_ONCE: usize = 32;
/// So many of the last lines of a service that did not become ready are said, and so much of each, in bytes.
const LINES: usize = 5;
const WIDTH: usize = 400;

/// Through what a service speaks.
#[derive(Debug)]
pub enum Voice {
    /// It does not.
    None,
    /// Through the socket that NOTIFY_SOCKET names.
    Socket(Box<Ear>),
    /// Through a pipe: its own descriptor of this number.
    Pipe(Readiness, RawFd),
    /// Through its output: zei-log tells when a line of it matches.
    Log(Readiness),
}

/// The socket, and what was last said about the service for people.
#[derive(Debug)]
pub struct Ear {
    socket: Socket,
    status: Text<{ notify::STATUS }>,
}

/// Whether the supervisor of such a service is passed a socket or a pipe.
fn is_passed(definition: &Definition<'_>) -> bool {
    definition.policy.watchdog.is_some() || matches!(definition.ready, ReadyBy::Systemd | ReadyBy::Fd(_) | ReadyBy::Log)
}

impl Voice {
    /// Takes what zei-init has passed. To be called before anything is opened.
    pub fn inherit(definition: &Definition<'_>) -> Voice {
        // Most services have none, which is not even asked then.
        let passed = if is_passed(definition) { raw::inherited(ledger::NOTIFY) } else { None };
        match (passed, definition.ready) {
            (None, _) => Voice::None,
            (Some(pipe), ReadyBy::Fd(number)) => {
                RawFd::try_from(number).map_or(Voice::None, |number| Voice::Pipe(Readiness::over(pipe), number))
            }
            (Some(pipe), ReadyBy::Log) => Voice::Log(Readiness::over(pipe)),
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
            Voice::Log(answers) => Some(answers.as_fd()),
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
            Voice::Log(answers) => answers.drain(),
        }
    }

    /// The service has said this of itself for people, to a predecessor.
    pub fn recall(&mut self, text: Text<{ notify::STATUS }>) {
        if let Voice::Socket(ear) = self {
            ear.status = text;
        }
    }

    /// The descriptor that the service gets, and its number.
    pub fn writer(&self) -> Result<Option<(OwnedFd, RawFd)>, Errno> {
        match self {
            Voice::Pipe(pipe, number) => pipe.writer().map(|writer| Some((writer, *number))),
            Voice::Log(_) | Voice::Socket(_) | Voice::None => Ok(None),
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
            Voice::Pipe(..) | Voice::Log(_) | Voice::None => Text::new(),
        }
    }
}

impl Supervisor<'_> {
    /// Says what this run has written last, where that is kept.
    #[inline(never)]
    pub(super) fn tell_last(&self) {
        let (Voice::Log(_), Some(services)) = (&self.voice, self.watch.directory()) else { return };
        let mut buffer = [0; last::MAX];
        let Some(kept) = run::last::read(services.as_fd(), self.definition.name, &mut buffer) else { return };
        for line in last::lines(kept.of_run(), LINES) {
            let line: Text<WIDTH> = text::for_people(line);
            self.say(format_args!("its output: {line}"));
        }
    }

    /// Takes what was said, once what follows from it is recorded.
    #[inline(never)]
    pub(super) fn hear(&mut self) {
        let run = self.service.run;
        let (length, ready) = match &self.voice {
            Voice::None => return,
            Voice::Pipe(pipe, _) => pipe.look(|bytes| bytes.contains(&b'\n')),
            Voice::Log(answers) => answers.look(|bytes| boundary::answers(bytes, u64::from(run))),
            Voice::Socket(_) => return self.hear_datagrams(),
        };
        if ready {
            self.feed(Event::Ready);
        }
        match &self.voice {
            // What comes in another run is another's word.
            _ if self.service.run != run => {}
            Voice::Pipe(pipe, _) => pipe.take(length),
            Voice::Log(answers) => answers.take(length),
            Voice::Socket(_) | Voice::None => {}
        }
    }

    fn hear_datagrams(&mut self) {
        let run = self.service.run;
        for _datagram in 0..AT_ONCE {
            match self.receive() {
                Ok(Some(notice)) => self.heed(&notice),
                Ok(None) => {}
                Err(_) => return,
            }
            match &self.voice {
                Voice::Socket(ear) if self.service.run == run => ear.socket.take(),
                _ => return,
            }
        }
    }

    /// The next datagram, which is still to be taken. `Ok(None)`: of somebody whose word does not count. `Err`: nothing
    /// more was said.
    fn receive(&self) -> Result<Option<Notice>, Errno> {
        let Voice::Socket(ear) = &self.voice else { return Err(Errno::EAGAIN) };
        let mut buffer = [0; notify::LONGEST];
        match ear.socket.look(&mut buffer) {
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
        let adopted = self.orphans;
        let is_own = |pid| self.adopted && adopted.include(pid);
        let Some(held) = process::hold(pid, is_own) else { return };
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
