//! STS as a service of the plane.

use async_trait::async_trait;
use plane::{ApiError, Call, Handler, Service, Target, handler};
use policy::MapContext;
use wire::Value;

use crate::assume_role::{self, assume_role};
use crate::federation_token::{self, get_federation_token};
use crate::identity::{decode_authorization_message, get_access_key_info, get_caller_identity};
use crate::session_token::get_session_token;

const HANDLERS: &[Handler] = &[
    handler!("AssumeRole", assume_role),
    handler!("DecodeAuthorizationMessage", decode_authorization_message),
    handler!("GetAccessKeyInfo", get_access_key_info),
    handler!("GetCallerIdentity", get_caller_identity),
    handler!("GetFederationToken", get_federation_token),
    handler!("GetSessionToken", get_session_token),
];

/// The service. It has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sts;

#[async_trait]
impl Service for Sts {
    fn id(&self) -> &'static str {
        api_sts::SERVICE
    }

    fn handlers(&self) -> &'static [Handler] {
        HANDLERS
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        match call.operation.name {
            "AssumeRole" => assume_role::targets(call, input).map(Some),
            "GetFederationToken" => federation_token::targets(call, input).map(Some),
            _ => Ok(None),
        }
    }

    fn condition_keys(&self, call: &Call, input: &Value, keys: &mut MapContext) {
        if call.operation.name == "AssumeRole" {
            assume_role::condition_keys(call, input, keys);
        }
        for (key, value) in passed_tags(input) {
            keys.set(&format!("aws:RequestTag/{key}"), value);
        }
        let names: Vec<&str> = passed_tags(input).map(|(key, _)| key).collect();
        if !names.is_empty() {
            keys.set_many("aws:TagKeys", names);
        }
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
