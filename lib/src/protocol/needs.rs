//! What a service depends on: the format of `needs`, version 1.
//!
//! Owns: the bytes. Must never: open a file, or know what a condition means.
//!
//! One line for each dependency, in the order of the configuration:
//!
//! ```text
//! NAME CONDITION [restart]
//! ```
//!
//! CONDITION is Compose's word: `service_started`, `service_healthy` or `service_completed_successfully`. `restart`
//! stands there if the service is restarted with that dependency. The file is made by zei-init together with the
//! service's directory and is replaced (rename(2)), never changed; a service without dependencies has none. A reader
//! passes over lines and further words that it does not know; a file that does not end with a newline was met while
//! it was being made.
//!
//! # Version log
//!
//! 1: the first.

use crate::name::ServiceName;

/// The word of a dependency that must have been started.
pub const STARTED: &str = "service_started";
/// The word of a dependency that must be running and not unhealthy.
pub const HEALTHY: &str = "service_healthy";
/// The word of a dependency that must have ended well.
pub const COMPLETED: &str = "service_completed_successfully";

/// One line: what a service needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Need<'a> {
    /// The other service.
    pub name: ServiceName,
    /// What must hold there: [`STARTED`], [`HEALTHY`], [`COMPLETED`].
    pub condition: &'a str,
    /// The service is restarted with it.
    pub restart: bool,
}

/// The file's content.
pub fn encode<'a>(needs: impl IntoIterator<Item = Need<'a>>) -> String {
    let line = |Need { name, condition, restart }: Need<'_>| {
        let restart = if restart { " restart" } else { "" };
        format!("{name} {condition}{restart}\n")
    };
    needs.into_iter().map(line).collect()
}

/// Reads a file's content; `None` for one that is still being made.
pub fn decode(bytes: &[u8]) -> Option<Vec<Need<'_>>> {
    let text = core::str::from_utf8(bytes).ok()?;
    if !(text.is_empty() || text.ends_with('\n')) {
        return None;
    }
    Some(text.lines().filter_map(decode_line).collect())
}

fn decode_line(line: &str) -> Option<Need<'_>> {
    let mut words = line.split_ascii_whitespace();
    let name = ServiceName::parse(words.next()?).ok()?;
    let condition = words.next()?;
    Some(Need { name, condition, restart: words.any(|word| word == "restart") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn need<'a>(name: &str, condition: &'a str, restart: bool) -> Need<'a> {
        Need { name: ServiceName::parse(name).unwrap(), condition, restart }
    }

    #[test]
    fn the_file_looks_as_documented() {
        let needs = [need("db", HEALTHY, true), need("init-db", COMPLETED, false), need("log", STARTED, false)];
        let golden = "db service_healthy restart\ninit-db service_completed_successfully\nlog service_started\n";
        assert_eq!(encode(needs), golden);
        assert_eq!(decode(golden.as_bytes()), Some(needs.to_vec()));
        assert_eq!(encode([]), "");
        assert_eq!(decode(b""), Some(vec![]));
    }

    #[test]
    fn a_file_that_is_being_made_is_none_and_what_is_not_known_is_passed_over() {
        assert_eq!(decode(b"db service_started\nlog service_st"), None);
        let later = b"db service_warm weight=3 restart\n\n../x service_started\nlog\n# note\n";
        assert_eq!(decode(later), Some(vec![need("db", "service_warm", true)]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_needs_or_none(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
