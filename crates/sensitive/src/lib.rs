//! Finding personal data and secrets in text.
//!
//! What it is: detectors for the 31 entity types of Amazon Bedrock Guardrails, with the checksum or format rule of each type that has one, and
//! user-given patterns that run in linear time.
//! What it is not: a language model. Numbers with rules of their own are found reliably. `NAME` is found by lists of given and family names
//! (`data/names.txt`, made by `scripts/make_names.py`) and by titles, introductions and verbs around capitals; `ADDRESS` by the forms that addresses
//! have in their countries; `PASSWORD` also covers tokens, keys and private keys. `USERNAME`, `LICENSE_PLATE` and `DRIVER_ID` are found in telling
//! contexts only. **Names that no list has and nothing introduces are missed, and so are most names in lower case.** Do not rely on them alone.
//!
//! Invariants: offsets are byte offsets on character boundaries; findings do not overlap and are sorted; the same text gives the same findings;
//! time is linear in the text, whose length is limited; nothing panics.
//!
//! # What it is worth
//! `cargo run --release -p sensitive --example measure -- PII GUARDRAILS` measures it; the program says how places are compared. The rules were
//! written while the mistakes on these very sets were read, so **the figures are optimistic**; the lists of names were not made from them.
//!
//! | type | 1,770 sentences of presidio-research (templates filled in) | values planted in memos, prose and tables |
//! | --- | --- | --- |
//! | `NAME` | precision 0.957, recall 0.695 of 1,149 | 0.885 (most of the rest are given names alone, which are not labelled), 0.953 of 322 |
//! | `ADDRESS` | 1.000, 0.804 of 591 | 1.000, 0.994 of 162 |
//! | `PHONE` | 1.000, 0.953 of 85 | 0.962, 1.000 of 75 |
//! | `PASSWORD` | | 0.987, 1.000 of 64; in 18 of 22 foreign files with a key or token |
//! | `EMAIL`, `URL`, `IP_ADDRESS`, `INTERNATIONAL_BANK_ACCOUNT_NUMBER`, `US_SOCIAL_SECURITY_NUMBER` | all found, none wrong | |
//! | `CREDIT_DEBIT_CARD_NUMBER` | 1.000, 0.990 of 198 | 0.811 (public test numbers count as wrong), 1.000 of 12 |
//! | `AWS_SECRET_KEY` | | 1.000, 0.875 of 8 (the eighth is found as `PASSWORD`) |
//!
//! Of 1,000 ordinary requests 0.6 (BANKING77) and 2.7 (CLINC150, nearly all of them "call me" with a name) have a `NAME`; news and film texts have
//! many. `AGE` also takes durations for ages ("10 years"). All types together take 0.074 ms for 1,000 characters of ordinary requests, 0.150 ms for
//! the sentences above (median, one core of a busy machine).

mod address;
mod checksum;
mod context;
mod detector;
mod kind;
mod names;
mod rules;
mod secret;
mod user_pattern;

pub use detector::{Finding, INPUT_BYTES_MAX, InputTooLong, find};
pub use kind::{Kind, KindSet};
pub use user_pattern::{PATTERN_LENGTH_MAX, PatternError, UserPattern};
