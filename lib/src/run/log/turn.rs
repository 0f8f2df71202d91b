//! The turn of one stream: take out, inspect, pass on or hold.
//!
//! Owns: that order, and what changes at once. Must never: wait.

use super::intake::{Found, Intake};
use super::label::Put;
use super::memory::{Change, Memory};
use super::outlet::{Claim, HOLD, Outlet};
use super::served::Served;
use super::step::{self, After, Patience, Step, View};
use super::stream::Stream;
use crate::model::pump::layout::{self, SlotNumber};
use crate::model::pump::{KEPT, WINDOW};
use crate::model::time::{Span, Time};
use crate::protocol::boundary::Marks;
use memchr::{memchr, memrchr};

/// So long the end of a line is waited for before what there is gets out.
const PROMPT: Span = Span(10);
/// The same where the line's begin came at the end of a block: then a buffer was full, and nobody waits for an answer. And
/// where lines are labelled: who answers a prompt does not do so among the lines of others.
const BLOCK: Span = Span(1000);
/// What comes at once, and is this long, is the content of a buffer: the smallest that C libraries use.
const BUFFER: usize = 1024;

/// A stream that has its turn.
pub struct Turn<'p> {
    /// Itself.
    pub stream: &'p mut Stream,
    /// Its service.
    pub served: &'p mut Served,
    /// Where it goes.
    pub outlet: &'p mut Outlet,
    /// What outlives this process.
    pub memory: &'p mut Memory,
    /// What marks look like.
    pub marks: &'p Marks,
    /// What is taken out comes there.
    pub intake: &'p Intake,
    /// The time.
    pub now: Time,
    /// Nothing more will come that is waited for.
    pub is_over: bool,
    /// So many bytes of it are in the intake.
    pub taken: usize,
    /// Something was taken out or passed on.
    pub has_moved: bool,
}

/// Where the bytes stand that are to be passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    Held,
    Intake,
}

impl Turn<'_> {
    /// Does all that can be done now, but takes out of the pipe only once, so that others have their turns too.
    pub fn run(&mut self) {
        self.pass_on(From::Held);
        if self.stream.is_fresh && self.held() <= WINDOW {
            self.memory.begin_intake(self.stream.slot);
            match self.intake.take(&self.stream.source) {
                Ok(Found::Bytes(length)) => {
                    // Whether the pipe is empty is not known: a write that has to wait in the middle fills it again, and
                    // wakes nobody up.
                    self.has_moved = true;
                    self.take_in(length);
                }
                Ok(Found::Nothing) => self.stream.is_fresh = false,
                Ok(Found::End) => (self.stream.is_fresh, self.stream.is_over) = (false, true),
                Err(errno) => {
                    let why = errno.desc();
                    self.served.say(format_args!("cannot take its output out of its pipe: {why}; it is lost"));
                    (self.stream.is_fresh, self.stream.is_over) = (false, true);
                }
            }
        }
        if self.stream.is_over {
            self.pass_on(From::Held);
        }
        if (self.stream.is_over || self.is_over) && self.held() <= self.shown() && self.end_line() {
            self.stream.has_ended = self.stream.is_over;
            self.keep_rest();
        }
    }

    /// Whether it has something that is not passed on, or a line that is still to be ended.
    pub fn waits(&self) -> bool {
        let is_ending = self.is_over && self.stream.label.is_lines();
        (self.held() > self.shown() && !self.stream.label.is_hidden())
            || (is_ending && self.outlet.is_held_by(self.stream.slot, self.memory))
    }

    /// A line whose end won't come is kept as it is.
    fn keep_rest(&mut self) {
        let Turn { stream, served, memory, .. } = self;
        if let Some(rest) = memory.held(stream.slot).get(stream.kept..) {
            served.lines(stream.side, rest, false, stream.lines.run);
            served.write();
            stream.kept += rest.len();
        }
    }

    /// Goes on where an earlier zei-log has left off.
    pub fn resume(&mut self) {
        if let Some(run) = self.memory.run_of(self.stream.slot, SlotNumber::Run) {
            self.stream.lines.begin(run);
        }
        self.inspect(From::Held);
    }

    fn held(&self) -> usize {
        self.memory.held(self.stream.slot).len()
    }

    fn shown(&self) -> usize {
        self.memory.of_slot(self.stream.slot, SlotNumber::Shown)
    }

    fn intake_done(&self) -> usize {
        self.memory.intake().1
    }

    /// What is in the intake is passed on, or held.
    pub fn take_in(&mut self, length: usize) {
        self.taken = length;
        if self.held() > 0 {
            // The line that is held is made whole.
            let rest = self.intake.bytes(self.intake_done(), length);
            let part = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            self.hold(length, part);
            self.pass_on(From::Held);
        }
        if self.held() == 0 {
            self.pass_on(From::Intake);
        }
        let rest = length.saturating_sub(self.intake_done());
        if rest > 0 {
            self.stream.is_block |= length >= BUFFER;
            self.hold(length, rest);
            self.pass_on(From::Held);
        }
        self.intake.empty();
    }

    /// Holds the first bytes of what is in the intake.
    fn hold(&mut self, length: usize, part: usize) {
        let done = self.intake_done();
        let rest = self.intake.bytes(done, length);
        self.memory.hold(self.stream.slot, rest.get(..part).unwrap_or(rest), done + part);
        self.inspect(From::Held);
    }

    /// Looks at what has not been inspected: for the line that makes the service ready, and to keep the last ones. So
    /// neither has to wait where nobody takes the container's output.
    fn inspect(&mut self, from: From) {
        let Turn { stream, served, memory, marks, intake, taken, .. } = self;
        let window = match from {
            From::Held => memory.held(stream.slot),
            From::Intake => intake.bytes(memory.intake().1, *taken),
        };
        let mut told = None;
        loop {
            let seen = stream.seen.min(window.len());
            let (end, after) = step::text_end(window, seen, window.len(), marks);
            let text = window.get(seen..end).unwrap_or_default();
            told = served.text(stream.side, text, &mut stream.lines).or(told);
            stream.seen = end;
            let unkept = window.get(stream.kept..end).unwrap_or_default();
            match after {
                After::Open | After::Unfinished => {
                    let lines = memrchr(b'\n', unkept).map_or(0, |end| end + 1);
                    served.lines(stream.side, unkept.get(..lines).unwrap_or_default(), true, stream.lines.run);
                    stream.kept += lines;
                    break;
                }
                After::Mark(length, run) => {
                    served.lines(stream.side, unkept, false, stream.lines.run);
                    stream.seen += length;
                    stream.kept = stream.seen;
                    stream.lines.begin(run);
                    served.begin(run);
                }
            }
        }
        served.write();
        if let Some(run) = told {
            memory.set_run_of(stream.slot, SlotNumber::Told, run);
        }
    }

    /// Passes on what is to be passed on now.
    fn pass_on(&mut self, from: From) {
        if from == From::Intake {
            self.inspect(from);
        }
        loop {
            let window = match from {
                From::Held => self.memory.held(self.stream.slot).get(self.shown()..).unwrap_or_default(),
                From::Intake => self.intake.bytes(self.intake_done(), self.taken),
            };
            let view = View { window, atomic: WINDOW, patience: self.patience(from) };
            let is_done = match step::next(&view, self.marks) {
                Step::Wait => {
                    if from == From::Held {
                        self.wait();
                    }
                    true
                }
                Step::Write { length, ends } => self.write(from, length, ends).is_none(),
                Step::Begin { length, run } => self.begin(from, length, run).is_none(),
            };
            if is_done {
                return;
            }
            self.has_moved = true;
        }
    }

    /// How a line without end is treated now.
    fn patience(&self, from: From) -> Patience {
        if from == From::Intake {
            return Patience::Fresh;
        }
        let is_due = self.stream.due.is_some_and(|due| due <= self.now) || self.is_over || self.stream.is_over;
        match () {
            () if is_due && !self.stream.is_fresh => Patience::Over,
            () if is_due || self.held() > WINDOW / 2 => Patience::Crowded,
            () if self.outlet.is_held_by(self.stream.slot, self.memory) => Patience::Crowded,
            () => Patience::Fresh,
        }
    }

    /// The line's end has not come.
    fn wait(&mut self) {
        // What is not shown is not waited for either.
        if self.held() <= self.shown() || self.stream.label.is_hidden() {
            (self.stream.due, self.stream.next) = (None, None);
            return;
        }
        let span = if self.stream.is_block || self.stream.label.is_lines() { BLOCK } else { PROMPT };
        self.stream.next = Some(*self.stream.due.get_or_insert(self.now.plus(span)));
    }

    /// Whether something can be passed on to the outlet.
    fn claim(&mut self) -> Option<()> {
        let hold = if self.is_over { Span(0) } else { HOLD };
        let claim = self.outlet.claim(self.stream.slot, hold, self.now, self.memory);
        self.stream.next = if let Claim::Wait(until) = claim { until } else { None };
        (claim == Claim::Free).then_some(())
    }

    /// Passes on some of these bytes; `None`: none. `ends`: they end with a newline.
    fn write(&mut self, from: From, length: usize, ends: bool) -> Option<()> {
        if self.stream.label.is_hidden() {
            let done = self.pass(from, length, true);
            self.memory.commit(&done);
            return Some(());
        }
        self.claim()?;
        let mut put = self.put(from, length);
        if put.taken == 0 {
            self.outlet.flush(self.now, self.memory);
            put = self.put(from, length);
        }
        if put.taken == 0 {
            return None;
        }
        let slot = self.stream.slot;
        let grown = self.outlet.grow(put.length, put.is_open.then_some(slot), ends, self.memory);
        let done = self.pass(from, put.taken, !put.is_open);
        self.memory.commit(&[&grown[..], &done].concat());
        self.stream.end_wait();
        Some(())
    }

    fn put(&mut self, from: From, length: usize) -> Put {
        let goes_on = self.outlet.is_held_by(self.stream.slot, self.memory);
        let label = &self.stream.label;
        match from {
            From::Held => {
                let (held, room) = self.memory.held_and_room(self.stream.slot, self.outlet.index);
                label.put(held.get(..length).unwrap_or(held), goes_on, room)
            }
            From::Intake => {
                let done = self.intake_done();
                label.put(self.intake.bytes(done, done + length), goes_on, self.memory.room(self.outlet.index))
            }
        }
    }

    /// The first bytes of what it has are about to be let go: what of them is the begin of a long line is kept as that.
    fn let_go(&mut self, from: From, length: usize) {
        let Turn { stream, served, memory, intake, taken, .. } = self;
        let window = match from {
            From::Held => memory.held(stream.slot),
            From::Intake => intake.bytes(memory.intake().1, *taken),
        };
        if let Some(unkept) = window.get(stream.kept..length.max(stream.kept)) {
            served.lines(stream.side, unkept, true, stream.lines.run);
            served.write();
        }
        stream.kept = stream.kept.saturating_sub(length);
        stream.seen = stream.seen.saturating_sub(length);
    }

    /// What changes when the next bytes are done with. What is passed on of a line that has no end is still held, so that
    /// it can be inspected again after a kill, unless it is long.
    fn pass(&mut self, from: From, length: usize, ends: bool) -> Vec<Change> {
        let slot = self.stream.slot;
        let shown = self.shown();
        match from {
            From::Intake => {
                self.let_go(from, length);
                vec![(layout::INTAKE_DONE, self.intake_done() + length)]
            }
            From::Held if !ends && self.held() <= KEPT => {
                vec![(layout::of_slot(slot, SlotNumber::Shown), shown + length)]
            }
            From::Held => {
                self.let_go(from, shown + length);
                self.memory.let_go(slot, shown + length).to_vec()
            }
        }
    }

    /// A run begins; `None`: that has to wait.
    fn begin(&mut self, from: From, length: usize, run: u64) -> Option<()> {
        let slot = self.stream.slot;
        let is_open = self.outlet.is_held_by(slot, self.memory);
        let mut changes = self.pass(from, length, true);
        let run = usize::try_from(run.saturating_add(1)).unwrap_or(usize::MAX);
        changes.push((layout::of_slot(slot, SlotNumber::Run), run));
        if !is_open {
            self.memory.commit(&changes);
        } else if !self.outlet.break_line(&changes, self.now, self.memory) {
            return None;
        }
        self.stream.next = None;
        self.stream.end_wait();
        Some(())
    }

    /// Where lines are labelled, the last one gets an end; `false`: there is no room for that now.
    fn end_line(&mut self) -> bool {
        let is_open = self.stream.label.is_lines() && self.outlet.is_held_by(self.stream.slot, self.memory);
        !is_open || self.outlet.break_line(&[], self.now, self.memory)
    }
}
