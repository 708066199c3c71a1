//! From a record to an event.

use serde_json::{Map, Value as Json, json};

use crate::class::{self, Class};
use crate::common::{self, MAPPED, Record};
use crate::finding;
use crate::flat::flatten;

/// Version of the schema that events are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// What Security Lake's first source version wrote.
    Rc2,
    V1_1,
    #[default]
    V1_5,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rc2, Self::V1_1, Self::V1_5];

    /// As `metadata.version` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rc2 => "1.0.0-rc.2",
            Self::V1_1 => "1.1.0",
            Self::V1_5 => "1.5.0",
        }
    }

    /// The version of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == name)
    }
}

/// The event of a record, and its class. Attributes without a value are left out.
pub fn map(record: &Json, version: Version) -> (Class, Json) {
    let (class, activity) = class::of(record);
    let view = Record(record);
    let mut event = Map::new();
    let mut mapped: Vec<&str> = MAPPED.to_vec();
    let mut set = |name: &str, value: Json| {
        event.insert(name.to_owned(), value);
    };
    set("metadata", common::metadata(view, version));
    set("time", json!(view.time("/eventTime")));
    if version != Version::Rc2 {
        set("time_dt", json!(view.text("/eventTime")));
    }
    set("cloud", common::cloud(view, version));
    set("api", common::api(view));
    set("actor", common::actor(view, version));
    set("http_request", json!({ "user_agent": view.text("/userAgent") }));
    set("src_endpoint", common::source(view));
    for (name, value) in common::classification(class, activity, version) {
        set(name, value);
    }
    set("severity_id", json!(1));
    set("severity", json!("Informational"));
    for (name, value) in status(class, view, version) {
        set(name, value);
    }
    let own = match class {
        Class::ApiActivity => api_activity(view, version, &mut mapped),
        Class::AccountChange => account_change(view, version, &mut mapped),
        Class::Authentication => authentication(view, version, &mut mapped),
        Class::DetectionFinding => finding::attributes(view, &mut mapped),
    };
    for (name, value) in own {
        set(name, value);
    }
    if version != Version::Rc2 {
        mapped.push("recipientAccountId");
    }
    set("unmapped", Json::Object(flatten(record, &mapped)));
    let mut event = Json::Object(event);
    prune(&mut event);
    (class, event)
}

/// Takes members away that say nothing.
fn prune(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.values_mut().for_each(prune);
            members.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|members| !members.is_empty()));
        }
        Json::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

type Attributes = Vec<(&'static str, Json)>;

fn status(class: Class, record: Record<'_>, version: Version) -> Attributes {
    let (id, name) = match (class, version) {
        // So AWS's rows have it: only a console sign-in says how it went.
        (Class::Authentication, Version::Rc2) => match record.text("/responseElements/ConsoleLogin") {
            Some("Success") => (1, "Success"),
            Some("Failure") => (2, "Failure"),
            _ => (0, "Other"),
        },
        (Class::Authentication, _) if record.text("/responseElements/ConsoleLogin") == Some("Failure") => (2, "Failure"),
        (Class::DetectionFinding, _) => (1, "New"),
        _ if record.failed() => (2, "Failure"),
        _ => (1, "Success"),
    };
    let mut attributes = vec![("status_id", json!(id)), ("status", json!(name))];
    if version != Version::Rc2 {
        attributes.push(("status_code", json!(record.text("/errorCode"))));
        attributes.push(("status_detail", json!(record.text("/errorMessage"))));
    }
    attributes
}

/// `resources` as OCSF has them.
pub(crate) fn resources(record: Record<'_>, version: Version) -> Json {
    let Some(Json::Array(items)) = record.0.get("resources") else { return Json::Null };
    let shown = items.iter().map(|item| {
        let text = |name: &str| item.get(name).and_then(Json::as_str);
        let (uid, account, kind) = (text("ARN"), text("accountId"), text("type"));
        if version == Version::Rc2 {
            json!({ "uid": uid, "account_uid": account, "type": kind })
        } else {
            json!({ "uid": uid, "owner": { "account": { "uid": account } }, "type": kind })
        }
    });
    Json::Array(shown.collect())
}

const RESOURCES: [&str; 3] = ["resources[].ARN", "resources[].accountId", "resources[].type"];

fn api_activity(record: Record<'_>, version: Version, mapped: &mut Vec<&str>) -> Attributes {
    mapped.extend(RESOURCES);
    vec![("resources", resources(record, version))]
}

fn account_change(record: Record<'_>, version: Version, mapped: &mut Vec<&str>) -> Attributes {
    let mut name = None;
    for (pointer, path) in [
        ("/requestParameters/userName", "requestParameters.userName"),
        ("/requestParameters/roleName", "requestParameters.roleName"),
        ("/requestParameters/groupName", "requestParameters.groupName"),
    ] {
        if name.is_none() && record.text(pointer).is_some() {
            name = record.text(pointer);
            mapped.push(path);
        }
    }
    let mut attributes = vec![("user", json!({ "name": name }))];
    if version != Version::Rc2
        && let Some(policy) = record.text("/requestParameters/policyArn")
    {
        mapped.push("requestParameters.policyArn");
        attributes.push(("policy", json!({ "uid": policy })));
    }
    attributes
}

fn authentication(record: Record<'_>, version: Version, mapped: &mut Vec<&str>) -> Attributes {
    mapped.extend([
        "requestParameters.roleArn",
        "requestParameters.roleSessionName",
        "additionalEventData.MFAUsed",
        "additionalEventData.LoginTo",
    ]);
    let role = record
        .text("/requestParameters/roleArn")
        .or(record.text("/userIdentity/arn").filter(|_| record.text("/eventName") == Some("ConsoleLogin")));
    let name = record.text("/requestParameters/roleSessionName").or(record.text("/userIdentity/userName"));
    let mfa = record.text("/additionalEventData/MFAUsed").map(|used| used == "Yes");
    let target = record.text("/additionalEventData/LoginTo");
    if version == Version::Rc2 {
        return vec![("user", json!({ "uuid": role, "name": name })), ("mfa", json!(mfa)), ("dst_endpoint", json!({ "svc_name": target }))];
    }
    vec![
        ("user", json!({ "uid": role, "name": name })),
        ("is_mfa", json!(mfa)),
        ("dst_endpoint", json!({ "svc_name": target.or(record.text("/eventSource")) })),
        ("auth_protocol", json!(protocol(record))),
    ]
}

fn protocol(record: Record<'_>) -> Option<&'static str> {
    match record.text("/eventName") {
        Some("AssumeRoleWithSAML") => Some("SAML"),
        Some("AssumeRoleWithWebIdentity") => Some("OpenID"),
        _ => None,
    }
}
