//! Order: what must hold before a start, whose turn it is to end, and which slot is run.

use super::jobs::LATE;
use super::{Next, Verdict, rule};
use crate::processes::Process;
use crate::reached::Fact;
use crate::world::World;
use zei::model::spec::{Condition, Timer};

impl World<'_> {
    /// A service is about to start.
    pub fn judge_start(&mut self, index: usize) -> Verdict {
        let place = &self.places[index];
        rule!(place.sheet.up && place.sheet.told.is_none(), "start", "nobody wants it to run");
        rule!(place.processes.is_empty(), "left behind", "it starts beside {:?}", place.processes);
        if place.supervisor.as_ref().is_some_and(|own| own.alone) {
            return Ok(());
        }
        for needs in &self.plan.services[index].needs {
            let other = &self.places[needs.on].sheet;
            let held = other.has_held(needs.condition, place.sheet.since);
            rule!(held, "order", "{needs:?} did not hold since it waits: {other:?}");
        }
        Ok(())
    }

    pub fn can_never_hold(&self, index: usize, condition: Condition) -> bool {
        self.places[index].sheet.fails_for_good(condition)
    }

    /// It gets its stop signal: in a shutdown only after all that depends on it is gone.
    pub fn judge_turn(&mut self, index: usize) {
        if self.places[index].sheet.told.is_none() {
            return;
        }
        for other in 0..self.places.len() {
            let depends = self.plan.services[other].needs.iter().any(|needs| needs.on == index);
            let lives = |process: &Process| process.lives() && !process.stuck;
            if depends && self.places[other].processes.iter().any(lives) {
                let text = format!("{index} is stopped before {other}, which depends on it");
                return self.wrong("order", text);
            }
        }
    }

    /// The alarm rings for a slot.
    pub fn judge_slot(&mut self, index: usize, wall: u64) -> Verdict {
        let sheet = &self.places[index].sheet;
        let policy = &self.plan.services[index].policy;
        match sheet.is_due(wall, policy) {
            None => return Ok(()),
            Some(true) => {
                rule!(sheet.slot > sheet.taken || sheet.is_set_back(), "slot", "a second run for {}", sheet.slot);
                let late = wall - sheet.slot > LATE;
                self.reached.fact(if late { Fact::CaughtUp } else { Fact::SlotRun });
            }
            Some(false) => self.reached.fact(Fact::SlotMissed),
        }
        Ok(())
    }

    /// The next slot was worked out.
    pub fn judge_plan(&mut self, index: usize, slot: u64) -> Verdict {
        let after = self.places[index].supervisor.as_ref().map_or(0, |own| own.after);
        let sheet = &self.places[index].sheet;
        if sheet.next != Next::Slots {
            return Ok(());
        }
        rule!(slot > after, "slot", "{slot} is not after {after}");
        let catches_up = self.plan.services[index].policy.timer == Some(Timer::Schedule { catch_up: true });
        let expected = match (catches_up && sheet.taken != 0, sheet.is_set_back()) {
            (_, true) => sheet.wall,
            (true, false) => sheet.taken,
            (false, false) => sheet.wall.max(sheet.taken),
        };
        rule!(after == expected, "slot", "the slot after {after} is waited for, not that after {expected}");
        Ok(())
    }
}
