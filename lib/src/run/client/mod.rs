//! The client: what zei-ctl does once its arguments are read.
//!
//! Owns: the way from a [`Verb`] to an [`Output`], and [`report`] and `put`, the two places that write
//! to standard output and standard error. Must never: keep state of its own; all it knows stands in the run directory.

mod acks;
mod apply;
mod command;
mod configuration;
mod dependents;
mod disk;
mod events;
#[cfg(test)]
mod fake;
mod graph;
mod log;
mod names;
mod place;
mod show;
#[cfg(test)]
mod tests;
mod tree;
mod view;
mod wait;
mod why;
mod words;

pub use events::{Since, since};
pub use log::Kept;
pub use wait::Until;

use crate::exit;
use crate::model::time::Span;
use crate::protocol::control;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

/// All that the command line says.
#[derive(Debug)]
pub struct Options {
    /// The run directory, instead of searching for one.
    pub run: Option<PathBuf>,
    /// The configuration to use instead of the default one; may be empty.
    pub config: Vec<PathBuf>,
    /// Print JSON.
    pub json: bool,
    /// What to do.
    pub verb: Verb,
}

/// What to do. `services` are names, shell patterns, or `all`.
#[derive(Debug)]
pub enum Verb {
    /// One line per service; none named means all.
    List {
        /// Which.
        services: Vec<String>,
    },
    /// All there is to say about each service; none named means all.
    Status {
        /// Which.
        services: Vec<String>,
    },
    /// Who depends on whom; none named means all.
    Tree {
        /// From which on.
        services: Vec<String>,
    },
    /// Why services are not as they should be; none named means all that are not.
    Why {
        /// Which.
        services: Vec<String>,
    },
    /// A command to services.
    Command {
        /// Which.
        services: Vec<String>,
        /// What.
        verb: control::Verb,
        /// How long to wait for it.
        patience: Patience,
    },
    /// Stops services and all that depends on them.
    StopWithDependents {
        /// Which.
        services: Vec<String>,
        /// How long to wait for it.
        patience: Patience,
    },
    /// A signal to services: `SVC… SIG` or `SVC:SIG…`.
    Signal {
        /// The words as they were given.
        words: Vec<String>,
        /// The signal where the words name none; `None`: they must.
        default: Option<u8>,
        /// How long to wait for it.
        patience: Patience,
    },
    /// Waits until something holds for each service.
    Wait {
        /// Which.
        services: Vec<String>,
        /// What.
        until: Until,
        /// At most so long; `None`: as long as it takes.
        timeout: Option<Span>,
    },
    /// What happens, one JSON object a line.
    Events {
        /// To whom; none named means all, and zei-init itself.
        services: Vec<String>,
        /// From when on; `None`: from now on, or where nothing is waited for all that is known.
        since: Option<Since>,
        /// Until zei ends; otherwise only what has happened so far.
        follow: bool,
    },
    /// The kept output of services.
    Log(Kept),
    /// The tree becomes what the configuration says.
    Apply {
        /// Only show what differs.
        dry_run: bool,
        /// How long to wait for it.
        patience: Patience,
    },
    /// Brings in one service, or the services of one file.
    Add {
        /// Which.
        what: String,
        /// How long to wait for it.
        patience: Patience,
    },
    /// Drops a service.
    Forget {
        /// Which.
        service: String,
        /// How long to wait for it.
        patience: Patience,
    },
    /// The programs on the disk take over from those that run.
    Upgrade {
        /// How long to wait for it.
        patience: Patience,
    },
    /// Ends the container.
    Shutdown {
        /// How long to wait for it.
        patience: Patience,
    },
    /// Checks the configuration.
    Check {
        /// How long the container has between its stop signal and its kill.
        grace: Span,
    },
}

/// How long to wait for a command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// Only until it is accepted, which means that it will not be lost.
    pub no_wait: bool,
    /// At most so long; `None`: as long as it takes.
    pub timeout: Option<Span>,
}

/// Why nothing (more) could be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// The exit code, from [`exit::TABLE`].
    pub(crate) code: u8,
    /// What happened, where, and what to do; no newline at the end.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }
}

/// What there is to say in the end.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// For standard output, newlines included.
    pub(crate) out: String,
    /// Lines for standard error, without newlines.
    pub(crate) err: Vec<String>,
    /// The exit code.
    pub(crate) code: u8,
}

impl Output {
    /// Notes a failure; the first one's code is the program's.
    pub(crate) fn fail(&mut self, failure: Failure) {
        if self.code == exit::OK {
            self.code = failure.code;
        }
        self.err.push(format!("zei-ctl: {}", failure.message));
    }
}

/// Does what the options say and reports it; gives the exit code.
pub fn run(options: &Options) -> u8 {
    let done = perform(options).unwrap_or_else(|failure| {
        let mut output = Output::default();
        output.fail(failure);
        output
    });
    report(&done.out, &done.err.join("\n"), done.code)
}

fn perform(options: &Options) -> Result<Output, Failure> {
    let find = || place::find(options.run.as_deref());
    let look = show::Look { json: options.json, colour: colour(), boxes: boxes(), config: &options.config };
    match &options.verb {
        Verb::List { services } => show::list(find(), services, &look),
        Verb::Status { services } => show::status(find(), services, &look),
        Verb::Tree { services } => tree::tree(find(), services, &look),
        Verb::Why { services } => why::why(&find()?, services, options.json),
        Verb::Command { services, verb, patience } => {
            let place = find()?;
            let services = names::select(&place.services(), services, names::Scope::AllButCmd)?;
            let orders: Vec<_> = services.into_iter().map(|name| (place::Target::Service(name), *verb)).collect();
            Ok(command::carry_out(&place, &orders, *patience, options.json))
        }
        Verb::StopWithDependents { services, patience } => {
            let place = find()?;
            let services = names::select(&place.services(), services, names::Scope::AllButCmd)?;
            dependents::stop(&place, &services, *patience, options.json)
        }
        Verb::Signal { words, default, patience } => {
            let place = find()?;
            let mut orders = Vec::new();
            for (services, signal) in names::signals(words, *default)? {
                let services = names::select(&place.services(), &services, names::Scope::AllButCmd)?;
                let order = |name| (place::Target::Service(name), control::Verb::Signal(signal));
                orders.extend(services.into_iter().map(order));
            }
            Ok(command::carry_out(&place, &orders, *patience, options.json))
        }
        Verb::Wait { services, until, timeout } => {
            let place = find()?;
            let services = names::select(&place.services(), services, names::Scope::Everything)?;
            wait::for_all(&place, &services, *until, *timeout, options.json)
        }
        Verb::Events { services, since, follow } => events::events(&find()?, services, *since, *follow),
        Verb::Log(kept) => log::log(&place::find_left(options.run.as_deref())?, kept, options.json),
        Verb::Apply { dry_run, patience } => Ok(apply::apply(&find()?, *dry_run, *patience, options.json)),
        Verb::Add { what, patience } => apply::add(&find()?, what, *patience, options.json),
        Verb::Forget { service, patience } => {
            let place = find()?;
            let known = names::select(&place.services(), std::slice::from_ref(service), names::Scope::Everything)?;
            match known.as_slice() {
                [name] => Ok(apply::forget(&place, name.as_str(), *patience, options.json)),
                _ => Err(Failure::new(exit::CONFIG, format!("\"{service}\" means several services; name one"))),
            }
        }
        Verb::Upgrade { patience } => Ok(apply::upgrade(&find()?, *patience, options.json)),
        Verb::Shutdown { patience } => {
            let orders = [(place::Target::Init, control::Verb::Shutdown)];
            Ok(command::carry_out(&find()?, &orders, *patience, options.json))
        }
        Verb::Check { grace } => Ok(configuration::check(&options.config, *grace, options.json)),
    }
}

/// Writes what there is to say, each stream at once, and gives back the code. Whoever closes
/// standard output early has seen enough, which is no error; any other failure to write is.
pub fn report(out: &str, err: &str, code: u8) -> u8 {
    if !err.is_empty() {
        // If that fails there is nobody left to tell.
        let _nobody = io::stderr().write_all(format!("{}\n", err.trim_end()).as_bytes());
    }
    let written = if out.is_empty() { Ok(()) } else { io::stdout().lock().write_all(out.as_bytes()) };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe && code == exit::OK => {
            report("", &format!("zei-ctl: can't write to standard output: {error}"), exit::SYSTEM)
        }
        _ => code,
    }
}

/// Writes lines to standard output at once, for verbs that have much to say or never end; `false`: nobody reads it
/// any more, which is no error.
pub(crate) fn put(lines: &str) -> Result<bool, Failure> {
    put_bytes(lines.as_bytes())
}

/// The same for what may be no text.
pub(crate) fn put_bytes(lines: &[u8]) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    if lines.is_empty() {
        // Only a pipe whose reader has gone has an event here.
        let mut polled = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        return Ok(!matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1..)));
    }
    match stdout.write_all(lines).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(exit::SYSTEM, format!("can't write to standard output: {error}"))),
    }
}

/// Colour only for people who look at it and do not mind (<https://no-color.org>).
fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Characters beyond ASCII only for people whose terminal shows them, as their locale says (setlocale(3)).
fn boxes() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
    let is_utf8 = |value: std::ffi::OsString| {
        let value = value.to_string_lossy().to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    };
    io::stdout().is_terminal() && locale.is_some_and(is_utf8)
}

/// Reads a length of time: `500ms`, `1m 30s` (humantime's grammar), or a bare number of seconds.
pub fn duration(text: &str) -> Result<Span, String> {
    let length = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 5s, 2m or 1h"))?,
    };
    Ok(Span(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)))
}

/// One line of JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    // Plain structs of strings and numbers can't fail to be written.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn durations_are_humantimes_or_bare_seconds() {
        for (text, span) in [("0", 0), ("5", 5000), ("500ms", 500), ("1m30s", 90_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Span(span)), "{text}");
        }
        for text in ["", "-1", "fast", "5 parsecs"] {
            assert!(duration(text).unwrap_err().contains("write 500ms"), "{text}");
        }
    }

    #[test]
    fn the_first_failures_code_is_the_programs() {
        let mut output = Output::default();
        output.fail(Failure::new(exit::NOT_TRUE, "one"));
        output.fail(Failure::new(exit::SYSTEM, "two"));
        assert_eq!(
            (output.code, output.err),
            (exit::NOT_TRUE, vec!["zei-ctl: one".to_string(), "zei-ctl: two".to_string()])
        );
    }
}
