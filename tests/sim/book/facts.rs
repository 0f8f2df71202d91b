//! What an event says, written down.

use super::{After, HOOK_TIMEOUT, Hook, KILL_GRACE, Next, Refused, Run, Sheet, Sick, Stop};
use zei::exit::Exit;
use zei::model::service::{Event, Kind, Notice, Shutdown, SpawnStage};
use zei::model::spec::{Policy, Ready, StopScope};
use zei::model::time::{Span, Time};
use zei::signal;

impl Sheet {
    /// Writes down what is on record now. `left`: there are processes of it.
    pub fn write(&mut self, event: &Event, now: Time, policy: &Policy, left: bool) {
        match *event {
            Event::DependenciesMet => self.met(policy),
            Event::DependenciesPending => {
                if self.next == Next::Now {
                    self.dependency_failed = None;
                }
            }
            Event::DependencyFailed(on) => {
                if self.next == Next::Now {
                    self.dependency_failed = Some(usize::from(on));
                }
            }
            Event::Spawned(process) => {
                self.run.main = Some(process.pid);
                self.run.spawned = Some(now);
                match policy.ready {
                    None => self.is_ready(now, policy),
                    Some(ready) => {
                        self.run.ready_by = policy.ready_timeout.map_or(Time::NEVER, |timeout| now.plus(timeout));
                        self.probe_at = if ready == Ready::Told { Time::NEVER } else { now };
                    }
                }
            }
            Event::NotSpawned(failure) => self.refused(failure.stage, now, policy),
            Event::Exited { exit, oom, .. } => self.ended(exit, oom, now, policy, left),
            Event::Reaped => {}
            Event::Empty => {
                // How the main process ended is not told where its supervisor was killed in that instant.
                if self.next == Next::Run
                    && self.run.main.is_some()
                    && !left
                    && (!self.run.alien || self.run.interrupted)
                {
                    self.run.main = None;
                    self.run.ended = Some((now, self.run.seen.unwrap_or(Exit::Signal(signal::KILL))));
                }
                self.stray_gone(now, left);
            }
            Event::JobBegan(process) => {
                if let Some(job) = &mut self.job {
                    job.pid = Some(process.pid);
                }
            }
            Event::JobNotBegan(failure) => self.job_not_begun(failure.stage == SpawnStage::Process, now, policy),
            Event::JobEnded(exit) => self.job_ended(exit, now, policy, left),
            Event::Slot(slot) => self.planned(slot),
            Event::SlotCame(wall) => self.slot_came(wall, now, policy),
            Event::ClockSet(wall) => {
                // A slot that was leapt over has come.
                self.slot_came(wall, now, policy);
                if self.next == Next::Slots && self.slot != 0 {
                    (self.slot, self.plan_at) = (0, now);
                }
            }
            Event::Ready | Event::Notice(_) | Event::Alive | Event::Ailing | Event::WatchdogSet(_) => {
                if self.open().is_some_and(Run::is_up) {
                    self.said(event, now, policy);
                }
            }
            Event::Extend(span) => self.extend(span, now),
            Event::MainIs(process) => {
                if self.open().is_some_and(Run::is_up) {
                    (self.run.main, self.run.alien) = (Some(process.pid), true);
                }
            }
            Event::Timer => self.time_passed(now, policy),
            Event::Start => self.start(false, now),
            Event::Once => self.start(true, now),
            Event::Stop => self.stop(now, policy),
            Event::Restart => self.restart(now, policy),
            Event::Reload => {
                if self.open().is_some_and(Run::is_up) {
                    self.reload_due = Some(now);
                }
            }
            Event::Shutdown(shutdown) => self.shut_down(shutdown, now, policy),
            Event::Asked | Event::TakenOver => {}
        }
    }

    fn met(&mut self, policy: &Policy) {
        if self.next == Next::Now {
            self.next = Next::Run;
            self.dependency_failed = None;
            self.run = Run::new(policy);
            self.deaths.clear();
            self.runs += 1;
            (self.health, self.failures, self.probe_at) = (Sick::Untested, 0, Time::NEVER);
        }
    }

    fn refused(&mut self, stage: SpawnStage, now: Time, policy: &Policy) {
        if self.run.pre == Hook::Well {
            // What that has left goes first.
            self.run.kill_by = now.plus(policy.grace());
        }
        let scarce = stage == SpawnStage::Process;
        self.run.refused = Some(if scarce { Refused::Scarce } else { Refused::Broken });
    }

    /// The main process has ended.
    fn ended(&mut self, exit: Exit, oom: bool, now: Time, policy: &Policy, left: bool) {
        let run = &mut self.run;
        if self.next == Next::Stray {
            (run.main, run.ended) = (None, Some((now, exit)));
            return self.stray_gone(now, left);
        }
        if self.next != Next::Run {
            return;
        }
        run.main = None;
        run.ended = Some((now, exit));
        run.watch_by = Time::NEVER;
        if run.ready.is_some_and(|ready| now.since(ready) >= policy.reset_after) {
            self.streak = 0;
        }
        match run.stop {
            None => {
                run.fault |= oom && exit == Exit::Signal(signal::KILL);
                run.fault |= policy.ready.is_some() && run.ready.is_none();
                run.kill_by = now.plus(policy.grace());
            }
            // It was still to be asked.
            Some(Stop { asked: None, recorded: false, .. }) => {
                let kill_by = self.kill_at(now, policy);
                self.run.kill_by = kill_by;
            }
            Some(_) => {}
        }
        if !left {
            return;
        }
        if policy.stop_scope != StopScope::Tree {
            self.run.kill_by = self.run.kill_by.min(now);
        }
    }

    /// What survived its kill is gone after all.
    pub fn stray_gone(&mut self, now: Time, left: bool) {
        if self.next == Next::Stray && !left {
            self.rest(if self.up { Next::Failed } else { Next::Down }, now);
        }
    }

    pub fn is_ready(&mut self, now: Time, policy: &Policy) {
        self.run.ready = Some(now);
        self.run.ready_by = Time::NEVER;
        if self.run.watchdog > Span(0) {
            self.run.watch_by = now.plus(self.run.watchdog);
        }
        self.probe_at = Time::NEVER;
        if let Some(health) = policy.health {
            self.health = Sick::Starting;
            self.probe_at = now.plus(self.pause(&health, now));
        }
    }

    /// What the service says of itself while it is up.
    fn said(&mut self, event: &Event, now: Time, policy: &Policy) {
        match *event {
            Event::Ready if self.run.ready.is_some() => self.run.leaving = false,
            Event::Ready if policy.ready == Some(Ready::Told) => {
                self.run.leaving = false;
                self.is_ready(now, policy);
            }
            Event::Notice(notice) => self.run.leaving = notice == Notice::Stopping,
            Event::Alive if self.run.watch_by != Time::NEVER => self.run.watch_by = now.plus(self.run.watchdog),
            Event::Ailing => self.fall(signal::ABRT, now, policy),
            Event::WatchdogSet(span) => {
                self.run.watchdog = span;
                let watched = self.run.ready.is_some() && span > Span(0);
                self.run.watch_by = if watched { now.plus(span) } else { Time::NEVER };
            }
            _ => {}
        }
    }

    fn extend(&mut self, span: Span, now: Time) {
        if self.next != Next::Run {
            return;
        }
        let budget = self.budget();
        let run = &mut self.run;
        let later = now.plus(span);
        if run.is_up() && run.ready.is_none() {
            run.ready_by = run.ready_by.max(later);
        }
        let asked = run.ended.is_some() || run.stop.is_some_and(|stop| stop.asked.is_some());
        if asked && run.killed.is_none() && run.post == Hook::NotYet && run.kill_by != Time::NEVER {
            run.kill_by = run.kill_by.max(later).min(budget);
            run.over_by = run.over_by.plus(span);
        }
    }

    /// Something that was due.
    fn time_passed(&mut self, now: Time, policy: &Policy) {
        match self.next {
            Next::Restart(at) | Next::Interval(at) if at <= now => self.rest(Next::Now, now),
            Next::Run if self.run.is_up() && self.run.ready.is_none() && self.run.ready_by <= now => {
                self.fall(policy.stop_signal, now, policy);
            }
            Next::Run if self.run.is_up() && self.run.watch_by <= now => self.fall(signal::ABRT, now, policy),
            _ => {}
        }
    }

    /// It is to end, and that is a failure.
    pub fn fall(&mut self, signal: u8, now: Time, policy: &Policy) {
        self.run.fault = true;
        self.run.stop = Some(Stop { due: now, signal, asked: None, recorded: false, again: false });
        self.reload_due = None;
        self.bound(Span(0), now, policy);
    }

    /// By when all of a stop is over, from now on: drain, grace, kill, hook, kill.
    fn bound(&mut self, drain: Span, now: Time, policy: &Policy) {
        let hook = policy.post_stop.map_or(Span(0), |hook| hook.timeout.unwrap_or(HOOK_TIMEOUT));
        let grace = if self.told.is_some() { self.kill_at(now, policy).since(now) } else { policy.grace() };
        let whole = now.plus(drain).plus(grace).plus(KILL_GRACE).plus(hook).plus(KILL_GRACE);
        self.run.over_by = self.run.over_by.min(whole);
    }

    fn reset(&mut self, once: bool) {
        (self.restarts, self.streak, self.up, self.once) = (0, 0, true, once);
    }

    fn start(&mut self, once: bool, now: Time) {
        match self.next {
            Next::Stray => {}
            Next::Run if self.run.after == After::Leave => {}
            Next::Run if self.run.is_ending() => {
                if self.run.after == After::Start {
                    self.once = once;
                } else {
                    self.reset(once);
                    self.run.after = After::Start;
                }
            }
            Next::Run => (self.up, self.once) = (true, once),
            Next::Now if self.dependency_failed.is_none() => self.reset(once),
            Next::Now
            | Next::Restart(_)
            | Next::Interval(_)
            | Next::Slots
            | Next::Down
            | Next::Completed
            | Next::Failed
            | Next::GaveUp => {
                if self.told.is_none() {
                    self.reset(once);
                    self.rest(Next::Now, now);
                }
            }
        }
    }

    fn restart(&mut self, now: Time, policy: &Policy) {
        match self.open() {
            Some(run) if !run.is_ending() => {
                self.reset(false);
                self.end(After::Start, now, policy);
            }
            _ => self.start(false, now),
        }
    }

    fn stop(&mut self, now: Time, policy: &Policy) {
        self.up = false;
        match self.next {
            Next::Run if self.run.after == After::Leave => {}
            Next::Run if self.run.is_ending() => self.run.after = After::Down,
            Next::Run => self.end(After::Down, now, policy),
            Next::Stray | Next::Down => {}
            _ => self.rest(Next::Down, now),
        }
    }

    fn shut_down(&mut self, shutdown: Shutdown, now: Time, policy: &Policy) {
        self.told = Some(shutdown);
        match self.next {
            Next::Run if self.run.is_ending() => {
                self.run.after = After::Leave;
                self.run.kill_by = self.run.kill_by.min(shutdown.deadline.max(now));
                // What is still to be asked has its grace by the terms of the shutdown.
                let before = std::mem::replace(&mut self.run.over_by, Time::NEVER);
                self.bound(policy.drain, now, policy);
                self.run.over_by = self.run.over_by.max(before);
                if let Some(stop) = self.run.stop.as_mut().filter(|stop| stop.asked.is_none() && !stop.recorded) {
                    stop.due = stop.due.min(shutdown.deadline.max(now));
                    stop.signal = shutdown.signal.unwrap_or(policy.stop_signal);
                }
            }
            Next::Run => self.end(After::Leave, now, policy),
            Next::Now if self.dependency_failed.is_some() => {}
            Next::Now | Next::Restart(_) | Next::Interval(_) | Next::Slots => self.rest(Next::Down, now),
            Next::Down | Next::Completed | Next::Failed | Next::GaveUp | Next::Stray => {}
        }
    }

    /// Somebody wants the run to end: what is ready is drained first, of a hook nobody waits for more than its grace.
    fn end(&mut self, after: After, now: Time, policy: &Policy) {
        self.run.after = after;
        self.reload_due = None;
        let budget = self.budget();
        let drain = if self.run.ready.is_some() { policy.drain } else { Span(0) };
        let signal = self.told.and_then(|told| told.signal).unwrap_or(policy.stop_signal);
        let mut stop =
            Stop { due: now.plus(drain).min(budget).max(now), signal, asked: None, recorded: false, again: false };
        if self.run.main.is_none() && self.run.pre == Hook::Runs {
            stop.asked = Some(now);
            self.run.kill_by = self.kill_at(now, policy);
        }
        self.run.stop = Some(stop);
        self.bound(drain, now, policy);
    }

    fn job_not_begun(&mut self, scarce: bool, now: Time, policy: &Policy) {
        let Some(job) = self.job.take() else { return };
        self.idle_since = now;
        match job.kind {
            Kind::PreStart if scarce => self.run.refused = Some(Refused::Scarce),
            Kind::PreStart => (self.run.pre, self.run.fault, self.run.hook_code) = (Hook::Badly, true, Some(127)),
            Kind::PostStop => self.run.post = Hook::Badly,
            Kind::Health if scarce => self.probe_again(now, policy),
            Kind::Ready | Kind::Health | Kind::Reload | Kind::Plan => self.found(job, false, now, policy),
        }
    }

    fn job_ended(&mut self, exit: Exit, now: Time, policy: &Policy, left: bool) {
        let Some(job) = self.job.take() else { return };
        self.idle_since = now;
        let well = exit.is_success();
        match job.kind {
            Kind::PreStart if self.run.stop.is_some() => {}
            Kind::PreStart if well && !job.killed => self.run.pre = Hook::Well,
            Kind::PreStart => {
                (self.run.pre, self.run.fault, self.run.hook_code) = (Hook::Badly, true, Some(exit.code()));
                self.run.kill_by = now.plus(policy.grace());
                let _all_of_it_goes_first = left;
            }
            Kind::PostStop => self.run.post = if well { Hook::Well } else { Hook::Badly },
            Kind::Ready | Kind::Health | Kind::Reload | Kind::Plan => {
                self.found(job, well && !job.killed, now, policy);
            }
        }
    }
}
