//! What must hold for any bytes whatever that zei reads from somebody else: the bodies of the fuzz targets.
//!
//! Owns: the table of targets, and one function of bytes for each, which panics where something does not hold. Must
//! never: know who brings the bytes: a fuzzer (tests/fuzz) or the kept corpus (tests/corpus.rs).

mod configuration;
mod control;
mod files;
mod notify;
mod records;
mod users;

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its directory in the corpus.
    pub name: &'static str,
    /// Longer bytes show nothing new.
    pub longest: usize,
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "configuration", longest: 2048, run: configuration::run },
    Target { name: "control", longest: 2048, run: control::run },
    Target { name: "files", longest: 5000, run: files::run },
    Target { name: "notify", longest: 1024, run: notify::run },
    Target { name: "records", longest: 1024, run: records::run },
    Target { name: "users", longest: 2048, run: users::run },
];

/// The target of this name.
///
/// # Panics
/// Where there is none.
pub fn target(name: &str) -> Target {
    let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    *TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("{name:?} is none of {}", known()))
}
