//! The look at all resources: which findings there are now, and what becomes of those that there were.
//!
//! It runs when somebody asks for findings and a log row has come since that may matter, and in the background. Twice does
//! no harm: the same state gives the same findings.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use access::Zone;
use plane::transaction::Abort;
use plane::{ApiError, Plane, Transaction};
use policy::{Effect, Policy, PrincipalElement, PrincipalEntry, ResourcePolicy};
use store::Revision;

use crate::analyzer::{self, Analyzer, AnalyzerPlace};
use crate::finding::{self, Detail, FindingRecord, FindingState, Found};
use crate::unused;

/// Log rows read at a time.
const ROWS: u32 = 512;
/// Tables whose change cannot change a finding: content, and what is derived.
const IRRELEVANT: [&str; 15] = [
    "s3-object",
    "s3-version",
    "s3-null-version",
    "s3-part",
    "s3-upload",
    "s3-used-blob",
    "s3-unused-blob",
    "s3-claim",
    "idempotency",
    "lease",
    "iam.last-use",
    "iam.credential-report",
    "kms_material",
    "cloudtrail-delivery",
    "cloudtrail-signing-key",
];
/// Times that a look is tried when others write at the same time.
const ATTEMPTS: usize = 4;
/// Resolved findings are kept for ninety days.
const RESOLVED_MS: i64 = 90 * 24 * 3600 * 1000;

/// A resource with a policy.
#[derive(Debug)]
pub(crate) struct Resource {
    pub arn: String,
    pub owner: String,
    pub kind: &'static str,
    pub policy: ResourcePolicy,
    pub grants: Vec<policy::KmsGrant>,
    pub restrict_public_buckets: bool,
    pub is_restricted: bool,
    /// Whom the unique ids in the policy stand for: account and ARN.
    pub identities: HashMap<String, (String, String)>,
}

/// Up to which revisions (home and region) an analyzer has looked, by its ARN. A server that starts has looked at nothing.
type Seen = HashMap<String, (Revision, Revision)>;

fn seen() -> &'static Mutex<Seen> {
    static SEEN: OnceLock<Mutex<Seen>> = OnceLock::new();
    SEEN.get_or_init(Mutex::default)
}

fn position(plane: &Plane, region: &str) -> Result<usize, ApiError> {
    let found = plane.regions.position(region);
    found.ok_or_else(|| ApiError::internal(&"an analyzer stands in a region that is not configured"))
}

/// Whether a log row after `from` may matter.
async fn has_news(plane: &Plane, position: usize, from: Revision, head: Revision) -> Result<bool, ApiError> {
    if head < from {
        return Ok(true);
    }
    let store = &plane.regions.at(position)?.store;
    let mut from = from;
    while from < head {
        let rows = store.changes_after(from, ROWS).await?;
        let Some(last) = rows.last() else { break };
        if rows.first().is_some_and(|row| row.revision.0 != from.0.saturating_add(1)) {
            // What is missing was pruned before it was looked at.
            return Ok(true);
        }
        from = last.revision;
        let relevant = |table: &str| !table.starts_with("accessanalyzer-") && !IRRELEVANT.contains(&table);
        if rows.iter().any(|row| row.changed.iter().any(|(table, _)| relevant(table))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks again if something has changed that may matter.
pub(crate) async fn bring_up_to_date(plane: &Arc<Plane>, analyzer: &Analyzer) -> Result<(), ApiError> {
    let place = position(plane, &analyzer.region)?;
    let heads = (*plane.regions.at(0)?.store.head().borrow(), *plane.regions.at(place)?.store.head().borrow());
    let key = format!("{:p} {}", Arc::as_ptr(plane), analyzer.arn());
    let known = seen().lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
    let stale = match known {
        None => true,
        Some((home, region)) => has_news(plane, 0, home, heads.0).await? || (place != 0 && has_news(plane, place, region, heads.1).await?),
    };
    // What counts as unused changes with the time alone.
    if stale || analyzer.kind.is_unused() {
        run(plane, analyzer).await?;
    }
    seen().lock().unwrap_or_else(PoisonError::into_inner).insert(key, heads);
    Ok(())
}

/// Brings the findings of all analyzers of a region up to date.
pub async fn work(plane: &Arc<Plane>, place: usize) -> Result<usize, ApiError> {
    let region = plane.regions.at(place)?.name.clone();
    let mut tx = plane.transaction(place);
    let places = tx.scan::<AnalyzerPlace>(&AnalyzerPlace::prefix(&region), None, plane::transaction::SCAN_LIMIT).await?;
    let mut looked = 0;
    for (_, at) in places {
        if let Some(analyzer) = tx.get::<Analyzer>(&Analyzer::key(&at.account, &region, &at.name)).await? {
            bring_up_to_date(plane, &analyzer).await?;
            looked += 1;
        }
    }
    Ok(looked)
}

/// Accounts that the analyzer looks at, and its zone of trust.
pub(crate) async fn zone(plane: &Plane, analyzer: &Analyzer) -> Result<(Vec<String>, Zone), ApiError> {
    if !analyzer.kind.is_organization() {
        let accounts = vec![analyzer.account.clone()];
        return Ok((accounts.clone(), Zone { accounts, organization: None }));
    }
    // Who is no administrator any more sees nothing of the others: the findings end, and come back with the administration.
    let view = plane.organization(&analyzer.account).await?.filter(|view| analyzer::may_look_at(view, &analyzer.account));
    let Some(view) = view else { return Ok((Vec::new(), Zone::default())) };
    let mut accounts: Vec<String> = view.organization.paths.keys().cloned().collect();
    accounts.sort_unstable();
    Ok((accounts.clone(), Zone { accounts, organization: Some(view.organization.id.clone()) }))
}

/// The resources that the analyzer looks at.
pub(crate) async fn resources(plane: &Arc<Plane>, analyzer: &Analyzer) -> Result<Vec<Resource>, ApiError> {
    let mut tx = plane.transaction(position(plane, &analyzer.region)?);
    let (accounts, _) = zone(plane, analyzer).await?;
    resources_of(plane, &mut tx, &analyzer.region, &accounts).await
}

async fn resources_of(plane: &Arc<Plane>, tx: &mut Transaction, region: &str, accounts: &[String]) -> Result<Vec<Resource>, ApiError> {
    let mut resources = Vec::new();
    for account in accounts {
        let control = plane.control_policies(account, account).await?;
        for service in plane.services() {
            for arn in service.policy_holders(tx, region, account).await? {
                let Some(found) = service.resource(tx, region, &arn).await? else { continue };
                let Some(kind) = found.resource_type.or_else(|| arn.contains(":s3:::").then_some("AWS::S3::Bucket")) else {
                    continue;
                };
                let prefix = arn.split(':').nth(2).unwrap_or_default();
                let identities = identities(tx, &found.policy).await?;
                resources.push(Resource {
                    identities,
                    is_restricted: !control.resource_control.is_empty() && policy::supports_resource_control(rcp_prefix(prefix)),
                    owner: account.clone(),
                    kind,
                    policy: found.policy,
                    grants: found.grants,
                    restrict_public_buckets: found.restrict_public_buckets,
                    arn,
                });
            }
        }
    }
    Ok(resources)
}

/// The owners of the unique ids that a policy names.
async fn identities(tx: &mut Transaction, policy: &ResourcePolicy) -> Result<HashMap<String, (String, String)>, ApiError> {
    let mut identities = HashMap::new();
    let statements = policy.attached().map_or(&[][..], |attached| attached.policy.statements());
    for statement in statements {
        let PrincipalElement::Only(entries) = statement.principals() else { continue };
        for entry in entries {
            let PrincipalEntry::UniqueId(id) = entry else { continue };
            if let Some(owner) = iam::entity::by_id(tx, id).await? {
                let arn = format!("arn:{}:iam::{}:{}/{}", plane::PARTITION, owner.account, owner.kind.name(), owner.name);
                identities.insert(id.to_string(), (owner.account, arn));
            }
        }
    }
    Ok(identities)
}

/// Resource control policies bind a role by the calls that assume it.
fn rcp_prefix(prefix: &str) -> &str {
    if prefix == "iam" { "sts" } else { prefix }
}

/// Looks at everything and writes down what has changed.
pub(crate) async fn run(plane: &Arc<Plane>, analyzer: &Analyzer) -> Result<(), ApiError> {
    for _ in 0..ATTEMPTS {
        match attempt(plane, analyzer).await {
            Err(Abort::Conflict) => {}
            Err(Abort::Failed(error)) => return Err(error),
            Ok(()) => return Ok(()),
        }
    }
    Err(ApiError::internal(&"the findings changed again and again while they were written"))
}

async fn attempt(plane: &Arc<Plane>, analyzer: &Analyzer) -> Result<(), Abort> {
    let now_ms = plane.now().0;
    let mut tx = plane.transaction(position(plane, &analyzer.region)?);
    let (accounts, zone) = zone(plane, analyzer).await?;
    let found = if analyzer.kind.is_unused() {
        unused::found(plane, &mut tx, analyzer, &accounts, now_ms).await?
    } else {
        let resources = resources_of(plane, &mut tx, &analyzer.region, &accounts).await?;
        resources.iter().flat_map(|resource| external(resource, &zone)).collect()
    };
    let key = Analyzer::key(&analyzer.account, &analyzer.region, &analyzer.name);
    let Some(mut stored) = tx.get::<Analyzer>(&key).await? else { return Ok(()) };
    let changed = reconcile(plane, &mut tx, &stored, found, now_ms).await?;
    if let Some(last) = changed {
        stored.last_resource = Some(last);
        stored.analyzed_ms = Some(now_ms);
        stored.put(&mut tx)?;
    }
    if tx.has_writes() { tx.commit(Vec::new()).await } else { Ok(()) }
}

/// Compares what is found with what is written down; gives a resource whose findings changed.
async fn reconcile(
    plane: &Plane,
    tx: &mut Transaction,
    analyzer: &Analyzer,
    found: Vec<Found>,
    now_ms: i64,
) -> Result<Option<String>, ApiError> {
    let mut changed = None;
    let mut known: BTreeMap<String, FindingRecord> = BTreeMap::new();
    for finding in finding::stored(tx, analyzer).await? {
        if finding.state == FindingState::Resolved && finding.updated_ms.saturating_add(RESOLVED_MS) < now_ms {
            tx.delete::<FindingRecord>(&FindingRecord::prefix(analyzer).last(&finding.id));
            continue;
        }
        known.insert(finding.identity.clone(), finding);
    }
    for found in found {
        let resource = found.resource.clone();
        let record = match known.remove(&found.identity()) {
            Some(record) if record.state != FindingState::Resolved && record.detail == found.detail && record.error == found.error => {
                continue;
            }
            Some(mut record) => {
                if record.state == FindingState::Resolved {
                    record.state = FindingState::Active;
                }
                record.detail = found.detail;
                record.error = found.error;
                record.analyzed_ms = now_ms;
                record.updated_ms = now_ms;
                record
            }
            None => {
                let mut record = FindingRecord::new(plane.random_uuid()?, found, now_ms);
                if analyzer::archives(analyzer, &record) {
                    record.state = FindingState::Archived;
                }
                record
            }
        };
        record.put(tx, analyzer)?;
        changed = Some(resource);
    }
    for mut gone in known.into_values().filter(|finding| finding.state != FindingState::Resolved) {
        gone.state = FindingState::Resolved;
        gone.updated_ms = now_ms;
        gone.analyzed_ms = now_ms;
        gone.put(tx, analyzer)?;
        changed = Some(gone.resource);
    }
    Ok(changed)
}

/// Whom outside of the zone of trust a resource lets in.
pub(crate) fn external(resource: &Resource, zone: &Zone) -> Vec<Found> {
    let mut found = Vec::new();
    if let Some(attached) = resource.policy.attached() {
        let policy = &attached.policy;
        // S3 cuts everybody outside off a public policy.
        if !(resource.restrict_public_buckets && policy.is_public()) {
            found.extend(external_of_policy(resource, policy, zone));
        }
    }
    for grant in &resource.grants {
        let account = policy::account_of(&grant.grantee);
        if account.is_some_and(|account| !zone.accounts.iter().any(|known| known == account)) {
            let actions = grant.operations.iter().map(|operation| format!("kms:{operation}")).collect();
            let context = grant.encryption_context_equals.iter().chain(&grant.encryption_context_subset).flatten();
            let condition = context.map(|(key, value)| (format!("kms:EncryptionContext:{key}"), value.clone())).collect();
            let principal = BTreeMap::from([("AWS".to_owned(), grant.grantee.clone())]);
            found.push(resource.found(principal, actions, condition, false));
        }
    }
    found.dedup();
    found
}

fn external_of_policy(resource: &Resource, policy: &Policy, zone: &Zone) -> Vec<Found> {
    let mut merged: BTreeMap<String, Found> = BTreeMap::new();
    let public = access::public_access(policy, &[]);
    for (at, statement) in policy.statements().iter().enumerate().filter(|(_, statement)| statement.effect() == Effect::Allow) {
        let PrincipalElement::Only(entries) = statement.principals() else { continue };
        for (entry, principal) in entries.iter().enumerate() {
            let Some(named) = outside(principal, zone, &resource.identities) else { continue };
            let analysis = access::external_access(policy, zone, at, entry, &[]);
            if analysis.is_clear() {
                continue;
            }
            let is_public = principal.is_wildcard() && public.findings.iter().any(|finding| finding.statement == at);
            let (negated, actions) = statement.actions();
            let actions: Vec<String> = if negated { vec!["*".to_owned()] } else { actions.map(str::to_owned).collect() };
            let condition = statement
                .conditions()
                .iter()
                .map(|condition| (condition.key().to_owned(), condition.values().collect::<Vec<_>>().join(",")))
                .collect();
            let mut new = resource.found(named, actions, condition, is_public);
            // What could not be decided is reported: a finding too many is better than one too few.
            new.error = analysis.findings.is_empty().then(|| "INTERNAL_ERROR".to_owned());
            match merged.get_mut(&new.identity()) {
                Some(known) => known.merge(new),
                None => {
                    merged.insert(new.identity(), new);
                }
            }
        }
    }
    merged.into_values().collect()
}

impl Found {
    /// Adds the actions of another finding about the same access.
    fn merge(&mut self, other: Self) {
        let (Detail::External { actions, is_public, .. }, Detail::External { actions: more, is_public: also_public, .. }) =
            (&mut self.detail, other.detail)
        else {
            return;
        };
        for action in more {
            if !actions.contains(&action) {
                actions.push(action);
            }
        }
        *is_public |= also_public;
    }
}

impl Resource {
    fn found(
        &self,
        principal: BTreeMap<String, String>,
        actions: Vec<String>,
        condition: BTreeMap<String, String>,
        is_public: bool,
    ) -> Found {
        let restriction = if self.is_restricted { "APPLICABLE" } else { "NOT_APPLICABLE" };
        Found {
            resource: self.arn.clone(),
            resource_type: self.kind.to_owned(),
            owner: self.owner.clone(),
            detail: Detail::External { principal, actions, condition, is_public, restriction: restriction.to_owned() },
            error: None,
        }
    }
}

/// How a finding names a principal that may be outside of the zone of trust; `None` for services and for what is inside.
fn outside(entry: &PrincipalEntry, zone: &Zone, identities: &HashMap<String, (String, String)>) -> Option<BTreeMap<String, String>> {
    let named = |kind: &str, text: &str| Some(BTreeMap::from([(kind.to_owned(), text.to_owned())]));
    let is_inside = |account: &str| zone.accounts.iter().any(|known| known == account);
    match entry {
        PrincipalEntry::Everybody | PrincipalEntry::AnyAws => named("AWS", "*"),
        PrincipalEntry::Account(account) if !is_inside(account) => named("AWS", account),
        PrincipalEntry::Arn(arn) if !policy::account_of(arn).is_some_and(is_inside) => named("AWS", arn),
        PrincipalEntry::UniqueId(id) => match identities.get(&**id) {
            Some((account, _)) if is_inside(account) => None,
            Some((_, arn)) => named("AWS", arn),
            // The identity is gone: the id opens nothing any more.
            None => None,
        },
        PrincipalEntry::Federated(provider) => named("Federated", provider),
        PrincipalEntry::CanonicalUser(id) => named("CanonicalUser", id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Attached, PolicyKind, PolicySource, ResourceKind};

    fn bucket(statements: &str) -> Resource {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        let policy = Policy::parse_stored(&text, PolicyKind::Resource(ResourceKind::S3Bucket));
        assert_eq!(policy.problem(), None);
        Resource {
            arn: "arn:aws:s3:::b".to_owned(),
            owner: "111111111111".to_owned(),
            kind: "AWS::S3::Bucket",
            policy: ResourcePolicy::Standard(Attached::new("b", PolicySource::Resource, Arc::new(policy))),
            grants: Vec::new(),
            restrict_public_buckets: false,
            is_restricted: false,
            identities: HashMap::new(),
        }
    }

    fn allow(principal: &str, condition: &str) -> String {
        format!(
            r#"{{"Effect":"Allow","Principal":{principal},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{condition}}}"#
        )
    }

    #[test]
    fn who_is_outside() {
        let zone = Zone { accounts: vec!["111111111111".to_owned()], organization: Some("o-1".to_owned()) };
        for (statement, expected) in [
            (allow(r#"{"AWS":"111111111111"}"#, "{}"), None),
            (allow(r#"{"AWS":"222222222222"}"#, "{}"), Some(("222222222222", false))),
            (allow(r#""*""#, "{}"), Some(("*", true))),
            (allow(r#""*""#, r#"{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}"#), None),
            (allow(r#""*""#, r#"{"StringEquals":{"aws:PrincipalOrgID":"o-2"}}"#), Some(("*", false))),
            (allow(r#""*""#, r#"{"StringEquals":{"aws:PrincipalAccount":"111111111111"}}"#), None),
            (allow(r#"{"Service":"sns.amazonaws.com"}"#, "{}"), None),
        ] {
            let found = external(&bucket(&statement), &zone);
            let named = found.first().map(|found| match &found.detail {
                Detail::External { principal, is_public, .. } => (principal.get("AWS").unwrap().as_str(), *is_public),
                other => panic!("{other:?}"),
            });
            assert_eq!(named, expected, "{statement}");
        }
        let denied = format!(
            r#"{},{{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{{"StringNotEquals":{{"aws:PrincipalOrgID":"o-1"}}}}}}"#,
            allow(r#"{"AWS":"222222222222"}"#, "{}")
        );
        assert_eq!(external(&bucket(&denied), &zone), Vec::new());
        let mut cut = bucket(&allow(r#""*""#, "{}"));
        cut.restrict_public_buckets = true;
        assert_eq!(external(&cut, &zone), Vec::new());
    }
}
