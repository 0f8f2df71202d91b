//! zei-init, not as PID 1, that is killed while a supervisor is at any of its system calls: nothing outlives it.

use crate::{SINGLE, points, told};
use std::collections::BTreeMap;
use zei::protocol::status::State;
use zei_tests::eventually;
use zei_tests::process::is_alive;
use zei_tests::tracer::{Aim, Tracer};
use zei_tests::tree::Plan;

fn begin(at: u64) -> (Plan, Tracer) {
    let plan = Plan::new("services:\n  web: {command: ['@D/single', '@J', web, '@D/web.lock', child]}\n");
    let plan = plan.install("single", SINGLE).wrapper(&Tracer::WORDS);
    let aim = Aim { at, init: true, ..Aim::default() };
    let tracer = Tracer::new(plan.directory(), BTreeMap::from([("web".to_owned(), aim)]));
    (plan, tracer)
}

#[test]
fn nothing_outlives_a_killed_init_whatever_its_supervisor_does_just_then() {
    let (plan, tracer) = begin(u64::MAX);
    let mut tree = plan.start();
    tree.until_state("web", State::Running);
    let count = tracer.get("web").calls;
    assert_eq!(tree.stop().0, 0);
    tracer.join();
    let tried = points(count);
    for at in &tried {
        let (plan, tracer) = begin(*at);
        let mut tree = plan.spawn();
        assert_eq!(tree.end().0, -9, "{at} of {count}: {tree:?}");
        let aim = tracer.get("web");
        let supervisor = aim.killed.unwrap();
        tracer.join();
        let what = format!("gone, with zei-init killed at call {at} ({})", aim.call);
        eventually(&what, || !is_alive(supervisor));
        // Its lock says that there was one, once it has come so far; by now it has.
        eventually(&what, || {
            let mut all = told(&tree, "web", "up").into_iter().chain(told(&tree, "web", "child"));
            all.all(|pid| !is_alive(pid))
        });
    }
    println!("init: {count} points, {} tried", tried.len());
}
