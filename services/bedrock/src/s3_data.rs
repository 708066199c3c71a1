//! Customers' data in S3 that a job reads and writes: by the role that the caller passes, under the customer's key.
//!
//! Source: Bedrock User Guide, "Create a service role for model import", "Create a custom service role for batch inference" and "Encryption of
//! model customization jobs and artifacts".

use std::sync::Arc;

use bytes::Bytes;
use plane::{ApiError, Call, Plane, Principal, ServiceCaller, authorize, body};
use policy::MapContext;
use wire::{ApiInput, FromValue, Secret, Struct, Value};

use crate::invocation_log::SERVICE_PRINCIPAL;
use crate::refusal::Refusal;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A place in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) bucket: String,
    /// Without a slash at either end.
    pub(crate) prefix: String,
}

impl Folder {
    pub(crate) fn parse(uri: &str) -> Result<Self, Refusal> {
        let invalid = || Refusal::invalid(format!("`{uri}` is not an S3 URI."));
        let rest = uri.strip_prefix("s3://").ok_or_else(invalid)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_bucket = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
        if !is_bucket {
            return Err(invalid());
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }

    pub(crate) fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }
}

/// A role that Bedrock has taken for a job.
#[derive(Clone)]
pub(crate) struct Role {
    plane: Arc<Plane>,
    region: String,
    principal: Arc<Principal>,
}

/// A file of a customer's.
pub(crate) struct File {
    pub(crate) content: Bytes,
    pub(crate) etag: Option<String>,
    kms_key_arn: Option<String>,
}

/// Where a file goes, and under which key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) bucket_owner: Option<&'a str>,
    pub(crate) kms_key: Option<&'a str>,
}

impl Role {
    /// The role, when the caller may pass it and it trusts Bedrock to work for `job_arn`.
    pub(crate) async fn assumable(cx: &mut Call, role_arn: &str, job_arn: &str) -> Result<Self, ApiError> {
        if let Some(refusal) = authorize::check(cx, "iam:PassRole", role_arn).await? {
            return Err(refusal);
        }
        Self::taken(&cx.plane, &cx.region, &cx.account, role_arn, job_arn).await
    }

    /// As [`Role::assumable`], for a job that was accepted: whether the role trusts Bedrock is asked anew each time.
    pub(crate) async fn taken(plane: &Arc<Plane>, region: &str, account: &str, role_arn: &str, job_arn: &str) -> Result<Self, ApiError> {
        let caller =
            ServiceCaller { service: SERVICE_PRINCIPAL.into(), source_arn: job_arn.to_owned(), source_account: account.to_owned() };
        let target = ("sts:AssumeRole", role_arn);
        let trusts = plane.is_service_allowed(&caller, region, ("sts", "AssumeRole"), target, &MapContext::new()).await?;
        let principal = plane.directory().principal(&mut plane.transaction(0), role_arn).await?;
        let Some(principal) = principal.filter(|_| trusts) else {
            let message =
                format!("Could not assume provided IAM role. Please ensure that the role `{role_arn}` exists and trusts Bedrock.");
            return Err(Refusal::invalid(message).into());
        };
        Ok(Self { plane: Arc::clone(plane), region: region.to_owned(), principal: Arc::new(principal) })
    }

    /// Calls an operation as the role.
    pub(crate) async fn call<I: ApiInput>(&self, input: I, content: Option<Bytes>) -> Result<(I::Output, Option<body::Body>), ApiError> {
        self.plane.call_as_principal(Arc::clone(&self.principal), SERVICE_PRINCIPAL, &self.region, input, content).await
    }

    /// Reads an object of at most `bytes_max`.
    pub(crate) async fn object(&self, bucket: &str, key: &str, owner: Option<&str>, bytes_max: u64) -> Result<File, ApiError> {
        let mut input = Struct::new();
        input.set("Bucket", Value::Str(bucket.to_owned()));
        input.set("Key", Value::Str(key.to_owned()));
        if let Some(owner) = owner {
            input.set("ExpectedBucketOwner", Value::Str(owner.to_owned()));
        }
        let input: api_s3::GetObjectInput = made(input)?;
        let place = format!("s3://{bucket}/{key}");
        let (output, content) = self.call(input, None).await.map_err(|error| cannot("read", &place, error))?;
        let content = match content {
            None => Bytes::new(),
            Some(content) => {
                let read = body::collect(content, bytes_max, plane::pipeline::BODY_TIMEOUT).await;
                read.map_err(|_| Refusal::invalid(format!("`{place}` is larger than {bytes_max} bytes.")))?
            }
        };
        Ok(File { content, etag: output.etag, kms_key_arn: output.sse_kms_key_id.map(Secret::into_inner) })
    }

    /// Reads a small file of a folder. With a key's ARN, the file must be encrypted under that key.
    pub(crate) async fn read(&self, folder: &Folder, name: &str, kms_key_arn: Option<&str>) -> Result<Bytes, ApiError> {
        let key = folder.key(name);
        let file = self.object(&folder.bucket, &key, None, FILE_BYTES_MAX).await?;
        encrypted(&format!("s3://{}/{key}", folder.bucket), file.kms_key_arn.as_deref(), kms_key_arn)?;
        Ok(file.content)
    }

    /// Reads the first byte of a file that may be large. With a key's ARN, it must be encrypted under that key.
    pub(crate) async fn probe(&self, bucket: &str, key: &str, kms_key_arn: Option<&str>) -> Result<(), ApiError> {
        let mut input = Struct::new();
        input.set("Bucket", Value::Str(bucket.to_owned()));
        input.set("Key", Value::Str(key.to_owned()));
        input.set("Range", Value::Str("bytes=0-0".to_owned()));
        let input: api_s3::GetObjectInput = made(input)?;
        let place = format!("s3://{bucket}/{key}");
        let (output, _) = self.call(input, None).await.map_err(|error| cannot("read", &place, error))?;
        encrypted(&place, output.sse_kms_key_id.map(Secret::into_inner).as_deref(), kms_key_arn)
    }

    /// Makes a data key under a KMS key, and throws it away: what the role needs to encrypt with.
    pub(crate) async fn make_data_key(&self, kms_key_arn: &str) -> Result<(), ApiError> {
        let mut input = Struct::new();
        input.set("KeyId", Value::Str(kms_key_arn.to_owned()));
        input.set("KeySpec", Value::Str("AES_256".to_owned()));
        let input: api_kms::GenerateDataKeyWithoutPlaintextInput = made(input)?;
        self.call(input, None).await.map(drop).map_err(|error| cannot("use", kms_key_arn, error))
    }

    /// Whether a bucket is there for the role. With a key's ARN, it must encrypt with that key.
    pub(crate) async fn check_bucket(&self, bucket: &str, kms_key_arn: Option<&str>) -> Result<(), ApiError> {
        let named = |bucket: &str| {
            let mut input = Struct::new();
            input.set("Bucket", Value::Str(bucket.to_owned()));
            input
        };
        let place = format!("s3://{bucket}");
        let input: api_s3::HeadBucketInput = made(named(bucket))?;
        self.call(input, None).await.map_err(|error| cannot("reach", &place, error))?;
        let Some(wanted) = kms_key_arn else { return Ok(()) };
        let input: api_s3::GetBucketEncryptionInput = made(named(bucket))?;
        let (output, _) = self.call(input, None).await.map_err(|error| cannot("read the encryption of", &place, error))?;
        let rules = output.server_side_encryption_configuration.map(|configuration| configuration.rules).unwrap_or_default();
        let used =
            rules.into_iter().find_map(|rule| rule.apply_server_side_encryption_by_default?.kms_master_key_id).map(Secret::into_inner);
        let is_wanted = used.as_deref().is_some_and(|used| used == wanted || wanted.ends_with(&format!(":key/{used}")));
        encrypted(&place, is_wanted.then_some(wanted), kms_key_arn)
    }

    /// Keys of the objects whose keys begin with a prefix, at most `most` and one.
    pub(crate) async fn list(&self, bucket: &str, prefix: &str, owner: Option<&str>, most: usize) -> Result<Vec<String>, ApiError> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut input = Struct::new();
            let mut set = |name: &'static str, value: Option<&str>| {
                if let Some(value) = value {
                    input.set(name, Value::Str(value.to_owned()));
                }
            };
            set("Bucket", Some(bucket));
            set("Prefix", Some(prefix));
            set("ExpectedBucketOwner", owner);
            set("ContinuationToken", token.as_deref());
            let input: api_s3::ListObjectsV2Input = made(input)?;
            let place = format!("s3://{bucket}/{prefix}");
            let (page, _) = self.call(input, None).await.map_err(|error| cannot("list", &place, error))?;
            keys.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key));
            token = page.next_continuation_token;
            if token.is_none() || keys.len() > most {
                return Ok(keys);
            }
        }
    }

    /// Writes a file.
    pub(crate) async fn write(&self, target: Target<'_>, name: &str, content_type: &str, content: Bytes) -> Result<(), ApiError> {
        let key = target.folder.key(name);
        let mut input = Struct::new();
        let mut set = |name: &'static str, value: &str| input.set(name, Value::Str(value.to_owned()));
        set("Bucket", &target.folder.bucket);
        set("Key", &key);
        set("ContentType", content_type);
        if let Some(owner) = target.bucket_owner {
            set("ExpectedBucketOwner", owner);
        }
        if let Some(key) = target.kms_key {
            set("ServerSideEncryption", "aws:kms");
            set("SSEKMSKeyId", key);
        }
        let input: api_s3::PutObjectInput = made(input)?;
        let place = format!("s3://{}/{key}", target.folder.bucket);
        self.call(input, Some(content)).await.map(drop).map_err(|error| cannot("write", &place, error))
    }
}

fn made<I: FromValue>(input: Struct) -> Result<I, ApiError> {
    I::from_value(Value::Struct(input)).map_err(|error| ApiError::internal(&error))
}

/// Refuses what is not encrypted under the key that it should be.
fn encrypted(place: &str, used: Option<&str>, wanted: Option<&str>) -> Result<(), ApiError> {
    match wanted {
        Some(wanted) if used != Some(wanted) => {
            Err(Refusal::invalid(format!("`{place}` is not encrypted with the KMS key `{wanted}`.")).into())
        }
        _ => Ok(()),
    }
}

/// What the customer learns when the role may not do what the job needs.
fn cannot(what: &str, place: &str, error: ApiError) -> ApiError {
    if error.internal { error } else { Refusal::invalid(format!("The role cannot {what} `{place}`: {}.", error.code)).into() }
}

/// The ARN of a key that the caller names, if it is there.
pub(crate) async fn key_arn(cx: &mut Call, key: &str) -> Result<String, ApiError> {
    let described = cx.forward(api_kms::DescribeKeyInput { key_id: key.to_owned(), grant_tokens: None }).await;
    let arn = described?.key_metadata.and_then(|metadata| metadata.arn);
    arn.ok_or_else(|| Refusal::invalid(format!("The KMS key `{key}` has no ARN.")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_buckets_and_prefixes() {
        let folder = Folder::parse("s3://models/a/b/").unwrap();
        assert_eq!((folder.bucket.as_str(), folder.key("x").as_str()), ("models", "a/b/x"));
        assert_eq!(Folder::parse("s3://models").unwrap().key("x"), "x");
        for bad in ["models/a", "s3://", "s3://A/b", "https://models/a"] {
            assert!(Folder::parse(bad).is_err(), "{bad}");
        }
    }
}
