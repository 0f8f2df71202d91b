//! Signal names and numbers, as `kill -l` has them on Linux.
//!
//! Owns: the one table of signals. Must never: send one.
//! Numbers are those of x86-64 and ARM (signal(7)); real-time signals are counted from 34,
//! the first one that both glibc and musl leave to programs.

use core::fmt;

/// The first real-time signal that programs may use (`SIGRTMIN` of glibc and musl).
pub const RTMIN: u8 = 34;
/// The last one (`SIGRTMAX`).
pub const RTMAX: u8 = 64;

macro_rules! signals {
    ($($name:ident = $number:literal;)*) => {
        $(#[doc = concat!("SIG", stringify!($name))] pub const $name: u8 = $number;)*
        /// The standard signals by number, without their `SIG`.
        pub const TABLE: &[(u8, &str)] = &[$(($number, stringify!($name))),*];
    };
}

signals! {
    HUP = 1; INT = 2; QUIT = 3; ILL = 4; TRAP = 5; ABRT = 6; BUS = 7; FPE = 8;
    KILL = 9; USR1 = 10; SEGV = 11; USR2 = 12; PIPE = 13; ALRM = 14; TERM = 15; STKFLT = 16;
    CHLD = 17; CONT = 18; STOP = 19; TSTP = 20; TTIN = 21; TTOU = 22; URG = 23; XCPU = 24;
    XFSZ = 25; VTALRM = 26; PROF = 27; WINCH = 28; IO = 29; PWR = 30; SYS = 31;
}

/// Words that mean one of [`TABLE`] as well (`kill -l` and older manuals have them).
const ALIASES: &[(&str, u8)] = &[("IOT", ABRT), ("CLD", CHLD), ("POLL", IO)];

/// Reads `HUP`, `SIGHUP`, `hup`, `1`, `RTMIN+3` or `RTMAX-2`; `None` for anything else, 0 included.
pub fn parse(text: &str) -> Option<u8> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (1..=RTMAX).contains(number));
    }
    let bare = match text.get(..3) {
        Some(prefix) if prefix.eq_ignore_ascii_case("SIG") => text.get(3..)?,
        _ => text,
    };
    let named = |(number, name): &(u8, &str)| name.eq_ignore_ascii_case(bare).then_some(*number);
    let alias = |(name, number): &(&str, u8)| name.eq_ignore_ascii_case(bare).then_some(*number);
    TABLE.iter().find_map(named).or_else(|| ALIASES.iter().find_map(alias)).or_else(|| real_time(bare))
}

fn real_time(bare: &str) -> Option<u8> {
    let base = match bare.get(..5) {
        Some(word) if word.eq_ignore_ascii_case("RTMIN") => RTMIN,
        Some(word) if word.eq_ignore_ascii_case("RTMAX") => RTMAX,
        _ => return None,
    };
    let rest = bare.get(5..)?;
    let number = match rest.as_bytes().first() {
        None => base,
        Some(b'+') if base == RTMIN => base.checked_add(digits(rest)?)?,
        Some(b'-') if base == RTMAX => base.checked_sub(digits(rest)?)?,
        Some(_) => return None,
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

/// The number behind the sign that `text` starts with.
fn digits(text: &str) -> Option<u8> {
    let digits = text.get(1..)?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Prints a signal's short name: `TERM`, `RTMIN+3`, or the bare number where there is no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name(pub u8);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TABLE.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None if self.0 == RTMIN => f.write_str("RTMIN"),
            None if (RTMIN..=RTMAX).contains(&self.0) => write!(f, "RTMIN+{}", self.0 - RTMIN),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A set of signals 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Set(pub u64);

impl Set {
    /// No signal at all.
    pub const EMPTY: Set = Set(0);

    /// The set that holds these.
    pub const fn of(signals: &[u8]) -> Set {
        let mut set = 0;
        let mut rest = signals;
        while let [first, tail @ ..] = rest {
            set |= bit(*first);
            rest = tail;
        }
        Set(set)
    }

    /// Whether the signal is in it.
    pub const fn contains(self, signal: u8) -> bool {
        self.0 & bit(signal) != 0
    }

    /// The same set with one more.
    pub const fn with(self, signal: u8) -> Set {
        Set(self.0 | bit(signal))
    }

    /// Its members in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (1..=RTMAX).filter(move |signal| self.contains(*signal))
    }
}

const fn bit(signal: u8) -> u64 {
    if signal >= 1 && signal <= RTMAX { 1 << (signal - 1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_read_back_from_its_own_name_in_every_spelling() {
        for signal in (1..=31).chain(RTMIN..=RTMAX) {
            let name = Name(signal).to_string();
            for spelling in [name.clone(), format!("SIG{name}"), name.to_lowercase(), signal.to_string()] {
                assert_eq!(parse(&spelling), Some(signal), "{spelling}");
            }
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "",
            "0",
            "65",
            "256",
            "-1",
            "+1",
            "TERMX",
            "SIG",
            "RTMIN+31",
            "RTMAX-31",
            "RTMIN-1",
            "RTMIN+",
            "RTMIN+ 1",
            "1 ",
            "\u{e9}\u{e9}",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse("RTMIN+3"), Some(37));
        assert_eq!(parse("SIGRTMAX-1"), Some(63));
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set = Set::of(&[HUP, RTMAX]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 64]);
        assert!(!set.contains(0) && !set.contains(65) && !set.contains(TERM));
        assert!(set.with(TERM).contains(TERM));
    }
}
