//! What audit events of S3 show, where it is not the general rule.
//!
//! Source: S3 User Guide, "Amazon S3 CloudTrail events"; CloudTrail record examples for S3.

use facts::Location;
use plane::Call;
use plane::audit;
use serde_json::{Map, Value as Json, json};
use wire::Value;

/// Bucket, key and host; parameters and headers under their names on the wire; subresources with an empty value.
pub(crate) fn request_parameters(call: &Call, input: &Value) -> Json {
    let mut shown = Map::new();
    for member in call.operation.input.map(|input| call.service.members(input)).unwrap_or_default() {
        // Most members are not there, and there are many.
        let Some(value) = input.member(member.name) else { continue };
        let Some(value) = audit::element(call.service, member, value) else { continue };
        let name = match member.location {
            Location::Uri => {
                if member.name == "Bucket" {
                    "bucketName".to_owned()
                } else {
                    "key".to_owned()
                }
            }
            Location::Header => member.wire_name().to_ascii_lowercase(),
            Location::QueryString => member.wire_name().to_owned(),
            Location::Body => member.name.to_owned(),
            // User metadata is customers' content.
            Location::Headers | Location::StatusCode => continue,
        };
        // The list of keys can be long; CloudTrail shows that there was one.
        let value = if member.name == "Delete" { json!("") } else { value };
        shown.insert(name, value);
    }
    if let Some(policy) = input.member("Policy").and_then(Value::as_str) {
        shown.remove("Policy");
        shown.insert("bucketPolicy".to_owned(), serde_json::from_str(policy).unwrap_or_else(|_| Json::String(policy.to_owned())));
    }
    for name in subresources(call.operation.http_uri) {
        shown.entry(name).or_insert_with(|| json!(""));
    }
    if let Some(host) = &call.request.host {
        shown.insert("Host".to_owned(), json!(host));
    }
    Json::Object(shown)
}

/// `policy` of `/{Bucket}?policy`.
fn subresources(uri: &str) -> impl Iterator<Item = String> {
    let query = uri.split_once('?').map(|(_, query)| query).unwrap_or_default();
    query.split('&').filter(|part| !part.is_empty() && !part.contains('=') && *part != "list-type").map(str::to_owned)
}

/// `additionalEventData` of a call: how many bytes moved. How it was signed, and over what connection, the plane says.
pub(crate) fn note(cx: &mut Call, bytes_in: u64, bytes_out: u64) {
    let additional = &mut cx.audit.additional;
    additional.insert("bytesTransferredIn".to_owned(), json!(bytes_in));
    additional.insert("bytesTransferredOut".to_owned(), json!(bytes_out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subresources_come_from_the_uri() {
        assert_eq!(subresources("/{Bucket}?policy").collect::<Vec<_>>(), ["policy"]);
        assert_eq!(subresources("/{Bucket}?list-type=2").count(), 0);
        assert_eq!(subresources("/{Bucket}/{Key+}").count(), 0);
    }
}
