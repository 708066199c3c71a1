//! Which class and activity an event has.

use serde_json::Value as Json;

/// The class of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    ApiActivity,
    AccountChange,
    Authentication,
    DetectionFinding,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ApiActivity, Self::AccountChange, Self::Authentication, Self::DetectionFinding];

    /// Name in paths of files.
    pub fn slug(self) -> &'static str {
        match self {
            Self::ApiActivity => "api_activity",
            Self::AccountChange => "account_change",
            Self::Authentication => "authentication",
            Self::DetectionFinding => "detection_finding",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ApiActivity => "API Activity",
            Self::AccountChange => "Account Change",
            Self::Authentication => "Authentication",
            Self::DetectionFinding => "Detection Finding",
        }
    }
}

/// What was done, in the class's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Activity {
    pub id: i64,
    pub name: &'static str,
}

const fn activity(id: i64, name: &'static str) -> Activity {
    Activity { id, name }
}

fn text<'a>(record: &'a Json, name: &str) -> &'a str {
    record.get(name).and_then(Json::as_str).unwrap_or_default()
}

/// The class of a record and what was done.
pub(crate) fn of(record: &Json) -> (Class, Activity) {
    if text(record, "eventCategory") == "Insight" || text(record, "eventType") == "AwsCloudTrailInsight" || is_guardrail_stop(record) {
        return (Class::DetectionFinding, activity(1, "Create"));
    }
    let (source, name) = (text(record, "eventSource"), text(record, "eventName"));
    match source {
        "signin.amazonaws.com" | "sts.amazonaws.com" | "sso.amazonaws.com" => {
            if let Some(activity) = authentication(name) {
                return (Class::Authentication, activity);
            }
        }
        "iam.amazonaws.com" => {
            if let Some(activity) = account_change(name) {
                return (Class::AccountChange, activity);
            }
        }
        _ => {}
    }
    (Class::ApiActivity, api_activity(name))
}

/// Whether a guardrail stopped the call that the record tells of.
pub(crate) fn is_guardrail_stop(record: &Json) -> bool {
    let action = |pointer: &str| record.pointer(pointer).and_then(Json::as_str);
    text(record, "eventSource") == "bedrock.amazonaws.com"
        && [
            "/additionalEventData/guardrailAction",
            "/additionalEventData/guardrail/action",
            "/additionalEventData/amazon-bedrock-guardrailAction",
            "/responseElements/action",
            "/responseElements/stopReason",
        ]
        .into_iter()
        .any(|pointer| matches!(action(pointer), Some("GUARDRAIL_INTERVENED" | "INTERVENED" | "guardrail_intervened")))
}

fn authentication(name: &str) -> Option<Activity> {
    match name {
        "ConsoleLogin"
        | "CheckMfa"
        | "GetSigninToken"
        | "AssumeRole"
        | "AssumeRoleWithSAML"
        | "AssumeRoleWithWebIdentity"
        | "AssumeRoot"
        | "GetFederationToken"
        | "GetSessionToken"
        | "GetWebIdentityToken"
        | "Authenticate"
        | "Federate" => Some(activity(1, "Logon")),
        "SwitchRole" | "ExitRole" => Some(activity(7, "Account Switch")),
        "Logout" | "UserAuthenticationLogout" => Some(activity(2, "Logoff")),
        _ => None,
    }
}

fn account_change(name: &str) -> Option<Activity> {
    let activity = match name {
        "CreateUser" | "CreateRole" | "CreateServiceLinkedRole" | "CreateGroup" | "CreateLoginProfile" | "CreateAccessKey" => {
            activity(1, "Create")
        }
        "ChangePassword" => activity(3, "Password Change"),
        "UpdateLoginProfile" => activity(4, "Password Reset"),
        "DeleteUser" | "DeleteRole" | "DeleteServiceLinkedRole" | "DeleteGroup" | "DeleteLoginProfile" | "DeleteAccessKey" => {
            activity(6, "Delete")
        }
        "AttachUserPolicy"
        | "AttachRolePolicy"
        | "AttachGroupPolicy"
        | "PutUserPolicy"
        | "PutRolePolicy"
        | "PutGroupPolicy"
        | "PutUserPermissionsBoundary"
        | "PutRolePermissionsBoundary"
        | "AddRoleToInstanceProfile"
        | "AddUserToGroup" => activity(7, "Attach Policy"),
        "DetachUserPolicy"
        | "DetachRolePolicy"
        | "DetachGroupPolicy"
        | "DeleteUserPolicy"
        | "DeleteRolePolicy"
        | "DeleteGroupPolicy"
        | "DeleteUserPermissionsBoundary"
        | "DeleteRolePermissionsBoundary"
        | "RemoveRoleFromInstanceProfile"
        | "RemoveUserFromGroup" => activity(8, "Detach Policy"),
        "EnableMFADevice" => activity(10, "MFA Factor Enable"),
        "DeactivateMFADevice" => activity(11, "MFA Factor Disable"),
        _ => return None,
    };
    Some(activity)
}

const CREATING: [&str; 8] = ["Create", "Run", "Put", "Copy", "Allocate", "Register", "Import", "Start"];
const READING: [&str; 12] =
    ["Describe", "Get", "List", "Head", "Lookup", "BatchGet", "Search", "Query", "Scan", "Select", "Download", "Check"];
const UPDATING: [&str; 16] = [
    "Update",
    "Modify",
    "Set",
    "Enable",
    "Disable",
    "Attach",
    "Detach",
    "Add",
    "Associate",
    "Disassociate",
    "Tag",
    "Untag",
    "Stop",
    "Rotate",
    "Change",
    "Replace",
];
const DELETING: [&str; 7] = ["Delete", "Terminate", "Remove", "Deregister", "Release", "Purge", "Cancel"];

fn api_activity(name: &str) -> Activity {
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    if begins(&READING) {
        activity(2, "Read")
    } else if begins(&DELETING) {
        activity(4, "Delete")
    } else if begins(&UPDATING) {
        activity(3, "Update")
    } else if begins(&CREATING) {
        activity(1, "Create")
    } else {
        activity(99, "Other")
    }
}
