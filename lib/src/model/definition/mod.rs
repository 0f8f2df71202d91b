//! Definitions: what is compiled from the configuration for the supervisors, and for zei-init.
//!
//! Owns: the bytes. Must never: be read by anything but zei-init and zei-supervise of the same build.
//!
//! All definitions of a tree lie in one sealed memfd that every supervisor maps, so a supervisor
//! parses no YAML and holds no copy: strings are borrowed, NUL included, from the mapping. Keys are parted by whom they
//! concern, so that a change that concerns zei-init alone can be told from one that concerns a process.
//!
//! ```text
//! count     u32, little-endian: sections; 2 N + 2 for N services
//! ends      u32 each: where each section ends, counted from the file's begin
//! sections  KEY=VALUE\0 …; section 0 is the container's environment, section I + 1 service I, as its supervisor
//!           needs it (with an environment of its own it has the whole of it), section N + I + 1 the same service, as
//!           zei-init needs it, the last one the tree as a whole; there is no service where both are empty
//! ```

mod keys;
pub mod plan;
mod policy;
mod privileges;
#[cfg(test)]
pub(crate) mod tests;

use crate::model::privileges::Privileges;
use crate::model::service::Kind;
use crate::model::spec::{
    Condition, Dependency, Identity, Input, Job, Log, Output, Policy, Program, ReadyTest, Reload, ServiceSpec,
};
use crate::name::ServiceName;
use core::ffi::CStr;
use std::collections::HashMap;
use std::ffi::CString;

fn to_u32(number: usize) -> Vec<u8> {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes().to_vec()
}

fn put(section: &mut Vec<u8>, key: &str, value: &[u8]) {
    section.extend_from_slice(key.as_bytes());
    section.push(b'=');
    section.extend_from_slice(value);
    section.push(0);
}

/// What a supervisor needs of its service; `places`: the index of each of `all`.
fn encode_service(spec: &ServiceSpec, all: &[ServiceSpec], places: &[usize], environment: &[&CStr]) -> Vec<u8> {
    let mut section = Vec::new();
    let mut set = |key: &str, value: &str| put(&mut section, key, value.as_bytes());
    set("name", spec.name.as_str());
    policy::encode(&spec.policy, &mut set);
    if let Some(umask) = spec.umask {
        set("umask", &umask.to_string());
    }
    privileges::encode(&spec.privileges, &mut set);
    set(
        "stdin",
        match spec.stdin {
            Input::Null => "null",
            Input::Open => "open",
            Input::Inherit => "inherit",
        },
    );
    if let Some(identity) = &spec.identity {
        set("uid", &identity.uid.to_string());
        set("gid", &identity.gid.to_string());
        for group in &identity.groups {
            set("group", &group.to_string());
        }
    }
    for dependency in &spec.dependencies {
        if let (Some(other), Some(place)) = (all.get(dependency.service), places.get(dependency.service)) {
            put_dependency(&mut section, dependency, *place, other.name);
        }
    }
    let mut set = |key: &str, value: &str| put(&mut section, key, value.as_bytes());
    match &spec.ready {
        None => {}
        Some(ReadyTest::NotifySystemd) => set("ready_by", "systemd"),
        Some(ReadyTest::NotifyFd(number)) => set("ready_by", &format!("fd {number}")),
        Some(ReadyTest::Log(pattern)) => {
            set("ready_by", "log");
            set("pattern", pattern);
        }
        Some(ReadyTest::Job(_)) => set("ready_by", "job"),
    }
    if let Some(expression) = &spec.schedule {
        set("schedule", expression);
    }
    match &spec.reload {
        Reload::Signal(number) => set("reload_signal", &number.to_string()),
        Reload::Job(_) => {}
    }
    for kind in [Kind::PreStart, Kind::PostStop, Kind::Ready, Kind::Health, Kind::Reload] {
        if let (Some(job), Some(key)) = (job_of(spec, kind), job_key(kind)) {
            put_job(&mut section, key, job);
        }
    }
    let mut set = |key: &str, value: &str| put(&mut section, key, value.as_bytes());
    match spec.log {
        None => {}
        Some(Log::Inherit) => set("log", "inherit"),
        Some(Log::Prefix) => set("log", "prefix"),
        Some(Log::Ring) => set("log", "ring"),
    }
    put(&mut section, "stdout", encode_output(&spec.stdout));
    put(&mut section, "stderr", encode_output(&spec.stderr));
    if let Some(directory) = &spec.working_dir {
        put(&mut section, "working_dir", directory.to_bytes());
    }
    for argument in &spec.command {
        put(&mut section, "argument", argument.to_bytes());
    }
    if spec.clear_environment || !spec.environment.is_empty() {
        put(&mut section, "own_environment", b"1");
        for variable in merge(spec, environment) {
            put(&mut section, "env", variable.to_bytes());
        }
    }
    section
}

fn put_dependency(section: &mut Vec<u8>, edge: &Dependency, place: usize, name: ServiceName) {
    let condition = match edge.condition {
        Condition::Started => "started",
        Condition::Healthy => "healthy",
        Condition::Completed => "completed",
    };
    put(section, "dependency", format!("{place} {condition} {name}").as_bytes());
}

fn job_of(spec: &ServiceSpec, kind: Kind) -> Option<&Job> {
    match kind {
        Kind::PreStart => spec.pre_start.as_ref(),
        Kind::PostStop => spec.post_stop.as_ref(),
        Kind::Ready => match &spec.ready {
            Some(ReadyTest::Job(job)) => Some(job),
            _ => None,
        },
        Kind::Health => spec.health.as_ref(),
        Kind::Reload => match &spec.reload {
            Reload::Job(job) => Some(job),
            Reload::Signal(_) => None,
        },
        Kind::Plan => None,
    }
}

/// The key of a job's arguments; the first value says which program they are for.
const fn job_key(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::PreStart => Some("pre_start"),
        Kind::PostStop => Some("post_stop"),
        Kind::Ready => Some("ready"),
        Kind::Health => Some("health"),
        Kind::Reload => Some("reload"),
        Kind::Plan => None,
    }
}

fn put_job(section: &mut Vec<u8>, key: &str, job: &Job) {
    let program: &[u8] = match job.program {
        Program::Own => b"own",
        Program::Probe => b"probe",
    };
    put(section, key, program);
    for argument in &job.arguments {
        put(section, key, argument.to_bytes());
    }
}

/// The container's environment (or nothing) and the service's own: a later variable replaces an earlier one
/// of the same name. Merged here, once, and not at every start.
fn merge<'a>(spec: &'a ServiceSpec, environment: &[&'a CStr]) -> Vec<&'a CStr> {
    let own: Vec<&CStr> = spec.environment.iter().map(CString::as_c_str).collect();
    let common: Vec<&CStr> = if spec.clear_environment { Vec::new() } else { environment.to_vec() };
    let all: Vec<&CStr> = common.into_iter().chain(own).collect();
    let last: HashMap<&[u8], usize> = all.iter().enumerate().map(|(index, variable)| (key(variable), index)).collect();
    let is_last = |(index, variable): &(usize, &&CStr)| last.get(key(variable)) == Some(index);
    all.iter().enumerate().filter(is_last).map(|(_, variable)| *variable).collect()
}

/// A path begins with a slash (or is made to by the configuration), so the words can't be mistaken.
fn encode_output(output: &Output) -> &[u8] {
    match output {
        Output::Inherit => b"inherit",
        Output::Stdout => b"stdout",
        Output::Stderr => b"stderr",
        Output::Null => b"null",
        Output::Join => b"join",
        Output::Path(path) => path.to_bytes(),
    }
}

/// The sections of the memfd.
#[derive(Clone, Copy, Debug, Default)]
pub struct Definitions<'a>(pub &'a [u8]);

impl<'a> Definitions<'a> {
    fn number(self, at: usize) -> Option<usize> {
        let bytes = self.0.get(at.checked_mul(4)?..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    }

    fn section(self, index: usize) -> Option<Section<'a>> {
        let count = self.number(0)?;
        if index >= count {
            return None;
        }
        let begin = if index == 0 { 4 * (count + 1) } else { self.number(index)? };
        self.0.get(begin..self.number(index + 1)?).map(Section)
    }

    /// How many services there are, those that are gone among them.
    pub fn count(self) -> usize {
        self.number(0).unwrap_or(0).saturating_sub(2) / 2
    }

    fn service_section(self, index: usize) -> Option<Section<'a>> {
        if index < self.count() { self.section(index + 1) } else { None }
    }

    /// The name of service `index`; `None`: there is none.
    pub fn name(self, index: usize) -> Option<ServiceName> {
        ServiceName::parse(self.service_section(index)?.text("name")?).ok()
    }

    /// Who has started a zei-init that has root in reserve (see `sys::elevation`); `None`: it has not.
    pub fn invoker(self) -> Option<Identity> {
        let mut words = self.section(0)?.text("invoker")?.split(' ').map(str::parse);
        let (uid, gid) = (words.next()?.ok()?, words.next()?.ok()?);
        Some(Identity { uid, gid, groups: words.collect::<Result<_, _>>().ok()? })
    }

    /// Whether the lines of service `index` bear its name unless its definition says something else: where two services
    /// write to the container's streams. The command's never do.
    pub fn is_labelled(self, index: usize) -> bool {
        let writes = |index: &usize| self.service(*index).is_some_and(|definition| definition.writes());
        self.name(index).is_some_and(|name| name != ServiceName::CMD)
            && (0..self.count()).filter(writes).nth(1).is_some()
    }

    /// The definition of service `index`.
    pub fn service(self, index: usize) -> Option<Definition<'a>> {
        Definition::decode(self.service_section(index)?, self.section(0)?)
    }
}

#[derive(Clone, Copy, Debug)]
struct Section<'a>(&'a [u8]);

impl<'a> Section<'a> {
    /// The values of `key`, each with the NUL behind it.
    fn all(self, key: &'static str) -> impl Iterator<Item = &'a CStr> + Clone {
        self.0
            .split_inclusive(|byte| *byte == 0)
            .filter_map(move |entry| entry.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
            .filter_map(|value| CStr::from_bytes_with_nul(value).ok())
    }

    fn one(self, key: &'static str) -> Option<&'a CStr> {
        self.all(key).next()
    }

    fn text(self, key: &'static str) -> Option<&'a str> {
        self.one(key)?.to_str().ok()
    }

    fn number<T: core::str::FromStr>(self, key: &'static str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    fn needs(self) -> impl Iterator<Item = Needs> + use<'a> {
        self.all("dependency").filter_map(|text| {
            let mut words = text.to_str().ok()?.split(' ');
            let index = words.next()?.parse().ok()?;
            let condition = match words.next()? {
                "completed" => Condition::Completed,
                "healthy" => Condition::Healthy,
                _ => Condition::Started,
            };
            Some(Needs { index, name: ServiceName::parse(words.next()?).ok()?, condition })
        })
    }

    /// A value of exactly so many numbers.
    fn numbers<const N: usize>(self, key: &'static str) -> Option<[u64; N]> {
        let mut words = self.text(key)?.split(' ');
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = words.next()?.parse().ok()?;
        }
        words.next().is_none().then_some(numbers)
    }
}

/// One service's definition, borrowed from the mapping.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'a> {
    own: Section<'a>,
    common: Section<'a>,
    /// The service.
    pub name: ServiceName,
    /// All that its life depends on.
    pub policy: Policy,
    /// How it becomes ready.
    pub ready: ReadyBy,
    /// User and group; `None`: unchanged.
    pub ids: Option<(u32, u32)>,
    /// Mode creation mask; `None`: unchanged.
    pub umask: Option<u32>,
    /// Where it runs; `None`: unchanged.
    pub working_dir: Option<&'a CStr>,
    /// Its standard input.
    pub stdin: Input,
    /// Its standard output.
    pub stdout: Target<'a>,
    /// Its standard error.
    pub stderr: Target<'a>,
}

/// [`ReadyTest`], without what only others need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadyBy {
    /// It is ready as soon as it runs.
    Running,
    /// By the socket at NOTIFY_SOCKET.
    Systemd,
    /// By a newline on this descriptor of its own.
    Fd(u32),
    /// By its output: zei-log writes the newline.
    Log,
    /// By the job [`Kind::Ready`].
    Job,
}

/// [`Output`], borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target<'a> {
    /// The container's own stream of the same number.
    Inherit,
    /// The container's standard output.
    Stdout,
    /// The container's standard error.
    Stderr,
    /// `/dev/null`.
    Null,
    /// The service's own standard output.
    Join,
    /// This file.
    Path(&'a CStr),
}

/// One dependency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// The other service's index.
    pub index: u16,
    /// Its name.
    pub name: ServiceName,
    /// What must hold there.
    pub condition: Condition,
}

impl<'a> Definition<'a> {
    fn decode(own: Section<'a>, common: Section<'a>) -> Option<Definition<'a>> {
        Some(Definition {
            own,
            common,
            name: ServiceName::parse(own.text("name")?).ok()?,
            policy: policy::decode(own)?,
            ready: decode_ready(own.text("ready_by"))?,
            ids: own.number("uid").zip(own.number("gid")),
            umask: own.number("umask"),
            working_dir: own.one("working_dir"),
            stdin: match own.text("stdin")? {
                "inherit" => Input::Inherit,
                "open" => Input::Open,
                _ => Input::Null,
            },
            stdout: decode_output(own.one("stdout")?),
            stderr: decode_output(own.one("stderr")?),
        })
    }

    /// Soft and hard limit of descriptors; `None`: unchanged.
    pub fn nofile(&self) -> Option<(u64, u64)> {
        let (soft, hard) = self.common.text("nofile")?.split_once(' ')?;
        soft.parse().ok().zip(hard.parse().ok())
    }

    /// The argument vector.
    pub fn arguments(&self) -> impl Iterator<Item = &'a CStr> + Clone + use<'a> {
        self.own.all("argument")
    }

    /// A job's program, and its argument vector; `None`: there is no such job.
    pub fn job(&self, kind: Kind) -> Option<(Program, impl Iterator<Item = &'a CStr> + Clone + use<'a>)> {
        let mut values = self.own.all(job_key(kind)?);
        let program = match values.next()?.to_bytes() {
            b"probe" => Program::Probe,
            _ => Program::Own,
        };
        Some((program, values))
    }

    /// The regular expression that a line of its output must match for it to be ready (`ready: log`).
    pub fn pattern(&self) -> Option<&'a CStr> {
        self.own.one("pattern")
    }

    /// What becomes of what goes to the container's streams; `None`: see [`Definitions::is_labelled`].
    pub fn log(&self) -> Option<Log> {
        match self.own.text("log")? {
            "inherit" => Some(Log::Inherit),
            "prefix" => Some(Log::Prefix),
            "ring" => Some(Log::Ring),
            _ => None,
        }
    }

    /// Whether anything of it goes to the container's streams.
    fn writes(&self) -> bool {
        let is_containers = |target| matches!(target, Target::Inherit | Target::Stdout | Target::Stderr);
        is_containers(self.stdout) || is_containers(self.stderr)
    }

    /// The signal that makes it reload; `None`: a command does.
    pub fn reload_signal(&self) -> Option<u8> {
        self.own.number("reload_signal")
    }

    /// The cron expression.
    pub fn schedule(&self) -> Option<&'a CStr> {
        self.own.one("schedule")
    }

    /// What its processes may do and use.
    pub fn privileges(&self) -> Privileges {
        privileges::decode(self.own)
    }

    /// The supplementary groups.
    pub fn groups(&self) -> impl Iterator<Item = u32> {
        self.own.all("group").filter_map(|group| group.to_str().ok()?.parse().ok())
    }

    /// The dependencies.
    pub fn needs(&self) -> impl Iterator<Item = Needs> + use<'a> {
        self.own.needs()
    }

    /// The environment.
    pub fn environment(&self) -> impl Iterator<Item = &'a CStr> + Clone + use<'a> {
        let section = if self.own.one("own_environment").is_some() { self.own } else { self.common };
        section.all("env")
    }
}

fn key(variable: &CStr) -> &[u8] {
    variable.to_bytes().split(|byte| *byte == b'=').next().unwrap_or_default()
}

fn decode_ready(by: Option<&str>) -> Option<ReadyBy> {
    Some(match by {
        None => ReadyBy::Running,
        Some("systemd") => ReadyBy::Systemd,
        Some("log") => ReadyBy::Log,
        Some("job") => ReadyBy::Job,
        Some(other) => ReadyBy::Fd(other.strip_prefix("fd ")?.parse().ok()?),
    })
}

fn decode_output(value: &CStr) -> Target<'_> {
    match value.to_bytes() {
        b"inherit" => Target::Inherit,
        b"stdout" => Target::Stdout,
        b"stderr" => Target::Stderr,
        b"null" => Target::Null,
        b"join" => Target::Join,
        _ => Target::Path(value),
    }
}
