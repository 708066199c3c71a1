//! A small XML tree that keeps what canonicalization needs, and exclusive canonicalization itself.
//!
//! Source: Exclusive XML Canonicalization 1.0; Canonical XML 1.0 for how nodes are written. Comments are left out, as both prescribe for the
//! form without comments.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// Characters of a document.
const TEXT_LIMIT: usize = 1_000_000;
const ELEMENTS: usize = 10_000;
const DEPTH: usize = 40;
const ATTRIBUTES: usize = 60;

/// The document is not one that is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the XML document cannot be read: {0}")]
pub struct XmlError(String);

fn unreadable(reason: impl Into<String>) -> XmlError {
    XmlError(reason.into())
}

/// A node of an element's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Element(Element),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    prefix: String,
    local: String,
    value: String,
}

/// An element with the namespaces that are in scope for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    prefix: String,
    pub(crate) local: String,
    pub(crate) namespace: String,
    /// Bindings in scope, inherited ones included; the default namespace under the empty prefix.
    scope: BTreeMap<String, String>,
    attributes: Vec<Attribute>,
    pub(crate) content: Vec<Node>,
}

impl Element {
    pub(crate) fn is(&self, namespace: &str, local: &str) -> bool {
        self.namespace == namespace && self.local == local
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.prefix.is_empty() && attribute.local == name)
            .map(|attribute| attribute.value.as_str())
    }

    pub(crate) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.content.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    pub(crate) fn children<'a>(&'a self, namespace: &'a str, local: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements().filter(move |child| child.is(namespace, local))
    }

    pub(crate) fn child(&self, namespace: &str, local: &str) -> Option<&Element> {
        self.elements().find(|child| child.is(namespace, local))
    }

    /// All text of the element itself, whatever comments stood between its parts.
    pub(crate) fn text(&self) -> String {
        let own = self.content.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        own.collect::<String>().trim().to_owned()
    }

    /// How many elements at and below this one bear an `ID` of this value.
    pub(crate) fn count_id(&self, id: &str) -> usize {
        let own = usize::from(self.attribute("ID") == Some(id));
        self.elements().fold(own, |count, child| count.saturating_add(child.count_id(id)))
    }

    /// The first element of a name at or below this one.
    pub(crate) fn descendant(&self, namespace: &str, local: &str) -> Option<&Element> {
        if self.is(namespace, local) {
            return Some(self);
        }
        self.elements().find_map(|child| child.descendant(namespace, local))
    }

    /// The element in its exclusive canonical form, as the root of what is written. Direct children that `without` names are left out;
    /// `inclusive` are prefixes that are written as the inclusive form would.
    pub(crate) fn canonical(&self, without: Option<(&str, &str)>, inclusive: &[&str]) -> String {
        let mut out = String::new();
        self.write(&mut out, &BTreeMap::new(), without, inclusive);
        out
    }

    fn write(&self, out: &mut String, rendered: &BTreeMap<String, String>, without: Option<(&str, &str)>, inclusive: &[&str]) {
        let mut rendered = rendered.clone();
        let mut declarations: BTreeMap<&str, &str> = BTreeMap::new();
        let used = std::iter::once(self.prefix.as_str())
            .chain(self.attributes.iter().map(|attribute| attribute.prefix.as_str()).filter(|prefix| !prefix.is_empty()));
        let listed = inclusive.iter().copied().map(|prefix| if prefix == "#default" { "" } else { prefix });
        for prefix in used.chain(listed.filter(|prefix| self.scope.contains_key(*prefix))) {
            if prefix == "xml" {
                continue;
            }
            let uri = self.scope.get(prefix).map_or("", String::as_str);
            let known = rendered.get(prefix).map_or("", String::as_str);
            if uri != known || (!uri.is_empty() && !rendered.contains_key(prefix)) {
                declarations.insert(prefix, uri);
            }
        }
        let name = qualified(&self.prefix, &self.local);
        out.push('<');
        out.push_str(&name);
        for (prefix, uri) in &declarations {
            let attribute = if prefix.is_empty() { " xmlns=\"".to_owned() } else { format!(" xmlns:{prefix}=\"") };
            out.push_str(&attribute);
            push_attribute(out, uri);
            out.push('"');
            rendered.insert((*prefix).to_owned(), (*uri).to_owned());
        }
        let mut attributes: Vec<&Attribute> = self.attributes.iter().collect();
        attributes.sort_by_key(|attribute| (self.uri_of(&attribute.prefix), attribute.local.as_str()));
        for attribute in attributes {
            out.push(' ');
            out.push_str(&qualified(&attribute.prefix, &attribute.local));
            out.push_str("=\"");
            push_attribute(out, &attribute.value);
            out.push('"');
        }
        out.push('>');
        for node in &self.content {
            match node {
                Node::Text(text) => push_text(out, text),
                Node::Element(child) if without.is_some_and(|(namespace, local)| child.is(namespace, local)) => {}
                Node::Element(child) => child.write(out, &rendered, None, inclusive),
            }
        }
        out.push_str("</");
        out.push_str(&name);
        out.push('>');
    }

    /// Namespace of an attribute's prefix; attributes without prefix have none.
    fn uri_of(&self, prefix: &str) -> &str {
        match prefix {
            "" => "",
            "xml" => "http://www.w3.org/XML/1998/namespace",
            _ => self.scope.get(prefix).map_or("", String::as_str),
        }
    }
}

fn qualified(prefix: &str, local: &str) -> String {
    if prefix.is_empty() { local.to_owned() } else { format!("{prefix}:{local}") }
}

fn push_text(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#xD;"),
            other => out.push(other),
        }
    }
}

fn push_attribute(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            other => out.push(other),
        }
    }
}

/// Reads a document. Document types are refused, and with them every entity but the five of XML itself.
pub(crate) fn parse(text: &str) -> Result<Element, XmlError> {
    if text.len() > TEXT_LIMIT {
        return Err(unreadable("it is too long"));
    }
    let mut reader = Reader::from_str(text.trim_start_matches('\u{FEFF}'));
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut elements = 0_usize;
    loop {
        let event = reader.read_event().map_err(|error| unreadable(error.to_string()))?;
        match event {
            Event::Start(ref start) | Event::Empty(ref start) => {
                elements = elements.saturating_add(1);
                if elements > ELEMENTS || open.len() >= DEPTH || root.is_some() {
                    return Err(unreadable("it has too many elements, levels or roots"));
                }
                let element = element(start, open.last())?;
                if matches!(event, Event::Start(_)) {
                    open.push(element);
                } else {
                    close(&mut open, &mut root, element);
                }
            }
            Event::End(_) => {
                let done = open.pop().ok_or_else(|| unreadable("an end tag has no start tag"))?;
                close(&mut open, &mut root, done);
            }
            Event::Text(text) => append(&mut open, &text.xml10_content())?,
            Event::CData(text) => append(&mut open, &text.xml10_content())?,
            Event::GeneralRef(reference) => append(&mut open, &resolve(&reference)?)?,
            Event::DocType(_) => return Err(unreadable("document type declarations are not allowed")),
            // A canonical form would have to write instructions; assertions have none.
            Event::PI(_) if !open.is_empty() => return Err(unreadable("processing instructions are not allowed")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof if open.is_empty() => return root.ok_or_else(|| unreadable("there is no element")),
            Event::Eof => return Err(unreadable("an element is not closed")),
        }
    }
}

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

fn element(start: &BytesStart<'_>, parent: Option<&Element>) -> Result<Element, XmlError> {
    let mut scope = parent.map(|parent| parent.scope.clone()).unwrap_or_default();
    let mut attributes = Vec::new();
    for (at, attribute) in start.attributes().enumerate() {
        if at >= ATTRIBUTES {
            return Err(unreadable("an element has too many attributes"));
        }
        let attribute = attribute.map_err(|error| unreadable(error.to_string()))?;
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|error| unreadable(error.to_string()))?;
        let (prefix, local) = split(attribute.key.as_ref());
        match (prefix, local) {
            ("", "xmlns") => {
                scope.insert(String::new(), value.into_owned());
            }
            ("xmlns", prefix) => {
                scope.insert(prefix.to_owned(), value.into_owned());
            }
            (prefix, local) => attributes.push(Attribute { prefix: prefix.to_owned(), local: local.to_owned(), value: value.into_owned() }),
        }
    }
    let name = start.name();
    let (prefix, local) = split(name.as_ref());
    let bound = |prefix: &str| prefix == "xml" || prefix.is_empty() || scope.contains_key(prefix);
    if !bound(prefix) || !attributes.iter().all(|attribute| bound(&attribute.prefix)) {
        return Err(unreadable("a prefix is not bound"));
    }
    let namespace = scope.get(prefix).cloned().unwrap_or_default();
    Ok(Element { prefix: prefix.to_owned(), local: local.to_owned(), namespace, scope, attributes, content: Vec::new() })
}

fn close(open: &mut [Element], root: &mut Option<Element>, done: Element) {
    match open.last_mut() {
        Some(parent) => parent.content.push(Node::Element(done)),
        None => *root = Some(done),
    }
}

fn append(open: &mut [Element], text: &str) -> Result<(), XmlError> {
    match open.last_mut() {
        Some(element) => {
            element.content.push(Node::Text(text.to_owned()));
            Ok(())
        }
        None if text.trim().is_empty() => Ok(()),
        None => Err(unreadable("text stands outside the root element")),
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, XmlError> {
    if let Some(letter) = reference.resolve_char_ref().map_err(|error| unreadable(error.to_string()))? {
        return Ok(letter.to_string());
    }
    let name: &str = reference;
    quick_xml::escape::resolve_predefined_entity(name).map(str::to_owned).ok_or_else(|| unreadable("an entity is not defined"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str, path: &[&str], inclusive: &[&str]) -> String {
        let root = parse(text).unwrap();
        let mut at = &root;
        for name in path {
            at = at.elements().find(|child| child.local == *name).unwrap();
        }
        at.canonical(None, inclusive)
    }

    #[test]
    fn only_used_namespaces_are_written() {
        // The example of Exclusive XML Canonicalization 1.0, section 2.2.
        let text = r#"<n0:pdu xmlns:n0="http://a.example" xmlns:n3="ftp://example.org"><n1:elem2 xmlns:n1="http://b.example"><n3:stuff xmlns:n3="ftp://example.org"/></n1:elem2></n0:pdu>"#;
        let expected = r#"<n1:elem2 xmlns:n1="http://b.example"><n3:stuff xmlns:n3="ftp://example.org"></n3:stuff></n1:elem2>"#;
        assert_eq!(canonical(text, &["elem2"], &[]), expected);
        let inclusive = r#"<n1:elem2 xmlns:n0="http://a.example" xmlns:n1="http://b.example"><n3:stuff xmlns:n3="ftp://example.org"></n3:stuff></n1:elem2>"#;
        assert_eq!(canonical(text, &["elem2"], &["n0"]), inclusive);
    }

    #[test]
    fn nodes_are_written_in_one_way() {
        let text = "<a b='2' a=\"1 &quot;&#10;\" xmlns='urn:x' xmlns:p='urn:a' p:z='3'><!-- c --><b xmlns=''/>&lt;&#13;]]&gt;<![CDATA[&]]>\r\n</a>";
        let expected =
            "<a xmlns=\"urn:x\" xmlns:p=\"urn:a\" a=\"1 &quot;&#xA;\" b=\"2\" p:z=\"3\"><b xmlns=\"\"></b>&lt;&#xD;]]&gt;&amp;\n</a>";
        assert_eq!(canonical(text, &[], &[]), expected);
    }

    #[test]
    fn what_could_hide_something_is_refused() {
        for text in ["<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "<a>&x;</a>", "<a/><b/>", "<p:a/>", "<a><?x y?></a>", "<a>", ""] {
            parse(text).unwrap_err();
        }
        let deep = "<a>".repeat(50) + &"</a>".repeat(50);
        parse(&deep).unwrap_err();
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "(<|>|/|a|b|:|=|\"|'| |&|;|xmlns|!|\\?|-){0,60}") {
            if let Ok(root) = parse(&text) {
                // The canonical form is a fixed point.
                let canonical = root.canonical(None, &[]);
                prop_assert_eq!(parse(&canonical).unwrap().canonical(None, &[]), canonical);
            }
        }
    }
}
