//! What must have been done by now, once a supervisor has nothing to do any more.

use super::{Hook, KILL_GRACE, Next, Sheet, Verdict, rule};
use crate::processes::{Process, SUPERVISOR};
use crate::world::World;
use zei::model::service::Goal;
use zei::model::service::Outcome;
use zei::model::spec::{Condition, Policy};
use zei::model::time::Time;

impl World<'_> {
    /// A supervisor goes to sleep.
    pub fn judge_quiet(&mut self, index: usize) {
        if self.violation.is_some() || self.own(index).is_none() {
            return;
        }
        let place = &self.places[index];
        // It still has to learn of an end.
        let unseen = place.processes.iter().any(|process| !process.lives() && process.parent == SUPERVISOR);
        if unseen || !place.unreaped.is_empty() || place.untold > 0 {
            return;
        }
        let verdict = place.sheet.quiet(self.now, self.policy(index), &place.processes);
        if let Err((what, text)) = verdict {
            let sheet = format!("{:?}", self.places[index].sheet);
            self.wrong(what, format!("{index}, asleep: {text}\n{sheet}"));
        }
    }

    /// Nothing is under way: whoever waits has a reason to. Then the tree is asked to end.
    pub fn rest(&mut self) {
        self.reached.fact(crate::reached::Fact::AtRest);
        if self.order.is_some() {
            return self.wrong("rest", "the shutdown hangs".into());
        }
        for index in 0..self.places.len() {
            let Some(service) = self.service(index).copied() else {
                return self.wrong("rest", format!("{index} has no supervisor"));
            };
            if let Err((what, text)) = self.may_rest(index) {
                let sheet = format!("{:?}", self.places[index].sheet);
                return self.wrong(what, format!("{index} rests as {service:?}: {text}\n{sheet}"));
            }
        }
        let ended = |index: usize| self.has_ended(index);
        if (0..self.places.len()).all(ended) {
            return self.wrong("rest", "everything has ended for good, and nobody noticed".into());
        }
        if self.lacks_end() {
            return self.wrong("rest", "what has ended is the end of all, and nobody noticed".into());
        }
        if self.lacks_readiness() {
            return self.wrong("ready", "all is up, and nobody has said so".into());
        }
        self.signal(zei::signal::TERM);
    }

    fn may_rest(&self, index: usize) -> Verdict {
        let place = &self.places[index];
        let (sheet, policy) = (&place.sheet, self.policy(index));
        let needs = &self.plan.services[index].needs;
        let lacks = needs.iter().any(|needs| !self.places[needs.on].sheet.holds(needs.condition));
        // Who waits for one of them need not know yet that another has failed meanwhile.
        let hopes = needs.iter().any(|needs| {
            !self.places[needs.on].sheet.holds(needs.condition) && !self.can_never_hold(needs.on, needs.condition)
        });
        let waits = sheet.next == Next::Now;
        match sheet.next {
            // A hook without a time-out takes as long as it takes.
            Next::Run if sheet.run.pre == Hook::Runs && sheet.run.stop.is_none() => {
                let hangs = sheet.job.is_some_and(|job| job.deadline == Time::NEVER) && !place.processes.is_empty();
                rule!(hangs, "rest", "its hook is over");
            }
            Next::Run => {
                let up = sheet.run.is_up() && place.processes.iter().any(|process| process.lives());
                let tested = policy.health.is_some() && sheet.run.ready.is_some();
                rule!(up && !tested && sheet.probe_due() == Time::NEVER, "rest", "something is to happen with it");
                rule!(sheet.run.watch_by == Time::NEVER, "rest", "its watchdog sleeps");
            }
            Next::Now if sheet.dependency_failed.is_some() => rule!(lacks, "rest", "its dependencies hold"),
            Next::Now => rule!(hopes, "rest", "nothing keeps it from starting, or everything"),
            Next::Down | Next::Completed | Next::Failed | Next::GaveUp => {}
            Next::Stray => rule!(!place.processes.is_empty(), "rest", "its stray is gone"),
            Next::Restart(_) | Next::Interval(_) | Next::Slots => rule!(false, "rest", "it is to start again"),
        }
        let open = place.waits.iter().find(|wait| wait.goal != Goal::Up && wait.goal != Goal::Fresh);
        let pending = !waits && sheet.next != Next::Run && !place.waits.is_empty();
        rule!(open.is_none() && !pending, "command", "it is never answered: {:?}", place.waits);
        Ok(())
    }

    /// It ended for good, by the book.
    pub fn has_ended(&self, index: usize) -> bool {
        match self.places[index].sheet.next {
            Next::Completed | Next::Failed | Next::GaveUp | Next::Stray => true,
            Next::Now => self.places[index].sheet.dependency_failed.is_some(),
            _ => false,
        }
    }

    /// A command is answered.
    pub fn judge_answer(&mut self, index: usize, wait: &crate::world::Wait, outcome: Outcome) {
        let place = &self.places[index];
        let sheet = &place.sheet;
        let run = sheet.open().filter(|run| run.is_up() && run.ready.is_some());
        let gone = place.processes.iter().all(|process: &Process| !process.lives());
        let true_by_book = match wait.goal {
            Goal::Up => run.is_some(),
            Goal::Fresh => run.and_then(|run| run.spawned).is_some_and(|spawned| spawned >= wait.at),
            Goal::Down => gone && sheet.next != Next::Run,
            Goal::Reloaded => sheet.reloaded.is_some_and(|began| began >= wait.at),
        };
        if outcome == Outcome::True && !true_by_book {
            let text = format!("{index}: {wait:?} is answered with {outcome:?}, which is not true: {sheet:?}");
            self.wrong("command", text);
        } else if outcome == Outcome::Overtaken && place.commands == wait.number {
            let text = format!("{index}: {wait:?} is answered with {outcome:?}, and none came after it");
            self.wrong("command", text);
        }
    }
}

impl Sheet {
    /// Nothing that was due before now is left undone.
    fn quiet(&self, now: Time, policy: &Policy, processes: &[Process]) -> Verdict {
        // A successor could not do it before it was there.
        let late = |due: Time| due.max(self.seen_since) < now;
        let alive = processes.iter().any(Process::lives);
        if let Some(job) = &self.job {
            rule!(job.killed || !late(job.deadline), "late", "{job:?} is not killed");
        }
        match self.next {
            Next::Restart(at) | Next::Interval(at) => rule!(!late(at), "late", "it has not started again"),
            Next::Slots => rule!(!late(self.plan_at), "late", "nobody plans its next slot"),
            Next::Run => {
                let run = &self.run;
                let main = run.main.is_some_and(|main| processes.iter().any(|process| process.pid == main));
                let to_ask = run.stop.is_some_and(|stop| stop.asked.is_none() && late(stop.due));
                rule!(!(to_ask && main), "late", "it is not asked to end");
                rule!(!alive || run.killed.is_some() || !late(run.kill_by), "late", "it is not killed");
                if let Some(killed) = run.killed {
                    rule!(!alive || !late(killed.plus(KILL_GRACE)), "late", "it is not given up");
                }
                if main && run.is_up() {
                    rule!(run.ready.is_some() || !late(run.ready_by), "late", "it was not ready in time, and goes on");
                    rule!(!late(run.watch_by), "late", "its watchdog sleeps");
                    rule!(
                        self.job.is_some() || !late(self.probe_due().max(self.idle_since)),
                        "late",
                        "no probe was begun"
                    );
                    let reload = self.reload_due.is_some_and(|due| late(due.max(self.idle_since)));
                    rule!(!reload || self.job.is_some(), "late", "no reload was begun");
                }
                // Of a main process that is another's child it may learn a little later.
                let over = processes.is_empty() && run.is_over(policy) && !run.alien;
                rule!(!over, "stays", "all of the run is over, and nothing follows: {run:?}");
                rule!(!late(run.over_by) || run.interrupted, "late", "the stop is not over");
            }
            Next::Now | Next::Down => rule!(!self.leaves_plan || alive, "stays", "what has planned is gone"),
            Next::Completed | Next::Failed | Next::GaveUp | Next::Stray => {}
        }
        let _hook = Hook::NotYet;
        let _condition = Condition::Started;
        Ok(())
    }
}
