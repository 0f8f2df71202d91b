//! The processes of a simulated service: how they end, by themselves or when they are told to.

use crate::world::{Happening, World};
use zei::exit::Exit;
use zei::model::service::Event;
use zei::signal;

/// How a process that was killed ends.
pub const KILLED: Exit = Exit::Signal(signal::KILL);

/// A main process.
pub struct Main {
    pub pid: u32,
    /// It outlives its kill.
    pub stuck: bool,
    asks: u32,
    dying: bool,
    leaves: u64,
}

impl World {
    /// A new main process, with all that it will do.
    pub fn spawn(&mut self, index: usize) -> u32 {
        self.pid += 1;
        let pid = self.pid;
        if !self.random.one_in(3) {
            let until = self.random.pick(&[1, 50, 3000]);
            let at = self.random.below(until);
            let exit =
                self.random.pick(&[Exit::Code(0), Exit::Code(0), Exit::Code(1), Exit::Code(77), Exit::Signal(11)]);
            self.push(at, Happening::Exit(index, pid, exit));
        }
        let stuck = self.plan.stuck && self.random.one_in(6);
        let leaves = if !self.plan.simple && self.random.one_in(4) { 1 + self.random.below(3) } else { 0 };
        self.places[index].main = Some(Main { pid, stuck, asks: 0, dying: false, leaves });
        pid
    }

    /// How long a process takes to end after TERM; `None`: it ignores that.
    fn patience(&mut self) -> Option<u64> {
        match self.random.below(6) {
            0 => None,
            1 => Some(self.random.below(8000)),
            _ => Some(self.random.below(20)),
        }
    }

    pub fn ask(&mut self, index: usize) {
        let patience = self.patience();
        let Some(main) = &mut self.places[index].main else { panic!("{index} has nobody to ask") };
        main.asks += 1;
        assert_eq!(main.asks, 1, "{index} is asked twice");
        let pid = main.pid;
        if let Some(patience) = patience {
            let exit = self.random.pick(&[Exit::Code(0), Exit::Code(143), Exit::Signal(signal::TERM)]);
            self.push(patience, Happening::Exit(index, pid, exit));
        }
    }

    pub fn ask_rest(&mut self, index: usize) {
        for id in self.places[index].descendants.clone() {
            if let Some(patience) = self.patience() {
                self.push(patience, Happening::Orphan(index, id));
            }
        }
    }

    pub fn kill(&mut self, index: usize) {
        if let Some(main) = &mut self.places[index].main
            && !main.dying
        {
            main.dying = true;
            let (pid, stuck) = (main.pid, main.stuck);
            let latency = if stuck { 15_000 } else { self.random.below(4) };
            self.push(latency, Happening::Exit(index, pid, KILLED));
        }
        for id in self.places[index].descendants.clone() {
            let latency = self.random.below(4);
            self.push(latency, Happening::Orphan(index, id));
        }
    }

    pub fn exit(&mut self, index: usize, pid: u32, exit: Exit) {
        let Some(main) = self.places[index].main.take_if(|main| main.pid == pid) else { return };
        self.exits.push((self.now, index, exit));
        if self.places[index].supervisor.as_ref().is_some_and(|own| own.begun) {
            for _ in 0..main.leaves {
                self.pid += 1;
                self.places[index].descendants.push(self.pid);
            }
            self.exited(index, exit);
        }
    }

    pub fn orphan(&mut self, index: usize, id: u32) {
        let place = &mut self.places[index];
        let Some(at) = place.descendants.iter().position(|other| *other == id) else { return };
        place.descendants.remove(at);
        let empty = place.descendants.is_empty() && place.main.is_none();
        self.feed(index, if empty { Event::Empty } else { Event::Reaped });
        self.look(index);
    }
}
