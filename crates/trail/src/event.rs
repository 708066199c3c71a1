//! The CloudTrail record, version 1.11.
//!
//! Source: AWS CloudTrail User Guide, "CloudTrail record contents" and "CloudTrail userIdentity element".

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::json;

/// Version of the record format that we write.
pub const EVENT_VERSION: &str = "1.11";

/// Category of the events that tell of a call through an endpoint.
pub const NETWORK_ACTIVITY: &str = "NetworkActivity";

/// One record. Field order is the order in which AWS writes them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub event_version: String,
    #[serde(default)]
    pub user_identity: UserIdentity,
    /// `2026-11-22T21:28:55Z`.
    pub event_time: String,
    #[serde(default)]
    pub event_source: String,
    #[serde(default)]
    pub event_name: String,
    pub aws_region: String,
    #[serde(rename = "sourceIPAddress", default)]
    pub source_ip_address: String,
    #[serde(default)]
    pub user_agent: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// JSON `null` when there are none, never absent.
    #[serde(default)]
    pub request_parameters: Json,
    #[serde(default)]
    pub response_elements: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_event_data: Option<Json>,
    /// Empty, and then absent, where no request stands behind the event.
    #[serde(rename = "requestID", default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    #[serde(rename = "eventID")]
    pub event_id: String,
    #[serde(default)]
    pub read_only: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<EventResource>,
    /// `AwsApiCall`, `AwsServiceEvent`, `AwsVpceEvent`, `AwsCloudTrailInsight`.
    pub event_type: String,
    /// Version of the API, where it has dated ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    #[serde(default)]
    pub management_event: bool,
    pub recipient_account_id: String,
    /// What a service event tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_event_details: Option<Json>,
    #[serde(rename = "sharedEventID", default, skip_serializing_if = "Option::is_none")]
    pub shared_event_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_endpoint_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_endpoint_account_id: Option<String>,
    /// `Management`, `Data`, `NetworkActivity` or `Insight`.
    pub event_category: String,
    /// Context keys, where a trail's account has configured them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_context: Option<Json>,
    /// What an insight tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insight_details: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_details: Option<TlsDetails>,
}

/// A resource that the call touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventResource {
    #[serde(rename = "accountId", default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// `AWS::KMS::Key`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    #[serde(rename = "ARN")]
    pub arn: String,
}

/// Who called.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserIdentity {
    /// `Root`, `IAMUser`, `AssumedRole`, `FederatedUser`, `AWSService`, `AWSAccount`, `Unknown`.
    #[serde(rename = "type")]
    pub identity_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// Of the credential behind a bearer key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_context: Option<SessionContext>,
    /// The service that made the call for the caller, for example `s3.amazonaws.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoked_by: Option<String>,
    /// ARN of the provider that vouched for a `WebIdentityUser` or `SAMLUser`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_provider: Option<String>,
}

/// Set for temporary credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionContext {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_issuer: Option<SessionIssuer>,
    pub attributes: SessionAttributes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// The provider behind a web identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_id_federation_data: Option<Json>,
}

/// The role or user behind a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionIssuer {
    #[serde(rename = "type")]
    pub issuer_type: String,
    pub principal_id: String,
    pub arn: String,
    pub account_id: String,
    pub user_name: String,
}

/// When the session began and whether a second factor was shown. `mfa_authenticated` is the *string* `true` or `false`, as AWS writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionAttributes {
    pub creation_date: String,
    pub mfa_authenticated: String,
}

/// Facts of the TLS session that carried the call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsDetails {
    pub tls_version: String,
    pub cipher_suite: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_provided_host_header: Option<String>,
    /// `X25519MLKEM768`, `x25519`, `secp256r1`: tells calls that a quantum computer could read later from the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_exchange: Option<String>,
}

/// The members that an insight has. It tells of no single call, so it has no caller, no parameters and no source address.
///
/// Source: CloudTrail User Guide, "CloudTrail record contents for Insights events for trails".
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InsightRecord<'a> {
    event_version: &'a str,
    event_time: &'a str,
    aws_region: &'a str,
    #[serde(rename = "eventID")]
    event_id: &'a str,
    event_type: &'a str,
    recipient_account_id: &'a str,
    #[serde(rename = "sharedEventID")]
    shared_event_id: Option<&'a str>,
    insight_details: Option<&'a Json>,
    event_category: &'a str,
}

/// The members that an event of network activity has: that a call went through an endpoint, not what it was about.
///
/// Source: CloudTrail User Guide, "Logging network activity events".
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NetworkRecord<'a> {
    event_version: &'a str,
    user_identity: &'a UserIdentity,
    event_time: &'a str,
    event_source: &'a str,
    event_name: &'a str,
    aws_region: &'a str,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    #[serde(rename = "requestID")]
    request_id: &'a str,
    #[serde(rename = "eventID")]
    event_id: &'a str,
    event_type: &'a str,
    recipient_account_id: &'a str,
    #[serde(rename = "sharedEventID")]
    shared_event_id: Option<&'a str>,
    vpc_endpoint_id: Option<&'a str>,
    vpc_endpoint_account_id: Option<&'a str>,
    event_category: &'a str,
}

impl Event {
    /// The record as it is delivered and hashed.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut json = Vec::with_capacity(2048);
        self.write_json(&mut json)?;
        String::from_utf8(json).map_err(serde::ser::Error::custom)
    }

    /// The same, behind what is there.
    pub(crate) fn write_json(&self, json: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        if self.event_category == NETWORK_ACTIVITY {
            return json::write(
                json,
                &NetworkRecord {
                    event_version: &self.event_version,
                    user_identity: &self.user_identity,
                    event_time: &self.event_time,
                    event_source: &self.event_source,
                    event_name: &self.event_name,
                    aws_region: &self.aws_region,
                    source_ip_address: &self.source_ip_address,
                    error_code: self.error_code.as_deref(),
                    error_message: self.error_message.as_deref(),
                    request_id: &self.request_id,
                    event_id: &self.event_id,
                    event_type: &self.event_type,
                    recipient_account_id: &self.recipient_account_id,
                    shared_event_id: self.shared_event_id.as_deref(),
                    vpc_endpoint_id: self.vpc_endpoint_id.as_deref(),
                    vpc_endpoint_account_id: self.vpc_endpoint_account_id.as_deref(),
                    event_category: &self.event_category,
                },
            );
        }
        if self.event_category != "Insight" {
            return json::write(json, self);
        }
        json::write(
            json,
            &InsightRecord {
                event_version: &self.event_version,
                event_time: &self.event_time,
                aws_region: &self.aws_region,
                event_id: &self.event_id,
                event_type: &self.event_type,
                recipient_account_id: &self.recipient_account_id,
                shared_event_id: self.shared_event_id.as_deref(),
                insight_details: self.insight_details.as_ref(),
                event_category: &self.event_category,
            },
        )
    }

    /// The name that `LookupEvents` calls `Username`.
    ///
    /// Source: CloudTrail API reference, `Event.Username`; for sessions AWS shows the session name.
    pub fn user_name(&self) -> Option<&str> {
        let identity = &self.user_identity;
        if identity.identity_type == "Root" {
            return Some("root");
        }
        if identity.identity_type == "AssumedRole" || identity.identity_type == "FederatedUser" {
            return identity.principal_id.as_deref().and_then(|id| id.split_once(':')).map(|(_, session)| session);
        }
        identity.user_name.as_deref()
    }
}
