"""How requests that mean nothing, or are malformed, or are not implemented, are answered: per protocol, in AWS's words."""

import json

import botocore.exceptions
import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize
import pytest

from bailiwick_server import allow, assert_denied, deny, raises, request_id
from signed_http import signed_request

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.fixture
def send(bailiwick, account):
    """Sends a hand-made request of the account's root user."""

    def send(service, method="POST", path="/", *, query="", headers=None, body=b"", credentials=None):
        request = signed_request(
            credentials or account.credentials,
            service,
            method,
            path,
            query=query,
            headers=headers,
            body=body,
            region="us-east-1",
            host=f"{bailiwick.host}:{bailiwick.port}",
            ahead_ms=bailiwick.ahead_ms,
        )
        return request.send(bailiwick)

    return send


@pytest.fixture
def json_call(send):
    def call(service, target, body=b"{}", **more):
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
        return send(service, headers=headers, body=body, **more)

    return call


def is_error(answer, status, code, message=None):
    assert (answer.status, answer.code) == (status, code), answer
    if message is not None:
        assert message in answer.message, answer


# Unknown names


def test_unknown_action(send):
    answer = send("iam", headers=FORM, body=b"Action=FlyToTheMoon&Version=2010-05-08")
    is_error(answer, 400, "InvalidAction", "Could not find operation FlyToTheMoon for version 2010-05-08")
    answer = send("iam", headers=FORM, body=b"Action=GetUser&Version=1999-01-01")
    is_error(answer, 400, "InvalidAction", "Could not find operation GetUser for version 1999-01-01")
    assert send("ec2", headers=FORM, body=b"Action=FlyToTheMoon&Version=2016-11-15").code == "InvalidAction"


@pytest.mark.parametrize("target", ["TrentService.FlyToTheMoon", "NoSuchService.ListKeys", "TrentService", "", ".", "a" * 5000])
def test_unknown_target(json_call, target):
    is_error(json_call("kms", target), 400, "UnknownOperationException")


def test_unknown_path(send):
    is_error(send("bedrock", "GET", "/no/such/path"), 404, "UnknownOperationException")
    is_error(send("bedrock", "DELETE", "/foundation-models"), 404, "UnknownOperationException")
    is_error(send("nosuchservice", "GET", "/"), 404, "UnknownOperationException")
    # Clients of query services read XML, also from a service that is not here.
    answer = send("monitoring", headers=FORM, body=b"Action=DescribeAlarms&Version=2010-08-01")
    is_error(answer, 400, "InvalidAction", "Could not find operation DescribeAlarms for version 2010-08-01")
    assert answer.body.lstrip().startswith(b"<"), answer


def test_a_sub_resource_that_a_method_lacks_changes_nothing(account, send):
    s3 = account.client("s3")
    s3.create_bucket(Bucket="kept-whole")
    for name in ("acl", "versioning", "location", "logging", "notification", "uploads", "versions", "object-lock", "policyStatus"):
        is_error(send("s3", "DELETE", "/kept-whole", query=name), 405, "MethodNotAllowed")
    is_error(send("s3", "DELETE", "/kept-whole", query="inventory"), 400, "InvalidArgument")
    s3.put_object(Bucket="kept-whole", Key="k", Body=b"kept")
    for name in ("acl", "retention", "legal-hold", "torrent", "attributes", "restore"):
        is_error(send("s3", "DELETE", "/kept-whole/k", query=name), 405, "MethodNotAllowed")
    for name in ("torrent", "uploads", "restore", "attributes"):
        is_error(send("s3", "PUT", "/kept-whole/k", query=name, body=b"other"), 405, "MethodNotAllowed")
    for query in ("partNumber=1", "uploadId=abc"):
        is_error(send("s3", "PUT", "/kept-whole/k", query=query, body=b"other"), 400, "InvalidArgument")
    is_error(send("s3", "PUT", "/not-made", query="location"), 405, "MethodNotAllowed")
    assert s3.get_object(Bucket="kept-whole", Key="k")["Body"].read() == b"kept"
    assert "not-made" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    # Names that S3 does not know are ignored.
    assert send("s3", "DELETE", "/kept-whole/k", query="foo").status == 204


def test_a_policy_of_a_bucket_needs_no_digest_and_other_documents_do(account, send):
    account.client("s3").create_bucket(Bucket="undigested")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny("s3:GetObject", "arn:aws:s3:::undigested/*", Principal="*")]})
    assert send("s3", "PUT", "/undigested", query="policy", body=policy.encode()).status == 204
    assert json.loads(account.client("s3").get_bucket_policy(Bucket="undigested")["Policy"])["Statement"][0]["Effect"] == "Deny"
    tagging = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    is_error(send("s3", "PUT", "/undigested", query="tagging", body=tagging), 400, "InvalidRequest", "Content-MD5")
    wrong = {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    is_error(send("s3", "PUT", "/undigested", query="policy", body=policy.encode(), headers=wrong), 400, "BadDigest")


def test_unknown_attributes_of_listings_are_refused(account, send):
    account.client("s3").create_bucket(Bucket="listed-plainly")
    asked = {"x-amz-optional-object-attributes": "RestoreStatus"}
    for query in ("", "list-type=2", "versions"):
        assert send("s3", "GET", "/listed-plainly", query=query, headers=asked).status == 200, query
        is_error(send("s3", "GET", "/listed-plainly", query=query, headers={"x-amz-optional-object-attributes": "Colour"}), 400, "InvalidArgument")


def test_unknown_method_of_s3(send):
    is_error(send("s3", "PATCH", "/bucket/key"), 405, "MethodNotAllowed")


# Malformed bodies


@pytest.mark.parametrize(
    "body, message",
    [
        (b"{", "Unexpected token received from parser"),
        (b"nonsense", None),
        (b'{"KeyId": 1}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"KeyId": {}}', "Start of structure or map found where not expected."),
        (b'{"KeyId": []}', "Start of list found where not expected."),
        (b"[]", None),
        (b'"text"', None),
        (b"[" * 100_000, None),
        (b'{"KeyId": "\xff"}', None),
        (b'{"KeyId": "\\ud800"}', None),
        (b'{"KeyId": "a"} {}', None),
    ],
    ids=range(11),
)
def test_malformed_json(json_call, body, message):
    is_error(json_call("kms", "TrentService.DescribeKey", body), 400, "SerializationException", message)


def test_malformed_form(send):
    is_error(send("iam", headers=FORM, body=b"Action=ListUsers&Version=2010-05-08&MaxItems=many"), 400, "MalformedInput")
    answer = send("iam", headers=FORM, body=b"Action=CreateUser&Version=2010-05-08&UserName=%zz")
    assert answer.status == 400 and answer.code in ("MalformedQueryString", "MalformedInput", "ValidationError"), answer


@pytest.mark.parametrize(
    "body",
    [
        b"<",
        b"<CreateBucketConfiguration>",
        b"nonsense",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><CreateBucketConfiguration><LocationConstraint>&b;</LocationConstraint></CreateBucketConfiguration>",
        b"<a>" * 50_000,
        b"<Other/>",
        b"<Other><LocationConstraint>us-east-1</LocationConstraint></Other>",
    ],
    ids=range(7),
)
def test_malformed_xml(send, account, body):
    is_error(send("s3", "PUT", f"/malformed-{account.id}", body=body), 400, "MalformedXML")


def test_no_external_entities(send, account):
    body = (
        b'<!DOCTYPE a [<!ENTITY file SYSTEM "file:///etc/passwd">]>'
        b"<Tagging><TagSet><Tag><Key>k</Key><Value>&file;</Value></Tag></TagSet></Tagging>"
    )
    bucket = f"entities-{account.id}"
    account.client("s3").create_bucket(Bucket=bucket)
    answer = send("s3", "PUT", f"/{bucket}", query="tagging=", body=body)
    assert answer.status == 400, answer
    assert b"root:" not in answer.body


# Constraints


def test_missing_member(json_call):
    is_error(
        json_call("kms", "TrentService.DescribeKey"),
        400,
        "ValidationException",
        "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null",
    )


def test_members_have_lengths(json_call, send):
    body = json.dumps({"KeyId": "k" * 3000}).encode()
    is_error(
        json_call("kms", "TrentService.DescribeKey", body),
        400,
        "ValidationException",
        "at 'keyId' failed to satisfy constraint: Member must have length less than or equal to 2048",
    )
    name = b"u" * 200
    is_error(
        send("iam", headers=FORM, body=b"Action=CreateUser&Version=2010-05-08&UserName=" + name),
        400,
        "ValidationError",
        "at 'userName' failed to satisfy constraint: Member must have length less than or equal to",
    )


def test_members_have_enumerations(json_call):
    body = json.dumps({"KeySpec": "RSA_1", "KeyUsage": "FLY"}).encode()
    answer = json_call("kms", "TrentService.CreateKey", body)
    is_error(answer, 400, "ValidationException", "2 validation errors detected: ")
    assert "Value 'RSA_1' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [" in answer.message
    assert "Value 'FLY' at 'keyUsage' failed to satisfy constraint: Member must satisfy enum value set: [" in answer.message


def test_members_have_patterns(send):
    is_error(
        send("iam", headers=FORM, body=b"Action=CreateUser&Version=2010-05-08&UserName=a%2Fb"),
        400,
        "ValidationError",
        "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-",
    )
    is_error(
        send("sts", headers=FORM, body=b"Action=GetFederationToken&Version=2011-06-15&Name=a%2Fb"),
        400,
        "ValidationError",
        r"Value 'a/b' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*",
    )


def test_a_refused_secret_is_not_repeated(send):
    secret = "correct-horse-battery"
    answer = send("iam", headers=FORM, body=f"Action=ChangePassword&Version=2010-05-08&OldPassword={secret}&NewPassword=%00".encode())
    assert answer.status == 400 and secret not in answer.message, answer


def test_the_framework_dialect_lists_fields(send):
    answer = send("access-analyzer", "PUT", "/analyzer", headers={"content-type": "application/json"}, body=b'{"analyzerName":"","type":"ACCOUNT"}')
    is_error(answer, 400, "ValidationException", "2 validation errors detected. Value with length 0 at '/analyzerName'")
    content = json.loads(answer.body)
    assert content["reason"] == "fieldValidationFailed"
    assert {field["name"] for field in content["fieldList"]} == {"/analyzerName"}


# Operations without a handler

UNHANDLED = [
    ("sagemaker", "list_notebook_instances", {}, "sagemaker:ListNotebookInstances"),
    ("sagemaker", "delete_endpoint", {"EndpointName": "prod"}, "sagemaker:DeleteEndpoint"),
    ("ec2", "describe_instances", {}, "ec2:DescribeInstances"),
    ("securityhub", "get_findings", {}, "securityhub:GetFindings"),
    ("macie2", "get_macie_session", {}, "macie2:GetMacieSession"),
    ("config", "describe_config_rules", {}, "config:DescribeConfigRules"),
    ("glue", "get_databases", {}, "glue:GetDatabases"),
    ("lambda", "list_functions", {}, "lambda:ListFunctions"),
    ("logs", "list_integrations", {}, "logs:ListIntegrations"),
    ("sns", "list_platform_applications", {}, "sns:ListPlatformApplications"),
    ("comprehend", "list_pii_entities_detection_jobs", {}, "comprehend:ListPiiEntitiesDetectionJobs"),
]
every_unhandled = pytest.mark.parametrize("service, operation, parameters, action", UNHANDLED, ids=[row[3] for row in UNHANDLED])


@every_unhandled
def test_an_operation_without_handler_says_so(account, service, operation, parameters, action):
    call = getattr(account.client(service), operation)
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    error = caught.value.response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("NotImplemented", 501)
    assert "recognised, authorized and recorded" in error["Error"]["Message"]
    events = account.events_of(request_id(caught.value))
    assert [(event["errorCode"], event["eventSource"].split(".")[0]) for event in events] == [("NotImplemented", service)]


@every_unhandled
def test_an_operation_without_handler_is_authorized(account, service, operation, parameters, action):
    nobody = account.user()
    assert_denied(lambda: getattr(nobody.client(service), operation)(**parameters), action, by="identity", explicit=False)
    allowed = account.user(policy=allow(action))
    with raises("NotImplemented", 501):
        getattr(allowed.client(service), operation)(**parameters)


def test_a_denial_names_its_statement(account, bailiwick):
    user = account.user(
        policy=[
            allow("sagemaker:*"),
            deny("sagemaker:DeleteEndpoint", "arn:aws:sagemaker:*:*:endpoint/prod*", Sid="ProductionStays"),
        ]
    )
    client = user.client("sagemaker")
    with raises("NotImplemented", 501):
        client.delete_endpoint(EndpointName="trial")
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client.delete_endpoint(EndpointName="prod-1")
    message = caught.value.response["Error"]["Message"]
    arn = f"arn:aws:sagemaker:us-east-1:{account.id}:endpoint/prod-1"
    assert message == (
        f"User: {user.user_arn()} is not authorized to perform: sagemaker:DeleteEndpoint on resource: {arn}"
        " with an explicit deny in an identity-based policy"
    )
    explained = bailiwick.control("GET", f"/_bailiwick/explain/{request_id(caught.value)}", credentials=account.credentials)
    assert explained["Decision"]["deciding"]["sid"] == "ProductionStays"
    assert explained["Decision"]["deciding"]["statementIndex"] == 1


# CBOR


def cbor_call(send, service, operation, parameters, body=None, **more):
    loader = botocore.loaders.Loader()
    model = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"), service)
    serialized = botocore.serialize.create_serializer("smithy-rpc-v2-cbor", False).serialize_to_request(
        parameters, model.operation_model(operation)
    )
    answer = send(
        model.signing_name,
        "POST",
        serialized["url_path"],
        headers=serialized["headers"],
        body=serialized["body"] if body is None else body,
        **more,
    )
    assert answer.headers.get("smithy-protocol") == "rpc-v2-cbor", answer
    parser = botocore.parsers.create_parser("smithy-rpc-v2-cbor")
    response = {"status_code": answer.status, "headers": answer.headers, "body": answer.body}
    return answer.status, parser.parse(response, model.operation_model(operation).output_shape)


def test_cbor(send, account):
    status, answer = cbor_call(send, "resourcegroupstaggingapi", "GetTagKeys", {})
    assert (status, answer["Error"]["Code"]) == (501, "NotImplemented"), answer
    status, answer = cbor_call(send, "comprehend", "DetectPiiEntities", {"Text": "fine", "LanguageCode": "xx"})
    assert (status, answer["Error"]["Code"]) == (400, "ValidationException"), answer
    nobody = account.user()
    status, answer = cbor_call(send, "comprehend", "DetectPiiEntities", {"Text": "fine", "LanguageCode": "en"}, credentials=nobody.credentials)
    assert (status, answer["Error"]["Code"]) == (400, "AccessDeniedException"), answer
    assert "comprehend:DetectPiiEntities" in answer["Error"]["Message"]


@pytest.mark.parametrize("body", [b"", b"\xff", b"\xa1", b"\x9f" * 10_000, b"\xbf\x64Text\x01\xff", b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff"], ids=range(6))
def test_malformed_cbor(send, body):
    status, answer = cbor_call(send, "comprehend", "DetectPiiEntities", {"Text": "a", "LanguageCode": "en"}, body=body)
    assert status == 400 and answer["Error"]["Code"] in ("SerializationException", "ValidationException"), answer
