//! The pump: from log pipes to the container's streams, each stream in its turn.
//!
//! Owns: the order look -> inspect -> write -> take out. Must never: wait for one stream while another can go on, or
//! take anything out of a log pipe that is not delivered, but for what nobody will ever read.

use super::lines::Lines;
use super::outlet::{Claim, HOLD, Open, Outlet};
use super::served::Served;
use super::source::{Found, Glass, Source};
use super::state::State;
use super::step::{self, After, Patience, Step, View};
use crate::model::pump::Side;
use crate::model::time::{Span, Time};
use crate::protocol::boundary::Marks;
use std::collections::VecDeque;

/// So long the end of a line is waited for before what there is gets out.
const PROMPT: Span = Span(10);
/// The same where the line's begin came at the end of a block: then a buffer was full, and nobody waits for an answer.
const BLOCK: Span = Span(1000);
/// What comes at once, and is this long, is the content of a buffer: the smallest that C libraries use.
const BUFFER: usize = 1024;

/// One log pipe and what is known of what is in it.
#[derive(Debug)]
pub struct Stream {
    /// Its service's number.
    pub service: usize,
    /// For which of the container's streams.
    pub side: Side,
    /// Its outlet's number.
    pub outlet: usize,
    /// The pipe.
    pub source: Source,
    /// The line it is in the middle of.
    pub lines: Lines,
    /// So many bytes at the pipe's begin have been inspected.
    seen: usize,
    /// So many of them have been written.
    delivered: usize,
    /// When a line without end is due.
    due: Option<Time>,
    /// It is tried again then, even if nothing has come.
    next: Option<Time>,
    /// It may have something that was not looked at.
    is_fresh: bool,
    is_queued: bool,
    /// Nobody can write to it any more.
    is_hung_up: bool,
    has_ended: bool,
}

impl Stream {
    /// A stream that nothing is known of but the run that it is in.
    pub fn new(service: usize, side: Side, outlet: usize, source: Source, run: Option<u64>) -> Stream {
        let mut lines = Lines::default();
        if let Some(run) = run {
            lines.begin(run);
        }
        Stream {
            service,
            side,
            outlet,
            source,
            lines,
            seen: 0,
            delivered: 0,
            due: None,
            next: None,
            is_fresh: true,
            is_queued: false,
            is_hung_up: false,
            has_ended: false,
        }
    }
}

/// All of them.
#[derive(Debug)]
pub struct Pump {
    streams: Vec<Stream>,
    served: Vec<Served>,
    /// One, where the container's two streams are the same.
    outlets: Vec<Outlet>,
    state: State,
    marks: Marks,
    glass: Glass,
    /// The streams that are not known to be empty, in the order of their turns.
    queue: VecDeque<usize>,
    is_over: bool,
    /// How many streams have ended.
    ended: usize,
    /// Something was written or taken out in this round.
    has_moved: bool,
}

/// How a turn has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// The stream is empty, or holds only what is written already.
    Done,
    /// There is, or may be, more.
    More,
}

impl Pump {
    /// Over these streams; each may hold something.
    pub fn new(
        streams: Vec<Stream>,
        served: Vec<Served>,
        outlets: Vec<Outlet>,
        state: State,
        marks: Marks,
        glass: Glass,
    ) -> Pump {
        let queue = VecDeque::new();
        let (is_over, ended, has_moved) = (false, 0, false);
        let mut pump = Pump { streams, served, outlets, state, marks, glass, queue, is_over, ended, has_moved };
        (0..pump.streams.len()).for_each(|index| pump.wake(index, false));
        pump
    }

    /// The streams.
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// The outlets.
    pub fn outlets(&mut self) -> &mut [Outlet] {
        &mut self.outlets
    }

    /// Something has come through a log pipe, or nobody can write to it any more.
    pub fn wake(&mut self, index: usize, hung_up: bool) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        stream.is_fresh = true;
        stream.is_hung_up |= hung_up;
        if !stream.is_queued && !stream.has_ended {
            stream.is_queued = true;
            self.queue.push_back(index);
        }
    }

    /// Nothing more will come that is waited for: what is there gets out, lines without end too.
    pub fn finish(&mut self) {
        self.is_over = true;
        (0..self.streams.len()).for_each(|index| self.wake(index, false));
    }

    /// Whether there is nothing left to do, now or ever.
    pub fn is_done(&self) -> bool {
        self.ended == self.streams.len() || (self.is_over && self.queue.is_empty())
    }

    /// Lets each stream that is not known to be empty have its turn. `true`: something was done, so that it, or who
    /// has waited for it, may go on at once.
    pub fn round(&mut self, now: Time) -> bool {
        for outlet in &mut self.outlets {
            if outlet.retry().is_some_and(|retry| retry <= now) {
                outlet.unblock();
            }
        }
        self.has_moved = false;
        for _turn in 0..self.queue.len() {
            let Some(index) = self.queue.pop_front() else { break };
            match self.turn(index, now) {
                Turn::Done => {
                    if let Some(stream) = self.streams.get_mut(index) {
                        stream.is_queued = false;
                    }
                }
                Turn::More => self.queue.push_back(index),
            }
        }
        self.has_moved
    }

    /// When something is to be done even if nothing comes.
    pub fn deadline(&self) -> Option<Time> {
        let of_stream = |index: &usize| {
            let stream = self.streams.get(*index)?;
            stream.next.filter(|_| !self.outlets.get(stream.outlet).is_some_and(Outlet::is_blocked))
        };
        self.queue.iter().filter_map(of_stream).chain(self.outlets.iter().filter_map(Outlet::retry)).min()
    }

    /// Brings the files of last lines up to date.
    pub fn keep(&mut self) {
        self.served.iter_mut().for_each(Served::keep);
    }

    fn turn(&mut self, index: usize, now: Time) -> Turn {
        let Pump { streams, served, outlets, state, marks, glass, is_over, ended, has_moved, .. } = self;
        let Some(stream) = streams.get_mut(index) else { return Turn::Done };
        let (Some(served), Some(outlet)) = (served.get_mut(stream.service), outlets.get_mut(stream.outlet)) else {
            return Turn::Done;
        };
        let can_write = !outlet.is_blocked() && stream.next.is_none_or(|next| next <= now);
        if !stream.is_fresh && !can_write {
            return Turn::More;
        }
        stream.is_fresh = false;
        let length = match glass.look(&stream.source) {
            Ok(Found::Bytes(length)) => length,
            Ok(Found::Nothing) => {
                (stream.seen, stream.delivered, stream.due, stream.next) = (0, 0, None, None);
                return Turn::Done;
            }
            Ok(Found::End) => {
                stream.has_ended = true;
                *ended += 1;
                return Turn::Done;
            }
            Err(errno) => {
                served.say(format_args!("cannot look at its output (tee): {}; it is lost", errno.desc()));
                stream.has_ended = true;
                *ended += 1;
                return Turn::Done;
            }
        };
        let mut turn = Working { index, stream, served, outlet, state, marks, now, is_over: *is_over, base: 0 };
        turn.run(glass, length, has_moved)
    }
}

/// A stream that has its turn.
struct Working<'p> {
    index: usize,
    stream: &'p mut Stream,
    served: &'p mut Served,
    outlet: &'p mut Outlet,
    state: &'p State,
    marks: &'p Marks,
    now: Time,
    is_over: bool,
    /// So many bytes of the window are taken out of the pipe.
    base: usize,
}

impl Working<'_> {
    fn run(&mut self, glass: &mut Glass, length: usize, has_moved: &mut bool) -> Turn {
        let new = length.saturating_sub(self.stream.seen);
        self.inspect(glass.window(length));
        loop {
            let Some(window) = glass.window(length).get(self.base..) else { return Turn::More };
            if window.is_empty() {
                // The next look tells whether there is more.
                return Turn::More;
            }
            let atomic = self.outlet.atomic();
            let delivered = self.stream.delivered;
            let view = |patience| View { window, delivered, atomic, patience };
            let mut next = step::next(&view(self.patience()), self.marks);
            if next == Step::Wait && self.stream.source.is_crowded(window.len(), glass) {
                next = step::next(&view(Patience::Crowded), self.marks);
            }
            let taken = match next {
                Step::Wait => return self.wait(new),
                Step::Write { to, consume, ends } => self.write(window, to, consume, ends),
                Step::Begin { consume, run } => self.begin(consume, run),
            };
            let Some(taken) = taken else { return Turn::More };
            *has_moved = true;
            glass.consume(&self.stream.source, taken);
            self.base += taken;
            self.stream.seen = self.stream.seen.saturating_sub(taken);
        }
    }

    /// How a line without end is treated now.
    fn patience(&self) -> Patience {
        if self.is_over || self.stream.is_hung_up {
            return Patience::Over;
        }
        match self.stream.due {
            Some(due) if due <= self.now && self.stream.source.is_full() => Patience::Crowded,
            Some(due) if due <= self.now => Patience::Due,
            _ if self.outlet.is_held_by(self.index) => Patience::Due,
            _ => Patience::Fresh,
        }
    }

    /// The line's end has not come: until it is due, or, if it is out already, until more comes.
    fn wait(&mut self, new: usize) -> Turn {
        if self.stream.due.is_some_and(|due| due <= self.now) || self.outlet.is_held_by(self.index) {
            (self.stream.due, self.stream.next) = (None, None);
            return Turn::Done;
        }
        let span = if new >= BUFFER { BLOCK } else { PROMPT };
        self.stream.next = Some(*self.stream.due.get_or_insert(self.now.plus(span)));
        Turn::More
    }

    /// Looks at what has not been inspected: for the line that makes the service ready, and to keep the last ones. So
    /// neither has to wait where nobody takes the container's output.
    fn inspect(&mut self, window: &[u8]) {
        loop {
            let seen = self.stream.seen;
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
        self.served.text(self.stream.side, text, &mut self.stream.lines, self.index, self.state);
    }

    /// Whether the outlet can be written to.
    fn claim(&mut self) -> bool {
        let hold = if self.is_over { Span(0) } else { HOLD };
        match self.outlet.claim(self.index, hold, self.now, self.state) {
            Claim::Free => {
                self.stream.next = None;
                true
            }
            Claim::Wait(until) => {
                self.stream.next = until;
                false
            }
        }
    }

    /// Writes; returns how much is to be taken out of the pipe, `None` where nothing could be written.
    fn write(&mut self, window: &[u8], to: usize, consume: usize, ends: bool) -> Option<usize> {
        let text = window.get(self.stream.delivered..to).unwrap_or_default();
        let open = Open { stream: self.index, taken: !ends && consume > 0 };
        if !text.is_empty() {
            self.claim().then_some(())?;
            // What was taken for the begin of a mark is text after all.
            if let Some(unseen) = window.get(self.stream.seen..to).filter(|unseen| !unseen.is_empty()) {
                self.inspect_text(unseen);
            }
            let before = self.outlet.is_held_by(self.index);
            if !ends || text.len() > self.outlet.atomic() {
                self.outlet.set_open(Some(open), self.state, ends);
            }
            let written = self.outlet.write(text, self.now);
            if written.is_none() && !before {
                self.outlet.set_open(None, self.state, false);
            }
            if let Some(written) = written.filter(|written| *written < text.len()) {
                return Some(self.written_partly(text, written, ends));
            }
            written?;
            self.stream.due = None;
        }
        if ends {
            self.outlet.set_open(None, self.state, false);
        } else if consume > 0 && self.outlet.is_held_by(self.index) {
            self.outlet.set_open(Some(open), self.state, false);
        }
        self.stream.delivered = if consume > 0 { 0 } else { to };
        Some(consume)
    }

    /// Whole lines are taken out, the rest is known to be written.
    fn written_partly(&mut self, text: &[u8], written: usize, ends: bool) -> usize {
        let out = text.get(..written).unwrap_or_default();
        let whole = memchr::memrchr(b'\n', out).map(|at| at + 1);
        let open = (whole != Some(written)).then_some(Open { stream: self.index, taken: false });
        self.outlet.set_open(open, self.state, ends);
        let taken = whole.map_or(0, |whole| self.stream.delivered + whole);
        self.stream.delivered = if taken > 0 { written - whole.unwrap_or(0) } else { self.stream.delivered + written };
        taken
    }

    /// A run begins; returns how much is to be taken out of the pipe, `None` where that has to wait.
    fn begin(&mut self, consume: usize, run: u64) -> Option<usize> {
        if self.outlet.is_held_by(self.index) {
            self.claim().then_some(())?;
            self.outlet.write(b"\n", self.now)?;
            self.outlet.set_open(None, self.state, false);
        }
        self.state.set_run(self.index, run);
        (self.stream.delivered, self.stream.due, self.stream.next) = (0, None, None);
        Some(consume)
    }
}
