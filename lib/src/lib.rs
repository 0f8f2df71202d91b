//! The library behind the zei programs. Arrows point one way:
//!
//! ```text
//! bins/*   arguments, then one call
//!   run              level 4  event loops: wait -> events -> step -> perform
//!     config, sys    level 3  YAML -> Config, every problem at once; the system calls, `unsafe` in sys/raw only
//!       model        level 2  pure: a service's life, init's life, the dependency graph, users, run records
//!         protocol   level 1  the wire formats that users see: control, status, last, boundary, notify
//!           exit, schedule, visible   level 0  the exit codes; cron expressions; what a terminal may get
//!             calendar endpoint name near paths pattern signal text   level 0, using nothing
//! ```
//!
//! A module uses what stands below it and nothing else. `config` and `sys` never import each other; what stands
//! below them touches neither system nor clock nor environment. The programs use `run` and the words of its
//! arguments. `tests/tests/tidy.rs` holds all of that.

pub mod calendar;
#[cfg(feature = "config")]
pub mod config;
pub mod endpoint;
pub mod exit;
pub mod model;
pub mod name;
pub mod near;
pub mod paths;
#[cfg(feature = "pattern")]
pub mod pattern;
pub mod protocol;
pub mod run;
#[cfg(feature = "schedule")]
pub mod schedule;
pub mod signal;
pub mod sys;
pub mod text;
pub mod visible;
