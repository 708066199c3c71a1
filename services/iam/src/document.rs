//! Policy documents: checked when written, percent-encoded when shown.

use plane::ApiError;
use policy::{Malformation, Policy, PolicyKind};

use crate::error::{IamError, quota_exceeded};

/// Characters of a managed policy, white space apart. Source: IAM User Guide, "IAM and AWS STS quotas".
pub(crate) const MANAGED_CHARACTERS: usize = 6_144;
/// Characters of a trust policy.
pub(crate) const TRUST_CHARACTERS: usize = 2_048;

/// Checks an identity-based policy. Its length is for the caller to check: it depends on what it is attached to.
pub(crate) fn check_identity(text: &str) -> Result<(), ApiError> {
    Policy::parse(text, PolicyKind::Identity).map(drop).map_err(|error| match error.malformation {
        Malformation::Malformed | Malformation::InvalidPrincipal => IamError::MalformedPolicyDocument(error.message).into(),
        Malformation::TooLong => IamError::LimitExceeded(error.message).into(),
    })
}

/// Checks a managed policy.
pub(crate) fn check_managed(text: &str) -> Result<(), ApiError> {
    check_identity(text)?;
    if policy::characters_without_white_space(text) > MANAGED_CHARACTERS {
        return Err(quota_exceeded("PolicySize", MANAGED_CHARACTERS));
    }
    Ok(())
}

/// Checks a trust policy as it was given.
pub(crate) fn check_trust(text: &str) -> Result<(), ApiError> {
    Policy::parse(text, PolicyKind::Trust).map(drop).map_err(|error| match error.malformation {
        Malformation::Malformed | Malformation::InvalidPrincipal => IamError::MalformedPolicyDocument(error.message).into(),
        Malformation::TooLong => quota_exceeded("ACLSizePerRole", TRUST_CHARACTERS),
    })
}

/// A document as IAM shows it: percent-encoded by RFC 3986, all but the unreserved characters.
pub(crate) fn encoded(text: &str) -> String {
    wire::percent_encoded(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_percent_encoded() {
        assert_eq!(encoded(r#"{"a": "b-c_~."}"#), "%7B%22a%22%3A%20%22b-c_~.%22%7D");
        assert_eq!(encoded("é"), "%C3%A9");
    }

    #[test]
    fn refusals_have_the_codes_of_iam() {
        assert_eq!(check_identity("{").unwrap_err().code, "MalformedPolicyDocument");
        let statement = r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/XX"}"#.replace("XX", &"x".repeat(900));
        let long = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, vec![statement; 7].join(","));
        check_identity(&long).unwrap();
        assert_eq!(check_managed(&long).unwrap_err().message, "Cannot exceed quota for PolicySize: 6144");
    }
}
