//! One supervisor, as `run::supervise` drives its service: record, then act; with a point to be killed at between
//! any two of the things that it does.
//!
//! Owns: the runner's part. Must never: judge (that is `book`).

use crate::point::Point;
use crate::processes::{Pid, Process};
use crate::reached::Fact;
use crate::world::{Happening, World};
use zei::exit::Exit;
use zei::model::service::{self, Event, Main, Phase, Reason, Service, Standing, Told};
use zei::model::spec::Policy;
use zei::model::time::Time;

/// So long a successor waits for the jobs that it has killed.
const PATIENCE: u64 = 1000;

/// A supervisor that runs.
pub struct Supervisor {
    pub service: Service,
    /// It has begun: its arguments are read, its predecessor's work is taken over.
    pub begun: bool,
    pub leaving: bool,
    /// What zei-init was last told.
    standing: Option<Told>,
    /// It starts without its dependencies.
    pub alone: bool,
    /// The indices, in its list of needs, of what did not hold when it looked last.
    missing: Vec<usize>,
    /// Failed dependencies that were told to start, and the number of the record that said so.
    started: Vec<(usize, u64)>,
    /// The slot that the alarm is set to, and how often it was set.
    pub armed: Option<u64>,
    pub stamp: u64,
    /// How often the clock had been set when the plan was begun.
    pub clock: u32,
    /// From when on the plan looks for the next slot.
    pub after: u64,
    /// Nothing starts while it does what was accepted.
    pub holds: bool,
    /// It waits for the end of its predecessor's jobs.
    pub recovers: bool,
    /// Processes of its service may be zei-init's children.
    pub adopted: bool,
}

impl Supervisor {
    pub fn new() -> Supervisor {
        Supervisor {
            service: Service::new(false, Time(0), &Policy::default()),
            begun: false,
            leaving: false,
            standing: None,
            alone: false,
            missing: Vec::new(),
            started: Vec::new(),
            armed: None,
            stamp: 0,
            clock: 0,
            after: 0,
            holds: false,
            recovers: false,
            adopted: false,
        }
    }
}

impl World<'_> {
    pub fn policy(&self, index: usize) -> &Policy {
        &self.plan.services[index].policy
    }

    pub fn own(&mut self, index: usize) -> Option<&mut Supervisor> {
        self.places[index].supervisor.as_mut().filter(|own| own.begun && !own.leaving)
    }

    pub fn service(&self, index: usize) -> Option<&Service> {
        self.places[index].supervisor.as_ref().filter(|own| own.begun).map(|own| &own.service)
    }

    /// A point to be killed at; `true`: it was.
    pub fn dies(&mut self, index: usize, point: Point) -> bool {
        let place = &mut self.places[index];
        match &mut place.doom {
            Some((at, times)) if *at == point && place.supervisor.is_some() => {
                if *times > 0 {
                    *times -= 1;
                    return false;
                }
                place.doom = None;
                self.reached.point(point);
                self.trace(format_args!("{index}: its supervisor is killed {}", point.text()));
                self.bury(index, false);
                true
            }
            _ => self.places[index].supervisor.is_none(),
        }
    }

    /// It has begun. The jobs of a predecessor are ended first.
    pub fn begin(&mut self, index: usize) {
        if self.dies(index, Point::Begin) {
            return;
        }
        let place = &self.places[index];
        // At rest a service has been seen to leave nothing, so nobody looks.
        if place.record.as_ref().is_none_or(|(service, _)| !service::may_have_left(service)) {
            if !place.processes.is_empty() {
                let text = format!("nobody looks for {:?}", place.processes);
                self.wrong("left behind", text);
            }
        } else if !place.processes.is_empty() {
            self.reached.fact(Fact::LeftBehind);
        }
        for pid in self.below(index, Process::is_of_job) {
            self.kill_process(index, pid);
        }
        if self.below(index, Process::is_of_job).is_empty() {
            return self.go_on(index);
        }
        if let Some(own) = &mut self.places[index].supervisor {
            own.recovers = true;
        }
        self.push(PATIENCE, Happening::Recovered(index, self.places[index].generation));
    }

    /// What has become of the main process.
    fn find(&self, index: usize, record: &Service, child: Pid) -> Main {
        let place = &self.places[index];
        let Some(known) = service::left_behind(record, child) else { return Main::None };
        if let (None, Some(failure)) = (record.process, place.failure) {
            return Main::NotMade(failure);
        }
        let there = place.processes.iter().any(|process| process.pid == known.pid)
            || place.unreaped.iter().any(|(pid, _)| *pid == known.pid);
        match place.end.filter(|(run, pid, _)| (*run, *pid) == (record.run, known.pid)) {
            Some((_, _, exit)) => Main::Ended(known, exit),
            None if there => Main::Runs(known),
            None => Main::Ended(known, Exit::Code(0)),
        }
    }

    /// The state to go on with.
    pub fn go_on(&mut self, index: usize) {
        if self.dies(index, Point::Recovered) {
            return;
        }
        let (policy, now) = (*self.policy(index), self.now);
        let wanted = self.tree.is_wanted(index);
        let (service, events, adopted) = match self.places[index].record {
            None => (Service::new(wanted, now, &policy), [None, None], false),
            Some((record, child)) => {
                self.reached.fact(Fact::TakenOver);
                let main = self.find(index, &record, child);
                let spared = service::left_behind(&record, child).map(|main| main.pid);
                let left = self.places[index].processes.iter().any(|process| Some(process.pid) != spared);
                let (service, events) = service::take_over(record, main, left, now, &policy);
                match main {
                    Main::Runs(_) => self.reached.fact(Fact::Adopted),
                    Main::Ended(..) => self.reached.fact(Fact::EndedMeanwhile),
                    Main::NotMade(_) => self.reached.fact(Fact::NotMadeMeanwhile),
                    Main::None => {}
                }
                (service, events, service::may_have_left(&record))
            }
        };
        let Some(own) = &mut self.places[index].supervisor else { return };
        (own.service, own.begun, own.adopted, own.recovers) = (service, true, adopted, false);
        self.trace(format_args!("{index}: begins as {:?}, first {events:?}", service.phase));
        self.record_taken_over(index, service);
        self.judge_taken_over(index, &service);
        if self.dies(index, Point::TookOver) {
            return;
        }
        // What runs waits for its turn.
        if !adopted {
            self.take_order(index);
        }
        // The clock may have been set while nobody watched it.
        let planned = matches!(service.phase, Phase::Planned { .. });
        let events = if planned { [Some(Event::ClockSet(self.wall())), None] } else { events };
        if let Some(own) = self.own(index) {
            own.holds = true;
        }
        // Nobody is answered before what was accepted is done.
        let waits = std::mem::take(&mut self.places[index].waits);
        for event in events.into_iter().flatten() {
            self.feed(index, event);
        }
        self.places[index].waits = waits;
        self.finish_what_was_accepted(index);
        if let Some(event) = self.start_if_free(index) {
            self.feed(index, event);
        }
        if self.own(index).is_some() && self.publish(index) {
            self.settle(index);
            self.look(index);
            self.judge_quiet(index);
        }
    }

    /// A TERM says: look at what zei-init orders.
    pub fn take_order(&mut self, index: usize) {
        if let Some(shutdown) = self.order {
            let own = self.plan.command == Some(index);
            let signal = shutdown.signal.filter(|_| own);
            self.feed(index, Event::Shutdown(service::Shutdown { signal, ..shutdown }));
        }
    }

    /// An event and all that follows from it.
    pub fn feed(&mut self, index: usize, event: Event) {
        let mut next = Some(event);
        let mut changed = false;
        while let Some(event) = next {
            let (now, policy) = (self.now, *self.policy(index));
            let Some(own) = self.own(index) else { return };
            let before = own.service;
            let (after, action) = service::step(before, event, now, &policy);
            self.reached.pair(before.phase, &event);
            self.trace(format_args!("{index}: {event:?} {:?} -> {:?}, {action:?}", before.phase, after.phase));
            let stray = Phase::Failed(Reason::Stray);
            if before.phase == stray && after.phase != stray {
                self.reached.fact(Fact::StrayGone);
            }
            if after != before {
                changed = true;
                if self.dies(index, Point::BeforeRecord) {
                    return;
                }
                if let Some(own) = self.own(index) {
                    own.service = after;
                }
                self.record(index, after);
                self.judge_step(index, event, &after);
                if self.dies(index, Point::AfterRecord) {
                    return;
                }
            } else {
                self.judge_step(index, event, &after);
            }
            next = action.and_then(|action| self.perform(index, action));
            if next.is_none() {
                next = self.start_if_free(index);
            }
        }
        if self.own(index).is_none() && !self.places[index].supervisor.as_ref().is_some_and(|own| own.leaving) {
            return;
        }
        if changed && !self.publish(index) {
            return;
        }
        self.settle(index);
        if self.places[index].supervisor.as_ref().is_some_and(|own| own.leaving) {
            self.leave(index);
        }
    }

    /// It ends in order; whatever is open is answered.
    fn leave(&mut self, index: usize) {
        self.places[index].waits.clear();
        self.bury(index, true);
    }

    /// Nothing to wait for: no need to look at anybody.
    fn start_if_free(&mut self, index: usize) -> Option<Event> {
        let free = self.plan.services[index].needs.is_empty();
        let own = self.own(index)?;
        (own.service.phase == Phase::Waiting && (own.alone || free) && !own.holds).then_some(Event::DependenciesMet)
    }

    pub fn record(&mut self, index: usize, service: Service) {
        self.places[index].seq += 1;
        self.places[index].record = Some((service, 0));
        self.places[index].failure = None;
    }

    /// A record as it was found is not written once more: it still names what a spawn has left.
    fn record_taken_over(&mut self, index: usize, service: Service) {
        if self.places[index].record.is_none_or(|(record, _)| record.phase != service.phase) {
            self.record(index, service);
        }
    }

    /// Tells whoever may be interested. `false`: it was killed meanwhile.
    fn publish(&mut self, index: usize) -> bool {
        let Some(own) = &mut self.places[index].supervisor else { return false };
        let told = Told::of(&own.service);
        let is_news = own.standing.is_none_or(|before| told.is_news_after(&before));
        own.standing = Some(told);
        let is_planned = match own.service.phase {
            Phase::Planned { slot } if own.armed != Some(slot) => Some(slot),
            Phase::Planned { .. } => None,
            _ => {
                own.armed = None;
                None
            }
        };
        if is_news {
            if self.dies(index, Point::BeforeReport) {
                return false;
            }
            self.report(index);
            if self.dies(index, Point::AfterReport) {
                return false;
            }
        }
        for other in 0..self.places.len() {
            let needs = &self.plan.services[other].needs;
            let Some(own) = &self.places[other].supervisor else { continue };
            if own.missing.iter().any(|missing| needs[*missing].on == index) {
                if self.plan.losses && self.places[index].random.one_in(3) {
                    self.reached.fact(Fact::RingLost);
                } else {
                    let latency = self.latency(other, 4);
                    self.push(latency, Happening::Ring(other, self.places[other].generation));
                }
            }
        }
        if self.dies(index, Point::AfterRing) {
            return false;
        }
        if let Some(slot) = is_planned {
            self.arm(index, slot);
        }
        true
    }

    /// Looks at the dependencies until there is nothing to be learned: only at what is missing, until nothing is.
    pub fn look(&mut self, index: usize) {
        for _ in 0..100 {
            let Some(service) = self.service(index).copied().filter(Service::awaits_dependencies) else { break };
            if self.own(index).is_none() {
                return;
            }
            let Some(event) = self.look_once(index) else { return };
            let is_known = match (event, service.phase) {
                (Event::DependencyFailed(other), Phase::Failed(Reason::Dependency(known))) => other == known,
                (Event::DependenciesPending, phase) => phase == Phase::Waiting,
                _ => false,
            };
            if is_known {
                return;
            }
            self.feed(index, event);
            if self.violation.is_some() {
                return;
            }
        }
        if let Some(own) = self.own(index) {
            own.missing.clear();
            if own.service.awaits_dependencies() {
                self.wrong("busy", format!("{index} is busy for ever"));
            }
        }
    }

    fn look_once(&mut self, index: usize) -> Option<Event> {
        let needs = &self.plan.services[index].needs;
        let places = &self.places;
        let standing = |number: usize| {
            let record = places[needs[number].on].record.as_ref().map(|(service, _)| service);
            service::judge(needs[number].condition, record)
        };
        let own = self.places[index].supervisor.as_ref()?;
        let mut missing: Vec<usize> =
            own.missing.iter().copied().filter(|number| standing(*number) != Standing::Holds).collect();
        if missing.is_empty() {
            missing = (0..needs.len()).filter(|number| standing(*number) != Standing::Holds).collect();
        }
        let failed = missing.iter().copied().find(|number| {
            standing(*number) == Standing::Never
                && !own.started.contains(&(needs[*number].on, places[needs[*number].on].seq))
        });
        let event = match failed {
            Some(number) => Event::DependencyFailed(needs[number].on as u16),
            None if missing.is_empty() => Event::DependenciesMet,
            None => Event::DependenciesPending,
        };
        self.own(index)?.missing = missing;
        Some(event)
    }

    /// This dependency was told to start: that it is failed, by its record as it is now, says nothing any more.
    pub fn started(&mut self, index: usize, on: usize) {
        let seq = self.places[on].seq;
        if let Some(own) = self.own(index) {
            own.started.retain(|(other, _)| *other != on);
            own.started.push((on, seq));
        }
    }
}
