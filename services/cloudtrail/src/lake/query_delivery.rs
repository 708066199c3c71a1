//! Answers of queries as files in a bucket, with a signature.
//!
//! Source: CloudTrail User Guide, "Find your CloudTrail Lake saved query results" and "CloudTrail sign file structure": SHA-256 of each
//! compressed file, joined by single spaces, signed with SHA256withRSA under the region's key (`ListPublicKeys`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use plane::clock::iso8601_s;
use plane::{ApiError, Call, Plane};
use policy::MapContext;
use serde_json::json;
use wire::{FromValue as _, Struct, Value};

use super::error::LakeError;
use super::query::{Delivery, Query, Target};
use crate::delivery::{gzip, settle_with, sha256_hex};
use crate::error::TrailError;
use crate::{destination, signing_key};

/// Rows of one file.
const FILE_ROWS: usize = 50_000;

/// The bucket of a URI, if CloudTrail may write answers there.
pub(crate) async fn target(cx: &mut Call, uri: &str) -> Result<Target, ApiError> {
    let place = uri.strip_prefix("s3://").ok_or_else(|| LakeError::BucketName(uri.to_owned()))?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err(LakeError::BucketName(uri.to_owned()).into());
    }
    let prefix = prefix.trim_end_matches('/');
    if prefix.len() > 200 || prefix.contains('\0') {
        return Err(TrailError::Prefix.into());
    }
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let bucket_region = destination::bucket_region(cx, bucket).await?;
    let caller = destination::caller(&source_arn(&cx.region, &cx.account), &cx.account);
    let object = format!("arn:{}:s3:::{bucket}/{prefix}AWSLogs/{}/CloudTrail-Lake/Query/check", plane::PARTITION, cx.account);
    let plane = Arc::clone(&cx.plane);
    let keys = MapContext::new();
    if !plane.is_service_allowed(&caller, &bucket_region, ("s3", "PutObject"), ("s3:PutObject", &object), &keys).await? {
        return Err(TrailError::BucketPolicy(bucket.to_owned()).into());
    }
    Ok(Target { uri: uri.to_owned(), bucket: bucket.to_owned(), bucket_region, prefix, status: Delivery::Pending })
}

/// `aws:SourceArn` of a delivery. One query may read several stores, so none of them is named.
fn source_arn(region: &str, account: &str) -> String {
    format!("arn:{}:cloudtrail:{region}:{account}:eventdatastore/*", plane::PARTITION)
}

/// Puts the files of an answer and tells how it went.
pub(crate) async fn deliver(plane: &Arc<Plane>, query: &Query, target: Target, rows: &[Vec<Option<String>>]) -> Target {
    let status = match files(plane, query, &target, rows).await {
        Ok(hashes) => match sign(plane, query, &target, hashes).await {
            Ok(()) => Delivery::Success,
            Err(error) if error.code == "AccessDenied" => Delivery::AccessDeniedSigningFile,
            Err(_) => Delivery::FailedSigningFile,
        },
        Err(error) => match error.code.as_ref() {
            "AccessDenied" => Delivery::AccessDenied,
            "NoSuchBucket" => Delivery::ResourceNotFound,
            _ => Delivery::Failed,
        },
    };
    Target { status, ..target }
}

/// Name and hash of each file that was put.
async fn files(
    plane: &Arc<Plane>,
    query: &Query,
    target: &Target,
    rows: &[Vec<Option<String>>],
) -> Result<Vec<(String, String)>, ApiError> {
    let mut parts: Vec<&[Vec<Option<String>>]> = rows.chunks(FILE_ROWS).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let mut put = Vec::with_capacity(parts.len());
    for (number, part) in parts.into_iter().enumerate() {
        let name = format!("result_{}.csv.gz", number + 1);
        let body = gzip(csv(&query.columns, part).as_bytes())?;
        let hash = sha256_hex(&body);
        write(plane, query, target, &name, body, "text/csv").await?;
        put.push((name, hash));
    }
    Ok(put)
}

async fn sign(plane: &Arc<Plane>, query: &Query, target: &Target, files: Vec<(String, String)>) -> Result<(), ApiError> {
    let position = plane.regions.position(&query.region).unwrap_or_default();
    let now_ms = plane.clock.now_ms();
    let key = loop {
        let mut tx = plane.transaction(position);
        let (key, is_new) = signing_key::current(&mut tx, &query.region, now_ms).await?;
        // A new key is told to the log in the commit that makes it, as for digests. Who loses the race uses the winner's.
        let statement = if is_new { Some((position, key.statement()?.to_bytes())) } else { None };
        if settle_with(tx, statement.into_iter().collect()).await? {
            break key;
        }
    };
    let text = files.iter().map(|(_, hash)| hash.as_str()).collect::<Vec<_>>().join(" ");
    let signed = json!({
        "version": "1.0",
        "region": query.region,
        "files": files.iter().map(|(name, hash)| json!({ "fileHashValue": hash, "fileName": name })).collect::<Vec<_>>(),
        "hashAlgorithm": "SHA-256",
        "signatureAlgorithm": "SHA256withRSA",
        "queryCompleteTime": iso8601_s(now_ms),
        "hashSignature": key.sign(&text)?,
        "publicKeyFingerprint": key.fingerprint,
    });
    write(plane, query, target, "result_sign.json", Bytes::from(signed.to_string()), "application/json").await
}

async fn write(plane: &Arc<Plane>, query: &Query, target: &Target, name: &str, body: Bytes, content_type: &str) -> Result<(), ApiError> {
    let day =
        jiff::Timestamp::from_millisecond(query.created_ms).map_err(|error| ApiError::internal(&error))?.strftime("%Y/%m/%d").to_string();
    let key = format!("{}AWSLogs/{}/CloudTrail-Lake/Query/{day}/{}/{name}", target.prefix, query.for_account(), query.id);
    let mut input = Struct::new();
    let members: BTreeMap<&'static str, &str> = [("Bucket", target.bucket.as_str()), ("Key", &key), ("ContentType", content_type)].into();
    for (member, value) in members {
        input.set(member, Value::Str(value.to_owned()));
    }
    let input = api_s3::PutObjectInput::from_value(Value::Struct(input)).map_err(|error| ApiError::internal(&error))?;
    let caller = destination::caller(&source_arn(&query.region, query.for_account()), query.for_account());
    plane.call_as_service(&caller, &target.bucket_region, input, Some(body)).await.map(|_| ())
}

/// RFC 4180, every cell quoted: so a cell that begins like a formula is no formula to a reader that heeds quotes.
fn csv(columns: &[String], rows: &[Vec<Option<String>>]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut out = columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(",");
    out.push('\n');
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| cell.as_deref().map_or_else(String::new, quoted)).collect();
        let _ = writeln!(out, "{}", cells.join(","));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted() {
        let rows = [vec![Some("a \"b\", c".to_owned()), None]];
        assert_eq!(csv(&["x".to_owned(), "y".to_owned()], &rows), "\"x\",\"y\"\n\"a \"\"b\"\", c\",\n");
    }
}
