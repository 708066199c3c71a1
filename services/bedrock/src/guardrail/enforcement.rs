//! Guardrails that callers cannot leave out: the account's own, and those that its organization's Bedrock policies name.
//!
//! Source: Bedrock User Guide, "Apply cross-account safeguards with Amazon Bedrock Guardrails enforcements"; Organizations User Guide, "Amazon
//! Bedrock policy syntax". They run besides the guardrail that a call names; the caller needs `bedrock:ApplyGuardrail` on each, and without it
//! the model call is denied. A profile counts as every model behind it.

use api_bedrock::{
    AccountEnforcedGuardrailOutputConfiguration, ConfigurationOwner, DeleteEnforcedGuardrailConfigurationInput,
    DeleteEnforcedGuardrailConfigurationOutput, ListEnforcedGuardrailsConfigurationInput, ListEnforcedGuardrailsConfigurationOutput,
    ModelEnforcement, PutEnforcedGuardrailConfigurationInput, PutEnforcedGuardrailConfigurationOutput, SelectiveContentGuarding,
    SelectiveGuardingMode,
};
use plane::{ApiError, Call, Key, Record, Scope, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use store::Table;
use wire::Timestamp;

use super::{Version, arn_of, find, id_of, version_key, version_number};
use crate::refusal::Refusal;

const ID_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID_LENGTH: usize = 12;
/// Stands for every model.
const ALL: &str = "ALL";
/// Guardrails that one region's part of an organization policy may name.
const ORGANIZATION_GUARDRAILS_MAX: usize = 10;

/// Whether marks of the caller choose what an enforced guardrail looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    /// Only what is marked, if anything is.
    Selective,
    /// Everything.
    #[default]
    Comprehensive,
}

impl Mode {
    fn of(mode: Option<&SelectiveGuardingMode>) -> Result<Self, Refusal> {
        match mode {
            None | Some(SelectiveGuardingMode::Comprehensive) => Ok(Self::Comprehensive),
            Some(SelectiveGuardingMode::Selective) => Ok(Self::Selective),
            Some(SelectiveGuardingMode::Other(other)) => Err(Refusal::invalid(format!("`{other}` is not a guarding mode."))),
        }
    }

    /// What looks at more.
    pub(crate) fn stricter(self, other: Self) -> Self {
        if self == Self::Comprehensive { self } else { other }
    }

    fn to_api(self) -> SelectiveGuardingMode {
        match self {
            Self::Selective => SelectiveGuardingMode::Selective,
            Self::Comprehensive => SelectiveGuardingMode::Comprehensive,
        }
    }
}

/// Who wants the guardrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Request,
    Account,
    Organization,
}

/// A guardrail that must run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Enforcement {
    pub(crate) guardrail_arn: String,
    pub(crate) version: String,
    pub(crate) system: Mode,
    pub(crate) messages: Mode,
    pub(crate) origin: Origin,
}

/// The account's configuration, of which there is at most one in a region.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Enforced {
    config_id: String,
    guardrail_arn: String,
    version: String,
    /// As it was given.
    has_modes: bool,
    system: Mode,
    messages: Mode,
    has_models: bool,
    included: Vec<String>,
    excluded: Vec<String>,
    created_ms: i64,
    created_by: String,
    updated_ms: i64,
    updated_by: String,
}

impl Record for Enforced {
    const TABLE: Table = Table("bedrock-enforced-guardrail");
    const SCOPE: Scope = Scope::Region;
}

fn key(account: &str, region: &str) -> Key {
    Key::new(account, region).last("account")
}

/// Whether a configuration for some models is one for a call that may be answered by these; none are known of a call whose identifier says nothing.
fn covers(included: &[String], excluded: &[String], models: &[String]) -> bool {
    let has = |list: &[String], name: &String| list.contains(name);
    let covers_one = |name: &String| !has(excluded, name) && (included.iter().any(|listed| listed == ALL) || has(included, name));
    models.is_empty() || models.iter().any(covers_one)
}

/// All guardrails that a call of this model must pass, the account's first.
async fn of_models(cx: &mut Call, models: &[String]) -> Result<Vec<Enforcement>, ApiError> {
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let mut found = Vec::new();
    if let Some(own) = cx.tx.get::<Enforced>(&key(&account, &region)).await?
        && covers(&own.included, &own.excluded, models)
    {
        found.push(Enforcement {
            guardrail_arn: own.guardrail_arn,
            version: own.version,
            system: own.system,
            messages: own.messages,
            origin: Origin::Account,
        });
    }
    let plane = std::sync::Arc::clone(&cx.plane);
    if let Some(view) = plane.organization(&account).await?
        && let Some(policy) = view.bedrock.get(&account)
    {
        found.extend(of_organization(policy, &region, models)?);
    }
    Ok(found)
}

/// What a call remembers its enforced guardrails by.
const REMEMBERED: &str = "enforced-guardrails";

/// Adds to the targets of a model call the guardrails that it must pass: without the right to apply them the call is denied.
pub(crate) async fn add_targets(call: &mut Call, targets: Option<Vec<Target>>) -> Result<Option<Vec<Target>>, ApiError> {
    let is_model_call = |target: &Target| matches!(target.action.as_str(), "bedrock:InvokeModel" | "bedrock:InvokeModelWithResponseStream");
    let Some(mut targets) = targets else { return Ok(None) };
    if !targets.iter().any(is_model_call) {
        return Ok(Some(targets));
    }
    // A profile is a target beside the models behind it: what counts is who may answer.
    let model = |target: &Target| target.resource_arn.split_once("::foundation-model/").map(|(_, name)| name.to_owned());
    let models: Vec<String> = targets.iter().filter(|target| is_model_call(target)).filter_map(model).collect();
    let enforced = of_models(call, &models).await?;
    for guardrail in &enforced {
        let target = Target { action: "bedrock:ApplyGuardrail".to_owned(), resource_arn: guardrail.guardrail_arn.clone() };
        if !targets.iter().any(|known| known.action == target.action && known.resource_arn == target.resource_arn) {
            targets.push(target);
        }
    }
    call.remember(REMEMBERED, enforced);
    Ok(Some(targets))
}

/// The guardrails that a call must pass, as they were found when it was authorized. A call that was not asked about fails.
pub(crate) fn of_call(cx: &Call) -> Result<Vec<Enforcement>, ApiError> {
    let found = cx.recall::<Vec<Enforcement>>(REMEMBERED);
    found.ok_or_else(|| ApiError::internal(&"a model call was not asked about enforced guardrails"))
}

/// What the effective policy of an organization says for a region. One that cannot be read fails the call: it must not mean "no guardrail".
fn of_organization(policy: &Json, region: &str, models: &[String]) -> Result<Vec<Enforcement>, ApiError> {
    let Some(configurations) = policy.pointer("/bedrock/guardrail_inference").and_then(|regions| regions.get(region)) else {
        return Ok(Vec::new());
    };
    let unreadable = || Refusal::EnforcedGuardrail("the Bedrock policy of the organization cannot be read".to_owned());
    let mut found = Vec::new();
    for configuration in configurations.as_object().ok_or_else(unreadable)?.values().take(ORGANIZATION_GUARDRAILS_MAX) {
        let identifier = configuration.get("identifier").and_then(Json::as_str).ok_or_else(unreadable)?;
        let (guardrail_arn, version) = identifier.rsplit_once(':').ok_or_else(unreadable)?;
        let list = |path: &str| -> Option<Vec<String>> {
            Some(configuration.pointer(path)?.as_array()?.iter().filter_map(Json::as_str).map(str::to_owned).collect())
        };
        let included = list("/model_enforcement/included_models").unwrap_or_else(|| vec![ALL.to_owned()]);
        let excluded = list("/model_enforcement/excluded_models").unwrap_or_default();
        if !covers(&included, &excluded, models) {
            continue;
        }
        let honours_tags = configuration.get("input_tags").and_then(Json::as_str) == Some("honor");
        let mode = |path: &str| match configuration.pointer(path).and_then(Json::as_str) {
            Some("selective") => Mode::Selective,
            None if honours_tags => Mode::Selective,
            _ => Mode::Comprehensive,
        };
        found.push(Enforcement {
            guardrail_arn: guardrail_arn.to_owned(),
            version: version.to_owned(),
            system: mode("/selective_content_guarding/system"),
            messages: mode("/selective_content_guarding/messages"),
            origin: Origin::Organization,
        });
    }
    Ok(found)
}

/// Refuses to delete a guardrail, or a version of one, that the account enforces.
pub(crate) async fn refuse_in_use(cx: &mut Call, id: &str, version: Option<u32>) -> Result<(), ApiError> {
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let Some(enforced) = cx.tx.get::<Enforced>(&key(&account, &region)).await? else { return Ok(()) };
    let same = id_of(&region, &account, &enforced.guardrail_arn) == Some(id);
    if same && version.is_none_or(|version| enforced.version == version.to_string()) {
        return Err(Refusal::InUse(format!("The guardrail `{id}` is enforced by the configuration `{}`.", enforced.config_id)).into());
    }
    Ok(())
}

pub(crate) async fn put_enforced_guardrail_configuration(
    cx: &mut Call,
    input: PutEnforcedGuardrailConfigurationInput,
) -> Result<PutEnforcedGuardrailConfigurationOutput, ApiError> {
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let wanted = input.guardrail_inference_config;
    let draft = find(cx, &wanted.guardrail_identifier).await?;
    let missing = || Refusal::GuardrailVersion { id: draft.id.clone(), version: wanted.guardrail_version.clone() };
    let number = version_number(&wanted.guardrail_version)?.ok_or_else(missing)?;
    cx.tx.get::<Version>(&version_key(&account, &region, &draft.id, number)).await?.ok_or_else(missing)?;
    let loaded = super::load(cx, &draft.id, &wanted.guardrail_version).await?.ok_or_else(missing)?;
    if loaded.definition.reasoning.is_some() {
        return Err(Refusal::invalid("A guardrail with an automated reasoning policy cannot be enforced.").into());
    }
    let before = cx.tx.get::<Enforced>(&key(&account, &region)).await?;
    let config_id = match (&before, input.config_id) {
        (Some(before), Some(id)) if before.config_id == id => id,
        (_, Some(id)) => return Err(Refusal::Enforcement(id).into()),
        (Some(before), None) => return Err(Refusal::EnforcementExists(before.config_id.clone()).into()),
        (None, None) => cx.random_id(ID_ALPHABET, ID_LENGTH)?,
    };
    let modes = wanted.selective_content_guarding;
    let models = wanted.model_enforcement;
    let caller = cx.principal.arn.clone();
    let enforced = Enforced {
        config_id: config_id.clone(),
        guardrail_arn: arn_of(&region, &account, &draft.id),
        version: wanted.guardrail_version,
        has_modes: modes.is_some(),
        system: Mode::of(modes.as_ref().and_then(|modes| modes.system.as_ref()))?,
        messages: Mode::of(modes.as_ref().and_then(|modes| modes.messages.as_ref()))?,
        has_models: models.is_some(),
        included: models.as_ref().map_or_else(|| vec![ALL.to_owned()], |models| models.included_models.clone()),
        excluded: models.map(|models| models.excluded_models).unwrap_or_default(),
        created_ms: before.as_ref().map_or(cx.now.0, |before| before.created_ms),
        created_by: before.map_or_else(|| caller.clone(), |before| before.created_by),
        updated_ms: cx.now.0,
        updated_by: caller.clone(),
    };
    cx.tx.put(&key(&account, &region), &enforced)?;
    Ok(PutEnforcedGuardrailConfigurationOutput { config_id: Some(config_id), updated_at: Some(cx.now), updated_by: Some(caller) })
}

pub(crate) async fn list_enforced_guardrails_configuration(
    cx: &mut Call,
    input: ListEnforcedGuardrailsConfigurationInput,
) -> Result<ListEnforcedGuardrailsConfigurationOutput, ApiError> {
    if input.next_token.is_some() {
        return Err(Refusal::invalid("The nextToken is not one that this list gave.").into());
    }
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let found = cx.tx.get::<Enforced>(&key(&account, &region)).await?;
    let shown = found.map(|enforced| AccountEnforcedGuardrailOutputConfiguration {
        config_id: Some(enforced.config_id),
        guardrail_id: id_of(&region, &account, &enforced.guardrail_arn).map(str::to_owned),
        guardrail_arn: Some(enforced.guardrail_arn),
        input_tags: None,
        selective_content_guarding: enforced
            .has_modes
            .then(|| SelectiveContentGuarding { system: Some(enforced.system.to_api()), messages: Some(enforced.messages.to_api()) }),
        guardrail_version: Some(enforced.version),
        created_at: Some(Timestamp(enforced.created_ms)),
        created_by: Some(enforced.created_by),
        updated_at: Some(Timestamp(enforced.updated_ms)),
        updated_by: Some(enforced.updated_by),
        owner: Some(ConfigurationOwner::Account),
        model_enforcement: enforced
            .has_models
            .then_some(ModelEnforcement { included_models: enforced.included, excluded_models: enforced.excluded }),
    });
    Ok(ListEnforcedGuardrailsConfigurationOutput { guardrails_config: shown.into_iter().collect(), next_token: None })
}

pub(crate) async fn delete_enforced_guardrail_configuration(
    cx: &mut Call,
    input: DeleteEnforcedGuardrailConfigurationInput,
) -> Result<DeleteEnforcedGuardrailConfigurationOutput, ApiError> {
    let key = key(&cx.account, &cx.region);
    let found = cx.tx.get::<Enforced>(&key).await?.filter(|enforced| enforced.config_id == input.config_id);
    found.ok_or(Refusal::Enforcement(input.config_id))?;
    cx.tx.delete::<Enforced>(&key);
    Ok(DeleteEnforcedGuardrailConfigurationOutput {})
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn models_are_covered_unless_they_are_left_out() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(covers(&list(&["ALL"]), &[], &list(&["a.b"])));
        assert!(!covers(&list(&["ALL"]), &list(&["a.b"]), &list(&["a.b"])));
        assert!(!covers(&list(&["a.b"]), &[], &list(&["a.c"])));
        // What stands for other models must not be the way around.
        assert!(covers(&list(&["a.b"]), &[], &list(&["a.c", "a.b"])));
        assert!(covers(&list(&["ALL"]), &list(&["a.b"]), &list(&["a.b", "a.c"])));
        assert!(covers(&list(&["a.b"]), &[], &[]));
    }

    #[test]
    fn organization_policies_name_guardrails_by_region() {
        let arn = "arn:aws:bedrock:us-east-1:111122223333:guardrail/abc";
        let policy = json!({ "bedrock": { "guardrail_inference": { "us-east-1": { "config_1": {
            "identifier": format!("{arn}:3"),
            "selective_content_guarding": { "system": "selective" },
            "model_enforcement": { "included_models": ["ALL"], "excluded_models": ["a.b"] },
        } } } } });
        let found = of_organization(&policy, "us-east-1", &["x.y".to_owned()]).unwrap();
        assert_eq!(
            found,
            [Enforcement {
                guardrail_arn: arn.to_owned(),
                version: "3".to_owned(),
                system: Mode::Selective,
                messages: Mode::Comprehensive,
                origin: Origin::Organization
            }]
        );
        assert_eq!(of_organization(&policy, "us-east-1", &["a.b".to_owned()]).unwrap(), []);
        assert_eq!(of_organization(&policy, "eu-west-1", &["x.y".to_owned()]).unwrap(), []);
        let broken = json!({ "bedrock": { "guardrail_inference": { "us-east-1": { "config_1": {} } } } });
        assert!(of_organization(&broken, "us-east-1", &["x.y".to_owned()]).is_err());
    }
}
