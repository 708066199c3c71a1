//! Terms: all that are required, none that is excluded, and one of the optional ones when nothing else is asked for.

use super::invalid;
use crate::error::LogsError;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    required: Vec<String>,
    excluded: Vec<String>,
    optional: Vec<String>,
}

impl Terms {
    pub(crate) fn match_text(&self, message: &str) -> bool {
        let has = |term: &String| message.contains(term.as_str());
        // Source: the user guide: beside terms of the other kinds, optional ones do not count.
        let optional = !self.required.is_empty() || !self.excluded.is_empty() || self.optional.is_empty() || self.optional.iter().any(has);
        self.required.iter().all(has) && !self.excluded.iter().any(has) && optional
    }
}

pub(crate) fn parse(text: &str) -> Result<Terms, LogsError> {
    let mut terms = Terms::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (list, behind) = match rest.chars().next() {
            Some('-') => (&mut terms.excluded, rest.get(1..).unwrap_or_default().trim_start()),
            Some('?') => (&mut terms.optional, rest.get(1..).unwrap_or_default()),
            _ => (&mut terms.required, rest),
        };
        let (term, behind) = term(behind)?;
        list.push(term);
        rest = behind.trim_start();
    }
    Ok(terms)
}

fn term(text: &str) -> Result<(String, &str), LogsError> {
    if let Some(inner) = text.strip_prefix('"') {
        return quoted(inner);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (term, behind) = text.split_at_checked(end).unwrap_or((text, ""));
    if term.is_empty() || !term.chars().all(|character| character.is_alphanumeric() || character == '_') {
        return Err(invalid("a term with other characters than letters, digits and underscores stands in double quotes"));
    }
    Ok((term.to_owned(), behind))
}

/// The text up to the closing quote, and what is behind it.
pub(super) fn quoted(text: &str) -> Result<(String, &str), LogsError> {
    let mut term = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((term, text.get(at + 1..).unwrap_or_default())),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => term.push(escaped),
                Some((_, other)) => term.extend(['\\', other]),
                None => break,
            },
            other => term.push(other),
        }
    }
    Err(invalid("a double quote is not closed"))
}
