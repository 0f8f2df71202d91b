//! The run directory: locked, left over, or nowhere to be had.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use zei::exit;
use zei::paths;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::tree::{Plan, Tree, can_be_pid_1, is_root};
use zei_tests::{process, program, skipped};

const HOLD: &str = "services:\n  hold: {shell: 'echo hold $$ >$J; exec sleep infinity'}\n";

#[test]
fn a_run_directory_locked_by_a_live_zei_is_an_error_that_names_it_and_the_variable() {
    let tree = Tree::start(HOLD);
    let pid = tree.pid("hold");
    let run = tree.directory().join("run");
    let mut second = Plan::new(HOLD).run_directory(&run).spawn();
    assert_eq!(second.end().0, i32::from(exit::CONFIG));
    let said = second.err.whole();
    assert!(said.contains(run.to_str().unwrap()) && said.contains("ZEI_RUN"), "{said}");
    assert_eq!(second.journal.all(), Vec::<String>::new());
    assert_eq!(tree.status("hold").unwrap().pid, Some(pid));
    tree.ask("restart hold");
}

#[test]
fn the_leftovers_of_a_killed_zei_are_no_hindrance_and_its_services_are_gone_before_new_ones_start() {
    let mut directory = None;
    let mut before: Option<u32> = None;
    for _round in 0..4 {
        let tree = match directory.take() {
            None => Tree::start(HOLD),
            Some(directory) => Plan::again(directory, HOLD).start(),
        };
        let pid = tree.pid("hold");
        assert!(before.is_none_or(|before| !process::is_alive(before)));
        assert!(tree.ctl("list").out.contains("running"));
        before = Some(pid);
        directory = Some(tree.kill_and_keep());
    }
    let mut last = Plan::again(directory.unwrap(), HOLD).start();
    last.pid("hold");
    assert!(!process::is_alive(before.unwrap()));
    assert_eq!(last.stop().0, 0);
}

#[test]
fn a_killed_pid_1_leaves_a_run_directory_that_the_next_one_boots_from() {
    if !can_be_pid_1() {
        return;
    }
    let mut directory = None;
    for _round in 0..4 {
        let plan = match directory.take() {
            None => Plan::new(HOLD),
            Some(directory) => Plan::again(directory, HOLD),
        };
        let tree = plan.pid_1().start();
        tree.until_state("hold", State::Running);
        directory = Some(tree.kill_and_keep());
    }
    let mut last = Plan::again(directory.unwrap(), HOLD).pid_1().start();
    last.until_state("hold", State::Running);
    assert_eq!(last.stop().0, 0);
}

#[test]
fn a_tree_as_pid_1_boots_answers_and_ends_as_any_other() {
    if !can_be_pid_1() {
        return;
    }
    let mut tree = Plan::new(HOLD).pid_1().start();
    let status = tree.until_state("hold", State::Running);
    assert!(status.pid.is_some_and(|pid| pid < 100), "{status:?}");
    tree.ask("restart hold");
    let status = tree.until("hold", "restarted", |status| status.run == 2);
    assert_eq!(status.restarts, 0);
    assert_eq!(tree.stop().0, 0);
}

#[test]
fn rubbish_in_the_run_directory_is_cleared_away_and_no_link_is_followed() {
    let plan = Plan::new(HOLD);
    let (services, victim) = (plan.directory().join("run/services"), plan.directory().join("victim"));
    fs::create_dir_all(services.join("hold")).unwrap();
    fs::create_dir_all(services.join("gone")).unwrap();
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("status"), "precious").unwrap();
    for own in [paths::NEEDS, paths::LAST, paths::STATUS] {
        fs::write(services.join("gone").join(own), "rubbish").unwrap();
    }
    fs::write(services.join("hold/status"), "rubbish").unwrap();
    fs::write(services.join("hold/control"), "rubbish").unwrap();
    fs::write(services.join("a file"), "rubbish").unwrap();
    std::os::unix::fs::symlink(&victim, services.join("link")).unwrap();
    let tree = plan.start();
    tree.pid("hold");
    let left: Vec<_> = fs::read_dir(&services).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["hold"]);
    assert_eq!(fs::read_to_string(victim.join("status")).unwrap(), "precious");
    tree.ask("restart hold");
}

#[test]
fn what_another_user_has_put_where_zeis_own_belongs_is_not_taken_for_it() {
    if !(is_root() || skipped("root")) {
        return;
    }
    for (planted, owner, mode) in
        [("init", 4473, 0o755), ("services", 4473, 0o700), ("init", 0, 0o777), ("services", 0, 0o775)]
    {
        let plan = Plan::new(HOLD);
        let run = plan.directory().join("planted");
        let made = |path: &Path, owner: u32, mode: u32| {
            fs::create_dir_all(path).unwrap();
            std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        // As docker run --tmpfs /run/zei makes it.
        made(&run, 0, 0o1777);
        made(&run.join("init"), 0, 0o755);
        made(&run.join(planted), owner, mode);
        let mut tree = plan.run_directory(&run).spawn();
        assert_eq!(tree.end().0, i32::from(exit::CONFIG), "{planted} of {owner}");
        let said = tree.err.whole();
        assert!(said.contains(run.to_str().unwrap()) && said.contains("what is not zei's"), "{said}");
        assert_eq!(fs::read_dir(run.join(planted)).unwrap().count(), 0, "{planted} of {owner}");
    }
}

#[test]
fn a_name_of_a_service_that_another_user_has_taken_before_makes_way() {
    if !(is_root() || skipped("root")) {
        return;
    }
    let plan = Plan::new(HOLD);
    let services = plan.directory().join("run/services");
    fs::create_dir_all(services.join("hold")).unwrap();
    fs::write(services.join("hold/kept"), "").unwrap();
    std::os::unix::fs::chown(services.join("hold"), Some(4473), Some(4473)).unwrap();
    let tree = plan.start();
    tree.pid("hold");
    tree.ask("restart hold");
    assert_eq!(fs::metadata(services.join("hold")).unwrap().uid(), 0);
    assert!(services.join("hold.removed/kept").is_file());
}

#[test]
fn who_is_no_supervisor_is_neither_waited_for_nor_killed_whatever_a_status_says() {
    let plan = Plan::new(HOLD);
    let hold = plan.directory().join("run/services/hold");
    fs::create_dir_all(&hold).unwrap();
    let mut bystander = Command::new("sleep").arg("4012").spawn().unwrap();
    fs::write(hold.join("status"), status_of(bystander.id())).unwrap();
    let directory = fs::File::open(&hold).unwrap();
    directory.lock().unwrap();
    let begun = Instant::now();
    let tree = plan.start();
    tree.pid("hold");
    // It would have been given half a minute.
    assert!(begun.elapsed() < Duration::from_secs(25) && process::is_alive(bystander.id()));
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

/// A status that names this process as the supervisor.
fn status_of(supervisor: u32) -> Vec<u8> {
    let tree = Tree::start(HOLD);
    tree.until_state("hold", State::Running);
    let text = fs::read_to_string(tree.file("hold", paths::STATUS)).unwrap();
    let own = format!("supervisor={}\n", tree.status("hold").unwrap().supervisor);
    assert!(text.contains(&own), "{text}");
    text.replace(&own, &format!("supervisor={supervisor}\n")).into_bytes()
}

/// A file where a directory should be, taken away again.
struct InTheWay(PathBuf);

impl InTheWay {
    fn of(path: &str) -> InTheWay {
        fs::write(path, "").unwrap();
        InTheWay(PathBuf::from(path))
    }
}

impl Drop for InTheWay {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

#[test]
fn without_any_place_for_a_run_directory_services_run_without_control_and_one_line_says_so() {
    if !is_root() {
        return;
    }
    // A user who may not write anywhere else, and whose last two places are taken by files.
    const UID: u32 = 54321;
    let namespace = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    let _files = [InTheWay::of(&format!("/tmp/zei-{UID}")), InTheWay::of(&format!("/dev/shm/zei-{UID}-{namespace}"))];
    let plan = Plan::new(
        "defaults: {log: inherit}\nservices:\n  a: {shell: 'echo a $$ >$J; exec sleep infinity', restart: always, \
         restart_delay: 0}\n  \
         b: {shell: 'echo b $$ >$J; exec sleep infinity', depends_on: [a]}\n",
    )
    .nameless()
    .variable("ZEI_RUN", "/proc/zei");
    let plan = ["zei-init", "zei-supervise", "zei-setuidgid"]
        .into_iter()
        .fold(plan, |plan, name| plan.install(name, program(name).to_str().unwrap()));
    let script = format!("shift; exec $D/zei-setuidgid {UID} $D/zei-init \"$@\"");
    let mut tree = plan.wrapper(&["sh", "-c", &script, "sh"]).spawn();
    let first = tree.journal.expect("a ");
    tree.journal.expect("b ");
    let said = tree.err.expect("services run without control");
    for place in ["/proc/zei", "/tmp/zei-54321", "/dev/shm/zei-54321"] {
        assert!(said.contains(place), "{place}: {said}");
    }
    process::kill(first.strip_prefix("a ").unwrap().parse().unwrap(), signal::KILL);
    tree.journal
        .listen("a second a", |lines| (lines.iter().filter(|line| line.starts_with("a ")).count() == 2).then_some(()));
    assert_eq!(tree.stop().0, 0);
    assert_eq!(tree.err.all(), [said]);
}
