//! What wakes a supervisor.
//!
//! Owns: the one poll(2), and in which order what has woken it is taken. Must never: wake without a reason.

use super::{Supervisor, to_timeout};
use crate::model::service::Event;
use crate::model::time::Time;
use crate::run::place::Place;
use crate::sys::clock;
use crate::sys::process::Held;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, BorrowedFd};

/// What may wake it beside the rings of dependencies: signals, control lines, the service's own voice, a job's
/// output, the alarm of a schedule, the end of a main process that is another's child.
const SOURCES: usize = 6;

/// Which of them have.
#[derive(Clone, Copy, Debug)]
pub struct Woken([bool; SOURCES]);

impl Supervisor<'_> {
    /// Sleeps until there is something to do, or the deadline has come. Only what this service has is polled.
    pub(super) fn wait(&self) -> Woken {
        let deadline = self.service.deadline().unwrap_or(Time::NEVER).min(self.look_at_clock()).min(self.turn);
        let next = self.crowd.next();
        let timeout = match next.map_or(deadline, |next| next.min(deadline)) {
            Time::NEVER => PollTimeout::NONE,
            until => to_timeout(until.since(clock::now())),
        };
        let sources = [
            // That something more has ended says nothing new then.
            Some(self.signals.as_fd()).filter(|_| next.is_none_or(|next| next <= clock::now())),
            self.control.as_ref().filter(|_| !self.leaves_lines()).map(AsFd::as_fd),
            self.voice.descriptor(),
            self.jobs.descriptor(),
            self.waiting.descriptor(),
            self.main.as_ref().and_then(Held::descriptor),
        ];
        if !self.watch.is_idle() {
            let own = sources.iter().flatten().map(|source| to_poll(*source));
            let mut polled: Vec<PollFd<'_>> = own.chain(self.watch.descriptors()).collect();
            let _interrupted = poll(&mut polled, timeout);
            return Woken::of(&sources, &polled);
        }
        let mut present = sources.iter().flatten();
        let mut polled: [PollFd<'_>; SOURCES] =
            core::array::from_fn(|_| to_poll(present.next().copied().unwrap_or(self.signals.as_fd())));
        let count = sources.iter().flatten().count();
        let polled = polled.get_mut(..count).unwrap_or_default();
        let _interrupted = poll(polled, timeout);
        Woken::of(&sources, polled)
    }

    /// What was said comes before the end of whoever has said it.
    pub(super) fn take_all(&mut self, woken: Woken) {
        let Woken([signals, control, voice, job, slot, main]) = woken;
        if voice {
            self.hear();
        }
        if job {
            self.jobs.listen();
        }
        if signals {
            self.take_signals();
        } else if self.crowd.is_left() {
            self.reap();
        }
        if main {
            self.take_end_of_main();
        }
        if control && !self.leaves_lines() {
            self.take_lines();
        }
        if slot || self.look_at_clock() != Time::NEVER {
            self.take_slot();
        }
        if clock::now() >= self.turn {
            self.end_turn();
        }
        if self.service.deadline().is_some_and(|deadline| clock::now() >= deadline) {
            self.feed(Event::Timer);
        }
        // Nothing wakes it for that alone.
        if self.place.as_ref().is_some_and(Place::is_behind) {
            self.publish();
        }
    }
}

fn to_poll(source: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(source, PollFlags::POLLIN)
}

impl Woken {
    /// From what was polled: those that are there, in their order, then others.
    fn of(sources: &[Option<BorrowedFd<'_>>; SOURCES], polled: &[PollFd<'_>]) -> Woken {
        let mut ready = polled.iter().map(|polled| polled.any().unwrap_or(true));
        Woken(sources.map(|source| source.is_some() && ready.next().unwrap_or(true)))
    }
}
