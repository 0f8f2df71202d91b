//! The users and groups of /etc/passwd and /etc/group, read from their text.
//!
//! Owns: the two formats (passwd(5), group(5)), what a name or a number means in them, and what
//! `USER:GROUP` asks for. Must never: open a file, ask NSS, or know who runs it.
//!
//! Both files are read by us, because a static libc would have to load NSS modules for it. Lines that say
//! nothing usable are passed over: blank ones, `#` comments, NIS entries (`+`, `-`), and lines with a
//! missing field, a NUL byte, a name or directory that is no UTF-8, or a number that is none; so junk never turns into
//! user 0, nor into somebody else. Of several lines for the same name or number the first one counts.

use crate::model::spec::Identity;
use crate::near;
use core::fmt;

/// Where users are looked up.
pub const PASSWD: &str = "/etc/passwd";
/// Where groups are looked up.
pub const GROUP: &str = "/etc/group";
/// The greatest user or group id. 4294967295 is -1, which setresuid(2) takes for "leave it".
pub const MAX_ID: u32 = u32::MAX - 1;

/// The text of both files. A file that is missing is told apart from one that is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Users {
    passwd: Option<String>,
    group: Option<String>,
}

/// What is known about a user.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserEntry {
    /// The user id, [`MAX_ID`] at most.
    pub uid: u32,
    /// The primary group; 0 for a number without an entry, as Docker's `USER 1000` has it.
    pub gid: u32,
    /// All supplementary groups, each once: the primary group, then those of the group file in its order.
    pub groups: Vec<u32>,
    /// The login name; `None` for a number without an entry.
    pub name: Option<String>,
    /// The home directory, where the entry has one.
    pub home: Option<String>,
    /// The login shell, where the entry has one; passwd(5) reads a missing one as `/bin/sh`.
    pub shell: Option<String>,
}

/// What `USER:GROUP` comes to: see [`Users::target`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Whom to become.
    pub identity: Identity,
    /// The home directory, `/` for a user who has none.
    pub home: String,
}

/// Which file a lookup is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A user, in [`PASSWD`].
    User,
    /// A group, in [`GROUP`].
    Group,
}

/// Why a lookup found nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The file has no such name.
    Unknown,
    /// The file is missing, so that there are only numbers.
    NoFile,
    /// A number above [`MAX_ID`].
    TooLarge,
    /// Nothing was named.
    Empty,
}

/// A name that can't be resolved. Its text says what, where and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookupError {
    /// What was looked up.
    pub text: String,
    /// The known name that was probably meant.
    pub near: Option<String>,
    /// Whether a user or a group was wanted.
    pub kind: Kind,
    /// Why there is none.
    pub reason: Reason,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, file) = match self.kind {
            Kind::User => ("user", PASSWD),
            Kind::Group => ("group", GROUP),
        };
        match self.reason {
            Reason::Unknown => write!(f, "there is no {word} {:?} in {file}: ", self.text)?,
            Reason::NoFile => {
                return write!(f, "can't look up {word} {:?}: {file} is missing: add it, or use a number", self.text);
            }
            Reason::TooLarge => {
                return write!(f, "{:?} is no {word} id: use a number from 0 to {MAX_ID}", self.text);
            }
            Reason::Empty => return write!(f, "the {word} is empty: use a name or a number"),
        }
        match &self.near {
            Some(near) => write!(f, "did you mean {near:?}?"),
            None => write!(f, "add it, or use a number"),
        }
    }
}

impl Users {
    /// Takes the text of both files, `None` for one that is missing.
    pub const fn new(passwd: Option<String>, group: Option<String>) -> Users {
        Users { passwd, group }
    }

    /// Looks a user up by name or number. Digits are always a number, even where a user has them as a
    /// name; a number needs no entry.
    ///
    /// # Errors
    /// Where no name matches, or the number is above [`MAX_ID`].
    pub fn user(&self, text: &str) -> Result<UserEntry, LookupError> {
        let number = number(text).map_err(|reason| self.error(Kind::User, text, reason))?;
        let line = self.passwd_lines().find(|line| match number {
            Some(uid) => line.uid == uid,
            None => line.name == text,
        });
        match (line, number) {
            (Some(line), _) => Ok(self.entry(&line)),
            (None, Some(uid)) => {
                Ok(UserEntry { uid, gid: 0, groups: Vec::from([0]), name: None, home: None, shell: None })
            }
            (None, None) => Err(self.error(Kind::User, text, Reason::Unknown)),
        }
    }

    /// Looks a group up by name or number, by the same rules as [`Users::user`].
    ///
    /// # Errors
    /// Where no name matches, or the number is above [`MAX_ID`].
    pub fn group(&self, text: &str) -> Result<u32, LookupError> {
        if let Some(gid) = number(text).map_err(|reason| self.error(Kind::Group, text, reason))? {
            return Ok(gid);
        }
        let line = self.group_lines().find(|line| line.name == text);
        line.map(|line| line.gid).ok_or_else(|| self.error(Kind::Group, text, Reason::Unknown))
    }

    /// What `USER[:GROUP[:GROUP...]]` asks for when `current` runs it. With one group at most it is what gosu makes
    /// of the same text, with several what chpst does:
    ///
    /// | text | user | group | supplementary groups |
    /// |---|---|---|---|
    /// | `USER`, `USER:` | that one | the user's own | the user's own |
    /// | number without entry | that one | the current one | that group only |
    /// | `USER:GROUP` | that one | that one | that group only |
    /// | `USER:GROUP:MORE...` | that one | the first | all of them |
    /// | `USER::MORE...` | that one | the user's own | the user's own and those |
    /// | empty or `:` | the current one | as for its number | as for its number |
    /// | `:GROUP` | the current one | that one | that group only |
    ///
    /// "That group only" is how su-exec has it; gosu leaves the list empty there, which gives the same
    /// rights, and `id -G` prints the same. One thing is added: a user without entry who is the current
    /// one keeps the current groups, so that a random uid needs no privilege to name itself.
    ///
    /// `:A:B` is refused. chpst takes it for user A with group B; here it would be whoever runs it, root most likely.
    ///
    /// # Errors
    /// As [`Users::user`] and [`Users::group`].
    pub fn target(&self, text: &str, current: &Identity) -> Result<Target, LookupError> {
        let mut words = text.split(':');
        let (user, group) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut more = words.peekable();
        if user.is_empty() && more.peek().is_some() {
            return Err(self.error(Kind::User, user, Reason::Empty));
        }
        let entry = if user.is_empty() { self.user(&current.uid.to_string()) } else { self.user(user) }?;
        let home = entry.home.unwrap_or_else(|| String::from("/"));
        let (gid, mut groups) = if !group.is_empty() {
            let gid = self.group(group)?;
            (gid, Vec::from([gid]))
        } else if entry.name.is_some() {
            (entry.gid, entry.groups)
        } else if entry.uid == current.uid {
            (current.gid, current.groups.clone())
        } else {
            (current.gid, Vec::from([current.gid]))
        };
        for group in more {
            let gid = self.group(group)?;
            if !groups.contains(&gid) {
                groups.push(gid);
            }
        }
        Ok(Target { identity: Identity { uid: entry.uid, gid, groups }, home })
    }

    fn entry(&self, line: &PasswdLine<'_>) -> UserEntry {
        let mut groups = Vec::from([line.gid]);
        for group in self.group_lines() {
            if !groups.contains(&group.gid) && group.members.split(',').any(|member| member.trim() == line.name) {
                groups.push(group.gid);
            }
        }
        let filled = |text: &str| (!text.is_empty()).then(|| String::from(text));
        UserEntry {
            uid: line.uid,
            gid: line.gid,
            groups,
            name: filled(line.name),
            home: filled(line.home),
            shell: filled(line.shell),
        }
    }

    fn passwd_lines(&self) -> impl Iterator<Item = PasswdLine<'_>> {
        lines(self.passwd.as_deref()).filter_map(PasswdLine::parse)
    }

    fn group_lines(&self) -> impl Iterator<Item = GroupLine<'_>> {
        lines(self.group.as_deref()).filter_map(GroupLine::parse)
    }

    fn error(&self, kind: Kind, text: &str, reason: Reason) -> LookupError {
        let (file, near) = match kind {
            Kind::User => (&self.passwd, near::nearest(text, self.passwd_lines().map(|line| line.name))),
            Kind::Group => (&self.group, near::nearest(text, self.group_lines().map(|line| line.name))),
        };
        let reason = if reason == Reason::Unknown && file.is_none() { Reason::NoFile } else { reason };
        let near = near.filter(|_| reason == Reason::Unknown).map(String::from);
        LookupError { text: String::from(text), near, kind, reason }
    }
}

struct PasswdLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
    shell: &'a str,
}

impl<'a> PasswdLine<'a> {
    /// `name:password:uid:gid:gecos:home:shell`; what comes after the gid may be missing.
    fn parse(line: &'a str) -> Option<PasswdLine<'a>> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let _password = fields.next()?;
        let uid = id(fields.next()?)?;
        let gid = id(fields.next()?)?;
        let _gecos = fields.next();
        let (home, shell) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let is_utf8 = ![name, home, shell].iter().any(|field| field.contains(char::REPLACEMENT_CHARACTER));
        is_utf8.then_some(PasswdLine { name, uid, gid, home, shell })
    }
}

struct GroupLine<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> GroupLine<'a> {
    /// `name:password:gid:member,member`; the members may be missing.
    fn parse(line: &'a str) -> Option<GroupLine<'a>> {
        let mut fields = line.split(':');
        let is_name = |name: &&str| !name.is_empty() && !name.contains(char::REPLACEMENT_CHARACTER);
        let name = fields.next().filter(is_name)?;
        let _password = fields.next()?;
        let gid = id(fields.next()?)?;
        Some(GroupLine { name, gid, members: fields.next().unwrap_or_default() })
    }
}

/// The lines that may hold an entry: no comment, no NIS entry, and no NUL byte, which no C string can have;
/// without white space around them (a carriage return included).
fn lines(text: Option<&str>) -> impl Iterator<Item = &str> {
    let usable = |line: &&str| !line.starts_with(['#', '+', '-']) && !line.contains('\0');
    text.unwrap_or_default().lines().map(str::trim).filter(usable)
}

/// An id as the files write it.
fn id(text: &str) -> Option<u32> {
    number(text.trim()).ok().flatten()
}

/// `None` for a text that is no number and so must be a name.
fn number(text: &str) -> Result<Option<u32>, Reason> {
    if text.is_empty() {
        return Err(Reason::Empty);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    // Nothing but digits: too many of them is the only thing that can be wrong.
    text.parse().ok().filter(|id| *id <= MAX_ID).map(Some).ok_or(Reason::TooLarge)
}

#[cfg(test)]
mod tests;
