//! The run directory of a live zei, as a client sees it.
//!
//! Owns: finding it, and every open of a file in it. Must never: make or change anything there; what is missing zei-init
//! makes anew, once it is asked.

use super::Failure;
use super::names::Known;
use crate::exit;
use crate::name::ServiceName;
use crate::paths::{self, Candidate, Seeker};
use crate::protocol::last;
use crate::protocol::status::{self, InitStatus, Status};
use crate::signal;
use crate::sys::{lock, raw};
use crate::text::{self, Text};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::poll::{PollTimeout, poll};
use nix::sched::sched_yield;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::fs;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// So many reads of a status that is being written; one write takes about a microsecond.
const TORN_READS: usize = 1000;

/// So much of a file is read that has no fixed length, in bytes.
const TAIL: u64 = 1 << 20;

/// So long it may take until what was missing is there again, in looks and milliseconds between them.
const LOOKS: u32 = 250;
const PAUSE: u8 = 2;

/// Whom a command is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// zei-init itself.
    Init,
    /// A service.
    Service(ServiceName),
}

impl Target {
    /// The path of one of its files, relative to the run directory.
    pub(crate) fn file(&self, file: &str) -> Text<96> {
        match self {
            Target::Init => text::format(format_args!("{}/{file}", paths::INIT)),
            Target::Service(name) => text::format(format_args!("{}/{name}/{file}", paths::SERVICES)),
        }
    }

    /// How messages call it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Target::Init => "zei",
            Target::Service(name) => name.as_str(),
        }
    }
}

/// The run directory of a zei that was alive when it was found.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    dir: OwnedFd,
    owner: u32,
    /// Only root may make anything in it.
    is_roots: bool,
    /// zei-init was asked to look after its files.
    asked: AtomicBool,
}

/// Finds the run directory: `given` alone, or the first of the usual places with a live zei.
pub(crate) fn find(given: Option<&Path>) -> Result<Place, Failure> {
    if let Some(path) = given {
        let candidate = Candidate { path: path.to_path_buf(), shared: false };
        return examine(&candidate, None)
            .map_err(|why| Failure::new(exit::NO_ZEI, format!("zei is not running in {} ({why})", path.display())));
    }
    search(&usual(), &owners())
}

/// As [`find`]; but where no zei is alive, one that has left kept output behind will do.
pub(crate) fn find_left(given: Option<&Path>) -> Result<Place, Failure> {
    find(given).or_else(|failure| {
        let owners = owners();
        let (candidates, owners) = match given {
            Some(path) => (vec![Candidate { path: path.to_path_buf(), shared: false }], None),
            None => (usual(), Some(owners.as_slice())),
        };
        let opened = candidates.iter().filter_map(|candidate| open(candidate, owners).ok());
        opened.map(|(place, _)| place).find(Place::has_logs).ok_or(failure)
    })
}

pub(super) fn search(candidates: &[Candidate], owners: &[u32]) -> Result<Place, Failure> {
    let mut tried = Vec::new();
    for candidate in candidates {
        match examine(candidate, Some(owners)) {
            Ok(place) => return Ok(place),
            Err(why) => tried.push(format!("{} ({why})", candidate.path.display())),
        }
    }
    let message = format!("zei is not running; looked in {}; name another place with --run", tried.join(", "));
    Err(Failure::new(exit::NO_ZEI, message))
}

/// The places for this user, then those for the user that PID 1 runs as, and the one that it has in reserve.
fn usual() -> Vec<Candidate> {
    let [named, runtime] = [paths::RUN_VARIABLE, "XDG_RUNTIME_DIR"].map(|key| std::env::var_os(key).map(PathBuf::from));
    let pid_namespace = fs::metadata("/proc/self/ns/pid").ok().map(|namespace| namespace.ino());
    let mut list: Vec<Candidate> = Vec::new();
    for uid in [Some(nix::unistd::geteuid().as_raw()), pid_1(), reserve_of_pid_1()].into_iter().flatten() {
        let seeker = Seeker { named: named.as_deref(), runtime: runtime.as_deref(), uid, pid_namespace };
        for candidate in paths::candidates(&seeker) {
            if !list.contains(&candidate) {
                list.push(candidate);
            }
        }
    }
    list
}

/// Who may own a run directory that is found, not given: this user, the user that PID 1 runs as, root.
fn owners() -> Vec<u32> {
    let mut list = vec![nix::unistd::geteuid().as_raw()];
    for uid in [pid_1().unwrap_or(0), 0] {
        if !list.contains(&uid) {
            list.push(uid);
        }
    }
    list
}

fn pid_1() -> Option<u32> {
    fs::metadata("/proc/1").ok().map(|process| process.uid())
}

/// The real user of PID 1, where that is another: whom it has in reserve, and what it makes belongs to.
fn reserve_of_pid_1() -> Option<u32> {
    let status = fs::read_to_string("/proc/1/status").ok()?;
    let mut ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace();
    let (real, effective) = (ids.next()?, ids.next()?);
    if real == effective { None } else { real.parse().ok() }
}

/// Opens a candidate; else says why not. `owners`: who may own it, and then it may be no symbolic link either.
fn open(candidate: &Candidate, owners: Option<&[u32]>) -> Result<(Place, FileStat), String> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let flags = if owners.is_some() { flags | OFlag::O_NOFOLLOW } else { flags };
    let dir = openat(AT_FDCWD, &candidate.path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ENOENT => "not there".to_string(),
        Errno::ENOTDIR | Errno::ELOOP => "no directory of its own".to_string(),
        errno => errno.desc().to_string(),
    })?;
    let stat = fstat(&dir).map_err(|errno| errno.desc().to_string())?;
    if owners.is_some_and(|owners| !owners.contains(&stat.st_uid)) {
        return Err(format!("belongs to another user, {}", stat.st_uid));
    }
    if owners.is_some() && candidate.shared && stat.st_mode & 0o022 != 0 {
        return Err("others may write to it".to_string());
    }
    let is_roots = stat.st_uid == 0 && stat.st_mode & 0o022 == 0;
    let (path, asked) = (candidate.path.clone(), AtomicBool::new(false));
    Ok((Place { path, dir, owner: stat.st_uid, is_roots, asked }, stat))
}

/// Opens a candidate if a live zei holds it; else says why not.
fn examine(candidate: &Candidate, owners: Option<&[u32]>) -> Result<Place, String> {
    let (place, stat) = open(candidate, owners)?;
    match place.found(|| place.locked(), |locked| *locked != Err(Errno::ENOENT)) {
        Ok(true) => Ok(place),
        Ok(false) => Err("left over, no live zei-init holds its lock".to_string()),
        Err(Errno::ENOENT) => Err("without a lock file".to_string()),
        Err(Errno::EACCES) => {
            let group = (stat.st_mode & 0o010 != 0).then_some(stat.st_gid);
            Err(format!("no permission to look into it: it is {}", whose(stat.st_uid, group)))
        }
        Err(errno) => Err(format!("lock file: {}", errno.desc())),
    }
}

impl Place {
    /// Whether zei-init still holds its lock; where that can't be told any more, it does not.
    pub(crate) fn alive(&self) -> bool {
        self.locked().unwrap_or(false)
    }

    fn locked(&self) -> nix::Result<bool> {
        let lock = self.open(Target::Init.file(paths::LOCK).as_str(), OFlag::O_RDONLY)?;
        lock::is_taken(lock)
    }

    /// Looks for something that zei-init, or a supervisor, has made: where it is not there, somebody may have removed it.
    /// zei-init is asked to look after that, but only once, as it may not be there for another reason.
    fn found<T>(&self, look: impl Fn() -> T, is_there: impl Fn(&T) -> bool) -> T {
        let mut found = look();
        if is_there(&found) || self.asked.swap(true, Ordering::Relaxed) || !self.ask_to_repair() {
            return found;
        }
        for _ in 0..LOOKS {
            found = look();
            if is_there(&found) {
                break;
            }
            let _pause = poll(&mut [], PollTimeout::from(PAUSE));
        }
        found
    }

    /// `false`: it can't be asked. CHLD means nothing to whoever else it might be.
    fn ask_to_repair(&self) -> bool {
        let told = self.settled(Target::Init.file(paths::STATUS).as_str(), InitStatus::decode);
        let pid = told.ok().flatten().map_or(1, |status| status.pid);
        let is_it = fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "zei-init");
        is_it && i32::try_from(pid).is_ok_and(|pid| raw::kill(pid, signal::CHLD).is_ok())
    }

    fn open(&self, file: &str, access: OFlag) -> nix::Result<OwnedFd> {
        openat(&self.dir, file, access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())
    }

    /// Opens a file for reading; `None` where there is none (yet).
    pub(crate) fn read(&self, file: &str) -> Result<Option<File>, Failure> {
        match self.open(file, OFlag::O_RDONLY) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.refused("read", file, errno)),
        }
    }

    /// Opens a file of kept output for reading.
    pub(crate) fn open_log(&self, file: &str) -> nix::Result<File> {
        self.open(file, OFlag::O_RDONLY).map(File::from)
    }

    fn has_logs(&self) -> bool {
        let is_there = |name, file| self.open(&Target::Service(name).file(file), OFlag::O_PATH).is_ok();
        let names = self.names().unwrap_or_default();
        names.into_iter().any(|name| is_there(name, paths::LOG) || is_there(name, paths::OLD_LOG))
    }

    /// Opens the control FIFO for writing, having made sure that it is one and whose.
    pub(crate) fn control(&self, target: &Target) -> Result<OwnedFd, Failure> {
        // Between its making and its opening nobody reads it.
        let is_missing = |failure: &Failure| (failure.code == exit::SYSTEM || self.alive()) && !self.has_lost(target);
        self.found(|| self.open_control(target), |opened| !opened.as_ref().err().is_some_and(is_missing))
    }

    fn open_control(&self, target: &Target) -> Result<OwnedFd, Failure> {
        let file = target.file(paths::CONTROL);
        let fifo = self.open(&file, OFlag::O_WRONLY).map_err(|errno| match errno {
            // Nobody has it open for reading, which zei-init does for life.
            Errno::ENXIO => Failure::new(exit::NO_ZEI, format!("zei ended: nobody reads {}", self.full(&file))),
            Errno::EACCES => {
                let stat = fstatat(&self.dir, file.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok();
                let group = stat.filter(|stat| stat.st_mode & 0o020 != 0).map(|stat| stat.st_gid);
                let whose = whose(self.owner, group);
                Failure::new(
                    exit::SYSTEM,
                    format!("no permission to write to {}: control is {whose}", self.full(&file)),
                )
            }
            errno => self.refused("open", &file, errno),
        })?;
        let stat = fstat(&fifo).map_err(|errno| self.refused("examine", &file, errno))?;
        // In a directory that only root may write to it may be the user's whom zei-init is at rest.
        let is_zeis = self.is_roots || [0, self.owner].contains(&stat.st_uid);
        if kind(&stat) != SFlag::S_IFIFO || !is_zeis {
            let message = format!("{} is not zei's FIFO; nothing was sent", self.full(&file));
            return Err(Failure::new(exit::SYSTEM, message));
        }
        Ok(fifo)
    }

    /// Reads a service's status; `None` where there is none yet.
    pub(crate) fn status(&self, name: &ServiceName) -> Result<Option<Status>, Failure> {
        let look = || self.settled(&Target::Service(*name).file(paths::STATUS), Status::decode);
        self.found(look, |found| matches!(found, Ok(Some(_))) || self.has_lost(&Target::Service(*name)))
    }

    /// Reads what zei-init itself is doing; `None` where it has not told yet.
    pub(crate) fn init_status(&self) -> Result<Option<InitStatus>, Failure> {
        self.settled(&Target::Init.file(paths::STATUS), InitStatus::decode)
    }

    /// A status file's content, read again while it is being written.
    fn settled<T>(&self, path: &str, decode: fn(&[u8]) -> Option<T>) -> Result<Option<T>, Failure> {
        let Some(file) = self.read(path)? else { return Ok(None) };
        let mut bytes = [0; status::MAX];
        for _ in 0..TORN_READS {
            let length = file.read_at(&mut bytes, 0).map_err(|error| self.refused("read", path, errno(&error)))?;
            match decode(bytes.get(..length).unwrap_or_default()) {
                Some(status) => return Ok(Some(status)),
                // Made and not yet written.
                None if length == 0 => return Ok(None),
                None => drop(sched_yield()),
            }
        }
        let message = format!("{} is no status that this version knows", self.full(path));
        Err(Failure::new(exit::SYSTEM, message))
    }

    /// The content of one of a service's other files, empty where there is none: at most its last [`TAIL`] bytes.
    pub(crate) fn tail(&self, name: &ServiceName, file: &str) -> Result<Vec<u8>, Failure> {
        let path = Target::Service(*name).file(file);
        let refused = |error: std::io::Error| self.refused("read", &path, errno(&error));
        let Some(mut file) = self.read(&path)? else { return Ok(Vec::new()) };
        let length = file.metadata().map_err(refused)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).map_err(refused)?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes).map_err(refused)?;
        Ok(bytes)
    }

    /// Whether a service is no longer in the tree, of which it was before.
    pub(crate) fn has_lost(&self, target: &Target) -> bool {
        let gone = |name| {
            let directory = format!("{}/{name}", paths::SERVICES);
            matches!(self.open(&directory, OFlag::O_PATH | OFlag::O_DIRECTORY), Err(Errno::ENOENT))
        };
        match target {
            Target::Init => false,
            Target::Service(name) => gone(name) && self.alive(),
        }
    }

    /// What a service has written last; empty where that is not known, or not for everyone to read.
    pub(crate) fn last(&self, name: ServiceName) -> Vec<u8> {
        let Ok(services) = self.open(paths::SERVICES, OFlag::O_PATH | OFlag::O_DIRECTORY) else { return Vec::new() };
        let mut buffer = [0; last::MAX];
        crate::run::last::read(services.as_fd(), name, &mut buffer).map_or(Vec::new(), |last| last.recent().to_vec())
    }

    /// What services there are.
    pub(crate) fn services(&self) -> Known<'_> {
        Known {
            has: Box::new(|name| {
                let file = format!("{}/{name}", paths::SERVICES);
                self.open(&file, OFlag::O_PATH | OFlag::O_DIRECTORY).is_ok()
            }),
            all: Box::new(|| self.names()),
        }
    }

    fn names(&self) -> Result<Vec<ServiceName>, Failure> {
        let refused = |error: std::io::Error| self.refused("list", paths::SERVICES, errno(&error));
        let entries = match fs::read_dir(self.path.join(paths::SERVICES)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(refused)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(refused)?;
            names.extend(entry.file_name().to_str().and_then(|name| ServiceName::parse(name).ok()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// A descriptor that has POLLERR as soon as zei-init is gone; `None` where this user may have none.
    pub(crate) fn sentinel(&self) -> Option<OwnedFd> {
        self.control(&Target::Init).ok()
    }

    /// The directory, to open relative paths from.
    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// A file's whole path, for messages.
    pub(crate) fn full(&self, file: &str) -> String {
        self.path.join(file).display().to_string()
    }

    pub(crate) fn refused(&self, verb: &str, file: &str, errno: Errno) -> Failure {
        Failure::new(exit::SYSTEM, format!("can't {verb} {}: {}", self.full(file), errno.desc()))
    }
}

/// For whom something is that this user may not use.
fn whose(owner: u32, group: Option<u32>) -> String {
    match group {
        Some(group) => format!("for root, user {owner}, as which zei-init runs, and group {group} (control_group)"),
        None => format!("for root and user {owner}, as which zei-init runs; control_group opens it to a group"),
    }
}

pub(crate) fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}
