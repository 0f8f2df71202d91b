//! By what a process is known to be a service's.
//!
//! Owns: the marks, and what a killed supervisor has left. Must never: send a signal.

use super::Targets;
use crate::sys::process::{self, all_children, is_zombie, listed_children, parent, soft_locks};
use crate::sys::raw;
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// By what the processes of a tree's services are known, wherever they hide: the soft limit of file locks. It has no
/// effect since Linux 2.4.25 (getrlimit(2)), survives fork, exec, setsid and setuid, and can be read by anyone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marks(u64);

impl Marks {
    /// The bits of the index.
    const INDEX: u64 = (1 << 23) - 1;
    /// Of a job (a probe, a hook): killed with the job, where the service's own processes stay.
    const JOB: u64 = 1 << 23;
    const OWNER: u64 = Marks::INDEX | Marks::JOB;
    /// Never without a limit, nor less than anybody would set.
    const ALWAYS: u64 = 1 << 62;

    /// Those of a start of zei-init, by its random number.
    pub const fn of(token: u64) -> Marks {
        Marks((token >> 2 & !Marks::OWNER) | Marks::ALWAYS)
    }

    /// The mark of a process of service `index`, and of all that it ever makes.
    pub const fn service(self, index: usize) -> u64 {
        self.0 | (index as u64 & Marks::INDEX)
    }

    /// The mark of a job of service `index`, and of all that it ever makes.
    pub const fn job(self, index: usize) -> u64 {
        self.service(index) | Marks::JOB
    }

    /// The service that a process belongs to, be it a zombie.
    pub fn owner(self, pid: u32) -> Owner {
        match soft_locks(pid) {
            None => Owner::Unknown,
            Some(mark) if mark & !Marks::OWNER == self.0 => {
                Owner::Service(usize::try_from(mark & Marks::INDEX).unwrap_or(usize::MAX))
            }
            Some(_) => Owner::Nobody,
        }
    }
}

/// Whose a process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The service with this index.
    Service(usize),
    /// No service's.
    Nobody,
    /// That can't be read: it is gone, or there is no descriptor to read it with.
    Unknown,
}

/// What a supervisor that was killed has left of its service: children of zei-init.
#[derive(Clone, Copy, Debug)]
pub struct Orphans {
    /// zei-init's pid.
    pub init: u32,
    /// The marks of its tree.
    pub marks: Marks,
    /// Which service.
    pub index: usize,
}

impl Orphans {
    fn has(&self, pid: u32, jobs_only: bool) -> bool {
        self.is_marked(pid, jobs_only) && !is_zombie(pid)
    }

    fn is_marked(&self, pid: u32, jobs_only: bool) -> bool {
        let mark = soft_locks(pid);
        let (service, job) = (Some(self.marks.service(self.index)), Some(self.marks.job(self.index)));
        mark == job || (mark == service && !jobs_only)
    }

    /// Whether there is one that lives, this one apart, or whether that can't be known.
    pub fn exist_but(&self, spared: Option<u32>) -> bool {
        let is_left = |pid: u32| Some(pid) != spared && self.hold_one(pid, false).is_some();
        // Where there are many, it is soon found among the newest.
        const NEWEST: usize = 100;
        let children = listed_children(self.init);
        if children.is_empty() {
            // This process itself is one of them, unless zei-init is gone and its children are another's.
            return nix::unistd::getppid().as_raw().unsigned_abs() == self.init;
        }
        children.into_iter().rev().take(NEWEST).any(is_left)
            || process::exists(|pid| is_left(pid) && self.is_within_reach(pid))
    }

    /// Whether a process is one of them, or lies below one.
    pub fn include(&self, pid: u32) -> bool {
        self.is_marked(pid, false) && self.is_within_reach(pid)
    }

    /// Whether a process that is marked can be found and killed by its mark: from it up to zei-init, or to this process,
    /// all are. Any process can give itself a mark that it has read elsewhere; below another service's supervisor, which
    /// has none, it is that one's.
    fn is_within_reach(&self, pid: u32) -> bool {
        // A longer line has begun again, as its members ended, or is one whose first member is found by itself.
        const STEPS: usize = 4096;
        let own = std::process::id();
        let mut at = pid;
        for _step in 0..STEPS {
            match parent(at) {
                Some(up) if up == self.init || up == own => return true,
                Some(up) if self.is_marked(up, false) => at = up,
                // Its parent has ended meanwhile, and it has another one.
                Some(up) if parent(at) != Some(up) => {}
                // It has ended itself: what it has made is asked for anew.
                None if at != pid => at = pid,
                Some(_) | None => return false,
            }
        }
        false
    }

    /// One that lives. Held first: as long as it has not ended, its pid is no other's. Without pidfd (ENOSYS) by its pid.
    pub(super) fn hold_one(&self, pid: u32, jobs_only: bool) -> Option<(u32, Option<OwnedFd>)> {
        match raw::pidfd_open(pid) {
            Err(Errno::ENOSYS) => self.has(pid, jobs_only).then_some((pid, None)),
            Err(_) => None,
            Ok(held) if process::has_ended(&held) => None,
            Ok(held) => (self.is_marked(pid, jobs_only) && !process::has_ended(&held)).then_some((pid, Some(held))),
        }
    }

    /// The jobs among them, and what they have made.
    pub fn jobs(&self) -> Targets {
        let mut targets =
            Targets(all_children(self.init).into_iter().filter_map(|pid| self.hold_one(pid, true)).collect());
        targets.look_below(listed_children, |_| true);
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const MARKS: Marks = Marks::of(0x1234_5678_9abc_def0);

    #[test]
    fn the_marks_of_services_and_of_their_jobs_are_all_different() {
        let marks = (0..1000).chain([65_535]).flat_map(|index| [MARKS.service(index), MARKS.job(index)]);
        assert_eq!(marks.clone().collect::<BTreeSet<_>>().len(), marks.count());
    }
}
