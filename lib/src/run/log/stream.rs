//! One log pipe, and what is known of what is in it.
//!
//! Must never: be asked what to do (that is `step`).

use super::begun::Begun;
use super::lines::Lines;
use super::outlet::Outlet;
use super::served::Served;
use super::source::{Found, Glass, Sink, Source};
use super::state::State;
use crate::model::pump::Side;
use crate::model::time::Time;

/// The stream. What it holds is what is kept of it and what its pipe holds.
#[derive(Debug)]
pub struct Stream {
    /// Its place in the state.
    pub slot: usize,
    /// Its service's number.
    pub service: usize,
    /// For which of the container's streams.
    pub side: Side,
    /// Its outlet's number.
    pub outlet: usize,
    /// The pipe.
    pub source: Source,
    /// The line it is in the middle of, as it is inspected.
    pub lines: Lines,
    /// The same, as it is passed on.
    pub begun: Begun,
    /// So many bytes of what it holds have been inspected.
    pub seen: usize,
    /// The line it is in the middle of began at the end of a block, as far as is known.
    pub is_block: bool,
    /// When the line without end was waited for long enough.
    pub due: Option<Time>,
    /// It has its next turn then, even if nothing has come.
    pub next: Option<Time>,
    /// It may hold something that was not looked at.
    pub is_fresh: bool,
    /// It is not known to be at rest.
    pub is_queued: bool,
    /// When this zei-log was asked to leave nobody could write to it any more.
    pub is_hung_up: bool,
    /// Nobody can write to it any more, and it is empty.
    pub has_ended: bool,
}

impl Stream {
    /// A stream that nothing is known of.
    pub fn new(slot: usize, service: usize, side: Side, outlet: usize, source: Source) -> Stream {
        Stream {
            slot,
            service,
            side,
            outlet,
            source,
            lines: Lines::default(),
            begun: Begun::default(),
            seen: 0,
            is_block: false,
            due: None,
            next: None,
            is_fresh: true,
            is_queued: false,
            is_hung_up: false,
            has_ended: false,
        }
    }

    /// Goes on where an earlier zei-log, if there was one, has left off.
    pub fn resume(&mut self, served: &mut Served, outlet: &Outlet, state: &State, glass: &mut Glass, sink: &mut Sink) {
        if let Some(run) = state.run(self.slot) {
            self.lines.begin(run);
        }
        let left = state.left(self.slot);
        if left.pending > 0 {
            // Killed before or after it moved them: they are in the hand, or still to be moved.
            let moved = if let Ok(Found::Bytes(length)) = glass.look(&[], sink.hand()) { length } else { 0 };
            sink.shift(&self.source, left.pending.saturating_sub(moved));
            state.settle(self.slot);
        }
        self.begun = Begun::resume(left.line, left.out, outlet.is_torn(self.slot));
        self.is_block = !self.begun.kept().is_empty();
        served.text(self.side, self.begun.written(), &mut self.lines, self.slot, state);
    }

    /// It holds nothing.
    pub fn rest(&mut self) {
        (self.seen, self.next, self.is_fresh) = (0, None, false);
        self.end_wait();
    }

    /// No line without end is waited for.
    pub fn end_wait(&mut self) {
        (self.due, self.is_block) = (None, false);
    }
}
