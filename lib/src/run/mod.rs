//! The event loops: wait, turn what happened into events, step, perform.

pub mod init;
pub mod supervise;
