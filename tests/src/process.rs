//! Looking at processes from outside, through /proc.
//!
//! Owns: what `ps` would tell. Must never: wait for a change.

use nix::errno::Errno;
use nix::sys::signal::kill as send;
use nix::unistd::Pid;
use std::fs;
use zei::sys::raw;

/// Sends a signal; a process that is gone is none too many.
///
/// # Panics
/// Where that is not allowed.
pub fn kill(pid: u32, number: u8) {
    match raw::kill(i32::try_from(pid).expect("a pid"), number) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("cannot send {number} to {pid}: {errno}"),
    }
}

/// Whether there is a process of this pid that is no zombie.
pub fn is_alive(pid: u32) -> bool {
    let exists = send(Pid::from_raw(i32::try_from(pid).unwrap_or(0)), None).is_ok();
    exists && stat(pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z" && state != "X"))
}

/// The fields of /proc/PID/stat behind the name: the state first.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

/// The letter of what a process does, as proc(5) has it.
pub fn state(pid: u32) -> Option<String> {
    stat(pid)?.into_iter().next()
}

/// The name of a program as the kernel keeps it: 15 bytes at most.
pub fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of_task = |path: std::path::PathBuf| fs::read_to_string(path.join("children")).unwrap_or_default();
    let lists = tasks.filter_map(Result::ok).map(|task| of_task(task.path()));
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// All processes below this one.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// The one child of a process that is about to have one, and nothing else to do.
///
/// # Panics
/// Where it ends before.
pub fn only_child(pid: u32) -> u32 {
    loop {
        if let [child] = children(pid)[..] {
            return child;
        }
        assert!(is_alive(pid), "{pid} ended without a child");
        std::thread::yield_now();
    }
}

/// How often a process was switched away from, of its own will or not.
pub fn switches(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let lines = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
    Some(lines.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum())
}
