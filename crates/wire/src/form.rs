//! `application/x-www-form-urlencoded` text and percent-encoding.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::error::{DecodeError, Format};
use crate::limits;

/// The names and values of a form or a query string, decoded, in order. A name without `=` has an empty value.
pub(crate) fn parameters(text: &str) -> Result<Vec<(String, String)>, DecodeError> {
    let mut found = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        if found.len() >= limits::FORM_PARAMETERS {
            return Err(DecodeError::Limit { format: Format::Form, what: "parameters", maximum: limits::FORM_PARAMETERS });
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        found.push((plus_decode(name)?, plus_decode(value)?));
    }
    Ok(found)
}

fn plus_decode(text: &str) -> Result<String, DecodeError> {
    let text = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode(&text).ok_or_else(|| DecodeError::Syntax { format: Format::Form, reason: "the text is not UTF-8".to_owned() })
}

/// Decodes once. A `%` that begins no valid sequence stands for itself; `None` when the result is not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let byte = match after.split_first_chunk::<2>() {
            Some((&[high, low], _)) if first == b'%' => hexadecimal(high).zip(hexadecimal(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        out.push(byte.unwrap_or(first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8(out).ok()
}

fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Encodes all but RFC 3986 unreserved characters and those in `safe`.
pub(crate) fn percent_encode(out: &mut String, text: &str, safe: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || safe.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(DIGITS.get(usize::from(digit)).copied().map_or('0', char::from));
            }
        }
    }
}

/// Text with all but RFC 3986's unreserved characters percent-encoded: as it stands in a query, in a form, or where IAM shows a document.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    percent_encode(&mut out, text, b"");
    out
}

/// A form whose names are paths (`Tags.member.1.Key`), as a tree.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) value: Option<String>,
    pub(crate) children: BTreeMap<String, Node>,
}

impl Node {
    pub(crate) fn tree(parameters: Vec<(String, String)>) -> Result<Self, DecodeError> {
        let mut root = Node::default();
        for (name, value) in parameters {
            let mut node = &mut root;
            for (depth, step) in name.split('.').enumerate() {
                if depth >= limits::DEPTH {
                    return Err(DecodeError::Limit { format: Format::Form, what: "levels", maximum: limits::DEPTH });
                }
                node = node.children.entry(step.to_owned()).or_default();
            }
            node.value = Some(value);
        }
        Ok(root)
    }

    /// Children with numbers for names, in the order of the numbers.
    pub(crate) fn numbered(&self) -> Vec<&Node> {
        let mut numbered: Vec<(u32, &Node)> = self.children.iter().filter_map(|(name, node)| Some((name.parse().ok()?, node))).collect();
        numbered.sort_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, node)| node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_reads_back() {
        let mut out = String::new();
        percent_encode(&mut out, "a/b c+é%~", b"/");
        assert_eq!(out, "a/b%20c%2B%C3%A9%25~");
        assert_eq!(percent_decode(&out).as_deref(), Some("a/b c+é%~"));
        assert_eq!(percent_decode("100%").as_deref(), Some("100%"));
        assert_eq!(percent_decode("%zz%4").as_deref(), Some("%zz%4"));
        assert_eq!(percent_decode("%FF"), None);
    }

    #[test]
    fn numbers_order_lists() {
        let root = Node::tree(parameters("L.10=j&L.2=b&L.x=no&L.1=a").unwrap()).unwrap();
        let values: Vec<_> = root.children["L"].numbered().iter().map(|node| node.value.clone().unwrap()).collect();
        assert_eq!(values, ["a", "b", "j"]);
    }
}
