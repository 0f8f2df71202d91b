//! One GET, and what is made of its answer.
//!
//! Owns: the request as it is sent, and the reading of status and headers. Must never: follow a redirect, or read
//! without an end.

use super::body::{Kind, decode, find};
use super::connect::{self, Stream};
use super::{Deadline, Failure, Request};
use std::io::ErrorKind;
use std::time::Duration;

/// How long the head of an answer may be, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;
/// How much of a body is searched, in bytes.
const LONGEST_BODY: usize = 1024 * 1024;
/// How much of a body that nobody wants is taken off the server's hands, and how long that may take.
const COURTESY: (usize, Duration) = (64 * 1024, Duration::from_millis(100));

/// Sends the request and judges the answer.
pub fn ask(request: &Request, deadline: &Deadline) -> Result<(), Failure> {
    let mut stream = connect::server(&request.http.server, deadline)?;
    send(stream.as_mut(), text(request).as_bytes(), deadline)?;
    let mut raw = Vec::new();
    let head = loop {
        if let Some(head) = Head::parse(&raw)? {
            raw.drain(..head.length);
            // 100 and 103 come before the answer.
            if !(100..200).contains(&head.status) || head.status == 101 {
                break head;
            }
        } else if raw.len() > LONGEST_HEAD {
            return Err(Failure::No(String::from("the head of the answer has more than 64 KiB")));
        } else if !receive(stream.as_mut(), &mut raw, deadline)? {
            let what = if raw.is_empty() { "closed without an answer" } else { "closed within the answer" };
            return Err(Failure::No(format!("the connection was {what}")));
        }
    };
    let good = request.statuses.contains(head.status);
    let searched = good && !request.contains.is_empty();
    // A server that is left with unread data gets a reset, and may log an error.
    let (limit, patience) =
        if searched { (LONGEST_BODY, *deadline) } else { (COURTESY.0, deadline.at_most(COURTESY.1)) };
    let found = search(stream.as_mut(), &mut raw, &head.body, &request.contains, limit, &patience);
    if !good {
        return Err(Failure::No(format!("status {} (expected {})", head.status, request.statuses)));
    }
    if searched && !found? {
        return Err(Failure::No(format!("status {}, but {:?} is not in the body", head.status, request.contains)));
    }
    Ok(())
}

/// The request as it goes over the wire. A header of the user's replaces ours.
fn text(request: &Request) -> String {
    let own = [
        ("Host", request.http.host.as_str()),
        ("User-Agent", concat!("zei-probe/", env!("CARGO_PKG_VERSION"))),
        ("Accept", "*/*"),
        // Such a server closes after the answer, which is its end for us, too.
        ("Connection", "close"),
    ];
    let replaced = |name: &str| request.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    let own = own.into_iter().filter(|(name, _)| !replaced(name));
    let users = request.headers.iter().map(|header| (header.name.as_str(), header.value.as_str()));
    let headers: String = own.chain(users).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {} HTTP/1.1\r\n{headers}\r\n", request.http.target)
}

/// Lets the next call end with the deadline.
fn limit(stream: &dyn Stream, deadline: &Deadline) -> Result<(), Failure> {
    stream.set_timeouts(deadline.left()?).map_err(|error| Failure::of_attempt(&error, deadline))
}

fn send(stream: &mut dyn Stream, mut rest: &[u8], deadline: &Deadline) -> Result<(), Failure> {
    while !rest.is_empty() {
        limit(stream, deadline)?;
        match stream.write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // It may have answered without reading all.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Failure::of_attempt(&error, deadline)),
        }
    }
    Ok(())
}

/// Adds what comes next; false at the end.
fn receive(stream: &mut dyn Stream, raw: &mut Vec<u8>, deadline: &Deadline) -> Result<bool, Failure> {
    let mut buffer = [0; 16 * 1024];
    loop {
        limit(stream, deadline)?;
        match stream.read(&mut buffer) {
            Ok(length) => {
                raw.extend_from_slice(buffer.get(..length).unwrap_or_default());
                return Ok(length > 0);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::of_attempt(&error, deadline)),
        }
    }
}

/// Reads the body until `wanted` was in it (an empty text never is), to its end, or to the limit.
fn search(
    stream: &mut dyn Stream,
    raw: &mut Vec<u8>,
    kind: &Kind,
    wanted: &str,
    limit: usize,
    deadline: &Deadline,
) -> Result<bool, Failure> {
    loop {
        let (body, complete) = decode(kind, raw).map_err(Failure::No)?;
        if find(&body, wanted.as_bytes()) {
            return Ok(true);
        }
        if complete || raw.len() >= limit || !receive(stream, raw, deadline)? {
            return Ok(false);
        }
    }
}

/// What is of interest before the body.
#[derive(PartialEq, Eq, Debug)]
struct Head {
    /// In bytes.
    length: usize,
    status: u16,
    body: Kind,
}

impl Head {
    /// `None`: it is not all there yet.
    fn parse(raw: &[u8]) -> Result<Option<Head>, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(raw).map_err(|error| Failure::No(format!("the answer is no HTTP: {error}")))?;
        let httparse::Status::Complete(length) = parsed else { return Ok(None) };
        let status = response.code.unwrap_or_default();
        let value = |name: &str| {
            let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            core::str::from_utf8(header.value).ok().map(str::trim)
        };
        let chunked = value("transfer-encoding").is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"));
        let body = match value("content-length").map(str::parse) {
            _ if matches!(status, 101 | 204 | 304) => Kind::Length(0),
            _ if chunked => Kind::Chunked,
            Some(Ok(length)) => Kind::Length(length),
            _ => Kind::ToTheEnd,
        };
        Ok(Some(Head { length, status, body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Header, Http, Statuses};

    fn request(headers: &[&str]) -> Request {
        Request {
            http: Http::parse("http://app:8080/health").unwrap(),
            headers: headers.iter().map(|header| Header::parse(header).unwrap()).collect(),
            statuses: Statuses::default(),
            contains: String::new(),
        }
    }

    #[test]
    fn a_request_is_a_get_that_wants_the_connection_closed() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text(&request(&["X-Probe: 1"])),
            format!(
                "GET /health HTTP/1.1\r\nHost: app:8080\r\nUser-Agent: zei-probe/{version}\r\nAccept: */*\r\n\
                 Connection: close\r\nX-Probe: 1\r\n\r\n"
            )
        );
    }

    #[test]
    fn a_header_of_the_users_replaces_ours() {
        let text = text(&request(&["host: other", "Accept: text/html"]));
        assert!(text.contains("host: other\r\n") && !text.contains("Host: app"), "{text}");
        assert_eq!(text.matches("Accept").count(), 1, "{text}");
    }

    #[test]
    fn a_head_says_status_and_kind_of_body_once_it_is_complete() {
        for (headers, body) in [
            ("", Kind::ToTheEnd),
            ("content-length: 5\r\n", Kind::Length(5)),
            ("Content-Length: many\r\n", Kind::ToTheEnd),
            ("Transfer-Encoding: gzip, Chunked\r\nContent-Length: 5\r\n", Kind::Chunked),
        ] {
            let raw = format!("HTTP/1.1 200 OK\r\n{headers}\r\nbody").into_bytes();
            let head = Head::parse(&raw).unwrap().unwrap();
            assert_eq!((head.status, &raw[head.length..], head.body), (200, &b"body"[..], body), "{headers}");
            for length in 0..raw.len() - 4 {
                assert_eq!(Head::parse(&raw[..length]), Ok(None), "{length}");
            }
        }
        let empty = Head::parse(b"HTTP/1.0 204 No Content\r\n\r\n").unwrap().unwrap();
        assert_eq!((empty.status, empty.body), (204, Kind::Length(0)));
    }

    #[test]
    fn what_is_no_http_is_a_no() {
        for raw in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 abc OK\r\n\r\n", "\x16\x03\x01\x02"] {
            let Err(Failure::No(problem)) = Head::parse(raw.as_bytes()) else { panic!("{raw}") };
            assert!(problem.starts_with("the answer is no HTTP: "), "{problem}");
        }
    }
}
