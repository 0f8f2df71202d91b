//! What a run was made of.
//!
//! Owns: counting, and the table at the end. Must never: judge.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub rounds: u64,
    pub trees: u64,
    pub settled: u64,
    pub starts: u64,
    /// Kills of supervisors by SIGKILL, and those while the service's main process lived.
    pub kills: u64,
    pub kills_while_up: u64,
    actions: BTreeMap<String, u64>,
    phases: BTreeMap<String, u64>,
    answers: BTreeMap<String, u64>,
}

impl Tally {
    pub fn action(&mut self, name: &str) {
        *self.actions.entry(name.to_owned()).or_default() += 1;
    }

    pub fn phase(&mut self, name: &str) {
        *self.phases.entry(name.to_owned()).or_default() += 1;
    }

    pub fn answer(&mut self, verb: &str, code: i32) {
        *self.answers.entry(format!("{verb} {code}")).or_default() += 1;
    }

    /// All of it, with what was found wrong.
    pub fn show(&self, seconds: u64) -> String {
        let table = |title: &str, of: &BTreeMap<String, u64>| {
            let rows: String = of.iter().map(|(name, count)| format!("  {count:>7}  {name}\n")).collect();
            format!("{title}\n{rows}")
        };
        format!(
            "{} rounds in {} trees, {seconds} s; quiet {} times; {} starts of services\n\
             {} kills of supervisors, {} of them while the service ran\n\
             doubled 0, lost 0, restarted 0, zombies 0, strays 0\n{}{}{}",
            self.rounds,
            self.trees,
            self.settled,
            self.starts,
            self.kills,
            self.kills_while_up,
            table("actions", &self.actions),
            table("phases in which a supervisor was killed", &self.phases),
            table("answers of zei-ctl by exit code", &self.answers),
        )
    }
}
