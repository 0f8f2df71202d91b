//! zei-log, as zei-init starts it, replaces it and lets it finish.
//!
//! Owns: the log pipes, which outlive every zei-log and every supervisor. Must never: read what is in them.

use super::PROGRAM;
use crate::model::definition::{Definition, Definitions, Target};
use crate::model::pump::{Format, Life, LogPipe, Pumped, Side, Table, WINDOW, layout};
use crate::model::spec::Log;
use crate::model::time::{Span, Time};
use crate::name::ServiceName;
use crate::signal::{self, Set};
use crate::sys::raw::{self, Strings};
use crate::sys::spawn::{self, Spawn, Stream};
use crate::sys::{elevation, logpipe, memfd, process, say};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::fstat;
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{AccessFlags, access, ftruncate};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// What was killed has so long to be gone.
const KILLED: Span = Span(100);

/// So many descriptors are left to zei-init when lines bear names.
const RESERVE: u64 = 32;

/// The program, beside zei-init.
pub const ZEI_LOG: &str = "zei-log";

/// A service whose output is to be pumped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: ServiceName,
    /// How its lines look.
    pub format: Format,
    /// The line that makes it ready.
    pub pattern: Option<String>,
    /// To which of the container's streams its standard output goes; `None`: to none of them.
    pub stdout: Option<Side>,
    /// The same for its standard error.
    pub stderr: Option<Side>,
}

impl Wanted {
    /// What a definition wants; `None`: its output is not to be pumped.
    pub fn of(definition: &Definition<'_>, is_labelled: bool) -> Option<Wanted> {
        let pattern = definition.pattern().and_then(|pattern| pattern.to_str().ok()).map(str::to_owned);
        let format = match definition.log() {
            Some(Log::Prefix) => Format::Prefix,
            Some(Log::Ring) => Format::Hidden,
            None if is_labelled => Format::Prefix,
            Some(Log::Inherit) | None => Format::Raw,
        };
        if format == Format::Raw && pattern.is_none() {
            return None;
        }
        let side = |target: Target<'_>, own: Side| match target {
            Target::Inherit => Some(own),
            Target::Stdout => Some(Side::Out),
            Target::Stderr => Some(Side::Err),
            // What is joined is in the other's pipe.
            Target::Null | Target::Join | Target::Path(_) => None,
        };
        let (stdout, stderr) = (side(definition.stdout, Side::Out), side(definition.stderr, Side::Err));
        // There is nothing to pump.
        if pattern.is_none() && stdout.is_none() && stderr.is_none() {
            return None;
        }
        Some(Wanted { name: definition.name, format, pattern, stdout, stderr })
    }
}

/// How many services of a plan want some.
pub fn count(plan: Definitions<'_>) -> usize {
    (0..plan.count()).filter_map(|index| Wanted::of(&plan.service(index)?, plan.is_labelled(index))).count()
}

/// A service's log pipes.
#[derive(Debug)]
struct Pipes {
    wanted: Wanted,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// Its standard error goes where its standard output goes, so they share the pipe, which keeps their order.
    is_shared: bool,
}

/// What every zei-log of a tree goes by.
#[derive(Debug)]
struct Kept {
    state: OwnedFd,
    intake: OwnedFd,
}

/// The log pump of a tree. As long as nothing is to be pumped there is nothing of it.
#[derive(Debug)]
pub struct LogPump {
    program: CString,
    /// The container's standard output and error are the same: a terminal, or one pipe.
    is_one: bool,
    services: Option<OwnedFd>,
    token: u64,
    kept: Option<Kept>,
    /// By the services' indices.
    pipes: Vec<Option<Pipes>>,
    /// The slots of the state that are to be cleared before the next start.
    unclean: Vec<usize>,
    /// What runs knows nothing of some of them.
    is_stale: bool,
    life: Life,
    pid: Option<u32>,
    /// It was said that some lines don't bear their service's name for want of descriptors.
    is_short: bool,
}

type Failure = (&'static str, Errno);

impl LogPump {
    /// A pump with nothing to do. `program` is the path of zei-log; `container` are the container's standard output and error; `services` is the
    /// directory of all services' directories; `token` is random.
    pub fn new(program: CString, container: [BorrowedFd<'_>; 2], services: Option<OwnedFd>, token: u64) -> LogPump {
        let identity = |stream| fstat(stream).map(|stat| (stat.st_dev, stat.st_ino, stat.st_rdev));
        let [stdout, stderr] = container.map(identity);
        LogPump {
            program,
            is_one: stdout.is_ok() && stdout == stderr,
            services,
            token,
            kept: None,
            pipes: Vec::new(),
            unclean: Vec::new(),
            is_stale: false,
            life: Life::Due(Time(0), 0),
            pid: None,
            is_short: false,
        }
    }

    /// A service's log pipes as an earlier program of this process has made them.
    pub fn take_back(&mut self, index: usize, plan: Definitions<'_>, [stdout, stderr]: [Option<OwnedFd>; 2]) {
        let wanted = plan.service(index).and_then(|definition| Wanted::of(&definition, plan.is_labelled(index)));
        let Some(wanted) = wanted else { return };
        let is_shared = wanted.stdout.is_some() && wanted.stderr.is_some() && stderr.is_none();
        self.put(index, Pipes { wanted, stdout, stderr, is_shared });
    }

    /// What runs, and what that goes by, as an earlier program of this process has left it. To be followed by
    /// [`LogPump::refresh`]: it is a zei-log of the former version.
    pub fn resume(&mut self, [state, intake]: [OwnedFd; 2], pid: Option<u32>, unclean: Vec<usize>, now: Time) {
        (self.kept, self.pid, self.unclean) = (Some(Kept { state, intake }), pid, unclean);
        if pid.is_some() {
            self.is_stale = true;
            self.life.started(now);
        }
    }

    /// The numbers of its state and of its intake, and what of the state is to be cleared.
    pub fn kept(&self) -> Option<([RawFd; 2], &[usize])> {
        let Kept { state, intake } = self.kept.as_ref()?;
        Some(([state.as_raw_fd(), intake.as_raw_fd()], &self.unclean))
    }

    /// The numbers of a service's log pipes.
    pub fn numbers(&self, index: usize) -> Option<[Option<RawFd>; 2]> {
        let Pipes { stdout, stderr, .. } = self.pipes.get(index)?.as_ref()?;
        Some([stdout, stderr].map(|pipe| pipe.as_ref().map(AsRawFd::as_raw_fd)))
    }

    /// What stands in the marks of runs: see [`logpipe::mark`].
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Makes the log pipes of a service, if its definition wants some. A service that can't have them runs without.
    pub fn follow(&mut self, index: usize, plan: Definitions<'_>) {
        let Some(definition) = plan.service(index) else { return };
        let Some(wanted) = Wanted::of(&definition, plan.is_labelled(index)) else { return self.take(index) };
        let is_needed = wanted.pattern.is_some();
        if !is_needed && access(self.program.as_c_str(), AccessFlags::X_OK).is_err() {
            return self.take(index);
        }
        let Err((what, errno)) = self.give(index, wanted) else { return };
        let (name, why) = (definition.name, errno.desc());
        if is_needed {
            let text = format_args!("cannot {what} for {name}: {why}; it can't be seen to be ready");
            say::say(format_args!("{PROGRAM}"), text);
        } else if !core::mem::replace(&mut self.is_short, true) {
            // It is not worth a line for each.
            let text = format_args!("cannot {what}: {why}; not all lines bear their service's name");
            say::say(format_args!("{PROGRAM}"), text);
        }
    }

    /// Makes the log pipes of the service `index`, which is new, or renewed while nothing of it ran. To be followed by
    /// [`LogPump::refresh`].
    ///
    /// # Errors
    /// What could not be done: the service then has none.
    pub fn give(&mut self, index: usize, wanted: Wanted) -> Result<(), Failure> {
        self.take(index);
        if self.kept.is_none() {
            let state = memfd::empty("zei-log-state").map_err(|errno| ("make a memfd", errno))?;
            let intake = memfd::empty("zei-log-intake").map_err(|errno| ("make a memfd", errno))?;
            ftruncate(&intake, i64::try_from(WINDOW).unwrap_or(0)).map_err(|errno| ("make a memfd", errno))?;
            self.kept = Some(Kept { state, intake });
        }
        let (stdout, stderr) = (wanted.stdout, wanted.stderr);
        let is_shared = stdout.is_some() && stderr.is_some() && (stdout == stderr || self.is_one);
        // Root's, as zei-log is when it opens them: it may have no right to open another user's.
        let make = |side: Option<Side>| side.map(|_| elevation::as_root(logpipe::make)).transpose();
        let pipes = || Ok((make(stdout)?, make(stderr.filter(|_| !is_shared))?));
        let (stdout, stderr) = pipes().map_err(|errno| ("make a log pipe", errno))?;
        // The lowest number that is free is given: who gets one near the limit takes what others need more.
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft.saturating_sub(RESERVE));
        let is_beyond = |pipe: &OwnedFd| u64::try_from(pipe.as_raw_fd()).is_ok_and(|number| number >= limit);
        if wanted.pattern.is_none() && [&stdout, &stderr].into_iter().flatten().any(is_beyond) {
            return Err(("make a log pipe", Errno::EMFILE));
        }
        self.put(index, Pipes { wanted, stdout, stderr, is_shared });
        self.unclean.extend([2 * index, 2 * index + 1]);
        self.is_stale = true;
        Ok(())
    }

    fn put(&mut self, index: usize, pipes: Pipes) {
        let count = self.pipes.len().max(index + 1);
        self.pipes.resize_with(count, || None);
        if let Some(slot) = self.pipes.get_mut(index) {
            *slot = Some(pipes);
        }
    }

    /// Gives up the log pipes of a service that is gone. zei-log delivers what is in them.
    pub fn take(&mut self, index: usize) {
        if let Some(slot) = self.pipes.get_mut(index) {
            *slot = None;
        }
    }

    /// What runs leaves to a successor that knows all log pipes.
    pub fn refresh(&self) {
        if let Some(pid) = self.pid.filter(|_| self.is_stale) {
            let _it_is_gone = process::signal_child(pid, signal::HUP);
        }
    }

    /// The log pipe of a service's standard output.
    pub fn stdout(&self, index: usize) -> Option<BorrowedFd<'_>> {
        self.pipes.get(index)?.as_ref()?.stdout.as_ref().map(AsFd::as_fd)
    }

    /// The log pipe of a service's standard error, which may be that of its standard output.
    pub fn stderr(&self, index: usize) -> Option<BorrowedFd<'_>> {
        let pipes = self.pipes.get(index)?.as_ref()?;
        let pipe = if pipes.is_shared { &pipes.stdout } else { &pipes.stderr };
        pipe.as_ref().map(AsFd::as_fd)
    }

    /// Whether there is anything to pump.
    fn is_needed(&self) -> bool {
        self.pipes.iter().any(Option::is_some)
    }

    /// What runs knows nothing of some log pipes, and is to leave.
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// When it is to be started.
    pub fn deadline(&self) -> Option<Time> {
        self.life.deadline().filter(|_| self.is_needed())
    }

    /// Whether the last start has succeeded, or there was none.
    pub fn is_first_attempt(&self) -> bool {
        matches!(self.life, Life::Due(_, 0 | 1))
    }

    /// The process.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Starts zei-log with these streams. `notify` are the pipes through which services are told to be ready, by their
    /// indices; `defaults` are the signals whose dispositions are put back. No other thread may execute a program
    /// meanwhile.
    ///
    /// # Errors
    /// What could not be done; it is to be tried again at [`LogPump::deadline`].
    pub fn start(
        &mut self,
        streams: [Stream<'_>; 3],
        notify: &[Option<OwnedFd>],
        defaults: Set,
        now: Time,
    ) -> Result<u32, Failure> {
        let made = self.make(streams, notify, defaults);
        match made {
            Ok(pid) => {
                (self.pid, self.is_stale) = (Some(pid), false);
                self.life.started(now);
            }
            Err(_) => self.life.ended(now),
        }
        made
    }

    fn make(&mut self, streams: [Stream<'_>; 3], notify: &[Option<OwnedFd>], defaults: Set) -> Result<u32, Failure> {
        self.clean().map_err(|errno| ("write to a memfd", errno))?;
        let Some(kept) = &self.kept else { return Err(("find its state", Errno::ENOENT)) };
        let table = memfd::sealed("zei-log-table", &self.table(kept, notify).encode());
        let table = table.map_err(|errno| ("make a memfd", errno))?;
        let number = CString::new(table.as_raw_fd().to_string()).unwrap_or_default();
        let arguments = [self.program.as_c_str(), number.as_c_str()];
        let pipes = self.pipes.iter().flatten().flat_map(|pipes| [&pipes.stdout, &pipes.stderr]).flatten();
        let is_told = |index: &usize| self.pipes.get(*index).is_some_and(Option::is_some);
        let told = (0..notify.len()).filter(is_told).filter_map(|index| notify.get(index)?.as_ref());
        let passed: Vec<BorrowedFd<'_>> = [&table, &kept.state, &kept.intake]
            .into_iter()
            .chain(&self.services)
            .chain(pipes)
            .chain(told)
            .map(AsFd::as_fd)
            .collect();
        let inherit = |flags: FdFlag| {
            for descriptor in &passed {
                let _it_is_open = fcntl(descriptor, FcntlArg::F_SETFD(flags));
            }
        };
        inherit(FdFlag::empty());
        let none = Strings::collect(core::iter::empty());
        let blocked = Set(u64::MAX);
        let made = spawn::spawn(&Spawn {
            streams,
            blocked,
            defaults,
            ..Spawn::new(Strings::collect(arguments.into_iter()), none)
        });
        inherit(FdFlag::FD_CLOEXEC);
        made.map_err(|failure| (failure.stage.text(), Errno::from_raw(failure.errno)))
    }

    /// Forgets what earlier log pipes have left in the state.
    fn clean(&mut self) -> Result<(), Errno> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let to_offset = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
        ftruncate(&kept.state, to_offset(layout::slot(2 * self.pipes.len())))?;
        let mut head = [0; layout::HEAD_NUMBERS];
        pread(&kept.state, &mut head, 0)?;
        for slot in self.unclean.drain(..) {
            head = layout::forget(head, slot);
            pwrite(&kept.state, &[0; layout::SLOT_NUMBERS], to_offset(layout::slot(slot)))?;
        }
        pwrite(&kept.state, &head, 0).map(drop)
    }

    fn table(&self, kept: &Kept, notify: &[Option<OwnedFd>]) -> Table {
        let number = |descriptor: &Option<OwnedFd>| descriptor.as_ref().map(AsRawFd::as_raw_fd);
        let pumped = self.pipes.iter().enumerate().filter_map(|(index, pipes)| {
            let Pipes { wanted, stdout, stderr, .. } = pipes.as_ref()?;
            let pipe = |slot, side: Option<Side>, pipe| Some(LogPipe { slot, side: side?, pipe: number(pipe)? });
            let pipes = [pipe(2 * index, wanted.stdout, stdout), pipe(2 * index + 1, wanted.stderr, stderr)];
            Some(Pumped {
                name: wanted.name,
                format: wanted.format,
                pattern: wanted.pattern.clone(),
                notify: wanted.pattern.as_ref().and_then(|_| number(notify.get(index)?)),
                pipes: pipes.into_iter().flatten().collect(),
            })
        });
        Table {
            token: self.token,
            state: kept.state.as_raw_fd(),
            intake: kept.intake.as_raw_fd(),
            services: number(&self.services),
            rest: elevation::rest(),
            // no-color.org
            colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            pumped: pumped.collect(),
        }
    }

    /// A process has ended and was reaped; whether that was zei-log. It is to be started again at
    /// [`LogPump::deadline`].
    pub fn has_ended(&mut self, pid: u32, now: Time) -> bool {
        let was_it = self.pid == Some(pid);
        if was_it {
            self.pid = None;
            if self.is_stale {
                // It was asked to.
                self.life = Life::Due(now, 0);
            } else {
                self.life.ended(now);
            }
        }
        was_it
    }

    /// Once nobody writes any more: lets zei-log deliver what is in the pipes, waits until it has, but not longer
    /// than `patience`, and reaps it. `false`: it had to be killed, so lines are missing.
    pub fn finish(&mut self, patience: Span) -> bool {
        let Some(pid) = self.pid.take() else { return !self.is_needed() };
        let held = raw::pidfd_open(pid).ok();
        let _it_is_gone = process::signal_child(pid, signal::TERM);
        let ends_within = |span: Span| process::ends_within(pid, held.as_ref().map(OwnedFd::as_fd), span);
        let has_ended = ends_within(patience);
        if !has_ended {
            let _it_is_gone = process::signal_child(pid, signal::KILL);
            // One that hangs in the kernel is not waited for.
            ends_within(KILLED);
        }
        process::reap(pid);
        has_ended
    }
}
