//! The wire formats that zei's programs and its users share, one file each.

pub mod boundary;
pub mod changes;
pub mod control;
pub mod instant;
pub mod journal;
pub mod last;
pub mod log;
pub mod needs;
pub mod notify;
pub mod sources;
pub mod status;
