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
use crate::context::{MapContext, Values};
use crate::glob::{Glob, push_pattern};
use crate::json::Span;
use crate::principal::Principal;
use crate::request::{Check, Key, Request, Resource, equal_ignoring_case};
use crate::template::Template;
use crate::value::{Cidr, Decimal, parse_date};

/// The qualifier before an operator that says how the values of a multi-valued key count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetOperator {
    /// Every value of the request must pass; true if there is none.
    ForAllValues,
    /// At least one value of the request must pass; false if there is none.
    ForAnyValue,
}

/// What a number or date of the request must be to the one of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// The same.
    Equal,
    /// Less, or earlier.
    Less,
    /// Not greater, or not later.
    LessOrEqual,
    /// Greater, or later.
    Greater,
    /// Not less, or not earlier.
    GreaterOrEqual,
}

/// What an operator compares, without its negation, prefix and suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperatorFamily {
    /// Texts, with case.
    StringEquals,
    /// Texts, without case.
    StringEqualsIgnoreCase,
    /// Texts with wildcards, with case.
    StringLike,
    /// Numbers, by value.
    Numeric(Comparison),
    /// Dates.
    Date(Comparison),
    /// Booleans.
    Bool,
    /// Bytes, written in base64.
    Binary,
    /// Addresses within blocks.
    IpAddress,
    /// ARNs with wildcards, segment by segment; `ArnEquals` and `ArnLike` are the same.
    Arn,
    /// Whether the key is absent.
    Null,
}

/// An operator with its prefix and suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operator {
    /// What it compares.
    pub family: OperatorFamily,
    /// Whether it is the `Not` form.
    pub negated: bool,
    /// `ForAllValues:` or `ForAnyValue:`.
    pub set: Option<SetOperator>,
    /// `IfExists`: an absent key satisfies it.
    pub if_exists: bool,
}

impl Operator {
    /// Reads an operator name such as `ForAllValues:StringNotLikeIfExists`; `None` if there is no such operator.
    pub fn parse(name: &str) -> Option<Self> {
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
        if family == OperatorFamily::Null && if_exists {
            return None;
        }
        Some(Self { family, negated, set, if_exists })
    }
}

fn family(name: &str) -> Option<(OperatorFamily, bool)> {
    if let Some(comparison) = name.strip_prefix("Numeric") {
        return comparison_of(comparison).map(|(kind, negated)| (OperatorFamily::Numeric(kind), negated));
    }
    if let Some(comparison) = name.strip_prefix("Date") {
        return comparison_of(comparison).map(|(kind, negated)| (OperatorFamily::Date(kind), negated));
    }
    Some(match name {
        "StringEquals" => (OperatorFamily::StringEquals, false),
        "StringNotEquals" => (OperatorFamily::StringEquals, true),
        "StringEqualsIgnoreCase" => (OperatorFamily::StringEqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (OperatorFamily::StringEqualsIgnoreCase, true),
        "StringLike" => (OperatorFamily::StringLike, false),
        "StringNotLike" => (OperatorFamily::StringLike, true),
        "Bool" => (OperatorFamily::Bool, false),
        "BinaryEquals" => (OperatorFamily::Binary, false),
        "IpAddress" => (OperatorFamily::IpAddress, false),
        "NotIpAddress" => (OperatorFamily::IpAddress, true),
        "ArnEquals" | "ArnLike" => (OperatorFamily::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (OperatorFamily::Arn, true),
        "Null" => (OperatorFamily::Null, false),
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

/// One key under one operator. All conditions of a statement must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The operator as it is written.
    pub(crate) operator_name: Box<str>,
    pub(crate) operator: Operator,
    pub(crate) key: Key,
    /// The values as they are written.
    pub(crate) written: Box<[Box<str>]>,
    expected: Box<[Expected]>,
    pub(crate) span: Span,
}

impl Condition {
    pub(crate) fn new(operator_name: &str, operator: Operator, key: &str, values: Vec<String>, variables: bool, span: Span) -> Self {
        Self {
            span,
            operator_name: operator_name.into(),
            operator,
            key: Key::new(key),
            expected: values.iter().map(|value| Expected::new(operator.family, value, variables)).collect(),
            written: values.into_iter().map(Into::into).collect(),
        }
    }

    /// The operator.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The operator as it is written, with prefix and suffix.
    pub fn operator_name(&self) -> &str {
        &self.operator_name
    }

    /// The condition key as it is written.
    pub fn key(&self) -> &str {
        &self.key.name
    }

    /// The condition key in lower case: keys compare without case.
    pub fn key_lower(&self) -> &str {
        &self.key.lower
    }

    /// The values as they are written; they are ORed (NORed for a negated operator). Whether `${…}` in them is a
    /// variable says [`crate::Policy::has_variables`]; read them with [`crate::pattern_parts`].
    pub fn values(&self) -> impl ExactSizeIterator<Item = &str> {
        self.written.iter().map(|value| &**value)
    }

    /// Where the values stand in the document.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Whether one of the values is met by a value of a request, the operator's negation aside. Values with variables
    /// are met by nothing here: for those who reason about conditions without a request.
    pub fn lists_value(&self, value: &str) -> bool {
        let (principal, check, context) = (Principal::anonymous(), Check::new("", Resource::default()), MapContext::new());
        let request = Request::new(&principal, &check, &context, None, false);
        self.expected
            .iter()
            .filter(|expected| !matches!(expected, Expected::Template(_)))
            .any(|expected| expected.matches(self.operator.family, value, &request))
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

    /// Whether one of the policy's values is met by a value of the request, the operator's negation aside.
    pub(crate) fn lists(&self, value: &str, request: &Request<'_>) -> bool {
        self.expected.iter().any(|expected| expected.matches(self.operator.family, value, request))
    }

    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        self.matches_values(request.values(&self.key).as_ref(), request)
    }

    pub(crate) fn matches_values(&self, actual: Option<&Values<'_>>, request: &Request<'_>) -> bool {
        let operator = self.operator;
        if operator.family == OperatorFamily::Null {
            let null = actual.is_none_or(Values::is_null);
            return self.expected.contains(&Expected::Bool(null));
        }
        // A multi-valued key without members is a key that the request does not have.
        let Some(actual) = actual.filter(|values| !values.is_empty()) else {
            return match (operator.if_exists, operator.set) {
                (true, _) | (_, Some(SetOperator::ForAllValues)) => true,
                (_, Some(SetOperator::ForAnyValue)) => false,
                (_, None) => operator.negated,
            };
        };
        let one = |value: &str| self.lists(value, request);
        match operator.set {
            Some(SetOperator::ForAllValues) => actual.is_null() || actual.iter().all(|value| one(value) != operator.negated),
            Some(SetOperator::ForAnyValue) => actual.iter().any(|value| one(value) != operator.negated),
            None => actual.iter().any(one) != operator.negated,
        }
    }
}

impl Expected {
    fn new(family: OperatorFamily, value: &str, variables: bool) -> Self {
        let template = || variables.then(|| Template::parse(value)).flatten();
        match family {
            OperatorFamily::StringEquals | OperatorFamily::StringEqualsIgnoreCase => {
                template().map_or_else(|| Self::Text(value.into()), Self::Template)
            }
            OperatorFamily::StringLike => template().map_or_else(|| Self::Glob(Glob::new(value)), Self::Template),
            OperatorFamily::Arn => template().map_or_else(
                || {
                    let mut tokens = Vec::new();
                    push_pattern(&mut tokens, value);
                    Self::Arn(ArnPattern::from_tokens(&tokens))
                },
                Self::Template,
            ),
            OperatorFamily::Bool => template().map_or_else(|| Self::boolean(value), Self::Template),
            OperatorFamily::Null => Self::boolean(value),
            OperatorFamily::Numeric(_) => match Decimal::parse(value) {
                Some(_) => Self::Number(value.into()),
                None => Self::Nothing,
            },
            OperatorFamily::Date(_) => parse_date(value).map_or(Self::Nothing, Self::Date),
            OperatorFamily::Binary => decode(value).map_or(Self::Nothing, |bytes| Self::Binary(bytes.into())),
            OperatorFamily::IpAddress => Cidr::parse(value).map_or(Self::Nothing, Self::Cidr),
        }
    }

    fn boolean(value: &str) -> Self {
        parse_bool(value).map_or(Self::Nothing, Self::Bool)
    }

    fn matches(&self, family: OperatorFamily, actual: &str, request: &Request<'_>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Text(text) if family == OperatorFamily::StringEquals => **text == *actual,
            Self::Text(text) => equal_ignoring_case(text, actual),
            Self::Glob(glob) => glob.matches(actual),
            Self::Arn(pattern) => pattern.matches(&ArnText::new(actual)),
            Self::Template(template) => matches_template(template, family, actual, request),
            Self::Number(text) => {
                let order = Decimal::parse(actual).zip(Decimal::parse(text)).map(|(actual, expected)| actual.cmp(&expected));
                match (family, order) {
                    (OperatorFamily::Numeric(comparison), Some(order)) => comparison.holds(order),
                    _ => false,
                }
            }
            Self::Date(expected) => match (family, parse_date(actual)) {
                (OperatorFamily::Date(comparison), Some(actual)) => comparison.holds(actual.cmp(expected)),
                _ => false,
            },
            Self::Bool(expected) => parse_bool(actual) == Some(*expected),
            Self::Binary(expected) => decode(actual).is_some_and(|actual| *actual == **expected),
            Self::Cidr(cidr) => actual.trim().parse::<IpAddr>().is_ok_and(|address| cidr.contains(address)),
        }
    }
}

fn matches_template(template: &Template, family: OperatorFamily, actual: &str, request: &Request<'_>) -> bool {
    match family {
        OperatorFamily::StringEquals => template.text(request).is_some_and(|text| text == actual),
        OperatorFamily::StringEqualsIgnoreCase => template.text(request).is_some_and(|text| equal_ignoring_case(&text, actual)),
        OperatorFamily::Bool => {
            template.text(request).and_then(|text| parse_bool(&text)).is_some_and(|expected| parse_bool(actual) == Some(expected))
        }
        OperatorFamily::StringLike => template.tokens(request).is_some_and(|tokens| Glob::from_tokens(&tokens).matches(actual)),
        OperatorFamily::Arn => {
            template.tokens(request).is_some_and(|tokens| ArnPattern::from_tokens(&tokens).matches(&ArnText::new(actual)))
        }
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
