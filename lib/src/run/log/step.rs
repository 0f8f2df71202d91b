//! What is to be done next with what a log pipe holds.
//!
//! Owns: where lines end, where marks of runs begin, and when a line that has no end is passed on. Must never: touch
//! the system, or remember anything.

use crate::protocol::boundary::{Marks, Read};
use memchr::{memchr, memrchr};

/// What is known of a line whose end has not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// It may come soon.
    Fresh,
    /// It was waited for long enough: what is there is passed on, and stays in the pipe until the rest is there.
    Due,
    /// The pipe can't hold more of it: what is there is passed on and taken out.
    Crowded,
    /// Nothing more will come.
    Over,
}

/// What the pipe holds.
#[derive(Clone, Copy, Debug)]
pub struct View<'w> {
    /// Its bytes, or the first of them.
    pub window: &'w [u8],
    /// So many of them are passed on already: the begin of a line.
    pub delivered: usize,
    /// So many bytes get out in one piece.
    pub atomic: usize,
    /// How a line without end is treated.
    pub patience: Patience,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing, until more has come or the line without end is due.
    Wait,
    /// What is not delivered yet up to `to` is to be written, then `consume` bytes to be taken out of the pipe.
    /// `ends`: a line ends there.
    Write {
        /// An index in the window.
        to: usize,
        /// Counted from the window's begin.
        consume: usize,
        /// Whether what is written ends with a newline.
        ends: bool,
    },
    /// A run begins: a line that has no end is to be ended, then `consume` bytes to be taken out of the pipe.
    Begin {
        /// Counted from the window's begin.
        consume: usize,
        /// Its number.
        run: u64,
    },
}

/// What stands behind some text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// Nothing is known yet.
    Open,
    /// The begin of a mark, perhaps.
    Unfinished,
    /// A mark of so many bytes, with which this run begins.
    Mark(usize, u64),
}

/// Where the text that begins at `from` ends, if a mark begins before `to`, and what follows.
pub fn text_end(window: &[u8], from: usize, to: usize, marks: &Marks) -> (usize, After) {
    let mut at = from;
    while let Some(found) = window.get(at..to).and_then(|rest| memchr(0, rest)) {
        at += found;
        match marks.read(window.get(at..).unwrap_or_default()) {
            Read::Other => at += 1,
            Read::Unfinished => return (at, After::Unfinished),
            Read::Mark { length, run } => return (at, After::Mark(length, run)),
        }
    }
    (to, After::Open)
}

/// The next step. Whole lines come first, as many as get out in one piece.
pub fn next(view: &View<'_>, marks: &Marks) -> Step {
    let View { window, delivered, atomic, patience } = *view;
    let near = window.len().min(delivered.saturating_add(atomic));
    let (mut end, mut after) = text_end(window, delivered, near, marks);
    if let Some(at) = window.get(delivered..end).and_then(|text| memrchr(b'\n', text)) {
        let to = delivered + at + 1;
        return Step::Write { to, consume: to, ends: true };
    }
    if after == After::Open {
        (end, after) = text_end(window, near, window.len(), marks);
        if let Some(at) = window.get(near..end).and_then(|text| memchr(b'\n', text)) {
            let to = near + at + 1;
            return Step::Write { to, consume: to, ends: true };
        }
    }
    if after == After::Unfinished && matches!(patience, Patience::Due | Patience::Over) {
        // A mark comes in one piece.
        (end, after) = (window.len(), After::Open);
    }
    match after {
        After::Mark(length, run) if end == delivered => Step::Begin { consume: end + length, run },
        After::Mark(..) => Step::Write { to: end, consume: 0, ends: false },
        After::Open | After::Unfinished => match patience {
            Patience::Fresh => Step::Wait,
            Patience::Due if end == delivered => Step::Wait,
            Patience::Due => Step::Write { to: end, consume: 0, ends: false },
            Patience::Crowded | Patience::Over if end == 0 => Step::Wait,
            Patience::Crowded | Patience::Over => Step::Write { to: end, consume: end, ends: false },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::boundary;
    use proptest::prelude::*;

    const TOKEN: u64 = 9;

    fn step(window: &[u8], delivered: usize, patience: Patience) -> Step {
        next(&View { window, delivered, atomic: 8, patience }, &Marks::of(TOKEN))
    }

    #[test]
    fn whole_lines_go_at_once_and_a_line_without_end_waits_until_it_is_due() {
        use Patience::{Crowded, Due, Fresh, Over};
        let write = |to, consume, ends| Step::Write { to, consume, ends };
        for (window, delivered, patience, expected) in [
            ("a\nb\nc", 0, Fresh, write(4, 4, true)),
            ("a\n1234567\n", 0, Fresh, write(2, 2, true)),
            ("123456789\nb\n", 0, Fresh, write(10, 10, true)),
            ("c", 0, Fresh, Step::Wait),
            ("c", 0, Due, write(1, 0, false)),
            ("c", 1, Due, Step::Wait),
            ("cd", 1, Due, write(2, 0, false)),
            ("cd\ne", 1, Due, write(3, 3, true)),
            ("c", 1, Crowded, write(1, 1, false)),
            ("123456789", 0, Crowded, write(9, 9, false)),
            ("", 0, Over, Step::Wait),
            ("\0zei-ru", 0, Fresh, Step::Wait),
            ("\0zei-ru", 0, Crowded, Step::Wait),
            ("a\0zei-ru", 0, Crowded, write(1, 1, false)),
            ("\0zei-ru", 0, Due, write(7, 0, false)),
            ("\0zei-ru", 0, Over, write(7, 7, false)),
        ] {
            assert_eq!(step(window.as_bytes(), delivered, patience), expected, "{window:?} {delivered} {patience:?}");
        }
    }

    #[test]
    fn a_mark_ends_the_line_before_it() {
        let mark = boundary::encode(TOKEN, 5);
        let length = mark.as_bytes().len();
        let window = [b"ab", mark.as_bytes(), b"c\n"].concat();
        assert_eq!(step(&window, 0, Patience::Fresh), Step::Write { to: 2, consume: 0, ends: false });
        assert_eq!(step(&window, 2, Patience::Fresh), Step::Begin { consume: 2 + length, run: 5 });
        assert_eq!(step(&window[2..], 0, Patience::Fresh), Step::Begin { consume: length, run: 5 });
    }

    /// What a service writes, and the marks between.
    #[derive(Clone, Debug)]
    enum Written {
        Text(Vec<u8>),
        Mark(u64),
    }

    fn written() -> impl Strategy<Value = Vec<Written>> {
        let byte = prop_oneof![Just(b'a'), Just(b'\n'), Just(0), Just(b'z'), any::<u8>()];
        let odd = Just(boundary::encode(TOKEN + 1, 3).as_bytes().to_vec());
        let cut = (0..30usize).prop_map(|length| boundary::encode(TOKEN, 3).as_bytes()[..length.min(24)].to_vec());
        let text = prop_oneof![4 => prop::collection::vec(byte, 0..40), 1 => odd, 1 => cut].prop_map(Written::Text);
        prop::collection::vec(prop_oneof![3 => text, 1 => any::<u64>().prop_map(Written::Mark)], 0..12)
    }

    /// All bytes of the pipe, and what must come out of it.
    fn expected(all: &[Written]) -> (Vec<u8>, Vec<u8>, Vec<u64>) {
        let (mut bytes, mut output, mut runs) = (Vec::new(), Vec::<u8>::new(), Vec::new());
        for one in all {
            match one {
                Written::Text(text) => {
                    bytes.extend_from_slice(text);
                    output.extend_from_slice(text);
                }
                Written::Mark(run) => {
                    bytes.extend_from_slice(boundary::encode(TOKEN, *run).as_bytes());
                    if output.last().is_some_and(|byte| *byte != b'\n') {
                        output.push(b'\n');
                    }
                    runs.push(*run);
                }
            }
        }
        (bytes, output, runs)
    }

    proptest! {
        #[test]
        fn all_comes_out_in_order_without_the_marks_however_the_pipe_is_filled_and_looked_at(
            all in written(), pieces in prop::collection::vec((1..60usize, 1..70usize, 0..3u8), 0..60), atomic in 1..20usize,
        ) {
            let (bytes, output, runs) = expected(&all);
            let (mut filled, mut base, mut delivered, mut open) = (0usize, 0usize, 0usize, false);
            let (mut out, mut begun) = (Vec::new(), Vec::new());
            let over = core::iter::once((bytes.len(), usize::MAX, 9));
            for (more, look, patience) in pieces.into_iter().chain(over) {
                // A mark stands in one piece.
                let mut end = (filled + more).min(bytes.len());
                while (filled..end).any(|at| matches!(Marks::of(TOKEN).read(&bytes[at..end]), Read::Unfinished)) {
                    if end == bytes.len() { break; }
                    end += 1;
                }
                filled = end;
                let patience = match patience {
                    0 => Patience::Fresh,
                    1 => Patience::Due,
                    2 => Patience::Crowded,
                    _ => Patience::Over,
                };
                loop {
                    let window = &bytes[base..filled.min(base.saturating_add(look.max(delivered)))];
                    // Of a window that is cut nobody says that the rest won't come.
                    let patience = if base + window.len() < filled && patience == Patience::Due { Patience::Fresh } else { patience };
                    match next(&View { window, delivered, atomic, patience }, &Marks::of(TOKEN)) {
                        Step::Wait => break,
                        Step::Write { to, consume, ends } => {
                            prop_assert!(to > delivered || consume > 0, "nothing is done");
                            prop_assert_eq!(ends, to > delivered && window[to - 1] == b'\n');
                            prop_assert!(ends || window[delivered..to].iter().all(|byte| *byte != b'\n'));
                            out.extend_from_slice(&window[delivered..to]);
                            if to > delivered { open = !ends; }
                            base += consume;
                            delivered = if consume > 0 { 0 } else { to };
                        }
                        Step::Begin { consume, run } => {
                            if core::mem::take(&mut open) { out.push(b'\n'); }
                            begun.push(run);
                            base += consume;
                            delivered = 0;
                        }
                    }
                }
            }
            prop_assert_eq!(base, bytes.len());
            prop_assert_eq!(out, output);
            prop_assert_eq!(begun, runs);
        }
    }
}
