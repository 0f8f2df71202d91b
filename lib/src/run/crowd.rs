//! Reaping where many end.
//!
//! Owns: how many are reaped before something else is looked at. Must never: reap.

use crate::model::pace::Pace;
use crate::model::time::Span;
use crate::sys::{clock, process};

/// What may have ended and is not reaped yet.
#[derive(Debug)]
pub struct Crowd {
    pace: Pace,
    is_left: bool,
    /// How many were reaped since the last look at how many there are, and that they are too many to be left.
    reaped: u64,
    is_behind: bool,
}

impl Crowd {
    /// Nobody.
    pub const NONE: Crowd = Crowd { pace: Pace::FULL, is_left: false, reaped: 0, is_behind: false };

    /// How many are to be reaped at most before something else is looked at.
    pub fn most(&mut self) -> u64 {
        self.is_left = true;
        if self.is_behind {
            self.pace = Pace::FULL;
        }
        self.pace.now(clock::now())
    }

    /// One was reaped.
    pub fn one_less(&mut self) {
        // That takes half a second at the pace of a storm.
        const BEFORE_A_LOOK: u64 = 1000;
        // More than a limit of processes for a container usually is.
        const MANY: usize = 5000;
        self.pace.spend(1);
        self.reaped += 1;
        if self.reaped > BEFORE_A_LOOK {
            self.reaped = 0;
            self.is_behind = process::children().len() > MANY;
        }
    }

    /// None is left.
    pub fn is_gone(&mut self) {
        self.is_left = false;
    }

    /// Whether there may be more.
    pub fn is_left(&self) -> bool {
        self.is_left
    }

    /// How long to wait before the next are reaped; `None`: until something ends.
    pub fn pause(&self) -> Option<Span> {
        self.is_left.then(|| self.pace.pause())
    }

    /// What ends now was asked to.
    pub fn is_expected(&mut self) {
        self.pace = Pace::FULL;
    }
}
