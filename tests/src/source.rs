//! Just enough of Rust's grammar to look at source as a tidy test does: what is code, what is a string
//! literal, and which paths the code names.
//!
//! Owns: the reading of `.rs` files. Must never: judge what it finds.

use std::fs;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in the repository").to_path_buf()
}

/// A source file, taken apart.
#[derive(Debug)]
pub struct Source {
    /// Its path below the top of the repository.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// The text with comments and the contents of literals blanked out; lines stay where they are.
    pub code: String,
    /// The string literals, with the line that each begins in.
    pub strings: Vec<(usize, String)>,
}

/// All `.rs` files below a directory of the repository, in the order of their paths.
pub fn sources(directory: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root().join(directory), &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file is readable");
        let path = path.strip_prefix(root()).expect("below the top").to_str().expect("UTF-8").to_owned();
        let (code, strings) = take_apart(&text);
        Source { path, text, code, strings }
    };
    found.into_iter().map(read).collect()
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of the repository") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Splits a text into code and string literals.
pub fn take_apart(text: &str) -> (String, Vec<(usize, String)>) {
    let (mut code, mut strings) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, literal) = token(rest, code.chars().next_back());
        let (taken, tail) = rest.split_at(length);
        if let Some(literal) = literal {
            strings.push((code.matches('\n').count() + 1, literal));
        }
        if length == first.len_utf8() && !taken.starts_with('"') {
            code.push(first);
        } else {
            code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = tail;
    }
    (code, strings)
}

/// The length of what `rest` begins with, and the content where that is a string literal.
fn token(rest: &str, before: Option<char>) -> (usize, Option<String>) {
    let to = |end: &str| rest.find(end).map_or(rest.len(), |at| at);
    if rest.starts_with("//") {
        return (to("\n"), None);
    }
    if rest.starts_with("/*") {
        return (to("*/") + 2, None);
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefix = rest.find(|c: char| !"bcr".contains(c)).unwrap_or(0);
    let raw = !in_word && prefix <= 2 && rest[..prefix].ends_with('r');
    if raw {
        let hashes = rest[prefix..].chars().take_while(|c| *c == '#').count();
        let open = prefix + hashes;
        if rest[open..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let length = rest[open + 1..].find(&close).unwrap_or(rest.len() - open - 1);
            return (open + 1 + length + close.len(), Some(rest[open + 1..][..length].to_owned()));
        }
    }
    if let Some(inside) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = inside.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let length = end.unwrap_or(inside.len());
        return (length + 2, Some(inside[..length].to_owned()));
    }
    if rest.starts_with('\'') {
        // A character, or the tick of a lifetime or label.
        let mut after = rest.char_indices().skip(1);
        let first = after.next().map(|(_, c)| c);
        if first == Some('\\') {
            return (rest[3..].find('\'').map_or(1, |at| at + 4), None);
        }
        if let Some((at, '\'')) = after.next() {
            return (at + 1, None);
        }
    }
    (rest.chars().next().map_or(1, char::len_utf8), None)
}

/// Every path that begins with `root::` (such as `crate`), with its line: the segments behind that, groups in
/// braces spread out.
pub fn paths_from(code: &str, root: &str) -> Vec<(usize, Vec<String>)> {
    let start = format!("{root}::");
    let mut found = Vec::new();
    for (at, _) in code.match_indices(&start) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let mut spread = Vec::new();
        segments(&mut code[at + start.len()..].chars().peekable(), &[], &mut spread);
        found.extend(spread.into_iter().map(|path| (line, path)));
    }
    found
}

fn segments(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, before: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = before.to_vec();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.next_if_eq(&'{').is_some() {
            loop {
                segments(rest, &path, found);
                while rest.next_if(|c| c.is_whitespace()).is_some() {}
                if rest.next_if_eq(&',').is_none() {
                    rest.next_if_eq(&'}');
                    return;
                }
            }
        }
        let mut word = String::new();
        while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '*')) {
            word.push(c);
        }
        if word.is_empty() {
            return;
        }
        path.push(word);
        if rest.next_if_eq(&':').is_none() {
            break;
        }
        rest.next_if_eq(&':');
    }
    // `a as b` is still a.
    if rest.clone().collect::<String>().trim_start().starts_with("as ") {
        while rest.next_if(|c| !matches!(c, ',' | '}' | ';')).is_some() {}
    }
    found.push(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code_and_strings_are_kept() {
        let text = "let a = \"x \\\" y\"; // \"no\"\nlet b = r#\"raw \"in\" it\"#; /* c */ let c = '\"'; fn f<'a>(x: &'a str) {}\nb\"z\" '\\''";
        let (code, strings) = take_apart(text);
        let contents: Vec<(usize, &str)> = strings.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(contents, [(1, "x \\\" y"), (2, "raw \"in\" it"), (3, "z")]);
        assert!(code.contains("fn f<'a>(x: &'a str) {}"), "{code}");
        assert!(!code.contains("no") && !code.contains(" c ;") && code.lines().count() == 3, "{code}");
    }

    #[test]
    fn paths_are_found_with_their_groups_spread() {
        let code = "use crate::a::{self, B, c::{D as E, F}};\nlet x = crate::g::h(1); $crate::i; mycrate::no;";
        let found: Vec<(usize, String)> =
            paths_from(code, "crate").into_iter().map(|(line, path)| (line, path.join("::"))).collect();
        let expected = ["a::self", "a::B", "a::c::D", "a::c::F"].map(|path| (1, path.to_owned()));
        let more = ["g::h", "i"].map(|path| (2, path.to_owned()));
        assert_eq!(found, expected.into_iter().chain(more).collect::<Vec<_>>());
    }
}
