//! Which files make up a configuration.
//!
//! Owns: the default paths, directories, the order of reading, and whose an added file may be. Must never: look into a
//! file.

use crate::config::Source;
use crate::config::problem::Report;
use crate::paths;
use crate::protocol::sources::{Found, hash, is_read};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
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
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                report.source(path, Found::Absent);
            }
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
        report.source(path, Found::Directory);
        match list(path) {
            Ok(files) => files.iter().for_each(|file| one(file, report)),
            Err(error) => unreadable(path, &error, report),
        }
    } else {
        one(path, report);
    }
}

/// The `*.yaml` and `*.yml` of a directory in byte order (see `protocol::sources`).
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if is_read(&path) && !path.is_dir() {
            names.push(path);
        }
    }
    names.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(names)
}

/// All of a file.
///
/// # Errors
/// Of reading it, and for a FIFO that nobody writes to: who may never come is not waited for.
pub fn contents(path: &Path) -> io::Result<Vec<u8>> {
    if !path.metadata()?.file_type().is_fifo() {
        return std::fs::read(path);
    }
    // What a shell's <(COMMAND) names is one, too, and has its writer.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut bytes = vec![0; 4096];
    let length = match file.read(&mut bytes) {
        Ok(0) => return Err(io::Error::other("it is a FIFO that nobody writes to")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        other => other?,
    };
    bytes.truncate(length);
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn one(path: &Path, report: &mut Report) {
    match contents(path) {
        Err(error) => unreadable(path, &error, report),
        Ok(bytes) => take(path, bytes, report),
    }
}

fn take(path: &Path, bytes: Vec<u8>, report: &mut Report) {
    report.source(path, Found::File(hash(&bytes)));
    match String::from_utf8(bytes) {
        Ok(text) => {
            report.file(path, text);
        }
        Err(error) => {
            let line =
                1 + error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count();
            let file = report.file(path, String::new());
            report.file_fault(file, line, "is not UTF-8 text".into());
        }
    }
}

/// A file that was named while zei-init runs. Who may write to it says what runs, and as whom: so it is looked at, open,
/// each time that it is read.
pub fn added(path: &Path, own: u32, report: &mut Report) {
    let mut bytes = Vec::new();
    let read = open_own(path, own).and_then(|mut file| file.read_to_end(&mut bytes).map_err(|error| error.to_string()));
    match read {
        Ok(_) => take(path, bytes, report),
        Err(why) => {
            let file = report.file(path, String::new());
            report.file_fault(file, 0, format!("can't be added: {why}"));
        }
    }
}

fn open_own(path: &Path, own: u32) -> Result<File, String> {
    // A FIFO that nobody writes to must not hold it up.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file =
        OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => "it is a symbolic link; name the file itself".to_owned(),
            _ => error.to_string(),
        })?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if ![0, own].contains(&metadata.uid()) {
        return Err(format!("it belongs to user {}; make it root's", metadata.uid()));
    }
    match metadata.mode() & 0o022 {
        0 => Ok(file),
        _ => Err("others may write to it; chmod go-w".to_owned()),
    }
}

fn unreadable(path: &Path, error: &io::Error, report: &mut Report) {
    let file = report.file(path, String::new());
    report.file_fault(file, 0, format!("can't be read: {error}"));
}
