//! Inference profiles: those that the owner declares for everybody, and those that an account makes to tell its use apart.
//!
//! Source: Bedrock User Guide, "Set up a model invocation resource using inference profiles".

use api_bedrock::{
    CreateInferenceProfileInput, CreateInferenceProfileOutput, DeleteInferenceProfileInput, DeleteInferenceProfileOutput,
    GetInferenceProfileInput, GetInferenceProfileOutput, InferenceProfileModel, InferenceProfileModelSource, InferenceProfileStatus,
    InferenceProfileSummary, InferenceProfileType, ListInferenceProfilesInput, ListInferenceProfilesOutput,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::{Secret, Timestamp};

use crate::model::{self, Named, foundation_model_arn, resource_arn};
use crate::refusal::{Refusal, of_page};
use crate::runtime::{self, State};
use crate::tag;
use crate::upstream::settings::ProfileSettings;

/// Letters of ids, which have twelve.
pub(crate) const ID_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
pub(crate) const ID_LENGTH: usize = 12;
/// Profiles on one page, when the caller does not say.
const PAGE_LENGTH: usize = 100;
/// Application profiles of an account in a region. Source: Bedrock quotas.
const PROFILES_MAX: usize = 1_000;
const KIND: &str = "application-inference-profile";

/// An application inference profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// Identifier of the model, or of the system-defined profile, that it copies.
    pub(crate) source: String,
    pub(crate) copies_system: bool,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) created_ms: i64,
}

impl Record for Profile {
    const TABLE: Table = Table("bedrock-inference-profile");
    const SCOPE: Scope = Scope::Region;
}

impl Profile {
    pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    pub(crate) async fn find(tx: &mut Transaction, account: &str, region: &str, id: &str) -> Result<Option<Self>, ApiError> {
        tx.get::<Self>(&Self::key(account, region, id)).await
    }

    fn summary(&self, cx: &Call, state: &State) -> InferenceProfileSummary {
        let models = model::profile_source(state, self).unwrap_or_default();
        InferenceProfileSummary {
            inference_profile_name: self.name.clone(),
            description: self.description.clone().map(Secret::new),
            created_at: Some(Timestamp(self.created_ms)),
            updated_at: Some(Timestamp(self.created_ms)),
            inference_profile_arn: resource_arn(&cx.region, &cx.account, KIND, &self.id),
            models: models.iter().map(|(id, _)| behind(&cx.region, id)).collect(),
            inference_profile_id: self.id.clone(),
            status: InferenceProfileStatus::Active,
            type_: InferenceProfileType::Application,
        }
    }
}

fn behind(region: &str, id: &str) -> InferenceProfileModel {
    InferenceProfileModel { model_arn: Some(foundation_model_arn(region, id)) }
}

fn system(cx: &Call, profile: &ProfileSettings) -> InferenceProfileSummary {
    InferenceProfileSummary {
        inference_profile_name: profile.name.clone().unwrap_or_else(|| profile.id.clone()),
        description: profile.description.clone().map(Secret::new),
        created_at: None,
        updated_at: None,
        inference_profile_arn: resource_arn(&cx.region, &cx.account, "inference-profile", &profile.id),
        models: profile.models.iter().map(|part| behind(&cx.region, &part.model)).collect(),
        inference_profile_id: profile.id.clone(),
        status: InferenceProfileStatus::Active,
        type_: InferenceProfileType::SystemDefined,
    }
}

pub(crate) async fn create_inference_profile(
    cx: &mut Call,
    input: CreateInferenceProfileInput,
) -> Result<CreateInferenceProfileOutput, ApiError> {
    let state = runtime::state(cx)?;
    let tags = tag::pairs(input.tags)?;
    let InferenceProfileModelSource::CopyFrom(source) = input.model_source else {
        return Err(Refusal::invalid("The model source names nothing.").into());
    };
    let is_profile = |id: &str| state.gateway.profile(id).is_some();
    let (source, copies_system) = match model::parse(&cx.region, &cx.account, &source, is_profile)? {
        Named::Foundation(id) => (id, false),
        Named::SystemProfile(id) => (id, true),
        _ => return Err(Refusal::invalid("The model source must be a foundation model or a system-defined inference profile.").into()),
    };
    let exists = if copies_system {
        state.gateway.profile(&source).is_some()
    } else {
        state.gateway.route(cx.plane.as_ref(), &source).await?.is_some()
    };
    if !exists {
        return Err(Refusal::ModelNotFound.into());
    }
    let existing = cx.tx.scan::<Profile>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
    if existing.iter().any(|(_, profile)| profile.name == input.inference_profile_name) {
        return Err(ApiError::new("ConflictException", "An inference profile of this name exists already in your account."));
    }
    if existing.len() >= PROFILES_MAX {
        return Err(ApiError::new("ServiceQuotaExceededException", "Your account has no more inference profiles in this region."));
    }
    let profile = Profile {
        id: cx.random_id(ID_ALPHABET, ID_LENGTH)?,
        name: input.inference_profile_name,
        description: input.description.map(Secret::into_inner),
        source,
        copies_system,
        tags,
        created_ms: cx.now.0,
    };
    cx.tx.put(&Profile::key(&cx.account, &cx.region, &profile.id), &profile)?;
    let inference_profile_arn = resource_arn(&cx.region, &cx.account, KIND, &profile.id);
    Ok(CreateInferenceProfileOutput { inference_profile_arn, status: Some(InferenceProfileStatus::Active) })
}

/// The id behind an identifier: itself, or that of an ARN of one of the two types.
fn id_of<'a>(cx: &Call, identifier: &'a str) -> Result<&'a str, Refusal> {
    if !identifier.starts_with("arn:") {
        return Ok(identifier);
    }
    let of = |kind: &str| identifier.strip_prefix(&resource_arn(&cx.region, &cx.account, kind, ""));
    of(KIND).or_else(|| of("inference-profile")).ok_or_else(|| missing(identifier))
}

fn missing(identifier: &str) -> Refusal {
    Refusal::Resource(identifier.to_owned())
}

pub(crate) async fn get_inference_profile(cx: &mut Call, input: GetInferenceProfileInput) -> Result<GetInferenceProfileOutput, ApiError> {
    let state = runtime::state(cx)?;
    let identifier = input.inference_profile_identifier;
    let id = id_of(cx, &identifier)?.to_owned();
    let summary = if let Some(profile) = state.gateway.profile(&id) {
        system(cx, profile)
    } else {
        let (account, region) = (cx.account.clone(), cx.region.clone());
        let profile = Profile::find(&mut cx.tx, &account, &region, &id).await?.ok_or_else(|| missing(&identifier))?;
        profile.summary(cx, &state)
    };
    Ok(GetInferenceProfileOutput {
        inference_profile_name: summary.inference_profile_name,
        description: summary.description,
        created_at: summary.created_at,
        updated_at: summary.updated_at,
        inference_profile_arn: summary.inference_profile_arn,
        models: summary.models,
        inference_profile_id: summary.inference_profile_id,
        status: summary.status,
        type_: summary.type_,
    })
}

pub(crate) async fn list_inference_profiles(
    cx: &mut Call,
    input: ListInferenceProfilesInput,
) -> Result<ListInferenceProfilesOutput, ApiError> {
    let state = runtime::state(cx)?;
    let is_wanted = |kind: &InferenceProfileType| input.type_equals.as_ref().is_none_or(|wanted| wanted == kind);
    let mut items = Vec::new();
    if is_wanted(&InferenceProfileType::SystemDefined) {
        items.extend(state.gateway.settings.inference_profiles.iter().map(|profile| (format!("0{}", profile.id), system(cx, profile))));
    }
    if is_wanted(&InferenceProfileType::Application) {
        let rows = cx.tx.scan::<Profile>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
        items.extend(rows.iter().map(|(_, profile)| (format!("1{}", profile.id), profile.summary(cx, &state))));
    }
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let filter = input.type_equals.as_ref().map(|kind| kind.as_str().to_owned()).unwrap_or_default();
    let page = cx.page(items, |(key, _)| key.clone(), &filter, input.next_token.as_deref(), limit).map_err(of_page)?;
    Ok(ListInferenceProfilesOutput {
        inference_profile_summaries: Some(page.items.into_iter().map(|(_, summary)| summary).collect()),
        next_token: page.next,
    })
}

pub(crate) async fn delete_inference_profile(
    cx: &mut Call,
    input: DeleteInferenceProfileInput,
) -> Result<DeleteInferenceProfileOutput, ApiError> {
    let state = runtime::state(cx)?;
    let identifier = input.inference_profile_identifier;
    let id = id_of(cx, &identifier)?.to_owned();
    if state.gateway.profile(&id).is_some() {
        return Err(Refusal::invalid("A system-defined inference profile cannot be deleted.").into());
    }
    let (account, region) = (cx.account.clone(), cx.region.clone());
    Profile::find(&mut cx.tx, &account, &region, &id).await?.ok_or_else(|| missing(&identifier))?;
    cx.tx.delete::<Profile>(&Profile::key(&account, &region, &id));
    Ok(DeleteInferenceProfileOutput {})
}
