//! What a waiting service waits for: its dependencies' records, looked at anew at each ring.

use crate::model::definition::{Definition, Needs};
use crate::model::service::{self, Event, Standing};
use crate::model::slot::Slot;
use crate::model::time::Time;
use crate::paths;
use crate::sys::event::Waiter;
use crate::sys::ledger::{self, Ledger};
use crate::sys::raw;
use crate::text::{self, Text};
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::Pid;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

/// The dependencies that did not hold when they were last looked at, each with an ear on its ring.
#[derive(Debug)]
pub struct Watch {
    /// The directory of all services' directories.
    services: Option<OwnedFd>,
    missing: Vec<Missing>,
    /// Failed dependencies that were told to start, and since when they had been failed.
    told: Vec<(u16, Time)>,
}

#[derive(Debug)]
struct Missing {
    needs: Needs,
    standing: Standing,
    /// Since when it has been in its phase.
    since: Time,
    waiter: Option<Waiter>,
}

impl Missing {
    /// `None` where the condition holds.
    fn find(needs: Needs, services: Option<&OwnedFd>, ledger: &Ledger) -> Option<Missing> {
        let mut missing = Missing { needs, standing: Standing::NotYet, since: Time(0), waiter: None };
        (missing.look(ledger) && missing.renew(services, ledger)).then_some(missing)
    }

    /// The ear first, the record second: no change between the two is missed. `false`: it holds.
    fn renew(&mut self, services: Option<&OwnedFd>, ledger: &Ledger) -> bool {
        self.waiter = services.map(|services| {
            let path: Text<80> = text::format(format_args!("{}/{}", self.needs.name, paths::EVENT));
            Waiter::open(services, path.as_str())
        });
        self.look(ledger)
    }

    /// `false`: it holds.
    fn look(&mut self, ledger: &Ledger) -> bool {
        let (slot, record) = ledger.entry(usize::from(self.needs.index));
        if slot.tag != Slot::tag(self.needs.name) {
            // It is no longer in the tree, so nobody waits for it.
            self.standing = Standing::Holds;
            return false;
        }
        self.since = record.map_or(Time(0), |record| record.service.since);
        self.standing = service::judge(self.needs.condition, record.as_ref().map(|record| &record.service));
        self.standing != Standing::Holds
    }
}

fn to_poll(ear: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(ear, PollFlags::empty())
}

impl Watch {
    /// Watches nobody yet.
    pub fn new(services: Option<OwnedFd>) -> Watch {
        Watch { services, missing: Vec::new(), told: Vec::new() }
    }

    /// Looks at the dependencies. While some are missing only those are looked at, and all of them once none is.
    pub fn look(&mut self, definition: &Definition<'_>, ledger: &Ledger) -> Event {
        if !self.missing.is_empty() {
            self.look_again(ledger);
        }
        if self.missing.is_empty() {
            let services = self.services.as_ref();
            self.missing = definition.needs().filter_map(|needs| Missing::find(needs, services, ledger)).collect();
        }
        let told = &self.told;
        let is_old = |missing: &Missing| told.contains(&(missing.needs.index, missing.since));
        match self.missing.iter().find(|missing| missing.standing == Standing::Never && !is_old(missing)) {
            Some(missing) => Event::DependencyFailed(missing.needs.index),
            None if self.missing.is_empty() => Event::DependenciesMet,
            None => Event::DependenciesPending,
        }
    }

    fn look_again(&mut self, ledger: &Ledger) {
        let services = self.services.as_ref();
        let mut polled: Vec<PollFd<'_>> = self.ears().flatten().map(to_poll).collect();
        let _none_rang = poll(&mut polled, PollTimeout::ZERO);
        let mut rung = polled.iter().map(|polled| polled.any().unwrap_or(true)).collect::<Vec<_>>().into_iter();
        self.missing.retain_mut(|missing| {
            let heard = missing.waiter.as_ref().and_then(Waiter::fd).is_none_or(|_| rung.next().unwrap_or(true));
            if heard { missing.renew(services, ledger) } else { missing.look(ledger) }
        });
    }

    fn ears(&self) -> impl Iterator<Item = Option<BorrowedFd<'_>>> {
        self.missing.iter().map(|missing| missing.waiter.as_ref().and_then(Waiter::fd))
    }

    /// Where the directory was removed, zei-init has another one, at the number that supervisors have it at.
    pub fn find_directory(&mut self, init: Pid) {
        let is_removed = |directory: &OwnedFd| fstat(directory).is_ok_and(|stat| stat.st_nlink == 0);
        if let Some(own) = self.services.as_ref().filter(|own| is_removed(own)) {
            let path: Text<48> = text::format(format_args!("/proc/{init}/fd/{}", ledger::SERVICES));
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            if let Ok(directory) = open(path.as_str(), flags, Mode::empty())
                && raw::duplicate(directory.as_raw_fd(), own.as_raw_fd()).is_ok()
            {
                let _others_have_it_from_zei_init = raw::set_close_on_exec(own.as_raw_fd(), true);
            }
        }
    }

    /// Nobody is watched any more.
    pub fn forget(&mut self) {
        if !self.missing.is_empty() {
            self.missing = Vec::new();
        }
    }

    /// Whether nobody is watched.
    pub fn is_idle(&self) -> bool {
        self.missing.is_empty()
    }

    /// What to poll for. Where a FIFO is missing or gone, zei-init tells when it is time to look.
    pub fn descriptors(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.ears().flatten().map(to_poll)
    }

    /// The directory of all services' directories.
    pub fn directory(&self) -> Option<&OwnedFd> {
        self.services.as_ref()
    }

    /// This dependency has been told to start: that it is failed, since then, says nothing any more.
    pub fn tell(&mut self, index: u16, since: Time) {
        self.told.retain(|(other, _)| *other != index);
        self.told.push((index, since));
    }
}
