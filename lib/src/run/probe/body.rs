//! The body of an answer.
//!
//! Owns: where it ends, and what of it is framing. Must never: read from anywhere.

use std::borrow::Cow;

/// How the end of a body is known (RFC 9112, section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// After so many bytes.
    Length(usize),
    /// After a chunk of length 0.
    Chunked,
    /// When the connection is closed.
    ToTheEnd,
}

/// What of a body has come, and whether that is all.
pub fn decode<'a>(kind: &Kind, raw: &'a [u8]) -> Result<(Cow<'a, [u8]>, bool), String> {
    match kind {
        Kind::Length(length) => Ok((Cow::Borrowed(raw.get(..*length).unwrap_or(raw)), raw.len() >= *length)),
        Kind::ToTheEnd => Ok((Cow::Borrowed(raw), false)),
        Kind::Chunked => chunks(raw).map(|(body, complete)| (Cow::Owned(body), complete)),
    }
}

fn chunks(mut raw: &[u8]) -> Result<(Vec<u8>, bool), String> {
    let mut body = Vec::new();
    loop {
        let (start, length) = match httparse::parse_chunk_size(raw) {
            Ok(httparse::Status::Complete((start, length))) => (start, usize::try_from(length).unwrap_or(usize::MAX)),
            Ok(httparse::Status::Partial) => return Ok((body, false)),
            Err(_) => return Err(String::from("the chunks of the answer are broken")),
        };
        if length == 0 {
            return Ok((body, true));
        }
        let data = raw.get(start..).unwrap_or_default();
        body.extend_from_slice(data.get(..length).unwrap_or(data));
        // A line's end follows the data.
        match data.get(length.saturating_add(2)..) {
            Some(rest) => raw = rest,
            None => return Ok((body, false)),
        }
    }
}

/// Whether one text is in another; an empty one never is.
pub fn find(body: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && body.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_body_ends_by_its_length_or_by_the_end_of_the_connection() {
        let all = |body: &'static str, complete| Ok((Cow::Borrowed(body.as_bytes()), complete));
        assert_eq!(decode(&Kind::Length(5), b"hell"), all("hell", false));
        assert_eq!(decode(&Kind::Length(5), b"hello, world"), all("hello", true));
        assert_eq!(decode(&Kind::Length(0), b""), all("", true));
        assert_eq!(decode(&Kind::ToTheEnd, b"hello"), all("hello", false));
    }

    #[test]
    fn broken_chunks_are_an_error() {
        assert!(decode(&Kind::Chunked, b"hello\r\n").is_err());
        assert_eq!(decode(&Kind::Chunked, b"ffffffffffffffff\r\nab").unwrap(), (Cow::Borrowed(&b"ab"[..]), false));
    }

    #[test]
    fn a_text_is_found_wherever_it_stands_but_an_empty_one_nowhere() {
        for wanted in ["hello", "lo", "h", "ell"] {
            assert!(find(b"hello", wanted.as_bytes()), "{wanted}");
        }
        for wanted in ["", "world", "hello!"] {
            assert!(!find(b"hello", wanted.as_bytes()), "{wanted}");
        }
    }

    proptest! {
        #[test]
        fn chunks_join_to_what_was_cut_and_any_part_of_them_to_a_part_of_it(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut raw = Vec::new();
            for part in &parts {
                raw.extend(format!("{:x};name=value\r\n", part.len()).bytes().chain(part.iter().copied()).chain(*b"\r\n"));
            }
            raw.extend(b"0\r\n\r\n");
            let whole = parts.concat();
            prop_assert_eq!(decode(&Kind::Chunked, &raw), Ok((Cow::Borrowed(&whole[..]), true)));
            let (body, complete) = decode(&Kind::Chunked, &raw[..cut.index(raw.len() - 4)]).unwrap();
            prop_assert!(!complete && whole.starts_with(&body));
        }
    }
}
