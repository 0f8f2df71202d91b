//! What ends the container, and with which code: the contract of the exit code, stated literally.
//!
//! zei-init learns of everything a little later, so whatever was so within the last moments may be what it knows.

use super::{Hook, Next, Refused, Sheet, Sick};
use crate::reached::Fact;
use crate::world::World;
use zei::model::spec::{OnEnd, OnUnhealthy, Policy, When};
use zei::model::time::Time;

/// So long a report may be under way.
const MOMENT: u64 = 200;
/// Killed, refused by the system, without a code, not there.
const KILLED: u8 = 128 + 9;
const REFUSED: u8 = 111;
const NO_CODE: u8 = 125;
const NOT_FOUND: u8 = 127;

/// How a service stands to the end of all, and while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    from: Time,
    until: Time,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Completed,
    /// Failed for good, with this code; `None`: nobody can know it.
    Failed(Option<u8>),
    FailedBy(usize),
    Unhealthy,
}

impl Sheet {
    /// Writes down how it stands now.
    pub fn note_end(&mut self, now: Time, policy: &Policy) {
        let sick = policy.health.is_some_and(|health| health.on_unhealthy == OnUnhealthy::Shutdown);
        let kind = match self.next {
            Next::Completed => Some(Kind::Completed),
            // What ended well and failed all the same has no code.
            Next::Failed | Next::GaveUp => {
                Some(Kind::Failed(Some(self.code.filter(|code| *code != 0).unwrap_or(NO_CODE))))
            }
            Next::Stray => Some(Kind::Failed(None)),
            Next::Now => self.dependency_failed.map(Kind::FailedBy),
            Next::Run if sick && self.health == Sick::Unhealthy => Some(Kind::Unhealthy),
            _ => None,
        };
        let open = self.ends.last_mut().filter(|end| end.until == Time::NEVER);
        let mut from = now;
        match open {
            Some(end) if Some(end.kind) == kind => return,
            Some(end) => {
                end.until = now;
                if end.kind == Kind::Failed(None) {
                    // What could not be killed is gone: the failure is the same.
                    from = end.from;
                }
            }
            None => {}
        }
        if let Some(kind) = kind {
            self.ends.push(End { from, until: Time::NEVER, kind });
        }
    }

    /// The code that the end of a run stands for, as it is written down.
    pub fn note_code(&mut self) {
        let run = &self.run;
        let code = match (run.refused, run.ended, run.pre) {
            (Some(Refused::Scarce), _, _) => Some(REFUSED),
            (Some(Refused::Broken), _, _) => Some(NOT_FOUND),
            (None, Some((_, exit)), _) => Some(exit.code()),
            (None, None, Hook::Badly) => run.hook_code,
            (None, None, _) => None,
        };
        self.code = code.or(self.code);
    }
}

impl World<'_> {
    fn recent(&self, index: usize) -> impl Iterator<Item = End> {
        let since = Time(self.now.0.saturating_sub(MOMENT));
        self.places[index].sheet.ends.iter().copied().filter(move |end| end.until >= since)
    }

    /// The codes that an end may stand for; `None` among them: any.
    fn codes(&self, end: End, depth: usize, codes: &mut Vec<Option<u8>>) {
        match end.kind {
            Kind::Failed(code) => codes.push(code),
            Kind::Completed if depth == 0 => codes.push(Some(0)),
            Kind::Completed => codes.push(Some(NO_CODE)),
            Kind::Unhealthy => codes.push(Some(NO_CODE)),
            Kind::FailedBy(on) if depth < self.places.len() => {
                self.recent(on).for_each(|end| self.codes(end, depth + 1, codes));
            }
            Kind::FailedBy(_) => {}
        }
    }

    /// The shutdown begins by itself: somebody's end must be the end of all.
    pub fn judge_cause(&mut self) {
        if self.book.asked {
            return;
        }
        let mut codes = Vec::new();
        let rule = self.plan.exit;
        for index in 0..self.places.len() {
            let service = &self.plan.services[index];
            let is_command = self.plan.command == Some(index);
            for end in self.recent(index) {
                let failed = matches!(end.kind, Kind::Failed(_) | Kind::FailedBy(_));
                let by_rule = rule.when == When::Any || rule.when == When::Service(index);
                let by_itself = service.on_exit == OnEnd::Shutdown || (failed && service.on_failure == OnEnd::Shutdown);
                let mut own = Vec::new();
                self.codes(end, 0, &mut own);
                match (end.kind, by_rule, is_command) {
                    (Kind::Unhealthy, _, _) => codes.push(Some(rule.code.unwrap_or(NO_CODE))),
                    (_, true, _) | (_, false, false) if by_rule || by_itself => {
                        codes.extend(own.into_iter().map(|code| rule.code.or(code)));
                    }
                    (_, false, true) => codes.extend(own),
                    _ => {}
                }
            }
        }
        self.codes_of_all(&mut codes);
        if codes.is_empty() {
            return self.wrong("exit", "the container ends, and nobody has ended it".into());
        }
        self.book.codes = codes;
    }

    /// Everything has ended by itself: 0 if nothing failed, else the code of the first failure in time.
    fn codes_of_all(&self, codes: &mut Vec<Option<u8>>) {
        let ended = |index: usize| self.recent(index).any(|end| end.kind != Kind::Unhealthy);
        if !(0..self.places.len()).all(ended) {
            return;
        }
        if let Some(code) = self.plan.exit.code {
            return codes.push(Some(code));
        }
        let ends: Vec<End> = (0..self.places.len()).flat_map(|index| self.recent(index)).collect();
        let failures = || ends.iter().filter(|end| matches!(end.kind, Kind::Failed(_)));
        let doubtful = ends.len() > self.places.len();
        let first = failures().map(|end| end.from).min();
        for end in failures().filter(|end| doubtful || Some(end.from) == first) {
            self.codes(*end, 0, codes);
        }
        if first.is_none() || doubtful {
            codes.push(Some(0));
        }
    }

    /// Whether somebody's end should have been the end of all by now.
    pub fn lacks_end(&self) -> bool {
        let standing = |index: usize| self.places[index].sheet.ends.last().filter(|end| end.until == Time::NEVER);
        let ends_all = |index: usize| {
            let service = &self.plan.services[index];
            standing(index).is_some_and(|end| {
                let failed = matches!(end.kind, Kind::Failed(_) | Kind::FailedBy(_));
                let rule = self.plan.exit.when;
                let by_rule = rule == When::Any || rule == When::Service(index) || self.plan.command == Some(index);
                end.kind == Kind::Unhealthy
                    || by_rule
                    || service.on_exit == OnEnd::Shutdown
                    || (failed && service.on_failure == OnEnd::Shutdown)
            })
        };
        (0..self.places.len()).any(ends_all)
    }

    /// The container has ended with this code.
    pub fn judge_code(&mut self, code: u8) {
        self.reached.fact(Fact::CodeTold);
        let codes = if self.book.asked { self.codes_if_asked() } else { std::mem::take(&mut self.book.codes) };
        if !codes.iter().any(|expected| expected.is_none_or(|expected| expected == code)) {
            self.wrong("exit", format!("the code is {code}, not one of {codes:?}"));
        }
    }

    /// The end was asked for: `stop_code`, else the command's code, else 0.
    fn codes_if_asked(&self) -> Vec<Option<u8>> {
        if let Some(code) = self.plan.exit.stop_code {
            return vec![Some(code)];
        }
        let Some(command) = self.plan.command else { return vec![Some(0)] };
        let sheet = &self.places[command].sheet;
        let mut codes = vec![sheet.code.or(Some(0))];
        if self.book.killed.contains(&command) {
            codes = vec![Some(KILLED)];
        }
        if sheet.run.interrupted || sheet.next == Next::Stray {
            codes.extend([Some(KILLED), sheet.code, None]);
        }
        codes
    }
}
