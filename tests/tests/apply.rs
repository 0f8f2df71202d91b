//! The tree is changed while it runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};
use zei::paths;
use zei::protocol::status::State;
use zei::signal;
use zei_tests::PATIENCE;
use zei_tests::process::{self, is_alive};
use zei_tests::tree::{Plan, Tree, is_root};

/// A service that runs, with further keys.
fn service(name: &str, keys: &str) -> String {
    format!("  {name}: {{command: [sleep, infinity]{keys}}}\n")
}

/// One that writes `NAME start` and `NAME stop` into the journal.
fn telling(name: &str, keys: &str) -> String {
    let script = format!("trap \"echo {name} stop >$J; exit 0\" TERM; echo {name} start >$J; while :; do read x; done");
    format!("  {name}: {{shell: '{script}', stdin: open, stop_scope: process{keys}}}\n")
}

fn services(list: &[String]) -> String {
    format!("services:\n{}", list.concat())
}

/// Replaces the configuration.
fn write(tree: &Tree, yaml: &str) {
    fs::write(tree.directory().join("zei.yaml"), yaml).unwrap();
}

/// The value of a variable in the environment of a service's process.
fn variable(tree: &Tree, service: &str, name: &str) -> Option<String> {
    let path = format!("/proc/{}/environ", tree.pid(service));
    let deadline = Instant::now() + PATIENCE;
    let mut environment = String::new();
    // The kernel shows none while a program is being loaded.
    while environment.is_empty() && Instant::now() < deadline {
        environment = fs::read_to_string(&path).unwrap();
    }
    environment.split('\0').find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// The services that have a directory, in order.
fn listed(tree: &Tree) -> Vec<String> {
    let entries = fs::read_dir(tree.file("", "")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn only_what_has_changed_is_replaced() {
    let tree = Tree::start(&services(&[service("db", ""), service("web", ", depends_on: [db]"), service("old", "")]));
    let before = ["db", "web", "old"].map(|name| tree.until_state(name, State::Running));
    write(
        &tree,
        &services(&[service("db", ", environment: {A: b}"), service("web", ", depends_on: [db]"), service("new", "")]),
    );
    assert_eq!(tree.ask("apply"), "~ db: environment\n- old\n+ new\n= 1 unchanged\n");
    assert_eq!(variable(&tree, "db", "A").as_deref(), Some("b"));
    assert_ne!(tree.pid("db"), before[0].pid.unwrap());
    assert_ne!(tree.status("db").unwrap().supervisor, before[0].supervisor);
    let web = tree.status("web").unwrap();
    assert_eq!((web.pid, web.supervisor, web.run), (before[1].pid, before[1].supervisor, 1));
    assert!(!is_alive(before[0].pid.unwrap()) && !is_alive(before[2].pid.unwrap()));
    tree.pid("new");
    assert_eq!(listed(&tree), ["db", "new", "web"]);
    assert_eq!(tree.ask("apply"), "nothing differs\n= 3 unchanged\n");
    assert_eq!(tree.status("web").unwrap(), web);
}

#[test]
fn dependents_stop_first_and_start_last() {
    let tree = |value| {
        services(&[
            telling("db", &format!(", environment: {{V: {value}}}")),
            telling("app", &format!(", depends_on: [db], environment: {{V: {value}}}")),
            telling("web", &format!(", depends_on: [app], environment: {{V: {value}}}")),
        ])
    };
    let yaml = tree("1");
    let running = Tree::start(&yaml);
    running.journal.expect("web start");
    write(&running, &tree("2"));
    running.ask("apply");
    running.ask("wait web db app");
    let lines = running.journal.listen("all of it", |lines| (lines.len() >= 9).then(|| lines.to_vec()));
    let second = ["web stop", "app stop", "db stop", "db start", "app start", "web start"];
    assert_eq!(lines[3..], second, "{lines:?}");
}

#[test]
fn a_broken_configuration_changes_nothing_and_every_problem_is_told() {
    let tree = Tree::start(&services(&[service("db", ""), service("web", "")]));
    let before = ["db", "web"].map(|name| tree.until_state(name, State::Running));
    write(
        &tree,
        &services(&[service("db", ", restart: alwyas"), service("web", ", environment: {A: b}, depends_on: [no]")]),
    );
    for words in ["apply", "apply --dry-run", "add web"] {
        let said = tree.ctl(words);
        assert_eq!((said.code, said.out.as_str()), (100, ""), "{said:?}");
        assert!(said.err.contains("alwyas") && said.err.contains("there is no service \"no\""), "{said:?}");
        assert!(said.err.ends_with("failed: nothing was changed\n"), "{said:?}");
    }
    write(&tree, "services: [");
    assert_eq!(tree.ctl("apply").code, 100);
    fs::remove_file(tree.directory().join("zei.yaml")).unwrap();
    assert_eq!(tree.ctl("apply").code, 100);
    assert_eq!(["db", "web"].map(|name| tree.status(name).unwrap()), before);
    write(&tree, &services(&[service("db", ""), service("web", "")]));
    assert_eq!(tree.ask("apply"), "nothing differs\n= 2 unchanged\n");
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let tree = Tree::start(&services(&[service("db", ""), service("web", "")]));
    let before = tree.until_state("db", State::Running);
    tree.pid("web");
    write(&tree, &services(&[service("db", ", stop_signal: INT"), service("new", "")]));
    assert_eq!(tree.ask("apply --dry-run"), "~ db: stop_signal\n- web\n+ new\n= 0 unchanged\n");
    let json: serde_json::Value = serde_json::from_str(&tree.ask("apply --dry-run --json")).unwrap();
    assert_eq!((&json["outcome"], &json["unchanged"]), (&"done".into(), &0.into()));
    assert_eq!(
        json["changes"][0],
        serde_json::json!({"service": "db", "change": "changed", "keys": ["stop_signal"], "with": null})
    );
    assert_eq!(listed(&tree), ["db", "web"]);
    assert_eq!(tree.status("db").unwrap(), before);
}

#[test]
fn a_key_that_concerns_only_zei_init_replaces_no_process() {
    let tree = Tree::start(&services(&[service("db", ""), service("web", "")]));
    let before = ["db", "web"].map(|name| tree.until_state(name, State::Running));
    let yaml = services(&[service("db", ", on_failure: shutdown"), service("web", ", forward_signals: []")]);
    write(&tree, &format!("shutdown_timeout: 7s\nexit: {{code: 9}}\n{yaml}"));
    let said = tree.ask("apply");
    for line in ["~ zei-init: exit, shutdown_timeout (", "~ db: on_failure (", "~ web: forward_signals ("] {
        assert!(said.contains(&format!("{line}nothing is restarted)\n")), "{said}");
    }
    assert_eq!(["db", "web"].map(|name| tree.status(name).unwrap()), before);
    // And it holds.
    let mut tree = tree;
    tree.ask("kill db:KILL");
    assert_eq!(tree.end().0, 9);
}

#[test]
fn what_says_so_is_restarted_along_and_what_depends_otherwise_is_not() {
    let along = ", depends_on: {db: {condition: service_started, restart: true}}";
    let yaml =
        |keys: &str| services(&[telling("db", keys), telling("api", along), service("web", ", depends_on: [db]")]);
    let tree = Tree::start(&yaml(""));
    tree.journal.expect("api start");
    let web = tree.until_state("web", State::Running);
    write(&tree, &yaml(", environment: {A: b}"));
    assert_eq!(tree.ask("apply"), "~ db: environment\n~ api: restarted with db\n= 1 unchanged\n");
    tree.ask("wait api");
    let lines = tree.journal.listen("all of it", |lines| (lines.len() >= 6).then(|| lines.to_vec()));
    assert_eq!(lines[2..], ["api stop", "db stop", "db start", "api start"]);
    assert_eq!(tree.status("web").unwrap(), web);
    // What was stopped by hand is not.
    tree.ask("stop api");
    write(&tree, &yaml(""));
    assert_eq!(tree.ask("apply"), "~ db: environment\n= 2 unchanged\n");
    assert_eq!(tree.status("api").unwrap().state, State::Stopped);
}

#[test]
fn what_was_stopped_by_hand_stays_stopped_and_what_now_starts_with_the_container_starts() {
    let tree = Tree::start(&services(&[
        service("stopped", ""),
        service("never", ", autostart: false"),
        service("needed", ", autostart: false"),
        service("one", ", autostart: false"),
    ]));
    tree.pid("stopped");
    tree.ask("stop stopped");
    write(
        &tree,
        &services(&[
            service("stopped", ", environment: {A: b}"),
            service("never", ", autostart: false, environment: {A: b}"),
            service("needed", ", autostart: false"),
            service("one", ""),
            service("new", ", depends_on: [needed]"),
        ]),
    );
    let said = tree.ask("apply");
    for line in ["~ needed: starts with the container now", "~ one: starts with the container now", "+ new"] {
        assert!(said.contains(line), "{said}");
    }
    tree.ask("wait new needed one");
    for name in ["stopped", "never"] {
        let status = tree.status(name).unwrap();
        assert_eq!((status.state, status.want), (State::Stopped, false), "{name}");
    }
    tree.ask("start stopped");
    assert_eq!(variable(&tree, "stopped", "A").as_deref(), Some("b"));
}

#[test]
fn a_changed_oneshot_runs_again_and_an_unchanged_one_does_not() {
    let yaml = |word: &str| {
        format!(
            "services:\n  migrate: {{shell: 'echo migrate {word} >$J', oneshot: true}}\n  \
             seed: {{shell: 'echo seed >$J', oneshot: true}}\n  \
             web: {{command: [sleep, infinity], depends_on: [migrate, seed]}}\n"
        )
    };
    let tree = Tree::start(&yaml("first"));
    let web = tree.until_state("web", State::Running);
    write(&tree, &yaml("second"));
    assert_eq!(tree.ask("apply"), "~ migrate: command\n= 2 unchanged\n");
    tree.ask("wait migrate --for done");
    tree.journal.expect("migrate second");
    assert_eq!((tree.journal.count("seed"), tree.status("web").unwrap()), (1, web));
}

#[test]
fn one_service_is_brought_in_and_dropped_by_its_name() {
    let tree = Tree::start(&services(&[service("db", "")]));
    let db = tree.until_state("db", State::Running);
    let all =
        services(&[service("db", ", environment: {A: b}"), service("web", ", depends_on: [mid]"), service("mid", "")]);
    write(&tree, &all);
    let said = tree.ctl("add web");
    assert_eq!(said.code, 100, "{said:?}");
    assert!(said.err.contains("it depends on mid, which is not there"), "{said:?}");
    assert_eq!(tree.ask("add mid"), "+ mid\n");
    assert_eq!(tree.ask("add web"), "+ web\n");
    tree.ask("wait web mid");
    assert_eq!(tree.ask("add web"), "nothing differs\n");
    // The others are as they were, though the file has more to say of them.
    assert_eq!((tree.status("db").unwrap(), listed(&tree)), (db, vec!["db".into(), "mid".into(), "web".into()]));
    let said = tree.ctl("add wep");
    assert!(said.code == 4 && said.err.contains("did you mean \"web\"?"), "{said:?}");

    for (words, code, text) in [
        ("forget web", 1, "it is running; stop it first: zei-ctl stop web"),
        ("forget mid", 1, "web depends on it; forget that first"),
        ("forget nobody", 4, "no service"),
    ] {
        let said = tree.ctl(words);
        assert!(said.code == code && said.err.contains(text), "{words}: {said:?}");
    }
    tree.ask("stop web mid");
    assert_eq!(tree.ask("forget web"), "- web\n");
    assert_eq!(tree.ask("forget mid"), "- mid\n");
    assert_eq!(listed(&tree), ["db"]);
    let said = tree.ctl("forget db");
    assert!(said.code == 1 && said.err.contains("it is the only service"), "{said:?}");
    // Until the next apply.
    assert_eq!(tree.ask("apply"), "~ db: environment\n+ web\n+ mid\n= 0 unchanged\n");
    tree.ask("wait web mid db");
}

#[test]
fn a_file_from_elsewhere_is_remembered_until_its_service_is_forgotten() {
    let plan = Plan::new(&services(&[service("db", "")]));
    fs::create_dir(plan.directory().join("extra")).unwrap();
    let plan = plan.file("extra/web.yaml", "command: [sleep, infinity]\ndepends_on: [db]\n", 0o644).file(
        "extra/more.yaml",
        "services:\n  a: {command: [sleep, infinity]}\n  b: {command: [sleep, infinity]}\n",
        0o644,
    );
    let tree = plan.start();
    let extra = tree.directory().join("extra");
    assert_eq!(tree.ask(&format!("add {}/web.yaml", extra.display())), "+ web\n");
    assert_eq!(tree.ask(&format!("add {}/more.yaml", extra.display())), "+ a\n+ b\n");
    tree.ask("wait web a b");
    assert_eq!(tree.ask("apply"), "nothing differs\n= 4 unchanged\n");
    fs::write(extra.join("web.yaml"), "command: [sleep, infinity]\ndepends_on: [db]\nenv: {A: b}\n").unwrap();
    assert_eq!(tree.ask("apply"), "~ web: environment\n= 3 unchanged\n");
    tree.ask("stop web a");
    tree.ask("forget web");
    tree.ask("forget a");
    // What is left of the other file brings the rest of it back; the first one is no longer read.
    assert_eq!(tree.ask("apply"), "+ a\n= 2 unchanged\n");
    assert_eq!(listed(&tree), ["a", "b", "db"]);
}

#[test]
fn a_file_that_others_could_have_written_is_refused() {
    let plan = Plan::new(&services(&[service("db", "")]))
        .file("mine.yaml", "command: [sleep, infinity]\n", 0o644)
        .file("open.yaml", "command: [sleep, infinity]\n", 0o666)
        .file("group.yaml", "command: [sleep, infinity]\n", 0o664)
        .file("none.yaml", "shutdown_timeout: 5s\n", 0o644);
    let tree = plan.start();
    let at = |name: &str| tree.directory().join(name);
    symlink(at("mine.yaml"), at("link.yaml")).unwrap();
    nix::unistd::mkfifo(&at("fifo.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let refused = |name: &str, why: &str| {
        let said = tree.ctl(&format!("add {}", at(name).display()));
        assert!(said.code == 100 && said.err.contains(why), "{name}: {said:?}");
    };
    refused("open.yaml", "others may write to it");
    refused("group.yaml", "others may write to it");
    refused("link.yaml", "symbolic link");
    refused("fifo.yaml", "it is no file");
    refused("missing.yaml", "No such file");
    refused("none.yaml", "defines no service of its own");
    if is_root() {
        std::os::unix::fs::chown(at("mine.yaml"), Some(4321), None).unwrap();
        refused("mine.yaml", "it belongs to user 4321");
        std::os::unix::fs::chown(at("mine.yaml"), Some(0), None).unwrap();
    }
    assert_eq!(tree.ask(&format!("add {}", at("mine.yaml").display())), "+ mine\n");
    // It is looked at again whenever it is read.
    fs::set_permissions(at("mine.yaml"), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(tree.ctl("apply").code, 100);
    tree.pid("mine");
}

#[test]
fn status_says_what_has_changed_on_disk() {
    let plan = Plan::new(&services(&[service("db", ", env_file: variables")])).file("variables", "A=1\n", 0o600);
    let directory = plan.directory().join("zei.d");
    fs::create_dir(&directory).unwrap();
    let tree = plan.arguments(&["-c", "@D/zei.d"]).start();
    tree.pid("db");
    let says = |tree: &Tree| -> Vec<String> {
        let text = tree.ctl("status").out;
        text.lines().skip_while(|line| !line.starts_with("configuration: ")).map(str::to_owned).collect()
    };
    let flag = |tree: &Tree| -> serde_json::Value {
        let json: serde_json::Value = serde_json::from_str(&tree.ctl("status --json").out).unwrap();
        json[0]["changed_on_disk"].clone()
    };
    assert_eq!((says(&tree), flag(&tree)), (vec![], false.into()));
    fs::write(tree.directory().join("variables"), "A=2\n").unwrap();
    fs::write(directory.join("new.yaml"), "command: [sleep, infinity]\n").unwrap();
    let path = |name: &str| tree.directory().join(name).display().to_string();
    let expected = [
        "configuration: changed on disk (zei-ctl apply)".to_owned(),
        format!("  changed     {}", path("variables")),
        format!("  new         {}", path("zei.d/new.yaml")),
    ];
    let mut said = says(&tree);
    said[1..].sort();
    assert_eq!((said, flag(&tree)), (expected.to_vec(), true.into()));
    tree.ask("apply");
    assert_eq!((says(&tree), flag(&tree)), (vec![], false.into()));
    // A comment changes nothing of the tree, and is taken note of.
    write(&tree, &format!("# Hello.\n{}", services(&[service("db", ", env_file: variables")])));
    assert_eq!(flag(&tree), true);
    assert_eq!(tree.ask("apply"), "nothing differs\n= 2 unchanged\n");
    assert_eq!(flag(&tree), false);
    fs::remove_file(directory.join("new.yaml")).unwrap();
    assert_eq!(says(&tree)[1], format!("  gone        {}", path("zei.d/new.yaml")));
    let mode = fs::metadata(tree.file("init", paths::SOURCES)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a hash tells something of what is in a file");
}

#[test]
fn hup_can_be_mapped_to_it() {
    let yaml =
        |keys: &str| format!("signals: {{HUP: reload}}\n{}", services(&[service("db", ""), service("web", keys)]));
    let tree = Tree::start(&yaml(""));
    let db = tree.until_state("db", State::Running);
    let web = tree.until_state("web", State::Running);
    write(&tree, "services: {web: {comand: [x]}}");
    tree.signal(signal::HUP);
    tree.err.expect("zei-init: apply: ");
    tree.err.expect("zei-init: nothing was changed");
    write(&tree, &yaml(", environment: {A: b}"));
    tree.signal(signal::HUP);
    tree.until("web", "replaced", |status| status.state == State::Running && status.pid != web.pid);
    tree.err.expect("zei-init: apply: ~ web: environment");
    assert_eq!(tree.status("db").unwrap(), db);
}

#[test]
fn beside_a_command_the_services_change_and_the_command_does_not() {
    let script = "trap 'echo cmd stop >$J; exit 3' TERM; echo cmd start >$J; while :; do read x <$D/never; done";
    let plan = Plan::new(&services(&[telling("db", "")])).arguments(&["--", "sh", "-c", script]);
    nix::unistd::mkfifo(&plan.directory().join("never"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut tree = plan.start();
    tree.journal.expect("cmd start");
    let cmd = tree.until_state("cmd", State::Running);
    write(&tree, &format!("cmd: {{environment: {{A: b}}}}\n{}", services(&[telling("db", ""), telling("new", "")])));
    assert_eq!(tree.ask("apply"), "~ cmd: environment (when the container is started again)\n+ new\n= 1 unchanged\n");
    tree.journal.expect("new start");
    assert_eq!(tree.status("cmd").unwrap(), cmd);
    let said = tree.ctl("forget cmd");
    assert!(said.code == 1 && said.err.contains("the command can't be forgotten"), "{said:?}");
    // What was added stops after the command, as everything does; and the code is the command's.
    assert_eq!(tree.stop().0, 3);
    let lines = tree.journal.all();
    let at = |line: &str| lines.iter().position(|known| known == line);
    assert!(at("cmd stop").unwrap() < at("new stop").unwrap(), "{lines:?}");
}

#[test]
fn a_command_that_still_waits_waits_for_what_is_new_too() {
    let yaml = |list: &[String]| services(list);
    let gate = "  gate: {shell: 'read x <$D/gate', oneshot: true}\n".to_owned();
    let plan =
        Plan::new(&yaml(std::slice::from_ref(&gate))).arguments(&["--", "sh", "-c", "echo cmd start >$J; sleep 1000"]);
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    tree.until_state("cmd", State::Waiting);
    let new = "  new: {shell: 'echo new done >$J', oneshot: true, depends_on: [gate]}\n".to_owned();
    write(&tree, &yaml(&[gate, new]));
    let said = tree.ask("apply");
    assert!(said.contains("~ cmd: depends_on\n") && said.contains("+ new\n"), "{said}");
    fs::write(tree.directory().join("gate"), "x\n").unwrap();
    tree.journal.expect("cmd start");
    assert_eq!(tree.journal.all(), ["new done", "cmd start"]);
}

#[test]
fn changes_are_made_one_after_the_other_and_each_is_answered() {
    let yaml = |value: u32| services(&[service("db", &format!(", environment: {{V: {value}}}")), service("web", "")]);
    let tree = Tree::start(&yaml(0));
    tree.pid("db");
    write(&tree, &yaml(1));
    let said: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..5).map(|_| scope.spawn(|| tree.ctl("apply"))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(said.iter().all(|said| said.code == 0), "{said:?}");
    let changed = said.iter().filter(|said| said.out == "~ db: environment\n= 1 unchanged\n").count();
    let nothing = said.iter().filter(|said| said.out == "nothing differs\n= 2 unchanged\n").count();
    assert_eq!((changed, nothing), (1, 4), "{said:?}");
    assert_eq!((variable(&tree, "db", "V").as_deref(), tree.status("db").unwrap().run), (Some("1"), 2));
}

#[test]
fn in_a_shutdown_nothing_is_changed_any_more() {
    let stubborn = ", stop_grace_period: 60s, shell: 'trap \"echo asked >$J\" TERM; echo up >$J; while :; do read x; done', stdin: open";
    let yaml = |keys: &str| format!("services:\n  web: {{stop_scope: process{stubborn}{keys}}}\n");
    let tree = Tree::start(&yaml(""));
    tree.journal.expect("up");
    tree.signal(signal::TERM);
    tree.journal.expect("asked");
    write(&tree, &yaml(", environment: {A: b}"));
    let said = tree.ctl("apply");
    assert!(said.code == 1 && said.err.contains("the container shuts down"), "{said:?}");
}

#[test]
fn a_shutdown_in_the_middle_of_a_change_ends_all_that_is_there() {
    let stubborn = "shell: 'trap \"echo asked >$J\" TERM; echo up >$J; while :; do read x; done', stdin: open, stop_scope: process";
    let yaml = |keys: &str| {
        format!(
            "shutdown_timeout: 1s\nservices:\n  web: {{{stubborn}, stop_grace_period: 60s{keys}}}\n{}",
            service("db", keys)
        )
    };
    let mut tree = Tree::start(&yaml(""));
    tree.journal.expect("up");
    tree.pid("db");
    write(&tree, &yaml(", environment: {A: b}"));
    tree.ask("apply --no-wait");
    tree.journal.expect("asked");
    let (code, took) = tree.stop();
    assert!(code == 0 && took.as_secs() < 30, "{code} {took:?}");
    assert_eq!(tree.descendants(), [0u32; 0]);
}

#[test]
fn what_is_asked_of_a_service_while_it_is_replaced_is_done_by_its_successor() {
    let slow = "shell: 'trap \"echo asked >$J; read x <$D/gate; exit\" TERM; echo up >$J; while :; do read x; done', stdin: open";
    let yaml = |keys: &str| format!("services:\n  web: {{{slow}, stop_scope: process{keys}}}\n{}", service("db", ""));
    let plan = Plan::new(&yaml(""));
    nix::unistd::mkfifo(&plan.directory().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = plan.start();
    tree.journal.expect("up");
    let before = tree.until_state("web", State::Running);
    write(&tree, &yaml(", environment: {A: b}"));
    std::thread::scope(|scope| {
        let applied = scope.spawn(|| tree.ask("apply"));
        tree.journal.expect("asked");
        let stopped = scope.spawn(|| tree.ask("stop web"));
        tree.until("web", "being stopped", |status| status.state == State::Stopping);
        // Both wait for it.
        fs::write(tree.directory().join("gate"), "x\n").unwrap();
        assert_eq!(applied.join().unwrap(), "~ web: environment\n= 1 unchanged\n");
        // The new one is stopped as the old one: at its own pace.
        fs::write(tree.directory().join("gate"), "x\n").unwrap();
        assert_eq!(stopped.join().unwrap(), "web: stop done\n");
    });
    let after = tree.status("web").unwrap();
    assert_eq!((after.state, after.want), (State::Stopped, false));
    assert_ne!(after.supervisor, before.supervisor);
}

#[test]
fn whoever_waits_for_a_service_that_is_removed_is_told() {
    let tree = Tree::start(&services(&[service("db", ""), service("web", ", autostart: false")]));
    tree.pid("db");
    tree.until_state("web", State::Stopped);
    let (ready, stopped) = std::thread::scope(|scope| {
        let ready = scope.spawn(|| tree.ctl("wait web --for ready"));
        let stopped = scope.spawn(|| tree.ctl("wait db web --for stopped"));
        write(&tree, &services(&[service("other", "")]));
        tree.ask("apply");
        (ready.join().unwrap(), stopped.join().unwrap())
    });
    assert!(ready.code != 0, "{ready:?}");
    assert!(ready.err.contains("web"), "{ready:?}");
    assert!([0, 4].contains(&stopped.code), "{stopped:?}");
    assert_eq!(tree.ctl("status web").code, 4);
}

#[test]
fn a_configuration_that_hangs_hinders_nobody_and_is_given_up() {
    let tree = Tree::start(&services(&[service("db", "")]));
    let before = tree.pid("db");
    let path = tree.directory().join("zei.yaml");
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let said = std::thread::scope(|scope| {
        let applied = scope.spawn(|| tree.ctl("apply"));
        tree.ask("restart db");
        tree.ask("list");
        applied.join().unwrap()
    });
    assert!(said.code == 111 && said.err.contains("took more than 10s"), "{said:?}");
    assert_ne!(tree.pid("db"), before);
    fs::remove_file(&path).unwrap();
    write(&tree, &services(&[service("db", "")]));
    assert_eq!(tree.ask("apply"), "nothing differs\n= 1 unchanged\n");
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn files(directory: &Path) -> usize {
    let count = |path: &Path| if path.is_dir() { files(path) } else { 1 };
    fs::read_dir(directory).unwrap().map(|entry| count(&entry.unwrap().path())).sum()
}

/// Lets this much time pass, a moment that is nobody's in particular.
fn spin(microseconds: u64) {
    let until = Instant::now() + Duration::from_micros(microseconds);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

/// Three services, one upon the other, with a value in each.
fn chain(value: u32) -> String {
    let keys = |needs: &str| format!(", restart: always, restart_delay: 0, environment: {{V: {value}}}{needs}");
    services(&[
        service("db", &keys("")),
        service("app", &keys(", depends_on: [db]")),
        service("web", &keys(", depends_on: [app]")),
    ])
}

fn values(tree: &Tree) -> [Option<String>; 3] {
    ["db", "app", "web"].map(|name| variable(tree, name, "V"))
}

#[test]
fn whenever_the_client_is_killed_the_tree_is_in_the_old_or_the_new_form() {
    let tree = Tree::start(&chain(0));
    tree.ask("wait db app web");
    let mut old = 0;
    let mut taken = 0;
    for round in 1..=20 {
        write(&tree, &chain(round));
        let mut client = tree.client("apply").spawn().unwrap();
        spin(u64::from(round) * 400);
        client.kill().unwrap();
        client.wait().unwrap();
        // Whatever it has asked for is done before this is answered.
        let differs = tree.ask("apply --dry-run") != "nothing differs\n= 3 unchanged\n";
        let expected = if differs { old } else { round };
        taken += u32::from(!differs);
        tree.ask("wait db app web");
        assert_eq!(values(&tree), [0, 1, 2].map(|_| Some(expected.to_string())), "round {round}");
        old = expected;
    }
    assert!(taken > 0, "no client came so far as to ask");
}

#[test]
fn whichever_supervisors_are_killed_meanwhile_the_tree_becomes_the_new_one() {
    let tree = Tree::start(&chain(0));
    tree.ask("wait db app web");
    for round in 1..=20 {
        write(&tree, &chain(round));
        let supervisors = ["db", "app", "web"].map(|name| tree.status(name).unwrap().supervisor);
        let said = std::thread::scope(|scope| {
            let applied = scope.spawn(|| tree.ctl("apply"));
            spin(u64::from(round) * 700);
            for (index, pid) in supervisors.into_iter().enumerate() {
                if (round >> index) & 1 == 1 {
                    process::kill(pid, signal::KILL);
                }
            }
            applied.join().unwrap()
        });
        assert_eq!((said.code, said.out.lines().count()), (0, 4), "{said:?}");
        tree.ask("wait db app web");
        assert_eq!(values(&tree), [0, 1, 2].map(|_| Some(round.to_string())), "round {round}");
        assert_eq!(tree.descendants().into_iter().filter(|pid| is_alive(*pid)).count(), 6, "round {round}");
    }
}

#[test]
fn fifty_changes_back_and_forth_leave_nothing_behind() {
    let one = services(&[service("db", ""), service("web", ", depends_on: [db]")]);
    // With a readiness pipe, which zei-init holds.
    let db = "  db: {ready: {notify: {fd: 3}}, shell: 'echo >&3; exec sleep infinity'}\n".to_owned();
    let other = services(&[db, service("new", "")]);
    let tree = Tree::start(&one);
    tree.ask("wait db web");
    let turn = |yaml: &str, names: &str| {
        write(&tree, yaml);
        tree.ask("apply");
        tree.ask(&format!("wait {names}"));
    };
    // The first ones make what is made once: the reports, and room for a third service.
    for _ in 0..10 {
        turn(&other, "db new");
        turn(&one, "db web");
    }
    let run = tree.file("init", "").parent().unwrap().to_path_buf();
    let before = (descriptors(tree.init), files(&run));
    for _ in 0..15 {
        turn(&other, "db new");
        turn(&one, "db web");
    }
    assert_eq!((descriptors(tree.init), files(&run)), before);
    assert_eq!(listed(&tree), ["db", "web"]);
    assert_eq!(tree.descendants().len(), 4, "two supervisors, two services");
}
