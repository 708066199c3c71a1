//! Text to tree: one `SELECT`, within limits, with the ids of event data stores as table names.

use sqlparser::ast::{Query, Statement};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::plan::QueryError;

/// Source: CloudTrail API reference, `StartQuery`, `QueryStatement`.
const LENGTH_MAX: usize = 10_000;
/// Brackets within brackets.
const DEPTH_MAX: usize = 64;

/// The one query of the text.
pub(crate) fn parse(text: &str) -> Result<Query, QueryError> {
    if text.chars().count() > LENGTH_MAX {
        return Err(QueryError::TooLong(LENGTH_MAX));
    }
    let quoted = quote_store_ids(text)?;
    let mut statements = Parser::new(&GenericDialect {})
        .with_recursion_limit(DEPTH_MAX)
        .try_with_sql(&quoted)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| QueryError::Syntax(error.to_string()))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(Statement::Query(query)), true) => Ok(*query),
        (Some(_), true) => Err(QueryError::NotSelect),
        (Some(_), false) => Err(QueryError::ManyStatements),
        (None, _) => Err(QueryError::Syntax("the statement is empty".to_owned())),
    }
}

/// Puts quotes around ids of event data stores, which are no SQL names; texts, quoted names and comments stay as they are.
fn quote_store_ids(text: &str) -> Result<String, QueryError> {
    let mut quoted = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut depth = 0_usize;
    let mut inside_word = false;
    while let Some(letter) = rest.chars().next() {
        if let Some(end) = passage(rest) {
            let (taken, tail) = rest.split_at(end);
            quoted.push_str(taken);
            rest = tail;
            inside_word = false;
            continue;
        }
        if !inside_word && let Some((id, tail)) = rest.split_at_checked(36).filter(|(id, tail)| is_store_id(id) && !begins_word(tail)) {
            quoted.push('"');
            quoted.push_str(&id.to_ascii_lowercase());
            quoted.push('"');
            rest = tail;
            continue;
        }
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(QueryError::TooDeep);
        }
        inside_word = letter.is_alphanumeric() || matches!(letter, '_' | '-');
        quoted.push(letter);
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
    }
    Ok(quoted)
}

fn begins_word(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-'))
}

/// Length of the text, quoted name or comment that stands here.
fn passage(text: &str) -> Option<usize> {
    let (open, close) = [("'", "'"), ("\"", "\""), ("--", "\n"), ("/*", "*/")].into_iter().find(|(open, _)| text.starts_with(open))?;
    let after = text.get(open.len()..)?;
    Some(after.find(close).map_or(text.len(), |at| open.len() + at + close.len()))
}

/// `8-4-4-4-12` hexadecimal digits. AWS's own examples write letters beyond `f`, so any are taken.
fn is_store_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_alphanumeric(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0a1b2c3d-0000-4000-8000-0123456789ab";

    #[test]
    fn ids_are_quoted_where_names_stand() {
        assert_eq!(quote_store_ids(&format!("SELECT a FROM {ID} -- {ID}")).unwrap(), format!("SELECT a FROM \"{ID}\" -- {ID}"));
        assert_eq!(quote_store_ids(&format!("'{ID}' \"{ID}\"")).unwrap(), format!("'{ID}' \"{ID}\""));
        assert!(parse(&format!("SELECT eventname FROM {ID} WHERE eventid = '{ID}';")).is_ok());
    }

    #[test]
    fn only_one_select() {
        for (text, error) in [
            ("DELETE FROM a", QueryError::NotSelect),
            ("SELECT 1; SELECT 2", QueryError::ManyStatements),
            ("DROP TABLE a", QueryError::NotSelect),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert!(matches!(parse("SELECT a FROM t WHERE ("), Err(QueryError::Syntax(_))));
        assert!(matches!(parse(""), Err(QueryError::Syntax(_))));
        assert_eq!(parse(&"a".repeat(10_001)), Err(QueryError::TooLong(10_000)));
        assert_eq!(parse(&format!("SELECT {}1", "(".repeat(1_000))), Err(QueryError::TooDeep));
    }

    proptest! {
        #[test]
        fn any_text_is_a_query_or_refused(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_words_are_a_query_or_refused(words in proptest::collection::vec("select|from|where|\\(|\\)|a|'x'|,|\\*|union|join|on|=|--|/\\*|\"|'", 0..60)) {
            let _ = parse(&words.join(" "));
        }
    }
}
