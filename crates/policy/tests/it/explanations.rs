//! What a reader gets to see: messages, explanations, and the helpers of the policy simulator.

use std::sync::Arc;

use policy::{
    Attached, Check, MapContext, Policy, PolicyKind, PolicySet, PolicySource, Principal, PrincipalKind, Resource, decide, explain,
    missing_keys,
};

const READER: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Read", "Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/${aws:username}/*",
     "Condition": {"StringEquals": {"aws:SourceVpc": ["vpc-1", "vpc-2"], "AWS:PrincipalTag/Team": "nlp"}}},
    {"Effect": "Allow", "Action": "s3:Put*", "Resource": "*"}
  ]
}"#;
const GUARD: &str = r#"{"Version":"2012-10-17","Statement":[
  {"Sid":"NoSecrets","Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::b/secret/*"}]}"#;

fn attached(id: &str, text: &str, kind: PolicyKind) -> Attached {
    let policy = Policy::parse(text, kind).unwrap();
    Attached::new(id, PolicySource::UserManaged, Arc::new(policy))
}

fn ana() -> Principal {
    Principal::new(PrincipalKind::User, "111111111111", "arn:aws:iam::111111111111:user/ana")
}

fn policies() -> PolicySet {
    PolicySet {
        identity: vec![
            attached("arn:aws:iam::111111111111:policy/reader", READER, PolicyKind::Identity),
            attached("arn:aws:iam::111111111111:policy/guard", GUARD, PolicyKind::Identity),
        ],
        ..PolicySet::default()
    }
}

fn get(arn: &str) -> Check {
    let resource = Resource { arn: arn.to_owned(), ..Resource::default() };
    Check::new("s3:GetObject", resource)
}

#[test]
fn messages_are_those_of_aws() {
    let (ana, context) = (ana(), MapContext::new());
    let check = get("arn:aws:s3:::b/secret/x");
    let decision = decide(&ana, &check, &policies(), &context, None);
    assert_eq!(
        decision.message(&ana.arn, "s3:GetObject", "arn:aws:s3:::b/secret/x"),
        "User: arn:aws:iam::111111111111:user/ana is not authorized to perform: s3:GetObject on resource: \
         arn:aws:s3:::b/secret/x with an explicit deny in an identity-based policy: \
         arn:aws:iam::111111111111:policy/guard"
    );
    let deciding = decision.deciding.unwrap();
    assert_eq!((deciding.statement_index, deciding.sid()), (Some(0), Some("NoSecrets")));
    assert_eq!(deciding.span().unwrap().start.line, 2);
    let check = get("arn:aws:s3:::b/ana/x");
    let decision = decide(&ana, &check, &policies(), &context, None);
    assert_eq!(
        decision.message(&ana.arn, "s3:GetObject", ""),
        "User: arn:aws:iam::111111111111:user/ana is not authorized to perform: s3:GetObject because no \
         identity-based policy allows the s3:GetObject action"
    );
}

#[test]
fn organization_policies_bind_without_facts_about_the_organization() {
    let deny = attached("scp", GUARD, PolicyKind::ServiceControl);
    let open = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let policies = PolicySet {
        identity: vec![attached("open", open, PolicyKind::Identity)],
        service_control: Some(vec![vec![deny]]),
        ..PolicySet::default()
    };
    let context = MapContext::new();
    let decision = decide(&ana(), &get("arn:aws:s3:::b/secret/x"), &policies, &context, None);
    assert_eq!((decision.allowed, decision.explicit), (false, Some(true)));
    let decision = decide(&ana(), &get("arn:aws:s3:::b/open/x"), &policies, &context, None);
    assert_eq!((decision.allowed, decision.explicit), (false, Some(false)));
}

#[test]
fn the_missing_key_is_named() {
    let check = get("arn:aws:s3:::b/ana/x");
    let mut context = MapContext::new();
    context.set("aws:SourceVpc", "vpc-9");
    let text = explain(&ana(), &check, &policies(), &context, None).to_string();
    insta::assert_snapshot!(text, @r"
    s3:GetObject is denied because no identity-based policy allows it on arn:aws:s3:::b/ana/x
      identity-based policy `arn:aws:iam::111111111111:policy/reader` says nothing
        statement 0 `Read` (Allow, line 4, column 5) has a condition that does not hold
          StringEquals aws:SourceVpc [`vpc-1`, `vpc-2`] fails: the key was `vpc-9`
          StringEquals AWS:PrincipalTag/Team [`nlp`] fails: the key is missing from the request
        statement 1 (Allow, line 6, column 5) does not match the action
      identity-based policy `arn:aws:iam::111111111111:policy/guard` says nothing
        statement 0 `NoSecrets` (Deny, line 2, column 3) does not match the resource
    ");
}

#[test]
fn simulator_helpers() {
    let (ana, policies) = (ana(), policies());
    let check = get("arn:aws:s3:::b/ana/x");
    let context = MapContext::new();
    let mentioned = policies.identity[0].policy.keys_mentioned();
    assert_eq!(mentioned, ["aws:username", "aws:SourceVpc", "AWS:PrincipalTag/Team"]);
    assert_eq!(missing_keys(&ana, &check, &policies, &context, None), ["aws:SourceVpc", "AWS:PrincipalTag/Team"]);
    let check = get("arn:aws:s3:::b/secret/x");
    let explanation = explain(&ana, &check, &policies, &context, None);
    let matched: Vec<_> =
        explanation.matched_statements().map(|(policy, statement)| (policy.policy_id.as_str(), statement.span.start.column)).collect();
    assert_eq!(matched, [("arn:aws:iam::111111111111:policy/guard", 3)]);
}
