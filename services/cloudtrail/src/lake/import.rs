//! An import: log files of a trail's bucket, copied into an event data store.

use api_cloudtrail::{ImportSource, ImportStatistics, ImportStatus, S3ImportSource};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use super::error::LakeError;

/// Failures that are kept of one import; it goes on beyond them.
pub(crate) const FAILURES_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    Initializing,
    #[serde(rename = "InProgress")]
    Running,
    Failed,
    Stopped,
    Completed,
}

impl Progress {
    pub(crate) fn of_api(self) -> ImportStatus {
        match self {
            Self::Initializing => ImportStatus::Initializing,
            Self::Running => ImportStatus::InProgress,
            Self::Failed => ImportStatus::Failed,
            Self::Stopped => ImportStatus::Stopped,
            Self::Completed => ImportStatus::Completed,
        }
    }

    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Initializing | Self::Running)
    }
}

/// A file or folder that could not be imported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImportFailure {
    pub location: String,
    pub error_type: String,
    pub message: String,
    pub at_ms: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Import {
    pub id: String,
    pub account: String,
    pub region: String,
    pub store_arn: String,
    pub uri: String,
    pub bucket: String,
    pub prefix: String,
    pub bucket_region: String,
    pub role_arn: String,
    #[serde(default)]
    pub start_ms: Option<i64>,
    #[serde(default)]
    pub end_ms: Option<i64>,
    pub status: Progress,
    pub created_ms: i64,
    pub updated_ms: i64,
    /// The last file that was looked at.
    #[serde(default)]
    pub cursor: Option<String>,
    #[serde(default)]
    pub files: u64,
    #[serde(default)]
    pub events: u64,
    #[serde(default)]
    pub failed: u64,
    #[serde(default)]
    pub failures: Vec<ImportFailure>,
}

impl Record for Import {
    const TABLE: Table = Table("cloudtrail-lake-import");
    const SCOPE: Scope = Scope::Region;
}

/// An import that has not ended, for whoever runs imports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OpenImport {
    pub account: String,
    pub id: String,
}

impl Record for OpenImport {
    const TABLE: Table = Table("cloudtrail-lake-open-import");
    const SCOPE: Scope = Scope::Region;
}

impl Import {
    pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    pub(crate) fn put(&self, tx: &mut Transaction) -> Result<(), ApiError> {
        let mark = Key::new("", &self.region).last(&self.id);
        if self.status.is_open() {
            tx.put(&mark, &OpenImport { account: self.account.clone(), id: self.id.clone() })?;
        } else {
            tx.delete::<OpenImport>(&mark);
        }
        tx.put(&Self::key(&self.account, &self.region, &self.id), self)
    }

    pub(crate) fn source(&self) -> ImportSource {
        ImportSource {
            s3: S3ImportSource {
                s3_location_uri: self.uri.clone(),
                s3_bucket_region: self.bucket_region.clone(),
                s3_bucket_access_role_arn: self.role_arn.clone(),
            },
        }
    }

    pub(crate) fn statistics(&self) -> ImportStatistics {
        let signed = |number: u64| Some(i64::try_from(number).unwrap_or(i64::MAX));
        ImportStatistics {
            prefixes_found: Some(1),
            prefixes_completed: Some(i64::from(self.status == Progress::Completed)),
            files_completed: signed(self.files),
            events_completed: signed(self.events),
            failed_entries: signed(self.failed),
        }
    }

    /// Notes a failure; the oldest stay.
    pub(crate) fn fail(&mut self, key: &str, error_type: &str, message: String, at_ms: i64) {
        self.failed = self.failed.saturating_add(1);
        if self.failures.len() < FAILURES_MAX {
            let location = format!("s3://{}/{key}", self.bucket);
            self.failures.push(ImportFailure { location, error_type: error_type.to_owned(), message, at_ms });
        }
    }
}

pub(crate) async fn of_account(cx: &mut Call) -> Result<Vec<Import>, ApiError> {
    let rows = cx.tx.scan::<Import>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, import)| import).collect())
}

/// Whether an import has not ended: into this store, or any.
pub(crate) async fn is_ongoing(cx: &mut Call, store_arn: Option<&str>) -> Result<bool, ApiError> {
    let imports = of_account(cx).await?;
    Ok(imports.iter().any(|import| import.status.is_open() && store_arn.is_none_or(|arn| import.store_arn == arn)))
}

pub(crate) async fn find(cx: &mut Call, id: &str) -> Result<Import, ApiError> {
    let key = Import::key(&cx.account, &cx.region, id);
    cx.tx.get::<Import>(&key).await?.ok_or_else(|| LakeError::ImportMissing(id.to_owned()).into())
}
