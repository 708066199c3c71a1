//! SAML providers. `sts` verifies the responses that they sign.
//!
//! Source: IAM API Reference, "CreateSAMLProvider"; IAM User Guide, "Create a SAML identity provider in IAM".

use api_iam::{
    CreateSAMLProviderInput, CreateSAMLProviderOutput, DeleteSAMLProviderInput, DeleteSAMLProviderOutput, GetSAMLProviderInput,
    GetSAMLProviderOutput, ListSAMLProviderTagsInput, ListSAMLProviderTagsOutput, ListSAMLProvidersInput, ListSAMLProvidersOutput,
    SAMLProviderListEntry, TagSAMLProviderInput, TagSAMLProviderOutput, UntagSAMLProviderInput, UntagSAMLProviderOutput,
    UpdateSAMLProviderInput, UpdateSAMLProviderOutput,
};
use federation::saml::Provider;
use plane::clock::parse_iso8601;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::entity::tagged;
use crate::error::{IamError, quota_exceeded};
use crate::{identifier, tags};

/// Of one account. Source: IAM User Guide, "IAM and AWS STS quotas".
const PER_ACCOUNT: usize = 100;
/// Metadata without an end is good for a hundred years, as AWS has it.
const FOREVER_MS: i64 = 100 * 365 * 86_400_000;

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamlProviderRecord {
    pub name: String,
    pub id: String,
    pub metadata: String,
    pub valid_until_ms: i64,
    pub created_ms: i64,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Record for SamlProviderRecord {
    const TABLE: Table = Table("iam.saml-provider");
    const SCOPE: Scope = Scope::Home;
}

tagged!(SamlProviderRecord);

fn arn(account: &str, name: &str) -> String {
    identifier::arn(account, "saml-provider", "/", name)
}

fn key(account: &str, arn: &str) -> Key {
    Key::new(account, "").last(arn)
}

/// The provider of an ARN.
pub async fn find(tx: &mut Transaction, account: &str, arn: &str) -> Result<Option<SamlProviderRecord>, ApiError> {
    tx.get(&key(account, arn)).await
}

pub(crate) async fn all(tx: &mut Transaction, account: &str) -> Result<Vec<SamlProviderRecord>, ApiError> {
    let rows = tx.scan::<SamlProviderRecord>(&Key::new(account, ""), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, record)| record).collect())
}

async fn load(cx: &mut Call, arn: &str) -> Result<SamlProviderRecord, ApiError> {
    let found = find(&mut cx.tx, &cx.account, arn).await?;
    found.ok_or_else(|| IamError::NoSuchEntity(format!("Manifest not found for arn {arn}")).into())
}

fn save(cx: &mut Call, record: &SamlProviderRecord) -> Result<(), ApiError> {
    let arn = arn(&cx.account, &record.name);
    cx.tx.put(&key(&cx.account, &arn), record)
}

/// When metadata ends; it is read to see that it is an identity provider's.
fn checked(metadata: &str, now_ms: i64) -> Result<i64, IamError> {
    let provider = Provider::read(metadata).map_err(|error| IamError::InvalidInput(format!("Could not parse metadata: {error}")))?;
    let end = provider.valid_until.as_deref().and_then(parse_iso8601);
    Ok(end.unwrap_or_else(|| now_ms.saturating_add(FOREVER_MS)))
}

fn encryption_refused(given: bool) -> Result<(), IamError> {
    if !given {
        return Ok(());
    }
    Err(IamError::InvalidInput("Encrypted assertions are not supported: give neither an encryption mode nor a private key.".to_owned()))
}

pub(crate) async fn create_saml_provider(cx: &mut Call, input: CreateSAMLProviderInput) -> Result<CreateSAMLProviderOutput, ApiError> {
    encryption_refused(input.assertion_encryption_mode.is_some() || input.add_private_key.is_some())?;
    let tags = tags::from_input(input.tags)?;
    let valid_until_ms = checked(&input.saml_metadata_document, cx.now.0)?;
    let arn = arn(&cx.account, &input.name);
    if find(&mut cx.tx, &cx.account, &arn).await?.is_some() {
        return Err(IamError::EntityAlreadyExists(format!("Manifest with name {} already exists.", input.name)).into());
    }
    if all(&mut cx.tx, &cx.account).await?.len() >= PER_ACCOUNT {
        return Err(quota_exceeded("SAMLProvidersPerAccount", PER_ACCOUNT));
    }
    let record = SamlProviderRecord {
        name: input.name,
        id: identifier::unique_id(cx.plane.randomness.as_ref(), "ASPA")?,
        metadata: input.saml_metadata_document,
        valid_until_ms,
        created_ms: cx.now.0,
        tags,
    };
    save(cx, &record)?;
    Ok(CreateSAMLProviderOutput { saml_provider_arn: Some(arn), tags: tags::to_output(&record.tags) })
}

pub(crate) async fn get_saml_provider(cx: &mut Call, input: GetSAMLProviderInput) -> Result<GetSAMLProviderOutput, ApiError> {
    let record = load(cx, &input.saml_provider_arn).await?;
    Ok(GetSAMLProviderOutput {
        tags: tags::to_output(&record.tags),
        saml_provider_uuid: Some(record.id),
        saml_metadata_document: Some(record.metadata),
        create_date: Some(Timestamp(record.created_ms)),
        valid_until: Some(Timestamp(record.valid_until_ms)),
        ..GetSAMLProviderOutput::default()
    })
}

pub(crate) async fn list_saml_providers(cx: &mut Call, _input: ListSAMLProvidersInput) -> Result<ListSAMLProvidersOutput, ApiError> {
    let records = all(&mut cx.tx, &cx.account).await?;
    let shown = records.iter().map(|record| SAMLProviderListEntry {
        arn: Some(arn(&cx.account, &record.name)),
        valid_until: Some(Timestamp(record.valid_until_ms)),
        create_date: Some(Timestamp(record.created_ms)),
    });
    Ok(ListSAMLProvidersOutput { saml_provider_list: Some(shown.collect()) })
}

pub(crate) async fn update_saml_provider(cx: &mut Call, input: UpdateSAMLProviderInput) -> Result<UpdateSAMLProviderOutput, ApiError> {
    let encryption = input.assertion_encryption_mode.is_some() || input.add_private_key.is_some() || input.remove_private_key.is_some();
    encryption_refused(encryption)?;
    let mut record = load(cx, &input.saml_provider_arn).await?;
    if let Some(metadata) = input.saml_metadata_document {
        record.valid_until_ms = checked(&metadata, cx.now.0)?;
        record.metadata = metadata;
    }
    save(cx, &record)?;
    Ok(UpdateSAMLProviderOutput { saml_provider_arn: Some(input.saml_provider_arn) })
}

pub(crate) async fn delete_saml_provider(cx: &mut Call, input: DeleteSAMLProviderInput) -> Result<DeleteSAMLProviderOutput, ApiError> {
    load(cx, &input.saml_provider_arn).await?;
    cx.tx.delete::<SamlProviderRecord>(&key(&cx.account, &input.saml_provider_arn));
    Ok(DeleteSAMLProviderOutput {})
}

pub(crate) async fn tag_saml_provider(cx: &mut Call, input: TagSAMLProviderInput) -> Result<TagSAMLProviderOutput, ApiError> {
    let mut record = load(cx, &input.saml_provider_arn).await?;
    tags::merge(&mut record.tags, input.tags)?;
    save(cx, &record)?;
    Ok(TagSAMLProviderOutput {})
}

pub(crate) async fn untag_saml_provider(cx: &mut Call, input: UntagSAMLProviderInput) -> Result<UntagSAMLProviderOutput, ApiError> {
    let mut record = load(cx, &input.saml_provider_arn).await?;
    tags::remove(&mut record.tags, &input.tag_keys);
    save(cx, &record)?;
    Ok(UntagSAMLProviderOutput {})
}

pub(crate) async fn list_saml_provider_tags(
    cx: &mut Call,
    input: ListSAMLProviderTagsInput,
) -> Result<ListSAMLProviderTagsOutput, ApiError> {
    let record = load(cx, &input.saml_provider_arn).await?;
    let page = tags::cut(cx, &record, &record.id, input.marker.as_deref(), input.max_items)?;
    Ok(ListSAMLProviderTagsOutput { tags: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}
