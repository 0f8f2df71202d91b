//! Reading the last lines of a service, where zei-log keeps them.
//!
//! Must never: wait, or use the heap.

use crate::name::ServiceName;
use crate::paths;
use crate::protocol::last::{Last, MAX};
use crate::sys::elevation::as_root;
use crate::text::{self, Text};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::uio::pread;
use std::os::fd::BorrowedFd;

/// The path of a service's file below the directory of all services' directories.
pub fn path(name: ServiceName) -> Text<80> {
    text::format(format_args!("{name}/{}", paths::LAST))
}

/// Reads the last lines of a service. `services` is the directory of all services' directories. `None` where its
/// output is not pumped, or there is none yet.
#[inline(never)]
pub fn read<'b>(services: BorrowedFd<'_>, name: ServiceName, buffer: &'b mut [u8; MAX]) -> Option<Last<'b>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = as_root(|| openat(services, path(name).as_str(), flags, Mode::empty())).ok()?;
    // A write met half-way is over within microseconds.
    for _attempt in 0..1000 {
        let length = pread(&file, buffer, 0).ok()?;
        if Last::decode(buffer.get(..length)?).is_some() {
            return Last::decode(buffer.get(..length)?);
        }
    }
    None
}
