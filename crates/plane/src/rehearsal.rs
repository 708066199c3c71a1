//! Doing a call without doing it: what would the state be?

use std::sync::Arc;

use facts::{Operation, Protocol, Service, ShapeKind, catalog};
use serde_json::Value as Json;
use wire::{Struct, Value};

use crate::call::Call;
use crate::error::ApiError;
use crate::pipeline::Plane;
use crate::transaction::Transaction;
use crate::{authorize, reply};

/// The input of an operation whose members are texts and switches: what changes policies needs no others.
fn value(service: &'static Service, operation: &'static Operation, input: &Json) -> Result<Value, ApiError> {
    let invalid = |text: String| ApiError::new("ValidationException", text);
    let members = operation.input.map(|shape| service.members(shape)).unwrap_or_default();
    let given = input.as_object().ok_or_else(|| invalid("the input is a JSON object".to_owned()))?;
    let mut fields = Struct::new();
    for (name, json) in given {
        let member = members.iter().find(|member| member.name == name);
        let member = member.ok_or_else(|| invalid(format!("`{}` has no member `{name}`", operation.name)))?;
        let value = match (&service.shape(member.shape).kind, json) {
            (ShapeKind::String, Json::String(text)) => Value::Str(text.clone()),
            (ShapeKind::Boolean, Json::Bool(switch)) => Value::Bool(*switch),
            _ => return Err(invalid(format!("`{name}` is not of its type"))),
        };
        fields.set(member.name, value);
    }
    Ok(Value::Struct(fields))
}

impl Plane {
    /// Does an operation as the caller of another call, and leaves it uncommitted: the transaction shows the state as the call would leave it.
    /// It is checked and authorized like every call, since its answer tells what the call would tell; it leaves no event, since nothing happens.
    ///
    /// For operations that do no more than write records; whoever asks must know which those are. The input is JSON by the model's names.
    pub async fn rehearse(
        self: &Arc<Self>,
        asked_by: &Call,
        (service, operation): (&str, &str),
        region: &str,
        input: &Json,
    ) -> Result<Transaction, ApiError> {
        let unknown = || ApiError::new("ValidationException", format!("the operation `{service}:{operation}` is not known"));
        let facts = catalog().service(service).ok_or_else(unknown)?;
        let facts_of_operation = facts.operation(operation).ok_or_else(unknown)?;
        let position = if facts.head.global { Some(0) } else { self.regions.position(region) };
        let position = position.ok_or_else(|| ApiError::new("ValidationException", format!("the region `{region}` is not here")))?;
        let input = reply::checked(facts, facts_of_operation, value(facts, facts_of_operation, input)?)?;
        let mut call = Call::new(
            Arc::clone(self),
            facts,
            facts_of_operation,
            facts.head.protocols.first().copied().unwrap_or(Protocol::Json11),
            asked_by.request_id.clone(),
            Arc::clone(&asked_by.principal),
            self.regions.at(position)?.name.clone(),
            asked_by.now,
            Arc::clone(&asked_by.request),
            self.transaction(position),
        );
        authorize::authorize(&mut call, &input).await?;
        self.handle(&mut call, &input).await?;
        Ok(call.tx)
    }
}
