//! Days of the Gregorian calendar.
//!
//! Owns: the step from one date to the next, and between dates and seconds. Must never: know a time zone.

/// Seconds since 1970-01-01 00:00:00 as a clock on some wall shows them, or a part of a day.
pub type Seconds = i64;

/// The length of a day.
pub const DAY: Seconds = 86_400;

/// A date, with what is known of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Date {
    /// Of the common era; 0 and below before it.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 is Sunday.
    pub weekday: u32,
    days: i64,
}

impl Date {
    /// The date of a point in time.
    pub fn of(time: Seconds) -> Date {
        let days = time.div_euclid(DAY);
        // Years that begin on 1 March have their leap day at the end, and 400 of them always have 146097 days.
        let shifted = days + 719_468;
        let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // From March on the lengths repeat every five months: 31 30 31 30 31.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (year, month) = (year + era * 400 + month / 10, if month < 10 { month + 3 } else { month - 9 });
        let small = |number: i64| u32::try_from(number).unwrap_or(0);
        // 1970-01-01 was a Thursday.
        Date { year, month: small(month), day: small(day), weekday: small((days + 4).rem_euclid(7)), days }
    }

    /// The date of these numbers, if there is one.
    pub fn from_numbers(year: i64, month: u32, day: u32) -> Option<Date> {
        if !((-9999..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)) {
            return None;
        }
        // Back the way that `of` comes.
        let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let leaps = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
        let in_year = i64::from((153 * months + 2) / 5 + day) - 1;
        let date = Date::of((365 * years + leaps + in_year - 719_468) * DAY);
        ((date.year, date.month, date.day) == (year, month, day)).then_some(date)
    }

    /// Its first second.
    pub fn start(&self) -> Seconds {
        self.days * DAY
    }

    /// The day after it.
    pub fn next(&self) -> Date {
        Date::of(self.start() + DAY)
    }

    /// The first day of the month after its own.
    pub fn next_month(&self) -> Date {
        // No month is longer than 31 days, so this is one of the first days of the next.
        let there = Date::of(self.start() + i64::from(32 - self.day) * DAY);
        Date::of(there.start() - i64::from(there.day - 1) * DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_of_800_years_follows_the_one_before() {
        let mut date = Date::of(-400 * 366 * DAY);
        for _ in 0..800 * 366 {
            let leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
            let length = match date.month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let next = date.next();
            let expected = match (date.day == length, date.month) {
                (false, _) => (date.year, date.month, date.day + 1),
                (true, 12) => (date.year + 1, 1, 1),
                (true, _) => (date.year, date.month + 1, 1),
            };
            assert_eq!((next.year, next.month, next.day), expected);
            assert_eq!(Date::from_numbers(next.year, next.month, next.day), Some(next));
            assert_eq!(Date::from_numbers(date.year, date.month, length + 1), None);
            assert_eq!(next.weekday, (date.weekday + 1) % 7);
            let month = date.next_month();
            assert_eq!((month.day, month.month), (1, date.month % 12 + 1), "{date:?}");
            assert!(month.start() - date.start() <= 31 * DAY);
            date = next;
        }
    }

    #[test]
    fn known_dates() {
        for (time, expected) in [
            (0, (1970, 1, 1, 4)),
            (-1, (1969, 12, 31, 3)),
            (1_774_746_000, (2026, 3, 29, 0)),
            (951_782_400, (2000, 2, 29, 2)),
        ] {
            let date = Date::of(time);
            assert_eq!((date.year, date.month, date.day, date.weekday), expected);
        }
    }
}
