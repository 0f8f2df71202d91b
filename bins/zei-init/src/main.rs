//! PID 1 of a container: starts one zei-supervise per service, reaps, shuts down in order; or runs one command.
//!
//! Owns: the choice between the two. Must never: do the work, which is `zei::run::init` and `zei::run::command`.
//!
//! Without Rust's runtime, so that the command gets SIGPIPE as zei-init got it.
#![no_main]

mod options;
mod table;

use options::Request;
use std::io::{self, Write as _};
use zei::exit;
use zei::run::report::report;
use zei::run::{command, init};
use zei::sys::raw::Arguments;

zei::patient_memory!();
zei::bare_main!(run);

const PROGRAM: &str = "zei-init";

fn run(arguments: Arguments) -> u8 {
    if let Some(code) = init::started_by_itself(arguments) {
        return code;
    }
    match options::parse(&arguments, init::variable) {
        Request::Print(text) => io::stdout().write_all(text.as_bytes()).map_or(exit::SYSTEM, |()| exit::OK),
        Request::Doctor { json } => init::doctor::run(json),
        Request::Wrong(problem) => {
            report(PROGRAM, format_args!("{problem}; see {PROGRAM} --help"));
            exit::CONFIG
        }
        Request::Run { tree, single, command } => {
            let invoker = match init::begin() {
                Ok(invoker) => invoker,
                Err(code) => return code,
            };
            if let Some(code) = init::run(&tree, invoker.as_ref()) {
                return code;
            }
            if command.is_empty() {
                report(PROGRAM, options::NOTHING_TO_RUN);
                return exit::CONFIG;
            }
            command::run(&single, &command)
        }
    }
}
