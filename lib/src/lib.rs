//! The library behind the zei programs. Arrows point one way:
//!
//! ```text
//! bins/*   arguments, then one call
//!   run/      level 3  event loops: wait -> events -> step -> perform
//!     config/   level 2  YAML -> Config, every problem at once
//!     sys/      level 2  the system calls; `unsafe` stands in sys/raw.rs and nowhere else
//!       model/    level 1  pure: a service's life, init's life, the dependency graph
//!         protocol/  level 0  the wire formats: control, status, and the private ones
//!         name near exit signal paths  level 0
//! ```
//!
//! `config` and `sys` never import each other, `model` imports neither; `tests/tests/tidy.rs` holds that.

#[cfg(feature = "config")]
pub mod config;
pub mod exit;
pub mod model;
pub mod name;
pub mod near;
pub mod paths;
pub mod protocol;
pub mod run;
pub mod signal;
pub mod sys;
pub mod text;
