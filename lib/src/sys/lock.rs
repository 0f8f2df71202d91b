//! The lock of a run directory: held by a live zei-init, and looked at by clients without taking it.
//!
//! An open file description lock (fcntl(2), F_OFD_SETLK, Linux 3.15), because a flock(2) can only be tested
//! by taking it, and a client that tests it must not stand in the way of a zei-init that begins.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::os::fd::AsFd;

const fn whole_file(kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Takes the lock for as long as the file, opened for writing, is open. `EAGAIN`: another zei-init has it. `EBUSY`:
/// somebody is in the way who is none: whoever may read a file can keep it from being locked by a lock for reading.
pub fn take(file: impl AsFd) -> Result<(), Errno> {
    loop {
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => return Ok(()),
            Err(Errno::EACCES | Errno::EAGAIN) => {}
            Err(errno) => return Err(errno),
        }
        let mut holder = whole_file(libc::F_WRLCK);
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut holder))?;
        match i32::from(holder.l_type) {
            // It is gone by now.
            libc::F_UNLCK => {}
            libc::F_RDLCK => return Err(Errno::EBUSY),
            _ => return Err(Errno::EAGAIN),
        }
    }
}

/// Whether somebody else has the lock; for a file opened for reading.
pub fn is_taken(file: impl AsFd) -> Result<bool, Errno> {
    let mut lock = whole_file(libc::F_RDLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn the_lock_is_one_description_s_alone_and_looking_at_it_takes_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        let (holder, reader) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        assert_eq!(is_taken(&reader), Ok(false));
        assert_eq!(take(&holder), Ok(()));
        assert_eq!((is_taken(&reader), is_taken(&reader)), (Ok(true), Ok(true)));
        let other = File::options().write(true).open(&path).unwrap();
        assert_eq!(take(&other), Err(Errno::EAGAIN));
        drop(holder);
        assert_eq!(is_taken(&reader), Ok(false));
        assert_eq!(take(&other), Ok(()));
    }

    #[test]
    fn who_may_only_read_the_file_is_not_taken_for_a_holder() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        let (own, stranger) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        fcntl(&stranger, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_RDLCK))).unwrap();
        assert_eq!(take(&own), Err(Errno::EBUSY));
        assert_eq!(is_taken(File::open(&path).unwrap()), Ok(false));
        drop(stranger);
        assert_eq!(take(&own), Ok(()));
    }
}
