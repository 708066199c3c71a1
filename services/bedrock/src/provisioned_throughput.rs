//! Provisioned throughput: model units that are set aside. A unit is a rate of tokens that the owner declares for the model; calls by the
//! provisioned model's ARN are bound by that rate, and not by the rates of on-demand calls.
//!
//! Source: Bedrock API reference, `CreateProvisionedModelThroughput`.

use api_bedrock::{
    CommitmentDuration, CreateProvisionedModelThroughputInput, CreateProvisionedModelThroughputOutput,
    DeleteProvisionedModelThroughputInput, DeleteProvisionedModelThroughputOutput, GetProvisionedModelThroughputInput,
    GetProvisionedModelThroughputOutput, ListProvisionedModelThroughputsInput, ListProvisionedModelThroughputsOutput,
    ProvisionedModelStatus, ProvisionedModelSummary, SortOrder, UpdateProvisionedModelThroughputInput,
    UpdateProvisionedModelThroughputOutput,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::inference_profile::{ID_ALPHABET, ID_LENGTH};
use crate::model::{self, Named, foundation_model_arn, resource_arn};
use crate::refusal::{Refusal, of_page};
use crate::runtime;
use crate::tag;

const PAGE_LENGTH: usize = 100;
const KIND: &str = "provisioned-model";
const DAY_MS: i64 = 24 * 3600 * 1000;

/// A provisioned model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Provisioned {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) model_id: String,
    pub(crate) units: u32,
    /// `OneMonth` or `SixMonths`.
    pub(crate) commitment: Option<String>,
    pub(crate) commitment_ends_ms: Option<i64>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}

impl Record for Provisioned {
    const TABLE: Table = Table("bedrock-provisioned-model");
    const SCOPE: Scope = Scope::Region;
}

/// Units of a model that all accounts together have in a region.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct UnitsInUse {
    units: u32,
}

impl Record for UnitsInUse {
    const TABLE: Table = Table("bedrock-provisioned-units");
    const SCOPE: Scope = Scope::Region;
}

impl Provisioned {
    pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    pub(crate) async fn find(tx: &mut Transaction, account: &str, region: &str, id: &str) -> Result<Option<Self>, ApiError> {
        tx.get::<Self>(&Self::key(account, region, id)).await
    }

    fn summary(&self, cx: &Call) -> ProvisionedModelSummary {
        let model_arn = foundation_model_arn(&cx.region, &self.model_id);
        let units = i32::try_from(self.units).unwrap_or(i32::MAX);
        ProvisionedModelSummary {
            provisioned_model_name: self.name.clone(),
            provisioned_model_arn: resource_arn(&cx.region, &cx.account, KIND, &self.id),
            model_arn: model_arn.clone(),
            desired_model_arn: model_arn.clone(),
            foundation_model_arn: model_arn,
            model_units: units,
            desired_model_units: units,
            status: ProvisionedModelStatus::InService,
            commitment_duration: self.commitment.as_deref().map(CommitmentDuration::from),
            commitment_expiration_time: self.commitment_ends_ms.map(Timestamp),
            creation_time: Timestamp(self.created_ms),
            last_modified_time: Timestamp(self.updated_ms),
        }
    }
}

/// Adds units of a model to what is in use, or takes them away; beyond what is declared there are none.
async fn count_units(cx: &mut Call, model_id: &str, add: u32, remove: u32, most: u32) -> Result<(), ApiError> {
    let key = Key::new("", &cx.region).last(model_id);
    let in_use = cx.tx.get::<UnitsInUse>(&key).await?.unwrap_or_default().units;
    let units = in_use.saturating_add(add).saturating_sub(remove);
    if add > 0 && units > most {
        let message = format!("There are {} model units of the model `{model_id}` left in this region.", most.saturating_sub(in_use));
        return Err(ApiError::new("ServiceQuotaExceededException", message));
    }
    cx.tx.put(&key, &UnitsInUse { units })
}

/// The model that throughput can be provisioned for, with how many units there are.
fn provisionable(cx: &Call, model_id: &str) -> Result<(String, u32), ApiError> {
    let state = runtime::state(cx)?;
    let named = model::parse(&cx.region, &cx.account, model_id, |id| state.gateway.profile(id).is_some())?;
    let Named::Foundation(id) = named else { return Err(Refusal::invalid("Provisioned throughput is for foundation models.").into()) };
    let declared = state.gateway.declared(&id).ok_or(Refusal::Model)?;
    if declared.unit_tokens_per_minute.is_none() || declared.units == 0 {
        return Err(Refusal::invalid(format!("Provisioned throughput isn't supported for the model `{id}`.")).into());
    }
    Ok((id, declared.units))
}

pub(crate) async fn create_provisioned_model_throughput(
    cx: &mut Call,
    input: CreateProvisionedModelThroughputInput,
) -> Result<CreateProvisionedModelThroughputOutput, ApiError> {
    let (model_id, most) = provisionable(cx, &input.model_id)?;
    let units = u32::try_from(input.model_units).unwrap_or_default();
    let commitment_ends_ms = match &input.commitment_duration {
        None => None,
        Some(CommitmentDuration::OneMonth) => Some(cx.now.0.saturating_add(30 * DAY_MS)),
        Some(CommitmentDuration::SixMonths) => Some(cx.now.0.saturating_add(180 * DAY_MS)),
        Some(CommitmentDuration::Other(other)) => return Err(Refusal::invalid(format!("`{other}` is not a commitment duration.")).into()),
    };
    let existing = cx.tx.scan::<Provisioned>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
    if existing.iter().any(|(_, provisioned)| provisioned.name == input.provisioned_model_name) {
        return Err(Refusal::invalid("The provisioned model name is already in use in your account.").into());
    }
    count_units(cx, &model_id, units, 0, most).await?;
    let provisioned = Provisioned {
        id: cx.random_id(ID_ALPHABET, ID_LENGTH)?,
        name: input.provisioned_model_name,
        model_id,
        units,
        commitment: input.commitment_duration.map(|duration| duration.as_str().to_owned()),
        commitment_ends_ms,
        tags: tag::pairs(input.tags)?,
        created_ms: cx.now.0,
        updated_ms: cx.now.0,
    };
    cx.tx.put(&Provisioned::key(&cx.account, &cx.region, &provisioned.id), &provisioned)?;
    let provisioned_model_arn = resource_arn(&cx.region, &cx.account, KIND, &provisioned.id);
    Ok(CreateProvisionedModelThroughputOutput { provisioned_model_arn })
}

/// A provisioned model by its id, name or ARN.
async fn find(cx: &mut Call, identifier: &str) -> Result<Provisioned, ApiError> {
    let missing = || Refusal::Resource(identifier.to_owned());
    let prefix = resource_arn(&cx.region, &cx.account, KIND, "");
    let id = if identifier.starts_with("arn:") { identifier.strip_prefix(&prefix).ok_or_else(missing)? } else { identifier };
    let (account, region) = (cx.account.clone(), cx.region.clone());
    if let Some(found) = Provisioned::find(&mut cx.tx, &account, &region, id).await? {
        return Ok(found);
    }
    let all = cx.tx.scan::<Provisioned>(&Key::new(&account, &region), None, SCAN_LIMIT).await?;
    Ok(all.into_iter().map(|(_, provisioned)| provisioned).find(|provisioned| provisioned.name == id).ok_or_else(missing)?)
}

pub(crate) async fn get_provisioned_model_throughput(
    cx: &mut Call,
    input: GetProvisionedModelThroughputInput,
) -> Result<GetProvisionedModelThroughputOutput, ApiError> {
    let summary = find(cx, &input.provisioned_model_id).await?.summary(cx);
    Ok(GetProvisionedModelThroughputOutput {
        model_units: summary.model_units,
        desired_model_units: summary.desired_model_units,
        provisioned_model_name: summary.provisioned_model_name,
        provisioned_model_arn: summary.provisioned_model_arn,
        model_arn: summary.model_arn,
        desired_model_arn: summary.desired_model_arn,
        foundation_model_arn: summary.foundation_model_arn,
        status: summary.status,
        creation_time: summary.creation_time,
        last_modified_time: summary.last_modified_time,
        failure_message: None,
        commitment_duration: summary.commitment_duration,
        commitment_expiration_time: summary.commitment_expiration_time,
    })
}

pub(crate) async fn update_provisioned_model_throughput(
    cx: &mut Call,
    input: UpdateProvisionedModelThroughputInput,
) -> Result<UpdateProvisionedModelThroughputOutput, ApiError> {
    let mut provisioned = find(cx, &input.provisioned_model_id).await?;
    if let Some(model_id) = &input.desired_model_id {
        let (id, most) = provisionable(cx, model_id)?;
        if id != provisioned.model_id {
            count_units(cx, &provisioned.model_id.clone(), 0, provisioned.units, 0).await?;
            count_units(cx, &id, provisioned.units, 0, most).await?;
            provisioned.model_id = id;
        }
    }
    provisioned.name = input.desired_provisioned_model_name.unwrap_or(provisioned.name);
    provisioned.updated_ms = cx.now.0;
    cx.tx.put(&Provisioned::key(&cx.account, &cx.region, &provisioned.id), &provisioned)?;
    Ok(UpdateProvisionedModelThroughputOutput {})
}

pub(crate) async fn delete_provisioned_model_throughput(
    cx: &mut Call,
    input: DeleteProvisionedModelThroughputInput,
) -> Result<DeleteProvisionedModelThroughputOutput, ApiError> {
    let provisioned = find(cx, &input.provisioned_model_id).await?;
    if provisioned.commitment_ends_ms.is_some_and(|ends_ms| ends_ms > cx.now.0) {
        return Err(ApiError::new("ConflictException", "A provisioned throughput cannot be deleted before its commitment term is over."));
    }
    count_units(cx, &provisioned.model_id, 0, provisioned.units, 0).await?;
    cx.tx.delete::<Provisioned>(&Provisioned::key(&cx.account, &cx.region, &provisioned.id));
    Ok(DeleteProvisionedModelThroughputOutput {})
}

pub(crate) async fn list_provisioned_model_throughputs(
    cx: &mut Call,
    input: ListProvisionedModelThroughputsInput,
) -> Result<ListProvisionedModelThroughputsOutput, ApiError> {
    let rows = cx.tx.scan::<Provisioned>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
    let is_wanted = |summary: &ProvisionedModelSummary| {
        input.creation_time_after.is_none_or(|after| summary.creation_time.0 > after.0)
            && input.creation_time_before.is_none_or(|before| summary.creation_time.0 < before.0)
            && input.status_equals.as_ref().is_none_or(|status| *status == summary.status)
            && input.model_arn_equals.as_ref().is_none_or(|arn| *arn == summary.model_arn)
            && input.name_contains.as_ref().is_none_or(|part| summary.provisioned_model_name.contains(part.as_str()))
    };
    let mut items: Vec<(String, ProvisionedModelSummary)> = rows
        .iter()
        .map(|(_, provisioned)| (provisioned, provisioned.summary(cx)))
        .filter(|(_, summary)| is_wanted(summary))
        .map(|(provisioned, summary)| {
            let ascending = input.sort_order == Some(SortOrder::Ascending);
            let place = if ascending { provisioned.created_ms } else { i64::MAX - provisioned.created_ms };
            (format!("{place:020}{}", provisioned.id), summary)
        })
        .collect();
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(items, |(key, _)| key.clone(), "", input.next_token.as_deref(), limit).map_err(of_page)?;
    Ok(ListProvisionedModelThroughputsOutput {
        next_token: page.next,
        provisioned_model_summaries: Some(page.items.into_iter().map(|(_, summary)| summary).collect()),
    })
}
