//! The `x-amz-copy-source` header.

use plane::ApiError;

use crate::error::invalid_argument;
use crate::url;

/// `BUCKET/KEY[?versionId=ID]`, percent-encoded, perhaps with a slash before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopySource {
    pub bucket: String,
    pub key: String,
    pub version_id: Option<String>,
}

impl CopySource {
    pub(crate) fn parse(header: &str) -> Result<Self, ApiError> {
        let refused =
            || invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source", header);
        let (path, version_id) = match header.rsplit_once("?versionId=") {
            Some((path, version_id)) => (path, Some(url::decode(version_id).ok_or_else(refused)?)),
            None => (header, None),
        };
        let path = url::decode(path).ok_or_else(refused)?;
        // Access point ARNs are not served.
        if path.starts_with("arn:") {
            return Err(refused());
        }
        let (bucket, key) = path.strip_prefix('/').unwrap_or(&path).split_once('/').ok_or_else(refused)?;
        if bucket.is_empty() || key.is_empty() {
            return Err(refused());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned(), version_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_name_bucket_and_key() {
        let source = CopySource::parse("/b/a%20b/c+d?versionId=null").unwrap();
        assert_eq!((source.bucket.as_str(), source.key.as_str(), source.version_id.as_deref()), ("b", "a b/c+d", Some("null")));
        assert_eq!(CopySource::parse("b//k").unwrap().key, "/k");
        for bad in ["", "b", "b/", "/b", "//k", "arn:aws:s3:eu-central-1:1:accesspoint/a/object/k", "b/%zz", "b/%ff"] {
            assert!(CopySource::parse(bad).is_err(), "{bad}");
        }
    }
}
