//! The smallest change that would allow a denied request: what is proposed, what it is said to open, and that it works
//! when it is done to the documents.

use policy::cases::decide_line;
use serde_json::{Value, json};

use crate::reference;

const USER: &str = "arn:aws:iam::111111111111:user/ana";
const ROLE: &str = "arn:aws:iam::111111111111:role/trainer";

fn user() -> Value {
    json!({"kind": "user", "account": "111111111111", "arn": USER})
}

fn statement(effect: &str, action: &Value, resource: &Value) -> Value {
    json!({"Effect": effect, "Action": action, "Resource": resource})
}

fn document(statements: &[Value]) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn allow_all() -> Value {
    document(&[statement("Allow", &json!("*"), &json!("*"))])
}

fn get_object(policy: &Value) -> Value {
    json!({"action": "s3:GetObject", "resource": {"arn": "arn:aws:s3:::b/k", "account": "111111111111"}, "resource_policy": policy})
}

fn verdict(case: &Value) -> Value {
    serde_json::from_str(&decide_line(&case.to_string())).unwrap()
}

/// Where a policy of a verdict stands in its case: the member, then the indices.
fn place<'a>(case: &'a mut Value, edit: &Value) -> &'a mut Value {
    let id = edit["policy_id"].as_str().unwrap();
    let (name, indices) = id.split_once('[').unwrap_or((id, ""));
    let indices: Vec<usize> = indices.split(['[', ']']).filter_map(|text| text.parse().ok()).collect();
    let account = case["principal"]["account"].as_str().unwrap_or_default().to_owned();
    let owner = case["checks"][0]["resource"]["account"].as_str().unwrap_or(&account).to_owned();
    let mut found = match name {
        "scp" => &mut case["org"]["accounts"][account]["scps"],
        "rcp" => &mut case["org"]["accounts"][owner]["rcps"],
        "resource" => &mut case["checks"][0]["resource_policy"],
        other => &mut case["policies"][other],
    };
    for index in indices {
        found = &mut found[index];
    }
    found
}

/// Does the edits to the documents of a case with one check.
pub(crate) fn done(case: &Value, change: &Value) -> Value {
    let mut case = case.clone();
    for edit in change["edits"].as_array().unwrap() {
        match edit["kind"].as_str().unwrap() {
            "add-policy" => add_policy(&mut case, edit),
            // The list keeps its length, so that the indices of later edits hold.
            "remove-policy" => {
                let mut nothing = json!({"Effect": "Deny", "Action": "none:None", "Resource": "*"});
                if edit["before"]["Principal"] != Value::Null {
                    nothing["Principal"] = json!("*");
                }
                *place(&mut case, edit) = document(&[nothing]);
            }
            _ => {}
        }
    }
    // An edit says what becomes of one statement; later edits of the same policy count on the earlier ones.
    for edit in change["edits"].as_array().unwrap() {
        for operation in edit["patch"].as_array().into_iter().flatten() {
            patch(place(&mut case, edit), operation);
        }
    }
    case
}

fn add_policy(case: &mut Value, edit: &Value) {
    let new = document(&[edit["after"].clone()]);
    let account = case["principal"]["account"].as_str().unwrap_or_default().to_owned();
    let level = edit["level"].as_u64().map(|level| usize::try_from(level).unwrap());
    let list = match edit["policy_type"].as_str().unwrap() {
        "identity-based policy" => &mut case["policies"]["identity"],
        "session policy" => &mut case["policies"]["session"],
        "service control policy" => &mut case["org"]["accounts"][account]["scps"][level.unwrap()],
        _ => {
            case["checks"][0]["resource_policy"] = new;
            return;
        }
    };
    match list {
        Value::Array(list) => list.push(new),
        other => *other = json!([new]),
    }
}

/// One operation of a JSON Patch, as far as changes have them.
fn patch(document: &mut Value, operation: &Value) {
    let path = operation["path"].as_str().unwrap().strip_prefix("/Statement").unwrap();
    let value = operation["value"].clone();
    match (operation["op"].as_str().unwrap(), path.strip_prefix('/')) {
        ("replace", None) => document["Statement"] = value,
        ("add", Some("-")) => document["Statement"].as_array_mut().unwrap().push(value),
        ("replace", Some(at)) => document["Statement"][at.parse::<usize>().unwrap()] = value,
        ("remove", Some(at)) => drop(document["Statement"].as_array_mut().unwrap().remove(at.parse().unwrap())),
        other => panic!("{other:?}"),
    }
}

/// The kinds of the edits, their types, and what else opens; and that the change works.
fn change(principal: &Value, policies: &Value, check: &Value, org: &Value) -> String {
    let mut case = json!({"principal": principal, "policies": policies, "checks": [check]});
    if !org.is_null() {
        case["org"] = org.clone();
    }
    let verdict = verdict(&case);
    assert_eq!(verdict["decision"], "Deny", "{verdict:#}");
    let change = &verdict["smallest_change"];
    if change.is_null() {
        return verdict["no_change"].as_str().unwrap().to_owned();
    }
    let after = done(&case, change);
    assert_eq!(crate::changes::verdict(&after)["decision"], "Allow", "{change:#}\n{after:#}");
    assert_eq!(reference::decide(&after), reference::Answer::Allow, "{change:#}");
    let mut lines: Vec<String> = Vec::new();
    for edit in change["edits"].as_array().unwrap() {
        let after = if edit["after"].is_null() { String::new() } else { edit["after"].to_string() };
        lines.push(format!("{} {}: {after}", edit["kind"].as_str().unwrap(), edit["policy_type"].as_str().unwrap()));
    }
    lines.extend(change["also_opens"].as_array().unwrap().iter().map(|opened| format!("! {}", opened.as_str().unwrap())));
    lines.join("\n")
}

#[test]
fn missing_allows() {
    let none = Value::Null;
    let text = change(&user(), &json!({}), &get_object(&none), &none);
    insta::assert_snapshot!(text, @r#"add-policy identity-based policy: {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/k"}"#);
    let narrow =
        document(&[json!({"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::b/k"})]);
    let text = change(&user(), &json!({"identity": [narrow]}), &get_object(&none), &none);
    insta::assert_snapshot!(text, @r#"add-action identity-based policy: {"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation","s3:GetObject"],"Resource":"arn:aws:s3:::b/k"}"#);
    let guarded = document(&[
        json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}}),
    ]);
    let mut check = get_object(&none);
    check["context"] = json!({"aws:SourceVpc": "vpc-9"});
    let text = change(&user(), &json!({"identity": [guarded]}), &check, &none);
    insta::assert_snapshot!(text, @r#"add-statement identity-based policy: {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/k","Condition":{"StringEquals":{"aws:SourceVpc":"vpc-9"}}}"#);
    let text = change(&user(), &json!({"identity": [guarded]}), &get_object(&none), &none);
    insta::assert_snapshot!(text, @r##"
    add-statement identity-based policy: {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/k"}
    ! the same request with another value of `aws:SourceVpc`
    ! the same request without `aws:SourceVpc`
    "##);
    let several = json!({"boundary": document(&[statement("Allow", &json!("ec2:*"), &json!("*"))])});
    let text = change(&user(), &several, &get_object(&none), &none);
    insta::assert_snapshot!(text, @r##"
    add-policy identity-based policy: {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/k"}
    add-statement permissions boundary: {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/k"}
    ! the same request to every other identity that the policy is attached to
    "##);
}

#[test]
fn denies() {
    let none = Value::Null;
    let with = |deny: Value| json!({"identity": [document(&[statement("Allow", &json!("*"), &json!("*")), deny])]});
    let listed = with(statement("Deny", &json!(["s3:GetObject", "s3:PutObject"]), &json!("arn:aws:s3:::b/*")));
    insta::assert_snapshot!(change(&user(), &listed, &get_object(&none), &none), @r##"
    except-action identity-based policy: {"Effect":"Deny","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*"}
    ! the same action on other resources that match `arn:aws:s3:::b/*`
    "##);
    let service = with(statement("Deny", &json!("s3:*"), &json!("*")));
    insta::assert_snapshot!(change(&user(), &service, &get_object(&none), &none), @r##"
    except-resource identity-based policy: {"Effect":"Deny","Action":"s3:*","NotResource":"arn:aws:s3:::b/k"}
    ! other actions that match `s3:*` on the same resource
    "##);
    let region = with(
        json!({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["eu-central-1"]}}}),
    );
    let mut check = get_object(&none);
    check["context"] = json!({"aws:RequestedRegion": "us-east-1"});
    insta::assert_snapshot!(change(&user(), &region, &check, &none), @r##"
    add-condition-value identity-based policy: {"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["eu-central-1","us-east-1"]}}}
    ! all other actions on the same resource
    ! the same action on all other resources
    "##);
    let bucket = document(&[json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"})]);
    insta::assert_snapshot!(change(&user(), &json!({"identity": [allow_all()]}), &get_object(&bucket), &none), @r##"
    except-principal resource-based policy: {"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:user/ana"}}}
    ! other actions that match `s3:*` on the same resource
    ! the same action on other resources that match `arn:aws:s3:::b/*`
    "##);
    let org = json!({"id": "o-1", "management": "100000000001", "accounts": {"111111111111": {"path": "o-1/r-1/",
        "scps": [["FullAWSAccess", document(&[statement("Deny", &json!("s3:GetObject"), &json!("*"))])], ["FullAWSAccess"]], "rcps": []}}});
    insta::assert_snapshot!(change(&user(), &json!({"identity": [allow_all()]}), &get_object(&none), &org), @r##"
    except-resource service control policy: {"Effect":"Deny","Action":"s3:GetObject","NotResource":"arn:aws:s3:::b/k"}
    ! the same request to other callers of the account, where their own policies allow it
    "##);
    let silent = json!({"id": "o-1", "management": "100000000001", "accounts": {"111111111111": {"path": "o-1/r-1/",
        "scps": [["FullAWSAccess"], [document(&[statement("Allow", &json!("ec2:*"), &json!("*"))])]], "rcps": []}}});
    insta::assert_snapshot!(change(&user(), &json!({"identity": [allow_all()]}), &get_object(&none), &silent), @r##"
    add-statement service control policy: {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/k"}
    ! the same request to other callers of the account, where their own policies allow it
    "##);
}

#[test]
fn both_sides_and_special_policies() {
    let none = Value::Null;
    let mut other = get_object(&none);
    other["resource"]["account"] = json!("222222222222");
    insta::assert_snapshot!(change(&user(), &json!({}), &other, &none), @r##"
    add-policy resource-based policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/ana"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/k"}
    add-policy identity-based policy: {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/k"}
    "##);
    let session = json!({"kind": "role-session", "account": "111111111111", "role": ROLE,
        "arn": "arn:aws:sts::111111111111:assumed-role/trainer/s"});
    let key = document(&[
        json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:user/admin"}, "Action": "kms:*", "Resource": "*"}),
    ]);
    let decrypt = json!({"action": "kms:Decrypt", "resource_policy_kind": "kms", "resource_policy": key,
        "resource": {"arn": "arn:aws:kms:eu-central-1:111111111111:key/k", "account": "111111111111"}});
    insta::assert_snapshot!(change(&session, &json!({}), &decrypt, &none), @r#"add-statement resource-based policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:role/trainer"},"Action":"kms:Decrypt","Resource":"*"}"#);
    let trust = document(&[json!({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})]);
    let assume = json!({"action": "sts:AssumeRole", "resource_policy_kind": "trust", "resource_policy": trust,
        "resource": {"arn": ROLE, "account": "111111111111"}});
    insta::assert_snapshot!(change(&user(), &json!({}), &assume, &none), @r#"add-principal role trust policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/ana","Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}"#);
    let endpoint = json!({"identity": [allow_all()], "vpc_endpoint": document(&[json!({"Effect": "Allow", "Principal": "*", "Action": "ec2:*", "Resource": "*"})])});
    insta::assert_snapshot!(change(&user(), &endpoint, &get_object(&none), &none), @r#"add-statement VPC endpoint policy: {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/k","Condition":{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:user/ana"}}}"#);
}

#[test]
fn where_no_change_helps() {
    let none = Value::Null;
    let assume = json!({"action": "sts:AssumeRole", "resource": {"arn": ROLE, "account": "111111111111"}});
    let root = json!({"kind": "root", "account": "111111111111", "arn": "arn:aws:iam::111111111111:root"});
    assert_eq!(change(&root, &json!({}), &assume, &none), "a root user cannot assume roles or root sessions: no policy can change that");
    let broken = json!({"identity": [{"Version": "2012-10-17", "Statement": [{"Effect": "Deny"}]}]});
    assert!(change(&user(), &broken, &get_object(&none), &none).starts_with("a policy cannot be read"));
    let rcp = document(&[json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"})]);
    let org = json!({"id": "o-1", "management": "100000000001",
        "accounts": {"111111111111": {"path": "o-1/r-1/", "scps": [["FullAWSAccess"]], "rcps": [[rcp]]}}});
    insta::assert_snapshot!(change(&user(), &json!({"identity": [allow_all()]}), &get_object(&none), &org), @r##"
    except-principal resource control policy: {"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:user/ana"}}}
    ! other actions that match `s3:*` on the same resource
    ! the same action on all other resources
    "##);
}

mod generated {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(crate::differential::cases_wanted(300)) })]

        /// What is proposed works when it is done to the documents, by the engine and by the reference.
        #[test]
        fn proposed_changes_work(case in crate::differential::case_of_one_caller()) {
            let mut case = case;
            case["checks"].as_array_mut().unwrap().truncate(1);
            let verdict = verdict(&case);
            if verdict["smallest_change"].is_null() {
                prop_assert!(verdict["decision"] == "Allow" || verdict["no_change"].is_string());
                return Ok(());
            }
            let change = &verdict["smallest_change"];
            let after = done(&case, change);
            let decided = super::verdict(&after);
            prop_assert_eq!(&decided["decision"], "Allow", "{:#}\n{:#}", change, case);
            prop_assert_eq!(reference::decide(&after), reference::Answer::Allow, "{:#}", change);
        }
    }
}
