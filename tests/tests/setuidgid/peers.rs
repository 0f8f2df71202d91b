//! What the page says to write in place of another tool's line gives the same. Tools that are not installed are passed
//! over.

use super::*;
use std::collections::BTreeSet;

/// The line of another tool and the one of ours, as the page has them; app, video and users stand for those of the place.
const LINES: &[(&str, &str)] = &[
    ("gosu app PROG", "zei-setuidgid app PROG"),
    ("gosu app:video PROG", "zei-setuidgid app:video PROG"),
    ("su-exec app PROG", "zei-setuidgid app PROG"),
    ("su-exec 1000:1000 PROG", "zei-setuidgid 1000:1000 PROG"),
    ("s6-setuidgid app PROG", "zei-setuidgid --keep-home app PROG"),
    ("s6-setuidgid 1000:50 PROG", "zei-setuidgid --keep-home 1000:50 PROG"),
    ("s6-applyuidgid -u 5 -g 60 -G 44,100 PROG", "zei-setuidgid --keep-home 5:60:44:100 PROG"),
    ("s6-envuidgid app s6-applyuidgid -U PROG", "zei-setuidgid --keep-home app PROG"),
    ("chpst -u app PROG", "zei-setuidgid --keep-home app:app PROG"),
    ("chpst -u app:video:users PROG", "zei-setuidgid --keep-home app:video:users PROG"),
    ("chpst -u :1000:50 PROG", "zei-setuidgid --keep-home 1000:50 PROG"),
    ("setpriv --reuid app --regid app --init-groups PROG", "zei-setuidgid --keep-home app PROG"),
    ("setpriv --reuid app --regid app --clear-groups PROG", "zei-setuidgid --keep-home app:app PROG"),
];

/// Ids, groups with the group id among them, and HOME of the program behind these words.
fn rights(place: &Place, words: &str) -> String {
    let mut words: Vec<&str> = words.strip_suffix("PROG").unwrap().split_whitespace().collect();
    words.extend(["sh", "-c", r#"cat /proc/self/status; echo "Home: $HOME""#]);
    let (program, arguments) = words.split_first().unwrap();
    let outcome = match *program {
        "zei-setuidgid" => place.run(arguments),
        // Its last step is to execute them.
        _ => place.run_behind(&[], &[&["--keep-home", ""][..], &words].concat()),
    };
    assert_eq!(outcome.code, Some(0), "{words:?}: {outcome:?}");
    let [uid, gid, groups, home] = ["Uid:", "Gid:", "Groups:", "Home:"].map(|key| field(&outcome.stdout, key));
    let set: BTreeSet<u32> = [&gid, &groups].iter().flat_map(|ids| ids.split(' ')).flat_map(str::parse).collect();
    format!("{uid} / {gid} / {set:?} / {home}")
}

fn is_installed(tool: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", tool]).output().unwrap();
    found.status.success() || zei_tests::skipped(tool)
}

#[test]
fn each_line_of_another_tool_gives_what_the_page_says_to_write_instead() {
    if !root() {
        return;
    }
    let page = fs::read_to_string(zei_tests::source::root().join("bins/zei-setuidgid/zei-setuidgid.1.md")).unwrap();
    let passwd = "root:x:0:0:root:/root:/bin/sh\ngames:x:5:60::/usr/games:\napp:x:1000:1000:App:/home/app:/bin/sh\n";
    let group = "root:x:0:\nvideo:x:44:games,app\ngames:x:60:\nusers:x:100:games\napp:x:1000:\n";
    let place = Place::with(Some(passwd.as_bytes()), Some(group.as_bytes()));
    // glibc looks nowhere without it.
    place.file("etc/nsswitch.conf", "passwd: files\ngroup: files\n", 0o644);
    for (before, now) in LINES {
        for line in [before, now] {
            assert!(page.contains(&format!("`{line}`")), "the page has no {line:?}");
        }
        if is_installed(before.split(' ').next().unwrap()) {
            assert_eq!(rights(&place, before), rights(&place, now), "{before}");
        }
    }
}
