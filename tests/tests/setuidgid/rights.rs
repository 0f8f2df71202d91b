//! What is left of rights afterwards, and who gets none.

use super::*;

#[test]
fn whoever_one_is_already_needs_no_privilege() {
    if !nix::unistd::getuid().is_root() {
        let outcome = plain(&["", "id", "-u"]);
        assert_eq!((outcome.code, outcome.stdout.trim()), (Some(0), own().as_str()), "{}", outcome.stderr);
        return;
    }
    let place = Place::new();
    for (who, spec, expected) in [
        (["--reuid=1000", "--regid=1000", "--groups=44,1000"], "appuser", ids(1000, 1000, "44 1000")),
        (["--reuid=1000", "--regid=1000", "--groups=44"], "1000:", ids(1000, 1000, "44")),
        (["--reuid=1000", "--regid=1000", "--groups=44"], "", ids(1000, 1000, "44")),
        (["--reuid=1000", "--regid=1000", "--clear-groups"], "appuser:app", ids(1000, 1000, "")),
        (["--reuid=77777", "--regid=0", "--groups=0,7"], "77777", ids(77777, 0, "0 7")),
        (["--reuid=77777", "--regid=0", "--groups=0,7"], "", ids(77777, 0, "0 7")),
    ] {
        let prefix = [&["setpriv", "--no-new-privs"][..], &who].concat();
        assert_eq!(place.credentials(&prefix, spec), expected, "{spec:?}");
    }
}

#[test]
fn another_user_is_refused_to_whoever_is_not_root() {
    if !nix::unistd::getuid().is_root() {
        let outcome = plain(&["0:0", "true"]);
        assert_eq!(outcome.code, Some(111), "{outcome:?}");
        return;
    }
    let place = Place::new();
    for (spec, text) in [
        (
            "1001:1000",
            "cannot switch to user 1001: Operation not permitted (setresuid): run it as root, or with CAP_SETUID",
        ),
        (
            "appuser",
            "cannot set the supplementary groups 1000,44: Operation not permitted (setgroups): \
             run it as root, or with CAP_SETGID",
        ),
    ] {
        let prefix = ["setpriv", "--reuid=1000", "--regid=1000", "--groups=1000"];
        let expected = Outcome { code: Some(111), stdout: String::new(), stderr: format!("zei-setuidgid: {text}\n") };
        assert_eq!(place.run_behind(&prefix, &[spec, "echo", "ran"]), expected);
    }
}

#[test]
fn root_without_the_capability_is_told_which_one_it_lacks() {
    if !root() {
        return;
    }
    let place = Place::new();
    for (groups, lacking, spec, text) in [
        ("--groups=7", "-setuid", "1000:0", "cannot switch to user 1000: Operation not permitted (setresuid)"),
        ("--groups=7", "-setgid", ":50", "cannot set the supplementary groups 50: Operation not permitted (setgroups)"),
        ("--clear-groups", "-setgid", ":50", "cannot switch to group 50: Operation not permitted (setresgid)"),
    ] {
        let prefix = ["setpriv", groups, "--bounding-set", lacking];
        let capability = lacking.replace("-set", "CAP_SET").to_uppercase();
        let stderr = format!("zei-setuidgid: {text}: run it as root, or with {capability}\n");
        let expected = Outcome { code: Some(111), stdout: String::new(), stderr };
        assert_eq!(place.run_behind(&prefix, &[spec, "echo", "ran"]), expected);
    }
    // Whoever has the right groups needs no CAP_SETGID.
    let prefix = ["setpriv", "--regid=1000", "--groups=1000,44", "--bounding-set", "-setgid"];
    assert_eq!(place.credentials(&prefix, "appuser"), ids(1000, 1000, "44 1000"));
}

#[test]
fn a_former_root_that_could_come_back_runs_nothing() {
    if !root() {
        return;
    }
    let place = Place::new();
    let outcome = place.run_behind(&["setpriv", "--securebits", "+no_setuid_fixup"], &["appuser", "echo", "ran"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(111), ""));
    assert!(outcome.stderr.contains("would let user 0 come back"), "{outcome:?}");
}

#[test]
fn no_capability_is_left_after_leaving_root() {
    if !root() {
        return;
    }
    let status = Place::new().run(&["appuser", "cat", "/proc/self/status"]).stdout;
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
}

#[test]
fn installed_setuid_it_refuses_to_run() {
    if !root() {
        return;
    }
    let place = Place::new();
    for bits in [0o4755, 0o2755] {
        mode(&place.path().join("zei-setuidgid"), bits);
        let prefix = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
        let outcome = place.run_behind(&prefix, &["0", "echo", "ran"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(100), ""), "{bits:o}");
        assert!(outcome.stderr.contains("remove these bits (chmod ug-s)"), "{outcome:?}");
    }
}

const SETS: [&str; 5] = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"];

/// The capability sets of the program, a child of a child included.
fn sets(place: &Place, prefix: &[&str], arguments: &[&str]) -> [String; 5] {
    // A shell that still has something to do makes a child of it.
    let tell = ["sh", "-c", "sh -c 'cat /proc/self/status; :'; :"];
    let outcome = place.run_behind(prefix, &[arguments, &tell].concat());
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:?}");
    SETS.map(|set| field(&outcome.stdout, set))
}

fn mask(numbers: &[u32]) -> String {
    format!("{:016x}", numbers.iter().map(|number| 1_u64 << number).sum::<u64>())
}

#[test]
fn the_program_has_the_capabilities_that_are_named_and_can_get_no_others() {
    if !root() {
        return;
    }
    let place = Place::new();
    let [none, two, one] = [mask(&[]), mask(&[5, 10]), mask(&[0])];
    for spec in ["appuser", "2000:2000"] {
        assert_eq!(sets(&place, &[], &["--capabilities", "net_bind_service,CAP_KILL", spec]), [&*two; 5], "{spec}");
        assert_eq!(sets(&place, &[], &["--capabilities=", spec]), [&*none; 5], "{spec}");
    }
    let of_root = sets(&place, &[], &["--capabilities=CHOWN", "root"]);
    assert_eq!(of_root, [&*one; 5]);
    // Root's own are cut as well, though root keeps its ids.
    assert_eq!(place.credentials(&[], "root"), ids(0, 0, "0"));
}

#[test]
fn a_capability_that_cannot_be_given_is_refused_by_its_name() {
    if !root() {
        return;
    }
    let place = Place::new();
    let refused = |prefix: &[&str], list: &str, code: i32, text: &str| {
        let stderr = format!("zei-setuidgid: {text}\n");
        let expected = Outcome { code: Some(code), stdout: String::new(), stderr };
        assert_eq!(place.run_behind(prefix, &["--capabilities", list, "appuser", "echo", "ran"]), expected);
    };
    refused(&[], "NET_BNID_SERVICE", 100, "\"NET_BNID_SERVICE\" is no capability: did you mean \"NET_BIND_SERVICE\"?");
    refused(&[], "CHOWN,all", 100, "\"all\" is no capability: capabilities(7) lists them");
    let lacking = "cannot give CAP_NET_ADMIN, which it does not have itself: start it as root, in a container that has \
                   it (docker run --cap-add)";
    refused(&["setpriv", "--bounding-set", "-net_admin"], "NET_ADMIN,CHOWN", 111, lacking);
    refused(&["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"], "NET_ADMIN", 111, lacking);
    let bound = "cannot limit capabilities, for which it needs CAP_SETPCAP: Operation not permitted";
    refused(&["setpriv", "--bounding-set", "-setpcap"], "CHOWN", 111, bound);
}

#[test]
fn no_new_privileges_holds_where_it_is_asked_for_and_for_everyone() {
    let value = |outcome: &Outcome| field(&outcome.stdout, "NoNewPrivs:");
    let own = own();
    assert_eq!(value(&plain(&["--no-new-privileges", &own, "cat", "/proc/self/status"])), "1");
    let before = Command::new("cat").arg("/proc/self/status").output().unwrap();
    assert_eq!(value(&plain(&[&own, "cat", "/proc/self/status"])), value(&outcome(before)));
}

#[test]
fn a_setuid_program_gives_nothing_back_where_no_new_privileges_holds() {
    if !root() {
        return;
    }
    let place = Place::new();
    let who = place.path().join("who");
    zei_tests::copy_program("/usr/bin/id", &who);
    mode(&who, 0o4755);
    let who = who.to_str().unwrap();
    for (options, uid) in [(&[][..], "0\n"), (&["--no-new-privileges"], "1000\n")] {
        assert_eq!(place.run(&[options, &["appuser", who, "-u"]].concat()).stdout, uid, "{options:?}");
    }
}

#[test]
fn capabilities_that_were_given_to_another_user_on_purpose_serve_and_stay() {
    if !root() {
        return;
    }
    let place = Place::new();
    let who = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
    let given = ["--inh-caps=+setuid,+setgid", "--ambient-caps=+setuid,+setgid"];
    assert_eq!(place.credentials(&[&who[..], &given].concat(), "games"), ids(5, 60, "44 60 100"));
    let [_, permitted, effective, _, ambient] = sets(&place, &[&who[..], &given].concat(), &["games"]);
    assert_eq!([permitted, effective, ambient], [(); 3].map(|()| mask(&[6, 7])));
}

#[test]
fn capabilities_of_its_file_serve_nobody() {
    if !root() {
        return;
    }
    let place = Place::new();
    let program = place.path().join("zei-setuidgid");
    let given = Command::new("setcap").arg("cap_setuid,cap_setgid,cap_net_admin+ep").arg(&program).output();
    if !given.is_ok_and(|output| output.status.success()) {
        zei_tests::skipped("setcap, and a file system that keeps capabilities");
        return;
    }
    let prefix = ["setpriv", "--reuid=1000", "--regid=1000", "--groups=1000,44"];
    let text = "cannot set the supplementary groups 0: Operation not permitted (setgroups): run it as root, or with \
                CAP_SETGID; capabilities of its file count for nothing, as anyone could use them";
    let expected = Outcome { code: Some(111), stdout: String::new(), stderr: format!("zei-setuidgid: {text}\n") };
    assert_eq!(place.run_behind(&prefix, &["0:0", "echo", "ran"]), expected);
    let lent = place.run_behind(&prefix, &["--capabilities=NET_ADMIN", "appuser", "echo", "ran"]);
    assert_eq!((lent.code, lent.stdout.as_str()), (Some(111), ""), "{lent:?}");
    // Whoever needs none goes on without, and so does root.
    assert_eq!(place.credentials(&prefix, "appuser"), ids(1000, 1000, "44 1000"));
    assert_eq!(place.credentials(&[], "games"), ids(5, 60, "44 60 100"));
}
