//! Bucket policies.

use api_s3::{
    DeleteBucketPolicyInput, DeleteBucketPolicyOutput, GetBucketPolicyInput, GetBucketPolicyOutput, GetBucketPolicyStatusInput,
    GetBucketPolicyStatusOutput, PolicyStatus, PutBucketPolicyInput, PutBucketPolicyOutput,
};
use plane::{ApiError, Call, policy_principal};
use policy::Policy;
use wire::Value;

use crate::access::BUCKET_POLICY;
use crate::bucket;
use crate::error::{access_denied_because, method_not_allowed};
use crate::record::Bucket;

/// Largest policy in bytes.
const POLICY_BYTES_MAX: usize = 20 * 1024;

pub(crate) async fn put_bucket_policy(cx: &mut Call, input: PutBucketPolicyInput) -> Result<PutBucketPolicyOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let policy = check(&input.policy, &bucket)?;
    let stored = policy_principal::stored(cx, &input.policy, |_| malformed("Invalid principal in policy")).await?;
    if policy.is_public() && bucket.public_access_block.is_some_and(|block| block.block_public_policy) {
        return Err(access_denied_because(format!(
            "User: {} is not authorized to perform: s3:PutBucketPolicy on resource: \"{}\" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
            cx.principal.arn,
            bucket.arn()
        )));
    }
    bucket.policy = Some(stored);
    cx.tx.put(&bucket.key(), &bucket)?;
    Ok(PutBucketPolicyOutput {})
}

fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::new("MalformedPolicy", message)
}

/// The language's rules, and those of a bucket: its own resources, S3's actions.
fn check(text: &str, bucket: &Bucket) -> Result<Policy, ApiError> {
    if text.trim().is_empty() {
        return Err(ApiError::new("MissingRequestBodyError", "Request Body is empty"));
    }
    if text.len() > POLICY_BYTES_MAX {
        return Err(malformed("Policy exceeds the maximum allowed document size."));
    }
    let policy = Policy::parse(text, BUCKET_POLICY).map_err(|error| malformed(error.message))?;
    for statement in policy.statements() {
        let (_, mut actions) = statement.actions();
        if !actions.all(|action| action == "*" || action.to_ascii_lowercase().starts_with("s3:")) {
            return Err(malformed("Policy has invalid action"));
        }
        let (_, mut resources) = statement.resources();
        if !resources.all(|resource| is_resource_of(resource, bucket)) {
            return Err(malformed("Policy has invalid resource"));
        }
    }
    Ok(policy)
}

fn is_resource_of(resource: &str, bucket: &Bucket) -> bool {
    let Some(rest) = resource.strip_prefix(&bucket.arn()) else { return false };
    // A wildcard right behind the name is accepted as the bucket and all in it.
    rest.is_empty() || rest.starts_with('/') || rest == "*"
}

/// Other accounts may not touch a bucket's policy, whatever the policy says.
async fn load(cx: &mut Call, name: &str, expected_owner: Option<&str>) -> Result<Bucket, ApiError> {
    let bucket = bucket::load(cx, name, expected_owner).await?;
    if bucket.account != cx.account {
        return Err(method_not_allowed(&cx.request.method, "BUCKETPOLICY"));
    }
    Ok(bucket)
}

fn missing(name: &str) -> ApiError {
    ApiError::new("NoSuchBucketPolicy", "The bucket policy does not exist").with_member("BucketName", Value::Str(name.to_owned()))
}

pub(crate) async fn get_bucket_policy(cx: &mut Call, input: GetBucketPolicyInput) -> Result<GetBucketPolicyOutput, ApiError> {
    let bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let stored = bucket.policy.ok_or_else(|| missing(&input.bucket))?;
    let policy = policy_principal::shown(cx, &stored).await?;
    Ok(GetBucketPolicyOutput { policy: Some(policy) })
}

pub(crate) async fn delete_bucket_policy(cx: &mut Call, input: DeleteBucketPolicyInput) -> Result<DeleteBucketPolicyOutput, ApiError> {
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    if bucket.policy.take().is_some() {
        cx.tx.put(&bucket.key(), &bucket)?;
    }
    Ok(DeleteBucketPolicyOutput {})
}

pub(crate) async fn get_bucket_policy_status(
    cx: &mut Call,
    input: GetBucketPolicyStatusInput,
) -> Result<GetBucketPolicyStatusOutput, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let text = bucket.policy.ok_or_else(|| missing(&input.bucket))?;
    let is_public = Policy::parse_stored(&text, BUCKET_POLICY).is_public();
    Ok(GetBucketPolicyStatusOutput { policy_status: Some(PolicyStatus { is_public: Some(is_public) }) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{DefaultEncryption, PublicAccessBlock, Versioning};

    fn bucket() -> Bucket {
        Bucket {
            name: "models".to_owned(),
            id: "id".to_owned(),
            account: "111111111111".to_owned(),
            region: "eu-central-1".to_owned(),
            created_ms: 0,
            encryption: DefaultEncryption::default(),
            policy: None,
            public_access_block: Some(PublicAccessBlock::ALL),
            owner_enforced: true,
            tags: Vec::new(),
            versioning: Versioning::Never,
            object_lock: None,
        }
    }

    fn policy(action: &str, resource: &str) -> String {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":"{action}","Resource":"{resource}"}}]}}"#
        )
    }

    #[test]
    fn a_policy_speaks_of_its_own_bucket() {
        for resource in ["arn:aws:s3:::models", "arn:aws:s3:::models/*", "arn:aws:s3:::models/a/b", "arn:aws:s3:::models*"] {
            assert!(check(&policy("s3:*", resource), &bucket()).is_ok(), "{resource}");
        }
        for resource in ["arn:aws:s3:::*", "*", "arn:aws:s3:::models-2/*", "arn:aws:s3:::other/*"] {
            assert_eq!(check(&policy("s3:*", resource), &bucket()).unwrap_err().message, "Policy has invalid resource", "{resource}");
        }
        assert_eq!(check(&policy("sqs:SendMessage", "arn:aws:s3:::models/*"), &bucket()).unwrap_err().code, "MalformedPolicy");
        assert_eq!(check("{}", &bucket()).unwrap_err().code, "MalformedPolicy");
        assert_eq!(check(" ", &bucket()).unwrap_err().code, "MissingRequestBodyError");
        assert_eq!(check(&" ".repeat(POLICY_BYTES_MAX), &bucket()).unwrap_err().code, "MissingRequestBodyError");
    }
}
