//! A tree, and all that is known of it: what was asked for, what was answered, what its services have said.
//!
//! Owns: commands and their bookkeeping, and whether an answer can be right. Must never: draw anything.

use crate::book::{Cause, Life, What};
use crate::clients::{Answer, Client, Clients};
use crate::draw::{self, Spec};
use crate::journal::Journal;
use crate::random::Random;
use crate::tally::Tally;
use crate::world::World;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;
use zei::signal;
use zei::sys::clock;

/// So many actions are shown of a run that failed.
const HISTORY: usize = 80;
/// What follows from a command for other services may come so much later than its answer.
const LATER: u64 = 3000;
/// zei-ctl waits so long for the outcome of a command at most, in seconds.
pub const TIMEOUT: &str = "60";
/// Where it may have to wait for what somebody has stopped.
const SHORT_TIMEOUT: &str = "5";

/// What makes everything harder for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// zei-init is stopped.
    Stopped,
    /// There is no room in the run directory.
    Full,
    /// There is no room for processes.
    Crowded,
    /// zei-init can open nothing.
    Closed,
}

#[derive(Debug)]
pub struct Chaos<'a> {
    pub world: World,
    pub journal: Journal,
    pub lives: Vec<Life>,
    pub clients: Clients,
    pub tally: &'a mut Tally,
    /// By service: which change of it stands in the configuration.
    pub generation: Vec<u64>,
    /// The same of the last configuration that was taken over, and of the last one that was to be.
    pub applied: Vec<u64>,
    applying: Vec<u64>,
    /// By service: the supervisor that was killed last, and when.
    pub killed: Vec<(u32, u64)>,
    pub trouble: Option<(Trouble, u64)>,
    /// When there was too little of something.
    pub scarce: Vec<(u64, u64)>,
    /// When a status was spoilt last.
    pub spoilt: Option<u64>,
    /// What zei-init had open and held at the first quiet.
    pub weight: Option<(u64, u64)>,
    history: VecDeque<String>,
    ids: u64,
}

impl<'a> Chaos<'a> {
    pub fn begin(random: &mut Random, tally: &'a mut Tally) -> Chaos<'a> {
        let specs = draw::draw(random, nix::unistd::geteuid().is_root());
        let generation = vec![0; specs.len()];
        let world = World::boot(&specs, &generation);
        Chaos {
            journal: Journal::new(&world.directory.path().join("journal")),
            killed: vec![(0, 0); specs.len()],
            lives: specs.into_iter().map(Life::new).collect(),
            world,
            clients: Clients::default(),
            tally,
            applied: generation.clone(),
            applying: generation.clone(),
            generation,
            trouble: None,
            scarce: Vec::new(),
            spoilt: None,
            weight: None,
            history: VecDeque::new(),
            ids: 0,
        }
    }

    pub fn specs(&self) -> Vec<Spec> {
        self.lives.iter().map(|life| life.spec.clone()).collect()
    }

    pub fn name(&self, service: usize) -> String {
        self.lives[service].spec.name.clone()
    }

    pub fn note(&mut self, what: &str) {
        self.history.push_back(format!("{} {what}", clock::now().0));
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    pub fn new_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Puts down that something was asked for, with what follows from it for others.
    pub fn cause(&mut self, service: usize, id: u64, what: What) {
        let cause = Cause { id, what, from: clock::now().0, until: None, surely: false };
        self.lives[service].causes.push(cause);
        if matches!(what, What::Up | What::Once | What::Fresh) {
            let on: Vec<usize> = self.lives[service].spec.needs.iter().map(|need| need.on).collect();
            for on in on {
                self.lives[on].causes.push(Cause { what: What::Up, ..cause });
            }
        }
        if matches!(what, What::Fresh | What::Replaced) {
            let follows = |life: &Life| life.spec.needs.iter().any(|need| need.on == service && need.restart);
            let followers: Vec<usize> = (0..self.lives.len()).filter(|index| follows(&self.lives[*index])).collect();
            for follower in followers {
                self.cause(follower, id, What::Replaced);
            }
        }
        if what != What::Down {
            self.lives[service].stopped = self.lives[service].stopped.filter(|_| matches!(what, What::Signal(_)));
        }
    }

    pub fn is_there(&self, service: usize) -> bool {
        self.lives[service].spec.is_there(self.generation[service])
    }

    /// Applies the configuration, with all that differs from what was applied last.
    pub fn apply_changes(&mut self) {
        let (id, specs) = (self.new_id(), self.specs());
        self.world.configure(&specs, &self.generation);
        let (applied, wanted) = (self.applied.clone(), self.generation.clone());
        for service in (0..specs.len()).filter(|service| applied[*service] != wanted[*service]) {
            let is_there = |generation: &[u64]| specs[service].is_there(generation[service]);
            let what = match (is_there(&applied), is_there(&wanted)) {
                (true, true) => What::Replaced,
                (false, true) => What::Up,
                (true, false) => What::Down,
                (false, false) => continue,
            };
            self.cause(service, id, what);
            self.note(&format!("{id}: {what:?}: {}", specs[service].name));
        }
        self.note(&format!("{id}: zei-ctl apply"));
        self.clients.0.push(Client::start(&self.world, id, None, &["apply", "--timeout", TIMEOUT]));
        self.applying = wanted;
    }

    /// All that depends on a service, directly or not, as it is stopped with that.
    pub fn stops_with(&mut self, service: usize, id: u64) {
        let depends = |life: &Life| life.spec.needs.iter().any(|need| need.on == service);
        let dependents: Vec<usize> = (0..self.lives.len()).filter(|index| depends(&self.lives[*index])).collect();
        for dependent in dependents {
            self.cause(dependent, id, What::Down);
            self.stops_with(dependent, id);
        }
    }

    /// Starts zei-ctl with a verb for a service.
    pub fn command(&mut self, service: usize, verb: &str, what: What, wait: bool) {
        let id = self.new_id();
        self.cause(service, id, what);
        let name = match what {
            What::Signal(number) if verb != "reload" => format!("{}:{}", self.name(service), signal::Name(number)),
            _ => self.name(service),
        };
        let alone = self.lives[service].spec.needs.is_empty() || !matches!(verb, "start" | "restart" | "once");
        let mut words = vec![verb, &name, "--timeout", if alone { TIMEOUT } else { SHORT_TIMEOUT }];
        if !wait {
            words.push("--no-wait");
        }
        if verb == "stop" && id.is_multiple_of(3) {
            self.stops_with(service, id);
            words.push("--with-dependents");
        }
        self.lives[service].once |= verb == "once";
        self.note(&format!("{id}: zei-ctl {}", words.join(" ")));
        let client = Client::start(&self.world, id, Some(service), &words);
        self.clients.0.push(client);
    }

    /// Takes in what has happened since the last time.
    pub fn observe(&mut self) -> Result<(), String> {
        // Answers first: whatever stands in the journal by then has come before this.
        let answers = self.clients.answered();
        self.read()?;
        answers.into_iter().try_for_each(|answer| self.take(&answer))
    }

    pub fn read(&mut self) -> Result<(), String> {
        for line in self.journal.read() {
            let line = line?;
            let life = self.lives.iter_mut().find(|life| life.spec.name == line.service);
            self.tally.starts += u64::from(matches!(line.word, crate::journal::Word::Start { .. }));
            life.ok_or_else(|| format!("a service {} is not known", line.service))?.take(&line)?;
        }
        Ok(())
    }

    fn take(&mut self, answer: &Answer) -> Result<(), String> {
        let (id, verb) = (answer.client.id, answer.client.verb().to_owned());
        self.note(&format!("{id}: {} {}", answer.code, answer.text.trim_end()));
        self.tally.answer(&verb, answer.code);
        let no_wait = answer.client.words.iter().any(|word| word == "--no-wait");
        if answer.client.killed && answer.code < 0 {
            // Nobody knows whether it was sent.
            return Ok(());
        }
        for (index, life) in self.lives.iter_mut().enumerate() {
            let own = answer.client.service.is_none_or(|service| service == index);
            for cause in life.causes.iter_mut().filter(|cause| cause.id == id) {
                let want = matches!(cause.what, What::Up | What::Once | What::Fresh | What::Down);
                cause.surely = own && want && matches!(answer.code, 0 | 1);
                if !no_wait {
                    cause.until = Some(if own && want { answer.at } else { answer.at + LATER });
                }
            }
        }
        let Some(service) = answer.client.service else { return self.check_whole(answer) };
        match answer.code {
            // It is gone.
            1 | 4 if self.lives[service].spec.kind == crate::draw::Kind::Guest => Ok(()),
            0 => self.check_done(service, answer, no_wait),
            1 => self.check_failed(service, answer),
            _ if self.was_scarce(answer.client.from) => Ok(()),
            // A signal of the instant in which its supervisor was killed is sent once or not at all.
            111 if answer.text.contains("its supervisor was killed just then") => Ok(()),
            // A client looks there first.
            111 if self.spoilt.is_some_and(|at| at + LATER > answer.client.from) => Ok(()),
            code => Err(format!("zei-ctl {} exited {code}: {}", answer.client.words.join(" "), answer.text)),
        }
    }

    /// Of what concerns the whole tree.
    fn check_whole(&mut self, answer: &Answer) -> Result<(), String> {
        if answer.client.verb() == "apply" && answer.code == 0 {
            self.applied = self.applying.clone();
        }
        let may_fail = answer.client.verb() == "signal" || self.was_scarce(answer.client.from);
        if answer.code == 0 || (may_fail && answer.code != 102) {
            return Ok(());
        }
        Err(format!("zei-ctl {} exited {}: {}", answer.client.words.join(" "), answer.code, answer.text))
    }

    pub fn was_scarce(&self, since: u64) -> bool {
        self.trouble.is_some() || self.scarce.iter().any(|(_, until)| *until + LATER >= since)
    }

    fn rivals(&self, service: usize, answer: &Answer, of: impl Fn(What) -> bool) -> bool {
        let is_rival = |cause: &Cause| {
            let meets = cause.from <= answer.at && cause.until.is_none_or(|until| until >= answer.client.from);
            cause.id != answer.client.id && of(cause.what) && meets
        };
        self.lives[service].causes.iter().any(is_rival)
    }

    fn check_done(&mut self, service: usize, answer: &Answer, no_wait: bool) -> Result<(), String> {
        match answer.client.verb() {
            "start" | "restart" if !no_wait => {
                self.lives[service].once &= self.rivals(service, answer, |what| what == What::Once);
                Ok(())
            }
            "stop" if !no_wait => {
                if self.rivals(service, answer, |what| {
                    matches!(what, What::Up | What::Once | What::Fresh | What::Replaced)
                }) {
                    return Ok(());
                }
                self.lives[service].stopped = Some(answer.at);
                self.lives[service].has_seen_out()?;
                self.nothing_is_left(service)
            }
            "signal" if !answer.client.words.iter().any(|word| word.ends_with(":KILL")) => {
                let pid = answer.text.trim_end().rsplit_once("pid=").and_then(|(_, pid)| pid.parse().ok());
                let number = answer.client.words.get(1).and_then(|word| signal::parse(word.rsplit_once(':')?.1));
                if let (Some(pid), Some(number)) = (pid, number) {
                    self.lives[service].passed.push((number, pid));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check_failed(&self, service: usize, answer: &Answer) -> Result<(), String> {
        let life = &self.lives[service];
        let in_time = !answer.text.contains("in time") && !answer.text.contains("not sent");
        let waits = matches!(answer.client.verb(), "start" | "restart" | "once") && !life.spec.needs.is_empty();
        let goes = |what| matches!(what, What::Down | What::Signal(_) | What::Fresh | What::Replaced);
        let excused = match answer.client.verb() {
            "stop" => self
                .rivals(service, answer, |what| matches!(what, What::Up | What::Once | What::Fresh | What::Replaced)),
            "start" | "restart" | "once" => {
                let killed = life.runs.iter().any(|run| run.start + 100_000 > answer.at && !run.sent.is_empty());
                !life.is_lasting() || !life.spec.needs.is_empty() || killed || self.rivals(service, answer, goes)
            }
            _ => true,
        };
        if (in_time || waits) && (excused || self.was_scarce(answer.client.from)) {
            return Ok(());
        }
        Err(format!("zei-ctl {} exited 1: {}", answer.client.words.join(" "), answer.text))
    }

    /// After a stop nothing of a service is left, wherever that hides.
    pub fn nothing_is_left(&self, service: usize) -> Result<(), String> {
        let life = &self.lives[service];
        let (name, children) = (&life.spec.name, &life.children);
        let of_it = |seen: &crate::sight::Seen| {
            seen.service.as_ref() == Some(name)
                || (seen.service.is_none() && seen.name == "exe" && children.contains(&seen.pid))
        };
        let left: Vec<_> = self.world.sight.all().into_iter().filter(|seen| !seen.is_zombie() && of_it(seen)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{name} was stopped, and of it are left: {left:?}")) }
    }

    /// Everything that may help to understand a failure.
    pub fn report(&self) -> String {
        let mut text = "the last actions and answers:\n".to_owned();
        let rows = |text: &mut String, rows: &[String]| {
            for row in rows {
                let _in_memory = writeln!(text, "  {row}");
            }
        };
        rows(&mut text, &self.history.iter().cloned().collect::<Vec<_>>());
        let _in_memory = writeln!(text, "now {}; statuses:", clock::now().0);
        for life in &self.lives {
            let status = self.world.status(&life.spec.name).map(|status| status.encode().as_str().replace('\n', " "));
            let open: Vec<_> = life.causes.iter().rev().take(4).collect();
            let _in_memory =
                writeln!(text, "  {}\n    wants {:?}, causes {open:?}", status.unwrap_or_default(), life.wants());
        }
        text.push_str("the journal's tail:\n");
        rows(&mut text, &self.journal.tail);
        text.push_str("processes:\n");
        rows(&mut text, &self.world.sight.all().iter().map(|seen| format!("{seen:?}")).collect::<Vec<_>>());
        text.push_str("standard error of zei:\n");
        let err = self.world.err.all();
        rows(&mut text, &err[err.len().saturating_sub(80)..]);
        text
    }

    /// Lets time go by.
    pub fn pause(&self, microseconds: u64) {
        self.journal.pause(Duration::from_micros(microseconds));
    }
}
