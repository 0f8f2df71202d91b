//! `zei-init doctor`: looks at what zei would run in, and says what it means, a line each.
//!
//! Owns: what is looked at, and in which order. Must never: leave anything behind, or need a configuration.

use super::pump::ZEI_LOG;
use super::rundir;
use super::shared::SUPERVISOR;
use super::{PROGRAM, report};
use crate::exit;
use crate::model::doctor::{self, Call, Facts, Finding, Grade};
use crate::sys::{cgroup, credentials, elevation, memfd, raw, spawn, surroundings};
use nix::errno::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// What zei-init executes or lets be executed, from the directory that it lies in itself.
const BESIDE: [&str; 4] = [SUPERVISOR, "zei-probe", "zei-cron", ZEI_LOG];

/// Says all of it on standard output, and returns the exit code: 0, or 111 where zei can't run services.
pub fn run(json: bool) -> u8 {
    let facts = look().map_err(|errno| format!("cannot read its own credentials: {}", errno.desc()));
    let findings = match facts {
        Ok(facts) => doctor::findings(&facts),
        Err(message) => {
            report(PROGRAM, message);
            return exit::SYSTEM;
        }
    };
    let worst = doctor::worst(&findings);
    let text = if json { as_json(worst, &findings) } else { as_lines(&findings) };
    match memfd::write_all(raw::standard(1), text.as_bytes()) {
        Ok(()) if worst < Grade::Missing => exit::OK,
        Ok(()) | Err(_) => exit::SYSTEM,
    }
}

fn look() -> Result<Facts, Errno> {
    let streams = [0, 1, 2].map(surroundings::stream);
    raw::fill_standard_streams();
    // With the rights that the tree would have; nothing else needs them.
    if !elevation::is_offered() {
        credentials::give_up_setuid()?;
    }
    let who = surroundings::who(std::process::id())?;
    // Of another user: what the file, or a start as root, would give it.
    let granted = if who.effective == 0 { credentials::granted() } else { credentials::granted_by_file() };
    let rungs = rundir::survey();
    credentials::give_up_setuid()?;
    let is_first = std::process::id() == 1;
    let is_beside =
        |name: &str| spawn::beside(name).is_ok_and(|path| Path::new(OsStr::from_bytes(path.to_bytes())).exists());
    Ok(Facts {
        who,
        granted,
        passwd: surroundings::passwd(),
        pid: std::process::id(),
        parent: surroundings::parent(),
        subreaper: if is_first { Ok(()) } else { nix::sys::prctl::set_child_subreaper(true).map_err(Errno::desc) },
        programs: BESIDE.into_iter().filter(|name| !is_beside(name)).collect(),
        calls: Call::ALL.into_iter().map(|call| (call, surroundings::answer(call))).collect(),
        rungs,
        proc: surroundings::proc(),
        null: surroundings::has_null(),
        cgroup: cgroup::can_make(),
        processes: surroundings::processes(),
        descriptors: surroundings::descriptors(),
        streams,
    })
}

fn as_lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

fn as_json(worst: Grade, findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        serde_json::json!({
            "key": finding.key,
            "state": finding.grade.to_string(),
            "sentence": finding.sentence,
            "remedy": finding.remedy,
        })
    };
    let all: Vec<serde_json::Value> = findings.iter().map(one).collect();
    format!("{}\n", serde_json::json!({ "state": worst.to_string(), "findings": all }))
}
