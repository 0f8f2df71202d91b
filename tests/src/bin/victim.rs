//! A service for the fault harness: `victim DIRECTORY SERVICE SEED [KEY=VALUE...]` says in DIRECTORY/journal what
//! becomes of it, and behaves as its keys have it. `tests/chaos/draw.rs` says which there are.
//!
//! Every line of the journal is one write(2) to a file open for appending, and ends with the milliseconds of
//! CLOCK_MONOTONIC:
//!
//! ```text
//! start SERVICE NUMBER PID AT        the NUMBERth run of it
//! double SERVICE PID AT              another run of it lives
//! got SERVICE NUMBER SIGNAL AT
//! end SERVICE NUMBER PID HOW AT      of its own will; HOW is code:N or signal:N
//! child SERVICE NUMBER PID AT        a process that has left it
//! job SERVICE WHICH begin|end PID AT  a hook, `pre` or `post`, or a `check`
//! beside SERVICE WHICH PID AT        one began, and another job of it lives
//! ```

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use zei::signal::{self, Set};
use zei::sys::signals::Signals;
use zei::sys::{clock, raw};

/// Nothing that multiplies lives longer, whatever it was told.
const LONGEST_STORM: u64 = 2000;
/// Nor are there more in a row.
const LONGEST_CHAIN: u64 = 400;

struct Victim {
    directory: PathBuf,
    service: String,
    seed: u64,
    keys: Vec<String>,
}

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let mut next = || words.next().ok_or(io::ErrorKind::InvalidInput);
    let (directory, service) = (PathBuf::from(next()?), next()?);
    let seed = next()?.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let victim = Victim { directory, service, seed, keys: words.collect() };
    let code = match victim.key("as").unwrap_or("main") {
        "boot" => victim.boot()?,
        "hop" => victim.hop()?,
        "daemon" => victim.daemon()?,
        "stray" => victim.stray()?,
        "job" => victim.job()?,
        _ => victim.run()?,
    };
    std::process::exit(code)
}

fn now() -> u64 {
    clock::now().0
}

fn failed(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno as i32)
}

impl Victim {
    fn key(&self, key: &str) -> Option<&str> {
        self.keys.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.key(key)?.parse().ok()
    }

    /// Two numbers, as in `life=100-200`.
    fn range(&self, key: &str) -> Option<(u64, u64)> {
        let (low, high) = self.key(key)?.split_once('-')?;
        Some((low.parse().ok()?, high.parse().ok()?))
    }

    fn tell(&self, line: &str) -> io::Result<()> {
        let mut journal = File::options().append(true).open(self.directory.join("journal"))?;
        journal.write_all(format!("{line} {}\n", now()).as_bytes())
    }

    /// This program with other keys.
    fn again(&self, keys: &[String]) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.arg(&self.directory).arg(&self.service).arg(self.seed.to_string()).args(keys);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// A lock that one process of the service has, for its life; `None`: another one has it.
    fn lock(&self, what: &str) -> io::Result<Option<Flock<File>>> {
        let path = self.directory.join(format!("{what}.{}", self.service));
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o666).open(path)?;
        Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).ok())
    }

    /// Which run this is, and the lock that says that there is one.
    fn count(&self) -> io::Result<(u64, Option<Flock<File>>)> {
        match self.lock("lock")? {
            Some(mut lock) => {
                let mut text = String::new();
                lock.read_to_string(&mut text)?;
                let number = text.trim().parse().unwrap_or(0) + 1;
                lock.rewind()?;
                lock.write_all(number.to_string().as_bytes())?;
                Ok((number, Some(lock)))
            }
            None => {
                self.tell(&format!("double {} {}", self.service, std::process::id()))?;
                Ok((0, None))
            }
        }
    }

    /// The main process.
    fn run(&self) -> io::Result<i32> {
        let signals = Signals::take(Set(u64::MAX)).map_err(failed)?;
        let (number, _lock) = self.count()?;
        self.tell(&format!("start {} {number} {}", self.service, std::process::id()))?;
        let began = now();
        let mut chance = mix(self.seed ^ number.wrapping_mul(0x9e37_79b9));
        let mut draw = |low: u64, high: u64| {
            chance = mix(chance);
            low + chance % (high - low + 1)
        };
        let end = self.range("life").map(|(low, high)| began + draw(low, high));
        let how = self.ending(draw(0, 99));
        let mut ready = self.range("ready").map(|(low, high)| began + draw(low, high));
        let chatter = self.number("chatter");
        self.scatter(number)?;
        let mut said = 0;
        loop {
            let at = now();
            if ready.is_some_and(|ready| at >= ready) {
                ready = None;
                say_ready()?;
            }
            if end.is_some_and(|end| at >= end) {
                return self.finish(number, how);
            }
            let chat = chatter.map(|pause| {
                said += 1;
                // A reader that is gone or slow is the harness's business.
                let _blocked_or_gone = writeln!(io::stdout(), "{} {number} {said}", self.service);
                at + pause
            });
            let next = [end, ready, chat].into_iter().flatten().min();
            let left = next.map_or(PollTimeout::NONE, |next| {
                PollTimeout::from(u16::try_from(next.saturating_sub(now())).unwrap_or(u16::MAX))
            });
            let _interrupted = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], left);
            while let Some(got) = signals.next().map(|arrived| arrived.number) {
                if got == signal::CHLD || got == signal::CONT {
                    continue;
                }
                self.tell(&format!("got {} {number} {}", self.service, signal::Name(got)))?;
                if got == signal::TERM && self.key("deaf").is_none() {
                    return self.finish(number, ("code", 0));
                }
            }
        }
    }

    /// How a run ends of its own will: `codes=0,3` and `signals=9,11` are drawn from.
    fn ending(&self, chance: u64) -> (&'static str, u8) {
        let of = |key, word: &'static str| {
            let list = self.key(key).unwrap_or_default().split(',').filter_map(|text| text.parse::<u8>().ok());
            list.map(move |number| (word, number))
        };
        let all: Vec<_> = of("codes", "code").chain(of("signals", "signal")).collect();
        all.get(chance as usize % all.len().max(1)).copied().unwrap_or(("code", 0))
    }

    fn finish(&self, number: u64, (how, code): (&str, u8)) -> io::Result<i32> {
        self.tell(&format!("end {} {number} {} {how}:{code}", self.service, std::process::id()))?;
        if how == "signal" {
            raw::set_mask(Set(0)).map_err(failed)?;
            // Rust's runtime catches SEGV and BUS, and goes on where they came from outside; of KILL nothing can be set.
            if code != signal::KILL {
                raw::set_default(code).map_err(failed)?;
            }
            let own = i32::try_from(std::process::id()).map_err(|_| io::ErrorKind::InvalidInput)?;
            raw::kill(own, code).map_err(failed)?;
        }
        Ok(i32::from(code))
    }

    /// Makes what leaves the main process.
    fn scatter(&self, number: u64) -> io::Result<()> {
        for child in 0..self.number("children").unwrap_or(0) {
            let mut keys = vec!["as=daemon".to_owned(), format!("of={number}")];
            // Each is of another kind.
            match (child, self.key("foreign")) {
                (1, Some(foreign)) => keys.push(format!("uid={foreign}")),
                (2, _) => keys.push("bare=1".to_owned()),
                (3, _) => keys.push("deaf=1".to_owned()),
                _ => {}
            }
            // Where there is no room, there are fewer.
            let _no_room = self.again(&keys).spawn().and_then(|mut child| child.wait());
        }
        let hoppers = self.number("hoppers").unwrap_or(0).min(8);
        let deadline = now() + self.number("storm").unwrap_or(0).min(LONGEST_STORM);
        for _ in 0..hoppers {
            let keys = ["as=hop".to_owned(), format!("until={deadline}"), format!("left={LONGEST_CHAIN}")];
            // It has made the next one and is gone; where there is no room, there is no storm.
            let _no_room = self.again(&keys).spawn().and_then(|mut child| child.wait());
        }
        Ok(())
    }

    /// One of a chain of processes: each makes the next one, in a session of its own, and ends.
    fn hop(&self) -> io::Result<i32> {
        let (until, left) = (self.number("until").unwrap_or(0), self.number("left").unwrap_or(0));
        if now() < until && left > 0 && left <= LONGEST_CHAIN {
            let _leads_one_already = nix::unistd::setsid();
            let keys = ["as=hop".to_owned(), format!("until={until}"), format!("left={}", left - 1)];
            let _no_room = self.again(&keys).spawn();
        }
        Ok(0)
    }

    /// The process between: its child is nobody's.
    fn daemon(&self) -> io::Result<i32> {
        let _leads_one_already = nix::unistd::setsid();
        let mut keys = self.keys.clone();
        keys[0] = "as=stray".to_owned();
        let mut command = self.again(&keys);
        if self.key("bare").is_some() {
            command.env_clear().arg0("[kworker/0:1]");
        }
        let _no_room = command.spawn();
        Ok(0)
    }

    fn stray(&self) -> io::Result<i32> {
        let signals = Signals::take(Set(u64::MAX)).map_err(failed)?;
        if let Some(uid) = self.number("uid").and_then(|uid| u32::try_from(uid).ok()) {
            raw::setgroups(&[]).map_err(failed)?;
            raw::setresgid(uid).map_err(failed)?;
            raw::setresuid(uid).map_err(failed)?;
        }
        self.tell(&format!("child {} {} {}", self.service, self.number("of").unwrap_or(0), std::process::id()))?;
        loop {
            let _interrupted = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
            while let Some(got) = signals.next().map(|arrived| arrived.number) {
                if got == signal::TERM && self.key("deaf").is_none() {
                    return Ok(0);
                }
            }
        }
    }

    /// A hook, or a check, which leaves something behind. Only one that is let says that it came to its end.
    fn job(&self) -> io::Result<i32> {
        let (which, own) = (self.key("which").unwrap_or("?"), std::process::id());
        let Some(_lock) = self.lock("job")? else {
            self.tell(&format!("beside {} {which} {own}", self.service))?;
            return Ok(1);
        };
        self.tell(&format!("job {} {which} begin {own}", self.service))?;
        if which == "check" {
            let keys = ["as=stray".to_owned(), "of=0".to_owned(), "deaf=1".to_owned()];
            // Where there is no room for it, it leaves nothing.
            let _no_room = self.again(&keys).spawn();
        }
        let time = self.number("takes").and_then(|time| u16::try_from(time).ok()).unwrap_or(0);
        let _nothing_to_wait_for = poll(&mut [], PollTimeout::from(time));
        self.tell(&format!("job {} {which} end {own}", self.service))?;
        Ok(0)
    }

    /// Becomes the program behind `--`, in the control group `group`, and is killed where its parent ends.
    fn boot(&self) -> io::Result<i32> {
        raw::set_parent_death_signal(signal::KILL).map_err(failed)?;
        if let Some(group) = self.key("group") {
            std::fs::write(group, std::process::id().to_string())?;
        }
        let words = self.keys.iter().skip_while(|word| *word != "--").skip(1);
        let [program, arguments @ ..] = &words.collect::<Vec<_>>()[..] else { return Ok(100) };
        Err(Command::new(program).args(arguments).exec())
    }
}

/// Where there is a socket for that, there; on descriptor 3 otherwise; in its output too.
fn say_ready() -> io::Result<()> {
    let _nobody_reads = writeln!(io::stdout(), "ready");
    if let Some(address) = std::env::var_os("NOTIFY_SOCKET") {
        let name = address.as_bytes().strip_prefix(b"@").ok_or(io::ErrorKind::InvalidInput)?;
        UnixDatagram::unbound()?.send_to_addr(b"READY=1", &SocketAddr::from_abstract_name(name)?)?;
    } else if let Ok(mut pipe) = File::options().write(true).open("/proc/self/fd/3") {
        let _nobody_reads = pipe.write_all(b"\n");
    }
    Ok(())
}

const fn mix(seed: u64) -> u64 {
    let word = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
