//! What a zei-init leaves to the program that takes its place, beside the plan and the run records.
//!
//! Owns: the text of it, which is JSON. Must never: hold what can be read from elsewhere, or be read by a zei-init of
//! another [`FORM`].

use crate::model::record::FORM;
use serde::{Deserialize, Serialize};

/// All of it. Descriptors by their numbers, services by their indices, times in milliseconds of CLOCK_MONOTONIC.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// [`FORM`].
    pub form: u32,
    /// The plan that holds.
    pub plan: i32,
    /// Where reports arrive.
    pub reports: i32,
    /// The run directory, where there is one.
    pub run_dir: Option<KeptRunDir>,
    /// Whether there are control groups.
    #[serde(default)]
    pub groups: bool,
    /// The services; `None` where there is none of that index.
    pub services: Vec<Option<KeptService>>,
    /// The log pump.
    pub pump: KeptPump,
    /// Whether not all that starts with the container was up yet.
    pub booting: bool,
    /// The random number in the names of notify sockets.
    pub seed: u64,
    /// The identity of this life of the container.
    pub boot: u64,
    /// How often its status was written.
    pub seq: u64,
    /// When it began.
    pub began: u64,
    /// Since when it has been in its state.
    pub since: u64,
    /// Dispositions that it was started with and services don't get.
    pub defaults: u64,
    /// How many reports were written.
    pub reported: u32,
    /// Those who wait until all programs are replaced.
    pub renewing: Vec<KeptAnswer>,
    /// What was asked for and has not begun: the line, and where it is answered.
    pub waiting: Vec<(String, Option<KeptAnswer>)>,
}

/// The descriptors of the run directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptRunDir {
    /// Itself.
    pub directory: i32,
    /// The directory of all services' directories.
    pub services: i32,
    /// The control FIFO.
    pub control: i32,
    /// The lock.
    pub lock: i32,
    /// Whether there is a journal.
    pub journal: bool,
}

/// What is known of a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptService {
    /// Its control FIFO.
    pub control: Option<i32>,
    /// Through what it tells that it is ready.
    pub voice: Option<i32>,
    /// Its supervisor's pid.
    pub supervisor: Option<u32>,
    /// Whether it has had another one before.
    #[serde(default = "or_so")]
    pub replaced: bool,
    /// `model::init::Seat`.
    pub at: u64,
    /// `model::init::Seat`.
    pub tries: u32,
    /// `model::init::Seat`.
    pub by_hand: u32,
    /// `model::init::Seat`.
    pub order: Option<(u32, u64)>,
    /// Its log pipes, where its output is pumped.
    pub pipes: Option<[Option<i32>; 2]>,
}

/// What an older zei-init does not tell.
fn or_so() -> bool {
    true
}

/// What is known of the log pump.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KeptPump {
    /// Its state and its intake.
    pub state: Option<[i32; 2]>,
    /// The pid of zei-log.
    pub pid: Option<u32>,
    /// What of the state is to be cleared.
    pub unclean: Vec<usize>,
}

/// Where a command is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// Its token.
    pub token: String,
    /// The number of its record.
    pub number: u64,
}

impl Kept {
    /// The text.
    pub fn encode(&self) -> Vec<u8> {
        // Plain structs of strings and numbers can't fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads it; says what is wrong where that can't be done.
    pub fn decode(bytes: &[u8]) -> Result<Kept, String> {
        /// What stands in every form.
        #[derive(Deserialize)]
        struct Head {
            form: u32,
        }
        let unreadable = |error: serde_json::Error| format!("what the running zei-init leaves can't be read: {error}");
        let Head { form } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if form != FORM {
            return Err(format!(
                "the running programs keep what they know in form {form}, the new ones in form {FORM}"
            ));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }

    /// All descriptors that are named.
    pub fn descriptors(&self) -> impl Iterator<Item = i32> {
        let run_dir = self.run_dir.iter().flat_map(|kept| [kept.directory, kept.services, kept.control, kept.lock]);
        let of_service = |service: &KeptService| [service.control, service.voice];
        let of_services = self.services.iter().flatten().flat_map(of_service).flatten();
        let pipes = self.services.iter().flatten().filter_map(|service| service.pipes).flatten().flatten();
        let pump = self.pump.state.into_iter().flatten();
        [self.plan, self.reports].into_iter().chain(run_dir).chain(of_services).chain(pipes).chain(pump)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn kept() -> Kept {
        let answer = KeptAnswer { token: "deploy01".into(), number: 3 };
        let service = KeptService {
            control: Some(20),
            voice: None,
            supervisor: Some(77),
            replaced: true,
            at: 5,
            tries: 1,
            by_hand: 2,
            order: Some((3, 9)),
            pipes: Some([Some(21), None]),
        };
        Kept {
            form: FORM,
            plan: 16,
            reports: 17,
            run_dir: Some(KeptRunDir { directory: 18, services: 19, control: 22, lock: 23, journal: true }),
            groups: true,
            services: vec![None, Some(service)],
            pump: KeptPump { state: Some([24, 25]), pid: Some(78), unclean: vec![2] },
            booting: false,
            seed: u64::MAX,
            boot: 1,
            seq: 2,
            began: 3,
            since: 4,
            defaults: 5,
            reported: 6,
            renewing: vec![answer.clone()],
            waiting: vec![("deploy02 apply\n".into(), Some(answer)), ("- apply\n".into(), None)],
        }
    }

    #[test]
    fn it_is_read_back_as_it_was_and_names_each_descriptor() {
        let kept = kept();
        assert_eq!(Kept::decode(&kept.encode()), Ok(kept.clone()));
        let mut named: Vec<i32> = kept.descriptors().collect();
        named.sort_unstable();
        assert_eq!(named, (16..=25).collect::<Vec<_>>());
    }

    #[test]
    fn another_form_and_what_is_no_such_text_are_told_apart() {
        let other = format!(r#"{{"form":{},"unknown":true}}"#, FORM + 1);
        let refused = Kept::decode(other.as_bytes()).unwrap_err();
        assert!(refused.contains(&format!("form {}", FORM + 1)), "{refused}");
        assert!(Kept::decode(b"#!/bin/sh").unwrap_err().contains("can't be read"));
        let short = format!(r#"{{"form":{FORM}}}"#);
        assert!(Kept::decode(short.as_bytes()).unwrap_err().contains("missing field"));
    }
}
