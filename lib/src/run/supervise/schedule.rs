//! The next run of a scheduled service: the alarm that waits for its slot.
//!
//! Must never: look at the wall clock for anything else.

use super::Supervisor;
use crate::model::service::{Event, Phase};
use crate::model::time::{Span, Time};
use crate::sys::alarm::{Alarm, Rung};
use crate::sys::clock;
use std::os::fd::{AsFd, BorrowedFd};

/// Where there can be no alarm, the clock is looked at this often.
const FALLBACK: Span = Span::seconds(60);

/// The alarm of a service, once it has a schedule to wait for.
#[derive(Debug, Default)]
pub struct Waiting {
    alarm: Option<Alarm>,
    /// The slot that it is set to.
    slot: u64,
}

impl Waiting {
    /// What to poll for POLLIN.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.alarm.as_ref().map(AsFd::as_fd)
    }

    /// Before the next slot is worked out, so that no change of the clock from now on is missed.
    pub fn begin(&mut self) {
        self.slot = 0;
        if self.alarm.is_none() {
            self.alarm = Alarm::new().ok();
        }
    }
}

impl Supervisor<'_> {
    /// Sets the alarm to the slot that is waited for, and takes it down where none is.
    pub(super) fn wait_for_slot(&mut self) {
        match self.service.phase {
            Phase::Planned { slot } if self.waiting.slot == slot => {}
            Phase::Planned { slot } => {
                if self.waiting.alarm.is_none() {
                    self.waiting.begin();
                }
                self.waiting.slot = slot;
                match self.waiting.alarm.as_ref().map(|alarm| alarm.set(slot)) {
                    Some(Ok(Rung::ClockSet)) => self.feed(Event::ClockSet(clock::wall())),
                    Some(Ok(Rung::NotYet | Rung::Fired)) => {}
                    Some(Err(_)) | None => self.waiting.alarm = None,
                }
            }
            Phase::Planning => {}
            _ => self.waiting = Waiting::default(),
        }
    }

    /// The alarm has rung, or there is none and it is time to look.
    pub(super) fn take_slot(&mut self) {
        match self.waiting.alarm.as_ref().map(Alarm::look) {
            Some(Rung::NotYet) => {}
            Some(Rung::ClockSet) => self.feed(Event::ClockSet(clock::wall())),
            Some(Rung::Fired) | None => {
                // Should it be too early all the same, it is set again.
                self.waiting.slot = 0;
                self.feed(Event::SlotCame(clock::wall()));
            }
        }
    }

    /// When to look at the wall clock, where nothing rings.
    pub(super) fn look_at_clock(&self) -> Time {
        match (self.service.phase, &self.waiting.alarm) {
            (Phase::Planned { slot }, None) => {
                clock::now().plus(Span(slot.saturating_sub(clock::wall())).min(FALLBACK))
            }
            _ => Time::NEVER,
        }
    }
}
