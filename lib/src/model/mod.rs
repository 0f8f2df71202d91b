//! What is decided, without clock, files, environment or system calls.

pub mod order;
pub mod spec;
pub mod time;
pub mod users;
