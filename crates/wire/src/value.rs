//! The tree that every protocol is decoded into and encoded from.

use bytes::Bytes;

/// A value of any shape. Structure members carry their model names, which are `'static`: no name is ever copied.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Bytes(Bytes),
    Time(Timestamp),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    Struct(Struct),
    /// Free-form JSON.
    Document(serde_json::Value),
}

/// A structure: model member names with their values, absent members left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Struct {
    fields: Vec<(&'static str, Value)>,
}

impl Struct {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(members: usize) -> Self {
        Self { fields: Vec::with_capacity(members) }
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// Sets a member, replacing an earlier value.
    pub fn set(&mut self, name: &'static str, value: Value) {
        match self.fields.iter_mut().find(|(field, _)| *field == name) {
            Some((_, slot)) => *slot = value,
            None => self.fields.push((name, value)),
        }
    }

    /// Takes a member out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.fields.iter().position(|(field, _)| *field == name)?;
        Some(self.fields.swap_remove(at).1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.fields.iter().map(|(name, value)| (*name, value))
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl Value {
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_struct(&self) -> Option<&Struct> {
        match self {
            Value::Struct(fields) => Some(fields),
            _ => None,
        }
    }

    /// Member of a structure by model name.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.as_struct().and_then(|fields| fields.get(name))
    }

    /// Follows a dotted path of structure members, e.g. `Tagging.TagSet`.
    pub fn path(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self, |value, name| value.member(name))
    }
}

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);
