//! How a service's lines look in the container's streams.
//!
//! Owns: what stands before a line, and where a long line is cut. Must never: touch the system, or change a byte of a line,
//! unless a terminal is to show it.

use crate::model::pump::Format;
use crate::name::ServiceName;
use crate::visible::make_visible;
use memchr::memchr;
use std::borrow::Cow;

/// A longer line is passed on in pieces, of so many bytes at most.
pub const PIECE: usize = 32 * 1024;

/// What was passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Put {
    /// So many bytes of the text.
    pub taken: usize,
    /// They are so many bytes now.
    pub length: usize,
    /// The last line has no end yet.
    pub is_open: bool,
}

/// How the lines of one service look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// Stands before each line.
    head: Vec<u8>,
    /// What shows them obeys what stands in them.
    is_terminal: bool,
    /// They are not shown at all.
    is_hidden: bool,
}

/// The colours of names, by their numbers (ECMA-48, SGR): those that are read well on light and on dark.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

impl Label {
    /// For a service; names are `width` wide. `colour`: which one of the colours, if any.
    pub fn new(format: Format, name: ServiceName, width: usize, colour: Option<usize>, is_terminal: bool) -> Label {
        let head = match (format, colour.and_then(|number| COLOURS.get(number % COLOURS.len()))) {
            (Format::Raw | Format::Hidden, _) => String::new(),
            (Format::Prefix, None) => format!("{name:width$} | "),
            (Format::Prefix, Some(colour)) => format!("\x1b[{colour}m{name:width$} |\x1b[0m "),
        };
        let is_hidden = format == Format::Hidden;
        Label { head: head.into_bytes(), is_terminal: is_terminal && format == Format::Prefix, is_hidden }
    }

    /// Whether something stands before each line, so that what has no end gets one.
    pub fn is_lines(&self) -> bool {
        !self.head.is_empty()
    }

    /// Whether lines are not shown at all.
    pub fn is_hidden(&self) -> bool {
        self.is_hidden
    }

    /// Writes text into `room`, as many lines as fit; of a line that is longer than [`PIECE`] a piece. `goes_on`: the text
    /// begins in the middle of a line whose begin stands there last.
    pub fn put(&self, text: &[u8], goes_on: bool, room: &mut [u8]) -> Put {
        if self.head.is_empty() && text.len() <= room.len() {
            // Nothing is to be done to it.
            room.get_mut(..text.len()).unwrap_or_default().copy_from_slice(text);
            return Put {
                taken: text.len(),
                length: text.len(),
                is_open: text.last().is_some_and(|last| *last != b'\n'),
            };
        }
        let mut put = Put { is_open: goes_on, ..Put::default() };
        while let Some(rest) = text.get(put.taken..).filter(|rest| !rest.is_empty()) {
            let near = rest.get(..PIECE).unwrap_or(rest);
            let line = memchr(b'\n', near).and_then(|end| near.get(..=end)).unwrap_or(near);
            let shown = if self.is_terminal { Cow::Owned(visible(line)) } else { Cow::Borrowed(line) };
            let head: &[u8] = if put.is_open { b"" } else { &self.head };
            let (middle, end) = (put.length + head.len(), put.length + head.len() + shown.len());
            let Some(place) = room.get_mut(put.length..end) else { break };
            let (before, behind) = place.split_at_mut(middle - put.length);
            before.copy_from_slice(head);
            behind.copy_from_slice(&shown);
            put = Put { taken: put.taken + line.len(), length: end, is_open: !line.ends_with(b"\n") };
        }
        put
    }
}

/// A line for a terminal.
fn visible(line: &[u8]) -> Vec<u8> {
    let (body, end) = line.strip_suffix(b"\n").map_or((line, false), |body| (body, true));
    let mut shown = Vec::with_capacity(line.len());
    make_visible(body, &mut shown);
    if end {
        shown.push(b'\n');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn label(format: Format, is_terminal: bool) -> Label {
        Label::new(format, ServiceName::parse("web").unwrap(), 5, is_terminal.then_some(7), is_terminal)
    }

    fn put(label: &Label, text: &[u8], goes_on: bool, room: usize) -> (Put, String) {
        let mut room = vec![0; room];
        let put = label.put(text, goes_on, &mut room);
        (put, String::from_utf8_lossy(&room[..put.length]).into_owned())
    }

    #[test]
    fn each_line_bears_the_name_and_one_that_goes_on_does_not_bear_it_again() {
        let label = label(Format::Prefix, false);
        let (whole, text) = put(&label, b"one\r\n\ntwo", false, 99);
        assert_eq!((whole.taken, whole.is_open, text.as_str()), (9, true, "web   | one\r\nweb   | \nweb   | two"));
        let (whole, text) = put(&label, b" and\nthree\n", true, 99);
        assert_eq!((whole.taken, whole.is_open, text.as_str()), (11, false, " and\nweb   | three\n"));
    }

    #[test]
    fn only_whole_lines_are_put_where_not_all_fit() {
        let label = label(Format::Prefix, false);
        assert_eq!(
            put(&label, b"one\ntwo\n", false, 23),
            (Put { taken: 4, length: 12, is_open: false }, "web   | one\n".into())
        );
        assert_eq!(put(&label, b"one\n", false, 11).0, Put::default());
    }

    #[test]
    fn on_a_terminal_names_have_colours_and_nothing_is_obeyed_but_colours() {
        let label = label(Format::Prefix, true);
        let shown = |text: &str| put(&label, text.as_bytes(), false, 999).1;
        let head = "\x1b[33mweb   |\x1b[0m ";
        for (text, expected) in [
            ("plain\ttext ü\n", "plain\ttext ü\n"),
            ("dos\r\n", "dos\n"),
            ("a\rb\x08\x7f\0\n", "a^Mb^H^?^@\n"),
            ("\x1b[2J\x1b]0;title\x07\n", "^[[2J^[]0;title^G\n"),
            ("\x1b[1;31mred\n", "\x1b[1;31mred\x1b[0m\n"),
            ("\u{9b}2J\n", "<U+009B>2J\n"),
        ] {
            assert_eq!(shown(text), format!("{head}{expected}"), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_wherever_it_is_cut(
            text in prop::collection::vec(prop_oneof![3 => Just(b'\n'), 9 => any::<u8>()], 0..200), room in 9..60usize,
            is_raw in any::<bool>(),
        ) {
            let label = label(if is_raw { Format::Raw } else { Format::Prefix }, false);
            let (mut rest, mut all, mut goes_on) = (&text[..], Vec::new(), false);
            while !rest.is_empty() {
                let mut place = vec![0; room];
                let put = label.put(rest, goes_on, &mut place);
                // A line that has no room is tried with more; so does the pump, whose room is larger than a piece.
                let (put, place) = if put.taken == 0 {
                    let mut place = vec![0; 999];
                    (label.put(rest, goes_on, &mut place), place)
                } else { (put, place) };
                prop_assert!(put.taken > 0);
                prop_assert_eq!(put.is_open, rest[put.taken - 1] != b'\n');
                all.extend_from_slice(&place[..put.length]);
                rest = &rest[put.taken..];
                goes_on = put.is_open;
            }
            let lines: Vec<u8> = text.split_inclusive(|byte| *byte == b'\n').flat_map(|line| [&label.head[..], line].concat()).collect();
            prop_assert_eq!(all, lines);
        }
    }
}
