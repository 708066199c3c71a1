//! OpenID Connect providers. `sts` fetches their keys and verifies their tokens.
//!
//! Source: IAM API Reference, "CreateOpenIDConnectProvider"; IAM User Guide, "Create an OpenID Connect (OIDC) identity provider in IAM".

use api_iam::{
    AddClientIDToOpenIDConnectProviderInput, AddClientIDToOpenIDConnectProviderOutput, CreateOpenIDConnectProviderInput,
    CreateOpenIDConnectProviderOutput, DeleteOpenIDConnectProviderInput, DeleteOpenIDConnectProviderOutput, GetOpenIDConnectProviderInput,
    GetOpenIDConnectProviderOutput, ListOpenIDConnectProviderTagsInput, ListOpenIDConnectProviderTagsOutput,
    ListOpenIDConnectProvidersInput, ListOpenIDConnectProvidersOutput, OpenIDConnectProviderListEntry,
    RemoveClientIDFromOpenIDConnectProviderInput, RemoveClientIDFromOpenIDConnectProviderOutput, TagOpenIDConnectProviderInput,
    TagOpenIDConnectProviderOutput, UntagOpenIDConnectProviderInput, UntagOpenIDConnectProviderOutput,
    UpdateOpenIDConnectProviderThumbprintInput, UpdateOpenIDConnectProviderThumbprintOutput,
};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::entity::tagged;
use crate::error::{IamError, quota_exceeded};
use crate::{identifier, tags};

/// Of one account. Source: IAM User Guide, "IAM and AWS STS quotas".
const PER_ACCOUNT: usize = 100;
/// Client ids of one provider.
const CLIENT_IDS: usize = 100;
const THUMBPRINTS: usize = 5;
const THUMBPRINT_LENGTH: usize = 40;

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OidcProviderRecord {
    /// Without `https://` and without a slash at the end: the form of ARNs and of condition keys.
    pub url: String,
    pub client_ids: Vec<String>,
    pub thumbprints: Vec<String>,
    pub created_ms: i64,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Record for OidcProviderRecord {
    const TABLE: Table = Table("iam.oidc-provider");
    const SCOPE: Scope = Scope::Home;
}

tagged!(OidcProviderRecord);

/// ARN of the provider of a URL (without scheme).
pub fn arn(account: &str, url: &str) -> String {
    identifier::arn(account, "oidc-provider", "/", url)
}

fn key(account: &str, arn: &str) -> Key {
    Key::new(account, "").last(arn)
}

/// The provider of an ARN.
pub async fn find(tx: &mut Transaction, account: &str, arn: &str) -> Result<Option<OidcProviderRecord>, ApiError> {
    tx.get(&key(account, arn)).await
}

pub(crate) async fn all(tx: &mut Transaction, account: &str) -> Result<Vec<OidcProviderRecord>, ApiError> {
    let rows = tx.scan::<OidcProviderRecord>(&Key::new(account, ""), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, record)| record).collect())
}

async fn load(cx: &mut Call, arn: &str) -> Result<OidcProviderRecord, ApiError> {
    let found = find(&mut cx.tx, &cx.account, arn).await?;
    found.ok_or_else(|| IamError::NoSuchEntity(format!("OpenIDConnect Provider not found for arn {arn}")).into())
}

fn save(cx: &mut Call, record: &OidcProviderRecord) -> Result<(), ApiError> {
    let arn = arn(&cx.account, &record.url);
    cx.tx.put(&key(&cx.account, &arn), record)
}

/// The URL as it is kept.
fn checked_url(url: &str) -> Result<String, IamError> {
    let invalid = |text: &str| IamError::ValidationError(text.to_owned());
    let rest = url.strip_prefix("https://").ok_or_else(|| invalid("Invalid Open ID Connect Provider URL"))?;
    let host = rest.split('/').next().unwrap_or_default();
    let odd = rest.contains(['?', '#', '@', ' ']);
    if host.is_empty() || odd || rest.contains("//") {
        return Err(invalid("Invalid Open ID Connect Provider URL"));
    }
    Ok(rest.trim_end_matches('/').to_owned())
}

fn check_thumbprints(thumbprints: &[String]) -> Result<(), IamError> {
    if thumbprints.len() > THUMBPRINTS {
        return Err(IamError::InvalidInput("Thumbprint list must contain fewer than 5 entries.".to_owned()));
    }
    let is_digest = |text: &String| text.len() == THUMBPRINT_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if thumbprints.iter().all(is_digest) { Ok(()) } else { Err(IamError::ValidationError("Invalid thumbprint.".to_owned())) }
}

fn too_many_clients() -> ApiError {
    quota_exceeded("ClientIdsPerOpenIdConnectProvider", CLIENT_IDS)
}

pub(crate) async fn create_open_id_connect_provider(
    cx: &mut Call,
    input: CreateOpenIDConnectProviderInput,
) -> Result<CreateOpenIDConnectProviderOutput, ApiError> {
    let tags = tags::from_input(input.tags)?;
    let url = checked_url(&input.url)?;
    let client_ids = input.client_id_list.unwrap_or_default();
    if client_ids.len() > CLIENT_IDS {
        return Err(too_many_clients());
    }
    let thumbprints = input.thumbprint_list.unwrap_or_default();
    check_thumbprints(&thumbprints)?;
    let arn = arn(&cx.account, &url);
    if find(&mut cx.tx, &cx.account, &arn).await?.is_some() {
        return Err(IamError::EntityAlreadyExists(format!("Provider with url https://{url} already exists.")).into());
    }
    if all(&mut cx.tx, &cx.account).await?.len() >= PER_ACCOUNT {
        return Err(quota_exceeded("OpenIdConnectProvidersPerAccount", PER_ACCOUNT));
    }
    let record = OidcProviderRecord { url, client_ids, thumbprints, created_ms: cx.now.0, tags };
    save(cx, &record)?;
    Ok(CreateOpenIDConnectProviderOutput { open_id_connect_provider_arn: Some(arn), tags: tags::to_output(&record.tags) })
}

pub(crate) async fn get_open_id_connect_provider(
    cx: &mut Call,
    input: GetOpenIDConnectProviderInput,
) -> Result<GetOpenIDConnectProviderOutput, ApiError> {
    let record = load(cx, &input.open_id_connect_provider_arn).await?;
    Ok(GetOpenIDConnectProviderOutput {
        tags: tags::to_output(&record.tags),
        url: Some(record.url),
        client_id_list: Some(record.client_ids),
        thumbprint_list: Some(record.thumbprints),
        create_date: Some(Timestamp(record.created_ms)),
    })
}

pub(crate) async fn list_open_id_connect_providers(
    cx: &mut Call,
    _input: ListOpenIDConnectProvidersInput,
) -> Result<ListOpenIDConnectProvidersOutput, ApiError> {
    let records = all(&mut cx.tx, &cx.account).await?;
    let shown = records.iter().map(|record| OpenIDConnectProviderListEntry { arn: Some(arn(&cx.account, &record.url)) });
    Ok(ListOpenIDConnectProvidersOutput { open_id_connect_provider_list: Some(shown.collect()) })
}

/// Once deleted there is nothing to delete; AWS answers a second call as the first.
pub(crate) async fn delete_open_id_connect_provider(
    cx: &mut Call,
    input: DeleteOpenIDConnectProviderInput,
) -> Result<DeleteOpenIDConnectProviderOutput, ApiError> {
    cx.tx.delete::<OidcProviderRecord>(&key(&cx.account, &input.open_id_connect_provider_arn));
    Ok(DeleteOpenIDConnectProviderOutput {})
}

pub(crate) async fn add_client_id_to_open_id_connect_provider(
    cx: &mut Call,
    input: AddClientIDToOpenIDConnectProviderInput,
) -> Result<AddClientIDToOpenIDConnectProviderOutput, ApiError> {
    let mut record = load(cx, &input.open_id_connect_provider_arn).await?;
    if !record.client_ids.contains(&input.client_id) {
        if record.client_ids.len() >= CLIENT_IDS {
            return Err(too_many_clients());
        }
        record.client_ids.push(input.client_id);
        save(cx, &record)?;
    }
    Ok(AddClientIDToOpenIDConnectProviderOutput {})
}

pub(crate) async fn remove_client_id_from_open_id_connect_provider(
    cx: &mut Call,
    input: RemoveClientIDFromOpenIDConnectProviderInput,
) -> Result<RemoveClientIDFromOpenIDConnectProviderOutput, ApiError> {
    let mut record = load(cx, &input.open_id_connect_provider_arn).await?;
    record.client_ids.retain(|id| *id != input.client_id);
    save(cx, &record)?;
    Ok(RemoveClientIDFromOpenIDConnectProviderOutput {})
}

pub(crate) async fn update_open_id_connect_provider_thumbprint(
    cx: &mut Call,
    input: UpdateOpenIDConnectProviderThumbprintInput,
) -> Result<UpdateOpenIDConnectProviderThumbprintOutput, ApiError> {
    check_thumbprints(&input.thumbprint_list)?;
    let mut record = load(cx, &input.open_id_connect_provider_arn).await?;
    record.thumbprints = input.thumbprint_list;
    save(cx, &record)?;
    Ok(UpdateOpenIDConnectProviderThumbprintOutput {})
}

pub(crate) async fn tag_open_id_connect_provider(
    cx: &mut Call,
    input: TagOpenIDConnectProviderInput,
) -> Result<TagOpenIDConnectProviderOutput, ApiError> {
    let mut record = load(cx, &input.open_id_connect_provider_arn).await?;
    tags::merge(&mut record.tags, input.tags)?;
    save(cx, &record)?;
    Ok(TagOpenIDConnectProviderOutput {})
}

pub(crate) async fn untag_open_id_connect_provider(
    cx: &mut Call,
    input: UntagOpenIDConnectProviderInput,
) -> Result<UntagOpenIDConnectProviderOutput, ApiError> {
    let mut record = load(cx, &input.open_id_connect_provider_arn).await?;
    tags::remove(&mut record.tags, &input.tag_keys);
    save(cx, &record)?;
    Ok(UntagOpenIDConnectProviderOutput {})
}

pub(crate) async fn list_open_id_connect_provider_tags(
    cx: &mut Call,
    input: ListOpenIDConnectProviderTagsInput,
) -> Result<ListOpenIDConnectProviderTagsOutput, ApiError> {
    let record = load(cx, &input.open_id_connect_provider_arn).await?;
    let page = tags::cut(cx, &record, &record.url, input.marker.as_deref(), input.max_items)?;
    Ok(ListOpenIDConnectProviderTagsOutput { tags: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_kept_without_scheme_and_last_slash() {
        assert_eq!(checked_url("https://id.example/a/").unwrap(), "id.example/a");
        for wrong in ["http://id.example", "https://", "https://id.example/?x", "https://a@b", "https://a//b"] {
            checked_url(wrong).unwrap_err();
        }
        check_thumbprints(&["A".repeat(40)]).unwrap();
        check_thumbprints(&["x".repeat(40)]).unwrap_err();
    }
}
