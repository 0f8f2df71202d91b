//! What an `apply` has found: the format of `init/report.N`, version 1.
//!
//! Owns: the bytes, and the sentences that people read. Must never: open a file, or decide what a difference means.
//!
//! zei-init writes a report before it answers a command that changes the tree, and names it in the answer as
//! `report=N`. The first line is the command's token: another one there means that the number was used again since.
//! Each further line is one of these, words separated by single blanks:
//!
//! ```text
//! changed NAME KEY...     another definition, so its process is replaced
//! along NAME OTHER        the same definition, replaced because OTHER is (`restart: true` in `depends_on`)
//! updated NAME KEY...     zei-init alone is concerned: nothing is replaced; NAME is `init` for keys of the top level
//! starts NAME             it did not start with the container, and does now
//! later NAME KEY...       another definition, which waits for the next start of the container: that of the command
//! added NAME
//! removed NAME
//! unchanged COUNT
//! problem TEXT            what is wrong with the configuration, one line each; nothing was changed then
//! ```
//!
//! # Version log
//!
//! 1: the first.

use core::fmt;

/// So many reports are kept, numbered from 0.
pub const REPORTS: u32 = 16;

/// The kinds of lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Replaced by its new definition.
    Changed,
    /// Replaced along with another.
    Along,
    /// Only zei-init is concerned.
    Updated,
    /// Starts with the container now.
    Starts,
    /// The command's, which is not replaced.
    Later,
    /// New.
    Added,
    /// Gone.
    Removed,
    /// So many are as they were.
    Unchanged,
    /// Something is wrong.
    Problem,
}

const WORDS: [(Kind, &str); 9] = [
    (Kind::Changed, "changed"),
    (Kind::Along, "along"),
    (Kind::Updated, "updated"),
    (Kind::Starts, "starts"),
    (Kind::Later, "later"),
    (Kind::Added, "added"),
    (Kind::Removed, "removed"),
    (Kind::Unchanged, "unchanged"),
    (Kind::Problem, "problem"),
];

impl Kind {
    /// Its word in the file.
    pub fn word(self) -> &'static str {
        WORDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// What it says.
    pub kind: Kind,
    /// Of whom: a name, a count, or the text of a problem.
    pub subject: String,
    /// Keys, or the other service.
    pub words: Vec<String>,
}

impl Line {
    /// A line without further words.
    pub fn new(kind: Kind, subject: impl Into<String>) -> Line {
        Line { kind, subject: subject.into(), words: Vec::new() }
    }

    /// The line in the file, newline included.
    pub fn encode(&self) -> String {
        let words: String = self.words.iter().map(|word| format!(" {word}")).collect();
        format!("{} {}{words}\n", self.kind.word(), self.subject.replace('\n', " "))
    }

    /// Reads a line; `None` for one that this version does not know.
    pub fn decode(line: &str) -> Option<Line> {
        let (word, rest) = line.split_once(' ')?;
        let (kind, _) = WORDS.iter().find(|(_, known)| *known == word)?;
        if *kind == Kind::Problem {
            return Some(Line::new(*kind, rest));
        }
        let mut words = rest.split(' ').map(str::to_owned);
        Some(Line { kind: *kind, subject: words.next()?, words: words.collect() })
    }
}

/// For people: `~ web: command, environment`, `+ cache`, `- old`, `= 12 unchanged`.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.subject == "init" { "zei-init" } else { &self.subject };
        let words = self.words.join(", ");
        match self.kind {
            Kind::Changed => write!(f, "~ {name}: {words}"),
            Kind::Along => write!(f, "~ {name}: restarted with {words}"),
            Kind::Updated => write!(f, "~ {name}: {words} (nothing is restarted)"),
            Kind::Starts => write!(f, "~ {name}: starts with the container now"),
            Kind::Later => write!(f, "~ {name}: {words} (when the container is started again)"),
            Kind::Added => write!(f, "+ {name}"),
            Kind::Removed => write!(f, "- {name}"),
            Kind::Unchanged => write!(f, "= {name} unchanged"),
            Kind::Problem => f.write_str(&self.subject),
        }
    }
}

/// The file's content.
pub fn encode(token: &str, lines: &[Line]) -> String {
    let lines: String = lines.iter().map(Line::encode).collect();
    format!("{token}\n{lines}")
}

/// Reads the file's content; `None` where it is the report of another command.
pub fn decode(token: &str, content: &str) -> Option<Vec<Line>> {
    let (first, rest) = content.split_once('\n')?;
    (first == token).then(|| rest.split('\n').filter_map(Line::decode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(kind: Kind, subject: &str, words: &[&str]) -> Line {
        Line { words: words.iter().map(ToString::to_string).collect(), ..Line::new(kind, subject) }
    }

    #[test]
    fn a_report_looks_as_documented_to_programs_and_to_people() {
        let lines = [
            line(Kind::Changed, "web", &["command", "environment"]),
            line(Kind::Along, "api", &["web"]),
            line(Kind::Updated, "init", &["shutdown_timeout"]),
            line(Kind::Starts, "job", &[]),
            line(Kind::Later, "cmd", &["user"]),
            line(Kind::Added, "cache", &[]),
            line(Kind::Removed, "old", &[]),
            line(Kind::Unchanged, "12", &[]),
            line(Kind::Problem, "/etc/zei.yaml:3: no good, really", &[]),
        ];
        let file = "abcdEF12\nchanged web command environment\nalong api web\nupdated init shutdown_timeout\nstarts job\n\
                    later cmd user\nadded cache\nremoved old\nunchanged 12\nproblem /etc/zei.yaml:3: no good, really\n";
        assert_eq!(encode("abcdEF12", &lines), file);
        assert_eq!(decode("abcdEF12", file), Some(lines.to_vec()));
        assert_eq!(decode("abcdEF13", file), None);
        let people: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert_eq!(
            people,
            [
                "~ web: command, environment",
                "~ api: restarted with web",
                "~ zei-init: shutdown_timeout (nothing is restarted)",
                "~ job: starts with the container now",
                "~ cmd: user (when the container is started again)",
                "+ cache",
                "- old",
                "= 12 unchanged",
                "/etc/zei.yaml:3: no good, really",
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_report_or_none(text in "\\PC{0,60}", problem in "[^\n]{1,40}") {
            let _ = decode("abcdEF12", &text);
            let lines = vec![Line::new(Kind::Problem, problem)];
            prop_assert_eq!(decode("abcdEF12", &encode("abcdEF12", &lines)), Some(lines));
        }
    }
}
