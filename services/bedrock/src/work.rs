//! What the process does for Bedrock beside calls: deliveries, counts, invocations that were left behind, metrics.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use plane::{ApiError, Plane};

use crate::customization::unloading;
use crate::runtime::{State, async_invoke};
use crate::usage::ledger::{self, UsageLine};
use crate::{RUNTIME, batch, invocation_log};

fn state(plane: &Plane) -> Result<Arc<State>, ApiError> {
    plane.extension::<State>(RUNTIME).ok_or_else(|| ApiError::internal(&"the Bedrock runtime is not there"))
}

/// Delivers the invocation log of a region and does the asynchronous invocations, batch jobs and unloadings that are due.
pub async fn deliver(plane: &Arc<Plane>, position: usize) -> Result<(), ApiError> {
    let state = state(plane)?;
    let delivered = invocation_log::delivery::deliver(plane, &state, position).await;
    batch::run::run_due(plane, position).await?;
    async_invoke::run_due(plane, position).await?;
    unloading::run_due(plane, &state, position).await?;
    delivered
}

/// Adds what was used to the store.
pub async fn flush_usage(plane: &Arc<Plane>) -> Result<(), ApiError> {
    let state = state(plane)?;
    state.ledger.flush(plane).await?;
    state.budgets.flush(plane).await
}

/// What an account used in a region, from the first day to the last (`2026-11-28`).
pub async fn usage_of(plane: &Arc<Plane>, account: &str, region: &str, from: &str, to: &str) -> Result<Vec<UsageLine>, ApiError> {
    state(plane)?.ledger.flush(plane).await?;
    ledger::usage_of(plane, account, region, from, to).await
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
}

/// Lines for the metrics page. They name models, upstreams and budgets, never who calls.
pub fn metrics(plane: &Plane) -> String {
    let Ok(state) = state(plane) else { return String::new() };
    let mut text = String::new();
    for (name, kind, help) in [
        ("model_calls_total", "counter", "Model calls by model."),
        ("model_tokens_total", "counter", "Tokens by model and direction."),
        ("model_cost_usd_total", "counter", "Cost by model, by the configured prices."),
        ("upstream_up", "gauge", "Whether a model server is in use."),
        ("upstream_calls_total", "counter", "Tries on a model server by outcome."),
        ("upstream_under_way", "gauge", "Calls under way on a model server."),
        ("invocation_log_dropped_total", "counter", "Entries of the invocation log that could not be kept."),
        ("budget_tokens", "gauge", "Tokens used of a budget in its period."),
        ("budget_cost_usd", "gauge", "Dollars used of a budget in its period."),
    ] {
        let _ = writeln!(text, "# HELP bailiwick_{name} {help}\n# TYPE bailiwick_{name} {kind}");
        match name {
            "model_calls_total" | "model_tokens_total" | "model_cost_usd_total" => {
                for (model, count) in state.ledger.by_model() {
                    let model = label(&model);
                    let _ = match name {
                        "model_calls_total" => writeln!(text, "bailiwick_{name}{{model=\"{model}\"}} {}", count.calls),
                        "model_cost_usd_total" => writeln!(text, "bailiwick_{name}{{model=\"{model}\"}} {}", count.cost_usd),
                        _ => writeln!(
                            text,
                            "bailiwick_{name}{{model=\"{model}\",direction=\"input\"}} {}\nbailiwick_{name}{{model=\"{model}\",direction=\"output\"}} {}",
                            count.input_tokens, count.output_tokens
                        ),
                    };
                }
            }
            "invocation_log_dropped_total" => {
                let _ = writeln!(text, "bailiwick_{name} {}", state.log.dropped.load(Ordering::Relaxed));
            }
            "budget_tokens" | "budget_cost_usd" => {
                for (budget, period, tokens, cost) in state.budgets.standings() {
                    let value = if name == "budget_tokens" { tokens } else { cost };
                    let _ = writeln!(text, "bailiwick_{name}{{budget=\"{}\",period=\"{period}\"}} {value}", label(&budget));
                }
            }
            _ => {
                for server in state.gateway.servers() {
                    let upstream = label(&server.settings.name);
                    let _ = match name {
                        "upstream_up" => writeln!(text, "bailiwick_{name}{{upstream=\"{upstream}\"}} {}", u8::from(server.is_well())),
                        "upstream_under_way" => writeln!(text, "bailiwick_{name}{{upstream=\"{upstream}\"}} {}", server.under_way()),
                        _ => writeln!(
                            text,
                            "bailiwick_{name}{{upstream=\"{upstream}\",outcome=\"answered\"}} {}\nbailiwick_{name}{{upstream=\"{upstream}\",outcome=\"failed\"}} {}",
                            server.answered.load(Ordering::Relaxed),
                            server.failed.load(Ordering::Relaxed)
                        ),
                    };
                }
            }
        }
    }
    text
}
