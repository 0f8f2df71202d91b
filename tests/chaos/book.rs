//! What each service has gone through, and whether all of that has a cause.
//!
//! Owns: runs, commands and what was done to them, and the rules for ends and starts. Must never: look at anything;
//! it is told.

use crate::draw::{Restart, Spec};
use crate::journal::{Job, Line, Word};
use zei::exit::Exit;
use zei::signal;

/// What was sent by somebody who need not wait may come so much later.
const LATER: u64 = 3000;
/// A run says that it began only once it is a program; so long after the answer to whom has asked for it at most.
const SLOW: u64 = 2000;
/// A time told by one process may be so much before one told by another.
const ROUNDED: u64 = 2;

/// So many processes that have left their runs are looked for.
const KEPT: usize = 100;

/// What somebody wants of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Up,
    /// The same, and no run after that.
    Once,
    /// A new process.
    Fresh,
    /// One in the place of the present one, where there is one.
    Replaced,
    Down,
    Signal(u8),
}

/// Something that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// By which command: several are told apart by it.
    pub id: u64,
    pub what: What,
    pub from: u64,
    /// When that was over.
    pub until: Option<u64>,
    /// It surely was read and acted on, in the order in which it came.
    pub surely: bool,
}

impl Cause {
    fn may_act(&self, from: u64, to: u64, slack: u64) -> bool {
        self.from <= to && self.until.is_none_or(|until| until + slack >= from)
    }
}

/// A run of a service.
#[derive(Clone, Debug)]
pub struct Run {
    pub number: u64,
    pub pid: u32,
    pub start: u64,
    pub got: Vec<(u8, u64)>,
    /// Of its own will.
    pub end: Option<(Exit, u64)>,
    /// What the harness has sent to it.
    pub sent: Vec<u8>,
    /// Nobody needs to explain its end any more.
    pub closed: bool,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Life {
    pub spec: Spec,
    pub runs: Vec<Run>,
    pub causes: Vec<Cause>,
    /// Processes that have left a run.
    pub children: Vec<u32>,
    /// When the last stop was answered that nobody else had a word in.
    pub stopped: Option<u64>,
    /// Its hooks have come to their ends since it began last: `post_stop`, `pre_start`.
    hooks: [bool; 2],
    /// The job that began last, and whether that is over.
    pub job: Option<(Job, u32, bool)>,
    /// Something may be missing, for lack of room.
    pub excused: bool,
    /// Somebody may have asked for one run, and nobody for more since.
    pub once: bool,
    /// Signals that were answered as sent: number, pid, and how often that run had got it before.
    pub passed: Vec<(u8, u32)>,
}

impl Life {
    pub fn new(spec: Spec) -> Life {
        let first = Cause { id: 0, what: What::Up, from: 0, until: Some(0), surely: true };
        let (runs, children, passed) = (Vec::new(), Vec::new(), Vec::new());
        let causes = vec![first];
        let (hooks, job, stopped) = ([true, false], None, None);
        Life { spec, runs, causes, children, stopped, hooks, job, excused: false, once: false, passed }
    }

    pub fn last(&self) -> Option<&Run> {
        self.runs.last()
    }

    /// The run with this main process.
    pub fn run_of(&mut self, pid: u32) -> Option<&mut Run> {
        self.runs.iter_mut().rev().find(|run| run.pid == pid)
    }

    /// Whether it may be wanted, and whether it may be not.
    pub fn wants(&self) -> (bool, bool) {
        let want = |cause: &Cause| match cause.what {
            What::Up | What::Once | What::Fresh => Some(true),
            What::Down => Some(false),
            What::Replaced | What::Signal(_) => None,
        };
        let wants: Vec<(&Cause, bool)> = self.causes.iter().filter_map(|cause| Some((cause, want(cause)?))).collect();
        let holds = |(cause, _): &&(&Cause, bool)| {
            let follows = |(later, _): &(&Cause, bool)| {
                later.surely && later.id != cause.id && cause.until.is_some_and(|until| later.from > until)
            };
            !wants.iter().any(follows)
        };
        let left: Vec<bool> = wants.iter().filter(holds).map(|(_, want)| *want).collect();
        (left.contains(&true), left.contains(&false))
    }

    /// A line of its journal.
    pub fn take(&mut self, line: &Line) -> Result<(), String> {
        let name = self.spec.name.clone();
        match line.word {
            Word::Start { number, pid } => self.began(number, pid, line.at),
            Word::Double { pid } => Err(format!("{name}: double: process {pid} began beside another")),
            Word::Got { number, signal } => self.got(number, signal, line.at),
            Word::End { number, exit } => {
                let run = self.runs.iter_mut().rev().find(|run| run.number == number);
                let run = run.ok_or_else(|| format!("{name}: run {number} ended and never began"))?;
                run.end = Some((exit, line.at));
                Ok(())
            }
            Word::Child { pid } => {
                self.children.push(pid);
                Ok(())
            }
            Word::Beside { job, pid } => {
                let other = self.job.map(|(job, pid, _)| (job, pid));
                Err(format!("{name}: job {job:?} (pid {pid}) began beside another, the last known is {other:?}"))
            }
            Word::Job { job, pid, ended } => {
                self.job = Some((job, pid, ended));
                match job {
                    Job::Post => self.hooks[0] |= ended,
                    Job::Pre => self.hooks[1] |= ended,
                    Job::Check => {}
                }
                Ok(())
            }
        }
    }

    fn began(&mut self, number: u64, pid: u32, at: u64) -> Result<(), String> {
        let name = self.spec.name.clone();
        let before = self.last().map_or(0, |run| run.number);
        if number != before + 1 {
            return Err(format!("{name}: run {number} follows run {before}"));
        }
        self.explain_end(at)?;
        self.explain_start(number, at)?;
        self.has_seen_out()?;
        let hooks = std::mem::take(&mut self.hooks);
        if self.spec.has_hook(Job::Pre) && !hooks[1] && !self.excused {
            return Err(format!("{name}: run {number} began, and its pre_start had not come to its end"));
        }
        let run = Run { number, pid, start: at, got: Vec::new(), end: None, sent: Vec::new(), closed: false };
        self.runs.push(run);
        Ok(())
    }

    /// What comes after a run comes only when its `post_stop` has come to its end, whoever was killed meanwhile.
    pub fn has_seen_out(&self) -> Result<(), String> {
        if !self.spec.has_hook(Job::Post) || self.hooks[0] || self.excused {
            return Ok(());
        }
        let (name, number) = (&self.spec.name, self.last().map_or(0, |run| run.number));
        Err(format!("{name}: run {number} is over, and its post_stop has not come to its end: last job {:?}", self.job))
    }

    /// There is room again: what was missing until now stays so, and from here on nothing may be.
    pub fn forgive(&mut self) {
        if std::mem::take(&mut self.excused) && self.last().is_none_or(|run| run.closed) {
            self.hooks[0] = true;
        }
    }

    fn got(&mut self, number: u64, signal: u8, at: u64) -> Result<(), String> {
        let name = self.spec.name.clone();
        let causes = self.causes.clone();
        let run = self.runs.iter_mut().rev().find(|run| run.number == number);
        let run = run.ok_or_else(|| format!("{name}: run {number} got a signal and never began"))?;
        run.got.push((signal, at));
        let asks = |cause: &&Cause| match cause.what {
            What::Down | What::Fresh | What::Replaced => signal == signal::TERM && cause.may_act(run.start, at, 0),
            What::Signal(number) => number == signal && cause.may_act(run.start, at, LATER),
            What::Up | What::Once => false,
        };
        if causes.iter().any(|cause| asks(&cause)) || run.sent.contains(&signal) {
            return Ok(());
        }
        Err(format!("{name}: run {number} got {} and nobody has asked for that", signal::Name(signal)))
    }

    /// The last run is over: somebody or something must have ended it.
    pub fn explain_end(&mut self, at: u64) -> Result<(), String> {
        let Some(run) = self.runs.last_mut().filter(|run| !run.closed) else { return Ok(()) };
        run.closed = true;
        let got_term = run.got.iter().any(|(number, _)| *number == signal::TERM);
        let by_itself = run.end.is_some() && (self.spec.life.is_some() || got_term);
        let ends = |cause: &Cause| match cause.what {
            What::Down | What::Fresh | What::Replaced => cause.may_act(run.start, at, 0),
            What::Signal(_) => cause.may_act(run.start, at, LATER),
            What::Up | What::Once => false,
        };
        if by_itself || run.sent.iter().any(|number| *number != signal::CONT) || self.causes.iter().any(ends) {
            return Ok(());
        }
        Err(format!("{}: run {} (pid {}) ended and nobody has asked for that", self.spec.name, run.number, run.pid))
    }

    fn explain_start(&self, number: u64, at: u64) -> Result<(), String> {
        let since = self.last().map_or(0, |run| run.start);
        let asks = |cause: &Cause| match cause.what {
            What::Up | What::Once | What::Fresh | What::Replaced => cause.may_act(since, at, SLOW),
            What::Down | What::Signal(_) => false,
        };
        if number == 1 || self.causes.iter().any(asks) {
            return Ok(());
        }
        let name = &self.spec.name;
        if self.stopped.is_some_and(|stopped| at > stopped) {
            return Err(format!("{name}: run {number} began after a stop was done, and nobody has asked for it"));
        }
        let end = self.last().and_then(|run| run.end.filter(|_| run.sent.is_empty()));
        let failed = end.is_none_or(|(exit, _)| !exit.is_success());
        let by_policy = match self.spec.restart {
            _ if self.spec.interval.is_some() => true,
            Restart::Always => true,
            Restart::OnFailure => failed,
            Restart::Never => false,
        };
        if !by_policy {
            return Err(format!("{name}: run {number} began, against its policy, and nobody has asked for it"));
        }
        let pause = self.spec.interval.unwrap_or(self.spec.delay);
        if let Some((_, ended)) = end.filter(|(_, ended)| at + ROUNDED < ended + pause) {
            return Err(format!("{name}: run {number} began {} ms after an end, not {pause}", at - ended));
        }
        Ok(())
    }

    /// All is quiet: nothing that was asked for is under way any more.
    pub fn settle(&mut self, now: u64) {
        for cause in &mut self.causes {
            cause.until.get_or_insert(now);
        }
        let (up, down) = self.wants();
        if up != down {
            // What led here does not matter any more.
            let what = if up { What::Up } else { What::Down };
            let old = |cause: &Cause| cause.until.is_some_and(|until| until + LATER + SLOW < now);
            let mut kept: Vec<Cause> = self.causes.iter().filter(|cause| !old(cause)).copied().collect();
            kept.insert(0, Cause { id: 0, what, from: 0, until: Some(0), surely: true });
            if self.causes.len() > 12 {
                self.causes = kept;
            }
        }
        let surplus = self.children.len().saturating_sub(KEPT);
        self.children.drain(..surplus);
    }

    /// Whether it goes on by itself once it is up.
    pub fn is_lasting(&self) -> bool {
        self.spec.life.is_none()
    }
}
