//! The service's processes: signals to them, and their ends.
//!
//! Owns: the order "seen, recorded, reaped". Must never: send a signal to a pid that may be another's.

use super::{Supervisor, takeover};
use crate::exit::Exit;
use crate::model::service::{Beside, Ending, Event, Kind, Phase, Reason, Service};
use crate::signal;
use crate::sys::process::{self, Children};
use crate::sys::{clock, oom, raw};
use nix::errno::Errno;
use std::os::fd::AsFd;

impl Supervisor<'_> {
    /// Every death is seen, recorded, then reaped: killed in between, the zombie is zei-init's.
    pub(super) fn reap(&mut self) {
        let mut others = false;
        loop {
            match process::look() {
                Children::Ended(pid, exit) if self.is_main(pid) => {
                    // Its last words count: they may be that another one is the main process.
                    self.hear();
                    if !self.is_main(pid) {
                        continue;
                    }
                    self.record_with(Service { process: None, ending: Some(Ending::Exited(exit)), ..self.service });
                    process::reap(pid);
                    self.end_main(exit);
                }
                Children::Ended(pid, exit) => {
                    process::reap(pid);
                    others = true;
                    if let Beside::Job { kind, process: Some(job), killed, .. } = self.service.beside
                        && job.pid == pid
                    {
                        self.end_job(kind, exit, killed);
                    }
                }
                Children::Alive if others => {
                    self.sweep_jobs();
                    return self.feed(Event::Reaped);
                }
                Children::None if others => return self.feed(Event::Empty),
                Children::Alive | Children::None => return,
            }
        }
    }

    fn is_main(&self, pid: u32) -> bool {
        self.service.process.is_some_and(|main| main.pid == pid)
    }

    fn end_main(&mut self, exit: Exit) {
        self.main = None;
        let alone = process::look() == Children::None;
        let oom = exit == Exit::Signal(signal::KILL) && self.was_short_of_memory();
        self.feed(Event::Exited { exit, alone, oom });
    }

    /// Whether a death by KILL that nobody here has asked for was for want of memory.
    fn was_short_of_memory(&self) -> bool {
        if !matches!(self.service.phase, Phase::Starting { .. } | Phase::Running) {
            return false;
        }
        let Some(count) = oom::counter().and_then(|counter| oom::kills(&counter)) else { return false };
        let (oom, known) = self.ledger.kills().look(count, clock::now());
        let _the_next_one_may_be_taken_for_another = self.ledger.note_kills(known);
        oom
    }

    /// The main process, which is another's child, has ended; its parent alone knows how. Where it has become this
    /// one's own child meanwhile, it is reaped as any other.
    pub(super) fn take_end_of_main(&mut self) {
        let Some(main) = self.main.as_ref().filter(|main| main.has_ended()).map(|main| main.process) else { return };
        if process::parent(main.pid) == Some(std::process::id()) {
            return self.reap();
        }
        if self.service.phase == Phase::Failed(Reason::Stray) {
            return self.take_end_of_stray();
        }
        self.hear();
        if self.service.process == Some(main) {
            self.end_main(Exit::Code(0));
        }
    }

    /// What a predecessor had left, and could not be killed, is gone.
    fn take_end_of_stray(&mut self) {
        match takeover::look_for_more(self.index) {
            Ok(()) => {
                self.main = None;
                self.feed(Event::Empty);
            }
            Err(another) => self.main = another,
        }
    }

    /// Sends a signal to the main process.
    pub(super) fn signal_main(&self, number: u8) -> Result<(), Errno> {
        match (&self.main, self.service.process) {
            (Some(held), _) => raw::pidfd_send(held.as_fd(), number),
            (None, Some(main)) => process::signal_child(main.pid, number),
            (None, None) => Err(Errno::ESRCH),
        }
    }

    pub(super) fn ask(&mut self, number: u8, group: bool) {
        self.kill_probe();
        let Some(main) = self.service.process else { return };
        for number in [number, signal::CONT] {
            let sent = if group && self.main.is_none() {
                process::signal_group(main.pid, number)
            } else {
                self.signal_main(number)
            };
            match sent {
                Ok(()) => {}
                // Another's child, which that has reaped.
                Err(Errno::ESRCH) if self.main.is_some() => {}
                Err(errno) => {
                    self.say(format_args!("cannot send {} to {}: {}", signal::Name(number), main.pid, errno.desc()));
                }
            }
        }
    }

    pub(super) fn ask_rest(&mut self) {
        self.kill_probe();
        self.asked = process::ask_descendants(&self.asked);
    }

    pub(super) fn kill(&mut self) {
        let count = process::kill_children();
        // Once for each stop, and not where the configuration wants a kill; working out a schedule is no stop.
        let planning = matches!(self.service.beside, Beside::Job { kind: Kind::Plan, .. });
        let late = self.definition.policy.stop_signal != signal::KILL && self.said != Some(self.service.since);
        if late && !planning && count > 0 {
            self.said = Some(self.service.since);
            self.say(format_args!("did not end in time; killed {count} of its processes"));
        }
    }
}
