//! When an expression comes in a time zone.
//!
//! Owns: what happens to slots in hours that a clock skips or shows twice. Must never: find out which zone or
//! what time it is.
//!
//! Time is walked in stretches in which the zone's offset from UTC is constant. Inside one a slot has one
//! instant. Between two of them:
//!
//! - An expression whose hour begins with `*` goes by what the clock shows: its slots in a skipped hour don't
//!   exist, those in a doubled hour come twice, so that each minute and each hour of real time has its run.
//!   crontab(5)'s cron does the same with those.
//! - Any other names a time of day, which should come once each day: slots in a skipped hour come together as
//!   one at its end, and those in a doubled hour come when the clock first shows them.

use super::Schedule;
use crate::calendar::Seconds;
use jiff::Timestamp;
use jiff::tz::TimeZone;

impl Schedule {
    /// The first instant after `after`, both in milliseconds since 1970; it is always a whole second. `None`
    /// where that would be after the year 9000.
    pub fn next(&self, zone: &TimeZone, after: i64) -> Option<i64> {
        let mut start = after.div_euclid(1000).checked_add(1)?;
        loop {
            let stretch = Stretch::at(zone, start)?;
            if let Some(instant) = self.first_in(&stretch, start) {
                return instant.checked_mul(1000);
            }
            start = stretch.end?;
        }
    }

    /// The first instant in a stretch, from `start` on, which lies in it.
    fn first_in(&self, stretch: &Stretch, start: Seconds) -> Option<Seconds> {
        let mut from = start + stretch.offset;
        if let (false, Some(begin)) = (self.every_hour, &stretch.begin) {
            let skipped = begin.clock_before..begin.instant + stretch.offset;
            if start == begin.instant && self.first(skipped.start).is_some_and(|slot| skipped.contains(&slot)) {
                return Some(start);
            }
            // What the clock shows below this it has shown before.
            from = from.max(begin.clock_before);
        }
        let instant = self.first(from)? - stretch.offset;
        stretch.end.is_none_or(|end| instant < end).then_some(instant)
    }
}

/// A time in which the offset is constant; all in seconds since 1970.
struct Stretch {
    begin: Option<Begin>,
    /// Local time minus UTC.
    offset: Seconds,
    /// The first instant after it.
    end: Option<Seconds>,
}

struct Begin {
    instant: Seconds,
    /// What the clock would have shown then, had it not been changed.
    clock_before: Seconds,
}

impl Stretch {
    /// The one around an instant.
    fn at(zone: &TimeZone, instant: Seconds) -> Option<Stretch> {
        const LAST: Seconds = (9000 - 1970) * 31_556_952;
        if instant > LAST {
            return None;
        }
        let timestamp = Timestamp::from_second(instant).ok()?;
        let offset = |at: Timestamp| Seconds::from(zone.to_offset(at).seconds());
        // Those before the next second include one at this instant.
        let begin = zone.preceding(Timestamp::from_second(instant + 1).ok()?).next().map(|change| {
            let instant = change.timestamp().as_second();
            let before = Timestamp::from_second(instant - 1).map_or(0, offset);
            Begin { instant, clock_before: instant + before }
        });
        let end = zone.following(timestamp).next().map(|change| change.timestamp().as_second());
        Some(Stretch { begin, offset: offset(timestamp), end })
    }
}

#[cfg(test)]
mod tests;
