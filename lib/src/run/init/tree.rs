//! The loop of zei-init: signals, reports, control lines and deadlines become events of the tree; its
//! effects become system calls.
//!
//! Must never: wait for anything but its own poll, or decide (that is `model::init`).

mod begin;
mod logs;
mod orphans;
mod repair;
mod start;
mod words;

pub use begin::Handed;

use super::PROGRAM;
use super::apply::Changes;
use super::pump::LogPump;
use super::rundir::RunDir;
use super::shared::{Programs, Shared};
use crate::exit;
use crate::model::init::{Effect, Event, Tree, Verdict};
use crate::model::service::{Phase, Service};
use crate::model::slot::{Calls, Order};
use crate::model::time::Time;
use crate::name::ServiceName;
use crate::protocol::control::{self, Ack, Lines, Progress, Request, Verb};
use crate::protocol::journal::{self, Entry};
use crate::protocol::status::{InitState, InitStatus};
use crate::run::acks::Acks;
use crate::run::crowd::Crowd;
use crate::run::journal::Journal;
use crate::run::place::Place;
use crate::signal::{self, Set};
use crate::sys::process::{self, Children};
use crate::sys::signals::{Arrived, Signals};
use crate::sys::{cgroup, clock, say};
use crate::text::{self, Text};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};

/// A tree that runs.
#[derive(Debug)]
pub struct Running {
    pub(super) tree: Tree,
    /// By index; where there is no service any more, that of the last one.
    pub(super) names: Vec<ServiceName>,
    pub(super) forward: Vec<Set>,
    pub(super) stop_signals: Vec<u8>,
    pub(super) command: Option<usize>,
    pub(super) programs: Programs,
    pub(super) shared: Shared,
    pub(super) run_dir: Option<RunDir>,
    pub(super) place: Option<Place>,
    pub(super) journal: Journal,
    pub(super) acks: Acks,
    lines: Lines,
    pub(super) controls: Vec<Option<OwnedFd>>,
    /// Through what services tell that they are ready.
    pub(super) voices: Vec<Option<OwnedFd>>,
    /// A random number of this start, for the names of those.
    pub(super) seed: u64,
    pub(super) changes: Changes,
    pub(super) pump: LogPump,
    /// So many descriptors it may have had when it began.
    room: u64,
    /// /dev/null, at a number that supervisors take along.
    null: OwnedFd,
    signals: Signals,
    /// Dispositions that zei-init was started with, and services don't get.
    pub(super) defaults: Set,
    /// The supervisors by their pids, and the pids by the services' indices.
    supervisors: HashMap<u32, usize>,
    /// The services that have had another supervisor before: processes of them may be its children.
    pub(super) replaced: BTreeSet<usize>,
    /// Its children that have ended.
    crowd: Crowd,
    pub(super) pids: Vec<Option<u32>>,
    /// Those whose supervisors could not be started, which was said.
    unstarted: BTreeSet<usize>,
    pub(super) boot: u64,
    pub(super) seq: u64,
    /// When it began to live.
    pub(super) began: Time,
    /// What was last told, and since when that is so.
    pub(super) state: (InitState, Time),
}

/// Makes room for three descriptors a service, and three more for each whose output is pumped: its log pipes, and zei-log,
/// which has the same limit, needs six of them (two log pipes, its readiness, its directory and two files there). Returns the
/// limit as it was, which services get, also where it is raised only later, for more of them.
pub fn raise_descriptor_limit(services: usize, pumped: usize) -> Option<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let count = services.saturating_mul(3).saturating_add(pumped.saturating_mul(3)).saturating_add(64);
    let needed = u64::try_from(count).unwrap_or(u64::MAX);
    if soft < needed.min(hard) {
        let _as_it_is = setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard);
    }
    Some((soft, hard))
}

impl Running {
    /// Runs the tree; returns the container's exit code.
    pub fn live(&mut self) -> u8 {
        self.publish(None);
        self.tend_pump();
        let end = self.feed(Event::Timer);
        self.tell_sources();
        self.live_on(end)
    }

    /// The same of a tree that has lived before, and may have ended by now.
    pub(super) fn live_on(&mut self, mut end: Option<Verdict>) -> u8 {
        loop {
            if let Some(verdict) = end {
                self.publish(Some(verdict.code));
                self.drain_pump();
                if let Some(groups) = self.shared.groups() {
                    cgroup::remove(groups);
                }
                self.tell_why(&verdict);
                return verdict.code;
            }
            self.wait();
            end = self.take_all();
        }
    }

    fn wait(&self) {
        let next = self.crowd.next();
        let deadlines = [self.tree.deadline(), self.changes.deadline(), self.pump.deadline(), next];
        let deadline = deadlines.into_iter().flatten().min();
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.since(clock::now()).0;
                i32::try_from(left).ok().and_then(|ms| PollTimeout::try_from(ms).ok()).unwrap_or(PollTimeout::MAX)
            }
        };
        let reports = self.shared.reports.as_fd();
        let control = self.run_dir.as_ref().map_or(reports, |run_dir| run_dir.control.as_fd());
        // That something more has ended says nothing new then.
        let is_paused = next.is_some_and(|next| next > clock::now());
        let signals = if is_paused { reports } else { self.signals.as_fd() };
        let mut polled = [signals, reports, control].map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
        let _interrupted = poll(&mut polled, timeout);
    }

    /// Everything that has happened, until the tree has ended.
    fn take_all(&mut self) -> Option<Verdict> {
        let mut events = VecDeque::new();
        self.take_signals(&mut events);
        self.take_reports(&mut events);
        self.take_lines(&mut events);
        if self.tree.deadline().is_some_and(|deadline| clock::now() >= deadline) {
            events.push_back(Event::Timer);
        }
        self.tend_pump();
        let end = events.into_iter().find_map(|event| self.feed(event));
        end.or_else(|| self.go_on_changing())
    }

    fn take_signals(&mut self, events: &mut VecDeque<Event>) {
        let (mut ended, mut missed) = (false, false);
        while let Some(Arrived { number, is_sent, .. }) = self.signals.next() {
            match number {
                signal::CHLD => (ended, missed) = (true, missed || is_sent),
                // Of the processes that are stopped or of the terminal; they are for nobody.
                _ => events.push_back(Event::Signal(number)),
            }
        }
        if ended || self.crowd.is_left() {
            self.reap(events);
        }
        if missed {
            self.repair(events);
        }
    }

    /// Supervisors by their pids; everything else is an orphan that only needed somebody to reap it.
    fn reap(&mut self, events: &mut VecDeque<Event>) {
        // Those that were reaped before a pause are told of with the last.
        let mut orphans = self.crowd.is_left();
        let most = self.crowd.most();
        for _next in 0..most {
            match process::look() {
                Children::Ended(pid, exit) => {
                    let Some(index) = self.supervisors.remove(&pid) else {
                        let heirs = self.pass_end(pid, exit);
                        process::reap(pid);
                        for supervisor in heirs {
                            let _it_is_gone = process::signal_child(supervisor, signal::CHLD);
                        }
                        orphans |= !self.changes.has_ended(pid, exit) && !self.pump_has_ended(pid, exit);
                        continue;
                    };
                    process::reap(pid);
                    self.replaced.insert(index);
                    if let Some(slot) = self.pids.get_mut(index) {
                        *slot = None;
                    }
                    self.look(index, events);
                    let clean = exit == exit::Exit::Code(0);
                    if !clean && self.tree.is_replacing() {
                        self.say(format_args!("zei-supervise {} ended by {exit}; replacing it", self.name(index)));
                    }
                    events.push_back(Event::SupervisorEnded { index, clean });
                }
                left => {
                    self.crowd.is_gone();
                    // The pump lives until all others are gone.
                    if left == Children::None || self.is_pump_alone() {
                        events.push_back(Event::Empty);
                    } else if orphans {
                        events.push_back(Event::Reaped);
                    }
                    return;
                }
            }
        }
        self.crowd.goes_on(most);
    }

    fn take_reports(&mut self, events: &mut VecDeque<Event>) {
        let mut buffer = [0; 4096];
        let Ok(length) = nix::unistd::read(&self.shared.reports, &mut buffer) else { return };
        let reports = buffer.get(..length).unwrap_or_default().chunks_exact(4);
        let indices = reports.filter_map(|report| usize::try_from(u32::from_le_bytes(report.try_into().ok()?)).ok());
        // A full buffer may mean that the pipe was full, and reports are missing.
        let all = (length == buffer.len()).then_some(0..self.names.len());
        for index in indices.chain(all.into_iter().flatten()) {
            self.look(index, events);
            self.tell_dependents(index);
        }
    }

    /// Those that follow it first: what a restart of it means for them depends on how they stand now.
    fn look(&self, index: usize, events: &mut VecDeque<Event>) {
        for index in self.tree.followers(index).chain([index]) {
            if let Some(record) = self.shared.ledger.read(index) {
                events.push_back(Event::Changed(index, record.service));
            }
        }
        // Whoever reports has told the journal, too, and leaves the ring to this process: one for all of them.
        if let Some(place) = &self.place {
            place.ring();
        }
    }

    /// Event FIFOs can be missing or removed: to a supervisor that waits, a TERM without an order says to look around.
    fn tell_dependents(&self, index: usize) {
        for dependent in self.tree.dependents(index) {
            let awaits = self.shared.ledger.read(*dependent).is_some_and(|record| record.service.awaits_dependencies());
            if awaits && let Some(pid) = self.pids.get(*dependent).copied().flatten() {
                let _it_is_gone = process::signal_child(pid, signal::TERM);
            }
        }
    }

    fn take_lines(&mut self, events: &mut VecDeque<Event>) {
        let mut buffer = [0; 4096];
        let Some(run_dir) = &self.run_dir else { return };
        let Ok(length) = nix::unistd::read(&run_dir.control, &mut buffer) else { return };
        let mut lines = core::mem::take(&mut self.lines);
        lines.feed(buffer.get(..length).unwrap_or_default(), |line| {
            let request = line.map_err(|reject| (None, reject)).and_then(control::parse);
            match request {
                Ok(request) if request.verb == Verb::Shutdown => {
                    // It is done when this process is gone, which nobody can be told then.
                    let accepted = Progress::Accepted { verb: Verb::Shutdown, run: 0, merged: false };
                    self.answer(request.token, accepted, Text::new());
                    events.push_back(Event::Shutdown);
                }
                Ok(request) if request.verb.is_of_init() => self.ask(request),
                Ok(request) => {
                    let text = Text::from("zei-init's own verbs are shutdown, apply, add, forget, upgrade");
                    self.answer(request.token, Progress::Failed(exit::CONFIG), text);
                }
                Err((None, reject)) => self.say(format_args!("control: line dropped: {reject}")),
                Err((token, reject)) => {
                    self.answer(token, Progress::Failed(exit::CONFIG), text::format(format_args!("{reject}")));
                }
            }
        });
        self.lines = lines;
    }

    pub(super) fn answer(&mut self, token: Option<control::Token>, progress: Progress, text: Text<112>) {
        let (Some(token), Some(place)) = (token, &self.place) else { return };
        if !self.acks.knows(&token) {
            let _nowhere_to_say_it = self.acks.append(place, &Ack { token, progress, at: clock::now().0, text });
            place.ring();
        }
    }

    /// One event and all that follows from it. Returns the verdict once the tree has ended.
    pub(super) fn feed(&mut self, event: Event) -> Option<Verdict> {
        let before = (self.tree.is_booting(), self.tree.is_stopping());
        let effects = self.tree.step(event, clock::now());
        if before != (self.tree.is_booting(), self.tree.is_stopping()) {
            self.publish(None);
        }
        self.carry_out(effects)
    }

    /// What the tree wants, and all that follows from it. Returns the verdict once the tree has ended.
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) -> Option<Verdict> {
        let mut events = VecDeque::new();
        for effect in effects {
            if let Effect::End(verdict) = effect {
                return Some(verdict);
            }
            events.extend(self.perform(effect));
        }
        events.into_iter().find_map(|event| self.feed(event))
    }

    /// The only place where an effect becomes a system call.
    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Start(index) => return self.start(index),
            Effect::Restart { index, run } => return self.restart(index, run),
            Effect::Order(shutdown) => {
                if let Err(errno) = self.shared.ledger.give(Order { shutdown: Some(shutdown) }) {
                    self.say(format_args!("cannot give the order to stop: {}", errno.desc()));
                }
            }
            Effect::Dismiss(index) => {
                if let Some(pid) = self.pids.get(index).copied().flatten() {
                    let _it_is_gone = process::signal_child(pid, signal::TERM);
                }
            }
            Effect::Forward(number) => {
                for index in 0..self.names.len() {
                    if self.forward.get(index).is_some_and(|signals| signals.contains(number)) {
                        self.forward(index, number);
                    }
                }
            }
            Effect::ForwardToCommand(number) => {
                if let Some(index) = self.command {
                    self.forward(index, number);
                }
            }
            Effect::Reload => self.reload(),
            Effect::KillAll => {
                let _none_left = process::kill_children_but(self.pump.pid());
                self.crowd.is_expected();
                return (process::look() == Children::None || self.is_pump_alone()).then_some(Event::Empty);
            }
            Effect::Ready => self.notify_ready(),
            Effect::Waiting(indices, span) => self.tell_waiting(&indices, span),
            Effect::Overdue(indices) => self.tell_killed("the time is up", &indices),
            Effect::Hurried(indices) => self.tell_killed("asked once more", &indices),
            Effect::Retire(index, then) => self.retire(index, then),
            Effect::Renew(index, starts) => self.renew(index, starts),
            Effect::Remove(index) => self.remove(index),
            Effect::Applied => self.applied(),
            Effect::End(_) => {}
        }
        None
    }

    /// By its control FIFO, so that the line outlives a supervisor. What does not fit in now is told again.
    fn restart(&self, index: usize, run: u32) -> Option<Event> {
        let Some(control) = self.controls.get(index).and_then(Option::as_ref) else {
            let name = self.name(index);
            self.say(format_args!("{name} has no control FIFO and is not restarted along with what it depends on"));
            return Some(Event::NotRestarted(index));
        };
        // What somebody left there without a newline does not become a part of it.
        let line = format!("\n{}", Request { token: None, verb: Verb::RestartRun(run), argument: "" });
        let _full = nix::unistd::write(control, line.as_bytes());
        None
    }

    /// Only to a process that is the program already, and never to a later one of the same pid.
    fn forward(&self, index: usize, number: u8) {
        let running = |service: Service| matches!(service.phase, Phase::Starting { .. } | Phase::Running);
        let record = self.shared.ledger.read(index).filter(|record| running(record.service));
        if let Some(main) = record.and_then(|record| record.service.process) {
            let _it_is_gone = process::signal_other(main, number);
        }
    }

    pub(super) fn name(&self, index: usize) -> ServiceName {
        self.names.get(index).copied().unwrap_or(ServiceName::CMD)
    }

    /// Tells what zei-init itself is doing, and in the end with which code it leaves.
    pub(super) fn publish(&mut self, code: Option<u8>) {
        self.seq += 1;
        let state = match (self.tree.is_stopping(), self.tree.is_booting()) {
            (true, _) => InitState::Stopping,
            (false, true) => InitState::Booting,
            (false, false) => InitState::Running,
        };
        if self.state.0 != state {
            self.state = (state, clock::now());
        }
        let status = self.init_status();
        self.journal.note(self.entry(&status, code));
        if let Some(place) = &mut self.place {
            place.write(status.encode().as_bytes());
            place.ring();
        }
    }

    fn init_status(&self) -> InitStatus {
        let services = u32::try_from(self.tree.count()).unwrap_or(u32::MAX);
        let (state, since) = self.state;
        InitStatus { seq: self.seq, state, pid: std::process::id(), boot: self.boot, services, since: since.0 }
    }

    fn entry(&self, status: &InitStatus, code: Option<u8>) -> Entry {
        Entry {
            at: clock::now().0,
            wall: clock::wall(),
            service: Text::from(journal::INIT),
            state: Text::from(status.state.word()),
            pid: Some(status.pid),
            exit: code.map(exit::Exit::Code),
            ..Entry::default()
        }
    }

    /// Asks all supervisors for something, and wakes those of these indices.
    pub(super) fn call(&self, calls: Calls, wakes: impl Fn(usize) -> bool) {
        if let Err(errno) = self.shared.ledger.call(calls) {
            self.say(format_args!("cannot tell the supervisors what to do: {}", errno.desc()));
        }
        for (_, pid) in self.pids.iter().enumerate().filter(|(index, _)| wakes(*index)) {
            let _it_is_gone = pid.map(|pid| process::signal_child(pid, signal::TERM));
        }
    }

    pub(super) fn say(&self, text: core::fmt::Arguments<'_>) {
        say::say(format_args!("{PROGRAM}"), text);
    }
}
