//! Jobs and what they find out, and the slots of a schedule.

use super::{JobSheet, Next, Run, Sheet, Sick, Stop};
use zei::model::service::Kind;
use zei::model::spec::{HealthPolicy, OnUnhealthy, Policy, Ready, Timer};
use zei::model::time::{Span, Time};

/// What can't be planned is tried again after this.
const PLAN_AGAIN: Span = Span::seconds(60);
/// A slot that comes later than this was missed, in milliseconds.
pub const LATE: u64 = 60_000;
/// By so much a clock must be set back for a slot to be run again, in milliseconds.
const SET_BACK: u64 = 3 * 3_600_000;

impl Sheet {
    /// A probe, a reload or a plan has come out.
    pub fn found(&mut self, job: JobSheet, well: bool, now: Time, policy: &Policy) {
        if job.kind == Kind::Reload && well {
            self.reloaded = Some(job.began);
        }
        if job.kind == Kind::Plan && self.next == Next::Slots {
            self.plan_at = now.plus(PLAN_AGAIN);
        }
        if !self.open().is_some_and(Run::is_up) {
            return;
        }
        match (job.kind, self.run.ready) {
            (Kind::Ready, None) if well => self.is_ready(now, policy),
            (Kind::Ready, None) => {
                if let Some(Ready::Asked { interval, .. }) = policy.ready {
                    self.probe_at = now.plus(interval);
                }
            }
            (Kind::Health, Some(_)) => self.checked(well, now, policy),
            _ => {}
        }
    }

    fn checked(&mut self, well: bool, now: Time, policy: &Policy) {
        let Some(health) = policy.health else { return };
        if well {
            (self.failures, self.health) = (0, Sick::Healthy);
        } else if !self.is_in_start_period(&health, now) {
            self.failures += 1;
        }
        if self.failures >= health.retries && self.health != Sick::Unhealthy {
            self.health = Sick::Unhealthy;
            if health.on_unhealthy == OnUnhealthy::Restart {
                self.run.after = super::After::Again;
                return self.fall(policy.stop_signal, now, policy);
            }
        }
        self.probe_again(now, policy);
    }

    /// Failures don't count in the start period, until a check has succeeded.
    fn is_in_start_period(&self, health: &HealthPolicy, now: Time) -> bool {
        let ready = self.run.ready.unwrap_or(now);
        self.health == Sick::Starting && now.since(ready) < health.start_period
    }

    pub fn pause(&self, health: &HealthPolicy, now: Time) -> Span {
        if self.is_in_start_period(health, now) { health.start_interval } else { health.interval }
    }

    pub fn probe_again(&mut self, now: Time, policy: &Policy) {
        if let Some(health) = policy.health.filter(|_| self.open().is_some_and(Run::is_up)) {
            self.probe_at = now.plus(self.pause(&health, now));
        }
    }

    /// The next slot is known.
    pub fn planned(&mut self, slot: u64) {
        self.job = None;
        if self.next == Next::Slots {
            self.slot = slot;
            self.plan_at = Time::NEVER;
        }
    }

    /// The clock was set back so far that slots are run again.
    pub fn is_set_back(&self) -> bool {
        self.taken.saturating_sub(self.wall) >= SET_BACK
    }

    /// Whether the slot that is waited for has come, and is still worth a run.
    pub fn is_due(&self, wall: u64, policy: &Policy) -> Option<bool> {
        let waits = self.next == Next::Slots && self.slot != 0 && wall >= self.slot;
        let catches_up = policy.timer == Some(Timer::Schedule { catch_up: true });
        waits.then(|| catches_up || wall - self.slot <= LATE)
    }

    pub fn slot_came(&mut self, wall: u64, now: Time, policy: &Policy) {
        match self.is_due(wall, policy) {
            None => {}
            Some(true) => {
                (self.taken, self.slot) = (wall, 0);
                self.rest(Next::Now, now);
            }
            Some(false) => (self.slot, self.plan_at) = (0, now),
        }
    }

    /// What is due next beside the main process, and when.
    pub fn probe_due(&self) -> Time {
        let wanted = self.open().is_some_and(|run: &Run| run.is_up() && run.stop.is_none_or(|_: Stop| false));
        if wanted { self.probe_at } else { Time::NEVER }
    }
}
