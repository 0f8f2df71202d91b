//! A supervisor begins: with a service that nothing is known of, or as a successor.
//!
//! Must never: open anything before all that zei-init has passed on is taken.

use super::Supervisor;
use super::commands::{self, Commands};
use super::jobs::Jobs;
use super::outputs::Outputs;
use super::renew::Passed;
use super::schedule::Waiting;
use super::standing::Standing;
use super::takeover::{self, Found};
use super::voice::Voice;
use super::watch::Watch;
use crate::model::definition::Definitions;
use crate::model::record::Record;
use crate::model::service::{Phase, Service, Stage};
use crate::model::slot::Calls;
use crate::model::time::Time;
use crate::protocol::control::Lines;
use crate::protocol::journal::Entry;
use crate::run::crowd::Crowd;
use crate::run::journal::Journal;
use crate::run::place::Place;
use crate::signal::{self, Set};
use crate::sys::cgroup::Group;
use crate::sys::ledger::{self, Ledger};
use crate::sys::owned::{Marks, Orphans, Whole};
use crate::sys::raw::{self, Arguments};
use crate::sys::signals::Signals;
use crate::sys::{clock, elevation};
use nix::errno::Errno;
use nix::sys::stat::fstat;
use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

/// Takes what zei-init has passed on.
///
/// # Errors
/// What can't be done, and why.
pub fn begin(arguments: Arguments) -> Result<Supervisor<'static>, (&'static str, Errno)> {
    let missing = ("find what zei-init passes on; it is not to be started by hand", Errno::EINVAL);
    let index = arguments.get(2).and_then(|text| text.parse::<usize>().ok()).ok_or(missing)?;
    let definitions = raw::inherited(ledger::DEFINITIONS).ok_or(missing)?;
    let ledger = Ledger::over(raw::inherited(ledger::LEDGER).ok_or(missing)?);
    let report = raw::inherited(ledger::REPORT);
    let control = raw::inherited(ledger::CONTROL);
    let services = raw::inherited(ledger::SERVICES);
    let groups = raw::inherited(ledger::GROUPS);
    let mut journal = Journal::over(raw::inherited(ledger::JOURNAL));
    let length = fstat(&definitions).map_or(0, |stat| usize::try_from(stat.st_size).unwrap_or(0));
    let bytes = raw::map(definitions.as_fd(), length).map_err(|errno| ("map the definitions", errno))?;
    let definition = Definitions(bytes).service(index).ok_or(missing)?;
    if let Some(invoker) = Definitions(bytes).invoker() {
        elevation::rest_as(invoker.uid).map_err(|errno| ("be at rest", errno))?;
    }
    let group = groups.and_then(|groups| Group::new(groups, definition.name.as_str()));
    let (mut voice, outputs, mut jobs) = (Voice::inherit(&definition), Outputs::inherit(), Jobs::default());
    let passed = Passed::of(&[
        (ledger::REPORT, report.is_some()),
        (ledger::CONTROL, control.is_some()),
        (ledger::SERVICES, services.is_some()),
        (ledger::JOURNAL, journal.is_kept()),
        (ledger::NOTIFY, voice.descriptor().is_some()),
        (ledger::LOG_OUT, outputs.has(0)),
        (ledger::LOG_ERR, outputs.has(1)),
        (ledger::GROUPS, group.is_some()),
    ]);
    // Only now may anything be opened: it could get the number of something that was not passed on.
    let signals = Signals::take(Set::of(&[signal::CHLD, signal::TERM])).map_err(|errno| ("take signals", errno))?;
    nix::sys::prctl::set_child_subreaper(true).map_err(|errno| ("become a subreaper", errno))?;
    crate::run::be_prompt();
    let want = arguments.get(3) == Some("up");
    // Waits for a predecessor's start that is under way. Nobody else can hold this one.
    let lock = ledger.lock(index);
    let mut place = services.as_ref().and_then(|services| Place::open(services.as_fd(), definition.name.as_str()));
    if let Some(place) = &mut place {
        place.lock(lock.is_none());
    }
    let init = nix::unistd::getppid();
    let orphans = Orphans { init: init.as_raw().unsigned_abs(), marks: Marks::of(ledger.token()), index };
    let (Found { service, events, main, adopted }, Record { seq, alone, heard, .. }) = match ledger.read(index) {
        Some(record) => {
            // What its predecessor recorded and did not come to tell.
            let mut told = commands::status(&record.service, &definition, record.seq);
            let former = place.as_ref().and_then(Place::status).filter(|status| status.run == record.service.run);
            if let Some(former) = former.filter(|_| record.service.process.is_some()) {
                // What the service and its probe have said stands nowhere else.
                voice.recall(former.text);
                told.text = former.text;
                if let Some(words) = former.reason.as_str().strip_prefix("unhealthy:") {
                    jobs.recall(words);
                    told.reason = former.reason;
                }
            }
            journal.resume(Entry::of(&told, clock::now().0, clock::wall()));
            (takeover::take_over(&record, &ledger, &orphans, &definition.policy), record)
        }
        None => {
            let service = Service::new(want, clock::now(), &definition.policy);
            (
                Found { service, events: [None; 2], main: None, adopted: false },
                Record { seq: 0, ..Record::first(service) },
            )
        }
    };
    let has_asked = matches!(service.phase, Phase::Stopping { stage: Stage::Rest, .. });
    Ok(Supervisor {
        arguments,
        passed,
        _definitions: definitions,
        // Not as they are by now: what was called for meanwhile is still to be done.
        calls: arguments.get(4).and_then(Calls::parse).unwrap_or_default(),
        called: ledger.calls(),
        index,
        definition,
        service,
        inherited: events,
        seq,
        ledger,
        report,
        control,
        signals,
        watch: Watch::new(services),
        journal,
        commands: Commands::begin(place.as_ref().filter(|_| seq > 0)),
        place,
        lines: Lines::default(),
        heard,
        known: 0,
        voice,
        outputs,
        jobs,
        waiting: Waiting::default(),
        main,
        orphans,
        adopted,
        group,
        crowd: Crowd::NONE,
        turn: Time::NEVER,
        changed: None,
        looked: Time(0),
        _lock: lock,
        standing: (seq == 0).then_some(Standing::NONE),
        init,
        holds: false,
        alone,
        // One that has gone over to another program has its children still, and has asked them.
        asked: if has_asked { Whole::new(None).pids() } else { BTreeSet::new() },
        killed: None,
        retiring: None,
        leaving: false,
    })
}
