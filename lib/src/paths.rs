//! Every path that zei knows by itself.
//!
//! Owns: the layout below the run directory and of the configuration. Must never: touch a file.
//!
//! ```text
//! /run/zei/init/{lock,control,acks,status,event,events,sources,report.0 ...}
//! /run/zei/services/NAME/{control,acks,status,event,needs,last,log,log.old}
//! ```

use std::path::{Path, PathBuf};

/// Where the run directory is, unless [`RUN_VARIABLE`] or circumstances say otherwise.
pub const RUN: &str = "/run/zei";
/// The variable that names another run directory.
pub const RUN_VARIABLE: &str = "ZEI_RUN";
/// The variable that names a directory of the user's own (XDG Base Directory Specification).
pub const RUNTIME_VARIABLE: &str = "XDG_RUNTIME_DIR";
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
/// A shorter file of answers, until it takes the other's place.
pub const NEW_ACKS: &str = "acks.new";
/// The status file (see `protocol::status`).
pub const STATUS: &str = "status";
/// The FIFO through which changes are rung; made by whoever waits. zei-init's is rung for every record of the journal,
/// too.
pub const EVENT: &str = "event";
/// The journal of the whole tree (see `protocol::journal`).
pub const EVENTS: &str = "events";
/// What a service depends on (see `protocol::needs`).
pub const NEEDS: &str = "needs";
/// The same, until it takes the other's place.
pub const NEW_NEEDS: &str = "needs.new";
/// The last lines of a service whose output is pumped (see `protocol::last`).
pub const LAST: &str = "last";
/// The kept output of a service (see `protocol::log`).
pub const LOG: &str = "log";
/// What of it came before the last rotation.
pub const OLD_LOG: &str = "log.old";
/// What the configuration was read from (see `protocol::sources`).
pub const SOURCES: &str = "sources";
/// The same, until it takes the other's place.
pub const NEW_SOURCES: &str = "sources.new";
/// In front of a dot and a number: what a change of the tree has found (see `protocol::changes`).
pub const REPORT: &str = "report";
/// Locked by a live zei-init, empty.
pub const LOCK: &str = "lock";

/// Where Kubernetes looks for the reason why a container ended (terminationMessagePath).
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// What decides where a run directory may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seeker<'a> {
    /// What [`RUN_VARIABLE`] says.
    pub named: Option<&'a Path>,
    /// What `XDG_RUNTIME_DIR` says.
    pub runtime: Option<&'a Path>,
    /// The user zei-init runs as.
    pub uid: u32,
    /// The inode number of `/proc/self/ns/pid`, where it is known.
    pub pid_namespace: Option<u64>,
}

/// A place where the run directory may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The run directory itself.
    pub path: PathBuf,
    /// Others may write to the directory it lies in: it must be private (0700), no symbolic link, and its
    /// owner must be looked at.
    pub shared: bool,
}

/// The places in the order in which zei-init tries to make its run directory and in which clients
/// look for it. Without duplicates. A variable that is empty or no absolute path is passed over.
pub fn candidates(seeker: &Seeker<'_>) -> Vec<Candidate> {
    let Seeker { named, runtime, uid, pid_namespace } = *seeker;
    let places = [
        named.map(|path| (path.to_path_buf(), false)),
        Some((PathBuf::from(RUN), false)),
        runtime.map(|path| (path.join("zei"), false)),
        Some((PathBuf::from(format!("/tmp/zei-{uid}")), true)),
        pid_namespace.map(|inode| (PathBuf::from(format!("/dev/shm/zei-{uid}-{inode}")), true)),
    ];
    let mut list: Vec<Candidate> = Vec::new();
    for (path, shared) in places.into_iter().flatten() {
        if path.is_absolute() && list.iter().all(|other| other.path != path) {
            list.push(Candidate { path, shared });
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(seeker: &Seeker<'_>) -> Vec<(String, bool)> {
        candidates(seeker).into_iter().map(|place| (place.path.display().to_string(), place.shared)).collect()
    }

    fn places(list: &[(&str, bool)]) -> Vec<(String, bool)> {
        list.iter().map(|(path, shared)| ((*path).to_string(), *shared)).collect()
    }

    #[test]
    fn the_ladder_goes_from_what_is_named_to_what_is_shared() {
        let seeker = Seeker {
            named: Some(Path::new("/here")),
            runtime: Some(Path::new("/run/user/7")),
            uid: 7,
            pid_namespace: Some(4026),
        };
        let expected = [
            ("/here", false),
            (RUN, false),
            ("/run/user/7/zei", false),
            ("/tmp/zei-7", true),
            ("/dev/shm/zei-7-4026", true),
        ];
        assert_eq!(listed(&seeker), places(&expected));
    }

    #[test]
    fn what_is_unknown_empty_relative_or_a_repetition_is_left_out() {
        let least = places(&[(RUN, false), ("/tmp/zei-0", true)]);
        assert_eq!(listed(&Seeker::default()), least);
        for named in ["", "run/zei", RUN] {
            let named = Some(Path::new(named));
            assert_eq!(listed(&Seeker { named, runtime: Some(Path::new("")), ..Seeker::default() }), least);
        }
    }
}
