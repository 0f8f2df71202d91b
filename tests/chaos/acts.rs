//! What is done to a tree.
//!
//! Owns: drawing and doing it. Must never: judge.

use crate::book::What;
use crate::chaos::{Chaos, Trouble};
use crate::journal::Job;
use crate::random::Random;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};
use zei::paths;
use zei::protocol::status::{State, Status};
use zei::signal;
use zei::sys::clock;

/// A supervisor that was left alone for so long is replaced at once.
const STEADY: u64 = 10_000;
/// A hook that is to come is waited for so long.
const HOOK: Duration = Duration::from_millis(200);
/// So many clients may be under way, of all services and of one.
const CLIENTS: usize = 8;
const CLIENTS_OF_ONE: usize = 3;

impl Chaos<'_> {
    /// One action, and a pause.
    pub fn round(&mut self, random: &mut Random) -> Result<(), String> {
        self.relieve(false);
        match random.below(1000) {
            0..320 => self.kill_a_supervisor(random),
            320..380 => self.kill_in_a_hook(random)?,
            380..420 => self.hit_a_supervisor(random),
            420..500 => self.kill_a_service(random),
            500..620 => self.ask(random, 1),
            620..680 => self.ask(random, 3),
            680..880 => self.kill_meanwhile(random),
            880..910 => self.kill_a_client(random),
            910..940 => self.write_a_line(random),
            940..955 => self.spoil_a_file(random),
            955..970 => self.kill_the_pump(),
            970..985 => self.apply(random),
            _ => self.make_trouble(random),
        }
        self.pause(random.below(40_000));
        self.observe()
    }

    fn status_of(&self, service: usize) -> Option<Status> {
        self.world.status(&self.lives[service].spec.name)
    }

    /// One whose supervisor lives, and best one that has been left alone long enough and whose service runs.
    fn choose(&self, random: &mut Random) -> Option<(usize, Status)> {
        let now = clock::now().0;
        let all: Vec<(usize, Status)> = (0..self.lives.len())
            .filter_map(|service| Some((service, self.status_of(service)?)))
            .filter(|(service, status)| status.supervisor != self.killed[*service].0)
            .collect();
        let up: Vec<_> = all.iter().filter(|(_, status)| status.pid.is_some()).cloned().collect();
        let steady = up.iter().filter(|(service, _)| self.killed[*service].1 + STEADY < now).cloned().collect();
        let lists = [steady, up, all];
        let first = if random.one_in(6) { 2 } else { 0 };
        let list = lists[first..].iter().find(|list| !list.is_empty())?;
        list.get(random.below(list.len() as u64) as usize).cloned()
    }

    fn any(&self, random: &mut Random) -> usize {
        random.below(self.lives.len() as u64) as usize
    }

    fn kill_a_supervisor(&mut self, random: &mut Random) {
        let Some((service, _)) = self.choose(random) else { return self.tally.action("nobody to kill") };
        self.kill_supervisor(service);
    }

    /// The supervisor as it stands in the status, if it is one.
    fn kill_supervisor(&mut self, service: usize) {
        let Some(status) = self.status_of(service) else { return };
        let seen = self.world.sight.one(status.supervisor);
        if seen.is_none_or(|seen| seen.name != "zei-supervise" || seen.is_zombie()) {
            return self.tally.action("nobody to kill");
        }
        let is_up = status.pid.is_some_and(|pid| self.world.sight.lives(pid));
        if !self.world.signal(status.supervisor, &[signal::KILL]) {
            return self.tally.action("nobody to kill");
        }
        self.killed[service] = (status.supervisor, clock::now().0);
        let phase = phase(&status);
        self.note(&format!("KILL to zei-supervise {} of {} ({phase})", status.supervisor, status.name));
        self.tally.kills += 1;
        self.tally.kills_while_up += u64::from(is_up);
        self.tally.action("KILL zei-supervise");
        self.tally.phase(&phase);
    }

    /// Signals that a supervisor takes, and goes on.
    fn hit_a_supervisor(&mut self, random: &mut Random) {
        let Some((service, status)) = self.choose(random) else { return };
        let (name, numbers): (_, &[u8]) = random.pick(&[
            ("SEGV zei-supervise", &[11][..]),
            ("TERM zei-supervise", &[signal::TERM][..]),
            ("STOP+CONT zei-supervise", &[19][..]),
        ]);
        self.note(&format!("{name} {} of {}", status.supervisor, self.name(service)));
        self.tally.action(name);
        if self.world.signal(status.supervisor, numbers) && numbers == [19] {
            self.pause(random.below(30_000));
            self.world.signal(status.supervisor, &[signal::CONT]);
        }
    }

    /// The main process, and sometimes its supervisor with it, before or after.
    fn kill_a_service(&mut self, random: &mut Random) {
        let service = self.any(random);
        let Some(pid) = self.status_of(service).and_then(|status| status.pid) else { return };
        let number = random.pick(&[signal::KILL, signal::KILL, signal::TERM, signal::USR1]);
        let with = random.below(4);
        if with == 0 {
            self.kill_supervisor(service);
        }
        // Before it can be seen.
        let Some(run) = self.lives[service].run_of(pid) else { return };
        run.sent.push(number);
        let sent = self.world.signal(pid, &[number]);
        self.note(&format!("{} to {pid} of {}: {sent}", signal::Name(number), self.name(service)));
        self.tally.action(if number == signal::KILL { "KILL a service" } else { "TERM or USR1 to a service" });
        if with == 1 {
            self.kill_supervisor(service);
        }
    }

    /// Commands at once, to one service.
    fn ask(&mut self, random: &mut Random, most: u64) {
        let service = self.any(random);
        for _ in 0..=random.below(most) {
            self.ask_one(service, random);
        }
    }

    /// Not too much at once, and only what is there.
    fn may_ask(&mut self, service: usize) -> bool {
        if self.clients.0.len() >= CLIENTS || self.clients.of(service) >= CLIENTS_OF_ONE {
            self.tally.action("enough commands");
            return false;
        }
        if !self.is_there(service) {
            self.tally.action("not there");
        }
        self.is_there(service)
    }

    fn ask_one(&mut self, service: usize, random: &mut Random) {
        if !self.may_ask(service) {
            return;
        }
        let (up, _) = self.lives[service].wants();
        let verb = if up {
            random.pick(&["stop", "restart", "restart", "start", "signal", "kill", "reload", "once"])
        } else {
            random.pick(&["start", "start", "restart", "stop"])
        };
        let what = match verb {
            "stop" => What::Down,
            "restart" => What::Fresh,
            "start" => What::Up,
            "once" => What::Once,
            "signal" => What::Signal(random.pick(&[signal::USR1, 12, signal::HUP])),
            "reload" => What::Signal(signal::HUP),
            _ => What::Signal(signal::KILL),
        };
        self.tally.action(&format!("zei-ctl {verb}"));
        self.command(service, verb, what, !random.one_in(6));
    }

    /// A command, and its supervisor is killed while that is under way.
    fn kill_meanwhile(&mut self, random: &mut Random) {
        let service = self.any(random);
        self.ask_one(service, random);
        self.pause(random.below(9000));
        self.kill_supervisor(service);
    }

    /// A supervisor while a hook of its service runs, or when that has just ended.
    fn kill_in_a_hook(&mut self, random: &mut Random) -> Result<(), String> {
        let has_hook = |service: &usize| self.lives[*service].spec.has_hook(Job::Post);
        let hooked: Vec<usize> = (0..self.lives.len()).filter(has_hook).collect();
        // Whoever is replaced later finds the hook at its end.
        let now = clock::now().0;
        let is_steady = |service: &usize| self.killed[*service].1 + STEADY < now && self.lives[*service].wants().0;
        let steady: Vec<usize> = hooked.iter().copied().filter(is_steady).collect();
        let service = random.pick(if steady.is_empty() { &hooked } else { &steady });
        let (before, deadline) = (self.lives[service].job, Instant::now() + HOOK);
        if self.may_ask(service) {
            let (verb, what) = match self.lives[service].wants().0 {
                true => random.pick(&[("restart", What::Fresh), ("restart", What::Fresh), ("stop", What::Down)]),
                false => ("start", What::Up),
            };
            self.command(service, verb, what, true);
        }
        while self.lives[service].job == before {
            if Instant::now() > deadline {
                self.tally.action("no hook to kill in");
                return Ok(());
            }
            self.journal.wait(deadline.saturating_duration_since(Instant::now()));
            self.observe()?;
        }
        self.pause(random.below(40_000));
        self.tally.action("KILL zei-supervise in a hook");
        self.kill_supervisor(service);
        Ok(())
    }

    fn kill_a_client(&mut self, random: &mut Random) {
        let service = self.any(random);
        let before = self.clients.0.len();
        self.ask_one(service, random);
        self.pause(random.below(8000));
        if let Some(client) = self.clients.0.get_mut(before) {
            client.kill();
            let id = client.id;
            self.note(&format!("{id}: zei-ctl was killed"));
            self.tally.action("KILL zei-ctl");
        }
    }

    /// As a shell does it, and as nobody should.
    fn write_a_line(&mut self, random: &mut Random) {
        let service = self.any(random);
        let (line, what) = random.pick(&[
            ("- restart\n", Some(What::Fresh)),
            ("- start\n", Some(What::Up)),
            ("- stop\n", Some(What::Down)),
            ("- signal USR1\n", Some(What::Signal(signal::USR1))),
            ("\n\n\n", None),
            ("- no such verb\n", None),
            ("no end, and \0 in it", None),
            ("abcdefgh00 stop and more\n", None),
        ]);
        if let Some(what) = what {
            let id = self.new_id();
            self.cause(service, id, what);
        }
        let path = self.world.file(&self.name(service), paths::CONTROL);
        let fifo = File::options().write(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
        let long = "x".repeat(2000);
        let bytes = if random.one_in(10) { long.as_bytes() } else { line.as_bytes() };
        let written = fifo.and_then(|mut fifo| fifo.write(bytes));
        self.note(&format!("{:?} written to {}: {written:?}", line, self.name(service)));
        self.tally.action(if what.is_some() { "a line into a FIFO" } else { "garbage into a FIFO" });
    }

    fn spoil_a_file(&mut self, random: &mut Random) {
        let service = self.any(random);
        let file = random.pick(&[paths::STATUS, paths::ACKS, paths::EVENT, "other"]);
        let path = self.world.file(&self.name(service), file);
        let busy = self.lives[service].causes.iter().any(|cause| cause.until.is_none());
        if file == paths::ACKS && busy {
            // What was accepted stands nowhere else.
            return;
        }
        let removed = (random.one_in(2) && file != paths::STATUS) || file == paths::EVENT;
        let done = if removed { fs::remove_file(&path) } else { fs::write(&path, "garbage\n") };
        self.note(&format!(
            "{file} of {} {}: {done:?}",
            self.name(service),
            if removed { "removed" } else { "spoilt" }
        ));
        self.tally.action(&format!("{file} {}", if removed { "removed" } else { "spoilt" }));
        if file == paths::STATUS {
            // Whoever comes next writes it anew.
            self.spoilt = Some(clock::now().0);
            self.kill_supervisor_of(service);
        }
    }

    /// Where its status can't tell which that is.
    fn kill_supervisor_of(&mut self, service: usize) {
        let name = self.name(service);
        let all = self.world.sight.all();
        let of_it = |pid: u32| {
            let line = fs::read(self.world.sight.0.join(pid.to_string()).join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(name.as_bytes())
        };
        let found = all.iter().find(|seen| seen.name == "zei-supervise" && of_it(seen.pid)).map(|seen| seen.pid);
        if let Some(pid) = found {
            self.world.signal(pid, &[signal::KILL]);
            self.killed[service] = (pid, clock::now().0);
        }
    }

    fn kill_the_pump(&mut self) {
        let pump = self.world.sight.all().into_iter().find(|seen| seen.name == "zei-log" && !seen.is_zombie());
        let Some(pump) = pump else { return };
        self.world.signal(pump.pid, &[signal::KILL]);
        self.note(&format!("KILL to zei-log {}", pump.pid));
        self.tally.action("KILL zei-log");
    }

    /// One service differs.
    fn apply(&mut self, random: &mut Random) {
        if self.clients.0.iter().any(|client| client.verb() == "apply") {
            return;
        }
        let service = self.any(random);
        self.generation[service] += 1;
        self.apply_changes();
        self.tally.action("zei-ctl apply");
    }

    fn make_trouble(&mut self, random: &mut Random) {
        if self.trouble.is_some() {
            return;
        }
        let trouble = random.pick(&[Trouble::Stopped, Trouble::Full, Trouble::Crowded, Trouble::Closed]);
        let done = match trouble {
            Trouble::Stopped => {
                self.world.signal_init(19);
                true
            }
            Trouble::Full => {
                let filler = File::create(self.filler());
                filler.is_ok_and(|mut filler| {
                    while filler.write(&[0; 4096]).is_ok_and(|length| length > 0) {}
                    true
                })
            }
            Trouble::Crowded => self.world.guard.as_ref().is_some_and(|guard| guard.limit(Some(random.below(3)))),
            Trouble::Closed => self.limit_descriptors(self.world.init, "12:"),
        };
        if done {
            // Hooks may find no room.
            self.lives.iter_mut().for_each(|life| life.excused |= trouble != Trouble::Stopped);
            let until = clock::now().0 + 20 + random.below(300);
            self.trouble = Some((trouble, until));
            self.note(&format!("{trouble:?} until {until}"));
            self.tally.action(&format!("trouble: {trouble:?}"));
        }
    }

    /// What makes it harder ends, when its time is up or `now`.
    pub fn relieve(&mut self, now: bool) {
        let at = clock::now().0;
        let Some((trouble, _)) = self.trouble.filter(|(_, until)| now || at >= *until) else { return };
        match trouble {
            Trouble::Stopped => self.world.signal_init(signal::CONT),
            Trouble::Full => {
                let _was_never_there = fs::remove_file(self.filler());
            }
            Trouble::Crowded => {
                let _as_ever = self.world.guard.as_ref().map(|guard| guard.limit(None));
            }
            Trouble::Closed => {
                self.limit_descriptors(self.world.init, "1024:");
                // Whoever was born meanwhile has inherited it.
                for pid in zei_tests::process::children(self.world.init) {
                    if zei_tests::process::name(pid).is_some_and(|name| name.starts_with("zei-")) {
                        self.limit_descriptors(pid, "1024:");
                    }
                }
            }
        }
        if trouble != Trouble::Stopped {
            self.scarce.push((0, at));
        }
        self.trouble = None;
        self.note(&format!("{trouble:?} is over"));
    }

    fn filler(&self) -> std::path::PathBuf {
        self.world.run().with_file_name("filler")
    }

    /// The soft limit of a process of zei's.
    fn limit_descriptors(&self, pid: u32, limit: &str) -> bool {
        let words = ["--pid", &pid.to_string(), &format!("--nofile={limit}")];
        Command::new("prlimit").args(words).output().is_ok_and(|output| output.status.success())
    }
}

/// What a service was doing, as short as it can be told apart.
fn phase(status: &Status) -> String {
    let reason = status.reason.as_str();
    let reason = reason.split(':').next().unwrap_or_default();
    match status.state {
        State::Stopping | State::Starting if !reason.is_empty() => format!("{} {reason}", status.state.word()),
        _ => status.state.word().to_owned(),
    }
}
