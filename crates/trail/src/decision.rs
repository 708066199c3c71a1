//! How a call was decided, as it goes into the call's entry: JSON that is written once, where it is known, and not looked into again. Who opens an entry
//! gets it as a value ([`crate::Entry::decision`]).

use serde::Serialize;
use serde_json::Value as Json;

use crate::json;

/// Decisions of one call that are kept beside the first (a batch may need thousands).
const FURTHER_MAX: usize = 100;

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// An object.
    json: Vec<u8>,
    /// What else the call needed, each a decision of its own.
    further: Vec<Vec<u8>>,
    is_denied: bool,
    denied_by: Option<String>,
}

impl Decision {
    /// A call that goes on. `note` is written as an object.
    pub fn allowed(note: &impl Serialize) -> Result<Self, serde_json::Error> {
        let mut json = Vec::with_capacity(1024);
        json::write(&mut json, note)?;
        Ok(Self { json, further: Vec::new(), is_denied: false, denied_by: None })
    }

    /// As its note says: `"allowed": false` is a refusal, `deniedBy` names the policy types that stood in the way.
    pub fn of(note: &Json) -> Result<Self, serde_json::Error> {
        let denied_by = note.pointer("/deniedBy/0").and_then(Json::as_str).map(str::to_owned);
        Ok(Self { is_denied: note.get("allowed") == Some(&Json::Bool(false)), denied_by, ..Self::allowed(note)? })
    }

    /// A policy refused the call.
    pub fn is_denied(&self) -> bool {
        self.is_denied
    }

    /// The policy type that the refusal is laid to.
    pub fn denied_by(&self) -> Option<&str> {
        self.denied_by.as_deref()
    }

    /// Adds what else the call needed, as far as there is room.
    pub fn add(&mut self, further: Self) {
        if self.further.len() < FURTHER_MAX {
            self.further.push(further.json);
        }
    }

    /// Writes it behind what is there.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.further.is_empty() {
            out.extend_from_slice(&self.json);
            return;
        }
        // One more member of the object.
        let members = self.json.strip_suffix(b"}").unwrap_or(&self.json);
        out.extend_from_slice(members);
        if members != b"{" {
            out.push(b',');
        }
        out.extend_from_slice(b"\"further\":[");
        for (number, decision) in self.further.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            out.extend_from_slice(decision);
        }
        out.extend_from_slice(b"]}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(decision: &Decision) -> Json {
        let mut out = b"before".to_vec();
        decision.write(&mut out);
        serde_json::from_slice(out.strip_prefix(b"before").unwrap()).unwrap()
    }

    #[test]
    fn a_decision_is_written_as_its_note() {
        let note = json!({ "allowed": false, "deniedBy": ["service control policy"], "why": "a \"quoted\" word\n" });
        let decision = Decision::of(&note).unwrap();
        assert_eq!(written(&decision), note);
        assert!(decision.is_denied());
        assert_eq!(decision.denied_by(), Some("service control policy"));
        let open = Decision::of(&json!({ "allowed": true })).unwrap();
        assert!(!open.is_denied() && open.denied_by().is_none());
    }

    #[test]
    fn what_else_was_needed_stands_beside_the_first() {
        let mut decision = Decision::of(&json!({ "allowed": true, "action": "s3:GetObject" })).unwrap();
        decision.add(Decision::of(&json!({ "allowed": true, "action": "kms:Decrypt" })).unwrap());
        decision.add(Decision::of(&json!({ "allowed": true })).unwrap());
        let expected = json!({ "allowed": true, "action": "s3:GetObject", "further": [{ "allowed": true, "action": "kms:Decrypt" }, { "allowed": true }] });
        assert_eq!(written(&decision), expected);
        for _ in 0..2 * FURTHER_MAX {
            decision.add(Decision::of(&json!({})).unwrap());
        }
        assert_eq!(written(&decision)["further"].as_array().unwrap().len(), FURTHER_MAX);
        let mut empty = Decision::of(&json!({})).unwrap();
        empty.add(Decision::of(&json!({})).unwrap());
        assert_eq!(written(&empty), json!({ "further": [{}] }));
    }
}
