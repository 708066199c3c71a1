//! Recorded history under another policy: which past calls would have been decided otherwise.
//!
//! Every audit entry holds what its decision was taken on: the action, the resource and the condition keys. A replay takes the decision
//! again twice, under the policies of today and under those with the proposed one, and compares both with what was recorded. What
//! cannot be taken again (its principal is gone, its session policies are not recorded) is counted and said, not guessed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use plane::authorize::policy_principal;
use plane::organization::ControlPolicies;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Principal, PrincipalAccess, Reply, Transaction};
use policy::{Attached, Check, MapContext, Policy, PolicyKind, PolicySet, PolicySource, Resource, ResourceKind, ResourcePolicy};
use serde_json::{Value as Json, json};
use trail::{Entry, Filter, lookup};
use wire::Value;

use crate::{reply, text};

/// Entries read at a time, and in all.
const PAGE: usize = 1_000;
const ENTRIES_MAX: usize = 200_000;
/// Changed calls that are listed; all are counted.
const LISTED_MAX: usize = 10_000;

/// Where a proposed policy would stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    ServiceControl,
    Boundary,
    Identity,
    Resource,
}

/// A proposed policy.
struct Proposal {
    place: Place,
    /// Account for an SCP, ARN of a user or role, ARN of a resource; `*` for all.
    target: String,
    attached: Attached,
}

impl Proposal {
    fn read(input: &Value) -> Result<Self, ApiError> {
        let invalid = |message: String| ApiError::new("ValidationException", message);
        let target = text(input, "Target");
        let (place, kind) = match text(input, "PolicyType").as_str() {
            "scp" => (Place::ServiceControl, PolicyKind::ServiceControl),
            "boundary" => (Place::Boundary, PolicyKind::Boundary),
            "identity" => (Place::Identity, PolicyKind::Identity),
            _ if target.contains(":kms:") => (Place::Resource, PolicyKind::KeyPolicy),
            _ if target.contains(":iam:") => (Place::Resource, PolicyKind::Trust),
            _ => (Place::Resource, PolicyKind::Resource(ResourceKind::S3Bucket)),
        };
        let policy = Policy::parse_stored(&text(input, "Policy"), kind);
        if let Some(problem) = policy.problem() {
            return Err(invalid(format!("the proposed policy cannot be read: {problem}")));
        }
        Ok(Self { place, target, attached: Attached::new("proposed policy", PolicySource::None, Arc::new(policy)) })
    }

    /// Whether the proposal has a say in what this principal does to this resource.
    fn concerns(&self, principal: &Principal, role_or_user: &str, resource: &str) -> bool {
        if self.target == "*" {
            return true;
        }
        match self.place {
            Place::ServiceControl => principal.account == self.target,
            Place::Boundary | Place::Identity => self.target == role_or_user,
            Place::Resource => resource == self.target || resource.strip_prefix(&self.target).is_some_and(|rest| rest.starts_with('/')),
        }
    }

    fn apply(&self, policies: &mut PolicySet, resource: &str) {
        match self.place {
            Place::ServiceControl => {
                if let Some(level) = policies.service_control.as_mut().and_then(|levels| levels.last_mut()) {
                    level.push(self.attached.clone());
                } else {
                    // Outside of an organization everything is allowed beside it.
                    let everything = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
                    let full = plane::authorize::compiled(PolicyKind::ServiceControl, everything);
                    let full = Attached::new("FullAWSAccess", PolicySource::None, full);
                    policies.service_control = Some(vec![vec![full, self.attached.clone()]]);
                }
            }
            Place::Boundary => policies.boundary = Some(self.attached.clone()),
            Place::Identity => policies.identity = vec![self.attached.clone()],
            Place::Resource => {
                policies.resource = ResourcePolicy::new(Attached::new(resource, PolicySource::Resource, Arc::clone(&self.attached.policy)));
            }
        }
    }
}

/// What a replay has seen.
#[derive(Default)]
struct Summary {
    examined: usize,
    changed: usize,
    newly_allowed: usize,
    newly_denied: usize,
    rows: Vec<Json>,
    /// How many calls could not be decided again, by reason.
    undecided: BTreeMap<&'static str, usize>,
    is_complete: bool,
}

/// Principals and resources as they are now.
#[derive(Default)]
struct Memory {
    principals: HashMap<String, Option<(Principal, PrincipalAccess)>>,
    control: HashMap<(String, String), ControlPolicies>,
}

pub(crate) async fn replay_policy(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let proposal = Proposal::read(&input)?;
    let number = |member: &str| match input.member(member) {
        Some(Value::Int(value)) => Some(*value),
        _ => None,
    };
    let filter = Filter {
        account: cx.account.clone(),
        start_ms: number("Since"),
        end_ms: Some(number("Until").unwrap_or(cx.now.0)),
        ..Filter::default()
    };
    let plane = Arc::clone(&cx.plane);
    plane.flush().await?;
    let mut summary = Summary { is_complete: true, ..Summary::default() };
    let mut memory = Memory::default();
    for (position, region) in plane.regions.iter().enumerate() {
        let mut tx = plane.transaction(position);
        let mut after = None;
        let mut read = 0;
        loop {
            let page =
                lookup(region.store.as_ref(), &plane.sealer(), &filter, after, PAGE).await.map_err(|error| ApiError::internal(&error))?;
            read += page.entries.len();
            for entry in &page.entries {
                replay_entry(cx, &mut tx, &region.name, &proposal, entry, &mut memory, &mut summary).await?;
            }
            match page.next {
                Some(next) if read < ENTRIES_MAX => after = Some(next),
                Some(_) => {
                    summary.is_complete = false;
                    break;
                }
                None => break,
            }
        }
    }
    let undecided: Vec<Json> = summary.undecided.iter().map(|(reason, calls)| json!({ "reason": reason, "calls": calls })).collect();
    let answer = json!({
        "examined": summary.examined,
        "changed": summary.changed,
        "newlyAllowed": summary.newly_allowed,
        "newlyDenied": summary.newly_denied,
        "calls": summary.rows,
        "undecided": undecided,
        "complete": summary.is_complete,
    });
    Ok(reply([("Replay", Value::Document(answer))]))
}

/// The decisions that an entry holds: the first and what else the call needed.
fn decisions(entry: &Entry) -> impl Iterator<Item = &Json> {
    let further = entry.decision.as_ref().and_then(|decision| decision.get("further")).and_then(Json::as_array);
    entry.decision.iter().chain(further.into_iter().flatten())
}

async fn replay_entry(
    cx: &mut Call,
    tx: &mut Transaction,
    region: &str,
    proposal: &Proposal,
    entry: &Entry,
    memory: &mut Memory,
    summary: &mut Summary,
) -> Result<(), ApiError> {
    for decision in decisions(entry) {
        let field = |name: &str| decision.get(name).and_then(Json::as_str);
        // Calls that need no permission, and refusals before any decision, hold neither.
        let (Some(action), Some(resource), Some(recorded)) =
            (field("action"), field("resource"), decision.get("allowed").and_then(Json::as_bool))
        else {
            continue;
        };
        let arn = entry.record.user_identity.arn.clone().unwrap_or_default();
        let found = if let Some(found) = memory.principals.get(&arn) {
            found.clone()
        } else {
            let found = identify(cx, tx, &arn).await?;
            memory.principals.insert(arn.clone(), found.clone());
            found
        };
        let Some((principal, access)) = found else {
            *summary.undecided.entry("the principal does not exist any more, or belongs to another account").or_default() += 1;
            continue;
        };
        let behind = match &principal.kind {
            plane::PrincipalKind::AssumedRole { role_arn, .. } => role_arn.clone(),
            _ => principal.arn.clone(),
        };
        if !proposal.concerns(&principal, &behind, resource) {
            continue;
        }
        let Some(asked) = decision.get("asked") else {
            *summary.undecided.entry("the call was recorded without what its decision was taken on").or_default() += 1;
            continue;
        };
        if asked.get("sessionPolicies").is_some() {
            *summary.undecided.entry("the session policies of the call are not recorded").or_default() += 1;
            continue;
        }
        summary.examined += 1;
        let question = question(cx, tx, region, (action, resource), asked, entry, (&principal, &access), memory).await?;
        let now = question.decide(&question.policies);
        let mut changed = question.policies.clone();
        proposal.apply(&mut changed, resource);
        let then = question.decide(&changed);
        if then.allowed == recorded && then.allowed == now.allowed {
            continue;
        }
        summary.changed += 1;
        if then.allowed && !recorded {
            summary.newly_allowed += 1;
        } else if !then.allowed && recorded {
            summary.newly_denied += 1;
        }
        if summary.rows.len() < LISTED_MAX {
            let word = |allowed: bool| if allowed { "allowed" } else { "denied" };
            let because =
                if then.allowed { "every policy that applies allows it".to_owned() } else { then.message(&arn, action, resource) };
            summary.rows.push(json!({
                "time": entry.record.event_time,
                "principal": arn,
                "action": action,
                "resource": resource,
                "recorded": word(recorded),
                "now": word(now.allowed),
                "proposed": word(then.allowed),
                "because": because,
                "requestId": entry.record.request_id,
                "region": region,
            }));
        }
    }
    Ok(())
}

async fn identify(cx: &Call, tx: &mut Transaction, arn: &str) -> Result<Option<(Principal, PrincipalAccess)>, ApiError> {
    let directory = cx.plane.directory();
    let Some(principal) = directory.principal(tx, arn).await?.filter(|principal| principal.account == cx.account) else { return Ok(None) };
    let access = directory.access(tx, &principal).await?;
    Ok(Some((principal, access)))
}

/// A recorded question, ready to be asked again.
struct Question {
    principal: policy::Principal,
    check: Check,
    context: MapContext,
    policies: PolicySet,
    organization: Option<Arc<policy::Organization>>,
}

impl Question {
    fn decide(&self, policies: &PolicySet) -> policy::Decision {
        policy::decide(&self.principal, &self.check, policies, &self.context, self.organization.as_deref())
    }
}

fn pairs(json: Option<&Json>) -> Option<Vec<(String, String)>> {
    serde_json::from_value(json?.clone()).ok()
}

#[expect(clippy::too_many_arguments, reason = "what a question is made of, from five places")]
async fn question(
    cx: &Call,
    tx: &mut Transaction,
    region: &str,
    (action, resource): (&str, &str),
    asked: &Json,
    entry: &Entry,
    (principal, access): (&Principal, &PrincipalAccess),
    memory: &mut Memory,
) -> Result<Question, ApiError> {
    let found = resource_access(cx, tx, region, action, resource).await?;
    let owner = asked.get("owner").and_then(Json::as_str).unwrap_or(&principal.account).to_owned();
    let key = (principal.account.clone(), owner.clone());
    if !memory.control.contains_key(&key) {
        memory.control.insert(key.clone(), cx.plane.control_policies(&principal.account, &owner).await?);
    }
    let control = memory.control.get(&key).cloned().unwrap_or_default();
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
    let mut check = Check::new(
        action,
        Resource {
            arn: resource.to_owned(),
            account: Some(owner),
            tags: pairs(asked.get("resourceTags")).unwrap_or_default(),
            aws_managed_key: found.aws_managed_key,
        },
    );
    check.request_tags = pairs(asked.get("requestTags"));
    check.encryption_context = pairs(asked.get("encryptionContext")).unwrap_or_default();
    let mut engine_principal = policy_principal(principal, access);
    if let Some(tags) = pairs(asked.get("principalTags")) {
        engine_principal.tags = tags;
    }
    let resource_policy = match found.policy {
        ResourcePolicy::Trust(_) | ResourcePolicy::TrustMissing if !action.starts_with("sts:") => ResourcePolicy::Absent,
        policy => policy,
    };
    Ok(Question {
        principal: engine_principal,
        check,
        context,
        policies: PolicySet {
            identity: access.identity.clone(),
            boundary: access.boundary.clone(),
            session: access.session.clone(),
            service_control: control.service_control,
            resource_control: control.resource_control,
            resource: resource_policy,
            kms_grants: found.grants,
            s3_restrict_public_buckets: found.restrict_public_buckets,
            ..PolicySet::default()
        },
        organization: control.organization,
    })
}

/// What the owning service knows of a resource in the region of the call.
async fn resource_access(cx: &Call, tx: &mut Transaction, region: &str, action: &str, arn: &str) -> Result<ResourceAccess, ApiError> {
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
