//! Processes: who has ended, who descends from whom, and signals to them.

mod told;

pub use told::is_own_program;
pub(super) use told::{real_user, soft_locks};

use crate::exit::Exit;
use crate::model::service::Process;
use crate::model::time::Span;
use crate::signal;
use crate::sys::{clock, deliver, raw};
use crate::text::{self, Text};
use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::kill;
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
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

/// Whether this child has ended; it is not reaped.
pub fn has_child_ended(pid: u32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(to_pid(pid)), flags), Ok(WaitStatus::StillAlive))
}

/// Whether the process that this pidfd holds has ended.
pub fn has_ended(held: impl AsFd) -> bool {
    poll(&mut [PollFd::new(held.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) != Ok(0)
}

/// Waits until a process has ended, be it reaped or not; so long at most. Without a pidfd that holds it (ENOSYS) it is
/// looked at again and again.
pub fn ends_within(pid: u32, held: Option<BorrowedFd<'_>>, patience: Span) -> bool {
    const LOOK: Span = Span(5);
    let wait = |held: &mut [PollFd<'_>], span: Span| {
        let timeout = i32::try_from(span.0).ok().and_then(|ms| PollTimeout::try_from(ms).ok());
        poll(held, timeout.unwrap_or(PollTimeout::MAX)).is_ok_and(|ready| ready > 0)
    };
    if let Some(held) = held {
        return wait(&mut [PollFd::new(held, PollFlags::POLLIN)], patience);
    }
    let until = clock::now().plus(patience);
    loop {
        if is_zombie(pid) || kill(to_pid(pid), None) == Err(Errno::ESRCH) {
            return true;
        }
        let left = until.since(clock::now());
        if left == Span(0) {
            return false;
        }
        wait(&mut [], left.min(LOOK));
    }
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}

/// Sends a signal to a child that is not reaped yet, so that its pid can't have become another's.
pub fn signal_child(pid: u32, signal: u8) -> Result<(), Errno> {
    deliver::to(to_pid(pid).as_raw(), signal)
}

/// Sends a signal to the process group that a child leads.
pub fn signal_group(leader: u32, signal: u8) -> Result<(), Errno> {
    deliver::to(-to_pid(leader).as_raw(), signal)
}

/// Sends a signal to a process that is not this one's child, if it is still the same.
/// `Err(ESRCH)` where it is gone. Without pidfd (ENOSYS) by its pid.
pub fn signal_other(process: Process, signal: u8) -> Result<(), Errno> {
    match raw::pidfd_open(process.pid) {
        Ok(descriptor) => {
            if start_time(process.pid) != Some(process.start) && process.start != 0 {
                return Err(Errno::ESRCH);
            }
            deliver::to_held(process.pid, descriptor.as_fd(), signal)
        }
        Err(Errno::ENOSYS) => signal_child(process.pid, signal),
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

/// A process that this one need not be the parent of, held so that its end is seen.
#[derive(Debug)]
pub struct Held {
    /// Which it is.
    pub process: Process,
    /// Without one (ENOSYS in an old sandbox) its end has to be told by its parent.
    descriptor: Option<OwnedFd>,
}

/// Holds a process that lives, if it is a descendant of this one, or one of its own by another sign.
pub fn hold(pid: u32, is_own: impl Fn(u32) -> bool) -> Option<Held> {
    let held = hold_other(pid).filter(|held| held.descriptor.is_some() && held.process.start != 0);
    held.filter(|held| (is_descendant(pid) || is_own(pid)) && !held.has_ended())
}

/// Holds a process that is not this one's child; `None` where it is gone, and only there: one for which there is no
/// descriptor (EMFILE, ENFILE, ENOSYS) lives all the same. Its start time is 0 where it can't be read.
pub fn hold_other(pid: u32) -> Option<Held> {
    // Held first: what is read then is of the same process, unless that has ended.
    let descriptor = match raw::pidfd_open(pid) {
        Err(Errno::ESRCH) => return None,
        held => held.ok(),
    };
    let start = start_time(pid);
    if start.is_none() && kill(to_pid(pid), None) == Err(Errno::ESRCH) {
        return None;
    }
    Some(Held { process: Process { pid, start: start.unwrap_or(0) }, descriptor })
}

impl Held {
    /// For POLLIN: it has ended.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// The same process under the name by which it is known; `None`: it is another one. A start time that could not be
    /// read, here or then, is taken from the other.
    pub fn known_as(mut self, known: Process) -> Option<Held> {
        if self.process.start == 0 {
            self.process.start = known.start;
        }
        [0, self.process.start].contains(&known.start).then_some(self).filter(|held| held.process.pid == known.pid)
    }

    /// The same process, whose end somebody else will tell of.
    pub fn unwatched(self) -> Held {
        Held { descriptor: None, ..self }
    }

    /// Whether it has ended, be it reaped or not. Its parent alone learns how.
    pub fn has_ended(&self) -> bool {
        match self.descriptor() {
            Some(descriptor) => has_ended(descriptor),
            // What can't be read is not known to have ended.
            None => match start_time(self.process.pid) {
                Some(start) => ![0, start].contains(&self.process.start) || is_zombie(self.process.pid),
                None => kill(to_pid(self.process.pid), None) == Err(Errno::ESRCH),
            },
        }
    }

    /// Sends it a signal; ESRCH where it is gone.
    pub fn signal(&self, number: u8) -> Result<(), Errno> {
        match self.descriptor() {
            Some(descriptor) => deliver::to_held(self.process.pid, descriptor, number),
            None if self.has_ended() => Err(Errno::ESRCH),
            None => signal_child(self.process.pid, number),
        }
    }

    /// The same to the process group that it leads; to itself alone where it leads none.
    pub fn signal_group(&self, number: u8) -> Result<(), Errno> {
        let pid = to_pid(self.process.pid);
        if nix::unistd::getpgid(Some(pid)) == Ok(pid) && !self.has_ended() {
            return signal_group(self.process.pid, number);
        }
        self.signal(number)
    }
}

struct Field([u8; 20], usize);

impl Field {
    fn parse_ascii(&self) -> Option<u64> {
        core::str::from_utf8(self.0.get(..self.1)?).ok()?.parse().ok()
    }
}

fn stat_field(pid: u32, field: usize) -> Option<Field> {
    let path: Text<32> = text::format(format_args!("/proc/{pid}/stat"));
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

/// The children of a process, whichever of its threads has made them: the kernel keeps a list per thread (proc(5)).
pub(super) fn listed_children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return found };
    for task in tasks.flatten() {
        found.extend(read_pids(&task.path().join("children")));
    }
    found
}

/// Those that its first thread has made, which is sooner told.
pub(super) fn main_threads_children(pid: u32) -> Vec<u32> {
    let path: Text<64> = text::format(format_args!("/proc/{pid}/task/{pid}/children"));
    read_pids(path.as_str())
}

/// What stands in a list of children: numbers, a space behind each. In few system calls: others make processes meanwhile.
fn read_pids<P: ?Sized + NixPath>(path: &P) -> Vec<u32> {
    let (mut found, mut pid, mut buffer) = (Vec::new(), 0_u32, [0; 4096]);
    let Ok(file) = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) else { return found };
    while let Ok(length @ 1..) = nix::unistd::read(&file, &mut buffer) {
        for byte in buffer.get(..length).unwrap_or_default() {
            match byte {
                b'0'..=b'9' => pid = pid.wrapping_mul(10).wrapping_add(u32::from(byte - b'0')),
                _ => found.push(core::mem::take(&mut pid)),
            }
        }
    }
    found
}

/// The children of a process that reaps some of them meanwhile: then the kernel passes over as many that live (proc(5)).
/// What was read, and was gone when it was read again, is missing there; so two lists that are the same lack nobody. Where
/// they end all the time, all that was read in many attempts is returned: hardly anybody is passed over in each of them.
pub(super) fn all_children(pid: u32) -> Vec<u32> {
    // Each attempt takes microseconds, and among thousands of zombies a fraction of a millisecond.
    const ATTEMPTS: usize = 32;
    let mut known = listed_children(pid);
    let mut all = BTreeSet::new();
    for _attempt in 0..ATTEMPTS {
        let again = listed_children(pid);
        if again == known {
            return known;
        }
        all.extend(core::mem::replace(&mut known, again));
    }
    all.extend(known);
    all.into_iter().collect()
}

/// The direct children of this process, which has one thread, ended ones that are not reaped yet among them.
pub fn children() -> Vec<u32> {
    read_pids("/proc/thread-self/children")
}

/// Sends KILL to every direct child but this one. What they leave behind becomes a child of this process, the
/// subreaper, in its turn; only direct children are killed, as no other process can take their pids.
/// Returns how many there were.
pub fn kill_children_but(spared: Option<u32>) -> usize {
    let mut children = children();
    children.retain(|child| Some(*child) != spared);
    for child in &children {
        let _may_be_gone = signal_child(*child, signal::KILL);
    }
    children.len()
}

/// A zombie is nobody's business but its parent's.
pub(super) fn is_zombie(pid: u32) -> bool {
    stat_field(pid, 3).is_some_and(|state| state.0.starts_with(b"Z"))
}

/// Whether there is a process of this kind anywhere. All are looked at in the order of their pids, each as it is met: what
/// one has made before it ended has a higher pid and is still to come, so hardly anything escapes by making others all the
/// time; what was being made in that moment may, once, so it is looked for again among those that are new.
/// A pid is given again only once all the higher ones were, which takes far longer.
pub(super) fn exists(is_kind: impl Fn(u32) -> bool) -> bool {
    const LOOKS: usize = 3;
    let mut seen = BTreeSet::new();
    (0..LOOKS).any(|_| {
        let entries = std::fs::read_dir("/proc").into_iter().flatten();
        let mut pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.any(|pid| seen.insert(pid) && is_kind(pid))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sys::raw::Strings;
    use crate::sys::spawn::{Spawn, Stream, spawn};
    use std::cell::RefCell;
    use std::io::{BufRead as _, BufReader, PipeReader, pipe};
    use std::process::Command;
    use std::sync::atomic::Ordering::SeqCst;
    use std::sync::atomic::{AtomicBool, AtomicU32};

    /// A shell under this mark with two children, one of them in a session of its own and with a child, and the pipe
    /// that all of them hold.
    pub fn family(mark: u64) -> (u32, BufReader<PipeReader>) {
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

    pub fn wait(pid: u32) {
        waitpid(to_pid(pid), None).unwrap();
    }

    #[test]
    fn a_process_is_found_by_its_mark_as_long_as_it_is_there() {
        // Where nobody reaps orphans, those of an earlier run are still there.
        let mark = 0x7000_1234_0000_0000 | u64::from(std::process::id()) << 1;
        let (main, mut out) = family(mark);
        assert!(exists(|pid| pid != main && soft_locks(pid) == Some(mark)));
        assert!(!exists(|pid| soft_locks(pid) == Some(mark + 1)));
        let family = RefCell::new(Vec::new());
        assert!(!exists(|pid| {
            if soft_locks(pid) == Some(mark) {
                family.borrow_mut().push(hold_other(pid).unwrap());
            }
            false
        }));
        assert_eq!(family.borrow().len(), 4);
        let kill_it = |pid: u32| soft_locks(pid) == Some(mark) && signal_child(pid, signal::KILL).is_err();
        assert!(!exists(kill_it));
        assert_eq!(out.read_line(&mut String::new()).unwrap(), 0);
        wait(main);
        // Their files are closed a moment before they have ended.
        for member in family.borrow().iter() {
            let mut end = [PollFd::new(member.descriptor().unwrap(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut end, PollTimeout::from(60_000u16)), Ok(1));
        }
        // One that is reaped between two looks is no zombie any more, and nothing else.
        assert!(!exists(|pid| soft_locks(pid) == Some(mark) && !is_zombie(pid) && soft_locks(pid) == Some(mark)));
    }

    #[test]
    fn what_is_held_goes_by_the_start_time_by_which_it_is_known() {
        let own = std::process::id();
        let start = start_time(own).unwrap();
        let held = |start| Held { process: Process { pid: own, start }, descriptor: None };
        let known_as =
            |held: Held, known| held.known_as(Process { pid: own, start: known }).map(|held| held.process.start);
        assert_eq!(known_as(held(start), start), Some(start));
        // It could not be read, for want of a descriptor.
        assert_eq!(known_as(held(0), start), Some(start));
        assert_eq!(known_as(held(start), 0), Some(start));
        assert_eq!(known_as(held(0), 0), Some(0));
        assert_eq!(known_as(held(start), start + 1), None);
        assert!(held(start).known_as(Process { pid: own + 1, start }).is_none());
    }

    #[test]
    fn the_end_of_a_grandchild_is_seen_and_a_stranger_is_not_held() {
        let (child, mut out) = family(4713);
        let grandchild = *listed_children(child).first().unwrap();
        let held = hold(grandchild, |_| false).unwrap();
        assert_eq!(held.process, Process { pid: grandchild, start: start_time(grandchild).unwrap() });
        assert!(!held.has_ended());
        signal_child(grandchild, signal::KILL).unwrap();
        assert_eq!(
            poll(&mut [PollFd::new(held.descriptor().unwrap(), PollFlags::POLLIN)], PollTimeout::from(60_000_u16)),
            Ok(1)
        );
        assert!(held.has_ended());
        for stranger in [1, std::process::id(), i32::MAX.unsigned_abs()] {
            assert!(hold(stranger, |_| false).is_none(), "{stranger}");
        }
        let held = hold(child, |_| false).unwrap();
        for pid in listed_children(child).into_iter().flat_map(listed_children).chain(listed_children(child)) {
            let _may_be_gone = signal_child(pid, signal::KILL);
        }
        assert_eq!(out.read_line(&mut String::new()).unwrap(), 0);
        wait(child);
        assert!(held.has_ended() && hold(child, |_| false).is_none());
    }

    #[test]
    fn a_child_that_lives_is_listed_whoever_else_is_reaped_meanwhile() {
        let (alive, done) = (AtomicU32::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _round in 0..20 {
                    let mut some: Vec<_> = (0..20).map(|_| Command::new("true").spawn().unwrap()).collect();
                    let mut last = Command::new("sleep").arg("1003").spawn().unwrap();
                    alive.store(last.id(), SeqCst);
                    some.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
                    alive.store(0, SeqCst);
                    last.kill().unwrap();
                    last.wait().unwrap();
                }
                done.store(true, SeqCst);
            });
            while !done.load(SeqCst) {
                let before = alive.load(SeqCst);
                let listed = all_children(std::process::id());
                if before != 0 && before == alive.load(SeqCst) {
                    assert!(listed.contains(&before), "{before} is not in {listed:?}");
                }
            }
        });
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
        assert_eq!(signal_other(process, signal::KILL), Err(Errno::ESRCH));
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
