//! A recorded question, made ready to be asked again.

use std::sync::Arc;

use plane::authorize::{policy_principal, resource_policy};
use plane::organization::ControlPolicies;
use plane::principal::Session;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Principal, PrincipalAccess, PrincipalKind, Transaction};
use policy::{Check, MapContext, PolicySet, Resource};
use serde_json::Value as Json;
use trail::{Entry, UserIdentity};

/// Who called, with what is attached to them.
pub(super) struct Actor {
    pub principal: Principal,
    pub access: PrincipalAccess,
}

impl Actor {
    /// Who is behind a recorded identity, and with which limits of its session. `None`: nobody any more.
    pub(super) async fn find(cx: &Call, tx: &mut Transaction, identity: &UserIdentity, asked: &Json) -> Result<Option<Self>, ApiError> {
        let Some(mut principal) = principal(cx, tx, identity).await? else { return Ok(None) };
        if let Some(limits) = asked.get("session") {
            principal.session = Some(session(limits));
        }
        let access = cx.plane.directory().access(tx, &principal).await?;
        Ok(Some(Self { principal, access }))
    }

    /// The user or role that policies are attached to.
    pub(super) fn behind(&self) -> &str {
        match &self.principal.kind {
            PrincipalKind::AssumedRole { role_arn, .. } => role_arn,
            PrincipalKind::FederatedUser { user_arn, .. } => user_arn,
            _ => &self.principal.arn,
        }
    }
}

async fn principal(cx: &Call, tx: &mut Transaction, identity: &UserIdentity) -> Result<Option<Principal>, ApiError> {
    let arn = identity.arn.clone().unwrap_or_default();
    let directory = cx.plane.directory();
    if identity.identity_type != "FederatedUser" {
        return directory.principal(tx, &arn).await;
    }
    // A federated user is known by the one who asked for its session.
    let Some(issuer) = identity.session_context.as_ref().and_then(|context| context.session_issuer.as_ref()) else { return Ok(None) };
    let Some(mut principal) = directory.principal(tx, &issuer.arn).await? else { return Ok(None) };
    let (user_name, user_id) = match &principal.kind {
        PrincipalKind::User { name, id } => (name.clone(), id.clone()),
        _ => (String::new(), principal.account.clone()),
    };
    let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
    principal.principal_id = format!("{}:{name}", principal.account);
    principal.kind = PrincipalKind::FederatedUser { user_arn: principal.arn.clone(), user_name, user_id, name };
    principal.arn = arn;
    Ok(Some(principal))
}

/// What of a session bears on decisions beyond the condition keys.
fn session(limits: &Json) -> Session {
    let text = |name: &str| limits.get(name).and_then(Json::as_str).map(str::to_owned);
    let arns = limits.get("policyArns").and_then(Json::as_array).into_iter().flatten();
    Session {
        policy: text("policy"),
        policy_arns: arns.filter_map(Json::as_str).map(str::to_owned).collect(),
        issuer_operation: text("issuer").unwrap_or_default(),
        ..Session::default()
    }
}

/// A question, without the policies.
pub(super) struct Question {
    principal: policy::Principal,
    check: Check,
    context: MapContext,
}

fn pairs(json: Option<&Json>) -> Option<Vec<(String, String)>> {
    serde_json::from_value(json?.clone()).ok()
}

impl Question {
    /// What an entry recorded of an action on a resource.
    pub(super) fn read(entry: &Entry, (action, resource): (&str, &str), asked: &Json, owner: &str, actor: &Actor) -> Self {
        let mut context = MapContext::new();
        for (name, values) in asked.get("context").and_then(Json::as_object).into_iter().flatten() {
            let values: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
            match values.as_slice() {
                [value] => context.set(name, *value),
                many => context.set_many(name, many.iter().copied()),
            };
        }
        context.set("aws:CurrentTime", entry.record.event_time.clone());
        if let Some(at_ms) = plane::clock::parse_iso8601(&entry.record.event_time) {
            context.set("aws:EpochTime", (at_ms / 1000).to_string());
        }
        context.set("aws:UserAgent", entry.record.user_agent.clone());
        let resource = Resource {
            arn: resource.to_owned(),
            account: Some(owner.to_owned()),
            tags: pairs(asked.get("resourceTags")).unwrap_or_default(),
            aws_managed_key: false,
        };
        let mut check = Check::new(action, resource);
        check.request_tags = pairs(asked.get("requestTags"));
        check.encryption_context = pairs(asked.get("encryptionContext")).unwrap_or_default();
        let mut principal = policy_principal(&actor.principal, &actor.access);
        if let Some(tags) = pairs(asked.get("principalTags")) {
            principal.tags = tags;
        }
        Self { principal, check, context }
    }

    pub(super) fn decide(&mut self, state: &State) -> policy::Decision {
        self.check.resource.aws_managed_key = state.aws_managed_key;
        policy::decide(&self.principal, &self.check, &state.policies, &self.context, state.organization.as_deref())
    }
}

/// The policies that a question is decided under.
#[derive(Clone, PartialEq)]
pub(super) struct State {
    pub policies: PolicySet,
    organization: Option<Arc<policy::Organization>>,
    aws_managed_key: bool,
}

impl State {
    pub(super) fn new(action: &str, access: &PrincipalAccess, control: ControlPolicies, found: ResourceAccess) -> Self {
        let policies = PolicySet {
            identity: access.identity.clone(),
            boundary: access.boundary.clone(),
            session: access.session.clone(),
            service_control: control.service_control,
            resource_control: control.resource_control,
            resource: resource_policy(&found.policy, action),
            kms_grants: found.grants,
            s3_restrict_public_buckets: found.restrict_public_buckets,
            ..PolicySet::default()
        };
        Self { policies, organization: control.organization, aws_managed_key: found.aws_managed_key }
    }
}

/// What the owning service knows of a resource in the region of the call.
pub(super) async fn resource_access(
    cx: &Call,
    tx: &mut Transaction,
    region: &str,
    action: &str,
    arn: &str,
) -> Result<ResourceAccess, ApiError> {
    let prefix = arn.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(1)).unwrap_or_default();
    for service in cx.plane.services() {
        if facts::catalog().head(service.id()).is_some_and(|head| head.iam_prefix == prefix)
            && let Some(found) = service.resource_for(tx, region, action, arn).await?
        {
            return Ok(found);
        }
    }
    Ok(ResourceAccess::default())
}
