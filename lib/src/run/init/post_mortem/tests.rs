//! The last words: what they say, that they fit, and where they are left.

use super::*;
use crate::exit::Exit;
use crate::model::service::{SpawnStage, Stage, Then};
use crate::model::spec::Policy;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;

const NAMES: [&str; 3] = ["db", "mid", "app"];

fn names() -> Vec<ServiceName> {
    NAMES.iter().map(|name| ServiceName::parse(name).unwrap()).collect()
}

/// It began its last run at 1000 and is in this phase since 3500.
fn service(phase: Phase) -> Service {
    let new = Service::new(true, Time(0), &Policy::default());
    Service { phase, since: Time(3500), began: Time(1000), ending: Some(Ending::Exited(Exit::Code(3))), ..new }
}

const ENDED: Phase = Phase::Failed(Reason::Ended);

fn failed_by(root: u16) -> Service {
    Service { ending: None, ..service(Phase::Failed(Reason::Dependency(root))) }
}

fn verdict(cause: Cause, chain: Vec<(usize, Service)>) -> Verdict {
    Verdict { code: 3, cause, at: Time(3600), chain }
}

fn told(verdict: &Verdict, last: &[u8]) -> Option<String> {
    let names = names();
    // 2026-03-01T12:00:00Z, two seconds after it ended.
    let scene = Scene { names: &names, began: Time(900), now: (Time(5600), 1_772_366_400_000), last };
    text("init", verdict, &scene)
}

#[test]
fn it_says_who_and_why_and_when_and_what_was_written_last() {
    let chain = vec![(2, failed_by(1)), (1, failed_by(0)), (0, service(ENDED))];
    let expected = "\
init: the container failed, exit code 3: app failed because its dependency mid failed, because its dependency db failed: \
ended by exit code 3, 2s after its start
init: that was at 2026-03-01T11:59:58Z, 2s after the start
init: the last lines of db:
  no space left
  giving up
";
    let last = b"no space left\ngiving up\n";
    assert_eq!(told(&verdict(Cause::Service, chain.clone()), last).unwrap(), expected);
    assert_eq!(
        told(&verdict(Cause::Command, chain.clone()), b"").unwrap(),
        expected.split_inclusive('\n').take(2).collect::<String>()
    );
    // Nobody asks about an end that was asked for, or about a good one.
    assert_eq!(told(&verdict(Cause::Asked, chain.clone()), last), None);
    assert_eq!(told(&Verdict { code: 0, ..verdict(Cause::Service, chain) }, last), None);
}

#[test]
fn each_way_to_fail_has_its_words() {
    let own = service(ENDED);
    let not_started =
        |stage, errno| Service { ending: Some(Ending::NotStarted(Failure { stage, errno })), ..service(ENDED) };
    let faulty = |fault| Service { fault: Some(fault), ..service(ENDED) };
    let signal = Some(Ending::Exited(Exit::Signal(9)));
    for (service, said) in [
        (own, "ended by exit code 3, 2s after its start"),
        (Service { ending: signal, ..own }, "ended by signal KILL, 2s after its start"),
        (Service { since: Time(1999), ..own }, "ended by exit code 3, 999ms after its start"),
        (Service { since: Time(2000), ..own }, "ended by exit code 3, 1s after its start"),
        (Service { restarts: 1, ..own }, "ended by exit code 3 after 1 restart, 2s after its last start"),
        (Service { restarts: 2, ..own }, "ended by exit code 3 after 2 restarts, 2s after its last start"),
        (
            Service { restarts: 5, ..service(Phase::Failed(Reason::GaveUp)) },
            "ended by exit code 3 after 5 restarts, 2s after its last start, and was given up",
        ),
        (service(Phase::Failed(Reason::Stray)), "has left a process that could not be killed"),
        (service(Phase::Completed), "ended by exit code 3, 2s after its start"),
        (not_started(SpawnStage::Execute, 2), "could not start: cannot execute the program: No such file or directory"),
        (
            Service { fault: Some(Fault::PreStart), ..not_started(SpawnStage::Directory, 13) },
            "could not start: cannot change to the working directory: Permission denied",
        ),
        (faulty(Fault::PreStart), "could not start: its pre_start ended by exit code 3, 2s after its start"),
        (faulty(Fault::NotReady), "never became ready, and ended by exit code 3, 2s after its start"),
        (faulty(Fault::Unhealthy), "was unhealthy, and ended by exit code 3, 2s after its start"),
        (
            faulty(Fault::Watchdog),
            "no longer said that it lives (watchdog), and ended by exit code 3, 2s after its start",
        ),
        (faulty(Fault::OutOfMemory), "was killed by the kernel because memory was short, 2s after its start"),
        (Service { ending: None, ..own }, "failed before it was started"),
    ] {
        assert_eq!(end(&service), said);
    }
}

#[test]
fn an_unhealthy_one_has_not_ended_in_whatever_phase_it_is_seen() {
    for phase in [
        Phase::Waiting,
        Phase::Preparing,
        Phase::Spawning,
        Phase::Starting { deadline: Time(0) },
        Phase::Running,
        Phase::Stopping { stage: Stage::Main, deadline: Time(0), then: Then::Down },
        Phase::RestartPending { at: Time(0) },
        Phase::Scheduled { at: Time(0) },
        Phase::Planning,
        Phase::Planned { slot: 1 },
        Phase::Stopped,
    ] {
        let own = service(phase);
        let said = |failures| end(&Service { failures, ..own });
        assert_eq!(said(1), "is unhealthy: a check has failed");
        assert_eq!(said(3), "is unhealthy: 3 checks in a row have failed");
    }
}

#[test]
fn the_story_begins_with_whose_end_it_was() {
    let names = names();
    let own = service(ENDED);
    for (cause, chain, said) in [
        (Cause::Service, vec![(0, own)], "db ended by exit code 3, 2s after its start"),
        (Cause::Command, vec![(9, own)], "cmd ended by exit code 3, 2s after its start"),
        (
            Cause::All,
            vec![(1, own)],
            "all services have ended, the first failure was this: mid ended by exit code 3, 2s after its start",
        ),
        (Cause::All, vec![], "all services have ended, none by failure"),
        (
            Cause::Unhealthy,
            vec![(2, Service { failures: 2, ..service(Phase::Running) })],
            "app is unhealthy: 2 checks in a row have failed",
        ),
        (
            Cause::Service,
            vec![(1, failed_by(0)), (0, own)],
            "mid failed because its dependency db failed: ended by exit code 3, 2s after its start",
        ),
    ] {
        assert_eq!(story(&verdict(cause, chain), &names), said);
    }
}

#[test]
fn it_is_never_too_long_and_of_the_last_lines_the_last_are_there() {
    let own = verdict(Cause::Service, vec![(0, service(ENDED))]);
    let head = told(&own, b"").unwrap();
    let lines_of = |last: &[u8]| -> Vec<String> {
        let text = told(&own, last).unwrap();
        assert!(text.len() <= MOST && text.ends_with('\n'), "{} bytes", text.len());
        let rest = text.strip_prefix(&head).unwrap().strip_prefix("init: the last lines of db:\n").unwrap();
        rest.lines().map(|line| line.strip_prefix("  ").unwrap().to_owned()).collect()
    };
    let numbered = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(lines_of(numbered(19).join("\n").as_bytes()), numbered(19));
    assert_eq!(lines_of(numbered(30).join("\n").as_bytes()), numbered(30)[10..]);
    // Of long lines as many as fit; of one that is too long its begin.
    let long = vec!["x".repeat(250); 30].join("\n");
    let fit = lines_of(long.as_bytes());
    assert!(fit.len() * 253 + 253 > MOST - head.len() - 28, "{}", fit.len());
    assert!(fit.len() > 10 && fit.iter().all(|line| line.len() == 250));
    assert_eq!(lines_of("é".repeat(5000).as_bytes()), ["é".repeat(WIDTH)]);
    // A story can be long, too.
    let chain = (0..200).map(|_| (0, failed_by(0))).collect();
    assert_eq!(told(&verdict(Cause::Service, chain), b"last\n").unwrap().len(), MOST);
}

#[test]
fn what_was_written_does_nothing_to_a_terminal() {
    assert_eq!(
        last_lines(b"\x1b[31mred\x07\r\n\ttab\n\nbad \xff\n"),
        ["  [31mred\n", "  \ttab\n", "  \n", "  bad \u{fffd}\n"]
    );
    assert_eq!(last_lines(b""), Vec::<String>::new());
}

#[test]
fn it_is_left_where_kubernetes_looks_behind_what_the_service_has_left_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let half = "h".repeat(2048);
    let more = "m".repeat(2049);
    for (before, text, after) in [
        ("", "init: text\n", "init: text\n".to_owned()),
        ("its own word\n", "init: text\n", "its own word\ninit: text\n".to_owned()),
        (&half, "init: text\n", format!("{half}init: text\n")),
        // It has no right to so much, and nobody would show both.
        (&more, "init: text\n", "init: text\n".to_owned()),
        (&half, &"é".repeat(2000), half.clone() + &"é".repeat(1024)),
        ("x", &"é".repeat(2048), "x".to_owned() + &"é".repeat(2047)),
        ("", &"t".repeat(5000), "t".repeat(4096)),
    ] {
        fs::write(&path, before).unwrap();
        assert_eq!(leave(&path, text), Ok(()));
        assert_eq!(fs::read_to_string(&path).unwrap(), after);
    }
}

#[test]
fn what_is_no_file_is_not_written_to_and_a_link_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    assert_eq!(leave(&path("none"), "text"), Err(Errno::ENOENT));
    assert!(!path("none").exists());
    fs::write(path("target"), "before").unwrap();
    std::os::unix::fs::symlink(path("target"), path("link")).unwrap();
    assert_eq!(leave(&path("link"), "text"), Err(Errno::ELOOP));
    assert_eq!(fs::read_to_string(path("target")).unwrap(), "before");
    nix::unistd::mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
    // Without a reader it can't be opened; with one nothing comes out of it.
    assert_eq!(leave(&path("fifo"), "text"), Err(Errno::ENXIO));
    let reader = open(&path("fifo"), OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()).unwrap();
    assert_eq!(leave(&path("fifo"), "text"), Err(Errno::EINVAL));
    assert_eq!(nix::unistd::read(&reader, &mut [0; 8]), Ok(0));
    assert!(fs::metadata(path("fifo")).unwrap().file_type().is_fifo());
    assert_eq!(leave(directory.path(), "text"), Err(Errno::EISDIR));
}
