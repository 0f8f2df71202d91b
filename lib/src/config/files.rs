//! Which files make up a configuration.
//!
//! Owns: the default paths, directories, the order of reading. Must never: look into a file.

use crate::config::Source;
use crate::config::problem::Report;
use crate::paths;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// Reads every file of the source into the report, in order. False: it is the default, and nothing is there.
pub fn read(source: &Source, report: &mut Report) -> bool {
    match source {
        Source::Default => read_default(Path::new(paths::CONFIG_FILE), Path::new(paths::CONFIG_DIR), report),
        Source::Paths(paths) => {
            paths.iter().for_each(|path| named(path, report));
            true
        }
    }
}

/// The default paths, either of which may be missing.
pub fn read_default(file: &Path, directory: &Path, report: &mut Report) -> bool {
    let mut found = false;
    for path in [file, directory] {
        // Asked without following links: a link that leads nowhere is there, and is an error.
        match path.symlink_metadata() {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            _ => {
                found |= path == file || !matches!(list(path), Ok(files) if files.is_empty());
                named(path, report);
            }
        }
    }
    found
}

fn named(path: &Path, report: &mut Report) {
    if path.is_dir() {
        match list(path) {
            Ok(files) => files.iter().for_each(|file| one(file, report)),
            Err(error) => unreadable(path, &error, report),
        }
    } else {
        one(path, report);
    }
}

/// The `*.yaml` and `*.yml` of a directory in byte order. Hidden ones are left out, as a shell's
/// `*.yaml` does; what a ConfigMap mounts lies behind hidden links.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && matches!(path.extension().and_then(OsStr::to_str), Some("yaml" | "yml")) && !path.is_dir() {
            names.push(path);
        }
    }
    names.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(names)
}

fn one(path: &Path, report: &mut Report) {
    match std::fs::read(path) {
        Err(error) => unreadable(path, &error, report),
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => {
                report.file(path, text);
            }
            Err(error) => {
                let line =
                    1 + error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count();
                let file = report.file(path, String::new());
                report.file_fault(file, line, "is not UTF-8 text".into());
            }
        },
    }
}

fn unreadable(path: &Path, error: &io::Error, report: &mut Report) {
    let file = report.file(path, String::new());
    report.file_fault(file, 0, format!("can't be read: {error}"));
}
