//! Errors of S3 in its own codes and words. Statuses come from the facts.
//!
//! Source: S3 API Reference, "Error responses"; texts as the service sends them.

use plane::ApiError;
use wire::Value;

fn text(value: impl Into<String>) -> Value {
    Value::Str(value.into())
}

pub(crate) fn access_denied() -> ApiError {
    ApiError::new("AccessDenied", "Access Denied").with_status(403)
}

pub(crate) fn access_denied_because(message: impl Into<String>) -> ApiError {
    ApiError::new("AccessDenied", message).with_status(403)
}

pub(crate) fn no_such_bucket(bucket: &str) -> ApiError {
    ApiError::new("NoSuchBucket", "The specified bucket does not exist").with_member("BucketName", text(bucket))
}

pub(crate) fn no_such_key(key: &str) -> ApiError {
    ApiError::new("NoSuchKey", "The specified key does not exist.").with_member("Key", text(key))
}

pub(crate) fn no_such_version(key: &str, version_id: &str) -> ApiError {
    ApiError::new("NoSuchVersion", "The specified version does not exist.")
        .with_member("Key", text(key))
        .with_member("VersionId", text(version_id))
}

pub(crate) fn invalid_bucket_state(message: &str) -> ApiError {
    ApiError::new("InvalidBucketState", message)
}

pub(crate) fn no_such_upload(upload_id: &str) -> ApiError {
    let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    ApiError::new("NoSuchUpload", message).with_member("UploadId", text(upload_id))
}

/// The bucket lives in another of our regions: the client is told which.
pub(crate) fn permanent_redirect(bucket: &str, region: &str) -> ApiError {
    let message = "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.";
    ApiError::new("PermanentRedirect", message)
        .with_status(301)
        .with_header("x-amz-bucket-region", region)
        .with_member("Endpoint", text(format!("s3.{region}.amazonaws.com")))
        .with_member("Bucket", text(bucket))
        .with_member("Region", text(region))
}

pub(crate) fn invalid_argument(message: impl Into<String>, name: &str, value: &str) -> ApiError {
    ApiError::new("InvalidArgument", message).with_member("ArgumentName", text(name)).with_member("ArgumentValue", text(value))
}

pub(crate) fn invalid_request(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidRequest", message)
}

pub(crate) fn malformed_xml() -> ApiError {
    ApiError::new("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
}

/// A setting that S3 has and this server does not: refused, never stored.
pub(crate) fn not_implemented(header: &str) -> ApiError {
    ApiError::new("NotImplemented", format!("A header or setting you provided implies functionality that is not implemented: `{header}`"))
        .with_status(501)
        .with_member("Header", text(header))
}

pub(crate) fn precondition_failed(condition: &str) -> ApiError {
    ApiError::new("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        .with_member("Condition", text(condition))
}

pub(crate) fn invalid_range(range: &str, size: u64) -> ApiError {
    ApiError::new("InvalidRange", "The requested range is not satisfiable")
        .with_member("ActualObjectSize", text(size.to_string()))
        .with_member("RangeRequested", text(range))
}

pub(crate) fn entity_too_large(size: u64, limit: u64) -> ApiError {
    ApiError::new("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        .with_member("ProposedSize", text(size.to_string()))
        .with_member("MaxSizeAllowed", text(limit.to_string()))
}

pub(crate) fn method_not_allowed(method: &str, resource_type: &str) -> ApiError {
    ApiError::new("MethodNotAllowed", "The specified method is not allowed against this resource.")
        .with_status(405)
        .with_member("Method", text(method))
        .with_member("ResourceType", text(resource_type))
}
