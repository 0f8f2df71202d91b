//! Whole trees in virtual time: zei-init's `Tree`, a `Service` for each supervisor, and a world of processes,
//! latencies, commands, kills and refusals between them, drawn from a seed.
//!
//! Owns: the schedules and what must hold at their end. Must never: sleep, or read a clock or entropy.
//! A failure names its seed; `ZEI_SEED=N` runs that schedule alone.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

mod plan;
mod processes;
mod supervisor;
mod world;

use world::{Reached, World};

const SCHEDULES: u64 = 100_000;

#[test]
fn every_promise_holds_in_every_schedule() {
    if let Some(seed) = std::env::var("ZEI_SEED").ok().and_then(|seed| seed.parse().ok()) {
        World::new(seed, true).live();
        return;
    }
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get() as u64);
    let mut reached = [0; Reached::COUNT];
    std::thread::scope(|scope| {
        let run = |thread| {
            let mut reached = [0; Reached::COUNT];
            for seed in (thread..SCHEDULES).step_by(threads as usize) {
                add(&mut reached, &named(seed));
            }
            reached
        };
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        for worker in workers {
            add(&mut reached, &worker.join().expect("no schedule broke a promise"));
        }
    });
    assert!(reached.iter().all(|count| *count > 100), "the schedules don't reach everything: {reached:?}");
}

fn add(to: &mut [u64; Reached::COUNT], more: &[u64; Reached::COUNT]) {
    to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
}

/// Runs one schedule; its seed follows whatever it panics with.
fn named(seed: u64) -> [u64; Reached::COUNT] {
    struct Name(u64);
    impl Drop for Name {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the schedule was ZEI_SEED={}", self.0);
            }
        }
    }
    let _name = Name(seed);
    let mut world = World::new(seed, false);
    world.live();
    world.reached
}
