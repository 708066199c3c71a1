//! Server certificates: read, compared with their private key and chain when they come in. The key is sealed with the record and never shown.
//!
//! Source: IAM API Reference, "UploadServerCertificate"; IAM User Guide, "Manage server certificates in IAM".

use api_iam::{
    DeleteServerCertificateInput, DeleteServerCertificateOutput, GetServerCertificateInput, GetServerCertificateOutput,
    ListServerCertificateTagsInput, ListServerCertificateTagsOutput, ListServerCertificatesInput, ListServerCertificatesOutput,
    ServerCertificate, ServerCertificateMetadata, TagServerCertificateInput, TagServerCertificateOutput, UntagServerCertificateInput,
    UntagServerCertificateOutput, UpdateServerCertificateInput, UpdateServerCertificateOutput, UploadServerCertificateInput,
    UploadServerCertificateOutput,
};
use certificate::{Certificate, key_pair_matches};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::entity::tagged;
use crate::error::{IamError, quota_exceeded};
use crate::{identifier, page, tags};

/// Of one account. Source: IAM User Guide, "IAM and AWS STS quotas".
pub(crate) const PER_ACCOUNT: usize = 20;
const ID_PREFIX: &str = "ASCA";
/// Certificates of a chain.
const CHAIN: usize = 10;

/// A certificate of the account.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ServerCertificateRecord {
    pub name: String,
    pub path: String,
    pub id: String,
    pub body: String,
    pub chain: Option<String>,
    private_key: String,
    pub uploaded_ms: i64,
    pub expires_ms: i64,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Record for ServerCertificateRecord {
    const TABLE: Table = Table("iam.server-certificate");
    const SCOPE: Scope = Scope::Home;
}

tagged!(ServerCertificateRecord);

impl ServerCertificateRecord {
    pub(crate) fn arn(&self, account: &str) -> String {
        identifier::arn(account, "server-certificate", &self.path, &self.name)
    }

    fn metadata(&self, account: &str) -> ServerCertificateMetadata {
        ServerCertificateMetadata {
            path: self.path.clone(),
            server_certificate_name: self.name.clone(),
            server_certificate_id: self.id.clone(),
            arn: self.arn(account),
            upload_date: Some(Timestamp(self.uploaded_ms)),
            expiration: Some(Timestamp(self.expires_ms)),
        }
    }
}

fn key(account: &str, name: &str) -> Key {
    Key::new(account, "").last(name.to_lowercase())
}

pub(crate) async fn find(tx: &mut Transaction, account: &str, name: &str) -> Result<Option<ServerCertificateRecord>, ApiError> {
    Ok(tx.get::<ServerCertificateRecord>(&key(account, name)).await?.filter(|record| record.name == name))
}

/// The certificates of an account.
pub(crate) async fn all(tx: &mut Transaction, account: &str) -> Result<Vec<ServerCertificateRecord>, ApiError> {
    let rows = tx.scan::<ServerCertificateRecord>(&Key::new(account, ""), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, record)| record).collect())
}

async fn load(cx: &mut Call, name: &str) -> Result<ServerCertificateRecord, ApiError> {
    let found = find(&mut cx.tx, &cx.account, name).await?;
    found.ok_or_else(|| IamError::NoSuchEntity(format!("The Server Certificate with name {name} cannot be found.")).into())
}

fn save(cx: &mut Call, record: &ServerCertificateRecord) -> Result<(), ApiError> {
    cx.tx.put(&key(&cx.account, &record.name), record)
}

fn exists(name: &str) -> ApiError {
    IamError::EntityAlreadyExists(format!("The Server Certificate with name {name} already exists.")).into()
}

fn malformed(text: &str) -> ApiError {
    IamError::MalformedCertificate(text.to_owned()).into()
}

/// Reads what came, and compares it with each other.
fn checked(body: &str, private_key: &str, chain: Option<&str>, now_ms: i64) -> Result<Certificate, ApiError> {
    let unreadable = || malformed("Unable to parse certificate. Please ensure the certificate is in PEM format.");
    let read = Certificate::from_pem(body, 1).map_err(|_| unreadable())?;
    let certificate = read.into_iter().next().ok_or_else(unreadable)?;
    let unreadable_key = |_| malformed("Unable to parse key; expected unencrypted private key in PEM format.");
    if !key_pair_matches(&certificate, private_key).map_err(unreadable_key)? {
        return Err(IamError::KeyPairMismatch("Public key certificate does not match Private Key.".to_owned()).into());
    }
    if !certificate.is_valid_at(now_ms) {
        return Err(malformed("Certificate is no longer valid. The 'Not Before' and 'Not After' dates do not contain the current time."));
    }
    if let Some(chain) = chain {
        let links = Certificate::from_pem(chain, CHAIN).map_err(|_| malformed("Unable to parse certificate chain."))?;
        let mut below = &certificate;
        for link in &links {
            if !below.is_signed_by(link) {
                let text = "Unable to validate certificate chain. The certificate chain must start with the immediate signing \
                            certificate, followed by any intermediaries in order.";
                return Err(malformed(text));
            }
            below = link;
        }
    }
    Ok(certificate)
}

pub(crate) async fn upload_server_certificate(
    cx: &mut Call,
    input: UploadServerCertificateInput,
) -> Result<UploadServerCertificateOutput, ApiError> {
    let tags = tags::from_input(input.tags)?;
    let name = input.server_certificate_name;
    let certificate = checked(&input.certificate_body, &input.private_key, input.certificate_chain.as_deref(), cx.now.0)?;
    if cx.tx.get::<ServerCertificateRecord>(&key(&cx.account, &name)).await?.is_some() {
        return Err(exists(&name));
    }
    if all(&mut cx.tx, &cx.account).await?.len() >= PER_ACCOUNT {
        return Err(quota_exceeded("ServerCertificatesPerAccount", PER_ACCOUNT));
    }
    let record = ServerCertificateRecord {
        name,
        path: input.path.unwrap_or_else(|| "/".to_owned()),
        id: identifier::unique_id(cx.plane.randomness.as_ref(), ID_PREFIX)?,
        // AWS gives it back without the blanks around it: Terraform compares it with a trimmed text.
        body: input.certificate_body.trim().to_owned(),
        chain: input.certificate_chain.map(|chain| chain.trim().to_owned()),
        private_key: input.private_key.into_inner(),
        uploaded_ms: cx.now.0,
        expires_ms: certificate.not_after_ms,
        tags,
    };
    save(cx, &record)?;
    Ok(UploadServerCertificateOutput {
        server_certificate_metadata: Some(record.metadata(&cx.account)),
        tags: tags::to_output(&record.tags),
    })
}

pub(crate) async fn get_server_certificate(
    cx: &mut Call,
    input: GetServerCertificateInput,
) -> Result<GetServerCertificateOutput, ApiError> {
    let record = load(cx, &input.server_certificate_name).await?;
    Ok(GetServerCertificateOutput {
        server_certificate: ServerCertificate {
            server_certificate_metadata: record.metadata(&cx.account),
            certificate_body: record.body,
            certificate_chain: record.chain,
            tags: tags::to_output(&record.tags),
        },
    })
}

pub(crate) async fn list_server_certificates(
    cx: &mut Call,
    input: ListServerCertificatesInput,
) -> Result<ListServerCertificatesOutput, ApiError> {
    let prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    let mut records = all(&mut cx.tx, &cx.account).await?;
    records.retain(|record| record.path.starts_with(&prefix));
    let page = page::cut(cx, records, |record| record.name.to_lowercase(), &prefix, input.marker.as_deref(), input.max_items)?;
    Ok(ListServerCertificatesOutput {
        server_certificate_metadata_list: page.items.iter().map(|record| record.metadata(&cx.account)).collect(),
        is_truncated: Some(page.next.is_some()),
        marker: page.next,
    })
}

pub(crate) async fn update_server_certificate(
    cx: &mut Call,
    input: UpdateServerCertificateInput,
) -> Result<UpdateServerCertificateOutput, ApiError> {
    let mut record = load(cx, &input.server_certificate_name).await?;
    if let Some(path) = input.new_path {
        record.path = path;
    }
    if let Some(name) = input.new_server_certificate_name.filter(|name| *name != record.name) {
        let same = name.eq_ignore_ascii_case(&record.name);
        if !same && cx.tx.get::<ServerCertificateRecord>(&key(&cx.account, &name)).await?.is_some() {
            return Err(exists(&name));
        }
        cx.tx.delete::<ServerCertificateRecord>(&key(&cx.account, &record.name));
        record.name = name;
    }
    save(cx, &record)?;
    Ok(UpdateServerCertificateOutput {})
}

pub(crate) async fn delete_server_certificate(
    cx: &mut Call,
    input: DeleteServerCertificateInput,
) -> Result<DeleteServerCertificateOutput, ApiError> {
    let record = load(cx, &input.server_certificate_name).await?;
    cx.tx.delete::<ServerCertificateRecord>(&key(&cx.account, &record.name));
    Ok(DeleteServerCertificateOutput {})
}

pub(crate) async fn tag_server_certificate(
    cx: &mut Call,
    input: TagServerCertificateInput,
) -> Result<TagServerCertificateOutput, ApiError> {
    let mut record = load(cx, &input.server_certificate_name).await?;
    tags::merge(&mut record.tags, input.tags)?;
    save(cx, &record)?;
    Ok(TagServerCertificateOutput {})
}

pub(crate) async fn untag_server_certificate(
    cx: &mut Call,
    input: UntagServerCertificateInput,
) -> Result<UntagServerCertificateOutput, ApiError> {
    let mut record = load(cx, &input.server_certificate_name).await?;
    tags::remove(&mut record.tags, &input.tag_keys);
    save(cx, &record)?;
    Ok(UntagServerCertificateOutput {})
}

pub(crate) async fn list_server_certificate_tags(
    cx: &mut Call,
    input: ListServerCertificateTagsInput,
) -> Result<ListServerCertificateTagsOutput, ApiError> {
    let record = load(cx, &input.server_certificate_name).await?;
    let page = tags::cut(cx, &record, &record.id, input.marker.as_deref(), input.max_items)?;
    Ok(ListServerCertificateTagsOutput { tags: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}
