//! What a service tells about itself: the datagrams of sd_notify(3).
//!
//! Owns: reading the bytes. Must never: trust them, touch the heap, or decide what follows.
//!
//! A datagram is text of lines `NAME=VALUE`. Known are:
//!
//! ```text
//! READY=1                  the start, or the reload, is finished
//! RELOADING=1              it reloads, and says READY=1 when that is done
//! MONOTONIC_USEC=n         beside RELOADING=1: CLOCK_MONOTONIC at its beginning
//! STOPPING=1               it has begun to end
//! STATUS=text              one line for people
//! ERRNO=n                  the error that it fails with
//! MAINPID=n                the main process is another one
//! WATCHDOG=1               it is alive; WATCHDOG=trigger: treat it as if it were not
//! WATCHDOG_USEC=n          the watchdog's time from now on
//! EXTEND_TIMEOUT_USEC=n    start, stop or run may take so long from now on
//! BARRIER=1                the sender waits until its descriptor is closed
//! ```
//!
//! All else, FDSTORE=1 among it, is passed over: its meaning is systemd's own. Of READY, RELOADING and STOPPING in one
//! datagram the last counts, as with systemd; so it does of any name that is given twice.

use crate::text::{self, Text};

/// No datagram is longer (systemd takes PIPE_BUF); what is cut off loses its last line.
pub const LONGEST: usize = 4096;
/// What is kept of a STATUS, in bytes.
pub const STATUS: usize = 96;

/// What a service says that it is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// Its start or reload is finished.
    Ready,
    /// It reloads.
    Reloading,
    /// It has begun to end.
    Stopping,
}

/// What a service says to its watchdog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watchdog {
    /// It is alive.
    Alive,
    /// It is not: act as if its time were up.
    Trigger,
}

/// One datagram, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Notice {
    /// `READY`, `RELOADING`, `STOPPING`.
    pub doing: Option<Doing>,
    /// `MONOTONIC_USEC`, in microseconds of CLOCK_MONOTONIC.
    pub monotonic: Option<u64>,
    /// `STATUS`: without control characters, cut to [`STATUS`] bytes; empty where it takes an older one back.
    pub status: Option<Text<STATUS>>,
    /// `ERRNO`, of errno(3).
    pub errno: Option<i32>,
    /// `MAINPID`, greater than 0, as the sender counts: in its own PID namespace.
    pub main: Option<u32>,
    /// `WATCHDOG`.
    pub watchdog: Option<Watchdog>,
    /// `WATCHDOG_USEC`, in microseconds.
    pub watchdog_time: Option<u64>,
    /// `EXTEND_TIMEOUT_USEC`, in microseconds.
    pub extend: Option<u64>,
    /// `BARRIER`.
    pub barrier: bool,
}

/// Reads a datagram. What is wrong in it is passed over, as systemd does: nobody is there to be answered.
pub fn parse(datagram: &[u8]) -> Notice {
    let mut notice = Notice::default();
    for line in datagram.split(|byte| *byte == b'\n') {
        let line = strip_nul(line);
        let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default());
        take(&mut notice, name, value);
    }
    notice
}

/// Some programs send the byte that ends their string.
fn strip_nul(mut line: &[u8]) -> &[u8] {
    while let Some(shorter) = line.strip_suffix(b"\0") {
        line = shorter;
    }
    line
}

fn take(notice: &mut Notice, name: &[u8], value: &[u8]) {
    let doing = |doing| (value == b"1").then_some(doing);
    match name {
        b"READY" => notice.doing = doing(Doing::Ready).or(notice.doing),
        b"RELOADING" => notice.doing = doing(Doing::Reloading).or(notice.doing),
        b"STOPPING" => notice.doing = doing(Doing::Stopping).or(notice.doing),
        b"MONOTONIC_USEC" => notice.monotonic = number(value).or(notice.monotonic),
        b"STATUS" => notice.status = Some(text::for_people(value)),
        b"ERRNO" => notice.errno = number(value).and_then(|errno| errno.try_into().ok()).or(notice.errno),
        b"MAINPID" => notice.main = number(value).and_then(pid).or(notice.main),
        b"WATCHDOG" => {
            notice.watchdog = match value {
                b"1" => Some(Watchdog::Alive),
                b"trigger" => Some(Watchdog::Trigger),
                _ => notice.watchdog,
            }
        }
        b"WATCHDOG_USEC" => notice.watchdog_time = number(value).or(notice.watchdog_time),
        b"EXTEND_TIMEOUT_USEC" => notice.extend = number(value).or(notice.extend),
        b"BARRIER" => notice.barrier |= value == b"1",
        _ => {}
    }
}

/// Digits and nothing else: `str::parse` would take a sign.
fn number(value: &[u8]) -> Option<u64> {
    let digits = core::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// The kernel's pids are positive `int`s.
fn pid(number: u64) -> Option<u32> {
    i32::try_from(number).ok().filter(|pid| *pid > 0).map(i32::unsigned_abs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_known_assignment_is_read_from_one_datagram() {
        let notice = parse(
            b"MAINPID=4242\nRELOADING=1\nMONOTONIC_USEC=77\nSTATUS=half way: 50% done\nERRNO=2\nWATCHDOG=1\n\
            WATCHDOG_USEC=30000000\nEXTEND_TIMEOUT_USEC=5000000\nBARRIER=1\nFDSTORE=1\nFDNAME=x\nX_OWN=1\n",
        );
        let expected = Notice {
            doing: Some(Doing::Reloading),
            monotonic: Some(77),
            status: Some(Text::from("half way: 50% done")),
            errno: Some(2),
            main: Some(4242),
            watchdog: Some(Watchdog::Alive),
            watchdog_time: Some(30_000_000),
            extend: Some(5_000_000),
            barrier: true,
        };
        assert_eq!(notice, expected);
    }

    #[test]
    fn the_last_word_counts_and_a_wrong_one_takes_nothing_back() {
        for (text, doing) in [
            ("READY=1", Some(Doing::Ready)),
            ("STOPPING=1", Some(Doing::Stopping)),
            ("READY=1\nSTOPPING=1", Some(Doing::Stopping)),
            ("RELOADING=1\nREADY=1", Some(Doing::Ready)),
            ("READY=1\nRELOADING=0", Some(Doing::Ready)),
            ("READY=1\0", Some(Doing::Ready)),
            ("READY=0", None),
            ("READY=", None),
            ("READY", None),
            ("ready=1", None),
            (" READY=1", None),
            ("READY=1 ", None),
            ("XREADY=1", None),
            ("", None),
        ] {
            assert_eq!(parse(text.as_bytes()).doing, doing, "{text:?}");
        }
        assert_eq!(parse(b"WATCHDOG=trigger").watchdog, Some(Watchdog::Trigger));
        assert_eq!(parse(b"WATCHDOG=1\nWATCHDOG=maybe").watchdog, Some(Watchdog::Alive));
        assert_eq!(parse(b"STATUS=a\nSTATUS=").status, Some(Text::new()));
    }

    #[test]
    fn a_number_is_digits_that_fit() {
        for (text, main) in [
            ("1", Some(1)),
            ("2147483647", Some(i32::MAX.unsigned_abs())),
            ("2147483648", None),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("", None),
            ("1x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse(format!("MAINPID={text}").as_bytes()).main, main, "{text}");
        }
        assert_eq!(parse(b"WATCHDOG_USEC=18446744073709551615").watchdog_time, Some(u64::MAX));
        assert_eq!(parse(b"EXTEND_TIMEOUT_USEC=1s").extend, None);
    }

    #[test]
    fn a_status_is_harmless_and_short() {
        let status = |bytes: &[u8]| parse(&[b"STATUS=", bytes].concat()).status.unwrap().as_str().to_owned();
        assert_eq!(status(b"k=v\x1b"), "k=v ");
        assert_eq!(status(&[b'x'; 4000]), "x".repeat(STATUS));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_the_status_stays_one_line_of_text(bytes: Vec<u8>) {
            let status = parse(&[b"STATUS=", bytes.as_slice()].concat()).status.unwrap();
            prop_assert!(status.as_bytes().len() <= STATUS && status.chars().all(text::is_harmless));
            let _ = parse(&bytes);
        }

        #[test]
        fn whatever_stands_around_it_a_line_is_found(
            before in "([A-Z]{1,8}=[ -~]{0,20}\n){0,5}", after in "(\n[A-Z]{0,3}[ -~]{0,20}){0,5}"
        ) {
            let notice = parse(format!("{before}X_BEFORE=1\nMAINPID=77\nX_AFTER=1{after}").as_bytes());
            prop_assert_eq!(notice.main, Some(77));
        }

        #[test]
        fn a_datagram_of_known_names_with_any_values_holds_nothing_that_was_not_said(
            name in proptest::sample::select(&["READY", "MAINPID", "WATCHDOG_USEC", "ERRNO", "BARRIER"][..]), value in "[^1]{0,9}"
        ) {
            let notice = parse(format!("{name}={value}").as_bytes());
            prop_assert_eq!(notice.doing, None);
            prop_assert!(!notice.barrier);
            prop_assert!(notice.main.is_none_or(|pid| value.trim_start_matches('0').starts_with(&pid.to_string())));
        }
    }
}
