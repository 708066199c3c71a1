//! What a model identifier names: the resources that a call is authorized for, and where the call goes.

use plane::{ApiError, Call, PARTITION, Target, audit};
use policy::MapContext;
use serde_json::{Value as Json, json};
use wire::Value;

use crate::customization::deployment::Deployment;
use crate::guardrail::arn_of;
use crate::imported_model::ImportedModel;
use crate::inference_profile::Profile;
use crate::provisioned_throughput::Provisioned;
use crate::refusal::Refusal;
use crate::runtime::{self, State, Throughput};
use crate::upstream::gateway::Route;

/// A model identifier, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A foundation model, by its identifier.
    Foundation(String),
    /// A system-defined inference profile, by its identifier.
    SystemProfile(String),
    /// Resources of the caller's account, by their ids.
    ApplicationProfile(String),
    Provisioned(String),
    Imported(String),
    Deployment(String),
}

/// ARN of a foundation model, which belongs to no account.
pub(crate) fn foundation_model_arn(region: &str, model_id: &str) -> String {
    format!("arn:{PARTITION}:bedrock:{region}::foundation-model/{model_id}")
}

/// ARN of a resource of an account.
pub(crate) fn resource_arn(region: &str, account: &str, kind: &str, id: &str) -> String {
    format!("arn:{PARTITION}:bedrock:{region}:{account}:{kind}/{id}")
}

/// The type and id in an ARN of Bedrock's, of this region and either of no account or of this one.
fn local_parts<'a>(region: &str, account: &str, arn: &'a str) -> Option<(&'a str, &'a str)> {
    let rest = arn.strip_prefix(&format!("arn:{PARTITION}:bedrock:{region}:"))?;
    let (owner, resource) = rest.split_once(':')?;
    let (kind, id) = resource.split_once('/')?;
    let is_ours = if kind == "foundation-model" { owner.is_empty() } else { owner == account };
    (is_ours && !id.is_empty()).then_some((kind, id))
}

/// What an identifier names. `is_profile`: whether a system-defined profile has that identifier.
pub(crate) fn parse(region: &str, account: &str, model_id: &str, is_profile: impl Fn(&str) -> bool) -> Result<Named, Refusal> {
    if !model_id.starts_with("arn:") {
        let id = model_id.to_owned();
        return Ok(if is_profile(model_id) { Named::SystemProfile(id) } else { Named::Foundation(id) });
    }
    let Some((kind, id)) = local_parts(region, account, model_id) else {
        let is_ours = model_id.split(':').nth(2) == Some("bedrock");
        let is_owned = model_id.split(':').nth(4).is_some_and(|owner| !owner.is_empty());
        return Err(if is_ours && is_owned { Refusal::ModelNotFound } else { Refusal::Model });
    };
    let id = id.to_owned();
    match kind {
        "foundation-model" => Ok(Named::Foundation(id)),
        "inference-profile" => Ok(Named::SystemProfile(id)),
        "application-inference-profile" => Ok(Named::ApplicationProfile(id)),
        "provisioned-model" => Ok(Named::Provisioned(id)),
        "imported-model" => Ok(Named::Imported(id)),
        "custom-model-deployment" => Ok(Named::Deployment(id)),
        "custom-model" | "prompt-router" | "default-prompt-router" | "prompt" | "endpoint" => {
            Err(Refusal::unsupported(format!("a model of the type `{kind}`")))
        }
        _ => Err(Refusal::Model),
    }
}

fn named(cx: &Call, state: &State, model_id: &str) -> Result<Named, Refusal> {
    parse(&cx.region, &cx.account, model_id, |id| state.gateway.profile(id).is_some())
}

/// Where a call goes, and under which names.
pub(crate) struct Resolved {
    /// The foundation model (or imported one) that answers.
    pub(crate) model: String,
    pub(crate) route: Route,
    /// Tags of the application inference profile, by which use is told apart.
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) throughput: Option<Throughput>,
}

impl Resolved {
    fn plain(route: Route) -> Self {
        Self { model: route.model.clone(), route, tags: Vec::new(), throughput: None }
    }
}

/// Finds where calls for a model go.
pub(crate) async fn resolve(cx: &mut Call, state: &State, model_id: &str) -> Result<Resolved, ApiError> {
    let plane = std::sync::Arc::clone(&cx.plane);
    let by_id = |id: String| async move { state.gateway.route(plane.as_ref(), &id).await };
    let missing = || if model_id.starts_with("arn:") { Refusal::ModelNotFound } else { Refusal::Model };
    match named(cx, state, model_id)? {
        Named::Foundation(id) => Ok(Resolved::plain(by_id(id).await?.ok_or_else(missing)?)),
        Named::SystemProfile(id) => {
            let models = profile_models(state, &id).ok_or_else(missing)?;
            let route = state.gateway.spread(cx.plane.as_ref(), &models).await?;
            Ok(Resolved::plain(route.ok_or_else(missing)?))
        }
        Named::ApplicationProfile(id) => {
            let profile = Profile::find(&mut cx.tx, &cx.account, &cx.region, &id).await?.ok_or_else(missing)?;
            let models = profile_source(state, &profile).ok_or_else(missing)?;
            let route = state.gateway.spread(cx.plane.as_ref(), &models).await?.ok_or_else(missing)?;
            Ok(Resolved { tags: profile.tags, ..Resolved::plain(route) })
        }
        Named::Provisioned(id) => {
            let provisioned = Provisioned::find(&mut cx.tx, &cx.account, &cx.region, &id).await?.ok_or_else(missing)?;
            let declared = state.gateway.declared(&provisioned.model_id);
            let unit = declared.and_then(|model| model.unit_tokens_per_minute).ok_or_else(missing)?;
            let throughput = Throughput {
                arn: resource_arn(&cx.region, &cx.account, "provisioned-model", &id),
                tokens_per_minute: unit.saturating_mul(provisioned.units.into()),
            };
            let route = by_id(provisioned.model_id).await?.ok_or_else(missing)?;
            Ok(Resolved { throughput: Some(throughput), ..Resolved::plain(route) })
        }
        Named::Imported(id) => {
            let imported = ImportedModel::find(&mut cx.tx, &cx.account, &cx.region, &id).await?.ok_or_else(missing)?;
            let route = state.gateway.adapter_route(&imported.upstream, &imported.adapter, model_id).ok_or_else(missing)?;
            Ok(Resolved::plain(route))
        }
        Named::Deployment(id) => {
            let deployment = Deployment::find(&mut cx.tx, &cx.account, &cx.region, &id).await?.ok_or_else(missing)?;
            let route = state.gateway.adapter_route(&deployment.upstream, &deployment.adapter, model_id).ok_or_else(missing)?;
            Ok(Resolved::plain(route))
        }
    }
}

/// Models and weights of a system-defined profile.
fn profile_models(state: &State, id: &str) -> Option<Vec<(String, u32)>> {
    let profile = state.gateway.profile(id)?;
    Some(profile.models.iter().map(|part| (part.model.clone(), part.weight)).collect())
}

/// Models and weights of an application profile.
pub(crate) fn profile_source(state: &State, profile: &Profile) -> Option<Vec<(String, u32)>> {
    if profile.copies_system { profile_models(state, &profile.source) } else { Some(vec![(profile.source.clone(), 1)]) }
}

/// Identifier and version of the guardrail that the input names, wherever the operation has it. Empty ones count as absent.
pub(crate) fn guardrail_of(input: &Value) -> (Option<&str>, Option<&str>) {
    let named = |nested: &str, flat: &str| {
        input.path(nested).or_else(|| input.member(flat)).and_then(Value::as_str).filter(|text| !text.is_empty())
    };
    (named("guardrailConfig.guardrailIdentifier", "guardrailIdentifier"), named("guardrailConfig.guardrailVersion", "guardrailVersion"))
}

/// ARNs that a call for a model needs: the model's own, and those of the models behind a profile.
async fn model_arns(call: &mut Call, state: &State, model_id: &str) -> Result<Vec<String>, ApiError> {
    let region = call.region.clone();
    let behind = |own: String, models: Option<Vec<(String, u32)>>| {
        let models = models.unwrap_or_default();
        std::iter::once(own).chain(models.iter().map(|(id, _)| foundation_model_arn(&region, id))).collect()
    };
    Ok(match named(call, state, model_id) {
        Ok(Named::Foundation(id)) => vec![foundation_model_arn(&call.region, &id)],
        Ok(Named::SystemProfile(id)) => {
            behind(resource_arn(&call.region, &call.account, "inference-profile", &id), profile_models(state, &id))
        }
        Ok(Named::ApplicationProfile(id)) => {
            let profile = Profile::find(&mut call.tx, &call.account, &call.region, &id).await?;
            behind(model_id.to_owned(), profile.and_then(|profile| profile_source(state, &profile)))
        }
        // What is not ours, or not known, is decided by its own name, and refused afterwards.
        Ok(Named::Provisioned(_) | Named::Imported(_) | Named::Deployment(_)) | Err(_) => vec![model_id.to_owned()],
    })
}

/// A model call needs its model, and the guardrail that it names.
pub(crate) async fn targets(call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
    let Some(model_id) = input.member("modelId").and_then(Value::as_str) else { return Ok(None) };
    let action = match call.operation.name {
        "Converse" | "InvokeModel" | "StartAsyncInvoke" => "bedrock:InvokeModel",
        "ConverseStream" | "InvokeModelWithBidirectionalStream" | "InvokeModelWithResponseStream" => {
            "bedrock:InvokeModelWithResponseStream"
        }
        "CountTokens" => "bedrock:CountTokens",
        _ => return Ok(None),
    };
    let state = runtime::state(call)?;
    let arns = model_arns(call, &state, model_id).await?;
    let mut targets: Vec<Target> = arns.into_iter().map(|resource_arn| Target { action: action.to_owned(), resource_arn }).collect();
    if let (Some(identifier), _) = guardrail_of(input) {
        let resource_arn = arn_of(&call.region, &call.account, identifier);
        targets.push(Target { action: "bedrock:ApplyGuardrail".to_owned(), resource_arn });
    }
    Ok(Some(targets))
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
    let profile_arn = runtime::state(call).ok().and_then(|state| match named(call, &state, model_id) {
        Ok(Named::SystemProfile(id)) => Some(resource_arn(&call.region, &call.account, "inference-profile", &id)),
        Ok(Named::ApplicationProfile(_)) => Some(model_id.to_owned()),
        _ => None,
    });
    if let Some(arn) = profile_arn {
        keys.set("bedrock:InferenceProfileArn", arn);
    }
    let tier = input.path("serviceTier.type").or_else(|| input.member("serviceTier")).and_then(Value::as_str);
    keys.set("bedrock:ServiceTier", tier.unwrap_or("default").to_owned());
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
    if call.operation.name == "StartAsyncInvoke"
        && let Some(target) = input.path("outputDataConfig.s3OutputDataConfig.s3Uri").and_then(Value::as_str)
    {
        shown.insert("modelId".to_owned(), json!(input.member("modelId").and_then(Value::as_str)));
        shown.insert("outputDataConfig".to_owned(), json!({ "s3OutputDataConfig": { "s3Uri": target } }));
    }
    Json::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_by_its_id_or_its_arn() {
        let parse = |id: &str| parse("eu-west-1", "111122223333", id, |id| id.starts_with("eu."));
        assert_eq!(parse("llama3.2:3b"), Ok(Named::Foundation("llama3.2:3b".to_owned())));
        assert_eq!(parse("arn:aws:bedrock:eu-west-1::foundation-model/llama3"), Ok(Named::Foundation("llama3".to_owned())));
        assert_eq!(parse("arn:aws:bedrock:us-east-1::foundation-model/llama3"), Err(Refusal::Model));
        assert_eq!(parse("arn:aws:bedrock:eu-west-1::foundation-model/"), Err(Refusal::Model));
        assert_eq!(parse("eu.x"), Ok(Named::SystemProfile("eu.x".to_owned())));
        let arn = |account: &str, rest: &str| format!("arn:aws:bedrock:eu-west-1:{account}:{rest}");
        assert_eq!(parse(&arn("111122223333", "inference-profile/eu.x")), Ok(Named::SystemProfile("eu.x".to_owned())));
        assert_eq!(parse(&arn("111122223333", "application-inference-profile/a")), Ok(Named::ApplicationProfile("a".to_owned())));
        assert_eq!(parse(&arn("444455556666", "provisioned-model/a")), Err(Refusal::ModelNotFound));
        assert!(matches!(parse(&arn("111122223333", "prompt-router/a")), Err(Refusal::Unsupported { .. })));
    }
}
