//! zei-cron: says when a cron expression comes next.
//!
//! Owns: the form of what is printed, and the exit code of each way to fail. Must never: wait for anything.

mod zone;

use crate::exit;
use crate::run::report::report;
use crate::schedule::Schedule;
use crate::sys::clock;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;
use std::io::{self, Write as _};

/// The name that stands before every message.
pub const PROGRAM: &str = "zei-cron";

/// What to print.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The expression.
    pub expression: String,
    /// The zone's name, instead of the one of the environment.
    pub zone: Option<String>,
    /// Milliseconds since 1970 after which instants are wanted; now, where there is none.
    pub after: Option<i64>,
    /// How many are wanted.
    pub count: u32,
    /// Local times for people, instead of milliseconds.
    pub human: bool,
}

/// Prints the instants, one a line, and returns the exit code.
pub fn run(options: &Options) -> u8 {
    let (code, problem) = match instants(options) {
        Ok(text) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => return exit::OK,
            Err(error) => (exit::SYSTEM, format!("cannot write to standard output: {error}")),
        },
        Err(problem) => (exit::CONFIG, problem),
    };
    report(PROGRAM, problem);
    code
}

fn instants(options: &Options) -> Result<String, String> {
    let schedule = Schedule::parse(&options.expression)?;
    let zone = zone::find(options.zone.as_deref())?;
    let mut at = options.after.unwrap_or_else(|| i64::try_from(clock::wall()).unwrap_or(i64::MAX));
    let mut text = String::new();
    for _ in 0..options.count {
        at = schedule.next(&zone, at).ok_or_else(|| format!("nothing comes after {at} before the year 9000"))?;
        let _never_fails = if options.human { text.write_str(&local(at, &zone)) } else { writeln!(text, "{at}") };
    }
    Ok(text)
}

/// `Sun 2026-03-29 03:00:00 +02:00 Europe/Berlin`
fn local(at: i64, zone: &TimeZone) -> String {
    let Ok(timestamp) = Timestamp::from_millisecond(at) else { return String::new() };
    let (time, offset) = (zone.to_datetime(timestamp), zone.to_offset(timestamp).seconds());
    let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    let weekday = usize::try_from(time.weekday().to_sunday_zero_offset()).ok().and_then(|day| weekdays.get(day));
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    let name = zone.iana_name().map(|name| format!(" {name}")).unwrap_or_default();
    format!(
        "{} {:04}-{:02}-{:02} {:02}:{:02}:{:02} {sign}{:02}:{:02}{name}\n",
        weekday.unwrap_or(&""),
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        minutes / 60,
        minutes % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(expression: &str, zone: &str) -> Options {
        let after = Some(1_774_742_400_000); // 2026-03-29T00:00:00Z
        Options { expression: expression.into(), zone: Some(zone.into()), after, count: 2, human: false }
    }

    #[test]
    fn machines_get_milliseconds_and_people_local_times() {
        let mut options = options("30 2 * * *", "Europe/Berlin");
        assert_eq!(instants(&options).unwrap(), "1774746000000\n1774830600000\n");
        options.human = true;
        assert_eq!(
            instants(&options).unwrap(),
            "Sun 2026-03-29 03:00:00 +02:00 Europe/Berlin\nMon 2026-03-30 02:30:00 +02:00 Europe/Berlin\n"
        );
        options.zone = Some(String::from("America/St_Johns"));
        options.count = 1;
        assert_eq!(instants(&options).unwrap(), "Sun 2026-03-29 02:30:00 -02:30 America/St_Johns\n");
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_is_printed() {
        assert!(instants(&options("0 0 31 2 *", "UTC")).unwrap_err().contains("never comes"));
        assert!(instants(&options("* * * * *", "Nowhere")).unwrap_err().starts_with("--zone: there is no time zone"));
        let late = Options { after: Some(i64::MAX - 1), ..options("* * * * *", "UTC") };
        assert!(instants(&late).unwrap_err().contains("before the year 9000"));
    }
}
