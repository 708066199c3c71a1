use super::*;

fn codes(text: &str, kind: ValidatedType) -> Vec<&'static str> {
    validate(text, kind).into_iter().map(|issue| issue.code).collect()
}

fn identity(statement: &str) -> Vec<&'static str> {
    codes(&format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#), ValidatedType::Identity)
}

#[test]
fn a_good_policy_has_no_findings() {
    let text = r#"{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Action":["s3:GetObject","s3:List*"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/${aws:username}/*"],"Condition":{"StringLike":{"aws:PrincipalTag/team":"n*"},"Bool":{"aws:SecureTransport":"true"},"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}}}]}"#;
    assert_eq!(validate(text, ValidatedType::Identity), []);
}

#[test]
fn findings_of_statements() {
    for (statement, expected) in [
        (r#"{"Effect":"Denys","Action":"s3:GetObject","Resource":"*"}"#, "INVALID_EFFECT"),
        (r#"{"Action":"s3:GetObject","Resource":"*"}"#, "MISSING_EFFECT"),
        (r#"{"Effect":"Allow","Resource":"*"}"#, "MISSING_ACTION"),
        (r#"{"Effect":"Allow","Action":"s3:GetObject"}"#, "MISSING_RESOURCE"),
        (r#"{"Effect":"Allow","Action":"s3:GetObjekt","Resource":"*"}"#, "INVALID_ACTION"),
        (r#"{"Effect":"Allow","Action":"s33:GetObject","Resource":"*"}"#, "INVALID_SERVICE_IN_ACTION"),
        (r#"{"Effect":"Allow","Action":[],"Resource":"*"}"#, "EMPTY_ARRAY_ACTION"),
        (r#"{"Effect":"Allow","Action":["s3:GetObject","s3:Get*"],"Resource":"*"}"#, "REDUNDANT_ACTION"),
        (r#"{"Effect":"Allow","Action":"s3:GetObject","NotAction":"s3:PutObject","Resource":"*"}"#, "UNSUPPORTED_ELEMENT_COMBINATION"),
        (r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}"#, "UNSUPPORTED_PRINCIPAL"),
        (r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Conditions":{}}"#, "INVALID_POLICY_ELEMENT"),
        (r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"s3:::b"}"#, "INVALID_ARN_PREFIX"),
        (r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:b"}"#, "MISSING_ARN_FIELD"),
        (r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:S3:::b"}"#, "INVALID_ARN_SERVICE_CASE"),
        (r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3::111111111111:b"}"#, "ARN_ACCOUNT_NOT_ALLOWED"),
        (r#"{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"arn:aws:sqs::111111111111:q"}"#, "MISSING_ARN_REGION"),
        (r#"{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"arn:aws:sqs:eu-central-1:1111:q"}"#, "INVALID_ARN_ACCOUNT"),
        (r#"{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"arn:amazon:sqs:eu-central-1:111111111111:q"}"#, "INVALID_PARTITION"),
        (r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${aws:username"}"#, "MISSING_BRACE_IN_VARIABLE"),
        (r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${}"}"#, "EMPTY_VARIABLE"),
        (r#"{"Effect":"Allow","Action":"iam:PassRole","Resource":"*"}"#, "PASS_ROLE_WITH_STAR_IN_RESOURCE"),
        (r#"{"Effect":"Allow","Action":"iam:*","Resource":"*"}"#, "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE"),
        (r#"{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}"#, "PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION"),
        (r#"{"Effect":"Allow","Action":"iam:PassRole","NotResource":"arn:aws:iam::111111111111:role/x"}"#, "PASS_ROLE_WITH_NOT_RESOURCE"),
        (r#"{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"*"}"#, "CREATE_SLR_WITH_STAR_IN_RESOURCE"),
    ] {
        assert!(identity(statement).contains(&expected), "{statement} {:?}", identity(statement));
    }
    let conditioned = r#"{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}}"#;
    assert_eq!(identity(conditioned), Vec::<&str>::new());
}

#[test]
fn findings_of_conditions() {
    for (condition, expected) in [
        (r#"{"StringEqual":{"aws:SourceVpc":"a"}}"#, "INVALID_CONDITION_OPERATOR"),
        (r#"{"NullIfExists":{"aws:SourceVpc":"true"}}"#, "NULL_WITH_IF_EXISTS"),
        (r#"{"StringEquals":{"aws:Nothing":"a"}}"#, "INVALID_GLOBAL_CONDITION_KEY"),
        (r#"{"StringEquals":{"s3:nothing":"a"}}"#, "INVALID_SERVICE_CONDITION_KEY"),
        (r#"{"StringEquals":{"nothing:key":"a"}}"#, "INVALID_SERVICE"),
        (r#"{"StringEquals":{"key":"a"}}"#, "INVALID_CONDITION_KEY_FORMAT"),
        (r#"{"StringEquals":{"aws:ResourceTag":"a"}}"#, "MISSING_TAG_KEY_IN_CONDITION"),
        (r#"{"StringEquals":{"aws:ARN":"a"}}"#, "UNSUPPORTED_GLOBAL_CONDITION_KEY"),
        (r#"{"StringEquals":{"aws:TagKeys":"a"}}"#, "MISSING_QUALIFIER"),
        (r#"{"ForAllValues:StringEquals":{"aws:SourceVpc":"a"}}"#, "FORALLVALUES_WITH_SINGLE_VALUED_KEY"),
        (r#"{"StringEquals":{"aws:SourceVpc":"a*"}}"#, "WILDCARD_WITHOUT_LIKE_OPERATOR"),
        (r#"{"NumericEquals":{"aws:MultiFactorAuthAge":"a"}}"#, "TYPE_MISMATCH_NUMBER"),
        (r#"{"NumericEquals":{"aws:SourceVpc":"1"}}"#, "TYPE_MISMATCH"),
        (r#"{"Bool":{"aws:SecureTransport":"yes"}}"#, "TYPE_MISMATCH_BOOLEAN"),
        (r#"{"Bool":{"aws:SecureTransport":["true","false"]}}"#, "INVALID_CONDITION_MULTIPLE_BOOLEAN"),
        (r#"{"DateLessThan":{"aws:CurrentTime":"soon"}}"#, "TYPE_MISMATCH_DATE"),
        (r#"{"DateLessThan":{"aws:CurrentTime":"1795348800"}}"#, "INVALID_DATE_VALUE"),
        (r#"{"IpAddress":{"aws:SourceIp":"300.0.0.1"}}"#, "TYPE_MISMATCH_IP_RANGE"),
        (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, "PRIVATE_IP_ADDRESS"),
        (r#"{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, "PRIVATE_NOT_IP_ADDRESS"),
        (r#"{"StringEquals":{"aws:SourceVpc":[]}}"#, "EMPTY_ARRAY_CONDITION"),
        (r#"{"StringEquals":{"aws:RequestedRegion":"europe"}}"#, "INVALID_REGION"),
        (r#"{"NumericEquals":{"aws:MultiFactorAuthAge":"${aws:username}"}}"#, "INVALID_VARIABLE_FOR_OPERATOR"),
        (r#"{"StringEquals":{"aws:SourceVpc":"a","aws:sourcevpc":"b"}}"#, "DUPLICATE_KEYS_WITH_DIFFERENT_CASE"),
        (r#"{"StringEquals":{"aws:SourceVpc":["a",1]}}"#, "INVALID_CONDITION_DATA_TYPE"),
        (r#"{"IpAddress":{"aws:VpcSourceIp":"203.0.113.0/24"}}"#, "MISSING_PAIRED_CONDITION_KEYS"),
    ] {
        let statement = format!(r#"{{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{condition}}}"#);
        assert!(identity(&statement).contains(&expected), "{condition} {:?}", identity(&statement));
    }
}

#[test]
fn findings_of_documents_and_principals() {
    let resource = |statement: &str| codes(&format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#), ValidatedType::Resource);
    assert!(codes("{", ValidatedType::Identity).contains(&"JSON_SYNTAX_ERROR"));
    assert!(codes("{}", ValidatedType::Identity).contains(&"MISSING_STATEMENT"));
    assert!(codes(r#"{"Version":"2012","Statement":[]}"#, ValidatedType::Identity).contains(&"INVALID_VERSION"));
    assert!(codes(r#"{"Statement":[]}"#, ValidatedType::Identity).contains(&"MISSING_VERSION"));
    assert!(resource(r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}"#).contains(&"MISSING_PRINCIPAL"));
    assert!(
        resource(r#"{"Effect":"Allow","NotPrincipal":{"AWS":"111111111111"},"Action":"s3:GetObject","Resource":"*"}"#)
            .contains(&"ALLOW_WITH_NOT_PRINCIPAL")
    );
    assert!(
        resource(r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/*"},"Action":"s3:GetObject","Resource":"*"}"#)
            .contains(&"UNSUPPORTED_WILDCARD_IN_PRINCIPAL")
    );
    assert!(
        resource(r#"{"Effect":"Allow","Principal":{"Aws":"111111111111"},"Action":"s3:GetObject","Resource":"*"}"#)
            .contains(&"INVALID_PRINCIPAL_KEY")
    );
    let trust =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRoleWithSAML"}]}"#;
    assert!(codes(trust, ValidatedType::Trust).contains(&"MISMATCHED_ACTION_FOR_PRINCIPAL"));
    let scp = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":"iam:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}"#;
    assert_eq!(codes(scp, ValidatedType::ServiceControl), Vec::<&str>::new());
}

#[test]
fn places_and_links() {
    let text =
        "{\n \"Version\": \"2012-10-17\",\n \"Statement\": {\"Effect\": \"Maybe\", \"Action\": \"s3:GetObject\", \"Resource\": \"*\"}\n}";
    let issues = validate(text, ValidatedType::Identity);
    let issue = issues.first().unwrap();
    assert_eq!(issue.code, "INVALID_EFFECT");
    assert_eq!(issue.path, [Step::Member("Statement".to_owned()), Step::Member("Effect".to_owned())]);
    assert_eq!((issue.span.start.line, issue.span.start.column), (3, 26));
    let from = offset(text, issue.span.start);
    assert_eq!(text.get(from..from + 7), Some("\"Maybe\""));
    assert!(issue.link().ends_with("#access-analyzer-reference-policy-checks-error-invalid-effect"));
}

proptest::proptest! {
    #[test]
    fn any_text_is_checked_in_peace(text in "\\PC{0,200}", kind in 0..6_usize) {
        let kinds = [ValidatedType::Identity, ValidatedType::Resource, ValidatedType::Trust, ValidatedType::Bucket, ValidatedType::ServiceControl, ValidatedType::ResourceControl];
        validate(&text, kinds[kind]);
        validate(&format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{text:?},"Resource":{text:?}}}]}}"#), kinds[kind]);
    }
}
