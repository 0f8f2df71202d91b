//! The wire formats that zei's programs and its users share, one file each.

pub mod control;
pub mod journal;
pub mod needs;
pub mod notify;
pub mod status;
