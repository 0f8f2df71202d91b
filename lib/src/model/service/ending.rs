//! How runs end, and where a start fails.
//!
//! Owns: the stages of a start, with their numbers and words; the code that an end stands for. Must never: know
//! what follows.

use crate::exit::Exit;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The main process ended.
    Exited(Exit),
    /// It never became the program.
    NotStarted(Failure),
}

/// Where a start failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What was being done.
    pub stage: SpawnStage,
    /// The error number of errno(3).
    pub errno: i32,
}

macro_rules! stages {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// What a new process does between its creation and its program.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum SpawnStage { $(#[doc = $text] $name = $number),* }

        impl SpawnStage {
            /// All of them.
            pub const ALL: &'static [SpawnStage] = &[$(SpawnStage::$name),*];

            /// As it stands behind "cannot" in a message.
            pub const fn text(self) -> &'static str {
                match self { $(SpawnStage::$name => $text),* }
            }
        }
    };
}

stages! {
    Process = 1, "make a process";
    Record = 2, "record the process";
    Session = 3, "begin a session";
    Terminal = 4, "take the terminal";
    Stdin = 5, "open standard input";
    Stdout = 6, "open standard output";
    Stderr = 7, "open standard error";
    Signals = 8, "reset the signals";
    Directory = 9, "change to the working directory";
    Groups = 10, "set the supplementary groups";
    Group = 11, "switch to the group";
    User = 12, "switch to the user";
    Limits = 14, "set a resource limit";
    Descriptor = 15, "pass the readiness descriptor";
    Nice = 16, "set nice, for which it needs CAP_SYS_NICE";
    OomScore = 17, "set oom_score_adj, for which it needs CAP_SYS_RESOURCE";
    Ulimits = 18, "set ulimits, for which it needs CAP_SYS_RESOURCE";
    Capabilities = 19, "limit capabilities, for which it needs CAP_SETPCAP";
    NoNewPrivileges = 20, "set no_new_privileges";
    Given = 21, "give it capabilities that this container does not have";
    Execute = 13, "execute the program";
}

impl SpawnStage {
    /// The stage with this number.
    pub fn from_number(number: u8) -> Option<SpawnStage> {
        SpawnStage::ALL.iter().copied().find(|stage| *stage as u8 == number)
    }
}

/// ENOENT and ENOTDIR of errno(3): the program, or a part of its path, is not there.
const NOT_THERE: [i32; 2] = [2, 20];

impl Ending {
    /// Whether this is how a run should end.
    pub fn is_success(self) -> bool {
        matches!(self, Ending::Exited(exit) if exit.is_success())
    }

    /// The code a shell would show: 127 and 126 for a program that is not there or can't be
    /// executed, 111 where the system refused something on the way to it.
    pub fn code(self) -> u8 {
        match self {
            Ending::Exited(exit) => exit.code(),
            Ending::NotStarted(Failure { stage: SpawnStage::Execute, errno }) if NOT_THERE.contains(&errno) => {
                crate::exit::NOT_FOUND
            }
            Ending::NotStarted(Failure { stage: SpawnStage::Execute, .. }) => crate::exit::NOT_EXECUTABLE,
            Ending::NotStarted(_) => crate::exit::SYSTEM,
        }
    }
}
