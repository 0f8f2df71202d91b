//! zei-probe as a user meets it: the real program, and listeners of this test.
// The helpers below are parts of tests.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use zei_tests::{PATIENCE, program};

/// The exit code and what was said; standard output is always empty.
fn probe(arguments: &[&str]) -> (i32, String) {
    outcome(Command::new(program("zei-probe")).args(arguments))
}

fn outcome(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"", "{output:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn yes() -> (i32, String) {
    (0, String::new())
}

fn no(text: &str) -> (i32, String) {
    (1, format!("zei-probe: {text}\n"))
}

/// A listener, and its port.
fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port on which nobody listens: who listened is gone.
fn refusing() -> u16 {
    listener().1
}

/// Answers one request on a stream.
fn answer(mut stream: impl Read + Write, answer: &str) -> String {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        asked.extend(byte);
    }
    stream.write_all(answer.as_bytes()).unwrap();
    String::from_utf8(asked).unwrap()
}

/// An HTTP server for one request, which it returns.
fn server(text: &'static str) -> (u16, JoinHandle<String>) {
    let (listener, port) = listener();
    (port, thread::spawn(move || answer(listener.accept().unwrap().0, text)))
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nready\n";

#[test]
fn a_port_that_accepts_is_a_yes_and_is_left_at_once() {
    let (listener, port) = listener();
    for target in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!(":{port}"), format!("{port}")] {
        assert_eq!(probe(&["tcp", &target]), yes(), "{target}");
        let (mut stream, _) = listener.accept().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the connection was closed");
    }
}

#[test]
fn a_port_that_refuses_is_a_no_that_says_so() {
    let port = refusing();
    assert_eq!(probe(&["tcp", &format!("127.0.0.1:{port}")]), no(&format!("tcp 127.0.0.1:{port}: Connection refused")));
    assert_eq!(probe(&["tcp", &port.to_string()]), no(&format!("tcp localhost:{port}: Connection refused")));
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(probe(&["http", &url]), no(&format!("http {url}: Connection refused")));
}

#[test]
fn an_ipv6_address_is_asked_in_brackets() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        zei_tests::skipped("IPv6");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    assert_eq!(probe(&["tcp", &format!("[::1]:{port}")]), yes());
    assert_eq!(probe(&["tcp", &port.to_string()]), yes(), "found though 127.0.0.1 refuses");
}

#[test]
fn the_status_of_an_http_answer_decides() {
    for (status, options, good) in [
        ("200 OK", &[][..], true),
        ("302 Found", &[], true),
        ("404 Not Found", &[], false),
        ("503 Service Unavailable", &[], false),
        ("404 Not Found", &["--status", "200,404"], true),
        ("200 OK", &["--status=204"], false),
    ] {
        let text: &'static str = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").leak();
        let (port, server) = server(text);
        let url = format!("http://127.0.0.1:{port}/health");
        let (code, said) = probe(&[&["http", url.as_str()], options].concat());
        let line = format!("zei-probe: http {url}: status {} ", &status[..3]);
        let expected = if good { code == 0 && said.is_empty() } else { code == 1 && said.starts_with(&line) };
        assert!(expected, "{status} {options:?}: {code} {said}");
        assert!(server.join().unwrap().starts_with("GET /health HTTP/1.1\r\n"));
    }
}

#[test]
fn headers_are_sent_and_a_text_is_looked_for_in_the_body() {
    for (text, expected) in [("ready", yes()), ("steady", no("status 200, but \"steady\" is not in the body"))] {
        let (port, server) = server(OK);
        let url = format!(":{port}");
        let (code, said) = probe(&["http", &url, "--contains", text, "--header", "Host: a.example", "--header=X: 1"]);
        assert_eq!((code, said.replace(&format!("http http://localhost{url}/: "), "")), expected);
        let asked = server.join().unwrap();
        assert!(asked.contains("\r\nHost: a.example\r\n") && asked.contains("\r\nX: 1\r\n"), "{asked}");
        assert_eq!(asked.matches("Host:").count(), 1, "{asked}");
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_given_up_at_the_timeout() {
    let (listener, port) = listener();
    let begin = Instant::now();
    let said = probe(&["http", &format!(":{port}/"), "--timeout", "200ms"]);
    assert_eq!(said, no(&format!("http http://localhost:{port}/: no answer within 200ms")));
    assert!((Duration::from_millis(200)..PATIENCE).contains(&begin.elapsed()));
    drop(listener);
}

#[test]
fn a_server_that_says_a_little_again_and_again_gains_no_time() {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        // Until the other end is closed; the time to read is the pause between two bytes.
        let mut byte = b"HTTP/1.1 200 OK\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
        while stream.write_all(&[*byte.next().unwrap()]).is_ok() {
            if matches!(stream.read(&mut [0; 1024]), Ok(0)) {
                break;
            }
        }
    });
    let said = probe(&["http", &format!(":{port}/"), "--timeout", "300ms"]);
    assert_eq!(said, no(&format!("http http://localhost:{port}/: no answer within 300ms")));
    server.join().unwrap();
}

#[test]
fn what_is_no_http_is_a_no() {
    let (listener, port) = listener();
    let server = thread::spawn(move || listener.accept().unwrap().0.write_all(b"220 mail.example ESMTP\r\n"));
    let (code, said) = probe(&["http", &format!(":{port}")]);
    assert_eq!(code, 1);
    assert!(said.contains("the answer is no HTTP"), "{said}");
    server.join().unwrap().unwrap();
}

#[test]
fn unix_sockets_are_asked_by_path_and_by_abstract_name() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let path = path.to_str().unwrap();
    assert_eq!(probe(&["unix", path]), no(&format!("unix {path}: No such file or directory")));
    let listener = UnixListener::bind(path).unwrap();
    assert_eq!(probe(&["unix", path]), yes());
    let server = thread::spawn(move || {
        let (mut left, _) = listener.accept().unwrap();
        assert_eq!(left.read(&mut [0]).unwrap(), 0, "the first connection was closed");
        answer(listener.accept().unwrap().0, OK)
    });
    assert_eq!(probe(&["http", &format!("unix:{path}:/health")]), yes());
    assert!(server.join().unwrap().starts_with("GET /health HTTP/1.1\r\nHost: localhost\r\n"));
    assert_eq!(probe(&["unix", path]), no(&format!("unix {path}: Connection refused")), "only the file is left");

    let name = format!("zei-probe-{}", std::process::id());
    let shown = format!("@{name}");
    assert_eq!(probe(&["unix", &shown]), no(&format!("unix {shown}: Connection refused")));
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    assert_eq!(probe(&["unix", &shown]), yes());
}

#[test]
fn bad_usage_is_100_and_asks_nothing() {
    for (arguments, problem) in [
        (&[][..], "nothing to ask"),
        (&["tcp", "0"], "\"0\" is no port"),
        (&["http", "https://127.0.0.1/"], "https is not spoken here"),
        (&["udp", "53"], "\"udp\" is none of tcp, unix and http"),
    ] {
        let (code, said) = probe(arguments);
        assert_eq!(code, 100, "{said}");
        assert!(said.contains(problem) && said.ends_with("; see zei-probe --help\n"), "{said}");
    }
}

/// Copies a program to where every user can execute it.
fn copy(name: &str, directory: &Path) -> String {
    let path = directory.join(name);
    zei_tests::copy_program(program(name), &path);
    for path in [directory, &path] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_socket_that_may_not_be_used_is_111() {
    if !nix::unistd::geteuid().is_root() {
        zei_tests::skipped("root");
        return;
    }
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    let (drop, probe) = (copy("zei-setuidgid", directory.path()), copy("zei-probe", directory.path()));
    let said = outcome(Command::new(drop).args(["65534", &probe, "unix", socket.to_str().unwrap()]));
    assert_eq!(said, (111, format!("zei-probe: unix {}: Permission denied\n", socket.display())));
}

#[test]
fn a_resolver_that_never_answers_does_not_outlast_the_timeout() {
    // The resolver's port can't be chosen; the address can.
    let Ok(silent) = UdpSocket::bind("127.0.0.53:53").or_else(|_| UdpSocket::bind("127.0.0.77:53")) else {
        zei_tests::skipped("root");
        return;
    };
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("resolv.conf");
    fs::write(&file, format!("nameserver {}\n", silent.local_addr().unwrap().ip())).unwrap();
    let script = r#"mount --bind "$1" /etc/resolv.conf && shift && exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(file).arg(program("zei-probe"));
    let begin = Instant::now();
    let said = outcome(command.args(["tcp", "silent.example:80", "--timeout", "200ms"]));
    assert_eq!(said, no("tcp silent.example:80: the name was not resolved within 200ms"));
    // The resolver itself would wait for 5 s, twice.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}
