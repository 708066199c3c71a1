//! Tags of event data stores, channels and dashboards, and what a decision sees of them.

use plane::service::ResourceAccess;
use plane::{ApiError, Call, Transaction};

use super::channel::Channel;
use super::dashboard::Dashboard;
use super::event_data_store::EventDataStore;
use super::resource_policy;

/// What an ARN of ours names.
enum Tagged {
    Store(EventDataStore),
    Channel(Channel),
    Dashboard(Dashboard),
}

impl Tagged {
    fn tags(&mut self) -> &mut Vec<(String, String)> {
        match self {
            Self::Store(store) => &mut store.tags,
            Self::Channel(channel) => &mut channel.tags,
            Self::Dashboard(dashboard) => &mut dashboard.tags,
        }
    }

    fn put(&self, tx: &mut Transaction) -> Result<(), ApiError> {
        match self {
            Self::Store(store) => store.put(tx),
            Self::Channel(channel) => channel.put(tx),
            Self::Dashboard(dashboard) => dashboard.put(tx),
        }
    }

    fn resource_type(&self) -> &'static str {
        match self {
            Self::Store(_) => "AWS::CloudTrail::EventDataStore",
            Self::Channel(_) => "AWS::CloudTrail::Channel",
            Self::Dashboard(_) => "AWS::CloudTrail::Dashboard",
        }
    }
}

/// Region, account, kind and name of an ARN of Lake.
pub(crate) fn parts(arn: &str) -> Option<(&str, &str, &str, &str)> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, region, account, resource) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (kind, name) = resource.split_once('/')?;
    (service == "cloudtrail" && matches!(kind, "eventdatastore" | "channel" | "dashboard")).then_some((region, account, kind, name))
}

/// Whether the ARN is of something of Lake.
pub(crate) fn is_of_lake(arn: &str) -> bool {
    parts(arn).is_some()
}

async fn tagged(tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<Tagged>, ApiError> {
    let Some((of_region, account, kind, name)) = parts(arn) else { return Ok(None) };
    if of_region != region || name.contains('*') {
        return Ok(None);
    }
    Ok(match kind {
        "eventdatastore" => tx.get::<EventDataStore>(&EventDataStore::key(account, region, name)).await?.map(Tagged::Store),
        "channel" => tx.get::<Channel>(&Channel::key(account, region, name)).await?.map(Tagged::Channel),
        _ => tx.get::<Dashboard>(&Dashboard::key(account, region, name)).await?.map(Tagged::Dashboard),
    })
}

/// Whether something of Lake has this ARN.
pub(crate) async fn exists(tx: &mut Transaction, region: &str, arn: &str) -> Result<bool, ApiError> {
    Ok(tagged(tx, region, arn).await?.is_some())
}

/// Reads or changes the tags of something of the caller's.
pub(crate) async fn with_tags<T>(
    cx: &mut Call,
    arn: &str,
    change: impl FnOnce(&mut Vec<(String, String)>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let missing = || ApiError::from(crate::error::TrailError::ResourceMissing(arn.to_owned()));
    let owner = parts(arn).map(|(_, account, _, _)| account.to_owned());
    if owner.as_deref() != Some(&cx.account) {
        return Err(missing());
    }
    let mut tagged = tagged(&mut cx.tx, &cx.region.clone(), arn).await?.ok_or_else(missing)?;
    let before = tagged.tags().clone();
    let done = change(tagged.tags())?;
    if *tagged.tags() != before {
        tagged.put(&mut cx.tx)?;
    }
    Ok(done)
}

/// What a decision sees.
pub(crate) async fn access(tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
    let Some((_, account, _, _)) = parts(arn) else { return Ok(None) };
    let account = account.to_owned();
    let Some(mut found) = tagged(tx, region, arn).await? else { return Ok(None) };
    let resource_type = Some(found.resource_type());
    let tags = std::mem::take(found.tags());
    let policy = resource_policy::of(tx, arn).await?;
    Ok(Some(ResourceAccess { account, tags, policy, resource_type, ..ResourceAccess::default() }))
}
