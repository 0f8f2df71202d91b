//! What a new process writes into the run record of its service.
//!
//! Owns: the word. Must never: need more than one write of eight bytes, as it is written between clone(2) and execve(2).

use crate::model::service::{Failure, SpawnStage};

/// What a new process says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Child {
    /// Its pid; 0: there is none.
    pub pid: u32,
    /// Why it never became the program; `None`: it has, or is about to.
    pub failure: Option<Failure>,
}

impl Child {
    /// Its word in the record: the pid, the stage of the failure behind it, the error number in the upper half's rest.
    pub fn encode(self) -> u64 {
        let failure =
            self.failure.map_or(0, |Failure { stage, errno }| stage as u64 | (u64::from(errno.unsigned_abs()) << 8));
        u64::from(self.pid) | (failure << 32)
    }

    /// Reads such a word.
    pub fn decode(word: u64) -> Child {
        let failure = word >> 32;
        let stage = SpawnStage::from_number(failure.to_le_bytes()[0]);
        let errno = i32::try_from(failure >> 8).unwrap_or(0);
        // The lower half.
        Child { pid: word as u32, failure: stage.map(|stage| Failure { stage, errno }) }
    }
}
