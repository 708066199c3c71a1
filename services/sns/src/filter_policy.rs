//! Filter policies: which messages a subscription takes.
//!
//! Matched are exact texts, numbers, `true`, `false` and `null`, and the rules `prefix`, `suffix`, `equals-ignore-case`, `anything-but`, `numeric` and
//! `exists`. `$or`, `cidr` and `wildcard` are refused.
//!
//! Source: SNS Developer Guide, "Amazon SNS subscription filter policies".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::error::SnsError;
use crate::message::Attribute;

/// Names in a policy, and combinations of their values.
const NAMES: usize = 5;
const COMBINATIONS: usize = 150;
const DEPTH: usize = 5;
const NUMBER: f64 = 1_000_000_000.0;

/// What a policy looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FilterScope {
    #[default]
    MessageAttributes,
    MessageBody,
}

impl FilterScope {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MessageAttributes => "MessageAttributes",
            Self::MessageBody => "MessageBody",
        }
    }
}

/// A checked policy. It is kept as its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct FilterPolicy {
    text: String,
    names: BTreeMap<String, Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Rules(Vec<Rule>),
    /// Names below a name, in the body.
    Names(BTreeMap<String, Node>),
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    Value(Json),
    Prefix(String),
    Suffix(String),
    IgnoringCase(String),
    Exists(bool),
    Numeric(Vec<(Comparison, f64)>),
    Not(Vec<Rule>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl TryFrom<String> for FilterPolicy {
    type Error = SnsError;

    fn try_from(text: String) -> Result<Self, SnsError> {
        Self::parse(&text)
    }
}

impl From<FilterPolicy> for String {
    fn from(policy: FilterPolicy) -> Self {
        policy.text
    }
}

fn refused(problem: impl Into<String>) -> SnsError {
    SnsError::FilterPolicy(problem.into())
}

impl FilterPolicy {
    pub(crate) fn parse(text: &str) -> Result<Self, SnsError> {
        let json: Json = serde_json::from_str(text).map_err(|_| refused("failed to parse JSON."))?;
        let members = json.as_object().ok_or_else(|| refused("Filter policy must be an object."))?;
        let names = names(members, DEPTH)?;
        let mut counts = (0, 1);
        count(&names, &mut counts);
        if counts.0 > NAMES {
            return Err(refused(format!("Filter policy can not have more than {NAMES} keys")));
        }
        if counts.1 > COMBINATIONS {
            return Err(refused("Filter policy is too complex"));
        }
        Ok(Self { text: text.to_owned(), names })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Names below names are for the body only.
    pub(crate) fn check_scope(&self, scope: FilterScope) -> Result<(), SnsError> {
        let is_nested = self.names.values().any(|node| matches!(node, Node::Names(_)));
        if is_nested && scope == FilterScope::MessageAttributes {
            return Err(refused("Filter policy scope MessageAttributes does not support nested filter policy"));
        }
        Ok(())
    }

    /// Whether a message is taken.
    pub(crate) fn takes(&self, scope: FilterScope, message: &str, attributes: &BTreeMap<String, Attribute>) -> bool {
        match scope {
            FilterScope::MessageAttributes => {
                let values: Map<String, Json> =
                    attributes.iter().map(|(name, attribute)| (name.clone(), attribute.filter_value())).collect();
                hold(&self.names, &values)
            }
            FilterScope::MessageBody => {
                matches!(serde_json::from_str::<Json>(message), Ok(Json::Object(members)) if hold(&self.names, &members))
            }
        }
    }
}

fn names(members: &Map<String, Json>, depth: usize) -> Result<BTreeMap<String, Node>, SnsError> {
    if depth == 0 {
        return Err(refused("Filter policy is nested too deeply"));
    }
    let node = |(name, value): (&String, &Json)| {
        if name.starts_with('$') {
            return Err(refused(format!("{name} is not supported")));
        }
        let node = match value {
            Json::Array(items) if !items.is_empty() => Node::Rules(items.iter().map(rule).collect::<Result<_, _>>()?),
            Json::Array(_) => return Err(refused("Empty arrays are not allowed")),
            Json::Object(members) => Node::Names(names(members, depth - 1)?),
            _ => return Err(refused(format!("\"{name}\" must be an object or an array"))),
        };
        Ok((name.clone(), node))
    };
    members.iter().map(node).collect()
}

/// Counts names at the leaves and combinations of their values.
fn count(names: &BTreeMap<String, Node>, counts: &mut (usize, usize)) {
    for node in names.values() {
        match node {
            Node::Rules(rules) => {
                counts.0 = counts.0.saturating_add(1);
                counts.1 = counts.1.saturating_mul(rules.len());
            }
            Node::Names(inner) => count(inner, counts),
        }
    }
}

fn rule(json: &Json) -> Result<Rule, SnsError> {
    let Json::Object(members) = json else { return value(json) };
    let mut members = members.iter();
    let (Some((name, argument)), None) = (members.next(), members.next()) else {
        return Err(refused("Only one key allowed in match expression"));
    };
    let text = || argument.as_str().map(str::to_owned).ok_or_else(|| refused(format!("{name} match pattern must be a string")));
    match name.as_str() {
        "prefix" => text().map(Rule::Prefix),
        "suffix" => text().map(Rule::Suffix),
        "equals-ignore-case" => text().map(Rule::IgnoringCase),
        "exists" => argument.as_bool().map(Rule::Exists).ok_or_else(|| refused("exists match pattern must be either true or false.")),
        "numeric" => numeric(argument),
        "anything-but" => match argument {
            Json::Array(items) if !items.is_empty() => Ok(Rule::Not(items.iter().map(value).collect::<Result<_, _>>()?)),
            Json::Object(_) => match rule(argument)? {
                inner @ (Rule::Prefix(_) | Rule::Suffix(_) | Rule::IgnoringCase(_)) => Ok(Rule::Not(vec![inner])),
                _ => Err(refused("anything-but takes values, a prefix or a suffix")),
            },
            other => Ok(Rule::Not(vec![value(other)?])),
        },
        other => Err(refused(format!("Unrecognized match type {other}"))),
    }
}

fn value(json: &Json) -> Result<Rule, SnsError> {
    match json {
        Json::Array(_) | Json::Object(_) => Err(refused("Match value must be String, number, true, false, or null")),
        Json::Number(number) if number.as_f64().is_none_or(|number| number.abs() > NUMBER) => {
            Err(refused("Value of a number is out of range"))
        }
        other => Ok(Rule::Value(other.clone())),
    }
}

fn numeric(argument: &Json) -> Result<Rule, SnsError> {
    let items = argument.as_array().ok_or_else(|| refused("Value of numeric must be an array."))?;
    let parts = items.chunks(2).map(|pair| {
        let [sign, number] = pair else { return Err(refused("Value of numeric must be an operator and a number")) };
        let comparison = match sign.as_str() {
            Some("=") => Comparison::Equal,
            Some("<") => Comparison::Less,
            Some("<=") => Comparison::LessOrEqual,
            Some(">") => Comparison::Greater,
            Some(">=") => Comparison::GreaterOrEqual,
            _ => return Err(refused("Unrecognized numeric range operator")),
        };
        let number = number.as_f64().filter(|number| number.abs() <= NUMBER).ok_or_else(|| refused("Value of numeric must be a number"))?;
        Ok((comparison, number))
    });
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    if (1..=2).contains(&parts.len()) { Ok(Rule::Numeric(parts)) } else { Err(refused("Too many elements in numeric expression")) }
}

fn hold(names: &BTreeMap<String, Node>, values: &Map<String, Json>) -> bool {
    names.iter().all(|(name, node)| match node {
        Node::Rules(rules) => fits(rules, values.get(name)),
        Node::Names(inner) => matches!(values.get(name), Some(Json::Object(members)) if hold(inner, members)),
    })
}

/// Whether a value, or one of a list, fits one of the rules.
fn fits(rules: &[Rule], found: Option<&Json>) -> bool {
    let Some(found) = found else { return rules.iter().any(|rule| *rule == Rule::Exists(false)) };
    match found {
        Json::Array(items) => rules.iter().any(|rule| match rule {
            Rule::Not(_) => items.iter().all(|item| rule.fits(item)),
            _ => items.iter().any(|item| rule.fits(item)),
        }),
        other => rules.iter().any(|rule| rule.fits(other)),
    }
}

impl Rule {
    fn fits(&self, found: &Json) -> bool {
        match self {
            Self::Value(value) => match (value.as_f64(), found.as_f64()) {
                (Some(value), Some(found)) => (value - found).abs() < f64::EPSILON,
                _ => value == found,
            },
            Self::Prefix(prefix) => found.as_str().is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => found.as_str().is_some_and(|text| text.ends_with(suffix)),
            Self::IgnoringCase(wanted) => found.as_str().is_some_and(|text| text.to_lowercase() == wanted.to_lowercase()),
            Self::Exists(exists) => *exists,
            Self::Numeric(parts) => {
                found.as_f64().is_some_and(|found| parts.iter().all(|(comparison, number)| comparison.holds(found, *number)))
            }
            Self::Not(rules) => !rules.iter().any(|rule| rule.fits(found)),
        }
    }
}

impl Comparison {
    fn holds(self, found: f64, number: f64) -> bool {
        match self {
            Self::Equal => (found - number).abs() < f64::EPSILON,
            Self::Less => found < number,
            Self::LessOrEqual => found <= number,
            Self::Greater => found > number,
            Self::GreaterOrEqual => found >= number,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn takes(policy: &str, message: &str) -> bool {
        FilterPolicy::parse(policy).unwrap().takes(FilterScope::MessageBody, message, &BTreeMap::new())
    }

    #[test]
    fn rules() {
        let message = r#"{"store":"example_corp","price":150,"tags":["a","b"],"none":null,"place":{"city":"Ulm"}}"#;
        for (policy, expected) in [
            (r#"{"store":["example_corp"]}"#, true),
            (r#"{"store":["other","example_corp"],"price":[150.0]}"#, true),
            (r#"{"store":["other"]}"#, false),
            (r#"{"store":[{"prefix":"exam"}]}"#, true),
            (r#"{"store":[{"suffix":"corp"}]}"#, true),
            (r#"{"store":[{"equals-ignore-case":"EXAMPLE_corp"}]}"#, true),
            (r#"{"store":[{"anything-but":["other"]}]}"#, true),
            (r#"{"store":[{"anything-but":"example_corp"}]}"#, false),
            (r#"{"store":[{"anything-but":{"prefix":"exam"}}]}"#, false),
            (r#"{"price":[{"numeric":[">=",100,"<",200]}]}"#, true),
            (r#"{"price":[{"numeric":[">",150]}]}"#, false),
            (r#"{"price":[{"numeric":["=",150]}]}"#, true),
            (r#"{"tags":["b"]}"#, true),
            (r#"{"tags":[{"anything-but":["b"]}]}"#, false),
            (r#"{"missing":[{"exists":false}]}"#, true),
            (r#"{"missing":["x"]}"#, false),
            (r#"{"missing":[{"anything-but":["x"]}]}"#, false),
            (r#"{"store":[{"exists":true}]}"#, true),
            (r#"{"store":[{"exists":false}]}"#, false),
            (r#"{"none":[null]}"#, true),
            (r#"{"place":{"city":["Ulm"]}}"#, true),
            (r#"{"place":{"city":["Bonn"]}}"#, false),
        ] {
            assert_eq!(takes(policy, message), expected, "{policy}");
        }
        assert!(!takes(r#"{"a":["b"]}"#, "no JSON"));
    }

    #[test]
    fn what_is_no_policy() {
        for bad in [
            "",
            "[]",
            r#"{"a":[]}"#,
            r#"{"a":"b"}"#,
            r#"{"a":[["b"]]}"#,
            r#"{"a":[{"cidr":"10.0.0.0/8"}]}"#,
            r#"{"$or":[{"a":["b"]}]}"#,
            r#"{"a":[{"prefix":1}]}"#,
            r#"{"a":[{"numeric":[">"]}]}"#,
            r#"{"a":[{"numeric":["~",1]}]}"#,
            r#"{"a":[{"prefix":"a","suffix":"b"}]}"#,
            r#"{"a":["1"],"b":["1"],"c":["1"],"d":["1"],"e":["1"],"f":["1"]}"#,
            r#"{"a":[1000000001]}"#,
        ] {
            assert!(FilterPolicy::parse(bad).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..151).map(|number| number.to_string()).collect();
        assert!(FilterPolicy::parse(&serde_json::json!({ "a": many }).to_string()).is_err());
    }

    #[test]
    fn a_policy_is_kept_as_its_text() {
        let policy = FilterPolicy::parse(r#"{"a": ["b"]}"#).unwrap();
        let kept = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<FilterPolicy>(&kept).unwrap(), policy);
        let nested = FilterPolicy::parse(r#"{"a":{"b":["c"]}}"#).unwrap();
        assert!(nested.check_scope(FilterScope::MessageAttributes).is_err() && nested.check_scope(FilterScope::MessageBody).is_ok());
    }

    proptest! {
        #[test]
        fn nothing_panics(policy in "[{}\\[\\]\":,a-e0-9$.-]{0,60}", message in "\\PC{0,40}") {
            if let Ok(policy) = FilterPolicy::parse(&policy) {
                policy.takes(FilterScope::MessageBody, &message, &BTreeMap::new());
            }
        }
    }
}
