//! What outlives a zei-log: its state, which zei-init holds.
//!
//! Owns: that several numbers change at once, whenever the process is killed. Must never: decide anything.
//!
//! Bytes are written where no number says yet that they are valid; then the numbers change by [`Memory::commit`], all of
//! them or none: they stand in a list first, and a successor that finds a list makes the changes again.

use crate::model::pump::layout::{self, OutletNumber, SlotNumber};
use crate::model::pump::{ROOM, WINDOW};
use crate::sys::raw::Shared;
use core::ops::Range;

/// The state.
#[derive(Debug)]
pub struct Memory {
    shared: Shared,
}

/// A number of the state that is to change, by where it lies.
pub type Change = (usize, usize);

fn to_number(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

impl Memory {
    /// Over the state as it was left; changes that were being made are made.
    pub fn over(shared: Shared) -> Memory {
        let mut memory = Memory { shared };
        let count = memory.get(layout::CHANGES).min(layout::MOST_CHANGES);
        for index in 0..count {
            let [place, value] = Memory::listed(index);
            let (at, value) = (memory.get(place), memory.get(value));
            memory.set(at, value);
        }
        memory.set(layout::CHANGES, 0);
        memory
    }

    /// Where the list has a change.
    const fn listed(index: usize) -> [usize; 2] {
        let at = layout::CHANGES + 8 + index * 16;
        [at, at + 8]
    }

    fn get(&self, at: usize) -> usize {
        usize::try_from(self.shared.get(at)).unwrap_or(usize::MAX)
    }

    fn set(&mut self, at: usize, value: usize) {
        self.shared.set(at, to_number(value));
    }

    /// Makes changes, [`layout::MOST_CHANGES`] at most: all of them or, where this process is killed before, none.
    pub fn commit(&mut self, changes: &[Change]) {
        if let [(at, value)] = *changes {
            return self.set(at, value);
        }
        for (index, (at, value)) in changes.iter().enumerate() {
            let [place, of_value] = Memory::listed(index);
            self.set(place, *at);
            self.set(of_value, *value);
        }
        self.set(layout::CHANGES, changes.len());
        for (at, value) in changes {
            self.set(*at, *value);
        }
        self.set(layout::CHANGES, 0);
    }

    /// The slot whose bytes are in the intake, and how many of them are done with.
    pub fn intake(&self) -> (Option<usize>, usize) {
        (self.get(layout::INTAKE_SLOT).checked_sub(1), self.get(layout::INTAKE_DONE))
    }

    /// The bytes that come into the intake from now on are of this slot.
    pub fn begin_intake(&mut self, slot: usize) {
        self.commit(&[(layout::INTAKE_SLOT, slot.saturating_add(1)), (layout::INTAKE_DONE, 0)]);
    }

    /// A number of one of the container's streams.
    pub fn of_outlet(&self, outlet: usize, number: OutletNumber) -> usize {
        self.get(layout::outlet(outlet, number))
    }

    /// What waits for one of the container's streams and is not written.
    pub fn waiting(&self, outlet: usize) -> &[u8] {
        let [written, length] =
            [OutletNumber::Written, OutletNumber::Length].map(|number| self.of_outlet(outlet, number).min(ROOM));
        let begin = layout::waiting(outlet);
        self.shared.bytes(begin + written..begin + length)
    }

    /// What is written of what waits for one of the container's streams.
    pub fn written(&self, outlet: usize) -> &[u8] {
        let begin = layout::waiting(outlet);
        self.shared.bytes(begin..begin + self.of_outlet(outlet, OutletNumber::Written).min(ROOM))
    }

    fn room_of(&self, outlet: usize) -> Range<usize> {
        let begin = layout::waiting(outlet);
        begin + self.of_outlet(outlet, OutletNumber::Length).min(ROOM)..begin + ROOM
    }

    /// Where more can be written that is to wait for one of the container's streams.
    pub fn room(&mut self, outlet: usize) -> &mut [u8] {
        let room = self.room_of(outlet);
        self.shared.bytes_mut(room)
    }

    /// A number of a slot.
    pub fn of_slot(&self, slot: usize, number: SlotNumber) -> usize {
        self.get(layout::of_slot(slot, number))
    }

    /// A run of a slot; `None`: none is known.
    pub fn run_of(&self, slot: usize, number: SlotNumber) -> Option<u64> {
        self.shared.get(layout::of_slot(slot, number)).checked_sub(1)
    }

    /// Keeps that.
    pub fn set_run_of(&mut self, slot: usize, number: SlotNumber, run: u64) {
        self.shared.set(layout::of_slot(slot, number), run.saturating_add(1));
    }

    fn held_at(&self, slot: usize) -> Range<usize> {
        let most = 3 * WINDOW;
        let end = self.of_slot(slot, SlotNumber::End).min(most);
        let begin = self.of_slot(slot, SlotNumber::Begin).min(end);
        layout::held(slot) + begin..layout::held(slot) + end
    }

    /// What is held of a log pipe.
    pub fn held(&self, slot: usize) -> &[u8] {
        self.shared.bytes(self.held_at(slot))
    }

    /// What is held of a log pipe and not passed on, and where more can be written that is to wait for one of the
    /// container's streams.
    pub fn held_and_room(&mut self, slot: usize, outlet: usize) -> (&[u8], &mut [u8]) {
        let (held, room) = (self.held_at(slot), self.room_of(outlet));
        let begin = (held.start + self.of_slot(slot, SlotNumber::Shown)).min(held.end);
        self.shared.both(begin..held.end, room)
    }

    /// Holds more of a log pipe, which was in the intake; `done`: how many of those bytes are done with then. There is room
    /// for [`WINDOW`] bytes where no more than that is held.
    pub fn hold(&mut self, slot: usize, bytes: &[u8], done: usize) {
        let mut held = self.held_at(slot);
        let base = layout::held(slot);
        if held.len() <= held.start - base && held.end + bytes.len() > base + 3 * WINDOW {
            // It is moved to where nothing is.
            let (from, to) = self.shared.both(held.clone(), base..base + held.len());
            to.copy_from_slice(from);
            held = base..base + held.len();
            self.commit(&[
                (layout::of_slot(slot, SlotNumber::Begin), 0),
                (layout::of_slot(slot, SlotNumber::End), held.len()),
            ]);
        }
        let room = self.shared.bytes_mut(held.end..held.end + bytes.len());
        room.copy_from_slice(bytes.get(..room.len()).unwrap_or_default());
        self.commit(&[
            (layout::of_slot(slot, SlotNumber::End), held.end - base + bytes.len()),
            (layout::INTAKE_DONE, done),
        ]);
    }

    /// What changes when so many bytes of what is held are done with.
    pub fn let_go(&self, slot: usize, length: usize) -> [Change; 3] {
        let place = |number| layout::of_slot(slot, number);
        let (begin, end) = (self.of_slot(slot, SlotNumber::Begin), self.of_slot(slot, SlotNumber::End));
        let shown = self.of_slot(slot, SlotNumber::Shown).saturating_sub(length);
        let begin = begin + length;
        // Nothing is held: it begins anew, so that no more memory is used than has to be.
        let (begin, end) = if begin >= end { (0, 0) } else { (begin, end) };
        [(place(SlotNumber::Begin), begin), (place(SlotNumber::End), end), (place(SlotNumber::Shown), shown)]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::File;
    use std::os::fd::AsFd as _;

    pub fn file() -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(to_number(layout::slot(3))).unwrap();
        file
    }

    pub fn over(file: &File) -> Memory {
        Memory::over(Shared::map(file.as_fd(), layout::slot(3)).unwrap())
    }

    #[test]
    fn a_list_of_changes_that_is_found_is_carried_out() {
        let file = file();
        let mut memory = over(&file);
        memory.set_run_of(2, SlotNumber::Run, 0);
        assert_eq!((memory.run_of(2, SlotNumber::Run), memory.run_of(1, SlotNumber::Run)), (Some(0), None));
        let (open, done) = (layout::outlet(1, OutletNumber::Open), layout::INTAKE_DONE);
        memory.commit(&[(open, 7), (done, 8)]);
        assert_eq!((memory.of_outlet(1, OutletNumber::Open), memory.intake()), (7, (None, 8)));
        // As a kill after the first of two changes leaves it.
        memory.begin_intake(1);
        let [[a, b], [c, d]] = [0, 1].map(Memory::listed);
        for (at, value) in [(a, open), (b, 9), (c, done), (d, 10), (layout::CHANGES, 2), (open, 9)] {
            memory.set(at, value);
        }
        let next = over(&file);
        assert_eq!((next.of_outlet(1, OutletNumber::Open), next.intake()), (9, (Some(1), 10)));
        assert_eq!(next.get(layout::CHANGES), 0);
    }

    proptest! {
        #[test]
        fn what_is_held_comes_out_in_order(steps in prop::collection::vec((0..=WINDOW, 0..3 * WINDOW), 0..30)) {
            let file = file();
            let mut memory = over(&file);
            let (mut all, mut byte) = (Vec::new(), 0u8);
            for (more, less) in steps {
                if all.len() <= WINDOW {
                    byte = byte.wrapping_add(1);
                    memory.hold(1, &vec![byte; more], 5);
                    all.extend(vec![byte; more]);
                }
                prop_assert_eq!(memory.held(1), &all[..]);
                let less = less.min(all.len());
                memory.commit(&memory.let_go(1, less));
                all.drain(..less);
                prop_assert_eq!(memory.held(1), &all[..]);
                prop_assert!(memory.held(0).is_empty() && memory.held(2).is_empty());
            }
        }
    }
}
