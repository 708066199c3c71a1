//! Rows to columns: values with their definition and repetition levels.

use serde_json::Value as Json;

use crate::schema::{Field, Kind};

/// Parquet's physical types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Physical {
    Boolean = 0,
    Int32 = 1,
    Int64 = 2,
    ByteArray = 6,
}

/// A column of values.
#[derive(Debug)]
pub(crate) struct Column {
    pub path: Vec<String>,
    pub physical: Physical,
    pub max_definition: u8,
    pub max_repetition: u8,
    pub definitions: Vec<u8>,
    pub repetitions: Vec<u8>,
    /// Plain encoding; of booleans one byte each, packed when the page is written.
    pub values: Vec<u8>,
}

/// The columns of a schema, empty, in order.
pub(crate) fn columns(fields: &[Field]) -> Vec<Column> {
    let mut found = Vec::new();
    for field in fields {
        collect(&field.kind, vec![field.name.clone()], 1, 0, &mut found);
    }
    found
}

fn collect(kind: &Kind, path: Vec<String>, definition: u8, repetition: u8, found: &mut Vec<Column>) {
    let below = |names: &[&str]| path.iter().cloned().chain(names.iter().map(|name| (*name).to_owned())).collect::<Vec<_>>();
    let mut add = |path: Vec<String>, physical, definition, repetition| {
        found.push(Column {
            path,
            physical,
            max_definition: definition,
            max_repetition: repetition,
            definitions: Vec::new(),
            repetitions: Vec::new(),
            values: Vec::new(),
        });
    };
    match kind {
        Kind::Text => add(path, Physical::ByteArray, definition, repetition),
        Kind::Int32 => add(path, Physical::Int32, definition, repetition),
        Kind::Int64 => add(path, Physical::Int64, definition, repetition),
        Kind::Boolean => add(path, Physical::Boolean, definition, repetition),
        Kind::TextMap => {
            add(below(&["key_value", "key"]), Physical::ByteArray, definition + 1, repetition + 1);
            add(below(&["key_value", "value"]), Physical::ByteArray, definition + 2, repetition + 1);
        }
        Kind::List(item) => collect(item, below(&["list", "element"]), definition + 2, repetition + 1, found),
        Kind::Group(fields) => {
            for field in fields {
                collect(&field.kind, below(&[&field.name]), definition + 1, repetition, found);
            }
        }
    }
}

/// Adds a row. The columns are those of the fields.
pub(crate) fn add_row(fields: &[Field], row: &Json, columns: &mut [Column]) {
    let mut rest = columns;
    for field in fields {
        let (own, others) = std::mem::take(&mut rest).split_at_mut_checked(field.kind.leaves()).unwrap_or_default();
        add(&field.kind, row.get(&field.name), Levels { repetition: 0, definition: 0, depth: 0 }, own);
        rest = others;
    }
}

#[derive(Clone, Copy)]
struct Levels {
    /// Of the next value.
    repetition: u8,
    /// Of what is above.
    definition: u8,
    /// Repeated levels above.
    depth: u8,
}

fn add(kind: &Kind, value: Option<&Json>, levels: Levels, columns: &mut [Column]) {
    let here = Levels { definition: levels.definition + 1, ..levels };
    match (kind, value) {
        (Kind::Group(fields), Some(value @ Json::Object(_))) => {
            let mut rest = columns;
            for field in fields {
                let (own, others) = std::mem::take(&mut rest).split_at_mut_checked(field.kind.leaves()).unwrap_or_default();
                add(&field.kind, value.get(&field.name), here, own);
                rest = others;
            }
        }
        (Kind::List(item), Some(Json::Array(items))) if !items.is_empty() => {
            let inside = Levels { definition: here.definition + 1, depth: levels.depth + 1, ..here };
            for (at, value) in items.iter().enumerate() {
                let repetition = if at == 0 { levels.repetition } else { inside.depth };
                add(item, Some(value), Levels { repetition, ..inside }, columns);
            }
        }
        (Kind::TextMap, Some(Json::Object(members))) if !members.is_empty() => {
            for (at, (name, value)) in members.iter().enumerate() {
                let repetition = if at == 0 { levels.repetition } else { levels.depth + 1 };
                if let [keys, values] = columns {
                    keys.push(here.definition + 1, repetition, Some(&Json::String(name.clone())));
                    let text = value.as_str().map_or_else(|| Json::String(value.to_string()), |_| value.clone());
                    let is_null = value.is_null();
                    values.push(here.definition + if is_null { 1 } else { 2 }, repetition, (!is_null).then_some(&text));
                }
            }
        }
        // An empty list or map is there, with nothing in it.
        (Kind::List(_), Some(Json::Array(_))) | (Kind::TextMap, Some(Json::Object(_))) => {
            nothing(here.definition, levels.repetition, columns);
        }
        (Kind::Text, Some(Json::String(_))) | (Kind::Boolean, Some(Json::Bool(_))) | (Kind::Int32 | Kind::Int64, Some(Json::Number(_))) => {
            if let [column] = columns {
                column.push_or_null(here.definition, levels.repetition, value);
            }
        }
        _ => nothing(levels.definition, levels.repetition, columns),
    }
}

fn nothing(definition: u8, repetition: u8, columns: &mut [Column]) {
    for column in columns {
        column.push(definition, repetition, None);
    }
}

impl Column {
    /// A value, or null when the number does not fit.
    fn push_or_null(&mut self, definition: u8, repetition: u8, value: Option<&Json>) {
        let fits = match (self.physical, value) {
            (Physical::Int32, Some(value)) => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            (Physical::Int64, Some(value)) => value.as_i64().is_some(),
            _ => true,
        };
        if fits { self.push(definition, repetition, value) } else { self.push(definition - 1, repetition, None) }
    }

    fn push(&mut self, definition: u8, repetition: u8, value: Option<&Json>) {
        self.definitions.push(definition);
        self.repetitions.push(repetition);
        match (self.physical, value) {
            (Physical::Boolean, Some(Json::Bool(value))) => self.values.push(u8::from(*value)),
            (Physical::Int32, Some(value)) => {
                let number = value.as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or_default();
                self.values.extend_from_slice(&number.to_le_bytes());
            }
            (Physical::Int64, Some(value)) => self.values.extend_from_slice(&value.as_i64().unwrap_or_default().to_le_bytes()),
            (Physical::ByteArray, Some(Json::String(text))) => {
                self.values.extend_from_slice(&u32::try_from(text.len()).unwrap_or_default().to_le_bytes());
                self.values.extend_from_slice(text.as_bytes());
            }
            _ => {}
        }
    }
}
