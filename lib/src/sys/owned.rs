//! Whose a process is, wherever it hides, and ending all that is one service's.
//!
//! Owns: the marks. Must never: send a signal to a process that has not been found to be the service's while it was held.

use crate::model::time::Span;
use crate::signal;
use crate::sys::clock;
use crate::sys::process::{self, all_children, children, is_zombie, listed_children, parent, signal_child, soft_locks};
use crate::sys::raw;
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Processes that are to be ended: each with what holds it, where it is not this process's own child.
#[derive(Debug, Default)]
pub struct Targets(Vec<(u32, Option<OwnedFd>)>);

impl Targets {
    /// Adds what lies below those that are there, as far as it is wanted.
    fn look_below(&mut self, wanted: impl Fn(u32) -> bool) {
        let mut next = 0;
        while let Some(ancestor) = self.0.get(next).map(|(pid, _)| *pid) {
            next += 1;
            for pid in listed_children(ancestor) {
                // Its parent may reap it at any time, so it is held; if it is another's by now, it is left out.
                let held = raw::pidfd_open(pid).ok().filter(|_| parent(pid) == Some(ancestor) && wanted(pid));
                if held.is_some() {
                    self.0.push((pid, held));
                }
            }
        }
    }

    /// Sends them signals, but for those that were meant before, which from now on these are among. Returns how many
    /// were new.
    pub fn signal(&self, numbers: &[u8], before: &mut BTreeSet<u32>) -> usize {
        let mut new = 0;
        for (pid, held) in &self.0 {
            if !before.insert(*pid) {
                continue;
            }
            new += 1;
            for number in numbers {
                let _may_be_gone = match held {
                    Some(held) => raw::pidfd_send(held.as_fd(), *number),
                    None => signal_child(*pid, *number),
                };
            }
        }
        new
    }

    /// What holds them.
    pub fn held(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().filter_map(|(_, held)| held.as_ref().map(AsFd::as_fd))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Everything that belongs to a service: the children of this process and what lies below them, and the orphans.
#[derive(Debug)]
pub struct Whole {
    awaited: [Option<u32>; 2],
    orphans: Option<Orphans>,
    /// Children of zei-init that are none of its.
    strangers: BTreeSet<u32>,
}

impl Whole {
    /// `awaited`: children whose ends somebody waits for, so that they are not reaped in passing; `orphans`: where else
    /// something of it may be.
    pub fn new(awaited: [Option<u32>; 2], orphans: Option<Orphans>) -> Whole {
        Whole { awaited, orphans, strangers: BTreeSet::new() }
    }

    /// All that there is at this moment; where that is many, or `fast`, because something makes children faster than they
    /// are found, all of it is frozen, as by [`Whole::freeze`]. True: it is.
    pub fn find(&mut self, fast: bool) -> (Targets, bool) {
        // Whoever makes them all the time leaves them here, and there are only so many processors.
        const MANY: usize = 8;
        if fast || self.nearest(false).0.len() > MANY {
            return (self.freeze(), true);
        }
        let mut all = self.nearest(true);
        all.look_below(|_| true);
        (all, false)
    }

    /// All that there is, by their pids; nothing is reaped.
    pub fn pids(&mut self) -> BTreeSet<u32> {
        let mut all = self.nearest(false);
        all.look_below(|_| true);
        all.0.into_iter().map(|(pid, _)| pid).collect()
    }

    /// The same without looking below. `reaps`: children that have ended are reaped; otherwise they are among the others.
    fn nearest(&mut self, reaps: bool) -> Targets {
        let mut near = Vec::new();
        for pid in children() {
            if !reaps || self.awaited.contains(&Some(pid)) || !process::reap_now(pid) {
                near.push((pid, None));
            }
        }
        if let Some(orphans) = self.orphans {
            for pid in all_children(orphans.init) {
                if self.strangers.contains(&pid) {
                    continue;
                }
                match orphans.hold_one(pid, false) {
                    Some(held) => near.push(held),
                    None => {
                        self.strangers.insert(pid);
                    }
                }
            }
        }
        Targets(near)
    }

    /// Stops all of it (SIGSTOP), so that nothing can make another that is not seen, and returns it. What is stopped was
    /// stopped before a second look found nothing new: first what lies near, as that can be fast, then all.
    fn freeze(&mut self) -> Targets {
        // What is stopped makes none, so it takes milliseconds; nobody is kept waiting for longer than this.
        const PATIENCE: Span = Span::seconds(1);
        let until = clock::now().plus(PATIENCE);
        let mut stopped = BTreeSet::new();
        while clock::now() < until {
            // Nothing is reaped meanwhile: among many that run, a process has the processor for a moment only.
            if self.nearest(false).signal(&[signal::STOP], &mut stopped) > 0 {
                continue;
            }
            let mut all = self.nearest(true);
            all.look_below(|_| true);
            // The pid of one that was reaped may be another's from here on.
            let there: BTreeSet<u32> = all.0.iter().map(|(pid, _)| *pid).collect();
            stopped.retain(|pid| there.contains(pid));
            if all.signal(&[signal::STOP], &mut stopped) == 0 {
                return all;
            }
        }
        let mut all = self.nearest(true);
        all.look_below(|_| true);
        all
    }
}

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
        let mark = soft_locks(pid);
        let (service, job) = (Some(self.marks.service(self.index)), Some(self.marks.job(self.index)));
        (mark == job || (mark == service && !jobs_only)) && !is_zombie(pid)
    }

    /// Whether there is one that lives, this one apart, or whether that can't be known.
    pub fn exist_but(&self, spared: Option<u32>) -> bool {
        let children = all_children(self.init);
        if children.is_empty() {
            // This process itself is one of them, unless zei-init is gone and its children are another's.
            return nix::unistd::getppid().as_raw().unsigned_abs() == self.init;
        }
        let is_left = |pid: u32| Some(pid) != spared && self.has(pid, false);
        children.into_iter().any(is_left) || process::exists(is_left)
    }

    /// Held first: what is read then is of the same process. Without pidfd (ENOSYS) by its pid.
    fn hold_one(&self, pid: u32, jobs_only: bool) -> Option<(u32, Option<OwnedFd>)> {
        if !self.has(pid, jobs_only) {
            return None;
        }
        match raw::pidfd_open(pid) {
            Err(Errno::ENOSYS) => Some((pid, None)),
            held => held.ok().filter(|_| self.has(pid, jobs_only)).map(|held| (pid, Some(held))),
        }
    }

    /// The jobs among them, and what they have made.
    pub fn jobs(&self) -> Targets {
        let mut targets =
            Targets(all_children(self.init).into_iter().filter_map(|pid| self.hold_one(pid, true)).collect());
        targets.look_below(|_| true);
        targets
    }
}

/// Kills every job of the service, with all that it has made. `main`: the one child that is no job, where there is
/// one. Returns how many processes that were: where it is more than 0, what they leave behind may come to light when
/// they are reaped, and this is to be called again then.
pub fn kill_jobs(marks: Marks, index: usize, main: Option<u32>) -> usize {
    // Nobody can make children that fast: what was sent KILL makes none any more.
    const SWEEPS: usize = 100;
    let is_job = |pid: u32| soft_locks(pid) == Some(marks.job(index)) && !is_zombie(pid);
    let mut killed = BTreeSet::new();
    for _sweep in 0..SWEEPS {
        let children = children();
        if children.iter().all(|child| Some(*child) == main) {
            break;
        }
        // Not what lies below others: nothing of the main process's can be a job.
        let mut targets =
            Targets(children.into_iter().filter(|child| is_job(*child)).map(|child| (child, None)).collect());
        targets.look_below(is_job);
        if targets.signal(&[signal::KILL], &mut killed) == 0 {
            break;
        }
    }
    killed.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::tests::{family, wait};
    use std::io::BufRead as _;

    const MARKS: Marks = Marks::of(0x1234_5678_9abc_def0);

    #[test]
    fn of_a_job_nothing_is_left_and_the_service_itself_stays() {
        const INDEX: usize = 4711;
        let (main, mut main_out) = family(MARKS.service(INDEX));
        let (other, mut other_out) = family(MARKS.job(INDEX + 1));
        assert_eq!(kill_jobs(MARKS, INDEX, Some(main)), 0);
        let (job, mut job_out) = family(MARKS.job(INDEX));
        assert_eq!(kill_jobs(MARKS, INDEX, Some(main)), 4);
        // Nobody has its standard output any more.
        assert_eq!(job_out.read_line(&mut String::new()).unwrap(), 0);
        wait(job);
        assert_eq!((listed_children(main).len(), listed_children(other).len()), (2, 2));
        assert_eq!(kill_jobs(MARKS, INDEX + 1, Some(main)), 4);
        assert_eq!(other_out.read_line(&mut String::new()).unwrap(), 0);
        wait(other);
        for pid in listed_children(main).into_iter().flat_map(listed_children).chain(listed_children(main)) {
            // The end of one may be the end of another.
            let _may_be_gone = signal_child(pid, signal::KILL);
        }
        assert_eq!(main_out.read_line(&mut String::new()).unwrap(), 0);
        wait(main);
    }

    #[test]
    fn the_marks_of_services_and_of_their_jobs_are_all_different() {
        let marks = (0..1000).chain([65_535]).flat_map(|index| [MARKS.service(index), MARKS.job(index)]);
        assert_eq!(marks.clone().collect::<BTreeSet<_>>().len(), marks.count());
    }
}
