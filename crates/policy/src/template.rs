//! Policy variables: `${key}`, `${key, 'default'}` and the literals `${*}`, `${?}`, `${$}`.
//!
//! Source: IAM User Guide, "IAM policy elements: Variables and tags". Only policies of version 2012-10-17 have
//! them. A key without value (also an empty one, or a multi-valued key) makes the whole text match nothing, unless
//! a default is given.

use crate::glob::{Token, push_literal, push_pattern};
use crate::request::{Key, Request};

/// A text with variables. What a variable stands for is never a wildcard, whatever characters it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Literal(char),
    Variable { key: Key, default: Option<Box<str>> },
}

impl Template {
    /// The template of a text, or `None` if it has no variable.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, variable, after)) = next_variable(rest) {
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(Part::new(variable));
            rest = after;
        }
        if parts.is_empty() {
            return None;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Some(Self { parts: parts.into() })
    }

    /// What every text begins with that the template, read as a pattern, matches.
    pub(crate) fn literal(&self) -> &[u8] {
        let Some(Part::Text(text)) = self.parts.first() else { return &[] };
        text.find(['*', '?']).and_then(|at| text.get(..at)).unwrap_or(text).as_bytes()
    }

    /// The keys that the variables name.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable { key, .. } => Some(key),
            _ => None,
        })
    }

    /// The tokens after substitution, or `None` if a variable has no value.
    pub(crate) fn tokens(&self, request: &Request<'_>) -> Option<Vec<Token>> {
        let mut tokens = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => push_pattern(&mut tokens, text),
                Part::Literal(character) => {
                    push_literal(&mut tokens, character.encode_utf8(&mut [0; 4]));
                }
                Part::Variable { key, default } => {
                    push_literal(&mut tokens, &variable_value(key, default.as_deref(), request)?);
                }
            }
        }
        Some(tokens)
    }

    /// The text after substitution, or `None` if a variable has no value.
    pub(crate) fn text(&self, request: &Request<'_>) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Literal(character) => text.push(*character),
                Part::Variable { key, default } => {
                    text.push_str(&variable_value(key, default.as_deref(), request)?);
                }
            }
        }
        Some(text)
    }
}

fn variable_value(key: &Key, default: Option<&str>, request: &Request<'_>) -> Option<String> {
    match request.values(key) {
        Some(crate::context::Values::One(value)) if !value.is_empty() => Some(value.into_owned()),
        Some(crate::context::Values::One(_)) | None => default.map(str::to_owned),
        Some(_) => None,
    }
}

/// Splits at the first `${…}`: the text before it, what stands inside, and the text after it.
pub(crate) fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${")?;
    let (inside, after) = rest.split_once('}')?;
    Some((before, inside, after))
}

/// Whether a variable starts before the fifth colon of an ARN, where none may be.
pub(crate) fn has_variable_before_resource(text: &str) -> bool {
    let Some((before, inside, _)) = next_variable(text) else {
        return false;
    };
    !matches!(inside, "*" | "?" | "$") && before.matches(':').count() < 5
}

/// A part of a pattern as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PatternPart {
    /// Text that stands for itself, `${*}`, `${?}` and `${$}` already replaced.
    Literal(String),
    /// `?`: exactly one character.
    One,
    /// `*`: any run of characters.
    Many,
    /// `${key}` or `${key, 'default'}`; what it stands for is never a wildcard.
    Variable {
        /// The key as it is written.
        key: String,
        /// What stands in if the key has no value.
        default: Option<String>,
    },
}

/// Reads a pattern of a policy (an action, a resource, a condition value) into its parts, for those who reason
/// about patterns. `variables` is [`crate::Policy::has_variables`] for resources and condition values, and false for
/// actions, which have none. Operators without wildcards take `*` and `?` literally: that is for the caller to know.
pub fn pattern_parts(text: &str, variables: bool) -> Vec<PatternPart> {
    let template = variables.then(|| Template::parse(text)).flatten();
    let mut parts = Vec::new();
    match template {
        None => push_parts(&mut parts, text),
        Some(template) => {
            for part in &template.parts {
                match part {
                    Part::Text(text) => push_parts(&mut parts, text),
                    Part::Literal(character) => push_literal_part(&mut parts, *character),
                    Part::Variable { key, default } => {
                        parts.push(PatternPart::Variable { key: key.name.to_string(), default: default.as_deref().map(str::to_owned) });
                    }
                }
            }
        }
    }
    parts
}

fn push_parts(parts: &mut Vec<PatternPart>, text: &str) {
    for character in text.chars() {
        match character {
            '*' => parts.push(PatternPart::Many),
            '?' => parts.push(PatternPart::One),
            other => push_literal_part(parts, other),
        }
    }
}

fn push_literal_part(parts: &mut Vec<PatternPart>, character: char) {
    match parts.last_mut() {
        Some(PatternPart::Literal(text)) => text.push(character),
        _ => parts.push(PatternPart::Literal(character.to_string())),
    }
}

impl Part {
    fn new(inside: &str) -> Self {
        match inside {
            "*" => Self::Literal('*'),
            "?" => Self::Literal('?'),
            "$" => Self::Literal('$'),
            _ => match inside.split_once(',') {
                Some((name, default)) => Self::Variable {
                    key: Key::new(name.trim()),
                    default: default.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).map(Into::into),
                },
                None => Self::Variable { key: Key::new(inside.trim()), default: None },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MapContext;
    use crate::glob::Glob;
    use crate::principal::Principal;
    use crate::request::{Check, Resource};

    fn resolve(text: &str) -> Option<String> {
        let mut context = MapContext::new();
        context.set("aws:username", "ana").set("bw:empty", "").set("bw:star", "a*b").set_many("bw:many", ["x"]);
        let principal = Principal::anonymous();
        let check = Check::new("s3:GetObject", Resource::default());
        let request = Request::new(&principal, &check, &context, None, false);
        Template::parse(text).unwrap().text(&request)
    }

    #[test]
    fn substitution() {
        for (text, expected) in [
            ("home/${aws:username}/*", Some("home/ana/*")),
            ("${AWS:UserName}", Some("ana")),
            ("${bw:absent}", None),
            ("${bw:absent, 'all'}", Some("all")),
            ("${bw:empty}", None),
            ("${bw:empty,'all'}", Some("all")),
            ("${bw:many}", None),
            ("${*}${?}${$}", Some("*?$")),
            ("a${$}{x}", Some("a${x}")),
            ("${aws:username}-${bw:absent, 'z'}", Some("ana-z")),
            ("${aws:username}${open", Some("ana${open")),
        ] {
            assert_eq!(resolve(text).as_deref(), expected, "{text}");
        }
        assert_eq!(Template::parse("plain * text"), None);
        assert_eq!(Template::parse("${open"), None);
    }

    #[test]
    fn values_are_no_wildcards() {
        let mut context = MapContext::new();
        context.set("bw:star", "a*b");
        let principal = Principal::anonymous();
        let check = Check::new("s3:GetObject", Resource::default());
        let request = Request::new(&principal, &check, &context, None, false);
        let tokens = Template::parse("${bw:star}/*").unwrap().tokens(&request).unwrap();
        let glob = Glob::from_tokens(&tokens);
        assert!(glob.matches("a*b/k"));
        assert!(!glob.matches("axb/k"));
    }

    #[test]
    fn parts_of_patterns() {
        let literal = |text: &str| PatternPart::Literal(text.to_owned());
        let variable = PatternPart::Variable { key: "aws:username".to_owned(), default: Some("x".to_owned()) };
        assert_eq!(pattern_parts("a${*}b*?${aws:username, 'x'}", true), [literal("a*b"), PatternPart::Many, PatternPart::One, variable]);
        assert_eq!(pattern_parts("${a}*", false), [literal("${a}"), PatternPart::Many]);
        assert_eq!(pattern_parts("", true), []);
    }

    #[test]
    fn place_of_variables() {
        assert!(has_variable_before_resource("arn:aws:iam::${aws:PrincipalAccount}:user/x"));
        assert!(!has_variable_before_resource("arn:aws:iam::1:user/${aws:username}"));
        assert!(!has_variable_before_resource("arn:aws:s3:::b/${*}"));
    }
}
