//! How far a supervisor has come in what it has taken from its control FIFO.
//!
//! Owns: the position, as it stands in the run record. Must never: change in another write than the state that came of the
//! line before it.
//!
//! What comes out of the FIFO is moved beside the record in the system call that takes it, so a supervisor that is killed
//! leaves to its successor whatever it has not acted on. There it lies in one of two halves, from its begin up to the
//! first zero that only zeros follow. Once it is acted on, what is left of it (an unfinished line, mostly nothing) is
//! copied to the other half, and the next record says so: at each instant one of the two is whole.

use crate::protocol::control::LINE;

/// The length of a half in bytes: a line and its newline fit.
pub const HALF: usize = LINE;

/// Where the first byte lies that is not acted on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// It is in the second half.
    pub second: bool,
    /// So many bytes in front of it are acted on; at most [`HALF`].
    pub at: usize,
}

impl Heard {
    /// At the begin of the other half.
    pub const fn turned(self) -> Heard {
        Heard { second: !self.second, at: 0 }
    }

    /// Where its half begins, seen from the begin of both.
    pub const fn begin(self) -> usize {
        if self.second { HALF } else { 0 }
    }

    /// Its word in a record.
    pub const fn encode(self) -> u64 {
        (self.at as u64) << 1 | self.second as u64
    }

    /// Reads such a word.
    pub fn decode(word: u64) -> Option<Heard> {
        let at = usize::try_from(word >> 1).ok().filter(|at| *at <= HALF)?;
        Some(Heard { second: word & 1 == 1, at })
    }
}

/// What of a half was written.
pub fn written(half: &[u8]) -> &[u8] {
    let length = half.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    half.get(..length).unwrap_or_default()
}

/// What of it can be acted on: whole lines with their newlines, or all of a half that no line has room in.
pub fn next_piece(written: &[u8], at: usize) -> Option<&[u8]> {
    let rest = written.get(at..)?;
    match rest.split_inclusive(|byte| *byte == b'\n').next() {
        Some(piece) if piece.ends_with(b"\n") || piece.len() == HALF => Some(piece),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_an_unfinished_one_waits_unless_nothing_more_has_room() {
        let text = b"- stop\n\n- start\n- re";
        assert_eq!(next_piece(text, 0), Some(&b"- stop\n"[..]));
        assert_eq!(next_piece(text, 7), Some(&b"\n"[..]));
        assert_eq!(next_piece(text, 8), Some(&b"- start\n"[..]));
        for at in [16, text.len(), text.len() + 1] {
            assert_eq!(next_piece(text, at), None);
        }
        assert_eq!(next_piece(&[b'x'; HALF - 1], 0), None);
        assert_eq!(next_piece(&[b'x'; HALF], 0), Some(&[b'x'; HALF][..]));
        assert_eq!(next_piece(&[b'x'; HALF], 1), None, "there is room in the other half");
    }

    #[test]
    fn a_half_ends_where_only_zeros_follow() {
        let mut half = [0; HALF];
        assert_eq!(written(&half), b"");
        half[..6].copy_from_slice(b"- s\0op");
        assert_eq!(written(&half), b"- s\0op");
    }

    #[test]
    fn a_position_is_read_back_from_its_word_and_none_lies_outside() {
        for second in [false, true] {
            for at in [0, 1, HALF] {
                assert_eq!(Heard::decode(Heard { second, at }.encode()), Some(Heard { second, at }));
            }
            assert_eq!(Heard::decode(Heard { second, at: HALF + 1 }.encode()), None);
        }
        assert_eq!(Heard { second: true, at: 7 }.turned().begin(), 0);
    }
}
