//! What a waiting service waits for: its dependencies' records, looked at anew at each ring.

use crate::model::definition::{Definition, Needs};
use crate::model::service::{self, Event, Standing};
use crate::model::time::Span;
use crate::paths;
use crate::sys::event::{FALLBACK, Waiter};
use crate::sys::ledger::Ledger;
use crate::text::{self, Text};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{BorrowedFd, OwnedFd};

/// The dependencies that did not hold when they were last looked at, each with an ear on its ring.
#[derive(Debug)]
pub struct Watch {
    /// The directory of all services' directories.
    services: Option<OwnedFd>,
    missing: Vec<Missing>,
}

#[derive(Debug)]
struct Missing {
    needs: Needs,
    standing: Standing,
    waiter: Option<Waiter>,
}

impl Missing {
    /// `None` where the condition holds.
    fn find(needs: Needs, services: Option<&OwnedFd>, ledger: &Ledger) -> Option<Missing> {
        let mut missing = Missing { needs, standing: judge(needs, ledger), waiter: None };
        (missing.standing != Standing::Holds && missing.renew(services, ledger)).then_some(missing)
    }

    /// The ear first, the record second: no change between the two is missed. `false`: it holds.
    fn renew(&mut self, services: Option<&OwnedFd>, ledger: &Ledger) -> bool {
        self.waiter = services.map(|services| {
            let path: Text<80> = text::format(format_args!("{}/{}", self.needs.name, paths::EVENT));
            Waiter::open(services, path.as_str())
        });
        self.standing = judge(self.needs, ledger);
        self.standing != Standing::Holds
    }
}

fn to_poll(ear: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(ear, PollFlags::empty())
}

impl Watch {
    /// Watches nobody yet.
    pub fn new(services: Option<OwnedFd>) -> Watch {
        Watch { services, missing: Vec::new() }
    }

    /// Looks at the dependencies; an event if all hold or one can't any more. Those that were missing
    /// are looked at again only when they have rung, and all of them once none is missing.
    pub fn look(&mut self, definition: &Definition<'_>, ledger: &Ledger) -> Option<Event> {
        if !self.missing.is_empty() {
            self.look_again(ledger);
        }
        if self.missing.is_empty() {
            let services = self.services.as_ref();
            self.missing = definition.needs().filter_map(|needs| Missing::find(needs, services, ledger)).collect();
        }
        match self.missing.iter().find(|missing| missing.standing == Standing::Never) {
            Some(missing) => Some(Event::DependencyFailed(missing.needs.index)),
            None => self.missing.is_empty().then_some(Event::DependenciesMet),
        }
    }

    fn look_again(&mut self, ledger: &Ledger) {
        let services = self.services.as_ref();
        let mut polled: Vec<PollFd<'_>> = self.ears().flatten().map(to_poll).collect();
        let _none_rang = poll(&mut polled, PollTimeout::ZERO);
        let mut rung = polled.iter().map(|polled| polled.any().unwrap_or(true)).collect::<Vec<_>>().into_iter();
        self.missing.retain_mut(|missing| {
            let heard = missing.waiter.as_ref().and_then(Waiter::fd).is_none_or(|_| rung.next().unwrap_or(true));
            !heard || missing.renew(services, ledger)
        });
    }

    fn ears(&self) -> impl Iterator<Item = Option<BorrowedFd<'_>>> {
        self.missing.iter().map(|missing| missing.waiter.as_ref().and_then(Waiter::fd))
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

    /// What to poll for, and how often to look where a FIFO could not be made. Without any run directory
    /// zei-init tells when it is time to look.
    pub fn descriptors(&self) -> (impl Iterator<Item = PollFd<'_>>, Option<Span>) {
        let deaf = self.services.is_some() && self.ears().any(|ear| ear.is_none());
        (self.ears().flatten().map(to_poll), deaf.then_some(FALLBACK))
    }

    /// The directory of all services' directories.
    pub fn directory(&self) -> Option<&OwnedFd> {
        self.services.as_ref()
    }
}

fn judge(needs: Needs, ledger: &Ledger) -> Standing {
    let record = ledger.read(usize::from(needs.index));
    service::judge(needs.condition, record.as_ref().map(|record| &record.service))
}
