//! A channel: where events from outside come in, and which stores they go to.

use api_cloudtrail::{Destination, DestinationType};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use super::error::LakeError;

/// Channels of one account in one region. Source: CloudTrail User Guide, "Quotas in AWS CloudTrail".
pub(crate) const CHANNELS_LIMIT: usize = 25;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Channel {
    pub id: String,
    pub name: String,
    pub account: String,
    pub region: String,
    pub source: String,
    /// ARNs.
    pub stores: Vec<String>,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    #[serde(default)]
    pub ingestion: Ingestion,
}

/// What came of the last events.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ingestion {
    pub success_ms: Option<i64>,
    pub success_event: Option<String>,
    pub error_code: Option<String>,
    pub attempt_ms: Option<i64>,
    pub attempt_event: Option<String>,
}

impl Record for Channel {
    const TABLE: Table = Table("cloudtrail-lake-channel");
    const SCOPE: Scope = Scope::Region;
}

impl Channel {
    pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:{}:cloudtrail:{}:{}:channel/{}", plane::PARTITION, self.region, self.account, self.id)
    }

    pub(crate) fn put(&self, tx: &mut Transaction) -> Result<(), ApiError> {
        tx.put(&Self::key(&self.account, &self.region, &self.id), self)
    }

    pub(crate) fn destinations(&self) -> Vec<Destination> {
        self.stores.iter().map(|store| Destination { type_: DestinationType::EventDataStore, location: store.clone() }).collect()
    }
}

pub(crate) async fn of_account(cx: &mut Call) -> Result<Vec<Channel>, ApiError> {
    let rows = cx.tx.scan::<Channel>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, channel)| channel).collect())
}

/// Account and id of a channel that a caller names by its ARN or its id.
pub(crate) fn place(cx: &Call, reference: &str) -> Result<(String, String), LakeError> {
    let invalid = || LakeError::ChannelArn(reference.to_owned());
    if !reference.starts_with("arn:") {
        let is_id = reference.len() == 36 && reference.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        return if is_id { Ok((cx.account.clone(), reference.to_owned())) } else { Err(invalid()) };
    }
    let mut parts = reference.splitn(6, ':').skip(2);
    let (service, region, account, resource) = (parts.next(), parts.next(), parts.next(), parts.next());
    let id = resource.and_then(|resource| resource.strip_prefix("channel/")).filter(|id| !id.is_empty()).ok_or_else(invalid)?;
    match (service, account) {
        (Some("cloudtrail"), Some(account)) if region == Some(&cx.region) && account.len() == 12 => Ok((account.to_owned(), id.to_owned())),
        (Some("cloudtrail"), _) => Err(LakeError::ChannelMissing(reference.to_owned())),
        _ => Err(invalid()),
    }
}

/// The caller's channel.
pub(crate) async fn find(cx: &mut Call, reference: &str) -> Result<Channel, ApiError> {
    let missing = || LakeError::ChannelMissing(reference.to_owned());
    let (account, id) = place(cx, reference)?;
    if account != cx.account {
        return Err(missing().into());
    }
    cx.tx.get::<Channel>(&Channel::key(&account, &cx.region.clone(), &id)).await?.ok_or_else(|| missing().into())
}
