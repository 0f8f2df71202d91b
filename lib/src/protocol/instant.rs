//! Points in time as text: RFC 3339, in UTC, to the millisecond.
//!
//! Owns: the bytes. Must never: look at a clock.

use crate::calendar::{DAY, Date};

/// The length of every such text.
pub const LENGTH: usize = 24;
/// The last millisecond that has four digits for its year.
pub const LAST: u64 = 253_402_300_799_999;

/// Where each part stands in the text, and how many digits it has; what stands between them is in [`FORM`].
const YEAR: (usize, usize) = (0, 4);
const MONTH: (usize, usize) = (5, 2);
const DAY_OF_MONTH: (usize, usize) = (8, 2);
const HOUR: (usize, usize) = (11, 2);
const MINUTE: (usize, usize) = (14, 2);
const SECOND: (usize, usize) = (17, 2);
const MILLISECOND: (usize, usize) = (20, 3);
const FORM: &[u8; LENGTH] = b"0000-00-00T00:00:00.000Z";

/// Writes milliseconds since 1970 as `2026-11-30T19:51:34.123Z`. What comes after the year 9999 is taken for its
/// last millisecond.
pub fn encode(milliseconds: u64) -> [u8; LENGTH] {
    let milliseconds = milliseconds.min(LAST);
    let seconds = milliseconds / 1000;
    // At most the length of a day, and at most LAST.
    let of_day = seconds % DAY.unsigned_abs();
    let date = Date::of(i64::try_from(seconds).unwrap_or(0));
    let mut text = *FORM;
    let mut put = |(at, digits): (usize, usize), mut number: u64| {
        for place in text.iter_mut().skip(at).take(digits).rev() {
            *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
    };
    put(YEAR, date.year.unsigned_abs());
    put(MONTH, date.month.into());
    put(DAY_OF_MONTH, date.day.into());
    put(HOUR, of_day / 3600);
    put(MINUTE, of_day / 60 % 60);
    put(SECOND, of_day % 60);
    put(MILLISECOND, milliseconds % 1000);
    text
}

/// Reads what [`encode`] writes, and nothing else.
pub fn parse(text: &[u8]) -> Option<u64> {
    let text: &[u8; LENGTH] = text.try_into().ok()?;
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    if !text.iter().zip(FORM).all(fits) {
        return None;
    }
    let get = |(at, digits): (usize, usize)| {
        text.iter().skip(at).take(digits).fold(0, |number: u32, digit| number * 10 + u32::from(digit - b'0'))
    };
    let date = Date::from_numbers(get(YEAR).into(), get(MONTH), get(DAY_OF_MONTH))?;
    let (hour, minute, second) = (get(HOUR), get(MINUTE), get(SECOND));
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Before 1970 there is none.
    let day = u64::try_from(date.start()).ok()?;
    Some((day + u64::from(hour * 3600 + minute * 60 + second)) * 1000 + u64::from(get(MILLISECOND)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(milliseconds: u64) -> String {
        String::from_utf8(encode(milliseconds).to_vec()).unwrap()
    }

    #[test]
    fn known_points_in_time() {
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_796_068_294_123, "2026-11-30T19:51:34.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!((encoded(milliseconds).as_str(), parse(text.as_bytes())), (text, Some(milliseconds)));
        }
        assert_eq!((encode(LAST + 1), encode(u64::MAX)), (encode(LAST), encode(LAST)));
    }

    #[test]
    fn what_is_no_such_text_is_not_read() {
        for text in [
            "",
            "2026-11-30T19:51:34Z",
            "2026-11-30T19:51:34.123",
            "2026-11-30 19:51:34.123Z",
            "2026-11-30T19:51:34.1234Z",
            "2026-11-31T19:51:34.123Z",
            "2026-02-29T19:51:34.123Z",
            "2026-00-30T19:51:34.123Z",
            "2026-13-30T19:51:34.123Z",
            "2026-11-30T24:51:34.123Z",
            "2026-11-30T19:60:34.123Z",
            "2026-11-30T19:51:60.123Z",
            "2026-11-30T19:51:+4.123Z",
            "1969-12-31T23:59:59.999Z",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(milliseconds in 0..=LAST) {
            prop_assert_eq!(parse(&encode(milliseconds)), Some(milliseconds));
        }

        #[test]
        fn any_bytes_are_a_point_in_time_or_none(bytes in prop::collection::vec(any::<u8>(), 24)) {
            if let Some(milliseconds) = parse(&bytes) {
                prop_assert_eq!(&encode(milliseconds)[..], &bytes[..]);
            }
        }

        #[test]
        fn any_numbers_in_the_form_are_read_only_if_they_are_one(digits in prop::collection::vec(b'0'..=b'9', 24)) {
            let text: Vec<u8> =
                FORM.iter().zip(digits).map(|(form, digit)| if *form == b'0' { digit } else { *form }).collect();
            if let Some(milliseconds) = parse(&text) {
                prop_assert_eq!(&encode(milliseconds)[..], &text[..]);
            }
        }
    }
}
