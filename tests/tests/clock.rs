//! A step of the wall clock moves no deadline.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};
use zei::protocol::status::State;
use zei_tests::skipped;
use zei_tests::tree::{Plan, Tree, can_be_pid_1};

/// Wraps syscall(2), by which the programs ask for the time: CLOCK_REALTIME is off by as many seconds as the file says.
const WRAPPER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
long read(int, void *, unsigned long);
int close(int);
typedef long (*call)(long, long, long, long, long, long, long);
long syscall(long number, long a, long b, long c, long d, long e, long f) {
    static call real;
    if (real == NULL) real = (call)dlsym(RTLD_NEXT, "syscall");
    long result = real(number, a, b, c, d, e, f);
    if (number == SYS_clock_gettime && a == CLOCK_REALTIME && result == 0) {
        char text[32] = {0};
        int file = open(OFFSET, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0) ((struct timespec *)b)->tv_sec += atol(text);
            close(file);
        }
    }
    return result;
}
"#;

/// All programs of the tree are wrapped, through a private /etc with an ld.so.preload: what zei-init hands to its
/// supervisors holds no environment. Only programs that are linked dynamically can be, as those of a debug build are.
const PRIVATE_ETC: &str = "cp -a /etc @D/etc && echo @D/clock.so >@D/etc/ld.so.preload && mount --bind @D/etc /etc \
                           && exec \"$@\"";

const DAY: i64 = 86_400;

fn wrap(plan: Plan) -> Option<Plan> {
    let directory = plan.directory().to_path_buf();
    let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
    fs::write(&source, WRAPPER).unwrap();
    fs::write(directory.join("offset"), "0").unwrap();
    let define = format!("-DOFFSET=\"{}\"", directory.join("offset").display());
    let built = Command::new("cc").args(["-shared", "-fPIC", &define, "-o"]).args([&library, &source]).status();
    let Ok(built) = built else {
        let _said = skipped("a C compiler");
        return None;
    };
    assert!(built.success(), "the wrapper does not compile");
    let script = PRIVATE_ETC.replace("@D", directory.to_str().unwrap());
    Some(plan.wrapper(&["sh", "-c", &script, "sh"]))
}

/// Steps the clock; replaced by renaming, so that nobody reads half of it.
fn step(tree: &Tree, seconds: i64) {
    let new = tree.directory().join("offset.new");
    fs::write(&new, seconds.to_string()).unwrap();
    fs::rename(new, tree.directory().join("offset")).unwrap();
}

#[test]
fn a_wall_clock_that_is_stepped_by_a_day_either_way_moves_no_deadline() {
    if !can_be_pid_1() {
        return;
    }
    let yaml = "services:\n  hold: {command: [sleep, infinity]}\n  \
         job: {command: ['true'], oneshot: true, interval: 1500ms}\n  \
         crash: {shell: 'exit 1', restart: always, restart_delay: 1500ms}\n  \
         stubborn: {shell: \"trap '' TERM; echo up >$J; while :; do sleep 1; done\", stop_grace_period: 1500ms}\n";
    let Some(plan) = wrap(Plan::new(yaml).pid_1()) else { return };
    let mut tree = plan.start();
    // Its state is of a time before all steps.
    let stubborn = tree.until_state("stubborn", State::Running);
    tree.journal.listen("the trap", |lines| lines.iter().any(|line| line == "up").then_some(()));
    for seconds in [DAY, -DAY, 0] {
        for name in ["job", "crash"] {
            let states = [State::Scheduled, State::RestartPending];
            let waits = tree.until(name, "between two runs", |status| states.contains(&status.state));
            let before = Instant::now();
            step(&tree, seconds);
            let next = tree.until(name, "running again", |status| status.run > waits.run);
            let (took, planned) = (before.elapsed(), next.since.max(waits.next.unwrap()));
            assert!(took < Duration::from_secs(5), "{name} after a step to {seconds} s: {took:?}");
            assert!(planned >= waits.next.unwrap(), "{name} came too soon after a step to {seconds} s: {next:?}");
        }
    }
    // The wall clock is what it was stepped to, so the wrapper works at all.
    step(&tree, DAY);
    assert_eq!(tree.ctl("stop stubborn --no-wait").code, 0);
    let stopping = tree.until_state("stubborn", State::Stopping);
    let wall = |status: &zei::protocol::status::Status| status.since_wall - status.since;
    let apart = wall(&stopping) - wall(&stubborn);
    assert!(apart.abs_diff(DAY.unsigned_abs() * 1000) < 10_000, "the wall clock moved by {apart} ms");
    step(&tree, -DAY);
    let stopped = tree.until_state("stubborn", State::Stopped);
    let took = stopped.since - stopping.since;
    assert!((1500..5000).contains(&took), "killed after {took} ms");
    let before = Instant::now();
    step(&tree, DAY);
    let (code, _) = tree.stop();
    assert!(code == 0 && before.elapsed() < Duration::from_secs(10), "{code}, {:?}", before.elapsed());
}
