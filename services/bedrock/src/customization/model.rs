//! Custom models.
//!
//! Source: Bedrock API reference, `CreateCustomModel`, `GetCustomModel`, `ListCustomModels` and `DeleteCustomModel`.

use api_bedrock::{
    CreateCustomModelInput, CreateCustomModelOutput, CustomModelSummary, CustomizationType, DeleteCustomModelInput,
    DeleteCustomModelOutput, GetCustomModelInput, GetCustomModelOutput, ListCustomModelsInput, ListCustomModelsOutput, ModelDataSource,
    ModelStatus, SortOrder,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use super::adapter::Adapter;
use super::deployment;
use crate::inference_profile::{ID_ALPHABET, ID_LENGTH};
use crate::model::{foundation_model_arn, resource_arn};
use crate::refusal::{Refusal, of_page};
use crate::runtime::{self, State};
use crate::s3_data::{self, Role};
use crate::tag;

const PAGE_LENGTH: usize = 100;
/// What stands between `custom-model/` and the id: the model was brought along.
pub(crate) const BROUGHT: &str = "imported/";
const KIND: &str = "custom-model";
const MODELS_MAX: usize = 100;

/// A custom model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CustomModel {
    pub(crate) id: String,
    name: String,
    pub(crate) s3_uri: String,
    kms_key_arn: Option<String>,
    /// The base model's name at the upstream.
    pub(crate) base_model: String,
    pub(crate) tags: Vec<(String, String)>,
    created_ms: i64,
}

impl Record for CustomModel {
    const TABLE: Table = Table("bedrock-custom-model");
    const SCOPE: Scope = Scope::Region;
}

/// The foundation model that a base model is declared as.
fn foundation_model(state: &State, base_model: &str) -> String {
    let models = &state.gateway.settings.models;
    let declared = models.iter().find(|model| model.targets.iter().any(|target| target.model == base_model));
    declared.map_or_else(|| base_model.to_owned(), |model| model.id.clone())
}

impl CustomModel {
    pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    pub(crate) fn arn(&self, cx: &Call) -> String {
        resource_arn(&cx.region, &cx.account, KIND, &format!("{BROUGHT}{}", self.id))
    }
}

async fn all(cx: &mut Call) -> Result<Vec<CustomModel>, ApiError> {
    let rows = cx.tx.scan::<CustomModel>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, model)| model).collect())
}

/// A model by its name or ARN.
pub(crate) async fn find(cx: &mut Call, identifier: &str) -> Result<CustomModel, ApiError> {
    let found = all(cx).await?.into_iter().find(|model| model.name == identifier || model.arn(cx) == identifier);
    Ok(found.ok_or_else(|| Refusal::Resource(identifier.to_owned()))?)
}

pub(crate) async fn create_custom_model(cx: &mut Call, input: CreateCustomModelInput) -> Result<CreateCustomModelOutput, ApiError> {
    let state = runtime::state(cx)?;
    if input.custom_model_data_source.is_some() {
        return Err(Refusal::unsupported("a custom model from a model package").into());
    }
    let Some(ModelDataSource::S3DataSource(source)) = input.model_source_config else {
        return Err(Refusal::invalid("The model source configuration names no S3 location.").into());
    };
    let Some(role_arn) = input.role_arn else {
        return Err(Refusal::invalid("A role is needed that may read the S3 location of the model.").into());
    };
    let known = all(cx).await?;
    if known.iter().any(|model| model.name == input.model_name) {
        return Err(Refusal::Conflict("A custom model of this name exists already in your account.".to_owned()).into());
    }
    if known.len() >= MODELS_MAX {
        return Err(Refusal::quota("custom models of an account in a region", MODELS_MAX).into());
    }
    let role = Role::assumable(cx, &role_arn, &resource_arn(&cx.region, &cx.account, KIND, "*")).await?;
    let kms_key_arn = match &input.model_kms_key_arn {
        Some(key) => Some(s3_data::key_arn(cx, key).await?),
        None => None,
    };
    let adapter = Adapter::at(&state, &role, &source.s3_uri, kms_key_arn.as_deref()).await?;
    let model = CustomModel {
        id: cx.random_id(ID_ALPHABET, ID_LENGTH)?,
        name: input.model_name,
        s3_uri: source.s3_uri,
        kms_key_arn,
        base_model: adapter.base_model,
        tags: tag::pairs(input.model_tags)?,
        created_ms: cx.now.0,
    };
    cx.tx.put(&CustomModel::key(&cx.account, &cx.region, &model.id), &model)?;
    Ok(CreateCustomModelOutput { model_arn: model.arn(cx) })
}

pub(crate) async fn get_custom_model(cx: &mut Call, input: GetCustomModelInput) -> Result<GetCustomModelOutput, ApiError> {
    let state = runtime::state(cx)?;
    let model = find(cx, &input.model_identifier).await?;
    Ok(GetCustomModelOutput {
        model_arn: model.arn(cx),
        model_name: model.name,
        job_name: None,
        job_arn: None,
        base_model_arn: Some(foundation_model_arn(&cx.region, &foundation_model(&state, &model.base_model))),
        customization_type: Some(CustomizationType::Imported),
        model_kms_key_arn: model.kms_key_arn,
        hyper_parameters: None,
        training_data_config: None,
        validation_data_config: None,
        output_data_config: None,
        training_metrics: None,
        validation_metrics: None,
        creation_time: Timestamp(model.created_ms),
        customization_config: None,
        model_status: Some(ModelStatus::Active),
        failure_message: None,
    })
}

pub(crate) async fn list_custom_models(cx: &mut Call, input: ListCustomModelsInput) -> Result<ListCustomModelsOutput, ApiError> {
    let state = runtime::state(cx)?;
    let ascending = input.sort_order == Some(SortOrder::Ascending);
    let mut items: Vec<(String, CustomModelSummary)> = Vec::new();
    for model in all(cx).await? {
        let base = foundation_model(&state, &model.base_model);
        let base_model_arn = foundation_model_arn(&cx.region, &base);
        let is_wanted = input.creation_time_after.is_none_or(|after| model.created_ms > after.0)
            && input.creation_time_before.is_none_or(|before| model.created_ms < before.0)
            && input.name_contains.as_ref().is_none_or(|part| model.name.contains(part.as_str()))
            && input.base_model_arn_equals.as_ref().is_none_or(|arn| *arn == base_model_arn)
            && input.foundation_model_arn_equals.as_ref().is_none_or(|arn| *arn == base_model_arn)
            && input.model_status.as_ref().is_none_or(|status| *status == ModelStatus::Active)
            && input.is_owned != Some(false);
        if is_wanted {
            let place = if ascending { model.created_ms } else { i64::MAX - model.created_ms };
            let summary = CustomModelSummary {
                model_arn: model.arn(cx),
                model_name: model.name,
                creation_time: Timestamp(model.created_ms),
                base_model_arn,
                base_model_name: base,
                customization_type: Some(CustomizationType::Imported),
                owner_account_id: Some(cx.account.clone()),
                model_status: Some(ModelStatus::Active),
            };
            items.push((format!("{place:020}{}", model.id), summary));
        }
    }
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(items, |(key, _)| key.clone(), "", input.next_token.as_deref(), limit).map_err(of_page)?;
    let summaries = page.items.into_iter().map(|(_, summary)| summary).collect();
    Ok(ListCustomModelsOutput { next_token: page.next, model_summaries: Some(summaries) })
}

pub(crate) async fn delete_custom_model(cx: &mut Call, input: DeleteCustomModelInput) -> Result<DeleteCustomModelOutput, ApiError> {
    let model = find(cx, &input.model_identifier).await?;
    if deployment::all(cx).await?.iter().any(|deployment| deployment.model_id == model.id) {
        return Err(Refusal::Conflict("The custom model is deployed: delete its deployments first.".to_owned()).into());
    }
    cx.tx.delete::<CustomModel>(&CustomModel::key(&cx.account, &cx.region, &model.id));
    Ok(DeleteCustomModelOutput {})
}
