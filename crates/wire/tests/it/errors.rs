//! Refusals and errors, byte for byte, as each protocol and dialect says them.

use facts::{Protocol, Service};
use http::HeaderMap;
use wire::{ErrorReply, Labels, RequestParts, Value};

fn service(id: &str) -> &'static Service {
    facts::catalog().service(id).expect(id)
}

/// What a service answers to a body, as `status code: message members`.
fn refusal(id: &str, operation: &str, query: &str, body: &str) -> String {
    let service = service(id);
    let protocol = service.head.protocols[0];
    let operation = service.operation(operation).expect(operation);
    let headers = HeaderMap::new();
    let parts = RequestParts { method: "POST", path: "/", query, headers: &headers, host_label: None };
    match wire::decode_input(protocol, service, operation, &parts, &Labels::default(), body.as_bytes()) {
        Ok(value) => format!("accepted {value:?}"),
        Err(error) => {
            let reply = error.to_reply(service);
            let members = if reply.members.is_empty() { String::new() } else { format!(" {:?}", reply.members) };
            format!("{} {}: {}{members}", reply.status, reply.code, reply.message)
        }
    }
}

#[test]
fn classic_validation() {
    let long = format!(r#"{{"KeyId":"{}"}}"#, "k".repeat(20));
    let key_id_too_long = refusal("kms", "DescribeKey", "", &long.replace("kkkk", &"k".repeat(500)));
    assert!(
        key_id_too_long.ends_with("at 'keyId' failed to satisfy constraint: Member must have length less than or equal to 2048"),
        "{key_id_too_long}"
    );
    insta::assert_snapshot!(refusal("kms", "DescribeKey", "", "{}"), @"400 ValidationException: 1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null");
    insta::assert_snapshot!(refusal("kms", "CreateAlias", "", r#"{"AliasName":"a b","TargetKeyId":""}"#), @"400 ValidationException: 2 validation errors detected: Value 'a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$; Value '' at 'targetKeyId' failed to satisfy constraint: Member must have length greater than or equal to 1");
    insta::assert_snapshot!(refusal("kms", "CreateKey", "", r#"{"KeySpec":"RSA_1","Tags":[{"TagKey":"","TagValue":"v"}]}"#), @"400 ValidationException: 2 validation errors detected: Value 'RSA_1' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, ECC_SECG_P256K1, SYMMETRIC_DEFAULT, HMAC_224, HMAC_256, HMAC_384, HMAC_512, SM2, ML_DSA_44, ML_DSA_65, ML_DSA_87, ECC_NIST_EDWARDS25519, ML_KEM_512, ML_KEM_768, ML_KEM_1024]; Value '' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 1");
    insta::assert_snapshot!(refusal("kms", "CreateGrant", "", r#"{"KeyId":"k","GranteePrincipal":"p","Operations":["Fly"]}"#), @"400 ValidationException: 1 validation error detected: Value '[Fly]' at 'operations' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [Decrypt, Encrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext, ReEncryptFrom, ReEncryptTo, Sign, Verify, GetPublicKey, CreateGrant, RetireGrant, DescribeKey, GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext, GenerateMac, VerifyMac, DeriveSharedSecret, Encapsulate, Decapsulate], Member must not be null]");
    insta::assert_snapshot!(refusal("kms", "Encrypt", "", r#"{"KeyId":"k","Plaintext":""}"#), @"400 ValidationException: 1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1");
    insta::assert_snapshot!(refusal("iam", "CreateUser", "", "Action=CreateUser&UserName=a%2Fb"), @"400 ValidationError: The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-");
    insta::assert_snapshot!(refusal("iam", "CreateUser", "", "Action=CreateUser&UserName=ab&Path=a"), @"400 ValidationError: The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.");
    insta::assert_snapshot!(refusal("iam", "CreateUser", "", "Action=CreateUser&UserName=u&Tags.member.1.Value=v"), @"400 ValidationError: 1 validation error detected: Value null at 'tags.1.member.key' failed to satisfy constraint: Member must not be null");
}

#[test]
fn framework_ec2_and_s3_validation() {
    insta::assert_snapshot!(refusal("accessanalyzer", "CreateAnalyzer", "", r#"{"analyzerName":"","type":"ACCOUNT"}"#), @r###"400 ValidationException: 2 validation errors detected. Value with length 0 at '/analyzerName' failed to satisfy constraint: Member must have length greater than or equal to 1; Value at '/analyzerName' failed to satisfy constraint: Member must satisfy regular expression pattern: [A-Za-z_][A-Za-z0-9_.-]* [("reason", Str("fieldValidationFailed")), ("fieldList", List([Struct(Struct { fields: [("name", Str("/analyzerName")), ("message", Str("Value with length 0 at '/analyzerName' failed to satisfy constraint: Member must have length greater than or equal to 1"))] }), Struct(Struct { fields: [("name", Str("/analyzerName")), ("message", Str("Value at '/analyzerName' failed to satisfy constraint: Member must satisfy regular expression pattern: [A-Za-z_][A-Za-z0-9_.-]*"))] })]))]"###);
    insta::assert_snapshot!(refusal("ec2", "CreateVpcEndpoint", "", "Action=CreateVpcEndpoint&ServiceName=s"), @"400 MissingParameter: The request must contain the parameter VpcId");
    insta::assert_snapshot!(refusal("s3", "DeleteObjects", "", "<Delete></Delete>"), @"400 InvalidBucketName: The specified bucket is not valid.");
    insta::assert_snapshot!(refusal("s3", "DeleteObjects", "", "<Delete>"), @"400 MalformedXML: The XML you provided was not well-formed or did not validate against our published schema");
    insta::assert_snapshot!(refusal("s3", "ListObjectsV2", "max-keys=many", ""), @r###"400 InvalidArgument: `many` is not an Integer [("ArgumentName", Str("max-keys"))]"###);
}

#[test]
fn malformed_bodies() {
    insta::assert_snapshot!(refusal("kms", "DescribeKey", "", "{"), @"400 SerializationException: Unexpected token received from parser");
    insta::assert_snapshot!(refusal("kms", "DescribeKey", "", r#"{"KeyId":1}"#), @"400 SerializationException: NUMBER_VALUE can not be converted to a String");
    insta::assert_snapshot!(refusal("kms", "ListKeys", "", r#"{"Limit":"ten"}"#), @"400 SerializationException: STRING_VALUE can not be converted to an Integer");
    insta::assert_snapshot!(refusal("kms", "DescribeKey", "", r#"{"KeyId":{}}"#), @"400 SerializationException: Start of structure or map found where not expected.");
    insta::assert_snapshot!(refusal("kms", "DescribeKey", "", r#"{"KeyId":[]}"#), @"400 SerializationException: Start of list found where not expected.");
    insta::assert_snapshot!(refusal("iam", "ListUsers", "", "Action=ListUsers&MaxItems=many"), @"400 MalformedInput: `many` is not an Integer");
}

fn error(protocol: Protocol, id: &str, code: &str, members: Vec<(String, Value)>) -> String {
    let reply = ErrorReply { code: code.to_owned(), message: "It's <not> there".to_owned(), status: 404, sender_fault: true, members };
    let encoded = wire::encode_error(protocol, Some(service(id)), &reply, "request-1");
    let headers: Vec<String> = encoded.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{} {} | {}", encoded.status, headers.join(", "), String::from_utf8_lossy(&encoded.body))
}

#[test]
fn encoded_errors() {
    let text = |name: &str, value: &str| (name.to_owned(), Value::Str(value.to_owned()));
    insta::assert_snapshot!(error(Protocol::Json11, "kms", "NotFoundException", Vec::new()), @r###"404 x-amzn-RequestId: request-1, content-type: application/x-amz-json-1.1 | {"__type":"NotFoundException","message":"It's <not> there"}"###);
    insta::assert_snapshot!(error(Protocol::Json11, "glue", "EntityNotFoundException", vec![("FromFederationSource".to_owned(), Value::Bool(true))]), @r###"404 x-amzn-RequestId: request-1, content-type: application/x-amz-json-1.1 | {"__type":"EntityNotFoundException","Message":"It's <not> there","FromFederationSource":true}"###);
    insta::assert_snapshot!(error(Protocol::RestJson, "bedrock", "ResourceNotFoundException", Vec::new()), @r###"404 x-amzn-RequestId: request-1, content-type: application/json, x-amzn-ErrorType: ResourceNotFoundException | {"message":"It's <not> there"}"###);
    insta::assert_snapshot!(error(Protocol::Query, "iam", "NoSuchEntity", Vec::new()), @r###"
404 x-amzn-RequestId: request-1, content-type: text/xml | <?xml version="1.0" encoding="UTF-8"?>
<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>It's &lt;not&gt; there</Message></Error><RequestId>request-1</RequestId></ErrorResponse>
"###);
    insta::assert_snapshot!(error(Protocol::Ec2Query, "ec2", "InvalidVpcID.NotFound", Vec::new()), @r###"
404 x-amzn-RequestId: request-1, content-type: text/xml;charset=UTF-8 | <?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>InvalidVpcID.NotFound</Code><Message>It's &lt;not&gt; there</Message></Error></Errors><RequestID>request-1</RequestID></Response>
"###);
    insta::assert_snapshot!(error(Protocol::RestXml, "s3", "NoSuchKey", vec![text("Key", "a&b")]), @r###"
404 x-amz-request-id: request-1, x-amz-id-2: cmVxdWVzdC0x, content-type: application/xml | <?xml version="1.0" encoding="UTF-8"?>
<Error><Code>NoSuchKey</Code><Message>It's &lt;not&gt; there</Message><Key>a&amp;b</Key><RequestId>request-1</RequestId><HostId>cmVxdWVzdC0x</HostId></Error>
"###);
    insta::assert_snapshot!(error(Protocol::RestXml, "s3control", "NoSuchThing", Vec::new()), @r###"
404 x-amz-request-id: request-1, x-amz-id-2: cmVxdWVzdC0x, content-type: text/xml | <?xml version="1.0" encoding="UTF-8"?>
<ErrorResponse xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"><Error><Type>Sender</Type><Code>NoSuchThing</Code><Message>It's &lt;not&gt; there</Message></Error><RequestId>request-1</RequestId></ErrorResponse>
"###);
}

#[test]
fn sensitive_values_are_not_repeated() {
    let secret = "hunter2-hunter2";
    let body = format!("Action=ChangePassword&OldPassword={secret}&NewPassword=%00{secret}");
    let said = refusal("iam", "ChangePassword", "", &body);
    assert!(said.contains("newPassword") && !said.contains(secret), "{said}");
}

#[test]
fn errors_read_back() {
    for (protocol, id, code) in [
        (Protocol::Json11, "kms", "NotFoundException"),
        (Protocol::RestJson, "bedrock", "ResourceNotFoundException"),
        (Protocol::Query, "iam", "NoSuchEntity"),
        (Protocol::Ec2Query, "ec2", "InvalidVpcID.NotFound"),
        (Protocol::RestXml, "s3", "NoSuchKey"),
        (Protocol::RpcV2Cbor, "kms", "NotFoundException"),
    ] {
        let reply =
            ErrorReply { code: code.to_owned(), message: "no <way>".to_owned(), status: 404, sender_fault: true, members: Vec::new() };
        let encoded = wire::encode_error(protocol, Some(service(id)), &reply, "request-1");
        let headers = crate::round_trip::header_map(&encoded.headers);
        assert_eq!(wire::decode_error(protocol, service(id), 404, &headers, &encoded.body), reply, "{protocol:?}");
    }
}
