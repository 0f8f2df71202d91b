//! zei-setuidgid: becomes another user and replaces itself by a program.
//!
//! Owns: the order resolve, switch, exec, and the exit code of each way to fail. Must never: leave a
//! process behind, or run the program with anything but the credentials that were asked for.

use crate::exit;
use crate::model::privileges::{Capabilities, Privileges, Wish};
use crate::model::service::SpawnStage;
use crate::model::users::Target;
use crate::near;
use crate::run::report::report;
use crate::signal;
use crate::sys::privileges::{self, Refused};
use crate::sys::{credentials, raw, spawn};
use nix::errno::Errno;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::iter;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The name that stands before every message.
pub const PROGRAM: &str = "zei-setuidgid";

/// The exit code and what to say.
type Failure = (u8, String);

/// What is asked for beside the user. By default HOME is the user's, and nothing else changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// HOME stays as it is.
    pub keep_home: bool,
    /// No program that is executed gives rights (prctl(2), PR_SET_NO_NEW_PRIVS).
    pub no_new_privileges: bool,
    /// Names with commas between them: the only capabilities that the program has or can get.
    pub capabilities: Option<OsString>,
}

/// Runs `program` with `arguments` as `user` (`USER[:GROUP...]`, see
/// [`Users::target`](crate::model::users::Users::target)), the environment being as it is, but for HOME. It only
/// returns if that failed: with the exit code, having said why.
pub fn run(user: &OsStr, options: &Options, program: &OsStr, arguments: &[OsString]) -> u8 {
    let (code, message) = match switch(user, options) {
        Ok(target) => {
            let errno = execute(program, arguments, (!options.keep_home).then_some(&target.home));
            explain(program, errno, find(program))
        }
        Err(failure) => failure,
    };
    report(PROGRAM, message);
    code
}

fn switch(user: &OsStr, options: &Options) -> Result<Target, Failure> {
    let system = |message: String| (exit::SYSTEM, message);
    let wanted = privileges(options)?;
    if credentials::is_setuid() {
        let message = "it is installed setuid or setgid, so anyone could become anyone: remove these bits \
                       (chmod ug-s) and start it as root";
        return Err((exit::CONFIG, String::from(message)));
    }
    let had_more = privileges::give_up_those_of_the_file()
        .map_err(|errno| system(format!("can't give up the capabilities of its file: {} (capset)", errno.desc())))?;
    let current = credentials::current()
        .map_err(|errno| system(format!("can't read the own credentials: {} (getgroups)", errno.desc())))?;
    let users = credentials::read_users().map_err(|error| system(error.to_string()))?;
    let target = users.target(&user.to_string_lossy(), &current).map_err(|error| (exit::CONFIG, error.to_string()))?;
    let refused = |(stage, errno): (SpawnStage, Errno)| system(format!("cannot {}: {}", stage.text(), errno.desc()));
    privileges::before_switch(&wanted, &Refused::default()).map_err(refused)?;
    credentials::switch(&target.identity).map_err(|refused| {
        let file = if had_more { "; capabilities of its file count for nothing, as anyone could use them" } else { "" };
        system(format!("{refused}{file}"))
    })?;
    privileges::after_switch(&wanted).map_err(refused)?;
    Ok(target)
}

/// What the options say of rights.
fn privileges(options: &Options) -> Result<Privileges, Failure> {
    let mut wanted = Privileges { no_new_privileges: options.no_new_privileges, ..Privileges::default() };
    if let Some(list) = &options.capabilities {
        let value = capabilities(&list.to_string_lossy()).map_err(|message| (exit::CONFIG, message))?;
        let missing = value.without(privileges::own_capabilities());
        if missing != Capabilities::default() {
            let text = "which it does not have itself: start it as root, in a container that has it";
            return Err((exit::SYSTEM, format!("cannot give {}, {text} (docker run --cap-add)", missing.list())));
        }
        wanted.capabilities = Some(Wish { value, lenient: false });
    }
    Ok(wanted)
}

fn capabilities(list: &str) -> Result<Capabilities, String> {
    let names = list.split(',').filter(|name| !name.is_empty());
    names.map(|name| Capabilities::named(name).ok_or(name)).try_fold(Capabilities::default(), |all, one| {
        one.map(|one| all.with(one)).map_err(|name| {
            let advice = match near::nearest(&name.to_ascii_uppercase(), Capabilities::NAMES) {
                Some(near) => format!("did you mean {near:?}?"),
                None => String::from("capabilities(7) lists them"),
            };
            format!("{name:?} is no capability: {advice}")
        })
    })
}

/// Replaces this process; returns only the error. A program without slash is looked up under the new rights.
fn execute(program: &OsStr, arguments: &[OsString], home: Option<&String>) -> Errno {
    // The system passes no NUL byte in, and a passwd line with one is no entry.
    let string = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
    let words = iter::once(program).chain(arguments.iter().map(OsString::as_os_str));
    let words: Vec<CString> = words.map(|word| string(word.as_bytes())).collect();
    let others = env::vars_os().filter(|(name, _)| home.is_none() || name != "HOME");
    let environment = others.map(|(name, value)| string(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
    let home = home.map(|home| string(format!("HOME={home}").as_bytes()));
    let environment: Vec<CString> = environment.chain(home).collect();
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
pub(super) fn explain(program: &OsStr, errno: Errno, found: Option<PathBuf>) -> Failure {
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
