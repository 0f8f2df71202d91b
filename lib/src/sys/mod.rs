//! The system calls. `unsafe` stands in `raw.rs` and nowhere else.

pub mod event;
