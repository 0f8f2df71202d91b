//! A zei-log that really runs, over pipes of the test's own.
//!
//! Owns: starting it as zei-init does, and leaving nothing of it behind. Must never: sleep.

use crate::{PATIENCE, program};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;
use tempfile::TempDir;
use zei::model::pump::{Format, Side};
use zei::model::time::{Span, Time};
use zei::name::ServiceName;
use zei::paths;
use zei::protocol::last::{Last, MAX};
use zei::run::init::pump::{LogPump, Wanted};
use zei::sys::spawn::Stream;
use zei::sys::{logpipe, process, raw};

/// While one thread starts a zei-log its descriptors can be inherited; no other may start anything.
static STARTING: Mutex<()> = Mutex::new(());

const KEPT: &str = "it has not left by itself";

/// What stands in marks.
pub const TOKEN: u64 = 0x5eed;

/// A service whose output is pumped.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// How its lines look.
    pub format: Format,
    /// The line that makes it ready.
    pub pattern: Option<&'static str>,
    /// Whether its standard output and error go to the container's.
    pub streams: [Option<Side>; 2],
}

impl Service {
    /// Each stream goes to the container's of the same number.
    pub fn new(name: &'static str) -> Service {
        Service { name, format: Format::Raw, pattern: None, streams: [Some(Side::Out), Some(Side::Err)] }
    }

    /// Its standard output alone is pumped.
    pub fn out(name: &'static str) -> Service {
        Service { streams: [Some(Side::Out), None], ..Service::new(name) }
    }

    /// A line that makes it ready.
    pub fn ready(self, pattern: &'static str) -> Service {
        Service { pattern: Some(pattern), ..self }
    }
}

/// zei-log, and all that zei-init would hold for it.
#[derive(Debug)]
pub struct Rig {
    pump: Option<LogPump>,
    names: Vec<&'static str>,
    notify: Vec<Option<OwnedFd>>,
    container: [OwnedFd; 2],
    null: File,
    directory: TempDir,
}

impl Rig {
    /// Starts it; what it reads is the container's standard output and error.
    ///
    /// # Panics
    /// Where that can't be done.
    pub fn start(services: &[Service]) -> (Rig, PipeReader, PipeReader) {
        let ((out, out_end), (err, err_end)) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
        (Rig::into(services, [out_end.into(), err_end.into()]), out, err)
    }

    /// The same over any streams.
    ///
    /// # Panics
    /// Where that can't be done.
    pub fn into(services: &[Service], container: [OwnedFd; 2]) -> Rig {
        let directory = tempfile::Builder::new().prefix("zei-test-").tempdir().expect("a temporary directory");
        let place = File::open(directory.path()).expect("its own directory");
        let streams = [container[0].as_fd(), container[1].as_fd()];
        let held = STARTING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let program = CString::new(program("zei-log").as_os_str().as_bytes()).expect("a path");
        drop(held);
        let pump = LogPump::new(program, streams, Some(place.into()), TOKEN);
        let null = File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
        let (names, notify) = (Vec::new(), Vec::new());
        let mut rig = Rig { pump: Some(pump), names, notify, container, null, directory };
        services.iter().for_each(|service| rig.add(service));
        rig.restart();
        rig
    }

    /// One more service, or another in its place, which was given up; the zei-log that runs knows nothing of it.
    ///
    /// # Panics
    /// Where that can't be done.
    pub fn add(&mut self, service: &Service) {
        let index = self.names.iter().position(|name| *name == service.name).unwrap_or(self.names.len());
        if index == self.names.len() {
            fs::create_dir(self.directory.path().join(service.name)).expect("its own directory");
            self.names.push(service.name);
            self.notify.push(Some(logpipe::make().expect("a pipe")));
        }
        let wanted = Wanted {
            name: ServiceName::parse(service.name).expect("a name"),
            format: service.format,
            pattern: service.pattern.map(str::to_owned),
            stdout: service.streams[0],
            stderr: service.streams[1],
        };
        self.pump.as_mut().expect(KEPT).give(index, wanted).expect("descriptors");
    }

    /// Gives up the log pipes of a service.
    ///
    /// # Panics
    /// Never, unless zei-log has left.
    pub fn remove(&mut self, index: usize) {
        self.pump.as_mut().expect(KEPT).take(index);
    }

    /// Asks the zei-log that runs to make room for another, waits until it has, and starts that.
    ///
    /// # Panics
    /// Where that can't be done.
    pub fn refresh(&mut self) {
        let pid = self.pid();
        let gone = raw::pidfd_open(pid).expect("it is not reaped");
        self.pump().refresh();
        await_end(&gone);
        process::reap(pid);
        assert!(self.pump.as_mut().expect(KEPT).has_ended(pid, Time(7)));
        assert_eq!(self.pump().deadline(), Some(Time(7)), "at once");
        self.restart();
    }

    /// Starts another zei-log after one has died.
    ///
    /// # Panics
    /// Where that can't be done.
    pub fn restart(&mut self) -> u32 {
        let _held = STARTING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let streams = [self.null.as_fd(), self.container[0].as_fd(), self.container[1].as_fd()].map(Stream::Of);
        self.pump
            .as_mut()
            .expect(KEPT)
            .start(streams, &self.notify, zei::signal::Set::EMPTY, Time(0))
            .expect("zei-log can be started")
    }

    fn pump(&self) -> &LogPump {
        self.pump.as_ref().expect(KEPT)
    }

    /// The pid of zei-log.
    ///
    /// # Panics
    /// Where none runs.
    pub fn pid(&self) -> u32 {
        self.pump().pid().expect("it runs")
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Panics
    /// Where none runs.
    pub fn kill(&mut self) {
        let pid = self.pid();
        let gone = raw::pidfd_open(pid).expect("it is not reaped");
        crate::process::kill(pid, zei::signal::KILL);
        await_end(&gone);
        process::reap(pid);
        assert!(self.pump.as_mut().expect(KEPT).has_ended(pid, Time(0)));
    }

    /// Waits until it has left by itself. Nobody writes any more after this.
    ///
    /// # Panics
    /// Where it does not.
    pub fn leave(mut self) {
        let pid = self.pid();
        let gone = raw::pidfd_open(pid).expect("it is not reaped");
        self.pump = None;
        await_end(&gone);
        process::reap(pid);
    }

    /// Lets it deliver everything, and waits for its end: see [`LogPump::finish`].
    pub fn finish(&mut self, patience: Span) -> bool {
        self.pump.as_mut().expect(KEPT).finish(patience)
    }

    /// What a service gets as its standard output.
    ///
    /// # Panics
    /// Where that is not pumped.
    pub fn stdout(&self, index: usize) -> File {
        logpipe::writer(self.pump().stdout(index).expect("it is pumped")).expect("a descriptor").into()
    }

    /// The same for its standard error.
    ///
    /// # Panics
    /// Where that is not pumped.
    pub fn stderr(&self, index: usize) -> File {
        logpipe::writer(self.pump().stderr(index).expect("it is pumped")).expect("a descriptor").into()
    }

    /// Begins a run of a service, as its supervisor does.
    ///
    /// # Panics
    /// Where its pipes don't take the mark.
    pub fn begin(&self, index: usize, run: u64) {
        for pipe in [self.pump().stdout(index), self.pump().stderr(index)].into_iter().flatten() {
            logpipe::mark(pipe, TOKEN, run).expect("room for a mark");
        }
    }

    /// Waits for what is written into a service's notify pipe, and returns it.
    ///
    /// # Panics
    /// Where nothing comes.
    pub fn told(&self, index: usize) -> String {
        let notify = self.notify[index].as_ref().expect("each has one");
        let mut polled = [PollFd::new(notify.as_fd(), PollFlags::POLLIN)];
        assert!(poll(&mut polled, patience()).unwrap_or(0) > 0, "nothing was told");
        let mut buffer = [0; 256];
        let length = nix::unistd::read(notify, &mut buffer).expect("it is readable");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// Whether nothing is in a service's notify pipe.
    ///
    /// # Panics
    /// Where that can't be told.
    pub fn is_quiet(&self, index: usize) -> bool {
        let notify = self.notify[index].as_ref().expect("each has one");
        let mut polled = [PollFd::new(notify.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).expect("it is open") == 0
    }

    /// The file of a service's last lines.
    pub fn file(&self, index: usize) -> PathBuf {
        self.directory.path().join(self.names[index]).join(paths::LAST)
    }

    /// The last lines of a service, once `holds`; what belongs to its last run is the second part.
    ///
    /// # Panics
    /// Where that does not come.
    pub fn last(&self, index: usize, holds: impl Fn(&str, &str) -> bool) -> (String, String) {
        let services = File::open(self.directory.path()).expect("its own directory");
        let name = ServiceName::parse(self.names[index]).expect("a name");
        let until = Instant::now() + PATIENCE;
        loop {
            let mut buffer = [0; MAX];
            let last = zei::run::last::read(services.as_fd(), name, &mut buffer);
            let parts = last.map(|last: Last<'_>| {
                let (before, run) = last.text.split_at(last.from);
                [before, run].map(|part| String::from_utf8_lossy(part).into_owned())
            });
            match parts {
                Some([before, run]) if holds(&before, &run) => return (before, run),
                other => assert!(Instant::now() < until, "the last lines are {other:?}"),
            }
            std::thread::yield_now();
        }
    }
}

fn patience() -> PollTimeout {
    PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX)
}

fn await_end(process: &OwnedFd) {
    let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    assert!(poll(&mut polled, patience()).unwrap_or(0) > 0, "it did not end");
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.pump.as_ref().is_some_and(|pump| pump.pid().is_some()) {
            self.kill();
        }
    }
}

/// A writer that nobody reads from, filled up, and its reader.
///
/// # Panics
/// Where there is no descriptor left.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().expect("a pipe");
    let mut filler = zei::sys::nowait::Writer::new(writer.as_fd()).expect("it is open");
    while filler.write(&[b'.'; 4096]).is_ok() {}
    (reader, writer)
}
