//! What a schedule is made of: plain data, so that it can be made smaller and printed.

use crate::point::Point;
use std::fmt::Write as _;
use zei::exit::Exit;
use zei::model::spec::{Condition, ExitRule, OnEnd, Policy};
use zei::model::time::Span;
use zei::signal;

/// All that one schedule depends on.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub services: Vec<Planned>,
    pub command: Option<usize>,
    pub exit: ExitRule,
    pub budget: Span,
    /// Rings get lost now and then, and the pipe of the reports is short.
    pub losses: bool,
    /// Often there is no room for a supervisor.
    pub crowded: bool,
    /// Everything that is under way takes a millisecond.
    pub calm: bool,
    /// After so many events the tree is asked to end.
    pub enough: u64,
    pub interventions: Vec<(u64, Intervention)>,
}

/// A service, and how its processes behave.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What its own chance is drawn from; stays when other services are left out.
    pub id: u64,
    pub policy: Policy,
    pub needs: Vec<Needs>,
    /// It starts with the container by itself.
    pub autostart: bool,
    pub on_exit: OnEnd,
    pub on_failure: OnEnd,
    /// A schedule's slots lie so far apart.
    pub period: u64,
    /// The n-th run does the n-th of these, round and round.
    pub runs: Vec<Script>,
    /// And so do its jobs, whatever they are for.
    pub jobs: Vec<Work>,
}

#[derive(Clone, Copy, Debug)]
pub struct Needs {
    pub on: usize,
    pub condition: Condition,
    pub restart: bool,
}

/// How it goes with making a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spawning {
    Works,
    /// There is no room for it.
    Scarce,
    /// It is no program.
    Broken,
}

/// What a main process does.
#[derive(Clone, PartialEq, Debug)]
pub struct Script {
    pub spawning: Spawning,
    /// It ends by itself after so long.
    pub ends: Option<(u64, Exit)>,
    /// The kernel kills it then because memory is short.
    pub oom: bool,
    /// It ends so long after it was asked to; `None`: it does not care.
    pub patience: Option<u64>,
    pub answer: Exit,
    pub forks: Vec<Fork>,
    pub stuck: bool,
    pub says: Vec<(u64, Said)>,
}

/// A descendant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fork {
    /// So long after its parent's start.
    pub at: u64,
    pub lasts: Option<u64>,
    pub patience: Option<u64>,
    /// So often it has just made another when it is killed.
    pub hops: u8,
    pub stuck: bool,
}

/// What a job does.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Work {
    pub spawning: Spawning,
    /// `None`: it hangs.
    pub lasts: Option<u64>,
    pub exit: Exit,
    pub patience: Option<u64>,
    /// It leaves a process behind.
    pub leaves: bool,
}

/// What a service says by sd_notify(3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    Ready,
    Stopping,
    Reloading,
    Alive,
    Ailing,
    Watchdog(u64),
    Extend(u64),
    /// Its oldest child is its main process.
    MainIsChild,
}

/// What comes from outside.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Intervention {
    Command(usize, Verb),
    /// zei-init gets this signal.
    Signal(u8),
    /// zei-init is told to shut down by command.
    Shutdown,
    /// The supervisor is killed when it passes that point for the n-th time from then on.
    Kill(usize, Point, u8),
    /// All supervisors are killed at once.
    KillAll,
    /// The main process gets this signal from a stranger.
    Hit(usize, u8),
    /// `zei-ctl signal`.
    Pass(usize, u8),
    /// The supervisor gets a TERM from a stranger.
    Poke(usize),
    /// The wall clock is set by so much.
    Step(i64),
    /// The machine is asleep for so long.
    Suspend(u64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Start,
    StartAlone,
    Stop,
    Restart,
    Once,
    Reload,
}

impl Intervention {
    /// The service that it is about.
    pub fn service(&mut self) -> Option<&mut usize> {
        match self {
            Intervention::Command(index, _)
            | Intervention::Kill(index, _, _)
            | Intervention::Hit(index, _)
            | Intervention::Pass(index, _)
            | Intervention::Poke(index) => Some(index),
            Intervention::KillAll
            | Intervention::Signal(_)
            | Intervention::Shutdown
            | Intervention::Step(_)
            | Intervention::Suspend(_) => None,
        }
    }
}

impl Script {
    /// It runs until it is asked to end.
    pub const fn calm() -> Script {
        Script {
            spawning: Spawning::Works,
            ends: None,
            oom: false,
            patience: Some(1),
            answer: Exit::Signal(signal::TERM),
            forks: Vec::new(),
            stuck: false,
            says: Vec::new(),
        }
    }
}

impl Work {
    pub const fn calm() -> Work {
        Work { spawning: Spawning::Works, lasts: Some(1), exit: Exit::Code(0), patience: Some(1), leaves: false }
    }
}

impl Plan {
    /// The plan as it stands in a report: what is as usual is left out.
    pub fn print(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "budget {}, command {:?}, exit {:?}, losses {}, crowded {}, calm {}, enough {}",
            self.budget, self.command, self.exit, self.losses, self.crowded, self.calm, self.enough
        );
        for (index, service) in self.services.iter().enumerate() {
            let _ = writeln!(text, "service {index}: autostart {}, needs {:?}", service.autostart, service.needs);
            if service.on_exit != OnEnd::None || service.on_failure != OnEnd::None {
                let _ = writeln!(text, "  on_exit {:?}, on_failure {:?}", service.on_exit, service.on_failure);
            }
            let (usual, own) = (fields(&Policy::default()), fields(&service.policy));
            let special: Vec<String> = own.into_iter().filter(|field| !usual.contains(field)).collect();
            let _ = writeln!(text, "  policy {}", special.join(", "));
            if service.policy.timer.is_some() {
                let _ = writeln!(text, "  period {}", service.period);
            }
            for run in &service.runs {
                let _ = writeln!(text, "  run {run:?}");
            }
            for job in &service.jobs {
                let _ = writeln!(text, "  job {job:?}");
            }
        }
        for (at, what) in &self.interventions {
            let _ = writeln!(text, "at {at}: {what:?}");
        }
        text
    }
}

/// The fields of a policy, each as it prints.
fn fields(policy: &Policy) -> Vec<String> {
    let (mut fields, mut depth) = (Vec::new(), 0);
    for line in format!("{policy:#?}").lines().map(str::trim) {
        match fields.last_mut() {
            Some(field) if depth > 1 => *field = format!("{field}{line}"),
            _ => fields.push(line.trim_end_matches(',').to_owned()),
        }
        depth += line.matches(['(', '{']).count();
        depth -= line.matches([')', '}']).count();
    }
    fields
}
