//! Server-side encryption: which kind, where the data key comes from, who may open it again.
//!
//! Every object has a data key of its own; its bytes are sealed with it in the vault. The kinds differ in who keeps the data key:
//! the keyring (SSE-S3), KMS under the caller's rights (SSE-KMS), or the customer (SSE-C).
//!
//! Source: S3 User Guide, "Protecting data with encryption".

use std::collections::BTreeMap;

use api_kms::{DataKeySpec, DecryptInput, GenerateDataKeyInput};
use api_s3::ServerSideEncryption;
use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use keyring::Domain;
use md5::{Digest as _, Md5};
use objects::DataKey;
use plane::{ApiError, Call};
use wire::Secret;
use zeroize::Zeroizing;

use crate::error::{access_denied_because, invalid_argument, invalid_request, not_implemented};
use crate::record::{Bucket, Encryption};

const HEADER: &str = "x-amz-server-side-encryption";
const KEY_ID_HEADER: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const CONTEXT_HEADER: &str = "x-amz-server-side-encryption-context";
/// The key of an account that S3 uses when none is named.
const MANAGED_KEY: &str = "alias/aws/s3";
/// Encryption context that S3 adds by itself.
const ARN_CONTEXT: &str = "aws:s3:arn";
/// Pairs of an encryption context.
const CONTEXT_PAIRS_MAX: usize = 32;
const CONTEXT_BYTES_MAX: usize = 8 * 1024;

/// The three headers of SSE-C, as they came.
#[derive(Clone, Copy, Default)]
pub(crate) struct CustomerHeaders<'a> {
    pub algorithm: Option<&'a str>,
    pub key: Option<&'a str>,
    pub key_md5: Option<&'a str>,
}

/// `customer_headers!(input)`: the SSE-C members of an input.
macro_rules! customer_headers {
    ($input:expr) => {
        $crate::encryption::CustomerHeaders {
            algorithm: $input.sse_customer_algorithm.as_deref(),
            key: $input.sse_customer_key.as_deref().map(String::as_str),
            key_md5: $input.sse_customer_key_md5.as_deref(),
        }
    };
}
pub(crate) use customer_headers;

/// `requested_encryption!(input)`: the encryption members of an input.
macro_rules! requested_encryption {
    ($input:expr) => {
        $crate::encryption::Requested {
            algorithm: $input.server_side_encryption.as_ref(),
            kms_key: $input.sse_kms_key_id.as_deref().map(String::as_str),
            context: $input.sse_kms_encryption_context.as_deref().map(String::as_str),
            bucket_key: $input.bucket_key_enabled,
            customer: $crate::encryption::customer_headers!($input),
        }
    };
}
pub(crate) use requested_encryption;

/// What a write asks for.
pub(crate) struct Requested<'a> {
    pub algorithm: Option<&'a ServerSideEncryption>,
    pub kms_key: Option<&'a str>,
    pub context: Option<&'a str>,
    pub bucket_key: Option<bool>,
    pub customer: CustomerHeaders<'a>,
}

/// A customer's key that came with a request; never stored.
pub(crate) struct CustomerKey {
    bytes: Zeroizing<Vec<u8>>,
    pub md5: String,
}

/// A fresh data key, and how it will be kept.
pub(crate) struct NewKey {
    pub key: DataKey,
    pub encryption: Encryption,
}

/// The encryption of an object in the members that replies show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    pub server_side_encryption: Option<ServerSideEncryption>,
    pub kms_key_id: Option<Secret<String>>,
    pub kms_context: Option<Secret<String>>,
    pub bucket_key_enabled: Option<bool>,
    pub customer_algorithm: Option<String>,
    pub customer_key_md5: Option<String>,
}

/// Reads and checks the SSE-C headers; `None` when there are none.
pub(crate) fn customer_key(cx: &Call, headers: CustomerHeaders<'_>) -> Result<Option<CustomerKey>, ApiError> {
    if headers.algorithm.is_none() && headers.key.is_none() && headers.key_md5.is_none() {
        return Ok(None);
    }
    if cx.request.origin.tls.is_none() {
        return Err(invalid_request(
            "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.",
        ));
    }
    check_customer_key(headers).map(Some)
}

fn check_customer_key(headers: CustomerHeaders<'_>) -> Result<CustomerKey, ApiError> {
    const WITH: &str = "Requests specifying Server Side Encryption with Customer provided keys must provide";
    let refused = |message: String| invalid_argument(message, HEADER, "null");
    let algorithm = headers.algorithm.ok_or_else(|| refused(format!("{WITH} a valid encryption algorithm.")))?;
    let key = headers.key.ok_or_else(|| refused(format!("{WITH} an appropriate secret key.")))?;
    let md5 = headers.key_md5.ok_or_else(|| refused(format!("{WITH} the client calculated MD5 of the secret key.")))?;
    if algorithm != "AES256" {
        return Err(ApiError::new(
            "InvalidEncryptionAlgorithmError",
            "The Encryption request you specified is not valid. Supported value: AES256.",
        ));
    }
    let bytes = BASE64
        .decode(key)
        .map(Zeroizing::new)
        .ok()
        .filter(|bytes| bytes.len() == 32)
        .ok_or_else(|| refused("The secret key was invalid for the specified algorithm.".to_owned()))?;
    if BASE64.encode(Md5::digest(bytes.as_slice())) != md5 {
        return Err(refused("The calculated MD5 hash of the key did not match the hash that was provided.".to_owned()));
    }
    Ok(CustomerKey { bytes, md5: md5.to_owned() })
}

/// The data key for a new object or upload.
pub(crate) async fn new_key(cx: &mut Call, bucket: &Bucket, object_key: &str, requested: &Requested<'_>) -> Result<NewKey, ApiError> {
    let customer = customer_key(cx, requested.customer)?;
    let kind = choose(bucket, requested, customer.is_some())?;
    let new = match (kind, customer) {
        (Kind::Customer, Some(customer)) => new_customer_key(cx, &customer)?,
        (Kind::Kms { key, bucket_key }, _) => new_kms_key(cx, bucket, object_key, key, bucket_key, requested.context).await?,
        (Kind::Managed | Kind::Customer, _) => new_managed_key(cx, bucket)?,
    };
    let applied = match &new.encryption {
        Encryption::Managed { .. } if requested.algorithm.is_none() => "Default_SSE_S3",
        Encryption::Managed { .. } => "SSE_S3",
        Encryption::Kms { .. } if requested.algorithm.is_none() => "Default_SSE_KMS",
        Encryption::Kms { .. } => "SSE_KMS",
        Encryption::Customer { .. } => "SSE_C",
    };
    cx.audit.additional.insert("SSEApplied".to_owned(), applied.into());
    Ok(new)
}

#[derive(Debug, PartialEq, Eq)]
enum Kind<'a> {
    Managed,
    Kms { key: &'a str, bucket_key: bool },
    Customer,
}

/// The request decides, else the bucket's default.
fn choose<'a>(bucket: &'a Bucket, requested: &Requested<'a>, has_customer_key: bool) -> Result<Kind<'a>, ApiError> {
    let default = &bucket.encryption;
    if has_customer_key {
        if requested.algorithm.is_some() || requested.kms_key.is_some() {
            return Err(invalid_argument(
                "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
                HEADER,
                requested.algorithm.map_or("null", |algorithm| algorithm.as_str()),
            ));
        }
        if default.customer_keys_blocked {
            return Err(access_denied_because(
                "The bucket blocks writes with Server Side Encryption with Customer provided keys (SSE-C); specify another encryption or unblock SSE-C in the bucket's encryption configuration.",
            ));
        }
        return Ok(Kind::Customer);
    }
    let needs_kms = |name: &str, value: &str| {
        invalid_argument(
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
            name,
            value,
        )
    };
    match requested.algorithm {
        Some(ServerSideEncryption::Aes256) => match (requested.kms_key, requested.context) {
            (Some(key), _) => Err(needs_kms(KEY_ID_HEADER, key)),
            (None, Some(context)) => Err(needs_kms(CONTEXT_HEADER, context)),
            (None, None) => Ok(Kind::Managed),
        },
        Some(ServerSideEncryption::AwsKms) => Ok(Kind::Kms {
            key: requested.kms_key.unwrap_or(MANAGED_KEY),
            bucket_key: requested.bucket_key.unwrap_or(default.kms && default.bucket_key),
        }),
        Some(other @ (ServerSideEncryption::AwsKmsDsse | ServerSideEncryption::AwsFsx | ServerSideEncryption::AwsBackup)) => {
            Err(not_implemented(&format!("{HEADER}: {other}")))
        }
        Some(ServerSideEncryption::Other(other)) => {
            Err(invalid_argument("The encryption method specified is not supported", HEADER, other))
        }
        None if requested.kms_key.is_some() => Err(needs_kms(HEADER, "null")),
        None if default.kms => Ok(Kind::Kms {
            key: default.kms_key.as_deref().unwrap_or(MANAGED_KEY),
            bucket_key: requested.bucket_key.unwrap_or(default.bucket_key),
        }),
        None if requested.context.is_some() => Err(needs_kms(HEADER, "null")),
        None => Ok(Kind::Managed),
    }
}

fn domain(bucket: &Bucket) -> Domain<'_> {
    Domain::new("s3/data-key", &bucket.account, &bucket.region)
}

fn new_managed_key(cx: &Call, bucket: &Bucket) -> Result<NewKey, ApiError> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    cx.random(bytes.as_mut_slice())?;
    let sealed =
        cx.plane.keyring.seal(&domain(bucket), bucket.id.as_bytes(), bytes.as_slice()).map_err(|error| ApiError::internal(&error))?;
    Ok(NewKey { key: DataKey::new(*bytes), encryption: Encryption::Managed { sealed_key: BASE64.encode(sealed) } })
}

fn new_customer_key(cx: &Call, customer: &CustomerKey) -> Result<NewKey, ApiError> {
    let mut salt = [0_u8; 32];
    cx.random(&mut salt)?;
    let (key, verifier) = derive(customer, &salt)?;
    Ok(NewKey { key, encryption: Encryption::Customer { salt: hex::encode(salt), verifier: hex::encode(verifier) } })
}

/// Data key and verifier out of a customer's key: HMAC-SHA256 of labels and salt.
fn derive(customer: &CustomerKey, salt: &[u8]) -> Result<(DataKey, Vec<u8>), ApiError> {
    let mac = hmac::Key::new(hmac::HMAC_SHA256, &customer.bytes);
    let labelled = |label: &[u8]| hmac::sign(&mac, &[label, salt].concat());
    let key = DataKey::from_slice(labelled(b"bailiwick s3 sse-c data key v1").as_ref())
        .ok_or_else(|| ApiError::internal(&"a derived key has the wrong length"))?;
    Ok((key, labelled(b"bailiwick s3 sse-c verifier v1").as_ref().to_vec()))
}

async fn new_kms_key(
    cx: &mut Call,
    bucket: &Bucket,
    object_key: &str,
    key_id: &str,
    bucket_key: bool,
    given_context: Option<&str>,
) -> Result<NewKey, ApiError> {
    refuse_anonymous(cx)?;
    let arn = if bucket_key { bucket.arn() } else { bucket.object_arn(object_key) };
    let context = encryption_context(given_context, &arn)?;
    let input = GenerateDataKeyInput {
        key_id: key_id.to_owned(),
        encryption_context: Some(context.clone()),
        number_of_bytes: None,
        key_spec: Some(DataKeySpec::Aes256),
        grant_tokens: None,
        recipient: None,
        dry_run: None,
    };
    let output = cx.forward(input).await.map_err(kms_error)?;
    let incomplete = || ApiError::internal(&"KMS gave a data key without its parts");
    let key = output.plaintext.as_ref().and_then(|plaintext| DataKey::from_slice(plaintext)).ok_or_else(incomplete)?;
    let encryption = Encryption::Kms {
        key_arn: output.key_id.ok_or_else(incomplete)?,
        encrypted_key: BASE64.encode(output.ciphertext_blob.ok_or_else(incomplete)?),
        context,
        bucket_key,
        given_context: given_context.map(str::to_owned),
    };
    Ok(NewKey { key, encryption })
}

fn refuse_anonymous(cx: &Call) -> Result<(), ApiError> {
    if cx.principal.is_anonymous() {
        return Err(invalid_argument(
            "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.",
            "Authorization",
            "null",
        ));
    }
    Ok(())
}

/// The context that the client gave (base64 of a JSON object of texts) with the ARN that S3 adds.
fn encryption_context(given: Option<&str>, arn: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let mut context = BTreeMap::new();
    if let Some(given) = given {
        let refused = || {
            invalid_argument(
                "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map",
                CONTEXT_HEADER,
                given,
            )
        };
        let json = BASE64.decode(given).ok().filter(|json| json.len() <= CONTEXT_BYTES_MAX).ok_or_else(refused)?;
        context = serde_json::from_slice(&json).map_err(|_| refused())?;
        if context.len() > CONTEXT_PAIRS_MAX || context.get(ARN_CONTEXT).is_some_and(|value| value != arn) {
            return Err(refused());
        }
    }
    context.insert(ARN_CONTEXT.to_owned(), arn.to_owned());
    Ok(context)
}

/// KMS' refusal in S3's words: a key that cannot be used makes the object unreadable.
fn kms_error(error: ApiError) -> ApiError {
    if error.internal {
        return error;
    }
    match error.code.as_ref() {
        "AccessDeniedException" | "AccessDenied" => access_denied_because(error.message),
        "ThrottlingException" => ApiError::new("SlowDown", "Please reduce your request rate.").with_status(503),
        code => ApiError::new(format!("KMS.{code}"), error.message).with_status(400),
    }
}

/// Opens the data key of a stored object or upload for the caller.
pub(crate) async fn open_key(
    cx: &mut Call,
    bucket: &Bucket,
    encryption: &Encryption,
    customer: CustomerHeaders<'_>,
) -> Result<DataKey, ApiError> {
    let customer = check_customer(cx, encryption, customer)?;
    match (encryption, customer) {
        (Encryption::Managed { sealed_key }, _) => {
            let sealed = BASE64.decode(sealed_key).map_err(|error| ApiError::internal(&error))?;
            let bytes =
                cx.plane.keyring.open_record(&domain(bucket), bucket.id.as_bytes(), &sealed).map_err(|error| ApiError::internal(&error))?;
            DataKey::from_slice(&bytes).ok_or_else(|| ApiError::internal(&"a stored data key has the wrong length"))
        }
        (Encryption::Kms { key_arn, encrypted_key, context, .. }, _) => {
            refuse_anonymous(cx)?;
            let input = DecryptInput {
                ciphertext_blob: Some(BASE64.decode(encrypted_key).map_err(|error| ApiError::internal(&error))?.into()),
                encryption_context: Some(context.clone()),
                grant_tokens: None,
                key_id: Some(key_arn.clone()),
                encryption_algorithm: None,
                recipient: None,
                dry_run: None,
                dry_run_modifiers: None,
            };
            let output = cx.forward(input).await.map_err(kms_error)?;
            output
                .plaintext
                .as_ref()
                .and_then(|plaintext| DataKey::from_slice(plaintext))
                .ok_or_else(|| ApiError::internal(&"KMS decrypted something that is no data key"))
        }
        (Encryption::Customer { salt, .. }, Some(customer)) => {
            let salt = hex::decode(salt).map_err(|error| ApiError::internal(&error))?;
            derive(&customer, &salt).map(|(key, _)| key)
        }
        (Encryption::Customer { .. }, None) => Err(ApiError::internal(&"a customer's key was checked and is not there")),
    }
}

/// Whether the SSE-C headers fit the object: needed and right, or absent. Also for HEAD, which opens no key.
pub(crate) fn check_customer(cx: &Call, encryption: &Encryption, headers: CustomerHeaders<'_>) -> Result<Option<CustomerKey>, ApiError> {
    let customer = customer_key(cx, headers)?;
    match (encryption, &customer) {
        (Encryption::Customer { .. }, None) => Err(invalid_request(
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.",
        )),
        (Encryption::Customer { salt, verifier }, Some(given)) => {
            let (salt, verifier) =
                hex::decode(salt).and_then(|salt| Ok((salt, hex::decode(verifier)?))).map_err(|error| ApiError::internal(&error))?;
            let (_, computed) = derive(given, &salt)?;
            constant_time::verify_slices_are_equal(&computed, &verifier).map_err(|_| {
                access_denied_because(
                    "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key.",
                )
            })?;
            Ok(customer)
        }
        (_, Some(_)) => Err(invalid_request("The encryption parameters are not applicable to this object.")),
        (_, None) => Ok(None),
    }
}

/// What replies tell of an object's encryption. `customer_md5` is that of the key in this request.
pub(crate) fn shown(encryption: &Encryption, customer_md5: Option<&str>) -> Shown {
    match encryption {
        Encryption::Managed { .. } => Shown { server_side_encryption: Some(ServerSideEncryption::Aes256), ..Shown::default() },
        Encryption::Kms { key_arn, bucket_key, given_context, .. } => Shown {
            server_side_encryption: Some(ServerSideEncryption::AwsKms),
            kms_key_id: Some(Secret::new(key_arn.clone())),
            kms_context: given_context.clone().map(Secret::new),
            bucket_key_enabled: bucket_key.then_some(true),
            ..Shown::default()
        },
        Encryption::Customer { .. } => {
            Shown { customer_algorithm: Some("AES256".to_owned()), customer_key_md5: customer_md5.map(str::to_owned), ..Shown::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{DefaultEncryption, PublicAccessBlock, Versioning};

    fn bucket(encryption: DefaultEncryption) -> Bucket {
        Bucket {
            name: "b".to_owned(),
            id: "id".to_owned(),
            account: "111111111111".to_owned(),
            region: "eu-central-1".to_owned(),
            created_ms: 0,
            encryption,
            policy: None,
            public_access_block: Some(PublicAccessBlock::ALL),
            owner_enforced: true,
            tags: Vec::new(),
            versioning: Versioning::Never,
            object_lock: None,
        }
    }

    fn requested<'a>(algorithm: Option<&'a ServerSideEncryption>, kms_key: Option<&'a str>) -> Requested<'a> {
        Requested { algorithm, kms_key, context: None, bucket_key: None, customer: CustomerHeaders::default() }
    }

    #[test]
    fn the_request_wins_over_the_default() {
        let plain = bucket(DefaultEncryption::default());
        let kms = bucket(DefaultEncryption { kms: true, kms_key: Some("k".to_owned()), bucket_key: true, customer_keys_blocked: false });
        assert_eq!(choose(&plain, &requested(None, None), false).unwrap(), Kind::Managed);
        assert_eq!(choose(&kms, &requested(None, None), false).unwrap(), Kind::Kms { key: "k", bucket_key: true });
        assert_eq!(choose(&kms, &requested(Some(&ServerSideEncryption::Aes256), None), false).unwrap(), Kind::Managed);
        assert_eq!(
            choose(&plain, &requested(Some(&ServerSideEncryption::AwsKms), None), false).unwrap(),
            Kind::Kms { key: MANAGED_KEY, bucket_key: false }
        );
        assert_eq!(choose(&kms, &requested(None, None), true).unwrap(), Kind::Customer);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let plain = bucket(DefaultEncryption::default());
        let code = |requested: Requested<'_>, customer| choose(&plain, &requested, customer).unwrap_err().code;
        assert_eq!(code(requested(None, None), true), "AccessDenied");
        assert_eq!(code(requested(Some(&ServerSideEncryption::Aes256), Some("k")), false), "InvalidArgument");
        assert_eq!(code(requested(None, Some("k")), false), "InvalidArgument");
        assert_eq!(code(requested(Some(&ServerSideEncryption::AwsKmsDsse), None), false), "NotImplemented");
        assert_eq!(code(requested(Some(&ServerSideEncryption::Other("x".to_owned())), None), false), "InvalidArgument");
        assert_eq!(code(requested(Some(&ServerSideEncryption::AwsKms), None), true), "InvalidArgument");
    }

    #[test]
    fn customer_keys_are_checked() {
        let key = BASE64.encode([7_u8; 32]);
        let md5 = BASE64.encode(Md5::digest([7_u8; 32]));
        let headers = CustomerHeaders { algorithm: Some("AES256"), key: Some(&key), key_md5: Some(&md5) };
        let good = check_customer_key(headers).ok().unwrap();
        let (_, verifier) = derive(&good, &[1; 32]).ok().unwrap();
        let (_, other) = derive(&good, &[2; 32]).ok().unwrap();
        assert_ne!(verifier, other);
        let code = |headers| check_customer_key(headers).err().map(|error| error.code.into_owned());
        assert_eq!(code(CustomerHeaders { algorithm: None, ..headers }).as_deref(), Some("InvalidArgument"));
        assert_eq!(code(CustomerHeaders { key: None, ..headers }).as_deref(), Some("InvalidArgument"));
        assert_eq!(code(CustomerHeaders { key_md5: Some("AAAA"), ..headers }).as_deref(), Some("InvalidArgument"));
        assert_eq!(code(CustomerHeaders { key: Some("AAAA"), ..headers }).as_deref(), Some("InvalidArgument"));
        assert_eq!(code(CustomerHeaders { algorithm: Some("DES"), ..headers }).as_deref(), Some("InvalidEncryptionAlgorithmError"));
    }

    #[test]
    fn encryption_contexts_carry_the_arn() {
        let context = encryption_context(Some(&BASE64.encode(r#"{"team":"x"}"#)), "arn:b").unwrap();
        assert_eq!(context.get("aws:s3:arn").map(String::as_str), Some("arn:b"));
        assert_eq!(context.len(), 2);
        assert!(encryption_context(Some(&BASE64.encode(r#"{"aws:s3:arn":"arn:other"}"#)), "arn:b").is_err());
        assert!(encryption_context(Some(&BASE64.encode(r#"{"a":1}"#)), "arn:b").is_err());
        assert!(encryption_context(Some("%"), "arn:b").is_err());
    }

    #[test]
    fn refusals_of_kms_keep_their_words() {
        let refused = kms_error(ApiError::new("DisabledException", "arn:k is disabled."));
        assert_eq!(
            (refused.code.as_ref(), refused.message.as_str(), refused.status),
            ("KMS.DisabledException", "arn:k is disabled.", Some(400))
        );
        assert_eq!(kms_error(ApiError::new("AccessDeniedException", "no")).code, "AccessDenied");
    }
}
