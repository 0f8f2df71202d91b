//! Whatever goes wrong around zei: nothing that runs stops running, it is said once, and all recovers when it is over.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use zei::paths;
use zei::protocol::status::{State, Status};
use zei::signal;
use zei_tests::process::{children, is_alive, kill, only_child};
use zei_tests::tree::{Plan, Tree, is_root};
use zei_tests::{eventually, program, skipped};

const LISTENER: &str = env!("CARGO_BIN_EXE_listener");
const WEB: &str = "services:\n  web: {command: [sleep, '4001'], restart: always}\n  db: {command: [sleep, '4002']}\n";

/// A tree with its run directory on a tmpfs with these options, in a mount namespace of its own.
fn on_tmpfs(options: &str) -> Option<Tree> {
    let allowed = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if !is_root() || !(allowed.is_ok_and(|status| status.success()) || skipped("to be allowed a mount namespace")) {
        return None;
    }
    let plan = Plan::new("services:\n  web: {command: ['@D/listener', '@J', web]}\n").install("listener", LISTENER);
    fs::create_dir(plan.directory().join("run")).unwrap();
    let script = format!("mount -t tmpfs -o mode=755,{options} none $ZEI_RUN && exec \"$@\"");
    Some(plan.wrapper(&["unshare", "--mount", "sh", "-c", &script, "sh"]).spawn())
}

/// In that namespace.
fn inside(tree: &Tree) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--mount=/proc/{}/ns/mnt", tree.init));
    command
}

/// What is put in the place of a file.
type Damage<'a> = &'a dyn Fn(&Path);

/// What must be the same before and after.
fn life(status: &Status) -> (State, Option<u32>, u32, u32) {
    (status.state, status.pid, status.run, status.restarts)
}

fn running(tree: &Tree) -> Status {
    tree.until_state("db", State::Running);
    tree.until_state("web", State::Running)
}

/// A limit of a process that runs, as prlimit(1) has it, set by its own user: not even root may set another's without
/// SYS_RESOURCE.
fn limit(pid: u32, what: &str) {
    let owner = fs::metadata(format!("/proc/{pid}")).unwrap();
    let done = Command::new("prlimit")
        .arg(format!("--pid={pid}"))
        .arg(what)
        .uid(owner.uid())
        .gid(owner.gid())
        .status()
        .unwrap();
    assert!(done.success(), "prlimit {what}");
}

/// How often a process has gone to sleep of its own will.
fn sleeps(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.unwrap().trim().parse().unwrap()
}

/// Its supervisor is killed: another one, made by a zei-init to which something is wrong, takes over at last.
fn replaced_in_the_end(tree: &Tree, before: &Status, says: &str, mend: impl FnOnce()) {
    kill(before.supervisor, signal::KILL);
    let said = tree.err.expect(says);
    assert!(said.contains("web"), "{said}");
    assert!(is_alive(before.pid.unwrap()));
    mend();
    let after = tree.until("web", "taken over", |status| status.supervisor != before.supervisor);
    assert_eq!(life(&after), life(before));
}

#[test]
fn a_control_fifo_that_was_removed_or_replaced_is_there_again_when_it_is_missed() {
    let tree = Tree::start(WEB);
    let mut before = running(&tree);
    let fifo = tree.file("web", paths::CONTROL);
    for round in 0..3 {
        fs::remove_file(&fifo).unwrap();
        match round {
            0 => {}
            // As a shell does that writes to what is not there.
            1 => fs::write(&fifo, "- restart\n").unwrap(),
            _ => std::os::unix::fs::symlink("/etc/passwd", &fifo).unwrap(),
        }
        tree.ask("restart web --timeout 10");
        assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
        let after = running(&tree);
        assert_ne!(after.pid, before.pid);
        assert_eq!(after.supervisor, before.supervisor);
        before = after;
    }
    tree.err.expect("made anew: services/web/control");
    // The others are as they were, and a shell finds it as well.
    tree.echo("web", "- stop");
    tree.until_state("web", State::Stopped);
    tree.ask("restart db --timeout 10");
}

#[test]
fn a_status_that_was_removed_or_overwritten_is_there_again_when_it_is_missed() {
    let tree = Tree::start(WEB);
    let before = running(&tree);
    let file = tree.file("web", paths::STATUS);
    let whole = fs::read_to_string(&file).unwrap();
    let keys = |text: &str| text.lines().map(|line| line.split('=').next().unwrap().to_owned()).collect::<Vec<_>>();
    for garbage in [None, Some(String::new()), Some("no status\n".repeat(400)), Some(format!("{whole}{whole}"))] {
        let is_missed = garbage.as_ref().is_none_or(|garbage| Status::decode(garbage.as_bytes()).is_none());
        match &garbage {
            None => fs::remove_file(&file).unwrap(),
            Some(garbage) => fs::write(&file, garbage).unwrap(),
        }
        let said = tree.ask("status web");
        assert!(said.contains("running"), "{garbage:?}: {said}");
        assert_eq!(life(&tree.status("web").unwrap()), life(&before));
        // A shell reads all of it.
        let cleared = || keys(&fs::read_to_string(&file).unwrap()) == keys(&whole);
        if is_missed {
            eventually("without what was behind it", cleared);
        }
    }
    // It lives on under another name.
    fs::rename(&file, file.with_file_name("other")).unwrap();
    let said = tree.ask("status web");
    assert!(said.contains("running"), "{said}");
    assert_eq!(life(&tree.status("web").unwrap()), life(&before));
    // One that nobody has missed is there again with the next change.
    fs::remove_file(&file).unwrap();
    kill(before.pid.unwrap(), signal::KILL);
    eventually("told", || tree.status("web").is_some_and(|status| status.run == 2));
    tree.err.expect("made anew: services/web/status");
}

#[test]
fn a_services_whole_directory_and_zei_inits_own_files_are_there_again() {
    let tree = Tree::start(WEB);
    let before = running(&tree);
    let init = |file| tree.file("web", "").ancestors().nth(2).unwrap().join(paths::INIT).join(file);
    fs::remove_dir_all(tree.file("web", "")).unwrap();
    // Nobody knows that there was a service of that name.
    kill(tree.init, signal::CHLD);
    eventually("there again", || tree.status("web").is_some());
    assert_eq!(life(&tree.status("web").unwrap()), life(&before));
    tree.ask("restart web --timeout 10");
    fs::remove_file(init(paths::CONTROL)).unwrap();
    tree.ask("apply --timeout 10");
    fs::remove_file(init(paths::STATUS)).unwrap();
    kill(tree.init, signal::CHLD);
    eventually("told", || fs::read_to_string(init(paths::STATUS)).is_ok_and(|status| status.contains("state=running")));
    fs::remove_file(init(paths::LOCK)).unwrap();
    tree.ask("status web");
    for what in ["services/web/control", "init/control", "init/lock"] {
        tree.err.expect(what);
    }
    assert!(tree.ask("list").contains("web"));
    // The whole of it.
    fs::remove_dir_all(init("")).unwrap();
    kill(tree.init, signal::CHLD);
    eventually("told", || fs::read_to_string(init(paths::STATUS)).is_ok_and(|status| status.contains("state=running")));
    tree.ask("apply --timeout 10");
    tree.ask("restart web --timeout 10");
}

#[test]
fn what_lies_in_the_place_of_zeis_files_and_directories_makes_way() {
    let mut tree = Tree::start(WEB);
    let before = running(&tree);
    let services = tree.file("web", "").parent().unwrap().to_path_buf();
    let init = services.parent().unwrap().join(paths::INIT);
    let web = services.join("web");
    let fifo = |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let directory = |path: &Path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("file"), "not zei's").unwrap();
    };
    let link = |path: &Path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap();
    let damages: [(&Path, &str, Damage); 9] = [
        (&web, paths::STATUS, &fifo),
        (&web, paths::STATUS, &directory),
        (&web, paths::STATUS, &link),
        (&web, paths::CONTROL, &directory),
        (&web, paths::ACKS, &fifo),
        (&init, paths::STATUS, &fifo),
        (&init, paths::CONTROL, &directory),
        (&init, paths::ACKS, &fifo),
        (&init, paths::LOCK, &directory),
    ];
    // In the place of what is not even there.
    fifo(&services.join("db").join(paths::ACKS));
    tree.ask("signal db:CONT --timeout 20");
    let kind = |path: &Path| fs::symlink_metadata(path).map(|file| (file.is_file(), file.file_type().is_fifo()));
    for (place, name, damage) in damages {
        let path = place.join(name);
        // So that it is not removed, only elsewhere.
        let _no_acks_yet = fs::rename(&path, place.join("elsewhere"));
        damage(&path);
        kill(tree.init, signal::CHLD);
        eventually("zei is found", || tree.ctl("list").code == 0);
        tree.ask("signal web:CONT --timeout 20");
        tree.ask("apply --timeout 20");
        let said = tree.ask("status web");
        assert!(said.contains("running"), "{path:?}: {said}");
        let is_fifo = name == paths::CONTROL;
        eventually("made anew", || kind(&path).is_ok_and(|kind| kind == (!is_fifo, is_fifo)));
    }
    // The directory of all services, with all that is in it.
    fs::remove_dir_all(&services).unwrap();
    kill(tree.init, signal::CHLD);
    eventually("there again", || ["web", "db"].iter().all(|service| tree.status(service).is_some()));
    tree.ask("restart db --timeout 20");
    assert_eq!(life(&tree.status("web").unwrap()), life(&before));
    assert_eq!(tree.stop().0, 0);
}

#[test]
fn without_a_descriptor_left_zei_init_replaces_supervisors_and_says_what_it_can_not_do() {
    let tree = Tree::start(WEB);
    let before = running(&tree);
    // The file of answers is open from here on.
    tree.ask("apply --timeout 10");
    limit(tree.init, "--nofile=13:");
    let said = tree.ctl("apply --timeout 10");
    assert!(said.code == 111 && said.err.contains("Too many open files"), "{said:?}");
    kill(before.supervisor, signal::KILL);
    let after = tree.until("web", "taken over", |status| status.supervisor != before.supervisor);
    assert_eq!(life(&after), life(&before));
    // What is short of them now is not so for life.
    let room = |pid| {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned()
    };
    let (short, own) = (room(tree.init), room(after.supervisor));
    assert!(short != own && own == room(tree.status("db").unwrap().supervisor), "{own}");
    tree.ask("restart web --timeout 10");
    limit(tree.init, "--nofile=1024:");
    tree.ask("apply --timeout 10");
}

#[test]
fn a_service_that_changes_while_there_is_no_descriptor_can_still_tell_that_it_is_ready() {
    let yaml = |number: u8| {
        let run = "echo up >$J; echo >&3; sleep 4001 & wait";
        let script = format!("trap 'echo asked >$J; read go <$D/go; exit' TERM; {run}");
        let command = format!("command: [sh, -c, {script:?}], environment: {{NUMBER: '{number}'}}");
        format!("services:\n  web: {{{command}, ready: {{notify: {{fd: 3}}}}, stop_grace_period: 60s}}\n")
    };
    let plan = Plan::new(&yaml(1));
    let go = plan.directory().join("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    tree.until_state("web", State::Running);
    fs::write(tree.directory().join("zei.yaml"), yaml(2)).unwrap();
    let mut client = tree.client("apply --timeout 30").spawn().unwrap();
    tree.journal.expect("asked");
    limit(tree.init, "--nofile=13:");
    fs::write(&go, "go\n").unwrap();
    tree.until("web", "ready again", |status| status.state == State::Running && status.run == 2);
    limit(tree.init, "--nofile=1024:");
    assert!(client.wait().unwrap().success());
}

#[test]
fn without_a_process_left_a_supervisor_is_replaced_when_there_is_room_again() {
    if !is_root() {
        return;
    }
    // Root has no such limit.
    let become_other = "chown -R 64123 $ZEI_RUN && exec setpriv --reuid=64123 --regid=64123 --clear-groups \"$@\"";
    let tree = Plan::new(WEB).wrapper(&["sh", "-c", become_other, "sh"]).own_programs().start();
    let before = running(&tree);
    limit(tree.init, "--nproc=1:");
    replaced_in_the_end(&tree, &before, "no more processes are allowed", || {
        // After each attempt it sleeps until the next one: two more, of which nothing is said.
        let slept = sleeps(tree.init);
        eventually("tried again", || sleeps(tree.init) >= slept + 3);
        assert_eq!(tree.err.all().iter().filter(|line| line.contains("cannot start")).count(), 1);
        limit(tree.init, "--nproc=1000:");
    });
    tree.echo("web", "- restart");
    tree.until("web", "restarted", |status| status.state == State::Running && status.run == 2);
}

#[test]
fn without_memory_zei_init_waits_until_there_is_some() {
    // So large that no memory that it has already will do for another copy.
    let big = "x".repeat(300_000);
    let mut tree = Tree::start(&format!("{WEB}  big: {{command: [sleep, '4003'], environment: {{BIG: {big}}}}}\n"));
    let before = running(&tree);
    tree.ask("stop db");
    limit(tree.init, "--as=4096:");
    let mut client = tree.client("forget db --timeout 30").spawn().unwrap();
    tree.err.expect("no memory; waiting until there is some");
    assert!(tree.lives() && client.try_wait().unwrap().is_none());
    let orphan = before.pid.unwrap();
    kill(before.supervisor, signal::KILL);
    assert!(is_alive(orphan));
    limit(tree.init, "--as=unlimited:");
    assert!(client.wait().unwrap().success());
    let after = tree.until("web", "taken over", |status| status.supervisor != before.supervisor);
    assert_eq!(life(&after), life(&before));
    assert_eq!(tree.stop().0, 0);
}

#[test]
fn a_run_directory_where_nothing_may_be_executed_is_all_that_is_needed() {
    let Some(tree) = on_tmpfs("noexec,nosuid,nodev") else { return };
    tree.journal.expect("web up");
    let zei_ctl = |words: &[&str]| {
        let mut client = inside(&tree);
        client.arg(program("zei-ctl")).args(words).env(paths::RUN_VARIABLE, tree.directory().join("run"));
        client.output().unwrap()
    };
    assert!(zei_ctl(&["restart", "web", "--timeout", "10"]).status.success());
    let supervisor = only_child(tree.init);
    let main = only_child(supervisor);
    kill(supervisor, signal::KILL);
    eventually("replaced", || children(tree.init).iter().any(|pid| ![main, supervisor].contains(pid)));
    assert!(is_alive(main));
    assert!(zei_ctl(&["restart", "web", "--timeout", "10"]).status.success());
    assert!(!is_alive(main));
}

#[test]
fn what_nobody_reads_of_what_zei_says_holds_up_nothing() {
    let plan = Plan::new("services:\n  web: {command: [sleep, '4001'], restart: always, restart_delay: 0}\n");
    // Filled, and held open by this process, which does not read.
    let path = plan.directory().join("full");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut full = File::options().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open(&path).unwrap();
    while full.write(&[0; 512]).is_ok() {}
    let mut tree = plan.wrapper(&["sh", "-c", "exec \"$@\" >$D/full 2>$D/full", "sh"]).start();
    for round in 1..=20 {
        let before = tree.until("web", "up", |status| status.state == State::Running && status.run == round);
        tree.echo("web", "no command at all");
        kill(before.supervisor, signal::KILL);
        let after = tree.until("web", "taken over", |status| status.supervisor != before.supervisor);
        assert_eq!(life(&after), life(&before));
        kill(after.pid.unwrap(), signal::KILL);
        // A second replacement of the same supervisor within ten seconds takes a second.
        if round == 5 {
            break;
        }
    }
    tree.ask("restart web --timeout 10");
    assert_eq!(tree.stop().0, 0);
}

#[test]
fn a_storm_of_stop_and_cont_changes_nothing() {
    let mut tree = Tree::start(WEB);
    let before = running(&tree);
    let db = tree.status("db").unwrap();
    for round in 0..2000 {
        for pid in [tree.init, before.supervisor, db.supervisor] {
            kill(pid, if (round + pid) % 2 == 0 { signal::STOP } else { signal::CONT });
        }
    }
    for pid in [tree.init, before.supervisor, db.supervisor] {
        kill(pid, signal::CONT);
    }
    tree.ask("restart db --timeout 30");
    let after = tree.status("web").unwrap();
    assert_eq!((life(&after), after.supervisor), (life(&before), before.supervisor));
    assert_eq!(tree.stop().0, 0);
}
