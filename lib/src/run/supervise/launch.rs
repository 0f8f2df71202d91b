//! Making the service's process as its definition says.

use super::Supervisor;
use super::outputs;
use crate::model::definition::{Definition, Target};
use crate::model::privileges::{Capabilities, Privileges, Wish};
use crate::model::service::{Event, Failure, Process, SpawnStage};
use crate::model::spec::Input;
use crate::sys::cgroup::Group;
use crate::sys::elevation;
use crate::sys::pipe;
use crate::sys::privileges::{self, Refused};
use crate::sys::process;
use crate::sys::raw::{self, Strings};
use crate::sys::spawn::{self, Session, Spawn, Stream};
use crate::text::{self, Text};
use core::fmt::Write as _;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{isatty, tcgetpgrp};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// What a process of the service is allowed, and has been refused.
#[derive(Debug)]
pub(super) struct Rights {
    groups: Vec<u32>,
    privileges: Privileges,
    /// Capabilities that it should have, and need not.
    without: Capabilities,
    refused: Refused,
}

impl<'a> Supervisor<'a> {
    /// Makes the process; the event says how that went.
    #[inline(never)]
    pub(super) fn launch(&self) -> Event {
        match self.make_process() {
            Ok(pid) => Event::Spawned(Process { pid, start: process::start_time(pid).unwrap_or(0) }),
            Err(failure) => {
                let why = Errno::from_raw(failure.errno).desc();
                self.say(format_args!("cannot {}{}: {why}", failure.stage.text(), self.detail(failure.stage)));
                Event::NotSpawned(failure)
            }
        }
    }

    /// The value of the definition that a step is about, and its key.
    fn detail(&self, stage: SpawnStage) -> Text<512> {
        let definition = &self.definition;
        let path = |target: Target<'_>, key| match target {
            Target::Path(path) => text::format(format_args!(" {path:?} ({key})")),
            Target::Null => text::format(format_args!(" /dev/null ({key})")),
            Target::Inherit | Target::Stdout | Target::Stderr | Target::Join => Text::new(),
        };
        match (stage, definition.ids) {
            (SpawnStage::Execute, _) => {
                text::format(format_args!(" {:?} (command)", definition.arguments().next().unwrap_or_default()))
            }
            (SpawnStage::Stdout, _) => path(definition.stdout, "stdout"),
            (SpawnStage::Stderr, _) => path(definition.stderr, "stderr"),
            (SpawnStage::Directory, _) => {
                text::format(format_args!(" {:?} (working_dir)", definition.working_dir.unwrap_or_default()))
            }
            (SpawnStage::User, Some((uid, _))) => text::format(format_args!(" {uid} (user)")),
            (SpawnStage::Group, Some((_, gid))) => text::format(format_args!(" {gid} (group)")),
            (SpawnStage::Nice, _) => wished(definition.privileges().nice),
            (SpawnStage::OomScore, _) => wished(definition.privileges().oom_score_adj),
            (SpawnStage::Ulimits, _) => {
                let mut text = Text::new();
                for wish in definition.privileges().ulimits {
                    let _as_far_as_there_is_room = write!(text, " ({wish})");
                }
                text
            }
            (SpawnStage::Given, _) => {
                let wanted = definition.privileges().capabilities.map_or(Capabilities::default(), |wish| wish.value);
                let missing = wanted.without(privileges::own_capabilities());
                text::format(format_args!(", {} (as docker run --cap-add does)", missing.list()))
            }
            (
                SpawnStage::Process
                | SpawnStage::Record
                | SpawnStage::Session
                | SpawnStage::Terminal
                | SpawnStage::Stdin
                | SpawnStage::Signals
                | SpawnStage::Groups
                | SpawnStage::Group
                | SpawnStage::User
                | SpawnStage::Limits
                | SpawnStage::Capabilities
                | SpawnStage::NoNewPrivileges
                | SpawnStage::Descriptor,
                _,
            ) => Text::new(),
        }
    }

    fn make_process(&self) -> Result<u32, Failure> {
        let definition = &self.definition;
        let opened = self.open_input()?;
        let stdin = opened.as_ref().map_or(Stream::Same, |input| Stream::Of(input.as_fd()));
        let terminal = definition.stdin == Input::Inherit && isatty(raw::standard(0)) == Ok(true);
        let passed = self.voice.writer().map_err(at(SpawnStage::Descriptor))?;
        let rights = self.rights()?;
        let extra = self.extra();
        let base = self.base(Strings::collect(definition.arguments()), self.environment(&extra), &rights);
        let [_, stdout, stderr] = base.streams;
        let pumped = self.outputs.writers().map_err(at(SpawnStage::Stdout))?;
        let [stdout, stderr] = outputs::of(&pumped, [stdout, stderr]);
        if let Err(errno) = self.outputs.mark(self.ledger.token(), self.service.run) {
            let why = errno.desc();
            self.say(format_args!("cannot mark the begin of a run in its output: {why}; ready: log can't see it"));
        }
        let group = self.group.as_ref().and_then(Group::entrance);
        let made = spawn::spawn(&Spawn {
            group: group.as_ref().map(AsFd::as_fd),
            record: Some(self.ledger.child_word(self.index)),
            session: match (terminal, tcgetpgrp(raw::standard(0))) {
                (false, _) => Session::New,
                // Another process leads the session that has the terminal (an outer init, a shell): it stays there.
                (true, Ok(_)) => Session::ForegroundGroup,
                (true, Err(_)) => Session::NewWithTerminal,
            },
            streams: [stdin, stdout, stderr],
            passed: passed.as_ref().map(|(descriptor, number)| (descriptor.as_fd(), *number)),
            mark: Some(self.orphans.marks.service(self.index)),
            ..base
        });
        self.tell_refused(&rights);
        made
    }

    /// What every process of the service is allowed.
    pub(super) fn rights(&self) -> Result<Rights, Failure> {
        // It would be root by omission.
        if elevation::rest().is_some() && self.definition.ids.is_none() {
            return Err(at(SpawnStage::User)(Errno::EPERM));
        }
        let groups = self.definition.groups().collect();
        let mut privileges = self.definition.privileges();
        let mut without = Capabilities::default();
        if let Some(wish) = &mut privileges.capabilities {
            without = wish.value.without(privileges::own_capabilities());
            wish.value = wish.value.without(without);
            if without != Capabilities::default() && !wish.lenient {
                return Err(at(SpawnStage::Given)(Errno::EPERM));
            }
        }
        Ok(Rights { groups, privileges, without, refused: Refused::default() })
    }

    /// Says what of it was refused, and need not be.
    fn tell_refused(&self, rights: &Rights) {
        if rights.without != Capabilities::default() {
            self.say(format_args!("runs without {} (capabilities): the container has no more", rights.without.list()));
        }
        for stage in SpawnStage::ALL.iter().filter(|stage| rights.refused.get() & 1 << **stage as u32 != 0) {
            self.say(format_args!("could not {}{}; runs without", stage.text(), self.detail(*stage)));
        }
    }

    /// What every process of the service has, be it its main one or a job.
    pub(super) fn base<'s>(
        &'s self,
        arguments: Strings<'s>,
        environment: Strings<'s>,
        rights: &'s Rights,
    ) -> Spawn<'s> {
        let definition = &self.definition;
        Spawn {
            session: Session::New,
            streams: [Stream::Same, stream(definition.stdout, 1), stream(definition.stderr, 2)],
            nofile: definition.nofile(),
            umask: definition.umask,
            directory: definition.working_dir,
            ids: definition.ids,
            groups: &rights.groups,
            privileges: Some((&rights.privileges, &rights.refused)),
            // Signals are as they should be: zei-init has put all dispositions back before it executed this program.
            ..Spawn::new(arguments, environment)
        }
    }

    /// The service's environment, in which `extra` takes the place of what has the same name.
    pub(super) fn environment<'e>(&self, extra: &'e [CString]) -> Strings<'e>
    where
        'a: 'e,
    {
        let name = |variable: &'e CStr| variable.to_bytes().split(|byte| *byte == b'=').next();
        let stays = move |variable: &&'e CStr| !extra.iter().any(|own| name(own) == name(variable));
        let own: Definition<'a> = self.definition;
        Strings::collect(extra.iter().map(CString::as_c_str).chain(own.environment().filter(stays)))
    }

    /// What the main process finds in its environment beside that.
    fn extra(&self) -> Vec<CString> {
        let watchdog = self.definition.policy.watchdog.and_then(|span| {
            let text: Text<40> = text::format(format_args!("WATCHDOG_USEC={}", span.0.saturating_mul(1000)));
            CString::new(text.as_bytes()).ok()
        });
        self.voice.variable().into_iter().chain(watchdog).collect()
    }

    /// `None`: what this process has itself, which is /dev/null but for `cmd`.
    fn open_input(&self) -> Result<Option<OwnedFd>, Failure> {
        let own_is_null = self.definition.name != crate::name::ServiceName::CMD;
        match self.definition.stdin {
            Input::Inherit => Ok(None),
            Input::Null if own_is_null => Ok(None),
            Input::Null => open(c"/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
                .map(Some)
                .map_err(at(SpawnStage::Stdin)),
            Input::Open => pipe::endless(OFlag::empty()).map(Some).map_err(at(SpawnStage::Stdin)),
        }
    }
}

/// A failure in what is done before there is a process.
pub(super) fn at(stage: SpawnStage) -> impl Fn(Errno) -> Failure {
    move |errno| Failure { stage, errno: errno as i32 }
}

fn stream(target: Target<'_>, number: i32) -> Stream<'_> {
    match target {
        Target::Inherit => Stream::Same,
        Target::Stdout if number == 1 => Stream::Same,
        Target::Stderr if number == 2 => Stream::Same,
        Target::Stdout => Stream::Of(raw::standard(1)),
        Target::Stderr => Stream::Of(raw::standard(2)),
        Target::Null => Stream::Path(c"/dev/null"),
        Target::Join => Stream::LikeStdout,
        Target::Path(path) => Stream::Path(path),
    }
}

/// A value as it was asked for.
fn wished(wish: Option<Wish<i32>>) -> Text<512> {
    wish.map_or(Text::new(), |wish| text::format(format_args!(" ({wish})")))
}
