//! Model calls.
//!
//! A call becomes a [`prompt::Prompt`], whichever operation it came by; it is admitted ([`admission`]), the [`exchange`] screens it, asks the
//! upstream and screens the answer; each operation writes the [`exchange::Answer`] in its own form. Streams go through [`stream`].

pub(crate) mod admission;
mod anthropic;
pub(crate) mod apply_guardrail;
pub(crate) mod async_invoke;
pub(crate) mod converse;
pub(crate) mod converse_stream;
pub(crate) mod count_tokens;
mod dialect;
pub(crate) mod dialog;
mod embedding;
pub(crate) mod exchange;
pub(crate) mod guardrail_checks;
pub(crate) mod invoke;
pub(crate) mod model_call;
mod nova;
mod openai;
mod prompt;
mod screen;
mod stream;
mod text_form;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use guard::Guardrail;
use plane::{ApiError, Call};
use tokio::sync::Semaphore;

use crate::RUNTIME;
use crate::guardrail::definition::Definition;
use crate::invocation_log::InvocationLog;
use crate::upstream::fault::too_many_tokens;
use crate::upstream::gateway::Gateway;
use crate::upstream::local::LocalModel;
use crate::upstream::settings::{LimitSettings, ModelSettings};
use crate::usage::budget::Budgets;
use crate::usage::ledger::Ledger;
use crate::usage::limit::{Limiter, Taken};

/// Compiled guardrails that are kept.
const COMPILED: usize = 64;
/// Batch inference jobs in progress in a process.
const BATCH_JOBS: usize = 4;

/// The rate of a provisioned throughput.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Throughput {
    pub(crate) arn: String,
    pub(crate) tokens_per_minute: u64,
}

/// What lives as long as the process.
pub(crate) struct State {
    pub(crate) gateway: Gateway,
    pub(crate) limiter: Limiter,
    pub(crate) budgets: Budgets,
    pub(crate) ledger: Ledger,
    pub(crate) log: InvocationLog,
    /// The member of a request's metadata that names the person it is about.
    pub(crate) data_subject_key: Option<String>,
    /// Batch inference jobs that may be in progress at once; others wait.
    pub(crate) batch_turns: Semaphore,
    /// A limiter for each rate that was provisioned; who shares a throughput shares its measure.
    throughputs: Mutex<HashMap<u64, Arc<Limiter>>>,
    /// By the hash of the definition. A call gets here only after it has read (and, under a KMS key, opened) the definition itself.
    compiled: Mutex<HashMap<Vec<u8>, Arc<Guardrail>>>,
}

impl State {
    pub(crate) fn new(settings: ModelSettings, local: Vec<Arc<dyn LocalModel>>) -> Self {
        Self {
            limiter: Limiter::new(settings.limits.clone()),
            budgets: Budgets::new(settings.budgets.clone()),
            ledger: Ledger::default(),
            log: InvocationLog::default(),
            data_subject_key: settings.data_subject_key.clone(),
            batch_turns: Semaphore::new(BATCH_JOBS),
            throughputs: Mutex::default(),
            compiled: Mutex::default(),
            gateway: Gateway::new(settings, local),
        }
    }

    fn throughput_limiter(&self, tokens_per_minute: u64) -> Arc<Limiter> {
        let mut throughputs = self.throughputs.lock().unwrap_or_else(PoisonError::into_inner);
        let limiter = throughputs.entry(tokens_per_minute).or_insert_with(|| {
            let limit = LimitSettings {
                principal: "*".to_owned(),
                model: "*".to_owned(),
                requests_per_minute: None,
                tokens_per_minute: Some(tokens_per_minute),
                concurrency: None,
            };
            Arc::new(Limiter::new(vec![limit]))
        });
        Arc::clone(limiter)
    }

    /// Takes a call's share of a provisioned throughput.
    pub(crate) fn take_throughput(&self, throughput: &Throughput, tokens: u64, now_ms: i64) -> Result<(Taken, u64), ApiError> {
        if tokens > throughput.tokens_per_minute {
            return Err(too_many_tokens());
        }
        let taken = self.throughput_limiter(throughput.tokens_per_minute).take(&throughput.arn, "", tokens, now_ms)?;
        Ok((taken, throughput.tokens_per_minute))
    }

    pub(crate) fn settle_throughput(&self, taken: &(Taken, u64), used: u64) {
        self.throughput_limiter(taken.1).settle(&taken.0, used);
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
}

/// The state, from a call of either service.
pub(crate) fn state(cx: &Call) -> Result<Arc<State>, ApiError> {
    cx.plane.extension::<State>(RUNTIME).ok_or_else(|| ApiError::internal(&"the Bedrock runtime is not there"))
}

/// Milliseconds since `start`.
fn elapsed_ms(start: std::time::Instant) -> i64 {
    i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX)
}
