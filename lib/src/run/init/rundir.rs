//! The run directory: found or made, locked, cleared of what an earlier zei-init left.
//!
//! Owns: the ladder of places and what makes one fit, and whom control is for. Must never: follow a symbolic link, use
//! what belongs to somebody else, or clear a directory that a live zei-init has locked.

mod survey;

pub use survey::survey;

use crate::model::time::Span;
use crate::name::ServiceName;
use crate::paths::{self, Candidate, Seeker};
use crate::protocol::changes::REPORTS;
use crate::protocol::status;
use crate::run::journal;
use crate::run::place::{give, has, is_regular, make_way};
use crate::sys::elevation::{self, as_root};
use crate::sys::{credentials, deliver, event, ledger, lock, process, raw};
use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, Flock, FlockArg, OFlag, fcntl, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat, umask};
use nix::unistd::{Uid, UnlinkatFlags, fchown, geteuid, mkdir, mkfifoat, unlinkat};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// A supervisor of a zei-init that is gone has so long to stop its service.
const LEFTOVER_GRACE: Span = Span::seconds(30);
/// So many descriptors are kept for everything that is not a control FIFO.
const SPARE: usize = 24;
/// What a control FIFO holds: one page, as FIFOs beyond some thousands of pages are held against the user.
const FIFO_SIZE: i32 = 4096;

/// The run directory of this zei-init.
#[derive(Debug)]
pub struct RunDir {
    /// Itself.
    pub directory: OwnedFd,
    /// The directory of all services' directories.
    pub services: OwnedFd,
    /// zei-init's control FIFO.
    pub control: OwnedFd,
    /// The journal; `None` where there was no room for it.
    pub journal: Option<OwnedFd>,
    /// Held as long as this is open.
    pub lock: OwnedFd,
    /// The group that control is for, beside this user and root.
    pub group: Option<u32>,
}

/// Why there is no run directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A live zei-init has locked this one.
    Taken(PathBuf),
    /// This one, which was named by hand, holds what is not zei's.
    Foreign(PathBuf),
    /// Control can't be given to this group.
    Group(u32, Errno),
    /// Each place, and what is wrong with it.
    Nowhere(Vec<(PathBuf, &'static str)>),
}

/// The run directory, and the control FIFO of each service, or why there is none.
type Made = (RunDir, Vec<Result<OwnedFd, Errno>>);

/// Makes the run directory in the first place that allows it, and one for each of these services, with
/// its control FIFO, which are for this group too, and what it needs (see `protocol::needs`).
pub fn make(services: &[(ServiceName, String)], group: Option<u32>) -> Result<Made, Refusal> {
    // The modes below are meant as they are written.
    let mask = umask(Mode::empty());
    let made =
        as_root(make_unmasked).and_then(|mut run_dir| match (group, run_dir.regroup(group, core::iter::empty())) {
            (Some(gid), Err(errno)) => Err(Refusal::Group(gid, errno)),
            _ => Ok(run_dir),
        });
    let made = made.map(|run_dir| {
        // Where descriptors are scarce, control is what is done without.
        let spare: Vec<_> = (0..SPARE).map_while(|_| run_dir.directory.try_clone().ok()).collect();
        let controls = services.iter().map(|(name, needs)| as_root(|| run_dir.make_service(*name, needs))).collect();
        drop(spare);
        (run_dir, controls)
    });
    umask(mask);
    made
}

/// What a variable names.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

fn candidates(named: Option<&Path>, runtime: Option<&Path>) -> Vec<Candidate> {
    let namespace = std::fs::metadata("/proc/self/ns/pid").ok();
    let pid_namespace = namespace.map(|namespace| std::os::unix::fs::MetadataExt::ino(&namespace));
    let mut places = paths::candidates(&Seeker { named, runtime, uid: geteuid().as_raw(), pid_namespace });
    // What is root's is not put where anyone may have been before.
    if elevation::rest().is_some() || credentials::is_setuid() {
        places.retain(|candidate| !candidate.path.starts_with("/tmp"));
    }
    places
}

fn make_unmasked() -> Result<RunDir, Refusal> {
    let (named, runtime) = (variable(paths::RUN_VARIABLE), variable(paths::RUNTIME_VARIABLE));
    let mut tried = Vec::new();
    for candidate in candidates(named.as_deref(), runtime.as_deref()) {
        match try_place(&candidate) {
            Ok(directory) => return Ok(directory),
            // Whoever names a place means it; the default one may belong to another zei.
            Err(Errno::EAGAIN) => return Err(Refusal::Taken(candidate.path)),
            Err(Errno::ENOTEMPTY) if named.as_ref() == Some(&candidate.path) => {
                return Err(Refusal::Foreign(candidate.path));
            }
            Err(errno) => tried.push((candidate.path, errno.desc())),
        }
    }
    Err(Refusal::Nowhere(tried))
}

fn try_place(candidate: &Candidate) -> Result<RunDir, Errno> {
    // What root has made is for the user whom it is at rest, too.
    let private = (candidate.shared && elevation::rest().is_none()) || !geteuid().is_root();
    let mode = Mode::from_bits_truncate(if private { 0o700 } else { 0o755 });
    let directory = open_own(&candidate.path, mode)?;
    let init = make_directory(&directory, paths::INIT)?;
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let lock = openat(&init, paths::LOCK, flags, Mode::from_bits_truncate(0o644))?;
    lock::take(&lock)?;
    // From here on everything in it is this zei-init's own, or an earlier one's.
    fchmod(&directory, mode)?;
    let own = [paths::CONTROL, paths::ACKS, paths::NEW_ACKS, paths::STATUS, paths::EVENT, paths::EVENTS];
    for name in own.iter().chain(&[paths::SOURCES, paths::NEW_SOURCES]) {
        remove(&init, name)?;
    }
    for number in 0..REPORTS {
        remove(&init, &format!("{}.{number}", paths::REPORT))?;
    }
    let control = make_fifo(&init, paths::CONTROL, None)?;
    let journal = journal::make(&init).ok();
    event::provide(&init, paths::EVENT);
    match open_private(&directory, paths::SERVICES) {
        Ok(services) => clear(&services)?,
        Err(Errno::EPERM) => return Err(Errno::EPERM),
        // It is made, or takes no directory's place.
        Err(_) => {}
    }
    let services = make_directory(&directory, paths::SERVICES)?;
    Ok(RunDir { directory, services, control, journal, lock, group: None })
}

fn directory_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

/// Opens or makes the run directory itself; it must be this user's, and an old one nobody's but zei's:
/// empty, or with what zei makes in it and nothing else (ENOTEMPTY otherwise). What is in it may be removed, what is in another may not.
fn open_own(path: &Path, mode: Mode) -> Result<OwnedFd, Errno> {
    let made = match mkdir(path, mode) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => return Err(errno),
    };
    let directory = open(path, directory_flags(), Mode::empty())?;
    let stat = fstat(&directory)?;
    if stat.st_uid != geteuid().as_raw() {
        return Err(Errno::EPERM);
    }
    if !made {
        if !is_zeis(&directory)? {
            return Err(Errno::ENOTEMPTY);
        }
        // Who may write there could be faster with all that follows, and was perhaps faster than the look at it. Anything
        // else waits for the lock: that of a live zei is as that one wants it.
        if stat.st_mode & 0o022 != 0 {
            fchmod(&directory, mode)?;
            if !is_zeis(&directory)? {
                return Err(Errno::ENOTEMPTY);
            }
        }
    }
    Ok(directory)
}

/// Whether a directory is empty, or holds what zei makes and nothing else. What another user has made there under the same
/// names is not zei's: he could change what lies in it.
fn is_zeis(directory: &OwnedFd) -> Result<bool, Errno> {
    let names = names(directory)?;
    let is_private = |name: &CString| {
        fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|stat| is_private(&stat))
    };
    let known = |name: &CString| {
        [paths::INIT, paths::SERVICES].iter().any(|own| own.as_bytes() == name.as_bytes()) && is_private(name)
    };
    let has_init = names.iter().any(|name| name.as_bytes() == paths::INIT.as_bytes());
    Ok(names.is_empty() || (has_init && names.iter().all(known)))
}

/// Whether nobody but this user and root can have made it, or can write to it.
fn is_private(stat: &FileStat) -> bool {
    [0, geteuid().as_raw()].contains(&stat.st_uid) && stat.st_mode & 0o022 == 0
}

fn make_directory(parent: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_bits_truncate(0o755);
    match mkdirat(parent, name, mode) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    open_private(parent, name)
}

/// Opens a directory that nobody else has made or can write to (EPERM).
fn open_private<P: ?Sized + NixPath>(parent: &OwnedFd, name: &P) -> Result<OwnedFd, Errno> {
    let directory = openat(parent, name, directory_flags(), Mode::empty())?;
    if is_private(&fstat(&directory)?) { Ok(directory) } else { Err(Errno::EPERM) }
}

/// The same where something else may have its name.
fn remake_directory(parent: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    make_directory(parent, name).or_else(|_| {
        make_way(parent, name)?;
        make_directory(parent, name)
    })
}

/// A FIFO for control lines of this user, root, and a group, open for both directions, so that no writer ever finds
/// nobody.
fn make_fifo(parent: &OwnedFd, name: &str, group: Option<u32>) -> Result<OwnedFd, Errno> {
    mkfifoat(parent, name, Mode::from_bits_truncate(0o600))?;
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fifo = openat(parent, name, flags, Mode::empty())?;
    // The same that was made, and known by no other name.
    let stat = fstat(&fifo)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    if (kind, stat.st_uid, stat.st_nlink) != (SFlag::S_IFIFO, geteuid().as_raw(), 1) {
        return Err(Errno::EPERM);
    }
    if let Some(user) = elevation::rest() {
        fchown(&fifo, Some(Uid::from_raw(user)), None)?;
    }
    let _larger_is_fine = fcntl(&fifo, FcntlArg::F_SETPIPE_SZ(FIFO_SIZE));
    if group.is_some() {
        give_fifo(&fifo, group)?;
    }
    Ok(fifo)
}

fn give_fifo(fifo: &OwnedFd, group: Option<u32>) -> Result<(), Errno> {
    give(fifo, group, 0o600, 0o620)
}

/// What to say and do where control can't be given to a group.
pub fn cannot_give(group: u32, errno: Errno) -> String {
    let advice = match errno {
        Errno::EPERM => format!("give the container that group (docker run --group-add {group}), or root CAP_CHOWN"),
        Errno::EINVAL => String::from("use a group that this user namespace maps (/proc/self/gid_map)"),
        _ => String::from("use another run directory (ZEI_RUN), or take control_group away"),
    };
    format!("cannot give control to group {group} (control_group): {}: {advice}", errno.desc())
}

impl RunDir {
    fn make_service(&self, name: ServiceName, needs: &str) -> Result<OwnedFd, Errno> {
        let directory = remake_directory(&self.services, name.as_str())?;
        if !needs.is_empty() {
            // For people only: without room for it the service lives as well.
            let _no_room = write_needs(&directory, paths::NEEDS, needs);
        }
        event::provide(&directory, paths::EVENT);
        make_fifo(&directory, paths::CONTROL, self.group)
    }

    /// Gives control of all of it to another group, or to none: zei-init's own FIFO, those of the services, and where it
    /// is private the directory itself. Where one can't be given, none is.
    pub fn regroup<'a>(
        &mut self,
        group: Option<u32>,
        services: impl Iterator<Item = &'a OwnedFd> + Clone,
    ) -> Result<(), Errno> {
        if group == self.group {
            return Ok(());
        }
        let is_private = fstat(&self.directory)?.st_mode & 0o007 == 0;
        let give_all = |group| {
            give_fifo(&self.control, group)?;
            services.clone().try_for_each(|fifo| give_fifo(fifo, group))?;
            if is_private { give(&self.directory, group, 0o700, 0o750) } else { Ok(()) }
        };
        if let Err(errno) = give_all(group) {
            let _as_it_was = give_all(self.group);
            return Err(errno);
        }
        self.group = group;
        Ok(())
    }

    /// Puts zei-init's own lock and FIFO back, and the directory of the services' directories. Returns what was missing.
    pub fn repair(&mut self) -> Result<Vec<String>, Errno> {
        let mut made = Vec::new();
        let mask = umask(Mode::empty());
        let repaired = as_root(|| {
            let init = remake_directory(&self.directory, paths::INIT)?;
            if !has(&self.directory, paths::SERVICES, &self.services) {
                self.services = remake_directory(&self.directory, paths::SERVICES)?;
                raw::duplicate(self.services.as_raw_fd(), ledger::SERVICES)?;
                made.push(paths::SERVICES.to_owned());
            }
            if !has(&init, paths::LOCK, &self.lock) {
                make_way(&init, paths::LOCK)?;
                let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let file = openat(&init, paths::LOCK, flags, Mode::from_bits_truncate(0o644))?;
                lock::take(&file)?;
                self.lock = file;
                made.push(format!("{}/{}", paths::INIT, paths::LOCK));
            }
            if !has(&init, paths::CONTROL, &self.control) {
                make_way(&init, paths::CONTROL)?;
                self.control = make_fifo(&init, paths::CONTROL, self.group)?;
                made.push(format!("{}/{}", paths::INIT, paths::CONTROL));
            }
            Ok(made)
        });
        umask(mask);
        repaired
    }

    /// Puts a service's directory and FIFO back; `control` is the FIFO that it had. Returns the new one where it was
    /// missing.
    pub fn repair_service(&self, name: ServiceName, control: Option<&OwnedFd>) -> Result<Option<OwnedFd>, Errno> {
        let directory = openat(&self.services, name.as_str(), directory_flags(), Mode::empty());
        let is_missing = |directory: &OwnedFd| control.is_none_or(|own| !has(directory, paths::CONTROL, own));
        if directory.as_ref().is_ok_and(|directory| !is_missing(directory)) {
            return Ok(None);
        }
        let mask = umask(Mode::empty());
        let made = as_root(|| {
            let directory = remake_directory(&self.services, name.as_str())?;
            event::provide(&directory, paths::EVENT);
            make_way(&directory, paths::CONTROL)?;
            make_fifo(&directory, paths::CONTROL, self.group)
        });
        umask(mask);
        made.map(Some)
    }

    /// The beginning of one of a service's files.
    pub fn read<'a>(&self, name: ServiceName, file: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let directory = openat(&self.services, name.as_str(), directory_flags(), Mode::empty()).ok()?;
        let file = openat(&directory, file, flags, Mode::empty()).ok()?;
        let length = nix::unistd::read(&file, buffer).ok()?;
        buffer.get(..length)
    }

    /// Makes the directory of a service that is new, with its control FIFO.
    pub fn add_service(&self, name: ServiceName, needs: &str) -> Result<OwnedFd, Errno> {
        let mask = umask(Mode::empty());
        // What somebody else has put there in the meantime is not taken for the FIFO.
        let _nothing_there = self.remove_service(name);
        let made = as_root(|| self.make_service(name, needs));
        umask(mask);
        made
    }

    /// Says what a service depends on from now on.
    pub fn replace_needs(&self, name: ServiceName, needs: &str) -> Result<(), Errno> {
        let directory = openat(&self.services, name.as_str(), directory_flags(), Mode::empty())?;
        as_root(|| {
            if needs.is_empty() {
                return remove(&directory, paths::NEEDS);
            }
            remove(&directory, paths::NEW_NEEDS)?;
            let mask = umask(Mode::empty());
            let written = write_needs(&directory, paths::NEW_NEEDS, needs);
            umask(mask);
            written?;
            renameat(&directory, paths::NEW_NEEDS, &directory, paths::NEEDS)
        })
    }

    /// Removes the directory of a service that is gone. A file in it that zei did not make stays, and the directory
    /// with it.
    pub fn remove_service(&self, name: ServiceName) -> Result<(), Errno> {
        let directory = openat(&self.services, name.as_str(), directory_flags(), Mode::empty())?;
        as_root(|| {
            OWN.iter().try_for_each(|file| remove(&directory, file))?;
            unlinkat(&self.services, name.as_str(), UnlinkatFlags::RemoveDir)
        })
    }
}

fn write_needs(directory: &OwnedFd, name: &str, needs: &str) -> Result<(), Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(directory, name, flags, Mode::from_bits_truncate(0o644))?;
    if nix::unistd::write(&file, needs.as_bytes())? < needs.len() {
        // Half of the truth is worse than none.
        remove(directory, name)?;
        return Err(Errno::ENOSPC);
    }
    Ok(())
}

fn remove(parent: &OwnedFd, name: &str) -> Result<(), Errno> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The files that zei makes in a service's directory.
const OWN: [&str; 10] = [
    paths::CONTROL,
    paths::ACKS,
    paths::NEW_ACKS,
    paths::STATUS,
    paths::EVENT,
    paths::NEEDS,
    paths::NEW_NEEDS,
    paths::LAST,
    paths::LOG,
    paths::OLD_LOG,
];

/// Removes the services' directories of an earlier zei-init, each once its supervisor is gone. A file
/// in one that zei did not make stays, and the directory with it.
fn clear(services: &OwnedFd) -> Result<(), Errno> {
    for name in names(services)? {
        let open = || open_private(services, name.as_c_str());
        let held = match open() {
            Ok(held) => held,
            // Somebody else's: nothing in it is believed or touched, and where a service needs the name, it makes way.
            Err(Errno::EPERM) => continue,
            // No directory: it could only stand in a service's way.
            Err(_) => {
                unlinkat(services, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
                continue;
            }
        };
        outlive(held);
        let directory = open()?;
        for file in OWN {
            remove(&directory, file)?;
        }
        match unlinkat(services, name.as_c_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn names(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut listing = nix::dir::Dir::openat(directory, ".", directory_flags(), Mode::empty())?;
    let names = listing.iter().filter_map(Result::ok).map(|entry| entry.file_name().to_owned());
    Ok(names.filter(|name| name.as_c_str() != c"." && name.as_c_str() != c"..").collect())
}

/// A supervisor whose zei-init is gone stops its service and leaves; this one must not start beside it.
fn outlive(service: OwnedFd) {
    let Err((service, _)) = Flock::lock(service, FlockArg::LockExclusiveNonblock) else { return };
    let Some(supervisor) = supervisor(&service) else { return };
    let held = match raw::pidfd_open(supervisor) {
        Ok(held) => Some(held),
        Err(Errno::ENOSYS) => None,
        Err(_) => return,
    };
    // Its pid may be another's by now, and whoever may read the directory can hold its lock.
    if !process::is_own_program(supervisor, super::shared::SUPERVISOR) {
        return;
    }
    let held = held.as_ref().map(OwnedFd::as_fd);
    if !process::ends_within(supervisor, held, LEFTOVER_GRACE) {
        let _may_be_gone = match held {
            Some(held) => deliver::to_held(supervisor, held, crate::signal::KILL),
            None => process::signal_child(supervisor, crate::signal::KILL),
        };
        process::ends_within(supervisor, held, LEFTOVER_GRACE);
    }
}

fn supervisor(service: &OwnedFd) -> Option<u32> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(service, paths::STATUS, flags, Mode::empty()).ok().filter(is_regular)?;
    let mut content = [0; status::MAX];
    let length = nix::unistd::read(&file, &mut content).ok()?;
    Some(status::Status::decode(content.get(..length)?)?.supervisor)
}
