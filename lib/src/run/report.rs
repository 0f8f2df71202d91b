//! Own lines on standard error: one way to say something went wrong.
//!
//! Owns: the form `PROGRAM: what happened`. Must never: fail, or end the program.

use std::fmt::Display;
use std::io;

/// Writes `PROGRAM: MESSAGE` as one line to descriptor 2. What can't be written is lost: there is nobody
/// left to tell.
pub fn report(program: &str, message: impl Display) {
    let line = format!("{program}: {message}\n");
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        match nix::unistd::write(io::stderr(), rest) {
            Ok(written) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
            Err(nix::errno::Errno::EINTR) => {}
            _ => return,
        }
    }
}
