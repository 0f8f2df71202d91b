//! What a zei-init with root in reserve takes from its starter, and what not.
//!
//! Owns: whose the configuration must be, and what services of others than the starter begin with. Must never: be needed
//! where zei-init is what it was started as.

use super::compile::Given;
use super::{Failure, PROGRAM};
use crate::exit;
use crate::model::privileges::Capabilities;
use crate::model::spec::{Config, Identity};
use crate::model::users;
use crate::paths;
use crate::sys::spawn::DEFAULT_PATH;
use crate::sys::{elevation, trust};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The programs that a tree executes.
const PROGRAMS: [&str; 4] = ["zei-supervise", "zei-log", "zei-probe", "zei-cron"];

/// Their mode creation mask, whatever the starter's.
const UMASK: u32 = 0o022;

type Problems = Failure<Vec<String>>;

/// Before any of it is read as root: what says what runs is root's alone, and what was named by hand may be read by
/// whoever has named it.
pub fn before(given: &Given) -> Result<(), Problems> {
    let default = [paths::CONFIG_FILE, paths::CONFIG_DIR].map(PathBuf::from);
    let named: &[PathBuf] = if given.config.is_empty() { &default } else { &given.config };
    let users = [users::PASSWD, users::GROUP].map(PathBuf::from);
    answer(doubts(named.iter().flat_map(|path| all(path)).chain(given.added.iter().cloned()).chain(users)))?;
    let unreadable = |path: PathBuf| {
        // A FIFO of root's is not waited for.
        let error = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).err()?;
        Some(format!("{} can't be read by user {}: {error}", path.display(), starter()))
    };
    match given.config.iter().flat_map(|path| all(path)).filter_map(unreadable).collect::<Vec<_>>() {
        problems if problems.is_empty() => Ok(()),
        problems => Err((exit::CONFIG, problems)),
    }
}

/// The same for all that it has pulled in.
pub fn after(config: &Config) -> Result<(), Problems> {
    answer(doubts(config.sources.iter().map(|source| source.path.clone())))
}

fn starter() -> u32 {
    elevation::rest().unwrap_or(0)
}

/// A path, and what a directory of this path holds.
fn all(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.push(path.to_path_buf());
    paths.sort_unstable();
    paths
}

fn doubts(paths: impl Iterator<Item = PathBuf>) -> Vec<String> {
    let mut problems: Vec<String> = paths.filter_map(|path| elevation::as_root(|| trust::doubt(&path))).collect();
    problems.dedup();
    problems
}

fn answer(problems: Vec<String>) -> Result<(), Problems> {
    if problems.is_empty() {
        return Ok(());
    }
    let why = format!("{PROGRAM} is setuid root and was started by user {}, so", starter());
    let each = |problem: &String| format!("{why} what it goes by must be root's alone: {problem}");
    Err((exit::CONFIG, problems.iter().map(each).collect()))
}

/// Looks at the programs that root executes, those beside zei-init's own.
///
/// # Errors
/// Which of them is not root's alone, and what to do.
pub fn programs(own: &Path) -> Result<(), String> {
    if elevation::rest().is_none() {
        return Ok(());
    }
    let paths = PROGRAMS.iter().map(|name| own.with_file_name(name)).chain([own.to_path_buf()]);
    match doubts(paths).first() {
        None => Ok(()),
        Some(doubt) => Err(format!("{PROGRAM} is setuid root, so its programs must be root's alone: {doubt}")),
    }
}

/// A service of somebody else than the starter begins with nothing that the starter has chosen: not where it runs, not
/// where its programs are looked up, not who may write to what it makes.
pub fn keep_apart(config: &mut Config, starter: &Identity) {
    let is_starter = |identity: &Identity| {
        let groups =
            |identity: &Identity| identity.groups.iter().copied().chain([identity.gid]).collect::<BTreeSet<_>>();
        identity.uid == starter.uid && groups(identity).is_subset(&groups(starter))
    };
    for service in &mut config.services {
        let may_more = service.privileges.capabilities.is_some_and(|wish| wish.value != Capabilities::default());
        if service.identity.as_ref().is_some_and(is_starter) && !may_more {
            continue;
        }
        service.working_dir.get_or_insert_with(|| c"/".to_owned());
        service.umask.get_or_insert(UMASK);
        if !service.clear_environment
            && let Ok(path) = CString::new([b"PATH=", DEFAULT_PATH].concat())
        {
            // Behind it comes what the configuration says.
            service.environment.insert(0, path);
        }
    }
}
