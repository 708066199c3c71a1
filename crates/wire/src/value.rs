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
        // Compared with the few members that are there: most paths lead nowhere, and looking for their points costs more.
        let (value, rest) = self.as_struct()?.iter().find_map(|(name, value)| {
            let rest = path.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with('.')).then_some((value, rest))
        })?;
        rest.strip_prefix('.').map_or(Some(value), |rest| value.path(rest))
    }
}

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(name: &'static str, value: Value) -> Value {
        let mut fields = Struct::new();
        fields.set("Other", Value::Int(1));
        fields.set(name, value);
        Value::Struct(fields)
    }

    #[test]
    fn a_path_leads_through_whole_names() {
        let value = structure("Retention", structure("Mode", Value::Bool(true)));
        assert_eq!(value.path("Retention.Mode"), Some(&Value::Bool(true)));
        assert_eq!(value.path("Other"), Some(&Value::Int(1)));
        for nowhere in ["", "Retent", "RetentionMode", "Retention.", "Retention.Mode.More", "Retention.Modes", ".Retention", "Mode"] {
            assert_eq!(value.path(nowhere), None, "{nowhere}");
        }
    }
}
