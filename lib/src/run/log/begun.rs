//! The begin of a line that was taken out of its log pipe before the line's end was there.
//!
//! Owns: which of it is written. Must never: hold more than [`KEPT`] bytes.
//!
//! A pipe that is not empty doesn't tell its reader of everything that is written into it (a write that has to wait
//! for room in the middle tells nobody), so nothing is left there while zei-log sleeps, but for what waits
//! for the container's stream.

use crate::model::pump::KEPT;
use memchr::memrchr;

/// What is known of the line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Begun {
    bytes: Vec<u8>,
    /// So many of them are written.
    out: usize,
    /// The line is so long that what was written of it is not kept.
    is_long: bool,
}

impl Begun {
    /// As a state has it. `again`: what was written of it is to be written once more.
    pub fn resume(bytes: Vec<u8>, out: usize, again: bool) -> Begun {
        let out = if again { 0 } else { out.min(bytes.len()) };
        Begun { bytes, out, is_long: false }
    }

    /// What is still to be written.
    pub fn kept(&self) -> &[u8] {
        self.bytes.get(self.out..).unwrap_or_default()
    }

    /// What is written.
    pub fn written(&self) -> &[u8] {
        self.bytes.get(..self.out).unwrap_or_default()
    }

    /// The whole.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// More of the line comes; none of it is written. The caller sees to it that [`Begun::kept`] stays small enough.
    pub fn keep(&mut self, text: &[u8]) {
        if self.bytes.len() + text.len() > KEPT {
            self.bytes.drain(..self.out);
            (self.out, self.is_long) = (0, true);
        }
        self.bytes.extend_from_slice(text);
    }

    /// This was written: what is kept first, then what stands in the pipe.
    pub fn deliver(&mut self, text: &[u8]) {
        if let Some(end) = memrchr(b'\n', text) {
            let rest = text.get(end + 1..).unwrap_or_default();
            *self = Begun::default();
            self.is_long = rest.len() > KEPT;
            if !self.is_long {
                self.bytes.extend_from_slice(rest);
                self.out = rest.len();
            }
            return;
        }
        let kept = self.kept().len();
        let rest = text.get(kept..).unwrap_or_default();
        self.out += text.len().min(kept);
        if self.is_long || self.out + rest.len() > KEPT {
            self.bytes.drain(..self.out);
            (self.out, self.is_long) = (0, true);
        } else {
            self.bytes.extend_from_slice(rest);
            self.out += rest.len();
        }
    }

    /// The line has ended.
    pub fn end(&mut self) {
        *self = Begun::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_kept_is_written_first_and_then_known_until_the_line_ends() {
        let mut begun = Begun::default();
        begun.keep(b"ab");
        begun.keep(b"c");
        begun.deliver(b"a");
        assert_eq!((begun.written(), begun.kept()), (&b"a"[..], &b"bc"[..]));
        begun.deliver(b"bcd");
        assert_eq!((begun.written(), begun.kept()), (&b"abcd"[..], &b""[..]));
        begun.deliver(b"e\nf\ng");
        assert_eq!((begun.written(), begun.kept()), (&b"g"[..], &b""[..]));
        assert_eq!(Begun::resume(b"abc".to_vec(), 2, true).kept(), b"abc");
        assert_eq!(Begun::resume(b"abc".to_vec(), 2, false).kept(), b"c");
    }

    proptest! {
        #[test]
        fn it_is_the_lines_begin_as_far_as_it_fits(
            steps in prop::collection::vec((any::<bool>(), 0..KEPT, prop::option::weighted(0.2, 0..KEPT)), 0..20),
        ) {
            let (mut begun, mut line, mut kept) = (Begun::default(), Vec::new(), Vec::new());
            for (number, (delivers, length, newline)) in (0u8..).zip(steps) {
                let mut text = vec![b'a' + number; length];
                if delivers {
                    if let Some(at) = newline.filter(|at| *at < length) {
                        text[at] = b'\n';
                    }
                    let all = [kept.split_off(0), text].concat();
                    begun.deliver(&all);
                    line.extend_from_slice(&all);
                    if let Some(end) = line.iter().rposition(|byte| *byte == b'\n') {
                        line.drain(..=end);
                    }
                } else if kept.len() + length <= KEPT {
                    begun.keep(&text);
                    kept.extend(text);
                }
                prop_assert_eq!(begun.kept(), &kept[..]);
                prop_assert!(begun.bytes().len() <= KEPT);
                prop_assert!(begun.written().is_empty() || begun.written() == &line[..]);
                if !begun.is_long {
                    prop_assert_eq!(begun.written(), &line[..]);
                }
            }
        }
    }
}
