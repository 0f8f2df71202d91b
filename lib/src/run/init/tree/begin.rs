//! A tree begins to live: for the first time, or in a new program after an upgrade.
//!
//! Must never: start anything.

use super::Running;
use crate::model::definition::plan::Outline;
use crate::model::init::{Tree, Verdict};
use crate::model::time::Time;
use crate::name::ServiceName;
use crate::paths;
use crate::protocol::control::Lines;
use crate::protocol::status::InitState;
use crate::run::acks::Acks;
use crate::run::crowd::Crowd;
use crate::run::init::apply::Changes;
use crate::run::init::pump::LogPump;
use crate::run::init::rundir::RunDir;
use crate::run::init::shared::{self, Programs, Shared};
use crate::run::journal::Journal;
use crate::run::place::Place;
use crate::signal::{self, Set};
use crate::sys::signals::Signals;
use crate::sys::{clock, ledger, raw};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;
use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::os::fd::{AsFd as _, OwnedFd};

/// What was not done, and why.
type Failure = (&'static str, Errno);

/// What a zei-init knows of its services and of itself when it begins to live, for the first time or after an upgrade.
#[derive(Debug)]
pub struct Handed {
    /// By index; where there is no service any more, that of the last one.
    pub names: Vec<ServiceName>,
    /// Their supervisors.
    pub pids: Vec<Option<u32>>,
    /// Those that have had another one before.
    pub replaced: BTreeSet<usize>,
    /// Their control FIFOs.
    pub controls: Vec<Option<OwnedFd>>,
    /// Through what they tell that they are ready.
    pub voices: Vec<Option<OwnedFd>>,
    /// What was asked for.
    pub changes: Changes,
    /// A random number of the first start, for the names of those.
    pub seed: u64,
    /// The identity of this life of the container.
    pub boot: u64,
    /// How often the status was written.
    pub seq: u64,
    /// When it began.
    pub began: Time,
    /// What was last told, and since when that is so.
    pub state: (InitState, Time),
    /// Dispositions that zei-init was started with, and services don't get.
    pub defaults: Set,
}

impl Handed {
    /// Nothing runs yet.
    fn new(outline: &Outline, controls: Vec<Option<OwnedFd>>, defaults: Set) -> Handed {
        let services = || outline.services.iter().flatten();
        // std seeds each with random bytes of the kernel's.
        let seed = RandomState::new().build_hasher().finish();
        Handed {
            names: services().map(|service| service.name).collect(),
            pids: vec![None; outline.services.len()],
            replaced: BTreeSet::new(),
            controls,
            voices: services().map(|service| shared::voice(service.name, service.voice?, seed)).collect(),
            changes: Changes::default(),
            seed,
            boot: clock::wall() ^ (u64::from(std::process::id()) << 48),
            seq: 0,
            began: clock::now(),
            state: (InitState::Booting, clock::now()),
            defaults,
        }
    }
}

impl Running {
    /// Everything is ready to start; from here on signals are taken.
    pub fn begin(
        outline: &Outline,
        tree: Tree,
        programs: Programs,
        shared: Shared,
        run_dir: Option<RunDir>,
        controls: Vec<Option<OwnedFd>>,
        pump: LogPump,
    ) -> Result<Running, Failure> {
        let defaults = raw::ignored();
        // Where it was ignored, the kernel would keep every exit status to itself.
        raw::set_default(signal::CHLD).map_err(|errno| ("receive CHLD", errno))?;
        let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
            .and_then(|null| raw::publish(null, ledger::NULL))
            .inspect(|_| {
                let _it_is_copied_where_it_is_used = raw::set_close_on_exec(ledger::NULL, true);
            })
            .map_err(|errno| ("open /dev/null", errno))?;
        nix::sys::prctl::set_child_subreaper(true).map_err(|errno| ("become a subreaper", errno))?;
        let handed = Handed::new(outline, controls, defaults);
        Running::over(handed, outline, tree, programs, shared, run_dir, pump, null)
    }

    /// Over all that there is, in a process that is a subreaper and ignores no end of a child.
    #[allow(clippy::too_many_arguments)]
    pub fn over(
        handed: Handed,
        outline: &Outline,
        tree: Tree,
        programs: Programs,
        shared: Shared,
        mut run_dir: Option<RunDir>,
        pump: LogPump,
        null: OwnedFd,
    ) -> Result<Running, Failure> {
        let Handed { names, pids, replaced, controls, voices, changes, seed, boot, seq, began, state, defaults } =
            handed;
        let signals = Signals::take(Set(u64::MAX)).map_err(|errno| ("take signals", errno))?;
        crate::run::be_prompt();
        let place = run_dir.as_ref().and_then(|run_dir| Place::open(run_dir.directory.as_fd(), paths::INIT));
        let members = || (0..names.len()).map(|index| outline.services.get(index).and_then(Option::as_ref));
        Ok(Running {
            forward: members().map(|member| member.map_or(Set::EMPTY, |member| member.forward_signals)).collect(),
            stop_signals: members().map(|member| member.map_or(signal::TERM, |member| member.stop_signal)).collect(),
            names,
            command: outline.command,
            replaced,
            crowd: Crowd::NONE,
            supervisors: (0..).zip(&pids).filter_map(|(index, pid)| Some(((*pid)?, index))).collect(),
            pids,
            unstarted: BTreeSet::new(),
            tree,
            programs,
            shared,
            journal: Journal::over(run_dir.as_mut().and_then(|run_dir| run_dir.journal.take())),
            run_dir,
            acks: Acks::open(place.as_ref()),
            place,
            lines: Lines::default(),
            controls,
            voices,
            seed,
            changes,
            pump,
            room: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft),
            null,
            signals,
            defaults,
            boot,
            seq,
            began,
            state,
        })
    }

    /// After an upgrade: what has happened meanwhile is taken, and the supervisors are told. The verdict, should the
    /// tree have ended by it.
    pub fn go_on(&mut self) -> Option<Verdict> {
        let status = self.init_status();
        self.journal.resume(self.entry(&status, None));
        let mut events = VecDeque::new();
        (0..self.names.len()).for_each(|index| self.look(index, &mut events));
        self.reap(&mut events);
        self.tell_of_upgrade();
        events.into_iter().find_map(|event| self.feed(event))
    }
}
