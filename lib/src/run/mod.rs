//! What the programs do: event loops (wait, turn what happened into events, step, perform), and the
//! chain-loader that needs none.

pub mod command;
pub mod init;
pub mod report;
pub mod setuidgid;
pub mod supervise;
