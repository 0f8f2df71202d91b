//! System calls, each a thin function that says in its own words what went wrong.

pub mod credentials;
pub mod raw;
