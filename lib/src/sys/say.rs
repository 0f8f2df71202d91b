//! zei's own lines on standard error, which never wait for whoever reads it.
//!
//! Owns: how a line gets out, and the count of those that did not. Must never: block, or set a flag
//! on a descriptor that services share (O_NONBLOCK belongs to the open file description, open(2)).

use crate::model::time::Span;
use crate::sys::nowait::Writer;
use crate::sys::{clock, raw};
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

static LOST: AtomicU32 = AtomicU32::new(0);

/// Writes `PROGRAM: text` and a newline to standard error, or counts it as lost. The next line that
/// gets out is preceded by the count. A line of more than 1000 bytes is cut.
#[inline(never)]
pub fn say(who: fmt::Arguments<'_>, text: fmt::Arguments<'_>) {
    let lost = LOST.swap(0, Ordering::Relaxed);
    if lost > 0 {
        let note = crate::text::format::<160>(format_args!("{who}: {lost} lines of its own could not be written\n"));
        if put(note.as_bytes()).is_err() {
            LOST.fetch_add(lost, Ordering::Relaxed);
        }
    }
    let line = crate::text::format::<1000>(format_args!("{who}: {text}"));
    let line = crate::text::format::<1001>(format_args!("{line}\n"));
    if put(line.as_bytes()).is_err() {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes this, some lines, to standard error. What others wrote last may be in the way, and this is the last chance to
/// say it, so for once it waits for room: at most 50 ms in all.
pub fn last_words(text: &[u8]) {
    const PATIENCE: Span = Span(50);
    let deadline = clock::now().plus(PATIENCE);
    let mut rest = text;
    while !rest.is_empty() {
        let left = deadline.since(clock::now());
        match write_now(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::EAGAIN | Errno::EINTR) if left > Span(0) => {
                let timeout = u8::try_from(left.0).map_or(PollTimeout::ZERO, PollTimeout::from);
                let _full = poll(&mut [PollFd::new(raw::standard(2), PollFlags::POLLOUT)], timeout);
            }
            Err(_) => return,
        }
    }
}

fn put(line: &[u8]) -> Result<(), Errno> {
    if write_now(line)? < line.len() { Err(Errno::EAGAIN) } else { Ok(()) }
}

fn write_now(line: &[u8]) -> Result<usize, Errno> {
    Writer::new(raw::standard(2))?.write(line)
}
