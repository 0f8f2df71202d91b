//! The client against a zei that does what the test says.

use super::fake::{PATIENT, Zei, send, status};
use super::wait::{Until, for_all};
use super::{Patience, Span, place};
use crate::exit;
use crate::name::ServiceName;
use crate::protocol::control::{Progress, Verb};
use crate::protocol::status::{State, Status};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Barrier;
use std::thread;

#[test]
fn a_restart_is_answered_with_the_pid_it_led_to() {
    let zei = Zei::new();
    let mut web = zei.service("web");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (token, verb) = web.next();
            assert_eq!(verb, Verb::Restart);
            web.accept(token, verb);
            web.answer(token, Progress::Done, "pid=4712 merged");
        });
        let (out, err, code) = send(&zei.place(), "web", Verb::Restart, PATIENT);
        assert_eq!((out.as_str(), err.as_str(), code), ("web: restart done pid=4712 merged\n", "", exit::OK));
    });
}

#[test]
fn a_failed_command_leaves_with_the_code_and_the_reason_of_its_answer() {
    let zei = Zei::new();
    let mut web = zei.service("web");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (token, _) = web.next();
            web.answer(token, Progress::Failed(exit::NOT_TRUE), "gave-up:exit:3");
        });
        let (out, err, code) = send(&zei.place(), "web", Verb::Start, PATIENT);
        assert_eq!((out.as_str(), code), ("", exit::NOT_TRUE));
        assert_eq!(err, "zei-ctl: web: start failed: gave-up:exit:3");
    });
}

#[test]
fn what_somebody_left_without_a_newline_swallows_no_command() {
    let zei = Zei::new();
    let mut web = zei.service("web");
    web.scribble(b"some garbage");
    send(&zei.place(), "web", Verb::Restart, Patience { no_wait: false, timeout: Some(Span(1)) });
    web.scribble(b"lasttokn stop\n");
    assert_eq!(web.next().1, Verb::Restart);
}

#[test]
fn a_line_that_died_with_its_supervisor_is_sent_again_under_the_same_token() {
    let zei = Zei::new();
    let mut web = zei.service("web");
    thread::scope(|scope| {
        scope.spawn(|| {
            let first = web.next();
            // It dies without a trace; this is its successor.
            web.tell(&Status { supervisor: 13, ..status("web") });
            let again = web.next();
            assert_eq!(first, again);
            web.answer(again.0, Progress::Done, "pid=1");
        });
        assert_eq!(send(&zei.place(), "web", Verb::Restart, PATIENT).2, exit::OK);
    });
}

#[test]
fn a_command_that_could_not_be_recorded_is_sent_again_until_it_is_and_so_is_a_signal() {
    let zei = Zei::new();
    for (name, verb) in [("web", Verb::Restart), ("db", Verb::Signal(crate::signal::HUP))] {
        let mut service = zei.service(name);
        let place = zei.place();
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                let code = send(&place, name, verb, Patience { timeout: Some(Span::seconds(20)), ..PATIENT }).2;
                // If nothing came again, this does.
                send(&place, name, Verb::Stop, Patience { timeout: Some(Span(1)), ..PATIENT });
                code
            });
            let first = service.next();
            let again = service.next();
            assert_eq!(first, again);
            service.answer(again.0, Progress::Done, "");
            assert_eq!(client.join().unwrap(), exit::OK);
        });
    }
}

#[test]
fn a_command_that_was_accepted_is_left_to_the_successor() {
    // Many rounds, so that the client looks at every moment in between.
    for _ in 0..100 {
        let zei = Zei::new();
        let mut web = zei.service("web");
        let place = zei.place();
        thread::scope(|scope| {
            let supervisor = scope.spawn(|| {
                let (token, verb) = web.next();
                web.accept(token, verb);
                web.tell(&Status { supervisor: 13, ..status("web") });
                web.ring();
                web.answer(token, Progress::Done, "pid=1");
            });
            assert_eq!(send(&place, "web", Verb::Restart, PATIENT).2, exit::OK);
            supervisor.join().unwrap();
        });
        assert!(!web.has_more());
    }
}

#[test]
fn an_answer_is_found_in_a_file_that_was_replaced_by_a_shorter_one() {
    let zei = Zei::new();
    let mut web = zei.service("web");
    for number in 0..300 {
        let token = crate::text::format(format_args!("older{number:05}"));
        web.answer(token, Progress::Done, "");
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            let (token, verb) = web.next();
            web.accept(token, verb);
            web.replace_answers(token, "pid=7");
        });
        let (out, _, code) = send(&zei.place(), "web", Verb::Start, PATIENT);
        assert_eq!((out.as_str(), code), ("web: start done pid=7\n", exit::OK));
    });
}

#[test]
fn a_hundred_clients_at_a_full_fifo_get_each_their_own_answer() {
    let zei = Zei::new();
    let mut web = zei.service("web");
    web.fill();
    let all_here = Barrier::new(101);
    thread::scope(|scope| {
        let client = || {
            let place = zei.place();
            all_here.wait();
            send(&place, "web", Verb::Restart, PATIENT).0
        };
        let clients: Vec<_> = (0..100).map(|_| scope.spawn(client)).collect();
        all_here.wait();
        let mut tokens = BTreeSet::new();
        for number in 1..=100 {
            let (token, verb) = web.next();
            assert!(tokens.insert(token.to_string()), "the same token came twice");
            web.accept(token, verb);
            web.answer(token, Progress::Done, &format!("pid={number}"));
        }
        let answers: BTreeSet<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let expected = (1..=100).map(|number| format!("web: restart done pid={number}\n")).collect();
        assert_eq!(answers, expected);
        assert!(!web.has_more());
    });
}

#[test]
fn no_wait_returns_once_the_command_can_not_be_lost_any_more() {
    let zei = Zei::new();
    let mut web = zei.service("web");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (token, verb) = web.next();
            web.accept(token, verb);
        });
        let (out, _, code) = send(&zei.place(), "web", Verb::Stop, Patience { no_wait: true, ..PATIENT });
        assert_eq!((out.as_str(), code), ("web: stop accepted\n", exit::OK));
    });
}

#[test]
fn what_is_not_done_in_time_is_said_with_how_far_it_came() {
    let zei = Zei::new();
    let mut web = zei.service("web");
    let hasty = Patience { no_wait: false, timeout: Some(Span(1)) };
    let (_, err, code) = send(&zei.place(), "web", Verb::Stop, hasty);
    assert_eq!(
        (err.as_str(), code),
        ("zei-ctl: web: stop failed: not accepted in time; it may still be", exit::NOT_TRUE)
    );
    web.next();
    web.fill();
    let (_, err, code) = send(&zei.place(), "web", Verb::Stop, hasty);
    assert_eq!((err.as_str(), code), ("zei-ctl: web: stop failed: not sent, the control FIFO is full", exit::NOT_TRUE));
}

#[test]
fn a_zei_that_ends_ends_every_wait_and_is_what_a_shutdown_waits_for() {
    for (verb, target, expected) in [(Verb::Stop, "web", exit::NO_ZEI), (Verb::Shutdown, "init", exit::OK)] {
        let mut zei = Zei::new();
        let mut other = if target == "init" { zei.init() } else { zei.service("web") };
        let place = zei.place();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (token, verb) = other.next();
                other.accept(token, verb);
                drop(other);
                zei.end();
            });
            assert_eq!(send(&place, target, verb, PATIENT).2, expected, "{target}");
        });
    }
}

#[test]
fn a_wait_ends_when_the_state_comes_and_at_once_on_a_failure() {
    let zei = Zei::new();
    let web = zei.service("web");
    let name = [ServiceName::parse("web").unwrap()];
    for (until, states, code) in [
        (Until::Ready, &[State::Waiting, State::Starting, State::Running][..], exit::OK),
        (Until::Stopped, &[State::Running, State::Stopping, State::Stopped], exit::OK),
        (Until::Done, &[State::Running, State::Completed], exit::OK),
        (Until::Done, &[State::Running, State::RestartPending, State::Failed], exit::NOT_TRUE),
    ] {
        web.tell(&Status { state: states[0], ..status("web") });
        let place = zei.place();
        thread::scope(|scope| {
            let client = scope.spawn(|| for_all(&place, &name, until, PATIENT.timeout, false).unwrap());
            for state in &states[1..] {
                web.tell(&Status { state: *state, ..status("web") });
            }
            assert_eq!(client.join().unwrap().code, code, "{until:?}");
        });
    }
    let output = for_all(&zei.place(), &name, Until::Ready, Some(Span(0)), true).unwrap();
    assert_eq!(output.code, exit::NOT_TRUE);
    assert!(output.out.starts_with(r#"[{"service":"web","until":"ready","came_true":false,"state":"failed""#));
}

#[test]
fn several_services_are_waited_for_at_once_and_the_first_that_fails_ends_it() {
    let zei = Zei::new();
    let (web, db) = (zei.service("web"), zei.service("db"));
    let names = ["web", "db"].map(|name| ServiceName::parse(name).unwrap());
    for (last, code, out) in
        [(State::Failed, exit::NOT_TRUE, ""), (State::Completed, exit::OK, "web: completed\ndb: completed\n")]
    {
        for service in [(&web, "web"), (&db, "db")] {
            service.0.tell(&Status { state: State::Running, ..status(service.1) });
        }
        let place = zei.place();
        thread::scope(|scope| {
            let client = scope.spawn(|| for_all(&place, &names, Until::Done, PATIENT.timeout, false).unwrap());
            db.tell(&Status { state: last, ..status("db") });
            if code == exit::OK {
                web.tell(&Status { state: State::Completed, ..status("web") });
            }
            let output = client.join().unwrap();
            assert_eq!((output.out.as_str(), output.code), (out, code), "{output:?}");
        });
    }
}

#[test]
fn services_are_listed_with_and_without_a_status() {
    let zei = Zei::new();
    zei.service("web");
    zei.service("db");
    fs::create_dir(zei.path().join("services/new")).unwrap();
    fs::create_dir(zei.path().join("services/.hidden")).unwrap();
    let options = |verb| super::Options { run: Some(zei.path().to_path_buf()), config: Vec::new(), json: false, verb };
    let list = super::perform(&options(super::Verb::List { services: Vec::new() })).unwrap();
    let words = list.out.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>());
    assert_eq!(words.collect::<Vec<_>>(), [["NAME", "STATUS"], ["db", "running"], ["new", "-"], ["web", "running"]]);
    let status = |services: &[&str]| {
        let services = services.iter().map(ToString::to_string).collect();
        super::perform(&options(super::Verb::Status { services })).map_or_else(|failure| failure.code, |done| done.code)
    };
    assert_eq!(
        (status(&["web", "db"]), status(&[]), status(&["none"])),
        (exit::OK, exit::NOT_RUNNING, exit::NO_SUCH_SERVICE)
    );
}

#[test]
fn one_damaged_status_is_said_and_hides_no_other_service() {
    let zei = Zei::new();
    zei.service("db");
    zei.service("web");
    fs::write(zei.path().join("services/db/status"), "rubbish").unwrap();
    let options = |verb| super::Options { run: Some(zei.path().to_path_buf()), config: Vec::new(), json: false, verb };
    let list = super::perform(&options(super::Verb::List { services: Vec::new() })).unwrap();
    let words = list.out.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>());
    assert_eq!(words.collect::<Vec<_>>(), [["NAME", "STATUS"], ["db", "-"], ["web", "running"]]);
    let status = super::perform(&options(super::Verb::Status { services: Vec::new() })).unwrap();
    assert!(status.out.starts_with("db: -\nweb: running\n"), "{}", status.out);
    for output in [list, status] {
        assert_eq!((output.err.len(), output.code), (1, exit::SYSTEM));
        assert!(output.err[0].contains("services/db/status is no status"), "{:?}", output.err);
    }
}

#[test]
fn a_left_over_directory_is_no_running_zei_and_every_place_is_named() {
    let mut zei = Zei::new();
    zei.end();
    let failure = place::find(Some(zei.path())).unwrap_err();
    assert_eq!(failure.code, exit::NO_ZEI);
    assert!(failure.message.contains("left over"), "{}", failure.message);
    let candidate = |path, shared| crate::paths::Candidate { path, shared };
    let nowhere = zei.path().join("nowhere");
    let failure =
        place::search(&[candidate(zei.path().to_path_buf(), false), candidate(nowhere.clone(), true)], &owners());
    let message = failure.unwrap_err().message;
    assert!(message.contains(&format!("{} (left over", zei.path().display())), "{message}");
    assert!(message.contains(&format!("{} (not there)", nowhere.display())), "{message}");
}

fn owners() -> Vec<u32> {
    vec![nix::unistd::geteuid().as_raw()]
}

#[test]
fn a_directory_that_anybody_could_have_put_there_is_not_trusted() {
    let zei = Zei::new();
    let search = |path: &std::path::Path, owners: &[u32]| {
        place::search(&[crate::paths::Candidate { path: path.to_path_buf(), shared: true }], owners)
            .map_err(|failure| failure.message)
    };
    assert!(search(zei.path(), &owners()).is_ok());
    assert!(search(zei.path(), &[4_000_000]).unwrap_err().contains("belongs to another user"));
    let link = zei.path().join("link");
    symlink(zei.path(), &link).unwrap();
    assert!(search(&link, &owners()).unwrap_err().contains("no directory of its own"));
    fs::set_permissions(zei.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert!(search(zei.path(), &owners()).unwrap_err().contains("others may write"));
}

#[test]
fn nothing_is_written_into_what_is_no_fifo() {
    let zei = Zei::new();
    drop(zei.service("web"));
    let control = zei.path().join("services/web/control");
    fs::remove_file(&control).unwrap();
    fs::write(&control, "precious").unwrap();
    let (_, err, code) = send(&zei.place(), "web", Verb::Stop, PATIENT);
    assert!(err.contains("is not zei's FIFO") && code == exit::SYSTEM, "{err}");
    assert_eq!(fs::read_to_string(&control).unwrap(), "precious");
}
