//! Model calls.
//!
//! A call becomes a [`prompt::Prompt`], whichever operation it came by; the [`exchange`] screens it, asks the upstream and screens the answer;
//! each operation writes the [`exchange::Answer`] in its own form. Streams go through [`stream`].

mod anthropic;
pub(crate) mod apply_guardrail;
pub(crate) mod converse;
pub(crate) mod converse_stream;
mod exchange;
pub(crate) mod guardrail_checks;
pub(crate) mod invoke;
mod openai;
mod prompt;
mod screen;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use guard::Guardrail;
use plane::{ApiError, Call};

use crate::RUNTIME;
use crate::guardrail::definition::Definition;
use crate::model::upstream_name;
use crate::refusal::Refusal;
use crate::upstream::{Gateway, Upstream};

/// Compiled guardrails that are kept.
const COMPILED: usize = 64;

/// What lives as long as the process.
pub(crate) struct State {
    pub(crate) upstream: Gateway,
    /// By the hash of the definition. A call gets here only after it has read (and, under a KMS key, opened) the definition itself.
    compiled: Mutex<HashMap<Vec<u8>, Arc<Guardrail>>>,
}

impl State {
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self { upstream: Gateway::new(upstream), compiled: Mutex::default() }
    }

    /// The engine for a definition.
    fn guardrail(&self, definition: &Definition) -> Result<Arc<Guardrail>, ApiError> {
        let hash = digest(&SHA256, &serde_json::to_vec(definition)?).as_ref().to_vec();
        if let Some(guardrail) = self.compiled.lock().unwrap_or_else(PoisonError::into_inner).get(&hash) {
            return Ok(Arc::clone(guardrail));
        }
        let guardrail = Arc::new(definition.compile()?);
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.len() >= COMPILED {
            compiled.clear();
        }
        compiled.insert(hash, Arc::clone(&guardrail));
        Ok(guardrail)
    }

    /// The upstream's name of a model that it offers.
    async fn model(&self, region: &str, model_id: &str) -> Result<String, ApiError> {
        let name = upstream_name(region, model_id)?;
        if self.upstream.offers(name).await? {
            return Ok(name.to_owned());
        }
        Err(if model_id.starts_with("arn:") { Refusal::ModelNotFound } else { Refusal::Model }.into())
    }
}

/// The state, from a call of either service.
pub(crate) fn state(cx: &Call) -> Result<Arc<State>, ApiError> {
    cx.plane.extension::<State>(RUNTIME).ok_or_else(|| ApiError::internal(&"the Bedrock runtime is not there"))
}

/// Milliseconds since `start`.
fn elapsed_ms(start: std::time::Instant) -> i64 {
    i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX)
}
