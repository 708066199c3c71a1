//! Guardrails: what is kept of them and how they are found.

mod configuration;
pub(crate) mod definition;
pub(crate) mod draft;
pub(crate) mod enforcement;
pub(crate) mod listing;
pub(crate) mod resource_policy;
pub(crate) mod sealing;
pub(crate) mod setting;
pub(crate) mod version;
mod view;

use plane::service::ResourceAccess;
use plane::{ApiError, Call, Key, PARTITION, Record, Scope, Transaction, audit};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Value;

use definition::Definition;
use sealing::Held;

use crate::refusal::Refusal;

/// Name of the version that can be changed.
pub(crate) const DRAFT: &str = "DRAFT";

/// The guardrail itself: its working draft, without the definition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) tags: Vec<(String, String)>,
    /// Number of the newest version that was ever made; numbers are not used again.
    pub(crate) last_version: u32,
}

impl Record for Draft {
    const TABLE: Table = Table("bedrock-guardrail");
    const SCOPE: Scope = Scope::Region;
}

/// A numbered version, which never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) created_ms: i64,
}

impl Record for Version {
    const TABLE: Table = Table("bedrock-guardrail-version");
    const SCOPE: Scope = Scope::Region;
}

/// Who has a name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NameClaim {
    pub(crate) id: String,
}

impl Record for NameClaim {
    const TABLE: Table = Table("bedrock-guardrail-name");
    const SCOPE: Scope = Scope::Region;
}

impl Record for Held {
    const TABLE: Table = Table("bedrock-guardrail-definition");
    const SCOPE: Scope = Scope::Region;
}

pub(crate) fn draft_key(account: &str, region: &str, id: &str) -> Key {
    Key::new(account, region).last(id)
}

fn name_key(account: &str, region: &str, name: &str) -> Key {
    Key::new(account, region).last(name)
}

/// All versions of a guardrail.
fn versions_key(account: &str, region: &str, id: &str) -> Key {
    Key::new(account, region).then(id)
}

/// Zero-padded, so that keys are in the order of the numbers.
fn version_key(account: &str, region: &str, id: &str, number: u32) -> Key {
    versions_key(account, region, id).last(format!("{number:08}"))
}

/// `version`: `None` is the draft.
fn definition_key(account: &str, region: &str, id: &str, version: Option<u32>) -> Key {
    let version = version.map_or_else(|| DRAFT.to_owned(), |number| format!("{number:08}"));
    Key::new(account, region).then(id).last(version)
}

/// The ARN that an identifier stands for: itself, or the guardrail of that id in the caller's account.
pub(crate) fn arn_of(region: &str, account: &str, identifier: &str) -> String {
    if identifier.starts_with("arn:") {
        return identifier.to_owned();
    }
    format!("arn:{PARTITION}:bedrock:{region}:{account}:guardrail/{identifier}")
}

/// The id behind an identifier; `None` when it is an ARN of something else or of elsewhere.
pub(crate) fn id_of<'a>(region: &str, account: &str, identifier: &'a str) -> Option<&'a str> {
    let id = if identifier.starts_with("arn:") { identifier.strip_prefix(&arn_of(region, account, ""))? } else { identifier };
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    is_id.then_some(id)
}

/// Owner and tags of a guardrail, for the decision about a call.
pub(crate) async fn access(tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
    let mut parts = arn.splitn(6, ':').skip(4);
    let (Some(account), Some(resource)) = (parts.next(), parts.next()) else { return Ok(None) };
    if !resource.starts_with("guardrail/") {
        return Ok(None);
    }
    let mut found =
        ResourceAccess { account: account.to_owned(), resource_type: Some("AWS::Bedrock::Guardrail"), ..ResourceAccess::default() };
    if let Some(id) = id_of(region, account, arn)
        && let Some(draft) = tx.get::<Draft>(&draft_key(account, region, id)).await?
    {
        found.tags = draft.tags;
        found.policy = resource_policy::of(tx, region, account, id).await?;
    }
    Ok(Some(found))
}

/// The input of a call that carries a definition, without the definition: its words and patterns are what its owner hides.
pub(crate) fn request_parameters(call: &Call, input: &Value) -> Option<serde_json::Value> {
    if !matches!(call.operation.name, "CreateGuardrail" | "UpdateGuardrail") {
        return None;
    }
    let mut shown = audit::elements(call.service, call.operation.input, input);
    hide_policies(&mut shown);
    Some(shown)
}

fn hide_policies(shown: &mut serde_json::Value) {
    for (name, value) in shown.as_object_mut().into_iter().flatten() {
        if name.ends_with("PolicyConfig") {
            *value = audit::HIDDEN.into();
        }
    }
}

/// A guardrail that exists, by the identifier of a control-plane call.
pub(crate) async fn find(cx: &mut Call, identifier: &str) -> Result<Draft, ApiError> {
    let missing = || Refusal::Guardrail(identifier.to_owned());
    let id = id_of(&cx.region, &cx.account, identifier).ok_or_else(missing)?;
    let key = draft_key(&cx.account, &cx.region, id);
    Ok(cx.tx.get::<Draft>(&key).await?.ok_or_else(missing)?)
}

/// A version's number; `None` is the draft.
pub(crate) fn version_number(version: &str) -> Result<Option<u32>, Refusal> {
    if version == DRAFT {
        return Ok(None);
    }
    let invalid = || Refusal::invalid(format!("`{version}` is neither `DRAFT` nor a version number."));
    version.parse::<u32>().ok().filter(|number| *number > 0).map(Some).ok_or_else(invalid)
}

/// A guardrail with its definition, ready to be compiled.
pub(crate) struct Loaded {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) version: String,
    pub(crate) definition: Definition,
    /// What the guardrail's tags ask for.
    pub(crate) settings: setting::Settings,
    /// Whether it is another account's.
    pub(crate) is_foreign: bool,
}

/// The account and the id behind an identifier: an id is the caller's, an ARN may be another account's in this region.
pub(crate) fn owner_and_id<'a>(region: &str, account: &'a str, identifier: &'a str) -> Option<(&'a str, &'a str)> {
    let owner = if identifier.starts_with("arn:") { identifier.split(':').nth(4)? } else { account };
    Some((owner, id_of(region, owner, identifier)?))
}

/// Loads a version for use; a definition under a KMS key is opened for the caller. `None`: it does not exist. Whether the caller may use
/// it was decided before: the guardrail is a target of the call.
pub(crate) async fn load(cx: &mut Call, identifier: &str, version: &str) -> Result<Option<Loaded>, ApiError> {
    let (region, account) = (cx.region.clone(), cx.account.clone());
    let Some((owner, id)) = owner_and_id(&region, &account, identifier) else { return Ok(None) };
    let number = version_number(version)?;
    let Some(draft) = cx.tx.get::<Draft>(&draft_key(owner, &region, id)).await? else { return Ok(None) };
    let key = definition_key(owner, &region, id, number);
    let Some(held) = cx.tx.get::<Held>(&key).await? else { return Ok(None) };
    let arn = arn_of(&region, owner, id);
    let definition = sealing::open(cx, &arn, held).await?;
    Ok(Some(Loaded {
        id: id.to_owned(),
        arn,
        version: version.to_owned(),
        definition,
        settings: setting::Settings::of(&draft.tags),
        is_foreign: owner != account,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_an_id_or_an_arn_of_this_place() {
        let arn = arn_of("eu-west-1", "111122223333", "abc123");
        assert_eq!(arn, "arn:aws:bedrock:eu-west-1:111122223333:guardrail/abc123");
        assert_eq!(id_of("eu-west-1", "111122223333", &arn), Some("abc123"));
        assert_eq!(id_of("eu-west-1", "111122223333", "abc123"), Some("abc123"));
        assert_eq!(id_of("eu-west-1", "444455556666", &arn), None);
        assert_eq!(id_of("us-east-1", "111122223333", &arn), None);
        assert_eq!(id_of("eu-west-1", "111122223333", "../abc"), None);
        assert_eq!(id_of("eu-west-1", "111122223333", ""), None);
    }

    #[test]
    fn events_show_no_policies() {
        let mut shown = serde_json::json!({ "kmsKeyId": "k", "wordPolicyConfig": { "wordsConfig": [{ "text": "canary" }] } });
        hide_policies(&mut shown);
        assert_eq!(shown, serde_json::json!({ "kmsKeyId": "k", "wordPolicyConfig": audit::HIDDEN }));
    }

    #[test]
    fn versions_are_draft_or_positive_numbers() {
        assert_eq!(version_number("DRAFT"), Ok(None));
        assert_eq!(version_number("7"), Ok(Some(7)));
        assert!(version_number("0").is_err());
        assert!(version_number("latest").is_err());
    }
}
