//! Runs a program under another user and group.
//!
//! Owns: the command line. Must never: do the work, which is `zei::run::setuidgid`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use zei::exit;
use zei::near;
use zei::run::report::report;
use zei::run::setuidgid::{Options, PROGRAM, run};

const HELP: &str = "\
Usage: zei-setuidgid [OPTIONS] USER[:GROUP...] PROG [ARGS...]

Becomes USER, sets HOME and executes PROG in its own place. No process stays behind.

  USER               a name or a number; a number needs no entry in /etc/passwd
  USER:GROUP         that group, and no other supplementary group
  USER:GROUP:MORE    that group, and those supplementary groups
  USER::MORE         the user's own groups, and those
  :GROUP             the current user with that group; an empty USER is the current one

Options:
  --keep-home            HOME stays as it is
  --no-new-privileges    nothing that PROG executes gives it rights (setuid bits,
                         file capabilities)
  --capabilities LIST    the only capabilities that PROG has or can get, whoever
                         it runs as: NET_BIND_SERVICE,KILL; '' for none
  -h, --help             print this text
  -V, --version          print the version

Exit code: that of PROG, or
  100  bad usage, unknown user or group     126  PROG can't be executed
  111  the system refused something         127  PROG was not found

Examples:
  exec zei-setuidgid postgres \"$@\"
  zei-setuidgid 1000:1000 id
  zei-setuidgid --no-new-privileges --capabilities NET_BIND_SERVICE www httpd
";

/// What the command line asks for.
enum Request {
    Print(String),
    Run { user: OsString, options: Options, program: OsString, arguments: Vec<OsString> },
    Wrong(String),
}

fn main() -> ExitCode {
    let code = match parse(env::args_os().skip(1)) {
        // A closed standard output is the only thing that can go wrong, and then the text was not delivered.
        Request::Print(text) => io::stdout().write_all(text.as_bytes()).map_or(exit::SYSTEM, |()| exit::OK),
        Request::Run { user, options, program, arguments } => run(&user, &options, &program, &arguments),
        Request::Wrong(problem) => {
            report(PROGRAM, format_args!("{problem}: use {PROGRAM} USER[:GROUP...] PROG [ARGS...], or see --help"));
            exit::CONFIG
        }
    };
    ExitCode::from(code)
}

/// Options end at the first word that is none, so all that follows USER belongs to PROG.
fn parse(mut words: impl Iterator<Item = OsString>) -> Request {
    let mut options = Options::default();
    let user = loop {
        let Some(word) = words.next() else { break None };
        match word.as_bytes() {
            b"-h" | b"--help" => return Request::Print(String::from(HELP)),
            b"-V" | b"-v" | b"--version" => {
                return Request::Print(format!("{PROGRAM} {}\n", env!("CARGO_PKG_VERSION")));
            }
            b"--keep-home" => options.keep_home = true,
            b"--no-new-privileges" => options.no_new_privileges = true,
            b"--capabilities" => match words.next() {
                Some(list) => options.capabilities = Some(list),
                None => return Request::Wrong(String::from("--capabilities needs a list")),
            },
            b"--" => break words.next(),
            [b'-', ..] => match word.as_bytes().strip_prefix(b"--capabilities=") {
                Some(list) => options.capabilities = Some(OsStr::from_bytes(list).to_owned()),
                None => return Request::Wrong(unknown(&word)),
            },
            _ => break Some(word),
        }
    };
    let Some(user) = user else {
        return Request::Wrong(String::from("neither a user nor a program was named"));
    };
    match words.next() {
        Some(program) if program.is_empty() => Request::Wrong(String::from("the program is an empty word")),
        Some(program) => Request::Run { user, options, program, arguments: words.collect() },
        None => Request::Wrong(format!("no program was named after the user {user:?}")),
    }
}

fn unknown(option: &OsStr) -> String {
    let known = ["--keep-home", "--no-new-privileges", "--capabilities", "--help", "--version"];
    let near = near::nearest(&option.to_string_lossy(), known);
    let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    format!("unknown option {option:?}{near}")
}
