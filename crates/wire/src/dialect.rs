//! Refusals in each service's own words.

use std::borrow::Cow;

use facts::{Dialect, Location, Service, ShapeKind};

use crate::error::{DecodeError, ErrorReply, Format, Rule, Step, Violation};
use crate::value::{Struct, Value};

impl DecodeError {
    /// The error as this service says it.
    pub fn to_reply(&self, service: &'static Service) -> ErrorReply {
        match self {
            DecodeError::Validation(violations) => match service.dialect {
                Dialect::Classic(code) => reply(code, in_words(service, violations).unwrap_or_else(|| classic_message(violations))),
                Dialect::Framework { code, fields } => framework(service, code, fields, violations),
                Dialect::Ec2 => ec2(violations),
                Dialect::S3 => s3(violations),
            },
            DecodeError::Syntax { format, reason } => malformed(service, *format, None, reason),
            DecodeError::Type { format, member, reason } => malformed(service, *format, Some(member), reason),
            DecodeError::Limit { format, .. } => malformed(service, *format, None, &self.to_string()),
        }
    }
}

fn reply(code: &str, message: impl Into<String>) -> ErrorReply {
    ErrorReply { code: code.to_owned(), message: message.into(), status: 400, sender_fault: true, members: Vec::new() }
}

fn malformed(service: &Service, format: Format, member: Option<&str>, reason: &str) -> ErrorReply {
    match (service.dialect, format) {
        (Dialect::S3, Format::Xml) => {
            reply("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
        }
        (Dialect::S3, _) => {
            let mut error = reply("InvalidArgument", reason);
            error.members.extend(member.map(|member| ("ArgumentName".to_owned(), Value::Str(member.to_owned()))));
            error
        }
        (Dialect::Ec2, _) => match member {
            Some(member) => reply("InvalidParameterValue", format!("Invalid value for the parameter {member}: {reason}")),
            None => reply("MalformedQueryString", format!("The query string contains a syntax error: {reason}")),
        },
        (_, Format::Form) => match member {
            Some(_) => reply("MalformedInput", reason),
            None => reply("MalformedQueryString", format!("The query string contains a syntax error: {reason}")),
        },
        (_, Format::Xml) => reply("MalformedXML", format!("The XML is not well-formed: {reason}")),
        (_, Format::Json | Format::Cbor | Format::Http) => reply("SerializationException", reason),
    }
}

fn classic_message(violations: &[Violation]) -> String {
    let noun = if violations.len() == 1 { "error" } else { "errors" };
    let details: Vec<String> = violations.iter().map(classic_detail).collect();
    format!("{} validation {noun} detected: {}", violations.len(), details.join("; "))
}

/// Patterns that IAM checks by itself and names in words.
///
/// Source: messages of live AWS that users quote (`The specified value for roleName is invalid. ...`, code `ValidationError`).
const IN_WORDS: &[(&str, &str)] = &[
    (r"[\w+=,.@-]+", "It must contain only alphanumeric characters and/or the following: +=,.@_-"),
    (
        r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)",
        "It must begin and end with / and contain only alphanumeric characters and/or / characters.",
    ),
];

/// What IAM says where nothing but such patterns is broken: the first one.
fn in_words(service: &Service, violations: &[Violation]) -> Option<String> {
    if service.head.id != "iam" {
        return None;
    }
    let words = |violation: &Violation| match &violation.rule {
        Rule::Pattern(pattern) => IN_WORDS.iter().find(|(known, _)| known == pattern).map(|(_, words)| *words),
        _ => None,
    };
    let all: Vec<&str> = violations.iter().map(words).collect::<Option<_>>()?;
    let (first, words) = violations.first().zip(all.first())?;
    Some(format!("The specified value for {} is invalid. {words}", classic_path(&first.path)))
}

fn classic_detail(violation: &Violation) -> String {
    let path = classic_path(&violation.path);
    let value = match &violation.value {
        _ if violation.rule == Rule::Required => "Value null ".to_owned(),
        Some(value) => format!("Value '{value}' "),
        None => "Value ".to_owned(),
    };
    format!("{value}at '{path}' failed to satisfy constraint: {}", classic_rule(&violation.rule))
}

/// `keyId`, `tags.1.member.tagKey`: every member with a small first letter.
fn classic_path(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        if !out.is_empty() {
            out.push('.');
        }
        match step {
            Step::Member(name) => out.push_str(&small_first(name)),
            Step::Item(at) => out.push_str(&format!("{at}.member")),
            Step::Key(key) => out.push_str(&format!("{key}.member")),
        }
    }
    out
}

fn small_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn classic_rule(rule: &Rule) -> String {
    match rule {
        Rule::Required => "Member must not be null".to_owned(),
        Rule::MinimumLength(length) => {
            format!("Member must have length greater than or equal to {length}")
        }
        Rule::MaximumLength(length) => {
            format!("Member must have length less than or equal to {length}")
        }
        Rule::MinimumValue(value) => {
            format!("Member must have value greater than or equal to {value}")
        }
        Rule::MaximumValue(value) => {
            format!("Member must have value less than or equal to {value}")
        }
        Rule::Pattern(pattern) => {
            format!("Member must satisfy regular expression pattern: {pattern}")
        }
        Rule::Values(values) => format!("Member must satisfy enum value set: [{}]", values.join(", ")),
        Rule::Items(rules) => format!("Member must satisfy constraint: [{}]", classic_rules(rules)),
        Rule::Keys(rules) => format!("Map keys must satisfy constraint: [{}]", classic_rules(rules)),
        Rule::MapValues(rules) => format!("Map value must satisfy constraint: [{}]", classic_rules(rules)),
        Rule::OneMember => "Unions must contain exactly one non-null member".to_owned(),
    }
}

fn classic_rules(rules: &[Rule]) -> String {
    rules.iter().map(classic_rule).collect::<Vec<_>>().join(", ")
}

/// `1 validation error detected. Value with length 0 at '/name' failed to satisfy constraint: ...` and the field list, where the service models one.
fn framework(service: &'static Service, code: &'static str, fields: Option<&'static str>, violations: &[Violation]) -> ErrorReply {
    let noun = if violations.len() == 1 { "error" } else { "errors" };
    let details: Vec<String> = violations.iter().map(framework_detail).collect();
    let mut error = reply(code, format!("{} validation {noun} detected. {}", violations.len(), details.join("; ")));
    let Some(members) = service.shape_named(code).and_then(|shape| match &shape.kind {
        ShapeKind::Structure { members, .. } => Some(members),
        _ => None,
    }) else {
        return error;
    };
    for member in members {
        match &service.shape(member.shape).kind {
            ShapeKind::String if member.name == "reason" => {
                let values = &service.shape(member.shape).constraints.values;
                let reason = values.iter().find(|value| value.to_ascii_lowercase().replace('_', "") == "fieldvalidationfailed");
                error.members.extend(reason.map(|reason| ("reason".to_owned(), Value::Str((*reason).to_owned()))));
            }
            ShapeKind::List { item, .. } if fields == Some(member.name) => {
                let entries = violations.iter().map(|violation| field_entry(service, *item, violation)).collect();
                error.members.push((member.name.to_owned(), Value::List(entries)));
            }
            _ => {}
        }
    }
    error
}

fn field_entry(service: &'static Service, entry: facts::ShapeId, violation: &Violation) -> Value {
    let mut fields = Struct::new();
    for member in service.members(entry) {
        match member.name {
            "name" | "path" => fields.set(member.name, Value::Str(framework_path(&violation.path))),
            "message" => fields.set(member.name, Value::Str(framework_detail(violation))),
            _ => {}
        }
    }
    Value::Struct(fields)
}

fn framework_path(path: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Member(name) => Cow::Borrowed(*name),
        Step::Item(at) => Cow::Owned((at - 1).to_string()),
        Step::Key(key) => Cow::Owned(key.replace('~', "~0").replace('/', "~1")),
    };
    path.iter().fold(String::new(), |path, part| format!("{path}/{}", step(part)))
}

fn framework_detail(violation: &Violation) -> String {
    let path = framework_path(&violation.path);
    let with = match (&violation.rule, violation.length) {
        (Rule::MinimumLength(_) | Rule::MaximumLength(_), Some(length)) => {
            format!(" with length {length}")
        }
        _ => String::new(),
    };
    let rule = match &violation.rule {
        Rule::MinimumValue(value) => format!("Member must be greater than or equal to {value}"),
        Rule::MaximumValue(value) => format!("Member must be less than or equal to {value}"),
        other => classic_rule(other),
    };
    format!("Value{with} at '{path}' failed to satisfy constraint: {rule}")
}

fn ec2(violations: &[Violation]) -> ErrorReply {
    let Some(violation) = violations.iter().find(|violation| violation.rule == Rule::Required).or(violations.first()) else {
        return reply("InvalidParameterValue", "");
    };
    let name = dotted(&violation.path);
    match (&violation.rule, &violation.value) {
        (Rule::Required, _) => reply("MissingParameter", format!("The request must contain the parameter {name}")),
        (_, Some(value)) => reply("InvalidParameterValue", format!("Value ({value}) for parameter {name} is invalid.")),
        (_, None) => reply("InvalidParameterValue", format!("The value for parameter {name} is invalid.")),
    }
}

fn dotted(path: &[Step]) -> String {
    let parts: Vec<String> = path
        .iter()
        .map(|step| match step {
            Step::Member(name) => (*name).to_owned(),
            Step::Item(at) => at.to_string(),
            Step::Key(key) => key.clone(),
        })
        .collect();
    parts.join(".")
}

fn s3(violations: &[Violation]) -> ErrorReply {
    let Some(violation) = violations.first() else {
        return reply("InvalidRequest", "");
    };
    let name = match violation.path.first() {
        Some(Step::Member(name)) => *name,
        _ => "",
    };
    match (violation.location, name) {
        (Location::Body, _) => {
            reply("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
        }
        (Location::Uri, "Bucket") => {
            let mut error = reply("InvalidBucketName", "The specified bucket is not valid.");
            error.members.extend(violation.value.clone().map(|value| ("BucketName".to_owned(), Value::Str(value))));
            error
        }
        (Location::Uri, "Key") if matches!(violation.rule, Rule::MaximumLength(_)) => {
            let mut error = reply("KeyTooLongError", "Your key is too long");
            error
                .members
                .extend(violation.length.and_then(|size| i64::try_from(size).ok()).map(|size| ("Size".to_owned(), Value::Int(size))));
            error
        }
        _ => {
            let message = match violation.rule {
                Rule::Required => format!("The request is missing {name}"),
                _ => format!("Invalid value for {name}"),
            };
            let mut error = reply("InvalidArgument", message);
            error.members.push(("ArgumentName".to_owned(), Value::Str(name.to_owned())));
            error.members.extend(violation.value.clone().map(|value| ("ArgumentValue".to_owned(), Value::Str(value))));
            error
        }
    }
}
