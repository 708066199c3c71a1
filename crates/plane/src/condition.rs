//! Condition keys of a request: the global ones from the call, computed when a policy mentions them, and those that the services add.
//!
//! Source: IAM User Guide, "AWS global condition context keys". Keys that follow from principal, resource, organization and tags are
//! derived by the policy engine itself.

use std::borrow::Cow;

use policy::{Context, MapContext, Values};

use crate::call::Call;
use crate::clock::iso8601_s;
use crate::principal::PrincipalKind;

/// Global keys that are recorded, without their prefix.
const RECORDED: [&str; 17] = [
    "requestedregion",
    "securetransport",
    "sourceip",
    "vpcsourceip",
    "sourcevpce",
    "sourcevpc",
    "referer",
    "viaawsservice",
    "calledvia",
    "calledviafirst",
    "calledvialast",
    "tokenissuetime",
    "multifactorauthpresent",
    "multifactorauthage",
    "sourceidentity",
    "sourcearn",
    "sourceaccount",
];
/// Values of one key that are recorded.
const RECORDED_VALUES_MAX: usize = 100;

/// Everything that a condition may ask about one request.
pub struct RequestContext<'a> {
    call: &'a Call,
    /// Keys that the service of the operation and the resource gave.
    service: &'a MapContext,
}

impl<'a> RequestContext<'a> {
    pub fn new(call: &'a Call, service: &'a MapContext) -> Self {
        Self { call, service }
    }

    /// The keys that an audit entry keeps, so that the decision can be taken again: all that the request has but what stands in the event
    /// itself (its time, its user agent).
    pub fn recorded(&self) -> serde_json::Value {
        let mut recorded = serde_json::Map::new();
        let names = RECORDED.iter().map(|name| format!("aws:{name}")).chain(self.service.names().map(str::to_owned));
        for name in names {
            if let Some(values) = self.key(&name).filter(|values| !values.is_empty()) {
                let values = values.iter().take(RECORDED_VALUES_MAX).collect::<Vec<_>>();
                recorded.insert(name, serde_json::json!(values));
            }
        }
        recorded.into()
    }

    fn global(&self, name: &str) -> Option<String> {
        let call = self.call;
        let request = &call.request;
        let session = call.principal.session.as_ref();
        let endpoint = request.origin.vpc_endpoint.as_ref();
        match name {
            "currenttime" => Some(iso8601_s(call.now.0)),
            "epochtime" => Some((call.now.0 / 1000).to_string()),
            "requestedregion" => Some(call.region.clone()),
            "securetransport" => Some(request.origin.tls.is_some().to_string()),
            // Behind a private endpoint the address is that of the network, in a key of its own.
            "sourceip" => endpoint.is_none().then(|| request.origin.source_ip().to_string()),
            "vpcsourceip" => endpoint.map(|_| request.origin.source_ip().to_string()),
            "sourcevpce" => endpoint.filter(|_| call.via.is_empty()).map(|endpoint| endpoint.id.clone()),
            "sourcevpc" => endpoint.filter(|_| call.via.is_empty()).map(|endpoint| endpoint.vpc_id.clone()),
            "useragent" => Some(request.user_agent.clone()),
            "referer" => request.headers.get("referer").and_then(|value| value.to_str().ok()).map(str::to_owned),
            "viaawsservice" => Some((!call.via.is_empty()).to_string()),
            "calledviafirst" => call.via.first().cloned(),
            "calledvialast" => call.via.last().cloned(),
            "tokenissuetime" => session.map(|session| iso8601_s(session.issued_ms)),
            // Absent for long-term keys, false for temporary ones that proved no second factor.
            "multifactorauthpresent" => session.map(|session| session.mfa_authenticated_ms.is_some().to_string()),
            "multifactorauthage" => session
                .and_then(|session| session.mfa_authenticated_ms)
                .map(|proved_ms| (call.now.0.saturating_sub(proved_ms) / 1000).to_string()),
            "sourceidentity" => session.and_then(|session| session.source_identity.clone()),
            "sourcearn" => call.caller.as_ref().map(|caller| caller.source_arn.clone()),
            "sourceaccount" => call.caller.as_ref().map(|caller| caller.source_account.clone()),
            "federatedprovider" => match &call.principal.kind {
                PrincipalKind::FederatedUser { .. } => Some(call.principal.account.clone()),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Context for RequestContext<'_> {
    fn key(&self, lower_name: &str) -> Option<Values<'_>> {
        if let Some(values) = self.service.key(lower_name) {
            return Some(values);
        }
        if lower_name == "bedrock:bearertokentype" {
            return self.call.request.bearer.map(|bearer| Values::One(Cow::Borrowed(bearer.name())));
        }
        let name = lower_name.strip_prefix("aws:")?;
        if name == "calledvia" {
            return (!self.call.via.is_empty()).then(|| Values::List(&self.call.via));
        }
        self.global(name).map(|value| Values::One(Cow::Owned(value)))
    }
}
