//! The only file with `unsafe`: what neither std nor nix offers safely.
//!
//! Owns: process creation, and thin wrappers of single system calls. Must never: decide anything.
#![allow(unsafe_code)]

use crate::exit::Exit;
use crate::model::service::{Failure, SpawnStage};
use crate::signal;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::marker::PhantomData;
use core::ptr;
use nix::errno::Errno;
use nix::sys::stat::Mode;
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
        let mut spilled = Vec::new();
        if strings.clone().count() < Strings::INLINE {
            inline.iter_mut().zip(strings).for_each(|(slot, string)| *slot = string.as_ptr());
        } else {
            spilled = strings.map(CStr::as_ptr).chain([ptr::null()]).collect();
        }
        Strings { inline, spilled, strings: PhantomData }
    }

    fn as_ptr(&self) -> *const *const c_char {
        if self.spilled.is_empty() { self.inline.as_ptr() } else { self.spilled.as_ptr() }
    }

    fn first(&self) -> Option<&CStr> {
        // SAFETY: the array has at least one slot; a pointer in it that is not NULL is a valid string.
        unsafe {
            let first = *self.as_ptr();
            (!first.is_null()).then(|| CStr::from_ptr(first))
        }
    }

    fn iter(&self) -> impl Iterator<Item = &CStr> {
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

/// What becomes of the new process's session and terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Session {
    /// The parent's.
    Same,
    /// The parent's, but a process group of its own.
    Group,
    /// The parent's, but a process group of its own, which gets the terminal's foreground.
    ForegroundGroup,
    /// A new one.
    New,
    /// A new one that takes the terminal on standard input.
    NewWithTerminal,
}

/// Where a standard stream of the new process comes from.
#[derive(Clone, Copy, Debug)]
pub enum Stream<'a> {
    /// The parent's descriptor of the same number.
    Same,
    /// This descriptor of the parent's.
    Of(BorrowedFd<'a>),
    /// This file, opened for appending after the switch of the user.
    Path(&'a CStr),
    /// What standard output has become.
    LikeStdout,
}

/// A process to be made.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The program and its arguments; without a slash it is looked up in PATH of `environment`.
    pub arguments: Strings<'a>,
    /// Its environment.
    pub environment: Strings<'a>,
    /// Where it writes its own pid (8 bytes, little-endian) before anything else.
    pub record: Option<(BorrowedFd<'a>, i64)>,
    /// Its session.
    pub session: Session,
    /// Its standard streams.
    pub streams: [Stream<'a>; 3],
    /// A descriptor it gets beside 0, 1, 2, and the number it has there.
    pub pass: Option<(BorrowedFd<'a>, RawFd)>,
    /// The signals whose disposition is put back to the default.
    pub defaults: signal::Set,
    /// The signals that it ignores beside those that the parent ignores.
    pub ignored: signal::Set,
    /// The signals that are blocked in it.
    pub blocked: signal::Set,
    /// Mode creation mask.
    pub umask: Option<u32>,
    /// Working directory.
    pub directory: Option<&'a CStr>,
    /// User and group.
    pub ids: Option<(u32, u32)>,
    /// Supplementary groups, taken only together with `ids`.
    pub groups: &'a [u32],
}

struct Child<'a> {
    spawn: &'a Spawn<'a>,
    failure: Option<Failure>,
}

/// Makes the process and returns its pid once it has become the program.
///
/// A clone(2) with CLONE_VM and CLONE_VFORK: the parent sleeps until the child has executed or
/// failed, and the child says through shared memory where it failed.
#[inline(never)]
pub fn spawn(spawn: &Spawn<'_>) -> Result<u32, Failure> {
    // Room for one path and the frames; only the pages that are used are ever touched.
    let mut stack = core::mem::MaybeUninit::<[u8; 24 * 1024]>::uninit();
    let mut child = Child { spawn, failure: None };
    // SAFETY: the stack grows down from its aligned top and outlives the child's use of it, as the
    // parent sleeps until the child has left this memory; so `child` is never accessed by both.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(1).cast::<u8>();
        let top = top.sub(top as usize % 16).cast::<c_void>();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        libc::clone(run_child, top, flags, ptr::from_mut(&mut child).cast())
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

extern "C" fn run_child(child: *mut c_void) -> c_int {
    // SAFETY: `spawn` passed a pointer to its own `Child` and sleeps meanwhile.
    let child = unsafe { &mut *child.cast::<Child<'_>>() };
    if let Err((stage, errno)) = become_program(child.spawn) {
        let failure = Some(Failure { stage, errno: errno as i32 });
        // SAFETY: as above.
        unsafe { ptr::write_volatile(&raw mut child.failure, failure) };
    }
    // SAFETY: ends this process without running anything of the parent's.
    unsafe { libc::_exit(127) }
}

/// Shared memory with the parent: nothing here may allocate, lock, or touch the parent's state.
fn become_program(spawn: &Spawn<'_>) -> Result<(), (SpawnStage, Errno)> {
    let at = |stage| move |errno| (stage, errno);
    if let Some((file, offset)) = spawn.record {
        let pid = u64::from(std::process::id()).to_le_bytes();
        nix::sys::uio::pwrite(file, &pid, offset).map_err(at(SpawnStage::Record))?;
    }
    begin_session(spawn.session)?;
    direct_streams(&spawn.streams)?;
    if let Some((from, to)) = spawn.pass {
        duplicate(from.as_raw_fd(), to).map_err(at(SpawnStage::Stdin))?;
    }
    if spawn.session == Session::NewWithTerminal {
        // SAFETY: TIOCSCTTY takes an integer; 0: don't steal the terminal from another session.
        Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }).map_err(at(SpawnStage::Terminal))?;
    }
    for signal in spawn.defaults.iter() {
        set_default(signal).map_err(at(SpawnStage::Signals))?;
    }
    for signal in spawn.ignored.iter() {
        set_ignored(signal).map_err(at(SpawnStage::Signals))?;
    }
    if let Some(mask) = spawn.umask {
        nix::sys::stat::umask(Mode::from_bits_truncate(mask));
    }
    if let Some(directory) = spawn.directory {
        nix::unistd::chdir(directory).map_err(at(SpawnStage::Directory))?;
    }
    if let Some((uid, gid)) = spawn.ids {
        switch(uid, gid, spawn.groups)?;
    }
    open_streams(&spawn.streams)?;
    set_mask(spawn.blocked).map_err(at(SpawnStage::Signals))?;
    Err((SpawnStage::Execute, execute(&spawn.arguments, &spawn.environment)))
}

fn begin_session(session: Session) -> Result<(), (SpawnStage, Errno)> {
    let at = |errno| (SpawnStage::Session, errno);
    match session {
        Session::Same => Ok(()),
        Session::New | Session::NewWithTerminal => nix::unistd::setsid().map(drop).map_err(at),
        Session::Group => own_group().map_err(at),
        Session::ForegroundGroup => {
            own_group().map_err(at)?;
            // SAFETY: descriptor 0 is only used for this call.
            let terminal = unsafe { BorrowedFd::borrow_raw(0) };
            match nix::unistd::tcsetpgrp(terminal, nix::unistd::getpgrp()) {
                // No terminal, one of another session, or hung up: then there is no foreground to take.
                Ok(()) | Err(Errno::ENOTTY | Errno::ENXIO | Errno::EBADF | Errno::EIO) => Ok(()),
                Err(errno) => Err((SpawnStage::Terminal, errno)),
            }
        }
    }
}

fn own_group() -> Result<(), Errno> {
    let own = nix::unistd::Pid::from_raw(0);
    nix::unistd::setpgid(own, own)
}

const STREAM_STAGES: [SpawnStage; 3] = [SpawnStage::Stdin, SpawnStage::Stdout, SpawnStage::Stderr];

/// Descriptors first, all of them copied away before any is replaced: a service may swap 1 and 2.
fn direct_streams(streams: &[Stream<'_>; 3]) -> Result<(), (SpawnStage, Errno)> {
    let mut sources: [Option<RawFd>; 3] = [None; 3];
    for ((source, stream), stage) in sources.iter_mut().zip(streams).zip(STREAM_STAGES) {
        if let Stream::Of(descriptor) = stream {
            let low = descriptor.as_raw_fd() <= 2;
            let copy = if low { copy_high(descriptor.as_raw_fd()) } else { Ok(descriptor.as_raw_fd()) };
            *source = Some(copy.map_err(|errno| (stage, errno))?);
        }
    }
    for ((number, source), stage) in (0..).zip(sources).zip(STREAM_STAGES) {
        if let Some(source) = source {
            duplicate(source, number).map_err(|errno| (stage, errno))?;
        }
    }
    Ok(())
}

/// Files next, with the service's own rights. Never waits: a FIFO that nobody reads is an error.
fn open_streams(streams: &[Stream<'_>; 3]) -> Result<(), (SpawnStage, Errno)> {
    for ((number, stream), stage) in (0..).zip(streams).zip(STREAM_STAGES) {
        let at = |errno| (stage, errno);
        match stream {
            Stream::Same | Stream::Of(_) => {}
            Stream::LikeStdout => duplicate(1, number).map_err(at)?,
            Stream::Path(path) => {
                let flags = libc::O_WRONLY
                    | libc::O_CREAT
                    | libc::O_APPEND
                    | libc::O_NOFOLLOW
                    | libc::O_NOCTTY
                    | libc::O_NONBLOCK
                    | libc::O_CLOEXEC;
                // SAFETY: a valid string and plain numbers.
                let file = Errno::result(unsafe { libc::open(path.as_ptr(), flags, 0o640) }).map_err(at)?;
                // SAFETY: as above; the description is this process's own, so the flag is nobody else's.
                Errno::result(unsafe { libc::fcntl(file, libc::F_SETFL, libc::O_APPEND) }).map_err(at)?;
                duplicate(file, number).map_err(at)?;
            }
        }
    }
    Ok(())
}

/// Out of the way of 0, 1, 2 and of what is passed on.
fn copy_high(descriptor: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 16) })
}

fn duplicate(from: RawFd, to: RawFd) -> Result<(), Errno> {
    // SAFETY: plain numbers; the caller means to replace `to`. The copy is inherited.
    Errno::result(if from == to {
        unsafe { libc::fcntl(from, libc::F_SETFD, 0) }
    } else {
        unsafe { libc::dup2(from, to) }
    })
    .map(drop)
}

/// Groups, then gid, then uid: after the uid there is no right left to change the others.
fn switch(uid: u32, gid: u32, groups: &[u32]) -> Result<(), (SpawnStage, Errno)> {
    if !has_groups(groups) {
        // SAFETY: pointer and length belong together.
        Errno::result(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })
            .map_err(|errno| (SpawnStage::Groups, errno))?;
    }
    // The bare system calls: glibc's wrappers would signal threads through memory shared with the parent.
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })
        .map_err(|errno| (SpawnStage::Group, errno))?;
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
        .map_err(|errno| (SpawnStage::User, errno))?;
    Ok(())
}

/// Whether the supplementary groups are these already: then setgroups(2) needs no right.
fn has_groups(groups: &[u32]) -> bool {
    let mut own = [0; 64];
    // SAFETY: the array has room for as many as said.
    let count = unsafe { libc::getgroups(64, own.as_mut_ptr()) };
    usize::try_from(count).ok().and_then(|count| own.get(..count)) == Some(groups)
}

/// Returns only when nothing could be executed, with the most telling error.
#[inline(never)]
fn execute(arguments: &Strings<'_>, environment: &Strings<'_>) -> Errno {
    let Some(program) = arguments.first() else { return Errno::ENOENT };
    let attempt = |path: &CStr| {
        // SAFETY: NULL-terminated arrays of valid strings.
        unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        Errno::last()
    };
    if program.to_bytes().contains(&b'/') {
        return attempt(program);
    }
    let path = environment.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
    let mut error = Errno::ENOENT;
    for directory in path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':') {
        let mut buffer = [0; 4096];
        let directory = if directory.is_empty() { b"." } else { directory };
        let Some(candidate) = join(&mut buffer, directory, program.to_bytes()) else { continue };
        match attempt(candidate) {
            Errno::ENOENT | Errno::ENOTDIR => {}
            // Seen, but not allowed here: a later one may be, but "not found" would be a lie.
            Errno::EACCES => error = Errno::EACCES,
            other => return other,
        }
    }
    error
}

/// What Docker's images have where a service's environment has no PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn join<'b>(buffer: &'b mut [u8; 4096], directory: &[u8], program: &[u8]) -> Option<&'b CStr> {
    let length = directory.len() + 1 + program.len() + 1;
    let target = buffer.get_mut(..length)?;
    let bytes = directory.iter().chain(b"/").chain(program).chain(b"\0");
    target.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    CStr::from_bytes_with_nul(target).ok()
}

/// Replaces this process; returns only the error.
pub fn exec(arguments: &Strings<'_>, environment: &Strings<'_>) -> Errno {
    execute(arguments, environment)
}

/// Puts SIGPIPE back to its default, which Rust's runtime ignores for its own program but
/// every program executed by it would inherit.
pub fn reset_sigpipe() -> Result<(), Errno> {
    set_default(signal::PIPE)
}

/// Puts a signal's disposition back to its default.
pub fn set_default(signal: u8) -> Result<(), Errno> {
    set_disposition(signal, libc::SIG_DFL)
}

/// Makes this process ignore a signal.
pub fn set_ignored(signal: u8) -> Result<(), Errno> {
    set_disposition(signal, libc::SIG_IGN)
}

fn set_disposition(signal: u8, disposition: libc::sighandler_t) -> Result<(), Errno> {
    // SAFETY: SIG_DFL and SIG_IGN run no code. A zeroed sigaction has an empty mask and no flags.
    Errno::result(unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = disposition;
        libc::sigaction(c_int::from(signal), &raw const action, ptr::null_mut())
    })
    .map(drop)
}

/// The signals that this process ignores.
pub fn ignored() -> signal::Set {
    (1..=signal::RTMAX).filter(|signal| is_ignored(*signal)).fold(signal::Set::EMPTY, signal::Set::with)
}

fn is_ignored(signal: u8) -> bool {
    // SAFETY: only reads the disposition into a local.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        libc::sigaction(c_int::from(signal), ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
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

/// Moves a descriptor out of the way of the low numbers (to 16 or above), closed on exec.
pub fn move_high(descriptor: OwnedFd) -> Result<OwnedFd, Errno> {
    let copy = copy_high(descriptor.as_raw_fd())?;
    // SAFETY: fcntl has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Marks every descriptor from `first` on to be closed on exec (close_range(2), Linux 5.11; ENOSYS
/// under older kernels and older seccomp profiles).
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Maps a whole file for reading, for the life of the process. The caller makes sure that it can't
/// shrink (a sealed memfd).
pub fn map(file: BorrowedFd<'_>, length: usize) -> Result<&'static [u8], Errno> {
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: a fresh private mapping at an address of the kernel's choice, never unmapped; the file is sealed.
    unsafe {
        let address = libc::mmap(ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0);
        if address == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(core::slice::from_raw_parts(address.cast(), length))
    }
}

/// A descriptor for a process (pidfd_open(2), Linux 5.3).
pub fn pidfd_open(pid: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: plain numbers; a result that is no error is a descriptor nobody else owns.
    unsafe { Errno::result(libc::syscall(libc::SYS_pidfd_open, pid, 0)).map(|fd| OwnedFd::from_raw_fd(fd as RawFd)) }
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

/// The environment that this process was started with, also what is no `NAME=VALUE`.
pub fn environment() -> impl Iterator<Item = &'static CStr> + Clone {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: the C library sets it before `main`; no zei program ever changes its environment.
    let mut next = unsafe { environ };
    core::iter::from_fn(move || {
        // SAFETY: NULL, or an array that ends with NULL, of strings that live as long as the process.
        unsafe {
            if next.is_null() || (*next).is_null() {
                return None;
            }
            let variable = CStr::from_ptr(*next);
            next = next.add(1);
            Some(variable)
        }
    })
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
