//! A column of a table in memory: a place in the event's JSON, and what is found there.

use rusqlite::types::Value as Cell;
use serde_json::Value as Json;

use crate::schema::Kind;
use crate::timestamp;

/// Steps that a JSON path may have.
const STEPS_LIMIT: usize = 32;

/// One step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Member(String),
    Index(usize),
}

/// How the found value becomes a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// A text as it is; anything else as JSON.
    Text,
    Boolean,
    Timestamp,
    /// JSON, of any value.
    Json,
    /// Text, number or boolean as text; nothing of structures (`json_extract_scalar`).
    Scalar,
}

/// A column of a table: the place of its values in the event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) form: Form,
}

impl Column {
    /// The time of the event: every table has it.
    pub fn event_time() -> Self {
        Self { name: "eventtime".to_owned(), steps: vec![Step::Member("eventTime".to_owned())], form: Form::Timestamp }
    }

    /// Its name in the table, which tells the place it stands for.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn of_kind(name: String, steps: Vec<Step>, kind: Kind) -> Self {
        let form = match kind {
            Kind::Boolean => Form::Boolean,
            Kind::Timestamp => Form::Timestamp,
            Kind::Map | Kind::Array(_) | Kind::Struct(_) | Kind::Json => Form::Json,
            _ => Form::Text,
        };
        Self { name, steps, form }
    }

    /// The cell of an event; `NULL` when the event has nothing there.
    pub(crate) fn cell(&self, event: &Json) -> Cell {
        let Some(value) = self.steps.iter().try_fold(event, |value, step| into(value, step)) else { return Cell::Null };
        match (self.form, value) {
            (Form::Boolean, Json::Bool(value)) => Cell::Integer(i64::from(*value)),
            (Form::Boolean, Json::String(text)) if text == "true" || text == "false" => Cell::Integer(i64::from(text == "true")),
            (Form::Timestamp, Json::String(text)) => timestamp::parse(text).map_or(Cell::Null, |time| Cell::Text(timestamp::text(time))),
            (_, Json::Null) | (Form::Boolean | Form::Timestamp, _) | (Form::Scalar, Json::Array(_) | Json::Object(_)) => Cell::Null,
            (Form::Text | Form::Scalar, Json::String(text)) => Cell::Text(text.clone()),
            (_, value) => Cell::Text(value.to_string()),
        }
    }
}

fn into<'a>(value: &'a Json, step: &Step) -> Option<&'a Json> {
    match step {
        Step::Member(name) => value.get(name),
        Step::Index(index) => value.get(index),
    }
}

/// The steps of a JSON path in Trino's form: `$.a.b[0]["c"]`. `None`: it is not one.
pub(crate) fn json_path(text: &str) -> Option<Vec<Step>> {
    let mut rest = text.trim().strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == STEPS_LIMIT {
            return None;
        }
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, tail) = after.split_at(end);
            if name.is_empty() || name == "*" {
                return None;
            }
            steps.push(Step::Member(name.to_owned()));
            rest = tail;
            continue;
        }
        let inside = rest.strip_prefix('[')?;
        let quote = inside.chars().next().filter(|letter| matches!(letter, '"' | '\''));
        if let Some(quote) = quote {
            let (name, tail) = inside.get(1..)?.split_once(quote)?;
            steps.push(Step::Member(name.to_owned()));
            rest = tail.strip_prefix(']')?;
        } else {
            let (index, tail) = inside.split_once(']')?;
            steps.push(Step::Index(index.trim().parse().ok()?));
            rest = tail;
        }
    }
    Some(steps)
}

/// The value at the end of the steps.
pub(crate) fn walk<'a>(value: &'a Json, steps: &[Step]) -> Option<&'a Json> {
    steps.iter().try_fold(value, into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths() {
        let member = |name: &str| Step::Member(name.to_owned());
        assert_eq!(json_path("$"), Some(vec![]));
        assert_eq!(json_path("$.a.b[0]['c d']"), Some(vec![member("a"), member("b"), Step::Index(0), member("c d")]));
        for wrong in ["a", "$.", "$.a[", "$.a[x]", "$.*", "$a", "$['a]", "$..a"] {
            assert_eq!(json_path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn cells_take_the_form_of_their_column() {
        let event = serde_json::json!({ "eventTime": "2026-11-28T10:00:00Z", "readOnly": true, "requestParameters": { "n": 3, "o": {} } });
        let at = |path: &str, form| Column { name: String::new(), steps: json_path(path).unwrap(), form }.cell(&event);
        assert_eq!(at("$.eventTime", Form::Timestamp), Cell::Text("2026-11-28 10:00:00.000".to_owned()));
        assert_eq!(at("$.readOnly", Form::Boolean), Cell::Integer(1));
        assert_eq!(at("$.requestParameters.n", Form::Text), Cell::Text("3".to_owned()));
        assert_eq!(at("$.requestParameters.o", Form::Scalar), Cell::Null);
        assert_eq!(at("$.requestParameters.o", Form::Json), Cell::Text("{}".to_owned()));
        assert_eq!(at("$.nothing", Form::Text), Cell::Null);
    }

    proptest! {
        #[test]
        fn any_text_is_a_path_or_not(text in ".{0,80}") {
            let _ = json_path(&text);
        }
    }
}
