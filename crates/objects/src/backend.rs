//! The seam to what keeps the ciphertext.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::ObjectError;

/// Name of an object: 32 lower-case hex digits, random.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(String);

impl ObjectName {
    pub(crate) fn from_random(random: [u8; 16]) -> Self {
        Self(hex::encode(random))
    }

    /// Accepts exactly what this crate makes, so that a name never leads anywhere else in the backend.
    pub fn parse(name: &str) -> Result<Self, ObjectError> {
        let is_name = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        is_name.then(|| Self(name.to_owned())).ok_or_else(|| ObjectError::Name(name.chars().take(64).collect()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that holds the object: its first two digits.
    pub(crate) fn folder(&self) -> &str {
        self.0.get(..2).unwrap_or_default()
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An object that a backend holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: ObjectName,
    /// Bytes on disk.
    pub length: u64,
}

/// Keeps ciphertext under names.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Begins an object that nobody sees until it is finished.
    async fn start(&self, name: &ObjectName) -> Result<Box<dyn Upload>, ObjectError>;
    /// Opens an object for reading. Reads go on when it is deleted meanwhile, if the backend can do that.
    async fn open(&self, name: &ObjectName) -> Result<Box<dyn Reader>, ObjectError>;
    /// Deletes an object; a missing one is no error.
    async fn delete(&self, name: &ObjectName) -> Result<(), ObjectError>;
    async fn exists(&self, name: &ObjectName) -> Result<bool, ObjectError>;
    /// All finished objects, in no order.
    fn list(&self) -> BoxStream<'static, Result<Listed, ObjectError>>;
}

/// An object under way. Dropping it unfinished leaves nothing behind that is ever seen.
#[async_trait]
pub trait Upload: Send {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError>;
    /// Makes the object durable, then visible.
    async fn finish(self: Box<Self>) -> Result<(), ObjectError>;
    /// Throws the bytes away.
    async fn abort(self: Box<Self>);
}

/// An open object.
#[async_trait]
pub trait Reader: Send + Sync {
    /// Bytes on disk.
    fn length(&self) -> u64;
    /// The bytes of the range, which is within the length; fewer when the object was cut meanwhile.
    async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ObjectError>;
}
