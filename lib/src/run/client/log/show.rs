//! How a line of kept output is shown.
//!
//! Owns: the forms, and what a terminal must not be told. Must never: read or write a file.

use super::lines::Line;
use crate::protocol::instant;
use crate::protocol::log::Stream;
use crate::visible::make_visible;
use serde::Serialize;

/// The form in which lines are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Form {
    /// As JSON; then nothing of the rest matters.
    pub(super) json: bool,
    /// The time before each.
    pub(super) timestamps: bool,
    /// The service's name before each, filled up to this width.
    pub(super) names: Option<usize>,
    /// A terminal shows them.
    pub(super) terminal: bool,
}

#[derive(Serialize)]
struct Object<'a> {
    time: &'a str,
    service: &'a str,
    run: Option<u64>,
    stream: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

impl Form {
    /// Appends a line.
    pub(super) fn write(&self, out: &mut Vec<u8>, service: &str, line: &Line) {
        let time = instant::encode(line.at);
        if self.json {
            let object = Object {
                time: std::str::from_utf8(&time).unwrap_or_default(),
                service,
                run: line.run,
                stream: line.stream.word(),
                message: &String::from_utf8_lossy(&line.text),
                partial: line.partial,
            };
            out.extend_from_slice(super::super::json(&object).as_bytes());
            return;
        }
        if self.timestamps {
            out.extend_from_slice(&time);
            out.push(b' ');
        }
        if let Some(width) = self.names {
            out.extend_from_slice(format!("{service:width$} | ").as_bytes());
        }
        if line.stream == Stream::Zei {
            out.extend_from_slice(b"zei: ");
        }
        if self.terminal {
            make_visible(&line.text, out);
        } else {
            out.extend_from_slice(&line.text);
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stream: Stream, text: &[u8]) -> Line {
        Line { at: 1_796_068_294_123, run: Some(3), stream, text: text.into(), partial: false }
    }

    fn shown(form: Form, line: &Line) -> Vec<u8> {
        let mut out = Vec::new();
        form.write(&mut out, "web", line);
        out
    }

    #[test]
    fn each_form_is_as_documented() {
        let plain = Form::default();
        let line = line(Stream::Out, b"a\x1b[2J\xff\r");
        assert_eq!(shown(plain, &line), b"a\x1b[2J\xff\r\n");
        assert_eq!(shown(Form { names: Some(5), ..plain }, &line), b"web   | a\x1b[2J\xff\r\n");
        let all = Form { timestamps: true, names: Some(3), terminal: true, ..plain };
        assert_eq!(shown(all, &line), "2026-11-30T19:51:34.123Z web | a^[[2J\u{fffd}\n".as_bytes());
        let note = Line { stream: Stream::Zei, run: None, text: b"12 lines dropped".to_vec(), ..line.clone() };
        assert_eq!(shown(plain, &note), b"zei: 12 lines dropped\n");
        let json = Form { json: true, ..all };
        let expected =
            r#"{"time":"2026-11-30T19:51:34.123Z","service":"web","run":3,"stream":"out","message":"a\u001b[2J�\r"}"#;
        assert_eq!(String::from_utf8(shown(json, &line)).unwrap(), format!("{expected}\n"));
        let expected = r#"{"time":"2026-11-30T19:51:34.123Z","service":"web","run":null,"stream":"zei","message":"12 lines dropped","partial":true}"#;
        assert_eq!(String::from_utf8(shown(json, &Line { partial: true, ..note })).unwrap(), format!("{expected}\n"));
    }
}
