//! What a successor takes over, field by field.

use super::*;

/// With all that died with its supervisor.
fn left(phase: Phase) -> Service {
    let beside = Beside::Due(SOON);
    Service { process: Some(MAIN), beside, probe_at: SOON, reload_due: true, watchdog_at: SOON, ..at(phase) }
}

/// Without it.
fn cleared(phase: Phase) -> Service {
    Service {
        process: None,
        beside: Beside::Nothing,
        probe_at: Time::NEVER,
        reload_due: false,
        watchdog_at: Time::NEVER,
        ..left(phase)
    }
}

#[test]
fn nothing_that_died_with_a_supervisor_is_taken_over() {
    let killed = Some(exit(Exit::Signal(signal::KILL), true));
    for phase in every_phase() {
        let same = cleared(phase);
        let expected = match phase {
            Phase::Preparing => (Service { phase: Phase::Waiting, since: SOON, ..same }, None),
            // Its process was there, and the program may have been.
            Phase::Spawning => (Service { phase: Phase::Starting { deadline: Time::NEVER }, ..same }, killed),
            Phase::Starting { .. } | Phase::Running | Phase::Stopping { .. } | Phase::Failed(Reason::Stray) => {
                (same, killed)
            }
            Phase::Planning => (Service { beside: Beside::Due(SOON), ..same }, None),
            _ => (same, None),
        };
        assert_eq!(take_over(left(phase), Some(MAIN), true, SOON), expected, "{phase:?}");
        // Nothing may start beside what is not gone.
        let ending =
            if left(phase).process.is_some() { Some(Ending::Exited(Exit::Signal(signal::KILL))) } else { same.ending };
        let stray = Service { phase: Phase::Failed(Reason::Stray), process: Some(MAIN), ending, since: SOON, ..same };
        assert_eq!(take_over(left(phase), Some(MAIN), false, SOON), (stray, None), "{phase:?}");
    }
}

#[test]
fn an_end_that_was_recorded_is_the_end_and_only_what_was_left_remains_to_be_seen() {
    let recorded = Some(exit(Exit::Code(3), true));
    for phase in every_phase() {
        let ending = Some(Ending::Exited(Exit::Code(3)));
        let service = Service { process: None, ending, ..left(phase) };
        let same = Service { ending, ..cleared(phase) };
        let expected = match phase {
            Phase::Preparing | Phase::Spawning => (Service { phase: Phase::Waiting, since: SOON, ..same }, None),
            Phase::Starting { .. } | Phase::Running | Phase::Stopping { stage: Stage::Drain | Stage::Main, .. } => {
                (same, recorded)
            }
            Phase::Stopping { .. } | Phase::Failed(Reason::Stray) => (same, Some(Event::Empty)),
            Phase::Planning => (Service { beside: Beside::Due(SOON), ..same }, None),
            _ => (same, None),
        };
        assert_eq!(take_over(service, None, true, SOON), expected, "{phase:?}");
        // An end that stands in the record while a process does, too, is the one before.
        let (_, event) = take_over(Service { process: Some(MAIN), ..service }, Some(MAIN), true, SOON);
        assert_ne!(event, recorded, "{phase:?}");
    }
    // What never became the program has no end to go by.
    let ending = Some(Ending::NotStarted(BROKEN));
    let unseen = Service { process: None, ending, ..left(STARTING) };
    let (_, event) = take_over(unseen, None, true, SOON);
    assert_eq!(event, Some(exit(Exit::Signal(signal::KILL), true)));
}

#[test]
fn a_child_in_the_record_is_what_a_spawn_has_left_and_nothing_else_has() {
    for phase in every_phase() {
        let none = Service { process: None, ..at(phase) };
        let child = (phase == Phase::Spawning).then_some(Process { pid: 9, start: 0 });
        assert_eq!(left_behind(&none, 9), child, "{phase:?}");
        assert_eq!(left_behind(&none, 0), None, "{phase:?}");
        assert_eq!(left_behind(&Service { process: Some(MAIN), ..none }, 9), Some(MAIN), "{phase:?}");
    }
}
