//! What zei-init shares with its supervisors: definitions, run records, the report pipe, the journal.

use super::PROGRAM;
use crate::model::definition;
use crate::model::kills::Kills;
use crate::model::record;
use crate::model::spec::{Config, ReadyTest, ServiceSpec};
use crate::model::time::Time;
use crate::name::ServiceName;
use crate::run::report::report;
use crate::sys::ledger::{self, Ledger};
use crate::sys::pipe::Readiness;
use crate::sys::{notify, oom, raw};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{ftruncate, pipe2};
use std::ffi::{CStr, CString, OsString};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

/// The descriptors with the numbers that every supervisor inherits. They are not closed on exec:
/// zei-init executes nothing but supervisors once they are there.
#[derive(Debug)]
pub struct Shared {
    /// The run records.
    pub ledger: Ledger,
    /// Whose record has changed.
    pub reports: OwnedFd,
    _definitions: OwnedFd,
    _report: OwnedFd,
    _services: Option<OwnedFd>,
    _journal: Option<OwnedFd>,
}

/// Compiles the definitions and makes room for the records. `environment` is the container's.
pub fn share(
    config: &Config,
    environment: &[(OsString, OsString)],
    services: Option<OwnedFd>,
    journal: Option<OwnedFd>,
    nofile: Option<(u64, u64)>,
) -> Result<Shared, (&'static str, Errno)> {
    let bytes = definition::encode(&config.services, &inheritable(environment), nofile);
    let definitions = memfd("zei-definitions", &bytes).map_err(|errno| ("store the definitions", errno))?;
    let length = i64::try_from(record::offset(config.services.len())).unwrap_or(i64::MAX);
    let records = || -> Result<OwnedFd, Errno> {
        let records = memfd_create("zei-records", MFdFlags::MFD_CLOEXEC)?;
        ftruncate(&records, length)?;
        Ok(records)
    };
    let records = records().map_err(|errno| ("make room for the run records", errno))?;
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
    Ok(Shared {
        _definitions: publish(definitions, ledger::DEFINITIONS)?,
        ledger,
        _report: publish(report, ledger::REPORT)?,
        _services: services.map(|services| publish(services, ledger::SERVICES)).transpose()?,
        _journal: journal.map(|journal| publish(journal, ledger::JOURNAL)).transpose()?,
        reports,
    })
}

/// What each service tells through that it is ready: a socket, a pipe, or nothing. A service whose own can't be made
/// runs, but can't tell.
pub fn voices(services: &[ServiceSpec]) -> Vec<Option<OwnedFd>> {
    // std seeds each with random bytes of the kernel's.
    let boot = RandomState::new().build_hasher().finish();
    services.iter().map(|service| voice(service, boot)).collect()
}

fn voice(service: &ServiceSpec, boot: u64) -> Option<OwnedFd> {
    let (what, made) = match &service.ready {
        Some(ReadyTest::NotifyFd(_) | ReadyTest::Log(_)) => ("readiness pipe", Readiness::make()),
        Some(ReadyTest::NotifySystemd) => ("notify socket", notify::make(boot, service.name)),
        Some(ReadyTest::Job(_)) | None if service.policy.watchdog.is_some() => {
            ("notify socket", notify::make(boot, service.name))
        }
        Some(ReadyTest::Job(_)) | None => return None,
    };
    made.map_err(|errno| {
        let name = service.name;
        report(PROGRAM, format!("cannot make the {what} of {name}: {}; it can't tell that it is ready", errno.desc()));
    })
    .ok()
}

/// A memfd that can't change any more.
fn memfd(name: &str, bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let file = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = nix::unistd::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

/// Prefixes of variables that are for zei-init itself or for the process that it was started as.
const OWN: [&str; 4] = ["ZEI_", "NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_"];

/// What services see of the container's environment.
fn inheritable(environment: &[(OsString, OsString)]) -> Vec<CString> {
    environment
        .iter()
        .filter(|(key, _)| !OWN.iter().any(|own| key.as_bytes().starts_with(own.as_bytes())))
        .filter_map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()).ok())
        .collect()
}

/// The path of the supervisor program: beside this one, whatever PATH says.
pub fn supervisor() -> Result<CString, String> {
    let own = std::fs::read_link("/proc/self/exe")
        .map_err(|error| format!("cannot read /proc/self/exe: {error}; mount /proc"))?;
    let path = own.with_file_name("zei-supervise");
    if !path.exists() {
        return Err(format!("there is no {}: zei-supervise must lie beside zei-init", path.display()));
    }
    CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())
}

/// The arguments of a supervisor: see `run::supervise::run`.
pub fn arguments(program: &CStr, name: ServiceName, index: usize, wanted: bool) -> [CString; 4] {
    let text = |text: &str| CString::new(text).unwrap_or_default();
    [program.to_owned(), text(name.as_str()), text(&index.to_string()), text(if wanted { "up" } else { "down" })]
}
