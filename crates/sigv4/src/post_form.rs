//! Browser uploads with a signed POST policy.
//!
//! Source: S3 API reference, "Authenticating Requests in Browser-Based Uploads Using POST" and "POST Policy".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use crate::ALGORITHM;
use crate::claim::Mismatch;
use crate::credential::Credential;
use crate::error::{Field, SignatureError};
use crate::key::{Signature, SigningKey};
use crate::reply::Reply;
use crate::timestamp::parse_timestamp;

/// Longest policy that is read, bytes of base64. S3 allows 20 KB for a form without its file.
const POLICY_LENGTH_MAX: usize = 20 * 1024;
/// Most conditions.
const CONDITIONS_MAX: usize = 256;

/// The signature of a POST form that was read but not yet verified.
#[derive(Clone, Debug)]
pub struct PostForm<'a> {
    /// Who signed, for when and where.
    pub credential: Credential<'a>,
    /// When the policy was signed.
    pub time: Timestamp,
    /// The session token of temporary credentials.
    pub session_token: Option<&'a str>,
    date_text: &'a str,
    policy_base64: &'a str,
    signature_text: &'a str,
}

impl<'a> PostForm<'a> {
    /// Reads the signature from the form's fields (names in any case, values without the file's content). `None` is an anonymous form: it has
    /// neither a policy nor a signature.
    pub fn parse(fields: &'a [(String, String)]) -> Result<Option<Self>, SignatureError> {
        let field = |name: &str| fields.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        let (policy, signature) = (field("policy"), field("x-amz-signature"));
        if policy.is_none() && signature.is_none() && field("x-amz-credential").is_none() {
            return Ok(None);
        }
        let (Some(policy_base64), Some(signature_text), Some(algorithm), Some(credential), Some(date_text)) =
            (policy, signature, field("x-amz-algorithm"), field("x-amz-credential"), field("x-amz-date"))
        else {
            let names = ["policy", "x-amz-signature", "x-amz-algorithm", "x-amz-credential", "x-amz-date"];
            let missing = names.into_iter().filter(|name| field(name).is_none()).collect();
            return Err(SignatureError::IncompleteQuery { missing });
        };
        let given = || credential.chars().take(256).collect::<String>();
        if algorithm != ALGORITHM {
            let given = algorithm.chars().take(64).collect();
            return Err(SignatureError::UnsupportedAlgorithm { field: Field::Form, given });
        }
        let credential = Credential::parse(credential.into())
            .ok_or_else(|| SignatureError::MalformedCredential { field: Field::Form, given: given() })?;
        let time = parse_timestamp(date_text).ok_or(SignatureError::InvalidDate { field: Field::Form })?;
        let session_token = field("x-amz-security-token");
        Ok(Some(Self { credential, time, session_token, date_text, policy_base64, signature_text }))
    }

    /// Compares the credential scope with the endpoint.
    pub fn check_scope(&self, regions: &[&str], services: &[&str]) -> Result<(), SignatureError> {
        let faults = self.credential.check_scope(self.date_text.get(..8).unwrap_or_default(), regions, services);
        if faults.is_empty() {
            return Ok(());
        }
        Err(SignatureError::Scope { field: Field::Form, faults, time: self.date_text.to_owned() })
    }

    /// Verifies the signature over the base64 policy.
    pub fn verify(&self, key: &SigningKey) -> Result<(), Mismatch> {
        if Signature::parse(self.signature_text) == Some(key.sign(self.policy_base64.as_bytes())) {
            return Ok(());
        }
        Err(Mismatch {
            access_key_id: self.credential.access_key_id().to_owned(),
            signature_provided: self.signature_text.chars().take(256).collect(),
            canonical_request: String::new(),
            string_to_sign: self.policy_base64.chars().take(POLICY_LENGTH_MAX).collect(),
        })
    }

    /// Reads the policy.
    pub fn policy(&self) -> Result<PostPolicy, PolicyDenial> {
        PostPolicy::parse(self.policy_base64)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Equal { name: String, value: String },
    StartsWith { name: String, prefix: String },
    Length { least: u64, most: u64 },
}

/// A POST policy: until when and under which conditions a form is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostPolicy {
    /// The end of its validity.
    pub expiration: Timestamp,
    conditions: Vec<Condition>,
}

/// Why a form does not satisfy its policy.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PolicyDenial {
    #[error("the policy document is malformed: {reason}")]
    Malformed { reason: String },
    #[error("the policy has expired")]
    Expired,
    #[error("the policy's condition `{condition}` fails")]
    ConditionFailed { condition: String },
    #[error("the policy has no condition for `{names}`")]
    ExtraFields { names: String },
    #[error("the upload of {size_bytes} bytes is larger than {most_bytes} bytes")]
    TooLarge { size_bytes: u64, most_bytes: u64 },
    #[error("the upload of {size_bytes} bytes is smaller than {least_bytes} bytes")]
    TooSmall { size_bytes: u64, least_bytes: u64 },
}

impl PolicyDenial {
    /// The answer of S3.
    pub fn reply(&self) -> Reply {
        let denied = |text: String| ("AccessDenied", 403, format!("Invalid according to Policy: {text}"), Vec::new());
        let (code, status, message, details) = match self {
            Self::Malformed { reason } => ("InvalidPolicyDocument", 400, format!("Invalid Policy: {reason}"), Vec::new()),
            Self::Expired => denied("Policy expired.".to_owned()),
            Self::ConditionFailed { condition } => denied(format!("Policy Condition failed: {condition}")),
            Self::ExtraFields { names } => denied(format!("Extra input fields: {names}")),
            Self::TooLarge { size_bytes, most_bytes } => (
                "EntityTooLarge",
                400,
                "Your proposed upload exceeds the maximum allowed size".to_owned(),
                vec![("ProposedSize", size_bytes.to_string()), ("MaxSizeAllowed", most_bytes.to_string())],
            ),
            Self::TooSmall { size_bytes, least_bytes } => (
                "EntityTooSmall",
                400,
                "Your proposed upload is smaller than the minimum allowed size".to_owned(),
                vec![("ProposedSize", size_bytes.to_string()), ("MinSizeAllowed", least_bytes.to_string())],
            ),
        };
        Reply { code, status, message, details }
    }
}

fn malformed(reason: &str) -> PolicyDenial {
    PolicyDenial::Malformed { reason: reason.to_owned() }
}

impl PostPolicy {
    /// Reads a base64 policy document.
    pub fn parse(policy_base64: &str) -> Result<Self, PolicyDenial> {
        if policy_base64.len() > POLICY_LENGTH_MAX {
            return Err(malformed("the policy is too long."));
        }
        let compact: String = policy_base64.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        let bytes = STANDARD.decode(compact).map_err(|_| malformed("Invalid Base64."))?;
        let document: Value = serde_json::from_slice(&bytes).map_err(|_| malformed("Invalid JSON."))?;
        let expiration = document.get("expiration").and_then(Value::as_str);
        let expiration = expiration.ok_or_else(|| malformed("Policy missing expiration."))?;
        let expiration = expiration.parse().map_err(|_| malformed("Invalid 'expiration' value."))?;
        let list = document.get("conditions").and_then(Value::as_array);
        let list = list.ok_or_else(|| malformed("Policy missing conditions."))?;
        if list.len() > CONDITIONS_MAX {
            return Err(malformed("Too many conditions."));
        }
        let mut conditions = Vec::with_capacity(list.len());
        for entry in list {
            read_condition(entry, &mut conditions)?;
        }
        Ok(Self { expiration, conditions })
    }

    /// The allowed size of the upload, bytes, if the policy bounds it.
    pub fn content_length_range(&self) -> Option<(u64, u64)> {
        self.conditions.iter().fold(None, |range, condition| match condition {
            Condition::Length { least, most } => {
                let (low, high) = range.unwrap_or((0, u64::MAX));
                Some((low.max(*least), high.min(*most)))
            }
            _ => range,
        })
    }

    /// Checks expiration, every condition, and that every field is covered. `bucket` is the one of the URL; `content_type` of the fields is read
    /// as a comma list for `starts-with`. The size is checked by [`PostPolicy::check_length`], when it is known.
    pub fn check(&self, fields: &[(String, String)], bucket: &str, now: Timestamp) -> Result<(), PolicyDenial> {
        if now >= self.expiration {
            return Err(PolicyDenial::Expired);
        }
        let value_of = |name: &str| {
            if name == "bucket" {
                return Some(bucket);
            }
            fields.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        };
        for condition in &self.conditions {
            let (holds, text) = match condition {
                Condition::Equal { name, value } => (value_of(name) == Some(value), serde_json::json!(["eq", format!("${name}"), value])),
                Condition::StartsWith { name, prefix } => (
                    value_of(name).is_some_and(|value| starts_with(name, value, prefix)),
                    serde_json::json!(["starts-with", format!("${name}"), prefix]),
                ),
                Condition::Length { .. } => continue,
            };
            if !holds {
                let condition = text.to_string().replace("\",\"", "\", \"");
                return Err(PolicyDenial::ConditionFailed { condition });
            }
        }
        self.check_covered(fields, bucket)
    }

    fn check_covered(&self, fields: &[(String, String)], bucket: &str) -> Result<(), PolicyDenial> {
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in fields {
            let name = name.to_ascii_lowercase();
            let is_exempt = matches!(name.as_str(), "x-amz-signature" | "file" | "policy") || name.starts_with("x-ignore-");
            let is_covered = self.conditions.iter().any(|condition| match condition {
                Condition::Equal { name: known, .. } | Condition::StartsWith { name: known, .. } => *known == name,
                Condition::Length { .. } => false,
            });
            // A repeated field could carry a value that no condition has seen.
            let is_contradiction = seen.contains(&name) || (name == "bucket" && value != bucket);
            if (!is_exempt && !is_covered) || is_contradiction {
                return Err(PolicyDenial::ExtraFields { names: name });
            }
            seen.push(name);
        }
        Ok(())
    }

    /// Checks the size of the upload.
    pub fn check_length(&self, size_bytes: u64) -> Result<(), PolicyDenial> {
        match self.content_length_range() {
            Some((_, most_bytes)) if size_bytes > most_bytes => Err(PolicyDenial::TooLarge { size_bytes, most_bytes }),
            Some((least_bytes, _)) if size_bytes < least_bytes => Err(PolicyDenial::TooSmall { size_bytes, least_bytes }),
            _ => Ok(()),
        }
    }
}

fn starts_with(name: &str, value: &str, prefix: &str) -> bool {
    if name == "content-type" {
        return value.split(',').all(|part| part.trim().starts_with(prefix));
    }
    value.starts_with(prefix)
}

fn read_condition(entry: &Value, conditions: &mut Vec<Condition>) -> Result<(), PolicyDenial> {
    let simple = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    if let Value::Object(object) = entry {
        for (name, value) in object {
            let value = simple(value).ok_or_else(|| malformed("Invalid Simple-Condition: value must be a string."))?;
            conditions.push(Condition::Equal { name: name.to_ascii_lowercase(), value });
        }
        return Ok(());
    }
    let Some([operator, first, second]) = entry.as_array().map(Vec::as_slice) else {
        return Err(malformed("Invalid Condition: expected an object or a list of three."));
    };
    let operator = operator.as_str().unwrap_or_default().to_ascii_lowercase();
    if operator == "content-length-range" {
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        let (Some(least), Some(most)) = (number(first), number(second)) else {
            return Err(malformed("Invalid content-length-range: expected two numbers."));
        };
        conditions.push(Condition::Length { least, most });
        return Ok(());
    }
    let name = first.as_str().and_then(|name| name.strip_prefix('$')).map(str::to_ascii_lowercase);
    let (Some(name), Some(value)) = (name, simple(second)) else {
        return Err(malformed("Invalid Condition: expected a field name with `$` and a string."));
    };
    conditions.push(match operator.as_str() {
        "eq" => Condition::Equal { name, value },
        "starts-with" => Condition::StartsWith { name, prefix: value },
        _ => return Err(malformed("Invalid Condition: unknown operator.")),
    });
    Ok(())
}
