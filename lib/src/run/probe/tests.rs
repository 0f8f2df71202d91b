//! Questions to listeners of this process. What a user sees is in `tests/tests/probe.rs`.

use super::connect;
use super::*;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::thread;

fn soon() -> Deadline {
    Deadline::after(Span(60_000))
}

/// A listener on a port of its own, and the question for it.
fn listener(address: &str) -> io::Result<(TcpListener, Tcp)> {
    let listener = TcpListener::bind(address)?;
    let endpoint = Tcp::parse(&listener.local_addr()?.to_string()).unwrap();
    Ok((listener, endpoint))
}

/// A connection, and the request that came with it.
fn accept(listener: &TcpListener) -> (TcpStream, Vec<u8>) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        asked.extend(byte);
    }
    (stream, asked)
}

/// Asks a server that reads a request and sends `answer`, in the given pieces.
fn answered(request: &str, statuses: &str, contains: &str, answer: &[&[u8]]) -> Result<(), Failure> {
    let (listener, endpoint) = listener("127.0.0.1:0").unwrap();
    let request = Request {
        http: Http::parse(&format!("{endpoint}{request}")).unwrap(),
        headers: Vec::new(),
        statuses: Statuses::parse(statuses).unwrap(),
        contains: contains.into(),
    };
    let answer: Vec<Vec<u8>> = answer.iter().map(|part| part.to_vec()).collect();
    let server = thread::spawn(move || {
        let (mut stream, asked) = accept(&listener);
        for part in answer {
            stream.write_all(&part).unwrap();
            stream.flush().unwrap();
        }
        asked
    });
    let result = http::ask(&request, &soon());
    let asked = server.join().unwrap();
    assert!(asked.starts_with(format!("GET {} HTTP/1.1\r\n", request.http.target).as_bytes()));
    result
}

#[test]
fn durations_are_humantimes_or_bare_seconds_but_not_zero() {
    for (text, span) in [("5", 5000), ("500ms", 500), ("1m30s", 90_000), ("1h", 3_600_000)] {
        assert_eq!(duration(text), Ok(Span(span)), "{text}");
    }
    for text in ["", "0", "0s", "1us", "-1", "fast", "18446744073709551615"] {
        assert!(duration(text).unwrap_err().contains("write 500ms"), "{text}");
    }
    assert!(Deadline::after(Span(u64::MAX)).left().is_ok());
}

#[test]
fn a_port_of_this_machine_is_also_found_where_only_ipv6_listens() {
    let Ok((listener, mut endpoint)) = listener("[::1]:0") else { return };
    endpoint.host = crate::endpoint::Host::Local;
    let stream = connect::tcp(&endpoint, &soon()).unwrap();
    assert_eq!(stream.local_addr().unwrap(), listener.accept().unwrap().1);
}

#[test]
fn of_several_failures_the_first_is_told_and_a_name_with_the_address_tried() {
    let (listener, endpoint) = listener("127.0.0.1:0").unwrap();
    drop(listener);
    let refused = |host: &str| connect::tcp(&Tcp::parse(&format!("{host}:{}", endpoint.port)).unwrap(), &soon());
    let no = |text: &str| Failure::No(text.into());
    assert_eq!(refused("localhost").unwrap_err(), no("Connection refused"));
    assert_eq!(refused("127.1").unwrap_err(), no("Connection refused (127.0.0.1)"));
}

#[test]
fn a_connection_that_meets_itself_is_refused() {
    // Ports that clients get, which they do in turn; of either parity, as the kernel prefers one.
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let low: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    for port in [low + 2000, low + 2001] {
        let endpoint = Tcp::parse(&format!("127.0.0.1:{port}")).unwrap();
        for _ in 0..20_000 {
            assert!(connect::tcp(&endpoint, &soon()).is_err(), "{port}");
        }
    }
}

#[test]
fn a_unix_socket_whose_queue_is_full_is_waited_for_until_the_deadline() {
    let name = format!("zei-probe-test-{}", std::process::id());
    let server: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(server.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes()).unwrap()).unwrap();
    listen(&server, Backlog::new(0).unwrap()).unwrap();
    let endpoint = Unix::Abstract(name);
    let _queued = connect::unix(&endpoint, &soon()).unwrap();
    let begin = Instant::now();
    let failure = connect::unix(&endpoint, &Deadline::after(Span(50))).unwrap_err();
    assert_eq!(failure, Failure::No(String::from("no answer within 50ms")));
    assert!(begin.elapsed() >= Duration::from_millis(50));
}

#[test]
fn a_port_that_does_not_answer_at_all_is_given_up_at_the_deadline() {
    let (server, endpoint) = listener("127.0.0.1:0").unwrap();
    listen(&server, Backlog::new(0).unwrap()).unwrap();
    let attempt = || connect::tcp(&endpoint, &Deadline::after(Span(100)));
    // A full queue lets requests fall.
    let queued: Vec<_> = std::iter::from_fn(|| attempt().ok()).take(10).collect();
    assert!(!queued.is_empty());
    assert_eq!(attempt().unwrap_err(), Failure::No(String::from("no answer within 100ms")));
}

#[test]
fn what_the_system_forbids_is_told_apart_from_what_does_not_answer() {
    for errno in [Errno::EACCES, Errno::EPERM, Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS] {
        assert_eq!(Failure::of(errno), Failure::Refused(errno.desc().into()));
    }
    for errno in [Errno::ECONNREFUSED, Errno::ENOENT, Errno::EHOSTUNREACH, Errno::EADDRNOTAVAIL] {
        assert_eq!(Failure::of(errno), Failure::No(errno.desc().into()));
    }
}

#[test]
fn the_status_decides_and_hints_before_it_do_not() {
    let ok: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(answered("/a?b=c", "200", "", &[ok]), Ok(()));
    assert_eq!(answered("/", "200", "", &[b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", ok]), Ok(()));
    assert_eq!(answered("/", "200-399", "", &[b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n"]), Ok(()));
    let no = |text: &str| Err(Failure::No(text.into()));
    assert_eq!(answered("/", "204,300-399", "", &[ok]), no("status 200 (expected 204,300-399)"));
    assert_eq!(answered("/", "200", "", &[]), no("the connection was closed without an answer"));
    assert_eq!(answered("/", "200", "", &[b"HTTP/1.1 200"]), no("the connection was closed within the answer"));
}

#[test]
fn a_body_that_nobody_wants_is_taken_so_that_the_server_sees_an_orderly_end() {
    let (listener, endpoint) = listener("127.0.0.1:0").unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = accept(&listener);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n").unwrap();
        stream.write_all(&[b'x'; 50_000]).unwrap();
        stream.read(&mut [0])
    });
    let http = Http::parse(&endpoint.to_string()).unwrap();
    let request = Request { http, headers: Vec::new(), statuses: Statuses::default(), contains: String::new() };
    assert_eq!(http::ask(&request, &soon()), Ok(()));
    assert_eq!(server.join().unwrap().unwrap(), 0, "closed, not reset");
}

#[test]
fn a_head_without_end_is_not_read_for_ever() {
    let line = [b"X: ".as_slice(), &[b'x'; 100_000]].concat();
    let Err(Failure::No(problem)) = answered("/", "200", "", &[b"HTTP/1.1 200 OK\r\n", &line]) else { panic!() };
    assert!(problem.contains("more than 64 KiB"), "{problem}");
}

#[test]
fn a_text_has_to_be_in_the_body_whatever_carries_it() {
    let no = Err(Failure::No(String::from("status 200, but \"ready\" is not in the body")));
    for (parts, expected) in [
        (&[&b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nre"[..], b"ady!"][..], Ok(())),
        (&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n", b"2\r\ndy\r\n0\r\n\r\n"], Ok(())),
        (&[b"HTTP/1.1 200 OK\r\n\r\nnot r", b"eady"], Ok(())),
        (&[b"HTTP/1.1 200 ready\r\nX: ready\r\n\r\nnot yet"], no.clone()),
        (&[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nready"], no.clone()),
    ] {
        assert_eq!(answered("/", "200", "ready", parts), expected, "{parts:?}");
    }
}
