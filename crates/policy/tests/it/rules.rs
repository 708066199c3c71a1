//! One row for each rule of the decision that needs several policies to show.

use policy::cases::decide_line;
use serde_json::{Value, json};

const USER: &str = "arn:aws:iam::111111111111:user/ana";
const ROLE: &str = "arn:aws:iam::111111111111:role/trainer";
const SESSION: &str = "arn:aws:sts::111111111111:assumed-role/trainer/s";
const FEDERATED: &str = "arn:aws:sts::111111111111:federated-user/temp";
const ROOT: &str = "arn:aws:iam::111111111111:root";
const KEY: &str = "arn:aws:kms:eu-central-1:111111111111:key/k";

fn user() -> Value {
    json!({"kind": "user", "account": "111111111111", "arn": USER})
}
fn session() -> Value {
    json!({"kind": "role-session", "account": "111111111111", "arn": SESSION, "role": ROLE})
}
fn federated() -> Value {
    json!({"kind": "federated-user", "account": "111111111111", "arn": FEDERATED, "user": USER})
}
fn root() -> Value {
    json!({"kind": "root", "account": "111111111111", "arn": ROOT})
}
fn policy(effect: &str, action: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": "*"}]})
}
fn resource_policy(effect: &str, principal: &Value, action: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": effect, "Principal": principal, "Action": action, "Resource": "*"}]})
}
fn get(owner: &str, policy: &Value) -> Value {
    json!({"action": "s3:GetObject", "resource": {"arn": "arn:aws:s3:::b/k", "account": owner}, "resource_policy": policy})
}
fn kms(action: &str, policy: &Value) -> Value {
    json!({"action": action, "resource": {"arn": KEY, "account": "111111111111"},
        "resource_policy_kind": "kms", "resource_policy": policy})
}

/// `Allow`, or the types that deny behind `explicit:` or `implicit:`, or `limit`.
fn answer(principal: &Value, policies: &Value, check: &Value, org: &Value) -> String {
    let mut case = json!({"principal": principal, "policies": policies, "checks": [check]});
    if !org.is_null() {
        case["org"] = org.clone();
    }
    let verdict: Value = serde_json::from_str(&decide_line(&case.to_string())).unwrap();
    if verdict["decision"] == "Allow" {
        return "Allow".to_owned();
    }
    let types: Vec<&str> =
        verdict["denied_by"].as_array().unwrap_or_else(|| panic!("{verdict:#}")).iter().map(|name| name.as_str().unwrap()).collect();
    match verdict["explicit"].as_bool() {
        None => "limit".to_owned(),
        Some(true) => format!("explicit: {}", types.join(", ")),
        Some(false) => format!("implicit: {}", types.join(", ")),
    }
}

fn check_rows(rows: &[(&str, Value, Value, Value, &str)]) {
    for (name, principal, policies, check, expected) in rows {
        assert_eq!(answer(principal, policies, check, &Value::Null), *expected, "{name}");
    }
}

#[test]
fn one_account_and_how_closely_a_grant_names_the_caller() {
    let own = "111111111111";
    let grant = |principal: &str| get(own, &resource_policy("Allow", &json!({"AWS": principal}), "s3:*"));
    let bound = json!({"boundary": policy("Allow", "ec2:*")});
    let passed = json!({"session": [policy("Allow", "ec2:*")]});
    let open = json!({"session": [policy("Allow", "s3:*")]});
    let both = json!({"identity": [policy("Allow", "s3:*")], "boundary": policy("Allow", "ec2:*")});
    check_rows(&[
        ("user named, boundary silent", user(), bound.clone(), grant(USER), "Allow"),
        ("everybody named, boundary silent", user(), bound.clone(), grant("*"), "Allow"),
        ("account named", user(), json!({}), grant(own), "implicit: identity-based policy"),
        ("account named, identity allows, boundary silent", user(), both.clone(), grant(own), "implicit: permissions boundary"),
        ("nobody named, boundary silent", user(), both, get(own, &Value::Null), "implicit: permissions boundary"),
        ("session named, session policy silent", session(), passed.clone(), grant(SESSION), "Allow"),
        ("role named, session policy silent", session(), passed.clone(), grant(ROLE), "implicit: session policy"),
        ("role named, boundary silent", session(), bound, grant(ROLE), "implicit: permissions boundary"),
        ("role named", session(), json!({}), grant(ROLE), "Allow"),
        ("federated user named", federated(), json!({}), grant(FEDERATED), "Allow"),
        ("user behind the federated one named", federated(), open.clone(), grant(USER), "Allow"),
        (
            "federated user without session policy",
            federated(),
            json!({"identity": [policy("Allow", "*")]}),
            get(own, &Value::Null),
            "implicit: session policy",
        ),
        ("federated user, intersection", federated(), open, get(own, &Value::Null), "implicit: identity-based policy"),
        (
            "session policies present and empty",
            session(),
            json!({"identity": [policy("Allow", "*")], "session": []}),
            get(own, &Value::Null),
            "implicit: session policy",
        ),
        (
            "explicit deny in a silent partner",
            user(),
            json!({"session": []}),
            get(own, &resource_policy("Deny", &json!("*"), "s3:*")),
            "explicit: resource-based policy",
        ),
        ("root needs nothing", root(), json!({}), get(own, &Value::Null), "Allow"),
        (
            "root and an explicit deny",
            root(),
            json!({}),
            get(own, &resource_policy("Deny", &json!("*"), "s3:*")),
            "explicit: resource-based policy",
        ),
    ]);
}

#[test]
fn two_accounts_both_sides() {
    let other = "222222222222";
    let grant = |principal: &str| get(other, &resource_policy("Allow", &json!({"AWS": principal}), "s3:*"));
    let allow = json!({"identity": [policy("Allow", "s3:*")]});
    check_rows(&[
        ("both", user(), allow.clone(), grant("111111111111"), "Allow"),
        ("neither", user(), json!({}), get(other, &Value::Null), "implicit: resource-based policy, identity-based policy"),
        ("caller's side only", user(), allow.clone(), get(other, &Value::Null), "implicit: resource-based policy"),
        (
            "session named does not bypass",
            session(),
            json!({"identity": [policy("Allow", "s3:*")], "session": [policy("Allow", "ec2:*")]}),
            grant(SESSION),
            "implicit: session policy",
        ),
        ("root of the other account, granted", root(), json!({}), grant("111111111111"), "Allow"),
        (
            "service, granted",
            json!({"kind": "service", "service": "sns.amazonaws.com"}),
            json!({}),
            get(other, &resource_policy("Allow", &json!({"Service": "sns.amazonaws.com"}), "s3:*")),
            "Allow",
        ),
        ("anonymous, granted", json!({"kind": "anonymous"}), json!({}), grant("*"), "Allow"),
        ("anonymous, account granted", json!({"kind": "anonymous"}), json!({}), grant("111111111111"), "implicit: resource-based policy"),
    ]);
}

#[test]
fn buckets_of_their_own_account() {
    let deny = resource_policy("Deny", &json!("*"), "s3:*");
    let repair = |action: &str| json!({"action": action, "resource": {"arn": "arn:aws:s3:::b", "account": "111111111111"}, "resource_policy": deny.clone()});
    let restricted = |principal: &Value| {
        let mut check = get("222222222222", &resource_policy("Allow", principal, "s3:*"));
        check["s3_restrict_public_buckets"] = json!(true);
        check
    };
    let allow = json!({"identity": [policy("Allow", "s3:*")]});
    let not = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "NotPrincipal": {"AWS": [USER, ROOT]}, "Action": "*", "Resource": "*"}]});
    let bounded = json!({"identity": [policy("Allow", "s3:*")], "boundary": policy("Allow", "*")});
    check_rows(&[
        ("owner's root repairs the policy", root(), json!({}), repair("s3:DeleteBucketPolicy"), "Allow"),
        ("owner's root does nothing else", root(), json!({}), repair("s3:DeleteBucket"), "explicit: resource-based policy"),
        ("a user cannot repair it", user(), allow.clone(), repair("s3:DeleteBucketPolicy"), "explicit: resource-based policy"),
        (
            "public bucket restricted, stranger",
            json!({"kind": "anonymous"}),
            json!({}),
            restricted(&json!("*")),
            "explicit: resource-based policy",
        ),
        ("public bucket restricted, other account", user(), allow.clone(), restricted(&json!("*")), "explicit: resource-based policy"),
        ("bucket not public", user(), allow.clone(), restricted(&json!({"AWS": "111111111111"})), "Allow"),
        ("NotPrincipal spares user with account", user(), allow, get("111111111111", &not), "Allow"),
        ("NotPrincipal never spares a boundary", user(), bounded, get("111111111111", &not), "explicit: resource-based policy"),
    ]);
}

#[test]
fn keys() {
    let allow = json!({"identity": [policy("Allow", "kms:*")]});
    let account = resource_policy("Allow", &json!({"AWS": ROOT}), "kms:Decrypt");
    let mine = resource_policy("Allow", &json!({"AWS": USER}), "kms:Decrypt");
    let with_grant = |grant: Value, action: &str| {
        let mut check = kms(action, &resource_policy("Allow", &json!({"AWS": "arn:aws:iam::111111111111:user/admin"}), "kms:*"));
        check["kms_grants"] = json!([grant]);
        check["encryption_context"] = json!({"Project": "x", "stage": "prod"});
        check
    };
    let grant =
        json!({"grantee_principal": USER, "operations": ["Decrypt"], "constraints": {"encryption_context_subset": {"project": "x"}}});
    let api = json!({"GranteePrincipal": ROLE, "Operations": ["Decrypt", "DescribeKey"], "Constraints": {"EncryptionContextEquals": {"Project": "x"}}});
    let sourced = json!({"grantee": USER, "operations": ["Decrypt"], "source_arn": "arn:aws:s3:::b"});
    let denied = json!({"identity": [policy("Deny", "kms:Decrypt")]});
    check_rows(&[
        ("identity alone is nothing", user(), allow.clone(), kms("kms:Decrypt", &Value::Null), "implicit: resource-based policy"),
        ("account statement switches IAM on", user(), allow.clone(), kms("kms:Decrypt", &account), "Allow"),
        ("only for the actions it covers", user(), allow, kms("kms:Encrypt", &account), "implicit: resource-based policy"),
        ("account statement alone", user(), json!({}), kms("kms:Decrypt", &account), "implicit: identity-based policy"),
        ("user named", user(), json!({}), kms("kms:Decrypt", &mine), "Allow"),
        ("root through the account statement", root(), json!({}), kms("kms:Decrypt", &account), "Allow"),
        ("root without it", root(), json!({}), kms("kms:Decrypt", &mine), "implicit: resource-based policy"),
        ("grant", user(), json!({}), with_grant(grant.clone(), "kms:Decrypt"), "Allow"),
        ("grant, other operation", user(), json!({}), with_grant(grant.clone(), "kms:Encrypt"), "implicit: resource-based policy"),
        ("grant against a deny", user(), denied, with_grant(grant, "kms:Decrypt"), "explicit: identity-based policy"),
        (
            "grant to a role, context differs",
            session(),
            json!({}),
            with_grant(api.clone(), "kms:Decrypt"),
            "implicit: resource-based policy",
        ),
        ("constraint does not bind DescribeKey", session(), json!({}), with_grant(api, "kms:DescribeKey"), "Allow"),
        ("grant for a source", user(), json!({}), with_grant(sourced, "kms:Decrypt"), "implicit: resource-based policy"),
    ]);
}

#[test]
fn roles_and_tokens() {
    let assume = |principal: Value, action: &str| {
        json!({"action": action, "resource": {"arn": ROLE, "account": "111111111111"}, "resource_policy_kind": "trust",
            "resource_policy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:*"}]}})
    };
    let sts = |action: &str| json!({"action": action, "resource": {"arn": "*"}});
    let allow = json!({"identity": [policy("Allow", "*")]});
    let deny = json!({"identity": [policy("Deny", "*")]});
    let mut token = user();
    token["credential"] = json!("session-token");
    let google = json!({"kind": "web-identity", "provider": "accounts.google.com"});
    check_rows(&[
        ("user named in the trust policy", user(), json!({}), assume(json!({"AWS": USER}), "sts:AssumeRole"), "Allow"),
        (
            "account named, identity silent",
            user(),
            json!({}),
            assume(json!({"AWS": ROOT}), "sts:AssumeRole"),
            "implicit: identity-based policy",
        ),
        ("not named", user(), allow.clone(), assume(json!({"AWS": "222222222222"}), "sts:AssumeRole"), "implicit: role trust policy"),
        ("root cannot assume", root(), json!({}), assume(json!({"AWS": ROOT}), "sts:AssumeRole"), "limit"),
        (
            "web identity",
            google.clone(),
            json!({}),
            assume(json!({"Federated": "accounts.google.com"}), "sts:AssumeRoleWithWebIdentity"),
            "Allow",
        ),
        (
            "another provider",
            google,
            json!({}),
            assume(json!({"Federated": "www.amazon.com"}), "sts:AssumeRoleWithWebIdentity"),
            "implicit: role trust policy",
        ),
        ("who am I", user(), deny.clone(), sts("sts:GetCallerIdentity"), "Allow"),
        ("session token needs no permission", user(), json!({}), sts("sts:GetSessionToken"), "Allow"),
        ("a session gets no token", session(), allow.clone(), sts("sts:GetSessionToken"), "limit"),
        ("token and IAM without MFA", token.clone(), allow.clone(), sts("iam:ListUsers"), "limit"),
        (
            "token and IAM with MFA",
            token.clone(),
            allow.clone(),
            json!({"action": "iam:ListUsers", "resource": {"arn": "*"}, "context": {"aws:MultiFactorAuthPresent": "true"}}),
            "Allow",
        ),
        ("token and S3", token, allow.clone(), sts("s3:ListAllMyBuckets"), "Allow"),
        (
            "federated user and IAM",
            federated(),
            json!({"identity": [policy("Allow", "*")], "session": [policy("Allow", "*")]}),
            sts("iam:ListUsers"),
            "limit",
        ),
        (
            "root session is bound by its task",
            json!({"kind": "root", "account": "111111111111", "arn": ROOT, "assumed_root": true}),
            json!({"session": [policy("Allow", "s3:*")]}),
            sts("sqs:DeleteQueue"),
            "implicit: session policy",
        ),
    ]);
}

#[test]
fn organizations() {
    let full = json!(["FullAWSAccess"]);
    let org = |scps: Value, rcps: Value| {
        json!({"id": "o-1", "management": "100000000001", "accounts": {
            "111111111111": {"path": "o-1/r-1/ou-1/", "scps": scps, "rcps": rcps},
            "100000000001": {"path": "o-1/r-1/", "scps": [[policy("Deny", "*")]], "rcps": rcps},
        }})
    };
    let open = org(json!([full, full]), json!([]));
    let narrow = org(json!([full, [policy("Allow", "ec2:*")]]), json!([]));
    let empty = org(json!([full, []]), json!([]));
    let deny = org(json!([["FullAWSAccess", policy("Deny", "s3:*")], full]), json!([]));
    let perimeter = org(json!([full]), json!([[resource_policy("Deny", &json!("*"), "*")], []]));
    let allow = json!({"identity": [policy("Allow", "*")]});
    let own = get("111111111111", &Value::Null);
    let granted = get("111111111111", &resource_policy("Allow", &json!({"AWS": USER}), "s3:*"));
    let mut linked = session();
    linked["service_linked"] = json!(true);
    let boss = json!({"kind": "user", "account": "100000000001", "arn": "arn:aws:iam::100000000001:user/b"});
    let lambda = json!({"action": "lambda:InvokeFunction", "resource": {"arn": "*", "account": "111111111111"}});
    for (name, principal, check, org, expected) in [
        ("all levels allow", user(), &own, &open, "Allow"),
        ("one level silent", user(), &own, &narrow, "implicit: service control policy"),
        ("one level empty", user(), &own, &empty, "implicit: service control policy"),
        ("a direct grant does not help", user(), &granted, &narrow, "implicit: service control policy"),
        ("denied at the root", user(), &own, &deny, "explicit: service control policy"),
        ("binds root users", root(), &own, &deny, "explicit: service control policy"),
        ("spares service-linked roles", linked.clone(), &own, &deny, "Allow"),
        ("spares the management account", boss.clone(), &get("100000000001", &Value::Null), &deny, "Allow"),
        ("resource control", user(), &own, &perimeter, "explicit: resource control policy"),
        ("resource control, root", root(), &own, &perimeter, "explicit: resource control policy"),
        ("resource control, service-linked role", linked, &own, &perimeter, "Allow"),
        ("resource control, service not on the list", user(), &lambda, &perimeter, "Allow"),
        ("resource control, management account's resource", boss.clone(), &get("100000000001", &Value::Null), &perimeter, "Allow"),
        (
            "root session into a member",
            boss,
            &json!({"action": "sts:AssumeRoot", "resource": {"arn": ROOT, "account": "111111111111"}}),
            &open,
            "Allow",
        ),
        (
            "root session into a stranger",
            user(),
            &json!({"action": "sts:AssumeRoot", "resource": {"arn": "arn:aws:iam::222222222222:root", "account": "222222222222"}}),
            &open,
            "implicit: resource-based policy",
        ),
    ] {
        assert_eq!(answer(&principal, &allow, check, org), expected, "{name}");
    }
}

#[test]
fn endpoints() {
    let own = get("111111111111", &Value::Null);
    let with = |endpoint: Value| json!({"identity": [policy("Allow", "*")], "vpc_endpoint": endpoint});
    check_rows(&[
        ("open", user(), with(resource_policy("Allow", &json!("*"), "*")), own.clone(), "Allow"),
        ("silent", user(), with(resource_policy("Allow", &json!("*"), "ec2:*")), own.clone(), "implicit: VPC endpoint policy"),
        ("denies", user(), with(resource_policy("Deny", &json!("*"), "s3:*")), own.clone(), "explicit: VPC endpoint policy"),
        ("binds root", root(), with(resource_policy("Allow", &json!("*"), "ec2:*")), own, "implicit: VPC endpoint policy"),
    ]);
}
