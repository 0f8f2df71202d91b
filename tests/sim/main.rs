//! Whole trees in virtual time: zei-init's `Tree`, a `Service` for each supervisor, and a world of processes, jobs,
//! messages, latencies, commands, kills and refusals between them, drawn from a seed.
//!
//! Owns: the schedules, and how many of them run. Must never: sleep, or read a clock or entropy.
//! `README.md` beside this file says how to run it, and what a failure prints.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod acts;
mod book;
mod commands;
mod draw;
mod impossible;
mod init;
mod plan;
mod point;
mod processes;
mod random;
mod reached;
mod shrink;
mod supervisor;
mod world;

use plan::Plan;
use reached::Reached;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use world::{Violation, World};

/// So many schedules run where nobody says how many.
const SCHEDULES: u64 = 20_000;
/// From so many on, everything must have been reached.
const ENOUGH_FOR_ALL: u64 = 10_000_000;
/// A schedule with fewer events does not count.
const EVENTS: u64 = 20;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.replace('_', "").parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Runs a plan: how many events that took, and what was wrong.
fn run(plan: &Plan, told: bool, reached: &mut Reached) -> (u64, Option<Violation>) {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(plan, told, reached);
        world.live();
        (world.events, world.violation)
    }));
    lived.unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        (0, Some(Violation { what: "panic", text: text.unwrap_or_default() }))
    })
}

/// Shows one schedule, made as small as it still fails.
fn show(seed: u64) {
    let plan = draw::draw(seed);
    let Some(violation) = run(&plan, false, &mut Reached::new()).1 else {
        run(&plan, true, &mut Reached::new());
        return println!("ZEI_SEED={seed}: nothing is wrong");
    };
    let small = shrink::shrink(&plan, &violation);
    println!("ZEI_SEED={seed}, made as small as it still fails:\n{}", small.print());
    let violation = run(&small, true, &mut Reached::new()).1.unwrap_or(violation);
    panic!("ZEI_SEED={seed}: {}: {}", violation.what, violation.text);
}

/// Goes on after failures, and lists them by what is wrong, each with a seed: for whoever works on the model.
fn survey(schedules: u64) {
    let mut kinds: std::collections::BTreeMap<&str, (u64, u64, String)> = std::collections::BTreeMap::new();
    for seed in 0..schedules {
        if let Some(violation) = run(&draw::draw(seed), false, &mut Reached::new()).1 {
            let line = violation.text.lines().next().unwrap_or_default().chars().take(300).collect();
            kinds.entry(violation.what).or_insert((0, seed, line)).0 += 1;
        }
    }
    for (what, (count, seed, line)) in &kinds {
        println!("{count:>8}  {what}, as with ZEI_SEED={seed}: {line}");
    }
    assert!(kinds.is_empty(), "{} kinds of failures", kinds.len());
}

/// Shows the first schedule in which something is reached, by the name that `never reached` gives it.
fn find(what: &str) {
    let leads = |seed: &u64| {
        let mut reached = Reached::new();
        let _outcome = run(&draw::draw(*seed), false, &mut reached);
        reached.has(what)
    };
    let seed = (0..ENOUGH_FOR_ALL).find(leads).unwrap_or_else(|| panic!("no schedule leads to {what}"));
    println!("ZEI_SEED={seed} leads to {what}");
    run(&draw::draw(seed), true, &mut Reached::new());
}

#[test]
fn every_promise_holds_in_every_schedule() {
    if let Some(seed) = number("ZEI_SEED") {
        return show(seed);
    }
    if let Some(schedules) = number("ZEI_SURVEY") {
        return survey(schedules);
    }
    if let Ok(what) = std::env::var("ZEI_FIND") {
        return find(&what);
    }
    let first = number("ZEI_FIRST").unwrap_or(0);
    let schedules = number("ZEI_SCHEDULES").unwrap_or(SCHEDULES);
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get() as u64);
    let (next, counted, failed) = (AtomicU64::new(first), AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let mut reached = Reached::new();
        while counted.load(Ordering::Relaxed) < schedules && !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let (events, violation) = run(&draw::draw(seed), false, &mut reached);
            if violation.is_some() {
                failed.store(true, Ordering::Relaxed);
                show(seed);
            }
            counted.fetch_add(u64::from(events >= EVENTS), Ordering::Relaxed);
        }
        reached
    };
    let mut reached = Reached::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            reached.add(&worker.join().expect("no schedule broke a promise"));
        }
    });
    let (all, counted) = (next.into_inner() - first, counted.into_inner());
    println!("{}", reached.print());
    println!("{all} schedules from ZEI_SEED={first} on, {counted} of them with at least {EVENTS} events");
    let (missing, absurd) = reached.gaps();
    assert!(absurd.is_empty(), "what can't happen did:\n{}", absurd.join("\n"));
    assert!(missing.is_empty() || schedules < ENOUGH_FOR_ALL, "never reached:\n{}", missing.join("\n"));
}
