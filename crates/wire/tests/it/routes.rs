//! Routing over the real services: S3's sub-resources, virtual hosts and look-alikes.

use http::{HeaderMap, HeaderName, HeaderValue};
use wire::RequestParts;

fn route(service: &str, host_label: Option<&str>, method: &str, target: &str, header: Option<&str>) -> String {
    let service = facts::catalog().service(service).expect(service);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    if let Some(name) = header {
        headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::from_static("x"));
    }
    let parts = RequestParts { method, path, query, headers: &headers, host_label };
    let Some((operation, labels)) = wire::route_rest(service, &parts) else {
        return "none".to_owned();
    };
    let found: Vec<String> = ["Bucket", "Key"].iter().filter_map(|name| labels.get(name)).collect();
    format!("{} {}", operation.name, found.join(" | ")).trim_end().to_owned()
}

#[test]
fn s3_sub_resources() {
    let s3 = |method, target| route("s3", None, method, target, None);
    assert_eq!(s3("GET", "/"), "ListBuckets");
    assert_eq!(s3("GET", "/?x-id=ListDirectoryBuckets"), "ListDirectoryBuckets");
    assert_eq!(s3("PUT", "/b"), "CreateBucket b");
    assert_eq!(s3("PUT", "/b/"), "CreateBucket b");
    assert_eq!(s3("GET", "/b?list-type=2&prefix=a"), "ListObjectsV2 b");
    assert_eq!(s3("GET", "/b?prefix=a"), "ListObjects b");
    assert_eq!(s3("GET", "/b?versions"), "ListObjectVersions b");
    assert_eq!(s3("GET", "/b?uploads"), "ListMultipartUploads b");
    assert_eq!(s3("GET", "/b?lifecycle"), "GetBucketLifecycleConfiguration b");
    assert_eq!(s3("PUT", "/b?notification"), "PutBucketNotificationConfiguration b");
    assert_eq!(s3("GET", "/b?location"), "GetBucketLocation b");
    assert_eq!(s3("POST", "/b?delete"), "DeleteObjects b");
    assert_eq!(s3("GET", "/b/k"), "GetObject b | k");
    assert_eq!(s3("GET", "/b/k?x-id=GetObject"), "GetObject b | k");
    assert_eq!(s3("GET", "/b/k?acl"), "GetObjectAcl b | k");
    assert_eq!(s3("GET", "/b/k?uploadId=1"), "ListParts b | k");
    assert_eq!(s3("PUT", "/b/k"), "PutObject b | k");
    assert_eq!(s3("PUT", "/b/k?partNumber=1&uploadId=2"), "UploadPart b | k");
    assert_eq!(s3("POST", "/b/k?uploads"), "CreateMultipartUpload b | k");
    assert_eq!(s3("POST", "/b/k?uploadId=2"), "CompleteMultipartUpload b | k");
    assert_eq!(s3("HEAD", "/b/k"), "HeadObject b | k");
    assert_eq!(s3("HEAD", "/b"), "HeadBucket b");
    assert_eq!(s3("DELETE", "/b/k?tagging"), "DeleteObjectTagging b | k");
    assert_eq!(s3("PATCH", "/b/k"), "none");
}

/// Else `DELETE /b?acl` would delete the bucket, and `PUT /b/k?partNumber=1` would write the object.
#[test]
fn a_sub_resource_that_the_method_lacks_is_no_route() {
    let s3 = |method: &str, target: &str| route("s3", None, method, target, None);
    for name in
        ["acl", "versioning", "location", "logging", "notification", "requestPayment", "accelerate", "object-lock", "uploads", "versions"]
    {
        assert_eq!(s3("DELETE", &format!("/b?{name}")), "none", "{name}");
    }
    for name in ["acl", "retention", "legal-hold", "torrent", "attributes", "restore", "uploads"] {
        assert_eq!(s3("DELETE", &format!("/b/k?{name}")), "none", "{name}");
    }
    for target in
        ["/b/k?torrent", "/b/k?uploads", "/b/k?restore", "/b/k?attributes", "/b?location", "/b?uploads", "/b?versions", "/b?policyStatus"]
    {
        assert_eq!(s3("PUT", target), "none", "{target}");
    }
    // With an operation that lacks something else, that one says so.
    assert_eq!(s3("PUT", "/b/k?partNumber=1"), "UploadPart b | k");
    assert_eq!(s3("PUT", "/b/k?uploadId=abc"), "UploadPart b | k");
    assert_eq!(s3("DELETE", "/b?inventory"), "DeleteBucketInventoryConfiguration b");
    assert_eq!(s3("GET", "/b/k?attributes"), "GetObjectAttributes b | k");
    assert_eq!(s3("GET", "/b?inventory"), "ListBucketInventoryConfigurations b");
    assert_eq!(s3("GET", "/b?inventory&id=a"), "GetBucketInventoryConfiguration b");
    // Names that S3 does not know are nobody's.
    assert_eq!(s3("DELETE", "/b/k?foo"), "DeleteObject b | k");
    assert_eq!(s3("DELETE", "/b/k?versionId=1"), "DeleteObject b | k");
    assert_eq!(s3("GET", "/b/k?partNumber=1"), "GetObject b | k");
    assert_eq!(s3("PUT", "/b/k?x-id=PutObject"), "PutObject b | k");
}

#[test]
fn s3_copies_are_told_by_their_header() {
    let copy = Some("x-amz-copy-source");
    assert_eq!(route("s3", None, "PUT", "/b/k", copy), "CopyObject b | k");
    assert_eq!(route("s3", None, "PUT", "/b/k?partNumber=1&uploadId=2", copy), "UploadPartCopy b | k");
}

#[test]
fn s3_virtual_hosts_and_keys() {
    let hosted = |method, target| route("s3", Some("b"), method, target, None);
    assert_eq!(hosted("GET", "/"), "ListObjects b");
    assert_eq!(hosted("PUT", "/"), "CreateBucket b");
    assert_eq!(hosted("GET", "/a/b//../c%2F%25%20+"), "GetObject b | a/b//../c/% +");
    assert_eq!(hosted("GET", "//k"), "GetObject b | /k");
}

#[test]
fn json_services() {
    assert_eq!(route("bedrock-runtime", None, "POST", "/model/anthropic.x%3A0/converse", None), "Converse");
    assert_eq!(route("bedrock-runtime", None, "POST", "/model/x/invoke", None), "InvokeModel");
    assert_eq!(route("lambda", None, "GET", "/2015-03-31/functions/f", None), "GetFunction");
    assert_eq!(route("lambda", None, "GET", "/2015-03-31/functions/f/configuration", None), "GetFunctionConfiguration");
    assert_eq!(route("lambda", None, "GET", "/2015-03-31/nothing", None), "none");
}
