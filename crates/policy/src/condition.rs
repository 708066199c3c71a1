//! The `Condition` element: operators, set operators, and what an absent key means.
//!
//! Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Single-valued vs. multivalued
//! context keys".
//!
//! Operators and keys of a statement are ANDed. The values of one key are ORed, for a negated operator NORed. An
//! unqualified operator on a multi-valued key asks whether any value matches (negated: whether none does).

use std::net::IpAddr;

use base64::Engine as _;

use crate::arn::{ArnPattern, ArnText};
use crate::context::Values;
use crate::glob::{Glob, push_pattern};
use crate::request::{Key, Request, equal_ignoring_case};
use crate::template::Template;
use crate::value::{Cidr, Decimal, parse_date};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetOperator {
    ForAllValues,
    ForAnyValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Numeric(Comparison),
    Date(Comparison),
    Bool,
    Binary,
    IpAddress,
    Arn,
    Null,
}

/// An operator with its prefix and suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operator {
    pub(crate) family: Family,
    pub(crate) negated: bool,
    pub(crate) set: Option<SetOperator>,
    pub(crate) if_exists: bool,
}

impl Operator {
    /// Reads an operator name such as `ForAllValues:StringNotLikeIfExists`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (set, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(SetOperator::ForAllValues), rest),
            Some(("ForAnyValue", rest)) => (Some(SetOperator::ForAnyValue), rest),
            Some(_) => return None,
            None => (None, name),
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let (family, negated) = family(base)?;
        if family == Family::Null && if_exists {
            return None;
        }
        Some(Self { family, negated, set, if_exists })
    }
}

fn family(name: &str) -> Option<(Family, bool)> {
    if let Some(comparison) = name.strip_prefix("Numeric") {
        return comparison_of(comparison).map(|(kind, negated)| (Family::Numeric(kind), negated));
    }
    if let Some(comparison) = name.strip_prefix("Date") {
        return comparison_of(comparison).map(|(kind, negated)| (Family::Date(kind), negated));
    }
    Some(match name {
        "StringEquals" => (Family::StringEquals, false),
        "StringNotEquals" => (Family::StringEquals, true),
        "StringEqualsIgnoreCase" => (Family::StringEqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Family::StringEqualsIgnoreCase, true),
        "StringLike" => (Family::StringLike, false),
        "StringNotLike" => (Family::StringLike, true),
        "Bool" => (Family::Bool, false),
        "BinaryEquals" => (Family::Binary, false),
        "IpAddress" => (Family::IpAddress, false),
        "NotIpAddress" => (Family::IpAddress, true),
        "ArnEquals" | "ArnLike" => (Family::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Family::Arn, true),
        "Null" => (Family::Null, false),
        _ => return None,
    })
}

fn comparison_of(name: &str) -> Option<(Comparison, bool)> {
    Some(match name {
        "Equals" => (Comparison::Equal, false),
        "NotEquals" => (Comparison::Equal, true),
        "LessThan" => (Comparison::Less, false),
        "LessThanEquals" => (Comparison::LessOrEqual, false),
        "GreaterThan" => (Comparison::Greater, false),
        "GreaterThanEquals" => (Comparison::GreaterOrEqual, false),
        _ => return None,
    })
}

impl Comparison {
    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// A value of the policy, made ready for its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    Text(Box<str>),
    Glob(Glob),
    Arn(ArnPattern),
    Template(Template),
    Number(Box<str>),
    Date(i128),
    Bool(bool),
    Binary(Box<[u8]>),
    Cidr(Cidr),
    /// A value that does not parse: it matches nothing.
    Nothing,
}

/// One key under one operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    /// The operator as it is written.
    pub(crate) operator_name: Box<str>,
    pub(crate) operator: Operator,
    pub(crate) key: Key,
    /// The values as they are written.
    pub(crate) written: Box<[Box<str>]>,
    expected: Box<[Expected]>,
}

impl Condition {
    pub(crate) fn new(operator_name: &str, operator: Operator, key: &str, values: Vec<String>, variables: bool) -> Self {
        Self {
            operator_name: operator_name.into(),
            operator,
            key: Key::new(key),
            expected: values.iter().map(|value| Expected::new(operator.family, value, variables)).collect(),
            written: values.into_iter().map(Into::into).collect(),
        }
    }

    /// Keys that the values name as variables.
    pub(crate) fn variable_keys(&self) -> impl Iterator<Item = &Key> {
        self.expected.iter().flat_map(|expected| {
            match expected {
                Expected::Template(template) => Some(template.keys()),
                _ => None,
            }
            .into_iter()
            .flatten()
        })
    }

    /// Whether all values are fixed: no wildcard, no variable. A star that its operator takes literally counts too,
    /// as S3 judges it.
    pub(crate) fn has_fixed_values(&self) -> bool {
        let fixed = |value: &str| !value.contains(['*', '?']) && !value.contains("${");
        !self.written.is_empty() && self.written.iter().all(|value| fixed(value))
    }

    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        self.matches_values(request.values(&self.key).as_ref(), request)
    }

    pub(crate) fn matches_values(&self, actual: Option<&Values<'_>>, request: &Request<'_>) -> bool {
        let operator = self.operator;
        if operator.family == Family::Null {
            let null = actual.is_none_or(Values::is_null);
            return self.expected.contains(&Expected::Bool(null));
        }
        let Some(actual) = actual else {
            return match (operator.if_exists, operator.set) {
                (true, _) | (_, Some(SetOperator::ForAllValues)) => true,
                (_, Some(SetOperator::ForAnyValue)) => false,
                (_, None) => operator.negated,
            };
        };
        let one = |value: &str| self.expected.iter().any(|expected| expected.matches(operator.family, value, request));
        match operator.set {
            Some(SetOperator::ForAllValues) => actual.is_null() || actual.iter().all(|value| one(value) != operator.negated),
            Some(SetOperator::ForAnyValue) => actual.iter().any(|value| one(value) != operator.negated),
            None => actual.iter().any(one) != operator.negated,
        }
    }
}

impl Expected {
    fn new(family: Family, value: &str, variables: bool) -> Self {
        let template = || variables.then(|| Template::parse(value)).flatten();
        match family {
            Family::StringEquals | Family::StringEqualsIgnoreCase => template().map_or_else(|| Self::Text(value.into()), Self::Template),
            Family::StringLike => template().map_or_else(|| Self::Glob(Glob::new(value)), Self::Template),
            Family::Arn => template().map_or_else(
                || {
                    let mut tokens = Vec::new();
                    push_pattern(&mut tokens, value);
                    Self::Arn(ArnPattern::from_tokens(&tokens))
                },
                Self::Template,
            ),
            Family::Bool => template().map_or_else(|| Self::boolean(value), Self::Template),
            Family::Null => Self::boolean(value),
            Family::Numeric(_) => match Decimal::parse(value) {
                Some(_) => Self::Number(value.into()),
                None => Self::Nothing,
            },
            Family::Date(_) => parse_date(value).map_or(Self::Nothing, Self::Date),
            Family::Binary => decode(value).map_or(Self::Nothing, |bytes| Self::Binary(bytes.into())),
            Family::IpAddress => Cidr::parse(value).map_or(Self::Nothing, Self::Cidr),
        }
    }

    fn boolean(value: &str) -> Self {
        parse_bool(value).map_or(Self::Nothing, Self::Bool)
    }

    fn matches(&self, family: Family, actual: &str, request: &Request<'_>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Text(text) if family == Family::StringEquals => **text == *actual,
            Self::Text(text) => equal_ignoring_case(text, actual),
            Self::Glob(glob) => glob.matches(actual),
            Self::Arn(pattern) => pattern.matches(&ArnText::new(actual)),
            Self::Template(template) => matches_template(template, family, actual, request),
            Self::Number(text) => {
                let order = Decimal::parse(actual).zip(Decimal::parse(text)).map(|(actual, expected)| actual.cmp(&expected));
                match (family, order) {
                    (Family::Numeric(comparison), Some(order)) => comparison.holds(order),
                    _ => false,
                }
            }
            Self::Date(expected) => match (family, parse_date(actual)) {
                (Family::Date(comparison), Some(actual)) => comparison.holds(actual.cmp(expected)),
                _ => false,
            },
            Self::Bool(expected) => parse_bool(actual) == Some(*expected),
            Self::Binary(expected) => decode(actual).is_some_and(|actual| *actual == **expected),
            Self::Cidr(cidr) => actual.trim().parse::<IpAddr>().is_ok_and(|address| cidr.contains(address)),
        }
    }
}

fn matches_template(template: &Template, family: Family, actual: &str, request: &Request<'_>) -> bool {
    match family {
        Family::StringEquals => template.text(request).is_some_and(|text| text == actual),
        Family::StringEqualsIgnoreCase => template.text(request).is_some_and(|text| equal_ignoring_case(&text, actual)),
        Family::Bool => {
            template.text(request).and_then(|text| parse_bool(&text)).is_some_and(|expected| parse_bool(actual) == Some(expected))
        }
        Family::StringLike => template.tokens(request).is_some_and(|tokens| Glob::from_tokens(&tokens).matches(actual)),
        Family::Arn => template.tokens(request).is_some_and(|tokens| ArnPattern::from_tokens(&tokens).matches(&ArnText::new(actual))),
        _ => false,
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    LENIENT.decode(text.trim()).ok()
}
