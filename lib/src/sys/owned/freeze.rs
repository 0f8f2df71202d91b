//! Stopping everything of a service, be it a storm of processes that make others and end.
//!
//! Must never: reap. Among many that run, this process has a processor for a moment only.

use super::{Targets, Whole};
use crate::model::time::{Span, Time};
use crate::signal;
use crate::sys::clock;
use crate::sys::process::{self, children, listed_children, main_threads_children};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

impl Whole {
    /// Stops all of it (SIGSTOP), so that nothing can make another that is not seen, and returns it: what is stopped was
    /// stopped before a second look found nothing new.
    pub(super) fn freeze(&mut self) -> Targets {
        // What is stopped makes none, so it takes milliseconds; nobody is kept waiting for longer than this.
        const PATIENCE: Span = Span::seconds(1);
        let until = clock::now().plus(PATIENCE);
        let mut stopped = BTreeSet::new();
        loop {
            self.stop_what_runs(&mut stopped, until);
            // The pid of one that has ended may be another's by now.
            self.strangers.clear();
            let all = self.listed();
            let there: BTreeSet<u32> = all.0.iter().map(|(pid, _)| *pid).collect();
            stopped.retain(|pid| there.contains(pid));
            if all.signal(&[signal::STOP], &mut stopped) == 0 || clock::now() >= until {
                return all;
            }
        }
    }

    /// Looks for what is not `stopped` until there is hardly anything that runs.
    fn stop_what_runs(&mut self, stopped: &mut BTreeSet<u32>, until: Time) {
        let mut living = Targets::default();
        loop {
            let count = self.stop_nearest(stopped, &mut living);
            // What was stopped while it made another has made it by now, and that goes on.
            let new = |pid| main_threads_children(pid).into_iter().filter(|pid| !stopped.contains(pid)).collect();
            living.look_below(new, |_| true);
            if count + living.signal(&[signal::STOP], stopped) == 0 || clock::now() >= until {
                return;
            }
        }
    }

    /// Stops children and orphans, each as it is met, the newest first: they are the ones that live, where something makes
    /// others all the time. Returns how many, which are among the `living` then. What is older than many that have ended
    /// may be left out.
    fn stop_nearest(&mut self, stopped: &mut BTreeSet<u32>, living: &mut Targets) -> usize {
        // So many in a row that have ended: there are newer ones by now.
        const ENDED: usize = 32;
        let before = living.0.len();
        let mut ended = 0;
        for pid in children().into_iter().rev().filter(|pid| !stopped.contains(pid)).collect::<Vec<_>>() {
            if process::has_child_ended(pid) {
                stopped.insert(pid);
                ended += 1;
            } else {
                living.stop((pid, None), stopped);
                ended = 0;
            }
            if ended >= ENDED && living.0.len() > before {
                return living.0.len() - before;
            }
        }
        let Some(orphans) = self.orphans else { return living.0.len() - before };
        ended = 0;
        for pid in listed_children(orphans.init).into_iter().rev() {
            if stopped.contains(&pid) || self.strangers.contains(&pid) {
                continue;
            }
            if let Some(held) = orphans.hold_one(pid, false) {
                living.stop(held, stopped);
                ended = 0;
            } else {
                self.strangers.insert(pid);
                ended += 1;
            }
            if ended >= ENDED {
                break;
            }
        }
        living.0.len() - before
    }
}

impl Targets {
    /// Stops one more.
    fn stop(&mut self, found: (u32, Option<OwnedFd>), stopped: &mut BTreeSet<u32>) {
        let found = Targets(vec![found]);
        found.signal(&[signal::STOP], stopped);
        self.0.extend(found.0);
    }
}
