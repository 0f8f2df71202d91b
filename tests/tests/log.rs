//! The real zei-log over pipes of the test's own: what comes out, what is never lost, and what it tells.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use std::fs;
use std::io::{self, PipeReader, Read as _, Write as _, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::mpsc;
use std::time::Instant;
use zei::model::pump::Format;
use zei::model::time::Span;
use zei_tests::lines::Lines;
use zei_tests::process::switches;
use zei_tests::pump::{Rig, Service, full_pipe};
use zei_tests::{PATIENCE, program};

/// Long enough for everything that is there to get out.
const ENOUGH: Span = Span::seconds(60);

fn text(stream: &mut PipeReader) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The next bytes.
fn next(stream: &mut PipeReader, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn each_byte_comes_out_once_in_order_where_it_belongs() {
    let (rig, mut out, mut err) = Rig::start(&[Service::new("web")]);
    rig.begin(0, 1);
    let odd: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).unwrap();
        bytes
    });
    rig.stdout(0).write_all(&odd).unwrap();
    rig.stderr(0).write_all(b"one\r\ntwo\nno newline at the end").unwrap();
    rig.leave();
    assert!(reader.join().unwrap() == odd);
    assert_eq!(text(&mut err), "one\r\ntwo\nno newline at the end");
}

#[test]
fn a_mark_is_not_part_of_the_output_and_ends_the_line_before_it() {
    let (rig, mut out, mut err) = Rig::start(&[Service::new("web")]);
    for run in 1..4 {
        rig.begin(0, run);
        write!(rig.stdout(0), "run {run}").unwrap();
        writeln!(rig.stderr(0), "error {run}").unwrap();
    }
    rig.leave();
    assert_eq!(text(&mut out), "run 1\nrun 2\nrun 3");
    assert_eq!(text(&mut err), "error 1\nerror 2\nerror 3\n");
}

#[test]
fn each_line_bears_its_service_s_name_and_no_line_is_without_an_end() {
    let labelled = |name| Service { format: Format::Prefix, ..Service::new(name) };
    let (mut rig, mut out, mut err) = Rig::start(&[labelled("web"), labelled("worker")]);
    rig.begin(0, 1);
    write!(rig.stdout(0), "one\ntwo").unwrap();
    rig.begin(0, 2);
    assert_eq!(next(&mut out, 26), "web    | one\nweb    | two\n");
    write!(rig.stdout(0), "three").unwrap();
    // One that goes on is shown after a while, and broken for another's.
    assert_eq!(next(&mut out, 14), "web    | three");
    writeln!(rig.stdout(1), "other").unwrap();
    assert_eq!(next(&mut out, 16), "\nworker | other\n");
    writeln!(rig.stderr(0), " and four").unwrap();
    assert_eq!(next(&mut err, 19), "web    |  and four\n");
    write!(rig.stdout(0), " and five").unwrap();
    assert!(rig.finish(ENOUGH));
    drop(rig);
    assert_eq!(text(&mut out), "web    |  and five\n");
}

#[test]
fn the_output_is_kept_with_its_time_its_run_and_its_stream_and_never_more_than_there_is_room_for() {
    let (mut rig, out, _err) = Rig::start(&[Service::new("web"), Service::new("other")]);
    let _taken = Lines::from(out.into());
    rig.begin(0, 1);
    write!(rig.stdout(0), "one\ntwo").unwrap();
    rig.begin(0, 2);
    let kept = |rig: &Rig, name: &str| fs::read(rig.file(0).with_file_name(name)).unwrap_or_default();
    let text_of = |bytes: &[u8]| -> Vec<(Option<u64>, &'static str, String)> {
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap());
        let record = |line| zei::protocol::log::parse(line).unwrap();
        let told =
            |line| (record(line).run, record(line).stream.word(), String::from_utf8_lossy(record(line).text).into());
        lines.map(told).collect()
    };
    rig.last(0, |before, _| before.ends_with("two\n"));
    assert_eq!(text_of(&kept(&rig, "log")), [(Some(1), "out", "one".into()), (Some(1), "out", "two".into())]);
    rig.kill();
    rig.restart();
    for number in 0..20_000 {
        writeln!(rig.stdout(0), "line {number}").unwrap();
    }
    writeln!(rig.stderr(0), "the end").unwrap();
    rig.last(0, |_, run| run.contains("line 19999\n") && run.contains("the end\n"));
    let (old, new) = (kept(&rig, "log.old"), kept(&rig, "log"));
    assert!(old.len() <= 65536 && new.len() <= 65536 && old.len() + new.len() > 65536);
    let all = text_of(&[old, new].concat());
    let numbers: Vec<usize> = all.iter().filter_map(|(_, _, text)| text.strip_prefix("line ")?.parse().ok()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1) && numbers.ends_with(&[19_999]), "{numbers:?}");
    assert!(all.contains(&(Some(2), "err", "the end".into())));
    let mode = fs::metadata(rig.file(0).with_file_name("log")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn what_is_only_kept_waits_for_nobody_and_is_not_shown() {
    let (_reader, writer) = full_pipe();
    let hidden = Service { format: Format::Hidden, ..Service::out("web") };
    let rig = Rig::into(&[hidden, Service::out("other")], [writer.into(), pipe().unwrap().1.into()]);
    rig.begin(0, 1);
    // The container's output is full, and another's lines wait for it.
    writeln!(rig.stdout(1), "other").unwrap();
    let mut web = rig.stdout(0);
    (0..50_000).for_each(|number| writeln!(web, "line {number}").unwrap());
    write!(web, "part").unwrap();
    rig.last(0, |_, run| run.ends_with("line 49999\npart"));
    let kept = fs::read_to_string(rig.file(0).with_file_name("log")).unwrap();
    assert!(kept.ends_with(" 1 out line 49999\n"), "{kept}");
}

#[test]
fn a_stream_that_nobody_takes_holds_up_only_itself() {
    let (reader, writer) = full_pipe();
    let (mut err, err_end) = pipe().unwrap();
    let services = [Service::new("loud").ready("^ready"), Service::new("quiet").ready("^ready")];
    let mut rig = Rig::into(&services, [writer.into(), err_end.into()]);
    rig.begin(0, 1);
    rig.begin(1, 1);
    // More than can wait, so that it comes to wait itself.
    let mut loud = rig.stdout(0);
    let writes = std::thread::spawn(move || loud.write_all("a line\n".repeat(200_000).as_bytes()).unwrap());
    writeln!(rig.stderr(0), "the same service").unwrap();
    assert_eq!(next(&mut err, 17), "the same service\n");
    writeln!(rig.stderr(1), "another service").unwrap();
    assert_eq!(next(&mut err, 16), "another service\n");
    // What can't get out is looked at all the same.
    writeln!(rig.stdout(1), "ready").unwrap();
    assert_eq!(rig.told(1), "1\n");
    rig.last(1, |_, run| run.ends_with("ready\n"));
    assert!(!rig.finish(Span(0)), "nobody has taken it");
    assert!(!writes.is_finished());
    drop(reader);
    rig.restart();
    writes.join().unwrap();
}

#[test]
fn the_containers_own_streams_stay_blocking() {
    let (_reader, writer) = full_pipe();
    let watched: OwnedFd = writer.try_clone().unwrap().into();
    let rig = Rig::into(&[Service::new("web")], [writer.into(), pipe().unwrap().1.into()]);
    writeln!(rig.stdout(0), "a line").unwrap();
    rig.last(0, |_, run| run == "a line\n");
    let flags = OFlag::from_bits_truncate(fcntl(&watched, FcntlArg::F_GETFL).unwrap());
    assert!(!flags.contains(OFlag::O_NONBLOCK));
}

#[test]
fn a_match_is_told_once_in_each_run_and_what_an_earlier_run_says_late_is_not_meant() {
    let (mut rig, _out, _err) = Rig::start(&[Service::new("web").ready("^listening on [0-9]+$")]);
    // Before the first mark nothing runs.
    writeln!(rig.stdout(0), "listening on 1").unwrap();
    rig.begin(0, 1);
    write!(rig.stdout(0), "starting\nnot listening on 2\nlisten").unwrap();
    rig.last(0, |_, run| run.ends_with("listen"));
    assert!(rig.is_quiet(0));
    rig.kill();
    rig.restart();
    writeln!(rig.stdout(0), "ing on 3").unwrap();
    assert_eq!(rig.told(0), "1\n");
    // Neither stream tells it again, nor does another zei-log.
    writeln!(rig.stdout(0), "listening on 4").unwrap();
    writeln!(rig.stderr(0), "listening on 5").unwrap();
    rig.last(0, |_, run| run.contains("on 4\n") && run.contains("on 5\n"));
    rig.kill();
    rig.restart();
    writeln!(rig.stdout(0), "listening on 6").unwrap();
    rig.last(0, |_, run| run.contains("on 6\n"));
    assert!(rig.is_quiet(0));

    write!(rig.stderr(0), "listening on 7").unwrap();
    rig.begin(0, 2);
    writeln!(rig.stdout(0), "begun").unwrap();
    rig.last(0, |_, run| run.contains("begun\n"));
    assert!(rig.is_quiet(0));
    writeln!(rig.stderr(0), "listening on 8\r").unwrap();
    assert_eq!(rig.told(0), "2\n");
}

#[test]
fn a_line_without_end_takes_no_memory_and_the_line_of_another_service_is_not_kept_waiting() {
    const LENGTH: usize = 16 << 20;
    let (rig, out, _err) = Rig::start(&[Service::out("endless").ready("never"), Service::out("other")]);
    rig.begin(0, 1);
    let memory = |key: &str| -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", rig.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    };
    let (begun, has_begun) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let (mut out, mut buffer, mut count, mut others) = (out, vec![0; 65536], 0, Vec::new());
        loop {
            let length = out.read(&mut buffer).unwrap();
            if length == 0 {
                return (count, others);
            }
            let _ = begun.send(());
            count += buffer[..length].iter().filter(|byte| **byte == b'x').count();
            others.extend(buffer[..length].iter().filter(|byte| **byte != b'x'));
        }
    });
    let mut endless = rig.stdout(0);
    let piece = vec![b'x'; 1 << 16];
    endless.write_all(&piece).unwrap();
    // Only a line that has begun to come out can be broken.
    has_begun.recv_timeout(PATIENCE).unwrap();
    let before = memory("VmRSS");
    writeln!(rig.stdout(1), "other").unwrap();
    (1..LENGTH >> 16).for_each(|_| endless.write_all(&piece).unwrap());
    let grown = memory("VmHWM").saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes more");
    drop(endless);
    rig.leave();
    let (count, others) = reader.join().unwrap();
    assert_eq!(count, LENGTH);
    // The line in the middle was broken for it.
    assert_eq!(String::from_utf8_lossy(&others), "\nother\n");
}

#[test]
fn a_prompt_comes_out_without_a_newline_and_the_line_goes_on_where_nobody_else_has_written() {
    let (mut rig, mut out, _err) = Rig::start(&[Service::out("asks"), Service::out("other")]);
    let mut asks = rig.stdout(0);
    write!(asks, "Name: ").unwrap();
    assert_eq!(next(&mut out, 6), "Name: ");
    write!(asks, "me").unwrap();
    assert_eq!(next(&mut out, 2), "me");
    writeln!(asks, "!").unwrap();
    assert_eq!(next(&mut out, 2), "!\n");

    write!(asks, "Age: ").unwrap();
    assert_eq!(next(&mut out, 5), "Age: ");
    writeln!(rig.stdout(1), "a line").unwrap();
    assert_eq!(next(&mut out, 8), "\na line\n");
    writeln!(asks, "7").unwrap();
    assert_eq!(next(&mut out, 2), "7\n");

    // A kill in the middle of a line: it goes on, or, where it is not known how much of it is out, comes whole.
    write!(asks, "City: ").unwrap();
    assert_eq!(next(&mut out, 6), "City: ");
    rig.kill();
    rig.restart();
    writeln!(asks, "Bern").unwrap();
    let (first, whole) = (next(&mut out, 5), "\nCity: Bern\n");
    assert!(first == "Bern\n" || first + &next(&mut out, whole.len() - 5) == whole);
}

#[test]
fn the_end_of_a_block_waits_for_its_line() {
    let (rig, mut out, _err) = Rig::start(&[Service::out("buffered"), Service::out("other")]);
    // As a C library does it with a full buffer.
    let block = "a line of some length\n".repeat(200);
    let (first, second) = block.as_bytes().split_at(4096);
    rig.stdout(0).write_all(first).unwrap();
    let whole = first.len() - first.rsplit(|byte| *byte == b'\n').next().unwrap().len();
    assert_eq!(next(&mut out, whole), block[..whole]);
    writeln!(rig.stdout(1), "other").unwrap();
    assert_eq!(next(&mut out, 6), "other\n");
    rig.stdout(0).write_all(second).unwrap();
    assert_eq!(next(&mut out, block.len() - whole), block[whole..]);
}

#[test]
fn the_last_lines_can_be_read_at_any_time_and_outlive_a_kill() {
    let (mut rig, out, _err) = Rig::start(&[Service::new("web"), Service::new("other")]);
    let _taken = Lines::from(out.into());
    rig.begin(0, 1);
    for number in 0..1000 {
        writeln!(rig.stdout(0), "line {number}").unwrap();
    }
    let (before, run) = rig.last(0, |_, run| run.ends_with("line 999\n"));
    assert!(
        before.is_empty() && run.lines().rev().take(100).eq((900..1000).rev().map(|number| format!("line {number}")))
    );
    rig.kill();
    rig.restart();
    rig.begin(0, 2);
    writeln!(rig.stderr(0), "no such file").unwrap();
    let (before, run) = rig.last(0, |_, run| run == "no such file\n");
    assert!(before.ends_with("line 998\nline 999\n"), "{before}");
    assert_eq!(run, "no such file\n");
    let whole = fs::read_to_string(rig.file(0)).unwrap();
    assert!(whole.starts_with("version=1 ") && whole.len() <= 4096, "{whole}");
    let mode = fs::metadata(rig.file(0)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(rig.last(1, |_, _| true), (String::new(), String::new()));
}

#[test]
fn where_nothing_is_written_it_does_not_wake_up() {
    let (rig, mut out, _err) = Rig::start(&[Service::new("web").ready("x"), Service::new("other")]);
    rig.begin(0, 1);
    writeln!(rig.stdout(0), "a line").unwrap();
    // One that is in the middle of a line, and a mark.
    write!(rig.stdout(1), "a prompt").unwrap();
    assert_eq!(next(&mut out, 15).len(), 15);
    let until = Instant::now() + PATIENCE;
    let mut before = switches(rig.pid());
    loop {
        watch_for(300);
        let now = switches(rig.pid());
        if now == before {
            break;
        }
        assert!(Instant::now() < until, "it does not come to rest");
        before = now;
    }
    watch_for(2500);
    assert_eq!(switches(rig.pid()), before);
}

/// Lets time pass: nobody ever writes to this pipe.
fn watch_for(milliseconds: u16) {
    let (quiet, _writer) = io::pipe().unwrap();
    assert_eq!(poll(&mut [PollFd::new(quiet.as_fd(), PollFlags::POLLIN)], milliseconds), Ok(0));
}

#[test]
fn asked_to_end_it_delivers_what_is_there_first() {
    let (mut rig, out, _err) = Rig::start(&[Service::new("web"), Service::new("other")]);
    let lines = Lines::from(out.into());
    rig.kill();
    let mut web = rig.stdout(0);
    (0..1000).for_each(|number| writeln!(web, "line {number}").unwrap());
    write!(web, "part").unwrap();
    write!(rig.stdout(1), "of another").unwrap();
    rig.restart();
    assert!(rig.finish(ENOUGH));
    drop(rig);
    let whole = lines.whole();
    assert!(whole.starts_with("line 0\nline 1\n") && whole.contains("line 999\npart"), "{whole}");
}

#[test]
fn where_the_reader_is_gone_services_go_on_and_that_is_said_once() {
    let (out, out_end) = pipe().unwrap();
    let (err, err_end) = pipe().unwrap();
    let lines = Lines::from(err.into());
    let rig = Rig::into(&[Service::out("web")], [out_end.into(), err_end.into()]);
    drop(out);
    rig.stdout(0).write_all("a line\n".repeat(100_000).as_bytes()).unwrap();
    rig.leave();
    assert_eq!(lines.whole(), "zei-log: cannot write to the container's standard output: Broken pipe; lines are lost");
}

#[test]
fn a_file_is_an_output_too_and_so_is_one_that_is_both() {
    let file = tempfile::tempfile().unwrap();
    let (mut first, both) = (file.try_clone().unwrap(), [0, 1].map(|_| OwnedFd::from(file.try_clone().unwrap())));
    let rig = Rig::into(&[Service::new("web")], both);
    // They share a pipe, so their order is kept.
    for number in 0..1000 {
        writeln!(rig.stdout(0), "out {number}").unwrap();
        writeln!(rig.stderr(0), "err {number}").unwrap();
    }
    rig.leave();
    use std::io::Seek as _;
    first.rewind().unwrap();
    let expected: String = (0..1000).map(|number| format!("out {number}\nerr {number}\n")).collect();
    assert_eq!(io::read_to_string(first).unwrap(), expected);
}

#[test]
fn started_by_hand_it_says_so() {
    for argument in ["", "9", "0", "x"] {
        let output = Command::new(program("zei-log")).arg(argument).output().unwrap();
        assert_eq!(output.status.code(), Some(111));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("it is not to be started by hand"), "{said}");
    }
}

#[test]
fn services_come_and_go_and_nothing_of_theirs_is_lost_or_taken_for_another_s() {
    let (mut rig, mut out, _err) = Rig::start(&[Service::out("stays"), Service::out("goes").ready("^ready$")]);
    rig.begin(1, 1);
    write!(rig.stdout(0), "in the mid").unwrap();
    assert_eq!(next(&mut out, 10), "in the mid");
    rig.add(&Service::out("comes").ready("^ready$"));
    rig.begin(2, 1);
    writeln!(rig.stdout(2), "ready").unwrap();
    writeln!(rig.stdout(0), "dle").unwrap();
    rig.refresh();
    assert_eq!(rig.told(2), "1\n");
    let (first, second) = (next(&mut out, 4), next(&mut out, 6));
    assert_eq!([first.as_str(), &second], ["dle\n", "ready\n"]);

    // Given up in the middle of a line, it has ended it; what comes in its place knows nothing of it.
    write!(rig.stdout(1), "the last of it").unwrap();
    rig.remove(1);
    assert_eq!(next(&mut out, 14), "the last of it");
    rig.add(&Service::out("goes").ready("^ready$"));
    rig.refresh();
    rig.begin(1, 1);
    writeln!(rig.stdout(1), "ready").unwrap();
    assert_eq!(next(&mut out, 7), "\nready\n");
    assert_eq!(rig.told(1), "1\n");
}
