//! The log pipes of the service, where its output is pumped.
//!
//! Owns: what the service gets of them, and the marks between runs. Must never: read them.

use crate::sys::spawn::Stream;
use crate::sys::{ledger, logpipe, raw};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// Its standard output's and its standard error's; `None`: that one is not pumped.
#[derive(Debug)]
pub struct Outputs {
    pipes: [Option<OwnedFd>; 2],
}

impl Outputs {
    /// Takes what zei-init has passed. To be called before anything is opened.
    pub fn inherit() -> Outputs {
        Outputs { pipes: [ledger::LOG_OUT, ledger::LOG_ERR].map(raw::inherited) }
    }

    /// Whether its standard output (0) or error (1) is pumped.
    pub fn has(&self, stream: usize) -> bool {
        self.pipes.get(stream).is_some_and(Option::is_some)
    }

    /// What the service gets as its standard output and error, where that is pumped.
    ///
    /// # Errors
    /// Of open(2).
    pub fn writers(&self) -> Result<[Option<OwnedFd>; 2], Errno> {
        let [stdout, stderr] = &self.pipes;
        let open = |pipe: &Option<OwnedFd>| pipe.as_ref().map(|pipe| logpipe::writer(pipe.as_fd())).transpose();
        Ok([open(stdout)?, open(stderr)?])
    }

    /// A run is about to write: what comes now is told from what an earlier one has written.
    ///
    /// # Errors
    /// See [`logpipe::mark`].
    pub fn mark(&self, token: u64, run: u32) -> Result<(), Errno> {
        self.pipes.iter().flatten().try_for_each(|pipe| logpipe::mark(pipe.as_fd(), token, u64::from(run)))
    }
}

/// The streams of a process of the service: what is pumped goes before what it would have otherwise.
pub fn of<'s>(pumped: &'s [Option<OwnedFd>; 2], own: [Stream<'s>; 2]) -> [Stream<'s>; 2] {
    let ([stdout, stderr], [own_stdout, own_stderr]) = (pumped, own);
    [(stdout, own_stdout), (stderr, own_stderr)]
        .map(|(pumped, own)| pumped.as_ref().map_or(own, |pumped| Stream::Of(pumped.as_fd())))
}
