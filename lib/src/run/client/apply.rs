//! `apply`, `add`, `forget`, `upgrade`: commands that change the tree, and the report of what they found.
//!
//! Owns: what is asked of zei-init, and how its report is shown. Must never: read a configuration itself.

use super::command::{self, Outcome};
use super::place::Place;
use super::{Failure, Output, Patience, json};
use crate::exit;
use crate::paths;
use crate::protocol::changes::{self, Kind, Line, REPORTS};
use crate::protocol::control::{LINE, Token, Verb};
use serde::Serialize;
use std::io::Read as _;
use std::path::{Path, absolute};

/// Room for a token and a verb in a line.
const ROOM: usize = 64;

/// `zei-ctl apply`.
pub(crate) fn apply(place: &Place, dry_run: bool, patience: Patience, as_json: bool) -> Output {
    change(place, Verb::Apply { dry_run }, "", patience, as_json)
}

/// `zei-ctl add`: a file if it looks like one, else a name.
pub(crate) fn add(place: &Place, what: &str, patience: Patience, as_json: bool) -> Result<Output, Failure> {
    let is_file = what.contains('/') || [".yaml", ".yml"].iter().any(|end| what.ends_with(end));
    if !is_file {
        return Ok(change(place, Verb::Add, what, patience, as_json));
    }
    let usage = |why: String| Failure::new(exit::CONFIG, format!("{what}: {why}"));
    let path = absolute(Path::new(what)).map_err(|error| usage(error.to_string()))?;
    let path = path.to_str().filter(|path| !path.contains(|c: char| c.is_control()));
    let path = path.ok_or_else(|| usage("the path is no plain text".to_owned()))?;
    if path.len() + ROOM > LINE {
        return Err(usage(format!("the path is too long; at most {} bytes fit into a command", LINE - ROOM)));
    }
    Ok(change(place, Verb::Add, path, patience, as_json))
}

/// `zei-ctl upgrade`.
pub(crate) fn upgrade(place: &Place, patience: Patience, as_json: bool) -> Output {
    change(place, Verb::Upgrade, "", patience, as_json)
}

/// `zei-ctl forget`.
pub(crate) fn forget(place: &Place, name: &str, patience: Patience, as_json: bool) -> Output {
    change(place, Verb::Forget, name, patience, as_json)
}

#[derive(Serialize)]
struct Told<'a> {
    command: String,
    outcome: &'a str,
    code: u8,
    changes: Vec<Change<'a>>,
    unchanged: Option<u32>,
    problems: Vec<&'a str>,
    text: &'a str,
}

#[derive(Serialize)]
struct Change<'a> {
    service: &'a str,
    change: &'a str,
    keys: &'a [String],
    /// The service along with which it was restarted.
    with: Option<&'a str>,
}

fn change(place: &Place, verb: Verb, argument: &str, patience: Patience, as_json: bool) -> Output {
    let (token, outcome) = command::ask_init(place, verb, argument, patience);
    let (word, code, text) = outcome.told();
    let report = report(place, &token, text);
    let lines = report.as_deref().unwrap_or_default();
    let number = text.strip_prefix("report=").and_then(|rest| rest.split_once(' '));
    let summary = number.map_or(text, |(_, summary)| summary);
    let blank = if argument.is_empty() { "" } else { " " };
    let command = format!("{verb}{blank}{argument}");
    let mut output = Output { code, ..Output::default() };
    if as_json {
        output.out = in_json(command.clone(), word, code, text, lines);
    } else if outcome == Outcome::Accepted {
        output.out = format!("zei: {command} accepted\n");
    } else if code == exit::OK {
        let is_text = verb == Verb::Upgrade || report.is_none();
        output.out = if is_text { format!("{summary}\n") } else { shown(verb, lines) };
    }
    if code != exit::OK {
        let problems: Vec<String> = lines.iter().map(ToString::to_string).collect();
        if problems.is_empty() {
            output.err.push(format!("zei-ctl: {command} failed: {summary}"));
        } else {
            output.err = problems;
            output.err.push(format!("zei-ctl: {command} failed: nothing was changed"));
        }
    }
    output
}

/// What zei-init wrote before it answered; `None` where it had no room for it, or this user may not read it.
fn report(place: &Place, token: &Token, text: &str) -> Option<Vec<Line>> {
    let number = text.split(' ').find_map(|word| word.strip_prefix("report=")?.parse().ok());
    let number = number.filter(|number: &u32| *number < REPORTS)?;
    let mut content = String::new();
    let mut file = place.read(&format!("{}/{}.{number}", paths::INIT, paths::REPORT)).ok()??;
    file.read_to_string(&mut content).ok()?;
    changes::decode(token.as_str(), &content)
}

/// One line for each difference.
fn shown(verb: Verb, lines: &[Line]) -> String {
    let is_worth = |line: &&Line| line.kind != Kind::Unchanged || matches!(verb, Verb::Apply { .. });
    let nothing = if lines.iter().all(|line| line.kind == Kind::Unchanged) { "nothing differs\n" } else { "" };
    let lines: String = lines.iter().filter(is_worth).map(|line| format!("{line}\n")).collect();
    format!("{nothing}{lines}")
}

fn in_json(command: String, outcome: &str, code: u8, text: &str, lines: &[Line]) -> String {
    fn change(line: &Line) -> Option<Change<'_>> {
        let (keys, with) = match line.kind {
            Kind::Problem | Kind::Unchanged => return None,
            Kind::Along => (&[][..], line.words.first().map(String::as_str)),
            _ => (line.words.as_slice(), None),
        };
        Some(Change { service: &line.subject, change: line.kind.word(), keys, with })
    }
    json(&Told {
        command,
        outcome,
        code,
        changes: lines.iter().filter_map(change).collect(),
        unchanged: lines.iter().find(|line| line.kind == Kind::Unchanged).and_then(|line| line.subject.parse().ok()),
        problems: lines.iter().filter(|line| line.kind == Kind::Problem).map(|line| line.subject.as_str()).collect(),
        text,
    })
}
