//! A trail: which events go to which bucket.

use api_cloudtrail::Trail as TrailDescription;
use plane::authorize::compiled;
use plane::service::ResourceAccess;
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use policy::{Attached, PolicyKind, PolicySource, ResourceKind, ResourcePolicy};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::error::TrailError;
use crate::insight_selector::InsightSelector;
use crate::log_group::LogGroup;
use crate::selector::Selectors;
use crate::trail_name::TrailReference;

/// Trails of one account in one region. Source: CloudTrail User Guide, "Quotas in AWS CloudTrail".
pub(crate) const TRAILS_LIMIT: usize = 5;
/// Logging periods that are kept; older ones are long delivered.
const PERIODS_LIMIT: usize = 1_000;

/// From a start to a stop of logging, both inclusive: the calls that start and stop are delivered, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoggingPeriod {
    pub start_ms: i64,
    pub stop_ms: Option<i64>,
}

/// A trail of an account. It lives with the partition's home, because one trail may cover every region.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trail {
    /// Never used again: a trail of the same name that is made later is another one.
    pub id: String,
    pub name: String,
    pub account: String,
    pub home_region: String,
    pub bucket: String,
    /// Where the bucket is: files of every covered region go there.
    pub bucket_region: String,
    #[serde(default)]
    pub prefix: Option<String>,
    pub multi_region: bool,
    pub global_service_events: bool,
    pub log_file_validation: bool,
    /// ARN of the key for SSE-KMS; without one the bucket's default encryption holds.
    #[serde(default)]
    pub kms_key_arn: Option<String>,
    #[serde(default)]
    pub selectors: Selectors,
    /// Id of the organization whose accounts it logs, the management account's own included.
    #[serde(default)]
    pub organization: Option<String>,
    #[serde(default)]
    pub log_group: Option<LogGroup>,
    /// The topic that is told of log files.
    #[serde(default)]
    pub topic_arn: Option<String>,
    #[serde(default)]
    pub insights: Vec<InsightSelector>,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    #[serde(default)]
    pub periods: Vec<LoggingPeriod>,
}

impl Record for Trail {
    const TABLE: Table = Table("cloudtrail-trail");
    const SCOPE: Scope = Scope::Home;
}

/// Finds every trail of the partition, for delivery. Written with its trail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TrailLocation {
    pub account: String,
    pub region: String,
    pub name: String,
}

impl Record for TrailLocation {
    const TABLE: Table = Table("cloudtrail-trail-location");
    const SCOPE: Scope = Scope::Home;
}

impl TrailLocation {
    fn key(arn: &str) -> Key {
        Key::shared().last(arn)
    }
}

impl Trail {
    pub(crate) fn arn(&self) -> String {
        arn(&self.home_region, &self.account, &self.name)
    }

    pub(crate) fn key(account: &str, region: &str, name: &str) -> Key {
        Key::new(account, "").then(region).last(name)
    }

    pub(crate) fn is_logging(&self) -> bool {
        self.periods.last().is_some_and(|period| period.stop_ms.is_none())
    }

    /// Whether events of the region go to this trail.
    pub(crate) fn covers(&self, region: &str) -> bool {
        self.multi_region || self.home_region == region
    }

    /// Whether logging was on at this time.
    pub(crate) fn logged_at(&self, time_ms: i64) -> bool {
        self.periods.iter().any(|period| period.start_ms <= time_ms && period.stop_ms.is_none_or(|stop_ms| time_ms <= stop_ms))
    }

    pub(crate) fn start(&mut self, now_ms: i64) {
        if self.is_logging() {
            return;
        }
        if self.periods.len() >= PERIODS_LIMIT {
            self.periods.remove(0);
        }
        self.periods.push(LoggingPeriod { start_ms: now_ms, stop_ms: None });
    }

    pub(crate) fn stop(&mut self, now_ms: i64) {
        if let Some(period) = self.periods.last_mut()
            && period.stop_ms.is_none()
        {
            period.stop_ms = Some(now_ms);
        }
    }

    /// `prefix/AWSLogs/` or `AWSLogs/`, with the organization's folder below it.
    pub(crate) fn logs_prefix(&self) -> String {
        let prefix = self.prefix.as_ref().map_or_else(String::new, |prefix| format!("{prefix}/"));
        let organization = self.organization.as_ref().map_or_else(String::new, |id| format!("{id}/"));
        format!("{prefix}AWSLogs/{organization}")
    }

    pub(crate) fn put(&self, tx: &mut Transaction) -> Result<(), ApiError> {
        let location = TrailLocation { account: self.account.clone(), region: self.home_region.clone(), name: self.name.clone() };
        tx.put(&Self::key(&self.account, &self.home_region, &self.name), self)?;
        tx.put(&TrailLocation::key(&self.arn()), &location)
    }

    pub(crate) fn delete(&self, tx: &mut Transaction) {
        tx.delete::<Trail>(&Self::key(&self.account, &self.home_region, &self.name));
        tx.delete::<TrailLocation>(&TrailLocation::key(&self.arn()));
    }

    pub(crate) fn describe(&self) -> TrailDescription {
        TrailDescription {
            name: Some(self.name.clone()),
            s3_bucket_name: Some(self.bucket.clone()),
            s3_key_prefix: self.prefix.clone(),
            include_global_service_events: Some(self.global_service_events),
            is_multi_region_trail: Some(self.multi_region),
            home_region: Some(self.home_region.clone()),
            trail_arn: Some(self.arn()),
            log_file_validation_enabled: Some(self.log_file_validation),
            kms_key_id: self.kms_key_arn.clone(),
            has_custom_event_selectors: Some(!self.selectors.is_default()),
            has_insight_selectors: Some(!self.insights.is_empty()),
            is_organization_trail: Some(self.organization.is_some()),
            sns_topic_name: self.topic_arn.as_ref().and_then(|arn| arn.rsplit(':').next()).map(str::to_owned),
            sns_topic_arn: self.topic_arn.clone(),
            cloud_watch_logs_log_group_arn: self.log_group.as_ref().map(|group| group.arn.clone()),
            cloud_watch_logs_role_arn: self.log_group.as_ref().map(|group| group.role_arn.clone()),
            ..TrailDescription::default()
        }
    }
}

pub(crate) fn arn(region: &str, account: &str, name: &str) -> String {
    format!("arn:{}:cloudtrail:{region}:{account}:trail/{name}", plane::PARTITION)
}

/// All trails of the account, in order of region and name.
pub(crate) async fn of_account(cx: &mut Call) -> Result<Vec<Trail>, ApiError> {
    let rows = cx.tx.scan::<Trail>(&Key::new(&cx.account, ""), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, trail)| trail).collect())
}

/// Trails that the account's organization keeps for all its members; none for the management account, whose own they are.
async fn of_organization(cx: &mut Call) -> Result<Vec<Trail>, ApiError> {
    let plane = std::sync::Arc::clone(&cx.plane);
    let Some(view) = plane.organization(&cx.account).await? else { return Ok(Vec::new()) };
    if view.organization.management_account == cx.account {
        return Ok(Vec::new());
    }
    let rows = cx.tx.scan::<Trail>(&Key::new(&view.organization.management_account, ""), None, SCAN_LIMIT).await?;
    let of_organization = |trail: &Trail| trail.organization.as_ref() == Some(&view.organization.id);
    Ok(rows.into_iter().map(|(_, trail)| trail).filter(of_organization).collect())
}

/// All trails that the account sees.
pub(crate) async fn visible(cx: &mut Call) -> Result<Vec<Trail>, ApiError> {
    let mut trails = of_account(cx).await?;
    trails.extend(of_organization(cx).await?);
    Ok(trails)
}

/// All trails of the partition, for delivery.
pub(crate) async fn all(tx: &mut Transaction) -> Result<Vec<Trail>, ApiError> {
    let locations = tx.scan::<TrailLocation>(&Key::shared(), None, SCAN_LIMIT).await?;
    let mut trails = Vec::with_capacity(locations.len());
    for (_, location) in locations {
        trails.extend(tx.get::<Trail>(&Trail::key(&location.account, &location.region, &location.name)).await?);
    }
    Ok(trails)
}

/// The trail that a caller names: of the caller's account, in the region of the call or shadowed there.
pub(crate) async fn find(cx: &mut Call, reference: &str) -> Result<Trail, ApiError> {
    let missing = TrailError::Missing { name: reference.to_owned(), account: cx.account.clone() };
    match TrailReference::parse(reference)? {
        TrailReference::Arn { region, account, name } => {
            if account != cx.account {
                let shared = of_organization(cx).await?.into_iter().find(|trail| trail.arn() == reference && trail.covers(&cx.region));
                return shared.ok_or_else(|| missing.into());
            }
            let found = cx.tx.get::<Trail>(&Trail::key(&account, &region, &name)).await?;
            found.filter(|trail| trail.covers(&cx.region)).ok_or_else(|| missing.into())
        }
        TrailReference::Name(name) => {
            let key = Trail::key(&cx.account, &cx.region, &name);
            if let Some(trail) = cx.tx.get::<Trail>(&key).await? {
                return Ok(trail);
            }
            let shadow = visible(cx).await?.into_iter().find(|trail| trail.covers(&cx.region) && trail.name == name);
            shadow.ok_or_else(|| missing.into())
        }
    }
}

/// What a decision sees of a trail. Members of the organization whose trail it is may name it by its ARN: what they may do with it is up to
/// their own policies, and changes are refused by the operations.
///
/// Source: CloudTrail User Guide, "Creating a trail for an organization": members see the trail and cannot change it.
pub(crate) async fn access(tx: &mut Transaction, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
    let Ok(TrailReference::Arn { region, account, name }) = TrailReference::parse(arn) else { return Ok(None) };
    let Some(trail) = tx.get::<Trail>(&Trail::key(&account, &region, &name)).await? else { return Ok(None) };
    let policy = trail.organization.as_ref().map_or(ResourcePolicy::Absent, |id| {
        let text = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "AWS": "*" },
                "Action": "cloudtrail:*",
                "Resource": arn,
                "Condition": { "StringEquals": { "aws:PrincipalOrgID": id }, "StringNotEquals": { "aws:PrincipalAccount": account } },
            }],
        });
        let kind = PolicyKind::Resource(ResourceKind::Standard);
        ResourcePolicy::new(Attached::new(arn.to_owned(), PolicySource::Resource, compiled(kind, &text.to_string())))
    });
    Ok(Some(ResourceAccess { account, tags: trail.tags, policy, ..ResourceAccess::default() }))
}

/// As [`find`], for changes: those are made in the trail's home region.
pub(crate) async fn find_to_change(cx: &mut Call, reference: &str) -> Result<Trail, ApiError> {
    let trail = find(cx, reference).await?;
    if trail.account != cx.account {
        return Err(TrailError::NotManagementAccount.into());
    }
    if trail.home_region == cx.region {
        return Ok(trail);
    }
    Err(TrailError::HomeRegion { arn: trail.arn(), region: trail.home_region }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logging_periods_hold_their_ends() {
        let mut trail: Trail = serde_json::from_value(serde_json::json!({
            "id": "1", "name": "all", "account": "111111111111", "home_region": "us-east-1", "bucket": "b", "bucket_region": "us-east-1",
            "multi_region": false, "global_service_events": true, "log_file_validation": true,
        }))
        .unwrap();
        assert!(!trail.is_logging() && !trail.logged_at(5));
        trail.start(10);
        trail.start(11);
        assert!(trail.is_logging() && trail.logged_at(10) && !trail.logged_at(9));
        trail.stop(20);
        trail.stop(21);
        assert!(!trail.is_logging() && trail.logged_at(20) && !trail.logged_at(21));
        trail.start(30);
        assert!(trail.logged_at(30) && !trail.logged_at(25) && trail.periods.len() == 2);
        assert!(trail.covers("us-east-1") && !trail.covers("eu-central-1"));
        assert_eq!(trail.logs_prefix(), "AWSLogs/");
    }
}
