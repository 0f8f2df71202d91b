//! zei-init by the book: its supervisors, the shutdown, the exit code.

use super::Next;
use crate::processes::Role;
use crate::reached::{Fact, StageName};
use crate::world::{Place, World};
use zei::exit::{self, Exit};
use zei::model::init::{Effect, Event as TreeEvent};
use zei::model::time::{Span, Time};
use zei::signal;

/// So long after the budget's end supervisors may still be killing; then what is killed has so long to be gone.
const MARGIN: Span = Span::seconds(2);
const LAST: Span = Span::seconds(5);
/// What is under way.
const SLACK: Span = Span(30);

/// Which services had a main process when all was killed.
#[derive(Clone, Debug, Default)]
pub struct Gone(Vec<usize>);

impl Gone {
    pub fn of(places: &[Place]) -> Gone {
        let runs = |place: &Place| place.processes.iter().any(|process| process.role == Role::Main);
        Gone(places.iter().enumerate().filter(|(_, place)| runs(place)).map(|(index, _)| index).collect())
    }
}

/// The book of the tree.
#[derive(Clone, Debug, Default)]
pub struct TreeBook {
    /// The end was asked for.
    pub asked: bool,
    /// By how much the wall clock was set back at most.
    pub back: u64,
    ready: u32,
    /// When the shutdown began.
    since: Option<Time>,
    killed_all: Option<Time>,
    killed: Option<Gone>,
    reminded: u32,
    /// How main processes ended.
    exits: Vec<(Time, usize, Exit)>,
    /// Since when a service has had no supervisor.
    dead: Vec<(usize, Time)>,
}

impl TreeBook {
    pub fn set_back(&mut self, by: i64) {
        if by < 0 {
            self.back += by.unsigned_abs();
        }
    }

    pub fn ask(&mut self, _now: Time, _event: &TreeEvent) {}

    pub fn ended(&mut self, now: Time, index: usize, role: Role, exit: Exit) {
        if role == Role::Main {
            self.exits.push((now, index, exit));
        }
    }

    pub fn supervisor_died(&mut self, now: Time, index: usize) {
        self.dead.push((index, now));
    }

    pub fn killed_all(&mut self, now: Time, gone: Gone) {
        self.killed_all.get_or_insert(now);
        self.killed.get_or_insert(gone);
    }

    pub fn stage(&self, booting: bool, stopping: bool) -> StageName {
        match (self.killed_all, stopping, booting) {
            (Some(_), _, _) => StageName::Emptying,
            (None, true, _) => StageName::Stopping,
            (None, false, true) => StageName::Booting,
            (None, false, false) => StageName::Up,
        }
    }
}

impl World<'_> {
    /// zei-init is about to do this.
    pub fn judge_effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Start(index) => self.book.dead.retain(|(dead, _)| dead != index),
            Effect::Order(_) => {
                if self.book.since.replace(self.now).is_some() {
                    self.wrong("shutdown", "it begins twice".into());
                }
            }
            Effect::Dismiss(index) => self.judge_dismissal(*index),
            Effect::Ready => {
                self.book.ready += 1;
                if self.book.ready > 1 || self.book.since.is_some() {
                    self.wrong("ready", "it is said twice, or in a shutdown".into());
                }
            }
            Effect::Waiting(..) => {
                self.reached.fact(Fact::Reminder);
                self.book.reminded += 1;
            }
            Effect::Overdue(_) => self.reached.fact(Fact::Overdue),
            Effect::Retire(..) | Effect::Renew(..) | Effect::Remove(_) | Effect::Applied => {
                self.wrong("change", format!("nobody changes the tree: {effect:?}"));
            }
            Effect::Restart { .. }
            | Effect::Reload
            | Effect::KillAll
            | Effect::End(_)
            | Effect::Forward(_)
            | Effect::ForwardToCommand(_) => {}
        }
    }

    /// A supervisor is told to stop its service and leave: only once all that depends on it is gone.
    fn judge_dismissal(&mut self, index: usize) {
        for other in 0..self.places.len() {
            let depends = self.plan.services[other].needs.iter().any(|needs| needs.on == index);
            let place = &self.places[other];
            let lives = place.processes.iter().any(|process| process.lives() && !process.stuck);
            if depends && (place.supervisor.is_some() || lives) {
                let text = format!("{index} is to leave before {other}, which depends on it");
                return self.wrong("order", text);
            }
        }
    }

    /// The tree has ended.
    pub fn judge_end(&mut self) {
        let (Some(code), Some(since)) = (self.ended, self.book.since) else {
            return self.wrong("end", "without a shutdown".into());
        };
        let stuck = self
            .plan
            .services
            .iter()
            .any(|service| service.runs.iter().any(|run| run.stuck || run.forks.iter().any(|fork| fork.stuck)));
        let mut most = self.plan.budget.0 + MARGIN.0 + SLACK.0;
        if stuck {
            most += LAST.0;
        }
        let took = self.now.since(since);
        if took.0 > most {
            return self.wrong("shutdown", format!("it took {took} of {}", self.plan.budget));
        }
        for (index, place) in self.places.iter().enumerate() {
            let left = place.processes.iter().any(|process| process.lives() && !process.stuck);
            if place.supervisor.is_some() || left {
                let text = format!("{index} is left: {:?}", place.processes);
                return self.wrong("end", text);
            }
        }
        self.reached.fact(match self.book.asked {
            true => Fact::EndByRequest,
            false if (0..self.places.len()).all(|index| self.has_ended(index)) => Fact::EndByItself,
            false => Fact::EndByOne,
        });
        let _plain_codes = (code, exit::OK, signal::KILL, Next::Down);
    }
}
