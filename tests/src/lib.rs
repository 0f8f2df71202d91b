//! Shared helpers of the scenario tests.
//!
//! Owns: finding the real programs, saying what was skipped. Must never: hold what only one test file needs.
// A helper of a test fails as the test does.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)]

pub mod fuzz;
pub mod lines;
pub mod process;
pub mod pump;
pub mod seccomp;
pub mod source;
pub mod tracer;
pub mod tree;

use std::collections::BTreeSet;
use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// How long a test waits for what must come, before it calls that never.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Waits for what leaves nothing behind that could be waited on.
///
/// # Panics
/// Where it does not come to hold within [`PATIENCE`].
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "not {what}");
        std::thread::yield_now();
    }
}

/// The variable that names a directory of ready programs, to test those (a release, a static build).
pub const BIN_DIR: &str = "ZEI_BIN_DIR";

/// The programs that this test process has built.
static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The path of the program `name`: from [`BIN_DIR`] where that is set, else beside this test's own
/// executable, in the same profile and target, built once per test process. It is built even where one is
/// there, as cargo alone knows whether that one is of today's source.
///
/// # Panics
/// Where the program can't be built, or isn't where it should be.
pub fn program(name: &str) -> PathBuf {
    if let Some(directory) = env::var_os(BIN_DIR) {
        // A relative path would not outlive a change of directory.
        let path = env::current_dir().expect("the working directory").join(directory).join(name);
        assert!(path.is_file(), "{BIN_DIR} is set, but {path:?} is no file");
        return path;
    }
    let test = env::current_exe().expect("/proc/self/exe");
    // TARGET/[TRIPLE/]PROFILE/deps/TEST
    let profile = test.ancestors().nth(2).unwrap_or_else(|| panic!("{test:?} is in no target directory"));
    let path = profile.join(name);
    // A failed build of another test poisons the lock, but what was built before stays built.
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !built.contains(name) {
        build(name, profile);
        assert!(path.is_file(), "cargo has built {name}, but {path:?} is no file");
        built.insert(name.to_owned());
    }
    path
}

/// Builds one program into `profile`, which is TARGET/PROFILE or TARGET/TRIPLE/PROFILE.
fn build(name: &str, profile: &Path) {
    let (Some(profile_name), Some(parent)) = (profile.file_name().and_then(|name| name.to_str()), profile.parent())
    else {
        panic!("{profile:?} is no profile of a target directory");
    };
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", name]).current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["--profile", if profile_name == "debug" { "dev" } else { profile_name }]);
    // Only the target directory itself has this file.
    if parent.join(".rustc_info.json").is_file() {
        cargo.arg("--target-dir").arg(parent);
    } else {
        cargo.arg("--target-dir").arg(parent.parent().expect("a target directory above the triple"));
        cargo.arg("--target").arg(parent.file_name().expect("a triple"));
    }
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{cargo:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Says on standard error, past the capture of a test's own output, that the running test saw nothing for
/// want of `need`. Always false, so that it can end a condition.
pub fn skipped(need: &str) -> bool {
    let thread = std::thread::current();
    let line = format!("skipped: {} needs {need}\n", thread.name().unwrap_or_default());
    io::stderr().write_all(line.as_bytes()).expect("standard error takes a line");
    false
}

/// Copies a program to where it can be executed. By a process of its own: while this one has the copy open for
/// writing, another test's child may hold it too, until its exec, and nobody can execute what is open for writing
/// (execve(2), ETXTBSY).
///
/// # Panics
/// Where there is no room for it.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let copied = Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} can't be copied", from.as_ref().display());
}
