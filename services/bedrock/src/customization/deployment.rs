//! Deployments of custom models: the upstream has loaded the adapter, and calls for the deployment's ARN go to it.
//!
//! Source: Bedrock API reference, `CreateCustomModelDeployment`, `GetCustomModelDeployment`, `ListCustomModelDeployments`,
//! `UpdateCustomModelDeployment` and `DeleteCustomModelDeployment`.

use api_bedrock::{
    CreateCustomModelDeploymentInput, CreateCustomModelDeploymentOutput, CustomModelDeploymentStatus, CustomModelDeploymentSummary,
    CustomModelDeploymentUpdateDetails, CustomModelDeploymentUpdateStatus, DeleteCustomModelDeploymentInput,
    DeleteCustomModelDeploymentOutput, GetCustomModelDeploymentInput, GetCustomModelDeploymentOutput, ListCustomModelDeploymentsInput,
    ListCustomModelDeploymentsOutput, SortOrder, UpdateCustomModelDeploymentInput, UpdateCustomModelDeploymentOutput,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use super::adapter::Adapter;
use super::model::{self, BROUGHT, CustomModel};
use super::unloading;
use crate::inference_profile::{ID_ALPHABET, ID_LENGTH};
use crate::model::resource_arn;
use crate::refusal::{Refusal, of_page};
use crate::runtime::{self, State};
use crate::tag;

const PAGE_LENGTH: usize = 100;
const KIND: &str = "custom-model-deployment";
const DEPLOYMENTS_MAX: usize = 100;
/// What tells the loads of a model for one deployment apart.
const LOAD_ID_LENGTH: usize = 8;

/// A deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Deployment {
    id: String,
    name: String,
    description: Option<String>,
    pub(crate) model_id: String,
    /// The upstream that loaded it, and its name there.
    pub(crate) upstream: String,
    pub(crate) adapter: String,
    pub(crate) tags: Vec<(String, String)>,
    created_ms: i64,
    updated_ms: i64,
    /// It had another model before.
    is_updated: bool,
}

impl Record for Deployment {
    const TABLE: Table = Table("bedrock-custom-model-deployment");
    const SCOPE: Scope = Scope::Region;
}

impl Deployment {
    pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    pub(crate) async fn find(tx: &mut Transaction, account: &str, region: &str, id: &str) -> Result<Option<Self>, ApiError> {
        tx.get::<Self>(&Self::key(account, region, id)).await
    }

    fn arn(&self, cx: &Call) -> String {
        resource_arn(&cx.region, &cx.account, KIND, &self.id)
    }

    fn model_arn(&self, cx: &Call) -> String {
        resource_arn(&cx.region, &cx.account, "custom-model", &format!("{BROUGHT}{}", self.model_id))
    }
}

pub(crate) async fn all(cx: &mut Call) -> Result<Vec<Deployment>, ApiError> {
    let rows = cx.tx.scan::<Deployment>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, deployment)| deployment).collect())
}

/// A deployment by its name or ARN.
async fn find(cx: &mut Call, identifier: &str) -> Result<Deployment, ApiError> {
    let found = all(cx).await?.into_iter().find(|deployment| deployment.name == identifier || deployment.arn(cx) == identifier);
    Ok(found.ok_or_else(|| Refusal::Resource(identifier.to_owned()))?)
}

/// Makes the upstream load a model for a deployment. A run after a conflict does not load it again.
async fn load(cx: &mut Call, state: &State, model: &CustomModel, deployment_id: &str) -> Result<(String, String), ApiError> {
    if let Some(loaded) = cx.recall::<(String, String)>("loaded") {
        return Ok(loaded);
    }
    let found = Adapter::of(state, model.base_model.clone(), &model.s3_uri)?;
    // Never a name that was loaded before: the unloading of that one may be still to come.
    let name = format!("{}-{deployment_id}-{}-{}", cx.account, model.id, cx.random_id(ID_ALPHABET, LOAD_ID_LENGTH)?);
    found.load(cx, &name).await?;
    let loaded = (found.server.settings.name.clone(), name);
    cx.remember("loaded", loaded.clone());
    Ok(loaded)
}

pub(crate) async fn create_custom_model_deployment(
    cx: &mut Call,
    input: CreateCustomModelDeploymentInput,
) -> Result<CreateCustomModelDeploymentOutput, ApiError> {
    let state = runtime::state(cx)?;
    let model = model::find(cx, &input.model_arn).await?;
    let tags = tag::pairs(input.tags)?;
    let known = all(cx).await?;
    if known.iter().any(|deployment| deployment.name == input.model_deployment_name) {
        return Err(Refusal::invalid("A custom model deployment of this name exists already in your account.").into());
    }
    if known.len() >= DEPLOYMENTS_MAX {
        return Err(Refusal::quota("custom model deployments of an account in a region", DEPLOYMENTS_MAX).into());
    }
    let id = if let Some(id) = cx.recall::<String>("deployment") {
        id
    } else {
        let id = cx.random_id(ID_ALPHABET, ID_LENGTH)?;
        cx.remember("deployment", id.clone());
        id
    };
    let (upstream, adapter) = load(cx, &state, &model, &id).await?;
    let deployment = Deployment {
        id,
        name: input.model_deployment_name,
        description: input.description,
        model_id: model.id,
        upstream,
        adapter,
        tags,
        created_ms: cx.now.0,
        updated_ms: cx.now.0,
        is_updated: false,
    };
    cx.tx.put(&Deployment::key(&cx.account, &cx.region, &deployment.id), &deployment)?;
    Ok(CreateCustomModelDeploymentOutput { custom_model_deployment_arn: deployment.arn(cx) })
}

pub(crate) async fn get_custom_model_deployment(
    cx: &mut Call,
    input: GetCustomModelDeploymentInput,
) -> Result<GetCustomModelDeploymentOutput, ApiError> {
    let deployment = find(cx, &input.custom_model_deployment_identifier).await?;
    let update_details = deployment.is_updated.then(|| CustomModelDeploymentUpdateDetails {
        model_arn: deployment.model_arn(cx),
        update_status: CustomModelDeploymentUpdateStatus::UpdateCompleted,
    });
    Ok(GetCustomModelDeploymentOutput {
        custom_model_deployment_arn: deployment.arn(cx),
        model_arn: deployment.model_arn(cx),
        model_deployment_name: deployment.name,
        created_at: Timestamp(deployment.created_ms),
        status: CustomModelDeploymentStatus::Active,
        description: deployment.description,
        update_details,
        failure_message: None,
        last_updated_at: Some(Timestamp(deployment.updated_ms)),
    })
}

pub(crate) async fn list_custom_model_deployments(
    cx: &mut Call,
    input: ListCustomModelDeploymentsInput,
) -> Result<ListCustomModelDeploymentsOutput, ApiError> {
    let ascending = input.sort_order == Some(SortOrder::Ascending);
    let mut items: Vec<(String, CustomModelDeploymentSummary)> = Vec::new();
    for deployment in all(cx).await? {
        let model_arn = deployment.model_arn(cx);
        let is_wanted = input.created_after.is_none_or(|after| deployment.created_ms > after.0)
            && input.created_before.is_none_or(|before| deployment.created_ms < before.0)
            && input.name_contains.as_ref().is_none_or(|part| deployment.name.contains(part.as_str()))
            && input.status_equals.as_ref().is_none_or(|status| *status == CustomModelDeploymentStatus::Active)
            && input.model_arn_equals.as_ref().is_none_or(|arn| *arn == model_arn);
        if is_wanted {
            let place = if ascending { deployment.created_ms } else { i64::MAX - deployment.created_ms };
            let summary = CustomModelDeploymentSummary {
                custom_model_deployment_arn: deployment.arn(cx),
                custom_model_deployment_name: deployment.name,
                model_arn,
                created_at: Timestamp(deployment.created_ms),
                status: CustomModelDeploymentStatus::Active,
                last_updated_at: Some(Timestamp(deployment.updated_ms)),
                failure_message: None,
            };
            items.push((format!("{place:020}{}", deployment.id), summary));
        }
    }
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(items, |(key, _)| key.clone(), "", input.next_token.as_deref(), limit).map_err(of_page)?;
    let summaries = page.items.into_iter().map(|(_, summary)| summary).collect();
    Ok(ListCustomModelDeploymentsOutput { next_token: page.next, model_deployment_summaries: Some(summaries) })
}

pub(crate) async fn update_custom_model_deployment(
    cx: &mut Call,
    input: UpdateCustomModelDeploymentInput,
) -> Result<UpdateCustomModelDeploymentOutput, ApiError> {
    let state = runtime::state(cx)?;
    let mut deployment = find(cx, &input.custom_model_deployment_identifier).await?;
    let model = model::find(cx, &input.model_arn).await?;
    if model.id != deployment.model_id {
        let (upstream, adapter) = load(cx, &state, &model, &deployment.id).await?;
        unloading::note(cx, deployment.upstream, deployment.adapter)?;
        (deployment.model_id, deployment.upstream, deployment.adapter) = (model.id, upstream, adapter);
    }
    deployment.is_updated = true;
    deployment.updated_ms = cx.now.0;
    cx.tx.put(&Deployment::key(&cx.account, &cx.region, &deployment.id), &deployment)?;
    Ok(UpdateCustomModelDeploymentOutput { custom_model_deployment_arn: deployment.arn(cx) })
}

pub(crate) async fn delete_custom_model_deployment(
    cx: &mut Call,
    input: DeleteCustomModelDeploymentInput,
) -> Result<DeleteCustomModelDeploymentOutput, ApiError> {
    let deployment = find(cx, &input.custom_model_deployment_identifier).await?;
    cx.tx.delete::<Deployment>(&Deployment::key(&cx.account, &cx.region, &deployment.id));
    unloading::note(cx, deployment.upstream, deployment.adapter)?;
    Ok(DeleteCustomModelDeploymentOutput {})
}
