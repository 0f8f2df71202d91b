//! Who can't become another, nor give control to others, is told so.

use super::*;
use crate::model::doctor::{Finding, Grade};
use crate::model::switching::Ids;

#[test]
fn who_cannot_switch_users_is_told_why_and_what_to_do() {
    let world = World { own: 80, may_switch_user: false, ..World::new() };
    let problem = |keys: &str| world.problems(&[("z.yaml", &with(keys))]);
    assert_eq!(
        problem("user: db"),
        [
            "z.yaml:4: service \"a\": user: user 70 can't be had, because zei-init runs as user 80 and not as root; start the \
          container as root (no USER line, no --user), or take this away"
        ]
    );
    assert_eq!(
        problem("group: db"),
        [
            "z.yaml:4: service \"a\": group: group 70 can't be had, because zei-init runs as group 80 and not as root; start \
          the container as root (no USER line, no --user), or take this away"
        ]
    );
    assert_eq!(
        problem("groups: [db]"),
        [
            "z.yaml:4: service \"a\": groups: other groups can't be taken on, because zei-init runs as user 80 and not as \
          root; start the container as root (no USER line, no --user), or take this away"
        ]
    );
    assert_eq!(problem("user: wwww\n    group: db").len(), 1);
    assert_eq!(problem("user: www"), [""; 0]);
    assert_eq!(problem("user: 80:80"), [""; 0]);
}

#[test]
fn who_has_a_setuid_root_zei_init_to_no_effect_is_told_what_the_doctor_says() {
    let finding = Finding {
        key: "users",
        grade: Grade::Degraded,
        sentence: "services can run as uid 80 only: of a reason".to_owned(),
        remedy: Some("do this".to_owned()),
    };
    let world = World { own: 80, may_switch_user: false, unelevated: Some(finding), ..World::new() };
    let problem = |keys: &str| world.problems(&[("z.yaml", &with(keys))]);
    for (keys, what) in [
        ("user: db", "user: user 70 can't be had"),
        ("group: db", "group: group 70 can't be had"),
        ("groups: [db]", "groups: other groups can't be taken on"),
    ] {
        assert_eq!(
            problem(keys),
            [format!(
                "z.yaml:4: service \"a\": {what}, because services can run as uid 80 only: of a reason; to change that: do \
                 this, or take this away"
            )]
        );
    }
    assert_eq!(problem("user: www"), [""; 0]);
}

#[test]
fn who_is_not_in_the_group_that_control_is_for_is_told_why_and_what_to_do() {
    let world = World { own: 80, may_switch_user: false, ..World::new() };
    let problems =
        |group: &str| world.problems(&[("z.yaml", &format!("{}control_group: {group}\n", with("umask: 022")))]);
    assert_eq!(
        problems("db"),
        [
            "z.yaml:5: control_group: control can't be given to group 70, because zei-init runs as user 80 and is not in it; add \
          that group to the container (docker run --group-add 70), start it as root, or take this away"
        ]
    );
    assert_eq!(problems("www"), [""; 0]);
}

#[test]
fn root_that_may_not_do_everything_is_told_what_is_missing_and_what_to_do() {
    let all = Granted::default;
    let one = || Ids::of_map("0 0 1");
    let rows = [
        (
            Granted { set_uid: false, ..all() },
            "user: db",
            "user: user 70 can't be had, because this container lacks \
          CAP_SETUID; start it with --cap-add SETUID, or take this away",
        ),
        (
            Granted { set_gid: false, ..all() },
            "user: db",
            "user: group 70 can't be had, because this container lacks \
          CAP_SETGID; start it with --cap-add SETGID, or take this away",
        ),
        (
            Granted { set_gid: false, ..all() },
            "user: '70:0'",
            "user: its supplementary groups can't be had, because this \
          container lacks CAP_SETGID; start it with --cap-add SETGID, or take this away",
        ),
        (
            Granted { uids: one(), ..all() },
            "user: db",
            "user: user 70 can't be had, because this container's user \
          namespace does not map it (/proc/self/uid_map); map it, or take this away",
        ),
        (
            Granted { gids: one(), ..all() },
            "group: db",
            "group: group 70 can't be had, because this container's user \
          namespace does not map it (/proc/self/gid_map); map it, or take this away",
        ),
        (
            Granted { set_groups: false, ..all() },
            "groups: [db]",
            "groups: its supplementary groups can't be had, because \
          this container's user namespace denies setgroups (/proc/self/setgroups); map groups with newgidmap, or take this \
          away",
        ),
    ];
    for (granted, keys, expected) in rows {
        let world = World { granted, ..World::new() };
        assert_eq!(world.problems(&[("z.yaml", &with(keys))]), [format!("z.yaml:4: service \"a\": {expected}")]);
    }
}

#[test]
fn groups_that_give_the_same_rights_take_no_right_to_set_them() {
    let world = World { granted: Granted { set_gid: false, ..Granted::default() }, ..World::new() };
    let config = world.config(&with("groups: [root]"));
    assert_eq!(config.services[0].identity.as_ref().map(|identity| identity.groups.len()), Some(0));
}
