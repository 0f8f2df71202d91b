//! A zei that really runs, from a configuration in a directory of its own.
//!
//! Owns: starting it, asking it, waiting for what it does, and leaving nothing of it behind. Must never: sleep.

use crate::lines::Lines;
use crate::{PATIENCE, copy_program, process, program, skipped};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::Mode;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use zei::model::time::Span;
use zei::paths;
use zei::protocol::status::{State, Status};
use zei::sys::event::{Waiter, Woken};
use zei::sys::raw;

/// Where a tree's own copies of the programs lie.
const BIN: &str = "bin";

/// How a zei is to be started.
#[derive(Debug)]
pub struct Plan {
    directory: TempDir,
    yaml: String,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    run: Option<PathBuf>,
    pid_1: bool,
    wrapper: Vec<OsString>,
}

impl Plan {
    /// With this configuration. In it `@D` stands for the test's own directory and `@J` for its journal: a FIFO
    /// that any service may write lines to; services find them in the variables `D` and `J` too.
    ///
    /// # Panics
    /// Where there is no place for temporary files.
    pub fn new(yaml: &str) -> Plan {
        let directory = tempfile::Builder::new().prefix("zei-test-").tempdir().expect("a temporary directory");
        // Services under other users look into it.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("its own directory");
        let journal = directory.path().join("journal");
        nix::unistd::mkfifo(&journal, Mode::empty()).expect("a FIFO");
        fs::set_permissions(&journal, fs::Permissions::from_mode(0o666)).expect("its own FIFO");
        let run = Some(directory.path().join("run"));
        let yaml = yaml.to_owned();
        Plan { directory, yaml, arguments: Vec::new(), environment: Vec::new(), run, pid_1: false, wrapper: Vec::new() }
    }

    /// The test's own directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file into the test's own directory.
    ///
    /// # Panics
    /// Where that is full.
    pub fn file(self, name: &str, content: &str, mode: u32) -> Plan {
        let path = self.directory.path().join(name);
        fs::write(&path, self.fill_in(content)).expect("room for a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its own file");
        self
    }

    /// Copies a program into the test's own directory, where every user can execute it.
    ///
    /// # Panics
    /// Where that is full.
    pub fn install(self, name: &str, from: &str) -> Plan {
        copy_program(from, self.directory.path().join(name));
        self
    }

    /// With copies of the programs in `bin` of the test's own directory, so that others can take their place.
    ///
    /// # Panics
    /// Where that is full.
    pub fn own_programs(self) -> Plan {
        let bin = self.directory.path().join(BIN);
        fs::create_dir(&bin).expect("room for a directory");
        for name in ["zei-init", "zei-supervise", "zei-log", "zei-probe", "zei-cron"] {
            copy_program(program(name), bin.join(name));
        }
        self
    }

    /// Further arguments, such as a command.
    pub fn arguments(mut self, words: &[&str]) -> Plan {
        let words: Vec<OsString> = words.iter().map(|word| self.fill_in(word).into()).collect();
        self.arguments.extend(words);
        self
    }

    /// A variable of zei-init.
    pub fn variable(mut self, key: &str, value: &str) -> Plan {
        let value = self.fill_in(value);
        self.environment.push((key.into(), value.into()));
        self
    }

    /// Another run directory than one of the test's own.
    pub fn run_directory(mut self, path: &Path) -> Plan {
        self.run = Some(path.to_path_buf());
        self
    }

    /// Without saying where the run directory is.
    pub fn nameless(mut self) -> Plan {
        self.run = None;
        self
    }

    /// As PID 1 of a new PID namespace. See [`can_be_pid_1`].
    pub fn pid_1(mut self) -> Plan {
        self.pid_1 = true;
        self
    }

    /// These words stand before the path of zei-init.
    pub fn wrapper(mut self, words: &[&str]) -> Plan {
        self.wrapper = words.iter().map(OsString::from).collect();
        self
    }

    fn fill_in(&self, text: &str) -> String {
        let directory = self.directory.path().to_str().expect("UTF-8");
        text.replace("@D", directory).replace("@J", &format!("{directory}/journal"))
    }

    fn command(&self) -> Command {
        let config = self.directory.path().join("zei.yaml");
        let own = self.directory.path().join(BIN).join("zei-init");
        let init = if own.exists() { own } else { program("zei-init") };
        // They lie beside it.
        let _others = [program("zei-supervise"), program("zei-ctl")];
        let mut words: Vec<OsString> = Vec::new();
        if self.pid_1 {
            words.extend(UNSHARE.iter().map(OsString::from));
        }
        words.extend(self.wrapper.iter().cloned());
        words.extend([init.into(), "-c".into(), config.into()]);
        words.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("D", self.directory.path()).env("J", self.directory.path().join("journal"));
        command.envs(self.environment.iter().cloned());
        if let Some(run) = &self.run {
            command.env(paths::RUN_VARIABLE, run);
        }
        command.current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it and waits until it can be controlled.
    ///
    /// # Panics
    /// Where it ends instead.
    pub fn start(self) -> Tree {
        let watched = self.run.as_ref().map(|run| {
            fs::create_dir_all(run.join(paths::INIT)).expect("a run directory");
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).expect("inotify");
            let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVED_TO;
            inotify.add_watch(&run.join(paths::INIT), flags).expect("the run directory can be watched");
            (inotify, boot(run))
        });
        let tree = self.spawn();
        if let (Some((inotify, before)), Some(run)) = (watched, tree.run.as_ref()) {
            let deadline = Instant::now() + PATIENCE;
            while boot(run).is_none_or(|boot| Some(boot) == before) {
                let mut polled = [inotify.as_fd(), tree.pidfd.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
                assert!(poll(&mut polled, left(deadline)).unwrap_or(1) > 0, "zei-init did not come up: {tree:?}");
                assert!(!polled[1].any().unwrap_or(true), "zei-init ended:\n{}", tree.err.whole());
                let _taken = inotify.read_events();
            }
        }
        tree
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn spawn(self) -> Tree {
        fs::write(self.directory.path().join("zei.yaml"), self.fill_in(&self.yaml)).expect("room for a file");
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let journal = nix::fcntl::open(&self.directory.path().join("journal"), flags, Mode::empty()).expect("a FIFO");
        let mut child = self.command().spawn().expect("zei-init can be started");
        let outer = child.id();
        let init = if self.pid_1 { process::only_child(outer) } else { outer };
        Tree {
            out: Lines::from(child.stdout.take().expect("a pipe").into()),
            err: Lines::from(child.stderr.take().expect("a pipe").into()),
            pidfd: raw::pidfd_open(outer).expect("it is not reaped"),
            journal: Lines::from(journal),
            run: self.run,
            directory: Some(self.directory),
            child,
            init,
            ended: None,
        }
    }
}

/// New PID and mount namespaces, a /proc for them, and nothing left when it ends.
const UNSHARE: [&str; 6] = ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "--kill-child"];

/// Whether a PID namespace can be made here; if not, that is said.
pub fn can_be_pid_1() -> bool {
    let tried = Command::new(UNSHARE[0]).args(&UNSHARE[1..]).arg("true").stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success()) || skipped("to be allowed a PID namespace")
}

/// Whether this is root; if not, that is said.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root() || skipped("to be root")
}

/// The number of the start that zei-init's status names.
fn boot(run: &Path) -> Option<String> {
    let text = fs::read_to_string(run.join(paths::INIT).join(paths::STATUS)).ok()?;
    text.ends_with('\n').then_some(())?;
    (value(&text, "seq")? == value(&text, "end")?).then_some(())?;
    value(&text, "boot").map(str::to_owned)
}

fn left(deadline: Instant) -> PollTimeout {
    let left = deadline.saturating_duration_since(Instant::now());
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}

/// What a client said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Its exit code; -N where signal N ended it.
    pub code: i32,
    /// On standard output.
    pub out: String,
    /// On standard error.
    pub err: String,
}

/// A zei that runs, until it is stopped or dropped.
#[derive(Debug)]
pub struct Tree {
    /// The lines that services wrote into the journal.
    pub journal: Lines,
    /// The container's standard output.
    pub out: Lines,
    /// The container's standard error.
    pub err: Lines,
    /// The pid of zei-init, as this process sees it.
    pub init: u32,
    directory: Option<TempDir>,
    run: Option<PathBuf>,
    child: Child,
    pidfd: OwnedFd,
    ended: Option<(i32, Instant)>,
}

impl Tree {
    /// Puts another file in the place of one of the tree's own programs, as a package manager does.
    ///
    /// # Panics
    /// Where that can't be done.
    pub fn replace_program(&self, name: &str, from: &Path) {
        let bin = self.directory().join(BIN);
        copy_program(from, bin.join("new"));
        fs::rename(bin.join("new"), bin.join(name)).expect("a directory of the test's own");
    }

    /// Starts zei-init, not as PID 1, and waits until it can be controlled. See [`Plan::new`].
    pub fn start(yaml: &str) -> Tree {
        Plan::new(yaml).start()
    }

    /// The test's own directory.
    ///
    /// # Panics
    /// Never before [`Tree::kill_and_keep`].
    pub fn directory(&self) -> &Path {
        self.directory.as_ref().expect("not kept elsewhere").path()
    }

    /// A file of a service, or of `init`, in the run directory.
    ///
    /// # Panics
    /// Where there is no run directory.
    pub fn file(&self, service: &str, file: &str) -> PathBuf {
        let run = self.run.as_ref().expect("a run directory");
        match service {
            "init" => run.join(paths::INIT).join(file),
            _ => run.join(paths::SERVICES).join(service).join(file),
        }
    }

    /// Runs zei-ctl with these words and waits for its end.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn ctl(&self, words: &str) -> Said {
        let output = self.client(words).output().expect("zei-ctl can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0));
        Said { code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// zei-ctl with these words, to be started.
    pub fn client(&self, words: &str) -> Command {
        let mut command = Command::new(program("zei-ctl"));
        command.args(words.split_ascii_whitespace()).stdin(Stdio::null());
        if let Some(run) = &self.run {
            command.env(paths::RUN_VARIABLE, run);
        }
        command
    }

    /// Runs zei-ctl, which must succeed; returns its standard output.
    ///
    /// # Panics
    /// Where it does not.
    pub fn ask(&self, words: &str) -> String {
        let said = self.ctl(words);
        assert_eq!(said.code, 0, "zei-ctl {words}: {said:?}\n{self:?}");
        said.out
    }

    /// Writes a line into a service's control FIFO, as `echo` does.
    ///
    /// # Panics
    /// Where there is none.
    pub fn echo(&self, service: &str, line: &str) {
        let mut fifo = File::options().write(true).open(self.file(service, paths::CONTROL)).expect("a control FIFO");
        fifo.write_all(format!("{line}\n").as_bytes()).expect("zei-init has it open");
    }

    /// The status of a service; `None` where it has none yet.
    ///
    /// # Panics
    /// Where it is none that is known.
    pub fn status(&self, service: &str) -> Option<Status> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let bytes = fs::read(self.file(service, paths::STATUS)).unwrap_or_default();
            match Status::decode(&bytes) {
                Some(status) => return Some(status),
                None if bytes.is_empty() => return None,
                // Met half-way: the write is over within microseconds.
                None => assert!(Instant::now() < deadline, "no status: {}", String::from_utf8_lossy(&bytes)),
            }
            std::thread::yield_now();
        }
    }

    /// Waits, by the event FIFO, until the status of a service is as `holds` wants it, and returns it.
    ///
    /// # Panics
    /// Where that does not come within [`PATIENCE`].
    pub fn until(&self, service: &str, what: &str, mut holds: impl FnMut(&Status) -> bool) -> Status {
        let directory = File::open(self.file(service, "")).expect("the service has a directory");
        let deadline = Instant::now() + PATIENCE;
        let mut waiter = Waiter::open(&directory, paths::EVENT);
        loop {
            let last = self.status(service);
            if let Some(status) = last.clone().filter(&mut holds) {
                return status;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let woken = waiter.wait(None, Some(Span(u64::try_from(left.as_millis()).unwrap_or(0))));
            assert_ne!(woken, Woken::TimedOut, "{service} is not {what}: {last:?}\n{self:?}");
            waiter.renew(&directory, paths::EVENT);
        }
    }

    /// Waits until a service is in this state.
    pub fn until_state(&self, service: &str, state: State) -> Status {
        self.until(service, state.word(), |status| status.state == state)
    }

    /// Waits, by the event FIFO, until zei-init is `booting`, `running` or `stopping`.
    ///
    /// # Panics
    /// Where that does not come within [`PATIENCE`].
    pub fn until_init(&self, state: &str) {
        let directory = File::open(self.file("init", "")).expect("a run directory");
        let deadline = Instant::now() + PATIENCE;
        let mut waiter = Waiter::open(&directory, paths::EVENT);
        loop {
            let text = fs::read_to_string(self.file("init", paths::STATUS)).unwrap_or_default();
            if value(&text, "state") == Some(state) && value(&text, "end").is_some() {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let woken = waiter.wait(None, Some(Span(u64::try_from(left.as_millis()).unwrap_or(0))));
            assert_ne!(woken, Woken::TimedOut, "zei-init is not {state}: {text}\n{self:?}");
            waiter.renew(&directory, paths::EVENT);
        }
    }

    /// The pid of a service's main process, once it runs.
    ///
    /// # Panics
    /// Where it does not come to run.
    pub fn pid(&self, service: &str) -> u32 {
        self.until_state(service, State::Running).pid.expect("what runs has a process")
    }

    /// Sends a signal to zei-init.
    pub fn signal(&self, number: u8) {
        process::kill(self.init, number);
    }

    /// Whether zei-init lives.
    ///
    /// # Panics
    /// Where that can't be told.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().expect("it is a child").is_none()
    }

    /// Waits for the end of zei-init; the code, -N where signal N ended it, and how long that took from now.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn end(&mut self) -> (i32, Duration) {
        let began = Instant::now();
        let mut polled = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        let ended = poll(&mut polled, left(began + PATIENCE)).unwrap_or(1) > 0;
        assert!(ended, "zei-init did not end: {self:?}");
        let status = self.child.wait().expect("it is a child");
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
        self.ended = Some((code, Instant::now()));
        (code, began.elapsed())
    }

    /// Sends TERM to zei-init and waits for its end.
    pub fn stop(&mut self) -> (i32, Duration) {
        self.signal(zei::signal::TERM);
        self.end()
    }

    /// Kills zei-init and waits for its end; the directory, with whatever is left in it, is given away.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn kill_and_keep(mut self) -> TempDir {
        self.signal(zei::signal::KILL);
        self.end();
        self.directory.take().expect("not kept elsewhere")
    }

    /// The pids of all processes of the tree but zei-init itself, as this process sees them.
    pub fn descendants(&self) -> Vec<u32> {
        process::descendants(self.init)
    }
}

impl Plan {
    /// The same directory once more, with whatever is left in it.
    pub fn again(directory: TempDir, yaml: &str) -> Plan {
        let run = Some(directory.path().join("run"));
        let yaml = yaml.to_owned();
        Plan { directory, yaml, arguments: Vec::new(), environment: Vec::new(), run, pid_1: false, wrapper: Vec::new() }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // Stopped, it replaces nobody.
            process::kill(self.init, zei::signal::STOP);
            for pid in self.descendants() {
                process::kill(pid, zei::signal::KILL);
            }
            process::kill(self.init, zei::signal::KILL);
            let _was_waited_for = self.child.wait();
        }
    }
}

/// The value of `key` in lines of `KEY=VALUE`, as a shell would look for it.
pub fn value<'a>(body: &'a str, key: &str) -> Option<&'a str> {
    body.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}
