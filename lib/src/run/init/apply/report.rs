//! What a change has found, for whoever has asked for it, and for those who look at the container's output.
//!
//! Owns: the reports, and the list of what the configuration was read from. Must never: wait for a reader.

use super::{Answer, Asked, Refused};
use crate::model::definition::Definitions;
use crate::paths;
use crate::protocol::changes::{self, Kind, Line, REPORTS};
use crate::protocol::control::Progress;
use crate::protocol::sources;
use crate::run::init::tree::Running;
use crate::sys::memfd;
use crate::text::{self, Text};

/// So many lines of a report are said on standard error.
const SAID: usize = 20;

impl Running {
    /// Tells clients what the configuration was read from.
    pub(in crate::run::init) fn tell_sources(&self) {
        let Some(place) = &self.place else { return };
        let written = memfd::read_all(self.shared.plan()).and_then(|plan| {
            place.write_private(paths::NEW_SOURCES, None, &sources::encode(&Definitions(&plan).sources()))?;
            place.rename(paths::NEW_SOURCES, paths::SOURCES)
        });
        if let Err(errno) = written {
            self.say(format_args!("cannot tell what the configuration was read from: {}", errno.desc()));
        }
    }

    /// Nothing was changed, and why.
    pub(super) fn fail(&mut self, asked: &Asked, refused: &Refused) {
        let Refused(code, messages) = refused;
        let lines: Vec<Line> = messages.iter().map(|message| Line::new(Kind::Problem, message.as_str())).collect();
        if asked.answer.is_none() {
            self.say_lines(&lines);
            self.say(format_args!("nothing was changed"));
        }
        let first = messages.first().map_or("", String::as_str);
        let text = self.report(asked, &lines, first);
        self.finish(asked, Progress::Failed(*code), text);
    }

    /// Writes a report for whoever waits for one. What is said in the answer: the number, and as much as fits.
    pub(super) fn report(&mut self, asked: &Asked, lines: &[Line], summary: &str) -> Text<112> {
        let (Some(Answer { token, .. }), Some(place)) = (asked.answer, &self.place) else { return Text::new() };
        let number = self.changes.reports % REPORTS;
        self.changes.reports = self.changes.reports.wrapping_add(1);
        let name = text::format::<32>(format_args!("{}.{number}", paths::REPORT));
        // Whoever may ask may read what comes of it.
        let group = self.run_dir.as_ref().and_then(|run_dir| run_dir.group);
        match place.write_for_starter(name.as_str(), group, changes::encode(token.as_str(), lines).as_bytes()) {
            Ok(()) => text::format(format_args!("report={number} {summary}")),
            Err(errno) => {
                self.say(format_args!("cannot write a report: {}", errno.desc()));
                Text::from(summary)
            }
        }
    }

    /// For those who look at the container's output.
    pub(super) fn say_lines(&self, lines: &[Line]) {
        let worth = |line: &&Line| line.kind != Kind::Unchanged;
        for line in lines.iter().filter(worth).take(SAID) {
            self.say(format_args!("apply: {line}"));
        }
        let more = lines.iter().filter(worth).count().saturating_sub(SAID);
        if more > 0 {
            self.say(format_args!("apply: and {more} more"));
        }
    }
}

/// `changed=1 added=1 removed=0 unchanged=12`
pub(super) fn counts(lines: &[Line]) -> String {
    let count = |kinds: &[Kind]| lines.iter().filter(|line| kinds.contains(&line.kind)).count();
    let changed = count(&[Kind::Changed, Kind::Along, Kind::Updated, Kind::Starts, Kind::Later]);
    let unchanged = lines.iter().find(|line| line.kind == Kind::Unchanged).map_or("0", |line| line.subject.as_str());
    format!(
        "changed={changed} added={} removed={} unchanged={unchanged}",
        count(&[Kind::Added]),
        count(&[Kind::Removed])
    )
}
