//! A zei for tests: a run directory whose supervisors do what the test says, by the protocol's bytes.

use super::place::{self, Place};
use super::{Patience, command};
use crate::model::time::Span;
use crate::name::ServiceName;
use crate::paths;
use crate::protocol::control::{Ack, Lines, Progress, RECORD, Token, Verb, parse};
use crate::protocol::journal::Entry;
use crate::protocol::status::{Health, State, Status};
use crate::sys::event::ring;
use crate::sys::lock;
use crate::text::Text;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A running service's status.
pub(crate) fn status(name: &str) -> Status {
    Status {
        seq: 1,
        name: ServiceName::parse(name).unwrap(),
        state: State::Running,
        reason: Text::new(),
        since: 1000,
        since_wall: 1_700_000_000_000,
        pid: Some(4711),
        start: Some(100),
        supervisor: 12,
        want: true,
        restarts: 0,
        exit: None,
        next: None,
        deadline: None,
        run: 1,
        ready: true,
        health: Health::None,
        text: Text::new(),
    }
}

/// A run directory, with its lock held.
pub(crate) struct Zei {
    place: tempfile::TempDir,
    lock: Option<File>,
    control: Option<File>,
}

impl Zei {
    pub(crate) fn new() -> Zei {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join(paths::INIT)).unwrap();
        fs::create_dir_all(place.path().join(paths::SERVICES)).unwrap();
        let file = |name| place.path().join(paths::INIT).join(name);
        let lock = File::create(file(paths::LOCK)).unwrap();
        lock::take(&lock).unwrap();
        let control = control(&file(paths::CONTROL));
        Zei { place, lock: Some(lock), control: Some(control) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    pub(crate) fn place(&self) -> Place {
        place::find(Some(self.path())).unwrap()
    }

    /// A service with its supervisor; its status is that of [`status`].
    pub(crate) fn service(&self, name: &str) -> Supervisor {
        let dir = self.path().join(paths::SERVICES).join(name);
        fs::create_dir(&dir).unwrap();
        let supervisor = Supervisor::new(dir);
        supervisor.tell(&status(name));
        supervisor
    }

    /// zei-init's own commands.
    pub(crate) fn init(&self) -> Supervisor {
        Supervisor::new(self.path().join(paths::INIT))
    }

    /// As the kernel does when zei-init is gone: its descriptors are closed, one after the other.
    pub(crate) fn end(&mut self) {
        self.control = None;
        self.lock = None;
    }
}

fn control(path: &Path) -> File {
    if !path.exists() {
        mkfifo(path, Mode::from_bits_truncate(0o600)).unwrap();
    }
    let fifo = OpenOptions::new().read(true).write(true).open(path).unwrap();
    fcntl(&fifo, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    fifo
}

/// One service's supervisor, and what zei-init keeps open for it.
pub(crate) struct Supervisor {
    dir: PathBuf,
    control: File,
    lines: Lines,
    requests: VecDeque<(Token, Verb)>,
}

impl Supervisor {
    fn new(dir: PathBuf) -> Supervisor {
        let control = control(&dir.join(paths::CONTROL));
        Supervisor { dir, control, lines: Lines::default(), requests: VecDeque::new() }
    }

    /// The next command; waits for one.
    pub(crate) fn next(&mut self) -> (Token, Verb) {
        loop {
            if let Some(request) = self.requests.pop_front() {
                return request;
            }
            let mut bytes = [0; 4096];
            let length = self.control.read(&mut bytes).unwrap();
            let requests = &mut self.requests;
            self.lines.feed(&bytes[..length], |line| {
                let request = line.ok().and_then(|line| parse(line).ok());
                requests.extend(request.and_then(|request| Some((request.token?, request.verb))));
            });
        }
    }

    /// Fills the control FIFO with commands that want no answer.
    pub(crate) fn fill(&self) {
        let fifo = OpenOptions::new().write(true).open(self.dir.join(paths::CONTROL)).unwrap();
        for _ in 0..4096 / 8 {
            nix::unistd::write(&fifo, b"-  stop\n").unwrap();
        }
    }

    /// Writes these bytes as they are, as anybody may who may control it.
    pub(crate) fn scribble(&self, bytes: &[u8]) {
        let fifo = OpenOptions::new().write(true).open(self.dir.join(paths::CONTROL)).unwrap();
        nix::unistd::write(&fifo, bytes).unwrap();
    }

    /// Whether a command lies in the FIFO.
    pub(crate) fn has_more(&self) -> bool {
        let fds = &mut [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&self.control), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(fds, 0u8).unwrap() > 0
    }

    /// Records how far a command has come, in place if it was recorded before, and rings.
    pub(crate) fn answer(&self, token: Token, progress: Progress, text: &str) {
        let ack = Ack { token, progress, at: 1, text: Text::from(text) };
        let file = self.dir.join(paths::ACKS);
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(file).unwrap();
        let mut all = Vec::new();
        (&file).read_to_end(&mut all).unwrap();
        let mut records = all.chunks(RECORD);
        let place = records.position(|record| Ack::decode(record).is_some_and(|old| old.token == token));
        let offset = place.map_or(all.len(), |place| place * RECORD);
        file.write_all_at(&ack.encode(), offset as u64).unwrap();
        self.ring();
    }

    pub(crate) fn accept(&self, token: Token, verb: Verb) {
        self.answer(token, Progress::Accepted { verb, run: 1, merged: false }, "");
    }

    /// Replaces the answers by a new file that holds this one alone.
    pub(crate) fn replace_answers(&self, token: Token, text: &str) {
        let ack = Ack { token, progress: Progress::Done, at: 1, text: Text::from(text) };
        fs::write(self.dir.join("acks.new"), ack.encode()).unwrap();
        fs::rename(self.dir.join("acks.new"), self.dir.join(paths::ACKS)).unwrap();
        self.ring();
    }

    /// Writes the status and rings.
    pub(crate) fn tell(&self, status: &Status) {
        let file = self.dir.join(paths::STATUS);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(file).unwrap();
        file.write_all_at(status.encode().as_bytes(), 0).unwrap();
        self.ring();
    }

    /// Its own ring, and that of the whole tree.
    pub(crate) fn ring(&self) {
        let dir = File::open(&self.dir).unwrap();
        ring(&dir, paths::EVENT);
        ring(&dir, format!("../../{}/{}", paths::INIT, paths::EVENT).as_str());
    }

    /// Appends to the journal, as often as it changes something, and rings.
    pub(crate) fn note(&self, entry: &Entry) {
        let file = self.dir.join("../..").join(paths::INIT).join(paths::EVENTS);
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        file.write_all(&entry.encode()).unwrap();
        self.ring();
    }
}

/// One command to one service by one client, as text for standard output and standard error and the exit code.
pub(crate) fn send(zei: &Place, target: &str, verb: Verb, patience: Patience) -> (String, String, u8) {
    let target = match target {
        "init" => place::Target::Init,
        name => place::Target::Service(ServiceName::parse(name).unwrap()),
    };
    let output = command::carry_out(zei, &[(target, verb)], patience, false);
    (output.out, output.err.join("\n"), output.code)
}

/// No test needs so long, unless something is wrong.
pub(crate) const PATIENT: Patience = Patience { no_wait: false, timeout: Some(Span::seconds(60)) };
