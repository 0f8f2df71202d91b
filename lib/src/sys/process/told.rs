//! Whose a process is, by what it shows to everyone.
//!
//! Must never: be believed where the process itself may have said it, as its name and its limits.

use super::read_file;
use crate::text::{self, Text};

/// The real user of a process (proc(5), `status`).
pub(in crate::sys) fn real_user(pid: u32) -> Option<u32> {
    let path: Text<32> = text::format(format_args!("/proc/{pid}/status"));
    // It is the ninth line, and nothing before it is long.
    let mut content = [0; 1024];
    let length = read_file(path.as_str(), &mut content)?;
    let mut lines = content.get(..length)?.split(|byte| *byte == b'\n');
    let ids = core::str::from_utf8(lines.find_map(|line| line.strip_prefix(b"Uid:"))?).ok()?;
    ids.split_ascii_whitespace().next()?.parse().ok()
}

/// Whether a process is this user's, and executes a program of this name (proc(5), `comm`): anyone can take a name, but
/// not a real user.
pub fn is_own_program(pid: u32, name: &str) -> bool {
    let path: Text<32> = text::format(format_args!("/proc/{pid}/comm"));
    let mut content = [0; 32];
    let found = read_file(path.as_str(), &mut content).and_then(|length| content.get(..length));
    found.and_then(|found| found.strip_suffix(b"\n")) == Some(name.as_bytes())
        && real_user(pid) == Some(nix::unistd::getuid().as_raw())
}

/// The soft RLIMIT_LOCKS of a process (proc(5), `limits`).
pub(in crate::sys) fn soft_locks(pid: u32) -> Option<u64> {
    let path: Text<32> = text::format(format_args!("/proc/{pid}/limits"));
    // Sixteen lines of 80 characters.
    let mut content = [0; 2048];
    let length = read_file(path.as_str(), &mut content)?;
    let limits = core::str::from_utf8(content.get(..length)?).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file locks"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_program_is_known_by_its_name_and_its_user() {
        let sleep = |user: Option<u32>| {
            let mut command = Command::new("sleep");
            user.map(|user| std::os::unix::process::CommandExt::uid(&mut command, user));
            command.arg("1004").spawn().unwrap()
        };
        let mut own = sleep(None);
        assert!(is_own_program(own.id(), "sleep") && !is_own_program(own.id(), "slee"));
        if nix::unistd::geteuid().is_root() {
            let mut other = sleep(Some(4474));
            assert!(!is_own_program(other.id(), "sleep"));
            other.kill().unwrap();
            other.wait().unwrap();
        }
        own.kill().unwrap();
        own.wait().unwrap();
        assert!(!is_own_program(own.id(), "sleep"));
    }
}
