//! A tree that really runs: zei-init as PID 1 of a namespace of its own, with a small tmpfs on /run.
//!
//! Owns: its start and its end, its files as they are reached from outside, and signals to its processes. Must never:
//! leave anything behind, or signal a process that is not of the tree.

use crate::draw::{self, Spec};
use crate::guard::Guard;
use crate::sight::Sight;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use zei::paths;
use zei::protocol::status::Status;
use zei::signal;
use zei::sys::raw;
use zei_tests::lines::Lines;
use zei_tests::{copy_program, eventually, process, program};

/// New namespaces, and nothing left when what made them ends.
const UNSHARE: [&str; 6] = ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "--kill-child"];
const AS_ROOT: [&str; 2] = ["--user", "--map-root-user"];
/// In them: a small /run, and then zei-init.
const SCRIPT: &str = "mount -t tmpfs -o size=2m,mode=755 tmpfs /run && exec \"$@\"";

/// The words before a program that make it PID 1.
fn unshare() -> Vec<&'static str> {
    let user: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &AS_ROOT };
    UNSHARE[..1].iter().chain(user).chain(&UNSHARE[1..]).copied().collect()
}

/// Whether there can be such a tree here; if not, that is said.
pub fn is_possible() -> bool {
    let words = unshare();
    let tried = Command::new(words[0]).args(&words[1..]).args(["sh", "-c", SCRIPT, "sh", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
        || zei_tests::skipped("to be allowed a PID namespace with a tmpfs of its own")
}

/// The tree.
#[derive(Debug)]
pub struct World {
    pub directory: TempDir,
    /// zei-init's pid, as this process sees it.
    pub init: u32,
    pub sight: Sight,
    pub out: Lines,
    pub err: Lines,
    pub guard: Option<Guard>,
    child: Child,
    /// Pids as this process sees them, by those of the namespace.
    outer: HashMap<u32, u32>,
}

impl World {
    pub fn boot(specs: &[Spec], generation: &[u64]) -> World {
        let directory = tempfile::Builder::new().prefix("zei-chaos-").tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        copy_program(env!("CARGO_BIN_EXE_victim"), directory.path().join("victim"));
        fs::write(directory.path().join("journal"), "").unwrap();
        // Services of other users write it, too.
        fs::set_permissions(directory.path().join("journal"), fs::Permissions::from_mode(0o666)).unwrap();
        configure(directory.path(), specs, generation);
        let guard = Guard::new();
        let mut command = Command::new(directory.path().join("victim"));
        command.arg(directory.path()).args(["init", "0", "as=boot"]);
        command.args(guard.iter().map(|guard| format!("group={}", guard.members().display())));
        command.arg("--").args(unshare()).args(["sh", "-c", SCRIPT, "sh"]);
        let _others = [program("zei-supervise"), program("zei-ctl"), program("zei-log"), program("zei-probe")];
        command.arg(program("zei-init")).arg("-c").arg(directory.path().join("zei.yaml"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir("/");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let init = process::only_child(child.id());
        let world = World {
            sight: Sight(PathBuf::from(format!("/proc/{init}/root/proc"))),
            out: Lines::from(child.stdout.take().unwrap().into()),
            err: Lines::from(child.stderr.take().unwrap().into()),
            directory,
            init,
            guard,
            child,
            outer: HashMap::new(),
        };
        eventually("zei-init is up", || {
            let text = fs::read_to_string(world.file("init", paths::STATUS)).unwrap_or_default();
            assert!(process::is_alive(world.init), "zei-init ended:\n{}", world.err.all().join("\n"));
            text.contains("\nstate=")
        });
        world
    }

    /// The run directory as it is reached from outside.
    pub fn run(&self) -> PathBuf {
        let inside = Path::new(paths::RUN).strip_prefix("/").unwrap();
        Path::new("/proc").join(self.init.to_string()).join("root").join(inside)
    }

    /// A file of a service, or of `init`.
    pub fn file(&self, service: &str, file: &str) -> PathBuf {
        match service {
            "init" => self.run().join(paths::INIT).join(file),
            _ => self.run().join(paths::SERVICES).join(service).join(file),
        }
    }

    /// Puts another configuration in the place of the present one.
    pub fn configure(&self, specs: &[Spec], generation: &[u64]) {
        configure(self.directory.path(), specs, generation);
    }

    /// The status of a service, where it has one that is whole.
    pub fn status(&self, service: &str) -> Option<Status> {
        (0..100).find_map(|_| Status::decode(&fs::read(self.file(service, paths::STATUS)).ok()?))
    }

    /// A pid of the namespace, as this process sees it.
    fn outer(&mut self, pid: u32) -> Option<u32> {
        if let Some(outer) = self.outer.get(&pid)
            && inner(*outer) == Some(pid)
        {
            return Some(*outer);
        }
        self.outer =
            process::descendants(self.init).into_iter().filter_map(|outer| Some((inner(outer)?, outer))).collect();
        self.outer.get(&pid).copied()
    }

    /// Sends signals to a process of the namespace, which is held meanwhile. False: there is none.
    pub fn signal(&mut self, pid: u32, numbers: &[u8]) -> bool {
        let Some(outer) = self.outer(pid) else { return false };
        let Some(held) = raw::pidfd_open(outer).ok().filter(|_| inner(outer) == Some(pid)) else { return false };
        self.sight.lives(pid) && numbers.iter().all(|number| raw::pidfd_send(held.as_fd(), *number).is_ok())
    }

    /// Sends a signal to zei-init.
    pub fn signal_init(&self, number: u8) {
        process::kill(self.init, number);
    }

    /// zei-ctl with these words, to be started. It may run outside: the run directory is all it needs.
    pub fn client(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("zei-ctl"));
        command.arg("--run").arg(self.run()).args(words).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Descriptors that zei-init has open, and the kilobytes that are its own.
    pub fn weight(&self) -> (u64, u64) {
        let directory = Path::new("/proc").join(self.init.to_string());
        let count = fs::read_dir(directory.join("fd")).map_or(0, |entries| entries.count() as u64);
        let status = fs::read_to_string(directory.join("status")).unwrap_or_default();
        let own = status.lines().filter_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
        (count, own.filter_map(|text| text.parse::<u64>().ok()).sum())
    }

    /// Asks zei-init to end; its exit code (-N where signal N ended it), or `None` where it does not end.
    pub fn end(&mut self, patience: Duration) -> Option<i32> {
        self.signal_init(signal::TERM);
        let ends = raw::pidfd_open(self.child.id()).ok()?;
        let deadline = Instant::now() + patience;
        let left =
            PollTimeout::try_from(deadline.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::MAX);
        if poll(&mut [PollFd::new(ends.as_fd(), PollFlags::POLLIN)], left).unwrap_or(0) == 0 {
            return None;
        }
        let status = self.child.wait().ok()?;
        Some(status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The namespace ends with its first process, and that with unshare.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            process::kill(self.init, signal::KILL);
            let _ended = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

fn configure(directory: &Path, specs: &[Spec], generation: &[u64]) {
    let text = draw::yaml(specs, generation, directory, &directory.join("victim"));
    fs::write(directory.join("zei.yaml.new"), text).unwrap();
    fs::rename(directory.join("zei.yaml.new"), directory.join("zei.yaml")).unwrap();
}

/// The pid of a process in its innermost namespace.
fn inner(outer: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{outer}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_ascii_whitespace().last()?.parse().ok()
}
