//! How a service is known to be ready.
//!
//! Owns: `ready` and zinit's `test`. Must never: run a test.

use crate::config::keys::Id;
use crate::config::maps::{Fields, NOTIFY, READY};
use crate::config::node::{Node, Value};
use crate::config::probe;
use crate::config::problem::{Fault, Faults};
use crate::config::service::Scope;
use crate::config::values;
use crate::model::spec::{Output, Ready, ReadyTest};
use crate::model::time::Span;

/// What `ready` or `test` says; all of it is `None` where neither is given.
#[derive(Default)]
pub struct Readiness {
    pub test: Option<ReadyTest>,
    pub ready: Option<Ready>,
    pub timeout: Option<Span>,
    pub watchdog: Option<Span>,
}

/// The pause between two tries.
const INTERVAL: Span = Span(250);
/// How long one try may take that asks a socket. Others take 1 s (Kubernetes) to 3 s (Pebble).
const QUESTION: Span = Span::seconds(5);
/// How long a command may take: what Compose gives to one that checks health. Clients of some servers take seconds to
/// start on a busy machine, and with a shorter time they would never come to an answer.
const COMMAND: Span = Span::seconds(30);
/// zinit lets a test run as long as it likes, so some wait for their service by themselves.
const NO_LIMIT: Span = Span(u64::MAX);

/// Reads both keys. `shown`: a line of its output can be seen.
pub fn read(scope: &Scope, oneshot: bool, shown: bool) -> Readiness {
    let test = scope.read(Id::Test, probe::command);
    let ready = scope.read(Id::Ready, |node| ready(node, shown));
    let (ready_entry, test_entry) = (scope.section.entry(Id::Ready), scope.section.entry(Id::Test));
    if let (Some(ready), Some(test)) = (ready_entry, test_entry)
        && !ready.is_default
    {
        let text = "ready and test can't both be given; keep one of them";
        scope.fault(test, Fault::new(text));
    }
    if oneshot {
        if let Some(entry) = ready_entry.filter(|entry| !entry.is_default) {
            scope.fault(entry, Fault::new(ONESHOT));
        }
        match test_entry {
            // As zinit has it, which asks no oneshot.
            Some(entry) if scope.section.zinit => {
                scope.doubt(entry, Fault::new("is not run, because a oneshot is ready for others once it exits 0"));
            }
            Some(entry) => scope.fault(entry, Fault::new(ONESHOT)),
            None => {}
        }
        return Readiness::default();
    }
    match test {
        Some(job) => Readiness {
            test: Some(ReadyTest::Job(job)),
            ready: Some(Ready::Asked { interval: INTERVAL, timeout: NO_LIMIT }),
            ..Readiness::default()
        },
        None => ready.unwrap_or_default(),
    }
}

const ONESHOT: &str = "a oneshot is never ready, it is done when it exits 0; take this away: what depends on it waits \
                       for that";

fn ready(node: &Node, shown: bool) -> Result<Readiness, Faults> {
    let mut fields = Fields::of(node, &READY)?;
    let words: Vec<&str> = ["notify", "log"].into_iter().chain(probe::WORDS).collect();
    let word = fields.one_of(&words);
    let timeout = fields.read("timeout", values::some_time);
    let interval = fields.read("interval", values::some_time);
    let watchdog = fields.read("watchdog", values::some_time);
    let mut asked = None;
    let test = match word {
        Some("notify") => fields.read("notify", notify),
        Some("log") => fields.read("log", |node| log(node, shown)),
        Some(word) => {
            let timeout = if word == "exec" { COMMAND } else { QUESTION };
            asked = Some(Ready::Asked { interval: interval.unwrap_or(INTERVAL), timeout });
            probe::job(&mut fields, word, timeout).map(ReadyTest::Job)
        }
        None => None,
    };
    if let Some(word) = word
        && asked.is_none()
        && fields.member("interval").is_some()
    {
        fields.fault("interval", Fault::new(format!("is the pause between two tries, and {word} tries nothing")));
    }
    // Told already where notify itself is wrong.
    let may_say = match &test {
        Some(test) => *test == ReadyTest::NotifySystemd,
        None => word == Some("notify"),
    };
    if word.is_some() && !may_say && fields.member("watchdog").is_some() {
        fields.fault("watchdog", Fault::new("needs \"notify: systemd\", by which the service says that it lives"));
    }
    fields.done(test.map(|test| Readiness {
        test: Some(test),
        ready: Some(asked.unwrap_or(Ready::Told)),
        timeout,
        watchdog,
    }))
}

fn notify(node: &Node) -> Result<ReadyTest, Faults> {
    match &node.value {
        Value::Map(_) => {
            let mut fields = Fields::of(node, &NOTIFY)?;
            fields.one_of(&["fd"]);
            let number = fields.read("fd", descriptor);
            fields.done(number.map(ReadyTest::NotifyFd))
        }
        _ => match values::word(node, &[("systemd", ())]) {
            Ok(()) => Ok(ReadyTest::NotifySystemd),
            Err(Fault { near, .. }) => {
                let text = format!("must be systemd or {{fd: N}}, not {}", node.text().unwrap_or(node.kind()));
                Err(Fault::new(text).near(near).into())
            }
        },
    }
}

/// Beyond the standard streams, and below the limit of descriptors that programs usually have.
fn descriptor(node: &Node) -> Result<u32, Fault> {
    let text = values::text(node)?;
    values::number(text).filter(|number| (3..=1023).contains(number)).ok_or_else(|| {
        Fault::new(format!("{text:?} is no descriptor from 3 to 1023; 0, 1 and 2 are its standard streams"))
    })
}

fn log(node: &Node, shown: bool) -> Result<ReadyTest, Fault> {
    let text = values::text(node)?;
    crate::pattern::check(text).map_err(|reason| Fault::new(format!("{text:?} is no regular expression: {reason}")))?;
    if !shown {
        return Err(Fault::new(
            "no line can ever be seen, because both stdout and stderr go to a file or to null; let one of them go to \
             the container's own",
        ));
    }
    Ok(ReadyTest::Log(text.to_owned()))
}

/// Whether a line of its output can be seen.
pub fn is_shown(stdout: &Output, stderr: &Output) -> bool {
    let shown = |output: &Output| matches!(output, Output::Inherit | Output::Stdout | Output::Stderr);
    shown(stdout) || shown(stderr)
}
