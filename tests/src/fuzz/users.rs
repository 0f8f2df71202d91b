//! A passwd and a group file of any bytes, and who is found in them.
//!
//! Owns: what must hold, by a reading of its own of both formats. Must never: know the user database of the machine.

use zei::model::spec::Identity;
use zei::model::users::{MAX_ID, Reason, Users};

/// The passwd file, the group file and a question, separated by lines that are `---`.
pub(super) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(3, "\n---\n");
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (passwd, group, question) = (part(), part(), part());
    let users = Users::new(Some(passwd.clone()), Some(group.clone()));
    let files = Files { passwd: fields(&passwd, &[0, 5, 6]), group: fields(&group, &[0]) };

    let names = |lines: &[Vec<&str>]| lines.iter().map(|line| line[0].to_owned()).collect::<Vec<_>>();
    let mut asked = names(&files.passwd);
    asked.extend(names(&files.group));
    asked.extend(files.passwd.iter().filter_map(|line| Some(line.get(2)?.trim().to_owned())));
    asked.push(question.clone());
    asked.truncate(64);
    for text in &asked {
        user(&users, &files, text);
        found_group(&users, &files, text);
        target(&users, text);
    }
    target(&users, &asked.join(":"));
    missing(&question);
}

struct Files<'a> {
    passwd: Vec<Vec<&'a str>>,
    group: Vec<Vec<&'a str>>,
}

/// The lines that say something usable, by their fields; in the `used` ones it must be UTF-8.
fn fields<'a>(text: &'a str, used: &[usize]) -> Vec<Vec<&'a str>> {
    let usable = |line: &&str| !line.is_empty() && !line.starts_with(['#', '+', '-', ':']) && !line.contains('\0');
    // Elsewhere it does no harm: a real name may be in an old encoding.
    let utf8 = |line: &Vec<&str>| !used.iter().any(|at| line.get(*at).is_some_and(|field| field.contains('\u{fffd}')));
    text.lines().map(str::trim).filter(usable).map(|line| line.split(':').collect()).filter(utf8).collect()
}

/// A number as the files may have it.
fn number(text: Option<&&str>) -> Option<u32> {
    let text = text?.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id <= MAX_ID)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn user(users: &Users, files: &Files, text: &str) {
    let entries = files.passwd.iter().filter_map(|line| Some((line, number(line.get(2))?, number(line.get(3))?)));
    let mut matching = entries.filter(|(line, uid, _)| match is_number(text) {
        true => text.parse() == Ok(*uid),
        false => line[0] == text,
    });
    let first = matching.next();
    match users.user(text) {
        Ok(found) => {
            assert!(found.uid <= MAX_ID);
            match first {
                Some((line, uid, gid)) => {
                    assert_eq!((found.uid, found.gid, found.name.as_deref()), (uid, gid, Some(line[0])));
                    let or_none = |at: usize| line.get(at).filter(|text| !text.is_empty()).map(ToString::to_string);
                    assert_eq!((found.home, found.shell), (or_none(5), or_none(6)));
                }
                None => assert!(is_number(text) && found.name.is_none() && text.parse() == Ok(found.uid), "{found:?}"),
            }
            assert_eq!(found.groups.first(), Some(&found.gid));
            for (at, gid) in found.groups.iter().enumerate() {
                assert!(!found.groups[..at].contains(gid), "twice: {:?}", found.groups);
                assert!(at == 0 || files.is_member(*gid, found.name.as_deref()), "{gid} of {:?}", found.groups);
            }
        }
        Err(error) => {
            assert!(first.is_none(), "{error} in spite of {first:?}");
            assert!(error.near.is_none_or(|near| files.passwd.iter().any(|line| line[0] == near)));
        }
    }
}

impl Files<'_> {
    fn is_member(&self, gid: u32, name: Option<&str>) -> bool {
        let lists = |members: &&str| members.split(',').any(|member| Some(member.trim()) == name);
        self.group.iter().any(|line| number(line.get(2)) == Some(gid) && line.get(3).is_some_and(lists))
    }
}

fn found_group(users: &Users, files: &Files, text: &str) {
    let mut matching = files.group.iter().filter(|line| line[0] == text).filter_map(|line| number(line.get(2)));
    match users.group(text) {
        Ok(gid) if is_number(text) => assert_eq!(text.parse(), Ok(gid)),
        Ok(gid) => assert_eq!(Some(gid), matching.next()),
        Err(error) if is_number(text) => assert_eq!(error.reason, Reason::TooLarge),
        Err(error) => assert_eq!(matching.next(), None, "{error}"),
    }
}

fn target(users: &Users, text: &str) {
    let current = Identity { uid: 1000, gid: 1001, groups: vec![1001, 1002] };
    let (user, list) = text.split_once(':').unwrap_or((text, ""));
    let groups: Vec<_> = list.split(':').collect();
    // An empty first one is the user's own.
    let named = if groups[0].is_empty() { &groups[1..] } else { &groups[..] };
    match users.target(text, &current) {
        Ok(target) => {
            assert!(!user.is_empty() || groups.len() == 1, "{text:?} is {target:?}");
            let known = users.user(if user.is_empty() { "1000" } else { user }).expect("it was found");
            assert_eq!((target.identity.uid, target.home), (known.uid, known.home.unwrap_or_else(|| "/".to_owned())));
            assert!(target.identity.gid <= MAX_ID && target.identity.groups.iter().all(|gid| *gid <= MAX_ID));
            let mut found: Vec<u32> = named.iter().map(|group| users.group(group).expect("it was found")).collect();
            assert!(found.iter().all(|gid| target.identity.groups.contains(gid)));
            if !groups[0].is_empty() {
                assert_eq!(found.first(), Some(&target.identity.gid));
                found.sort_unstable();
                found.dedup();
                assert_eq!(target.identity.groups.len(), found.len());
            }
        }
        Err(error) => {
            let known = if user.is_empty() { groups.len() == 1 } else { users.user(user).is_ok() };
            assert!(!known || named.iter().any(|group| users.group(group).is_err()), "{error}");
        }
    }
}

/// Without the files there are only numbers.
fn missing(text: &str) {
    let none = Users::new(None, None);
    let reason = match text {
        "" => Reason::Empty,
        _ if is_number(text) => Reason::TooLarge,
        _ => Reason::NoFile,
    };
    assert!(none.user(text).map_err(|error| error.reason).map_or_else(|known| known == reason, |_| is_number(text)));
    assert!(none.group(text).map_err(|error| error.reason).map_or_else(|known| known == reason, |_| is_number(text)));
}
