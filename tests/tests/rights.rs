//! What the keys that give and take rights do, seen from inside and from `/proc`.

use std::fs;
use zei::protocol::status::State;
use zei_tests::skipped;
use zei_tests::tree::{Plan, Tree, is_root};

/// The value behind a name in a file of `/proc/PID`.
fn word(pid: u32, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} in {text}")).trim_start_matches(':').trim().to_owned()
}

fn limit(pid: u32, name: &str) -> Vec<String> {
    word(pid, "limits", name).split_whitespace().take(2).map(str::to_owned).collect()
}

fn nice(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Field 19 of proc(5); the name ends at the last parenthesis.
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().to_owned()
}

fn running(keys: &str) -> (Tree, u32) {
    let tree = Tree::start(&format!("services:\n  web: {{command: [sleep, infinity], {keys}}}\n"));
    let pid = tree.pid("web");
    (tree, pid)
}

#[test]
fn a_nice_value_is_that_of_the_service_and_not_of_its_supervisor() {
    let (tree, pid) = running("nice: 7");
    let supervisor = tree.status("web").unwrap().supervisor;
    assert_eq!((nice(pid), nice(supervisor)), ("7".to_owned(), nice(std::process::id())));
}

#[test]
fn an_oom_score_is_that_of_the_service_and_not_of_its_supervisor() {
    let (tree, pid) = running("oom_score_adj: 321");
    let score = |pid: u32| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    assert_eq!(score(pid), "321\n");
    assert_eq!(score(tree.status("web").unwrap().supervisor), score(std::process::id()));
}

#[test]
fn every_limit_reaches_the_process_and_its_mark_stays() {
    // The names that proc(5) has for them; units as there.
    let kinds = [
        ("as", "Max address space", 1_u64 << 40),
        ("core", "Max core file size", 0),
        ("cpu", "Max cpu time", 4000),
        ("data", "Max data size", 1 << 40),
        ("fsize", "Max file size", 1 << 40),
        ("memlock", "Max locked memory", 4096),
        ("msgqueue", "Max msgqueue size", 4096),
        ("nice", "Max nice priority", 0),
        ("nofile", "Max open files", 99),
        ("nproc", "Max processes", 4000),
        ("rss", "Max resident set", 1 << 40),
        ("rtprio", "Max realtime priority", 0),
        ("rttime", "Max realtime timeout", 77),
        ("sigpending", "Max pending signals", 100),
        ("stack", "Max stack size", 1 << 22),
    ];
    let keys: Vec<String> = kinds.iter().map(|(name, _, value)| format!("{name}: {value}")).collect();
    let (tree, pid) = running(&format!("ulimits: {{{}}}", keys.join(", ")));
    for (name, words, value) in kinds {
        assert_eq!(limit(pid, words), [value.to_string(), value.to_string()], "{name}");
    }
    // By that it is known to be a service's.
    assert_ne!(limit(pid, "Max file locks"), limit(tree.status("web").unwrap().supervisor, "Max file locks"));
    let (_tree, pid) = running("ulimits: {nofile: {soft: 64, hard: 128}, core: '0:4096'}");
    assert_eq!(
        (limit(pid, "Max open files"), limit(pid, "Max core file size")),
        (vec!["64".into(), "128".into()], vec!["0".into(), "4096".into()])
    );
}

#[test]
fn a_hook_has_the_rights_of_its_service() {
    let tree = Tree::start(
        "services:\n  web: {command: [sleep, infinity], pre_start: {shell: 'echo nice $(nice) files $(ulimit -n) >$J'}, \
         nice: 7, ulimits: {nofile: 99}}\n",
    );
    tree.journal.expect("nice 7 files 99");
}

#[test]
fn no_limit_keeps_a_process_from_becoming_its_program_or_from_saying_why_it_did_not() {
    let tree = Tree::start(
        "services:\n  web: {command: [sleep, infinity], stdout: @D/out, ulimits: {fsize: 0, nofile: 4}}\n  \
         bad: {command: [/no/such/program], restart: never, ulimits: {fsize: 0}}\n",
    );
    assert_eq!(limit(tree.pid("web"), "Max file size"), ["0", "0"]);
    let reason = tree.until_state("bad", State::Failed).reason;
    assert_eq!(reason.as_str(), "spawn:cannot execute the program: No such file or directory");
}

#[test]
fn no_new_privileges_is_set_where_the_key_says_so_and_else_as_it_was() {
    let (_tree, pid) = running("no_new_privileges: true");
    assert_eq!(word(pid, "status", "NoNewPrivs"), "1");
    let (_tree, pid) = running("restart: always");
    assert_eq!(word(pid, "status", "NoNewPrivs"), word(std::process::id(), "status", "NoNewPrivs"));
}

#[test]
fn another_user_has_the_capabilities_of_the_list_and_can_get_no_others() {
    if !is_root() {
        return assert!(skipped("root"));
    }
    let (_tree, pid) = running("user: '1234', capabilities: [NET_BIND_SERVICE, KILL]");
    let both = format!("{:016x}", 1 << 10 | 1 << 5);
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(word(pid, "status", name), both, "{name}");
    }
    assert!(word(pid, "status", "Uid").starts_with("1234\t1234\t1234"));
    // A child has them as well; one that says nothing has none.
    let (_tree, pid) = running("user: '1234'");
    assert_eq!(word(pid, "status", "CapEff"), "0".repeat(16));
}

#[test]
fn root_has_the_capabilities_of_the_list_and_no_others() {
    if !is_root() {
        return assert!(skipped("root"));
    }
    let (_tree, pid) = running("capabilities: [CHOWN]");
    for name in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(word(pid, "status", name), format!("{:016x}", 1), "{name}");
    }
    let (_tree, pid) = running("capabilities: []");
    for name in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(word(pid, "status", name), "0".repeat(16), "{name}");
    }
}

#[test]
fn an_unprivileged_service_can_take_port_80_with_the_one_capability_and_not_without() {
    if !is_root() {
        return assert!(skipped("root"));
    }
    // Within a network namespace of its own there is nobody whose port it could be.
    let plan = |keys: &str| {
        Plan::new(&format!(
            "services:\n  web: {{user: '1234', oneshot: true, restart: never{keys}, command: [perl, -MSocket, -e, \
             'socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(80, INADDR_ANY)) or die $!']}}\n  \
             hold: {{command: [sleep, infinity]}}\n"
        ))
        .wrapper(&["unshare", "--net"])
    };
    let tree = plan(", capabilities: [NET_BIND_SERVICE]").start();
    tree.until_state("web", State::Completed);
    let tree = plan("").start();
    tree.until_state("web", State::Failed);
}

#[test]
fn what_the_container_may_not_do_names_key_and_capability_and_a_wish_is_a_warning() {
    if !is_root() {
        return assert!(skipped("root"));
    }
    let lacking = |keys: &str, without: &str| {
        Plan::new(&format!(
            "services:\n  web: {{command: [sleep, infinity], restart: never, {keys}}}\n  hold: {{command: [sleep, infinity]}}\n"
        ))
        .wrapper(&["setpriv", "--bounding-set", without, "--inh-caps", without])
    };
    for (key, value, without, words) in [
        ("nice", "-5", "-sys_nice", "set nice, for which it needs CAP_SYS_NICE (-5): Permission denied"),
        (
            "oom_score_adj",
            "-999",
            "-sys_resource",
            "set oom_score_adj, for which it needs CAP_SYS_RESOURCE (-999): Permission denied",
        ),
        (
            "ulimits",
            "{rtprio: 99}",
            "-sys_resource",
            "set ulimits, for which it needs CAP_SYS_RESOURCE (rtprio 99 99): Operation not permitted",
        ),
        ("capabilities", "[CHOWN]", "-setpcap", "limit capabilities, for which it needs CAP_SETPCAP"),
        (
            "capabilities",
            "[NET_ADMIN, SYS_TIME]",
            "-net_admin",
            "give it capabilities that this container does not have, CAP_NET_ADMIN (as docker run --cap-add does)",
        ),
    ] {
        let tree = lacking(&format!("{key}: {value}"), without).start();
        tree.err.expect(&format!("web: cannot {words}"));
        let reason = tree.until_state("web", State::Failed).reason;
        assert!(reason.as_str().starts_with("spawn:cannot "), "{reason:?}");
    }
    for (keys, without, words) in [
        ("nice: -5?", "-sys_nice", "web: could not set nice, for which it needs CAP_SYS_NICE (-5?); runs without"),
        (
            "oom_score_adj: -999?",
            "-sys_resource",
            "web: could not set oom_score_adj, for which it needs CAP_SYS_RESOURCE (-999?); runs without",
        ),
        (
            "ulimits: {rtprio: '99?'}",
            "-sys_resource",
            "web: could not set ulimits, for which it needs CAP_SYS_RESOURCE (rtprio 99 99?); runs without",
        ),
        (
            "capabilities: ['NET_ADMIN?', CHOWN]",
            "-net_admin",
            "web: runs without CAP_NET_ADMIN (capabilities): the container has no more",
        ),
    ] {
        let tree = lacking(keys, without).start();
        tree.pid("web");
        tree.err.expect(words);
    }
}

#[test]
fn a_new_process_that_its_user_may_stop_does_nothing_any_more_but_become_its_program() {
    let has_strace = std::process::Command::new("strace").arg("-V").output().is_ok();
    if !((is_root() || skipped("root")) && (has_strace || skipped("strace(1)"))) {
        return;
    }
    let yaml = "services:
  web: {command: [sleep, '4011'], user: '4472', stdout: /dev/null, capabilities: [NET_BIND_SERVICE],
        no_new_privileges: true, ulimits: {nofile: 99, nproc: 4000}}
";
    let plan = Plan::new(yaml);
    let trace = plan.directory().join("trace");
    let mut tree = plan.wrapper(&["strace", "-D", "-f", "-qq", "-o", trace.to_str().unwrap()]).start();
    let pid = tree.until_state("web", State::Running).pid.unwrap().to_string();
    assert_eq!(tree.stop().0, 0);
    let trace = fs::read_to_string(trace).unwrap();
    let calls = trace.lines().filter_map(|line| line.strip_prefix(&pid)?.trim_start().split_once('('));
    let ends = |(call, words): &(&str, &str)| *call == "setresuid" && words.starts_with("4472, 4472, 4472)");
    let last = calls.skip_while(|call| !ends(call)).map(|(call, _)| call);
    // Whether it is done, what the switch would undo, and what would keep it from becoming the program.
    let last: Vec<&str> = last.skip(1).take_while(|call| *call != "execve").collect();
    assert_eq!(last, ["getresuid", "prctl", "prlimit64"], "{trace}");
}
