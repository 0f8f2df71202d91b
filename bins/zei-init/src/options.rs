//! The command line of zei-init, which understands what tini and dumb-init understand.
//!
//! Owns: how words are read. Must never: look at anything but arguments and environment.

use crate::table::{Meaning, Row, TABLE, help};
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use zei::run::{command, init};
use zei::sys::raw::Arguments;
use zei::{near, paths, signal};

pub const NOTHING_TO_RUN: &str = "nothing to run: there is neither a command nor a configuration: \
    write /etc/zei/zei.yaml, or name a file with -c PATH, or use zei-init -- COMMAND [ARGS...]";

/// What the command line asks for.
pub enum Request {
    Print(String),
    Doctor { json: bool },
    Run { tree: init::Options, single: command::Options, command: Vec<&'static CStr> },
    Wrong(String),
}

/// Reads them; options end at the first word that is none, so all that follows belongs to the command.
pub fn parse(arguments: &Arguments, variable: impl Fn(&str) -> Option<OsString>) -> Request {
    let words: Vec<&'static CStr> = (1..).map_while(|index| arguments.bytes(index)).collect();
    if let Some((first, rest)) = words.split_first()
        && first.to_bytes() == DOCTOR.as_bytes()
    {
        return doctor(rest);
    }
    let mut parser = Parser::new(&words, variable);
    match parser.options() {
        Ok(None) => {
            let command = parser.rest.to_vec();
            let texts = command.iter().map(|word| OsStr::from_bytes(word.to_bytes()).to_os_string());
            let tree = init::Options { config: parser.config, command: texts.collect() };
            Request::Run { tree, single: parser.single, command }
        }
        Ok(Some(text)) => Request::Print(text),
        Err(problem) => Request::Wrong(problem),
    }
}

/// The only verb, and only as the very first word; behind an option or `--` it is a command.
const DOCTOR: &str = "doctor";

fn doctor(words: &[&CStr]) -> Request {
    match words {
        [] => Request::Doctor { json: false },
        [json] if json.to_bytes() == b"--json" => Request::Doctor { json: true },
        _ => Request::Wrong(format!(
            "{DOCTOR} takes --json and nothing else; to run a command of this name: zei-init -- {DOCTOR} [ARGS...]"
        )),
    }
}

struct Parser<'a> {
    rest: &'a [&'static CStr],
    single: command::Options,
    config: Vec<PathBuf>,
    config_named: bool,
}

impl<'a> Parser<'a> {
    fn new(words: &'a [&'static CStr], variable: impl Fn(&str) -> Option<OsString>) -> Parser<'a> {
        let is = |name, value: &str| variable(name).is_some_and(|found| found == value);
        // What is no number counts as 0, as it does with tini.
        let number = |text: OsString| text.to_str().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let defaults = command::Options::default();
        let verbosity = variable("TINI_VERBOSITY").map_or(defaults.verbosity, number);
        let single = command::Options {
            subreaper: variable("TINI_SUBREAPER").is_some(),
            group: variable("TINI_KILL_PROCESS_GROUP").is_some() && !is("DUMB_INIT_SETSID", "0"),
            verbosity: verbosity.saturating_add(if is("DUMB_INIT_DEBUG", "1") { 2 } else { 0 }),
            ..defaults
        };
        let listed = variable(paths::CONFIG_VARIABLE).unwrap_or_default();
        let listed = listed.as_bytes().split(|byte| *byte == b':').filter(|path| !path.is_empty());
        let config = listed.map(|path| PathBuf::from(OsStr::from_bytes(path))).collect();
        Parser { rest: words, single, config, config_named: false }
    }

    fn next(&mut self) -> Option<&'static CStr> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// `Some`: a text that was asked for.
    fn options(&mut self) -> Result<Option<String>, String> {
        while let Some(word) = self.rest.first().copied().map(CStr::to_bytes) {
            let letters = match word {
                b"--" => {
                    self.next();
                    break;
                }
                [b'-', b'-', long @ ..] => {
                    self.next();
                    if let Some(text) = self.long(long)? {
                        return Ok(Some(text));
                    }
                    continue;
                }
                [b'-', letters @ ..] if !letters.is_empty() => letters,
                _ => break,
            };
            self.next();
            if let Some(text) = self.cluster(letters)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// `rewrite=A:B`, `help`.
    fn long(&mut self, word: &[u8]) -> Result<Option<String>, String> {
        let mut halves = word.splitn(2, |byte| *byte == b'=');
        let name = String::from_utf8_lossy(halves.next().unwrap_or_default()).into_owned();
        let attached = halves.next();
        let Some(row) = TABLE.iter().find(|row| row.2 == Some(&name)) else {
            let near = near::nearest(&name, TABLE.iter().filter_map(|row| row.2));
            let hint = near.map_or(String::new(), |word| format!(" (did you mean --{word}?)"));
            return Err(format!("unknown option --{name}{hint}"));
        };
        match attached {
            Some(_) if row.3.is_none() => Err(format!("option --{name} takes no value")),
            _ => self.apply(row, &format!("--{name}"), attached),
        }
    }

    /// `-gv`, `-e143`, `-e 143`.
    fn cluster(&mut self, mut letters: &[u8]) -> Result<Option<String>, String> {
        while let [letter, rest @ ..] = letters {
            let shown = format!("-{}", letter.escape_ascii());
            let row = TABLE.iter().find(|row| row.1 == Some(*letter));
            let row = row.ok_or_else(|| format!("unknown option {shown}"))?;
            letters = if row.3.is_some() { &[] } else { rest };
            let attached = (row.3.is_some() && !rest.is_empty()).then_some(rest);
            if let Some(text) = self.apply(row, &shown, attached)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    fn apply(&mut self, row: &Row, shown: &str, attached: Option<&[u8]>) -> Result<Option<String>, String> {
        let Row(meaning, _, _, name, _) = row;
        let value = match (name, attached) {
            (None, _) => &[],
            (Some(_), Some(value)) => value,
            (Some(name), None) => self.next().map(CStr::to_bytes).ok_or(format!("option {shown} needs {name}"))?,
        };
        let text = String::from_utf8_lossy(value);
        match meaning {
            Meaning::Config => {
                // The command line is read alone, without what the environment lists.
                if !std::mem::replace(&mut self.config_named, true) {
                    self.config.clear();
                }
                self.config.push(PathBuf::from(OsStr::from_bytes(value)));
            }
            Meaning::Group => self.single.group = true,
            Meaning::SingleChild => self.single.group = false,
            Meaning::Subreaper => self.single.subreaper = true,
            Meaning::Warn => self.single.warn_on_reap = true,
            Meaning::Verbose => self.single.verbosity = self.single.verbosity.saturating_add(1),
            Meaning::Remap => {
                let code =
                    text.parse().map_err(|_| format!("{shown} {text}: an exit code is a number from 0 to 255"))?;
                self.single.remap.push(code);
            }
            Meaning::ParentDeath => self.single.parent_death = Some(signal_of(&text).map_err(explain(shown, &text))?),
            Meaning::Rewrite => self.single.rewrite.push(rule(&text).map_err(explain(shown, &text))?),
            Meaning::License => return Ok(Some(String::from(include_str!("../../../LICENSE")))),
            Meaning::Help => return Ok(Some(help())),
            Meaning::Version => return Ok(Some(format!("zei-init {}\n", env!("CARGO_PKG_VERSION")))),
        }
        Ok(None)
    }
}

fn explain(shown: &str, value: &str) -> impl Fn(String) -> String {
    move |problem| format!("{shown} {value}: {problem}")
}

fn signal_of(text: &str) -> Result<u8, String> {
    let near = || near::nearest(text.trim_start_matches("SIG"), signal::TABLE.iter().map(|(_, name)| *name));
    signal::parse(text).ok_or_else(|| match near() {
        Some(name) => format!("{text:?} is no signal; did you mean {name}?"),
        None => format!("{text:?} is no signal; one is TERM, SIGTERM, 15, RTMIN+3"),
    })
}

fn rule(text: &str) -> Result<(u8, u8), String> {
    let (from, to) = text.split_once(':').ok_or_else(|| String::from("it must be A:B, such as TERM:QUIT or 15:3"))?;
    let from = signal_of(from)?;
    if command::NOT_FORWARDED.contains(from) {
        return Err(format!("{} is never forwarded, so nothing can be sent in its place", signal::Name(from)));
    }
    Ok((from, if to == "0" { 0 } else { signal_of(to)? }))
}
