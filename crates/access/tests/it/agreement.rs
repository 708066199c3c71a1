//! Generated pairs of policies: a finding's witness is decided differently by the engine; where nothing is found, requests
//! made of the policies' own words and of their neighbours are all decided alike.

use std::sync::Arc;

use policy::{
    Attached, Check, MapContext, Policy, PolicyKind, PolicySet, PolicySource, Principal, PrincipalKind, Resource, ResourceKind,
    ResourcePolicy,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const ACTIONS: [&str; 9] = ["*", "s3:*", "s3:Get*", "s3:GetObject", "S3:getobject", "s3:*Object", "s3:Put?bject", "iam:PassRole", "iam:*"];
const RESOURCES: [&str; 10] = [
    "*",
    "arn:aws:s3:::*",
    "arn:aws:s3:::b",
    "arn:aws:s3:::b/*",
    "arn:aws:s3:::b/a*",
    "arn:aws:s3:::*/secret",
    "arn:aws:s3:*",
    "arn:*:s3:::b/?",
    "arn:aws:iam::111111111111:role/r",
    "arn:aws:s3:::b/${aws:username}/*",
];

fn condition() -> impl Strategy<Value = Option<(String, String, Json)>> {
    let one = |operators: &'static [&'static str], keys: &'static [&'static str], values: &'static [&'static str]| {
        (
            proptest::sample::select(operators),
            proptest::sample::select(keys),
            proptest::collection::vec(proptest::sample::select(values), 1..3),
        )
            .prop_map(|(operator, key, values)| Some((operator.to_owned(), key.to_owned(), json!(values))))
    };
    prop_oneof![
        3 => Just(None),
        2 => one(
            &["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIfExists", "StringEqualsIgnoreCase",
              "ForAnyValue:StringEquals", "ForAllValues:StringLike", "ForAnyValue:StringNotLike", "ForAllValues:StringNotEquals"],
            &["aws:SourceVpc", "aws:TagKeys"],
            &["a", "A", "a*", "*", "b", ""],
        ),
        1 => one(&["Null", "Bool", "BoolIfExists"], &["aws:SecureTransport", "aws:SourceVpc"], &["true", "false"]),
        1 => one(
            &["NumericLessThan", "NumericEquals", "NumericNotEquals", "NumericGreaterThanEquals", "NumericLessThanIfExists"],
            &["s3:max-keys"], &["10", "10.0", "5", "x"],
        ),
        1 => one(&["IpAddress", "NotIpAddress"], &["aws:SourceIp"], &["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "2001:db8::/32", "10.1.2.3"]),
        1 => one(&["DateLessThan", "DateGreaterThan"], &["aws:CurrentTime"], &["2026-01-01T00:00:00Z", "2027-01-01", "1767225600"]),
        1 => one(&["ArnLike", "ArnNotEquals"], &["aws:SourceArn"], &["arn:aws:s3:::b", "arn:aws:s3:*:*:b*", "*", "arn:aws:s3:*"]),
        1 => one(
            &["StringEquals", "StringNotEquals", "ArnLike"],
            &["aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalType"],
            &["111111111111", "222222222222", "arn:aws:iam::111111111111:user/ana", "arn:aws:iam::1*:*", "User"],
        ),
    ]
}

fn principal() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(json!("*")),
        Just(json!({ "AWS": "*" })),
        Just(json!({ "AWS": "111111111111" })),
        Just(json!({ "AWS": ["arn:aws:iam::111111111111:user/ana", "222222222222"] })),
        Just(json!({ "AWS": ["arn:aws:iam::111111111111:role/p/r", "arn:aws:sts::111111111111:assumed-role/r/s"] })),
        Just(json!({ "Service": "sns.amazonaws.com" })),
        Just(json!({ "Federated": "accounts.google.com" })),
    ]
}

fn statement(with_principal: bool) -> impl Strategy<Value = Json> {
    (
        prop_oneof![2 => Just("Allow"), 1 => Just("Deny")],
        prop_oneof![4 => Just("Action"), 1 => Just("NotAction")],
        proptest::collection::vec(proptest::sample::select(&ACTIONS[..]), 1..3),
        prop_oneof![4 => Just("Resource"), 1 => Just("NotResource")],
        proptest::collection::vec(proptest::sample::select(&RESOURCES[..]), 1..3),
        condition(),
        principal(),
        proptest::bool::weighted(0.2),
    )
        .prop_map(move |(effect, action, actions, resource, resources, condition, principal, negated)| {
            let mut statement = serde_json::Map::from_iter([
                ("Effect".to_owned(), json!(effect)),
                (action.to_owned(), json!(actions)),
                (resource.to_owned(), json!(resources)),
            ]);
            if let Some((operator, key, values)) = condition {
                statement.insert("Condition".to_owned(), json!({ operator: { key: values } }));
            }
            if with_principal {
                let element = if negated && effect == "Deny" { "NotPrincipal" } else { "Principal" };
                statement.insert(element.to_owned(), principal);
            }
            Json::Object(statement)
        })
}

fn document(with_principal: bool) -> impl Strategy<Value = String> {
    proptest::collection::vec(statement(with_principal), 1..4)
        .prop_map(|statements| json!({ "Version": "2012-10-17", "Statement": statements }).to_string())
}

fn principals() -> Vec<Principal> {
    let user = |account: &str, name: &str| Principal::new(PrincipalKind::User, account, format!("arn:aws:iam::{account}:user/{name}"));
    let role = PrincipalKind::RoleSession { role_arn: "arn:aws:iam::111111111111:role/p/r".to_owned() };
    vec![
        user("111111111111", "ana"),
        user("111111111111", "bob"),
        user("222222222222", "eve"),
        user("333333333333", "eve"),
        Principal::new(role, "111111111111", "arn:aws:sts::111111111111:assumed-role/r/s"),
        Principal::new(PrincipalKind::Root, "111111111111", "arn:aws:iam::111111111111:root"),
        Principal::anonymous(),
        Principal::unaccounted(PrincipalKind::Service { name: "sns.amazonaws.com".to_owned() }),
        Principal::unaccounted(PrincipalKind::WebIdentity { provider: "accounts.google.com".to_owned() }),
    ]
}

/// Values of keys at and around those that policies of this test name; `None` leaves the key out.
const VALUES: [(&str, &[Option<&str>]); 7] = [
    ("aws:SourceVpc", &[None, Some("a"), Some("A"), Some("ab"), Some("")]),
    ("aws:SecureTransport", &[None, Some("true"), Some("false")]),
    ("s3:max-keys", &[None, Some("5"), Some("7.5"), Some("10"), Some("11")]),
    ("aws:SourceIp", &[None, Some("10.1.2.3"), Some("10.2.0.0"), Some("8.8.8.8"), Some("2001:db8::1")]),
    ("aws:CurrentTime", &[None, Some("2026-01-01T00:00:00Z"), Some("2026-06-01T00:00:00Z"), Some("2028-01-01T00:00:00Z")]),
    ("aws:SourceArn", &[None, Some("arn:aws:s3:::b"), Some("arn:aws:s3:x:1:bc"), Some("text")]),
    ("aws:username", &[None, Some("ana")]),
];
const TAG_KEYS: [&[&str]; 5] = [&[], &["a"], &["b"], &["a", "b"], &["", "ab"]];

fn context() -> impl Strategy<Value = MapContext> {
    (proptest::collection::vec(0..8_usize, VALUES.len()), 0..6_usize).prop_map(|(picks, tags)| {
        let mut context = MapContext::new();
        for ((name, values), pick) in VALUES.iter().zip(picks) {
            if let Some(value) = values.get(pick).copied().flatten() {
                context.set(name, value);
            }
        }
        if let Some(tags) = TAG_KEYS.get(tags) {
            context.set_many("aws:TagKeys", tags.iter().copied());
        }
        context
    })
}

/// The engine's whole decision, with everybody's own policies allowing everything.
fn allowed(policy: &Arc<Policy>, principal: &Principal, check: &Check, context: &MapContext, has_boundary: bool) -> bool {
    let everything = |kind| {
        Attached::new(
            "all",
            PolicySource::None,
            Arc::new(Policy::parse_stored(
                r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
                kind,
            )),
        )
    };
    let attached = Attached::new("policy", PolicySource::None, Arc::clone(policy));
    let mut policies = PolicySet { boundary: has_boundary.then(|| everything(PolicyKind::Boundary)), ..PolicySet::default() };
    if policy.kind() == PolicyKind::Identity {
        policies.identity = vec![attached];
        policies.session = matches!(principal.kind, PrincipalKind::FederatedUser { .. }).then(|| vec![everything(PolicyKind::Session)]);
    } else {
        policies.identity = vec![everything(PolicyKind::Identity)];
        policies.session = matches!(principal.kind, PrincipalKind::FederatedUser { .. }).then(|| vec![everything(PolicyKind::Session)]);
        policies.resource = ResourcePolicy::new(attached);
    }
    policy::decide(principal, check, &policies, context, None).allowed
}

fn check(action: &str, resource: &str, owner: &str) -> Check {
    Check::new(action, Resource { arn: resource.to_owned(), account: Some(owner.to_owned()), ..Resource::default() })
}

fn agrees(new: &Arc<Policy>, old: &Arc<Policy>, contexts: &[MapContext], identity: bool) -> Result<(), TestCaseError> {
    let analysis = access::new_access(new, old, &["s3:GetObject", "s3:PutObject", "iam:PassRole"]);
    for finding in &analysis.findings {
        let witness = &finding.witness;
        let nameless = PrincipalKind::RoleSession { role_arn: "arn:aws:iam::999999999999:role/x".to_owned() };
        let nameless = Principal::new(nameless, "999999999999", "arn:aws:sts::999999999999:assumed-role/x/s");
        let caller = witness.principal.clone().unwrap_or(nameless);
        let owner = if identity { caller.account.clone().unwrap_or_default() } else { "000000000000".to_owned() };
        let check = check(&witness.action, &witness.resource, &owner);
        let decide = |policy| allowed(policy, &caller, &check, &witness.map_context(), witness.has_boundary);
        // IAM and STS refuse some kinds of credentials whatever the policies say.
        if !witness.action.to_lowercase().starts_with("iam:") && !witness.action.to_lowercase().starts_with("sts:") {
            prop_assert!(decide(new), "{witness:?}");
        }
        prop_assert!(!decide(old), "{witness:?}");
    }
    if !analysis.is_clear() {
        return Ok(());
    }
    let texts = ["s3:GetObject", "s3:PutObject", "s3:Get", "s3:ListBucket", "iam:PassRole", "iam:GetRole", "ec2:RunInstances"];
    let arns = [
        "*",
        "arn:aws:s3:::b",
        "arn:aws:s3:::b/a1",
        "arn:aws:s3:::b/ana/x",
        "arn:aws:s3:::b/secret",
        "arn:aws:s3:::x/secret",
        "arn:aws:iam::111111111111:role/r",
        "arn:aws-cn:s3:::b/k",
        "arn:aws:s3:r:1:b/k",
        "arn:aws:s3:::c",
    ];
    let everybody = principals();
    let callers = if identity { everybody.get(..1).unwrap_or_default() } else { &everybody[..] };
    for caller in callers {
        for context in contexts {
            for action in texts {
                for arn in arns {
                    let check = check(action, arn, "000000000000");
                    let said = |policy: &Policy| policy.says(caller, &check, context, false) == Some(policy::Effect::Allow);
                    prop_assert!(!said(new) || said(old), "{caller:?} {action} {arn} {context:?}");
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("ACCESS_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(192), ..ProptestConfig::default() })]

    #[test]
    fn identity_policies(new in document(false), old in document(false), contexts in proptest::collection::vec(context(), 6)) {
        let read = |text: &str| Arc::new(Policy::parse_stored(text, PolicyKind::Identity));
        agrees(&read(&new), &read(&old), &contexts, true)?;
    }

    #[test]
    fn resource_policies(new in document(true), old in document(true), contexts in proptest::collection::vec(context(), 3)) {
        let read = |text: &str| Arc::new(Policy::parse_stored(text, PolicyKind::Resource(ResourceKind::Standard)));
        agrees(&read(&new), &read(&old), &contexts, false)?;
    }

    /// A policy never gives more than itself.
    #[test]
    fn nothing_is_new_in_itself(text in document(false)) {
        let policy = Policy::parse_stored(&text, PolicyKind::Identity);
        prop_assert!(access::new_access(&policy, &policy, &[]).is_clear());
    }
}
