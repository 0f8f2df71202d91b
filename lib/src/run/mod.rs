//! The event loops: wait, turn what happened into events, step, perform.

pub mod acks;
pub mod init;
pub mod place;
pub mod supervise;
