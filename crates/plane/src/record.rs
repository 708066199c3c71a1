//! Typed records over opaque store rows.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::Table;

use crate::error::ApiError;

/// In which region's store a record lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The partition's home region: global services.
    Home,
    /// The region of the call.
    Region,
}

/// A persisted type. Stored as one schema byte and JSON, sealed.
///
/// JSON and not a positional encoding, because a record outlives the program that wrote it: new members get `#[serde(default)]`, and
/// [`Record::upgrade`] rewrites what changed its meaning. A sample of every schema version stays in the tests.
pub trait Record: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    const TABLE: Table;
    /// Version of the schema that is written.
    const SCHEMA: u8 = 1;
    const SCOPE: Scope;
    /// Whether something in the record must leave memory with its reader. Where that is not so, and it is said here, what was opened is not wiped, and
    /// is kept for the next reader.
    const HOLDS_SECRETS: bool = true;

    /// Writes the record behind its schema byte. It is JSON but for records that are bytes by the thousand.
    fn write(&self, out: &mut Vec<u8>) -> Result<(), ApiError> {
        Ok(serde_json::to_writer(out, self)?)
    }

    /// Reads what [`Record::write`] wrote with the current schema.
    fn read(content: &[u8]) -> Result<Self, ApiError> {
        Ok(serde_json::from_slice(content)?)
    }

    /// Makes the current form of a record that was written with an older schema, which was JSON.
    fn upgrade(_schema: u8, record: serde_json::Value) -> Result<serde_json::Value, ApiError> {
        Ok(record)
    }
}

/// Key of a record: partition, account and region first, so that isolation, export and deletion are range operations.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    bytes: Vec<u8>,
    account: String,
}

const SEPARATOR: u8 = 0;

impl Key {
    /// `region` is empty for records of global services.
    pub fn new(account: &str, region: &str) -> Self {
        let mut key = Self { bytes: Vec::with_capacity(64), account: account.to_owned() };
        for part in [crate::PARTITION, account, region] {
            key.bytes.extend_from_slice(part.as_bytes());
            key.bytes.push(SEPARATOR);
        }
        key
    }

    /// A key that belongs to no account (directories over all accounts).
    pub fn shared() -> Self {
        Self::new("", "")
    }

    /// Adds a segment that more may follow. It must not contain NUL: a NUL is replaced, so that no name can reach into another's range.
    pub fn then(mut self, segment: &str) -> Self {
        self.bytes.extend(segment.bytes().map(|byte| if byte == SEPARATOR { 0xFF } else { byte }));
        self.bytes.push(SEPARATOR);
        self
    }

    /// Adds the last segment, any bytes.
    pub fn last(mut self, segment: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(segment.as_ref());
        self
    }

    pub fn account(&self) -> &str {
        &self.account
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    /// End (exclusive) of the range of all keys that begin with this one.
    pub fn range_end(&self) -> Option<Bytes> {
        prefix_end(&self.bytes)
    }
}

/// The least byte string above all that begin with `prefix`; `None` when there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Bytes> {
    let keep = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut end = prefix.get(..=keep)?.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    Some(end.into())
}

/// Schema byte and content.
pub(crate) fn encode<R: Record>(record: &R) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(R::SCHEMA);
    record.write(&mut bytes)?;
    // A record that was written is given to its next reader as it is: it must be what would be read.
    #[cfg(debug_assertions)]
    if !R::HOLDS_SECRETS {
        check_round_trip::<R>(&bytes)?;
    }
    Ok(bytes)
}

#[cfg(debug_assertions)]
fn check_round_trip<R: Record>(bytes: &[u8]) -> Result<(), ApiError> {
    let mut again = vec![R::SCHEMA];
    decode::<R>(bytes)?.write(&mut again)?;
    // Sets may be written in another order.
    if again.len() == bytes.len() {
        Ok(())
    } else {
        Err(ApiError::internal(&format!("a record of table `{}` is not read as written", R::TABLE.0)))
    }
}

pub(crate) fn decode<R: Record>(bytes: &[u8]) -> Result<R, ApiError> {
    let (schema, json) = bytes.split_first().ok_or_else(|| ApiError::internal(&"a record is empty"))?;
    if *schema == R::SCHEMA {
        return R::read(json);
    }
    if *schema > R::SCHEMA {
        return Err(ApiError::internal(&format!("a record of table `{}` has schema {schema}, newer than this program knows", R::TABLE.0)));
    }
    // By way of text: a second reader for each type, from values, would be megabytes of the server.
    let upgraded = R::upgrade(*schema, serde_json::from_slice(json)?)?;
    Ok(serde_json::from_slice(&serde_json::to_vec(&upgraded)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_of_a_prefix_ends_after_its_last_key() {
        assert_eq!(prefix_end(b"ab").as_deref(), Some(&b"ac"[..]));
        assert_eq!(prefix_end(&[1, 0xFF]).as_deref(), Some(&[2][..]));
        assert_eq!(prefix_end(&[0xFF]), None);
    }

    #[test]
    fn a_name_cannot_reach_into_another_range() {
        let inside = Key::new("111111111111", "").then("a").last("b");
        let forged = Key::new("111111111111", "").then("a\0b");
        assert_ne!(inside.as_bytes().strip_suffix(&[0]), Some(forged.as_bytes()));
        assert!(!forged.as_bytes().starts_with(Key::new("111111111111", "").then("a").as_bytes()));
    }
}
