//! What fuzzing has found, kept: every file of the corpus holds what its target claims.

use std::fs;
use std::path::PathBuf;
use zei_tests::fuzz::TARGETS;
use zei_tests::source::root;

/// The kept bytes of a target.
fn corpus(name: &str) -> Vec<PathBuf> {
    let directory = root().join("tests/fuzz/corpus").join(name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_target_holds_for_its_whole_corpus() {
    for target in TARGETS {
        let files = corpus(target.name);
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        for file in files {
            let bytes = fs::read(&file).unwrap();
            assert!(bytes.len() <= target.longest, "{} is too long to be kept", file.display());
            // Said before, as a panic inside does not know the file.
            println!("{}", file.display());
            (target.run)(&bytes);
        }
    }
}

#[test]
fn there_is_no_corpus_without_a_target() {
    let directories = fs::read_dir(root().join("tests/fuzz/corpus")).unwrap();
    let unknown: Vec<String> = directories
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !TARGETS.iter().any(|target| target.name == name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
