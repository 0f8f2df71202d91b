//! What a service is made of when it starts, and what is said when it can't.

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use zei::exit::Exit;
use zei::protocol::status::State;
use zei_tests::tree::{Plan, Tree, is_root};

const PROBE: &str = env!("CARGO_BIN_EXE_probe");

/// One service for each name, with these keys, which tells what it is made of.
fn probes(services: &[(&str, &str)]) -> Plan {
    let mut yaml = String::from("services:\n");
    for (name, keys) in services {
        yaml += &format!("  {name}: {{command: ['@D/probe', '@J', {name}], {keys}}}\n");
    }
    Plan::new(&yaml).install("probe", PROBE)
}

fn told(tree: &Tree, name: &str) -> Value {
    let line = tree.journal.listen(name, |lines| {
        lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
    });
    serde_json::from_str(&line).unwrap()
}

#[test]
fn a_service_has_clean_signals_a_session_of_its_own_and_no_descriptor_but_three() {
    // zei-init itself is started with an ignored signal and an open descriptor more.
    let tree = probes(&[("web", "")]).wrapper(&["sh", "-c", "trap '' USR1 PIPE; exec 9</dev/zero; exec \"$@\"", "sh"]);
    let tree = tree.start();
    let told = told(&tree, "web");
    let none = json!("0000000000000000");
    assert_eq!((&told["blocked"], &told["ignored"], &told["session"]), (&none, &none, &json!(true)));
    let descriptors = told["descriptors"].as_object().unwrap();
    // The fourth is the journal, which the probe has opened to tell.
    assert_eq!(descriptors.keys().collect::<Vec<_>>(), ["0", "1", "2"], "{descriptors:?}");
    assert_eq!(descriptors["0"], "/dev/null");
}

#[test]
fn a_service_gets_the_limit_of_descriptors_that_zei_init_was_started_with() {
    let mut services = String::from("services:\n  web: {command: ['@D/probe', '@J', web]}\n");
    for number in 0..200 {
        services += &format!("  s{number}: {{command: ['true'], autostart: false}}\n");
    }
    let plan = Plan::new(&services).install("probe", PROBE);
    let tree = plan.wrapper(&["sh", "-c", "ulimit -S -n 256; exec \"$@\"", "sh"]).start();
    let told = told(&tree, "web");
    assert!(told["nofile"].as_str().unwrap().starts_with("256 "), "{told}");
}

#[test]
fn a_service_runs_as_its_user_with_that_users_groups_and_variables() {
    if !is_root() {
        return;
    }
    let tree = probes(&[
        ("named", "user: nobody"),
        ("grouped", "user: nobody, group: daemon"),
        ("numbered", "user: 4242, group: 4343"),
        ("listed", "user: '4242:4343', groups: [7, 4444]"),
        ("own", ""),
    ]);
    let tree = tree.variable("HOME", "/where/zei/is").start();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let nobody: Vec<&str> = passwd.lines().find(|line| line.starts_with("nobody:")).unwrap().split(':').collect();
    let group = fs::read_to_string("/etc/group").unwrap();
    let daemon = group.lines().find(|line| line.starts_with("daemon:")).unwrap().split(':').nth(2).unwrap();
    let four = |id: &str| json!([id; 4].join(" "));
    let named = told(&tree, "named");
    assert_eq!((&named["uid"], &named["gid"]), (&four(nobody[2]), &four(nobody[3])));
    assert_eq!(named["groups"], nobody[3]);
    let variables = &named["environment"];
    assert_eq!((&variables["HOME"], &variables["USER"]), (&json!(nobody[5]), &json!("nobody")));
    assert_eq!((&variables["LOGNAME"], &variables["SHELL"]), (&json!("nobody"), &json!(nobody[6])));
    assert_eq!(told(&tree, "grouped")["gid"], four(daemon));
    let numbered = told(&tree, "numbered");
    assert_eq!((&numbered["uid"], &numbered["gid"]), (&four("4242"), &four("4343")));
    assert_eq!(told(&tree, "listed")["groups"], "7 4444");
    let own = told(&tree, "own");
    assert_eq!((&own["uid"], &own["environment"]["HOME"]), (&four("0"), &json!("/where/zei/is")));
}

#[test]
fn environment_directory_and_umask_are_as_configured_and_later_words_win() {
    let tree = probes(&[
        ("plain", ""),
        (
            "full",
            "env_file: ['@D/one.env', '@D/two.env'], environment: {LAST: four, ODD: 'a b%c$d=e'}, \
             working_dir: /usr, umask: '027'",
        ),
        ("clear", "clear_environment: true, environment: [ONLY=this]"),
    ])
    .file("one.env", "LAST=one\nONE=1\n", 0o644)
    .file("two.env", "LAST=two\nONE=${LAST}\n", 0o644)
    .variable("OUTER", "seen")
    .variable("ZEI_NOT", "for services")
    .variable("LAST", "zero")
    .start();
    let plain = told(&tree, "plain");
    assert_eq!((&plain["environment"]["OUTER"], &plain["environment"]["LAST"]), (&json!("seen"), &json!("zero")));
    assert!(plain["environment"]["ZEI_NOT"].is_null() && plain["environment"]["ZEI_RUN"].is_null(), "{plain}");
    assert_eq!(plain["directory"], json!(tree.directory().canonicalize().unwrap()));
    let full = told(&tree, "full");
    let variables = &full["environment"];
    assert_eq!((&variables["LAST"], &variables["OUTER"]), (&json!("four"), &json!("seen")));
    assert_eq!((&variables["ONE"], &variables["ODD"]), (&json!("${LAST}"), &json!("a b%c$d=e")));
    assert_eq!((&full["directory"], &full["umask"]), (&json!("/usr"), &json!("0027")));
    assert_eq!(told(&tree, "clear")["environment"], json!({"ONLY": "this"}));
}

#[test]
fn a_program_that_could_not_be_executed_is_told_from_one_that_exited_with_127_or_126() {
    let tree = Plan::new(
        "services:\n  absent: {command: [/no/such/program]}\n  unfound: {command: [no-such-program]}\n  \
         plain: {command: ['@D/plain']}\n  coded: {shell: 'exit 127'}\n  coded126: {shell: 'exit 126'}\n  \
         nowhere: {command: ['true'], working_dir: /no/such/place}\n  hold: {command: [sleep, infinity]}\n",
    )
    .file("plain", "text\n", 0o644)
    .start();
    for (name, reason, exit) in [
        ("absent", "spawn:cannot execute the program: No such file or directory", None),
        ("unfound", "spawn:cannot execute the program: No such file or directory", None),
        ("plain", "spawn:cannot execute the program: Permission denied", None),
        ("nowhere", "spawn:cannot change to the working directory: No such file or directory", None),
        ("coded", "exit:127", Some(Exit::Code(127))),
        ("coded126", "exit:126", Some(Exit::Code(126))),
    ] {
        let status = tree.until_state(name, State::Failed);
        assert_eq!((status.reason.as_str(), status.exit), (reason, exit), "{name}");
        assert_eq!(status.pid, None, "{name}");
    }
    tree.err.expect("/no/such/program");
}

#[test]
fn output_goes_where_the_configuration_says() {
    let tree = Tree::start(
        "defaults: {log: inherit}\nservices:\n  \
         swap: {shell: 'echo to-err; echo to-out >&2', stdout: /dev/stderr, stderr: /dev/stdout}\n  \
         file: {shell: 'echo new; echo joined >&2', stdout: '@D/log', stderr: stdout, depends_on: [old]}\n  \
         old: {shell: 'umask 0; echo old >@D/log', oneshot: true}\n  \
         hushed: {shell: 'echo nothing; echo nothing >&2', stdout: 'null', stderr: 'null'}\n  \
         none: {shell: 'echo nothing; echo nothing >&2', log: none}\n  \
         fresh: {shell: 'echo fresh', stdout: '@D/fresh'}\n  hold: {command: [sleep, infinity]}\n",
    );
    tree.out.expect("to-out");
    tree.err.expect("to-err");
    for name in ["swap", "file", "hushed", "none", "fresh"] {
        tree.until_state(name, State::Completed);
    }
    assert_eq!(fs::read_to_string(tree.directory().join("log")).unwrap(), "old\nnew\njoined\n");
    let mode = fs::metadata(tree.directory().join("fresh")).unwrap().permissions().mode() & 0o777;
    assert_eq!(format!("{mode:o}"), "640");
    assert_eq!((tree.out.all(), tree.err.all()), (vec!["to-out".to_owned()], vec!["to-err".to_owned()]));
}

#[test]
fn a_file_for_output_is_opened_with_the_services_own_rights() {
    if !is_root() {
        return;
    }
    let plan = Plan::new(
        "services:\n  may: {shell: 'echo hello', stdout: '@D/theirs/log', user: 4242, group: 4343}\n  \
         may-not: {shell: 'echo hello', stdout: '@D/ours/log', user: 4242, group: 4343}\n  \
         linked: {shell: 'echo hello', stdout: '@D/theirs/link', user: 4242, group: 4343}\n  \
         hold: {command: [sleep, infinity]}\n",
    );
    for name in ["ours", "theirs"] {
        fs::create_dir(plan.directory().join(name)).unwrap();
    }
    std::os::unix::fs::chown(plan.directory().join("theirs"), Some(4242), Some(4343)).unwrap();
    std::os::unix::fs::symlink("elsewhere", plan.directory().join("theirs/link")).unwrap();
    let tree = plan.start();
    tree.until_state("may", State::Completed);
    let log = fs::metadata(tree.directory().join("theirs/log")).unwrap();
    assert_eq!((log.uid(), log.gid(), log.len()), (4242, 4343, 6));
    for (name, why) in [("may-not", "Permission denied"), ("linked", "symbolic links")] {
        let reason = tree.until_state(name, State::Failed).reason;
        assert!(reason.as_str().starts_with("spawn:cannot open standard output: "), "{reason}");
        assert!(reason.as_str().contains(why), "{reason}");
    }
}

#[test]
fn a_fifo_that_nobody_reads_is_a_failed_start_and_no_hang() {
    let plan =
        Plan::new("services:\n  web: {shell: 'echo hello', stdout: '@D/pipe'}\n  hold: {command: [sleep, infinity]}\n");
    nix::unistd::mkfifo(&plan.directory().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    let reason = tree.until_state("web", State::Failed).reason;
    assert!(reason.as_str().starts_with("spawn:cannot open standard output: "), "{reason}");
    tree.pid("hold");
}

#[test]
fn an_open_standard_input_never_ends_and_a_null_one_is_empty() {
    let tree = Tree::start(
        "services:\n  open: {shell: 'read line; echo open ended >$J', stdin: open}\n  \
         empty: {shell: 'read line || echo empty ended >$J; exec sleep infinity'}\n",
    );
    tree.journal.expect("empty ended");
    // Its supervisor replaced, too.
    let status = tree.until_state("open", State::Running);
    let target = fs::read_link(format!("/proc/{}/fd/0", status.pid.unwrap())).unwrap();
    assert!(target.to_str().unwrap().starts_with("pipe:"), "{target:?}");
    tree.ask("stop open");
    assert_eq!(tree.status("open").unwrap().exit, Some(Exit::Signal(zei::signal::TERM)));
    assert_eq!(tree.journal.all(), ["empty ended"]);
}

#[test]
fn forwarded_signals_reach_exactly_the_services_that_want_them() {
    let service = |name: &str, keys: &str| format!("  {name}: {{command: ['@D/listener', '@J', {name}], {keys}}}\n");
    let tree = Plan::new(&format!(
        "services:\n{}{}{}{}",
        service("every", ""),
        service("one", "forward_signals: [USR2]"),
        service("none", "forward_signals: []"),
        service("job", "oneshot: true")
    ));
    let tree = tree.install("listener", env!("CARGO_BIN_EXE_listener")).start();
    tree.journal.listen("four services", |lines| (lines.len() == 4).then_some(()));
    for name in ["every", "one", "none", "job"] {
        tree.pid(name);
    }
    for (count, (name, number)) in
        [("HUP", zei::signal::HUP), ("USR1", zei::signal::USR1), ("USR2", zei::signal::USR2)].into_iter().enumerate()
    {
        tree.signal(number);
        tree.journal.listen(name, |lines| (lines.len() > 4 + count).then_some(()));
    }
    let mut lines = tree.journal.listen("five lines", |lines| (lines.len() >= 8).then(|| lines[4..].to_vec()));
    lines.sort();
    assert_eq!(lines, ["every HUP", "every USR1", "every USR2", "one USR2"]);
}
