//! zei-supervise: one service.
//!
//! Owns: the loop wait -> events -> step -> record -> perform, and the order "record, then act".
//! Must never: decide (that is `model::service`), block on anything but its own poll, or poll on time
//! without a deadline.

mod commands;
mod launch;
mod watch;

use crate::exit;
use crate::model::definition::{Definition, Definitions};
use crate::model::record::Record;
use crate::model::service::{self, Action, Ending, Event, Phase, Service, Shutdown};
use crate::model::time::{Span, Time};
use crate::protocol::control::Lines;
use crate::protocol::status::State;
use crate::run::place::Place;
use crate::signal::{self, Set};
use crate::sys::ledger::{self, Ledger};
use crate::sys::process::{self, Children};
use crate::sys::raw::{self, Arguments};
use crate::sys::signals::Signals;
use crate::sys::{clock, say};
use crate::text::Text;
use commands::Commands;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use std::os::fd::{AsFd, OwnedFd};
use watch::Watch;

struct Supervisor<'a> {
    index: usize,
    definition: Definition<'a>,
    service: Service,
    /// What happened to it while it had no supervisor.
    inherited: Option<Event>,
    seq: u64,
    ledger: Ledger,
    report: Option<OwnedFd>,
    control: Option<OwnedFd>,
    signals: Signals,
    /// Its directory; `None` where zei runs without one.
    place: Option<Place>,
    watch: Watch,
    lines: Lines,
    commands: Commands,
    /// What zei-init was last told.
    standing: Standing,
    /// zei-init's pid.
    init: nix::unistd::Pid,
    /// It starts without its dependencies, as somebody has asked for.
    alone: bool,
    /// What was asked to end of what the main process has left behind: each only once.
    asked: Vec<u32>,
    /// The stop whose kill was said.
    said: Option<Time>,
    leaving: bool,
}

/// What zei-init has to know about a service; it is told when this changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Coming,
    Up,
    Timed,
    Ended,
    Held,
}

impl Standing {
    fn of(service: &Service) -> Standing {
        match service.state() {
            State::Waiting | State::Starting | State::RestartPending => Standing::Coming,
            State::Running | State::Stopping => Standing::Up,
            State::Scheduled => Standing::Timed,
            State::Completed | State::Failed => Standing::Ended,
            State::Stopped => Standing::Held,
        }
    }
}

/// The whole program. Arguments: the service's name, for people who look at `ps`, its index, and
/// `up` or `down`: whether it is wanted where nothing is recorded about it.
pub fn run(arguments: Arguments) -> u8 {
    match begin(arguments) {
        Ok(mut supervisor) => supervisor.live(),
        Err((what, errno)) => {
            let name = arguments.get(1).unwrap_or("?");
            say::say(format_args!("zei-supervise {name}"), format_args!("cannot {what}: {}", errno.desc()));
            exit::SYSTEM
        }
    }
}

fn begin(arguments: Arguments) -> Result<Supervisor<'static>, (&'static str, Errno)> {
    let missing = ("find what zei-init passes on; it is not to be started by hand", Errno::EINVAL);
    let index = arguments.get(2).and_then(|text| text.parse::<usize>().ok()).ok_or(missing)?;
    let definitions = raw::inherited(ledger::DEFINITIONS).ok_or(missing)?;
    let ledger = Ledger::over(raw::inherited(ledger::LEDGER).ok_or(missing)?);
    let report = raw::inherited(ledger::REPORT);
    let control = raw::inherited(ledger::CONTROL);
    let services = raw::inherited(ledger::SERVICES);
    // Only now may anything be opened: it could get the number of something that was not passed on.
    let signals = Signals::take(Set::of(&[signal::CHLD, signal::TERM])).map_err(|errno| ("take signals", errno))?;
    let length = fstat(&definitions).map_or(0, |stat| usize::try_from(stat.st_size).unwrap_or(0));
    let bytes = raw::map(definitions.as_fd(), length).map_err(|errno| ("map the definitions", errno))?;
    let definition = Definitions(bytes).service(index).ok_or(missing)?;
    nix::sys::prctl::set_child_subreaper(true).map_err(|errno| ("become a subreaper", errno))?;
    let place = services.as_ref().and_then(|services| Place::open(services.as_fd(), definition.name.as_str()));
    let want = arguments.get(3) == Some("up");
    let (service, inherited, seq) = match ledger.read(index) {
        Some(record) => {
            let (service, event) = recover(record, index);
            (service, event, record.seq)
        }
        None => (Service::new(want, clock::now(), &definition.policy), None, 0),
    };
    Ok(Supervisor {
        index,
        definition,
        service,
        inherited,
        seq,
        ledger,
        report,
        control,
        signals,
        watch: Watch::new(services),
        commands: Commands::begin(place.as_ref().filter(|_| seq > 0)),
        place,
        lines: Lines::default(),
        standing: Standing::Coming,
        init: nix::unistd::getppid(),
        alone: false,
        asked: Vec::new(),
        said: None,
        leaving: false,
    })
}

/// A predecessor died. What it left running can't be waited for by this process, so all of it is ended
/// and the policy decides, as if the service had been killed.
fn recover(record: Record, index: usize) -> (Service, Option<Event>) {
    // An orphan is zei-init's child now; a pid that is not has become somebody else's.
    let init = nix::unistd::getppid().as_raw().unsigned_abs();
    let left = service::left_behind(&record.service, record.child)
        .filter(|left| process::parent(left.pid) == Some(init))
        .filter(|left| left.start == 0 || process::start_time(left.pid) == Some(left.start));
    let deadline = clock::now().plus(Span::seconds(10));
    let main = left.is_none_or(|left| end(left.pid, deadline));
    // What ends leaves its own children to zei-init, so they are looked for until there are none.
    let mut gone = main;
    while gone && let Some(pid) = process::orphan_with_mark(init, index) {
        gone = end(pid, deadline);
    }
    service::take_over(record.service, left, gone, clock::now())
}

/// Kills a process that is not this one's child. Whether it is gone by then.
fn end(pid: u32, deadline: Time) -> bool {
    let descriptor = match raw::pidfd_open(pid) {
        Ok(descriptor) => descriptor,
        Err(Errno::ESRCH) => return true,
        Err(_) => {
            // No descriptor to wait with (ENOSYS in an old sandbox): it is killed, but nothing may start beside it.
            let _may_be_gone = process::signal_child(pid, signal::KILL);
            return false;
        }
    };
    let _it_is_gone = raw::pidfd_send(descriptor.as_fd(), signal::KILL);
    let mut gone = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    poll(&mut gone, to_timeout(deadline.since(clock::now()))) != Ok(0)
}

impl Supervisor<'_> {
    fn live(&mut self) -> u8 {
        // Nothing of it runs yet, so in a shutdown it need not wait for its turn, nor begin anything.
        self.take_order();
        let first = self.inherited.take().or_else(|| self.start_if_free());
        match first.filter(|_| !self.leaving) {
            // Its first state lasts for microseconds: there is nothing to tell yet.
            Some(event) => self.feed(event),
            None => {
                self.record();
                self.publish();
            }
        }
        self.finish_what_was_accepted();
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
            let (signalled, written) = self.wait();
            if signalled {
                self.take_signals();
            }
            if written {
                self.take_lines();
            }
            if self.service.deadline().is_some_and(|deadline| clock::now() >= deadline) {
                self.feed(Event::Timer);
            }
        }
        self.commands.leave(self.place.as_ref());
        self.ring();
        exit::OK
    }

    /// Sleeps until there is something to do: signals, control lines, a dependency's ring, the deadline.
    fn wait(&self) -> (bool, bool) {
        let timeout = match self.service.deadline() {
            None => PollTimeout::NONE,
            Some(deadline) => to_timeout(deadline.since(clock::now())),
        };
        let signals = PollFd::new(self.signals.as_fd(), PollFlags::POLLIN);
        let control = self.control.as_ref().map_or(self.signals.as_fd(), AsFd::as_fd);
        let control = PollFd::new(control, PollFlags::POLLIN);
        let ready = |polled: &[PollFd<'_>], index: usize| polled.get(index).is_some_and(|fd| fd.any().unwrap_or(true));
        if self.watch.is_idle() {
            let mut polled = [signals, control];
            let _interrupted = poll(&mut polled, timeout);
            (ready(&polled, 0), ready(&polled, 1))
        } else {
            let mut polled: Vec<PollFd<'_>> = [signals, control].into_iter().chain(self.watch.descriptors()).collect();
            let _interrupted = poll(&mut polled, timeout);
            (ready(&polled, 0), ready(&polled, 1))
        }
    }

    fn take_signals(&mut self) {
        let mut ended = false;
        while let Some((signal, _)) = self.signals.next() {
            match signal {
                signal::CHLD => ended = true,
                _ => self.take_order(),
            }
        }
        if ended {
            self.reap();
        }
    }

    /// A TERM only says: look at what zei-init orders. One that somebody else sent changes nothing.
    fn take_order(&mut self) {
        if let Some(shutdown) = self.ledger.order().shutdown {
            let own = self.definition.name == crate::name::ServiceName::CMD;
            self.feed(Event::Shutdown(Shutdown { signal: shutdown.signal.filter(|_| own), ..shutdown }));
        } else if nix::unistd::getppid() != self.init {
            // zei-init is gone: its death was the signal.
            let deadline = clock::now().plus(self.definition.policy.grace());
            self.feed(Event::Shutdown(Shutdown { deadline, signal: None }));
        }
    }

    /// Every death is seen, recorded, then reaped: killed in between, the zombie is zei-init's.
    fn reap(&mut self) {
        let mut strays = false;
        loop {
            match process::look() {
                Children::Ended(pid, exit) if self.service.process.is_some_and(|main| main.pid == pid) => {
                    self.record_with(Service { process: None, ending: Some(Ending::Exited(exit)), ..self.service });
                    process::reap(pid);
                    let alone = process::look() == Children::None;
                    self.feed(Event::Exited { exit, alone, oom: false });
                }
                Children::Ended(pid, _) => {
                    process::reap(pid);
                    strays = true;
                }
                Children::Alive if strays => return self.feed(Event::Reaped),
                Children::None if strays => return self.feed(Event::Empty),
                Children::Alive | Children::None => return,
            }
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
            let (service, action) = service::step(self.service, event, clock::now(), &self.definition.policy);
            if service != self.service {
                self.service = service;
                self.record();
            }
            next = action.and_then(|action| self.perform(action)).or_else(|| self.start_if_free());
        }
        if self.service != before {
            self.publish();
            self.tell(before.phase);
        }
        self.settle();
    }

    /// Nothing to wait for: no need to look at anybody.
    fn start_if_free(&self) -> Option<Event> {
        let free = self.alone || self.definition.needs().next().is_none();
        (free && self.service.phase == Phase::Waiting).then_some(Event::DependenciesMet)
    }

    /// The only place where an action becomes a system call.
    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn => {
                (self.alone, self.asked) = (false, Vec::new());
                return Some(self.launch());
            }
            Action::Ask { signal, group } => self.ask(signal, group),
            Action::AskRest => self.asked = process::ask_descendants(&self.asked),
            Action::Begin(_) => {
                let errno = Errno::ENOSYS as i32;
                return Some(Event::JobNotBegan(service::Failure { stage: service::SpawnStage::Execute, errno }));
            }
            Action::KillJob => {}
            Action::Kill => self.kill(),
            Action::Leave => self.leaving = true,
        }
        None
    }

    fn ask(&self, signal: u8, group: bool) {
        let Some(main) = self.service.process else { return };
        for signal in [signal, signal::CONT] {
            let sent =
                if group { process::signal_group(main.pid, signal) } else { process::signal_child(main.pid, signal) };
            if let Err(errno) = sent {
                self.say(format_args!("cannot send {} to {}: {}", signal::Name(signal), main.pid, errno.desc()));
            }
        }
    }

    fn kill(&mut self) {
        let count = process::kill_children();
        // Once for each stop, and not where the configuration wants a kill.
        let late = self.definition.policy.stop_signal != signal::KILL && self.said != Some(self.service.since);
        if late && count > 0 {
            self.said = Some(self.service.since);
            self.say(format_args!("did not end in time; killed {count} of its processes"));
        }
    }

    fn look_at_dependencies(&mut self) {
        while self.service.awaits_dependencies() {
            match self.watch.look(&self.definition, &self.ledger) {
                Some(event) if !self.is_known(event) => self.feed(event),
                Some(_) | None => return,
            }
        }
        self.watch.forget();
    }

    fn is_known(&self, event: Event) -> bool {
        match (event, self.service.phase) {
            (Event::DependencyFailed(index), Phase::Failed(service::Reason::Dependency(known))) => index == known,
            _ => false,
        }
    }

    fn record(&mut self) {
        self.record_with(self.service);
    }

    fn record_with(&mut self, service: Service) {
        self.seq += 1;
        // While a process is being made its pid comes from itself, until then there is none.
        let record = Record { seq: self.seq, service, child: 0 };
        if let Err(errno) = self.ledger.write(self.index, &record) {
            self.say(format_args!("cannot record its state: {}", errno.desc()));
        }
    }

    /// Tells whoever may be interested: the status file, those who wait on it, zei-init.
    fn publish(&mut self) {
        let status = commands::status(&self.service, &self.definition, self.seq);
        if let Some(place) = &mut self.place {
            place.write(status.encode().as_bytes());
        }
        let standing = Standing::of(&self.service);
        if standing != self.standing {
            self.standing = standing;
            if let (Some(report), Ok(index)) = (&self.report, u32::try_from(self.index)) {
                // A full pipe: zei-init has enough to wake it, and then looks at everyone.
                let _full = nix::unistd::write(report, &index.to_le_bytes());
            }
        }
        self.ring();
    }

    /// Says on standard error what nobody asked for.
    fn tell(&self, before: Phase) {
        let well = self.service.ending.is_none_or(Ending::is_success);
        // The command's own code says it all.
        if self.definition.name == crate::name::ServiceName::CMD
            && matches!(self.service.ending, Some(Ending::Exited(_)))
        {
            return;
        }
        match self.service.phase {
            phase if phase == before => {}
            Phase::Failed(_) => self.say(format_args!("failed ({})", self.reason())),
            Phase::RestartPending { at } if !well => {
                self.say(format_args!("ended ({}); starting again in {}", self.reason(), at.since(self.service.since)));
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

/// Exact, as times are whole milliseconds; what is longer than poll(2) can take is waited for in pieces.
fn to_timeout(span: Span) -> PollTimeout {
    i32::try_from(span.0).ok().and_then(|ms| PollTimeout::try_from(ms).ok()).unwrap_or(PollTimeout::MAX)
}

/// A time that a status file may leave empty.
fn some_time(time: Time) -> Option<u64> {
    (time != Time::NEVER).then_some(time.0)
}
