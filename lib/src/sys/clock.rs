//! The clocks. Deadlines use [`now`] only.

use crate::model::time::Time;
use nix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC in milliseconds.
pub fn now() -> Time {
    Time(read(ClockId::CLOCK_MONOTONIC))
}

/// Milliseconds since 1970, for people to read.
pub fn wall() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// A clock that exists always can be read.
fn read(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else { return 0 };
    let milliseconds = time.tv_sec().saturating_mul(1000).saturating_add(time.tv_nsec() / 1_000_000);
    u64::try_from(milliseconds).unwrap_or(0)
}
