//! Patterns that users give.

use regex_automata::meta;

/// Longest pattern, characters (Bedrock: 500).
pub const PATTERN_LENGTH_MAX: usize = 500;
/// Most memory of a compiled pattern, bytes.
const COMPILED_BYTES_MAX: usize = 2 << 20;

/// Why a pattern is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatternError {
    #[error("the pattern is empty or longer than {PATTERN_LENGTH_MAX} characters")]
    Length,
    #[error("the pattern uses look-around, which cannot run in linear time")]
    LookAround,
    #[error("the pattern uses a back-reference, which cannot run in linear time")]
    BackReference,
    #[error("the pattern is too large when compiled")]
    TooLarge,
    #[error("the pattern is not a valid regular expression: {reason}")]
    Invalid { reason: String },
    #[error("the pattern matches the empty text")]
    MatchesEmpty,
}

/// A user's regular expression. It runs in time linear in the text.
#[derive(Clone, Debug)]
pub struct UserPattern {
    regex: meta::Regex,
    longest_match_bytes: Option<usize>,
}

impl UserPattern {
    /// Compiles a pattern.
    pub fn compile(pattern: &str) -> Result<Self, PatternError> {
        if pattern.is_empty() || pattern.chars().count() > PATTERN_LENGTH_MAX {
            return Err(PatternError::Length);
        }
        let config = meta::Config::new().nfa_size_limit(Some(COMPILED_BYTES_MAX)).hybrid_cache_capacity(COMPILED_BYTES_MAX);
        let built = meta::Builder::new().configure(config).build(pattern);
        let regex = built.map_err(|error| {
            if error.size_limit().is_some() {
                return PatternError::TooLarge;
            }
            let reason = error.syntax_error().map(ToString::to_string).unwrap_or_default();
            match reason.lines().last().unwrap_or_default() {
                last if last.contains("look-around") => PatternError::LookAround,
                last if last.contains("backreferences") => PatternError::BackReference,
                last => PatternError::Invalid { reason: last.trim_start_matches("error: ").to_owned() },
            }
        })?;
        if regex.is_match("") {
            return Err(PatternError::MatchesEmpty);
        }
        let longest_match_bytes = regex_automata::util::syntax::parse(pattern).ok().and_then(|parsed| parsed.properties().maximum_len());
        Ok(Self { regex, longest_match_bytes })
    }

    /// The longest text it can match, bytes; `None` if there is no bound.
    pub fn longest_match_bytes(&self) -> Option<usize> {
        self.longest_match_bytes
    }

    /// The byte ranges of the matches, from left to right, not overlapping.
    pub fn find<'t>(&'t self, text: &'t str) -> impl Iterator<Item = std::ops::Range<usize>> + 't {
        self.regex.find_iter(text).map(|found| found.range()).filter(|range| !range.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_linear_or_too_large() {
        let error = |pattern: &str| UserPattern::compile(pattern).unwrap_err();
        assert_eq!(error(""), PatternError::Length);
        assert_eq!(error(&"a".repeat(501)), PatternError::Length);
        assert_eq!(error("(?<=a)b"), PatternError::LookAround);
        assert_eq!(error("a(?!b)"), PatternError::LookAround);
        assert_eq!(error(r"(a)\1"), PatternError::BackReference);
        assert_eq!(error(r"(\w{1000}){1000}"), PatternError::TooLarge);
        assert_eq!(error("a*"), PatternError::MatchesEmpty);
        assert!(matches!(error("(a"), PatternError::Invalid { .. }));
    }

    #[test]
    fn finds_from_left_to_right() {
        let pattern = UserPattern::compile(r"TKT-\d{4}").unwrap();
        assert_eq!(pattern.find("é TKT-1234, TKT-99, TKT-5678").collect::<Vec<_>>(), [3..11, 21..29]);
        let evil = UserPattern::compile("(a+)+$").unwrap();
        assert_eq!(evil.find(&format!("{}b", "a".repeat(50_000))).count(), 0);
    }
}
