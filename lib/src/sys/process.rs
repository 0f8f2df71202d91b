//! Processes: who has ended, who descends from whom, and signals to them.

use crate::exit::Exit;
use crate::model::service::Process;
use crate::sys::raw;
use core::fmt::Write;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::kill;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::os::fd::AsFd;

/// What the children of this process are doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Children {
    /// There are none.
    None,
    /// None has ended.
    Alive,
    /// This one has ended and waits to be reaped.
    Ended(u32, Exit),
}

/// Looks for a child that has ended, without reaping it.
pub fn look() -> Children {
    match raw::look_any() {
        Ok(Some((pid, exit))) => Children::Ended(pid, exit),
        Ok(None) => Children::Alive,
        Err(_) => Children::None,
    }
}

/// Reaps this child, which has ended.
pub fn reap(pid: u32) {
    let _reaped = waitpid(to_pid(pid), Some(WaitPidFlag::WNOHANG));
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}

/// Sends a signal to a child that is not reaped yet, so that its pid can't have become another's.
pub fn signal_child(pid: u32, signal: u8) -> Result<(), Errno> {
    send(to_pid(pid), signal)
}

/// Sends a signal to the process group that a child leads.
pub fn signal_group(leader: u32, signal: u8) -> Result<(), Errno> {
    send(Pid::from_raw(-to_pid(leader).as_raw()), signal)
}

fn send(pid: Pid, signal: u8) -> Result<(), Errno> {
    // nix has no name for real-time signals.
    match nix::sys::signal::Signal::try_from(i32::from(signal)) {
        Ok(signal) => kill(pid, signal),
        Err(_) => raw::kill(pid.as_raw(), signal),
    }
}

/// Sends a signal to a process that is not this one's child, if it is still the same.
/// `Err(ESRCH)` where it is gone. Without pidfd (ENOSYS) by its pid.
pub fn signal_other(process: Process, signal: u8) -> Result<(), Errno> {
    match raw::pidfd_open(process.pid) {
        Ok(descriptor) => {
            if start_time(process.pid) != Some(process.start) && process.start != 0 {
                return Err(Errno::ESRCH);
            }
            raw::pidfd_send(descriptor.as_fd(), signal)
        }
        Err(Errno::ENOSYS) => send(to_pid(process.pid), signal),
        Err(errno) => Err(errno),
    }
}

/// When a process began, in clock ticks since boot (proc(5), `stat`, field 22).
pub fn start_time(pid: u32) -> Option<u64> {
    stat_field(pid, 22)?.parse_ascii()
}

/// The pid of a process's parent (field 4).
pub fn parent(pid: u32) -> Option<u32> {
    stat_field(pid, 4)?.parse_ascii().and_then(|parent| u32::try_from(parent).ok())
}

struct Field([u8; 20], usize);

impl Field {
    fn parse_ascii(&self) -> Option<u64> {
        core::str::from_utf8(self.0.get(..self.1)?).ok()?.parse().ok()
    }
}

fn stat_field(pid: u32, field: usize) -> Option<Field> {
    let mut path = crate::text::Text::<32>::new();
    write!(path, "/proc/{pid}/stat").ok()?;
    let mut content = [0; 1024];
    let length = read_file(path.as_str(), &mut content)?;
    let content = content.get(..length)?;
    // The name (field 2) may hold anything, so counting begins behind its last parenthesis.
    let name_end = content.iter().rposition(|byte| *byte == b')')?;
    let word = content.get(name_end + 2..)?.split(|byte| *byte == b' ').nth(field - 3)?;
    let mut found = Field([0; 20], word.len());
    found.0.get_mut(..word.len())?.copy_from_slice(word);
    Some(found)
}

fn read_file(path: &str, buffer: &mut [u8]) -> Option<usize> {
    let file = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    nix::unistd::read(&file, buffer).ok()
}

/// The pids in a `children` file, which the kernel keeps per thread (proc(5)).
fn listed_children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return found };
    for task in tasks.flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    found
}

/// The direct children of this process, ended ones that are not reaped yet among them.
pub fn children() -> Vec<u32> {
    listed_children(std::process::id())
}

/// Sends KILL to every direct child. What they leave behind becomes a child of this process, the
/// subreaper, in its turn; only direct children are killed, as no other process can take their pids.
/// Returns how many there were.
pub fn kill_children() -> usize {
    let children = children();
    for child in &children {
        let _may_be_gone = signal_child(*child, crate::signal::KILL);
    }
    children.len()
}

/// Sends TERM, then CONT, to every descendant of this process, nearest first.
pub fn ask_descendants() {
    let mut generation = children();
    for child in &generation {
        for signal in [crate::signal::TERM, crate::signal::CONT] {
            let _may_be_gone = signal_child(*child, signal);
        }
    }
    while !generation.is_empty() {
        let mut next = Vec::new();
        for ancestor in generation {
            for pid in listed_children(ancestor) {
                ask_descendant(pid, ancestor);
                next.push(pid);
            }
        }
        generation = next;
    }
}

/// A grandchild may end and be reaped by its parent at any time, so it is held before it is asked.
fn ask_descendant(pid: u32, ancestor: u32) {
    let Ok(descriptor) = raw::pidfd_open(pid) else { return };
    if parent(pid) != Some(ancestor) {
        return;
    }
    for signal in [crate::signal::TERM, crate::signal::CONT] {
        let _may_be_gone = raw::pidfd_send(descriptor.as_fd(), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_read_behind_a_name_that_holds_anything() {
        let own = start_time(std::process::id()).unwrap();
        assert!(own > 0);
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
        assert_eq!(start_time(u32::MAX), None);
    }

    #[test]
    fn a_signal_to_another_start_time_is_not_sent() {
        let process = Process { pid: std::process::id(), start: 1 };
        assert_eq!(signal_other(process, crate::signal::KILL), Err(Errno::ESRCH));
    }

    #[test]
    fn a_death_by_any_signal_is_seen_and_the_child_is_still_there() {
        for signal in [9, 34, 64] {
            let mut child =
                std::process::Command::new("sh").args(["-c", &format!("kill -{signal} $$")]).spawn().unwrap();
            let expected = Children::Ended(child.id(), Exit::Signal(signal));
            // The children of other tests end as well, and are seen until those have reaped them.
            while look() != expected {
                std::thread::yield_now();
            }
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(i32::from(signal)));
        }
    }
}
