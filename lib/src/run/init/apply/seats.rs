//! What zei-init holds for each service, while the tree changes: made, told, made anew, given up.
//!
//! Owns: the system calls of `Retire`, `Renew` and `Remove`. Must never: decide whose turn it is.

use super::{Current, Refused};
use crate::exit;
use crate::model::change::Fate;
use crate::model::child::Child;
use crate::model::definition::Definitions;
use crate::model::definition::plan::{Outline, Voice};
use crate::model::init::Retirement;
use crate::model::record::Record;
use crate::model::service;
use crate::model::slot::{Retire, Slot};
use crate::name::ServiceName;
use crate::run::init::tree::{self, Running};
use crate::run::init::{control, pump, rundir, shared};
use crate::signal::{self, Set};
use crate::sys::{clock, memfd, process};
use nix::errno::Errno;

impl Running {
    /// All that can fail: the plan is stored, there are records and directories for what is new.
    pub(super) fn make_room(&mut self, plan: &[u8], outline: &Outline, fates: &[Fate]) -> Result<(), Refused> {
        let stored = memfd::sealed("zei-plan", plan).map_err(|errno| Refused::system("store the new plan", errno))?;
        let count = fates.len();
        let held = self.held()?;
        let former = Definitions(&held);
        let room = self.shared.ledger.make_room(count);
        room.map_err(|errno| Refused::system("make room for the run records", errno))?;
        self.give_control(outline.control_group)?;
        let _as_it_is = tree::raise_descriptor_limit(count, pump::count(Definitions(plan)));
        self.names.resize(count, ServiceName::CMD);
        self.forward.resize(count, Set::EMPTY);
        self.stop_signals.resize(count, signal::TERM);
        self.pids.resize(count, None);
        self.controls.resize_with(count, || None);
        self.voices.resize_with(count, || None);
        for (index, member) in outline.services.iter().enumerate() {
            let Some(member) = member else { continue };
            if let (Some(forward), Some(stop)) = (self.forward.get_mut(index), self.stop_signals.get_mut(index)) {
                (*forward, *stop) = (member.forward_signals, member.stop_signal);
            }
            let needs = Definitions(plan).needs_file(index);
            if fates.get(index) == Some(&Fate::Add) {
                self.make_seat(index, member.name, &needs);
                self.give_voice(index, member.name, member.voice);
                self.pump.follow(index, Definitions(plan));
            } else if let Some(run_dir) = &self.run_dir
                && needs != former.needs_file(index)
            {
                let _for_people_only = run_dir.replace_needs(member.name, &needs);
            }
        }
        self.shared.replace(stored);
        self.pump.refresh();
        Ok(())
    }

    /// The last that can fail: from here on control is for this group.
    fn give_control(&mut self, group: Option<u32>) -> Result<(), Refused> {
        let Some(run_dir) = &mut self.run_dir else { return Ok(()) };
        run_dir.regroup(group, self.controls.iter().flatten()).map_err(|errno| match group {
            Some(gid) => Refused::new(exit::SYSTEM, rundir::cannot_give(gid, errno)),
            None => Refused::system("take control from its group", errno),
        })
    }

    fn make_seat(&mut self, index: usize, name: ServiceName, needs: &str) {
        if let Some(slot) = self.names.get_mut(index) {
            *slot = name;
        }
        let control = self.run_dir.as_ref().and_then(|run_dir| control(name, run_dir.add_service(name, needs)));
        if let Some(slot) = self.controls.get_mut(index) {
            *slot = control;
        }
        self.note(index, self.shared.ledger.clear(index).and_then(|()| self.shared.ledger.mark(index, Slot::of(name))));
    }

    /// The new one takes the name of the old one, which must be gone by then. One of the same kind stays: what an earlier
    /// run has said through it is thrown away when the next one begins, and there may be no descriptor for another.
    fn give_voice(&mut self, index: usize, name: ServiceName, voice: Option<Voice>) {
        if let Some(slot) = self.voices.get_mut(index) {
            if voice.is_some() && slot.as_ref().and_then(shared::kind) == voice {
                return;
            }
            *slot = None;
            *slot = voice.and_then(|voice| shared::voice(name, voice, self.seed));
        }
    }

    /// Orders a supervisor to leave.
    pub(in crate::run::init) fn retire(&self, index: usize, then: Retirement) {
        let retire = match then {
            Retirement::Renew { .. } => Retire::Renew,
            Retirement::Remove => Retire::Remove,
        };
        let slot = Slot { retire: Some(retire), ..Slot::of(self.name(index)) };
        self.note(index, self.shared.ledger.mark(index, slot));
        if let Some(pid) = self.pids.get(index).copied().flatten() {
            let _it_is_gone = process::signal_child(pid, signal::TERM);
        }
    }

    /// Records that a service begins anew; `starts`: wanted in any case.
    pub(in crate::run::init) fn renew(&mut self, index: usize, starts: bool) {
        let plan = match &self.changes.current {
            Some(Current::Changing { plan, .. }) => plan.as_slice(),
            _ => &[],
        };
        let (definition, voice) = (Definitions(plan).service(index), Definitions(plan).voice(index));
        let ledger = &self.shared.ledger;
        if let (Some(record), Some(definition)) = (ledger.read(index), definition) {
            let service = service::renewed(&record.service, starts, clock::now(), &definition.policy);
            self.note(
                index,
                ledger.write(index, &Record { seq: record.seq + 1, service, child: Child::default(), ..record }),
            );
        }
        self.note(index, ledger.mark(index, Slot::of(self.name(index))));
        self.pump.follow(index, Definitions(plan));
        self.give_voice(index, self.name(index), voice);
        self.pump.refresh();
    }

    /// Leaves nothing of a service that is gone.
    pub(in crate::run::init) fn remove(&mut self, index: usize) {
        self.note(index, self.shared.ledger.clear(index));
        if let Some(forward) = self.forward.get_mut(index) {
            *forward = Set::EMPTY;
        }
        if let (Some(control), Some(voice)) = (self.controls.get_mut(index), self.voices.get_mut(index)) {
            (*control, *voice) = (None, None);
        }
        self.pump.take(index);
        if let Some(Err(errno)) = self.run_dir.as_ref().map(|run_dir| run_dir.remove_service(self.name(index))) {
            self.say(format_args!("cannot remove the directory of {}: {}", self.name(index), errno.desc()));
        }
    }

    fn note(&self, index: usize, written: Result<(), Errno>) {
        if let Err(errno) = written {
            self.say(format_args!("cannot record what becomes of {}: {}", self.name(index), errno.desc()));
        }
    }
}
