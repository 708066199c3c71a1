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
