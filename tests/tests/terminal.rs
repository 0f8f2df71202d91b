//! zei-init on a terminal: job control, ^C, ^Z, and whose the foreground is.
// The helpers below are parts of tests.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use zei::sys::raw;
use zei_tests::{program, skipped};

const CATCH: &str = env!("CARGO_BIN_EXE_catch");
const INTERRUPT: &str = "\x03";
const SUSPEND: &str = "\x1a";
const END: &str = "\x04";

/// A session with a terminal of its own, as `docker run -it` makes one.
struct Session {
    child: Child,
    terminal: File,
    /// What came and was not waited for yet.
    unread: String,
}

impl Session {
    /// `setsid -c` makes the first word's process the leader of the session, as PID 1 of a container is.
    fn new(words: &[&str]) -> Session {
        let pty = openpty(None, None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(words).env("PS1", "ready> ").env_remove("ENV");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Session { child, terminal: File::from(pty.master), unread: String::new() }
    }

    fn zei_init(words: &[&str]) -> Session {
        let zei_init = program("zei-init");
        Session::new(&[&[zei_init.to_str().unwrap()], words].concat())
    }

    fn write(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `text` has come; what came before it. A limit for a test that hangs, not for one that passes.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some((before, rest)) = self.unread.split_once(text) {
                let before = before.to_owned();
                self.unread = rest.to_owned();
                return before;
            }
            assert!(self.read(), "{text:?} never came, but {:?}", self.unread);
        }
    }

    /// False where all ends of the terminal are closed.
    fn read(&mut self) -> bool {
        let mut ready = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut ready, PollTimeout::from(20_000u16)), Ok(1), "nothing came after {:?}", self.unread);
        let mut bytes = [0; 4096];
        let length = self.terminal.read(&mut bytes).unwrap_or(0);
        self.unread += &String::from_utf8_lossy(&bytes[..length]);
        length > 0
    }

    /// Reads all the rest.
    fn end(mut self) -> (String, Option<i32>) {
        while self.read() {}
        let code = self.child.wait().unwrap().code();
        (std::mem::take(&mut self.unread), code)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The interactive shells that are there.
fn shells() -> Vec<Vec<&'static str>> {
    let there = |shell: &str| Command::new(shell).args(["-c", ":"]).output().is_ok();
    let bash = there("bash") || skipped("bash");
    let bash = bash.then(|| vec!["bash", "--norc", "--noediting", "-i"]);
    [vec!["sh", "-i"]].into_iter().chain(bash).collect()
}

#[test]
fn an_interactive_shell_has_job_control() {
    for shell in shells() {
        let mut session = Session::zei_init(&shell);
        let greeting = session.wait_for("ready> ");
        assert!(!greeting.contains("job control") && !greeting.contains("can't access"), "{shell:?}: {greeting}");

        // A background job that ^C must not reach. (The quotes keep the echo of a command from being taken for
        // its output.)
        session.write(&format!("{CATCH} 1 &\r"));
        session.wait_for("ready ");
        session.write("sh -c 'echo run''ning; exec cat'\r");
        session.wait_for("running");
        session.write(INTERRUPT);
        session.wait_for("ready> ");
        session.write("echo co''de=$?\r");
        session.wait_for("code=130");

        session.write("sh -c 'echo run''ning; exec cat'\r");
        session.wait_for("running");
        session.write(SUSPEND);
        session.wait_for("Stopped");
        session.write("jobs; echo li''sted\r");
        let jobs = session.wait_for("listed");
        assert!(jobs.contains("Stopped") && jobs.contains("Running"), "{shell:?}: {jobs}");
        // Stopped it does not read: the word comes back only after fg (and once as echo).
        session.write("fg\rmoo\r");
        session.wait_for("moo");
        session.wait_for("moo");
        session.write(END);
        session.wait_for("ready> ");
        session.write("echo co''de=$?\r");
        session.wait_for("code=0");

        session.write("kill -USR1 %1; wait %1; echo end''ed\r");
        let caught = session.wait_for("ended");
        assert!(caught.contains(" 10\r\n"), "{shell:?}: {caught}");
        session.write("exit 3\r");
        assert_eq!(session.end().1, Some(3), "{shell:?}");
    }
}

#[test]
fn an_interrupt_from_the_terminal_reaches_the_command_and_not_zei_init_too() {
    let mut session = Session::zei_init(&["-vvv", CATCH, "2"]);
    session.wait_for("ready ");
    let pid = session.wait_for("\r\n");
    session.write(INTERRUPT);
    let before = session.wait_for(&format!("{pid} 2\r\n"));
    raw::kill(session.child.id().cast_signed(), 10).unwrap();
    // It says each signal that it gets, so had it got the other one, that would stand here too.
    let (rest, code) = session.end();
    assert!(rest.contains(&format!("{pid} 10\r\n")) && rest.contains("got signal USR1"), "{rest}");
    assert!(!before.contains("signal INT") && !rest.contains("signal INT"), "{before}{rest}");
    assert_eq!(code, Some(0));
}

#[test]
fn the_terminal_comes_back_when_the_command_has_ended_or_never_began() {
    let zei_init = program("zei-init");
    for (command, code) in [("sh -c 'exit 4'", 4), ("/nowhere/at-all", 127)] {
        let script = format!("$0 {command}; echo co''de=$?; read line; echo got:$line");
        let mut session = Session::new(&["sh", "-c", &script, zei_init.to_str().unwrap()]);
        session.wait_for(&format!("code={code}"));
        session.write("word\r");
        session.wait_for("got:word");
        assert_eq!(session.end().1, Some(0));
    }
}

#[test]
fn in_the_background_of_a_shell_it_leaves_the_foreground_alone() {
    let zei_init = program("zei-init");
    for shell in shells() {
        let mut session = Session::new(&shell);
        session.wait_for("ready> ");
        session.write(&format!("{} {CATCH} 1 &\r", zei_init.to_str().unwrap()));
        session.wait_for("ready ");
        session.write("echo ali''ve\r");
        session.wait_for("alive");
        session.write("kill %1; wait %1; exit 5\r");
        assert_eq!(session.end().1, Some(5), "{shell:?}");
    }
}

#[test]
fn one_zei_init_under_another_has_job_control_too() {
    let zei_init = program("zei-init");
    let mut session = Session::zei_init(&[zei_init.to_str().unwrap(), "sh", "-i"]);
    let greeting = session.wait_for("ready> ");
    assert!(!greeting.contains("job control"), "{greeting}");
    session.write("cat\rmoo\r");
    session.wait_for("moo");
    session.wait_for("moo");
    session.write(INTERRUPT);
    session.wait_for("ready> ");
    session.write("exit 6\r");
    assert_eq!(session.end().1, Some(6));
}

#[test]
fn whoever_sits_at_the_terminal_is_not_told_what_he_has_seen() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("zei.yaml"), "services:\n  hold: {command: [sleep, infinity]}\n").unwrap();
    let _lies_beside_it = program("zei-supervise");
    let run = format!("{}={}", zei::paths::RUN_VARIABLE, path("run"));
    for (command, code, told) in [
        (&["sh", "-c", "exit 5"][..], 5, None),
        // This he has not.
        (&["/no/such/program"], 127, Some("the container failed, exit code 127: cmd could not start: cannot execute")),
    ] {
        let init = program("zei-init");
        let words = ["env", &run, init.to_str().unwrap(), "-c", &path("zei.yaml"), "--"].map(str::to_owned);
        let words: Vec<&str> = words.iter().map(String::as_str).chain(command.iter().copied()).collect();
        let (said, ended) = Session::new(&words).end();
        assert_eq!(ended, Some(code), "{said}");
        match told {
            Some(told) => assert!(said.contains(told), "{said}"),
            None => assert!(!said.contains("the container failed"), "{said}"),
        }
    }
}
