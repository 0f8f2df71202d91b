//! System calls with arguments by which they do nothing, to see whether they are there.
//!
//! Must never: have an effect, whatever the kernel answers.

use crate::model::doctor::Call;
use core::ffi::c_long;
use nix::errno::Errno;

/// Calls it so. What is there refuses the arguments (EINVAL, EBADF, EFAULT) or has nothing to do.
pub fn attempt(call: Call) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: c_long = 4;
    const LAST: c_long = u32::MAX as c_long;
    const NO_FILE: c_long = -1;
    let (number, [first, second, third, fourth]) = match call {
        Call::Clone3 => (libc::SYS_clone3, [0; 4]),
        Call::CloseRange => (libc::SYS_close_range, [LAST, LAST, CLOSE_RANGE_CLOEXEC, 0]),
        Call::PidfdOpen => (libc::SYS_pidfd_open, [0; 4]),
        Call::PidfdSendSignal => (libc::SYS_pidfd_send_signal, [NO_FILE, 0, 0, 0]),
        Call::MemfdCreate => (libc::SYS_memfd_create, [0; 4]),
        Call::Splice => (libc::SYS_splice, [NO_FILE, 0, NO_FILE, 0]),
        Call::Tee => (libc::SYS_tee, [NO_FILE, NO_FILE, 1, 0]),
        Call::Pwritev2 => (libc::SYS_pwritev2, [NO_FILE, 0, 0, 0]),
        Call::SchedSetattr => (libc::SYS_sched_setattr, [0; 4]),
    };
    // The length of splice, the flags of others.
    let fifth: c_long = c_long::from(call == Call::Splice);
    let sixth: c_long = 0;
    // SAFETY: every pointer among the arguments is NULL, which these calls refuse, and no descriptor is one.
    Errno::result(unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_has_them_all_refuses_nothing_but_their_arguments() {
        for call in Call::ALL {
            let answer = attempt(call);
            assert!(!matches!(answer, Err(Errno::ENOSYS | Errno::EPERM)), "{call:?}: {answer:?}");
        }
    }
}
