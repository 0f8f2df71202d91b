//! Points in time and spans, in whole milliseconds of CLOCK_MONOTONIC.
//!
//! Owns: the arithmetic, which saturates. Must never: read a clock.

use core::fmt;

/// A point in time: milliseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Time(pub u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Span(pub u64);

impl Time {
    /// Later than any deadline.
    pub const NEVER: Time = Time(u64::MAX);

    /// The time `span` later, [`Time::NEVER`] at the most.
    #[must_use]
    pub const fn plus(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// A span of whole seconds.
    pub const fn seconds(seconds: u64) -> Span {
        Span(seconds.saturating_mul(1000))
    }
}

/// As the configuration writes it: `500ms`, `5s`, `2m`, `1h30m`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut written = false;
        for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
                written = true;
            }
        }
        if written { Ok(()) } else { f.write_str("0s") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_stays_never_and_the_past_is_zero_ago() {
        assert_eq!(Time::NEVER.plus(Span(1)), Time::NEVER);
        assert_eq!(Time(5).since(Time(9)), Span(0));
        assert_eq!(Time(9).since(Time(5)), Span(4));
    }

    #[test]
    fn spans_print_as_they_are_written() {
        for (span, text) in
            [(0, "0s"), (500, "500ms"), (5000, "5s"), (90_000, "1m30s"), (3_600_000, "1h"), (90_061_001, "1d1h1m1s1ms")]
        {
            assert_eq!(Span(span).to_string(), text);
        }
    }
}
