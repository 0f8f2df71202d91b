//! A service that must be alone: `single JOURNAL NAME LOCK [WORD...]` takes a lock on the file LOCK without waiting, and
//! writes `NAME up PID` into JOURNAL, or `NAME double PID` where another one has it. It ends at TERM, and at USR1 with
//! code 9, unless WORDs say otherwise.
//!
//! `fd`: it says on descriptor 3 that it is ready. `notify`: by NOTIFY_SOCKET. `ignore`: it takes TERM and goes on.
//! `child`: another process, in a session of its own, is left behind; `NAME child PID` tells which. `job`: it ends at once.

use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, ExitCode};
use zei::signal::{self, Set};
use zei::sys::signals::Signals;

fn main() -> io::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [journal, name, lock, how @ ..] = words.as_slice() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let is = |word: &str| how.iter().any(|known| known == word);
    // What ignores TERM leaves a child that does so too, as that inherits what is blocked.
    let left = |wanted: bool| match wanted {
        true => Command::new("setsid").args(["sleep", "4001"]).spawn().map(|child| Some(child.id())),
        false => io::Result::Ok(None),
    };
    let gentle = left(is("child") && !is("ignore"))?;
    // What is to be heard later must not end it now.
    let signals = Signals::take(Set::of(&[signal::TERM, signal::USR1]))?;
    let mut journal = File::options().write(true).open(journal)?;
    let lock = File::options().create(true).truncate(false).write(true).open(lock)?;
    let own = std::process::id();
    // In one piece each, so that they don't mix with those of others.
    let mut tell = |word: &str, pid: u32| journal.write_all(format!("{name} {word} {pid}\n").as_bytes());
    let locked = Flock::lock(lock, FlockArg::LockExclusiveNonblock);
    tell(if locked.is_ok() { "up" } else { "double" }, own)?;
    let stubborn = left(is("child") && is("ignore"))?;
    gentle.into_iter().chain(stubborn).try_for_each(|child| tell("child", child))?;
    if is("fd") {
        File::options().write(true).open("/proc/self/fd/3")?.write_all(b"\n")?;
    }
    if is("notify") {
        notify()?;
    }
    if is("job") {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        let mut polled = [nix::poll::PollFd::new(signals.as_fd(), nix::poll::PollFlags::POLLIN)];
        let _interrupted = nix::poll::poll(&mut polled, nix::poll::PollTimeout::NONE);
        while let Some(number) = signals.next().map(|arrived| arrived.number) {
            match number {
                signal::USR1 => return Ok(ExitCode::from(9)),
                _ if is("ignore") => {}
                _ => return Ok(ExitCode::SUCCESS),
            }
        }
    }
}

fn notify() -> io::Result<()> {
    let address = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    let name = address.as_bytes().strip_prefix(b"@").ok_or(io::ErrorKind::InvalidInput)?;
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &SocketAddr::from_abstract_name(name)?).map(drop)
}
