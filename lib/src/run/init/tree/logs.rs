//! zei-log in the loop of zei-init: started, replaced, left alone until all others are gone, and let finish.
//!
//! Must never: wait for it, but at the very end, and then not long.

use super::Running;
use crate::exit::Exit;
use crate::model::time::Span;
use crate::sys::spawn::Stream;
use crate::sys::{clock, process};
use std::os::fd::AsFd;

/// So long the last lines may take to be delivered.
const PATIENCE: Span = Span(500);

impl Running {
    /// Starts zei-log if it is time for that.
    pub(super) fn tend_pump(&mut self) {
        if self.pump.deadline().is_some_and(|deadline| deadline <= clock::now()) {
            self.start_pump();
        }
    }

    fn start_pump(&mut self) {
        let streams = [Stream::Of(self.null.as_fd()), Stream::Same, Stream::Same];
        let first = self.pump.is_first_attempt();
        if let Err((what, errno)) = self.pump.start(streams, &self.voices, self.defaults, clock::now())
            && first
        {
            self.say(format_args!("cannot start zei-log: cannot {what}: {}; trying again", errno.desc()));
        }
    }

    /// Whether it was zei-log that has ended.
    pub(super) fn pump_has_ended(&mut self, pid: u32, exit: Exit) -> bool {
        let was_asked = self.pump.is_stale();
        let was_it = self.pump.has_ended(pid, clock::now());
        if was_it && !was_asked {
            self.say(format_args!("zei-log ended by {exit}; replacing it"));
        }
        was_it
    }

    /// Whether zei-log is the only process that is left.
    pub(super) fn is_pump_alone(&self) -> bool {
        // Nobody looks for the others as long as there are supervisors.
        self.supervisors.is_empty() && self.pump.pid().is_some_and(|pid| process::children() == [pid])
    }

    /// Nobody writes any more: what is in the log pipes gets out.
    pub(super) fn drain_pump(&mut self) {
        if self.pump.pid().is_none() && self.pump.deadline().is_some() {
            self.start_pump();
        }
        if !self.pump.finish(PATIENCE) {
            self.say(format_args!("the container's output is not taken; some of the last lines are lost"));
        }
    }
}
