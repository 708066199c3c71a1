//! Automated reasoning policies: what is kept of them, how they are found, and how a guardrail asks them.
//!
//! Source: Bedrock API reference, `CreateAutomatedReasoningPolicy` and its neighbours. Rules are S-expressions (see the crate `reasoning`).
//! Building a policy from documents or by feedback needs a language model and is refused; importing a definition and testing it is real.

mod finding;
pub(crate) mod policy;
pub(crate) mod test_case;
pub(crate) mod version;
pub(crate) mod workflow;

use std::sync::Arc;

use api_bedrock as api;
use aws_lc_rs::digest::{SHA512, digest};
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Key, PARTITION, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Secret;

pub(crate) use finding::guardrail_finding;

use crate::guardrail::definition::Definition;
use crate::guardrail::sealing::{self, Held};
use crate::refusal::Refusal;

const DRAFT: &str = "DRAFT";

/// A type, variable or rule as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    version: Option<String>,
    types: Vec<SourceType>,
    variables: Vec<SourceVariable>,
    rules: Vec<SourceRule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SourceType {
    name: String,
    description: Option<String>,
    values: Vec<(String, Option<String>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SourceVariable {
    name: String,
    type_name: String,
    description: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SourceRule {
    id: String,
    expression: String,
    alternate: Option<String>,
}

impl From<api::AutomatedReasoningPolicyDefinition> for Source {
    fn from(given: api::AutomatedReasoningPolicyDefinition) -> Self {
        let text = |text: Option<Secret<String>>| text.map(Secret::into_inner);
        Self {
            version: given.version,
            types: given
                .types
                .unwrap_or_default()
                .into_iter()
                .map(|kind| SourceType {
                    name: kind.name.into_inner(),
                    description: text(kind.description),
                    values: kind.values.into_iter().map(|value| (value.value, text(value.description))).collect(),
                })
                .collect(),
            variables: given
                .variables
                .unwrap_or_default()
                .into_iter()
                .map(|variable| SourceVariable {
                    name: variable.name.into_inner(),
                    type_name: variable.type_.into_inner(),
                    description: variable.description.into_inner(),
                })
                .collect(),
            rules: given
                .rules
                .unwrap_or_default()
                .into_iter()
                .map(|rule| SourceRule {
                    id: rule.id,
                    expression: rule.expression.into_inner(),
                    alternate: text(rule.alternate_expression),
                })
                .collect(),
        }
    }
}

impl Source {
    fn to_api(&self) -> api::AutomatedReasoningPolicyDefinition {
        let secret = |text: &Option<String>| text.clone().map(Secret::new);
        api::AutomatedReasoningPolicyDefinition {
            version: self.version.clone(),
            types: Some(
                self.types
                    .iter()
                    .map(|kind| api::AutomatedReasoningPolicyDefinitionType {
                        name: Secret::new(kind.name.clone()),
                        description: secret(&kind.description),
                        values: kind
                            .values
                            .iter()
                            .map(|(value, description)| api::AutomatedReasoningPolicyDefinitionTypeValue {
                                value: value.clone(),
                                description: secret(description),
                            })
                            .collect(),
                    })
                    .collect(),
            ),
            rules: Some(
                self.rules
                    .iter()
                    .map(|rule| api::AutomatedReasoningPolicyDefinitionRule {
                        id: rule.id.clone(),
                        expression: Secret::new(rule.expression.clone()),
                        alternate_expression: secret(&rule.alternate),
                    })
                    .collect(),
            ),
            variables: Some(
                self.variables
                    .iter()
                    .map(|variable| api::AutomatedReasoningPolicyDefinitionVariable {
                        name: Secret::new(variable.name.clone()),
                        type_: Secret::new(variable.type_name.clone()),
                        description: Secret::new(variable.description.clone()),
                    })
                    .collect(),
            ),
        }
    }

    /// The engine for the policy; what is wrong with it is told in the engine's words.
    pub(crate) fn compile(&self) -> Result<::reasoning::Policy, Refusal> {
        let definition = ::reasoning::PolicyDefinition {
            types: self
                .types
                .iter()
                .map(|kind| ::reasoning::TypeDefinition { name: kind.name.clone(), values: kind.values.clone() })
                .collect(),
            variables: self
                .variables
                .iter()
                .map(|variable| ::reasoning::VariableDefinition {
                    name: variable.name.clone(),
                    type_name: variable.type_name.clone(),
                    description: variable.description.clone(),
                })
                .collect(),
            rules: self
                .rules
                .iter()
                .map(|rule| ::reasoning::RuleDefinition { id: rule.id.clone(), expression: rule.expression.clone() })
                .collect(),
        };
        ::reasoning::Policy::compile(definition).map_err(|error| Refusal::invalid(format!("The policy definition is not valid: {error}.")))
    }

    /// SHA-512 over the definition, hexadecimal: 128 characters, as the API wants.
    fn hash(&self) -> Result<String, ApiError> {
        Ok(hex::encode(digest(&SHA512, &serde_json::to_vec(self)?)))
    }
}

/// A policy: its working draft.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReasoningPolicy {
    id: String,
    name: String,
    description: Option<String>,
    source: Held<Source>,
    hash: String,
    created_ms: i64,
    updated_ms: i64,
    pub(crate) tags: Vec<(String, String)>,
    last_version: u32,
}

impl Record for ReasoningPolicy {
    const TABLE: Table = Table("bedrock-reasoning-policy");
    const SCOPE: Scope = Scope::Region;
}

/// A numbered version, which never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReasoningVersion {
    number: u32,
    name: String,
    description: Option<String>,
    source: Held<Source>,
    hash: String,
    created_ms: i64,
    #[serde(default)]
    pub(crate) tags: Vec<(String, String)>,
}

impl Record for ReasoningVersion {
    const TABLE: Table = Table("bedrock-reasoning-policy-version");
    const SCOPE: Scope = Scope::Region;
}

pub(crate) fn policy_key(account: &str, region: &str, id: &str) -> Key {
    Key::new(account, region).last(id)
}

fn versions_key(account: &str, region: &str, id: &str) -> Key {
    Key::new(account, region).then(id)
}

fn version_key(account: &str, region: &str, id: &str, number: u32) -> Key {
    versions_key(account, region, id).last(format!("{number:010}"))
}

fn arn_of(region: &str, account: &str, id: &str) -> String {
    format!("arn:{PARTITION}:bedrock:{region}:{account}:automated-reasoning-policy/{id}")
}

/// Account, id and version that an ARN of this region names; without a version the draft.
fn parts<'a>(region: &str, arn: &'a str) -> Option<(&'a str, &'a str, Option<u32>)> {
    let rest = arn.strip_prefix(&format!("arn:{PARTITION}:bedrock:{region}:"))?;
    let (account, resource) = rest.split_once(':')?;
    let name = resource.strip_prefix("automated-reasoning-policy/")?;
    match name.split_once(':') {
        Some((id, version)) => Some((account, id, Some(version.parse().ok()?))),
        None => Some((account, name, None)),
    }
}

/// Owner and tags of a policy, for the decision about a call.
pub(crate) async fn access(tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
    let Some((account, id, version)) = parts(region, arn) else { return Ok(None) };
    let mut found = ResourceAccess { account: account.to_owned(), ..ResourceAccess::default() };
    let tags = match version {
        None => tx.get::<ReasoningPolicy>(&policy_key(account, region, id)).await?.map(|policy| policy.tags),
        Some(number) => tx.get::<ReasoningVersion>(&version_key(account, region, id, number)).await?.map(|version| version.tags),
    };
    found.tags = tags.unwrap_or_default();
    Ok(Some(found))
}

/// A policy of the caller's account, by its ARN.
async fn find(cx: &mut Call, arn: &str) -> Result<(ReasoningPolicy, Option<u32>), ApiError> {
    let (region, account) = (cx.region.clone(), cx.account.clone());
    let missing = || Refusal::ReasoningPolicy(arn.to_owned());
    let (_, id, version) = parts(&region, arn).filter(|(owner, ..)| *owner == account).ok_or_else(missing)?;
    let policy = cx.tx.get::<ReasoningPolicy>(&policy_key(&account, &region, id)).await?.ok_or_else(missing)?;
    Ok((policy, version))
}

/// As [`find`], for operations that work on the draft only.
async fn find_draft(cx: &mut Call, arn: &str) -> Result<ReasoningPolicy, ApiError> {
    match find(cx, arn).await? {
        (policy, None) => Ok(policy),
        (_, Some(_)) => Err(Refusal::invalid("The ARN must not name a version.").into()),
    }
}

/// The source of a policy or of one of its versions.
async fn source(cx: &mut Call, arn: &str) -> Result<Source, ApiError> {
    let (policy, version) = find(cx, arn).await?;
    let (region, account) = (cx.region.clone(), cx.account.clone());
    let held = match version {
        None => policy.source,
        Some(number) => {
            let key = version_key(&account, &region, &policy.id, number);
            cx.tx.get::<ReasoningVersion>(&key).await?.ok_or_else(|| Refusal::ReasoningPolicy(arn.to_owned()))?.source
        }
    };
    // Versions are copies of the draft's record, sealed under the same name.
    sealing::open(cx, &arn_of(&region, &account, &policy.id), held).await
}

/// A policy that a guardrail asks.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) arn: String,
    pub(crate) policy: Arc<::reasoning::Policy>,
}

/// Refuses a guardrail that names a policy that is not there.
pub(crate) async fn check(cx: &mut Call, definition: &Definition) -> Result<(), ApiError> {
    let arns = definition.reasoning.iter().flat_map(|reasoning| &reasoning.policy_arns);
    for arn in arns.cloned().collect::<Vec<_>>() {
        source(cx, &arn).await?;
    }
    Ok(())
}

/// The policies of a guardrail, ready to be asked by this caller.
pub(crate) async fn load(cx: &mut Call, definition: &Definition) -> Result<Vec<Loaded>, ApiError> {
    let mut loaded = Vec::new();
    let arns: Vec<String> = definition.reasoning.iter().flat_map(|reasoning| &reasoning.policy_arns).cloned().collect();
    for arn in arns {
        if let Some(refused) = plane::authorize::check(cx, "bedrock:InvokeAutomatedReasoningPolicy", &arn).await? {
            return Err(refused);
        }
        let policy = source(cx, &arn).await?.compile()?;
        loaded.push(Loaded { arn, policy: Arc::new(policy) });
    }
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_name_policies_and_versions() {
        let arn = arn_of("eu-west-1", "111122223333", "abcdefghijkl");
        assert_eq!(parts("eu-west-1", &arn), Some(("111122223333", "abcdefghijkl", None)));
        assert_eq!(parts("eu-west-1", &format!("{arn}:3")), Some(("111122223333", "abcdefghijkl", Some(3))));
        assert_eq!(parts("us-east-1", &arn), None);
        assert_eq!(parts("eu-west-1", &format!("{arn}:x")), None);
    }
}
