//! Bytes that come through a control FIFO, and the records that answer them.
//!
//! Owns: what must hold for them. Must never: know what a command does.

use zei::name::ServiceName;
use zei::protocol::control::{Ack, LINE, Lines, RECORD, Reject, Request, Verb, parse};

/// The first byte says how the others come in pieces.
pub(super) fn run(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let whole = fed([bytes]);
    assert_eq!(fed(bytes.chunks(usize::from(*how).max(1))), whole, "in pieces of {how}");
    let at = usize::from(*how).min(bytes.len());
    assert_eq!(fed([&bytes[..at], &bytes[at..]]), whole, "cut at {at}");
    assert_eq!(fed(bytes.split_inclusive(|byte| *byte == b'\n')), whole, "line by line");

    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let finished = &lines[..lines.len() - 1];
    let told = finished.iter().filter(|line| line.len() >= LINE || !line.trim_ascii().is_empty());
    let expected: Vec<Result<Vec<u8>, Reject>> =
        told.map(|line| if line.len() >= LINE { Err(Reject::TooLong) } else { Ok(line.to_vec()) }).collect();
    assert_eq!(whole, expected);
    lines.iter().for_each(|line| request(line));
    bytes.chunks(RECORD).for_each(ack);
}

fn fed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Result<Vec<u8>, Reject>> {
    let (mut lines, mut all) = (Lines::default(), Vec::new());
    for piece in pieces {
        lines.feed(piece, |line| all.push(line.map(<[u8]>::to_vec)));
    }
    all
}

fn request(line: &[u8]) {
    match parse(line) {
        Ok(request) => {
            assert!(std::str::from_utf8(line).is_ok_and(|text| !text.contains(|c: char| c.is_control() && c != '\t')));
            reads_back(&request, line);
        }
        Err((token, reject)) => {
            assert_ne!(reject, Reject::TooLong, "that is known before");
            assert!(token.is_none() || !matches!(reject, Reject::Token | Reject::NotText));
            assert!(!reject.to_string().is_empty());
        }
    }
}

fn reads_back(request: &Request, line: &[u8]) {
    let text = request.to_string();
    let inside = text.strip_suffix('\n').expect("a line");
    assert_eq!(parse(inside.as_bytes()), Ok(*request), "{text:?}");
    // A signal's name may be longer than its number.
    assert!(text.len() <= line.len() + 1 + "RTMIN+30".len(), "{text:?}");
    let good = |token: &str| (8..=32).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    assert!(request.token.is_none_or(|token| good(&token)), "{text:?}");
    match request.verb {
        Verb::Forget | Verb::Add => assert!(!request.argument.is_empty()),
        Verb::Signal(number) => assert!((1..=64).contains(&number)),
        _ => assert!(request.argument.is_empty()),
    }
    if let Ok(name) = ServiceName::parse(request.argument) {
        assert!(!name.as_str().contains('/') && !name.as_str().starts_with('.'));
    }
}

fn ack(record: &[u8]) {
    if let Some(ack) = Ack::decode(record) {
        let bytes = ack.encode();
        let again = Ack::decode(&bytes).expect("its own bytes");
        assert_eq!((again.token, again.at, again.encode()), (ack.token, ack.at, bytes));
        assert!(again.progress == ack.progress, "{ack:?}");
        assert!(bytes.ends_with(b"\n"));
    }
}
