//! STS as a service of the plane.

use async_trait::async_trait;
use plane::{ApiError, Call, Handler, Service, Target, handler};
use policy::MapContext;
use wire::Value;

use crate::assume_role::{self, assume_role};
use crate::federation_token::{self, get_federation_token};
use crate::identity::{decode_authorization_message, get_access_key_info, get_caller_identity};
use crate::provider_keys::ProviderKeys;
use crate::session_token::get_session_token;
use crate::{assume_root, mfa, outbound_token, saml, session, web_identity};

const HANDLERS: &[Handler] = &[
    handler!("AssumeRole", assume_role),
    handler!("AssumeRoleWithSAML", saml::assume_role_with_saml),
    handler!("AssumeRoleWithWebIdentity", web_identity::assume_role_with_web_identity),
    handler!("AssumeRoot", assume_root::assume_root),
    handler!("DecodeAuthorizationMessage", decode_authorization_message),
    handler!("GetAccessKeyInfo", get_access_key_info),
    handler!("GetCallerIdentity", get_caller_identity),
    handler!("GetDelegatedAccessToken", outbound_token::get_delegated_access_token),
    handler!("GetFederationToken", get_federation_token),
    handler!("GetSessionToken", get_session_token),
    handler!("GetWebIdentityToken", outbound_token::get_web_identity_token),
];

/// The service. Its only state are the keys of identity providers.
pub struct Sts {
    keys: ProviderKeys,
}

impl Sts {
    /// `keys` fetches the keys of identity providers.
    pub fn new(keys: ProviderKeys) -> Self {
        Self { keys }
    }
}

#[async_trait]
impl Service for Sts {
    fn id(&self) -> &'static str {
        api_sts::SERVICE
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        HANDLERS
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        match call.operation.name {
            "AssumeRole" => assume_role::targets(call, input).await.map(Some),
            "AssumeRoleWithSAML" => saml::targets(call, input).await.map(Some),
            "AssumeRoleWithWebIdentity" => web_identity::targets(call, input, &self.keys).await.map(Some),
            "AssumeRoot" => assume_root::targets(call, input).map(Some),
            "GetFederationToken" => federation_token::targets(call, input).map(Some),
            "GetWebIdentityToken" => Ok(Some(outbound_token::targets(input))),
            _ => Ok(None),
        }
    }

    fn condition_keys(&self, call: &Call, input: &Value, keys: &mut MapContext) {
        match call.operation.name {
            "AssumeRole" => {
                assume_role::condition_keys(call, input, keys);
                mfa::condition_keys(call, keys);
            }
            "AssumeRoleWithSAML" => saml::condition_keys(call, keys),
            "AssumeRoleWithWebIdentity" => web_identity::condition_keys(call, input, keys),
            "AssumeRoot" => assume_root::condition_keys(input, keys),
            "GetWebIdentityToken" => outbound_token::condition_keys(input, keys),
            _ => {}
        }
        let passed: Vec<(String, String)> = passed_tags(input).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        session::tag_keys(&passed, keys);
    }

    /// Who comes with another provider's word has no name that could be told.
    fn denied_message(&self, call: &Call, target: &Target, _owner: &str) -> Option<String> {
        call.principal.is_federated_caller().then(|| format!("Not authorized to perform {}", target.action))
    }
}

/// The session tags that the request passes.
fn passed_tags(input: &Value) -> impl Iterator<Item = (&str, &str)> {
    let tags = match input.member("Tags") {
        Some(Value::List(tags)) => tags.as_slice(),
        _ => &[],
    };
    tags.iter().filter_map(|tag| Some((tag.member("Key")?.as_str()?, tag.member("Value")?.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_with_types_has_a_handler() {
        let handled: Vec<&str> = HANDLERS.iter().map(|handler| handler.operation).collect();
        assert_eq!(handled, api_sts::OPERATIONS);
    }
}
