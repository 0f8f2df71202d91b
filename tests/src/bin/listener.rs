//! Tells which signals it gets: `listener JOURNAL NAME [SIGNAL[,SIGNAL] [CODE]]` writes the line `NAME up` into
//! JOURNAL, then `NAME SIGNAL` for each signal, none lost, and exits with CODE at one of those named, or at TERM.
#![no_main]

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;
use zei::signal::{self, Set};
use zei::sys::raw::Arguments;
use zei::sys::signals::Signals;

zei::bare_main!(run);

fn run(arguments: Arguments) -> u8 {
    let (Some(journal), Some(name)) = (arguments.get(1), arguments.get(2)) else { return 100 };
    let ends: Vec<u8> = arguments.get(3).unwrap_or("TERM").split(',').filter_map(signal::parse).collect();
    let code = arguments.get(4).and_then(|code| code.parse().ok()).unwrap_or(0);
    let Ok(signals) = Signals::take(Set(u64::MAX)) else { return 111 };
    let Ok(journal) = open(journal, OFlag::O_WRONLY, nix::sys::stat::Mode::empty()) else { return 111 };
    let tell = |word: &str| nix::unistd::write(&journal, format!("{name} {word}\n").as_bytes());
    if tell("up").is_err() {
        return 111;
    }
    loop {
        let _interrupted = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
        while let Some(number) = signals.next().map(|arrived| arrived.number) {
            // A stop is followed by one, so that a stopped process takes it.
            if number != signal::CONT {
                let _journal_gone = tell(&signal::Name(number).to_string());
            }
            if ends.contains(&number) {
                return code;
            }
        }
    }
}
