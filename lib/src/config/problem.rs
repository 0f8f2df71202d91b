//! What is wrong with a configuration, and where.
//!
//! Owns: the collection of problems while reading, and their final form. Must never: stop at the first.

use crate::config::node::{self, At};
use crate::protocol::sources::{self, Source};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// What the search for lines may cost: some seconds. Only a file with thousands of problems comes to it, or one that
/// multiplies them by aliases. With every check on, the search is ten times slower.
const SEARCH: usize = if cfg!(debug_assertions) { 20_000_000 } else { 200_000_000 };
/// A node costs as much as so many bytes.
const NODE: usize = 8;

/// One thing that is wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file as it was named; empty where no file is to blame.
    pub file: PathBuf,
    /// The line, counted from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// The service it is about.
    pub service: Option<String>,
    /// The key it is about, as it was written.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub text: String,
    /// The word that was probably meant.
    pub near: Option<String>,
}

/// `/etc/zei/zei.yaml:14: service "web": user: no user "wwww" here (did you mean "www"?)`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.as_os_str().is_empty() {
            write!(f, "{}: ", place(&self.file, self.line))?;
        }
        if let Some(service) = &self.service {
            write!(f, "service {service:?}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.text)?;
        match &self.near {
            Some(near) => write!(f, " (did you mean {near:?}?)"),
            None => Ok(()),
        }
    }
}

/// A file and its line; without one, the file as a whole.
fn place(file: &Path, line: usize) -> String {
    match line {
        0 => file.display().to_string(),
        line => format!("{}:{line}", file.display()),
    }
}

/// One thing that is wrong with a value.
#[derive(Debug, Default)]
pub struct Fault {
    /// Where, if that says more than the place of the key.
    pub at: Option<At>,
    /// Which key of the map that the value is, as in `.retries`; empty where the value as a whole is meant.
    pub inside: String,
    pub text: String,
    pub near: Option<String>,
    /// Another place, named at the end of the text.
    pub other: Option<At>,
}

impl Fault {
    pub fn new(text: impl Into<String>) -> Fault {
        Fault { text: text.into(), ..Fault::default() }
    }

    #[must_use]
    pub fn at(self, at: At) -> Fault {
        Fault { at: Some(at), ..self }
    }

    /// It is the fault of this key of a map, which stands there.
    #[must_use]
    pub fn of(self, key: &str, at: At) -> Fault {
        Fault { at: self.at.or(Some(at)), inside: format!(".{key}{}", self.inside), ..self }
    }

    #[must_use]
    pub fn near(self, near: Option<impl Into<String>>) -> Fault {
        Fault { near: near.map(Into::into), ..self }
    }

    #[must_use]
    pub fn other(self, at: At) -> Fault {
        Fault { other: Some(at), ..self }
    }
}

/// All that is wrong with a value.
pub type Faults = Vec<Fault>;

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Faults {
        vec![fault]
    }
}

/// A file of the configuration.
pub struct File {
    pub path: PathBuf,
    pub text: String,
}

/// The files, and all that was found wrong in them so far.
#[derive(Default)]
pub struct Report {
    files: Vec<File>,
    sources: RefCell<Vec<Source>>,
    found: RefCell<Vec<Found>>,
    doubts: RefCell<Vec<Found>>,
}

struct Found {
    at: At,
    line: Option<usize>,
    service: Option<String>,
    key: Option<String>,
    fault: Fault,
}

impl Found {
    fn new(at: At, service: Option<&str>, key: Option<&str>, fault: Fault) -> Found {
        let key = key.map(|key| format!("{key}{}", fault.inside));
        Found { at: fault.at.unwrap_or(at), line: None, service: service.map(str::to_owned), key, fault }
    }
}

impl Report {
    /// Adds a file and gives it its number.
    pub fn file(&mut self, path: &Path, text: String) -> usize {
        self.files.push(File { path: path.to_owned(), text });
        self.files.len() - 1
    }

    /// Notes what was found at a path that the configuration is read from, each path once.
    pub fn source(&self, path: &Path, found: sources::Found) {
        let mut sources = self.sources.borrow_mut();
        if sources.iter().all(|source| source.path != path) {
            sources.push(Source { path: path.to_owned(), found });
        }
    }

    /// All that was noted so.
    pub fn sources(&self) -> Vec<Source> {
        self.sources.borrow().clone()
    }

    /// The files so far, by number.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The name of a file.
    pub fn path(&self, file: usize) -> &Path {
        self.files.get(file).map_or(Path::new(""), |file| &file.path)
    }

    /// Something is wrong with a key of a service.
    pub fn fault(&self, at: At, service: Option<&str>, key: Option<&str>, fault: Fault) {
        self.found.borrow_mut().push(Found::new(at, service, key, fault));
    }

    /// Something may be wrong with a key of a service: it is told, and nothing more.
    pub fn doubt(&self, at: At, service: Option<&str>, key: Option<&str>, fault: Fault) {
        self.doubts.borrow_mut().push(Found::new(at, service, key, fault));
    }

    /// Something is wrong with a file as a whole, or at a line of it.
    pub fn file_fault(&self, file: usize, line: usize, text: String) {
        let (at, fault) = (At { file, id: 0 }, Fault::new(text));
        self.found.borrow_mut().push(Found { at, line: Some(line), service: None, key: None, fault });
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Everything that is wrong, with lines, in the order of files and lines.
    pub fn problems(&self) -> Vec<Problem> {
        self.told(&self.found.borrow())
    }

    /// The same for what may be wrong.
    pub fn warnings(&self) -> Vec<Problem> {
        self.told(&self.doubts.borrow())
    }

    fn told(&self, found: &[Found]) -> Vec<Problem> {
        let mut lines = BTreeMap::new();
        let mut spent = 0;
        let mut line = |at: At, spent: &mut usize| {
            let text = self.files.get(at.file).map_or("", |file| &file.text);
            *lines.entry(at).or_insert_with(|| {
                *spent += text.len() + NODE * at.id;
                node::line(text, at.id)
            })
        };
        let mut problems: Vec<(usize, Problem)> = Vec::new();
        let mut said = BTreeSet::new();
        let mut untold = 0;
        for Found { at, line: known, service, key, fault } in found {
            if spent > SEARCH {
                untold += 1;
                continue;
            }
            let mut text = fault.text.clone();
            if let Some(other) = fault.other {
                text.push_str(&format!(" {}", place(self.path(other.file), line(other, &mut spent))));
            }
            let problem = Problem {
                file: self.path(at.file).to_owned(),
                line: known.unwrap_or_else(|| line(*at, &mut spent)),
                service: service.clone(),
                key: key.clone(),
                text,
                near: fault.near.clone(),
            };
            // What is wrong in `defaults` was found once for each service.
            if said.insert((*at, problem.to_string())) {
                problems.push((at.file, problem));
            }
        }
        problems.sort_by_key(|(file, problem)| (*file, problem.line));
        let mut problems: Vec<Problem> = problems.into_iter().map(|(_, problem)| problem).collect();
        if let (Some(last), true) = (problems.last(), untold > 0) {
            let text = format!("and {untold} more, which are told when these are dealt with");
            problems.push(Problem { line: 0, service: None, key: None, text, near: None, ..last.clone() });
        }
        problems
    }
}
