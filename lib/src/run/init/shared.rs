//! What zei-init shares with its supervisors: the plan, run records, the report pipe, the journal.

use super::PROGRAM;
use crate::model::definition::Definitions;
use crate::model::definition::plan::Voice;
use crate::model::kills::Kills;
use crate::model::slot::{Calls, Slot};
use crate::model::time::Time;
use crate::name::ServiceName;
use crate::run::report::report;
use crate::sys::ledger::{self, Ledger};
use crate::sys::pipe::Readiness;
use crate::sys::{memfd, notify, oom, raw};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::pipe2;
use std::ffi::{CStr, CString, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The descriptors with the numbers that every supervisor inherits. They are not closed on exec:
/// zei-init executes nothing but supervisors, and itself, once they are there.
#[derive(Debug)]
pub struct Shared {
    /// The run records.
    pub ledger: Ledger,
    /// Whose record has changed.
    pub reports: OwnedFd,
    /// The plan that holds.
    plan: OwnedFd,
    /// The one before it, as long as somebody goes by it.
    former: Option<OwnedFd>,
    /// Which one was passed last: the former one or not.
    passed: Option<bool>,
    _definitions: OwnedFd,
    _report: OwnedFd,
    _services: Option<OwnedFd>,
    journal: Option<OwnedFd>,
    groups: Option<OwnedFd>,
}

/// Stores the plan, and makes room for the records of its services.
pub fn share(
    plan: &[u8],
    services: Option<OwnedFd>,
    journal: Option<OwnedFd>,
    groups: Option<OwnedFd>,
) -> Result<Shared, (&'static str, Errno)> {
    let stored = memfd::sealed("zei-plan", plan).map_err(|errno| ("store the definitions", errno))?;
    let copy = stored.try_clone().map_err(|_| ("duplicate a descriptor", Errno::last()))?;
    let records = memfd_create("zei-records", MFdFlags::MFD_CLOEXEC);
    let records = records.map_err(|errno| ("make room for the run records", errno))?;
    let pipe = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK);
    let (reports, report) = pipe.map_err(|errno| ("make a pipe", errno))?;
    let publish =
        |descriptor, number| raw::publish(descriptor, number).map_err(|errno| ("duplicate a descriptor", errno));
    let ledger = Ledger::over(publish(records, ledger::LEDGER)?);
    // What others were killed for want of memory before is nothing to this tree.
    if let Some(seen) = oom::counter().and_then(|counter| oom::kills(&counter)) {
        ledger
            .note_kills(Kills { seen, before: seen, at: Time(0) })
            .map_err(|errno| ("write to the run records", errno))?;
    }
    let shared = Shared {
        plan: stored,
        former: None,
        passed: Some(false),
        _definitions: publish(copy, ledger::DEFINITIONS)?,
        ledger,
        _report: publish(report, ledger::REPORT)?,
        _services: services.map(|services| publish(services, ledger::SERVICES)).transpose()?,
        journal: journal.map(|journal| publish(journal, ledger::JOURNAL)).transpose()?,
        groups: groups.map(|groups| publish(groups, ledger::GROUPS)).transpose()?,
        reports,
    };
    let definitions = Definitions(plan);
    let tags = || -> Result<(), Errno> {
        shared.ledger.make_room(definitions.count())?;
        let names = (0..definitions.count()).filter_map(|index| Some((index, definitions.name(index)?)));
        names.into_iter().try_for_each(|(index, name)| shared.ledger.mark(index, Slot::of(name)))
    };
    tags().map_err(|errno| ("make room for the run records", errno))?;
    Ok(shared)
}

/// What a service tells through that it is ready. A service whose own can't be made runs, but can't tell. `boot`: a
/// random number of this start of zei-init.
pub fn voice(name: ServiceName, voice: Voice, boot: u64) -> Option<OwnedFd> {
    let (what, made) = match voice {
        Voice::Pipe => ("readiness pipe", Readiness::make()),
        Voice::Socket => ("notify socket", notify::make(boot, name)),
    };
    made.map_err(|errno| {
        report(PROGRAM, format!("cannot make the {what} of {name}: {}; it can't tell that it is ready", errno.desc()));
    })
    .ok()
}

/// Of which kind one is that [`voice`] has made.
pub fn kind(voice: &OwnedFd) -> Option<Voice> {
    match SFlag::from_bits_truncate(fstat(voice).ok()?.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFIFO => Some(Voice::Pipe),
        SFlag::S_IFSOCK => Some(Voice::Socket),
        _ => None,
    }
}

impl Shared {
    /// What an earlier program of this process has shared, with the numbers that it had there; the plan and the report
    /// pipe's end lie elsewhere. `None`: it has not. `run_dir`: there is a run directory, `journal`: and a journal in it,
    /// `groups`: there are control groups.
    pub fn resume(plan: OwnedFd, reports: OwnedFd, run_dir: bool, journal: bool, groups: bool) -> Option<Shared> {
        let inherited = |number| raw::publish(raw::inherited(number)?, number).ok();
        Some(Shared {
            plan,
            former: None,
            passed: None,
            _definitions: inherited(ledger::DEFINITIONS)?,
            ledger: Ledger::over(inherited(ledger::LEDGER)?),
            _report: inherited(ledger::REPORT)?,
            _services: if run_dir { Some(inherited(ledger::SERVICES)?) } else { None },
            journal: if journal { Some(inherited(ledger::JOURNAL)?) } else { None },
            groups: if groups { Some(inherited(ledger::GROUPS)?) } else { None },
            reports,
        })
    }

    /// The journal, where there is one.
    pub fn journal(&self) -> Option<&OwnedFd> {
        self.journal.as_ref()
    }

    /// The control group for those of the services, where there is one.
    pub fn groups(&self) -> Option<&OwnedFd> {
        self.groups.as_ref()
    }

    /// The plan that holds.
    pub fn plan(&self) -> BorrowedFd<'_> {
        self.plan.as_fd()
    }

    /// From now on another one holds; who goes by the former one does so until [`Shared::settle`].
    pub fn replace(&mut self, plan: OwnedFd) {
        self.former = Some(core::mem::replace(&mut self.plan, plan));
        self.passed = None;
    }

    /// Nobody goes by the former plan any more.
    pub fn settle(&mut self) {
        self.former = None;
    }

    /// Passes the next supervisor the plan that holds, or the former one.
    pub fn pass(&mut self, former: bool) -> Result<(), Errno> {
        if self.passed != Some(former) {
            let plan = self.former.as_ref().filter(|_| former).unwrap_or(&self.plan);
            raw::duplicate(plan.as_raw_fd(), ledger::DEFINITIONS)?;
            self.passed = Some(former);
        }
        Ok(())
    }
}

/// Prefixes of variables that are for zei-init itself or for the process that it was started as.
const OWN: [&str; 4] = ["ZEI_", "NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_"];

/// What services see of the container's environment.
pub fn inheritable(environment: &[(OsString, OsString)]) -> Vec<CString> {
    environment
        .iter()
        .filter(|(key, _)| !OWN.iter().any(|own| key.as_bytes().starts_with(own.as_bytes())))
        .filter_map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()).ok())
        .collect()
}

/// The supervisor program.
pub const SUPERVISOR: &str = "zei-supervise";

/// The paths of the programs that a tree executes. They are found once, as this one's can't be told any more when
/// another file has taken its place.
#[derive(Debug)]
pub struct Programs {
    /// This one's.
    pub own: CString,
    /// The supervisor's: beside this one, whatever PATH says.
    pub supervisor: CString,
}

impl Programs {
    /// Finds them.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub fn find() -> Result<Programs, String> {
        let own = std::fs::read_link("/proc/self/exe")
            .map_err(|error| format!("cannot read /proc/self/exe: {error}; mount /proc"))?;
        let supervisor = own.with_file_name(SUPERVISOR);
        if !supervisor.exists() {
            return Err(format!("there is no {}: {SUPERVISOR} must lie beside zei-init", supervisor.display()));
        }
        super::trusted::programs(&own)?;
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string());
        Ok(Programs { own: text(&own)?, supervisor: text(&supervisor)? })
    }
}

/// The arguments of a supervisor: see `run::supervise::run`.
pub fn arguments(program: &CStr, name: ServiceName, index: usize, wanted: bool, calls: Calls) -> [CString; 5] {
    let text = |text: &str| CString::new(text).unwrap_or_default();
    let want = if wanted { "up" } else { "down" };
    [program.to_owned(), text(name.as_str()), text(&index.to_string()), text(want), text(calls.argument().as_str())]
}
