//! The pump: from log pipes to the container's streams, each stream in its turn.
//!
//! Owns: whose turn it is, and when there is nothing to do. Must never: wait for one stream while another can go on.

use super::intake::Intake;
use super::memory::Memory;
use super::outlet::Outlet;
use super::served::Served;
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
    memory: Memory,
    marks: Marks,
    intake: Intake,
    /// The streams that are not known to be at rest, in the order of their turns.
    queue: VecDeque<usize>,
    is_over: bool,
    is_leaving: bool,
    /// How many streams have ended.
    ended: usize,
    /// Something was taken out or passed on in this round.
    has_moved: bool,
}

impl Pump {
    /// Over these streams, as an earlier zei-log has left them; each may hold something.
    pub fn new(
        streams: Vec<Stream>,
        served: Vec<Served>,
        outlets: Vec<Outlet>,
        memory: Memory,
        marks: Marks,
        intake: Intake,
        now: Time,
    ) -> Pump {
        let mut pump = Pump {
            streams,
            served,
            outlets,
            memory,
            marks,
            intake,
            queue: VecDeque::new(),
            is_over: false,
            is_leaving: false,
            ended: 0,
            has_moved: false,
        };
        let (slot, done) = pump.memory.intake();
        let length = pump.intake.length();
        for index in 0..pump.streams.len() {
            let Some(mut turn) = pump.turn_of(index, now) else { continue };
            turn.resume();
            if slot == Some(turn.stream.slot) && done < length {
                turn.take_in(length);
            }
            pump.wake(index);
        }
        // What is of a log pipe that is gone is nobody's.
        pump.intake.empty();
        pump
    }

    fn turn_of(&mut self, index: usize, now: Time) -> Option<Turn<'_>> {
        let Pump { streams, served, outlets, memory, marks, intake, is_over, .. } = self;
        let stream = streams.get_mut(index)?;
        let (served, outlet) = (served.get_mut(stream.service)?, outlets.get_mut(stream.outlet)?);
        let is_over = *is_over;
        Some(Turn { stream, served, outlet, memory, marks, intake, now, is_over, taken: 0, has_moved: false })
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
        let is_written = self.outlets.iter().all(|outlet| outlet.is_empty(&self.memory));
        (is_written && (self.ended == self.streams.len() || (self.is_over && self.queue.is_empty())))
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
        self.flush(now);
        for _turn in 0..self.queue.len() {
            let Some(index) = self.queue.pop_front() else { break };
            if self.turn(index, now) {
                self.queue.push_back(index);
            } else if let Some(stream) = self.streams.get_mut(index) {
                stream.is_queued = false;
            }
        }
        self.flush(now);
        self.has_moved
    }

    fn flush(&mut self, now: Time) {
        for outlet in &mut self.outlets {
            outlet.flush(now, &mut self.memory);
        }
    }

    /// When something is to be done even if nothing comes.
    pub fn deadline(&self) -> Option<Time> {
        let of_stream = |index: &usize| self.streams.get(*index)?.next;
        self.queue.iter().filter_map(of_stream).chain(self.outlets.iter().filter_map(Outlet::retry)).min()
    }

    /// Brings the files of last lines up to date.
    pub fn keep(&mut self) {
        self.served.iter_mut().for_each(Served::keep);
    }

    /// `false`: the stream is at rest, until something comes.
    fn turn(&mut self, index: usize, now: Time) -> bool {
        let Some(mut turn) = self.turn_of(index, now) else { return false };
        turn.run();
        let (has_moved, has_ended) = (turn.has_moved, turn.stream.has_ended);
        let is_queued = !has_ended && (turn.stream.is_fresh || turn.stream.is_over || turn.waits());
        self.has_moved |= has_moved;
        self.ended += usize::from(has_ended);
        is_queued
    }
}
