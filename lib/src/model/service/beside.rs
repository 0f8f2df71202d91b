//! Jobs beside the main process, and what the service says of itself.
//!
//! Owns: probes, health, hooks, reloads, the plan of a schedule, notices, the watchdog. Must never: let two jobs
//! of a service run at once.

use super::{
    Action, Beside, Ending, Failure, Fault, HOOK_TIMEOUT, Kind, Notice, PLAN_AGAIN, PLAN_TIMEOUT, Phase, Process,
    Service, SpawnStage, Stage, Then, command, end, step,
};
use crate::exit::Exit;
use crate::model::spec::{HealthPolicy, OnUnhealthy, Policy, Ready, Timer};
use crate::model::time::{Span, Time};
use crate::protocol::status::Health;
use crate::signal;

/// A clock that was set back by less than this runs no slot again.
const SET_BACK: u64 = 3 * 3_600_000;
/// A slot that comes later than this was missed.
const LATE: u64 = 60_000;

/// A job is to be begun.
pub(super) fn order(service: &mut Service, kind: Kind, deadline: Time) -> Option<Action> {
    service.beside = Beside::Job { kind, process: None, deadline, killed: false };
    Some(Action::Begin(kind))
}

/// A reload that is due will not come: whoever waits for it is told so.
pub(super) fn forget_reload(service: &mut Service) {
    if service.reload_due {
        service.reload_due = false;
        service.reloads = service.reloads.saturating_add(1);
        service.reloaded = false;
    }
}

/// The next probe is due then, or as soon as what runs beside it has ended.
pub(super) fn probe_at(service: &mut Service, at: Time) {
    match service.beside {
        Beside::Job { .. } => service.probe_at = at,
        Beside::Nothing | Beside::Due(_) => service.beside = Beside::Due(at),
    }
}

/// Nothing more is to be begun beside it, and a probe is killed with what is done next. True: one that was not
/// killed before.
pub(super) fn quieten(service: &mut Service) -> bool {
    forget_reload(service);
    service.probe_at = Time::NEVER;
    match service.beside {
        Beside::Job { kind, process, deadline, killed } if kind.is_probe() => {
            service.beside = Beside::Job { kind, process, deadline, killed: true };
            !killed
        }
        Beside::Job { .. } => false,
        Beside::Due(_) | Beside::Nothing => {
            service.beside = Beside::Nothing;
            false
        }
    }
}

/// The pause until the next check.
pub(super) fn pause(service: &Service, health: &HealthPolicy, now: Time) -> Span {
    if is_starting(service, health, now) { health.start_interval } else { health.interval }
}

/// It may fail its checks without harm.
fn is_starting(service: &Service, health: &HealthPolicy, now: Time) -> bool {
    service.health == Health::Starting && now < service.up.plus(health.start_period)
}

/// The next job is due.
pub(super) fn due(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Starting { .. } => match policy.ready {
            Some(Ready::Asked { timeout, .. }) => order(service, Kind::Ready, now.plus(timeout)),
            Some(Ready::Told) | None => nothing(service),
        },
        Phase::Running => match policy.health {
            Some(health) => order(service, Kind::Health, now.plus(health.timeout)),
            None => nothing(service),
        },
        Phase::Planning => order(service, Kind::Plan, now.plus(PLAN_TIMEOUT)),
        Phase::Waiting
        | Phase::Preparing
        | Phase::Spawning
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => nothing(service),
    }
}

fn nothing(service: &mut Service) -> Option<Action> {
    service.beside = Beside::Nothing;
    None
}

pub(super) fn began(service: &mut Service, process: Process) -> Option<Action> {
    if let Beside::Job { kind, deadline, killed, .. } = service.beside {
        service.beside = Beside::Job { kind, process: Some(process), deadline, killed };
    }
    None
}

pub(super) fn not_began(service: &mut Service, failure: Failure, now: Time, policy: &Policy) -> Option<Action> {
    let Beside::Job { kind, .. } = service.beside else { return None };
    service.beside = Beside::Nothing;
    // No room for a process (fork(2), EAGAIN, ENOMEM) says nothing about the service.
    let scarce = failure.stage == SpawnStage::Process;
    match (kind, service.phase) {
        (Kind::PreStart, Phase::Preparing) => {
            service.fault = (!scarce).then_some(Fault::PreStart);
            step::fail_to_start(service, failure, now, policy)
        }
        (Kind::PostStop, Phase::Stopping { stage: Stage::Post, then, .. }) => end::follow(service, then, now, policy),
        (Kind::Health, Phase::Running) if scarce => {
            check_again(service, now, policy);
            None
        }
        _ => told(service, kind, false, now, policy),
    }
}

pub(super) fn ended(service: &mut Service, exit: Exit, now: Time, policy: &Policy) -> Option<Action> {
    let Beside::Job { kind, killed, .. } = service.beside else { return None };
    service.beside = Beside::Nothing;
    match (kind, service.phase) {
        (Kind::PreStart, Phase::Preparing) if exit.is_success() && !killed => step::spawn(service, now),
        (Kind::PreStart, Phase::Preparing) => {
            service.ending = Some(Ending::Exited(exit));
            service.fault = Some(Fault::PreStart);
            let deadline = now.plus(policy.grace());
            // What it may have left goes first; that nothing is left is told next.
            service.enter(Phase::Stopping { stage: Stage::Rest, deadline, then: Then::Decide }, now);
            Some(Action::AskRest)
        }
        _ => told(service, kind, exit.is_success() && !killed, now, policy),
    }
}

/// What a job has found out, in the phases that it was begun in; in others nobody wants to know any more.
fn told(service: &mut Service, kind: Kind, well: bool, now: Time, policy: &Policy) -> Option<Action> {
    if kind == Kind::Reload {
        service.reloads = service.reloads.saturating_add(1);
        service.reloaded = well;
    }
    let action = match (kind, service.phase) {
        (Kind::Ready, Phase::Starting { .. }) if well => {
            step::come_up(service, now, policy);
            None
        }
        (Kind::Ready, Phase::Starting { .. }) => {
            if let Some(Ready::Asked { interval, .. }) = policy.ready {
                probe_at(service, now.plus(interval));
            }
            None
        }
        (Kind::Health, Phase::Running) => checked(service, well, now, policy),
        (Kind::Reload, Phase::Starting { .. } | Phase::Running) if service.probe_at != Time::NEVER => {
            service.beside = Beside::Due(service.probe_at);
            service.probe_at = Time::NEVER;
            None
        }
        (Kind::Plan, Phase::Planning) => {
            service.beside = Beside::Due(now.plus(PLAN_AGAIN));
            None
        }
        (Kind::PreStart | Kind::PostStop | Kind::Ready | Kind::Health | Kind::Reload | Kind::Plan, _) => None,
    };
    match service.phase {
        Phase::Starting { .. } | Phase::Running if service.reload_due && action.is_none() => {
            order_reload(service, now, policy)
        }
        _ => action,
    }
}

/// A check came out.
fn checked(service: &mut Service, well: bool, now: Time, policy: &Policy) -> Option<Action> {
    let health = policy.health?;
    if well {
        (service.failures, service.health) = (0, Health::Healthy);
    } else if !is_starting(service, &health, now) {
        service.failures = service.failures.saturating_add(1);
        if service.failures >= health.retries && service.health != Health::Unhealthy {
            service.health = Health::Unhealthy;
            if health.on_unhealthy == OnUnhealthy::Restart {
                return command::fall(service, Fault::Unhealthy, policy.stop_signal, Then::Again, now, policy);
            }
        }
    }
    check_again(service, now, policy);
    None
}

fn check_again(service: &mut Service, now: Time, policy: &Policy) {
    if let Some(health) = policy.health {
        probe_at(service, now.plus(pause(service, &health, now)));
    }
}

/// Whoever asks for a reload by a command: at once, or after the check that runs.
pub(super) fn reload(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Starting { .. } | Phase::Running => {
            service.reload_due = true;
            match service.beside {
                Beside::Job { .. } => None,
                Beside::Nothing | Beside::Due(_) => order_reload(service, now, policy),
            }
        }
        // What does not run yet reads its configuration when it does; the others are asked for nothing.
        Phase::Waiting
        | Phase::Preparing
        | Phase::Spawning
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => None,
    }
}

fn order_reload(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    service.reload_due = false;
    let hook = policy.reload?;
    if let Beside::Due(at) = service.beside {
        service.probe_at = at;
    }
    order(service, Kind::Reload, now.plus(hook.timeout.unwrap_or(HOOK_TIMEOUT)))
}

/// The schedule says when it runs next; when that is has to be worked out.
pub(super) fn plan(service: &mut Service, now: Time) {
    service.enter(Phase::Planning, now);
    service.beside = Beside::Due(now);
}

/// From when on the next slot is looked for, both in milliseconds since 1970.
pub fn plan_after(service: &Service, policy: &Policy, wall: u64) -> u64 {
    let last = service.slot;
    let is_near = last.saturating_sub(wall) < SET_BACK;
    match policy.timer {
        Some(Timer::Schedule { catch_up: true }) if last != 0 && is_near => last,
        // Between the clock's new time and the slot that was run everything was run already.
        _ if is_near => last.max(wall),
        _ => wall,
    }
}

pub(super) fn slot(service: &mut Service, slot: u64, now: Time) -> Option<Action> {
    if let Beside::Job { kind: Kind::Plan, .. } = service.beside {
        service.beside = Beside::Nothing;
        if service.phase == Phase::Planning {
            service.enter(Phase::Planned { slot }, now);
        }
    }
    None
}

pub(super) fn slot_came(service: &mut Service, wall: u64, now: Time, policy: &Policy) -> Option<Action> {
    if let Phase::Planned { slot } = service.phase {
        if wall < slot {
            return None;
        }
        let catches_up = policy.timer == Some(Timer::Schedule { catch_up: true });
        if wall - slot > LATE && !catches_up {
            plan(service, now);
        } else {
            // Whatever else was missed until now is made good with it.
            service.slot = wall;
            service.enter(Phase::Waiting, now);
        }
    }
    None
}

pub(super) fn clock_set(service: &mut Service, wall: u64, now: Time, policy: &Policy) -> Option<Action> {
    // A slot that was leapt over has come.
    slot_came(service, wall, now, policy);
    if let Phase::Planned { .. } = service.phase {
        plan(service, now);
    }
    None
}

pub(super) fn ready(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    match service.phase {
        Phase::Starting { .. } if policy.ready == Some(Ready::Told) => {
            service.notice = Notice::None;
            step::come_up(service, now, policy);
        }
        Phase::Starting { .. } => {}
        // The end of a reload.
        Phase::Running => service.notice = Notice::None,
        // Of a run that is about to end, or of one that has.
        Phase::Waiting
        | Phase::Preparing
        | Phase::Spawning
        | Phase::Stopping { .. }
        | Phase::RestartPending { .. }
        | Phase::Scheduled { .. }
        | Phase::Planning
        | Phase::Planned { .. }
        | Phase::Stopped
        | Phase::Completed
        | Phase::Failed(_) => {}
    }
    None
}

/// It runs, and may speak for itself.
fn speaks(service: &Service) -> bool {
    matches!(service.phase, Phase::Starting { .. } | Phase::Running)
}

pub(super) fn notice(service: &mut Service, notice: Notice) -> Option<Action> {
    if speaks(service) {
        service.notice = notice;
    }
    None
}

pub(super) fn alive(service: &mut Service, now: Time) -> Option<Action> {
    if service.watchdog_at != Time::NEVER {
        service.watchdog_at = now.plus(service.watchdog);
    }
    None
}

pub(super) fn ailing(service: &mut Service, now: Time, policy: &Policy) -> Option<Action> {
    if speaks(service) {
        return command::fall(service, Fault::Watchdog, signal::ABRT, Then::Decide, now, policy);
    }
    None
}

pub(super) fn watchdog_set(service: &mut Service, span: Span, now: Time) -> Option<Action> {
    if speaks(service) {
        service.watchdog = span;
        let runs = service.phase == Phase::Running && span > Span(0);
        service.watchdog_at = if runs { now.plus(span) } else { Time::NEVER };
    }
    None
}
