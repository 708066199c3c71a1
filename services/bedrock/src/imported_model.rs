//! Imported models: LoRA adapters that a model server loads beside its base model.
//!
//! Source: Bedrock API reference, `CreateModelImportJob`. The job checks that the
//! role may read the adapter, that the adapter is encrypted with the customer's key when one is named, and that its base model is served by
//! an upstream that loads adapters; then the upstream loads it. What no upstream can serve is refused, nothing is recorded for it. All this is
//! done when the call answers; a deleted model is unloaded after the commit.

use api_bedrock::{
    CreateModelImportJobInput, CreateModelImportJobOutput, DeleteImportedModelInput, DeleteImportedModelOutput, GetImportedModelInput,
    GetImportedModelOutput, GetModelImportJobInput, GetModelImportJobOutput, ImportedModelSummary, ListImportedModelsInput,
    ListImportedModelsOutput, ListModelImportJobsInput, ListModelImportJobsOutput, ModelDataSource, ModelImportJobStatus,
    ModelImportJobSummary, S3DataSource,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::customization::adapter::Adapter;
use crate::customization::unloading;
use crate::inference_profile::{ID_ALPHABET, ID_LENGTH};
use crate::model::resource_arn;
use crate::refusal::{Refusal, of_page};
use crate::runtime;
use crate::s3_data;
use crate::tag;

const PAGE_LENGTH: usize = 100;

/// An imported model, with the job that imported it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImportedModel {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) job_id: String,
    pub(crate) job_name: String,
    pub(crate) role_arn: String,
    pub(crate) s3_uri: String,
    pub(crate) kms_key_arn: Option<String>,
    /// The upstream that loaded it, and its name there.
    pub(crate) upstream: String,
    pub(crate) adapter: String,
    pub(crate) base_model: String,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) job_tags: Vec<(String, String)>,
    pub(crate) created_ms: i64,
    /// The model is gone, the record of its job stays.
    #[serde(default)]
    pub(crate) is_deleted: bool,
}

impl Record for ImportedModel {
    const TABLE: Table = Table("bedrock-imported-model");
    const SCOPE: Scope = Scope::Region;
}

impl ImportedModel {
    pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    /// A model that was not deleted.
    pub(crate) async fn find(tx: &mut Transaction, account: &str, region: &str, id: &str) -> Result<Option<Self>, ApiError> {
        Ok(tx.get::<Self>(&Self::key(account, region, id)).await?.filter(|model| !model.is_deleted))
    }

    fn arn(&self, cx: &Call) -> String {
        resource_arn(&cx.region, &cx.account, "imported-model", &self.id)
    }

    fn job_arn(&self, cx: &Call) -> String {
        resource_arn(&cx.region, &cx.account, "model-import-job", &self.job_id)
    }

    fn source(&self) -> ModelDataSource {
        ModelDataSource::S3DataSource(S3DataSource { s3_uri: self.s3_uri.clone() })
    }
}

async fn all(cx: &mut Call) -> Result<Vec<ImportedModel>, ApiError> {
    let rows = cx.tx.scan::<ImportedModel>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, model)| model).collect())
}

pub(crate) async fn create_model_import_job(
    cx: &mut Call,
    input: CreateModelImportJobInput,
) -> Result<CreateModelImportJobOutput, ApiError> {
    let state = runtime::state(cx)?;
    let ModelDataSource::S3DataSource(source) = input.model_data_source else {
        return Err(Refusal::invalid("The model data source names nothing.").into());
    };
    if input.vpc_config.is_some() {
        return Err(Refusal::unsupported("an import through a VPC").into());
    }
    let known = all(cx).await?;
    if known.iter().any(|model| model.job_name == input.job_name) {
        // As AWS says it, though `ConflictException` is declared.
        return Err(Refusal::invalid("The provided job name is currently in use.").into());
    }
    if known.iter().any(|model| !model.is_deleted && model.name == input.imported_model_name) {
        return Err(ApiError::new("ConflictException", "An imported model of this name exists already in your account."));
    }
    s3_data::Folder::parse(&source.s3_uri)?;
    let job_arn = resource_arn(&cx.region, &cx.account, "model-import-job", "*");
    let role = s3_data::Role::assumable(cx, &input.role_arn, &job_arn).await?;
    let kms_key_arn = match &input.imported_model_kms_key_id {
        Some(key) => Some(s3_data::key_arn(cx, key).await?),
        None => None,
    };
    let found = Adapter::at(&state, &role, &source.s3_uri, kms_key_arn.as_deref()).await?;
    // A run after a conflict must not load the adapter again.
    let (id, job_id) = if let Some(made) = cx.recall::<(String, String)>("import") {
        made
    } else {
        let made = (cx.random_id(ID_ALPHABET, ID_LENGTH)?, cx.random_id(ID_ALPHABET, ID_LENGTH)?);
        let adapter = format!("{}-{}", cx.account, made.0);
        found.load(cx, &adapter).await?;
        cx.remember("import", made.clone());
        made
    };
    let imported = ImportedModel {
        adapter: format!("{}-{id}", cx.account),
        id,
        name: input.imported_model_name,
        job_id,
        job_name: input.job_name,
        role_arn: input.role_arn,
        s3_uri: source.s3_uri,
        kms_key_arn,
        upstream: found.server.settings.name.clone(),
        base_model: found.base_model,
        tags: tag::pairs(input.imported_model_tags)?,
        job_tags: tag::pairs(input.job_tags)?,
        created_ms: cx.now.0,
        is_deleted: false,
    };
    cx.tx.put(&ImportedModel::key(&cx.account, &cx.region, &imported.id), &imported)?;
    Ok(CreateModelImportJobOutput { job_arn: imported.job_arn(cx) })
}

pub(crate) async fn get_model_import_job(cx: &mut Call, input: GetModelImportJobInput) -> Result<GetModelImportJobOutput, ApiError> {
    let wanted = input.job_identifier;
    let found = all(cx).await?.into_iter().find(|model| model.job_name == wanted || model.job_id == wanted || model.job_arn(cx) == wanted);
    let model = found.ok_or_else(|| Refusal::Resource(wanted.clone()))?;
    Ok(GetModelImportJobOutput {
        job_arn: Some(model.job_arn(cx)),
        job_name: Some(model.job_name.clone()),
        imported_model_name: Some(model.name.clone()),
        imported_model_arn: Some(model.arn(cx)),
        role_arn: Some(model.role_arn.clone()),
        model_data_source: Some(model.source()),
        status: Some(ModelImportJobStatus::Completed),
        failure_message: None,
        creation_time: Some(Timestamp(model.created_ms)),
        last_modified_time: Some(Timestamp(model.created_ms)),
        end_time: Some(Timestamp(model.created_ms)),
        vpc_config: None,
        imported_model_kms_key_arn: model.kms_key_arn,
    })
}

/// Place of an item in a list by time.
fn place(created_ms: i64, id: &str, ascending: bool) -> String {
    let place = if ascending { created_ms } else { i64::MAX - created_ms };
    format!("{place:020}{id}")
}

pub(crate) async fn list_model_import_jobs(cx: &mut Call, input: ListModelImportJobsInput) -> Result<ListModelImportJobsOutput, ApiError> {
    let ascending = input.sort_order == Some(api_bedrock::SortOrder::Ascending);
    let mut items: Vec<(String, ModelImportJobSummary)> = Vec::new();
    for model in all(cx).await? {
        let is_wanted = input.creation_time_after.is_none_or(|after| model.created_ms > after.0)
            && input.creation_time_before.is_none_or(|before| model.created_ms < before.0)
            && input.status_equals.as_ref().is_none_or(|status| *status == ModelImportJobStatus::Completed)
            && input.name_contains.as_ref().is_none_or(|part| model.job_name.contains(part.as_str()));
        if is_wanted {
            let summary = ModelImportJobSummary {
                job_arn: model.job_arn(cx),
                job_name: model.job_name.clone(),
                status: ModelImportJobStatus::Completed,
                last_modified_time: Some(Timestamp(model.created_ms)),
                creation_time: Timestamp(model.created_ms),
                end_time: Some(Timestamp(model.created_ms)),
                imported_model_arn: Some(model.arn(cx)),
                imported_model_name: Some(model.name.clone()),
            };
            items.push((place(model.created_ms, &model.id, ascending), summary));
        }
    }
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(items, |(key, _)| key.clone(), "", input.next_token.as_deref(), limit).map_err(of_page)?;
    let summaries = page.items.into_iter().map(|(_, summary)| summary).collect();
    Ok(ListModelImportJobsOutput { next_token: page.next, model_import_job_summaries: Some(summaries) })
}

/// A model by its name, id or ARN.
async fn find(cx: &mut Call, identifier: &str) -> Result<ImportedModel, ApiError> {
    let found = all(cx).await?.into_iter().filter(|model| !model.is_deleted);
    let mut found = found.filter(|model| model.name == identifier || model.id == identifier || model.arn(cx) == identifier);
    Ok(found.next().ok_or_else(|| Refusal::Resource(identifier.to_owned()))?)
}

pub(crate) async fn get_imported_model(cx: &mut Call, input: GetImportedModelInput) -> Result<GetImportedModelOutput, ApiError> {
    let model = find(cx, &input.model_identifier).await?;
    Ok(GetImportedModelOutput {
        model_arn: Some(model.arn(cx)),
        model_name: Some(model.name.clone()),
        job_name: Some(model.job_name.clone()),
        job_arn: Some(model.job_arn(cx)),
        model_data_source: Some(model.source()),
        creation_time: Some(Timestamp(model.created_ms)),
        model_architecture: Some(format!("LoRA adapter of {}", model.base_model)),
        model_kms_key_arn: model.kms_key_arn,
        instruct_supported: None,
        custom_model_units: None,
    })
}

pub(crate) async fn list_imported_models(cx: &mut Call, input: ListImportedModelsInput) -> Result<ListImportedModelsOutput, ApiError> {
    let ascending = input.sort_order == Some(api_bedrock::SortOrder::Ascending);
    let mut items: Vec<(String, ImportedModelSummary)> = Vec::new();
    for model in all(cx).await?.into_iter().filter(|model| !model.is_deleted) {
        let is_wanted = input.creation_time_after.is_none_or(|after| model.created_ms > after.0)
            && input.creation_time_before.is_none_or(|before| model.created_ms < before.0)
            && input.name_contains.as_ref().is_none_or(|part| model.name.contains(part.as_str()));
        if is_wanted {
            let summary = ImportedModelSummary {
                model_arn: model.arn(cx),
                model_name: model.name.clone(),
                creation_time: Timestamp(model.created_ms),
                instruct_supported: None,
                model_architecture: Some(format!("LoRA adapter of {}", model.base_model)),
            };
            items.push((place(model.created_ms, &model.id, ascending), summary));
        }
    }
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(items, |(key, _)| key.clone(), "", input.next_token.as_deref(), limit).map_err(of_page)?;
    let summaries = page.items.into_iter().map(|(_, summary)| summary).collect();
    Ok(ListImportedModelsOutput { next_token: page.next, model_summaries: Some(summaries) })
}

pub(crate) async fn delete_imported_model(cx: &mut Call, input: DeleteImportedModelInput) -> Result<DeleteImportedModelOutput, ApiError> {
    let mut model = find(cx, &input.model_identifier).await?;
    model.is_deleted = true;
    unloading::note(cx, model.upstream.clone(), model.adapter.clone())?;
    cx.tx.put(&ImportedModel::key(&cx.account, &cx.region, &model.id), &model)?;
    Ok(DeleteImportedModelOutput {})
}
