//! When a principal last called which service: read from the trail.
//!
//! A job looks through the trail once and keeps what it found; its answers do not change afterwards.
//!
//! Source: IAM User Guide, "Refine permissions using last accessed information"; IAM API Reference, "GenerateServiceLastAccessedDetails".

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use api_iam::{
    AccessAdvisorUsageGranularityType, EntityDetails, EntityInfo, GenerateServiceLastAccessedDetailsInput,
    GenerateServiceLastAccessedDetailsOutput, GetServiceLastAccessedDetailsInput, GetServiceLastAccessedDetailsOutput,
    GetServiceLastAccessedDetailsWithEntitiesInput, GetServiceLastAccessedDetailsWithEntitiesOutput, JobStatusType,
    ListPoliciesGrantingServiceAccessEntry, ListPoliciesGrantingServiceAccessInput, ListPoliciesGrantingServiceAccessOutput,
    PolicyGrantingServiceAccess, PolicyOwnerEntityType, PolicyType, ServiceLastAccessed, TrackedActionLastAccessed,
};
use plane::clock::parse_iso8601;
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use store::Table;
use trail::{Entry, Filter};
use wire::Timestamp;

use crate::entity::{self, Entity, EntityKind, GroupRecord, Policies, RoleRecord, UserRecord};
use crate::error::IamError;
use crate::identifier::IamArn;
use crate::{group, managed_policy, page};

/// How far back the trail is read. Source: "tracking period" of 400 days.
const PERIOD_MS: i64 = 400 * 24 * 3600 * 1000;
/// Events of one region that a job looks at, newest first.
const EVENTS: usize = 50_000;
const EVENTS_PER_PAGE: usize = 1_000;

/// A finished job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct JobRecord {
    by_action: bool,
    created_ms: i64,
    services: Vec<ServiceUse>,
}

/// What the principals of a job did with one service that their policies name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ServiceUse {
    namespace: String,
    name: String,
    /// Last call of each principal, newest first.
    entities: Vec<EntityUse>,
    /// Every principal that the job is about, called or not.
    considered: Vec<EntityUse>,
    actions: BTreeMap<String, ActionUse>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EntityUse {
    arn: String,
    name: String,
    id: String,
    path: String,
    kind: EntityKind,
    at_ms: Option<i64>,
    region: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ActionUse {
    at_ms: i64,
    entity_arn: String,
    region: String,
}

impl Record for JobRecord {
    const TABLE: Table = Table("iam.last-accessed-job");
    const SCOPE: Scope = Scope::Home;
}

fn key(account: &str, job_id: &str) -> Key {
    Key::new(account, "").last(job_id)
}

/// A policy of a principal: what it is called, and its text.
struct Named {
    granting: PolicyGrantingServiceAccess,
    text: String,
}

/// The principals behind an ARN, and the policies that say what they may.
struct Subject {
    entities: Vec<EntityUse>,
    policies: Vec<Named>,
}

fn no_such_arn(arn: &str) -> ApiError {
    IamError::NoSuchEntity(format!("ARN {arn} not found.")).into()
}

fn entity_use<E: Entity>(account: &str, entity: &E) -> EntityUse {
    let head = entity.head();
    EntityUse {
        arn: entity.arn(account),
        name: head.name.clone(),
        id: head.id.clone(),
        path: head.path.clone(),
        kind: E::KIND,
        at_ms: None,
        region: String::new(),
    }
}

fn owner_type(kind: EntityKind) -> PolicyOwnerEntityType {
    match kind {
        EntityKind::User => PolicyOwnerEntityType::User,
        EntityKind::Group => PolicyOwnerEntityType::Group,
        EntityKind::Role => PolicyOwnerEntityType::Role,
    }
}

/// Inline and managed policies of an entity.
async fn policies_of<E: Entity>(cx: &mut Call, entity: &E) -> Result<Vec<Named>, ApiError> {
    let mut found = Vec::new();
    for (name, text) in &entity.policies().inline {
        let granting = PolicyGrantingServiceAccess {
            policy_name: name.clone(),
            policy_type: PolicyType::Inline,
            policy_arn: None,
            entity_type: Some(owner_type(E::KIND)),
            entity_name: Some(entity.head().name.clone()),
        };
        found.push(Named { granting, text: text.clone() });
    }
    for arn in &entity.policies().attached {
        let Some(text) = managed_policy::default_document(&mut cx.tx, arn).await? else { continue };
        let granting = PolicyGrantingServiceAccess {
            policy_name: arn.rsplit('/').next().unwrap_or_default().to_owned(),
            policy_type: PolicyType::Managed,
            policy_arn: Some(arn.clone()),
            entity_type: None,
            entity_name: None,
        };
        found.push(Named { granting, text });
    }
    Ok(found)
}

async fn user_policies(cx: &mut Call, user: &UserRecord) -> Result<Vec<Named>, ApiError> {
    let mut policies = policies_of(cx, user).await?;
    for group in group::groups_of(cx, user).await? {
        policies.extend(policies_of(cx, &group).await?);
    }
    Ok(policies)
}

/// Users that are in a group.
async fn members(cx: &mut Call, group: &GroupRecord) -> Result<Vec<EntityUse>, ApiError> {
    let account = cx.account.clone();
    let users = entity::all::<UserRecord>(&mut cx.tx, &account).await?;
    Ok(users.iter().filter(|user| user.group_ids.contains(&group.head.id)).map(|user| entity_use(&account, user)).collect())
}

async fn subject(cx: &mut Call, arn: &str, with_policies: bool) -> Result<Subject, ApiError> {
    let account = cx.account.clone();
    let parsed = IamArn::parse(arn).ok_or_else(|| IamError::InvalidInput(format!("Invalid ARN {arn}")))?;
    let own = parsed.account == account;
    match parsed.resource_type {
        "user" if own => {
            let user = entity::find::<UserRecord>(&mut cx.tx, &account, parsed.name).await?.filter(|user| user.arn(&account) == arn);
            let user = user.ok_or_else(|| no_such_arn(arn))?;
            Ok(Subject { policies: user_policies(cx, &user).await?, entities: vec![entity_use(&account, &user)] })
        }
        "role" if own => {
            let role = entity::find::<RoleRecord>(&mut cx.tx, &account, parsed.name).await?.filter(|role| role.arn(&account) == arn);
            let role = role.ok_or_else(|| no_such_arn(arn))?;
            Ok(Subject { policies: policies_of(cx, &role).await?, entities: vec![entity_use(&account, &role)] })
        }
        "group" if own => {
            let group = entity::find::<GroupRecord>(&mut cx.tx, &account, parsed.name).await?.filter(|group| group.arn(&account) == arn);
            let group = group.ok_or_else(|| no_such_arn(arn))?;
            Ok(Subject { policies: policies_of(cx, &group).await?, entities: members(cx, &group).await? })
        }
        "policy" if with_policies && (own || parsed.account == "aws") => policy_subject(cx, arn).await,
        _ => Err(no_such_arn(arn)),
    }
}

/// Everybody that a managed policy is attached to.
async fn policy_subject(cx: &mut Call, arn: &str) -> Result<Subject, ApiError> {
    let account = cx.account.clone();
    let text = managed_policy::default_document(&mut cx.tx, arn).await?.ok_or_else(|| no_such_arn(arn))?;
    let granting = PolicyGrantingServiceAccess {
        policy_name: arn.rsplit('/').next().unwrap_or_default().to_owned(),
        policy_type: PolicyType::Managed,
        policy_arn: Some(arn.to_owned()),
        entity_type: None,
        entity_name: None,
    };
    let has = |policies: &Policies| policies.attached.iter().any(|attached| attached == arn);
    let groups = entity::all::<GroupRecord>(&mut cx.tx, &account).await?;
    let group_ids: Vec<&String> = groups.iter().filter(|group| has(&group.policies)).map(|group| &group.head.id).collect();
    let users = entity::all::<UserRecord>(&mut cx.tx, &account).await?;
    let user_has = |user: &&UserRecord| has(&user.policies) || user.group_ids.iter().any(|id| group_ids.contains(&id));
    let mut entities: Vec<EntityUse> = users.iter().filter(user_has).map(|user| entity_use(&account, user)).collect();
    let roles = entity::all::<RoleRecord>(&mut cx.tx, &account).await?;
    entities.extend(roles.iter().filter(|role| has(&role.policies)).map(|role| entity_use(&account, role)));
    Ok(Subject { entities, policies: vec![Named { granting, text }] })
}

/// Namespaces and names of the services that we know.
pub(crate) fn services() -> BTreeMap<&'static str, &'static str> {
    let mut services = BTreeMap::new();
    for head in facts::catalog().heads() {
        services.entry(head.iam_prefix).or_insert(head.service_id);
    }
    services
}

/// Whether a policy's Allow statements reach into a service.
fn grants(text: &str, namespace: &str) -> bool {
    let Ok(document) = serde_json::from_str::<Json>(text) else { return false };
    let one_or_more = |value: &Json| match value {
        Json::Array(items) => items.clone(),
        other => vec![other.clone()],
    };
    let statements = document.get("Statement").map(one_or_more).unwrap_or_default();
    statements.iter().filter(|statement| statement.get("Effect").and_then(Json::as_str) == Some("Allow")).any(|statement| {
        let named = |action: &Json| {
            let Some(action) = action.as_str() else { return false };
            action == "*" || action.split_once(':').is_some_and(|(prefix, _)| prefix.eq_ignore_ascii_case(namespace))
        };
        let actions = statement.get("Action").map(one_or_more).unwrap_or_default();
        let excluded = statement.get("NotAction").map(one_or_more);
        let all_excluded = |actions: Vec<Json>| {
            actions.iter().filter_map(Json::as_str).any(|action| action.eq_ignore_ascii_case(&format!("{namespace}:*")))
        };
        actions.iter().any(named) || excluded.is_some_and(|excluded| !all_excluded(excluded))
    })
}

/// One call of one principal, as the trail has it.
pub(crate) struct Seen {
    entity_id: String,
    pub namespace: &'static str,
    action: String,
    pub at_ms: i64,
    pub region: String,
}

fn seen(entry: &Entry, namespaces: &HashMap<&'static str, &'static str>) -> Option<Seen> {
    let record = &entry.record;
    let principal_id = record.user_identity.principal_id.as_deref()?;
    let entity_id = principal_id.split(':').next()?.to_owned();
    let namespace = namespaces.get(record.event_source.as_str())?;
    Some(Seen {
        entity_id,
        namespace,
        action: record.event_name.clone(),
        at_ms: parse_iso8601(&record.event_time)?,
        region: record.aws_region.clone(),
    })
}

/// The calls of an account in all regions, newest first within each.
pub(crate) async fn calls(cx: &mut Call, account: &str) -> Result<Vec<Seen>, ApiError> {
    // The recorder may still hold the last ones.
    cx.plane.flush().await?;
    let namespaces: HashMap<&'static str, &'static str> =
        facts::catalog().heads().iter().map(|head| (head.event_source, head.iam_prefix)).collect();
    let filter = Filter {
        account: account.to_owned(),
        start_ms: Some(cx.now.0.saturating_sub(PERIOD_MS)),
        end_ms: None,
        attribute: None,
        denied_only: false,
        insights: false,
    };
    let mut found = Vec::new();
    let stores: Vec<_> = cx.plane.regions.iter().map(|region| Arc::clone(&region.store)).collect();
    for store in stores {
        let mut after = None;
        let mut looked_at = 0_usize;
        while looked_at < EVENTS {
            let page = trail::lookup(store.as_ref(), &cx.plane.sealer(), &filter, after, EVENTS_PER_PAGE)
                .await
                .map_err(|error| ApiError::internal(&error))?;
            looked_at = looked_at.saturating_add(page.entries.len());
            found.extend(page.entries.iter().filter_map(|entry| seen(entry, &namespaces)));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok(found)
}

fn use_of(namespace: &str, name: &str, entities: &[EntityUse], calls: &[Seen]) -> ServiceUse {
    let mut considered = entities.to_vec();
    let mut actions: BTreeMap<String, ActionUse> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.namespace == namespace) {
        let Some(entity) = considered.iter_mut().find(|entity| entity.id == call.entity_id) else { continue };
        if entity.at_ms.is_none_or(|known| known < call.at_ms) {
            entity.at_ms = Some(call.at_ms);
            entity.region.clone_from(&call.region);
        }
        let this = ActionUse { at_ms: call.at_ms, entity_arn: entity.arn.clone(), region: call.region.clone() };
        let known = actions.entry(call.action.clone()).or_insert_with(|| this.clone());
        if known.at_ms < this.at_ms {
            *known = this;
        }
    }
    let mut used: Vec<EntityUse> = considered.iter().filter(|entity| entity.at_ms.is_some()).cloned().collect();
    used.sort_by_key(|entity| std::cmp::Reverse(entity.at_ms));
    ServiceUse { namespace: namespace.to_owned(), name: name.to_owned(), entities: used, considered, actions }
}

pub(crate) async fn generate_service_last_accessed_details(
    cx: &mut Call,
    input: GenerateServiceLastAccessedDetailsInput,
) -> Result<GenerateServiceLastAccessedDetailsOutput, ApiError> {
    let subject = subject(cx, &input.arn, true).await?;
    let account = cx.account.clone();
    let calls = calls(cx, &account).await?;
    let services = services()
        .into_iter()
        .filter(|(namespace, _)| subject.policies.iter().any(|policy| grants(&policy.text, namespace)))
        .map(|(namespace, name)| use_of(namespace, name, &subject.entities, &calls))
        .collect();
    let by_action = input.granularity == Some(AccessAdvisorUsageGranularityType::ActionLevel);
    let job_id = cx.plane.random_uuid()?;
    cx.tx.put(&key(&cx.account, &job_id), &JobRecord { by_action, created_ms: cx.now.0, services })?;
    Ok(GenerateServiceLastAccessedDetailsOutput { job_id: Some(job_id) })
}

async fn job(cx: &mut Call, job_id: &str) -> Result<JobRecord, ApiError> {
    let found = cx.tx.get::<JobRecord>(&key(&cx.account, job_id)).await?;
    found.ok_or_else(|| IamError::NoSuchEntity(format!("Job id {job_id} cannot be found.")).into())
}

fn service_output(service: &ServiceUse, by_action: bool) -> ServiceLastAccessed {
    let last = service.entities.first();
    let tracked = |(action, last): (&String, &ActionUse)| TrackedActionLastAccessed {
        action_name: Some(action.clone()),
        last_accessed_entity: Some(last.entity_arn.clone()),
        last_accessed_time: Some(Timestamp(last.at_ms)),
        last_accessed_region: Some(last.region.clone()),
    };
    ServiceLastAccessed {
        service_name: service.name.clone(),
        last_authenticated: last.and_then(|last| last.at_ms).map(Timestamp),
        service_namespace: service.namespace.clone(),
        last_authenticated_entity: last.map(|last| last.arn.clone()),
        last_authenticated_region: last.map(|last| last.region.clone()),
        total_authenticated_entities: i32::try_from(service.entities.len()).ok(),
        tracked_actions_last_accessed: by_action.then(|| service.actions.iter().map(tracked).collect()),
    }
}

pub(crate) async fn get_service_last_accessed_details(
    cx: &mut Call,
    input: GetServiceLastAccessedDetailsInput,
) -> Result<GetServiceLastAccessedDetailsOutput, ApiError> {
    let job = job(cx, &input.job_id).await?;
    let services = job.services.iter().map(|service| service_output(service, job.by_action)).collect();
    let place = |service: &ServiceLastAccessed| service.service_namespace.clone();
    let page = page::cut(cx, services, place, &input.job_id, input.marker.as_deref(), input.max_items)?;
    Ok(GetServiceLastAccessedDetailsOutput {
        job_status: JobStatusType::Completed,
        job_type: Some(if job.by_action {
            AccessAdvisorUsageGranularityType::ActionLevel
        } else {
            AccessAdvisorUsageGranularityType::ServiceLevel
        }),
        job_creation_date: Timestamp(job.created_ms),
        services_last_accessed: page.items,
        job_completion_date: Timestamp(job.created_ms),
        is_truncated: Some(page.next.is_some()),
        marker: page.next,
        error: None,
    })
}

pub(crate) async fn get_service_last_accessed_details_with_entities(
    cx: &mut Call,
    input: GetServiceLastAccessedDetailsWithEntitiesInput,
) -> Result<GetServiceLastAccessedDetailsWithEntitiesOutput, ApiError> {
    let job = job(cx, &input.job_id).await?;
    let Some(service) = job.services.iter().find(|service| service.namespace == input.service_namespace) else {
        return Err(IamError::NoSuchEntity(format!("Service namespace {} is not part of the report.", input.service_namespace)).into());
    };
    let shown = |entity: &EntityUse| EntityDetails {
        entity_info: EntityInfo {
            arn: entity.arn.clone(),
            name: entity.name.clone(),
            type_: owner_type(entity.kind),
            id: entity.id.clone(),
            path: Some(entity.path.clone()),
        },
        last_authenticated: entity.at_ms.map(Timestamp),
    };
    let entities = service.considered.iter().map(shown).collect();
    let place = |entity: &EntityDetails| entity.entity_info.arn.clone();
    let filter = format!("{} {}", input.job_id, input.service_namespace);
    let page = page::cut(cx, entities, place, &filter, input.marker.as_deref(), input.max_items)?;
    Ok(GetServiceLastAccessedDetailsWithEntitiesOutput {
        job_status: JobStatusType::Completed,
        job_creation_date: Timestamp(job.created_ms),
        job_completion_date: Timestamp(job.created_ms),
        entity_details_list: page.items,
        is_truncated: Some(page.next.is_some()),
        marker: page.next,
        error: None,
    })
}

pub(crate) async fn list_policies_granting_service_access(
    cx: &mut Call,
    input: ListPoliciesGrantingServiceAccessInput,
) -> Result<ListPoliciesGrantingServiceAccessOutput, ApiError> {
    let known = services();
    if let Some(unknown) = input.service_namespaces.iter().find(|namespace| !known.contains_key(namespace.as_str())) {
        return Err(IamError::InvalidInput(format!("Service namespace {unknown} is not valid.")).into());
    }
    let subject = subject(cx, &input.arn, false).await?;
    let namespaces: BTreeSet<&String> = input.service_namespaces.iter().collect();
    let entries = namespaces
        .into_iter()
        .map(|namespace| ListPoliciesGrantingServiceAccessEntry {
            service_namespace: Some(namespace.clone()),
            policies: Some(
                subject.policies.iter().filter(|policy| grants(&policy.text, namespace)).map(|policy| policy.granting.clone()).collect(),
            ),
        })
        .collect();
    let place = |entry: &ListPoliciesGrantingServiceAccessEntry| entry.service_namespace.clone().unwrap_or_default();
    let page = page::cut(cx, entries, place, &input.arn, input.marker.as_deref(), None)?;
    Ok(ListPoliciesGrantingServiceAccessOutput {
        policies_granting_service_access: page.items,
        is_truncated: Some(page.next.is_some()),
        marker: page.next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_policy_reaches_into() {
        let policy = |statement: &str| format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#);
        assert!(grants(&policy(r#"{"Effect":"Allow","Action":"S3:Get*","Resource":"*"}"#), "s3"));
        assert!(grants(&policy(r#"[{"Effect":"Allow","Action":["kms:*","*"],"Resource":"*"}]"#), "s3"));
        assert!(grants(&policy(r#"{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}"#), "s3"));
        assert!(!grants(&policy(r#"{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}"#), "iam"));
        assert!(!grants(&policy(r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#), "s3"));
        assert!(!grants("x", "s3"));
    }

    #[test]
    fn the_newest_call_of_each_principal_counts() {
        let entity = |id: &str| EntityUse {
            arn: format!("arn:{id}"),
            name: id.to_owned(),
            id: id.to_owned(),
            path: "/".to_owned(),
            kind: EntityKind::User,
            at_ms: None,
            region: String::new(),
        };
        let call = |id: &str, at_ms| Seen {
            entity_id: id.to_owned(),
            namespace: "s3",
            action: "GetObject".to_owned(),
            at_ms,
            region: "r".to_owned(),
        };
        let found =
            use_of("s3", "S3", &[entity("a"), entity("b"), entity("c")], &[call("a", 5), call("b", 9), call("a", 3), call("x", 99)]);
        assert_eq!(
            found.entities.iter().map(|entity| (entity.id.as_str(), entity.at_ms)).collect::<Vec<_>>(),
            [("b", Some(9)), ("a", Some(5))]
        );
        assert_eq!(found.actions["GetObject"].entity_arn, "arn:b");
        assert_eq!(found.considered.len(), 3);
    }
}
