//! Jobs beside the main process: probes, hooks, reloads, and what works out the next run of a schedule.
//!
//! Owns: making them, what they say, and that nothing of them is left. Must never: decide when (that is
//! `model::service`), or make one that could be taken for the service itself.

use super::Supervisor;
use super::launch::at;
use super::outputs;
use crate::exit::Exit;
use crate::model::service::{Beside, Ending, Event, Failure, Kind, Process, SpawnStage, plan_after};
use crate::model::spec::Program;
use crate::name::ServiceName;
use crate::signal;
use crate::sys::pipe::Tail;
use crate::sys::raw::Strings;
use crate::sys::spawn::{self, Spawn, Stream};
use crate::sys::{clock, owned};
use crate::text::{self, Text};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The program of probes, beside this one.
const PROBE: &str = "zei-probe";
/// The program that reads schedules, beside this one.
const CRON: &str = "zei-cron";

/// What this process knows of the job beside the main process, and of the last one that failed.
#[derive(Debug, Default)]
pub struct Jobs {
    /// What a probe writes; `None` for a hook, which writes where its service does.
    tail: Option<Box<Tail>>,
    /// The other end of it is still open.
    writes: bool,
    /// Some were killed, and may have left others.
    sweeping: bool,
    /// Why the last probe failed, in its own words.
    words: Option<Box<Text<112>>>,
}

impl Jobs {
    /// What to poll for POLLIN.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.tail.as_ref().filter(|_| self.writes).map(|tail| tail.as_fd())
    }

    /// Takes what the job has written.
    pub fn listen(&mut self) {
        if let Some(tail) = &mut self.tail {
            self.writes = tail.take();
        }
    }

    /// Why the last probe of a predecessor failed.
    pub fn recall(&mut self, words: &str) {
        self.words = Some(Box::new(Text::from(words)));
    }

    /// Why the last probe failed; empty where none has since one has succeeded.
    pub fn words(&self) -> &str {
        self.words.as_deref().map_or("", |words| words.as_str())
    }

    /// A run begins.
    pub fn forget(&mut self) {
        self.words = None;
    }
}

/// A job's word in messages: the key that it stands under.
const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::PreStart => "pre_start",
        Kind::PostStop => "post_stop",
        Kind::Ready => "ready",
        Kind::Health => "healthcheck",
        Kind::Reload => "reload",
        Kind::Plan => "schedule",
    }
}

impl Supervisor<'_> {
    /// Makes a job; the event says how that went.
    #[inline(never)]
    pub(super) fn begin_job(&mut self, kind: Kind) -> Event {
        match self.make_job(kind) {
            // Only this process ever looks for it by its pid, and reaps it.
            Ok(pid) => Event::JobBegan(Process { pid, start: 0 }),
            Err(failure) => {
                self.jobs.tail = None;
                let why = Errno::from_raw(failure.errno).desc();
                let words = text::format(format_args!("cannot {}: {why}", failure.stage.text()));
                if !kind.is_probe() || self.jobs.words() != words.as_str() {
                    self.say(format_args!("{}: {words}", word(kind)));
                }
                self.jobs.words = Some(Box::new(words));
                Event::JobNotBegan(failure)
            }
        }
    }

    fn make_job(&mut self, kind: Kind) -> Result<u32, Failure> {
        let extra = self.variables(kind);
        let after;
        let (path, arguments): (Option<CString>, Vec<&CStr>) = match (kind, self.definition.job(kind)) {
            (Kind::Plan, _) => {
                self.waiting.begin();
                let from = plan_after(&self.service, &self.definition.policy, clock::wall());
                let text: Text<24> = text::format(format_args!("{from}"));
                after = CString::new(text.as_bytes()).unwrap_or_default();
                let expression = self.definition.schedule().unwrap_or_default();
                let path = spawn::beside(CRON).map_err(at(SpawnStage::Execute))?;
                (Some(path), vec![c"next", c"--after", &after, c"--", expression])
            }
            (_, Some((Program::Own, arguments))) => (None, arguments.collect()),
            (_, Some((Program::Probe, arguments))) => {
                let path = spawn::beside(PROBE).map_err(at(SpawnStage::Execute))?;
                (Some(path), arguments.skip(1).collect())
            }
            (_, None) => return Err(at(SpawnStage::Execute)(Errno::ENOENT)),
        };
        let out = self.output_of(kind).map_err(at(SpawnStage::Stdout))?;
        let pumped = if out.is_none() { self.outputs.writers() } else { Ok([None, None]) };
        let pumped = pumped.map_err(at(SpawnStage::Stdout))?;
        let null = self.null_for_job().map_err(at(SpawnStage::Stdin))?;
        let rights = self.rights()?;
        let arguments = Strings::collect(path.as_deref().into_iter().chain(arguments.iter().copied()));
        let stdin = null.as_ref().map_or(Stream::Same, |null| Stream::Of(null.as_fd()));
        let base = self.base(arguments, self.environment(&extra), &rights);
        let [_, stdout, stderr] = base.streams;
        let streams = match &out {
            Some(out) => [stdin, Stream::Of(out.as_fd()), Stream::LikeStdout],
            None => {
                let [stdout, stderr] = outputs::of(&pumped, [stdout, stderr]);
                [stdin, stdout, stderr]
            }
        };
        // A schedule can be read anywhere.
        let directory = base.directory.filter(|_| kind != Kind::Plan);
        spawn::spawn(&Spawn { streams, directory, mark: Some(self.orphans.marks.job(self.index)), ..base })
    }

    /// The end of the pipe that a probe writes to; a hook writes where its service does.
    fn output_of(&mut self, kind: Kind) -> Result<Option<OwnedFd>, Errno> {
        if !kind.is_probe() {
            self.jobs.tail = None;
            return Ok(None);
        }
        let (tail, writer) = Tail::new()?;
        (self.jobs.tail, self.jobs.writes) = (Some(Box::new(tail)), true);
        Ok(Some(writer))
    }

    /// `None`: this process's own standard input is /dev/null.
    fn null_for_job(&self) -> Result<Option<OwnedFd>, Errno> {
        if self.definition.name != ServiceName::CMD {
            return Ok(None);
        }
        open(c"/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map(Some)
    }

    /// What a job finds in its environment beside the service's own.
    fn variables(&self, kind: Kind) -> Vec<CString> {
        let variable = |text: Text<112>| CString::new(text.as_bytes()).ok();
        let service = variable(text::format(format_args!("ZEI_SERVICE={}", self.definition.name)));
        let main = self.service.process.and_then(|main| variable(text::format(format_args!("MAINPID={}", main.pid))));
        let (code, number) = match (kind, self.service.ending) {
            (Kind::PostStop, Some(Ending::Exited(Exit::Signal(number)))) => {
                (None, variable(text::format(format_args!("ZEI_EXIT_SIGNAL={}", signal::Name(number)))))
            }
            (Kind::PostStop, Some(ending)) => {
                (variable(text::format(format_args!("ZEI_EXIT_CODE={}", ending.code()))), None)
            }
            _ => (None, None),
        };
        [service, main, code, number, self.voice.variable().filter(|_| !kind.is_probe())]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The job has ended and was reaped. What it has left behind goes with it.
    pub(super) fn end_job(&mut self, kind: Kind, exit: Exit, killed: bool) {
        self.kill_jobs();
        self.jobs.listen();
        let said: Text<96> = self.jobs.tail.take().map(|tail| tail.text()).unwrap_or_default();
        let well = exit.is_success() && !killed;
        if well
            && kind == Kind::Plan
            && let Ok(slot) = said.parse()
        {
            return self.feed(Event::Slot(slot));
        }
        // A time-out is all that kills a job while its service goes on.
        let words: Text<112> = match (killed, said.as_str()) {
            (true, "") => Text::from("timed out"),
            (true, said) => text::format(format_args!("timed out; {said}")),
            (false, "") => text::format(format_args!("{exit}")),
            (false, said) => Text::from(said),
        };
        let known = kind == Kind::Plan && self.jobs.words() == words.as_str();
        if !well && !known && !self.is_ending() && matches!(kind, Kind::PostStop | Kind::Reload | Kind::Plan) {
            self.say(format_args!("{} failed: {words}", word(kind)));
        }
        self.jobs.words = (!well).then(|| Box::new(words));
        // What did not print a slot has failed, whatever it says.
        self.feed(Event::JobEnded(if kind == Kind::Plan { Exit::Code(exit.code().max(1)) } else { exit }));
    }

    /// A job that is killed now is killed because the service is to end.
    const fn is_ending(&self) -> bool {
        use crate::model::service::{Phase, Stage};
        matches!(
            self.service.phase,
            Phase::Stopping { stage: Stage::Drain | Stage::Main | Stage::Rest | Stage::Kill, .. }
        )
    }

    /// Kills the job beside the main process with all that it has made.
    pub(super) fn kill_jobs(&mut self) {
        let main = self.service.process.map(|main| main.pid);
        self.jobs.sweeping = owned::kill_jobs(self.orphans.marks, self.index, main) > 0;
    }

    /// Once more, as what was killed may have left others.
    pub(super) fn sweep_jobs(&mut self) {
        if self.jobs.sweeping {
            self.kill_jobs();
        }
    }

    /// A probe that was found to be of no use any more.
    pub(super) fn kill_probe(&mut self) {
        if let Beside::Job { kind, killed: true, .. } = self.service.beside
            && kind.is_probe()
        {
            self.kill_jobs();
        }
    }
}
