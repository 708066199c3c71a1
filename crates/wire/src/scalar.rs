//! Scalars as text: form parameters, XML text, headers, query strings and URI labels.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use facts::{Shape, ShapeKind, TimestampFormat};

use crate::timestamp;
use crate::value::Value;

/// Standard alphabet; padding is written, and optional when read.
pub(crate) const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Reads a scalar from text. The error says what the text is not.
pub(crate) fn parse(shape: &Shape, text: &str) -> Result<Value, String> {
    match &shape.kind {
        ShapeKind::String => Ok(Value::Str(text.to_owned())),
        ShapeKind::Boolean => match text.trim() {
            "true" | "True" | "TRUE" => Ok(Value::Bool(true)),
            "false" | "False" | "FALSE" => Ok(Value::Bool(false)),
            _ => Err(not(text, "a Boolean")),
        },
        ShapeKind::Integer | ShapeKind::Long => {
            let number: i64 = text.trim().parse().map_err(|_| not(text, integer_name(shape)))?;
            integer(shape, number).ok_or_else(|| not(text, integer_name(shape)))
        }
        ShapeKind::Float | ShapeKind::Double => float(text.trim()).map(Value::Float).ok_or_else(|| not(text, "a Double")),
        ShapeKind::Timestamp { .. } => timestamp::parse(text).map(Value::Time).ok_or_else(|| not(text, "a Timestamp")),
        ShapeKind::Blob { .. } => {
            BASE64.decode(text.trim()).map(|bytes| Value::Bytes(Bytes::from(bytes))).map_err(|_| not("the text", "base64"))
        }
        ShapeKind::Structure { .. } | ShapeKind::List { .. } | ShapeKind::Map { .. } => {
            Err("text was found where a structure was expected".to_owned())
        }
    }
}

/// Writes a scalar as text; `None` for values that have no text form.
pub(crate) fn format(value: &Value, format: TimestampFormat) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(float_text(*number)),
        Value::Time(time) => Some(timestamp::format(*time, format)),
        Value::Bytes(bytes) => Some(BASE64.encode(bytes)),
        Value::Document(document) => Some(document.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) | Value::Struct(_) => None,
    }
}

/// The number as a value of this shape, when it is in range.
pub(crate) fn integer(shape: &Shape, number: i64) -> Option<Value> {
    if matches!(shape.kind, ShapeKind::Integer) && i32::try_from(number).is_err() {
        return None;
    }
    Some(Value::Int(number))
}

pub(crate) fn integer_name(shape: &Shape) -> &'static str {
    if matches!(shape.kind, ShapeKind::Integer) { "an Integer" } else { "a Long" }
}

/// A float, also one of the three names that no JSON number can express.
pub(crate) fn float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')) => text.parse().ok(),
        _ => None,
    }
}

/// The integer that a float stands for, when it is one exactly.
pub(crate) fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() != 0.0 || number.abs() > EXACT {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within ±2^53, checked above")]
    Some(number as i64)
}

pub(crate) fn float_text(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format!("{number:?}")
    }
}

fn not(text: &str, what: &str) -> String {
    let short: String = text.chars().take(64).collect();
    format!("`{short}` is not {what}")
}

/// Drops all but the last entry of every key.
pub(crate) fn last_entries(entries: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let mut seen = std::collections::HashMap::with_capacity(entries.len());
    for (at, (key, _)) in entries.iter().enumerate() {
        seen.insert(key.clone(), at);
    }
    if seen.len() == entries.len() {
        return entries;
    }
    entries.into_iter().enumerate().filter(|(at, (key, _))| seen.get(key) == Some(at)).map(|(_, entry)| entry).collect()
}
