//! Trust anchors: the certificate authorities that an account trusts to name its workloads.
//!
//! Source: IAM Roles Anywhere API Reference, "CreateTrustAnchor" and its kin.

use api_rolesanywhere::{
    CreateTrustAnchorInput, CreateTrustAnchorOutput, DeleteTrustAnchorInput, DeleteTrustAnchorOutput, DisableTrustAnchorInput,
    DisableTrustAnchorOutput, EnableTrustAnchorInput, EnableTrustAnchorOutput, GetTrustAnchorInput, GetTrustAnchorOutput,
    ListTrustAnchorsInput, ListTrustAnchorsOutput, Source, SourceData, TrustAnchorDetail, TrustAnchorType, UpdateTrustAnchorInput,
    UpdateTrustAnchorOutput,
};
use certificate::Certificate;
use plane::{ApiError, Call};
use serde::{Deserialize, Serialize};
use wire::Timestamp;

use crate::error::{RolesAnywhereError, unsupported};
use crate::notification;
use crate::resource::{self, Resource, resource};
use crate::tag;

/// Certificates of one bundle.
const BUNDLE: usize = 2;
/// Anchors of an account and region. Source: IAM Roles Anywhere quotas.
const PER_ACCOUNT: usize = 50;

/// A trust anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrustAnchorRecord {
    pub id: String,
    pub name: String,
    pub bundle: String,
    pub enabled: bool,
    pub created_ms: i64,
    pub updated_ms: i64,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    #[serde(default)]
    pub notifications: notification::Settings,
}

resource!(TrustAnchorRecord, "trust-anchor", "rolesanywhere.trust-anchor");

impl TrustAnchorRecord {
    /// The certificates of the bundle. They were read when they came in.
    pub(crate) fn certificates(&self) -> Result<Vec<Certificate>, ApiError> {
        Certificate::from_pem(&self.bundle, BUNDLE).map_err(|error| ApiError::internal(&error))
    }

    pub(crate) fn detail(&self, cx: &Call) -> TrustAnchorDetail {
        TrustAnchorDetail {
            trust_anchor_id: Some(self.id.clone()),
            trust_anchor_arn: Some(self.arn(&cx.account, &cx.region)),
            name: Some(self.name.clone()),
            source: Some(Source {
                source_type: Some(TrustAnchorType::CertificateBundle),
                source_data: Some(SourceData::X509CertificateData(self.bundle.clone())),
            }),
            enabled: Some(self.enabled),
            crl_dp_revocation_enabled: Some(false),
            created_at: Some(Timestamp(self.created_ms)),
            updated_at: Some(Timestamp(self.updated_ms)),
            notification_settings: Some(notification::details(&self.notifications, &cx.account)),
            ..TrustAnchorDetail::default()
        }
    }
}

/// The bundle of a source, checked.
fn bundle(source: Source) -> Result<String, ApiError> {
    let invalid = |text: String| RolesAnywhereError::Validation(text);
    let bundle = match (source.source_type, source.source_data) {
        (Some(TrustAnchorType::CertificateBundle), Some(SourceData::X509CertificateData(bundle))) => bundle,
        (Some(TrustAnchorType::CertificateBundle), _) => {
            return Err(invalid("the source of a certificate bundle is `x509CertificateData`".to_owned()).into());
        }
        _ => return Err(unsupported("source.sourceType")),
    };
    let certificates =
        Certificate::from_pem(&bundle, BUNDLE).map_err(|error| invalid(format!("Incorrect basic constraints or format: {error}")))?;
    if certificates.iter().any(|certificate| !certificate.is_authority || !certificate.certificate_signing || !certificate.is_v3) {
        return Err(invalid("Incorrect basic constraints for CA certificate".to_owned()).into());
    }
    Ok(bundle)
}

pub(crate) async fn create_trust_anchor(cx: &mut Call, input: CreateTrustAnchorInput) -> Result<CreateTrustAnchorOutput, ApiError> {
    if input.crl_dp_revocation_enabled == Some(true) {
        return Err(unsupported("crlDpRevocationEnabled"));
    }
    if input.alias_name.is_some() {
        return Err(unsupported("aliasName"));
    }
    let notifications = notification::of_input(input.notification_settings.unwrap_or_default())?;
    let tags = tag::from_input(input.tags)?;
    let bundle = bundle(input.source)?;
    if resource::all::<TrustAnchorRecord>(&mut cx.tx, &cx.account, &cx.region).await?.len() >= PER_ACCOUNT {
        return Err(RolesAnywhereError::Validation(format!("an account has at most {PER_ACCOUNT} trust anchors in a region")).into());
    }
    let record = TrustAnchorRecord {
        id: cx.plane.random_uuid()?,
        name: input.name,
        bundle,
        enabled: input.enabled.unwrap_or_default(),
        created_ms: cx.now.0,
        updated_ms: cx.now.0,
        tags,
        notifications,
    };
    resource::save(cx, &record)?;
    Ok(CreateTrustAnchorOutput { trust_anchor: record.detail(cx) })
}

pub(crate) async fn get_trust_anchor(cx: &mut Call, input: GetTrustAnchorInput) -> Result<GetTrustAnchorOutput, ApiError> {
    let record = resource::load::<TrustAnchorRecord>(cx, &input.trust_anchor_id).await?;
    Ok(GetTrustAnchorOutput { trust_anchor: record.detail(cx) })
}

pub(crate) async fn list_trust_anchors(cx: &mut Call, input: ListTrustAnchorsInput) -> Result<ListTrustAnchorsOutput, ApiError> {
    let records = resource::all::<TrustAnchorRecord>(&mut cx.tx, &cx.account, &cx.region).await?;
    let (items, next_token) = resource::cut(cx, records, input.next_token.as_deref(), input.page_size)?;
    Ok(ListTrustAnchorsOutput { trust_anchors: Some(items.iter().map(|record| record.detail(cx)).collect()), next_token })
}

pub(crate) async fn update_trust_anchor(cx: &mut Call, input: UpdateTrustAnchorInput) -> Result<UpdateTrustAnchorOutput, ApiError> {
    if input.crl_dp_revocation_enabled == Some(true) {
        return Err(unsupported("crlDpRevocationEnabled"));
    }
    if input.alias_name.is_some() {
        return Err(unsupported("aliasName"));
    }
    let mut record = resource::load::<TrustAnchorRecord>(cx, &input.trust_anchor_id).await?;
    if let Some(source) = input.source {
        record.bundle = bundle(source)?;
    }
    record.name = input.name.unwrap_or(record.name);
    record.updated_ms = cx.now.0;
    resource::save(cx, &record)?;
    Ok(UpdateTrustAnchorOutput { trust_anchor: record.detail(cx) })
}

pub(crate) async fn delete_trust_anchor(cx: &mut Call, input: DeleteTrustAnchorInput) -> Result<DeleteTrustAnchorOutput, ApiError> {
    let record = resource::load::<TrustAnchorRecord>(cx, &input.trust_anchor_id).await?;
    resource::remove(cx, &record);
    Ok(DeleteTrustAnchorOutput { trust_anchor: record.detail(cx) })
}

async fn switch(cx: &mut Call, identifier: &str, enabled: bool) -> Result<TrustAnchorDetail, ApiError> {
    let mut record = resource::load::<TrustAnchorRecord>(cx, identifier).await?;
    record.enabled = enabled;
    record.updated_ms = cx.now.0;
    resource::save(cx, &record)?;
    Ok(record.detail(cx))
}

pub(crate) async fn enable_trust_anchor(cx: &mut Call, input: EnableTrustAnchorInput) -> Result<EnableTrustAnchorOutput, ApiError> {
    Ok(EnableTrustAnchorOutput { trust_anchor: switch(cx, &input.trust_anchor_id, true).await? })
}

pub(crate) async fn disable_trust_anchor(cx: &mut Call, input: DisableTrustAnchorInput) -> Result<DisableTrustAnchorOutput, ApiError> {
    Ok(DisableTrustAnchorOutput { trust_anchor: switch(cx, &input.trust_anchor_id, false).await? })
}
