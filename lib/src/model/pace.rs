//! How fast what has ended is reaped.
//!
//! Owns: telling a storm of processes from a crowd that ends at once. Must never: look at a clock.
//!
//! A storm (processes that make others and end, as fast as they can) leaves zombies faster than one process can reap them
//! among so many that run. Whoever tries does nothing else, and has used up its share of the processors when it has to act.
//! So a crowd is reaped at once, and a storm at a pace that leaves it what it needs when it has to act. Where there is a limit
//! of processes, that slows the storm down.

use crate::model::time::{Span, Time};

/// What may be reaped, in processes. It grows with time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    left: u64,
    at: Time,
}

impl Pace {
    /// A crowd.
    const CROWD: u64 = 2000;
    /// So much it grows in a millisecond.
    const GROWTH: u64 = 2;
    /// So many are reaped before anything else is looked at: a fraction of a millisecond.
    const AT_ONCE: u64 = 20;

    /// A crowd may end now.
    pub const FULL: Pace = Pace { left: Pace::CROWD, at: Time(0) };

    /// How many may be reaped now.
    pub fn now(&mut self, now: Time) -> u64 {
        let grown = now.since(self.at).0.saturating_mul(Pace::GROWTH);
        *self = Pace { left: self.left.saturating_add(grown).min(Pace::CROWD), at: now };
        self.left.min(Pace::AT_ONCE)
    }

    /// So many were reaped.
    pub fn spend(&mut self, count: u64) {
        self.left = self.left.saturating_sub(count);
    }

    /// How long to wait before the next are reaped, where there are more.
    pub fn pause(&self) -> Span {
        Span(Pace::AT_ONCE.saturating_sub(self.left).div_ceil(Pace::GROWTH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_reaped_without_a_pause_and_a_storm_at_its_pace() {
        let (mut pace, mut now, mut reaped) = (Pace::FULL, Time(5000), 0);
        while pace.pause() == Span(0) {
            let count = pace.now(now);
            assert_eq!(count, 20);
            pace.spend(count);
            reaped += count;
        }
        assert_eq!((reaped, pace.pause()), (2000, Span(10)));
        for _second in 0..100 {
            now = now.plus(pace.pause());
            let count = pace.now(now);
            pace.spend(count);
            reaped += count;
        }
        assert_eq!((reaped, now), (2000 + 100 * 20, Time(6000)));
        // What was not used is there for another crowd.
        assert_eq!(pace.now(Time(6000)), 0);
        assert_eq!(pace.now(Time(6003)), 6);
        pace.now(Time(60_000));
        assert_eq!(Pace { at: Time(0), ..pace }, Pace::FULL);
    }
}
