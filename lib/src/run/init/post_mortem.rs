//! The last words about a container that ends by failure: who, why, when, and what the culprit wrote last.
//!
//! Owns: their text, for standard error and for Kubernetes alike. Must never: decide what counts as a failure, or
//! wait for whoever reads.

use crate::model::init::{Cause, Verdict};
use crate::model::service::{Ending, Failure, Fault, Phase, Reason, Service};
use crate::model::time::{Span, Time};
use crate::name::ServiceName;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::uio::pwrite;
use nix::unistd::ftruncate;
use std::path::Path;
use std::time::{Duration, SystemTime};

#[cfg(test)]
mod tests;

/// The whole text is never longer, in bytes: a pipe takes that as a whole (PIPE_BUF), and Kubernetes shows no more.
pub const MOST: usize = 4096;
/// So many of the last lines are shown, each no longer than that many characters.
const LINES: usize = 20;
const WIDTH: usize = 300;
/// What a service itself has left where Kubernetes looks is kept if it is no longer.
const KEPT: u64 = 2048;

/// What the text is about, beside the verdict.
#[derive(Debug)]
pub struct Scene<'a> {
    /// All services, by their indices.
    pub names: &'a [ServiceName],
    /// When zei-init began.
    pub began: Time,
    /// Now, and now by the wall clock in milliseconds since 1970.
    pub now: (Time, u64),
    /// What the culprit has written last.
    pub last: &'a [u8],
}

/// What there is to say, some lines; `None` where the container does not end by failure.
pub fn text(program: &str, verdict: &Verdict, scene: &Scene<'_>) -> Option<String> {
    if !verdict.is_failure() {
        return None;
    }
    let (now, wall) = scene.now;
    let wall = Duration::from_millis(wall.saturating_sub(now.since(verdict.at).0));
    let when = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + wall);
    let after = rough(verdict.at.since(scene.began));
    let mut text = format!(
        "{program}: the container failed, exit code {}: {}\n{program}: that was at {when}, {after} after the start\n",
        verdict.code,
        story(verdict, scene.names),
    );
    let last = last_lines(scene.last);
    if let Some((culprit, _)) = verdict.culprit()
        && !last.is_empty()
    {
        text += &format!("{program}: the last lines of {}:\n", name(*culprit, scene.names));
        // The last of all must be there.
        let room = MOST.saturating_sub(text.len());
        let fits = |length: &mut usize, line: &String| {
            *length += line.len();
            Some(*length <= room)
        };
        let count = last.iter().rev().scan(0, fits).take_while(|fits| *fits).count();
        text.extend(last.iter().skip(last.len() - count).map(String::as_str));
    }
    Some(cut(&text, MOST).to_owned())
}

/// At most so many bytes of it.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end.min(text.len())).unwrap_or(text)
}

fn name(index: usize, names: &[ServiceName]) -> ServiceName {
    names.get(index).copied().unwrap_or(ServiceName::CMD)
}

/// Who failed, by whom, and how the first of them came to it.
fn story(verdict: &Verdict, names: &[ServiceName]) -> String {
    let own = match verdict.chain.as_slice() {
        [] => return "all services have ended, none by failure".to_owned(),
        [(culprit, service)] => format!("{} {}", name(*culprit, names), end(service)),
        [(victim, _), roots @ ..] => {
            let link = |(root, _): &(usize, Service)| format!("because its dependency {} failed", name(*root, names));
            let links: Vec<String> = roots.iter().map(link).collect();
            let how = roots.last().map(|(_, service)| end(service)).unwrap_or_default();
            format!("{} failed {}: {how}", name(*victim, names), links.join(", "))
        }
    };
    match verdict.cause {
        Cause::All => format!("all services have ended, the first failure was this: {own}"),
        Cause::Service | Cause::Unhealthy | Cause::Command | Cause::Asked => own,
    }
}

/// How a service came to where it is, behind its name.
fn end(service: &Service) -> String {
    match service.phase {
        Phase::Failed(Reason::Stray) => "has left a process that could not be killed".to_owned(),
        Phase::Failed(Reason::GaveUp) => format!("{}, and was given up", last_run(service)),
        Phase::Failed(Reason::Ended | Reason::Dependency(_)) | Phase::Completed => last_run(service),
        Phase::Waiting
        | Phase::Preparing
        | Phase::Spawning
        | Phase::Starting { .. }
        | Phase::Running
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped => match service.failures {
            1 => "is unhealthy: a check has failed".to_owned(),
            failures => format!("is unhealthy: {failures} checks in a row have failed"),
        },
    }
}

fn last_run(service: &Service) -> String {
    let how = match (service.fault, service.ending) {
        (Some(Fault::OutOfMemory), _) => "was killed by the kernel because memory was short".to_owned(),
        (Some(Fault::PreStart), Some(Ending::Exited(exit))) => {
            format!("could not start: its pre_start ended by {exit}")
        }
        (Some(Fault::NotReady), Some(Ending::Exited(exit))) => format!("never became ready, and ended by {exit}"),
        (Some(Fault::Unhealthy), Some(Ending::Exited(exit))) => format!("was unhealthy, and ended by {exit}"),
        (Some(Fault::Watchdog), Some(Ending::Exited(exit))) => {
            format!("no longer said that it lives (watchdog), and ended by {exit}")
        }
        (None, Some(Ending::Exited(exit))) => format!("ended by {exit}"),
        (_, Some(Ending::NotStarted(Failure { stage, errno }))) => {
            return format!("could not start: cannot {}: {}", stage.text(), Errno::from_raw(errno).desc());
        }
        (_, None) => return "failed before it was started".to_owned(),
    };
    let after = rough(service.since.since(service.began));
    match service.restarts {
        0 => format!("{how}, {after} after its start"),
        1 => format!("{how} after 1 restart, {after} after its last start"),
        restarts => format!("{how} after {restarts} restarts, {after} after its last start"),
    }
}

/// For people: no milliseconds from a second on.
fn rough(span: Span) -> Span {
    if span < Span::seconds(1) { span } else { Span::seconds(span.0 / 1000) }
}

/// The last lines of what was written, each with its newline and without what would do something to a terminal.
fn last_lines(written: &[u8]) -> Vec<String> {
    let written = String::from_utf8_lossy(written);
    let lines: Vec<&str> = written.lines().collect();
    let shown = lines.iter().skip(lines.len().saturating_sub(LINES));
    let plain = |line: &&str| {
        let plain: String = line.chars().filter(|c| !c.is_control() || *c == '\t').take(WIDTH).collect();
        format!("  {plain}\n")
    };
    shown.map(plain).collect()
}

/// Leaves the text where Kubernetes looks for it, if that is a file; whatever else it is stays as it is. What a
/// service has left there comes before it.
pub fn leave(path: &Path, text: &str) -> Result<(), Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = open(path, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    if SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) != SFlag::S_IFREG {
        return Err(Errno::EINVAL);
    }
    let kept = u64::try_from(stat.st_size).ok().filter(|size| *size <= KEPT).unwrap_or(0);
    let room = MOST.saturating_sub(usize::try_from(kept).unwrap_or(MOST));
    let at = i64::try_from(kept).unwrap_or(0);
    ftruncate(&file, at)?;
    pwrite(&file, cut(text, room).as_bytes(), at).map(drop)
}
