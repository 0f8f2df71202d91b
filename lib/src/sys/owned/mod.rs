//! Whose a process is, wherever it hides, and ending all that is one service's.
//!
//! Owns: finding them. Must never: send a signal to a process that has not been found to be the service's while it was
//! held; where the kernel holds none, right before.

mod freeze;
mod marks;

pub use marks::{Marks, Orphans, Owner};

use crate::model::time::Time;
use crate::signal;
use crate::sys::process::{self, all_children, children, is_zombie, listed_children, parent, signal_child, soft_locks};
use crate::sys::{clock, deliver, raw};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

/// Processes that are to be ended: each with what holds it, where it is not this process's own child and can be held.
#[derive(Debug, Default)]
pub struct Targets(Vec<(u32, Option<OwnedFd>)>);

impl Targets {
    /// Adds what lies below those that are there, as far as it is wanted; `list` knows the children of a process.
    fn look_below(&mut self, list: impl Fn(u32) -> Vec<u32>, wanted: impl Fn(u32) -> bool) {
        let mut next = 0;
        while let Some(ancestor) = self.0.get(next).map(|(pid, _)| *pid) {
            next += 1;
            for pid in list(ancestor) {
                // Its parent may reap it at any time, so it is held; if it is another's by now, it is left out. Without
                // pidfd (ENOSYS) by its pid.
                let held = match raw::pidfd_open(pid) {
                    Ok(held) => Some(held),
                    Err(Errno::ENOSYS) => None,
                    Err(_) => continue,
                };
                if parent(pid) == Some(ancestor) && wanted(pid) {
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
                    Some(held) => deliver::to_held(*pid, held.as_fd(), *number),
                    None => signal_child(*pid, *number),
                };
            }
        }
        new
    }

    /// Waits until all of them have ended, but not longer than until then.
    pub fn wait(&self, until: Time) {
        for (pid, held) in &self.0 {
            process::ends_within(*pid, held.as_ref().map(AsFd::as_fd), until.since(clock::now()));
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Everything that belongs to a service: the children of this process and what lies below them, and the orphans.
#[derive(Debug)]
pub struct Whole {
    orphans: Option<Orphans>,
    /// Children of zei-init that are none of its.
    strangers: BTreeSet<u32>,
}

impl Whole {
    /// `orphans`: where something of it may be beside.
    pub fn new(orphans: Option<Orphans>) -> Whole {
        Whole { orphans, strangers: BTreeSet::new() }
    }

    /// All that there is at this moment. Where that is many, or `fast`, because something makes children faster than they
    /// are found, or where orphans are to be found among zei-init's children, all of it is frozen, as by
    /// [`Whole::freeze`]. True: it is.
    pub fn find(&mut self, fast: bool) -> (Targets, bool) {
        // Whoever makes them all the time leaves them here, and there are only so many processors.
        const MANY: usize = 8;
        if fast || self.orphans.is_some() || children().len() > MANY {
            return (self.freeze(), true);
        }
        (self.listed(), false)
    }

    /// All that there is, where nothing makes others.
    pub fn listed(&mut self) -> Targets {
        let mut all = self.nearest(true);
        all.look_below(listed_children, |_| true);
        all
    }

    /// All that there is, by their pids; nothing is reaped.
    pub fn pids(&mut self) -> BTreeSet<u32> {
        let mut all = self.nearest(false);
        all.look_below(listed_children, |_| true);
        all.0.into_iter().map(|(pid, _)| pid).collect()
    }

    /// The same without looking below. `living`: without children that have ended; otherwise they are among the others, and
    /// an orphan may be missing whose siblings end just then. Nothing is reaped: where there is a limit of processes, each
    /// that is makes room for another.
    fn nearest(&mut self, living: bool) -> Targets {
        let mut near = Vec::new();
        for pid in children() {
            if !living || !process::has_child_ended(pid) {
                near.push((pid, None));
            }
        }
        if let Some(orphans) = self.orphans {
            for pid in if living { all_children(orphans.init) } else { listed_children(orphans.init) } {
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
        targets.look_below(listed_children, is_job);
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
}
