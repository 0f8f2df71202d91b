//! Slots around changes of the clock, and everything against a walk from minute to minute.

use super::*;
use jiff::civil::DateTime;
use proptest::prelude::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// The instants that come after `after` (local time with offset) as local times with their offsets.
fn upcoming(text: &str, name: &str, after: &str, count: usize) -> Vec<String> {
    let (schedule, zone) = (Schedule::parse(text).unwrap(), zone(name));
    let mut at = after.parse::<Timestamp>().unwrap().as_millisecond();
    let next = || {
        at = schedule.next(&zone, at)?;
        Some(
            Timestamp::from_millisecond(at)
                .unwrap()
                .to_zoned_datetime(zone.clone())
                .strftime("%m-%d %H:%M:%S%:z")
                .to_string(),
        )
    };
    std::iter::from_fn(next).take(count).collect()
}

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";

#[test]
fn a_slot_in_a_skipped_hour_comes_once_at_its_end() {
    assert_eq!(
        upcoming("30 2 * * *", BERLIN, "2026-03-28T00:00:00+01:00", 3),
        ["03-28 02:30:00+01:00", "03-29 03:00:00+02:00", "03-30 02:30:00+02:00"]
    );
    assert_eq!(
        upcoming("0 2 * * *", NEW_YORK, "2026-03-07T12:00:00-05:00", 2),
        ["03-08 03:00:00-04:00", "03-09 02:00:00-04:00"]
    );
    // From within the last second before it, too, and not a second time from its end.
    assert_eq!(upcoming("30 2 29 3 *", BERLIN, "2026-03-29T01:59:59.999+01:00", 1), ["03-29 03:00:00+02:00"]);
    let schedule = Schedule::parse("30 2 29 3 *").unwrap();
    let end = "2026-03-29T03:00:00+02:00".parse::<Timestamp>().unwrap().as_millisecond();
    assert_eq!(schedule.next(&zone(BERLIN), end - 1), Some(end));
    assert!(schedule.next(&zone(BERLIN), end).unwrap() > end + 300 * 86_400_000);
}

#[test]
fn several_slots_in_a_skipped_hour_come_as_one_also_with_one_at_its_very_end() {
    let expected = ["03-29 03:00:00+02:00", "03-30 02:00:00+02:00", "03-30 02:15:00+02:00"];
    for text in ["*/15 2 * * *", "0,15,30,45 2 * * *"] {
        assert_eq!(upcoming(text, BERLIN, "2026-03-29T00:00:00+01:00", 3), expected, "{text}");
    }
    assert_eq!(
        upcoming("0,30 1-3 8 3 *", NEW_YORK, "2026-03-08T00:00:00-05:00", 4),
        ["03-08 01:00:00-05:00", "03-08 01:30:00-05:00", "03-08 03:00:00-04:00", "03-08 03:30:00-04:00"]
    );
}

#[test]
fn a_skipped_midnight_belongs_to_the_day_that_begins_later() {
    // Cairo goes from 00:00 to 01:00 on the last Friday of April.
    assert_eq!(
        upcoming("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00+02:00", 2),
        ["04-24 01:00:00+03:00", "04-25 00:00:00+03:00"]
    );
    assert_eq!(upcoming("0 0 * * FRI", "Africa/Cairo", "2026-04-23T12:00:00+02:00", 1), ["04-24 01:00:00+03:00"]);
}

#[test]
fn a_slot_in_a_doubled_hour_comes_once_the_first_time() {
    assert_eq!(
        upcoming("30 2 * * *", BERLIN, "2026-10-24T12:00:00+02:00", 2),
        ["10-25 02:30:00+02:00", "10-26 02:30:00+01:00"]
    );
    assert_eq!(
        upcoming("*/30 1 * * *", NEW_YORK, "2026-11-01T00:00:00-04:00", 3),
        ["11-01 01:00:00-04:00", "11-01 01:30:00-04:00", "11-02 01:00:00-05:00"]
    );
    // Between the two.
    assert_eq!(upcoming("30 2 * * *", BERLIN, "2026-10-25T02:15:00+01:00", 1), ["10-26 02:30:00+01:00"]);
    assert_eq!(
        upcoming("0 0-23 * * *", BERLIN, "2026-10-25T01:30:00+02:00", 2),
        ["10-25 02:00:00+02:00", "10-25 03:00:00+01:00"]
    );
}

#[test]
fn every_minute_and_every_hour_go_on_in_real_time() {
    let hours = |name, after, count| upcoming("0 * * * *", name, after, count);
    assert_eq!(
        hours(BERLIN, "2026-03-29T00:30:00+01:00", 3),
        ["03-29 01:00:00+01:00", "03-29 03:00:00+02:00", "03-29 04:00:00+02:00"]
    );
    assert_eq!(
        hours(NEW_YORK, "2026-11-01T00:30:00-04:00", 3),
        ["11-01 01:00:00-04:00", "11-01 01:00:00-05:00", "11-01 02:00:00-05:00"]
    );
    assert_eq!(
        hours(BERLIN, "2026-10-25T01:30:00+02:00", 3),
        upcoming("@hourly", BERLIN, "2026-10-25T01:30:00+02:00", 3)
    );
    for (name, after) in [
        (BERLIN, "2026-03-29T00:00:00+01:00"),
        (BERLIN, "2026-10-25T00:00:00+02:00"),
        (NEW_YORK, "2026-03-08T00:00:00-05:00"),
        (NEW_YORK, "2026-11-01T00:00:00-04:00"),
    ] {
        let (schedule, zone) = (Schedule::parse("* * * * *").unwrap(), zone(name));
        let mut at = after.parse::<Timestamp>().unwrap().as_millisecond();
        for _ in 0..6 * 60 {
            assert_eq!(schedule.next(&zone, at), Some(at + 60_000), "{name}");
            at += 60_000;
        }
    }
}

#[test]
fn a_slot_comes_strictly_after_the_instant_to_the_millisecond() {
    let schedule = Schedule::parse("0 0 1 1 *").unwrap();
    let slot = "2027-01-01T00:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
    assert_eq!(schedule.next(&TimeZone::UTC, slot - 1), Some(slot));
    assert!(schedule.next(&TimeZone::UTC, slot).unwrap() > slot);
    assert_eq!(Schedule::parse("* * * * * *").unwrap().next(&TimeZone::UTC, -1), Some(0));
    assert_eq!(Schedule::parse("30 * * * * *").unwrap().next(&TimeZone::UTC, slot), Some(slot + 30_000));
}

#[test]
fn rare_dates_come_and_the_ends_of_time_are_no_trouble() {
    assert_eq!(upcoming("0 0 29 2 *", BERLIN, "2026-03-01T00:00:00+01:00", 1), ["02-29 00:00:00+01:00"]);
    // `+`: both fields of days have to hold. 29 February 2072 was a Monday, and 2100 is no leap year.
    let schedule = Schedule::parse("0 0 29 2 +MON").unwrap();
    let after = "2072-03-01T00:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
    let found = Timestamp::from_millisecond(schedule.next(&zone(NEW_YORK), after).unwrap()).unwrap();
    let found = found.to_zoned_datetime(zone(NEW_YORK)).strftime("%F %a %T").to_string();
    assert_eq!(found, "2112-02-29 Mon 00:00:00");
    for after in [i64::MIN, i64::MAX, 300_000_000_000_000_000] {
        assert_eq!(schedule.next(&TimeZone::UTC, after), None);
    }
}

/// A field as it is written, and what it means.
#[derive(Clone, Debug)]
struct Written {
    text: String,
    values: Vec<u8>,
}

fn field(low: u8, high: u8) -> impl Strategy<Value = Written> {
    let all = move || (low..=high).collect::<Vec<u8>>();
    let star = Just(Written { text: String::from("*"), values: all() });
    let every = (1..=high).prop_map(move |step| Written {
        text: format!("*/{step}"),
        values: all().into_iter().step_by(step.into()).collect(),
    });
    let range = (low..=high, low..=high, 1u8..4).prop_map(|(a, b, step)| {
        let (a, b) = (a.min(b), a.max(b));
        let text = if step == 1 { format!("{a}-{b}") } else { format!("{a}-{b}/{step}") };
        Written { text, values: (a..=b).step_by(step.into()).collect() }
    });
    prop_oneof![4 => star, 2 => every, 1 => range, 3 => list(low, high)]
}

fn list(low: u8, high: u8) -> impl Strategy<Value = Written> {
    prop::collection::vec(low..=high, 1..4)
        .prop_map(|values| Written { text: values.iter().map(u8::to_string).collect::<Vec<_>>().join(","), values })
}

/// Minute, hour, day, month, weekday.
type Expression = [Written; 5];

fn expression() -> impl Strategy<Value = Expression> {
    let free = |low, high| Just(Written { text: String::from("*"), values: (low..=high).collect() });
    // Clocks are changed in the first hours of some day in spring and autumn, so more slots lie there.
    let hour = prop_oneof![field(0, 23), list(0, 3)];
    let day = prop_oneof![3 => free(1, 31), 2 => field(1, 31)];
    let month = prop_oneof![3 => free(1, 12), 1 => field(1, 12)];
    let weekday = prop_oneof![3 => free(0, 7), 2 => field(0, 7)];
    (field(0, 59), hour, day, month, weekday).prop_map(|(a, b, c, d, e)| [a, b, c, d, e])
}

const ZONES: [&str; 8] = [
    BERLIN,
    NEW_YORK,
    "UTC",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/St_Johns",
];

/// A zone and an instant, mostly one near a change of its clock.
fn moment() -> impl Strategy<Value = (TimeZone, i64)> {
    let base = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
    (prop::sample::select(&ZONES[..]), 0..86_400_000i64 * 365, 0..4usize, -7_200_000..14_400_000i64).prop_map(
        move |(name, random, change, near)| {
            let zone = zone(name);
            let start = Timestamp::from_millisecond(base).unwrap();
            let changed = zone.following(start).nth(change).map(|change| change.timestamp().as_millisecond() - near);
            let at = if random % 3 == 0 { base + random } else { changed.unwrap_or(base + random) };
            (zone, at)
        },
    )
}

fn matches(expression: &Expression, local: DateTime) -> bool {
    let [minute, hour, day, month, weekday] = expression;
    let is = |field: &Written, value: i8| field.values.contains(&u8::try_from(value).unwrap());
    let sunday = local.weekday().to_sunday_zero_offset();
    let (by_day, by_weekday) = (is(day, local.day()), is(weekday, sunday) || (sunday == 0 && is(weekday, 7)));
    let either = !day.text.starts_with('*') && !weekday.text.starts_with('*');
    let on = if either { by_day || by_weekday } else { by_day && by_weekday };
    is(minute, local.minute()) && is(hour, local.hour()) && is(month, local.month()) && on
}

/// The first minute after `after` that is a slot by the rules, within so many days.
fn walk(expression: &Expression, zone: &TimeZone, after: i64, days: i64) -> Option<i64> {
    let by_clock = expression[1].text.starts_with('*');
    let first = after.div_euclid(60_000) + 1;
    (first..first + days * 1440).map(|minute| minute * 60_000).find(|at| {
        let timestamp = Timestamp::from_millisecond(*at).unwrap();
        let local = zone.to_datetime(timestamp);
        if by_clock {
            return matches(expression, local);
        }
        // What the clock showed a minute ago, and a minute more: less than now where it skipped something.
        let mut skipped = zone.to_datetime(Timestamp::from_millisecond(at - 60_000).unwrap());
        skipped = skipped.checked_add(jiff::SignedDuration::from_mins(1)).unwrap();
        while skipped < local {
            if matches(expression, skipped) {
                return true;
            }
            skipped = skipped.checked_add(jiff::SignedDuration::from_mins(1)).unwrap();
        }
        let ambiguous = zone.to_ambiguous_timestamp(local);
        matches(expression, local) && ambiguous.earlier().unwrap() == timestamp
    })
}

fn text(expression: &Expression) -> String {
    expression.iter().map(|field| field.text.as_str()).collect::<Vec<_>>().join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn next_is_what_a_walk_from_minute_to_minute_finds(expression in expression(), (zone, after) in moment()) {
        const DAYS: i64 = 40;
        let Ok(schedule) = Schedule::parse(&text(&expression)) else {
            // Only what never comes is refused.
            prop_assert_eq!(walk(&expression, &zone, after, DAYS), None);
            return Ok(());
        };
        let next = schedule.next(&zone, after).unwrap();
        let limit = after + DAYS * 86_400_000;
        prop_assert_eq!(Some(next).filter(|next| *next <= limit), walk(&expression, &zone, after, DAYS));
    }

    #[test]
    fn instants_go_up_and_match_the_fields_where_the_clock_is_not_changed(
        expression in expression(),
        (zone, after) in moment(),
    ) {
        let Ok(schedule) = Schedule::parse(&text(&expression)) else { return Ok(()) };
        let mut before = after;
        for _ in 0..20 {
            let at = schedule.next(&zone, before).unwrap();
            prop_assert!(at > before);
            // No instant between two neighbours was left out.
            prop_assert_eq!(schedule.next(&zone, at - 1), Some(at));
            let timestamp = Timestamp::from_millisecond(at).unwrap();
            let change = zone.preceding(timestamp + jiff::SignedDuration::from_secs(1)).next();
            let changed = change.is_some_and(|change| change.timestamp() == timestamp);
            prop_assert!(changed || matches(&expression, zone.to_datetime(timestamp)));
            before = at;
        }
    }

    #[test]
    fn nothing_that_is_written_is_a_trouble(text in "[-0-9*/,LW#?+@A-Za-z \u{e4}\u{1f600}]{0,40}", after in any::<i64>()) {
        if let Ok(schedule) = Schedule::parse(&text) {
            let next = schedule.next(&TimeZone::UTC, after);
            prop_assert!(next.is_none_or(|next| next > after));
        }
    }
}
