//! An alarm by the wall clock, for `schedule` alone: everything else uses the monotonic clock.
//!
//! Must never: let a change of the clock pass unseen: what was computed by the old time is then void.

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::{AsFd, BorrowedFd};

/// A descriptor that can be polled for POLLIN.
#[derive(Debug)]
pub struct Alarm(TimerFd);

/// What an alarm says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rung {
    /// Its time has come.
    Fired,
    /// The clock was set (settimeofday(2), not slewed by adjtime(3)) since the alarm was made or last read: the time
    /// to wait for must be computed anew.
    ClockSet,
    /// It waits.
    NotYet,
}

impl Alarm {
    /// An alarm that is off. To be made before the time to wait for is computed, so that no change is missed.
    pub fn new() -> Result<Alarm, Errno> {
        TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK).map(Alarm)
    }

    /// Rings at this time, milliseconds since 1970; a time that is over is one that has come. In every case the
    /// alarm is set; [`Rung::ClockSet`]: but for a time that was computed by another clock.
    pub fn set(&self, at: u64) -> Result<Rung, Errno> {
        // A time of 0 would turn it off.
        let (seconds, rest) = (at / 1000, (at % 1000) * 1_000_000);
        let at = TimeSpec::new(seconds.try_into().unwrap_or(i64::MAX), i64::try_from(rest).unwrap_or(0).max(1));
        let absolute = TimerSetTimeFlags::TFD_TIMER_ABSTIME;
        match self.0.set(Expiration::OneShot(at), absolute | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET) {
            Ok(()) => Ok(Rung::NotYet),
            Err(Errno::ECANCELED) => Ok(Rung::ClockSet),
            // A sandbox that does not know the flag.
            Err(Errno::EINVAL) => self.0.set(Expiration::OneShot(at), absolute).map(|()| Rung::NotYet),
            Err(errno) => Err(errno),
        }
    }

    /// To be called when poll(2) says that there is something.
    pub fn look(&self) -> Rung {
        match nix::unistd::read(&self.0, &mut [0; 8]) {
            Ok(8) => Rung::Fired,
            Err(Errno::ECANCELED) => Rung::ClockSet,
            Ok(_) | Err(_) => Rung::NotYet,
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::time::{clock_gettime, clock_settime};

    fn rings_within(alarm: &Alarm, seconds: u16) -> bool {
        let mut polled = [PollFd::new(alarm.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut polled, PollTimeout::from(seconds * 1000)) {
                // The children of other tests end.
                Err(Errno::EINTR) => {}
                rung => return rung.unwrap() > 0,
            }
        }
    }

    /// Waits until it has rung for its time: somebody else may set the clock meanwhile.
    fn fires(alarm: &Alarm, at: u64) {
        loop {
            assert!(alarm.set(at).is_ok() && rings_within(alarm, 60));
            match alarm.look() {
                Rung::Fired => return,
                rung => assert_eq!(rung, Rung::ClockSet),
            }
        }
    }

    #[test]
    fn an_alarm_rings_once_at_its_time_and_at_once_where_that_is_over() {
        let alarm = Alarm::new().unwrap();
        assert_eq!(alarm.look(), Rung::NotYet);
        let began = clock::now();
        fires(&alarm, clock::wall() + 50);
        assert!(clock::now().since(began).0 >= 49);
        for at in [clock::wall() - 1, 0] {
            fires(&alarm, at);
            assert_ne!(alarm.look(), Rung::Fired);
        }
        assert!(alarm.set(u64::MAX).is_ok());
        assert_ne!(alarm.look(), Rung::Fired);
    }

    #[test]
    fn a_change_of_the_clock_is_said() {
        let alarm = Alarm::new().unwrap();
        assert_eq!(alarm.set(clock::wall() + 3_600_000), Ok(Rung::NotYet));
        // To what it is: off by the time between two system calls.
        let wall = nix::time::ClockId::CLOCK_REALTIME;
        let set = || clock_settime(wall, clock_gettime(wall)?);
        if set().is_err() {
            // Not root, or in a container.
            return;
        }
        assert!(rings_within(&alarm, 60));
        assert_eq!(alarm.look(), Rung::ClockSet);
        assert!(!rings_within(&alarm, 0));
        // Also where it happened between the computing and the setting.
        set().unwrap();
        assert_eq!(alarm.set(clock::wall() + 3_600_000), Ok(Rung::ClockSet));
        assert_eq!(alarm.set(clock::wall()), Ok(Rung::NotYet));
        assert!(rings_within(&alarm, 60));
    }
}
