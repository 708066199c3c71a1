//! The names under `AWS` of a policy with principals, in their places.
//!
//! AWS stores the unique id of a user or role in place of its ARN, and shows the ARN again while its owner exists, so
//! that a grant ends with whom it was given to (IAM User Guide, "AWS JSON policy elements: Principal"). Who has which
//! id is for the caller to know; this only finds the names and exchanges them, and leaves the rest of the text as it is.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::json::{self, Json, Node, Position};

/// Each distinct name under `AWS` in a `Principal` or `NotPrincipal`, in order; none if the text is no policy.
pub fn principal_names(text: &str) -> Vec<String> {
    let Ok(root) = json::parse(text) else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    for name in nodes(&root).filter_map(Node::as_str) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The text with those names exchanged for which `replacements` has another; all other bytes stay.
pub fn with_principal_names(text: &str, replacements: &BTreeMap<String, String>) -> String {
    if replacements.is_empty() {
        return text.to_owned();
    }
    let Ok(root) = json::parse(text) else { return text.to_owned() };
    let mut places: Vec<(Position, Position, &str)> =
        nodes(&root).filter_map(|node| Some((node.span.start, node.span.end, replacements.get(node.as_str()?)?.as_str()))).collect();
    // Elements may stand in any order in the text; the offsets are found in one pass.
    places.sort_unstable_by_key(|(start, _, _)| *start);
    let mut offsets = Offsets::new(text);
    let mut changed = String::with_capacity(text.len());
    let mut copied = 0;
    for (start, end, name) in places {
        let Range { start, end } = offsets.of(start)..offsets.of(end);
        changed.push_str(text.get(copied..start).unwrap_or_default());
        changed.push_str(&serde_json::Value::from(name).to_string());
        copied = end;
    }
    changed.push_str(text.get(copied..).unwrap_or_default());
    changed
}

/// The strings under `AWS`.
fn nodes(root: &Node) -> impl Iterator<Item = &Node> {
    let statements = root.get("Statement").map_or(&[][..], Node::one_or_many);
    statements
        .iter()
        .flat_map(|statement| [statement.get("Principal"), statement.get("NotPrincipal")])
        .filter_map(|element| element?.get("AWS"))
        .flat_map(Node::one_or_many)
        .filter(|node| matches!(node.value, Json::String(_)))
}

/// Byte offsets of positions that are asked for in ascending order.
struct Offsets<'a> {
    text: &'a str,
    chars: std::str::CharIndices<'a>,
    at: Position,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, chars: text.char_indices(), at: Position { line: 1, column: 1 } }
    }

    fn of(&mut self, wanted: Position) -> usize {
        while self.at < wanted {
            match self.chars.next() {
                Some((_, '\n')) => self.at = Position { line: self.at.line.saturating_add(1), column: 1 },
                Some(_) => self.at.column = self.at.column.saturating_add(1),
                None => return self.text.len(),
            }
        }
        self.chars.offset()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: &str = "arn:aws:iam::111111111111:user/ana";
    const POLICY: &str = r#"{ "Statement": [
  {"Condition":{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:user/ana"}},
   "Principal":{"Service":"ec2.amazonaws.com", "AWS":["arn:aws:iam::111111111111:user/ana","*"]},"Sid":"é"},
  {"Principal":"*"},
  {"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111111111111:user\/ana"}}], "Id":"arn:aws:iam::111111111111:user/ana"}"#;

    #[test]
    fn names_are_found_in_principals_only() {
        assert_eq!(principal_names(POLICY), [ANA, "*"]);
        assert!(principal_names("{").is_empty() && principal_names(r#"{"Statement":[{"Principal":{"AWS":[1,null]}}]}"#).is_empty());
    }

    #[test]
    fn names_are_exchanged_in_their_place_and_all_else_stays() {
        let by = BTreeMap::from([(ANA.to_owned(), "AIDA1".to_owned())]);
        let expected = POLICY
            .replace(&format!(r#""AWS":["{ANA}""#), r#""AWS":["AIDA1""#)
            .replace(r#"{"AWS":"arn:aws:iam::111111111111:user\/ana"}"#, r#"{"AWS":"AIDA1"}"#);
        assert_eq!(with_principal_names(POLICY, &by), expected);
        let back = BTreeMap::from([("AIDA1".to_owned(), ANA.to_owned())]);
        assert_eq!(with_principal_names(&expected, &back), POLICY.replace("\\/", "/"));
        assert_eq!(with_principal_names(POLICY, &BTreeMap::new()), POLICY);
        assert_eq!(with_principal_names("{", &by), "{");
    }

    proptest::proptest! {
        #[test]
        fn any_names_at_any_places_come_back(names in proptest::collection::vec("[a-zé\"\\\\\n*]{0,8}", 0..6)) {
            let text = serde_json::to_string_pretty(&serde_json::json!({"Statement": {"Principal": {"AWS": names}}})).unwrap();
            let found = principal_names(&text);
            let by: BTreeMap<String, String> = found.iter().enumerate().map(|(at, name)| (name.clone(), format!("AROA{at}"))).collect();
            let back: BTreeMap<String, String> = by.iter().map(|(name, id)| (id.clone(), name.clone())).collect();
            let stored = with_principal_names(&text, &by);
            proptest::prop_assert!(principal_names(&stored).iter().all(|name| name.starts_with("AROA")));
            proptest::prop_assert_eq!(with_principal_names(&stored, &back), text);
        }
    }
}
