//! Unused access: roles, access keys and permissions that nobody has used for a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::vocabulary;
use iam::entity::{self, Entity, RoleRecord, UserRecord};
use plane::{ApiError, Plane, Principal, PrincipalKind, Transaction};
use policy::{Attached, Effect, Glob};

use crate::analyzer::Analyzer;
use crate::finding::{Detail, Found, UnusedService};
use crate::history::{self, Use};

const DAY_MS: i64 = 24 * 3600 * 1000;
/// Unused services named in one finding.
const SERVICES_MAX: usize = 500;

/// A principal to look at.
struct Subject {
    arn: String,
    resource_type: &'static str,
    created_ms: i64,
    tags: Vec<(String, String)>,
    principal: Principal,
}

pub(crate) async fn found(
    plane: &Arc<Plane>,
    tx: &mut Transaction,
    analyzer: &Analyzer,
    accounts: &[String],
    now_ms: i64,
) -> Result<Vec<Found>, ApiError> {
    let age_ms = i64::from(analyzer.unused_days()).saturating_mul(DAY_MS);
    let since_ms = now_ms.saturating_sub(age_ms);
    let mut found = Vec::new();
    for account in accounts {
        if analyzer.exclusions.iter().any(|exclusion| exclusion.accounts.contains(account)) {
            continue;
        }
        let (uses, complete) = history::uses(plane, account, since_ms, now_ms).await?;
        let nothing = BTreeMap::new();
        for role in entity::all::<RoleRecord>(tx, account).await? {
            let subject = role_subject(account, &role);
            if is_excluded(analyzer, &subject.tags) || subject.created_ms > since_ms || role.head.path.starts_with("/aws-service-role/") {
                continue;
            }
            let last_ms = last_used(plane, tx, &role.head.id).await?;
            if last_ms.is_none_or(|last| last < since_ms) {
                found.push(subject.found(account, Detail::UnusedRole { last_ms }));
            } else if complete {
                found.extend(permissions(plane, tx, account, &subject, uses.get(&subject.arn).unwrap_or(&nothing)).await?);
            }
        }
        for user in entity::all::<UserRecord>(tx, account).await? {
            let subject = user_subject(account, &user);
            if is_excluded(analyzer, &subject.tags) {
                continue;
            }
            for access_key_id in &user.access_key_ids {
                let Some(key) = iam::access_key::find(tx, access_key_id).await?.filter(|key| key.active) else { continue };
                let last_ms = last_used(plane, tx, access_key_id).await?;
                if last_ms.unwrap_or(key.created_ms) < since_ms {
                    found.push(subject.found(account, Detail::UnusedKey { access_key_id: access_key_id.clone(), last_ms }));
                }
            }
            // Nobody signs in with a password here: it is unused since the day that it was set.
            if iam::password_set_ms(tx, account, &user.head.id).await?.is_some_and(|set_ms| set_ms < since_ms) {
                found.push(subject.found(account, Detail::UnusedPassword { last_ms: None }));
            }
            if complete && subject.created_ms <= since_ms {
                found.extend(permissions(plane, tx, account, &subject, uses.get(&subject.arn).unwrap_or(&nothing)).await?);
            }
        }
    }
    Ok(found)
}

async fn last_used(plane: &Plane, tx: &mut Transaction, subject: &str) -> Result<Option<i64>, ApiError> {
    match plane.extension::<iam::Directory>("iam") {
        Some(directory) => directory.last_used_ms(tx, subject).await,
        None => Ok(None),
    }
}

fn is_excluded(analyzer: &Analyzer, tags: &[(String, String)]) -> bool {
    let has = |wanted: &BTreeMap<String, String>| {
        !wanted.is_empty() && wanted.iter().all(|(key, value)| tags.iter().any(|(name, actual)| name == key && actual == value))
    };
    analyzer.exclusions.iter().any(|exclusion| exclusion.tags.iter().any(has))
}

fn role_subject(account: &str, role: &RoleRecord) -> Subject {
    let arn = role.arn(account);
    Subject {
        principal: Principal {
            kind: PrincipalKind::AssumedRole {
                role_name: role.head.name.clone(),
                role_arn: arn.clone(),
                role_id: role.head.id.clone(),
                session_name: "analysis".to_owned(),
            },
            account: account.to_owned(),
            arn: arn.clone(),
            principal_id: role.head.id.clone(),
            access_key_id: None,
            session: None,
        },
        arn,
        resource_type: "AWS::IAM::Role",
        created_ms: role.head.created_ms,
        tags: role.tags.clone(),
    }
}

fn user_subject(account: &str, user: &UserRecord) -> Subject {
    let arn = user.arn(account);
    Subject {
        principal: Principal {
            kind: PrincipalKind::User { name: user.head.name.clone(), id: user.head.id.clone() },
            account: account.to_owned(),
            arn: arn.clone(),
            principal_id: user.head.id.clone(),
            access_key_id: None,
            session: None,
        },
        arn,
        resource_type: "AWS::IAM::User",
        created_ms: user.head.created_ms,
        tags: user.tags.clone(),
    }
}

impl Subject {
    fn found(&self, account: &str, detail: Detail) -> Found {
        Found { resource: self.arn.clone(), resource_type: self.resource_type.to_owned(), owner: account.to_owned(), detail, error: None }
    }
}

/// Permissions that the principal has and did not use.
async fn permissions(
    plane: &Arc<Plane>,
    tx: &mut Transaction,
    account: &str,
    subject: &Subject,
    used: &BTreeMap<String, Use>,
) -> Result<Option<Found>, ApiError> {
    let access = plane.directory().access(tx, &subject.principal).await?;
    let services = unused_services(&access.identity, used);
    Ok((!services.is_empty()).then(|| subject.found(account, Detail::UnusedPermission { services })))
}

/// Services that the policies name and that were not used, and named actions of used services that were not.
fn unused_services(policies: &[Attached], used: &BTreeMap<String, Use>) -> Vec<UnusedService> {
    let lower: BTreeMap<String, i64> = used.iter().map(|(action, used)| (action.to_lowercase(), used.last_ms)).collect();
    let mut unused: BTreeMap<String, UnusedService> = BTreeMap::new();
    for pattern in allowed_patterns(policies) {
        let Some((prefix, _)) = pattern.split_once(':') else { continue };
        let Some(service) = vocabulary::service(prefix) else { continue };
        let last_ms = lower.iter().filter(|(action, _)| action.starts_with(&format!("{prefix}:"))).map(|(_, last)| *last).max();
        let glob = Glob::new(&pattern);
        let names = service.actions.iter().map(|action| format!("{prefix}:{action}")).filter(|action| glob.matches(&action.to_lowercase()));
        let idle: Vec<String> = names.filter(|action| !lower.contains_key(&action.to_lowercase())).collect();
        if idle.is_empty() {
            continue;
        }
        let entry =
            unused.entry(prefix.to_owned()).or_insert_with(|| UnusedService { prefix: prefix.to_owned(), last_ms, actions: Vec::new() });
        // Of a service that was not used at all, the service says everything.
        if last_ms.is_some() {
            entry.actions.extend(idle);
            entry.actions.sort_unstable();
            entry.actions.dedup();
        }
    }
    unused.into_values().take(SERVICES_MAX).collect()
}

/// Patterns of allowed actions of one service each, in lower case. `*` alone stands for administrators, whom nobody asks to
/// use everything.
fn allowed_patterns(policies: &[Attached]) -> Vec<String> {
    let mut patterns = Vec::new();
    for statement in policies.iter().flat_map(|attached| attached.policy.statements()) {
        let (negated, actions) = statement.actions();
        if statement.effect() == Effect::Allow && !negated {
            patterns.extend(actions.filter(|action| !action.starts_with('*')).map(str::to_lowercase));
        }
    }
    patterns.sort_unstable();
    patterns.dedup();
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Policy, PolicyKind, PolicySource};

    #[test]
    fn what_was_not_used() {
        let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt","sqs:*","*"],"Resource":"*"}]}"#;
        let policy = Attached::new("p", PolicySource::User, Arc::new(Policy::parse_stored(text, PolicyKind::Identity)));
        let used = BTreeMap::from([("kms:Encrypt".to_owned(), Use { last_ms: 7, resources: Vec::new() })]);
        let unused = unused_services(&[policy], &used);
        let kms = UnusedService { prefix: "kms".to_owned(), last_ms: Some(7), actions: vec!["kms:Decrypt".to_owned()] };
        let sqs = UnusedService { prefix: "sqs".to_owned(), last_ms: None, actions: Vec::new() };
        assert_eq!(unused, [kms, sqs]);
    }
}
