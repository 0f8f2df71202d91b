//! Single values: numbers, durations, signals, words, paths.
//!
//! Owns: what each kind of value may look like and the sentence that says so. Must never: know which
//! key a value belongs to.

use crate::config::node::{Node, Value};
use crate::config::problem::{Fault, Faults};
use crate::model::time::Span;
use crate::near::nearest;
use crate::signal;
use std::ffi::CString;

/// A text; a number or a boolean counts as the text it was written as.
pub fn text(node: &Node) -> Result<&str, Fault> {
    match node.text() {
        Some("") => Err(Fault::new("is empty")),
        Some(text) => Ok(text),
        None => Err(Fault::new(format!("must be a text, not {}", node.kind()))),
    }
}

/// A text without NUL bytes, as the kernel takes it.
pub fn c_text(node: &Node) -> Result<CString, Fault> {
    c_string(text(node)?)
}

/// The same for something already read.
pub fn c_string(text: impl Into<Vec<u8>>) -> Result<CString, Fault> {
    CString::new(text).map_err(|_| Fault::new("holds a NUL byte, which no program can be given"))
}

/// One of a few words.
pub fn word<T: Copy>(node: &Node, words: &[(&str, T)]) -> Result<T, Fault> {
    let text = text(node)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Err(Fault::new(format!("{text:?} is none of {}", known.join(", "))).near(nearest(text, known)))
}

/// `true` or `false`; also the words that YAML 1.1 has for them, and texts that `${NAME}` became.
pub fn boolean(node: &Node) -> Result<bool, Fault> {
    match node.text().map(str::to_ascii_lowercase).as_deref() {
        Some("true" | "yes" | "on") => Ok(true),
        Some("false" | "no" | "off") => Ok(false),
        Some(_) => Err(Fault::new(format!("{:?} is neither true nor false", node.text().unwrap_or_default()))),
        None => Err(Fault::new(format!("must be true or false, not {}", node.kind()))),
    }
}

/// A whole number from 0.
pub fn count(node: &Node) -> Result<u32, Fault> {
    let text = text(node)?;
    number(text).ok_or_else(|| Fault::new(format!("{text:?} is no whole number from 0 to {}", u32::MAX)))
}

/// Digits and nothing else (`parse` alone would take a sign).
pub fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A file mode mask: octal digits, with or without a leading `0` or `0o`, at most 777.
pub fn umask(node: &Node) -> Result<u32, Fault> {
    let text = text(node)?;
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mask =
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { u32::from_str_radix(digits, 8).ok() } else { None };
    mask.filter(|mask| *mask <= 0o777)
        .ok_or_else(|| Fault::new(format!("{text:?} is no mask; write octal digits up to 0777, as in 0022")))
}

/// A duration: humantime's grammar (`500ms`, `5s`, `1h 30m`), or a bare number of seconds.
pub fn span(node: &Node) -> Result<Span, Fault> {
    duration(text(node)?)
}

/// A duration that takes some time.
pub fn some_time(node: &Node) -> Result<Span, Fault> {
    match span(node)? {
        Span(0) => Err(Fault::new("must be longer than 0")),
        span => Ok(span),
    }
}

fn duration(text: &str) -> Result<Span, Fault> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(Fault::new(format!("{text:?} is negative; a duration can't be")));
    }
    if let Some(span) = seconds(text) {
        return Ok(span);
    }
    match humantime::parse_duration(text) {
        // Rounded up: what is not nothing must not become nothing.
        Ok(duration) => Ok(Span(u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))),
        Err(humantime::DurationError::NumberOverflow) => {
            Err(Fault::new(format!("{text:?} is longer than any duration can be")))
        }
        Err(_) => Err(Fault::new(format!(
            "{text:?} is no duration; write 500ms, 5s, 2m, 1h or 1h30m, or a number of seconds"
        ))),
    }
}

/// `5` or `0.5`; saturates.
fn seconds(text: &str) -> Option<Span> {
    thousandths(text).map(Span)
}

/// `5` or `0.5`, in thousandths, rounded up; saturates.
pub fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !(digits(whole) && digits(fraction)) || fraction.is_empty() || text.is_empty() {
        return None;
    }
    // Only overflow can fail here, and that much is for ever. The empty part of `.5` is zero.
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u64::MAX) };
    let three: String = fraction.chars().chain("000".chars()).take(3).collect();
    let rest = fraction.bytes().skip(3).any(|digit| digit != b'0');
    let behind = three.parse::<u64>().unwrap_or(0) + u64::from(rest);
    Some(whole.saturating_mul(1000).saturating_add(behind))
}

/// A signal by name or number.
pub fn signal(node: &Node) -> Result<u8, Fault> {
    signal_named(text(node)?)
}

/// The same for a text.
pub fn signal_named(text: &str) -> Result<u8, Fault> {
    signal::parse(text).ok_or_else(|| {
        let bare = text.to_ascii_uppercase();
        let bare = bare.strip_prefix("SIG").unwrap_or(&bare);
        Fault::new(format!("{text:?} is no signal; write TERM, SIGTERM, 15 or RTMIN+3"))
            .near(nearest(bare, signal::TABLE.iter().map(|(_, name)| *name)))
    })
}

/// A list of signals; one alone may stand without a list, and nothing means none.
pub fn signals(node: &Node) -> Result<signal::Set, Faults> {
    let mut set = signal::Set::EMPTY;
    let mut faults = Faults::new();
    for item in items(node) {
        match signal(item) {
            Ok(number @ (signal::KILL | signal::STOP)) => {
                let text = format!("{} can't be caught, so zei-init never gets it to forward", signal::Name(number));
                faults.push(Fault::new(text).at(item.at));
            }
            Ok(number) => set = set.with(number),
            Err(fault) => faults.push(fault.at(item.at)),
        }
    }
    if faults.is_empty() { Ok(set) } else { Err(faults) }
}

/// The items of a list; a single value counts as a list of one, null as an empty one.
pub fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::Null => &[],
        Value::List(nodes) => nodes,
        _ => std::slice::from_ref(node),
    }
}

/// A list of texts; one alone may stand without a list.
pub fn texts(node: &Node) -> Result<Vec<String>, Faults> {
    let mut texts = Vec::new();
    let mut faults = Faults::new();
    for item in items(node) {
        match text(item) {
            Ok(text) => texts.push(text.to_owned()),
            Err(fault) => faults.push(fault.at(item.at)),
        }
    }
    if faults.is_empty() { Ok(texts) } else { Err(faults) }
}

/// A command: a list as it is, a string split by shell quoting rules.
pub fn command(node: &Node) -> Result<Vec<CString>, Faults> {
    let words = match &node.value {
        Value::List(nodes) => {
            let word = |item: &Node| match item.text() {
                Some(text) => c_string(text).map_err(|fault| fault.at(item.at)),
                None => Err(Fault::new(format!("an argument must be a text, not {}", item.kind())).at(item.at)),
            };
            let (words, faults): (Vec<_>, Vec<_>) = nodes.iter().map(word).partition(Result::is_ok);
            if !faults.is_empty() {
                return Err(faults.into_iter().filter_map(Result::err).collect());
            }
            words.into_iter().flatten().collect()
        }
        _ => {
            let text = text(node)?;
            let words = shell_words::split(text)
                .map_err(|_| Fault::new("has a quote that is never closed; to run a script, write it as shell"))?;
            words.into_iter().map(c_string).collect::<Result<Vec<CString>, Fault>>()?
        }
    };
    match words.first() {
        Some(program) if !program.is_empty() => Ok(words),
        _ => Err(Fault::new("names no program").into()),
    }
}

/// A shell text as the command it stands for.
pub fn shell(node: &Node) -> Result<Vec<CString>, Fault> {
    let text = text(node)?;
    if text.trim().is_empty() {
        return Err(Fault::new("is empty"));
    }
    Ok(vec![c"/bin/sh".into(), c"-c".into(), c_string(text)?])
}
