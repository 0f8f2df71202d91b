//! zei-setuidgid: becomes another user and replaces itself by a program.
//!
//! Owns: the order resolve, switch, exec, and the exit code of each way to fail. Must never: leave a
//! process behind, or run the program with anything but the credentials that were asked for.

use crate::exit;
use crate::model::users::Target;
use crate::run::report::report;
use crate::signal;
use crate::sys::{credentials, raw, spawn};
use nix::errno::Errno;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::iter;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The name that stands before every message.
pub const PROGRAM: &str = "zei-setuidgid";

/// Runs `program` with `arguments` as `user` (`USER[:GROUP...]`, see
/// [`Users::target`](crate::model::users::Users::target)), with HOME set to that user's and the rest of the
/// environment as it is. It only returns if that failed: with the exit code, having said why.
pub fn run(user: &OsStr, program: &OsStr, arguments: &[OsString]) -> u8 {
    let (code, message) = match switch(user) {
        Ok(target) => {
            let errno = execute(program, arguments, &target.home);
            explain(program, errno, find(program))
        }
        Err(failure) => failure,
    };
    report(PROGRAM, message);
    code
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

/// Replaces this process; returns only the error. A program without slash is looked up under the new rights.
fn execute(program: &OsStr, arguments: &[OsString], home: &str) -> Errno {
    // The system passes no NUL byte in, and a passwd line with one is no entry.
    let string = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
    let words = iter::once(program).chain(arguments.iter().map(OsString::as_os_str));
    let words: Vec<CString> = words.map(|word| string(word.as_bytes())).collect();
    let others = env::vars_os().filter(|(name, _)| name != "HOME");
    let environment = others.map(|(name, value)| string(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
    let environment: Vec<CString> = environment.chain([string(format!("HOME={home}").as_bytes())]).collect();
    let collect = |strings| raw::Strings::collect(<[CString]>::iter(strings).map(CString::as_c_str));
    // Of the dispositions only this one isn't as it was found: Rust's runtime ignores it from the start.
    let errno = match raw::set_default(signal::PIPE) {
        Ok(()) => spawn::execute(&collect(&words), &collect(&environment)),
        Err(errno) => errno,
    };
    // Still here, so there is something to report, which must not end by a signal. It could not fail before.
    let _ = raw::set_ignored(signal::PIPE);
    errno
}

/// The exit code and the message for a failed exec(2); `found` is where the program is, if it is.
pub(super) fn explain(program: &OsStr, errno: Errno, found: Option<PathBuf>) -> (u8, String) {
    // The lookup says EACCES for a PATH entry that can't be entered even if the program is nowhere.
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

/// Where the lookup comes first to something that is a file, for the message only.
pub(super) fn find(program: &OsStr) -> Option<PathBuf> {
    if has_slash(program) {
        return Path::new(program).is_file().then(|| PathBuf::from(program));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}
