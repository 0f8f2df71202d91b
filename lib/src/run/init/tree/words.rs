//! What zei-init says of the tree, beyond a line where something goes wrong.
//!
//! Must never: decide what is worth it (that is `model::init`), or wait for whoever reads.

use super::Running;
use crate::model::init::{Cause, Verdict};
use crate::model::service::{Ending, Service};
use crate::model::time::Span;
use crate::paths;
use crate::protocol::last;
use crate::run;
use crate::run::init::post_mortem::{self, Scene};
use crate::run::init::{PROGRAM, waiting};
use crate::signal;
use crate::sys::{clock, raw, say};
use nix::unistd::isatty;
use std::os::fd::AsFd;
use std::path::Path;

/// So many services are named in a line.
const MOST: usize = 8;

/// The first of them, and how many more there are.
fn list(all: &[usize], one: impl Fn(usize) -> String) -> String {
    let shown: Vec<String> = all.iter().take(MOST).map(|index| one(*index)).collect();
    let more = all.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

impl Running {
    /// So long the shutdown has gone on, and these are left.
    pub(super) fn tell_waiting(&self, indices: &[usize], span: Span) {
        if !indices.is_empty() {
            let listed = list(indices, |index| format!("{} ({})", self.name(index), self.stop_of(index)));
            self.say(format_args!("stopping for {}s, waiting for {listed}", span.0 / 1000));
        }
    }

    /// These are left, and are not waited for any more.
    pub(super) fn tell_killed(&self, why: &str, indices: &[usize]) {
        self.say(format_args!("{why}; killing {}", list(indices, |index| self.name(index).to_string())));
    }

    /// How far the stop of a service has come.
    fn stop_of(&self, index: usize) -> String {
        let held_by: Vec<usize> = self.tree.held_by(index).collect();
        if held_by.is_empty() {
            let service = self.shared.ledger.read(index).map(|record| record.service);
            let stop_signal = self.stop_signals.get(index).copied().unwrap_or(signal::TERM);
            waiting::state(service.as_ref(), stop_signal, clock::now())
        } else {
            format!("waits for {}", list(&held_by, |index| self.name(index).to_string()))
        }
    }

    /// The last thing that is said.
    pub(super) fn tell_why(&self, verdict: &Verdict) {
        let ended = |service: &Service| matches!(service.ending, Some(Ending::Exited(_)));
        if let (Cause::Command, [(_, service)]) = (verdict.cause, verdict.chain.as_slice())
            && ended(service)
            && isatty(raw::standard(0)) == Ok(true)
        {
            // Whoever sits there has seen it.
            return;
        }
        let mut buffer = [0; last::MAX];
        let services = self.run_dir.as_ref().map(|run_dir| run_dir.services.as_fd());
        let kept = services.zip(verdict.culprit()).and_then(|(services, (culprit, _))| {
            Some(run::last::read(services, self.name(*culprit), &mut buffer)?.recent())
        });
        let last = kept.unwrap_or_default();
        let scene = Scene { names: &self.names, began: self.began, now: (clock::now(), clock::wall()), last };
        let Some(text) = post_mortem::text(PROGRAM, verdict, &scene) else { return };
        say::last_words(text.as_bytes());
        if std::process::id() == 1 {
            let _not_in_kubernetes = post_mortem::leave(Path::new(paths::TERMINATION_LOG), &text);
        }
    }

    /// To an outer service manager that wants to know (sd_notify(3)).
    pub(super) fn notify_ready(&self) {
        use std::os::unix::ffi::OsStrExt as _;
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
        let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() else { return };
        let _not_wanted_any_more = socket.set_nonblocking(true);
        let sent = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => {
                use std::os::linux::net::SocketAddrExt as _;
                std::os::unix::net::SocketAddr::from_abstract_name(name)
                    .and_then(|address| socket.send_to_addr(b"READY=1", &address))
            }
            None => socket.send_to(b"READY=1", &path),
        };
        if let Err(error) = sent {
            self.say(format_args!("cannot tell NOTIFY_SOCKET {path:?} that all is up: {error}"));
        }
    }
}
