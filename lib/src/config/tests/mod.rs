//! Tests of the configuration as a whole.

mod effects;
mod identity;
mod life;
mod maps;
mod problems;
mod sources;

use super::*;
use crate::model::spec::ServiceSpec;
use crate::model::switching::Granted;
use crate::model::users::UserEntry;
use std::path::Path;

/// A container with the users root, www and db, in which FOO is set.
struct World {
    users: Database,
    environment: Vec<(OsString, OsString)>,
    own: u32,
    may_switch_user: bool,
    elevated: bool,
    granted: Granted,
    unelevated: Option<Finding>,
    command: Option<Vec<OsString>>,
}

/// A test double of the user database.
struct Database;

impl Database {
    const NAMES: &[(&str, u32)] = &[("root", 0), ("db", 70), ("www", 80)];

    fn id(what: &str, text: &str) -> Result<u32, LookupError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let found = Database::NAMES.iter().find(|(name, _)| *name == text).map(|(_, id)| *id);
        found.ok_or_else(|| LookupError {
            text: format!("no {what} {text:?} here"),
            near: crate::near::nearest(text, Database::NAMES.iter().map(|(name, _)| *name)).map(str::to_owned),
        })
    }
}

impl Users for Database {
    fn user(&self, text: &str) -> Result<UserEntry, LookupError> {
        let uid = Database::id("user", text)?;
        let name = Database::NAMES.iter().find(|(_, id)| *id == uid).map(|(name, _)| (*name).to_owned());
        let home = name.as_ref().map(|name| format!("/home/{name}"));
        let shell = name.as_ref().map(|_| "/bin/ash".to_owned());
        Ok(UserEntry { uid, gid: uid, groups: vec![uid, uid + 1], name, home, shell })
    }

    fn group(&self, text: &str) -> Result<u32, LookupError> {
        Database::id("group", text)
    }
}

impl World {
    fn new() -> World {
        let environment = [("FOO", "foo"), ("EMPTY", ""), ("SECONDS", "7")];
        World {
            users: Database,
            environment: environment.map(|(key, value)| (key.into(), value.into())).to_vec(),
            own: 0,
            may_switch_user: true,
            elevated: false,
            granted: Granted::default(),
            unelevated: None,
            command: None,
        }
    }

    fn with_command(words: &[&str]) -> World {
        World { command: Some(words.iter().map(OsString::from).collect()), ..World::new() }
    }

    fn context(&self) -> Context<'_> {
        Context {
            users: &self.users,
            environment: &self.environment,
            own: Identity { uid: self.own, gid: self.own, groups: vec![] },
            may_switch_user: self.may_switch_user,
            elevated: self.elevated,
            granted: self.granted.clone(),
            unelevated: self.unelevated.clone(),
            command: self.command.as_deref(),
        }
    }

    /// Reads files that are only named, not there.
    fn read(&self, files: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
        let mut report = Report::default();
        for (path, text) in files {
            report.file(Path::new(path), (*text).to_owned());
        }
        check(&self.context(), &report)
    }

    /// What is told of files in which nothing is wrong.
    fn warnings(&self, text: &str) -> Vec<String> {
        let mut report = Report::default();
        report.file(Path::new("z.yaml"), text.to_owned());
        check(&self.context(), &report).unwrap();
        report.warnings().iter().map(Problem::to_string).collect()
    }

    fn problems(&self, files: &[(&str, &str)]) -> Vec<String> {
        self.read(files).err().unwrap_or_default().iter().map(Problem::to_string).collect()
    }

    fn config(&self, text: &str) -> Config {
        self.read(&[("z.yaml", text)]).unwrap_or_else(|problems| {
            panic!("{}\n{text}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
        })
    }
}

/// The service `a` of a configuration, which is its first.
fn service(text: &str) -> ServiceSpec {
    World::new().config(text).services.swap_remove(0)
}

/// A service `a` that runs `x` and has these keys too, each line indented by four.
fn with(keys: &str) -> String {
    format!("services:\n  a:\n    command: x\n    {keys}\n")
}
