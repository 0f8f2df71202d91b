//! Every path that zei knows by itself.
//!
//! Owns: the layout below the run directory and of the configuration. Must never: touch a file.
//!
//! ```text
//! /run/zei/init/{lock,control,acks,status,event}
//! /run/zei/services/NAME/{control,acks,status,event}
//! ```

/// Where the run directory is, unless [`RUN_VARIABLE`] or circumstances say otherwise.
pub const RUN: &str = "/run/zei";
/// The variable that names another run directory.
pub const RUN_VARIABLE: &str = "ZEI_RUN";
/// The main configuration file.
pub const CONFIG_FILE: &str = "/etc/zei/zei.yaml";
/// The directory of further configuration files.
pub const CONFIG_DIR: &str = "/etc/zei/zei.d";
/// The variable that names other configuration files, separated by colons.
pub const CONFIG_VARIABLE: &str = "ZEI_CONFIG";

/// Below the run directory: what belongs to zei-init.
pub const INIT: &str = "init";
/// Below the run directory: one directory per service.
pub const SERVICES: &str = "services";
/// The FIFO that takes control lines (see `protocol::control`).
pub const CONTROL: &str = "control";
/// The answers to them.
pub const ACKS: &str = "acks";
/// The status file (see `protocol::status`).
pub const STATUS: &str = "status";
/// The FIFO through which changes are rung; made by whoever waits.
pub const EVENT: &str = "event";
/// Locked by a live zei-init, empty.
pub const LOCK: &str = "lock";
