//! The ends of processes whose supervisor was killed.
//!
//! Owns: putting the end of a main process on record, and whom to tell. Must never: reap.

use super::Running;
use crate::exit::Exit;
use crate::model::record::Record;
use crate::model::service::{self, Phase, Reason};
use crate::model::slot::End;
use crate::sys::owned::Owner;

impl Running {
    /// A process that is no supervisor has ended: where it was a service's main process, that is put on record before
    /// it is reaped. Returns the supervisors that are to be told.
    pub(super) fn pass_end(&self, pid: u32, exit: Exit) -> Vec<u32> {
        match self.marks.owner(pid) {
            Owner::Service(index) => self.pass_end_of(index, pid, exit).into_iter().collect(),
            Owner::Nobody => Vec::new(),
            // For want of a descriptor, for example. A main process is found in a record, as its pid can't be another's
            // before its end stands there; of what else it may be it is better told to too many.
            Owner::Unknown => match (0..self.pids.len()).find(|index| self.is_main_of(*index, pid)) {
                Some(index) => self.pass_end_of(index, pid, exit).into_iter().collect(),
                None => {
                    let heirs = (0..self.pids.len()).filter(|index| self.awaits_others(*index));
                    heirs.filter_map(|index| self.supervisor_of(index)).collect()
                }
            },
        }
    }

    fn pass_end_of(&self, index: usize, pid: u32, exit: Exit) -> Option<u32> {
        let Record { service, .. } = self.shared.ledger.read(index)?;
        let is_main = self.is_main_of(index, pid);
        if is_main && let Err(errno) = self.shared.ledger.tell_end(index, End { run: service.run, pid, exit }) {
            self.say(format_args!("cannot pass on how {} ended: {}", self.name(index), errno.desc()));
        }
        self.supervisor_of(index).filter(|_| is_main || self.awaits_others(index))
    }

    fn is_main_of(&self, index: usize, pid: u32) -> bool {
        let record = self.shared.ledger.read(index);
        let main = record.and_then(|Record { service, child, .. }| service::left_behind(&service, child.pid));
        main.is_some_and(|main| main.pid == pid)
    }

    /// Nobody waits for what a main process leaves behind but who has to end it.
    fn awaits_others(&self, index: usize) -> bool {
        let phase = self.shared.ledger.read(index).map(|record| record.service.phase);
        matches!(phase, Some(Phase::Stopping { .. } | Phase::Failed(Reason::Stray)))
    }

    fn supervisor_of(&self, index: usize) -> Option<u32> {
        self.pids.get(index).copied().flatten()
    }
}
