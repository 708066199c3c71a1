//! Finding personal data and secrets in text.
//!
//! What it is: detectors for the 31 entity types of Amazon Bedrock Guardrails, with the checksum or format rule of each type that has one, and
//! user-given patterns that run in linear time.
//! What it is not: a language model. Numbers with rules of their own are found reliably. `NAME`, `ADDRESS`, `USERNAME`, `LICENSE_PLATE` and
//! `DRIVER_ID` have no such rule: they are found in telling contexts only (a title, "my name is", a known given name before a surname, a
//! street word after a house number) and **most names and addresses outside such contexts are missed**. Do not rely on them alone.
//!
//! Invariants: offsets are byte offsets on character boundaries; findings do not overlap and are sorted; the same text gives the same findings;
//! time is linear in the text, whose length is limited; nothing panics.

mod checksum;
mod context;
mod detector;
mod kind;
mod names;
mod rules;
mod user_pattern;

pub use detector::{Finding, INPUT_BYTES_MAX, InputTooLong, find};
pub use kind::{Kind, KindSet};
pub use user_pattern::{PATTERN_LENGTH_MAX, PatternError, UserPattern};
