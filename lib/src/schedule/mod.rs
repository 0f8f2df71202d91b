//! Cron expressions: what they say, and in local time, when they say so.
//!
//! Owns: the reading of an expression, with a sentence for each way to get it wrong. Must never: read a clock,
//! or know where it is used.

#[cfg(feature = "cron")]
mod instants;

use crate::calendar::{self, Date, Seconds};
use crate::near;
use croner::parser::{CronParser, Year};
use croner::{Cron, CronPattern, Weekday};

/// Whether `text` is an expression that comes at some time; if not, a sentence that says what is wrong and
/// what to write.
///
/// Five fields as crontab(5) has them, minute hour day month weekday, or six with seconds before them; or
/// `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.
pub fn check(text: &str) -> Result<(), String> {
    Schedule::parse(text).map(|_| ())
}

/// An expression that comes at some time.
#[derive(Clone, Debug)]
pub struct Schedule {
    pattern: CronPattern,
    hours: Vec<Seconds>,
    minutes: Vec<Seconds>,
    seconds: Vec<Seconds>,
    #[cfg_attr(not(feature = "cron"), allow(dead_code, reason = "only what computes instants reads it"))]
    every_hour: bool,
}

/// One of the six fields.
struct Field {
    name: &'static str,
    range: &'static str,
    /// The only words of letters in it.
    words: &'static [&'static str],
}

const FIELDS: [Field; 6] = [
    Field { name: "second", range: "0 to 59", words: &[] },
    Field { name: "minute", range: "0 to 59", words: &[] },
    Field { name: "hour", range: "0 to 23", words: &[] },
    Field { name: "day of month", range: "1 to 31, L for the last day", words: &["L", "W", "LW"] },
    Field {
        name: "month",
        range: "1 to 12 or JAN to DEC",
        words: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    },
    Field {
        name: "weekday",
        range: "0 to 7 (0 and 7 are Sunday) or SUN to SAT",
        words: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "L"],
    },
];
const HOUR: usize = 2;
const DAY: usize = 3;
const WEEKDAY: usize = 5;

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// After so long a time all dates have come with all weekdays: 29 February on a Monday comes each 28 years,
/// and after 40 around a year like 2100, which is no leap year.
const LONGEST_WAIT: Seconds = 41 * 366 * calendar::DAY;

impl Schedule {
    /// Reads an expression; see [`check`].
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let fields = fields(text)?;
        for (field, text) in FIELDS.iter().zip(&fields) {
            field.check(text)?;
        }
        let star = |index: usize| fields.get(index).is_some_and(|text| text.starts_with(['*', '?']));
        // As in crontab(5): two restricted day fields mean either; `*/2` is no restriction in that sense.
        let parser = CronParser::builder().year(Year::Optional).dom_and_dow(star(DAY) || star(WEEKDAY)).build();
        let Ok(Cron { pattern }) = parser.parse(&fields.join(" ")) else {
            let is_wrong = |index: &usize| parser.parse(&alone(&fields, *index)).is_err();
            let wrong = (0..FIELDS.len()).find(is_wrong).and_then(|index| FIELDS.get(index).zip(fields.get(index)));
            return Err(wrong.map_or_else(|| usage(text, "is wrong"), |(field, text)| field.problem(text, "")));
        };
        let in_seconds = |values: Vec<u16>, each| values.into_iter().map(|value| Seconds::from(value) * each).collect();
        let schedule = Schedule {
            hours: in_seconds(pattern.hours.values(), 3600),
            minutes: in_seconds(pattern.minutes.values(), 60),
            seconds: in_seconds(pattern.seconds.values(), 1),
            every_hour: star(HOUR),
            pattern,
        };
        if schedule.first(0).is_none() {
            return Err(format!(
                "{text:?} never comes: no month in it has such a day; February has 28 or 29, \
                 April, June, September and November have 30"
            ));
        }
        Ok(schedule)
    }

    /// The first slot at or after `from`, both in local time.
    fn first(&self, from: Seconds) -> Option<Seconds> {
        let mut date = Date::of(from);
        while date.start() <= from.saturating_add(LONGEST_WAIT) {
            if !self.pattern.month_match(date.month).unwrap_or(false) {
                date = date.next_month();
                continue;
            }
            let time = if self.is_on(&date) { self.first_of_day(from - date.start()) } else { None };
            if let Some(time) = time {
                return Some(date.start() + time);
            }
            date = date.next();
        }
        None
    }

    fn is_on(&self, date: &Date) -> bool {
        let weekday = match date.weekday {
            0 => Weekday::Sunday,
            1 => Weekday::Monday,
            2 => Weekday::Tuesday,
            3 => Weekday::Wednesday,
            4 => Weekday::Thursday,
            5 => Weekday::Friday,
            _ => Weekday::Saturday,
        };
        let Ok(year) = i32::try_from(date.year) else { return false };
        self.pattern.day_match(year, date.month, date.day, weekday).unwrap_or(false)
    }

    /// The first time of a day at or after `from`, which may lie before that day.
    fn first_of_day(&self, from: Seconds) -> Option<Seconds> {
        let hours = self.hours.iter().filter(|hour| **hour + 3600 > from);
        let minutes = hours.flat_map(|hour| self.minutes.iter().map(move |minute| hour + minute));
        let minutes = minutes.filter(|minute| minute + 60 > from);
        minutes.flat_map(|minute| self.seconds.iter().map(move |second| minute + second)).find(|time| *time >= from)
    }
}

impl Field {
    /// Whether the letters in it are words that belong there, and no list has a hole; the rest is croner's.
    fn check(&self, text: &str) -> Result<(), String> {
        if text.split(',').any(str::is_empty) {
            return Err(self.problem(text, "a list has something on each side of its comma"));
        }
        for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
            // `5L` is the last Friday, and so is `FRIL`.
            let known = |word: &str| self.words.contains(&word);
            let last = || self.words.contains(&"SUN") && word.strip_suffix('L').is_some_and(known);
            if !known(word) && !last() {
                let near = near::nearest(word, self.words.iter().copied().filter(|word| word.len() == 3));
                let hint = near.map(|near| format!("did you mean {near}?"));
                return Err(self.problem(text, &hint.unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn problem(&self, text: &str, hint: &str) -> String {
        let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
        let Field { name, range, .. } = self;
        format!("{name} {text:?} is wrong: write {range}, a range A-B, a step */N or A-B/N, a list A,B, or *{hint}")
    }
}

/// The six fields in capitals; seconds are 0 where there are five.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let trimmed = text.trim();
    if let Some(nickname) = trimmed.split_whitespace().next().filter(|word| word.starts_with('@')) {
        let known = NICKNAMES.iter().find(|(name, _)| trimmed.eq_ignore_ascii_case(name));
        return known.map_or_else(|| Err(unknown(trimmed, nickname)), |(_, meaning)| fields(meaning));
    }
    if trimmed.starts_with("TZ=") || trimmed.starts_with("CRON_TZ=") {
        return Err(String::from("a time zone is no part of the expression: set TZ in the environment"));
    }
    let mut fields: Vec<String> = trimmed.split_whitespace().map(str::to_uppercase).collect();
    match fields.len() {
        0 => return Err(usage(text, "is empty")),
        5 => fields.insert(0, String::from("0")),
        6 => {}
        1 => return Err(usage(text, "has 1 field")),
        count => return Err(usage(text, &format!("has {count} fields"))),
    }
    Ok(fields)
}

fn usage(text: &str, what: &str) -> String {
    format!(
        "{text:?} {what}: write minute hour day month weekday, such as \"30 2 * * *\" \
         (a sixth field, before them, is for seconds), or @hourly, @daily, @weekly, @monthly, @yearly"
    )
}

/// Why an expression that begins with `nickname` is none.
fn unknown(text: &str, nickname: &str) -> String {
    if nickname.eq_ignore_ascii_case("@every") {
        let span = text.split_whitespace().nth(1).unwrap_or("5m");
        return format!("@every is no time of day: use `interval: {span}`, which counts from the end of a run");
    }
    if nickname.eq_ignore_ascii_case("@reboot") {
        return String::from("@reboot is no time: a oneshot without schedule runs when the container starts");
    }
    let near = near::nearest(nickname, NICKNAMES.iter().map(|(name, _)| *name));
    let hint = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    format!("{text:?} is unknown{hint}: write @hourly, @daily, @weekly, @monthly, @yearly, or five fields")
}

/// The expression in which only one field says anything.
fn alone(fields: &[String], kept: usize) -> String {
    let only = |(index, text): (usize, &String)| if index == kept { text.clone() } else { String::from("*") };
    fields.iter().enumerate().map(only).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
