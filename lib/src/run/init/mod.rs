//! zei-init with a configuration: the tree.

use std::ffi::OsString;
use std::path::PathBuf;

/// What zei-init was asked to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-c PATH`, or what `ZEI_CONFIG` lists; empty: the default places.
    pub config: Vec<PathBuf>,
    /// The command; empty: none.
    pub command: Vec<OsString>,
}

/// Runs the tree until its end and returns the container's exit code. `None`: there is no
/// configuration at all, and nothing was done.
pub fn run(_options: &Options) -> Option<u8> {
    None
}
