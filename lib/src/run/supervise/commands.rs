//! Control lines: taken, accepted on record, acted on, answered once their outcome stands.

use super::{Supervisor, some_time};
use crate::exit;
use crate::model::definition::Definition;
use crate::model::heard;
use crate::model::service::{self, Ending, Event, Goal, Outcome, Phase, Reason, Service, Stage};
use crate::model::slot::Slot;
use crate::model::time::Span;
use crate::model::time::Time;
use crate::name::ServiceName;
use crate::paths;
use crate::protocol::control::{self, Ack, Progress, Reject, Request, Token, Verb};
use crate::protocol::status::Status;
use crate::run::acks::Acks;
use crate::run::place::Place;
use crate::signal;
use crate::sys::clock;
use crate::text::{self, Text};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// So many commands may wait for their outcome at once.
const MOST: usize = 4096;

/// The answers, and the commands whose outcome is open.
#[derive(Debug)]
pub struct Commands {
    acks: Acks,
    open: Vec<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    number: u64,
    token: Token,
    goal: Goal,
    run: u32,
    merged: bool,
}

impl Commands {
    /// With the file that a predecessor has left, where there was one.
    pub fn begin(place: Option<&Place>) -> Commands {
        Commands { acks: Acks::open(place), open: Vec::new() }
    }

    fn answer(&mut self, place: Option<&Place>, open: &Open, progress: Progress, text: Text<112>) {
        self.acks.replace(place, open.number, &Ack { token: open.token, progress, at: clock::now().0, text });
    }

    /// The supervisor leaves: whatever is open has its outcome.
    pub fn leave(&mut self, place: Option<&Place>, why: &str) {
        for open in core::mem::take(&mut self.open) {
            match open.goal {
                Goal::Down => self.answer(place, &open, Progress::Done, Text::new()),
                Goal::Up | Goal::Fresh | Goal::Reloaded => {
                    self.answer(place, &open, Progress::Failed(exit::NOT_TRUE), Text::from(why));
                }
            }
        }
    }
}

/// What a command asks for; `None`: a signal, or nothing for a service.
const fn goal(verb: Verb, definition: &Definition<'_>) -> Option<(Goal, Event)> {
    match verb {
        Verb::Start | Verb::StartAlone => Some((Goal::Up, Event::Start)),
        Verb::Once => Some((Goal::Up, Event::Once)),
        Verb::Restart | Verb::RestartRun(_) => Some((Goal::Fresh, Event::Restart)),
        Verb::Stop => Some((Goal::Down, Event::Stop)),
        Verb::Reload if definition.policy.reload.is_some() => Some((Goal::Reloaded, Event::Reload)),
        Verb::Reload | Verb::Signal(_) => None,
        Verb::Shutdown | Verb::Apply { .. } | Verb::Add | Verb::Forget | Verb::Upgrade => None,
    }
}

/// What grows when the goal is reached, so that it is seen whether that was before or after a command.
const fn count(goal: Goal, service: &Service) -> u32 {
    match goal {
        Goal::Reloaded => service.reloads,
        Goal::Up | Goal::Fresh | Goal::Down => service.run,
    }
}

impl Supervisor<'_> {
    /// Takes what the control FIFO holds and does it, line by line.
    pub(super) fn take_lines(&mut self) {
        let Some(control) = &self.control else { return };
        if let Ok(known) = self.ledger.hear(self.index, self.heard, self.known, control) {
            self.known = known;
            self.act_on_lines();
        }
    }

    /// Does what was taken and is not done, for a killed predecessor, too. The position goes on in the same record as the
    /// state that comes of a line: a line is not done twice, nor left out.
    #[inline(never)]
    pub(super) fn act_on_lines(&mut self) {
        let half = self.ledger.half(self.index, self.heard);
        let written = heard::written(&half);
        let mut lines = core::mem::take(&mut self.lines);
        while let Some(piece) = heard::next_piece(written, self.heard.at) {
            self.heard.at += piece.len();
            lines.feed(piece, |line| match line {
                Ok(line) => match control::parse(line) {
                    Ok(request) => self.take(request),
                    Err((token, reject)) => self.reject(token, reject),
                },
                Err(reject) => self.reject(None, reject),
            });
        }
        self.lines = lines;
        self.known = written.len();
        if self.heard.at > 0 {
            self.turn_page(written.get(self.heard.at..).unwrap_or_default());
        }
    }

    /// Goes on in the other half, with what is left of this one.
    fn turn_page(&mut self, rest: &[u8]) {
        let next = self.heard.turned();
        if let Err(errno) = self.ledger.keep(self.index, next, rest) {
            self.say(format_args!("cannot keep a line that has only begun: {}", errno.desc()));
        }
        (self.heard, self.known) = (next, rest.len());
        self.record();
    }

    fn reject(&mut self, token: Option<Token>, reject: Reject) {
        match token {
            Some(token) => self.refuse(token, exit::CONFIG, text::format(format_args!("{reject}"))),
            None => self.say(format_args!("control: line dropped: {reject}")),
        }
    }

    /// Answers a command that is not accepted.
    fn refuse(&mut self, token: Token, code: u8, text: Text<112>) {
        let Some(place) = &self.place else { return };
        if !self.commands.acks.knows(&token) {
            let ack = Ack { token, progress: Progress::Failed(code), at: clock::now().0, text };
            let _nowhere_to_say_it = self.commands.acks.append(place, &ack);
            place.ring();
        }
    }

    fn take(&mut self, request: Request<'_>) {
        let Request { token, verb, .. } = request;
        if verb.is_of_init() {
            return self.reject(token, Reject::Verb);
        }
        if let Verb::RestartRun(run) = verb
            && !(self.service.run == run && service::is_under_way(&self.service))
        {
            if let Some(token) = token {
                self.refuse(token, exit::NOT_TRUE, Text::from("that run has ended"));
            }
            return;
        }
        if let Some(token) = token
            && !self.accept(token, verb)
        {
            return;
        }
        match (verb, goal(verb, &self.definition)) {
            (Verb::Signal(number), _) => self.pass_on(token, verb, number),
            (_, Some((_, event))) => {
                match verb {
                    Verb::StartAlone => self.alone = true,
                    Verb::Start | Verb::Once | Verb::Restart => self.start_dependencies(),
                    // It did not end because of them: what was stopped stays stopped.
                    Verb::RestartRun(_) | Verb::Stop | Verb::Reload | Verb::Signal(_) => {}
                    Verb::Shutdown | Verb::Apply { .. } | Verb::Add | Verb::Forget | Verb::Upgrade => {}
                }
                self.feed(event);
            }
            (_, None) => self.pass_on(token, verb, self.definition.reload_signal().unwrap_or(signal::HUP)),
        }
    }

    /// Records a command before it is acted on; `false`: it is known, or can't be answered.
    fn accept(&mut self, token: Token, verb: Verb) -> bool {
        let Some(place) = &self.place else { return true };
        if self.commands.acks.knows(&token) {
            return false;
        }
        let Some((goal, _)) = goal(verb, &self.definition) else { return true };
        if self.commands.open.len() >= MOST {
            self.refuse(token, exit::SYSTEM, Text::from("too many commands at once"));
            return false;
        }
        let first_open = self.commands.open.first().map(|open| open.number);
        let dropped = self.commands.acks.shorten(place, clock::now().0, first_open);
        self.commands.open.iter_mut().for_each(|open| open.number -= dropped);
        let merged = goal == Goal::Fresh && service::joins_a_start(&self.service);
        let run = count(goal, &self.service);
        let progress = Progress::Accepted { verb, run, merged };
        match self.commands.acks.append(place, &Ack { token, progress, at: clock::now().0, text: Text::new() }) {
            Ok(number) => {
                self.commands.open.push(Open { number, token, goal, run, merged });
                true
            }
            Err(errno) => {
                self.say_not_recorded(errno);
                false
            }
        }
    }

    /// What a predecessor accepted is done now, unless it is done already.
    pub(super) fn finish_what_was_accepted(&mut self) {
        for (number, ack) in self.commands.acks.unfinished() {
            let Progress::Accepted { verb, run, merged } = ack.progress else { continue };
            let Some((goal, event)) = goal(verb, &self.definition) else {
                // Twice would be worse.
                let progress = Progress::Failed(exit::SYSTEM);
                let text = Text::from("its supervisor was killed just then: the signal was sent, or was not");
                self.commands.acks.replace(
                    self.place.as_ref(),
                    number,
                    &Ack { progress, text, at: clock::now().0, ..ack },
                );
                continue;
            };
            self.commands.open.push(Open { number, token: ack.token, goal, run, merged });
            self.alone |= verb == Verb::StartAlone;
            if count(goal, &self.service) == run {
                self.feed(event);
            }
        }
        self.settle();
    }

    /// A signal is sent once or not at all, and answered at once.
    fn pass_on(&mut self, token: Option<Token>, verb: Verb, number: u8) {
        // The position behind its line, too, comes before it.
        self.record();
        let progress = Progress::Accepted { verb, run: self.service.run, merged: false };
        let place = self.place.as_ref();
        let accepted = token.zip(place).map(|(token, place)| {
            let ack = Ack { token, progress, at: clock::now().0, text: Text::new() };
            self.commands.acks.append(place, &ack).map(|number| (number, ack))
        });
        let accepted = match accepted.transpose() {
            Ok(accepted) => accepted,
            Err(errno) => return self.say_not_recorded(errno),
        };
        let (progress, text) = match (self.signal_main(number), self.service.process) {
            (Ok(()), Some(main)) => (Progress::Done, text::format(format_args!("pid={}", main.pid))),
            (Ok(()), None) => (Progress::Done, Text::new()),
            // There is none, or it was zei-init's and is reaped by now.
            (Err(Errno::ESRCH), _) => (Progress::Failed(exit::NOT_TRUE), Text::from("the service has no process")),
            (Err(errno), _) => (Progress::Failed(exit::SYSTEM), Text::from(errno.desc())),
        };
        if let Some((number, ack)) = accepted {
            self.commands.acks.replace(place, number, &Ack { progress, text, at: clock::now().0, ..ack });
            self.ring();
        }
    }

    fn say_not_recorded(&self, errno: Errno) {
        self.say(format_args!("cannot record a command, so it is not done: {}", errno.desc()));
    }

    /// A start wants what it depends on, too.
    fn start_dependencies(&mut self) {
        for needs in self.definition.needs() {
            let (slot, record) = self.ledger.entry(usize::from(needs.index));
            if slot.tag != Slot::tag(needs.name) {
                continue;
            }
            // Of one that is only beginning nothing is recorded yet; it reads the line when it has begun.
            let service = record.map(|record| record.service);
            if service.is_some_and(|service| !matches!(service.phase, Phase::Stopped | Phase::Failed(_))) {
                continue;
            }
            match self.order_start(needs.name) {
                Ok(()) => self.watch.tell(needs.index, service.map_or(Time(0), |service| service.since)),
                Err(errno) => {
                    self.say(format_args!("cannot start its dependency {}: {}", needs.name, errno.desc()));
                }
            }
        }
    }

    fn order_start(&self, name: ServiceName) -> Result<(), Errno> {
        let services = self.watch.directory().ok_or(Errno::ENOENT)?;
        let path: Text<80> = text::format(format_args!("{name}/{}", paths::CONTROL));
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fifo = openat(services, path.as_str(), flags, Mode::empty())?;
        let line: Text<64> = text::format(format_args!("{}", Request { token: None, verb: Verb::Start, argument: "" }));
        nix::unistd::write(&fifo, line.as_bytes()).map(drop)
    }

    /// Answers every command whose outcome stands.
    pub(super) fn settle(&mut self) {
        if self.commands.open.is_empty() {
            return;
        }
        let before = self.commands.open.len();
        let mut open = core::mem::take(&mut self.commands.open);
        open.retain(|command| match service::outcome(command.goal, command.run, &self.service) {
            None => true,
            Some(outcome) => {
                let (progress, text) = self.word(command, outcome);
                self.commands.answer(self.place.as_ref(), command, progress, text);
                false
            }
        });
        let answered = open.len() < before;
        self.commands.open = open;
        if answered {
            self.ring();
        }
    }

    fn word(&self, command: &Open, outcome: Outcome) -> (Progress, Text<112>) {
        let failed = |text| (Progress::Failed(exit::NOT_TRUE), text);
        match outcome {
            Outcome::True => {
                let merged = if command.merged { " merged" } else { "" };
                let text = match self.service.process {
                    Some(main) => text::format(format_args!("pid={}{merged}", main.pid)),
                    None => Text::new(),
                };
                (Progress::Done, text)
            }
            Outcome::Ended => failed(text::format(format_args!("{} {}", self.service.state().word(), self.reason()))),
            Outcome::Overtaken => failed(Text::from("overtaken by a later command")),
            Outcome::Leaving => failed(Text::from(self.farewell())),
            Outcome::NotReloaded => {
                failed(text::format(format_args!("its reload command failed: {}", self.jobs.words())))
            }
            Outcome::NotRunning => failed(Text::from("it does not run")),
            Outcome::Stuck => failed(Text::from("a process of it can't be killed")),
        }
    }
}

/// Why a service is where it is, as the status file has it.
pub fn reason(service: &Service, definition: &Definition<'_>) -> Text<128> {
    let ended: Text<112> = match service.ending {
        Some(Ending::Exited(exit::Exit::Code(code))) => text::format(format_args!("exit:{code}")),
        Some(Ending::Exited(exit::Exit::Signal(number))) => {
            text::format(format_args!("signal:{}", signal::Name(number)))
        }
        Some(Ending::NotStarted(failure)) => text::format(format_args!(
            "spawn:cannot {}: {}",
            failure.stage.text(),
            Errno::from_raw(failure.errno).desc()
        )),
        None => Text::new(),
    };
    let fault: Text<16> = match service.fault {
        Some(fault) => text::format(format_args!("{}:", fault.word())),
        None => Text::new(),
    };
    match service.phase {
        Phase::Failed(Reason::Ended) | Phase::RestartPending { .. } => text::format(format_args!("{fault}{ended}")),
        Phase::Failed(Reason::GaveUp) => text::format(format_args!("gave-up:{fault}{ended}")),
        Phase::Failed(Reason::Stray) => Text::from("stray"),
        Phase::Failed(Reason::Dependency(index)) => match definition.needs().find(|needs| needs.index == index) {
            Some(needs) => text::format(format_args!("dependency:{}", needs.name)),
            None => Text::from("dependency"),
        },
        Phase::Stopping { stage: Stage::Drain, .. } => Text::from("drain"),
        Phase::Stopping { stage: Stage::Main, .. } => match service.fault {
            Some(_) => text::format(format_args!("{fault}asked")),
            None => {
                let by_shutdown = service.shutdown.and_then(|shutdown| shutdown.signal);
                let signal = by_shutdown.unwrap_or(definition.policy.stop_signal);
                text::format(format_args!("asked:{}", signal::Name(signal)))
            }
        },
        Phase::Stopping { stage: Stage::Rest, .. } => text::format(format_args!("{fault}rest")),
        Phase::Stopping { stage: Stage::Kill, .. } => text::format(format_args!("{fault}killed")),
        Phase::Stopping { stage: Stage::Post, .. } => Text::from("post-stop"),
        Phase::Preparing => Text::from("pre-start"),
        Phase::Waiting
        | Phase::Spawning
        | Phase::Starting { .. }
        | Phase::Running
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed => Text::new(),
    }
}

/// The status file's content, but for what the service and its probes say.
pub fn status(service: &Service, definition: &Definition<'_>, seq: u64) -> Status {
    let (next, deadline) = match service.phase {
        Phase::RestartPending { at } | Phase::Scheduled { at } => (some_time(at), None),
        Phase::Planned { slot } => (Some(clock::now().plus(Span(slot.saturating_sub(clock::wall()))).0), None),
        Phase::Stopping { deadline, .. } | Phase::Starting { deadline } => (None, some_time(deadline)),
        Phase::Waiting
        | Phase::Preparing
        | Phase::Spawning
        | Phase::Running
        | Phase::Planning
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => (None, None),
    };
    let ago = clock::now().since(service.since);
    Status {
        seq,
        name: definition.name,
        state: service.state(),
        reason: reason(service, definition),
        since: service.since.0,
        since_wall: clock::wall().saturating_sub(ago.0),
        pid: service.process.map(|main| main.pid),
        start: service.process.map(|main| main.start),
        supervisor: std::process::id(),
        want: service.want,
        restarts: service.restarts,
        exit: match service.ending {
            Some(Ending::Exited(exit)) => Some(exit),
            Some(Ending::NotStarted(_)) | None => None,
        },
        next,
        deadline,
        run: service.run,
        ready: service.is_ready(),
        health: service.health,
        text: Text::new(),
    }
}
