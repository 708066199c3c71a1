//! What of a prompt each guardrail looks at.
//!
//! The parts of a prompt have a provenance: the system prompt, tool definitions and the user may give instructions; documents (grounding sources)
//! and results of tools may not. The second kind is judged as data, where any instruction to the reader counts as an attack.

use std::sync::PoisonError;

use guard::{Direction, Provenance, Qualifier};
use plane::ApiError;
use serde_json::Value as Json;

use super::super::prompt::{Mark, Prompt};
use super::{Applied, Mode, Screen, Screened, spotlight};

/// For texts that the guardrail does not look at: they count, and are not changed.
const NOT_GUARDED: &[Qualifier] = &[Qualifier::Query];

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    System,
    Message,
    ToolResult,
    ToolArguments,
    ToolDefinition,
}

/// A text of a prompt with what it is.
struct Piece {
    text: String,
    place: Place,
    qualifiers: Option<Vec<Qualifier>>,
}

impl Piece {
    fn provenance(&self) -> Provenance {
        let is_source = self.qualifiers.as_ref().is_some_and(|qualifiers| qualifiers.contains(&Qualifier::GroundingSource));
        match self.place {
            // Definitions tell the model what to do with a tool: only attacks count in them, not every instruction.
            Place::System | Place::Message | Place::ToolArguments | Place::ToolDefinition if !is_source => Provenance::User,
            Place::System | Place::Message | Place::ToolArguments | Place::ToolDefinition | Place::ToolResult => Provenance::Data,
        }
    }
}

impl Screen {
    /// Screens a prompt, puts masks in place and, where that is asked for, marks what is untrusted.
    pub(crate) fn prompt(&self, prompt: &mut Prompt) -> Result<Screened, ApiError> {
        let pieces = pieces(prompt);
        self.remember(prompt, &pieces);
        let has_marks = pieces.iter().any(|piece| piece.place == Place::Message && piece.qualifiers.is_some());
        let texts = pieces.iter().map(|piece| piece.text.clone()).collect();
        let screened = self.run_each(Direction::Input, texts, |applied, place| {
            let piece = pieces.get(place)?;
            Some((guarded(applied, piece, has_marks)?, piece.provenance()))
        })?;
        if screened.assessment.is_blocked {
            return Ok(screened);
        }
        if screened.intervened() {
            put_back(prompt, &screened.assessment.outputs);
        }
        if let Some(mark) = &self.spotlight {
            spotlight::delimit(prompt, mark);
        }
        Ok(screened)
    }

    /// Keeps what the answer will be compared with.
    fn remember(&self, prompt: &Prompt, pieces: &[Piece]) {
        let texts = |wanted: &dyn Fn(&Piece) -> bool| -> Vec<String> {
            pieces.iter().filter(|piece| wanted(piece)).map(|piece| piece.text.clone()).collect()
        };
        let has = |piece: &Piece, qualifier: Qualifier| piece.qualifiers.as_ref().is_some_and(|qualifiers| qualifiers.contains(&qualifier));
        let system = texts(&|piece| piece.place == Place::System).join("\n");
        let mut query = texts(&|piece| has(piece, Qualifier::Query)).join("\n");
        if query.is_empty() && self.applied.iter().any(|applied| !applied.reasoning.is_empty()) {
            // Policies are asked with what the user last said as premises.
            let last = prompt.turns.iter().rev().find(|turn| turn.role == "user");
            let said = last.iter().flat_map(|turn| &turn.parts).map(|part| part.text.as_str());
            query = said.collect::<Vec<_>>().join("\n");
        }
        let mut context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        context.system_prompt = (!system.is_empty()).then_some(system);
        context.sources = texts(&|piece| has(piece, Qualifier::GroundingSource));
        context.query = query;
        let has_documents = prompt.turns.iter().any(|turn| !turn.media.is_empty());
        context.is_tainted =
            has_documents || pieces.iter().any(|piece| piece.place == Place::ToolResult || has(piece, Qualifier::GroundingSource));
    }
}

/// The texts of a prompt, in an order that [`put_back`] keeps.
fn pieces(prompt: &Prompt) -> Vec<Piece> {
    let mut found = Vec::new();
    for turn in &prompt.turns {
        let place = match turn.role {
            "system" => Place::System,
            "tool" => Place::ToolResult,
            _ => Place::Message,
        };
        for part in &turn.parts {
            let qualifiers = if let Mark::Guarded(qualifiers) = &part.mark { Some(qualifiers.clone()) } else { None };
            found.push(Piece { text: part.text.clone(), place, qualifiers });
        }
        for call in &turn.tool_calls {
            found.push(Piece { text: call.function.arguments.clone(), place: Place::ToolArguments, qualifiers: None });
        }
    }
    for tool in prompt.request.tools.iter().flatten() {
        let text = serde_json::to_string(&tool.function).unwrap_or_default();
        found.push(Piece { text, place: Place::ToolDefinition, qualifiers: None });
    }
    let request = &prompt.request;
    let parameters = request.tool_choice.iter().chain(&request.response_format).chain(request.further.values());
    for parameter in parameters.filter(|parameter| has_words(parameter)) {
        found.push(Piece { text: parameter.to_string(), place: Place::ToolDefinition, qualifiers: None });
    }
    found
}

/// Whether a parameter that a server may show its model (the form of the answer, the choice of a tool, what is passed on without being known here) has words
/// in it. Names of levels and modes say nothing to a model; sentences do.
fn has_words(parameter: &Json) -> bool {
    let is_long = |text: &str| text.len() > 32 || text.contains(char::is_whitespace);
    match parameter {
        Json::String(text) => is_long(text),
        Json::Array(items) => items.iter().any(has_words),
        Json::Object(members) => members.iter().any(|(name, value)| is_long(name) || has_words(value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

/// Whether a guardrail looks at a piece, and as what; `None` leaves it out altogether, as AWS does with what belongs to tools.
fn guarded<'p>(applied: &Applied, piece: &'p Piece, has_marks: bool) -> Option<&'p [Qualifier]> {
    const AND_GUARDED: [&[Qualifier]; 4] = [
        &[Qualifier::GuardContent],
        &[Qualifier::GroundingSource, Qualifier::GuardContent],
        &[Qualifier::Query, Qualifier::GuardContent],
        &[Qualifier::GroundingSource, Qualifier::Query, Qualifier::GuardContent],
    ];
    let scope = applied.scope;
    let mode = match piece.place {
        Place::System => scope.system,
        Place::Message => scope.messages,
        Place::ToolResult | Place::ToolArguments | Place::ToolDefinition => return scope.tools.then_some(&[]),
    };
    match (&piece.qualifiers, mode) {
        (Some(qualifiers), Mode::Selective) => Some(qualifiers),
        (None, Mode::Comprehensive) => Some(&[]),
        (Some(qualifiers), Mode::Comprehensive) => {
            let has = |qualifier| usize::from(qualifiers.contains(&qualifier));
            AND_GUARDED.get(has(Qualifier::GroundingSource) + 2 * has(Qualifier::Query)).copied()
        }
        (None, Mode::Selective) if piece.place == Place::Message && !has_marks => Some(&[]),
        (None, Mode::Selective) => Some(NOT_GUARDED),
    }
}

/// Puts screened texts where they came from.
fn put_back(prompt: &mut Prompt, texts: &[String]) {
    let mut texts = texts.iter();
    for turn in &mut prompt.turns {
        for part in &mut turn.parts {
            if let Some(text) = texts.next() {
                prompt.replaced.note(&part.text, text);
                part.text.clone_from(text);
            }
        }
        for call in &mut turn.tool_calls {
            if let Some(text) = texts.next() {
                call.function.arguments.clone_from(text);
            }
        }
    }
    for tool in prompt.request.tools.iter_mut().flatten() {
        // A mask that breaks the definition's JSON leaves the definition out: a tool without a description can still be called.
        let masked = texts.next().and_then(|text| serde_json::from_str(text).ok());
        match masked {
            Some(function) => tool.function = function,
            None => tool.function.description = None,
        }
    }
    let request = &mut prompt.request;
    let parameters = request.tool_choice.iter_mut().chain(&mut request.response_format).chain(request.further.values_mut());
    for parameter in parameters.filter(|parameter| has_words(parameter)) {
        // As above.
        *parameter = texts.next().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Trace;
    use super::*;
    use crate::guardrail::definition::tests::masking;
    use crate::guardrail::setting::Settings;
    use crate::runtime::prompt::{Part, Turn};

    fn turn(role: &'static str, text: &str, mark: Mark) -> Turn {
        Turn { role, parts: vec![Part { text: text.to_owned(), mark }], ..Turn::default() }
    }

    fn texts(prompt: &Prompt) -> Vec<&str> {
        prompt.turns.iter().flat_map(|turn| &turn.parts).map(|part| part.text.as_str()).collect()
    }

    fn conversation() -> Prompt {
        Prompt {
            turns: vec![
                turn("system", "mail a@example.com", Mark::Exempt),
                turn("user", "mail b@example.com", Mark::Unmarked),
                turn("user", "mail c@example.com", Mark::Guarded(Vec::new())),
                turn("tool", "mail d@example.com", Mark::Exempt),
            ],
            ..Prompt::default()
        }
    }

    #[test]
    fn an_enforced_guardrail_looks_at_everything() {
        let settings = Settings { screen_tools: Some(true), ..Settings::default() };
        let screen = Screen::for_test(&masking(), Trace::Enabled).with_settings(settings, Mode::Comprehensive);
        let mut prompt = conversation();
        screen.prompt(&mut prompt).unwrap();
        assert_eq!(texts(&prompt), ["mail {EMAIL}"; 4]);
    }

    #[test]
    fn results_of_tools_are_screened_when_asked_for() {
        let mut prompt = conversation();
        Screen::for_test(&masking(), Trace::Enabled).prompt(&mut prompt).unwrap();
        assert_eq!(texts(&prompt), ["mail a@example.com", "mail b@example.com", "mail {EMAIL}", "mail d@example.com"]);
        let settings = Settings { screen_tools: Some(true), spotlight: true, ..Settings::default() };
        let screen = Screen::for_test(&masking(), Trace::Enabled).with_settings(settings, Mode::Selective);
        let mut prompt = conversation();
        screen.prompt(&mut prompt).unwrap();
        assert_eq!(texts(&prompt).last(), Some(&"<untrusted-mark>\nmail {EMAIL}\n</untrusted-mark>"));
        assert!(screen.context().is_tainted);
    }
}
