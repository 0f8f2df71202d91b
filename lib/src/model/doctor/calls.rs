//! System calls that a container's seccomp profile, a sandbox or an old kernel refuses, and what zei does then.
//!
//! Must never: say of one that zei does without it where it does not.

use super::Finding;
use core::fmt;

/// A system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "section 2 of the manual has each of them")]
pub enum Call {
    Clone3,
    CloseRange,
    PidfdOpen,
    PidfdSendSignal,
    MemfdCreate,
    Splice,
    Tee,
    Pwritev2,
    SchedSetattr,
}

impl Call {
    /// All of them.
    pub const ALL: [Call; 9] = [
        Call::Clone3,
        Call::CloseRange,
        Call::PidfdOpen,
        Call::PidfdSendSignal,
        Call::MemfdCreate,
        Call::Splice,
        Call::Tee,
        Call::Pwritev2,
        Call::SchedSetattr,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Call::Clone3 => "clone3",
            Call::CloseRange => "close_range",
            Call::PidfdOpen => "pidfd_open",
            Call::PidfdSendSignal => "pidfd_send_signal",
            Call::MemfdCreate => "memfd_create",
            Call::Splice => "splice",
            Call::Tee => "tee",
            Call::Pwritev2 => "pwritev2",
            Call::SchedSetattr => "sched_setattr",
        }
    }

    /// What becomes of it where it is refused.
    const fn otherwise(self) -> &'static str {
        match self {
            Call::Clone3 => "zei makes processes by clone",
            Call::CloseRange => {
                "inherited descriptors are closed one by one, and a start of a supervisor copies all descriptors"
            }
            Call::PidfdOpen => {
                "signals go by pid, right after a look at whose it is, and a main process that a service names (MAINPID) \
                 is not taken"
            }
            Call::PidfdSendSignal => "signals go by pid, while the process is held",
            Call::MemfdCreate => "no service can run, as there is no place for the definitions",
            Call::Splice => "a control line is lost if its supervisor is killed in the instant in which it is read",
            Call::Tee => {
                "zei-log passes no output on, and what a service writes to its readiness pipe may be lost with its \
                          supervisor"
            }
            Call::Pwritev2 => "zei opens its pipes anew to write to them",
            Call::SchedSetattr => "zei waits for its turn where all processors are busy",
        }
    }
}

/// What the system says to one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is there.
    Works,
    /// ENOSYS: it is not.
    NoSys,
    /// EPERM: a filter, or what else guards this container, forbids it.
    NoPerm,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::Works => "works",
            Answer::NoSys => "is answered ENOSYS",
            Answer::NoPerm => "is answered EPERM",
        })
    }
}

/// What it means.
pub fn finding(call: Call, answer: Answer) -> Finding {
    const REMEDY: &str = "a seccomp profile that allows it (Docker 20.10.10 or later has one), a kernel that has it";
    let key = call.name();
    if answer == Answer::Works {
        return Finding::ok(key, format!("{key} works"));
    }
    let sentence = format!("{key} {answer}: {}", call.otherwise());
    match call {
        // Nothing is done without it that would be done with it.
        Call::Clone3 => Finding::ok(key, sentence),
        Call::MemfdCreate => Finding::missing(key, sentence, REMEDY),
        _ => Finding::degraded(key, sentence, REMEDY),
    }
}
