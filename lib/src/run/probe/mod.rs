//! zei-probe: asks once whether something answers.
//!
//! Owns: the deadline, and the exit code of each answer. Must never: wait beyond the deadline, ask twice, or leave
//! anything behind.

mod body;
mod connect;
mod http;
#[cfg(test)]
mod tests;

use crate::endpoint::{Header, Http, Statuses, Tcp, Unix};
use crate::exit;
use crate::model::time::Span;
use crate::run::report::report;
use nix::errno::Errno;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// The name that stands before every message.
pub const PROGRAM: &str = "zei-probe";

/// How long an answer may take where nothing else is said.
pub const TIMEOUT: Span = Span::seconds(5);

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// Does it accept a connection?
    Tcp(Tcp),
    /// Does it accept a connection?
    Unix(Unix),
    /// Does it answer a GET well?
    Http(Request),
}

/// A request, and which answer is good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Where it goes. Redirects are not followed: they count as their status.
    pub http: Http,
    /// Headers beside, or in place of, those that are sent anyway.
    pub headers: Vec<Header>,
    /// The statuses that are a yes.
    pub statuses: Statuses,
    /// A text that has to be in the first MiB of the body; an empty one always is.
    pub contains: String,
}

/// Asks, and returns the exit code: [`exit::OK`] is a yes, [`exit::NOT_TRUE`] a no, [`exit::SYSTEM`] that it could
/// not be asked. In the latter two a line on standard error says why.
pub fn run(question: &Question, timeout: Span) -> u8 {
    let deadline = Deadline::after(timeout);
    let asked = match question {
        Question::Tcp(tcp) => connect::tcp(tcp, &deadline).map(drop),
        Question::Unix(unix) => connect::unix(unix, &deadline).map(drop),
        Question::Http(request) => http::ask(request, &deadline),
    };
    let (code, problem) = match asked {
        Ok(()) => return exit::OK,
        Err(Failure::No(problem)) => (exit::NOT_TRUE, problem),
        Err(Failure::Refused(problem)) => (exit::SYSTEM, problem),
    };
    report(PROGRAM, format_args!("{question}: {problem}"));
    code
}

/// Reads a length of time: `500ms`, `1m 30s` (humantime's grammar), or a bare number of seconds; not 0.
pub fn duration(text: &str) -> Result<Span, String> {
    let length = text.parse().map(Duration::from_secs).or_else(|_| humantime::parse_duration(text));
    let span = length.ok().and_then(|length| u64::try_from(length.as_millis()).ok()).filter(|span| *span > 0);
    span.map(Span).ok_or_else(|| format!("{text:?} is no length of time: write 500ms, 5s or 1m, more than 0"))
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Tcp(tcp) => write!(f, "tcp {tcp}"),
            Question::Unix(unix) => write!(f, "unix {unix}"),
            Question::Http(request) => write!(f, "http {}", request.http),
        }
    }
}

/// Why there is no yes.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Failure {
    /// It did not answer, or not well.
    No(String),
    /// This process is not allowed, or lacks the means, to ask.
    Refused(String),
}

impl Failure {
    /// What the system says of an attempt.
    fn of(errno: Errno) -> Failure {
        let text = String::from(errno.desc());
        match errno {
            Errno::EACCES | Errno::EPERM | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS => {
                Failure::Refused(text)
            }
            _ => Failure::No(text),
        }
    }

    /// The same of an attempt that may have come to the deadline.
    fn of_attempt(error: &io::Error, deadline: &Deadline) -> Failure {
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, _) => deadline.missed(),
            (_, Some(number)) => Failure::of(Errno::from_raw(number)),
            (_, None) => Failure::No(error.to_string()),
        }
    }
}

/// The time at which waiting ends.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    timeout: Span,
}

impl Deadline {
    fn after(timeout: Span) -> Deadline {
        // A day is as good as any longer time, and never too long to add.
        let at = Instant::now() + Duration::from_millis(timeout.0).min(Duration::from_secs(86_400));
        Deadline { at, timeout }
    }

    /// The same, but at most so long from now.
    fn at_most(self, timeout: Duration) -> Deadline {
        Deadline { at: self.at.min(Instant::now() + timeout), ..self }
    }

    /// How long is left: never zero, which would mean "for ever" to a socket.
    fn left(&self) -> Result<Duration, Failure> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.missed()) } else { Ok(left.max(Duration::from_millis(1))) }
    }

    fn missed(&self) -> Failure {
        Failure::No(format!("no answer within {}", self.timeout))
    }
}
