//! The only file with `unsafe`, with what lies below it: what neither std nor nix offers safely.
//!
//! Owns: thin wrappers of single system calls, and memory that is shared with a child. Must never: decide
//! anything.
#![allow(unsafe_code)]

mod capabilities;
mod environment;
mod memory;
mod scheduling;
mod shared;
mod trial;

pub use capabilities::{
    drop_bounding, is_ambient, is_bounding, permitted_capabilities, raise_ambient, set_capabilities,
};
pub use environment::{environment, hide_variables, show_variables};
pub use memory::{Patient, map, release_stack};
pub use scheduling::{set_nice, take_short_slices};
pub use shared::Shared;
pub use trial::attempt;

use crate::exit::Exit;
use crate::model::service::{Failure, SpawnStage};
use crate::signal;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::marker::PhantomData;
use core::ptr;
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Makes `main` of a program that needs no runtime of Rust's: what std sets up before `main`
/// (guard pages, handlers, a signal stack) would cost every supervisor two pages and ten system calls.
#[macro_export]
macro_rules! bare_main {
    ($run:path) => {
        /// Called by the C library.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn main(count: core::ffi::c_int, arguments: *const *const core::ffi::c_char) -> core::ffi::c_int {
            // SAFETY: these are what the C library passed.
            let arguments = unsafe { $crate::sys::raw::Arguments::from_main(count, arguments) };
            core::ffi::c_int::from($run(arguments))
        }
    };
}

/// The arguments of a program made by [`bare_main!`].
#[derive(Clone, Copy, Debug)]
pub struct Arguments(&'static [*const c_char]);

impl Arguments {
    /// # Safety
    /// For [`bare_main!`] alone: the two must be what the C library passed to `main`.
    #[doc(hidden)]
    pub unsafe fn from_main(count: c_int, arguments: *const *const c_char) -> Arguments {
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: the C library passes `count` pointers that live as long as the process.
        Arguments(if arguments.is_null() { &[] } else { unsafe { core::slice::from_raw_parts(arguments, count) } })
    }

    /// Argument `index`, the program's own name being 0; `None` also where it is not UTF-8.
    pub fn get(&self, index: usize) -> Option<&'static str> {
        self.bytes(index)?.to_str().ok()
    }

    /// Argument `index` as it is.
    pub fn bytes(&self, index: usize) -> Option<&'static CStr> {
        let argument = *self.0.get(index)?;
        // SAFETY: each argument is a NUL-terminated string that lives as long as the process.
        Some(unsafe { CStr::from_ptr(argument) })
    }
}

/// A NULL-terminated array of strings, as execve(2) takes it.
#[derive(Debug)]
pub struct Strings<'a> {
    inline: [*const c_char; Strings::INLINE],
    spilled: Vec<*const c_char>,
    strings: PhantomData<&'a CStr>,
}

impl<'a> Strings<'a> {
    /// So many fit without a heap.
    const INLINE: usize = 96;

    /// Collects them.
    pub fn collect(strings: impl Iterator<Item = &'a CStr> + Clone) -> Strings<'a> {
        let mut inline = [ptr::null(); Strings::INLINE];
        let mut rest = strings.clone();
        inline.iter_mut().take(Strings::INLINE - 1).zip(&mut rest).for_each(|(slot, string)| *slot = string.as_ptr());
        let spilled = match rest.next() {
            None => Vec::new(),
            Some(_) => strings.map(CStr::as_ptr).chain([ptr::null()]).collect(),
        };
        Strings { inline, spilled, strings: PhantomData }
    }

    fn as_ptr(&self) -> *const *const c_char {
        if self.spilled.is_empty() { self.inline.as_ptr() } else { self.spilled.as_ptr() }
    }

    /// The first string.
    pub fn first(&self) -> Option<&CStr> {
        // SAFETY: the array has at least one slot; a pointer in it that is not NULL is a valid string.
        unsafe {
            let first = *self.as_ptr();
            (!first.is_null()).then(|| CStr::from_ptr(first))
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        let mut next = self.as_ptr();
        core::iter::from_fn(move || {
            // SAFETY: the array ends with NULL, and `next` never passes it.
            unsafe {
                let string = *next;
                if string.is_null() {
                    return None;
                }
                next = next.add(1);
                Some(CStr::from_ptr(string))
            }
        })
    }
}

/// What a new process has of its parent's descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Descriptors {
    /// A copy of all of them.
    Copied,
    /// The parent's own table: the child's first act must be [`keep_descriptors_below`].
    Shared,
}

/// Leaves a table that is shared with the parent, taking along what lies below `first` (close_range(2) with
/// CLOSE_RANGE_UNSHARE, Linux 5.9; without it, a copy of everything). What lies above is never copied, so
/// that a start costs the same beside ten and ten thousand descriptors.
pub fn keep_descriptors_below(first: RawFd) -> Result<(), Errno> {
    const CLOSE_RANGE_UNSHARE: u32 = 2;
    // SAFETY: plain numbers.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_UNSHARE) == 0 {
            return Ok(());
        }
        Errno::result(libc::unshare(libc::CLONE_FILES)).map(drop)
    }
}

struct Child<'a, T> {
    context: &'a T,
    become_program: fn(&T) -> Failure,
    failure: Option<Failure>,
}

/// Makes a process that runs `become_program`, which returns only if it failed. Returns the pid once
/// the process has executed its program, or how it failed.
///
/// A clone(2) with CLONE_VM and CLONE_VFORK: the parent sleeps meanwhile, and the child says through
/// shared memory where it failed. So `become_program` must not allocate, lock, or touch the parent's state.
#[inline(never)]
pub fn vfork<T>(context: &T, become_program: fn(&T) -> Failure, descriptors: Descriptors) -> Result<u32, Failure> {
    // Room for one path and the frames; only the pages that are used are ever touched.
    let mut stack = core::mem::MaybeUninit::<[u8; 24 * 1024]>::uninit();
    let mut child = Child { context, become_program, failure: None };
    // SAFETY: the stack grows down from its aligned top and outlives the child's use of it, as the
    // parent sleeps until the child has left this memory; so `child` is never accessed by both.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(1).cast::<u8>();
        let top = top.sub(top as usize % 16).cast::<c_void>();
        let files = if descriptors == Descriptors::Shared { libc::CLONE_FILES } else { 0 };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | files;
        libc::clone(run_child::<T>, top, flags, ptr::from_mut(&mut child).cast())
    };
    if pid < 0 {
        return Err(Failure { stage: SpawnStage::Process, errno: Errno::last_raw() });
    }
    // SAFETY: `child` is initialised; the volatile read keeps the compiler from using what it knows
    // of the value before the clone.
    match unsafe { ptr::read_volatile(&raw const child.failure) } {
        None => Ok(pid.unsigned_abs()),
        Some(failure) => {
            // It is exiting by now; nothing but this call waits for it.
            let _gone = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
            Err(failure)
        }
    }
}

extern "C" fn run_child<T>(child: *mut c_void) -> c_int {
    // SAFETY: `vfork` passed a pointer to its own `Child` and sleeps meanwhile; _exit ends this
    // process without running anything of the parent's.
    unsafe {
        let child = &mut *child.cast::<Child<'_, T>>();
        let failure = Some((child.become_program)(child.context));
        ptr::write_volatile(&raw mut child.failure, failure);
        libc::_exit(127)
    }
}

/// Executes a program in this process; returns only the error.
pub fn execve(path: &CStr, arguments: &Strings<'_>, environment: &Strings<'_>) -> Errno {
    // SAFETY: NULL-terminated arrays of valid strings.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::last()
}

/// Reads a clock by the system call itself: the vDSO would be faster, but its page needs two page tables,
/// 8 kB in every supervisor.
pub fn clock(clock: nix::time::ClockId) -> (i64, i64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid pointer; the clocks that zei reads exist always.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock.as_raw(), &raw mut time) };
    (time.tv_sec, time.tv_nsec)
}

/// Takes the terminal on standard input as this session's; fails if another session has it.
pub fn take_terminal() -> Result<(), Errno> {
    // SAFETY: TIOCSCTTY takes an integer; 0: don't steal.
    Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }).map(drop)
}

/// Sets the supplementary groups, by the bare system call: glibc's wrappers of this and the next two would
/// signal threads, through memory that a child of [`vfork`] shares with its parent.
pub fn setgroups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: pointer and length belong together.
    Errno::result(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// Sets real, effective and saved group id.
pub fn setresgid(gid: u32) -> Result<(), Errno> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// Sets real, effective and saved user id.
pub fn setresuid(uid: u32) -> Result<(), Errno> {
    set_users(uid, uid, uid)
}

/// Sets each of them; `u32::MAX` leaves it.
pub fn set_users(real: u32, effective: u32, saved: u32) -> Result<(), Errno> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, real, effective, saved) }).map(drop)
}

/// Whether the supplementary groups are these already: then setgroups(2), which needs a right, is not needed.
pub fn has_groups(groups: &[u32]) -> bool {
    let mut own = [0; 64];
    // SAFETY: the array has room for as many as said.
    let count = unsafe { libc::getgroups(64, own.as_mut_ptr()) };
    usize::try_from(count).ok().and_then(|count| own.get(..count)) == Some(groups)
}

/// A copy of a descriptor, closed on exec, out of the way of 0, 1, 2 and of what is passed on.
pub fn copy_high(descriptor: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 16) })
}

/// Makes `to` another descriptor of what `from` is, not closed on exec.
pub fn duplicate(from: RawFd, to: RawFd) -> Result<(), Errno> {
    // SAFETY: plain numbers; the caller means to replace `to`. The copy is inherited.
    Errno::result(if from == to {
        unsafe { libc::fcntl(from, libc::F_SETFD, 0) }
    } else {
        unsafe { libc::dup2(from, to) }
    })
    .map(drop)
}

/// Puts a signal's disposition back to its default.
pub fn set_default(signal: u8) -> Result<(), Errno> {
    set_disposition(signal, libc::SIG_DFL)
}

/// Makes this process ignore a signal.
pub fn set_ignored(signal: u8) -> Result<(), Errno> {
    set_disposition(signal, libc::SIG_IGN)
}

/// Makes a signal end this process at once with code 0, wherever it is, even in a write that blocks.
pub fn end_well_on(signal: u8) -> Result<(), Errno> {
    extern "C" fn end(_signal: c_int) {
        // SAFETY: _exit(2) may be called from a handler, and nothing runs after it.
        unsafe { libc::_exit(0) }
    }
    let handler = end as extern "C" fn(c_int) as libc::sighandler_t;
    // SAFETY: the handler has the type that signal(2) asks for.
    let before = unsafe { libc::signal(c_int::from(signal), handler) };
    if before == libc::SIG_ERR { Err(Errno::last()) } else { Ok(()) }
}

/// The kernel's `struct sigaction` of 64-bit machines: the handler, then flags, restorer and mask, all zero.
type Action = [usize; 4];

fn set_disposition(signal: u8, disposition: libc::sighandler_t) -> Result<(), Errno> {
    disposition_of(signal, Some(&[disposition, 0, 0, 0])).map(drop)
}

/// The signals that this process ignores.
pub fn ignored() -> signal::Set {
    let is_ignored = |signal: &u8| disposition_of(*signal, None) == Ok(libc::SIG_IGN);
    (1..=signal::RTMAX).filter(is_ignored).fold(signal::Set::EMPTY, signal::Set::with)
}

/// By the bare system call: the C libraries hide the first real-time signals, and glibc's posix_spawn(3) ignores one
/// of them in whatever it starts.
fn disposition_of(signal: u8, new: Option<&Action>) -> Result<libc::sighandler_t, Errno> {
    let (number, new, mut old) = (c_int::from(signal), new.map_or(ptr::null(), ptr::from_ref), [0usize; 4]);
    // SAFETY: SIG_DFL and SIG_IGN run no code, and the kernel reads and writes no more than an Action.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigaction, number, new, &raw mut old, size_of::<u64>()) };
    Errno::result(result).map(|_| old[0])
}

/// Blocks exactly these signals, and returns those that were blocked. By the bare system call: the C
/// libraries keep the first real-time signals for themselves.
pub fn set_mask(blocked: signal::Set) -> Result<signal::Set, Errno> {
    let mut old = 0u64;
    // SAFETY: the kernel's signal set is 64 bits, and both pointers are to such.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const blocked.0, &raw mut old, size_of::<u64>())
    };
    Errno::result(result).map(|_| signal::Set(old))
}

/// A descriptor for these signals, which must be blocked (signalfd(2)); closed on exec, never blocks.
pub fn signal_descriptor(signals: signal::Set) -> Result<OwnedFd, Errno> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set is 64 bits as said; a result that is no error is a descriptor nobody else owns.
    unsafe {
        let result = libc::syscall(libc::SYS_signalfd4, -1, &raw const signals.0, size_of::<u64>(), flags);
        Errno::result(result).map(|descriptor| OwnedFd::from_raw_fd(descriptor as RawFd))
    }
}

/// Takes a descriptor that this process was started with; it is closed on exec from now on.
/// `None` where there is none of that number. To be called once for each.
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: plain numbers; a descriptor that exists belongs to whoever was told about it, the caller.
    unsafe {
        let result = libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        (result == 0).then(|| OwnedFd::from_raw_fd(number))
    }
}

/// Whether a descriptor of this number is closed when this process executes a program.
pub fn set_close_on_exec(number: RawFd, close: bool) -> Result<(), Errno> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, if close { libc::FD_CLOEXEC } else { 0 }) }).map(drop)
}

/// One of the standard streams.
pub fn standard(number: RawFd) -> BorrowedFd<'static> {
    debug_assert!((0..=2).contains(&number), "0, 1 or 2");
    // SAFETY: 0, 1 and 2 are open for the whole life of every zei program (`fill_standard_streams`).
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Opens `/dev/null` (or, without a /dev, a dead pipe) on those of 0, 1, 2 that are closed, so that no
/// other file ever gets one of these numbers.
pub fn fill_standard_streams() {
    // SAFETY: plain numbers; the descriptors are meant to stay open for ever.
    unsafe {
        for number in 0..=2 {
            if libc::fcntl(number, libc::F_GETFD) == 0 || Errno::last() != Errno::EBADF {
                continue;
            }
            if libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) < 0 {
                let _lowest_free = libc::eventfd(0, 0);
            }
        }
    }
}

/// Moves a descriptor to a fixed number and lets it be inherited; closes the original.
pub fn publish(descriptor: OwnedFd, number: RawFd) -> Result<OwnedFd, Errno> {
    let from = descriptor.as_raw_fd();
    duplicate(from, number)?;
    if from == number {
        return Ok(descriptor);
    }
    // SAFETY: dup2 has just made it, and `number` is set aside for it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Fills these numbers with copies of standard error, closed on exec, so that nothing that is opened later
/// gets one of them before it is [`publish`]ed there. What was open there is closed.
pub fn occupy(numbers: core::ops::RangeInclusive<RawFd>) -> Result<(), Errno> {
    for number in numbers {
        // SAFETY: plain numbers; the caller owns these.
        Errno::result(unsafe { libc::dup3(2, number, libc::O_CLOEXEC) })?;
    }
    Ok(())
}

/// Marks every descriptor from `first` on to be closed on exec (close_range(2), Linux 5.11; ENOSYS
/// under older kernels and older seccomp profiles).
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// A descriptor for a process (pidfd_open(2), Linux 5.3). ENOSYS: there are none here; the call itself knows no EPERM,
/// which is an older seccomp profile's word for the same.
pub fn pidfd_open(pid: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: plain numbers; a result that is no error is a descriptor nobody else owns.
    unsafe {
        match Errno::result(libc::syscall(libc::SYS_pidfd_open, pid, 0)) {
            Ok(descriptor) => Ok(OwnedFd::from_raw_fd(descriptor as RawFd)),
            Err(Errno::EPERM) => Err(Errno::ENOSYS),
            Err(errno) => Err(errno),
        }
    }
}

/// Sends a signal to the process behind the descriptor, and to no later one of the same pid.
pub fn pidfd_send(process: BorrowedFd<'_>, signal: u8) -> Result<(), Errno> {
    let none: *const c_void = ptr::null();
    // SAFETY: plain numbers and a NULL siginfo.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), c_int::from(signal), none, 0) };
    Errno::result(result).map(drop)
}

/// Writes to a pipe or file without ever waiting, whatever the description's flags are
/// (pwritev2(2) with RWF_NOWAIT).
pub fn write_nowait(file: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    let vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: the vector describes `bytes`, which the kernel only reads. Offset -1: the file's own.
    // By the bare system call, as its offset is passed in two halves.
    let result = unsafe {
        libc::syscall(libc::SYS_pwritev2, file.as_raw_fd(), &raw const vector, 1, -1_i64, -1_i64, libc::RWF_NOWAIT)
    };
    Errno::result(result).map(|length| usize::try_from(length).unwrap_or(0))
}

/// How many bytes a pipe holds (FIONREAD, pipe(7)).
pub fn readable(pipe: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut count: c_int = 0;
    // SAFETY: the kernel writes one int.
    Errno::result(unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Gives the controlling terminal up (tty_ioctl(4), TIOCNOTTY). A session leader's other processes
/// get HUP and CONT by it, and so does the caller.
pub fn give_up_terminal(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes no argument.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY) }).map(drop)
}

/// kill(2) for any signal number, real-time ones included.
pub fn kill(pid: i32, signal: u8) -> Result<(), Errno> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::kill(pid, c_int::from(signal)) }).map(drop)
}

/// Reaps any child that has ended (waitpid(2), WNOHANG): its pid, and how it ended, by whatever signal,
/// real-time ones included, for which nix has no name. `Ok(None)`: none has ended; ECHILD: there is none.
pub fn reap_any() -> Result<Option<(u32, Exit)>, Errno> {
    let mut status = 0;
    // SAFETY: writes one integer.
    let pid = Errno::result(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) })?;
    let byte = |number: c_int| number.to_le_bytes()[0];
    let exit = if libc::WIFSIGNALED(status) {
        Exit::Signal(byte(libc::WTERMSIG(status)))
    } else {
        Exit::Code(byte(libc::WEXITSTATUS(status)))
    };
    Ok((pid > 0).then(|| (pid.unsigned_abs(), exit)))
}

/// The same, but the child stays as it is (waitid(2), WNOWAIT).
pub fn look_any() -> Result<Option<(u32, Exit)>, Errno> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: fills in the local; where no child has ended it stays zeroed.
    let (pid, code, status) = unsafe {
        let mut info: libc::siginfo_t = core::mem::zeroed();
        Errno::result(libc::waitid(libc::P_ALL, 0, &raw mut info, flags))?;
        (info.si_pid(), info.si_code, info.si_status().to_le_bytes()[0])
    };
    let exit = if code == libc::CLD_EXITED { Exit::Code(status) } else { Exit::Signal(status) };
    Ok((pid > 0).then(|| (pid.unsigned_abs(), exit)))
}

/// Sends this process `signal` when its parent ends (PR_SET_PDEATHSIG(2const)).
pub fn set_parent_death_signal(signal: u8) -> Result<(), Errno> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::c_ulong::from(signal)) }).map(drop)
}
