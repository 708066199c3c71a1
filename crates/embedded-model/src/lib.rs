//! A small language model on the CPU: GGUF files of the Llama architecture with a byte-level BPE tokenizer, such as SmolLM2-135M-Instruct.
//!
//! What it is for: a laptop and a demo answer a real call with no GPU, no account and no server beside. What it is not: fast, or a replacement
//! for a model server; it knows one architecture, one kind of tokenizer, one chat template (ChatML) and the weight types that such files use.
//!
//! Own code instead of a framework: the forward pass of this one architecture is a few hundred lines; the frameworks that could run it bring
//! a hundred crates and minutes of compilation, which the default build does not pay for.
//!
//! Invariants:
//! 1. Every length, offset and count of a file is checked before it is believed; a file cannot make more memory than its own size accounts for.
//! 2. Texts of callers never become control tokens: those come from the template only.
//! 3. The same model, messages, parameters and seed give the same answer.
//!
//! Sources: the GGUF specification; "LLaMA: Open and Efficient Foundation Language Models"; GPT-2's tokenizer.

mod forward;
mod gguf;
mod sampling;
mod tensor;
mod tokenizer;

use std::sync::atomic::{AtomicUsize, Ordering};

pub use gguf::FileError;

use forward::{State, Weights};
use gguf::File;
use sampling::Sampler;
use tokenizer::{Decoder, Tokenizer};

/// Tokens of prompt and answer together, whatever the model could take: the memory of a call is bounded by it.
pub const CONTEXT_TOKENS_MAX: usize = 4_096;
/// Answers that are made at once.
pub const CONCURRENCY: usize = 2;
/// Longest answer when the caller names no limit.
const ANSWER_TOKENS: usize = 512;
const TEMPERATURE: f32 = 0.2;
const TOP_P: f32 = 0.9;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `system`, `user` or `assistant`.
    pub role: &'a str,
    pub text: &'a str,
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request<'a> {
    pub messages: Vec<Message<'a>>,
    /// The texts are gone on with as they stand, without a template.
    pub raw: bool,
    pub max_tokens: Option<usize>,
    /// 0 always takes the likeliest token; 0.2 unless given.
    pub temperature: Option<f32>,
    /// 0.9 unless given.
    pub top_p: Option<f32>,
    pub seed: Option<u64>,
    pub stop: Vec<&'a str>,
}

/// How an answer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    pub input_tokens: usize,
    pub output_tokens: usize,
    /// `max_tokens` or the context was used up.
    pub is_cut: bool,
    /// The stop sequence that was met.
    pub stop: Option<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    #[error("the prompt has {tokens} tokens, and the model takes {most}")]
    TooLong { tokens: usize, most: usize },
    #[error("the model has no chat template that is known here")]
    NoTemplate,
    #[error("`{0}` is not a role")]
    Role(String),
    #[error("the model is busy")]
    Busy,
}

/// A model that is ready.
pub struct Model {
    name: String,
    weights: Weights,
    tokenizer: Tokenizer,
    /// What a conversation without a system message begins with.
    default_system: Option<String>,
    context_tokens: usize,
    under_way: AtomicUsize,
}

/// Takes one of the places of a model while it lives.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Model {
    /// Reads a model from the bytes of its file.
    ///
    /// # Errors
    /// The file is damaged, or of an architecture, tokenizer or weight type that is not known here.
    pub fn read(bytes: &[u8]) -> Result<Self, FileError> {
        let file = File::read(bytes)?;
        let tokenizer = Tokenizer::read(&file)?;
        let weights = Weights::read(&file)?;
        if weights.vocabulary() != tokenizer.len() {
            return Err(FileError::Value("tokenizer.ggml.tokens"));
        }
        let template = file.text("tokenizer.chat_template").unwrap_or_default();
        let default_system = template
            .split_once("<|im_start|>system\\n")
            .or_else(|| template.split_once("<|im_start|>system\n"))
            .and_then(|(_, rest)| rest.split_once("<|im_end|>"))
            .map(|(text, _)| text.to_owned())
            .filter(|text| !text.contains(['{', '\'']));
        Ok(Self {
            name: file.text("general.name").unwrap_or("model").to_owned(),
            context_tokens: weights.context_tokens().min(CONTEXT_TOKENS_MAX),
            weights,
            tokenizer,
            default_system,
            under_way: AtomicUsize::new(0),
        })
    }

    /// The name that the file gives.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The prompt's tokens.
    fn prompt(&self, request: &Request<'_>) -> Result<Vec<u32>, GenerateError> {
        let mut tokens = Vec::new();
        if request.raw {
            for message in &request.messages {
                self.tokenizer.encode(message.text, &mut tokens);
            }
            return Ok(tokens);
        }
        let (Some(start), Some(end)) = (self.tokenizer.control("<|im_start|>"), self.tokenizer.control("<|im_end|>")) else {
            return Err(GenerateError::NoTemplate);
        };
        let mut say = |role: &str, text: &str| {
            tokens.push(start);
            self.tokenizer.encode(&format!("{role}\n{text}"), &mut tokens);
            tokens.push(end);
            self.tokenizer.encode("\n", &mut tokens);
        };
        if request.messages.first().is_none_or(|message| message.role != "system")
            && let Some(text) = &self.default_system
        {
            say("system", text);
        }
        for message in &request.messages {
            if !matches!(message.role, "system" | "user" | "assistant") {
                return Err(GenerateError::Role(message.role.to_owned()));
            }
            say(message.role, message.text);
        }
        tokens.push(start);
        self.tokenizer.encode("assistant\n", &mut tokens);
        Ok(tokens)
    }

    /// How many tokens a request's prompt has.
    pub fn count_tokens(&self, request: &Request<'_>) -> Result<usize, GenerateError> {
        self.prompt(request).map(|tokens| tokens.len())
    }

    /// Answers. `piece` gets each piece of text as soon as it cannot be part of a stop sequence any more; `false` from it ends the answer.
    ///
    /// # Errors
    /// The request cannot be answered by this model, or all its places are taken.
    pub fn generate(&self, request: &Request<'_>, piece: &mut dyn FnMut(&str) -> bool) -> Result<Ending, GenerateError> {
        let prompt = self.prompt(request)?;
        if prompt.is_empty() || prompt.len() >= self.context_tokens {
            return Err(GenerateError::TooLong { tokens: prompt.len(), most: self.context_tokens.saturating_sub(1) });
        }
        if self.under_way.fetch_add(1, Ordering::AcqRel) >= CONCURRENCY {
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            return Err(GenerateError::Busy);
        }
        let _place = Place(&self.under_way);
        let most = request.max_tokens.unwrap_or(ANSWER_TOKENS).min(self.context_tokens - prompt.len());
        let temperature = request.temperature.unwrap_or(TEMPERATURE);
        let top_p = request.top_p.unwrap_or(TOP_P);
        let mut sampler = Sampler::new(temperature, top_p, request.seed.unwrap_or_else(|| sampling::seed_of(&prompt)));
        let mut state = State::new(&self.weights);
        let mut ending = Ending { input_tokens: prompt.len(), ..Ending::default() };
        let Some((last, before)) = prompt.split_last() else { return Ok(ending) };
        for token in before {
            state.step(&self.weights, *token, false);
        }
        let mut outlet = Outlet { stops: &request.stop, held: String::new() };
        let mut decoder = Decoder::default();
        let mut token = *last;
        loop {
            if ending.output_tokens >= most {
                ending.is_cut = true;
                break;
            }
            let logits = state.step(&self.weights, token, true);
            token = sampler.choose(logits);
            ending.output_tokens += 1;
            if self.tokenizer.ends(token) {
                break;
            }
            let text = decoder.push(self.tokenizer.bytes(token));
            match outlet.push(&text) {
                Held::Stop(text, stop) => {
                    piece(&text);
                    ending.stop = Some(stop);
                    return Ok(ending);
                }
                Held::Show(text) => {
                    if !text.is_empty() && !piece(&text) {
                        return Ok(ending);
                    }
                }
            }
        }
        let rest = outlet.held + &decoder.finish();
        if !rest.is_empty() {
            piece(&rest);
        }
        Ok(ending)
    }
}

/// Holds back what may be the beginning of a stop sequence.
struct Outlet<'a> {
    stops: &'a [&'a str],
    held: String,
}

enum Held {
    Show(String),
    Stop(String, String),
}

impl Outlet<'_> {
    fn push(&mut self, text: &str) -> Held {
        self.held.push_str(text);
        let met = self.stops.iter().filter(|stop| !stop.is_empty());
        let met = met.filter_map(|stop| self.held.find(stop).map(|at| (at, *stop))).min_by_key(|(at, _)| *at);
        if let Some((at, stop)) = met {
            return Held::Stop(self.held.get(..at).unwrap_or_default().to_owned(), stop.to_owned());
        }
        let begins = |at: &usize| self.held.get(*at..).is_some_and(|tail| self.stops.iter().any(|stop| stop.starts_with(tail)));
        let keep_from = self.held.char_indices().map(|(at, _)| at).find(begins).unwrap_or(self.held.len());
        let kept = self.held.split_off(keep_from);
        Held::Show(std::mem::replace(&mut self.held, kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_stop_sequence_is_held() {
        let mut outlet = Outlet { stops: &["END"], held: String::new() };
        let mut shown = |text: &str| match outlet.push(text) {
            Held::Show(text) => text,
            Held::Stop(text, stop) => format!("{text}|{stop}"),
        };
        assert_eq!(shown("abE"), "ab");
        assert_eq!(shown("x"), "Ex");
        assert_eq!(shown("yEN"), "y");
        assert_eq!(shown("D more"), "|END");
    }
}
