//! New programs take over from those that run, and no service notices.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use zei::exit::{self, Exit};
use zei::protocol::status::{State, Status};
use zei::signal;
use zei_tests::process::{children, kill, name};
use zei_tests::tree::{Plan, Tree};
use zei_tests::{copy_program, eventually, program};

const LISTENER: &str = env!("CARGO_BIN_EXE_listener");
const TELLER: &str = env!("CARGO_BIN_EXE_teller");
const ALL: [&str; 5] = ["zei-init", "zei-supervise", "zei-log", "zei-probe", "zei-cron"];

/// Which file a process executes.
fn executes(pid: u32) -> u64 {
    // 0: it is gone.
    fs::metadata(format!("/proc/{pid}/exe")).map_or(0, |file| file.ino())
}

/// New files with the same programs.
fn replace_all(tree: &Tree) {
    ALL.iter().for_each(|name| tree.replace_program(name, &program(name)));
}

fn on_disk(tree: &Tree, name: &str) -> u64 {
    fs::metadata(tree.directory().join("bin").join(name)).unwrap().ino()
}

fn upgrade(tree: &Tree) {
    replace_all(tree);
    let said = tree.ask("upgrade --timeout 60s");
    assert!(said.starts_with("zei-init and "), "{said}");
    assert_eq!(executes(tree.init), on_disk(tree, "zei-init"));
}

/// What must be the same before and after.
fn life(status: &Status) -> (State, Option<u32>, u32, u32, Option<u64>) {
    (status.state, status.pid, status.run, status.restarts, Some(status.since))
}

#[test]
fn services_keep_their_processes_and_the_programs_are_the_new_ones() {
    let tree = Plan::new(
        "services:\n  web: {command: [sleep, '4001']}\n  db: {command: [sleep, '4002'], restart: always}\n  \
         done: {command: ['true'], restart: no}\n  off: {command: [sleep, '4003'], autostart: false}\n",
    )
    .own_programs()
    .start();
    tree.ask("wait web db");
    tree.until_state("done", State::Completed);
    let names = ["web", "db", "done", "off"];
    tree.until_state("off", State::Stopped);
    let before = names.map(|service| tree.status(service).unwrap());
    for _round in 0..3 {
        upgrade(&tree);
        for (service, before) in names.iter().zip(&before) {
            let after = tree.status(service).unwrap();
            assert_eq!((life(&after), after.supervisor), (life(before), before.supervisor), "{service}");
            assert_eq!(executes(after.supervisor), on_disk(&tree, "zei-supervise"), "{service}");
        }
        // They are the supervisor's own children still.
        assert_eq!(children(before[0].supervisor), [before[0].pid.unwrap()]);
    }
}

#[test]
fn after_it_everything_works_as_before() {
    let mut tree = Plan::new(
        "services:\n  web: {command: ['@D/listener', '@J', web, USR1, '9'], restart: always, restart_delay: 0}\n  \
         api: {command: [sleep, '4001'], depends_on: {web: {condition: service_started, restart: true}}}\n",
    )
    .install("listener", LISTENER)
    .own_programs()
    .start();
    tree.journal.expect("web up");
    upgrade(&tree);
    let main = tree.pid("web");
    kill(main, signal::USR1);
    let again = tree.until("web", "again", |status| status.state == State::Running && status.run == 2);
    assert_eq!((again.exit, again.restarts), (Some(Exit::Code(9)), 1));
    // The tree knows who follows whom, and which restarts by hand are new.
    let api = tree.pid("api");
    tree.ask("restart web");
    tree.until("api", "along", |status| status.pid.is_some_and(|pid| pid != api));
    tree.ask("stop api");
    tree.ask("start api");
    // A supervisor that is killed is replaced, and the change of the tree is known.
    let status = tree.status("web").unwrap();
    kill(status.supervisor, signal::KILL);
    tree.until("web", "taken over", |after| after.supervisor != status.supervisor && after.pid == status.pid);
    fs::write(
        tree.directory().join("zei.yaml"),
        "services:\n  web: {command: [sleep, '4005']}\n  more: {command: [sleep, '4006']}\n",
    )
    .unwrap();
    tree.ask("apply");
    upgrade(&tree);
    assert_eq!(tree.ctl("status api").code, i32::from(exit::NO_SUCH_SERVICE));
    tree.until_state("more", State::Running);
    assert_eq!(tree.stop().0, 0);
}

#[test]
fn a_hook_that_runs_ends_first_and_a_service_that_stops_goes_on_stopping() {
    let plan = Plan::new(
        "services:\n  web: {command: [sleep, '4001'], pre_start: {shell: 'echo begun >$J; read line <@D/gate; echo done >$J'}}\n  \
         slow: {shell: \"trap '' TERM; echo slow >$J; while :; do sleep 4002; done\", stop_grace_period: 2s}\n",
    );
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.own_programs().start();
    tree.journal.listen("both", |lines| (lines.len() == 2).then_some(()));
    tree.ask("stop slow --no-wait");
    let stopping = tree.until_state("slow", State::Stopping);
    replace_all(&tree);
    let mut client = tree.client("upgrade --timeout 60s").spawn().unwrap();
    // zei-init has gone over, and so has the supervisor without a hook.
    eventually("slow gone over", || executes(stopping.supervisor) == on_disk(&tree, "zei-supervise"));
    let slow = tree.status("slow").unwrap();
    assert_eq!((slow.pid, slow.deadline), (stopping.pid, stopping.deadline));
    let web = tree.status("web").unwrap();
    assert_ne!(executes(web.supervisor), on_disk(&tree, "zei-supervise"));
    assert!(client.try_wait().unwrap().is_none());
    fs::write(tree.directory().join("gate"), "go\n").unwrap();
    assert!(client.wait().unwrap().success());
    assert_eq!((tree.journal.count("begun"), tree.journal.count("done")), (1, 1));
    assert_eq!(tree.status("web").unwrap().supervisor, web.supervisor);
    let slow = tree.until_state("slow", State::Stopped);
    assert_eq!(slow.exit, Some(Exit::Signal(signal::KILL)));
}

#[test]
fn what_a_service_has_said_and_why_it_is_unhealthy_is_known_to_its_next_supervisor_and_no_event_is_made_of_it() {
    let tree = Plan::new(
        "services:\n  ill: {command: [sleep, '4001'], healthcheck: {test: ['CMD-SHELL', 'echo badness; exit 1'], \
         interval: 300s, start_interval: 100ms, start_period: 200ms, retries: 1}}\n  \
         says: {shell: '@D/teller READY=1 STATUS=serving; exec sleep 4002', ready: {notify: systemd}}\n",
    )
    .install("teller", TELLER)
    .own_programs()
    .start();
    let ill = tree.until("ill", "unhealthy", |status| status.reason.as_str() == "unhealthy:badness");
    tree.until("says", "said", |status| status.text.as_str() == "serving");
    let events = || tree.ask("events --no-follow ill says").lines().count();
    let count = events();
    for _ in 0..3 {
        upgrade(&tree);
        let after = tree.status("ill").unwrap();
        assert_eq!((life(&after), after.reason), (life(&ill), ill.reason));
        assert_eq!(tree.status("says").unwrap().text.as_str(), "serving");
    }
    kill(ill.supervisor, signal::KILL);
    let after = tree.until("ill", "taken over", |status| status.supervisor != ill.supervisor);
    assert_eq!((life(&after), after.reason), (life(&ill), ill.reason));
    assert_eq!(events(), count);
}

#[test]
fn what_remains_of_a_service_that_stops_is_asked_to_end_only_once() {
    let tree = Plan::new(
        "services:\n  web: {shell: \"sh -c 'trap \\\"echo TERM >$J\\\" TERM; echo up >$J; while :; do sleep 0.1; done' & \
         exec sleep 4001\", stop_grace_period: 3s}\n",
    )
    .own_programs()
    .start();
    tree.journal.expect("up");
    tree.ask("stop web --no-wait");
    tree.journal.expect("TERM");
    upgrade(&tree);
    upgrade(&tree);
    tree.until_state("web", State::Stopped);
    assert_eq!(tree.journal.count("TERM"), 1);
}

#[test]
fn programs_that_do_not_fit_are_refused_and_all_goes_on() {
    let tree = Plan::new("services:\n  web: {command: [sleep, '4001']}\n").own_programs().start();
    let before = tree.until_state("web", State::Running);
    let bad = tree.directory().join("bad");
    let refused = |name: &str, content: &str, mode: u32, why: &str| {
        fs::write(&bad, content).unwrap();
        fs::set_permissions(&bad, fs::Permissions::from_mode(mode)).unwrap();
        tree.replace_program(name, &bad);
        let said = tree.ctl("upgrade");
        assert_eq!(said.code, i32::from(exit::SYSTEM), "{said:?}");
        assert!(said.err.contains(why), "{why}: {said:?}");
        tree.replace_program(name, &program(name));
        assert_eq!(life(&tree.status("web").unwrap()), life(&before));
    };
    refused(
        "zei-supervise",
        "#!/bin/sh\necho zei-supervise 9.9.9 form 1\n",
        0o755,
        "it is \"zei-supervise 9.9.9 form 1\"",
    );
    refused("zei-supervise", "no program\n", 0o755, "cannot execute");
    refused("zei-supervise", "#!/bin/sh\n", 0o644, "cannot execute");
    refused("zei-log", "#!/bin/sh\n", 0o755, "it does not say which");
    refused("zei-init", "no program\n", 0o755, "Exec format error");
    refused("zei-init", "#!/bin/sh\n", 0o755, "is no zei-init that could take over");
    refused("zei-init", "#!/bin/sh\nexit 3\n", 0o755, "ended by exit code 3");
    refused("zei-init", "#!/bin/sh\nkill -SEGV $$\n", 0o755, "ended by");
    fs::remove_file(tree.directory().join("bin/zei-init")).unwrap();
    let said = tree.ctl("upgrade");
    assert!(said.code == i32::from(exit::SYSTEM) && said.err.contains("No such file"), "{said:?}");
    copy_program(program("zei-init"), tree.directory().join("bin/zei-init"));
    upgrade(&tree);
}

#[test]
fn output_that_is_pumped_is_neither_lost_nor_doubled_and_readiness_arrives() {
    let plan = Plan::new(
        "services:\n  count: {shell: 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; read end <@D/gate; \
         echo over; sleep 4009', ready: {log: over}}\n",
    );
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut tree = plan.own_programs().start();
    for _round in 0..5 {
        upgrade(&tree);
    }
    let logs = || children(tree.init).into_iter().filter(|pid| name(*pid).as_deref() == Some("zei-log"));
    eventually("the new zei-log", || logs().any(|pid| executes(pid) == on_disk(&tree, "zei-log")));
    fs::write(tree.directory().join("gate"), "go\n").unwrap();
    tree.until("count", "ready", |status| status.ready);
    tree.stop();
    let lines: Vec<String> = tree.out.all();
    let expected: Vec<String> = (1..=3000).map(|i| format!("line {i}")).chain(["over".to_owned()]).collect();
    assert_eq!(lines, expected);
}

#[test]
fn as_pid_1_it_keeps_its_exit_contract() {
    if !zei_tests::tree::can_be_pid_1() {
        return;
    }
    let mut tree =
        Plan::new("services:\n  web: {command: ['@D/listener', '@J', web, USR1, '9'], on_failure: shutdown}\n")
            .install("listener", LISTENER)
            .own_programs()
            .pid_1()
            .start();
    tree.journal.expect("web up");
    let main = tree.status("web").unwrap();
    upgrade(&tree);
    let after = tree.status("web").unwrap();
    assert_eq!(life(&after), life(&main));
    tree.ask("signal web USR1");
    assert_eq!(tree.end().0, 9);
}
