//! zei's own lines on standard error, which never wait for whoever reads it.
//!
//! Owns: how a line gets out, and the count of those that did not. Must never: block, or set a flag
//! on a descriptor that services share (O_NONBLOCK belongs to the open file description, open(2)).

use crate::sys::nowait::Writer;
use crate::sys::raw;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use nix::errno::Errno;

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

fn put(line: &[u8]) -> Result<(), Errno> {
    let written = Writer::new(raw::standard(2))?.write(line)?;
    if written < line.len() { Err(Errno::EAGAIN) } else { Ok(()) }
}
