//! How soon a process gets a processor.
//!
//! Must never: touch another process's scheduling.

use nix::errno::Errno;

/// The beginning of `struct sched_attr` (sched_setattr(2)).
#[repr(C)]
#[derive(Default)]
struct Scheduling {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// How a process is scheduled; 0: this one.
fn scheduling(pid: u32) -> Result<Scheduling, Errno> {
    let mut all = Scheduling::default();
    // SAFETY: what is filled in is not longer than said.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_getattr, pid, &raw mut all, size_of::<Scheduling>(), 0) })?;
    Ok(all)
}

/// From now on this process gets time slices of so many nanoseconds, those that it makes the usual ones. Nothing changes
/// before Linux 6.12, and where it has been given another policy or a better priority: what it makes would lose those.
pub fn take_short_slices(nanoseconds: u64) -> Result<(), Errno> {
    // SCHED_FLAG_RESET_ON_FORK of linux/sched.h.
    const RESET_ON_FORK: u64 = 1;
    let mut all = scheduling(0)?;
    if all.policy != libc::SCHED_OTHER.unsigned_abs() || all.nice < 0 {
        return Ok(());
    }
    (all.flags, all.runtime) = (all.flags | RESET_ON_FORK, nanoseconds);
    // SAFETY: 0 is this process; the attributes say how long they are.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const all, 0) }).map(drop)
}

/// Sets this process's nice value, -20 to 19.
pub fn set_nice(value: i32) -> Result<(), Errno> {
    // SAFETY: plain numbers; 0 is this process.
    Errno::result(unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, value) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_short_time_slice_is_this_processes_own() {
        // The kernel keeps it per thread, and what a thread makes begins with its.
        let slices = std::thread::spawn(|| {
            let usual = scheduling(0).unwrap().runtime;
            take_short_slices(200_000).unwrap();
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let own = scheduling(0).unwrap();
            let childs = scheduling(child.id()).unwrap();
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
            (usual, own.runtime, childs.runtime, own.nice == childs.nice)
        });
        // Before Linux 6.12 there are none to be told of.
        let (usual, own, childs, same_nice) = slices.join().unwrap();
        assert_eq!((own, childs, same_nice), (if usual == 0 { 0 } else { 200_000 }, usual, true));
    }
}
