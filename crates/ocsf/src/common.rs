//! Attributes that all classes share.

use std::net::IpAddr;

use serde_json::{Value as Json, json};

use crate::class::{Activity, Class};
use crate::map::Version;

/// The record, with short ways to its members.
#[derive(Clone, Copy)]
pub(crate) struct Record<'r>(pub &'r Json);

impl<'r> Record<'r> {
    /// A text at a JSON pointer; empty texts are none.
    pub(crate) fn text(self, pointer: &str) -> Option<&'r str> {
        self.0.pointer(pointer).and_then(Json::as_str).filter(|text| !text.is_empty())
    }

    /// Milliseconds since 1970.
    pub(crate) fn time(self, pointer: &str) -> Option<i64> {
        self.text(pointer).and_then(|text| text.parse::<jiff::Timestamp>().ok()).map(jiff::Timestamp::as_millisecond)
    }

    fn boolean(self, pointer: &str) -> Option<bool> {
        match self.0.pointer(pointer) {
            Some(Json::Bool(value)) => Some(*value),
            Some(Json::String(text)) => text.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn failed(self) -> bool {
        self.text("/errorCode").is_some()
    }
}

/// Members of a record that the attributes here stand for, as `flatten` names them.
pub(crate) const MAPPED: [&str; 25] = [
    "eventVersion",
    "eventID",
    "eventTime",
    "eventName",
    "eventSource",
    "eventCategory",
    "awsRegion",
    "apiVersion",
    "requestID",
    "errorCode",
    "errorMessage",
    "sourceIPAddress",
    "userAgent",
    "vpcEndpointId",
    "userIdentity.type",
    "userIdentity.userName",
    "userIdentity.principalId",
    "userIdentity.arn",
    "userIdentity.accountId",
    "userIdentity.accessKeyId",
    "userIdentity.invokedBy",
    "userIdentity.identityProvider",
    "userIdentity.sessionContext.attributes.creationDate",
    "userIdentity.sessionContext.attributes.mfaAuthenticated",
    "userIdentity.sessionContext.sessionIssuer.arn",
];

pub(crate) fn metadata(record: Record<'_>, version: Version) -> Json {
    let feature = record.text("/eventCategory").unwrap_or("Management, Data, and Insights");
    let mut metadata = json!({
        "product": { "version": record.text("/eventVersion"), "name": "CloudTrail", "vendor_name": "AWS", "feature": { "name": feature } },
        "uid": record.text("/eventID"),
        "profiles": ["cloud"],
        "version": version.name(),
    });
    if let (false, Some(members)) = (version == Version::Rc2, metadata.as_object_mut()) {
        members.insert("event_code".to_owned(), json!(record.text("/eventName")));
        members.insert("log_provider".to_owned(), json!("CloudTrail"));
        members.insert("profiles".to_owned(), json!(["cloud", "datetime"]));
    }
    metadata
}

pub(crate) fn cloud(record: Record<'_>, version: Version) -> Json {
    if version == Version::Rc2 {
        return json!({ "region": record.text("/awsRegion"), "provider": "AWS" });
    }
    json!({ "region": record.text("/awsRegion"), "provider": "AWS", "account": { "uid": record.text("/recipientAccountId") } })
}

pub(crate) fn api(record: Record<'_>) -> Json {
    json!({
        "response": { "error": record.text("/errorCode"), "message": record.text("/errorMessage") },
        "operation": record.text("/eventName"),
        "version": record.text("/apiVersion"),
        "service": { "name": record.text("/eventSource") },
        "request": { "uid": record.text("/requestID") },
    })
}

pub(crate) fn actor(record: Record<'_>, version: Version) -> Json {
    let text = |name: &str| record.text(&format!("/userIdentity/{name}"));
    let created = record.time("/userIdentity/sessionContext/attributes/creationDate");
    let mfa = record.boolean("/userIdentity/sessionContext/attributes/mfaAuthenticated");
    let issuer = record.text("/userIdentity/sessionContext/sessionIssuer/arn");
    let (user, session) = if version == Version::Rc2 {
        let user = json!({
            "type": text("type"), "name": text("userName"), "uid": text("principalId"), "uuid": text("arn"), "account_uid": text("accountId"),
            "credential_uid": text("accessKeyId"),
        });
        (user, json!({ "created_time": created, "mfa": mfa, "issuer": issuer }))
    } else {
        let user = json!({
            "type": text("type"), "type_id": user_type(text("type")), "name": text("userName"), "uid": text("arn").or(text("principalId")),
            "uid_alt": text("principalId"), "credential_uid": text("accessKeyId"),
            "account": { "uid": text("accountId"), "type": "AWS Account", "type_id": 10 },
        });
        (user, json!({ "created_time": created, "is_mfa": mfa, "issuer": issuer }))
    };
    json!({ "user": user, "session": session, "invoked_by": text("invokedBy"), "idp": { "name": text("identityProvider") } })
}

/// OCSF `user.type_id`: 1 user, 2 admin, 3 system, 99 other.
fn user_type(kind: Option<&str>) -> i64 {
    match kind {
        Some("Root") => 2,
        Some("AWSService") => 3,
        Some("IAMUser" | "AssumedRole" | "FederatedUser" | "SAMLUser" | "WebIdentityUser" | "IdentityCenterUser") => 1,
        Some(_) => 99,
        None => 0,
    }
}

pub(crate) fn source(record: Record<'_>) -> Json {
    let address = record.text("/sourceIPAddress");
    let is_ip = address.is_some_and(|address| address.parse::<IpAddr>().is_ok());
    json!({
        "uid": record.text("/vpcEndpointId"),
        "ip": address.filter(|_| is_ip),
        "domain": address.filter(|_| !is_ip),
    })
}

/// Category, class, activity, type and severity of an event.
pub(crate) fn classification(class: Class, activity: Activity, version: Version) -> Vec<(&'static str, Json)> {
    let (category, category_name, class_id) = match (class, version) {
        (Class::ApiActivity, Version::Rc2) => (3, "Audit Activity", 3005),
        (Class::ApiActivity, _) => (6, "Application Activity", 6003),
        (Class::AccountChange, Version::Rc2) => (3, "Audit Activity", 3001),
        (Class::Authentication, Version::Rc2) => (3, "Audit Activity", 3002),
        (Class::AccountChange, _) => (3, "Identity & Access Management", 3001),
        (Class::Authentication, _) => (3, "Identity & Access Management", 3002),
        (Class::DetectionFinding, _) => (2, "Findings", 2004),
    };
    let name = class.name();
    vec![
        ("class_name", json!(name)),
        ("class_uid", json!(class_id)),
        ("category_name", json!(category_name)),
        ("category_uid", json!(category)),
        ("activity_name", json!(activity.name)),
        ("activity_id", json!(activity.id)),
        ("type_uid", json!(class_id * 100 + activity.id)),
        ("type_name", json!(format!("{name}: {}", activity.name))),
    ]
}
