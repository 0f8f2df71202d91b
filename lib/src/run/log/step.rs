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
    /// Its begin can't be kept, or is out already: what is there is passed on.
    Crowded,
    /// It was waited for long enough, or nothing more will come: what is there is passed on, also if it could be the
    /// begin of a mark.
    Over,
}

/// What a stream holds that is not passed on yet.
#[derive(Clone, Copy, Debug)]
pub struct View<'w> {
    /// Its first bytes.
    pub window: &'w [u8],
    /// So many bytes get out in one piece.
    pub atomic: usize,
    /// How a line without end is treated.
    pub patience: Patience,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing, until more has come or the line without end was waited for long enough.
    Wait,
    /// So many bytes are to be written and taken out. `ends`: they end with a newline; if not, none of them is one.
    Write {
        /// Counted from the window's begin.
        length: usize,
        /// Whether a line ends there.
        ends: bool,
    },
    /// A run begins: a line that has no end is to be ended, then so many bytes to be taken out.
    Begin {
        /// Counted from the window's begin.
        length: usize,
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
    let View { window, atomic, patience } = *view;
    let near = window.len().min(atomic);
    let (mut end, mut after) = text_end(window, 0, near, marks);
    if let Some(at) = window.get(..end).and_then(|text| memrchr(b'\n', text)) {
        return Step::Write { length: at + 1, ends: true };
    }
    if after == After::Open {
        (end, after) = text_end(window, near, window.len(), marks);
        if let Some(at) = window.get(near..end).and_then(|text| memchr(b'\n', text)) {
            return Step::Write { length: near + at + 1, ends: true };
        }
    }
    if after == After::Unfinished && patience == Patience::Over {
        // A mark comes in one piece.
        (end, after) = (window.len(), After::Open);
    }
    match after {
        After::Mark(length, run) if end == 0 => Step::Begin { length, run },
        After::Open | After::Unfinished if end == 0 || patience == Patience::Fresh => Step::Wait,
        After::Mark(..) | After::Open | After::Unfinished => Step::Write { length: end, ends: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::boundary;
    use proptest::prelude::*;

    const TOKEN: u64 = 9;

    fn step(window: &[u8], patience: Patience) -> Step {
        next(&View { window, atomic: 8, patience }, &Marks::of(TOKEN))
    }

    #[test]
    fn whole_lines_go_at_once_and_a_line_without_end_waits() {
        use Patience::{Crowded, Fresh, Over};
        let write = |length, ends| Step::Write { length, ends };
        for (window, patience, expected) in [
            ("a\nb\nc", Fresh, write(4, true)),
            ("a\n1234567\n", Fresh, write(2, true)),
            ("123456789\nb\n", Fresh, write(10, true)),
            ("c", Fresh, Step::Wait),
            ("c", Crowded, write(1, false)),
            ("123456789", Over, write(9, false)),
            ("", Over, Step::Wait),
            ("\0zei-ru", Fresh, Step::Wait),
            ("\0zei-ru", Crowded, Step::Wait),
            ("a\0zei-ru", Crowded, write(1, false)),
            ("a\n\0zei-ru", Fresh, write(2, true)),
            ("a\0zei-ru", Over, write(8, false)),
        ] {
            assert_eq!(step(window.as_bytes(), patience), expected, "{window:?} {patience:?}");
        }
    }

    #[test]
    fn a_mark_ends_the_line_before_it() {
        let mark = boundary::encode(TOKEN, 5);
        let length = mark.as_bytes().len();
        let window = [b"ab", mark.as_bytes(), b"c\n"].concat();
        assert_eq!(step(&window, Patience::Fresh), Step::Write { length: 2, ends: false });
        assert_eq!(step(&window[2..], Patience::Fresh), Step::Begin { length, run: 5 });
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
            all in written(), pieces in prop::collection::vec((1..60usize, 1..70usize, 0..3usize), 0..60), atomic in 1..20usize,
        ) {
            let (bytes, output, runs) = expected(&all);
            let (mut filled, mut base, mut open) = (0usize, 0usize, false);
            let (mut out, mut begun) = (Vec::new(), Vec::new());
            let over = core::iter::once((bytes.len(), usize::MAX, 2));
            for (more, look, patience) in pieces.into_iter().chain(over) {
                // A mark stands in one piece.
                let mut end = (filled + more).min(bytes.len());
                while (filled..end).any(|at| matches!(Marks::of(TOKEN).read(&bytes[at..end]), Read::Unfinished)) {
                    if end == bytes.len() { break; }
                    end += 1;
                }
                filled = end;
                let patience = [Patience::Fresh, Patience::Crowded, Patience::Over][patience];
                loop {
                    let window = &bytes[base..filled.min(base.saturating_add(look))];
                    // Of a window that is cut nobody says that the rest won't come.
                    let is_cut = base + window.len() < filled;
                    let patience = if is_cut && patience == Patience::Over { Patience::Crowded } else { patience };
                    match next(&View { window, atomic, patience }, &Marks::of(TOKEN)) {
                        Step::Wait => break,
                        Step::Write { length, ends } => {
                            prop_assert!(length > 0, "nothing is done");
                            prop_assert_eq!(ends, window[length - 1] == b'\n');
                            prop_assert!(ends || window[..length].iter().all(|byte| *byte != b'\n'));
                            out.extend_from_slice(&window[..length]);
                            open = !ends;
                            base += length;
                        }
                        Step::Begin { length, run } => {
                            if core::mem::take(&mut open) { out.push(b'\n'); }
                            begun.push(run);
                            base += length;
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
