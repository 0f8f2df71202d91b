//! The pump: from log pipes to the container's streams, each stream in its turn.
//!
//! Owns: whose turn it is, and when there is nothing to do. Must never: wait for one stream while another can go on.

use super::outlet::Outlet;
use super::served::Served;
use super::source::{Found, Glass, Sink, WINDOW};
use super::state::State;
use super::stream::Stream;
use super::turn::Turn;
use crate::model::time::Time;
use crate::protocol::boundary::Marks;
use std::collections::VecDeque;

/// All streams.
#[derive(Debug)]
pub struct Pump {
    streams: Vec<Stream>,
    served: Vec<Served>,
    /// One, where the container's two streams are the same.
    outlets: Vec<Outlet>,
    state: State,
    marks: Marks,
    glass: Glass,
    sink: Sink,
    /// The streams that are not known to be at rest, in the order of their turns.
    queue: VecDeque<usize>,
    is_over: bool,
    is_leaving: bool,
    /// How many streams have ended.
    ended: usize,
    /// Something was written or taken out in this round.
    has_moved: bool,
}

impl Pump {
    /// Over these streams, as an earlier zei-log has left them; each may hold something.
    pub fn new(
        streams: Vec<Stream>,
        served: Vec<Served>,
        outlets: Vec<Outlet>,
        state: State,
        marks: Marks,
        glass: Glass,
        sink: Sink,
    ) -> Pump {
        let mut pump = Pump {
            streams,
            served,
            outlets,
            state,
            marks,
            glass,
            sink,
            queue: VecDeque::new(),
            is_over: false,
            is_leaving: false,
            ended: 0,
            has_moved: false,
        };
        for index in 0..pump.streams.len() {
            pump.resume(index);
            pump.wake(index);
        }
        pump.sink.open_hand();
        pump
    }

    fn resume(&mut self, index: usize) {
        let Pump { streams, served, outlets, state, glass, sink, .. } = self;
        let Some(stream) = streams.get_mut(index) else { return };
        let (served, outlet) = (served.get_mut(stream.service), outlets.get(stream.outlet));
        if let (Some(served), Some(outlet)) = (served, outlet) {
            stream.resume(served, outlet, state, glass, sink);
        }
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
    pub fn wake(&mut self, index: usize) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        stream.is_fresh = true;
        if !stream.is_queued && !stream.has_ended {
            stream.is_queued = true;
            self.queue.push_back(index);
        }
    }

    /// Nothing more will come that is waited for: what is there gets out, lines without end too.
    pub fn finish(&mut self) {
        self.is_over = true;
        (0..self.streams.len()).for_each(|index| self.wake(index));
    }

    /// Another zei-log is to take over, with other streams. What is of a service that is gone gets out first, as nobody
    /// else holds its log pipes.
    pub fn leave(&mut self) {
        self.is_leaving = true;
        for stream in &mut self.streams {
            stream.is_hung_up = stream.source.is_hung_up();
        }
        (0..self.streams.len()).for_each(|index| self.wake(index));
    }

    /// Whether there is nothing left to do, now or ever.
    pub fn is_done(&self) -> bool {
        let is_ending = |stream: &Stream| stream.is_hung_up && !stream.has_ended;
        self.ended == self.streams.len()
            || (self.is_over && self.queue.is_empty())
            || (self.is_leaving && !self.streams.iter().any(is_ending))
    }

    /// Lets each stream that is not known to be at rest have its turn. `true`: something was done, so that it, or who
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
            if self.turn(index, now) {
                self.queue.push_back(index);
            } else if let Some(stream) = self.streams.get_mut(index) {
                stream.is_queued = false;
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

    /// `false`: the stream is at rest, until something comes.
    fn turn(&mut self, index: usize, now: Time) -> bool {
        let Pump { streams, served, outlets, state, marks, glass, sink, is_over, ended, has_moved, .. } = self;
        let Some(stream) = streams.get_mut(index) else { return false };
        let (Some(served), Some(outlet)) = (served.get_mut(stream.service), outlets.get_mut(stream.outlet)) else {
            return false;
        };
        let can_write = !outlet.is_blocked() && stream.next.is_none_or(|next| next <= now);
        if !stream.is_fresh && !can_write {
            return true;
        }
        let kept = stream.begun.kept().len();
        let found = glass.look(stream.begun.kept(), &stream.source).unwrap_or_else(|errno| {
            served.say(format_args!("cannot look at its output (tee): {}; it is lost", errno.desc()));
            Found::End
        });
        let length = if let Found::Bytes(length) = found { length } else { 0 };
        if kept + length == 0 {
            stream.rest();
            stream.has_ended = found == Found::End;
            *ended += usize::from(stream.has_ended);
            return false;
        }
        let (window, is_cut) = (glass.window(kept + length), length == WINDOW);
        let is_over = *is_over || found == Found::End;
        let mut turn =
            Turn { stream, served, outlet, state, marks, sink, now, window, is_cut, is_over, has_moved: false };
        turn.run();
        // What has come meanwhile may not have woken anybody, as the pipe was not empty.
        let moved = turn.has_moved;
        stream.is_fresh = moved;
        *has_moved |= moved;
        true
    }
}
