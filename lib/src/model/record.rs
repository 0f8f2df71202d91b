//! The run record: a service's state as 256 bytes that outlive its supervisor.
//!
//! Owns: the bytes. Must never: be read by anything but zei-init and zei-supervise of the same build.
//!
//! All records of a tree lie in one memfd that zei-init holds; record N belongs to service N. It is
//! written before anything is done ("record, then act"), so that a successor of a killed supervisor
//! knows what its predecessor had begun. 32 little-endian words of 64 bits; the sequence number
//! stands in the first and in the one before the last, so that a reader notices a write half-way.
//! The last word is written by a new process itself, with its own pid, before it becomes the program:
//! while the phase is `Starting`, it names a process that the supervisor may not know of yet.

use crate::exit::Exit;
use crate::model::service::{Ending, Failure, Phase, Process, Reason, Service, Shutdown, SpawnStage, Stage, Then};
use crate::model::time::Time;

/// The length of one record in bytes.
pub const SIZE: usize = 256;
const WORDS: usize = SIZE / 8;
/// Where in the record a new process writes its pid (8 bytes, little-endian).
pub const CHILD_OFFSET: usize = SIZE - 8;

/// Where the record of service `index` begins; in front of the first lies zei-init's [`Order`].
pub const fn offset(index: usize) -> u64 {
    (SIZE as u64).saturating_mul(index as u64 + 1)
}

/// What zei-init orders every supervisor to do, read by them when a TERM says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Order {
    /// Stop, then leave.
    pub shutdown: Option<Shutdown>,
}

impl Order {
    /// The length of an order in bytes.
    pub const SIZE: usize = 24;

    /// The order's bytes.
    pub fn encode(&self) -> [u8; Order::SIZE] {
        let words = match self.shutdown {
            None => [0; 3],
            Some(Shutdown { deadline, signal }) => [1, deadline.0, u64::from(signal.unwrap_or(0))],
        };
        let mut bytes = [0; Order::SIZE];
        for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads an order; bytes never written are none.
    pub fn decode(bytes: &[u8; Order::SIZE]) -> Order {
        let word = |index: usize| {
            bytes.chunks_exact(8).nth(index).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
        };
        let signal = u8::try_from(word(2)).ok().filter(|signal| *signal != 0);
        Order { shutdown: (word(0) == 1).then_some(Shutdown { deadline: Time(word(1)), signal }) }
    }
}

/// One record, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Counts the writes; 0: never written.
    pub seq: u64,
    /// The service.
    pub service: Service,
    /// The pid that a new process wrote, 0 where none has.
    pub child: u32,
}

impl Record {
    /// The record's bytes.
    pub fn encode(&self) -> [u8; SIZE] {
        let Service { phase, since, want, process, ending, began, streak, restarts, run, succeeded } = self.service;
        let (tag, first, second, third) = encode_phase(phase);
        let (how, code, errno) = encode_ending(ending);
        let words = [
            self.seq,
            tag,
            first,
            second,
            third,
            since.0,
            u64::from(want),
            process.map_or(0, |process| u64::from(process.pid)),
            process.map_or(0, |process| process.start),
            how,
            code,
            errno,
            began.0,
            u64::from(streak),
            u64::from(restarts),
            u64::from(run),
            u64::from(succeeded),
        ];
        let mut bytes = [0; SIZE];
        let tail = core::iter::repeat_n(0, WORDS - words.len() - 2).chain([self.seq, u64::from(self.child)]);
        for (slot, word) in bytes.chunks_exact_mut(8).zip(words.into_iter().chain(tail)) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a record; `None` for one that was never written or was met half-way.
    pub fn decode(bytes: &[u8; SIZE]) -> Option<Record> {
        let mut words = [0; WORDS];
        for (word, slot) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(slot.try_into().ok()?);
        }
        let [
            seq,
            tag,
            first,
            second,
            third,
            since,
            want,
            pid,
            start,
            how,
            code,
            errno,
            began,
            streak,
            restarts,
            run,
            succeeded,
            ..,
            end,
            child,
        ] = words;
        if seq == 0 || seq != end {
            return None;
        }
        let service = Service {
            phase: decode_phase(tag, first, second, third)?,
            since: Time(since),
            want: want != 0,
            process: match u32::try_from(pid).ok()? {
                0 => None,
                pid => Some(Process { pid, start }),
            },
            ending: decode_ending(how, code, errno)?,
            began: Time(began),
            streak: streak.try_into().ok()?,
            restarts: restarts.try_into().ok()?,
            run: run.try_into().ok()?,
            succeeded: succeeded != 0,
        };
        Some(Record { seq, service, child: child.try_into().ok()? })
    }
}

fn encode_phase(phase: Phase) -> (u64, u64, u64, u64) {
    match phase {
        Phase::Waiting => (1, 0, 0, 0),
        Phase::Starting => (2, 0, 0, 0),
        Phase::Running => (3, 0, 0, 0),
        Phase::Stopping { stage, deadline, then } => {
            let stage = match stage {
                Stage::Main => 1,
                Stage::Rest => 2,
                Stage::Kill => 3,
            };
            let then = match then {
                Then::Decide => 1,
                Then::Down => 2,
                Then::Start => 3,
                Then::Leave => 4,
            };
            (4, stage, deadline.0, then)
        }
        Phase::RestartPending { at } => (5, at.0, 0, 0),
        Phase::Scheduled { at } => (6, at.0, 0, 0),
        Phase::Stopped => (7, 0, 0, 0),
        Phase::Completed => (8, 0, 0, 0),
        Phase::Failed(Reason::Ended) => (9, 1, 0, 0),
        Phase::Failed(Reason::GaveUp) => (9, 2, 0, 0),
        Phase::Failed(Reason::Dependency(index)) => (9, 3, u64::from(index), 0),
        Phase::Failed(Reason::Stray) => (9, 4, 0, 0),
    }
}

fn decode_phase(tag: u64, first: u64, second: u64, third: u64) -> Option<Phase> {
    Some(match (tag, first) {
        (1, _) => Phase::Waiting,
        (2, _) => Phase::Starting,
        (3, _) => Phase::Running,
        (4, stage) => Phase::Stopping {
            stage: match stage {
                1 => Stage::Main,
                2 => Stage::Rest,
                3 => Stage::Kill,
                _ => return None,
            },
            deadline: Time(second),
            then: match third {
                1 => Then::Decide,
                2 => Then::Down,
                3 => Then::Start,
                4 => Then::Leave,
                _ => return None,
            },
        },
        (5, at) => Phase::RestartPending { at: Time(at) },
        (6, at) => Phase::Scheduled { at: Time(at) },
        (7, _) => Phase::Stopped,
        (8, _) => Phase::Completed,
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_phase() -> impl Strategy<Value = Phase> {
        let stage = prop_oneof![Just(Stage::Main), Just(Stage::Rest), Just(Stage::Kill)];
        let then = prop_oneof![Just(Then::Decide), Just(Then::Down), Just(Then::Start), Just(Then::Leave)];
        prop_oneof![
            Just(Phase::Waiting),
            Just(Phase::Starting),
            Just(Phase::Running),
            (stage, any::<u64>(), then).prop_map(|(stage, at, then)| Phase::Stopping {
                stage,
                deadline: Time(at),
                then
            }),
            any::<u64>().prop_map(|at| Phase::RestartPending { at: Time(at) }),
            any::<u64>().prop_map(|at| Phase::Scheduled { at: Time(at) }),
            Just(Phase::Stopped),
            Just(Phase::Completed),
            Just(Phase::Failed(Reason::Ended)),
            Just(Phase::Failed(Reason::GaveUp)),
            any::<u16>().prop_map(|index| Phase::Failed(Reason::Dependency(index))),
            Just(Phase::Failed(Reason::Stray)),
        ]
    }

    fn any_ending() -> impl Strategy<Value = Option<Ending>> {
        let stage = proptest::sample::select(SpawnStage::ALL);
        prop_oneof![
            Just(None),
            any::<u8>().prop_map(|code| Some(Ending::Exited(Exit::Code(code)))),
            (1u8..=64).prop_map(|signal| Some(Ending::Exited(Exit::Signal(signal)))),
            (stage, 1..4096).prop_map(|(stage, errno)| Some(Ending::NotStarted(Failure { stage, errno }))),
        ]
    }

    proptest! {
        #[test]
        fn a_record_is_read_back_from_its_own_bytes(
            phase in any_phase(), ending in any_ending(), pid: u32, start: u64, seq in 1u64.., child: u32,
            counters: (u32, u32, u32), times: (u64, u64), flags: (bool, bool)
        ) {
            let service = Service {
                phase, ending, since: Time(times.0), began: Time(times.1), want: flags.0, succeeded: flags.1,
                process: (pid != 0).then_some(Process { pid, start }),
                streak: counters.0, restarts: counters.1, run: counters.2,
            };
            let record = Record { seq, service, child };
            prop_assert_eq!(Record::decode(&record.encode()), Some(record));
        }
    }

    #[test]
    fn an_order_is_read_back_from_its_own_bytes() {
        for signal in [None, Some(2)] {
            let order = Order { shutdown: Some(Shutdown { deadline: Time(77), signal }) };
            assert_eq!(Order::decode(&order.encode()), order);
        }
        assert_eq!(Order::decode(&[0; Order::SIZE]), Order::default());
    }

    #[test]
    fn a_record_met_half_way_or_never_written_is_none() {
        assert_eq!(Record::decode(&[0; SIZE]), None);
        let old = Record { seq: 1, service: Service::new(true, Time(1)), child: 0 }.encode();
        let mut mixed = Record { seq: 2, service: Service::new(false, Time(2)), child: 0 }.encode();
        mixed[SIZE / 2..].copy_from_slice(&old[SIZE / 2..]);
        assert_eq!(Record::decode(&mixed), None);
    }
}
