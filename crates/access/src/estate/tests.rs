use super::*;

fn estate() -> Estate {
    let allow = |action: &str, resource: &str| serde_json::json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": action, "Resource": resource }] });
    let user = |name: &str, action: &str, resource: &str| {
        serde_json::json!({
            "UserName": name, "UserId": format!("AIDA{name}"), "Arn": format!("arn:aws:iam::111111111111:user/{name}"),
            "UserPolicyList": [{ "PolicyName": "p", "PolicyDocument": allow(action, resource) }],
        })
    };
    let role = |name: &str, trusted: serde_json::Value, action: &str| {
        serde_json::json!({
            "RoleName": name, "RoleId": format!("AROA{name}"), "Arn": format!("arn:aws:iam::111111111111:role/{name}"),
            "AssumeRolePolicyDocument": { "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole" }] },
            "RolePolicyList": [{ "PolicyName": "p", "PolicyDocument": allow(action, "*") }],
        })
    };
    let export = serde_json::json!({
        "AccountId": "111111111111",
        "UserDetailList": [
            user("reader", "s3:GetObject", "arn:aws:s3:::b/*"),
            user("assumer", "sts:AssumeRole", "arn:aws:iam::111111111111:role/deployer"),
            user("keymaker", "iam:CreateAccessKey", "arn:aws:iam::111111111111:user/assumer"),
            { "UserName": "tester", "Arn": "arn:aws:iam::111111111111:user/tester", "GroupList": ["testers"] },
        ],
        "GroupDetailList": [{
            "GroupName": "testers", "Arn": "arn:aws:iam::111111111111:group/testers",
            "GroupPolicyList": [{ "PolicyName": "p", "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{ "Effect": "Allow", "Action": "s3:Get*", "Resource": "*", "Condition": { "StringEquals": { "aws:SourceVpc": "vpc-1" } } }],
            } }],
        }],
        "RoleDetailList": [role("deployer", serde_json::json!({ "AWS": "111111111111" }), "*"), role("worker", serde_json::json!({ "Service": "ec2.amazonaws.com" }), "sqs:*")],
        "ResourcePolicies": [{ "Arn": "arn:aws:s3:::b", "Account": "111111111111", "Policy": {
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "Principal": { "AWS": "222222222222" }, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*" }],
        } }],
    });
    Estate::from_json(&export).unwrap()
}

#[test]
fn who_can_read() {
    let found = who_can(&estate(), "s3:GetObject", "arn:aws:s3:::b/k");
    let named: Vec<(&str, &Ability)> = found.iter().map(|access| (access.principal.rsplit('/').next().unwrap(), &access.ability)).collect();
    let vpc = Ability::If(vec![("aws:SourceVpc".to_owned(), vec!["vpc-1".to_owned()])]);
    assert_eq!(named, [("reader", &Ability::Yes), ("tester", &vpc), ("deployer", &Ability::Yes), ("222222222222", &Ability::Yes)]);
}

#[test]
fn what_an_identity_can() {
    let estate = estate();
    let grants = what_can(&estate, estate.identity("arn:aws:iam::111111111111:user/reader").unwrap());
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].actions, ["s3:GetObject"]);
    assert_eq!(grants[0].blocked_by, None);
}

#[test]
fn chains_to_everything() {
    let chains: Vec<(String, Vec<String>)> = escalations(&estate(), None)
        .into_iter()
        .map(|found| {
            let short = |arn: &str| arn.rsplit('/').next().unwrap().to_owned();
            (short(&found.principal), found.chain.iter().map(|step| format!("{} {}", step.by, short(&step.to))).collect())
        })
        .collect();
    let expected = [
        ("assumer".to_owned(), vec!["sts:AssumeRole deployer".to_owned()]),
        ("keymaker".to_owned(), vec!["iam:CreateAccessKey assumer".to_owned(), "sts:AssumeRole deployer".to_owned()]),
    ];
    assert_eq!(chains, expected);
}

#[test]
fn an_organization_stops_it() {
    let mut export = serde_json::json!({
        "AccountId": "111111111111",
        "UserDetailList": [{ "UserName": "a", "Arn": "arn:aws:iam::111111111111:user/a", "UserPolicyList": [{ "PolicyName": "p", "PolicyDocument":
            "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D" }] }],
    });
    let found = |export: &Json| who_can(&Estate::from_json(export).unwrap(), "s3:GetObject", "*").len();
    assert_eq!(found(&export), 1);
    export["ServiceControlPolicies"] = serde_json::json!([[{ "Id": "p-1", "Policy": { "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "*", "Resource": "*" }, { "Effect": "Deny", "Action": "s3:*", "Resource": "*" } ] } }]]);
    assert_eq!(found(&export), 0);
}

#[test]
fn exports_that_are_none() {
    assert!(matches!(Estate::parse("{"), Err(EstateError::Json(_))));
    assert!(matches!(Estate::parse("{}"), Err(EstateError::Member("UserDetailList"))));
    assert!(matches!(Estate::parse(r#"{"UserDetailList":[{}]}"#), Err(EstateError::Member("Arn"))));
}
