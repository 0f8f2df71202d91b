//! The supervisor becomes the program that lies on the disk now.
//!
//! Owns: when that is, and what it takes along. Must never: touch its service, or leave a probe or hook behind.
//!
//! What begins then finds the record and goes on as the successor of a killed supervisor does, but the processes of the
//! service are its own children still.

use super::Supervisor;
use crate::exit;
use crate::model::service::Beside;
use crate::model::time::Time;
use crate::sys::elevation::as_root;
use crate::sys::ledger;
use crate::sys::raw::{self, Strings};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::RawFd;

/// The numbers of the descriptors that zei-init has passed on.
#[derive(Clone, Copy, Debug)]
pub struct Passed(u16);

impl Passed {
    /// Those that every supervisor has, and these where they are there.
    pub fn of(others: &[(RawFd, bool)]) -> Passed {
        let there = others.iter().filter(|(_, there)| *there).map(|(number, _)| *number);
        Passed([ledger::DEFINITIONS, ledger::LEDGER].into_iter().chain(there).fold(0, |set, number| set | 1 << number))
    }

    fn numbers(self) -> impl Iterator<Item = RawFd> {
        (0..ledger::END).filter(move |number| self.0 & 1 << number != 0)
    }
}

impl Supervisor<'_> {
    /// Whether it is to go over to another program, and nothing runs beside the service, which that would have to kill.
    pub(super) fn may_renew(&self) -> bool {
        let is_asked = self.called.program != self.calls.program;
        is_asked
            && !self.crowd.is_left()
            && self.turn == Time::NEVER
            && !matches!(self.service.beside, Beside::Job { .. })
    }

    /// Goes over to it. Returns the exit code where that can't be done: the service is left to a successor then.
    pub(super) fn renew(&self) -> u8 {
        let errno = self.execute();
        self.say(format_args!("cannot go over to the new program: {}; another supervisor will", errno.desc()));
        exit::SYSTEM
    }

    fn execute(&self) -> Errno {
        let Some(program) = self.arguments.bytes(0) else { return Errno::ENOENT };
        for number in self.passed.numbers() {
            if let Err(errno) = raw::duplicate(number, number) {
                return errno;
            }
        }
        let Ok(calls) = CString::new(self.called.argument().as_bytes()) else { return Errno::EINVAL };
        let words = (0..4).map_while(|index| self.arguments.bytes(index));
        let arguments = Strings::collect(words.chain([calls.as_c_str()]));
        as_root(|| raw::execve(program, &arguments, &Strings::collect(core::iter::empty())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_taken_along() {
        let passed = Passed::of(&[(ledger::CONTROL, true), (ledger::NOTIFY, false), (ledger::LOG_ERR, true)]);
        assert_eq!(passed.numbers().collect::<Vec<_>>(), [3, 4, 6, 11]);
    }
}
