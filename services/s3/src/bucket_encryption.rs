//! Default encryption of a bucket, and whether customers' keys are blocked.

use api_s3::{
    BlockedEncryptionTypes, DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, EncryptionType, GetBucketEncryptionInput,
    GetBucketEncryptionOutput, PutBucketEncryptionInput, PutBucketEncryptionOutput, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use plane::{ApiError, Call};
use wire::Secret;

use crate::bucket::load;
use crate::error::{invalid_argument, malformed_xml, not_implemented};
use crate::record::DefaultEncryption;

pub(crate) async fn put_bucket_encryption(cx: &mut Call, input: PutBucketEncryptionInput) -> Result<PutBucketEncryptionOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    bucket.encryption = read(input.server_side_encryption_configuration, &bucket.encryption)?;
    cx.tx.put(&bucket.key(), &bucket)?;
    Ok(PutBucketEncryptionOutput {})
}

/// Exactly one rule. As at AWS, the key is not looked up: a wrong one shows with the first write. What the rule does not say of blocked
/// types stays as it is.
fn read(configuration: ServerSideEncryptionConfiguration, present: &DefaultEncryption) -> Result<DefaultEncryption, ApiError> {
    let [rule] = configuration.rules.try_into().map_err(|_| malformed_xml())?;
    let customer_keys_blocked = match &rule.blocked_encryption_types {
        None => present.customer_keys_blocked,
        Some(blocked) => is_blocked(blocked)?,
    };
    let bucket_key = rule.bucket_key_enabled.unwrap_or_default();
    let Some(default) = rule.apply_server_side_encryption_by_default else {
        if rule.blocked_encryption_types.is_none() && rule.bucket_key_enabled.is_none() {
            return Err(malformed_xml());
        }
        return Ok(DefaultEncryption { bucket_key, customer_keys_blocked, ..present.clone() });
    };
    let kms_key = default.kms_master_key_id.map(Secret::into_inner).filter(|key| !key.is_empty());
    match default.sse_algorithm {
        ServerSideEncryption::Aes256 => match kms_key {
            Some(key) => Err(invalid_argument(
                "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
                "ApplyServerSideEncryptionByDefault",
                &key,
            )),
            None => Ok(DefaultEncryption { kms: false, kms_key: None, bucket_key, customer_keys_blocked }),
        },
        ServerSideEncryption::AwsKms => Ok(DefaultEncryption { kms: true, kms_key, bucket_key, customer_keys_blocked }),
        ServerSideEncryption::Other(_) => Err(malformed_xml()),
        other => Err(not_implemented(&format!("SSEAlgorithm: {other}"))),
    }
}

fn is_blocked(blocked: &BlockedEncryptionTypes) -> Result<bool, ApiError> {
    match blocked.encryption_type.as_deref() {
        Some([EncryptionType::SseC]) => Ok(true),
        Some([EncryptionType::None]) => Ok(false),
        _ => Err(malformed_xml()),
    }
}

pub(crate) async fn get_bucket_encryption(cx: &mut Call, input: GetBucketEncryptionInput) -> Result<GetBucketEncryptionOutput, ApiError> {
    let bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(GetBucketEncryptionOutput { server_side_encryption_configuration: Some(write(bucket.encryption)) })
}

fn write(encryption: DefaultEncryption) -> ServerSideEncryptionConfiguration {
    let sse_algorithm = if encryption.kms { ServerSideEncryption::AwsKms } else { ServerSideEncryption::Aes256 };
    let blocked = if encryption.customer_keys_blocked { EncryptionType::SseC } else { EncryptionType::None };
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
            sse_algorithm,
            kms_master_key_id: encryption.kms_key.map(Secret::new),
        }),
        bucket_key_enabled: Some(encryption.bucket_key),
        blocked_encryption_types: Some(BlockedEncryptionTypes { encryption_type: Some(vec![blocked]) }),
    };
    ServerSideEncryptionConfiguration { rules: vec![rule] }
}

/// Back to SSE-S3. What is blocked stays blocked.
pub(crate) async fn delete_bucket_encryption(
    cx: &mut Call,
    input: DeleteBucketEncryptionInput,
) -> Result<DeleteBucketEncryptionOutput, ApiError> {
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    bucket.encryption =
        DefaultEncryption { customer_keys_blocked: bucket.encryption.customer_keys_blocked, ..DefaultEncryption::default() };
    cx.tx.put(&bucket.key(), &bucket)?;
    Ok(DeleteBucketEncryptionOutput {})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(algorithm: &str, key: Option<&str>, blocked: Option<EncryptionType>) -> ServerSideEncryptionConfiguration {
        ServerSideEncryptionConfiguration {
            rules: vec![ServerSideEncryptionRule {
                apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
                    sse_algorithm: algorithm.into(),
                    kms_master_key_id: key.map(|key| Secret::new(key.to_owned())),
                }),
                bucket_key_enabled: None,
                blocked_encryption_types: blocked.map(|blocked| BlockedEncryptionTypes { encryption_type: Some(vec![blocked]) }),
            }],
        }
    }

    #[test]
    fn customer_keys_are_blocked_until_unblocked() {
        let new = DefaultEncryption::default();
        assert!(new.customer_keys_blocked);
        let unblocked = read(rule("AES256", None, Some(EncryptionType::None)), &new).unwrap();
        assert!(!unblocked.customer_keys_blocked);
        let kept = read(rule("aws:kms", Some("k"), None), &unblocked).unwrap();
        assert_eq!(kept, DefaultEncryption { kms: true, kms_key: Some("k".to_owned()), bucket_key: false, customer_keys_blocked: false });
        assert_eq!(read(write(kept.clone()), &new).unwrap(), kept);
    }

    #[test]
    fn what_is_not_enforced_is_refused() {
        let new = DefaultEncryption::default();
        let code = |configuration| read(configuration, &new).unwrap_err().code;
        assert_eq!(code(rule("aws:kms:dsse", None, None)), "NotImplemented");
        assert_eq!(code(rule("AES256", Some("k"), None)), "InvalidArgument");
        assert_eq!(code(rule("DES", None, None)), "MalformedXML");
        assert_eq!(code(rule("AES256", None, Some(EncryptionType::Other("X".to_owned())))), "MalformedXML");
        assert_eq!(code(ServerSideEncryptionConfiguration { rules: Vec::new() }), "MalformedXML");
    }
}
