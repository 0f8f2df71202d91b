//! zei-init with a command and without a configuration, as those meet it who used tini or dumb-init.
// The helpers below are parts of tests.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Output, Stdio};
use zei::run::command::NOT_FORWARDED;
use zei::signal::{self, Set};
use zei::sys::raw;
use zei_tests::{program, skipped};

const CATCH: &str = env!("CARGO_BIN_EXE_catch");

/// Signals that by themselves end no process (signal(7)).
const HARMLESS: Set = Set::of(&[
    signal::CHLD,
    signal::CONT,
    signal::STOP,
    signal::TSTP,
    signal::TTIN,
    signal::TTOU,
    signal::URG,
    signal::WINCH,
]);

fn zei_init(arguments: &[&str]) -> Command {
    prepared(Command::new(program("zei-init")), arguments)
}

/// Behind programs that change something and execute the rest.
fn behind(prefix: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new(prefix[0]);
    command.args(&prefix[1..]).arg(program("zei-init"));
    prepared(command, arguments)
}

fn prepared(mut command: Command, arguments: &[&str]) -> Command {
    for name in ["TINI_SUBREAPER", "TINI_KILL_PROCESS_GROUP", "TINI_VERBOSITY", "DUMB_INIT_SETSID", "ZEI_CONFIG"] {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn outcome(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn code(arguments: &[&str]) -> Option<i32> {
    outcome(zei_init(arguments)).0
}

/// A running zei-init and what it is connected to.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn new(mut command: Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Running { stdin: child.stdin.take(), child, stdout, stderr }
    }

    fn line(&mut self) -> String {
        self.stdout.next().expect("a line on standard output").unwrap()
    }

    /// The pid that a `catch` says when it is ready.
    fn ready(&mut self) -> String {
        self.line().strip_prefix("ready ").expect("ready").to_owned()
    }

    fn signal(&self, signal: u8) {
        raw::kill(self.child.id().cast_signed(), signal).unwrap();
    }

    /// The rest of standard output, and the exit code.
    fn end(mut self) -> (Vec<String>, Option<i32>) {
        drop(self.stdin.take());
        let rest = self.stdout.by_ref().map(Result::unwrap).collect();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn each_exit_code_of_the_command_is_that_of_zei_init() {
    for number in 0..=255 {
        assert_eq!(code(&["--", "sh", "-c", "exit $0", &number.to_string()]), Some(number));
    }
}

#[test]
fn each_signal_that_ends_the_command_is_an_exit_code_of_128_and_its_number() {
    // 32 and 33 belong to the C library: no program can put them back to the default.
    for number in (1..=31).chain(signal::RTMIN..=signal::RTMAX).filter(|signal| !HARMLESS.contains(*signal)) {
        // Without core files.
        let script = "ulimit -c 0; kill -$0 $$";
        let ended = outcome(zei_init(&["sh", "-c", script, &number.to_string()]));
        assert_eq!(ended.0, Some(128 + i32::from(number)), "{ended:?}");
    }
}

#[test]
fn each_signal_arrives_unchanged_but_those_that_are_never_forwarded() {
    let forwarded: Vec<u8> = (1..=signal::RTMAX).filter(|signal| !NOT_FORWARDED.contains(*signal)).collect();
    assert_eq!(forwarded.len(), 52, "{forwarded:?}");
    let mut running = Running::new(zei_init(&[CATCH, &forwarded.len().to_string(), "5"]));
    let pid = running.ready();
    // All but one that are not forwarded go first: had one been, it would come before the others.
    for never in NOT_FORWARDED.iter().filter(|signal| ![signal::KILL, signal::STOP].contains(signal)) {
        running.signal(never);
    }
    for number in &forwarded {
        running.signal(*number);
        assert_eq!(running.line(), format!("{pid} {number}"));
    }
    assert_eq!(running.end(), (vec![], Some(5)));
}

#[test]
fn with_g_the_whole_process_group_gets_the_signal_and_without_only_the_command() {
    // An orphan, whose death is no signal to the command.
    let script = format!("({CATCH} 1 &); exec {CATCH} 2");
    for options in [&["-g"][..], &[][..], &["-g", "--single-child"][..]] {
        let mut running = Running::new(zei_init(&[options, &["sh", "-c", &script]].concat()));
        let pids = [running.ready(), running.ready()];
        running.signal(signal::USR1);
        let first = running.line();
        if options == ["-g"] {
            let mut both = [first, running.line()];
            let mut expected = pids.map(|pid| format!("{pid} 10"));
            both.sort();
            expected.sort();
            assert_eq!(both, expected);
        } else {
            // The other one's first signal is one that it is sent directly.
            let command = first.strip_suffix(" 10").unwrap();
            let other = pids.iter().find(|pid| *pid != command).unwrap();
            raw::kill(other.parse().unwrap(), signal::USR2).unwrap();
            assert_eq!(running.line(), format!("{other} 12"), "{options:?}");
        }
        running.signal(signal::TERM);
        assert!(running.line().ends_with(" 15"));
        assert_eq!(running.end(), (vec![], Some(0)));
    }
}

#[test]
fn a_command_that_left_its_group_still_gets_the_signal_with_g() {
    // It joins the group of zei-init's parent: the one made for it is then empty.
    let Ok(python) = Command::new("python3").arg("--version").output() else {
        skipped("python3");
        return;
    };
    assert!(python.status.success());
    let script = format!("import os; os.setpgid(0, os.getpgid(os.getppid())); os.execv('{CATCH}', ['catch', '1'])");
    let mut running = Running::new(zei_init(&["-g", "python3", "-c", &script]));
    let pid = running.ready();
    running.signal(signal::USR2);
    assert_eq!(running.end(), (vec![format!("{pid} 12")], Some(0)));
}

#[test]
fn the_variables_of_tini_and_dumb_init_count() {
    let script = format!("({CATCH} 1 &); exec {CATCH} 1");
    let mut command = zei_init(&["sh", "-c", &script]);
    command.env("TINI_KILL_PROCESS_GROUP", "1");
    let mut running = Running::new(command);
    let mut expected = [running.ready(), running.ready()].map(|pid| format!("{pid} 1"));
    running.signal(signal::HUP);
    let (mut both, code) = running.end();
    both.sort();
    expected.sort();
    assert_eq!((both.as_slice(), code), (&expected[..], Some(0)));

    let said = |name, value| {
        let mut command = zei_init(&["true"]);
        command.env(name, value);
        outcome(command).2
    };
    assert_eq!(said("TINI_VERBOSITY", "1"), "");
    assert!(said("TINI_VERBOSITY", "2").contains("the command ended with exit code 0"));
    assert!(said("DUMB_INIT_DEBUG", "1").contains("the command ended with exit code 0"));
    assert_eq!(said("TINI_SUBREAPER", ""), "");
}

#[test]
fn codes_named_with_e_become_zero_and_no_others() {
    assert_eq!(code(&["-e", "143", "-e3", "sh", "-c", "exit 3"]), Some(0));
    assert_eq!(code(&["-e", "143", "-e3", "sh", "-c", "kill -TERM $$"]), Some(0));
    assert_eq!(code(&["-e", "143", "-e3", "sh", "-c", "exit 4"]), Some(4));
    assert_eq!(code(&["-ge255", "--", "sh", "-c", "exit 255"]), Some(0));
}

#[test]
fn a_rewritten_signal_arrives_as_the_other_one_and_one_rewritten_to_zero_never() {
    let mut running =
        Running::new(zei_init(&["--rewrite", "15:SIGUSR1", "-r2:0", "--rewrite=HUP:RTMIN+3", CATCH, "2"]));
    let pid = running.ready();
    running.signal(signal::INT);
    running.signal(signal::TERM);
    assert_eq!(running.line(), format!("{pid} 10"));
    running.signal(signal::HUP);
    assert_eq!(running.end(), (vec![format!("{pid} 37")], Some(0)));
}

#[test]
fn the_end_of_the_parent_sends_the_signal_named_with_p() {
    let mut command = Command::new("sh");
    command.args(["-c", r#""$@" & read line"#, "sh"]).arg(program("zei-init"));
    let mut running = Running::new(prepared(command, &["-p", "SIGUSR2", CATCH, "1"]));
    let pid = running.ready();
    assert_eq!(running.end().0, [format!("{pid} 12")]);
}

/// An orphan that ends, and a command that goes on until its input ends. (Nothing may follow the `&` in
/// the subshell, which would reap.)
const ORPHAN: &str = "($0 0 &); read line; exit 9";

#[test]
fn orphans_are_reaped_where_zei_init_is_not_pid_1() {
    let mut running = Running::new(zei_init(&["-w", "sh", "-c", ORPHAN, CATCH]));
    let pid = running.ready();
    let said = running.stderr.next().unwrap().unwrap();
    assert_eq!(said, format!("zei-init: reaped a zombie, pid {pid}, exit code 0"));
    assert_eq!(running.end(), (vec![], Some(9)));
}

const NAMESPACE: &[&str] = &["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--"];

fn can(prefix: &[&str]) -> bool {
    Command::new(prefix[0]).args(&prefix[1..]).arg("true").output().is_ok_and(|output| output.status.success())
        || skipped("unshare")
}

#[test]
fn as_pid_1_it_reaps_orphans_and_forwards_signals() {
    if !can(NAMESPACE) {
        return;
    }
    let mut running = Running::new(behind(NAMESPACE, &["-w", "sh", "-c", ORPHAN, CATCH]));
    let pid = running.ready();
    let said = running.stderr.next().unwrap().unwrap();
    assert_eq!(said, format!("zei-init: reaped a zombie, pid {pid}, exit code 0"));
    assert_eq!(running.end(), (vec![], Some(9)));

    let script = r#"trap 'exit $PPID' USR1; kill -USR1 1; sleep 1000 & wait; exit 9"#;
    assert_eq!(outcome(behind(NAMESPACE, &["sh", "-c", script])).0, Some(1));
}

#[test]
fn a_thousand_orphans_leave_no_zombie() {
    let script = "i=0; while [ $i -lt 1000 ]; do (:&); i=$((i+1)); done; read line";
    let mut running = Running::new(zei_init(&["-w", "sh", "-c", script]));
    let reaped = running.stderr.by_ref().take(1000).map(Result::unwrap);
    assert_eq!(reaped.filter(|line| line.ends_with("exit code 0")).count(), 1000);
    let of_zei_init = format!("/proc/{0}/task/{0}/children", running.child.id());
    let children = std::fs::read_to_string(of_zei_init).unwrap();
    assert_eq!(children.split_whitespace().count(), 1, "{children}");
}

#[test]
fn the_command_has_the_signal_mask_and_dispositions_that_zei_init_was_started_with() {
    // KILL and STOP can't be, 32 and 33 belong to the C library.
    let possible = !Set::of(&[signal::KILL, signal::STOP, 32, 33]).0;
    for (blocked, ignored) in [(0, 0), (1, 1), (0, 1 << 12), (0, 1 << 16), (1 << 16, 0), (possible, possible)] {
        let (blocked, ignored) = (format!("{blocked:016x}"), format!("{ignored:016x}"));
        let command = behind(&[CATCH, "with", &blocked, &ignored], &["cat", "/proc/self/status"]);
        let (code, status, stderr) = outcome(command);
        assert_eq!(code, Some(0), "{stderr}");
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        let set = |name| format!("{:016x}", u64::from_str_radix(field(name), 16).unwrap() & possible);
        assert_eq!((set("SigBlk:"), set("SigIgn:")), (blocked, ignored));
    }
}

#[test]
fn the_end_is_seen_and_signals_pass_where_all_signals_were_blocked_and_ignored() {
    let possible = format!("{:x}", !Set::of(&[signal::KILL, signal::STOP, 32, 33]).0);
    let mut running = Running::new(behind(&[CATCH, "with", &possible, &possible], &[CATCH, "2", "7"]));
    let pid = running.ready();
    running.signal(signal::TERM);
    assert_eq!(running.line(), format!("{pid} 15"));
    running.signal(signal::RTMAX);
    assert_eq!(running.end(), (vec![format!("{pid} 64")], Some(7)));
}

#[test]
fn a_line_of_its_own_that_nobody_reads_sends_the_command_no_signal() {
    let mut running = Running::new(zei_init(&["-vvv", CATCH, "2"]));
    let pid = running.ready();
    // Another pipe takes its place, so that its own has no reader any more.
    let mut other = Command::new("true").stderr(Stdio::piped()).spawn().unwrap();
    running.stderr = BufReader::new(other.stderr.take().unwrap()).lines();
    assert!(other.wait().unwrap().success());
    running.signal(signal::USR1);
    assert_eq!(running.line(), format!("{pid} 10"));
    running.signal(signal::USR2);
    assert_eq!(running.end(), (vec![format!("{pid} 12")], Some(0)));
}

#[test]
fn arguments_environment_and_descriptors_reach_the_command_unchanged() {
    let mut command = zei_init(&["sh", "-c", r#"printf '%s|' "$@"; printf %s "$ODD"; cat <&7"#, "-g", "", "--", "a b"]);
    command.env("ODD", "a\nb");
    let mut outer = Command::new("sh");
    outer
        .args([
            "-c",
            r#"exec 7<<E && exec "$@"
seven
E"#,
            "sh",
        ])
        .arg(command.get_program())
        .args(command.get_args())
        .env("ODD", "a\nb");
    assert_eq!(outcome(outer), (Some(0), String::from("|--|a b|a\nbseven\n"), String::new()));
}

#[test]
fn what_cannot_be_executed_is_explained() {
    let place = tempfile::TempDir::new().unwrap();
    let file = place.path().join("file").to_str().unwrap().to_owned();
    std::fs::write(&file, "no program").unwrap();
    let missing = format!("{file}/none");
    for (program, code) in [("zei-no-such", 127), (&*missing, 127), (&*file, 126), ("/", 126)] {
        let (ended, stdout, stderr) = outcome(zei_init(&[program]));
        assert_eq!((ended, &*stdout), (Some(code), ""), "{program}: {stderr}");
        assert!(stderr.starts_with(&format!("zei-init: cannot run {program:?}: ")), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn wrong_usage_is_explained_with_exit_code_100() {
    let table: &[(&[&str], &str)] = &[
        (&[], "nothing to run"),
        (&["--"], "nothing to run"),
        (&["-g"], "nothing to run"),
        (&["-e", "300", "true"], "-e 300: an exit code is a number from 0 to 255"),
        (&["-e", "-1", "true"], "-e -1: an exit code is a number from 0 to 255"),
        (&["-e"], "option -e needs CODE"),
        (&["-p", "FOO", "true"], "-p FOO: \"FOO\" is no signal"),
        (&["-p", "TREM", "true"], "did you mean TERM?"),
        (&["--rewrite", "x", "true"], "--rewrite x: it must be A:B"),
        (&["--rewrite", "15:65", "true"], "\"65\" is no signal"),
        (&["--rewrite=KILL:15", "true"], "KILL is never forwarded"),
        (&["--rewirte", "1:2", "true"], "unknown option --rewirte (did you mean --rewrite?)"),
        (&["--single-child=1", "true"], "option --single-child takes no value"),
        (&["-gx", "true"], "unknown option -x"),
    ];
    for (arguments, problem) in table {
        let (code, stdout, stderr) = outcome(zei_init(arguments));
        assert_eq!((code, &*stdout), (Some(100), ""), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("zei-init: ") && stderr.contains(problem), "{arguments:?}: {stderr}");
    }
}

#[test]
fn texts_that_are_asked_for_go_to_standard_output() {
    for (option, text) in
        [("-h", "Usage: "), ("--help", "Usage: "), ("-l", "MIT"), ("--version", "zei-init "), ("-V", "zei-init ")]
    {
        let (code, stdout, stderr) = outcome(zei_init(&[option]));
        assert_eq!((code, &*stderr), (Some(0), ""));
        assert!(stdout.starts_with(text), "{option}: {stdout}");
    }
}

#[test]
fn a_read_only_root_without_proc_run_and_tmp_is_enough_for_any_number() {
    if !can(&["unshare", "--mount"]) {
        return;
    }
    // The program is bound to a path that exists everywhere before all else is made read-only or hidden.
    let script = r#"mount --bind "$0" /bin/true && mount -o remount,bind,ro / &&
        for place in /run /tmp /proc; do mount -t tmpfs -o ro none $place || exit 99; done
        /bin/true sh -c 'exit 3' || test $? = 3 || exit 98
        /bin/true /bin/true /bin/true -- sh -c 'echo x >/x || exit 5' 2>&1"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(program("zei-init"));
    let (code, stdout, stderr) = outcome(prepared(command, &[]));
    assert_eq!(code, Some(5), "{stdout}{stderr}");
    assert!(stdout.contains("Read-only file system"), "{stdout}");
}

#[test]
fn a_kill_of_zei_init_as_pid_1_ends_the_command() {
    if !can(NAMESPACE) {
        return;
    }
    let mut running = Running::new(behind(NAMESPACE, &[CATCH, "1"]));
    running.ready();
    running.child.kill().unwrap();
    let mut rest = String::new();
    // The end of the file: nobody holds the pipe any more.
    running.stdout.by_ref().for_each(|line| rest += &line.unwrap());
    assert_eq!(rest, "");
    assert_eq!(running.child.wait().unwrap().signal(), Some(9));
}
