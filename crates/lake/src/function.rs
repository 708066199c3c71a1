//! Functions that SQLite does not have, or has with another meaning. `NULL` among the arguments gives `NULL`.
//!
//! Source: Trino documentation, "Functions and Operators".

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, Error};
use serde_json::Value as Json;

use crate::column::{json_path, walk};
use crate::{date_function, timestamp};

/// Bytes that a function's text may have.
const TEXT_MAX: usize = 1024 * 1024;
/// Bytes that a compiled expression may take.
const PATTERN_SIZE_MAX: usize = 1024 * 1024;

/// Why a function has no value.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum FunctionError {
    #[error("`{0}` cannot take this value")]
    Value(&'static str),
    #[error("the pattern is not valid: {0}")]
    Pattern(String),
    #[error("the text is longer than {TEXT_MAX} bytes")]
    TooLong,
}

type Result<T> = std::result::Result<T, FunctionError>;

/// An argument.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Argument {
    Integer(i64),
    Double(f64),
    Text(String),
}

impl Argument {
    fn of(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(Self::Integer(number)),
            ValueRef::Real(number) => Some(Self::Double(number)),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(Self::Text(String::from_utf8_lossy(bytes).into_owned())),
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Double(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Double(number) => whole(number.round()),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    fn double(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "a double is asked for")]
            Self::Integer(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    fn json(&self) -> Option<Json> {
        match self {
            Self::Text(text) => serde_json::from_str(text).ok(),
            Self::Integer(number) => Some(Json::from(*number)),
            Self::Double(number) => Some(Json::from(*number)),
        }
    }

    fn items(&self) -> Vec<Json> {
        match self.json() {
            Some(Json::Array(items)) => items,
            _ => Vec::new(),
        }
    }
}

fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (number.abs() < 9.0e15).then_some(number as i64)
}

fn boolean(value: bool) -> Cell {
    Cell::Integer(i64::from(value))
}

fn count(length: usize) -> Cell {
    Cell::Integer(i64::try_from(length).unwrap_or(i64::MAX))
}

fn array(items: Vec<Json>) -> Cell {
    Cell::Text(Json::Array(items).to_string())
}

/// A text as it is, anything else as JSON.
fn shown(value: &Json) -> Cell {
    match value {
        Json::Null => Cell::Null,
        Json::String(text) => Cell::Text(text.clone()),
        other => Cell::Text(other.to_string()),
    }
}

/// As [`shown`], and nothing of structures.
fn scalar(value: &Json) -> Cell {
    if value.is_array() || value.is_object() { Cell::Null } else { shown(value) }
}

/// Adds the functions to a connection. Names have a prefix, so that none hides one of SQLite's.
pub(crate) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    for (name, function) in TABLE.iter().chain(date_function::TABLE) {
        let function = *function;
        connection.create_scalar_function(format!("lake_{name}").as_str(), -1, flags, move |context| {
            let arguments: Option<Vec<Argument>> = (0..context.len()).map(|at| Argument::of(context.get_raw(at))).collect();
            let Some(arguments) = arguments else { return Ok(Cell::Null) };
            function(&arguments).map_err(|error| Error::UserFunctionError(Box::new(error)))
        })?;
    }
    Ok(())
}

pub(crate) type Run = fn(&[Argument]) -> Result<Cell>;

/// A sub-list of arguments in the form a function wants; the count was checked when the query was planned.
macro_rules! arguments {
    ($arguments:expr, $($name:ident),+) => {
        let [$($name,)+ ..] = $arguments else { return Ok(Cell::Null) };
    };
}

const TABLE: &[(&str, Run)] = &[
    ("array_distinct", |a| {
        arguments!(a, list);
        let mut kept: Vec<Json> = Vec::new();
        for item in list.items() {
            if !kept.contains(&item) {
                kept.push(item);
            }
        }
        Ok(array(kept))
    }),
    ("array_except", |a| sets(a, |left, right| left.into_iter().filter(|item| !right.contains(item)).collect())),
    ("array_intersect", |a| sets(a, |left, right| left.into_iter().filter(|item| right.contains(item)).collect())),
    ("array_join", array_join),
    ("array_max", |a| extreme(a, true)),
    ("array_min", |a| extreme(a, false)),
    ("array_position", |a| {
        arguments!(a, list, wanted);
        Ok(count(list.items().iter().position(|item| same(item, wanted)).map_or(0, |at| at + 1)))
    }),
    ("array_remove", |a| {
        arguments!(a, list, unwanted);
        Ok(array(list.items().into_iter().filter(|item| !same(item, unwanted)).collect()))
    }),
    ("array_sort", |a| {
        arguments!(a, list);
        let mut items = list.items();
        items.sort_by(order);
        Ok(array(items))
    }),
    ("array_union", |a| {
        sets(a, |mut left, right| {
            left.extend(right);
            left
        })
    }),
    ("arrays_overlap", |a| {
        arguments!(a, left, right);
        let right = right.items();
        Ok(boolean(left.items().iter().any(|item| right.contains(item))))
    }),
    ("cardinality", |a| {
        arguments!(a, value);
        Ok(match value.json() {
            Some(Json::Array(items)) => count(items.len()),
            Some(Json::Object(members)) => count(members.len()),
            _ => Cell::Null,
        })
    }),
    ("ceil", |a| rounded(a, f64::ceil)),
    ("ceiling", |a| rounded(a, f64::ceil)),
    ("contains", |a| {
        arguments!(a, list, wanted);
        Ok(boolean(list.items().iter().any(|item| same(item, wanted))))
    }),
    ("element_at", element_at),
    ("exp", |a| numeric(a, f64::exp)),
    ("floor", |a| rounded(a, f64::floor)),
    ("is_json_scalar", |a| {
        arguments!(a, value);
        Ok(value.json().map_or(Cell::Null, |json| boolean(!json.is_array() && !json.is_object())))
    }),
    ("json_array_contains", |a| {
        arguments!(a, list, wanted);
        Ok(boolean(list.items().iter().any(|item| same(item, wanted))))
    }),
    ("json_array_get", |a| {
        arguments!(a, list, index);
        let items = list.items();
        let index = index.integer().unwrap_or_default();
        let at = if index < 0 {
            items.len().checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX))
        } else {
            usize::try_from(index).ok()
        };
        Ok(at.and_then(|at| items.get(at)).map_or(Cell::Null, |item| Cell::Text(item.to_string())))
    }),
    ("json_array_length", |a| {
        arguments!(a, list);
        Ok(match list.json() {
            Some(Json::Array(items)) => count(items.len()),
            _ => Cell::Null,
        })
    }),
    ("json_extract", |a| {
        arguments!(a, json, path);
        found(json, path).map(|value| value.map_or(Cell::Null, |value| Cell::Text(value.to_string())))
    }),
    ("json_extract_scalar", |a| {
        arguments!(a, json, path);
        found(json, path).map(|value| value.as_ref().map_or(Cell::Null, scalar))
    }),
    ("json_format", |a| {
        arguments!(a, json);
        Ok(Cell::Text(json.text()))
    }),
    ("json_parse", |a| {
        arguments!(a, text);
        match text.json() {
            Some(json) => Ok(Cell::Text(json.to_string())),
            None => Err(FunctionError::Value("json_parse")),
        }
    }),
    ("json_size", |a| {
        arguments!(a, json, path);
        found(json, path).map(|value| match value {
            Some(Json::Array(items)) => count(items.len()),
            Some(Json::Object(members)) => count(members.len()),
            Some(_) => count(0),
            None => Cell::Null,
        })
    }),
    ("ln", |a| numeric(a, f64::ln)),
    ("log10", |a| numeric(a, f64::log10)),
    ("log2", |a| numeric(a, f64::log2)),
    ("lower", |a| {
        arguments!(a, text);
        Ok(Cell::Text(text.text().to_lowercase()))
    }),
    ("lpad", |a| padded(a, true)),
    ("map_keys", |a| {
        arguments!(a, map);
        Ok(match map.json() {
            Some(Json::Object(members)) => array(members.keys().cloned().map(Json::String).collect()),
            _ => Cell::Null,
        })
    }),
    ("map_values", |a| {
        arguments!(a, map);
        Ok(match map.json() {
            Some(Json::Object(members)) => array(members.values().cloned().collect()),
            _ => Cell::Null,
        })
    }),
    ("member", |a| {
        arguments!(a, value, name);
        Ok(value.json().as_ref().and_then(|json| json.get(name.text())).map_or(Cell::Null, shown))
    }),
    ("mod", |a| {
        arguments!(a, left, right);
        match (left, right) {
            (Argument::Integer(left), Argument::Integer(right)) => {
                left.checked_rem(*right).map(Cell::Integer).ok_or(FunctionError::Value("mod"))
            }
            _ => Ok(left.double().zip(right.double()).map_or(Cell::Null, |(left, right)| Cell::Real(left % right))),
        }
    }),
    ("pow", power),
    ("power", power),
    ("regexp_extract", regexp_extract),
    ("regexp_like", |a| {
        arguments!(a, text, pattern);
        Ok(boolean(regex(pattern)?.is_match(text.text().as_bytes())))
    }),
    ("regexp_replace", regexp_replace),
    ("reverse", |a| {
        arguments!(a, text);
        Ok(Cell::Text(text.text().chars().rev().collect()))
    }),
    ("rpad", |a| padded(a, false)),
    ("slice", |a| {
        arguments!(a, list, start, length);
        let items = list.items();
        let (start, length) =
            (start.integer().unwrap_or_default(), usize::try_from(length.integer().unwrap_or_default()).unwrap_or_default());
        let skip = if start > 0 {
            usize::try_from(start - 1).unwrap_or(usize::MAX)
        } else {
            items.len().saturating_sub(usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX))
        };
        Ok(array(items.into_iter().skip(skip).take(length).collect()))
    }),
    ("split", |a| {
        arguments!(a, text, delimiter);
        let (text, delimiter) = (text.text(), delimiter.text());
        if delimiter.is_empty() {
            return Err(FunctionError::Value("split"));
        }
        let limit = a.get(2).and_then(Argument::integer).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        Ok(array(text.splitn(limit.max(1), delimiter.as_str()).map(|part| Json::String(part.to_owned())).collect()))
    }),
    ("split_part", |a| {
        arguments!(a, text, delimiter, index);
        let (text, delimiter) = (text.text(), delimiter.text());
        let index = index.integer().and_then(|index| usize::try_from(index).ok()).and_then(|index| index.checked_sub(1));
        let index = index.filter(|_| !delimiter.is_empty()).ok_or(FunctionError::Value("split_part"))?;
        Ok(text.split(delimiter.as_str()).nth(index).map_or(Cell::Null, |part| Cell::Text(part.to_owned())))
    }),
    ("sqrt", |a| numeric(a, f64::sqrt)),
    ("starts_with", |a| {
        arguments!(a, text, start);
        Ok(boolean(text.text().starts_with(&start.text())))
    }),
    ("to_boolean", |a| {
        arguments!(a, value);
        match value.text().to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Ok(boolean(true)),
            "false" | "f" | "0" => Ok(boolean(false)),
            _ => Ok(Cell::Null),
        }
    }),
    ("to_double", |a| {
        arguments!(a, value);
        Ok(value.double().map_or(Cell::Null, Cell::Real))
    }),
    ("to_integer", |a| {
        arguments!(a, value);
        Ok(value.integer().map_or(Cell::Null, Cell::Integer))
    }),
    ("to_timestamp", |a| {
        arguments!(a, value);
        Ok(timestamp::parse(&value.text()).map_or(Cell::Null, |time| Cell::Text(timestamp::text(time))))
    }),
    ("upper", |a| {
        arguments!(a, text);
        Ok(Cell::Text(text.text().to_uppercase()))
    }),
    ("url_extract_host", |a| {
        arguments!(a, url);
        let url = url.text();
        let host = url.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let host = host.map(|host| host.rsplit('@').next().unwrap_or(host).split(':').next().unwrap_or_default());
        Ok(host.filter(|host| !host.is_empty()).map_or(Cell::Null, |host| Cell::Text(host.to_owned())))
    }),
];

fn same(item: &Json, wanted: &Argument) -> bool {
    match (item, wanted) {
        (Json::String(text), wanted) => *text == wanted.text(),
        (Json::Number(number), wanted) => {
            number.as_f64().zip(wanted.double()).is_some_and(|(left, right)| (left - right).abs() < f64::EPSILON)
        }
        (Json::Bool(value), Argument::Integer(wanted)) => i64::from(*value) == *wanted,
        (item, wanted) => serde_json::from_str::<Json>(&wanted.text()).is_ok_and(|wanted| *item == wanted),
    }
}

fn order(left: &Json, right: &Json) -> std::cmp::Ordering {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.total_cmp(&right),
        _ => match (left.as_str(), right.as_str()) {
            (Some(left), Some(right)) => left.cmp(right),
            _ => left.to_string().cmp(&right.to_string()),
        },
    }
}

fn sets(a: &[Argument], combine: fn(Vec<Json>, Vec<Json>) -> Vec<Json>) -> Result<Cell> {
    arguments!(a, left, right);
    let mut kept: Vec<Json> = Vec::new();
    for item in combine(left.items(), right.items()) {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    Ok(array(kept))
}

fn extreme(a: &[Argument], largest: bool) -> Result<Cell> {
    arguments!(a, list);
    let items = list.items();
    let found =
        if largest { items.iter().max_by(|left, right| order(left, right)) } else { items.iter().min_by(|left, right| order(left, right)) };
    Ok(found.map_or(Cell::Null, shown))
}

fn array_join(a: &[Argument]) -> Result<Cell> {
    arguments!(a, list, delimiter);
    let missing = a.get(2).map(Argument::text);
    let parts: Vec<String> = list
        .items()
        .iter()
        .filter_map(|item| match shown(item) {
            Cell::Text(text) => Some(text),
            _ => missing.clone(),
        })
        .collect();
    bounded(parts.join(&delimiter.text()))
}

fn bounded(text: String) -> Result<Cell> {
    if text.len() > TEXT_MAX { Err(FunctionError::TooLong) } else { Ok(Cell::Text(text)) }
}

fn element_at(a: &[Argument]) -> Result<Cell> {
    arguments!(a, container, key);
    let Some(json) = container.json() else { return Ok(Cell::Null) };
    let found = match &json {
        Json::Object(members) => members.get(&key.text()),
        Json::Array(items) => {
            let index = key.integer().unwrap_or_default();
            let at = match index {
                0 => return Err(FunctionError::Value("element_at")),
                index if index > 0 => usize::try_from(index - 1).ok(),
                index => items.len().checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)),
            };
            at.and_then(|at| items.get(at))
        }
        _ => None,
    };
    Ok(found.map_or(Cell::Null, shown))
}

fn found(json: &Argument, path: &Argument) -> Result<Option<Json>> {
    let steps = json_path(&path.text()).ok_or(FunctionError::Value("json_extract"))?;
    Ok(json.json().and_then(|json| walk(&json, &steps).cloned()).filter(|value| !value.is_null()))
}

fn numeric(a: &[Argument], function: fn(f64) -> f64) -> Result<Cell> {
    arguments!(a, value);
    Ok(value.double().map(function).filter(|value| value.is_finite()).map_or(Cell::Null, Cell::Real))
}

fn rounded(a: &[Argument], function: fn(f64) -> f64) -> Result<Cell> {
    arguments!(a, value);
    Ok(value.double().map(function).and_then(whole).map_or(Cell::Null, Cell::Integer))
}

fn power(a: &[Argument]) -> Result<Cell> {
    arguments!(a, base, exponent);
    let value = base.double().zip(exponent.double()).map(|(base, exponent)| base.powf(exponent));
    Ok(value.filter(|value| value.is_finite()).map_or(Cell::Null, Cell::Real))
}

fn padded(a: &[Argument], left: bool) -> Result<Cell> {
    arguments!(a, text, size, pad);
    let (text, pad) = (text.text(), pad.text());
    let size = size.integer().and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= TEXT_MAX).ok_or(FunctionError::TooLong)?;
    let length = text.chars().count();
    if pad.is_empty() {
        return Err(FunctionError::Value("lpad and rpad"));
    }
    if length >= size {
        return Ok(Cell::Text(text.chars().take(size).collect()));
    }
    let filling: String = pad.chars().cycle().take(size - length).collect();
    bounded(if left { format!("{filling}{text}") } else { format!("{text}{filling}") })
}

/// Linear in time by the engine's nature, and bounded in size.
fn regex(pattern: &Argument) -> Result<Regex> {
    let config = Regex::config().nfa_size_limit(Some(PATTERN_SIZE_MAX)).onepass(false).hybrid_cache_capacity(PATTERN_SIZE_MAX);
    Regex::builder().configure(config).build(&pattern.text()).map_err(|error| FunctionError::Pattern(error.to_string()))
}

fn regexp_extract(a: &[Argument]) -> Result<Cell> {
    arguments!(a, text, pattern);
    let group = a.get(2).and_then(Argument::integer).and_then(|group| usize::try_from(group).ok()).unwrap_or_default();
    let regex = regex(pattern)?;
    if group >= regex.captures_len() {
        return Err(FunctionError::Value("regexp_extract"));
    }
    let text = text.text();
    let mut captures: Captures = regex.create_captures();
    regex.captures(text.as_bytes(), &mut captures);
    Ok(captures.get_group(group).and_then(|span| text.get(span.range())).map_or(Cell::Null, |part| Cell::Text(part.to_owned())))
}

fn regexp_replace(a: &[Argument]) -> Result<Cell> {
    arguments!(a, text, pattern);
    let (text, with) = (text.text(), a.get(2).map(Argument::text).unwrap_or_default());
    let regex = regex(pattern)?;
    let mut replaced = String::with_capacity(text.len());
    let mut end = 0;
    for captures in regex.captures_iter(text.as_bytes()) {
        let Some(span) = captures.get_group(0) else { continue };
        replaced.push_str(text.get(end..span.start).unwrap_or_default());
        captures.interpolate_string_into(&text, &with, &mut replaced);
        end = span.end;
        if replaced.len() > TEXT_MAX {
            return Err(FunctionError::TooLong);
        }
    }
    replaced.push_str(text.get(end..).unwrap_or_default());
    bounded(replaced)
}
