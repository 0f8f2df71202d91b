//! A process for tests to send signals to, and one that starts another with a signal state of its own.
//!
//! `catch COUNT [CODE]` blocks all signals, prints `ready PID`, then `PID NUMBER` for each signal until it
//! has got COUNT, and exits with CODE. `catch with BLOCKED IGNORED PROG ARGS…` executes PROG with exactly
//! these sets (hexadecimal, as `SigBlk` and `SigIgn` of `/proc/PID/status` have them).

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::CString;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use zei::signal::Set;
use zei::sys::raw;
use zei::sys::signals::Signals;
use zei::sys::spawn;

fn main() -> Result<(), String> {
    let words: Vec<CString> =
        std::env::args_os().skip(1).filter_map(|word| CString::new(word.into_vec()).ok()).collect();
    match words.as_slice() {
        [with, blocked, ignored, program @ ..] if with.as_bytes() == b"with" => {
            let set = |word: &CString| u64::from_str_radix(&word.to_string_lossy(), 16).map(Set);
            let (blocked, ignored) = (set(blocked), set(ignored));
            let (blocked, ignored) = (blocked.map_err(text)?, ignored.map_err(text)?);
            raw::set_default(zei::signal::PIPE).map_err(text)?;
            ignored.iter().try_for_each(raw::set_ignored).map_err(text)?;
            raw::set_mask(blocked).map_err(text)?;
            let program = raw::Strings::collect(program.iter().map(CString::as_c_str));
            Err(text(spawn::execute(&program, &raw::Strings::collect(raw::environment()))))
        }
        [count, code @ ..] => {
            catch(count.to_string_lossy().parse().map_err(text)?).map_err(text)?;
            std::process::exit(code.first().map_or(Ok(0), |code| code.to_string_lossy().parse()).map_err(text)?)
        }
        [] => Err(String::from("catch COUNT [CODE], or catch with BLOCKED IGNORED PROG ARGS...")),
    }
}

fn catch(count: usize) -> io::Result<()> {
    let signals = Signals::take(Set(u64::MAX))?;
    let own = std::process::id();
    writeln!(io::stdout(), "ready {own}")?;
    let mut caught = 0;
    while caught < count {
        poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        while caught < count
            && let Some(signal) = signals.next().map(|arrived| arrived.number)
        {
            writeln!(io::stdout(), "{own} {signal}")?;
            caught += 1;
        }
    }
    Ok(())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
