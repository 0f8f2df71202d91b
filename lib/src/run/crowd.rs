//! Reaping where many end.
//!
//! Owns: how many are reaped before something else is looked at. Must never: reap.

use crate::model::pace::Pace;
use crate::model::time::Time;
use crate::sys::{clock, process};

/// What may have ended and is not reaped yet.
#[derive(Debug)]
pub struct Crowd {
    pace: Pace,
    is_left: bool,
    /// How many were reaped since the last look at how many there are.
    reaped: u64,
}

impl Crowd {
    /// Nobody.
    pub const NONE: Crowd = Crowd { pace: Pace::NEW, is_left: false, reaped: 0 };

    /// How many are to be reaped at most before something else is looked at.
    pub fn most(&mut self) -> u64 {
        self.is_left = true;
        self.pace.begin(clock::now())
    }

    /// So many were reaped, and there may be more.
    pub fn goes_on(&mut self, count: u64) {
        // That takes half a second at the pace of a storm.
        const BEFORE_A_LOOK: u64 = 400;
        // More than a limit of processes for a container usually is: too many to be left.
        const MANY: usize = 5000;
        self.reaped += count;
        if self.reaped >= BEFORE_A_LOOK {
            self.reaped = 0;
            if process::children().len() > MANY {
                self.pace = Pace::NEW;
                return;
            }
        }
        if count > 0 {
            self.pace.go_on(clock::now());
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

    /// Whether processes are made and end as fast as they can.
    pub fn is_storm(&self) -> bool {
        self.pace.is_storm(clock::now())
    }

    /// When the next are to be reaped; `None`: when something ends.
    pub fn next(&self) -> Option<Time> {
        self.is_left.then(|| self.pace.next())
    }

    /// What ends now was asked to.
    pub fn is_expected(&mut self) {
        self.pace.expect(clock::now());
    }
}
