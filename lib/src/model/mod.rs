//! What is decided, without clock, files, environment or system calls.

pub mod backoff;
pub mod change;
pub mod child;
pub mod definition;
pub mod doctor;
pub mod heard;
pub mod inherited;
pub mod init;
pub mod kills;
pub mod order;
pub mod pace;
pub mod privileges;
pub mod pump;
pub mod record;
pub mod service;
pub mod slot;
pub mod spec;
pub mod switching;
pub mod time;
pub mod users;
