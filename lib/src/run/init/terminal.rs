//! The container's own streams: who gets the terminal, and that services may open /dev/stdout.

use crate::model::definition::plan::Outline;
use crate::model::spec::{Config, Input};
use crate::signal::{self, Set};
use crate::sys::elevation;
use crate::sys::raw;
use crate::sys::signals::Signals;
use nix::sys::stat::{Mode, SFlag, fchmod, fstat};
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::{Pid, getsid, isatty};
use std::os::fd::BorrowedFd;

/// Gives the terminal up where `cmd` is to take it: a session can have it only once.
pub fn hand_over(config: &Config) {
    let wanted = config.services.iter().any(|service| service.stdin == Input::Inherit);
    let leads = getsid(None).is_ok_and(|session| session == Pid::this());
    if !wanted || !leads || isatty(raw::standard(0)) != Ok(true) {
        return;
    }
    // Its former foreground group, which is this process, is told by HUP and CONT (tty_ioctl(4)):
    // they are caught and dropped here, so that they are not taken for somebody's signals.
    if let Ok(told) = Signals::take(Set::of(&[signal::HUP, signal::CONT]))
        && raw::give_up_terminal(raw::standard(0)).is_ok()
    {
        while told.next().is_some() {}
    }
}

/// Whether it was made by pipe(2).
fn is_nameless(pipe: BorrowedFd<'_>) -> bool {
    /// PIPEFS_MAGIC of linux/magic.h.
    const PIPES: FsType = FsType(0x5049_5045);
    fstatfs(pipe).is_ok_and(|system| system.filesystem_type() == PIPES)
}

/// A pipe of root's can't be opened anew by a service under another user, which programs do that log
/// to /dev/stdout; so everyone may write to it (not read).
pub fn open_to_services(outline: &Outline) {
    let own = elevation::owner();
    let others = outline.services.iter().flatten().any(|service| service.uid.is_some_and(|uid| uid != own));
    for number in [1, 2] {
        let stream = raw::standard(number);
        let is_pipe = fstat(stream).is_ok_and(|stat| {
            // A FIFO with a name is somebody's; the starter may have found it anywhere.
            let is_ours = elevation::rest().is_none_or(|user| stat.st_uid == user || is_nameless(stream));
            is_ours && SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFIFO
        });
        if others && is_pipe {
            let _not_ours = elevation::as_root(|| fchmod(stream, Mode::from_bits_truncate(0o622)));
        }
    }
}
