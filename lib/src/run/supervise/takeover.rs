//! What a supervisor finds that replaces a killed one.
//!
//! Owns: ending what the predecessor left running. Must never: let a service start beside it.

use super::to_timeout;
use crate::model::record::Record;
use crate::model::service::{self, Event, Phase, Service};
use crate::model::time::{Span, Time};
use crate::signal;
use crate::sys::process::Held;
use crate::sys::{clock, process, raw};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use std::os::fd::AsFd;

/// A predecessor died. What it left running can't be waited for by this process, so all of it is ended
/// and the policy decides, as if the service had been killed. What survives that is held where it can be.
pub fn recover(record: Record, index: usize) -> (Service, Option<Event>, Option<Held>) {
    // An orphan is zei-init's child now; a pid that is not has become somebody else's.
    let init = nix::unistd::getppid().as_raw().unsigned_abs();
    let left = service::left_behind(&record.service, record.child)
        .filter(|left| process::parent(left.pid) == Some(init))
        .filter(|left| left.start == 0 || process::start_time(left.pid) == Some(left.start));
    let deadline = clock::now().plus(Span::seconds(10));
    let mut ended = left.map_or(Ok(()), |left| end(left.pid, deadline));
    // What ends leaves its own children to zei-init, so they are looked for until there are none.
    let may_have_left = service::may_have_left(&record.service);
    while ended.is_ok()
        && may_have_left
        && let Some(pid) = process::orphan_with_mark(init, index)
    {
        ended = end(pid, deadline);
    }
    let (gone, left, stray) = match ended {
        Ok(()) => (true, left, None),
        Err(stray) => (false, stray.as_ref().map(|stray| stray.process), stray),
    };
    let (service, event) = service::take_over(record.service, left, gone, clock::now());
    // The clock may have been set while nobody watched it.
    let planned = matches!(service.phase, Phase::Planned { .. });
    (service, event.or_else(|| planned.then(|| Event::ClockSet(clock::wall()))), stray)
}

/// What survived a predecessor's end is gone; `Ok`: and so is all else of it. Whatever came to light is killed too.
pub fn look_for_more(index: usize) -> Result<(), Option<Held>> {
    let init = nix::unistd::getppid().as_raw().unsigned_abs();
    while let Some(pid) = process::orphan_with_mark(init, index) {
        // It is not waited for: whoever holds it is woken.
        end(pid, clock::now())?;
    }
    Ok(())
}

/// Kills a process that is not this one's child, and waits for its end until then. One that goes on is given back, held
/// where that is possible.
fn end(pid: u32, deadline: Time) -> Result<(), Option<Held>> {
    let held = match process::hold_other(pid) {
        Ok(held) => held,
        Err(Errno::ESRCH) => return Ok(()),
        Err(_) => {
            // No descriptor to wait with (ENOSYS in an old sandbox): it is killed, but nothing may start beside it.
            let _may_be_gone = process::signal_child(pid, signal::KILL);
            return Err(None);
        }
    };
    let _it_is_gone = raw::pidfd_send(held.as_fd(), signal::KILL);
    let mut gone = [PollFd::new(held.as_fd(), PollFlags::POLLIN)];
    match poll(&mut gone, to_timeout(deadline.since(clock::now()))) {
        Ok(0) => Err(Some(held)),
        Ok(_) | Err(_) => Ok(()),
    }
}
