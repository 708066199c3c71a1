//! Amazon Resource Names: six segments, compared one by one.
//!
//! Source: IAM User Guide, "IAM JSON policy elements: Resource" and "Condition operators" (ARN operators).

use crate::glob::{Glob, Token, literal_prefix};

/// A text split into the six segments of an ARN; the last one keeps further colons.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ArnText<'a> {
    text: &'a str,
    segments: Option<[&'a str; 6]>,
}

impl<'a> ArnText<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, segments: split(text) }
    }

    /// What is left of the text from the segment with this index on.
    fn rest_from_segment(&self, index: usize) -> Option<&'a str> {
        self.text.splitn(index + 1, ':').nth(index)
    }
}

/// Colons between the segments of an ARN.
const COLONS: usize = 5;

fn split(text: &str) -> Option<[&str; 6]> {
    let mut parts = text.splitn(6, ':');
    Some([parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?])
}

/// The account in an ARN's fifth segment, if it has one.
pub fn account_of(arn: &str) -> Option<&str> {
    let account = split(arn)?[4];
    (!account.is_empty()).then_some(account)
}

/// The resource part of an ARN: what follows the fifth colon.
pub fn resource_of(arn: &str) -> Option<&str> {
    Some(split(arn)?[5])
}

/// A compiled ARN pattern.
///
/// A pattern with fewer than six segments matches only if its last one ends in a star, which then reaches over the
/// colons ("it can expand to match beyond the colon boundaries"); anything else of that shape matches nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArnPattern {
    Any,
    /// Six segments without wildcards.
    Exact(Box<[u8]>),
    /// Six segments whose only wildcards are stars at the end.
    Prefix(Box<[u8]>),
    /// Anything else. The text before the first wildcard decides most comparisons before the segments are looked at.
    Segments {
        literal: Box<[u8]>,
        globs: Box<[Glob]>,
    },
}

impl ArnPattern {
    pub(crate) fn from_tokens(tokens: &[Token]) -> Self {
        if !tokens.is_empty() && tokens.iter().all(|token| *token == Token::Many) {
            return Self::Any;
        }
        let literal = literal_prefix(tokens);
        let rest = tokens.get(literal.len()..).unwrap_or_default();
        if literal.split(|byte| *byte == b':').count() > COLONS {
            if rest.is_empty() {
                return Self::Exact(literal.into());
            }
            if rest.iter().all(|token| *token == Token::Many) {
                return Self::Prefix(literal.into());
            }
        }
        let globs = tokens.splitn(COLONS + 1, |token| *token == Token::Byte(b':')).map(Glob::from_tokens).collect();
        Self::Segments { literal: literal.into(), globs }
    }

    /// What every matching ARN begins with.
    pub(crate) fn literal(&self) -> &[u8] {
        match self {
            Self::Any => &[],
            Self::Exact(literal) | Self::Prefix(literal) | Self::Segments { literal, .. } => literal,
        }
    }

    pub(crate) fn matches(&self, arn: &ArnText<'_>) -> bool {
        let globs = match self {
            Self::Any => return true,
            Self::Exact(literal) => return **literal == *arn.text.as_bytes(),
            // The literal has the five colons, so whatever begins with it has six segments.
            Self::Prefix(literal) => return arn.text.as_bytes().starts_with(literal),
            Self::Segments { literal, globs } => {
                if !arn.text.as_bytes().starts_with(literal) {
                    return false;
                }
                globs
            }
        };
        let Some(segments) = &arn.segments else {
            return false;
        };
        if globs.len() == segments.len() {
            return globs.iter().zip(segments).all(|(glob, segment)| glob.matches(segment));
        }
        let Some((last, first)) = globs.split_last() else {
            return false;
        };
        last.ends_open()
            && first.iter().zip(segments).all(|(glob, segment)| glob.matches(segment))
            && arn.rest_from_segment(first.len()).is_some_and(|rest| last.matches(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glob::push_pattern;

    fn matches(pattern: &str, arn: &str) -> bool {
        let mut tokens = Vec::new();
        push_pattern(&mut tokens, pattern);
        ArnPattern::from_tokens(&tokens).matches(&ArnText::new(arn))
    }

    #[test]
    fn segments_are_compared_one_by_one() {
        for (pattern, arn, expected) in [
            ("*", "*", true),
            ("*", "anything", true),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b/k", true),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b", false),
            ("arn:aws:s3:::b/*/c/*", "arn:aws:s3:::b/1/2/c/d", true),
            ("arn:aws:s3:::B", "arn:aws:s3:::b", false),
            ("arn:aws:sns:*:1:t", "arn:aws:sns:eu-1:1:t", true),
            ("arn:aws:sns:*:t", "arn:aws:sns:eu-1:1:t", false),
            ("arn:*:iam::*:role/*", "arn:aws-cn:iam::1:role/x/y", true),
            ("arn:aws:logs:*:*:log-group:*", "arn:aws:logs:r:1:log-group:a:b", true),
            ("arn:aws:s3:*", "arn:aws:s3:::b/k", true),
            ("arn:aws:s3*", "arn:aws:sqs:r:1:q", false),
            ("arn:aws:sqs", "arn:aws:sqs:r:1:q", false),
            ("arn:aws:s3:::b", "*", false),
            ("", "arn:aws:s3:::b", false),
        ] {
            assert_eq!(matches(pattern, arn), expected, "{pattern} {arn}");
        }
    }

    #[test]
    fn parts() {
        assert_eq!(account_of("arn:aws:iam::123456789012:user/a"), Some("123456789012"));
        assert_eq!(account_of("arn:aws:s3:::b"), None);
        assert_eq!(resource_of("arn:aws:logs:r:1:log-group:a"), Some("log-group:a"));
        assert_eq!(resource_of("*"), None);
    }
}
