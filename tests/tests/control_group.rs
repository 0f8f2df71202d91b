//! Control for a group: who may, wherever a FIFO comes from, and what happens where it can't be given.
//!
//! Members and others are made by zei-setuidgid, which gives any user any groups.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zei::exit;
use zei::paths;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::program;
use zei_tests::tree::{Plan, Said, Tree, is_root};

const MEMBER: &str = "4001:4001:4242";
const OTHER: &str = "4002:4002:4343";

fn service(name: &str) -> String {
    format!("  {name}: {{shell: 'echo {name} >$J; exec sleep infinity'}}\n")
}

fn yaml(group: &str, services: &[&str]) -> String {
    let services: String = services.iter().map(|name| service(name)).collect();
    format!("{group}services:\n{services}")
}

/// With the programs that others than root execute.
fn plan(yaml: &str) -> Plan {
    ["zei-ctl", "zei-setuidgid"]
        .into_iter()
        .fold(Plan::new(yaml), |plan, name| plan.install(name, program(name).to_str().unwrap()))
}

/// What `zei-ctl` says to this user.
fn ctl(tree: &Tree, who: &str, words: &str) -> Said {
    let mut command = Command::new(tree.directory().join("zei-setuidgid"));
    command.arg(who).arg(tree.directory().join("zei-ctl")).args(words.split_ascii_whitespace());
    let output = command.env(paths::RUN_VARIABLE, tree.directory().join("run")).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0));
    Said { code, out: text(&output.stdout), err: text(&output.stderr) }
}

fn done(out: &str) -> Said {
    Said { code: 0, out: out.to_owned(), err: String::new() }
}

/// Owner, group and mode.
fn access(path: &Path) -> (u32, u32, u32) {
    let file = fs::metadata(path).unwrap();
    (file.uid(), file.gid(), file.mode() & 0o7777)
}

/// Those of the control FIFOs of zei-init and of these services.
fn fifos(tree: &Tree, services: &[&str]) -> Vec<(u32, u32, u32)> {
    ["init"].iter().chain(services).map(|name| access(&tree.file(name, paths::CONTROL))).collect()
}

fn apply(tree: &Tree, yaml: &str) -> String {
    fs::write(tree.directory().join("zei.yaml"), yaml).unwrap();
    tree.ask("apply")
}

#[test]
fn a_member_of_the_group_controls_services_and_zei_itself() {
    if !is_root() {
        return;
    }
    let mut tree = plan(&yaml("control_group: 4242\n", &["web", "db"])).start();
    let first = tree.pid("web");
    let said = ctl(&tree, MEMBER, "restart web");
    let second = tree.pid("web");
    assert_ne!(first, second);
    assert_eq!(said, done(&format!("web: restart done pid={second}\n")));
    assert_eq!(ctl(&tree, MEMBER, "stop web db"), done("web: stop done\ndb: stop done\n"));
    assert_eq!(tree.until_state("db", State::Stopped).pid, None);
    assert_eq!(ctl(&tree, MEMBER, "start web").code, 0);
    assert_eq!(ctl(&tree, MEMBER, "wait web --for running"), done("web: running\n"));
    assert_eq!(ctl(&tree, MEMBER, "signal web:CONT").code, 0);
    assert_eq!(ctl(&tree, MEMBER, "apply --dry-run"), done("nothing differs\n= 2 unchanged\n"));
    assert_eq!(ctl(&tree, MEMBER, "forget db"), done("- db\n"));
    assert_eq!(ctl(&tree, MEMBER, "shutdown").code, 0);
    assert_eq!(tree.end().0, 0);
}

#[test]
fn who_is_not_in_the_group_is_refused_and_told_whom_control_is_for() {
    if !is_root() {
        return;
    }
    let tree = plan(&yaml("control_group: 4242\n", &["web"])).start();
    let before = tree.until_state("web", State::Running);
    let whose = "control is for root, user 0, as which zei-init runs, and group 4242 (control_group)";
    let refused = |fifo: PathBuf, whose: &str| format!("no permission to write to {}: {whose}\n", fifo.display());
    let said = ctl(&tree, OTHER, "restart web");
    assert_eq!((said.code, said.out.as_str()), (i32::from(exit::SYSTEM), ""));
    assert_eq!(said.err, format!("zei-ctl: web: restart failed: {}", refused(tree.file("web", paths::CONTROL), whose)));
    let said = ctl(&tree, OTHER, "shutdown");
    assert_eq!(said.code, i32::from(exit::SYSTEM));
    assert!(said.err.ends_with(&refused(tree.file("init", paths::CONTROL), whose)), "{said:?}");
    // What everyone may see is as it was.
    assert_eq!(ctl(&tree, OTHER, "list web").code, 0);
    assert_eq!(tree.status("web").unwrap(), before);

    let tree = plan(&yaml("", &["web"])).start();
    tree.pid("web");
    let whose = "control is for root and user 0, as which zei-init runs; control_group opens it to a group";
    let said = ctl(&tree, MEMBER, "restart web");
    assert!(said.err.ends_with(&refused(tree.file("web", paths::CONTROL), whose)), "{said:?}");
}

#[test]
fn a_shell_of_a_member_needs_only_echo() {
    if !is_root() {
        return;
    }
    let tree = plan(&yaml("control_group: 4242\n", &["web"])).start();
    tree.pid("web");
    let echo = |who: &str, verb: &str| {
        let mut command = Command::new(tree.directory().join("zei-setuidgid"));
        let script = format!("echo '- {verb}' >{}", tree.file("web", paths::CONTROL).display());
        command.args([who, "sh", "-c", &script]).stderr(Stdio::null()).status().unwrap().success()
    };
    assert_eq!((echo(OTHER, "restart"), echo(MEMBER, "stop")), (false, true));
    assert_eq!(tree.until_state("web", State::Stopped).run, 1);
}

#[test]
fn every_fifo_has_the_group_whenever_it_is_made() {
    if !is_root() {
        return;
    }
    let given = (0, 4242, 0o620);
    let tree = plan(&yaml("control_group: 4242\n", &["web"])).own_programs().start();
    tree.pid("web");
    assert_eq!(fifos(&tree, &["web"]), [given; 2]);
    // New, by a change.
    apply(&tree, &yaml("control_group: 4242\n", &["web", "new"]));
    assert_eq!(fifos(&tree, &["web", "new"]), [given; 3]);
    // Removed, and looked after.
    for name in ["init", "web"] {
        fs::remove_file(tree.file(name, paths::CONTROL)).unwrap();
    }
    fs::remove_dir_all(tree.file("new", "")).unwrap();
    tree.signal(signal::CHLD);
    tree.err.expect("services/new/control");
    assert_eq!(fifos(&tree, &["web", "new"]), [given; 3]);
    // Of another zei-init.
    tree.ask("upgrade");
    apply(&tree, &yaml("control_group: 4242\n", &["web", "new", "newer"]));
    fs::remove_file(tree.file("web", paths::CONTROL)).unwrap();
    tree.ask("restart web");
    assert_eq!(fifos(&tree, &["web", "new", "newer"]), [given; 4]);
    assert_eq!(ctl(&tree, MEMBER, "restart newer").code, 0);
}

#[test]
fn another_group_or_none_takes_over_the_fifos_that_exist() {
    if !is_root() {
        return;
    }
    let tree = plan(&yaml("", &["web"])).start();
    let pid = tree.pid("web");
    let own = (0, 0, 0o600);
    assert_eq!(fifos(&tree, &["web"]), [own; 2]);
    for (line, expected, may) in [
        ("control_group: 4242\n", (0, 4242, 0o620), [true, false]),
        ("control_group: '4343'\n", (0, 4343, 0o620), [false, true]),
        ("", own, [false, false]),
    ] {
        assert_eq!(
            apply(&tree, &yaml(line, &["web"])),
            "~ zei-init: control_group (nothing is restarted)\n= 1 unchanged\n"
        );
        assert_eq!(fifos(&tree, &["web"]), [expected; 2], "{line}");
        assert_eq!([MEMBER, OTHER].map(|who| ctl(&tree, who, "signal web:CONT").code == 0), may, "{line}");
    }
    assert_eq!(tree.pid("web"), pid);
}

#[test]
fn a_report_is_for_the_group_and_is_closed_with_it() {
    if !is_root() {
        return;
    }
    let tree = plan(&yaml("control_group: 4242\n", &["web"])).start();
    tree.pid("web");
    let report = |number: u32| access(&tree.file("init", &format!("{}.{number}", paths::REPORT)));
    tree.ask("apply --dry-run");
    assert_eq!(report(0), (0, 4242, 0o640));
    apply(&tree, &yaml("", &["web"]));
    for _more in 0..zei::protocol::changes::REPORTS {
        tree.ask("apply --dry-run");
    }
    assert_eq!(report(0), (0, 0, 0o600));
    assert_eq!(access(&tree.file("init", paths::SOURCES)), (0, 0, 0o600));
}

#[test]
fn what_the_configuration_does_not_have_is_added_by_nobody_where_a_group_controls() {
    if !is_root() {
        return;
    }
    let plan = plan(&yaml("control_group: 4242\n", &["web"])).file("job.yaml", &yaml("", &["job"]), 0o644);
    let tree = plan.start();
    tree.pid("web");
    let job = tree.directory().join("job.yaml").display().to_string();
    let why = "where control_group is set, only what the configuration has can be added: put the file there";
    let refused =
        Said { code: i32::from(exit::CONFIG), out: String::new(), err: format!("zei-ctl: add {job} failed: {why}\n") };
    assert_eq!(
        [ctl(&tree, MEMBER, &format!("add {job}")), tree.ctl(&format!("add {job}"))],
        [(); 2].map(|()| refused.clone())
    );
    assert_eq!(ctl(&tree, MEMBER, "add web").code, 0);
}

/// zei-init behind these words of a shell, with `$D` the test's own directory.
fn behind(plan: Plan, words: &str) -> Plan {
    let script = format!("shift; exec {words} $D/zei-init \"$@\"");
    let plan = ["zei-init", "zei-supervise"]
        .into_iter()
        .fold(plan, |plan, name| plan.install(name, program(name).to_str().unwrap()));
    plan.wrapper(&["sh", "-c", &script, "sh"])
}

#[test]
fn a_private_run_directory_is_open_to_the_group_and_stays_so_when_another_zei_wants_it() {
    if !is_root() {
        return;
    }
    let zei = || {
        let plan = behind(plan(&yaml("control_group: 4242\n", &["web"])), "$D/zei-setuidgid 4000:4000:4242");
        plan.nameless()
    };
    let first = zei();
    let runtime = first.directory().join("runtime");
    fs::create_dir(&runtime).unwrap();
    chown(&runtime, Some(4000), Some(4000)).unwrap();
    let run = runtime.join("zei");
    let variable = runtime.to_str().unwrap().to_owned();
    let tree = first.variable("XDG_RUNTIME_DIR", &variable).variable(paths::RUN_VARIABLE, "/proc/zei").spawn();
    tree.journal.expect("web");
    let run_words = format!("--run {}", run.display());
    assert_eq!((access(&run).1, access(&run).2), (4242, 0o750));
    assert_eq!(access(&run.join("services/web/control")), (4000, 4242, 0o620));
    let said = ctl(&tree, MEMBER, &format!("restart web {run_words}"));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let refused = ctl(&tree, OTHER, &format!("restart web {run_words}"));
    assert_eq!(
        (refused.code, refused.err),
        (
            i32::from(exit::NO_ZEI),
            format!(
                "zei-ctl: zei is not running in {} (no permission to look into it: it is for root, user 4000, as which \
                 zei-init runs, and group 4242 (control_group))\n",
                run.display()
            )
        )
    );

    let other = behind(plan(&yaml("", &["web"])), "$D/zei-setuidgid 4000:4000").nameless();
    let mut second =
        other.variable("XDG_RUNTIME_DIR", &variable).variable(paths::RUN_VARIABLE, run.to_str().unwrap()).spawn();
    assert_eq!(second.end().0, i32::from(exit::CONFIG), "{second:?}");
    assert_eq!((access(&run).1, access(&run).2), (4242, 0o750));
    assert_eq!(ctl(&tree, MEMBER, &format!("stop web {run_words}")).code, 0);
}

#[test]
fn who_is_not_in_the_group_itself_and_not_root_starts_nothing() {
    if !is_root() {
        return;
    }
    let plan = behind(plan(&yaml("control_group: 4242\n", &["web"])), "$D/zei-setuidgid 4000:4000").nameless();
    let config = plan.directory().join("zei.yaml").display().to_string();
    let mut tree = plan.spawn();
    assert_eq!(tree.end().0, i32::from(exit::CONFIG));
    assert_eq!(
        tree.err.whole(),
        format!(
            "zei-init: {config}:1: control_group: control can't be given to group 4242, because zei-init runs as user 4000 and \
             is not in it; add that group to the container (docker run --group-add 4242), start it as root, or take this \
             away"
        )
    );
    assert_eq!(tree.journal.all(), [""; 0]);
}

const CANNOT: &str = "cannot give control to group 4242 (control_group): Operation not permitted: give the container that \
                      group (docker run --group-add 4242), or root CAP_CHOWN";

#[test]
fn root_without_the_capability_starts_nothing_and_is_told_what_it_needs() {
    if !is_root() {
        return;
    }
    let words = "$D/zei-setuidgid --capabilities KILL,SETUID,SETGID,SETPCAP 0:0";
    let mut tree = behind(plan(&yaml("control_group: 4242\n", &["web"])), words).spawn();
    assert_eq!(tree.end().0, i32::from(exit::SYSTEM));
    assert_eq!(tree.err.whole(), format!("zei-init: {CANNOT}"));
    assert_eq!(tree.journal.all(), [""; 0]);
    // One that is in the group needs none.
    let tree = behind(plan(&yaml("control_group: 4242\n", &["web"])), &format!("{words}:4242")).start();
    tree.pid("web");
    assert_eq!(fifos(&tree, &["web"]), [(0, 4242, 0o620); 2]);
}

#[test]
fn a_change_to_a_group_that_control_cannot_be_given_to_changes_nothing() {
    if !is_root() {
        return;
    }
    let words = "$D/zei-setuidgid --capabilities KILL,SETUID,SETGID,SETPCAP 0:0";
    let tree = behind(plan(&yaml("", &["web"])), words).start();
    tree.pid("web");
    fs::write(tree.directory().join("zei.yaml"), yaml("control_group: 4242\n", &["web", "new"])).unwrap();
    let said = tree.ctl("apply");
    assert_eq!((said.code, said.out.as_str()), (i32::from(exit::SYSTEM), ""));
    assert_eq!(said.err, format!("{CANNOT}\nzei-ctl: apply failed: nothing was changed\n"));
    assert_eq!(fifos(&tree, &["web"]), [(0, 0, 0o600); 2]);
    assert!(!tree.file("new", "").exists());
    assert_eq!(tree.ask("apply --dry-run"), "~ zei-init: control_group (nothing is restarted)\n+ new\n= 1 unchanged\n");
}
