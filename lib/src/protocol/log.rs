//! The kept output of a service: the format of `log` and `log.old`, version 1.
//!
//! Owns: the bytes. Must never: open a file.
//!
//! Text is appended to `log`, and nothing in it ever changes. At a rotation it is renamed to `log.old`, in place of
//! the one before, and a new `log` begins: what stands in `log.old` came before what stands in `log`, and nothing
//! between. One record a line:
//!
//! ```text
//! 2026-11-30T19:51:34.123Z 3 out GET /health 200
//! TIME RUN STREAM TEXT
//! TIME    when zei met it, in UTC (see `instant`)
//! RUN     the run that wrote it, by the number in `status`; `-`: none is known
//! STREAM  out   a line of standard output, or its last piece
//!         err   a line of standard error, or its last piece
//!         out+  a piece of one: the line goes on in the next record of the same stream
//!         err+
//!         zei   not the service's: a note of zei's own
//! TEXT    the bytes of the line as they are: all but newline may come, and there may be none
//! ```
//!
//! A record is never longer than [`LONGEST`]. A reader passes over a line that is no record, and waits for the end of a
//! last line that has no newline yet: it has met a write half-way. A stream's last piece can be missing, where its
//! writer died.
//!
//! # Version log
//!
//! 1: the first.

use super::instant;
use crate::text::Text;
use core::fmt::Write;

/// No record is longer, in bytes with its newline; a writer makes pieces of a longer line.
pub const LONGEST: usize = 1 << 20;
/// No head of a record is longer.
pub const HEAD: usize = 64;

/// What a record holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Stream {
    /// A line of standard output, or its last piece.
    Out,
    /// A line of standard error, or its last piece.
    Err,
    /// A piece of a line of standard output.
    OutPiece,
    /// A piece of a line of standard error.
    ErrPiece,
    /// A note of zei's own.
    Zei,
}

impl Stream {
    /// All of them.
    pub const ALL: [Stream; 5] = [Stream::Out, Stream::Err, Stream::OutPiece, Stream::ErrPiece, Stream::Zei];

    /// Its word in the file.
    pub const fn word(self) -> &'static str {
        match self {
            Stream::Out => "out",
            Stream::Err => "err",
            Stream::OutPiece => "out+",
            Stream::ErrPiece => "err+",
            Stream::Zei => "zei",
        }
    }

    /// Whether the line goes on in the next record of the same stream.
    pub const fn goes_on(self) -> bool {
        matches!(self, Stream::OutPiece | Stream::ErrPiece)
    }

    /// The stream that a piece is of; itself where it is none.
    pub const fn whole(self) -> Stream {
        match self {
            Stream::Out | Stream::OutPiece => Stream::Out,
            Stream::Err | Stream::ErrPiece => Stream::Err,
            Stream::Zei => Stream::Zei,
        }
    }

    fn parse(word: &[u8]) -> Option<Stream> {
        Stream::ALL.into_iter().find(|stream| stream.word().as_bytes() == word)
    }
}

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The run that wrote it.
    pub run: Option<u64>,
    /// Where.
    pub stream: Stream,
    /// The bytes of the line.
    pub text: &'a [u8],
}

/// All that stands before the bytes of the line: `TIME RUN STREAM ` with the blank at its end. `at` is in
/// milliseconds since 1970.
pub fn head(at: u64, run: Option<u64>, stream: Stream) -> Text<HEAD> {
    let time = instant::encode(at);
    let mut head = Text::new();
    let mut put = |part: &str| {
        // All of it fits, and nothing fails to be written into a text.
        let _never_fails = head.write_str(part);
    };
    put(core::str::from_utf8(&time).unwrap_or_default());
    put(" ");
    let mut digits = [0; 20];
    put(run.map_or("-", |run| decimal(run, &mut digits)));
    put(" ");
    put(stream.word());
    put(" ");
    head
}

/// A number in digits, without the machinery that can do more: this is done for every line of every service.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &str {
    let mut begin = digits.len();
    for (at, place) in digits.iter_mut().enumerate().rev() {
        (*place, begin) = (b'0' + u8::try_from(number % 10).unwrap_or(0), at);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    core::str::from_utf8(digits.get(begin..).unwrap_or_default()).unwrap_or_default()
}

/// Reads a record from its line, without the newline; `None` if it is none.
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let at = instant::parse(words.next()?)?;
    let run = match words.next()? {
        b"-" => None,
        digits => Some(number(digits)?),
    };
    let stream = Stream::parse(words.next()?)?;
    Some(Record { at, run, stream, text: words.next()? })
}

/// A number without a sign.
fn number(digits: &[u8]) -> Option<u64> {
    let are_digits = digits.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(digits).ok().filter(|_| are_digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: u64 = 1_796_068_294_123;

    #[test]
    fn a_record_looks_as_documented() {
        for (run, stream, expected) in [
            (Some(3), Stream::Out, "2026-11-30T19:51:34.123Z 3 out "),
            (Some(0), Stream::ErrPiece, "2026-11-30T19:51:34.123Z 0 err+ "),
            (Some(1204), Stream::Err, "2026-11-30T19:51:34.123Z 1204 err "),
            (Some(u64::MAX), Stream::OutPiece, "2026-11-30T19:51:34.123Z 18446744073709551615 out+ "),
            (None, Stream::Zei, "2026-11-30T19:51:34.123Z - zei "),
        ] {
            let head = head(AT, run, stream);
            assert_eq!((head.as_str(), head.is_cut()), (expected, false));
            let line = [head.as_bytes(), b" a\r\0 \xff"].concat();
            assert_eq!(parse(&line), Some(Record { at: AT, run, stream, text: b" a\r\0 \xff" }));
            assert_eq!(parse(head.as_bytes()), Some(Record { at: AT, run, stream, text: b"" }));
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        for line in [
            "",
            "text",
            "2026-11-30T19:51:34.123Z 3 out",
            "2026-11-30T19:51:34.123Z 3",
            "2026-11-30T19:51:34.123Z  out text",
            "2026-11-30T19:51:34.123Z +3 out text",
            "2026-11-30T19:51:34.123Z 18446744073709551616 out text",
            "2026-11-30T19:51:34.123Z 3 zei+ text",
            "2026-11-30T19:51:34.123Z 3 Out text",
            "2026-11-30T19:51:34.123 3 out text",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn pieces_are_of_the_stream_that_they_go_on_in() {
        for stream in Stream::ALL {
            assert_eq!(stream.goes_on(), stream.word().ends_with('+'));
            assert_eq!(stream.whole().word(), stream.word().trim_end_matches('+'));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            at in 0..=instant::LAST, run: Option<u64>, stream in prop::sample::select(&Stream::ALL[..]),
            text in prop::collection::vec(any::<u8>().prop_filter("newline", |byte| *byte != b'\n'), 0..40),
        ) {
            let line = [head(at, run, stream).as_bytes(), &text].concat();
            prop_assert_eq!(parse(&line), Some(Record { at, run, stream, text: &text }));
        }

        #[test]
        fn any_bytes_are_a_record_or_none(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
