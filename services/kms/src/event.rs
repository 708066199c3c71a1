//! What the audit events of KMS leave out: plaintexts and messages are not even named, and a grant token is a credential.
//!
//! Source: KMS Developer Guide, "Logging AWS KMS API calls"; bytes of any kind are left out by the plane.

use plane::Call;
use plane::audit::elements;
use serde_json::Value as Json;
use wire::Value;

/// Members of requests that events do not show.
const LEFT_OUT: [&str; 4] = ["plaintext", "message", "grantToken", "grantTokens"];

/// The request as the event shows it.
pub(crate) fn request_parameters(cx: &Call, input: &Value) -> Json {
    without(elements(cx.service, cx.operation.input, input))
}

fn without(mut shown: Json) -> Json {
    if let Json::Object(members) = &mut shown {
        members.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_not_even_named() {
        let shown =
            without(json!({ "keyId": "k", "plaintext": "HIDDEN", "grantTokens": ["t"], "encryptionContext": { "plaintext": "a" } }));
        assert_eq!(shown, json!({ "keyId": "k", "encryptionContext": { "plaintext": "a" } }));
        assert_eq!(without(Json::Null), Json::Null);
    }
}
