//! Control lines and their answers: the format of `control` and `acks`, version 1.
//!
//! Owns: the bytes. Must never: open a file or decide what a command does.
//!
//! # Commands
//!
//! `control` is a FIFO that takes lines of at most [`LINE`] bytes, newline included (so that a
//! write(2) is atomic, pipe(7)):
//!
//! ```text
//! TOKEN VERB [ARG]
//! ```
//!
//! TOKEN is `-` where no answer is wanted, or 8 to 32 of `[A-Za-z0-9]`, freely chosen by the
//! writer. Words are separated by one or more blanks. Verbs of a service: `start`, `start nodeps`, `once`,
//! `stop`, `restart`, `restart N` (only if its run N, of `run` in the status, has not ended), `reload`, `signal SIG`;
//! of zei-init: `shutdown`, `apply`, `apply dry-run`, `add NAME`, `add PATH` (absolute; blanks in it belong to it),
//! `forget NAME`, `upgrade`. A line that is empty or blank means nothing, silently: a writer may begin with a newline, in the
//! same write(2), so that what somebody else left there without one does not become part of its own line.
//!
//! # Answers
//!
//! `acks` holds one record of [`RECORD`] bytes for each command with a token, in the order they
//! came: text, filled up with blanks, ended by a newline:
//!
//! ```text
//! TOKEN accepted 0 at=MS run=N merged=0|1 VERB [ARG]
//! TOKEN done     0 at=MS [TEXT]
//! TOKEN failed   CODE at=MS TEXT
//! ```
//!
//! `accepted` is recorded before the command is acted on and replaced in place by `done` or
//! `failed` when its outcome stands (it has no ARG of `add` and `forget`). CODE is the exit code zei-ctl leaves with. MS is
//! CLOCK_MONOTONIC. `run` counts the starts before the command. A token is acted on once: a second
//! line with it changes nothing. Records are kept for at least a minute and at least [`KEEP`] of
//! them; then the file is replaced by a shorter one (a new inode).
//!
//! # Version log
//!
//! 1: the first.

#[cfg(test)]
mod tests;

use crate::signal;
use crate::text::{self, Text};
use core::fmt;

/// The longest line, with its newline.
pub const LINE: usize = 512;
/// The length of one record in `acks`.
pub const RECORD: usize = 192;
/// So many answers are always kept.
pub const KEEP: usize = 256;
/// And each for at least so long, in milliseconds.
pub const KEEP_MS: u64 = 60_000;

/// A command's token.
pub type Token = Text<32>;

/// What a command asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// The service is wanted, and so is what it depends on.
    Start,
    /// The service is wanted; what it depends on must be asked for separately.
    StartAlone,
    /// The service and what it depends on shall run until it ends by itself, which no policy follows.
    Once,
    /// The service is not wanted.
    Stop,
    /// The service is wanted, by a new process.
    Restart,
    /// The same, if this run of it has not ended: however often that is asked for, it is done once.
    RestartRun(u32),
    /// The service is told to read its configuration again.
    Reload,
    /// This signal goes to the main process.
    Signal(u8),
    /// The container ends.
    Shutdown,
    /// The configuration is read again, and the tree becomes what it says.
    Apply {
        /// Only what differs is told.
        dry_run: bool,
    },
    /// One service, or the services of one file, become what the configuration says; the argument says which.
    Add,
    /// A service is dropped; the argument says which.
    Forget,
    /// The programs that lie on the disk now take over from those that run.
    Upgrade,
}

impl Verb {
    /// Whether it is zei-init's, and no service's.
    pub const fn is_of_init(self) -> bool {
        match self {
            Verb::Shutdown | Verb::Apply { .. } | Verb::Add | Verb::Forget | Verb::Upgrade => true,
            Verb::Start | Verb::StartAlone | Verb::Once | Verb::Stop | Verb::Reload | Verb::Signal(_) => false,
            Verb::Restart | Verb::RestartRun(_) => false,
        }
    }
}

/// The words of all verbs, with what they do; documentation is checked against it.
pub const VERBS: &[(&str, &str)] = &[
    ("start", "the service and what it depends on are wanted; `start nodeps`: the service alone"),
    ("once", "the service and what it depends on are started; its end is not followed by a restart"),
    ("stop", "the service is not wanted until the next start or restart"),
    ("restart", "the service is wanted, by a new process; `restart N`: only if its run N has not ended"),
    ("reload", "the service reads its configuration again, by the signal or command of its `reload` key"),
    ("signal", "sends the signal named by the argument to the main process"),
    ("shutdown", "ends the container (zei-init's own control FIFO only, as those that follow)"),
    ("apply", "reads the configuration again and changes the tree to it; `apply dry-run`: only tells what differs"),
    ("add", "brings in the service of that name, or the services of the file of that absolute path"),
    ("forget", "drops the service of that name, which must not run"),
    ("upgrade", "the programs on the disk take over from those that run; services are not touched"),
];

/// One line, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// Under which the answer stands; `None` where none is wanted.
    pub token: Option<Token>,
    /// What is asked for.
    pub verb: Verb,
    /// Of [`Verb::Add`] and [`Verb::Forget`]: what or whom; else empty.
    pub argument: &'a str,
}

/// Why a line is no request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reject {
    /// Longer than [`LINE`].
    TooLong,
    /// Not UTF-8, or with control characters.
    NotText,
    /// The first word is neither `-` nor a token.
    Token,
    /// No such verb.
    Verb,
    /// The verb's argument is missing, wrong, or too much.
    Argument,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reject::TooLong => "a line has at most 512 bytes",
            Reject::NotText => "a line is text",
            Reject::Token => "a line begins with '-' or a token of 8 to 32 letters and digits",
            Reject::Verb => {
                "the verbs are start, once, stop, restart, reload, signal; of zei-init shutdown, apply, add, forget, upgrade"
            }
            Reject::Argument => "that verb takes another argument",
        })
    }
}

/// Reads one line, given without its newline. A rejected line's token comes along where it had one,
/// so that the failure can be answered.
pub fn parse(line: &[u8]) -> Result<Request<'_>, (Option<Token>, Reject)> {
    let line = core::str::from_utf8(line).map_err(|_| (None, Reject::NotText))?;
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err((None, Reject::NotText));
    }
    let (first, rest) = split(line);
    let token = match first {
        "-" => None,
        word => Some(parse_token(word).ok_or((None, Reject::Token))?),
    };
    match parse_verb(rest) {
        Ok((Verb::Add | Verb::Forget, "")) => Err((token, Reject::Argument)),
        Ok((verb, argument)) => Ok(Request { token, verb, argument }),
        Err(reject) => Err((token, reject)),
    }
}

/// The first word, and what follows it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim_ascii();
    text.split_once([' ', '\t']).map_or((text, ""), |(word, rest)| (word, rest.trim_ascii_start()))
}

fn parse_token(word: &str) -> Option<Token> {
    let good = (8..=32).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    good.then(|| Token::from(word))
}

/// The verb, and the argument where that is not part of it.
fn parse_verb(text: &str) -> Result<(Verb, &str), Reject> {
    let (verb, argument) = split(text);
    let verb = match (verb, argument) {
        ("start", "") => Verb::Start,
        ("start", "nodeps") => Verb::StartAlone,
        ("once", "") => Verb::Once,
        ("stop", "") => Verb::Stop,
        ("restart", "") => Verb::Restart,
        ("restart", run) => Verb::RestartRun(run.parse().map_err(|_| Reject::Argument)?),
        ("reload", "") => Verb::Reload,
        ("signal", name) => Verb::Signal(signal::parse(name).ok_or(Reject::Argument)?),
        ("shutdown", "") => Verb::Shutdown,
        ("apply", "") => Verb::Apply { dry_run: false },
        ("apply", "dry-run") => Verb::Apply { dry_run: true },
        ("upgrade", "") => Verb::Upgrade,
        ("add", argument) => return Ok((Verb::Add, argument)),
        ("forget", argument) => return Ok((Verb::Forget, argument)),
        (verb, _) if VERBS.iter().any(|(known, _)| *known == verb) => return Err(Reject::Argument),
        _ => return Err(Reject::Verb),
    };
    Ok((verb, ""))
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verb::Start => f.write_str("start"),
            Verb::StartAlone => f.write_str("start nodeps"),
            Verb::Once => f.write_str("once"),
            Verb::Stop => f.write_str("stop"),
            Verb::Restart => f.write_str("restart"),
            Verb::RestartRun(run) => write!(f, "restart {run}"),
            Verb::Reload => f.write_str("reload"),
            Verb::Signal(number) => write!(f, "signal {}", signal::Name(*number)),
            Verb::Shutdown => f.write_str("shutdown"),
            Verb::Apply { dry_run: false } => f.write_str("apply"),
            Verb::Apply { dry_run: true } => f.write_str("apply dry-run"),
            Verb::Add => f.write_str("add"),
            Verb::Forget => f.write_str("forget"),
            Verb::Upgrade => f.write_str("upgrade"),
        }
    }
}

/// The line itself, newline included.
impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { token, verb, argument } = self;
        let blank = if argument.is_empty() { "" } else { " " };
        match token {
            Some(token) => writeln!(f, "{token} {verb}{blank}{argument}"),
            None => writeln!(f, "- {verb}{blank}{argument}"),
        }
    }
}

/// How far a command has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Recorded, not finished: what it needs to be finished by a successor.
    Accepted {
        /// What was asked for.
        verb: Verb,
        /// The number of starts before it.
        run: u32,
        /// It joined a restart that was under way.
        merged: bool,
    },
    /// Its outcome stands, and is what was asked for.
    Done,
    /// Its outcome stands: it did not come true. The exit code for the client.
    Failed(u8),
}

/// One record of `acks`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ack {
    /// Whose answer this is.
    pub token: Token,
    /// How far it has come.
    pub progress: Progress,
    /// When it came so far, in milliseconds of CLOCK_MONOTONIC.
    pub at: u64,
    /// What else there is to say, empty while accepted.
    pub text: Text<112>,
}

impl Ack {
    /// The record's bytes.
    pub fn encode(&self) -> [u8; RECORD] {
        let Ack { token, progress, at, text } = self;
        let line: Text<{ RECORD - 1 }> = match progress {
            Progress::Accepted { verb, run, merged } => {
                text::format(format_args!("{token} accepted 0 at={at} run={run} merged={} {verb}", u8::from(*merged)))
            }
            Progress::Done => text::format(format_args!("{token} done 0 at={at} {text}")),
            Progress::Failed(code) => text::format(format_args!("{token} failed {code} at={at} {text}")),
        };
        let mut record = [b' '; RECORD];
        for (to, from) in record.iter_mut().zip(
            line.as_bytes().iter().chain(core::iter::repeat_n(&b' ', RECORD - 1 - line.as_bytes().len())).chain(b"\n"),
        ) {
            *to = *from;
        }
        record
    }

    /// Reads a record; `None` if it is none (torn, or of another version).
    pub fn decode(record: &[u8]) -> Option<Ack> {
        let line = core::str::from_utf8(record).ok()?.strip_suffix('\n')?.trim_end_matches(' ');
        let mut words = line.splitn(5, ' ');
        let token = parse_token(words.next()?)?;
        let (progress, code) = (words.next()?, words.next()?.parse().ok()?);
        let at = words.next()?.strip_prefix("at=")?.parse().ok()?;
        let rest = words.next().unwrap_or_default();
        let progress = match progress {
            "accepted" => decode_accepted(rest)?,
            "done" => Progress::Done,
            "failed" => Progress::Failed(code),
            _ => return None,
        };
        let text = if matches!(progress, Progress::Accepted { .. }) { Text::new() } else { Text::from(rest) };
        Some(Ack { token, progress, at, text })
    }
}

fn decode_accepted(rest: &str) -> Option<Progress> {
    let mut words = rest.splitn(3, ' ');
    let run = words.next()?.strip_prefix("run=")?.parse().ok()?;
    let merged = words.next()? == "merged=1";
    let (verb, _) = parse_verb(words.next()?).ok()?;
    Some(Progress::Accepted { verb, run, merged })
}

/// Collects bytes into lines, without ever holding more than one.
#[derive(Debug)]
pub struct Lines {
    bytes: [u8; LINE],
    length: usize,
    overlong: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Lines { bytes: [0; LINE], length: 0, overlong: false }
    }
}

impl Lines {
    /// Takes bytes as they were read and calls `each` for every line that they complete, its
    /// newline taken off, unless it is blank. What is not complete waits for the next call.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Result<&[u8], Reject>)) {
        for &byte in bytes {
            if byte == b'\n' {
                let line = self.bytes.get(..self.length).unwrap_or_default();
                if self.overlong {
                    each(Err(Reject::TooLong));
                } else if !line.trim_ascii().is_empty() {
                    each(Ok(line));
                }
                (self.length, self.overlong) = (0, false);
            } else if self.length + 1 < LINE
                && let Some(slot) = self.bytes.get_mut(self.length)
            {
                *slot = byte;
                self.length += 1;
            } else {
                self.overlong = true;
            }
        }
    }
}
