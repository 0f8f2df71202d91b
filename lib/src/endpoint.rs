//! Where a service is asked whether it answers, and what counts as an answer.
//!
//! Owns: the ways to write it (`5432`, `db:5432`, `@name`, `:8080/health`, `200-399`), with a sentence for each
//! mistake. Must never: resolve a name, or connect to anything.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

/// The machine that is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// This machine: 127.0.0.1, and ::1 if that does not answer.
    Local,
    /// A numeric address.
    Address(IpAddr),
    /// A name that has to be resolved.
    Name(String),
}

/// A TCP port of a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tcp {
    /// The machine.
    pub host: Host,
    /// 1 to 65535.
    pub port: u16,
}

/// A Unix stream socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unix {
    /// A file.
    Path(String),
    /// A name without a file (unix(7)), written with `@` before it; here without.
    Abstract(String),
}

/// What an HTTP request is sent to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Server {
    /// A TCP port.
    Tcp(Tcp),
    /// A Unix socket.
    Unix(Unix),
}

/// A resource of an HTTP server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Http {
    /// The server.
    pub server: Server,
    /// The value of the header `Host`.
    pub host: String,
    /// Path and query, beginning with a slash: visible ASCII only.
    pub target: String,
}

/// The longest path or name of a Unix socket, in bytes (unix(7), less a NUL).
const LONGEST_UNIX: usize = 107;

impl Tcp {
    /// `HOST:PORT`, where HOST is a name, an IPv4 address, an IPv6 address in brackets; `:PORT` and `PORT`
    /// mean this machine. `tcp://` may stand before it.
    pub fn parse(text: &str) -> Result<Tcp, String> {
        Tcp::with_default(text.strip_prefix("tcp://").unwrap_or(text), None)
    }

    fn with_default(text: &str, default: Option<u16>) -> Result<Tcp, String> {
        if is_number(text) {
            return Ok(Tcp { host: Host::Local, port: port(text)? });
        }
        // The colon that comes before a port is none of those in brackets.
        let bracket = text.rfind(']').unwrap_or(0);
        let (host, port_text) = match text.rfind(':').filter(|colon| *colon >= bracket) {
            Some(colon) => (text.get(..colon).unwrap_or_default(), text.get(colon + 1..)),
            None => (text, None),
        };
        let host = Host::parse(host, text)?;
        let port = match (port_text, default) {
            (Some(text), _) => port(text)?,
            (None, Some(default)) => default,
            (None, None) => return Err(format!("{text:?} names no port: write HOST:PORT, or PORT for this machine")),
        };
        Ok(Tcp { host, port })
    }
}

impl Host {
    fn parse(text: &str, whole: &str) -> Result<Host, String> {
        if let Some(inside) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            let address = inside.parse::<Ipv6Addr>().map(|address| Host::Address(IpAddr::V6(address)));
            return address.map_err(|_| format!("{inside:?} is no IPv6 address, such as ::1"));
        }
        if text.is_empty() || text.eq_ignore_ascii_case("localhost") {
            return Ok(Host::Local);
        }
        if text.contains(':') {
            return Err(format!("{whole:?}: an IPv6 address stands in brackets before its port, as in [::1]:5432"));
        }
        if let Ok(address) = text.parse() {
            return Ok(Host::Address(address));
        }
        if text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
            return Ok(Host::Name(String::from(text)));
        }
        Err(format!("{text:?} is neither an address nor a host name"))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn port(text: &str) -> Result<u16, String> {
    let number = if is_number(text) { text.parse().ok() } else { None };
    number.filter(|port| *port > 0).ok_or_else(|| format!("{text:?} is no port: a number from 1 to 65535"))
}

impl Unix {
    /// A path, or `@name` for an abstract socket. `unix:` or `unix://` may stand before it.
    pub fn parse(text: &str) -> Result<Unix, String> {
        let text = text.strip_prefix("unix:").map_or(text, |rest| rest.strip_prefix("//").unwrap_or(rest));
        let (name, unix) = match text.strip_prefix('@') {
            Some(name) => (name, Unix::Abstract(name.into())),
            None => (text, Unix::Path(text.into())),
        };
        if name.is_empty() {
            return Err(String::from("no socket is named: write a path, or @name for an abstract one"));
        }
        if name.len() > LONGEST_UNIX || name.contains('\0') {
            return Err(format!("{text:?} is no socket: it has more than {LONGEST_UNIX} bytes, or a NUL in it"));
        }
        Ok(unix)
    }
}

impl Http {
    /// `http://HOST[:PORT][/PATH]`, with or without `http://`; HOST may be left out, and `:PORT` or `PORT`
    /// alone mean this machine. `unix:PATH:/URL` asks over a Unix socket.
    pub fn parse(text: &str) -> Result<Http, String> {
        if let Some(rest) = text.strip_prefix("unix:") {
            let (path, target) = rest.find(":/").map_or((rest, "/"), |colon| rest.split_at(colon));
            let target = target.strip_prefix(':').unwrap_or(target);
            let server = Server::Unix(Unix::parse(path)?);
            return Ok(Http { server, host: String::from("localhost"), target: self::target(target)? });
        }
        let rest = match text.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(format!(
                    "{text:?}: https is not spoken here: ask the service by http on a port of its own, or use a \
                     command for it"
                ));
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                return Err(format!("{text:?}: {scheme} is not spoken here: write http://HOST:PORT/PATH"));
            }
            _ => text,
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(format!("{text:?}: a user is no part of it: send it by a header, Authorization: Basic …"));
        }
        let tcp = Tcp::with_default(authority, Some(80))?;
        let host = if tcp.port == 80 { tcp.host.to_string() } else { tcp.to_string() };
        Ok(Http { server: Server::Tcp(tcp), host, target: self::target(target)? })
    }
}

/// Path and query as they are sent.
fn target(text: &str) -> Result<String, String> {
    let text = text.split('#').next().unwrap_or_default();
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{text:?} has a character that no URL has: write it in percent form, as %20 for a blank"));
    }
    Ok(if text.starts_with('/') { String::from(text) } else { format!("/{text}") })
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Local => f.write_str("localhost"),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Unix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unix::Path(path) => f.write_str(path),
            Unix::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Server::Tcp(_) => write!(f, "http://{}{}", self.host, self.target),
            Server::Unix(unix) => write!(f, "unix:{unix}:{}", self.target),
        }
    }
}

/// The HTTP status codes that count as an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statuses(Vec<(u16, u16)>);

impl Statuses {
    /// `200`, `200-399`, or a list of them: `200-299,401`.
    pub fn parse(text: &str) -> Result<Statuses, String> {
        let code = |text: &str| text.parse().ok().filter(|code| (100..=599).contains(code) && text.len() == 3);
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some((code(first)?, code(last)?)).filter(|(first, last)| first <= last)
        };
        let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>();
        ranges.map(Statuses).ok_or_else(|| {
            format!("{text:?} are no status codes: write 200, a range 200-399 or a list 200-299,401; they go to 599")
        })
    }

    /// Whether a code is one of them.
    pub fn contains(&self, code: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }
}

/// 200-399: all that is no error, as a redirect is an answer too.
impl Default for Statuses {
    fn default() -> Statuses {
        Statuses(vec![(200, 399)])
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
        }
        Ok(())
    }
}

/// A header of a request: `NAME: VALUE`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its name, as it was written.
    pub name: String,
    /// Its value, without blanks around it.
    pub value: String,
}

impl Header {
    /// Reads `NAME: VALUE`; neither can break out of its line.
    pub fn parse(text: &str) -> Result<Header, String> {
        let (name, value) = text.split_once(':').unwrap_or_default();
        // RFC 9110, tokens and field values.
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(format!("{text:?} is no header: write NAME: VALUE in one line, as in 'Accept: text/html'"));
        }
        Ok(Header { name: name.into(), value: value.trim().into() })
    }
}

#[cfg(test)]
mod tests;
