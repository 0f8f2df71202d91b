//! One log pipe, and what is known of what is in it.
//!
//! Must never: be asked what to do (that is `step`).

use super::intake::Source;
use super::label::Label;
use super::lines::Lines;
use crate::model::pump::Side;
use crate::model::time::Time;

/// The stream. What it has is what is held of it, and then what is in the intake, where that is its own.
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
    /// How its lines look there.
    pub label: Label,
    /// The pipe.
    pub source: Source,
    /// The line it is in the middle of, as it is inspected.
    pub lines: Lines,
    /// So many bytes of what it has have been inspected.
    pub seen: usize,
    /// So many of them are kept for `zei-ctl log`.
    pub kept: usize,
    /// The line it is in the middle of began at the end of a block, as far as is known.
    pub is_block: bool,
    /// When the line without end was waited for long enough.
    pub due: Option<Time>,
    /// It has its next turn then, even if nothing has come.
    pub next: Option<Time>,
    /// Its pipe may hold something.
    pub is_fresh: bool,
    /// It is not known to be at rest.
    pub is_queued: bool,
    /// When this zei-log was asked to leave nobody could write to it any more.
    pub is_hung_up: bool,
    /// Nobody can write to it any more, and its pipe is empty.
    pub is_over: bool,
    /// So is what it has.
    pub has_ended: bool,
}

impl Stream {
    /// A stream that nothing is known of.
    pub fn new(slot: usize, service: usize, side: Side, outlet: usize, label: Label, source: Source) -> Stream {
        Stream {
            slot,
            service,
            side,
            outlet,
            label,
            source,
            lines: Lines::default(),
            seen: 0,
            kept: 0,
            is_block: false,
            due: None,
            next: None,
            is_fresh: true,
            is_queued: false,
            is_hung_up: false,
            is_over: false,
            has_ended: false,
        }
    }

    /// No line without end is waited for.
    pub fn end_wait(&mut self) {
        (self.due, self.is_block) = (None, false);
    }
}
