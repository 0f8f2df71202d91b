//! What is to be seen of a tree's processes from outside, through the /proc of its namespace.
//!
//! Owns: reading it. Must never: change anything.

use std::fs;
use std::path::{Path, PathBuf};

/// A process, as its own namespace counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub pid: u32,
    pub parent: u32,
    pub name: String,
    pub state: char,
    /// When it began, in clock ticks.
    pub start: u64,
    /// What its environment says whose it is.
    pub service: Option<String>,
}

impl Seen {
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// The namespace's own /proc.
#[derive(Debug)]
pub struct Sight(pub PathBuf);

impl Sight {
    /// All processes but PID 1. One that comes or goes meanwhile may be among them.
    pub fn all(&self) -> Vec<Seen> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().filter_map(Result::ok);
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| *pid != 1).filter_map(|pid| self.one(pid)).collect()
    }

    pub fn one(&self, pid: u32) -> Option<Seen> {
        let directory = self.0.join(pid.to_string());
        let stat = fs::read_to_string(directory.join("stat")).ok()?;
        let (front, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        Some(Seen {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            name: front.split_once('(')?.1.to_owned(),
            state: fields.first()?.chars().next()?,
            start: fields.get(19)?.parse().ok()?,
            service: owner(&directory),
        })
    }

    /// Whether there is one that has not ended.
    pub fn lives(&self, pid: u32) -> bool {
        let stat = fs::read_to_string(self.0.join(pid.to_string()).join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
    }
}

fn owner(directory: &Path) -> Option<String> {
    let bytes = fs::read(directory.join("environ")).ok()?;
    let words = bytes.split(|byte| *byte == 0);
    let own = words.filter_map(|word| word.strip_prefix(b"CHAOS_SERVICE=")).next()?;
    Some(String::from_utf8_lossy(own).into_owned())
}
