//! Processes: who has ended, who descends from whom, and signals to them.

use crate::exit::Exit;
use crate::model::service::Process;
use crate::sys::raw;
use core::fmt::Write;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::kill;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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

/// Whether a process descends from this one. This one itself does not.
pub fn is_descendant(pid: u32) -> bool {
    // Deeper than that is no tree but a loop of pids that were given anew meanwhile.
    const DEPTH: usize = 4096;
    let own = std::process::id();
    core::iter::successors(parent(pid), |pid| parent(*pid)).take(DEPTH).any(|ancestor| ancestor == own)
}

/// A descendant that this process need not be the parent of, held so that its end is seen.
#[derive(Debug)]
pub struct Held {
    /// Which it is.
    pub process: Process,
    descriptor: OwnedFd,
}

/// Holds a descendant of this process, which lives. `None` where there is none of this pid, or it is no descendant.
pub fn hold(pid: u32) -> Option<Held> {
    hold_other(pid).ok().filter(|held| is_descendant(pid) && !held.has_ended())
}

/// Holds a process that is not this one's child. `ESRCH` where it is gone.
pub fn hold_other(pid: u32) -> Result<Held, Errno> {
    // Held first: what is read then is of the same process, unless that has ended.
    let descriptor = raw::pidfd_open(pid)?;
    Ok(Held { process: Process { pid, start: start_time(pid).ok_or(Errno::ESRCH)? }, descriptor })
}

impl Held {
    /// Whether it has ended, be it reaped or not. Its parent alone learns how.
    pub fn has_ended(&self) -> bool {
        poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) != Ok(0)
    }
}

/// For POLLIN: it has ended.
impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
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
    kill_children_but(None)
}

/// The same, but this one lives on.
pub fn kill_children_but(spared: Option<u32>) -> usize {
    let mut children = children();
    children.retain(|child| Some(*child) != spared);
    for child in &children {
        let _may_be_gone = signal_child(*child, crate::signal::KILL);
    }
    children.len()
}

/// Sends TERM, then CONT, to every descendant of this process but those in `asked`, and returns all that are
/// there. They are all found and held before the first is asked: one that ends leaves its children to others.
pub fn ask_descendants(asked: &[u32]) -> Vec<u32> {
    let mut found: Vec<(u32, Option<OwnedFd>)> = children().into_iter().map(|pid| (pid, None)).collect();
    let mut next = 0;
    while let Some(ancestor) = found.get(next).map(|(pid, _)| *pid) {
        next += 1;
        for pid in listed_children(ancestor) {
            // Its parent may reap it at any time, so it is held; if it is another's by now, it is left out.
            let held = raw::pidfd_open(pid).ok().filter(|_| parent(pid) == Some(ancestor));
            if held.is_some() {
                found.push((pid, held));
            }
        }
    }
    for (pid, held) in found.iter().filter(|(pid, _)| !asked.contains(pid)) {
        for signal in [crate::signal::TERM, crate::signal::CONT] {
            let _may_be_gone = match held {
                Some(held) => raw::pidfd_send(held.as_fd(), signal),
                None => signal_child(*pid, signal),
            };
        }
    }
    found.into_iter().map(|(pid, _)| pid).collect()
}

/// The soft limit of file locks that marks a process of service `index`, and all that it ever makes. The limit has
/// no effect since Linux 2.4.25 (getrlimit(2)), survives fork, exec, setsid and setuid, and can be read by anyone.
pub const fn mark(index: usize) -> u64 {
    const BASE: u64 = 0x7a65_6900_0000;
    BASE + index as u64
}

/// The mark of a job of service `index` (a probe, a hook) and all that it ever makes: killed with the job, where the
/// service's own processes stay.
pub const fn job_mark(index: usize) -> u64 {
    const JOB: u64 = 1 << 23;
    mark(index) | JOB
}

/// A child of zei-init that has a mark of service `index`: what a supervisor that died has left.
pub fn orphan_with_mark(init: u32, index: usize) -> Option<u32> {
    let marks = [mark(index), job_mark(index)].map(Some);
    listed_children(init).into_iter().find(|pid| marks.contains(&soft_locks(*pid)) && !is_zombie(*pid))
}

/// Kills every job of service `index`, with all that it has made. `main`: the one child that is no job, where there is
/// one. Returns how many processes that were: where it is more than 0, what they leave behind may come to light when
/// they are reaped, and this is to be called again then.
pub fn kill_jobs(index: usize, main: Option<u32>) -> usize {
    // Nobody can make children that fast: what was sent KILL makes none any more.
    const SWEEPS: usize = 100;
    let mut killed: Vec<u32> = Vec::new();
    for _sweep in 0..SWEEPS {
        let children = children();
        if children.iter().all(|child| Some(*child) == main) {
            break;
        }
        let found = job_processes(index, &children);
        let before = killed.len();
        for (pid, held) in found.into_iter().filter(|(pid, _)| !killed.contains(pid)).collect::<Vec<_>>() {
            let _may_be_gone = match held {
                Some(held) => raw::pidfd_send(held.as_fd(), crate::signal::KILL),
                None => signal_child(pid, crate::signal::KILL),
            };
            killed.push(pid);
        }
        if killed.len() == before {
            break;
        }
    }
    killed.len()
}

/// Those of the children that have the mark of a job, and what lies below them, each held. Not what lies below
/// others: nothing of the main process's can be a job.
fn job_processes(index: usize, children: &[u32]) -> Vec<(u32, Option<OwnedFd>)> {
    let is_job = |pid: u32| soft_locks(pid) == Some(job_mark(index)) && !is_zombie(pid);
    let direct = children.iter().filter(|child| is_job(**child));
    let mut found: Vec<(u32, Option<OwnedFd>)> = direct.map(|child| (*child, None)).collect();
    let mut next = 0;
    while let Some(ancestor) = found.get(next).map(|(pid, _)| *pid) {
        next += 1;
        for pid in listed_children(ancestor) {
            // Its parent may reap it at any time, so it is held first and looked at then.
            if let Some(held) = raw::pidfd_open(pid).ok().filter(|_| is_job(pid)) {
                found.push((pid, Some(held)));
            }
        }
    }
    found
}

/// A zombie is nobody's business but its parent's.
fn is_zombie(pid: u32) -> bool {
    stat_field(pid, 3).is_some_and(|state| state.0.starts_with(b"Z"))
}

/// The soft RLIMIT_LOCKS of a process (proc(5), `limits`).
fn soft_locks(pid: u32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file locks"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::raw::Strings;
    use crate::sys::spawn::{Spawn, Stream, spawn};
    use std::io::{BufRead as _, BufReader, PipeReader, pipe};
    use std::process::Command;

    /// A shell under this mark with two children, one of them in a session of its own and with a child, and the pipe
    /// that all of them hold.
    fn family(mark: u64) -> (u32, BufReader<PipeReader>) {
        let script = c"sleep 1001 & setsid sh -c 'sleep 1002 & echo up; wait' & wait";
        let (out, writer) = pipe().unwrap();
        let arguments = Strings::collect([c"sh", c"-c", script].into_iter());
        let mark = Some(mark);
        let streams = [Stream::Same, Stream::Of(writer.as_fd()), Stream::Same];
        let pid = spawn(&Spawn { mark, streams, ..Spawn::new(arguments, Strings::collect(raw::environment())) });
        let mut out = BufReader::new(out);
        out.read_line(&mut String::new()).unwrap();
        (pid.unwrap(), out)
    }

    fn wait(pid: u32) {
        waitpid(to_pid(pid), None).unwrap();
    }

    #[test]
    fn of_a_job_nothing_is_left_and_the_service_itself_stays() {
        const INDEX: usize = 4711;
        let (main, mut main_out) = family(mark(INDEX));
        let (other, mut other_out) = family(job_mark(INDEX + 1));
        assert_eq!(kill_jobs(INDEX, Some(main)), 0);
        let (job, mut job_out) = family(job_mark(INDEX));
        assert_eq!(kill_jobs(INDEX, Some(main)), 4);
        // Nobody has its standard output any more.
        assert_eq!(job_out.read_line(&mut String::new()).unwrap(), 0);
        wait(job);
        assert_eq!((listed_children(main).len(), listed_children(other).len()), (2, 2));
        assert_eq!(kill_jobs(INDEX + 1, Some(main)), 4);
        assert_eq!(other_out.read_line(&mut String::new()).unwrap(), 0);
        wait(other);
        for pid in listed_children(main).into_iter().flat_map(listed_children).chain(listed_children(main)) {
            // The end of one may be the end of another.
            let _may_be_gone = signal_child(pid, crate::signal::KILL);
        }
        assert_eq!(main_out.read_line(&mut String::new()).unwrap(), 0);
        wait(main);
    }

    #[test]
    fn the_end_of_a_grandchild_is_seen_and_a_stranger_is_not_held() {
        let (child, mut out) = family(mark(4713));
        let grandchild = *listed_children(child).first().unwrap();
        let held = hold(grandchild).unwrap();
        assert_eq!(held.process, Process { pid: grandchild, start: start_time(grandchild).unwrap() });
        assert!(!held.has_ended());
        signal_child(grandchild, crate::signal::KILL).unwrap();
        assert_eq!(poll(&mut [PollFd::new(held.as_fd(), PollFlags::POLLIN)], PollTimeout::from(60_000_u16)), Ok(1));
        assert!(held.has_ended());
        for stranger in [1, std::process::id(), i32::MAX.unsigned_abs()] {
            assert!(hold(stranger).is_none(), "{stranger}");
        }
        let held = hold(child).unwrap();
        for pid in listed_children(child).into_iter().flat_map(listed_children).chain(listed_children(child)) {
            let _may_be_gone = signal_child(pid, crate::signal::KILL);
        }
        assert_eq!(out.read_line(&mut String::new()).unwrap(), 0);
        wait(child);
        assert!(held.has_ended() && hold(child).is_none());
    }

    #[test]
    fn the_marks_of_services_and_of_their_jobs_are_all_different() {
        let marks = (0..1000).chain([65_535]).flat_map(|index| [mark(index), job_mark(index)]);
        assert_eq!(marks.clone().collect::<std::collections::BTreeSet<_>>().len(), marks.count());
    }

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
            let mut child = Command::new("sh").args(["-c", &format!("kill -{signal} $$")]).spawn().unwrap();
            let expected = Children::Ended(child.id(), Exit::Signal(signal));
            // The children of other tests end as well, and are seen until those have reaped them.
            while look() != expected {
                std::thread::yield_now();
            }
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(i32::from(signal)));
        }
    }
}
