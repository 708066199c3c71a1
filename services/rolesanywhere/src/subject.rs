//! Subjects: the certificates that asked for sessions, by the name of their subject.

use api_rolesanywhere::{
    CredentialSummary, GetSubjectInput, GetSubjectOutput, InstanceProperty, ListSubjectsInput, ListSubjectsOutput, SubjectDetail,
    SubjectSummary,
};
use certificate::Certificate;
use plane::{ApiError, Call};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wire::Timestamp;

use crate::resource::{self, Resource, resource};

/// Certificates of one subject that are remembered.
const CERTIFICATES: usize = 20;

/// A certificate of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenCertificate {
    serial: String,
    issuer: String,
    pem: String,
    seen_ms: i64,
}

/// A subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubjectRecord {
    pub id: String,
    name: String,
    created_ms: i64,
    seen_ms: i64,
    certificates: Vec<SeenCertificate>,
    instance_properties: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

resource!(SubjectRecord, "subject", "rolesanywhere.subject");

/// The id that a subject's name always has: a UUID made of its digest.
fn id_of(account: &str, certificate: &Certificate) -> String {
    let digest = sigv4::sha256_hex(&[account.as_bytes(), &certificate.subject.der].concat());
    let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// Notes that a certificate opened a session; gives the subject's ARN.
pub(crate) async fn note(cx: &mut Call, certificate: &Certificate, properties: BTreeMap<String, String>) -> Result<String, ApiError> {
    let id = id_of(&cx.account, certificate);
    let known = resource::find::<SubjectRecord>(&mut cx.tx, &cx.account, &cx.region, &id).await?;
    let mut record = known.unwrap_or_else(|| SubjectRecord {
        id,
        name: certificate.subject.rfc2253(),
        created_ms: cx.now.0,
        seen_ms: cx.now.0,
        certificates: Vec::new(),
        instance_properties: BTreeMap::new(),
        tags: Vec::new(),
    });
    let serial = hex::encode(&certificate.serial);
    record.certificates.retain(|known| known.serial != serial);
    record
        .certificates
        .insert(0, SeenCertificate { serial, issuer: certificate.issuer.rfc2253(), pem: certificate.to_pem(), seen_ms: cx.now.0 });
    record.certificates.truncate(CERTIFICATES);
    record.seen_ms = cx.now.0;
    record.instance_properties = properties;
    resource::save(cx, &record)?;
    Ok(record.arn(&cx.account, &cx.region))
}

pub(crate) async fn get_subject(cx: &mut Call, input: GetSubjectInput) -> Result<GetSubjectOutput, ApiError> {
    let record = resource::load::<SubjectRecord>(cx, &input.subject_id).await?;
    let credential = |seen: &SeenCertificate| CredentialSummary {
        seen_at: Some(Timestamp(seen.seen_ms)),
        serial_number: Some(seen.serial.clone()),
        issuer: Some(seen.issuer.clone()),
        enabled: Some(true),
        x509_certificate_data: Some(seen.pem.clone()),
        failed: Some(false),
    };
    let properties = (!record.instance_properties.is_empty()).then(|| InstanceProperty {
        seen_at: Some(Timestamp(record.seen_ms)),
        properties: Some(record.instance_properties.clone()),
        failed: Some(false),
    });
    let subject = SubjectDetail {
        subject_arn: Some(record.arn(&cx.account, &cx.region)),
        subject_id: Some(record.id.clone()),
        enabled: Some(true),
        x509_subject: Some(record.name.clone()),
        last_seen_at: Some(Timestamp(record.seen_ms)),
        created_at: Some(Timestamp(record.created_ms)),
        updated_at: Some(Timestamp(record.seen_ms)),
        credentials: Some(record.certificates.iter().map(credential).collect()),
        instance_properties: Some(properties.into_iter().collect()),
    };
    Ok(GetSubjectOutput { subject: Some(subject) })
}

pub(crate) async fn list_subjects(cx: &mut Call, input: ListSubjectsInput) -> Result<ListSubjectsOutput, ApiError> {
    let records = resource::all::<SubjectRecord>(&mut cx.tx, &cx.account, &cx.region).await?;
    let (items, next_token) = resource::cut(cx, records, input.next_token.as_deref(), input.page_size)?;
    let summary = |record: &SubjectRecord| SubjectSummary {
        subject_arn: Some(record.arn(&cx.account, &cx.region)),
        subject_id: Some(record.id.clone()),
        enabled: Some(true),
        x509_subject: Some(record.name.clone()),
        last_seen_at: Some(Timestamp(record.seen_ms)),
        created_at: Some(Timestamp(record.created_ms)),
        updated_at: Some(Timestamp(record.seen_ms)),
    };
    Ok(ListSubjectsOutput { subjects: Some(items.iter().map(summary).collect()), next_token })
}
