//! Killing a program at the entry of any system call that it makes, by ptrace(2).
//!
//! Owns: one tracing thread for a tree (or one program), which counts the calls and kills. Must never: change what a
//! program does before it is killed.
//!
//! What a supervisor's new process does before it becomes the service counts as the supervisor's own: the supervisor is
//! killed then, and the new process goes on.

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use zei::signal::KILL;

/// When a service's supervisors are killed.
#[derive(Clone, Debug, Default)]
pub struct Aim {
    /// At the entry of this call, counted from 1; 0: never, and none is counted.
    pub at: u64,
    /// Calls of this one are not counted.
    pub spared: Option<u32>,
    /// Not the supervisor is killed then, but zei-init.
    pub init: bool,
    /// So many were made.
    pub calls: u64,
    /// Whose call it was, and so who was killed.
    pub killed: Option<u32>,
    /// At which call: its number, and its arguments, as /proc/PID/syscall has them.
    pub call: String,
}

type Aims = Arc<Mutex<BTreeMap<String, Aim>>>;

/// Traces a tree from its very begin until its end.
#[derive(Debug)]
pub struct Tracer {
    aims: Aims,
    thread: Option<JoinHandle<()>>,
}

/// In front of a program: it says its pid, and waits until it is traced.
const GATE: &str = "echo $$ >traced; read go <gate; exec \"$@\"";

impl Tracer {
    /// Will trace what is started in this directory behind [`Tracer::words`].
    ///
    /// # Panics
    /// Where that is full.
    pub fn new(directory: &Path, aims: BTreeMap<String, Aim>) -> Tracer {
        for name in ["traced", "gate"] {
            nix::unistd::mkfifo(&directory.join(name), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        }
        let aims = Arc::new(Mutex::new(aims));
        let (shared, directory) = (Arc::clone(&aims), directory.to_path_buf());
        Tracer { aims, thread: Some(std::thread::spawn(move || trace(&directory, shared))) }
    }

    /// The words in front of the program.
    pub const WORDS: [&'static str; 4] = ["sh", "-c", GATE, "sh"];

    fn aims(&self) -> MutexGuard<'_, BTreeMap<String, Aim>> {
        self.aims.lock().expect("no tracer dies with it")
    }

    /// From now on, a service's supervisors are killed so.
    pub fn set(&self, service: &str, aim: Aim) {
        self.aims().insert(service.to_owned(), aim);
    }

    /// What has come of it.
    pub fn get(&self, service: &str) -> Aim {
        self.aims().get(service).cloned().unwrap_or_default()
    }

    /// No one is killed any more; what has come of it.
    pub fn disarm(&self, service: &str) -> Aim {
        self.aims().get_mut(service).map_or_else(Aim::default, |aim| {
            aim.at = 0;
            aim.clone()
        })
    }

    /// Waits until the traced tree has ended.
    ///
    /// # Panics
    /// Where the tracing thread has.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the tracer lives until the end");
        }
    }
}

/// What a traced process is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// zei-init.
    Root,
    /// A new child of it, which is not a program of its own yet.
    New,
    /// The supervisor of this service.
    Supervisor(String),
    /// A new child of this supervisor.
    Unborn(u32, String),
}

/// With the tracer, whatever it traces ends.
fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL
}

fn raw(pid: Pid) -> u32 {
    pid.as_raw().unsigned_abs()
}

/// Seizes what says its pid, and lets it go.
fn seize(directory: &Path, options: Options) -> Pid {
    let text = fs::read_to_string(directory.join("traced")).expect("the gate says a pid");
    let pid = Pid::from_raw(text.trim().parse().expect("a pid"));
    ptrace::seize(pid, options).expect("a process of this user can be traced");
    fs::write(directory.join("gate"), "go\n").expect("it waits");
    pid
}

/// The next thing that happens to what this thread traces; `None`: the root has ended. Its parent waits for that, which is
/// this process too.
fn next(root: Pid) -> Option<WaitStatus> {
    let any = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT;
    loop {
        let pid = match waitid(Id::All, any | ended) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) if pid == root => return None,
            Ok(status) => status.pid()?,
            Err(Errno::EINTR) => continue,
            Err(_) => return None,
        };
        // Killed since, it may be another one's by now.
        if let Ok(status) = waitpid(pid, Some(any | WaitPidFlag::WNOHANG)) {
            return Some(status);
        }
    }
}

struct Trace {
    root: Pid,
    aims: Aims,
    kinds: BTreeMap<u32, Kind>,
}

fn trace(directory: &Path, aims: Aims) {
    // What outlives zei-init ends by itself, or does not: that is what is to be seen.
    let spared = aims.lock().expect("no test dies with it").values().any(|aim| aim.init);
    let root = seize(directory, if spared { options() & !Options::PTRACE_O_EXITKILL } else { options() });
    let mut trace = Trace { root, aims, kinds: BTreeMap::from([(raw(root), Kind::Root)]) };
    while let Some(status) = next(root) {
        match status {
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => trace.executes(pid),
            // Who stops a process kills it next.
            WaitStatus::PtraceEvent(_, Signal::SIGSTOP, libc::PTRACE_EVENT_STOP) => {}
            WaitStatus::PtraceEvent(pid, ..) => trace.go_on(pid, None),
            WaitStatus::PtraceSyscall(pid) => trace.calls(pid),
            WaitStatus::Stopped(pid, signal) => trace.go_on(pid, Some(signal)),
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => {
                trace.kinds.remove(&raw(pid));
            }
            WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
        }
    }
}

impl Trace {
    /// What a process is; a new one is known by its parent.
    fn kind(&mut self, pid: Pid) -> Kind {
        if let Some(kind) = self.kinds.get(&raw(pid)) {
            return kind.clone();
        }
        let parent = parent(raw(pid));
        let kind = match parent.and_then(|parent| self.kinds.get(&parent)) {
            Some(Kind::Supervisor(name)) => Kind::Unborn(parent.unwrap_or(0), name.clone()),
            _ => Kind::New,
        };
        self.kinds.insert(raw(pid), kind.clone());
        kind
    }

    fn go_on(&mut self, pid: Pid, signal: Option<Signal>) {
        // It may have been killed meanwhile.
        let _gone = match self.kind(pid) {
            Kind::Root | Kind::New => ptrace::cont(pid, signal),
            Kind::Supervisor(_) | Kind::Unborn(..) => ptrace::syscall(pid, signal),
        };
    }

    fn executes(&mut self, pid: Pid) {
        let kind = self.kind(pid);
        let is_supervisor = crate::process::name(raw(pid)).as_deref() == Some("zei-supervise");
        match kind {
            Kind::Root => self.go_on(pid, None),
            Kind::New if is_supervisor => {
                let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let name = line.split('\0').nth(1).unwrap_or_default().to_owned();
                self.kinds.insert(raw(pid), Kind::Supervisor(name));
                self.go_on(pid, None);
            }
            _ => {
                self.kinds.remove(&raw(pid));
                let _gone = ptrace::detach(pid, None);
            }
        }
    }

    fn calls(&mut self, pid: Pid) {
        let kind = self.kind(pid);
        let (supervisor, name) = match &kind {
            Kind::Supervisor(name) => (raw(pid), name),
            Kind::Unborn(parent, name) => (*parent, name),
            Kind::Root | Kind::New => return self.go_on(pid, None),
        };
        let Some(init) = Some(pid).filter(|pid| is_entry(*pid)).and_then(|pid| self.hits(supervisor, name, pid)) else {
            return self.go_on(pid, None);
        };
        if init {
            crate::process::kill(raw(self.root), KILL);
            return self.go_on(pid, None);
        }
        crate::process::kill(supervisor, KILL);
        if supervisor != raw(pid) {
            self.kinds.remove(&raw(pid));
            let _gone = ptrace::detach(pid, None);
        }
    }

    /// Counts a call. If it is the one: whether zei-init is to be killed.
    fn hits(&self, supervisor: u32, name: &str, caller: Pid) -> Option<bool> {
        let mut aims = self.aims.lock().expect("no test dies with it");
        let aim = aims.get_mut(name)?;
        if aim.at == 0 || aim.killed.is_some() || aim.spared == Some(supervisor) {
            return None;
        }
        aim.calls += 1;
        if aim.calls != aim.at {
            return None;
        }
        aim.killed = Some(supervisor);
        let of = if raw(caller) == supervisor { "" } else { " of its new process" };
        aim.call = format!("{}{of}", call(caller));
        Some(aim.init)
    }
}

fn is_entry(pid: Pid) -> bool {
    ptrace::syscall_info(pid).is_ok_and(|info| info.op == libc::PTRACE_SYSCALL_INFO_ENTRY)
}

/// The call that a stopped process is in.
fn call(pid: Pid) -> String {
    fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default().trim_end().to_owned()
}

fn parent(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// How a program ended that was to be killed.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; -N where signal N ended it.
    pub code: i32,
    /// So many calls it made.
    pub calls: u64,
    /// At which it was killed; empty: it was not.
    pub call: String,
    /// What it said on standard error.
    pub err: String,
}

/// Runs a program, killed at the entry of call `at` that it makes by itself (0: never), counted from its exec. A
/// [`Tracer`] was made in the same directory.
///
/// # Panics
/// Where it can't be started.
pub fn kill_at(command: &Command, directory: &Path, at: u64) -> Ended {
    let mut gated = Command::new(Tracer::WORDS[0]);
    gated.args(&Tracer::WORDS[1..]).arg(command.get_program()).args(command.get_args()).current_dir(directory);
    for (key, value) in command.get_envs() {
        gated.env(key, value.unwrap_or_default());
    }
    gated.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    #[allow(clippy::zombie_processes, reason = "it is waited for by its pid")]
    let mut child = gated.spawn().expect("a shell can be started");
    let pid = seize(directory, options() & !Options::PTRACE_O_TRACEVFORK);
    let (mut calls, mut call_of, mut begun) = (0, String::new(), false);
    let code = loop {
        let signal = match waitpid(pid, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC)) => {
                begun = true;
                None
            }
            Ok(WaitStatus::PtraceSyscall(_)) => {
                calls += u64::from(is_entry(pid));
                if calls == at && call_of.is_empty() && is_entry(pid) {
                    call_of = call(pid);
                    crate::process::kill(raw(pid), KILL);
                }
                None
            }
            Ok(WaitStatus::Stopped(_, signal)) => Some(signal),
            Ok(WaitStatus::Exited(_, code)) => break code,
            Ok(WaitStatus::Signaled(_, signal, _)) => break -(signal as i32),
            Ok(_) => None,
            Err(errno) => panic!("{pid} is lost: {errno}"),
        };
        let _gone = if begun { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) };
    };
    let mut err = String::new();
    let _as_far_as_it_is_text = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut err));
    Ended { code, calls, call: call_of, err }
}
