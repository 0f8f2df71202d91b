//! What a process may do and use: its nice value, its OOM score, resource limits, capabilities.
//!
//! Owns: their names and the form in which a definition holds them. Must never: set any.

use core::fmt;
use core::str::FromStr;

/// All that a definition says of it. By default nothing is changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Privileges {
    /// The nice value, -20 to 19 (setpriority(2)).
    pub nice: Option<Wish<i32>>,
    /// How soon it is killed when memory is short, -1000 to 1000 (proc(5), `oom_score_adj`).
    pub oom_score_adj: Option<Wish<i32>>,
    /// Resource limits.
    pub ulimits: Vec<Wish<Ulimit>>,
    /// No program that it executes gives it rights (prctl(2), PR_SET_NO_NEW_PRIVS).
    pub no_new_privileges: bool,
    /// The only capabilities that it has or can get; it has them whoever it runs as.
    pub capabilities: Option<Wish<Capabilities>>,
}

/// A value that the system may refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish<T> {
    /// The value.
    pub value: T,
    /// Where it is refused the process is made without it. Written as a `?` behind the value.
    pub lenient: bool,
}

impl<T: fmt::Display> fmt::Display for Wish<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.value, if self.lenient { "?" } else { "" })
    }
}

impl<T: FromStr> FromStr for Wish<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Wish<T>, T::Err> {
        let bare = text.strip_suffix('?');
        Ok(Wish { value: bare.unwrap_or(text).parse()?, lenient: bare.is_some() })
    }
}

/// A limit of a resource (getrlimit(2)); [`Ulimit::UNLIMITED`] is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ulimit {
    /// Of what.
    pub kind: Limit,
    /// What holds, until the process raises it.
    pub soft: u64,
    /// How far it can.
    pub hard: u64,
}

impl Ulimit {
    /// RLIM_INFINITY.
    pub const UNLIMITED: u64 = u64::MAX;
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind.name(), self.soft, self.hard)
    }
}

/// What can't be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable;

impl FromStr for Ulimit {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Ulimit, Unreadable> {
        let mut words = text.split(' ');
        let kind = words.next().and_then(Limit::named).ok_or(Unreadable)?;
        let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or(Unreadable);
        Ok(Ulimit { kind, soft: number()?, hard: number()? })
    }
}

macro_rules! limits {
    ($($kind:ident $name:literal,)*) => {
        /// A resource that can be limited. RLIMIT_LOCKS is missing: it has no effect, and zei marks processes with it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs, reason = "getrlimit(2) documents each of them")]
        pub enum Limit { $($kind),* }

        impl Limit {
            /// All of them.
            pub const ALL: &'static [Limit] = &[$(Limit::$kind),*];

            /// As in Docker and Compose: that of getrlimit(2) in small letters, without RLIMIT_.
            pub const fn name(self) -> &'static str {
                match self { $(Limit::$kind => $name),* }
            }
        }
    };
}

limits! {
    As "as",
    Core "core",
    Cpu "cpu",
    Data "data",
    Fsize "fsize",
    Memlock "memlock",
    Msgqueue "msgqueue",
    Nice "nice",
    Nofile "nofile",
    Nproc "nproc",
    Rss "rss",
    Rtprio "rtprio",
    Rttime "rttime",
    Sigpending "sigpending",
    Stack "stack",
}

impl Limit {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Limit> {
        Limit::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// A set of capabilities (capabilities(7)): bit N is the one with number N of linux/capability.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// The names, by number, as of Linux 5.9.
    pub const NAMES: [&'static str; 41] = [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ];

    /// The one of this name, in letters of either size, with or without CAP_.
    pub fn named(name: &str) -> Option<Capabilities> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        Capabilities::NAMES.iter().position(|known| *known == name).map(|number| Capabilities(1 << number))
    }

    /// The number of the one of this name, which is written as in [`Capabilities::NAMES`].
    pub fn number(name: &str) -> Option<u32> {
        (0..).zip(Capabilities::NAMES).find(|(_, known)| *known == name).map(|(number, _)| number)
    }

    /// Those of both.
    pub const fn with(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }

    /// Those that are not in `other`.
    pub const fn without(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & !other.0)
    }

    /// Whether this number is in it.
    pub const fn has(self, number: u32) -> bool {
        self.0 & 1 << number != 0
    }

    /// Their names, as in `CAP_CHOWN`, with a comma between two.
    pub fn list(self) -> impl fmt::Display {
        List(self)
    }
}

struct List(Capabilities);

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = (0..).zip(Capabilities::NAMES).filter(|(number, _)| self.0.has(*number));
        for (position, (_, name)) in names.enumerate() {
            write!(f, "{}CAP_{name}", if position > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for Capabilities {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Capabilities, Unreadable> {
        u64::from_str_radix(text, 16).map(Capabilities).map_err(|_| Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_as_it_was_written() {
        for lenient in [false, true] {
            let nice = Wish { value: -5, lenient };
            assert_eq!(nice.to_string().parse(), Ok(nice));
            for kind in Limit::ALL {
                let limit = Wish { value: Ulimit { kind: *kind, soft: 7, hard: Ulimit::UNLIMITED }, lenient };
                assert_eq!(limit.to_string().parse(), Ok(limit));
            }
            let all = Wish { value: Capabilities((1 << Capabilities::NAMES.len()) - 1), lenient };
            assert_eq!(all.to_string().parse(), Ok(all));
        }
        assert_eq!(("locks 1 2".parse::<Ulimit>(), "nofile 1".parse::<Ulimit>()), (Err(Unreadable), Err(Unreadable)));
    }

    #[test]
    fn a_capability_is_known_by_its_name_in_any_spelling() {
        let bind = Capabilities(1 << 10);
        for name in ["NET_BIND_SERVICE", "net_bind_service", "CAP_NET_BIND_SERVICE", "cap_net_bind_service"] {
            assert_eq!(Capabilities::named(name), Some(bind), "{name}");
        }
        assert_eq!((Capabilities::named("NET_BIND"), Capabilities::named("CAP_")), (None, None));
        let two = bind.with(Capabilities(1));
        assert_eq!(two.list().to_string(), "CAP_CHOWN, CAP_NET_BIND_SERVICE");
        assert_eq!((two.without(bind), two.has(10), two.has(11)), (Capabilities(1), true, false));
    }
}
