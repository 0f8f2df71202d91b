//! The fault harness: real trees, zei-init as PID 1 of a namespace, to which the worst is done in an order drawn from a
//! seed, and which are judged from outside by what their services write into a journal and by /proc.
//!
//! Owns: how many rounds there are, and what is shown of a run that failed. Must never: leave processes behind.
//! `README.md` beside this file says how to run it.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod acts;
mod book;
mod chaos;
mod clients;
mod draw;
mod guard;
mod journal;
mod output;
#[path = "../sim/random.rs"]
#[allow(dead_code)]
mod random;
mod settle;
mod sight;
mod tally;
mod world;

use chaos::Chaos;
use random::Random;
use std::time::Instant;
use tally::Tally;

/// Where nobody says which and how many.
const SEED: u64 = 1;
const ROUNDS: u64 = 300;
/// So many at the most are done to one tree.
const ROUNDS_OF_A_TREE: u64 = 1000;
/// So often there is quiet, in which everything must be as it should be.
const ROUNDS_BETWEEN_QUIET: u64 = 50;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.replace('_', "").parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

#[test]
fn whatever_is_killed_nothing_is_doubled_lost_or_left() {
    if !world::is_possible() {
        return;
    }
    let (seed, rounds) = (number("ZEI_SEED").unwrap_or(SEED), number("ZEI_ROUNDS").unwrap_or(ROUNDS));
    let (began, mut tally, mut done) = (Instant::now(), Tally::default(), 0);
    while done < rounds {
        let mut random = Random::of(seed, tally.trees);
        tally.trees += 1;
        let mut chaos = Chaos::begin(&mut random, &mut tally);
        let count = (rounds - done).min(ROUNDS_OF_A_TREE);
        let outcome = (1..=count).try_for_each(|round| {
            chaos.tally.rounds += 1;
            chaos.round(&mut random)?;
            if round % ROUNDS_BETWEEN_QUIET == 0 || round == count { chaos.settle() } else { Ok(()) }
        });
        if let Err(problem) = outcome.and_then(|()| chaos.end()) {
            panic!("{problem}\nseed {seed}, round {} of {rounds}\n{}", chaos.tally.rounds, chaos.report());
        }
        done += count;
    }
    println!("seed {seed}: {}", tally.show(began.elapsed().as_secs()));
}
