//! The service's processes: signals to them, and their ends.
//!
//! Owns: the order "seen, recorded, reaped". Must never: send a signal to a pid that may be another's.

use super::Supervisor;
use crate::exit::Exit;
use crate::model::service::{Beside, Ending, Event, Kind, Phase, Service, Stage};
use crate::model::time::{Span, Time};
use crate::signal;
use crate::sys::cgroup::Group;
use crate::sys::owned::Whole;
use crate::sys::process::{self, Children, Held};
use crate::sys::{clock, oom};
use nix::errno::Errno;
use std::collections::BTreeSet;

impl Supervisor<'_> {
    /// Every death is seen, recorded, then reaped: killed in between, the zombie is zei-init's, which tells of it by
    /// CHLD as well.
    pub(super) fn reap(&mut self) {
        if self.adopted {
            self.take_end_of_main();
        }
        // Those that were reaped before a pause are told of with the last.
        let mut others = self.adopted || self.crowd.is_left();
        let most = self.crowd.most();
        for _next in 0..most {
            match process::look() {
                Children::Ended(pid, exit) if self.is_main(pid) => {
                    // Its last words count: they may be that another one is the main process.
                    self.hear();
                    if !self.is_main(pid) {
                        continue;
                    }
                    self.record_with(Service { process: None, ending: Some(Ending::Exited(exit)), ..self.service });
                    process::reap(pid);
                    self.end_main(exit);
                }
                Children::Ended(pid, exit) => {
                    process::reap(pid);
                    others = true;
                    if let Beside::Job { kind, process: Some(job), killed, .. } = self.service.beside
                        && job.pid == pid
                    {
                        self.end_job(kind, exit, killed);
                    }
                }
                left => {
                    self.crowd.is_gone();
                    return self.have_reaped(left, others);
                }
            }
        }
        self.crowd.goes_on(most);
        if self.is_to_look_again() {
            self.feed(Event::Reaped);
        }
    }

    /// A signal that does not kill lets a fork that is under way come to its end, so something may have been missed that
    /// makes others for ever, and the last one is never reaped. Each time it is looked for later, as what ignores its
    /// signal is not to be asked all the time.
    fn is_to_look_again(&self) -> bool {
        const SOON: Span = Span(50);
        let Phase::Stopping { stage: Stage::Rest | Stage::Kill, .. } = self.service.phase else { return false };
        clock::now().since(self.looked) >= self.looked.since(self.service.since).max(SOON)
    }

    fn have_reaped(&mut self, left: Children, others: bool) {
        if !others {
            return;
        }
        if left == Children::None {
            let gone = self.service.process.is_none() && self.is_alone(None);
            return self.feed(if gone { Event::Empty } else { Event::Reaped });
        }
        self.sweep_jobs();
        self.feed(Event::Reaped);
    }

    fn is_main(&self, pid: u32) -> bool {
        self.service.process.is_some_and(|main| main.pid == pid)
    }

    fn end_main(&mut self, exit: Exit) {
        self.main = None;
        let alone = self.is_alone(self.service.process.map(|main| main.pid));
        let oom = exit == Exit::Signal(signal::KILL) && self.was_short_of_memory();
        self.feed(Event::Exited { exit, alone, oom });
    }

    /// Nothing of the service lives, this process apart.
    fn is_alone(&self, spared: Option<u32>) -> bool {
        process::look() == Children::None && !(self.adopted && self.orphans.exist_but(spared))
    }

    /// Whether a death by KILL that nobody here has asked for was for want of memory.
    fn was_short_of_memory(&self) -> bool {
        if !matches!(self.service.phase, Phase::Starting { .. } | Phase::Running) {
            return false;
        }
        let Some(count) = oom::counter().and_then(|counter| oom::kills(&counter)) else { return false };
        let (oom, known) = self.ledger.kills().look(count, clock::now());
        let _the_next_one_may_be_taken_for_another = self.ledger.note_kills(known);
        oom
    }

    /// The main process, which is another's child, has ended; its parent alone knows how, and zei-init tells. Where it
    /// has become this one's own child meanwhile, it is reaped as any other.
    pub(super) fn take_end_of_main(&mut self) {
        let Some(main) = self.main.as_ref().filter(|main| main.has_ended()).map(|main| main.process) else { return };
        let parent = process::parent(main.pid);
        if parent == Some(std::process::id()) {
            self.main = None;
            return self.reap();
        }
        self.hear();
        if self.service.process != Some(main) {
            self.main = None;
            return;
        }
        let told = self.ledger.end(self.index).filter(|end| (end.run, end.pid) == (self.service.run, main.pid));
        match told {
            Some(end) => self.end_main(end.exit),
            // It says so when it has reaped it; there is nothing to watch until then.
            None if parent == Some(self.orphans.init) => self.main = self.main.take().map(Held::unwatched),
            None => self.end_main(Exit::Code(0)),
        }
    }

    /// Sends a signal to the main process.
    pub(super) fn signal_main(&self, number: u8) -> Result<(), Errno> {
        match (&self.main, self.service.process) {
            (Some(held), _) => held.signal(number),
            (None, Some(main)) => process::signal_child(main.pid, number),
            (None, None) => Err(Errno::ESRCH),
        }
    }

    pub(super) fn ask(&mut self, number: u8, group: bool) {
        // So long the main process has all that others would take from it.
        const TURN: Span = Span(50);
        self.kill_probe();
        let Some(main) = self.service.process else { return };
        // In a storm it would wait for its turn among all that run. A predecessor may have seen one, and stopped them.
        let alone = self.crowd.is_storm() || self.adopted;
        if alone {
            let _they_go_on_later = self.whole().find(true);
        }
        for number in [number, signal::CONT] {
            let sent = match &self.main {
                Some(held) if group => held.signal_group(number),
                None if group => process::signal_group(main.pid, number),
                Some(_) | None => self.signal_main(number),
            };
            match sent {
                Ok(()) => {}
                // Another's child, which that has reaped.
                Err(Errno::ESRCH) if self.main.is_some() => {}
                Err(errno) => {
                    self.say(format_args!("cannot send {} to {}: {}", signal::Name(number), main.pid, errno.desc()));
                }
            }
        }
        if alone {
            self.turn = clock::now().plus(TURN);
        }
    }

    /// The main process has had its turn: the others go on.
    pub(super) fn end_turn(&mut self) {
        self.turn = Time::NEVER;
        self.whole().listed().signal(&[signal::CONT], &mut BTreeSet::new());
    }

    /// All that belongs to the service.
    fn whole(&self) -> Whole {
        Whole::new(self.adopted.then_some(self.orphans))
    }

    pub(super) fn ask_rest(&mut self) -> Option<Event> {
        self.kill_probe();
        self.turn = Time::NEVER;
        let (all, frozen) = self.whole().find(false);
        self.looked = clock::now();
        all.signal(if frozen { &[signal::TERM] } else { &[signal::TERM, signal::CONT] }, &mut self.asked);
        if frozen {
            // Those that end now are a crowd. All have got it before any goes on.
            self.crowd.is_expected();
            all.signal(&[signal::CONT], &mut BTreeSet::new());
        }
        self.is_all_gone()
    }

    pub(super) fn kill(&mut self) -> Option<Event> {
        self.turn = Time::NEVER;
        let again = self.killed.replace(self.service.since) == Some(self.service.since);
        let grouped = self.group.as_ref().map_or(0, Group::kill);
        let (all, _frozen) = self.whole().find(again);
        self.looked = clock::now();
        let count = all.signal(&[signal::KILL], &mut BTreeSet::new()).max(grouped);
        self.crowd.is_expected();
        // Once for each stop, and not where the configuration wants a kill; working out a schedule is no stop.
        let planning = matches!(self.service.beside, Beside::Job { kind: Kind::Plan, .. });
        let late = self.definition.policy.stop_signal != signal::KILL && !again;
        if late && !planning && count > 0 {
            self.say(format_args!("did not end in time; killed {count} of its processes"));
        }
        self.is_all_gone()
    }

    /// Where orphans went meanwhile is told by nobody else.
    fn is_all_gone(&self) -> Option<Event> {
        (self.service.process.is_none() && self.is_alone(None)).then_some(Event::Empty)
    }
}
