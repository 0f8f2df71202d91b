//! Which place would become the run directory, and what is wrong with those before it.
//!
//! Must never: make, lock or change anything; so what only the attempt would show, as a full disk, stays unseen.

use super::{candidates, directory_flags, is_zeis, variable};
use crate::model::doctor::{Rung, Wrong};
use crate::paths;
use crate::sys::{credentials, lock};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{AccessFlags, faccessat, geteuid};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Each place, in the order in which they are tried. Where the program file gives this process its rights, what the
/// environment names is passed over.
pub fn survey() -> Vec<Rung> {
    let named = |name| variable(name).filter(|_| !credentials::is_setuid());
    let (named, runtime) = (named(paths::RUN_VARIABLE), named(paths::RUNTIME_VARIABLE));
    let places = candidates(named.as_deref(), runtime.as_deref()).into_iter().map(|candidate| candidate.path);
    places.map(|path| Rung { wrong: look(&path), path: path.display().to_string() }).collect()
}

fn look(path: &Path) -> Option<Wrong> {
    match open(path, directory_flags(), Mode::empty()) {
        Ok(directory) => look_into(&directory).unwrap_or_else(|errno| Some(system(errno))),
        Err(Errno::ENOENT) => may_write(AT_FDCWD, path.parent().unwrap_or(path)).err().map(system),
        Err(Errno::ELOOP | Errno::ENOTDIR) => Some(Wrong::NoDirectory),
        Err(errno) => Some(system(errno)),
    }
}

fn look_into(directory: &OwnedFd) -> Result<Option<Wrong>, Errno> {
    let owner = fstat(directory)?.st_uid;
    if owner != geteuid().as_raw() {
        return Ok(Some(Wrong::Owner(owner)));
    }
    if !is_zeis(directory)? {
        return Ok(Some(Wrong::Foreign));
    }
    let file = Path::new(paths::INIT).join(paths::LOCK);
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    if let Ok(file) = openat(directory, &file, flags, Mode::empty())
        && lock::is_taken(&file) == Ok(true)
    {
        return Ok(Some(Wrong::Taken));
    }
    may_write(directory, Path::new(".")).map(|()| None)
}

/// By the effective user's rights; only where the real one is another by the call that older kernels and filters lack.
fn may_write(directory: impl AsFd, path: &Path) -> Result<(), Errno> {
    let flags = if credentials::is_setuid() { AtFlags::AT_EACCESS } else { AtFlags::empty() };
    faccessat(directory, path, AccessFlags::W_OK | AccessFlags::X_OK, flags)
}

fn system(errno: Errno) -> Wrong {
    if errno == Errno::EROFS { Wrong::ReadOnly } else { Wrong::System(errno.desc()) }
}
