//! zei-setuidgid: becomes another user and replaces itself by a program.
//!
//! Owns: the order resolve, switch, exec, and the exit code of each way to fail. Must never: leave a
//! process behind, or run the program with anything but the credentials that were asked for.

use crate::exit;
use crate::model::users::Target;
use crate::run::report::report;
use crate::sys::credentials;
use nix::errno::Errno;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name that stands before every message.
pub const PROGRAM: &str = "zei-setuidgid";

/// Runs `program` with `arguments` as `user` (`USER[:GROUP]`, see
/// [`Users::target`](crate::model::users::Users::target)), with HOME set to that user's and the rest of the
/// environment as it is. It only returns if that failed: with the exit code, having said why.
pub fn run(user: &OsStr, program: &OsStr, arguments: &[OsString]) -> u8 {
    match switch(user) {
        Ok(target) => {
            // A relative PATH entry or program counts from the current directory, under the new rights.
            let error = Command::new(program).args(arguments).env("HOME", target.home).exec();
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
            let (code, message) = explain(program, errno, find(program));
            report(PROGRAM, message);
            code
        }
        Err((code, message)) => {
            report(PROGRAM, message);
            code
        }
    }
}

fn switch(user: &OsStr) -> Result<Target, (u8, String)> {
    if credentials::is_setuid() {
        let message = "it is installed setuid or setgid, so anyone could become anyone: remove these bits \
                       (chmod ug-s) and start it as root";
        return Err((exit::CONFIG, String::from(message)));
    }
    let current = credentials::current()
        .map_err(|errno| (exit::SYSTEM, format!("can't read the own credentials: {} (getgroups)", errno.desc())))?;
    let users = credentials::read_users().map_err(|error| (exit::SYSTEM, error.to_string()))?;
    let target = users.target(&user.to_string_lossy(), &current).map_err(|error| (exit::CONFIG, error.to_string()))?;
    credentials::switch(&target.identity).map_err(|refused| (exit::SYSTEM, refused.to_string()))?;
    Ok(target)
}

/// The exit code and the message for a failed exec(2); `found` is where the program is, if it is.
fn explain(program: &OsStr, errno: Errno, found: Option<PathBuf>) -> (u8, String) {
    // execvp(3) says EACCES for a PATH entry that can't be entered even if the program is nowhere.
    let errno = if errno == Errno::EACCES && found.is_none() && !has_slash(program) { Errno::ENOENT } else { errno };
    let (code, advice) = match errno {
        Errno::ENOENT if found.is_some() => {
            (exit::NOT_EXECUTABLE, "install what its #! line or ELF header names as interpreter")
        }
        Errno::ENOENT | Errno::ENOTDIR if has_slash(program) => {
            (exit::NOT_FOUND, "check the path and the working directory")
        }
        Errno::ENOENT | Errno::ENOTDIR => {
            (exit::NOT_FOUND, "install it, or add its directory to PATH and let this user enter it")
        }
        Errno::EACCES => (exit::NOT_EXECUTABLE, "let this user execute it and enter every directory above it"),
        Errno::EPERM => (exit::NOT_EXECUTABLE, "give the container the capabilities that the file asks for"),
        Errno::ENOEXEC => (exit::NOT_EXECUTABLE, "use one made for this machine, or begin a script with #!/bin/sh"),
        Errno::ETXTBSY => (exit::NOT_EXECUTABLE, "close the file that is still open for writing"),
        Errno::E2BIG => (exit::SYSTEM, "pass fewer or shorter arguments and variables"),
        Errno::EAGAIN => (exit::SYSTEM, "raise the user's limit of processes (RLIMIT_NPROC)"),
        _ => (exit::SYSTEM, "check the file and what limits this container (memory, seccomp, security modules)"),
    };
    let shown = found.as_deref().unwrap_or(Path::new(program));
    (code, format!("cannot run {shown:?}: {}: {advice}", errno.desc()))
}

fn has_slash(program: &OsStr) -> bool {
    program.as_encoded_bytes().contains(&b'/')
}

/// Where execvp(3) would look first that there is a file, for the message only.
fn find(program: &OsStr) -> Option<PathBuf> {
    if has_slash(program) {
        return Path::new(program).is_file().then(|| PathBuf::from(program));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}
