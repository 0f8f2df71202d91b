//! zei-log: the log pump.
//!
//! Owns: the loop wait -> look -> write -> take out. Must never: wake up where nothing has come, hold more than
//! a bounded part of anybody's output, or block.
//!
//! One process for all services that need it, started and replaced by zei-init. A log pipe is emptied into a file in
//! memory that zei-init holds (`intake`), inspected for the line that makes a service ready and kept as its last lines
//! (`lines`, `tail`, `served`), passed on in whole lines (`step`, `label`, `turn`) to where it waits for the container's
//! stream (`outlet`), or held until the line's end has come; all of that stands in memory that zei-init holds
//! (`memory`). So it can be killed at any instant: its successor finds everything that was not delivered, and at most what
//! was written last is written twice.

mod intake;
mod label;
mod lines;
mod memory;
mod outlet;
mod pump;
mod ring;
mod served;
mod step;
mod stream;
mod tail;
mod turn;

use crate::exit;
use crate::model::pump::layout::SlotNumber;
use crate::model::pump::{LogPipe, Side, Table};
use crate::model::time::Time;
use crate::protocol::boundary::Marks;
use crate::signal::{self, Set};
use crate::sys::raw::{self, Arguments, Shared};
use crate::sys::signals::{Arrived, Signals};
use crate::sys::{clock, elevation, ledger, say};
use intake::{Intake, Source};
use label::Label;
use memory::Memory;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::stat::fstat;
use outlet::Outlet;
use pump::Pump;
use served::Served;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use stream::Stream;

/// The name that stands before every message.
pub const PROGRAM: &str = "zei-log";

/// In epoll's data: the signals.
const SIGNALS: u64 = u64::MAX;
/// In epoll's data: the outlets, from here on.
const OUTLETS: u64 = u64::MAX - 8;
/// After so many rounds without a rest the last lines are kept, and the clock is read.
const ROUNDS: u32 = 16;

/// The whole program. Its argument is the number of the descriptor of its table (see `model::pump`).
pub fn run(arguments: Arguments) -> u8 {
    if let Some(code) = super::answer_version(PROGRAM, arguments) {
        return code;
    }
    raw::fill_standard_streams();
    let what = match begin(arguments) {
        Ok(mut running) => match running.live() {
            Ok(()) => return exit::OK,
            Err(errno) => ("wait for output", errno),
        },
        Err(failure) => failure,
    };
    say::say(format_args!("{PROGRAM}"), format_args!("cannot {}: {}", what.0, what.1.desc()));
    exit::SYSTEM
}

type Failure = (&'static str, Errno);

/// What zei-init has passed on, by its numbers.
struct Passed(HashMap<RawFd, OwnedFd>);

impl Passed {
    /// Takes what the table names. What else zei-init has open is none of zei-log's business.
    fn take(table: &Table) -> Passed {
        let named = table.descriptors();
        (3..ledger::END).filter(|number| !named.contains(number)).for_each(|number| drop(raw::inherited(number)));
        Passed(named.into_iter().filter_map(|number| Some((number, raw::inherited(number)?))).collect())
    }

    fn get(&self, number: RawFd) -> Option<BorrowedFd<'_>> {
        self.0.get(&number).map(AsFd::as_fd)
    }
}

fn begin(arguments: Arguments) -> Result<Running, Failure> {
    let missing = ("find what zei-init passes on; it is not to be started by hand", Errno::EINVAL);
    let number = arguments.get(1).and_then(|text| text.parse::<RawFd>().ok()).filter(|number| *number > 2);
    let file = raw::inherited(number.ok_or(missing)?).ok_or(missing)?;
    let length = fstat(&file).map_or(0, |stat| usize::try_from(stat.st_size).unwrap_or(0));
    let bytes = raw::map(file.as_fd(), length).map_err(|errno| ("map its table", errno))?;
    let table = Table::decode(bytes).ok_or(missing)?;
    drop(file);
    let mut passed = Passed::take(&table);
    let state = passed.0.remove(&table.state).ok_or(missing)?;
    let length = fstat(&state).map_or(0, |stat| usize::try_from(stat.st_size).unwrap_or(0));
    let shared = Shared::map(state.as_fd(), length).map_err(|errno| ("map its state", errno))?;
    let mut memory = Memory::over(shared);
    let intake = passed.0.remove(&table.intake).ok_or(missing)?;
    let intake = Intake::over(intake).map_err(|errno| ("map its intake", errno))?;
    // Only now may anything be opened: it could get the number of something that was not passed on.
    let signals = Signals::take(Set::of(&[signal::TERM, signal::HUP])).map_err(|errno| ("take signals", errno))?;
    let outlets = outlets(&mut memory).map_err(|errno| ("look at the container's output", errno))?;
    let width = table.width();
    let (mut streams, mut served) = (Vec::new(), Vec::new());
    for (number, pumped) in table.pumped.iter().enumerate() {
        let mut told = None;
        for LogPipe { slot, side, pipe } in &pumped.pipes {
            // Its own descriptor for writing would keep the log pipe from ever ending.
            let source = passed.0.remove(pipe).ok_or(missing)?;
            let source = Source::over(source.as_fd()).map_err(|errno| ("open a log pipe; it needs /proc", errno))?;
            let outlet = if *side == Side::Err { outlets.len() - 1 } else { 0 };
            let is_terminal = outlets.get(outlet).is_some_and(Outlet::is_terminal);
            let colour = (is_terminal && table.colour).then_some(number);
            let label = Label::new(pumped.format, pumped.name, width, colour, is_terminal);
            told = told.max(memory.run_of(*slot, SlotNumber::Told));
            streams.push(Stream::new(*slot, served.len(), *side, outlet, label, source));
        }
        let notify = pumped.notify.and_then(|number| passed.0.remove(&number));
        served.push(Served::new(
            pumped,
            notify,
            table.services.and_then(|number| passed.get(number)),
            told,
            table.rest,
        ));
    }
    // All that it needs is open.
    if let Some(user) = table.rest {
        elevation::rest_as(user).map_err(|errno| ("be at rest", errno))?;
    }
    let pump = Pump::new(streams, served, outlets, memory, Marks::of(table.token), intake, clock::now());
    Running::begin(pump, signals).map_err(|errno| ("watch the log pipes", errno))
}

/// The container's streams: one where both are the same.
fn outlets(memory: &mut Memory) -> Result<Vec<Outlet>, Errno> {
    let identity = |number| fstat(raw::standard(number)).map(|stat| (stat.st_dev, stat.st_ino, stat.st_rdev));
    let mut outlets = vec![Outlet::over(0, 1, memory)?];
    if identity(1)? != identity(2)? {
        outlets.push(Outlet::over(1, 2, memory)?);
    }
    Ok(outlets)
}

struct Running {
    pump: Pump,
    signals: Signals,
    epoll: Epoll,
}

impl Running {
    fn begin(pump: Pump, signals: Signals) -> Result<Running, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
        // By edges: what is not taken out of a pipe yet must not keep it awake.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        for (data, stream) in (0..).zip(pump.streams()) {
            epoll.add(&stream.source, EpollEvent::new(flags, data))?;
        }
        Ok(Running { pump, signals, epoll })
    }

    fn live(&mut self) -> Result<(), Errno> {
        let mut rounds = 0;
        let mut now = clock::now();
        loop {
            let goes_on = self.pump.round(now);
            rounds = if goes_on && rounds < ROUNDS { rounds + 1 } else { 0 };
            if rounds == 0 {
                self.pump.keep();
            }
            if self.pump.is_done() {
                return Ok(());
            }
            now = clock::now();
            let timeout = if goes_on { EpollTimeout::ZERO } else { self.timeout(now) };
            self.wait(timeout)?;
            if timeout != EpollTimeout::ZERO {
                now = clock::now();
            }
        }
    }

    fn timeout(&mut self, now: Time) -> EpollTimeout {
        for (data, outlet) in (OUTLETS..).zip(self.pump.outlets()) {
            outlet.watch(&self.epoll, data, now);
        }
        let Some(deadline) = self.pump.deadline() else { return EpollTimeout::NONE };
        let left = i32::try_from(deadline.since(now).0).unwrap_or(i32::MAX);
        EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
    }

    fn wait(&mut self, timeout: EpollTimeout) -> Result<(), Errno> {
        let mut events = [EpollEvent::empty(); 64];
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno),
        };
        for event in events.iter().take(count) {
            match event.data() {
                SIGNALS => {
                    while let Some(Arrived { number, .. }) = self.signals.next() {
                        if number == signal::HUP { self.pump.leave() } else { self.pump.finish() }
                    }
                }
                data if data >= OUTLETS => {
                    let index = usize::try_from(data - OUTLETS).unwrap_or(usize::MAX);
                    if let Some(outlet) = self.pump.outlets().get_mut(index) {
                        outlet.unblock();
                    }
                }
                data => {
                    let index = usize::try_from(data).unwrap_or(usize::MAX);
                    self.pump.wake(index);
                }
            }
        }
        Ok(())
    }
}
