//! The tree is changed while it runs: what was asked for, one after the other, and what of it becomes a system call.
//!
//! Owns: the commands that change the tree, from their acceptance to their answer, and the swap of one plan for the
//! next. Must never: read a configuration (that is `compile`, in a child), or decide who goes first (`model::init`).

mod report;
mod seats;
mod upgrade;

use super::compile::{ADD, APPLY, COMPILE};
pub use upgrade::resume;

use super::PROGRAM;
use super::rundir::RunDir;
use super::terminal;
use super::tree::Running;
use crate::exit::{self, Exit};
use crate::model::change::{self, Change, Fate, Side};
use crate::model::definition::Definitions;
use crate::model::definition::plan::{self, Outline};
use crate::model::init::{Event, Terms, Verdict};
use crate::model::service::{Phase, Reason};
use crate::model::spec::When;
use crate::model::time::{Span, Time};
use crate::name::{NameError, ServiceName};
use crate::protocol::control::{Ack, Progress, Request, Token, Verb};
use crate::signal;
use crate::sys::elevation;
use crate::sys::raw::{self, Strings};
use crate::sys::spawn::{self, Spawn, Stream};
use crate::sys::{clock, memfd, process};
use crate::text::{self, Text};
use core::ffi::CStr;
use nix::errno::Errno;
use report::counts;
use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

/// Reading a configuration may take so long, and so may trying new programs.
const PATIENCE: Span = Span::seconds(10);
/// So many may wait for their turn.
const MOST: usize = 64;

/// The changes that were asked for: one is under way, the others wait.
#[derive(Debug, Default)]
pub struct Changes {
    waiting: VecDeque<Asked>,
    current: Option<Current>,
    reports: u32,
    /// Those who wait until every supervisor is of the new program.
    renewing: Vec<Answer>,
}

#[derive(Debug)]
struct Asked {
    answer: Option<Answer>,
    what: What,
}

/// Where somebody waits for an answer.
#[derive(Clone, Copy, Debug)]
struct Answer {
    token: Token,
    number: u64,
}

#[derive(Debug)]
enum What {
    Apply { dry_run: bool },
    Add(CString),
    Forget(ServiceName),
    Upgrade,
}

impl What {
    /// What the words of a command ask for; `None`: nothing that changes the tree.
    fn of(verb: Verb, argument: &str) -> Result<Option<What>, NameError> {
        Ok(Some(match verb {
            Verb::Apply { dry_run } => What::Apply { dry_run },
            Verb::Add => What::Add(CString::new(argument).unwrap_or_default()),
            Verb::Forget => What::Forget(ServiceName::parse(argument)?),
            Verb::Upgrade => What::Upgrade,
            Verb::Shutdown
            | Verb::Start
            | Verb::StartAlone
            | Verb::Once
            | Verb::Stop
            | Verb::Restart
            | Verb::RestartRun(_)
            | Verb::Reload
            | Verb::Signal(_) => return Ok(None),
        }))
    }

    /// The verb and its argument.
    fn words(&self) -> (Verb, &str) {
        match self {
            What::Apply { dry_run } => (Verb::Apply { dry_run: *dry_run }, ""),
            What::Add(what) => (Verb::Add, what.to_str().unwrap_or_default()),
            What::Forget(name) => (Verb::Forget, name.as_str()),
            What::Upgrade => (Verb::Upgrade, ""),
        }
    }
}

#[derive(Debug)]
enum Current {
    /// A child reads the configuration.
    Compiling { asked: Asked, pid: u32, output: OwnedFd, deadline: Time, ended: Option<Exit> },
    /// The tree is on its way to this plan.
    Changing { asked: Asked, plan: Vec<u8>, text: Text<112> },
}

/// Why a change does not come about: the exit code of the client, and all that is to be said.
struct Refused(u8, Vec<String>);

impl Refused {
    fn new(code: u8, text: impl Into<String>) -> Refused {
        Refused(code, vec![text.into()])
    }

    fn system(what: &str, errno: Errno) -> Refused {
        Refused::new(exit::SYSTEM, format!("cannot {what}: {}", errno.desc()))
    }
}

impl Changes {
    /// When a child has had its time.
    pub fn deadline(&self) -> Option<Time> {
        match &self.current {
            Some(Current::Compiling { deadline, ended: None, .. }) => Some(*deadline),
            _ => None,
        }
    }

    /// A process has ended; `true`: it is the child.
    pub fn has_ended(&mut self, process: u32, exit: Exit) -> bool {
        match &mut self.current {
            Some(Current::Compiling { pid, ended, .. }) if *pid == process => {
                *ended = Some(exit);
                true
            }
            _ => false,
        }
    }
}

impl Running {
    /// A command that changes the tree is recorded, and waits for its turn.
    pub(super) fn ask(&mut self, request: Request<'_>) {
        let Request { token, verb, argument } = request;
        let what = match What::of(verb, argument) {
            Ok(Some(what)) => what,
            Ok(None) => return,
            Err(error) => {
                return self.refuse(token, exit::NO_SUCH_SERVICE, text::format(format_args!("{error}")));
            }
        };
        if self.is_from_elsewhere(&what) {
            let text = match elevation::rest() {
                None => "where control_group is set, only what the configuration has can be added: put the file there",
                Some(_) => {
                    "zei-init is setuid root, so only what the configuration has can be added: put the file there"
                }
            };
            return self.refuse(token, exit::CONFIG, Text::from(text));
        }
        if self.changes.waiting.len() >= MOST {
            return self.refuse(token, exit::SYSTEM, Text::from("too many changes at once"));
        }
        let answer = match token.map(|token| self.accept(token, verb)) {
            Some(None) => return,
            other => other.flatten(),
        };
        self.changes.waiting.push_back(Asked { answer, what });
    }

    /// To define is root's, or zei-init's own user's, and nobody knows who of a group has asked.
    fn is_from_elsewhere(&self, what: &What) -> bool {
        let is_file = matches!(what, What::Add(name) if name.to_bytes().starts_with(b"/"));
        let is_shared = |run_dir: &RunDir| run_dir.group.is_some() || elevation::rest().is_some();
        is_file && self.run_dir.as_ref().is_some_and(is_shared)
    }

    /// A signal asks for it. Several such wishes are one.
    pub(super) fn reload(&mut self) {
        let is_one = |asked: &Asked| asked.answer.is_none() && matches!(asked.what, What::Apply { dry_run: false });
        if !self.changes.waiting.iter().any(is_one) {
            self.changes.waiting.push_back(Asked { answer: None, what: What::Apply { dry_run: false } });
        }
    }

    fn refuse(&mut self, token: Option<Token>, code: u8, text: Text<112>) {
        if token.is_none() {
            self.say(format_args!("{text}"));
        }
        self.answer(token, Progress::Failed(code), text);
    }

    /// Records a command before it is acted on; `None`: it is known, or can't be answered.
    fn accept(&mut self, token: Token, verb: Verb) -> Option<Answer> {
        let place = self.place.as_ref()?;
        if self.acks.knows(&token) {
            return None;
        }
        let current = self.changes.current.as_mut().map(|current| match current {
            Current::Compiling { asked, .. } | Current::Changing { asked, .. } => asked,
        });
        let mut open: Vec<&mut Answer> =
            current.into_iter().chain(&mut self.changes.waiting).filter_map(|asked| asked.answer.as_mut()).collect();
        open.extend(&mut self.changes.renewing);
        let first = open.iter().map(|answer| answer.number).min();
        let dropped = self.acks.shorten(place, clock::now().0, first);
        open.iter_mut().for_each(|answer| answer.number -= dropped);
        let progress = Progress::Accepted { verb, run: 0, merged: false };
        match self.acks.append(place, &Ack { token, progress, at: clock::now().0, text: Text::new() }) {
            Ok(number) => {
                place.ring();
                Some(Answer { token, number })
            }
            Err(errno) => {
                self.say(format_args!("cannot record a command, so it is not done: {}", errno.desc()));
                None
            }
        }
    }

    fn finish(&mut self, asked: &Asked, progress: Progress, text: Text<112>) {
        self.answer_to(asked.answer, progress, text);
    }

    fn answer_to(&mut self, answer: Option<Answer>, progress: Progress, text: Text<112>) {
        if let Some(Answer { token, number }) = answer {
            let ack = Ack { token, progress, at: clock::now().0, text };
            self.acks.replace(self.place.as_ref(), number, &ack);
            if let Some(place) = &self.place {
                place.ring();
            }
        }
    }

    /// Goes on with what was asked for, as far as that goes. The verdict, should the tree have ended by it.
    pub(super) fn go_on_changing(&mut self) -> Option<Verdict> {
        if self.tree.is_stopping() {
            self.drop_changes();
            return None;
        }
        self.see_renewed();
        loop {
            let end = match self.changes.current.take() {
                Some(Current::Compiling { asked, output, ended: Some(exit), .. }) => self.compiled(asked, output, exit),
                Some(Current::Compiling { asked, pid, deadline, .. }) if clock::now() >= deadline => {
                    // Once it has ended it is reaped like any orphan.
                    let _it_is_gone = process::signal_child(pid, signal::KILL);
                    let text = match asked.what {
                        What::Upgrade => format!("trying the new programs took more than {PATIENCE}"),
                        What::Apply { .. } | What::Add(_) | What::Forget(_) => {
                            format!("reading the configuration took more than {PATIENCE}; what it reads may hang")
                        }
                    };
                    self.fail(&asked, &Refused::new(exit::SYSTEM, text));
                    None
                }
                Some(current) => {
                    self.changes.current = Some(current);
                    return None;
                }
                None => {
                    let asked = self.changes.waiting.pop_front()?;
                    self.begin_change(asked)
                }
            };
            if end.is_some() {
                return end;
            }
        }
    }

    /// Everything is about to go: nothing is changed any more.
    fn drop_changes(&mut self) {
        let current = self.changes.current.take().map(|current| match current {
            Current::Compiling { asked, .. } | Current::Changing { asked, .. } => asked,
        });
        let asked = current.into_iter().chain(self.changes.waiting.drain(..)).map(|asked| asked.answer);
        let all: Vec<Option<Answer>> = asked.chain(self.changes.renewing.drain(..).map(Some)).collect();
        for answer in all {
            self.answer_to(answer, Progress::Failed(exit::NOT_TRUE), Text::from("the container shuts down"));
        }
    }

    fn begin_change(&mut self, asked: Asked) -> Option<Verdict> {
        let begun = match &asked.what {
            What::Forget(name) => {
                return match self.without(*name) {
                    Ok(plan) => self.change(asked, plan),
                    Err(refused) => {
                        self.fail(&asked, &refused);
                        None
                    }
                };
            }
            What::Apply { .. } => self.compile(APPLY, c""),
            What::Add(what) => self.compile(ADD, what),
            What::Upgrade => self.try_programs(),
        };
        match begun {
            Ok((pid, output)) => {
                let deadline = clock::now().plus(PATIENCE);
                self.changes.current = Some(Current::Compiling { asked, pid, output, deadline, ended: None });
            }
            Err(refused) => self.fail(&asked, &refused),
        }
        None
    }

    /// Starts the child that reads the configuration.
    fn compile(&self, verb: &str, argument: &CStr) -> Result<(u32, OwnedFd), Refused> {
        let output = memfd::empty("zei-plan").map_err(|errno| Refused::system("make room for a plan", errno))?;
        let verb = CString::new(verb).unwrap_or_default();
        let word = CString::new(COMPILE).unwrap_or_default();
        let arguments = [c"/proc/self/exe", &word, &verb, argument];
        let spawned = spawn::spawn(&Spawn {
            streams: [Stream::Of(self.shared.plan()), Stream::Of(output.as_fd()), Stream::Same],
            defaults: self.defaults,
            death_signal: Some(signal::KILL),
            ..Spawn::new(Strings::collect(arguments.into_iter()), Strings::collect(raw::environment()))
        });
        let pid = spawned.map_err(|failure| {
            let what = format!("read the configuration: {}", failure.stage.text());
            Refused::system(&what, Errno::from_raw(failure.errno))
        })?;
        Ok((pid, output))
    }

    /// The child has ended: with a plan, or with what is wrong.
    fn compiled(&mut self, asked: Asked, output: OwnedFd, exit: Exit) -> Option<Verdict> {
        let read = memfd::read_all(&output).map_err(|errno| Refused::system("read the new plan", errno));
        let refused = match (exit, read) {
            (Exit::Code(exit::OK), Ok(text)) if matches!(asked.what, What::Upgrade) => self.upgrade(&asked, &text),
            (Exit::Code(exit::OK), Ok(plan)) => return self.change(asked, plan),
            (_, Err(refused)) => refused,
            (Exit::Code(code @ (exit::CONFIG | exit::NO_SUCH_SERVICE | exit::SYSTEM)), Ok(text))
                if !text.is_empty() =>
            {
                Refused(code, String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
            }
            (exit, Ok(_)) if matches!(asked.what, What::Upgrade) => {
                Refused::new(exit::SYSTEM, format!("the new {PROGRAM} does not run: it ended by {exit}"))
            }
            (exit, Ok(_)) => Refused::new(exit::SYSTEM, format!("what reads the configuration ended by {exit}")),
        };
        self.fail(&asked, &refused);
        None
    }

    /// The plan without a service, if that may go.
    fn without(&self, name: ServiceName) -> Result<Vec<u8>, Refused> {
        let held = self.held()?;
        let old = Definitions(&held);
        let outline = old.outline().ok_or_else(damaged)?;
        let members =
            || outline.services.iter().enumerate().filter_map(|(index, member)| Some((index, member.as_ref()?)));
        let Some((index, _)) = members().find(|(_, member)| member.name == name) else {
            return Err(Refused::new(exit::NO_SUCH_SERVICE, format!("there is no service {name:?}")));
        };
        let no = |text: String| Err(Refused::new(exit::NOT_TRUE, text));
        if outline.command == Some(index) {
            return no("the command can't be forgotten; its end ends the container".into());
        }
        let needs = members()
            .filter(|(other, member)| outline.command != Some(*other) && member.node.dependencies.contains(&index));
        let needs: Vec<String> = needs.map(|(_, member)| member.name.to_string()).collect();
        if !needs.is_empty() {
            let them = needs.join(", ");
            return no(format!("{them} depend{} on it; forget that first", if needs.len() == 1 { "s" } else { "" }));
        }
        if outline.exit.when == When::Service(index) {
            return no("the container ends when it does (exit); change that first".into());
        }
        if members().count() == 1 {
            return no("it is the only service; zei-ctl shutdown ends the container".into());
        }
        let record = self.shared.ledger.read(index);
        match record.map(|record| record.service) {
            None => {}
            Some(service) => match service.phase {
                Phase::Stopped | Phase::Completed => {}
                Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_)) => {}
                Phase::Failed(Reason::Stray) => return no("a process of it can't be killed".into()),
                Phase::Waiting
                | Phase::Preparing
                | Phase::Spawning
                | Phase::Starting { .. }
                | Phase::Running
                | Phase::Stopping { .. }
                | Phase::RestartPending { .. }
                | Phase::Scheduled { .. }
                | Phase::Planning
                | Phase::Planned { .. } => {
                    return no(format!("it is {}; stop it first: zei-ctl stop {name}", service.state().word()));
                }
            },
        }
        Ok(plan::forget(old, index))
    }

    fn held(&self) -> Result<Vec<u8>, Refused> {
        memfd::read_all(self.shared.plan()).map_err(|errno| Refused::system("read the plan that holds", errno))
    }

    /// From the plan that holds to this one.
    fn change(&mut self, asked: Asked, plan: Vec<u8>) -> Option<Verdict> {
        match self.prepare(&asked, &plan) {
            Ok(None) => None,
            Ok(Some((outline, change))) => self.swap(asked, plan, outline, &change),
            Err(refused) => {
                self.fail(&asked, &refused);
                None
            }
        }
    }

    /// What differs; `None`: only that was to be told, and was.
    fn prepare(&mut self, asked: &Asked, plan: &[u8]) -> Result<Option<(Outline, Change)>, Refused> {
        let held = self.held()?;
        let (old, new) = (Definitions(&held), Definitions(plan));
        let (from, to) = (old.outline().ok_or_else(damaged)?, new.outline().ok_or_else(damaged)?);
        let sides = (Side { definitions: old, outline: &from }, Side { definitions: new, outline: &to });
        let ledger = &self.shared.ledger;
        let change = change::between(sides.0, sides.1, |index| ledger.read(index).map(|record| record.service));
        if let What::Apply { dry_run: true } = asked.what {
            let text = self.report(asked, &change.lines, &counts(&change.lines));
            self.finish(asked, Progress::Done, text);
            return Ok(None);
        }
        Ok(Some((to, change)))
    }

    /// From here on the tree is the new one.
    fn swap(&mut self, asked: Asked, plan: Vec<u8>, outline: Outline, change: &Change) -> Option<Verdict> {
        // What was not worth telling the tree matters now: whether it is wanted.
        for (index, fate) in change.fates.iter().enumerate() {
            if matches!(fate, Fate::Renew { .. })
                && let Some(record) = self.shared.ledger.read(index)
                && let Some(verdict) = self.feed(Event::Changed(index, record.service))
            {
                return Some(verdict);
            }
        }
        if self.tree.is_stopping() {
            self.finish(&asked, Progress::Failed(exit::NOT_TRUE), Text::from("the container shuts down"));
            return None;
        }
        if let Err(refused) = self.make_room(&plan, &outline, &change.fates) {
            self.fail(&asked, &refused);
            return None;
        }
        self.command = outline.command;
        terminal::open_to_services(&outline);
        let text = self.report(&asked, &change.lines, &counts(&change.lines));
        self.say_lines(&change.lines);
        self.changes.current = Some(Current::Changing { asked, plan, text });
        self.tell_sources();
        let nodes = outline.services.into_iter().map(|member| member.map(|member| member.node)).collect();
        let Outline { command, signals, shutdown_timeout: budget, exit, .. } = outline;
        let terms = Terms { command, signals, budget, exit };
        let effects = self.tree.apply(nodes, &change.fates, terms, clock::now());
        self.carry_out(effects)
    }

    /// The tree is the one that was asked for.
    pub(super) fn applied(&mut self) {
        self.shared.settle();
        if let Some(Current::Changing { asked, text, .. }) = self.changes.current.take() {
            self.finish(&asked, Progress::Done, text);
        }
        self.publish(None);
    }
}

fn damaged() -> Refused {
    Refused::new(exit::SYSTEM, "what was read from the configuration is damaged")
}
