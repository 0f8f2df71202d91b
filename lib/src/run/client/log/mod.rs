//! `log`: the kept output of services, and what is added to it.
//!
//! Owns: whose output is shown, from where on, and until when. Must never: wait for more while there is something to
//! show, or end a follower for one service's sake.

mod ear;
mod lines;
mod show;
mod source;

use super::events::Since;
use super::names::{self, Scope};
use super::place::Place;
use super::{Failure, Output, put_bytes, report};
use crate::exit;
use crate::model::time::Span;
use crate::name::ServiceName;
use crate::protocol::log::Stream;
use crate::signal;
use crate::sys::{clock, raw};
use ear::{Ear, Heard, Vigil};
use lines::{Line, Merge};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use show::Form;
use source::Source;
use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};

/// So many lines of each service a follower begins with, where nobody says how many.
const FOLLOWED: usize = 10;
/// About so much is written at once.
const BATCH: usize = 64 * 1024;

/// What `zei-ctl log` is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Whose; none named means all that keep a log.
    pub services: Vec<String>,
    /// Goes on with what comes, until zei ends.
    pub follow: bool,
    /// Only so many lines of each service, the last ones.
    pub lines: Option<usize>,
    /// Only what came since.
    pub since: Option<Since>,
    /// Only one of `out` and `err`.
    pub stream: Option<Stream>,
    /// The time before each line.
    pub timestamps: bool,
}

/// `zei-ctl log`. Writes as it goes, so that nothing is left for the output but the code.
pub(crate) fn log(place: &Place, kept: &Kept, as_json: bool) -> Result<Output, Failure> {
    // One file of each service is open; where that is too many, opening says so.
    let _as_it_is =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    let (mut vigil, mut ear) = (None, None);
    if kept.follow {
        // A shell's job in the background ignores it, and goes on doing so.
        if !raw::ignored().contains(signal::INT) {
            raw::end_well_on(signal::INT).map_err(|errno| Failure::new(exit::SYSTEM, errno.desc()))?;
        }
        vigil = Vigil::begin(place);
        ear = vigil.as_ref().map(|_| Ear::open(place));
    }
    let mut session = Session::begin(place, kept, as_json, ear)?;
    if session.sources.is_empty() && session.ear.is_none() {
        session.nothing();
    }
    let readers = match vigil {
        Some(vigil) => session.follow(vigil)?,
        None => session.show_all()?,
    };
    if readers {
        session.sources.iter_mut().for_each(Source::end);
        session.wake_all();
        session.show_all()?;
    }
    Ok(Output { code: session.code, ..Output::default() })
}

/// The services that are shown, and how far that has come.
struct Session<'a> {
    place: &'a Place,
    kept: &'a Kept,
    /// What came before is of no interest, in milliseconds since 1970.
    since: u64,
    form: Form,
    ear: Option<Ear<'a>>,
    sources: Vec<Source<'a>>,
    merge: Merge,
    /// Which of them may have something to tell.
    awake: BTreeSet<usize>,
    /// Those that can't be shown, which has been said.
    refused: Vec<ServiceName>,
    code: u8,
}

impl<'a> Session<'a> {
    fn begin(place: &'a Place, kept: &'a Kept, as_json: bool, ear: Option<Ear<'a>>) -> Result<Session<'a>, Failure> {
        let form =
            Form { json: as_json, timestamps: kept.timestamps, names: None, terminal: io::stdout().is_terminal() };
        let since = match kept.since {
            None => 0,
            Some(Since::Ago(span)) => clock::wall().saturating_sub(span.0),
            Some(Since::At(time)) => time,
        };
        let mut session = Session {
            place,
            kept,
            since,
            form,
            ear,
            sources: Vec::new(),
            merge: Merge::default(),
            awake: BTreeSet::new(),
            refused: Vec::new(),
            code: exit::OK,
        };
        let chosen = match kept.services.as_slice() {
            [] => (place.services().all)()?,
            words => names::select(&place.services(), words, Scope::Everything)?,
        };
        let first = if kept.follow && kept.since.is_none() { Some(FOLLOWED) } else { None };
        for name in chosen {
            session.add(name, kept.lines.or(first));
        }
        session.align();
        Ok(session)
    }

    /// Takes a service in; of what is there already only the last `lines`.
    fn add(&mut self, name: ServiceName, lines: Option<usize>) {
        // Before its files are looked at, so that nothing comes in between.
        self.ear.iter_mut().for_each(|ear| ear.listen(name));
        if let Some(known) = self.sources.iter().position(|source| source.name == name) {
            self.awake.insert(known);
            return;
        }
        if self.refused.contains(&name) {
            return;
        }
        let is_named = self.kept.services.iter().any(|word| word == name.as_str());
        let mut source = match Source::open(self.place, name, self.ear.is_some()) {
            Ok(source) if source.is_kept() => source,
            Ok(_) if is_named => {
                let failure = Failure::new(exit::NOT_TRUE, format!("{name} keeps no log: {NOT_KEPT}"));
                return self.refuse(name, &failure);
            }
            // It may keep one yet.
            Ok(source) if self.ear.is_some() => source,
            Ok(_) => return,
            Err(failure) => return self.refuse(name, &failure),
        };
        if let Some(lines) = lines {
            let skipped = source.skip_to_last(lines, |line| is_wanted(self.kept, self.since, line));
            if let Err(failure) = skipped {
                return self.refuse(name, &failure);
            }
        }
        self.awake.insert(self.sources.len());
        self.sources.push(source);
    }

    /// Names stand before lines where there are, or may be, several.
    fn align(&mut self) {
        let several = self.sources.len() > 1 || (self.ear.is_some() && self.is_open_ended());
        let width = self.sources.iter().map(|source| source.name.as_str().len()).max();
        self.form.names = several.then_some(width.unwrap_or(0));
    }

    /// Whether services that come later are shown, too.
    fn is_open_ended(&self) -> bool {
        self.kept.services.is_empty() || self.kept.services.iter().any(|word| names::is_pattern(word))
    }

    fn nothing(&mut self) {
        if self.code == exit::OK {
            let message = match self.kept.services.as_slice() {
                [] => format!("no service keeps a log: {NOT_KEPT}"),
                _ => format!("none of these services keeps a log: {NOT_KEPT}"),
            };
            self.fail(&Failure::new(exit::NOT_TRUE, message));
        }
    }

    fn refuse(&mut self, name: ServiceName, failure: &Failure) {
        self.refused.push(name);
        self.fail(failure);
    }

    /// Tells a failure at once; the first one's code is the program's.
    fn fail(&mut self, failure: &Failure) {
        if self.code == exit::OK {
            self.code = failure.code;
        }
        report("", &format!("zei-ctl: {}", failure.message), failure.code);
    }

    fn wake_all(&mut self) {
        self.awake.extend(0..self.sources.len());
    }

    /// Shows all that is there; `false`: nobody reads it any more.
    fn show_all(&mut self) -> Result<bool, Failure> {
        loop {
            let (more, readers) = self.show_some()?;
            if !more || !readers {
                return Ok(readers);
            }
        }
    }

    /// Shows a part of what is there. Whether there is more, and whether anybody reads it.
    fn show_some(&mut self) -> Result<(bool, bool), Failure> {
        for index in std::mem::take(&mut self.awake) {
            if !self.merge.has(index) {
                self.pull(index);
            }
        }
        let mut out = Vec::new();
        while out.len() < BATCH {
            let Some((index, line)) = self.merge.pop() else { break };
            if let Some(source) = self.sources.get(index) {
                self.form.write(&mut out, source.name.as_str(), &line);
            }
            self.pull(index);
        }
        let readers = put_bytes(&out)?;
        Ok((!self.merge.is_empty(), readers))
    }

    /// Fetches a service's next line that is wanted.
    fn pull(&mut self, index: usize) {
        let Some(source) = self.sources.get_mut(index) else { return };
        let (kept, since) = (self.kept, self.since);
        let found = loop {
            match source.next() {
                Ok(Some(line)) if !is_wanted(kept, since, &line) => {}
                found => break found,
            }
        };
        let (name, missed) = (source.name, source.take_missed());
        if missed {
            let message =
                "some of its output may be missing here: its log was replaced more than once before it was read";
            report("", &format!("zei-ctl: {name}: {message}"), exit::OK);
        }
        match found {
            Ok(Some(line)) => self.merge.push(index, line),
            Ok(None) => {}
            Err(failure) => {
                source.close();
                self.fail(&failure);
            }
        }
    }

    /// Shows what comes until zei ends; `false`: nobody reads it any more.
    fn follow(&mut self, mut vigil: Vigil) -> Result<bool, Failure> {
        if self.sources.is_empty() && !self.is_open_ended() {
            return Ok(false);
        }
        loop {
            let (more, readers) = self.show_some()?;
            if !readers {
                return Ok(false);
            }
            if !more && vigil.is_over(self.place) {
                return Ok(true);
            }
            if let Some(ear) = &self.ear {
                ear.wait(&mut vigil, more.then_some(Span(0)));
            }
            let heard = self.ear.as_mut().map(Ear::heard).unwrap_or_default();
            heard.into_iter().for_each(|what| self.hear(what));
        }
    }

    fn hear(&mut self, what: Heard) {
        match what {
            Heard::Log(name) => {
                self.awake.extend(self.sources.iter().position(|source| source.name == name));
            }
            Heard::Service(name) => self.meet(&[name]),
            Heard::Anything => {
                self.wake_all();
                // What can't be listed now is looked at the next time.
                let names = (self.place.services().all)().unwrap_or_default();
                let new = |name: &ServiceName| self.sources.iter().all(|source| source.name != *name);
                let names: Vec<ServiceName> = names.into_iter().filter(new).collect();
                self.meet(&names);
            }
        }
    }

    /// Takes those in that are asked for.
    fn meet(&mut self, names: &[ServiceName]) {
        for name in names {
            let is_known = self.sources.iter().any(|source| source.name == *name);
            if is_known || self.kept.services.is_empty() || names::is_meant(&self.kept.services, name) {
                self.add(*name, None);
            }
        }
        self.align();
    }
}

/// Why a service has none, and what to do.
const NOT_KEPT: &str =
    "its output goes where stdout and stderr say, unread; `log: prefix` in its configuration has it kept";

fn is_wanted(kept: &Kept, since: u64, line: &Line) -> bool {
    line.at >= since && kept.stream.is_none_or(|stream| stream == line.stream)
}
