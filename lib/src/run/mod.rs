//! The event loops: wait, read what happened, step, perform.

#[cfg(feature = "client")]
pub mod client;
