//! Commands: sent, so that none is lost or acted on twice, and waited for.
//!
//! Owns: tokens, and when a line is sent again. Must never: decide what a command does.

use super::place::{Place, Target};
use super::wait::{self, Seen, watch};
use super::{Failure, Output, Patience, acks, json};
use crate::exit;
use crate::model::time::{Span, Time};
use crate::paths;
use crate::protocol::control::{Ack, Progress, Request, Token, Verb};
use crate::sys::clock::now;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use serde::Serialize;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, OwnedFd};

/// So often whoever waits for room in a FIFO makes sure that zei still lives.
const ROOM: Span = Span::seconds(1);

/// A command on its way.
#[derive(Clone, Copy, Debug)]
struct Order<'a> {
    target: Target,
    verb: Verb,
    /// What the verb is about, where it is not all said.
    argument: &'a str,
    token: Token,
    /// Who was the supervisor when it was sent last.
    supervisor: Option<u32>,
    /// How the answers stood before.
    mark: acks::Mark,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It will be acted on.
    Accepted,
    /// It came true.
    Done(String),
    /// It did not; the exit code and why.
    Failed(u8, String),
    /// No outcome in time.
    TimedOut(&'static str),
    /// zei ended before.
    Gone,
}

/// Sends a command to each target, and only then waits for them.
pub(crate) fn carry_out(place: &Place, orders: &[(Target, Verb)], patience: Patience, as_json: bool) -> Output {
    in_waves(place, &[orders.to_vec()], patience, as_json)
}

/// Carries out one wave of commands after the other, all within one time-out; what comes behind one that did not
/// come true is not sent. Where nobody wants to wait, a wave follows once the one before it is accepted.
pub(crate) fn in_waves(place: &Place, waves: &[Vec<(Target, Verb)>], patience: Patience, as_json: bool) -> Output {
    let deadline = wait::deadline(patience.timeout);
    let sentinel = place.sentinel();
    let mut settled: Vec<(Order<'_>, Outcome)> = Vec::new();
    for wave in waves {
        let came_true = |(_, outcome): &(Order<'_>, Outcome)| matches!(outcome, Outcome::Accepted | Outcome::Done(_));
        if let Some((order, _)) = settled.iter().find(|settled| !came_true(settled)) {
            let why = format!("not asked, as {} has not stopped", order.target.name());
            settled.extend(
                wave.iter().map(|(target, verb)| {
                    (Order::new(*target, *verb, ""), Outcome::Failed(exit::NOT_TRUE, why.clone()))
                }),
            );
            continue;
        }
        let send = |(target, verb): &(Target, Verb)| {
            let mut order = Order::new(*target, *verb, "");
            let sent = order.prepare(place).map_err(Outcome::from).and_then(|()| order.send(place, deadline));
            (order, sent.err())
        };
        let sent: Vec<_> = wave.iter().map(send).collect();
        settled.extend(sent.into_iter().map(|(order, ended)| {
            let settle = || order.settle(place, patience.no_wait, deadline, sentinel.as_ref());
            (order, ended.unwrap_or_else(|| settle().unwrap_or_else(Outcome::from)))
        }));
    }
    tell(&settled, as_json)
}

/// 16 letters and digits that nobody else draws: the keys of a `RandomState` come from getrandom(2).
fn fresh_token() -> Token {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let drawn = || RandomState::new().hash_one(std::process::id());
    let mut rest = (u128::from(drawn()) << 64) | u128::from(drawn());
    let mut text = String::new();
    for _ in 0..16 {
        text.extend(LETTERS.get((rest % 62) as usize).map(|letter| char::from(*letter)));
        rest /= 62;
    }
    Token::from(text.as_str())
}

/// Asks zei-init for something, and waits for what comes of it.
pub(crate) fn ask_init(place: &Place, verb: Verb, argument: &str, patience: Patience) -> (Token, Outcome) {
    let deadline = wait::deadline(patience.timeout);
    let sentinel = place.sentinel();
    let mut order = Order::new(Target::Init, verb, argument);
    let token = order.token;
    let sent = order.prepare(place).map_err(Outcome::from).and_then(|()| order.send(place, deadline));
    let settle = || order.settle(place, patience.no_wait, deadline, sentinel.as_ref()).unwrap_or_else(Outcome::from);
    (token, sent.err().unwrap_or_else(settle))
}

impl Outcome {
    /// There is no such service any more.
    fn of_removed(verb: Verb) -> Outcome {
        let text = "the service was removed from the configuration";
        match verb {
            Verb::Stop => Outcome::Done(String::from("removed")),
            _ => Outcome::Failed(exit::NO_SUCH_SERVICE, String::from(text)),
        }
    }

    /// The word for it, the exit code, and what else there is to say.
    pub(crate) fn told(&self) -> (&'static str, u8, &str) {
        match self {
            Outcome::Accepted => ("accepted", exit::OK, ""),
            Outcome::Done(text) => ("done", exit::OK, text.as_str()),
            Outcome::Failed(code, text) => ("failed", *code, text.as_str()),
            Outcome::TimedOut(text) => ("timeout", exit::NOT_TRUE, text),
            Outcome::Gone => ("gone", exit::NO_ZEI, "zei ended before it was done"),
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Outcome {
        Outcome::Failed(failure.code, failure.message)
    }
}

impl Order<'_> {
    fn new(target: Target, verb: Verb, argument: &str) -> Order<'_> {
        Order { target, verb, argument, token: fresh_token(), supervisor: None, mark: acks::Mark::default() }
    }

    /// Notes how things stand before it is sent.
    fn prepare(&mut self, place: &Place) -> Result<(), Failure> {
        self.supervisor = supervisor(place, &self.target)?;
        self.mark = acks::mark(place, self.target.file(paths::ACKS).as_str())?;
        Ok(())
    }

    /// What is written at once. The newline in front ends what somebody may have left there without one.
    fn line(&self) -> String {
        format!("\n{}", Request { token: Some(self.token), verb: self.verb, argument: self.argument })
    }

    /// Writes the line, waiting for room where a hundred others have just written theirs.
    fn send(&self, place: &Place, deadline: Option<Time>) -> Result<(), Outcome> {
        let fifo = place.control(&self.target)?;
        loop {
            match self.write(&fifo) {
                Ok(()) => return Ok(()),
                Err(Errno::EAGAIN) => {}
                Err(Errno::EINTR) => continue,
                Err(Errno::EPIPE) if place.has_lost(&self.target) => return Err(Outcome::of_removed(self.verb)),
                Err(Errno::EPIPE) => return Err(Outcome::Gone),
                Err(errno) => {
                    return Err(place.refused("write to", self.target.file(paths::CONTROL).as_str(), errno).into());
                }
            }
            let left = deadline.map_or(ROOM, |deadline| deadline.since(now()).min(ROOM));
            if left == Span(0) {
                return Err(Outcome::TimedOut("not sent, the control FIFO is full"));
            }
            let room =
                poll(&mut [PollFd::new(fifo.as_fd(), PollFlags::POLLOUT)], u16::try_from(left.0).unwrap_or(u16::MAX));
            if room == Ok(0) && !place.alive() {
                return Err(Outcome::Gone);
            }
        }
    }

    fn write(&self, fifo: &OwnedFd) -> nix::Result<()> {
        // Whole or not at all, as it is shorter than PIPE_BUF (pipe(7)).
        nix::unistd::write(fifo, self.line().as_bytes()).map(drop)
    }

    /// Writes a line without an answer once more, if there is room: who read it could not record it, and then did
    /// not act on it. Not once the answers were shortened, as its own may have been among those that were dropped.
    fn send_again(&self, place: &Place) -> Result<(), Failure> {
        if !self.mark.is_outdated(acks::mark(place, self.target.file(paths::ACKS).as_str())?) {
            // If it can't be written now, it will be the next time, or zei has ended, which is noticed elsewhere.
            let _next_time = place.control(&self.target).map(|fifo| self.write(&fifo));
        }
        Ok(())
    }

    fn settle(
        mut self,
        place: &Place,
        no_wait: bool,
        deadline: Option<Time>,
        sentinel: Option<&OwnedFd>,
    ) -> Result<Outcome, Failure> {
        let target = self.target;
        let mut accepted = false;
        let seen = watch(place, &target, deadline, sentinel, |thorough| {
            let mut ack = self.answer(place, thorough)?;
            if ack.is_none() && self.has_successor(place)? {
                // Its predecessor may have accepted it since: only what it surely left unseen is sent again.
                ack = self.answer(place, thorough)?;
                if ack.is_none() {
                    return Ok(self.send(place, deadline).err());
                }
            }
            if ack.is_none() && place.has_lost(&target) {
                return Ok(Some(Outcome::of_removed(self.verb)));
            }
            if ack.is_none() && thorough {
                self.send_again(place)?;
            }
            Ok(match ack {
                Some(Ack { progress: Progress::Accepted { .. }, .. }) => {
                    accepted = true;
                    no_wait.then_some(Outcome::Accepted)
                }
                Some(Ack { progress: Progress::Done, text, .. }) => Some(Outcome::Done(text.to_string())),
                Some(Ack { progress: Progress::Failed(code), text, .. }) => {
                    Some(Outcome::Failed(code, text.to_string()))
                }
                None => None,
            })
        })?;
        Ok(match seen {
            Seen::Found(outcome) => outcome,
            Seen::TimedOut if accepted => Outcome::TimedOut("not done in time; it goes on"),
            Seen::TimedOut => Outcome::TimedOut("not accepted in time; it may still be"),
            // The end of zei is what was asked for.
            Seen::Gone if self.verb == Verb::Shutdown => Outcome::Done(String::new()),
            Seen::Gone => Outcome::Gone,
        })
    }

    fn answer(&self, place: &Place, thorough: bool) -> Result<Option<Ack>, Failure> {
        let since = (!thorough).then_some(self.mark);
        acks::find(place, self.target.file(paths::ACKS).as_str(), &self.token, since)
    }

    /// Whether there is another supervisor than when the line was sent: the former one may have died with
    /// the line in its hands. Its successor gets it again, under the same token, which is acted on once
    /// however often it comes.
    fn has_successor(&mut self, place: &Place) -> Result<bool, Failure> {
        let supervisor = supervisor(place, &self.target)?;
        let replaced = supervisor.is_some() && supervisor != self.supervisor;
        if replaced {
            self.supervisor = supervisor;
        }
        Ok(replaced)
    }
}

fn supervisor(place: &Place, target: &Target) -> Result<Option<u32>, Failure> {
    match target {
        Target::Init => Ok(None),
        Target::Service(name) => Ok(place.status(name)?.map(|status| status.supervisor)),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    service: &'a str,
    command: String,
    outcome: &'a str,
    code: u8,
    pid: Option<u32>,
    merged: bool,
    text: &'a str,
}

fn tell(orders: &[(Order<'_>, Outcome)], as_json: bool) -> Output {
    let mut output = Output::default();
    let mut lines = Vec::new();
    for (order, outcome) in orders {
        let (word, code, text) = outcome.told();
        let (service, command) = (order.target.name(), order.verb.to_string());
        let blank = if text.is_empty() { "" } else { " " };
        if code != exit::OK {
            output.fail(Failure::new(code, format!("{service}: {command} failed:{blank}{text}")));
        } else if !as_json {
            output.out += &format!("{service}: {command} {word}{blank}{text}\n");
        }
        let pid = text.split(' ').find_map(|part| part.strip_prefix("pid=")?.parse().ok());
        let merged = text.split(' ').any(|part| part == "merged");
        lines.push(Line { service, command, outcome: word, code, pid, merged, text });
    }
    if as_json {
        output.out = json(&lines);
    }
    output
}
