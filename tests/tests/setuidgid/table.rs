//! What each USER:GROUP comes to with each kind of /etc: a row is the text, the files, and who the program then is, or
//! the exit code and the message.

use super::*;
use Comes::{Is, Wrong};
use Etc::{Empty, Many, Neither, NoGroup, NoPasswd, Odd, Usual};

/// What stands in /etc.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Etc {
    Usual,
    NoPasswd,
    NoGroup,
    Neither,
    Empty,
    /// Lines that people, editors and other systems have written.
    Odd,
    /// A user in 200 groups.
    Many,
}

/// User and group id, supplementary groups and HOME of the program, or exit code and message.
enum Comes {
    Is(u32, u32, &'static str, &'static str),
    Wrong(i32, &'static str),
}

const ODD_PASSWD: &[u8] = b"\
# a comment:x:7:7::/comment:/bin/sh
root:x:0:0:root:/root:/bin/sh
+nis:x:8:8::/nis:/bin/sh
-nis:x:9:9::/nis:/bin/sh
+::::::

short:x:10
unnumbered:x:abc:5::/x:/bin/sh
unfilled:x::5::/x:/bin/sh
groupless:x:30:::/x:/bin/sh
minus:x:-1:5::/x:/bin/sh
greatest:x:4294967295:5::/x:/bin/sh
wrapped:x:4294967296:0::/x:/bin/sh
:x:13:13::/nameless:/bin/sh
twice:x:40:41::/first:/bin/sh
twice:x:42:43::/second:/bin/sh
same:x:40:44::/same:/bin/sh
50:x:51:52::/digits:/bin/sh
nul:x:53:53::/h\0me:/bin/sh
caf\xe9:x:54:54::/cafe:/bin/sh
latin:x:55:55:Caf\xe9:/latin:/bin/sh
dos:x:56:56::/dos:/bin/sh\r
  indented:x:57:57::/indented:/bin/sh
zeros:x:0058:0059::/zeros:/bin/sh
bare:x:60:61
www-data:x:33:33::/var/www:/bin/sh
last:x:62:62::/last:/bin/sh";
const ODD_GROUP: &[u8] = b"\
root:x:0:
spaced:x:70: twice , bare
crowd:x:71:bare,bare,bare
crowd:x:72:bare
again:x:71:bare,www-data
unnumbered:x:abc:bare
short:x
longer:x:73:barely,xbare
80:x:81:
caf\xe9:x:82:bare
dos:x:83:dos\r
last:x:84:last";

const ROWS: &[(&str, Etc, Comes)] = &[
    // A user: by name, by number, without a group.
    ("games", Usual, Is(5, 60, "44 60 100", "/usr/games")),
    ("games:", Usual, Is(5, 60, "44 60 100", "/usr/games")),
    ("5", Usual, Is(5, 60, "44 60 100", "/usr/games")),
    ("5:", Usual, Is(5, 60, "44 60 100", "/usr/games")),
    ("root", Usual, Is(0, 0, "0", "/root")),
    ("0", Usual, Is(0, 0, "0", "/root")),
    ("homeless", Usual, Is(1001, 1001, "1001", "/")),
    // With a group, which is the only one then.
    ("games:video", Usual, Is(5, 44, "44", "/usr/games")),
    ("games:44", Usual, Is(5, 44, "44", "/usr/games")),
    ("5:44", Usual, Is(5, 44, "44", "/usr/games")),
    ("games:7", Usual, Is(5, 7, "7", "/usr/games")),
    ("games:0", Usual, Is(5, 0, "0", "/usr/games")),
    // A number that nobody has.
    ("2000", Usual, Is(2000, 9, "9", "/")),
    ("2000:app", Usual, Is(2000, 1000, "1000", "/")),
    ("2000:2000", Usual, Is(2000, 2000, "2000", "/")),
    // Several groups; an empty first one stands for the user's own.
    ("games:video:users", Usual, Is(5, 44, "44 100", "/usr/games")),
    ("games:7:video:7:44", Usual, Is(5, 7, "7 44", "/usr/games")),
    ("2000:7:8:9", Usual, Is(2000, 7, "7 8 9", "/")),
    ("games::999", Usual, Is(5, 60, "44 60 100 999", "/usr/games")),
    ("games::app:video", Usual, Is(5, 60, "44 60 100 1000", "/usr/games")),
    ("2000::7", Usual, Is(2000, 9, "7 9", "/")),
    // Empty parts.
    ("", Usual, Is(0, 0, "0", "/root")),
    (":", Usual, Is(0, 0, "0", "/root")),
    (":video", Usual, Is(0, 44, "44", "/root")),
    (":0", Usual, Is(0, 0, "0", "/root")),
    (":1000:50", Usual, Wrong(100, "the user is empty: use a name or a number")),
    ("::50", Usual, Wrong(100, "the user is empty: use a name or a number")),
    ("games:video:", Usual, Wrong(100, "the group is empty: use a name or a number")),
    ("games::", Usual, Wrong(100, "the group is empty: use a name or a number")),
    // Unknown names.
    ("apuser", Usual, Wrong(100, "there is no user \"apuser\" in /etc/passwd: did you mean \"appuser\"?")),
    ("nosuch", Usual, Wrong(100, "there is no user \"nosuch\" in /etc/passwd: add it, or use a number")),
    ("GAMES", Usual, Wrong(100, "there is no user \"GAMES\" in /etc/passwd: did you mean \"games\"?")),
    ("games:vidoe", Usual, Wrong(100, "there is no group \"vidoe\" in /etc/group: did you mean \"video\"?")),
    ("games:video:xyz", Usual, Wrong(100, "there is no group \"xyz\" in /etc/group: add it, or use a number")),
    ("nosuch:nosuch", Usual, Wrong(100, "there is no user \"nosuch\" in /etc/passwd: add it, or use a number")),
    ("games.video", Usual, Wrong(100, "there is no user \"games.video\" in /etc/passwd: add it, or use a number")),
    // Numbers.
    ("0005", Usual, Is(5, 60, "44 60 100", "/usr/games")),
    ("00000000000000000005:0044", Usual, Is(5, 44, "44", "/usr/games")),
    ("2147483648:2147483648", Usual, Is(2_147_483_648, 2_147_483_648, "2147483648", "/")),
    ("4294967294:4294967294", Usual, Is(4_294_967_294, 4_294_967_294, "4294967294", "/")),
    ("4294967295", Usual, Wrong(100, "\"4294967295\" is no user id: use a number from 0 to 4294967294")),
    ("4294967296", Usual, Wrong(100, "\"4294967296\" is no user id: use a number from 0 to 4294967294")),
    ("4294967301", Usual, Wrong(100, "\"4294967301\" is no user id: use a number from 0 to 4294967294")),
    (
        "18446744073709551621",
        Usual,
        Wrong(100, "\"18446744073709551621\" is no user id: use a number from 0 to 4294967294"),
    ),
    ("0:4294967295", Usual, Wrong(100, "\"4294967295\" is no group id: use a number from 0 to 4294967294")),
    (":4294967296", Usual, Wrong(100, "\"4294967296\" is no group id: use a number from 0 to 4294967294")),
    // What is no number is a name.
    ("-1", Usual, Wrong(100, "there is no user \"-1\" in /etc/passwd: add it, or use a number")),
    ("-5", Usual, Wrong(100, "there is no user \"-5\" in /etc/passwd: add it, or use a number")),
    ("+5", Usual, Wrong(100, "there is no user \"+5\" in /etc/passwd: add it, or use a number")),
    ("0x5", Usual, Wrong(100, "there is no user \"0x5\" in /etc/passwd: add it, or use a number")),
    ("5.0", Usual, Wrong(100, "there is no user \"5.0\" in /etc/passwd: add it, or use a number")),
    ("\u{665}", Usual, Wrong(100, "there is no user \"\u{665}\" in /etc/passwd: add it, or use a number")),
    ("5:-1", Usual, Wrong(100, "there is no group \"-1\" in /etc/group: add it, or use a number")),
    // White space belongs to the name.
    (" games", Usual, Wrong(100, "there is no user \" games\" in /etc/passwd: did you mean \"games\"?")),
    ("games ", Usual, Wrong(100, "there is no user \"games \" in /etc/passwd: did you mean \"games\"?")),
    ("games\n", Usual, Wrong(100, "there is no user \"games\\n\" in /etc/passwd: did you mean \"games\"?")),
    ("5 ", Usual, Wrong(100, "there is no user \"5 \" in /etc/passwd: add it, or use a number")),
    (" ", Usual, Wrong(100, "there is no user \" \" in /etc/passwd: add it, or use a number")),
    ("games: video", Usual, Wrong(100, "there is no group \" video\" in /etc/group: did you mean \"video\"?")),
    // No passwd: numbers only, which then are in no other group.
    ("5", NoPasswd, Is(5, 9, "9", "/")),
    ("5:video", NoPasswd, Is(5, 44, "44", "/")),
    ("5::video", NoPasswd, Is(5, 9, "9 44", "/")),
    ("", NoPasswd, Is(0, 9, "9 27", "/")),
    (":video", NoPasswd, Is(0, 44, "44", "/")),
    ("games", NoPasswd, Wrong(100, "can't look up user \"games\": /etc/passwd is missing: add it, or use a number")),
    ("root", NoPasswd, Wrong(100, "can't look up user \"root\": /etc/passwd is missing: add it, or use a number")),
    (
        "games:nosuch",
        NoPasswd,
        Wrong(100, "can't look up user \"games\": /etc/passwd is missing: add it, or use a number"),
    ),
    // No group: the user's own from passwd alone.
    ("games", NoGroup, Is(5, 60, "60", "/usr/games")),
    ("games:44", NoGroup, Is(5, 44, "44", "/usr/games")),
    ("games::44", NoGroup, Is(5, 60, "44 60", "/usr/games")),
    (
        "games:video",
        NoGroup,
        Wrong(100, "can't look up group \"video\": /etc/group is missing: add it, or use a number"),
    ),
    // Neither, and both of them empty.
    ("1000:50", Neither, Is(1000, 50, "50", "/")),
    ("1000:50:51", Neither, Is(1000, 50, "50 51", "/")),
    ("1000", Neither, Is(1000, 9, "9", "/")),
    ("0", Neither, Is(0, 9, "9 27", "/")),
    ("games", Neither, Wrong(100, "can't look up user \"games\": /etc/passwd is missing: add it, or use a number")),
    ("5:video", Neither, Wrong(100, "can't look up group \"video\": /etc/group is missing: add it, or use a number")),
    ("1000:50", Empty, Is(1000, 50, "50", "/")),
    ("games", Empty, Wrong(100, "there is no user \"games\" in /etc/passwd: add it, or use a number")),
    ("5:video", Empty, Wrong(100, "there is no group \"video\" in /etc/group: add it, or use a number")),
    // Lines that say nothing usable are nobody's.
    ("# a comment", Odd, Wrong(100, "there is no user \"# a comment\" in /etc/passwd: add it, or use a number")),
    ("+nis", Odd, Wrong(100, "there is no user \"+nis\" in /etc/passwd: add it, or use a number")),
    ("+", Odd, Wrong(100, "there is no user \"+\" in /etc/passwd: add it, or use a number")),
    ("short", Odd, Wrong(100, "there is no user \"short\" in /etc/passwd: add it, or use a number")),
    ("unnumbered", Odd, Wrong(100, "there is no user \"unnumbered\" in /etc/passwd: add it, or use a number")),
    ("unfilled", Odd, Wrong(100, "there is no user \"unfilled\" in /etc/passwd: add it, or use a number")),
    ("groupless", Odd, Wrong(100, "there is no user \"groupless\" in /etc/passwd: add it, or use a number")),
    ("minus", Odd, Wrong(100, "there is no user \"minus\" in /etc/passwd: add it, or use a number")),
    ("greatest", Odd, Wrong(100, "there is no user \"greatest\" in /etc/passwd: add it, or use a number")),
    ("wrapped", Odd, Wrong(100, "there is no user \"wrapped\" in /etc/passwd: add it, or use a number")),
    ("nul", Odd, Wrong(100, "there is no user \"nul\" in /etc/passwd: add it, or use a number")),
    ("5:unnumbered", Odd, Wrong(100, "there is no group \"unnumbered\" in /etc/group: add it, or use a number")),
    ("5:short", Odd, Wrong(100, "there is no group \"short\" in /etc/group: add it, or use a number")),
    ("13", Odd, Is(13, 9, "9", "/")),
    ("10", Odd, Is(10, 9, "9", "/")),
    // The first of several lines counts.
    ("twice", Odd, Is(40, 41, "41 70", "/first")),
    ("40", Odd, Is(40, 41, "41 70", "/first")),
    ("same", Odd, Is(40, 44, "44", "/same")),
    ("42", Odd, Is(42, 43, "43 70", "/second")),
    ("bare", Odd, Is(60, 61, "61 70 71 72", "/")),
    ("bare:crowd", Odd, Is(60, 71, "71", "/")),
    ("www-data", Odd, Is(33, 33, "33 71", "/var/www")),
    // Digits are a number, whoever has them as a name.
    ("50", Odd, Is(50, 9, "9", "/")),
    ("51", Odd, Is(51, 52, "52", "/digits")),
    ("5:80", Odd, Is(5, 80, "80", "/")),
    // Bytes that are no UTF-8, carriage returns, indentation, zeros, no newline at the end.
    ("latin", Odd, Is(55, 55, "55", "/latin")),
    ("54", Odd, Is(54, 9, "9", "/")),
    ("caf\u{fffd}", Odd, Wrong(100, "there is no user \"caf\u{fffd}\" in /etc/passwd: add it, or use a number")),
    ("dos", Odd, Is(56, 56, "56 83", "/dos")),
    ("indented", Odd, Is(57, 57, "57", "/indented")),
    ("zeros", Odd, Is(58, 59, "59", "/zeros")),
    ("58", Odd, Is(58, 59, "59", "/zeros")),
    ("last", Odd, Is(62, 62, "62 84", "/last")),
    // The group alone, where the user is in many.
    ("busy:2007", Many, Is(6, 2007, "2007", "/")),
    ("busy:member7:member199", Many, Is(6, 2007, "2007 2199", "/")),
];

/// Members of everything, in a group file whose order is not that of the numbers.
fn many() -> (String, String) {
    let lines = (0..200).rev().map(|number| format!("member{number}:x:{}:busy,other\n", 2000 + number));
    (String::from("busy:x:6:6:::\n"), lines.collect())
}

impl Etc {
    fn place(self) -> Place {
        let (passwd, group) = (PASSWD.as_bytes(), GROUP.as_bytes());
        match self {
            Usual => Place::with(Some(passwd), Some(group)),
            NoPasswd => Place::with(None, Some(group)),
            NoGroup => Place::with(Some(passwd), None),
            Neither => Place::with(None, None),
            Empty => Place::with(Some(b""), Some(b"")),
            Odd => Place::with(Some(ODD_PASSWD), Some(ODD_GROUP)),
            Many => {
                let (passwd, group) = many();
                Place::with(Some(passwd.as_bytes()), Some(group.as_bytes()))
            }
        }
    }
}

/// The program that tells who it is.
const TELL: [&str; 3] = ["sh", "-c", r#"cat /proc/self/status; echo "Home: $HOME""#];

/// How a row of this text ends in that place, in the form that [`expected`] has, too.
fn outcome_of(place: &Place, spec: &str) -> String {
    // The groups before are none that a row asks for.
    let before = ["setpriv", "--regid=9", "--groups=9,27"];
    let outcome = place.run_behind(&before, &[&["--", spec][..], &TELL].concat());
    if outcome.code != Some(0) {
        assert_eq!(outcome.stdout, "", "{spec:?} ran something");
        return format!("{:?}: {}", outcome.code, outcome.stderr);
    }
    let [uid, gid, groups, home, effective, permitted] =
        ["Uid:", "Gid:", "Groups:", "Home:", "CapEff:", "CapPrm:"].map(|key| field(&outcome.stdout, key));
    if !uid.starts_with("0 ") {
        assert_eq!((effective, permitted), ("0".repeat(16), "0".repeat(16)), "{spec:?}");
    }
    format!("{uid} / {gid} / {groups} / {home}")
}

fn expected(comes: &Comes) -> String {
    match comes {
        Is(uid, gid, groups, home) => format!("{} / {home}", ids(*uid, *gid, groups)),
        Wrong(code, message) => format!("{:?}: zei-setuidgid: {message}\n", Some(code)),
    }
}

#[test]
fn every_user_and_group_comes_to_what_its_row_says() {
    if !root() {
        return;
    }
    let mut problems = Vec::new();
    for etc in [Usual, NoPasswd, NoGroup, Neither, Empty, Odd, Many] {
        let place = etc.place();
        for (spec, _, comes) in ROWS.iter().filter(|(_, own, _)| *own == etc) {
            let (outcome, expected) = (outcome_of(&place, spec), expected(comes));
            if outcome != expected {
                problems.push(format!("{spec:?} with {etc:?}:\n  is        {outcome}\n  should be {expected}"));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn a_user_in_200_groups_has_all_of_them() {
    if root() {
        let groups: Vec<String> = [6].into_iter().chain(2000..2200).map(|gid| gid.to_string()).collect();
        let place = Many.place();
        assert_eq!(outcome_of(&place, "busy"), format!("{} / /", ids(6, 6, &groups.join(" "))));
        let with_more = format!("{} / /", ids(6, 6, &format!("{} 9999", groups.join(" "))));
        assert_eq!(outcome_of(&place, "busy::9999"), with_more);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_exit_code_111_not_an_unknown_user() {
    if !own_etc() {
        return;
    }
    for file in ["passwd", "group"] {
        let place = Place::with(None, None);
        fs::create_dir(place.path().join("etc").join(file)).unwrap();
        let outcome = place.run(&["0:0", "true"]);
        assert_eq!(outcome.code, Some(111));
        assert!(
            outcome.stderr.starts_with(&format!("zei-setuidgid: can't read /etc/{file}: Is a directory")),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_link_that_leads_nowhere_is_a_file_that_is_missing() {
    if !own_etc() {
        return;
    }
    let place = Place::with(None, None);
    std::os::unix::fs::symlink("/no/such/file", place.path().join("etc/passwd")).unwrap();
    let outcome = place.run(&["games", "true"]);
    assert_eq!(outcome.code, Some(100));
    assert!(outcome.stderr.contains("/etc/passwd is missing"), "{outcome:?}");
}
