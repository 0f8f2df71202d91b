//! Rotations as a reader meets them at every moment.

use super::super::super::fake::Zei;
use super::*;
use crate::protocol::log::Stream;
use proptest::prelude::*;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

/// What writes a service's log.
struct Writer {
    directory: PathBuf,
    written: u64,
}

impl Writer {
    fn new(zei: &Zei) -> Writer {
        let directory = zei.path().join(paths::SERVICES).join("web");
        fs::create_dir_all(&directory).unwrap();
        Writer { directory, written: 0 }
    }

    fn append(&self, bytes: &[u8]) {
        let file = OpenOptions::new().create(true).append(true).open(self.directory.join(paths::LOG));
        file.unwrap().write_all(bytes).unwrap();
    }

    fn line(&mut self) {
        self.written += 1;
        self.record(Stream::Out, &self.written.to_string());
    }

    fn record(&self, stream: Stream, text: &str) {
        self.append(format!("{}{text}\n", log::head(self.written, Some(1), stream)).as_bytes());
    }

    /// What was written last is in no file of the name `log` any more.
    fn rename(&self) {
        let _none_yet = fs::rename(self.directory.join(paths::LOG), self.directory.join(paths::OLD_LOG));
    }

    fn rotate(&self) {
        self.rename();
        self.append(b"");
    }
}

fn web() -> ServiceName {
    ServiceName::parse("web").unwrap()
}

fn shown(source: &mut Source<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = source.next().unwrap() {
        lines.push(String::from_utf8(line.text).unwrap());
    }
    lines
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn what_is_kept_is_read_from_the_oldest_on_and_ends_where_it_ended() {
    let zei = Zei::new();
    let (place, mut writer) = (zei.place(), Writer::new(&zei));
    assert!(!Source::open(&place, web(), false).unwrap().is_kept());
    (0..3).for_each(|_| writer.line());
    writer.rotate();
    (0..3).for_each(|_| writer.line());
    let mut source = Source::open(&place, web(), false).unwrap();
    assert!(source.is_kept());
    writer.line();
    writer.rotate();
    writer.line();
    assert_eq!(shown(&mut source), numbers(1..=6));
    // Between the two halves of a rotation.
    writer.rename();
    assert_eq!(shown(&mut Source::open(&place, web(), false).unwrap()), numbers(8..=8));
}

#[test]
fn half_a_record_is_waited_for_and_what_is_none_is_passed_over() {
    let zei = Zei::new();
    let (place, mut writer) = (zei.place(), Writer::new(&zei));
    let head = log::head(0, None, Stream::Out);
    writer.append(format!("no record\n\n{head}a\n{head}").as_bytes());
    let mut source = Source::open(&place, web(), true).unwrap();
    assert_eq!(shown(&mut source), ["a"]);
    writer.append(b"b");
    assert_eq!(shown(&mut source), [""; 0]);
    assert_eq!(shown(&mut Source::open(&place, web(), false).unwrap()), ["a"]);
    writer.append(b"c\n");
    assert_eq!(shown(&mut source), ["bc"]);
    // Its writer died, and another began a new file.
    writer.append(head.as_bytes());
    writer.rotate();
    writer.line();
    assert_eq!(shown(&mut source), ["1"]);
    // Longer than any record may be.
    let long = [head.as_bytes(), &vec![b'x'; 3 * log::LONGEST], b"\n"].concat();
    writer.append(&long);
    writer.line();
    assert_eq!(shown(&mut source), ["2"]);
}

#[test]
fn a_begun_line_is_shown_when_nothing_more_is_waited_for() {
    let zei = Zei::new();
    let (place, writer) = (zei.place(), Writer::new(&zei));
    writer.record(Stream::OutPiece, "one ");
    let mut source = Source::open(&place, web(), true).unwrap();
    assert_eq!(shown(&mut source), [""; 0]);
    assert_eq!(shown(&mut Source::open(&place, web(), false).unwrap()), ["one "]);
    writer.rotate();
    writer.record(Stream::Out, "line");
    writer.record(Stream::ErrPiece, "begun");
    assert_eq!(shown(&mut source), ["one line"]);
    source.end();
    assert_eq!(shown(&mut source), ["begun"]);
}

#[test]
fn only_the_last_lines_are_shown_and_then_what_comes() {
    let zei = Zei::new();
    let (place, mut writer) = (zei.place(), Writer::new(&zei));
    (0..10).for_each(|_| writer.line());
    writer.rotate();
    (0..3).for_each(|_| writer.line());
    for (count, from) in [(0, 14), (1, 13), (5, 9), (99, 1)] {
        for follow in [false, true] {
            let mut source = Source::open(&place, web(), follow).unwrap();
            source.skip_to_last(count, |_| true).unwrap();
            assert_eq!(shown(&mut source), numbers(from..=13), "{count}");
        }
    }
    let mut source = Source::open(&place, web(), true).unwrap();
    source.skip_to_last(2, |line| line.text.len() == 1).unwrap();
    writer.line();
    writer.rotate();
    writer.line();
    assert_eq!(shown(&mut source), ["8", "9", "14", "15"]);
}

#[test]
fn a_reader_that_missed_a_rotation_says_so_and_goes_on_with_all_that_is_there() {
    let zei = Zei::new();
    let (place, mut writer) = (zei.place(), Writer::new(&zei));
    writer.line();
    let mut source = Source::open(&place, web(), true).unwrap();
    assert_eq!(shown(&mut source), ["1"]);
    for _ in 0..3 {
        writer.rotate();
        writer.line();
    }
    assert_eq!(shown(&mut source), ["3", "4"]);
    assert!(source.take_missed() && !source.take_missed());
    writer.rotate();
    writer.line();
    assert_eq!(shown(&mut source), ["5"]);
    assert!(!source.take_missed());
    // Two take nothing away from whoever had read all, which it can't know.
    for _ in 0..2 {
        writer.rotate();
        writer.line();
    }
    assert_eq!(shown(&mut source), ["6", "7"]);
    assert!(source.take_missed());
}

#[test]
fn a_service_that_was_removed_and_added_anew_has_missed_nothing() {
    let zei = Zei::new();
    let (place, mut writer) = (zei.place(), Writer::new(&zei));
    writer.line();
    let mut source = Source::open(&place, web(), true).unwrap();
    writer.line();
    fs::remove_dir_all(&writer.directory).unwrap();
    assert_eq!(shown(&mut source), ["1", "2"]);
    fs::create_dir(&writer.directory).unwrap();
    writer.line();
    assert_eq!((shown(&mut source), source.take_missed()), (vec!["3".to_string()], false));
    // And one that was emptied by hand.
    fs::write(writer.directory.join(paths::LOG), "").unwrap();
    assert_eq!(shown(&mut source), [""; 0]);
    writer.line();
    assert_eq!(shown(&mut source), ["4"]);
}

#[test]
fn a_directory_in_the_files_place_is_told() {
    let zei = Zei::new();
    let (place, writer) = (zei.place(), Writer::new(&zei));
    fs::create_dir(writer.directory.join(paths::LOG)).unwrap();
    let failure = Source::open(&place, web(), false).map(drop).unwrap_err();
    assert!(failure.code == exit::SYSTEM && failure.message.contains("no regular file"), "{failure:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whenever_a_reader_looks_it_reads_each_line_once_as_long_as_it_keeps_up(
        steps in prop::collection::vec(0u8..6, 0..80), late in 0usize..40,
    ) {
        let zei = Zei::new();
        let (place, mut writer) = (zei.place(), Writer::new(&zei));
        let (mut source, mut read, mut rotations) = (None, Vec::new(), 0);
        for (at, step) in steps.iter().enumerate() {
            if at == late {
                source = Some(Source::open(&place, web(), true).unwrap());
                // What two rotations have taken is gone.
                read = numbers(1..=writer.written);
                let kept = shown(source.as_mut().unwrap());
                prop_assert!(read.ends_with(&kept));
                rotations = 0;
            }
            match (step, &mut source) {
                (0..=2, _) => writer.line(),
                // More than one that it has not looked at may be too many.
                (3, _) if rotations == 0 => {
                    writer.rotate();
                    rotations += 1;
                }
                (4, Some(source)) => {
                    read.extend(shown(source));
                    rotations = 0;
                }
                // A few lines only, in the middle of the rest.
                (5, Some(source)) => read.extend(source.next().unwrap().map(|line| String::from_utf8(line.text).unwrap())),
                _ => {}
            }
        }
        if let Some(mut source) = source {
            read.extend(shown(&mut source));
            prop_assert_eq!(read, numbers(1..=writer.written));
            prop_assert!(!source.take_missed());
        }
    }
}
