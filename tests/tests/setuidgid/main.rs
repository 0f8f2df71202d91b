//! zei-setuidgid as a user meets it: the real program, an /etc of its own, and what the kernel says afterwards. Who
//! one becomes is in `table`, what is left of rights in `rights`, what the program finds in `program`, what others do
//! in `peers`.
// The helpers below are parts of tests.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

mod peers;
mod program;
mod rights;
mod table;

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
        Place::with(Some(PASSWD.as_bytes()), Some(GROUP.as_bytes()))
    }

    fn with(passwd: Option<&[u8]>, group: Option<&[u8]>) -> Place {
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
    fn file(&self, name: &str, text: impl AsRef<[u8]>, bits: u32) -> String {
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
        (&["--keep-hom", "root", "true"], "unknown option \"--keep-hom\" (did you mean --keep-home?)"),
        (&["--keep-home"], "neither a user nor a program was named"),
        (&["-1", "true"], "unknown option \"-1\""),
        (&["--capabilities"], "--capabilities needs a list"),
    ] {
        let text =
            format!("zei-setuidgid: {problem}: use zei-setuidgid USER[:GROUP...] PROG [ARGS...], or see --help\n");
        assert_eq!(plain(arguments), Outcome { code: Some(100), stdout: String::new(), stderr: text });
    }
}
