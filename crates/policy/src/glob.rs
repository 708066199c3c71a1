//! Wildcard patterns: `*` stands for any run of characters, `?` for exactly one character.
//!
//! Matching is the greedy two-pointer walk: only the last star is ever retried, so the time is bounded by pattern
//! length times text length, whatever an author writes.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Byte(u8),
    One,
    Many,
}

/// Appends the tokens of a text whose `*` and `?` are wildcards.
pub(crate) fn push_pattern(tokens: &mut Vec<Token>, text: &str) {
    for byte in text.bytes() {
        tokens.push(match byte {
            b'*' => Token::Many,
            b'?' => Token::One,
            other => Token::Byte(other),
        });
    }
}

/// Appends the tokens of a text that stands for itself.
pub(crate) fn push_literal(tokens: &mut Vec<Token>, text: &str) {
    tokens.extend(text.bytes().map(Token::Byte));
}

/// The bytes before the first wildcard.
pub(crate) fn literal_prefix(tokens: &[Token]) -> Vec<u8> {
    let literal = tokens.iter().map_while(|token| match token {
        Token::Byte(byte) => Some(*byte),
        _ => None,
    });
    literal.collect()
}

/// A compiled wildcard pattern. Comparison is case-sensitive; fold both sides for the other kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Any,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Tokens(Box<[Token]>),
}

impl Glob {
    /// Compiles a pattern in which `*` and `?` are wildcards.
    pub fn new(pattern: &str) -> Self {
        let mut tokens = Vec::with_capacity(pattern.len());
        push_pattern(&mut tokens, pattern);
        Self::from_tokens(&tokens)
    }

    pub(crate) fn from_tokens(tokens: &[Token]) -> Self {
        let literal = literal_prefix(tokens);
        let rest = tokens.get(literal.len()..).unwrap_or_default();
        Self(if rest.is_empty() {
            Form::Exact(literal.into())
        } else if rest.iter().all(|token| *token == Token::Many) {
            if literal.is_empty() { Form::Any } else { Form::Prefix(literal.into()) }
        } else {
            Form::Tokens(tokens.into())
        })
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Form::Any => true,
            Form::Exact(literal) => **literal == *text.as_bytes(),
            Form::Prefix(literal) => text.as_bytes().starts_with(literal),
            Form::Tokens(tokens) => match_tokens(tokens, text.as_bytes()),
        }
    }

    /// Whether the pattern's last token is a star, so that it may swallow whatever follows.
    pub(crate) fn ends_open(&self) -> bool {
        match &self.0 {
            Form::Any | Form::Prefix(_) => true,
            Form::Exact(_) => false,
            Form::Tokens(tokens) => tokens.last() == Some(&Token::Many),
        }
    }
}

/// Index of the character after the one that starts at `at`.
fn next_character(text: &[u8], at: usize) -> usize {
    let mut next = at + 1;
    while text.get(next).is_some_and(|byte| byte & 0xc0 == 0x80) {
        next += 1;
    }
    next
}

fn match_tokens(tokens: &[Token], text: &[u8]) -> bool {
    let (mut at_token, mut at_text) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match tokens.get(at_token) {
            Some(Token::Many) => {
                at_token += 1;
                if at_token == tokens.len() {
                    return true;
                }
                retry = Some((at_token, at_text));
                continue;
            }
            Some(Token::One) => {
                at_token += 1;
                at_text = next_character(text, at_text);
                continue;
            }
            Some(Token::Byte(byte)) if text.get(at_text) == Some(byte) => {
                at_token += 1;
                at_text += 1;
                continue;
            }
            _ => {}
        }
        let Some((token_after_star, text_of_star)) = retry else {
            return false;
        };
        let next = next_character(text, text_of_star);
        retry = Some((token_after_star, next));
        at_token = token_after_star;
        at_text = next;
    }
    tokens.get(at_token..).unwrap_or_default().iter().all(|token| *token == Token::Many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("?", "", false),
            ("?", "é", true),
            ("??", "é", false),
            ("a*c", "abbbc", true),
            ("a*c", "abbbcd", false),
            ("*Object", "GetObject", true),
            ("*Object", "GetObjectVersion", false),
            ("a*b*c", "a1b2b3c", true),
            ("*a?c", "xxaabc", true),
            ("*é?", "aéé!", true),
            ("abc", "abc", true),
            ("abc", "ABC", false),
            ("ab*", "ab", true),
            ("a*?", "a", false),
            ("a*?", "ab", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        let pattern = "*a".repeat(2_000) + "b";
        let text = "a".repeat(20_000);
        assert!(!Glob::new(&pattern).matches(&text));
        let pattern = "*?".repeat(1_000) + "*b?";
        assert!(!Glob::new(&pattern).matches(&text));
    }
}
