//! A query and its answer, as they are kept.

use api_cloudtrail::{DeliveryStatus, QueryStatus};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use super::error::LakeError;

/// Queries and their answers are kept for so long. Source: CloudTrail User Guide, "View query results": seven days.
pub(crate) const KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
/// Queries of one account that may wait or run. Source: CloudTrail User Guide, "Quotas in AWS CloudTrail".
pub(crate) const CONCURRENT_LIMIT: usize = 10;
/// Rows and bytes of one record of an answer.
pub(crate) const CHUNK_ROWS: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Queued,
    Running,
    Finished,
    Failed,
    Cancelled,
    TimedOut,
}

impl State {
    pub(crate) fn of_api(self) -> QueryStatus {
        match self {
            Self::Queued => QueryStatus::Queued,
            Self::Running => QueryStatus::Running,
            Self::Finished => QueryStatus::Finished,
            Self::Failed => QueryStatus::Failed,
            Self::Cancelled => QueryStatus::Cancelled,
            Self::TimedOut => QueryStatus::TimedOut,
        }
    }

    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

/// How the delivery of an answer to a bucket went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Delivery {
    Pending,
    Success,
    Failed,
    FailedSigningFile,
    ResourceNotFound,
    AccessDenied,
    AccessDeniedSigningFile,
    Cancelled,
}

impl Delivery {
    pub(crate) fn of_api(self) -> DeliveryStatus {
        match self {
            Self::Pending => DeliveryStatus::Pending,
            Self::Success => DeliveryStatus::Success,
            Self::Failed => DeliveryStatus::Failed,
            Self::FailedSigningFile => DeliveryStatus::FailedSigningFile,
            Self::ResourceNotFound => DeliveryStatus::ResourceNotFound,
            Self::AccessDenied => DeliveryStatus::AccessDenied,
            Self::AccessDeniedSigningFile => DeliveryStatus::AccessDeniedSigningFile,
            Self::Cancelled => DeliveryStatus::Cancelled,
        }
    }
}

/// Where an answer goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub uri: String,
    pub bucket: String,
    pub bucket_region: String,
    /// Empty, or ends with `/`.
    pub prefix: String,
    pub status: Delivery,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Query {
    pub id: String,
    /// Whose stores it reads.
    pub account: String,
    pub region: String,
    /// The account of whoever started it, for whom its answer is delivered.
    #[serde(default)]
    pub deliverer: Option<String>,
    /// ARNs of the stores that it reads.
    pub stores: Vec<String>,
    pub statement: String,
    #[serde(default)]
    pub parameters: Vec<String>,
    pub state: State,
    pub created_ms: i64,
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub target: Option<Target>,
    /// Widget and refresh of a dashboard that it belongs to.
    #[serde(default)]
    pub alias: Option<String>,
    #[serde(default)]
    pub refresh_id: Option<String>,
    #[serde(default)]
    pub matched_events: u64,
    #[serde(default)]
    pub scanned_events: u64,
    #[serde(default)]
    pub scanned_bytes: u64,
    #[serde(default)]
    pub execution_ms: i64,
    #[serde(default)]
    pub columns: Vec<String>,
    #[serde(default)]
    pub rows: usize,
}

impl Record for Query {
    const TABLE: Table = Table("cloudtrail-lake-query");
    const SCOPE: Scope = Scope::Region;
}

/// A part of an answer. `None` is `NULL`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub rows: Vec<Vec<Option<String>>>,
}

impl Record for Chunk {
    const TABLE: Table = Table("cloudtrail-lake-result");
    const SCOPE: Scope = Scope::Region;
}

/// A query that has not ended, for whoever runs queries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OpenQuery {
    pub account: String,
    pub id: String,
}

impl Record for OpenQuery {
    const TABLE: Table = Table("cloudtrail-lake-open-query");
    const SCOPE: Scope = Scope::Region;
}

pub(crate) fn open_queries(region: &str) -> Key {
    Key::new("", region)
}

impl Query {
    /// A query that waits.
    pub(crate) fn new(id: String, account: &str, region: &str, statement: String, stores: Vec<String>, created_ms: i64) -> Self {
        Self {
            id,
            account: account.to_owned(),
            region: region.to_owned(),
            deliverer: None,
            stores,
            statement,
            parameters: Vec::new(),
            state: State::Queued,
            created_ms,
            error: None,
            target: None,
            alias: None,
            refresh_id: None,
            matched_events: 0,
            scanned_events: 0,
            scanned_bytes: 0,
            execution_ms: 0,
            columns: Vec::new(),
            rows: 0,
        }
    }

    pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    /// The account that the answer is delivered for.
    pub(crate) fn for_account(&self) -> &str {
        self.deliverer.as_deref().unwrap_or(&self.account)
    }

    pub(crate) fn chunks(&self) -> Key {
        Key::new(&self.account, &self.region).then(&self.id)
    }

    /// Writes the query, and the mark that it is open or not.
    pub(crate) fn put(&self, tx: &mut Transaction) -> Result<(), ApiError> {
        let mark = open_queries(&self.region).last(&self.id);
        if self.state.is_open() {
            tx.put(&mark, &OpenQuery { account: self.account.clone(), id: self.id.clone() })?;
        } else {
            tx.delete::<OpenQuery>(&mark);
        }
        tx.put(&Self::key(&self.account, &self.region, &self.id), self)
    }
}

/// The query of this id over stores of an account.
pub(crate) async fn find(cx: &mut Call, owner: &str, id: &str) -> Result<Query, ApiError> {
    let key = Query::key(owner, &cx.region, id);
    let found = cx.tx.get::<Query>(&key).await?.filter(|query| query.created_ms.saturating_add(KEPT_MS) > cx.now.0);
    found.ok_or_else(|| LakeError::QueryMissing(id.to_owned()).into())
}
