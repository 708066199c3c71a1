//! Condition keys of a request: the global ones from the call, computed when a policy mentions them, and those that the services add.
//!
//! Source: IAM User Guide, "AWS global condition context keys". Keys that follow from principal, resource, organization and tags are
//! derived by the policy engine itself.
//!
//! Keys that a request here never has, because what they tell of does not exist here: `aws:ChatbotSourceArn`, `aws:SignInSessionArn`,
//! `aws:ViaCustomerDomain`, `aws:CalledViaAWSMCP`, `aws:ViaAWSMCPService`, `aws:IsMcpServiceAction`, `aws:Ec2InstanceSourceVpc`,
//! `aws:Ec2InstanceSourcePrivateIPv4` and the keys of roles that EC2, Lambda, Glue, CodeBuild and Systems Manager assume for their
//! resources.

use std::borrow::Cow;

use policy::{Context, MapContext, Values};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::call::Call;
use crate::clock::iso8601_s;
use crate::condition_member;
use crate::organization::ControlPolicies;
use crate::origin::VpcEndpoint;
use crate::principal::PrincipalKind;

/// Global keys that are recorded: those that any request may have.
const RECORDED: [&str; 5] = ["aws:requestedregion", "aws:securetransport", "aws:sourceip", "aws:referer", "aws:viaawsservice"];
/// Those of requests through a private endpoint.
const RECORDED_OF_ENDPOINTS: [&str; 7] =
    ["aws:vpcsourceip", "aws:sourcevpce", "aws:sourcevpc", "aws:sourcevpcarn", "aws:vpceaccount", "aws:vpceorgid", "aws:vpceorgpaths"];
/// Those of calls that services pass on.
const RECORDED_OF_FORWARDED: [&str; 3] = ["aws:calledvia", "aws:calledviafirst", "aws:calledvialast"];
/// Those of temporary credentials.
const RECORDED_OF_SESSIONS: [&str; 5] =
    ["aws:tokenissuetime", "aws:multifactorauthpresent", "aws:multifactorauthage", "aws:sourceidentity", "aws:federatedprovider"];
/// Those of calls that our services make for themselves.
const RECORDED_OF_SERVICES: [&str; 4] = ["aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths"];
/// Values of one key that are recorded.
const RECORDED_VALUES_MAX: usize = 100;

/// Everything that a condition may ask about one request.
pub struct RequestContext<'a> {
    call: &'a Call,
    /// What the call was given; null where a question is not about the call's own input.
    input: &'a wire::Value,
    /// Whose organizations the keys of endpoints and calling services name.
    organization: Option<&'a policy::Organization>,
    /// Keys that the service of the operation and the resource gave.
    service: &'a MapContext,
}

impl<'a> RequestContext<'a> {
    pub fn new(call: &'a Call, input: &'a wire::Value, service: &'a MapContext) -> Self {
        Self { call, input, organization: None, service }
    }

    pub(crate) fn in_organizations(self, control: &'a ControlPolicies) -> Self {
        Self { organization: control.organization.as_deref(), ..self }
    }

    /// The endpoint that a direct call came through; calls that services make for the caller come through none.
    fn endpoint(&self) -> Option<&'a VpcEndpoint> {
        self.call.request.origin.vpc_endpoint.as_ref().filter(|_| self.call.via.is_empty())
    }

    fn organization_id(&self, account: &str) -> Option<String> {
        self.organization?.id_of(account).map(str::to_owned)
    }

    fn organization_paths(&self, account: &str) -> Option<Values<'a>> {
        self.organization?.path_of(account).map(|path| Values::Many(vec![Cow::Borrowed(path)]))
    }

    /// The global keys that this request can have. Every call is asked for them, and most have few.
    fn recorded_names(&self) -> impl Iterator<Item = &str> {
        let call = self.call;
        let groups: [(bool, &[&str]); 5] = [
            (true, &RECORDED),
            (call.request.origin.vpc_endpoint.is_some(), &RECORDED_OF_ENDPOINTS),
            (!call.via.is_empty(), &RECORDED_OF_FORWARDED),
            (call.principal.session.is_some() || matches!(call.principal.kind, PrincipalKind::FederatedUser { .. }), &RECORDED_OF_SESSIONS),
            (call.caller.is_some(), &RECORDED_OF_SERVICES),
        ];
        groups.into_iter().filter(|(can_be, _)| *can_be).flat_map(|(_, names)| names.iter().copied())
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
            "sourceip" => endpoint.is_none().then(|| request.origin.source_ip_text()),
            "vpcsourceip" => self.endpoint().map(|_| request.origin.source_ip_text()),
            "sourcevpce" => self.endpoint().map(|endpoint| endpoint.id.clone()),
            "sourcevpc" => self.endpoint().map(|endpoint| endpoint.vpc_id.clone()),
            "sourcevpcarn" => self
                .endpoint()
                .map(|endpoint| format!("arn:{}:ec2:{}:{}:vpc/{}", crate::PARTITION, call.region, endpoint.account, endpoint.vpc_id)),
            "vpceaccount" => self.endpoint().map(|endpoint| endpoint.account.clone()),
            "vpceorgid" => self.endpoint().and_then(|endpoint| self.organization_id(&endpoint.account)),
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
            "sourceorgid" => call.caller.as_ref().and_then(|caller| self.organization_id(&caller.source_account)),
            "sourceaccount" => call.caller.as_ref().map(|caller| caller.source_account.clone()),
            "federatedprovider" => match &call.principal.kind {
                PrincipalKind::FederatedUser { .. } => Some(call.principal.account.clone()),
                _ => session.and_then(|session| session.federated_provider.clone()),
            },
            _ => None,
        }
    }
}

/// The keys that an audit entry keeps, so that the decision can be taken again: all that the request has but what stands in the event
/// itself (its time, its user agent).
pub(crate) struct RecordedKeys<'a>(pub(crate) &'a RequestContext<'a>);

impl Serialize for RecordedKeys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let context = self.0;
        // What the service says stands in place of what the request says.
        let global = context.recorded_names().filter(|name| context.service.key(name).is_none());
        let mut recorded = serializer.serialize_map(None)?;
        for name in global.chain(context.service.names()) {
            if let Some(values) = context.key(name).filter(|values| !values.is_empty()) {
                recorded.serialize_entry(name, &RecordedValues(&values))?;
            }
        }
        recorded.end()
    }
}

struct RecordedValues<'a>(&'a Values<'a>);

impl Serialize for RecordedValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().take(RECORDED_VALUES_MAX))
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
        let Some(name) = lower_name.strip_prefix("aws:") else {
            return condition_member::values(self.call, self.input, lower_name);
        };
        if name == "calledvia" {
            return (!self.call.via.is_empty()).then(|| Values::List(&self.call.via));
        }
        if name == "vpceorgpaths" {
            return self.organization_paths(&self.endpoint()?.account);
        }
        if name == "sourceorgpaths" {
            return self.organization_paths(&self.call.caller.as_ref()?.source_account);
        }
        self.global(name).map(|value| Values::One(Cow::Owned(value)))
    }
}
