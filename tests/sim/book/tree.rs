//! zei-init by the book: its supervisors, whom it waits for, how long a shutdown takes.

use super::Next;
use crate::processes::{Process, Role};
use crate::reached::{Fact, StageName};
use crate::world::{Place, World};
use zei::model::init::{Effect, Event as TreeEvent};
use zei::model::time::{Span, Time};
use zei::signal;

/// So long after the budget's end supervisors may still be killing; then what is killed has so long to be gone.
const MARGIN: Span = Span::seconds(2);
const LAST: Span = Span::seconds(5);
/// What is under way: what is killed takes its time, and may have made another, which may have made another.
const SLACK: Span = Span(1000);
/// From so long after its begin on a shutdown says whom it waits for, and then so often.
const PATIENCE: Span = Span::seconds(5);
const REMINDER: Span = Span::seconds(1);
/// A supervisor that has lived so long is replaced at once; no other later than after this.
const STEADY: Span = Span::seconds(10);

/// The book of the tree.
#[derive(Clone, Debug, Default)]
pub struct TreeBook {
    /// The end was asked for, before it began by itself.
    pub asked: bool,
    ready: u32,
    /// When the shutdown began.
    pub since: Option<Time>,
    pub killed_all: bool,
    /// How often a signal has asked for the end.
    signals: u32,
    reminded: Option<Time>,
    /// Somebody has asked just now, and is to be told whom it waits for.
    pub curious: bool,
    /// The services whose main process was alive, or whose end nobody had noticed, when all was killed.
    pub killed: Vec<usize>,
    /// The codes that the end which has begun by itself may have; `None`: any.
    pub codes: Vec<Option<u8>>,
    /// Each supervisor: since when it lives or is dead.
    supervisors: Vec<Option<Lives>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lives {
    Since(Time),
    /// It died then; it was steady.
    Dead(Time, bool),
    Left,
}

impl TreeBook {
    pub fn new(count: usize) -> TreeBook {
        TreeBook { supervisors: vec![None; count], ..TreeBook::default() }
    }

    pub fn supervisor_died(&mut self, now: Time, index: usize, clean: bool) {
        let slot = &mut self.supervisors[index];
        *slot = match *slot {
            _ if clean && self.since.is_some() => Some(Lives::Left),
            Some(Lives::Since(since)) => Some(Lives::Dead(now, now.since(since) >= STEADY)),
            other => other,
        };
    }

    pub fn killed_all(&mut self, places: &[Place]) {
        if !self.killed_all {
            self.killed_all = true;
            let runs = |place: &Place| {
                let main = place.sheet.main();
                place.processes.iter().any(|process: &Process| Some(process.pid) == main || process.role == Role::Main)
            };
            self.killed = (0..places.len()).filter(|index| runs(&places[*index])).collect();
        }
    }

    pub fn stage(&self, booting: bool) -> StageName {
        match (self.killed_all, self.since, booting) {
            (true, _, _) => StageName::Emptying,
            (false, Some(_), _) => StageName::Stopping,
            (false, None, true) => StageName::Booting,
            (false, None, false) => StageName::Up,
        }
    }
}

impl World<'_> {
    /// zei-init is about to do this.
    pub fn judge_effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Start(index) => self.judge_replacement(*index),
            Effect::Order(shutdown) => {
                if self.book.since.replace(self.now).is_some() {
                    return self.wrong("shutdown", "it begins twice".into());
                }
                if shutdown.deadline != self.now.plus(self.plan.budget) {
                    self.wrong("shutdown", format!("its budget ends at {:?}", shutdown.deadline));
                }
                self.judge_cause();
            }
            Effect::Dismiss(index) => self.judge_dismissal(*index),
            Effect::Ready => self.judge_ready(),
            Effect::Waiting(who, span) => self.judge_reminder(who, *span),
            Effect::Overdue(_) => {
                self.reached.fact(Fact::Overdue);
                let due = self.order.map_or(Time::NEVER, |order| order.deadline.plus(MARGIN));
                if self.now < due {
                    self.wrong("shutdown", "it is given up before its time".into());
                }
            }
            Effect::Retire(..) | Effect::Renew(..) | Effect::Remove(_) | Effect::Applied => {
                self.wrong("change", format!("nobody changes the tree: {effect:?}"));
            }
            Effect::Restart { .. }
            | Effect::Reload
            | Effect::Hurried(_)
            | Effect::KillAll
            | Effect::End(_)
            | Effect::Forward(_)
            | Effect::ForwardToCommand(_) => {}
        }
    }

    /// A dead supervisor is replaced: at once where it was steady, and in any case before long.
    fn judge_replacement(&mut self, index: usize) {
        let lives = self.book.supervisors[index].replace(Lives::Since(self.now));
        match lives {
            Some(Lives::Dead(died, steady)) => {
                let late = self.now.since(died);
                let refused = self.book.since.is_none() && self.may_be_refused(index);
                if !refused && (late > STEADY || (steady && late > Span(0))) {
                    self.wrong("replacement", format!("the supervisor of {index} is replaced after {late}"));
                }
            }
            Some(Lives::Since(_)) if !self.may_be_refused(index) => {
                self.wrong("two supervisors", format!("{index} has one already"));
            }
            Some(Lives::Left) => self.wrong("replacement", format!("the supervisor of {index} had left in order")),
            Some(Lives::Since(_)) | None => {}
        }
    }

    /// All that starts with the container has come up once.
    fn judge_ready(&mut self) {
        self.book.ready += 1;
        if self.book.ready > 1 || self.book.since.is_some() {
            return self.wrong("ready", "it is said twice, or in a shutdown".into());
        }
        let not_up =
            (0..self.places.len()).find(|index| self.tree.is_wanted(*index) && !self.places[*index].sheet.came_up);
        if let Some(index) = not_up {
            self.wrong("ready", format!("{index} was never up: {:?}", self.places[index].sheet));
        }
    }

    /// Whether all that starts with the container is up, and nobody has said so.
    pub fn lacks_readiness(&self) -> bool {
        let up = |index: usize| {
            let sheet = &self.places[index].sheet;
            let waits = matches!(sheet.next, Next::Now | Next::Restart(_)) && sheet.dependency_failed.is_none();
            let starts = sheet.open().is_some_and(|run| run.ready.is_none() && run.stop.is_none());
            !(waits || starts)
        };
        self.book.ready == 0 && (0..self.places.len()).all(|index| !self.tree.is_wanted(index) || up(index))
    }

    /// Who is waited for is said once a second from the fifth second on, and on a second request.
    fn judge_reminder(&mut self, who: &[usize], span: Span) {
        self.reached.fact(Fact::Reminder);
        let since = self.book.since.unwrap_or(self.now);
        let first = since.plus(PATIENCE);
        let due = self.book.reminded.map_or(first, |last| last.plus(REMINDER).max(first));
        if !std::mem::take(&mut self.book.curious) && self.now != due {
            return self.wrong("reminder", format!("it is due at {due:?}"));
        }
        if span != self.now.since(since) {
            return self.wrong("reminder", format!("the shutdown has not gone on for {span}"));
        }
        self.book.reminded = Some(self.now);
        let left = |index: &usize| !matches!(self.book.supervisors[*index], Some(Lives::Left) | None);
        let mut expected: Vec<usize> = (0..self.places.len()).filter(left).collect();
        let mut named = who.to_vec();
        named.sort_unstable();
        // One that has put nothing on record did nothing, and is nobody to wait for.
        expected.retain(|index| named.contains(index) || self.places[*index].record.is_some());
        if named != expected {
            self.wrong("reminder", format!("it names {named:?}, and {expected:?} are left"));
        }
    }

    /// The end is asked for.
    pub fn ask_to_end(&mut self, event: TreeEvent) {
        let first = self.book.since.is_none();
        self.book.asked |= first;
        let signal = match event {
            TreeEvent::Signal(number) => Some(number),
            _ => None,
        };
        self.book.signals += u32::from(signal.is_some());
        let impatient = self.book.signals >= 3 || (self.book.signals == 2 && signal == Some(signal::INT));
        self.book.curious = !first && signal.is_some() && !impatient && !self.book.killed_all;
        self.tell(event);
        if self.book.curious {
            self.wrong("reminder", "a second request is not answered".into());
        }
        if !first && signal.is_some() && impatient && !self.book.killed_all {
            self.wrong("shutdown", "a third request does not end it".into());
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
        self.judge_code(code);
    }
}
