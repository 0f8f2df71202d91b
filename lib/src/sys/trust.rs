//! Whether a file says what root wants.
//!
//! Owns: what makes a path root's alone. Must never: open it.

use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Links may lead to links, but not in circles.
const LINKS: usize = 40;

/// What of a path is not root's alone, and what to do; `None`: all of it is root's, each directory above it and each link
/// that leads there, and nobody else may write to any. What is not there is as good as the directories above it. Nothing in
/// /proc is trusted: what looks like root's there is what any process says, and its links lead elsewhere than they name.
pub fn doubt(path: &Path) -> Option<String> {
    let mut whole = PathBuf::from("/");
    let absolute = match std::path::absolute(path) {
        Ok(absolute) => absolute,
        Err(error) => return Some(format!("{} can't be looked at: {error}", path.display())),
    };
    let mut rest: Vec<PathBuf> = parts(&absolute);
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part.as_os_str() == ".." {
            whole.pop();
            continue;
        }
        whole.push(&part);
        let found = match fs::symlink_metadata(&whole) {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return None,
            Err(error) => return Some(format!("{} can't be looked at: {error}", whole.display())),
        };
        if !found.is_symlink() && !statfs(&whole).is_ok_and(|system| system.filesystem_type() != PROC_SUPER_MAGIC) {
            return Some(format!("{} is no file that root has written; copy it to one", whole.display()));
        }
        if let Some(doubt) = doubt_of(&whole, &found) {
            return Some(doubt);
        }
        if found.is_symlink() {
            links += 1;
            let target = fs::read_link(&whole).ok().filter(|_| links <= LINKS);
            let Some(target) = target else { return Some(format!("{}: can't be followed", whole.display())) };
            whole.pop();
            if target.is_absolute() {
                whole = PathBuf::from("/");
            }
            rest.extend(parts(&target));
        }
    }
    None
}

/// The words of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let named = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    named.rev().map(|part| PathBuf::from(part.as_os_str())).collect()
}

fn doubt_of(path: &Path, found: &Metadata) -> Option<String> {
    let path = path.display();
    if found.uid() != 0 {
        return Some(format!("{path} belongs to user {}; make it root's (chown root {path})", found.uid()));
    }
    // A link has no mode of its own.
    let is_open = !found.is_symlink() && found.mode() & 0o022 != 0;
    is_open.then(|| format!("{path} may be written to by others than root (chmod go-w {path})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    fn folder() -> Option<tempfile::TempDir> {
        // Only root can make what is root's, and not below /tmp, where everyone may write.
        let is_root = nix::unistd::geteuid().is_root();
        let folder = is_root.then(|| tempfile::tempdir_in("/root").unwrap());
        assert!(folder.is_some() || !is_root);
        folder
    }

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_path_is_trusted_where_each_step_to_it_is_roots_alone() {
        let Some(folder) = folder() else { return };
        let file = folder.path().join("a/b");
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(&file, "x").unwrap();
        allow(&file, 0o600);
        assert_eq!(doubt(&file), None);
        assert_eq!(doubt(&folder.path().join("a/not there")), None);
        for (path, mode, back) in [(file.clone(), 0o620, 0o600), (folder.path().join("a"), 0o777, 0o755)] {
            allow(&path, mode);
            let told = doubt(&file).unwrap();
            assert!(told.starts_with(&format!("{} may be written to", path.display())), "{told}");
            allow(&path, back);
        }
        chown(&file, Some(1000), None).unwrap();
        let told = doubt(&file).unwrap();
        assert!(told.contains("belongs to user 1000; make it root's"), "{told}");
        assert!(doubt(Path::new("/tmp/x")).unwrap().starts_with("/tmp may be written to"));
    }

    #[test]
    fn what_any_process_may_say_is_not_trusted() {
        let Some(folder) = folder() else { return };
        symlink("/proc/self/fd/0", folder.path().join("stdin")).unwrap();
        let links = [folder.path().join("stdin"), PathBuf::from("/dev/stdin"), PathBuf::from("/proc/self/comm")];
        for path in links.iter().chain([&PathBuf::from("/proc/not there")]) {
            assert!(doubt(path).unwrap().starts_with("/proc is no file that root has written"), "{path:?}");
        }
    }

    #[test]
    fn a_link_is_followed_and_must_lead_through_what_is_trusted() {
        let Some(folder) = folder() else { return };
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "x").unwrap();
        symlink("file", path("near")).unwrap();
        symlink("/tmp", path("far")).unwrap();
        symlink("circle", path("circle")).unwrap();
        assert_eq!(doubt(&path("near")), None);
        assert!(doubt(&path("far/x")).unwrap().starts_with("/tmp may"));
        assert!(doubt(&path("circle")).unwrap().contains("can't be followed"));
        assert_eq!(doubt(&path("far/../file").parent().unwrap().join("../etc")), doubt(Path::new("/tmp")));
    }
}
