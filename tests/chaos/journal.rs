//! The file in which every run of a service says what becomes of it.
//!
//! Owns: reading it line by line, and waiting for more. Must never: judge.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};
use zei::exit::Exit;
use zei::signal;

/// What runs beside a main process, or between two of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Job {
    Pre,
    Post,
    Check,
}

impl Job {
    fn parse(word: &str) -> Option<Job> {
        Some(match word {
            "pre" => Job::Pre,
            "post" => Job::Post,
            "check" => Job::Check,
            _ => return None,
        })
    }
}

/// A line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Word {
    Start { number: u64, pid: u32 },
    Double { pid: u32 },
    Got { number: u64, signal: u8 },
    End { number: u64, exit: Exit },
    Child { pid: u32 },
    Job { job: Job, pid: u32, ended: bool },
    Beside { job: Job, pid: u32 },
}

/// What a service has said, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub service: String,
    pub word: Word,
    pub at: u64,
}

/// The file.
#[derive(Debug)]
pub struct Journal {
    file: File,
    changes: Inotify,
    rest: String,
    /// The last lines as they stand there.
    pub tail: Vec<String>,
}

/// So many lines are shown of a run that failed.
const TAIL: usize = 60;

impl Journal {
    pub fn new(path: &Path) -> Journal {
        let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).unwrap();
        changes.add_watch(path, AddWatchFlags::IN_MODIFY).unwrap();
        Journal { file: File::open(path).unwrap(), changes, rest: String::new(), tail: Vec::new() }
    }

    /// Waits until something was written since the last wait, or so long. Returns at once where it was.
    pub fn wait(&self, time: Duration) -> bool {
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        let woken = poll(&mut [PollFd::new(self.changes.as_fd(), PollFlags::POLLIN)], timeout).unwrap_or(0) > 0;
        let _taken = self.changes.read_events();
        woken
    }

    /// Lets so much time go by.
    pub fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if left < Duration::from_millis(1) {
                std::hint::spin_loop();
            } else {
                self.wait(left);
            }
        }
    }

    /// All whole lines that were written since the last call.
    pub fn read(&mut self) -> Vec<Result<Line, String>> {
        let _what_is_there = self.file.read_to_string(&mut self.rest);
        let whole = self.rest.rfind('\n').map_or(0, |at| at + 1);
        let text: String = self.rest.drain(..whole).collect();
        let lines: Vec<&str> = text.lines().collect();
        self.tail.extend(lines.iter().map(|line| (*line).to_owned()));
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
        lines
            .into_iter()
            .map(|line| parse(line).ok_or_else(|| format!("the journal has a torn line: {line:?}")))
            .collect()
    }
}

fn parse(line: &str) -> Option<Line> {
    let words: Vec<&str> = line.split(' ').collect();
    let (at, words) = words.split_last()?;
    let word = match words {
        ["start", _, number, pid] => Word::Start { number: number.parse().ok()?, pid: pid.parse().ok()? },
        ["double", _, pid] => Word::Double { pid: pid.parse().ok()? },
        ["got", _, number, signal] => Word::Got { number: number.parse().ok()?, signal: signal::parse(signal)? },
        ["end", _, number, _, how] => {
            let (how, value) = how.split_once(':')?;
            let value = value.parse().ok()?;
            Word::End {
                number: number.parse().ok()?,
                exit: if how == "code" { Exit::Code(value) } else { Exit::Signal(value) },
            }
        }
        ["child", _, _, pid] => Word::Child { pid: pid.parse().ok()? },
        ["job", _, job, how, pid] => Word::Job { job: Job::parse(job)?, pid: pid.parse().ok()?, ended: *how == "end" },
        ["beside", _, job, pid] => Word::Beside { job: Job::parse(job)?, pid: pid.parse().ok()? },
        _ => return None,
    };
    Some(Line { service: (*words.get(1)?).to_owned(), word, at: at.parse().ok()? })
}
