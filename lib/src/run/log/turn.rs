//! The turn of one stream: look, inspect, write, take out.
//!
//! Owns: that order, and what is kept for a successor at each point of it. Must never: wait, or take anything out of a
//! log pipe that is neither written nor kept.

use super::outlet::{Claim, HOLD, Open, Outlet};
use super::served::Served;
use super::source::Sink;
use super::state::State;
use super::step::{self, After, Patience, Step, View};
use super::stream::Stream;
use crate::model::pump::KEPT;
use crate::model::time::{Span, Time};
use crate::protocol::boundary::Marks;
use crate::sys::nowait;

/// So long the end of a line is waited for before what there is gets out.
const PROMPT: Span = Span(10);
/// The same where the line's begin came at the end of a block: then a buffer was full, and nobody waits for an answer.
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
    pub state: &'p State,
    /// What marks look like.
    pub marks: &'p Marks,
    /// What is taken out goes there.
    pub sink: &'p mut Sink,
    /// The time.
    pub now: Time,
    /// What is kept of the stream and what its pipe holds, as far as it is not passed on.
    pub window: &'p [u8],
    /// The pipe may hold more than that.
    pub is_cut: bool,
    /// Nothing more will come.
    pub is_over: bool,
    /// Something was written or taken out.
    pub has_moved: bool,
}

impl Turn<'_> {
    /// Does all that can be done now.
    pub fn run(&mut self) {
        let new = self.window.len().saturating_sub(self.stream.seen);
        self.inspect();
        while !self.window.is_empty() {
            let (window, atomic) = (self.window, self.atomic());
            let view = |patience| View { window, atomic, patience };
            let mut next = step::next(&view(self.patience()), self.marks);
            if next == Step::Wait && window.len() > KEPT {
                next = step::next(&view(Patience::Crowded), self.marks);
            }
            let done = match next {
                Step::Wait => return self.wait(new),
                Step::Write { length, ends } => self.write(length, ends),
                Step::Begin { length, run } => self.begin(length, run),
            };
            if done.is_none() {
                return;
            }
            self.has_moved = true;
        }
    }

    /// So many bytes are written at once; where some are kept, so few that a kill leaves no doubt about them.
    fn atomic(&self) -> usize {
        if self.stream.begun.is_empty() { self.outlet.atomic() } else { nowait::ATOMIC }
    }

    /// How a line without end is treated now.
    fn patience(&self) -> Patience {
        let is_due = self.stream.due.is_some_and(|due| due <= self.now);
        match () {
            () if (is_due || self.is_over) && !self.is_cut => Patience::Over,
            () if is_due || self.is_over || self.outlet.is_held_by(self.stream.slot) => Patience::Crowded,
            () => Patience::Fresh,
        }
    }

    /// The line's end has not come. Its begin is kept, so that the pipe is empty and tells when more comes.
    fn wait(&mut self, new: usize) {
        self.stream.is_block |= new >= BUFFER;
        let span = if self.stream.is_block { BLOCK } else { PROMPT };
        self.stream.next = Some(*self.stream.due.get_or_insert(self.now.plus(span)));
        let unkept = self.window.get(self.stream.begun.kept().len()..).unwrap_or_default();
        if !unkept.is_empty() {
            self.stream.begun.keep(unkept);
            self.take(unkept, true);
            self.has_moved = true;
        }
    }

    /// Looks at what has not been inspected: for the line that makes the service ready, and to keep the last ones. So
    /// neither has to wait where nobody takes the container's output.
    fn inspect(&mut self) {
        loop {
            let (window, seen) = (self.window, self.stream.seen);
            let (end, after) = step::text_end(window, seen.min(window.len()), window.len(), self.marks);
            self.inspect_text(window.get(seen..end).unwrap_or_default());
            match after {
                After::Open | After::Unfinished => return,
                After::Mark(length, run) => {
                    self.stream.seen += length;
                    self.stream.lines.begin(run);
                    self.served.begin(run);
                }
            }
        }
    }

    fn inspect_text(&mut self, text: &[u8]) {
        self.stream.seen += text.len();
        self.served.text(self.stream.side, text, &mut self.stream.lines, self.stream.slot, self.state);
    }

    /// Whether the outlet can be written to.
    fn claim(&mut self) -> Option<()> {
        let hold = if self.is_over { Span(0) } else { HOLD };
        let claim = self.outlet.claim(self.stream.slot, hold, self.now, self.state);
        self.stream.next = if let Claim::Wait(until) = claim { until } else { None };
        (claim == Claim::Free).then_some(())
    }

    /// Writes the first bytes of the window, or as many of them as the outlet takes; `None`: none.
    fn write(&mut self, length: usize, ends: bool) -> Option<()> {
        let text = self.window.get(..length)?;
        self.claim()?;
        // What was taken for the begin of a mark is text after all.
        if let Some(unseen) = text.get(self.stream.seen..).filter(|unseen| !unseen.is_empty()) {
            self.inspect_text(unseen);
        }
        let stream = self.stream.slot;
        let open = |is_sure| Some(Open { stream, is_sure });
        let was_open = self.outlet.is_held_by(self.stream.slot);
        // Then it gets out as a whole or not at all.
        let is_whole = ends && !was_open && text.len() <= self.outlet.atomic();
        if !is_whole {
            self.outlet.set_open(open(false), self.state, ends);
        }
        let Some(written) = self.outlet.write(text, self.now) else {
            if !is_whole {
                self.outlet.set_open(open(true).filter(|_| was_open), self.state, was_open && ends);
            }
            return None;
        };
        let text = text.get(..written)?;
        let (kept, was_begun) = (self.stream.begun.kept().len(), !self.stream.begun.is_empty());
        self.stream.begun.deliver(text);
        self.take(text.get(kept..).unwrap_or_default(), was_begun || !self.stream.begun.is_empty());
        if !is_whole || written < length {
            let has_ended = text.ends_with(b"\n");
            self.outlet.set_open(open(true).filter(|_| !has_ended), self.state, ends && !has_ended);
        }
        if self.stream.begun.kept().is_empty() {
            self.stream.end_wait();
        }
        self.pass(written);
        Some(())
    }

    /// A run begins; `None`: that has to wait.
    fn begin(&mut self, length: usize, run: u64) -> Option<()> {
        let is_open = self.outlet.is_held_by(self.stream.slot);
        if is_open {
            self.claim()?;
            self.outlet.write(b"\n", self.now)?;
        }
        self.state.set_run(self.stream.slot, run);
        let from_pipe = self.window.get(self.stream.begun.kept().len()..length).unwrap_or_default();
        let was_begun = !self.stream.begun.is_empty();
        self.stream.begun.end();
        self.take(from_pipe, was_begun);
        if is_open {
            self.outlet.set_open(None, self.state, false);
        }
        self.stream.next = None;
        self.stream.end_wait();
        self.pass(length);
        Some(())
    }

    /// Takes bytes out of the pipe. `is_kept`: what is kept of the line has changed, or changes by that.
    fn take(&mut self, from_pipe: &[u8], is_kept: bool) {
        if !is_kept {
            return self.sink.take(&self.stream.source, from_pipe.len());
        }
        self.state.keep(self.stream.slot, &self.stream.begun, from_pipe.len());
        self.sink.shift(&self.stream.source, from_pipe.len());
        self.state.settle(self.stream.slot);
        self.sink.open_hand();
    }

    /// The first bytes of the window are done with.
    fn pass(&mut self, length: usize) {
        self.window = self.window.get(length..).unwrap_or_default();
        self.stream.seen = self.stream.seen.saturating_sub(length);
    }
}
