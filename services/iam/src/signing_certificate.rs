//! X.509 signing certificates of users. No API here takes their signatures; they are kept, checked and shown.
//!
//! Source: IAM API Reference, "UploadSigningCertificate".

use api_iam::{
    DeleteSigningCertificateInput, DeleteSigningCertificateOutput, ListSigningCertificatesInput, ListSigningCertificatesOutput,
    SigningCertificate, StatusType, UpdateSigningCertificateInput, UpdateSigningCertificateOutput, UploadSigningCertificateInput,
    UploadSigningCertificateOutput,
};
use certificate::Certificate;
use plane::session::KEY_ID_ALPHABET;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::entity::UserRecord;
use crate::error::{IamError, quota_exceeded};
use crate::page;
use crate::service_specific_credential::user_of;
use crate::ssh_public_key::status_of;

/// Of one user. Source: IAM User Guide, "IAM and AWS STS quotas".
pub(crate) const PER_USER: usize = 2;
const ID_LENGTH: usize = 32;

/// A certificate of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SigningCertificateRecord {
    pub id: String,
    pub body: String,
    /// What tells one certificate from another, however its text is broken into lines.
    pub der_sha256: String,
    pub active: bool,
    pub uploaded_ms: i64,
}

impl Record for SigningCertificateRecord {
    const TABLE: Table = Table("iam.signing-certificate");
    const SCOPE: Scope = Scope::Home;
}

fn of_user(account: &str, user_id: &str) -> Key {
    Key::new(account, "").then(user_id)
}

/// The certificates of a user.
pub(crate) async fn all_of(tx: &mut Transaction, account: &str, user_id: &str) -> Result<Vec<SigningCertificateRecord>, ApiError> {
    let rows = tx.scan::<SigningCertificateRecord>(&of_user(account, user_id), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, record)| record).collect())
}

fn output(user: &UserRecord, record: &SigningCertificateRecord) -> SigningCertificate {
    SigningCertificate {
        user_name: user.head.name.clone(),
        certificate_id: record.id.clone(),
        certificate_body: record.body.clone(),
        status: if record.active { StatusType::Active } else { StatusType::Inactive },
        upload_date: Some(Timestamp(record.uploaded_ms)),
    }
}

async fn load(cx: &mut Call, user_name: Option<&str>, id: &str) -> Result<(UserRecord, SigningCertificateRecord), ApiError> {
    let user = user_of(cx, user_name).await?;
    let found = cx.tx.get::<SigningCertificateRecord>(&of_user(&cx.account, &user.head.id).last(id)).await?;
    let record = found.ok_or_else(|| IamError::NoSuchEntity(format!("The Certificate with id {id} cannot be found.")))?;
    Ok((user, record))
}

fn save(cx: &mut Call, user: &UserRecord, record: &SigningCertificateRecord) -> Result<(), ApiError> {
    cx.tx.put(&of_user(&cx.account, &user.head.id).last(&record.id), record)
}

pub(crate) async fn upload_signing_certificate(
    cx: &mut Call,
    input: UploadSigningCertificateInput,
) -> Result<UploadSigningCertificateOutput, ApiError> {
    let user = user_of(cx, input.user_name.as_deref()).await?;
    let read = Certificate::from_pem(&input.certificate_body, 1).ok().and_then(|certificates| certificates.into_iter().next());
    let Some(certificate) = read else {
        return Err(IamError::MalformedCertificate(
            "Unable to parse certificate. Please ensure the certificate is in PEM format.".to_owned(),
        )
        .into());
    };
    let der_sha256 = sigv4::sha256_hex(&certificate.der);
    let existing = all_of(&mut cx.tx, &cx.account, &user.head.id).await?;
    if existing.iter().any(|known| known.der_sha256 == der_sha256) {
        return Err(IamError::DuplicateCertificate("The same certificate is associated with an IAM user in the account.".to_owned()).into());
    }
    if existing.len() >= PER_USER {
        return Err(quota_exceeded("SigningCertificatesPerUser", PER_USER));
    }
    let record = SigningCertificateRecord {
        id: cx.random_id(KEY_ID_ALPHABET, ID_LENGTH)?,
        body: input.certificate_body,
        der_sha256,
        active: true,
        uploaded_ms: cx.now.0,
    };
    save(cx, &user, &record)?;
    Ok(UploadSigningCertificateOutput { certificate: output(&user, &record) })
}

pub(crate) async fn list_signing_certificates(
    cx: &mut Call,
    input: ListSigningCertificatesInput,
) -> Result<ListSigningCertificatesOutput, ApiError> {
    let user = user_of(cx, input.user_name.as_deref()).await?;
    let records = all_of(&mut cx.tx, &cx.account, &user.head.id).await?;
    let page = page::cut(cx, records, |record| record.id.clone(), &user.head.id, input.marker.as_deref(), input.max_items)?;
    Ok(ListSigningCertificatesOutput {
        certificates: page.items.iter().map(|record| output(&user, record)).collect(),
        is_truncated: Some(page.next.is_some()),
        marker: page.next,
    })
}

pub(crate) async fn update_signing_certificate(
    cx: &mut Call,
    input: UpdateSigningCertificateInput,
) -> Result<UpdateSigningCertificateOutput, ApiError> {
    let (user, mut record) = load(cx, input.user_name.as_deref(), &input.certificate_id).await?;
    record.active = status_of(input.status)?;
    save(cx, &user, &record)?;
    Ok(UpdateSigningCertificateOutput {})
}

pub(crate) async fn delete_signing_certificate(
    cx: &mut Call,
    input: DeleteSigningCertificateInput,
) -> Result<DeleteSigningCertificateOutput, ApiError> {
    let (user, record) = load(cx, input.user_name.as_deref(), &input.certificate_id).await?;
    cx.tx.delete::<SigningCertificateRecord>(&of_user(&cx.account, &user.head.id).last(&record.id));
    Ok(DeleteSigningCertificateOutput {})
}
