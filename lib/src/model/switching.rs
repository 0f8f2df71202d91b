//! Whether a service can run as somebody else, and what is in the way.
//!
//! Owns: the conditions, and the words for each. Must never: look at the system; `sys::credentials` does.

use core::fmt;

/// What root may do here to run a service as somebody else. Nothing of it helps whoever is not root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Granted {
    /// CAP_SETUID: it can become another user.
    pub set_uid: bool,
    /// CAP_SETGID: it can take other groups on.
    pub set_gid: bool,
    /// CAP_KILL: it can signal the processes of another user.
    pub kill: bool,
    /// CAP_CHOWN: it can give away what it has made.
    pub chown: bool,
    /// The user namespace lets supplementary groups be set (user_namespaces(7), `/proc/PID/setgroups`).
    pub set_groups: bool,
    /// The users that there are (`/proc/PID/uid_map`).
    pub uids: Ids,
    /// The groups that there are (`/proc/PID/gid_map`).
    pub gids: Ids,
}

impl Default for Granted {
    /// All of it, as outside of any container.
    fn default() -> Granted {
        let ids = Ids::default();
        Granted {
            set_uid: true,
            set_gid: true,
            kill: true,
            chown: true,
            set_groups: true,
            uids: ids.clone(),
            gids: ids,
        }
    }
}

/// Ids that a user namespace maps: first, and how many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ids(Vec<(u32, u32)>);

impl Default for Ids {
    fn default() -> Ids {
        Ids(vec![(0, u32::MAX)])
    }
}

impl Ids {
    /// By the text of a map, whose lines are `FIRST OUTSIDE COUNT`.
    pub fn of_map(text: &str) -> Ids {
        let range = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            let (first, _outside, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
            Some((first, count))
        };
        let ranges = text.lines().filter_map(range);
        Ids(ranges.collect())
    }

    /// Whether it is there.
    pub fn has(&self, id: u32) -> bool {
        self.0.iter().any(|(first, count)| id >= *first && id - first < *count)
    }

    /// Whether there is no other.
    pub fn are_only(&self, id: u32) -> bool {
        self.has(id) && self.0.iter().map(|(_, count)| u64::from(*count)).sum::<u64>() == 1
    }
}

/// Why a user or a group can't be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// A capability is missing, this one.
    Lacks(&'static str),
    /// There is no such user here.
    NoSuchUser,
    /// There is no such group here.
    NoSuchGroup,
    /// Supplementary groups stay as they are.
    NoGroups,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Lacks(capability) => write!(
                f,
                "this container lacks CAP_{capability}; start it with --cap-add {capability}, or take this away"
            ),
            Obstacle::NoSuchUser => f.write_str(
                "this container's user namespace does not map it (/proc/self/uid_map); map it, or take this away",
            ),
            Obstacle::NoSuchGroup => f.write_str(
                "this container's user namespace does not map it (/proc/self/gid_map); map it, or take this away",
            ),
            Obstacle::NoGroups => f.write_str(
                "this container's user namespace denies setgroups (/proc/self/setgroups); map groups with newgidmap, or take this away",
            ),
        }
    }
}

impl Granted {
    /// What is in the way of becoming this user.
    pub fn obstacle_to_user(&self, uid: u32) -> Option<Obstacle> {
        if !self.uids.has(uid) {
            return Some(Obstacle::NoSuchUser);
        }
        (!self.set_uid).then_some(Obstacle::Lacks("SETUID"))
    }

    /// What is in the way of this group as the process's own.
    pub fn obstacle_to_group(&self, gid: u32) -> Option<Obstacle> {
        if !self.gids.has(gid) {
            return Some(Obstacle::NoSuchGroup);
        }
        (!self.set_gid).then_some(Obstacle::Lacks("SETGID"))
    }

    /// What is in the way of these groups beside it.
    pub fn obstacle_to_groups(&self, groups: &[u32]) -> Option<Obstacle> {
        if !self.set_groups {
            return Some(Obstacle::NoGroups);
        }
        if !self.set_gid {
            return Some(Obstacle::Lacks("SETGID"));
        }
        groups.iter().any(|gid| !self.gids.has(*gid)).then_some(Obstacle::NoSuchGroup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_what_stands_in_one_of_its_lines() {
        let ids = Ids::of_map("         0       1000          1\n         1     100000      65536\n");
        for (id, is_there) in [(0, true), (1, true), (65_536, true), (65_537, false)] {
            assert_eq!(ids.has(id), is_there, "{id}");
        }
        let one = Ids::of_map("0 0 1\n");
        assert!(one.has(0) && !one.has(1) && one.are_only(0) && !ids.are_only(0));
        assert!(Ids::of_map("0 0 4294967295\n") == Ids::default());
        assert!(!Ids::of_map("").has(0));
    }

    #[test]
    fn what_is_missing_is_named() {
        let all = Granted::default();
        assert_eq!(
            (all.obstacle_to_user(7), all.obstacle_to_group(7), all.obstacle_to_groups(&[7])),
            (None, None, None)
        );
        let no_uid = Granted { set_uid: false, ..all.clone() };
        assert_eq!(no_uid.obstacle_to_user(7), Some(Obstacle::Lacks("SETUID")));
        let no_gid = Granted { set_gid: false, ..all.clone() };
        assert_eq!(no_gid.obstacle_to_group(7), Some(Obstacle::Lacks("SETGID")));
        assert_eq!(no_gid.obstacle_to_groups(&[]), Some(Obstacle::Lacks("SETGID")));
        let one = Ids::of_map("0 0 1");
        let mapped = Granted { uids: one.clone(), gids: one, ..all.clone() };
        assert_eq!(mapped.obstacle_to_user(7), Some(Obstacle::NoSuchUser));
        assert_eq!(mapped.obstacle_to_group(7), Some(Obstacle::NoSuchGroup));
        assert_eq!(mapped.obstacle_to_groups(&[7]), Some(Obstacle::NoSuchGroup));
        let denied = Granted { set_groups: false, ..all };
        assert_eq!(denied.obstacle_to_groups(&[]), Some(Obstacle::NoGroups));
    }
}
