//! How a follower learns that there is something to read.
//!
//! Owns: inotify(7), and what takes its place where there is none; the end of zei. Must never: be taken for the truth:
//! what it says is a hint to look.

use super::super::place::{Place, Target};
use crate::model::time::{Span, Time};
use crate::name::ServiceName;
use crate::paths;
use crate::sys::clock::now;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// So often a follower looks that can't have inotify: the kernel's limit is one for all containers of a host.
const LOOK: Span = Span(250);
/// So often it looks for zei-init where it can't be woken by its end.
const ALIVE: Span = Span::seconds(1);
/// And so often where zei-init is just ending, or is being taken apart.
const ENDING: Span = Span(10);

/// What may have changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// A service's log.
    Log(ServiceName),
    /// Which services there are: this one came.
    Service(ServiceName),
    /// Any of both.
    Anything,
}

/// Listens to the services' directories.
pub(super) struct Ear<'a> {
    place: &'a Place,
    /// `None`: it can't be had.
    inotify: Option<Inotify>,
    services: Option<WatchDescriptor>,
    watched: HashMap<WatchDescriptor, ServiceName>,
}

impl<'a> Ear<'a> {
    pub(super) fn open(place: &'a Place) -> Ear<'a> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
        let mut ear = Ear { place, inotify, services: None, watched: HashMap::new() };
        ear.services = ear.watch(paths::SERVICES, AddWatchFlags::IN_MOVE_SELF);
        if ear.services.is_none() {
            ear.inotify = None;
        }
        ear
    }

    /// Listens to a service. What changes from now on is heard, so its files are to be looked at after this.
    pub(super) fn listen(&mut self, name: ServiceName) {
        let directory = Target::Service(name).file("");
        if let Some(descriptor) = self.watch(&directory, AddWatchFlags::IN_MODIFY) {
            self.watched.insert(descriptor, name);
        } else if !self.place.has_lost(&Target::Service(name)) {
            // Half an ear is worse than none: it would never say that this one has something to tell.
            self.inotify = None;
        }
    }

    fn watch(&self, directory: &str, more: AddWatchFlags) -> Option<WatchDescriptor> {
        let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR | more;
        self.inotify.as_ref()?.add_watch(self.place.full(directory).as_str(), flags).ok()
    }

    /// What has been heard since it was asked last.
    pub(super) fn heard(&mut self) -> Vec<Heard> {
        let Some(inotify) = &self.inotify else { return vec![Heard::Anything] };
        let (mut heard, mut is_deaf) = (Vec::new(), false);
        while let Ok(events) = inotify.read_events() {
            for event in &events {
                let what = meaning(event, self.services, &self.watched);
                heard.extend(what.filter(|what| !heard.contains(what)));
                let is_gone = event.mask.intersects(AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_MOVE_SELF);
                is_deaf |= is_gone && Some(event.wd) == self.services;
                if is_gone {
                    self.watched.remove(&event.wd);
                }
            }
        }
        if is_deaf {
            // Somebody has removed all that it listened to, and zei makes it anew: from now on one looks.
            self.inotify = None;
            heard.push(Heard::Anything);
        }
        heard
    }

    /// Waits until something is heard, zei-init ends, nobody reads standard output any more, or it is time to look.
    pub(super) fn wait(&self, vigil: &mut Vigil, timeout: Option<Span>) {
        let stdout = io::stdout();
        let mut polled = vec![PollFd::new(stdout.as_fd(), PollFlags::empty())];
        let inotify = self.inotify.as_ref().map(|inotify| PollFd::new(inotify.as_fd(), PollFlags::POLLIN));
        let sentinel = vigil.sentinel.as_ref().map(|sentinel| PollFd::new(sentinel.as_fd(), PollFlags::empty()));
        let has_sentinel = sentinel.is_some();
        polled.extend(sentinel.into_iter().chain(inotify));
        let period = self.inotify.is_none().then_some(LOOK);
        let left = [timeout, period, vigil.left()].into_iter().flatten().min();
        let left = left.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left.0).unwrap_or(PollTimeout::MAX));
        // A signal, or no memory for it: then one looks once too often.
        let _woken = poll(&mut polled, left);
        let has_ended = has_sentinel && polled.get(1).is_some_and(|sentinel| sentinel.any() == Some(true));
        drop(polled);
        if has_ended {
            vigil.alarm();
        }
    }
}

fn meaning(
    event: &InotifyEvent,
    services: Option<WatchDescriptor>,
    watched: &HashMap<WatchDescriptor, ServiceName>,
) -> Option<Heard> {
    if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
        return Some(Heard::Anything);
    }
    if Some(event.wd) == services {
        let name = event.name.as_deref().and_then(OsStr::to_str)?;
        return ServiceName::parse(name).ok().map(Heard::Service);
    }
    let is_log = event.name.as_deref() == Some(OsStr::new(paths::LOG));
    watched.get(&event.wd).filter(|_| is_log).copied().map(Heard::Log)
}

/// Watches over the life of zei-init.
pub(super) struct Vigil {
    /// Has an event as soon as zei-init is gone; `None` where this user may have none, or it has had one.
    sentinel: Option<OwnedFd>,
    /// Which start of zei-init it is about.
    boot: Option<u64>,
    period: Span,
    checked: Time,
}

impl Vigil {
    /// `None`: zei is not running any more.
    pub(super) fn begin(place: &Place) -> Option<Vigil> {
        let sentinel = if place.alive() { place.sentinel() } else { None };
        let vigil = Vigil { sentinel, boot: boot(place), period: ALIVE, checked: now() };
        place.alive().then_some(vigil)
    }

    /// Time until it has to look; `None`: it is woken.
    fn left(&self) -> Option<Span> {
        self.sentinel.is_none().then(|| self.checked.plus(self.period).since(now()))
    }

    fn alarm(&mut self) {
        // Its FIFO is closed, its lock perhaps not yet.
        (self.sentinel, self.period, self.checked) = (None, ENDING, Time(0));
    }

    /// Whether zei has ended.
    pub(super) fn is_over(&mut self, place: &Place) -> bool {
        if self.left() != Some(Span(0)) {
            return false;
        }
        self.checked = now();
        // Another one may have begun.
        if !place.alive() || boot(place).is_some_and(|boot| self.boot.is_some_and(|own| own != boot)) {
            return true;
        }
        if self.period == ENDING {
            // Or it lives on, with another FIFO.
            self.sentinel = place.sentinel();
        }
        false
    }
}

fn boot(place: &Place) -> Option<u64> {
    place.init_status().ok().flatten().map(|status| status.boot)
}
