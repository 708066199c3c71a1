//! XML documents: reading into a small tree, writing into a string. No DTD, no entities beyond the five of XML itself.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::error::{DecodeError, Format};
use crate::limits;

/// An element with its own text joined.
#[derive(Debug, Default)]
pub(crate) struct Element {
    /// Name without its prefix.
    pub(crate) name: String,
    /// Names with their prefixes, without namespace declarations.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
    pub(crate) text: String,
}

impl Element {
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(crate) fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

fn syntax(reason: impl Into<String>) -> DecodeError {
    DecodeError::Syntax { format: Format::Xml, reason: reason.into() }
}

/// Reads a document into a tree.
pub(crate) fn parse(body: &[u8]) -> Result<Element, DecodeError> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|_| syntax("the text is not UTF-8"))?;
    let mut reader = Reader::from_str(text);
    // Elements that are open, outermost first.
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut elements = 0_usize;
    loop {
        let event = reader.read_event().map_err(|error| syntax(error.to_string()))?;
        match event {
            Event::Start(start) => {
                elements += 1;
                if elements > limits::XML_ELEMENTS {
                    return Err(DecodeError::Limit { format: Format::Xml, what: "elements", maximum: limits::XML_ELEMENTS });
                }
                if open.len() >= limits::DEPTH {
                    return Err(DecodeError::Limit { format: Format::Xml, what: "levels", maximum: limits::DEPTH });
                }
                if root.is_some() {
                    return Err(syntax("there is a second root element"));
                }
                open.push(element(&start)?);
            }
            Event::Empty(start) => {
                elements += 1;
                if elements > limits::XML_ELEMENTS {
                    return Err(DecodeError::Limit { format: Format::Xml, what: "elements", maximum: limits::XML_ELEMENTS });
                }
                close(&mut open, &mut root, element(&start)?)?;
            }
            Event::End(_) => {
                let done = open.pop().ok_or_else(|| syntax("an end tag has no start tag"))?;
                close(&mut open, &mut root, done)?;
            }
            Event::Text(text) => append(&mut open, &text.xml10_content())?,
            Event::CData(text) => append(&mut open, &text.xml10_content())?,
            Event::GeneralRef(reference) => append(&mut open, &resolve(&reference)?)?,
            Event::DocType(_) => return Err(syntax("document type declarations are not allowed")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof if open.is_empty() => {
                return root.ok_or_else(|| syntax("there is no element"));
            }
            Event::Eof => return Err(syntax("an element is not closed")),
        }
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, DecodeError> {
    let mut element = Element { name: start.local_name().as_ref().to_owned(), ..Element::default() };
    for (at, attribute) in start.attributes().enumerate() {
        if at >= limits::XML_ATTRIBUTES {
            return Err(DecodeError::Limit { format: Format::Xml, what: "attributes", maximum: limits::XML_ATTRIBUTES });
        }
        let attribute = attribute.map_err(|error| syntax(error.to_string()))?;
        let name = attribute.key.as_ref();
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|error| syntax(error.to_string()))?;
        element.attributes.push((name.to_owned(), value.into_owned()));
    }
    Ok(element)
}

fn close(open: &mut [Element], root: &mut Option<Element>, done: Element) -> Result<(), DecodeError> {
    match open.last_mut() {
        Some(parent) => parent.children.push(done),
        None if root.is_some() => return Err(syntax("there is a second root element")),
        None => *root = Some(done),
    }
    Ok(())
}

fn append(open: &mut [Element], text: &str) -> Result<(), DecodeError> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(syntax("text stands outside the root element")),
    }
    Ok(())
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, DecodeError> {
    if let Some(letter) = reference.resolve_char_ref().map_err(|error| syntax(error.to_string()))? {
        return Ok(letter.to_string());
    }
    let name: &str = reference;
    quick_xml::escape::resolve_predefined_entity(name)
        .map(str::to_owned)
        .ok_or_else(|| syntax(format!("the entity `{name}` is not defined")))
}

/// Writes a document.
#[derive(Debug)]
pub(crate) struct Writer {
    out: String,
}

impl Writer {
    /// Starts a document with its declaration.
    pub(crate) fn document() -> Self {
        // Room for most answers, so that it does not grow in steps.
        let mut out = String::with_capacity(1024);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Self { out }
    }

    pub(crate) fn open(&mut self, name: &str) {
        self.open_with(name, &[]);
    }

    /// Opens an element with attributes, among them namespace declarations.
    pub(crate) fn open_with(&mut self, name: &str, attributes: &[(String, String)]) {
        self.out.push('<');
        self.out.push_str(name);
        for (attribute, value) in attributes {
            self.out.push(' ');
            self.out.push_str(attribute);
            self.out.push_str("=\"");
            self.text(value);
            self.out.push('"');
        }
        self.out.push('>');
    }

    pub(crate) fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// An element that holds nothing but text.
    pub(crate) fn leaf(&mut self, name: &str, text: &str) {
        self.open(name);
        self.text(text);
        self.close(name);
    }

    /// Text, escaped. Control characters become references as in S3's answers, although XML 1.0 has no room for most of them.
    pub(crate) fn text(&mut self, text: &str) {
        // As a rule there is nothing to escape.
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'&' | b'<' | b'>' | b'"')) {
            self.out.push_str(text);
            return;
        }
        for letter in text.chars() {
            match letter {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\n' | '\t' => self.out.push(letter),
                '\u{0}'..'\u{20}' | '\u{85}' | '\u{2028}' => {
                    self.out.push_str(&format!("&#x{:X};", u32::from(letter)));
                }
                _ => self.out.push(letter),
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_text_references_and_attributes() {
        let root = parse(b"<?xml version='1.0'?><a xmlns='u' x:t='1 &lt; 2'>p&amp;q<b/><![CDATA[<r>]]>&#x41;</a>").unwrap();
        assert_eq!(root.text, "p&q<r>A");
        assert_eq!(root.attributes, [("x:t".to_owned(), "1 < 2".to_owned())]);
        assert_eq!(root.child("b").map(|child| child.text.as_str()), Some(""));
    }

    #[test]
    fn refuses_what_is_no_plain_xml() {
        let refused = [
            "",
            "text",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>b",
            "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>",
            "<a>&e;</a>",
            "<a b='1' b='2'/>",
        ];
        for text in refused {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(&[b'<', 0xFF, b'>']).is_err());
        let deep = "<a>".repeat(100) + &"</a>".repeat(100);
        assert!(matches!(parse(deep.as_bytes()), Err(DecodeError::Limit { .. })));
    }
}
