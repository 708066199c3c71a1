//! Statements: what the server itself says in its log beside events, so that what it put elsewhere cannot vanish unseen.
//!
//! A delivered file is stated by a hash of its place and a hash of its content. Who holds the files can check them; who only reads the log
//! learns no name. Statements stand in the store's log as entries of format 3:
//! `3 | kind | time, ms since 1970, big-endian i64 | subject (16) | SHA-256 of the name | SHA-256 of the content`, where the subject is the
//! beginning of the SHA-256 of the trail's ARN, and zero for what belongs to no trail.

use bytes::Bytes;
use transparency::Hash;
use transparency::merkle::sha256;

use crate::entry::EntryError;

/// Format byte of a statement.
pub const FORMAT: u8 = 3;
const LENGTH: usize = 2 + 8 + SUBJECT_LENGTH + 32 + 32;
const SUBJECT_LENGTH: usize = 16;

/// Which trail a statement is about.
pub type Subject = [u8; SUBJECT_LENGTH];

/// The subject of a trail's statements.
pub fn subject(trail_arn: &str) -> Subject {
    sha256(trail_arn.as_bytes()).first_chunk().copied().unwrap_or_default()
}

/// What a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatementKind {
    /// A log file that was put. Name: `bucket/key`; content: uncompressed.
    LogFile,
    /// A digest file that was put; the time is the end of its period.
    DigestFile,
    /// A key that signs digest files. Name: its fingerprint; content: the public key in DER form.
    SigningKey,
}

impl StatementKind {
    fn byte(self) -> u8 {
        match self {
            Self::LogFile => 1,
            Self::DigestFile => 2,
            Self::SigningKey => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::LogFile, Self::DigestFile, Self::SigningKey].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// One statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Statement {
    pub kind: StatementKind,
    pub time_ms: i64,
    pub subject: Subject,
    pub name: Hash,
    pub content: Hash,
}

impl Statement {
    pub fn new(kind: StatementKind, time_ms: i64, subject: Subject, name: &str, content: Hash) -> Self {
        Self { kind, time_ms, subject, name: sha256(name.as_bytes()), content }
    }

    /// Bytes for the store's log.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&[FORMAT, self.kind.byte()]);
        bytes.extend_from_slice(&self.time_ms.to_be_bytes());
        bytes.extend_from_slice(&self.subject);
        bytes.extend_from_slice(&self.name);
        bytes.extend_from_slice(&self.content);
        bytes.into()
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        Self::read(bytes).ok_or(EntryError::Malformed)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let ([FORMAT, kind], rest) = bytes.split_first_chunk::<2>()? else { return None };
        let (time_ms, rest) = rest.split_first_chunk::<8>()?;
        let (subject, rest) = rest.split_first_chunk::<SUBJECT_LENGTH>()?;
        let (name, content) = rest.split_first_chunk::<32>()?;
        Some(Self {
            kind: StatementKind::from_byte(*kind)?,
            time_ms: i64::from_be_bytes(*time_ms),
            subject: *subject,
            name: *name,
            content: content.try_into().ok()?,
        })
    }
}
