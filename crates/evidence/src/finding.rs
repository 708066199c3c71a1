//! What can be wrong.

use serde::Serialize;

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    #[error("the checkpoint of the log is signed by none of the trusted keys")]
    LogUnsigned,
    #[error("the entries of the log do not give the root of its checkpoint at size {size}")]
    LogAltered { size: u64 },
    #[error("the log was set back: a witness saw {witnessed} entries at {time}, it has {size}: entries {size} to {last} are missing")]
    LogSetBack { witnessed: u64, size: u64, last: u64, time: String },
    #[error("the log was rewritten: at {witnessed} entries it is not the one that a witness saw at {time}")]
    LogRewritten { witnessed: u64, time: String },
    #[error("the cosigned checkpoint is of another log: `{origin}`")]
    OtherLog { origin: String },
    #[error("the cosigned checkpoint is signed by none of the trusted witnesses")]
    WitnessUnsigned,
    #[error("the log file `{file}` is missing (delivered at {time}, log entry {leaf})")]
    LogFileMissing { file: String, time: String, leaf: u64 },
    #[error("a log file is missing that no digest names any more (delivered at {time}, log entry {leaf}, SHA-256 {sha256})")]
    UnnamedLogFileMissing { time: String, leaf: u64, sha256: String },
    #[error("the digest file `{file}` is missing (period until {time}, log entry {leaf})")]
    DigestFileMissing { file: String, time: String, leaf: u64 },
    #[error("a digest file is missing (period until {time}, log entry {leaf}, SHA-256 {sha256})")]
    UnnamedDigestFileMissing { time: String, leaf: u64, sha256: String },
    #[error("the file `{file}` was changed after its delivery (log entry {leaf})")]
    FileChanged { file: String, leaf: u64 },
    #[error("the log knows nothing of the file `{file}`")]
    FileUnknown { file: String },
    #[error("the file `{file}` cannot be read: {cause}")]
    FileUnreadable { file: String, cause: String },
    #[error("record {number} of `{file}` is not in the log")]
    RecordUnknown { file: String, number: usize },
    #[error("the signature of the digest file `{file}` does not hold")]
    DigestSignature { file: String },
    #[error("the digest file `{file}` names the key `{fingerprint}`, which is not among the trail's keys")]
    DigestKeyUnknown { file: String, fingerprint: String },
    #[error("the digest file `{file}` does not continue the one before it, `{previous}`")]
    DigestChain { file: String, previous: String },
    #[error("the key `{fingerprint}` is not one that the log states: it was put in place of another")]
    KeyUnknown { fingerprint: String },
    #[error("a signing key that the log states is missing (since {time}, log entry {leaf})")]
    KeyMissing { time: String, leaf: u64 },
}
