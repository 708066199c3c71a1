//! What all temporary credentials have in common: session policies, session tags, their packed size, and the token.
//!
//! Source: STS API Reference, "AssumeRole"; IAM User Guide, "Pass session tags in AWS STS" and "IAM and AWS STS quotas".

use api_sts::{Credentials, PolicyDescriptorType, Tag};
use iam::identifier;
use plane::principal::Session;
use plane::{ApiError, Call, Principal};
use policy::{MapContext, Policy, PolicyKind};
use wire::{Secret, Timestamp};

use crate::error::StsError;
use crate::mfa;

/// Characters of inline and managed session policies together.
const POLICY_CHARACTERS: usize = 2_048;
const POLICY_ARNS: usize = 10;
/// Bytes of policies and tags in our packed form: what a token may carry and still fit into a header.
const PACKED_BYTES: usize = 8_192;

/// Tags with their keys.
pub(crate) type Tags = Vec<(String, String)>;

/// Session policies, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionPolicies {
    pub(crate) policy: Option<String>,
    pub(crate) policy_arns: Vec<String>,
}

impl SessionPolicies {
    /// Checks the policies of a request; managed ones must be of `account` or of AWS.
    pub(crate) async fn of_input(
        cx: &mut Call,
        account: &str,
        policy: Option<String>,
        policy_arns: Option<Vec<PolicyDescriptorType>>,
    ) -> Result<Self, ApiError> {
        let policy_arns: Vec<String> = policy_arns.unwrap_or_default().into_iter().filter_map(|descriptor| descriptor.arn).collect();
        if policy_arns.len() > POLICY_ARNS {
            return Err(StsError::ValidationError(format!("at most {POLICY_ARNS} managed session policies can be passed")).into());
        }
        if let Some(text) = &policy {
            Policy::parse(text, PolicyKind::Session).map_err(|error| StsError::MalformedPolicyDocument(error.message))?;
        }
        for arn in &policy_arns {
            iam::managed_policy::check_attachable(&mut cx.tx, account, arn)
                .await
                .map_err(|error| if error.internal { error } else { StsError::ValidationError(error.message).into() })?;
        }
        let policies = Self { policy, policy_arns };
        if policies.characters() > POLICY_CHARACTERS {
            return Err(StsError::PackedPolicyTooLarge(percent(policies.characters(), POLICY_CHARACTERS)).into());
        }
        Ok(policies)
    }

    fn characters(&self) -> usize {
        let arns: usize = self.policy_arns.iter().map(|arn| arn.chars().count()).sum();
        self.policy.as_deref().map_or(0, policy::characters_without_white_space).saturating_add(arns)
    }

    fn is_empty(&self) -> bool {
        self.policy.is_none() && self.policy_arns.is_empty()
    }

    fn bytes(&self) -> usize {
        self.policy.iter().chain(&self.policy_arns).map(|text| text.len().saturating_add(1)).sum()
    }
}

/// How much of `all` something takes, in percent, rounded up.
fn percent(part: usize, all: usize) -> usize {
    part.saturating_mul(100).div_ceil(all.max(1))
}

/// How much of the space for policies and tags a session takes, in percent; `None` when nothing was passed.
pub(crate) fn packed_size(policies: &SessionPolicies, tags: &[(String, String)]) -> Result<Option<i32>, StsError> {
    if policies.is_empty() && tags.is_empty() {
        return Ok(None);
    }
    let pairs: usize = tags.iter().map(|(key, value)| key.len().saturating_add(value.len()).saturating_add(2)).sum();
    let percent = percent(policies.bytes().saturating_add(pairs), PACKED_BYTES);
    if percent > 100 {
        return Err(StsError::PackedPolicyTooLarge(percent));
    }
    Ok(i32::try_from(percent).ok())
}

/// Session tags of a request, checked.
pub(crate) fn tags_of_input(tags: Option<Vec<Tag>>) -> Result<Tags, StsError> {
    let pairs: Tags = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
    iam::tags::check(&pairs).map_err(|error| StsError::InvalidParameterValue(error.to_string()))?;
    Ok(pairs)
}

/// Tags of a new role session, with what it passes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionTags {
    pub(crate) tags: Tags,
    pub(crate) transitive_keys: Vec<String>,
}

impl SessionTags {
    /// Joins the tags of a request with the transitive ones of the calling session, which cannot be overridden.
    pub(crate) fn chained(caller: Option<&Session>, tags: Tags, transitive_keys: Vec<String>) -> Result<Self, StsError> {
        let same = iam::tags::same_key;
        let included = |key: &String| tags.iter().any(|(tag, _)| same(tag, key));
        let (inherited_keys, caller_tags) = caller.map_or((&[][..], &[][..]), |caller| (&caller.transitive_tag_keys, &caller.tags));
        let inherited: Tags =
            caller_tags.iter().filter(|(key, _)| inherited_keys.iter().any(|inherited| same(inherited, key))).cloned().collect();
        if tags.iter().any(|(key, _)| inherited.iter().any(|(inherited, _)| same(inherited, key))) {
            let text = "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.";
            return Err(StsError::InvalidParameterValue(text.to_owned()));
        }
        if !transitive_keys.iter().all(included) {
            let text = "The specified transitive tag key must be included in the requested tags.";
            return Err(StsError::InvalidParameterValue(text.to_owned()));
        }
        let joined = Self { tags: [inherited, tags].concat(), transitive_keys: [inherited_keys.to_vec(), transitive_keys].concat() };
        if joined.tags.len() > plane::tag::LIMIT {
            return Err(StsError::InvalidParameterValue("The number of session tags has reached the maximum limit.".to_owned()));
        }
        Ok(joined)
    }
}

/// The tags that a call passes, as conditions ask for them.
pub(crate) fn tag_keys(tags: &[(String, String)], keys: &mut MapContext) {
    for (key, value) in tags {
        keys.set(&format!("aws:RequestTag/{key}"), value.clone());
    }
    if !tags.is_empty() {
        keys.set_many("aws:TagKeys", tags.iter().map(|(key, _)| key.clone()));
    }
}

/// A new session of `duration_s` seconds that begins now.
pub(crate) fn begin(cx: &Call, issuer_operation: &str, duration_s: i32, policies: SessionPolicies, tags: SessionTags) -> Session {
    // Sessions begin and end on full seconds, as their expiration is told.
    let issued_ms = cx.now.0.div_euclid(1000).saturating_mul(1000);
    Session {
        issued_ms,
        expires_ms: issued_ms.saturating_add(i64::from(duration_s).saturating_mul(1000)),
        mfa_authenticated_ms: mfa::proved_ms(cx),
        policy: policies.policy,
        policy_arns: policies.policy_arns,
        tags: tags.tags,
        transitive_tag_keys: tags.transitive_keys,
        source_identity: None,
        federated_provider: None,
        chained: cx.principal.session.is_some(),
        issuer_operation: issuer_operation.to_owned(),
    }
}

/// Makes credentials for a principal with a session. The event names the key, so that a session can be traced to its beginning (IAM User Guide, "Logging
/// IAM and AWS STS API calls with AWS CloudTrail"); the secret and the token are hidden.
pub(crate) fn issue(cx: &mut Call, mut principal: Principal, session: Session) -> Result<Credentials, ApiError> {
    cx.audit.shows_answer = true;
    let randomness = cx.plane.randomness.as_ref();
    let access_key_id = identifier::access_key_id(randomness, identifier::SESSION_KEY)?;
    let secret = identifier::secret_access_key(randomness)?;
    let expiration = Timestamp(session.expires_ms);
    principal.access_key_id = Some(access_key_id.clone());
    principal.session = Some(session);
    let issued = plane::session::issue(&cx.plane.keyring, access_key_id, secret, &principal)?;
    Ok(Credentials {
        access_key_id: issued.access_key_id,
        secret_access_key: Secret::new(issued.secret_access_key.to_string()),
        session_token: Secret::new(issued.session_token),
        expiration,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    fn caller() -> Session {
        Session { tags: vec![pair("Team", "a"), pair("stage", "prod")], transitive_tag_keys: vec!["team".to_owned()], ..Session::default() }
    }

    #[test]
    fn transitive_tags_are_inherited_and_others_are_not() {
        let tags = SessionTags::chained(Some(&caller()), vec![pair("x", "1")], vec!["X".to_owned()]).unwrap();
        assert_eq!(tags.tags, [pair("Team", "a"), pair("x", "1")]);
        assert_eq!(tags.transitive_keys, ["team", "X"]);
    }

    #[test]
    fn an_inherited_tag_cannot_be_overridden() {
        let error = SessionTags::chained(Some(&caller()), vec![pair("TEAM", "b")], Vec::new()).unwrap_err();
        assert!(matches!(error, StsError::InvalidParameterValue(text) if text.contains("conflicts")));
        SessionTags::chained(Some(&caller()), vec![pair("stage", "dev")], Vec::new()).unwrap();
    }

    #[test]
    fn a_transitive_key_must_be_among_the_tags() {
        let error = SessionTags::chained(None, vec![pair("a", "")], vec!["b".to_owned()]).unwrap_err();
        assert!(matches!(error, StsError::InvalidParameterValue(text) if text.contains("must be included")));
    }

    #[test]
    fn the_packed_size_is_told_when_something_was_passed() {
        let none = SessionPolicies::default();
        assert_eq!(packed_size(&none, &[]), Ok(None));
        assert_eq!(packed_size(&none, &[pair("a", "b")]), Ok(Some(1)));
        let large = vec![pair(&"k".repeat(128), &"v".repeat(256)); 50];
        assert_eq!(packed_size(&none, &large), Err(StsError::PackedPolicyTooLarge(236)));
    }
}
