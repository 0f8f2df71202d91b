//! Commands: taken from the control FIFO, accepted on record, acted on, answered once their outcome stands.

use crate::plan::Verb;
use crate::point::Point;
use crate::reached::Fact;
use crate::world::{Happening, Wait, World};
use zei::model::service::{self, Event, Goal, Phase, Reason};

const fn goal(verb: Verb) -> (Goal, Event) {
    match verb {
        Verb::Start | Verb::StartAlone => (Goal::Up, Event::Start),
        Verb::Stop => (Goal::Down, Event::Stop),
        Verb::Restart => (Goal::Fresh, Event::Restart),
        Verb::Once => (Goal::Up, Event::Once),
        Verb::Reload => (Goal::Reloaded, Event::Reload),
    }
}

impl World<'_> {
    /// A line is read. One that nobody can read yet stays in the FIFO.
    pub fn take_line(&mut self, index: usize, verb: Verb) {
        if !self.has_begun(index) {
            if self.places[index].supervisor.is_some() || !self.tree.is_stopping() {
                self.push(5, Happening::Line(index, verb));
            }
            return;
        }
        let (goal, event) = goal(verb);
        if verb == Verb::Reload && self.policy(index).reload.is_none() {
            // It is a signal then.
            return self.pass(index, zei::signal::HUP);
        }
        let Some(service) = self.service(index).copied() else { return };
        let place = &mut self.places[index];
        place.commands += 1;
        let before = service::count_before(goal, &service);
        place.waits.push(Wait { goal, event, before, number: place.commands, at: self.now });
        if self.dies(index, Point::Accepted) {
            return;
        }
        match verb {
            Verb::StartAlone => {
                if let Some(own) = self.own(index) {
                    own.alone = true;
                }
            }
            Verb::Start | Verb::Restart | Verb::Once => self.start_dependencies(index),
            Verb::Stop | Verb::Reload => {}
        }
        self.feed(index, event);
        if self.dies(index, Point::Acted) {
            return;
        }
        self.settle(index);
        self.look(index);
        self.judge_quiet(index);
    }

    /// zei-init's line, for a restart that follows from another's: it is about one run, and told again while that goes on.
    pub fn take_restart(&mut self, index: usize, run: u32) {
        if !self.has_begun(index) {
            if self.places[index].supervisor.is_some() || self.order.is_none() {
                self.push(5, Happening::RestartRun(index, run));
            }
            return;
        }
        if self.service(index).is_some_and(|service| service.run == run && service::is_under_way(service)) {
            self.reached.fact(Fact::Followed);
            self.feed(index, Event::Restart);
            self.look(index);
            self.judge_quiet(index);
        }
    }

    /// What is to be started needs what it depends on.
    fn start_dependencies(&mut self, index: usize) {
        let plan = self.plan;
        for needs in &plan.services[index].needs {
            let Some((service, _)) = self.places[needs.on].record else { continue };
            let failed = matches!(service.phase, Phase::Failed(reason) if reason != Reason::Stray);
            if failed || !service.want {
                let latency = self.latency(index, 5);
                self.push(latency, Happening::Line(needs.on, Verb::Start));
                self.started(index, needs.on);
            }
        }
    }

    /// What a predecessor accepted and has not done is done now, before anything starts: a later command may not be
    /// lost because an earlier one has begun a run.
    pub fn finish_what_was_accepted(&mut self, index: usize) {
        let Some(run) = self.own(index).map(|own| {
            own.holds = true;
            own.service.run
        }) else {
            return;
        };
        for wait in std::mem::take(&mut self.places[index].waits) {
            if wait.goal == Goal::Reloaded {
                // What it was for is gone.
                continue;
            }
            self.places[index].waits.push(wait);
            if run == wait.before {
                self.reached.fact(Fact::DoneAgain);
                self.feed(index, wait.event);
            }
        }
        if let Some(own) = self.own(index) {
            own.holds = false;
        }
    }

    /// Answers every command whose outcome stands.
    pub fn settle(&mut self, index: usize) {
        let Some(service) = self.service(index).copied() else { return };
        if self.places[index].waits.is_empty() {
            return;
        }
        let mut waits = std::mem::take(&mut self.places[index].waits);
        waits.retain(|wait| match service::outcome(wait.goal, wait.before, &service) {
            None => true,
            Some(outcome) => {
                self.trace(format_args!("{index}: {wait:?} is answered with {outcome:?}"));
                self.reached.fact(Fact::Answered);
                self.judge_answer(index, wait, outcome);
                false
            }
        });
        self.places[index].waits = waits;
    }

    /// `zei-ctl signal`, or a reload by signal: to the main process, as far as its supervisor knows one.
    pub fn pass(&mut self, index: usize, number: u8) {
        let Some(main) = self.service(index).and_then(|service| service.process) else { return };
        if self.own(index).is_none() {
            return;
        }
        self.judge_signal(index, main.pid, "a command's signal");
        let lives = self.process(index, main.pid).is_some_and(|process| process.lives());
        if lives {
            self.deliver(index, main.pid, number);
        }
    }
}
