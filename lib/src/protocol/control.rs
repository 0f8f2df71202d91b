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
//! of zei-init: `shutdown`. A line that is empty or blank means nothing, silently: a writer may begin with a newline, in the same write(2), so that what somebody
//! else left there without one does not become part of its own line.
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
//! `failed` when its outcome stands. CODE is the exit code zei-ctl leaves with. MS is
//! CLOCK_MONOTONIC. `run` counts the starts before the command. A token is acted on once: a second
//! line with it changes nothing. Records are kept for at least a minute and at least [`KEEP`] of
//! them; then the file is replaced by a shorter one (a new inode).
//!
//! # Version log
//!
//! 1: the first.

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
}

/// The words of all verbs, with what they do; documentation is checked against it.
pub const VERBS: &[(&str, &str)] = &[
    ("start", "the service and what it depends on are wanted; `start nodeps`: the service alone"),
    ("once", "the service and what it depends on are started; its end is not followed by a restart"),
    ("stop", "the service is not wanted until the next start or restart"),
    ("restart", "the service is wanted, by a new process; `restart N`: only if its run N has not ended"),
    ("reload", "the service reads its configuration again, by the signal or command of its `reload` key"),
    ("signal", "sends the signal named by the argument to the main process"),
    ("shutdown", "ends the container (zei-init's own control FIFO only)"),
];

/// One line, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Under which the answer stands; `None` where none is wanted.
    pub token: Option<Token>,
    /// What is asked for.
    pub verb: Verb,
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
            Reject::Verb => "the verbs are start, once, stop, restart, reload, signal, shutdown",
            Reject::Argument => "that verb takes another argument",
        })
    }
}

/// Reads one line, given without its newline. A rejected line's token comes along where it had one,
/// so that the failure can be answered.
pub fn parse(line: &[u8]) -> Result<Request, (Option<Token>, Reject)> {
    let line = core::str::from_utf8(line).map_err(|_| (None, Reject::NotText))?;
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err((None, Reject::NotText));
    }
    let mut words = line.split_ascii_whitespace();
    let token = match words.next() {
        Some("-") => None,
        Some(word) => Some(parse_token(word).ok_or((None, Reject::Token))?),
        None => return Err((None, Reject::Token)),
    };
    let verb = parse_verb(&mut words).map_err(|reject| (token, reject))?;
    Ok(Request { token, verb })
}

fn parse_token(word: &str) -> Option<Token> {
    let good = (8..=32).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    good.then(|| Token::from(word))
}

fn parse_verb<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Verb, Reject> {
    let verb = words.next().ok_or(Reject::Verb)?;
    let argument = words.next();
    if words.next().is_some() {
        return Err(Reject::Argument);
    }
    match (verb, argument) {
        ("start", None) => Ok(Verb::Start),
        ("start", Some("nodeps")) => Ok(Verb::StartAlone),
        ("once", None) => Ok(Verb::Once),
        ("stop", None) => Ok(Verb::Stop),
        ("restart", None) => Ok(Verb::Restart),
        ("restart", Some(run)) => run.parse().map(Verb::RestartRun).map_err(|_| Reject::Argument),
        ("reload", None) => Ok(Verb::Reload),
        ("signal", Some(name)) => signal::parse(name).map(Verb::Signal).ok_or(Reject::Argument),
        ("shutdown", None) => Ok(Verb::Shutdown),
        (verb, _) if VERBS.iter().any(|(known, _)| *known == verb) => Err(Reject::Argument),
        _ => Err(Reject::Verb),
    }
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
        }
    }
}

/// The line itself, newline included.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.token {
            Some(token) => writeln!(f, "{token} {}", self.verb),
            None => writeln!(f, "- {}", self.verb),
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
    let verb = parse_verb(&mut words.next()?.split_ascii_whitespace()).ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(text: &str) -> Token {
        Token::from(text)
    }

    #[test]
    fn the_documented_lines_are_read_as_documented() {
        let with = |verb| Ok(Request { token: Some(token("abcdEF12")), verb });
        assert_eq!(parse(b"- restart"), Ok(Request { token: None, verb: Verb::Restart }));
        assert_eq!(parse(b"abcdEF12 start"), with(Verb::Start));
        assert_eq!(parse(b"abcdEF12  start nodeps"), with(Verb::StartAlone));
        assert_eq!(parse(b"abcdEF12 once"), with(Verb::Once));
        assert_eq!(parse(b"abcdEF12 restart 7"), with(Verb::RestartRun(7)));
        assert_eq!(parse(b"abcdEF12 stop"), with(Verb::Stop));
        assert_eq!(parse(b"abcdEF12 reload"), with(Verb::Reload));
        assert_eq!(parse(b"abcdEF12 signal hup"), with(Verb::Signal(1)));
        assert_eq!(parse(b"abcdEF12 shutdown"), with(Verb::Shutdown));
    }

    #[test]
    fn every_verb_in_the_table_is_known_to_the_parser() {
        for (verb, _) in VERBS {
            assert_ne!(parse(format!("- {verb}").as_bytes()).err(), Some((None, Reject::Verb)), "{verb}");
        }
    }

    #[test]
    fn what_is_no_command_is_rejected_with_its_reason() {
        for (line, reject) in [
            (&b""[..], Reject::Token),
            (b"restart", Reject::Token),
            (b"short restart", Reject::Token),
            (b"-", Reject::Verb),
            (b"- fly", Reject::Verb),
            (b"- stop now", Reject::Argument),
            (b"- reload now", Reject::Argument),
            (b"- restart now", Reject::Argument),
            (b"- restart -1", Reject::Argument),
            (b"- restart 1 2", Reject::Argument),
            (b"- signal", Reject::Argument),
            (b"- signal NOPE", Reject::Argument),
            (b"- signal HUP HUP", Reject::Argument),
            (b"- stop\0", Reject::NotText),
            (b"\xff\xfe stop", Reject::NotText),
        ] {
            assert_eq!(parse(line), Err((None, reject)), "{}", line.escape_ascii());
        }
        assert_eq!(parse(b"abcdEF12 fly"), Err((Some(token("abcdEF12")), Reject::Verb)));
    }

    #[test]
    fn a_record_is_one_line_of_fixed_length_that_cat_can_show() {
        let ack =
            Ack { token: token("abcdEF12"), progress: Progress::Done, at: 77, text: Text::from("pid=4711 merged") };
        let golden = format!("{:<191}\n", "abcdEF12 done 0 at=77 pid=4711 merged");
        assert_eq!(ack.encode(), golden.as_bytes());
        let progress = Progress::Accepted { verb: Verb::Signal(37), run: 3, merged: true };
        let ack = Ack { progress, text: Text::new(), ..ack };
        let golden = format!("{:<191}\n", "abcdEF12 accepted 0 at=77 run=3 merged=1 signal RTMIN+3");
        assert_eq!(ack.encode(), golden.as_bytes());
    }

    fn any_verb() -> impl Strategy<Value = Verb> {
        prop_oneof![
            Just(Verb::Start),
            Just(Verb::StartAlone),
            Just(Verb::Once),
            Just(Verb::Stop),
            Just(Verb::Restart),
            any::<u32>().prop_map(Verb::RestartRun),
            Just(Verb::Reload),
            (1u8..=64).prop_map(Verb::Signal),
            Just(Verb::Shutdown)
        ]
    }

    proptest! {
        #[test]
        fn a_request_is_read_back_from_its_own_line(name in "-|[A-Za-z0-9]{8,32}", verb in any_verb()) {
            let request = Request { token: (name != "-").then(|| token(&name)), verb };
            let line = request.to_string();
            prop_assert!(line.len() <= LINE && line.ends_with('\n'));
            prop_assert_eq!(parse(line.trim_end_matches('\n').as_bytes()), Ok(request));
        }

        #[test]
        fn an_ack_is_read_back_from_its_own_record(
            name in "[A-Za-z0-9]{8,32}", at: u64, run: u32, merged: bool, verb in any_verb(), text in "([a-z=0-9]{1,9} ){0,5}[a-z]{1,5}", code: u8, kind in 0..3
        ) {
            let (progress, text) = match kind {
                0 => (Progress::Accepted { verb, run, merged }, Text::new()),
                1 => (Progress::Done, Text::from(text.as_str())),
                _ => (Progress::Failed(code), Text::from(text.as_str())),
            };
            let ack = Ack { token: token(&name), progress, at, text };
            prop_assert_eq!(Ack::decode(&ack.encode()), Some(ack));
        }

        #[test]
        fn any_bytes_in_any_pieces_are_lines_or_rejected(bytes: Vec<u8>, cut in 1usize..40) {
            let mut whole = Vec::new();
            Lines::default().feed(&bytes, |line| whole.push(line.map(<[u8]>::to_vec)));
            let (mut lines, mut pieces) = (Lines::default(), Vec::new());
            for piece in bytes.chunks(cut) {
                lines.feed(piece, |line| pieces.push(line.map(<[u8]>::to_vec)));
            }
            prop_assert_eq!(&whole, &pieces);
            for line in whole.into_iter().flatten() {
                let _ = parse(&line);
            }
            let _ = Ack::decode(&bytes);
        }
    }

    #[test]
    fn a_blank_line_means_nothing_and_a_newline_ends_what_was_left_without_one() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in [&b"\n\n \t\n"[..], b"garbage", b"\n- stop\n", b"\n- start\n\n"] {
            lines.feed(piece, |line| seen.push(line.map(<[u8]>::to_vec)));
        }
        assert_eq!(seen, [Ok(b"garbage".to_vec()), Ok(b"- stop".to_vec()), Ok(b"- start".to_vec())]);
    }

    #[test]
    fn an_overlong_line_is_rejected_once_and_the_next_one_is_read() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let mut bytes = vec![b'x'; 5000];
        bytes.extend_from_slice(b"\n- stop\n");
        lines.feed(&bytes, |line| seen.push(line.map(<[u8]>::to_vec)));
        assert_eq!(seen, [Err(Reject::TooLong), Ok(b"- stop".to_vec())]);
    }
}
