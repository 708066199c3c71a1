//! Foundation models: those that the upstream offers.

use api_bedrock::{
    FoundationModelDetails, FoundationModelLifecycle, FoundationModelLifecycleStatus, FoundationModelSummary, GetFoundationModelInput,
    GetFoundationModelOutput, InferenceType, ListFoundationModelsInput, ListFoundationModelsOutput, ModelModality,
};
use plane::{ApiError, Call};

use crate::model::{foundation_model_arn, upstream_name};
use crate::refusal::Refusal;
use crate::runtime;
use crate::upstream::Model;

pub(crate) async fn list_foundation_models(
    cx: &mut Call,
    input: ListFoundationModelsInput,
) -> Result<ListFoundationModelsOutput, ApiError> {
    let models = runtime::state(cx)?.upstream.models().await?;
    // Every model here speaks text, on demand, and none can be customised.
    let none = input.by_customization_type.is_some()
        || input.by_output_modality.is_some_and(|modality| modality != ModelModality::Text)
        || input.by_inference_type.is_some_and(|kind| kind != InferenceType::OnDemand);
    let wanted = |model: &&Model| !none && input.by_provider.as_ref().is_none_or(|provider| provider.eq_ignore_ascii_case(&model.provider));
    let model_summaries = models.iter().filter(wanted).map(|model| summary(&cx.region, model)).collect();
    Ok(ListFoundationModelsOutput { model_summaries: Some(model_summaries) })
}

pub(crate) async fn get_foundation_model(cx: &mut Call, input: GetFoundationModelInput) -> Result<GetFoundationModelOutput, ApiError> {
    let name = upstream_name(&cx.region, &input.model_identifier)?;
    let models = runtime::state(cx)?.upstream.models().await?;
    let model = models.iter().find(|model| model.id == name).ok_or(Refusal::Model)?;
    let summary = summary(&cx.region, model);
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

fn summary(region: &str, model: &Model) -> FoundationModelSummary {
    FoundationModelSummary {
        model_arn: foundation_model_arn(region, &model.id),
        model_id: model.id.clone(),
        model_name: Some(model.id.clone()),
        provider_name: Some(model.provider.clone()),
        input_modalities: Some(vec![ModelModality::Text]),
        output_modalities: Some(vec![ModelModality::Text]),
        response_streaming_supported: Some(true),
        customizations_supported: Some(Vec::new()),
        inference_types_supported: Some(vec![InferenceType::OnDemand]),
        model_lifecycle: Some(FoundationModelLifecycle {
            status: FoundationModelLifecycleStatus::Active,
            start_of_life_time: None,
            end_of_life_time: None,
            legacy_time: None,
            public_extended_access_time: None,
        }),
    }
}
