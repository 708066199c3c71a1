//! Certificate revocation lists of trust anchors.
//!
//! Source: IAM Roles Anywhere API Reference, "ImportCrl" and its kin.

use api_rolesanywhere::{
    CrlDetail, DeleteCrlInput, DeleteCrlOutput, DisableCrlInput, DisableCrlOutput, EnableCrlInput, EnableCrlOutput, GetCrlInput,
    GetCrlOutput, ImportCrlInput, ImportCrlOutput, ListCrlsInput, ListCrlsOutput, UpdateCrlInput, UpdateCrlOutput,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certificate::RevocationList;
use plane::{ApiError, Call};
use serde::{Deserialize, Serialize};
use wire::Timestamp;

use crate::error::{RolesAnywhereError, unsupported};
use crate::resource::{self, Resource, resource};
use crate::tag;
use crate::trust_anchor::TrustAnchorRecord;

/// Lists of one trust anchor. Source: IAM Roles Anywhere quotas.
const PER_ANCHOR: usize = 2;

/// A revocation list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RevocationListRecord {
    pub id: String,
    pub name: String,
    pub enabled: bool,
    /// As it came, in base64.
    pub data: String,
    pub trust_anchor_id: String,
    pub created_ms: i64,
    pub updated_ms: i64,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

resource!(RevocationListRecord, "crl", "rolesanywhere.crl");

impl RevocationListRecord {
    fn bytes(&self) -> Result<Vec<u8>, ApiError> {
        STANDARD.decode(&self.data).map_err(|error| ApiError::internal(&error))
    }

    /// The list, which was read when it came in.
    pub(crate) fn list(&self) -> Result<RevocationList, ApiError> {
        RevocationList::read(&self.bytes()?).map_err(|error| ApiError::internal(&error))
    }

    fn detail(&self, cx: &Call) -> Result<CrlDetail, ApiError> {
        Ok(CrlDetail {
            crl_id: Some(self.id.clone()),
            crl_arn: Some(self.arn(&cx.account, &cx.region)),
            name: Some(self.name.clone()),
            enabled: Some(self.enabled),
            crl_data: Some(self.bytes()?.into()),
            trust_anchor_arn: Some(resource::arn::<TrustAnchorRecord>(&cx.account, &cx.region, &self.trust_anchor_id)),
            created_at: Some(Timestamp(self.created_ms)),
            updated_at: Some(Timestamp(self.updated_ms)),
            ..CrlDetail::default()
        })
    }
}

fn checked(bytes: &[u8]) -> Result<String, ApiError> {
    RevocationList::read(bytes).map_err(|error| RolesAnywhereError::Validation(format!("Incorrect CRL data: {error}")))?;
    Ok(STANDARD.encode(bytes))
}

/// The enabled lists of a trust anchor.
pub(crate) async fn of_anchor(cx: &mut Call, trust_anchor_id: &str) -> Result<Vec<RevocationList>, ApiError> {
    let records = resource::all::<RevocationListRecord>(&mut cx.tx, &cx.account, &cx.region).await?;
    records.iter().filter(|record| record.enabled && record.trust_anchor_id == trust_anchor_id).map(RevocationListRecord::list).collect()
}

pub(crate) async fn import_crl(cx: &mut Call, input: ImportCrlInput) -> Result<ImportCrlOutput, ApiError> {
    if input.alias_name.is_some() {
        return Err(unsupported("aliasName"));
    }
    let anchor = resource::load::<TrustAnchorRecord>(cx, &input.trust_anchor_arn).await?;
    let tags = tag::from_input(input.tags)?;
    let data = checked(&input.crl_data)?;
    let existing = resource::all::<RevocationListRecord>(&mut cx.tx, &cx.account, &cx.region).await?;
    if existing.iter().filter(|record| record.trust_anchor_id == anchor.id).count() >= PER_ANCHOR {
        return Err(RolesAnywhereError::Validation(format!("a trust anchor has at most {PER_ANCHOR} revocation lists")).into());
    }
    let record = RevocationListRecord {
        id: cx.plane.random_uuid()?,
        name: input.name,
        enabled: input.enabled.unwrap_or_default(),
        data,
        trust_anchor_id: anchor.id,
        created_ms: cx.now.0,
        updated_ms: cx.now.0,
        tags,
    };
    resource::save(cx, &record)?;
    Ok(ImportCrlOutput { crl: record.detail(cx)? })
}

pub(crate) async fn get_crl(cx: &mut Call, input: GetCrlInput) -> Result<GetCrlOutput, ApiError> {
    let record = resource::load::<RevocationListRecord>(cx, &input.crl_id).await?;
    Ok(GetCrlOutput { crl: record.detail(cx)? })
}

pub(crate) async fn list_crls(cx: &mut Call, input: ListCrlsInput) -> Result<ListCrlsOutput, ApiError> {
    let records = resource::all::<RevocationListRecord>(&mut cx.tx, &cx.account, &cx.region).await?;
    let (items, next_token) = resource::cut(cx, records, input.next_token.as_deref(), input.page_size)?;
    let crls = items.iter().map(|record| record.detail(cx)).collect::<Result<_, _>>()?;
    Ok(ListCrlsOutput { crls: Some(crls), next_token })
}

pub(crate) async fn update_crl(cx: &mut Call, input: UpdateCrlInput) -> Result<UpdateCrlOutput, ApiError> {
    if input.alias_name.is_some() {
        return Err(unsupported("aliasName"));
    }
    let mut record = resource::load::<RevocationListRecord>(cx, &input.crl_id).await?;
    if let Some(data) = input.crl_data {
        record.data = checked(&data)?;
    }
    record.name = input.name.unwrap_or(record.name);
    record.updated_ms = cx.now.0;
    resource::save(cx, &record)?;
    Ok(UpdateCrlOutput { crl: record.detail(cx)? })
}

pub(crate) async fn delete_crl(cx: &mut Call, input: DeleteCrlInput) -> Result<DeleteCrlOutput, ApiError> {
    let record = resource::load::<RevocationListRecord>(cx, &input.crl_id).await?;
    resource::remove(cx, &record);
    Ok(DeleteCrlOutput { crl: record.detail(cx)? })
}

async fn switch(cx: &mut Call, identifier: &str, enabled: bool) -> Result<CrlDetail, ApiError> {
    let mut record = resource::load::<RevocationListRecord>(cx, identifier).await?;
    record.enabled = enabled;
    record.updated_ms = cx.now.0;
    resource::save(cx, &record)?;
    record.detail(cx)
}

pub(crate) async fn enable_crl(cx: &mut Call, input: EnableCrlInput) -> Result<EnableCrlOutput, ApiError> {
    Ok(EnableCrlOutput { crl: switch(cx, &input.crl_id, true).await? })
}

pub(crate) async fn disable_crl(cx: &mut Call, input: DisableCrlInput) -> Result<DisableCrlOutput, ApiError> {
    Ok(DisableCrlOutput { crl: switch(cx, &input.crl_id, false).await? })
}
