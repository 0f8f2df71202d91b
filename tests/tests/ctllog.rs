//! Kept output as `zei-ctl log` shows it, with a writer that the test itself is.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use tempfile::TempDir;
use zei::exit;
use zei::paths;
use zei::protocol::log::{self, Stream};
use zei::signal;
use zei::sys::lock;
use zei_tests::{PATIENCE, eventually, process, program, seccomp, tree};

/// 2026-11-30T19:51:34.123Z
const AT: u64 = 1_796_068_294_123;

/// What a client takes for a live zei.
struct Zei {
    directory: TempDir,
    held: Option<[File; 2]>,
}

impl Zei {
    fn new() -> Zei {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let init = directory.path().join(paths::INIT);
        fs::create_dir(&init).unwrap();
        fs::create_dir(directory.path().join(paths::SERVICES)).unwrap();
        let lock = File::create(init.join(paths::LOCK)).unwrap();
        lock::take(&lock).unwrap();
        nix::unistd::mkfifo(&init.join(paths::CONTROL), Mode::from_bits_truncate(0o600)).unwrap();
        let control = OpenOptions::new().read(true).write(true).open(init.join(paths::CONTROL)).unwrap();
        Zei { directory, held: Some([control, lock]) }
    }

    fn service(&self, name: &str) -> Writer {
        let directory = self.directory.path().join(paths::SERVICES).join(name);
        fs::create_dir(&directory).unwrap();
        Writer { directory, at: AT }
    }

    fn command(&self, wrapper: &[String], words: &str) -> Command {
        let mut argv = wrapper.to_vec();
        argv.push(program("zei-ctl").to_str().unwrap().to_owned());
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).arg("--run").arg(self.directory.path()).arg("log");
        command.args(words.split_whitespace()).stdin(Stdio::null());
        command
    }

    fn ctl(&self, words: &str) -> (String, String, i32) {
        said(self.command(&[], words).output().unwrap())
    }

    fn shown(&self, words: &str) -> String {
        let (out, err, code) = self.ctl(words);
        assert_eq!((err.as_str(), code), ("", 0), "{words}");
        out
    }

    fn follow(&self, words: &str) -> Follower {
        Follower::of(self.command(&[], &format!("-f {words}")))
    }

    /// As the kernel does when zei-init is gone: its descriptors are closed, one after the other.
    fn end(&mut self) {
        self.held.take().into_iter().flatten().for_each(drop);
    }
}

fn said(output: Output) -> (String, String, i32) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

/// What writes a service's log.
struct Writer {
    directory: PathBuf,
    at: u64,
}

impl Writer {
    fn append(&self, bytes: &[u8]) {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(self.directory.join(paths::LOG));
        file.unwrap().write_all(bytes).unwrap();
    }

    /// One record, a second after the one before.
    fn put(&mut self, stream: Stream, text: &str) {
        self.at += 1000;
        self.append(format!("{}{text}\n", log::head(self.at, Some(1), stream)).as_bytes());
    }

    fn rotate(&self) {
        fs::rename(self.directory.join(paths::LOG), self.directory.join(paths::OLD_LOG)).unwrap();
        self.append(b"");
    }
}

/// A `zei-ctl log -f` that runs beside the test.
struct Follower {
    child: Child,
    out: ChildStdout,
    lines: VecDeque<String>,
    rest: Vec<u8>,
}

impl Follower {
    fn of(mut command: Command) -> Follower {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        Follower { child, out, lines: VecDeque::new(), rest: Vec::new() }
    }

    /// The next line that it prints.
    fn line(&mut self) -> String {
        while self.lines.is_empty() {
            let mut polled = [PollFd::new(self.out.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(PATIENCE).unwrap();
            assert_eq!(poll(&mut polled, timeout), Ok(1), "nothing came any more");
            let mut bytes = [0; 65536];
            let length = self.out.read(&mut bytes).unwrap();
            assert!(length > 0, "it has ended");
            self.rest.extend_from_slice(&bytes[..length]);
            let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let text = String::from_utf8(self.rest.drain(..whole).collect()).unwrap();
            self.lines.extend(text.lines().map(str::to_owned));
        }
        self.lines.pop_front().unwrap()
    }

    fn end(mut self) -> (String, String, i32) {
        let mut out: String = self.lines.drain(..).map(|line| line + "\n").collect();
        self.out.read_to_string(&mut out).unwrap();
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let status = self.child.wait().unwrap();
        (out, err, status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

#[test]
fn what_is_kept_is_shown_in_each_form() {
    let zei = Zei::new();
    let (mut web, mut db) = (zei.service("web"), zei.service("db"));
    zei.service("quiet");
    web.put(Stream::Out, "old");
    web.rotate();
    db.put(Stream::Err, "slow\r");
    web.put(Stream::OutPiece, "long ");
    web.put(Stream::Zei, "12 lines dropped");
    web.put(Stream::Out, "line");
    db.put(Stream::Out, "\x1b[31mred");
    assert_eq!(zei.shown("web"), "old\nzei: 12 lines dropped\nlong line\n");
    assert_eq!(zei.shown("web -n 1"), "long line\n");
    assert_eq!(zei.shown("web --stream out --tail 2"), "old\nlong line\n");
    assert_eq!(zei.shown("web -t -n 1"), "2026-11-30T19:51:38.123Z long line\n");
    let all = "db  | slow\r\nweb | old\ndb  | \x1b[31mred\nweb | zei: 12 lines dropped\nweb | long line\n";
    assert_eq!(zei.shown(""), all);
    assert_eq!(zei.shown("-n 1"), "db  | \x1b[31mred\nweb | long line\n");
    assert_eq!(zei.shown("--since 2026-11-30T19:51:38Z all"), "long line\n".replace("long", "web | long"));
    assert_eq!(zei.shown("--since 1ms"), "");
    let json = zei.shown("--json web -n 1");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"time": "2026-11-30T19:51:38.123Z", "service": "web", "run": 1, "stream": "out",
            "message": "long line"})
    );
    web.append(&[log::head(AT, None, Stream::ErrPiece).as_bytes(), b"\xff\n"].concat());
    let json: Value = serde_json::from_str(&zei.shown("--json web --stream err")).unwrap();
    assert_eq!((json["message"].as_str(), json["partial"].as_bool()), (Some("\u{fffd}"), Some(true)));
    assert_eq!(json["run"], Value::Null);
}

#[test]
fn a_terminal_is_not_told_what_moves_its_cursor() {
    let zei = Zei::new();
    zei.service("web").put(Stream::Out, "\x1b[31mred\x1b[2J\r");
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = zei.command(&[], "web");
    assert!(command.stdout(terminal.slave).status().unwrap().success());
    drop(command);
    let mut bytes = [0; 100];
    let length = File::from(terminal.master).read(&mut bytes).unwrap();
    assert_eq!(std::str::from_utf8(&bytes[..length]).unwrap(), "\x1b[31mred^[[2J\x1b[0m\r\n");
}

#[test]
fn what_can_not_be_shown_is_said_with_what_to_do() {
    let mut zei = Zei::new();
    zei.service("quiet");
    for words in ["quiet", "-f quiet", "", "q*"] {
        let (out, err, code) = zei.ctl(words);
        assert_eq!((out.as_str(), code), ("", i32::from(exit::NOT_TRUE)), "{words}: {err}");
        assert!(err.contains("log: prefix"), "{err}");
    }
    zei.service("web").put(Stream::Out, "here");
    let (out, err, code) = zei.ctl("quiet web");
    assert_eq!((out.as_str(), code), ("here\n", i32::from(exit::NOT_TRUE)), "{err}");
    assert_eq!(zei.ctl("wed").2, i32::from(exit::NO_SUCH_SERVICE));
    if tree::is_root() {
        // The program itself may lie where others may not look.
        let own = zei.directory.path().join("zei-ctl");
        zei_tests::copy_program(program("zei-ctl"), &own);
        let mut other = Command::new(&own);
        other.args(zei.command(&[], "web").get_args()).uid(65534).gid(65534);
        let (out, err, code) = said(other.output().unwrap());
        assert_eq!((out.as_str(), code), ("", i32::from(exit::SYSTEM)), "{err}");
        assert!(err.contains("no permission to read") && err.contains("for root"), "{err}");
    }
    // What is left behind by a zei that is not running any more can be read.
    zei.end();
    assert_eq!(zei.shown("web"), "here\n");
    assert_eq!(zei.shown("-f web"), "here\n");
    fs::remove_file(zei.directory.path().join(paths::SERVICES).join("web").join(paths::LOG)).unwrap();
    assert_eq!(zei.ctl("web").2, i32::from(exit::NO_ZEI));
}

#[test]
fn nothing_is_lost_doubled_or_torn_over_hundreds_of_rotations() {
    const LINES: usize = 200_000;
    const OF_FILE: usize = 400;
    let mut zei = Zei::new();
    let writer = zei.service("web");
    writer.append(b"");
    // All that is there when it begins, too.
    let mut follower = zei.follow("-n 1000000 web");
    let text = |number: usize| format!("{number} {}", "x".repeat(number % 40));
    let (mut random, mut read) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    let mut chance = |of: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % 1_000_003).unwrap() % of
    };
    let mut read_to = |follower: &mut Follower, end: usize| {
        for number in read..end {
            assert_eq!(follower.line(), text(number));
        }
        read = read.max(end);
    };
    let (mut written, mut begun) = (0, String::new());
    while written < LINES {
        let mut bytes = Vec::new();
        let mut put = |stream, part: &str| {
            bytes.extend_from_slice(log::head(AT, Some(1), stream).as_bytes());
            bytes.extend_from_slice(part.as_bytes());
            bytes.push(b'\n');
        };
        for number in written..written + OF_FILE {
            let line = text(number);
            let mut rest = &line[std::mem::take(&mut begun).len()..];
            while chance(4) == 0 {
                let (piece, later) = rest.split_at(chance(rest.len() + 1));
                put(Stream::OutPiece, piece);
                rest = later;
            }
            put(Stream::Out, rest);
        }
        written += OF_FILE;
        // A line that begins in one file may end in the next.
        if written < LINES && chance(2) == 0 {
            begun = text(written)[..2].to_owned();
            put(Stream::OutPiece, &begun);
        }
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            // A write met half-way.
            let (now, later) = left.split_at((1 + chance(3000)).min(left.len()));
            writer.append(now);
            left = later;
        }
        // It has this file open, so one rotation, and all until the next one, takes nothing away from it.
        read_to(&mut follower, written - OF_FILE + 1 + chance(OF_FILE));
        writer.rotate();
    }
    read_to(&mut follower, written);
    zei.end();
    assert_eq!(follower.end(), (String::new(), String::new(), 0));
}

#[test]
fn a_follower_shows_what_comes_from_whomever_until_zei_ends() {
    let mut zei = Zei::new();
    let mut web = zei.service("web");
    (0..20).for_each(|number| web.put(Stream::Out, &number.to_string()));
    let mut all = zei.follow("");
    for number in 10..20 {
        assert_eq!(all.line(), format!("web | {number}"));
    }
    let mut some = zei.follow("-n 1 w* -t");
    assert_eq!(some.line(), "2026-11-30T19:51:54.123Z web | 19");
    // Its first line comes with its directory, or long after it.
    let mut db = zei.service("db");
    db.put(Stream::Out, "hello");
    assert_eq!(all.line(), "db  | hello");
    let mut watcher = zei.service("watcher");
    db.put(Stream::Out, "again");
    assert_eq!(all.line(), "db      | again");
    watcher.put(Stream::Out, "late");
    assert_eq!(all.line(), "watcher | late");
    assert_eq!(some.line(), "2026-11-30T19:51:35.123Z watcher | late");
    // And is removed and comes again.
    fs::remove_dir_all(&web.directory).unwrap();
    let mut web = zei.service("web");
    web.put(Stream::Out, "back");
    assert_eq!(all.line(), "web     | back");
    web.put(Stream::ErrPiece, "unfinished");
    zei.end();
    assert_eq!(all.end(), ("web     | unfinished\n".to_owned(), String::new(), 0));
    assert_eq!(some.end().2, 0);
}

#[test]
fn a_follower_ends_well_by_an_interrupt_even_while_it_can_not_write_and_without_a_reader() {
    let zei = Zei::new();
    let mut web = zei.service("web");
    web.put(Stream::Out, "here");
    let mut follower = zei.follow("web");
    assert_eq!(follower.line(), "here");
    process::kill(follower.child.id(), signal::INT);
    assert_eq!(follower.end(), (String::new(), String::new(), 0));
    let mut follower = zei.follow("web");
    assert_eq!(follower.line(), "here");
    // More than fits into a pipe.
    (0..20).for_each(|_| web.put(Stream::Out, &"x".repeat(10_000)));
    eventually("stuck in a write", || {
        fs::read_to_string(format!("/proc/{}/syscall", follower.child.id()))
            .is_ok_and(|call| call.starts_with(&format!("{} ", nix::libc::SYS_write)))
    });
    process::kill(follower.child.id(), signal::INT);
    assert_eq!(follower.child.wait().unwrap().code(), Some(0));
    let mut follower = zei.follow("web -n 1");
    follower.line();
    // Idle, it hears that its reader has gone.
    let Follower { out, .. } = &mut follower;
    *out = Command::new("true").stdout(Stdio::piped()).spawn().unwrap().stdout.take().unwrap();
    assert_eq!(follower.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_follower_that_was_stopped_says_that_something_may_be_missing() {
    let mut zei = Zei::new();
    let mut web = zei.service("web");
    web.put(Stream::Out, "first");
    let mut follower = zei.follow("web");
    assert_eq!(follower.line(), "first");
    process::kill(follower.child.id(), signal::STOP);
    eventually("stopped", || process::state(follower.child.id()).as_deref() == Some("T"));
    for text in ["lost", "third", "fourth"] {
        web.rotate();
        web.put(Stream::Out, text);
    }
    process::kill(follower.child.id(), signal::CONT);
    assert_eq!((follower.line(), follower.line()), ("third".to_owned(), "fourth".to_owned()));
    zei.end();
    let (_, err, code) = follower.end();
    assert!(code == 0 && err.contains("web: some of its output may be missing"), "{err}");
}

#[test]
fn a_follower_works_where_inotify_can_not_be_had() {
    let Some(words) = seccomp::words(&[nix::libc::SYS_inotify_init1], Errno::EMFILE) else { return };
    let mut zei = Zei::new();
    let mut web = zei.service("web");
    web.put(Stream::Out, "first");
    let mut follower = Follower::of(zei.command(&words, "-f"));
    assert_eq!(follower.line(), "web | first");
    for number in 0..5 {
        web.put(Stream::Out, &number.to_string());
        web.rotate();
        assert_eq!(follower.line(), format!("web | {number}"));
    }
    zei.service("db").put(Stream::Out, "late");
    assert_eq!(follower.line(), "db  | late");
    zei.end();
    assert_eq!(follower.end(), (String::new(), String::new(), 0));
}

#[test]
fn an_idle_follower_sleeps() {
    let zei = Zei::new();
    let mut web = zei.service("web");
    web.put(Stream::Out, "first");
    let mut follower = zei.follow("web");
    assert_eq!(follower.line(), "first");
    let pid = follower.child.id();
    eventually("asleep", || process::state(pid).as_deref() == Some("S"));
    let before = process::switches(pid);
    // Neither does it wake up for what is none of its business: a status is written far more often than a log.
    let timeout = PollTimeout::from(1500_u16);
    assert_eq!(poll(&mut [PollFd::new(follower.out.as_fd(), PollFlags::POLLIN)], timeout), Ok(0));
    assert_eq!(process::switches(pid), before);
}
