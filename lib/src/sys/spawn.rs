//! Making a process: what happens between clone and exec, in the child.
//!
//! Owns: the order of the steps, each with its name in [`SpawnStage`]. Must never: allocate, lock or touch
//! the parent's state in the child, whose memory is the parent's own.

use crate::model::child::Child;
use crate::model::privileges::Privileges;
use crate::model::service::{Failure, SpawnStage};
use crate::signal;
use crate::sys::elevation;
use crate::sys::privileges::{self, Refused};
use crate::sys::raw::{self, Descriptors, Strings};
use core::ffi::CStr;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open, readlink};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, chdir, getpgrp, getresuid, setpgid, setsid, tcsetpgrp};
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

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
    /// This file, opened for appending with the rights of the user who is switched to.
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
    /// Where it writes its `model::child::Child` (8 bytes, little-endian) before anything else, and if it fails.
    pub record: Option<(BorrowedFd<'a>, i64)>,
    /// Its session.
    pub session: Session,
    /// Its standard streams.
    pub streams: [Stream<'a>; 3],
    /// A descriptor of the parent's that it gets at this number, whatever else would have been there.
    pub passed: Option<(BorrowedFd<'a>, RawFd)>,
    /// It gets only the descriptors below this number; `None`: all that are not closed on exec.
    pub descriptors_below: Option<RawFd>,
    /// The signals whose disposition is put back to the default.
    pub defaults: signal::Set,
    /// The signals that it ignores beside those that the parent ignores.
    pub ignored: signal::Set,
    /// The signals that are blocked in it.
    pub blocked: signal::Set,
    /// Through what it joins a control group: see `cgroup::Group::entrance`. Without success it stays where it is.
    pub group: Option<BorrowedFd<'a>>,
    /// The soft limit of file locks, which marks whose process it is (see `owned::Marks`).
    pub mark: Option<u64>,
    /// Soft and hard limit of descriptors (RLIMIT_NOFILE).
    pub nofile: Option<(u64, u64)>,
    /// The signal it gets when this process dies (prctl(2), PR_SET_PDEATHSIG).
    pub death_signal: Option<u8>,
    /// Mode creation mask.
    pub umask: Option<u32>,
    /// Working directory.
    pub directory: Option<&'a CStr>,
    /// What it may do and use; what is refused of it, and need not be, is noted there.
    pub privileges: Option<(&'a Privileges, &'a Refused)>,
    /// User and group.
    pub ids: Option<(u32, u32)>,
    /// Supplementary groups, taken only together with `ids`.
    pub groups: &'a [u32],
}

impl<'a> Spawn<'a> {
    /// A process that is as this one in all but its program.
    pub const fn new(arguments: Strings<'a>, environment: Strings<'a>) -> Spawn<'a> {
        Spawn {
            arguments,
            environment,
            record: None,
            session: Session::Same,
            streams: [Stream::Same; 3],
            passed: None,
            descriptors_below: None,
            defaults: signal::Set::EMPTY,
            ignored: signal::Set::EMPTY,
            blocked: signal::Set::EMPTY,
            group: None,
            mark: None,
            nofile: None,
            death_signal: None,
            umask: None,
            directory: None,
            privileges: None,
            ids: None,
            groups: &[],
        }
    }
}

/// Makes the process and returns its pid once it has become the program.
pub fn spawn(spawn: &Spawn<'_>) -> Result<u32, Failure> {
    let refused = [Errno::ENOSYS, Errno::EPERM].map(|errno| errno as i32);
    match spawn.descriptors_below.map(|_| make(spawn, Descriptors::Shared)) {
        // As under the seccomp profile of an older Docker, which knows neither call: then it gets a copy of all.
        Some(Err(Failure { stage: SpawnStage::Process, errno })) if refused.contains(&errno) => {
            make(spawn, Descriptors::Copied)
        }
        Some(made) => made,
        None => make(spawn, Descriptors::Copied),
    }
}

fn make(spawn: &Spawn<'_>, descriptors: Descriptors) -> Result<u32, Failure> {
    let run = |(spawn, descriptors): &(&Spawn<'_>, Descriptors)| match become_program(spawn, *descriptors) {
        Ok(never) => match never {},
        Err((stage, errno)) => {
            let failure = Failure { stage, errno: errno as i32 };
            // Its parent may be dead by now, and a successor reads this. A limit of file sizes must not kill it for that.
            let _it_is_as_it_was = raw::set_ignored(signal::XFSZ);
            let _the_parent_knows = record(spawn, Some(failure));
            failure
        }
    };
    raw::vfork(&(spawn, descriptors), run, descriptors)
}

fn become_program(
    spawn: &Spawn<'_>,
    descriptors: Descriptors,
) -> Result<core::convert::Infallible, (SpawnStage, Errno)> {
    let at = |stage| move |errno| (stage, errno);
    if descriptors == Descriptors::Shared {
        raw::keep_descriptors_below(spawn.descriptors_below.unwrap_or(RawFd::MAX)).map_err(at(SpawnStage::Process))?;
    }
    record(spawn, None).map_err(at(SpawnStage::Record))?;
    elevation::begin_new_process().map_err(at(SpawnStage::User))?;
    if let Some(group) = spawn.group {
        let _where_it_is = nix::unistd::write(group, b"0");
    }
    begin_session(spawn.session)?;
    direct_streams(&spawn.streams)?;
    if spawn.session == Session::NewWithTerminal {
        match raw::take_terminal() {
            // Another session's, as where zei-init was started from a shell: then there is none to take.
            Ok(()) | Err(Errno::EPERM) => {}
            Err(errno) => return Err((SpawnStage::Terminal, errno)),
        }
    }
    for signal in spawn.defaults.iter() {
        raw::set_default(signal).map_err(at(SpawnStage::Signals))?;
    }
    for signal in spawn.ignored.iter() {
        raw::set_ignored(signal).map_err(at(SpawnStage::Signals))?;
    }
    if let Some(mark) = spawn.mark {
        let kind = Resource::RLIMIT_LOCKS;
        // Where an outer limit is lower, there is no mark.
        let _unmarked = getrlimit(kind).and_then(|(_, hard)| setrlimit(kind, mark, hard));
    }
    if let Some((soft, hard)) = spawn.nofile {
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).map_err(at(SpawnStage::Limits))?;
    }
    if let Some(signal) = spawn.death_signal {
        raw::set_parent_death_signal(signal).map_err(at(SpawnStage::Signals))?;
    }
    if let Some(mask) = spawn.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    if let Some(directory) = spawn.directory {
        chdir(directory).map_err(at(SpawnStage::Directory))?;
    }
    if let Some((wanted, refused)) = spawn.privileges {
        privileges::before_switch(wanted, refused)?;
    }
    if let Some((uid, gid)) = spawn.ids {
        begin_switch(uid, gid, spawn.groups)?;
    }
    if let Some((wanted, _)) = spawn.privileges {
        privileges::between(wanted)?;
    }
    open_streams(&spawn.streams)?;
    if let Some((descriptor, number)) = spawn.passed {
        // Last: no other descriptor is needed any more, the lock of the service's directory apart, which may end here.
        raw::duplicate(descriptor.as_raw_fd(), number).map_err(at(SpawnStage::Descriptor))?;
    }
    if let Some((wanted, refused)) = spawn.privileges {
        privileges::limit(wanted, refused, false)?;
    }
    raw::set_mask(spawn.blocked).map_err(at(SpawnStage::Signals))?;
    // From here on the user may stop this process, and with it the parent, which sleeps until it is the program. So what
    // follows is what can't be done before.
    if let Some((uid, _)) = spawn.ids {
        end_switch(uid).map_err(at(SpawnStage::User))?;
    }
    if let Some((wanted, refused)) = spawn.privileges {
        privileges::at_last(wanted)?;
        privileges::limit(wanted, refused, true)?;
    }
    Err((SpawnStage::Execute, execute(&spawn.arguments, &spawn.environment)))
}

/// The new process writes down who it is.
fn record(spawn: &Spawn<'_>, failure: Option<Failure>) -> Result<(), Errno> {
    let Some((file, offset)) = spawn.record else { return Ok(()) };
    if failure.is_some() && spawn.passed.is_some_and(|(_, number)| number == file.as_raw_fd()) {
        // By now it may be another file.
        return Ok(());
    }
    let child = Child { pid: std::process::id(), failure };
    nix::sys::uio::pwrite(file, &child.encode().to_le_bytes(), offset).map(drop)
}

fn begin_session(session: Session) -> Result<(), (SpawnStage, Errno)> {
    let at = |errno| (SpawnStage::Session, errno);
    match session {
        Session::Same => Ok(()),
        Session::New | Session::NewWithTerminal => setsid().map(drop).map_err(at),
        Session::Group => own_group().map_err(at),
        Session::ForegroundGroup => {
            own_group().map_err(at)?;
            match tcsetpgrp(raw::standard(0), getpgrp()) {
                // No terminal, one of another session, or hung up: then there is no foreground to take.
                Ok(()) | Err(Errno::ENOTTY | Errno::ENXIO | Errno::EBADF | Errno::EIO) => Ok(()),
                Err(errno) => Err((SpawnStage::Terminal, errno)),
            }
        }
    }
}

fn own_group() -> Result<(), Errno> {
    let own = Pid::from_raw(0);
    setpgid(own, own)
}

const STREAM_STAGES: [SpawnStage; 3] = [SpawnStage::Stdin, SpawnStage::Stdout, SpawnStage::Stderr];

/// Descriptors first, all of them copied away before any is replaced: a service may swap 1 and 2.
fn direct_streams(streams: &[Stream<'_>; 3]) -> Result<(), (SpawnStage, Errno)> {
    let mut sources: [Option<RawFd>; 3] = [None; 3];
    for ((source, stream), stage) in sources.iter_mut().zip(streams).zip(STREAM_STAGES) {
        if let Stream::Of(descriptor) = stream {
            let number = descriptor.as_raw_fd();
            let copy = if number <= 2 { raw::copy_high(number) } else { Ok(number) };
            *source = Some(copy.map_err(|errno| (stage, errno))?);
        }
    }
    for ((number, source), stage) in (0..).zip(sources).zip(STREAM_STAGES) {
        if let Some(source) = source {
            raw::duplicate(source, number).map_err(|errno| (stage, errno))?;
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
            Stream::LikeStdout => raw::duplicate(1, number).map_err(at)?,
            Stream::Path(path) => {
                let kind = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_APPEND | OFlag::O_NOFOLLOW;
                let manner = OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                let file = open(*path, kind | manner, Mode::from_bits_truncate(0o640)).map_err(at)?;
                // The description is this process's own, so its flag is nobody else's.
                fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND)).map_err(at)?;
                raw::duplicate(file.as_raw_fd(), number).map_err(at)?;
            }
        }
    }
    Ok(())
}

/// Groups, then gid, then the effective uid: it decides what may be opened. The real and the saved one, by which others
/// may signal a process (kill(2)), stay who they are, and give the right to go on.
fn begin_switch(uid: u32, gid: u32, groups: &[u32]) -> Result<(), (SpawnStage, Errno)> {
    if !raw::has_groups(groups) {
        raw::setgroups(groups).map_err(|errno| (SpawnStage::Groups, errno))?;
    }
    raw::setresgid(gid).map_err(|errno| (SpawnStage::Group, errno))?;
    raw::set_users(u32::MAX, uid, u32::MAX).map_err(|errno| (SpawnStage::User, errno))
}

/// All three, for good: what was granted must have been done. After that there is no right left to change them.
fn end_switch(uid: u32) -> Result<(), Errno> {
    raw::setresuid(uid)?;
    let now = getresuid()?;
    let all = [now.real, now.effective, now.saved].iter().all(|id| id.as_raw() == uid);
    if all { Ok(()) } else { Err(Errno::EPERM) }
}

/// Whatever is open from `first` on is closed on exec. Where close_range(2) is refused, it is listed and closed one by one.
pub fn close_on_exec_from(first: RawFd) {
    if raw::close_on_exec_from(first.unsigned_abs()).is_ok() {
        return;
    }
    let listed = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    for number in numbers.filter(|number| *number >= first) {
        let _gone_meanwhile = raw::set_close_on_exec(number, true);
    }
}

/// The path of another of zei's programs: beside this one, whatever PATH says.
pub fn beside(name: &str) -> Result<CString, Errno> {
    let own = readlink("/proc/self/exe")?;
    CString::new(Path::new(&own).with_file_name(name).into_os_string().into_vec()).map_err(|_| Errno::EINVAL)
}

/// What Docker's images have where an environment has no PATH.
pub const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Replaces this process; a program without a slash is looked up in PATH of `environment`. Returns only
/// when nothing could be executed, with the most telling error.
#[inline(never)]
pub fn execute(arguments: &Strings<'_>, environment: &Strings<'_>) -> Errno {
    let Some(program) = arguments.first() else { return Errno::ENOENT };
    if program.to_bytes().contains(&b'/') {
        return raw::execve(program, arguments, environment);
    }
    let path = environment.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
    let mut error = Errno::ENOENT;
    for directory in path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':') {
        let mut buffer = [0; 4096];
        let directory = if directory.is_empty() { b"." } else { directory };
        let Some(candidate) = join(&mut buffer, directory, program.to_bytes()) else { continue };
        match raw::execve(candidate, arguments, environment) {
            Errno::ENOENT | Errno::ENOTDIR => {}
            // Seen, but not allowed here: a later one may be, but "not found" would be a lie.
            Errno::EACCES => error = Errno::EACCES,
            other => return other,
        }
    }
    error
}

fn join<'b>(buffer: &'b mut [u8; 4096], directory: &[u8], program: &[u8]) -> Option<&'b CStr> {
    let length = directory.len() + 1 + program.len() + 1;
    let target = buffer.get_mut(..length)?;
    let bytes = directory.iter().chain(b"/").chain(program).chain(b"\0");
    target.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    CStr::from_bytes_with_nul(target).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pipe::Tail;
    use nix::sys::wait::waitpid;
    use std::fs;
    use std::os::fd::{AsFd as _, OwnedFd};

    /// A shell that runs `script` and writes into `out`.
    fn shell(script: &CStr, out: &OwnedFd, passed: Option<(BorrowedFd<'_>, RawFd)>) -> Result<u32, Failure> {
        let arguments = Strings::collect([c"/bin/sh", c"-c", script].into_iter());
        let streams = [Stream::Same, Stream::Of(out.as_fd()), Stream::LikeStdout];
        spawn(&Spawn { streams, passed, ..Spawn::new(arguments, Strings::collect(core::iter::empty())) })
    }

    fn said(script: &CStr, passed: Option<(BorrowedFd<'_>, RawFd)>) -> String {
        let (mut tail, out) = Tail::new().unwrap();
        let pid = shell(script, &out, passed).unwrap();
        waitpid(Pid::from_raw(i32::try_from(pid).unwrap()), None).unwrap();
        tail.take();
        tail.text::<{ Tail::SIZE }>().as_str().to_owned()
    }

    #[test]
    fn a_descriptor_is_passed_at_any_number_and_stays_the_parents_own() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("passed");
        let file = OwnedFd::from(fs::File::create(&path).unwrap());
        let own = file.as_raw_fd();
        // Its own number, one that something else has here, a free one.
        let other = OwnedFd::from(fs::File::open("/dev/null").unwrap());
        for number in [own, other.as_raw_fd(), 3, 9] {
            let script = CString::new(format!("readlink /proc/$$/fd/{number}")).unwrap();
            assert_eq!(said(&script, Some((file.as_fd(), number))), path.to_str().unwrap(), "{number}");
            let script = CString::new(format!("echo x >&{number}")).unwrap();
            assert_eq!(said(&script, Some((file.as_fd(), number))), "", "{number}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "x\n".repeat(4));
        assert_eq!(fcntl(&file, FcntlArg::F_GETFD), Ok(libc::FD_CLOEXEC));
    }

    #[test]
    fn a_process_writes_who_it_is_and_why_it_does_not_become_the_program() {
        let record = crate::sys::memfd::empty("test").unwrap();
        let word = |program, passed| {
            nix::unistd::ftruncate(&record, 0).unwrap();
            nix::unistd::ftruncate(&record, 8).unwrap();
            let arguments = Strings::collect([program].into_iter());
            let base = Spawn::new(arguments, Strings::collect(core::iter::empty()));
            let made = spawn(&Spawn { record: Some((record.as_fd(), 0)), passed, ..base });
            let mut bytes = [0; 8];
            nix::sys::uio::pread(&record, &mut bytes, 0).unwrap();
            (made, Child::decode(u64::from_le_bytes(bytes)))
        };
        let (made, child) = word(c"/bin/true", None);
        assert_eq!(child, Child { pid: made.unwrap(), failure: None });
        waitpid(Pid::from_raw(i32::try_from(child.pid).unwrap()), None).unwrap();
        let failure = Failure { stage: SpawnStage::Execute, errno: Errno::ENOENT as i32 };
        let (made, child) = word(c"/no/such/program", None);
        assert_eq!((made, child.failure, child.pid != 0), (Err(failure), Some(failure), true));
        // What stands at the number of the record by then is another file.
        let other = OwnedFd::from(fs::File::open("/dev/null").unwrap());
        let (made, child) = word(c"/no/such/program", Some((other.as_fd(), record.as_raw_fd())));
        assert_eq!((made, child.failure), (Err(failure), None));
    }

    #[test]
    fn a_number_beyond_the_limit_is_an_error_that_says_so() {
        let (_tail, out) = Tail::new().unwrap();
        let failure = shell(c"true", &out, Some((out.as_fd(), 1 << 30))).unwrap_err();
        assert_eq!(failure, Failure { stage: SpawnStage::Descriptor, errno: Errno::EBADF as i32 });
    }
}
