//! Model servers' secrets, and what was used of models.

use plane::{ApiError, Call, Reply};
use serde_json::{Value as Json, json};
use wire::Value;

use crate::{host, reply, text};

pub(crate) async fn put_upstream_secret(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let host = host(cx)?;
    host.put_upstream_secret(&mut cx.tx, &text(&input, "Name"), &text(&input, "Value"))?;
    Ok(reply([]))
}

pub(crate) async fn delete_upstream_secret(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let (host, name) = (host(cx)?, text(&input, "Name"));
    if !host.delete_upstream_secret(&mut cx.tx, &name).await? {
        return Err(ApiError::new("ResourceNotFoundException", format!("there is no secret `{name}`")));
    }
    Ok(reply([]))
}

pub(crate) async fn list_upstream_secrets(cx: &mut Call, _: Value) -> Result<Reply, ApiError> {
    let names = host(cx)?.upstream_secrets(&mut cx.tx).await?;
    Ok(reply([("Names", Value::Document(json!(names)))]))
}

/// What the caller's account used.
pub(crate) async fn get_model_usage(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let (from, to) = (text(&input, "From"), text(&input, "To"));
    if from > to {
        return Err(ApiError::new("ValidationException", "the first day is after the last"));
    }
    let lines = host(cx)?.model_usage(&cx.account, &from, &to).await?;
    let line = |line: crate::UsageLine| {
        let tags: serde_json::Map<String, Json> = line.tags.into_iter().map(|(key, value)| (key, json!(value))).collect();
        json!({
            "day": line.day, "region": line.region, "principal": line.principal, "model": line.model, "tags": tags,
            "calls": line.calls, "inputTokens": line.input_tokens, "outputTokens": line.output_tokens, "costUsd": line.cost_usd,
        })
    };
    Ok(reply([("Usage", Value::Document(lines.into_iter().map(line).collect()))]))
}
