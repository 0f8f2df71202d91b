//! One supervisor, as `run::supervise` drives its service: record, then act; with a point to be killed at between
//! any two of the things that it does.
//!
//! Owns: the runner's part. Must never: judge (that is `book`).

use crate::point::Point;
use crate::processes::Process;
use crate::reached::Fact;
use crate::world::{Happening, World};
use zei::model::service::{self, Event, Phase, Reason, Service, Standing, Told};
use zei::model::spec::Policy;
use zei::model::time::Time;

/// So long a successor waits for what it has killed.
const PATIENCE: u64 = 10_000;

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
    /// What its predecessor left running.
    left: Option<service::Process>,
    /// Nothing starts while it does what was accepted.
    pub holds: bool,
    /// It waits for the end of that.
    pub recovers: bool,
    /// Something of that could not be killed in time.
    pub waits_for_strays: bool,
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
            left: None,
            holds: false,
            recovers: false,
            waits_for_strays: false,
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

    /// It has begun. What a predecessor has left is ended first.
    pub fn begin(&mut self, index: usize) {
        if self.dies(index, Point::Begin) {
            return;
        }
        let place = &mut self.places[index];
        let left = place.record.as_ref().and_then(|(service, child)| service::left_behind(service, *child));
        let left = left.filter(|left| place.processes.iter().any(|process| process.pid == left.pid));
        // At rest a service has been seen to leave nothing, so nobody looks.
        if place.record.as_ref().is_none_or(|(service, _)| !service::may_have_left(service)) {
            if !place.processes.is_empty() {
                let text = format!("nobody looks for {:?}", place.processes);
                self.wrong("left behind", text);
            }
        } else if !place.processes.is_empty() {
            self.reached.fact(Fact::LeftBehind);
        }
        let place = &mut self.places[index];
        if let Some(own) = &mut place.supervisor {
            own.left = left;
        }
        let is_stuck = |process: &Process| process.stuck;
        place.processes.retain(is_stuck);
        for pid in place.processes.iter().map(|process| process.pid).collect::<Vec<_>>() {
            self.kill_process(index, pid);
        }
        if self.places[index].processes.iter().any(is_stuck) {
            if let Some(own) = &mut self.places[index].supervisor {
                own.recovers = true;
            }
            self.push(PATIENCE, Happening::Recovered(index, self.places[index].generation));
        } else {
            self.go_on(index, true);
        }
    }

    /// The state to go on with. `gone`: nothing of its predecessor is left.
    pub fn go_on(&mut self, index: usize, gone: bool) {
        if self.dies(index, Point::Recovered) {
            return;
        }
        let (policy, now) = (*self.policy(index), self.now);
        let wanted = self.tree.is_wanted(index);
        let place = &mut self.places[index];
        let Some(own) = &mut place.supervisor else { return };
        let (service, inherited) = match place.record {
            None => (Service::new(wanted, now, &policy), None),
            Some((record, _)) => {
                self.reached.fact(Fact::TakenOver);
                let stuck = || place.processes.first().map(|process| service::Process { pid: process.pid, start: 0 });
                service::take_over(record, if gone { own.left } else { stuck() }, gone, now)
            }
        };
        (own.service, own.begun, own.waits_for_strays) = (service, true, !gone);
        self.trace(format_args!("{index}: begins as {:?}, first {inherited:?}", service.phase));
        self.record(index, service);
        self.judge_taken_over(index, &service);
        if self.dies(index, Point::TookOver) {
            return;
        }
        self.take_order(index);
        self.finish_what_was_accepted(index);
        // The clock may have been set while nobody watched it.
        let planned = matches!(service.phase, Phase::Planned { .. });
        if let Some(event) = inherited.or_else(|| planned.then(|| Event::ClockSet(self.wall()))) {
            self.feed(index, event);
        }
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
