//! What once went wrong: kept here so that it does not come back.

use nix::poll::{PollFd, PollFlags, poll};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use zei::paths;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::process::{self, children, descendants, is_alive, name, switches};
use zei_tests::tree::{Plan, Tree, is_root};
use zei_tests::{eventually, program, skipped};

const LISTENER: &str = env!("CARGO_BIN_EXE_listener");
const WEB: &str = "services:\n  web: {command: [sleep, infinity]}\n";
/// Long enough for what must not happen, far less than any time-out of what must.
const SOON: Duration = Duration::from_secs(10);

/// Kills a service's supervisor and waits until the service runs under another one.
fn replace_supervisor(tree: &Tree, service: &str) {
    let before = tree.until_state(service, State::Running).supervisor;
    process::kill(before, signal::KILL);
    tree.until(service, "up under a new supervisor", |status| {
        status.supervisor != before && status.state == State::Running
    });
}

#[test]
fn a_run_directory_with_files_of_others_is_refused_by_name_and_left_as_it_is() {
    let plan = Plan::new("services:\n  web: {command: ['true']}\n");
    let theirs = plan.directory().join("theirs");
    let data = theirs.join("services/foo/data.txt");
    fs::create_dir_all(theirs.join("services/foo")).unwrap();
    fs::write(&data, "precious").unwrap();
    let directories = [theirs.clone(), theirs.join("services"), theirs.join("services/foo")];
    for directory in &directories {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o1777)).unwrap();
    }
    let mut tree = plan.run_directory(&theirs).spawn();
    tree.end();
    let said = tree.err.whole();
    assert!(said.contains(theirs.to_str().unwrap()), "{said}");
    assert_eq!(fs::read_to_string(&data).unwrap(), "precious");
    for directory in &directories {
        assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o7777, 0o1777, "{directory:?}");
    }
    let left: Vec<_> = fs::read_dir(&theirs).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["services"]);
}

#[test]
fn descendants_whose_parents_die_first_are_asked_to_end_like_all_others() {
    let tree = Tree::start(
        "services:\n  web: {stop_grace_period: 60s, shell: \"for i in 1 2 3 4; do sh -c 'sleep 4001; :' & done; \
         exec sleep 4000\"}\n",
    );
    let supervisor = tree.until_state("web", State::Running).supervisor;
    let sleeps = || descendants(supervisor).into_iter().filter(|pid| name(*pid).as_deref() == Some("sleep")).count();
    eventually("all there", || sleeps() == 5);
    let before = descendants(supervisor);
    let began = Instant::now();
    tree.ask("stop web");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(!before.iter().any(|pid| is_alive(*pid)), "{before:?}");
}

#[test]
fn an_adopted_service_whose_child_holds_its_socket_can_bind_it_again() {
    let perl = Command::new("perl").args(["-MSocket", "-e", "1"]).stderr(Stdio::null()).status();
    if !(perl.is_ok_and(|status| status.success()) || skipped("perl")) {
        return;
    }
    let script = "#!/usr/bin/env perl\nuse Socket;\nopen(J, '>', '@J'); select(J); $| = 1;\n\
        socket(S, AF_UNIX, SOCK_STREAM, 0);\n\
        print(bind(S, pack_sockaddr_un(\"\\0@D\")) ? \"bound\\n\" : \"taken\\n\");\n\
        listen(S, 1); fork(); sleep(4000);\n";
    let tree = Plan::new("services:\n  web: {command: ['@D/bind'], restart: always, restart_delay: 0}\n")
        .file("bind", script, 0o755)
        .start();
    tree.journal.expect("bound");
    let supervisor = tree.until_state("web", State::Running).supervisor;
    eventually("forked", || descendants(supervisor).len() == 2);
    replace_supervisor(&tree, "web");
    process::kill(tree.pid("web"), signal::KILL);
    let lines = tree.journal.listen("a second run", |lines| (lines.len() >= 2).then(|| lines.to_vec()));
    assert_eq!(lines, ["bound", "bound"]);
}

/// How often each supervisor was switched away from.
fn all_switches(init: u32) -> Vec<(u32, u64)> {
    let supervisors = children(init).into_iter().filter(|pid| name(*pid).as_deref() == Some("zei-supervise"));
    supervisors.map(|pid| (pid, switches(pid).unwrap())).collect()
}

/// Lets time pass: nobody ever writes to this pipe.
fn watch_for(milliseconds: u16) {
    let (quiet, _writer) = std::io::pipe().unwrap();
    assert_eq!(poll(&mut [PollFd::new(quiet.as_fd(), PollFlags::POLLIN)], milliseconds), Ok(0));
}

/// No supervisor wakes up for a second, once the last of them has told and waits.
fn no_supervisor_wakes_up(init: u32, count: usize) {
    eventually("all there", || all_switches(init).len() == count);
    let mut before = all_switches(init);
    for _look in 0..20 {
        watch_for(1000);
        let now = all_switches(init);
        if now == before {
            return;
        }
        before = now;
    }
    panic!("they wake up again and again: {before:?}");
}

/// Two that run, one of them because the other does, one that waits for ever.
const CHAIN: &str = "services:\n  a: {shell: 'echo a >$J; exec sleep infinity'}\n  \
    b: {shell: 'echo b >$J; exec sleep infinity', depends_on: [a]}\n  \
    endless: {command: [sleep, infinity], oneshot: true}\n  c: {command: ['true'], depends_on: [endless]}\n";

/// A file where a directory should be, taken away again.
struct InTheWay(PathBuf);

impl InTheWay {
    fn of(path: String) -> InTheWay {
        fs::write(&path, "").unwrap();
        InTheWay(PathBuf::from(path))
    }
}

impl Drop for InTheWay {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

#[test]
fn without_a_run_directory_dependents_start_and_no_supervisor_wakes_up() {
    if !is_root() {
        return;
    }
    let uid = 60_000 + std::process::id() % 5_000;
    let namespace = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    let _files = [InTheWay::of(format!("/tmp/zei-{uid}")), InTheWay::of(format!("/dev/shm/zei-{uid}-{namespace}"))];
    let plan = Plan::new(CHAIN).nameless();
    let plan = ["zei-init", "zei-supervise", "zei-setuidgid"]
        .into_iter()
        .fold(plan, |plan, name| plan.install(name, program(name).to_str().unwrap()));
    let script = format!("shift; exec $D/zei-setuidgid {uid} $D/zei-init \"$@\"");
    let tree = plan.wrapper(&["sh", "-c", &script, "sh"]).spawn();
    tree.journal.expect("b");
    tree.err.expect("services run without control");
    no_supervisor_wakes_up(tree.init, 4);
}

/// A tree whose run directory is a tmpfs with these options, in a mount namespace of its own.
fn on_tmpfs(yaml: &str, options: &str) -> Option<Tree> {
    let allowed = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if !is_root() || !(allowed.is_ok_and(|status| status.success()) || skipped("to be allowed a mount namespace")) {
        return None;
    }
    let plan = Plan::new(yaml).install("listener", LISTENER);
    fs::create_dir(plan.directory().join("run")).unwrap();
    let script = format!("mount -t tmpfs -o mode=755,{options} none $ZEI_RUN && exec \"$@\"");
    Some(plan.wrapper(&["unshare", "--mount", "sh", "-c", &script, "sh"]).spawn())
}

/// A path below the run directory of such a tree, as this process can reach it.
fn inside(tree: &Tree, path: &str) -> PathBuf {
    let run = tree.directory().join("run").join(path);
    Path::new("/proc").join(tree.init.to_string()).join("root").join(run.strip_prefix("/").unwrap())
}

#[test]
fn without_room_for_the_fifos_dependents_start_and_no_supervisor_wakes_up() {
    // Itself, init with three files, services, and `a` with its FIFO: from there on there is no inode left.
    let Some(tree) = on_tmpfs(CHAIN, "nr_inodes=8") else { return };
    tree.journal.expect("b");
    let said = tree.err.expect("can't be controlled");
    assert!(said.contains("No space left on device"), "{said}");
    no_supervisor_wakes_up(tree.init, 4);
}

#[test]
fn a_full_run_directory_stops_no_service_and_leaves_no_client_waiting_for_ever() {
    let yaml = "services:\n  web: {command: ['@D/listener', '@J', web]}\n";
    let Some(tree) = on_tmpfs(yaml, "size=64k") else { return };
    tree.journal.expect("web up");
    eventually("up", || {
        fs::read_to_string(inside(&tree, "services/web/status")).unwrap_or_default().contains("state=running")
    });
    let status = fs::read_to_string(inside(&tree, "services/web/status")).unwrap();
    let number = |key: &str| -> u32 { status.lines().find_map(|line| line.strip_prefix(key)?.parse().ok()).unwrap() };
    let (supervisor, web) = (number("supervisor="), number("pid="));
    let mut filler = File::create(inside(&tree, "filler")).unwrap();
    while filler.write(&[0; 4096]).is_ok() {}
    let before = switches(supervisor);
    let mut client = Command::new("nsenter");
    client.arg(format!("--mount=/proc/{}/ns/mnt", tree.init)).arg(program("zei-ctl"));
    client.args(["restart", "web", "--timeout", "50"]).env(paths::RUN_VARIABLE, tree.directory().join("run"));
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("noticed", || switches(supervisor) != before || client.try_wait().unwrap().is_some());
    let refused = client.try_wait().unwrap().is_some();
    assert!(is_alive(supervisor) && (is_alive(web) || tree.journal.count("web TERM") == 1), "{before:?}");
    fs::remove_file(inside(&tree, "filler")).unwrap();
    drop(filler);
    let began = Instant::now();
    let output = client.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("in time") && began.elapsed() < 2 * SOON, "{said} {:?} {refused}", began.elapsed());
    assert!(output.status.success() || !said.is_empty());
    eventually("up", || children(supervisor).iter().any(|pid| is_alive(*pid)));
}

#[test]
fn a_status_that_a_successor_found_no_room_for_is_written_once_there_is_room() {
    let yaml = "services:\n  web: {command: ['@D/listener', '@J', web]}\n";
    let Some(tree) = on_tmpfs(yaml, "nr_inodes=40") else { return };
    tree.journal.expect("web up");
    let path = inside(&tree, "services/web/status");
    let number = |key: &str| -> Option<u32> {
        let status = fs::read_to_string(&path).unwrap_or_default();
        status.lines().find_map(|line| line.strip_prefix(key)?.parse().ok())
    };
    eventually("up", || number("pid=").is_some());
    let (supervisor, web) = (number("supervisor=").unwrap(), number("pid=").unwrap());
    fs::remove_file(&path).unwrap();
    // What the predecessor had open takes room as long as it lives.
    tree.signal(19);
    process::kill(supervisor, signal::KILL);
    eventually("dead", || !is_alive(supervisor));
    let fillers: Vec<PathBuf> = (0..40).map(|count| inside(&tree, &format!("filler.{count}"))).collect();
    let made: Vec<_> = fillers.iter().filter(|filler| File::create(filler).is_ok()).collect();
    tree.signal(signal::CONT);
    let successor = || children(tree.init).into_iter().find(|pid| ![supervisor, web].contains(pid));
    eventually("replaced", || successor().is_some_and(is_alive));
    let mut control = File::options().write(true).open(inside(&tree, "services/web/control")).unwrap();
    control.write_all(b"- signal USR1\n").unwrap();
    tree.journal.expect("web USR1");
    assert!(!made.is_empty() && !path.exists());
    made.iter().for_each(|filler| fs::remove_file(filler).unwrap());
    control.write_all(b"- signal USR2\n").unwrap();
    tree.journal.expect("web USR2");
    eventually("told", || number("supervisor=") == successor() && number("pid=") == Some(web));
}

#[test]
fn a_line_without_an_end_in_the_control_fifo_does_not_swallow_the_next_command() {
    let tree = Tree::start(WEB);
    let before = tree.pid("web");
    let mut fifo = File::options().write(true).open(tree.file("web", paths::CONTROL)).unwrap();
    fifo.write_all(b"garbage").unwrap();
    tree.ask("restart web --timeout 10");
    assert_ne!(tree.pid("web"), before);
}

#[test]
fn a_service_whose_dependencys_event_fifo_was_removed_starts_when_the_dependency_is_done() {
    let plan = Plan::new(
        "services:\n  job: {shell: 'read line <@D/gate', oneshot: true}\n  \
         web: {shell: 'echo web >$J; exec sleep infinity', depends_on: [job]}\n",
    );
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    tree.until_state("web", State::Waiting);
    let event = tree.file("job", paths::EVENT);
    eventually("listening", || event.exists());
    fs::remove_file(&event).unwrap();
    fs::write(tree.directory().join("gate"), "go\n").unwrap();
    tree.journal.expect("web");
}

/// A service that tells its signals, whose supervisor has been killed three times in a row.
fn thrice_orphaned() -> Tree {
    let tree = Plan::new(
        "shutdown_timeout: 30s\nservices:\n  \
         web: {command: ['@D/listener', '@J', web], restart: always, restart_delay: 0}\n",
    )
    .install("listener", LISTENER)
    .start();
    tree.journal.expect("web up");
    for _round in 0..2 {
        replace_supervisor(&tree, "web");
    }
    process::kill(tree.until_state("web", State::Running).supervisor, signal::KILL);
    tree
}

#[test]
fn a_service_whose_supervisor_was_killed_three_times_still_gets_its_stop_signal() {
    let mut tree = thrice_orphaned();
    tree.stop();
    assert_eq!(tree.journal.all(), ["web up", "web TERM"]);
}

#[test]
fn a_shutdown_right_after_a_supervisor_was_killed_three_times_ends_far_within_the_budget() {
    let mut tree = thrice_orphaned();
    let before = tree.descendants();
    let (code, took) = tree.stop();
    assert!(code == 0 && took < Duration::from_secs(5), "{code} {took:?}");
    assert!(!before.is_empty() && !before.iter().any(|pid| is_alive(*pid)), "{before:?}");
}

#[test]
fn a_start_without_dependencies_starts_the_service_alone() {
    let tree = Tree::start(
        "services:\n  db: {command: [sleep, infinity], autostart: false}\n  \
         web: {command: [sleep, infinity], depends_on: [db], autostart: false}\n  hold: {command: [sleep, infinity]}\n",
    );
    tree.ask("start --no-deps web --timeout 10");
    tree.pid("web");
    let db = tree.until_state("db", State::Stopped);
    assert_eq!(db.run, 0);
}

#[test]
fn a_start_of_a_service_starts_a_dependency_that_had_failed() {
    let tree = Tree::start(
        "services:\n  db: {shell: 'test -e @D/flag', oneshot: true}\n  \
         web: {command: [sleep, infinity], depends_on: [db]}\n  hold: {command: [sleep, infinity]}\n",
    );
    assert_eq!(tree.until_state("web", State::Failed).reason.as_str(), "dependency:db");
    fs::write(tree.directory().join("flag"), "").unwrap();
    tree.ask("start web --timeout 10");
    tree.pid("web");
    assert_eq!(tree.until_state("db", State::Completed).run, 2);
}

/// A hundred services, and 64 descriptors for zei-init.
fn crowded() -> Tree {
    let mut yaml = String::from("services:\n");
    for number in 0..100 {
        yaml += &format!("  s{number}: {{shell: 'echo s{number} >$J; exec sleep infinity'}}\n");
    }
    Plan::new(&yaml).wrapper(&["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"]).start()
}

#[test]
fn with_too_few_descriptors_all_services_start_and_what_can_not_be_controlled_is_said() {
    let tree = crowded();
    tree.journal.listen("a hundred services", |lines| (lines.len() == 100).then_some(()));
    tree.err.expect("can't be controlled");
}

#[test]
fn with_too_few_descriptors_the_services_for_which_there_is_room_can_be_controlled() {
    let tree = crowded();
    tree.journal.listen("a hundred services", |lines| (lines.len() == 100).then_some(()));
    tree.err.expect("can't be controlled");
    let said = tree.err.all().join("\n");
    let known = |number: &usize| !said.split(|c: char| !c.is_alphanumeric()).any(|word| word == format!("s{number}"));
    let room: Vec<usize> = (0..100).filter(known).collect();
    assert!(room.len() >= 20 && room.len() < 64, "{room:?}\n{said}");
    for number in room {
        tree.ask(&format!("signal s{number}:CONT --timeout 10"));
    }
}

#[test]
fn commands_are_answered_after_the_file_of_answers_was_removed() {
    let tree = Tree::start(WEB);
    tree.pid("web");
    tree.ask("restart web --timeout 10");
    fs::remove_file(tree.file("web", paths::ACKS)).unwrap();
    tree.ask("restart web --timeout 10");
    assert_eq!(tree.until_state("web", State::Running).run, 3);
    tree.ask("stop web --timeout 10");
}
