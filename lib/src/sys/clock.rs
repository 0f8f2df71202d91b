//! The clocks. Deadlines use [`now`] only.

use crate::model::time::Time;
use crate::sys::raw;
use nix::time::ClockId;

/// CLOCK_MONOTONIC in milliseconds.
pub fn now() -> Time {
    Time(read(ClockId::CLOCK_MONOTONIC))
}

/// Milliseconds since 1970, for people to read.
pub fn wall() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

fn read(clock: ClockId) -> u64 {
    let (seconds, nanoseconds) = raw::clock(clock);
    let milliseconds = seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000);
    u64::try_from(milliseconds).unwrap_or(0)
}
