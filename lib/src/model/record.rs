//! The run record: a service's state as 512 bytes that outlive its supervisor.
//!
//! Owns: the bytes. Must never: be read by anything but zei-init and zei-supervise of the same [`FORM`].
//!
//! All records of a tree lie in one memfd that zei-init holds; record N belongs to service N. It is
//! written before anything is done ("record, then act"), so that a successor of a killed supervisor
//! knows what its predecessor had begun. 64 little-endian words of 64 bits; the sequence number
//! stands in the first and in the one before the last, so that a reader notices a write half-way. Before that stand
//! whether it starts alone, how far the control lines are acted on, and which program has written it.
//! The last word is written by a new process itself before it becomes the program: its pid, and why it does not become
//! it. While the phase is `Spawning`, it names a process that the supervisor may not know of yet.

#[cfg(test)]
pub(crate) mod tests;

use crate::exit::Exit;
use crate::model::child::Child;
use crate::model::heard::{self, Heard};
use crate::model::service::{
    Beside, Ending, Failure, Fault, Kind, Notice, Phase, Process, Reason, Service, Shutdown, SpawnStage, Stage, Then,
};
use crate::model::slot::{End, Slot};
use crate::model::time::{Span, Time};
use crate::protocol::status::Health;

/// The form of all that zei-init shares with its programs and with a later version of itself: plans, records, slots,
/// what zei-log goes by. It counts up with every change of one of them, and programs of another form don't take over.
pub const FORM: u32 = 3;

/// The length of one record in bytes.
pub const SIZE: usize = 512;
const WORDS: usize = SIZE / 8;
/// Where in the record a new process writes its [`Child`] (8 bytes, little-endian).
pub const CHILD_OFFSET: usize = SIZE - 8;

/// Where behind the begin of a record its [`End`] lies; between the two lies its [`Slot`].
pub const END_OFFSET: usize = SIZE + Slot::SIZE;

/// Where behind that the halves of [`Heard`] lie.
pub const HEARD_OFFSET: usize = END_OFFSET + End::SIZE;

/// From the begin of one record to that of the next.
pub const STRIDE: usize = HEARD_OFFSET + 2 * heard::HALF;

/// Where the record of service `index` begins; in front of the first lies zei-init's `Order`.
pub const fn offset(index: usize) -> u64 {
    (STRIDE as u64).saturating_mul(index as u64).saturating_add(SIZE as u64)
}

/// One record, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Counts the writes; 0: never written.
    pub seq: u64,
    /// The service.
    pub service: Service,
    /// Of which `zei-ctl upgrade` the program is that has written it.
    pub program: u32,
    /// It starts without its dependencies, as somebody has asked for.
    pub alone: bool,
    /// How far what came through its control FIFO is acted on.
    pub heard: Heard,
    /// What a new process has written.
    pub child: Child,
}

impl Record {
    /// The first of a service.
    pub fn first(service: Service) -> Record {
        Record { seq: 1, service, program: 0, alone: false, heard: Heard::default(), child: Child::default() }
    }
}

impl Record {
    /// The record's bytes.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut words = Words::default();
        words.put(self.seq);
        encode_service(&self.service, &mut words);
        words.at = WORDS - 5;
        words.put(u64::from(self.alone));
        words.put(self.heard.encode());
        words.put(u64::from(self.program));
        words.put(self.seq);
        words.put(self.child.encode());
        let mut bytes = [0; SIZE];
        for (slot, word) in bytes.chunks_exact_mut(8).zip(words.words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a record; `None` for one that was never written or was met half-way.
    pub fn decode(bytes: &[u8; SIZE]) -> Option<Record> {
        let mut words = Words::default();
        for (word, slot) in words.words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(slot.try_into().ok()?);
        }
        let seq = words.take();
        let service = decode_service(&mut words);
        words.at = WORDS - 5;
        let (alone, heard) = (words.take() != 0, Heard::decode(words.take())?);
        let program = u32::try_from(words.take()).ok()?;
        if seq == 0 || seq != words.take() {
            return None;
        }
        Some(Record { seq, service: service?, program, alone, heard, child: Child::decode(words.take()) })
    }
}

/// The words of a record, written and read one after the other.
struct Words {
    words: [u64; WORDS],
    at: usize,
}

impl Default for Words {
    fn default() -> Words {
        Words { words: [0; WORDS], at: 0 }
    }
}

impl Words {
    fn put(&mut self, word: u64) {
        if let Some(slot) = self.words.get_mut(self.at) {
            *slot = word;
        }
        self.at += 1;
    }

    fn put_all<const N: usize>(&mut self, words: [u64; N]) {
        for word in words {
            self.put(word);
        }
    }

    fn take(&mut self) -> u64 {
        self.at += 1;
        self.words.get(self.at - 1).copied().unwrap_or(0)
    }
}

fn encode_service(service: &Service, words: &mut Words) {
    // Named one by one, so that a new field can't be forgotten.
    let Service {
        phase,
        since,
        want,
        process,
        beside,
        ending,
        fault,
        began,
        up,
        streak,
        restarts,
        run,
        by_hand,
        reloads,
        reloaded,
        reload_due,
        succeeded,
        once,
        post_due,
        asked,
        probe_at,
        health,
        failures,
        notice,
        watchdog_at,
        watchdog,
        slot,
        shutdown,
    } = *service;
    let (tag, first, second, third) = encode_phase(phase);
    let (how, code, errno) = encode_ending(ending);
    let (shut, budget, signal) = match shutdown {
        None => (0, 0, 0),
        Some(Shutdown { deadline, signal }) => (1, deadline.0, u64::from(signal.unwrap_or(0))),
    };
    words.put_all([tag, first, second, third, since.0, u64::from(want)]);
    encode_process(process, words);
    encode_beside(beside, words);
    words.put_all([how, code, errno, fault.map_or(0, |fault| fault as u64 + 1), began.0, up.0]);
    words.put_all([streak, restarts, run, by_hand, reloads, failures].map(u64::from));
    words.put_all([reloaded, reload_due, succeeded, once, post_due, asked].map(u64::from));
    words.put_all([probe_at.0, health as u64, notice as u64, watchdog_at.0, watchdog.0, slot]);
    words.put_all([shut, budget, signal]);
}

fn decode_service(words: &mut Words) -> Option<Service> {
    let (tag, first, second, third) = (words.take(), words.take(), words.take(), words.take());
    let (since, want) = (Time(words.take()), words.take() != 0);
    let process = decode_process(words)?;
    let beside = decode_beside(words)?;
    let (how, code, errno) = (words.take(), words.take(), words.take());
    let fault = words.take();
    let (began, up) = (Time(words.take()), Time(words.take()));
    let mut number = || u32::try_from(words.take()).ok();
    let (streak, restarts, run) = (number()?, number()?, number()?);
    let (by_hand, reloads, failures) = (number()?, number()?, number()?);
    let mut flag = || words.take() != 0;
    let (reloaded, reload_due, succeeded, once, post_due, asked) = (flag(), flag(), flag(), flag(), flag(), flag());
    let (probe_at, health, notice) = (Time(words.take()), words.take(), words.take());
    let (watchdog_at, watchdog, slot) = (Time(words.take()), Span(words.take()), words.take());
    let (shut, budget, signal) = (words.take(), words.take(), words.take());
    let signal = u8::try_from(signal).ok()?;
    Some(Service {
        phase: decode_phase(tag, first, second, third)?,
        since,
        want,
        process,
        beside,
        ending: decode_ending(how, code, errno)?,
        fault: match fault {
            0 => None,
            number => Some(*FAULTS.get(usize::try_from(number).ok()?.checked_sub(1)?)?),
        },
        began,
        up,
        streak,
        restarts,
        run,
        by_hand,
        reloads,
        reloaded,
        reload_due,
        succeeded,
        once,
        post_due,
        asked,
        probe_at,
        health: *Health::ALL.get(usize::try_from(health).ok()?)?,
        failures,
        notice: *NOTICES.get(usize::try_from(notice).ok()?)?,
        watchdog_at,
        watchdog,
        slot,
        shutdown: (shut == 1).then_some(Shutdown { deadline: Time(budget), signal: (signal != 0).then_some(signal) }),
    })
}

// In the order of their declaration, as their numbers are taken from it.
const FAULTS: [Fault; 5] = [Fault::PreStart, Fault::NotReady, Fault::Unhealthy, Fault::Watchdog, Fault::OutOfMemory];
const NOTICES: [Notice; 3] = [Notice::None, Notice::Reloading, Notice::Stopping];
const KINDS: [Kind; 6] = [Kind::PreStart, Kind::PostStop, Kind::Ready, Kind::Health, Kind::Reload, Kind::Plan];

fn encode_process(process: Option<Process>, words: &mut Words) {
    words.put(process.map_or(0, |process| u64::from(process.pid)));
    words.put(process.map_or(0, |process| process.start));
}

/// The outer `None`: no such process.
fn decode_process(words: &mut Words) -> Option<Option<Process>> {
    let (pid, start) = (u32::try_from(words.take()).ok()?, words.take());
    Some((pid != 0).then_some(Process { pid, start }))
}

fn encode_beside(beside: Beside, words: &mut Words) {
    let (tag, time, killed, process) = match beside {
        Beside::Nothing => (0, 0, false, None),
        Beside::Due(at) => (1, at.0, false, None),
        Beside::Job { kind, process, deadline, killed } => (2 + kind as u64, deadline.0, killed, process),
    };
    words.put_all([tag, time, u64::from(killed)]);
    encode_process(process, words);
}

fn decode_beside(words: &mut Words) -> Option<Beside> {
    let (tag, time, killed) = (words.take(), Time(words.take()), words.take() != 0);
    let process = decode_process(words)?;
    Some(match tag {
        0 => Beside::Nothing,
        1 => Beside::Due(time),
        number => {
            let kind = *KINDS.get(usize::try_from(number).ok()?.checked_sub(2)?)?;
            Beside::Job { kind, process, deadline: time, killed }
        }
    })
}

fn encode_phase(phase: Phase) -> (u64, u64, u64, u64) {
    match phase {
        Phase::Waiting => (1, 0, 0, 0),
        Phase::Starting { deadline } => (2, deadline.0, 0, 0),
        Phase::Running => (3, 0, 0, 0),
        Phase::Stopping { stage, deadline, then } => {
            let stage = match stage {
                Stage::Main => 1,
                Stage::Rest => 2,
                Stage::Kill => 3,
                Stage::Drain => 4,
                Stage::Post => 5,
            };
            let then = match then {
                Then::Decide => 1,
                Then::Down => 2,
                Then::Start => 3,
                Then::Leave => 4,
                Then::Again => 5,
            };
            (4, stage, deadline.0, then)
        }
        Phase::RestartPending { at } => (5, at.0, 0, 0),
        Phase::Scheduled { at } => (6, at.0, 0, 0),
        Phase::Stopped => (7, 0, 0, 0),
        Phase::Completed => (8, 0, 0, 0),
        Phase::Preparing => (10, 0, 0, 0),
        Phase::Spawning => (11, 0, 0, 0),
        Phase::Planning => (12, 0, 0, 0),
        Phase::Planned { slot } => (13, slot, 0, 0),
        Phase::Failed(Reason::Ended) => (9, 1, 0, 0),
        Phase::Failed(Reason::GaveUp) => (9, 2, 0, 0),
        Phase::Failed(Reason::Dependency(index)) => (9, 3, u64::from(index), 0),
        Phase::Failed(Reason::Stray) => (9, 4, 0, 0),
    }
}

fn decode_phase(tag: u64, first: u64, second: u64, third: u64) -> Option<Phase> {
    Some(match (tag, first) {
        (1, _) => Phase::Waiting,
        (2, deadline) => Phase::Starting { deadline: Time(deadline) },
        (3, _) => Phase::Running,
        (4, stage) => Phase::Stopping {
            stage: match stage {
                1 => Stage::Main,
                2 => Stage::Rest,
                3 => Stage::Kill,
                4 => Stage::Drain,
                5 => Stage::Post,
                _ => return None,
            },
            deadline: Time(second),
            then: match third {
                1 => Then::Decide,
                2 => Then::Down,
                3 => Then::Start,
                4 => Then::Leave,
                5 => Then::Again,
                _ => return None,
            },
        },
        (5, at) => Phase::RestartPending { at: Time(at) },
        (6, at) => Phase::Scheduled { at: Time(at) },
        (7, _) => Phase::Stopped,
        (8, _) => Phase::Completed,
        (10, _) => Phase::Preparing,
        (11, _) => Phase::Spawning,
        (12, _) => Phase::Planning,
        (13, slot) => Phase::Planned { slot },
        (9, 1) => Phase::Failed(Reason::Ended),
        (9, 2) => Phase::Failed(Reason::GaveUp),
        (9, 3) => Phase::Failed(Reason::Dependency(second.try_into().ok()?)),
        (9, 4) => Phase::Failed(Reason::Stray),
        _ => return None,
    })
}

fn encode_ending(ending: Option<Ending>) -> (u64, u64, u64) {
    match ending {
        None => (0, 0, 0),
        Some(Ending::Exited(Exit::Code(code))) => (1, u64::from(code), 0),
        Some(Ending::Exited(Exit::Signal(signal))) => (2, u64::from(signal), 0),
        Some(Ending::NotStarted(Failure { stage, errno })) => (3, stage as u64, u64::from(errno.unsigned_abs())),
    }
}

/// The outer `None`: no such ending.
fn decode_ending(how: u64, code: u64, errno: u64) -> Option<Option<Ending>> {
    let small = u8::try_from(code).ok()?;
    Some(match how {
        0 => None,
        1 => Some(Ending::Exited(Exit::Code(small))),
        2 => Some(Ending::Exited(Exit::Signal(small))),
        3 => {
            let stage = SpawnStage::from_number(small)?;
            Some(Ending::NotStarted(Failure { stage, errno: errno.try_into().ok()? }))
        }
        _ => return None,
    })
}
