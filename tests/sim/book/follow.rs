//! What follows the end of a run: the restart policy, stated literally.

use super::{After, Hook, KILL_GRACE, Next, Refused, Run, SCARCITY, Sheet, Sick, Verdict, is_scheduled, rule};
use zei::exit::Exit;
use zei::model::service::{Kind, Phase, Reason, Stage};
use zei::model::spec::{Policy, Restart, Timer};
use zei::model::time::{Span, Time};

/// Whether nothing of a service runs in this phase, as its supervisor claims.
pub const fn is_rest(phase: Phase) -> bool {
    !matches!(
        phase,
        Phase::Preparing | Phase::Spawning | Phase::Starting { .. } | Phase::Running | Phase::Stopping { .. }
    )
}

impl Run {
    /// It did what it should.
    fn went_well(&self) -> bool {
        matches!(self.ended, Some((_, Exit::Code(0)))) && !self.fault
    }

    fn is_post_due(&self, policy: &Policy) -> bool {
        policy.post_stop.is_some() && (self.refused != Some(Refused::Scarce) || self.pre == Hook::Well)
    }

    /// All of it is over, as far as its own part goes.
    pub fn is_over(&self, policy: &Policy) -> bool {
        let ended = self.ended.is_some()
            || self.refused.is_some()
            || self.pre == Hook::Badly
            || (self.pre != Hook::NotYet && self.main.is_none() && self.stop.is_some());
        let post = !self.is_post_due(policy) || matches!(self.post, Hook::Well | Hook::Badly);
        ended && self.main.is_none() && post
    }
}

impl Sheet {
    /// The supervisor claims that the run is over.
    pub fn close(&mut self, claim: Phase, now: Time, policy: &Policy, left: bool) -> Verdict {
        let run = self.run;
        if claim == Phase::Failed(Reason::Stray) {
            return self.give_up(now, left);
        }
        rule!(!left, "left behind", "the run is over as {claim:?}, and not all of it is gone: {run:?}");
        rule!(run.main.is_none(), "left behind", "the run is over as {claim:?}, and its main process lives");
        rule!(run.is_over(policy) || run.interrupted, "post_stop", "the run is over as {claim:?} too early: {run:?}");
        let none_due = !run.is_post_due(policy);
        rule!(!none_due || run.post == Hook::NotYet, "post_stop", "it ran, and was not due: {run:?}");
        let next = self.follow(claim, now, policy)?;
        self.rest(next, now);
        self.health = Sick::Untested;
        (self.probe_at, self.reload_due, self.job) = (Time::NEVER, None, None);
        Ok(())
    }

    /// Something survived KILL.
    fn give_up(&mut self, now: Time, left: bool) -> Verdict {
        let killed = self.run.killed.is_some_and(|killed| now >= killed.plus(KILL_GRACE).min(self.run.stray_at));
        rule!(left && killed, "stray", "it was given up too early, or nothing of it is left: {:?}", self.run);
        self.rest(Next::Stray, now);
        (self.health, self.probe_at, self.job) = (Sick::Untested, Time::NEVER, None);
        Ok(())
    }

    fn follow(&mut self, claim: Phase, now: Time, policy: &Policy) -> Result<Next, (&'static str, String)> {
        let run = self.run;
        match run.after {
            // No room for a process is not the service's fault.
            After::Policy if run.refused == Some(Refused::Scarce) => {
                Ok(Next::Restart(now.plus(policy.restart_delay.max(SCARCITY))))
            }
            After::Leave | After::Down => Ok(Next::Down),
            After::Start => Ok(Next::Now),
            After::Again if self.once => Ok(Next::Failed),
            After::Again => self.restart_by_policy(claim, now, policy),
            After::Policy => {
                let well = run.went_well();
                self.succeeded |= well;
                let again = match policy.restart {
                    Restart::Always => true,
                    Restart::OnFailure => !well,
                    Restart::Never => false,
                };
                match (self.once, policy.timer) {
                    (false, Some(Timer::Interval(interval))) => Ok(Next::Interval(now.plus(interval))),
                    (false, Some(Timer::Schedule { .. })) => Ok(Next::Slots),
                    (false, None) if again => self.restart_by_policy(claim, now, policy),
                    _ => Ok(if well { Next::Completed } else { Next::Failed }),
                }
            }
        }
    }

    fn restart_by_policy(&mut self, claim: Phase, now: Time, policy: &Policy) -> Result<Next, (&'static str, String)> {
        if policy.max_restarts != 0 && self.streak >= policy.max_restarts {
            return Ok(Next::GaveUp);
        }
        let (least, most) = pause(policy, self.streak);
        self.streak += 1;
        self.restarts += 1;
        match claim {
            Phase::Waiting => {
                rule!(least == 0, "delay", "it starts again at once, and its delay is {least} to {most} ms");
                rule!(self.run.ended.is_some() && !self.run.fault, "delay", "a start that failed is repeated at once");
                Ok(Next::Now)
            }
            Phase::RestartPending { at } => {
                let pause = at.since(now).0;
                rule!((least..=most).contains(&pause), "delay", "it is {pause} ms, not {least} to {most}");
                Ok(Next::Restart(at))
            }
            _ => Ok(Next::Restart(now)),
        }
    }

    /// A supervisor goes on with this, after its predecessor was killed.
    pub fn take_over(&mut self, claim: Phase, now: Time, policy: &Policy) -> Verdict {
        match self.job.take().map(|job| job.kind) {
            // What it would have found out is looked for again.
            Some(Kind::Ready | Kind::Health) if self.open().is_some_and(Run::is_up) => self.probe_at = now,
            Some(Kind::Plan) => self.plan_at = now,
            Some(_) | None => {}
        }
        self.idle_since = now;
        self.reload_due = None;
        if let Phase::Stopping { stage: Stage::Kill, deadline, .. } = claim {
            self.run.stray_at = deadline;
            if let Some(stop) = self.run.stop.as_mut().filter(|stop| stop.asked.is_none()) {
                (stop.recorded, self.run.kill_by) = (true, self.run.kill_by.min(now));
            }
        }
        let latest = self.kill_at(now, policy);
        if let (Phase::Stopping { stage: Stage::Main, deadline, .. }, Some(stop)) = (claim, &mut self.run.stop)
            && stop.asked.is_none()
        {
            rule!(deadline <= latest, "late", "it may go on until {deadline:?}");
            (stop.recorded, self.run.kill_by) = (true, deadline);
        }
        if self.next == Next::Run && is_rest(claim) {
            let nothing_yet = self.run.spawned.is_none() && self.run.stop.is_none();
            rule!(nothing_yet && claim == Phase::Waiting, "taken over", "as {claim:?}, after {:?}", self.run);
            self.rest(Next::Now, now);
        }
        let _only_for_slots = is_scheduled(policy);
        Ok(())
    }
}

/// The pause before a restart by policy, in milliseconds: the least and the most that chance can make of it.
fn pause(policy: &Policy, streak: u32) -> (u64, u64) {
    let delay = policy.restart_delay.0;
    let Some(backoff) = policy.backoff else { return (delay, delay) };
    let max = backoff.max.0 as f64;
    let grown = delay as f64 * (f64::from(backoff.factor) / 1000.0).powi(streak.min(1000) as i32);
    let jitter = f64::from(backoff.jitter) / 1000.0;
    let middle = grown.min(max);
    // Whole milliseconds, and rounding on the way there.
    let least = (middle * (1.0 - jitter) - 1.5).max(0.0).floor() as u64;
    let most = (middle * (1.0 + jitter)).min(max).ceil() as u64;
    let _in_ms = Span(least);
    (least, most)
}
