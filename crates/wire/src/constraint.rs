//! Checks a decoded value against the constraints of its shape: required members, lengths, ranges, patterns, enumerations, unions.
//!
//! One walk over the value in the order of the model, the same for every protocol. It is a walk of its own, after decoding, so
//! that there is one implementation and one order of violations; paths are only built where something is wrong.

use facts::{Location, Member, Service, Shape, ShapeId, ShapeKind};

use crate::error::{Rule, Step, Violation};
use crate::limits;
use crate::pattern;
use crate::scalar;
use crate::value::{Struct, Value};

/// All violations of an input, at most [`limits::VIOLATIONS`].
pub fn violations(service: &'static Service, input: ShapeId, value: &Value) -> Vec<Violation> {
    let mut walk = Walk { service, path: Vec::new(), location: Location::Body, sensitive: 0, found: Vec::new() };
    walk.value(input, value);
    walk.found
}

struct Walk {
    service: &'static Service,
    path: Vec<Step>,
    location: Location,
    /// How many of the steps so far are sensitive.
    sensitive: usize,
    found: Vec<Violation>,
}

impl Walk {
    fn value(&mut self, id: ShapeId, value: &Value) {
        if self.found.len() >= limits::VIOLATIONS || self.path.len() > 2 * limits::DEPTH {
            return;
        }
        let shape = self.service.shape(id);
        let hidden = usize::from(hides(self.service, shape, 4));
        self.sensitive += hidden;
        match (&shape.kind, value) {
            (ShapeKind::Structure { members, union, event_stream, document, .. }, Value::Struct(fields)) if !event_stream && !document => {
                self.structure(members, *union, fields, value);
            }
            (ShapeKind::List { item, .. }, Value::List(items)) => {
                self.bounds(shape, value);
                self.list(*item, items, value);
            }
            (ShapeKind::Map { key, value: of, .. }, Value::Map(entries)) => {
                self.bounds(shape, value);
                self.map(*key, *of, entries, value);
            }
            _ => self.bounds(shape, value),
        }
        self.sensitive -= hidden;
    }

    fn structure(&mut self, members: &'static [Member], union: bool, fields: &Struct, value: &Value) {
        if union && fields.len() != 1 {
            self.report(Rule::OneMember, Some(value));
            return;
        }
        for member in members {
            let outermost = self.path.is_empty();
            if outermost {
                self.location = member.location;
            }
            let hidden = usize::from(member.sensitive);
            self.sensitive += hidden;
            self.path.push(Step::Member(member.name));
            match fields.get(member.name) {
                Some(value) if *value != Value::Null => self.value(member.shape, value),
                _ if member.required && !self.travels_beside(member) => {
                    self.report(Rule::Required, None);
                }
                _ => {}
            }
            self.path.pop();
            self.sensitive -= hidden;
        }
    }

    /// Streams are not part of the value.
    fn travels_beside(&self, member: &Member) -> bool {
        matches!(
            self.service.shape(member.shape).kind,
            ShapeKind::Blob { streaming: true } | ShapeKind::Structure { event_stream: true, .. }
        )
    }

    fn list(&mut self, item: ShapeId, items: &[Value], list: &Value) {
        let shape = self.service.shape(item);
        if is_aggregate(shape) {
            for (at, value) in items.iter().enumerate() {
                self.path.push(Step::Item(at + 1));
                if *value == Value::Null {
                    self.report(Rule::Required, None);
                } else {
                    self.value(item, value);
                }
                self.path.pop();
            }
        } else if items.iter().any(|value| breaks(shape, value)) {
            self.report(Rule::Items(rules(shape)), Some(list));
        }
    }

    fn map(&mut self, key: ShapeId, of: ShapeId, entries: &[(String, Value)], map: &Value) {
        let key = self.service.shape(key);
        let shape = self.service.shape(of);
        if entries.iter().any(|(name, _)| text_rules(key, name).next().is_some()) {
            self.report(Rule::Keys(rules(key)), Some(map));
        }
        if is_aggregate(shape) {
            for (name, value) in entries {
                self.path.push(Step::Key(name.clone()));
                if *value == Value::Null {
                    self.report(Rule::Required, None);
                } else {
                    self.value(of, value);
                }
                self.path.pop();
            }
        } else if entries.iter().any(|(_, value)| breaks(shape, value)) {
            self.report(Rule::MapValues(rules(shape)), Some(map));
        }
    }

    fn bounds(&mut self, shape: &'static Shape, value: &Value) {
        for rule in broken(shape, value) {
            self.report(rule, Some(value));
        }
    }

    fn report(&mut self, rule: Rule, value: Option<&Value>) {
        if self.found.len() >= limits::VIOLATIONS {
            return;
        }
        let sensitive = self.sensitive > 0;
        self.found.push(Violation {
            path: self.path.clone(),
            value: value.filter(|_| !sensitive).map(echo),
            length: value.and_then(length),
            rule,
            location: self.location,
            sensitive,
        });
    }
}

/// The shape, or what its list or map holds, is sensitive.
fn hides(service: &'static Service, shape: &'static Shape, levels: usize) -> bool {
    let inner = |id: ShapeId| levels > 0 && hides(service, service.shape(id), levels - 1);
    shape.sensitive
        || match &shape.kind {
            ShapeKind::List { item, .. } => inner(*item),
            ShapeKind::Map { key, value, .. } => inner(*key) || inner(*value),
            _ => false,
        }
}

fn is_aggregate(shape: &Shape) -> bool {
    matches!(shape.kind, ShapeKind::Structure { .. } | ShapeKind::List { .. } | ShapeKind::Map { .. })
}

fn breaks(shape: &'static Shape, value: &Value) -> bool {
    *value == Value::Null || !broken(shape, value).is_empty()
}

/// The rules of a shape itself that a value does not keep.
fn broken(shape: &'static Shape, value: &Value) -> Vec<Rule> {
    match value {
        Value::Str(text) => text_rules(shape, text).collect(),
        Value::Bytes(_) | Value::List(_) | Value::Map(_) => length_rules(shape, length(value).unwrap_or(0)).collect(),
        Value::Int(number) => {
            #[expect(clippy::cast_precision_loss, reason = "bounds are floats; a difference beyond 2^53 does not matter")]
            let number = *number as f64;
            range_rules(shape, number).collect()
        }
        Value::Float(number) => range_rules(shape, *number).collect(),
        _ => Vec::new(),
    }
}

fn text_rules(shape: &'static Shape, text: &str) -> impl Iterator<Item = Rule> {
    let constraints = &shape.constraints;
    let values = (!constraints.values.is_empty() && !constraints.values.contains(&text)).then(|| Rule::Values(&constraints.values));
    let pattern =
        constraints.pattern.filter(|pattern| pattern::compiled(pattern).is_some_and(|pattern| !pattern.matches(text))).map(Rule::Pattern);
    values.into_iter().chain(length_rules(shape, text.chars().count())).chain(pattern)
}

fn length_rules(shape: &'static Shape, length: usize) -> impl Iterator<Item = Rule> {
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
    let length = length as f64;
    let constraints = &shape.constraints;
    let most = constraints.max.filter(|max| length > *max).map(Rule::MaximumLength);
    let least = constraints.min.filter(|min| length < *min).map(Rule::MinimumLength);
    most.into_iter().chain(least)
}

fn range_rules(shape: &'static Shape, number: f64) -> impl Iterator<Item = Rule> {
    let constraints = &shape.constraints;
    let most = constraints.max.filter(|max| number > *max).map(Rule::MaximumValue);
    let least = constraints.min.filter(|min| number < *min).map(Rule::MinimumValue);
    most.into_iter().chain(least)
}

/// All rules of a scalar shape, as AWS lists them when one item of a list breaks any.
fn rules(shape: &'static Shape) -> Vec<Rule> {
    let constraints = &shape.constraints;
    let mut rules = Vec::new();
    if !constraints.values.is_empty() {
        rules.push(Rule::Values(&constraints.values));
    }
    let number = matches!(shape.kind, ShapeKind::Integer | ShapeKind::Long | ShapeKind::Float | ShapeKind::Double);
    rules.extend(constraints.max.map(if number { Rule::MaximumValue } else { Rule::MaximumLength }));
    rules.extend(constraints.min.map(if number { Rule::MinimumValue } else { Rule::MinimumLength }));
    rules.extend(constraints.pattern.map(Rule::Pattern));
    rules.push(Rule::Required);
    rules
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Str(text) => Some(text.chars().count()),
        Value::Bytes(bytes) => Some(bytes.len()),
        Value::List(items) => Some(items.len()),
        Value::Map(entries) => Some(entries.len()),
        _ => None,
    }
}

/// A value as AWS prints it in validation messages, cut at [`limits::ECHO_CHARACTERS`].
fn echo(value: &Value) -> String {
    let mut out = String::new();
    write_echo(&mut out, value);
    match out.char_indices().nth(limits::ECHO_CHARACTERS) {
        Some((at, _)) => out.get(..at).unwrap_or_default().to_owned(),
        None => out,
    }
}

fn write_echo(out: &mut String, value: &Value) {
    if out.len() > limits::ECHO_CHARACTERS * 4 {
        return;
    }
    match value {
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                write_echo(out, item);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (at, (key, item)) in entries.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                out.push_str(key);
                out.push('=');
                write_echo(out, item);
            }
            out.push('}');
        }
        // Structures may hold sensitive members: their content is never repeated.
        Value::Struct(_) => out.push_str("{}"),
        Value::Bytes(bytes) => out.push_str(&format!("java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", bytes.len())),
        Value::Null => out.push_str("null"),
        other => out.push_str(&scalar::format(other, facts::TimestampFormat::Iso8601).unwrap_or_default()),
    }
}
