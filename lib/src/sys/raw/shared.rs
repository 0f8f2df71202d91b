//! Memory that outlives a process: a file in memory (memfd_create(2)), mapped to be read and written.
//!
//! Owns: the mapping. Must never: be used by two processes at the same time, or of a file that can shrink meanwhile.
//!
//! What a process has stored there is there for whoever maps the file next, however the process ended: the kernel kills
//! between two instructions, and stores are done in the order in which the program makes them, as far as the compiler
//! keeps it. So a number that tells what is valid is to be set by [`Shared::set`], which nothing is moved across.

use core::ops::Range;
use core::ptr;
use core::sync::atomic::{Ordering, compiler_fence};
use nix::errno::Errno;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// The memory. What lies outside of it reads as zero, or as nothing, and is not written.
#[derive(Debug)]
pub struct Shared {
    base: *mut u8,
    length: usize,
}

impl Shared {
    /// Maps the first bytes of a file, for the life of the process.
    ///
    /// # Errors
    /// Of mmap(2).
    pub fn map(file: BorrowedFd<'_>, length: usize) -> Result<Shared, Errno> {
        if length == 0 {
            return Err(Errno::EINVAL);
        }
        // SAFETY: a fresh mapping, which is never unmapped.
        unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let address = libc::mmap(ptr::null_mut(), length, access, libc::MAP_SHARED, file.as_raw_fd(), 0);
            if address == libc::MAP_FAILED {
                return Err(Errno::last());
            }
            Ok(Shared { base: address.cast(), length })
        }
    }

    /// The number at this offset, a multiple of eight.
    pub fn get(&self, at: usize) -> u64 {
        match self.number(at) {
            // SAFETY: it lies in the mapping, is aligned, and nobody else writes.
            Some(number) => unsafe { number.read_volatile() },
            None => 0,
        }
    }

    /// Sets it, after all that was written before, and before all that is written after.
    pub fn set(&mut self, at: usize, value: u64) {
        if let Some(number) = self.number(at) {
            compiler_fence(Ordering::SeqCst);
            // SAFETY: it lies in the mapping, is aligned, and nobody else reads or writes.
            unsafe { number.write_volatile(value) };
            compiler_fence(Ordering::SeqCst);
        }
    }

    fn number(&self, at: usize) -> Option<*mut u64> {
        let fits = at.is_multiple_of(8) && at.checked_add(8).is_some_and(|end| end <= self.length);
        // SAFETY: it lies in the mapping.
        fits.then(|| unsafe { self.base.add(at) }.cast())
    }

    fn clip(&self, range: Range<usize>) -> Range<usize> {
        let end = range.end.min(self.length);
        range.start.min(end)..end
    }

    /// These bytes.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        let range = self.clip(range);
        // SAFETY: they lie in the mapping; whoever writes needs it whole.
        unsafe { core::slice::from_raw_parts(self.base.add(range.start), range.len()) }
    }

    /// The same, to be written.
    pub fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        let range = self.clip(range);
        // SAFETY: they lie in the mapping, and nobody else has any of it.
        unsafe { core::slice::from_raw_parts_mut(self.base.add(range.start), range.len()) }
    }

    /// Bytes to be read, and others to be written; nothing of the latter where they overlap.
    pub fn both(&mut self, from: Range<usize>, to: Range<usize>) -> (&[u8], &mut [u8]) {
        let (from, mut to) = (self.clip(from), self.clip(to));
        if from.start < to.end && to.start < from.end {
            to.end = to.start;
        }
        // SAFETY: both lie in the mapping, they don't overlap, and nobody else has any of it.
        unsafe {
            let read = core::slice::from_raw_parts(self.base.add(from.start), from.len());
            (read, core::slice::from_raw_parts_mut(self.base.add(to.start), to.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd as _;

    fn file(length: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        file
    }

    #[test]
    fn what_one_has_written_is_there_for_the_next() {
        let file = file(64);
        let mut first = Shared::map(file.as_fd(), 64).unwrap();
        first.set(8, u64::MAX - 1);
        first.bytes_mut(20..23).copy_from_slice(b"abc");
        let (read, write) = first.both(20..23, 30..33);
        write.copy_from_slice(read);
        let next = Shared::map(file.as_fd(), 64).unwrap();
        assert_eq!((next.get(0), next.get(8)), (0, u64::MAX - 1));
        assert_eq!((next.bytes(20..23), next.bytes(30..33)), (&b"abc"[..], &b"abc"[..]));
    }

    #[test]
    fn outside_of_it_is_nothing() {
        let file = file(16);
        let mut memory = Shared::map(file.as_fd(), 16).unwrap();
        for at in [9, 12, 16, usize::MAX] {
            memory.set(at, 7);
            assert_eq!(memory.get(at), 0, "{at}");
        }
        assert_eq!(memory.bytes(10..99).len(), 6);
        assert_eq!(memory.bytes(17..99).len(), 0);
        let (read, write) = memory.both(0..8, 7..16);
        assert_eq!((read.len(), write.len()), (8, 0));
        assert_eq!(Shared::map(file.as_fd(), 0).err(), Some(Errno::EINVAL));
    }
}
