//! zei-setuidgid as a user meets it: the real program, an /etc of its own, and what the kernel says afterwards.
// The helpers below are parts of tests.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    games:x:5:60:games:/usr/games:/usr/sbin/nologin\n\
    homeless:x:1001:1001:::\n\
    appuser:x:1000:1000:App:/home/app:/bin/sh\n";
const GROUP: &str = "root:x:0:\nvideo:x:44:games,appuser\ngames:x:60:\nusers:x:100:games\napp:x:1000:\n";

/// A directory with a copy of the program that every user may execute, and an /etc of its own.
struct Place {
    directory: TempDir,
}

/// How the program ended and what it said.
#[derive(Debug, PartialEq)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Place {
        Place::with(Some(PASSWD), Some(GROUP))
    }

    fn with(passwd: Option<&str>, group: Option<&str>) -> Place {
        let place = Place { directory: TempDir::new().unwrap() };
        let etc = place.path().join("etc");
        fs::create_dir(&etc).unwrap();
        for (name, text) in [("etc/passwd", passwd), ("etc/group", group)] {
            if let Some(text) = text {
                place.file(name, text, 0o644);
            }
        }
        let program = place.path().join("zei-setuidgid");
        zei_tests::copy_program(zei_tests::program("zei-setuidgid"), &program);
        for path in [place.path(), &etc, &program] {
            mode(path, 0o755);
        }
        place
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes a file and says where it is.
    fn file(&self, name: &str, text: &str, bits: u32) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        mode(&path, bits);
        path.to_str().unwrap().to_owned()
    }

    /// Runs `zei-setuidgid ARGUMENTS` behind `prefix` (a program that changes something and execs), in a
    /// mount namespace where /etc is ours.
    fn run_behind(&self, prefix: &[&str], arguments: &[&str]) -> Outcome {
        let script = r#"mount --bind "$1/etc" /etc && cd "$1" && shift && exec "$@""#;
        let mut command = Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(self.path()).args(prefix);
        command.arg(self.path().join("zei-setuidgid")).args(arguments);
        outcome(command.env("HOME", "/nowhere").env("USER", "before").output().unwrap())
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_behind(&[], arguments)
    }

    /// What `/proc/self/status` says of a program run so: uids, gids, groups.
    fn credentials(&self, prefix: &[&str], spec: &str) -> String {
        let outcome = self.run_behind(prefix, &[spec, "cat", "/proc/self/status"]);
        assert_eq!(outcome.code, Some(0), "{spec:?}: {outcome:?}");
        ["Uid:", "Gid:", "Groups:"].map(|key| field(&outcome.stdout, key)).join(" / ")
    }
}

fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
}

fn outcome(output: Output) -> Outcome {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The words of one line of a status file.
fn field(status: &str, key: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key} in {status}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As the kernel prints it: real, effective, saved and file system ids are the same.
fn ids(uid: u32, gid: u32, groups: &str) -> String {
    format!("{uid} {uid} {uid} {uid} / {gid} {gid} {gid} {gid} / {groups}")
}

/// Whether this is root, which changing users takes. Without it the test says that it saw nothing.
fn root() -> bool {
    nix::unistd::geteuid().is_root() || zei_tests::skipped("root")
}

/// Whether a mount namespace can be had, as root or in a user namespace of one's own.
fn own_etc() -> bool {
    let mut command = Command::new("unshare");
    let status = command.args(["--map-root-user", "--mount", "true"]).stderr(Stdio::null()).status();
    nix::unistd::geteuid().is_root()
        || status.is_ok_and(|status| status.success())
        || zei_tests::skipped("root or user namespaces")
}

/// The user who runs the tests.
fn own() -> String {
    nix::unistd::getuid().to_string()
}

/// Runs the program as whoever runs the tests, with the machine's own /etc.
fn plain(arguments: &[&str]) -> Outcome {
    outcome(Command::new(zei_tests::program("zei-setuidgid")).args(arguments).output().unwrap())
}

#[test]
fn help_and_version_are_printed_and_succeed() {
    for option in ["-h", "--help"] {
        let outcome = plain(&[option]);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
        assert!(outcome.stdout.starts_with("Usage: zei-setuidgid "), "{outcome:?}");
    }
    for option in ["-V", "-v", "--version"] {
        let outcome = plain(&[option]);
        assert_eq!(outcome.code, Some(0));
        assert!(outcome.stdout.starts_with("zei-setuidgid 0."), "{outcome:?}");
    }
}

#[test]
fn bad_usage_is_exit_code_100_and_says_how_to_use_it() {
    for (arguments, problem) in [
        (&[][..], "neither a user nor a program was named"),
        (&["--"], "neither a user nor a program was named"),
        (&["root"], "no program was named after the user \"root\""),
        (&["--", "root"], "no program was named after the user \"root\""),
        (&["root", ""], "the program is an empty word"),
        (&["--bogus", "root", "true"], "unknown option \"--bogus\""),
    ] {
        let text = format!("zei-setuidgid: {problem}: use zei-setuidgid USER[:GROUP...] PROG [ARGS...], or see --help\n");
        assert_eq!(plain(arguments), Outcome { code: Some(100), stdout: String::new(), stderr: text });
    }
}

#[test]
fn an_id_that_the_kernel_does_not_have_is_exit_code_100() {
    for spec in ["4294967295", "0:4294967296", ":99999999999999999999"] {
        let outcome = plain(&[spec, "true"]);
        assert_eq!(outcome.code, Some(100), "{spec}");
        assert!(outcome.stderr.contains("use a number from 0 to 4294967294"), "{outcome:?}");
    }
}

#[test]
fn whoever_one_is_already_needs_no_privilege() {
    if !nix::unistd::getuid().is_root() {
        let outcome = plain(&["", "id", "-u"]);
        assert_eq!((outcome.code, outcome.stdout.trim()), (Some(0), own().as_str()), "{}", outcome.stderr);
        return;
    }
    let place = Place::new();
    for (who, spec, expected) in [
        (["--reuid=1000", "--regid=1000", "--groups=44,1000"], "appuser", ids(1000, 1000, "44 1000")),
        (["--reuid=1000", "--regid=1000", "--groups=44"], "1000:", ids(1000, 1000, "44")),
        (["--reuid=1000", "--regid=1000", "--groups=44"], "", ids(1000, 1000, "44")),
        (["--reuid=1000", "--regid=1000", "--clear-groups"], "appuser:app", ids(1000, 1000, "")),
        (["--reuid=77777", "--regid=0", "--groups=0,7"], "77777", ids(77777, 0, "0 7")),
        (["--reuid=77777", "--regid=0", "--groups=0,7"], "", ids(77777, 0, "0 7")),
    ] {
        let prefix = [&["setpriv", "--no-new-privs"][..], &who].concat();
        assert_eq!(place.credentials(&prefix, spec), expected, "{spec:?}");
    }
}

#[test]
fn another_user_is_refused_to_whoever_is_not_root() {
    if !nix::unistd::getuid().is_root() {
        let outcome = plain(&["0:0", "true"]);
        assert_eq!(outcome.code, Some(111), "{outcome:?}");
        return;
    }
    let place = Place::new();
    for (spec, text) in [
        (
            "1001:1000",
            "cannot switch to user 1001: Operation not permitted (setresuid): run it as root, or with CAP_SETUID",
        ),
        (
            "appuser",
            "cannot set the supplementary groups 1000,44: Operation not permitted (setgroups): \
             run it as root, or with CAP_SETGID",
        ),
    ] {
        let prefix = ["setpriv", "--reuid=1000", "--regid=1000", "--groups=1000"];
        let expected = Outcome { code: Some(111), stdout: String::new(), stderr: format!("zei-setuidgid: {text}\n") };
        assert_eq!(place.run_behind(&prefix, &[spec, "echo", "ran"]), expected);
    }
}

#[test]
fn every_spelling_of_user_and_group_gives_what_gosu_gives() {
    if !root() {
        return;
    }
    let place = Place::new();
    let before = ["setpriv", "--regid=9", "--groups=9,27"];
    for (spec, expected) in [
        ("games", ids(5, 60, "44 60 100")),
        ("games:", ids(5, 60, "44 60 100")),
        ("5", ids(5, 60, "44 60 100")),
        ("games:video", ids(5, 44, "44")),
        ("5:44", ids(5, 44, "44")),
        ("games:7", ids(5, 7, "7")),
        ("2000", ids(2000, 9, "9")),
        ("2000:app", ids(2000, 1000, "1000")),
        ("2000:2000", ids(2000, 2000, "2000")),
        ("4294967294:4294967294", ids(4_294_967_294, 4_294_967_294, "4294967294")),
        ("root", ids(0, 0, "0")),
        ("", ids(0, 0, "0")),
        (":", ids(0, 0, "0")),
        (":video", ids(0, 44, "44")),
        (":0", ids(0, 0, "0")),
    ] {
        assert_eq!(place.credentials(&before, spec), expected, "{spec:?}");
    }
}

#[test]
fn numbers_do_without_both_files() {
    if root() {
        assert_eq!(Place::with(None, None).credentials(&[], "1000:50"), ids(1000, 50, "50"));
    }
}

#[test]
fn a_name_that_needs_a_missing_file_says_which_one() {
    if !own_etc() {
        return;
    }
    let place = Place::with(None, None);
    for (spec, text) in [
        ("appuser", "can't look up user \"appuser\": /etc/passwd is missing: add it, or use a number"),
        ("1000:app", "can't look up group \"app\": /etc/group is missing: add it, or use a number"),
    ] {
        let expected = Outcome { code: Some(100), stdout: String::new(), stderr: format!("zei-setuidgid: {text}\n") };
        assert_eq!(place.run(&[spec, "echo", "ran"]), expected);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_exit_code_111_not_an_unknown_user() {
    if !own_etc() {
        return;
    }
    let place = Place::with(None, Some(GROUP));
    fs::create_dir(place.path().join("etc/passwd")).unwrap();
    let outcome = place.run(&["appuser", "true"]);
    assert_eq!(outcome.code, Some(111));
    assert!(outcome.stderr.starts_with("zei-setuidgid: can't read /etc/passwd: Is a directory"), "{outcome:?}");
}

#[test]
fn an_unknown_name_is_exit_code_100_with_the_near_one() {
    if !own_etc() {
        return;
    }
    let place = Place::new();
    for (spec, text) in [
        ("apuser", "there is no user \"apuser\" in /etc/passwd: did you mean \"appuser\"?"),
        ("appuser:xyz", "there is no group \"xyz\" in /etc/group: add it, or use a number"),
    ] {
        let expected = Outcome { code: Some(100), stdout: String::new(), stderr: format!("zei-setuidgid: {text}\n") };
        assert_eq!(place.run(&[spec, "echo", "ran"]), expected);
    }
}

#[test]
fn home_is_the_users_own_and_the_rest_of_the_environment_stays() {
    if !root() {
        return;
    }
    let place = Place::new();
    for (spec, home) in [
        ("appuser", "/home/app"),
        ("1000:0", "/home/app"),
        ("", "/root"),
        (":5", "/root"),
        ("homeless", "/"),
        ("2000", "/"),
    ] {
        let environment = place.run(&[spec, "env"]).stdout;
        let lines = |prefix| environment.lines().filter(|line| line.starts_with(prefix)).collect::<Vec<_>>();
        assert_eq!((lines("HOME="), lines("USER=")), (vec![&*format!("HOME={home}")], vec!["USER=before"]), "{spec:?}");
    }
}

#[test]
fn root_without_the_capability_is_told_which_one_it_lacks() {
    if !root() {
        return;
    }
    let place = Place::new();
    for (groups, lacking, spec, text) in [
        ("--groups=7", "-setuid", "1000:0", "cannot switch to user 1000: Operation not permitted (setresuid)"),
        ("--groups=7", "-setgid", ":50", "cannot set the supplementary groups 50: Operation not permitted (setgroups)"),
        ("--clear-groups", "-setgid", ":50", "cannot switch to group 50: Operation not permitted (setresgid)"),
    ] {
        let prefix = ["setpriv", groups, "--bounding-set", lacking];
        let capability = lacking.replace("-set", "CAP_SET").to_uppercase();
        let stderr = format!("zei-setuidgid: {text}: run it as root, or with {capability}\n");
        let expected = Outcome { code: Some(111), stdout: String::new(), stderr };
        assert_eq!(place.run_behind(&prefix, &[spec, "echo", "ran"]), expected);
    }
    // Whoever has the right groups needs no CAP_SETGID.
    let prefix = ["setpriv", "--regid=1000", "--groups=1000,44", "--bounding-set", "-setgid"];
    assert_eq!(place.credentials(&prefix, "appuser"), ids(1000, 1000, "44 1000"));
}

#[test]
fn a_former_root_that_could_come_back_runs_nothing() {
    if !root() {
        return;
    }
    let place = Place::new();
    let outcome = place.run_behind(&["setpriv", "--securebits", "+no_setuid_fixup"], &["appuser", "echo", "ran"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(111), ""));
    assert!(outcome.stderr.contains("would let user 0 come back"), "{outcome:?}");
}

#[test]
fn no_capability_is_left_after_leaving_root() {
    if !root() {
        return;
    }
    let status = Place::new().run(&["appuser", "cat", "/proc/self/status"]).stdout;
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
}

#[test]
fn installed_setuid_it_refuses_to_run() {
    if !root() {
        return;
    }
    let place = Place::new();
    for bits in [0o4755, 0o2755] {
        mode(&place.path().join("zei-setuidgid"), bits);
        let prefix = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
        let outcome = place.run_behind(&prefix, &["0", "echo", "ran"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(100), ""), "{bits:o}");
        assert!(outcome.stderr.contains("remove these bits (chmod ug-s)"), "{outcome:?}");
    }
}

#[test]
fn the_program_takes_its_place_with_every_argument_unchanged() {
    let mut command = Command::new(zei_tests::program("zei-setuidgid"));
    command.args(["--", &own(), "sh", "-c", r#"echo $$; printf '<%s>' "$@""#, "sh"]);
    command.args(["", "-h", "a b", "--", "$HOME", "*"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let output = outcome(child.wait_with_output().unwrap());
    assert_eq!(output.stdout, format!("{pid}\n<><-h><a b><--><$HOME><*>"));
}

#[test]
fn the_exit_code_is_that_of_the_program() {
    for code in [0, 1, 42, 100, 255] {
        assert_eq!(plain(&[&own(), "sh", "-c", &format!("exit {code}")]).code, Some(code));
    }
    assert_eq!(plain(&[&own(), "sh", "-c", "kill -KILL $$"]).code, None);
}

#[test]
fn a_program_that_is_nowhere_is_exit_code_127() {
    for (program, advice) in [
        ("no-such-program", "install it, or add its directory to PATH"),
        ("/no/such/program", "check the path"),
        ("./no-such-program", "check the path"),
        ("/proc/version/program", "check the path"),
    ] {
        let outcome = plain(&[&own(), program]);
        assert_eq!(outcome.code, Some(127), "{outcome:?}");
        assert!(outcome.stderr.starts_with(&format!("zei-setuidgid: cannot run {program:?}: ")), "{outcome:?}");
        assert!(outcome.stderr.contains(advice), "{outcome:?}");
    }
}

#[test]
fn a_program_that_is_there_but_cannot_run_is_exit_code_126() {
    let place = Place::new();
    let document = place.file("document", "#!/bin/sh\n", 0o644);
    let orphan = place.file("orphan", "#!/no/such/interpreter\n", 0o755);
    let headless = place.file("headless", "exit 0\n", 0o755);
    let directory = place.path().to_str().unwrap();
    for (program, advice) in [
        (headless.as_str(), "begin a script with #!/bin/sh"),
        (&document, "let this user execute it"),
        (directory, "let this user execute it"),
        (&orphan, "install what its #! line or ELF header names as interpreter"),
    ] {
        let outcome = plain(&[&own(), program]);
        assert_eq!(outcome.code, Some(126), "{outcome:?}");
        assert!(outcome.stderr.contains(&format!("cannot run {program:?}: ")), "{outcome:?}");
        assert!(outcome.stderr.contains(advice), "{outcome:?}");
    }
}

#[test]
fn the_program_is_looked_up_in_path_with_the_rights_of_the_new_user() {
    if !root() {
        return;
    }
    let place = Place::new();
    for (name, bits) in [("closed", 0o700), ("open", 0o755)] {
        fs::create_dir(place.path().join(name)).unwrap();
        place.file(&format!("{name}/tool"), &format!("#!/bin/sh\necho {name}\n"), 0o755);
        mode(&place.path().join(name), bits);
    }
    let base = place.path().to_str().unwrap();
    let path = format!("PATH={base}/closed:{base}/open:/usr/bin:/bin");
    assert_eq!(place.run_behind(&["env", &path], &["root", "tool"]).stdout, "closed\n");
    assert_eq!(place.run_behind(&["env", &path], &["appuser", "tool"]).stdout, "open\n");
    // A directory that can't be entered doesn't make a missing program a forbidden one.
    assert_eq!(place.run_behind(&["env", &path], &["appuser", "no-such-tool"]).code, Some(127));
}

#[test]
fn signal_mask_and_dispositions_are_left_as_they_were() {
    let status = |options: &[&str], words: &[&str]| {
        let output = Command::new("env").args(options).args(words).args(["cat", "/proc/self/status"]).output().unwrap();
        let status = outcome(output).stdout;
        ["SigBlk:", "SigIgn:"].map(|key| u64::from_str_radix(&field(&status, key), 16).unwrap())
    };
    let (program, own) = (zei_tests::program("zei-setuidgid"), own());
    let through = [program.to_str().unwrap(), &own];
    // SIGPIPE, which Rust's runtime ignores in every program, is among what stays as it was.
    let clean = ["--default-signal"];
    assert_eq!(status(&clean, &through), status(&clean, &[]));
    let changed = ["--default-signal", "--block-signal=USR1", "--ignore-signal=HUP"];
    let [blocked, ignored] = status(&changed, &through);
    assert_eq!([blocked, ignored], status(&changed, &[]));
    let bit = |signal: u8| 1 << (signal - 1);
    assert_eq!((blocked, ignored & bit(zei::signal::HUP)), (bit(zei::signal::USR1), bit(zei::signal::HUP)));
}

#[test]
fn a_full_or_closed_output_changes_no_exit_code_but_that_of_help() {
    let program = zei_tests::program("zei-setuidgid");
    let own = own();
    for (script, code) in [
        (r#"exec "$1" 2>/dev/full"#, 100),
        (r#"exec "$1" 2>&-"#, 100),
        (r#"exec "$1" "$2" no-such-program 2>&-"#, 127),
        (r#"exec "$1" --help >/dev/full"#, 111),
    ] {
        let status = Command::new("sh").args(["-c", script, "sh"]).arg(&program).arg(&own).status().unwrap();
        assert_eq!(status.code(), Some(code), "{script}");
    }
    for (arguments, code) in [(&["root"][..], 100), (&[&own, "no-such-program"], 127)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = Command::new(&program).args(arguments).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(code), "nobody reads what {arguments:?} says");
    }
}
