//! What the configuration was read from: the format of `init/sources`, version 1.
//!
//! Owns: the bytes, and the number that stands for a file's content. Must never: open a file.
//!
//! One line for each file and each directory, in the order of reading:
//!
//! ```text
//! HASH PATH        a file; HASH is FNV-1a of its content, 64 bits in 16 hexadecimal digits
//! directory PATH   its *.yaml and *.yml are read, those that begin with a dot apart
//! absent PATH      it was not there, and need not be
//! ```
//!
//! Paths are absolute; one that holds a newline has no line. The file is replaced as a whole (rename(2)) whenever the
//! configuration has been read and taken. Only zei's own user may read it: a hash tells something of what a file holds.
//!
//! # Version log
//!
//! 1: the first.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A file or directory that a configuration was read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Its path.
    pub path: PathBuf,
    /// What was there.
    pub found: Found,
}

/// What was found at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// A file whose content has this [`hash`].
    File(u64),
    /// A directory whose files were read.
    Directory,
    /// Nothing.
    Absent,
}

/// FNV-1a, 64 bits: it tells whether a file has changed, not who could have changed it.
pub fn hash(content: &[u8]) -> u64 {
    content.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether a directory's entry of this name is read. Hidden ones are left out, as a shell's `*.yaml` does; what a
/// ConfigMap mounts lies behind hidden links.
pub fn is_read(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_bytes().starts_with(b"."));
    !hidden && matches!(path.extension().and_then(OsStr::to_str), Some("yaml" | "yml"))
}

/// The file's content.
pub fn encode(sources: &[Source]) -> Vec<u8> {
    let mut content = Vec::new();
    for Source { path, found } in sources {
        let path = path.as_os_str().as_bytes();
        if !path.contains(&b'\n') {
            content.extend_from_slice(word(*found).as_bytes());
            content.push(b' ');
            content.extend_from_slice(path);
            content.push(b'\n');
        }
    }
    content
}

fn word(found: Found) -> String {
    match found {
        Found::File(hash) => format!("{hash:016x}"),
        Found::Directory => "directory".to_owned(),
        Found::Absent => "absent".to_owned(),
    }
}

/// Reads the file's content; lines that this version does not know are passed over.
pub fn decode(content: &[u8]) -> Vec<Source> {
    content.split(|byte| *byte == b'\n').filter_map(decode_line).collect()
}

/// Reads one line.
pub fn decode_line(line: &[u8]) -> Option<Source> {
    let at = line.iter().position(|byte| *byte == b' ')?;
    let (word, path) = line.split_at_checked(at)?;
    let found = match core::str::from_utf8(word).ok()? {
        "directory" => Found::Directory,
        "absent" => Found::Absent,
        hash if hash.len() == 16 => Found::File(u64::from_str_radix(hash, 16).ok()?),
        _ => return None,
    };
    Some(Source { path: PathBuf::from(OsStr::from_bytes(path.get(1..)?)), found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(path: &str, found: Found) -> Source {
        Source { path: PathBuf::from(path), found }
    }

    #[test]
    fn the_file_looks_as_documented() {
        let sources = [
            source("/etc/zei/zei.yaml", Found::Absent),
            source("/etc/zei/zei.d", Found::Directory),
            source("/etc/zei/zei.d/my web.yaml", Found::File(hash(b"exec: x\n"))),
        ];
        let golden =
            "absent /etc/zei/zei.yaml\ndirectory /etc/zei/zei.d\n3dc624b4fe2cfd00 /etc/zei/zei.d/my web.yaml\n";
        assert_eq!(String::from_utf8(encode(&sources)).unwrap(), golden);
        assert_eq!(decode(golden.as_bytes()), sources);
    }

    #[test]
    fn the_hash_is_that_of_the_reference() {
        // From the authors' own test vectors (draft-eastlake-fnv).
        for (text, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(hash(text.as_bytes()), expected);
        }
    }

    #[test]
    fn what_is_read_of_a_directory_are_its_yaml_files() {
        for (name, read) in [("a.yaml", true), ("a.yml", true), (".a.yaml", false), ("a.yaml~", false), ("yaml", false)]
        {
            assert_eq!(is_read(&Path::new("/d").join(name)), read, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_paths_are_read_back_and_any_bytes_are_read(
            paths in proptest::collection::vec("/[^\n\0]{0,20}", 0..5), hash: u64, bytes: Vec<u8>
        ) {
            let sources: Vec<Source> = paths.iter().map(|path| source(path, Found::File(hash))).collect();
            prop_assert_eq!(decode(&encode(&sources)), sources);
            let _ = decode(&bytes);
        }
    }
}
