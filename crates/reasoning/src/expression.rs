//! Rules as S-expressions in the style of SMT-LIB: `(=> (>= years 2) (= level SENIOR))`.

use crate::PolicyError;

/// Nesting of an expression.
const DEPTH_MAX: usize = 64;
/// Atoms and lists of an expression.
const NODES_MAX: usize = 2_000;

/// A parsed expression, without types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    Atom(String),
    List(Vec<Expression>),
}

/// Parses one expression.
pub(crate) fn parse(text: &str) -> Result<Expression, PolicyError> {
    let malformed = |what: &str| PolicyError::Expression(format!("{what} in `{}`", text.chars().take(80).collect::<String>()));
    let mut open: Vec<Vec<Expression>> = Vec::new();
    let mut done: Option<Expression> = None;
    let mut nodes = 0;
    for token in tokens(text).ok_or_else(|| malformed("a name that is not closed"))? {
        if done.is_some() {
            return Err(malformed("something follows the end"));
        }
        nodes += 1;
        if nodes > NODES_MAX || open.len() > DEPTH_MAX {
            return Err(malformed("too much"));
        }
        let finished = match token {
            Token::Open => {
                open.push(Vec::new());
                continue;
            }
            Token::Close => Expression::List(open.pop().ok_or_else(|| malformed("a closing parenthesis too many"))?),
            Token::Name(name) => Expression::Atom(name),
        };
        match open.last_mut() {
            Some(list) => list.push(finished),
            None => done = Some(finished),
        }
    }
    match done {
        Some(expression) if open.is_empty() => Ok(expression),
        _ => Err(malformed("a parenthesis is not closed")),
    }
}

/// A parenthesis, or a name: a quoted name may look like a parenthesis and is none.
enum Token {
    Open,
    Close,
    Name(String),
}

/// Parentheses, and what stands between them and spaces; `|a name with spaces|` is one atom. `None`: a quoted name is empty or not closed.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '(' => found.push(Token::Open),
            ')' => found.push(Token::Close),
            '|' => {
                let mut name = String::new();
                loop {
                    match characters.next()? {
                        '|' => break,
                        next => name.push(next),
                    }
                }
                if name.is_empty() {
                    return None;
                }
                found.push(Token::Name(name));
            }
            space if space.is_whitespace() => {}
            first => {
                let mut atom = String::from(first);
                while let Some(next) = characters.next_if(|next| !next.is_whitespace() && !matches!(next, '(' | ')' | '|')) {
                    atom.push(next);
                }
                found.push(Token::Name(atom));
            }
        }
    }
    Some(found)
}

impl std::fmt::Display for Expression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Atom(name) if name.contains(|next: char| next.is_whitespace() || matches!(next, '(' | ')')) => {
                write!(formatter, "|{name}|")
            }
            Self::Atom(name) => formatter.write_str(name),
            Self::List(items) => {
                formatter.write_str("(")?;
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        formatter.write_str(" ")?;
                    }
                    item.fmt(formatter)?;
                }
                formatter.write_str(")")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_nested_lists_and_quoted_names() {
        let text = "(=> (and full_time (>= |years of service| 2)) (= level SENIOR))";
        assert_eq!(parse(text).unwrap().to_string(), text);
        for wrong in ["", "(", ")", "(a", "a b", "(a))", "|a"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse(&"(".repeat(10_000)).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[()| a-z0-9é]{0,200}") {
            if let Ok(expression) = parse(&text) {
                prop_assert_eq!(parse(&expression.to_string()), Ok(expression));
            }
        }
    }
}
