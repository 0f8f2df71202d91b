//! What the programs do: event loops that wait, turn what happened into events, step and perform;
//! and the chain-loader that needs none.

use crate::exit;
use crate::sys::raw::{self, Arguments};
use crate::text::{self, Text};

pub mod acks;
#[cfg(feature = "client")]
pub mod client;
pub mod command;
#[cfg(feature = "cron")]
pub mod cron;
pub mod crowd;
#[cfg(feature = "config")]
pub mod init;
pub mod journal;
pub mod last;
#[cfg(feature = "log")]
pub mod log;
pub mod place;
#[cfg(feature = "probe")]
pub mod probe;
pub mod report;
pub mod setuidgid;
pub mod supervise;

/// Who has slept and wants a short time slice is the next that gets a processor, however many others run all the time: for
/// programs that have little to do, and that soon. What they start gets the usual ones.
pub fn be_prompt() {
    const SLICE: u64 = 100_000;
    let _later_then = raw::take_short_slices(SLICE);
}

/// What a program that nobody but zei-init starts answers to `--version`: zei-init goes by it in an upgrade.
pub fn version(program: &str) -> Text<64> {
    text::format(format_args!("{program} {} form {}", env!("CARGO_PKG_VERSION"), crate::model::record::FORM))
}

/// Answers it where that was asked for.
fn answer_version(program: &str, arguments: Arguments) -> Option<u8> {
    if arguments.get(1) != Some("--version") {
        return None;
    }
    let line: Text<80> = text::format(format_args!("{}\n", version(program)));
    Some(nix::unistd::write(raw::standard(1), line.as_bytes()).map_or(exit::SYSTEM, |_| exit::OK))
}
