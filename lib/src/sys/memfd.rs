//! Files without a name, in memory (memfd_create(2)): whole contents in, whole contents out.
//!
//! Must never: leave one open across exec.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::sys::uio::pread;
use std::os::fd::{AsFd, OwnedFd};

/// An empty one that can be sealed.
pub fn empty(name: &str) -> Result<OwnedFd, Errno> {
    memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
}

/// One with this content, which can't change any more.
pub fn sealed(name: &str, bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let file = empty(name)?;
    write_all(&file, bytes)?;
    seal(&file)?;
    Ok(file)
}

/// From here on nobody can change it, whoever has it open.
pub fn seal(file: impl AsFd) -> Result<(), Errno> {
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals)).map(drop)
}

/// Writes all of it, from where the file stands.
pub fn write_all(file: impl AsFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = nix::unistd::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// The whole content, wherever the file stands.
pub fn read_all(file: impl AsFd) -> Result<Vec<u8>, Errno> {
    let length = usize::try_from(fstat(&file)?.st_size).map_err(|_| Errno::EFBIG)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(length, 0);
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match pread(&file, rest, i64::try_from(filled).unwrap_or(i64::MAX))? {
            0 => return Err(Errno::EIO),
            more => filled += more,
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_a_sealed_one_takes_nothing_more() {
        for length in [0, 1, 5000] {
            let bytes: Vec<u8> = (0..length).map(|number: u32| number.to_le_bytes()[0]).collect();
            let file = sealed("test", &bytes).unwrap();
            assert_eq!(read_all(&file).unwrap(), bytes);
            assert_eq!(write_all(&file, b"x"), Err(Errno::EPERM));
        }
    }
}
