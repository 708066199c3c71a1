//! A small input for any operation: required members only, inside their limits. Patterns are met where a plain word or an ARN meets them;
//! `tests/client/sample_inputs.py` goes further.

use facts::{Location, Member, Operation, Service, ShapeId, ShapeKind};
use wire::{Struct, Timestamp, Value};

const DEPTH: usize = 6;

pub(crate) fn input(service: &'static Service, operation: &'static Operation) -> Value {
    match operation.input {
        Some(shape) => structure(service, shape, DEPTH),
        None => Value::Struct(Struct::new()),
    }
}

fn structure(service: &'static Service, id: ShapeId, depth: usize) -> Value {
    let mut fields = Struct::new();
    let members = service.members(id);
    let union = matches!(service.shape(id).kind, ShapeKind::Structure { union: true, .. });
    let needed = |member: &&'static Member| member.required || member.location == Location::Uri;
    let chosen: Vec<&'static Member> = if union { members.iter().take(1).collect() } else { members.iter().filter(needed).collect() };
    for member in chosen {
        if let Some(value) = value(service, member.shape, depth.saturating_sub(1)) {
            fields.set(member.name, value);
        }
    }
    Value::Struct(fields)
}

fn value(service: &'static Service, id: ShapeId, depth: usize) -> Option<Value> {
    let shape = service.shape(id);
    if depth == 0 {
        return None;
    }
    let minimum = shape.constraints.min.unwrap_or(1.0).max(1.0);
    Some(match &shape.kind {
        ShapeKind::Structure { document: true, .. } => Value::Document(serde_json::json!({})),
        ShapeKind::Structure { event_stream: true, .. } | ShapeKind::Blob { streaming: true } => return None,
        ShapeKind::Structure { .. } => structure(service, id, depth),
        ShapeKind::List { item, .. } => Value::List(value(service, *item, depth - 1).into_iter().collect()),
        ShapeKind::Map { key, value: of, .. } => {
            let Some(Value::Str(key)) = value(service, *key, depth - 1) else { return None };
            Value::Map(value(service, *of, depth - 1).map(|value| (key, value)).into_iter().collect())
        }
        ShapeKind::String => Value::Str(text(service, id)),
        ShapeKind::Blob { .. } => Value::Bytes(vec![b'a'; length(minimum)].into()),
        ShapeKind::Boolean => Value::Bool(true),
        ShapeKind::Integer | ShapeKind::Long => Value::Int(i64::try_from(length(minimum)).unwrap()),
        ShapeKind::Float | ShapeKind::Double => Value::Float(minimum.min(shape.constraints.max.unwrap_or(minimum))),
        ShapeKind::Timestamp { .. } => Value::Time(Timestamp(1_795_000_000_000)),
    })
}

fn text(service: &'static Service, id: ShapeId) -> String {
    let constraints = &service.shape(id).constraints;
    if let Some(value) = constraints.values.first() {
        return (*value).to_owned();
    }
    let shortest = length(constraints.min.unwrap_or(1.0).max(1.0));
    let pattern = constraints.pattern.unwrap_or_default();
    if pattern.contains("arn:") {
        return format!("arn:aws:{}:us-east-1:{}:thing/{}", service.head.iam_prefix, crate::house::ACCOUNT, "a".repeat(shortest));
    }
    if pattern.contains("[0-9]{12}") || pattern.contains("\\d{12}") {
        return crate::house::ACCOUNT.to_owned();
    }
    "a".repeat(shortest)
}

/// A limit of the facts as a length: they are small whole numbers.
fn length(limit: f64) -> usize {
    format!("{limit:.0}").parse().unwrap()
}
