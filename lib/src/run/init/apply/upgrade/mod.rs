//! The programs on the disk take over from those that run, and no service notices.
//!
//! Owns: trying them before anything depends on them, and handing over. Must never: give up what runs for a program that
//! was not tried with all that it gets.
//!
//! zei-init executes the new one in its own place: its pid, its children, its pending signals and the descriptors that
//! [`Kept`] names stay. The new one tells the supervisors, each of which does the same as soon as neither probe nor hook
//! of it runs, and has zei-log replaced. Before that, a child of zei-init that is the new program has read all of it, and
//! has seen that the other programs are of the same version.

mod kept;
mod resume;

pub use resume::resume;

use super::{Answer, Asked, Changes, Refused};
use crate::exit;
use crate::model::init::Seat;
use crate::model::record::FORM;
use crate::model::slot::Calls;
use crate::protocol::control::{Progress, Request};
use crate::run::init::PROGRAM;
use crate::run::init::tree::Running;
use crate::signal;
use crate::sys::raw::{self, Strings};
use crate::sys::spawn::{self, Spawn, Stream};
use crate::sys::{elevation, ledger, memfd};
use crate::text::{self, Text};
use kept::{Kept, KeptAnswer, KeptPump, KeptRunDir, KeptService};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};

/// The first argument of the child that tries the new programs; nobody else has a use for it.
const TRY: &str = "--try-upgrade";
/// The first argument of the program that takes over; behind it stands the number of the descriptor of what is kept.
const RESUME: &str = "--resume";
/// Where the child that tries finds the plan; the rest is on its standard input.
const PLAN: RawFd = 3;

impl Changes {
    fn keep_answer(answer: &Answer) -> KeptAnswer {
        KeptAnswer { token: answer.token.as_str().to_owned(), number: answer.number }
    }

    fn keep_waiting(&self) -> Vec<(String, Option<KeptAnswer>)> {
        let keep = |asked: &Asked| {
            let (verb, argument) = asked.what.words();
            let token = asked.answer.map(|answer| answer.token);
            (Request { token, verb, argument }.to_string(), asked.answer.as_ref().map(Changes::keep_answer))
        };
        self.waiting.iter().map(keep).collect()
    }
}

impl Running {
    /// Starts the child that tries the new programs.
    pub(super) fn try_programs(&self) -> Result<(u32, OwnedFd), Refused> {
        let kept = self.keep(None)?;
        let room = |errno| Refused::system("make room for what is handed over", errno);
        let state = memfd::empty("zei-kept").map_err(room)?;
        memfd::write_all(&state, &kept.encode()).map_err(room)?;
        let output = memfd::empty("zei-answer").map_err(room)?;
        let word = CString::new(TRY).unwrap_or_default();
        let spawned = spawn::spawn(&Spawn {
            streams: [Stream::Of(state.as_fd()), Stream::Of(output.as_fd()), Stream::Same],
            passed: Some((self.shared.plan(), PLAN)),
            defaults: self.defaults,
            death_signal: Some(signal::KILL),
            ..Spawn::new(
                Strings::collect([self.programs.own.as_c_str(), &word].into_iter()),
                Strings::collect(raw::environment()),
            )
        });
        let pid = spawned.map_err(|failure| {
            let path = self.programs.own.to_string_lossy();
            Refused::system(&format!("try {path}: {}", failure.stage.text()), Errno::from_raw(failure.errno))
        })?;
        Ok((pid, output))
    }

    /// Executes the new program. Returns only where that can't be done: why, and all goes on as it was.
    /// `answer`: what it has said when it was tried.
    pub(super) fn upgrade(&mut self, asked: &Asked, answer: &[u8]) -> Refused {
        // Many a program that is something else ends well, too.
        if !answer.starts_with(PROGRAM.as_bytes()) {
            let path = self.programs.own.to_string_lossy();
            return Refused::new(exit::SYSTEM, format!("{path} is no {PROGRAM} that could take over"));
        }
        let kept = match self.keep(asked.answer.as_ref()) {
            Ok(kept) => kept,
            Err(refused) => return refused,
        };
        let state = match memfd::sealed("zei-kept", &kept.encode()) {
            Ok(state) => state,
            Err(errno) => return Refused::system("make room for what is handed over", errno),
        };
        let descriptors: Vec<RawFd> = kept.descriptors().chain([ledger::NULL, state.as_raw_fd()]).collect();
        let close_on_exec = |close| descriptors.iter().try_for_each(|number| raw::set_close_on_exec(*number, close));
        let errno = close_on_exec(false).err().unwrap_or_else(|| {
            let words = [RESUME.to_owned(), state.as_raw_fd().to_string()];
            let words = words.map(|word| CString::new(word).unwrap_or_default());
            let arguments = core::iter::once(&self.programs.own).chain(&words).map(CString::as_c_str);
            let arguments = Strings::collect(arguments);
            // It finds out by itself that it is at rest.
            elevation::as_root(|| raw::execve(&self.programs.own, &arguments, &Strings::collect(raw::environment())))
        });
        let _as_they_were = close_on_exec(true);
        Refused::system(&format!("execute {}", self.programs.own.to_string_lossy()), errno)
    }

    /// All that its successor has to know. `answer`: where the upgrade itself is answered.
    fn keep(&self, answer: Option<&Answer>) -> Result<Kept, Refused> {
        let seats = self.tree.seats();
        let seats = seats.ok_or_else(|| Refused::new(exit::NOT_TRUE, "the tree is about to change; ask again"))?;
        let (state, unclean) =
            self.pump.kept().map_or((None, Vec::new()), |(state, unclean)| (Some(state), unclean.to_vec()));
        let run_dir = self.run_dir.as_ref().map(|run_dir| KeptRunDir {
            directory: run_dir.directory.as_raw_fd(),
            services: run_dir.services.as_raw_fd(),
            control: run_dir.control.as_raw_fd(),
            lock: run_dir.lock.as_raw_fd(),
            journal: self.journal.is_kept(),
        });
        Ok(Kept {
            form: FORM,
            plan: self.shared.plan().as_raw_fd(),
            reports: self.shared.reports.as_raw_fd(),
            run_dir,
            groups: self.shared.groups().is_some(),
            services: (0..).zip(seats).map(|(index, seat)| seat.map(|seat| self.keep_service(index, seat))).collect(),
            pump: KeptPump { state, pid: self.pump.pid(), unclean },
            booting: self.tree.is_booting(),
            seed: self.seed,
            boot: self.boot,
            seq: self.seq,
            began: self.began.0,
            since: self.state.1.0,
            defaults: self.defaults.0,
            reported: self.changes.reports,
            renewing: self.changes.renewing.iter().chain(answer).map(Changes::keep_answer).collect(),
            waiting: self.changes.keep_waiting(),
        })
    }

    fn keep_service(&self, index: usize, seat: Seat) -> KeptService {
        let number = |all: &[Option<OwnedFd>]| all.get(index)?.as_ref().map(AsRawFd::as_raw_fd);
        KeptService {
            control: number(&self.controls),
            voice: number(&self.voices),
            supervisor: self.pids.get(index).copied().flatten(),
            replaced: self.replaced.contains(&index),
            at: seat.at.0,
            tries: seat.tries,
            by_hand: seat.by_hand,
            order: seat.order.map(|(run, again_at)| (run, again_at.0)),
            pipes: self.pump.numbers(index),
        }
    }

    /// Whoever waits for an upgrade is told once every supervisor has gone over.
    pub(super) fn see_renewed(&mut self) {
        if self.changes.renewing.is_empty() {
            return;
        }
        let program = self.shared.ledger.calls().program;
        let is_new = |index| self.shared.ledger.read(index).is_some_and(|record| record.program == program);
        let supervisors = || (0..).zip(&self.pids).filter_map(|(index, pid)| pid.map(|_| index));
        if supervisors().all(is_new) {
            let text: Text<112> = text::format(format_args!(
                "zei-init and {} supervisors are zei {} now",
                supervisors().count(),
                env!("CARGO_PKG_VERSION")
            ));
            for answer in core::mem::take(&mut self.changes.renewing) {
                self.answer_to(Some(answer), Progress::Done, text);
            }
        }
    }

    /// What its predecessor has handed over goes on: the supervisors are told, and zei-log is replaced.
    pub(in crate::run::init) fn tell_of_upgrade(&mut self) {
        let calls = self.shared.ledger.calls();
        self.call(Calls { program: calls.program.wrapping_add(1), ..calls }, |_| true);
        self.pump.refresh();
    }
}
