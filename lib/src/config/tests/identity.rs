//! Whom a service can't run as, and exactly what is said about it.

use super::*;
use crate::model::switching::Ids;

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
