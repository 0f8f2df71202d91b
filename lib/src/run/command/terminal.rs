//! The foreground of the terminal on standard input (credentials(7), tcsetpgrp(3)).
//!
//! Owns: who gets it and when it comes back. Must never: take it from somebody else's process group.
//!
//! zei-init keeps the session and the controlling terminal that it was started with; the command gets a
//! process group of its own in that session, which becomes the foreground. So ^C and ^Z go to the
//! command and not to zei-init too (which would send them on a second time), and a shell finds
//! everything as a login leaves it: job control works. The group is never orphaned (its leader's
//! parent, zei-init, is in the same session), so ^Z can stop it.

use crate::sys::raw;
use crate::sys::spawn::Session;
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

/// What zei-init had when it was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Terminal {
    /// Its own group was the foreground.
    Foreground,
    /// No terminal of this session, or another group was the foreground.
    None,
}

impl Terminal {
    /// Looks at standard input.
    pub fn find() -> Terminal {
        if tcgetpgrp(raw::standard(0)) == Ok(getpgrp()) { Terminal::Foreground } else { Terminal::None }
    }

    /// What the command's process has to do.
    pub fn session(self) -> Session {
        match self {
            Terminal::Foreground => Session::ForegroundGroup,
            Terminal::None => Session::Group,
        }
    }

    /// Makes zei-init's group the foreground again. All signals are blocked here, so the kernel does not
    /// stop it for asking from the background (SIGTTOU). A terminal that has gone meanwhile is no loss.
    pub fn take_back(self) {
        if self == Terminal::Foreground {
            let _gone = tcsetpgrp(raw::standard(0), getpgrp());
        }
    }

    /// The same, but only if the foreground is still the group of the process `leader`.
    pub fn take_back_from(self, leader: u32) {
        if tcgetpgrp(raw::standard(0)).map(Pid::as_raw).map(i32::unsigned_abs) == Ok(leader) {
            self.take_back();
        }
    }
}
