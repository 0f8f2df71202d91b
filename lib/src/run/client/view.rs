//! How services look: as a table, in detail, as JSON.
//!
//! Owns: columns, colours, and the JSON keys. Must never: read a file or a clock.

use super::json;
use crate::exit::Exit;
use crate::model::time::{Span, Time};
use crate::name::ServiceName;
use crate::protocol::status::{Health, State, Status};
use crate::signal;
use crate::text::{self, Text};
use serde::Serialize;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

/// A service and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The service.
    pub(crate) name: ServiceName,
    /// `None`: zei is not running, or the service has no status yet.
    pub(crate) status: Option<Status>,
}

impl Row {
    fn state(&self) -> Text<40> {
        label(self.status.as_ref())
    }

    /// How long its process has been there.
    fn uptime(&self, now: Time) -> Option<Span> {
        let status = self.status.as_ref().filter(|status| status.pid.is_some())?;
        Some(now.since(Time(status.since)))
    }
}

/// The state, and the health where there is a check: as `docker ps` has it.
pub(crate) fn label(status: Option<&Status>) -> Text<40> {
    let Some(status) = status else { return Text::from("-") };
    let state = status.state.word();
    match (status.state, status.health) {
        (State::Running, Health::Starting) => text::format(format_args!("{state} (health: starting)")),
        (State::Running, Health::Healthy | Health::Unhealthy) => {
            text::format(format_args!("{state} ({})", status.health.word()))
        }
        _ => Text::from(state),
    }
}

/// NAME STATUS PID RESTARTS UPTIME.
pub(crate) fn table(rows: &[Row], now: Time, colour: bool) -> String {
    // Cells are built in place: a table of a thousand rows makes no thousand small allocations.
    let cell = |value: Option<u32>| value.map_or(Text::<12>::from("-"), |value| text::format(format_args!("{value}")));
    let name_width = rows.iter().map(|row| row.name.as_str().len()).max().unwrap_or(0).max(4);
    let state_width = rows.iter().map(|row| row.state().len()).max().unwrap_or(0).max(6);
    let mut table =
        format!("{:name_width$}  {:state_width$}  {:>7}  {:>8}  UPTIME\n", "NAME", "STATUS", "PID", "RESTARTS");
    for row in rows {
        let pid = cell(row.status.as_ref().and_then(|status| status.pid));
        let restarts = cell(row.status.as_ref().map(|status| status.restarts));
        let uptime = row.uptime(now).map_or(Text::from("-"), length);
        let (on, off) = paint(row.status.as_ref(), colour);
        let (name, state) = (row.name, row.state());
        let _never_fails =
            writeln!(table, "{name:name_width$}  {on}{state:state_width$}{off}  {pid:>7}  {restarts:>8}  {uptime}");
    }
    table
}

/// A block of lines for each service, the first `NAME: STATE`.
pub(crate) fn details(rows: &[Row], now: Time, colour: bool) -> String {
    let mut text = String::new();
    for row in rows {
        let (on, off) = paint(row.status.as_ref(), colour);
        text += &format!("{}: {on}{}{off}\n", row.name, row.state());
        let Some(status) = &row.status else { continue };
        let mut line = |key: &str, value: String| text += &format!("  {key:<11} {value}\n");
        if !status.reason.as_str().is_empty() {
            line("reason", status.reason.to_string());
        }
        line("since", format!("{} ({})", wall(status.since_wall), length(now.since(Time(status.since)))));
        line("wanted", if status.want { "up" } else { "down" }.to_string());
        if let Some(pid) = status.pid {
            line("pid", pid.to_string());
            line("ready", if status.ready { "yes" } else { "no" }.to_string());
        }
        if status.health != Health::None {
            line("health", status.health.word().to_string());
        }
        if !status.text.as_str().is_empty() {
            line("says", status.text.to_string());
        }
        line("restarts", format!("{} (started {} times)", status.restarts, status.run));
        if let Some(exit) = status.exit {
            line("last end", exit.to_string());
        }
        if let Some(next) = status.next {
            line("next run", format!("in {}", length(Time(next).since(now))));
        }
        if let Some(deadline) = status.deadline {
            let what = if status.state == State::Starting { "must be up" } else { "killed" };
            line(what, format!("in {}", length(Time(deadline).since(now))));
        }
        line("supervisor", status.supervisor.to_string());
    }
    text
}

/// The same keys as the status file's, where they have the same meaning.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    /// `null` where nothing is known.
    state: Option<&'a str>,
    reason: Option<&'a str>,
    pid: Option<u32>,
    want: Option<&'a str>,
    ready: bool,
    health: Option<&'a str>,
    /// What the service says of itself.
    text: Option<&'a str>,
    restarts: Option<u32>,
    /// How many processes were started so far.
    run: Option<u32>,
    /// The exit code of the last process that ended by itself.
    exit: Option<u8>,
    /// Or the name of the signal that ended it.
    signal: Option<String>,
    /// Milliseconds since 1970.
    since_wall: Option<u64>,
    /// Milliseconds since the state began.
    since_ms: Option<u64>,
    /// The same where there is a process.
    uptime_ms: Option<u64>,
    /// Milliseconds until the next run.
    next_ms: Option<u64>,
    /// Milliseconds until a stop becomes a kill.
    deadline_ms: Option<u64>,
    supervisor: Option<u32>,
    /// The configuration is no longer what zei goes by; missing where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_on_disk: Option<bool>,
}

/// One array, in one line.
pub(crate) fn array(rows: &[Row], now: Time, changed_on_disk: Option<bool>) -> String {
    json(&rows.iter().map(|row| Entry { changed_on_disk, ..entry(row, now) }).collect::<Vec<_>>())
}

fn entry(row: &Row, now: Time) -> Entry<'_> {
    let status = row.status.as_ref();
    Entry {
        name: row.name.as_str(),
        state: status.map(|status| status.state.word()),
        reason: status.map(|status| status.reason.as_str()),
        pid: status.and_then(|status| status.pid),
        want: status.map(|status| if status.want { "up" } else { "down" }),
        ready: status.is_some_and(|status| status.ready),
        health: status.map(|status| status.health.word()),
        text: status.map(|status| status.text.as_str()),
        restarts: status.map(|status| status.restarts),
        run: status.map(|status| status.run),
        exit: status.and_then(|status| match status.exit? {
            Exit::Code(code) => Some(code),
            Exit::Signal(_) => None,
        }),
        signal: status.and_then(|status| match status.exit? {
            Exit::Signal(number) => Some(signal::Name(number).to_string()),
            Exit::Code(_) => None,
        }),
        since_wall: status.map(|status| status.since_wall),
        since_ms: status.map(|status| now.since(Time(status.since)).0),
        uptime_ms: row.uptime(now).map(|span| span.0),
        next_ms: status.and_then(|status| Some(Time(status.next?).since(now).0)),
        deadline_ms: status.and_then(|status| Some(Time(status.deadline?).since(now).0)),
        supervisor: status.map(|status| status.supervisor),
        changed_on_disk: None,
    }
}

/// What stands before and behind a state to give it its colour.
pub(crate) fn paint(status: Option<&Status>, colour: bool) -> (&'static str, &'static str) {
    let Some(status) = status else { return ("", "") };
    let on = match (status.state, status.health) {
        (State::Failed, _) | (State::Running, Health::Unhealthy) => "\x1b[31m",
        (State::Running, Health::Starting) => "\x1b[33m",
        (State::Running, Health::None | Health::Healthy) => "\x1b[32m",
        (State::Waiting | State::Starting | State::Stopping | State::RestartPending, _) => "\x1b[33m",
        (State::Scheduled | State::Stopped | State::Completed, _) => return ("", ""),
    };
    if colour { (on, "\x1b[0m") } else { ("", "") }
}

/// The two largest units: `2d3h`, `3m2s`, `420ms`.
pub(crate) fn length(span: Span) -> Text<32> {
    let units = [86_400_000, 3_600_000, 60_000, 1000, 1];
    let smallest = units.iter().position(|unit| span.0 >= *unit).and_then(|first| units.get(first + 1)).unwrap_or(&1);
    // Nobody needs the milliseconds of a second.
    let smallest = if span.0 >= 1000 { (*smallest).max(1000) } else { *smallest };
    text::format(format_args!("{}", Span(span.0 - span.0 % smallest)))
}

/// A point in time as RFC 3339 has it, in UTC.
fn wall(milliseconds: u64) -> String {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(milliseconds))
        .filter(|_| milliseconds < 253_402_300_800_000)
        .map_or_else(|| "?".to_string(), |time| humantime::format_rfc3339_seconds(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    fn rows() -> Vec<Row> {
        let of = |name: &str, change: &dyn Fn(&mut Status)| {
            let mut status = fake::status(name);
            change(&mut status);
            Row { name: status.name, status: Some(status) }
        };
        vec![
            of("db", &|status| {
                status.state = State::Failed;
                status.reason = Text::from("exit:3");
                status.ready = false;
                (status.pid, status.restarts, status.exit) = (None, 5, Some(Exit::Code(3)));
            }),
            of("web", &|status| status.exit = Some(Exit::Signal(signal::TERM))),
            Row { name: ServiceName::parse("a-new-one").unwrap(), status: None },
        ]
    }

    // The fake status began its state at 1000.
    const NOW: Time = Time(184_000);

    #[test]
    fn the_table_has_one_line_a_service_and_five_columns() {
        let expected = "\
NAME       STATUS       PID  RESTARTS  UPTIME
db         failed         -         5  -
web        running     4711         0  3m3s
a-new-one  -              -         -  -
";
        assert_eq!(table(&rows(), NOW, false), expected);
        for line in expected.lines() {
            assert_eq!(line.split_whitespace().count(), 5, "{line}");
        }
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let coloured = table(&rows(), NOW, true);
        assert!(coloured.contains("\x1b[31mfailed \x1b[0m") && coloured.contains("\x1b[32mrunning\x1b[0m"));
        let plain = ["\x1b[31m", "\x1b[32m", "\x1b[0m"].iter().fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(plain, table(&rows(), NOW, false));
    }

    #[test]
    fn the_details_say_all_that_is_known() {
        let expected = "\
db: failed
  reason      exit:3
  since       2023-11-14T22:13:20Z (3m3s)
  wanted      up
  restarts    5 (started 1 times)
  last end    exit code 3
  supervisor  12
web: running
  since       2023-11-14T22:13:20Z (3m3s)
  wanted      up
  pid         4711
  ready       yes
  restarts    0 (started 1 times)
  last end    signal TERM
  supervisor  12
a-new-one: -
";
        assert_eq!(details(&rows(), NOW, false), expected);
    }

    #[test]
    fn health_stands_beside_the_state_where_it_is_checked() {
        let shown = |health, state| {
            let status = Status { health, state, text: Text::from("busy"), ..fake::status("web") };
            let row = Row { name: status.name, status: Some(status) };
            (row.state().to_string(), details(&[row], NOW, false))
        };
        for (health, state, expected) in [
            (Health::None, State::Running, "running"),
            (Health::Starting, State::Running, "running (health: starting)"),
            (Health::Healthy, State::Running, "running (healthy)"),
            (Health::Unhealthy, State::Running, "running (unhealthy)"),
            (Health::Unhealthy, State::Stopping, "stopping"),
        ] {
            let (label, details) = shown(health, state);
            assert_eq!(label, expected);
            assert!(details.starts_with(&format!("web: {expected}\n")) && details.contains("  says        busy\n"));
            let line = format!("  health      {}\n", health.word());
            assert_eq!(details.contains(&line), health != Health::None, "{details}");
        }
    }

    #[test]
    fn json_is_one_array_with_an_object_a_service() {
        let read: serde_json::Value = serde_json::from_str(&array(&rows(), NOW, Some(true))).unwrap();
        assert_eq!(read.as_array().unwrap().len(), 3);
        assert_eq!(
            (&read[0]["state"], &read[0]["exit"], &read[0]["pid"]),
            (&"failed".into(), &3.into(), &None::<u8>.into())
        );
        assert_eq!(read[2]["changed_on_disk"], serde_json::Value::from(true));
        assert_eq!((&read[1]["signal"], &read[1]["uptime_ms"]), (&"TERM".into(), &183_000.into()));
        assert_eq!((&read[2]["name"], &read[2]["state"]), (&"a-new-one".into(), &None::<u8>.into()));
    }

    #[test]
    fn lengths_show_their_two_largest_units() {
        for (span, text) in
            [(0, "0s"), (420, "420ms"), (1999, "1s"), (61_500, "1m1s"), (3_601_000, "1h"), (90_061_001, "1d1h")]
        {
            assert_eq!(length(Span(span)).as_str(), text);
        }
        assert_eq!(wall(u64::MAX), "?");
    }
}
