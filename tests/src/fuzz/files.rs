//! The files of the run directory, as a client meets them: whole, torn, of another version, or anything.
//!
//! Owns: what must hold for each reader. Must never: open a file.
//!
//! What a reader makes of bytes is written and read again, and must be the same: compared by its bytes, because what
//! was cut once is remembered as cut.

use zei::protocol::journal::{Entry, RECORD};
use zei::protocol::last::{self, Last};
use zei::protocol::status::{InitStatus, Status};
use zei::protocol::{boundary, changes, needs, sources};

/// All readers get the same bytes: each knows its own by what they begin with.
pub(super) fn run(bytes: &[u8]) {
    status(bytes);
    init_status(bytes);
    bytes.chunks(RECORD).for_each(entry);
    last_lines(bytes);
    report(bytes);
    needed(bytes);
    origins(bytes);
    marks(bytes);
}

fn status(bytes: &[u8]) {
    if let Some(status) = Status::decode(bytes) {
        let encoded = status.encode();
        assert!(!encoded.is_cut(), "{status:?}");
        let again = Status::decode(encoded.as_bytes()).expect("its own bytes");
        assert_eq!((again.encode(), again.seq, again.exit), (encoded, status.seq, status.exit));
        let cut = &encoded.as_bytes()[..encoded.as_bytes().len() - 1];
        assert_eq!(Status::decode(cut), None, "a write met half-way");
        assert_eq!(Status::decode(&[encoded.as_bytes(), bytes].concat()), Some(again), "a stale tail");
    }
}

fn init_status(bytes: &[u8]) {
    if let Some(status) = InitStatus::decode(bytes) {
        assert_eq!(InitStatus::decode(status.encode().as_bytes()), Some(status));
    }
}

fn entry(record: &[u8]) {
    if let Some(entry) = Entry::decode(record) {
        let bytes = entry.encode();
        let again = Entry::decode(&bytes);
        // The times and the names are always whole, however long the rest is.
        let again = again.unwrap_or_else(|| panic!("its own record: {entry:?}"));
        assert_eq!((again.at, again.wall), (entry.at, entry.wall));
        // A blank at the end looks like the filling.
        assert_eq!(again.service.trim_end(), entry.service.trim_end());
        assert_eq!(again.state.trim_end(), entry.state.trim_end());
        assert_eq!(Entry::decode(&again.encode()).map(|entry| entry.encode()), Some(again.encode()));
        if bytes[RECORD - 2] == b' ' {
            assert_eq!((again.pid, again.run, again.restarts), (entry.pid, entry.run, entry.restarts));
            assert_eq!((again.lost, again.ready, again.exit), (entry.lost, entry.ready, entry.exit));
        }
    }
}

fn last_lines(bytes: &[u8]) {
    if let Some(last) = Last::decode(bytes) {
        assert!(last.from <= last.text.len());
        let mut buffer = [0; last::MAX];
        let length = last.encode(&mut buffer);
        let again = Last::decode(&buffer[..length]).expect("its own bytes");
        let cut = last.text.len().saturating_sub(last::TEXT);
        let expected = Last { from: last.from.saturating_sub(cut), text: &last.text[cut..], ..last };
        assert_eq!(again, expected);
    }
    for most in [0, 1, 3] {
        let lines: Vec<&[u8]> = last::lines(bytes, most).collect();
        assert!(lines.len() <= most && !lines.iter().any(|line| line.contains(&b'\n')));
        let joined = lines.join(&b'\n');
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        assert!(body.ends_with(&joined), "the last {most} lines are the end");
    }
}

fn report(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let token = text.split('\n').next().unwrap_or_default();
    if let Some(lines) = changes::decode(token, text) {
        let encoded = changes::encode(token, &lines);
        assert_eq!(changes::decode(token, &encoded).as_ref(), Some(&lines));
        assert!(lines.iter().all(|line| !line.to_string().contains('\n')));
    }
}

fn needed(bytes: &[u8]) {
    if let Some(needed) = needs::decode(bytes) {
        let encoded = needs::encode(needed.iter().copied());
        assert_eq!(needs::decode(encoded.as_bytes()), Some(needed));
    }
}

fn origins(bytes: &[u8]) {
    let known = sources::decode(bytes);
    assert_eq!(sources::decode(&sources::encode(&known)), known);
}

fn marks(bytes: &[u8]) {
    let marks = boundary::Marks::of(0x1234);
    if let boundary::Read::Mark { length, run } = marks.read(bytes) {
        assert!(length <= bytes.len() && bytes[length - 1] == b'\n');
        let mark = boundary::encode(0x1234, run);
        assert_eq!(marks.read(mark.as_bytes()), boundary::Read::Mark { length: mark.as_bytes().len(), run });
        assert!(boundary::answers(boundary::answer(run).as_bytes(), run));
    }
    assert!(!boundary::answers(bytes, 7) || bytes.windows(2).any(|window| window == b"7\n"));
}
