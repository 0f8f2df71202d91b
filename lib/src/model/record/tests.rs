//! Records that are read back.

use super::*;
use crate::model::spec::Policy;
use proptest::prelude::*;

pub(crate) fn any_phase() -> impl Strategy<Value = Phase> {
    let stage = proptest::sample::select(vec![Stage::Drain, Stage::Main, Stage::Rest, Stage::Kill, Stage::Post]);
    let then = proptest::sample::select(vec![Then::Decide, Then::Down, Then::Start, Then::Again, Then::Leave]);
    prop_oneof![
        Just(Phase::Waiting),
        Just(Phase::Preparing),
        Just(Phase::Spawning),
        any::<u64>().prop_map(|at| Phase::Starting { deadline: Time(at) }),
        Just(Phase::Running),
        (stage, any::<u64>(), then).prop_map(|(stage, at, then)| Phase::Stopping { stage, deadline: Time(at), then }),
        any::<u64>().prop_map(|at| Phase::RestartPending { at: Time(at) }),
        any::<u64>().prop_map(|at| Phase::Scheduled { at: Time(at) }),
        Just(Phase::Planning),
        any::<u64>().prop_map(|slot| Phase::Planned { slot }),
        Just(Phase::Stopped),
        Just(Phase::Completed),
        Just(Phase::Failed(Reason::Ended)),
        Just(Phase::Failed(Reason::GaveUp)),
        any::<u16>().prop_map(|index| Phase::Failed(Reason::Dependency(index))),
        Just(Phase::Failed(Reason::Stray)),
    ]
}

fn any_process() -> impl Strategy<Value = Option<Process>> {
    proptest::option::of((1u32.., any::<u64>()).prop_map(|(pid, start)| Process { pid, start }))
}

fn any_beside() -> impl Strategy<Value = Beside> {
    prop_oneof![
        Just(Beside::Nothing),
        any::<u64>().prop_map(|at| Beside::Due(Time(at))),
        (proptest::sample::select(KINDS.to_vec()), any_process(), any::<u64>(), any::<bool>())
            .prop_map(|(kind, process, at, killed)| Beside::Job { kind, process, deadline: Time(at), killed }),
    ]
}

prop_compose! {
    /// Any service at all, most of which can't come about.
    pub(crate) fn any_service()(
        phase in any_phase(), process in any_process(), beside in any_beside(), ending in any_ending(),
        fault in proptest::option::of(proptest::sample::select(FAULTS.to_vec())),
        times: (u64, u64, u64, u64, u64, u64, u64), counters: (u32, u32, u32, u32, u32, u32),
        flags: (bool, bool, bool, bool, bool, bool, bool),
        health in proptest::sample::select(Health::ALL.to_vec()),
        notice in proptest::sample::select(NOTICES.to_vec()),
        shutdown in proptest::option::of((any::<u64>(), proptest::option::of(1u8..=64))),
    ) -> Service {
        Service {
            phase, process, beside, ending, fault, health, notice,
            since: Time(times.0), began: Time(times.1), up: Time(times.2), watchdog_at: Time(times.3),
            watchdog: Span(times.4), slot: times.5, probe_at: Time(times.6),
            streak: counters.0, restarts: counters.1, run: counters.2, by_hand: counters.3,
            reloads: counters.4, failures: counters.5,
            want: flags.0, succeeded: flags.1, once: flags.2, post_due: flags.3, reloaded: flags.4,
            reload_due: flags.5, asked: flags.6,
            shutdown: shutdown.map(|(at, signal)| Shutdown { deadline: Time(at), signal }),
        }
    }
}

fn any_child() -> impl Strategy<Value = Child> {
    let failure = (proptest::sample::select(SpawnStage::ALL), 0..4096);
    let failure = proptest::option::of(failure.prop_map(|(stage, errno)| Failure { stage, errno }));
    (any::<u32>(), failure).prop_map(|(pid, failure)| Child { pid, failure })
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
        service in any_service(), seq in 1u64.., child in any_child(), alone: bool, second: bool,
        at in 0..=heard::HALF,
    ) {
        let record = Record { seq, service, program: 7, alone, heard: Heard { second, at }, child };
        prop_assert_eq!(Record::decode(&record.encode()), Some(record));
    }
}

fn record(seq: u64, want: bool) -> Record {
    let service = Service::new(want, Time(seq), &Policy::default());
    Record { seq, ..Record::first(service) }
}

#[test]
fn what_a_new_process_writes_into_the_record_is_its_child() {
    let record = record(1, true);
    let failure = Some(Failure { stage: SpawnStage::Execute, errno: 2 });
    for (word, failure) in [(4711u64, None), (4711 | 13 << 32 | 2 << 40, failure)] {
        let mut bytes = record.encode();
        bytes[CHILD_OFFSET..CHILD_OFFSET + 8].copy_from_slice(&word.to_le_bytes());
        assert_eq!(Record::decode(&bytes), Some(Record { child: Child { pid: 4711, failure }, ..record }));
    }
}

#[test]
fn records_orders_and_slots_do_not_overlap() {
    use crate::model::{kills::Kills, slot::Calls, slot::Order};
    const {
        assert!(
            offset(0) >= (Order::SIZE + Kills::SIZE + 8 + Calls::SIZE) as u64
                && offset(1) - offset(0) == (SIZE + Slot::SIZE + End::SIZE + 2 * heard::HALF) as u64
        )
    };
}

#[test]
fn a_record_met_half_way_or_never_written_is_none() {
    assert_eq!(Record::decode(&[0; SIZE]), None);
    let old = record(1, true).encode();
    let mut mixed = record(2, false).encode();
    mixed[SIZE / 2..].copy_from_slice(&old[SIZE / 2..]);
    assert_eq!(Record::decode(&mixed), None);
}
