//! Stand-ins for modules of the library that are not there yet; each has the name and the form of what replaces it.
//!
//! Owns: the least that a check must find. Must never: outlive them.

/// `crate::schedule`.
pub mod schedule {
    /// Whether a text is a cron expression; if not, why.
    pub fn check(text: &str) -> Result<(), String> {
        match text.split_whitespace().count() {
            5 | 6 => Ok(()),
            1 if text.trim().starts_with('@') => Ok(()),
            count => {
                Err(format!("{text:?} has {count} fields; write minute hour day month weekday, as in \"30 2 * * *\""))
            }
        }
    }
}

/// `crate::pattern`.
pub mod pattern {
    /// Whether a text is a regular expression; if not, why.
    pub fn check(text: &str) -> Result<(), String> {
        if text.contains('\0') {
            return Err("it holds a NUL byte; write \\x00".into());
        }
        regex::bytes::Regex::new(text).map(drop).map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("it takes more than {limit} bytes of memory; use smaller counts in {{}}")
            }
            // A drawing of several lines: the pattern, `^` below what is wrong, and the reason at its end.
            other => {
                let drawing = other.to_string();
                let reason = drawing.rsplit_once("error: ").map_or(drawing.as_str(), |(_, reason)| reason);
                let reason = reason.trim().replace('\n', " ");
                let marks = |line: &&str| line.contains('^') && line.chars().all(|c| c == ' ' || c == '^');
                // Four blanks stand before a pattern of one line.
                match drawing.lines().find(marks).and_then(|line| line.find('^')?.checked_sub(3)) {
                    Some(place) if !text.contains('\n') => format!("at character {place}: {reason}"),
                    _ => reason,
                }
            }
        })
    }
}

/// `crate::endpoint`: there `Tcp::parse` and so on.
pub mod endpoint {
    /// `HOST:PORT`, `:PORT` or `PORT`.
    pub fn tcp(text: &str) -> Result<(), String> {
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err(format!("{text:?}: an IPv6 address stands in brackets before its port, as in [::1]:5432"));
        }
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        match if digits { port.parse::<u16>().ok() } else { None } {
            Some(1..) => Ok(()),
            _ => Err(format!("{port:?} is no port: a number from 1 to 65535")),
        }
    }

    /// `http://HOST[:PORT][/PATH]`, the scheme and the host may be left out.
    pub fn http(text: &str) -> Result<(), String> {
        let rest = match text.split_once("://") {
            Some((scheme, _)) if !scheme.eq_ignore_ascii_case("http") => {
                return Err(format!("{text:?}: {scheme} is not spoken here: write http://HOST:PORT/PATH"));
            }
            Some((_, rest)) => rest,
            None => text,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        if port.is_some() || authority.bytes().all(|byte| byte.is_ascii_digit()) { tcp(authority) } else { Ok(()) }
    }

    /// A path, or `@name`.
    pub fn unix(text: &str) -> Result<(), String> {
        match text.strip_prefix('@').unwrap_or(text) {
            "" => Err("no socket is named: write a path, or @name for an abstract one".into()),
            name if name.len() > 107 => Err(format!("{text:?} is no socket: it has more than 107 bytes")),
            _ => Ok(()),
        }
    }
}
