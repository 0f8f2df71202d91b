//! The program that is executed: found, in its place, with all that it should have.

use super::*;

#[test]
fn the_program_takes_its_place_with_every_argument_unchanged() {
    let mut command = Command::new(zei_tests::program("zei-setuidgid"));
    command.args(["--", &own(), "sh", "-c", r#"echo $$; printf '<%s>' "$@""#, "sh"]);
    command.args(["", "-h", "a b", "--", "$HOME", "*"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let output = outcome(child.wait_with_output().unwrap());
    assert_eq!(output.stdout, format!("{pid}\n<><-h><a b><--><$HOME><*>"));
}

#[test]
fn the_exit_code_is_that_of_the_program() {
    for code in [0, 1, 42, 100, 255] {
        assert_eq!(plain(&[&own(), "sh", "-c", &format!("exit {code}")]).code, Some(code));
    }
    assert_eq!(plain(&[&own(), "sh", "-c", "kill -KILL $$"]).code, None);
}

#[test]
fn a_program_that_is_nowhere_is_exit_code_127() {
    for (program, advice) in [
        ("no-such-program", "install it, or add its directory to PATH"),
        ("/no/such/program", "check the path"),
        ("./no-such-program", "check the path"),
        ("/proc/version/program", "check the path"),
    ] {
        let outcome = plain(&[&own(), program]);
        assert_eq!(outcome.code, Some(127), "{outcome:?}");
        assert!(outcome.stderr.starts_with(&format!("zei-setuidgid: cannot run {program:?}: ")), "{outcome:?}");
        assert!(outcome.stderr.contains(advice), "{outcome:?}");
    }
}

#[test]
fn a_program_that_is_there_but_cannot_run_is_exit_code_126() {
    let place = Place::new();
    let document = place.file("document", "#!/bin/sh\n", 0o644);
    let orphan = place.file("orphan", "#!/no/such/interpreter\n", 0o755);
    let headless = place.file("headless", "exit 0\n", 0o755);
    let directory = place.path().to_str().unwrap();
    for (program, advice) in [
        (headless.as_str(), "begin a script with #!/bin/sh"),
        (&document, "let this user execute it"),
        (directory, "let this user execute it"),
        (&orphan, "install what its #! line or ELF header names as interpreter"),
    ] {
        let outcome = plain(&[&own(), program]);
        assert_eq!(outcome.code, Some(126), "{outcome:?}");
        assert!(outcome.stderr.contains(&format!("cannot run {program:?}: ")), "{outcome:?}");
        assert!(outcome.stderr.contains(advice), "{outcome:?}");
    }
}

#[test]
fn the_program_is_looked_up_in_path_with_the_rights_of_the_new_user() {
    if !root() {
        return;
    }
    let place = Place::new();
    for (name, bits) in [("closed", 0o700), ("open", 0o755)] {
        fs::create_dir(place.path().join(name)).unwrap();
        place.file(&format!("{name}/tool"), format!("#!/bin/sh\necho {name}\n"), 0o755);
        mode(&place.path().join(name), bits);
    }
    let base = place.path().to_str().unwrap();
    let path = format!("PATH={base}/closed:{base}/open:/usr/bin:/bin");
    assert_eq!(place.run_behind(&["env", &path], &["root", "tool"]).stdout, "closed\n");
    assert_eq!(place.run_behind(&["env", &path], &["appuser", "tool"]).stdout, "open\n");
    // A directory that can't be entered doesn't make a missing program a forbidden one.
    assert_eq!(place.run_behind(&["env", &path], &["appuser", "no-such-tool"]).code, Some(127));
}

#[test]
fn signal_mask_and_dispositions_are_left_as_they_were() {
    let status = |options: &[&str], words: &[&str]| {
        let output = Command::new("env").args(options).args(words).args(["cat", "/proc/self/status"]).output().unwrap();
        let status = outcome(output).stdout;
        ["SigBlk:", "SigIgn:"].map(|key| u64::from_str_radix(&field(&status, key), 16).unwrap())
    };
    let (program, own) = (zei_tests::program("zei-setuidgid"), own());
    let through = [program.to_str().unwrap(), &own];
    // SIGPIPE, which Rust's runtime ignores in every program, is among what stays as it was.
    let clean = ["--default-signal"];
    assert_eq!(status(&clean, &through), status(&clean, &[]));
    let changed = ["--default-signal", "--block-signal=USR1", "--ignore-signal=HUP"];
    let [blocked, ignored] = status(&changed, &through);
    assert_eq!([blocked, ignored], status(&changed, &[]));
    let bit = |signal: u8| 1 << (signal - 1);
    assert_eq!((blocked, ignored & bit(zei::signal::HUP)), (bit(zei::signal::USR1), bit(zei::signal::HUP)));
}

#[test]
fn a_full_or_closed_output_changes_no_exit_code_but_that_of_help() {
    let program = zei_tests::program("zei-setuidgid");
    let own = own();
    for (script, code) in [
        (r#"exec "$1" 2>/dev/full"#, 100),
        (r#"exec "$1" 2>&-"#, 100),
        (r#"exec "$1" "$2" no-such-program 2>&-"#, 127),
        (r#"exec "$1" --help >/dev/full"#, 111),
    ] {
        let status = Command::new("sh").args(["-c", script, "sh"]).arg(&program).arg(&own).status().unwrap();
        assert_eq!(status.code(), Some(code), "{script}");
    }
    for (arguments, code) in [(&["root"][..], 100), (&[&own, "no-such-program"], 127)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = Command::new(&program).args(arguments).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(code), "nobody reads what {arguments:?} says");
    }
}

#[test]
fn home_is_the_users_own_unless_it_is_to_stay_and_the_rest_of_the_environment_stays() {
    if !root() {
        return;
    }
    let place = Place::new();
    let environment = |arguments: &[&str]| {
        let stdout = place.run(&[arguments, &["env"]].concat()).stdout;
        let mut lines: Vec<String> = stdout.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let kept = environment(&["--keep-home", "appuser"]);
    assert!(["HOME=/nowhere", "USER=before"].iter().all(|line| kept.contains(&(*line).to_owned())), "{kept:?}");
    let changed: Vec<String> = kept.iter().map(|line| line.replace("HOME=/nowhere", "HOME=/home/app")).collect();
    assert_eq!(environment(&["appuser"]), changed);
}

#[test]
fn home_that_was_not_set_is_set_unless_it_is_to_stay() {
    if !root() {
        return;
    }
    let place = Place::new();
    let homes = |arguments: &[&str]| {
        let stdout = place.run_behind(&["env", "-u", "HOME"], &[arguments, &["env"]].concat()).stdout;
        stdout.lines().filter(|line| line.starts_with("HOME=")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!((homes(&["appuser"]), homes(&["--keep-home", "appuser"])), (vec!["HOME=/home/app".to_owned()], vec![]));
}
