//! What a supervisor does with actions, and how it learns of ends: `perform` and `reap` of `run::supervise`.

use crate::plan::Spawning;
use crate::point::Point;
use crate::processes::{KILLED, Pid, Process, Role, SUPERVISOR};
use crate::reached::Fact;
use crate::world::{Happening, World};
use zei::exit::Exit;
use zei::model::service::{self, Action, Beside, Ending, Event, Failure, Kind, Phase, Service, SpawnStage};

/// Errors of fork(2) and execve(2).
const EAGAIN: i32 = 11;
const ENOENT: i32 = 2;

const fn process(pid: Pid) -> service::Process {
    service::Process { pid, start: 0 }
}

const fn failure(spawning: Spawning) -> Failure {
    match spawning {
        Spawning::Works | Spawning::Broken => Failure { stage: SpawnStage::Execute, errno: ENOENT },
        Spawning::Scarce => Failure { stage: SpawnStage::Process, errno: EAGAIN },
    }
}

impl World<'_> {
    /// Does what the model wants; the event says how that went.
    pub fn perform(&mut self, index: usize, action: Action) -> Option<Event> {
        let (before, after) = match action {
            Action::Spawn => (Point::BeforeSpawn, Point::AfterSpawn),
            Action::Begin(_) => (Point::BeforeBegin, Point::AfterBegin),
            Action::Ask { .. } => (Point::BeforeAsk, Point::AfterAsk),
            Action::AskRest => (Point::BeforeAskRest, Point::AfterAskRest),
            Action::Kill => (Point::BeforeKill, Point::AfterKill),
            Action::KillJob => (Point::BeforeKillJob, Point::AfterKillJob),
            Action::Leave => (Point::BeforeLeave, Point::BeforeLeave),
        };
        if self.dies(index, before) {
            return None;
        }
        self.judge_act(index, action);
        let event = match action {
            Action::Spawn => Some(self.spawn(index)),
            Action::Begin(kind) => Some(self.begin_job(index, kind)),
            Action::Ask { signal: _, group } => {
                self.kill_probe(index);
                self.ask_main(index, group);
                Some(Event::Asked)
            }
            Action::AskRest => {
                self.kill_probe(index);
                for pid in self.below(index, |process| !process.asked && !process.dying) {
                    self.ask_process(index, pid);
                }
                self.is_all_gone(index)
            }
            Action::Kill => {
                for pid in self.below(index, |_| true) {
                    self.kill_process(index, pid);
                }
                self.is_all_gone(index)
            }
            Action::KillJob => {
                for pid in self.below(index, Process::is_of_job) {
                    self.kill_process(index, pid);
                }
                None
            }
            Action::Leave => {
                if let Some(own) = self.own(index) {
                    own.leaving = true;
                }
                return None;
            }
        };
        if self.dies(index, after) { None } else { event }
    }

    /// Those of its service that live.
    pub fn below(&self, index: usize, which: impl Fn(&Process) -> bool) -> Vec<Pid> {
        let processes = self.places[index].processes.iter().filter(|process| process.lives() && which(process));
        processes.map(|process| process.pid).collect()
    }

    /// Children that have ended are reaped in passing, but for those whose ends somebody waits for.
    fn is_all_gone(&mut self, index: usize) -> Option<Event> {
        let service = self.own(index)?.service;
        let job = match service.beside {
            Beside::Job { process, .. } => process,
            Beside::Nothing | Beside::Due(_) => None,
        };
        let awaited = [service.process, job].map(|awaited| awaited.map(|awaited| awaited.pid));
        let processes = &mut self.places[index].processes;
        processes.retain(|process| process.lives() || awaited.contains(&Some(process.pid)));
        (service.process.is_none() && processes.is_empty()).then_some(Event::Empty)
    }

    fn spawn(&mut self, index: usize) -> Event {
        let spawning = self.script(index).spawning;
        if let Some(own) = self.own(index) {
            (own.alone, own.adopted) = (false, false);
        }
        if spawning == Spawning::Works {
            let pid = self.make_main(index);
            if let Some((_, child)) = &mut self.places[index].record {
                *child = pid;
            }
            return Event::Spawned(process(pid));
        }
        self.places[index].made += 1;
        self.reached.fact(if spawning == Spawning::Scarce { Fact::Scarce } else { Fact::Broken });
        if spawning == Spawning::Broken {
            // It was there, has written why, and has ended.
            let pid = self.next_pid();
            self.places[index].failure = Some(failure(spawning));
            if let Some((_, child)) = &mut self.places[index].record {
                *child = pid;
            }
        }
        Event::NotSpawned(failure(spawning))
    }

    fn begin_job(&mut self, index: usize, kind: Kind) -> Event {
        let (wall, sets, policy) = (self.wall(), self.clock_sets, *self.policy(index));
        let spawning = self.work(index).spawning;
        if let (Kind::Plan, Some(own)) = (kind, self.own(index)) {
            (own.after, own.clock) = (service::plan_after(&own.service, &policy, wall), sets);
        }
        let event = match spawning {
            Spawning::Works => Event::JobBegan(process(self.make_job(index, kind))),
            Spawning::Scarce | Spawning::Broken => Event::JobNotBegan(failure(spawning)),
        };
        self.places[index].jobs += 1;
        event
    }

    fn ask_main(&mut self, index: usize, group: bool) {
        let Some(main) = self.service(index).and_then(|service| service.process) else { return };
        let children = self.below(index, |process| process.role == Role::Child && process.parent == main.pid);
        self.ask_process(index, main.pid);
        for child in children.into_iter().filter(|_| group) {
            self.ask_process(index, child);
        }
    }

    /// A probe does not outlive the moment in which its service is asked to end.
    fn kill_probe(&mut self, index: usize) {
        let beside = self.service(index).map(|service| service.beside);
        if matches!(beside, Some(Beside::Job { kind, .. }) if kind.is_probe()) {
            for pid in self.below(index, Process::is_of_job) {
                self.kill_process(index, pid);
            }
        }
    }

    /// Every end is seen, recorded, then reaped.
    pub fn take_ends(&mut self, index: usize) {
        if !self.has_begun(index) {
            return;
        }
        let mut strays = self.own(index).is_some_and(|own| own.adopted);
        if let (true, Some(main)) = (strays, self.service(index).and_then(|service| service.process)) {
            self.take_alien(index, main.pid);
        }
        while self.own(index).is_some() && self.violation.is_none() {
            let own = self.places[index].processes.iter().filter(|process| process.parent == SUPERVISOR);
            let ended: Vec<(Pid, Exit, bool)> =
                own.filter_map(|process| Some((process.pid, process.ended?, process.oom))).collect();
            if ended.is_empty() {
                break;
            }
            let (pid, exit, oom) = self.places[index].random.pick(&ended);
            let Some(service) = self.service(index).copied() else { return };
            let job = match service.beside {
                Beside::Job { kind, process: Some(process), .. } if process.pid == pid => Some(kind),
                _ => None,
            };
            if service.process == Some(process(pid)) {
                self.take_main(index, service, pid, exit, oom);
            } else if let Some(kind) = job {
                strays = true;
                self.take_job(index, kind, pid, exit);
            } else {
                self.remove(index, pid);
                strays = true;
            }
        }
        if strays && self.own(index).is_some() {
            let waits = self.own(index).is_some_and(|own| own.service.process.is_some());
            let alone = !waits && self.places[index].processes.is_empty();
            self.feed(index, if alone { Event::Empty } else { Event::Reaped });
        }
        self.look(index);
        self.judge_quiet(index);
    }

    fn take_main(&mut self, index: usize, service: Service, pid: Pid, exit: Exit, oom: bool) {
        if self.dies(index, Point::SeenEnd) {
            return;
        }
        let seen = Service { process: None, ending: Some(Ending::Exited(exit)), ..service };
        self.record(index, seen);
        self.places[index].sheet.run.seen = Some(exit);
        if self.dies(index, Point::EndRecorded) {
            return;
        }
        self.remove(index, pid);
        if self.dies(index, Point::EndReaped) {
            return;
        }
        let alone = self.places[index].processes.is_empty();
        let runs = matches!(service.phase, Phase::Starting { .. } | Phase::Running);
        self.feed(index, Event::Exited { exit, alone, oom: oom && runs && exit == KILLED });
    }

    fn take_job(&mut self, index: usize, kind: Kind, pid: Pid, exit: Exit) {
        self.remove(index, pid);
        if self.dies(index, Point::JobReaped) {
            return;
        }
        // What it has left behind goes with it.
        for left in self.below(index, Process::is_of_job) {
            self.kill_process(index, left);
        }
        match (kind, exit) {
            (Kind::Plan, Exit::Code(0)) => {
                let Some(after) = self.own(index).map(|own| own.after) else { return };
                let period = self.plan.services[index].period;
                self.feed(index, Event::Slot((after / period + 1) * period));
            }
            _ => self.feed(index, Event::JobEnded(exit)),
        }
    }

    /// A process that is not its child has ended: is it the main one, or a job of its predecessor?
    pub fn take_held(&mut self, index: usize, pid: Pid) {
        let place = &self.places[index];
        let Some(own) = place.supervisor.as_ref().filter(|own| !own.leaving) else { return };
        if !own.begun {
            if own.recovers && self.below(index, Process::is_of_job).is_empty() {
                self.go_on(index);
            }
            return;
        }
        self.take_alien(index, pid);
        self.look(index);
        self.judge_quiet(index);
    }

    /// The main process may have ended: its parent alone knows how, and zei-init tells.
    fn take_alien(&mut self, index: usize, pid: Pid) {
        let place = &mut self.places[index];
        let Some(own) = place.supervisor.as_mut().filter(|own| own.begun && !own.leaving) else { return };
        if own.service.process != Some(process(pid)) || place.processes.iter().any(|process| process.pid == pid) {
            return;
        }
        let told = place.end.filter(|(run, other, _)| (*run, *other) == (own.service.run, pid));
        if told.is_none() && place.unreaped.iter().any(|(other, _)| *other == pid) {
            self.reached.fact(Fact::EndUntold);
            return;
        }
        let alone = place.processes.is_empty();
        self.reached.fact(if told.is_some() { Fact::EndTold } else { Fact::AlienEnded });
        let exit = told.map_or(Exit::Code(0), |(_, _, exit)| exit);
        let oom = place.sheet.short_of_memory == Some(pid);
        let runs = matches!(own.service.phase, Phase::Starting { .. } | Phase::Running);
        self.feed(index, Event::Exited { exit, alone, oom: oom && runs && exit == KILLED });
    }

    /// The alarm is set to this slot.
    pub fn arm(&mut self, index: usize, slot: u64) {
        let sets = self.clock_sets;
        let Some(own) = self.own(index) else { return };
        own.armed = Some(slot);
        own.stamp += 1;
        if own.clock != sets {
            // The slot was worked out by another clock.
            self.reached.fact(Fact::ClockSetWhilePlanning);
            self.push(0, Happening::ClockSet(index, self.places[index].generation));
        }
        self.wind(index);
    }

    pub fn is_armed(&self, index: usize) -> bool {
        let own = self.places[index].supervisor.as_ref();
        own.is_some_and(|own| own.armed.is_some() && matches!(own.service.phase, Phase::Planned { .. }))
    }

    /// The alarm as the wall clock now stands.
    pub fn wind(&mut self, index: usize) {
        let (wall, generation) = (self.wall(), self.places[index].generation);
        let Some(own) = self.places[index].supervisor.as_ref() else { return };
        if let Some(slot) = own.armed {
            self.push(slot.saturating_sub(wall), Happening::Alarm(index, generation, own.stamp));
        }
    }

    /// The alarm rings.
    pub fn ring(&mut self, index: usize, stamp: u64) {
        let wall = self.wall();
        let Some(own) = self.own(index).filter(|own| own.stamp == stamp) else { return };
        // A clock that was set back rings once more.
        if own.armed.take_if(|slot| *slot <= wall).is_some() {
            self.feed(index, Event::SlotCame(wall));
            self.look(index);
            self.judge_quiet(index);
        }
    }
}
