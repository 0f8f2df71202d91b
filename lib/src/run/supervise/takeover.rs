//! What a supervisor finds that replaces a killed one.
//!
//! Owns: finding the service that its predecessor left running, and ending the jobs. Must never: let a service start
//! beside it.

use crate::model::record::Record;
use crate::model::service::{self, Event, Main, Phase, Service};
use crate::model::spec::Policy;
use crate::model::time::Span;
use crate::signal;
use crate::sys::clock;
use crate::sys::ledger::Ledger;
use crate::sys::owned::Orphans;
use crate::sys::process::{self, Held, children};
use std::collections::BTreeSet;

/// What was killed has so long to be gone, before anything else is done. What is not by then is looked after later.
const PATIENCE: Span = Span::seconds(1);

/// What there is to go on with.
pub struct Found {
    /// The service as it stands.
    pub service: Service,
    /// What happens first.
    pub events: [Option<Event>; 2],
    /// Its main process, zei-init's child now.
    pub main: Option<Held>,
    /// Processes of it may be zei-init's children.
    pub adopted: bool,
}

/// A predecessor died, and so have the locks that it held: nobody writes the record any more, and what it had begun to
/// make is made, or never will be. The service goes on as it is; probes and hooks are killed.
pub fn take_over(record: &Record, ledger: &Ledger, orphans: &Orphans, policy: &Policy) -> Found {
    let adopted = service::may_have_left(&record.service);
    if adopted {
        end_jobs(orphans);
    }
    let (state, held) = find(record, ledger, orphans);
    let spared = held.as_ref().map(|held| held.process.pid);
    // One that has gone over to another program has its children still.
    let has_child = || children().into_iter().any(|child| Some(child) != spared);
    // While it runs, nobody asks what else there is.
    let left = adopted && !matches!(state, Main::Runs(_)) && (orphans.exist_but(spared) || has_child());
    let (service, mut events) = service::take_over(record.service, state, left, clock::now(), policy);
    if let Phase::Planned { .. } = service.phase {
        // The clock may have been set while nobody watched it.
        events = [Some(Event::ClockSet(clock::wall())), None];
    }
    Found { service, events, main: held, adopted }
}

/// What has become of the main process. It is held first and asked for its end then: as long as zei-init has not told of
/// that, its pid can't be another's.
fn find(record: &Record, ledger: &Ledger, orphans: &Orphans) -> (Main, Option<Held>) {
    let Some(known) = service::left_behind(&record.service, record.child.pid) else { return (Main::None, None) };
    if let (None, Some(failure)) = (record.service.process, record.child.failure) {
        return (Main::NotMade(failure), None);
    }
    let held = process::hold_other(known.pid);
    let told = ledger.end(orphans.index).filter(|end| (end.run, end.pid) == (record.service.run, known.pid));
    if let Some(end) = told {
        return (Main::Ended(known, end.exit), None);
    }
    match held.and_then(|held| held.known_as(known)) {
        Some(mut held) => {
            // What follows goes by the process as it stands there.
            held.process = record.service.process.unwrap_or(held.process);
            (Main::Runs(held.process), Some(held))
        }
        // Another's child, which that has reaped: nobody knows how it ended.
        None => (Main::Ended(known, crate::exit::Exit::Code(0)), None),
    }
}

/// Kills the jobs, and waits for their end.
fn end_jobs(orphans: &Orphans) {
    let deadline = clock::now().plus(PATIENCE);
    let mut is_second = false;
    while clock::now() < deadline {
        // What ends leaves its own children to zei-init, so they are looked for until there are none.
        let jobs = orphans.jobs();
        if jobs.is_empty() && is_second {
            return;
        }
        // One that ended after it was listed, and before it was held, has left its own in that moment: none is none when
        // it is so twice.
        is_second = jobs.is_empty();
        jobs.signal(&[signal::KILL], &mut BTreeSet::new());
        jobs.wait(deadline);
    }
}
