//! How fast what has ended is reaped.
//!
//! Owns: telling a storm of processes from a crowd that ends at once. Must never: look at a clock.
//!
//! A storm (processes that make others and end, as fast as they can) leaves zombies as fast as one process can reap them
//! among so many that run. Whoever does that does nothing else, and has used up its share of the processors when it has to
//! act. So where others were given the processor for long while a few were reaped, reaping goes on at a pace that leaves this
//! process what it needs; where there is a limit of processes, that slows the storm down. A crowd is reaped at once.

use crate::model::time::{Span, Time};

/// When the next are to be reaped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// When the last ones were begun with.
    began: Time,
    /// When the next ones may be.
    next: Time,
    /// Until then there is a storm.
    storm: Time,
    /// Until then there is none, whatever ends.
    calm: Time,
}

impl Pace {
    /// So many are reaped before anything else is looked at: a fraction of a millisecond.
    const AT_ONCE: u64 = 20;
    /// That takes so long only where many others run.
    const LONG: Span = Span(10);
    const PAUSE: Span = Span(25);
    /// A storm does not end soon, and its end is no loss.
    const STORM: Span = Span::seconds(10);
    /// What was stopped or killed is gone by then.
    const CALM: Span = Span::seconds(1);

    /// There is no storm.
    pub const NEW: Pace = Pace { began: Time(0), next: Time(0), storm: Time(0), calm: Time(0) };

    /// How many may be reaped now.
    pub fn begin(&mut self, now: Time) -> u64 {
        if now < self.next {
            return 0;
        }
        self.began = now;
        Pace::AT_ONCE
    }

    /// So many were reaped, and there may be more.
    pub fn go_on(&mut self, now: Time) {
        if now.since(self.began) >= Pace::LONG && now >= self.calm {
            self.storm = now.plus(Pace::STORM);
        }
        self.next = if self.is_storm(now) { now.plus(Pace::PAUSE) } else { now };
    }

    /// What ends now was asked to: that is a crowd, though it is as many, and takes as long.
    pub fn expect(&mut self, now: Time) {
        *self = Pace { calm: now.plus(Pace::CALM), ..Pace::NEW };
    }

    /// Whether there is a storm.
    pub fn is_storm(&self, now: Time) -> bool {
        now < self.storm
    }

    /// When the next may be reaped.
    pub fn next(&self) -> Time {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are reaped within a second, where twenty take so long.
    fn reaped(pace: &mut Pace, began: Time, each: Span) -> u64 {
        let (mut now, mut count) = (began, 0);
        while now.max(pace.next()) < began.plus(Span::seconds(1)) {
            now = now.max(pace.next());
            count += pace.begin(now);
            now = now.plus(each);
            pace.go_on(now);
        }
        count
    }

    #[test]
    fn a_crowd_is_reaped_without_a_pause_and_a_storm_at_its_pace() {
        let mut pace = Pace::NEW;
        assert_eq!(reaped(&mut pace, Time(1000), Span(1)), 20_000);
        // Others have the processor once; from then on there is a storm.
        pace.begin(Time(2000));
        pace.go_on(Time(2100));
        assert_eq!((pace.begin(Time(2124)), pace.next()), (0, Time(2125)));
        assert_eq!(reaped(&mut pace, Time(2125), Span(0)), 800);
        assert_eq!(
            (pace.is_storm(Time(12_099)), pace.is_storm(Time(12_100)), Pace::NEW.is_storm(Time(9))),
            (true, false, false)
        );
        assert_eq!(reaped(&mut pace, Time(13_000), Span(1)), 20_000);
        // Its end is a crowd, whoever has the processor meanwhile; one that goes on is seen soon enough.
        pace.begin(Time(20_000));
        pace.expect(Time(20_000));
        pace.go_on(Time(20_100));
        assert_eq!((pace.begin(Time(20_100)), pace.is_storm(Time(20_100))), (Pace::AT_ONCE, false));
        pace.begin(Time(20_900));
        pace.go_on(Time(21_000));
        assert!(pace.is_storm(Time(21_000)));
    }
}
