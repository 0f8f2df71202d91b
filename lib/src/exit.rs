//! How a process ended, and the exit codes that zei's own programs use.
//!
//! Owns: the one table of exit codes. Must never: decide which of them applies.

use core::fmt;

/// The outcome of one process, as `waitpid(2)` reports it; codes and signals are
/// kept apart until the last moment, where [`Exit::code`] folds them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Exit {
    /// It called `exit` with this code.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
}

impl Exit {
    /// The code a shell would show: the code itself, or 128 + the signal's number.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => SIGNAL_BASE.saturating_add(signal),
        }
    }

    /// True for exit code 0 only: a death by a signal is a failure.
    pub const fn is_success(self) -> bool {
        matches!(self, Exit::Code(0))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "signal {}", crate::signal::Name(*signal)),
        }
    }
}

/// One row of the table: the number, and what it means in every zei program that uses it.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// The code.
    pub code: u8,
    /// What it says, as the manual pages print it.
    pub text: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        $(#[doc = $text] pub const $name: u8 = $code;)*
        /// Every exit code of zei's own; documentation is checked against it.
        pub const TABLE: &[Meaning] = &[$(Meaning { code: $code, text: $text }),*];
    };
}

codes! {
    OK = 0, "done, or the container's end was asked for";
    NOT_TRUE = 1, "what was asked for did not come true";
    NOT_RUNNING = 3, "zei-ctl status: a service is neither running nor completed";
    NO_SUCH_SERVICE = 4, "zei-ctl: no service of that name";
    CONFIG = 100, "bad configuration or usage";
    NO_ZEI = 102, "zei-ctl: zei is not running";
    SYSTEM = 111, "the system refused something";
    NO_CODE = 125, "a service failed without ever having an exit code";
    NOT_EXECUTABLE = 126, "the program is there but can't be executed";
    NOT_FOUND = 127, "the program was not found";
}

/// A process that ended by signal N counts as code 128 + N, as shells have it.
pub const SIGNAL_BASE: u8 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_folds_to_128_plus_its_number_and_never_counts_as_success() {
        for signal in 1..=64 {
            assert_eq!(Exit::Signal(signal).code(), 128 + signal);
            assert!(!Exit::Signal(signal).is_success());
        }
        assert!(Exit::Code(0).is_success());
        assert!((1..=255).all(|code| !Exit::Code(code).is_success() && Exit::Code(code).code() == code));
    }

    #[test]
    fn every_code_has_one_meaning() {
        for (index, row) in TABLE.iter().enumerate() {
            assert!(TABLE[index + 1..].iter().all(|other| other.code != row.code));
        }
    }
}
