//! The zei-ctl processes that are under way.
//!
//! Owns: starting them, killing them, and taking their answers. Must never: judge these.

use crate::world::World;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use zei::sys::clock;

/// A command line that somebody has typed.
#[derive(Debug)]
pub struct Client {
    pub id: u64,
    pub words: Vec<String>,
    /// The service that it is about; `None`: the whole tree.
    pub service: Option<usize>,
    pub from: u64,
    /// The harness has killed it.
    pub killed: bool,
    child: Child,
}

/// What came of it.
#[derive(Debug)]
pub struct Answer {
    pub client: Client,
    /// Its exit code; -N where signal N ended it.
    pub code: i32,
    /// What it said.
    pub text: String,
    pub at: u64,
}

impl Client {
    pub fn start(world: &World, id: u64, service: Option<usize>, words: &[&str]) -> Client {
        let from = clock::now().0;
        let child = world.client(words).spawn().expect("zei-ctl can be started");
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Client { id, words, service, from, killed: false, child }
    }

    pub fn kill(&mut self) {
        self.killed = true;
        let _gone = self.child.kill();
    }

    pub fn verb(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

/// Those that have not answered.
#[derive(Debug, Default)]
pub struct Clients(pub Vec<Client>);

impl Clients {
    /// Those that have ended since the last call.
    pub fn answered(&mut self) -> Vec<Answer> {
        let (mut ended, mut open) = (Vec::new(), Vec::new());
        for mut client in std::mem::take(&mut self.0) {
            match client.child.try_wait().expect("it is a child") {
                None => open.push(client),
                Some(status) => {
                    let mut text = String::new();
                    // What it says fits into a pipe.
                    let _utf_8 = client.child.stdout.take().map(|mut out| out.read_to_string(&mut text));
                    let _utf_8 = client.child.stderr.take().map(|mut err| err.read_to_string(&mut text));
                    let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
                    ended.push(Answer { client, code, text, at: clock::now().0 });
                }
            }
        }
        self.0 = open;
        ended
    }

    pub fn of(&self, service: usize) -> usize {
        self.0.iter().filter(|client| client.service == Some(service)).count()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for client in &mut self.0 {
            let _gone = client.child.kill();
            let _reaped = client.child.wait();
        }
    }
}
