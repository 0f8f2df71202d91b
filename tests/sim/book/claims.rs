//! What a supervisor says of its service, held against the book, after each step.

use super::follow::is_rest;
use super::{After, Held, Hook, Next, Sheet, Sick, Verdict, place, rule};
use crate::processes::Process;
use crate::reached::{Fact, Reached};
use crate::world::World;
use zei::model::service::{Event, Phase, Reason, Service};
use zei::model::spec::{Condition, Policy};
use zei::model::time::Time;
use zei::protocol::status::Health;

impl World<'_> {
    /// A step was put on record.
    pub fn judge_step(&mut self, index: usize, event: Event, after: &Service) {
        let now = self.now;
        let mut verdict = self.judge_event(index, &event);
        let place = &mut self.places[index];
        let policy = &self.plan.services[index].policy;
        let left = !place.processes.is_empty();
        let sheet = &mut place.sheet;
        let before = Marks::of(sheet);
        sheet.write(&event, now, policy, left);
        sheet.note_code();
        if verdict.is_ok() {
            verdict = sheet.compare(after, now, policy, &place.processes);
        }
        sheet.hold(now);
        sheet.note_end(now, policy);
        before.count(sheet, &event, self.reached);
        if let Err((what, text)) = verdict {
            let sheet = format!("{:?}", self.places[index].sheet);
            self.wrong(what, format!("{index}, after {event:?}: {text}\n{sheet}"));
        }
    }

    /// A supervisor goes on where another was killed.
    pub fn judge_taken_over(&mut self, index: usize, service: &Service) {
        let place = &mut self.places[index];
        let policy = &self.plan.services[index].policy;
        let first = place.generation == 1;
        place.sheet.seen_since = self.now;
        let verdict = if first { Ok(()) } else { place.sheet.take_over(service.phase, self.now, policy) };
        place.sheet.note_code();
        place.sheet.hold(self.now);
        place.sheet.note_end(self.now, policy);
        if let Err((what, text)) = verdict {
            let sheet = format!("{:?}", self.places[index].sheet);
            self.wrong(what, format!("{index}, taken over as {service:?}: {text}\n{sheet}"));
        }
    }

    /// The conditions for `event`, as the book has them.
    fn judge_event(&mut self, index: usize, event: &Event) -> Verdict {
        match event {
            Event::DependenciesMet if self.places[index].sheet.next == Next::Now => self.judge_start(index),
            Event::DependencyFailed(on) if self.places[index].sheet.next == Next::Now => {
                let needs = &self.plan.services[index].needs;
                let condition = needs.iter().find(|needs| needs.on == usize::from(*on)).map(|needs| needs.condition);
                let failed = condition.is_some_and(|condition| self.can_never_hold(usize::from(*on), condition));
                rule!(failed, "dependency", "{on} has not failed for good");
                Ok(())
            }
            Event::DependenciesPending if self.places[index].sheet.next == Next::Now => {
                let needs = &self.plan.services[index].needs;
                let lacks = needs.iter().any(|needs| !self.places[needs.on].sheet.holds(needs.condition));
                rule!(lacks, "dependency", "nothing is pending");
                Ok(())
            }
            // Whoever learns of an end learns how it was.
            Event::Exited { exit, .. } => {
                let sheet = &self.places[index].sheet;
                let main = sheet.run.main;
                let true_end = sheet.deaths.iter().find(|(pid, _)| Some(*pid) == main).map(|(_, exit)| *exit);
                let right = true_end == Some(*exit) || sheet.run.alien;
                rule!(right, "exit", "{exit:?}, and it was {true_end:?}");
                Ok(())
            }
            Event::SlotCame(wall) | Event::ClockSet(wall) => self.judge_slot(index, *wall),
            Event::Slot(slot) => self.judge_plan(index, *slot),
            _ => Ok(()),
        }
    }
}

impl Sheet {
    fn compare(&mut self, after: &Service, now: Time, policy: &Policy, processes: &[Process]) -> Verdict {
        if self.next == Next::Run && is_rest(after.phase) {
            self.close(after.phase, now, policy, !processes.is_empty())?;
        }
        self.leaves_plan &= !is_rest(after.phase);
        self.compare_phase(after)?;
        rule!(after.restarts == self.restarts, "count", "restarts={}, by the book {}", after.restarts, self.restarts);
        rule!(after.want == self.up, "want", "wanted: {}, by the book {}", after.want, self.up);
        let ready = self.open().is_some_and(|run| run.is_up() && run.ready.is_some() && !run.leaving);
        rule!(after.is_ready() == ready, "ready", "ready: {}, by the book {ready}", after.is_ready());
        let health = match (ready || self.open().is_some_and(|run| run.is_up() && run.ready.is_some()), self.health) {
            (false, _) => return Ok(()),
            (true, Sick::Untested) => Health::None,
            (true, Sick::Starting) => Health::Starting,
            (true, Sick::Healthy) => Health::Healthy,
            (true, Sick::Unhealthy) => Health::Unhealthy,
        };
        rule!(after.health == health, "health", "{:?}, by the book {health:?}", after.health);
        Ok(())
    }

    /// Whether the phase is one that fits what the book has.
    fn compare_phase(&self, after: &Service) -> Verdict {
        let phase = after.phase;
        let fits = match self.next {
            Next::Run => self.fits_run(phase),
            Next::Now => match (self.dependency_failed, phase) {
                (Some(on), Phase::Failed(Reason::Dependency(root))) => usize::from(root) == on,
                (None, Phase::Waiting) => true,
                // What plans is being killed first.
                (None, Phase::Stopping { .. }) => self.leaves_plan,
                _ => false,
            },
            Next::Restart(at) => phase == Phase::RestartPending { at },
            Next::Interval(at) => phase == Phase::Scheduled { at },
            Next::Slots if self.slot == 0 => phase == Phase::Planning,
            Next::Slots => phase == Phase::Planned { slot: self.slot },
            Next::Down => phase == Phase::Stopped || (self.leaves_plan && matches!(phase, Phase::Stopping { .. })),
            Next::Completed => phase == Phase::Completed,
            Next::Failed => phase == Phase::Failed(Reason::Ended),
            Next::GaveUp => phase == Phase::Failed(Reason::GaveUp),
            Next::Stray => phase == Phase::Failed(Reason::Stray),
        };
        rule!(fits, "state", "{phase:?}, by the book {:?}", self.next);
        Ok(())
    }

    fn fits_run(&self, phase: Phase) -> bool {
        let run = &self.run;
        let no_process_yet = run.spawned.is_none() && run.ended.is_none() && run.refused.is_none();
        match phase {
            Phase::Preparing => no_process_yet && run.stop.is_none() && matches!(run.pre, Hook::NotYet | Hook::Runs),
            Phase::Spawning => no_process_yet && run.stop.is_none() && matches!(run.pre, Hook::NotYet | Hook::Well),
            Phase::Starting { deadline } => run.is_up() && run.ready.is_none() && deadline == run.ready_by,
            Phase::Running => run.is_up() && run.ready.is_some(),
            Phase::Stopping { .. } => {
                run.stop.is_some() || run.ended.is_some() || run.refused.is_some() || run.pre == Hook::Badly
            }
            _ => false,
        }
    }

    /// Writes down which conditions hold from now on.
    fn hold(&mut self, now: Time) {
        let up = self.open().is_some_and(|run| run.is_up());
        let rests = matches!(self.next, Next::Interval(_) | Next::Slots);
        let is_healthy = matches!(self.health, Sick::Untested | Sick::Healthy);
        let ready = up && self.run.ready.is_some() && !self.run.leaving;
        let completed = self.next == Next::Completed;
        let waits = matches!(self.next, Next::Now | Next::Restart(_)) && self.dependency_failed.is_none();
        let wanted = !matches!(self.run.after, After::Down | After::Leave);
        let starts = self.open().is_some_and(|run| run.ready.is_none() && run.stop.is_none() && wanted);
        self.came_up |= !waits && !starts;
        let holds =
            [up || completed || (rests && self.runs > 0), ready && is_healthy, completed || (rests && self.succeeded)];
        for (held, holds) in self.held.iter_mut().zip(holds) {
            // What holds for no time at all did so, too.
            if held.holds || holds {
                held.until = now;
            }
            held.holds = holds;
        }
    }

    /// Whether a condition held at some moment since then.
    pub fn has_held(&self, condition: Condition, since: Time) -> bool {
        let Held { holds, until } = self.held[place(condition)];
        holds || (until != Time(0) && until >= since)
    }

    pub fn holds(&self, condition: Condition) -> bool {
        self.held[place(condition)].holds
    }

    pub fn fails_for_good(&self, condition: Condition) -> bool {
        match self.next {
            Next::Failed | Next::GaveUp | Next::Stray => true,
            Next::Now => self.dependency_failed.is_some(),
            Next::Completed => condition == Condition::Healthy,
            Next::Run | Next::Restart(_) | Next::Interval(_) | Next::Slots | Next::Down => false,
        }
    }
}

/// What is looked at again after a step, to count what it has led to.
struct Marks {
    restarts: u32,
    streak: u32,
    next: Next,
    health: Sick,
    falls: bool,
    ready: bool,
    limits: (Time, Time),
}

impl Marks {
    fn of(sheet: &Sheet) -> Marks {
        Marks {
            restarts: sheet.restarts,
            streak: sheet.streak,
            next: sheet.next,
            health: sheet.health,
            falls: sheet.run.stop.is_some(),
            ready: sheet.run.ready.is_some(),
            limits: (sheet.run.ready_by, sheet.run.kill_by),
        }
    }

    fn count(&self, sheet: &Sheet, event: &Event, reached: &mut Reached) {
        let falls = !self.falls && sheet.run.stop.is_some() && *event == Event::Timer;
        let counts = [
            (Fact::Restarted, sheet.restarts > self.restarts),
            (Fact::GaveUp, sheet.next == Next::GaveUp && self.next != Next::GaveUp),
            (Fact::Reset, self.streak > 0 && sheet.streak == 0 && matches!(event, Event::Exited { .. })),
            (Fact::Unhealthy, sheet.health == Sick::Unhealthy && self.health != Sick::Unhealthy),
            (Fact::ReadyTooLate, falls && !self.ready),
            (Fact::Hungry, falls && self.ready),
            (
                Fact::Extended,
                matches!(event, Event::Extend(_)) && self.limits != (sheet.run.ready_by, sheet.run.kill_by),
            ),
        ];
        counts.iter().filter(|(_, is_so)| *is_so).for_each(|(fact, _)| reached.fact(*fact));
    }
}
