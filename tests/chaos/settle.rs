//! When all is quiet, everything must be as it should be.
//!
//! Owns: what must hold then, and at the end. Must never: act on the tree, but to end it.

use crate::book::{Life, What};
use crate::chaos::Chaos;
use crate::clients::Client;
use crate::draw::{Kind, Restart};
use crate::sight::Seen;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use zei::protocol::status::{State, Status};
use zei::signal;
use zei::sys::clock;

/// What was asked for has come true by then.
const PATIENCE: Duration = Duration::from_secs(70);
/// All services are where they should be by then.
const CALM: Duration = Duration::from_secs(20);
/// zei-init may have so many descriptors more than at the first quiet, and so many kilobytes.
const MORE_DESCRIPTORS: u64 = 6;
const MORE_KILOBYTES: u64 = 1024;

impl Chaos<'_> {
    /// Waits for quiet, and judges.
    pub fn settle(&mut self) -> Result<(), String> {
        self.tally.settled += 1;
        self.relieve(true);
        self.wait_for_answers()?;
        if self.applied != self.generation {
            // There was no room for it.
            self.apply_changes();
            self.wait_for_answers()?;
        }
        // What stands in the FIFOs is taken before this is answered.
        let id = self.new_id();
        let words = ["signal", "all:CONT", "--timeout", crate::chaos::TIMEOUT];
        self.note(&format!("{id}: quiet"));
        self.clients.0.push(Client::start(&self.world, id, None, &words));
        self.wait_for_answers()?;
        let now = clock::now().0;
        for life in &mut self.lives {
            life.settle(now);
        }
        let deadline = Instant::now() + CALM;
        for service in 0..self.lives.len() {
            self.wait_for_calm(service, deadline)?;
        }
        self.lives.iter_mut().for_each(Life::forgive);
        self.no_zombie_stays()?;
        self.signals_have_come()?;
        self.nothing_grows()
    }

    fn wait_for_answers(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.observe()?;
            let Some(client) = self.clients.0.first() else { return Ok(()) };
            if Instant::now() > deadline {
                return Err(format!("{}: never answered: zei-ctl {}", client.id, client.words.join(" ")));
            }
            self.pause(5000);
        }
    }

    fn wait_for_calm(&mut self, service: usize, deadline: Instant) -> Result<(), String> {
        loop {
            // What is read then was written before.
            let status = self.world.status(&self.lives[service].spec.name);
            self.observe()?;
            let problem = match status {
                None if !self.is_there(service) => {
                    self.lives[service].explain_end(clock::now().0)?;
                    return self.nothing_is_left(service);
                }
                Some(_) if !self.is_there(service) => "it is not in the configuration, and there".to_owned(),
                None => "it has no status".to_owned(),
                Some(status) => match self.agrees(service, &status) {
                    Ok(()) => {
                        if status.pid.is_none() {
                            self.lives[service].explain_end(clock::now().0)?;
                        }
                        return self.resolve(service, &status);
                    }
                    Err(problem) => problem,
                },
            };
            if Instant::now() > deadline {
                return Err(format!("{}: {problem}", self.lives[service].spec.name));
            }
            self.pause(5000);
        }
    }

    /// Where nobody can know which of two commands came last, it says itself.
    fn resolve(&mut self, service: usize, status: &Status) -> Result<(), String> {
        let (up, down) = self.lives[service].wants();
        if up && down {
            let what = if status.want { What::Up } else { What::Down };
            let (id, now) = (self.new_id(), clock::now().0);
            let cause = crate::book::Cause { id, what, from: now, until: Some(now), surely: true };
            self.lives[service].causes.push(cause);
        }
        Ok(())
    }

    /// Whether a service is where it should be, and its status tells the truth.
    fn agrees(&self, service: usize, status: &Status) -> Result<(), String> {
        let life = &self.lives[service];
        let word = status.state.word();
        let supervisor = self.world.sight.one(status.supervisor);
        if supervisor.is_none_or(|seen| seen.name != "zei-supervise" || seen.is_zombie()) {
            return Err(format!("its supervisor {} is not there", status.supervisor));
        }
        let (up, down) = life.wants();
        if (status.want && !up) || (!status.want && !down) {
            return Err(format!("want={}, but it was asked for otherwise", status.want));
        }
        let counts = life.spec.kind != Kind::Guest;
        if counts && life.last().is_some_and(|run| u64::from(status.run) < run.number) {
            return Err(format!("run={}, but more have begun", status.run));
        }
        match status.state {
            State::Running => self.runs(service, status),
            State::Waiting => self.waits(service),
            State::Starting | State::Stopping | State::RestartPending => Err(format!("it stays {word}")),
            State::Stopped => self.is_down(service, status),
            State::Scheduled => {
                let pause = life.spec.interval.ok_or("scheduled without a timer")?;
                let began = life.last().map_or(0, |run| run.start);
                if clock::now().0 > began + pause + 5000 {
                    return Err("its timer does not go on".to_owned());
                }
                // It may begin any time: only what is left of the run before would be too much.
                Ok(())
            }
            State::Completed | State::Failed => {
                self.has_ended(service, status)?;
                self.is_down(service, status)
            }
        }
    }

    fn runs(&self, service: usize, status: &Status) -> Result<(), String> {
        let life = &self.lives[service];
        let Some(run) = life.last() else { return Err("it runs and never began".to_owned()) };
        if status.pid != Some(run.pid) {
            return Err(format!("pid={:?}, but its last run {} is {}", status.pid, run.number, run.pid));
        }
        if !life.is_lasting() {
            return Ok(());
        }
        if !self.world.sight.lives(run.pid) {
            return Err(format!("running, but process {} is gone", run.pid));
        }
        if run.end.is_some() {
            return Err(format!("running, but process {} has ended", run.pid));
        }
        self.has_no_old_jobs(service)
    }

    /// Between two checks there is nothing but its main process: those of killed supervisors are gone, with what they
    /// have made.
    fn has_no_old_jobs(&self, service: usize) -> Result<(), String> {
        let spec = &self.lives[service].spec;
        let of_it = |seen: &Seen| !seen.is_zombie() && seen.service.as_ref() == Some(&spec.name);
        let all: Vec<Seen> = self.world.sight.all().into_iter().filter(of_it).collect();
        if matches!(spec.kind, Kind::Forker | Kind::Storm) || all.len() <= 1 {
            return Ok(());
        }
        Err(format!("there is more of it than its main process: {all:?}"))
    }

    /// Something must be there to wait for.
    fn waits(&self, service: usize) -> Result<(), String> {
        let is_missing = |need: &crate::draw::Need| {
            let state = self.world.status(&self.lives[need.on].spec.name).map(|status| status.state);
            let holds = match need.condition {
                "service_started" => matches!(state, Some(State::Starting | State::Running)),
                "service_healthy" => matches!(state, Some(State::Running)),
                _ => matches!(state, Some(State::Completed)),
            };
            !holds
        };
        let waits = self.lives[service].spec.needs.iter().any(is_missing);
        if waits { Ok(()) } else { Err("it waits for nothing".to_owned()) }
    }

    fn has_ended(&self, service: usize, status: &Status) -> Result<(), String> {
        let (life, reason) = (&self.lives[service], status.reason.as_str());
        let scarce = self.scarce.iter().any(|(_, until)| *until + 5000 >= status.since);
        if reason.starts_with("dependency:") {
            return self.waits(service);
        }
        if reason.starts_with("spawn:") && scarce && life.spec.restart == Restart::Never {
            return Ok(());
        }
        let Some(run) = life.last() else { return Err(format!("{} and never began", status.state.word())) };
        // A run that was ended before it could say that it began is in no journal.
        let ends = |what| !matches!(what, What::Up | What::Once);
        let is_last =
            |at| !life.causes.iter().any(|cause| ends(cause.what) && cause.until.is_none_or(|until| until >= at));
        if let Some((exit, at)) = run.end.filter(|_| run.sent.is_empty() && run.got.is_empty())
            && is_last(at)
            && status.exit != Some(exit)
        {
            return Err(format!("its last run ended by {exit}, its status says {:?}", status.exit));
        }
        let faulty = reason.starts_with("not-ready:");
        let well = status.exit.is_some_and(zei::exit::Exit::is_success) && !faulty;
        match (life.spec.restart, status.state) {
            (_, State::Completed) if well && life.once => Ok(()),
            (_, State::Failed) if !well && life.once => Ok(()),
            (Restart::OnFailure | Restart::Never, State::Completed) if well => Ok(()),
            (Restart::Never, State::Failed) if !well => Ok(()),
            (restart, _) => Err(format!("{} ({reason}) with {restart:?}", status.state.word())),
        }
    }

    fn is_down(&self, service: usize, status: &Status) -> Result<(), String> {
        if let Some(pid) = status.pid {
            return Err(format!("{} with pid={pid}", status.state.word()));
        }
        self.lives[service].has_seen_out()?;
        self.nothing_is_left(service)
    }

    fn no_zombie_stays(&mut self) -> Result<(), String> {
        let zombies = |chaos: &Self| -> BTreeSet<(u32, u64)> {
            let is_zombie = |seen: &Seen| seen.is_zombie().then_some((seen.pid, seen.start));
            chaos.world.sight.all().iter().filter_map(is_zombie).collect()
        };
        let (mut stay, deadline) = (zombies(self), Instant::now() + CALM);
        while !stay.is_empty() {
            if Instant::now() > deadline {
                return Err(format!("zombies stay: {stay:?}"));
            }
            self.pause(5000);
            self.observe()?;
            stay = zombies(self).intersection(&stay).copied().collect();
        }
        Ok(())
    }

    /// What was answered as sent has arrived, unless its run has ended since.
    fn signals_have_come(&mut self) -> Result<(), String> {
        for life in &mut self.lives {
            let name = life.spec.name.clone();
            for (number, pid) in std::mem::take(&mut life.passed) {
                let Some(run) = life.run_of(pid) else { continue };
                let came = run.got.iter().any(|(got, _)| *got == number);
                if !came && !run.closed && run.end.is_none() {
                    return Err(format!("{name}: {} to {pid} was done, and never came", signal::Name(number)));
                }
            }
        }
        Ok(())
    }

    fn nothing_grows(&mut self) -> Result<(), String> {
        let (descriptors, kilobytes) = self.world.weight();
        let (first, held) = *self.weight.get_or_insert((descriptors, kilobytes));
        if descriptors > first + MORE_DESCRIPTORS {
            return Err(format!("zei-init has {descriptors} descriptors, {first} at first"));
        }
        if kilobytes > held + MORE_KILOBYTES {
            return Err(format!("zei-init holds {kilobytes} kB, {held} at first"));
        }
        Ok(())
    }

    /// The end of the tree: in order, with its code, and nothing is cut off.
    pub fn end(&mut self) -> Result<(), String> {
        self.note("TERM to zei-init");
        let from = clock::now().0;
        for service in 0..self.lives.len() {
            let id = self.new_id();
            self.cause(service, id, What::Down);
        }
        let code = self.world.end(Duration::from_secs(30));
        self.read()?;
        if code != Some(0) {
            return Err(format!("zei-init ended with {code:?}, not 0, at TERM"));
        }
        crate::output::is_whole(&self.world.out.whole().lines().map(str::to_owned).collect::<Vec<_>>())?;
        for life in &self.lives {
            let Some(run) = life.last().filter(|run| !run.closed && life.spec.kind != Kind::Deaf) else { continue };
            let Some((_, ended)) = run.end else {
                return Err(format!("{}: run {} was cut off at the end", life.spec.name, run.number));
            };
            for need in &life.spec.needs {
                let first = self.lives[need.on].last().filter(|run| !run.closed);
                let asked = first.and_then(|run| run.got.iter().find(|(got, at)| *got == signal::TERM && *at >= from));
                if let Some((_, at)) = asked.filter(|(_, at)| *at < ended) {
                    let on = &self.lives[need.on].spec.name;
                    return Err(format!("{on} was asked to end at {at}, before {} ended at {ended}", life.spec.name));
                }
            }
        }
        Ok(())
    }
}
