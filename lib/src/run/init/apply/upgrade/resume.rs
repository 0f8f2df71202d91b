//! The new program: as the child that tries it, and in zei-init's place.
//!
//! Must never: open anything before what was handed over is taken.

use super::kept::{Kept, KeptService};
use super::{PLAN, RESUME, TRY};
use crate::exit;
use crate::model::definition::Definitions;
use crate::model::definition::plan::Outline;
use crate::model::init::{Seat, Terms, Tree};
use crate::model::time::Time;
use crate::name::ServiceName;
use crate::protocol::control::{self, Token};
use crate::protocol::status::InitState;
use crate::run::init::PROGRAM;
use crate::run::init::apply::{Answer, Asked, Changes, What};
use crate::run::init::pump::{LogPump, ZEI_LOG};
use crate::run::init::rundir::RunDir;
use crate::run::init::shared::{Programs, SUPERVISOR, Shared};
use crate::run::init::tree::{Handed, Running};
use crate::run::report::report;
use crate::run::version;
use crate::signal::Set;
use crate::sys::raw::{self, Arguments};
use crate::sys::{clock, credentials, elevation, ledger, memfd, spawn};
use nix::errno::Errno;
use std::ffi::OsStr;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Does what zei-init does that was started by an upgrade; `None`: it was not.
pub fn resume(arguments: Arguments) -> Option<u8> {
    // Whoever is not root stays what it was, whatever it was given; this opens nothing.
    let is_own = matches!(arguments.get(1), Some(TRY | RESUME));
    if is_own && credentials::give_up_setuid().is_err() {
        return Some(exit::SYSTEM);
    }
    match arguments.get(1) {
        Some(TRY) => Some(give_answer(try_all())),
        Some(RESUME) => {
            let number = arguments.get(2).and_then(|number| number.parse().ok());
            Some(match number.ok_or_else(|| "it is for zei-init itself".to_owned()).and_then(take_over) {
                Ok(mut running) => {
                    let end = running.go_on();
                    running.live_on(end)
                }
                Err(text) => {
                    report(PROGRAM, format!("cannot take over from the zei-init before: {text}"));
                    exit::SYSTEM
                }
            })
        }
        _ => None,
    }
}

fn give_answer(found: Result<(), String>) -> u8 {
    let (code, text) = match found {
        Ok(()) => (exit::OK, version(PROGRAM).as_str().to_owned()),
        Err(text) => (exit::SYSTEM, text),
    };
    memfd::write_all(raw::standard(1), text.as_bytes()).map_or(exit::SYSTEM, |()| code)
}

/// All that can be known beforehand.
fn try_all() -> Result<(), String> {
    let unreadable = |errno: Errno| format!("cannot read what the running zei-init leaves: {}", errno.desc());
    let kept = Kept::decode(&memfd::read_all(raw::standard(0)).map_err(unreadable)?)?;
    let plan = raw::inherited(PLAN).ok_or_else(|| unreadable(Errno::EBADF))?;
    let plan = memfd::read_all(&plan).map_err(unreadable)?;
    outline(&plan, &kept)?;
    be_at_rest(&plan).map_err(|errno| format!("cannot be at rest: {}", errno.desc()))?;
    [SUPERVISOR, ZEI_LOG].iter().try_for_each(|program| is_of_this_version(program))
}

fn is_of_this_version(program: &str) -> Result<(), String> {
    let path = spawn::beside(program).map_err(|errno| format!("cannot read /proc/self/exe: {}", errno.desc()))?;
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    // Only who has a configuration with log pipes needs it.
    if program == ZEI_LOG && !path.exists() {
        return Ok(());
    }
    let output = Command::new(path).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot execute {}: {error}", path.display()))?;
    let (found, wanted) = (String::from_utf8_lossy(&output.stdout).trim().to_owned(), version(program));
    if found == wanted.as_str() {
        return Ok(());
    }
    let found = if found.is_empty() { "it does not say which".to_owned() } else { format!("it is {found:?}") };
    Err(format!("{} is not of the same version as the new {PROGRAM}: {found}, not \"{wanted}\"", path.display()))
}

fn outline(plan: &[u8], kept: &Kept) -> Result<Outline, String> {
    let outline = Definitions(plan).outline().ok_or("the plan that holds can't be read")?;
    let is_there = |index: usize| kept.services.get(index).is_some_and(Option::is_some);
    let fits = outline.services.len() <= kept.services.len()
        && (0..).zip(&outline.services).all(|(index, member)| member.is_some() == is_there(index));
    if fits { Ok(outline) } else { Err("the plan that holds is not that of the running services".to_owned()) }
}

/// As the zei-init that it takes over from.
fn be_at_rest(plan: &[u8]) -> Result<(), Errno> {
    Definitions(plan).invoker().map_or(Ok(()), |invoker| elevation::rest_as(invoker.uid))
}

/// A descriptor that was named, closed on exec from now on.
fn take(number: RawFd) -> Result<OwnedFd, String> {
    raw::inherited(number).ok_or_else(|| format!("descriptor {number} was not handed over"))
}

fn take_some(number: Option<RawFd>) -> Result<Option<OwnedFd>, String> {
    number.map(take).transpose()
}

fn take_over(state: RawFd) -> Result<Running, String> {
    let cannot = |what: &'static str| move |errno: Errno| format!("cannot {what}: {}", errno.desc());
    // What is passed to supervisors was not always there.
    ledger::reserve_missing().map_err(cannot("set descriptors aside"))?;
    let kept = Kept::decode(&memfd::read_all(take(state)?).map_err(cannot("read what it has left"))?)?;
    let (plan, reports) = (take(kept.plan)?, take(kept.reports)?);
    let mut controls = Vec::new();
    let mut voices = Vec::new();
    let mut pipes = Vec::new();
    for service in &kept.services {
        controls.push(take_some(service.as_ref().and_then(|service| service.control))?);
        voices.push(take_some(service.as_ref().and_then(|service| service.voice))?);
        let [stdout, stderr] = service.as_ref().and_then(|service| service.pipes).unwrap_or_default();
        pipes.push([take_some(stdout)?, take_some(stderr)?]);
    }
    let mut run_dir = match kept.run_dir {
        None => None,
        Some(kept) => Some(RunDir {
            directory: take(kept.directory)?,
            services: take(kept.services)?,
            control: take(kept.control)?,
            journal: None,
            lock: take(kept.lock)?,
            // The plan says.
            group: None,
        }),
    };
    let pump_state = match kept.pump.state {
        None => None,
        Some([state, intake]) => Some([take(state)?, take(intake)?]),
    };
    let null = take(ledger::NULL)?;
    let has_journal = kept.run_dir.is_some_and(|run_dir| run_dir.journal);
    let shared = Shared::resume(plan, reports, run_dir.is_some(), has_journal, kept.groups)
        .ok_or("what is shared is not there")?;
    // From here on anything may be opened.
    let bytes = memfd::read_all(shared.plan()).map_err(cannot("read the plan that holds"))?;
    let outline = outline(&bytes, &kept)?;
    be_at_rest(&bytes).map_err(cannot("be at rest"))?;
    let copy = |file: &OwnedFd| file.try_clone().map_err(|error| format!("cannot duplicate a descriptor: {error}"));
    if let Some(run_dir) = &mut run_dir {
        run_dir.group = outline.control_group;
        run_dir.journal = shared.journal().map(copy).transpose()?;
    }
    let services = run_dir.as_ref().map(|run_dir| copy(&run_dir.services)).transpose()?;
    let program = spawn::beside(ZEI_LOG).map_err(cannot("read /proc/self/exe"))?;
    let streams = [raw::standard(1), raw::standard(2)];
    let mut pump = LogPump::new(program, streams, services, shared.ledger.token());
    for (index, pipes) in pipes.into_iter().enumerate() {
        pump.take_back(index, Definitions(&bytes), pipes);
    }
    if let Some(state) = pump_state {
        pump.resume(state, kept.pump.pid, kept.pump.unclean.clone(), clock::now());
    }
    let names = names(&outline, kept.services.len());
    let tree = tree(outline.clone(), &kept);
    let supervisors = kept.services.iter().map(|service| service.as_ref().and_then(|service| service.supervisor));
    let is_replaced =
        |index: &usize| kept.services.get(*index).is_some_and(|kept| kept.as_ref().is_some_and(|kept| kept.replaced));
    let handed = Handed {
        names,
        replaced: (0..kept.services.len()).filter(is_replaced).collect(),
        pids: supervisors.collect(),
        controls,
        voices,
        changes: changes(&kept),
        seed: kept.seed,
        boot: kept.boot,
        seq: kept.seq,
        began: Time(kept.began),
        state: (if kept.booting { InitState::Booting } else { InitState::Running }, Time(kept.since)),
        defaults: Set(kept.defaults),
    };
    let programs = Programs::find()?;
    Running::over(handed, &outline, tree, programs, shared, run_dir, pump, null)
        .map_err(|(what, errno)| format!("cannot {what}: {}", errno.desc()))
}

/// Where there is no service any more, its name is nobody's.
fn names(outline: &Outline, count: usize) -> Vec<ServiceName> {
    let name = |index: usize| outline.services.get(index)?.as_ref().map(|member| member.name);
    (0..count).map(|index| name(index).unwrap_or(ServiceName::CMD)).collect()
}

fn tree(outline: Outline, kept: &Kept) -> Tree {
    let Outline { services, command, signals, shutdown_timeout: budget, exit, .. } = outline;
    let nodes = services.into_iter().map(|member| member.map(|member| member.node));
    let nodes = nodes.chain(core::iter::repeat_with(|| None)).take(kept.services.len()).collect();
    let seat = |service: &KeptService| Seat {
        alive: service.supervisor.is_some(),
        at: Time(service.at),
        tries: service.tries,
        by_hand: service.by_hand,
        order: service.order.map(|(run, again_at)| (run, Time(again_at))),
    };
    let seats: Vec<Option<Seat>> = kept.services.iter().map(|service| service.as_ref().map(seat)).collect();
    Tree::resume(nodes, Terms { command, signals, budget, exit }, kept.booting, &seats)
}

fn changes(kept: &Kept) -> Changes {
    let answer = |kept: &super::KeptAnswer| Answer { token: Token::from(kept.token.as_str()), number: kept.number };
    let asked = |(line, kept): &(String, Option<super::KeptAnswer>)| {
        let request = control::parse(line.trim_end().as_bytes()).ok()?;
        let what = What::of(request.verb, request.argument).ok().flatten()?;
        Some(Asked { answer: kept.as_ref().map(answer), what })
    };
    Changes {
        waiting: kept.waiting.iter().filter_map(asked).collect(),
        current: None,
        reports: kept.reported,
        renewing: kept.renewing.iter().map(answer).collect(),
    }
}
