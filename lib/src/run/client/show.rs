//! `list` and `status`.
//!
//! Owns: where they get what they show, and what their exit code says. Must never: load a
//! configuration while zei runs.

use super::configuration;
use super::disk;
use super::names::{Known, Scope, select};
use super::place::Place;
use super::view::{self, Row};
use super::{Failure, Output};
use crate::exit;
use crate::model::spec::Config;
use crate::name::ServiceName;
use crate::protocol::status::State;
use crate::sys::clock::now;
use std::path::PathBuf;

/// How to show it.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    /// As JSON.
    pub(crate) json: bool,
    /// With colours.
    pub(crate) colour: bool,
    /// With lines that are more than ASCII.
    pub(crate) boxes: bool,
    /// Where the configuration is, if zei is not running.
    pub(crate) config: &'a [PathBuf],
}

/// `zei-ctl list`.
pub(crate) fn list(found: Result<Place, Failure>, words: &[String], look: &Look<'_>) -> Result<Output, Failure> {
    let (rows, mut output) = rows(found, words, look)?;
    let now = now();
    output.out = if look.json { view::array(&rows, now, None) } else { view::table(&rows, now, look.colour) };
    Ok(output)
}

/// `zei-ctl status`: the exit code says whether all of them are as they should be.
pub(crate) fn status(found: Result<Place, Failure>, words: &[String], look: &Look<'_>) -> Result<Output, Failure> {
    let differences = found.as_ref().ok().and_then(disk::differences);
    let (rows, mut output) = rows(found, words, look)?;
    let now = now();
    output.out = if look.json {
        view::array(&rows, now, differences.map(|differences| !differences.is_empty()))
    } else {
        view::details(&rows, now, look.colour) + &disk::tell(&differences.unwrap_or_default())
    };
    if output.code == exit::OK && !rows.iter().all(is_up) {
        output.code = exit::NOT_RUNNING;
    }
    Ok(output)
}

/// Running, completed, or a timed oneshot that waits for its next run.
fn is_up(row: &Row) -> bool {
    match row.status.as_ref().map(|status| status.state) {
        Some(State::Running | State::Completed | State::Scheduled) => true,
        Some(State::Waiting | State::Starting | State::Stopping | State::RestartPending) => false,
        Some(State::Stopped | State::Failed) | None => false,
    }
}

fn rows(found: Result<Place, Failure>, words: &[String], look: &Look<'_>) -> Result<(Vec<Row>, Output), Failure> {
    let mut output = Output::default();
    let rows = match found {
        Ok(place) => {
            // What can't be read of one service hides no other.
            let row = |name| {
                let status = place.status(&name).unwrap_or_else(|failure| {
                    output.fail(failure);
                    None
                });
                Row { name, status }
            };
            chosen(&place.services(), words)?.into_iter().map(row).collect()
        }
        Err(failure) => {
            let config = configured(look.config, &failure)?;
            let names: Vec<ServiceName> = config.services.iter().map(|service| service.name).collect();
            let known = Known { has: Box::new(|name| names.contains(name)), all: Box::new(|| Ok(names.clone())) };
            let rows = chosen(&known, words)?.into_iter().map(|name| Row { name, status: None }).collect();
            output.err.push(instead(&failure));
            rows
        }
    };
    Ok((rows, output))
}

fn chosen(known: &Known<'_>, words: &[String]) -> Result<Vec<ServiceName>, Failure> {
    if words.is_empty() { (known.all)() } else { select(known, words, Scope::Everything) }
}

/// The configuration, where zei is not running. Without a readable one `failure` is all there is to say.
pub(super) fn configured(paths: &[PathBuf], failure: &Failure) -> Result<Config, Failure> {
    match configuration::load(paths) {
        Ok(Some(config)) => Ok(config),
        Ok(None) => Err(failure.clone()),
        Err(problems) => {
            let message = format!("{}\nzei-ctl: nor can the configuration be read:", failure.message);
            Err(Failure::new(failure.code, [message].into_iter().chain(problems).collect::<Vec<_>>().join("\n")))
        }
    }
}

/// What is said when the configuration is shown because zei is not running.
pub(super) fn instead(failure: &Failure) -> String {
    format!("zei-ctl: {}; this is what the configuration defines", failure.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere() -> Result<Place, Failure> {
        Err(Failure::new(exit::NO_ZEI, "zei is not running"))
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_a_zei_the_configuration_is_shown_and_one_line_says_so() {
        let place = tempfile::tempdir().unwrap();
        let config = [place.path().join("zei.yaml")];
        std::fs::write(&config[0], "services: {web: {command: [x]}, db: {command: [x]}}").unwrap();
        let look = Look { json: false, colour: false, boxes: false, config: &config };
        let listed = list(nowhere(), &[], &look).unwrap();
        assert_eq!(
            listed.out.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()).collect::<Vec<_>>(),
            [["web", "-", "-", "-", "-"], ["db", "-", "-", "-", "-"]]
        );
        assert_eq!((listed.err.len(), listed.code), (1, exit::OK));
        assert!(listed.err[0].contains("zei is not running"));
        let one = status(nowhere(), &words(&["web"]), &look).unwrap();
        assert_eq!((one.out.as_str(), one.code), ("web: -\n", exit::NOT_RUNNING));
        assert_eq!(status(nowhere(), &words(&["none"]), &look).unwrap_err().code, exit::NO_SUCH_SERVICE);
    }

    #[test]
    fn without_a_zei_and_with_a_broken_configuration_both_are_said() {
        let config = [PathBuf::from("/no/such/file.yaml")];
        let failure =
            list(nowhere(), &[], &Look { json: true, colour: false, boxes: false, config: &config }).unwrap_err();
        assert_eq!(failure.code, exit::NO_ZEI);
        assert!(failure.message.starts_with("zei is not running\n"), "{}", failure.message);
        assert!(failure.message.contains("/no/such/file.yaml"), "{}", failure.message);
    }
}
