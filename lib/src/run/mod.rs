//! What the programs do: event loops that wait, turn what happened into events, step and perform;
//! and the chain-loader that needs none.

pub mod acks;
#[cfg(feature = "client")]
pub mod client;
pub mod command;
#[cfg(feature = "cron")]
pub mod cron;
#[cfg(feature = "config")]
pub mod init;
pub mod journal;
pub mod last;
#[cfg(feature = "log")]
pub mod log;
pub mod place;
#[cfg(feature = "probe")]
pub mod probe;
pub mod report;
pub mod setuidgid;
pub mod supervise;
