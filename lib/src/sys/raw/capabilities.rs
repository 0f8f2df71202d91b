//! Capabilities of this process (capabilities(7)), by the bare system calls.
//!
//! Must never: decide which.

use core::ffi::c_ulong;
use nix::errno::Errno;

/// `struct __user_cap_header_struct` of linux/capability.h, version 3.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

static HEADER: Header = Header { version: 0x2008_0522, pid: 0 };

/// `struct __user_cap_data_struct`, once for each half of the bits.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Those that are permitted.
pub fn permitted_capabilities() -> Result<u64, Errno> {
    let mut halves = [Half::default(); 2];
    // SAFETY: this version fills in two halves.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw const HEADER, halves.as_mut_ptr()) })?;
    let [low, high] = halves;
    Ok(u64::from(low.permitted) | u64::from(high.permitted) << 32)
}

/// Makes these the permitted, effective and inheritable ones.
pub fn set_capabilities(set: u64) -> Result<(), Errno> {
    // The lower and the upper half.
    let half = |bits: u32| Half { effective: bits, permitted: bits, inheritable: bits };
    let halves = [half(set as u32), half((set >> 32) as u32)];
    // SAFETY: this version reads two halves.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const HEADER, halves.as_ptr()) }).map(drop)
}

/// Whether a capability can still be had; EINVAL: the kernel knows none with this number.
pub fn is_bounding(number: u32) -> Result<bool, Errno> {
    prctl(libc::PR_CAPBSET_READ, c_ulong::from(number), 0).map(|is| is != 0)
}

/// From now on it can't be had by any program.
pub fn drop_bounding(number: u32) -> Result<(), Errno> {
    prctl(libc::PR_CAPBSET_DROP, c_ulong::from(number), 0).map(drop)
}

/// Whether programs that are executed have it, too; EINVAL: the kernel knows none with this number.
pub fn is_ambient(number: u32) -> Result<bool, Errno> {
    let is_set = c_ulong::try_from(libc::PR_CAP_AMBIENT_IS_SET).unwrap_or_default();
    prctl(libc::PR_CAP_AMBIENT, is_set, c_ulong::from(number)).map(|is| is != 0)
}

/// Programs that are executed have it, too, whoever they run as.
pub fn raise_ambient(number: u32) -> Result<(), Errno> {
    let raise = c_ulong::try_from(libc::PR_CAP_AMBIENT_RAISE).unwrap_or_default();
    prctl(libc::PR_CAP_AMBIENT, raise, c_ulong::from(number)).map(drop)
}

fn prctl(option: i32, first: c_ulong, second: c_ulong) -> Result<i32, Errno> {
    let none: c_ulong = 0;
    // SAFETY: none of these options takes a pointer.
    Errno::result(unsafe { libc::prctl(option, first, second, none, none) })
}
