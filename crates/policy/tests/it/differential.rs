//! The engine against the reference evaluator on generated worlds. `BAILIWICK_CASES` sets how many (default 3,000).

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::reference::{Answer, decide};

const ACCOUNTS: [&str; 3] = ["111111111111", "222222222222", "100000000001"];
const USER: &str = "arn:aws:iam::111111111111:user/ana";
const ROLE: &str = "arn:aws:iam::111111111111:role/p/trainer";
const SESSION: &str = "arn:aws:sts::111111111111:assumed-role/trainer/nightly";
const FEDERATED: &str = "arn:aws:sts::111111111111:federated-user/temp";
const ROOT: &str = "arn:aws:iam::111111111111:root";

fn callers() -> Vec<Value> {
    vec![
        json!({"kind": "user", "account": ACCOUNTS[0], "arn": USER}),
        json!({"kind": "user", "account": ACCOUNTS[0], "arn": USER, "credential": "session-token"}),
        json!({"kind": "role-session", "account": ACCOUNTS[0], "arn": SESSION, "role": ROLE}),
        json!({"kind": "role-session", "account": ACCOUNTS[0], "arn": SESSION, "role": ROLE, "service_linked": true}),
        json!({"kind": "federated-user", "account": ACCOUNTS[0], "arn": FEDERATED, "user": USER}),
        json!({"kind": "federated-user", "account": ACCOUNTS[0], "arn": FEDERATED, "user": ROOT}),
        json!({"kind": "root", "account": ACCOUNTS[0], "arn": ROOT}),
        json!({"kind": "root", "account": ACCOUNTS[0], "arn": ROOT, "assumed_root": true}),
        json!({"kind": "user", "account": ACCOUNTS[2], "arn": "arn:aws:iam::100000000001:user/boss"}),
        json!({"kind": "root", "account": ACCOUNTS[2], "arn": "arn:aws:iam::100000000001:root"}),
        json!({"kind": "service", "service": "sns.amazonaws.com"}),
        json!({"kind": "anonymous"}),
        json!({"kind": "web-identity", "provider": "accounts.google.com"}),
        json!({"kind": "saml", "provider": "arn:aws:iam::111111111111:saml-provider/corp"}),
    ]
}

/// Every caller takes part in every world; here are only the tags that it brings.
fn principal() -> impl Strategy<Value = Value> {
    select(vec![json!({}), json!({"Team": "nlp"}), json!({"team": "", "x": "a*"})]).prop_map(|tags| json!({ "tags": tags }))
}

fn one_or_list(pool: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let many = proptest::collection::vec(select(pool.clone()), 0..3).prop_map(|list| json!(list));
    prop_oneof![2 => select(pool).prop_map(|one| json!(one)), 1 => many]
}

fn actions() -> impl Strategy<Value = Value> {
    one_or_list(vec![
        "*",
        "s3:*",
        "s3:Get*",
        "S3:getobject",
        "s3:?etObject",
        "s3:PutObject",
        "sts:AssumeRole",
        "sts:*",
        "kms:Decrypt",
        "iam:*",
        "*:GetObject",
        "s*",
        "s3:*Policy",
    ])
}

fn resources() -> impl Strategy<Value = Value> {
    one_or_list(vec![
        "*",
        "arn:aws:s3:::b/*",
        "arn:aws:s3:::b",
        "arn:aws:s3:::b/${aws:username}/*",
        "arn:aws:s3:*",
        "arn:aws:s3:::b/${aws:PrincipalTag/team, 'all'}/*",
        "arn:aws:iam::*:role/*",
        "arn:*:*:*:*:*",
        "arn:aws:s3:::?/a*",
        "arn:aws:iam::${aws:PrincipalAccount}:role/*",
        "arn:aws:s3:::b/${*}/x",
    ])
}

fn principals() -> impl Strategy<Value = Value> {
    let aws = one_or_list(vec!["*", ACCOUNTS[0], ACCOUNTS[1], ROOT, USER, ROLE, SESSION, FEDERATED, "arn:aws:iam::111111111111:user/*"]);
    prop_oneof![
        2 => Just(json!("*")),
        5 => aws.prop_map(|aws| json!({"AWS": aws})),
        1 => Just(json!({"Service": "sns.amazonaws.com"})),
        1 => Just(json!({"Federated": ["accounts.google.com", "arn:aws:iam::111111111111:saml-provider/corp"]})),
        1 => Just(json!({"AWS": USER, "Service": ["sns.amazonaws.com"], "Federated": "accounts.google.com"})),
        1 => Just(json!({"AWS": [ACCOUNTS[0], ROLE, SESSION, USER]})),
    ]
}

fn condition() -> impl Strategy<Value = Value> {
    let rows = vec![
        ("StringEquals", "aws:username", json!("ana")),
        ("StringNotEquals", "aws:PrincipalTag/team", json!(["nlp", "x"])),
        ("StringLike", "aws:PrincipalArn", json!("arn:aws:iam::*:role/*")),
        ("ArnLike", "aws:PrincipalArn", json!(["arn:aws:iam::*:role/p/*", USER])),
        ("ArnNotEquals", "aws:SourceArn", json!("arn:aws:sns:*:*:t")),
        ("Bool", "aws:SecureTransport", json!("false")),
        ("BoolIfExists", "aws:PrincipalIsAWSService", json!(false)),
        ("Null", "aws:TagKeys", json!("true")),
        ("Null", "aws:PrincipalTag/Team", json!(false)),
        ("ForAllValues:StringEquals", "aws:TagKeys", json!(["env", "cost"])),
        ("ForAnyValue:StringLike", "aws:TagKeys", json!("e*")),
        ("ForAnyValue:StringNotEquals", "aws:TagKeys", json!("env")),
        ("ForAllValues:StringNotLike", "aws:TagKeys", json!("c*")),
        ("NumericLessThan", "s3:max-keys", json!(10)),
        ("NumericLessThanIfExists", "s3:max-keys", json!("10.5")),
        ("IpAddress", "aws:SourceIp", json!(["10.0.0.0/8", "203.0.113.7"])),
        ("NotIpAddress", "aws:SourceIp", json!("10.0.0.0/8")),
        ("StringEquals", "aws:RequestTag/env", json!("${aws:PrincipalTag/Team}")),
        ("StringNotEqualsIgnoreCase", "aws:RequestTag/ENV", json!("NLP")),
        ("StringNotEqualsIfExists", "aws:PrincipalOrgID", json!("o-1")),
        ("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", json!("o-1/r-1/*")),
        ("StringEquals", "aws:ResourceAccount", json!("${aws:PrincipalAccount}")),
        ("StringEquals", "aws:PrincipalType", json!(["User", "AssumedRole"])),
        ("StringLike", "aws:PrincipalTag/x", json!("a${*}")),
        ("StringEquals", "aws:PrincipalOrgPaths", json!("${aws:ResourceOrgPaths}")),
        ("Bool", "aws:AssumedRoot", json!("true")),
        ("StringEquals", "kms:EncryptionContext:Project", json!(["x", "y"])),
        ("ForAllValues:StringEquals", "kms:EncryptionContextKeys", json!(["Project"])),
        ("StringEquals", "iam:ResourceTag/stage", json!("prod")),
        ("StringEquals", "aws:ResourceTag/stage", json!("prod")),
        ("StringEquals", "aws:PrincipalServiceName", json!("sns.amazonaws.com")),
        ("StringEquals", "aws:SourceVpc", json!("vpc-1")),
    ];
    proptest::collection::vec(select(rows), 0..3).prop_map(|rows| {
        let mut condition = Map::new();
        for (operator, key, values) in rows {
            condition.entry(operator).or_insert_with(|| json!({}))[key] = values;
        }
        Value::Object(condition)
    })
}

/// A statement; `with_principal` says whether the policy is attached to a resource.
fn statement(with_principal: bool) -> impl Strategy<Value = Value> {
    (
        prop::bool::weighted(0.75),
        (actions(), prop::bool::weighted(0.85)),
        (resources(), prop::bool::weighted(0.85)),
        (principals(), prop::bool::weighted(0.85)),
        prop_oneof![Just(json!({})), condition()],
    )
        .prop_map(move |(allow, action, resource, principal, condition)| {
            let mut statement = json!({"Effect": if allow { "Allow" } else { "Deny" }, "Condition": condition});
            statement[if action.1 { "Action" } else { "NotAction" }] = action.0;
            statement[if resource.1 { "Resource" } else { "NotResource" }] = resource.0;
            if with_principal {
                statement[if principal.1 { "Principal" } else { "NotPrincipal" }] = principal.0;
            }
            statement
        })
}

/// Documents are short mostly, and long enough for the index sometimes.
fn document(with_principal: bool) -> impl Strategy<Value = Value> {
    let count = prop_oneof![8 => 1usize..4, 1 => 7usize..12];
    let version = prop::bool::weighted(0.85);
    (count, version)
        .prop_flat_map(move |(count, version)| (proptest::collection::vec(statement(with_principal), count), Just(version)))
        .prop_map(|(statements, version)| {
            let mut document = json!({"Statement": statements});
            if version {
                document["Version"] = json!("2012-10-17");
            }
            document
        })
}

fn full() -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
}

/// Mostly absent, sometimes everything, sometimes anything.
fn maybe(with_principal: bool) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        3 => Just(None),
        1 => Just((!with_principal).then(full)),
        2 => document(with_principal).prop_map(Some),
    ]
}

fn encryption_context() -> impl Strategy<Value = Value> {
    select(vec![json!({}), json!({"Project": "x"}), json!({"project": "x", "stage": "y"})])
}

fn grant() -> impl Strategy<Value = Value> {
    let grantee = select(vec![USER, ROLE, SESSION, ROOT, "sns.amazonaws.com", "arn:aws:iam::100000000001:user/boss"]);
    let operations = select(vec![json!(["Decrypt"]), json!(["Encrypt", "DescribeKey"]), json!(["Decrypt", "DescribeKey"])]);
    let constraints = select(vec![
        json!({}),
        json!({"EncryptionContextSubset": {"project": "x"}}),
        json!({"EncryptionContextEquals": {"Project": "x"}}),
        json!({"SourceArn": "arn:aws:sns:eu:1:t"}),
    ]);
    (grantee, operations, constraints).prop_map(
        |(grantee, operations, constraints)| json!({"GranteePrincipal": grantee, "Operations": operations, "Constraints": constraints}),
    )
}

fn check() -> impl Strategy<Value = Value> {
    let action = select(vec![
        "s3:GetObject",
        "s3:GetObject",
        "s3:PutObject",
        "S3:PUTOBJECT",
        "s3:DeleteBucketPolicy",
        "sts:AssumeRole",
        "sts:GetSessionToken",
        "sts:GetCallerIdentity",
        "kms:Decrypt",
        "kms:DescribeKey",
        "iam:CreateUser",
        "lambda:Invoke",
    ]);
    let arn = select(vec![
        "arn:aws:s3:::b/ana/x",
        "arn:aws:s3:::b/nlp/y",
        "arn:aws:s3:::b/all/z",
        "arn:aws:s3:::b",
        "*",
        "arn:aws:iam::111111111111:role/r",
        "arn:aws:s3:::b/*/x",
    ]);
    let context = select(vec![
        json!({}),
        json!({"aws:SourceIp": "10.1.2.3", "aws:SecureTransport": "false"}),
        json!({"aws:sourceip": "203.0.113.7", "s3:max-keys": "7", "aws:MultiFactorAuthPresent": "true"}),
        json!({"s3:max-keys": "10.25", "aws:SourceArn": "arn:aws:sns:eu:1:t"}),
        json!({"aws:TagKeys": [], "s3:max-keys": "many"}),
    ]);
    let tags = select(vec![Value::Null, json!({"env": "nlp"}), json!({"env": "x", "cost": "1"}), json!({"Env": ""})]);
    let kind = select(vec!["standard", "standard", "trust", "kms"]);
    let more = (prop::bool::weighted(0.15), prop::bool::weighted(0.1), proptest::collection::vec(grant(), 0..2), encryption_context());
    (action, arn, select(ACCOUNTS.to_vec()), context, tags, kind, maybe(true), more).prop_map(
        |(action, arn, account, context, tags, kind, policy, (restricted, aws_managed_key, grants, encryption_context))| {
            let mut check = json!({
                "action": action, "resource": {"arn": arn, "account": account, "tags": {"Stage": "prod"}},
                "context": context, "resource_policy_kind": kind, "s3_restrict_public_buckets": restricted,
            });
            if kind == "kms" {
                check["resource"]["aws_managed_key"] = json!(aws_managed_key);
                check["kms_grants"] = json!(grants);
                check["encryption_context"] = encryption_context;
            }
            if let Some(policy) = policy {
                check["resource_policy"] = policy;
            }
            if !tags.is_null() {
                check["request_tags"] = tags;
            }
            check
        },
    )
}

fn organization() -> impl Strategy<Value = Value> {
    let level = || {
        let anything = document(false).prop_map(|document| json!(["FullAWSAccess", document]));
        prop_oneof![3 => Just(json!(["FullAWSAccess"])), 1 => anything, 1 => document(false).prop_map(|one| json!([one]))]
    };
    let rcps = prop_oneof![2 => Just(json!([])), 1 => document(true).prop_map(|one| json!([[one], []]))];
    let org = (level(), level(), rcps).prop_map(|(root, account, rcps)| {
        json!({
            "id": "o-1", "management": ACCOUNTS[2],
            "accounts": {
                ACCOUNTS[2]: {"path": "o-1/r-1/", "scps": [root], "rcps": rcps},
                ACCOUNTS[0]: {"path": "o-1/r-1/ou-1/", "scps": [root, account], "rcps": rcps},
            },
        })
    });
    prop_oneof![2 => Just(Value::Null), 1 => org]
}

/// A world with one of its callers.
pub(crate) fn case_of_one_caller() -> impl Strategy<Value = Value> {
    (case(), select(callers())).prop_map(|(world, caller)| asked_by(&world, &caller))
}

fn asked_by(world: &Value, caller: &Value) -> Value {
    let mut case = world.clone();
    let tags = world["principal"]["tags"].clone();
    case["principal"] = caller.clone();
    case["principal"]["tags"] = tags;
    case
}

fn case() -> impl Strategy<Value = Value> {
    let policies = (proptest::collection::vec(prop_oneof![Just(full()), document(false)], 0..3), maybe(false), maybe(false), maybe(true));
    (principal(), policies, proptest::collection::vec(check(), 1..3), organization()).prop_map(
        |(principal, (identity, boundary, session, endpoint), checks, org)| {
            let mut policies = json!({"identity": identity});
            if let Some(boundary) = boundary {
                policies["boundary"] = boundary;
            }
            if let Some(session) = session {
                policies["session"] = json!([session]);
            }
            if let Some(endpoint) = endpoint {
                policies["vpc_endpoint"] = endpoint;
            }
            let mut case = json!({"id": "generated", "principal": principal, "policies": policies, "checks": checks});
            if !org.is_null() {
                case["org"] = org;
            }
            case
        },
    )
}

/// How many cases to try: `BAILIWICK_CASES` times the usual thousands, one hundred for a night's run.
pub(crate) fn cases_wanted(usual: u32) -> u32 {
    let factor = std::env::var("BAILIWICK_CASES").ok().and_then(|factor| factor.parse::<u32>().ok()).unwrap_or(1);
    usual.saturating_mul(factor)
}

/// Runs a property over so many generated values; a value that fails is made as small as it gets.
pub(crate) fn run<T: std::fmt::Debug>(cases: u32, strategy: &impl Strategy<Value = T>, check: impl Fn(&T) -> Result<(), String>) {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    proptest::test_runner::TestRunner::new(config).run(strategy, |value| check(&value).map_err(TestCaseError::fail)).unwrap();
}

fn answer_of(decision: Option<&policy::Decision>) -> Answer {
    let Some(decision) = decision else { return Answer::Allow };
    let names = decision.denied_by.iter().map(|denier| denier.name()).collect();
    match decision.explicit {
        Some(true) => Answer::Explicit(names),
        Some(false) => Answer::Implicit(names),
        None => Answer::Limit,
    }
}

/// Both answers to a case, and the rule of the engine that refused it.
fn answers(case: &Value, compiled: &mut policy::cases::Compiled) -> (Answer, Answer, Option<&'static str>) {
    let parsed: policy::cases::Case = serde_json::from_value(case.clone()).unwrap();
    let decision = parsed.refusal_with(compiled).unwrap();
    (decide(case), answer_of(decision.as_ref()), decision.and_then(|decision| decision.rule))
}

/// Each generated world is asked by every kind of caller.
fn compare(worlds: u32) {
    let seen = std::cell::RefCell::new([0_u32; 4]);
    let rules = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let callers = callers();
    run(worlds, &case(), |world| {
        let mut compiled = policy::cases::Compiled::default();
        callers.iter().try_for_each(|caller| {
            let case = asked_by(world, caller);
            let (expected, found, rule) = answers(&case, &mut compiled);
            rules.borrow_mut().extend(rule);
            let kind = match &expected {
                Answer::Allow => 0,
                Answer::Explicit(_) => 1,
                Answer::Implicit(_) => 2,
                Answer::Limit => 3,
            };
            seen.borrow_mut()[kind] += 1;
            if expected == found { Ok(()) } else { Err(format!("expected {expected:?}, found {found:?}: {case}")) }
        })
    });
    // A generator that only ever denies would prove little.
    let seen = seen.into_inner();
    let decided = rules.into_inner();
    for rule in policy::RULES.iter().filter(|rule| rule.name != "caller-identity") {
        assert!(decided.contains(rule.name), "no generated case is refused by the rule `{}`", rule.name);
    }
    assert!(seen.iter().all(|count| *count > worlds / 20), "{seen:?}");
}

#[test]
fn engine_and_reference_agree() {
    compare(cases_wanted(1_500));
}

#[test]
fn engine_and_reference_agree_again() {
    compare(cases_wanted(1_500));
}

/// Cases on which the two once disagreed, each with the answer that the documentation gives.
#[test]
fn old_disagreements_stay_settled() {
    for line in include_str!("data/disagreements.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (expected, found, _) = answers(&case, &mut policy::cases::Compiled::default());
        assert_eq!(format!("{expected:?}"), case["answer"].as_str().unwrap(), "the reference: {line}");
        assert_eq!(format!("{found:?}"), case["answer"].as_str().unwrap(), "the engine: {line}");
    }
}
