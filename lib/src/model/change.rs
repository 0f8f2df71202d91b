//! From one plan to the next: what becomes of each service, and what people are told.
//!
//! Owns: what is replaced, and what is left alone. Must never: act, or know in which order that happens (that is
//! `model::init`).

#[cfg(test)]
mod tests;

use crate::model::definition::Definitions;
use crate::model::definition::plan::{Member, Outline};
use crate::model::service::{Phase, Reason, Service};
use crate::name::ServiceName;
use crate::protocol::changes::{Kind, Line};

/// What becomes of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// There is none, neither before nor after.
    None,
    /// It stays as it is.
    Keep,
    /// It is stopped, and begins anew with its new definition; wanted if it is at that time, whatever is commanded till
    /// then.
    Renew {
        /// Wanted in any case: its definition says so, and did not before.
        starts: bool,
    },
    /// It is stopped, and gone.
    Remove,
    /// It is new.
    Add,
}

/// All that differs between two plans.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// By index.
    pub fates: Vec<Fate>,
    /// For people.
    pub lines: Vec<Line>,
}

/// A plan and what zei-init has to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The definitions.
    pub definitions: Definitions<'a>,
    /// The outline of the same plan.
    pub outline: &'a Outline,
}

impl<'a> Side<'a> {
    fn member(&self, index: usize) -> Option<&'a Member> {
        self.outline.services.get(index)?.as_ref()
    }

    fn is_wanted(&self, index: usize) -> bool {
        self.member(index).is_some_and(|member| member.node.wanted)
    }
}

/// What leads from `old` to `new`. `now`: a service as it stands; `None`: nothing is known of it.
pub fn between(old: Side<'_>, new: Side<'_>, now: impl Fn(usize) -> Option<Service>) -> Change {
    let count = old.outline.services.len().max(new.outline.services.len());
    let mut change = Change { fates: Vec::with_capacity(count), lines: Vec::new() };
    let whole = old.definitions.differences_of_whole(new.definitions);
    if !whole.is_empty() {
        change.lines.push(Line { words: whole, ..Line::new(Kind::Updated, "init") });
    }
    let mut silent = Vec::new();
    for index in 0..count {
        let (fate, line) = fate(old, new, index, now(index).as_ref());
        silent.extend(line.is_none().then_some(index));
        change.fates.push(fate);
        change.lines.extend(line);
    }
    change.lines.extend(along(&mut change.fates, old, new, now));
    let unchanged = silent.iter().filter(|index| change.fates.get(**index) == Some(&Fate::Keep)).count();
    change.lines.push(Line::new(Kind::Unchanged, unchanged.to_string()));
    change
}

impl Change {
    /// Whether the plans say the same.
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.kind == Kind::Unchanged)
    }
}

fn fate(old: Side<'_>, new: Side<'_>, index: usize, now: Option<&Service>) -> (Fate, Option<Line>) {
    let name = match (old.member(index), new.member(index)) {
        (None, None) => return (Fate::None, None),
        (None, Some(member)) => return (Fate::Add, Some(Line::new(Kind::Added, member.name.as_str()))),
        (Some(member), None) => return (Fate::Remove, Some(Line::new(Kind::Removed, member.name.as_str()))),
        (Some(_), Some(member)) => member.name,
    };
    let line = |kind, words| Some(Line { words, ..Line::new(kind, name.as_str()) });
    let mut differences = old.definitions.differences(new.definitions, index);
    let has_begun = now.is_some_and(|service| !service.awaits_dependencies());
    if name == ServiceName::CMD && has_begun {
        // Its end would be that of the container. What it waited for is there, and is no matter any more.
        differences.service.retain(|key| key != "depends_on");
        differences.init.retain(|key| key != "depends_on");
        let Some(keys) = Some(differences.service).filter(|keys| !keys.is_empty()) else {
            let line =
                Some(differences.init).filter(|keys| !keys.is_empty()).and_then(|keys| line(Kind::Updated, keys));
            return (Fate::Keep, line);
        };
        return (Fate::Keep, line(Kind::Later, keys));
    }
    // What was stopped by hand stays so. What never was to start may be now.
    let starts = !old.is_wanted(index) && new.is_wanted(index);
    if !differences.service.is_empty() {
        let keys = differences.service.into_iter().chain(differences.init).collect();
        return (Fate::Renew { starts }, line(Kind::Changed, keys));
    }
    if starts && !is_wanted(old, index, now) {
        return (Fate::Renew { starts }, line(Kind::Starts, Vec::new()));
    }
    let keys = Some(differences.init).filter(|keys| !keys.is_empty());
    (Fate::Keep, keys.and_then(|keys| line(Kind::Updated, keys)))
}

fn is_wanted(old: Side<'_>, index: usize, now: Option<&Service>) -> bool {
    now.map_or(old.is_wanted(index), |service| service.want)
}

/// What runs and is to be restarted with something that is, along any number of edges.
fn along(fates: &mut [Fate], old: Side<'_>, new: Side<'_>, now: impl Fn(usize) -> Option<Service>) -> Vec<Line> {
    let mut lines = Vec::new();
    loop {
        // What is not wanted is nothing to wait for anew.
        let is_renewed = |index: &usize| match fates.get(*index) {
            Some(Fate::Renew { starts }) => *starts || is_wanted(old, *index, now(*index).as_ref()),
            _ => false,
        };
        let follows = |index: usize| {
            let member = new.member(index).filter(|_| fates.get(index) == Some(&Fate::Keep))?;
            let with = member.node.follows.iter().copied().find(is_renewed)?;
            let runs = member.name != ServiceName::CMD && now(index).is_some_and(|service| runs(&service));
            runs.then_some((index, member, new.member(with)?))
        };
        let Some((index, member, with)) = (0..fates.len()).find_map(follows) else { return lines };
        lines.push(Line { words: vec![with.name.to_string()], ..Line::new(Kind::Along, member.name.as_str()) });
        if let Some(fate) = fates.get_mut(index) {
            *fate = Fate::Renew { starts: false };
        }
    }
}

fn runs(service: &Service) -> bool {
    match service.phase {
        Phase::Preparing | Phase::Spawning | Phase::Starting { .. } | Phase::Running => true,
        Phase::Waiting
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(Reason::Ended | Reason::GaveUp | Reason::Dependency(_) | Reason::Stray) => false,
    }
}
