//! A YAML document as a tree whose nodes know where they stand.
//!
//! Owns: the parse, the text of scalars as it was written, merge keys, the way back to a line.
//! Must never: know a configuration key.
//!
//! serde_yaml keeps no positions, but an error raised while it hands out a node carries that node's.
//! So nodes are numbered in the order in which they are handed out, and [`line`] parses again with a
//! walk that fails at one number. That costs a parse (some milliseconds for a thousand services), so it is
//! done only for problems.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// The place of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct At {
    /// Which file, in the order of reading.
    pub file: usize,
    /// Which node of it, from 1; 0 is the file as a whole.
    pub id: usize,
}

/// One value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub at: At,
    pub value: Value,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    /// `true` or `false`, and how it was written.
    Bool(bool, String),
    /// A number, as it was written: `0022` is not 22.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// A key of a map with its value. Keys given twice are still both there after [`parse`].
#[derive(Clone, Debug)]
pub struct Member {
    /// The place of the key.
    pub at: At,
    pub key: String,
    pub node: Node,
}

/// Why a text is no YAML document.
#[derive(Debug)]
pub struct SyntaxError {
    /// Counted from 1; 0 where it is unknown.
    pub line: usize,
    pub text: String,
}

impl Node {
    /// The text of a scalar, as it was written; `None` for null, lists and maps.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Bool(_, text) | Value::Number(text) | Value::Text(text) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Whether there is a boolean or a number in it.
    fn has_spelling(&self) -> bool {
        match &self.value {
            Value::Bool(..) | Value::Number(_) => true,
            Value::List(nodes) => nodes.iter().any(Node::has_spelling),
            Value::Map(members) => members.iter().any(|member| member.node.has_spelling()),
            Value::Null | Value::Text(_) => false,
        }
    }

    /// Whether both say the same, wherever they stand.
    pub fn same(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Value::Null, Value::Null) => true,
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len() && a.iter().all(|a| b.iter().any(|b| a.key == b.key && a.node.same(&b.node)))
            }
            _ => self.text().is_some() && self.text() == other.text(),
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(..) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Parses the one document of a file; an empty file is null.
pub fn parse(file: usize, text: &str) -> Result<Node, SyntaxError> {
    spelled(file, text).map_err(|error| SyntaxError { line: error.line.min(last_line(text)), ..error })
}

fn spelled(file: usize, text: &str) -> Result<Node, SyntaxError> {
    let mut node = walk(file, text, 0)?;
    if node.has_spelling()
        && let Some(document) = serde_yaml::Deserializer::from_str(text).next()
    {
        Spelling(&mut node).deserialize(document).map_err(syntax)?;
    }
    Ok(node)
}

/// The line on which the node of this number begins, counted from 1; 0 where it is unknown.
pub fn line(text: &str, id: usize) -> usize {
    match walk(0, text, id) {
        Err(error) if id != 0 => error.line.min(last_line(text)),
        _ => 0,
    }
}

/// The number of the last line, with line breaks as YAML has them. What is missing at the end of a file, the reader misses
/// behind it, in a line that is not there.
fn last_line(text: &str) -> usize {
    let is_break = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let breaks = text.chars().filter(|c| is_break(*c)).count() - text.matches("\r\n").count();
    if text.ends_with(is_break) { breaks } else { breaks + 1 }
}

fn walk(file: usize, text: &str, stop: usize) -> Result<Node, SyntaxError> {
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(document) = documents.next() else {
        return Ok(Node { at: At { file, id: 0 }, value: Value::Null });
    };
    let node = Walk { file, stop, last: &Cell::new(0) }.deserialize(document).map_err(syntax)?;
    match documents.next() {
        None => Ok(node),
        Some(_) => Err(SyntaxError { line: 0, text: "a file holds one YAML document, this one holds more".into() }),
    }
}

fn syntax(error: serde_yaml::Error) -> SyntaxError {
    SyntaxError { line: error.location().map_or(0, |location| location.line()), text: error.to_string() }
}

/// Numbers and builds the nodes; fails at number `stop`.
#[derive(Clone, Copy)]
struct Walk<'a> {
    file: usize,
    stop: usize,
    last: &'a Cell<usize>,
}

impl Walk<'_> {
    fn here<E: Error>(self) -> Result<At, E> {
        let id = self.last.get() + 1;
        self.last.set(id);
        if id == self.stop { Err(E::custom("here")) } else { Ok(At { file: self.file, id }) }
    }

    fn node<E: Error>(self, value: Value) -> Result<Node, E> {
        Ok(Node { at: self.here()?, value })
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag")
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        self.node(Value::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.node(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.node(Value::Bool(value, value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        self.node(Value::Number(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        self.node(Value::Number(value.to_string()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        self.node(Value::Number(value.to_string()))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        self.node(Value::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        self.node(Value::Number(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        self.node(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let at = self.here()?;
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element_seed(self)? {
            nodes.push(node);
        }
        Ok(Node { at, value: Value::List(nodes) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let at = self.here()?;
        let mut members = Vec::new();
        while let Some((at, key)) = map.next_key_seed(KeyWalk(self))? {
            members.push(Member { at, key, node: map.next_value_seed(self)? });
        }
        Ok(Node { at, value: Value::Map(members) })
    }
}

/// The same for the key of a map, which is a text however it is written.
struct KeyWalk<'a>(Walk<'a>);

impl<'de> DeserializeSeed<'de> for KeyWalk<'_> {
    type Value = (At, String);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(At, String), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeyWalk<'_> {
    type Value = (At, String);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(At, String), E> {
        Ok((self.0.here()?, key.to_owned()))
    }
}

/// Goes through the same document again and gives booleans and numbers back the text they were written as.
struct Spelling<'n>(&'n mut Node);

impl<'de> DeserializeSeed<'de> for Spelling<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match &self.0.value {
            Value::Bool(..) | Value::Number(_) => deserializer.deserialize_str(self),
            Value::List(_) => deserializer.deserialize_seq(self),
            Value::Map(_) => deserializer.deserialize_map(self),
            Value::Null | Value::Text(_) => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ()),
        }
    }
}

impl<'de> Visitor<'de> for Spelling<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same document")
    }

    fn visit_str<E: Error>(self, written: &str) -> Result<(), E> {
        if let Value::Bool(_, text) | Value::Number(text) = &mut self.0.value {
            written.clone_into(text);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if let Value::List(nodes) = &mut self.0.value {
            for node in nodes {
                list.next_element_seed(Spelling(node))?;
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Value::Map(members) = &mut self.0.value {
            for member in members {
                if map.next_key::<IgnoredAny>()?.is_some() {
                    map.next_value_seed(Spelling(&mut member.node))?;
                }
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
