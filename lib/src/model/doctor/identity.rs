//! Whom zei runs as, and whether services can run as somebody else.
//!
//! Must never: name a reason that does not hold, nor a remedy that one of the others would undo.

use super::{Facts, Finding};
use crate::model::switching::Granted;

/// What gives zei-init all rights that the container has.
pub const START_AS_ROOT: &str = "start the container as root (no USER line, no --user)";

/// Whom a process runs as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Who {
    /// Its real user: who started it.
    pub uid: u32,
    /// Its effective user.
    pub effective: u32,
    /// Its saved user.
    pub saved: u32,
    /// Its real group.
    pub gid: u32,
    /// What the real user is called in /etc/passwd.
    pub name: Option<String>,
    /// No program gives it rights any more.
    pub no_new_privs: bool,
    /// zei-init is PID 1, or would be: nobody else is given anything by its file.
    pub is_first: bool,
    /// Its program.
    pub file: File,
}

/// The file of zei-init.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Where it is.
    pub path: String,
    /// It belongs to root and is setuid.
    pub is_setuid_root: bool,
    /// It is on a file system on which that has no effect.
    pub is_nosuid: bool,
}

/// Who it is.
pub fn user(facts: &Facts) -> Finding {
    let Who { uid, gid, name, .. } = &facts.who;
    let known = match (uid, name, &facts.passwd) {
        (0, ..) => String::from("root"),
        (_, Some(name), _) => format!("{name} in /etc/passwd"),
        (_, None, Ok(())) => String::from("no entry in /etc/passwd, and none is needed"),
        (_, None, Err(_)) => String::from("no name is needed"),
    };
    Finding::ok("user", format!("zei runs as uid {uid}, gid {gid} ({known})"))
}

/// Whether services can run as other users.
pub fn users(who: &Who, granted: &Granted) -> Finding {
    let key = "users";
    let (reasons, remedy) = if who.effective == 0 { of_root(granted) } else { of_another(who, granted) };
    if reasons.is_empty() {
        let how = match (who.uid, &who.file.path) {
            (0, _) => String::new(),
            (uid, path) => format!(": {path} is setuid root (uids {uid} {} {})", who.effective, who.saved),
        };
        return Finding::ok(key, format!("services can run as other users{how}"));
    }
    let sentence = format!("services can run as uid {} only: {}", who.uid, reasons.join(", and "));
    Finding::degraded(key, sentence, remedy)
}

/// The same, where zei-init's file is setuid root, and that has no effect.
pub fn unelevated(who: &Who, granted: &Granted) -> Option<Finding> {
    (who.effective != 0 && who.file.is_setuid_root).then(|| users(who, granted))
}

/// What is missing of the capabilities that it takes, and what would bring them.
fn lacking(granted: &Granted) -> (Vec<String>, Option<String>) {
    let lacks: Vec<&str> = [(granted.set_uid, "SETUID"), (granted.set_gid, "SETGID")]
        .into_iter()
        .filter_map(|(has, capability)| (!has).then_some(capability))
        .collect();
    let options: String = lacks.iter().map(|capability| format!(" --cap-add {capability}")).collect();
    let reasons = lacks.iter().map(|capability| format!("this container lacks CAP_{capability}")).collect();
    (reasons, (!lacks.is_empty()).then(|| format!("docker run{options}")))
}

fn of_root(granted: &Granted) -> (Vec<String>, String) {
    let (mut reasons, remedy) = lacking(granted);
    let mut remedies = Vec::from_iter(remedy);
    let is_alone = granted.uids.are_only(0);
    if is_alone {
        reasons.push(String::from("the user namespace maps uid 0 only (/proc/self/uid_map)"));
    }
    if !granted.set_groups {
        reasons.push(String::from("the user namespace denies setgroups (/proc/self/setgroups)"));
    }
    if is_alone || !granted.set_groups {
        remedies.push(String::from("map a range of ids (newuidmap, newgidmap)"));
    }
    (reasons, remedies.join(", and "))
}

fn of_another(who: &Who, granted: &Granted) -> (Vec<String>, String) {
    let File { path, is_setuid_root, is_nosuid } = &who.file;
    let mut reasons = vec![String::from("zei was not started as root")];
    if !granted.uids.has(0) {
        reasons.push(String::from("the user namespace has no uid 0 (/proc/self/uid_map)"));
        return (reasons, String::from("map uid 0, and start the container as it"));
    }
    let mut remedies = vec![String::from(START_AS_ROOT)];
    let mut by_file = Vec::new();
    if !is_setuid_root {
        reasons.push(format!("{path} is not setuid root"));
        by_file.push("chown root and chmod u+s that file");
    }
    if *is_nosuid {
        reasons.push(format!("{path} is on a mount that is nosuid"));
        by_file.push("mount its file system without nosuid");
    }
    if who.no_new_privs {
        reasons.push(String::from("no_new_privs is set"));
        by_file.push("start without --security-opt no-new-privileges");
    }
    if !who.is_first {
        reasons.push(String::from("the setuid bit counts for PID 1 only"));
        by_file.push("start it as PID 1 (docker run without --init)");
    }
    let (lacks, to_add) = lacking(granted);
    if !by_file.is_empty() {
        remedies.push(by_file.join(" and "));
    } else if lacks.is_empty() {
        reasons.push(format!("{path} is setuid root to no effect"));
    } else {
        // It is enough: the file does the rest.
        remedies.clear();
    }
    reasons.extend(lacks);
    // Neither root nor a setuid file is enough without them.
    let alternatives = Some(remedies.join(", or ")).filter(|text| !text.is_empty());
    (reasons, to_add.into_iter().chain(alternatives).collect::<Vec<_>>().join(", and "))
}

/// A zei-init with root in reserve that can't make control its starter's has none to give.
pub fn no_control(starter: Option<u32>, granted: &Granted) -> Option<Finding> {
    let uid = starter.filter(|_| !granted.chown)?;
    let sentence = format!(
        "services run without control, as this container lacks CAP_CHOWN, and so nothing to control them by can be uid {uid}'s"
    );
    Some(Finding::degraded("run_directory", sentence, "docker run --cap-add CHOWN"))
}

/// Whether what runs as others can be signalled.
pub fn kill(who: &Who, granted: &Granted) -> Finding {
    let key = "kill";
    if who.effective != 0 {
        return Finding::ok(key, "services can be signalled, as all run as the same user");
    }
    if granted.kill {
        return Finding::ok(key, "services under other users can be signalled");
    }
    if granted.set_uid {
        return Finding::degraded(
            key,
            "services under other users are signalled by a process that becomes that user, as this container lacks CAP_KILL",
            "docker run --cap-add KILL",
        );
    }
    Finding::degraded(
        key,
        "what becomes another user by itself can't be signalled, as this container lacks CAP_KILL and CAP_SETUID",
        "docker run --cap-add KILL",
    )
}
