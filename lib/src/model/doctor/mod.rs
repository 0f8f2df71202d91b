//! What zei finds where it is started, and what that means for it: a sentence for each fact.
//!
//! Owns: the sentences, and beside each that tells of something missing the line that would change it. Must never: look
//! at anything; `sys::surroundings` and `run::init::doctor` do.

mod calls;
mod identity;
#[cfg(test)]
mod tests;

pub use calls::{Answer, Call};
pub use identity::{File, START_AS_ROOT, Who, no_control, unelevated};

use crate::model::switching::Granted;
use core::fmt;

/// How much of something there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Grade {
    /// All that zei wants.
    Ok,
    /// zei does without, or with less.
    Degraded,
    /// zei can't run services without it.
    Missing,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Grade::Ok => "ok",
            Grade::Degraded => "degraded",
            Grade::Missing => "missing",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What; it stays the same from version to version.
    pub key: &'static str,
    /// How much of it there is.
    pub grade: Grade,
    /// What that means.
    pub sentence: String,
    /// What would change it.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(key: &'static str, sentence: impl Into<String>) -> Finding {
        Finding { key, grade: Grade::Ok, sentence: sentence.into(), remedy: None }
    }

    fn degraded(key: &'static str, sentence: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { key, grade: Grade::Degraded, sentence: sentence.into(), remedy: Some(remedy.into()) }
    }

    fn missing(key: &'static str, sentence: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { key, grade: Grade::Missing, sentence: sentence.into(), remedy: Some(remedy.into()) }
    }

    /// What that means, and behind it what would change it.
    pub fn text(&self) -> String {
        let remedy = self.remedy.iter().map(|remedy| format!("; to change that: {remedy}"));
        [self.sentence.clone()].into_iter().chain(remedy).collect()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8}  {:17}  {}", self.grade, self.key, self.text())
    }
}

/// Above this process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parent {
    /// A process of this name.
    Named(String),
    /// One that can't be seen from here.
    Outside,
}

/// Where `/proc` stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proc {
    /// Other processes can be looked at.
    Readable,
    /// Other users' processes can't (`hidepid`).
    Hidden,
    /// It is not mounted.
    Absent,
}

/// What a stream of this process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// A pipe.
    Pipe,
    /// A file.
    File,
    /// A terminal.
    Terminal,
    /// A socket.
    Socket,
    /// /dev/null.
    Null,
    /// Something else.
    Other,
    /// Nothing.
    Closed,
}

impl Stream {
    const fn name(self) -> &'static str {
        match self {
            Stream::Pipe => "a pipe",
            Stream::File => "a file",
            Stream::Terminal => "a terminal",
            Stream::Socket => "a socket",
            Stream::Null => "/dev/null",
            Stream::Other => "a device",
            Stream::Closed => "closed",
        }
    }
}

/// A place where the run directory could be, and what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rung {
    /// The run directory itself.
    pub path: String,
    /// `None`: nothing.
    pub wrong: Option<Wrong>,
}

/// What is wrong with a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// A live zei-init has it.
    Taken,
    /// What is in it is not zei's.
    Foreign,
    /// It belongs to this user.
    Owner(u32),
    /// It is a symbolic link, or no directory at all.
    NoDirectory,
    /// Its file system can't be written to.
    ReadOnly,
    /// The system has refused it so.
    System(&'static str),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Taken => f.write_str("in use by another zei-init"),
            Wrong::Foreign => f.write_str("holds what is not zei's"),
            Wrong::Owner(uid) => write!(f, "belongs to uid {uid}"),
            Wrong::NoDirectory => f.write_str("a symbolic link, or no directory"),
            Wrong::ReadOnly => f.write_str("read-only"),
            Wrong::System(text) => f.write_str(text),
        }
    }
}

/// All that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Whom zei runs as.
    pub who: Who,
    /// What it may do for others' sake, if it is root.
    pub granted: Granted,
    /// There is a /etc/passwd; what is wrong with it otherwise.
    pub passwd: Result<(), &'static str>,
    /// Its pid.
    pub pid: u32,
    /// Who started it.
    pub parent: Parent,
    /// It can adopt what others leave behind; why not otherwise.
    pub subreaper: Result<(), &'static str>,
    /// What is missing beside it.
    pub programs: Vec<&'static str>,
    /// The system calls.
    pub calls: Vec<(Call, Answer)>,
    /// The places, in the order in which they are tried.
    pub rungs: Vec<Rung>,
    /// `/proc`.
    pub proc: Proc,
    /// There is a /dev/null.
    pub null: bool,
    /// It may make control groups.
    pub cgroup: bool,
    /// The limit of processes, and how many there are.
    pub processes: Option<(u64, u64)>,
    /// Soft and hard limit of descriptors.
    pub descriptors: (u64, u64),
    /// Standard input, output, error.
    pub streams: [Stream; 3],
}

/// What they mean, always in the same order.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut list = vec![
        identity::user(facts),
        process(facts),
        identity::users(&facts.who, &facts.granted),
        identity::kill(&facts.who, &facts.granted),
        passwd(facts.passwd),
        programs(&facts.programs),
    ];
    list.extend(facts.calls.iter().map(|(call, answer)| calls::finding(*call, *answer)));
    let starter = Some(facts.who.uid).filter(|uid| *uid != 0 && facts.who.effective == 0);
    list.push(no_control(starter, &facts.granted).unwrap_or_else(|| run_directory(&facts.rungs)));
    list.push(proc(facts.proc));
    list.push(null(facts.null));
    list.push(cgroup(facts));
    list.push(processes(facts.processes));
    list.push(descriptors(facts.descriptors));
    let [input, output, errors] = facts.streams;
    list.extend([stdin(input), written("stdout", output), written("stderr", errors)]);
    list
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Grade {
    findings.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Ok)
}

fn process(facts: &Facts) -> Finding {
    let key = "pid";
    if facts.pid == 1 {
        return Finding::ok(key, "zei is PID 1");
    }
    let parent = match &facts.parent {
        Parent::Named(name) => format!("under {name}"),
        Parent::Outside => String::from("started from outside of this PID namespace"),
    };
    match facts.subreaper {
        Ok(()) => {
            Finding::ok(key, format!("zei is process {}, {parent}, and a child subreaper: all is the same", facts.pid))
        }
        Err(why) => Finding::missing(
            key,
            format!("zei is process {}, {parent}, and can't become a child subreaper: {why}", facts.pid),
            "start it as PID 1, or let it call prctl (PR_SET_CHILD_SUBREAPER)",
        ),
    }
}

fn passwd(there: Result<(), &'static str>) -> Finding {
    match there {
        Ok(()) => Finding::ok("passwd", "users can be named as in /etc/passwd"),
        Err(why) => Finding::degraded(
            "passwd",
            format!("users can be named by numbers only, as in user: \"1000:1000\": /etc/passwd: {why}"),
            "add /etc/passwd and /etc/group to the image",
        ),
    }
}

fn programs(missing: &[&str]) -> Finding {
    let key = "programs";
    if missing.is_empty() {
        return Finding::ok(key, "zei-supervise, zei-probe, zei-cron and zei-log lie beside zei-init");
    }
    let (names, remedy) = (missing.join(", "), "copy them into the directory of zei-init");
    if missing.contains(&"zei-supervise") {
        return Finding::missing(key, format!("no service can run: beside zei-init there is no {names}"), remedy);
    }
    Finding::degraded(key, format!("what takes them can't be had: beside zei-init there is no {names}"), remedy)
}

fn run_directory(rungs: &[Rung]) -> Finding {
    let key = "run_directory";
    let mut passed = Vec::new();
    for Rung { path, wrong } in rungs {
        match wrong {
            None if passed.is_empty() => return Finding::ok(key, format!("services can be controlled: {path}")),
            None => {
                let instead = passed.join(", ");
                return Finding::ok(key, format!("services can be controlled: {path}, instead of {instead}"));
            }
            // It is no obstacle to anything but a second one.
            Some(Wrong::Taken) => {
                return Finding::ok(key, format!("services can be controlled: a zei-init runs with {path}"));
            }
            Some(wrong) => passed.push(format!("{path} ({wrong})")),
        }
    }
    Finding::degraded(
        key,
        format!("services run without control, as there is no run directory: {}", passed.join(", ")),
        "docker run --tmpfs /run:mode=1777, or a directory named in ZEI_RUN",
    )
}

fn proc(proc: Proc) -> Finding {
    match proc {
        Proc::Readable => Finding::ok("proc", "/proc is mounted, and shows all processes"),
        Proc::Hidden => Finding::degraded(
            "proc",
            "/proc hides other users' processes, so what a service under another user leaves behind may be missed",
            "mount /proc without hidepid",
        ),
        Proc::Absent => {
            Finding::missing("proc", "no service can run: /proc is not mounted", "mount -t proc proc /proc")
        }
    }
}

fn null(is_there: bool) -> Finding {
    if is_there {
        return Finding::ok("null", "/dev/null is there");
    }
    Finding::missing("null", "no service can run: there is no /dev/null", "mknod -m 666 /dev/null c 1 3")
}

fn cgroup(facts: &Facts) -> Finding {
    let sentence = match (facts.cgroup, facts.pid) {
        (true, 1) => "what a service leaves is killed by one write: each has a control group (cgroup.kill)",
        (true, _) => "what a service leaves is stopped, then killed, one by one: only PID 1 makes control groups",
        (false, _) => "what a service leaves is stopped, then killed, one by one: there is no cgroup v2 to write to",
    };
    Finding::ok("cgroup", sentence)
}

fn processes(limit: Option<(u64, u64)>) -> Finding {
    /// Two for each service, and some for hooks and probes.
    const FEW: u64 = 16;
    match limit {
        None => Finding::ok("processes", "the number of processes is not limited here"),
        Some((most, now)) if most.saturating_sub(now) < FEW => Finding::degraded(
            "processes",
            format!(
                "there may be {most} processes at once, and {now} are there; a service takes two, and its start waits for room"
            ),
            "docker run --pids-limit with a greater number",
        ),
        Some((most, now)) => Finding::ok(
            "processes",
            format!("there may be {most} processes at once, and {now} are there; a service takes two"),
        ),
    }
}

fn descriptors((soft, hard): (u64, u64)) -> Finding {
    /// What zei-init has open for itself, and for a few services.
    const FEW: u64 = 128;
    let show = |limit: u64| if limit == u64::MAX { String::from("none") } else { limit.to_string() };
    let sentence = format!(
        "the limit of descriptors is {} (hard: {}); zei-init takes three for a service",
        show(soft),
        show(hard)
    );
    if hard < FEW {
        return Finding::degraded("nofile", sentence, "docker run --ulimit nofile=1024:524288");
    }
    Finding::ok("nofile", sentence)
}

fn stdin(stream: Stream) -> Finding {
    let rest = if stream == Stream::Terminal { ": a command gets it, with job control" } else { "" };
    Finding::ok("stdin", format!("standard input is {}{rest}", stream.name()))
}

fn written(key: &'static str, stream: Stream) -> Finding {
    let what = if key == "stdout" { "output" } else { "error" };
    match stream {
        Stream::Closed => Finding::degraded(
            key,
            format!("standard {what} is closed: what is written there is lost"),
            "start zei-init with a pipe or a file there",
        ),
        _ => Finding::ok(key, format!("standard {what} is {}", stream.name())),
    }
}
