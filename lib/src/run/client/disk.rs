//! Whether the configuration on the disk is still the one that zei goes by.
//!
//! Owns: that comparison. Must never: read a configuration, or fail: whoever may not know does not.

use super::place::Place;
use crate::paths;
use crate::protocol::sources::{self, Found, Source, hash, is_read};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What differs at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Difference {
    Changed,
    New,
    Gone,
}

impl Difference {
    const fn word(self) -> &'static str {
        match self {
            Difference::Changed => "changed",
            Difference::New => "new",
            Difference::Gone => "gone",
        }
    }
}

/// Each file that differs; `None` where this user can't know.
pub(crate) fn differences(place: &Place) -> Option<Vec<(PathBuf, Difference)>> {
    let file = format!("{}/{}", paths::INIT, paths::SOURCES);
    let mut content = Vec::new();
    place.read(&file).ok()??.read_to_end(&mut content).ok()?;
    Some(compare(&sources::decode(&content)))
}

fn compare(sources: &[Source]) -> Vec<(PathBuf, Difference)> {
    let is_known = |path: &Path| sources.iter().any(|source| source.path == path && source.found != Found::Absent);
    let mut differences = Vec::new();
    for Source { path, found } in sources {
        match found {
            // What came through a pipe can't be compared, and nobody waits for another to write there.
            Found::File(_) if fs::metadata(path).is_ok_and(|file| !file.is_file()) => {}
            Found::File(known) => match fs::read(path) {
                Ok(content) if hash(&content) == *known => {}
                Ok(_) => differences.push((path.clone(), Difference::Changed)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    differences.push((path.clone(), Difference::Gone));
                }
                // It can't be told.
                Err(_) => {}
            },
            Found::Absent if path.exists() => differences.push((path.clone(), Difference::New)),
            Found::Absent => {}
            Found::Directory => {
                let new = listed(path).into_iter().filter(|path| !is_known(path));
                differences.extend(new.map(|path| (path, Difference::New)));
            }
        }
    }
    differences
}

fn listed(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| is_read(path) && !path.is_dir());
    paths.sort_unstable();
    paths
}

/// The lines that say so; none where nothing differs.
pub(crate) fn tell(differences: &[(PathBuf, Difference)]) -> String {
    let line = |(path, what): &(PathBuf, Difference)| format!("  {:<11} {}\n", what.word(), path.display());
    match differences {
        [] => String::new(),
        some => {
            let lines: String = some.iter().map(line).collect();
            format!("configuration: changed on disk (zei-ctl apply)\n{lines}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_come_and_gone_is_told_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let source = |name: &str, found| Source { path: path(name), found };
        fs::create_dir(path("zei.d")).unwrap();
        for name in ["same.yaml", "other.yaml", "zei.d/known.yaml", "zei.d/.hidden.yaml", "zei.d/notes.txt"] {
            fs::write(path(name), "x").unwrap();
        }
        let known = Found::File(hash(b"x"));
        let mut sources = vec![
            source("same.yaml", known),
            source("zei.d", Found::Directory),
            source("zei.d/known.yaml", known),
            source("later.yaml", Found::Absent),
        ];
        assert_eq!(compare(&sources), []);
        assert_eq!(tell(&[]), "");
        sources.extend([source("gone.yaml", known), source("other.yaml", Found::File(hash(b"y")))]);
        fs::write(path("zei.d/new.yaml"), "").unwrap();
        fs::write(path("later.yaml"), "").unwrap();
        let found = compare(&sources);
        let expected = [
            ("zei.d/new.yaml", Difference::New),
            ("later.yaml", Difference::New),
            ("gone.yaml", Difference::Gone),
            ("other.yaml", Difference::Changed),
        ];
        assert_eq!(found, expected.map(|(name, what)| (path(name), what)));
        let told = tell(&found);
        assert!(told.starts_with("configuration: changed on disk"), "{told}");
        assert!(told.contains(&format!("  gone        {}\n", path("gone.yaml").display())), "{told}");
    }
}
