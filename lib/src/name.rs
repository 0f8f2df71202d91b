//! Service names: parsed once, then trusted everywhere.
//!
//! Owns: the grammar `[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}`, which keeps a name from leaving its
//! directory or forging a line. Must never: hold a name that does not match it.

use core::fmt;

/// The longest name, in bytes.
pub const MAX: usize = 64;

/// Words that commands use for something else, so no service may have them.
pub const RESERVED: &[&str] = &["cmd", "all", "any", "init"];

/// A valid service name. It lies inline, so it is copied without a heap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    bytes: [u8; MAX],
    length: u8,
}

/// Why a text is no service name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameError {
    /// It has no characters.
    Empty,
    /// It has more than [`MAX`] bytes.
    TooLong,
    /// This character may not stand where it does.
    Character(char),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => f.write_str("a service name can't be empty"),
            NameError::TooLong => write!(f, "a service name has at most {MAX} characters"),
            NameError::Character(c @ ('.' | '@' | '-')) => write!(f, "a service name can't begin with {c:?}"),
            NameError::Character(c) => {
                write!(f, "{c:?} can't stand in a service name; use letters, digits, and _ . @ -")
            }
        }
    }
}

impl ServiceName {
    /// The name of the service that a command on zei-init's own command line becomes.
    pub const CMD: ServiceName = ServiceName::literal(b"cmd");

    const fn literal(text: &[u8]) -> ServiceName {
        let mut bytes = [0; MAX];
        let (head, _) = bytes.split_at_mut(text.len());
        head.copy_from_slice(text);
        ServiceName { bytes, length: text.len() as u8 }
    }

    /// Checks the grammar; reserved words pass (see [`RESERVED`]), as `cmd` is one.
    pub fn parse(text: &str) -> Result<ServiceName, NameError> {
        let first = text.chars().next().ok_or(NameError::Empty)?;
        if !(first.is_ascii_alphanumeric() || first == '_') {
            return Err(NameError::Character(first));
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '@' | '-'))) {
            return Err(NameError::Character(bad));
        }
        if text.len() > MAX {
            return Err(NameError::TooLong);
        }
        Ok(ServiceName::literal(text.as_bytes()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.length))
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_names_pass_unchanged() {
        for text in ["a", "web", "_x", "9", "web-1.blue@eu", &"n".repeat(MAX)] {
            assert_eq!(ServiceName::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(ServiceName::CMD.as_str(), "cmd");
    }

    #[test]
    fn a_name_that_could_escape_or_forge_is_refused() {
        for text in ["", ".", "..", "../x", "a/b", "-a", "@a", "a b", "a\n", "a=b", "\u{e9}", &"n".repeat(MAX + 1)] {
            assert!(ServiceName::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_is_one_path_component_and_one_word(text in "\\PC{0,70}") {
            if let Ok(name) = ServiceName::parse(&text) {
                prop_assert_eq!(name.as_str(), text.as_str());
                prop_assert!(!text.starts_with('.') && !text.contains(['/', ' ', '\n', '\0']));
            }
        }
    }
}
