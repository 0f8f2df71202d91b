//! What a new process may do and use, set by itself before it becomes its program.
//!
//! Owns: the order of these steps around the switch of the user. Must never: allocate: its memory is its parent's.

use crate::model::privileges::{Capabilities, Limit, Privileges, Ulimit, Wish};
use crate::model::service::SpawnStage;
use crate::sys::raw;
use crate::text::{self, Text};
use core::cell::Cell;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

/// What of all that was refused, and need not be: a bit for each stage.
pub type Refused = Cell<u32>;

/// The capabilities that this process can give.
pub fn own_capabilities() -> Capabilities {
    raw::permitted_capabilities().map_or(Capabilities::default(), Capabilities)
}

/// Gives up the capabilities that this process has by its program file (setcap(8)), and says whether there were any.
/// Whoever may execute that file has them. Without them another user than root has the ambient ones only.
pub fn give_up_those_of_the_file() -> Result<bool, Errno> {
    let held = own_capabilities();
    let mut given = Capabilities::default();
    for number in numbers().filter(|number| held.has(*number) && raw::is_ambient(*number) == Ok(true)) {
        given = given.with(Capabilities(1 << number));
    }
    if geteuid().is_root() || held == given {
        return Ok(false);
    }
    raw::set_capabilities(given.0).map(|()| true)
}

/// All that needs rights which the switch of the user takes away.
pub fn before_switch(wanted: &Privileges, refused: &Refused) -> Result<(), (SpawnStage, Errno)> {
    if let Some(wish) = wanted.nice {
        take(wish, SpawnStage::Nice, refused, raw::set_nice)?;
    }
    if let Some(wish) = wanted.oom_score_adj {
        take(wish, SpawnStage::OomScore, refused, set_oom_score_adj)?;
    }
    for Wish { value: limit, .. } in &wanted.ulimits {
        // Where that is refused it is so once more, and told, in `limit`.
        let _refused_later = raise(*limit);
    }
    let at = |errno| (SpawnStage::Capabilities, errno);
    if let Some(wish) = wanted.capabilities {
        bound(wish.value).map_err(at)?;
        prctl::set_keepcaps(true).map_err(at)?;
    }
    Ok(())
}

/// What the switch of the user would undo, and what ends every right.
pub fn after_switch(wanted: &Privileges) -> Result<(), (SpawnStage, Errno)> {
    between(wanted)?;
    at_last(wanted)
}

/// The part of it that a switch of the real and the saved user leaves, where capabilities are kept (PR_SET_KEEPCAPS) and
/// the effective user is the one it stays.
pub fn between(wanted: &Privileges) -> Result<(), (SpawnStage, Errno)> {
    if let Some(wish) = wanted.capabilities {
        raw::set_capabilities(wish.value.0).map_err(|errno| (SpawnStage::Capabilities, errno))?;
    }
    if wanted.no_new_privileges {
        prctl::set_no_new_privs().map_err(|errno| (SpawnStage::NoNewPrivileges, errno))?;
    }
    Ok(())
}

/// The rest: any switch forgets the ambient capabilities.
pub fn at_last(wanted: &Privileges) -> Result<(), (SpawnStage, Errno)> {
    let Some(wish) = wanted.capabilities else { return Ok(()) };
    let mut given = numbers().filter(|number| wish.value.has(*number));
    given.try_for_each(raw::raise_ambient).map_err(|errno| (SpawnStage::Capabilities, errno))
}

/// Late: nothing that is done before its program is there may fail by them. That of processes is `last` of all, as a
/// switch to a user who has more of them than that keeps the process from executing anything (execve(2), EAGAIN).
pub fn limit(wanted: &Privileges, refused: &Refused, last: bool) -> Result<(), (SpawnStage, Errno)> {
    let mut limits = wanted.ulimits.iter().filter(|wish| (wish.value.kind == Limit::Nproc) == last);
    limits.try_for_each(|wish| take(*wish, SpawnStage::Ulimits, refused, set_limit))
}

/// Those of which there may be capabilities.
fn numbers() -> core::ops::Range<u32> {
    0..u64::BITS
}

/// Nothing but these can be had any more.
fn bound(kept: Capabilities) -> Result<(), Errno> {
    for number in numbers().filter(|number| !kept.has(*number)) {
        match raw::is_bounding(number) {
            Ok(true) => raw::drop_bounding(number)?,
            Ok(false) => {}
            // They are numbered without gaps.
            Err(_) => break,
        }
    }
    Ok(())
}

fn take<T>(
    wish: Wish<T>,
    stage: SpawnStage,
    refused: &Refused,
    set: impl FnOnce(T) -> Result<(), Errno>,
) -> Result<(), (SpawnStage, Errno)> {
    match set(wish.value) {
        Err(_) if wish.lenient => {
            refused.set(refused.get() | 1 << stage as u32);
            Ok(())
        }
        done => done.map_err(|errno| (stage, errno)),
    }
}

fn set_oom_score_adj(value: i32) -> Result<(), Errno> {
    let file = open(c"/proc/self/oom_score_adj", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let text: Text<8> = text::format(format_args!("{value}"));
    nix::unistd::write(&file, text.as_bytes()).map(drop)
}

/// How far the process itself can go, if it is to go farther than now.
fn raise(limit: Ulimit) -> Result<(), Errno> {
    let (soft, hard) = getrlimit(resource(limit.kind))?;
    if limit.hard > hard { setrlimit(resource(limit.kind), soft, limit.hard) } else { Ok(()) }
}

fn set_limit(limit: Ulimit) -> Result<(), Errno> {
    setrlimit(resource(limit.kind), limit.soft, limit.hard)
}

fn resource(kind: Limit) -> Resource {
    match kind {
        Limit::As => Resource::RLIMIT_AS,
        Limit::Core => Resource::RLIMIT_CORE,
        Limit::Cpu => Resource::RLIMIT_CPU,
        Limit::Data => Resource::RLIMIT_DATA,
        Limit::Fsize => Resource::RLIMIT_FSIZE,
        Limit::Memlock => Resource::RLIMIT_MEMLOCK,
        Limit::Msgqueue => Resource::RLIMIT_MSGQUEUE,
        Limit::Nice => Resource::RLIMIT_NICE,
        Limit::Nofile => Resource::RLIMIT_NOFILE,
        Limit::Nproc => Resource::RLIMIT_NPROC,
        Limit::Rss => Resource::RLIMIT_RSS,
        Limit::Rtprio => Resource::RLIMIT_RTPRIO,
        Limit::Rttime => Resource::RLIMIT_RTTIME,
        Limit::Sigpending => Resource::RLIMIT_SIGPENDING,
        Limit::Stack => Resource::RLIMIT_STACK,
    }
}
