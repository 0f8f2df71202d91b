//! zei-cron as a user meets it.
// The helpers below are parts of tests.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs::File;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use zei_tests::program;

/// 2026-03-28T00:00:00+01:00, a day before the clocks of Berlin skip an hour.
const AFTER: &str = "1774652400000";

/// Exit code, standard output and standard error, with `TZ` set so.
fn cron(zone: &str, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(program("zei-cron")).env("TZ", zone).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn printed(text: &str) -> (i32, String, String) {
    (0, text.into(), String::new())
}

#[test]
fn machines_get_milliseconds_people_get_local_times() {
    let berlin = "Europe/Berlin";
    assert_eq!(cron(berlin, &["next", "--after", AFTER, "30 2 * * *"]), printed("1774661400000\n"));
    assert_eq!(
        cron("", &["next", "--zone", berlin, "--count", "3", "--after", AFTER, "30", "2", "*", "*", "*"]),
        printed("1774661400000\n1774746000000\n1774830600000\n")
    );
    assert_eq!(
        cron(berlin, &["--after", AFTER, "30 2 * * *"]),
        printed(
            "Sat 2026-03-28 02:30:00 +01:00 Europe/Berlin\n\
             Sun 2026-03-29 03:00:00 +02:00 Europe/Berlin\n\
             Mon 2026-03-30 02:30:00 +02:00 Europe/Berlin\n\
             Tue 2026-03-31 02:30:00 +02:00 Europe/Berlin\n\
             Wed 2026-04-01 02:30:00 +02:00 Europe/Berlin\n"
        )
    );
}

#[test]
fn the_zone_is_the_one_named_then_tz_and_an_empty_tz_is_utc() {
    let midnight = |zone, options: &[&str]| {
        let (_, out, _) = cron(zone, &[&["next", "--after", AFTER, "@daily"], options].concat());
        out
    };
    assert_eq!(midnight("Asia/Tokyo", &["--zone", "America/New_York"]), "1774670400000\n");
    assert_eq!(midnight("Asia/Tokyo", &[]), "1774710000000\n");
    assert_eq!(midnight(":Asia/Tokyo", &[]), "1774710000000\n");
    assert_eq!(midnight("", &[]), "1774656000000\n");
}

#[test]
fn without_after_it_is_the_next_one_from_now() {
    let now = || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let before = now();
    let (code, out, _) = cron("UTC", &["next", "* * * * * *"]);
    let next: i64 = out.trim().parse().unwrap();
    assert_eq!((code, next % 1000), (0, 0));
    assert!((before + 1..=now() + 1000).contains(&next), "{before} {next}");
}

#[test]
fn what_is_wrong_is_100_with_one_line_and_nothing_is_printed() {
    for (zone, arguments, problem) in [
        ("UTC", &["next", "0 0 31 2 *"][..], "\"0 0 31 2 *\" never comes"),
        ("UTC", &["0 24 * * *"], "hour \"24\" is wrong: write 0 to 23"),
        ("UTC", &["next", "@every 5m"], "use `interval: 5m`"),
        ("UTC", &["next"], "no expression was given"),
        ("UTC", &["--zone", "Europe/Berln", "@daily"], "--zone: there is no time zone \"Europe/Berln\""),
        ("Mars/Base", &["@daily"], "TZ: there is no time zone \"Mars/Base\""),
    ] {
        let (code, out, said) = cron(zone, arguments);
        assert_eq!((code, out.as_str(), said.lines().count()), (100, "", 1), "{said}");
        assert!(said.starts_with("zei-cron: ") && said.contains(problem), "{said}");
    }
}

#[test]
fn an_output_that_takes_nothing_is_111() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(program("zei-cron")).args(["next", "@daily"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(111));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot write to standard output"));
}
