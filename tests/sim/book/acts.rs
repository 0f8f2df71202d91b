//! What a supervisor may do, and when.

use super::{HOOK_TIMEOUT, Hook, JobSheet, Next, Run, Sheet, Verdict, rule};
use crate::processes::{Process, Role};
use crate::reached::{Fact, Reached};
use crate::world::World;
use zei::model::service::{Action, Kind};
use zei::model::spec::{Policy, Ready, StopScope};
use zei::model::time::{Span, Time};
use zei::signal;

/// What there is when somebody acts.
struct Scene<'a> {
    now: Time,
    policy: &'a Policy,
    processes: &'a [Process],
    /// Whom the supervisor takes for the main process.
    target: Option<u32>,
}

impl Scene<'_> {
    fn is_alive(&self, which: impl Fn(&Process) -> bool) -> bool {
        self.processes.iter().any(|process| process.lives() && which(process))
    }
}

impl World<'_> {
    /// A supervisor is about to do this.
    pub fn judge_act(&mut self, index: usize, action: Action) {
        let target = self.service(index).and_then(|service| service.process).map(|main| main.pid);
        let wall = self.wall();
        let place = &mut self.places[index];
        let policy = &self.plan.services[index].policy;
        let scene = Scene { now: self.now, policy, processes: &place.processes, target };
        let sheet = &mut place.sheet;
        let verdict = match action {
            Action::Spawn => sheet.spawn(&scene),
            Action::Begin(kind) => {
                if kind == Kind::Plan {
                    sheet.wall = wall;
                }
                sheet.begin(kind, &scene, self.reached)
            }
            Action::Ask { signal, .. } => sheet.ask(signal, &scene, self.reached),
            Action::AskRest => sheet.ask_rest(&scene),
            Action::Kill => sheet.kill(&scene, self.reached),
            Action::KillJob => sheet.kill_job(&scene, self.reached),
            Action::Leave => sheet.leave(&scene),
        };
        if let Err((what, text)) = verdict {
            let sheet = format!("{:?}", self.places[index].sheet);
            self.wrong(what, format!("{index}, about to {action:?}: {text}\n{sheet}"));
        }
        if matches!(action, Action::Ask { .. }) {
            self.judge_turn(index);
        }
    }

    /// Nobody sends a signal to a process that was reaped.
    pub fn judge_signal(&mut self, index: usize, pid: u32, what: &str) {
        // One that need not be its supervisor's child is held, so that nobody else can be hit.
        let held = self.places[index].sheet.open().is_some_and(|run| run.alien || run.interrupted);
        if self.process(index, pid).is_none() && !held {
            self.wrong("signal to a dead pid", format!("{index}: {what} goes to {pid}"));
        }
    }
}

impl Sheet {
    fn spawn(&mut self, scene: &Scene<'_>) -> Verdict {
        let run = &self.run;
        let due = self.next == Next::Run && run.spawned.is_none() && run.refused.is_none() && run.stop.is_none();
        rule!(due, "start", "nobody wants a process now");
        rule!(self.told.is_none(), "start", "a process is made in a shutdown");
        let prepared = scene.policy.pre_start.is_none() || run.pre == Hook::Well;
        rule!(prepared, "pre_start", "a process is made, and pre_start has not gone well: {:?}", run.pre);
        // What pre_start has left running belongs to this run.
        let beside = scene.is_alive(|process| process.role != Role::JobChild || run.pre != Hook::Well);
        rule!(!beside, "two instances", "a process is made beside {:?}", scene.processes);
        Ok(())
    }

    fn begin(&mut self, kind: Kind, scene: &Scene<'_>, reached: &mut Reached) -> Verdict {
        let (now, policy) = (scene.now, scene.policy);
        let beside = scene.is_alive(|process| matches!(process.role, Role::Job(_)));
        rule!(!beside && self.job.is_none(), "two jobs", "beside {:?} {:?}", self.job, scene.processes);
        let up = self.open().is_some_and(Run::is_up);
        let deadline = match kind {
            Kind::PreStart => {
                let first = self.next == Next::Run && self.run.pre == Hook::NotYet && self.run.spawned.is_none();
                rule!(first && self.told.is_none(), "pre_start", "it is not due");
                rule!(scene.processes.is_empty(), "left behind", "pre_start beside {:?}", scene.processes);
                self.run.pre = Hook::Runs;
                policy.pre_start.and_then(|hook| hook.timeout).map_or(Time::NEVER, |timeout| now.plus(timeout))
            }
            Kind::PostStop => {
                // Where its supervisor was killed in it, it is begun again.
                let first = self.run.post == Hook::NotYet || self.run.interrupted;
                let due = self.next == Next::Run && first && self.run.main.is_none();
                rule!(due, "post_stop", "it is not due");
                rule!(!scene.is_alive(|_| true), "left behind", "post_stop beside {:?}", scene.processes);
                self.run.post = Hook::Runs;
                let timeout = policy.post_stop.and_then(|hook| hook.timeout).unwrap_or(HOOK_TIMEOUT);
                (self.run.kill_by, self.run.killed) = (now.plus(timeout).min(self.budget()).max(now), None);
                reached.fact(Fact::PostStop);
                Time::NEVER
            }
            Kind::Ready => {
                rule!(up && self.run.ready.is_none(), "probe", "nobody asks whether it is ready");
                rule!(now >= self.probe_at, "probe", "it is asked too early whether it is ready");
                let Some(Ready::Asked { timeout, .. }) = policy.ready else {
                    return Err(("probe", "it is never asked whether it is ready".into()));
                };
                now.plus(timeout)
            }
            Kind::Health => {
                rule!(up && self.run.ready.is_some(), "probe", "its health is tested when it is not ready");
                rule!(now >= self.probe_at, "probe", "its health is tested too early");
                now.plus(policy.health.map_or(Span(0), |health| health.timeout))
            }
            Kind::Reload => {
                rule!(up && self.reload_due.is_some(), "reload", "nobody has asked for it");
                self.reload_due = None;
                now.plus(policy.reload.and_then(|hook| hook.timeout).unwrap_or(HOOK_TIMEOUT))
            }
            Kind::Plan => {
                rule!(self.next == Next::Slots && now >= self.plan_at, "plan", "it is not due");
                self.plan_at = Time::NEVER;
                now.plus(Span::seconds(10))
            }
        };
        if matches!(kind, Kind::Ready | Kind::Health) {
            self.probe_at = Time::NEVER;
        }
        self.job = Some(JobSheet { kind, pid: None, deadline, killed: false, began: now });
        Ok(())
    }

    fn ask(&mut self, signal: u8, scene: &Scene<'_>, reached: &mut Reached) -> Verdict {
        rule!(self.next == Next::Run, "stop signal", "nothing runs");
        let kill_by = self.kill_at(scene.now, scene.policy);
        let Some(stop) = &mut self.run.stop else {
            return Err(("stop signal", "nobody and nothing wants the end of this run".into()));
        };
        let again = std::mem::take(&mut stop.again);
        rule!(stop.asked.is_none() || again, "stop signal", "it is sent a second time");
        rule!(scene.now >= stop.due, "stop signal", "it is sent before it is due");
        rule!(signal == stop.signal, "stop signal", "it is {signal}, and {} was due", stop.signal);
        rule!(scene.target == self.run.main, "stop signal", "it goes to {:?}", scene.target);
        let there = scene.processes.iter().any(|process| Some(process.pid) == scene.target);
        // A main process that is another's child may be gone by now; its supervisor holds it, and can't hit another.
        rule!(
            there || self.run.alien || self.run.interrupted,
            "signal to a dead pid",
            "the stop signal goes to {:?}",
            scene.target
        );
        if again {
            reached.fact(Fact::AskedAgain);
            return Ok(());
        }
        stop.asked = Some(scene.now);
        if !stop.recorded {
            self.run.kill_by = kill_by;
        }
        reached.fact(Fact::Asked);
        if scene.policy.drain > Span(0) && self.run.ready.is_some() {
            reached.fact(Fact::Drained);
        }
        self.kill_probe();
        Ok(())
    }

    /// With the stop signal a probe is killed.
    fn kill_probe(&mut self) {
        if let Some(job) = self.job.as_mut().filter(|job| job.kind.is_probe()) {
            job.killed = true;
        }
    }

    fn ask_rest(&mut self, scene: &Scene<'_>) -> Verdict {
        rule!(self.next == Next::Run && self.run.main.is_none(), "stop signal", "the main process lives");
        let hook = self.run.pre != Hook::NotYet && self.run.spawned.is_none();
        let rest = self.run.ended.is_some() && scene.policy.stop_scope == StopScope::Tree;
        rule!(hook || rest, "stop signal", "what is left behind is not to be asked");
        rule!(self.run.killed.is_none(), "stop signal", "what is left behind is asked after its kill");
        self.kill_probe();
        Ok(())
    }

    fn kill(&mut self, scene: &Scene<'_>, reached: &mut Reached) -> Verdict {
        if !scene.is_alive(|_| true) {
            return Ok(());
        }
        reached.fact(Fact::Killed);
        if self.next != Next::Run {
            // What plans is killed as soon as nobody wants the plan.
            let plans = self.job.is_some_and(|job| job.kind == Kind::Plan);
            rule!((plans || self.leaves_plan) && self.next != Next::Slots, "kill", "there is nothing to kill");
            if let Some(job) = &mut self.job {
                job.killed = true;
            }
            return Ok(());
        }
        let now = scene.now;
        let run = &mut self.run;
        let is_kill = |stop: &&mut super::Stop| stop.signal == signal::KILL && stop.asked.is_none();
        if let Some(stop) = run.stop.as_mut().filter(|stop| run.main.is_some() && is_kill(stop)) {
            rule!(now >= stop.due, "kill", "it is the stop signal, and sent before it is due");
            stop.asked = Some(now);
            run.kill_by = now;
        }
        rule!(run.killed.is_some() || now >= run.kill_by, "kill", "{:?} is to come first", run.kill_by);
        run.killed.get_or_insert(now);
        if let Some(job) = &mut self.job {
            job.killed = true;
        }
        Ok(())
    }

    fn kill_job(&mut self, scene: &Scene<'_>, reached: &mut Reached) -> Verdict {
        let Some(job) = &mut self.job else { return Err(("kill", "there is no job".into())) };
        let drains = self.next == Next::Run && self.run.stop.is_some() && job.kind.is_probe();
        rule!(!job.killed, "kill", "the job was killed before");
        rule!(drains || scene.now >= job.deadline, "kill", "the job has until {:?}", job.deadline);
        job.killed = true;
        reached.fact(Fact::HungJob);
        Ok(())
    }

    fn leave(&self, scene: &Scene<'_>) -> Verdict {
        rule!(self.told.is_some(), "leave", "nobody has told it to");
        rule!(self.next == Next::Stray || !scene.is_alive(|_| true), "left behind", "it leaves {:?}", scene.processes);
        Ok(())
    }
}
