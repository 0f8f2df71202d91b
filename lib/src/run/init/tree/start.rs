//! A supervisor begins: what it is passed, and where.
//!
//! Must never: leave one service's descriptors for the next one's supervisor.

use super::Running;
use crate::model::init::Event;
use crate::run::init::shared;
use crate::signal::{self, Set};
use crate::sys::ledger;
use crate::sys::raw::{self, Strings};
use crate::sys::spawn::{self, Session, Spawn, Stream};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Passes the next supervisor the log pipes of its service. Most have none, and find nothing at their numbers.
fn pass_log(log: [Option<BorrowedFd<'_>>; 2]) -> Result<(), Errno> {
    let numbers = [ledger::LOG_OUT, ledger::LOG_ERR];
    let pipes = log.into_iter().zip(numbers).filter_map(|(pipe, number)| Some((pipe?, number)));
    pipes.into_iter().try_for_each(|(pipe, number)| raw::duplicate(pipe.as_raw_fd(), number))
}

impl Running {
    /// The limit of descriptors that a supervisor gets where this process's own was lowered since it began: a supervisor
    /// lives on when that is over, and finds out nothing without a descriptor.
    fn lost_room(&self) -> Option<(u64, u64)> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        (soft < self.room.min(hard)).then_some((self.room.min(hard), hard))
    }

    /// Starts the supervisor of a service.
    pub(super) fn start(&mut self, index: usize) -> Option<Event> {
        let (name, former) = (self.name(index), self.tree.is_retiring(index));
        let arguments = shared::arguments(
            &self.programs.supervisor,
            name,
            index,
            self.tree.is_wanted(index),
            self.shared.ledger.calls(),
        );
        let stdin = if self.command == Some(index) { Stream::Same } else { Stream::Of(self.null.as_fd()) };
        // Its FIFO takes the place in this process's own table that the new one shares at first.
        let passed = match self.controls.get(index).and_then(Option::as_ref) {
            Some(control) => raw::duplicate(control.as_raw_fd(), ledger::CONTROL),
            None => raw::occupy(ledger::CONTROL..=ledger::CONTROL),
        };
        if let Err(errno) = passed.and_then(|()| self.shared.pass(former)) {
            self.say(format_args!("cannot pass {name} its descriptors: {}", errno.desc()));
        }
        // Most have none of these, and find nothing at its number.
        let voice = self.voices.get(index).and_then(Option::as_ref);
        if let Some(Err(errno)) = voice.map(|voice| raw::duplicate(voice.as_raw_fd(), ledger::NOTIFY)) {
            self.say(format_args!("cannot pass {name} what it tells through that it is ready: {}", errno.desc()));
        }
        let log = [self.pump.stdout(index), self.pump.stderr(index)];
        if let Err(errno) = pass_log(log) {
            self.say(format_args!("cannot pass {name} its log pipes: {}", errno.desc()));
        }
        let has_voice = voice.is_some();
        let made = spawn::spawn(&Spawn {
            arguments: Strings::collect(arguments.iter().map(CString::as_c_str)),
            environment: Strings::collect(core::iter::empty()),
            record: None,
            session: Session::Same,
            streams: [stdin, Stream::Same, Stream::Same],
            passed: None,
            descriptors_below: Some(ledger::END),
            defaults: self.defaults,
            ignored: Set::EMPTY,
            // Until it can take them.
            blocked: Set(u64::MAX),
            group: None,
            mark: None,
            nofile: self.lost_room(),
            // PID 1 takes everything with it; another one's supervisors must notice.
            death_signal: (std::process::id() != 1).then_some(signal::TERM),
            umask: None,
            privileges: None,
            directory: None,
            ids: None,
            groups: &[],
        });
        if has_voice {
            let _the_next_one_replaces_it = raw::occupy(ledger::NOTIFY..=ledger::NOTIFY);
        }
        if log.iter().any(Option::is_some) {
            let _the_next_one_replaces_it = raw::occupy(ledger::LOG_OUT..=ledger::LOG_ERR);
        }
        match made {
            Ok(pid) => {
                if self.unstarted.remove(&index) {
                    self.say(format_args!("zei-supervise {name} has started"));
                }
                self.supervisors.insert(pid, index);
                if let Some(slot) = self.pids.get_mut(index) {
                    *slot = Some(pid);
                }
                None
            }
            Err(failure) => {
                let why = match Errno::from_raw(failure.errno) {
                    Errno::EAGAIN => "no more processes are allowed here (a pids limit, or ulimit -u)",
                    errno => errno.desc(),
                };
                if self.unstarted.insert(index) {
                    let what = failure.stage.text();
                    self.say(format_args!(
                        "cannot start zei-supervise {name}: cannot {what}: {why}; trying each second"
                    ));
                }
                Some(Event::NotStarted(index))
            }
        }
    }
}
