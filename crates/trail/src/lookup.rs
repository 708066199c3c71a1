//! Finding events: newest first, by time range and at most one attribute, as `LookupEvents` does.
//!
//! [`lookup`] walks the log and opens what it meets: for a store without a ledger, such as a backup, and as the measure of what the ledger's
//! index ([`crate::Ledger::lookup`]) must find.

use store::{Revision, Store, StoreError};

use crate::entry::{Entry, EntryError, Sealer};
use crate::event::NETWORK_ACTIVITY;
use crate::tag::INSIGHT;

/// Rows read from the store at a time.
const ROWS: u32 = 256;

/// What to look for. Source: CloudTrail API reference, `LookupEvents` and `LookupAttribute`.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub account: String,
    /// Inclusive, milliseconds since 1970.
    pub start_ms: Option<i64>,
    pub end_ms: Option<i64>,
    /// Attribute key and value, e.g. (`EventName`, `CreateKey`). `RequestId` is ours.
    pub attribute: Option<(String, String)>,
    /// Only calls that a policy denied.
    pub denied_only: bool,
    /// Insights instead of calls.
    pub insights: bool,
}

/// A page, and where the next one begins.
#[derive(Debug, Default)]
pub struct LookupPage {
    pub entries: Vec<Entry>,
    /// Position of the last entry given: revision and index in its row.
    pub next: Option<(u64, u32)>,
}

/// The lookup cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Entry(#[from] EntryError),
}

/// Walks the log backwards from `after` (the position that the last page ended with) and gives at most `limit` entries that match.
pub async fn lookup(
    store: &dyn Store,
    sealer: &dyn Sealer,
    filter: &Filter,
    after: Option<(u64, u32)>,
    limit: usize,
) -> Result<LookupPage, LookupError> {
    let mut page = LookupPage::default();
    // The row of `after` itself is read again, for the entries that stand before it.
    let mut before = after.map(|(revision, _)| Revision(revision.saturating_add(1)));
    loop {
        let rows = store.log_before(before, ROWS).await?;
        let Some(last) = rows.last() else {
            page.next = None;
            return Ok(page);
        };
        before = Some(last.revision);
        for row in &rows {
            for (index, bytes) in row.entries.iter().enumerate().rev() {
                let position = (row.revision.0, u32::try_from(index).unwrap_or(u32::MAX));
                if after.is_some_and(|after| position >= after) || !header_matches(filter, bytes)? {
                    continue;
                }
                let entry = Entry::open(bytes, sealer)?;
                if !matches(filter, &entry) {
                    continue;
                }
                if page.entries.len() == limit {
                    return Ok(page);
                }
                page.entries.push(entry);
                page.next = (page.entries.len() == limit).then_some(position);
            }
        }
    }
}

pub(crate) fn header_matches(filter: &Filter, bytes: &[u8]) -> Result<bool, EntryError> {
    let header = Entry::header(bytes)?;
    Ok(header.account == filter.account
        && filter.start_ms.is_none_or(|start| header.time_ms >= start)
        && filter.end_ms.is_none_or(|end| header.time_ms <= end))
}

/// Whether the event is one that is asked for; its account and time were looked at before.
pub(crate) fn matches(filter: &Filter, entry: &Entry) -> bool {
    let event = &entry.record;
    // Those of network activity are for trails and event data stores that want them; the calls themselves are found here.
    if event.event_category == NETWORK_ACTIVITY {
        return false;
    }
    if filter.denied_only && !entry.is_denied() || filter.insights != (event.event_category == INSIGHT) {
        return false;
    }
    let Some((key, value)) = &filter.attribute else {
        return true;
    };
    match key.as_str() {
        "EventId" => event.event_id == *value,
        "RequestId" => event.request_id == *value,
        "EventName" => event.event_name == *value,
        "ReadOnly" => event.read_only.to_string() == value.to_ascii_lowercase(),
        "Username" => event.user_name() == Some(value),
        "ResourceType" => event.resources.iter().any(|resource| resource.resource_type.as_deref() == Some(value)),
        "ResourceName" => event.resources.iter().any(|resource| resource.arn == *value || resource_name(&resource.arn) == value),
        "EventSource" => event.event_source == *value,
        "AccessKeyId" => event.user_identity.access_key_id.as_deref() == Some(value),
        _ => false,
    }
}

/// The name behind the last `/` or `:` of an ARN.
pub fn resource_name(arn: &str) -> &str {
    arn.rsplit(['/', ':']).next().unwrap_or(arn)
}
