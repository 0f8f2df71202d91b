//! Asks once whether something answers: TCP, HTTP, a Unix socket.
//!
//! Owns: what is done with what the command line asks for. Must never: do the work, which is `zei::run::probe`.

mod options;

use options::Wanted;
use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;
use zei::exit;
use zei::run::probe::{PROGRAM, run};
use zei::run::report::report;

fn main() -> ExitCode {
    let words: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    ExitCode::from(match options::parse(&words) {
        // A closed standard output is the only thing that can go wrong, and then the text was not delivered.
        Ok(Wanted::Print(text)) => io::stdout().write_all(text.as_bytes()).map_or(exit::SYSTEM, |()| exit::OK),
        Ok(Wanted::Ask(question, timeout)) => run(&question, timeout),
        Err(problem) => {
            report(PROGRAM, format_args!("{problem}; see {PROGRAM} --help"));
            exit::CONFIG
        }
    })
}
