//! `${NAME}`, `${NAME:-default}`, `${NAME:?message}` in values.
//!
//! Owns: that grammar, which Compose's is a superset of: `$${` is a literal `${`, any other `$` is
//! just a `$`, and what came out is not expanded again. Must never: read the process's environment.

use crate::config::node::{Node, Value};
use crate::config::problem::{Fault, Faults};
use std::ffi::{OsStr, OsString};

/// The variables that values may name.
pub type Environment = [(OsString, OsString)];

/// The value of a variable; the last one, should it be there twice.
pub fn lookup<'a>(environment: &'a Environment, name: &str) -> Option<&'a OsStr> {
    environment.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str())
}

/// Where in a value variables are expanded; never in the keys of maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expansion {
    Nowhere,
    Everywhere,
    /// Everywhere but in commands: the value itself where it is no map, and `command`, `exec`, `shell` and `test` in it.
    AroundCommands,
}

/// Expands the texts of a value.
pub fn expand(node: &mut Node, environment: &Environment, expansion: Expansion) -> Result<(), Faults> {
    let mut faults = Faults::new();
    match expansion {
        Expansion::Nowhere => {}
        Expansion::Everywhere => tree(node, environment, &mut faults),
        Expansion::AroundCommands => around_commands(node, environment, &mut faults),
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn around_commands(node: &mut Node, environment: &Environment, faults: &mut Faults) {
    let Value::Map(members) = &mut node.value else { return };
    for member in members {
        let mut own = Faults::new();
        match member.key.as_str() {
            "command" | "exec" | "shell" => {}
            "test" => around_commands(&mut member.node, environment, &mut own),
            _ => tree(&mut member.node, environment, &mut own),
        }
        faults.extend(own.into_iter().map(|fault| fault.of(&member.key, member.at)));
    }
}

fn tree(node: &mut Node, environment: &Environment, faults: &mut Faults) {
    match &mut node.value {
        Value::Text(value) if value.contains("${") => match text(value, environment) {
            Ok(expanded) => *value = expanded,
            Err(reason) => faults.push(Fault::new(reason).at(node.at)),
        },
        Value::List(nodes) => nodes.iter_mut().for_each(|node| tree(node, environment, faults)),
        Value::Map(members) => members.iter_mut().for_each(|member| tree(&mut member.node, environment, faults)),
        Value::Null | Value::Bool(..) | Value::Number(_) | Value::Text(_) => {}
    }
}

/// Expands one text.
pub fn text(text: &str, environment: &Environment) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = behind;
            continue;
        }
        expanded.push_str(before);
        let (inside, after) = behind
            .split_once('}')
            .ok_or_else(|| format!("\"${{{behind}\" has no closing }}; write $${{ for a literal ${{"))?;
        expanded.push_str(&variable(inside, environment)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn variable(inside: &str, environment: &Environment) -> Result<String, String> {
    let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len());
    let (name, operation) = inside.split_at_checked(end).unwrap_or((inside, ""));
    let malformed = || {
        format!(
            "\"${{{inside}}}\" can't be read; write ${{NAME}}, ${{NAME:-default}} or ${{NAME:?message}}, \
             and $${{ for a literal ${{"
        )
    };
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || operation.contains("${") {
        return Err(malformed());
    }
    let value = match lookup(environment, name).map(OsStr::to_str) {
        Some(None) => return Err(format!("the value of {name} is not UTF-8, so it can't stand here")),
        Some(Some(value)) => value,
        None => "",
    };
    if let Some(default) = operation.strip_prefix(":-") {
        return Ok(if value.is_empty() { default } else { value }.to_owned());
    }
    if let Some(message) = operation.strip_prefix(":?") {
        return match (value, message) {
            ("", "") => Err(format!("{name} must be set in the environment")),
            ("", message) => Err(format!("{name} must be set in the environment: {message}")),
            _ => Ok(value.to_owned()),
        };
    }
    if operation.is_empty() { Ok(value.to_owned()) } else { Err(malformed()) }
}
