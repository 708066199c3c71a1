//! Customers' data in S3 that a job reads: by the role that the caller passes, under the customer's key.
//!
//! Source: Bedrock User Guide, "Create a service role for model import" and "Encryption of model customization jobs and artifacts".

use std::sync::Arc;

use bytes::Bytes;
use plane::{ApiError, Call, PARTITION, Principal, ServiceCaller, authorize, body};
use policy::MapContext;
use wire::{FromValue as _, Secret, Struct, Value};

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
pub(crate) struct Role {
    principal: Arc<Principal>,
}

impl Role {
    /// The role, when the caller may pass it and it trusts Bedrock.
    pub(crate) async fn assumable(cx: &mut Call, role_arn: &str) -> Result<Self, ApiError> {
        if let Some(refusal) = authorize::check(cx, "iam:PassRole", role_arn).await? {
            return Err(refusal);
        }
        let plane = Arc::clone(&cx.plane);
        let job = format!("arn:{PARTITION}:bedrock:{}:{}:model-import-job/*", cx.region, cx.account);
        let caller = ServiceCaller { service: SERVICE_PRINCIPAL.into(), source_arn: job, source_account: cx.account.clone() };
        let target = ("sts:AssumeRole", role_arn);
        let trusts = plane.is_service_allowed(&caller, &cx.region, ("sts", "AssumeRole"), target, &MapContext::new()).await?;
        let principal = plane.directory().principal(&mut plane.transaction(0), role_arn).await?;
        let Some(principal) = principal.filter(|_| trusts) else {
            let message =
                format!("Could not assume provided IAM role. Please ensure that the role `{role_arn}` exists and trusts Bedrock.");
            return Err(Refusal::invalid(message).into());
        };
        Ok(Self { principal: Arc::new(principal) })
    }

    /// Reads a file of a folder as the role. With a key's ARN, the file must be encrypted under that key.
    pub(crate) async fn read(&self, cx: &Call, folder: &Folder, name: &str, kms_key_arn: Option<&str>) -> Result<Bytes, ApiError> {
        let mut input = Struct::new();
        input.set("Bucket", Value::Str(folder.bucket.clone()));
        input.set("Key", Value::Str(folder.key(name)));
        let input = api_s3::GetObjectInput::from_value(Value::Struct(input)).map_err(|error| ApiError::internal(&error))?;
        let got = cx.plane.call_as_principal(Arc::clone(&self.principal), SERVICE_PRINCIPAL, &cx.region, input, None).await;
        let place = format!("s3://{}/{}", folder.bucket, folder.key(name));
        let (output, content) = got.map_err(|error| {
            if error.internal { error } else { Refusal::invalid(format!("The role cannot read `{place}`: {}.", error.code)).into() }
        })?;
        let used = output.sse_kms_key_id.map(Secret::into_inner);
        if let Some(wanted) = kms_key_arn
            && used.as_deref() != Some(wanted)
        {
            return Err(Refusal::invalid(format!("`{place}` is not encrypted with the KMS key `{wanted}`.")).into());
        }
        let Some(content) = content else { return Ok(Bytes::new()) };
        let read = body::collect(content, FILE_BYTES_MAX, plane::pipeline::BODY_TIMEOUT).await;
        read.map_err(|_| Refusal::invalid(format!("`{place}` is larger than {FILE_BYTES_MAX} bytes.")).into())
    }
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
