//! The variables that a service gets beside the container's own.
//!
//! Owns: `environment`, `env_file` and their order. Must never: read the process's environment.

use crate::config::expand;
use crate::config::keys::Id;
use crate::config::node::{Node, Value};
use crate::config::problem::{Fault, Faults};
use crate::config::service::Scope;
use crate::config::values;
use crate::model::users::UserEntry;
use crate::protocol::sources::{Found, hash};
use std::ffi::CString;
use std::path::Path;

/// `KEY=VALUE` in the order they apply: those that follow another user, `env_file`, `environment`.
pub fn read(scope: &Scope, user: Option<UserEntry>) -> Vec<CString> {
    let mut variables: Vec<CString> = user.map_or(Vec::new(), of_user);
    variables.extend(scope.read(Id::EnvFile, |node| files(scope, node)).unwrap_or_default());
    if let Some(entry) = scope.section.entry(Id::Environment) {
        for node in &entry.nodes {
            match environment(scope, node) {
                Ok(more) => variables.extend(more),
                Err(faults) => faults.into_iter().for_each(|fault| scope.fault(entry, fault)),
            }
        }
    }
    variables
}

/// HOME, USER, LOGNAME, SHELL. A number without entry has the home that Docker gives it, and no name
/// but its number.
fn of_user(user: UserEntry) -> Vec<CString> {
    let or = |text: Option<String>, other: &str| text.filter(|text| !text.is_empty()).unwrap_or_else(|| other.into());
    let name = or(user.name, &user.uid.to_string());
    let (home, shell) = (or(user.home, "/"), or(user.shell, "/bin/sh"));
    let variables =
        [format!("HOME={home}"), format!("USER={name}"), format!("LOGNAME={name}"), format!("SHELL={shell}")];
    // A line of /etc/passwd with a NUL byte in it is no entry.
    variables.into_iter().filter_map(|variable| CString::new(variable).ok()).collect()
}

/// A map `K: value` or a list of `K=value`. A key alone takes the container's value, if there is one.
fn environment(scope: &Scope, node: &Node) -> Result<Vec<CString>, Faults> {
    let mut variables = Vec::new();
    let mut faults = Faults::new();
    let mut add = |at, variable: Result<Option<CString>, Fault>| match variable {
        Ok(variable) => variables.extend(variable),
        Err(fault) => faults.push(fault.at(at)),
    };
    match &node.value {
        Value::Map(members) => {
            for member in members {
                let value = match (&member.node.value, member.node.text()) {
                    (Value::Null, _) => variable(scope, &member.key, None),
                    (_, Some(value)) => variable(scope, &member.key, Some(value.as_bytes())),
                    _ => Err(Fault::new(format!("{}: must be a text, not {}", member.key, member.node.kind()))),
                };
                add(member.at, value);
            }
        }
        Value::List(nodes) => {
            for node in nodes {
                let line = values::text(node).map(|text| match text.split_once('=') {
                    Some((key, value)) => (key, Some(value.as_bytes())),
                    None => (text, None),
                });
                add(node.at, line.and_then(|(key, value)| variable(scope, key, value)));
            }
        }
        Value::Null => {}
        _ => return Err(Fault::new(format!("must be a map or a list of K=V, not {}", node.kind())).into()),
    }
    if faults.is_empty() { Ok(variables) } else { Err(faults) }
}

fn variable(scope: &Scope, key: &str, value: Option<&[u8]>) -> Result<Option<CString>, Fault> {
    if key.is_empty() || key.contains('=') || key.contains(char::is_whitespace) {
        return Err(Fault::new(format!("{key:?} is no name of a variable")));
    }
    let own = || expand::lookup(scope.context.environment, key).map(|value| value.as_encoded_bytes());
    match value.or_else(own) {
        None => Ok(None),
        Some(value) => values::c_string([key.as_bytes(), b"=", value].concat()).map(Some),
    }
}

fn files(scope: &Scope, node: &Node) -> Result<Vec<CString>, Faults> {
    let mut variables = Vec::new();
    let mut faults = Faults::new();
    for item in values::items(node) {
        // As in Compose, from where the file that names it lies.
        let folder = scope.report.path(item.at.file).parent().unwrap_or(Path::new(""));
        let read = values::text(item).map_err(Faults::from).and_then(|path| file(scope, &folder.join(path)));
        match read {
            Ok(more) => variables.extend(more),
            Err(more) => faults.extend(more.into_iter().map(|fault| fault.at(item.at))),
        }
    }
    if faults.is_empty() { Ok(variables) } else { Err(faults) }
}

/// A file as `docker run --env-file` reads it: lines `KEY=VALUE`, `KEY` alone for the container's
/// value, `#` for a comment; no quotes, nothing expanded, any bytes but NUL.
fn file(scope: &Scope, path: &Path) -> Result<Vec<CString>, Faults> {
    let bytes = crate::config::files::contents(path)
        .map_err(|error| Fault::new(format!("can't read {}: {error}", path.display())))?;
    scope.report.source(path, Found::File(hash(&bytes)));
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut variables = Vec::new();
    let mut faults = Faults::new();
    for (number, line) in (1usize..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == b'=');
        let key = String::from_utf8_lossy(parts.next().unwrap_or_default());
        match variable(scope, &key, parts.next()) {
            Ok(variable) => variables.extend(variable),
            Err(fault) => faults.push(Fault::new(format!("{}:{number}: {}", path.display(), fault.text))),
        }
    }
    if faults.is_empty() { Ok(variables) } else { Err(faults) }
}
