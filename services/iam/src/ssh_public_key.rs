//! SSH public keys of users, in the two encodings that IAM knows.
//!
//! Source: IAM API Reference, "UploadSSHPublicKey", "GetSSHPublicKey".

use api_iam::{
    DeleteSSHPublicKeyInput, DeleteSSHPublicKeyOutput, EncodingType, GetSSHPublicKeyInput, GetSSHPublicKeyOutput, ListSSHPublicKeysInput,
    ListSSHPublicKeysOutput, SSHPublicKey, SSHPublicKeyMetadata, StatusType, UpdateSSHPublicKeyInput, UpdateSSHPublicKeyOutput,
    UploadSSHPublicKeyInput, UploadSSHPublicKeyOutput,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::entity::{self, UserRecord};
use crate::error::{IamError, quota_exceeded};
use crate::service_specific_credential::user_of;
use crate::{identifier, page};

/// Of one user. Source: IAM User Guide, "IAM and AWS STS quotas".
const PER_USER: usize = 5;
const ID_PREFIX: &str = "APKA";
const RSA: &[u8] = b"ssh-rsa";
/// Bits of the modulus that are taken.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2_048..=16_384;
/// `SEQUENCE { SEQUENCE { rsaEncryption, NULL }, BIT STRING }`: what stands before the key in a public key of X.509.
const RSA_ALGORITHM: [u8; 15] = [0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00];

/// A key of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SshPublicKeyRecord {
    pub id: String,
    pub exponent: Vec<u8>,
    pub modulus: Vec<u8>,
    pub active: bool,
    pub uploaded_ms: i64,
}

impl Record for SshPublicKeyRecord {
    const TABLE: Table = Table("iam.ssh-public-key");
    const SCOPE: Scope = Scope::Home;
}

fn of_user(account: &str, user_id: &str) -> Key {
    Key::new(account, "").then(user_id)
}

/// An RSA public key: exponent and modulus without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RsaKey {
    exponent: Vec<u8>,
    modulus: Vec<u8>,
}

/// `None`: the text has neither encoding.
fn parse(text: &str) -> Option<Result<RsaKey, IamError>> {
    let text = text.trim();
    let key = if text.starts_with("ssh-rsa ") {
        let blob = text.split_ascii_whitespace().nth(1).and_then(|base64| STANDARD.decode(base64).ok());
        blob.and_then(|blob| from_blob(&blob))
    } else if text.starts_with("-----BEGIN ") {
        let block = certificate::pem_blocks(text).ok().and_then(|blocks| blocks.into_iter().next());
        block.and_then(|block| from_der(&block.label, &block.der))
    } else {
        return None;
    };
    let fits = |key: &RsaKey| MODULUS_BITS.contains(&key.modulus.len().saturating_mul(8));
    Some(key.filter(fits).ok_or_else(|| IamError::InvalidPublicKey("The public key is malformed or otherwise invalid.".to_owned())))
}

fn trimmed(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// Takes one length-prefixed string off an SSH blob.
fn take_string<'a>(blob: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let (string, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *blob = rest;
    Some(string)
}

fn from_blob(mut blob: &[u8]) -> Option<RsaKey> {
    let kind = take_string(&mut blob)?;
    let (exponent, modulus) = (trimmed(take_string(&mut blob)?), trimmed(take_string(&mut blob)?));
    (kind == RSA && blob.is_empty() && !exponent.is_empty()).then_some(RsaKey { exponent, modulus })
}

/// Takes one DER element of a kind.
fn take_element<'a>(der: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (head, rest) = der.split_first_chunk::<2>()?;
    let [found, length] = *head;
    if found != tag {
        return None;
    }
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        (digits.iter().try_fold(0_usize, |all, byte| all.checked_mul(256)?.checked_add(usize::from(*byte)))?, rest)
    };
    let (body, rest) = rest.split_at_checked(length)?;
    *der = rest;
    Some(body)
}

fn from_der(label: &str, mut der: &[u8]) -> Option<RsaKey> {
    let mut inner = match label {
        "RSA PUBLIC KEY" => take_element(&mut der, 0x30)?,
        "PUBLIC KEY" => {
            let mut outer = take_element(&mut der, 0x30)?.strip_prefix(&RSA_ALGORITHM)?;
            let mut bits = take_element(&mut outer, 0x03)?.strip_prefix(&[0])?;
            take_element(&mut bits, 0x30)?
        }
        _ => return None,
    };
    let modulus = trimmed(take_element(&mut inner, 0x02)?);
    let exponent = trimmed(take_element(&mut inner, 0x02)?);
    (der.is_empty() && !exponent.is_empty()).then_some(RsaKey { exponent, modulus })
}

fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    let digits: Vec<u8> = trimmed(&body.len().to_be_bytes());
    match digits.as_slice() {
        [] => element.push(0),
        [short] if *short < 0x80 => element.push(*short),
        long => {
            element.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            element.extend_from_slice(long);
        }
    }
    element.extend_from_slice(body);
    element
}

/// A number with the zero that keeps it positive.
fn positive(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    [sign, number].concat()
}

impl SshPublicKeyRecord {
    fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        for part in [RSA.to_vec(), positive(&self.exponent), positive(&self.modulus)] {
            blob.extend_from_slice(&u32::try_from(part.len()).unwrap_or_default().to_be_bytes());
            blob.extend_from_slice(&part);
        }
        blob
    }

    fn der(&self) -> Vec<u8> {
        let numbers = [element(0x02, &positive(&self.modulus)), element(0x02, &positive(&self.exponent))].concat();
        let bits = [&[0][..], &element(0x30, &numbers)].concat();
        element(0x30, &[&RSA_ALGORITHM[..], &element(0x03, &bits)].concat())
    }

    fn body(&self, encoding: EncodingType) -> String {
        match encoding {
            EncodingType::Ssh => format!("ssh-rsa {}", STANDARD.encode(self.blob())),
            _ => certificate::pem_encode("PUBLIC KEY", &self.der()),
        }
    }

    /// MD5 of the SSH form, as `ssh-keygen -E md5` shows it.
    fn fingerprint(&self) -> String {
        let bytes: Vec<String> = Md5::digest(self.blob()).iter().map(|byte| format!("{byte:02x}")).collect();
        bytes.join(":")
    }

    fn status(&self) -> StatusType {
        if self.active { StatusType::Active } else { StatusType::Inactive }
    }

    fn output(&self, user: &UserRecord, encoding: EncodingType) -> SSHPublicKey {
        SSHPublicKey {
            user_name: user.head.name.clone(),
            ssh_public_key_id: self.id.clone(),
            fingerprint: self.fingerprint(),
            ssh_public_key_body: self.body(encoding),
            status: self.status(),
            upload_date: Some(Timestamp(self.uploaded_ms)),
        }
    }
}

/// The keys of a user.
pub(crate) async fn all_of(tx: &mut Transaction, account: &str, user_id: &str) -> Result<Vec<SshPublicKeyRecord>, ApiError> {
    let rows = tx.scan::<SshPublicKeyRecord>(&of_user(account, user_id), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, record)| record).collect())
}

async fn load(cx: &mut Call, user_name: &str, id: &str) -> Result<(UserRecord, SshPublicKeyRecord), ApiError> {
    let user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, user_name).await?;
    let found = cx.tx.get::<SshPublicKeyRecord>(&of_user(&cx.account, &user.head.id).last(id)).await?;
    let record = found.ok_or_else(|| IamError::NoSuchEntity(format!("The Public Key with id {id} cannot be found.")))?;
    Ok((user, record))
}

fn save(cx: &mut Call, user: &UserRecord, record: &SshPublicKeyRecord) -> Result<(), ApiError> {
    cx.tx.put(&of_user(&cx.account, &user.head.id).last(&record.id), record)
}

pub(crate) async fn upload_ssh_public_key(cx: &mut Call, input: UploadSSHPublicKeyInput) -> Result<UploadSSHPublicKeyOutput, ApiError> {
    let user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, &input.user_name).await?;
    let unrecognized =
        || IamError::UnrecognizedPublicKeyEncoding("The public key encoding format is unsupported or unrecognized.".to_owned());
    let key = parse(&input.ssh_public_key_body).ok_or_else(unrecognized)??;
    let existing = all_of(&mut cx.tx, &cx.account, &user.head.id).await?;
    if existing.iter().any(|known| known.modulus == key.modulus) {
        return Err(
            IamError::DuplicateSshPublicKey("The SSH public key is already associated with the specified IAM user.".to_owned()).into()
        );
    }
    if existing.len() >= PER_USER {
        return Err(quota_exceeded("SSHPublicKeysPerUser", PER_USER));
    }
    let record = SshPublicKeyRecord {
        id: identifier::unique_id(cx.plane.randomness.as_ref(), ID_PREFIX)?,
        exponent: key.exponent,
        modulus: key.modulus,
        active: true,
        uploaded_ms: cx.now.0,
    };
    save(cx, &user, &record)?;
    let encoding = if input.ssh_public_key_body.trim_start().starts_with("ssh-rsa") { EncodingType::Ssh } else { EncodingType::Pem };
    Ok(UploadSSHPublicKeyOutput { ssh_public_key: Some(record.output(&user, encoding)) })
}

pub(crate) async fn get_ssh_public_key(cx: &mut Call, input: GetSSHPublicKeyInput) -> Result<GetSSHPublicKeyOutput, ApiError> {
    let (user, record) = load(cx, &input.user_name, &input.ssh_public_key_id).await?;
    if let EncodingType::Other(other) = &input.encoding {
        return Err(IamError::UnrecognizedPublicKeyEncoding(format!("The encoding {other} is not supported.")).into());
    }
    Ok(GetSSHPublicKeyOutput { ssh_public_key: Some(record.output(&user, input.encoding)) })
}

pub(crate) async fn list_ssh_public_keys(cx: &mut Call, input: ListSSHPublicKeysInput) -> Result<ListSSHPublicKeysOutput, ApiError> {
    let user = user_of(cx, input.user_name.as_deref()).await?;
    let records = all_of(&mut cx.tx, &cx.account, &user.head.id).await?;
    let shown = |record: &SshPublicKeyRecord| SSHPublicKeyMetadata {
        user_name: user.head.name.clone(),
        ssh_public_key_id: record.id.clone(),
        status: record.status(),
        upload_date: Timestamp(record.uploaded_ms),
    };
    let page = page::cut(cx, records, |record| record.id.clone(), &user.head.id, input.marker.as_deref(), input.max_items)?;
    Ok(ListSSHPublicKeysOutput {
        ssh_public_keys: Some(page.items.iter().map(shown).collect()),
        is_truncated: Some(page.next.is_some()),
        marker: page.next,
    })
}

pub(crate) async fn update_ssh_public_key(cx: &mut Call, input: UpdateSSHPublicKeyInput) -> Result<UpdateSSHPublicKeyOutput, ApiError> {
    let (user, mut record) = load(cx, &input.user_name, &input.ssh_public_key_id).await?;
    record.active = status_of(input.status)?;
    save(cx, &user, &record)?;
    Ok(UpdateSSHPublicKeyOutput {})
}

/// `Active` or `Inactive`; a credential is never set to `Expired`.
pub(crate) fn status_of(status: StatusType) -> Result<bool, IamError> {
    match status {
        StatusType::Active => Ok(true),
        StatusType::Inactive => Ok(false),
        other => Err(IamError::InvalidInput(format!("The status {other} cannot be set."))),
    }
}

pub(crate) async fn delete_ssh_public_key(cx: &mut Call, input: DeleteSSHPublicKeyInput) -> Result<DeleteSSHPublicKeyOutput, ApiError> {
    let (user, record) = load(cx, &input.user_name, &input.ssh_public_key_id).await?;
    cx.tx.delete::<SshPublicKeyRecord>(&of_user(&cx.account, &user.head.id).last(&record.id));
    Ok(DeleteSSHPublicKeyOutput {})
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> SshPublicKeyRecord {
        SshPublicKeyRecord { id: String::new(), exponent: vec![1, 0, 1], modulus: vec![0xC3; 256], active: true, uploaded_ms: 0 }
    }

    #[test]
    fn both_encodings_are_read_as_they_are_written() {
        let record = record();
        let expected = RsaKey { exponent: record.exponent.clone(), modulus: record.modulus.clone() };
        assert_eq!(parse(&record.body(EncodingType::Ssh)), Some(Ok(expected.clone())));
        assert_eq!(parse(&record.body(EncodingType::Pem)), Some(Ok(expected)));
        assert_eq!(parse("ssh-ed25519 AAAA"), None);
        assert!(parse("ssh-rsa AAAA").unwrap().is_err());
        assert_eq!(record.fingerprint().len(), 47);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&format!("ssh-rsa {}", STANDARD.encode(&bytes)));
            let _ = parse(&certificate::pem_encode("PUBLIC KEY", &bytes));
            let _ = parse(&certificate::pem_encode("RSA PUBLIC KEY", &bytes));
        }
    }
}
