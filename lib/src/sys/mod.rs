//! System calls, each a thin function that says in its own words what went wrong.

pub mod alarm;
pub mod cgroup;
pub mod clock;
pub mod credentials;
pub mod deliver;
pub mod elevation;
pub mod event;
pub mod ledger;
pub mod lock;
pub mod logpipe;
pub mod memfd;
pub mod notify;
pub mod nowait;
pub mod oom;
pub mod owned;
pub mod pipe;
pub mod privileges;
pub mod process;
pub mod raw;
pub mod say;
pub mod signals;
pub mod spawn;
pub mod surroundings;
pub mod trust;
