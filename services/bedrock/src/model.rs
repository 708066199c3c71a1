//! What a model identifier names: the resources that a call is authorized for, and the upstream's model.

use plane::{Call, PARTITION, Target, audit};
use policy::MapContext;
use serde_json::{Value as Json, json};
use wire::Value;

use crate::guardrail::arn_of;
use crate::refusal::Refusal;

/// Resource types that a model ARN may name and that are a profile over models.
const PROFILES: [&str; 2] = ["inference-profile", "application-inference-profile"];

/// The ARN that a model identifier stands for: itself, or a foundation model's.
fn model_arn(call: &Call, model_id: &str) -> String {
    if model_id.starts_with("arn:") {
        return model_id.to_owned();
    }
    foundation_model_arn(&call.region, model_id)
}

/// ARN of a foundation model, which belongs to no account.
pub(crate) fn foundation_model_arn(region: &str, model_id: &str) -> String {
    format!("arn:{PARTITION}:bedrock:{region}::foundation-model/{model_id}")
}

/// Identifier and version of the guardrail that the input names, wherever the operation has it. Empty ones count as absent.
pub(crate) fn guardrail_of(input: &Value) -> (Option<&str>, Option<&str>) {
    let named = |nested: &str, flat: &str| {
        input.path(nested).or_else(|| input.member(flat)).and_then(Value::as_str).filter(|text| !text.is_empty())
    };
    (named("guardrailConfig.guardrailIdentifier", "guardrailIdentifier"), named("guardrailConfig.guardrailVersion", "guardrailVersion"))
}

/// A model call needs its model, and the guardrail that it names.
pub(crate) fn targets(call: &Call, input: &Value) -> Option<Vec<Target>> {
    let model_id = input.member("modelId").and_then(Value::as_str)?;
    let action = match call.operation.name {
        "Converse" | "InvokeModel" => "bedrock:InvokeModel",
        "ConverseStream" | "InvokeModelWithResponseStream" => "bedrock:InvokeModelWithResponseStream",
        _ => return None,
    };
    let mut targets = vec![Target { action: action.to_owned(), resource_arn: model_arn(call, model_id) }];
    if let (Some(identifier), _) = guardrail_of(input) {
        let resource_arn = arn_of(&call.region, &call.account, identifier);
        targets.push(Target { action: "bedrock:ApplyGuardrail".to_owned(), resource_arn });
    }
    Some(targets)
}

/// `bedrock:GuardrailIdentifier` is the guardrail's ARN, with `:VERSION` behind it unless it is the draft.
///
/// Source: Bedrock User Guide, "Set up permissions to use Amazon Bedrock Guardrails", policies that enforce a guardrail.
pub(crate) fn condition_keys(call: &Call, input: &Value, keys: &mut MapContext) {
    if input.member("modelId").is_none() {
        return;
    }
    if let (Some(identifier), version) = guardrail_of(input) {
        let arn = arn_of(&call.region, &call.account, identifier);
        let value = match version {
            Some(version) if version != "DRAFT" => format!("{arn}:{version}"),
            _ => arn,
        };
        keys.set("bedrock:GuardrailIdentifier", value);
    }
    let model_id = input.member("modelId").and_then(Value::as_str).unwrap_or_default();
    if resource_type(model_id).is_some_and(|kind| PROFILES.contains(&kind)) {
        keys.set("bedrock:InferenceProfileArn", model_id.to_owned());
    }
    let tier = input.path("serviceTier.type").or_else(|| input.member("serviceTier")).and_then(Value::as_str);
    keys.set("bedrock:ServiceTier", tier.unwrap_or("default").to_owned());
}

/// The type in an ARN of Bedrock's: `foundation-model` of `arn:aws:bedrock:REGION::foundation-model/ID`.
fn resource_type(arn: &str) -> Option<&str> {
    arn.splitn(6, ':').nth(5)?.split_once('/').map(|(kind, _)| kind)
}

/// The name that the upstream knows the model by.
pub(crate) fn upstream_name<'a>(region: &str, model_id: &'a str) -> Result<&'a str, Refusal> {
    if !model_id.starts_with("arn:") {
        return Ok(model_id);
    }
    let name = model_id.strip_prefix(&foundation_model_arn(region, "")).filter(|name| !name.is_empty());
    match resource_type(model_id) {
        Some("foundation-model") => name.ok_or(Refusal::Model),
        Some(kind @ ("inference-profile" | "application-inference-profile" | "provisioned-model" | "imported-model")) => {
            Err(Refusal::unsupported(format!("a model of type `{kind}`")))
        }
        _ => Err(Refusal::Model),
    }
}

/// Members outside the body, and the guardrail that a body names.
pub(crate) fn request_parameters(call: &Call, input: &Value) -> Json {
    let mut shown = match audit::elements_outside_body(call.service, call.operation.input, input) {
        Json::Object(members) => members,
        _ => serde_json::Map::new(),
    };
    // It may hold whatever the caller wants, and the event is not its place.
    shown.remove("requestMetadata");
    if input.member("guardrailConfig").is_some() {
        let (identifier, version) = guardrail_of(input);
        shown.insert("guardrailConfig".to_owned(), json!({ "guardrailIdentifier": identifier, "guardrailVersion": version }));
    }
    Json::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_by_its_id_or_its_arn() {
        assert_eq!(upstream_name("eu-west-1", "llama3.2:3b"), Ok("llama3.2:3b"));
        assert_eq!(upstream_name("eu-west-1", "arn:aws:bedrock:eu-west-1::foundation-model/llama3"), Ok("llama3"));
        assert_eq!(upstream_name("eu-west-1", "arn:aws:bedrock:us-east-1::foundation-model/llama3"), Err(Refusal::Model));
        assert_eq!(upstream_name("eu-west-1", "arn:aws:bedrock:eu-west-1::foundation-model/"), Err(Refusal::Model));
        let profile = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.x";
        assert!(matches!(upstream_name("eu-west-1", profile), Err(Refusal::Unsupported { .. })));
        assert_eq!(resource_type(profile), Some("inference-profile"));
    }
}
