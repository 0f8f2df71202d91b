//! The ends of processes whose supervisor was killed.
//!
//! Owns: putting the end of a main process on record, and whom to tell. Must never: reap, nor look at the process: many
//! may end.

use super::Running;
use crate::exit::Exit;
use crate::model::record::Record;
use crate::model::service::{self, Phase, Reason};
use crate::model::slot::End;

impl Running {
    /// A process that is no supervisor has ended: where it was a service's main process, that is put on record before
    /// it is reaped. Returns the supervisors that are to be told. A main process is known by its pid, which can't be
    /// another's before its end stands there; whatever else it may be, it is better told to too many. Where somebody
    /// traces a supervisor (ptrace(2)), its death is seen only after that of what it leaves.
    pub(super) fn pass_end(&self, pid: u32, exit: Exit) -> Vec<u32> {
        let unseen = self.tree.main_of(pid).filter(|index| !self.replaced.contains(index));
        self.replaced.iter().copied().chain(unseen).filter_map(|index| self.pass_end_of(index, pid, exit)).collect()
    }

    fn pass_end_of(&self, index: usize, pid: u32, exit: Exit) -> Option<u32> {
        let Record { service, child, .. } = self.shared.ledger.read(index)?;
        let is_main = service::left_behind(&service, child.pid).is_some_and(|main| main.pid == pid);
        if is_main && let Err(errno) = self.shared.ledger.tell_end(index, End { run: service.run, pid, exit }) {
            self.say(format_args!("cannot pass on how {} ended: {}", self.name(index), errno.desc()));
        }
        // Nobody waits for what a main process leaves behind but who has to end it.
        let awaits_others = matches!(service.phase, Phase::Stopping { .. } | Phase::Failed(Reason::Stray));
        self.pids.get(index).copied().flatten().filter(|_| is_main || awaits_others)
    }
}
