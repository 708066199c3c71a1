//! `AssumeRole`.

use api_sts::{AssumeRoleInput, AssumeRoleOutput, AssumedRoleUser};
use iam::entity::{Entity, RoleRecord};
use iam::identifier::{IamArn, assumed_role_arn};
use plane::{ApiError, Call, Principal, PrincipalKind, Target};
use policy::MapContext;
use wire::Value;

use crate::error::{StsError, unsupported};
use crate::mfa;
use crate::session::{self, SessionPolicies, SessionTags};

const DEFAULT_DURATION_S: i32 = 3_600;
/// Longest session of a role that another role's session assumed.
const CHAINED_DURATION_S: i32 = 3_600;

pub(crate) fn invalid_arn(arn: &str) -> ApiError {
    StsError::ValidationError(format!("{arn} is invalid")).into()
}

/// What must be allowed: the role may be assumed, and by whom tags and a source identity come in, these may be passed. What is inherited
/// from the calling session is passed too.
///
/// Source: IAM User Guide, "Pass session tags in AWS STS" and "Monitor and control actions taken with assumed roles".
pub(crate) async fn targets(call: &mut Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let role_arn = input.member("RoleArn").and_then(Value::as_str).unwrap_or_default();
    if call.principal.kind == PrincipalKind::Root {
        return Err(StsError::AccessDenied("Roles may not be assumed by root accounts.".to_owned()).into());
    }
    IamArn::parse(role_arn).filter(|arn| arn.resource_type == "role").ok_or_else(|| invalid_arn(role_arn))?;
    let text = |member: &str| input.member(member).and_then(Value::as_str);
    mfa::prove(call, text("SerialNumber"), text("TokenCode")).await?;
    let session = call.principal.session.as_ref();
    let tagged = matches!(input.member("Tags"), Some(Value::List(tags)) if !tags.is_empty());
    let inherits_tags = session.is_some_and(|session| !session.transitive_tag_keys.is_empty());
    let inherits_identity = session.is_some_and(|session| session.source_identity.is_some());
    let mut actions = vec!["sts:AssumeRole"];
    if tagged || inherits_tags {
        actions.push("sts:TagSession");
    }
    if input.member("SourceIdentity").is_some() || inherits_identity {
        actions.push("sts:SetSourceIdentity");
    }
    Ok(actions.into_iter().map(|action| Target { action: action.to_owned(), resource_arn: role_arn.to_owned() }).collect())
}

/// Condition keys of the request.
pub(crate) fn condition_keys(call: &Call, input: &Value, keys: &mut MapContext) {
    let text = |member: &str| input.member(member).and_then(Value::as_str);
    for (member, key) in [("ExternalId", "sts:ExternalId"), ("RoleSessionName", "sts:RoleSessionName")] {
        if let Some(value) = text(member) {
            keys.set(key, value);
        }
    }
    let inherited = call.principal.session.as_ref().and_then(|session| session.source_identity.as_deref());
    if let Some(identity) = text("SourceIdentity").or(inherited) {
        keys.set("sts:SourceIdentity", identity);
    }
    if let Some(Value::List(names)) = input.member("TransitiveTagKeys") {
        keys.set_many("sts:TransitiveTagKeys", names.iter().filter_map(Value::as_str));
    }
    if let Some(Value::Int(seconds)) = input.member("DurationSeconds") {
        keys.set("sts:DurationSeconds", seconds.to_string());
    }
}

/// The role of an ARN. It was there when the call was authorized.
pub(crate) async fn role(cx: &mut Call, arn: &str) -> Result<(String, RoleRecord), ApiError> {
    let parsed = IamArn::parse(arn).ok_or_else(|| invalid_arn(arn))?;
    let account = parsed.account.to_owned();
    let role = iam::entity::find::<RoleRecord>(&mut cx.tx, &account, parsed.name).await?.filter(|role| role.arn(&account) == arn);
    role.map(|role| (account, role)).ok_or_else(|| invalid_arn(arn))
}

/// The session's duration in seconds, within the role's limit and that of chains.
pub(crate) fn duration(requested_s: Option<i32>, role_max_s: i32, chained: bool) -> Result<i32, StsError> {
    let duration_s = requested_s.unwrap_or(DEFAULT_DURATION_S);
    if chained && duration_s > CHAINED_DURATION_S {
        let text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
        return Err(StsError::ValidationError(text.to_owned()));
    }
    if duration_s > role_max_s {
        let text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(StsError::ValidationError(text.to_owned()));
    }
    Ok(duration_s)
}

/// The source identity of a session stays what the first of a chain set.
fn source_identity(inherited: Option<&str>, requested: Option<String>) -> Result<Option<String>, StsError> {
    match (inherited, requested) {
        (Some(inherited), Some(requested)) if inherited != requested => {
            Err(StsError::ValidationError("the source identity of a session cannot be changed".to_owned()))
        }
        (Some(inherited), _) => Ok(Some(inherited.to_owned())),
        (None, requested) => Ok(requested),
    }
}

/// Who a session of a role is.
pub(crate) fn principal(account: String, role: &RoleRecord, role_arn: String, session_name: &str) -> Principal {
    Principal {
        kind: PrincipalKind::AssumedRole {
            role_name: role.head.name.clone(),
            role_arn,
            role_id: role.head.id.clone(),
            session_name: session_name.to_owned(),
        },
        arn: assumed_role_arn(&account, &role.head.name, session_name),
        principal_id: format!("{}:{session_name}", role.head.id),
        account,
        access_key_id: None,
        session: None,
    }
}

pub(crate) async fn assume_role(cx: &mut Call, input: AssumeRoleInput) -> Result<AssumeRoleOutput, ApiError> {
    if input.provided_contexts.is_some_and(|contexts| !contexts.is_empty()) {
        return Err(unsupported("ProvidedContexts"));
    }
    if input.minimum_session_token_size.is_some() {
        return Err(unsupported("MinimumSessionTokenSize"));
    }
    let (account, role) = role(cx, &input.role_arn).await?;
    let caller = cx.principal.clone();
    let chained = matches!(caller.kind, PrincipalKind::AssumedRole { .. });
    let duration_s = duration(input.duration_seconds, role.max_session_duration_s, chained)?;
    let policies = SessionPolicies::of_input(cx, &account, input.policy, input.policy_arns).await?;
    let passed = session::tags_of_input(input.tags)?;
    let packed_policy_size = session::packed_size(&policies, &passed)?;
    let tags = SessionTags::chained(caller.session.as_ref(), passed, input.transitive_tag_keys.unwrap_or_default())?;
    let inherited = caller.session.as_ref().and_then(|session| session.source_identity.as_deref());
    let source_identity = source_identity(inherited, input.source_identity)?;

    let session_name = input.role_session_name;
    let principal = principal(account, &role, input.role_arn, &session_name);
    let assumed = AssumedRoleUser { assumed_role_id: principal.principal_id.clone(), arn: principal.arn.clone() };
    let mut session = session::begin(cx, "AssumeRole", duration_s, policies, tags);
    session.chained = chained;
    session.source_identity.clone_from(&source_identity);
    Ok(AssumeRoleOutput {
        credentials: Some(session::issue(cx, principal, session)?),
        assumed_role_user: Some(assumed),
        packed_policy_size,
        source_identity,
        ..AssumeRoleOutput::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_limits() {
        assert_eq!(duration(None, 43_200, true), Ok(3_600));
        assert_eq!(duration(Some(7_200), 43_200, false), Ok(7_200));
        assert!(duration(Some(7_200), 3_600, false).unwrap_err().to_string().contains("MaxSessionDuration"));
        assert!(duration(Some(3_601), 43_200, true).unwrap_err().to_string().contains("role chaining"));
    }

    #[test]
    fn a_source_identity_is_inherited_and_cannot_be_changed() {
        assert_eq!(source_identity(None, Some("ana".to_owned())), Ok(Some("ana".to_owned())));
        assert_eq!(source_identity(Some("ana"), None), Ok(Some("ana".to_owned())));
        assert_eq!(source_identity(Some("ana"), Some("ana".to_owned())), Ok(Some("ana".to_owned())));
        source_identity(Some("ana"), Some("eva".to_owned())).unwrap_err();
    }
}
