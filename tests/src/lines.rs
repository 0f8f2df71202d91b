//! Lines that come through a pipe, kept and waited for.
//!
//! Owns: one reading thread per pipe. Must never: let a writer wait because nobody reads.

use crate::PATIENCE;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{PipeWriter, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// What has come through a pipe so far.
#[derive(Debug)]
pub struct Lines {
    kept: Arc<(Mutex<Kept>, Condvar)>,
    reader: Option<(JoinHandle<()>, PipeWriter)>,
}

#[derive(Debug)]
struct Kept {
    pipe_end: OwnedFd,
    lines: Vec<String>,
    rest: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// Reads the pipe until its end, or until this is dropped.
    ///
    /// # Panics
    /// Where there is no descriptor left.
    pub fn from(pipe_end: OwnedFd) -> Lines {
        let (ends, end) = pipe().expect("a pipe");
        let watched = pipe_end.try_clone().expect("a descriptor");
        let kept = Kept { pipe_end, lines: Vec::new(), rest: Vec::new(), ended: false };
        let kept = Arc::new((Mutex::new(kept), Condvar::new()));
        let shared = Arc::clone(&kept);
        let reader = std::thread::spawn(move || {
            loop {
                let mut polled = [watched.as_fd(), ends.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
                let _interrupted = poll(&mut polled, PollTimeout::NONE);
                let (kept, changed) = &*shared;
                let mut kept = kept.lock().expect("no test dies with it");
                kept.read();
                changed.notify_all();
                if kept.ended || polled[1].any().unwrap_or(true) {
                    return;
                }
            }
        });
        Lines { kept, reader: Some((reader, end)) }
    }

    /// All lines that were written before this is called.
    ///
    /// # Panics
    /// Never, unless the reader did.
    pub fn all(&self) -> Vec<String> {
        let mut kept = self.kept.0.lock().expect("the reader lives");
        kept.read();
        kept.lines.clone()
    }

    /// The whole text, once the pipe has ended.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn whole(&self) -> String {
        let (kept, changed) = &*self.kept;
        let lives = |kept: &mut Kept| !kept.ended;
        let kept = kept.lock().expect("the reader lives");
        let (kept, waited) = changed.wait_timeout_while(kept, PATIENCE, lives).expect("the reader lives");
        assert!(!waited.timed_out(), "the pipe has not ended:\n{}", kept.lines.join("\n"));
        kept.lines.join("\n")
    }

    /// How many lines there are that are this one.
    pub fn count(&self, line: &str) -> usize {
        self.all().iter().filter(|known| *known == line).count()
    }

    /// Waits until `look` finds what it looks for in the lines.
    ///
    /// # Panics
    /// Where it has not come within [`PATIENCE`], or the pipe has ended before; `what` is named then.
    pub fn listen<T>(&self, what: &str, mut look: impl FnMut(&[String]) -> Option<T>) -> T {
        let (kept, changed) = &*self.kept;
        let until = Instant::now() + PATIENCE;
        let mut kept = kept.lock().expect("the reader lives");
        loop {
            if let Some(found) = look(&kept.lines) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !kept.ended, "{what} did not come; what came:\n{}", kept.lines.join("\n"));
            kept = changed.wait_timeout(kept, left).expect("the reader lives").0;
        }
    }

    /// Waits for the first line that contains `part`.
    ///
    /// # Panics
    /// As [`Lines::listen`].
    pub fn expect(&self, part: &str) -> String {
        self.listen(part, |lines| lines.iter().find(|line| line.contains(part)).cloned())
    }
}

impl Kept {
    /// Takes what is in the pipe now.
    fn read(&mut self) {
        let ready = |pipe_end: &OwnedFd| {
            poll(&mut [PollFd::new(pipe_end.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO)
                .is_ok_and(|ready| ready > 0)
        };
        while !self.ended && ready(&self.pipe_end) {
            let mut buffer = [0; 65536];
            let length = nix::unistd::read(&self.pipe_end, &mut buffer).unwrap_or(0);
            self.take(&buffer[..length]);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.ended |= bytes.is_empty();
        self.rest.extend_from_slice(bytes);
        while let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=at).collect();
            self.lines.push(String::from_utf8_lossy(&line[..at]).into_owned());
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some((reader, end)) = self.reader.take() {
            drop(end);
            let _dead_already = reader.join();
        }
    }
}
