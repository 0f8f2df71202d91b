//! What is read as what.

use super::*;
use proptest::prelude::*;

fn tcp(text: &str) -> String {
    Tcp::parse(text).map_or_else(|problem| problem, |tcp| format!("{:?} {}", tcp.host, tcp.port))
}

#[test]
fn a_tcp_endpoint_is_host_and_port_or_a_port_of_this_machine() {
    for (text, expected) in [
        ("5432", "Local 5432"),
        (":5432", "Local 5432"),
        ("localhost:5432", "Local 5432"),
        ("LocalHost:1", "Local 1"),
        ("127.0.0.1:65535", "Address(127.0.0.1) 65535"),
        ("[::1]:80", "Address(::1) 80"),
        ("db:5432", "Name(\"db\") 5432"),
        ("my_db.example.com.:5432", "Name(\"my_db.example.com.\") 5432"),
        ("tcp://db:5432", "Name(\"db\") 5432"),
        ("127.1:80", "Name(\"127.1\") 80"),
    ] {
        assert_eq!(tcp(text), expected, "{text}");
    }
}

#[test]
fn a_wrong_tcp_endpoint_is_explained() {
    for (text, expected) in [
        ("", "names no port"),
        ("db", "\"db\" names no port: write HOST:PORT, or PORT for this machine"),
        ("[::1]", "names no port"),
        ("0", "\"0\" is no port: a number from 1 to 65535"),
        ("db:65536", "\"65536\" is no port"),
        ("db:+80", "\"+80\" is no port"),
        ("db:", "\"\" is no port"),
        ("::1:80", "an IPv6 address stands in brackets before its port"),
        ("::1", "an IPv6 address stands in brackets before its port"),
        ("[::x]:80", "\"::x\" is no IPv6 address"),
        ("[127.0.0.1]:80", "\"127.0.0.1\" is no IPv6 address"),
        ("a b:80", "\"a b\" is neither an address nor a host name"),
        ("[::1:80", "an IPv6 address stands in brackets"),
        ("5432x:", "is no port"),
    ] {
        let said = tcp(text);
        assert!(said.contains(expected), "{text:?}: {said}");
    }
}

#[test]
fn a_unix_socket_is_a_path_or_a_name() {
    for (text, expected) in [
        ("/run/app.sock", Unix::Path("/run/app.sock".into())),
        ("app.sock", Unix::Path("app.sock".into())),
        ("unix:/run/app.sock", Unix::Path("/run/app.sock".into())),
        ("unix:///run/app.sock", Unix::Path("/run/app.sock".into())),
        ("@app", Unix::Abstract("app".into())),
    ] {
        assert_eq!(Unix::parse(text), Ok(expected), "{text}");
    }
    let long = "x".repeat(108);
    for (text, expected) in [("", "no socket is named"), ("@", "no socket is named"), (&long, "more than 107 bytes")] {
        assert!(Unix::parse(text).unwrap_err().contains(expected), "{text}");
    }
    assert!(Unix::parse(&format!("@{}", "x".repeat(107))).is_ok());
}

#[test]
fn a_url_is_read_kindly() {
    for (text, shown, host, target) in [
        ("http://127.0.0.1:8080/health?a=b#c", "http://127.0.0.1:8080/health?a=b", "127.0.0.1:8080", "/health?a=b"),
        ("http://app", "http://app/", "app", "/"),
        ("HTTP://app:80/x", "http://app/x", "app", "/x"),
        ("http://[::1]:8080", "http://[::1]:8080/", "[::1]:8080", "/"),
        ("http://[::1]/", "http://[::1]/", "[::1]", "/"),
        (":8080/path", "http://localhost:8080/path", "localhost:8080", "/path"),
        ("8080", "http://localhost:8080/", "localhost:8080", "/"),
        ("8080/path", "http://localhost:8080/path", "localhost:8080", "/path"),
        ("app:8080?x=1", "http://app:8080/?x=1", "app:8080", "/?x=1"),
        ("app/p?u=http://x/", "http://app/p?u=http://x/", "app", "/p?u=http://x/"),
        ("/path", "http://localhost/path", "localhost", "/path"),
        ("unix:/run/a.sock:/path", "unix:/run/a.sock:/path", "localhost", "/path"),
        ("unix:/run/a.sock", "unix:/run/a.sock:/", "localhost", "/"),
        ("unix:@name:/path", "unix:@name:/path", "localhost", "/path"),
    ] {
        let http = Http::parse(text).unwrap();
        assert_eq!(
            (http.to_string().as_str(), http.host.as_str(), http.target.as_str()),
            (shown, host, target),
            "{text}"
        );
    }
}

#[test]
fn a_wrong_url_is_explained() {
    for (text, expected) in [
        ("https://app/", "https is not spoken here"),
        ("ftp://app/", "ftp is not spoken here: write http://HOST:PORT/PATH"),
        ("http://me:secret@app/", "a user is no part of it"),
        ("http://app/a b", "write it in percent form"),
        ("http://app/\u{e9}", "write it in percent form"),
        ("http://app:x/", "\"x\" is no port"),
        ("http://a b/", "is neither an address nor a host name"),
        ("unix::/path", "no socket is named"),
    ] {
        let said = Http::parse(text).unwrap_err();
        assert!(said.contains(expected), "{text:?}: {said}");
    }
}

#[test]
fn statuses_are_codes_ranges_and_lists() {
    for (text, inside, outside) in [
        ("200-399", &[200, 302, 399][..], &[199, 400, 503][..]),
        ("204", &[204], &[200, 205]),
        ("200-299,401", &[200, 401], &[300, 402]),
    ] {
        let statuses = Statuses::parse(text).unwrap();
        assert!(inside.iter().all(|code| statuses.contains(*code)), "{text}");
        assert!(!outside.iter().any(|code| statuses.contains(*code)), "{text}");
        assert_eq!(statuses.to_string(), text);
    }
    assert_eq!(Statuses::default(), Statuses::parse("200-399").unwrap());
    for text in ["", "2xx", "20", "0200", "+20", "399-200", "200-", "200,", "200-600", "99"] {
        assert!(Statuses::parse(text).unwrap_err().contains("are no status codes"), "{text}");
    }
}

#[test]
fn a_header_stays_in_its_line() {
    let header = |name: &str, value: &str| Ok(Header { name: name.into(), value: value.into() });
    assert_eq!(Header::parse("Accept: text/html"), header("Accept", "text/html"));
    assert_eq!(Header::parse("X-Empty:"), header("X-Empty", ""));
    assert_eq!(Header::parse("Host:a:80"), header("Host", "a:80"));
    for text in ["", "Accept", ": x", "A b: x", "A: x\r\nB: y", "A\n: x", "A: \0"] {
        assert!(Header::parse(text).unwrap_err().contains("is no header"), "{text:?}");
    }
}

proptest! {
    #[test]
    fn what_is_read_is_written_so_that_it_reads_the_same(text in "[a-z0-9.:/@\\[\\]?#%-]{0,24}|\\PC{0,24}") {
        if let Ok(tcp) = Tcp::parse(&text) {
            prop_assert_eq!(Tcp::parse(&tcp.to_string()), Ok(tcp));
        }
        if let Ok(unix) = Unix::parse(&text) {
            prop_assert_eq!(Unix::parse(&format!("unix://{unix}")), Ok(unix));
        }
        if let Ok(http) = Http::parse(&text) {
            prop_assert_eq!(Http::parse(&http.to_string()), Ok(http));
        }
    }
}
