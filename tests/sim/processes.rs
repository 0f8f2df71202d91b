//! The processes of a simulated service: what they make, how they end, by themselves or when they are told to.
//!
//! Owns: the truth about who lives. Must never: know what the model believes.

use crate::plan::{Fork, Said, Script, Work};
use crate::reached::Fact;
use crate::world::{Happening, World};
use zei::exit::Exit;
use zei::model::service::{self, Event, Kind, Notice};
use zei::model::time::Span;
use zei::signal;

pub type Pid = u32;

/// In the place of a parent's pid: the service's supervisor, or zei-init.
pub const SUPERVISOR: Pid = 0;
pub const INIT: Pid = 1;

/// How a process that was killed ends.
pub const KILLED: Exit = Exit::Signal(signal::KILL);

/// So long a process that can't be killed goes on.
const STUCK: u64 = 15_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Main,
    /// The main process has made it.
    Child,
    Job(Kind),
    /// A job has made it.
    JobChild,
}

#[derive(Clone, Debug)]
pub struct Process {
    pub pid: Pid,
    pub role: Role,
    pub parent: Pid,
    /// It has ended, and its parent has not noticed.
    pub ended: Option<Exit>,
    pub stuck: bool,
    /// It was asked to end.
    pub asked: bool,
    /// It was killed.
    pub dying: bool,
    pub oom: bool,
    patience: Option<u64>,
    answer: Exit,
    hops: u8,
}

impl Process {
    pub fn lives(&self) -> bool {
        self.ended.is_none()
    }

    pub fn is_of_job(&self) -> bool {
        matches!(self.role, Role::Job(_) | Role::JobChild)
    }
}

impl World<'_> {
    pub fn next_pid(&mut self) -> Pid {
        self.pid += 1;
        self.pid
    }

    pub fn process(&mut self, index: usize, pid: Pid) -> Option<&mut Process> {
        self.places[index].processes.iter_mut().find(|process| process.pid == pid)
    }

    /// What the next main process does.
    pub fn script(&self, index: usize) -> &Script {
        let scripts = &self.plan.services[index].runs;
        &scripts[self.places[index].made % scripts.len()]
    }

    /// What the next job does.
    pub fn work(&self, index: usize) -> Work {
        let jobs = &self.plan.services[index].jobs;
        jobs[self.places[index].jobs % jobs.len()]
    }

    /// A new main process, with all that it will do.
    pub fn make_main(&mut self, index: usize) -> Pid {
        let plan = self.plan;
        let scripts = &plan.services[index].runs;
        let script = &scripts[self.places[index].made % scripts.len()];
        self.places[index].made += 1;
        let made = self.places[index].made as u32;
        let pid = self.next_pid();
        self.places[index].processes.push(Process {
            pid,
            role: Role::Main,
            parent: SUPERVISOR,
            ended: None,
            stuck: script.stuck,
            asked: false,
            dying: false,
            oom: script.oom,
            patience: script.patience,
            answer: script.answer,
            hops: 0,
        });
        for (number, fork) in script.forks.iter().enumerate() {
            self.push(fork.at, Happening::Fork(index, pid, made, number));
        }
        for (at, said) in &script.says {
            self.push(*at, Happening::Said(index, made, *said));
        }
        if let Some((at, exit)) = script.ends {
            self.push(at, Happening::Exit(index, pid, exit));
        }
        pid
    }

    /// A main process makes another.
    pub fn fork(&mut self, index: usize, parent: Pid, made: u32, number: usize) {
        if !self.process(index, parent).is_some_and(|parent| parent.lives() && !parent.dying) {
            return;
        }
        let scripts = &self.plan.services[index].runs;
        let Fork { lasts, patience, hops, stuck, .. } = scripts[(made as usize - 1) % scripts.len()].forks[number];
        let pid = self.next_pid();
        self.reached.fact(Fact::Fork);
        let child = child(pid, parent, Role::Child);
        self.places[index].processes.push(Process { stuck, hops, patience, ..child });
        if let Some(lasts) = lasts {
            self.push(lasts, Happening::Exit(index, pid, Exit::Code(0)));
        }
    }

    /// A new job.
    pub fn make_job(&mut self, index: usize, kind: Kind) -> Pid {
        let work = self.work(index);
        let pid = self.next_pid();
        let job = child(pid, SUPERVISOR, Role::Job(kind));
        self.places[index].processes.push(Process { patience: work.patience, ..job });
        if work.leaves && kind != Kind::Plan {
            let left = self.next_pid();
            self.places[index].processes.push(Process { patience: work.patience, ..child(left, pid, Role::JobChild) });
        }
        if let Some(lasts) = work.lasts {
            self.push(lasts, Happening::Exit(index, pid, work.exit));
        }
        pid
    }

    /// TERM, or whatever asks it to end.
    pub fn ask_process(&mut self, index: usize, pid: Pid) {
        let Some(process) = self.process(index, pid).filter(|process| process.lives()) else { return };
        process.asked = true;
        let (patience, answer) = (process.patience, process.answer);
        if let Some(patience) = patience {
            self.push(patience, Happening::Exit(index, pid, answer));
        }
    }

    pub fn kill_process(&mut self, index: usize, pid: Pid) {
        let Some(process) = self.process(index, pid).filter(|process| process.lives() && !process.dying) else {
            return;
        };
        process.dying = true;
        let (stuck, hops, parent) = (process.stuck, process.hops, process.parent);
        let latency = match (stuck, self.latency(index, 20)) {
            (true, chance) => STUCK + chance % 4 * 1000,
            // What is large takes longer.
            (false, 0..4) => 300,
            (false, _) => self.latency(index, 4),
        };
        // Of what the one dies that takes its end, its supervisor learns of the other.
        let seen = parent <= INIT || self.process(index, parent).is_some_and(|parent| !parent.stuck);
        if hops > 0 && !stuck && seen {
            // It has just made another, which whoever kills did not see.
            let another = self.next_pid();
            self.reached.fact(Fact::Hop);
            let child = child(another, if parent == INIT { INIT } else { pid }, Role::Child);
            self.places[index].processes.push(Process { hops: hops - 1, patience: None, ..child });
        }
        self.push(latency, Happening::Exit(index, pid, KILLED));
    }

    /// Somebody else's signal.
    pub fn hit(&mut self, index: usize, number: u8) {
        let main = self.places[index].processes.iter().find(|process| process.role == Role::Main && process.lives());
        let Some(pid) = main.map(|main| main.pid) else { return };
        match number {
            signal::TERM => self.ask_process(index, pid),
            signal::KILL => self.kill_process(index, pid),
            _ => self.push(0, Happening::Exit(index, pid, Exit::Signal(number))),
        }
    }

    /// A process ends, if it has not yet.
    pub fn exit(&mut self, index: usize, pid: Pid, exit: Exit) {
        let generation = self.places[index].generation;
        let Some(process) = self.process(index, pid).filter(|process| process.lives()) else { return };
        if process.stuck && process.dying && exit != KILLED {
            return;
        }
        let process = process.clone();
        self.places[index].sheet.died(pid, exit);
        if process.oom {
            self.places[index].sheet.short_of_memory = Some(pid);
        }
        let heir = self.root(index, pid);
        for other in &mut self.places[index].processes {
            if other.parent == pid {
                other.parent = heir;
            }
        }
        match process.parent {
            SUPERVISOR => {
                if let Some(process) = self.process(index, pid) {
                    process.ended = Some(exit);
                }
                let latency = self.latency(index, 3);
                self.push(latency, Happening::Chld(index, generation));
            }
            INIT => {
                self.remove(index, pid);
                self.places[index].unreaped.push((pid, exit));
                let latency = self.latency(index, 3);
                self.push(latency, Happening::Orphan(index, pid));
                // Whoever holds it as the main process, or waits for its end, may see that before or after.
                let latency = self.latency(index, 5);
                self.push(latency, Happening::Held(index, generation, pid));
            }
            _ => {
                // Its parent takes its end at once; the supervisor may hold it as the main process all the same.
                self.remove(index, pid);
                let latency = self.latency(index, 30);
                self.push(latency, Happening::Held(index, generation, pid));
            }
        }
    }

    /// At whose end of the tree it stands: the supervisor's or zei-init's.
    pub fn root(&self, index: usize, pid: Pid) -> Pid {
        let mut at = pid;
        while let Some(process) = self.places[index].processes.iter().find(|process| process.pid == at) {
            at = process.parent;
        }
        at.min(INIT)
    }

    pub fn remove(&mut self, index: usize, pid: Pid) {
        self.places[index].processes.retain(|process| process.pid != pid);
    }

    /// The supervisor's children become zei-init's, which takes the ends of those that have ended.
    pub fn orphan(&mut self, index: usize) {
        let ended = self.places[index].processes.iter().filter_map(|process| Some((process.pid, process.ended?)));
        for (pid, exit) in ended.collect::<Vec<_>>() {
            self.places[index].unreaped.push((pid, exit));
            let latency = self.latency(index, 3);
            self.push(latency, Happening::Orphan(index, pid));
        }
        let processes = &mut self.places[index].processes;
        processes.retain(|process| process.lives());
        for process in processes.iter_mut().filter(|process| process.parent == SUPERVISOR) {
            process.parent = INIT;
        }
    }

    /// Somebody of this run says something, if anybody of it still lives.
    pub fn say(&mut self, index: usize, made: u32, said: Said) {
        let place = &self.places[index];
        if place.made as u32 != made || !place.processes.iter().any(Process::lives) {
            return;
        }
        // By chance it is read late.
        let late = if self.latency(index, 8) == 0 { 400 } else { self.latency(index, 3) };
        self.push(late, Happening::Hear(index, made, said));
    }

    /// The supervisor reads what was said: what was said before the present run was thrown away when that began.
    pub fn hear(&mut self, index: usize, made: u32, said: Said) {
        if self.places[index].made as u32 != made {
            return;
        }
        if !self.has_begun(index) {
            return self.push(5, Happening::Hear(index, made, said));
        }
        let event = match said {
            Said::Ready => Event::Ready,
            Said::Stopping => Event::Notice(Notice::Stopping),
            Said::Reloading => Event::Notice(Notice::Reloading),
            Said::Alive => Event::Alive,
            Said::Ailing => Event::Ailing,
            Said::Watchdog(span) => Event::WatchdogSet(Span(span)),
            Said::Extend(span) => Event::Extend(Span(span)),
            Said::MainIsChild => {
                // Only a living process of the service is believed.
                let child = |process: &&Process| process.role == Role::Child && process.lives();
                match self.places[index].processes.iter().find(child) {
                    Some(child) => Event::MainIs(service::Process { pid: child.pid, start: 0 }),
                    None => return,
                }
            }
        };
        self.feed(index, event);
        self.look(index);
        self.judge_quiet(index);
    }
}

const fn child(pid: Pid, parent: Pid, role: Role) -> Process {
    Process {
        pid,
        role,
        parent,
        ended: None,
        stuck: false,
        asked: false,
        dying: false,
        oom: false,
        patience: Some(1),
        answer: Exit::Signal(signal::TERM),
        hops: 0,
    }
}
