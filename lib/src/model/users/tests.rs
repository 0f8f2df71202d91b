//! Tests of the user and group files.

use super::*;
use proptest::prelude::*;

const PASSWD_TEXT: &str = "\
# a comment:x:7:7
root:x:0:0:root:/root:/bin/bash
+nis:x:8:8::/nis:/bin/sh
-nis2:x:9:9::/nis:/bin/sh
+::::::

short:x:10
noid:x:abc:5::/x:/bin/sh
empty:x::5::/x:/bin/sh
huge:x:4294967296:5::/x:/bin/sh
minus:x:4294967295:5::/x:/bin/sh
signed:x:+12:5::/x:/bin/sh
nul:x:11:11::/h\0me:/bin/sh
caf\u{fffd}:x:20:20::/x:/bin/sh
astray:x:21:21::/caf\u{fffd}:/bin/sh
latin:x:22:22:Caf\u{fffd}:/home/latin:/bin/sh
:x:13:13::/x:/bin/sh
games:x:5:60:games:/usr/games:/usr/sbin/nologin
games:x:6:61:second:/other:/bin/sh
windows:x:14:14:crlf:/home/w:/bin/sh\r
  indented:x:15:15::/home/i:/bin/sh
bare:x:16:17
777:x:18:18:digits as a name:/home/digits:/bin/sh
appuser:x:1000:1000::/home/app:
";

const GROUP_TEXT: &str = "\
root:x:0:
video:x:44:games,appuser
users:x:100: games , other
broken:x:oops:games
games:x:60:games
again:x:44:games
gameser:x:101:gamesx,xgames
caf\u{fffd}:x:102:caf\u{fffd},games\u{fffd}
777:x:19:
+:::
app:x:1000:
bare:x:17
";

fn users() -> Users {
    Users::new(Some(PASSWD_TEXT.into()), Some(GROUP_TEXT.into()))
}

fn id_of(uid: u32, gid: u32, groups: &[u32]) -> Identity {
    Identity { uid, gid, groups: groups.to_vec() }
}

#[test]
fn a_user_is_found_by_name_and_by_number_with_the_same_entry() {
    let games = UserEntry {
        uid: 5,
        gid: 60,
        groups: vec![60, 44, 100],
        name: Some("games".into()),
        home: Some("/usr/games".into()),
        shell: Some("/usr/sbin/nologin".into()),
    };
    assert_eq!(users().user("games"), Ok(games.clone()));
    assert_eq!(users().user("5"), Ok(games.clone()));
    assert_eq!(users().user("0005"), Ok(games));
}

#[test]
fn a_number_needs_no_entry_and_no_file() {
    for users in [users(), Users::new(None, None)] {
        let entry = users.user("4294967294").unwrap();
        assert_eq!((entry.uid, entry.gid, entry.groups, entry.name), (MAX_ID, 0, vec![0], None));
        assert_eq!((entry.home, entry.shell), (None, None));
        assert_eq!(users.group("4294967294"), Ok(MAX_ID));
    }
}

#[test]
fn digits_are_a_number_even_where_a_user_or_group_has_them_as_a_name() {
    let entry = users().user("777").unwrap();
    assert_eq!((entry.uid, entry.name), (777, None));
    assert_eq!(users().group("777"), Ok(777));
}

#[test]
fn lines_that_say_nothing_usable_are_passed_over() {
    for name in ["short", "noid", "empty", "huge", "minus", "signed", "nul", "nis", "+nis", "-nis2", "+", "# a comment"]
    {
        assert_eq!(users().user(name).unwrap_err().reason, Reason::Unknown, "{name}");
    }
    assert_eq!(users().group("broken").unwrap_err().reason, Reason::Unknown);
    assert_eq!(users().user("13").unwrap().name, None);
}

#[test]
fn names_and_directories_that_are_no_utf8_are_nobodys() {
    for name in ["caf\u{fffd}", "astray"] {
        assert_eq!(users().user(name).unwrap_err().reason, Reason::Unknown, "{name}");
    }
    assert_eq!(users().group("caf\u{fffd}").unwrap_err().reason, Reason::Unknown);
    let latin = users().user("latin").unwrap();
    assert_eq!((latin.uid, latin.groups, latin.home.as_deref()), (22, vec![22], Some("/home/latin")));
}

#[test]
fn line_ends_indentation_and_missing_fields_do_no_harm() {
    assert_eq!(users().user("windows").unwrap().shell.as_deref(), Some("/bin/sh"));
    assert_eq!(users().user("indented").unwrap().uid, 15);
    let bare = users().user("bare").unwrap();
    assert_eq!((bare.uid, bare.gid, bare.home, bare.shell), (16, 17, None, None));
    assert_eq!(users().group("bare"), Ok(17));
    assert_eq!(users().user("appuser").unwrap().shell, None);
}

#[test]
fn an_error_tells_missing_file_unknown_name_and_bad_number_apart() {
    let text = |error: LookupError| error.to_string();
    assert_eq!(
        text(users().user("apuser").unwrap_err()),
        r#"there is no user "apuser" in /etc/passwd: did you mean "appuser"?"#
    );
    assert_eq!(
        text(users().group("vedio").unwrap_err()),
        r#"there is no group "vedio" in /etc/group: did you mean "video"?"#
    );
    assert_eq!(
        text(users().user("zzz").unwrap_err()),
        r#"there is no user "zzz" in /etc/passwd: add it, or use a number"#
    );
    assert_eq!(
        text(Users::new(None, Some(GROUP_TEXT.into())).user("games").unwrap_err()),
        r#"can't look up user "games": /etc/passwd is missing: add it, or use a number"#
    );
    assert_eq!(
        text(Users::new(Some(PASSWD_TEXT.into()), None).group("video").unwrap_err()),
        r#"can't look up group "video": /etc/group is missing: add it, or use a number"#
    );
    for number in ["4294967295", "4294967296", "99999999999999999999999"] {
        assert_eq!(
            text(users().user(number).unwrap_err()),
            format!("{number:?} is no user id: use a number from 0 to 4294967294")
        );
        assert_eq!(users().group(number).unwrap_err().reason, Reason::TooLarge);
    }
    assert_eq!(text(users().user("").unwrap_err()), "the user is empty: use a name or a number");
    assert_eq!(users().group("").unwrap_err().reason, Reason::Empty);
    assert_eq!(Users::new(Some(String::new()), None).user("a").unwrap_err().reason, Reason::Unknown);
}

#[test]
fn user_and_group_mean_what_gosu_makes_of_them() {
    let root = id_of(0, 9, &[9, 27]);
    for (text, expected, home) in [
        ("games", id_of(5, 60, &[60, 44, 100]), "/usr/games"),
        ("games:", id_of(5, 60, &[60, 44, 100]), "/usr/games"),
        ("5", id_of(5, 60, &[60, 44, 100]), "/usr/games"),
        ("games:video", id_of(5, 44, &[44]), "/usr/games"),
        ("games:7", id_of(5, 7, &[7]), "/usr/games"),
        ("2000", id_of(2000, 9, &[9]), "/"),
        ("2000:app", id_of(2000, 1000, &[1000]), "/"),
        ("2000:2000", id_of(2000, 2000, &[2000]), "/"),
        ("bare", id_of(16, 17, &[17]), "/"),
        ("", id_of(0, 0, &[0]), "/root"),
        (":", id_of(0, 0, &[0]), "/root"),
        (":video", id_of(0, 44, &[44]), "/root"),
        (":0", id_of(0, 0, &[0]), "/root"),
    ] {
        assert_eq!(users().target(text, &root), Ok(Target { identity: expected, home: home.into() }), "{text:?}");
    }
}

#[test]
fn several_groups_are_the_group_and_the_supplementary_groups_and_an_empty_first_one_the_users_own() {
    let root = id_of(0, 9, &[9, 27]);
    for (text, expected) in [
        ("games:video:users", id_of(5, 44, &[44, 100])),
        ("games:video:44:users:video", id_of(5, 44, &[44, 100])),
        ("2000:7:app", id_of(2000, 7, &[7, 1000])),
        ("games::999", id_of(5, 60, &[60, 44, 100, 999])),
        ("games::video:app", id_of(5, 60, &[60, 44, 100, 1000])),
        ("2000::7", id_of(2000, 9, &[9, 7])),
        ("0::7", id_of(0, 0, &[0, 7])),
    ] {
        assert_eq!(users().target(text, &root).map(|target| target.identity), Ok(expected), "{text:?}");
    }
    for (text, kind) in
        [(":1000:50", Kind::User), ("::50", Kind::User), ("games:video:", Kind::Group), ("games::", Kind::Group)]
    {
        let error = users().target(text, &root).unwrap_err();
        assert_eq!((error.kind, error.reason), (kind, Reason::Empty), "{text:?}");
    }
}

#[test]
fn a_user_without_entry_who_names_itself_keeps_its_groups() {
    let random = id_of(1_000_650_000, 0, &[0, 7]);
    for text in ["1000650000", "", "1000650000:"] {
        assert_eq!(users().target(text, &random).unwrap().identity, random, "{text:?}");
    }
    assert_eq!(users().target("1000650000:0", &random).unwrap().identity.groups, [0]);
}

#[test]
fn the_part_that_is_wrong_is_the_one_that_is_named() {
    let root = id_of(0, 0, &[0]);
    for (text, kind, wrong) in
        [("nobdy:video", Kind::User, "nobdy"), ("games:vid", Kind::Group, "vid"), ("games:video:b", Kind::Group, "b")]
    {
        let error = users().target(text, &root).unwrap_err();
        assert_eq!((error.kind, error.text.as_str()), (kind, wrong));
    }
}

/// Text that looks enough like the two files to get past the first check.
fn file() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,200}",
        "([a-z+#-]{0,3}[:,\r\n0-9 ]{0,3}){0,40}",
        "([a-c]{1,2}:x:[0-9]{1,11}:[0-9]{0,3}:[a-c,]{0,4}:/\n){0,9}"
    ]
}

proptest! {
    #[test]
    fn whatever_the_files_hold_an_answer_is_valid(
        passwd in proptest::option::of(file()),
        group in proptest::option::of(file()),
        text in prop_oneof!["\\PC{0,20}", "[a-c]{1,2}", "[0-9]{1,11}", "([a-c0-9]{0,2}:){1,3}[a-c0-9]{0,2}"],
    ) {
        let users = Users::new(passwd, group);
        if let Ok(entry) = users.user(&text) {
            prop_assert!(entry.uid <= MAX_ID && entry.gid <= MAX_ID);
            prop_assert_eq!(entry.groups.first(), Some(&entry.gid));
            for (index, group) in entry.groups.iter().enumerate() {
                prop_assert!(*group <= MAX_ID && !entry.groups[..index].contains(group));
            }
        }
        if let Ok(gid) = users.group(&text) {
            prop_assert!(gid <= MAX_ID);
        }
        match users.target(&text, &id_of(1, 2, &[2])) {
            Ok(target) => prop_assert!(target.identity.uid <= MAX_ID && !target.home.is_empty()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
