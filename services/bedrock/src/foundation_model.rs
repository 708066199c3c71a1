//! Foundation models: those that the upstreams offer.

use api_bedrock::{
    AgreementAvailability, AgreementStatus, AuthorizationStatus, EntitlementAvailability, FoundationModelDetails, FoundationModelLifecycle,
    FoundationModelLifecycleStatus, FoundationModelSummary, GetFoundationModelAvailabilityInput, GetFoundationModelAvailabilityOutput,
    GetFoundationModelInput, GetFoundationModelOutput, InferenceType, ListFoundationModelsInput, ListFoundationModelsOutput, ModelModality,
    RegionAvailability,
};
use plane::{ApiError, Call};

use crate::model::{self, Named, foundation_model_arn};
use crate::refusal::Refusal;
use crate::runtime::{self, State};
use crate::upstream::gateway::Listed;

pub(crate) async fn list_foundation_models(
    cx: &mut Call,
    input: ListFoundationModelsInput,
) -> Result<ListFoundationModelsOutput, ApiError> {
    let state = runtime::state(cx)?;
    let models = state.gateway.models(cx.plane.as_ref()).await?;
    let summaries = models.iter().map(|listed| summary(&cx.region, &state, listed)).filter(|summary| {
        let has = |modalities: &Option<Vec<ModelModality>>, wanted: &ModelModality| {
            modalities.as_ref().is_some_and(|modalities| modalities.contains(wanted))
        };
        // None of the models here can be customised.
        input.by_customization_type.is_none()
            && input.by_output_modality.as_ref().is_none_or(|wanted| has(&summary.output_modalities, wanted))
            && input
                .by_inference_type
                .as_ref()
                .is_none_or(|wanted| summary.inference_types_supported.as_ref().is_some_and(|kinds| kinds.contains(wanted)))
            && input
                .by_provider
                .as_ref()
                .is_none_or(|provider| summary.provider_name.as_ref().is_some_and(|name| provider.eq_ignore_ascii_case(name)))
    });
    Ok(ListFoundationModelsOutput { model_summaries: Some(summaries.collect()) })
}

async fn find(cx: &Call, state: &State, identifier: &str) -> Result<Listed, ApiError> {
    let Named::Foundation(id) = model::parse(&cx.region, &cx.account, identifier, |_| false)? else { return Err(Refusal::Model.into()) };
    let models = state.gateway.models(cx.plane.as_ref()).await?;
    Ok(models.iter().find(|listed| listed.model.id == id).cloned().ok_or(Refusal::Model)?)
}

pub(crate) async fn get_foundation_model(cx: &mut Call, input: GetFoundationModelInput) -> Result<GetFoundationModelOutput, ApiError> {
    let state = runtime::state(cx)?;
    let listed = find(cx, &state, &input.model_identifier).await?;
    let summary = summary(&cx.region, &state, &listed);
    Ok(GetFoundationModelOutput {
        model_details: Some(FoundationModelDetails {
            model_arn: summary.model_arn,
            model_id: summary.model_id,
            model_name: summary.model_name,
            provider_name: summary.provider_name,
            input_modalities: summary.input_modalities,
            output_modalities: summary.output_modalities,
            response_streaming_supported: summary.response_streaming_supported,
            customizations_supported: summary.customizations_supported,
            inference_types_supported: summary.inference_types_supported,
            model_lifecycle: summary.model_lifecycle,
        }),
    })
}

/// There are no agreements and entitlements here: what is offered can be used by whoever is allowed to.
pub(crate) async fn get_foundation_model_availability(
    cx: &mut Call,
    input: GetFoundationModelAvailabilityInput,
) -> Result<GetFoundationModelAvailabilityOutput, ApiError> {
    let state = runtime::state(cx)?;
    let listed = find(cx, &state, &input.model_id).await?;
    Ok(GetFoundationModelAvailabilityOutput {
        model_id: listed.model.id,
        agreement_availability: AgreementAvailability { status: AgreementStatus::Available, error_message: None },
        authorization_status: AuthorizationStatus::Authorized,
        entitlement_availability: EntitlementAvailability::Available,
        region_availability: RegionAvailability::Available,
    })
}

fn summary(region: &str, state: &State, listed: &Listed) -> FoundationModelSummary {
    let model = &listed.model;
    let declared = state.gateway.declared(&model.id);
    let is_provisionable = declared.is_some_and(|declared| declared.unit_tokens_per_minute.is_some() && declared.units > 0);
    let only_embeds = declared.is_some_and(|declared| declared.embeddings);
    let mut inputs = vec![ModelModality::Text];
    if declared.is_some() && listed.images {
        inputs.push(ModelModality::Image);
    }
    let mut kinds = vec![InferenceType::OnDemand];
    if is_provisionable {
        kinds.push(InferenceType::Provisioned);
    }
    FoundationModelSummary {
        model_arn: foundation_model_arn(region, &model.id),
        model_id: model.id.clone(),
        model_name: Some(model.id.clone()),
        provider_name: Some(model.provider.clone()),
        input_modalities: Some(inputs),
        output_modalities: Some(vec![if only_embeds { ModelModality::Embedding } else { ModelModality::Text }]),
        response_streaming_supported: Some(!only_embeds),
        customizations_supported: Some(Vec::new()),
        inference_types_supported: Some(kinds),
        model_lifecycle: Some(FoundationModelLifecycle {
            status: FoundationModelLifecycleStatus::Active,
            start_of_life_time: None,
            end_of_life_time: None,
            legacy_time: None,
            public_extended_access_time: None,
        }),
    }
}
