//! A zei-log that is killed in the middle, again and again: nothing is lost, and no line torn.

use std::io::{BufRead as _, BufReader, PipeReader, Write as _};
use zei::model::pump::{Format, Side};
use zei_tests::pump::{Rig, Service};

/// A line that says by itself whether it is whole.
fn line(writer: usize, number: usize) -> String {
    let length = number * 7919 % 400 + if number.is_multiple_of(97) { 2500 } else { 0 };
    format!("{writer} {number} {length} {} end\n", "x".repeat(length))
}

/// The writers' names.
const NAMES: [&str; 3] = ["one", "two", "three"];

/// What has come out of what the writers have written, in the order in which it came.
#[derive(Default)]
struct Heard {
    is_labelled: bool,
    next: [usize; 3],
    doubled: usize,
}

impl Heard {
    /// `false` at the end.
    fn read(&mut self, out: &mut BufReader<PipeReader>) -> bool {
        let mut line = String::new();
        let length = out.read_line(&mut line).unwrap();
        if length > 0 {
            self.hear(&line);
        }
        length > 0
    }

    fn hear(&mut self, heard: &str) {
        let (label, heard) = match heard.split_once(" | ") {
            Some((label, rest)) if self.is_labelled => (Some(label.trim_end()), rest),
            _ => (None, heard),
        };
        let mut words = heard.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<usize>().ok());
        let (Some(writer), Some(number)) = (number(), number()) else { panic!("torn: {heard:?}") };
        assert_eq!(label, self.is_labelled.then_some(NAMES[writer]), "torn: {heard:?}");
        let whole = line(writer, number);
        let (begin, end) = heard.split_at(heard.len().min(60));
        assert!(heard == whole, "torn: {begin:?}…{end:?}, {} bytes of {}", heard.len(), whole.len());
        let next = &mut self.next[writer];
        assert!(number <= *next, "lost: of writer {writer} the lines {next} to {number}");
        if number < *next {
            self.doubled += heard.len();
        }
        *next = number + 1;
    }
}

#[test]
fn nothing_is_lost_and_no_line_torn_when_it_is_killed_fifty_times_in_the_middle_of_two_streams() {
    is_whole_however_often_it_is_killed(Format::Raw);
}

#[test]
fn nor_where_each_line_bears_a_name() {
    is_whole_however_often_it_is_killed(Format::Prefix);
}

fn is_whole_however_often_it_is_killed(format: Format) {
    const KILLS: usize = 50;
    let services = [
        Service { format, ..Service::out(NAMES[0]) },
        Service { format, ..Service::out(NAMES[1]) },
        Service { format, streams: [None, Some(Side::Out)], ..Service::new(NAMES[2]) },
    ];
    let (mut rig, out, _err) = Rig::start(&services);
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let mut pipe = if writer == 2 { rig.stderr(writer) } else { rig.stdout(writer) };
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let thread = std::thread::spawn(move || {
                let mut number = 0;
                while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                    // One line at a time, or as a buffer of a C library is written.
                    let piece: String = (number..number + 1 + number % 13).map(|number| line(writer, number)).collect();
                    number += 1 + number % 13;
                    for block in piece.as_bytes().chunks(4096) {
                        pipe.write_all(block).unwrap();
                    }
                }
                number
            });
            (stop, thread)
        })
        .collect();
    let mut out = BufReader::new(out);
    let mut heard = Heard { is_labelled: format == Format::Prefix, ..Heard::default() };
    for kill in 0..KILLS {
        // At another instant each time: the reader is the one who is waited for.
        (0..40 + kill * 7 % 31).for_each(|_| assert!(heard.read(&mut out)));
        rig.kill();
        rig.restart();
    }
    let (stops, threads): (Vec<_>, Vec<_>) = writers.into_iter().unzip();
    drop(stops);
    let reader = std::thread::spawn(move || {
        while heard.read(&mut out) {}
        heard
    });
    let written: Vec<usize> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    rig.leave();
    let heard = reader.join().unwrap();
    assert_eq!(heard.next.to_vec(), written);
    assert!(heard.doubled <= KILLS * 65536, "{} bytes doubled", heard.doubled);
}
