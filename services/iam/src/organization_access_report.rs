//! Which services an organization's accounts may reach by its service control policies, and which they called: read from the trail.
//!
//! Like the jobs of [`crate::last_accessed`], a report is complete at once and does not change afterwards. It says nothing about other types of
//! policies.
//!
//! Source: IAM API Reference, "GenerateOrganizationsAccessReport" and "GetOrganizationsAccessReport".

use std::collections::BTreeSet;
use std::sync::Arc;

use api_iam::{
    AccessDetail, GenerateOrganizationsAccessReportInput, GenerateOrganizationsAccessReportOutput, GetOrganizationsAccessReportInput,
    GetOrganizationsAccessReportOutput, JobStatusType, SortKeyType,
};
use plane::{ApiError, Call, Key, OrganizationView, Record, Scope};
use policy::{Effect, Glob, Policy, PolicyKind, Statement};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::error::IamError;
use crate::last_accessed::{self, Seen};
use crate::page;

/// A finished report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReportRecord {
    created_ms: i64,
    services: Vec<ServiceAccess>,
}

/// A service that the policies allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ServiceAccess {
    namespace: String,
    name: String,
    /// Accounts of the entity that called it.
    accounts: usize,
    last: Option<LastAccess>,
}

/// The newest call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LastAccess {
    at_ms: i64,
    region: String,
    entity_path: String,
}

impl Record for ReportRecord {
    const TABLE: Table = Table("iam.organization-access-report");
    const SCOPE: Scope = Scope::Home;
}

fn key(account: &str, job_id: &str) -> Key {
    Key::new(account, "").last(job_id)
}

/// The vendor part of an action pattern reaches a namespace.
fn names(pattern: &str, namespace: &str) -> bool {
    let vendor = pattern.split_once(':').map_or(pattern, |(vendor, _)| vendor);
    Glob::new(&vendor.to_lowercase()).matches(namespace)
}

/// The pattern has all actions of a namespace.
fn covers(pattern: &str, namespace: &str) -> bool {
    pattern == "*" || pattern.split_once(':').is_some_and(|(_, action)| action == "*") && names(pattern, namespace)
}

/// An Allow statement leaves something of the namespace to be done.
fn reaches(statement: &Statement, namespace: &str) -> bool {
    let (excluded, mut patterns) = statement.actions();
    if excluded { !patterns.any(|pattern| covers(pattern, namespace)) } else { patterns.any(|pattern| names(pattern, namespace)) }
}

/// A Deny statement leaves nothing of the namespace.
fn closes(statement: &Statement, namespace: &str) -> bool {
    let (resources_excluded, mut resources) = statement.resources();
    let everywhere = !resources_excluded && resources.any(|resource| resource == "*");
    let (excluded, mut patterns) = statement.actions();
    let all =
        if excluded { !patterns.any(|pattern| names(pattern, namespace)) } else { patterns.any(|pattern| covers(pattern, namespace)) };
    everywhere && all && statement.conditions().is_empty()
}

/// What one level says: some policy allows the service, and none denies all of it.
fn level_allows(policies: &[Arc<Policy>], namespace: &str) -> bool {
    let of = |effect: Effect| policies.iter().flat_map(|policy| policy.statements()).filter(move |statement| statement.effect() == effect);
    of(Effect::Allow).any(|statement| reaches(statement, namespace)) && !of(Effect::Deny).any(|statement| closes(statement, namespace))
}

/// Which entity a report is about.
struct Entity {
    /// Its accounts with their paths.
    accounts: Vec<(String, String)>,
    /// The policies on the way to it; `None`: nothing binds it.
    levels: Option<Vec<Vec<Arc<Policy>>>>,
}

fn invalid(text: &str) -> ApiError {
    IamError::InvalidInput(text.to_owned()).into()
}

/// The organization of the caller, which must be its management account.
async fn managed(cx: &Call) -> Result<Arc<OrganizationView>, ApiError> {
    let view = cx.plane.organization(&cx.account).await?.filter(|view| view.organization.management_account == cx.account);
    let view = view.ok_or_else(|| {
        let text = "Access denied. The operation must be called with credentials of the organization's management account.";
        ApiError::from(IamError::AccessDenied(text.to_owned()))
    })?;
    if view.service_control.is_none() {
        return Err(invalid("Service control policies are not enabled for the root of the organization."));
    }
    Ok(view)
}

/// The accounts at or below a path, and the policies on the way to it.
fn entity(view: &OrganizationView, path: &str) -> Option<Entity> {
    let path = path.trim_end_matches('/');
    let organization = &view.organization;
    let full = |(account, above): (&String, &String)| (account.clone(), format!("{above}{account}"));
    let all: Vec<(String, String)> = organization.paths.iter().map(full).collect();
    if path == all.iter().find(|(account, _)| *account == organization.management_account).map(|(_, path)| path.as_str())? {
        return Some(Entity { accounts: vec![(organization.management_account.clone(), path.to_owned())], levels: None });
    }
    let places = path.split('/').skip(1).collect::<Vec<_>>();
    if !view.entity_paths.contains(path) {
        return None;
    }
    let below = format!("{path}/");
    let within =
        |(account, full): &(String, String)| *account != organization.management_account && (full == path || full.starts_with(&below));
    let attached = view.service_control.as_ref()?;
    let policies = |place: &&str| -> Vec<Arc<Policy>> {
        attached.get(*place).into_iter().flatten().map(|attached| Arc::clone(&attached.policy)).collect()
    };
    Some(Entity { accounts: all.into_iter().filter(within).collect(), levels: Some(places.iter().map(policies).collect()) })
}

/// Narrows an entity to one policy: what it allows, for the accounts that it binds.
async fn under_policy(cx: &mut Call, view: &OrganizationView, entity: Entity, id: &str) -> Result<Entity, ApiError> {
    if entity.levels.is_none() {
        return Ok(entity);
    }
    let account = cx.account.clone();
    let organizations = Arc::clone(cx.plane.organizations());
    let Some(text) = organizations.service_control_policy(&mut cx.tx, &account, id).await? else {
        return Err(invalid(&format!("The service control policy {id} does not exist in the organization.")));
    };
    let policy = plane::authorize::compiled(PolicyKind::ServiceControl, &text);
    let attached = |place: &str| {
        let policies = view.service_control.as_ref().and_then(|attached| attached.get(place)).map(Vec::as_slice).unwrap_or_default();
        policies.iter().any(|attached| attached.id.rsplit('/').next() == Some(id))
    };
    let bound = |(_, path): &(String, String)| path.split('/').skip(1).any(attached);
    Ok(Entity { accounts: entity.accounts.into_iter().filter(bound).collect(), levels: Some(vec![vec![policy]]) })
}

/// What the accounts did with one service.
fn access_of(namespace: &str, name: &str, calls: &[(String, Vec<Seen>)]) -> ServiceAccess {
    let mut access = ServiceAccess { namespace: namespace.to_owned(), name: name.to_owned(), accounts: 0, last: None };
    for (entity_path, seen) in calls {
        let Some(newest) = seen.iter().filter(|call| call.namespace == namespace).max_by_key(|call| call.at_ms) else { continue };
        access.accounts = access.accounts.saturating_add(1);
        if access.last.as_ref().is_none_or(|last| last.at_ms < newest.at_ms) {
            access.last = Some(LastAccess { at_ms: newest.at_ms, region: newest.region.clone(), entity_path: entity_path.clone() });
        }
    }
    access
}

pub(crate) async fn generate_organizations_access_report(
    cx: &mut Call,
    input: GenerateOrganizationsAccessReportInput,
) -> Result<GenerateOrganizationsAccessReportOutput, ApiError> {
    let view = managed(cx).await?;
    let unknown = || invalid(&format!("The entity path {} does not exist in the organization.", input.entity_path));
    let mut entity = entity(&view, &input.entity_path).ok_or_else(unknown)?;
    if let Some(id) = &input.organizations_policy_id {
        entity = under_policy(cx, &view, entity, id).await?;
    }
    let mut calls = Vec::new();
    let accounts: BTreeSet<(String, String)> = entity.accounts.into_iter().collect();
    for (account, path) in accounts {
        calls.push((path, last_accessed::calls(cx, &account).await?));
    }
    let allowed =
        |namespace: &str| entity.levels.as_ref().is_none_or(|levels| levels.iter().all(|policies| level_allows(policies, namespace)));
    let services = last_accessed::services()
        .into_iter()
        .filter(|(namespace, _)| allowed(namespace))
        .map(|(namespace, name)| access_of(namespace, name, &calls))
        .collect();
    let job_id = cx.plane.random_uuid()?;
    cx.tx.put(&key(&cx.account, &job_id), &ReportRecord { created_ms: cx.now.0, services })?;
    Ok(GenerateOrganizationsAccessReportOutput { job_id: Some(job_id) })
}

fn sort(services: &mut [ServiceAccess], by: &SortKeyType) {
    services.sort_by(|left, right| left.namespace.cmp(&right.namespace));
    let time = |service: &ServiceAccess| service.last.as_ref().map(|last| last.at_ms);
    match by {
        SortKeyType::ServiceNamespaceDescending => services.reverse(),
        SortKeyType::LastAuthenticatedTimeAscending => services.sort_by_key(time),
        SortKeyType::LastAuthenticatedTimeDescending => services.sort_by_key(|service| std::cmp::Reverse(time(service))),
        _ => {}
    }
}

fn detail(service: &ServiceAccess) -> AccessDetail {
    AccessDetail {
        service_name: service.name.clone(),
        service_namespace: service.namespace.clone(),
        region: service.last.as_ref().map(|last| last.region.clone()),
        entity_path: service.last.as_ref().map(|last| last.entity_path.clone()),
        last_authenticated_time: service.last.as_ref().map(|last| Timestamp(last.at_ms)),
        total_authenticated_entities: i32::try_from(service.accounts).ok(),
    }
}

pub(crate) async fn get_organizations_access_report(
    cx: &mut Call,
    input: GetOrganizationsAccessReportInput,
) -> Result<GetOrganizationsAccessReportOutput, ApiError> {
    let found = cx.tx.get::<ReportRecord>(&key(&cx.account, &input.job_id)).await?;
    let missing = || ApiError::from(IamError::NoSuchEntity(format!("Job id {} cannot be found.", input.job_id)));
    let mut report = found.ok_or_else(missing)?;
    let by = input.sort_key.unwrap_or(SortKeyType::ServiceNamespaceAscending);
    sort(&mut report.services, &by);
    let accessible = report.services.len();
    let unused = report.services.iter().filter(|service| service.last.is_none()).count();
    let places: Vec<(usize, AccessDetail)> = report.services.iter().map(detail).enumerate().collect();
    let filter = format!("{} {by}", input.job_id);
    let page = page::cut(cx, places, |(place, _)| format!("{place:06}"), &filter, input.marker.as_deref(), input.max_items)?;
    Ok(GetOrganizationsAccessReportOutput {
        job_status: JobStatusType::Completed,
        job_creation_date: Timestamp(report.created_ms),
        job_completion_date: Some(Timestamp(report.created_ms)),
        number_of_services_accessible: i32::try_from(accessible).ok(),
        number_of_services_not_accessed: i32::try_from(unused).ok(),
        access_details: Some(page.items.into_iter().map(|(_, detail)| detail).collect()),
        is_truncated: Some(page.next.is_some()),
        marker: page.next,
        error_details: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(statements: &str) -> Vec<Arc<Policy>> {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#);
        vec![Arc::new(Policy::parse(&text, PolicyKind::ServiceControl).unwrap())]
    }

    #[test]
    fn what_a_level_leaves_of_a_service() {
        let all = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
        assert!(level_allows(&level(all), "s3"));
        assert!(!level_allows(&[], "s3"));
        assert!(level_allows(&level(r#"{"Effect":"Allow","Action":["S3:Get*"],"Resource":"*"}"#), "s3"));
        assert!(!level_allows(&level(r#"{"Effect":"Allow","Action":["kms:*"],"Resource":"*"}"#), "s3"));
        let with = |deny: &str| level(&format!("[{all},{deny}]"));
        assert!(!level_allows(&with(r#"{"Effect":"Deny","Action":"s3:*","Resource":"*"}"#), "s3"));
        assert!(!level_allows(&with(r#"{"Effect":"Deny","NotAction":"kms:*","Resource":"*"}"#), "s3"));
        assert!(level_allows(&with(r#"{"Effect":"Deny","NotAction":["kms:*","s3:GetObject"],"Resource":"*"}"#), "s3"));
        assert!(level_allows(&with(r#"{"Effect":"Deny","Action":"s3:Get*","Resource":"*"}"#), "s3"));
        assert!(level_allows(&with(r#"{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::a"}"#), "s3"));
        let condition = r#"{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}"#;
        assert!(level_allows(&with(condition), "s3"));
    }

    #[test]
    fn times_sort_with_those_never_called_at_one_end() {
        let service = |namespace: &str, at_ms: Option<i64>| ServiceAccess {
            namespace: namespace.to_owned(),
            name: namespace.to_owned(),
            accounts: 0,
            last: at_ms.map(|at_ms| LastAccess { at_ms, region: String::new(), entity_path: String::new() }),
        };
        let mut services = [service("b", Some(2)), service("a", None), service("c", Some(1))];
        let mut order = |by| {
            sort(&mut services, &by);
            services.iter().map(|service| service.namespace.clone()).collect::<String>()
        };
        assert_eq!(order(SortKeyType::ServiceNamespaceAscending), "abc");
        assert_eq!(order(SortKeyType::ServiceNamespaceDescending), "cba");
        assert_eq!(order(SortKeyType::LastAuthenticatedTimeAscending), "acb");
        assert_eq!(order(SortKeyType::LastAuthenticatedTimeDescending), "bca");
    }
}
