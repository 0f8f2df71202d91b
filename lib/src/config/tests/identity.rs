//! Who can't become another, nor give control to others, is told so.

use super::*;

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
          root; start the container as root, or take this away"
        ]
    );
    assert_eq!(problem("user: wwww\n    group: db").len(), 1);
    assert_eq!(problem("user: www"), [""; 0]);
    assert_eq!(problem("user: 80:80"), [""; 0]);
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
