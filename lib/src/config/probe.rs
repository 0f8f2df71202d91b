//! Tests that `ready` and `healthcheck` have in common: a command, or a question to a socket.
//!
//! Owns: their words and the jobs they become. Must never: know what a test is for.

use crate::config::maps::Fields;
use crate::config::node::Node;
use crate::config::problem::{Fault, Faults};
use crate::config::values;
use crate::endpoint::{Http, Tcp, Unix};
use crate::model::spec::{Job, Program};
use crate::model::time::Span;

/// The words of those tests.
pub const WORDS: [&str; 4] = ["exec", "tcp", "http", "unix"];

/// A command of the service's own.
pub fn command(node: &Node) -> Result<Job, Faults> {
    values::command(node).map(|arguments| Job { program: Program::Own, arguments })
}

/// A shell text.
pub fn shell(node: &Node) -> Result<Job, Fault> {
    values::shell(node).map(|arguments| Job { program: Program::Own, arguments })
}

/// The test of this word, one of [`WORDS`]. An answer that takes longer than `timeout` is none.
pub fn job(fields: &mut Fields, word: &str, timeout: Span) -> Option<Job> {
    let question = |node: &Node, kind, check| question(node, kind, check, timeout);
    match word {
        "exec" => fields.read(word, command),
        "tcp" => fields.read(word, |node| question(node, "tcp", |text| Tcp::parse(text).map(drop))),
        "http" => fields.read(word, |node| question(node, "http", |text| Http::parse(text).map(drop))),
        _ => fields.read(word, |node| {
            // Who asks may run in another directory than whoever wrote it has thought of.
            match values::text(node)? {
                text if text.starts_with(['/', '@']) => question(node, "unix", |text| Unix::parse(text).map(drop)),
                text => Err(Fault::new(format!("{text:?} is neither an absolute path nor @name, an abstract socket"))),
            }
        }),
    }
}

/// What zei-probe is asked to find out.
fn question(node: &Node, kind: &str, check: fn(&str) -> Result<(), String>, timeout: Span) -> Result<Job, Fault> {
    let text = values::text(node)?;
    // It would be taken for an option.
    if text.starts_with('-') {
        return Err(Fault::new(format!("{text:?} can't begin with a dash")));
    }
    check(text).map_err(Fault::new)?;
    let words = ["zei-probe", kind, text, "--timeout", &timeout.to_string()];
    let arguments = words.into_iter().map(values::c_string).collect::<Result<_, Fault>>()?;
    Ok(Job { program: Program::Probe, arguments })
}
