//! Each sentence, word for word.

use super::*;
use crate::model::switching::Ids;

/// Root in a container in which nothing is missing.
fn all() -> Facts {
    Facts {
        who: Who {
            uid: 0,
            effective: 0,
            saved: 0,
            gid: 0,
            name: Some("root".to_owned()),
            no_new_privs: false,
            is_first: true,
            file: File { path: "/zei-init".to_owned(), is_setuid_root: false, is_nosuid: false },
        },
        granted: Granted::default(),
        passwd: Ok(()),
        pid: 1,
        parent: Parent::Outside,
        subreaper: Ok(()),
        programs: vec![],
        calls: Call::ALL.into_iter().map(|call| (call, Answer::Works)).collect(),
        rungs: vec![rung("/a", None), rung("/b", Some(Wrong::ReadOnly))],
        proc: Proc::Readable,
        null: true,
        cgroup: false,
        processes: None,
        descriptors: (1024, u64::MAX),
        streams: [Stream::Null, Stream::Pipe, Stream::Pipe],
    }
}

fn rung(path: &str, wrong: Option<Wrong>) -> Rung {
    Rung { path: path.to_owned(), wrong }
}

/// The same as uid 1000.
fn another() -> Facts {
    let mut facts = all();
    facts.who = Who { uid: 1000, effective: 1000, saved: 1000, gid: 1000, name: None, ..facts.who };
    facts
}

fn of(facts: &Facts, key: &str) -> String {
    let found: Vec<Finding> = findings(facts).into_iter().filter(|finding| finding.key == key).collect();
    let [finding] = found.as_slice() else { panic!("{key}: {found:?}") };
    finding.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn changed(facts: Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = facts;
    change(&mut facts);
    facts
}

#[test]
fn where_nothing_is_missing_all_is_well_and_every_key_stands_once() {
    let list = findings(&all());
    assert_eq!(worst(&list), Grade::Ok);
    let mut keys: Vec<&str> = list.iter().map(|finding| finding.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), list.len());
}

#[test]
fn a_line_has_what_is_wrong_and_what_would_change_it() {
    let facts = changed(all(), |facts| facts.null = false);
    let list = findings(&facts);
    assert_eq!(worst(&list), Grade::Missing);
    let line = list.iter().find(|finding| finding.key == "null").unwrap().to_string();
    assert_eq!(
        line,
        "missing   null               no service can run: there is no /dev/null; to change that: mknod -m 666 /dev/null c 1 3"
    );
}

#[test]
fn whom_zei_runs_as_is_said_with_what_is_known_of_it() {
    let known = changed(another(), |facts| facts.who.name = Some("app".to_owned()));
    let scratch = changed(another(), |facts| facts.passwd = Err("No such file or directory"));
    assert_eq!(of(&all(), "user"), "ok user zei runs as uid 0, gid 0 (root)");
    assert_eq!(of(&known, "user"), "ok user zei runs as uid 1000, gid 1000 (app in /etc/passwd)");
    assert_eq!(
        of(&another(), "user"),
        "ok user zei runs as uid 1000, gid 1000 (no entry in /etc/passwd, and none is needed)"
    );
    assert_eq!(of(&scratch, "user"), "ok user zei runs as uid 1000, gid 1000 (no name is needed)");
    assert_eq!(
        of(&scratch, "passwd"),
        "degraded passwd users can be named by numbers only, as in user: \"1000:1000\": /etc/passwd: No such file or \
         directory; to change that: add /etc/passwd and /etc/group to the image"
    );
}

#[test]
fn another_process_than_the_first_is_told_under_whom() {
    let under = |parent| changed(all(), |facts| (facts.pid, facts.parent) = (7, parent));
    assert_eq!(of(&all(), "pid"), "ok pid zei is PID 1");
    assert_eq!(
        of(&under(Parent::Named("tini".to_owned())), "pid"),
        "ok pid zei is process 7, under tini, and a child subreaper: all is the same"
    );
    assert_eq!(
        of(&under(Parent::Outside), "pid"),
        "ok pid zei is process 7, started from outside of this PID namespace, and a child subreaper: all is the same"
    );
    let refused = changed(under(Parent::Outside), |facts| facts.subreaper = Err("Operation not permitted"));
    assert!(of(&refused, "pid").starts_with("missing pid zei is process 7, started from outside"));
}

#[test]
fn root_says_which_right_it_lacks_to_run_services_as_others() {
    let with = |granted| of(&changed(all(), |facts| facts.granted = granted), "users");
    let (all, one) = (Granted::default, Ids::of_map("0 0 1"));
    assert_eq!(with(all()), "ok users services can run as other users");
    assert_eq!(
        with(Granted { set_uid: false, ..all() }),
        "degraded users services can run as uid 0 only: this container lacks CAP_SETUID; to change that: docker run \
         --cap-add SETUID"
    );
    assert_eq!(
        with(Granted { set_uid: false, set_gid: false, ..all() }),
        "degraded users services can run as uid 0 only: this container lacks CAP_SETUID, and this container lacks \
         CAP_SETGID; to change that: docker run --cap-add SETUID --cap-add SETGID"
    );
    assert_eq!(
        with(Granted { uids: one.clone(), gids: one, set_groups: false, ..all() }),
        "degraded users services can run as uid 0 only: the user namespace maps uid 0 only (/proc/self/uid_map), and the \
         user namespace denies setgroups (/proc/self/setgroups); to change that: map a range of ids (newuidmap, newgidmap)"
    );
    assert_eq!(
        with(Granted { set_groups: false, ..all() }),
        "degraded users services can run as uid 0 only: the user namespace denies setgroups (/proc/self/setgroups); to \
         change that: map a range of ids (newuidmap, newgidmap)"
    );
}

#[test]
fn who_is_not_root_says_each_reason_why_services_run_as_the_same_user() {
    let with = |setuid, nosuid, no_new_privs, granted| {
        let facts = changed(another(), |facts| {
            facts.granted = granted;
            facts.who.no_new_privs = no_new_privs;
            (facts.who.file.is_setuid_root, facts.who.file.is_nosuid) = (setuid, nosuid);
        });
        let line = of(&facts, "users");
        line.strip_prefix("degraded users services can run as uid 1000 only: zei was not started as root, and ")
            .unwrap_or(&line)
            .to_owned()
    };
    let (all, root) = (Granted::default, "start the container as root (no USER line, no --user)");
    assert_eq!(
        with(false, false, false, all()),
        format!("/zei-init is not setuid root; to change that: {root}, or chown root and chmod u+s that file")
    );
    assert_eq!(
        with(true, true, false, all()),
        format!(
            "/zei-init is on a mount that is nosuid; to change that: {root}, or mount its file system without nosuid"
        )
    );
    assert_eq!(
        with(true, false, true, all()),
        format!("no_new_privs is set; to change that: {root}, or start without --security-opt no-new-privileges")
    );
    assert_eq!(
        with(false, true, true, all()),
        format!(
            "/zei-init is not setuid root, and /zei-init is on a mount that is nosuid, and no_new_privs is set; to change \
             that: {root}, or chown root and chmod u+s that file and mount its file system without nosuid and start \
             without --security-opt no-new-privileges"
        )
    );
    assert_eq!(
        with(false, false, false, Granted { uids: Ids::of_map("1000 1000 1"), ..all() }),
        "the user namespace has no uid 0 (/proc/self/uid_map); to change that: map uid 0, and start the container as it"
    );
    assert_eq!(
        with(true, false, false, all()),
        format!("/zei-init is setuid root to no effect; to change that: {root}")
    );
}

#[test]
fn a_setuid_root_file_helps_nobody_but_pid_1_with_the_rights_to_become_others() {
    let root = "start the container as root (no USER line, no --user)";
    let with = |setuid, is_first, granted| {
        let facts = changed(another(), |facts| {
            facts.granted = granted;
            (facts.who.file.is_setuid_root, facts.who.is_first) = (setuid, is_first);
        });
        let line = of(&facts, "users");
        line.strip_prefix("degraded users services can run as uid 1000 only: zei was not started as root, and ")
            .unwrap_or(&line)
            .to_owned()
    };
    assert_eq!(
        with(true, false, Granted::default()),
        format!(
            "the setuid bit counts for PID 1 only; to change that: {root}, or start it as PID 1 (docker run without --init)"
        )
    );
    assert_eq!(
        with(false, false, Granted::default()),
        format!(
            "/zei-init is not setuid root, and the setuid bit counts for PID 1 only; to change that: {root}, or chown root \
             and chmod u+s that file and start it as PID 1 (docker run without --init)"
        )
    );
    let none = || Granted { set_uid: false, set_gid: false, ..Granted::default() };
    assert_eq!(
        with(true, true, none()),
        "this container lacks CAP_SETUID, and this container lacks CAP_SETGID; to change that: docker run --cap-add SETUID \
         --cap-add SETGID"
    );
    // Neither way is enough without them.
    assert_eq!(
        with(false, true, Granted { set_gid: false, ..Granted::default() }),
        format!(
            "/zei-init is not setuid root, and this container lacks CAP_SETGID; to change that: docker run --cap-add \
             SETGID, and {root}, or chown root and chmod u+s that file"
        )
    );
}

#[test]
fn the_boot_says_the_same_where_a_setuid_root_file_has_no_effect() {
    let of_boot = |facts: &Facts| unelevated(&facts.who, &facts.granted);
    let refused = changed(another(), |facts| (facts.who.file.is_setuid_root, facts.who.no_new_privs) = (true, true));
    let said = of_boot(&refused).unwrap();
    assert!(findings(&refused).contains(&said));
    assert_eq!(
        said.text(),
        "services can run as uid 1000 only: zei was not started as root, and no_new_privs is set; to change that: start the \
         container as root (no USER line, no --user), or start without --security-opt no-new-privileges"
    );
    // Where it has an effect, or nobody expects one, there is nothing to say.
    let elevated = changed(another(), |facts| (facts.who.file.is_setuid_root, facts.who.effective) = (true, 0));
    assert_eq!([of_boot(&elevated), of_boot(&another()), of_boot(&all())], [None, None, None]);
}

#[test]
fn without_the_right_to_give_away_the_starter_has_no_control() {
    let no_chown = |facts| changed(facts, |facts| facts.granted.chown = false);
    let elevated = changed(another(), |facts| (facts.who.effective, facts.who.saved) = (0, 0));
    assert_eq!(of(&elevated, "run_directory"), "ok run_directory services can be controlled: /a");
    assert_eq!(of(&no_chown(all()), "run_directory"), "ok run_directory services can be controlled: /a");
    assert_eq!(of(&no_chown(another()), "run_directory"), "ok run_directory services can be controlled: /a");
    assert_eq!(
        of(&no_chown(elevated), "run_directory"),
        "degraded run_directory services run without control, as this container lacks CAP_CHOWN, and so nothing to control \
         them by can be uid 1000's; to change that: docker run --cap-add CHOWN"
    );
}

#[test]
fn a_setuid_root_file_lets_services_run_as_others() {
    let facts = changed(another(), |facts| {
        (facts.who.effective, facts.who.saved, facts.who.file.is_setuid_root) = (0, 0, true);
    });
    assert_eq!(
        of(&facts, "users"),
        "ok users services can run as other users: /zei-init is setuid root (uids 1000 0 0)"
    );
}

#[test]
fn without_the_right_to_kill_it_is_said_how_others_are_signalled() {
    let with = |set_uid| Granted { kill: false, set_uid, ..Granted::default() };
    let line = |granted| of(&changed(all(), |facts| facts.granted = granted), "kill");
    assert_eq!(line(Granted::default()), "ok kill services under other users can be signalled");
    assert_eq!(
        line(with(true)),
        "degraded kill services under other users are signalled by a process that becomes that user, as this container \
         lacks CAP_KILL; to change that: docker run --cap-add KILL"
    );
    assert_eq!(
        line(with(false)),
        "degraded kill what becomes another user by itself can't be signalled, as this container lacks CAP_KILL and \
         CAP_SETUID; to change that: docker run --cap-add KILL"
    );
    assert_eq!(of(&another(), "kill"), "ok kill services can be signalled, as all run as the same user");
}

#[test]
fn a_refused_call_is_told_with_what_is_done_without_it() {
    let with = |call: Call, answer| of(&changed(all(), |facts| facts.calls = vec![(call, answer)]), call.name());
    for call in Call::ALL {
        assert_eq!(with(call, Answer::Works), format!("ok {0} {0} works", call.name()));
        let grade = match call {
            Call::Clone3 => "ok",
            Call::MemfdCreate => "missing",
            _ => "degraded",
        };
        for (answer, errno) in [(Answer::NoSys, "ENOSYS"), (Answer::NoPerm, "EPERM")] {
            let begin = format!("{grade} {0} {0} is answered {errno}: ", call.name());
            assert!(with(call, answer).starts_with(&begin), "{}", with(call, answer));
        }
    }
}

#[test]
fn the_run_directory_is_named_with_what_is_wrong_with_those_before_it() {
    let with = |rungs| of(&changed(all(), |facts| facts.rungs = rungs), "run_directory");
    assert_eq!(
        with(vec![rung("/a", None), rung("/b", Some(Wrong::ReadOnly))]),
        "ok run_directory services can be controlled: /a"
    );
    assert_eq!(
        with(vec![rung("/a", Some(Wrong::Owner(7))), rung("/b", Some(Wrong::NoDirectory)), rung("/c", None)]),
        "ok run_directory services can be controlled: /c, instead of /a (belongs to uid 7), /b (a symbolic link, or no \
         directory)"
    );
    assert_eq!(
        with(vec![rung("/a", Some(Wrong::Taken)), rung("/b", None)]),
        "ok run_directory services can be controlled: a zei-init runs with /a"
    );
    assert_eq!(
        with(vec![rung("/a", Some(Wrong::ReadOnly)), rung("/b", Some(Wrong::System("Permission denied")))]),
        "degraded run_directory services run without control, as there is no run directory: /a (read-only), /b \
         (Permission denied); to change that: docker run --tmpfs /run:mode=1777, or a directory named in ZEI_RUN"
    );
}

#[test]
fn what_is_there_and_how_much_of_it_is_said() {
    let few = changed(all(), |facts| facts.processes = Some((20, 5)));
    let many = changed(all(), |facts| facts.processes = Some((20, 4)));
    assert_eq!(of(&all(), "processes"), "ok processes the number of processes is not limited here");
    assert_eq!(
        of(&many, "processes"),
        "ok processes there may be 20 processes at once, and 4 are there; a service takes two"
    );
    assert_eq!(
        of(&few, "processes"),
        "degraded processes there may be 20 processes at once, and 5 are there; a service takes two, and its start waits \
         for room; to change that: docker run --pids-limit with a greater number"
    );
    assert_eq!(
        of(&all(), "nofile"),
        "ok nofile the limit of descriptors is 1024 (hard: none); zei-init takes three for a service"
    );
    let scarce = changed(all(), |facts| facts.descriptors = (64, 64));
    assert_eq!(
        of(&scarce, "nofile"),
        "degraded nofile the limit of descriptors is 64 (hard: 64); zei-init takes three for a service; to change that: \
         docker run --ulimit nofile=1024:524288"
    );
    let lonely = changed(all(), |facts| facts.programs = vec!["zei-log"]);
    assert_eq!(
        of(&lonely, "programs"),
        "degraded programs what takes them can't be had: beside zei-init there is no zei-log; to change that: copy them \
         into the directory of zei-init"
    );
    let alone = changed(all(), |facts| facts.programs = vec!["zei-supervise", "zei-log"]);
    assert_eq!(
        of(&alone, "programs"),
        "missing programs no service can run: beside zei-init there is no zei-supervise, zei-log; to change that: copy \
         them into the directory of zei-init"
    );
}

#[test]
fn proc_and_control_groups_are_told_by_what_they_are_good_for() {
    let proc = |proc| of(&changed(all(), |facts| facts.proc = proc), "proc");
    assert_eq!(proc(Proc::Readable), "ok proc /proc is mounted, and shows all processes");
    assert_eq!(
        proc(Proc::Hidden),
        "degraded proc /proc hides other users' processes, so what a service under another user leaves behind may be \
         missed; to change that: mount /proc without hidepid"
    );
    assert_eq!(
        proc(Proc::Absent),
        "missing proc no service can run: /proc is not mounted; to change that: mount -t proc proc /proc"
    );
    let cgroup = |cgroup, pid| of(&changed(all(), |facts| (facts.cgroup, facts.pid) = (cgroup, pid)), "cgroup");
    assert_eq!(
        cgroup(true, 1),
        "ok cgroup what a service leaves is killed by one write: each has a control group (cgroup.kill)"
    );
    assert_eq!(
        cgroup(true, 2),
        "ok cgroup what a service leaves is stopped, then killed, one by one: only PID 1 makes control groups"
    );
    assert_eq!(
        cgroup(false, 1),
        "ok cgroup what a service leaves is stopped, then killed, one by one: there is no cgroup v2 to write to"
    );
}

#[test]
fn each_stream_is_told_by_its_kind() {
    let facts = changed(all(), |facts| facts.streams = [Stream::Terminal, Stream::File, Stream::Closed]);
    assert_eq!(of(&facts, "stdin"), "ok stdin standard input is a terminal: a command gets it, with job control");
    assert_eq!(of(&facts, "stdout"), "ok stdout standard output is a file");
    assert_eq!(
        of(&facts, "stderr"),
        "degraded stderr standard error is closed: what is written there is lost; to change that: start zei-init with a \
         pipe or a file there"
    );
}
