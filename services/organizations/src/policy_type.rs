//! Types of organization policies that exist here, their limits, and what their texts must be.
//!
//! Source: Organizations User Guide, "Quotas and service limits", "SCP syntax", "RCP syntax", "Management policy inheritance".

use ::policy::Policy;
use api_organizations::{EffectivePolicyType, PolicyType};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::OrganizationError;

/// A policy type that can be enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum PolicyKind {
    #[serde(rename = "SERVICE_CONTROL_POLICY")]
    ServiceControl,
    #[serde(rename = "RESOURCE_CONTROL_POLICY")]
    ResourceControl,
    #[serde(rename = "TAG_POLICY")]
    Tag,
    #[serde(rename = "AISERVICES_OPT_OUT_POLICY")]
    AiServicesOptOut,
    /// Which guardrails run at every model call. The Bedrock runtime enforces it.
    #[serde(rename = "BEDROCK_POLICY")]
    Bedrock,
}

/// Id of the SCP that allows everything, which AWS manages.
pub(crate) const FULL_AWS_ACCESS: &str = "p-FullAWSAccess";
/// Id of the RCP that allows everything, which AWS manages; always attached everywhere.
pub(crate) const RCP_FULL_AWS_ACCESS: &str = "p-RCPFullAWSAccess";
/// Depth of a management policy's text.
const DEPTH_LIMIT: usize = 16;

impl PolicyKind {
    pub(crate) fn from_api(kind: &PolicyType) -> Result<Self, OrganizationError> {
        match kind {
            PolicyType::ServiceControlPolicy => Ok(Self::ServiceControl),
            PolicyType::ResourceControlPolicy => Ok(Self::ResourceControl),
            PolicyType::TagPolicy => Ok(Self::Tag),
            PolicyType::AiservicesOptOutPolicy => Ok(Self::AiServicesOptOut),
            PolicyType::BedrockPolicy => Ok(Self::Bedrock),
            PolicyType::Other(_) => Err(OrganizationError::Input("INVALID_ENUM_POLICY_TYPE", "You specified an invalid policy type.")),
            _ => Err(OrganizationError::TypeNotAvailable),
        }
    }

    pub(crate) fn from_effective(kind: &EffectivePolicyType) -> Result<Self, OrganizationError> {
        match kind {
            EffectivePolicyType::TagPolicy => Ok(Self::Tag),
            EffectivePolicyType::AiservicesOptOutPolicy => Ok(Self::AiServicesOptOut),
            EffectivePolicyType::BedrockPolicy => Ok(Self::Bedrock),
            EffectivePolicyType::Other(_) => {
                Err(OrganizationError::Input("INVALID_ENUM_POLICY_TYPE", "You specified an invalid policy type."))
            }
            _ => Err(OrganizationError::TypeNotAvailable),
        }
    }

    pub(crate) fn to_api(self) -> PolicyType {
        match self {
            Self::ServiceControl => PolicyType::ServiceControlPolicy,
            Self::ResourceControl => PolicyType::ResourceControlPolicy,
            Self::Tag => PolicyType::TagPolicy,
            Self::AiServicesOptOut => PolicyType::AiservicesOptOutPolicy,
            Self::Bedrock => PolicyType::BedrockPolicy,
        }
    }

    /// As it stands in ARNs.
    pub(crate) fn in_arn(self) -> &'static str {
        match self {
            Self::ServiceControl => "service_control_policy",
            Self::ResourceControl => "resource_control_policy",
            Self::Tag => "tag_policy",
            Self::AiServicesOptOut => "aiservices_opt_out_policy",
            Self::Bedrock => "bedrock_policy",
        }
    }

    /// Policies of the type that one target may have. `RCPFullAWSAccess` counts among the RCPs.
    pub(crate) fn attachments_limit(self) -> usize {
        match self {
            Self::ServiceControl | Self::Tag | Self::Bedrock => 10,
            Self::ResourceControl | Self::AiServicesOptOut => 5,
        }
    }

    /// Characters of a text.
    fn content_limit(self) -> usize {
        match self {
            Self::ServiceControl => 10_240,
            Self::ResourceControl => 5_120,
            Self::Tag | Self::Bedrock => 10_000,
            Self::AiServicesOptOut => 2_500,
        }
    }

    /// The policy that AWS manages and that is attached to every target of the type.
    pub(crate) fn full_access(self) -> Option<&'static str> {
        match self {
            Self::ServiceControl => Some(FULL_AWS_ACCESS),
            Self::ResourceControl => Some(RCP_FULL_AWS_ACCESS),
            Self::Tag | Self::AiServicesOptOut | Self::Bedrock => None,
        }
    }

    pub(crate) fn engine_kind(self) -> Option<::policy::PolicyKind> {
        match self {
            Self::ServiceControl => Some(::policy::PolicyKind::ServiceControl),
            Self::ResourceControl => Some(::policy::PolicyKind::ResourceControl),
            Self::Tag | Self::AiServicesOptOut | Self::Bedrock => None,
        }
    }

    /// Member that a management policy's text begins with.
    pub(crate) fn top_member(self) -> &'static str {
        match self {
            Self::Tag => "tags",
            Self::Bedrock => "bedrock",
            _ => "services",
        }
    }

    /// Refuses a text that is too long or not of the type.
    pub(crate) fn check_content(self, content: &str) -> Result<(), OrganizationError> {
        if content.chars().count() > self.content_limit() {
            return Err(OrganizationError::Constraint(
                "POLICY_CONTENT_LIMIT_EXCEEDED",
                "You have exceeded the maximum size of a policy document.",
            ));
        }
        let valid = match self.engine_kind() {
            Some(kind) => Policy::parse(content, kind).is_ok(),
            None => self.is_management_policy(content),
        };
        if valid { Ok(()) } else { Err(OrganizationError::MalformedPolicy) }
    }

    fn is_management_policy(self, content: &str) -> bool {
        let Ok(Json::Object(members)) = serde_json::from_str::<Json>(content) else { return false };
        let top = members.iter().all(|(name, value)| name == self.top_member() && value.is_object());
        top && !members.is_empty() && members.values().all(|value| is_tree(value, DEPTH_LIMIT))
    }
}

/// Objects, texts and lists of texts; operators carry a text or a list of texts.
fn is_tree(value: &Json, depth: usize) -> bool {
    match value {
        Json::Object(members) if depth > 0 => members.iter().all(|(name, value)| {
            let is_operator = name.starts_with("@@");
            let known = !is_operator || OPERATORS.contains(&name.as_str());
            known && if is_operator { is_leaf(value) } else { is_tree(value, depth - 1) }
        }),
        _ => false,
    }
}

fn is_leaf(value: &Json) -> bool {
    match value {
        Json::String(_) => true,
        Json::Array(items) => items.iter().all(Json::is_string),
        _ => false,
    }
}

/// Value-setting operators, and the one that says what children may do.
const OPERATORS: [&str; 4] = ["@@assign", "@@append", "@@remove", "@@operators_allowed_for_child_policies"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents() {
        let allow = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        assert_eq!(PolicyKind::ServiceControl.check_content(allow), Ok(()));
        assert_eq!(PolicyKind::ServiceControl.check_content("{}"), Err(OrganizationError::MalformedPolicy));
        let long = format!("{allow}{}", " ".repeat(10_240));
        assert!(matches!(PolicyKind::ServiceControl.check_content(&long), Err(OrganizationError::Constraint(..))));
        let tags = r#"{"tags":{"team":{"tag_key":{"@@assign":"Team"},"tag_value":{"@@append":["a","b"]}}}}"#;
        assert_eq!(PolicyKind::Tag.check_content(tags), Ok(()));
        for wrong in [r#"{"services":{}}"#, r#"{"tags":[]}"#, r#"{"tags":{"a":{"@@set":"x"}}}"#, r#"{"tags":{"a":1}}"#, "[]", "x", "{}"] {
            assert_eq!(PolicyKind::Tag.check_content(wrong), Err(OrganizationError::MalformedPolicy), "{wrong}");
        }
    }
}
