//! Conditions on a JSON text: `{ ($.a = "x" || $.b.c[0] >= 5) && $.d NOT EXISTS }`.

use serde_json::Value as Json;

use super::{invalid, term};
use crate::error::LogsError;

/// Parentheses within each other.
const DEPTH: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Condition(Selector, Test),
}

/// `$.users[0].email`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(super) text: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
    AnyItem,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    Null,
    Flag(bool),
    Exists,
    Missing,
    Text { equal: bool, pattern: TextPattern },
    Number { comparison: Comparison, number: f64, text: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A text with `*` at one end or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextPattern {
    open_start: bool,
    text: String,
    open_end: bool,
}

impl TextPattern {
    fn new(text: &str) -> Self {
        let (open_start, rest) = text.strip_prefix('*').map_or((false, text), |rest| (true, rest));
        let (open_end, middle) = rest.strip_suffix('*').map_or((false, rest), |middle| (true, middle));
        Self { open_start, text: middle.to_owned(), open_end }
    }

    fn matches(&self, value: &str) -> bool {
        let text = self.text.as_str();
        match (self.open_start, self.open_end) {
            // A `*` alone lost itself as prefix: any text fits.
            (true, false) if text.is_empty() => true,
            (true, true) => value.contains(text),
            (true, false) => value.ends_with(text),
            (false, true) => value.starts_with(text),
            (false, false) => value == text,
        }
    }
}

/// A value as text; lists and objects have none.
pub(super) fn plain(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

impl Selector {
    pub(super) fn find<'j>(&self, json: &'j Json) -> Option<&'j Json> {
        self.all(json).into_iter().next()
    }

    /// Every value that the selector reaches: more than one with `[*]`.
    fn all<'j>(&self, json: &'j Json) -> Vec<&'j Json> {
        let mut level = vec![json];
        for step in &self.steps {
            level = level
                .into_iter()
                .flat_map(|value| match (step, value) {
                    (Step::Member(name), Json::Object(members)) => members.get(name).into_iter().collect(),
                    (Step::Item(at), Json::Array(items)) => items.get(*at).into_iter().collect(),
                    (Step::AnyItem, Json::Array(items)) => items.iter().collect::<Vec<_>>(),
                    _ => Vec::new(),
                })
                .collect();
        }
        level
    }
}

impl Test {
    fn holds(&self, value: &Json) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Flag(flag) => value.as_bool() == Some(*flag),
            Self::Exists => true,
            Self::Missing => false,
            Self::Text { equal, pattern } => plain(value).is_some_and(|text| pattern.matches(&text) == *equal),
            Self::Number { comparison, number, text } => match value {
                Json::Number(found) => found.as_f64().is_some_and(|found| comparison.holds(found, *number)),
                // Identifiers of digits are texts in many logs.
                Json::String(found) => match comparison {
                    Comparison::Equal => found == text,
                    Comparison::NotEqual => found != text,
                    _ => false,
                },
                _ => false,
            },
        }
    }
}

impl Comparison {
    fn holds(self, found: f64, number: f64) -> bool {
        let order = found.partial_cmp(&number);
        match self {
            Self::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
            Self::NotEqual => order.is_some_and(std::cmp::Ordering::is_ne),
            Self::Less => order.is_some_and(std::cmp::Ordering::is_lt),
            Self::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
            Self::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
            Self::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
        }
    }
}

impl Expression {
    pub(super) fn holds(&self, json: &Json) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(json)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(json)),
            Self::Condition(selector, Test::Missing) => selector.all(json).is_empty(),
            Self::Condition(selector, test) => selector.all(json).into_iter().any(|value| test.holds(value)),
        }
    }

    pub(super) fn selectors(&self) -> Vec<&Selector> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::selectors).collect(),
            Self::Condition(selector, _) => vec![selector],
        }
    }
}

/// Reads a pattern that begins with `{`.
pub(crate) fn parse(text: &str) -> Result<Expression, LogsError> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let mut reader = Reader { rest: inner.ok_or_else(|| invalid("the curly brace is not closed"))? };
    let expression = reader.any(0)?;
    if reader.rest.trim().is_empty() { Ok(expression) } else { Err(invalid("something stands behind the condition")) }
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take_while(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|character| !is_part(character)).unwrap_or(self.rest.len());
        let (part, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        part
    }

    /// A word in any case, with its end.
    fn word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        self.take_while(|character| character.is_ascii_alphabetic()).to_ascii_uppercase()
    }

    fn any(&mut self, depth: usize) -> Result<Expression, LogsError> {
        let mut parts = vec![self.all(depth)?];
        while self.take("||") {
            parts.push(self.all(depth)?);
        }
        Ok(match (parts.len(), parts.pop()) {
            (1, Some(only)) => only,
            (_, last) => Expression::Any(parts.into_iter().chain(last).collect()),
        })
    }

    fn all(&mut self, depth: usize) -> Result<Expression, LogsError> {
        let mut parts = vec![self.one(depth)?];
        while self.take("&&") {
            parts.push(self.one(depth)?);
        }
        Ok(match (parts.len(), parts.pop()) {
            (1, Some(only)) => only,
            (_, last) => Expression::All(parts.into_iter().chain(last).collect()),
        })
    }

    fn one(&mut self, depth: usize) -> Result<Expression, LogsError> {
        if depth >= DEPTH {
            return Err(invalid("too many parentheses"));
        }
        if self.take("(") {
            let inner = self.any(depth + 1)?;
            return if self.take(")") { Ok(inner) } else { Err(invalid("a parenthesis is not closed")) };
        }
        let selector = self.selector()?;
        let test = self.test()?;
        Ok(Expression::Condition(selector, test))
    }

    fn selector(&mut self) -> Result<Selector, LogsError> {
        self.rest = self.rest.trim_start();
        let begin = self.rest;
        if !self.take("$") {
            return Err(invalid("a selector begins with `$`"));
        }
        let mut steps = Vec::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix('.') {
                self.rest = rest;
                let name = self.take_while(|character| character.is_alphanumeric() || matches!(character, '_' | '-'));
                if name.is_empty() {
                    return Err(invalid("a selector has a name behind each dot"));
                }
                steps.push(Step::Member(name.to_owned()));
            } else if let Some(rest) = self.rest.strip_prefix('[') {
                self.rest = rest;
                steps.push(self.bracket()?);
            } else {
                break;
            }
        }
        if steps.is_empty() {
            return Err(invalid("a selector names a member"));
        }
        let text = begin.strip_suffix(self.rest).unwrap_or(begin).to_owned();
        Ok(Selector { text, steps })
    }

    /// What stands in brackets, with the closing one.
    fn bracket(&mut self) -> Result<Step, LogsError> {
        let step = if let Some(inner) = self.rest.strip_prefix('"') {
            let (name, rest) = term::quoted(inner)?;
            self.rest = rest;
            Step::Member(name)
        } else if let Some(rest) = self.rest.strip_prefix('*') {
            self.rest = rest;
            Step::AnyItem
        } else {
            let digits = self.take_while(|character| character.is_ascii_digit());
            Step::Item(digits.parse().map_err(|_| invalid("a place in a list is a number"))?)
        };
        match self.rest.strip_prefix(']') {
            Some(rest) => {
                self.rest = rest;
                Ok(step)
            }
            None => Err(invalid("a bracket is not closed")),
        }
    }

    fn test(&mut self) -> Result<Test, LogsError> {
        for (sign, comparison) in [
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ] {
            if self.take(sign) {
                return self.value(comparison);
            }
        }
        match self.word().as_str() {
            "EXISTS" => Ok(Test::Exists),
            "NOT" if self.word() == "EXISTS" => Ok(Test::Missing),
            "IS" => match self.word().as_str() {
                "NULL" => Ok(Test::Null),
                "TRUE" => Ok(Test::Flag(true)),
                "FALSE" => Ok(Test::Flag(false)),
                _ => Err(invalid("`IS` is followed by NULL, TRUE or FALSE")),
            },
            _ => Err(invalid("a selector is followed by a comparison, IS or NOT EXISTS")),
        }
    }

    fn value(&mut self, comparison: Comparison) -> Result<Test, LogsError> {
        self.rest = self.rest.trim_start();
        let is_text = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let equal = comparison == Comparison::Equal;
        if let Some(inner) = self.rest.strip_prefix('"') {
            let (text, rest) = term::quoted(inner)?;
            self.rest = rest;
            let test = Test::Text { equal, pattern: TextPattern::new(&text) };
            return if is_text { Ok(test) } else { Err(invalid("only numbers are less or greater")) };
        }
        let is_part = |character: char| !character.is_whitespace() && !matches!(character, '(' | ')' | '&' | '|' | '"');
        let word = self.take_while(is_part);
        if word.is_empty() {
            return Err(invalid("a comparison has a value"));
        }
        if let Some(number) = number(word) {
            return Ok(Test::Number { comparison, number, text: word.to_owned() });
        }
        let is_plain = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | ':' | '/' | '*');
        if !is_text {
            return Err(invalid("only numbers are less or greater"));
        }
        if !word.chars().all(is_plain) {
            return Err(invalid("a text with other characters than letters, digits and underscores stands in double quotes"));
        }
        Ok(Test::Text { equal, pattern: TextPattern::new(word) })
    }
}

/// An integer or decimal, signed or not, with or without exponent.
fn number(word: &str) -> Option<f64> {
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    let number: f64 = word.parse().ok().filter(|_| is_number)?;
    number.is_finite().then_some(number)
}
