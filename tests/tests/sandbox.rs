//! Where the container forbids what zei would rather use, it does the same by other means.

use nix::errno::Errno;
use nix::libc::{self, c_long};
use std::fs;
use std::process::Command;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::process::{descendants, is_alive, kill};
use zei_tests::seccomp::{self, CLOSE, PIDFD};
use zei_tests::tree::{Plan, Tree, is_root};
use zei_tests::{eventually, skipped};

/// One that says its children's pids, of which one is in a session of its own.
const FAMILY: &str = "services:
  web: {shell: 'setsid sh -c \"sleep 4001 & sleep 4002 & echo up >$J; wait\" & wait', restart: always}
";

/// What the profiles of older Dockers and other sandboxes refuse.
fn profiles() -> Vec<(Vec<c_long>, Errno)> {
    let all = [&CLOSE[..], &PIDFD, &[libc::SYS_clone3, libc::SYS_sched_setattr, libc::SYS_pwritev2]].concat();
    let rows = [CLOSE.to_vec(), PIDFD.to_vec(), vec![libc::SYS_pidfd_send_signal], all];
    rows.into_iter().flat_map(|calls| [(calls.clone(), Errno::ENOSYS), (calls, Errno::EPERM)]).collect()
}

fn refused(calls: &[c_long], errno: Errno, plan: Plan) -> Option<Tree> {
    let words = seccomp::words(calls, errno)?;
    Some(plan.wrapper(&words.iter().map(String::as_str).collect::<Vec<_>>()).start())
}

#[test]
fn under_any_profile_a_service_starts_and_nothing_is_left_of_it_when_it_stops() {
    for (calls, errno) in profiles() {
        let Some(mut tree) = refused(&calls, errno, Plan::new(FAMILY)) else { return };
        for round in 1..=2 {
            eventually("up", || tree.journal.count("up") == round);
            let main = tree.pid("web");
            let family = descendants(main);
            assert!(family.len() >= 3, "{family:?}");
            tree.ask("restart web");
            assert!(!is_alive(main) && family.into_iter().all(|pid| !is_alive(pid)), "{calls:?} {errno}");
        }
        assert_eq!(tree.stop().0, 0);
    }
}

#[test]
fn without_pidfds_a_killed_supervisors_service_goes_on_and_can_be_stopped() {
    let Some(tree) = refused(&PIDFD, Errno::ENOSYS, Plan::new(FAMILY)) else { return };
    tree.journal.expect("up");
    let before = tree.status("web").unwrap();
    let family = descendants(before.pid.unwrap());
    kill(before.supervisor, signal::KILL);
    let after = tree.until("web", "taken over", |status| status.supervisor != before.supervisor);
    assert_eq!((after.pid, after.run), (before.pid, before.run));
    tree.ask("stop web");
    assert!(!is_alive(before.pid.unwrap()) && family.into_iter().all(|pid| !is_alive(pid)));
}

#[test]
fn without_close_range_a_service_gets_no_descriptor_that_zei_init_was_started_with() {
    let Some(words) = seccomp::words(&CLOSE, Errno::ENOSYS) else { return };
    let gift = ["bash", "-c", "exec 7</etc/passwd 300</etc/group; exec \"$@\"", "bash"];
    let words: Vec<&str> = words.iter().map(String::as_str).chain(gift).collect();
    let tree = Plan::new("services:\n  web: {command: [sleep, '4003']}\n").wrapper(&words).start();
    let pid = tree.pid("web");
    let open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(open.len(), 3, "{open:?}");
}

#[test]
fn without_the_right_to_kill_root_ends_another_users_service_as_that_user() {
    if !(is_root() || skipped("root")) {
        return;
    }
    let yaml = "services:
  web: {shell: 'sleep 4004 & echo up >$J; wait', user: nobody}
  deaf: {shell: 'trap \"\" TERM; sleep 4005 & echo deaf >$J; while :; do wait; done', user: daemon, stop_grace_period: 0s}
";
    let mut tree = Plan::new(yaml).wrapper(&["setpriv", "--bounding-set=-kill", "--inh-caps=-kill"]).start();
    tree.journal.expect("up");
    tree.journal.expect("deaf");
    for service in ["web", "deaf"] {
        let main = tree.until_state(service, State::Running).pid.unwrap();
        let family = descendants(main);
        tree.ask(&format!("stop {service}"));
        assert!(!is_alive(main) && family.into_iter().all(|pid| !is_alive(pid)), "{service}");
    }
    assert_eq!(tree.stop().0, 0);
}

#[test]
fn nothing_that_a_services_user_could_stop_sends_it_a_signal() {
    let has_strace = Command::new("strace").arg("-V").output().is_ok();
    if !((is_root() || skipped("root")) && (has_strace || skipped("strace(1)"))) {
        return;
    }
    let plan = Plan::new("services:\n  web: {command: [sleep, '4013'], user: '4471'}\n");
    let trace = plan.directory().join("trace");
    let words = ["strace", "-D", "-f", "-qq", "-o", trace.to_str().unwrap()];
    let lacking = ["setpriv", "--bounding-set=-kill", "--inh-caps=-kill"];
    let mut tree = plan.wrapper(&[&words[..], &lacking].concat()).start();
    tree.until_state("web", State::Running);
    tree.ask("signal web:WINCH --timeout 30s");
    tree.ask("stop web --timeout 30s");
    assert_eq!(tree.stop().0, 0);
    let trace = fs::read_to_string(trace).unwrap();
    let count = |call: &str| trace.matches(call).count();
    // Only the service itself has ever been that user in all three ways; by the real or the saved one it could be stopped.
    assert_eq!(count("setresuid(4471, 4471, 4471)"), 1, "{trace}");
    assert!(count("setresuid(-1, 4471, -1)") > 1, "{trace}");
}
