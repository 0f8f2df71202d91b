//! zei-supervise: one service.
//!
//! Owns: the loop wait -> events -> step -> record -> perform, and the order "record, then act".
//! Must never: decide (that is `model::service`), block on anything but its own poll, or poll on time
//! without a deadline.

mod begin;
mod commands;
mod jobs;
mod launch;
mod outputs;
mod processes;
mod renew;
mod repair;
mod schedule;
mod standing;
mod takeover;
mod voice;
mod wait;
mod watch;

use crate::exit;
use crate::model::child::Child;
use crate::model::definition::Definition;
use crate::model::heard::Heard;
use crate::model::record::Record;
use crate::model::service::{self, Action, Beside, Ending, Event, Fault, Phase, Service, Shutdown};
use crate::model::slot::{Calls, Retire};
use crate::model::time::{Span, Time};
use crate::protocol::control::Lines;
use crate::protocol::journal::Entry;
use crate::protocol::status::{Health, Status};
use crate::run::crowd::Crowd;
use crate::run::journal::Journal;
use crate::run::place::Place;
use crate::signal::{self};
use crate::sys::cgroup::Group;
use crate::sys::ledger::Ledger;
use crate::sys::owned::Orphans;
use crate::sys::process::Held;
use crate::sys::raw::{self, Arguments};
use crate::sys::signals::{Arrived, Signals};
use crate::sys::{clock, say};
use crate::text::{self, Text};
use commands::Commands;
use jobs::Jobs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use outputs::Outputs;
use renew::Passed;
use schedule::Waiting;
use standing::Standing;
use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use voice::Voice;
use watch::Watch;

struct Supervisor<'a> {
    /// As it was started.
    arguments: Arguments,
    /// What it was passed.
    passed: Passed,
    _definitions: OwnedFd,
    /// What was asked of all supervisors and is done.
    calls: Calls,
    /// The last that is known of that.
    called: Calls,
    index: usize,
    definition: Definition<'a>,
    service: Service,
    /// What happened to it while it had no supervisor.
    inherited: [Option<Event>; 2],
    seq: u64,
    ledger: Ledger,
    report: Option<OwnedFd>,
    control: Option<OwnedFd>,
    signals: Signals,
    /// Its directory; `None` where zei runs without one.
    place: Option<Place>,
    /// That it is this service's one supervisor.
    _lock: Option<OwnedFd>,
    journal: Journal,
    watch: Watch,
    voice: Voice,
    outputs: Outputs,
    jobs: Jobs,
    waiting: Waiting,
    /// The main process, where it is another's child.
    main: Option<Held>,
    /// Where what a predecessor has left is found: zei-init's children.
    orphans: Orphans,
    /// There may be such.
    adopted: bool,
    /// The control group of the service, where there are such.
    group: Option<Group>,
    /// Its children that have ended.
    crowd: Crowd,
    /// Until then nothing but the main process goes on: it has its turn to end.
    turn: Time,
    lines: Lines,
    /// How far what has come through the control FIFO is acted on.
    heard: Heard,
    /// So much of it lies there.
    known: usize,
    commands: Commands,
    /// What zei-init was last told; `None`: it waits for a word from this one, whatever it is.
    standing: Option<Standing>,
    /// zei-init's pid.
    init: nix::unistd::Pid,
    /// Nothing starts before what was accepted is done.
    holds: bool,
    /// When the service last changed, until that is told.
    changed: Option<Time>,
    /// It starts without its dependencies, as somebody has asked for.
    alone: bool,
    /// What was asked to end of what the main process has left behind: each only once.
    asked: BTreeSet<u32>,
    /// When all of it was last looked for, to ask or kill it.
    looked: Time,
    /// The stop in which all was killed before.
    killed: Option<Time>,
    /// zei-init wants it to stop its service and leave, because the tree has changed.
    retiring: Option<Retire>,
    leaving: bool,
}

/// The whole program. Arguments: the service's name, for people who look at `ps`, its index, and
/// `up` or `down`: whether it is wanted where nothing is recorded about it.
pub fn run(arguments: Arguments) -> u8 {
    if let Some(code) = super::answer_version("zei-supervise", arguments) {
        return code;
    }
    match begin::begin(arguments) {
        Ok(mut supervisor) => supervisor.live(),
        Err((what, errno)) => {
            let name = arguments.get(1).unwrap_or("?");
            say::say(format_args!("zei-supervise {name}"), format_args!("cannot {what}: {}", errno.desc()));
            exit::SYSTEM
        }
    }
}

impl Supervisor<'_> {
    fn live(&mut self) -> u8 {
        // Where nothing of it runs it need not wait for its turn in a shutdown, nor begin anything.
        if !self.adopted || self.ledger.order().shutdown.is_none() {
            self.take_order();
        }
        if self.seq > 0 {
            self.note();
        }
        // A command that was accepted may not be lost because a run has begun since: nothing starts before that.
        self.holds = true;
        for event in core::mem::take(&mut self.inherited).into_iter().flatten() {
            self.feed(event);
        }
        if !self.leaves_lines() {
            self.finish_what_was_accepted();
            if self.seq > 0 {
                self.act_on_lines();
            }
        }
        self.holds = false;
        if self.seq > 0 {
            // Whoever waits for this program looks at the record when something is reported, and that is only written now.
            self.standing = None;
        }
        match self.start_if_free().filter(|_| !self.leaving) {
            // Its first state lasts for microseconds: there is nothing to tell yet.
            Some(event) => self.feed(event),
            None => {
                self.record();
                self.publish();
            }
        }
        let mut run = None;
        while !self.leaving {
            self.look_at_dependencies();
            if self.leaving {
                break;
            }
            if run != Some(self.service.run) {
                run = Some(self.service.run);
                raw::release_stack();
            }
            if self.may_renew() {
                return self.renew();
            }
            self.wait_for_slot();
            let woken = self.wait();
            self.take_all(woken);
        }
        if !self.leaves_lines() {
            self.commands.leave(self.place.as_ref(), self.farewell());
        }
        if let Some(group) = &self.group {
            group.remove();
        }
        self.ring();
        exit::OK
    }

    fn take_signals(&mut self) {
        let mut ended = false;
        while let Some(Arrived { number, .. }) = self.signals.next() {
            match number {
                signal::CHLD => ended = true,
                _ => {
                    self.take_calls();
                    self.take_order();
                }
            }
        }
        if ended {
            self.reap();
        }
    }

    /// What all supervisors are asked for.
    fn take_calls(&mut self) {
        self.called = self.ledger.calls();
        if self.called.repair != self.calls.repair {
            self.calls.repair = self.called.repair;
            self.repair();
        }
    }

    /// A TERM only says: look at what zei-init orders. One that somebody else sent changes nothing.
    fn take_order(&mut self) {
        if let Some(shutdown) = self.ledger.order().shutdown {
            let own = self.definition.name == crate::name::ServiceName::CMD;
            self.retiring = None;
            self.feed(Event::Shutdown(Shutdown { signal: shutdown.signal.filter(|_| own), ..shutdown }));
        } else if let Some(retire) = self.ledger.entry(self.index).0.retire {
            // Another TERM gives it no more time.
            if self.retiring.replace(retire).is_none() {
                let policy = &self.definition.policy;
                let deadline = clock::now().plus(policy.drain).plus(policy.grace());
                self.feed(Event::Shutdown(Shutdown { deadline, signal: None }));
            }
        } else if self.is_abandoned() {
            // zei-init is gone: its death was the signal.
            let deadline = clock::now().plus(self.definition.policy.grace());
            self.feed(Event::Shutdown(Shutdown { deadline, signal: None }));
        }
    }

    /// Whether zei-init is gone. Where that was before this process could ask for its parent, it has had another one from
    /// the begin, and perhaps no signal either; but nobody reads what it reports.
    fn is_abandoned(&self) -> bool {
        let is_unheard = |report: &OwnedFd| {
            let mut polled = [PollFd::new(report.as_fd(), PollFlags::empty())];
            poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        };
        nix::unistd::getppid() != self.init || self.report.as_ref().is_some_and(is_unheard)
    }

    /// What is asked for now is for its successor, which knows the new definition.
    fn leaves_lines(&self) -> bool {
        self.retiring == Some(Retire::Renew)
    }

    /// Why what was asked for does not come true any more.
    fn farewell(&self) -> &'static str {
        match self.retiring {
            Some(Retire::Remove) => "the service was removed from the configuration",
            Some(Retire::Renew) | None => "the container shuts down",
        }
    }

    /// Takes an event through `step` until nothing more follows from it.
    fn feed(&mut self, event: Event) {
        // What comes after that is for nobody.
        if self.leaving {
            return;
        }
        let before = self.service;
        let mut next = Some(event);
        while let Some(event) = next {
            let now = clock::now();
            let (service, action) = service::step(self.service, event, now, &self.definition.policy);
            let changed = service != self.service;
            if changed {
                self.service = service;
                self.changed = Some(now);
                self.record();
            }
            next = action.and_then(|action| self.perform(action)).or_else(|| self.start_if_free());
            // Not before it is acted upon. The last one is told below, and that a process is made lasts no time.
            if changed && next.is_some() && self.service.phase != Phase::Spawning {
                self.note();
            }
        }
        if is_seen(&self.service, &before) || self.journal.has_news() {
            self.publish();
            self.tell(&before);
        }
        self.changed = None;
        if !self.leaves_lines() {
            self.settle();
        }
    }

    /// Nothing to wait for: no need to look at anybody.
    fn start_if_free(&self) -> Option<Event> {
        let free = self.alone || self.definition.needs().next().is_none();
        (free && !self.holds && self.service.phase == Phase::Waiting).then_some(Event::DependenciesMet)
    }

    /// The only place where an action becomes a system call.
    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn => {
                (self.alone, self.asked, self.main, self.adopted) = (false, BTreeSet::new(), None, false);
                self.turn = Time::NEVER;
                self.voice.forget();
                self.jobs.forget();
                return Some(self.launch());
            }
            Action::Begin(kind) => return Some(self.begin_job(kind)),
            Action::KillJob => self.kill_jobs(),
            Action::Ask { signal, group } => {
                self.ask(signal, group);
                return Some(Event::Asked);
            }
            Action::AskRest => return self.ask_rest(),
            Action::Kill => return self.kill(),
            Action::Leave => self.leaving = true,
        }
        None
    }

    fn look_at_dependencies(&mut self) {
        while self.service.awaits_dependencies() {
            let event = self.watch.look(&self.definition, &self.ledger);
            if self.is_known(event) {
                return;
            }
            self.feed(event);
        }
        self.watch.forget();
    }

    fn is_known(&self, event: Event) -> bool {
        match (event, self.service.phase) {
            (Event::DependencyFailed(index), Phase::Failed(service::Reason::Dependency(known))) => index == known,
            (Event::DependenciesPending, phase) => phase == Phase::Waiting,
            _ => false,
        }
    }

    fn record(&mut self) {
        self.record_with(self.service);
    }

    fn record_with(&mut self, service: Service) {
        self.seq += 1;
        // While a process is being made its pid comes from itself, until then there is none.
        let Supervisor { seq, alone, heard, .. } = *self;
        let record = Record { seq, service, program: self.calls.program, alone, heard, child: Child::default() };
        if let Err(errno) = self.ledger.write(self.index, &record) {
            self.say(format_args!("cannot record its state: {}", errno.desc()));
        }
    }

    fn status(&self) -> Status {
        let mut status = commands::status(&self.service, &self.definition, self.seq);
        if self.service.process.is_some() {
            status.text = self.voice.status();
        }
        if self.service.phase == Phase::Running && self.service.health == Health::Unhealthy {
            status.reason = text::format(format_args!("unhealthy:{}", self.jobs.words()));
        }
        status
    }

    /// Tells the journal, in which no state is left out, however short it is.
    #[inline(never)]
    fn note(&mut self) {
        self.journal.note(self.entry(&self.status()));
    }

    /// Of when that came to be: what followed from it may have taken a while.
    fn entry(&self, status: &Status) -> Entry {
        let now = clock::now();
        let at = self.changed.unwrap_or(now);
        Entry::of(status, at.0, clock::wall().saturating_sub(now.since(at).0))
    }

    /// Tells whoever may be interested: the status file, those who wait on it, the journal, zei-init.
    fn publish(&mut self) {
        let status = self.status();
        if let Some(place) = &mut self.place {
            place.write(status.encode().as_bytes());
        }
        self.journal.note(self.entry(&status));
        let standing = Some(Standing::of(&self.service));
        let report = self.report.as_ref().filter(|_| standing != self.standing);
        self.standing = standing;
        match (report, u32::try_from(self.index)) {
            (Some(report), Ok(index)) => {
                // A full pipe: zei-init has enough to wake it, and then looks at everyone. It rings for the journal.
                let _full = nix::unistd::write(report, &index.to_le_bytes());
                self.journal.is_heard();
            }
            _ => self.journal.ring(self.watch.directory()),
        }
        self.ring();
    }

    /// Says on standard error what nobody asked for.
    fn tell(&self, before: &Service) {
        let (service, policy) = (&self.service, &self.definition.policy);
        // A health that is gone is told by what has become of the service.
        match (before.health, service.health) {
            (Health::Starting | Health::Healthy, Health::Unhealthy) => {
                self.say(format_args!("unhealthy ({})", self.jobs.words()));
            }
            (Health::Unhealthy, Health::Healthy) => self.say(format_args!("healthy again")),
            _ => {}
        }
        match service.fault {
            fault if fault == before.fault || !matches!(service.phase, Phase::Stopping { .. }) => {}
            Some(Fault::NotReady) if service.process.is_some() => {
                let limit = policy.ready_timeout.unwrap_or_default();
                match self.jobs.words() {
                    "" => self.say(format_args!("not ready within {limit}")),
                    words => self.say(format_args!("not ready within {limit} ({words})")),
                }
                self.tell_last();
            }
            Some(Fault::Watchdog) if before.watchdog_at <= service.since => {
                self.say(format_args!("no sign of life within {}", service.watchdog));
            }
            Some(Fault::Watchdog) => self.say(format_args!("says that it does not work any more")),
            _ => {}
        }
        // The command's own code says it all.
        if self.definition.name == crate::name::ServiceName::CMD && matches!(service.ending, Some(Ending::Exited(_))) {
            return;
        }
        match service.phase {
            phase if phase == before.phase => {}
            Phase::Failed(_) => self.say(format_args!("failed ({})", self.reason())),
            Phase::RestartPending { at } if service.fault.is_some() || !service.ended_well() => {
                self.say(format_args!("ended ({}); starting again in {}", self.reason(), at.since(service.since)));
            }
            _ => {}
        }
    }

    fn ring(&self) {
        if let Some(place) = &self.place {
            place.ring();
        }
    }

    fn say(&self, text: core::fmt::Arguments<'_>) {
        say::say(format_args!("zei-supervise {}", self.definition.name), text);
    }

    fn reason(&self) -> Text<128> {
        commands::reason(&self.service, &self.definition)
    }
}

/// Whether a change is one for others to see, and not only of when what is to be done.
fn is_seen(service: &Service, before: &Service) -> bool {
    let visible = |service: &Service| Service {
        beside: Beside::Nothing,
        watchdog_at: Time::NEVER,
        probe_at: Time::NEVER,
        failures: 0,
        reload_due: false,
        post_due: false,
        asked: false,
        ..*service
    };
    visible(service) != visible(before)
}

/// Exact, as times are whole milliseconds; what is longer than poll(2) can take is waited for in pieces.
fn to_timeout(span: Span) -> PollTimeout {
    i32::try_from(span.0).ok().and_then(|ms| PollTimeout::try_from(ms).ok()).unwrap_or(PollTimeout::MAX)
}

/// A time that a status file may leave empty.
fn some_time(time: Time) -> Option<u64> {
    (time != Time::NEVER).then_some(time.0)
}
