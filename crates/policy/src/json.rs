//! A small JSON reader that remembers where each value stands.
//!
//! `serde_json` gives no positions and keeps the last of two equal keys silently. A policy needs both told: the
//! policy simulator reports line and column of each matched statement, and a repeated key would let a reader and
//! the engine disagree about what a policy says.

/// Deepest nesting that is read; a policy needs six levels.
pub(crate) const DEPTH_MAX: usize = 32;

/// Longest document that is read, in bytes, whatever its kind. The largest AWS managed policy has 135 KB.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// A place in a document: both numbers count from 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// Where a value stands: from its first character to just behind its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, Default)]
pub struct Span {
    /// Position of the first character.
    pub start: Position,
    /// Position just behind the last character.
    pub end: Position,
}

/// A JSON value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub value: Json,
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The number as it is written.
    Number(String),
    /// A string, its escapes resolved.
    String(String),
    /// An array.
    Array(Vec<Node>),
    /// Members in the order of the document; no name occurs twice.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// The members of an object.
    pub fn as_object(&self) -> Option<&[(String, Node)]> {
        match &self.value {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.as_object()?.iter().find(|(member, _)| member == name).map(|(_, node)| node)
    }

    /// The members of an array, or the value itself as the only member: the grammar's "one or a list".
    pub fn one_or_many(&self) -> &[Node] {
        match &self.value {
            Json::Array(items) => items,
            _ => std::slice::from_ref(self),
        }
    }
}

/// Why a text is no JSON that a policy may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON at line {}, column {}: {problem}", position.line, position.column)]
pub struct JsonError {
    /// Where.
    pub position: Position,
    /// What, as a phrase.
    pub problem: &'static str,
}

/// Reads a document of bounded length and depth, with the place of each value.
pub fn parse(text: &str) -> Result<Node, JsonError> {
    let mut reader = Reader { chars: text.chars().peekable(), position: Position { line: 1, column: 1 } };
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(reader.error("the document is too long"));
    }
    let node = reader.value(0)?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.error("something follows the value")),
    }
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    position: Position,
}

impl Reader<'_> {
    fn error(&self, problem: &'static str) -> JsonError {
        JsonError { position: self.position, problem }
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.chars.next()?;
        if character == '\n' {
            self.position.line = self.position.line.saturating_add(1);
            self.position.column = 1;
        } else {
            self.position.column = self.position.column.saturating_add(1);
        }
        Some(character)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn expect(&mut self, wanted: char, problem: &'static str) -> Result<(), JsonError> {
        if self.peek() == Some(wanted) {
            self.next();
            return Ok(());
        }
        Err(self.error(problem))
    }

    fn value(&mut self, depth: usize) -> Result<Node, JsonError> {
        if depth > DEPTH_MAX {
            return Err(self.error("nested too deeply"));
        }
        self.skip_space();
        let start = self.position;
        let value = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.array(depth)?,
            Some('"') => Json::String(self.string()?),
            Some('-' | '0'..='9') => Json::Number(self.number()?),
            Some('t') => self.word("true", Json::Bool(true))?,
            Some('f') => self.word("false", Json::Bool(false))?,
            Some('n') => self.word("null", Json::Null)?,
            _ => return Err(self.error("a value is missing")),
        };
        Ok(Node { span: Span { start, end: self.position }, value })
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        for wanted in word.chars() {
            self.expect(wanted, "an unknown word")?;
        }
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.next();
        let mut members: Vec<(String, Node)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        self.skip_space();
        if self.peek() == Some('}') {
            self.next();
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some('"') {
                return Err(self.error("a member name is missing"));
            }
            let name = self.string()?;
            if !names.insert(name.clone()) {
                return Err(self.error("a member name occurs twice"));
            }
            self.skip_space();
            self.expect(':', "a colon is missing")?;
            let value = self.value(depth + 1)?;
            members.push((name, value));
            self.skip_space();
            match self.next() {
                Some(',') => {}
                Some('}') => return Ok(Json::Object(members)),
                _ => return Err(self.error("an object is not closed")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.next();
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(']') {
            self.next();
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            match self.next() {
                Some(',') => {}
                Some(']') => return Ok(Json::Array(items)),
                _ => return Err(self.error("an array is not closed")),
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(character) if character >= ' ' => text.push(character),
                Some(_) => return Err(self.error("a control character in a string")),
                None => return Err(self.error("a string is not closed")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        match self.next() {
            Some(plain @ ('"' | '\\' | '/')) => Ok(plain),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => self.unicode_escape(),
            _ => Err(self.error("an unknown escape")),
        }
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let first = self.hex4()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            self.expect('\\', "half of a surrogate pair")?;
            self.expect('u', "half of a surrogate pair")?;
            let second = self.hex4()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(self.error("half of a surrogate pair"));
            }
            0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.error("half of a surrogate pair"))
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|character| character.to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.error("a bad unicode escape"))?;
        }
        Ok(code)
    }

    fn digits(&mut self, text: &mut String) -> Result<(), JsonError> {
        let before = text.len();
        while let Some(digit @ '0'..='9') = self.peek() {
            text.push(digit);
            self.next();
        }
        if text.len() == before {
            return Err(self.error("a digit is missing"));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<String, JsonError> {
        let mut text = String::new();
        if self.peek() == Some('-') {
            text.push('-');
            self.next();
        }
        if self.peek() == Some('0') {
            text.push('0');
            self.next();
        } else {
            self.digits(&mut text)?;
        }
        if self.peek() == Some('.') {
            text.push('.');
            self.next();
            self.digits(&mut text)?;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            text.push('e');
            self.next();
            if let Some(sign @ ('+' | '-')) = self.peek() {
                text.push(sign);
                self.next();
            }
            self.digits(&mut text)?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_text() {
        let node = parse("{\n  \"a\": [1,\n {\"b\": \"é\\n\"}]\n}").unwrap();
        let items = node.get("a").unwrap().one_or_many();
        assert_eq!(items[1].span.start, Position { line: 3, column: 2 });
        assert_eq!(items[1].span.end, Position { line: 3, column: 14 });
        assert_eq!(items[1].get("b").unwrap().as_str(), Some("é\n"));
        assert_eq!(node.span.end, Position { line: 4, column: 2 });
    }

    #[test]
    fn bad_texts_are_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "01",
            "-",
            "1.",
            "1e",
            "tru",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\u{1}\"",
            "\"abc",
            "{} {}",
            "{'a':1}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&" ".repeat(DOCUMENT_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn surrogate_pairs_become_one_character() {
        assert_eq!(parse("\"\\ud83d\\ude00\"").unwrap().as_str(), Some("😀"));
    }
}
