//! Tool calls of an answer: their arguments are screened where a guardrail looks at tools, and a call that follows untrusted text is held for
//! policy.
//!
//! Held means: the caller needs the permission `bailiwick:CallTool` on `arn:aws:bailiwick:REGION:ACCOUNT:tool/NAME`. Nothing allows it by default.
//! Policies may look at the arguments: `bailiwick:ToolArgument/city` is the argument `city`, `bailiwick:ToolArgument/to.name` one inside an
//! object, a list has many values. `bailiwick:Provenance` is `untrusted`. Arguments that cannot be shown to a policy in full are refused.

use std::sync::PoisonError;

use guard::{Action, Direction, Segment};
use plane::{ApiError, PARTITION};
use policy::MapContext;
use serde_json::{Value as Json, json};

use super::super::exchange::Answer;
use super::{Outcome, Screen, Screened, record, too_long};
use crate::upstream::chat::ChatToolCall;

/// Arguments of a call that a policy can look at.
const ARGUMENTS_MAX: usize = 200;
/// Nesting of arguments.
const DEPTH_MAX: usize = 16;
/// Texts in the arguments that are screened one by one; more are screened as one text.
const TEXTS_MAX: usize = 1_000;

impl Screen {
    /// Whether tool calls of an answer must be seen whole before they are shown.
    pub(crate) fn holds_tools(&self) -> bool {
        self.applied.iter().any(|applied| applied.scope.tools) || self.needs_permission()
    }

    fn needs_permission(&self) -> bool {
        self.context().is_tainted && self.applied.iter().any(|applied| applied.settings.hold_tools)
    }

    /// Screens a tool call and puts masks into its arguments.
    pub(crate) fn tool_call(&self, call: &mut ChatToolCall) -> Result<Screened, ApiError> {
        let mut screened = Screened::default();
        for (number, applied) in self.applied.iter().enumerate().filter(|(_, applied)| applied.scope.tools) {
            let mut arguments = parsed(&call.function.arguments);
            let texts = texts_of(&call.function.name, &arguments);
            let segments: Vec<Segment<'_>> = texts.iter().map(|text| Segment::of(text)).collect();
            let assessment = applied.guardrail.assess(Direction::Output, &segments).map_err(|error| too_long(&error))?;
            let mut note = record::screening(applied, Direction::Output, &segments, &assessment, &[]);
            if let Some(members) = note.as_object_mut() {
                members.insert("toolCallId".to_owned(), json!(call.id));
            }
            self.note(note);
            if assessment.action == Action::Intervened && !assessment.is_blocked {
                let mut masked = assessment.outputs.iter();
                if let Some(name) = masked.next() {
                    call.function.name.clone_from(name);
                }
                call.function.arguments = match &mut arguments {
                    Ok(json) => {
                        put_back(json, &mut masked, 0);
                        json.to_string()
                    }
                    Err(_) => masked.next().cloned().unwrap_or_default(),
                };
            }
            screened.add(Outcome { applied: number, direction: Some(Direction::Output), assessment, ..Outcome::default() });
        }
        if !screened.assessment.is_blocked && self.needs_permission() && !self.is_permitted(call) {
            screened.assessment.is_blocked = true;
            screened.assessment.action = Action::Intervened;
            screened.assessment.outputs = vec![self.blocked_message()];
        }
        Ok(screened)
    }

    /// Asks the caller's policies for a call that follows untrusted text.
    fn is_permitted(&self, call: &ChatToolCall) -> bool {
        let keys = keys(call);
        let (region, account) = &self.place;
        let arn = format!("arn:{PARTITION}:bailiwick:{region}:{account}:tool/{}", call.function.name);
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let permitted = match (&keys, standing.as_ref()) {
            (Some(keys), Some(standing)) => standing.allows("bailiwick:CallTool", &arn, keys),
            _ => false,
        };
        self.note(json!({
            "decision": if permitted { "PERMITTED" } else { "HELD" },
            "direction": "OUTPUT",
            "tool": arn,
            "toolCallId": call.id,
            "contentSha256": [record::hash(&call.function.arguments)],
            "reason": "the call follows untrusted text",
        }));
        permitted
    }

    /// The message in place of a call that was not permitted: that of the guardrail that holds tools.
    fn blocked_message(&self) -> String {
        let holding = self.applied.iter().find(|applied| applied.settings.hold_tools);
        holding.map(|applied| applied.guardrail.blocked_message(Direction::Output).to_owned()).unwrap_or_default()
    }

    /// Screens a whole answer, its text and its tool calls.
    pub(crate) fn answer(&self, mut answer: Answer, input: &Screened) -> Result<Answer, ApiError> {
        use super::super::exchange::Stop;
        answer.intervened = input.intervened();
        let text = answer.text.clone();
        let mut output = match &text {
            Some(text) => Some(self.run(Direction::Output, &[Segment::of(text)])?),
            None => None,
        };
        let mut blocked =
            output.as_ref().filter(|output| output.assessment.is_blocked).and_then(|output| output.assessment.outputs.first().cloned());
        if let Some(output) = output.as_ref().filter(|output| output.intervened()) {
            answer.text = output.assessment.outputs.first().cloned();
        }
        for call in answer.tool_calls.iter_mut().filter(|_| self.holds_tools()) {
            let found = self.tool_call(call)?;
            if found.assessment.is_blocked && blocked.is_none() {
                blocked = found.assessment.outputs.first().cloned();
            }
            output.get_or_insert_default().join(found);
        }
        let intervened = output.as_ref().is_some_and(Screened::intervened);
        answer.trace = self.trace(Some(input), output.as_ref(), text.as_deref().filter(|_| intervened));
        answer.intervened |= intervened;
        if let Some(message) = blocked {
            answer.text = Some(message);
            answer.tool_calls.clear();
        }
        // A masked answer that calls a tool goes on; the caller must see the call.
        if intervened && answer.tool_calls.is_empty() {
            answer.stop = Stop::Guardrail;
        }
        Ok(answer)
    }
}

/// Arguments as JSON, or as the text that they are.
fn parsed(arguments: &str) -> Result<Json, String> {
    serde_json::from_str(arguments).map_err(|_| arguments.to_owned())
}

/// The name of the tool, and every text and key of the arguments; arguments that are no JSON are one text.
fn texts_of(name: &str, arguments: &Result<Json, String>) -> Vec<String> {
    let mut texts = vec![name.to_owned()];
    match arguments {
        Ok(json) => collect(json, &mut texts, 0),
        Err(text) => texts.push(text.clone()),
    }
    texts
}

fn collect(json: &Json, texts: &mut Vec<String>, depth: usize) {
    match json {
        Json::String(text) if texts.len() < TEXTS_MAX && depth <= DEPTH_MAX => texts.push(text.clone()),
        Json::Array(items) if depth < DEPTH_MAX => items.iter().for_each(|item| collect(item, texts, depth + 1)),
        Json::Object(members) if depth < DEPTH_MAX => members.values().for_each(|value| collect(value, texts, depth + 1)),
        // Deeper, or too many, or a number: as it is written.
        Json::Null | Json::Bool(_) => {}
        other => texts.push(other.to_string()),
    }
}

/// Puts masked texts back in the order in which they were collected.
fn put_back<'t>(json: &mut Json, texts: &mut impl Iterator<Item = &'t String>, depth: usize) {
    match json {
        Json::Array(items) if depth < DEPTH_MAX => items.iter_mut().for_each(|item| put_back(item, texts, depth + 1)),
        Json::Object(members) if depth < DEPTH_MAX => members.values_mut().for_each(|value| put_back(value, texts, depth + 1)),
        Json::Null | Json::Bool(_) => {}
        other => {
            let before = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            if let Some(text) = texts.next().filter(|text| **text != before) {
                *other = Json::String(text.clone());
            }
        }
    }
}

/// The condition keys of a call; `None` when not all of the arguments can be shown.
fn keys(call: &ChatToolCall) -> Option<MapContext> {
    let text = call.function.arguments.trim();
    let arguments: Json = if text.is_empty() { json!({}) } else { serde_json::from_str(text).ok()? };
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in arguments.as_object()? {
        flatten(name, value, &mut found, 0)?;
    }
    let mut keys = MapContext::new();
    keys.set("bailiwick:Provenance", "untrusted".to_owned());
    keys.set("bailiwick:ToolName", call.function.name.clone());
    for (name, values) in found {
        keys.set_many(&format!("bailiwick:ToolArgument/{name}"), values);
    }
    Some(keys)
}

fn flatten(name: &str, value: &Json, found: &mut Vec<(String, Vec<String>)>, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX || found.len() >= ARGUMENTS_MAX {
        return None;
    }
    let scalar = |value: &Json| match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(_) | Json::Bool(_) => Some(value.to_string()),
        Json::Null => Some(String::new()),
        Json::Array(_) | Json::Object(_) => None,
    };
    match value {
        Json::Object(members) => members.iter().try_for_each(|(inner, value)| flatten(&format!("{name}.{inner}"), value, found, depth + 1)),
        Json::Array(items) => {
            let values: Option<Vec<String>> = items.iter().map(scalar).collect();
            found.push((name.to_owned(), values?));
            Some(())
        }
        other => {
            found.push((name.to_owned(), vec![scalar(other)?]));
            Some(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Trace;
    use super::*;
    use crate::guardrail::definition::tests::masking;
    use crate::guardrail::enforcement::Mode;
    use crate::guardrail::setting::Settings;
    use crate::upstream::chat::CalledFunction;

    fn call(arguments: &str) -> ChatToolCall {
        ChatToolCall {
            id: "t1".to_owned(),
            kind: "function".to_owned(),
            function: CalledFunction { name: "send".to_owned(), arguments: arguments.to_owned() },
        }
    }

    #[test]
    fn arguments_are_masked_and_blocked_behind_their_escapes() {
        let settings = Settings { screen_tools: Some(true), ..Settings::default() };
        let screen = Screen::for_test(&masking(), Trace::Enabled).with_settings(settings, Mode::Selective);
        let mut sent = call(r#"{"to":["a\u0040example.com"],"n":3}"#);
        let found = screen.tool_call(&mut sent).unwrap();
        assert!(found.intervened() && !found.assessment.is_blocked);
        assert_eq!(serde_json::from_str::<Json>(&sent.function.arguments).unwrap(), json!({ "to": ["{EMAIL}"], "n": 3 }));
        assert!(screen.tool_call(&mut call(r#"{"x":{"y":"f\u006frbidden"}}"#)).unwrap().assessment.is_blocked);
        assert!(screen.tool_call(&mut call("forbidden {")).unwrap().assessment.is_blocked);
    }

    #[test]
    fn what_follows_untrusted_text_is_held_without_a_permission() {
        let settings = Settings { hold_tools: true, ..Settings::default() };
        let screen = Screen::for_test(&masking(), Trace::Enabled).with_settings(settings, Mode::Selective);
        assert!(!screen.holds_tools(), "nothing untrusted was said");
        screen.context.lock().unwrap().is_tainted = true;
        assert!(screen.holds_tools());
        assert!(screen.tool_call(&mut call("{}")).unwrap().assessment.is_blocked, "nobody is asked, so nobody permits");
    }

    #[test]
    fn policies_see_all_arguments_or_none() {
        let keys = keys(&call(r#"{"to":{"name":"x"},"ids":[1,2]}"#)).unwrap();
        let text = format!("{keys:?}").to_lowercase();
        assert!(text.contains("toolargument/to.name") && text.contains("toolargument/ids"), "{text}");
        assert!(super::keys(&call(r#"{"a":[[1]]}"#)).is_none());
        assert!(super::keys(&call("[1]")).is_none());
        assert!(super::keys(&call("{")).is_none());
    }
}
