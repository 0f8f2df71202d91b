//! zei-init with a command and without a configuration: what tini and dumb-init are used for.
//!
//! Owns: one child, the signals on their way to it, the zombies, and the terminal's foreground. Must
//! never: touch a file, set a deadline, or wake up without a cause.

mod terminal;

use crate::exit::{self, Exit};
use crate::run::report::report;
use crate::run::setuidgid::{explain, find};
use crate::signal::{self, Name, Set};
use crate::sys::credentials;
use crate::sys::process::{signal_child, signal_group};
use crate::sys::raw::{self, Strings};
use crate::sys::say;
use crate::sys::signals::{Arrived, Signals};
use crate::sys::spawn::{self, Spawn, Stream};
use core::fmt;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::{CStr, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use terminal::Terminal;

/// The name that stands before every message.
const PROGRAM: &str = "zei-init";

/// The signals that are never passed on: two can't be caught, CHLD is for whoever has the children, the
/// faults are of the process that made them, and TTIN and TTOU are the terminal's word to one process.
pub const NOT_FORWARDED: Set = Set::of(&[
    signal::KILL,
    signal::STOP,
    signal::CHLD,
    signal::SEGV,
    signal::BUS,
    signal::FPE,
    signal::ILL,
    signal::ABRT,
    signal::TRAP,
    signal::SYS,
    signal::TTIN,
    signal::TTOU,
]);

/// What is said beside errors: see [`Options::verbosity`].
mod level {
    pub const WARNING: u32 = 1;
    pub const INFO: u32 = 2;
    pub const DEBUG: u32 = 3;
}

/// How the command is run; the default is that of tini without options.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Signals go to the command's process group, not to the command alone.
    pub group: bool,
    /// Exit codes that become 0.
    pub remap: Vec<u8>,
    /// The signal that zei-init gets, and passes on, when its own parent ends.
    pub parent_death: Option<u8>,
    /// To be no child subreaper is an error. (Where it is not PID 1 it always tries to be one.)
    pub subreaper: bool,
    /// Each zombie that is not the command is named.
    pub warn_on_reap: bool,
    /// 0 errors only, 1 warnings, 2 begin and end, 3 each signal.
    pub verbosity: u32,
    /// A signal, and what is sent in its place; 0: nothing. The last one for a signal counts.
    pub rewrite: Vec<(u8, u8)>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            group: false,
            remap: Vec::new(),
            parent_death: None,
            subreaper: false,
            warn_on_reap: false,
            verbosity: level::WARNING,
            rewrite: Vec::new(),
        }
    }
}

impl Options {
    /// What is sent when `signal` arrives; `None`: nothing.
    fn rewritten(&self, signal: u8) -> Option<u8> {
        let rule = self.rewrite.iter().rev().find(|(from, _)| *from == signal);
        Some(rule.map_or(signal, |(_, to)| *to)).filter(|signal| *signal != 0)
    }

    /// The code of zei-init for this end of the command.
    fn code(&self, exit: Exit) -> u8 {
        let code = exit.code();
        if self.remap.contains(&code) { exit::OK } else { code }
    }
}

/// Runs `command` (the program and its arguments) until it ends and returns its exit code, or one of
/// [`exit::NOT_FOUND`], [`exit::NOT_EXECUTABLE`], [`exit::SYSTEM`] after having said why.
pub fn run(options: &Options, command: &[&CStr]) -> u8 {
    match Init::start(options, command) {
        Ok(init) => init.watch(),
        Err(code) => code,
    }
}

struct Init<'a> {
    options: &'a Options,
    signals: Signals,
    terminal: Terminal,
    own: u32,
    child: u32,
}

impl<'a> Init<'a> {
    fn start(options: &'a Options, command: &[&CStr]) -> Result<Init<'a>, u8> {
        raw::fill_standard_streams();
        credentials::give_up_setuid().map_err(refused("become the user who started it"))?;
        let blocked = raw::set_mask(Set(u64::MAX)).map_err(refused("block signals"))?;
        let forwarded = Set(!NOT_FORWARDED.0);
        let signals = Signals::take(forwarded.with(signal::CHLD)).map_err(refused("receive signals"))?;
        // Where the parent had it ignored, the kernel would throw the exit codes away; the command
        // ignores it again. All other dispositions can stay: a blocked signal arrives whatever they are.
        let chld = if raw::ignored().contains(signal::CHLD) { Set::of(&[signal::CHLD]) } else { Set::EMPTY };
        raw::set_default(signal::CHLD).map_err(refused("receive CHLD"))?;
        adopt_orphans(options)?;
        if let Some(signal) = options.parent_death {
            raw::set_parent_death_signal(signal).map_err(refused("ask for a signal at its parent's end"))?;
        }
        let terminal = Terminal::find();
        let spawned = spawn::spawn(&Spawn {
            arguments: Strings::collect(command.iter().copied()),
            environment: Strings::collect(raw::environment()),
            record: None,
            session: terminal.session(),
            streams: [Stream::Same; 3],
            passed: None,
            descriptors_below: None,
            defaults: Set::EMPTY,
            ignored: chld,
            blocked,
            group: None,
            mark: None,
            nofile: None,
            death_signal: None,
            umask: None,
            privileges: None,
            directory: None,
            ids: None,
            groups: &[],
        });
        let child = spawned.map_err(|failure| {
            terminal.take_back();
            let errno = Errno::from_raw(failure.errno);
            let program = OsStr::from_bytes(command.first().map_or(b"", |program| program.to_bytes()));
            if failure.stage == crate::model::service::SpawnStage::Execute {
                let (code, message) = explain(program, errno, find(program));
                report(PROGRAM, message);
                return code;
            }
            report(PROGRAM, format_args!("cannot run {program:?}: cannot {}: {}", failure.stage.text(), errno.desc()));
            exit::SYSTEM
        })?;
        let init = Init { options, signals, terminal, own: std::process::id(), child };
        init.say(level::INFO, format_args!("started the command with pid {child}"));
        Ok(init)
    }

    fn watch(self) -> u8 {
        loop {
            let mut ready = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let _woken = poll(&mut ready, PollTimeout::NONE);
            let mut reap = false;
            while let Some(Arrived { number: signal, sender, .. }) = self.signals.next() {
                // Its own are the SIGPIPE of a line of its own that nobody reads.
                match signal {
                    signal::CHLD => reap = true,
                    _ if sender == self.own => {}
                    _ => self.forward(signal),
                }
            }
            if let Some(exit) = reap.then(|| self.reap()).flatten() {
                self.terminal.take_back_from(self.child);
                self.say(level::INFO, format_args!("the command ended with {exit}"));
                return self.options.code(exit);
            }
        }
    }

    /// The child is not reaped while this runs, so no other process can have its pid.
    fn forward(&self, signal: u8) {
        let Some(sent) = self.options.rewritten(signal) else {
            return self.say(level::DEBUG, format_args!("got signal {}: dropped", Name(signal)));
        };
        let result = match self.options.group.then(|| signal_group(self.child, sent)) {
            // It has left the group that was made for it.
            None | Some(Err(Errno::ESRCH)) => signal_child(self.child, sent),
            Some(result) => result,
        };
        match result {
            Ok(()) => self.say(level::DEBUG, format_args!("got signal {}: sent {}", Name(signal), Name(sent))),
            Err(errno) => self
                .say(level::WARNING, format_args!("signal {} did not reach the command: {}", Name(sent), errno.desc())),
        }
    }

    /// Reaps all that have ended; how the command ended, if it is among them.
    fn reap(&self) -> Option<Exit> {
        let mut ended = None;
        while let Ok(Some((pid, exit))) = raw::reap_any() {
            if pid == self.child {
                ended = Some(exit);
            } else if self.options.warn_on_reap {
                self.say(level::WARNING, format_args!("reaped a zombie, pid {pid}, {exit}"));
            }
        }
        ended
    }

    fn say(&self, level: u32, text: fmt::Arguments<'_>) {
        if level <= self.options.verbosity {
            say::say(format_args!("{PROGRAM}"), text);
        }
    }
}

/// As PID 1 it gets the orphans anyway; elsewhere it asks for them.
fn adopt_orphans(options: &Options) -> Result<(), u8> {
    if std::process::id() == 1 && !options.subreaper {
        return Ok(());
    }
    match nix::sys::prctl::set_child_subreaper(true) {
        Ok(()) => Ok(()),
        Err(errno) if options.subreaper => Err(refused("become a child subreaper (-s)")(errno)),
        Err(errno) => {
            if options.verbosity >= level::WARNING {
                report(PROGRAM, format_args!("zombies won't be reaped: no child subreaper: {}", errno.desc()));
            }
            Ok(())
        }
    }
}

/// Says what the system did not allow; the exit code for it.
fn refused(what: &'static str) -> impl Fn(Errno) -> u8 {
    move |errno| {
        report(PROGRAM, format_args!("cannot {what}: {}", errno.desc()));
        exit::SYSTEM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_for_a_signal_counts_and_zero_drops_it() {
        let options = Options { rewrite: vec![(15, 3), (1, 2), (15, 10), (2, 0)], ..Options::default() };
        assert_eq!(options.rewritten(15), Some(10));
        assert_eq!(options.rewritten(1), Some(2), "a rule is not applied to the result of another");
        assert_eq!(options.rewritten(2), None);
        assert_eq!(options.rewritten(64), Some(64));
    }

    #[test]
    fn a_remapped_code_is_zero_whether_it_came_from_an_exit_or_a_signal() {
        let options = Options { remap: vec![143, 7], ..Options::default() };
        for (exit, code) in [(Exit::Signal(15), 0), (Exit::Code(143), 0), (Exit::Code(7), 0), (Exit::Signal(9), 137)] {
            assert_eq!(options.code(exit), code, "{exit}");
        }
    }
}
