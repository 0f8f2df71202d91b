//! Runs a program under another user and group.
//!
//! Owns: the command line. Must never: do the work, which is `zei::run::setuidgid`.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;
use zei::exit;
use zei::run::report::report;
use zei::run::setuidgid::{PROGRAM, run};

const HELP: &str = "\
Usage: zei-setuidgid [OPTIONS] USER[:GROUP...] PROG [ARGS...]

Becomes USER, sets HOME and executes PROG in its own place. No process stays behind.

  USER               a name or a number; a number needs no entry in /etc/passwd
  USER:GROUP         that group, and no other supplementary group
  USER:GROUP:MORE    that group, and those supplementary groups
  USER::MORE         the user's own groups, and those
  :GROUP             the current user with that group; an empty USER is the current one

Options:
  -h, --help       print this text
  -V, --version    print the version

Exit code: that of PROG, or
  100  bad usage, unknown user or group     126  PROG can't be executed
  111  the system refused something         127  PROG was not found

Examples:
  exec zei-setuidgid postgres \"$@\"
  zei-setuidgid 1000:1000 id
";

/// What the command line asks for.
enum Request {
    Print(String),
    Run { user: OsString, program: OsString, arguments: Vec<OsString> },
    Wrong(String),
}

fn main() -> ExitCode {
    let code = match parse(env::args_os().skip(1)) {
        // A closed standard output is the only thing that can go wrong, and then the text was not delivered.
        Request::Print(text) => io::stdout().write_all(text.as_bytes()).map_or(exit::SYSTEM, |()| exit::OK),
        Request::Run { user, program, arguments } => run(&user, &program, &arguments),
        Request::Wrong(problem) => {
            report(PROGRAM, format_args!("{problem}: use {PROGRAM} USER[:GROUP...] PROG [ARGS...], or see --help"));
            exit::CONFIG
        }
    };
    ExitCode::from(code)
}

/// Options end at the first word that is none, so all that follows USER belongs to PROG.
fn parse(mut words: impl Iterator<Item = OsString>) -> Request {
    let mut user = words.next();
    match user.as_ref().map(|word| word.as_encoded_bytes()) {
        Some(b"-h" | b"--help") => return Request::Print(String::from(HELP)),
        Some(b"-V" | b"-v" | b"--version") => {
            return Request::Print(format!("{PROGRAM} {}\n", env!("CARGO_PKG_VERSION")));
        }
        Some(b"--") => user = words.next(),
        Some([b'-', ..]) => return Request::Wrong(format!("unknown option {:?}", user.unwrap_or_default())),
        _ => {}
    }
    let Some(user) = user else {
        return Request::Wrong(String::from("neither a user nor a program was named"));
    };
    match words.next() {
        Some(program) if program.is_empty() => Request::Wrong(String::from("the program is an empty word")),
        Some(program) => Request::Run { user, program, arguments: words.collect() },
        None => Request::Wrong(format!("no program was named after the user {user:?}")),
    }
}
