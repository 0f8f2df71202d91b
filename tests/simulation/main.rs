//! Whole trees in virtual time: zei-init's `Tree`, a `Service` for each supervisor, and a world of processes,
//! latencies, commands, kills and refusals between them, drawn from a seed.
//!
//! Owns: the schedules and what must hold at their end. Must never: sleep, or read a clock or entropy.
//! A failure names its seed; `ZEI_SEED=N` runs that schedule alone.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

mod plan;
mod supervisor;
mod world;

use world::World;

const SCHEDULES: u64 = 100_000;

#[test]
fn every_promise_holds_in_every_schedule() {
    if let Some(seed) = std::env::var("ZEI_SEED").ok().and_then(|seed| seed.parse().ok()) {
        World::new(seed, true).live();
        return;
    }
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (thread..SCHEDULES).step_by(threads as usize) {
                    named(seed);
                }
            });
        }
    });
}

/// Runs one schedule; its seed follows whatever it panics with.
fn named(seed: u64) {
    struct Name(u64);
    impl Drop for Name {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the schedule was ZEI_SEED={}", self.0);
            }
        }
    }
    let _name = Name(seed);
    World::new(seed, false).live();
}
