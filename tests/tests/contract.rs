//! How a container ends: whose end it is, with which code, and what is said about it last.

use std::fs;
use zei::exit;
use zei::protocol;
use zei::protocol::last::Last;
use zei::protocol::status::State;
use zei_tests::tree::{Plan, Tree, can_be_pid_1};

const HOLD: &str = "  hold: {command: [sleep, infinity]}\n";
/// A database that fails by its third start, and what is built on it.
const CHAIN: &str = "\
services:
  db: {shell: 'exit 3', oneshot: true, restart: on-failure, max_restarts: 2, restart_delay: 0}
  app: {shell: 'echo app >$J', depends_on: [db]}
  hold: {command: [sleep, infinity]}
";

/// The last lines that zei-init itself has said, without its name and without what differs each time.
fn last_words(tree: &Tree) -> Vec<String> {
    let whole = tree.err.whole();
    let lines: Vec<&str> = whole.lines().collect();
    let first = lines.iter().position(|line| line.starts_with("zei-init: the container failed"));
    let block = first.map_or(&[][..], |first| &lines[first..]);
    let tell = |line: &&str| {
        let line = line.strip_prefix("zei-init: ").unwrap_or_else(|| panic!("in between:\n{whole}"));
        let words = line.split(' ').map(|word| {
            let number = word.trim_end_matches(',').trim_end_matches("ms").trim_end_matches('s');
            let is_span = word.trim_end_matches(',').ends_with('s') && number.parse::<u64>().is_ok();
            let is_time = word.starts_with("20") && word.ends_with("Z,");
            if is_span || is_time { "…" } else { word }
        });
        words.collect::<Vec<_>>().join(" ")
    };
    block.iter().map(tell).collect()
}

/// The story of a failure, as it stands in the first line.
fn story(plan: Plan) -> (i32, String) {
    let mut tree = plan.spawn();
    let (code, _) = tree.end();
    let words = last_words(&tree);
    assert_eq!(words.get(1).map(String::as_str), Some("that was at … … after the start"), "{words:?}");
    let begin = format!("the container failed, exit code {code}: ");
    let told = words[0].strip_prefix(&begin).unwrap_or_else(|| panic!("{code}: {words:?}"));
    (code, told.to_owned())
}

#[test]
fn a_failure_is_told_last_with_the_whole_chain_that_led_to_it() {
    let chain = "app failed because its dependency db failed: ended by exit code 3 after 2 restarts, … after its last \
                 start, and was given up";
    let plan = Plan::new(&CHAIN.replace("[db]", "[db], on_failure: shutdown"));
    assert_eq!(story(plan), (3, chain.to_owned()));
    // A command that never ran for the same reason, at the end of a longer chain.
    let plan = Plan::new(CHAIN).arguments(&["--", "sh", "-c", "echo cmd >$J"]);
    let (code, told) = story(plan);
    assert!(told.ends_with(&chain["app failed ".len()..]) && told.starts_with("cmd failed because"), "{told}");
    assert_eq!(code, 3);
}

#[test]
fn each_way_to_fail_is_told_in_its_own_words() {
    for (services, code, told) in [
        (
            "  a: {shell: 'exit 4', on_failure: shutdown}\n  hold: {command: [sleep, infinity]}\n",
            4,
            "a ended by exit code 4, … after its start",
        ),
        (
            "  a: {shell: 'exit 4', on_exit: shutdown}\n  hold: {command: [sleep, infinity]}\n",
            4,
            "a ended by exit code 4, … after its start",
        ),
        (
            "  a: {shell: 'kill -SEGV $$'}\n  b: {command: ['true']}\n",
            139,
            "all services have ended, the first failure was this: a ended by signal SEGV, … after its start",
        ),
        (
            "  a: {command: [/no/such/program], on_failure: shutdown}\n",
            127,
            "a could not start: cannot execute the program: No such file or directory",
        ),
        (
            "  a: {command: ['true'], restart: always, max_restarts: 1, restart_delay: 0, on_failure: shutdown}\n",
            i32::from(exit::NO_CODE),
            "a ended by exit code 0 after 1 restart, … after its last start, and was given up",
        ),
    ] {
        let plan = Plan::new(&format!("services:\n{services}"));
        assert_eq!(story(plan), (code, told.to_owned()), "{services}");
    }
    let plan = Plan::new(&format!("services:\n{HOLD}")).arguments(&["--", "sh", "-c", "exit 5"]);
    assert_eq!(story(plan), (5, "cmd ended by exit code 5, … after its start".to_owned()));
}

#[test]
fn the_last_lines_of_the_culprit_are_told_where_they_are_kept() {
    let lines: Vec<String> = (0..40).map(|number| format!("line {number}\n")).collect();
    let text = format!("of an earlier run\n{}", lines.concat());
    let last = Last { seq: 1, run: Some(2), from: text.find("line 0").unwrap(), text: text.as_bytes() };
    let mut bytes = [0; protocol::last::MAX];
    let length = last.encode(&mut bytes);
    // As zei-log would write it.
    let plan = Plan::new(
        "services:\n  db: {shell: 'cp $D/last $D/run/services/db/last; exit 3', oneshot: true, log: inherit}\n  \
         app: {command: ['true'], depends_on: [db], on_failure: shutdown, log: inherit}\n",
    );
    let mut tree = plan.file("last", std::str::from_utf8(&bytes[..length]).unwrap(), 0o644).spawn();
    assert_eq!(tree.end().0, 3);
    let whole = tree.err.whole();
    let (_, told) = whole.split_once("zei-init: the last lines of db:\n").unwrap_or_else(|| panic!("{whole}"));
    assert_eq!(format!("{told}\n"), lines[20..].iter().map(|line| format!("  {line}")).collect::<String>());
}

#[test]
fn an_end_that_was_asked_for_and_a_good_one_are_not_commented() {
    for services in [
        "  a: {command: ['true']}\n",
        "  a: {command: ['true'], on_exit: shutdown}\n  hold: {command: [sleep, infinity]}\n",
    ] {
        let mut tree = Plan::new(&format!("services:\n{services}")).spawn();
        assert_eq!((tree.end().0, last_words(&tree)), (0, vec![]), "{services}");
    }
    // Even where something has failed before, or the command ends by the signal.
    let mut tree = Tree::start(&format!("services:\n{HOLD}  a: {{shell: 'exit 3'}}\n"));
    tree.until_state("a", State::Failed);
    assert_eq!((tree.stop().0, last_words(&tree)), (0, vec![]));
    let plan = Plan::new(&format!("services:\n{HOLD}")).arguments(&["--", "sleep", "infinity"]);
    let mut tree = plan.start();
    tree.pid("cmd");
    assert_eq!((tree.stop().0, last_words(&tree)), (143, vec![]));
}

#[test]
fn without_a_configuration_nothing_is_said_about_the_commands_end() {
    let output = std::process::Command::new(zei_tests::program("zei-init"))
        .args(["--", "sh", "-c", "exit 3"])
        .env("ZEI_CONFIG", "")
        .output()
        .unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(3), String::new()));
}

#[test]
fn a_standard_error_that_nobody_reads_does_not_hold_the_end_up() {
    // Filled, and held open by the one that does not read.
    let fill = "mkfifo $D/full; exec 9<>$D/full; dd if=/dev/zero of=$D/full bs=1024 count=64 status=none; \
                exec \"$@\" 2>$D/full";
    let plan = Plan::new("services:\n  a: {shell: 'exit 3', on_failure: shutdown}\n");
    let mut tree = plan.wrapper(&["sh", "-c", fill, "sh"]).spawn();
    let (code, took) = tree.end();
    assert_eq!(code, 3);
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}

/// A /dev of its own, with a file where Kubernetes looks.
const KUBERNETES: &str = "\
set -e
mkdir $D/dev
mount -t tmpfs none $D/dev
for name in null zero full tty urandom; do touch $D/dev/$name; mount --bind /dev/$name $D/dev/$name; done
ln -s /proc/self/fd $D/dev/fd
touch $D/termination-log $D/dev/termination-log
mount --bind $D/termination-log $D/dev/termination-log
mount --move $D/dev /dev
exec \"$@\"
";

#[test]
fn kubernetes_finds_the_same_words_where_it_looks() {
    if !can_be_pid_1() {
        return;
    }
    let plan =
        Plan::new("services:\n  a: {shell: 'exit 3', on_failure: shutdown}\n  hold: {command: [sleep, infinity]}\n");
    let mut tree = plan.pid_1().wrapper(&["sh", "-c", KUBERNETES, "sh"]).spawn();
    assert_eq!(tree.end().0, 3);
    let found = fs::read_to_string(tree.directory().join("termination-log")).unwrap();
    assert!(found.starts_with("zei-init: the container failed, exit code 3: a ended by exit code 3"), "{found}");
    assert!(tree.err.whole().ends_with(found.trim_end()), "{found}");

    let plan = Plan::new(&format!("services:\n{HOLD}"));
    let mut tree = plan.pid_1().wrapper(&["sh", "-c", KUBERNETES, "sh"]).start();
    tree.until_init("running");
    assert_eq!(tree.stop().0, 0);
    assert_eq!(fs::read_to_string(tree.directory().join("termination-log")).unwrap(), "");
}

/// `a` ends by code 4 once it is known that `b` has failed by code 9.
const AB: &str = "  b: {shell: 'exit 9'}
  a: {shell: 'until grep -qsx state=failed $D/run/services/b/status; do :; done; exit 4'}
";

#[test]
fn the_key_exit_says_whose_end_is_the_end_of_all_and_with_which_code() {
    let good = "  good: {command: ['true'], oneshot: true}\n";
    for (rule, services, command, expected) in [
        ("{when: all}", AB.to_owned(), None, 9),
        ("{code: 66}", AB.to_owned(), None, 66),
        ("{code: 66}", good.to_owned(), None, 66),
        ("{code: 0}", AB.to_owned(), None, 0),
        ("{when: {service: a}}", format!("{AB}{HOLD}"), None, 4),
        ("{when: {service: a}, code: 66}", format!("{AB}{HOLD}"), None, 66),
        ("{when: {service: b}}", format!("  b: {{shell: 'exit 9'}}\n{HOLD}"), None, 9),
        ("{when: any}", format!("{good}{HOLD}"), None, 0),
        ("{when: any, stop_code: 77}", format!("  b: {{shell: 'exit 9'}}\n{HOLD}"), None, 9),
        ("{code: 66, stop_code: 77}", HOLD.to_owned(), Some("exit 5"), 5),
        ("{when: any, code: 66}", HOLD.to_owned(), Some("exit 5"), 66),
        ("{code: 66}", format!("{HOLD}  prepare: {{shell: 'exit 6', oneshot: true}}\n"), Some("exit 5"), 6),
        ("{code: 66}", "  a: {shell: 'exit 4', on_failure: shutdown}\n".to_owned() + HOLD, None, 66),
    ] {
        let mut plan = Plan::new(&format!("exit: {rule}\nservices:\n{services}"));
        if let Some(command) = command {
            plan = plan.arguments(&["--", "sh", "-c", command]);
        }
        assert_eq!(plan.spawn().end().0, expected, "{rule} {services} {command:?}");
    }
}

#[test]
fn an_end_that_was_asked_for_has_the_code_that_is_set_for_it() {
    for (arguments, code) in [(&[][..], 77), (&["--", "sleep", "infinity"], 77)] {
        for asked in ["TERM", "shutdown"] {
            let plan = Plan::new(&format!("exit: {{stop_code: 77, code: 66}}\nservices:\n{HOLD}"));
            let mut tree = plan.arguments(arguments).start();
            tree.pid("hold");
            match asked {
                "TERM" => tree.signal(zei::signal::TERM),
                _ => drop(tree.ask("shutdown")),
            }
            assert_eq!((tree.end().0, last_words(&tree)), (code, vec![]), "{arguments:?}, {asked}");
        }
    }
}

#[test]
fn an_unhealthy_service_ends_the_container_where_its_check_says_so() {
    let services = "  web:\n    command: [sleep, infinity]\n    healthcheck: {test: [CMD, 'false'], interval: 10ms, \
                    retries: 2, on_unhealthy: shutdown}\n";
    for (rule, code) in [("{}", i32::from(exit::NO_CODE)), ("{code: 66}", 66)] {
        let plan = Plan::new(&format!("exit: {rule}\nservices:\n{services}{HOLD}"));
        assert_eq!(story(plan), (code, "web is unhealthy: 2 checks in a row have failed".to_owned()), "{rule}");
    }
}
