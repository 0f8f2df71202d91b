//! Whom a service runs as.
//!
//! Owns: `user`, `group`, `groups` and what they mean for HOME, USER, LOGNAME, SHELL; `control_group`. Must never: read
//! the user database itself; [`Users`] stands for it.

use crate::config::Context;
use crate::config::keys::Id;
use crate::config::node::Node;
use crate::config::problem::Fault;
use crate::config::service::Scope;
use crate::config::values;
use crate::model::doctor::START_AS_ROOT;
use crate::model::spec::Identity;
use crate::model::users::{self, UserEntry};
use std::collections::BTreeSet;

/// The users and groups of the container.
pub trait Users {
    /// A user by name or number. A number needs no entry.
    fn user(&self, text: &str) -> Result<UserEntry, LookupError>;
    /// A group by name or number. A number needs no entry.
    fn group(&self, text: &str) -> Result<u32, LookupError>;
}

/// Why a user or group was not found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookupError {
    /// The reason, as in `no user "wwww" here`.
    pub text: String,
    /// The name that was probably meant.
    pub near: Option<String>,
}

impl From<LookupError> for Fault {
    fn from(error: LookupError) -> Fault {
        Fault::new(error.text).near(error.near)
    }
}

/// The credentials to take on (`None`: nothing changes), and the user whose HOME, USER, LOGNAME and
/// SHELL the service gets (`None`: it is zei-init's own).
pub fn read(scope: &Scope) -> (Option<Identity>, Option<UserEntry>) {
    let Some(asked) = completed(scope, asked(scope)) else { return (None, None) };
    let own = &scope.context.own;
    let mut gid = asked.user.as_ref().map_or(own.gid, |user| user.gid);
    if let Some(group) = asked.group {
        gid = group;
    }
    let groups = match (&asked.groups, &asked.user) {
        (Some(groups), _) => groups.clone(),
        (None, Some(user)) => user.groups.clone(),
        (None, None) => own.groups.clone(),
    };
    let mut identity = Identity { uid: asked.user.as_ref().map_or(own.uid, |user| user.uid), gid, groups };
    if !scope.context.may_switch_user {
        refuse_another(scope, &identity, asked.groups.is_some());
        return (None, None);
    }
    refuse_ungranted(scope, &mut identity, asked.groups.is_some());
    let other = asked.user.filter(|user| user.uid != own.uid);
    (Some(identity), other)
}

/// Where zei-init is another at rest than what a process of its begins as, every service says who it is.
fn completed(scope: &Scope, asked: Option<Asked>) -> Option<Asked> {
    if !scope.context.elevated {
        return asked;
    }
    let mut asked = asked.unwrap_or_default();
    if asked.user.is_none() && !scope.is_cmd {
        asked.user = scope.context.users.user("0").ok();
    }
    Some(asked)
}

/// The group that may control services. Only root can give something to a group that it is not in itself.
pub fn control_group(node: &Node, context: &Context) -> Result<u32, Fault> {
    let gid = context.users.group(values::text(node)?)?;
    let own = &context.own;
    if context.may_switch_user || gid == own.gid || own.groups.contains(&gid) {
        return Ok(gid);
    }
    Err(Fault::new(format!(
        "control can't be given to group {gid}, because zei-init runs as user {} and is not in it; add that group to the \
         container (docker run --group-add {gid}), start it as root, or take this away",
        own.uid
    )))
}

#[derive(Default)]
struct Asked {
    user: Option<UserEntry>,
    group: Option<u32>,
    groups: Option<Vec<u32>>,
}

/// What the keys say; `None`: nothing, or something wrong.
fn asked(scope: &Scope) -> Option<Asked> {
    let users = scope.context.users;
    let group = |text: &str| users.group(text).map_err(Fault::from);
    let user = scope.read(Id::User, |node| {
        let text = values::text(node)?;
        let (name, suffix) = text.split_once(':').unwrap_or((text, ""));
        // As in `docker run --user`, an empty part says nothing.
        let user = if name.is_empty() { None } else { Some(users.user(name)?) };
        let suffix = if suffix.is_empty() { None } else { Some(group(suffix)?) };
        Ok::<_, Fault>((user, suffix))
    });
    // Wrong, and said so: what the group alone would mean is beside the point.
    if user.is_none() && scope.section.entry(Id::User).is_some() {
        return None;
    }
    let own_group = scope.read(Id::Group, |node| group(values::text(node)?));
    let groups = scope.read(Id::Groups, |node| {
        let mut ids = Vec::new();
        for name in values::texts(node)? {
            ids.push(group(&name)?);
        }
        Ok::<_, Vec<Fault>>(ids)
    });
    if user.is_none() && own_group.is_none() && groups.is_none() {
        return None;
    }
    let (user, suffix) = user.unwrap_or_default();
    if let (Some(entry), Some(_)) = (scope.section.entry(Id::Group), suffix)
        && !entry.is_default
    {
        scope.fault(entry, Fault::new("the group stands behind the colon in user already; keep one of them"));
    }
    Some(Asked { user, group: suffix.or(own_group), groups })
}

/// All groups of an identity, its own counted in.
fn all_groups(identity: &Identity) -> BTreeSet<u32> {
    identity.groups.iter().copied().chain([identity.gid]).collect()
}

/// Where the group of a service comes from.
fn group_key(scope: &Scope) -> Id {
    if scope.section.entry(Id::Group).is_some() { Id::Group } else { Id::User }
}

/// Says what is in the way, where root may not do everything. Groups that give the same rights are left as they are then.
fn refuse_ungranted(scope: &Scope, wanted: &mut Identity, groups_given: bool) {
    let (own, granted) = (&scope.context.own, &scope.context.granted);
    let refuse = |id, what: &str, obstacle| {
        scope.fault_of(id, Fault::new(format!("{what} can't be had, because {obstacle}")));
    };
    let to_user = granted.obstacle_to_user(wanted.uid).filter(|_| wanted.uid != own.uid);
    let to_group = granted.obstacle_to_group(wanted.gid).filter(|_| wanted.gid != own.gid);
    let to_groups = granted.obstacle_to_groups(&wanted.groups).filter(|_| wanted.groups != own.groups);
    if let Some(obstacle) = to_user {
        refuse(Id::User, &format!("user {}", wanted.uid), obstacle);
    } else if let Some(obstacle) = to_group {
        refuse(group_key(scope), &format!("group {}", wanted.gid), obstacle);
    } else if let Some(obstacle) = to_groups {
        if wanted.gid == own.gid && all_groups(wanted) == all_groups(own) {
            wanted.groups.clone_from(&own.groups);
        } else {
            let id = if groups_given { Id::Groups } else { group_key(scope) };
            refuse(id, "its supplementary groups", obstacle);
        }
    }
}

/// Says why another user can't be had, where one is wanted.
fn refuse_another(scope: &Scope, wanted: &Identity, groups_given: bool) {
    let own = &scope.context.own;
    let why = |what, ours| match &scope.context.unelevated {
        Some(finding) => finding.text(),
        None => format!("zei-init runs as {what} {ours} and not as root; {START_AS_ROOT}"),
    };
    let (id, what, number, ours) = if wanted.uid != own.uid {
        (Id::User, "user", wanted.uid, own.uid)
    } else if wanted.gid != own.gid {
        (group_key(scope), "group", wanted.gid, own.gid)
    } else if groups_given && all_groups(wanted) != all_groups(own) {
        let text = format!("other groups can't be taken on, because {}, or take this away", why("user", own.uid));
        return scope.fault_of(Id::Groups, Fault::new(text));
    } else {
        return;
    };
    let text = format!("{what} {number} can't be had, because {}, or take this away", why(what, ours));
    scope.fault_of(id, Fault::new(text));
}

impl Users for users::Users {
    fn user(&self, text: &str) -> Result<UserEntry, LookupError> {
        let entry = users::Users::user(self, text)?;
        // A number that nobody is known by is in no group beside its own.
        let groups = if entry.name.is_some() { entry.groups } else { Vec::new() };
        Ok(UserEntry { groups, ..entry })
    }

    fn group(&self, text: &str) -> Result<u32, LookupError> {
        Ok(users::Users::group(self, text)?)
    }
}

impl From<users::LookupError> for LookupError {
    /// The near word is told apart from the rest of the message, as every problem has it.
    fn from(error: users::LookupError) -> LookupError {
        let near = error.near.clone();
        let whole = users::LookupError { near: None, ..error }.to_string();
        let text = if near.is_some() { whole.trim_end_matches(": add it, or use a number").to_owned() } else { whole };
        LookupError { text, near }
    }
}
