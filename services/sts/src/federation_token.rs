//! `GetFederationToken`.

use api_sts::{FederatedUser, GetFederationTokenInput, GetFederationTokenOutput};
use plane::{ApiError, Call, Principal, PrincipalKind, Target};
use wire::Value;

use crate::error::unsupported;
use crate::session::{self, SessionPolicies, SessionTags};
use crate::session_token::{duration, refuse_session};

/// ARN of a federated user session.
fn federated_user_arn(account: &str, name: &str) -> String {
    format!("arn:{}:sts::{account}:federated-user/{name}", plane::PARTITION)
}

/// What must be allowed: to federate under this name, and to pass tags.
pub(crate) fn targets(call: &Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    refuse_session(call)?;
    let name = input.member("Name").and_then(Value::as_str).unwrap_or_default();
    let resource_arn = federated_user_arn(&call.account, name);
    let mut targets = vec![Target { action: "sts:GetFederationToken".to_owned(), resource_arn: resource_arn.clone() }];
    if matches!(input.member("Tags"), Some(Value::List(tags)) if !tags.is_empty()) {
        targets.push(Target { action: "sts:TagSession".to_owned(), resource_arn });
    }
    Ok(targets)
}

pub(crate) async fn get_federation_token(cx: &mut Call, input: GetFederationTokenInput) -> Result<GetFederationTokenOutput, ApiError> {
    if input.minimum_session_token_size.is_some() {
        return Err(unsupported("MinimumSessionTokenSize"));
    }
    let caller = cx.principal.clone();
    let account = caller.account.clone();
    let (user_name, user_id) = match &caller.kind {
        PrincipalKind::User { name, id } => (name.clone(), id.clone()),
        _ => (String::new(), account.clone()),
    };
    let policies = SessionPolicies::of_input(cx, &account, input.policy, input.policy_arns).await?;
    let tags = session::tags_of_input(input.tags)?;
    let packed_policy_size = session::packed_size(&policies, &tags)?;
    let federated_user_id = format!("{account}:{}", input.name);
    let arn = federated_user_arn(&account, &input.name);
    let principal = Principal {
        kind: PrincipalKind::FederatedUser { user_arn: caller.arn.clone(), user_name, user_id, name: input.name },
        account,
        arn: arn.clone(),
        principal_id: federated_user_id.clone(),
        access_key_id: None,
        session: None,
    };
    let duration_s = duration(&caller.kind, input.duration_seconds);
    let tags = SessionTags { tags, transitive_keys: Vec::new() };
    let session = session::begin(cx, "GetFederationToken", duration_s, policies, tags);
    Ok(GetFederationTokenOutput {
        credentials: Some(session::issue(cx, principal, session)?),
        federated_user: Some(FederatedUser { federated_user_id, arn }),
        packed_policy_size,
        ..GetFederationTokenOutput::default()
    })
}
