//! zei-log, as zei-init starts it, replaces it and lets it finish.
//!
//! Owns: the log pipes, which outlive every zei-log and every supervisor. Must never: read what is in them.

use crate::model::pump::{Life, Pumped, Side, Table};
use crate::model::time::{Span, Time};
use crate::name::ServiceName;
use crate::signal::{self, Set};
use crate::sys::raw::{self, Strings};
use crate::sys::spawn::{self, Spawn, Stream};
use crate::sys::{logpipe, memfd, process};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, ftruncate};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A service whose output is to be pumped.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: ServiceName,
    /// The line that makes it ready.
    pub pattern: Option<&'a str>,
    /// The pipe through which its supervisor is told that it is: for writing, or for both.
    pub notify: Option<BorrowedFd<'a>>,
    /// To which of the container's streams its standard output goes; `None`: to none of them.
    pub stdout: Option<Side>,
    /// The same for its standard error.
    pub stderr: Option<Side>,
}

/// A service's log pipes.
#[derive(Debug, Default)]
struct Pipes {
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// Its standard error goes where its standard output goes, so they share the pipe, which keeps their order.
    is_shared: bool,
}

/// The log pump of a tree.
#[derive(Debug)]
pub struct LogPump {
    program: CString,
    table: OwnedFd,
    state: OwnedFd,
    hand: OwnedFd,
    services: Option<OwnedFd>,
    /// By the services' indices.
    pipes: Vec<Pipes>,
    token: u64,
    life: Life,
    pid: Option<u32>,
}

type Failure = (&'static str, Errno);

impl LogPump {
    /// Makes all that zei-log needs. `wanted` has an entry for each service of the tree, `None` for those whose output
    /// is not pumped; `container` are the container's standard output and error; `services` is the directory of all
    /// services' directories; `token` is random.
    ///
    /// # Errors
    /// What could not be done.
    pub fn make(
        program: CString,
        wanted: &[Option<Wanted<'_>>],
        container: [BorrowedFd<'_>; 2],
        services: Option<BorrowedFd<'_>>,
        token: u64,
    ) -> Result<LogPump, Failure> {
        // A terminal, or one pipe for both.
        let is_one = is_same(container);
        let make = |wanted: &Option<Wanted<'_>>| {
            wanted.as_ref().map_or(Ok(Pipes::default()), |wanted| make_pipes(wanted, is_one))
        };
        let pipes: Result<Vec<Pipes>, Errno> = wanted.iter().map(make).collect();
        let pipes = pipes.map_err(|errno| ("make a log pipe", errno))?;
        let services = services.map(|services| services.try_clone_to_owned()).transpose();
        let services = services.map_err(|_| ("duplicate a descriptor", Errno::EMFILE))?;
        let state = memfd::empty("zei-log-state").map_err(|errno| ("make a memfd", errno))?;
        let hand = logpipe::make().map_err(|errno| ("make a pipe", errno))?;
        let table = Table {
            token,
            state: state.as_raw_fd(),
            hand: hand.as_raw_fd(),
            services: services.as_ref().map(AsRawFd::as_raw_fd),
            pumped: wanted
                .iter()
                .zip(&pipes)
                .filter_map(|(wanted, pipes)| Some(entry(wanted.as_ref()?, pipes)))
                .collect(),
        };
        let size = i64::try_from(table.state_size()).unwrap_or(i64::MAX);
        ftruncate(&state, size).map_err(|errno| ("make a memfd", errno))?;
        let table = memfd::sealed("zei-log-table", &table.encode()).map_err(|errno| ("make a memfd", errno))?;
        Ok(LogPump { program, table, state, hand, services, pipes, token, life: Life::Due(Time(0), 0), pid: None })
    }

    /// What stands in the marks of runs: see [`logpipe::mark`].
    pub fn token(&self) -> u64 {
        self.token
    }

    /// The log pipe of a service's standard output.
    pub fn stdout(&self, index: usize) -> Option<BorrowedFd<'_>> {
        self.pipes.get(index)?.stdout.as_ref().map(AsFd::as_fd)
    }

    /// The log pipe of a service's standard error, which may be that of its standard output.
    pub fn stderr(&self, index: usize) -> Option<BorrowedFd<'_>> {
        let pipes = self.pipes.get(index)?;
        let pipe = if pipes.is_shared { &pipes.stdout } else { &pipes.stderr };
        pipe.as_ref().map(AsFd::as_fd)
    }

    /// When it is to be started.
    pub fn deadline(&self) -> Option<Time> {
        self.life.deadline()
    }

    /// The process.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Starts zei-log with these streams. `notify` are the pipes that were given to [`LogPump::make`]; no
    /// other thread may execute a program meanwhile.
    ///
    /// # Errors
    /// What could not be done; it is to be tried again at [`LogPump::deadline`].
    pub fn start(&mut self, streams: [Stream<'_>; 3], notify: &[BorrowedFd<'_>], now: Time) -> Result<u32, Failure> {
        let number = CString::new(self.table.as_raw_fd().to_string()).unwrap_or_default();
        let arguments = [self.program.as_c_str(), number.as_c_str()];
        self.set_inheritable(notify, FdFlag::empty());
        let none = Strings::collect(core::iter::empty());
        let blocked = Set(u64::MAX);
        let made = spawn::spawn(&Spawn { streams, blocked, ..Spawn::new(Strings::collect(arguments.into_iter()), none) });
        self.set_inheritable(notify, FdFlag::FD_CLOEXEC);
        match made {
            Ok(pid) => {
                self.pid = Some(pid);
                self.life.started(now);
                Ok(pid)
            }
            Err(failure) => {
                self.life.ended(now);
                Err((failure.stage.text(), Errno::from_raw(failure.errno)))
            }
        }
    }

    fn set_inheritable(&self, notify: &[BorrowedFd<'_>], flags: FdFlag) {
        let pipes = self.pipes.iter().flat_map(|pipes| [&pipes.stdout, &pipes.stderr]);
        let own = [&self.table, &self.state, &self.hand].into_iter().chain(&self.services).chain(pipes.flatten());
        for descriptor in own.map(AsFd::as_fd).chain(notify.iter().copied()) {
            let _it_is_open = fcntl(descriptor, FcntlArg::F_SETFD(flags));
        }
    }

    /// A process has ended and was reaped; whether that was zei-log. It is to be started again at
    /// [`LogPump::deadline`].
    pub fn ended(&mut self, pid: u32, now: Time) -> bool {
        let was_it = self.pid == Some(pid);
        if was_it {
            self.pid = None;
            self.life.ended(now);
        }
        was_it
    }

    /// Once nobody writes any more: lets zei-log deliver what is in the pipes, waits until it has, but not longer
    /// than `patience`, and reaps it. `false`: it had to be killed, so lines are missing.
    pub fn finish(&mut self, patience: Span) -> bool {
        let Some(pid) = self.pid.take() else { return true };
        let held = raw::pidfd_open(pid);
        let _it_is_gone = process::signal_child(pid, signal::TERM);
        let timeout = i32::try_from(patience.0).ok().and_then(|ms| PollTimeout::try_from(ms).ok());
        let has_ended = held.is_ok_and(|held| {
            let mut polled = [PollFd::new(held.as_fd(), PollFlags::POLLIN)];
            poll(&mut polled, timeout.unwrap_or(PollTimeout::MAX)).is_ok_and(|ready| ready > 0)
        });
        if !has_ended {
            let _it_is_gone = process::signal_child(pid, signal::KILL);
        }
        let _reaped = waitpid(Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX)), None);
        has_ended
    }
}

fn make_pipes(wanted: &Wanted<'_>, is_one: bool) -> Result<Pipes, Errno> {
    let (stdout, stderr) = (wanted.stdout, wanted.stderr);
    let is_shared = stdout.is_some() && stderr.is_some() && (stdout == stderr || is_one);
    let make = |side: Option<Side>| side.map(|_| logpipe::make()).transpose();
    Ok(Pipes { stdout: make(stdout)?, stderr: make(stderr.filter(|_| !is_shared))?, is_shared })
}

/// Whether two streams are the same file.
fn is_same(streams: [BorrowedFd<'_>; 2]) -> bool {
    let [one, other] = streams.map(|stream| fstat(stream).map(|stat| (stat.st_dev, stat.st_ino, stat.st_rdev)));
    one.is_ok() && one == other
}

fn entry(wanted: &Wanted<'_>, pipes: &Pipes) -> Pumped {
    let stream = |side: Option<Side>, pipe: &Option<OwnedFd>| Some((side?, pipe.as_ref()?.as_raw_fd()));
    Pumped {
        name: wanted.name,
        pattern: wanted.pattern.map(str::to_owned),
        notify: wanted.notify.map(|notify| notify.as_raw_fd()),
        streams: [stream(wanted.stdout, &pipes.stdout), stream(wanted.stderr, &pipes.stderr)]
            .into_iter()
            .flatten()
            .collect(),
    }
}
