//! Digest files: each vouches for the log files of one hour, and for the digest before it, under an RSA signature. A log file that came too late
//! for the digest of the time in its name (the bucket took the digest and not the file) is vouched for by a backfill digest of the same hour.
//!
//! Source: CloudTrail User Guide, "CloudTrail digest file structure"; what the aws CLI's `cloudtrail validate-logs` asks of a backfill digest: its
//! name, and the metadata `backfill-generation-timestamp`. That backfill digests continue each other as the others do is our reading of it.

use std::collections::BTreeMap;

use ::trail::statement::subject;
use ::trail::{Statement, StatementKind};
use plane::ApiError;
use plane::clock::iso8601_s;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use transparency::merkle::sha256;

use crate::delivery::{Course, DeliveredFile, gzip, sha256_hex};
use crate::path;
use crate::signing_key::{self, SigningKey};

/// Between two digests.
const PERIOD_MS: i64 = 3_600_000;
/// Digests in one round, when the server was down for a while.
const ROUND_DIGESTS: usize = 200;
const SECOND_MS: i64 = 1000;

/// The time that a digest covers, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DigestPeriod {
    pub start_ms: i64,
    pub end_ms: i64,
}

/// What the next digests will say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct DigestChain {
    /// Beginning of the hour that the next digest covers; `None`: the chain rests since logging was stopped.
    #[serde(default)]
    pub start_ms: Option<i64>,
    #[serde(default)]
    pub files: Vec<DeliveredFile>,
    #[serde(default)]
    pub previous: Option<PreviousDigest>,
    #[serde(default)]
    pub delivered_ms: Option<i64>,
    #[serde(default)]
    pub error: Option<String>,
    /// End of the last digest. The next one begins no earlier, also when the clock was set back: names and hours are never used twice.
    #[serde(default)]
    pub end_ms: Option<i64>,
    /// The stop of logging that the last digest was the final one of.
    #[serde(default)]
    pub ended_ms: Option<i64>,
    /// Files that the next backfill digests vouch for, with the digests that left them out, oldest first.
    #[serde(default)]
    pub late: Vec<(DigestPeriod, DeliveredFile)>,
    #[serde(default)]
    pub previous_backfill: Option<PreviousDigest>,
}

/// The digest that the next one names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreviousDigest {
    pub bucket: String,
    pub key: String,
    pub hash: String,
    pub signature: String,
}

impl DigestChain {
    /// Notes a file for the next digest, or for a backfill of the one that left it out.
    pub(crate) fn add(&mut self, file: DeliveredFile, left_out_of: Option<DigestPeriod>) {
        match left_out_of {
            Some(period) => self.late.push((period, file)),
            None => self.files.push(file),
        }
    }
}

/// A digest that is to be signed and put.
struct Draft<'a> {
    period: DigestPeriod,
    key: String,
    files: Vec<&'a DeliveredFile>,
    previous: Option<&'a PreviousDigest>,
    is_backfill: bool,
}

impl Course<'_> {
    /// Writes the digests that are due: one for each full hour, one when logging was stopped, one when the operator asks, and those of late files.
    pub(crate) async fn deliver_digests(&self) -> Result<(), ApiError> {
        for _ in 0..ROUND_DIGESTS {
            if !self.deliver_digest().await? {
                break;
            }
        }
        for _ in 0..ROUND_DIGESTS {
            if !self.deliver_backfill_digest().await? {
                break;
            }
        }
        Ok(())
    }

    /// Until when the next digest reaches. `None`: it is not due.
    fn due(&self, start_ms: i64, ended_ms: Option<i64>) -> Option<i64> {
        let now_ms = self.now_ms();
        let hour_ms = start_ms.saturating_add(PERIOD_MS);
        let stop_ms = self.trail.periods.last().and_then(|period| period.stop_ms).filter(|stop_ms| ended_ms != Some(*stop_ms));
        if now_ms >= hour_ms && stop_ms.is_none_or(|stop_ms| hour_ms <= stop_ms) {
            return Some(hour_ms);
        }
        // A stop in this very second still needs an end behind the start.
        let least_ms = start_ms.saturating_add(SECOND_MS);
        if let Some(stop_ms) = stop_ms {
            return Some(stop_ms.max(least_ms));
        }
        (self.now_please && now_ms >= least_ms).then_some(now_ms)
    }

    /// Writes the next digest, or the key that signs it. `false`: none is due.
    async fn deliver_digest(&self) -> Result<bool, ApiError> {
        let (mut tx, mut delivery) = self.open().await?;
        let chain = &delivery.digests;
        let logging = self.trail.periods.last().copied();
        let rests = logging.is_none_or(|period| period.stop_ms.is_some() && period.stop_ms == chain.ended_ms);
        if rests && chain.files.is_empty() {
            return Ok(false);
        }
        let start_ms =
            chain.start_ms.or_else(|| logging.map(|period| period.start_ms)).unwrap_or_default().max(chain.end_ms.unwrap_or(i64::MIN))
                / SECOND_MS
                * SECOND_MS;
        let Some(end_ms) = self.due(start_ms, chain.ended_ms).map(|end_ms| end_ms / SECOND_MS * SECOND_MS) else {
            return Ok(false);
        };
        let period = DigestPeriod { start_ms, end_ms };
        let (signing, is_new) = signing_key::current(&mut tx, self.region, self.now_ms()).await?;
        if is_new {
            // Nothing is signed with a key before it is committed: of two that deliver at once, one would put a digest that the trail's keys
            // do not verify. Whoever's key it is, the next attempt finds it.
            self.close_with(tx, &delivery, &[signing.statement()?]).await?;
            return Ok(true);
        }
        let key = path::digest(self.trail, (self.account, self.region), end_ms)?;
        let draft = Draft { period, key, files: chain.files.iter().collect(), previous: chain.previous.as_ref(), is_backfill: false };
        let result = self.sign_and_put(&draft, &signing).await;
        let chain = &mut delivery.digests;
        let mut statements = Vec::new();
        let delivered = match result {
            Ok((digest, statement)) => {
                statements.push(statement);
                let stopped_ms = logging.and_then(|period| period.stop_ms).filter(|stop_ms| end_ms >= stop_ms / SECOND_MS * SECOND_MS);
                chain.files.clear();
                chain.previous = Some(digest);
                chain.end_ms = Some(end_ms);
                chain.delivered_ms = Some(self.now_ms());
                chain.error = None;
                chain.start_ms = if stopped_ms.is_some() { None } else { Some(end_ms) };
                chain.ended_ms = stopped_ms.or(chain.ended_ms);
                // What the bucket has not taken so far is not in the digest of its time.
                if let Some(in_flight) = &mut delivery.in_flight
                    && in_flight.named_ms < end_ms
                {
                    in_flight.left_out_of.get_or_insert(period);
                }
                true
            }
            Err(error) => {
                chain.error = Some(error.code.to_string());
                false
            }
        };
        Ok(self.close_with(tx, &delivery, &statements).await? && delivered)
    }

    /// Writes the next backfill digest. `false`: no file is late, or it must wait.
    async fn deliver_backfill_digest(&self) -> Result<bool, ApiError> {
        let (mut tx, mut delivery) = self.open().await?;
        let chain = &delivery.digests;
        let Some((period, _)) = chain.late.first().cloned() else { return Ok(false) };
        let (signing, is_new) = signing_key::current(&mut tx, self.region, self.now_ms()).await?;
        if is_new {
            self.close_with(tx, &delivery, &[signing.statement()?]).await?;
            return Ok(true);
        }
        let key = path::backfill_digest(self.trail, (self.account, self.region), period.end_ms)?;
        let files = chain.late.iter().filter(|(of, _)| *of == period).map(|(_, file)| file).collect();
        let draft = Draft { period, key, files, previous: chain.previous_backfill.as_ref(), is_backfill: true };
        let result = self.sign_and_put(&draft, &signing).await;
        let chain = &mut delivery.digests;
        let mut statements = Vec::new();
        let delivered = match result {
            Ok((digest, statement)) => {
                statements.push(statement);
                chain.late.retain(|(of, _)| *of != period);
                chain.previous_backfill = Some(digest);
                chain.delivered_ms = Some(self.now_ms());
                chain.error = None;
                true
            }
            Err(error) => {
                chain.error = Some(error.code.to_string());
                false
            }
        };
        Ok(self.close_with(tx, &delivery, &statements).await? && delivered)
    }

    /// Put before the commit: a crash between writes the same digest again, with the same name and content.
    async fn sign_and_put(&self, draft: &Draft<'_>, signing: &SigningKey) -> Result<(PreviousDigest, Statement), ApiError> {
        let (bucket, key, end_ms) = (&self.trail.bucket, &draft.key, draft.period.end_ms);
        let text = self.digest_json(draft, &signing.fingerprint).to_string();
        let hash = sha256_hex(text.as_bytes());
        let previous = draft.previous.map_or("null", |previous| previous.signature.as_str());
        let signature = signing.sign(&format!("{}\n{bucket}/{key}\n{hash}\n{previous}", iso8601_s(end_ms)))?;
        let mut metadata =
            BTreeMap::from([("signature".to_owned(), signature.clone()), ("signature-algorithm".to_owned(), "SHA256withRSA".to_owned())]);
        if draft.is_backfill {
            metadata.insert("backfill-generation-timestamp".to_owned(), iso8601_s(self.now_ms()));
        }
        self.put(key, gzip(text.as_bytes())?, metadata).await?;
        let name = format!("{bucket}/{key}");
        let statement = Statement::new(StatementKind::DigestFile, end_ms, subject(&self.trail.arn()), &name, sha256(text.as_bytes()));
        Ok((PreviousDigest { bucket: bucket.clone(), key: key.clone(), hash, signature }, statement))
    }

    fn digest_json(&self, draft: &Draft<'_>, fingerprint: &str) -> Json {
        let Draft { period, key, files, previous, .. } = draft;
        let listed = files.iter().map(|file| {
            json!({
                "s3Bucket": file.bucket,
                "s3Object": file.key,
                "hashValue": file.hash,
                "hashAlgorithm": "SHA-256",
                "newestEventTime": iso8601_s(file.newest_ms),
                "oldestEventTime": iso8601_s(file.oldest_ms),
            })
        });
        json!({
            "awsAccountId": self.account,
            "digestStartTime": iso8601_s(period.start_ms),
            "digestEndTime": iso8601_s(period.end_ms),
            "digestS3Bucket": self.trail.bucket,
            "digestS3Object": key,
            "digestPublicKeyFingerprint": fingerprint,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": files.iter().map(|file| file.newest_ms).max().map(iso8601_s),
            "oldestEventTime": files.iter().map(|file| file.oldest_ms).min().map(iso8601_s),
            "previousDigestS3Bucket": previous.map(|previous| &previous.bucket),
            "previousDigestS3Object": previous.map(|previous| &previous.key),
            "previousDigestHashValue": previous.map(|previous| &previous.hash),
            "previousDigestHashAlgorithm": previous.map(|_| "SHA-256"),
            "previousDigestSignature": previous.map(|previous| &previous.signature),
            "logFiles": listed.collect::<Vec<_>>(),
        })
    }
}
