//! Memory: as little as possible, and for processes that must not die for want of it, patience.
//!
//! Must never: hand out anything but what the system's allocator gives.
//!
//! Rust aborts a process whose allocation fails. Of PID 1 that would be the end of the container, of a supervisor that of
//! its watch; so both wait until there is memory again: what runs goes on meanwhile, and everything that has come is taken
//! then. Linux refuses memory only by a limit (RLIMIT_AS, RLIMIT_DATA) or without overcommitment
//! (vm.overcommit_memory=2, proc(5)); otherwise it kills somebody, whom it chooses, when what it promised is used.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use nix::errno::Errno;
use std::alloc::System;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// So long is waited between two attempts, in milliseconds.
const PAUSE: i32 = 20;

/// Makes a program wait for memory where there is none.
#[macro_export]
macro_rules! patient_memory {
    () => {
        #[global_allocator]
        static MEMORY: $crate::sys::raw::Patient = $crate::sys::raw::Patient;
    };
}

/// The system's allocator, asked until it gives something.
#[derive(Clone, Copy, Debug)]
pub struct Patient;

/// It was said that this process waits.
static SAID: AtomicBool = AtomicBool::new(false);

fn insist(allocate: impl Fn() -> *mut u8) -> *mut u8 {
    loop {
        let memory = allocate();
        if !memory.is_null() {
            SAID.store(false, Ordering::Relaxed);
            return memory;
        }
        if !SAID.swap(true, Ordering::Relaxed) {
            const TEXT: &[u8] = b"zei: no memory; waiting until there is some\n";
            let _told_or_not = super::write_nowait(super::standard(2), TEXT);
        }
        // SAFETY: no descriptors are passed.
        unsafe { libc::poll(ptr::null_mut(), 0, PAUSE) };
    }
}

// SAFETY: all is the system allocator's.
unsafe impl GlobalAlloc for Patient {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout is passed on.
        insist(|| unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout is passed on.
        insist(|| unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: what fails leaves the old memory as it was (realloc(3)), so it can be asked for again.
        insist(|| unsafe { System.realloc(old, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: it is the system allocator's own.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Gives back the memory below the caller's stack frame, which a deeper call has used: a process that
/// is going to sleep for days holds no pages that it needs for microseconds.
#[inline(never)]
pub fn release_stack() {
    const PAGE: usize = 4096;
    const LENGTH: usize = 64 * PAGE;
    let marker = 0u8;
    // This frame and what madvise itself needs lie in the marker's page or the one below it.
    let end = (ptr::from_ref(&marker) as usize & !(PAGE - 1)).saturating_sub(PAGE);
    let begin = end.saturating_sub(LENGTH);
    // SAFETY: nothing below the stack pointer is in use; addresses outside of the stack's mapping are
    // refused by the kernel, not touched, as a gap lies below it.
    let _only_a_saving = unsafe { libc::madvise(begin as *mut c_void, LENGTH, libc::MADV_DONTNEED) };
}

/// Maps a whole file for reading, for the life of the process. The caller makes sure that it can't
/// shrink (a sealed memfd). Near the program where there is room, as a page table covers 2 MB.
pub fn map(file: BorrowedFd<'_>, length: usize) -> Result<&'static [u8], Errno> {
    const TABLE: usize = 2 * 1024 * 1024;
    if length == 0 {
        return Ok(&[]);
    }
    let near = (map as *const () as usize & !(TABLE - 1)) + TABLE / 2;
    // SAFETY: a fresh private mapping, never unmapped; the address is only a wish; the file is sealed.
    unsafe {
        let wish = ptr::without_provenance_mut(near);
        let address = libc::mmap(wish, length, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0);
        if address == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(core::slice::from_raw_parts(address.cast(), length))
    }
}
